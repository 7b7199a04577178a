#pragma once
/*
 * What can happen in a story. `form` says what the numbers are, for the text form: b a mailbox, m a message,
 * n a name,
 * + and - flags, u rounds until it is at rest, p a step of the round, h how, k whether the program ends too,
 * l what is lost, a blank nothing.
 */
#include "world.h"

struct verb {
    const char *words;
    const char *form;
    void (*run)(struct world *w, unsigned a, unsigned b, unsigned c);
    unsigned weight;
    bool itself; /* it cannot wait for a step of a round */
};

extern const struct verb verbs[];
extern const size_t verbs_n;
