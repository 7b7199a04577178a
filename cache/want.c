/*
 * Wishes for bodies: who waits for which message. They live in memory only, for those who wait do so too, and
 * there are never more of them than requests that the kernel has under way: a list will do.
 *
 * No callback is ever called with the lock held.
 */
#include "private.h"
#include <errno.h>
#include <stdlib.h>

struct waiter {
    void (*done)(void *arg, int err);
    void *arg;
    struct waiter *next;
};

struct wish {
    int64_t message;
    bool taken;        /* the fetching side knows */
    unsigned returned; /* how often it did not get it */
    struct waiter *first;
    struct wish *next;
};

struct wishes {
    pthread_mutex_t lock;
    struct wish *first;      /* protected by lock: in the order of asking */
    void (*wake)(void *arg); /* constant once threads run */
    void *wake_arg;
};

int wishes_new(struct wishes **ret)
{
    struct wishes *w = calloc(1, sizeof *w);
    if (!w)
        return -ENOMEM;
    pthread_mutex_init(&w->lock, NULL);
    *ret = w;
    return 0;
}

/* Where the wish for this message hangs, or would hang: at the end. */
static struct wish **find(struct wishes *w, int64_t message)
{
    struct wish **at = &w->first;
    while (*at && (*at)->message != message)
        at = &(*at)->next;
    return at;
}

static struct wish *detach(struct wish **at)
{
    struct wish *wish = *at;
    *at = wish->next;
    return wish;
}

static void answer(struct wish *wish, int err)
{
    for (struct waiter *i = wish->first, *next; i; i = next) {
        next = i->next;
        i->done(i->arg, err);
        free(i);
    }
    free(wish);
}

void wishes_free(struct wishes *w)
{
    if (!w)
        return;
    while (w->first)
        answer(detach(&w->first), -ENETDOWN);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

/* Hangs the waiter in; takes spare when the message has no wish yet. Is this news to the fetching side? */
static bool join(struct wishes *w, struct wish **spare, int64_t message, struct waiter *waiter)
{
    pthread_mutex_lock(&w->lock);
    struct wish **at = find(w, message);
    bool news = !*at;
    if (news) {
        *at = *spare;
        *spare = NULL;
    }
    waiter->next = (*at)->first;
    (*at)->first = waiter;
    pthread_mutex_unlock(&w->lock);
    return news;
}

int cache_want(struct cache *c, int64_t message, void (*done)(void *arg, int err), void *arg)
{
    struct wishes *w = c->wishes;
    struct wish *wish = calloc(1, sizeof *wish);
    struct waiter *waiter = calloc(1, sizeof *waiter);
    if (!wish || !waiter) {
        free(wish);
        free(waiter);
        return -ENOMEM;
    }
    wish->message = message;
    waiter->done = done;
    waiter->arg = arg;
    bool news = join(w, &wish, message, waiter);
    free(wish);
    if (news && w->wake)
        w->wake(w->wake_arg);
    return 0;
}

/* Takes the waiter out; a wish that nobody knows of and nobody waits for goes with it. */
static struct waiter *leave(struct wishes *w, int64_t message, const void *arg)
{
    struct wish **at = find(w, message);
    if (!*at)
        return NULL;
    struct waiter **place = &(*at)->first;
    while (*place && (*place)->arg != arg)
        place = &(*place)->next;
    struct waiter *waiter = *place;
    if (!waiter)
        return NULL;
    *place = waiter->next;
    if (!(*at)->first && !(*at)->taken)
        free(detach(at));
    return waiter;
}

bool cache_want_cancel(struct cache *c, int64_t message, void *arg)
{
    struct wishes *w = c->wishes;
    pthread_mutex_lock(&w->lock);
    struct waiter *waiter = leave(w, message, arg);
    pthread_mutex_unlock(&w->lock);
    free(waiter);
    return waiter != NULL;
}

size_t cache_wanted_take(struct cache *c, int64_t *messages, size_t max)
{
    struct wishes *w = c->wishes;
    size_t n = 0;
    pthread_mutex_lock(&w->lock);
    for (struct wish *i = w->first; i && n < max; i = i->next) {
        if (i->taken)
            continue;
        i->taken = true;
        messages[n++] = i->message;
    }
    pthread_mutex_unlock(&w->lock);
    return n;
}

bool cache_wanted_return(struct cache *c, int64_t message, unsigned most)
{
    struct wishes *w = c->wishes;
    pthread_mutex_lock(&w->lock);
    struct wish **at = find(w, message);
    struct wish *nobodys = NULL;
    bool again = !*at || (*at)->returned < most;
    if (*at && !(*at)->first) {
        nobodys = detach(at); /* all who waited have gone */
    } else if (*at && again) {
        (*at)->taken = false;
        (*at)->returned++;
    }
    pthread_mutex_unlock(&w->lock);
    free(nobodys);
    return again;
}

void cache_wanted_done(struct cache *c, int64_t message, int err)
{
    struct wishes *w = c->wishes;
    pthread_mutex_lock(&w->lock);
    struct wish **at = find(w, message);
    struct wish *wish = *at ? detach(at) : NULL;
    pthread_mutex_unlock(&w->lock);
    if (wish)
        answer(wish, err);
}

void cache_on_want(struct cache *c, void (*wake)(void *arg), void *arg)
{
    c->wishes->wake_arg = arg;
    c->wishes->wake = wake;
}
