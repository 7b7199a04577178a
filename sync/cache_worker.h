#pragma once
/*
 * The cache's side of the merge. Its verbs are those of worker.h, scan and apply, but they work inside a
 * transaction: a plan for the cache is carried out together with the base that it leads to, whole or not at
 * all, and the state it was made from cannot change under it. That is also why it is no struct worker: a
 * cache_tx cannot outlive its callback.
 */
#include "base_state.h"
#include "brain.h"
#include "mailbox.h"
#include "message.h"

#define CACHE_SIDE 0
#define SERVER_SIDE 1

/* What the cache and the base say of one row, for the brain. base may be NULL: none. box is the mailbox that
 * the row, or its base, is in. The server's side is filled with the base: correct when nothing else was seen
 * of it. */
void cache_worker_scan(const struct message *m, const struct base_state *base, const struct mailbox *box,
                       struct brain_message *ret);

/* Is this row mail that the server should have or has: in cur or new, no scratch, not empty? */
bool cache_worker_is_mail(const struct message *m);

/* What is known of the server's copy when a row must be made for it. */
struct cache_worker_news {
    flags_t flags;
    int64_t date_s;
    int zone_min;
    int64_t size, message_id;
    bool bare; /* to be shown before its body is here */
};

/* Carries out one operation of a plan on the cache's side. m is the row (m->id 0: there is none; filled for
 * BRAIN_COPY of new mail). */
int cache_worker_apply(cache_tx *tx, const struct brain_op *op, struct message *m,
                       const struct cache_worker_news *news, int64_t mailbox);

/* Sets the base of a row (b NULL: none), and its dirty mark to whether the row now differs from it. */
int cache_worker_agree(cache_tx *tx, int64_t message, const struct base_state *b);
/* The same where that is the base already, and m the row as it is stored. */
int cache_worker_settle(cache_tx *tx, struct message *m, const struct base_state *b);
