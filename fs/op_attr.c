/* getattr, setattr, statfs. */
#include <errno.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>
#include "clock.h"
#include "files.h"
#include "own.h"
#include "park.h"
#include "show.h"

#define TO_SET_TIMES (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW)

static void reply_attr(fuse_req_t req, fuse_ino_t ino)
{
    struct stat st;
    double timeout;
    int r = attr_get(fs_of(req), ino, &st, &timeout);
    if (r < 0)
        reply_err(req, r);
    else
        fuse_reply_attr(req, &st, timeout);
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (ino_is_local(ino))
        local_getattr(fs_of(req)->local, req, ino, fi);
    else
        reply_attr(req, ino);
}

static int truncate_claimed(struct files *t, struct open_file *f, off_t size)
{
    int r = size > 0 ? content_open(t, f) : 0;
    if (r == 0)
        r = content_begin_write(t, f, size > 0);
    if (r == 0 && ftruncate(f->fd, size) < 0)
        r = -errno;
    if (r == 0)
        files_changed(f);
    return r;
}

/* truncate and ftruncate: a writer for this one moment, who leaves the row up to date if it is the only one.
 */
static int set_size(struct fs *fs, int64_t id, off_t size)
{
    int large = content_check_size(fs->cache, size);
    struct open_file *f = large < 0 ? NULL : files_enter(fs->files, id);
    if (!f)
        return large < 0 ? large : -ENOMEM;
    files_writer_begin(fs->files, f);
    int r = truncate_claimed(fs->files, f, size);
    int end = content_end_write(fs->files, f);
    files_yield(fs->files, f);
    files_leave(fs->files, f);
    return r < 0 ? r : end;
}

struct time_change {
    fuse_ino_t ino;
    int64_t ns;
};

static int time_of_message(cache_tx *tx, void *arg)
{
    const struct time_change *c = arg;
    return mail_set_time(tx, (int64_t)c->ino, c->ns);
}

static int time_of_dir(cache_tx *tx, void *arg)
{
    const struct time_change *c = arg;
    return mailbox_set_mtime(tx, ino_mailbox(c->ino), ino_sub(c->ino), c->ns);
}

/* A file that is being written has its time with its content; the row reads it from there. Under a claim: the
 * release of its last writer, which the kernel sends whenever it likes, would set the time that it had found
 * before. */
static int set_time_of_message(struct fs *fs, struct time_change *c, const struct timespec *t)
{
    struct open_file *f = files_enter(fs->files, (int64_t)c->ino);
    if (!f)
        return -ENOMEM;
    int r = files_set_time(fs->files, f->id, t);
    if (r == 0)
        r = own_write(fs->cache, CACHE_SOON, time_of_message, c);
    files_yield(fs->files, f);
    files_leave(fs->files, f);
    return r;
}

static int set_time(struct fs *fs, fuse_ino_t ino, const struct stat *attr, bool now)
{
    struct timespec t = attr->st_mtim;
    if (now)
        clock_gettime(CLOCK_REALTIME, &t);
    struct time_change c = {.ino = ino, .ns = t.tv_sec * (int64_t)1000000000 + t.tv_nsec};
    if (ino_is_dir(ino))
        return own_write(fs->cache, CACHE_SOON, time_of_dir, &c);
    return set_time_of_message(fs, &c, &t);
}

static int set_attr(struct fs *fs, fuse_ino_t ino, const struct stat *attr, int to_set)
{
    if (virtual_is(ino))
        return -EPERM;
    bool others = ((to_set & FUSE_SET_ATTR_UID) && attr->st_uid != fs->uid) ||
                  ((to_set & FUSE_SET_ATTR_GID) && attr->st_gid != fs->gid);
    if (others)
        return -EPERM;
    /* Modes are what they are: cp -p and tar must not fail because of that. */
    int r = 0;
    if (to_set & FUSE_SET_ATTR_SIZE)
        r = ino_is_dir(ino) ? -EISDIR : set_size(fs, (int64_t)ino, attr->st_size);
    if (r == 0 && (to_set & TO_SET_TIMES))
        r = set_time(fs, ino, attr, to_set & FUSE_SET_ATTR_MTIME_NOW);
    return r;
}

struct setting {
    fuse_ino_t ino;
    struct stat attr;
    int to_set;
    int64_t since_ms;
};

static void park_setattr(fuse_req_t req, fuse_ino_t ino, const struct stat *attr, int to_set,
                         int64_t since_ms);

static void setattr_after_fetch(fuse_req_t req, void *arg, int err)
{
    struct setting *s = arg;
    int r = err < 0 ? err : set_attr(fs_of(req), s->ino, &s->attr, s->to_set);
    bool away = err == -EAGAIN || (err == 0 && r == -ENOENT); /* on the move, or evicted again */
    if (r == 0)
        reply_attr(req, s->ino);
    else if (away && park_again(s->since_ms))
        park_setattr(req, s->ino, &s->attr, s->to_set, s->since_ms);
    else if (err == -EAGAIN)
        reply_err(req, -ETIMEDOUT);
    else
        reply_err(req, r == -ENODEV ? -ESTALE : r == -ENOENT ? -EIO : r);
    free(s);
}

/* truncate(2) of a message whose body is not here. */
static void park_setattr(fuse_req_t req, fuse_ino_t ino, const struct stat *attr, int to_set,
                         int64_t since_ms)
{
    struct setting *s = malloc(sizeof(*s));
    if (!s) {
        reply_err(req, -ENOMEM);
        return;
    }
    *s = (struct setting){.ino = ino, .attr = *attr, .to_set = to_set, .since_ms = since_ms};
    park_wait(fs_of(req)->park, req, (int64_t)ino, setattr_after_fetch, s);
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    if (ino_is_local(ino)) {
        local_setattr(fs->local, req, ino, attr, to_set, fi);
        return;
    }
    if (show_setattr(req, ino))
        return;
    int r = set_attr(fs, ino, attr, to_set);
    bool body = (to_set & FUSE_SET_ATTR_SIZE) && (r == -ENOENT || r == -ESTALE);
    if (body)
        park_setattr(req, ino, attr, to_set, clock_boot_ms());
    else if (r < 0)
        reply_err(req, r == -ENODEV ? -ESTALE : r);
    else
        reply_attr(req, ino);
}

/* Mail needs room at the server, too: where that has less of it than the disk, its numbers are shown. */
static void limit_by_quota(struct fs *fs, struct statvfs *st)
{
    cache_rd *rd = cache_reader(fs->cache);
    int64_t limit = rd ? cache_meta_get(rd, "quota_limit", 0) : 0;
    if (limit <= 0 || st->f_frsize == 0)
        return;
    int64_t used = cache_meta_get(rd, "quota_used", 0), left = used < limit ? limit - used : 0;
    fsblkcnt_t free = (fsblkcnt_t)left / st->f_frsize;
    if (free >= st->f_bavail)
        return;
    st->f_blocks = (fsblkcnt_t)limit / st->f_frsize;
    st->f_bfree = st->f_bavail = free;
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct fs *fs = fs_of(req);
    struct statvfs st;
    if (fstatvfs(cache_dirfd(fs->cache), &st) < 0) {
        reply_err(req, -errno);
        return;
    }
    if (!ino_is_local(ino))
        limit_by_quota(fs, &st);
    st.f_namemax = MAILDIR_NAME_MAX;
    fuse_reply_statfs(req, &st);
}
