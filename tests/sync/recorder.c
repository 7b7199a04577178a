#include "recorder.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "buf.h"

struct recorder {
    struct worker worker;
    struct worker *inner;
    struct record *record;
    struct keywords *keywords;
};

/* ---- the record ---- */

void record_init(struct record *r)
{
    *r = (struct record){.n = 0};
    pthread_mutex_init(&r->lock, NULL);
}

void record_finish(struct record *r)
{
    record_clear(r);
    free(r->line);
    pthread_mutex_destroy(&r->lock);
}

void record_clear(struct record *r)
{
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->n; i++)
        free(r->line[i]);
    r->n = 0;
    memset(r->count, 0, sizeof r->count);
    r->fetched = 0;
    pthread_mutex_unlock(&r->lock);
}

unsigned record_count(struct record *r, enum record_kind kind)
{
    pthread_mutex_lock(&r->lock);
    unsigned n = r->count[kind];
    pthread_mutex_unlock(&r->lock);
    return n;
}

uint64_t record_fetched(struct record *r)
{
    pthread_mutex_lock(&r->lock);
    uint64_t n = r->fetched;
    pthread_mutex_unlock(&r->lock);
    return n;
}

/* The first octet of a line is its kind. */
char *record_text(struct record *r, bool all)
{
    struct buf b = {0};
    buf_adds(&b, "");
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->n; i++)
        if (all || r->line[i][0] == 'A' + RECORD_APPLY)
            buf_addf(&b, "%s%s", b.length ? "\n" : "", r->line[i] + 1);
    pthread_mutex_unlock(&r->lock);
    return buf_take(&b);
}

/* ---- writing down ---- */

static const char *const result_name[] = {[WORKER_DONE] = "",
                                          [WORKER_GONE] = " GONE",
                                          [WORKER_REFUSED] = " REFUSED",
                                          [WORKER_UNKNOWN] = " UNKNOWN",
                                          [WORKER_BROKEN] = " BROKEN",
                                          [WORKER_CANCELLED] = " CANCELLED",
                                          [WORKER_LOCAL] = " LOCAL"};

/* Takes over text. */
static void write_down(struct recorder *rec, enum record_kind kind, char *text, enum worker_result result)
{
    struct record *r = rec->record;
    struct buf b = {0};
    buf_addf(&b, "%c%s%s", 'A' + (int)kind, text ? text : "?", result_name[result]);
    free(text);
    pthread_mutex_lock(&r->lock);
    r->count[kind]++;
    if (r->n == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 64;
        char **grown = reallocarray(r->line, cap, sizeof *grown);
        if (!grown)
            abort();
        r->line = grown;
        r->cap = cap;
    }
    r->line[r->n] = buf_take(&b);
    r->n += r->line[r->n] != NULL;
    pthread_mutex_unlock(&r->lock);
}

static void add_uids(struct buf *b, const struct uidset *uids)
{
    char part[256];
    size_t at = 0;
    const char *sep = " ";
    while (uidset_print(uids, &at, part, sizeof part) > 0) {
        buf_addf(b, "%s%s", sep, part);
        sep = ",";
    }
}

static void add_flags(struct recorder *rec, struct buf *b, char sign, flags_t flags)
{
    for (unsigned i = 0; i < 64; i++)
        if (flags >> i & 1)
            buf_addf(b, " %c%s", sign, keywords_name(rec->keywords, i));
}

static char *spell(struct recorder *rec, const struct worker_op *op)
{
    static const char *const verb[] = {
        [WORKER_STORE] = "STORE",         [WORKER_EXPUNGE] = "EXPUNGE",
        [WORKER_MOVE] = "MOVE",           [WORKER_COPY] = "COPY",
        [WORKER_APPEND] = "APPEND",       [WORKER_CREATE] = "CREATE",
        [WORKER_RENAME] = "RENAME",       [WORKER_DELETE] = "DELETE",
        [WORKER_SUBSCRIBE] = "SUBSCRIBE", [WORKER_UNSUBSCRIBE] = "UNSUBSCRIBE"};
    struct buf b = {0};
    buf_addf(&b, "%s %s", verb[op->verb], op->mailbox);
    if (op->verb == WORKER_APPEND)
        buf_addf(&b, " %lld", (long long)op->size);
    if (op->uids)
        add_uids(&b, op->uids);
    if (op->target)
        buf_addf(&b, " %s", op->target);
    add_flags(rec, &b, '+', op->add);
    add_flags(rec, &b, '-', op->remove);
    return buf_take(&b);
}

static char *words(const char *verb, const char *mailbox)
{
    struct buf b = {0};
    buf_addf(&b, "%s %s", verb, mailbox);
    return buf_take(&b);
}

/* ---- the worker ---- */

static struct recorder *recorder_of(struct worker *w)
{
    return (struct recorder *)w;
}

static enum worker_result rec_open(struct worker *w, struct fault *f)
{
    struct recorder *rec = recorder_of(w);
    enum worker_result r = rec->inner->ops->open(rec->inner, f);
    write_down(rec, RECORD_OPEN, strdup("OPEN"), r);
    return r;
}

static enum worker_result rec_tree(struct worker *w, int (*each)(void *arg, const struct worker_box *b),
                                   void *arg, struct worker_error *e)
{
    struct recorder *rec = recorder_of(w);
    enum worker_result r = rec->inner->ops->tree(rec->inner, each, arg, e);
    write_down(rec, RECORD_LOOK, strdup("TREE"), r);
    return r;
}

static enum worker_result rec_status(struct worker *w, const char *mailbox, struct worker_box *ret,
                                     struct worker_error *e)
{
    struct recorder *rec = recorder_of(w);
    enum worker_result r = rec->inner->ops->status(rec->inner, mailbox, ret, e);
    write_down(rec, RECORD_LOOK, words("STATUS", mailbox), r);
    return r;
}

static enum worker_result rec_scan(struct worker *w, const char *mailbox, const struct worker_token *since,
                                   enum worker_depth depth, struct worker_scan *ret, struct worker_error *e)
{
    struct recorder *rec = recorder_of(w);
    enum worker_result r = rec->inner->ops->scan(rec->inner, mailbox, since, depth, ret, e);
    write_down(rec, RECORD_SCAN, words("SCAN", mailbox), r);
    return r;
}

static enum worker_result rec_list(struct worker *w, const char *mailbox, uint32_t from,
                                   struct worker_scan *ret, struct worker_error *e)
{
    struct recorder *rec = recorder_of(w);
    struct buf b = {0};
    enum worker_result r = rec->inner->ops->list(rec->inner, mailbox, from, ret, e);
    buf_addf(&b, "LIST %s %u:*", mailbox, from);
    write_down(rec, RECORD_SCAN, buf_take(&b), r);
    return r;
}

static enum worker_result rec_apply(struct worker *w, const struct worker_op *op, struct worker_outcome *ret,
                                    struct worker_error *e)
{
    struct recorder *rec = recorder_of(w);
    char *text = spell(rec, op);
    enum worker_result r = rec->inner->ops->apply(rec->inner, op, ret, e);
    write_down(rec, RECORD_APPLY, text, r);
    return r;
}

static enum worker_result rec_fetch(struct worker *w, struct worker_fetch *from, size_t n,
                                    const struct worker_sink *sink)
{
    struct recorder *rec = recorder_of(w);
    pthread_mutex_lock(&rec->record->lock);
    for (size_t i = 0; i < n; i++)
        rec->record->fetched += uidset_count(from[i].uids);
    pthread_mutex_unlock(&rec->record->lock);
    enum worker_result r = rec->inner->ops->fetch(rec->inner, from, n, sink);
    for (size_t i = 0; i < n; i++) {
        struct buf b = {0};
        buf_addf(&b, "FETCH %s", from[i].mailbox);
        add_uids(&b, from[i].uids);
        write_down(rec, RECORD_FETCH, buf_take(&b), from[i].result);
    }
    return r;
}

static enum worker_result rec_watch(struct worker *w, const char *mailbox, int timeout_ms, bool *ret_changed,
                                    struct worker_error *e)
{
    struct recorder *rec = recorder_of(w);
    return rec->inner->ops->watch(rec->inner, mailbox, timeout_ms, ret_changed, e);
}

static enum worker_result rec_ping(struct worker *w, struct worker_error *e)
{
    struct recorder *rec = recorder_of(w);
    return rec->inner->ops->ping(rec->inner, e);
}

static void rec_cancel(struct worker *w)
{
    struct recorder *rec = recorder_of(w);
    rec->inner->ops->cancel(rec->inner);
}

static void rec_reset(struct worker *w)
{
    struct recorder *rec = recorder_of(w);
    rec->inner->ops->reset(rec->inner);
}

static enum worker_result rec_quota(struct worker *w, const char *mailbox, struct worker_quota *ret,
                                    struct worker_error *e)
{
    struct recorder *rec = recorder_of(w);
    return rec->inner->ops->quota(rec->inner, mailbox, ret, e);
}

static void rec_describe(struct worker *w, struct worker_description *ret)
{
    struct recorder *rec = recorder_of(w);
    rec->inner->ops->describe(rec->inner, ret);
}

static void rec_destroy(struct worker *w)
{
    struct recorder *rec = recorder_of(w);
    rec->inner->ops->destroy(rec->inner);
    free(rec);
}

struct worker *recorder_new(struct worker *inner, struct record *to, struct keywords *keywords)
{
    static const struct worker_ops ops = {.open = rec_open,
                                          .tree = rec_tree,
                                          .status = rec_status,
                                          .scan = rec_scan,
                                          .list = rec_list,
                                          .apply = rec_apply,
                                          .fetch = rec_fetch,
                                          .watch = rec_watch,
                                          .ping = rec_ping,
                                          .cancel = rec_cancel,
                                          .reset = rec_reset,
                                          .destroy = rec_destroy,
                                          .quota = rec_quota,
                                          .describe = rec_describe};
    struct recorder *rec = calloc(1, sizeof *rec);
    if (!inner || !rec) {
        free(rec);
        return NULL;
    }
    *rec = (struct recorder){.worker.ops = &ops, .inner = inner, .record = to, .keywords = keywords};
    return &rec->worker;
}
