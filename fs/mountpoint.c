#include "mountpoint.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>
#include "io.h"
#include "log.h"

extern char **environ;

/* Without a word of its own: what it would say is ours to say. */
static int run(const char *const argv[])
{
    pid_t pid;
    posix_spawn_file_actions_t quiet;
    if (posix_spawn_file_actions_init(&quiet) != 0)
        return -ENOMEM;
    int status, r = posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(&quiet, STDOUT_FILENO, STDERR_FILENO);
    if (r == 0)
        r = posix_spawnp(&pid, argv[0], &quiet, NULL, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&quiet);
    if (r)
        return -r;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static int unmount_stale(const char *path)
{
    if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
        return 0;
    const char *const argv[] = {"fusermount3", "-u", "-z", "-q", path, NULL};
    return run(argv);
}

/* Is something of ours mounted exactly there, and alive? */
static bool is_our_mount(const char *path)
{
    char *real = realpath(path, NULL);
    FILE *table = setmntent("/proc/self/mounts", "r");
    bool found = false;
    struct mntent *m;
    while (real && table && !found && (m = getmntent(table)))
        found = strcmp(m->mnt_dir, real) == 0 && strcmp(m->mnt_type, "fuse.mailmount") == 0;
    if (table)
        endmntent(table);
    free(real);
    return found;
}

static int is_empty(const char *path)
{
    DIR *d = opendir(path);
    if (!d)
        return -errno;
    bool empty = true;
    errno = 0;
    for (const struct dirent *e; empty && (e = readdir(d));)
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    int r = errno ? -errno : empty;
    closedir(d);
    return r;
}

static int check_directory(const char *path, struct fault *f)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return fault_set(f, FAULT_CREATE, -errno, "%s: %s (make the directory first)", path, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return fault_set(f, FAULT_CREATE, -ENOTDIR, "%s: not a directory", path);
    if (is_our_mount(path))
        return fault_set(f, FAULT_CREATE, -EBUSY, "%s: in use, an account is mounted there", path);
    int empty = is_empty(path);
    if (empty < 0)
        return fault_set(f, FAULT_CREATE, empty, "%s: %s", path, strerror(-empty));
    return empty ? 0
                 : fault_set(f, FAULT_CREATE, -ENOTEMPTY, "%s: not empty (choose an empty directory)", path);
}

int mountpoint_prepare(const char *path, struct fault *f)
{
    struct statvfs st;
    /* Not stat(2): the kernel may answer that from its cache though the daemon is dead. */
    if (statvfs(path, &st) < 0 && errno == ENOTCONN) {
        int r = unmount_stale(path);
        if (r < 0)
            return fault_set(f, FAULT_CREATE, r, "%s: a mount that has died is there, and stays (unmount it)",
                             path);
        log_info("unmounted what a daemon that was killed had left at the mount point");
    }
    return check_directory(path, f);
}

int mountpoint_explain_failure(const char *path, const char *said, struct fault *f)
{
    if (access("/dev/fuse", F_OK) < 0)
        return fault_set(f, FAULT_UNAVAILABLE, -ENODEV, "%s: no /dev/fuse (modprobe fuse)", path);
    const char *const argv[] = {"fusermount3", "--version", NULL};
    if (geteuid() != 0 && run(argv) == -ENOENT)
        return fault_set(f, FAULT_CREATE, -ENOENT, "%s: fusermount3 is missing (install fuse3)", path);
    return fault_set(f, FAULT_CREATE, -EPERM, "%s: cannot be mounted on: %s", path,
                     said[0] != '\0' ? said : "libfuse does not say why");
}
