/*
 * Unmounting: flush, unmount, wait until the daemon has ended. The daemon is found by the account's name in
 * the mount table, through the configuration; when that leads elsewhere (another -c, -o data_dir), through
 * .mailmount/status in the mount itself. That comes second since a daemon that hangs would hang us, too.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "command.h"
#include "control.h"
#include "io.h"
#include "hung.h"
#include "mounts.h"

#define FLUSH_MS 60000
#define END_MS 60000

static void free_string(char **s)
{
    free(*s);
}

static void free_json(json_t **j)
{
    json_decref(*j);
}

/* Asks the daemon of data_dir to flush, if that is the one of this mount. -ENOENT: it is not, or there is
 * none. */
static int flush(const char *data_dir, const char *mountpoint, pid_t *ret_pid, struct fault *f)
{
    CLEANUP(free_json) json_t *answer = NULL;
    int r = control_call(data_dir, "flush", FLUSH_MS, &answer, ret_pid);
    if (r == -ETIMEDOUT || r == -EPROTO)
        return fault_set(f, FAULT_AGAIN, r, "%s: the daemon does not answer (try again, or end process %d)",
                         mountpoint, (int)*ret_pid);
    if (r < 0)
        return -ENOENT;
    const char *place = json_string_value(json_object_get(answer, "mountpoint"));
    const char *why = json_string_value(json_object_get(answer, "why"));
    if (!place || strcmp(place, mountpoint) != 0)
        return -ENOENT;
    if (strcmp(control_result(answer), "done") != 0)
        return fault_set(f, FAULT_IO, -EIO, "%s: local state is not on disk yet: %s (left mounted)",
                         mountpoint, why ? why : "?");
    return 0;
}

static char *data_dir_by_config(const struct invocation *in, const char *account)
{
    struct account_config config = {0};
    if (command_account(in, account, NULL, &config, NULL) < 0)
        return NULL;
    char *dir = strdup(config.account->data_dir);
    account_config_finish(&config);
    return dir;
}

static char *data_dir_by_mount(const char *mountpoint)
{
    CLEANUP(free_string) char *path = NULL, *text = NULL;
    size_t length;
    if (asprintf(&path, "%s/.mailmount/status", mountpoint) < 0 ||
        io_read_file(path, 16 << 20, &text, &length) < 0)
        return NULL;
    CLEANUP(free_json) json_t *status = json_loads(text, 0, NULL);
    const char *dir = json_string_value(json_object_get(status, "data_dir"));
    return dir ? strdup(dir) : NULL;
}

/* 0 and the pid, or 0 for it when no daemon was found: a dead one left its mount behind, or it is another
 * user's. */
static int flush_daemon(const struct invocation *in, const char *account, const char *mountpoint,
                        pid_t *ret_pid, struct fault *f)
{
    pid_t pid = 0;
    CLEANUP(free_string) char *dir = data_dir_by_config(in, account);
    int r = dir ? hung_end(dir, f) : 0;
    if (r != 0) { /* nobody is there to be asked */
        *ret_pid = 0;
        return r < 0 ? r : 0;
    }
    r = dir ? flush(dir, mountpoint, &pid, f) : -ENOENT;
    if (r == -ENOENT) {
        CLEANUP(free_string) char *other = data_dir_by_mount(mountpoint);
        r = other ? flush(other, mountpoint, &pid, f) : -ENOENT;
    }
    if (r < 0 && r != -ENOENT)
        return r;
    *ret_pid = r == 0 ? pid : 0;
    return 0;
}

static int wait_for_end(int pidfd, pid_t pid, const char *mountpoint, struct fault *f)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    int r;
    do {
        r = poll(&p, 1, END_MS);
    } while (r < 0 && errno == EINTR);
    if (r > 0)
        return 0;
    return fault_set(f, FAULT_AGAIN, -ETIMEDOUT,
                     "%s: unmounted, but process %d is still writing its state down (wait for it)",
                     mountpoint, (int)pid);
}

static int unmount(const struct invocation *in, const char *account, const char *mountpoint, struct fault *f)
{
    pid_t pid = 0;
    int r = flush_daemon(in, account, mountpoint, &pid, f);
    if (r < 0)
        return r;
    /* Taken before the daemon can end, so that the number cannot be another process's by then. */
    CLEANUP(io_close) int pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    r = mounts_unmount(mountpoint, f);
    if (r < 0)
        return r;
    return pidfd >= 0 ? wait_for_end(pidfd, pid, mountpoint, f) : 0;
}

static int check(const char *mountpoint, char account[MOUNTS_ACCOUNT_MAX], struct fault *f)
{
    int r = mounts_find(MOUNTS_TABLE, mountpoint, account);
    if (r == -ENOENT)
        return fault_set(f, FAULT_USAGE, r,
                         "%s: nothing is mounted there (see the mount points with `mount`)", mountpoint);
    if (r == -EMEDIUMTYPE)
        return fault_set(f, FAULT_USAGE, r, "%s: not a mailmount mount (use umount)", mountpoint);
    if (r < 0)
        return fault_set(f, FAULT_IO, r, "%s: %s", MOUNTS_TABLE, strerror(-r));
    return 0;
}

int cmd_umount(struct invocation *in, int argc, char **argv)
{
    struct fault f = {0};
    char account[MOUNTS_ACCOUNT_MAX];
    if (command_option(in, argc, argv, ":c:h", NULL) != -1)
        return in->status;
    if (argc - optind != 1)
        return command_usage(
            "umount: exactly one mount point is expected (usage: mailmount umount MOUNTPOINT)");
    CLEANUP(free_string) char *mountpoint = mounts_resolve(argv[optind]);
    if (!mountpoint)
        return command_usage("%s: %s (give the mount point)", argv[optind], strerror(errno));
    if (check(mountpoint, account, &f) < 0 || unmount(in, account, mountpoint, &f) < 0)
        return command_fail(&f);
    return FAULT_OK;
}
