#include "decide.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "body.h"
#include "buf.h"
#include "fault.h"
#include "held.h"
#include "hold.h"
#include "io.h"
#include "log.h"
#include "mailbox.h"
#include "message.h"
#include "pending.h"
#include "restore.h"
#include "status.h"

#define HEAD_BYTES 16384 /* of a message, to find its From and Subject in */
#define LISTED_MAX 10000

struct listing {
    struct cache *cache;
    cache_rd *rd;
    json_t *list;
};

static json_t *path_json(cache_rd *rd, int64_t mailbox)
{
    char path[4096] = "";
    struct mailbox m;
    if (mailbox && mailbox_get(rd, mailbox, &m) == 0)
        mailbox_path(rd, &m, path, sizeof path);
    return status_string(path);
}

/* --- held and refused --- */

static int add_hold(void *arg, const struct held *h)
{
    struct listing *l = arg;
    char id[24];
    if (h->state != HELD_ASKS)
        return 0;
    snprintf(id, sizeof id, "%lld", (long long)h->id);
    json_t *hold =
        json_pack("{s:s, s:o, s:s, s:b, s:I, s:I}", "id", id, "mailbox", path_json(l->rd, h->mailbox), "side",
                  h->side == HELD_HERE ? "here" : "server", "whole", h->whole, "messages",
                  (json_int_t)h->messages, "at", (json_int_t)h->at_s);
    return json_array_append_new(l->list, hold) < 0 ? -ENOMEM : 0;
}

static int add_refusal(void *arg, const struct failure *f)
{
    struct listing *l = arg;
    char id[24];
    snprintf(id, sizeof id, "r%lld", (long long)f->id);
    json_t *refusal = json_pack(
        "{s:s, s:o, s:I, s:o, s:o, s:I, s:I, s:I}", "id", id, "mailbox", path_json(l->rd, f->mailbox),
        "message", (json_int_t)f->message, "what", status_string(f->what), "why", status_string(f->why),
        "attempts", (json_int_t)f->attempts, "at", (json_int_t)f->at_s, "retry_at", (json_int_t)f->retry_s);
    return json_array_append_new(l->list, refusal) < 0 ? -ENOMEM : 0;
}

json_t *decide_list(struct cache *c)
{
    struct listing holds = {.rd = cache_reader(c), .list = json_array()};
    struct listing refusals = {.rd = holds.rd, .list = json_array()};
    bool snapshot = holds.rd && cache_rd_begin(holds.rd) == 0;
    if (snapshot) {
        held_each(holds.rd, add_hold, &holds);
        failure_each(refusals.rd, add_refusal, &refusals);
        cache_rd_end(holds.rd);
    }
    return json_pack("{s:o, s:o}", "held", holds.list, "refused", refusals.list);
}

static json_t *result_json(int r, json_int_t count)
{
    const char *why = r == -ENOTSUP  ? "that is about the mailbox: rename or remove it itself"
                      : r == -EAGAIN ? "it is being sent just now"
                      : r < 0        ? strerror(-r)
                                     : "";
    return json_pack("{s:s, s:s, s:I}", "result",
                     r == 0         ? "done"
                     : r == -ENOENT ? "unknown"
                                    : "failed",
                     "why", why, "count", count);
}

static bool parse_id(const char *text, int64_t *ret)
{
    char *end;
    errno = 0;
    long long id = strtoll(text, &end, 10);
    *ret = id;
    return errno == 0 && end != text && !*end && id > 0;
}

static int decide_one(struct cache *c, bool approve, const char *id)
{
    int64_t number;
    bool refusal = *id == 'r';
    if (!parse_id(id + refusal, &number))
        return -ENOENT;
    log_info("%s %s%lld", approve ? "approved:" : "reverted:", refusal ? "refusal " : "hold ",
             (long long)number);
    if (refusal)
        return approve ? refusal_retry(c, number) : refusal_revert(c, number);
    return approve ? hold_approve(c, number) : hold_revert(c, number);
}

/* Everything that is listed. Of refusals, `revert all` means those that can be. */
static json_t *decide_all(struct cache *c, bool approve)
{
    json_t *list = decide_list(c), *item;
    json_int_t count = 0;
    size_t i;
    int result = list ? 0 : -ENOMEM;
    static const char *const part[] = {"held", "refused"};
    for (int k = 0; list && k < 2; k++)
        json_array_foreach(json_object_get(list, part[k]), i, item)
        {
            int r = decide_one(c, approve, json_string_value(json_object_get(item, "id")));
            count += r == 0;
            if (r < 0 && r != -ENOENT && r != -ENOTSUP)
                result = r;
        }
    json_decref(list);
    return result_json(result, count);
}

json_t *decide(struct cache *c, const char *verb, const char *id)
{
    bool approve = strcmp(verb, "approve") == 0;
    if (strcmp(id, "all") == 0)
        return decide_all(c, approve);
    int r = decide_one(c, approve, id);
    return result_json(r, r == 0);
}

/* --- deleted mail --- */

/* The value of a header field, unfolded, for a person to know the message by; "" when it has none. */
static void header_value(const char *head, const char *name, char *out, size_t size)
{
    size_t length = strlen(name), used = 0;
    out[0] = '\0';
    for (const char *line = head; *line && *line != '\n' && *line != '\r'; line += strcspn(line, "\n") + 1) {
        if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
            for (const char *p = line + length + 1; *p && used + 1 < size; p++) {
                bool ends = *p == '\n' && p[1] != ' ' && p[1] != '\t';
                if (ends)
                    break;
                if (*p != '\n' && *p != '\r' && (used || (*p != ' ' && *p != '\t')))
                    out[used++] = *p;
            }
            out[used] = '\0';
            fault_one_line(out);
            return;
        }
        if (!strchr(line, '\n'))
            return;
    }
}

static void read_head(struct cache *c, const struct message *m, char head[HEAD_BYTES + 1])
{
    CLEANUP(io_close) int fd = m->has_hash ? body_open(c, m) : -1;
    ssize_t n = fd < 0 ? 0 : io_pread_full(fd, head, HEAD_BYTES, 0);
    head[n > 0 ? n : 0] = '\0';
}

static int add_restorable(void *arg, const struct message *m)
{
    struct listing *l = arg;
    char head[HEAD_BYTES + 1], from[200], subject[200];
    if (!restore_can(l->rd, m))
        return 0;
    read_head(l->cache, m, head);
    header_value(head, "From", from, sizeof from);
    header_value(head, "Subject", subject, sizeof subject);
    json_t *message =
        json_pack("{s:I, s:o, s:I, s:I, s:o, s:o}", "id", (json_int_t)m->id, "mailbox",
                  path_json(l->rd, m->mailbox), "removed_at", (json_int_t)m->gone_at, "size",
                  (json_int_t)m->size, "from", status_string(from), "subject", status_string(subject));
    if (json_array_append_new(l->list, message) < 0)
        return -ENOMEM;
    return json_array_size(l->list) >= LISTED_MAX;
}

json_t *decide_restorable(struct cache *c)
{
    struct listing l = {.cache = c, .rd = cache_reader(c), .list = json_array()};
    if (l.rd)
        message_each_gone(l.rd, add_restorable, &l);
    return json_pack("{s:o}", "messages", l.list);
}

static int restore_change(cache_tx *tx, void *arg)
{
    return restore_row(tx, *(int64_t *)arg);
}

json_t *decide_restore(struct cache *c, const char *id)
{
    int64_t number;
    int r = -ENOENT;
    if (parse_id(id, &number))
        r = cache_write(c, CACHE_FROM_SERVER, CACHE_NOW, restore_change, &number);
    if (r == 0)
        log_info("row %lld is brought back", (long long)number);
    return result_json(r == -EALREADY || r == -ENODATA ? -ENOENT : r, r == 0);
}
