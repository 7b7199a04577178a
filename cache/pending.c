#include "pending.h"
#include <errno.h>
#include "private.h"

#define COLUMNS                                                                                              \
    "id, kind, message, mailbox, uidvalidity, uidnext, source, source_uid, wire_size, hash, message_id, "    \
    "date_s, flags, accepted"

static void read_row(struct statement *s, struct pending *p)
{
    int at = 0;
    p->id = column_int(s, at++);
    p->kind = (enum pending_kind)column_int(s, at++);
    p->message = column_int(s, at++);
    p->mailbox = column_int(s, at++);
    p->uidvalidity = (uint32_t)column_int(s, at++);
    p->uidnext = (uint32_t)column_int(s, at++);
    p->source = column_int(s, at++);
    p->source_uid = (uint32_t)column_int(s, at++);
    p->wire_size = column_int(s, at++);
    column_blob(s, at++, p->hash, sizeof p->hash);
    p->message_id = column_int(s, at++);
    p->date_s = column_int(s, at++);
    p->flags = (flags_t)column_int(s, at++);
    p->accepted = column_int(s, at++) != 0;
}

int pending_put(cache_tx *tx, struct pending *p)
{
    static const char sql[] =
        "INSERT OR REPLACE INTO pending (kind, message, mailbox, uidvalidity, uidnext, source,"
        " source_uid, wire_size, hash, message_id, date_s, flags, accepted)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)";
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_int(s, p->kind);
    put_int(s, p->message);
    put_int(s, p->mailbox);
    put_int(s, p->uidvalidity);
    put_int(s, p->uidnext);
    put_int(s, p->source);
    put_int(s, p->source_uid);
    put_int(s, p->wire_size);
    put_blob(s, p->hash, sizeof p->hash);
    put_int(s, p->message_id);
    put_int(s, p->date_s);
    put_int(s, (int64_t)p->flags);
    put_int(s, p->accepted);
    int err = statement_run(s);
    if (!err)
        p->id = sqlite3_last_insert_rowid(tx->rd.db);
    return err;
}

int pending_forget(cache_tx *tx, int64_t message)
{
    static const char sql[] = "DELETE FROM pending WHERE message = ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_int(s, message);
    return statement_run(s);
}

int pending_of_message(cache_rd *rd, int64_t message, struct pending *ret)
{
    static const char sql[] = "SELECT " COLUMNS " FROM pending WHERE message = ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_int(s, message);
    int err = statement_row(s);
    if (!err)
        read_row(s, ret);
    return err;
}

int pending_each(cache_rd *rd, int64_t mailbox, int (*each)(void *arg, const struct pending *p), void *arg)
{
    static const char sql_all[] = "SELECT " COLUMNS " FROM pending ORDER BY id";
    static const char sql_in[] = "SELECT " COLUMNS " FROM pending WHERE mailbox = ? ORDER BY id";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, mailbox ? sql_in : sql_all);
    if (mailbox)
        put_int(s, mailbox);
    int got;
    while ((got = statement_step(s)) > 0) {
        struct pending p;
        read_row(s, &p);
        int stop = each(arg, &p);
        if (stop)
            return stop;
    }
    return got;
}

int pending_give(cache_tx *tx, int64_t from, int64_t to)
{
    struct pending p;
    int err = pending_of_message(cache_tx_rd(tx), from, &p);
    if (err)
        return err == -ENOENT ? 0 : err;
    err = pending_forget(tx, from);
    p.message = to;
    return err ? err : pending_put(tx, &p);
}
