#pragma once
/* A cache in a temporary directory, for the tests of bodies and work files. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "cache.h"
#include "../place.h"
#include "io.h"

struct scratch {
    char dir[160];
    char cache[180];
    struct cache *c;
};

static inline void scratch_open(struct scratch *s, bool wire_bodies)
{
    struct fault f = {0};
    struct cache_options o = {.dir = s->cache, .host = "host", .wire_bodies = wire_bodies};
    int r = cache_open(&o, &s->c, &f);
    if (r < 0)
        fail_msg("cache_open: %d %s", r, f.text);
}

static inline void scratch_close(struct scratch *s)
{
    cache_close(s->c);
    s->c = NULL;
}

static inline void scratch_begin(struct scratch *s)
{
    *s = (struct scratch){0};
    assert_true(place_make(s->dir, sizeof(s->dir), "mailmount-test"));
    snprintf(s->cache, sizeof(s->cache), "%s/cache", s->dir);
}

static inline int scratch_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static inline void scratch_end(struct scratch *s)
{
    scratch_close(s);
    nftw(s->dir, scratch_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

static inline int scratch_setup(void **state)
{
    struct scratch *s = malloc(sizeof(*s));
    assert_non_null(s);
    scratch_begin(s);
    scratch_open(s, false);
    *state = s;
    return 0;
}

static inline int scratch_teardown(void **state)
{
    scratch_end(*state);
    free(*state);
    return 0;
}

static inline int scratch_count_one(void *arg, const char *name)
{
    (void)name;
    ++*(unsigned *)arg;
    return 0;
}
