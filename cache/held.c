/* The tables of what the brake holds back. */
#include "held.h"
#include <errno.h>
#include "clock.h"
#include "private.h"

#define COLUMNS                                                                                              \
    "SELECT id, mailbox, side, whole, state, at_s,"                                                          \
    " (SELECT count(*) FROM held_message WHERE held_message.held = held.id) FROM held"

static void read_row(struct statement *s, struct held *h)
{
    h->id = column_int(s, 0);
    h->mailbox = column_int(s, 1);
    h->side = (int)column_int(s, 2);
    h->whole = column_int(s, 3);
    h->state = (enum held_state)column_int(s, 4);
    h->at_s = column_int(s, 5);
    h->messages = (uint64_t)column_int(s, 6);
}

static int only_row(cache_rd *rd, const char *sql, int64_t key, struct held *ret)
{
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_int(s, key);
    int err = statement_row(s);
    if (!err)
        read_row(s, ret);
    return err;
}

int held_get(cache_rd *rd, int64_t id, struct held *ret)
{
    static const char sql[] = COLUMNS " WHERE id = ?";
    return only_row(rd, sql, id, ret);
}

int held_of_message(cache_rd *rd, int64_t message, struct held *ret)
{
    static const char sql[] = COLUMNS " WHERE id = (SELECT held FROM held_message WHERE message = ?)";
    return only_row(rd, sql, message, ret);
}

int held_of_mailbox(cache_rd *rd, int64_t mailbox, struct held *ret)
{
    static const char sql[] = COLUMNS " WHERE mailbox = ? AND whole = 1 LIMIT 1";
    return only_row(rd, sql, mailbox, ret);
}

bool held_any(cache_rd *rd)
{
    static const char sql[] = "SELECT EXISTS (SELECT 1 FROM held)";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    return !statement_row(s) && column_int(s, 0);
}

bool held_in(cache_rd *rd, int64_t mailbox)
{
    static const char sql[] = "SELECT EXISTS (SELECT 1 FROM held WHERE mailbox = ? AND state < 2)";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_int(s, mailbox);
    return !statement_row(s) && column_int(s, 0);
}

int held_each(cache_rd *rd, int (*each)(void *arg, const struct held *h), void *arg)
{
    static const char sql[] = COLUMNS " ORDER BY id";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    int got;
    while ((got = statement_step(s)) > 0) {
        struct held h;
        read_row(s, &h);
        int stop = each(arg, &h);
        if (stop)
            return stop;
    }
    return got;
}

int held_messages(cache_rd *rd, int64_t id, int64_t after, int64_t *ret, size_t max)
{
    static const char sql[] = "SELECT message FROM held_message WHERE held = ? AND message > ?"
                              " ORDER BY message LIMIT ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_int(s, id);
    put_int(s, after);
    put_int(s, (int64_t)max);
    int got, n = 0;
    while ((got = statement_step(s)) > 0)
        ret[n++] = column_int(s, 0);
    return got < 0 ? got : n;
}

static int insert_hold(cache_tx *tx, int64_t mailbox, int side, bool whole, enum held_state state,
                       int64_t *ret)
{
    static const char sql[] = "INSERT INTO held (mailbox, side, whole, state, at_s) VALUES (?, ?, ?, ?, ?)";
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_int(s, mailbox);
    put_int(s, side);
    put_int(s, whole);
    put_int(s, state);
    put_int(s, clock_now_ns() / 1000000000);
    tx->held = HELD_SOMETHING;
    int err = statement_run(s);
    if (!err)
        *ret = sqlite3_last_insert_rowid(tx->rd.db);
    return err;
}

static int open_hold(cache_tx *tx, int64_t mailbox, int side, int64_t *ret)
{
    static const char sql[] =
        "SELECT id FROM held WHERE mailbox = ? AND side = ? AND whole = 0 AND state < 2";
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_int(s, mailbox);
    put_int(s, side);
    int err = statement_row(s);
    if (!err)
        *ret = column_int(s, 0);
    return err;
}

int held_add(cache_tx *tx, int64_t mailbox, int side, enum held_state state, int64_t message)
{
    static const char sql[] = "INSERT OR REPLACE INTO held_message (message, held) VALUES (?, ?)";
    int64_t hold;
    int err = open_hold(tx, mailbox, side, &hold);
    if (err == -ENOENT)
        err = insert_hold(tx, mailbox, side, false, state, &hold);
    if (err)
        return err;
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_int(s, message);
    put_int(s, hold);
    return statement_run(s);
}

int held_add_mailbox(cache_tx *tx, int64_t mailbox)
{
    struct held h;
    int64_t id;
    int err = held_of_mailbox(&tx->rd, mailbox, &h);
    return err == -ENOENT ? insert_hold(tx, mailbox, HELD_HERE, true, HELD_WATCHED, &id) : err;
}

int held_set_state(cache_tx *tx, int64_t id, enum held_state state)
{
    static const char sql[] = "UPDATE held SET state = ? WHERE id = ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_int(s, state);
    put_int(s, id);
    return statement_change(s);
}

/* Is there a hold at all? 1, 0, -errno. */
static int look_for_holds(cache_tx *tx)
{
    static const char sql[] = "SELECT EXISTS (SELECT 1 FROM held)";
    if (tx->held != HELD_UNKNOWN)
        return tx->held == HELD_SOMETHING;
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    int err = statement_row(s);
    if (err)
        return err;
    tx->held = column_int(s, 0) ? HELD_SOMETHING : HELD_NOTHING;
    return tx->held == HELD_SOMETHING;
}

int held_release(cache_tx *tx, int64_t message)
{
    static const char sql[] = "DELETE FROM held_message WHERE message = ?";
    static const char sql_empty[] = "DELETE FROM held WHERE id = ? AND whole = 0"
                                    " AND NOT EXISTS (SELECT 1 FROM held_message WHERE held = held.id)";
    struct held h;
    int err = look_for_holds(tx);
    if (err <= 0)
        return err;
    err = held_of_message(&tx->rd, message, &h);
    if (err)
        return err == -ENOENT ? 0 : err;
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_int(s, message);
    err = statement_run(s);
    if (err)
        return err;
    CLEANUP(statement_end) struct statement *empty = statement_begin(&tx->rd, sql_empty);
    put_int(empty, h.id);
    return statement_run(empty);
}

int held_forget(cache_tx *tx, int64_t id)
{
    static const char sql[] = "DELETE FROM held WHERE id = ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_int(s, id);
    return statement_run(s);
}
