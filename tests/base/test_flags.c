/* Flags as bits, their three-way merge, and the keywords of an account. */
#include "check.h"

#include <fcntl.h>
#include <unistd.h>

#include "flags.h"
#include "log.h"

/* Case 7, bit by bit, all eight combinations at all 64 places. */
static void merge_is_case_7(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++)
        for (unsigned row = 0; row < 8; row++) {
            flags_t b = row & 1, l = row >> 1 & 1, r = row >> 2;
            flags_t want = l == b ? r : l;
            assert_int_equal(flags_merge(b << bit, l << bit, r << bit), want << bit);
        }
}

static void merge_is_case_7_for_whole_words(void **state)
{
    (void)state;
    for (int i = 0; i < 10000; i++) {
        flags_t b = check_random(UINT64_MAX) << 11 ^ check_random(UINT64_MAX);
        flags_t l = b ^ check_random(UINT64_MAX), r = b ^ check_random(UINT64_MAX), want = 0;
        for (unsigned bit = 0; bit < 64; bit++) {
            flags_t mask = (flags_t)1 << bit;
            want |= ((l & mask) == (b & mask) ? r : l) & mask;
        }
        assert_int_equal(flags_merge(b, l, r), want);
        assert_int_equal(flags_merge(b, r, l), want);
        assert_int_equal(flags_merge(b, l, b), l);
        assert_int_equal(flags_merge(b, b, r), r);
    }
}

static void system_flags_have_names_and_letters(void **state)
{
    (void)state;
    const char *const name[] = {"\\SEEN", "\\answered", "\\Flagged", "\\draft", "\\deleted", "$forwarded"};
    const char letter[] = "SRFDTP";
    for (unsigned bit = 0; bit < 6; bit++) {
        assert_int_equal(flags_system_bit(name[bit]), bit);
        assert_int_equal(flags_system_bit(flags_system_name(bit)), bit);
        assert_int_equal(flags_letter(bit), letter[bit]);
    }
    for (int c = 0; c < 256; c++) {
        const char *at = c ? strchr(letter, c) : NULL;
        assert_int_equal(flags_bit_of_letter((char)c), at ? at - letter : -1);
    }
    assert_null(flags_system_name(6));
    assert_int_equal(flags_system_bit("\\Recent"), -1);
    assert_int_equal(flags_system_bit("Seen"), -1);
}

static void keywords_are_numbered_by_first_sight(void **state)
{
    (void)state;
    struct keywords k;
    keywords_init(&k);
    assert_int_equal(keywords_bit(&k, "\\seen"), 0);
    assert_int_equal(keywords_bit(&k, "$Forwarded"), 5);
    assert_int_equal(keywords_count(&k), 0);
    assert_int_equal(keywords_bit(&k, "$Junk"), 6);
    assert_int_equal(keywords_bit(&k, "todo"), 7);
    assert_int_equal(keywords_bit(&k, "$JUNK"), 6);
    assert_string_equal(keywords_name(&k, 6), "$Junk");
    assert_string_equal(keywords_name(&k, 0), "\\Seen");
    assert_null(keywords_name(&k, 8));
    assert_null(keywords_name(&k, 64));
    assert_int_equal(keywords_count(&k), 2);
    keywords_finish(&k);
}

static void keywords_refuse_what_is_no_atom(void **state)
{
    (void)state;
    const char *const bad[] = {"",    "\\Recent", "\\Own", "a b", "a(b",    "a)b",      "a{b",  "a%b",
                               "a*b", "a\"b",     "a\\b",  "a]b", "a\001b", "\303\244", "a\177"};
    struct keywords k;
    char name[FLAGS_KEYWORD_NAME_MAX + 2];
    keywords_init(&k);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(keywords_bit(&k, bad[i]), -1);
    memset(name, 'x', sizeof(name) - 1);
    name[FLAGS_KEYWORD_NAME_MAX + 1] = '\0';
    assert_int_equal(keywords_bit(&k, name), -1);
    name[FLAGS_KEYWORD_NAME_MAX] = '\0';
    assert_int_equal(keywords_bit(&k, name), 6);
    keywords_finish(&k);
}

static void keywords_run_out_once(void **state)
{
    (void)state;
    struct keywords k;
    char name[20], text[1000];
    int ends[2];
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    log_to(ends[1], LOG_LEVEL_WARNING);
    keywords_init(&k);
    for (int i = 0; i < FLAGS_KEYWORDS_MAX; i++) {
        snprintf(name, sizeof(name), "k%d", i);
        assert_int_equal(keywords_bit(&k, name), 6 + i);
    }
    assert_int_equal(read(ends[0], text, sizeof(text)), -1);
    assert_int_equal(keywords_bit(&k, "one-more"), -1);
    assert_int_equal(keywords_bit(&k, "and-more"), -1);
    assert_int_equal(keywords_bit(&k, "K57"), 63);
    ssize_t n = read(ends[0], text, sizeof(text) - 1);
    assert_true(n > 0);
    text[n] = '\0';
    assert_ptr_equal(strchr(text, '\n'), text + n - 1);
    assert_null(strstr(text, "more-"));
    log_to(-1, LOG_LEVEL_INFO);
    keywords_finish(&k);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merge_is_case_7),
        cmocka_unit_test(merge_is_case_7_for_whole_words),
        cmocka_unit_test(system_flags_have_names_and_letters),
        cmocka_unit_test(keywords_are_numbered_by_first_sight),
        cmocka_unit_test(keywords_refuse_what_is_no_atom),
        cmocka_unit_test(keywords_run_out_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
