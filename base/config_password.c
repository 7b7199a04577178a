#include "config_keys.h"
#include "clock.h"
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * The command has its own process group, so that at the limit its children go with it. It has answered when
 * it has ended, not when its output has: what it leaves running in the background (an agent) may keep the
 * pipe open for good.
 */
enum {
    PASSWORD_MAX = 4000,
    PASSWORD_LIMIT_MS = 30000,
};

struct command {
    pid_t pid;
    int output; /* of the command, our end, not blocking */
    int ended;  /* a pidfd: readable once the command has ended */
    size_t length;
    char line[PASSWORD_MAX + 2];
};

static int spawn_shell(const char *command, int output, pid_t *ret)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    char *argv[] = {"sh", "-c", (char *)command, NULL};
    int err = posix_spawn(ret, "/bin/sh", &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -err;
}

static int command_start(struct command *c, const char *command)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    c->output = ends[0];
    int err = fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : spawn_shell(command, ends[1], &c->pid);
    close(ends[1]);
    if (err < 0)
        return err;
    c->ended = (int)syscall(SYS_pidfd_open, c->pid, 0);
    return c->ended < 0 ? -errno : 0;
}

/* Takes what the pipe has: the first line is kept, the rest dropped. Returns false at the end of the output.
 */
static bool command_read(struct command *c)
{
    for (;;) {
        char rest[512];
        bool keep = c->length < sizeof(c->line) - 1 && !memchr(c->line, '\n', c->length);
        ssize_t n = keep ? read(c->output, c->line + c->length, sizeof(c->line) - 1 - c->length)
                         : read(c->output, rest, sizeof(rest));
        explicit_bzero(rest, keep ? 0 : sizeof(rest));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 && errno == EAGAIN;
        if (keep)
            c->length += (size_t)n;
    }
}

/* Until the command has ended; -ETIMEDOUT at the limit. */
static int command_wait(struct command *c, unsigned limit_ms)
{
    int64_t limit = clock_boot_ms() + limit_ms;
    bool open = true;
    for (;;) {
        struct pollfd wait[] = {{.fd = c->ended, .events = POLLIN},
                                {.fd = open ? c->output : -1, .events = POLLIN}};
        int64_t left = limit - clock_boot_ms();
        int n = left > 0 ? poll(wait, 2, (int)left) : 0;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return -ETIMEDOUT;
        if (n > 0 && open)
            open = command_read(c);
        if (n > 0 && wait[0].revents)
            return 0;
    }
}

static void command_kill(struct command *c)
{
    kill(-c->pid, SIGKILL);
}

/* Collects the command's status, a wait status; 0 when somebody else has done so. */
static int command_status(struct command *c)
{
    int status = 0;
    while (waitpid(c->pid, &status, 0) < 0)
        if (errno != EINTR)
            return 0;
    return status;
}

/* Cuts what was read behind its first line. */
static int command_take_line(struct command *c, const char *account, char **ret, struct fault *f)
{
    c->line[c->length] = '\0';
    size_t length = strcspn(c->line, "\n");
    if (length > PASSWORD_MAX)
        return fault_set(f, FAULT_CONFIG, -EFBIG,
                         "%s: the first line of password_command is longer than %d octets", account,
                         PASSWORD_MAX);
    if (length > 0 && c->line[length - 1] == '\r')
        length--;
    if (length == 0)
        return fault_set(f, FAULT_DENIED, -EINVAL,
                         "%s: password_command printed no password (try it in a shell)", account);
    char *password = strndup(c->line, length);
    if (!password)
        return fault_set(f, FAULT_IO, -ENOMEM, "%s: out of memory", account);
    *ret = password;
    return 0;
}

static int command_result(struct command *c, int err, const char *account, char **ret, struct fault *f)
{
    if (err == -ETIMEDOUT)
        return fault_set(f, FAULT_AGAIN, err,
                         "%s: password_command took more than %d s (does it wait for input?)", account,
                         PASSWORD_LIMIT_MS / 1000);
    if (err < 0)
        return fault_set(f, FAULT_IO, err, "%s: password_command: %s", account, strerror(-err));
    int status = command_status(c);
    c->pid = 0;
    if (WIFSIGNALED(status))
        return fault_set(f, FAULT_DENIED, -EINVAL, "%s: password_command was ended by signal %d", account,
                         WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        return fault_set(f, FAULT_DENIED, -EINVAL,
                         "%s: password_command failed with status %d (try it in a shell)", account,
                         WEXITSTATUS(status));
    return command_take_line(c, account, ret, f);
}

int config_password_run(const struct config_account *a, unsigned limit_ms, char **ret, struct fault *f)
{
    struct command c = {.output = -1, .ended = -1};
    int err = command_start(&c, a->password_command);
    if (err == 0)
        err = command_wait(&c, limit_ms);
    err = command_result(&c, err, a->name, ret, f);
    if (c.pid > 0) {
        command_kill(&c);
        command_status(&c);
    }
    io_close(&c.output);
    io_close(&c.ended);
    explicit_bzero(c.line, sizeof(c.line));
    return err;
}

int config_password(const struct config_account *a, char **ret, struct fault *f)
{
    if (a->password_command)
        return config_password_run(a, PASSWORD_LIMIT_MS, ret, f);
    if (!a->password)
        return fault_set(f, FAULT_CONFIG, -ENOENT, "%s: no password (set password_command in %s)", a->name,
                         a->path);
    char *copy = strdup(a->password);
    if (!copy)
        return fault_set(f, FAULT_IO, -ENOMEM, "%s: out of memory", a->name);
    *ret = copy;
    return 0;
}
