/*
 * Mailboxes that were removed here are deleted on the server: at the end of a round, after the removals of
 * their mail went through, and only when nothing else is in them.
 */
#include <stdlib.h>
#include "boxes_place.h"
#include "boxes_rows.h"
#include "private.h"

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

/* New mail came into a mailbox that was removed here: it stays, with that mail (case 82); under another name
 * if a mailbox was given its own meanwhile. */
static int unremove(cache_tx *tx, void *arg)
{
    struct mailbox m;
    int r = mailbox_get(cache_tx_rd(tx), *(int64_t *)arg, &m);
    if (r < 0)
        return r;
    m.dirs = MAILBOX_ALL_DIRS;
    return boxes_put_again(tx, &m);
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
        r = cache_write(e->cache, CACHE_FROM_SERVER, CACHE_NOW, boxes_remove_row,
                        &(struct boxes_gone){.e = e, .id = id}) < 0
                ? WORKER_LOCAL
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
