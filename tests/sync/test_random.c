/*
 * Two people without a plan: one works in the mount, one on the server, and the line breaks now and then.
 * After each pause both sides hold the same, and every message that nobody removed is there exactly once.
 *
 * RIG_SEED=n runs one seed; a failing run prints its own.
 */
#include "rig.h"

enum { MAILS = 600, BOXES = 3, STEPS = 12, ACTIONS = 9, LINES = 400, SEEDS = 6 };

static const char *const box_name[BOXES] = {"INBOX", "Archive", "Lists/work"};
static const char other_name[] = "Lists/play"; /* of the last one, when it was renamed */

struct world {
    struct rig r;
    uint64_t random;
    unsigned mails;
    bool renumbers;       /* UIDVALIDITY changes now and then */
    char alive[MAILS];    /* 1: must be there once; 0: somebody removed it, or it was replaced */
    char text[LINES][80]; /* what was done, for who must find out why it failed */
    unsigned n_text;
};

static unsigned roll(struct world *w, unsigned below)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (unsigned)(w->random >> 20) % below;
}

__attribute__((format(printf, 2, 3))) static void note(struct world *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(w->text[w->n_text++ % LINES], sizeof w->text[0], format, args);
    va_end(args);
}

/* A mailbox by the name that it has there, or here. */
static const char *any_box(struct world *w, bool here)
{
    unsigned i = roll(w, BOXES);
    if (i < BOXES - 1)
        return box_name[i];
    bool renamed = here ? file_has_box(&w->r, other_name) : model_has_box(w->r.model, other_name);
    return renamed ? other_name : box_name[i];
}

static unsigned number_of(const char *text)
{
    unsigned n = 0;
    const char *id = strstr(text, "Message-ID: <");
    return id && sscanf(id, "Message-ID: <%u@", &n) == 1 ? n : 0;
}

static flags_t any_flags(struct world *w)
{
    return (flags_t)roll(w, 8) & (FLAG_SEEN | FLAG_ANSWERED | FLAG_FLAGGED);
}

/* ---- the one on the server ---- */

struct pick {
    struct world *w;
    unsigned seen;
    uint32_t uid;
    unsigned number;
};

static void pick_one(void *arg, const struct model_view *v)
{
    struct pick *p = arg;
    if (roll(p->w, ++p->seen) == 0) {
        p->uid = v->uid;
        p->number = number_of(v->wire);
    }
}

static void act_there(struct world *w)
{
    struct model *m = w->r.model;
    const char *box = any_box(w, false);
    struct pick p = {.w = w};
    unsigned what = roll(w, w->renumbers ? 12 : 11);
    model_each(m, box, pick_one, &p);
    if (what < 3 || !p.uid) {
        unsigned n = w->mails++;
        w->alive[n] = 1;
        note(w, "there: append %u to %s", n, box);
        model_append(m, box, mail_wire(n), any_flags(w), 1600000000 + n);
    } else if (what < 6) {
        note(w, "there: flag %u in %s", p.number, box);
        model_store(m, box, p.uid, any_flags(w), any_flags(w));
    } else if (what < 9) {
        note(w, "there: expunge %u in %s", p.number, box);
        w->alive[p.number] = 0;
        model_expunge(m, box, p.uid);
    } else if (what < 11) {
        const char *to = any_box(w, false);
        if (to == box)
            return;
        note(w, "there: move %u from %s to %s", p.number, box, to);
        model_move(m, box, p.uid, to);
    } else {
        note(w, "there: renumber %s", box);
        model_renumber(m, box, 1 + roll(w, 50));
    }
}

/* ---- the one in the mount ---- */

struct choice {
    struct world *w;
    unsigned seen;
    struct message m;
};

static int choose_one(void *arg, const struct message *m)
{
    struct choice *c = arg;
    if (m->state == MESSAGE_PRESENT && roll(c->w, ++c->seen) == 0)
        c->m = *m;
    return 0;
}

static unsigned number_here(struct world *w, int64_t id)
{
    for (unsigned n = 1; n < w->mails; n++)
        if (file_has_content(&w->r, id, mail_file(n)))
            return n;
    fail_msg("row %lld has no content that anybody wrote", (long long)id);
    return 0;
}

static void change_mail(struct world *w, int64_t id, const char *box)
{
    struct rig *r = &w->r;
    unsigned n = number_here(w, id), what = roll(w, 10), heir = w->mails;
    const char *to = any_box(w, true);
    if (what < 3) {
        note(w, "here: flag %u in %s", n, box);
        file_flag(r, id, any_flags(w), any_flags(w));
    } else if (what < 5) {
        note(w, "here: remove %u in %s", n, box);
        w->alive[n] = 0;
        file_remove(r, id);
    } else if (what < 8) {
        note(w, "here: move %u from %s to %s", n, box, to);
        file_move(r, id, to);
    } else {
        note(w, "here: %s %u by %u in %s", what == 8 ? "replace" : "rewrite", n, heir, box);
        w->mails++;
        w->alive[heir] = 1;
        w->alive[n] = 0;
        if (what == 8)
            file_replace(r, id, mail_file(heir));
        else
            file_rewrite(r, id, mail_file(heir));
    }
}

static void rename_box(struct world *w)
{
    const char *now = file_has_box(&w->r, other_name) ? other_name : box_name[BOXES - 1];
    note(w, "here: rename %s", now);
    file_rename_box(&w->r, now, now == other_name ? box_name[BOXES - 1] : other_name);
}

static void act_here(struct world *w)
{
    struct rig *r = &w->r;
    if (roll(w, 20) == 0)
        rename_box(w);
    const char *box = any_box(w, true);
    struct choice c = {.w = w};
    for (int sub = SUB_NEW; sub <= SUB_CUR; sub++)
        message_each(cache_reader(r->cache), file_box(r, box), (enum sub)sub, 0, choose_one, &c);
    if (c.m.id && roll(w, 3)) {
        change_mail(w, c.m.id, box);
        return;
    }
    unsigned n = w->mails++;
    w->alive[n] = 1;
    note(w, "here: deliver %u to %s", n, box);
    file_deliver(r, box, SUB_CUR, mail_file(n), any_flags(w), 1600000000 + n);
}

/* ---- the world ---- */

static void tell(const struct world *w, uint64_t seed)
{
    print_error("seed %llu:\n", (unsigned long long)seed);
    for (unsigned i = w->n_text > LINES ? w->n_text - LINES : 0; i < w->n_text; i++)
        print_error("%s\n", w->text[i % LINES]);
}

static void check(struct world *w, uint64_t seed)
{
    char *differences = rig_differences(&w->r);
    if (differences) {
        tell(w, seed);
        fail_msg("the sides do not agree:\n%s", differences);
    }
    for (unsigned n = 1; n < w->mails; n++) {
        unsigned copies = rig_copies(&w->r, NULL, mail_wire(n));
        if (copies == 1 || (copies == 0 && !w->alive[n]))
            continue;
        tell(w, seed);
        fail_msg("seed %llu: message %u has %u copies", (unsigned long long)seed, n, copies);
    }
}

static void trouble(struct world *w)
{
    struct model_trouble t = {.events = roll(w, 2) ? MODEL_APPLY : MODEL_ALL,
                              .nth = 1 + roll(w, 6),
                              .every = roll(w, 2) ? 4 + roll(w, 6) : 0,
                              .effect = roll(w, 2),
                              .half = roll(w, 3) == 0};
    if (roll(w, 3) == 0)
        return;
    note(w, "trouble: nth %u, every %u, effect %d, half %d", t.nth, t.every, t.effect, t.half);
    model_plan(w->r.model, &t);
}

static void live(uint64_t seed, const struct model_features *f)
{
    static struct world w;
    w = (struct world){.random = seed * 0x9e3779b97f4a7c15u + 1, .mails = 1, .renumbers = seed % 6 == 5};
    rig_begin(&w.r, f);
    for (unsigned i = 1; i < BOXES; i++)
        model_create(w.r.model, box_name[i]);
    rig_start(&w.r);
    rig_agree(&w.r);
    for (unsigned step = 0; step < STEPS; step++) {
        note(&w, "step %u", step);
        rig_stop(&w.r);
        rig_open(&w.r);
        for (unsigned i = roll(&w, ACTIONS); i < ACTIONS; i++)
            roll(&w, 2) ? act_here(&w) : act_there(&w);
        trouble(&w);
        rig_start(&w.r);
        for (unsigned i = roll(&w, 3); i < 2; i++)
            act_there(&w);
        rig_settles(&w.r, 1);
        model_plan(w.r.model, NULL);
        rig_settles(&w.r, 8 * RIG_PATIENCE);
        rig_settles(&w.r, 8 * RIG_PATIENCE);
        check(&w, seed);
    }
    rig_end(&w.r);
}

static const struct model_features speed[] = {
    {.speed = WORKER_SPEED_QRESYNC, .uidplus = true, .move = true, .list_status = true},
    {.speed = WORKER_SPEED_CONDSTORE, .uidplus = true, .list_status = true},
    {.speed = WORKER_SPEED_NONE, .move = true},
    {.speed = WORKER_SPEED_NONE},
};

static unsigned part;

static void some_seeds(void **state)
{
    const char *chosen = getenv("RIG_SEED");
    uint64_t first = chosen ? strtoull(chosen, NULL, 10) : part * SEEDS, n = chosen ? 1 : SEEDS;
    (void)state;
    for (uint64_t seed = first; seed < first + n; seed++)
        live(seed, &speed[seed % (sizeof speed / sizeof *speed)]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(some_seeds, rig_end_open)};
    part = argc > 1 ? (unsigned)atoi(argv[1]) : 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
