#include "files.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "ahead.h"
#include "log.h"
#include "own.h"
#include "work.h"

enum { BUCKETS = 256 };

struct files {
    struct cache *cache;
    struct ahead *ahead;
    pthread_mutex_t lock; /* a leaf: nothing else is locked, and nothing waited for, while it is held */
    pthread_cond_t yielded;
    /* Protected by lock. */
    struct open_file *bucket[BUCKETS];
    int64_t synced[BUCKETS]; /* rows whose work files were on disk when their records went, as far as is
                                remembered */
};

int files_new(struct cache *c, struct files **ret)
{
    struct files *t = calloc(1, sizeof(*t));
    if (!t)
        return -ENOMEM;
    if (ahead_new(c, &t->ahead) < 0) {
        free(t);
        return -ENOMEM;
    }
    t->cache = c;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->yielded, NULL);
    *ret = t;
    return 0;
}

struct cache *files_cache(struct files *t)
{
    return t->cache;
}

struct ahead *files_ahead(struct files *t)
{
    return t->ahead;
}

/* Where the record is, or where its pointer is to go. The caller holds the lock. */
static struct open_file **find(struct files *t, int64_t id)
{
    struct open_file **at = &t->bucket[(uint64_t)id % BUCKETS];
    while (*at && (*at)->id != id)
        at = &(*at)->next;
    return at;
}

static void claim_locked(struct files *t, struct open_file *f)
{
    while (f->claimed)
        pthread_cond_wait(&t->yielded, &t->lock);
    f->claimed = true;
}

struct open_file *files_enter(struct files *t, int64_t id)
{
    pthread_mutex_lock(&t->lock);
    struct open_file **at = find(t, id);
    if (!*at && (*at = calloc(1, sizeof(**at)))) {
        (*at)->id = id;
        (*at)->fd = -1;
        atomic_store(&(*at)->unsynced, t->synced[(uint64_t)id % BUCKETS] != id);
    }
    struct open_file *f = *at;
    if (f) {
        f->users++;
        claim_locked(t, f);
    }
    pthread_mutex_unlock(&t->lock);
    return f;
}

void files_claim(struct files *t, struct open_file *f)
{
    pthread_mutex_lock(&t->lock);
    claim_locked(t, f);
    pthread_mutex_unlock(&t->lock);
}

void files_yield(struct files *t, struct open_file *f)
{
    pthread_mutex_lock(&t->lock);
    f->claimed = false;
    pthread_cond_broadcast(&t->yielded);
    pthread_mutex_unlock(&t->lock);
}

static int forget_change(cache_tx *tx, void *arg)
{
    return mail_forget_left(tx, *(const int64_t *)arg);
}

static int is_gone(struct cache *c, int64_t id)
{
    struct message m;
    cache_rd *rd = cache_reader(c);
    return rd && message_get(rd, id, &m) == 0 && m.state == MESSAGE_GONE;
}

static void meet_fate(struct files *t, int64_t id, enum mail_fate fate)
{
    int r = 0;
    if (fate == MAIL_FATE_FORGET)
        r = own_write(t->cache, CACHE_SOON, forget_change, &id);
    else if (fate == MAIL_FATE_DROP && is_gone(t->cache, id))
        r = work_remove(t->cache, id);
    if (r < 0)
        log_warning("an unlinked file (row %lld) could not be cleared away: %d", (long long)id, r);
}

static void dispose(struct files *t, struct open_file *f)
{
    io_close(&f->fd);
    meet_fate(t, f->id, f->fate);
    free(f);
}

void files_leave(struct files *t, struct open_file *f)
{
    pthread_mutex_lock(&t->lock);
    bool last = --f->users == 0;
    if (last) {
        struct open_file **at = find(t, f->id);
        *at = f->next;
        t->synced[(uint64_t)f->id % BUCKETS] = atomic_load(&f->unsynced) ? 0 : f->id;
    }
    pthread_mutex_unlock(&t->lock);
    if (last)
        dispose(t, f);
}

/* A handle that was open when the mount ended: what was written to it counts. */
static void close_for_good(struct files *t, struct open_file *f)
{
    while (f->writers > 0) {
        int r = content_end_write(t, f);
        if (r < 0)
            log_error("a file that was being written (row %lld) is not up to date: %d", (long long)f->id, r);
    }
    dispose(t, f);
}

void files_free(struct files *t)
{
    if (!t)
        return;
    for (unsigned i = 0; i < BUCKETS; i++) {
        for (struct open_file *f = t->bucket[i], *next; f; f = next) {
            next = f->next;
            close_for_good(t, f);
        }
    }
    ahead_free(t->ahead);
    pthread_cond_destroy(&t->yielded);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

void files_writer_begin(struct files *t, struct open_file *f)
{
    work_writer_begin(t->cache, f->id);
    pthread_mutex_lock(&t->lock);
    f->writers++;
    pthread_mutex_unlock(&t->lock);
}

void files_writer_end(struct files *t, struct open_file *f)
{
    pthread_mutex_lock(&t->lock);
    bool last = --f->writers == 0;
    pthread_mutex_unlock(&t->lock);
    /* The row may be settled from now on: then the work file is a body, which must not be written to any
     * more. */
    if (last)
        atomic_store(&f->writing, false);
    work_writer_end(t->cache, f->id);
}

bool files_defer(struct files *t, const struct mail_left *left)
{
    if (left->id == 0 || left->fate == MAIL_FATE_NONE)
        return true;
    pthread_mutex_lock(&t->lock);
    struct open_file *f = *find(t, left->id);
    if (f)
        f->fate = left->fate;
    pthread_mutex_unlock(&t->lock);
    return f != NULL;
}

int files_set_time(struct files *t, int64_t id, const struct timespec *mtime)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, *mtime};
    int r = 0;
    pthread_mutex_lock(&t->lock);
    const struct open_file *f = *find(t, id);
    if (f && f->fd >= 0 && atomic_load(&f->writing))
        r = futimens(f->fd, times) < 0 ? -errno : 0;
    pthread_mutex_unlock(&t->lock);
    return r;
}

void files_set_fd(struct files *t, struct open_file *f, int fd)
{
    pthread_mutex_lock(&t->lock);
    f->fd = fd;
    pthread_mutex_unlock(&t->lock);
}

int files_stat(struct files *t, int64_t id, bool writing_only, struct stat *ret)
{
    int r = -ENOENT;
    pthread_mutex_lock(&t->lock);
    const struct open_file *f = *find(t, id);
    /* The lock keeps the record, and so the descriptor, from going away meanwhile. */
    if (f && f->fd >= 0 && (!writing_only || atomic_load(&f->writing)))
        r = fstat(f->fd, ret) < 0 ? -errno : 0;
    pthread_mutex_unlock(&t->lock);
    return r;
}
