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
#include "private.h"

#define LISTED_ATTRIBUTES                                                                                    \
    (MAILBOX_NOSELECT | MAILBOX_NOINFERIORS | MAILBOX_TRASH | MAILBOX_JUNK | MAILBOX_SENT | MAILBOX_DRAFTS | \
     MAILBOX_ARCHIVE | MAILBOX_SUBSCRIBED)

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
    u->any = m->state != MESSAGE_GONE && unknown;
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
    if (!row->removed)
        box->side[HERE] = state_of(m, named ? name : row->remote, is_mailbox);
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

/* Missing from the list: is it really gone? (case 75) */
static enum worker_result confirm_missing(struct merge *m)
{
    m->confirmed = arena_alloc(&m->b->arena, m->n, sizeof *m->confirmed);
    if (!m->confirmed)
        return WORKER_LOCAL;
    for (size_t i = 0; i < m->n; i++) {
        struct brain_box *box = &m->box[i];
        struct worker_error error = {0};
        if (!box->base.present || box->side[THERE].present)
            continue;
        if (m->seen[i]) {
            m->confirmed[i] = true;
            continue;
        }
        enum worker_result r = m->e->worker->ops->status(m->e->worker, box->base.name, NULL, &error);
        if (engine_session_ended(r))
            return r;
        if (r == WORKER_GONE)
            m->confirmed[i] = true;
        else
            box->side[THERE] = box->base;
    }
    return WORKER_DONE;
}

/* ---- the cache's side ---- */

struct make {
    const char *name;
    const struct worker_box *listed;
    char delimiter;
};

/* A child of `parent` for one level of the server's name; a component that another mailbox has taken gets a
 * suffix (case 89). */
static int make_level(cache_tx *tx, int64_t parent, const char *prefix, const char *leaf, size_t length,
                      char delimiter, struct mailbox *ret)
{
    cache_rd *rd = cache_tx_rd(tx);
    struct mailbox m = {.parent = parent, .delimiter = delimiter};
    char plain[NAME_COMPONENT_MAX + 1];

    if (mailbox_find_remote(rd, prefix, ret) == 0)
        return 0;
    int cut = name_to_component(leaf, length, plain);
    if (cut < 0)
        return cut;
    snprintf(m.name, sizeof m.name, "%s", plain);
    bool exact = cut == 0;
    for (unsigned i = 2; mailbox_find(rd, parent, m.name, ret) == 0; i++) {
        if (!ret->on_server && exact)
            return 0; /* made here too, or a level made for a child: the same one (case 80) */
        snprintf(m.name, sizeof m.name, "%.240s%%~%u", plain, i);
        exact = false;
    }
    if (!exact)
        snprintf(m.leaf, sizeof m.leaf, "%.*s", (int)length, leaf);
    int r = mailbox_put(tx, &m);
    if (r == 0)
        *ret = m;
    return r;
}

static int make_path(cache_tx *tx, const char *name, char delimiter, struct mailbox *ret)
{
    char prefix[MAILBOX_REMOTE_MAX];
    int64_t parent = 0;

    for (const char *leaf = name;;) {
        size_t length = delimiter ? strcspn(leaf, (char[]){delimiter, 0}) : strlen(leaf);
        snprintf(prefix, sizeof prefix, "%.*s", (int)(leaf - name + (ptrdiff_t)length), name);
        int r = make_level(tx, parent, prefix, leaf, length, delimiter, ret);
        if (r < 0)
            return r;
        if (!leaf[length] || !leaf[length + 1])
            return 0;
        parent = ret->id;
        leaf += length + 1;
    }
}

static void take_attributes(struct mailbox *m, const struct worker_box *listed, char delimiter)
{
    unsigned was = m->attributes;
    m->attributes = (m->attributes & ~(unsigned)LISTED_ATTRIBUTES) | (listed->attributes & LISTED_ATTRIBUTES);
    m->delimiter = listed->delimiter ? listed->delimiter : delimiter;
    if (m->attributes & MAILBOX_NOSELECT)
        m->dirs = 0;
    else if (!m->on_server || (was & MAILBOX_NOSELECT))
        m->dirs = MAILBOX_ALL_DIRS;
}

/* Creation in the cache, and agreement: the row says what the list says. */
static int put_listed(cache_tx *tx, void *arg)
{
    const struct make *make = arg;
    struct mailbox m;
    int r = make_path(tx, make->name, make->delimiter, &m);
    if (r < 0)
        return r;
    struct mailbox before = m;
    take_attributes(&m, make->listed, make->delimiter);
    m.on_server = true;
    snprintf(m.remote, sizeof m.remote, "%s", make->listed->name);
    return memcmp(&before, &m, sizeof m) ? mailbox_put(tx, &m) : 0;
}

struct agree {
    int64_t id;
    const char *remote; /* the name agreed */
    const struct worker_box *listed;
    char delimiter;
};

static int put_agreed(cache_tx *tx, void *arg)
{
    const struct agree *a = arg;
    struct mailbox m;
    int r = mailbox_get(cache_tx_rd(tx), a->id, &m);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    struct mailbox before = m;
    if (a->listed)
        take_attributes(&m, a->listed, a->delimiter);
    m.on_server = true;
    snprintf(m.remote, sizeof m.remote, "%s", a->remote);
    if (!m.delimiter)
        m.delimiter = a->delimiter;
    r = failure_forget(tx, 0, a->id);
    if (r < 0 && r != -ENOENT)
        return r;
    return memcmp(&before, &m, sizeof m) ? mailbox_put(tx, &m) : 0;
}

struct rename {
    const char *from, *to;
    char delimiter;
};

struct renamed {
    cache_tx *tx;
    const struct rename *rename;
    int result;
};

static int rename_child(void *arg, const struct mailbox *row)
{
    struct renamed *a = arg;
    size_t length = strlen(a->rename->from);
    struct mailbox m = *row;

    if (!m.on_server || strncmp(m.remote, a->rename->from, length) != 0)
        return 0;
    if (m.remote[length] && m.remote[length] != a->rename->delimiter)
        return 0;
    char name[2 * MAILBOX_REMOTE_MAX];
    int n = snprintf(name, sizeof name, "%s%s", a->rename->to, row->remote + length);
    if (n >= MAILBOX_REMOTE_MAX)
        return -ENAMETOOLONG;
    memcpy(m.remote, name, (size_t)n + 1);
    return mailbox_put(a->tx, &m);
}

/* The server renamed a mailbox and its children with it (case 84): so do their base names. */
static int put_renamed(cache_tx *tx, void *arg)
{
    struct renamed a = {.tx = tx, .rename = arg};
    return mailbox_each(cache_tx_rd(tx), -1, 0, rename_child, &a);
}

/* ---- carrying out ---- */

static int remove_row(cache_tx *tx, void *arg);

static enum worker_result create_there(struct merge *m, const struct brain_box *box, const char *name)
{
    struct engine *e = m->e;
    int64_t id = box->key;
    struct worker_outcome outcome = {0};
    struct worker_error error = {0};
    struct worker_op op = {.verb = WORKER_CREATE, .mailbox = name};

    /* It was there before, and was removed (case 83): what it held went with it, and its numbers mean nothing
     * now. */
    if (box->base.present && cache_write(e->cache, CACHE_FROM_SERVER, CACHE_NOW, remove_row, &id) < 0)
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
    struct agree agree = {.id = box->key, .remote = name, .delimiter = m->b->delimiter};
    return cache_write(e->cache, CACHE_FROM_SERVER, CACHE_NOW, put_agreed, &agree) < 0 ? WORKER_LOCAL
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
    struct rename rename = {.from = from, .to = name, .delimiter = m->b->delimiter};
    return cache_write(e->cache, CACHE_FROM_SERVER, CACHE_NOW, put_renamed, &rename) < 0 ? WORKER_LOCAL
                                                                                         : WORKER_DONE;
}

#define REMOVE_BATCH 256

struct addressed {
    struct base_state row[REMOVE_BATCH];
    size_t n;
};

static int collect_addressed(void *arg, const struct base_state *b)
{
    struct addressed *a = arg;
    a->row[a->n++] = *b;
    return a->n == REMOVE_BATCH;
}

/* A message that the server had: restorable now, unless it is being rewritten here (case 13) or was moved. */
static int remove_addressed(cache_tx *tx, const struct base_state *b)
{
    struct message m;
    int r = message_get(cache_tx_rd(tx), b->message, &m);
    bool kept =
        r == 0 && (m.state == MESSAGE_WRITING || (m.state != MESSAGE_GONE && m.mailbox != b->mailbox));
    if (r == 0 && !kept) /* one that was filed elsewhere is sent there (case 42) */
        r = cache_worker_apply(tx, &(struct brain_op){.verb = BRAIN_REMOVE}, &m, NULL, b->mailbox);
    if (r < 0 && r != -ENOENT)
        return r;
    return cache_worker_agree(tx, b->message, NULL);
}

/* The server's mailbox is gone: its mail here goes to the restorable rows, mail that the server never had
 * stays in view, and with it the mailbox. */
static int remove_row(cache_tx *tx, void *arg)
{
    cache_rd *rd = cache_tx_rd(tx);
    int64_t id = *(int64_t *)arg;
    struct addressed batch;
    struct mailbox m;
    int r;

    do {
        batch.n = 0;
        r = base_each(rd, id, 0, collect_addressed, &batch);
        for (size_t i = 0; i < batch.n && r >= 0; i++)
            r = remove_addressed(tx, &batch.row[i]);
    } while (r >= 0 && batch.n == REMOVE_BATCH);
    if (r >= 0)
        r = mailbox_get(rd, id, &m);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    m.on_server = false;
    m.remote[0] = 0;
    m.uidvalidity = m.uidnext = m.exists = 0;
    m.modseq = 0;
    if (!message_any(rd, id, false))
        m.dirs = 0;
    m.removed = !m.dirs && mailbox_children(rd, id) == 0;
    r = mailbox_put(tx, &m);
    if (r == 0 && m.removed && mailbox_forget(tx, id) < 0)
        log_debug("mailbox %lld is kept for its restorable mail", (long long)id);
    return r;
}

static enum worker_result carry_out_here(struct merge *m, const struct brain_box_op *op)
{
    struct engine *e = m->e;
    const struct brain_box *box = &m->box[op->box];
    const struct worker_box *listed = m->seen[op->box];
    int r = 0;

    if (op->verb == BRAIN_BOX_CREATE && listed) {
        struct make make = {.name = listed->name, .listed = listed, .delimiter = m->b->delimiter};
        r = cache_write(e->cache, CACHE_FROM_SERVER, CACHE_SOON, put_listed, &make);
        if (r == -EINVAL || r == -ENAMETOOLONG) {
            log_warning("a mailbox whose name cannot be shown is left alone");
            r = 0;
        }
    } else if (op->verb == BRAIN_BOX_DELETE || op->verb == BRAIN_BOX_FORGET) {
        int64_t id = box->key;
        r = cache_write(e->cache, CACHE_FROM_SERVER, CACHE_SOON, remove_row, &id);
    }
    return r < 0 ? WORKER_LOCAL : WORKER_DONE;
}

static enum worker_result carry_out(struct merge *m, const struct brain_box_op *op)
{
    const struct brain_box *box = &m->box[op->box];

    log_debug("case %d: mailbox %lld, verb %d on side %d", op->number, (long long)box->key, op->verb,
              op->side);
    if (op->verb == BRAIN_BOX_AGREE) {
        struct agree agree = {
            .id = box->key, .remote = op->name, .listed = m->seen[op->box], .delimiter = m->b->delimiter};
        return cache_write(m->e->cache, CACHE_FROM_SERVER, CACHE_SOON, put_agreed, &agree) < 0 ? WORKER_LOCAL
                                                                                               : WORKER_DONE;
    }
    if (op->side == HERE || op->verb == BRAIN_BOX_FORGET)
        return carry_out_here(m, op);
    if (op->verb == BRAIN_BOX_CREATE)
        return create_there(m, box, op->name);
    if (op->verb == BRAIN_BOX_RENAME)
        return rename_there(m, box, op->from, op->name);
    return WORKER_DONE; /* deletions wait for boxes_delete */
}

/* What both know: attributes may have changed, and the numbers tell whether a scan is due. */
static int take_news(struct merge *m)
{
    struct boxes *b = m->b;
    cache_rd *rd = cache_reader(m->e->cache);

    b->news = calloc(b->n_listed + 1, sizeof *b->news);
    if (!b->news)
        return -ENOMEM;
    for (size_t i = 0; i < b->n_listed; i++) {
        const struct worker_box *l = &b->listed[i];
        struct mailbox row, wanted;
        if (mailbox_find_remote(rd, l->name, &row) < 0)
            continue;
        wanted = row;
        take_attributes(&wanted, l, b->delimiter);
        if (memcmp(&row, &wanted, sizeof row) != 0) {
            struct agree agree = {.id = row.id, .remote = row.remote, .listed = l, .delimiter = b->delimiter};
            int r = cache_write(m->e->cache, CACHE_FROM_SERVER, CACHE_SOON, put_agreed, &agree);
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
    if (brain_merge_boxes(m.box, m.n, ret->delimiter, m.confirmed, &ret->arena, &plan) < 0)
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

/* ---- deletions on the server ---- */

struct removed {
    int64_t id[64];
    size_t n;
};

static int collect_removed(void *arg, const struct mailbox *m)
{
    struct removed *a = arg;
    if (m->removed && m->on_server)
        a->id[a->n++] = m->id;
    return a->n == 64;
}

static int deeper_first(const void *a, const void *b)
{
    /* Children were made after their parents. */
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

/* New mail came into a mailbox that was removed here: it stays, with that mail (case 82). */
static int unremove(cache_tx *tx, void *arg)
{
    struct mailbox m;
    int r = mailbox_get(cache_tx_rd(tx), *(int64_t *)arg, &m);
    if (r < 0)
        return r;
    m.removed = false;
    m.dirs = MAILBOX_ALL_DIRS;
    return mailbox_put(tx, &m);
}

static int note_base(void *arg, const struct base_state *b)
{
    struct {
        cache_rd *rd;
        bool alive;
    } *a = arg;
    struct message m;
    if (message_get(a->rd, b->message, &m) == 0 && m.state != MESSAGE_GONE)
        a->alive = true;
    return a->alive;
}

static enum worker_result delete_box(struct engine *e, int64_t id)
{
    struct worker_outcome outcome = {0};
    struct worker_error error = {0};
    struct mailbox m;
    struct {
        cache_rd *rd;
        bool alive;
    } mail = {.rd = cache_reader(e->cache)};

    enum worker_result r = pull_mailbox(e, id, WORKER_CHANGES);
    bool level = r == WORKER_GONE && mailbox_get(mail.rd, id, &m) == 0 && (m.attributes & MAILBOX_NOSELECT);
    if (r != WORKER_DONE && !level) /* what is in there is not known (case 82): next round */
        return engine_session_ended(r) || r == WORKER_LOCAL ? r : WORKER_DONE;
    if (mailbox_get(mail.rd, id, &m) < 0 || base_each(mail.rd, id, 0, note_base, &mail) < 0)
        return WORKER_LOCAL;
    if (r == WORKER_DONE && mail.alive)
        return cache_write(e->cache, CACHE_FROM_SERVER, CACHE_SOON, unremove, &id) < 0 ? WORKER_LOCAL
                                                                                       : WORKER_DONE;
    if (r == WORKER_DONE && base_count(mail.rd, id) > 0)
        return WORKER_DONE; /* removals that are not through yet: next round */
    struct worker_op op = {.verb = WORKER_UNSUBSCRIBE, .mailbox = m.remote};
    r = e->worker->ops->apply(e->worker, &op, &outcome, &error);
    if (engine_session_ended(r))
        return r;
    op.verb = WORKER_DELETE;
    r = e->worker->ops->apply(e->worker, &op, &outcome, &error);
    if (r == WORKER_REFUSED)
        engine_fail_message(e, 0, id, "delete", &error);
    if (r == WORKER_DONE || r == WORKER_GONE)
        r = cache_write(e->cache, CACHE_FROM_SERVER, CACHE_NOW, remove_row, &id) < 0 ? WORKER_LOCAL
                                                                                     : WORKER_DONE;
    if (r == WORKER_DONE)
        engine_hint(e, HINT_BOXES); /* one of the same name may wait for this */
    return r == WORKER_REFUSED ? WORKER_DONE : r;
}

enum worker_result boxes_delete(struct engine *e)
{
    struct removed removed = {.n = 0};
    enum worker_result r = WORKER_DONE;

    if (mailbox_each(cache_reader(e->cache), -1, 0, collect_removed, &removed) < 0)
        return WORKER_LOCAL;
    qsort(removed.id, removed.n, sizeof removed.id[0], deeper_first);
    for (size_t i = 0; i < removed.n && r == WORKER_DONE; i++) {
        struct failure failed;
        if (failure_get(cache_reader(e->cache), 0, removed.id[i], &failed) == 0 &&
            failed.retry_s > clock_now_ns() / 1000000000)
            continue;
        r = delete_box(e, removed.id[i]);
    }
    return r;
}
