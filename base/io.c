#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

int io_write_full(int fd, const void *data, size_t length)
{
    const char *at = data;
    while (length > 0) {
        ssize_t n = write(fd, at, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        at += n;
        length -= (size_t)n;
    }
    return 0;
}

ssize_t io_read_full(int fd, void *data, size_t length)
{
    size_t have = 0;
    while (have < length) {
        ssize_t n = read(fd, (char *)data + have, length - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        have += (size_t)n;
    }
    return (ssize_t)have;
}

ssize_t io_pread_full(int fd, void *data, size_t length, off_t offset)
{
    size_t have = 0;
    while (have < length) {
        ssize_t n = pread(fd, (char *)data + have, length - have, offset + (off_t)have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        have += (size_t)n;
    }
    return (ssize_t)have;
}

static int io_pwrite_full(int fd, const char *data, size_t length, off_t offset)
{
    while (length > 0) {
        ssize_t n = pwrite(fd, data, length, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data += n;
        offset += n;
        length -= (size_t)n;
    }
    return 0;
}

/* Copies from *offset on by copy_file_range and advances *offset. That call is refused for many pairs of
 * files, and on some file systems it says "end of file" when it is not: the caller goes on by reading from
 * *offset in any case. */
static int io_copy_range(int from, int to, off_t *offset)
{
    for (off_t in = *offset, out = *offset;;) {
        ssize_t n = copy_file_range(from, &in, to, &out, 1 << 30, 0);
        *offset = in;
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            return 0;
        if (n < 0)
            return errno == ENOSPC || errno == EDQUOT || errno == EIO || errno == EFBIG ? -errno : 0;
    }
}

static int io_copy_read_write(int from, int to, off_t offset)
{
    char block[64 * 1024];
    for (;;) {
        ssize_t n = io_pread_full(from, block, sizeof(block), offset);
        if (n <= 0)
            return (int)n;
        int r = io_pwrite_full(to, block, (size_t)n, offset);
        if (r < 0)
            return r;
        offset += n;
    }
}

int io_copy(int from, int to)
{
    if (ioctl(to, FICLONE, from) == 0)
        return 0;
    off_t offset = 0;
    int r = io_copy_range(from, to, &offset);
    return r < 0 ? r : io_copy_read_write(from, to, offset);
}

int io_fsync_dir(int dirfd, const char *path)
{
    CLEANUP(io_close) int fd = openat(dirfd, path ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return fsync(fd) < 0 ? -errno : 0;
}

void io_close(int *fd)
{
    if (*fd < 0)
        return;
    int saved = errno;
    close(*fd);
    *fd = -1;
    errno = saved;
}

static int io_fsync_parent(int dirfd, const char *name)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(name, '/');
    if (!slash)
        return io_fsync_dir(dirfd, ".");
    snprintf(parent, sizeof(parent), "%.*s", (int)(slash - name) + 1, name);
    return io_fsync_dir(dirfd, parent);
}

static int io_mkdir_one(const char *path, unsigned mode)
{
    if (mkdir(path, (mode_t)mode) == 0)
        return io_fsync_parent(AT_FDCWD, path);
    int err = errno;
    struct stat st;
    /* Asked also after EACCES and EROFS: a parent that exists need not be writable. */
    if (stat(path, &st) == 0)
        return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
    return -err;
}

int io_mkdir_p(const char *path, unsigned mode)
{
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (length == 0)
        return -ENOENT;
    if (length >= sizeof(part))
        return -ENAMETOOLONG;
    memcpy(part, path, length + 1);
    for (char *slash = part + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        int r = io_mkdir_one(part, mode);
        if (r < 0)
            return r;
        *slash = '/';
    }
    return io_mkdir_one(part, mode);
}

int io_read_file(const char *path, size_t max, char **ret_data, size_t *ret_length)
{
    CLEANUP(io_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    /* st_size is a hint only: it is 0 for files in /proc and wrong for a file that grows. */
    size_t cap = (uint64_t)st.st_size < max ? (size_t)st.st_size : max, length = 0;
    char *data = NULL;
    for (;;) {
        char *grown = realloc(data, cap + 2);
        if (!grown)
            break;
        data = grown;
        ssize_t n = io_read_full(fd, data + length, cap + 1 - length);
        if (n < 0 || (length += (size_t)n) > max) {
            free(data);
            return n < 0 ? (int)n : -EFBIG;
        }
        if (length <= cap) {
            data[length] = '\0';
            *ret_data = data;
            *ret_length = length;
            return 0;
        }
        cap = cap > max / 2 ? max : cap * 2 + 4096;
    }
    free(data);
    return -ENOMEM;
}

/* Writes a new file of that name, complete and on disk, or leaves none. */
static int io_write_new(int dirfd, const char *name, const void *data, size_t length)
{
    CLEANUP(io_close)
    int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    int r = io_write_full(fd, data, length);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r < 0)
        unlinkat(dirfd, name, 0);
    return r;
}

int io_write_file_atomic(int dirfd, const char *name, const void *data, size_t length)
{
    static atomic_uint counter;
    char temporary[PATH_MAX];
    int n = snprintf(temporary, sizeof(temporary), "%s.%d-%u.tmp", name, (int)getpid(),
                     atomic_fetch_add(&counter, 1));
    if (n >= (int)sizeof(temporary))
        return -ENAMETOOLONG;
    /* A file of this name can only be left over from an earlier process with the same number. */
    unlinkat(dirfd, temporary, 0);
    int r = io_write_new(dirfd, temporary, data, length);
    if (r < 0)
        return r;
    if (renameat(dirfd, temporary, dirfd, name) < 0) {
        r = -errno;
        unlinkat(dirfd, temporary, 0);
        return r;
    }
    return io_fsync_parent(dirfd, name);
}
