/* The records of the journal: points.c tells their form. */
#include "points.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define JOURNAL_FD 900 /* out of the program's way */

static int journal = -1;
static pthread_mutex_t journal_lock = PTHREAD_MUTEX_INITIALIZER;

bool journal_open(const char *path)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    journal = fcntl(fd, F_DUPFD_CLOEXEC, JOURNAL_FD);
    syscall(SYS_close, fd);
    return journal >= 0;
}

void journal_hold(void)
{
    if (journal >= 0)
        pthread_mutex_lock(&journal_lock);
}

void journal_release(void)
{
    if (journal >= 0)
        pthread_mutex_unlock(&journal_lock);
}

static void record(const char *line, const void *octets, size_t n)
{
    struct iovec part_of[] = {
        {(void *)(uintptr_t)line, strlen(line)}, {(void *)(uintptr_t)octets, n}, {"\n", 1}};
    if (syscall(SYS_writev, journal, part_of, 3) < 0)
        abort();
}

/* What is in the file from offset on, at most length octets; to be freed. */
static char *read_old(int fd, off_t offset, size_t length, size_t *ret)
{
    char *octets = malloc(length + 1);
    ssize_t n = octets ? REAL(pread)(fd, octets, length, offset) : -1;
    *ret = n > 0 ? (size_t)n : 0;
    return octets;
}

void note_write(int fd, off_t offset, size_t length)
{
    struct stat st;
    char line[160];
    size_t n;
    int err = errno;
    if (journal < 0 || fstat(fd, &st) < 0)
        return;
    if (offset < 0)
        offset = fcntl(fd, F_GETFL) & O_APPEND ? st.st_size : lseek(fd, 0, SEEK_CUR);
    /* Read by another descriptor: this one may be for writing only. */
    snprintf(line, sizeof line, "/proc/self/fd/%d", fd);
    int in = (int)syscall(SYS_openat, AT_FDCWD, line, O_RDONLY | O_CLOEXEC, 0);
    char *old = read_old(in, offset, length, &n);
    syscall(SYS_close, in);
    snprintf(line, sizeof line, "W %ju %jd %zu %jd %zu\n", (uintmax_t)st.st_ino, (intmax_t)offset, length,
             (intmax_t)st.st_size, n);
    record(line, old, n);
    free(old);
    errno = err;
}

void note_sync(int fd)
{
    struct stat st;
    char line[64];
    int err = errno;
    if (journal < 0 || fstat(fd, &st) < 0)
        return;
    snprintf(line, sizeof line, "S %ju", (uintmax_t)st.st_ino);
    record(line, NULL, 0);
    errno = err;
}

void note_sync_all(void)
{
    if (journal >= 0)
        record("A", NULL, 0);
}

static uintmax_t parent_inode(const char *path)
{
    char whole[2 * PATH_MAX];
    struct stat st;
    snprintf(whole, sizeof whole, "%s/%s", data_path(), path);
    *strrchr(whole, '/') = '\0';
    if (path[0] == '\0')
        *strrchr(whole, '/') = '\0'; /* of the data directory itself */
    return stat(whole, &st) < 0 ? 0 : (uintmax_t)st.st_ino;
}

void note_name(char what, const char *path)
{
    struct stat st;
    char line[PATH_MAX + 128];
    int err = errno;
    if (journal < 0 || !stat_data(path, &st))
        return;
    snprintf(line, sizeof line, "%c %ju %ju %s", what, (uintmax_t)st.st_ino, parent_inode(path), path);
    record(line, NULL, 0);
    errno = err;
}

void note_removal(const char *path)
{
    char whole[2 * PATH_MAX], line[PATH_MAX + 128];
    struct stat st;
    size_t n = 0;
    int err = errno;
    if (journal < 0 || !stat_data(path, &st))
        return;
    snprintf(whole, sizeof whole, "%s/%s", data_path(), path);
    int in = S_ISREG(st.st_mode) ? (int)syscall(SYS_openat, AT_FDCWD, whole, O_RDONLY | O_CLOEXEC, 0) : -1;
    char *old = in >= 0 ? read_old(in, 0, (size_t)st.st_size, &n) : NULL;
    if (in >= 0)
        syscall(SYS_close, in);
    snprintf(line, sizeof line, "U %ju %ju %s\t%jd\n", (uintmax_t)st.st_ino, parent_inode(path), path,
             S_ISDIR(st.st_mode) ? (intmax_t)-1 : (intmax_t)n);
    record(line, old, n);
    free(old);
    errno = err;
}

void note_rename(const char *from, const char *to)
{
    struct stat st;
    char line[2 * PATH_MAX + 128];
    int err = errno;
    if (journal < 0 || !stat_data(to, &st))
        return;
    snprintf(line, sizeof line, "R %ju %ju %ju %s\t%s", (uintmax_t)st.st_ino, parent_inode(from),
             parent_inode(to), from, to);
    record(line, NULL, 0);
    errno = err;
}
