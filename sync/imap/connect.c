/* Getting a connected socket: to a host, by all its addresses in turn, or to a tunnel command. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "clock.h"
#include "lookup.h"
#include "stream.h"

extern char **environ;

static void tune(int fd)
{
    const int on = 1, idle_s = 120, interval_s = 30, probes = 4;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

static int connect_one(const struct addrinfo *a, int timeout_ms, const struct cancel *cancel)
{
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0)
        return -errno;
    int r = connect(fd, a->ai_addr, a->ai_addrlen) < 0 ? -errno : 0;
    if (r == -EINPROGRESS)
        r = stream_poll(fd, POLLOUT, cancel, clock_boot_ms() + timeout_ms);
    int err = 0;
    socklen_t size = sizeof err;
    if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size) == 0)
        r = -err;
    if (r < 0) {
        close(fd);
        return r;
    }
    tune(fd);
    return fd;
}

static int connect_fault(const char *host, uint16_t port, int err, struct fault *f)
{
    const char *hint = err == -ECONNREFUSED
                           ? "connection refused (is the server running? check host and port)"
                       : err == -ETIMEDOUT ? "no answer (check host and port, and the network)"
                       : err == -ECANCELED ? "cancelled"
                                           : NULL;
    if (hint != NULL)
        return fault_set(f, FAULT_UNAVAILABLE, err, "%s:%u: %s", host, port, hint);
    return fault_set(f, FAULT_UNAVAILABLE, err, "%s:%u: %s (check the network)", host, port, strerror(-err));
}

int stream_connect(const char *host, uint16_t port, int connect_ms, struct cancel *cancel, int *ret_fd,
                   struct fault *f)
{
    struct addrinfo *all = NULL;
    int r = lookup_host(host, port, cancel, clock_boot_ms() + connect_ms, &all, f);
    if (r < 0)
        return r;
    int fd = -EHOSTUNREACH;
    for (const struct addrinfo *a = all; a != NULL && fd < 0 && fd != -ECANCELED; a = a->ai_next)
        /* A dead first address must not eat all the patience. */
        fd = connect_one(a, a->ai_next != NULL ? connect_ms / 2 : connect_ms, cancel);
    freeaddrinfo(all);
    if (fd < 0)
        return connect_fault(host, port, fd, f);
    *ret_fd = fd;
    return 0;
}

/* /bin/sh -c COMMAND with the socket as its standard input and output, in a process group of its own, so that
 * all of it can be ended. The signals that a thread of a daemon blocks or ignores are not passed on. */
static int spawn(const char *command, int fd, pid_t *ret)
{
    char *const argv[] = {"sh", "-c", (char *)command, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, usual;
    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    sigaddset(&usual, SIGINT);
    sigaddset(&usual, SIGTERM);
    sigaddset(&usual, SIGHUP);
    if (posix_spawn_file_actions_init(&files) != 0)
        return -ENOMEM;
    if (posix_spawnattr_init(&attributes) != 0) {
        posix_spawn_file_actions_destroy(&files);
        return -ENOMEM;
    }
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    int r = posix_spawn_file_actions_adddup2(&files, fd, 0);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(&files, fd, 1);
    if (r == 0)
        r = posix_spawn(ret, "/bin/sh", &files, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return -r;
}

int stream_tunnel(const char *command, int *ret_fd, pid_t *ret_child, struct fault *f)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return fault_set(f, FAULT_UNAVAILABLE, -errno, "tunnel: %s", strerror(errno));
    int r = spawn(command, pair[1], ret_child);
    close(pair[1]);
    if (r == 0 && fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0)
        r = -errno;
    if (r < 0) {
        close(pair[0]);
        return fault_set(f, FAULT_UNAVAILABLE, r, "tunnel: cannot run /bin/sh: %s", strerror(-r));
    }
    *ret_fd = pair[0];
    return 0;
}
