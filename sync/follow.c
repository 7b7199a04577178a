/*
 * Mail that another client files: recognised, so that it keeps its row, and with it inode, name and body
 * (case 43).
 *
 * A move on the server looks like a removal here and an arrival there, seen in either order, for mailboxes
 * are scanned one after the other. It is the same message when Message-ID, size and INTERNALDATE agree and no
 * other row answers to them with another text:
 *
 *   removal first   its row is GONE, without a base and with nothing left to send. The arrival brings it back
 * in its new place. arrival first   a second row was made. When the removal is seen, the first row takes the
 * place and the address of the second one, which is forgotten.
 *
 * If the row had been moved here too, meanwhile, the server's place wins (case 44), and the same place is no
 * conflict (case 45). Such a row, and one that was flagged here (case 11), then waits to be appended as a
 * copy does that a person made; a person's copy stays where it was put. So the rows that lost their address
 * are remembered until all mailboxes were looked at (cache/orphan.h).
 *
 * Two texts of one message may agree in all three: an edit keeps Message-ID and date, and often the size. So
 * within one mailbox, where nothing moves but edits are common (unless it was filed elsewhere here
 * meanwhile), and when another text that is alike is known, or has not been read yet, the arrival is
 * downloaded.
 *
 * A message that waits to be appended may have come into its mailbox from elsewhere, as a server's own copy
 * of what a program filed (case 22): when the content is the same, octet for octet, it is that one.
 *
 * A server may keep one message of each content: what it took then is what it had, and one row with us, too
 * (case 64).
 *
 * A message that was edited here is two rows until the server has the new text: what other clients mark the
 * old one with meanwhile, the new one is marked with (case 14). It may have been edited on the server too, by
 * a client that replaced it: then both texts are kept, and ours gets the keyword $SyncConflict (case 15).
 */
#include <errno.h>
#include <string.h>
#include "log.h"
#include "orphan.h"
#include "private.h"

struct look {
    cache_rd *rd;
    const struct message *like; /* the row that a partner is looked for, or what is known of an arrival */
    int64_t mailbox;            /* of an arrival or a departure: the other end of the move is elsewhere */
    struct message text;        /* a row that is alike, and has been read */
    bool doubt;                 /* another one is alike too, with another text */
    struct message found;
    unsigned n;
};

static bool alike(const struct message *a, const struct message *b)
{
    return a->id != b->id && a->wire_size == b->wire_size && a->date_s == b->date_s && a->date_s;
}

/* Whether all rows that are alike, in any state, have one text. */
static void compare_texts(struct look *l, const struct message *m)
{
    if (!alike(m, l->like))
        return;
    if (!m->has_hash)
        l->doubt = l->doubt || m->id < l->like->id || !l->like->id;
    else if (l->text.has_hash)
        l->doubt = l->doubt || memcmp(m->hash, l->text.hash, sizeof m->hash) != 0;
    else
        l->text = *m;
}

static bool has_address(cache_rd *rd, int64_t id)
{
    struct base_state base;
    struct pending pending;
    return base_of_message(rd, id, &base) == 0 || pending_of_message(rd, id, &pending) == 0;
}

static int take_if(struct look *l, const struct message *m, bool fits)
{
    if (!fits)
        return 0;
    l->found = *m;
    return ++l->n > 1; /* two are no sign */
}

int follow_orphan(struct engine *e, cache_tx *tx, const struct message *m)
{
    if (m->state != MESSAGE_PRESENT)
        return 0;
    e->saw_orphans = true;
    return orphan_put(tx, m->id);
}

/* Was this row's message removed from another place? */
static int is_departed(void *arg, const struct message *m)
{
    struct look *l = arg;
    bool gone = m->state == MESSAGE_GONE && !m->dirty && !m->after;
    bool shown = m->state == MESSAGE_PRESENT && cache_worker_is_mail(m);
    bool orphan = shown && (orphan_has(l->rd, m->id) || brake_holds(l->rd, m->id));
    bool departed = (gone || orphan) && !has_address(l->rd, m->id);
    /* And so is what was in a mailbox that is missing: where it was is no address any more. */
    departed = departed || (shown && brake_holds_mailbox(l->rd, m->mailbox));
    departed = departed && (m->state != MESSAGE_GONE || m->mailbox != l->mailbox);
    departed = departed && alike(m, l->like);
    /* What has no text here cannot be given another one's: its place is all that is at stake. */
    bool bare = departed && !m->has_hash;
    if (!bare)
        compare_texts(l, m);
    return take_if(l, m, departed);
}

int follow_arrival(cache_tx *tx, int64_t mailbox, const struct cache_worker_news *news, struct message *ret)
{
    struct message like = {.wire_size = news->size, .date_s = news->date_s};
    struct look l = {.rd = cache_tx_rd(tx), .like = &like, .mailbox = mailbox};

    if (!news->message_id)
        return 0;
    int r = message_each_by_message_id(l.rd, news->message_id, is_departed, &l);
    if (r < 0 || l.n != 1 || l.doubt)
        return r < 0 ? r : 0;
    /* One that waits to be sent to this very mailbox is compared by content before it is believed: see
     * find_pairs. */
    if (l.found.state == MESSAGE_PRESENT && l.found.mailbox == mailbox && !brake_holds(l.rd, l.found.id))
        return 0;
    log_info("case 43: row %lld is in mailbox %lld now", (long long)l.found.id, (long long)mailbox);
    /* What was marked here meanwhile stays marked; what it was before is not known any more. */
    flags_t flags = news->flags;
    if (l.found.state == MESSAGE_PRESENT)
        flags = ((flags | l.found.flags) & ~FLAG_DELETED) | (flags & l.found.flags);
    l.found.state = MESSAGE_PRESENT;
    l.found.mailbox = mailbox;
    if (l.found.sub == SUB_TMP)
        l.found.sub = SUB_CUR;
    l.found.gone_at = 0;
    r = message_put(tx, &l.found);
    if (r == 0)
        r = message_set_flags(tx, &l.found, flags);
    if (r < 0)
        return r;
    *ret = l.found;
    return 1;
}

/* Is this row, which came from the server and was left alone since, the one that a departed message has
 * become? */
static int is_arrived(void *arg, const struct message *m)
{
    struct look *l = arg;
    struct base_state base;
    bool fits = m->state <= MESSAGE_PRESENT && !m->dirty && !m->changed_ms && alike(m, l->like) &&
                base_of_message(l->rd, m->id, &base) == 0 && m->id > l->like->id &&
                (base.mailbox != l->mailbox || m->has_hash || l->like->mailbox != l->mailbox);
    compare_texts(l, m);
    return take_if(l, m, fits);
}

/* Row m takes over the address and the place of row `other`, which is forgotten. */
static int take_over(cache_tx *tx, struct message *m, const struct message *other, flags_t base_flags,
                     bool has_base)
{
    struct base_state address;
    int r = base_of_message(cache_tx_rd(tx), other->id, &address);
    flags_t merged = has_base ? flags_merge(base_flags, m->flags, address.flags)
                              : ((m->flags | address.flags) & ~FLAG_DELETED) | (m->flags & address.flags);
    if (r == 0)
        r = base_forget(tx, other->id);
    if (r == 0)
        r = message_forget(tx, other->id);
    if (r < 0)
        return r;
    m->mailbox = other->mailbox;
    r = message_put(tx, m);
    if (r == 0)
        r = message_set_flags(tx, m, merged);
    address.message = m->id;
    return r < 0 ? r : cache_worker_agree(tx, m->id, &address);
}

int follow_departure(cache_tx *tx, struct message *m, const struct base_state *base)
{
    struct look l = {.rd = cache_tx_rd(tx), .like = m, .mailbox = base->mailbox, .text = *m};

    if (m->state != MESSAGE_PRESENT || !m->message_id || !cache_worker_is_mail(m))
        return 0;
    int r = message_each_by_message_id(l.rd, m->message_id, is_arrived, &l);
    if (r < 0 || l.n != 1 || l.doubt)
        return r < 0 ? r : 0;
    log_info("case %d: row %lld is in mailbox %lld now", m->mailbox == base->mailbox ? 43 : 44,
             (long long)m->id, (long long)l.found.mailbox);
    r = take_over(tx, m, &l.found, base->flags, true);
    return r < 0 ? r : 1;
}

/* Came from the server into the same mailbox after this row was made here? */
static int is_twin(void *arg, const struct message *m)
{
    struct look *l = arg;
    struct base_state base;
    bool content = !l->like->has_hash ? alike(m, l->like)
                   : m->has_hash      ? memcmp(m->hash, l->like->hash, sizeof m->hash) == 0
                                      : m->wire_size == l->like->wire_size;
    bool fits = m->id > l->like->id && m->mailbox == l->like->mailbox && m->state <= MESSAGE_PRESENT &&
                !m->dirty && !m->changed_ms && content && base_of_message(l->rd, m->id, &base) == 0;
    return take_if(l, m, fits);
}

static int merge_twin(cache_tx *tx, void *arg)
{
    struct message m;
    struct look l = {.rd = cache_tx_rd(tx), .like = &m};
    int r = message_get(l.rd, *(int64_t *)arg, &m);
    if (r == 0 && (m.state != MESSAGE_PRESENT || has_address(l.rd, m.id)))
        return 0;
    if (r == 0)
        r = message_each_by_message_id(l.rd, m.message_id, is_twin, &l);
    if (r < 0 || l.n == 0 || l.found.state != MESSAGE_PRESENT || (m.has_hash && !l.found.has_hash))
        return r < 0 ? r : 0;
    log_info("case 22: row %lld is what came as row %lld", (long long)m.id, (long long)l.found.id);
    return take_over(tx, &m, &l.found, 0, false);
}

bool follow_twin(struct engine *e, const struct message *m)
{
    struct look l = {.rd = cache_reader(e->cache), .like = m};
    int64_t id = m->id;

    if (!m->message_id || message_each_by_message_id(l.rd, m->message_id, is_twin, &l) < 0 || l.n == 0)
        return false;
    if (message_is_bare(&l.found) && m->has_hash)
        engine_want(e, l.found.id);
    else if (l.found.state == MESSAGE_PRESENT &&
             cache_write(e->cache, CACHE_FROM_SERVER, CACHE_SOON, merge_twin, &id) < 0)
        log_warning("row %lld could not be paired", (long long)id);
    return true; /* merged, or to be compared when the other body is here */
}

/* ---- a server that keeps one of each (case 64) ---- */

/* The same text in the same mailbox, with an address. */
static int is_same_there(void *arg, const struct message *m)
{
    struct look *l = arg;
    struct base_state base;
    bool same = m->id != l->like->id && m->state == MESSAGE_PRESENT && m->has_hash &&
                memcmp(m->hash, l->like->hash, sizeof m->hash) == 0 && m->mailbox == l->like->mailbox &&
                base_of_message(l->rd, m->id, &base) == 0 && base.mailbox == l->mailbox;
    if (same && !l->n++)
        l->found = *m;
    return 0;
}

struct copy_of {
    int64_t id, mailbox;
    bool is;
};

static int merge_copy(cache_tx *tx, void *arg)
{
    struct copy_of *c = arg;
    struct message m;
    struct base_state base;
    struct look l = {.rd = cache_tx_rd(tx), .like = &m, .mailbox = c->mailbox};
    int r = message_get(l.rd, c->id, &m);
    if (r < 0 || m.state != MESSAGE_PRESENT || !m.has_hash || base_of_message(l.rd, m.id, &base) == 0)
        return r == -ENOENT ? 0 : r;
    r = m.message_id ? message_each_by_message_id(l.rd, m.message_id, is_same_there, &l) : 0;
    if (r < 0 || !l.n)
        return r;
    log_info("case 64: row %lld is stored as row %lld, which was there before", (long long)m.id,
             (long long)l.found.id);
    c->is = true;
    r = message_set_flags(tx, &l.found, l.found.flags | (m.flags & ~FLAG_DELETED));
    if (r == 0)
        r = base_of_message(l.rd, l.found.id, &base);
    if (r == 0)
        r = cache_worker_agree(tx, l.found.id, &base); /* dirty, if that changed its flags */
    return r == 0 ? message_forget(tx, m.id) : r;
}

int follow_same_there(struct engine *e, int64_t message, int64_t mailbox)
{
    struct copy_of c = {.id = message, .mailbox = mailbox};
    int r = cache_write(e->cache, CACHE_FROM_SERVER, CACHE_NOW, merge_copy, &c);
    return r < 0 ? r : c.is;
}

/* ---- edits, and what was done to the old text meanwhile (cases 14 and 15) ---- */

int follow_successor(cache_tx *tx, const struct message *m, const struct base_state *base, flags_t there)
{
    struct message heir;
    struct base_state address;

    if (m->state != MESSAGE_GONE || !m->after || message_get(cache_tx_rd(tx), m->after, &heir) < 0 ||
        heir.state == MESSAGE_GONE)
        return 0;
    /* Whoever deletes the old text does not mean the new one (case 13). */
    flags_t merged = flags_merge(base->flags, heir.flags, there);
    merged = (merged & ~FLAG_DELETED) | (heir.flags & merged & FLAG_DELETED);
    log_info("case 14: row %lld gets the flags of row %lld, which it replaces", (long long)heir.id,
             (long long)m->id);
    int r = message_set_flags(tx, &heir, merged);
    if (r == 0 && base_of_message(cache_tx_rd(tx), heir.id, &address) == 0)
        r = cache_worker_agree(tx, heir.id, &address); /* dirty: sent already, as it was */
    address = *base;
    address.flags = there;
    if (r == 0)
        r = cache_worker_agree(tx, m->id, &address);
    return r < 0 ? r : 1;
}

struct edits {
    cache_rd *rd;
    const struct message *mine;
    bool buried,
        other; /* the text before it, which the server has no more; another one that it has instead */
};

static int look_for_edits(void *arg, const struct message *m)
{
    struct edits *x = arg;
    struct base_state base;
    bool there = base_of_message(x->rd, m->id, &base) == 0;
    x->buried = x->buried || (m->state == MESSAGE_GONE && m->after == x->mine->id && !there);
    x->other = x->other || (m->id != x->mine->id && m->state <= MESSAGE_PRESENT && there &&
                            base.mailbox == x->mine->mailbox &&
                            !(m->has_hash && memcmp(m->hash, x->mine->hash, sizeof m->hash) == 0));
    return x->buried && x->other;
}

struct mark {
    int64_t id;
    flags_t keyword;
};

static int mark_conflict(cache_tx *tx, void *arg)
{
    const struct mark *mark = arg;
    struct message m;
    int r = message_get(cache_tx_rd(tx), mark->id, &m);
    if (r < 0 || m.state != MESSAGE_PRESENT)
        return 0;
    return message_set_flags(tx, &m, m.flags | mark->keyword);
}

bool follow_conflict(struct engine *e, struct message *m)
{
    struct edits x = {.rd = cache_reader(e->cache), .mine = m};
    int bit = keywords_bit(cache_keywords(e->cache), "$SyncConflict");
    if (bit < 0 || !m->message_id || m->flags & (flags_t)1 << bit)
        return false;
    if (message_each_by_message_id(x.rd, m->message_id, look_for_edits, &x) < 0 || !x.buried || !x.other)
        return false;
    struct mark mark = {m->id, (flags_t)1 << bit};
    log_info("case 15: row %lld was edited on both sides: both are kept", (long long)m->id);
    return cache_write(e->cache, CACHE_FROM_SERVER, CACHE_SOON, mark_conflict, &mark) == 0;
}
