/* The arena of base, but each piece is of the size that was asked for and no more, so that the address
 * sanitizer sees who goes beyond it. And a sort that turns round what compares as equal, where the C library
 * keeps its order, and wants comparisons that say the same from either end. Only tools/mutate links this,
 * with a brain that it has broken. */
#include "arena.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* What is broken may ask for ever. */
enum { PIECES_MAX = 1000 * 1000, PIECE_MAX = 1 << 24 };

struct arena_block {
    struct arena_block *next;
    void *piece;
};

static unsigned pieces; /* that are in use */

void *arena_alloc(struct arena *a, size_t n, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(n, size, &total) || total > PIECE_MAX || ++pieces > PIECES_MAX)
        abort();
    struct arena_block *block = malloc(sizeof *block);
    if (!block)
        abort();
    *block = (struct arena_block){.next = a->head, .piece = calloc(1, total)};
    a->head = block;
    return block->piece;
}

char *arena_strdup(struct arena *a, const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(arena_alloc(a, size, 1), text, size);
}

void arena_finish(struct arena *a)
{
    while (a->head) {
        struct arena_block *next = a->head->next;
        free(a->head->piece);
        free(a->head);
        a->head = next;
        pieces--;
    }
}

/* By insertion, from the last one on. */
void qsort(void *base, size_t n, size_t size, int (*compare)(const void *, const void *))
{
    char *unsorted = malloc(n * size + 1), *sorted = base;

    if (!unsorted)
        abort();
    if (n > 0)
        memcpy(unsorted, base, n * size);
    for (size_t done = 0; done < n; done++) {
        const char *next = unsorted + (n - 1 - done) * size;
        size_t place = done;
        for (; place > 0; place--) {
            const char *before = sorted + (place - 1) * size;
            int order = compare(before, next), back = compare(next, before);
            if ((order < 0) != (back > 0) || (order > 0) != (back < 0))
                abort();
            if (order <= 0)
                break;
            memcpy(sorted + place * size, before, size);
        }
        memcpy(sorted + place * size, next, size);
    }
    free(unsorted);
}
