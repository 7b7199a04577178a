#pragma once
/*
 * A person's decisions: about what the brake holds (held.h), and about what the server refused (struct
 * failure). Each is one change of the cache, from any thread; the engine is to be woken afterwards and finds
 * the result. -ENOENT: there is no such thing (any more).
 */
#include "cache.h"

/* The removal goes on: here at once, on the server with the next push. */
int hold_approve(struct cache *c, int64_t id);
/* It does not: mail that was removed here is shown again; mail that the server lost is sent to it anew. */
int hold_revert(struct cache *c, int64_t id);

/* What was refused is tried again at once. Ids are those of struct failure. */
int refusal_retry(struct cache *c, int64_t id);
/* The change here that was refused is taken back: what the base knows is as the base says; mail that the
 * server never had goes to the restorable mail. -ENOTSUP: a refusal that is about a mailbox; -EAGAIN: it is
 * being sent, and what became of that is not known yet. */
int refusal_revert(struct cache *c, int64_t id);
