/* The failure table: one row a message, or for what is about no message one row a mailbox. */
#include <errno.h>
#include "pending.h"
#include "private.h"

/* A message's refusal is in the mailbox where the message is now. */
#define PLACE "coalesce((SELECT message.mailbox FROM message WHERE message.id = failure.message), mailbox)"
#define COLUMNS "id, message, " PLACE ", at_s, retry_s, attempts, what, why"

static void read_row(struct statement *s, struct failure *f)
{
    f->id = column_int(s, 0);
    f->message = column_int(s, 1);
    f->mailbox = column_int(s, 2);
    f->at_s = column_int(s, 3);
    f->retry_s = column_int(s, 4);
    f->attempts = (unsigned)column_int(s, 5);
    column_text(s, 6, f->what, sizeof f->what);
    column_text(s, 7, f->why, sizeof f->why);
}

int failure_by_id(cache_rd *rd, int64_t id, struct failure *ret)
{
    static const char sql[] = "SELECT " COLUMNS " FROM failure WHERE id = ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_int(s, id);
    int err = statement_row(s);
    if (!err)
        read_row(s, ret);
    return err;
}

int failure_get(cache_rd *rd, int64_t message, int64_t mailbox, struct failure *ret)
{
    static const char sql_message[] = "SELECT " COLUMNS " FROM failure WHERE message = ?";
    static const char sql_mailbox[] = "SELECT " COLUMNS " FROM failure WHERE message IS NULL AND mailbox = ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, message ? sql_message : sql_mailbox);
    put_int(s, message ? message : mailbox);
    int err = statement_row(s);
    if (!err)
        read_row(s, ret);
    return err;
}

int failure_put(cache_tx *tx, struct failure *f)
{
    static const char sql[] =
        "INSERT OR REPLACE INTO failure (id, message, mailbox, at_s, retry_s, attempts, what, why)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    struct failure before;
    int err = failure_get(&tx->rd, f->message, f->mailbox, &before);
    if (err && err != -ENOENT)
        return err;
    unsigned attempts = err ? 1 : before.attempts + 1;
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_int_or_null(s, err ? 0 : before.id);
    put_int_or_null(s, f->message);
    put_int_or_null(s, f->message ? 0 : f->mailbox);
    put_int(s, f->at_s);
    put_int(s, f->retry_s);
    put_int(s, attempts);
    put_text(s, f->what);
    put_text(s, f->why);
    err = statement_run(s);
    if (err)
        return err;
    f->id = sqlite3_last_insert_rowid(tx->rd.db);
    f->attempts = attempts;
    return 0;
}

int failure_forget(cache_tx *tx, int64_t message, int64_t mailbox)
{
    static const char sql_message[] = "DELETE FROM failure WHERE message = ?";
    static const char sql_mailbox[] = "DELETE FROM failure WHERE message IS NULL AND mailbox = ?";
    CLEANUP(statement_end)
    struct statement *s = statement_begin(&tx->rd, message ? sql_message : sql_mailbox);
    put_int(s, message ? message : mailbox);
    return statement_run(s);
}

int failure_each(cache_rd *rd, int (*each)(void *arg, const struct failure *f), void *arg)
{
    static const char sql[] = "SELECT " COLUMNS " FROM failure ORDER BY id";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    int got;
    while ((got = statement_step(s)) > 0) {
        struct failure f;
        read_row(s, &f);
        int stop = each(arg, &f);
        if (stop)
            return stop;
    }
    return got;
}
