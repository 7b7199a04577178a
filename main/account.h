#pragma once
/* An account at work in this process: its cache and its engine, with the IMAP worker between them. No file
 * system yet. */
#include <stdbool.h>
#include "cache.h"
#include "config.h"
#include "engine.h"

struct account {
    const struct config_account *config; /* borrowed */
    struct cache *cache;
    struct engine *engine;
    _Atomic int64_t worker_memory; /* see imap.h */
    bool fresh; /* no mailbox is known yet: nothing to list before the server was asked */
};

/* Opens the cache, recovers work files, makes the engine. Never waits for the network. Zero-initialised is
 * closed, and so is *a after an error. serves: this process answers on the control socket, so nobody else
 * need look into the cache. */
int account_open(struct account *a, const struct config_account *config, bool serves, struct fault *f);
void account_close(struct account *a); /* everything is on disk afterwards; a stopped engine only */

/* Tries one connection and login of its own, to learn why the engine is off line. 0: it worked. */
int account_probe(struct account *a, struct fault *f);

/* Logs go to data_dir/log from here on; a log of more than 10 MB becomes log.1. */
int account_log_to_file(struct account *a);
