/*
 * The merge of mailboxes over all small forests: every forest of up to four mailboxes on two or three levels
 * is what was agreed on; then one or both sides create, rename, exchange and delete, in every way, up to two
 * steps on one side or one on each.
 *
 * Each plan is carried out on a model that refuses what a server would refuse: a name that is taken, a
 * mailbox that is not there under the name that the plan gives it. Plans are made and carried out until
 * nothing is left to do. Asserted:
 *   - it ends, and then both sides and the base are equal;
 *   - if only one side changed, the other one ends as a copy of it; nothing that one side created is lost;
 *   - a renamed mailbox is renamed, never deleted and created again;
 *   - exchanging the sides exchanges the plan's sides;
 *   - a plan that is cut off after any of its operations leads to the same end.
 */
#include "check.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "brain.h"

enum { FOREST_MAX = 4, BOXES_MAX = 8, NAME_MAX_OCTETS = 64, ROUNDS_MAX = 8 };

static const char *const universe[] = {"a", "b", "a/x", "a/y", "b/x", "a/x/z"};
static const char *const targets[] = {"a", "b", "c", "a/x", "b/x", "c/x", "a/x/z"};

/* "" is absent. */
struct box {
    char base[NAME_MAX_OCTETS], side[2][NAME_MAX_OCTETS];
};

struct world {
    struct box box[BOXES_MAX];
    size_t n;
};

struct step {
    enum { NOTHING, CREATE, RENAME, DELETE, EXCHANGE } what;
    size_t box;
    size_t target; /* EXCHANGE: the other box */
};

static size_t merges;

static bool below(const char *name, const char *upper)
{
    size_t length = strlen(upper);
    return strncmp(name, upper, length) == 0 && name[length] == '/';
}

static bool taken(const struct world *w, int side, const char *name)
{
    for (size_t i = 0; i < w->n; i++)
        if (strcmp(w->box[i].side[side], name) == 0)
            return true;
    return false;
}

static void move_name(char *name, const char *from, const char *to)
{
    char rest[NAME_MAX_OCTETS];

    if (strcmp(name, from) != 0 && !below(name, from))
        return;
    strcpy(rest, name + strlen(from));
    assert_true((size_t)snprintf(name, NAME_MAX_OCTETS, "%s%s", to, rest) < NAME_MAX_OCTETS);
}

/* ---- what people do ---- */

/* Two mailboxes get each other's name, with all that is below them. */
static bool exchange(struct world *w, int side, size_t a, size_t b)
{
    char first[NAME_MAX_OCTETS], second[NAME_MAX_OCTETS];

    if (a >= w->n || b >= w->n || !w->box[a].side[side][0] || !w->box[b].side[side][0])
        return false;
    strcpy(first, w->box[a].side[side]);
    strcpy(second, w->box[b].side[side]);
    if (below(first, second) || below(second, first))
        return false;
    for (size_t i = 0; i < w->n; i++)
        move_name(w->box[i].side[side], first, "~");
    for (size_t i = 0; i < w->n; i++)
        move_name(w->box[i].side[side], second, first);
    for (size_t i = 0; i < w->n; i++)
        move_name(w->box[i].side[side], "~", second);
    return true;
}

static bool take_step(struct world *w, int side, struct step s)
{
    if (s.what == EXCHANGE)
        return exchange(w, side, s.box, s.target);
    const char *target = targets[s.target];
    char from[NAME_MAX_OCTETS];

    if (s.what == NOTHING)
        return true;
    if (s.what == CREATE) {
        if (w->n == BOXES_MAX || taken(w, side, target))
            return false;
        strcpy(w->box[w->n++].side[side], target);
        return true;
    }
    if (s.box >= w->n || !w->box[s.box].side[side][0])
        return false;
    strcpy(from, w->box[s.box].side[side]);
    for (size_t i = 0; i < w->n; i++)
        if (below(w->box[i].side[side], s.what == DELETE ? from : target))
            return false;
    if (s.what == RENAME && (taken(w, side, target) || below(target, from)))
        return false;
    for (size_t i = 0; s.what == RENAME && i < w->n; i++)
        move_name(w->box[i].side[side], from, target);
    if (s.what == DELETE)
        w->box[s.box].side[side][0] = 0;
    return true;
}

/* A caller knows a mailbox that both sides created by its name. */
static void pair_created(struct world *w)
{
    for (size_t i = 0; i < w->n; i++)
        for (size_t k = 0; k < w->n; k++) {
            struct box *l = &w->box[i], *r = &w->box[k];
            if (i == k || l->base[0] || r->base[0] || l->side[1][0] || r->side[0][0] || !l->side[0][0] ||
                strcmp(l->side[0], r->side[1]) != 0)
                continue;
            strcpy(l->side[1], r->side[1]);
            r->side[1][0] = 0;
        }
}

/* ---- plans ---- */

static struct brain_box_state state_of(const char *name)
{
    return (struct brain_box_state){.present = name[0], .name = name, .mailbox = true};
}

static struct brain_box_plan merge(const struct world *w, bool exchanged, struct arena *arena)
{
    struct brain_box *box = arena_alloc(arena, w->n, sizeof *box);
    bool confirmed[BOXES_MAX];
    struct brain_box_plan plan;

    for (size_t i = 0; i < w->n; i++) {
        box[i] = (struct brain_box){
            .key = (int64_t)i + 1,
            .base = state_of(w->box[i].base),
            .side = {state_of(w->box[i].side[exchanged]), state_of(w->box[i].side[!exchanged])}};
        confirmed[i] = true;
    }
    assert_int_equal(brain_merge_boxes(box, w->n, '/', exchanged ? 0 : 1, confirmed, arena, &plan), 0);
    merges++;
    return plan;
}

static void check_mirror(const struct world *w, const struct brain_box_plan *plan)
{
    static const int twins[][2] = {{82, 83}, {84, 85}};
    struct arena arena = {0};
    struct brain_box_plan other = merge(w, true, &arena);

    assert_int_equal(plan->n, other.n);
    for (size_t i = 0; i < plan->n; i++) {
        const struct brain_box_op *a = &plan->op[i], *b = &other.op[i];
        bool sided = a->verb != BRAIN_BOX_AGREE && a->verb != BRAIN_BOX_FORGET;
        int number = b->number;
        for (size_t k = 0; k < COUNT(twins) && sided; k++)
            number = number == twins[k][0] ? twins[k][1] : number == twins[k][1] ? twins[k][0] : number;
        assert_int_equal(a->verb, b->verb);
        assert_int_equal(a->side, sided ? !b->side : b->side);
        assert_int_equal(a->number, number);
        assert_int_equal(a->box, b->box);
        assert_string_equal(a->name ? a->name : "", b->name ? b->name : "");
    }
    arena_finish(&arena);
}

/* What the other side shows above a new name stands here already, unless it was removed here. */
static void check_levels_above(const struct world *w, const struct brain_box_op *op)
{
    for (size_t i = 0; i < w->n; i++) {
        const struct box *b = &w->box[i];
        bool removed = b->base[0] && !b->side[op->side][0];
        if (b->side[!op->side][0] && below(op->name, b->side[!op->side]) && !removed)
            assert_string_equal(b->side[op->side], b->side[!op->side]);
    }
}

static void carry_out_rename(struct world *w, const struct brain_box_op *op)
{
    char from[NAME_MAX_OCTETS], base[NAME_MAX_OCTETS];

    if (!strstr(op->name, "mailmount-moving-") && op->number != 89) /* which stay where they are */
        check_levels_above(w, op);
    assert_string_equal(w->box[op->box].side[op->side], op->from);
    assert_false(taken(w, op->side, op->name));
    strcpy(from, op->from);
    strcpy(base, w->box[op->box].base);
    for (size_t i = 0; i < w->n; i++) {
        move_name(w->box[i].side[op->side], from, op->name);
        move_name(w->box[i].base, base, op->name);
    }
}

static void carry_out(struct world *w, const struct brain_box_op *op)
{
    struct box *b = &w->box[op->box];

    switch (op->verb) {
    case BRAIN_BOX_CREATE:
        check_levels_above(w, op);
        assert_false(b->side[op->side][0]);
        assert_false(taken(w, op->side, op->name));
        strcpy(b->side[op->side], op->name);
        strcpy(b->base, op->name);
        break;
    case BRAIN_BOX_RENAME:
        carry_out_rename(w, op);
        break;
    case BRAIN_BOX_DELETE:
        assert_true(b->base[0] && !b->side[!op->side][0]);
        assert_string_equal(b->side[op->side], op->from);
        b->side[op->side][0] = b->base[0] = 0;
        break;
    case BRAIN_BOX_AGREE:
        assert_string_equal(b->side[0], b->side[1]);
        strcpy(b->base, op->name);
        break;
    case BRAIN_BOX_FORGET:
        assert_false(b->side[0][0] || b->side[1][0]);
        b->base[0] = 0;
        break;
    case BRAIN_BOX_HOLD:
        fail_msg("all was confirmed");
    }
}

/* Merges until nothing is left to do; the first plan ends after `cut` operations. Returns the rounds that did
 * something. */
static int settle(struct world *w, size_t cut, size_t *ret_planned)
{
    for (int round = 0; round < ROUNDS_MAX; round++) {
        struct arena arena = {0};
        pair_created(w);
        struct brain_box_plan plan = merge(w, false, &arena);
        if (round == 0)
            check_mirror(w, &plan);
        if (ret_planned && round == 0)
            *ret_planned = plan.n;
        for (size_t i = 0; i < plan.n && (round > 0 || i < cut); i++)
            carry_out(w, &plan.op[i]);
        size_t n = plan.n;
        arena_finish(&arena);
        if (!n)
            return round;
    }
    fail_msg("it does not end");
    return ROUNDS_MAX;
}

static void print_world(const struct world *w)
{
    for (size_t i = 0; i < w->n; i++)
        print_error("  %zu: base %s, left %s, right %s\n", i, w->box[i].base, w->box[i].side[0],
                    w->box[i].side[1]);
}

static bool is_settled(const struct world *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (strcmp(w->box[i].base, w->box[i].side[0]) != 0 || strcmp(w->box[i].base, w->box[i].side[1]) != 0)
            return false;
    return true;
}

static void fail_world(const char *what, const struct world *before, const struct world *after)
{
    print_error("before:\n");
    print_world(before);
    print_error("after:\n");
    print_world(after);
    fail_msg("%s", what);
}

/* A mailbox that only `side` touched is, on both sides, what that side made of it. */
static void check_copy(const struct world *before, const struct world *after, int side)
{
    for (size_t i = 0; i < after->n; i++)
        if (strcmp(after->box[i].side[0], before->box[i].side[side]) != 0)
            fail_world("not a copy of the side that changed", before, after);
}

static void check_world(const struct world *before, int only)
{
    struct world whole = *before;
    size_t planned = 0;
    int rounds = settle(&whole, SIZE_MAX, &planned);

    if (!is_settled(&whole))
        fail_world("not settled", before, &whole);
    if (rounds > 2 && only >= 0)
        fail_world("more than two rounds", before, &whole);
    if (only >= 0)
        check_copy(before, &whole, only);
    for (size_t cut = 0; cut < planned; cut++) {
        struct world crashed = *before;
        settle(&crashed, cut, NULL);
        if (!is_settled(&crashed))
            fail_world("not settled after a crash", before, &crashed);
        for (size_t i = 0; i < whole.n && only >= 0; i++)
            if (strcmp(whole.box[i].side[0], crashed.box[i].side[0]) != 0)
                fail_world("a crash changed the end", before, &crashed);
    }
}

/* ---- all of them ---- */

static bool make_forest(unsigned members, struct world *w)
{
    *w = (struct world){.n = 0};
    for (size_t i = 0; i < COUNT(universe); i++) {
        if (!(members >> i & 1))
            continue;
        if (w->n == FOREST_MAX)
            return false;
        for (int k = 0; k < 2; k++)
            strcpy(w->box[w->n].side[k], universe[i]);
        strcpy(w->box[w->n++].base, universe[i]);
    }
    return true;
}

enum { PAIRS = 6 };

/* Every step that a forest of up to four mailboxes allows. */
static struct step step_number(size_t number)
{
    if (number == 0)
        return (struct step){.what = NOTHING};
    if (--number < COUNT(targets))
        return (struct step){.what = CREATE, .target = number};
    number -= COUNT(targets);
    if (number < 4)
        return (struct step){.what = DELETE, .box = number};
    number -= 4;
    if (number < 4 * COUNT(targets))
        return (struct step){.what = RENAME, .box = number % 4, .target = number / 4};
    number -= 4 * COUNT(targets);
    static const size_t pairs[PAIRS][2] = {{0, 1}, {0, 2}, {0, 3}, {1, 2}, {1, 3}, {2, 3}};
    return (struct step){.what = EXCHANGE, .box = pairs[number][0], .target = pairs[number][1]};
}

#define STEPS (1 + COUNT(targets) + 4 + 4 * COUNT(targets) + PAIRS)

static void check_steps(const struct world *forest, int side, size_t first, int other, size_t second,
                        size_t *checked)
{
    struct world w = *forest;

    if (!take_step(&w, side, step_number(first)) || !take_step(&w, other, step_number(second)))
        return;
    pair_created(&w);
    check_world(&w, side == other ? side : second == 0 ? side : first == 0 ? other : -1);
    ++*checked;
}

static void all_forests(int sides, size_t at_least)
{
    size_t checked = 0;

    for (unsigned members = 0; members < 1u << COUNT(universe); members++) {
        struct world forest;
        if (!make_forest(members, &forest))
            continue;
        for (size_t first = 0; first < STEPS; first++)
            for (size_t second = 0; second < STEPS; second++)
                for (int side = 0; side < 2; side++)
                    check_steps(&forest, side, first, sides == 1 ? side : !side, second, &checked);
    }
    print_message("%zu worlds\n", checked);
    assert_true(checked >= at_least);
}

static void one_side_changed(void **state)
{
    (void)state;
    all_forests(1, 37000);
}

static void both_sides_changed(void **state)
{
    (void)state;
    all_forests(2, 38000);
    assert_true(merges > 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_side_changed),
        cmocka_unit_test(both_sides_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
