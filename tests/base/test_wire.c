/* The two forms of a message: any way of cutting the stream gives the same result, and exact forms come back.
 */
#include "check.h"

#include <stdbool.h>

#include "wire.h"

enum { MAX = 64 };

/* Few different octets, so that every short sequence of them occurs. */
static size_t random_text(char *out, size_t max)
{
    size_t length = check_random(max + 1);
    for (size_t i = 0; i < length; i++)
        out[i] = "\r\n\r\n\0ab"[check_random(7)];
    return length;
}

static size_t to_lf(const char *in, size_t length, char *out, struct wire_to_lf *s)
{
    *s = (struct wire_to_lf){0};
    size_t n = wire_to_lf(s, in, length, out);
    return n + wire_to_lf_end(s, out + n);
}

static size_t to_lf_in_pieces(const char *in, size_t length, char *out, struct wire_to_lf *s)
{
    *s = (struct wire_to_lf){0};
    size_t n = 0;
    for (size_t at = 0, piece; at < length; at += piece) {
        char part[MAX + 1];
        piece = check_random(length - at + 1);
        size_t made = wire_to_lf(s, in + at, piece, part);
        assert_true(made <= piece + 1);
        memcpy(out + n, part, made);
        n += made;
    }
    return n + wire_to_lf_end(s, out + n);
}

static size_t from_file_in_pieces(const char *in, size_t length, bool exact, char *out,
                                  struct wire_from_file *s)
{
    *s = (struct wire_from_file){0};
    size_t n = 0;
    for (size_t at = 0, piece; at < length; at += piece) {
        char part[2 * MAX + 1];
        piece = check_random(length - at + 1);
        size_t made = wire_from_file(s, exact, in + at, piece, part);
        assert_true(made <= 2 * piece);
        memcpy(out + n, part, made);
        n += made;
    }
    return n;
}

static bool has_bare_lf(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r'))
            return true;
    return false;
}

static void lf_form_is_each_crlf_replaced(void **state)
{
    (void)state;
    for (int round = 0; round < 20000; round++) {
        char in[MAX], want[MAX + 1], whole[MAX + 1], pieces[MAX + 1];
        struct wire_to_lf s, p;
        size_t length = random_text(in, MAX), n = 0;
        for (size_t i = 0; i < length; i++)
            if (!(in[i] == '\r' && i + 1 < length && in[i + 1] == '\n'))
                want[n++] = in[i];
        assert_int_equal(to_lf(in, length, whole, &s), n);
        assert_memory_equal(whole, want, n);
        assert_int_equal(to_lf_in_pieces(in, length, pieces, &p), n);
        assert_memory_equal(pieces, want, n);
        assert_int_equal(s.bare_lf, has_bare_lf(in, length));
        assert_int_equal(p.bare_lf, s.bare_lf);
    }
}

/* Exact is what it says: CR before each LF gives the wire form again if and only if bare_lf is not set. */
static void exact_forms_come_back(void **state)
{
    (void)state;
    unsigned exact = 0;
    for (int round = 0; round < 20000; round++) {
        char in[MAX], lf[MAX + 1], back[2 * MAX + 2];
        struct wire_to_lf s;
        struct wire_from_file f;
        size_t length = random_text(in, check_random(2) ? 6 : MAX);
        size_t n = to_lf(in, length, lf, &s);
        size_t m = from_file_in_pieces(lf, n, true, back, &f);
        bool same = m == length && memcmp(back, in, length) == 0;
        assert_int_equal(same, !s.bare_lf);
        exact += same;
    }
    assert_true(exact > 1000 && exact < 19000);
}

static void files_of_people_get_cr_where_there_is_none(void **state)
{
    (void)state;
    for (int round = 0; round < 20000; round++) {
        char in[MAX], want[2 * MAX], whole[2 * MAX], pieces[2 * MAX];
        struct wire_from_file s = {0}, p;
        size_t length = random_text(in, MAX), n = 0;
        bool crlf = false;
        for (size_t i = 0; i < length; i++) {
            bool cr = i > 0 && in[i - 1] == '\r';
            crlf |= in[i] == '\n' && cr;
            if (in[i] == '\n' && !cr)
                want[n++] = '\r';
            want[n++] = in[i];
        }
        assert_int_equal(wire_from_file(&s, false, in, length, whole), n);
        assert_memory_equal(whole, want, n);
        assert_int_equal(from_file_in_pieces(in, length, false, pieces, &p), n);
        assert_memory_equal(pieces, want, n);
        assert_false(has_bare_lf(whole, n));
        assert_int_equal(s.crlf, crlf);
        assert_int_equal(p.crlf, crlf);
        assert_int_equal(s.nul, memchr(in, '\0', length) != NULL);
    }
}

static void a_cr_at_the_end_is_not_lost(void **state)
{
    (void)state;
    char out[4];
    struct wire_to_lf s;
    assert_int_equal(to_lf("a\r", 2, out, &s), 2);
    assert_memory_equal(out, "a\r", 2);
    assert_int_equal(wire_to_lf_end(&s, out), 0);
    assert_int_equal(to_lf("\r\r\n", 3, out, &s), 2);
    assert_memory_equal(out, "\r\n", 2);
    assert_false(s.bare_lf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lf_form_is_each_crlf_replaced),
        cmocka_unit_test(exact_forms_come_back),
        cmocka_unit_test(files_of_people_get_cr_where_there_is_none),
        cmocka_unit_test(a_cr_at_the_end_is_not_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
