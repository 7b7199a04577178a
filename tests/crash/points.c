/*
 * A library to preload into the program under test. It ends the process at its N-th effect, as SIGKILL would, so
 * that a test can try every N.
 *
 * An effect is a call that changes the account's data directory, or moves octets over the connection to the
 * server. SQLite is among the callers: its commits are writes and syncs of mail.db-wal. All else (/dev/fuse, the
 * control socket, the log on standard error) is not counted. What a descriptor is, the kernel is asked for each
 * time, so that nothing has to be kept about descriptors here. Children count nothing.
 *
 *     POINTS_DATA     the data directory, without symbolic links
 *     POINTS_REPORT   a file that gets a struct report
 *     POINTS_AT       N, counted from 1; 0 or nothing: never
 *     POINTS_KIND     the number of the only kind that N counts; without it, N counts all of them
 *     POINTS_HOW      "before" the call, "after" it (the default), or after "half" of it: half of the octets, and
 *                     after calls that have none
 *     POINTS_JOURNAL  for power loss, a file that is appended to: what each effect on the data directory
 *                     replaced, and what was synced. tests/integration/power.py undoes with it what was not.
 *
 * A call of another thread that is under way when the process ends may happen or not, as in any crash. None
 * begins afterwards.
 *
 * Records of the journal are a line and, where it says so, octets:
 *
 *     W inode offset length size n  n octets that were there before, in a file of that size
 *     S inode                       file or directory synced;  A  all is
 *     N inode parent path           a new file or directory
 *     L inode parent path           another name of a file
 *     U inode parent path n         a name removed; n octets of the file, -1: a directory
 *     R inode parent parent path TAB path
 *
 * Paths are those below the data directory, "" itself.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define POINTS_MAX 65000
#define JOURNAL_FD 900 /* out of the program's way */

/* In the order of KINDS in tests/integration/points.py. */
enum kind { WRITE, DATABASE, SYNC, COMMIT, MAKE, LINK, RENAME, REMOVE, TRUNCATE, SEND, RECEIVE };
enum how { BEFORE, HALF, AFTER };

struct report {
    _Atomic uint64_t points;
    uint64_t died_at;
    int64_t died_ns; /* CLOCK_REALTIME */
    uint8_t kind[POINTS_MAX];
};

static struct report *report; /* NULL: nothing is counted */
static uint64_t die_at;
static int die_kind = -1; /* -1: any */
static enum how how = AFTER;
static _Atomic uint64_t seen_of_kind;
static char data_dir[PATH_MAX];
static size_t data_length;
static pid_t self;
static atomic_bool dead;
static int journal = -1;
static pthread_mutex_t journal_lock = PTHREAD_MUTEX_INITIALIZER; /* an effect and its record are one */

#define REAL(name) ((__typeof__(&name))real_function(#name))

static void *real_function(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

/* ---- counting and dying ---- */

static void stay_dead(void)
{
    for (;;)
        pause();
}

static void die(uint64_t n)
{
    struct timespec now;
    atomic_store(&dead, true);
    if (journal >= 0)
        pthread_mutex_lock(&journal_lock); /* an effect of another thread gets its record */
    clock_gettime(CLOCK_REALTIME, &now);
    report->died_ns = now.tv_sec * 1000000000LL + now.tv_nsec;
    report->died_at = n;
    syscall(SYS_kill, self, SIGKILL);
    stay_dead();
}

/* Counts. The number of the point when the process is to end there, else 0. */
static uint64_t count(enum kind kind)
{
    if (atomic_load(&dead))
        stay_dead();
    uint64_t n = atomic_fetch_add(&report->points, 1) + 1;
    if (n <= POINTS_MAX)
        report->kind[n - 1] = (uint8_t)kind;
    if (die_kind >= 0 && die_kind != (int)kind)
        return 0;
    uint64_t of_kind = die_kind >= 0 ? atomic_fetch_add(&seen_of_kind, 1) + 1 : n;
    return of_kind == die_at ? n : 0;
}

static uint64_t begin(enum kind kind)
{
    uint64_t last = count(kind);
    if (last && how == BEFORE)
        die(last);
    if (journal >= 0)
        pthread_mutex_lock(&journal_lock);
    return last;
}

static void end(uint64_t last)
{
    int err = errno;
    if (journal >= 0)
        pthread_mutex_unlock(&journal_lock);
    if (last)
        die(last);
    errno = err;
}

static size_t part(uint64_t last, size_t length)
{
    return last && how == HALF && length > 1 ? length / 2 : length;
}

/* ---- what a call is about ---- */

static bool counts(void)
{
    return report && getpid() == self;
}

/* The path below the data directory, or NULL for one that is elsewhere. */
static const char *below_data(const char *path)
{
    if (strncmp(path, data_dir, data_length) != 0)
        return NULL;
    if (path[data_length] == '\0')
        return path + data_length;
    return path[data_length] == '/' ? path + data_length + 1 : NULL;
}

static bool fd_path(int fd, char out[PATH_MAX])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, out, PATH_MAX - 1);
    out[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* The path of a descriptor or of a name, NULL when it is none of ours. */
static const char *fd_data(int fd, char out[PATH_MAX])
{
    int err = errno;
    const char *found = counts() && fd_path(fd, out) ? below_data(out) : NULL;
    errno = err;
    return found;
}

static const char *name_data(int dirfd, const char *name, char out[PATH_MAX])
{
    char dir[PATH_MAX];
    int err = errno;
    bool known = counts();
    if (known && name[0] == '/') {
        snprintf(out, PATH_MAX, "%s", name);
    } else if (known) {
        known = dirfd == AT_FDCWD ? getcwd(dir, sizeof dir) != NULL : fd_path(dirfd, dir);
        if (known && snprintf(out, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX)
            known = false;
    }
    errno = err;
    return known ? below_data(out) : NULL;
}

static bool is_server(int fd)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    int err = errno;
    bool is = counts() && getpeername(fd, (struct sockaddr *)&peer, &length) == 0 &&
              (peer.ss_family == AF_INET || peer.ss_family == AF_INET6);
    errno = err;
    return is;
}

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

/* ---- the journal; with its lock held ---- */

static void record(const char *line, const void *octets, size_t n)
{
    struct iovec part_of[] = {{(void *)(uintptr_t)line, strlen(line)}, {(void *)(uintptr_t)octets, n}, {"\n", 1}};
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

/* Before octets of a file are overwritten, added or cut off. An offset of -1 is the current one. */
static void note_write(int fd, off_t offset, size_t length)
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

static void note_sync(int fd)
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

static uintmax_t parent_inode(const char *path)
{
    char whole[PATH_MAX + NAME_MAX];
    struct stat st;
    snprintf(whole, sizeof whole, "%s/%s", data_dir, path);
    *strrchr(whole, '/') = '\0';
    if (path[0] == '\0')
        *strrchr(whole, '/') = '\0'; /* of the data directory itself */
    return stat(whole, &st) < 0 ? 0 : (uintmax_t)st.st_ino;
}

static bool stat_data(const char *path, struct stat *st)
{
    char whole[PATH_MAX + NAME_MAX];
    snprintf(whole, sizeof whole, "%s/%s", data_dir, path);
    return lstat(whole, st) == 0;
}

/* After a name was made. */
static void note_name(char what, const char *path)
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

/* Before a name goes. */
static void note_removal(const char *path)
{
    char whole[PATH_MAX + NAME_MAX], line[PATH_MAX + 128];
    struct stat st;
    size_t n = 0;
    int err = errno;
    if (journal < 0 || !stat_data(path, &st))
        return;
    snprintf(whole, sizeof whole, "%s/%s", data_dir, path);
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

static void note_rename(const char *from, const char *to)
{
    struct stat st;
    char line[2 * PATH_MAX + 128];
    int err = errno;
    if (journal < 0 || !stat_data(to, &st))
        return;
    snprintf(line, sizeof line, "R %ju %ju %ju %s\t%s", (uintmax_t)st.st_ino, parent_inode(from), parent_inode(to),
             from, to);
    record(line, NULL, 0);
    errno = err;
}

/* ---- the beginning ---- */

static int open_file(const char *path, int flags)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        abort();
    return fd;
}

static void open_report(const char *path)
{
    int fd = open_file(path, O_RDWR | O_TRUNC);
    if (syscall(SYS_ftruncate, fd, sizeof(struct report)) < 0)
        abort();
    report = mmap(NULL, sizeof(struct report), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (report == MAP_FAILED)
        abort();
    syscall(SYS_close, fd);
}

__attribute__((constructor)) static void start(void)
{
    const char *dir = getenv("POINTS_DATA"), *to = getenv("POINTS_REPORT"), *at = getenv("POINTS_AT");
    const char *when = getenv("POINTS_HOW"), *log = getenv("POINTS_JOURNAL"), *kind = getenv("POINTS_KIND");
    if (!dir || !to)
        return;
    self = getpid();
    snprintf(data_dir, sizeof data_dir, "%s", dir);
    data_length = strlen(data_dir);
    die_at = at ? strtoull(at, NULL, 10) : 0;
    die_kind = kind ? atoi(kind) : -1;
    how = !when || strcmp(when, "after") == 0 ? AFTER : strcmp(when, "half") == 0 ? HALF : BEFORE;
    if (log) {
        int fd = open_file(log, O_WRONLY | O_APPEND);
        journal = fcntl(fd, F_DUPFD_CLOEXEC, JOURNAL_FD);
        syscall(SYS_close, fd);
    }
    open_report(to);
    unsetenv("LD_PRELOAD"); /* children are others */
}

/* ---- octets to files ---- */

#define EXPORT __attribute__((visibility("default")))

EXPORT ssize_t write(int fd, const void *data, size_t length)
{
    char path[PATH_MAX];
    const char *ours = fd_data(fd, path);
    if (!ours && !is_server(fd))
        return REAL(write)(fd, data, length);
    uint64_t last = begin(ours ? write_kind(ours) : SEND);
    if (ours)
        note_write(fd, -1, part(last, length));
    ssize_t n = REAL(write)(fd, data, part(last, length));
    end(last);
    return n;
}

EXPORT ssize_t pwrite(int fd, const void *data, size_t length, off_t offset)
{
    char path[PATH_MAX];
    const char *ours = fd_data(fd, path);
    if (!ours || is_memory(ours))
        return REAL(pwrite)(fd, data, length, offset);
    uint64_t last = begin(write_kind(ours));
    note_write(fd, offset, part(last, length));
    ssize_t n = REAL(pwrite)(fd, data, part(last, length), offset);
    end(last);
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
    uint64_t last = begin(write_kind(ours));
    note_write(fd, offset, total(v, n));
    ssize_t r = last && how == HALF ? write_half(fd, v, n, offset) : REAL(pwritev)(fd, v, n, offset);
    end(last);
    return r;
}

EXPORT ssize_t writev(int fd, const struct iovec *v, int n)
{
    char path[PATH_MAX];
    const char *ours = fd_data(fd, path);
    if (!ours && !is_server(fd))
        return REAL(writev)(fd, v, n);
    uint64_t last = begin(ours ? write_kind(ours) : SEND);
    if (ours)
        note_write(fd, -1, total(v, n));
    ssize_t r = REAL(writev)(fd, v, last && how == HALF && n > 1 ? n / 2 : n);
    end(last);
    return r;
}

/* libfuse moves what a client wrote from its pipe to the file. */
EXPORT ssize_t splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t length, unsigned flags)
{
    char path[PATH_MAX];
    const char *ours = fd_data(out, path);
    if (!ours)
        return REAL(splice)(in, in_at, out, out_at, length, flags);
    uint64_t last = begin(write_kind(ours));
    note_write(out, out_at ? *out_at : -1, part(last, length));
    ssize_t n = REAL(splice)(in, in_at, out, out_at, part(last, length), flags);
    end(last);
    return n;
}

EXPORT ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t length, unsigned flags)
{
    char path[PATH_MAX];
    struct stat st;
    const char *ours = fd_data(out, path);
    if (!ours)
        return REAL(copy_file_range)(in, in_at, out, out_at, length, flags);
    if (fstat(in, &st) == 0 && length > (size_t)st.st_size)
        length = (size_t)st.st_size; /* callers ask for more than there is */
    uint64_t last = begin(write_kind(ours));
    note_write(out, out_at ? *out_at : -1, part(last, length));
    ssize_t n = REAL(copy_file_range)(in, in_at, out, out_at, part(last, length), flags);
    end(last);
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
    uint64_t last = begin(TRUNCATE);
    note_write(fd, length, st.st_size > length ? (size_t)(st.st_size - length) : 0);
    int r = REAL(ftruncate)(fd, length);
    end(last);
    return r;
}

EXPORT int fallocate(int fd, int mode, off_t offset, off_t length)
{
    char path[PATH_MAX];
    const char *ours = fd_data(fd, path);
    if (!ours)
        return REAL(fallocate)(fd, mode, offset, length);
    uint64_t last = begin(TRUNCATE);
    note_write(fd, offset, (size_t)length);
    int r = REAL(fallocate)(fd, mode, offset, length);
    end(last);
    return r;
}

/* ---- to disk ---- */

static int sync_with(int (*call)(int), int fd)
{
    char path[PATH_MAX];
    const char *ours = fd_data(fd, path);
    if (!ours)
        return call(fd);
    uint64_t last = begin(strcmp(ours, "mail.db-wal") == 0 ? COMMIT : SYNC);
    int r = call(fd);
    if (r == 0)
        note_sync(fd);
    end(last);
    return r;
}

EXPORT int fsync(int fd)
{
    /* Of the directory above: that the data directory has a name. */
    char path[PATH_MAX];
    if (journal >= 0 && counts() && fd_path(fd, path) && strncmp(path, data_dir, strlen(path)) == 0 &&
        !below_data(path)) {
        pthread_mutex_lock(&journal_lock);
        note_sync(fd);
        pthread_mutex_unlock(&journal_lock);
    }
    return sync_with(REAL(fsync), fd);
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
    uint64_t last = begin(SYNC);
    int r = REAL(syncfs)(fd);
    if (r == 0 && journal >= 0)
        record("A", NULL, 0);
    end(last);
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
    if (journal < 0 || fstatat(dirfd, name, &st, 0) < 0)
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
    uint64_t last = begin(made ? MAKE : TRUNCATE);
    if (!made)
        note_emptied(dirfd, name);
    int fd = (int)syscall(SYS_openat, dirfd, name, flags, mode);
    if (fd >= 0 && made)
        note_name('N', ours);
    end(last);
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
    uint64_t last = begin(MAKE);
    int r = REAL(mkdirat)(dirfd, name, mode);
    if (r == 0)
        note_name('N', ours);
    end(last);
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
    uint64_t last = begin(LINK);
    int r = REAL(linkat)(from_fd, from, to_fd, to, flags);
    if (r == 0)
        note_name('L', ours);
    end(last);
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
    uint64_t last = begin(RENAME);
    struct stat st;
    if (!(flags & RENAME_NOREPLACE) && stat_data(was, &st))
        note_removal(ours);
    int r = REAL(renameat2)(from_fd, from, to_fd, to, flags);
    if (r == 0)
        note_rename(was, ours);
    end(last);
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
    uint64_t last = begin(REMOVE);
    note_removal(ours);
    int r = REAL(unlinkat)(dirfd, name, flags);
    end(last);
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
    uint64_t last = begin(SEND);
    ssize_t n = REAL(send)(fd, data, part(last, length), flags);
    end(last);
    return n;
}

/* One that waits counts when something has come. */
EXPORT ssize_t recv(int fd, void *data, size_t size, int flags)
{
    ssize_t n = REAL(recv)(fd, data, size, flags);
    if (n <= 0 || !is_server(fd))
        return n;
    uint64_t last = count(RECEIVE);
    if (last)
        die(last);
    return n;
}

EXPORT ssize_t read(int fd, void *data, size_t size)
{
    ssize_t n = REAL(read)(fd, data, size);
    if (n <= 0 || !is_server(fd))
        return n;
    uint64_t last = count(RECEIVE);
    if (last)
        die(last);
    return n;
}

/* The names that code has which was compiled with large file offsets, or with checks of its flags. */
#ifdef __LP64__
EXPORT ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset) __attribute__((alias("pwrite")));
EXPORT ssize_t pwritev64(int fd, const struct iovec *v, int n, off_t offset) __attribute__((alias("pwritev")));
EXPORT int ftruncate64(int fd, off_t length) __attribute__((alias("ftruncate")));
EXPORT int fallocate64(int fd, int mode, off_t at, off_t length) __attribute__((alias("fallocate")));
EXPORT int open64(const char *name, int flags, ...) __attribute__((alias("open")));
EXPORT int openat64(int dirfd, const char *name, int flags, ...) __attribute__((alias("openat")));
#else
#error "off_t is expected to have 64 bits by itself"
#endif
