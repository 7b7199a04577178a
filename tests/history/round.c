/*
 * A caller of the brain: one round, in the order of the engine's (sync/round.c), but all state in one plan.
 *
 *   1. what was announced is settled            round_append.c
 *   2. the mailboxes are merged                 round_boxes.c
 *   3. all mailboxes are looked at              round_scan.c
 *   4. the messages are paired and merged       round_messages.c
 *   5. mailboxes that are empty now are deleted round_boxes.c
 *
 * What happens in the cache happens at once. Before each command to the server, others may act on either
 * side, and the line may break: then the round ends, and with `kill` the program too, which forgets what was
 * not on disk.
 */
#include <string.h>
#include "world.h"

enum cut world_point(struct world *w)
{
    w->point++;
    w->points++;
    for (size_t i = 0; i < w->n_waiting;) {
        struct act a = w->waiting[i];
        if (a.at > w->point) {
            i++;
            continue;
        }
        memmove(&w->waiting[i], &w->waiting[i + 1], (--w->n_waiting - i) * sizeof a);
        world_act(w, &a);
    }
    if (!w->cut_at || w->point != w->cut_at)
        return CUT_NOT;
    w->down = true;
    w->cuts++;
    return w->cut;
}

struct server_box *round_remote(struct world *w, int64_t box)
{
    const struct cache_box *c = cache_box(w, box);
    struct server_box *s = c && c->has_base ? server_find(w, c->remote) : NULL;
    return s && s->uidvalidity == c->uidvalidity ? s : NULL;
}

static void tidy_rows(struct world *w)
{
    for (size_t i = ROWS; i-- > 0;) {
        struct row *r = &w->cache.row[i];
        if (!r->id)
            continue;
        r->unsettled -= r->unsettled > 0;
        if (!r->present && !r->has_base && !r->intent.set)
            cache_free_row(w, r);
    }
}

static void end_round(struct world *w)
{
    /* What was to happen at a step that did not come happens now. */
    while (w->n_waiting) {
        struct act a = w->waiting[0];
        memmove(&w->waiting[0], &w->waiting[1], --w->n_waiting * sizeof a);
        world_act(w, &a);
    }
    if (w->down && w->kill)
        cache_power_fails(w);
    w->cut_at = 0;
    w->kill = w->slow_bodies = false;
    w->hidden = 0;
}

bool round_run(struct world *w)
{
    struct round r = {.w = w};
    w->point = 0;
    w->down = false;
    w->rounds++;
    unsigned changes = w->changes, version = w->server.version;
    (void)(round_settle(&r) && round_boxes(&r) && round_scan(&r) && round_messages(&r) &&
           round_delete_boxes(&r)); /* a line that breaks is no failure */
    tidy_rows(w);
    arena_finish(&r.arena);
    end_round(w);
    return w->changes != changes || w->server.version != version;
}
