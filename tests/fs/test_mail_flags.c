/* What a rename says about flags: one line a case. */
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "mail.h"

#define S FLAG_SEEN
#define R FLAG_ANSWERED
#define F FLAG_FLAGGED
#define A ((flags_t)1 << 6)  /* a keyword, letter a in mailboxes 1 and 2; b in mailbox 3 */
#define B ((flags_t)1 << 7)  /* a keyword, letter b in mailboxes 1 and 2 */
#define U ((flags_t)1 << 40) /* a keyword without a letter */

struct rename_case {
    int from_box, to_box;  /* 1, 2: a is A, b is B; 3: b is A; 4: no letters */
    const char *from, *to; /* "cur/NAME" */
    flags_t before, after;
};

static const struct rename_case cases[] = {
    /* the difference counts */
    {1, 1, "cur/x:2,", "cur/x:2,S", 0, S},
    {1, 1, "cur/x:2,S", "cur/x:2,FS", S, F | S},
    {1, 1, "cur/x:2,FS", "cur/x:2,F", F | S, F},
    {1, 1, "cur/x:2,S", "cur/y:2,S", S, S},
    {1, 1, "cur/x:2,S", "cur/x:2,RS", S | F, S | R | F}, /* F: from the server, name not there yet */
    {1, 1, "cur/x:2,S", "cur/x:2,S", S | U, S | U},
    {1, 1, "cur/x:2,S", "cur/x:2,FS", S | U, F | S | U},
    {1, 1, "cur/x:2,S", "cur/x", S, 0},
    /* new and cur */
    {1, 1, "new/x", "cur/x:2,", 0, 0},
    {1, 1, "new/x", "cur/x:2,S", 0, S},
    {1, 1, "cur/x:2,FS", "new/x:2,FS", F | S, F},
    {1, 1, "cur/x:2,S", "new/x", S, 0},
    {1, 1, "new/x:2,S", "cur/x:2,S", 0, S},
    {1, 1, "new/x:2,S", "cur/x:2,S", S, S},
    {1, 1, "new/x:2,S", "cur/x:2,", S, 0},
    {1, 1, "new/x:2,S", "new/x:2,FS", S, F | S},
    {1, 1, "new/x:2,S", "new/x:2,FS", 0, F},
    {1, 1, "new/x", "new/x:2,S", 0, S},
    /* keywords */
    {1, 1, "cur/x:2,S", "cur/x:2,Sa", S, S | A},
    {1, 1, "cur/x:2,Sa", "cur/x:2,Sb", S | A, S | B},
    {1, 1, "cur/x:2,Sab", "cur/x:2,Sb", S | A | B, S | B},
    {1, 1, "cur/x:2,Sa", "cur/x:2,S", S | A, S},                   /* nothing else changed: meant */
    {1, 1, "cur/x:2,Sab", "cur/x:2,FS", S | A | B, S | F | A | B}, /* mu: not meant */
    {1, 1, "cur/x:2,Sab", "cur/x:2,FSa", S | A | B, S | F | A},    /* some are left: meant */
    {1, 1, "cur/x:2,a", "new/x", S | A, A},
    {1, 1, "cur/x:2,Sz", "cur/x:2,Szy", S, S}, /* letters without a meaning */
    {4, 4, "cur/x:2,S", "cur/x:2,Sa", S, S},
    /* other mailboxes */
    {1, 2, "cur/x:2,Sa", "cur/x:2,Sa", S | A, S | A},
    {1, 2, "cur/x:2,Sa", "cur/y:2,FSb", S | A | U, S | F | B | U},
    {1, 2, "cur/x:2,Sa", "cur/x:2,S", S | A, S | A},  /* mu move */
    {1, 3, "cur/x:2,Sa", "cur/x:2,Sb", S | A, S | A}, /* the same keyword by its letter there */
    {3, 1, "cur/x:2,Sb", "cur/x:2,Sb", S | A, S | B}, /* names say what they say */
    {1, 4, "cur/x:2,Sa", "cur/x:2,Sa", S | A, S | A},
    {4, 1, "cur/x:2,S", "cur/x:2,S", S | A, S | A},
    {1, 2, "new/x", "cur/x:2,S", 0, S},
    /* scratch names */
    {1, 1, "cur/x:2,FSa", "cur/x:2,FSa~", F | S | A, F | S | A},
    {1, 1, "cur/x:2,FSa~", "cur/x:2,FSa", F | S | A, F | S | A},
    {1, 1, "cur/x:2,FS~", "cur/x:2,S", F | S | A, S | A},
    {1, 1, "cur/x:2,S", "cur/.x.swp", S | U, S | U},
};

static struct mail_spelling spell(int box, const char *text)
{
    struct maildir_letters letters;
    struct maildir_name parsed;
    struct mail_spelling ret = {
        .at = {.mailbox = box, .sub = text[0] == 'c' ? SUB_CUR : SUB_NEW, .name = text + 4}};
    memset(letters.bit, -1, sizeof letters.bit);
    if (box == 1 || box == 2) {
        letters.bit[0] = 6;
        letters.bit[1] = 7;
    } else if (box == 3) {
        letters.bit[1] = 6;
    }
    maildir_parse(ret.at.name, &letters, &parsed);
    ret.flags = parsed.flags;
    ret.scratch = maildir_is_scratch(ret.at.name);
    ret.knows_letters = box != 4;
    const char *info = strstr(ret.at.name, ":2,");
    ret.lettered = info && strpbrk(info + 3, "abcdefghijklmnopqrstuvwxyz");
    return ret;
}

static void test_renames(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct rename_case *c = &cases[i];
        struct mail_spelling from = spell(c->from_box, c->from), to = spell(c->to_box, c->to);
        flags_t got = mail_flags_renamed(c->before, &from, &to);
        if (got != c->after)
            fail_msg("%d:%s -> %d:%s of %llx: %llx, not %llx", c->from_box, c->from, c->to_box, c->to,
                     (unsigned long long)c->before, (unsigned long long)got, (unsigned long long)c->after);
    }
}

static void test_copies(void **state)
{
    (void)state;
    struct mail_spelling plain = spell(1, "cur/x:2,S"), lettered = spell(1, "cur/x:2,Fb"),
                         foreign = spell(4, "cur/x:2,Fb"), scratch = spell(1, "cur/x:2,S~");
    assert_int_equal(mail_flags_copied(F | A, &plain), S | A);
    assert_int_equal(mail_flags_copied(S | A, &lettered), F | B);
    assert_int_equal(mail_flags_copied(S | A, &foreign), F | A);
    assert_int_equal(mail_flags_copied(F | A, &scratch), F | A);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_renames),
        cmocka_unit_test(test_copies),
    };
    return cmocka_run_group_tests_name("mail_flags", tests, NULL, NULL);
}
