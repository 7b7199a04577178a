#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "io.h"

int daemon_fork(int *ret_fd)
{
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return -errno;
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        int r = -errno;
        close(pipes[0]);
        close(pipes[1]);
        return r;
    }
    close(pipes[pid > 0 ? 1 : 0]);
    *ret_fd = pipes[pid > 0 ? 0 : 1];
    return pid > 0;
}

void daemon_wait(int fd, struct daemon_report *ret)
{
    if (io_read_full(fd, ret, sizeof *ret) != (ssize_t)sizeof *ret) {
        *ret = (struct daemon_report){.exit = FAULT_IO};
        snprintf(ret->text, sizeof ret->text, "mount: the daemon ended before it had mounted (try mount -f)");
    }
    ret->text[sizeof ret->text - 1] = '\0';
    close(fd);
}

void daemon_tell(int *fd, const struct daemon_report *r)
{
    if (*fd >= 0)
        io_write_full(*fd, r, sizeof *r); /* a parent that is gone needs no report */
    io_close(fd);
}

int daemon_detach(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none); /* a core would hold the password */
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    for (int i = 0; i <= STDERR_FILENO; i++) {
        if (dup2(fd, i) < 0) {
            int r = -errno;
            close(fd);
            return r;
        }
    }
    if (fd > STDERR_FILENO)
        close(fd);
    if (setsid() < 0 || chdir("/") < 0)
        return -errno;
    return 0;
}
