/*
 * Whoever unmounts shall never be told "busy" because of us, so the hand does not work on the mount but on a
 * clone of it that is attached nowhere (open_tree(2)): the same files, to the kernel and to those who watch
 * them, but a user of its own only. Unmounted meanwhile, the file system ends when the batch does. To clone a
 * mount takes CAP_SYS_ADMIN over the mount namespace. Who is not root has it in a namespace of its own, a
 * copy, which only a child enters, for it holds copies of all mounts until it goes. Its descriptors are those
 * of the hand, so the clone is there when it has ended. Where the system denies that, the hand opens the
 * mount.
 */
#include "hand.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "io.h"

#define SOCKET 3 /* its only descriptor, in the child */
#define END_TRIES 100
#define END_WAIT_US 10000
#define CLONER_STACK 65536

struct order {
    enum hand_verb verb;
    char from[PATH_MAX], to[PATH_MAX];
};

struct hand {
    pid_t pid;
    int socket;
    bool lost; /* an answer is missing: what comes next would be taken for it */
    struct order order;
};

/* ---- the child: system calls only, for other threads of its parent may have held any lock ---- */

struct cloner {
    const char *mountpoint;
    int ret; /* the clone, or -errno */
};

static int clone_mount(const char *mountpoint)
{
    int fd = open_tree(AT_FDCWD, mountpoint, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* In namespaces of its own; an unmount is not to look for the mount in this one. */
static int live_as_cloner(void *arg)
{
    struct cloner *c = arg;
    c->ret = mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? -errno : clone_mount(c->mountpoint);
    return 0;
}

static int clone_mount_elsewhere(const char *mountpoint)
{
    static char stack[CLONER_STACK] __attribute__((aligned(16)));
    struct cloner c = {.mountpoint = mountpoint, .ret = -EPERM};
    int flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_FILES | CLONE_VM | CLONE_VFORK | SIGCHLD;
    return clone(live_as_cloner, stack + sizeof(stack), flags, &c) < 0 ? -errno : c.ret;
}

/* A descriptor of the mount's root. -errno. */
static int open_root(const char *mountpoint)
{
    static bool is_denied;
    int fd = is_denied ? -EPERM : clone_mount(mountpoint);
    if (fd == -EPERM && !is_denied)
        fd = clone_mount_elsewhere(mountpoint);
    if (fd >= 0 || fd == -ENOENT || fd == -ENOTCONN)
        return fd;
    /* For good; others are of the moment, or of a mount that has mounts below it, which is busy anyway. */
    is_denied = is_denied || fd == -EPERM || fd == -ENOSYS || fd == -ENOSPC || fd == -EUSERS;
    fd = open(mountpoint, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int begin(const char *mountpoint, const char *proof, int *root)
{
    struct stat st;
    if (*root >= 0)
        close(*root);
    *root = open_root(mountpoint);
    if (*root < 0)
        return *root;
    if (fstatat(*root, proof, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    int err = -errno;
    close(*root);
    *root = -1;
    return err;
}

static int carry_out(const struct order *o, const char *mountpoint, int *root)
{
    static const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    int r = 0;
    if (o->verb == HAND_BEGIN)
        return begin(mountpoint, o->from, root);
    if (*root < 0)
        return -EBADF;
    switch (o->verb) {
    case HAND_RENAME:
        r = renameat2(*root, o->from, *root, o->to, RENAME_NOREPLACE);
        break;
    case HAND_UNLINK:
        r = unlinkat(*root, o->from, 0);
        break;
    case HAND_TOUCH:
        r = utimensat(*root, o->from, now, AT_SYMLINK_NOFOLLOW);
        break;
    case HAND_END:
        close(*root);
        *root = -1;
        break;
    case HAND_BEGIN:
        break;
    }
    return r < 0 ? -errno : 0;
}

_Noreturn static void live(const char *mountpoint, struct order *o)
{
    int root = -1;
    for (;;) {
        ssize_t n = recv(SOCKET, o, sizeof(*o), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n != sizeof(*o))
            _exit(0);
        int answer = carry_out(o, mountpoint, &root);
        if (send(SOCKET, &answer, sizeof(answer), MSG_NOSIGNAL) != sizeof(answer))
            _exit(0);
    }
}

/* What is sent to the whole group, as at the end of a session, is for the parent to deal with. */
static void become_the_hand(int socket)
{
    sigset_t all;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGTERM, &ignore, NULL);
    sigaction(SIGINT, &ignore, NULL);
    sigaction(SIGHUP, &ignore, NULL);
    sigaction(SIGCHLD, &ignore,
              NULL); /* nobody waits for the cloner to end, which takes longer than its work */
    sigfillset(&all);
    sigprocmask(SIG_UNBLOCK, &all, NULL);
    prctl(PR_SET_NAME, "mailmount-hand");
    if (dup2(socket, SOCKET) < 0)
        _exit(1);
    close_range(SOCKET + 1, ~0U, 0);
    close_range(0, SOCKET - 1, 0);
}

/* ---- the parent ---- */

int hand_new(const char *mountpoint, struct hand **ret)
{
    int pair[2];
    struct hand *h = calloc(1, sizeof(*h));
    if (!h)
        return -ENOMEM;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        int err = -errno;
        free(h);
        return err;
    }
    h->pid = fork();
    if (h->pid == 0) {
        become_the_hand(pair[1]);
        live(mountpoint, &h->order);
    }
    int err = -errno;
    close(pair[1]);
    h->socket = pair[0];
    if (h->pid > 0) {
        *ret = h;
        return 0;
    }
    close(h->socket);
    free(h);
    return err;
}

pid_t hand_pid(const struct hand *h)
{
    return h->pid;
}

/* It may be waiting for the mount, and goes when that does: nobody waits for it then. */
void hand_free(struct hand *h)
{
    if (!h)
        return;
    io_close(&h->socket);
    kill(h->pid, SIGKILL);
    for (int i = 0; i < END_TRIES && waitpid(h->pid, NULL, WNOHANG) == 0; i++)
        usleep(END_WAIT_US);
    free(h);
}

static int wait_for_answer(struct hand *h, int stop_fd)
{
    int answer;
    struct pollfd p[2] = {{.fd = h->socket, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};
    while (poll(p, 2, -1) < 0)
        if (errno != EINTR)
            return -errno;
    if (!p[0].revents)
        return -ECANCELED;
    ssize_t n = recv(h->socket, &answer, sizeof(answer), 0);
    return n == sizeof(answer) ? answer : -EPIPE;
}

int hand_do(struct hand *h, enum hand_verb verb, const char *from, const char *to, int stop_fd)
{
    struct order *o = &h->order;
    if (h->lost)
        return -EPIPE;
    if ((from && strlen(from) >= sizeof(o->from)) || (to && strlen(to) >= sizeof(o->to)))
        return -ENAMETOOLONG;
    o->verb = verb;
    strcpy(o->from, from ? from : "");
    strcpy(o->to, to ? to : "");
    int r = send(h->socket, o, sizeof(*o), MSG_NOSIGNAL) == sizeof(*o) ? wait_for_answer(h, stop_fd) : -EPIPE;
    h->lost = r == -ECANCELED || r == -EPIPE;
    return r;
}
