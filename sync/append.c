/*
 * Append: exactly once, and no octet altered.
 *
 * Before anything is sent, the intent is committed and on disk: mailbox, its UIDVALIDITY and UIDNEXT, size,
 * hash, Message-ID, date. From the first octet to the tagged answer the outcome of a broken line is unknown,
 * and also a crash of this program between the server's OK and our commit looks the same afterwards: a
 * pending row. Such a row is settled before anything else is done with a new session: all messages at or
 * above the old UIDNEXT are listed and compared (the brain decides); where identities do not decide, bodies
 * are read. Only when none is ours is the message sent again.
 *
 * Moves are settled by the same look into their target: they, too, make a message there. A move that was done
 * as COPY keeps its row until the source is expunged. But OK means less of a move or copy than of an append:
 * a UID that is gone is ignored (RFC 3501, 6.4.8). If another client has removed the message, or filed it
 * after an edit, then nothing of ours is in the target, and what is there may well have our Message-ID and
 * size. So content decides, unless the source is there to have been copied.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "log.h"
#include "private.h"

#define MISSED_EVERY_MS 5000

static uint64_t content_number(const uint8_t hash[32])
{
    uint64_t n;
    memcpy(&n, hash, sizeof n);
    return n | 1;
}

static ssize_t read_wire(void *arg, void *out, size_t size)
{
    return body_reader_read(arg, out, size);
}

struct confirm {
    int64_t message, mailbox;
    uint32_t uid;
    flags_t flags;
    bool keep_pending;
};

int append_confirm(cache_tx *tx, int64_t message, int64_t mailbox, uint32_t uid, flags_t flags)
{
    struct base_state base = {.mailbox = mailbox, .uid = uid, .message = message, .flags = flags};
    return cache_worker_agree(tx, message, &base);
}

static int forget_intent(cache_tx *tx, int64_t message)
{
    int r = pending_forget(tx, message);
    return r == -ENOENT ? 0 : r;
}

static int confirm(cache_tx *tx, void *arg)
{
    const struct confirm *c = arg;
    struct pending announced;
    if (pending_of_message(cache_tx_rd(tx), c->message, &announced) < 0)
        return -ESTALE; /* edited while it was sent: the announcement is a tombstone's now */
    int r = append_confirm(tx, c->message, c->mailbox, c->uid, c->flags);
    if (r == 0)
        r = failure_forget(tx, c->message, 0);
    if (r == -ENOENT)
        r = 0;
    return r == 0 && !c->keep_pending ? forget_intent(tx, c->message) : r;
}

static int forget_pending(cache_tx *tx, void *arg)
{
    return forget_intent(tx, *(int64_t *)arg);
}

static enum worker_result drop_intent(struct engine *e, int64_t message)
{
    int r = cache_write(e->cache, CACHE_FROM_SERVER, CACHE_SOON, forget_pending, &message);
    return r < 0 ? WORKER_LOCAL : WORKER_DONE;
}

static enum worker_result confirmed(struct engine *e, const struct confirm *c)
{
    int r = cache_write(e->cache, CACHE_FROM_SERVER, CACHE_SOON, confirm, (void *)c);
    if (r < 0)
        return r == -ESTALE ? append_settle_all(e) : WORKER_LOCAL;
    work_sent(e->cache, c->message);
    e->tried_create = 0;
    return WORKER_DONE;
}

/* ---- what became of it? ---- */

struct found {
    struct worker_scan scan;
    struct brain_candidate *candidate;
    struct mailbox box;
};

struct known_text {
    cache_rd *rd;
    const struct pending *p;
    uint64_t content;
    bool known, old; /* another row has it; and that was edited to what is announced */
};

enum { EDITS_MAX = 32 }; /* of one message, before the server has seen any of them */

static bool was_edited_to(cache_rd *rd, const struct message *m, int64_t id)
{
    struct message next = *m;
    for (unsigned i = 0; i < EDITS_MAX && next.after; i++)
        if (next.after == id)
            return true;
        else if (message_get(rd, next.after, &next) < 0)
            return false;
    return false;
}

static int note_text(void *arg, const struct message *m)
{
    struct known_text *t = arg;
    if (m->id == t->p->message || !m->has_hash || content_number(m->hash) != t->content)
        return 0;
    t->known = true;
    t->old = was_edited_to(t->rd, m, t->p->message);
    return t->old;
}

/* What else has this text? That from before an edit is not what the server made of ours, and one that another
 * row has is hardly (case 63). */
static enum worker_result mark_known(struct engine *e, const struct pending *p, struct brain_candidate *c)
{
    struct known_text t = {.rd = cache_reader(e->cache), .p = p, .content = c->content};
    if (p->message_id && message_each_by_message_id(t.rd, p->message_id, note_text, &t) < 0)
        return WORKER_LOCAL;
    c->known = t.known;
    c->paired = t.old;
    return WORKER_DONE;
}

/* Reads the body of one candidate, for its content. A message that is gone meanwhile has content 2, which
 * nothing else has. */
static enum worker_result read_candidate(struct engine *e, struct found *f, const struct pending *p,
                                         uint32_t uid)
{
    struct body_info info;
    bool got;
    enum worker_result r = peek_one(e, f->box.remote, f->scan.token.uidvalidity, uid, &info, &got);

    if (r != WORKER_DONE && r != WORKER_GONE)
        return r;
    for (size_t i = 0; i < f->scan.n; i++)
        if (f->candidate[i].uid == uid) {
            f->candidate[i].content = got ? content_number(info.hash) : 2;
            return mark_known(e, p, &f->candidate[i]);
        }
    return WORKER_DONE;
}

static enum worker_result look(struct engine *e, int64_t mailbox, uint32_t from, struct found *f)
{
    struct worker_error error = {0};
    cache_rd *rd = cache_reader(e->cache);

    memset(f, 0, sizeof *f);
    int r = mailbox_get(rd, mailbox, &f->box);
    if (r < 0)
        return r == -ENOENT ? WORKER_GONE : WORKER_LOCAL;
    if (!f->box.on_server)
        return WORKER_GONE;
    enum worker_result result = e->worker->ops->list(e->worker, f->box.remote, from, &f->scan, &error);
    engine_pause(e, error.retry_ms);
    if (result != WORKER_DONE)
        return result;
    if (!f->scan.token.uidvalidity)
        f->scan.token.uidvalidity = f->box.uidvalidity;
    f->candidate = calloc(f->scan.n + 1, sizeof *f->candidate);
    if (!f->candidate)
        return WORKER_LOCAL;
    for (size_t i = 0; i < f->scan.n; i++) {
        struct base_state base;
        const struct worker_message *s = &f->scan.message[i];
        f->candidate[i] = (struct brain_candidate){.uid = s->uid,
                                                   .size = s->size,
                                                   .message_id = s->message_id,
                                                   .paired = base_of_uid(rd, mailbox, s->uid, &base) == 0};
    }
    return WORKER_DONE;
}

static void found_finish(struct found *f)
{
    worker_scan_finish(&f->scan);
    free(f->candidate);
}

static int is_look_alike(void *arg, const struct message *m)
{
    const struct pending *p = arg;
    return m->id != p->message && m->has_hash && m->wire_size == p->wire_size &&
           memcmp(m->hash, p->hash, sizeof p->hash) != 0;
}

static bool has_look_alike(struct engine *e, const struct pending *p)
{
    return p->message_id &&
           message_each_by_message_id(cache_reader(e->cache), p->message_id, is_look_alike, (void *)p) > 0;
}

static bool decides_by_content(const struct pending *p)
{
    static const uint8_t unknown[sizeof p->hash];
    return p->kind != PENDING_APPEND && memcmp(p->hash, unknown, sizeof unknown) != 0;
}

static enum worker_result verdict(struct engine *e, struct found *f, const struct pending *p, bool accepted,
                                  uint32_t *ret_uid, enum brain_append_verdict *ret)
{
    struct brain_append intent = {.uidvalidity = p->uidvalidity,
                                  .uidnext = p->uidnext,
                                  .size = p->wire_size,
                                  .message_id = p->message_id,
                                  .date_s = p->date_s,
                                  .content = content_number(p->hash),
                                  .accepted = accepted,
                                  .look_alike = decides_by_content(p) || has_look_alike(e, p)};
    for (;;) {
        *ret = brain_append_settle(&intent, f->scan.token.uidvalidity, f->candidate, f->scan.n, ret_uid);
        if (*ret != BRAIN_APPEND_READ)
            return WORKER_DONE;
        enum worker_result r = read_candidate(e, f, p, *ret_uid);
        if (r != WORKER_DONE)
            return r;
    }
}

/* A server files nothing, and says OK, when the message is gone from its old place: the next scan tells what
 * that means. */
static enum worker_result source_is_there(struct engine *e, const struct pending *p, bool *ret)
{
    struct worker_error error = {0};
    struct worker_scan scan = {0};
    struct mailbox source;

    *ret = false;
    if (mailbox_get(cache_reader(e->cache), p->source, &source) < 0 || !source.on_server)
        return WORKER_DONE;
    enum worker_result r = e->worker->ops->list(e->worker, source.remote, p->source_uid, &scan, &error);
    for (size_t i = 0; r == WORKER_DONE && i < scan.n; i++)
        *ret = *ret || scan.message[i].uid == p->source_uid;
    worker_scan_finish(&scan);
    return r == WORKER_GONE || r == WORKER_REFUSED ? WORKER_DONE : r;
}

static enum worker_result find_out(struct engine *e, struct found *f, const struct pending *p,
                                   uint32_t *ret_uid, enum brain_append_verdict *ret)
{
    bool sure = p->accepted && !decides_by_content(p), copied = false;
    enum worker_result r = verdict(e, f, p, sure, ret_uid, ret);
    if (r != WORKER_DONE || *ret != BRAIN_APPEND_SEND || sure || !p->accepted)
        return r;
    r = source_is_there(e, p, &copied);
    return r == WORKER_DONE && copied ? verdict(e, f, p, true, ret_uid, ret) : r;
}

/* The source of a move whose copy is confirmed goes; then the move is over. */
static enum worker_result finish_move(struct engine *e, const struct pending *p)
{
    struct mailbox source;
    struct uidset uids = {0};
    struct worker_outcome outcome = {0};
    struct worker_error error = {0};

    if (mailbox_get(cache_reader(e->cache), p->source, &source) == 0 && source.on_server) {
        struct worker_op op = {.verb = WORKER_EXPUNGE,
                               .mailbox = source.remote,
                               .uidvalidity = source.uidvalidity,
                               .uids = &uids};
        if (uidset_add(&uids, p->source_uid) < 0)
            return WORKER_LOCAL;
        enum worker_result r = e->worker->ops->apply(e->worker, &op, &outcome, &error);
        uidset_finish(&uids);
        if (r == WORKER_REFUSED)
            engine_fail_message(e, p->message, p->source, "move", &error);
        if (r != WORKER_DONE && r != WORKER_GONE)
            return r;
    }
    return drop_intent(e, p->message);
}

static bool still_at_source(struct engine *e, const struct pending *p)
{
    struct base_state base;
    return base_of_message(cache_reader(e->cache), p->message, &base) == 0 && base.mailbox == p->source &&
           base.uid == p->source_uid;
}

/* What was to be moved has left its place: to where, and what that means, the next look tells. But not one
 * after the other: a server may tell that something is gone, and list it. */
static void look_for_missed(struct engine *e)
{
    int64_t now_ms = clock_boot_ms(), next_ms = e->missed_at_ms + MISSED_EVERY_MS;
    if (e->missed_at_ms && now_ms < next_ms) {
        engine_look_again(e, next_ms - now_ms);
        return;
    }
    e->missed_at_ms = now_ms;
    engine_hint(e, HINT_FULL);
}

/* What was announced did not happen, and is done again: at once, unless the server said that it had done it.
 * One that says so each time would be sent the same mail for ever. */
static enum worker_result not_there(struct engine *e, const struct pending *p)
{
    struct worker_error error = {.text = "the server said that it has the message, and does not have it"};
    enum worker_result r = WORKER_DONE;
    bool lied = p->accepted;

    if (lied && p->kind != PENDING_MOVE) {
        int same = follow_same_there(e, p->message, p->mailbox);
        if (same)
            return same < 0 ? WORKER_LOCAL : WORKER_DONE;
    }
    log_info("row %lld: what was announced did not happen", (long long)p->message);
    if (lied && p->kind != PENDING_APPEND)
        r = source_is_there(e, p, &lied);
    if (r != WORKER_DONE)
        return r;
    if (lied)
        engine_fail_message(e, p->message, p->mailbox, p->kind == PENDING_APPEND ? "append" : "move", &error);
    else if (p->accepted && p->kind != PENDING_APPEND)
        look_for_missed(e);
    return drop_intent(e, p->message);
}

static enum worker_result settle_one(struct engine *e, struct found *f, const struct pending *p)
{
    enum brain_append_verdict v;
    uint32_t uid = 0;

    struct pending now;
    if (pending_of_message(cache_reader(e->cache), p->message, &now) < 0)
        return WORKER_DONE; /* settled by a repair of its mailbox */
    if (p->kind == PENDING_MOVE && !still_at_source(e, p))
        return finish_move(e, p);
    enum worker_result r = find_out(e, f, p, &uid, &v);
    if (r != WORKER_DONE)
        return r;
    if (v == BRAIN_APPEND_LOST) {
        /* The mailbox was numbered anew: pairing finds this row's message like any other one (case 70). */
        log_info("case 70: row %lld: its mailbox was numbered anew while it was sent", (long long)p->message);
        r = repair_mailbox(e, &f->box, false);
        bool open = pending_of_message(cache_reader(e->cache), p->message, &now) == 0;
        return r == WORKER_DONE && open && p->kind == PENDING_MOVE ? finish_move(e, p) : r;
    }
    if (v != BRAIN_APPEND_THERE)
        return not_there(e, p);
    flags_t flags = p->flags;
    for (size_t i = 0; i < f->scan.n; i++)
        if (f->scan.message[i].uid == uid) {
            flags = f->scan.message[i].flags;
            f->candidate[i].paired = true;
        }
    log_info("row %lld: what was announced had happened, as UID %u", (long long)p->message, uid);
    struct confirm c = {p->message, p->mailbox, uid, flags, p->kind == PENDING_MOVE};
    r = confirmed(e, &c);
    return r == WORKER_DONE && p->kind == PENDING_MOVE ? finish_move(e, p) : r;
}

struct collected {
    struct pending *row;
    size_t n;
};

static int collect(void *arg, const struct pending *p)
{
    struct collected *c = arg;
    struct pending *grown = reallocarray(c->row, c->n + 1, sizeof *grown);
    if (!grown)
        return -ENOMEM;
    c->row = grown;
    c->row[c->n++] = *p;
    return 0;
}

/* What the server has accepted comes first: of two rows with the same content it is the one that is there. */
static int by_mailbox(const void *a, const void *b)
{
    const struct pending *x = a, *y = b;
    if (x->mailbox != y->mailbox)
        return x->mailbox < y->mailbox ? -1 : 1;
    if (x->accepted != y->accepted)
        return x->accepted ? -1 : 1;
    return (x->uidnext > y->uidnext) - (x->uidnext < y->uidnext);
}

/* Of those in the same mailbox from row i on; never 0. */
static uint32_t lowest_uidnext(const struct collected *c, size_t i)
{
    int64_t mailbox = c->row[i].mailbox;
    uint32_t lowest = c->row[i].uidnext;
    for (; i < c->n && c->row[i].mailbox == mailbox; i++)
        lowest = c->row[i].uidnext < lowest ? c->row[i].uidnext : lowest;
    return lowest ? lowest : 1;
}

enum worker_result append_settle_all(struct engine *e)
{
    struct collected all = {0};
    enum worker_result r = WORKER_DONE;

    if (pending_each(cache_reader(e->cache), 0, collect, &all) < 0)
        r = WORKER_LOCAL;
    if (all.n)
        qsort(all.row, all.n, sizeof *all.row, by_mailbox);
    for (size_t i = 0; i < all.n && r == WORKER_DONE;) {
        struct found f;
        int64_t mailbox = all.row[i].mailbox;
        r = look(e, mailbox, lowest_uidnext(&all, i), &f);
        bool gone = r == WORKER_GONE, refused = r == WORKER_REFUSED;
        if (gone || refused)
            r = WORKER_DONE;
        /* Where the server does not let us look now, nothing is known, and the intents wait. */
        for (; i < all.n && all.row[i].mailbox == mailbox && r == WORKER_DONE; i++)
            if (!refused)
                r = gone ? drop_intent(e, all.row[i].message) : settle_one(e, &f, &all.row[i]);
        found_finish(&f);
        if (r == WORKER_REFUSED || r == WORKER_GONE)
            r = WORKER_DONE;
    }
    free(all.row);
    return r;
}

/* ---- sending ---- */

/* NUL needs another literal (case 62), which is announced before the first octet: the body is read once for
 * that. */
static int has_nul(struct engine *e, const struct message *m, bool *ret)
{
    struct body_reader *reader;
    char part[16384];
    ssize_t n;
    int r = body_reader_open(e->cache, m, &reader);
    if (r < 0)
        return r;
    *ret = false;
    while ((n = body_reader_read(reader, part, sizeof part)) > 0 && !*ret)
        *ret = memchr(part, 0, (size_t)n) != NULL;
    body_reader_close(reader);
    return n < 0 ? (int)n : 0;
}

/* What the mailbox can hold of the row's flags: that is sent, and that is agreed (case 32). What changes
 * while it is under way is a difference from that, and stored afterwards (case 36). */
static flags_t sent_flags(const struct message *m, const struct mailbox *box)
{
    return m->flags & (box->uidvalidity ? box->permanent : FLAGS_SYSTEM);
}

static enum worker_result send_body(struct engine *e, const struct message *m, const struct mailbox *box,
                                    struct worker_outcome *outcome, struct worker_error *error)
{
    struct body_reader *reader;
    bool nul;
    int r = has_nul(e, m, &nul);
    if (r == 0)
        r = body_reader_open(e->cache, m, &reader);
    if (r < 0) {
        error->err = r;
        return WORKER_LOCAL;
    }
    struct worker_op op = {.verb = WORKER_APPEND,
                           .mailbox = box->remote,
                           .add = sent_flags(m, box),
                           .size = m->wire_size,
                           .read = read_wire,
                           .read_arg = reader,
                           .date_s = m->date_s,
                           .zone_min = m->zone_min,
                           .nul = nul};
    enum worker_result result = e->worker->ops->apply(e->worker, &op, outcome, error);
    body_reader_close(reader);
    return result;
}

static int accept_intent(cache_tx *tx, void *arg)
{
    struct pending *p = arg;
    int r = pending_of_message(cache_tx_rd(tx), p->message, p);
    if (r < 0)
        return r == -ENOENT ? -ESTALE : r; /* as in confirm */
    p->accepted = true;
    return pending_put(tx, p);
}

/* It is there, but the server did not say as what, or nothing that can be believed. */
static enum worker_result look_for_one(struct engine *e, struct pending *p)
{
    struct found f;
    int written = cache_write(e->cache, CACHE_FROM_SERVER, CACHE_NOW, accept_intent, p);
    if (written < 0)
        return written == -ESTALE ? append_settle_all(e) : WORKER_LOCAL;
    enum worker_result r = look(e, p->mailbox, p->uidnext ? p->uidnext : 1, &f);
    if (r == WORKER_DONE)
        r = settle_one(e, &f, p);
    found_finish(&f);
    return r;
}

enum worker_result append_message(struct engine *e, const struct message *m, const struct mailbox *box)
{
    struct worker_outcome outcome = {0};
    struct worker_error error = {0};
    struct pending intent;

    if (pending_of_message(cache_reader(e->cache), m->id, &intent) < 0)
        return WORKER_DONE; /* replaced since it was announced: another row's business now */
    bool futile = quota_is_too_big(e, m->wire_size, &error) || quota_waits(e, box, m->wire_size, &error);
    enum worker_result r = futile ? WORKER_REFUSED : send_body(e, m, box, &outcome, &error);
    if (r == WORKER_DONE) {
        struct brain_append expected = {.uidvalidity = intent.uidvalidity, .uidnext = intent.uidnext};
        log_debug("case 2: row %lld appended to mailbox %lld", (long long)m->id, (long long)box->id);
        if (!brain_append_uid_credible(&expected, outcome.uidvalidity, outcome.uid))
            return look_for_one(e, &intent);
        struct confirm c = {m->id, box->id, outcome.uid, sent_flags(m, box), false};
        return confirmed(e, &c);
    }
    if (r == WORKER_UNKNOWN || r == WORKER_CANCELLED)
        return r; /* settled in the next session */
    if (r == WORKER_LOCAL && (error.err == -ENOENT || error.err == -ESTALE || error.err == -EIO))
        r = WORKER_REFUSED; /* this body cannot be read; others can (case 20) */
    if (r == WORKER_REFUSED && error.err == -EDQUOT && !futile)
        quota_is_full(e, box, m->wire_size);
    if (r == WORKER_REFUSED && !engine_try_create(e, &error))
        engine_fail_message(e, m->id, box->id, "append", &error);
    if (r != WORKER_BROKEN) {
        enum worker_result dropped = drop_intent(e, m->id);
        return dropped == WORKER_DONE ? r : dropped;
    }
    return r;
}
