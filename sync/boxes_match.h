#pragma once
/*
 * Which mailbox of the server's list is which row of the cache? Names change, and are used again: see
 * boxes_match.c.
 */
#include "private.h"
#include "worker.h"

struct box_row { /* a row of the cache, as far as it matters here */
    int64_t id;
    const char *here;      /* the server's name that its place here stands for, or stood when it was removed;
                            NULL: none */
    const char *remote;    /* the name last agreed; NULL: it was never there */
    const char *mailboxid; /* "" unknown */
    uint32_t uidvalidity, uidnext;
    bool removed;
};

struct box_match {
    const struct worker_box *listed; /* NULL: it is not in the list */
    bool replaced; /* that has this row's name, there or here, and is another mailbox (cases 71 and 80) */
    bool
        ours; /* we renamed it to that, and do not know yet that we did: the answer was lost (cases 84, 86) */
};

/* Sets ret[0..n), each of the list for one row at most. Asks the server only where a mailbox is missing and
 * an unknown one may be it. The engine's thread. WORKER_DONE, or how the session ended; WORKER_LOCAL: no
 * memory. */
enum worker_result boxes_match(struct engine *e, const struct boxes *b, const struct box_row *row, size_t n,
                               struct box_match *ret);
