#pragma once
/*
 * Stories: lists of acts, that run, are written as text, read again and made shorter.
 *
 * An act is a few small numbers that mean something in every world: "mail 5" is the fifth of those there are,
 * counted round. So any part of a story is a story, and making it shorter is leaving acts out.
 */
#include <stdio.h>
#include "world.h"

enum { ACTS = 160 };

struct history {
    unsigned features;
    struct act act[ACTS];
    size_t n;
};

/* The same number makes the same story. */
void history_make(struct history *h, uint64_t seed);

/* Runs it, and a quiet end. w is for looking at afterwards; w->wrong says what was wrong. */
void history_run(const struct history *h, enum sabotage sabotage, struct world *w);

/* Leaves out what is not needed for something to be wrong. */
void history_shrink(struct history *h, enum sabotage sabotage);

/* One act a line; `#` begins a comment. history_read: 0, or the number of the line that it does not
 * understand. */
void history_write(const struct history *h, FILE *out);
int history_read(struct history *h, FILE *in);
