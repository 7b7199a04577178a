/*
 * COMPRESS=DEFLATE (RFC 4978): where the line is slower than what it costs.
 *
 * Servers compress tens of megabytes a second for each session. What is that fast is near: this machine, or
 * the same house. So text is compressed when the server is far away, which is told by the time until its
 * greeting: one or two round trips with TLS, half of one without. A session that waits for news has nothing
 * to gain, and both ends save the memory.
 *
 * Nothing may be sent between COMPRESS and its answer, which would be a round trip of every session. It
 * travels with the login, therefore, where the server has shown in an earlier session that it offers it
 * (most servers tell after the login only); else it is asked for behind that.
 *
 * A server that offers it and does not have it, or gets it wrong, has one session of ours end by that, as a
 * rule while it is being opened. Then it is not asked for again.
 */
#include "clock.h"
#include "log.h"
#include "session.h"

#define PATIENCE_MS                                                                                          \
    10000 /* nothing has to be done for these answers; an end that misunderstood may say none */

void imap_compress_measure(struct imap *im)
{
    /* A tunnel's command takes its time to begin, and may compress by itself. */
    bool far = clock_boot_ms() - im->compress.began_ms >= im->far_ms;
    im->compress.far = far && im->account->tunnel == NULL;
}

static bool is_possible(const struct imap *im)
{
    const struct imap_compress *c = &im->compress;
    return c->far && !c->unwanted && !c->failed && im->stream->deflate == NULL;
}

void imap_compress_with_login(struct imap *im, struct buf *line)
{
    struct imap_compress *c = &im->compress;
    if (!is_possible(im) || !c->offered || stream_ask_deflate(im->stream) < 0)
        return;
    c->tag = ++im->tag;
    buf_addf(line, "\r\nm%u COMPRESS DEFLATE", c->tag);
}

static enum worker_result finish_soon(struct imap *im, unsigned tag, struct worker_error *e)
{
    im->stream->idle_ms = im->idle_ms < PATIENCE_MS ? im->idle_ms : PATIENCE_MS;
    enum worker_result r = imap_finish(im, tag, NULL, NULL, e);
    if (im->stream != NULL)
        im->stream->idle_ms = im->idle_ms;
    return r;
}

enum worker_result imap_compress_end(struct imap *im, struct worker_error *e)
{
    struct imap_compress *c = &im->compress;
    if (c->tag == 0)
        return WORKER_DONE;
    enum worker_result r = finish_soon(im, c->tag, e);
    if (r != WORKER_DONE && r != WORKER_REFUSED)
        return imap_harmless(r, e);
    c->tag = 0;
    deflate_agreed(im->stream->deflate, r == WORKER_DONE);
    im->about.compressed = r == WORKER_DONE;
    if (r == WORKER_REFUSED) {
        log_info("%s: COMPRESS is offered, and refused: %s", im->about.peer, e->text);
        c->failed = true;
    }
    return WORKER_DONE;
}

/* Where it is new: a session that breaks while it is being opened is opened again. */
static enum worker_result try_out(struct imap *im, struct worker_error *e)
{
    struct command c;
    unsigned tag;
    command_begin(im, &c, "NOOP");
    enum worker_result r = imap_send(im, &c, &tag, e);
    r = r == WORKER_DONE ? finish_soon(im, tag, e) : r;
    return r == WORKER_REFUSED ? WORKER_DONE : imap_harmless(r, e);
}

enum worker_result imap_compress_begin(struct imap *im, struct worker_error *e)
{
    struct imap_compress *a = &im->compress;
    struct command c;
    a->offered = im->has.compress;
    if (!is_possible(im) || !a->offered || stream_ask_deflate(im->stream) < 0)
        return WORKER_DONE;
    command_begin(im, &c, "COMPRESS DEFLATE");
    enum worker_result r = imap_send(im, &c, &a->tag, e);
    r = r == WORKER_DONE ? imap_compress_end(im, e) : imap_harmless(r, e);
    return r == WORKER_DONE && im->about.compressed ? try_out(im, e) : r;
}

void imap_compress_broke(struct imap *im)
{
    struct imap_compress *c = &im->compress;
    const struct deflate *d = im->stream->deflate;
    int err = im->stream->err;
    bool cut = err == -ETIMEDOUT || err == -ECONNRESET || err == -EPIPE;
    if (d != NULL && (err == -EPROTO || (cut && !deflate_has_worked(d)))) {
        log_info("%s: a session with COMPRESS broke: it is not asked for again", im->about.peer);
        c->failed = true;
    }
    *c = (struct imap_compress){.offered = c->offered, .failed = c->failed};
}
