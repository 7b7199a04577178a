/* The IMAP worker: its table of verbs, its beginning and end. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "session.h"

#define CONNECT_MS 20000
#define IDLE_MS 60000  /* without progress */
#define FRESH_MS 30000 /* a reply so lately needs no proof of life */
#define FAR_MS 20

static enum worker_result worker_open(struct worker *w, struct fault *f)
{
    return imap_open(imap_of(w), f);
}

static enum worker_result ping(struct worker *w, struct worker_error *e)
{
    struct imap *im = imap_of(w);
    struct command c;
    enum worker_result r = imap_ready(im, e);
    if (r == WORKER_DONE)
        r = imap_harmless(imap_settle(im, e), e);
    if (r != WORKER_DONE || clock_boot_ms() - im->used_ms < FRESH_MS)
        return r;
    command_begin(im, &c, "NOOP");
    r = imap_run(im, &c, NULL, NULL, e);
    return r == WORKER_REFUSED ? WORKER_DONE : imap_harmless(r, e);
}

static void cancel(struct worker *w)
{
    cancel_set(&imap_of(w)->cancel);
}

static void reset(struct worker *w)
{
    struct imap *im = imap_of(w);
    imap_close(im);
    cancel_clear(&im->cancel);
}

static void destroy(struct worker *w)
{
    struct imap *im = imap_of(w);
    if (w == NULL)
        return;
    imap_close(im);
    cancel_finish(&im->cancel);
    buf_finish(&im->octets);
    free(im);
}

static void describe(struct worker *w, struct worker_description *ret)
{
    struct imap *im = imap_of(w);
    *ret = im->about;
    ret->deflates = im->has.compress || im->about.compressed;
    ret->deflate_fails = imap_compress_fails(im);
    ret->memory = atomic_load(im->memory);
    ret->idle = im->has.idle;
    ret->move = im->has.move;
    ret->uidplus = im->has.uidplus;
    ret->list_status = im->has.list_status;
    ret->literal_plus = im->has.literal_plus || im->has.literal_minus;
    ret->octets_in = im->octets_in + (im->stream != NULL ? im->stream->in : 0);
    ret->octets_out = im->octets_out + (im->stream != NULL ? im->stream->out : 0);
}

static const struct worker_ops ops = {
    .open = worker_open,
    .tree = imap_tree,
    .status = imap_status,
    .expect = imap_expect,
    .scan = imap_scan,
    .list = imap_list,
    .apply = imap_apply,
    .fetch = imap_fetch,
    .watch = imap_watch,
    .quota = imap_quota,
    .ping = ping,
    .cancel = cancel,
    .reset = reset,
    .destroy = destroy,
    .describe = describe,
};

struct worker *imap_worker_new(const struct config_account *account, struct keywords *keywords,
                               _Atomic int64_t *memory)
{
    struct imap *im = calloc(1, sizeof *im);
    if (im == NULL)
        return NULL;
    im->worker.ops = &ops;
    im->account = account;
    im->keywords = keywords;
    im->connect_ms = CONNECT_MS;
    im->idle_ms = IDLE_MS;
    im->far_ms = FAR_MS;
    im->memory = memory;
    if (cancel_init(&im->cancel) == 0)
        return &im->worker;
    free(im);
    return NULL;
}
