/* Numbers, times and names for people; the line of progress. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <locale.h>
#include <string.h>
#include <cmocka.h>

#include "engine.h"
#include "progress.h"
#include "text.h"

static char out[TEXT_NUMBER_SIZE];

static void test_counts_have_commas(void **state)
{
    (void)state;
    assert_string_equal(text_count(0, out), "0");
    assert_string_equal(text_count(999, out), "999");
    assert_string_equal(text_count(1000, out), "1,000");
    assert_string_equal(text_count(20000, out), "20,000");
    assert_string_equal(text_count(UINT64_MAX, out), "18,446,744,073,709,551,615");
}

static void test_octets_have_three_digits(void **state)
{
    (void)state;
    assert_string_equal(text_octets(0, out), "0 B");
    assert_string_equal(text_octets(999, out), "999 B");
    assert_string_equal(text_octets(999.7, out), "1.0 kB");
    assert_string_equal(text_octets(14200000, out), "14.2 MB");
    assert_string_equal(text_octets(142e9, out), "142 GB");
    assert_string_equal(text_octets(5e18, out), "5000000 TB");
}

static void test_durations(void **state)
{
    (void)state;
    assert_string_equal(text_duration(-1, out), "0:00");
    assert_string_equal(text_duration(21, out), "0:21");
    assert_string_equal(text_duration(3599, out), "59:59");
    assert_string_equal(text_duration(3723, out), "1:02:03");
    assert_string_equal(text_time(0, out), "never");
}

static void test_control_characters_never_reach_the_terminal(void **state)
{
    (void)state;
    char text[] = "a\033[2Jb\nc\x7f\xc2\x9b"
                  "d \xc3\xa4";
    assert_string_equal(text_clean(text), "a?[2Jb?c???d \xc3\xa4");
}

static void test_columns_count_characters(void **state)
{
    (void)state;
    assert_int_equal(text_columns("abc"), 3);
    assert_int_equal(text_columns("\xff\xfe"), 2);
    if (!setlocale(LC_CTYPE, "C.UTF-8")) {
        print_message("this machine has no locale C.UTF-8\n");
        skip();
    }
    assert_int_equal(text_columns("Entw\xc3\xbcrfe"), 8);
    assert_int_equal(text_columns("\xe4\xb8\xad"), 2);
}

static void test_progress_fits_the_terminal(void **state)
{
    (void)state;
    struct engine_status s = {
        .bodies_done = 9000, .bodies_left = 11000, .bytes_done = 45000000, .bytes_left = 55000000};
    char line[256];
    s.bytes_per_s = 14200000;
    progress_line("work", &s, 79, true, line, sizeof line);
    assert_non_null(strstr(line, "45 %, 9,000 of 20,000 messages, 14.2 MB/s, 0:03 left"));
    assert_non_null(strchr(line, '#'));
    for (int columns = 20; columns < 200; columns++) {
        progress_line("work", &s, columns, true, line, sizeof line);
        assert_true(strlen(line) <= (size_t)columns);
    }
    progress_line("work", &s, 200, false, line, sizeof line);
    assert_null(strchr(line, '#'));
}

static void test_progress_without_downloads_says_what_is_done(void **state)
{
    (void)state;
    struct engine_status s = {.online = true};
    char line[256];
    progress_line("work", &s, 79, true, line, sizeof line);
    assert_string_equal(line, "work: on line");
    s.online = false;
    strcpy(s.problem, "no route to host");
    progress_line("work", &s, 79, true, line, sizeof line);
    assert_string_equal(line, "work: no route to host");
    strcpy(s.doing, "INBOX: scanning");
    progress_line("work", &s, 79, true, line, sizeof line);
    assert_string_equal(line, "work: INBOX: scanning");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_have_commas),
        cmocka_unit_test(test_octets_have_three_digits),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_control_characters_never_reach_the_terminal),
        cmocka_unit_test(test_columns_count_characters),
        cmocka_unit_test(test_progress_fits_the_terminal),
        cmocka_unit_test(test_progress_without_downloads_says_what_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
