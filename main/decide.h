#pragma once
/*
 * What people decide: about held and refused changes, and which deleted mail comes back. The same for a
 * daemon, which answers its control socket with this, and for a command that opens the cache of an account
 * that is not mounted. All results are new references, NULL without memory. Thread: any, with the cache open.
 */
#include <jansson.h>

struct cache;

/* {"held": [{"id", "mailbox", "side": "here" | "server", "whole", "messages", "at"}],
 *  "refused": [{"id", "mailbox", "message", "what", "why", "attempts", "at", "retry_at"}]}: ids are strings,
 * "12" for what the brake holds, "r7" for what the server refused. */
json_t *decide_list(struct cache *c);

/* verb "approve" or "revert", id one of the list's or "all": {"result": "done" | "unknown" | "failed", "why",
 * "count"}. */
json_t *decide(struct cache *c, const char *verb, const char *id);

/* {"messages": [{"id", "mailbox", "removed_at", "size", "from", "subject"}]}, latest first. */
json_t *decide_restorable(struct cache *c);

/* id a message's number: {"result", "why", "count"} as decide. */
json_t *decide_restore(struct cache *c, const char *id);
