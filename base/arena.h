#pragma once
/* Memory that is given back all at once. Zero-initialised is empty. Blocks are zeroed and aligned for any
 * type. */
#include <stddef.h>

struct arena {
    struct arena_block *head;
};

void *arena_alloc(struct arena *a, size_t n,
                  size_t size); /* n * size, overflow checked; NULL without memory; never NULL for n = 0 */
char *arena_strdup(struct arena *a, const char *text);
void arena_finish(struct arena *a);
