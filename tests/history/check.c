/*
 * What must hold when nobody does anything any more (MERGE.md, "What must always hold"):
 *
 *   - it comes to rest within a few rounds, and then both sides are equal: the same mailboxes under the same
 * names, in them the same messages, each with one base that says what both show;
 *   - of every text there are as many messages as people have made, less those that people removed. More only
 * where no client could know better (the book's `more`), fewer only where people removed some, or filed the
 * same on both sides;
 *   - what one side alone did to a message has come about: its flags, its place, its removal.
 *
 * The last is judged where it is certain what it means: for a text of which one message was ever made, and
 * that can be told from all others.
 */
#include <stdio.h>
#include <string.h>
#include "world.h"

enum { QUIET_ROUNDS = 4 };

static void count_all(const struct world *w, unsigned count[TEXTS])
{
    memset(count, 0, TEXTS * sizeof *count);
    for (size_t i = 0; i < w->server.mails; i++)
        count[w->server.mail[i].text & ~ALTERED]++;
}

/* ---- both sides are equal ---- */

/* What the server accepted, and has under no text like ours, is what it made of it (case 63), if the
 * Message-ID agrees. */
static bool may_be_taken_for(const struct world *w, unsigned mine, unsigned other)
{
    const struct text *a = &w->text[mine & ~ALTERED], *b = &w->text[other & ~ALTERED];
    return a->message_id == b->message_id && (a->confused || w->features & FEATURE_ALTERS);
}

static void check_row(struct world *w, const struct row *r)
{
    const struct server_box *s = round_remote(w, r->box);
    const struct mail *m = s && r->has_base && r->base_box == r->box ? server_mail(w, s, r->base_uid) : NULL;

    if (!r->present)
        world_wrong(w, "text %u: removed here, and its base is left", r->text);
    else if (r->intent.set)
        world_wrong(w, "text %u: what became of its sending was not found out", r->text);
    else if (!m)
        world_wrong(w, "text %u is in the cache and not on the server", r->text);
    else if ((m->text & ~ALTERED) != (r->text & ~ALTERED) && !may_be_taken_for(w, r->text, m->text))
        world_wrong(w, "text %u here is text %u there", r->text, m->text);
    else if ((m->flags ^ r->flags) & s->can_store)
        world_wrong(w, "text %u: flags %x here, %x there", r->text, (unsigned)r->flags, (unsigned)m->flags);
    else if (r->base_flags != m->flags)
        world_wrong(w, "text %u: flags %x there, %x in the base", r->text, (unsigned)m->flags,
                    (unsigned)r->base_flags);
}

static void check_mail(struct world *w, const struct mail *m)
{
    unsigned rows = 0;
    for (size_t i = 0; i < w->cache.rows; i++) {
        const struct row *r = &w->cache.row[i];
        if (!r->id || !r->has_base || r->base_uid != m->uid)
            continue;
        const struct server_box *s = round_remote(w, r->base_box);
        rows += s && server_index(w, s) == m->box;
    }
    if (rows != 1)
        world_wrong(w, "text %u on the server is %u messages in the cache", m->text & ~ALTERED, rows);
}

static void check_boxes(struct world *w)
{
    for (size_t i = 0; i < BOXES; i++) {
        const struct cache_box *c = &w->cache.box[i];
        if (!c->id)
            continue;
        if (!c->present || !c->has_base || strcmp(c->name, c->base_name) != 0 || !server_find(w, c->name))
            world_wrong(w, "mailbox %s (%s) is not on both sides", c->name,
                        c->has_base ? c->base_name : "no base");
    }
    for (size_t i = 0; i < BOXES; i++)
        if (w->server.box[i].there && !cache_find_box(w, w->server.box[i].name))
            world_wrong(w, "mailbox %s is on the server only", w->server.box[i].name);
}

static void check_equal(struct world *w)
{
    check_boxes(w);
    for (size_t i = 0; i < w->cache.rows; i++)
        if (w->cache.row[i].id)
            check_row(w, &w->cache.row[i]);
    for (size_t i = 0; i < w->server.mails; i++)
        check_mail(w, &w->server.mail[i]);
}

/* ---- the book ---- */

static bool is_told_apart(const struct world *w, unsigned n)
{
    const struct text *t = &w->text[n];
    if (!t->message_id || t->made != 1 || t->count > 1 || t->more)
        return false;
    for (unsigned i = 0; i < w->texts; i++)
        if (i != n && w->text[i].message_id == t->message_id)
            return false;
    return true;
}

static void check_count(struct world *w, unsigned n, unsigned count, bool apart)
{
    const struct text *t = &w->text[n];
    unsigned most = t->count + t->here + t->there + t->more;
    unsigned least = t->count + (t->here > t->there ? t->here : t->there);

    unsigned may_be_gone =
        w->doubt ? 2 * t->gone : t->gone; /* one that looks like it, after a mailbox was numbered anew */
    if (t->here) /* a copy that waited here, and one that came from elsewhere: they are one */
        may_be_gone += w->doubt || t->here < t->moved_there ? t->here : t->moved_there;
    if (t->moved_here) /* a copy that a person made where we were moving it to: it may be taken for ours */
        may_be_gone += t->there < t->moved_here ? t->there : t->moved_here;
    least -= may_be_gone < least ? may_be_gone : least;
    /* Moved there, and not recognised: what was done to it here is done to what looks like another one. */
    if (!apart || w->lost)
        most += t->moved_there ? t->moved_there + t->moved_here : 0;
    if (w->lost)
        most += t->moved_here + t->removed + (w->features & FEATURE_ALTERS ? t->count + t->here : 0);
    /* A move of what the server has altered: it does not look like ours there, and is sent again, while the
     * source may still be there. */
    if (w->features & FEATURE_ALTERS)
        most += 2 * t->moved_here;
    if (w->doubt)
        most += t->moved_here + (w->features & FEATURE_ALTERS ? t->count + t->here + t->there : 0);
    if (count < least)
        world_wrong(w, "text %u: %u messages, and there should be %u", n, count, least);
    if (count > most)
        world_wrong(w, "text %u: %u messages, and there should not be more than %u", n, count, most);
    if (!count && !t->removed && t->made)
        world_wrong(w, "text %u is lost", n);
}

static const struct row *row_of(const struct world *w, unsigned text)
{
    for (size_t i = 0; i < w->cache.rows; i++)
        if (w->cache.row[i].id && (w->cache.row[i].text & ~ALTERED) == text)
            return &w->cache.row[i];
    return NULL;
}

static void check_flags(struct world *w, unsigned n, const struct row *r)
{
    const struct text *t = &w->text[n];
    flags_t certain = ~KEYWORD & ~(t->set & t->cleared);

    if (w->doubt)
        certain &= ~(FLAG_DELETED | t->cleared);
    flags_t expected = (t->flags | t->set) & ~t->cleared;
    if ((r->flags ^ expected) & certain)
        world_wrong(w, "text %u: flags %x, and they should be %x", n, (unsigned)r->flags, (unsigned)expected);
}

static void check_place(struct world *w, unsigned n, const struct row *r)
{
    const struct text *t = &w->text[n];
    const struct server_box *s = round_remote(w, r->box);

    /* A mailbox may have become one with another, of the same name (case 80). */
    if (!cache_box(w, t->moved_here ? t->target : t->box))
        return;
    if (t->moved_here && !t->moved_there && r->box != t->target)
        world_wrong(w, "text %u is not where it was moved to here", n);
    if (t->moved_there == 1 && !t->moved_here && s && server_index(w, s) != t->target_there)
        world_wrong(w, "text %u is not where it was moved to there", n);
    if (!t->moved_here && !t->moved_there && t->count && r->box != t->box)
        world_wrong(w, "text %u was moved by nobody", n);
}

static void check_text(struct world *w, unsigned n, unsigned count)
{
    const struct text *t = &w->text[n];
    bool apart = is_told_apart(w, n) && !(w->features & (FEATURE_LYING_SIZES | FEATURE_ALTERS));
    const struct row *r = row_of(w, n);

    check_count(w, n, count, apart);
    if (!apart || t->relaxed || w->lost)
        return;
    bool touched = t->set || t->moved_here || t->moved_there || (t->cleared & FLAG_DELETED);
    if (t->gone && !touched && !t->more && count)
        world_wrong(w, "text %u was removed, and is back", n);
    if (t->removed || !r || count != 1)
        return;
    check_flags(w, n, r);
    if (!w->doubt)
        check_place(w, n, r);
}

static void new_page(struct world *w, const unsigned count[TEXTS])
{
    for (unsigned n = 0; n < w->texts; n++) {
        struct text *t = &w->text[n];
        const struct row *r = row_of(w, n);
        t->here = t->there = t->gone = t->moved_here = t->moved_there = t->more = 0;
        t->set = t->cleared = 0;
        t->relaxed = t->soft = false;
        t->count = count[n];
        t->box = r ? r->box : 0;
        t->flags = r ? r->flags : 0;
    }
    w->doubt = w->lost = false;
}

void check_begin(struct world *w)
{
    unsigned count[TEXTS];
    count_all(w, count);
    new_page(w, count);
}

void check_quiet(struct world *w)
{
    unsigned count[TEXTS];
    int rounds = 0;

    w->cut_at = 0;
    w->hidden = 0;
    w->slow_bodies = w->kill = false;
    if (w->n_waiting)
        round_run(w);
    for (size_t i = 0; i < w->cache.rows; i++)
        w->cache.row[i].unsettled = 0;
    while (!w->wrong[0] && round_run(w))
        if (++rounds > QUIET_ROUNDS) {
            world_wrong(w, "it does not come to rest");
            break;
        }
    if (!w->wrong[0])
        check_equal(w);
    count_all(w, count);
    for (unsigned n = 0; n < w->texts && !w->wrong[0]; n++)
        check_text(w, n, count[n]);
    check_begin(w);
    cache_commit(w, NOW);
}

static bool is_on_server(const struct world *w, unsigned text)
{
    for (size_t i = 0; i < w->server.mails; i++)
        if ((w->server.mail[i].text & ~ALTERED) == (text & ~ALTERED))
            return true;
    return false;
}

/* At no time is a text nowhere, or an edit's old text gone before the new one is there, by whomever. */
void check_expunge(struct world *w, const struct mail *m, const struct row *r)
{
    const struct row *next = r ? cache_row(w, r->after) : NULL;

    if (!w->text[m->text & ~ALTERED].removed)
        world_wrong(w, "text %u is expunged, and nobody removed it", m->text);
    if (next && next->present && !next->has_base && !is_on_server(w, next->text))
        world_wrong(w, "text %u is expunged before text %u is there", m->text, next->text);
}
