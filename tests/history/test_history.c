/*
 * Hundreds of thousands of stories, millions with MAILMOUNT_LONG=1, each judged after every pause and at its
 * end.
 *
 * MAILMOUNT_HISTORIES=n says how many, MAILMOUNT_HISTORY=n runs the one with that number and prints it. One
 * that fails is made shorter and printed: as a file in tests/history/kept it is run for ever after.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include "history.h"
#include "verbs.h"

#if defined SANITIZER_ADDRESS || defined SANITIZER_THREAD
enum { SLOWER = 10 };
#else
enum { SLOWER = 1 };
#endif

enum { ORDINARY = 300000, LONG = 5000000 };

static struct world world;
static const char *kept_folder = "kept";

static uint64_t number_in(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);
    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static uint64_t stories(void)
{
    return number_in("MAILMOUNT_HISTORIES", (getenv("MAILMOUNT_LONG") ? LONG : ORDINARY) / SLOWER);
}

static void fail_story(struct history *h, enum sabotage sabotage)
{
    history_shrink(h, sabotage);
    history_run(h, sabotage, &world);
    fprintf(stderr, "# %s\n", world.wrong);
    history_write(h, stderr);
    fail_msg("%s", world.wrong);
}

static void all_stories(void **state)
{
    struct {
        unsigned long acts, rounds, points, cuts, operations;
    } sum = {0};
    uint64_t first = number_in("MAILMOUNT_HISTORY", 0), n = getenv("MAILMOUNT_HISTORY") ? 1 : stories();
    struct history h;
    (void)state;

    for (uint64_t seed = first; seed < first + n; seed++) {
        history_make(&h, seed);
        history_run(&h, SABOTAGE_NONE, &world);
        if (world.wrong[0]) {
            fprintf(stderr, "history %llu: %s\n", (unsigned long long)seed, world.wrong);
            fail_story(&h, SABOTAGE_NONE);
        }
        sum.acts += h.n;
        sum.rounds += world.rounds;
        sum.points += world.points;
        sum.cuts += world.cuts;
        sum.operations += world.operations;
    }
    print_message(
        "histories: %llu, %lu acts, %lu rounds, %lu steps, %lu of them broken off, %lu operations\n",
        (unsigned long long)n, sum.acts, sum.rounds, sum.points, sum.cuts, sum.operations);
    if (n < 1000)
        return;
    assert_true(sum.rounds > 4 * n && sum.operations > 4 * n && sum.cuts > n / 4);
}

/* ---- the kept ones ---- */

static void run_kept(const char *name)
{
    char path[512];
    struct history h;
    snprintf(path, sizeof path, "%s/%s", kept_folder, name);
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    int line = history_read(&h, in);
    fclose(in);
    if (line)
        fail_msg("%s: line %d is not understood", name, line);
    history_run(&h, SABOTAGE_NONE, &world);
    if (world.wrong[0])
        fail_msg("%s: %s", name, world.wrong);
}

static void kept_stories(void **state)
{
    DIR *folder = opendir(kept_folder);
    unsigned n = 0;
    (void)state;

    assert_non_null(folder);
    for (const struct dirent *d; (d = readdir(folder));) {
        const char *end = strrchr(d->d_name, '.');
        if (!end || strcmp(end, ".txt") != 0)
            continue;
        run_kept(d->d_name);
        n++;
    }
    closedir(folder);
    print_message("kept histories: %u\n", n);
    assert_true(n >= 20);
}

/* ---- the text form ---- */

static void read_back(const struct history *h, struct history *ret)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    history_write(h, out);
    fclose(out);
    FILE *in = fmemopen(text, size, "r");
    assert_non_null(in);
    assert_int_equal(history_read(ret, in), 0);
    fclose(in);
    free(text);
}

/* What is written does the same when it is read: numbers that mean nothing may be lost. */
static void text_is_the_story(void **state)
{
    static struct world other;
    struct history h, again;
    (void)state;

    for (uint64_t seed = 0; seed < 500; seed++) {
        history_make(&h, seed);
        read_back(&h, &again);
        assert_int_equal(again.n, h.n);
        history_run(&h, SABOTAGE_NONE, &world);
        history_run(&again, SABOTAGE_NONE, &other);
        assert_int_equal(other.points, world.points);
        assert_int_equal(other.operations, world.operations);
        assert_int_equal(other.server.mails, world.server.mails);
    }
}

static void nonsense_is_not_read(void **state)
{
    static const char *const lines[] = {"there: sing 1\n", "there: store 1 +\\Recent\n", "server: rusty\n",
                                        "round 3\n"};
    struct history h;
    (void)state;

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char text[100];
        snprintf(text, sizeof text, "# a comment\n%s", lines[i]);
        FILE *in = fmemopen(text, strlen(text), "r");
        assert_int_equal(history_read(&h, in), 2);
        fclose(in);
    }
}

/* ---- the negative control ---- */

/* A caller that is wrong is found, and what it takes to show it is a handful of acts. */
static void find_sabotage(enum sabotage sabotage, uint64_t at_most_stories, size_t at_most_acts)
{
    struct history h;
    for (uint64_t seed = 0; seed < at_most_stories; seed++) {
        history_make(&h, seed);
        history_run(&h, sabotage, &world);
        if (!world.wrong[0])
            continue;
        size_t before = h.n;
        history_shrink(&h, sabotage);
        print_message("sabotage %d: history %llu, %zu acts of %zu are enough\n", sabotage,
                      (unsigned long long)seed, h.n, before);
        assert_true(h.n <= at_most_acts);
        history_run(&h, sabotage, &world);
        assert_true(world.wrong[0]);
        history_run(&h, SABOTAGE_NONE, &world);
        assert_false(world.wrong[0]);
        return;
    }
    fail_msg("sabotage %d is not noticed", sabotage);
}

static void sabotage_is_found(void **state)
{
    (void)state;
    find_sabotage(SABOTAGE_HASTY_BASE, 2000, 4);
    find_sabotage(SABOTAGE_NO_SETTLING, 5000, 10);
    find_sabotage(SABOTAGE_NO_WAITING, 200, 4);
    find_sabotage(SABOTAGE_SET_TO, 20000, 8);
    find_sabotage(SABOTAGE_UNION, 200, 4);
    find_sabotage(SABOTAGE_BLIND_REMOVAL, 50, 2);
}

/* Every verb makes a difference somewhere, or it is not in the stories at all. */
static void every_verb_occurs(void **state)
{
    unsigned seen[64] = {0};
    struct history h;
    (void)state;

    for (uint64_t seed = 0; seed < 2000; seed++) {
        history_make(&h, seed);
        for (size_t i = 0; i < h.n; i++)
            seen[h.act[i].code]++;
    }
    for (size_t i = 0; i < verbs_n; i++)
        if (verbs[i].weight && !seen[i])
            fail_msg("%s never occurs", verbs[i].words);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_stories),         cmocka_unit_test(text_is_the_story),
        cmocka_unit_test(nonsense_is_not_read), cmocka_unit_test(every_verb_occurs),
        cmocka_unit_test(sabotage_is_found),    cmocka_unit_test(all_stories),
    };
    if (argc > 1)
        kept_folder = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
