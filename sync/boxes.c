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
#include "boxes_match.h"
#include "boxes_rows.h"
#include "private.h"

struct merge {
    struct engine *e;
    struct boxes *b;
    struct brain_box *box; /* side CACHE_SIDE, side SERVER_SIDE */
    struct box_row *row;
    struct box_match *match; /* the listed one of each */
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
    copy->id = listed->id ? arena_strdup(&b->arena, listed->id) : NULL;
    if (!copy->name || (listed->id && !copy->id))
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

const struct worker_box *boxes_find_listed(const struct boxes *b, const char *name)
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
        struct box_row *row = reallocarray(m->row, cap, sizeof *row);
        if (!row)
            return NULL;
        m->row = row;
        m->cap = cap;
    }
    memset(&m->row[m->n], 0, sizeof *m->row);
    return memset(&m->box[m->n++], 0, sizeof(struct brain_box));
}

static struct brain_box_state state_of(struct merge *m, const char *name, bool is_mailbox)
{
    return (struct brain_box_state){
        .present = true, .name = arena_strdup(&m->b->arena, name), .mailbox = is_mailbox};
}

struct unsynced {
    struct cache *cache;
    cache_rd *rd;
    bool any;
};

/* Also what is to be kept, though the server has removed it with its mailbox (case 11). */
static int note_unsynced(void *arg, const struct message *m)
{
    struct unsynced *u = arg;
    struct base_state base;
    bool known = base_of_message(u->rd, m->id, &base) == 0 && base.mailbox == m->mailbox;
    bool kept = known && m->state == MESSAGE_PRESENT && body_is_here(u->cache, m) &&
                brain_wish_to_keep(base.flags, m->flags);
    u->any = m->state != MESSAGE_GONE && (!known || kept) && !brake_holds(u->rd, m->id);
    return u->any;
}

/* One row of the cache becomes one box of the brain. */
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
    m->row[m->n - 1] = (struct box_row){.id = row->id,
                                        .here = named ? arena_strdup(&m->b->arena, name) : NULL,
                                        .remote = box->base.name,
                                        .mailboxid = arena_strdup(&m->b->arena, row->mailboxid),
                                        .uidvalidity = row->uidvalidity,
                                        .uidnext = row->uidnext,
                                        .removed = row->removed};
    struct unsynced unsynced = {.cache = m->e->cache, .rd = rd};
    int r = message_each_dirty(rd, row->id, note_unsynced, &unsynced);
    box->unsynced[HERE] = unsynced.any;
    const struct box_row *made = &m->row[m->n - 1];
    return r < 0 ? r : made->mailboxid && (made->here || !named) ? 0 : -ENOMEM;
}

struct replaced {
    int64_t id;
    const struct worker_box *listed;
};

/* Another mailbox under an old name: as if all had got new numbers (case 70). Nothing of what the row knows
 * is true of it, even if its UIDVALIDITY happens to be the same. */
static int put_replaced(cache_tx *tx, void *arg)
{
    const struct replaced *by = arg;
    struct mailbox m;
    int r = mailbox_get(cache_tx_rd(tx), by->id, &m);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (m.uidvalidity)
        m.uidvalidity = ~by->listed->uidvalidity ? ~by->listed->uidvalidity : 1;
    snprintf(m.remote, sizeof m.remote, "%s", by->listed->name);
    snprintf(m.mailboxid, sizeof m.mailboxid, "%s", by->listed->id ? by->listed->id : "");
    return mailbox_put(tx, &m);
}

/* The rows, and which of the list each is. */
static enum worker_result match_rows(struct merge *m)
{
    m->n = 0;
    free(m->match);
    m->match = NULL;
    if (mailbox_each(cache_reader(m->e->cache), -1, 0, take_row, m) < 0)
        return WORKER_LOCAL;
    m->match = calloc(m->n + 1, sizeof *m->match);
    return m->match ? boxes_match(m->e, m->b, m->row, m->n, m->match) : WORKER_LOCAL;
}

/* Renames of ours that happened and were not recorded. true: there were some, and the rows are others now. */
static bool record_ours(struct merge *m, enum worker_result *r)
{
    bool any = false;
    for (size_t i = 0; i < m->n && *r == WORKER_DONE; i++) {
        if (!m->match[i].ours)
            continue;
        struct boxes_rename rename = {
            .from = m->row[i].remote, .to = m->match[i].listed->name, .delimiter = m->b->delimiter};
        any = true;
        if (cache_write(m->e->cache, CACHE_FROM_SERVER, CACHE_NOW, boxes_put_renamed, &rename) < 0)
            *r = WORKER_LOCAL;
    }
    return any && *r == WORKER_DONE;
}

/* What the list says of the rows. */
static enum worker_result take_listed_sides(struct merge *m)
{
    enum worker_result r = match_rows(m);

    if (r == WORKER_DONE && record_ours(m, &r))
        r = match_rows(m);
    for (size_t i = 0; i < m->n && r == WORKER_DONE; i++) {
        const struct worker_box *listed = m->match[i].listed;
        if (!listed)
            continue;
        /* Deleted, but for its name, which children need: what was in it is gone. */
        bool level = listed->attributes & MAILBOX_NOSELECT;
        if (!(level && m->row[i].remote && m->row[i].uidvalidity))
            m->box[i].side[THERE] = state_of(m, listed->name, !level);
        struct replaced by = {.id = m->row[i].id, .listed = listed};
        if (m->match[i].replaced &&
            cache_write(m->e->cache, CACHE_FROM_SERVER, CACHE_NOW, put_replaced, &by) < 0)
            r = WORKER_LOCAL;
    }
    return r;
}

/* What the list has and no row knows. */
static int take_unknown(struct merge *m)
{
    size_t known = m->n;
    bool *seen = calloc(m->b->n_listed + 1, sizeof *seen);
    int r = seen ? 0 : -ENOMEM;
    for (size_t i = 0; i < known && r == 0; i++)
        if (m->match[i].listed)
            seen[m->match[i].listed - m->b->listed] = true;
    for (size_t i = 0; i < m->b->n_listed && r == 0; i++) {
        const struct worker_box *listed = &m->b->listed[i];
        struct brain_box *box = seen[i] ? NULL : add_box(m);
        if (seen[i])
            continue;
        struct box_match *grown = box ? reallocarray(m->match, m->n, sizeof *grown) : NULL;
        if (!grown) {
            r = -ENOMEM;
            break;
        }
        m->match = grown;
        m->match[m->n - 1] = (struct box_match){.listed = listed};
        box->side[THERE] = state_of(m, listed->name, !(listed->attributes & MAILBOX_NOSELECT));
    }
    free(seen);
    return r;
}

/* The list has the name that was agreed on, as another row's: it was given away, and asking for it would tell
 * of that one (case 71). */
static bool name_was_given_away(const struct merge *m, size_t i)
{
    for (size_t k = 0; k < m->n; k++)
        if (k != i && m->match[k].listed && strcmp(m->match[k].listed->name, m->box[i].base.name) == 0)
            return true;
    return false;
}

/* Missing from the list: is it really gone, and may it go here? (case 75) */
static enum worker_result confirm_one(struct merge *m, size_t i)
{
    struct brain_box *box = &m->box[i];
    struct worker_error error = {0};
    enum worker_result r = WORKER_GONE;
    if (!m->match[i].listed && !name_was_given_away(m, i))
        r = m->e->worker->ops->status(m->e->worker, box->base.name, NULL, &error);
    if (engine_session_ended(r))
        return r;
    if (r != WORKER_GONE) {
        box->side[THERE] = box->base;
        return WORKER_DONE;
    }
    int may_go = box->side[HERE].present ? brake_mailbox_may_go(m->e, box->key) : 1;
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

/* The plan counts on what comes before in it, and that may have been refused: two rows of one name on the
 * server could not be told apart. */
static bool is_another_ones(struct merge *m, const struct brain_box *box, const char *name)
{
    struct mailbox other;
    return mailbox_find_remote(cache_reader(m->e->cache), name, &other) == 0 && other.id != box->key;
}

/* What was removed here while the server was being told of it is to go there, too; also if it is not known
 * whether that was heard. */
static enum worker_result agree_created(struct merge *m, const struct mailbox *before, const char *name,
                                        bool certain)
{
    struct mailbox now;
    struct boxes_agree agree = {
        .id = before->id, .remote = name, .delimiter = m->b->delimiter, .created = true, .before = before};
    if (!certain && mailbox_get(cache_reader(m->e->cache), before->id, &now) != -ENOENT)
        return WORKER_DONE;
    return cache_write(m->e->cache, CACHE_FROM_SERVER, CACHE_NOW, boxes_put_agreed, &agree) < 0 ? WORKER_LOCAL
                                                                                                : WORKER_DONE;
}

static enum worker_result create_there(struct merge *m, const struct brain_box *box, const char *name)
{
    struct engine *e = m->e;
    struct boxes_gone gone = {.e = e, .id = box->key};
    struct worker_outcome outcome = {0};
    struct worker_error error = {0};
    struct worker_op op = {.verb = WORKER_CREATE, .mailbox = name};
    struct mailbox before;

    /* It was there before, and was removed (case 83): what it held went with it, and its numbers mean nothing
     * now. If all that stayed here has been filed elsewhere there, it is not needed any more. */
    if (box->base.present && box->base.mailbox &&
        cache_write(e->cache, CACHE_FROM_SERVER, CACHE_NOW, boxes_remove_row, &gone) < 0)
        return WORKER_LOCAL;
    if (mailbox_get(cache_reader(e->cache), box->key, &before) < 0 || before.removed)
        return WORKER_DONE;
    enum worker_result r = e->worker->ops->apply(e->worker, &op, &outcome, &error);
    if (r == WORKER_UNKNOWN && agree_created(m, &before, name, false) == WORKER_LOCAL)
        return WORKER_LOCAL;
    if (r == WORKER_REFUSED && error.err != -EEXIST) {
        engine_fail_message(e, 0, box->key, "create", &error); /* case 90 */
        return r;
    }
    if (r != WORKER_DONE && r != WORKER_REFUSED)
        return r;
    op.verb = WORKER_SUBSCRIBE;
    r = e->worker->ops->apply(e->worker, &op, &outcome, &error);
    enum worker_result agreed = agree_created(m, &before, name, true);
    return engine_session_ended(r) ? r : agreed;
}

/* A subscription is to a name, and stays behind when that changes (RFC 3501 6.3.6): it is taken along, of the
 * mailbox and of those below it. What another client subscribed to or not is left as it is (case 91). */
static enum worker_result move_subscriptions(struct merge *m, const char *from, const char *to)
{
    const struct worker_ops *ops = m->e->worker->ops;
    size_t length = strlen(from);

    for (size_t i = 0; i < m->n; i++) {
        const struct worker_box *listed = m->match[i].listed;
        const char *was = m->row[i].remote;
        if (!was || !listed || !(listed->attributes & MAILBOX_SUBSCRIBED) ||
            strncmp(was, from, length) != 0 || (was[length] && was[length] != m->b->delimiter))
            continue;
        struct worker_outcome outcome = {0};
        struct worker_error error = {0};
        char name[2 * MAILBOX_REMOTE_MAX];
        snprintf(name, sizeof name, "%s%s", to, was + length);
        struct worker_op op = {.verb = WORKER_SUBSCRIBE, .mailbox = name};
        enum worker_result r = ops->apply(m->e->worker, &op, &outcome, &error);
        op = (struct worker_op){.verb = WORKER_UNSUBSCRIBE, .mailbox = was};
        if (r == WORKER_DONE)
            r = ops->apply(m->e->worker, &op, &outcome, &error);
        if (engine_session_ended(r) || r == WORKER_LOCAL)
            return r;
    }
    return WORKER_DONE;
}

static bool steps_aside(struct merge *m, const struct brain_box *box, const char *from, const char *name)
{
    char *aside;
    return brain_box_temporary(from, m->b->delimiter, box->key, &m->b->arena, &aside) == 0 &&
           strcmp(aside, name) == 0;
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
    if (cache_write(e->cache, CACHE_FROM_SERVER, CACHE_NOW, boxes_put_renamed, &rename) < 0)
        return WORKER_LOCAL;
    return steps_aside(m, box, from, name) ? WORKER_DONE : move_subscriptions(m, box->base.name, name);
}

static enum worker_result carry_out_here(struct merge *m, const struct brain_box_op *op)
{
    struct engine *e = m->e;
    const struct brain_box *box = &m->box[op->box];
    const struct worker_box *listed = m->match[op->box].listed;
    int r = 0;

    if (op->verb == BRAIN_BOX_CREATE && listed) {
        struct boxes_make make = {.name = listed->name, .listed = listed, .delimiter = m->b->delimiter};
        r = cache_write(e->cache, CACHE_FROM_SERVER, CACHE_SOON, boxes_put_listed, &make);
        if (r == -EINVAL || r == -ENAMETOOLONG) {
            log_warning("a mailbox whose name cannot be shown is left alone");
            r = 0;
        }
    } else if (op->verb == BRAIN_BOX_RENAME) {
        struct boxes_move move = {.id = box->key, .to = op->name, .delimiter = m->b->delimiter};
        r = cache_write(e->cache, CACHE_FROM_SERVER, CACHE_NOW, boxes_put_moved, &move);
        if (r == -EINVAL || r == -ENAMETOOLONG) {
            log_warning("mailbox %lld: its new name cannot be shown", (long long)box->key);
            r = 0;
        }
    } else if (op->verb == BRAIN_BOX_DELETE || op->verb == BRAIN_BOX_FORGET) {
        struct boxes_gone gone = {.e = e, .id = box->key};
        r = cache_write(e->cache, CACHE_FROM_SERVER, CACHE_SOON, boxes_remove_row, &gone);
        if (op->verb == BRAIN_BOX_DELETE)
            engine_hint(e, HINT_BOXES); /* one that is to be called so may wait for this */
    }
    return r < 0 ? WORKER_LOCAL : WORKER_DONE;
}

static enum worker_result carry_out(struct merge *m, const struct brain_box_op *op)
{
    const struct brain_box *box = &m->box[op->box];

    log_debug("case %d: mailbox %lld, verb %d on side %d", op->number, (long long)box->key, op->verb,
              op->side);
    if (op->verb == BRAIN_BOX_AGREE) {
        struct boxes_agree agree = {.id = box->key,
                                    .remote = op->name,
                                    .listed = m->match[op->box].listed,
                                    .delimiter = m->b->delimiter};
        return cache_write(m->e->cache, CACHE_FROM_SERVER, CACHE_SOON, boxes_put_agreed, &agree) < 0
                   ? WORKER_LOCAL
                   : WORKER_DONE;
    }
    if (op->side == HERE || op->verb == BRAIN_BOX_FORGET)
        return carry_out_here(m, op);
    if (op->verb != BRAIN_BOX_DELETE && op->verb != BRAIN_BOX_HOLD && is_another_ones(m, box, op->name))
        return WORKER_DONE;
    if (op->verb == BRAIN_BOX_CREATE) {
        enum worker_result r = create_there(m, box, op->name);
        if (r == WORKER_DONE)
            m->match[op->box].listed = NULL; /* the list has it as what it was before: a level, or nothing */
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
        const struct worker_box *l = m->match[i].listed;
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
        b->news[b->n_news++] = (struct box_news){
            .mailbox = row.id, .changed = !same, .messages = l->has_status ? l->messages : 0};
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
    r = take_listed_sides(&m);
    if (r == WORKER_DONE && take_unknown(&m) < 0)
        r = WORKER_LOCAL;
    if (r == WORKER_DONE)
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
    free(m.row);
    free(m.match);
    return r;
}
