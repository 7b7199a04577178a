/*
 * What a request costs is mostly two wake-ups: the kernel wakes a thread of ours for it, and our answer wakes
 * the program that asked. Where all threads wait in read(2), the kernel wakes the one that has waited
 * longest, on a core that has fallen asleep, with nothing of it in the caches. A program that opens one file
 * after another waits for that longer than for all else.
 *
 * So one thread *leads*: it alone takes requests, and carries them out itself. When there are none, it asks
 * for more without waiting, for a tenth of a millisecond, and only then sleeps until the kernel has one. It
 * does that only where the request before came as soon: whoever asks for something now and then is not worth
 * a core, and a mount that nobody uses costs nothing. Between two questions it gives its core to anybody who
 * wants it (sched_yield), so that on a busy machine it takes from nobody, and who was given the core is often
 * the program that it waits for: two that share a core need no wake-up at all.
 *
 * Whoever leads may have to wait, for the disk or for a lock, and others shall not wait for that. Another
 * thread *watches*: it looks about once a millisecond, and if the leader is busy with the same request as
 * when it looked last, it leads instead. Where a handler knows that it is going to wait it says so
 * (loop_will_wait), and the watch leads at once. The leader finds that out when it is done, and joins those
 * who *follow*, of whom one becomes the watch, and the others do nothing. Both count on one number, the beat:
 * even while the leader looks for a request, odd while it carries one out. Who leads is decided by who adds
 * the one that makes it even again; so there is always exactly one, without a lock on the way of a request. A
 * watch that has seen nothing happen for a millisecond sleeps, and is woken with the next request.
 *
 * Where many programs ask at once there is always a next request. A leader that has not seen the end of them
 * for a while asks a follower to *help*: to take and carry out requests until there are none. Where a leader
 * had to be relieved, the loop is pressed until there are none: then each request is begun with a call for
 * help, for ten that wait for the disk at once are what the disk is fastest with.
 *
 * The connection's descriptor does not block, and who leads sleeps in poll(2), where an event can wake it
 * as well: that is how the loop is ended from outside.
 */
#include "loop.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include "clock.h"

#define THREADS_MAX 10 /* as many requests can be waiting for the disk at once */
/* A wake-up is 5 to 50 µs, and what programs do between two requests is mostly less than that. */
#define SPIN_NS (100 * 1000)
#define WATCH_NS (1000 * 1000)
/* Requests without seeing the end of them: a single program's opens and closes make no more than a few. */
#define LONG_RUN 8

struct loop {
    struct fuse_session *se;
    int wake_fd;        /* readable: it ends */
    atomic_bool exit;   /* set by signal handlers, too */
    atomic_ullong beat; /* see above */
    atomic_bool watch_sleeps;
    atomic_bool pressed; /* a leader was relieved, and the end of the requests was not seen since */

    pthread_mutex_t lock;  /* protects what follows; nothing is waited for under it */
    pthread_cond_t follow; /* those who neither watch nor help */
    pthread_cond_t watch;
    bool watched, over;
    unsigned long long relieve; /* the beat at which the leader was about to wait */
    unsigned following;         /* waiting for `follow` */
    unsigned help;              /* followers asked to help who have not begun */
    int error;                  /* why it is over: a negative errno */
    unsigned threads;           /* without the one that runs it */
    pthread_t thread[THREADS_MAX - 1];
};

/* The loop that this thread leads, while it carries a request out and has not said that it will wait. */
static _Thread_local struct loop *leading;
static _Thread_local unsigned long long leading_beat;

static void *run_follower(void *arg);

/* ---- taking requests ---- */

/* Does not wait. Returns the request's size, 0 when there will be none any more, -EAGAIN when there is none,
 * or another negative errno. */
static int take(struct loop *l, struct fuse_buf *buf)
{
    int r;
    do {
        if (atomic_load(&l->exit))
            return 0;
        r = fuse_session_receive_buf(l->se, buf);
    } while (r == -EINTR);
    return r == -ECONNABORTED ? 0 : r; /* the kernel may say that, too, where it ends the connection */
}

static void sleep_until_request(struct loop *l)
{
    struct pollfd p[2] = {{.fd = fuse_session_fd(l->se), .events = POLLIN},
                          {.fd = l->wake_fd, .events = POLLIN}};
    poll(p, 2, -1); /* whatever it says, the next read tells */
}

/* Between two requests of a leader: when the last was done, and whether it came soon after the one before. */
struct pace {
    int64_t done_ns;
    bool brisk;
    unsigned run; /* of requests none of which had to be waited for */
};

/* As take, but waits until there is one. */
static int await(struct loop *l, struct fuse_buf *buf, struct pace *pace)
{
    int r = take(l, buf);
    if (r != -EAGAIN) {
        pace->run++;
        return r;
    }
    pace->run = 0;
    atomic_store(&l->pressed, false);
    while (r == -EAGAIN) {
        if (pace->brisk && clock_monotonic_ns() - pace->done_ns < SPIN_NS)
            sched_yield();
        else
            sleep_until_request(l);
        r = take(l, buf);
    }
    pace->brisk = clock_monotonic_ns() - pace->done_ns < SPIN_NS;
    return r;
}

/* ---- threads ---- */

/* The caller holds the lock. Wakes one of those who follow, or makes another; `taken` of them are woken for
 * something else. Returns false when there is none. */
static bool need_follower(struct loop *l, unsigned taken)
{
    if (l->following > taken) {
        pthread_cond_signal(&l->follow);
        return true;
    }
    if (l->threads == THREADS_MAX - 1 || l->over ||
        pthread_create(&l->thread[l->threads], NULL, run_follower, l) != 0)
        return false;
    l->threads++;
    return true;
}

static void end(struct loop *l, int error)
{
    pthread_mutex_lock(&l->lock);
    l->over = true;
    if (error < 0)
        l->error = error;
    pthread_cond_broadcast(&l->follow);
    pthread_cond_signal(&l->watch);
    pthread_mutex_unlock(&l->lock);
}

void loop_will_wait(void)
{
    struct loop *l = leading;
    if (!l)
        return;
    leading = NULL;
    pthread_mutex_lock(&l->lock);
    l->relieve = leading_beat;
    pthread_cond_signal(&l->watch);
    pthread_mutex_unlock(&l->lock);
}

static void wake_watch(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    pthread_cond_signal(&l->watch);
    pthread_mutex_unlock(&l->lock);
}

static void call_for_help(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    if (need_follower(l, l->help + !l->watched))
        l->help++;
    pthread_mutex_unlock(&l->lock);
}

/* Is it over as it should be: the file system unmounted, or the loop told to end? Else libfuse has given up.
 */
static bool is_over(struct loop *l)
{
    struct pollfd p = {.fd = fuse_session_fd(l->se)};
    return atomic_load(&l->exit) || (poll(&p, 1, 0) == 1 && p.revents & POLLERR);
}

/* Returns when somebody else leads, or it is over. */
static void lead(struct loop *l, struct fuse_buf *buf)
{
    unsigned long long beat = atomic_load(&l->beat);
    struct pace pace = {0};
    int r;
    while ((r = await(l, buf, &pace)) > 0) {
        atomic_store(&l->beat, ++beat);
        if (atomic_load(&l->watch_sleeps) && atomic_exchange(&l->watch_sleeps, false))
            wake_watch(l);
        if (pace.run == LONG_RUN || atomic_load(&l->pressed)) {
            pace.run = 0;
            call_for_help(l);
        }
        leading = l;
        leading_beat = beat;
        fuse_session_process_buf(l->se, buf);
        leading = NULL;
        unsigned long long own = beat;
        if (!atomic_compare_exchange_strong(&l->beat, &own, ++beat))
            return;
        pace.done_ns = clock_monotonic_ns();
    }
    end(l, r < 0 || is_over(l) ? r : -EPROTO);
}

/* Until there are no requests. What goes wrong the leader finds out as well. */
static void help(struct loop *l, struct fuse_buf *buf)
{
    while (take(l, buf) > 0) {
        if (atomic_load(&l->pressed))
            call_for_help(l);
        fuse_session_process_buf(l->se, buf);
    }
}

/* The caller holds the lock. */
static void wait_a_moment(struct loop *l)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += WATCH_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&l->watch, &l->lock, &until);
}

/* The caller holds the lock. Returns whether to lead; false: it is over. */
static bool keep_watch(struct loop *l)
{
    while (!l->over) {
        unsigned long long seen = atomic_load(&l->beat);
        if (l->relieve != seen)
            wait_a_moment(l); /* if it is woken early, it relieves early: no harm is done */
        unsigned long long now = seen;
        if (seen % 2 != 0 && atomic_compare_exchange_strong(&l->beat, &now, seen + 1)) {
            atomic_store(&l->pressed, true);
            return true;
        }
        if (now != seen || l->over)
            continue;
        atomic_store(&l->watch_sleeps, true);
        if (atomic_load(&l->beat) == seen) /* if not, who leads may have looked before that was stored */
            pthread_cond_wait(&l->watch, &l->lock);
        atomic_store(&l->watch_sleeps, false);
    }
    return false;
}

enum task { LEAD, HELP, NOTHING };

static enum task follow(struct loop *l)
{
    enum task task = NOTHING;
    pthread_mutex_lock(&l->lock);
    while (task == NOTHING && !l->over) {
        if (!l->watched) {
            l->watched = true;
            task = keep_watch(l) ? LEAD : NOTHING;
            l->watched = false;
        } else if (l->help > 0) {
            l->help--;
            task = HELP;
        } else {
            l->following++;
            pthread_cond_wait(&l->follow, &l->lock);
            l->following--;
        }
    }
    if (task == LEAD)
        need_follower(l, l->help); /* for the watch; where there can be none, the next who comes back is it */
    pthread_mutex_unlock(&l->lock);
    return task;
}

static void serve(struct loop *l, enum task task)
{
    struct fuse_buf buf = {0};
    for (; task != NOTHING; task = follow(l)) {
        if (task == LEAD)
            lead(l, &buf);
        else
            help(l, &buf);
    }
    free(buf.mem);
}

static void *run_follower(void *arg)
{
    struct loop *l = arg;
    serve(l, follow(l));
    return NULL;
}

/* ---- the loop ---- */

int loop_new(struct loop **ret)
{
    struct loop *l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->relieve = ULLONG_MAX;
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wake_fd < 0) {
        int err = -errno;
        free(l);
        return err;
    }
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&l->watch, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_cond_init(&l->follow, NULL);
    pthread_mutex_init(&l->lock, NULL);
    *ret = l;
    return 0;
}

int loop_run(struct loop *l, struct fuse_session *se)
{
    l->se = se;
    int fd = fuse_session_fd(se), flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    pthread_mutex_lock(&l->lock);
    need_follower(l, 0);
    bool watched = l->threads > 0;
    pthread_mutex_unlock(&l->lock);
    if (!watched)
        return -EAGAIN;
    serve(l, LEAD);
    /* It is over: none is added any more. */
    for (unsigned i = 0; i < l->threads; i++)
        pthread_join(l->thread[i], NULL);
    return l->error;
}

void loop_exit(struct loop *l)
{
    int saved = errno;
    uint64_t one = 1;
    atomic_store(&l->exit, true);
    ssize_t n = write(l->wake_fd, &one, sizeof(one));
    (void)n; /* full means: it wakes anyway */
    errno = saved;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    pthread_cond_destroy(&l->follow);
    pthread_cond_destroy(&l->watch);
    pthread_mutex_destroy(&l->lock);
    close(l->wake_fd);
    free(l);
}
