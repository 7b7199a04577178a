/* How much mail the server has room for: GETQUOTAROOT (RFC 9208 4.1.2, as in RFC 2087). */
#include <stdio.h>
#include <string.h>
#include "session.h"

static int on_quota(void *arg, const struct reply *r)
{
    struct worker_quota *q = arg;
    int64_t used, limit;
    struct cursor roots = r->args;
    if (r->kind == REPLY_DATA && strcmp(r->name, "QUOTAROOT") == 0 && cursor_skip(&roots) == 0)
        snprintf(q->root, sizeof q->root, "%.*s", (int)(roots.end - roots.p), roots.p);
    if (r->kind != REPLY_DATA || strcmp(r->name, "QUOTA") != 0 || reply_quota(r->args, &used, &limit) != 1)
        return 0;
    if (!q->known || limit - used < q->limit - q->used) {
        q->known = true;
        q->used = used;
        q->limit = limit;
    }
    return 0;
}

enum worker_result imap_quota(struct worker *w, const char *mailbox, struct worker_quota *ret,
                              struct worker_error *e)
{
    struct imap *im = imap_of(w);
    struct worker_quota quota = {0};
    struct command c;
    enum worker_result r = imap_ready(im, e);
    if (r != WORKER_DONE)
        return r;
    if (im->has.quota) {
        command_begin(im, &c, "GETQUOTAROOT ");
        command_string(im, &c, mailbox);
        r = imap_run(im, &c, on_quota, &quota, e);
    }
    if (r == WORKER_REFUSED) {
        quota = (struct worker_quota){0};
        r = WORKER_DONE;
    }
    if (r == WORKER_DONE)
        *ret = quota;
    return imap_harmless(r, e);
}
