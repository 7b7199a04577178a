#include "work.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "body_store.h"
#include "private.h"
#include "work_table.h"

int work_open_table(struct cache *c)
{
    struct work_table *t = calloc(1, sizeof(*t));
    if (!t)
        return -ENOMEM;
    c->work = t;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->settled, NULL);
    t->workfd = dir_open(c->dirfd, "work");
    t->unsentfd = dir_open(c->dirfd, "unsent");
    int r = spare_open(t, c->dirfd);
    if (r == 0)
        r = t->workfd < 0 ? t->workfd : t->unsentfd < 0 ? t->unsentfd : 0;
    if (r < 0)
        work_close_table(c);
    return r;
}

void work_close_table(struct cache *c)
{
    struct work_table *t = c->work;
    if (!t)
        return;
    c->work = NULL;
    io_close(&t->workfd);
    io_close(&t->unsentfd);
    spare_close(t);
    for (unsigned i = 0; i < WORK_BUCKETS; i++) {
        for (struct work_entry *e = t->bucket[i], *next; e; e = next) {
            next = e->next;
            free(e);
        }
    }
    pthread_cond_destroy(&t->settled);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

void work_name(int64_t id, char ret[WORK_NAME_MAX])
{
    snprintf(ret, WORK_NAME_MAX, "%" PRId64, id);
}

int64_t work_name_id(const char *name)
{
    char again[WORK_NAME_MAX];
    char *end;
    errno = 0;
    long long id = strtoll(name, &end, 10);
    if (errno || *end || id <= 0)
        return -1;
    work_name(id, again);
    for (size_t i = 0; again[i] || name[i]; i++)
        if (again[i] != name[i])
            return -1; /* blanks, signs, leading zeros: not a name of ours */
    return id;
}

/* Makes work/<id> afresh, with what `from` holds (-1: nothing), beside the old file if there is one: that may
 * be another name of a body, and must not be written to. Returns the descriptor. */
static int make_anew(struct work_table *t, int64_t id, int from)
{
    char name[WORK_NAME_MAX], fresh[WORK_NAME_MAX + 4];
    work_name(id, name);
    snprintf(fresh, sizeof(fresh), "%s.new", name);
    int fd = openat(t->workfd, fresh, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    int r = from >= 0 ? io_copy(from, fd) : 0;
    /* The old file may be the only copy of something: the new one takes its place when it is on disk. */
    if (r == 0 && from >= 0 && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && renameat(t->workfd, fresh, t->workfd, name) < 0)
        r = -errno;
    if (r == 0)
        return fd;
    unlinkat(t->workfd, fresh, 0);
    io_close(&fd);
    return r;
}

/* Parts a work file that is about to be written to from the body that it shares its inode with. */
static int part_from_body(struct work_table *t, int64_t id)
{
    char name[WORK_NAME_MAX];
    work_name(id, name);
    struct stat st;
    if (fstatat(t->workfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (st.st_nlink == 1)
        return 0;
    CLEANUP(io_close) int old = openat(t->workfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (old < 0)
        return -errno;
    CLEANUP(io_close) int parted = make_anew(t, id, old);
    return parted < 0 ? parted : 0;
}

int work_open(struct cache *c, int64_t id, int flags)
{
    char name[WORK_NAME_MAX];
    work_name(id, name);
    int r = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) ? part_from_body(c->work, id) : 0;
    if (r < 0)
        return r;
    int fd = openat(c->work->workfd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? -errno : fd;
}

int work_create(struct cache *c, int64_t id)
{
    return work_open(c, id, O_RDWR | O_CREAT);
}

int work_remove(struct cache *c, int64_t id)
{
    char name[WORK_NAME_MAX];
    work_name(id, name);
    return unlinkat(c->work->workfd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int work_from_file(struct cache *c, int64_t id, int fd)
{
    return make_anew(c->work, id, fd);
}

int work_from_body(struct cache *c, const struct message *m, bool keep_content)
{
    if (!keep_content)
        return make_anew(c->work, m->id, -1);
    CLEANUP(io_close) int body = body_open(c, m);
    return body < 0 ? body : make_anew(c->work, m->id, body);
}

/* The entry of a row, or where its pointer is to go. The caller holds the lock. */
static struct work_entry **find(struct work_table *t, int64_t id)
{
    struct work_entry **at = &t->bucket[(uint64_t)id % WORK_BUCKETS];
    while (*at && (*at)->id != id)
        at = &(*at)->next;
    return at;
}

static struct work_entry *find_or_add(struct work_table *t, int64_t id)
{
    struct work_entry **at = find(t, id);
    if (!*at) {
        *at = calloc(1, sizeof(**at));
        if (*at)
            (*at)->id = id;
    }
    return *at;
}

static void drop_if_idle(struct work_entry **at)
{
    struct work_entry *e = *at;
    if (e->writers > 0 || e->settling)
        return;
    *at = e->next;
    free(e);
}

void work_writer_begin(struct cache *c, int64_t id)
{
    struct work_table *t = c->work;
    pthread_mutex_lock(&t->lock);
    struct work_entry *e;
    while ((e = *find(t, id)) && e->settling)
        pthread_cond_wait(&t->settled, &t->lock);
    e = find_or_add(t, id);
    if (e)
        e->writers++;
    else
        t->nameless++;
    pthread_mutex_unlock(&t->lock);
}

void work_writer_end(struct cache *c, int64_t id)
{
    struct work_table *t = c->work;
    pthread_mutex_lock(&t->lock);
    struct work_entry **at = find(t, id);
    if (*at && (*at)->writers > 0) {
        (*at)->writers--;
        drop_if_idle(at);
    } else if (t->nameless > 0) {
        t->nameless--;
    }
    pthread_mutex_unlock(&t->lock);
}

bool work_has_writer(struct cache *c, int64_t id)
{
    struct work_table *t = c->work;
    pthread_mutex_lock(&t->lock);
    const struct work_entry *e = *find(t, id);
    bool has = t->nameless > 0 || (e && e->writers > 0);
    pthread_mutex_unlock(&t->lock);
    return has;
}

int work_settle_begin(struct work_table *t, int64_t id)
{
    pthread_mutex_lock(&t->lock);
    struct work_entry *e = t->nameless > 0 ? NULL : find_or_add(t, id);
    int r = t->nameless > 0 ? -EAGAIN : !e ? -ENOMEM : e->writers > 0 || e->settling ? -EAGAIN : 0;
    if (r == 0)
        e->settling = true;
    pthread_mutex_unlock(&t->lock);
    return r;
}

void work_settle_end(struct work_table *t, int64_t id)
{
    pthread_mutex_lock(&t->lock);
    struct work_entry **at = find(t, id);
    (*at)->settling = false;
    drop_if_idle(at);
    pthread_cond_broadcast(&t->settled);
    pthread_mutex_unlock(&t->lock);
}
