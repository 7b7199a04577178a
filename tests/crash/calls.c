/* The calls that have effects: each is counted, recorded, and made. */
#include "points.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fuse.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* ---- what a path is ---- */

static bool is_database(const char *path)
{
    return strncmp(path, "mail.db", 7) == 0;
}

static bool is_memory(const char *path) /* of the readers and the writer: made anew after a crash */
{
    return strcmp(path, "mail.db-shm") == 0;
}

static enum kind write_kind(const char *path)
{
    return is_database(path) ? DATABASE : WRITE;
}

/* ---- octets to files ---- */

EXPORT ssize_t write(int fd, const void *data, size_t length)
{
    char path[PATH_MAX];
    const char *ours = fd_data(fd, path);
    if (!ours && !is_server(fd))
        return REAL(write)(fd, data, length);
    uint64_t last = point_begin(ours ? write_kind(ours) : SEND);
    if (ours)
        note_write(fd, -1, point_part(last, length));
    ssize_t n = REAL(write)(fd, data, point_part(last, length));
    point_end(last);
    return n;
}

EXPORT ssize_t pwrite(int fd, const void *data, size_t length, off_t offset)
{
    char path[PATH_MAX];
    const char *ours = fd_data(fd, path);
    if (!ours || is_memory(ours))
        return REAL(pwrite)(fd, data, length, offset);
    uint64_t last = point_begin(write_kind(ours));
    note_write(fd, offset, point_part(last, length));
    ssize_t n = REAL(pwrite)(fd, data, point_part(last, length), offset);
    point_end(last);
    return n;
}

static size_t total(const struct iovec *v, int n)
{
    size_t sum = 0;
    for (int i = 0; i < n; i++)
        sum += v[i].iov_len;
    return sum;
}

/* Half of a vector: its first half of pieces, or half of a single one. */
static ssize_t write_half(int fd, const struct iovec *v, int n, off_t offset)
{
    struct iovec one = {v[0].iov_base, v[0].iov_len / 2};
    if (n > 1)
        return REAL(pwritev)(fd, v, n / 2, offset);
    return REAL(pwritev)(fd, &one, 1, offset);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *v, int n, off_t offset)
{
    char path[PATH_MAX];
    const char *ours = fd_data(fd, path);
    if (!ours)
        return REAL(pwritev)(fd, v, n, offset);
    uint64_t last = point_begin(write_kind(ours));
    note_write(fd, offset, total(v, n));
    ssize_t r = point_is_half(last) ? write_half(fd, v, n, offset) : REAL(pwritev)(fd, v, n, offset);
    point_end(last);
    return r;
}

/* libfuse's message that answers no request. */
static bool is_notice(int fd, const struct iovec *v)
{
    char path[PATH_MAX];
    const struct fuse_out_header *header = v[0].iov_base;
    return counts() && v[0].iov_len == sizeof *header && header->unique == 0 && fd_path(fd, path) &&
           strcmp(path, "/dev/fuse") == 0;
}

static ssize_t notify(int fd, const struct iovec *v, int n)
{
    captive_begin();
    ssize_t r = REAL(writev)(fd, v, n);
    int err = errno;
    captive_end();
    errno = err;
    return r;
}

EXPORT int statvfs(const char *path, struct statvfs *st)
{
    captive_begin();
    int r = REAL(statvfs)(path, st);
    int err = errno;
    captive_end();
    errno = err;
    return r;
}

EXPORT int statvfs64(const char *path, struct statvfs64 *st)
{
    captive_begin();
    int r = REAL(statvfs64)(path, st);
    int err = errno;
    captive_end();
    errno = err;
    return r;
}

EXPORT ssize_t writev(int fd, const struct iovec *v, int n)
{
    char path[PATH_MAX];
    if (is_notice(fd, v))
        return notify(fd, v, n);
    const char *ours = fd_data(fd, path);
    if (!ours && !is_server(fd))
        return REAL(writev)(fd, v, n);
    uint64_t last = point_begin(ours ? write_kind(ours) : SEND);
    if (ours)
        note_write(fd, -1, total(v, n));
    ssize_t r = REAL(writev)(fd, v, point_is_half(last) && n > 1 ? n / 2 : n);
    point_end(last);
    return r;
}

/* libfuse moves what a client wrote from its pipe to the file. */
EXPORT ssize_t splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t length, unsigned flags)
{
    char path[PATH_MAX];
    const char *ours = fd_data(out, path);
    if (!ours)
        return REAL(splice)(in, in_at, out, out_at, length, flags);
    uint64_t last = point_begin(write_kind(ours));
    note_write(out, out_at ? *out_at : -1, point_part(last, length));
    ssize_t n = REAL(splice)(in, in_at, out, out_at, point_part(last, length), flags);
    point_end(last);
    return n;
}

EXPORT ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t length,
                               unsigned flags)
{
    char path[PATH_MAX];
    struct stat st;
    const char *ours = fd_data(out, path);
    if (!ours)
        return REAL(copy_file_range)(in, in_at, out, out_at, length, flags);
    if (fstat(in, &st) == 0 && length > (size_t)st.st_size)
        length = (size_t)st.st_size; /* callers ask for more than there is */
    uint64_t last = point_begin(write_kind(ours));
    note_write(out, out_at ? *out_at : -1, point_part(last, length));
    ssize_t n = REAL(copy_file_range)(in, in_at, out, out_at, point_part(last, length), flags);
    point_end(last);
    return n;
}

/* A clone has no octets that could be counted: the program has another way. */
EXPORT int ioctl(int fd, unsigned long request, ...)
{
    char path[PATH_MAX];
    va_list list;
    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    if (request == FICLONE && fd_data(fd, path)) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return REAL(ioctl)(fd, request, argument);
}

EXPORT int ftruncate(int fd, off_t length)
{
    char path[PATH_MAX];
    struct stat st;
    const char *ours = fd_data(fd, path);
    if (!ours || is_memory(ours) || fstat(fd, &st) < 0)
        return REAL(ftruncate)(fd, length);
    uint64_t last = point_begin(TRUNCATE);
    note_write(fd, length, st.st_size > length ? (size_t)(st.st_size - length) : 0);
    int r = REAL(ftruncate)(fd, length);
    point_end(last);
    return r;
}

EXPORT int fallocate(int fd, int mode, off_t offset, off_t length)
{
    char path[PATH_MAX];
    const char *ours = fd_data(fd, path);
    if (!ours)
        return REAL(fallocate)(fd, mode, offset, length);
    uint64_t last = point_begin(TRUNCATE);
    note_write(fd, offset, (size_t)length);
    int r = REAL(fallocate)(fd, mode, offset, length);
    point_end(last);
    return r;
}

/* ---- to disk ---- */

static int sync_with(int (*call)(int), int fd)
{
    char path[PATH_MAX];
    const char *ours = fd_data(fd, path);
    if (!ours)
        return call(fd);
    uint64_t last = point_begin(strcmp(ours, "mail.db-wal") == 0 ? COMMIT : SYNC);
    int r = call(fd);
    if (r == 0)
        note_sync(fd);
    point_end(last);
    return r;
}

EXPORT int fsync(int fd)
{
    char path[PATH_MAX];
    int r = sync_with(REAL(fsync), fd);
    if (r == 0 && counts() && fd_path(fd, path) && is_above_data(path)) {
        journal_hold(); /* the data directory has a name */
        note_sync(fd);
        journal_release();
    }
    return r;
}

EXPORT int fdatasync(int fd)
{
    return sync_with(REAL(fdatasync), fd);
}

EXPORT int syncfs(int fd)
{
    char path[PATH_MAX];
    if (!fd_data(fd, path))
        return REAL(syncfs)(fd);
    uint64_t last = point_begin(SYNC);
    int r = REAL(syncfs)(fd);
    if (r == 0)
        note_sync_all();
    point_end(last);
    return r;
}

/* ---- names ---- */

static bool makes(int dirfd, const char *name, int flags)
{
    struct stat st;
    int err = errno;
    bool makes_file = (flags & O_CREAT) && fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0;
    errno = err;
    return makes_file;
}

/* With O_TRUNC, of a file that is there, what was in it counts as overwritten. */
static void note_emptied(int dirfd, const char *name)
{
    struct stat st;
    if (fstatat(dirfd, name, &st, 0) < 0)
        return;
    int fd = (int)syscall(SYS_openat, dirfd, name, O_RDONLY | O_CLOEXEC, 0);
    if (fd >= 0)
        note_write(fd, 0, (size_t)st.st_size);
    syscall(SYS_close, fd);
}

static int open_with(int dirfd, const char *name, int flags, mode_t mode)
{
    char path[PATH_MAX];
    const char *ours = flags & (O_CREAT | O_TRUNC) ? name_data(dirfd, name, path) : NULL;
    bool made = ours && makes(dirfd, name, flags);
    if (!ours || is_memory(ours) || (!made && !(flags & O_TRUNC)))
        return (int)syscall(SYS_openat, dirfd, name, flags, mode);
    uint64_t last = point_begin(made ? MAKE : TRUNCATE);
    if (!made)
        note_emptied(dirfd, name);
    int fd = (int)syscall(SYS_openat, dirfd, name, flags, mode);
    if (fd >= 0 && made)
        note_name('N', ours);
    point_end(last);
    return fd;
}

#define MODE_OF(flags, mode)                                                                                 \
    mode_t mode = 0;                                                                                         \
    if (flags & (O_CREAT | __O_TMPFILE)) {                                                                   \
        va_list list;                                                                                        \
        va_start(list, flags);                                                                               \
        mode = va_arg(list, mode_t);                                                                         \
        va_end(list);                                                                                        \
    }

EXPORT int open(const char *name, int flags, ...)
{
    MODE_OF(flags, mode)
    return open_with(AT_FDCWD, name, flags, mode);
}

EXPORT int openat(int dirfd, const char *name, int flags, ...)
{
    MODE_OF(flags, mode)
    return open_with(dirfd, name, flags, mode);
}

EXPORT int mkdirat(int dirfd, const char *name, mode_t mode)
{
    char path[PATH_MAX];
    const char *ours = name_data(dirfd, name, path);
    if (!ours || !makes(dirfd, name, O_CREAT))
        return REAL(mkdirat)(dirfd, name, mode);
    uint64_t last = point_begin(MAKE);
    int r = REAL(mkdirat)(dirfd, name, mode);
    if (r == 0)
        note_name('N', ours);
    point_end(last);
    return r;
}

EXPORT int mkdir(const char *name, mode_t mode)
{
    return mkdirat(AT_FDCWD, name, mode);
}

EXPORT int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    char path[PATH_MAX];
    const char *ours = name_data(to_fd, to, path);
    if (!ours)
        return REAL(linkat)(from_fd, from, to_fd, to, flags);
    uint64_t last = point_begin(LINK);
    int r = REAL(linkat)(from_fd, from, to_fd, to, flags);
    if (r == 0)
        note_name('L', ours);
    point_end(last);
    return r;
}

EXPORT int link(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

EXPORT int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    char from_path[PATH_MAX], path[PATH_MAX];
    const char *ours = name_data(to_fd, to, path), *was = ours ? name_data(from_fd, from, from_path) : NULL;
    if (!was)
        return REAL(renameat2)(from_fd, from, to_fd, to, flags);
    uint64_t last = point_begin(RENAME);
    struct stat st;
    if (!(flags & RENAME_NOREPLACE) && stat_data(was, &st))
        note_removal(ours);
    int r = REAL(renameat2)(from_fd, from, to_fd, to, flags);
    if (r == 0)
        note_rename(was, ours);
    point_end(last);
    return r;
}

EXPORT int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return renameat2(from_fd, from, to_fd, to, 0);
}

EXPORT int rename(const char *from, const char *to)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

EXPORT int unlinkat(int dirfd, const char *name, int flags)
{
    char path[PATH_MAX];
    struct stat st;
    const char *ours = name_data(dirfd, name, path);
    if (!ours || is_memory(ours) || !stat_data(ours, &st))
        return REAL(unlinkat)(dirfd, name, flags);
    uint64_t last = point_begin(REMOVE);
    note_removal(ours);
    int r = REAL(unlinkat)(dirfd, name, flags);
    point_end(last);
    return r;
}

EXPORT int unlink(const char *name)
{
    return unlinkat(AT_FDCWD, name, 0);
}

/* ---- the server ---- */

EXPORT ssize_t send(int fd, const void *data, size_t length, int flags)
{
    if (!is_server(fd))
        return REAL(send)(fd, data, length, flags);
    uint64_t last = point_begin(SEND);
    ssize_t n = REAL(send)(fd, data, point_part(last, length), flags);
    point_end(last);
    return n;
}

/* One that waits counts when something has come. */
EXPORT ssize_t recv(int fd, void *data, size_t size, int flags)
{
    ssize_t n = REAL(recv)(fd, data, size, flags);
    if (n <= 0 || !is_server(fd))
        return n;
    point_passed(RECEIVE);
    return n;
}

EXPORT ssize_t read(int fd, void *data, size_t size)
{
    ssize_t n = REAL(read)(fd, data, size);
    if (n <= 0 || !is_server(fd))
        return n;
    point_passed(RECEIVE);
    return n;
}

/* The names that code has which was compiled with large file offsets, or with checks of its flags. */
#ifdef __LP64__
EXPORT ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset)
    __attribute__((alias("pwrite")));
EXPORT ssize_t pwritev64(int fd, const struct iovec *v, int n, off_t offset)
    __attribute__((alias("pwritev")));
EXPORT int ftruncate64(int fd, off_t length) __attribute__((alias("ftruncate")));
EXPORT int fallocate64(int fd, int mode, off_t at, off_t length) __attribute__((alias("fallocate")));
EXPORT int open64(const char *name, int flags, ...) __attribute__((alias("open")));
EXPORT int openat64(int dirfd, const char *name, int flags, ...) __attribute__((alias("openat")));
#else
#error "off_t is expected to have 64 bits by itself"
#endif
