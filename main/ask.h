#pragma once
/*
 * Commands that ask an account's daemon, or its cache when it is not mounted: `held` and `restore`.
 */
#include <jansson.h>
#include "config.h"
#include "fault.h"

/*
 * The answer to a request of control.h (held, decide, restorable, restore): from the daemon, or from the
 * cache, which is opened for that, and waited for while another command has it. A new reference, or NULL with
 * f set. A cache that was never made answers as an empty one.
 */
json_t *ask(const struct config_account *a, const char *request, struct fault *f);
/* A text of an answer, "" when it has none. Lives as long as the answer. */
const char *ask_text(const json_t *object, const char *key);

/* What `request` means, on an open cache; NULL for a request that is none of these. */
struct cache;
json_t *ask_cache(struct cache *c, const char *request);
