#include "fake.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#define PATIENCE_S 10

struct peer {
    int fd;
    char tag[32];
    bool compressed;
    z_stream in, out;
};

static bool get_octet(struct peer *p, char *ret)
{
    Bytef octet;
    if (!p->compressed)
        return recv(p->fd, ret, 1, 0) == 1;
    p->in.next_out = (Bytef *)ret;
    p->in.avail_out = 1;
    while (inflate(&p->in, Z_SYNC_FLUSH) >= Z_OK || p->in.avail_in == 0) {
        if (p->in.avail_out == 0)
            return true;
        if (recv(p->fd, &octet, 1, 0) != 1)
            return false;
        p->in.next_in = &octet;
        p->in.avail_in = 1;
    }
    return false;
}

static int get_line(struct peer *p, char *out, size_t size)
{
    size_t n = 0;
    while (n + 1 < size && get_octet(p, out + n))
        if (out[n++] == '\n')
            break;
    out[n] = '\0';
    return n > 0 && out[n - 1] == '\n' ? 0 : -1;
}

static bool put_raw(int fd, const char *data, size_t length, size_t piece)
{
    while (length > 0) {
        ssize_t n = send(fd, data, length < piece ? length : piece, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        length -= (size_t)n;
    }
    return true;
}

static void put_packed(struct peer *p, const char *data, size_t length, size_t piece, int flush)
{
    char packed[65536];
    if (!p->compressed) {
        put_raw(p->fd, data, length, piece);
        return;
    }
    p->out.next_in = (Bytef *)data;
    p->out.avail_in = (uInt)length;
    p->out.next_out = (Bytef *)packed;
    p->out.avail_out = sizeof packed;
    deflate(&p->out, flush);
    put_raw(p->fd, packed, sizeof packed - p->out.avail_out, piece);
}

static void put(struct peer *p, const char *data, size_t length, size_t piece)
{
    put_packed(p, data, length, piece, Z_SYNC_FLUSH);
}

static void compress_from_now(struct peer *p)
{
    p->compressed = true;
    if (inflateInit2(&p->in, -MAX_WBITS) != Z_OK ||
        deflateInit2(&p->out, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
}

/* A stored block of nothing, as a flush ends with. */
static void put_empty_blocks(struct peer *p, long n)
{
    for (; n > 0 && put_raw(p->fd, "\0\0\0\377\377", 5, 5); n--)
        usleep(10000);
}

static void cork(int fd, const char *text)
{
    const int on = text[0] == '1';
    setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on);
}

static void put_text(struct peer *p, const char *text, size_t piece)
{
    char line[8192];
    size_t n = 0;
    for (; *text != '\0' && n + 64 < sizeof line; text++) {
        if (*text == '$')
            n += (size_t)sprintf(line + n, "%s", p->tag);
        else
            line[n++] = *text == '#' ? '\0' : *text;
    }
    line[n++] = '\r';
    line[n++] = '\n';
    put(p, line, n, piece);
}

static void expect(struct fake *f, struct peer *p, const char *text)
{
    char line[16384];
    if (get_line(p, line, sizeof line) < 0) {
        snprintf(f->wrong, sizeof f->wrong, "no line, expected: %s", text);
        return;
    }
    snprintf(p->tag, sizeof p->tag, "%.*s", (int)strcspn(line, " \r"), line);
    if (strstr(line, text) == NULL)
        snprintf(f->wrong, sizeof f->wrong, "expected: %s, got: %.300s", text, line);
}

static void swallow(int fd, long n)
{
    char piece[65536];
    while (n > 0) {
        ssize_t got = recv(fd, piece, n < (long)sizeof piece ? (size_t)n : sizeof piece, 0);
        if (got <= 0)
            return;
        n -= got;
    }
}

static void repeat(struct peer *p, char c, long n)
{
    char piece[4096];
    memset(piece, c, sizeof piece);
    for (; n > 0; n -= (long)sizeof piece)
        put(p, piece, n < (long)sizeof piece ? (size_t)n : sizeof piece, sizeof piece);
}

static void await_client(const struct fake *f, struct peer *p)
{
    const int on = 1;
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    *p = (struct peer){.fd = accept(f->listener, NULL, NULL)};
    if (p->fd < 0)
        return;
    setsockopt(p->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void hang_up(struct peer *p)
{
    if (p->fd >= 0)
        close(p->fd);
    if (p->compressed) {
        inflateEnd(&p->in);
        deflateEnd(&p->out);
    }
}

static void step(struct fake *f, struct peer *p, const char *line)
{
    const char *text = line + 2;
    switch (line[0]) {
    case 'C':
        expect(f, p, text);
        return;
    case 'S':
        put_text(p, text, SIZE_MAX);
        return;
    case '1':
        put_text(p, text, 1);
        return;
    case 'R':
        put(p, text, strlen(text), SIZE_MAX);
        return;
    case 'N':
        swallow(p->fd, atol(text));
        return;
    case 'A':
    case '(':
        repeat(p, line[0] == 'A' ? 'a' : '(', atol(text));
        return;
    case 'D':
        usleep((useconds_t)atol(text) * 1000);
        return;
    case 'K':
        cork(p->fd, text);
        return;
    case 'Z':
        compress_from_now(p);
        return;
    case 'E':
        put_empty_blocks(p, atol(text));
        return;
    case 'F':
        put_packed(p, text, strlen(text), SIZE_MAX, Z_FINISH);
        return;
    case 'X':
        hang_up(p);
        await_client(f, p);
        return;
    case 'H':
        swallow(p->fd, INT32_MAX);
        return;
    default:
        snprintf(f->wrong, sizeof f->wrong, "bad script: %s", line);
    }
}

static void *serve(void *arg)
{
    struct fake *f = arg;
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    struct peer p;
    setsockopt(f->listener, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    await_client(f, &p);
    for (const char *const *line = f->script; p.fd >= 0 && *line != NULL && f->wrong[0] == '\0'; line++)
        step(f, &p, *line);
    hang_up(&p);
    return NULL;
}

void fake_start(struct fake *f, const char *const *script)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    *f = (struct fake){.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .script = script};
    if (f->listener < 0 || bind(f->listener, (struct sockaddr *)&a, sizeof a) < 0 ||
        listen(f->listener, 1) < 0 || getsockname(f->listener, (struct sockaddr *)&a, &size) < 0 ||
        pthread_create(&f->thread, NULL, serve, f) != 0)
        abort();
    f->port = ntohs(a.sin_port);
}

const char *fake_stop(struct fake *f)
{
    pthread_join(f->thread, NULL);
    close(f->listener);
    return f->wrong;
}
