#pragma once
/*
 * The engine of one account: threads that merge cache and server, as changes happen. It meets the file side
 * only in the cache.
 */
#include <stdbool.h>
#include <stdint.h>
#include "cache.h"
#include "config.h"
#include "worker.h"

struct engine;

/* new_worker makes one session's worker: the IMAP one, or a test's. Nothing starts yet. */
struct engine *engine_new(struct cache *c, const struct config_account *a,
                          struct worker *(*new_worker)(void *arg), void *arg);

/* Connects once, reads the mailbox list into the cache: for a first mount. 0, or a negative errno with f set.
 * Not while running. */
int engine_first(struct engine *e, struct fault *f);

int engine_start(struct engine *e); /* the threads */
void engine_stop(struct engine *e); /* ends them, cancelling what waits; pending work stays in the cache */
void engine_free(struct engine *e); /* NULL is allowed */

void engine_wake(struct engine *e); /* a round now, back-off or not. Any thread */

/* A round now, and wait until both sides agree: 0, -EAGAIN after timeout_ms (-1: none), -ESHUTDOWN. Any
 * thread. */
int engine_sync(struct engine *e, int timeout_ms);

struct engine_status {
    bool online;
    bool syncing;
    char doing[128];   /* "INBOX: fetching", no mail content */
    char problem[512]; /* the last connection problem, or that the server asks for a pause; "" when on line */
    enum fault_exit problem_exit; /* what a command ends with for it, FAULT_OK when there is none */
    int64_t retry_s;              /* seconds to the next attempt, when there is a problem */
    uint64_t bodies_left, bytes_left, bodies_done, bytes_done; /* of the downloads under way */
    double bytes_per_s;
    uint64_t cache_octets; /* that bodies take on disk; counted only where there is a cache_limit, else 0 */
    int64_t last_sync_s;   /* seconds since 1970, 0 never */
    uint64_t rounds;
    struct worker_description session;
};
bool engine_is_online(struct engine *e); /* any thread; of engine_status only this, without counting */
void engine_get_status(struct engine *e, struct engine_status *ret);
