/* The base table: what both sides last agreed on. A UID has one row and a message has one: putting either
 * replaces what it had. */
#include "base_state.h"
#include <errno.h>
#include "pending.h"
#include "private.h"

static void read_row(struct statement *s, struct base_state *b)
{
    b->mailbox = column_int(s, 0);
    b->uid = (uint32_t)column_int(s, 1);
    b->message = column_int(s, 2);
    b->flags = (flags_t)column_int(s, 3);
}

static int only_row(struct statement *s, struct base_state *ret)
{
    int err = statement_row(s);
    if (!err)
        read_row(s, ret);
    return err;
}

int base_of_message(cache_rd *rd, int64_t message, struct base_state *ret)
{
    static const char sql[] = "SELECT mailbox, uid, message, flags FROM base WHERE message = ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_int(s, message);
    return only_row(s, ret);
}

int base_of_uid(cache_rd *rd, int64_t mailbox, uint32_t uid, struct base_state *ret)
{
    static const char sql[] = "SELECT mailbox, uid, message, flags FROM base WHERE mailbox = ? AND uid = ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_int(s, mailbox);
    put_int(s, uid);
    return only_row(s, ret);
}

int base_each(cache_rd *rd, int64_t mailbox, uint32_t after_uid,
              int (*each)(void *arg, const struct base_state *b), void *arg)
{
    static const char sql[] = "SELECT mailbox, uid, message, flags FROM base WHERE mailbox = ? AND uid > ?"
                              " ORDER BY uid";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_int(s, mailbox);
    put_int(s, after_uid);
    int got;
    while ((got = statement_step(s)) > 0) {
        struct base_state b;
        read_row(s, &b);
        int stop = each(arg, &b);
        if (stop)
            return stop;
    }
    return got;
}

uint64_t base_count(cache_rd *rd, int64_t mailbox)
{
    static const char sql[] = "SELECT based FROM mailbox WHERE id = ?"; /* kept by triggers */
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_int(s, mailbox);
    return statement_row(s) ? 0 : (uint64_t)column_int(s, 0);
}

int base_put(cache_tx *tx, const struct base_state *b)
{
    static const char sql[] =
        "INSERT OR REPLACE INTO base (mailbox, uid, message, flags) VALUES (?, ?, ?, ?)";
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_int(s, b->mailbox);
    put_int(s, b->uid);
    put_int(s, b->message);
    put_int(s, (int64_t)b->flags);
    return statement_run(s);
}

int base_set_flags(cache_tx *tx, const struct base_state *b)
{
    static const char sql[] = "UPDATE base SET flags = ? WHERE mailbox = ? AND uid = ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_int(s, (int64_t)b->flags);
    put_int(s, b->mailbox);
    put_int(s, b->uid);
    return statement_change(s);
}

/* What the server refused to do with a message that it has no longer, it need not be told again. */
int base_forget(cache_tx *tx, int64_t message)
{
    static const char sql[] = "DELETE FROM base WHERE message = ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_int(s, message);
    int r = failure_forget(tx, message, 0);
    return r < 0 ? r : statement_run(s);
}

int base_forget_mailbox(cache_tx *tx, int64_t mailbox)
{
    static const char sql[] = "DELETE FROM base WHERE mailbox = ?";
    static const char sql_refused[] =
        "DELETE FROM failure WHERE message IN (SELECT message FROM base WHERE mailbox = ?)";
    CLEANUP(statement_end) struct statement *refused = statement_begin(&tx->rd, sql_refused);
    put_int(refused, mailbox);
    int r = statement_run(refused);
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_int(s, mailbox);
    return r < 0 ? r : statement_run(s);
}

int base_give(cache_tx *tx, int64_t from, int64_t to)
{
    static const char sql[] = "UPDATE OR REPLACE base SET message = ? WHERE message = ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_int(s, to);
    put_int(s, from);
    return statement_change(s);
}
