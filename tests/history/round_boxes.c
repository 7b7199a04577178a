/*
 * The mailboxes: which of the server's is which of the cache's, the brain's plan for them, and carrying it
 * out. Deletions wait for the end of the round, when the mail has been seen to.
 */
#include <stdio.h>
#include <string.h>
#include "world.h"

enum { KEYS = 2 * BOXES };

struct merge {
    struct round *round;
    struct server_box listed[BOXES]; /* as LIST told */
    bool taken[BOXES];
    struct brain_box in[KEYS];
    int64_t box[KEYS]; /* of the cache, 0 none */
    int there[KEYS];   /* in listed, -1 none */
    bool confirmed[KEYS];
    size_t n;
};

/* ---- which is which? (as in sync/boxes_match.c) ---- */

static int find_listed(const struct merge *m, const char *name)
{
    for (int i = 0; i < BOXES; i++)
        if (m->listed[i].there && !m->taken[i] && strcmp(m->listed[i].name, name) == 0)
            return i;
    return -1;
}

static void take(struct merge *m, size_t i, int listed)
{
    m->there[i] = listed;
    if (listed >= 0)
        m->taken[listed] = true;
}

static void take_by_name(struct merge *m, size_t i)
{
    struct world *w = m->round->w;
    int listed = find_listed(m, cache_box(w, m->box[i])->name);
    for (size_t k = 0; k < BOXES && listed >= 0; k++)
        if (w->cache.box[k].id && w->cache.box[k].object == m->listed[listed].object)
            book_joined(w, (size_t)listed);
    take(m, i, listed);
}

static int find_object(const struct merge *m, int64_t object)
{
    for (int i = 0; i < BOXES; i++)
        if (m->listed[i].there && !m->taken[i] && m->listed[i].object == object)
            return i;
    return -1;
}

/* A rename that was sent, and whose answer was lost. */
static int find_renamed(struct merge *m, const struct cache_box *c)
{
    char *aside;
    bool named = c->present || !cache_find_box(m->round->w, c->name);
    int found = named ? find_listed(m, c->name) : -1;
    if (found < 0 && brain_box_temporary(c->base_name, '/', c->id, &m->round->arena, &aside) == 0)
        found = find_listed(m, aside);
    return found;
}

/* Is there one that was called so when it was last seen, and is still here, maybe under another name? */
static bool is_remote(const struct world *w, const char *name)
{
    for (size_t i = 0; i < BOXES; i++) {
        const struct cache_box *c = &w->cache.box[i];
        if (c->id && c->has_base && c->present && strcmp(c->remote, name) == 0)
            return true;
    }
    return false;
}

/* One of the same name with another id is taken for what was there before, and paired anew (cases 70 and 71).
 */
static void note_remote(struct world *w, struct cache_box *c, const struct server_box *s)
{
    if (!c->has_base || (strcmp(c->remote, s->name) == 0 && c->object == s->object))
        return;
    memcpy(c->remote, s->name, sizeof c->remote);
    c->object = s->object;
    cache_commit(w, SOON);
}

static void match(struct merge *m)
{
    struct world *w = m->round->w;
    for (int pass = 0; pass < 5; pass++)
        for (size_t i = 0; i < m->n; i++) {
            const struct cache_box *c = cache_box(w, m->box[i]);
            bool made_here = pass == 0 || pass == 4;
            if (m->there[i] >= 0 || c->has_base == made_here)
                continue;
            if (pass == 4 || (pass == 0 && !is_remote(w, c->name)))
                take_by_name(m, i);
            else if (pass == 1 && w->features & FEATURE_OBJECTS)
                take(m, i, find_object(m, c->object));
            else if (pass == 2)
                take(m, i, find_listed(m, c->remote));
            else if (pass == 3)
                take(m, i, find_renamed(m, c));
        }
}

/* ---- what the brain is told ---- */

static bool has_unsynced(struct world *w, int64_t box)
{
    for (size_t i = 0; i < w->cache.rows; i++) {
        const struct row *r = &w->cache.row[i];
        bool known = r->has_base && r->base_box == box;
        if (r->id && r->present && r->box == box && (!known || brain_wish_to_keep(r->base_flags, r->flags)))
            return true;
    }
    return false;
}

static bool has_news(struct world *w, int64_t box, size_t listed)
{
    for (size_t i = 0; i < w->server.mails; i++) {
        const struct mail *m = &w->server.mail[i];
        bool known = false;
        if (m->box != listed)
            continue;
        for (size_t k = 0; k < w->cache.rows; k++) {
            const struct row *r = &w->cache.row[k];
            known |= r->id && r->has_base && r->base_box == box && r->base_uid == m->uid;
        }
        if (!known)
            return true;
    }
    return false;
}

static void add_key(struct merge *m, int64_t box)
{
    m->box[m->n] = box;
    m->there[m->n++] = -1;
}

/* Asked for by STATUS, by name; and one of another id under that name is another one. */
static bool is_missing(const struct merge *m, const struct cache_box *c)
{
    struct world *w = m->round->w;
    const struct server_box *s = server_find(w, c->remote);

    for (int i = 0; i < BOXES; i++)
        if (w->server.box[i].there && !m->listed[i].there && w->server.box[i].object == c->object)
            return false;
    return !s || (w->features & FEATURE_OBJECTS && s->object != c->object);
}

static void fill(struct merge *m, size_t i)
{
    struct world *w = m->round->w;
    const struct cache_box *c = cache_box(w, m->box[i]);
    const struct server_box *s = m->there[i] >= 0 ? &m->listed[m->there[i]] : NULL;
    struct brain_box *b = &m->in[i];

    *b = (struct brain_box){.key = c ? c->id : 1000 + s->object};
    if (c && c->has_base)
        b->base = (struct brain_box_state){true, c->base_name, true};
    if (c && c->present)
        b->side[CACHE] = (struct brain_box_state){true, c->name, true};
    if (s)
        b->side[SERVER] = (struct brain_box_state){true, s->name, true};
    b->unsynced[CACHE] = c && has_unsynced(w, c->id);
    b->unsynced[SERVER] = s && has_news(w, c ? c->id : 0, (size_t)m->there[i]);
    b->keep = c == w->cache.box;
    m->confirmed[i] = s || !c || is_missing(m, c);
    if (!m->confirmed[i] && c && !c->present) /* LIST has lied, and nothing is concluded from that */
        b->side[SERVER] = (struct brain_box_state){true, c->remote, true};
}

/* Another one has its place, until the removal is through (as in sync/boxes.c). */
static bool waits_for_place(const struct world *w, const struct cache_box *c)
{
    for (size_t i = 0; i < BOXES && !c->has_base; i++) {
        const struct cache_box *other = &w->cache.box[i];
        if (other->id && other->has_base && !other->present && strcmp(other->remote, c->name) == 0)
            return true;
    }
    return false;
}

/* News came to a mailbox that was removed here, and its name was given away here: it stays, under the last
 * name that it had here, or with a suffix. */
static void unremove(struct merge *m, size_t i)
{
    struct world *w = m->round->w;
    struct cache_box *c = cache_box(w, m->box[i]);

    if (!c || c->present || m->there[i] < 0 || !has_news(w, c->id, (size_t)m->there[i]) ||
        !cache_find_box(w, m->listed[m->there[i]].name))
        return;
    cache_show_again(w, c);
}

static void collect(struct merge *m)
{
    struct world *w = m->round->w;
    memcpy(m->listed, w->server.box, sizeof m->listed);
    m->round->objects = w->server.objects;
    for (size_t i = 0; i < BOXES; i++) /* only one that is known: of others nobody can tell */
        if (w->cache.box[i].id && w->cache.box[i].object == m->listed[w->hidden % BOXES].object &&
            w->hidden % BOXES)
            m->listed[w->hidden % BOXES].there = false;
    for (size_t i = 0; i < BOXES; i++)
        if (w->cache.box[i].id && !waits_for_place(w, &w->cache.box[i]))
            add_key(m, w->cache.box[i].id);
    match(m);
    for (size_t i = 0; i < m->n; i++)
        unremove(m, i);
    for (int i = 0; i < BOXES; i++)
        if (m->listed[i].there && !m->taken[i]) {
            add_key(m, 0);
            m->there[m->n - 1] = i;
        }
    for (size_t i = 0; i < m->n; i++) {
        struct cache_box *c = cache_box(w, m->box[i]);
        if (c && m->there[i] >= 0)
            note_remote(w, c, &m->listed[m->there[i]]);
        fill(m, i);
    }
}

/* ---- carrying it out ---- */

static void agree(struct world *w, struct cache_box *c, const char *name, const struct server_box *s)
{
    if (!c)
        return;
    c->has_base = true;
    snprintf(c->base_name, sizeof c->base_name, "%s", name);
    if (s) {
        for (size_t i = 0; i < BOXES; i++) /* it is this one's now */
            if (w->cache.box[i].object == s->object)
                w->cache.box[i].object = 0;
        memcpy(c->remote, s->name, sizeof c->remote);
        c->object = s->object;
    }
    cache_commit(w, SOON);
}

static void create_here(struct merge *m, const struct brain_box_op *op)
{
    struct world *w = m->round->w;
    struct cache_box *c = cache_box(w, m->box[op->box]), *other = cache_find_box(w, op->name);
    char name[NAME];

    if (other && other != c)
        return; /* made here just now: they are one, says the next round */
    snprintf(name, sizeof name, "%s", op->name);
    c = c ? c : cache_new_box(w, name);
    if (!c)
        return;
    m->box[op->box] = c->id;
    c->present = true;
    memcpy(c->name, name, sizeof name);
    agree(w, c, name, m->there[op->box] >= 0 ? &m->listed[m->there[op->box]] : NULL);
}

/* What the plan counted on may have been refused (as in sync/boxes.c). */
static bool is_another_ones(struct merge *m, const struct brain_box_op *op)
{
    struct world *w = m->round->w;
    for (size_t i = 0; i < BOXES; i++) {
        const struct cache_box *c = &w->cache.box[i];
        if (c->id && c->id != m->box[op->box] && c->has_base && strcmp(c->base_name, op->name) == 0)
            return true;
    }
    return false;
}

static bool create_there(struct merge *m, const struct brain_box_op *op)
{
    struct world *w = m->round->w;
    if (is_another_ones(m, op))
        return true;
    enum cut cut = world_point(w);
    if (cut == CUT_BEFORE)
        return false;
    const struct server_box *s = server_create(w, op->name);
    if (cut != CUT_NOT)
        return false;
    if (s)
        agree(w, cache_box(w, m->box[op->box]), op->name, s);
    return true;
}

/* With all that is below it, here or there, and in the base. */
static bool rename_box(struct merge *m, const struct brain_box_op *op)
{
    struct world *w = m->round->w;
    enum cut cut = CUT_NOT;
    char base[NAME];

    if (op->side == SERVER) {
        if (is_another_ones(m, op))
            return true;
        cut = world_point(w);
        if (cut == CUT_BEFORE || !server_rename(w, op->from, op->name) || cut != CUT_NOT)
            return cut == CUT_NOT;
    }
    const struct cache_box *c = cache_box(w, m->box[op->box]);
    if (!c || (op->side == CACHE && (strcmp(c->name, op->from) != 0 || cache_find_box(w, op->name))))
        return true; /* renamed meanwhile */
    memcpy(base, c->base_name, sizeof base);
    for (size_t i = 0; i < BOXES; i++) {
        struct cache_box *other = &w->cache.box[i];
        if (other->id && other->present && op->side == CACHE)
            name_move(other->name, op->from, op->name);
        if (other->id && other->has_base && c->has_base)
            name_move(other->base_name, base, op->name);
        if (other->id && other->has_base && op->side == SERVER)
            name_move(other->remote, op->from, op->name);
    }
    cache_commit(w, NOW);
    return true;
}

static void forget_box(struct world *w, struct cache_box *c)
{
    if (c)
        c->id = 0;
    cache_commit(w, SOON);
}

static bool carry_out(struct merge *m, const struct brain_box_op *op)
{
    struct world *w = m->round->w;
    struct round *r = m->round;
    struct cache_box *c = cache_box(w, m->box[op->box]);

    switch (op->verb) {
    case BRAIN_BOX_CREATE:
        if (op->side == SERVER)
            return create_there(m, op);
        create_here(m, op);
        break;
    case BRAIN_BOX_RENAME:
        return rename_box(m, op);
    case BRAIN_BOX_DELETE:
        r->dying[r->n_dying] = m->box[op->box];
        r->death[r->n_dying++] = op;
        break;
    case BRAIN_BOX_AGREE:
        agree(w, c, op->name, m->there[op->box] >= 0 ? &m->listed[m->there[op->box]] : NULL);
        break;
    case BRAIN_BOX_FORGET:
        forget_box(w, c);
        break;
    case BRAIN_BOX_HOLD:
        r->unknown[r->unknowns++] = m->box[op->box];
        break;
    }
    return true;
}

static void note_absent(struct merge *m)
{
    struct world *w = m->round->w;
    for (size_t i = 0; i < m->n; i++) {
        const struct cache_box *c = cache_box(w, m->box[i]);
        if (m->there[i] < 0 && m->confirmed[i] && c && c->has_base && is_missing(m, c))
            m->round->absent[m->round->absents++] = c->id;
    }
}

bool round_boxes(struct round *r)
{
    struct world *w = r->w;
    struct merge m = {.round = r};
    struct brain_box_plan plan;

    if (world_point(w) != CUT_NOT)
        return false;
    collect(&m);
    if (brain_merge_boxes(m.in, m.n, '/', SERVER, m.confirmed, &r->arena, &plan) < 0) {
        world_wrong(w, "no memory");
        return false;
    }
    w->merges++;
    /* Names are copied: they lie in what changes. */
    for (size_t i = 0; i < plan.n; i++) {
        plan.op[i].name = plan.op[i].name ? arena_strdup(&r->arena, plan.op[i].name) : NULL;
        plan.op[i].from = plan.op[i].from ? arena_strdup(&r->arena, plan.op[i].from) : NULL;
    }
    for (size_t i = 0; i < plan.n; i++) {
        w->operations++;
        if (!carry_out(&m, &plan.op[i]))
            return false;
    }
    note_absent(&m);
    return true;
}

/* ---- deletions ---- */

/* Is something left that needs the mailbox, on that side? */
static bool is_needed(struct world *w, int64_t box, int side)
{
    for (size_t i = 0; i < w->cache.rows; i++) {
        const struct row *r = &w->cache.row[i];
        bool here = r->present && r->box == box;
        bool there = (r->has_base && r->base_box == box) || (r->intent.set && r->intent.box == box);
        if (r->id && (here || (side == SERVER && there)))
            return true;
    }
    return false;
}

static bool delete_box(struct world *w, int64_t box, const struct brain_box_op *op)
{
    int side = op->side;
    struct cache_box *c = cache_box(w, box);
    if (!c || is_needed(w, box, side) || (side == SERVER && c->present))
        return true;
    if (side == CACHE) {
        c->id = 0;
        cache_commit(w, SOON);
        return true;
    }
    enum cut cut = world_point(w);
    if (cut == CUT_BEFORE || cut == CUT_HALF)
        return false;
    struct server_box *s = server_find(w, op->from);
    bool same = s && s->uidvalidity == c->uidvalidity;
    for (size_t i = 0; i < w->server.mails; i++)
        same = same && &w->server.box[w->server.mail[i].box] != s; /* new mail: case 82 */
    if (same && !is_needed(w, box, side))
        server_delete(w, s);
    if (cut != CUT_NOT)
        return false;
    if (same)
        forget_box(w, c);
    return true;
}

bool round_delete_boxes(struct round *r)
{
    for (size_t i = 0; i < r->n_dying; i++)
        if (!delete_box(r->w, r->dying[i], r->death[i]))
            return false;
    return true;
}
