#include "stream.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "clock.h"
#include "io.h"

#define POLL_SLICE_MS 10000 /* poll sleeps by a clock that stops in suspend: look at ours that often */
#define TUNNEL_END_MS 1000  /* for the tunnel's command to end by itself */
#define MAILSTREAM_BUFFER 16384

int cancel_init(struct cancel *c)
{
    atomic_init(&c->set, false);
    c->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return c->fd < 0 ? -errno : 0;
}

void cancel_finish(struct cancel *c)
{
    io_close(&c->fd);
}

void cancel_set(struct cancel *c)
{
    atomic_store(&c->set, true);
    eventfd_write(c->fd, 1);
}

void cancel_clear(struct cancel *c)
{
    eventfd_t n;
    eventfd_read(c->fd, &n);
    atomic_store(&c->set, false);
}

bool cancel_is_set(const struct cancel *c)
{
    return atomic_load(&c->set);
}

int stream_poll(int fd, short events, const struct cancel *cancel, int64_t deadline_ms)
{
    for (;;) {
        int64_t left = deadline_ms - clock_boot_ms();
        struct pollfd p[2] = {{.fd = fd, .events = events}, {.fd = cancel->fd, .events = POLLIN}};
        int slice = left <= 0 ? 0 : left < POLL_SLICE_MS ? (int)left : POLL_SLICE_MS;
        int n = poll(p, 2, slice);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (cancel_is_set(cancel))
            return -ECANCELED;
        if (n > 0 && p[0].revents != 0)
            return 0;
        if (left <= 0)
            return -ETIMEDOUT;
    }
}

struct stream *stream_new(int fd, pid_t child, struct cancel *cancel, int idle_ms)
{
    struct stream *s = calloc(1, sizeof *s);
    if (s == NULL) {
        close(fd);
        return NULL;
    }
    s->fd = fd;
    s->child = child;
    s->cancel = cancel;
    s->idle_ms = idle_ms;
    return s;
}

/* The tunnel's command sees the end of its input; what does not end then is ended. */
static void child_end(pid_t child)
{
    for (int waited = 0; waited < TUNNEL_END_MS; waited += 10) {
        pid_t r = waitpid(child, NULL, WNOHANG);
        if (r == child || (r < 0 && errno != EINTR))
            return;
        poll(NULL, 0, 10);
    }
    kill(-child, SIGKILL);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
}

void stream_free(struct stream *s)
{
    if (s == NULL)
        return;
    if (s->ssl != NULL && s->err == 0)
        SSL_shutdown(s->ssl);
    SSL_free(s->ssl);
    deflate_free(s->deflate);
    io_close(&s->fd);
    if (s->child > 0)
        child_end(s->child);
    free(s);
}

static int fail(struct stream *s, int err)
{
    if (s->err == 0)
        s->err = err;
    return s->err;
}

/* What an unfinished TLS call waits for, or why it failed. */
static int tls_result(const struct stream *s, int r, short *events)
{
    int saved = errno;
    switch (SSL_get_error(s->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        *events = POLLIN;
        return -EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        *events = POLLOUT;
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return -ECONNRESET;
    case SSL_ERROR_SYSCALL:
        return saved != 0 ? -saved : -ECONNRESET;
    default:
        return ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING ? -ECONNRESET : -EPROTO;
    }
}

/* One attempt: a count, -EAGAIN with what to wait for, or the failure. */
static ssize_t receive_some(struct stream *s, void *out, size_t size, short *events)
{
    if (s->ssl != NULL) {
        ERR_clear_error();
        errno = 0;
        int r = SSL_read(s->ssl, out, size < INT_MAX ? (int)size : INT_MAX);
        return r > 0 ? r : tls_result(s, r, events);
    }
    ssize_t r = recv(s->fd, out, size, 0);
    *events = POLLIN;
    if (r == 0)
        return -ECONNRESET;
    return r > 0 ? r : errno == EWOULDBLOCK || errno == EINTR ? -EAGAIN : -errno;
}

static ssize_t read_some(struct stream *s, void *out, size_t size, short *events)
{
    ssize_t r = receive_some(s, out, size, events);
    if (r > 0)
        s->in += (size_t)r;
    return r;
}

static ssize_t write_some(struct stream *s, const void *data, size_t length, short *events)
{
    if (s->ssl != NULL) {
        ERR_clear_error();
        errno = 0;
        int r = SSL_write(s->ssl, data, length < INT_MAX ? (int)length : INT_MAX);
        return r > 0 ? r : tls_result(s, r, events);
    }
    ssize_t r = send(s->fd, data, length, MSG_NOSIGNAL);
    *events = POLLOUT;
    return r >= 0 ? r : errno == EWOULDBLOCK || errno == EINTR ? -EAGAIN : -errno;
}

/* One attempt to bring what is compressed to where it is inflated. */
static ssize_t bring_some(struct stream *s, short *events)
{
    size_t size;
    void *space = deflate_space(s->deflate, &size);
    ssize_t r = read_some(s, space, size, events);
    if (r > 0)
        deflate_came(s->deflate, (size_t)r);
    return r;
}

/* One attempt to get what is to be read. 0: something came, and there may be more, but no octet of text. */
static ssize_t take_some(struct stream *s, void *out, size_t size, short *events)
{
    if (s->deflate == NULL)
        return read_some(s, out, size, events);
    ssize_t r = deflate_take(s->deflate, out, size);
    if (r != 0)
        return r;
    r = bring_some(s, events);
    return r > 0 ? 0 : r;
}

ssize_t stream_read(struct stream *s, void *out, size_t size)
{
    int64_t deadline = clock_boot_ms() + s->idle_ms;
    while (s->err == 0) {
        short events = POLLIN;
        /* Also when data never ceases to come, a cancel must be seen. */
        ssize_t r = cancel_is_set(s->cancel) ? -ECANCELED : take_some(s, out, size, &events);
        if (r > 0) {
            int g = guard_feed(&s->guard, out, (size_t)r);
            return g < 0 ? fail(s, g) : r;
        }
        if (r == -EAGAIN)
            r = stream_poll(s->fd, events, s->cancel, deadline);
        else if (r == 0 && clock_boot_ms() > deadline) /* empty blocks, one after the other */
            r = -ETIMEDOUT;
        if (r < 0)
            fail(s, (int)r);
    }
    return s->err;
}

static int write_all(struct stream *s, const void *data, size_t length)
{
    const char *p = data;
    int64_t deadline = clock_boot_ms() + s->idle_ms;
    while (s->err == 0 && length > 0) {
        short events = POLLOUT;
        ssize_t r = cancel_is_set(s->cancel) ? -ECANCELED : write_some(s, p, length, &events);
        if (r > 0) {
            s->out += (size_t)r;
            p += r;
            length -= (size_t)r;
            deadline = clock_boot_ms() + s->idle_ms;
        } else if (r == -EAGAIN) {
            r = stream_poll(s->fd, events, s->cancel, deadline);
        }
        if (r < 0)
            fail(s, (int)r);
    }
    return s->err;
}

int stream_write(struct stream *s, const void *data, size_t length)
{
    CLEANUP(buf_finish) struct buf packed = {0};
    if (s->deflate == NULL || !deflate_is_on(s->deflate))
        return write_all(s, data, length);
    int r = s->err == 0 ? deflate_pack(s->deflate, data, length, &packed) : 0;
    return r < 0 ? fail(s, r) : write_all(s, packed.data, packed.length);
}

/* What can be read without waiting: 1, 0, or the failure. What came may be no more than the end of a block.
 */
static int inflate_waiting(struct stream *s, int64_t deadline_ms, short *events)
{
    int ready = deflate_ready(s->deflate);
    while (ready == 0 && !cancel_is_set(s->cancel) && clock_boot_ms() < deadline_ms) {
        ssize_t r = bring_some(s, events);
        if (r < 0)
            return r == -EAGAIN ? 0 : (int)r;
        ready = deflate_ready(s->deflate);
    }
    return ready;
}

int stream_wait(struct stream *s, int64_t deadline_ms)
{
    if (s->err < 0)
        return s->err;
    if (s->mail != NULL && s->mail->read_buffer_len > 0)
        return 1;
    if (s->deflate == NULL && s->ssl != NULL && SSL_pending(s->ssl) > 0)
        return 1;
    for (;;) {
        short events = POLLIN;
        int r = s->deflate != NULL ? inflate_waiting(s, deadline_ms, &events) : 0;
        if (r != 0)
            return r < 0 ? fail(s, r) : 1;
        r = stream_poll(s->fd, events, s->cancel, deadline_ms);
        if (r == -ETIMEDOUT || (r == 0 && s->deflate != NULL && clock_boot_ms() >= deadline_ms))
            return 0;
        if (r < 0)
            return fail(s, r);
        if (s->deflate == NULL)
            return 1;
    }
}

int stream_ask_deflate(struct stream *s)
{
    s->deflate = deflate_new();
    return s->deflate != NULL ? 0 : -ENOMEM;
}

/* libetpan's view. Its functions look at -1 only; the reason stays in s->err. */

static ssize_t low_read(mailstream_low *low, void *out, size_t size)
{
    ssize_t r = stream_read(low->data, out, size);
    return r < 0 ? -1 : r;
}

static ssize_t low_write(mailstream_low *low, const void *data, size_t length)
{
    return stream_write(low->data, data, length) < 0 ? -1 : (ssize_t)length;
}

static int low_close(mailstream_low *low)
{
    (void)low;
    return 0; /* low_free follows at once */
}

static int low_fd(mailstream_low *low)
{
    return ((struct stream *)low->data)->fd;
}

static void low_free(mailstream_low *low)
{
    stream_free(low->data);
    free(low);
}

static mailstream_low_driver driver = {
    .mailstream_read = low_read,
    .mailstream_write = low_write,
    .mailstream_close = low_close,
    .mailstream_get_fd = low_fd,
    .mailstream_free = low_free,
};

mailstream *stream_mailstream(struct stream *s)
{
    mailstream_low *low = mailstream_low_new(s, &driver);
    if (low == NULL)
        return NULL;
    s->mail = mailstream_new(low, MAILSTREAM_BUFFER);
    if (s->mail == NULL)
        free(low);
    return s->mail;
}
