/*
 * APPEND (RFC 3501 6.3.11), streamed from the caller in pieces, its octets unaltered. A small message goes as
 * a non-synchronising literal where the server takes those (RFC 7888), which saves a round trip; a large one
 * waits for the go-ahead, so that a server that is going to refuse it can do so before it is sent.
 *
 * From the first octet to the tagged answer a broken connection means that nobody knows: WORKER_UNKNOWN. When
 * the caller's own reading fails inside the literal, the connection is dropped, and the server with it the
 * message: it was never complete.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "session.h"

#define PIECE 65536
#define ASYNCHRONOUS_MAX 65536 /* octets that are sent without asking */
#define LITERAL_MINUS_MAX 4096

static bool asynchronous(const struct imap *im, int64_t size)
{
    return (im->has.literal_plus && size <= ASYNCHRONOUS_MAX) ||
           (im->has.literal_minus && size <= LITERAL_MINUS_MAX);
}

static void build(struct imap *im, struct command *c, const struct worker_op *op)
{
    bool plus = asynchronous(im, op->size);
    command_begin(im, c, "APPEND ");
    command_string(im, c, op->mailbox);
    buf_adds(&c->text, " ");
    command_flags(im, c, op->add);
    if (op->date_s != 0 || op->zone_min != 0) {
        char date[32];
        reply_format_date(op->date_s, op->zone_min, date);
        buf_addf(&c->text, " \"%s\"", date);
    }
    buf_addf(&c->text, " %s{%lld%s}\r\n", op->nul ? "~" : "", (long long)op->size, plus ? "+" : "");
    c->open = true;
    if (!plus)
        c->split[c->splits++] = c->text.length;
}

/* The literal's octets and the command's end. 0; 1 when the caller's reading failed, with *err; or the
 * stream's errno. */
static int stream_message(struct imap *im, const struct worker_op *op, int *err)
{
    mailstream *m = im->etpan->imap_stream;
    char *piece = malloc(PIECE);
    int64_t left = op->size;
    *err = piece == NULL ? -ENOMEM : 0;
    while (left > 0 && *err == 0 && im->stream->err == 0) {
        ssize_t n = op->read(op->read_arg, piece, left < PIECE ? (size_t)left : PIECE);
        if (n <= 0)
            *err = n < 0 ? (int)n : -EIO; /* the file is shorter than it was announced */
        else if (mailstream_write(m, piece, (size_t)n) < 0)
            break;
        left -= n > 0 ? n : 0;
    }
    free(piece);
    if (*err < 0)
        return 1;
    if (im->stream->err == 0 && (mailstream_write(m, "\r\n", 2) < 0 || mailstream_flush(m) < 0) &&
        im->stream->err == 0)
        im->stream->err = -EIO;
    return im->stream->err;
}

static int on_appenduid(void *arg, const struct reply *r)
{
    struct worker_outcome *got = arg;
    struct cursor c = r->args;
    uint32_t validity, uid;
    if (r->kind == REPLY_DATA || strcmp(r->name, "APPENDUID") != 0)
        return 0;
    if (cursor_number32(&c, &validity) && cursor_char(&c, ' ') && cursor_number32(&c, &uid) && c.p == c.end) {
        got->uidvalidity = validity;
        got->uid = uid;
    }
    return 0;
}

enum worker_result imap_append(struct imap *im, const struct worker_op *op, struct worker_outcome *ret,
                               struct worker_error *e)
{
    static const char no_nul[] =
        "the message contains NUL octets, which this server does not take (BINARY is not offered)";
    struct command c;
    unsigned tag;
    int err;
    if (op->nul && !im->has.binary) {
        imap_error_set(e, -EINVAL, no_nul, sizeof no_nul - 1);
        return WORKER_REFUSED;
    }
    build(im, &c, op);
    enum worker_result r = imap_send(im, &c, &tag, e);
    if (r != WORKER_DONE)
        return r;
    switch (stream_message(im, op, &err)) {
    case 0:
        return imap_finish(im, tag, on_appenduid, ret, e);
    case 1:
        imap_error_set(e, err, strerror(-err), strlen(strerror(-err)));
        im->stream->err = err;
        imap_close(im);
        return WORKER_LOCAL;
    default:
        return imap_broken(im, true, e);
    }
}
