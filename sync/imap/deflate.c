#include "deflate.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#define ZLIB_CONST
#include <zlib.h>

#define PIECE 16384
#define RAW_DEFLATE (-MAX_WBITS) /* no header, no checksum (RFC 4978 4) */
#define MEMORY 8                 /* zlib's own default */

struct deflate {
    enum { ASKED, ON, REFUSED } state;
    bool damaged;
    z_stream in, out;
    unsigned char raw[PIECE]; /* as it came */
    size_t raw_at, raw_end;
    unsigned char plain[PIECE]; /* inflated, and not taken yet */
    size_t plain_at, plain_end;
};

struct deflate *deflate_new(void)
{
    struct deflate *d = calloc(1, sizeof *d);
    if (d == NULL || inflateInit2(&d->in, RAW_DEFLATE) != Z_OK)
        goto no_memory;
    if (deflateInit2(&d->out, Z_DEFAULT_COMPRESSION, Z_DEFLATED, RAW_DEFLATE, MEMORY, Z_DEFAULT_STRATEGY) ==
        Z_OK)
        return d;
    inflateEnd(&d->in);
no_memory:
    free(d);
    return NULL;
}

void deflate_free(struct deflate *d)
{
    if (d == NULL)
        return;
    inflateEnd(&d->in);
    deflateEnd(&d->out);
    free(d);
}

void deflate_agreed(struct deflate *d, bool ok)
{
    d->state = ok ? ON : REFUSED;
}

bool deflate_is_on(const struct deflate *d)
{
    return d->state == ON;
}

bool deflate_has_worked(const struct deflate *d)
{
    return d->in.total_out > 0;
}

bool deflate_is_damaged(const struct deflate *d)
{
    return d->damaged;
}

void *deflate_space(struct deflate *d, size_t *ret_size)
{
    d->raw_at = d->raw_end = 0;
    *ret_size = sizeof d->raw;
    return d->raw;
}

void deflate_came(struct deflate *d, size_t length)
{
    d->raw_end = length;
}

/* inflate takes all that came, unless the room is full: with some left, nothing of what came is lost. */
static int fill(struct deflate *d)
{
    d->in.next_in = d->raw + d->raw_at;
    d->in.avail_in = (uInt)(d->raw_end - d->raw_at);
    d->in.next_out = d->plain;
    d->in.avail_out = sizeof d->plain;
    int r = inflate(&d->in, Z_SYNC_FLUSH);
    d->raw_at = d->raw_end - d->in.avail_in;
    d->plain_at = 0;
    d->plain_end = sizeof d->plain - d->in.avail_out;
    if (d->plain_end > 0 || r == Z_OK || r == Z_BUF_ERROR)
        return 0; /* an end, or damage, shows again when what came before it has been taken */
    d->damaged = r != Z_STREAM_END && r != Z_MEM_ERROR;
    return r == Z_STREAM_END ? -ECONNRESET : r == Z_MEM_ERROR ? -ENOMEM : -EPROTO;
}

int deflate_ready(struct deflate *d)
{
    if (d->state != ON)
        return d->raw_at < d->raw_end;
    int r = d->plain_at == d->plain_end ? fill(d) : 0;
    return r < 0 ? r : d->plain_at < d->plain_end;
}

static size_t move_out(const unsigned char *from, size_t *at, size_t end, void *out, size_t size)
{
    size_t n = end - *at < size ? end - *at : size;
    memcpy(out, from + *at, n);
    *at += n;
    return n;
}

ssize_t deflate_take(struct deflate *d, void *out, size_t size)
{
    int r = deflate_ready(d);
    if (r <= 0)
        return r;
    if (d->state == ON)
        return (ssize_t)move_out(d->plain, &d->plain_at, d->plain_end, out, size);
    size_t end = d->raw_end;
    const unsigned char *lf = memchr(d->raw + d->raw_at, '\n', end - d->raw_at);
    if (d->state == ASKED && lf != NULL)
        end = (size_t)(lf - d->raw) + 1;
    return (ssize_t)move_out(d->raw, &d->raw_at, end, out, size);
}

int deflate_pack(struct deflate *d, const void *data, size_t length, struct buf *out)
{
    unsigned char piece[PIECE];
    d->out.next_in = data;
    d->out.avail_in = (uInt)length;
    do {
        d->out.next_out = piece;
        d->out.avail_out = sizeof piece;
        deflate(&d->out, Z_SYNC_FLUSH);
        int r = buf_add(out, piece, sizeof piece - d->out.avail_out);
        if (r < 0)
            return r;
    } while (d->out.avail_out == 0);
    return 0;
}
