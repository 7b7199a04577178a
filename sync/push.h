#pragma once
/*
 * The inside of push: push.c finds out what differs here and in which commands it goes, push_apply.c carries
 * one command out and notes what came of it.
 */
#include "private.h"

#define PUSH_TRASH ((enum worker_verb)100) /* a removal that is a move to the trash */

struct item {
    struct message m;
    struct base_state base;
    bool has_base;
    struct base_state source; /* what is copied or moved on the server */
    struct mailbox *box;
    flags_t agreed;
    bool counts;      /* for the brake, when it went through: it takes mail away */
    bool held;        /* by the brake (case 75) */
    uint8_t hash[32]; /* of what the server has of it, where that was read (wire_size is not 0) */
    int64_t wire_size;
};

struct group { /* one command, as far as its length allows */
    enum worker_verb verb;
    struct mailbox *box, *target;
    flags_t add, remove;
    struct uidset uids;
    size_t *item;
    size_t n, cap;
};

struct burst {                          /* removals of one mailbox that are to be sent */
    int64_t mailbox, first_ms, last_ms; /* CLOCK_REALTIME */
};

struct push {
    struct engine *e;
    cache_rd *rd;
    struct arena arena;
    struct mailbox **box;
    size_t n_box;
    struct burst *burst;
    size_t n_burst;
    int64_t now_ms; /* CLOCK_REALTIME, of this batch */
    struct item *item;
    size_t n;
    struct brain_plan plan;
    struct group *group;
    size_t n_group;
    struct group *now; /* in hand */
    bool holds;        /* something is held: rows are to be asked about */
    bool progress;
};

/* Carries out p->now, and tells the cache. WORKER_DONE, WORKER_REFUSED (noted) and WORKER_GONE concern these
 * messages only. */
enum worker_result push_group(struct push *p, struct group *g);

/* While the server was asked, an edit may have handed the row's address to a tombstone: then what it answered
 * is about that. */
bool push_still_there(cache_tx *tx, const struct item *it);
