#include "control.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "io.h"

#define CONNECTIONS_MAX 16
#define REQUEST_MAX 128
#define IO_TIMEOUT_S 5

enum slot_state { SLOT_FREE, SLOT_RUNNING, SLOT_ENDED };

/* One connection and its thread. The accepting thread fills and joins it; once that has ended, control_free
 * does. */
struct slot {
    struct control *control;
    pthread_t thread;
    int fd;
    _Atomic enum slot_state
        state; /* the connection's own thread says SLOT_ENDED, as the last thing it does */
};

struct control {
    control_answer *answer;
    void *arg;
    int dirfd;  /* of the cache: borrowed */
    int listen; /* the accepting thread's, until it is joined */
    bool refused;
    pthread_t thread;
    struct slot slot[CONNECTIONS_MAX];
};

static bool has_hung_up(void *arg)
{
    struct pollfd p = {.fd = *(int *)arg, .events = POLLRDHUP};
    return poll(&p, 1, 0) > 0;
}

/* One line, without its end. A client that sends more, or takes too long, is not one of ours. */
static int read_request(int fd, char request[REQUEST_MAX])
{
    size_t length = 0;
    while (length < REQUEST_MAX - 1) {
        ssize_t n = recv(fd, request + length, REQUEST_MAX - 1 - length, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EPROTO;
        length += (size_t)n;
        request[length] = '\0';
        char *end = memchr(request, '\n', length);
        if (end) {
            *end = '\0';
            return 0;
        }
    }
    return -EMSGSIZE;
}

static void send_answer(int fd, const json_t *answer)
{
    char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    size_t length = text ? strlen(text) : 0;
    for (size_t sent = 0; sent < length;) {
        ssize_t n = send(fd, text + sent, length - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break; /* the client went away, or stopped reading: its own loss */
        sent += (size_t)n;
    }
    free(text);
}

static void *serve_connection(void *arg)
{
    struct slot *slot = arg;
    struct control *c = slot->control;
    char request[REQUEST_MAX];
    if (read_request(slot->fd, request) == 0) {
        json_t *answer = c->answer(c->arg, request, has_hung_up, &slot->fd);
        send_answer(slot->fd, answer);
        json_decref(answer);
    }
    io_close(&slot->fd);
    atomic_store(&slot->state, SLOT_ENDED);
    return NULL;
}

static void reap(struct slot *slot)
{
    if (atomic_load(&slot->state) != SLOT_FREE)
        pthread_join(slot->thread, NULL);
    atomic_store(&slot->state, SLOT_FREE);
}

static struct slot *find_slot(struct control *c)
{
    for (struct slot *slot = c->slot; slot < c->slot + CONNECTIONS_MAX; slot++) {
        if (atomic_load(&slot->state) == SLOT_RUNNING)
            continue;
        reap(slot);
        return slot;
    }
    return NULL;
}

static int start_connection(struct control *c, int fd)
{
    struct slot *slot = find_slot(c);
    if (!slot)
        return -EAGAIN;
    struct timeval timeout = {.tv_sec = IO_TIMEOUT_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    slot->control = c;
    slot->fd = fd;
    atomic_store(&slot->state, SLOT_RUNNING);
    int r = -pthread_create(&slot->thread, NULL, serve_connection, slot);
    if (r < 0)
        atomic_store(&slot->state, SLOT_FREE);
    return r;
}

static void *accept_connections(void *arg)
{
    struct control *c = arg;
    for (;;) {
        int fd = accept4(c->listen, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            if (start_connection(c, fd) < 0)
                close(fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            poll(NULL, 0, 100); /* until someone closes something */
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return NULL; /* EINVAL: control_refuse shut it down */
        }
    }
}

/* A path below the directory by its descriptor: sun_path holds 108 octets, and data_dir may be longer. */
static void socket_address(int dirfd, struct sockaddr_un *ret)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(ret->sun_path, sizeof ret->sun_path, "/proc/self/fd/%d/%s", dirfd, CONTROL_NAME);
}

static int listen_in(int dirfd)
{
    struct sockaddr_un address;
    socket_address(dirfd, &address);
    CLEANUP(io_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (unlinkat(dirfd, CONTROL_NAME, 0) < 0 && errno != ENOENT)
        return -errno;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return -errno;
    if (fchmodat(dirfd, CONTROL_NAME, 0600, 0) < 0 || listen(fd, CONNECTIONS_MAX) < 0)
        return -errno;
    int listening = fd;
    fd = -1;
    return listening;
}

int control_start(int dirfd, control_answer *answer, void *arg, struct control **ret)
{
    struct control *c = calloc(1, sizeof *c);
    if (!c)
        return -ENOMEM;
    *c = (struct control){.answer = answer, .arg = arg, .dirfd = dirfd};
    c->listen = listen_in(dirfd);
    int r = c->listen < 0 ? c->listen : -pthread_create(&c->thread, NULL, accept_connections, c);
    if (r < 0) {
        io_close(&c->listen);
        free(c);
        return r;
    }
    *ret = c;
    return 0;
}

void control_refuse(struct control *c)
{
    if (!c || c->refused)
        return;
    c->refused = true;
    unlinkat(c->dirfd, CONTROL_NAME, 0);
    shutdown(c->listen, SHUT_RDWR);
    pthread_join(c->thread, NULL);
    io_close(&c->listen);
}

void control_free(struct control *c)
{
    if (!c)
        return;
    control_refuse(c);
    for (struct slot *slot = c->slot; slot < c->slot + CONNECTIONS_MAX; slot++)
        reap(slot);
    free(c);
}
