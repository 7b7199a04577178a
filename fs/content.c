/*
 * The content behind an open file: from the store, copied on the first write, accounted for in the row.
 *
 * While a record has a writer its row cannot be settled (work.h), so that its state can only change by what
 * is done here. The order at the first write is: work file complete, row WRITING, and only then the content
 * behind the descriptor is exchanged and written to: whenever the power goes, either the old or the new
 * content is whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "ahead.h"
#include "body.h"
#include "clock.h"
#include "files.h"
#include "loop.h"
#include "own.h"
#include "work.h"

static int read_row(struct files *t, int64_t id, struct message *ret)
{
    struct cache *c = files_cache(t);
    cache_rd *rd = cache_glance(c);
    int r = rd ? message_get(rd, id, ret) : -EIO;
    cache_glance_end(c, rd);
    return r;
}

static int64_t stat_mtime_ns(const struct stat *st)
{
    return st->st_mtim.tv_sec * (int64_t)1000000000 + st->st_mtim.tv_nsec;
}

/* Puts fd behind the record's number; fd is used up. */
static int install(struct files *t, struct open_file *f, int fd, const struct message *m)
{
    if (f->fd < 0) {
        files_set_fd(t, f, fd);
    } else {
        int r = dup3(fd, f->fd, O_CLOEXEC) < 0 ? -errno : 0;
        close(fd);
        if (r < 0)
            return r;
    }
    f->has_hash = m->state == MESSAGE_PRESENT && m->has_hash;
    memcpy(f->hash, m->hash, sizeof(f->hash));
    return 0;
}

/* Is what is behind fd what the row says? Work files of earlier writers turn into bodies without a change. */
static bool is_current(const struct open_file *f, const struct message *m)
{
    if (f->fd < 0)
        return false;
    if (m->state == MESSAGE_GONE || atomic_load(&f->writing))
        return true;
    if (m->state == MESSAGE_WRITING)
        return !f->has_hash && f->writers == 0;
    struct stat st;
    if (!f->has_hash)
        return fstat(f->fd, &st) == 0 && st.st_size == m->size;
    return memcmp(f->hash, m->hash, sizeof(f->hash)) == 0;
}

static int open_row(struct files *t, struct open_file *f, const struct message *m)
{
    struct cache *c = files_cache(t);
    if (m->state != MESSAGE_PRESENT && m->state != MESSAGE_WRITING)
        return -ENODEV;
    bool write = m->state == MESSAGE_WRITING && f->writers > 0;
    int64_t begun_ns = clock_monotonic_ns();
    int fd = m->state == MESSAGE_PRESENT ? body_open(c, m) : work_open(c, m->id, write ? O_RDWR : O_RDONLY);
    if (fd >= 0 && m->state == MESSAGE_PRESENT)
        ahead_opened(files_ahead(t), m, clock_monotonic_ns() - begun_ns);
    if (fd < 0)
        return fd;
    int r = install(t, f, fd, m);
    if (r == 0 && write)
        atomic_store(&f->writing, true);
    return r;
}

int content_open(struct files *t, struct open_file *f)
{
    struct message m;
    int r = -EIO;
    /* A reader can meet the moment in which the row is settled, between reading it and opening the work file.
     */
    for (int i = 0; i < 3; i++) {
        r = read_row(t, f->id, &m);
        if (r == -ENOENT)
            return f->fd >= 0 ? 0 : -ENODEV;
        if (r < 0)
            return r;
        if (is_current(f, &m))
            return 0;
        r = open_row(t, f, &m);
        if (r != -ENOENT || m.state != MESSAGE_WRITING)
            return r;
    }
    return -EIO;
}

int content_create(struct files *t, struct open_file *f)
{
    int fd = work_create(files_cache(t), f->id);
    if (fd < 0)
        return fd;
    files_set_fd(t, f, fd);
    f->unsynced_name = true;
    atomic_store(&f->unsynced, true);
    atomic_store(&f->writing, true);
    return 0;
}

static int begin_edit_change(cache_tx *tx, void *arg)
{
    return mail_begin_edit(tx, *(const int64_t *)arg);
}

/* Of a file without a name: nobody but those who have it open is to see what is written. */
static int private_copy(struct cache *c, int from, bool keep)
{
    int fd = openat(cache_dirfd(c), "work", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int r = keep ? io_copy(from, fd) : 0;
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}

/* The work file, ready to be written to, and the row WRITING. */
static int part_from_store(struct files *t, struct open_file *f, struct message *m, bool keep)
{
    struct cache *c = files_cache(t);
    if (m->state == MESSAGE_WRITING)
        return work_open(c, m->id, O_RDWR);
    /* Also where none of it is kept: the old text stays restorable. What was opened before it was evicted is
     * here. */
    bool is_here = body_is_here(c, m);
    int fd = is_here     ? work_from_body(c, m, keep)
             : f->fd < 0 ? -ENOENT
                         : work_from_file(c, m->id, keep ? f->fd : -1);
    if (fd < 0)
        return fd;
    int r = own_write(c, CACHE_SOON, begin_edit_change, &f->id);
    if (r < 0) {
        close(fd);
        work_remove(c, f->id);
        return r;
    }
    f->unsynced_name = true;
    m->state = MESSAGE_WRITING;
    return fd;
}

int content_begin_write(struct files *t, struct open_file *f, bool keep)
{
    struct message m = {.id = f->id, .state = MESSAGE_GONE};
    if (atomic_load(&f->writing))
        return keep || ftruncate(f->fd, 0) == 0 ? 0 : -errno;
    int r = read_row(t, f->id, &m);
    if (r < 0 && r != -ENOENT)
        return r;
    int fd =
        m.state == MESSAGE_GONE ? private_copy(files_cache(t), f->fd, keep) : part_from_store(t, f, &m, keep);
    if (fd < 0)
        return fd == -ENOENT ? -ESTALE : fd;
    r = install(t, f, fd, &m);
    if (r < 0)
        return r;
    files_changed(f);
    atomic_store(&f->writing, true);
    return keep || ftruncate(f->fd, 0) == 0 ? 0 : -errno;
}

struct written {
    int64_t id, size, mtime_ns;
};

static int written_change(cache_tx *tx, void *arg)
{
    const struct written *w = arg;
    return mail_store_written(tx, w->id, w->size, w->mtime_ns);
}

/* Under a claim: somebody else would believe that all is on disk, while it is being brought there. A write
 * that ends meanwhile says so after that. */
static int sync_octets(struct open_file *f, int fd)
{
    if (!atomic_exchange(&f->unsynced, false))
        return 0;
    loop_will_wait();
    int r = fdatasync(fd) < 0 ? -errno : 0;
    if (r < 0)
        atomic_store(&f->unsynced, true);
    return r;
}

int content_sync_octets(struct open_file *f)
{
    return sync_octets(f, f->fd);
}

static int sync_content(struct files *t, struct open_file *f)
{
    int r = sync_octets(f, f->fd);
    if (r < 0 || !f->unsynced_name)
        return r;
    r = io_fsync_dir(cache_dirfd(files_cache(t)), "work");
    if (r == 0)
        f->unsynced_name = false;
    return r;
}

int content_store(struct files *t, struct open_file *f, bool sync)
{
    struct stat st;
    if (!atomic_load(&f->writing) || !atomic_exchange(&f->changed, false))
        return 0;
    int r = sync ? sync_content(t, f) : 0;
    if (r == 0 && fstat(f->fd, &st) < 0)
        r = -errno;
    if (r == 0) {
        struct written w = {.id = f->id, .size = st.st_size, .mtime_ns = stat_mtime_ns(&st)};
        r = own_write(files_cache(t), sync ? CACHE_NOW : CACHE_SOON, written_change, &w);
    }
    if (r < 0)
        atomic_store(&f->changed, true);
    return r;
}

bool content_is_mail(struct files *t, int64_t id)
{
    struct message m;
    int r = read_row(t, id, &m);
    return r == 0 ? m.sub != SUB_TMP : r != -ENOENT;
}

int content_end_write(struct files *t, struct open_file *f)
{
    struct stat st;
    bool announce = f->writers == 1 && atomic_load(&f->writing);
    int r = announce && fstat(f->fd, &st) < 0 ? -errno : 0;
    files_writer_end(t, f);
    if (!announce || r < 0)
        return r;
    /* Only now: an engine that hears of it while there is a writer would look, and go away again. Nor before
     * this is it asked whether it is mail: a delivery just then either hears that there is no writer, or is
     * heard of. */
    if (!atomic_load(&f->changed) && !content_is_mail(t, f->id))
        return 0;
    struct written w = {.id = f->id, .size = st.st_size, .mtime_ns = stat_mtime_ns(&st)};
    atomic_store(&f->changed, false);
    return own_write(files_cache(t), CACHE_SOON, written_change, &w);
}

int content_sync_work(struct files *t, struct open_file *f)
{
    struct cache *c = files_cache(t);
    if (atomic_load(&f->unsynced)) {
        CLEANUP(io_close) int fd = work_open(c, f->id, O_RDONLY);
        int r = fd < 0 ? fd : sync_octets(f, fd);
        if (r < 0)
            return r == -ENOENT ? 0 : r;
    }
    loop_will_wait();
    int r = io_fsync_dir(cache_dirfd(c), "work");
    if (r == 0)
        f->unsynced_name = false;
    return r;
}

int content_check_size(struct cache *c, int64_t size)
{
    cache_rd *rd = cache_glance(c);
    int64_t limit = rd ? cache_meta_get(rd, "append_limit", 0) : 0;
    cache_glance_end(c, rd);
    return limit > 0 && size > limit ? -EFBIG : 0;
}
