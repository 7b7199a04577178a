/* The merge of mailboxes, case by case. */
#include "check.h"
#include <string.h>
#include "brain.h"

enum { L = 0, R = 1, MAX = 12 };

/* Names of base, left and right; NULL is absent, a leading '-' a level of the hierarchy only. */
struct box {
    const char *base, *left, *right;
    bool unsynced_left, unsynced_right, keep, held;
    int64_t key;
};

#define BOX(in_base, on_left, on_right, ...)                                                                 \
    {                                                                                                        \
        .base = (in_base), .left = (on_left), .right = (on_right), __VA_ARGS__                               \
    }

struct expected {
    enum brain_box_verb verb;
    int side, number;
    const char *name, *from;
};

static struct brain_box_state state_of(const char *name)
{
    if (!name)
        return (struct brain_box_state){.present = false};
    bool level = name[0] == '-';
    return (struct brain_box_state){.present = true, .name = name + level, .mailbox = !level};
}

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static void check(const char *what, const struct box *in, size_t n, const struct expected *e,
                  size_t n_expected)
{
    struct brain_box box[MAX] = {{0}};
    bool confirmed[MAX];
    struct arena arena = {0};
    struct brain_box_plan plan;

    for (size_t i = 0; i < n; i++) {
        box[i] = (struct brain_box){.key = in[i].key,
                                    .base = state_of(in[i].base),
                                    .side = {state_of(in[i].left), state_of(in[i].right)},
                                    .unsynced = {in[i].unsynced_left, in[i].unsynced_right},
                                    .keep = in[i].keep};
        confirmed[i] = !in[i].held;
    }
    assert_int_equal(brain_merge_boxes(box, n, '/', 1, confirmed, &arena, &plan), 0);
    for (size_t i = 0; i < plan.n && i < n_expected; i++) {
        const struct brain_box_op *op = &plan.op[i];
        if (op->verb != e[i].verb || op->side != e[i].side || op->number != e[i].number ||
            !same(op->name, e[i].name) || !same(op->from, e[i].from))
            fail_msg("%s: operation %zu: verb %d side %d case %d name %s from %s", what, i, op->verb,
                     op->side, op->number, op->name ? op->name : "-", op->from ? op->from : "-");
        if (op->verb == BRAIN_BOX_CREATE)
            assert_int_equal(op->mailbox, box[op->box].side[!op->side].mailbox);
        if (op->verb == BRAIN_BOX_AGREE)
            assert_int_equal(op->mailbox, box[op->box].side[0].mailbox);
    }
    if (plan.n != n_expected)
        fail_msg("%s: %zu operations", what, plan.n);
    arena_finish(&arena);
}

#define CHECK(what, boxes, ...)                                                                              \
    do {                                                                                                     \
        const struct expected expected_ops[] = {__VA_ARGS__};                                                \
        check(what, boxes, COUNT(boxes), expected_ops, COUNT(expected_ops));                                 \
    } while (0)

static void case_80_created(void **state)
{
    const struct box here[] = {BOX(NULL, "a/b", NULL), BOX(NULL, "a", NULL)};
    const struct box both[] = {BOX(NULL, "a", "a")};
    const struct box long_name[] = {BOX(NULL, "b/c", NULL), BOX(NULL, "long", NULL)};
    (void)state;
    CHECK("80, upper levels first, however long their names", long_name,
          {BRAIN_BOX_CREATE, R, 80, "long", NULL}, {BRAIN_BOX_CREATE, R, 80, "b/c", NULL});
    CHECK("80", here, {BRAIN_BOX_CREATE, R, 80, "a", NULL}, {BRAIN_BOX_CREATE, R, 80, "a/b", NULL});
    CHECK("80, both", both, {BRAIN_BOX_AGREE, 0, 80, "a", NULL});
}

static void case_81_removed(void **state)
{
    const struct box here[] = {BOX("a", NULL, "a"), BOX("a/b", NULL, "a/b")};
    const struct box there[] = {BOX("a", "a", NULL)};
    const struct box both[] = {BOX("a", NULL, NULL)};
    const struct box several[] = {BOX("a", NULL, "a"), BOX("longer", NULL, "longer"), BOX("b/c", NULL, "b/c"),
                                  BOX("third", NULL, "third")};
    (void)state;
    CHECK("81", here, {BRAIN_BOX_DELETE, R, 81, NULL, "a/b"}, {BRAIN_BOX_DELETE, R, 81, NULL, "a"});
    CHECK("81, the other way", there, {BRAIN_BOX_DELETE, L, 81, NULL, "a"});
    CHECK("81, both", both, {BRAIN_BOX_FORGET, 0, 81, NULL, NULL});
    CHECK("81, the lowest first, and of one level the last", several, {BRAIN_BOX_DELETE, R, 81, NULL, "b/c"},
          {BRAIN_BOX_DELETE, R, 81, NULL, "third"}, {BRAIN_BOX_DELETE, R, 81, NULL, "longer"},
          {BRAIN_BOX_DELETE, R, 81, NULL, "a"});
}

static void cases_82_and_83_mail_that_the_other_side_never_saw(void **state)
{
    const struct box new_there[] = {BOX("a", NULL, "a", .unsynced_right = true)};
    const struct box new_here[] = {BOX("a", "a", NULL, .unsynced_left = true)};
    (void)state;
    CHECK("82", new_there, {BRAIN_BOX_CREATE, L, 82, "a", NULL});
    CHECK("83", new_here, {BRAIN_BOX_CREATE, R, 83, "a", NULL});
}

static void case_75_missing_may_be_a_lie(void **state)
{
    const struct box held[] = {BOX("a", "a", NULL, .held = true),
                               BOX("b", "b", NULL, .unsynced_left = true, .held = true)};
    (void)state;
    CHECK("75", held, {BRAIN_BOX_HOLD, R, 75, NULL, NULL}, {BRAIN_BOX_HOLD, R, 75, NULL, NULL});
}

static void inbox_is_kept(void **state)
{
    const struct box inbox[] = {BOX("INBOX", "INBOX", NULL, .keep = true), BOX("x", NULL, NULL)};
    const struct box renamed[] = {BOX("INBOX", "old", "INBOX", .keep = true)};
    const struct box fresh[] = {BOX(NULL, NULL, "INBOX", .keep = true)};
    const struct box in_the_way[] = {BOX("INBOX", "INBOX", NULL, .keep = true), BOX("a", "a", "INBOX"),
                                     BOX("a/b", "a/b", "INBOX/b")};
    (void)state;
    check("another one has its name there", in_the_way, 3, NULL, 0);
    CHECK("missing", inbox, {BRAIN_BOX_FORGET, 0, 81, NULL, NULL});
    check("renamed", renamed, 1, NULL, 0);
    CHECK("first seen", fresh, {BRAIN_BOX_CREATE, L, 80, "INBOX", NULL});
}

static void case_84_one_rename_takes_the_children(void **state)
{
    const struct box tree[] = {BOX("a/b", "x/b", "a/b"), BOX("a", "x", "a"), BOX("ab", "ab", "ab")};
    const struct box deep[] = {BOX("a", "x", "a"), BOX("a/b", "x/y", "a/b"), BOX("a/b/c", "x/y/c", "a/b/c")};
    const struct box both[] = {BOX("a", "x", "x")};
    const struct box up[] = {BOX("a/b/b/b", "a/b/b", "a/b/b/b"), BOX("a/b/b", "a/b", "a/b/b"),
                             BOX("a/b", "a", "a/b")};
    (void)state;
    CHECK("84, a level up: what is below gets names that it has left", up,
          {BRAIN_BOX_RENAME, R, 84, "a", "a/b"});
    CHECK("84", tree, {BRAIN_BOX_RENAME, R, 84, "x", "a"});
    CHECK("84, twice", deep, {BRAIN_BOX_RENAME, R, 84, "x", "a"}, {BRAIN_BOX_RENAME, R, 84, "x/y", "x/b"});
    CHECK("84, both", both, {BRAIN_BOX_AGREE, 0, 84, "x", NULL});
}

static void case_85_recognised_by_the_caller(void **state)
{
    const struct box there[] = {BOX("a", "a", "x")};
    const struct box crossing[] = {BOX("a", "x", "a"), BOX("a/b", "x/b", "a/y")};
    (void)state;
    CHECK("85", there, {BRAIN_BOX_RENAME, L, 85, "x", "a"});
    CHECK("84 and 85", crossing, {BRAIN_BOX_RENAME, R, 84, "x", "a"},
          {BRAIN_BOX_RENAME, L, 85, "x/y", "x/b"});
}

/* Two new names for one mailbox: the winner's, which is right here. */
static void case_86_renamed_to_different_names(void **state)
{
    const struct box apart[] = {BOX("a", "x", "y")};
    const struct box below[] = {BOX("a", "x", "y"), BOX(NULL, "x/n", NULL)};
    const struct box one_for_two[] = {BOX("a", "c", "a"), BOX("b", "b", "c")};
    (void)state;
    CHECK("86", apart, {BRAIN_BOX_RENAME, 0, 86, "y", "x"});
    CHECK("86, and below it", below, {BRAIN_BOX_RENAME, 0, 86, "y", "x"},
          {BRAIN_BOX_CREATE, 1, 80, "y/n", NULL});
    CHECK("86, one name for two", one_for_two, {BRAIN_BOX_RENAME, 0, 86, "a", "c"},
          {BRAIN_BOX_RENAME, 0, 85, "c", "b"});
}

/* What is not on the winner's side gets another name where its own is needed. */
static void case_89_a_suffix(void **state)
{
    const struct box made_there_too[] = {BOX("c", "b", "c"), BOX(NULL, "c", NULL), BOX(NULL, NULL, "b")};
    const struct box unsent[] = {BOX("b", "b", NULL, .unsynced_left = true), BOX("a", "a", "b")};
    const struct box second[] = {BOX("b", "b", NULL, .unsynced_left = true),
                                 BOX("a", "a", "b"),
                                 BOX("b~2", "b~2", "b~2"),
                                 BOX(NULL, NULL, "b~3"),
                                 BOX("b~4", NULL, NULL),
                                 BOX(NULL, "b~5", NULL)};
    const struct box gone[] = {BOX("b", "b", NULL), BOX("a", "a", "b")};
    const struct box collides[] = {BOX("a", "b", "a"), BOX("a/w", "b/w", "a/w"), BOX("b/x", "b/x", "b/x"),
                                   BOX("a/x", "a/x", "a/x"), BOX(NULL, "c", NULL)};
    const struct box collides_first[] = {BOX("b/x", "b/x", "b/x"), BOX("x", "x", "x"),
                                         BOX("a/x", "a/x", "a/x"), BOX("a", "b", "a"), BOX(NULL, "c", NULL)};
    const struct box collides_twice[] = {BOX("a", "b", "a"), BOX("b/x", "b/x", "b/x"),
                                         BOX("a/x", "a/x", "a/x"), BOX("a/x~2", "a/x~2", "a/x~2")};
    const struct box of_a_level[] = {BOX("p", "q", "a"), BOX(NULL, "a", NULL), BOX("x", "a/x", "x")};
    const struct box all_taken[] = {BOX("b", "b", NULL, .unsynced_left = true),
                                    BOX("a", "a", "b"),
                                    BOX("b~2", "b~2", "b~2"),
                                    BOX("b~3", "b~3", "b~3"),
                                    BOX("b~4", "b~4", "b~4"),
                                    BOX("b~5", "b~5", "b~5"),
                                    BOX("b~6", "b~6", "b~6"),
                                    BOX("b~7", "b~7", "b~7"),
                                    BOX("b~8", "b~8", "b~8")};
    (void)state;
    CHECK("89, and the rename is taken back", made_there_too, {BRAIN_BOX_RENAME, L, 89, "c~2", "c"},
          {BRAIN_BOX_RENAME, L, 86, "c", "b"}, {BRAIN_BOX_CREATE, R, 80, "c~2", NULL},
          {BRAIN_BOX_CREATE, L, 80, "b", NULL});
    CHECK("89, its name was given away there", unsent, {BRAIN_BOX_RENAME, L, 89, "b~2", "b"},
          {BRAIN_BOX_RENAME, L, 85, "b", "a"}, {BRAIN_BOX_CREATE, R, 83, "b~2", NULL});
    CHECK("89, the next that is free", second, {BRAIN_BOX_RENAME, L, 89, "b~6", "b"},
          {BRAIN_BOX_RENAME, L, 85, "b", "a"}, {BRAIN_BOX_CREATE, R, 83, "b~6", NULL},
          {BRAIN_BOX_CREATE, L, 80, "b~3", NULL}, {BRAIN_BOX_CREATE, R, 80, "b~5", NULL},
          {BRAIN_BOX_FORGET, 0, 81, NULL, NULL});
    CHECK("89, it would come along to where another one is", collides,
          {BRAIN_BOX_RENAME, L, 89, "b/x~2", "b/x"}, {BRAIN_BOX_RENAME, L, 86, "a", "b"},
          {BRAIN_BOX_CREATE, R, 80, "c", NULL});
    CHECK("89, the same in another order", collides_first, {BRAIN_BOX_RENAME, L, 89, "b/x~2", "b/x"},
          {BRAIN_BOX_RENAME, L, 86, "a", "b"}, {BRAIN_BOX_CREATE, R, 80, "c", NULL});
    CHECK("89, one suffix in a round", collides_twice, {BRAIN_BOX_RENAME, L, 89, "b/x~2", "b/x"});
    check("89, no name is free", all_taken, COUNT(all_taken), NULL, 0);
    CHECK("89, of a level", of_a_level, {BRAIN_BOX_RENAME, L, 86, "x", "a/x"},
          {BRAIN_BOX_RENAME, L, 89, "a~2", "a"}, {BRAIN_BOX_RENAME, L, 86, "a", "q"},
          {BRAIN_BOX_CREATE, R, 80, "a~2", NULL});
    CHECK("89, not for what is to go", gone, {BRAIN_BOX_DELETE, L, 81, NULL, "b"});
}

/* Two with one base name could not be told apart. */
static void a_creation_waits_for_a_base(void **state)
{
    const struct box made_again[] = {BOX("a", "b", NULL), BOX(NULL, "a", NULL)};
    const struct box level[] = {BOX("a", "b", NULL), BOX(NULL, "a", NULL), BOX("c", "a/c", "c")};
    (void)state;
    CHECK("a name that is still agreed on", made_again, {BRAIN_BOX_DELETE, L, 81, NULL, "b"});
    CHECK("of a level above a name", level, {BRAIN_BOX_DELETE, L, 81, NULL, "b"});
}

/* The name is free as soon as the removal is through: the rename is not taken back. */
static void a_rename_waits_for_a_removal(void **state)
{
    const struct box removed[] = {BOX("a", NULL, "a", .held = true), BOX("b", "a", "b")};
    const struct box chain[] = {BOX("a", NULL, "a", .held = true), BOX("b", "a", "b"), BOX("c", "b", "c")};
    const struct box other_side[] = {BOX("a", "a", NULL, .held = true), BOX("b", "b", "a")};
    const struct box below[] = {BOX("a", NULL, "a", .held = true), BOX("b", "a/b", "b"),
                                BOX(NULL, "a", NULL)};
    const struct box along[] = {BOX("a", "b", "a"), BOX("a/x", "b/x", "a/x"),
                                BOX("b/x", NULL, "b/x", .held = true)};
    const struct box level[] = {BOX("c", NULL, "c", .held = true), BOX("a", "c", "a"), BOX(NULL, "a", NULL),
                                BOX("x", "a/x", "x")};
    (void)state;
    CHECK("of that name", removed, {BRAIN_BOX_HOLD, L, 75, NULL, NULL});
    CHECK("in the end", chain, {BRAIN_BOX_HOLD, L, 75, NULL, NULL});
    CHECK("on the other side", other_side, {BRAIN_BOX_HOLD, R, 75, NULL, NULL});
    CHECK("of a level above it", below, {BRAIN_BOX_HOLD, L, 75, NULL, NULL});
    CHECK("of what stands where something would come along", along, {BRAIN_BOX_HOLD, L, 75, NULL, NULL});
    CHECK("of a level whose name is another's", level, {BRAIN_BOX_HOLD, L, 75, NULL, NULL});
}

static void case_86_through_a_temporary_name(void **state)
{
    const struct box renamed_aside[] = {BOX("mailmount-moving-7", "b", "y", .key = 7)};
    const struct box taken[] = {BOX("mailmount-moving-7", "b", "mailmount-moving-7", .key = 7),
                                BOX(NULL, NULL, "b")};
    const struct box not_by_base[] = {BOX("b", "b", "a", .key = 7), BOX("p", "a", "b", .key = 8)};
    const struct box exchanged[] = {BOX("p/a", "p/b", "p/a", .key = 7), BOX("p/b", "p/a", "p/b", .key = 8),
                                    BOX("p", "p", "p")};
    const struct box inside[] = {BOX("a", "a/b", "a", .key = 7)};
    const struct box interrupted[] = {BOX("a", "b", "mailmount-moving-7", .key = 7)};
    const struct box interrupted_below[] = {BOX("p/a", "p/b", "p/mailmount-moving-7", .key = 7),
                                            BOX("p", "p", "p")};
    const struct box interrupted_here[] = {BOX("a", "mailmount-moving-7", "a", .key = 7)};
    const struct box somebody_elses[] = {BOX("a", "b", "mailmount-moving-8", .key = 7)};
    (void)state;
    CHECK("86, exchanged", exchanged, {BRAIN_BOX_RENAME, 1, 86, "p/mailmount-moving-7", "p/a"},
          {BRAIN_BOX_RENAME, 1, 84, "p/a", "p/b"}, {BRAIN_BOX_RENAME, 1, 84, "p/b", "p/mailmount-moving-7"});
    CHECK("86, into itself", inside, {BRAIN_BOX_RENAME, 1, 86, "mailmount-moving-7", "a"},
          {BRAIN_BOX_RENAME, 1, 84, "a/b", "mailmount-moving-7"});
    CHECK("86, interrupted", interrupted, {BRAIN_BOX_RENAME, 1, 86, "b", "mailmount-moving-7"});
    CHECK("86, interrupted, below a level", interrupted_below,
          {BRAIN_BOX_RENAME, 1, 86, "p/b", "p/mailmount-moving-7"});
    CHECK("86, interrupted, on the other side", interrupted_here,
          {BRAIN_BOX_RENAME, 0, 86, "a", "mailmount-moving-7"});
    CHECK("86, and renamed by somebody while it was there", renamed_aside,
          {BRAIN_BOX_RENAME, L, 86, "y", "b"});
    CHECK("86, exchanged with one that was agreed on elsewhere", not_by_base,
          {BRAIN_BOX_RENAME, L, 86, "mailmount-moving-7", "b"}, {BRAIN_BOX_RENAME, L, 86, "b", "a"},
          {BRAIN_BOX_RENAME, L, 85, "a", "mailmount-moving-7"});
    CHECK("86, and the name was given away", taken, {BRAIN_BOX_RENAME, L, 89, "b~2", "b"},
          {BRAIN_BOX_CREATE, L, 80, "b", NULL});
    CHECK("86, the same name by chance", somebody_elses,
          {BRAIN_BOX_RENAME, 0, 86, "mailmount-moving-8", "b"});
}

static void what_temporary_names_are(void **state)
{
    const struct {
        const char *name;
        char delimiter;
        int64_t key;
        const char *expected;
    } c[] = {{"a", '/', 0, "mailmount-moving-0"},
             {"p/q/a", '/', 9, "p/q/mailmount-moving-9"},
             {"p.a", '.', 1020, "p.mailmount-moving-1020"},
             {"p/a", 0, 10, "mailmount-moving-10"},
             {"a", '/', INT64_MAX, "mailmount-moving-9223372036854775807"},
             {"a", '/', -1, "mailmount-moving-18446744073709551615"}}; /* the longest */
    struct arena arena = {0};
    (void)state;
    for (size_t i = 0; i < COUNT(c); i++) {
        char *name = NULL;
        assert_int_equal(brain_box_temporary(c[i].name, c[i].delimiter, c[i].key, &arena, &name), 0);
        assert_string_equal(name, c[i].expected);
    }
    arena_finish(&arena);
}

static void renames_wait_for_each_other(void **state)
{
    const struct box for_a_circle[] = {BOX("c", "a/x", "c", .key = 7), BOX("a", "b", "a", .key = 8),
                                       BOX("b", "a", "b", .key = 9)};
    const struct box for_no_mailbox[] = {BOX("m", "n/m", "m", .key = 7), BOX("n", "m", "n", .key = 8)};
    const struct box long_chain[] = {BOX("a", "a", "b"), BOX("b", "b", "c"), BOX("c", "c", "d"),
                                     BOX("d", "d", "e"), BOX("e", "e", "f"), BOX("f", "f", "g"),
                                     BOX("g", "g", "h"), BOX("h", "h", "i"), BOX("i", "i", "j")};
    const struct box chain[] = {BOX("a", "b", "a"), BOX("b", "c", "b")};
    const struct box into_new[] = {BOX("a", "n/a", "a"), BOX(NULL, "n", NULL)};
    const struct box into_taken[] = {BOX("a", "b", "a"), BOX("b", NULL, "b")};
    (void)state;
    CHECK("a long chain", long_chain, {BRAIN_BOX_RENAME, L, 85, "j", "i"},
          {BRAIN_BOX_RENAME, L, 85, "i", "h"}, {BRAIN_BOX_RENAME, L, 85, "h", "g"},
          {BRAIN_BOX_RENAME, L, 85, "g", "f"}, {BRAIN_BOX_RENAME, L, 85, "f", "e"},
          {BRAIN_BOX_RENAME, L, 85, "e", "d"}, {BRAIN_BOX_RENAME, L, 85, "d", "c"},
          {BRAIN_BOX_RENAME, L, 85, "c", "b"}, {BRAIN_BOX_RENAME, L, 85, "b", "a"});
    CHECK("for an exchange, which is what goes through a temporary name", for_a_circle,
          {BRAIN_BOX_RENAME, R, 86, "mailmount-moving-8", "a"}, {BRAIN_BOX_RENAME, R, 84, "a", "b"},
          {BRAIN_BOX_RENAME, R, 84, "a/x", "c"}, {BRAIN_BOX_RENAME, R, 84, "b", "mailmount-moving-8"});
    CHECK("for a level that is no mailbox on the other side", for_no_mailbox,
          {BRAIN_BOX_RENAME, R, 86, "mailmount-moving-7", "m"}, {BRAIN_BOX_RENAME, R, 84, "m", "n"},
          {BRAIN_BOX_RENAME, R, 84, "n/m", "mailmount-moving-7"});
    CHECK("chain", chain, {BRAIN_BOX_RENAME, R, 84, "c", "b"}, {BRAIN_BOX_RENAME, R, 84, "b", "a"});
    CHECK("into a new level", into_new, {BRAIN_BOX_CREATE, R, 80, "n", NULL},
          {BRAIN_BOX_RENAME, R, 84, "n/a", "a"});
    CHECK("into a removed one", into_taken, {BRAIN_BOX_DELETE, R, 81, NULL, "b"});
}

static void creations_follow_renames(void **state)
{
    const struct box below[] = {BOX("a", "x", "a"), BOX(NULL, "x/n", NULL), BOX(NULL, NULL, "a/m")};
    const struct box below_its_place[] = {BOX("z", "a/n/z", "z"), BOX("a", "x", "a"), BOX(NULL, "a/n", NULL)};
    const struct box in_its_place[] = {BOX("a", "x", "a"), BOX(NULL, "a", NULL)};
    (void)state;
    CHECK("below", below, {BRAIN_BOX_RENAME, R, 84, "x", "a"}, {BRAIN_BOX_CREATE, R, 80, "x/n", NULL},
          {BRAIN_BOX_CREATE, L, 80, "x/m", NULL});
    CHECK("in its place", in_its_place, {BRAIN_BOX_RENAME, R, 84, "x", "a"},
          {BRAIN_BOX_CREATE, R, 80, "a", NULL});
    CHECK("below its place", below_its_place, {BRAIN_BOX_RENAME, R, 84, "x", "a"},
          {BRAIN_BOX_CREATE, R, 80, "a/n", NULL}, {BRAIN_BOX_RENAME, R, 84, "a/n/z", "z"});
}

static void case_87_levels(void **state)
{
    const struct box fresh[] = {BOX(NULL, NULL, "-a"), BOX(NULL, NULL, "a/b")};
    const struct box raised[] = {BOX("-a", "-a", "a")};
    const struct box lowered[] = {BOX("a", "a", "-a"), BOX("a/b", "a/b", "a/b")};
    const struct box alive[] = {BOX("-a", NULL, "-a"), BOX(NULL, NULL, "a/b")};
    const struct box agreed[] = {BOX(NULL, "-a", "-a")};
    const struct box alive_before[] = {BOX(NULL, NULL, "a/b"), BOX("-a", NULL, "-a"),
                                       BOX("d", "d", NULL, .held = true)};
    const struct box alive_soon[] = {BOX("-a", NULL, "-a"), BOX(NULL, "a/b", NULL)};
    const struct box ours[] = {BOX("-a", "-c", NULL), BOX(NULL, "c/b", "c/b")};
    const struct box empty[] = {BOX("-a", NULL, "-a"), BOX("a/b", NULL, "a/b")};
    const struct box removed[] = {BOX("-a", NULL, "-a"), BOX("c", "c", "c"), BOX(NULL, "d", NULL)};
    (void)state;
    CHECK("87, removed, and others live elsewhere", removed, {BRAIN_BOX_CREATE, R, 80, "d", NULL},
          {BRAIN_BOX_DELETE, R, 81, NULL, "a"});
    CHECK("87", fresh, {BRAIN_BOX_CREATE, L, 87, "a", NULL}, {BRAIN_BOX_CREATE, L, 80, "a/b", NULL});
    CHECK("it can be selected now", raised, {BRAIN_BOX_CREATE, L, 80, "a", NULL});
    CHECK("it cannot any more", lowered, {BRAIN_BOX_DELETE, L, 81, NULL, "a"});
    CHECK("something is below", alive, {BRAIN_BOX_CREATE, L, 80, "a/b", NULL});
    CHECK("87, on both", agreed, {BRAIN_BOX_AGREE, 0, 87, "a", NULL});
    CHECK("something is below, in another order", alive_before, {BRAIN_BOX_CREATE, L, 80, "a/b", NULL},
          {BRAIN_BOX_HOLD, R, 75, NULL, NULL});
    CHECK("something will be below", alive_soon, {BRAIN_BOX_CREATE, R, 80, "a/b", NULL});
    CHECK("gone there, renamed here, and something is below", ours, {BRAIN_BOX_AGREE, 0, 80, "c/b", NULL},
          {BRAIN_BOX_FORGET, L, 81, NULL, "c"});
    CHECK("nothing is below", empty, {BRAIN_BOX_DELETE, R, 81, NULL, "a/b"},
          {BRAIN_BOX_DELETE, R, 81, NULL, "a"});
}

static void without_a_delimiter_names_are_flat(void **state)
{
    struct brain_box box[] = {
        {.base = state_of("a"), .side = {state_of("x"), state_of("a")}},
        {.base = state_of("a/b"), .side = {state_of("a/b"), state_of("a/b")}},
    };
    struct arena arena = {0};
    struct brain_box_plan plan;
    (void)state;
    assert_int_equal(brain_merge_boxes(box, 2, 0, 1, NULL, &arena, &plan), 0);
    assert_int_equal(plan.n, 1);
    assert_string_equal(plan.op[0].name, "x");
    assert_int_equal(brain_merge_boxes(NULL, 0, '/', 1, NULL, &arena, &plan), 0);
    assert_int_equal(plan.n, 0);
    arena_finish(&arena);
}

/* What is a mailbox on one side and a level on the other is not the same thing to be renamed. */
static void levels_are_not_renamed(void **state)
{
    const struct box fallen[] = {BOX("a", "-b", "a", .held = true)};
    const struct expected hold[] = {{BRAIN_BOX_HOLD, L, 75, NULL, NULL}};
    (void)state;
    check("a mailbox that became a level elsewhere", fallen, 1, hold, 1);
}

/* Somebody has mailboxes of the names that ours would have aside: nothing is done then, and nothing lost. */
static void temporary_names_that_are_taken(void **state)
{
    const struct box exchanged[] = {
        BOX("a", "b", "a", .key = 1), BOX("b", "a", "b", .key = 2),
        BOX("mailmount-moving-1", "mailmount-moving-1", "mailmount-moving-1", .key = 3),
        BOX("mailmount-moving-2", "mailmount-moving-2", "mailmount-moving-2", .key = 4)};
    const struct box exchanged_here[] = {BOX("a", "b", "a", .key = 1), BOX("b", "a", "b", .key = 2),
                                         BOX(NULL, NULL, "mailmount-moving-1"),
                                         BOX(NULL, NULL, "mailmount-moving-2")};
    (void)state;
    check("no name is free", exchanged, 4, NULL, 0);
    CHECK("on one side: it is taken back on the other one", exchanged_here,
          {BRAIN_BOX_RENAME, L, 86, "mailmount-moving-1", "b"}, {BRAIN_BOX_RENAME, L, 86, "b", "a"},
          {BRAIN_BOX_RENAME, L, 85, "a", "mailmount-moving-1"},
          {BRAIN_BOX_CREATE, L, 80, "mailmount-moving-1", NULL},
          {BRAIN_BOX_CREATE, L, 80, "mailmount-moving-2", NULL});
}

/* The level above a new name was agreed on under that of another one, which waits for this one
 * (tests/history). */
static void a_name_that_was_agreed_on_waits_too(void **state)
{
    const struct box box[] = {BOX("a", "a", "b", .key = 1), BOX("b", "c", "b/x", .key = 2)};
    const struct expected plan[] = {{BRAIN_BOX_RENAME, L, 86, "mailmount-moving-1", "a"},
                                    {BRAIN_BOX_RENAME, L, 86, "mailmount-moving-2", "c"},
                                    {BRAIN_BOX_RENAME, L, 85, "b", "mailmount-moving-1"},
                                    {BRAIN_BOX_RENAME, L, 85, "b/x", "mailmount-moving-2"}};
    (void)state;
    check("a level and a name", box, 2, plan, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_80_created),
        cmocka_unit_test(case_81_removed),
        cmocka_unit_test(cases_82_and_83_mail_that_the_other_side_never_saw),
        cmocka_unit_test(case_75_missing_may_be_a_lie),
        cmocka_unit_test(inbox_is_kept),
        cmocka_unit_test(case_84_one_rename_takes_the_children),
        cmocka_unit_test(case_85_recognised_by_the_caller),
        cmocka_unit_test(case_86_renamed_to_different_names),
        cmocka_unit_test(case_89_a_suffix),
        cmocka_unit_test(a_creation_waits_for_a_base),
        cmocka_unit_test(a_rename_waits_for_a_removal),
        cmocka_unit_test(case_86_through_a_temporary_name),
        cmocka_unit_test(levels_are_not_renamed),
        cmocka_unit_test(temporary_names_that_are_taken),
        cmocka_unit_test(a_name_that_was_agreed_on_waits_too),
        cmocka_unit_test(what_temporary_names_are),
        cmocka_unit_test(renames_wait_for_each_other),
        cmocka_unit_test(creations_follow_renames),
        cmocka_unit_test(case_87_levels),
        cmocka_unit_test(without_a_delimiter_names_are_flat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
