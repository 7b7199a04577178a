/*
 * Memory that runs out at each allocation, for good or for that one alone: -ENOMEM, and nothing is set. And
 * nobody writes beyond what he was given: this program has an arena of its own, whose pieces end in a mark.
 */
#include "check.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "brain.h"

enum { MARK_BYTES = 256, ALLOCATIONS_MAX = 200 };

struct arena_block {
    struct arena_block *next;
    size_t bytes;
    max_align_t data[];
};

static unsigned allowed; /* allocations that succeed */
static bool recovers;    /* after the one that does not, all do */

void *arena_alloc(struct arena *a, size_t n, size_t size)
{
    if (!allowed) {
        allowed = recovers ? ALLOCATIONS_MAX : 0;
        return NULL;
    }
    allowed--;
    struct arena_block *block = calloc(1, sizeof *block + n * size + MARK_BYTES);
    assert_non_null(block);
    block->bytes = n * size;
    block->next = a->head;
    a->head = block;
    memset((char *)block->data + block->bytes, 0x5a, MARK_BYTES);
    return block->data;
}

void arena_finish(struct arena *a)
{
    while (a->head) {
        struct arena_block *block = a->head;
        const unsigned char *mark = (const unsigned char *)block->data + block->bytes;
        for (int i = 0; i < MARK_BYTES; i++)
            assert_int_equal(mark[i], 0x5a);
        a->head = block->next;
        free(block);
    }
}

static int merge_some_messages(struct arena *arena, void *ret)
{
    struct brain_message m[3];
    const struct brain_state here = {.present = true, .mailbox = 1, .flags = FLAG_SEEN};

    for (size_t i = 0; i < COUNT(m); i++)
        m[i] = (struct brain_message){.key = (int64_t)i + 1,
                                      .base = here,
                                      .side = {here, here},
                                      .settled = {true, true},
                                      .can_store = {~(flags_t)0, ~(flags_t)0},
                                      .mailbox_there = {true, true}};
    m[0].after = 2;
    m[0].side[0].present = m[2].side[1].present = false;
    m[1].side[1].flags = FLAG_FLAGGED;
    return brain_merge_messages(m, COUNT(m), &(struct brain_policy){.winner = 1}, arena, ret);
}

struct pairs {
    struct brain_pair *pair;
    size_t n;
};

static int pair_some(struct arena *arena, void *ret)
{
    const struct brain_identity left[] = {{.mailbox = 1, .content = 5},
                                          {.mailbox = 1, .message_id = 6, .size = 7}};
    const struct brain_identity right[] = {{.mailbox = 1, .message_id = 6, .size = 7},
                                           {.mailbox = 1, .content = 5},
                                           {.mailbox = 1, .content = 8}};
    struct pairs *pairs = ret;
    return brain_pair_messages(left, COUNT(left), right, COUNT(right), 3, arena, &pairs->pair, &pairs->n);
}

static int merge_boxes(const char *names[][3], size_t n, struct arena *arena, void *ret)
{
    struct brain_box box[4];

    for (size_t i = 0; i < n; i++) {
        struct brain_box_state state[3];
        for (int k = 0; k < 3; k++)
            state[k] = (struct brain_box_state){.present = names[i][k], .name = names[i][k], .mailbox = true};
        box[i] = (struct brain_box){.key = (int64_t)i + 1, .base = state[0], .side = {state[1], state[2]}};
    }
    return brain_merge_boxes(box, n, '/', 1, NULL, arena, ret);
}

/* Two that are exchanged, with one below, and one that is made. */
static int merge_exchanged(struct arena *arena, void *ret)
{
    const char *names[][3] = {{"a", "b", "a"}, {"b", "a", "b"}, {"a/x", "b/x", "a/x"}, {NULL, "c", NULL}};
    return merge_boxes(names, COUNT(names), arena, ret);
}

/* A rename is taken back, and what is in the way gets a suffix. */
static int merge_with_suffix(struct arena *arena, void *ret)
{
    const char *names[][3] = {{"c", "b", "c"}, {NULL, "c", NULL}, {NULL, NULL, "b"}};
    return merge_boxes(names, COUNT(names), arena, ret);
}

/* Returns how many allocations it takes. */
static unsigned run_out(int (*call)(struct arena *arena, void *ret), bool only_once)
{
    recovers = only_once;
    for (unsigned n = 0; n < ALLOCATIONS_MAX; n++) {
        struct arena arena = {0};
        unsigned char ret[64], untouched[64];
        memset(ret, 0x77, sizeof ret);
        memset(untouched, 0x77, sizeof untouched);
        allowed = n;
        int r = call(&arena, ret);
        arena_finish(&arena);
        if (r == 0)
            return n;
        assert_int_equal(r, -ENOMEM);
        assert_memory_equal(ret, untouched, sizeof ret);
    }
    fail_msg("it takes more and more");
    return 0;
}

static void memory_runs_out(void **state)
{
    (void)state;
    for (int only_once = 0; only_once < 2; only_once++) {
        assert_int_equal(run_out(merge_some_messages, only_once), 2);
        assert_int_equal(run_out(pair_some, only_once), 6);
        assert_int_equal(run_out(merge_exchanged, only_once), 16);
        assert_int_equal(run_out(merge_with_suffix, only_once), 9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(memory_runs_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
