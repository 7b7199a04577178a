/*
 * Who goes through a mailbox whose bodies are not in memory waits for the disk with each message, for the
 * inode and then for the octets, and the disk has one thing to do at a time. But what is wanted next is
 * known: programs read in the order of a listing or of inode numbers, and both are the order of row ids.
 *
 * So opens that took long are looked at. Three of them in one directory, each behind the one before, are
 * somebody who goes through it: the bodies of a part of what comes next are opened and their octets asked
 * for, by several threads at once. When the program has come to the middle of it, the next part is due, twice
 * as large. That ends with the directory, when all of a part was in memory anyway, or when the program went
 * elsewhere; three slow opens are needed again then, so that somebody who reads here and there has little
 * read in vain. A mailbox that is in memory costs a comparison an open.
 *
 * Nothing else comes of it: a body that cannot be opened is left to who wants it.
 */
#include "ahead.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include "body.h"
#include "clock.h"

#define SLOW_NS (40 * 1000) /* an inode that is in memory is opened in a tenth of that */
#define SLOW_OPENS 3        /* as many make somebody who goes through */
#define PART_MIN 16
#define PART_MAX 128
#define THREADS 4

struct ahead {
    struct cache *cache;
    atomic_llong mark; /* the message whose opening makes the next part due; INT64_MAX: none */

    pthread_mutex_t lock; /* a leaf; protects what follows */
    pthread_cond_t work;
    int64_t mailbox; /* the directory that somebody seems to go through */
    enum sub sub;
    int64_t last;           /* the last slow open in it, */
    unsigned opens;         /* and how many there were, each behind the one before */
    int64_t end;            /* what is read ahead begins behind this message, or has come to it */
    unsigned size;          /* of the next part */
    bool due;               /* it is to be looked up */
    unsigned parts;         /* so far */
    unsigned n, next, done; /* of this part; */
    unsigned slow;          /* and how many of them were not in memory */
    struct message part[PART_MAX];
    bool stop;
    unsigned threads;
    pthread_t thread[THREADS];
};

/* The caller holds the lock. */
static void follow_nobody(struct ahead *a)
{
    a->opens = 0;
    a->end = 0;
    a->size = PART_MIN;
    a->due = false;
    a->n = a->next = 0;
    atomic_store(&a->mark, INT64_MAX);
}

/* ---- the threads ---- */

struct looked_up {
    unsigned n, max;
    struct message part[PART_MAX];
};

static int add(void *arg, const struct message *m)
{
    struct looked_up *l = arg;
    l->part[l->n++] = *m;
    return l->n == l->max;
}

/* The caller holds the lock, which is given up meanwhile. */
static void look_up(struct ahead *a, struct looked_up *l)
{
    if (a->end < a->last) /* whoever is followed is ahead of us */
        a->end = a->last;
    int64_t mailbox = a->mailbox, after = a->end;
    enum sub sub = a->sub;
    *l = (struct looked_up){.max = a->size};
    pthread_mutex_unlock(&a->lock);
    cache_rd *rd = cache_reader(a->cache);
    if (rd)
        message_each(rd, mailbox, sub, after, add, l);
    pthread_mutex_lock(&a->lock);
    if (!a->due || a->mailbox != mailbox || a->sub != sub || a->end != after)
        return; /* somebody else is followed now */
    a->due = false;
    if (l->n == 0) {
        follow_nobody(a);
        return;
    }
    for (unsigned i = 0; i < l->n; i++)
        a->part[i] = l->part[i];
    a->n = l->n;
    a->next = a->done = a->slow = 0;
    a->parts++;
    a->end = l->part[l->n - 1].id;
    a->size = 2 * a->size < PART_MAX ? 2 * a->size : PART_MAX;
    atomic_store(&a->mark, l->part[l->n / 2].id);
    pthread_cond_broadcast(&a->work);
}

/* The caller holds the lock, which is given up meanwhile. */
static void read_next(struct ahead *a)
{
    const struct message m = a->part[a->next++];
    unsigned part = a->parts;
    bool slow = m.id <= a->last; /* too late */
    if (!slow) {
        pthread_mutex_unlock(&a->lock);
        int64_t begun_ns = clock_monotonic_ns();
        body_read_ahead(a->cache, &m);
        slow = clock_monotonic_ns() - begun_ns > SLOW_NS;
        pthread_mutex_lock(&a->lock);
    }
    if (part != a->parts)
        return;
    a->slow += slow;
    /* A thread that had to wait for its core looks slow as well. */
    if (++a->done == a->n && a->slow <= a->n / 8)
        follow_nobody(a);
}

static void *run(void *arg)
{
    struct ahead *a = arg;
    struct looked_up *l = NULL;
    pthread_mutex_lock(&a->lock);
    /* The first one looks up: each that does has a connection to the database. */
    if (pthread_equal(pthread_self(), a->thread[0]))
        l = malloc(sizeof(*l));
    while (!a->stop) {
        if (a->next < a->n)
            read_next(a);
        else if (l && a->due)
            look_up(a, l);
        else
            pthread_cond_wait(&a->work, &a->lock);
    }
    pthread_mutex_unlock(&a->lock);
    free(l);
    return NULL;
}

/* ---- who is followed ---- */

/* The caller holds the lock. */
static void make_due(struct ahead *a)
{
    a->due = true;
    atomic_store(&a->mark, INT64_MAX);
    while (a->threads < THREADS && pthread_create(&a->thread[a->threads], NULL, run, a) == 0)
        a->threads++;
    pthread_cond_broadcast(&a->work);
}

/* The caller holds the lock. */
static void note_slow(struct ahead *a, const struct message *m)
{
    bool is_followed = atomic_load(&a->mark) != INT64_MAX;
    bool elsewhere = m->mailbox != a->mailbox || m->sub != a->sub || m->id <= a->last;
    if (elsewhere || (is_followed && m->id > a->end))
        follow_nobody(a);
    a->mailbox = m->mailbox;
    a->sub = m->sub;
    a->last = m->id;
    if (++a->opens == SLOW_OPENS)
        make_due(a);
}

void ahead_opened(struct ahead *a, const struct message *m, int64_t took_ns)
{
    bool slow = took_ns > SLOW_NS;
    if (!slow && m->id < atomic_load(&a->mark))
        return;
    pthread_mutex_lock(&a->lock);
    if (slow)
        note_slow(a, m);
    if (m->mailbox == a->mailbox && m->sub == a->sub && m->id >= atomic_load(&a->mark) && m->id <= a->end)
        make_due(a);
    pthread_mutex_unlock(&a->lock);
}

/* ---- beginning and end ---- */

int ahead_new(struct cache *c, struct ahead **ret)
{
    struct ahead *a = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    a->cache = c;
    follow_nobody(a);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->work, NULL);
    *ret = a;
    return 0;
}

void ahead_free(struct ahead *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_broadcast(&a->work);
    pthread_mutex_unlock(&a->lock);
    for (unsigned i = 0; i < a->threads; i++)
        pthread_join(a->thread[i], NULL);
    pthread_cond_destroy(&a->work);
    pthread_mutex_destroy(&a->lock);
    free(a);
}
