/*
 * The mailbox tree, merged. The server's list is read in one round trip where it can be; the rows of the
 * cache say both what is here (parent, name) and what was agreed last (remote). The brain decides; this file
 * carries it out:
 *
 *   creations and renames on the server at once, since the round's appends and moves may go there;
 *   creations and removals in the cache at once;
 *   deletions on the server by boxes_delete at the end of the round, after the removals of their mail went
 * through.
 *
 * A mailbox that is missing from the list is asked for by name before anything is concluded from that: lists
 * have been wrong.
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "log.h"
#include "name.h"
#include "boxes_rows.h"
#include "private.h"

struct merge {
    struct engine *e;
    struct boxes *b;
    struct brain_box *box;          /* side CACHE_SIDE, side SERVER_SIDE */
    const struct worker_box **seen; /* the listed one of each, or NULL */
    bool *confirmed;
    size_t n, cap;
};

enum { HERE = 0, THERE = 1 };

void boxes_finish(struct boxes *b)
{
    arena_finish(&b->arena);
    free(b->listed);
    free(b->news);
    memset(b, 0, sizeof *b);
}

/* "Archive/2024" for the patterns of the configuration. */
static void display_path(const char *remote, char delimiter, char *out, size_t size)
{
    if (name_mutf7_to_utf8(remote, strlen(remote), out, size) < 0)
        snprintf(out, size, "%s", remote);
    if (delimiter && delimiter != '/')
        for (char *p = out; *p; p++)
            if (*p == delimiter)
                *p = '/';
}

/* The last pattern that matches decides; without any including pattern everything is included. */
static bool is_wanted(const struct config_account *a, const char *remote, char delimiter)
{
    char path[MAILBOX_REMOTE_MAX * 2];
    bool wanted = true;

    if (!a->mailboxes || strcasecmp(remote, "INBOX") == 0)
        return true;
    display_path(remote, delimiter, path, sizeof path);
    for (char **p = a->mailboxes; *p; p++)
        if (**p != '!') {
            wanted = false;
            break;
        }
    for (char **p = a->mailboxes; *p; p++)
        if (fnmatch(**p == '!' ? *p + 1 : *p, path, 0) == 0)
            wanted = **p != '!';
    return wanted;
}

static int take_listed(void *arg, const struct worker_box *listed)
{
    struct merge *m = arg;
    struct boxes *b = m->b;

    if (listed->delimiter)
        b->delimiter = listed->delimiter;
    if (strlen(listed->name) >= MAILBOX_REMOTE_MAX || !*listed->name) {
        log_warning("a mailbox name of %zu octets is left alone", strlen(listed->name));
        return 0;
    }
    if (!is_wanted(m->e->account, listed->name, listed->delimiter))
        return 0;
    if (b->n_listed == b->cap_listed) {
        size_t cap = b->cap_listed ? 2 * b->cap_listed : 64;
        struct worker_box *grown = reallocarray(b->listed, cap, sizeof *grown);
        if (!grown)
            return -ENOMEM;
        b->listed = grown;
        b->cap_listed = cap;
    }
    struct worker_box *copy = &b->listed[b->n_listed];
    *copy = *listed;
    copy->name = arena_strdup(&b->arena, strcasecmp(listed->name, "INBOX") ? listed->name : "INBOX");
    if (!copy->name)
        return -ENOMEM;
    b->n_listed++;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct worker_box *)a)->name, ((const struct worker_box *)b)->name);
}

/* Names that differ in the case of INBOX only, or were listed twice, are one (case 89). */
static void sort_listed(struct boxes *b)
{
    size_t kept = 0;
    qsort(b->listed, b->n_listed, sizeof *b->listed, by_name);
    for (size_t i = 0; i < b->n_listed; i++)
        if (!kept || strcmp(b->listed[kept - 1].name, b->listed[i].name) != 0)
            b->listed[kept++] = b->listed[i];
    b->n_listed = kept;
}

static const struct worker_box *find_listed(const struct boxes *b, const char *name)
{
    struct worker_box key = {.name = name};
    return b->n_listed ? bsearch(&key, b->listed, b->n_listed, sizeof *b->listed, by_name) : NULL;
}

static struct brain_box *add_box(struct merge *m)
{
    if (m->n == m->cap) {
        size_t cap = m->cap ? 2 * m->cap : 64;
        struct brain_box *box = reallocarray(m->box, cap, sizeof *box);
        if (!box)
            return NULL;
        m->box = box;
        const struct worker_box **seen = reallocarray(m->seen, cap, sizeof *seen);
        if (!seen)
            return NULL;
        m->seen = seen;
        m->cap = cap;
    }
    m->seen[m->n] = NULL;
    return memset(&m->box[m->n++], 0, sizeof(struct brain_box));
}

static struct brain_box_state state_of(struct merge *m, const char *name, bool is_mailbox)
{
    return (struct brain_box_state){
        .present = true, .name = arena_strdup(&m->b->arena, name), .mailbox = is_mailbox};
}

struct unsynced {
    cache_rd *rd;
    bool any;
};

static int note_unsynced(void *arg, const struct message *m)
{
    struct unsynced *u = arg;
    struct base_state base;
    bool unknown = base_of_message(u->rd, m->id, &base) < 0 || base.mailbox != m->mailbox;
    u->any = m->state != MESSAGE_GONE && unknown && !brake_holds(u->rd, m->id);
    return u->any;
}

/* One row of the cache becomes one box of the brain, with what the list says of it. */
static int take_row(void *arg, const struct mailbox *row)
{
    struct merge *m = arg;
    cache_rd *rd = cache_reader(m->e->cache);
    char name[MAILBOX_REMOTE_MAX];
    bool named = mailbox_remote_name(rd, row, m->b->delimiter, name) == 0;

    /* A directory that holds no mailbox yet, and what is gone on both sides, are no business of the server.
     */
    if (!row->on_server && (row->removed || !row->dirs || !named))
        return 0;
    if (row->on_server && !is_wanted(m->e->account, row->remote, row->delimiter))
        return 0;
    /* The place of a mailbox that was removed here, and not there yet: this one comes after that
     * (boxes_delete). */
    struct mailbox other;
    if (!row->on_server && mailbox_find_remote(rd, name, &other) == 0 && other.removed)
        return 0;
    struct brain_box *box = add_box(m);
    if (!box)
        return -ENOMEM;
    box->key = row->id;
    box->keep = row->parent == 0 && strcmp(row->name, "INBOX") == 0;
    bool is_mailbox = !(row->attributes & MAILBOX_NOSELECT);
    if (!row->removed) /* a level in which a mailbox was made is one here, and not there yet (case 80) */
        box->side[HERE] = state_of(m, named ? name : row->remote, is_mailbox || row->dirs);
    if (row->on_server)
        box->base = state_of(m, row->remote, is_mailbox);
    const struct worker_box *listed = find_listed(m->b, row->on_server ? row->remote : name);
    /* A rename whose answer was lost: what was sent has happened (case 84). */
    if (!listed && row->on_server && !row->removed && named &&
        mailbox_find_remote(rd, name, &other) == -ENOENT)
        listed = find_listed(m->b, name);
    if (listed)
        m->seen[m->n - 1] = listed;
    /* Deleted, but for its name, which children need: what was in it is gone. */
    bool hollow = listed && (listed->attributes & MAILBOX_NOSELECT) && row->on_server && row->uidvalidity;
    if (listed && !hollow) {
        box->side[THERE] = state_of(m, listed->name, !(listed->attributes & MAILBOX_NOSELECT));
    }
    struct unsynced unsynced = {.rd = rd};
    int r = message_each_dirty(rd, row->id, note_unsynced, &unsynced);
    box->unsynced[HERE] = unsynced.any;
    return r < 0 ? r : 0;
}

static int by_pointer(const void *a, const void *b)
{
    const struct worker_box *const *x = a, *const *y = b;
    return (*x > *y) - (*x < *y);
}

/* What the list has and no row knows. */
static int take_unknown(struct merge *m)
{
    size_t known = m->n, used = 0;
    const struct worker_box **seen = calloc(known + 1, sizeof *seen);
    if (!seen)
        return -ENOMEM;
    for (size_t i = 0; i < known; i++)
        if (m->seen[i])
            seen[used++] = m->seen[i];
    qsort(seen, used, sizeof *seen, by_pointer);
    int r = 0;
    for (size_t i = 0; i < m->b->n_listed && !r; i++) {
        const struct worker_box *listed = &m->b->listed[i];
        if (used && bsearch(&listed, seen, used, sizeof *seen, by_pointer))
            continue;
        struct brain_box *box = add_box(m);
        if (!box) {
            r = -ENOMEM;
            break;
        }
        m->seen[m->n - 1] = listed;
        box->side[THERE] = state_of(m, listed->name, !(listed->attributes & MAILBOX_NOSELECT));
    }
    free(seen);
    return r;
}

/* Missing from the list: is it really gone, and may it go here? (case 75) */
static enum worker_result confirm_one(struct merge *m, size_t i)
{
    struct brain_box *box = &m->box[i];
    struct worker_error error = {0};
    enum worker_result r = WORKER_GONE;
    if (!m->seen[i])
        r = m->e->worker->ops->status(m->e->worker, box->base.name, NULL, &error);
    if (engine_session_ended(r))
        return r;
    if (r != WORKER_GONE) {
        box->side[THERE] = box->base;
        return WORKER_DONE;
    }
    int may_go = box->side[HERE].present && !box->unsynced[HERE] ? brake_mailbox_may_go(m->e, box->key) : 1;
    m->confirmed[i] = may_go > 0;
    return may_go < 0 ? WORKER_LOCAL : WORKER_DONE;
}

static enum worker_result confirm_missing(struct merge *m)
{
    bool holds = held_any(cache_reader(m->e->cache));
    m->confirmed = arena_alloc(&m->b->arena, m->n, sizeof *m->confirmed);
    if (!m->confirmed)
        return WORKER_LOCAL;
    for (size_t i = 0; i < m->n; i++) {
        const struct brain_box *box = &m->box[i];
        enum worker_result r = WORKER_DONE;
        if (box->base.present && !box->side[THERE].present)
            r = confirm_one(m, i);
        else if (holds && box->key && brake_mailbox_is_back(m->e, box->key) < 0)
            r = WORKER_LOCAL;
        if (r != WORKER_DONE)
            return r;
    }
    return WORKER_DONE;
}

/* ---- carrying out ---- */

static enum worker_result create_there(struct merge *m, const struct brain_box *box, const char *name)
{
    struct engine *e = m->e;
    int64_t id = box->key;
    struct worker_outcome outcome = {0};
    struct worker_error error = {0};
    struct worker_op op = {.verb = WORKER_CREATE, .mailbox = name};

    /* It was there before, and was removed (case 83): what it held went with it, and its numbers mean nothing
     * now. */
    if (box->base.present && box->base.mailbox &&
        cache_write(e->cache, CACHE_FROM_SERVER, CACHE_NOW, boxes_remove_row, &id) < 0)
        return WORKER_LOCAL;
    enum worker_result r = e->worker->ops->apply(e->worker, &op, &outcome, &error);
    if (r == WORKER_REFUSED && error.err != -EEXIST) {
        engine_fail_message(e, 0, box->key, "create", &error); /* case 90 */
        return r;
    }
    if (r != WORKER_DONE && r != WORKER_REFUSED)
        return r;
    op.verb = WORKER_SUBSCRIBE;
    r = e->worker->ops->apply(e->worker, &op, &outcome, &error);
    if (engine_session_ended(r))
        return r;
    struct boxes_agree agree = {
        .id = box->key, .remote = name, .delimiter = m->b->delimiter, .created = true};
    return cache_write(e->cache, CACHE_FROM_SERVER, CACHE_NOW, boxes_put_agreed, &agree) < 0 ? WORKER_LOCAL
                                                                                             : WORKER_DONE;
}

static enum worker_result rename_there(struct merge *m, const struct brain_box *box, const char *from,
                                       const char *name)
{
    struct engine *e = m->e;
    struct worker_outcome outcome = {0};
    struct worker_error error = {0};
    struct worker_op op = {.verb = WORKER_RENAME, .mailbox = from, .target = name};

    enum worker_result r = e->worker->ops->apply(e->worker, &op, &outcome, &error);
    if (r == WORKER_REFUSED)
        engine_fail_message(e, 0, box->key, "rename", &error);
    if (r != WORKER_DONE)
        return r;
    struct boxes_rename rename = {.from = from, .to = name, .delimiter = m->b->delimiter};
    return cache_write(e->cache, CACHE_FROM_SERVER, CACHE_NOW, boxes_put_renamed, &rename) < 0 ? WORKER_LOCAL
                                                                                               : WORKER_DONE;
}

static enum worker_result carry_out_here(struct merge *m, const struct brain_box_op *op)
{
    struct engine *e = m->e;
    const struct brain_box *box = &m->box[op->box];
    const struct worker_box *listed = m->seen[op->box];
    int r = 0;

    if (op->verb == BRAIN_BOX_CREATE && listed) {
        struct boxes_make make = {.name = listed->name, .listed = listed, .delimiter = m->b->delimiter};
        r = cache_write(e->cache, CACHE_FROM_SERVER, CACHE_SOON, boxes_put_listed, &make);
        if (r == -EINVAL || r == -ENAMETOOLONG) {
            log_warning("a mailbox whose name cannot be shown is left alone");
            r = 0;
        }
    } else if (op->verb == BRAIN_BOX_DELETE || op->verb == BRAIN_BOX_FORGET) {
        int64_t id = box->key;
        r = cache_write(e->cache, CACHE_FROM_SERVER, CACHE_SOON, boxes_remove_row, &id);
    }
    return r < 0 ? WORKER_LOCAL : WORKER_DONE;
}

static enum worker_result carry_out(struct merge *m, const struct brain_box_op *op)
{
    const struct brain_box *box = &m->box[op->box];

    log_debug("case %d: mailbox %lld, verb %d on side %d", op->number, (long long)box->key, op->verb,
              op->side);
    if (op->verb == BRAIN_BOX_AGREE) {
        struct boxes_agree agree = {
            .id = box->key, .remote = op->name, .listed = m->seen[op->box], .delimiter = m->b->delimiter};
        return cache_write(m->e->cache, CACHE_FROM_SERVER, CACHE_SOON, boxes_put_agreed, &agree) < 0
                   ? WORKER_LOCAL
                   : WORKER_DONE;
    }
    if (op->side == HERE || op->verb == BRAIN_BOX_FORGET)
        return carry_out_here(m, op);
    if (op->verb == BRAIN_BOX_CREATE) {
        enum worker_result r = create_there(m, box, op->name);
        if (r == WORKER_DONE)
            m->seen[op->box] = NULL; /* the list has it as what it was before: a level, or nothing */
        return r;
    }
    if (op->verb == BRAIN_BOX_RENAME)
        return rename_there(m, box, op->from, op->name);
    return WORKER_DONE; /* deletions wait for boxes_delete */
}

/* What both know: attributes may have changed, and the numbers tell whether a scan is due. */
static int take_news(struct merge *m)
{
    struct boxes *b = m->b;
    cache_rd *rd = cache_reader(m->e->cache);

    b->news = calloc(m->n + 1, sizeof *b->news);
    if (!b->news)
        return -ENOMEM;
    for (size_t i = 0; i < m->n; i++) {
        const struct worker_box *l = m->seen[i];
        struct mailbox row, wanted;
        if (!l)
            continue;
        /* By its row, for it may have been renamed since it was listed. */
        if (m->box[i].key ? mailbox_get(rd, m->box[i].key, &row) < 0 || !row.on_server
                          : mailbox_find_remote(rd, l->name, &row) < 0)
            continue;
        wanted = row;
        boxes_take_attributes(&wanted, l, b->delimiter);
        if (memcmp(&row, &wanted, sizeof row) != 0) {
            struct boxes_agree agree = {
                .id = row.id, .remote = row.remote, .listed = l, .delimiter = b->delimiter};
            int r = cache_write(m->e->cache, CACHE_FROM_SERVER, CACHE_SOON, boxes_put_agreed, &agree);
            if (r < 0)
                return r;
        }
        if (row.removed || (l->attributes & MAILBOX_NOSELECT))
            continue;
        bool same = l->has_status && l->modseq && l->uidvalidity == row.uidvalidity &&
                    l->uidnext == row.uidnext && l->messages == row.exists && l->modseq == row.modseq;
        b->news[b->n_news++] = (struct box_news){.mailbox = row.id, .changed = !same};
    }
    return 0;
}

enum worker_result boxes_merge(struct engine *e, struct boxes *ret)
{
    struct merge m = {.e = e, .b = ret};
    struct worker_error error = {0};
    struct brain_box_plan plan = {0};

    memset(ret, 0, sizeof *ret);
    ret->delimiter = e->delimiter;
    engine_doing(e, NULL, "reading the mailbox list");
    enum worker_result r = e->worker->ops->tree(e->worker, take_listed, &m, &error);
    engine_pause(e, error.retry_ms);
    if (r != WORKER_DONE)
        goto out;
    if (!ret->delimiter)
        ret->delimiter = '/';
    e->delimiter = ret->delimiter;
    sort_listed(ret);
    if (mailbox_each(cache_reader(e->cache), -1, 0, take_row, &m) < 0 || take_unknown(&m) < 0) {
        r = WORKER_LOCAL;
        goto out;
    }
    r = confirm_missing(&m);
    if (r != WORKER_DONE)
        goto out;
    if (brain_merge_boxes(m.box, m.n, ret->delimiter, THERE, m.confirmed, &ret->arena, &plan) < 0)
        r = WORKER_LOCAL;
    for (size_t i = 0; i < plan.n && r == WORKER_DONE; i++) {
        r = carry_out(&m, &plan.op[i]);
        if (r == WORKER_REFUSED || r == WORKER_GONE)
            r = WORKER_DONE; /* one mailbox's trouble: kept here, reported */
    }
    if (r == WORKER_DONE && take_news(&m) < 0)
        r = WORKER_LOCAL;
out:
    free(m.box);
    free(m.seen);
    return r;
}
