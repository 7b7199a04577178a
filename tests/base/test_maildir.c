/* Names of message files. */
#include "check.h"

#include <errno.h>

#include "maildir.h"

/* a is bit 6, b bit 7, d bit 20; c and e to z mean nothing here. */
static const struct maildir_letters *letters(void)
{
    static struct maildir_letters l;
    memset(l.bit, -1, sizeof(l.bit));
    l.bit['a' - 'a'] = 6;
    l.bit['b' - 'a'] = 7;
    l.bit['d' - 'a'] = 20;
    return &l;
}

#define KNOWN (FLAGS_SYSTEM | (flags_t)1 << 6 | (flags_t)1 << 7 | (flags_t)1 << 20)

static void parse_finds_base_and_flags(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t base;
        bool info;
        flags_t flags;
    } row[] = {
        {"1.R2.h", 6, false, 0},
        {"1.R2.h:2,", 6, true, 0},
        {"1.R2.h:2,FRS", 6, true, FLAG_FLAGGED | FLAG_ANSWERED | FLAG_SEEN},
        {"1.R2.h:2,DPT", 6, true, FLAG_DRAFT | FLAG_FORWARDED | FLAG_DELETED},
        {"1.R2.h:2,SabcdXZ", 6, true, FLAG_SEEN | (flags_t)1 << 6 | (flags_t)1 << 7 | (flags_t)1 << 20},
        {"1.R2.h:2,S,b", 6, true, FLAG_SEEN},
        {"1.R2.h:1,S", 10, false, 0},
        {"1.R2.h,S=12:2,S", 11, true, FLAG_SEEN},
        {"", 0, false, 0},
        {":2,", 0, true, 0},
    };
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct maildir_name n;
        maildir_parse(row[i].name, letters(), &n);
        assert_int_equal(n.base_length, row[i].base);
        assert_int_equal(n.has_info, row[i].info);
        assert_int_equal(n.flags, row[i].flags);
        maildir_parse(row[i].name, NULL, &n);
        assert_int_equal(n.flags, row[i].flags & FLAGS_SYSTEM);
    }
}

static void rename_sets_letters(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        flags_t flags;
        bool info;
        const char *want;
    } row[] = {
        {"m", 0, false, "m"},
        {"m", 0, true, "m:2,"},
        {"m:2,", 0, false, "m"},
        {"m:2,S", 0, false, "m"},
        {"m", FLAG_SEEN, false, "m:2,S"},
        {"m:2,S", FLAGS_SYSTEM, true, "m:2,DFPRST"},
        {"m", FLAG_SEEN | (flags_t)1 << 20 | (flags_t)1 << 6, true, "m:2,Sad"},
        {"m:2,Xc", FLAG_SEEN, true, "m:2,SXc"}, /* unknown ones stay */
        {"m:2,abXXc", 0, false, "m:2,Xc"},      /* known ones go, doubled ones are one */
        {"m:2,S,tail:x", FLAG_FLAGGED, true, "m:2,F,tail:x"},
        {"m:2,,t", 0, false, "m:2,,t"},
        {"m", (flags_t)1 << 40, true, "m:2,"}, /* a keyword without a letter here */
    };
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        char out[MAILDIR_NAME_MAX + 1];
        assert_int_equal(maildir_rename(row[i].name, row[i].flags, letters(), row[i].info, out), 0);
        assert_string_equal(out, row[i].want);
    }
}

/* For every combination of known flags, over random old names: what is written is what is read, and writing
 * it again changes nothing. */
static void rename_and_parse_agree(void **state)
{
    (void)state;
    for (int round = 0; round < 20000; round++) {
        char name[64] = "1700000000.R7.host", out[MAILDIR_NAME_MAX + 1], again[MAILDIR_NAME_MAX + 1];
        size_t length = strlen(name);
        if (check_random(4))
            length += (size_t)sprintf(name + length, ":2,");
        for (size_t n = check_random(12); n > 0 && strchr(name, ':'); n--)
            length += (size_t)sprintf(name + length, "%c", "SRFDTPXYabcdez"[check_random(14)]);
        flags_t flags = (check_random(UINT64_MAX) << 11 ^ check_random(UINT64_MAX)) & KNOWN;
        struct maildir_name before, after;
        maildir_parse(name, letters(), &before);
        assert_int_equal(maildir_rename(name, flags, letters(), check_random(2), out), 0);
        maildir_parse(out, letters(), &after);
        assert_int_equal(after.flags, flags);
        assert_int_equal(after.base_length, before.base_length);
        assert_memory_equal(out, name, before.base_length);
        assert_int_equal(maildir_rename(out, flags, letters(), after.has_info, again), 0);
        assert_string_equal(again, out);
        for (const char *c = out + after.base_length + (after.has_info ? 3 : 0); *c && c[1]; c++)
            assert_true(*c < c[1]);
        for (const char *c = "XYcez"; *c; c++)
            assert_int_equal(!!strchr(out + after.base_length, *c), !!strchr(name + before.base_length, *c));
    }
}

static void rename_works_in_place_and_has_a_limit(void **state)
{
    (void)state;
    char name[MAILDIR_NAME_MAX + 1] = "m:2,S";
    assert_int_equal(maildir_rename(name, FLAG_FLAGGED, NULL, true, name), 0);
    assert_string_equal(name, "m:2,F");
    memset(name, 'x', MAILDIR_NAME_MAX);
    name[MAILDIR_NAME_MAX] = '\0';
    char out[MAILDIR_NAME_MAX + 1] = "untouched";
    assert_int_equal(maildir_rename(name, 0, NULL, true, out), -ENAMETOOLONG);
    assert_string_equal(out, "untouched");
    assert_int_equal(maildir_rename(name, 0, NULL, false, out), 0);
    assert_string_equal(out, name);
    name[MAILDIR_NAME_MAX - 4] = '\0';
    assert_int_equal(maildir_rename(name, FLAG_SEEN, NULL, false, out), 0);
    assert_int_equal(strlen(out), MAILDIR_NAME_MAX);
}

static void fresh_names_are_plain(void **state)
{
    (void)state;
    char out[MAILDIR_NAME_MAX + 1], host[300];
    assert_int_equal(maildir_fresh(1700000000, 42, "box.example", out), 0);
    assert_string_equal(out, "1700000000.R42.box.example");
    assert_int_equal(maildir_fresh(1, 2, "a/b:c d\n", out), 0);
    assert_string_equal(out, "1.R2.a_b_c_d_");
    assert_int_equal(maildir_fresh(1, 2, "", out), 0);
    assert_string_equal(out, "1.R2.localhost");
    memset(host, 'h', 299);
    host[299] = '\0';
    assert_int_equal(maildir_fresh(1, 2, host, out), -ENAMETOOLONG);
    assert_false(maildir_is_scratch("1.R2.localhost"));
}

static void scratch_is_told_from_mail(void **state)
{
    (void)state;
    const char *const scratch[] = {".x",    ".",     "#x#",    "#x",     "x~",        "~",
                                   "x#",    "4913",  "5036",   "5159",   "sedAbC123", "x.swp",
                                   "x.swo", "x.swx", ".#lock", "m:2,S~", ".nfs0001",  "123456789012.x.swp"};
    const char *const mail[] = {"m",          "m:2,S",     "1700000000.R1.host:2,",
                                "4914",       "04913",     "4913x",
                                "1234567890", "49130",     "sed12345",
                                "sed1234567", "sed12345-", "xsedabcdef",
                                "x.sw",       "swp",       "x.swpp",
                                "x.txt",      "",          "1700000000.M1P2.host.sw1"};
    for (size_t i = 0; i < sizeof(scratch) / sizeof(scratch[0]); i++)
        assert_true(maildir_is_scratch(scratch[i]));
    for (size_t i = 0; i < sizeof(mail) / sizeof(mail[0]); i++)
        assert_false(maildir_is_scratch(mail[i]));
    for (int n = 4913; n < 1000000; n += 123) {
        char name[12];
        snprintf(name, sizeof(name), "%d", n);
        assert_true(maildir_is_scratch(name));
        snprintf(name, sizeof(name), "%d", n + 1);
        assert_false(maildir_is_scratch(name));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_finds_base_and_flags), cmocka_unit_test(rename_sets_letters),
        cmocka_unit_test(rename_and_parse_agree),     cmocka_unit_test(rename_works_in_place_and_has_a_limit),
        cmocka_unit_test(fresh_names_are_plain),      cmocka_unit_test(scratch_is_told_from_mail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
