/* UID sets against a bitmap that does the same the simple way. */
#include "check.h"

#include <errno.h>
#include <stdbool.h>

#include "uidset.h"

enum { SPACE = 300 };

static void assert_sound(const struct uidset *s)
{
    for (size_t i = 0; i < s->n; i++) {
        assert_true(s->range[i].first >= 1 && s->range[i].first <= s->range[i].last);
        if (i > 0)
            assert_true((uint64_t)s->range[i - 1].last + 1 < s->range[i].first);
    }
}

static void assert_equal_to(const struct uidset *s, const bool *model)
{
    unsigned count = 0;
    uint32_t next = 0;
    assert_sound(s);
    for (uint32_t uid = 1; uid < SPACE; uid++) {
        assert_int_equal(uidset_has(s, uid), model[uid]);
        if (!model[uid])
            continue;
        count++;
        assert_true(uidset_next(s, &next));
        assert_int_equal(next, uid);
    }
    assert_false(uidset_next(s, &next));
    assert_int_equal(uidset_count(s), count);
}

/* Prints in pieces of a random size and parses the pieces again. */
static void assert_survives_print(const struct uidset *s, const bool *model)
{
    struct uidset copy = {0};
    char text[64];
    size_t size = 24 + check_random(40), length;
    for (size_t position = 0; (length = uidset_print(s, &position, text, size)) > 0;) {
        assert_true(length < size);
        assert_int_equal(strlen(text), length);
        assert_int_equal(uidset_parse(&copy, text, length), 0);
    }
    assert_equal_to(&copy, model);
    uidset_finish(&copy);
}

static void random_sets_equal_the_model(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct uidset s = {0};
        bool model[SPACE] = {0};
        unsigned n = (unsigned)check_random(40);
        for (unsigned i = 0; i < n; i++) {
            uint32_t first = 1 + (uint32_t)check_random(SPACE - 1);
            uint32_t last = check_random(2) ? first : 1 + (uint32_t)check_random(SPACE - 1);
            if (check_random(3))
                last = first + (uint32_t)check_random(4) < SPACE ? first + (uint32_t)check_random(4) : first;
            last = last < SPACE ? last : SPACE - 1;
            assert_int_equal(uidset_add_range(&s, first, last), 0);
            for (uint32_t uid = first < last ? first : last; uid <= (first < last ? last : first); uid++)
                model[uid] = true;
            assert_equal_to(&s, model);
        }
        assert_survives_print(&s, model);
        uidset_finish(&s);
        assert_int_equal(uidset_count(&s), 0);
    }
}

/* Every set of a small space, added in ascending and in descending order. */
static void all_small_sets_are_right(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 1024; bits++) {
        struct uidset up = {0}, down = {0};
        bool model[SPACE] = {0};
        for (uint32_t uid = 1; uid <= 10; uid++)
            if (bits >> (uid - 1) & 1) {
                model[uid] = true;
                assert_int_equal(uidset_add(&up, uid), 0);
            }
        for (uint32_t uid = 10; uid >= 1; uid--)
            if (model[uid])
                assert_int_equal(uidset_add(&down, uid), 0);
        assert_equal_to(&up, model);
        assert_equal_to(&down, model);
        uidset_finish(&up);
        uidset_finish(&down);
    }
}

static void the_last_uid_is_no_edge(void **state)
{
    (void)state;
    struct uidset s = {0};
    uint32_t uid = UINT32_MAX - 2;
    assert_int_equal(uidset_add(&s, UINT32_MAX), 0);
    assert_int_equal(uidset_add(&s, UINT32_MAX), 0);
    assert_int_equal(uidset_add(&s, UINT32_MAX - 1), 0);
    assert_int_equal(s.n, 1);
    assert_true(uidset_next(&s, &uid));
    assert_true(uidset_next(&s, &uid));
    assert_int_equal(uid, UINT32_MAX);
    assert_false(uidset_next(&s, &uid));
    assert_int_equal(uidset_add_range(&s, UINT32_MAX, 1), 0);
    assert_int_equal(s.n, 1);
    assert_int_equal(uidset_count(&s), UINT32_MAX);
    assert_false(uidset_has(&s, 0));
    char text[24];
    size_t position = 0;
    assert_int_equal(uidset_print(&s, &position, text, sizeof(text)), 12);
    assert_string_equal(text, "1:4294967295");
    assert_int_equal(uidset_add(&s, 0), -EINVAL);
    assert_int_equal(uidset_add_range(&s, 0, 5), -EINVAL);
    uidset_finish(&s);
}

static void the_widest_range_fits_24_octets(void **state)
{
    (void)state;
    struct uidset s = {0};
    char text[24];
    size_t position = 0;
    assert_int_equal(uidset_add_range(&s, 4000000000, UINT32_MAX), 0);
    assert_int_equal(uidset_print(&s, &position, text, sizeof(text)), 21);
    assert_int_equal(uidset_print(&s, &position, text, sizeof(text)), 0);
    assert_string_equal(text, "");
    uidset_finish(&s);
}

static void parse_takes_any_order(void **state)
{
    (void)state;
    struct uidset s = {0};
    bool model[SPACE] = {0};
    const uint32_t want[] = {1, 3, 4, 5, 7, 8, 9, 20};
    for (size_t i = 0; i < 8; i++)
        model[want[i]] = true;
    assert_int_equal(uidset_parse(&s, "9:7,1,3:5,4,20,4:4", 18), 0);
    assert_equal_to(&s, model);
    /* A further one is added. */
    assert_int_equal(uidset_parse(&s, "2", 1), 0);
    model[2] = true;
    assert_equal_to(&s, model);
    uidset_finish(&s);
    assert_int_equal(uidset_parse(&s, "5:4294967295,7:8,1", 18), 0);
    assert_int_equal(s.n, 2);
    assert_sound(&s);
    uidset_finish(&s);
}

static void parse_refuses_without_a_change(void **state)
{
    (void)state;
    const char *const bad[] = {"",
                               ",",
                               "1,",
                               ",1",
                               "0",
                               "01",
                               "1:0",
                               "0:1",
                               "*",
                               "1:*",
                               "1:",
                               ":1",
                               "1:2:3",
                               "1,,2",
                               "a",
                               "1 ",
                               " 1",
                               "4294967296",
                               "1:99999999999999999999999",
                               "-1",
                               "+1"};
    struct uidset s = {0};
    assert_int_equal(uidset_add(&s, 5), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(uidset_parse(&s, bad[i], strlen(bad[i])), -EINVAL);
        assert_int_equal(s.n, 1);
    }
    assert_int_equal(uidset_parse(&s, "1,2\0,3", 6), -EINVAL);
    assert_int_equal(uidset_count(&s), 1);
    uidset_finish(&s);
}

/* A million ranges in the worst order take no longer than in the best one; one more is refused. */
static void parse_survives_hostile_length(void **state)
{
    (void)state;
    struct uidset s = {0};
    size_t cap = 1000001 * 11, length = 0;
    char *text = malloc(cap);
    for (unsigned i = 1000000; i >= 1; i--)
        length += (size_t)snprintf(text + length, cap - length, "%s%u", length ? "," : "", i * 2);
    assert_int_equal(uidset_parse(&s, text, length), 0);
    assert_int_equal(s.n, 1000000);
    uidset_finish(&s);
    length += (size_t)snprintf(text + length, cap - length, ",1");
    assert_int_equal(uidset_parse(&s, text, length), -EINVAL);
    assert_int_equal(s.n, 0);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_sets_equal_the_model),   cmocka_unit_test(all_small_sets_are_right),
        cmocka_unit_test(the_last_uid_is_no_edge),       cmocka_unit_test(the_widest_range_fits_24_octets),
        cmocka_unit_test(parse_takes_any_order),         cmocka_unit_test(parse_refuses_without_a_change),
        cmocka_unit_test(parse_survives_hostile_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
