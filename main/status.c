#include "status.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "cache.h"
#include "engine.h"
#include "mailbox.h"
#include "pending.h"

#define PATH_SIZE 4096
#define FAILURES_MAX 1000 /* listed; all are counted */

struct gathering {
    cache_rd *rd;
    json_t *list;
    int64_t last_sync; /* of any mailbox */
};

json_t *status_string(const char *text)
{
    json_t *string = json_string(text);
    if (string)
        return string;
    char copy[PATH_SIZE]; /* no UTF-8: better a mark than no answer */
    size_t n = strnlen(text, sizeof copy - 1);
    for (size_t i = 0; i < n; i++)
        copy[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
    copy[n] = '\0';
    return json_string(copy);
}

static const char *speed_name(enum worker_speed speed)
{
    switch (speed) {
    case WORKER_SPEED_QRESYNC:
        return "qresync";
    case WORKER_SPEED_CONDSTORE:
        return "condstore";
    case WORKER_SPEED_NONE:
        break;
    }
    return "none";
}

static json_t *session_json(const struct worker_description *d)
{
    return json_pack("{s:o, s:o, s:o, s:s, s:b, s:b, s:I, s:I, s:I}", "peer", status_string(d->peer), "tls",
                     status_string(d->tls), "server", status_string(d->server), "speed", speed_name(d->speed),
                     "push", d->idle, "compressed", d->compressed, "octets_in", (json_int_t)d->octets_in,
                     "octets_out", (json_int_t)d->octets_out, "commands", (json_int_t)d->commands);
}

static json_t *engine_json(struct engine *e)
{
    struct engine_status s = {0};
    if (e)
        engine_get_status(e, &s);
    return json_pack("{s:b, s:b, s:o, s:o, s:I, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "online",
                     s.online, "syncing", s.syncing, "doing", status_string(s.doing), "problem",
                     status_string(s.problem), "retry_s", (json_int_t)s.retry_s, "rate", s.bytes_per_s,
                     "bodies_left", (json_int_t)s.bodies_left, "octets_left", (json_int_t)s.bytes_left,
                     "bodies_done", (json_int_t)s.bodies_done, "octets_done", (json_int_t)s.bytes_done,
                     "rounds", (json_int_t)s.rounds, "last_sync", (json_int_t)s.last_sync_s, "cache_octets",
                     (json_int_t)s.cache_octets, "session",
                     s.session.connected ? session_json(&s.session) : json_null());
}

static json_t *counts_json(cache_rd *rd, int64_t mailbox)
{
    struct mailbox_counts c = {0};
    if (rd)
        mailbox_count(rd, mailbox, &c);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "messages", (json_int_t)c.messages, "unread",
                     (json_int_t)c.unread, "waiting", (json_int_t)c.waiting, "wanted", (json_int_t)c.wanted,
                     "wanted_octets", (json_int_t)c.wanted_bytes, "failed", (json_int_t)c.failed, "held",
                     (json_int_t)c.held, "on_demand", (json_int_t)c.bare);
}

static int add_mailbox(void *arg, const struct mailbox *m)
{
    struct gathering *g = arg;
    char path[PATH_SIZE];
    bool is_mailbox = m->dirs != 0 || (m->on_server && !(m->attributes & MAILBOX_NOSELECT));
    if (m->removed || !is_mailbox || mailbox_path(g->rd, m, path, sizeof path) < 0)
        return 0;
    if (m->synced_at > g->last_sync)
        g->last_sync = m->synced_at;
    json_t *box = json_pack("{s:o, s:b, s:I}", "name", status_string(path), "on_server", m->on_server,
                            "last_sync", (json_int_t)m->synced_at);
    json_t *counts = counts_json(g->rd, m->id);
    if (box && counts)
        json_object_update(box, counts);
    json_decref(counts);
    return json_array_append_new(g->list, box) < 0 ? -ENOMEM : 0;
}

static void failure_place(cache_rd *rd, const struct failure *f, char path[PATH_SIZE])
{
    struct mailbox m;
    if (f->mailbox == 0 || mailbox_get(rd, f->mailbox, &m) < 0 || mailbox_path(rd, &m, path, PATH_SIZE) < 0)
        path[0] = '\0';
}

static int add_failure(void *arg, const struct failure *f)
{
    struct gathering *g = arg;
    char path[PATH_SIZE];
    if (json_array_size(g->list) >= FAILURES_MAX)
        return 0;
    failure_place(g->rd, f, path);
    json_t *failure = json_pack("{s:o, s:I, s:o, s:o, s:I, s:I, s:I}", "mailbox", status_string(path),
                                "message", (json_int_t)f->message, "what", status_string(f->what), "why",
                                status_string(f->why), "attempts", (json_int_t)f->attempts, "at",
                                (json_int_t)f->at_s, "retry_at", (json_int_t)f->retry_s);
    return json_array_append_new(g->list, failure) < 0 ? -ENOMEM : 0;
}

/* One snapshot over all the counting, so that the rows add up to the totals. */
static int gather(struct cache *c, json_t *status)
{
    cache_rd *rd = c ? cache_reader(c) : NULL;
    struct gathering boxes = {rd, json_array(), 0}, failures = {rd, json_array(), 0};
    int r = 0;
    bool snapshot = rd && cache_rd_begin(rd) == 0;
    json_t *totals = counts_json(rd, 0);
    if (rd)
        r = mailbox_each(rd, -1, 0, add_mailbox, &boxes);
    if (rd && r == 0)
        r = failure_each(rd, add_failure, &failures);
    if (snapshot)
        cache_rd_end(rd);
    /* Since the start there may have been none; then the one before counts. */
    if (json_integer_value(json_object_get(status, "last_sync")) == 0)
        json_object_set_new(status, "last_sync", json_integer(boxes.last_sync));
    if (json_object_set_new(status, "totals", totals) < 0 ||
        json_object_set_new(status, "mailboxes", boxes.list) < 0 ||
        json_object_set_new(status, "failures", failures.list) < 0)
        return -ENOMEM;
    return r;
}

json_t *status_json(const struct status_source *s)
{
    json_t *status = json_pack(
        "{s:o, s:b, s:o, s:I, s:o}", "account", status_string(s->account), "mounted", s->mountpoint != NULL,
        "mountpoint", s->mountpoint ? status_string(s->mountpoint) : json_null(), "pid",
        (json_int_t)(s->engine ? getpid() : 0), "data_dir", status_string(s->data_dir));
    json_t *engine = engine_json(s->engine);
    int r = status && engine ? json_object_update(status, engine) : -1;
    json_decref(engine);
    if (r == 0)
        r = gather(s->cache, status);
    if (r == 0)
        return status;
    json_decref(status);
    return NULL;
}

struct errors {
    cache_rd *rd;
    struct buf text;
};

static int add_error(void *arg, const struct failure *f)
{
    struct errors *e = arg;
    char path[PATH_SIZE];
    failure_place(e->rd, f, path);
    if (f->message)
        return buf_addf(&e->text, "%s: message %lld: %s: %s (%u attempts)\n", path, (long long)f->message,
                        f->what, f->why, f->attempts);
    return buf_addf(&e->text, "%s: %s: %s (%u attempts)\n", path, f->what, f->why, f->attempts);
}

char *status_errors(struct cache *c)
{
    struct errors e = {.rd = cache_reader(c)};
    buf_adds(&e.text, "");
    if (e.rd)
        failure_each(e.rd, add_error, &e);
    return buf_take(&e.text);
}
