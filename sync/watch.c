/*
 * The watcher: a session of its own that waits in IDLE on the inbox and tells the engine's thread that there
 * is news. It reads nothing and changes nothing; what happened is found out by the engine's scan. The other
 * mailboxes are polled.
 */
#include "log.h"
#include "private.h"

#define WATCH_TIMEOUT_MS (20 * 60 * 1000)

static bool wait_until_online(struct engine *e, int pause_s)
{
    struct timespec at;
    pthread_mutex_lock(&e->lock);
    if (pause_s && !e->stop) {
        clock_gettime(CLOCK_MONOTONIC, &at);
        at.tv_sec += pause_s;
        pthread_cond_timedwait(&e->fetch, &e->lock, &at);
    }
    while (!e->stop && !e->online)
        pthread_cond_wait(&e->fetch, &e->lock);
    bool go = !e->stop;
    pthread_mutex_unlock(&e->lock);
    return go && engine_wait_pause(e);
}

void *watch_main(void *arg)
{
    struct engine *e = arg;
    struct worker *w = e->new_worker(e->new_worker_arg);
    int pause_s = 0;

    if (!w || !engine_register(e, w))
        goto out;
    while (wait_until_online(e, pause_s)) {
        struct mailbox inbox;
        struct worker_error error = {0};
        bool changed = false;

        pause_s = 2;
        if (mailbox_find(cache_reader(e->cache), 0, "INBOX", &inbox) < 0 || !inbox.on_server)
            continue;
        enum worker_result r = w->ops->watch(w, inbox.remote, WATCH_TIMEOUT_MS, &changed, &error);
        if (r == WORKER_DONE) {
            pause_s = 0;
            if (changed)
                engine_hint(e, HINT_PUSH);
            continue;
        }
        log_debug("watching ended: %s", error.text);
        engine_pause(e, error.retry_ms);
        w->ops->reset(w);
        /* News may have come while nobody watched. */
        engine_hint(e, HINT_PUSH);
    }
    engine_unregister(e, w);
out:
    if (w)
        w->ops->destroy(w);
    return NULL;
}
