/*
 * Looking at the server: all mailboxes, again while somebody changes them; and pairing one anew whose
 * UIDVALIDITY changed (case 70).
 */
#include <string.h>
#include "world.h"

bool round_knows(const struct round *r, int64_t box)
{
    for (size_t i = 0; i < r->unknowns; i++)
        if (r->unknown[i] == box)
            return false;
    return true;
}

bool round_misses(const struct round *r, int64_t box)
{
    for (size_t i = 0; i < r->absents; i++)
        if (r->absent[i] == box)
            return true;
    return false;
}

static struct brain_identity identity_of(const struct world *w, int64_t key, unsigned text, int64_t size)
{
    const struct text *t = &w->text[text & ~ALTERED];
    return (struct brain_identity){
        .key = key, .message_id = t->message_id, .date_s = t->date_s, .size = size};
}

/* What had an address here gets its new one, or none; the next merge sees which are gone. */
void round_renumber(struct round *r, struct cache_box *c, const struct server_box *s)
{
    struct world *w = r->w;
    struct brain_identity left[ROWS], right[MAILS];
    struct brain_pair *pair;
    size_t n_left = 0, n_right = 0, n = 0;

    for (size_t i = 0; i < w->cache.rows; i++) {
        struct row *row = &w->cache.row[i];
        if (!row->id || !row->has_base || row->base_box != c->id)
            continue;
        left[n_left++] = identity_of(w, (int64_t)i, row->text, server_size(w, row->text));
        row->base_uid = 0;
    }
    for (size_t i = 0; i < w->server.mails; i++)
        if (&w->server.box[w->server.mail[i].box] == s)
            right[n_right++] =
                identity_of(w, (int64_t)i, w->server.mail[i].text, server_size(w, w->server.mail[i].text));
    if (brain_pair_messages(left, n_left, right, n_right, 70, &r->arena, &pair, &n) < 0)
        world_wrong(w, "no memory");
    for (size_t i = 0; i < n; i++) {
        struct row *row = &w->cache.row[left[pair[i].left].key];
        const struct mail *m = &w->server.mail[right[pair[i].right].key];
        if ((m->text & ~ALTERED) == (row->text & ~ALTERED)) /* compared, as `verify` asks */
            row->base_uid = m->uid;
    }
    r->frozen = true;
    c->uidvalidity = s->uidvalidity;
    c->uidnext = s->uidnext;
    cache_commit(w, NOW);
}

static void see(struct round *r, struct cache_box *c, const struct server_box *s)
{
    struct world *w = r->w;
    if (c->uidvalidity && c->uidvalidity != s->uidvalidity)
        round_renumber(r, c, s);
    if (c->uidvalidity != s->uidvalidity)
        cache_commit(w, SOON);
    c->uidvalidity = s->uidvalidity;
    c->uidnext = s->uidnext;
    c->can_store = s->can_store;
    for (size_t i = 0; i < w->server.mails; i++)
        if (&w->server.box[w->server.mail[i].box] == s)
            r->seen[r->n++] =
                (struct seen){.box = c->id, .uidvalidity = s->uidvalidity, .mail = w->server.mail[i]};
}

/* What round_boxes.c says is unknown stays so. */
static bool scan_once(struct round *r, size_t unknowns)
{
    struct world *w = r->w;
    r->n = 0;
    r->unknowns = unknowns;
    for (size_t i = 0; i < BOXES; i++) {
        struct cache_box *c = &w->cache.box[i];
        if (!c->id || !c->has_base || !round_knows(r, c->id) || round_misses(r, c->id))
            continue;
        if (world_point(w) != CUT_NOT)
            return false;
        const struct server_box *s = server_find(w, c->remote);
        bool same = s && (!(w->features & FEATURE_OBJECTS) || s->object == c->object);
        if (c->id && c->has_base && same)
            see(r, c, s);
        else if (c->id)
            r->unknown[r->unknowns++] = c->id;
    }
    return true;
}

/* LIST once more: is there a mailbox that was made after the first one? */
static bool sees_all(const struct round *r)
{
    const struct world *w = r->w;
    for (size_t i = 0; i < BOXES; i++) {
        bool known = !w->server.box[i].there || w->server.box[i].object <= r->objects;
        for (size_t k = 0; k < BOXES && !known; k++)
            known = w->cache.box[k].id && w->cache.box[k].object == w->server.box[i].object;
        if (!known)
            return false;
    }
    return true;
}

bool round_scan(struct round *r)
{
    struct world *w = r->w;
    size_t unknowns = r->unknowns;

    for (int pass = 0; pass < 4 && !r->complete; pass++) {
        unsigned version = w->server.version;
        if (!scan_once(r, unknowns))
            return false;
        r->complete = version == w->server.version;
    }
    r->complete = r->complete && r->unknowns == 0 && sees_all(r);
    return true;
}
