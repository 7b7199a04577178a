/* Server names and path components: one to one, whatever the server sends (case 88). */
#include "check.h"

#include <ctype.h>
#include <errno.h>

#include "name.h"

static const struct {
    const char *leaf, *component;
} pairs[] = {
    {"INBOX", "INBOX"},
    {"Sent Items", "Sent Items"},
    {"Entw&APw-rfe", "Entw\303\274rfe"},
    {"&U,BTFw-", "\345\217\260\345\214\227"},
    {"&2D3eAA-", "\360\237\230\200"},
    {"Tom &- Jerry", "Tom & Jerry"},
    {"100%", "100%"},
    {"100%25", "100%2525"},
    {"a%~b", "a%25~b"},
    {"%", "%"},
    {".hidden", "%2Ehidden"},
    {".", "%2E"},
    {"..", "%2E."},
    {"cur", "%63ur"},
    {"new", "%6Eew"},
    {"tmp", "%74mp"},
    {"Cur", "Cur"},
    {"current", "current"},
    {"a/b", "a%2Fb"},
    {"a\nb", "a%0Ab"},
    {"a&b", "a%26b"},                 /* broken: a shift without an end */
    {"&AGE-", "%26AGE-"},             /* 'a' needs no shift */
    {"&APwA-", "%26APwA-"},           /* padding */
    {"&APw-&APw-", "%26APw-%26APw-"}, /* two shifts in a row */
    {"&AAo-", "%26AAo-"},             /* a control character, decently encoded */
    {"&AAA-", "%26AAA-"},             /* NUL */
    {"&2D0-", "%262D0-"},             /* half a surrogate pair */
    {"\303\274", "%C3%BC"},           /* plain UTF-8 is not a legal name */
    {"a&cur", "a%26cur"},
};

static void known_names_map_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char out[NAME_COMPONENT_MAX + 1];
        assert_int_equal(name_to_component(pairs[i].leaf, strlen(pairs[i].leaf), out), 0);
        assert_string_equal(out, pairs[i].component);
        assert_int_equal(name_from_component(pairs[i].component, 0, out, sizeof(out)), 0);
        assert_string_equal(out, pairs[i].leaf);
    }
}

/* No two components that are made here may mean one mailbox. */
static void what_a_person_writes_is_no_escape(void **state)
{
    (void)state;
    static const char *const component[] = {"a%41b", "aAb", "%2541", "%41", "100%", "%", "a%2Eb"};
    for (size_t i = 0; i < sizeof(component) / sizeof(*component); i++)
        for (size_t k = 0; k < i; k++) {
            char a[NAME_COMPONENT_MAX + 1], b[NAME_COMPONENT_MAX + 1];
            assert_int_equal(name_from_component(component[i], '/', a, sizeof(a)), 0);
            assert_int_equal(name_from_component(component[k], '/', b, sizeof(b)), 0);
            bool shown_alike = i == 3 && k == 2; /* "%2541" is how the server's "%41" is shown */
            assert_int_equal(strcmp(a, b) == 0, shown_alike);
        }
}

/* A leaf as a hostile server makes it: no NUL, for the parser takes none, else anything. */
static size_t random_leaf(char *out, size_t max)
{
    static const char *const piece[] = {"&",    "-",    "&-",    "&APw-", "&2D3eAA-", "%",        "%41",
                                        "%26",  "%2E",  "~",     "%~",    ".",        "/",        "cur",
                                        "new",  "tmp",  "A",     "b",     "7",        "\303\274", "\n",
                                        "\177", "\200", "&AAo-", "APw",   ",",        "=",        "e"};
    size_t length = 0;
    for (size_t n = 1 + check_random(max / 8); n > 0; n--) {
        if (check_random(4) == 0)
            out[length++] = (char)(1 + check_random(255));
        else
            length +=
                (size_t)sprintf(out + length, "%s", piece[check_random(sizeof(piece) / sizeof(piece[0]))]);
    }
    out[length] = '\0';
    return length;
}

static void assert_safe(const char *component)
{
    size_t length = strlen(component);
    assert_true(length >= 1 && length <= NAME_COMPONENT_MAX);
    assert_null(strchr(component, '/'));
    assert_true(component[0] != '.');
    assert_true(strcmp(component, "cur") && strcmp(component, "new") && strcmp(component, "tmp"));
    for (const char *c = component; *c; c++)
        assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
    char mutf7[2000];
    assert_int_equal(name_utf8_to_mutf7(component, mutf7, sizeof(mutf7)), 0); /* valid UTF-8 */
}

static void random_names_are_safe_and_come_back(void **state)
{
    (void)state;
    unsigned cut = 0;
    for (int round = 0; round < 200000; round++) {
        char leaf[1000], out[NAME_COMPONENT_MAX + 1], back[1000];
        size_t length = random_leaf(leaf, round % 100 ? 40 : 800);
        int r = name_to_component(leaf, length, out);
        assert_true(r == 0 || r == 1);
        assert_safe(out);
        cut += r == 1;
        if (r == 1)
            assert_int_equal(name_from_component(out, 0, back, sizeof(back)), -EINVAL);
        else
            assert_int_equal(name_from_component(out, 0, back, sizeof(back)), 0);
        if (r == 0)
            assert_string_equal(back, leaf);
    }
    assert_true(cut > 100);
}

/* All names of up to four octets out of those that mean something: no two components are equal, since each
 * comes back. */
static void all_short_names_come_back(void **state)
{
    (void)state;
    static const char octets[] = "&-%2Ecur~./A,\n\303";
    const size_t n = sizeof(octets) - 1;
    for (size_t i = 0; i < n * n * n * n * n; i++) {
        char leaf[6], out[NAME_COMPONENT_MAX + 1], back[20];
        size_t length = 0;
        for (size_t rest = i; length == 0 || (rest > 0 && length < 5); rest /= n)
            leaf[length++] = octets[rest % n];
        leaf[length] = '\0';
        assert_int_equal(name_to_component(leaf, length, out), 0);
        assert_safe(out);
        assert_int_equal(name_from_component(out, 0, back, sizeof(back)), 0);
        assert_string_equal(back, leaf);
    }
}

static void long_names_are_cut_at_characters(void **state)
{
    (void)state;
    char leaf[3000], a[NAME_COMPONENT_MAX + 1], b[NAME_COMPONENT_MAX + 1];
    for (size_t length = 250; length < 2999; length += 1 + length / 100) {
        memset(leaf, 'x', length);
        assert_int_equal(name_to_component(leaf, length, a), length > NAME_COMPONENT_MAX);
        leaf[length - 1] = 'y';
        assert_int_equal(name_to_component(leaf, length, b), length > NAME_COMPONENT_MAX);
        assert_string_not_equal(a, b);
        assert_safe(a);
    }
    size_t length = 1;
    leaf[0] = '&';
    for (int i = 0; i < 60; i++) /* each is three characters of three octets */
        length += (size_t)sprintf(leaf + length, "U,BTF1Pw");
    leaf[length++] = '-';
    assert_true(name_is_mutf7(leaf, length));
    assert_int_equal(name_to_component(leaf, length, a), 1);
    assert_safe(a);
    assert_true(strlen(a) > NAME_COMPONENT_MAX - 3);
    assert_memory_equal(a + strlen(a) - 18, "%~", 2);
    assert_int_equal(name_to_component("", 0, a), -EINVAL);
}

static void names_of_people_are_sent_or_refused(void **state)
{
    (void)state;
    char out[NAME_COMPONENT_MAX + 1], big[NAME_COMPONENT_MAX + 2];
    assert_int_equal(name_from_component("\303\244 & \360\237\230\200", '/', out, sizeof(out)), 0);
    assert_string_equal(out, "&AOQ- &- &2D3eAA-");
    assert_int_equal(name_from_component("50%", '/', out, sizeof(out)), 0);
    assert_string_equal(out, "50%");
    assert_int_equal(name_from_component("%zz%4", '/', out, sizeof(out)), 0);
    assert_string_equal(out, "%zz%4");
    assert_int_equal(name_from_component("a%00b", '/', out, sizeof(out)), 0);
    assert_string_equal(out, "a%00b");
    const char *const bad[] = {
        "", "a.b", "%2Ea", "\377", "\303", "\355\240\200", "\300\200", "x%~0123456789abcdef", "\303\244%80"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]) - 1; i++)
        assert_int_equal(name_from_component(bad[i], '.', out, sizeof(out)), -EINVAL);
    assert_int_equal(name_from_component("a%2Fb", '/', out, sizeof(out)), -EINVAL);
    assert_int_equal(name_from_component("abc", '/', out, 3), -ENAMETOOLONG);
    assert_int_equal(name_from_component("abc", '/', out, 4), 0);
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    assert_int_equal(name_from_component(big, '/', out, sizeof(out)), -ENAMETOOLONG);
}

/* Valid is exactly what decodes to text that encodes to the same name. */
static void mutf7_is_valid_when_it_comes_back(void **state)
{
    (void)state;
    unsigned valid = 0;
    for (int round = 0; round < 200000; round++) {
        char name[200], text[400], back[400];
        size_t length = random_leaf(name, 30);
        int r = name_mutf7_to_utf8(name, length, text, sizeof(text));
        assert_int_equal(r == 0, name_is_mutf7(name, length));
        if (r < 0) {
            assert_int_equal(r, -EILSEQ);
            continue;
        }
        valid++;
        assert_int_equal(name_utf8_to_mutf7(text, back, sizeof(back)), 0);
        assert_string_equal(back, name);
    }
    assert_true(valid > 1000);
}

static size_t put_utf8(char *out, uint32_t code)
{
    if (code < 0x80)
        return (size_t)sprintf(out, "%c", (int)code);
    if (code < 0x800)
        return (size_t)sprintf(out, "%c%c", (int)(0xc0 | code >> 6), (int)(0x80 | (code & 63)));
    if (code < 0x10000)
        return (size_t)sprintf(out, "%c%c%c", (int)(0xe0 | code >> 12), (int)(0x80 | (code >> 6 & 63)),
                               (int)(0x80 | (code & 63)));
    return (size_t)sprintf(out, "%c%c%c%c", (int)(0xf0 | code >> 18), (int)(0x80 | (code >> 12 & 63)),
                           (int)(0x80 | (code >> 6 & 63)), (int)(0x80 | (code & 63)));
}

/* Every code point alone and between two others. */
static void all_characters_encode_and_come_back(void **state)
{
    (void)state;
    for (uint32_t code = 1; code <= 0x10ffff; code++) {
        char text[20] = "a", mutf7[40], back[40];
        text[1 + put_utf8(text + 1, code)] = '\0';
        strcat(text, "\303\274");
        bool surrogate = code >= 0xd800 && code <= 0xdfff;
        assert_int_equal(name_utf8_to_mutf7(text, mutf7, sizeof(mutf7)), surrogate ? -EILSEQ : 0);
        if (surrogate)
            continue;
        assert_int_equal(name_mutf7_to_utf8(mutf7, strlen(mutf7), back, sizeof(back)), 0);
        assert_string_equal(back, text);
    }
}

static void outputs_have_limits(void **state)
{
    (void)state;
    char out[20];
    assert_int_equal(name_utf8_to_mutf7("\303\274", out, 5), -ENAMETOOLONG);
    assert_int_equal(name_utf8_to_mutf7("\303\274", out, 6), 0);
    assert_string_equal(out, "&APw-");
    assert_int_equal(name_mutf7_to_utf8("&APw-", 5, out, 2), -ENAMETOOLONG);
    assert_int_equal(name_mutf7_to_utf8("&APw-", 5, out, 3), 0);
    assert_int_equal(name_mutf7_to_utf8("", 0, out, 0), -ENAMETOOLONG);
}

static void maildirpp_keeps_dots_apart(void **state)
{
    (void)state;
    char out[NAME_COMPONENT_MAX + 1], part[3 * NAME_COMPONENT_MAX + 1];
    assert_int_equal(name_component_to_maildirpp("v1.2", part, sizeof(part)), 0);
    assert_string_equal(part, "v1%2E2");
    assert_int_equal(name_component_from_maildirpp("v1%2E2", 6, out, sizeof(out)), 0);
    assert_string_equal(out, "v1.2");
    for (int round = 0; round < 50000; round++) {
        char leaf[500], component[NAME_COMPONENT_MAX + 1];
        name_to_component(leaf, random_leaf(leaf, round % 50 ? 40 : 400), component);
        assert_int_equal(name_component_to_maildirpp(component, part, sizeof(part)), 0);
        assert_null(strchr(part, '.'));
        assert_int_equal(name_component_from_maildirpp(part, strlen(part), out, sizeof(out)), 0);
        assert_string_equal(out, component);
    }
    assert_int_equal(name_component_from_maildirpp("a.b", 3, out, sizeof(out)), -EINVAL);
    assert_int_equal(name_component_from_maildirpp("", 0, out, sizeof(out)), -EINVAL);
    assert_int_equal(name_component_to_maildirpp("a.b", out, 5), -ENAMETOOLONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_names_map_both_ways),
        cmocka_unit_test(what_a_person_writes_is_no_escape),
        cmocka_unit_test(random_names_are_safe_and_come_back),
        cmocka_unit_test(all_short_names_come_back),
        cmocka_unit_test(long_names_are_cut_at_characters),
        cmocka_unit_test(names_of_people_are_sent_or_refused),
        cmocka_unit_test(mutf7_is_valid_when_it_comes_back),
        cmocka_unit_test(all_characters_encode_and_come_back),
        cmocka_unit_test(outputs_have_limits),
        cmocka_unit_test(maildirpp_keeps_dots_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
