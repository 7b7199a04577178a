/*
 * All small stories: two messages in two mailboxes, each known to both sides or to one, and on either side
 * left alone, removed, flagged, edited or moved; then a round that breaks off before each of its commands,
 * half-way or after it, with and without a power failure; then peace.
 *
 * Pruned: the two messages are exchangeable, so that only one order of their fates is run; and where a
 * message is known to one side, only that one does something to it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "history.h"
#include "verbs.h"

enum deed { ALONE, REMOVED, FLAGGED, EDITED, MOVED, DEEDS };
enum { BOTH_KNOW = DEEDS * DEEDS, FATES = BOTH_KNOW + 2 * DEEDS };
enum { STEPS_MAX = 60, FLAG_NUMBER = 2 };

static struct world world;
static size_t stories, broken;

/* What both sides did to a message, or the one that knows it. */
struct fate {
    bool known[2];
    enum deed deed[2];
};

static struct fate fate_number(unsigned n)
{
    if (n < BOTH_KNOW)
        return (struct fate){{true, true}, {n % DEEDS, n / DEEDS}};
    n -= BOTH_KNOW;
    struct fate f = {.known = {n < DEEDS, n >= DEEDS}};
    f.deed[n >= DEEDS] = n % DEEDS;
    return f;
}

static unsigned char code_of(const char *words)
{
    for (size_t i = 0; i < verbs_n; i++)
        if (strcmp(verbs[i].words, words) == 0)
            return (unsigned char)i;
    fail_msg("no such verb: %s", words);
    return 0;
}

static void add(struct history *h, const char *words, unsigned a, unsigned b, unsigned c)
{
    h->act[h->n++] = (struct act){code_of(words), 0, {(unsigned char)a, (unsigned char)b, (unsigned char)c}};
}

static void add_here(struct history *h, enum deed deed, unsigned row, unsigned elsewhere)
{
    if (deed == REMOVED)
        add(h, "here: remove", row, 0, 0);
    else if (deed == FLAGGED)
        add(h, "here: flag", row, FLAG_NUMBER, 0);
    else if (deed == EDITED)
        add(h, "here: edit", row, 0, 0);
    else if (deed == MOVED)
        add(h, "here: move", row, elsewhere, 0);
}

/* A client that edits appends the new text and expunges the old one. */
static void add_there(struct history *h, enum deed deed, unsigned mail, unsigned box)
{
    if (deed == FLAGGED)
        add(h, "there: store", mail, FLAG_NUMBER, 0);
    else if (deed == MOVED)
        add(h, "there: move", mail, !box, 0);
    else if (deed == REMOVED || deed == EDITED)
        add(h, "there: expunge", mail, 0, 0);
    if (deed == EDITED)
        add(h, "there: append to", box, 0, 0);
}

/* The second message is dealt with first, so that the first one's number stays what it is. */
static void make_story(struct history *h, const struct fate fate[2], const unsigned box[2], unsigned features)
{
    unsigned number[2][2] = {{0}}, n[2] = {0};

    *h = (struct history){.features = features};
    for (int pass = 0; pass < 2; pass++) { /* those that both know, then the others */
        for (int i = 0; i < 2; i++) {
            bool both = fate[i].known[CACHE] && fate[i].known[SERVER];
            if (both != (pass == 0))
                continue;
            if (fate[i].known[SERVER])
                add(h, "there: append to", box[i], 0, 0);
            else
                add(h, "here: deliver to", box[i], 0, 0);
            for (int side = 0; side < 2; side++)
                if (fate[i].known[side])
                    number[i][side] = n[side]++;
        }
        if (pass == 0)
            add(h, "pause", 0, 0, 0);
    }
    int first = number[0][SERVER] > number[1][SERVER] || number[0][CACHE] > number[1][CACHE] ? 0 : 1;
    for (int k = 0; k < 2; k++) {
        int i = k == 0 ? first : !first;
        if (fate[i].known[CACHE])
            add_here(h, fate[i].deed[CACHE], number[i][CACHE], !box[i]);
        if (fate[i].known[SERVER])
            add_there(h, fate[i].deed[SERVER], number[i][SERVER], box[i]);
    }
}

static void run(const struct history *h)
{
    history_run(h, SABOTAGE_NONE, &world);
    stories++;
    if (!world.wrong[0])
        return;
    history_write(h, stderr);
    fail_msg("%s", world.wrong);
}

static void break_off_everywhere(const struct history *h)
{
    struct history cut = *h;
    struct act *last = &cut.act[cut.n++];

    for (unsigned how = 0; how < 3; how++)
        for (unsigned kill = 0; kill < 2; kill++)
            for (unsigned step = 0; step < STEPS_MAX; step++) {
                *last = (struct act){code_of("round that breaks off at"),
                                     0,
                                     {(unsigned char)step, (unsigned char)how, (unsigned char)kill}};
                run(&cut);
                broken += world.cuts > 0;
                if (!world.cuts)
                    break;
            }
}

static void all_small_stories(void **state)
{
    static const unsigned features[] = {0, FEATURE_UIDPLUS | FEATURE_MOVE};
    struct history h;
    (void)state;

    for (unsigned k = 0; k < sizeof features / sizeof *features; k++)
        for (unsigned a = 0; a < FATES; a++)
            for (unsigned b = 0; b <= a; b++)
                for (unsigned second = 0; second < 2; second++) {
                    const struct fate fate[2] = {fate_number(a), fate_number(b)};
                    const unsigned box[2] = {0, second};
                    make_story(&h, fate, box, features[k]);
                    run(&h);
                    break_off_everywhere(&h);
                }
    print_message("small histories: %zu, %zu of them broken off\n", stories, broken);
    assert_true(stories > 80000 && broken > 60000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_small_stories)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
