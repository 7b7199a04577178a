/*
 * A parked request can be ended from two sides: the cache calls body_done, or libfuse calls was_interrupted.
 * Both may come at any moment, also while park_wait is still on its way, and libfuse's may not answer (it is
 * called under a lock of the request, which answering frees). So the interrupt only leaves a mark, and a
 * thread of its own cancels and answers: the events thread may be waiting for the kernel. At the end it does
 * the same with all that wait.
 *
 * `busy` says that somebody is dealing with the request right now; body_done then leaves its result in it
 * instead of answering. Who clears busy looks for such a result. Answering a request begins with taking it
 * from the list, under the lock: one does, no one else.
 */
#include "park.h"
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "clock.h"
#include "log.h"

#define WAIT_MS 60000

struct parked {
    struct parked *next;
    struct park *park;
    fuse_req_t req;
    int64_t message;
    void (*retry)(fuse_req_t req, void *arg, int err);
    void *arg;
    bool busy, done; /* protected by park->lock, as all that follows */
    int err;         /* when it is done */
    int end;         /* it is to be ended with that, 0: not */
    bool over;       /* that was tried because the mount ends: it is answered, or is being answered */
};

struct park {
    struct fs *fs;
    pthread_mutex_t lock;
    pthread_cond_t answered;
    struct parked *first; /* protected by lock */
    unsigned alive;       /* protected by lock: in the list, or being answered */
    bool stop;            /* protected by lock */
    atomic_bool exit;     /* set by a signal handler, too */
    int wake_fd;
    pthread_t thread;
    bool started;
};

int park_new(struct fs *fs, struct park **ret)
{
    struct park *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->fs = fs;
    p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->wake_fd < 0) {
        int err = -errno;
        free(p);
        return err;
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->answered, NULL);
    *ret = p;
    return 0;
}

static void wake(struct park *p)
{
    uint64_t one = 1;
    ssize_t n = write(p->wake_fd, &one, sizeof(one));
    (void)n; /* full means: it will wake anyway */
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
    it->end = -EINTR;
    pthread_mutex_unlock(&it->park->lock);
    wake(it->park);
}

/* The caller has dealt with the request, and leaves it to the others, or answers a result that came
 * meanwhile. */
static void end_busy(struct parked *it)
{
    struct park *p = it->park;
    pthread_mutex_lock(&p->lock);
    bool done = it->done, end = it->end;
    it->busy = false;
    if (done)
        take_out(p, it);
    pthread_mutex_unlock(&p->lock);
    if (done)
        answer(it, it->err);
    else if (end || atomic_load(&p->exit))
        wake(p);
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
    int r = atomic_load(&p->exit) ? -EIO : cache_want(p->fs->cache, message, body_done, it);
    if (r < 0)
        body_done(it, r);
    end_busy(it);
}

bool park_again(int64_t since_ms)
{
    return clock_boot_ms() - since_ms < WAIT_MS;
}

/* ---- the thread ---- */

static struct parked *next_to_end(struct park *p, int *ret_err)
{
    bool all = atomic_load(&p->exit);
    pthread_mutex_lock(&p->lock);
    struct parked *it = p->first;
    while (it && (it->busy || (!it->end && (!all || it->over))))
        it = it->next;
    if (it) {
        *ret_err = it->end ? it->end : -EIO;
        it->busy = true;
        it->over = all;
        it->end = 0;
    }
    pthread_mutex_unlock(&p->lock);
    return it;
}

static void end_those_marked(struct park *p)
{
    struct parked *it;
    int err;
    while ((it = next_to_end(p, &err))) {
        if (cache_want_cancel(p->fs->cache, it->message, it))
            body_done(it, err); /* it is busy: only notes that */
        end_busy(it);
    }
}

static bool is_stopped(struct park *p)
{
    pthread_mutex_lock(&p->lock);
    bool stop = p->stop;
    pthread_mutex_unlock(&p->lock);
    return stop;
}

static void *run(void *arg)
{
    struct park *p = arg;
    struct pollfd wait = {.fd = p->wake_fd, .events = POLLIN};
    uint64_t count;
    while (!is_stopped(p)) {
        if (poll(&wait, 1, -1) > 0 && read(p->wake_fd, &count, sizeof(count)) < 0)
            log_debug("woken for nothing");
        end_those_marked(p);
    }
    return NULL;
}

int park_start(struct park *p)
{
    int r = -pthread_create(&p->thread, NULL, run, p);
    p->started = r == 0;
    return r;
}

void park_exit(struct park *p)
{
    int saved = errno;
    atomic_store(&p->exit, true);
    wake(p);
    errno = saved;
}

void park_free(struct park *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_mutex_unlock(&p->lock);
    park_exit(p);
    if (p->started)
        pthread_join(p->thread, NULL);
    end_those_marked(p);
    /* The rest is being answered by others just now. */
    pthread_mutex_lock(&p->lock);
    while (p->alive > 0)
        pthread_cond_wait(&p->answered, &p->lock);
    pthread_mutex_unlock(&p->lock);
    pthread_cond_destroy(&p->answered);
    pthread_mutex_destroy(&p->lock);
    io_close(&p->wake_fd);
    free(p);
}
