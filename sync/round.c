/*
 * One round: everything that the hints ask for, in the order that keeps mail safe and steps few.
 *
 *   1. the tree, when the round is a full one or mailboxes changed here: creations and renames (boxes.c)
 *   2. scans of the mailboxes that have news (pull.c)
 *   3. what differs here goes to the server (push.c)
 *   4. mailboxes removed here are deleted there
 *   5. a few new bodies at once, by this session; many are the fetchers' work
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "log.h"
#include "orphan.h"
#include "private.h"

#define LOOKS_MAX 4
#define EXPECTED 8             /* first looks under way */
#define EXPECTED_MESSAGES 5000 /* in them, more than one of which is repeated should the session break */

/* ---- settling ---- */

#define QUIET_BYTES (4 << 20) /* settled together: nobody can write to any of them meanwhile */

struct quiet {
    struct engine *e;
    int64_t id[64];
    size_t n;
    int64_t bytes, after;
    bool full;       /* there may be more */
    int64_t next_ms; /* CLOCK_REALTIME of the earliest that is not due, 0 */
};

static int collect_quiet(void *arg, const struct message *m)
{
    struct quiet *q = arg;
    int64_t due = m->changed_ms + ENGINE_QUIET_MS, now = clock_now_ns() / 1000000;

    if (m->id <= q->after || work_has_writer(q->e->cache, m->id) || m->size == 0)
        return 0; /* seen, or its last close will hint */
    if (due > now && due <= now + ENGINE_QUIET_MS) {
        if (!q->next_ms || due < q->next_ms)
            q->next_ms = due;
        return 0;
    }
    q->id[q->n++] = m->id;
    q->bytes += m->size;
    q->full = q->n == sizeof q->id / sizeof *q->id || q->bytes >= QUIET_BYTES;
    return q->full;
}

int64_t round_settle(struct engine *e)
{
    struct quiet q;
    int result[sizeof q.id / sizeof *q.id];
    int64_t after = 0; /* what cannot be settled holds up nothing behind it */

    e->quiet_at_ms = 0;
    do {
        q = (struct quiet){.e = e, .after = after};
        if (message_each_unsettled(cache_reader(e->cache), collect_quiet, &q) < 0)
            return -1;
        work_settle_many(e->cache, q.id, q.n, result);
        for (size_t i = 0; i < q.n; i++) {
            int r = result[i];
            after = q.id[i] > after ? q.id[i] : after;
            if (r < 0 && r != -EAGAIN && r != -ENODATA && r != -ENOENT) {
                log_error("row %lld cannot be settled: %s", (long long)q.id[i], strerror(-r));
                e->quiet_at_ms = clock_boot_ms() + 5000;
            }
        }
    } while (q.full);
    if (q.next_ms && !e->quiet_at_ms)
        e->quiet_at_ms = clock_boot_ms() + q.next_ms - clock_now_ns() / 1000000 + 1;
    return e->quiet_at_ms;
}

/* ---- the mailboxes to scan ---- */

struct list {
    struct to_scan {
        int64_t id;
        uint32_t messages; /* 0: none, or not told */
    } * box;
    size_t n;
};

static int add_to(struct list *l, int64_t id, uint32_t messages)
{
    struct to_scan *grown = reallocarray(l->box, l->n + 1, sizeof *grown);
    if (!grown)
        return -ENOMEM;
    l->box = grown;
    l->box[l->n++] = (struct to_scan){id, messages};
    return 0;
}

static bool is_listed(const struct list *l, int64_t id)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->box[i].id == id)
            return true;
    return false;
}

/* Just created on the server, by the merge of the tree: not in its answer. */
static int add_unseen(void *arg, const struct mailbox *m)
{
    struct list *l = arg;
    if (!m->on_server || m->removed || m->uidvalidity || (m->attributes & MAILBOX_NOSELECT))
        return 0;
    return is_listed(l, m->id) ? 0 : add_to(l, m->id, 0);
}

static enum worker_result merge_tree(struct engine *e, struct list *scan)
{
    struct boxes boxes;
    bool everything = cache_meta_get(cache_reader(e->cache), "union", 0) != 0;
    enum worker_result r = boxes_merge(e, &boxes);

    for (size_t i = 0; i < boxes.n_news && r == WORKER_DONE; i++)
        if (boxes.news[i].changed || everything)
            r = add_to(scan, boxes.news[i].mailbox, boxes.news[i].messages) < 0 ? WORKER_LOCAL : WORKER_DONE;
    if (r == WORKER_DONE && mailbox_each(cache_reader(e->cache), -1, 0, add_unseen, scan) < 0)
        r = WORKER_LOCAL;
    boxes_finish(&boxes);
    return r;
}

static int clear_union(cache_tx *tx, void *arg)
{
    (void)arg;
    return cache_meta_set(tx, "union", 0);
}

static void wake_fetchers(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->fetch_news++;
    pthread_cond_broadcast(&e->fetch);
    pthread_mutex_unlock(&e->lock);
}

/* Few new messages are here fastest when this session, which has the mailbox open, brings them. */
static enum worker_result fetch_at_once(struct engine *e, int64_t mailbox)
{
    bool any;
    if (!fetch_small(e, mailbox)) {
        wake_fetchers(e);
        return WORKER_DONE;
    }
    engine_doing(e, NULL, "fetching");
    enum worker_result r = fetch_some(e, e->worker, mailbox, &any);
    wake_fetchers(e);
    return r;
}

static bool ends_round(struct engine *e, enum worker_result r)
{
    return engine_session_ended(r) || r == WORKER_LOCAL || engine_stopping(e) || engine_paused(e);
}

static bool is_first_look(struct engine *e, int64_t id, struct mailbox *ret)
{
    return mailbox_get(cache_reader(e->cache), id, ret) == 0 && !ret->uidvalidity;
}

/* On a first sync the questions about the next few mailboxes travel together, so that the line's length is
 * not waited for in each. Of one that is empty nothing is asked but whether it is. *next: up to where. */
static void expect_first_looks(struct engine *e, const struct list *scan, size_t at, size_t *next)
{
    const struct worker_ops *ops = e->worker->ops;
    uint64_t messages = 0;
    struct mailbox box;
    if (*next < at)
        *next = at;
    for (size_t i = at; i < *next; i++)
        messages += scan->box[i].messages;
    for (; ops->expect && *next < scan->n && *next < at + EXPECTED; ++*next) {
        const struct to_scan *s = &scan->box[*next];
        messages += s->messages;
        if ((*next > at && messages > EXPECTED_MESSAGES) || !is_first_look(e, s->id, &box))
            break;
        if (s->messages > 0 && box.on_server && !(box.attributes & MAILBOX_NOSELECT))
            ops->expect(e->worker, box.remote);
    }
}

/* Bodies come after all scans: what looks new in one mailbox may have left another one (case 43), and is here
 * already. But on a first sync, when nothing can have moved, people should not wait for the last mailbox. */
static enum worker_result scan_all(struct engine *e, struct list *scan, bool *ret_complete)
{
    size_t next = 0;
    *ret_complete = true;
    for (size_t i = 0; i < scan->n; i++) {
        struct mailbox box;
        bool first = is_first_look(e, scan->box[i].id, &box);
        expect_first_looks(e, scan, i, &next);
        enum worker_result r = pull_mailbox(e, scan->box[i].id, WORKER_CHANGES);
        if (r == WORKER_DONE && first && next > i + 1 && !e->alone)
            wake_fetchers(e);
        else if (r == WORKER_DONE && first)
            r = fetch_at_once(e, scan->box[i].id);
        if (ends_round(e, r))
            return r == WORKER_DONE ? engine_stopping(e) ? WORKER_CANCELLED : WORKER_REFUSED : r;
        *ret_complete = *ret_complete && r == WORKER_DONE;
    }
    return WORKER_DONE;
}

static enum worker_result fetch_all(struct engine *e, const struct list *scan)
{
    enum worker_result r = WORKER_DONE;
    for (size_t i = 0; i < scan->n && !ends_round(e, r); i++)
        r = fetch_at_once(e, scan->box[i].id);
    return ends_round(e, r) ? r : WORKER_DONE;
}

/* With no fetchers of its own (connections = 1 or 2) the engine's session brings the bodies too, a batch a
 * round. */
static enum worker_result fetch_alone(struct engine *e)
{
    bool any = false;
    if (!e->alone)
        return WORKER_DONE;
    enum worker_result r = fetch_some(e, e->worker, 0, &any);
    if (any)
        engine_hint(e, HINT_FETCHED);
    return r;
}

static enum worker_result add_inbox(struct engine *e, struct list *scan)
{
    struct mailbox inbox;
    if (mailbox_find(cache_reader(e->cache), 0, "INBOX", &inbox) < 0)
        return WORKER_DONE;
    return is_listed(scan, inbox.id) || add_to(scan, inbox.id, 0) == 0 ? WORKER_DONE : WORKER_LOCAL;
}

static int forget_orphans(cache_tx *tx, void *arg)
{
    (void)arg;
    return orphan_forget_all(tx);
}

/* All mailboxes were looked at since the last orphan was seen: what was not found in one of them is nowhere.
 * A round that broke off leaves that open, also to the next process. */
static enum worker_result give_up_orphans(struct engine *e)
{
    if (!orphan_any(cache_reader(e->cache)))
        return WORKER_DONE;
    return cache_write(e->cache, CACHE_FROM_SERVER, CACHE_SOON, forget_orphans, NULL) < 0 ? WORKER_LOCAL
                                                                                          : WORKER_DONE;
}

static bool looks_again(const struct engine *e, bool tree)
{
    return e->saw_orphans || (e->saw_removals && !tree);
}

/* What the server has to tell. Mail that left the inbox may have been filed: the other mailboxes are looked
 * at then, too. And what became an orphan in a scan may have arrived elsewhere after the list was made that
 * said which mailboxes to scan. */
static enum worker_result look_there(struct engine *e, unsigned hints, struct list *scan, bool *ret_complete)
{
    bool tree = hints & (HINT_FULL | HINT_BOXES);
    enum worker_result r = WORKER_DONE;

    e->saw_removals = e->saw_orphans = false;
    if (hints & HINT_FULL)
        r = append_settle_all(e); /* what could not be settled when the session began */
    if (tree && r == WORKER_DONE)
        r = merge_tree(e, scan);
    if (r == WORKER_DONE && (hints & HINT_PUSH))
        r = add_inbox(e, scan);
    if (r == WORKER_DONE)
        r = scan_all(e, scan, ret_complete);
    for (int pass = 0; pass < LOOKS_MAX && r == WORKER_DONE && looks_again(e, tree); pass++) {
        bool complete;
        e->saw_removals = e->saw_orphans = false;
        tree = true;
        r = merge_tree(e, scan);
        if (r == WORKER_DONE)
            r = scan_all(e, scan, &complete);
    }
    if (r == WORKER_DONE && tree && !e->saw_orphans)
        r = give_up_orphans(e);
    if (r != WORKER_DONE)
        return r;
    return brake_review(e) < 0 ? WORKER_LOCAL : WORKER_DONE;
}

enum worker_result round_run(struct engine *e, unsigned hints)
{
    struct list scan = {0};
    bool tree = hints & (HINT_FULL | HINT_BOXES), complete = true;
    enum worker_result r = WORKER_DONE;
    if (hints & HINT_WANT)
        r = fetch_wishes(e, e->worker);
    if (r == WORKER_DONE)
        r = look_there(e, hints, &scan, &complete);

    if (r == WORKER_DONE)
        r = fetch_all(e, &scan);
    if (r == WORKER_DONE && (hints & HINT_FULL) && complete &&
        cache_meta_get(cache_reader(e->cache), "union", 0))
        cache_write(e->cache, CACHE_FROM_SERVER, CACHE_NOW, clear_union, NULL);
    if (r == WORKER_DONE)
        r = push_run(e);
    /* In every round: a mailbox waits until the last removal of its mail is through, which is no news of the
     * tree. */
    if (r == WORKER_DONE)
        r = boxes_delete(e);
    if (r == WORKER_DONE && tree)
        wake_fetchers(e);
    if (r == WORKER_DONE)
        r = fetch_alone(e);
    if (e->saw_orphans)
        engine_hint(e, HINT_FULL); /* they wait for another look at all mailboxes */
    free(scan.box);
    return r;
}

/* ---- at rest? ---- */

struct rest {
    struct engine *e;
    cache_rd *rd;
};

/* What was refused, and is not to be tried again yet, is as good as done: status tells of it. */
static bool has_failed(cache_rd *rd, int64_t message, int64_t mailbox)
{
    struct failure f;
    return failure_get(rd, message, mailbox, &f) == 0 && f.retry_s > clock_now_ns() / 1000000000;
}

static int is_unrest(void *arg, const struct message *m)
{
    struct rest *s = arg;
    struct base_state base;

    if (m->sub == SUB_TMP || (m->scratch && m->state != MESSAGE_GONE) || has_failed(s->rd, m->id, 0))
        return 0;
    if (brake_holds(s->rd, m->id) || brake_holds_mailbox(s->rd, m->mailbox))
        return 0; /* until a person decides */
    if (m->state == MESSAGE_GONE && base_of_message(s->rd, m->id, &base) < 0)
        return 0;
    if (m->state == MESSAGE_WRITING && m->size == 0)
        return 0;
    struct mailbox box;
    bool readable = mailbox_get(s->rd, m->mailbox, &box) == 0;
    return !readable || (!(box.attributes & MAILBOX_READ_ONLY) && !has_failed(s->rd, 0, box.id));
}

static int is_waiting(void *arg, const struct message *m)
{
    struct rest *s = arg;
    return !has_failed(s->rd, m->id, 0);
}

static int is_unsettled(void *arg, const struct message *m)
{
    (void)arg;
    return m->size > 0;
}

static int is_box_unrest(void *arg, const struct mailbox *m)
{
    struct rest *s = arg;
    char name[MAILBOX_REMOTE_MAX];
    bool level = !m->on_server || (m->attributes & MAILBOX_NOSELECT);
    bool to_do = (m->on_server && m->removed) || (level && m->dirs && !m->removed);
    /* Called differently on both sides: a rename that is not through, or that is beyond us (case 86). */
    if (m->on_server && !m->removed && mailbox_remote_name(s->rd, m, s->e->delimiter, name) == 0)
        to_do = to_do || strcmp(name, m->remote) != 0;
    struct held missing;
    bool decided = held_of_mailbox(s->rd, m->id, &missing) == 0 && missing.state != HELD_ASKS;
    return decided || (to_do && !has_failed(s->rd, 0, m->id) && !held_in(s->rd, m->id));
}

static int is_pending(void *arg, const struct pending *p)
{
    (void)arg;
    (void)p;
    return 1;
}

bool round_at_rest(struct engine *e)
{
    struct rest s = {.e = e, .rd = cache_reader(e->cache)};
    return message_each_unsettled(s.rd, is_unsettled, &s) == 0 &&
           message_each_dirty(s.rd, 0, is_unrest, &s) == 0 &&
           message_each_wanted(s.rd, 0, 1000, is_waiting, &s) == 0 &&
           mailbox_each(s.rd, -1, 0, is_box_unrest, &s) == 0 && pending_each(s.rd, 0, is_pending, &s) == 0;
}
