/* Counts for status. They walk what they count: nobody asks often. */
#include "mailbox.h"
#include "private.h"

/* One query for all mailboxes, and one for a single mailbox, which its indexes can serve. */
struct query {
    const char *all, *one;
};

static int run_count(cache_rd *rd, const struct query *q, int64_t id, uint64_t *ret_first,
                     uint64_t *ret_second)
{
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, id ? q->one : q->all);
    if (id)
        put_int(s, id);
    int err = statement_row(s);
    if (err)
        return err;
    *ret_first = (uint64_t)column_int(s, 0);
    *ret_second = (uint64_t)column_int(s, 1);
    return 0;
}

#define SHOWN                                                                                                \
    "SELECT count(*), count(*) FILTER (WHERE flags & 1 = 0) FROM message WHERE state IN (1, 2) AND sub IN "  \
    "(1, 2)"                                                                                                 \
    " AND scratch = 0"
#define WANTED "SELECT count(*), total(size) FROM message WHERE state = 0"
#define BARE "SELECT count(*), 0 FROM message WHERE state = 1 AND hash IS NULL"
#define DIRTY "SELECT count(*), 0 FROM message WHERE dirty = 1"
#define FAILED "SELECT count(*), 0 FROM failure LEFT JOIN message ON message.id = failure.message"
#define HELD                                                                                                 \
    "SELECT total((SELECT count(*) FROM held_message WHERE held_message.held = held.id) + whole), 0 FROM"    \
    " held WHERE state = 1"

int mailbox_count(cache_rd *rd, int64_t id, struct mailbox_counts *ret)
{
    static const struct query shown = {SHOWN, SHOWN " AND mailbox = ?"};
    static const struct query wanted = {WANTED, WANTED " AND mailbox = ?"};
    /* Said twice, for the index that begins with the mailbox. */
    static const struct query bare = {BARE, BARE " AND state IN (1, 2) AND mailbox = ?"};
    static const struct query dirty = {DIRTY, DIRTY " AND mailbox = ?"};
    static const struct query failed = {FAILED,
                                        FAILED " WHERE coalesce(message.mailbox, failure.mailbox) = ?"};
    static const struct query held = {HELD, HELD " AND mailbox = ?"};
    struct mailbox_counts c = {0};
    uint64_t none;
    int err = run_count(rd, &shown, id, &c.messages, &c.unread);
    if (!err)
        err = run_count(rd, &wanted, id, &c.wanted, &c.wanted_bytes);
    if (!err)
        err = run_count(rd, &bare, id, &c.bare, &none);
    if (!err)
        err = run_count(rd, &dirty, id, &c.waiting, &none);
    if (!err)
        err = run_count(rd, &failed, id, &c.failed, &none);
    if (!err)
        err = run_count(rd, &held, id, &c.held, &none);
    if (!err)
        *ret = c;
    return err;
}
