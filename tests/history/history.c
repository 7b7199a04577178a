/*
 * Making, running, shortening. The text form is in text.c.
 */
#include "history.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "verbs.h"

void world_wrong(struct world *w, const char *format, ...)
{
    va_list args;
    if (w->wrong[0])
        return;
    va_start(args, format);
    vsnprintf(w->wrong, sizeof w->wrong, format, args);
    va_end(args);
}

void world_begin(struct world *w, unsigned features)
{
    /* What lies beyond the counts is not looked at. */
    memset(w, 0, sizeof *w);
    w->features = features;
    server_create(w, "INBOX");
    server_create(w, "a");
    cache_new_box(w, "INBOX");
    check_quiet(w);
    w->points = w->rounds = w->merges = w->operations = 0;
}

/* ---- acts that concern the line and the program ---- */

static void a_round(struct world *w, unsigned unused, unsigned unused2, unsigned unused3)
{
    (void)unused;
    (void)unused2;
    (void)unused3;
    round_run(w);
}

static void a_pause(struct world *w, unsigned unused, unsigned unused2, unsigned unused3)
{
    (void)unused;
    (void)unused2;
    (void)unused3;
    check_quiet(w);
}

static void a_broken_round(struct world *w, unsigned at, unsigned how, unsigned kill)
{
    w->cut_at = 1 + at;
    w->cut = (enum cut)(1 + how % (CUT_KINDS - 1));
    w->kill = kill % 2;
    round_run(w);
}

static void a_power_failure(struct world *w, unsigned unused, unsigned unused2, unsigned unused3)
{
    (void)unused;
    (void)unused2;
    (void)unused3;
    cache_power_fails(w);
}

static void slow_bodies(struct world *w, unsigned unused, unsigned unused2, unsigned unused3)
{
    (void)unused;
    (void)unused2;
    (void)unused3;
    w->slow_bodies = true;
}

static void hide(struct world *w, unsigned box, unsigned unused, unsigned unused2)
{
    (void)unused;
    (void)unused2;
    w->hidden = box;
}

/* Weights: how often it comes among a thousand or so. */
const struct verb verbs[] = {
    {"round", "", a_round, 60, true},
    {"pause", "", a_pause, 40, true},
    {"there: append to", "b+ ", there_append, 80, false},
    {"there: store", "m+-", there_store, 90, false},
    {"there: expunge", "m  ", there_expunge, 50, false},
    {"there: move", "mb ", there_move, 70, false},
    {"there: copy", "mb ", there_copy, 15, false},
    {"there: create", "n  ", there_create, 25, false},
    {"there: rename", "bn ", there_rename, 20, false},
    {"there: delete", "b  ", there_delete, 12, false},
    {"there: renumber", "b  ", there_renumber, 10, false},
    {"here: deliver to", "b+u", here_deliver, 80, false},
    {"here: flag", "m+-", here_flag, 90, false},
    {"here: remove", "m  ", here_remove, 50, false},
    {"here: move", "mb ", here_move, 70, false},
    {"here: copy", "mb ", here_copy, 15, false},
    {"here: edit", "mu ", here_edit, 40, false},
    /* Message-ID and size are a proof to the brain (MERGE.md, "Append: exactly once", 3), and this defeats
       it. */
    {"here: edit, as long as before", "mu ", here_edit_alike, 0, false},
    {"here: create", "n  ", here_create, 25, false},
    {"here: rename", "bn ", here_rename, 20, false},
    {"here: delete", "b  ", here_delete, 12, false},
    {"both: file in", "b+ ", both_file, 12, false},
    {"here: lose the base", "l  ", here_lose_base, 4, true},
    {"round that breaks off at", "phk", a_broken_round, 90, true},
    {"the power fails", "", a_power_failure, 10, true},
    {"the line: slow bodies", "", slow_bodies, 10, true},
    {"the line: LIST hides", "b  ", hide, 5, true},
};
const size_t verbs_n = sizeof verbs / sizeof *verbs;

void world_act(struct world *w, const struct act *a)
{
    if (a->code < verbs_n)
        verbs[a->code].run(w, a->arg[0], a->arg[1], a->arg[2]);
}

/* ---- running ---- */

static void run_act(struct world *w, const struct act *a)
{
    if (a->code >= verbs_n)
        return;
    if (a->at && !verbs[a->code].itself && w->n_waiting < WAITING)
        w->waiting[w->n_waiting++] = *a;
    else
        world_act(w, a);
}

void history_run(const struct history *h, enum sabotage sabotage, struct world *w)
{
    world_begin(w, h->features);
    w->sabotage = sabotage;
    for (size_t i = 0; i < h->n && !w->wrong[0]; i++)
        run_act(w, &h->act[i]);
    if (!w->wrong[0])
        check_quiet(w);
}

/* ---- making ---- */

static uint64_t next(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random >> 11;
}

static unsigned roll(uint64_t *random, unsigned below)
{
    return (unsigned)(next(random) % below);
}

static unsigned char roll_code(uint64_t *random)
{
    unsigned sum = 0;
    for (size_t i = 0; i < verbs_n; i++)
        sum += verbs[i].weight;
    unsigned n = roll(random, sum);
    size_t i = 0;
    while (n >= verbs[i].weight)
        n -= verbs[i++].weight;
    return (unsigned char)i;
}

void history_make(struct history *h, uint64_t seed)
{
    uint64_t random = (seed + 1) * 0x9e3779b97f4a7c15u;

    next(&random);
    h->features = roll(&random, FEATURES);
    /* What makes texts hard to tell apart makes the judge mild: it is rare. */
    if (roll(&random, 4))
        h->features &= ~(unsigned)(FEATURE_LYING_SIZES | FEATURE_ALTERS);
    h->n = 4 + roll(&random, 36);
    for (size_t i = 0; i < h->n; i++) {
        struct act *a = &h->act[i];
        a->code = roll_code(&random);
        a->at = (unsigned char)(roll(&random, 4) ? 0 : 1 + roll(&random, 14));
        for (int k = 0; k < 3; k++)
            a->arg[k] = (unsigned char)roll(&random, 16);
        if (!roll(&random, 2))
            a->arg[2] = 0;
    }
}

/* ---- shortening ---- */

static bool is_wrong(const struct history *h, enum sabotage sabotage)
{
    static struct world w;
    history_run(h, sabotage, &w);
    return w.wrong[0];
}

static bool leave_out(struct history *h, size_t from, size_t n, enum sabotage sabotage)
{
    struct history less = *h;
    memmove(&less.act[from], &less.act[from + n], (less.n - from - n) * sizeof *less.act);
    less.n -= n;
    if (!is_wrong(&less, sabotage))
        return false;
    *h = less;
    return true;
}

static bool leave_out_any(struct history *h, enum sabotage sabotage)
{
    bool less = false;
    for (size_t n = h->n / 2; n > 0; n /= 2)
        for (size_t i = 0; i + n <= h->n;)
            if (leave_out(h, i, n, sabotage))
                less = true;
            else
                i++;
    return less;
}

static bool make_simpler(struct history *h, unsigned char *number, enum sabotage sabotage)
{
    unsigned char was = *number;
    for (unsigned char now = 0; now < was; now++) {
        *number = now;
        if (is_wrong(h, sabotage))
            return true;
    }
    *number = was;
    return false;
}

void history_shrink(struct history *h, enum sabotage sabotage)
{
    for (bool again = true; again;) {
        again = leave_out_any(h, sabotage);
        for (size_t i = 0; i < h->n; i++) {
            again |= make_simpler(h, &h->act[i].at, sabotage);
            for (int k = 0; k < 3; k++)
                again |= make_simpler(h, &h->act[i].arg[k], sabotage);
        }
        for (unsigned bit = 1; bit < FEATURES; bit <<= 1) {
            struct history plain = *h;
            plain.features &= ~bit;
            if (h->features & bit && is_wrong(&plain, sabotage))
                *h = plain;
        }
    }
}
