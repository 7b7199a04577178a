#pragma once
/*
 * What the events thread is to tell the kernel: a queue, filled by the writer thread, with an upper bound.
 * Beyond that it only remembers that everything may be stale. Not locked: its owner's affair.
 */
#include "buf.h"
#include "cache.h"

struct note {
    enum cache_event_kind kind;
    uint64_t parent, ino;
    size_t name; /* where in names */
};

struct notes {
    struct note *note;
    size_t n, cap;
    struct buf names; /* NUL terminated each */
    bool overflow;    /* notes are missing */
};

void notes_add(struct notes *q, const struct cache_event *event);
void notes_clear(struct notes *q);
void notes_finish(struct notes *q);
