#pragma once
/*
 * What the tests of base share: cmocka's includes, repeatable random numbers, and a temporary directory.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>
#include "../place.h"

/* xorshift64: the same numbers at every run, or those of the seed in TEST_SEED (not 0). */
static uint64_t check_state;

static inline uint64_t check_random(uint64_t below)
{
    if (check_state == 0) {
        const char *seed = getenv("TEST_SEED");
        check_state = seed && strtoull(seed, NULL, 10) ? strtoull(seed, NULL, 10) : 88172645463325252ULL;
    }
    check_state ^= check_state << 13;
    check_state ^= check_state >> 7;
    check_state ^= check_state << 17;
    return (check_state >> 11) % below;
}

/* A group's set-up and tear-down: *state is the path of a directory that exists meanwhile. */
static inline int check_directory_make(void **state)
{
    static char path[160];
    *state = path;
    return place_make(path, sizeof(path), "mailmount-base") ? 0 : -1;
}

static inline int check_directory_remove(void **state)
{
    char command[200];
    snprintf(command, sizeof(command), "rm -rf '%s'", (char *)*state);
    return system(command);
}
