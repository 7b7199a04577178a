/*
 * Waiting for something to happen in one mailbox: IDLE (RFC 2177), or NOOP now and then.
 *
 * What happened between two watches, while the session was elsewhere or not there at all, must not be missed:
 * the mailbox's numbers as last seen here are compared when it is selected again, and the first watch of a
 * mailbox reports a change at once, since nothing is known of the time before.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "session.h"

#define IDLE_MAX_MS (25 * 60 * 1000) /* servers log out after 30 minutes of silence */
#define NOOP_MS 10000

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Remembers what is seen now; true when it was not known, or was different. */
static bool look(struct imap *im)
{
    struct imap_selected *now = &im->selected, *then = &im->watched;
    bool changed = now->news || then->name == NULL || strcmp(then->name, now->name) != 0 ||
                   then->uidvalidity != now->uidvalidity || then->uidnext != now->uidnext ||
                   then->exists != now->exists || then->modseq != now->modseq;
    char *name = then->name != NULL && strcmp(then->name, now->name) == 0 ? then->name : strdup(now->name);
    if (name != then->name)
        free(then->name);
    *then = *now;
    then->name = name;
    now->news = false;
    return changed;
}

/* Replies up to the tagged one after DONE. Several changes at once come as several lines: all of them are one
 * change. */
static enum worker_result idle_end(struct imap *im, unsigned tag, struct worker_error *e)
{
    mailstream *m = im->etpan->imap_stream;
    if (mailstream_write(m, "DONE\r\n", 6) < 0 || mailstream_flush(m) < 0)
        return imap_broken(im, false, e);
    return imap_finish(im, tag, NULL, NULL, e);
}

static enum worker_result idle(struct imap *im, int64_t deadline_ms, struct worker_error *e)
{
    struct command c;
    unsigned tag;
    command_begin(im, &c, "IDLE");
    c.open = true;
    buf_adds(&c.text, "\r\n");
    c.split[c.splits++] = c.text.length; /* the server's "+" */
    enum worker_result r = imap_send(im, &c, &tag, e);
    if (r != WORKER_DONE)
        return r;
    while (!im->selected.news) {
        struct reply reply;
        int n = stream_wait(im->stream, deadline_ms);
        if (n == 0)
            break;
        if (n < 0 || imap_read(im, &reply) < 0)
            return imap_broken(im, false, e);
    }
    return idle_end(im, tag, e);
}

static enum worker_result noop(struct imap *im, struct worker_error *e)
{
    struct command c;
    command_begin(im, &c, "NOOP");
    return imap_run(im, &c, NULL, NULL, e);
}

/* One wait: until news, or until at most the deadline. */
static enum worker_result wait_once(struct imap *im, int64_t deadline_ms, struct worker_error *e)
{
    int64_t now = clock_boot_ms();
    if (im->has.idle) {
        enum worker_result r = idle(im, earlier(deadline_ms, now + IDLE_MAX_MS), e);
        im->has.idle = r != WORKER_REFUSED;
        return r == WORKER_REFUSED ? WORKER_DONE : r;
    }
    int n = stream_wait(im->stream, earlier(deadline_ms, now + NOOP_MS));
    return n < 0 ? imap_broken(im, false, e) : noop(im, e);
}

enum worker_result imap_watch(struct worker *w, const char *mailbox, int timeout_ms, bool *ret_changed,
                              struct worker_error *e)
{
    struct imap *im = imap_of(w);
    int64_t deadline = clock_boot_ms() + timeout_ms;
    im->compress.unwanted = im->state == IMAP_CLOSED;
    enum worker_result r = imap_ready(im, e);
    if (r == WORKER_DONE)
        r = imap_need(im, mailbox, 0, e);
    bool changed = r == WORKER_DONE && look(im);
    while (r == WORKER_DONE && !changed && clock_boot_ms() < deadline) {
        r = wait_once(im, deadline, e);
        changed = r == WORKER_DONE && look(im);
    }
    if (r == WORKER_DONE)
        *ret_changed = changed;
    return imap_harmless(r, e);
}
