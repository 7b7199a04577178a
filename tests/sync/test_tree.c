/* Two people without a plan and with many mailboxes (chance.h): both make mailboxes, remove them with what
 * they see in them, and give them other names and places. */
#include "chance.h"

enum { STEPS = 8, ACTIONS = 7, SEEDS = 6, BOXES = 64, PATH = 512 };

static const char *const name[] = {"A", "B", "A/S", "A/T", "B/S", "A/S/X"};
enum { NAMES = sizeof name / sizeof *name };

static bool lies_in(const char *path, const char *top)
{
    size_t length = strlen(top);
    return strncmp(path, top, length) == 0 && (!path[length] || path[length] == '/');
}

/* ---- the one on the server ---- */

static void removed_there(void *arg, const struct model_view *v)
{
    struct chance *w = arg;
    w->alive[chance_number_of(v->wire)] = 0;
}

static bool any_there(struct chance *w, char path[PATH])
{
    char at[PATH];
    unsigned seen = 0;
    for (size_t i = 0; model_box_name(w->r.model, i, at, sizeof at); i++)
        if (*at && strcmp(at, "INBOX") != 0 && chance_roll(w, ++seen) == 0)
            memcpy(path, at, sizeof at);
    return seen > 0;
}

static bool is_taken_there(struct chance *w, const char *path)
{
    char at[PATH];
    for (size_t i = 0; model_box_name(w->r.model, i, at, sizeof at); i++)
        if (lies_in(at, path))
            return true;
    return false;
}

static void do_there(struct chance *w, struct model *m)
{
    const char *to = name[chance_roll(w, NAMES)];
    char box[PATH];
    unsigned what = chance_roll(w, 10);
    if (what < 3 || !any_there(w, box)) {
        if (!model_has_box(m, to)) {
            chance_note(w, "there: create %s", to);
            model_create(m, to);
        }
    } else if (what < 6) {
        unsigned n = chance_new_mail(w);
        chance_note(w, "there: append %u to %s", n, box);
        model_append(m, box, mail_wire(n), 0, 1600000000 + n);
    } else if (what < 8) {
        chance_note(w, "there: delete %s", box);
        model_each(m, box, removed_there, w);
        model_delete(m, box);
    } else if (!is_taken_there(w, to) && !lies_in(to, box)) {
        chance_note(w, "there: rename %s to %s", box, to);
        model_rename(m, box, to);
    }
}

/* The engine may be at work. */
static void act_there(struct chance *w)
{
    model_hold(w->r.model);
    do_there(w, w->r.model);
    model_release(w->r.model);
}

/* ---- the one in the mount ---- */

struct boxes {
    struct chance *w;
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

static struct boxes boxes_here(struct chance *w)
{
    struct boxes b = {.w = w};
    assert_int_equal(mailbox_each(cache_reader(w->r.cache), 0, 0, add_box, &b), 0);
    return b;
}

static int removed_here(void *arg, const struct message *m)
{
    struct chance *w = arg;
    w->alive[chance_number_here(w, m->id)] = 0;
    return 0;
}

static void remove_here(struct chance *w, const struct boxes *b, const char *top)
{
    chance_note(w, "here: remove %s", top);
    for (size_t i = 0; i < b->n; i++)
        for (int sub = SUB_NEW; lies_in(b->box[i].path, top) && sub <= SUB_CUR; sub++)
            message_each(cache_reader(w->r.cache), b->box[i].id, (enum sub)sub, 0, removed_here, w);
    file_remove_box(&w->r, top);
}

/* What stands for a level of that name on the server is called otherwise here: nobody gets that name
 * (fs/box.c). */
static bool is_meant(struct chance *w, const struct boxes *b, const char *path)
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

static bool may_be_called(struct chance *w, const char *path)
{
    char above[PATH];
    snprintf(above, sizeof above, "%s", path);
    char *slash = strrchr(above, '/');
    if (slash)
        *slash = '\0';
    return !file_has_box(&w->r, path) && (!slash || file_has_box(&w->r, above));
}

static void act_here(struct chance *w)
{
    struct rig *r = &w->r;
    const char *to = name[chance_roll(w, NAMES)];
    struct boxes b = boxes_here(w);
    size_t i = b.n ? chance_roll(w, (unsigned)b.n) : 0;
    unsigned what = is_meant(w, &b, to) ? 3 + chance_roll(w, 5) : chance_roll(w, 10);
    if (what < 3 || b.n == 0) {
        chance_note(w, "here: make %s", to);
        file_make_box(r, to);
    } else if (what < 6 && b.box[i].mailbox) {
        unsigned n = chance_new_mail(w);
        chance_note(w, "here: deliver %u to %s", n, b.box[i].path);
        file_deliver(r, b.box[i].path, SUB_CUR, mail_file(n), 0, 1600000000 + n);
    } else if (what < 8) {
        remove_here(w, &b, b.box[i].path);
    } else if (may_be_called(w, to) && !lies_in(to, b.box[i].path)) {
        chance_note(w, "here: rename %s to %s", b.box[i].path, to);
        file_rename_box(r, b.box[i].path, to);
    }
}

/* ---- the world ---- */

static void furnish(struct chance *w)
{
    for (unsigned i = 0; i < NAMES; i++)
        if (chance_roll(w, 2))
            model_create(w->r.model, name[i]);
}

static int tell_row(void *arg, const struct mailbox *m)
{
    (void)arg;
    print_error("row %lld below %lld: %s, dirs %u%s, attributes %u, at the server \"%s\"\n", (long long)m->id,
                (long long)m->parent, m->name, m->dirs, m->removed ? ", removed" : "", m->attributes,
                m->remote);
    return 0;
}

static void tell_rows(struct chance *w)
{
    mailbox_each(cache_reader(w->r.cache), -1, 0, tell_row, NULL);
}

static const struct model_features speed[] = {
    {.speed = WORKER_SPEED_QRESYNC, .uidplus = true, .move = true, .list_status = true, .objectid = true},
    {.speed = WORKER_SPEED_QRESYNC, .uidplus = true, .move = true, .list_status = true},
    {.speed = WORKER_SPEED_NONE},
};

static void live(uint64_t seed)
{
    static const struct chance_plan plan = {
        .steps = STEPS, .actions = ACTIONS, .here = act_here, .there = act_there, .tell = tell_rows};
    static struct chance c;
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
