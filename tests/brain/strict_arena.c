/* The arena of base, but each piece is of the size that was asked for and no more, so that the address
 * sanitizer sees who goes beyond it. Only tools/mutate links it, with a brain that it has broken. */
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
