/*
 * The local area's operations: each the native call on the node's descriptor, answered at once.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "io.h"
#include "local.h"
#include "local_node.h"
#include "loop.h"

static void reply_result(fuse_req_t req, int result)
{
    fuse_reply_err(req, result < 0 ? errno : 0);
}

static void reply_entry(struct local *l, fuse_req_t req, const struct fuse_entry_param *e)
{
    if (fuse_reply_entry(req, e) < 0)
        local_forget(l, e->ino, 1);
}

void local_lookup(struct local *l, fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param e;
    int r = local_lookup_entry(l, parent, name, &e);
    if (r < 0)
        fuse_reply_err(req, -r);
    else
        reply_entry(l, req, &e);
}

static int file_fd(const struct fuse_file_info *fi)
{
    return fi ? (int)fi->fh : -1;
}

static void reply_attr(fuse_req_t req, int fd)
{
    struct fuse_entry_param e;
    struct stat st;
    if (fstatat(fd, "", &st, AT_EMPTY_PATH) < 0) {
        fuse_reply_err(req, errno);
        return;
    }
    local_entry_fill(&st, &e);
    fuse_reply_attr(req, &e.attr, e.attr_timeout);
}

void local_getattr(struct local *l, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (!fi && local_node_is_stale(l, ino))
        fuse_reply_err(req, ESTALE);
    else
        reply_attr(req, local_node_fd(l, ino));
}

static int set_size(const char *path, const struct fuse_file_info *fi, off_t size)
{
    return fi ? ftruncate(file_fd(fi), size) : truncate(path, size);
}

static int set_times(const char *path, const struct stat *attr, int to_set)
{
    struct timespec t[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};

    if (to_set & FUSE_SET_ATTR_ATIME_NOW)
        t[0].tv_nsec = UTIME_NOW;
    else if (to_set & FUSE_SET_ATTR_ATIME)
        t[0] = attr->st_atim;
    if (to_set & FUSE_SET_ATTR_MTIME_NOW)
        t[1].tv_nsec = UTIME_NOW;
    else if (to_set & FUSE_SET_ATTR_MTIME)
        t[1] = attr->st_mtim;
    return utimensat(AT_FDCWD, path, t, 0);
}

void local_setattr(struct local *l, fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                   struct fuse_file_info *fi)
{
    int fd = local_node_fd(l, ino), r = 0;
    char path[32];

    if (!fi && (to_set & FUSE_SET_ATTR_SIZE ? local_node_refuses(l, ino, fuse_req_ctx(req)->pid)
                                            : local_node_is_stale(l, ino))) {
        fuse_reply_err(req, ESTALE);
        return;
    }
    local_node_path(l, ino, path);
    if (to_set & FUSE_SET_ATTR_MODE)
        r = chmod(path, attr->st_mode & 07777);
    if (r == 0 && (to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)))
        r = fchownat(fd, "", to_set & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1,
                     to_set & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1,
                     AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
    if (r == 0 && (to_set & FUSE_SET_ATTR_SIZE))
        r = set_size(path, fi, attr->st_size);
    if (r == 0 && (to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW |
                             FUSE_SET_ATTR_MTIME_NOW)))
        r = set_times(path, attr, to_set);
    if (r < 0)
        fuse_reply_err(req, errno);
    else
        reply_attr(req, fd);
}

void local_readlink(struct local *l, fuse_req_t req, fuse_ino_t ino)
{
    char target[4097];
    ssize_t n = readlinkat(local_node_fd(l, ino), "", target, sizeof target - 1);
    if (n < 0) {
        fuse_reply_err(req, errno);
        return;
    }
    target[n] = 0;
    fuse_reply_readlink(req, target);
}

/* ---- names ---- */

static bool has_room(struct local *l, fuse_req_t req)
{
    bool full = local_is_full(l);
    if (full)
        fuse_reply_err(req, ENFILE);
    return !full;
}

/* The kernel has taken the client's umask from the mode. Of what was made with it, ours took more. */
static void undo_umask(struct local *l, struct fuse_entry_param *e, mode_t mode)
{
    char path[32];
    struct stat st;
    mode_t missing = mode & 0777 & ~e->attr.st_mode;
    if (!missing)
        return;
    local_node_path(l, e->ino, path);
    if (chmod(path, (e->attr.st_mode & 07777) | missing) == 0 &&
        fstatat(local_node_fd(l, e->ino), "", &st, AT_EMPTY_PATH) == 0)
        local_entry_fill(&st, e);
}

static void made(struct local *l, fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                 int result)
{
    struct fuse_entry_param e;
    int r = result < 0 ? -errno : local_lookup_entry(l, parent, name, &e);
    if (result == 0)
        local_node_changed(l, parent);
    if (r < 0) {
        fuse_reply_err(req, -r);
        return;
    }
    undo_umask(l, &e, mode);
    reply_entry(l, req, &e);
}

void local_mknod(struct local *l, fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                 dev_t rdev)
{
    if (has_room(l, req))
        made(l, req, parent, name, mode, mknodat(local_node_fd(l, parent), name, mode, rdev));
}

void local_mkdir(struct local *l, fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    if (has_room(l, req))
        made(l, req, parent, name, mode, mkdirat(local_node_fd(l, parent), name, mode));
}

void local_symlink(struct local *l, fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
    if (has_room(l, req))
        made(l, req, parent, name, 0, symlinkat(link, local_node_fd(l, parent), name));
}

void local_link(struct local *l, fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
    char path[32];
    local_node_path(l, ino, path);
    made(l, req, newparent, newname, 0,
         linkat(AT_FDCWD, path, local_node_fd(l, newparent), newname, AT_SYMLINK_FOLLOW));
}

static void remove_name(struct local *l, fuse_req_t req, fuse_ino_t parent, const char *name, int flags)
{
    int err = unlinkat(local_node_fd(l, parent), name, flags) < 0 ? errno : 0;
    if (!err)
        local_node_changed(l, parent);
    fuse_reply_err(req, err);
}

void local_unlink(struct local *l, fuse_req_t req, fuse_ino_t parent, const char *name)
{
    remove_name(l, req, parent, name, 0);
}

void local_rmdir(struct local *l, fuse_req_t req, fuse_ino_t parent, const char *name)
{
    remove_name(l, req, parent, name, AT_REMOVEDIR);
}

void local_rename(struct local *l, fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
                  const char *newname, unsigned flags)
{
    int from = local_node_fd(l, parent), to = local_node_fd(l, newparent);
    int err = renameat2(from, name, to, newname, flags) < 0 ? errno : 0;
    if (!err)
        local_node_changed(l, parent);
    if (!err && newparent != parent)
        local_node_changed(l, newparent);
    fuse_reply_err(req, err);
}

/* ---- names that leave for the mail ---- */

static int open_regular(int path_fd)
{
    struct stat st;
    char path[32];
    if (fstatat(path_fd, "", &st, AT_EMPTY_PATH) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EXDEV;
    snprintf(path, sizeof path, "/proc/self/fd/%d", path_fd);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int local_open_named(struct local *l, fuse_ino_t parent, const char *name)
{
    CLEANUP(io_close) int fd = openat(local_node_fd(l, parent), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : open_regular(fd);
}

int local_open_node(struct local *l, fuse_ino_t ino)
{
    return open_regular(local_node_fd(l, ino));
}

int local_remove_name(struct local *l, fuse_ino_t parent, const char *name)
{
    struct stat st;
    int dir = local_node_fd(l, parent);
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    local_node_depart(l, INO_LOCAL | st.st_ino, true);
    if (unlinkat(dir, name, 0) == 0) {
        local_node_changed(l, parent);
        local_node_wait_released(l, INO_LOCAL | st.st_ino);
        return 0;
    }
    int err = -errno;
    local_node_depart(l, INO_LOCAL | st.st_ino, false);
    return err;
}

/* ---- files ---- */

static void close_file(struct local *l, fuse_ino_t ino, int fd)
{
    close(fd);
    local_node_count(l, ino, -1);
}

/*
 * How to open what a client opens so. Where to write is what the kernel says, which knows O_APPEND and does
 * not tell when a client takes it back by fcntl: pages of a shared map come here by whichever descriptor
 * there is, and would be appended. Octets that pass through here are not aligned, as O_DIRECT needs them.
 */
static int native_flags(int flags)
{
    return (flags & ~(O_APPEND | O_DIRECT)) | O_NOFOLLOW | O_CLOEXEC;
}

void local_open(struct local *l, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    char path[32];
    if (local_node_refuses(l, ino, fuse_req_ctx(req)->pid)) {
        fuse_reply_err(req, ESTALE);
        return;
    }
    local_node_path(l, ino, path);
    int fd = open(path, native_flags(fi->flags) & ~(O_NOFOLLOW | O_CREAT | O_EXCL));
    if (fd < 0) {
        fuse_reply_err(req, errno);
        return;
    }
    local_node_count(l, ino, 1);
    fi->fh = (uint64_t)fd;
    fi->keep_cache = 1;
    if (fuse_reply_open(req, fi) < 0)
        close_file(l, ino, fd);
}

void local_create(struct local *l, fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                  struct fuse_file_info *fi)
{
    struct fuse_entry_param e;
    if (!has_room(l, req))
        return;
    int fd = openat(local_node_fd(l, parent), name, native_flags(fi->flags) | O_CREAT, mode);
    if (fd < 0) {
        fuse_reply_err(req, errno);
        return;
    }
    local_node_changed(l, parent);
    int r = local_lookup_entry(l, parent, name, &e);
    if (r < 0) {
        close(fd);
        fuse_reply_err(req, -r);
        return;
    }
    undo_umask(l, &e, mode);
    local_node_count(l, e.ino, 1);
    fi->fh = (uint64_t)fd;
    if (fuse_reply_create(req, &e, fi) < 0) {
        close_file(l, e.ino, fd);
        local_forget(l, e.ino, 1);
    }
}

void local_read(struct local *l, fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                struct fuse_file_info *fi)
{
    struct fuse_bufvec v = FUSE_BUFVEC_INIT(size);
    local_node_count(l, ino, 0);
    v.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
    v.buf[0].fd = file_fd(fi);
    v.buf[0].pos = off;
    fuse_reply_data(req, &v, FUSE_BUF_SPLICE_MOVE);
}

void local_write_buf(struct local *l, fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *bufv, off_t off,
                     struct fuse_file_info *fi)
{
    struct fuse_bufvec to = FUSE_BUFVEC_INIT(fuse_buf_size(bufv));
    local_node_count(l, ino, 0);
    to.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
    to.buf[0].fd = file_fd(fi);
    to.buf[0].pos = off;
    ssize_t n = fuse_buf_copy(&to, bufv, 0);
    if (n < 0)
        fuse_reply_err(req, (int)-n);
    else
        fuse_reply_write(req, (size_t)n);
}

/* A close reports what the native close would: delayed write errors. */
void local_flush(struct local *l, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    local_node_closing(l, ino);
    int fd = dup(file_fd(fi));
    reply_result(req, fd < 0 ? -1 : close(fd));
}

void local_release(struct local *l, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    close_file(l, ino, file_fd(fi));
    fuse_reply_err(req, 0);
}

void local_fsync(struct local *l, fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    local_node_count(l, ino, 0);
    loop_will_wait();
    reply_result(req, datasync ? fdatasync(file_fd(fi)) : fsync(file_fd(fi)));
}

void local_fallocate(struct local *l, fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t length,
                     struct fuse_file_info *fi)
{
    local_node_count(l, ino, 0);
    reply_result(req, fallocate(file_fd(fi), mode, off, length));
}

/* ---- directories ---- */

struct local_dir {
    struct local_dir *next; /* protected by local.lock */
    DIR *dir;
    struct dirent *ahead; /* read, but it did not fit */
    off_t offset;
};

static struct local_dir *dir_of(const struct fuse_file_info *fi)
{
    return (struct local_dir *)(uintptr_t)fi->fh;
}

static void local_dir_enter(struct local *l, struct local_dir *d)
{
    pthread_mutex_lock(&l->lock);
    d->next = l->dirs;
    l->dirs = d;
    pthread_mutex_unlock(&l->lock);
}

void local_dir_leave(struct local *l, struct local_dir *d)
{
    pthread_mutex_lock(&l->lock);
    struct local_dir **at = &l->dirs;
    while (*at && *at != d)
        at = &(*at)->next;
    if (*at)
        *at = d->next;
    pthread_mutex_unlock(&l->lock);
    closedir(d->dir);
    free(d);
}

void local_opendir(struct local *l, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    char path[32];
    struct local_dir *d = calloc(1, sizeof *d);
    local_node_path(l, ino, path);
    if (d && (d->dir = opendir(path))) {
        fi->fh = (uintptr_t)d;
        local_dir_enter(l, d);
        if (fuse_reply_open(req, fi) < 0)
            local_dir_leave(l, d);
        return;
    } else {
        fuse_reply_err(req, d ? errno : ENOMEM);
    }
    free(d);
}

static bool is_dots(const struct dirent *e)
{
    return strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
}

static struct stat number_and_type(struct local *l, const struct dirent *e)
{
    fuse_ino_t ino = is_dots(e) ? local_node_shown(l, e->d_ino) : INO_LOCAL | e->d_ino;
    return (struct stat){.st_ino = ino, .st_mode = (mode_t)e->d_type << 12};
}

static size_t add_plain(struct local *l, fuse_req_t req, char *at, size_t left, const struct dirent *e,
                        off_t next)
{
    struct stat st = number_and_type(l, e);
    return fuse_add_direntry(req, at, left, e->d_name, &st, next);
}

static size_t add_plus(struct local *l, fuse_req_t req, fuse_ino_t ino, char *at, size_t left,
                       const struct dirent *e, off_t next)
{
    struct fuse_entry_param p = {.attr = number_and_type(l, e)};
    bool counted = !is_dots(e) && local_lookup_entry(l, ino, e->d_name, &p) == 0;
    size_t n = fuse_add_direntry_plus(req, at, left, e->d_name, &p, next);
    if (counted && n > left)
        local_forget(l, p.ino, 1);
    return n;
}

void local_readdir(struct local *l, fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                   struct fuse_file_info *fi, bool plus)
{
    struct local_dir *d = dir_of(fi);
    char *buf = malloc(size);
    size_t used = 0;

    if (!buf) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    if (off != d->offset) {
        seekdir(d->dir, off);
        d->ahead = NULL;
        d->offset = off;
    }
    for (;;) {
        struct dirent *e = d->ahead ? d->ahead : readdir(d->dir);
        if (!e)
            break;
        off_t next = telldir(d->dir);
        size_t n = plus ? add_plus(l, req, ino, buf + used, size - used, e, next)
                        : add_plain(l, req, buf + used, size - used, e, next);
        d->ahead = n > size - used ? e : NULL;
        if (d->ahead)
            break;
        used += n;
        d->offset = next;
    }
    fuse_reply_buf(req, buf, used);
    free(buf);
}

void local_releasedir(struct local *l, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    local_dir_leave(l, dir_of(fi));
    fuse_reply_err(req, 0);
}

void local_fsyncdir(struct local *l, fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)l;
    (void)ino;
    (void)datasync;
    loop_will_wait();
    reply_result(req, fsync(dirfd(dir_of(fi)->dir)));
}
