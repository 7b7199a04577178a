/*
 * COMPRESS=DEFLATE (RFC 4978): where the line is slower than what it costs.
 *
 * Servers compress tens of megabytes a second for each session. What is that fast is near: this machine, or
 * the same house. So text is compressed when the server is far away, which is told by the time until its
 * greeting: one round trip, or two with TLS. A session that waits for news has nothing to gain, and both ends
 * save the memory.
 *
 * Nothing may be sent between COMPRESS and its answer, which would be a round trip of every session. It
 * travels with the login, therefore, once it has worked with this server; the first time it is asked for
 * behind the login, where most servers tell that they offer it, and tried out with a NOOP.
 *
 * A session that breaks while it is opened, with COMPRESS asked for and nothing inflated yet, may be the
 * line's fault, or that of a server which does not have what it offers, or drops what comes behind a login.
 * It is opened once more without: if that goes well, it was COMPRESS, which is left alone for a month. So is
 * it when something came that cannot be inflated.
 */
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include "clock.h"
#include "log.h"
#include "session.h"

/* Nothing has to be done for these answers; a server that has misunderstood may give none. */
#define PATIENCE_MS 10000

/* The workers' memory: 0 nothing is known; it has worked; or when it may be tried again, in seconds. */
#define WORKS 1
#define FAILS_S (30 * 86400)

void imap_compress_measure(struct imap *im)
{
    /* A tunnel's command takes its time to begin, and may compress by itself. */
    bool far = clock_boot_ms() - im->compress.began_ms >= im->far_ms;
    im->compress.far = far && im->account->tunnel == NULL;
}

bool imap_compress_fails(const struct imap *im)
{
    return atomic_load(im->memory) > time(NULL);
}

void imap_compress_give_up(struct imap *im)
{
    log_info("%s: COMPRESS is offered, and does not work: it is left alone for 30 days", im->about.peer);
    atomic_store(im->memory, time(NULL) + FAILS_S);
}

static bool is_possible(const struct imap *im)
{
    const struct imap_compress *c = &im->compress;
    return c->far && !c->unwanted && !imap_compress_fails(im) && im->stream->deflate == NULL;
}

void imap_compress_with_login(struct imap *im, struct buf *line)
{
    struct imap_compress *c = &im->compress;
    if (!is_possible(im) || atomic_load(im->memory) != WORKS || stream_ask_deflate(im->stream) < 0)
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
    if (r == WORKER_DONE)
        return r;
    log_info("%s: COMPRESS is refused: %s", im->about.peer, e->text);
    if (im->done.condition == REPLY_BAD)
        imap_compress_give_up(im);
    else
        atomic_store(im->memory, 0);
    return WORKER_DONE;
}

/* Where it is new. */
static enum worker_result try_out(struct imap *im, struct worker_error *e)
{
    struct command c;
    unsigned tag;
    command_begin(im, &c, "NOOP");
    enum worker_result r = imap_send(im, &c, &tag, e);
    r = r == WORKER_DONE ? finish_soon(im, tag, e) : r;
    if (r != WORKER_DONE && r != WORKER_REFUSED)
        return imap_harmless(r, e);
    atomic_store(im->memory, WORKS);
    return WORKER_DONE;
}

enum worker_result imap_compress_begin(struct imap *im, struct worker_error *e)
{
    struct command c;
    if (!is_possible(im) || !im->has.compress || stream_ask_deflate(im->stream) < 0)
        return WORKER_DONE;
    command_begin(im, &c, "COMPRESS DEFLATE");
    enum worker_result r = imap_send(im, &c, &im->compress.tag, e);
    r = r == WORKER_DONE ? imap_compress_end(im, e) : imap_harmless(r, e);
    return r == WORKER_DONE && im->about.compressed ? try_out(im, e) : r;
}

void imap_compress_broke(struct imap *im)
{
    const struct deflate *d = im->stream->deflate;
    int err = im->stream->err;
    bool cut = err == -ETIMEDOUT || err == -ECONNRESET || err == -EPIPE || err == -EPROTO;
    bool damaged = d != NULL && deflate_is_damaged(d);
    bool suspect = damaged || (d != NULL && cut && !deflate_has_worked(d));
    if (damaged)
        imap_compress_give_up(im);
    im->compress = (struct imap_compress){.suspect = suspect};
}

bool imap_compress_suspect(struct imap *im)
{
    /* A server that asks for a pause is not to be asked again at once. */
    bool again = im->compress.suspect && reply_backoff_ms(im->bye, strlen(im->bye)) == 0;
    im->compress = (struct imap_compress){.unwanted = again};
    return again;
}
