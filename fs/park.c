/*
 * A parked request can be ended from two sides: the cache calls body_done, or libfuse calls was_interrupted.
 * Both may come at any moment, also while park_wait is still on its way, and libfuse's may not answer (it is
 * called under a lock of the request, which answering frees). So the interrupt only leaves a mark, and the
 * events thread cancels and answers.
 *
 * `busy` says that somebody is dealing with the request right now; body_done then leaves its result in it
 * instead of answering. Who clears busy looks for such a result. Answering a request begins with taking it
 * from the list, under the lock: one does, no one else.
 */
#include "park.h"
#include <errno.h>
#include <stdlib.h>
#include "events.h"

struct parked {
    struct parked *next;
    struct park *park;
    fuse_req_t req;
    int64_t message;
    void (*retry)(fuse_req_t req, void *arg, int err);
    void *arg;
    bool busy, interrupted, done; /* protected by park->lock, as err */
    int err;
};

struct park {
    struct fs *fs;
    pthread_mutex_t lock;
    pthread_cond_t answered;
    struct parked *first; /* protected by lock */
    unsigned alive;       /* protected by lock: in the list, or being answered */
};

int park_new(struct fs *fs, struct park **ret)
{
    struct park *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->fs = fs;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->answered, NULL);
    *ret = p;
    return 0;
}

/* The caller holds the lock. */
static void take_out(struct park *p, struct parked *it)
{
    struct parked **at = &p->first;
    while (*at != it)
        at = &(*at)->next;
    *at = it->next;
}

/* Of a request that is in the list no more. */
static void answer(struct parked *it, int err)
{
    /* Waits for an interrupt that is being noted, and stops further ones: it can be freed then. */
    fuse_req_interrupt_func(it->req, NULL, NULL);
    struct park *p = it->park;
    it->retry(it->req, it->arg, err);
    free(it);
    pthread_mutex_lock(&p->lock);
    if (--p->alive == 0)
        pthread_cond_broadcast(&p->answered);
    pthread_mutex_unlock(&p->lock);
}

static void body_done(void *arg, int err)
{
    struct parked *it = arg;
    struct park *p = it->park;
    pthread_mutex_lock(&p->lock);
    bool busy = it->busy;
    if (busy) {
        it->done = true;
        it->err = err;
    } else {
        take_out(p, it);
    }
    pthread_mutex_unlock(&p->lock);
    if (!busy)
        answer(it, err);
}

static void was_interrupted(fuse_req_t req, void *arg)
{
    struct parked *it = arg;
    (void)req;
    pthread_mutex_lock(&it->park->lock);
    it->interrupted = true;
    pthread_mutex_unlock(&it->park->lock);
    events_wake(it->park->fs->events);
}

/* The caller has dealt with the request, and leaves it to the others, or answers a result that came
 * meanwhile. */
static void end_busy(struct parked *it)
{
    struct park *p = it->park;
    struct events *events = p->fs->events;
    pthread_mutex_lock(&p->lock);
    bool done = it->done, interrupted = it->interrupted;
    it->busy = false;
    if (done)
        take_out(p, it);
    pthread_mutex_unlock(&p->lock);
    if (done)
        answer(it, it->err);
    else if (interrupted)
        events_wake(events);
}

void park_wait(struct park *p, fuse_req_t req, int64_t message,
               void (*retry)(fuse_req_t req, void *arg, int err), void *arg)
{
    struct parked *it = calloc(1, sizeof(*it));
    if (!it) {
        retry(req, arg, -ENOMEM);
        return;
    }
    *it =
        (struct parked){.park = p, .req = req, .message = message, .retry = retry, .arg = arg, .busy = true};
    pthread_mutex_lock(&p->lock);
    it->next = p->first;
    p->first = it;
    p->alive++;
    pthread_mutex_unlock(&p->lock);
    fuse_req_interrupt_func(req, was_interrupted, it);
    int r = cache_want(p->fs->cache, message, body_done, it);
    if (r < 0)
        body_done(it, r);
    end_busy(it);
}

static struct parked *next_interrupted(struct park *p)
{
    pthread_mutex_lock(&p->lock);
    struct parked *it = p->first;
    while (it && (!it->interrupted || it->busy))
        it = it->next;
    if (it) {
        it->busy = true;
        it->interrupted = false;
    }
    pthread_mutex_unlock(&p->lock);
    return it;
}

void park_answer_interrupted(struct park *p)
{
    struct parked *it;
    while ((it = next_interrupted(p))) {
        if (cache_want_cancel(p->fs->cache, it->message, it))
            body_done(it, -EINTR); /* it is busy: only notes that */
        end_busy(it);
    }
}

void park_free(struct park *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    for (struct parked *it = p->first; it; it = it->next)
        it->interrupted = true;
    pthread_mutex_unlock(&p->lock);
    park_answer_interrupted(p);
    /* The rest is being answered by others just now. */
    pthread_mutex_lock(&p->lock);
    while (p->alive > 0)
        pthread_cond_wait(&p->answered, &p->lock);
    pthread_mutex_unlock(&p->lock);
    pthread_cond_destroy(&p->answered);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
