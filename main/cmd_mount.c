#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "command.h"
#include "io.h"
#include "log.h"
#include "mountopts.h"
#include "hung.h"
#include "mounts.h"
#include "serve.h"

struct mount_words {
    struct mountopts options;
    const char *account, *mountpoint;
    bool foreground;
};

static int parse_words(struct invocation *in, int argc, char **argv, struct mount_words *w)
{
    static const struct option longs[] = {
        {"foreground", no_argument, NULL, 'f'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    struct fault f = {0};
    int option;
    while ((option = command_option(in, argc, argv, ":c:fho:", longs)) != -1) {
        if (option == '?')
            return in->status;
        if (option == 'f')
            w->foreground = true;
        else if (mountopts_add(&w->options, optarg, in->implied_mount, &f) < 0)
            return command_fail(&f);
    }
    int words = argc - optind;
    if (words < 1 || words > 2 || (in->implied_mount && words != 2))
        return command_usage("mount: %s (usage: mailmount mount [-f] [-o OPTIONS] [ACCOUNT] MOUNTPOINT)",
                             words < 1 ? "no mount point given"
                                       : "an account and a mount point are expected");
    w->account = words == 2 ? argv[optind] : NULL;
    w->mountpoint = argv[argc - 1];
    return FAULT_OK;
}

/* What can be told before anything is opened. fs_mount looks again, closer. */
static int check_mountpoint(const char *path, const char *data_dir, struct fault *f)
{
    struct stat st;
    struct statvfs answer;
    char account[MOUNTS_ACCOUNT_MAX];
    size_t length = strlen(path);
    if (lstat(path, &st) < 0 &&
        errno != ENOTCONN) /* ENOTCONN: left by a daemon that was killed; fs_mount clears it */
        return fault_set(f, FAULT_CREATE, -errno, "%s: %s", path, strerror(errno));
    /* Alive is what answers statvfs: the kernel has stat's answer in its cache, also that of a dead daemon.
     */
    if (mounts_find(MOUNTS_TABLE, path, account) == 0 && statvfs(path, &answer) == 0)
        return fault_set(f, FAULT_CREATE, -EBUSY,
                         "%s: account %s is mounted there already (mailmount umount %s)", path, account,
                         path);
    if (strncmp(data_dir, path, length) == 0 && (data_dir[length] == '/' || data_dir[length] == '\0'))
        return fault_set(f, FAULT_CONFIG, -EINVAL,
                         "%s: data_dir %s lies inside the mount point (move one of them)", path, data_dir);
    return 0;
}

static int fail_resolve(const char *path)
{
    struct fault f = {0};
    bool missing = errno == ENOENT;
    fault_set(&f, FAULT_CREATE, -errno, "%s: %s%s%s%s", path, strerror(errno), missing ? " (mkdir -p " : "",
              missing ? path : "", missing ? " makes it)" : "");
    return command_fail(&f);
}

static int serve_in_background(struct serve_options *o)
{
    struct daemon_report report;
    struct fault f = {0};
    int r = daemon_fork(&o->report_fd);
    if (r < 0) {
        fault_set(&f, FAULT_AGAIN, r, "mount: no process: %s", strerror(-r));
        return command_fail(&f);
    }
    if (r == 0)
        return serve(o);
    daemon_wait(o->report_fd, &report);
    if (report.text[0] != '\0')
        fprintf(stderr, "mailmount: %s\n", report.text);
    return report.exit;
}

static int mount_account(const struct mount_words *w, const struct config_account *account,
                         const char *mountpoint)
{
    struct fault f = {0};
    struct serve_options o = {.account = account,
                              .mountpoint = mountpoint,
                              .mount = &w->options,
                              .foreground = w->foreground || w->options.debug,
                              .report_fd = -1};
    if (check_mountpoint(mountpoint, account->data_dir, &f) < 0)
        return command_fail(&f);
    log_to(STDERR_FILENO, o.foreground ? account->log_level : LOG_LEVEL_ERROR);
    return o.foreground ? serve(&o) : serve_in_background(&o);
}

/* mount(8) takes HOME away from people who may mount by `user` in fstab, and mount.fuse3 then says it is
 * /root. */
static void restore_home(void)
{
    const char *home = getenv("HOME");
    const struct passwd *me = getuid() != 0 ? getpwuid(getuid()) : NULL;
    if (me && (!home || strcmp(home, "/root") == 0))
        setenv("HOME", me->pw_dir, 1);
}

static int mount_words(struct invocation *in, const struct mount_words *w)
{
    struct fault f = {0};
    struct account_config config = {0};
    if (in->implied_mount)
        restore_home();
    int r = command_account(in, w->account, (const char *const *)w->options.override, &config, &f);
    if (r == -ESRCH && in->implied_mount) /* then the first word may as well be meant as a command */
        return command_usage("%s: neither a command nor an account (see `mailmount help`)", w->account);
    if (r < 0)
        return command_fail(&f);
    /* First of all: to look at what such a mount is mounted on may take for ever. */
    if (hung_end(config.account->data_dir, &f) < 0) {
        account_config_finish(&config);
        return command_fail(&f);
    }
    char *mountpoint = mounts_resolve(w->mountpoint);
    int status = mountpoint ? mount_account(w, config.account, mountpoint) : fail_resolve(w->mountpoint);
    free(mountpoint);
    account_config_finish(&config);
    return status;
}

int cmd_mount(struct invocation *in, int argc, char **argv)
{
    struct mount_words w = {0};
    int status = parse_words(in, argc, argv, &w);
    if (status == FAULT_OK && w.mountpoint)
        status = mount_words(in, &w);
    mountopts_finish(&w.options);
    return status;
}
