#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"
#include "io.h"

#define ANSWER_MAX (64u << 20)

static int connect_to(const char *data_dir)
{
    CLEANUP(io_close) int dirfd = open(data_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0)
        return -errno;
    CLEANUP(io_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    /* By descriptor, as the server does: the path may be longer than sun_path. */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", dirfd, CONTROL_NAME);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return -errno;
    int connected = fd;
    fd = -1;
    return connected;
}

static pid_t peer_pid(int fd)
{
    struct ucred peer = {0};
    socklen_t length = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 ? peer.pid : 0;
}

/* Lets the next read wait until the deadline and no longer. */
static int limit_wait(int fd, int64_t deadline_ms)
{
    int64_t left = deadline_ms - clock_boot_ms();
    if (left <= 0)
        return -ETIMEDOUT;
    struct timeval timeout = {.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};
    return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) < 0 ? -errno : 0;
}

static int read_answer(int fd, int timeout_ms, struct buf *out)
{
    int64_t deadline_ms = clock_boot_ms() + timeout_ms;
    char part[16384];
    for (;;) {
        int r = timeout_ms >= 0 ? limit_wait(fd, deadline_ms) : 0;
        if (r < 0)
            return r;
        ssize_t n = recv(fd, part, sizeof part, 0);
        if (n == 0)
            return out->failed ? -ENOMEM : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        buf_add(out, part, (size_t)n);
        if (out->length > ANSWER_MAX)
            return -EPROTO;
    }
}

int control_call(const char *data_dir, const char *request, int timeout_ms, json_t **ret, pid_t *ret_pid)
{
    CLEANUP(io_close) int fd = connect_to(data_dir);
    if (fd < 0)
        return fd;
    char line[128];
    int length = snprintf(line, sizeof line, "%s\n", request);
    if (length >= (int)sizeof line)
        return -EINVAL;
    if (send(fd, line, (size_t)length, MSG_NOSIGNAL) != length)
        return -ECONNREFUSED; /* it ended just now */

    CLEANUP(buf_finish) struct buf text = {0};
    int r = read_answer(fd, timeout_ms, &text);
    if (r < 0)
        return r;
    json_t *answer = text.length > 0 ? json_loadb(text.data, text.length, 0, NULL) : NULL;
    if (!json_is_object(answer)) {
        json_decref(answer);
        return -EPROTO;
    }
    if (ret_pid)
        *ret_pid = peer_pid(fd);
    *ret = answer;
    return 0;
}

const char *control_result(const json_t *answer)
{
    const char *result = json_string_value(json_object_get(answer, "result"));
    return result ? result : "failed";
}
