/*
 * The merge of messages over all small worlds: base, left and right each absent, or in one of up to three
 * mailboxes with any of \Seen, \Flagged and \Deleted; settled or not; either winner; with and without the two
 * policies; and with sides that cannot store some flags. All worlds that share a base are merged in one call.
 *
 * A plan is carried out on a model of the two sides, in part: after every subset of each message's operations
 * the model "crashes", and is merged again under the plain policy until nothing is left to do. Asserted:
 *   - the end is the same as without the crash, and the one that `expected` says, which is written down
 * without any knowledge of how the brain gets there;
 *   - both sides are then equal, the base is too, and the next merge plans nothing;
 *   - nothing is removed that was not in the base, and nothing while removals are frozen;
 *   - the same input gives the same plan, and exchanging the sides exchanges the plan's sides.
 * The program counts its worlds, so that an empty loop cannot pass.
 */
#include "check.h"
#include <stdlib.h>
#include <string.h>
#include "brain.h"

#define BITS (FLAG_SEEN | FLAG_FLAGGED | FLAG_DELETED)

enum {
    STATES_MAX = 1 + 3 * 8,
    WORLDS_MAX = STATES_MAX * STATES_MAX * 4,
    OPS_MAX = 3,
    ROUNDS_MAX = 2, /* after a crash: one that does the rest, one that is quiet */
};

static struct brain_message world[WORLDS_MAX], mirrored[WORLDS_MAX], played[WORLDS_MAX];
static struct brain_message undisturbed[WORLDS_MAX];
static size_t worlds;

static const flags_t flag_sets[8] = {0,
                                     FLAG_SEEN,
                                     FLAG_FLAGGED,
                                     FLAG_DELETED,
                                     FLAG_SEEN | FLAG_FLAGGED,
                                     FLAG_SEEN | FLAG_DELETED,
                                     FLAG_FLAGGED | FLAG_DELETED,
                                     FLAG_SEEN | FLAG_FLAGGED | FLAG_DELETED};

/* State number 0 is absent, the others are mailbox and flags. */
static struct brain_state state_number(int number, uint64_t content)
{
    if (!number)
        return (struct brain_state){.present = false};
    return (struct brain_state){.present = true,
                                .mailbox = 1 + (number - 1) / 8,
                                .flags = flag_sets[(number - 1) % 8],
                                .content = content};
}

static int states_of(int mailboxes)
{
    return 1 + 8 * mailboxes;
}

static void make_worlds(int base, int mailboxes, const flags_t can[2])
{
    int states = states_of(mailboxes);

    worlds = 0;
    for (int i = 0; i < states * states * 4; i++) {
        struct brain_message m = {
            .key = i + 1,
            .base = state_number(base, i % 3),
            .side = {state_number(i / 4 % states, i % 5), state_number(i / 4 / states, i % 7)},
            .settled = {i & 1, i & 2},
            .can_store = {can[0], can[1]},
            .mailbox_there = {i % 3, i % 5}};
        world[worlds++] = m;
    }
}

static struct brain_plan merge(const struct brain_message *m, struct brain_policy policy, struct arena *arena)
{
    struct brain_plan plan;
    assert_int_equal(brain_merge_messages(m, worlds, &policy, arena, &plan), 0);
    return plan;
}

static bool same_state(const struct brain_state *a, const struct brain_state *b)
{
    if (!a->present || !b->present)
        return a->present == b->present;
    return a->mailbox == b->mailbox && a->flags == b->flags;
}

static void fail_world(const char *what, const struct brain_message *m)
{
    const struct brain_state *s[3] = {&m->base, &m->side[0], &m->side[1]};
    for (int i = 0; i < 3; i++)
        print_error("  %s: %d mailbox %d flags %x\n",
                    i == 0   ? "base"
                    : i == 1 ? "left"
                             : "right",
                    s[i]->present, (int)s[i]->mailbox, (unsigned)s[i]->flags);
    fail_msg("%s: world %d, settled %d %d, can store %x %x", what, (int)m->key, m->settled[0], m->settled[1],
             (unsigned)(m->can_store[0] & BITS), (unsigned)(m->can_store[1] & BITS));
}

/* ---- the model ---- */

static void apply(struct brain_message *m, const struct brain_op *op)
{
    struct brain_state *s = &m->side[op->side];

    switch (op->verb) {
    case BRAIN_COPY:
        assert_false(s->present);
        *s = (struct brain_state){.present = true, .mailbox = op->mailbox, .flags = op->add};
        break;
    case BRAIN_REMOVE:
        assert_true(s->present);
        s->present = false;
        break;
    case BRAIN_STORE:
        assert_true(s->present);
        assert_int_equal((op->add | op->remove) & ~m->can_store[op->side], 0);
        s->flags = (s->flags | op->add) & ~op->remove;
        break;
    case BRAIN_MOVE:
        assert_true(s->present);
        s->mailbox = op->mailbox;
        break;
    case BRAIN_AGREE:
    case BRAIN_FORGET:
        break;
    }
}

static size_t ops_of_message(const struct brain_plan *plan, size_t first)
{
    size_t n = 1;
    while (!plan->op[first + n - 1].last)
        n++;
    return n;
}

/* Carries out operation k of each message when bit k of `subset` is set. */
static void play(struct brain_message *m, const struct brain_plan *plan, unsigned subset)
{
    size_t n;
    for (size_t i = 0; i < plan->n; i += n) {
        n = ops_of_message(plan, i);
        assert_true(n <= OPS_MAX);
        for (size_t k = 0; k < n; k++)
            if (subset >> k & 1)
                apply(&m[plan->op[i].message], &plan->op[i + k]);
        unsigned all = (1u << n) - 1;
        if ((subset & all) == all)
            m[plan->op[i].message].base = plan->op[i + n - 1].agreed;
    }
}

static void settle_all(struct brain_message *m)
{
    for (size_t i = 0; i < worlds; i++)
        m[i].settled[0] = m[i].settled[1] = true;
}

/* ---- what should come of it ---- */

static bool wish_to_keep(const struct brain_message *m, const struct brain_state *s)
{
    flags_t can = s == &m->side[0] ? m->can_store[0] : m->can_store[1];
    bool flagged = !(m->base.flags & FLAG_FLAGGED) && (s->flags & FLAG_FLAGGED);
    bool undeleted = (m->base.flags & FLAG_DELETED & can) && !(s->flags & FLAG_DELETED);
    return s->mailbox != m->base.mailbox || flagged || undeleted;
}

/* Does `side` show the flag in the end, when both sides have the message? */
static bool expected_bit(const struct brain_message *m, int side, flags_t bit)
{
    bool here = m->side[side].flags & bit, there = m->side[!side].flags & bit;
    bool based = m->base.present, base = based && (m->base.flags & bit);

    if (!(m->can_store[side] & bit))
        return here;
    if (!(m->can_store[!side] & bit))
        return here || (there && !base && (based || bit != FLAG_DELETED));
    if (!based)
        return bit == FLAG_DELETED ? here && there : here || there;
    return here == there ? here : !base;
}

/* What `side` should show in the end, where no policy interferes. */
static struct brain_state expected(const struct brain_message *m, int side, int winner)
{
    const struct brain_state *l = &m->side[0], *r = &m->side[1];
    struct brain_state result = {.present = false};

    if (!l->present && !r->present)
        return result;
    if (!l->present || !r->present) {
        const struct brain_state *alone = l->present ? l : r;
        if (m->base.present && !wish_to_keep(m, alone))
            return result;
        result = *alone;
        result.flags &= alone == &m->side[side] ? ~(flags_t)0 : m->can_store[side];
        return result;
    }
    result = m->side[winner];
    if (m->base.present && m->side[winner].mailbox == m->base.mailbox)
        result.mailbox = m->side[!winner].mailbox;
    result.flags = 0;
    for (size_t i = 0; i < COUNT(flag_sets); i++)
        if (flag_sets[i] && !(flag_sets[i] & (flag_sets[i] - 1)) && expected_bit(m, side, flag_sets[i]))
            result.flags |= flag_sets[i];
    return result;
}

static void check_end(int winner)
{
    for (size_t i = 0; i < worlds; i++)
        for (int side = 0; side < 2; side++) {
            struct brain_state e = expected(&world[i], side, winner);
            bool settled = world[i].settled[0] && world[i].settled[1];
            if (settled && !same_state(&undisturbed[i].side[side], &e))
                fail_world("not what was expected", &world[i]);
        }
}

/* ---- properties ---- */

/* The base shows what the side shows that cannot store a flag, so that its turn comes when it can. */
static flags_t expected_base(const struct brain_message *m)
{
    flags_t l = m->side[0].flags, r = m->side[1].flags;
    flags_t can_l = m->can_store[0], can_r = m->can_store[1];
    return (can_l & can_r & l) | (can_l & ~can_r & r) | (~can_l & can_r & l) | (~can_l & ~can_r & l & r);
}

static void check_converged(const struct brain_message *m)
{
    for (size_t i = 0; i < worlds; i++) {
        struct brain_state l = m[i].side[0], r = m[i].side[1];
        flags_t both = m[i].can_store[0] & m[i].can_store[1];
        struct brain_state base = {.present = l.present, .mailbox = l.mailbox, .flags = expected_base(&m[i])};
        if (!same_state(&m[i].base, &base))
            fail_world("the base is not what both show", &world[i]);
        l.flags &= both;
        r.flags &= both;
        if (!same_state(&l, &r))
            fail_world("the sides differ", &world[i]);
    }
}

/* Merges until nothing is left to do. */
static void finish_rounds(struct brain_message *m, int winner)
{
    struct brain_policy plain = {.winner = winner};

    for (int round = 0;; round++) {
        struct arena arena = {0};
        struct brain_plan plan = merge(m, plain, &arena);
        size_t n = plan.n;
        if (n && round == ROUNDS_MAX)
            fail_world("it does not end", &world[plan.op[0].message]);
        play(m, &plan, ~0u);
        arena_finish(&arena);
        if (!n)
            break;
    }
    check_converged(m);
}

static void check_crashes(const struct brain_plan *plan, struct brain_policy policy)
{
    size_t size = worlds * sizeof *world;

    for (int subset = (1 << OPS_MAX) - 1; subset >= 0; subset--) {
        bool whole = subset == (1 << OPS_MAX) - 1;
        struct brain_message *m = whole ? undisturbed : played;
        memcpy(m, world, size);
        play(m, plan, subset);
        settle_all(m);
        finish_rounds(m, policy.winner);
        /* Under a policy, the part that is done later is decided without it. */
        bool plain = !policy.no_base && !policy.no_removals;
        for (size_t i = 0; i < worlds && plain; i++)
            if (!same_state(&played[i].side[0], &undisturbed[i].side[0]) && !whole)
                fail_world("a crash changed the end", &world[i]);
    }
}

static void check_removals(const struct brain_plan *plan, struct brain_policy policy)
{
    size_t frozen = 0;

    for (size_t i = 0; i < plan->n; i++) {
        const struct brain_op *op = &plan->op[i];
        const struct brain_message *m = &world[op->message];
        bool allowed =
            m->base.present && !m->side[!op->side].present && !policy.no_base && !policy.no_removals;
        if (op->verb == BRAIN_REMOVE && !allowed)
            fail_world("a removal that must not be", m);
        if (op->verb == BRAIN_COPY && !m->settled[!op->side])
            fail_world("copied from a side that is not settled", m);
        frozen += op->verb == BRAIN_REMOVE;
    }
    if (policy.no_removals && !policy.no_base) {
        struct arena arena = {0};
        policy.no_removals = false;
        struct brain_plan thawed = merge(world, policy, &arena);
        for (size_t i = 0; i < thawed.n; i++)
            frozen += thawed.op[i].verb == BRAIN_REMOVE;
        assert_int_equal(frozen, plan->frozen);
        arena_finish(&arena);
    }
}

static int mirrored_number(int number)
{
    static const int twins[][2] = {{1, 2}, {5, 6}, {10, 11}, {40, 43}};
    for (size_t i = 0; i < COUNT(twins); i++)
        for (int k = 0; k < 2; k++)
            if (twins[i][k] == number)
                return twins[i][!k];
    return number;
}

/* Equal but for side and number. */
static bool same_work(const struct brain_op *a, const struct brain_op *b)
{
    return a->verb == b->verb && a->message == b->message && a->mailbox == b->mailbox && a->add == b->add &&
           a->remove == b->remove && a->waits == b->waits && a->create_mailbox == b->create_mailbox &&
           a->agreed.content == b->agreed.content && same_state(&a->agreed, &b->agreed);
}

static bool is_mirrored(const struct brain_op *a, const struct brain_op *b)
{
    bool sided = a->verb != BRAIN_AGREE && a->verb != BRAIN_FORGET;
    return same_work(a, b) && (!sided || a->side == !b->side) && a->number == mirrored_number(b->number);
}

static void check_mirror(const struct brain_plan *plan, struct brain_policy policy)
{
    struct arena arena = {0};

    for (size_t i = 0; i < worlds; i++) {
        const struct brain_message *m = &world[i];
        mirrored[i] = *m;
        for (int side = 0; side < 2; side++) {
            mirrored[i].side[side] = m->side[!side];
            mirrored[i].settled[side] = m->settled[!side];
            mirrored[i].can_store[side] = m->can_store[!side];
            mirrored[i].mailbox_there[side] = m->mailbox_there[!side];
        }
    }
    policy.winner = !policy.winner;
    struct brain_plan other = merge(mirrored, policy, &arena);
    assert_int_equal(plan->n, other.n);
    assert_int_equal(plan->frozen, other.frozen);
    size_t n;
    for (size_t i = 0; i < plan->n; i += n) {
        n = ops_of_message(plan, i);
        for (size_t k = 0; k < n; k++) {
            bool found = false;
            for (size_t j = 0; j < n; j++)
                found |= is_mirrored(&plan->op[i + k], &other.op[i + j]);
            if (!found)
                fail_world("not symmetric", &world[plan->op[i].message]);
        }
    }
    arena_finish(&arena);
}

static void check_repeatable(const struct brain_plan *plan, struct brain_policy policy)
{
    struct arena arena = {0};
    struct brain_plan again = merge(world, policy, &arena);

    assert_int_equal(plan->n, again.n);
    for (size_t i = 0; i < plan->n; i++) {
        assert_true(same_work(&plan->op[i], &again.op[i]));
        assert_int_equal(plan->op[i].side, again.op[i].side);
        assert_int_equal(plan->op[i].number, again.op[i].number);
        assert_int_equal(plan->op[i].last, again.op[i].last);
    }
    arena_finish(&arena);
}

/* Where both sides show the base already, there is nothing to do. */
static void check_minimal(const struct brain_plan *plan)
{
    for (size_t i = 0; i < plan->n; i++) {
        const struct brain_op *op = &plan->op[i];
        const struct brain_message *m = &world[op->message];
        bool equal = same_state(&m->side[0], &m->side[1]);
        if (equal && same_state(&m->base, &m->side[0]))
            fail_world("busy for nothing", m);
        if (equal && op->verb != BRAIN_AGREE && op->verb != BRAIN_FORGET)
            fail_world("the sides are equal already", m);
    }
}

static size_t check_worlds(struct brain_policy policy)
{
    struct arena arena = {0};
    struct brain_plan plan = merge(world, policy, &arena);
    bool storable = !(~world[0].can_store[0] & BITS) && !(~world[0].can_store[1] & BITS);

    check_removals(&plan, policy);
    check_mirror(&plan, policy);
    check_repeatable(&plan, policy);
    check_crashes(&plan, policy);
    if (storable)
        check_minimal(&plan);
    if (!policy.no_base && !policy.no_removals)
        check_end(policy.winner);
    arena_finish(&arena);
    return worlds;
}

static size_t check_all(int mailboxes, const flags_t can[2], struct brain_policy policy)
{
    size_t checked = 0;
    for (int base = 0; base < states_of(mailboxes); base++) {
        make_worlds(base, mailboxes, can);
        checked += check_worlds(policy);
    }
    return checked;
}

static const flags_t everything[2] = {~(flags_t)0, ~(flags_t)0};

static void all_worlds(void **state)
{
    size_t checked = 0;
    (void)state;

    for (int winner = 0; winner < 2; winner++)
        checked += check_all(3, everything, (struct brain_policy){.winner = winner});
    assert_int_equal(checked, 2 * 25 * 25 * 25 * 4);
}

static void all_worlds_under_each_policy(void **state)
{
    size_t checked = 0;
    (void)state;

    for (int k = 1; k < 4; k++)
        checked += check_all(2, everything,
                             (struct brain_policy){.no_base = k & 1, .no_removals = k & 2, .winner = k & 1});
    assert_int_equal(checked, 3 * 17 * 17 * 17 * 4);
}

static void all_sets_of_flags_that_can_be_stored(void **state)
{
    size_t checked = 0;
    (void)state;

    for (int i = 0; i < 64; i++) {
        const flags_t can[2] = {~BITS | flag_sets[i % 8], ~BITS | flag_sets[i / 8]};
        for (int no_base = 0; no_base < 2; no_base++)
            checked += check_all(1, can, (struct brain_policy){.no_base = no_base});
    }
    assert_int_equal(checked, 2 * 64 * 9 * 9 * 9 * 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_worlds),
        cmocka_unit_test(all_worlds_under_each_policy),
        cmocka_unit_test(all_sets_of_flags_that_can_be_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
