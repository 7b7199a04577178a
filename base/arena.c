#include "arena.h"

#include <stddef.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_BLOCK_BYTES = 32 * 1024 };

struct arena_block {
    struct arena_block *next;
    size_t used, cap;
    max_align_t data[];
};

static struct arena_block *arena_block_new(size_t cap)
{
    if (cap > SIZE_MAX - sizeof(struct arena_block))
        return NULL;
    struct arena_block *block = calloc(1, sizeof(*block) + cap);
    if (block)
        block->cap = cap;
    return block;
}

/* A block with room for size octets at the head of the list, or behind it when it is for this piece alone:
 * the rest of the head stays in use then. */
static struct arena_block *arena_room(struct arena *a, size_t size)
{
    struct arena_block *head = a->head;
    if (head && head->cap - head->used >= size)
        return head;
    bool alone = size > ARENA_BLOCK_BYTES / 4;
    struct arena_block *block = arena_block_new(alone ? size : ARENA_BLOCK_BYTES);
    if (!block)
        return NULL;
    struct arena_block **place = alone && head ? &head->next : &a->head;
    block->next = *place;
    *place = block;
    return block;
}

void *arena_alloc(struct arena *a, size_t n, size_t size)
{
    const size_t align = alignof(max_align_t);
    size_t total;
    if (__builtin_mul_overflow(n, size, &total) || total > SIZE_MAX - align)
        return NULL;
    total = total ? (total + align - 1) / align * align : align;
    struct arena_block *block = arena_room(a, total);
    if (!block)
        return NULL;
    void *ret = (char *)block->data + block->used;
    block->used += total;
    return ret;
}

char *arena_strdup(struct arena *a, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = arena_alloc(a, size, 1);
    return copy ? memcpy(copy, text, size) : NULL;
}

void arena_finish(struct arena *a)
{
    while (a->head) {
        struct arena_block *next = a->head->next;
        free(a->head);
        a->head = next;
    }
}
