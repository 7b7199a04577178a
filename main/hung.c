#include "hung.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <unistd.h>

#include "buf.h"
#include "io.h"
#include "log.h"
#include "mounts.h"

#define NOTE "mounted"

static void close_dir(DIR **d)
{
    if (*d)
        closedir(*d);
}

int hung_note(int dirfd, unsigned connection)
{
    CLEANUP(io_close)
    int fd = openat(dirfd, NOTE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    return dprintf(fd, "%d %u\n", (int)getpid(), connection) < 0 ? -errno : 0;
}

void hung_forget(int dirfd)
{
    unlinkat(dirfd, NOTE, 0);
}

static bool read_note(const char *data_dir, pid_t *ret_pid, unsigned *ret_connection)
{
    char text[64] = "";
    CLEANUP(buf_finish) struct buf path = {0};
    buf_addf(&path, "%s/" NOTE, data_dir);
    CLEANUP(io_close) int fd = path.failed ? -1 : open(path.data, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int pid;
    if (fd < 0 || io_read_full(fd, text, sizeof text - 1) <= 0 ||
        sscanf(text, "%d %u", &pid, ret_connection) != 2)
        return false;
    *ret_pid = pid;
    return pid > 1;
}

/* Numbers of processes come again: one that hangs has the cache's lock. */
static bool has_lock(const char *data_dir)
{
    CLEANUP(buf_finish) struct buf path = {0};
    buf_addf(&path, "%s/lock", data_dir);
    CLEANUP(io_close) int fd = path.failed ? -1 : open(path.data, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

/* Does a signal wait for it that no thread can refuse? */
static bool kill_is_pending(int tasks, const char *task)
{
    char path[64], text[4096] = "";
    snprintf(path, sizeof path, "%.20s/status", task);
    CLEANUP(io_close) int fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || io_read_full(fd, text, sizeof text - 1) <= 0)
        return false;
    const char *line = strstr(text, "\nSigPnd:");
    return line && (strtoull(line + strlen("\nSigPnd:"), NULL, 16) & 1ull << (SIGKILL - 1));
}

static bool is_killed(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    CLEANUP(close_dir) DIR *dir = opendir(path);
    for (const struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.' && kill_is_pending(dirfd(dir), e->d_name))
            return true;
    return false;
}

static int abort_connection(unsigned connection)
{
    char path[64];
    snprintf(path, sizeof path, "/sys/fs/fuse/connections/%u/abort", connection);
    CLEANUP(io_close) int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, "1", 1) == 1 ? 0 : -errno;
}

int hung_end(const char *data_dir, struct fault *f)
{
    pid_t pid;
    unsigned connection;
    char mountpoint[4096];
    if (!read_note(data_dir, &pid, &connection) || !is_killed(pid) || !has_lock(data_dir))
        return 0;
    int r = abort_connection(connection);
    bool known = mounts_of_connection(MOUNTS_TABLE, connection, mountpoint, sizeof mountpoint) == 0;
    if (r < 0 && known && umount2(mountpoint, MNT_FORCE | UMOUNT_NOFOLLOW) == 0)
        r = 0;
    if (r < 0)
        return fault_set(
            f, FAULT_AGAIN, -EBUSY,
            "the last mount (pid %d) was killed, and hangs in the kernel (umount -f %s, as root)", (int)pid,
            known ? mountpoint : "it");
    log_info("the last mount (pid %d) was killed and hung: its connection is ended", (int)pid);
    return 1;
}
