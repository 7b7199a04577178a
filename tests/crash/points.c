/*
 * A library to preload into the program under test. It ends the process at its N-th effect, as SIGKILL would,
 * so that a test can try every N.
 *
 * An effect is a call that changes the account's data directory, or moves octets over the connection to the
 * server. SQLite is among the callers: its commits are writes and syncs of mail.db-wal. All else (/dev/fuse,
 * the control socket, the log on standard error) is not counted. What a descriptor is, the kernel is asked
 * for each time, so that nothing has to be kept about descriptors here. Children count nothing.
 *
 *     POINTS_DATA     the data directory, without symbolic links
 *     POINTS_REPORT   a file that gets a struct report
 *     POINTS_AT       N, counted from 1; 0 or nothing: never
 *     POINTS_KIND     the number of the only kind that N counts; without it, N counts all of them
 *     POINTS_HOW      "before" the call, "after" it (the default), or after "half" of it: half of the octets,
 * and after calls that have none POINTS_JOURNAL  for power loss, a file that is appended to: what each effect
 * on the data directory replaced, and what was synced. tests/integration/power.py undoes with it what was
 * not.
 *
 * A call of another thread that is under way when the process ends may happen or not, as in any crash. None
 * begins afterwards.
 *
 * One thing is not like SIGKILL. A thread that tells the kernel what to forget, or asks its own mount
 * something, waits there for a request that another thread of the process has to answer, and no signal gets
 * it out of that: a process that is killed just then never goes, and the clients of its mount wait for ever.
 * So the end waits for the first point at or after N at which no thread is in there.
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
#include "points.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define POINTS_MAX 65000

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
static atomic_bool dead;    /* nobody is to go on */
static atomic_int captives; /* threads that only an answer of this process frees */

/* ---- counting and dying ---- */

static void stay_while_dead(void)
{
    while (atomic_load(&dead))
        usleep(200);
}

/* Returns when this is no time to die: the next point tries it again. */
static void die(uint64_t n)
{
    struct timespec now;
    if (atomic_exchange(&dead, true)) {
        stay_while_dead();
        return;
    }
    if (atomic_load(&captives) > 0) {
        atomic_store(&dead, false);
        return;
    }
    journal_hold(); /* an effect of another thread gets its record */
    clock_gettime(CLOCK_REALTIME, &now);
    report->died_ns = now.tv_sec * 1000000000LL + now.tv_nsec;
    report->died_at = n;
    syscall(SYS_kill, self, SIGKILL);
    stay_while_dead();
}

void captive_begin(void)
{
    atomic_fetch_add(&captives, 1);
    while (atomic_load(&dead)) {
        atomic_fetch_sub(&captives, 1);
        stay_while_dead();
        atomic_fetch_add(&captives, 1);
    }
}

void captive_end(void)
{
    atomic_fetch_sub(&captives, 1);
}

/* Counts. The number of the point when the process is to end there, else 0. */
static uint64_t count(enum kind kind)
{
    stay_while_dead();
    uint64_t n = atomic_fetch_add(&report->points, 1) + 1;
    if (n <= POINTS_MAX)
        report->kind[n - 1] = (uint8_t)kind;
    if (die_kind >= 0 && die_kind != (int)kind)
        return 0;
    uint64_t of_kind = die_kind >= 0 ? atomic_fetch_add(&seen_of_kind, 1) + 1 : n;
    return die_at && of_kind >= die_at ? n : 0;
}

uint64_t point_begin(enum kind kind)
{
    uint64_t last = count(kind);
    if (last && how == BEFORE)
        die(last);
    journal_hold();
    return last;
}

void point_end(uint64_t last)
{
    int err = errno;
    journal_release();
    if (last)
        die(last);
    errno = err;
}

size_t point_part(uint64_t last, size_t length)
{
    return last && how == HALF && length > 1 ? length / 2 : length;
}

bool point_is_half(uint64_t last)
{
    return last && how == HALF;
}

void point_passed(enum kind kind)
{
    int err = errno;
    uint64_t last = count(kind);
    if (last)
        die(last);
    errno = err;
}

/* ---- what a call is about ---- */

bool counts(void)
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

bool fd_path(int fd, char out[PATH_MAX])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, out, PATH_MAX - 1);
    out[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* The path of a descriptor or of a name, NULL when it is none of ours. */
const char *fd_data(int fd, char out[PATH_MAX])
{
    int err = errno;
    const char *found = counts() && fd_path(fd, out) ? below_data(out) : NULL;
    errno = err;
    return found;
}

const char *name_data(int dirfd, const char *name, char out[PATH_MAX])
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

bool is_server(int fd)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    int err = errno;
    bool is = counts() && getpeername(fd, (struct sockaddr *)&peer, &length) == 0 &&
              (peer.ss_family == AF_INET || peer.ss_family == AF_INET6);
    errno = err;
    return is;
}

const char *data_path(void)
{
    return data_dir;
}

bool is_above_data(const char *path)
{
    return strncmp(path, data_dir, strlen(path)) == 0 && strlen(path) < data_length;
}

bool stat_data(const char *path, struct stat *st)
{
    char whole[2 * PATH_MAX];
    snprintf(whole, sizeof whole, "%s/%s", data_dir, path);
    return lstat(whole, st) == 0;
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
    if (log && !journal_open(log))
        abort();
    open_report(to);
    unsetenv("LD_PRELOAD"); /* children are others */
}
