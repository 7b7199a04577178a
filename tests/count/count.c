/*
 * A library to preload into the program under test. It counts what work costs, for tests that must not depend
 * on how fast the machine is: requests of the kernel that were answered, statements of SQLite, files that
 * were forced to disk, octets over the line.
 *
 *     COUNT_REPORT    a file that gets a struct report, and is up to date at any time
 *     COUNT_HOLD      a file that, while it exists, keeps back answers to the kernel's requests: those of as
 * many octets as the two numbers in it say, at least and at most
 *
 * Children count nothing.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define REAL(name) ((__typeof__(&name))real_function(#name))

/* In the order of FIELDS in tests/integration/counting.py. */
struct report {
    _Atomic uint64_t answers; /* to the kernel's requests; FORGET has none */
    _Atomic uint64_t notices; /* to the kernel, of what it is to forget */
    _Atomic uint64_t statements, rows;
    _Atomic uint64_t syncs;
    _Atomic uint64_t sent, received; /* octets */
};

static struct report *report; /* NULL: nothing is counted */
static const char *hold;      /* a path; NULL: nothing is held */
static pid_t self;

static void *real_function(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

static void count(_Atomic uint64_t *field, uint64_t n)
{
    if (getpid() == self)
        atomic_fetch_add(field, n);
}

/* ---- descriptors ---- */

static bool is_fuse(int fd)
{
    char link[64], path[16];
    int err = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = report ? readlink(link, path, sizeof path) : -1;
    errno = err;
    return n == 9 && memcmp(path, "/dev/fuse", 9) == 0;
}

static bool is_server(int fd)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    int err = errno;
    bool is = report && getpeername(fd, (struct sockaddr *)&peer, &length) == 0 &&
              (peer.ss_family == AF_INET || peer.ss_family == AF_INET6);
    errno = err;
    return is;
}

static void note_output(int fd, const void *octets, ssize_t n)
{
    const struct fuse_out_header *header = octets;
    if (n <= 0)
        return;
    if (is_fuse(fd))
        count(header->unique ? &report->answers : &report->notices, 1);
    else if (is_server(fd))
        count(&report->sent, (uint64_t)n);
}

static bool is_held(size_t length)
{
    size_t least, most;
    FILE *file = fopen(hold, "re");
    bool held = file && fscanf(file, "%zu %zu", &least, &most) == 2 && length >= least && length <= most;
    if (file)
        fclose(file);
    return held;
}

static void wait_while_held(int fd, const struct iovec *v, int n_of)
{
    const struct fuse_out_header *header = v[0].iov_base;
    if (!hold || !is_fuse(fd) || !header->unique)
        return;
    size_t length = 0;
    for (int i = 0; i < n_of; i++)
        length += v[i].iov_len;
    while (is_held(length))
        usleep(2000);
}

EXPORT ssize_t write(int fd, const void *data, size_t length)
{
    ssize_t n = REAL(write)(fd, data, length);
    note_output(fd, data, n);
    return n;
}

EXPORT ssize_t writev(int fd, const struct iovec *v, int n_of)
{
    wait_while_held(fd, v, n_of);
    ssize_t n = REAL(writev)(fd, v, n_of);
    note_output(fd, v[0].iov_base, n);
    return n;
}

/* Only answers go this way: octets of files, by a pipe. */
EXPORT ssize_t splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t length, unsigned flags)
{
    ssize_t n = REAL(splice)(in, in_at, out, out_at, length, flags);
    if (n > 0 && is_fuse(out))
        count(&report->answers, 1);
    return n;
}

EXPORT ssize_t send(int fd, const void *data, size_t length, int flags)
{
    ssize_t n = REAL(send)(fd, data, length, flags);
    note_output(fd, data, n);
    return n;
}

EXPORT ssize_t recv(int fd, void *data, size_t size, int flags)
{
    ssize_t n = REAL(recv)(fd, data, size, flags);
    if (n > 0 && is_server(fd))
        count(&report->received, (uint64_t)n);
    return n;
}

EXPORT ssize_t read(int fd, void *data, size_t size)
{
    ssize_t n = REAL(read)(fd, data, size);
    if (n > 0 && is_server(fd))
        count(&report->received, (uint64_t)n);
    return n;
}

/* ---- to disk ---- */

static int sync_with(int (*call)(int), int fd)
{
    if (report)
        count(&report->syncs, 1);
    return call(fd);
}

EXPORT int fsync(int fd)
{
    return sync_with(REAL(fsync), fd);
}

EXPORT int fdatasync(int fd)
{
    return sync_with(REAL(fdatasync), fd);
}

EXPORT int syncfs(int fd)
{
    return sync_with(REAL(syncfs), fd);
}

/* ---- SQLite ---- */

EXPORT int sqlite3_step(sqlite3_stmt *statement)
{
    int r = REAL(sqlite3_step)(statement);
    if (report && r == SQLITE_ROW)
        count(&report->rows, 1);
    return r;
}

/* Each execution ends with this. */
EXPORT int sqlite3_reset(sqlite3_stmt *statement)
{
    if (report)
        count(&report->statements, 1);
    return REAL(sqlite3_reset)(statement);
}

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("COUNT_REPORT");
    int fd = path ? open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    self = getpid();
    if (ftruncate(fd, sizeof *report) < 0)
        abort();
    void *map = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        abort();
    report = map;
    hold = getenv("COUNT_HOLD");
    close(fd);
    unsetenv("LD_PRELOAD"); /* children are others */
}
