/* The merge of messages, case by case: cases 0 to 7 first. */
#include "check.h"
#include <errno.h>
#include <string.h>
#include "brain.h"

enum { A = 1, B = 2, C = 3 };
enum { L = 0, R = 1 };
#define S FLAG_SEEN
#define F FLAG_FLAGGED
#define T FLAG_DELETED
#define ALL (~(flags_t)0)

#define GONE                                                                                                 \
    {                                                                                                        \
        .present = false                                                                                     \
    }
#define AT(place, bits)                                                                                      \
    {                                                                                                        \
        .present = true, .mailbox = (place), .flags = (bits)                                                 \
    }

/* One operation expected: unused fields are zero. */
struct expected {
    enum brain_verb verb;
    int side, number;
    int64_t mailbox;
    flags_t add, remove;
};

struct row {
    const char *name;
    struct brain_state base, left, right;
    size_t n;
    struct expected op[3];
    flags_t agreed; /* of the last operation */
};

static struct brain_message message_of(const struct row *row)
{
    return (struct brain_message){.key = 7,
                                  .base = row->base,
                                  .side = {row->left, row->right},
                                  .settled = {true, true},
                                  .can_store = {ALL, ALL},
                                  .mailbox_there = {true, true}};
}

static void check_op(const char *name, const struct brain_op *op, const struct expected *e)
{
    if (op->verb != e->verb || op->side != e->side || op->number != e->number || op->mailbox != e->mailbox ||
        op->add != e->add || op->remove != e->remove)
        fail_msg("%s: verb %d side %d case %d mailbox %d +%x -%x", name, op->verb, op->side, op->number,
                 (int)op->mailbox, (unsigned)op->add, (unsigned)op->remove);
}

static void check_row(const struct row *row, const struct brain_policy *policy)
{
    struct arena arena = {0};
    struct brain_message m = message_of(row);
    struct brain_plan plan;

    assert_int_equal(brain_merge_messages(&m, 1, policy, &arena, &plan), 0);
    if (plan.n != row->n)
        fail_msg("%s: %zu operations", row->name, plan.n);
    for (size_t i = 0; i < plan.n; i++) {
        check_op(row->name, &plan.op[i], &row->op[i]);
        assert_int_equal(plan.op[i].last, i + 1 == plan.n);
        assert_int_equal(plan.op[i].agreed.flags, row->agreed);
    }
    arena_finish(&arena);
}

static void check_rows(const struct row *row, size_t n, struct brain_policy policy)
{
    for (size_t i = 0; i < n; i++)
        check_row(&row[i], &policy);
}

static void existence(void **state)
{
    static const struct row row[] = {
        {"0", GONE, GONE, GONE, 0, {{0}}, 0},
        {"1", GONE, GONE, AT(A, S), 1, {{BRAIN_COPY, L, 1, A, S, 0}}, S},
        {"2", GONE, AT(A, S | T), GONE, 1, {{BRAIN_COPY, R, 2, A, S | T, 0}}, S | T},
        {"3, equal", GONE, AT(A, S), AT(A, S), 1, {{BRAIN_AGREE, 0, 3, A, 0, 0}}, S},
        {"3, union",
         GONE,
         AT(A, S),
         AT(A, F),
         2,
         {{BRAIN_STORE, L, 3, A, F, 0}, {BRAIN_STORE, R, 3, A, S, 0}},
         S | F},
        {"3, one deleted", GONE, AT(A, S | T), AT(A, S), 1, {{BRAIN_STORE, L, 3, A, 0, T}}, S},
        {"3, both deleted", GONE, AT(A, T), AT(A, T), 1, {{BRAIN_AGREE, 0, 3, A, 0, 0}}, T},
        {"4", AT(A, S), GONE, GONE, 1, {{BRAIN_FORGET, 0, 4, 0, 0, 0}}, 0},
        {"5", AT(A, S), GONE, AT(A, S), 1, {{BRAIN_REMOVE, R, 5, A, 0, 0}}, 0},
        {"6", AT(A, S), AT(A, S), GONE, 1, {{BRAIN_REMOVE, L, 6, A, 0, 0}}, 0},
        {"7, nothing", AT(A, S), AT(A, S), AT(A, S), 0, {{0}}, 0},
        {"10, only read", AT(A, 0), GONE, AT(A, S), 1, {{BRAIN_REMOVE, R, 10, A, 0, 0}}, 0},
        {"10, flagged", AT(A, 0), GONE, AT(A, F), 1, {{BRAIN_COPY, L, 10, A, F, 0}}, F},
        {"10, undeleted", AT(A, T | S), GONE, AT(A, S), 1, {{BRAIN_COPY, L, 10, A, S, 0}}, S},
        {"10, flagged before", AT(A, F), GONE, AT(A, F | S), 1, {{BRAIN_REMOVE, R, 10, A, 0, 0}}, 0},
        {"11, deleted too", AT(A, 0), AT(A, T), GONE, 1, {{BRAIN_REMOVE, L, 11, A, 0, 0}}, 0},
        {"11, flagged", AT(A, 0), AT(A, F), GONE, 1, {{BRAIN_COPY, R, 11, A, F, 0}}, F},
    };
    (void)state;
    check_rows(row, COUNT(row), (struct brain_policy){0});
}

static void flags(void **state)
{
    static const struct row row[] = {
        {"7, here", AT(A, 0), AT(A, S), AT(A, 0), 1, {{BRAIN_STORE, R, 7, A, S, 0}}, S},
        {"7, there", AT(A, S), AT(A, S), AT(A, 0), 1, {{BRAIN_STORE, L, 7, A, 0, S}}, 0},
        {"7, crossing",
         AT(A, S),
         AT(A, S | F),
         AT(A, 0),
         2,
         {{BRAIN_STORE, L, 7, A, 0, S}, {BRAIN_STORE, R, 7, A, F, 0}},
         F},
        {"7, the same", AT(A, S), AT(A, F), AT(A, F), 1, {{BRAIN_AGREE, 0, 7, A, 0, 0}}, F},
        {"16", AT(A, S), AT(A, S | T), AT(A, S), 1, {{BRAIN_STORE, R, 16, A, T, 0}}, S | T},
    };
    (void)state;
    check_rows(row, COUNT(row), (struct brain_policy){0});
}

/* Cases 30 and 73: what one side has is brought to the other one, and nothing is removed. */
static void flags_without_base(void **state)
{
    static const struct row row[] = {
        {"30, union",
         AT(A, 0),
         AT(A, S),
         AT(A, F),
         2,
         {{BRAIN_STORE, L, 30, A, F, 0}, {BRAIN_STORE, R, 30, A, S, 0}},
         S | F},
        {"30, one deleted", AT(A, T), AT(A, 0), AT(A, T), 1, {{BRAIN_STORE, R, 30, A, 0, T}}, 0},
        {"30, equal", AT(A, S), AT(A, 0), AT(A, 0), 1, {{BRAIN_AGREE, 0, 30, A, 0, 0}}, 0},
        {"73, no removal", AT(A, S), AT(A, S), GONE, 1, {{BRAIN_COPY, R, 2, A, S, 0}}, S},
        {"4", AT(A, S), GONE, GONE, 1, {{BRAIN_FORGET, 0, 4, 0, 0, 0}}, 0},
    };
    (void)state;
    check_rows(row, COUNT(row), (struct brain_policy){.no_base = true});
}

/* Cases 40 to 47 */
static void moves(void **state)
{
    static const struct row row[] = {
        {"40", AT(A, S), AT(B, S), AT(A, S), 1, {{BRAIN_MOVE, R, 40, B, 0, 0}}, S},
        {"43", AT(A, S), AT(A, S), AT(B, S), 1, {{BRAIN_MOVE, L, 43, B, 0, 0}}, S},
        {"41",
         AT(A, 0),
         AT(B, F),
         AT(A, S),
         3,
         {{BRAIN_MOVE, R, 41, B, 0, 0}, {BRAIN_STORE, L, 7, B, S, 0}, {BRAIN_STORE, R, 7, B, F, 0}},
         S | F},
        {"42", AT(A, S), AT(B, S), GONE, 1, {{BRAIN_COPY, R, 42, B, S, 0}}, S},
        {"44", AT(A, S), AT(B, S), AT(C, S), 1, {{BRAIN_MOVE, L, 44, C, 0, 0}}, S},
        {"44, no base", GONE, AT(B, S), AT(C, S), 1, {{BRAIN_MOVE, L, 44, C, 0, 0}}, S},
        {"45", AT(A, S), AT(B, S), AT(B, S), 1, {{BRAIN_AGREE, 0, 45, B, 0, 0}}, S},
        {"46", AT(A, S), AT(A, S), AT(A, S), 0, {{0}}, 0},
    };
    (void)state;
    check_rows(row, COUNT(row), (struct brain_policy){.winner = R});
}

/* Merges one message and hands out its only operation, or a zero one when there is none. */
static struct brain_op only_op(const struct brain_message *m, struct brain_policy policy)
{
    struct arena arena = {0};
    struct brain_plan plan;

    assert_int_equal(brain_merge_messages(m, 1, &policy, &arena, &plan), 0);
    assert_true(plan.n <= 1);
    struct brain_op op = plan.n ? plan.op[0] : (struct brain_op){0};
    arena_finish(&arena);
    return op;
}

static void case_47_creates_the_target_first(void **state)
{
    struct row row = {"47", AT(A, S), AT(B, S), AT(A, S), 0, {{0}}, 0};
    struct brain_message m = message_of(&row);
    struct brain_policy policy = {0};
    (void)state;

    m.mailbox_there[R] = false;
    struct brain_op op = only_op(&m, policy);
    assert_int_equal(op.verb, BRAIN_MOVE);
    assert_int_equal(op.number, 47);
    assert_true(op.create_mailbox);
    m.side[R].present = false;
    op = only_op(&m, policy);
    assert_int_equal(op.number, 42);
    assert_true(op.create_mailbox);
}

static void what_is_not_settled_is_not_copied(void **state)
{
    struct row row = {"2", GONE, AT(A, S), GONE, 0, {{0}}, 0};
    struct brain_message m = message_of(&row);
    (void)state;

    m.settled[L] = false;
    assert_false(only_op(&m, (struct brain_policy){0}).last);
    m.settled[L] = true;
    assert_true(only_op(&m, (struct brain_policy){0}).last);
}

static void what_is_not_settled_still_merges(void **state)
{
    struct row row = {"7", AT(A, 0), AT(A, S), AT(A, 0), 0, {{0}}, 0};
    struct brain_message m = message_of(&row);
    (void)state;

    m.settled[L] = false;
    assert_int_equal(only_op(&m, (struct brain_policy){0}).verb, BRAIN_STORE);
}

static void case_17_a_body_that_never_came_goes(void **state)
{
    struct row row = {"17", AT(A, 0), AT(A, 0), GONE, 0, {{0}}, 0};
    struct brain_message m = message_of(&row);
    (void)state;

    m.settled[L] = false;
    struct brain_op op = only_op(&m, (struct brain_policy){0});
    assert_int_equal(op.verb, BRAIN_REMOVE);
    assert_int_equal(op.side, L);
    assert_int_equal(op.number, 17);
}

static void case_20_content_decides_nothing(void **state)
{
    static const uint64_t content[] = {0, 5, 6};
    struct row row = {"20", AT(A, S), AT(A, S), AT(A, S), 0, {{0}}, 0};
    (void)state;

    for (size_t i = 0; i < 27; i++) {
        struct brain_message m = message_of(&row);
        m.base.content = content[i % 3];
        m.side[L].content = content[i / 3 % 3];
        m.side[R].content = content[i / 9];
        assert_false(only_op(&m, (struct brain_policy){0}).last);
        m.side[L].present = false;
        assert_int_equal(only_op(&m, (struct brain_policy){0}).verb, BRAIN_REMOVE);
    }
}

/* What is agreed carries the winner's content, else the other side's, else the base's. */
static void the_known_content_is_agreed(void **state)
{
    static const uint64_t table[][4] = {/* base, left, right, agreed */
                                        {9, 5, 6, 6}, {9, 5, 0, 5}, {9, 0, 6, 6},
                                        {9, 0, 0, 9}, {0, 5, 0, 5}, {0, 0, 0, 0}};
    struct row row = {"content", AT(A, 0), AT(A, S), AT(A, 0), 0, {{0}}, 0};
    (void)state;

    for (size_t i = 0; i < COUNT(table); i++) {
        struct brain_message m = message_of(&row);
        m.base.content = table[i][0];
        m.side[L].content = table[i][1];
        m.side[R].content = table[i][2];
        assert_int_equal(only_op(&m, (struct brain_policy){.winner = R}).agreed.content, table[i][3]);
    }
}

static void removals_freeze(void **state)
{
    struct row row = {"70", AT(A, S), GONE, AT(A, S), 0, {{0}}, 0};
    struct brain_message m[2] = {message_of(&row), message_of(&row)};
    struct brain_policy policy = {.no_removals = true};
    struct arena arena = {0};
    struct brain_plan plan;
    (void)state;

    m[1].base.present = false;
    assert_int_equal(brain_merge_messages(m, 2, &policy, &arena, &plan), 0);
    assert_int_equal(plan.frozen, 1);
    assert_int_equal(plan.n, 1);
    assert_int_equal(plan.op[0].verb, BRAIN_COPY);
    assert_int_equal(plan.op[0].message, 1);
    arena_finish(&arena);
}

/* An edit: the old message (key 7) is gone here, the new one (key 8) must be on both sides first. */
static bool removal_waits(const struct brain_message *successor)
{
    struct row row = {"12", AT(A, S), GONE, AT(A, S), 0, {{0}}, 0};
    struct brain_message m[2] = {message_of(&row)};
    struct brain_policy policy = {0};
    struct arena arena = {0};
    struct brain_plan plan;

    m[0].after = 8;
    if (successor)
        m[1] = *successor;
    assert_int_equal(brain_merge_messages(m, successor ? 2 : 1, &policy, &arena, &plan), 0);
    assert_int_equal(plan.op[0].verb, BRAIN_REMOVE);
    bool waits = plan.op[0].waits;
    arena_finish(&arena);
    return waits;
}

static void a_removal_waits_for_its_successor(void **state)
{
    struct row row = {"successor", GONE, AT(A, S), GONE, 0, {{0}}, 0};
    struct brain_message next = message_of(&row);
    (void)state;

    next.key = 8;
    assert_true(removal_waits(&next));
    next.side[R] = next.side[L];
    assert_false(removal_waits(&next));
    next.side[L].present = false;
    assert_true(removal_waits(&next));
    next.key = 9;
    assert_false(removal_waits(&next));
    assert_false(removal_waits(NULL));
}

/* What has no row yet has key 0, and `after` is 0 where nothing is to be waited for. */
static void nothing_waits_for_key_0(void **state)
{
    struct arena arena = {0};
    struct brain_policy policy = {.winner = R};
    struct brain_plan plan;
    const struct row removed = {.base = AT(A, S), .left = GONE, .right = AT(A, S)};
    const struct row fresh = {.base = GONE, .left = GONE, .right = AT(A, S)};
    struct brain_message m[3] = {message_of(&removed), message_of(&fresh), message_of(&removed)};
    (void)state;

    m[1].key = 0;
    m[2].key = 8;
    m[2].after = 7;
    assert_int_equal(brain_merge_messages(m, COUNT(m), &policy, &arena, &plan), 0);
    assert_int_equal(plan.n, COUNT(m));
    assert_false(plan.op[0].waits);
    assert_true(plan.op[2].waits);
    arena_finish(&arena);
}

/* Case 41, whichever side the flags changed on. */
static void a_move_with_other_flags_is_case_41(void **state)
{
    const flags_t changed[][2] = {{S, 0}, {0, S}, {S, F}};
    (void)state;

    for (size_t i = 0; i < COUNT(changed); i++)
        for (int side = 0; side < 2; side++) {
            struct arena arena = {0};
            struct brain_policy policy = {.winner = R};
            struct brain_plan plan;
            struct row row = {.base = AT(A, 0), .left = AT(A, changed[i][0]), .right = AT(A, changed[i][1])};
            (side == L ? &row.left : &row.right)->mailbox = B;
            struct brain_message m = message_of(&row);
            assert_int_equal(brain_merge_messages(&m, 1, &policy, &arena, &plan), 0);
            assert_int_equal(plan.op[0].verb, BRAIN_MOVE);
            assert_int_equal(plan.op[0].number, 41);
            arena_finish(&arena);
        }
}

/* What one side alone can store differs for ever, and is nothing that follows. */
static void a_move_with_flags_kept_back_is_case_40(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++)
        for (int keeper = 0; keeper < 2; keeper++) {
            struct arena arena = {0};
            struct brain_policy policy = {.winner = R};
            struct brain_plan plan;
            struct row row = {.base = AT(A, 0), .left = AT(A, 0), .right = AT(A, 0)};
            (side == L ? &row.left : &row.right)->mailbox = B;
            (keeper == L ? &row.left : &row.right)->flags = F;
            struct brain_message m = message_of(&row);
            m.can_store[!keeper] = S;
            assert_int_equal(brain_merge_messages(&m, 1, &policy, &arena, &plan), 0);
            assert_int_equal(plan.n, 1);
            assert_int_equal(plan.op[0].number, side == L ? 40 : 43);
            arena_finish(&arena);
        }
}

/* Case 44 says more than that the target is to be made, or that flags follow. */
static void two_places_stay_case_44(void **state)
{
    struct row row = {.base = AT(A, 0), .left = AT(B, F), .right = AT(C, 0)};
    (void)state;

    for (int winner = 0; winner < 2; winner++)
        for (int there = 0; there < 2; there++) {
            struct arena arena = {0};
            struct brain_policy policy = {.winner = winner};
            struct brain_plan plan;
            struct brain_message m = message_of(&row);
            m.mailbox_there[L] = m.mailbox_there[R] = there;
            assert_int_equal(brain_merge_messages(&m, 1, &policy, &arena, &plan), 0);
            assert_int_equal(plan.op[0].verb, BRAIN_MOVE);
            assert_int_equal(plan.op[0].side, !winner);
            assert_int_equal(plan.op[0].number, 44);
            assert_int_equal(plan.op[0].create_mailbox, !there);
            arena_finish(&arena);
        }
}

/* Each of a chain of edits waits for the next one, also where all of them have one. */
static void a_chain_of_edits_waits(void **state)
{
    struct arena arena = {0};
    struct brain_policy policy = {.winner = R};
    struct brain_plan plan;
    const struct row removed = {.base = AT(A, S), .left = GONE, .right = AT(A, S)};
    const struct row unsent = {.base = GONE, .left = AT(A, S), .right = GONE};
    struct brain_message m[4] = {message_of(&removed), message_of(&removed), message_of(&removed),
                                 message_of(&unsent)};
    (void)state;

    for (size_t i = 0; i < COUNT(m); i++) {
        m[i].key = 40 - (int64_t)i; /* which need not be in order */
        m[i].after = m[i].key - 1;  /* of the last one: none that is there */
    }
    assert_int_equal(brain_merge_messages(m, COUNT(m), &policy, &arena, &plan), 0);
    assert_int_equal(plan.n, COUNT(m));
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(plan.op[i].verb, BRAIN_REMOVE);
        assert_true(plan.op[i].waits);
    }
    assert_int_equal(plan.op[3].verb, BRAIN_COPY);
    arena_finish(&arena);
}

static void flags_that_a_side_cannot_store_stay(void **state)
{
    struct row row = {"32", AT(A, S), AT(A, S | F), AT(A, S), 0, {{0}}, 0};
    struct brain_message m = message_of(&row);
    struct brain_policy policy = {0};
    (void)state;

    /* Set here, cannot be sent there: nothing to do, and the base stays without it. */
    m.can_store[R] = S;
    assert_false(only_op(&m, policy).last);
    /* As soon as it can be stored, it is sent. */
    m.can_store[R] = S | F;
    assert_int_equal(only_op(&m, policy).add, F);
    /* Lost there, by a side that cannot store it: no removal here, but the base forgets it. */
    m.can_store[R] = S;
    m.base.flags = S | F;
    struct brain_op op = only_op(&m, policy);
    assert_int_equal(op.verb, BRAIN_AGREE);
    assert_int_equal(op.agreed.flags, S);
    /* A copy takes along what the other side can hold. */
    m.base.present = m.side[R].present = false;
    op = only_op(&m, policy);
    assert_int_equal(op.add, S);
    assert_int_equal(op.agreed.flags, S);
}

static void a_deleted_flag_that_cannot_be_stored_is_not_undeleted(void **state)
{
    struct row row = {"10", AT(A, T), GONE, AT(A, 0), 0, {{0}}, 0};
    struct brain_message m = message_of(&row);
    (void)state;

    m.can_store[R] = ALL & ~T;
    assert_int_equal(only_op(&m, (struct brain_policy){0}).verb, BRAIN_REMOVE);
}

static void nothing_in_nothing_out(void **state)
{
    struct brain_policy policy = {0};
    struct arena arena = {0};
    struct brain_plan plan = {.n = 9};
    (void)state;

    assert_int_equal(brain_merge_messages(NULL, 0, &policy, &arena, &plan), 0);
    assert_int_equal(plan.n, 0);
    arena_finish(&arena);
}

/* 37: many messages with the same change give the same delta, so that they can go in one command. */
static void equal_changes_give_equal_deltas(void **state)
{
    static struct brain_message m[1000];
    struct row row = {"37", AT(A, 0), AT(A, S), AT(A, 0), 0, {{0}}, 0};
    struct brain_policy policy = {0};
    struct arena arena = {0};
    struct brain_plan plan;
    (void)state;

    for (size_t i = 0; i < COUNT(m); i++) {
        m[i] = message_of(&row);
        m[i].base.flags = m[i].side[R].flags = i % 2 ? F : 0;
        m[i].side[L].flags = m[i].base.flags | S;
    }
    assert_int_equal(brain_merge_messages(m, COUNT(m), &policy, &arena, &plan), 0);
    assert_int_equal(plan.n, COUNT(m));
    for (size_t i = 0; i < plan.n; i++) {
        assert_int_equal(plan.op[i].message, i);
        assert_int_equal(plan.op[i].add, S);
        assert_int_equal(plan.op[i].remove, 0);
    }
    arena_finish(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(existence),
        cmocka_unit_test(flags),
        cmocka_unit_test(flags_without_base),
        cmocka_unit_test(moves),
        cmocka_unit_test(case_47_creates_the_target_first),
        cmocka_unit_test(what_is_not_settled_is_not_copied),
        cmocka_unit_test(what_is_not_settled_still_merges),
        cmocka_unit_test(case_17_a_body_that_never_came_goes),
        cmocka_unit_test(case_20_content_decides_nothing),
        cmocka_unit_test(the_known_content_is_agreed),
        cmocka_unit_test(removals_freeze),
        cmocka_unit_test(a_removal_waits_for_its_successor),
        cmocka_unit_test(nothing_waits_for_key_0),
        cmocka_unit_test(a_move_with_other_flags_is_case_41),
        cmocka_unit_test(a_move_with_flags_kept_back_is_case_40),
        cmocka_unit_test(two_places_stay_case_44),
        cmocka_unit_test(a_chain_of_edits_waits),
        cmocka_unit_test(flags_that_a_side_cannot_store_stay),
        cmocka_unit_test(a_deleted_flag_that_cannot_be_stored_is_not_undeleted),
        cmocka_unit_test(nothing_in_nothing_out),
        cmocka_unit_test(equal_changes_give_equal_deltas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
