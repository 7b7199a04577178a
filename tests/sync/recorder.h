#pragma once
/*
 * A worker that writes down what it is asked, and asks another one. One record serves all sessions of an
 * engine; its lines are for exact comparison:
 *
 *   OPEN, TREE, STATUS Box, SCAN Box, LIST Box 12:*, FETCH Box 3:5
 *   STORE Box 1:4,7 +\Seen -\Flagged, MOVE Box 3 To, EXPUNGE Box 3, APPEND Box 120 (octets), CREATE Box,
 * RENAME Box To
 *
 * followed by " GONE", " REFUSED", " UNKNOWN" ... when that was the result.
 */
#include <pthread.h>
#include "flags.h"
#include "worker.h"

enum record_kind {
    RECORD_OPEN,
    RECORD_LOOK /* TREE, STATUS */,
    RECORD_SCAN,
    RECORD_APPLY,
    RECORD_FETCH,
    RECORD_KINDS
};

struct record {
    pthread_mutex_t lock; /* protects all that follows */
    char **line;
    size_t n, cap;
    unsigned count[RECORD_KINDS];
    uint64_t fetched; /* bodies asked for */
};

void record_init(struct record *r);
void record_finish(struct record *r);
void record_clear(struct record *r);
unsigned record_count(struct record *r, enum record_kind kind);
uint64_t record_fetched(struct record *r);
/* The lines of the operations that change something, joined by newlines; all: of all operations. The
 * caller's. */
char *record_text(struct record *r, bool all);

/* Takes over inner. NULL without memory. */
struct worker *recorder_new(struct worker *inner, struct record *to, struct keywords *keywords);
