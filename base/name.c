#include "name.h"

#include <errno.h>
#include <openssl/sha.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/*
 * A server's name becomes a path component in one of two ways.
 *
 *   Clean: valid modified UTF-7 that decodes to text without control characters. The component is that text
 * in UTF-8. Escaped are '/', a leading dot, the first octet of "cur" "new" "tmp", and '%' before two
 * hexadecimal digits or '~'.
 *
 *   Raw: anything else. The component is the octets of the server's name as they are, where '&', control
 * characters and octets above 0x7e are escaped too.
 *
 * An escape of '&', of a control character or of an octet above 0x7e is only ever made for raw names, and
 * every raw name has one, for without them it would have been clean. That is how the way back knows which of
 * the two it has before it. It follows that the mapping is one to one; tests/base/test_name.c tries it with
 * random octets.
 *
 * "%~" is never made by an escape and never left unescaped, so it marks names that were cut.
 */

enum {
    NAME_TEXT_MAX = 1024, /* longer text is cut in any case */
    NAME_CUT_SUFFIX = 18, /* "%~" and 16 digits */
    NAME_END = -1,
    NAME_BAD = -2,
};

/* An output string of fixed size. Once something did not fit, full is set and nothing is added any more. */
struct out {
    char *at;
    size_t left; /* without the final NUL */
    bool full;
};

static struct out out_over(char *data, size_t size)
{
    data[0] = '\0';
    return (struct out){.at = data, .left = size - 1};
}

/* Adds all of it or nothing, so that the result always ends at a boundary. */
static void out_add(struct out *o, const char *data, size_t length)
{
    o->full |= length > o->left;
    if (o->full)
        return;
    memcpy(o->at, data, length);
    o->at += length;
    o->left -= length;
    *o->at = '\0';
}

static void out_char(struct out *o, char c)
{
    out_add(o, &c, 1);
}

static void out_escape(struct out *o, unsigned char c)
{
    static const char digits[] = "0123456789ABCDEF";
    char text[3] = {'%', digits[c >> 4], digits[c & 15]};
    out_add(o, text, sizeof(text));
}

static bool is_direct(int32_t c)
{
    return c >= 0x20 && c <= 0x7e;
}

/* ---- UTF-8 (RFC 3629) ---- */

static size_t utf8_length(unsigned char lead)
{
    if (lead < 0x80)
        return 1;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 2;
    if (lead >= 0xe0 && lead <= 0xef)
        return 3;
    return lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
}

/* The next code point, NAME_END or NAME_BAD: no overlong forms, no surrogates, nothing above U+10FFFF. */
static int32_t utf8_next(const char **at)
{
    static const int32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *c = (const unsigned char *)*at;
    if (*c == '\0')
        return NAME_END;
    size_t length = utf8_length(*c);
    if (length == 0)
        return NAME_BAD;
    int32_t code = length == 1 ? *c : *c & (0x7f >> length);
    for (size_t i = 1; i < length; i++) {
        if ((c[i] & 0xc0) != 0x80)
            return NAME_BAD;
        code = code << 6 | (c[i] & 0x3f);
    }
    if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return NAME_BAD;
    *at += length;
    return code;
}

static void utf8_put(struct out *o, int32_t code)
{
    char text[4];
    size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, code >>= 6)
        text[i] = (char)(0x80 | (code & 0x3f));
    text[0] = (char)(length == 1 ? code : (0xf00 >> length & 0xff) | code);
    out_add(o, text, length);
}

/* ---- Modified UTF-7 (RFC 3501 5.1.3) ---- */

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

struct mutf7 {
    const char *at, *end;
    uint32_t bits; /* of base64, not yet used */
    unsigned n_bits;
    bool shifted;    /* between '&' and '-' */
    bool shift_done; /* just after a '-' that ended base64: another shift would be superfluous */
};

/* Ends a shift at '-'. The bits that are left, fewer than six, are padding and must be zero. */
static bool mutf7_unshift(struct mutf7 *m)
{
    if (m->at == m->end || *m->at != '-' || m->bits != 0)
        return false;
    m->at++;
    m->shifted = false;
    m->shift_done = true;
    return true;
}

/* The next 16 bits of a shift. */
static int32_t mutf7_unit(struct mutf7 *m)
{
    while (m->n_bits < 16) {
        const char *digit = m->at < m->end && *m->at ? strchr(base64, *m->at) : NULL;
        if (!digit)
            return NAME_BAD;
        m->at++;
        m->bits = m->bits << 6 | (uint32_t)(digit - base64);
        m->n_bits += 6;
    }
    m->n_bits -= 16;
    int32_t unit = (int32_t)(m->bits >> m->n_bits);
    m->bits &= (1U << m->n_bits) - 1;
    return unit;
}

/* The next character of a shift. NUL and what needs no shift are not allowed in one. */
static int32_t mutf7_shifted(struct mutf7 *m)
{
    int32_t unit = mutf7_unit(m);
    if (unit <= 0 || is_direct(unit) || (unit >= 0xdc00 && unit <= 0xdfff))
        return NAME_BAD;
    if (unit < 0xd800 || unit > 0xdbff)
        return unit;
    int32_t low = mutf7_unit(m);
    if (low < 0xdc00 || low > 0xdfff)
        return NAME_BAD;
    return 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
}

/* The next code point, NAME_END, or NAME_BAD for all but the one correct form. */
static int32_t mutf7_next(struct mutf7 *m)
{
    if (m->shifted && (m->at == m->end || *m->at == '-') && !mutf7_unshift(m))
        return NAME_BAD;
    if (m->shifted)
        return mutf7_shifted(m);
    if (m->at == m->end)
        return NAME_END;
    char c = *m->at++;
    bool superfluous = m->shift_done;
    m->shift_done = false;
    if (c != '&')
        return is_direct(c) ? c : NAME_BAD;
    if (m->at < m->end && *m->at == '-') {
        m->at++;
        return '&';
    }
    if (superfluous)
        return NAME_BAD;
    m->shifted = true;
    m->bits = m->n_bits = 0;
    return mutf7_shifted(m);
}

bool name_is_mutf7(const char *name, size_t length)
{
    struct mutf7 m = {.at = name, .end = name + length};
    int32_t code;
    do
        code = mutf7_next(&m);
    while (code >= 0);
    return code == NAME_END;
}

int name_mutf7_to_utf8(const char *mutf7, size_t length, char *out, size_t size)
{
    if (size == 0)
        return -ENAMETOOLONG;
    if (!name_is_mutf7(mutf7, length))
        return -EILSEQ;
    struct mutf7 m = {.at = mutf7, .end = mutf7 + length};
    struct out o = out_over(out, size);
    for (int32_t code; (code = mutf7_next(&m)) >= 0;)
        utf8_put(&o, code);
    return o.full ? -ENAMETOOLONG : 0;
}

static void mutf7_put_unit(struct out *o, struct mutf7 *m, uint32_t unit)
{
    m->bits = m->bits << 16 | unit;
    m->n_bits += 16;
    while (m->n_bits >= 6) {
        m->n_bits -= 6;
        out_char(o, base64[m->bits >> m->n_bits]);
        m->bits &= (1U << m->n_bits) - 1;
    }
}

static void mutf7_put_unshift(struct out *o, struct mutf7 *m)
{
    if (!m->shifted)
        return;
    if (m->n_bits > 0)
        out_char(o, base64[m->bits << (6 - m->n_bits)]);
    out_char(o, '-');
    *m = (struct mutf7){0};
}

static void mutf7_put(struct out *o, struct mutf7 *m, int32_t code)
{
    if (is_direct(code)) {
        mutf7_put_unshift(o, m);
        out_add(o, code == '&' ? "&-" : &(char){(char)code}, code == '&' ? 2 : 1);
        return;
    }
    if (!m->shifted)
        out_char(o, '&');
    m->shifted = true;
    if (code >= 0x10000) {
        mutf7_put_unit(o, m, 0xd800 + ((uint32_t)(code - 0x10000) >> 10));
        code = 0xdc00 + ((code - 0x10000) & 0x3ff);
    }
    mutf7_put_unit(o, m, (uint32_t)code);
}

int name_utf8_to_mutf7(const char *utf8, char *out, size_t size)
{
    if (size == 0)
        return -ENAMETOOLONG;
    struct out o = out_over(out, size);
    struct mutf7 m = {0};
    int32_t code;
    while ((code = utf8_next(&utf8)) >= 0)
        mutf7_put(&o, &m, code);
    if (code == NAME_BAD)
        return -EILSEQ;
    mutf7_put_unshift(&o, &m);
    return o.full ? -ENAMETOOLONG : 0;
}

/* ---- Components ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The octet of an escape at text, or -1. */
static int escape_at(const char *text, size_t length)
{
    if (length < 3 || text[0] != '%' || hex_digit(text[1]) < 0 || hex_digit(text[2]) < 0)
        return -1;
    return hex_digit(text[1]) << 4 | hex_digit(text[2]);
}

static bool is_control(unsigned char c)
{
    return c < 0x20 || c == 0x7f;
}

/* Is this an octet whose escape tells a raw name? */
static bool is_raw_escape(unsigned char c)
{
    return c == '&' || is_control(c) || c >= 0x80;
}

static bool is_tree_name(const char *text, size_t length)
{
    return length == 3 && (!memcmp(text, "cur", 3) || !memcmp(text, "new", 3) || !memcmp(text, "tmp", 3));
}

static bool needs_escape(const char *text, size_t length, size_t i, bool raw)
{
    char c = text[i];
    if (c == '/' || (i == 0 && (c == '.' || is_tree_name(text, length))))
        return true;
    if (c == '%')
        return escape_at(text + i, length - i) >= 0 || (i + 1 < length && text[i + 1] == '~');
    return raw && is_raw_escape((unsigned char)c);
}

/* Characters of text, escaped where needed, as many as fit. A character of several octets goes in as a whole.
 */
static void component_put(struct out *o, const char *text, size_t length, bool raw)
{
    for (size_t i = 0, n; i < length; i += n) {
        n = raw ? 1 : utf8_length((unsigned char)text[i]);
        if (needs_escape(text, length, i, raw))
            out_escape(o, (unsigned char)text[i]);
        else
            out_add(o, text + i, n);
    }
}

/* The text of a clean name; false for a raw one. */
static bool clean_text(const char *leaf, size_t length, char *text)
{
    if (name_mutf7_to_utf8(leaf, length, text, NAME_TEXT_MAX) < 0)
        return false;
    for (const char *c = text; *c; c++)
        if (is_control((unsigned char)*c))
            return false;
    return true;
}

int name_to_component(const char *leaf, size_t length, char *out)
{
    if (length == 0)
        return -EINVAL;
    char decoded[NAME_TEXT_MAX];
    bool clean = clean_text(leaf, length, decoded);
    const char *text = clean ? decoded : leaf;
    size_t text_length = clean ? strlen(decoded) : length;
    struct out o = out_over(out, NAME_COMPONENT_MAX + 1);
    component_put(&o, text, text_length, !clean);
    if (!o.full)
        return 0;
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)leaf, length, digest);
    o = out_over(out, NAME_COMPONENT_MAX + 1 - NAME_CUT_SUFFIX);
    component_put(&o, text, text_length, !clean);
    char *at = o.at;
    at += sprintf(at, "%%~");
    for (int i = 0; i < 8; i++)
        at += sprintf(at, "%02x", digest[i]);
    return 1;
}

static bool is_cut(const char *component, size_t length)
{
    if (length < NAME_CUT_SUFFIX)
        return false;
    const char *suffix = component + length - NAME_CUT_SUFFIX;
    return suffix[0] == '%' && suffix[1] == '~' && strspn(suffix + 2, "0123456789abcdef") == 16;
}

/* Undoes the escapes; *ret_raw tells whether they were those of a raw name. False for an escaped NUL. */
static bool unescape(const char *component, size_t length, char *out, bool *ret_raw)
{
    bool raw = false;
    for (size_t i = 0; i < length; i++) {
        int octet = escape_at(component + i, length - i);
        if (octet == 0)
            return false;
        raw |= octet > 0 && is_raw_escape((unsigned char)octet);
        *out++ = octet > 0 ? (char)octet : component[i];
        i += octet > 0 ? 2 : 0;
    }
    *out = '\0';
    *ret_raw = raw;
    return true;
}

static int decode_component(const char *component, char *out, size_t size)
{
    char text[NAME_COMPONENT_MAX + 1];
    bool raw;
    if (!unescape(component, strlen(component), text, &raw))
        return -EINVAL;
    if (!raw)
        return name_utf8_to_mutf7(text, out, size);
    memcpy(out, text, strlen(text) + 1);
    return 0;
}

/* Would this name of a server be shown as that component? */
static bool is_shown_as(const char *name, const char *component)
{
    char shown[NAME_COMPONENT_MAX + 1];
    return name_to_component(name, strlen(name), shown) == 0 && strcmp(shown, component) == 0;
}

int name_from_component(const char *component, char delimiter, char *out, size_t size)
{
    size_t length = strlen(component);
    char name[NAME_COMPONENT_MAX * 4];
    if (length > NAME_COMPONENT_MAX)
        return -ENAMETOOLONG;
    if (length == 0 || is_cut(component, length))
        return -EINVAL;
    int r = decode_component(component, name, sizeof(name));
    /* An escape that is nowhere needed is no escape: a person wrote it, and means these characters. */
    if (r < 0 || !is_shown_as(name, component))
        r = name_utf8_to_mutf7(component, name, sizeof(name));
    if (r < 0 || (delimiter && strchr(name, delimiter)))
        return -EINVAL;
    if (strlen(name) >= size)
        return -ENAMETOOLONG;
    memcpy(out, name, strlen(name) + 1);
    return 0;
}

/* ---- Maildir++ ---- */

int name_component_to_maildirpp(const char *component, char *out, size_t size)
{
    if (size == 0)
        return -ENAMETOOLONG;
    struct out o = out_over(out, size);
    for (const char *c = component; *c; c++) {
        if (*c == '.')
            out_escape(&o, '.');
        else
            out_char(&o, *c);
    }
    return o.full ? -ENAMETOOLONG : 0;
}

int name_component_from_maildirpp(const char *part, size_t length, char *out, size_t size)
{
    if (size == 0)
        return -ENAMETOOLONG;
    if (length == 0 || memchr(part, '.', length) || memchr(part, '/', length) || memchr(part, '\0', length))
        return -EINVAL;
    struct out o = out_over(out, size);
    for (size_t i = 0; i < length; i++) {
        /* A leading dot is escaped in the component, too, and stays so. */
        bool dot = i > 0 && escape_at(part + i, length - i) == '.';
        out_char(&o, dot ? '.' : part[i]);
        i += dot ? 2 : 0;
    }
    return o.full ? -ENAMETOOLONG : 0;
}
