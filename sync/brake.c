/*
 * The brake (case 75): removals that look like an accident wait for a person.
 *
 * How much is too much is the brain's to say; here it is counted, by mailbox and side, over a minute from the
 * first removal on.
 *
 *   On the way to the server (push.c) the rows of what was removed here stay as they are, differing from
 * their base, and join a hold: they are not sent until it is approved.
 *
 *   On the way here (pull.c) the mail stays in view. Its base goes, for the server has it no more, and its
 * row joins a hold, which keeps it from being sent as new. It is only *watched* at first, for what has left
 * one mailbox may be found in another one that is scanned later (case 43). When all have been looked at,
 * brake_review counts what is left: perhaps too little to ask for, and then it goes at once.
 *
 *   A mailbox that is missing from the list, and is not there when asked for by name, is held as a whole if
 * it has as much mail as would be asked for when it was emptied. That is watched at first, too: it may have
 * been renamed, and its mail is then found in a new mailbox.
 *
 * Deciding is done by hold.c, for people, in the cache: the engine finds the result.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "hold.h"
#include "log.h"
#include "private.h"

#define WINDOW_MS 60000

struct brake_window {
    int64_t mailbox, since_ms;
    int side;
    uint64_t removed;
};

static struct brake_window *find_window(struct engine *e, int64_t mailbox, int side)
{
    for (size_t i = 0; i < e->windows; i++) {
        struct brake_window *w = &e->window[i];
        if (w->mailbox == mailbox && w->side == side && clock_boot_ms() - w->since_ms < WINDOW_MS)
            return w;
    }
    return NULL;
}

bool brake_passes(struct engine *e, const struct mailbox *box, int side, uint64_t removals, uint64_t there)
{
    const struct config_brake *brake = &e->account->brake;
    const struct brake_window *w = find_window(e, box->id, side);
    uint64_t before = w ? w->removed : 0;
    bool exempt = box->attributes & (MAILBOX_TRASH | MAILBOX_JUNK);
    return removals == 0 || brain_brake_passes(before + removals, before + there, brake->percent,
                                               brake->count, exempt, brake->off);
}

/* A window that is over makes room for the next one. */
static struct brake_window *new_window(struct engine *e)
{
    for (size_t i = 0; i < e->windows; i++)
        if (clock_boot_ms() - e->window[i].since_ms >= WINDOW_MS)
            return &e->window[i];
    struct brake_window *grown = reallocarray(e->window, e->windows + 1, sizeof *grown);
    if (!grown)
        return NULL;
    e->window = grown;
    return &e->window[e->windows++];
}

void brake_count(struct engine *e, int64_t mailbox, int side, uint64_t removals)
{
    struct brake_window *w = find_window(e, mailbox, side);
    if (!w && removals) {
        w = new_window(e);
        if (w)
            *w = (struct brake_window){.mailbox = mailbox, .side = side, .since_ms = clock_boot_ms()};
    }
    if (w)
        w->removed += removals;
}

bool brake_holds(cache_rd *rd, int64_t message)
{
    struct held h;
    return held_of_message(rd, message, &h) == 0 && h.state != HELD_APPROVED;
}

bool brake_holds_mailbox(cache_rd *rd, int64_t mailbox)
{
    struct held h;
    return held_of_mailbox(rd, mailbox, &h) == 0 && h.state != HELD_APPROVED;
}

/* ---- a mailbox ---- */

static int hold_mailbox(cache_tx *tx, void *arg)
{
    return held_add_mailbox(tx, *(int64_t *)arg);
}

int brake_mailbox_may_go(struct engine *e, int64_t mailbox)
{
    cache_rd *rd = cache_reader(e->cache);
    struct mailbox box;
    struct held h;
    struct mailbox_counts counts;
    int r = mailbox_get(rd, mailbox, &box);
    if (r < 0)
        return r;
    if (held_of_mailbox(rd, mailbox, &h) == 0)
        return h.state == HELD_APPROVED;
    r = mailbox_count(rd, mailbox, &counts);
    if (r < 0 || brake_passes(e, &box, HELD_HERE, counts.messages, counts.messages))
        return r < 0 ? r : 1;
    r = cache_write(e->cache, CACHE_FROM_SERVER, CACHE_NOW, hold_mailbox, &mailbox);
    return r < 0 ? r : 0;
}

static int forget_mailbox_hold(cache_tx *tx, void *arg)
{
    struct held h;
    int r = held_of_mailbox(cache_tx_rd(tx), *(int64_t *)arg, &h);
    return r < 0 ? (r == -ENOENT ? 0 : r) : held_forget(tx, h.id);
}

int brake_mailbox_is_back(struct engine *e, int64_t mailbox)
{
    struct held h;
    if (held_of_mailbox(cache_reader(e->cache), mailbox, &h) < 0)
        return 0;
    log_info("case 75: mailbox %lld is there again", (long long)mailbox);
    return cache_write(e->cache, CACHE_FROM_SERVER, CACHE_NOW, forget_mailbox_hold, &mailbox);
}

/* ---- reviewing what was watched ---- */

struct watched {
    struct held hold[64];
    size_t n;
};

static int collect_watched(void *arg, const struct held *h)
{
    struct watched *w = arg;
    if (h->side == HELD_HERE && h->state == HELD_WATCHED)
        w->hold[w->n++] = *h;
    return w->n == sizeof w->hold / sizeof *w->hold;
}

static int ask(cache_tx *tx, void *arg)
{
    int r = held_set_state(tx, ((struct held *)arg)->id, HELD_ASKS);
    return r == -ENOENT ? 0 : r;
}

static int approve_mailbox(struct engine *e, const struct held *h)
{
    engine_hint(e, HINT_BOXES); /* the next merge of the tree removes it */
    return hold_approve(e->cache, h->id);
}

static int review_one(struct engine *e, struct held *h)
{
    cache_rd *rd = cache_reader(e->cache);
    struct mailbox box;
    struct mailbox_counts left = {.messages = h->messages};
    int r = mailbox_get(rd, h->mailbox, &box);
    if (r == 0 && h->whole)
        r = mailbox_count(rd, h->mailbox, &left);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    uint64_t there = left.messages + (h->whole ? 0 : base_count(rd, h->mailbox));
    if (brake_passes(e, &box, HELD_HERE, left.messages, there)) {
        brake_count(e, h->mailbox, HELD_HERE, left.messages);
        return h->whole ? approve_mailbox(e, h) : hold_approve(e->cache, h->id);
    }
    log_warning("case 75: %llu messages of mailbox %lld are gone on the server%s: held (mailmount held)",
                (unsigned long long)left.messages, (long long)h->mailbox,
                h->whole ? ", and it is itself" : "");
    return cache_write(e->cache, CACHE_FROM_SERVER, CACHE_NOW, ask, h);
}

int brake_review(struct engine *e)
{
    struct watched w;
    int r;
    do {
        w.n = 0;
        r = held_each(cache_reader(e->cache), collect_watched, &w);
        for (size_t i = 0; i < w.n && r >= 0; i++)
            r = review_one(e, &w.hold[i]);
    } while (r >= 0 && w.n == sizeof w.hold / sizeof *w.hold);
    return r < 0 ? r : 0;
}
