/* Faults, buffers, arenas, the clock and the log. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <unistd.h>

#include "arena.h"
#include "buf.h"
#include "clock.h"
#include "fault.h"
#include "log.h"

static void fault_is_set_prefixed_and_cleaned(void **state)
{
    (void)state;
    struct fault f = {0};
    fault_prefix(&f, "nothing yet");
    assert_string_equal(f.text, "");
    assert_int_equal(fault_set(&f, FAULT_DENIED, -EACCES, "login: %s", "no\r\n\033[31m\302\233x \303\244"),
                     -EACCES);
    assert_string_equal(f.text, "login: no???[31m??x \303\244");
    assert_int_equal(f.exit, FAULT_DENIED);
    fault_prefix(&f, "%s", "work");
    assert_string_equal(f.text, "work: login: no???[31m??x \303\244");
    fault_set(&f, FAULT_IO, -EIO, "again: %s", f.text);
    assert_string_equal(f.text, "again: work: login: no???[31m??x \303\244");
    assert_int_equal(fault_set(NULL, FAULT_IO, -EIO, "nobody listens"), -EIO);
}

static void fault_cuts_what_is_too_long(void **state)
{
    (void)state;
    struct fault f = {0};
    char big[2000];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    fault_set(&f, FAULT_IO, -EIO, "%s", big);
    assert_int_equal(strlen(f.text), sizeof(f.text) - 1);
    fault_prefix(&f, "%s", big);
    assert_int_equal(strlen(f.text), sizeof(f.text) - 1);
}

static void buf_grows_and_gives_away(void **state)
{
    (void)state;
    struct buf b = {0};
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(buf_adds(&b, "ab"), 0);
        assert_int_equal(buf_addf(&b, "%03d", i), 0);
    }
    assert_int_equal(b.length, 5000);
    assert_int_equal(strlen(b.data), 5000);
    assert_memory_equal(b.data + 4995, "ab999", 6);
    buf_clear(&b);
    assert_string_equal(b.data, "");
    assert_int_equal(buf_add(&b, "x\0y", 3), 0);
    char *text = buf_take(&b);
    assert_memory_equal(text, "x\0y", 4);
    free(text);
    text = buf_take(&b);
    assert_string_equal(text, "");
    free(text);
}

static void buf_remembers_failure(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_int_equal(buf_adds(&b, "a"), 0);
    assert_int_equal(buf_add(&b, "b", SIZE_MAX / 2), -ENOMEM);
    assert_true(b.failed);
    assert_int_equal(buf_adds(&b, "c"), -ENOMEM);
    assert_null(buf_take(&b));
    assert_false(b.failed);
}

static void arena_blocks_are_zeroed_aligned_and_apart(void **state)
{
    (void)state;
    struct arena a = {0};
    unsigned char *block[500];
    size_t size[500];
    for (int i = 0; i < 500; i++) {
        size[i] = check_random(i % 50 == 0 ? 100000 : 300);
        block[i] = arena_alloc(&a, 1, size[i]);
        assert_non_null(block[i]);
        assert_int_equal((uintptr_t)block[i] % _Alignof(max_align_t), 0);
        for (size_t j = 0; j < size[i]; j++)
            assert_int_equal(block[i][j], 0);
        memset(block[i], i & 0xff, size[i]);
    }
    for (int i = 0; i < 500; i++)
        for (size_t j = 0; j < size[i]; j++)
            assert_int_equal(block[i][j], i & 0xff);
    assert_string_equal(arena_strdup(&a, "text"), "text");
    arena_finish(&a);
    assert_null(a.head);
}

static void arena_refuses_overflow(void **state)
{
    (void)state;
    struct arena a = {0};
    assert_null(arena_alloc(&a, SIZE_MAX / 2, 3));
    assert_null(arena_alloc(&a, 1, SIZE_MAX));
    assert_non_null(arena_alloc(&a, 0, 8));
    arena_finish(&a);
}

static void clock_goes_on(void **state)
{
    (void)state;
    int64_t before = clock_boot_ms();
    usleep(3000);
    assert_true(clock_boot_ms() > before);
    assert_true(clock_now_ns() > (int64_t)1600000000 * 1000000000);
}

static size_t read_pipe(int fd, char *out, size_t size)
{
    ssize_t n = read(fd, out, size - 1);
    out[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

static void log_writes_stamped_lines(void **state)
{
    (void)state;
    int ends[2];
    char text[4000];
    regex_t form;
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    log_to(ends[1], LOG_LEVEL_WARNING);
    log_info("not asked for");
    assert_int_equal(read_pipe(ends[0], text, sizeof(text)), 0);
    log_warning("two\nlines of %d", 3);
    read_pipe(ends[0], text, sizeof(text));
    const char *pattern =
        "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3} warning two\\?lines of 3\n$";
    assert_int_equal(regcomp(&form, pattern, REG_EXTENDED | REG_NOSUB), 0);
    assert_int_equal(regexec(&form, text, 0, NULL, 0), 0);
    regfree(&form);
    log_error("%03000d", 7);
    size_t length = read_pipe(ends[0], text, sizeof(text));
    assert_true(length <= 1024);
    assert_int_equal(text[length - 1], '\n');
    log_to(-1, LOG_LEVEL_DEBUG);
    log_error("silence");
    assert_int_equal(read_pipe(ends[0], text, sizeof(text)), 0);
    close(ends[0]);
    close(ends[1]);
}

static void *log_many(void *letter)
{
    for (int i = 0; i < 200; i++)
        log_info("%.60s", (const char *)letter);
    return NULL;
}

static void log_lines_of_threads_do_not_mix(void **state)
{
    (void)state;
    int ends[2];
    pthread_t thread[2];
    char a[61], b[61], line[200];
    memset(a, 'a', 60);
    memset(b, 'b', 60);
    a[60] = b[60] = '\0';
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    log_to(ends[1], LOG_LEVEL_INFO);
    pthread_create(&thread[0], NULL, log_many, a);
    pthread_create(&thread[1], NULL, log_many, b);
    pthread_join(thread[0], NULL);
    pthread_join(thread[1], NULL);
    log_to(-1, LOG_LEVEL_INFO);
    close(ends[1]);
    FILE *file = fdopen(ends[0], "r");
    int lines = 0;
    for (; fgets(line, sizeof(line), file); lines++)
        assert_true(strstr(line, a) || strstr(line, b));
    fclose(file);
    assert_int_equal(lines, 400);
}

static void log_levels_parse(void **state)
{
    (void)state;
    assert_int_equal(log_parse_level("error"), LOG_LEVEL_ERROR);
    assert_int_equal(log_parse_level("debug"), LOG_LEVEL_DEBUG);
    assert_int_equal(log_parse_level("Debug"), -EINVAL);
    assert_int_equal(log_parse_level(""), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fault_is_set_prefixed_and_cleaned),
        cmocka_unit_test(fault_cuts_what_is_too_long),
        cmocka_unit_test(buf_grows_and_gives_away),
        cmocka_unit_test(buf_remembers_failure),
        cmocka_unit_test(arena_blocks_are_zeroed_aligned_and_apart),
        cmocka_unit_test(arena_refuses_overflow),
        cmocka_unit_test(clock_goes_on),
        cmocka_unit_test(log_writes_stamped_lines),
        cmocka_unit_test(log_lines_of_threads_do_not_mix),
        cmocka_unit_test(log_levels_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
