#pragma once
/*
 * Bodies that will be read next, read from the disk in advance. ahead.c says for whom.
 */
#include <stdint.h>
#include "message.h"

struct ahead;

int ahead_new(struct cache *c, struct ahead **ret); /* 0, -ENOMEM; no thread yet */
void ahead_free(struct ahead *a);                   /* NULL is allowed */
/* The body of a message was opened for somebody, which took that long. Any thread; waits for nothing. */
void ahead_opened(struct ahead *a, const struct message *m, int64_t took_ns);
