/*
 * Two people without a plan and with many mailboxes: one works in the mount, one on the server; both make
 * mailboxes, remove them with what they see in them, and give them other names and places. Now and then the
 * line breaks. After each pause both sides show the same tree, and every message that nobody removed is there
 * exactly once.
 *
 * RIG_SEED=n runs one seed, RIG_LOG= shows what is done; a failing run prints its own.
 */
#include "rig.h"

enum { MAILS = 400, STEPS = 8, ACTIONS = 7, LINES = 200, SEEDS = 6, BOXES = 64, PATH = 512 };

static const char *const name[] = {"A", "B", "A/S", "A/T", "B/S", "A/S/X"};
enum { NAMES = sizeof name / sizeof *name };

struct world {
    struct rig r;
    uint64_t random;
    unsigned mails;
    char alive[MAILS];     /* 1: must be there once; 0: somebody removed it */
    char text[LINES][160]; /* what was done, for who must find out why it failed */
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

static unsigned new_mail(struct world *w)
{
    assert_true(w->mails < MAILS);
    w->alive[w->mails] = 1;
    return w->mails++;
}

static unsigned number_of(const char *text)
{
    unsigned n = 0;
    const char *id = strstr(text, "Message-ID: <");
    return id && sscanf(id, "Message-ID: <%u@", &n) == 1 ? n : 0;
}

static bool lies_in(const char *path, const char *top)
{
    size_t length = strlen(top);
    return strncmp(path, top, length) == 0 && (!path[length] || path[length] == '/');
}

/* ---- the one on the server ---- */

static void removed_there(void *arg, const struct model_view *v)
{
    struct world *w = arg;
    w->alive[number_of(v->wire)] = 0;
}

static bool any_there(struct world *w, char path[PATH])
{
    char at[PATH];
    unsigned seen = 0;
    for (size_t i = 0; model_box_name(w->r.model, i, at, sizeof at); i++)
        if (*at && strcmp(at, "INBOX") != 0 && roll(w, ++seen) == 0)
            memcpy(path, at, sizeof at);
    return seen > 0;
}

static bool is_taken_there(struct world *w, const char *path)
{
    char at[PATH];
    for (size_t i = 0; model_box_name(w->r.model, i, at, sizeof at); i++)
        if (lies_in(at, path))
            return true;
    return false;
}

static void do_there(struct world *w, struct model *m)
{
    const char *to = name[roll(w, NAMES)];
    char box[PATH];
    unsigned what = roll(w, 10);
    if (what < 3 || !any_there(w, box)) {
        if (!model_has_box(m, to)) {
            note(w, "there: create %s", to);
            model_create(m, to);
        }
    } else if (what < 6) {
        unsigned n = new_mail(w);
        note(w, "there: append %u to %s", n, box);
        model_append(m, box, mail_wire(n), 0, 1600000000 + n);
    } else if (what < 8) {
        note(w, "there: delete %s", box);
        model_each(m, box, removed_there, w);
        model_delete(m, box);
    } else if (!is_taken_there(w, to) && !lies_in(to, box)) {
        note(w, "there: rename %s to %s", box, to);
        model_rename(m, box, to);
    }
}

/* The engine may be at work. */
static void act_there(struct world *w)
{
    model_hold(w->r.model);
    do_there(w, w->r.model);
    model_release(w->r.model);
}

/* ---- the one in the mount ---- */

struct boxes {
    struct world *w;
    struct {
        int64_t id;
        bool mailbox;
        char path[PATH];
    } box[BOXES];
    size_t n;
};

static int add_box(void *arg, const struct mailbox *m)
{
    struct boxes *b = arg;
    cache_rd *rd = cache_reader(b->w->r.cache);
    if (m->parent == 0 && strcmp(m->name, "INBOX") == 0)
        return 0;
    assert_true(b->n < BOXES);
    b->box[b->n].id = m->id;
    b->box[b->n].mailbox = m->dirs != 0;
    assert_int_equal(mailbox_path(rd, m, b->box[b->n++].path, PATH), 0);
    return mailbox_each(rd, m->id, 0, add_box, b);
}

static struct boxes boxes_here(struct world *w)
{
    struct boxes b = {.w = w};
    assert_int_equal(mailbox_each(cache_reader(w->r.cache), 0, 0, add_box, &b), 0);
    return b;
}

static int removed_here(void *arg, const struct message *m)
{
    struct world *w = arg;
    for (unsigned n = 1; n < w->mails; n++) {
        if (file_has_content(&w->r, m->id, mail_file(n))) {
            w->alive[n] = 0;
            return 0;
        }
    }
    fail_msg("row %lld has no content that anybody wrote", (long long)m->id);
    return -1;
}

static void remove_here(struct world *w, const struct boxes *b, const char *top)
{
    note(w, "here: remove %s", top);
    for (size_t i = 0; i < b->n; i++)
        for (int sub = SUB_NEW; lies_in(b->box[i].path, top) && sub <= SUB_CUR; sub++)
            message_each(cache_reader(w->r.cache), b->box[i].id, (enum sub)sub, 0, removed_here, w);
    file_remove_box(&w->r, top);
}

/* What stands for a level of that name on the server is called otherwise here: nobody gets that name
 * (fs/box.c). */
static bool is_meant(struct world *w, const struct boxes *b, const char *path)
{
    cache_rd *rd = cache_reader(w->r.cache);
    for (size_t i = 0; i < b->n; i++) {
        struct mailbox m;
        char remote[MAILBOX_REMOTE_MAX];
        assert_int_equal(mailbox_get(rd, b->box[i].id, &m), 0);
        assert_int_equal(mailbox_remote_name(rd, &m, MODEL_DELIMITER, remote), 0);
        if (lies_in(path, remote) && strcmp(remote, b->box[i].path) != 0)
            return true;
    }
    return false;
}

static bool may_be_called(struct world *w, const char *path)
{
    char above[PATH];
    snprintf(above, sizeof above, "%s", path);
    char *slash = strrchr(above, '/');
    if (slash)
        *slash = '\0';
    return !file_has_box(&w->r, path) && (!slash || file_has_box(&w->r, above));
}

static void act_here(struct world *w)
{
    struct rig *r = &w->r;
    const char *to = name[roll(w, NAMES)];
    struct boxes b = boxes_here(w);
    size_t i = b.n ? roll(w, (unsigned)b.n) : 0;
    unsigned what = is_meant(w, &b, to) ? 3 + roll(w, 5) : roll(w, 10);
    if (what < 3 || b.n == 0) {
        note(w, "here: make %s", to);
        file_make_box(r, to);
    } else if (what < 6 && b.box[i].mailbox) {
        unsigned n = new_mail(w);
        note(w, "here: deliver %u to %s", n, b.box[i].path);
        file_deliver(r, b.box[i].path, SUB_CUR, mail_file(n), 0, 1600000000 + n);
    } else if (what < 8) {
        remove_here(w, &b, b.box[i].path);
    } else if (may_be_called(w, to) && !lies_in(to, b.box[i].path)) {
        note(w, "here: rename %s to %s", b.box[i].path, to);
        file_rename_box(r, b.box[i].path, to);
    }
}

/* ---- the world ---- */

static int tell_row(void *arg, const struct mailbox *m)
{
    (void)arg;
    print_error("row %lld below %lld: %s, dirs %u%s, attributes %u, at the server \"%s\"\n", (long long)m->id,
                (long long)m->parent, m->name, m->dirs, m->removed ? ", removed" : "", m->attributes,
                m->remote);
    return 0;
}

static void tell(struct world *w, uint64_t seed)
{
    print_error("seed %llu:\n", (unsigned long long)seed);
    for (unsigned i = w->n_text > LINES ? w->n_text - LINES : 0; i < w->n_text; i++)
        print_error("%s\n", w->text[i % LINES]);
    mailbox_each(cache_reader(w->r.cache), -1, 0, tell_row, NULL);
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
                              .effect = roll(w, 2)};
    if (roll(w, 2))
        return;
    note(w, "trouble: nth %u, every %u, effect %d", t.nth, t.every, t.effect);
    model_plan(w->r.model, &t);
}

static void live(uint64_t seed, const struct model_features *f)
{
    static struct world w;
    w = (struct world){.random = seed * 0x9e3779b97f4a7c15u + 1, .mails = 1};
    rig_begin(&w.r, f);
    for (unsigned i = 0; i < NAMES; i++)
        if (roll(&w, 2))
            model_create(w.r.model, name[i]);
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
    {.speed = WORKER_SPEED_QRESYNC, .uidplus = true, .move = true, .list_status = true, .objectid = true},
    {.speed = WORKER_SPEED_QRESYNC, .uidplus = true, .move = true, .list_status = true},
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
