#pragma once
/*
 * Changes that come through the mount. The kernel knows what they change, for it asked for it; of all others
 * it has to be told. So the events of a change that is made by own_write stand between two marks, which the
 * events thread's listener understands: what lies between them is skipped.
 */
#include "cache.h"

/* cache_write(c, CACHE_FROM_FILES, ...) with marks around the change's events. */
int own_write(struct cache *c, enum cache_durability durability, int (*change)(cache_tx *tx, void *arg),
              void *arg);

/* Is it a mark? *inside: whether what follows is ours. */
bool own_mark(const struct cache_event *event, bool *inside);
