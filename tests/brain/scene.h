#pragma once
/* Two listings, and which of their messages are the same. */
#include "check.h"
#include "brain.h"

enum { MAX = 8 };

struct scene {
    struct brain_identity left[MAX], right[MAX];
    size_t n_left, n_right;
    struct arena arena;
    struct brain_pair *pair;
    size_t n;
};

static inline void pair_up(struct scene *s)
{
    assert_int_equal(
        brain_pair_messages(s->left, s->n_left, s->right, s->n_right, 70, &s->arena, &s->pair, &s->n), 0);
}

/* The partner of a left message, or -1. */
static inline int partner(const struct scene *s, size_t left)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->pair[i].left == left)
            return (int)s->pair[i].right;
    return -1;
}
