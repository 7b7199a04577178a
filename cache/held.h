#pragma once
/*
 * What the brake holds back (case 75): removals that look like an accident, until a person decides.
 *
 * A hold is of one mailbox and one side, the one that the removal would be carried out on: 0 here, for mail
 * that the server has no more and that stays in view; 1 there, for mail that was removed here and stays on
 * the server. Its messages are rows; a row is in one hold at most, and leaves it by itself when it moves,
 * changes its content or its state, or gets a base. A hold without messages is gone, unless it is of the
 * mailbox itself.
 */
#include "cache.h"

enum held_state {
    HELD_WATCHED = 0,  /* the mail may be found elsewhere yet: nobody is asked */
    HELD_ASKS = 1,     /* a person is to decide */
    HELD_APPROVED = 2, /* to be carried out */
};

enum { HELD_HERE = 0, HELD_THERE = 1 }; /* held.side: as the brain numbers the sides */

struct held {
    int64_t id, mailbox;
    int side;
    bool whole; /* the mailbox is missing from the server's list; no messages */
    enum held_state state;
    int64_t at_s;
    uint64_t messages;
};

int held_get(cache_rd *rd, int64_t id, struct held *ret); /* -ENOENT */
int held_of_message(cache_rd *rd, int64_t message, struct held *ret);
/* The hold of the mailbox itself. */
int held_of_mailbox(cache_rd *rd, int64_t mailbox, struct held *ret);
bool held_any(cache_rd *rd);
bool held_in(cache_rd *rd, int64_t mailbox); /* something that is not approved */
/* In order of id; a non-zero result of each ends it and is returned. Holds that are only watched too. */
int held_each(cache_rd *rd, int (*each)(void *arg, const struct held *h), void *arg);
/* The ids of up to `max` messages of a hold, in order, after `after`; how many, or -errno. */
int held_messages(cache_rd *rd, int64_t id, int64_t after, int64_t *ret, size_t max);

/* The message joins the open hold of that mailbox and side, or begins one in this state. */
int held_add(cache_tx *tx, int64_t mailbox, int side, enum held_state state, int64_t message);
int held_add_mailbox(cache_tx *tx, int64_t mailbox); /* watched */
int held_set_state(cache_tx *tx, int64_t id, enum held_state state);
/* The message is held no more. 0 also when it was not. */
int held_release(cache_tx *tx, int64_t message);
int held_forget(cache_tx *tx, int64_t id);
