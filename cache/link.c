/*
 * Extra names of a message. A delivery by link(tmp/x, new/x) and unlink(tmp/x) shows one message under two
 * names for a moment; the row has the name that counts as mail, this table the other.
 */
#include <errno.h>
#include <stdio.h>
#include "message_row.h"

static int count_links(cache_tx *tx, const struct message *m, int more)
{
    static const char sql[] = "UPDATE message SET links = links + ?, ctime_ns = ? WHERE id = ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_int(s, more);
    put_int(s, cache_tx_now(tx));
    put_int(s, m->id);
    int err = statement_change(s);
    if (!err)
        message_attributes(tx, m->mailbox, m->id);
    return err;
}

static int insert_link(cache_tx *tx, int64_t id, int64_t mailbox, enum sub sub, const char *name)
{
    static const char sql[] = "INSERT INTO link (mailbox, sub, name, message) VALUES (?, ?, ?, ?)";
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_int(s, mailbox);
    put_int(s, sub);
    put_text(s, name);
    put_int(s, id);
    return statement_run(s);
}

static int delete_link(cache_tx *tx, int64_t mailbox, enum sub sub, const char *name)
{
    static const char sql[] = "DELETE FROM link WHERE mailbox = ? AND sub = ? AND name = ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_int(s, mailbox);
    put_int(s, sub);
    put_text(s, name);
    return statement_change(s);
}

int message_link(cache_tx *tx, int64_t id, int64_t mailbox, enum sub sub, const char *name)
{
    struct message m;
    int err = message_get(&tx->rd, id, &m);
    if (!err && !message_shown(&m))
        err = -ENOENT;
    if (!err)
        err = message_taken(&tx->rd, mailbox, sub, name, 0);
    if (!err)
        err = insert_link(tx, id, mailbox, sub, name);
    if (!err)
        err = message_entry(tx, CACHE_ENTRY_ADDED, mailbox, sub, name, id);
    return err ? err : count_links(tx, &m, 1);
}

/* The message that this is an extra name of: its id, -ENOENT, -errno. */
static int64_t owner(cache_rd *rd, int64_t mailbox, enum sub sub, const char *name)
{
    static const char sql[] = "SELECT message FROM link WHERE mailbox = ? AND sub = ? AND name = ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_int(s, mailbox);
    put_int(s, sub);
    put_text(s, name);
    int err = statement_row(s);
    return err ? err : column_int(s, 0);
}

int message_unlink_extra(cache_tx *tx, int64_t mailbox, enum sub sub, const char *name)
{
    struct message m;
    int64_t id = owner(&tx->rd, mailbox, sub, name);
    int err = id < 0 ? (int)id : message_get(&tx->rd, id, &m);
    if (!err)
        err = delete_link(tx, mailbox, sub, name);
    if (!err)
        err = message_entry(tx, CACHE_ENTRY_REMOVED, mailbox, sub, name, id);
    return err ? err : count_links(tx, &m, -1);
}

int message_extra_of(cache_rd *rd, int64_t id, int64_t *ret_mailbox, enum sub *ret_sub, char ret_name[256])
{
    static const char sql[] = "SELECT mailbox, sub, name FROM link WHERE message = ? LIMIT 1";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_int(s, id);
    int err = statement_row(s);
    if (err)
        return err;
    *ret_mailbox = column_int(s, 0);
    *ret_sub = (enum sub)column_int(s, 1);
    column_text(s, 2, ret_name, 256);
    return 0;
}

int link_drop_all(cache_tx *tx, int64_t id)
{
    int64_t mailbox;
    enum sub sub;
    char name[256];
    int err;
    while ((err = message_extra_of(&tx->rd, id, &mailbox, &sub, name)) == 0) {
        struct message m = {.id = id, .mailbox = mailbox};
        err = delete_link(tx, mailbox, sub, name);
        if (!err)
            err = message_entry(tx, CACHE_ENTRY_REMOVED, mailbox, sub, name, id);
        if (!err)
            err = count_links(tx, &m, -1);
        if (err)
            return err;
    }
    return err == -ENOENT ? 0 : err;
}
