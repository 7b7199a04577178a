#include "mounts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "io.h"

#define PREFIX "mailmount#"
#define HAND "mailmount-hand" /* see fs/hand.h */
#define BUSY_TRIES 80
#define BUSY_WAIT_US 25000

static void free_string(char **s)
{
    free(*s);
}

static void close_file(FILE **f)
{
    if (*f)
        fclose(*f);
}

static void close_dir(DIR **d)
{
    if (*d)
        closedir(*d);
}

char *mounts_resolve(const char *path)
{
    char *whole = realpath(path, NULL);
    if (whole || errno == ENOENT || errno == ENOTDIR)
        return whole;

    CLEANUP(free_string) char *copy = strdup(path);
    if (!copy)
        return NULL;
    for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
        copy[n - 1] = '\0';
    char *slash = strrchr(copy, '/');
    const char *last = slash ? slash + 1 : copy;
    CLEANUP(free_string) char *above = NULL;
    if (slash == copy)
        above = strdup("");
    else if (slash)
        *slash = '\0', above = realpath(copy, NULL);
    else
        above = realpath(".", NULL);
    if (!above || asprintf(&whole, "%s/%s", above, last) < 0)
        return NULL;
    return whole;
}

/* The table writes space, tab, newline and backslash as three octal digits. In place. */
static void unescape(char *s)
{
    char *out = s;
    for (; *s; s++) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
            s[3] <= '7') {
            *out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
            s += 3;
        } else {
            *out++ = *s;
        }
    }
    *out = '\0';
}

/* A line of proc_pid_mountinfo(5): ID PARENT DEV ROOT MOUNTPOINT OPTIONS [FIELD...] - TYPE SOURCE
 * SUPEROPTIONS */
static bool parse_line(char *line, unsigned *ret_minor, char **ret_mountpoint, char **ret_type,
                       char **ret_source)
{
    char *rest = strstr(line, " - ");
    if (!rest || sscanf(line, "%*u %*u %*u:%u", ret_minor) != 1)
        return false;
    *rest = '\0';
    char *save = NULL, *mountpoint = strtok_r(line, " ", &save);
    for (int i = 1; mountpoint && i < 5; i++)
        mountpoint = strtok_r(NULL, " ", &save);
    char *type = strtok_r(rest + 3, " ", &save);
    char *source = type ? strtok_r(NULL, " ", &save) : NULL;
    if (!mountpoint || !source)
        return false;
    unescape(mountpoint);
    unescape(source);
    *ret_mountpoint = mountpoint;
    *ret_type = type;
    *ret_source = source;
    return true;
}

static int account_of(const char *type, const char *source, char ret[MOUNTS_ACCOUNT_MAX])
{
    if (strcmp(type, "fuse.mailmount") != 0 || strncmp(source, PREFIX, strlen(PREFIX)) != 0)
        return -EMEDIUMTYPE;
    if (snprintf(ret, MOUNTS_ACCOUNT_MAX, "%s", source + strlen(PREFIX)) >= MOUNTS_ACCOUNT_MAX)
        return -EMEDIUMTYPE;
    return 0;
}

struct mounted {
    unsigned minor;
    const char *at, *type, *source;
};

/* Each line of the table; a non-zero result of `each` ends it and is returned. */
static int each_mount(const char *table, int (*each)(void *arg, const struct mounted *m), void *arg)
{
    CLEANUP(close_file) FILE *f = fopen(table, "re");
    if (!f)
        return -errno;
    CLEANUP(free_string) char *line = NULL;
    size_t size = 0;
    int r = 0;
    for (ssize_t n; r == 0 && (n = getline(&line, &size, f)) > 0;) {
        struct mounted m;
        char *at, *type, *source;
        if (line[n - 1] == '\n')
            line[n - 1] = '\0';
        if (!parse_line(line, &m.minor, &at, &type, &source))
            continue;
        m.at = at;
        m.type = type;
        m.source = source;
        r = each(arg, &m);
    }
    return r;
}

struct search {
    const char *mountpoint;
    unsigned minor;
    char *account, *path;
    size_t size;
    int found;
};

/* To the end of the table: the last one is on top. */
static int note_mountpoint(void *arg, const struct mounted *m)
{
    struct search *s = arg;
    if (strcmp(m->at, s->mountpoint) == 0) {
        s->found = account_of(m->type, m->source, s->account);
        s->minor = m->minor;
    }
    return 0;
}

int mounts_find(const char *table, const char *mountpoint, char ret_account[MOUNTS_ACCOUNT_MAX])
{
    struct search s = {.mountpoint = mountpoint, .account = ret_account, .found = -ENOENT};
    int r = each_mount(table, note_mountpoint, &s);
    return r < 0 ? r : s.found;
}

int mounts_connection(const char *table, const char *mountpoint, unsigned *ret)
{
    char account[MOUNTS_ACCOUNT_MAX];
    struct search s = {.mountpoint = mountpoint, .account = account, .found = -ENOENT};
    int r = each_mount(table, note_mountpoint, &s);
    if (r < 0 || s.found < 0)
        return r < 0 ? r : -ENOENT;
    *ret = s.minor;
    return 0;
}

static int note_connection(void *arg, const struct mounted *m)
{
    struct search *s = arg;
    char account[MOUNTS_ACCOUNT_MAX];
    if (m->minor != s->minor || account_of(m->type, m->source, account) < 0)
        return 0;
    s->found = snprintf(s->path, s->size, "%s", m->at) < (int)s->size ? 0 : -ENAMETOOLONG;
    return 1;
}

int mounts_of_connection(const char *table, unsigned connection, char *ret, size_t size)
{
    struct search s = {.minor = connection, .path = ret, .size = size, .found = -ENOENT};
    int r = each_mount(table, note_connection, &s);
    return r < 0 ? r : s.found;
}

/* Does the link (a working directory, an open file) of a process lead below the mount point? Reading the link
 * asks the kernel only, not the file system behind it. */
static bool leads_below(int procfd, const char *link, const char *mountpoint)
{
    char target[4096];
    ssize_t n = readlinkat(procfd, link, target, sizeof target - 1);
    size_t length = strlen(mountpoint);
    if (n < 0)
        return false;
    target[n] = '\0';
    return strncmp(target, mountpoint, length) == 0 && (target[length] == '/' || target[length] == '\0');
}

static bool process_uses(int procfd, const char *mountpoint)
{
    if (leads_below(procfd, "cwd", mountpoint) || leads_below(procfd, "root", mountpoint))
        return true;
    int fd = openat(procfd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(close_dir) DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir)
        return false;
    for (const struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] != '.' && leads_below(dirfd(dir), e->d_name, mountpoint))
            return true;
    }
    return false;
}

static bool add_user(int procfd, const char *pid, struct buf *out)
{
    char name[32] = "?";
    CLEANUP(io_close) int fd = openat(procfd, "comm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? io_read_full(fd, name, sizeof name - 1) : 0;
    if (n > 0)
        name[n - (name[n - 1] == '\n')] = '\0';
    if (strcmp(name, HAND) == 0)
        return false;
    buf_addf(out, "%s%s (%s)", out->length > 0 ? ", " : "", name, pid);
    return true;
}

/* "mutt (1234), bash (1200)": who keeps the mount busy, as far as the caller may see. */
static void find_users(const char *mountpoint, struct buf *out)
{
    CLEANUP(close_dir) DIR *dir = opendir("/proc");
    int found = 0;
    for (const struct dirent *e; dir && found < 4 && (e = readdir(dir));) {
        if (e->d_name[0] < '1' || e->d_name[0] > '9' || atoi(e->d_name) == getpid())
            continue;
        CLEANUP(io_close) int procfd = openat(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (procfd >= 0 && process_uses(procfd, mountpoint))
            found += add_user(procfd, e->d_name, out);
    }
}

static int busy(const char *mountpoint, struct fault *f)
{
    CLEANUP(buf_finish) struct buf users = {0};
    find_users(mountpoint, &users);
    return fault_set(f, FAULT_AGAIN, -EBUSY, "%s: in use%s%s (end what uses it, or leave the directory)",
                     mountpoint, users.length > 0 ? " by " : "", users.length > 0 ? users.data : "");
}

/* Runs fusermount3 -u with its standard error into `words`; returns its exit status or a negative errno. */
static int run_fusermount(const char *mountpoint, char *words, size_t size)
{
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return -errno;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipes[1], STDERR_FILENO);
    char *argv[] = {"fusermount3", "-u", "--", (char *)mountpoint, NULL};
    char *env[] = {"LC_ALL=C", "PATH=/usr/local/bin:/usr/bin:/bin", NULL};
    pid_t pid;
    int r = -posix_spawnp(&pid, argv[0], &actions, NULL, argv, env);
    posix_spawn_file_actions_destroy(&actions);
    close(pipes[1]);
    if (r == 0) {
        ssize_t n = io_read_full(pipes[0], words, size - 1);
        words[n > 0 ? n : 0] = '\0';
        int status = 0;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        r = WIFEXITED(status) ? WEXITSTATUS(status) : -ECHILD;
    }
    close(pipes[0]);
    return r;
}

static int unmount_as_user(const char *mountpoint, struct fault *f)
{
    char words[512] = "";
    int r = run_fusermount(mountpoint, words, sizeof words);
    if (r == 0)
        return 0;
    if (r == -ENOENT)
        return fault_set(f, FAULT_DENIED, r, "%s: fusermount3 is missing (install the package fuse3)",
                         mountpoint);
    if (r < 0)
        return fault_set(f, FAULT_IO, r, "%s: fusermount3: %s", mountpoint, strerror(-r));
    if (strstr(words, "busy"))
        return busy(mountpoint, f);
    words[strcspn(words, "\n")] = '\0';
    return fault_set(f, FAULT_DENIED, -EPERM, "%s: not unmounted: %s", mountpoint, words);
}

static int unmount_once(const char *mountpoint, struct fault *f)
{
    if (geteuid() != 0)
        return unmount_as_user(mountpoint, f);
    if (umount2(mountpoint, UMOUNT_NOFOLLOW) == 0)
        return 0;
    if (errno == EBUSY)
        return busy(mountpoint, f);
    return fault_set(f, errno == EPERM ? FAULT_DENIED : FAULT_IO, -errno, "%s: not unmounted: %s", mountpoint,
                     strerror(errno));
}

/* The daemon's hand is there for a moment at a time where it cannot have a clone (fs/hand.c), and counts as
 * nobody. */
int mounts_unmount(const char *mountpoint, struct fault *f)
{
    int r = unmount_once(mountpoint, f);
    for (int i = 0; r == -EBUSY && i < BUSY_TRIES; i++) {
        CLEANUP(buf_finish) struct buf users = {0};
        find_users(mountpoint, &users);
        if (users.length > 0)
            break;
        usleep(BUSY_WAIT_US);
        r = unmount_once(mountpoint, f);
    }
    return r;
}
