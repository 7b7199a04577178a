/* Two people without a plan: they deliver, mark, move, edit and remove mail (chance.h). */
#include "chance.h"

enum { BOXES = 3, STEPS = 12, ACTIONS = 9, SEEDS = 6 };

static const char *const box_name[BOXES] = {"INBOX", "Archive", "Lists/work"};
static const char other_name[] = "Lists/play"; /* of the last one, when it was renamed */
static bool renumbers;                         /* UIDVALIDITY changes now and then */

/* A mailbox by the name that it has there, or here. */
static const char *any_box(struct chance *w, bool here)
{
    unsigned i = chance_roll(w, BOXES);
    if (i < BOXES - 1)
        return box_name[i];
    bool renamed = here ? file_has_box(&w->r, other_name) : model_has_box(w->r.model, other_name);
    return renamed ? other_name : box_name[i];
}

static flags_t any_flags(struct chance *w)
{
    return (flags_t)chance_roll(w, 8) & (FLAG_SEEN | FLAG_ANSWERED | FLAG_FLAGGED);
}

/* ---- the one on the server ---- */

struct pick {
    struct chance *w;
    unsigned seen;
    uint32_t uid;
    unsigned number;
};

static void pick_one(void *arg, const struct model_view *v)
{
    struct pick *p = arg;
    if (chance_roll(p->w, ++p->seen) == 0) {
        p->uid = v->uid;
        p->number = chance_number_of(v->wire);
    }
}

static void act_there(struct chance *w)
{
    struct model *m = w->r.model;
    const char *box = any_box(w, false);
    struct pick p = {.w = w};
    unsigned what = chance_roll(w, renumbers ? 12 : 11);
    model_each(m, box, pick_one, &p);
    if (what < 3 || !p.uid) {
        unsigned n = chance_new_mail(w);
        chance_note(w, "there: append %u to %s", n, box);
        model_append(m, box, mail_wire(n), any_flags(w), 1600000000 + n);
    } else if (what < 6) {
        chance_note(w, "there: flag %u in %s", p.number, box);
        model_store(m, box, p.uid, any_flags(w), any_flags(w));
    } else if (what < 9) {
        chance_note(w, "there: expunge %u in %s", p.number, box);
        w->alive[p.number] = 0;
        model_expunge(m, box, p.uid);
    } else if (what < 11) {
        const char *to = any_box(w, false);
        if (to == box)
            return;
        chance_note(w, "there: move %u from %s to %s", p.number, box, to);
        model_move(m, box, p.uid, to);
    } else {
        chance_note(w, "there: renumber %s", box);
        model_renumber(m, box, 1 + chance_roll(w, 50));
    }
}

/* ---- the one in the mount ---- */

struct choice {
    struct chance *w;
    unsigned seen;
    struct message m;
};

static int choose_one(void *arg, const struct message *m)
{
    struct choice *c = arg;
    if (m->state == MESSAGE_PRESENT && chance_roll(c->w, ++c->seen) == 0)
        c->m = *m;
    return 0;
}

static void change_mail(struct chance *w, int64_t id, const char *box)
{
    struct rig *r = &w->r;
    unsigned n = chance_number_here(w, id), what = chance_roll(w, 10), heir;
    const char *to = any_box(w, true);
    if (what < 3) {
        chance_note(w, "here: flag %u in %s", n, box);
        file_flag(r, id, any_flags(w), any_flags(w));
    } else if (what < 5) {
        chance_note(w, "here: remove %u in %s", n, box);
        w->alive[n] = 0;
        file_remove(r, id);
    } else if (what < 8) {
        chance_note(w, "here: move %u from %s to %s", n, box, to);
        file_move(r, id, to);
    } else {
        heir = chance_new_mail(w);
        chance_note(w, "here: %s %u by %u in %s", what == 8 ? "replace" : "rewrite", n, heir, box);
        w->alive[n] = 0;
        if (what == 8)
            file_replace(r, id, mail_file(heir));
        else
            file_rewrite(r, id, mail_file(heir));
    }
}

static void rename_box(struct chance *w)
{
    const char *now = file_has_box(&w->r, other_name) ? other_name : box_name[BOXES - 1];
    chance_note(w, "here: rename %s", now);
    file_rename_box(&w->r, now, now == other_name ? box_name[BOXES - 1] : other_name);
}

static void act_here(struct chance *w)
{
    struct rig *r = &w->r;
    if (chance_roll(w, 20) == 0)
        rename_box(w);
    const char *box = any_box(w, true);
    struct choice c = {.w = w};
    for (int sub = SUB_NEW; sub <= SUB_CUR; sub++)
        message_each(cache_reader(r->cache), file_box(r, box), (enum sub)sub, 0, choose_one, &c);
    if (c.m.id && chance_roll(w, 3)) {
        change_mail(w, c.m.id, box);
        return;
    }
    unsigned n = chance_new_mail(w);
    chance_note(w, "here: deliver %u to %s", n, box);
    file_deliver(r, box, SUB_CUR, mail_file(n), any_flags(w), 1600000000 + n);
}

/* ---- the world ---- */

static void furnish(struct chance *w)
{
    for (unsigned i = 1; i < BOXES; i++)
        model_create(w->r.model, box_name[i]);
}

static const struct model_features speed[] = {
    {.speed = WORKER_SPEED_QRESYNC, .uidplus = true, .move = true, .list_status = true},
    {.speed = WORKER_SPEED_CONDSTORE, .uidplus = true, .list_status = true},
    {.speed = WORKER_SPEED_NONE, .move = true},
    {.speed = WORKER_SPEED_NONE},
};

static void live(uint64_t seed)
{
    static const struct chance_plan plan = {
        .steps = STEPS, .actions = ACTIONS, .halves = true, .here = act_here, .there = act_there};
    static struct chance c;
    renumbers = seed % 6 == 5;
    chance_live(&c, seed, &speed[seed % (sizeof speed / sizeof *speed)], &plan, furnish);
}

static unsigned part;

static void some_seeds(void **state)
{
    (void)state;
    chance_seeds(part, SEEDS, live);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(some_seeds, rig_end_open)};
    part = argc > 1 ? (unsigned)atoi(argv[1]) : 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
