#pragma once
/*
 * The state of an account as one JSON object (mailmount(1), STATUS, lists its fields), and as text made from
 * that object, so that a daemon's answer and a look at the cache without one print alike.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct cache;
struct engine;

struct status_source {
    const char *account, *data_dir;
    const char *mountpoint; /* NULL: not mounted */
    struct cache *cache;    /* NULL: there is none yet */
    struct engine *engine;  /* NULL: nothing runs */
};

/* A new reference; NULL without memory. Thread: any. */
json_t *status_json(const struct status_source *s);

/* What the server refused, a line each, for .mailmount/errors. Caller frees; NULL without memory. */
char *status_errors(struct cache *c);

/* A JSON string of octets that may be no UTF-8. A new reference. */
json_t *status_string(const char *text);

void status_print(const json_t *status, FILE *out, bool colour);
