#include "chance.h"

unsigned chance_roll(struct chance *c, unsigned below)
{
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return (unsigned)(c->random >> 20) % below;
}

void chance_note(struct chance *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(c->text[c->n_text++ % CHANCE_LINES], sizeof c->text[0], format, args);
    va_end(args);
}

unsigned chance_new_mail(struct chance *c)
{
    assert_true(c->mails < CHANCE_MAILS);
    c->alive[c->mails] = 1;
    return c->mails++;
}

unsigned chance_number_of(const char *text)
{
    unsigned n = 0;
    const char *id = strstr(text, "Message-ID: <");
    return id && sscanf(id, "Message-ID: <%u@", &n) == 1 ? n : 0;
}

unsigned chance_number_here(struct chance *c, int64_t id)
{
    for (unsigned n = 1; n < c->mails; n++)
        if (file_has_content(&c->r, id, mail_file(n)))
            return n;
    fail_msg("row %lld has no content that anybody wrote", (long long)id);
    return 0;
}

static void tell(struct chance *c, uint64_t seed, const struct chance_plan *p)
{
    print_error("seed %llu:\n", (unsigned long long)seed);
    for (unsigned i = c->n_text > CHANCE_LINES ? c->n_text - CHANCE_LINES : 0; i < c->n_text; i++)
        print_error("%s\n", c->text[i % CHANCE_LINES]);
    if (p->tell)
        p->tell(c);
}

static void check(struct chance *c, uint64_t seed, const struct chance_plan *p)
{
    char *differences = rig_differences(&c->r);
    if (differences) {
        tell(c, seed, p);
        fail_msg("the sides do not agree:\n%s", differences);
    }
    for (unsigned n = 1; n < c->mails; n++) {
        unsigned copies = rig_copies(&c->r, NULL, mail_wire(n));
        if (copies == 1 || (copies == 0 && !c->alive[n]))
            continue;
        tell(c, seed, p);
        fail_msg("seed %llu: message %u has %u copies", (unsigned long long)seed, n, copies);
    }
}

static void trouble(struct chance *c, bool halves)
{
    struct model_trouble t = {.events = chance_roll(c, 2) ? MODEL_APPLY : MODEL_ALL,
                              .nth = 1 + chance_roll(c, 6),
                              .every = chance_roll(c, 2) ? 4 + chance_roll(c, 6) : 0,
                              .effect = chance_roll(c, 2),
                              .half = halves && chance_roll(c, 3) == 0};
    if (chance_roll(c, 3) == 0)
        return;
    chance_note(c, "trouble: nth %u, every %u, effect %d, half %d", t.nth, t.every, t.effect, t.half);
    model_plan(c->r.model, &t);
}

void chance_live(struct chance *c, uint64_t seed, const struct model_features *f, const struct chance_plan *p,
                 void (*furnish)(struct chance *c))
{
    struct rig *r = &c->r;
    *c = (struct chance){.random = seed * 0x9e3779b97f4a7c15u + 1, .mails = 1};
    rig_begin(r, f);
    furnish(c);
    rig_start(r);
    rig_agree(r);
    for (unsigned step = 0; step < p->steps; step++) {
        chance_note(c, "step %u", step);
        rig_stop(r);
        rig_open(r);
        for (unsigned i = chance_roll(c, p->actions); i < p->actions; i++)
            chance_roll(c, 2) ? p->here(c) : p->there(c);
        trouble(c, p->halves);
        rig_start(r);
        for (unsigned i = chance_roll(c, 3); i < 2; i++)
            p->there(c);
        rig_settles(r, 1);
        model_plan(r->model, NULL);
        rig_settles(r, 8 * RIG_PATIENCE);
        rig_settles(r, 8 * RIG_PATIENCE);
        check(c, seed, p);
    }
    rig_end(r);
}

void chance_seeds(unsigned part, unsigned seeds, void (*live)(uint64_t seed))
{
    const char *chosen = getenv("RIG_SEED"), *many = getenv("MAILMOUNT_LONG");
    seeds *= many && *many ? 30 / RIG_STEP : 1;
    uint64_t first = chosen ? strtoull(chosen, NULL, 10) : part * seeds, n = chosen ? 1 : seeds;
    for (uint64_t seed = first; seed < first + n; seed++)
        live(seed);
}
