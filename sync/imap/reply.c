#include "reply.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include "header.h"

#define BACKOFF_MAX_MS 3600000u

static bool is_atom_char(char c)
{
    return (unsigned char)c > ' ' && c != 0x7f && strchr("(){\"[]", c) == NULL;
}

bool cursor_char(struct cursor *c, char wanted)
{
    if (c->p == c->end || *c->p != wanted)
        return false;
    c->p++;
    return true;
}

bool cursor_word(struct cursor *c, const char *wanted)
{
    size_t n = strlen(wanted);
    if ((size_t)(c->end - c->p) < n || strncasecmp(c->p, wanted, n) != 0)
        return false;
    if (c->p + n < c->end && is_atom_char(c->p[n]))
        return false;
    c->p += n;
    return true;
}

bool cursor_number(struct cursor *c, uint64_t *ret)
{
    const char *p = c->p;
    uint64_t n = 0;
    for (; p < c->end && *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(n, 10u, &n) || __builtin_add_overflow(n, (unsigned)(*p - '0'), &n))
            return false;
    if (p == c->p)
        return false;
    c->p = p;
    *ret = n;
    return true;
}

bool cursor_number32(struct cursor *c, uint32_t *ret)
{
    struct cursor at = *c;
    uint64_t n;
    if (!cursor_number(&at, &n) || n > UINT32_MAX)
        return false;
    *c = at;
    *ret = (uint32_t)n;
    return true;
}

size_t cursor_atom(struct cursor *c, char *out, size_t size)
{
    size_t n = 0;
    for (; c->p < c->end && is_atom_char(*c->p); c->p++, n++)
        if (n + 1 < size)
            out[n] = (char)toupper((unsigned char)*c->p);
    out[n < size ? n : size - 1] = '\0';
    return n;
}

static int quoted(struct cursor *c, struct buf *out)
{
    for (c->p++; c->p < c->end; c->p++) {
        if (*c->p == '"') {
            c->p++;
            return 0;
        }
        if (*c->p == '\\' && c->p + 1 < c->end)
            c->p++;
        int r = out != NULL ? buf_add(out, c->p, 1) : 0;
        if (r < 0)
            return r;
    }
    return -EPROTO;
}

static int literal(struct cursor *c, struct buf *out)
{
    uint64_t n;
    c->p++;
    if (!cursor_number(c, &n) || !cursor_char(c, '}'))
        return -EPROTO;
    cursor_char(c, '\r');
    if (!cursor_char(c, '\n') || n > (size_t)(c->end - c->p))
        return -EPROTO;
    int r = out != NULL ? buf_add(out, c->p, (size_t)n) : 0;
    c->p += n;
    return r;
}

int cursor_string(struct cursor *c, struct buf *out, bool *ret_nil)
{
    *ret_nil = false;
    buf_clear(out);
    int r = buf_add(out, "", 0);
    if (r < 0 || c->p == c->end)
        return r < 0 ? r : -EPROTO;
    if (*c->p == '"')
        return quoted(c, out);
    if (*c->p == '~')
        c->p++;
    if (c->p < c->end && *c->p == '{')
        return literal(c, out);
    if (cursor_word(c, "NIL")) {
        *ret_nil = true;
        return 0;
    }
    const char *from = c->p;
    while (c->p < c->end && (is_atom_char(*c->p) || *c->p == ']'))
        c->p++;
    return c->p == from ? -EPROTO : buf_add(out, from, (size_t)(c->p - from));
}

int cursor_skip(struct cursor *c)
{
    unsigned depth = 0;
    const char *from = c->p;
    while (c->p < c->end) {
        int r = 0;
        if (*c->p == '"')
            r = quoted(c, NULL);
        else if (*c->p == '{')
            r = literal(c, NULL);
        else if (*c->p == '(')
            depth++, c->p++;
        else if (*c->p == ')' && depth == 0)
            break;
        else if (*c->p == ')')
            depth--, c->p++;
        else if ((*c->p == ' ' && depth == 0) || *c->p == '\r' || *c->p == '\n')
            break;
        else
            c->p++;
        if (r < 0)
            return r;
    }
    return c->p == from || depth > 0 ? -EPROTO : 0;
}

int cursor_flags(struct cursor *c, struct keywords *k, flags_t *ret, bool *ret_any)
{
    flags_t flags = 0;
    bool any = false;
    if (!cursor_char(c, '('))
        return -EPROTO;
    while (!cursor_char(c, ')')) {
        char name[FLAGS_KEYWORD_NAME_MAX + 2];
        const char *from = c->p;
        while (c->p < c->end && *c->p != ' ' && *c->p != ')' && *c->p != '\r')
            c->p++;
        size_t n = (size_t)(c->p - from);
        if (n < sizeof name && n > 0) {
            memcpy(name, from, n);
            name[n] = '\0';
            any = any || strcmp(name, "\\*") == 0;
            int bit = keywords_bit(k, name);
            flags |= bit >= 0 ? (flags_t)1 << bit : 0;
        }
        if (!cursor_char(c, ' ') && (c->p == c->end || *c->p != ')'))
            return -EPROTO;
    }
    *ret = flags;
    if (ret_any != NULL)
        *ret_any = any;
    return 0;
}

int cursor_uids(struct cursor *c, struct uidset *ret)
{
    const char *from = c->p;
    while (c->p < c->end && (isdigit((unsigned char)*c->p) || *c->p == ',' || *c->p == ':' || *c->p == '*'))
        c->p++;
    int r = uidset_parse(ret, from, (size_t)(c->p - from));
    return r == -EINVAL ? -EPROTO : r;
}

static bool condition(struct cursor *c, enum reply_condition *ret)
{
    static const char *const word[] = {"OK", "NO", "BAD", "BYE", "PREAUTH"};
    for (unsigned i = 0; i < sizeof word / sizeof *word; i++)
        if (cursor_word(c, word[i])) {
            *ret = (enum reply_condition)i;
            return true;
        }
    return false;
}

/* The end of a code: its closing bracket outside of quotes. NULL for none. */
static const char *code_end(struct cursor c)
{
    for (bool in = false; c.p < c.end; c.p++) {
        if (*c.p == '\\' && in && c.p + 1 < c.end)
            c.p++;
        else if (*c.p == '"')
            in = !in;
        else if (*c.p == ']' && !in)
            return c.p;
    }
    return NULL;
}

static void status_text(struct cursor c, struct reply *ret)
{
    cursor_char(&c, ' ');
    const char *bracket = c.p < c.end && *c.p == '[' ? code_end(c) : NULL;
    if (bracket != NULL) {
        c.p++;
        cursor_atom(&c, ret->name, sizeof ret->name);
        cursor_char(&c, ' ');
        ret->args = (struct cursor){c.p, bracket};
        c.p = bracket + 1;
        cursor_char(&c, ' ');
    }
    ret->text = c.p;
    ret->text_length = (size_t)(c.end - c.p);
}

static int data(struct cursor c, struct reply *ret)
{
    if (condition(&c, &ret->condition)) {
        ret->kind = REPLY_STATUS;
        status_text(c, ret);
        return 0;
    }
    ret->kind = REPLY_DATA;
    if (cursor_number32(&c, &ret->number) && !cursor_char(&c, ' '))
        return -EPROTO;
    if (cursor_atom(&c, ret->name, sizeof ret->name) == 0)
        return -EPROTO;
    cursor_char(&c, ' ');
    ret->args = c;
    return 0;
}

int reply_parse(const char *octets, size_t length, struct reply *ret)
{
    while (length > 0 && (octets[length - 1] == '\n' || octets[length - 1] == '\r'))
        length--;
    struct cursor c = {octets, octets + length};
    struct reply r = {.args = {c.end, c.end}, .text = c.end};
    int result = 0;
    if (cursor_char(&c, '+')) {
        r.kind = REPLY_CONTINUE;
        status_text(c, &r);
    } else if (length >= 2 && octets[0] == '*' && octets[1] == ' ') {
        c.p += 2;
        result = data(c, &r);
    } else {
        r.kind = REPLY_TAGGED;
        const char *from = c.p;
        while (c.p < c.end && is_atom_char(*c.p))
            c.p++;
        size_t n = (size_t)(c.p - from);
        if (n == 0 || n >= sizeof r.tag || !cursor_char(&c, ' ') || !condition(&c, &r.condition))
            return -EPROTO;
        memcpy(r.tag, from, n);
        status_text(c, &r);
    }
    if (result == 0)
        *ret = r;
    return result;
}

/* BODY[...]<n> nstring: of the header that was asked for, the Message-ID; anything else is stepped over. */
static int body_section(struct cursor *c, struct reply_fetch *ret)
{
    const char *bracket = code_end(*c);
    if (bracket == NULL)
        return -EPROTO;
    bool header = bracket - c->p > 14 && strncasecmp(c->p, "[HEADER.FIELDS", 14) == 0;
    c->p = bracket + 1;
    if (cursor_char(c, '<'))
        while (c->p < c->end && *c->p != ' ')
            c->p++;
    if (!cursor_char(c, ' '))
        return -EPROTO;
    if (!header)
        return cursor_skip(c);
    struct buf block = {0};
    bool nil;
    int r = cursor_string(c, &block, &nil);
    if (r == 0) {
        ret->has_header = true;
        ret->message_id = nil ? 0 : header_message_id_of_block(block.data, block.length);
    }
    buf_finish(&block);
    return r;
}

static int internal_date(struct cursor *c, struct reply_fetch *ret)
{
    struct buf text = {0};
    bool nil;
    int r = cursor_string(c, &text, &nil);
    if (r == 0 && !nil)
        ret->has_date = reply_parse_date(text.data, text.length, &ret->date_s, &ret->zone_min) == 0;
    buf_finish(&text);
    return r;
}

/* RFC822.SIZE, which some servers give as NIL, or as nonsense. */
static int size_item(struct cursor *c, struct reply_fetch *ret)
{
    struct cursor at = *c;
    uint64_t n;
    if (cursor_number(&at, &n) && n <= INT64_MAX) {
        ret->has_size = true;
        ret->size = (int64_t)n;
    }
    return cursor_skip(c);
}

/* MODSEQ "(12345)" (RFC 7162 3.1.4). */
static int modseq_item(struct cursor *c, struct reply_fetch *ret)
{
    struct cursor at = *c;
    uint64_t n;
    if (cursor_char(&at, '(') && cursor_number(&at, &n))
        ret->modseq = n;
    return cursor_skip(c);
}

static int fetch_item(struct cursor *c, struct keywords *k, struct reply_fetch *ret)
{
    char name[32];
    if (cursor_atom(c, name, sizeof name) == 0)
        return -EPROTO;
    if (c->p < c->end && *c->p == '[')
        return body_section(c, ret);
    if (!cursor_char(c, ' '))
        return -EPROTO;
    if (strcmp(name, "UID") == 0)
        return cursor_number32(c, &ret->uid) ? 0 : -EPROTO;
    if (strcmp(name, "RFC822.SIZE") == 0)
        return size_item(c, ret);
    if (strcmp(name, "INTERNALDATE") == 0)
        return internal_date(c, ret);
    if (strcmp(name, "MODSEQ") == 0)
        return modseq_item(c, ret);
    if (strcmp(name, "FLAGS") != 0)
        return cursor_skip(c);
    ret->has_flags = true;
    return cursor_flags(c, k, &ret->flags, NULL);
}

int reply_fetch(struct cursor args, struct keywords *k, struct reply_fetch *ret)
{
    struct reply_fetch f = {0};
    if (!cursor_char(&args, '('))
        return -EPROTO;
    while (!cursor_char(&args, ')')) {
        int r = fetch_item(&args, k, &f);
        if (r < 0)
            return r;
        if (!cursor_char(&args, ' ') && (args.p == args.end || *args.p != ')'))
            return -EPROTO;
    }
    *ret = f;
    return 0;
}

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

int reply_parse_date(const char *text, size_t length, int64_t *ret_s, int *ret_zone_min)
{
    char copy[32], month[4], sign;
    struct tm t = {0};
    unsigned zone;
    if (length >= sizeof copy)
        return -EPROTO;
    memcpy(copy, text, length);
    copy[length] = '\0';
    if (sscanf(copy, " %2d-%3s-%4d %2d:%2d:%2d %c%4u", &t.tm_mday, month, &t.tm_year, &t.tm_hour, &t.tm_min,
               &t.tm_sec, &sign, &zone) != 8)
        return -EPROTO;
    for (t.tm_mon = 0; t.tm_mon < 12 && strncasecmp(months + 3 * t.tm_mon, month, 3) != 0; t.tm_mon++)
        ;
    if (t.tm_mon == 12 || (sign != '+' && sign != '-') || strlen(month) != 3)
        return -EPROTO;
    t.tm_year -= 1900;
    int minutes = (int)(zone / 100 * 60 + zone % 100);
    *ret_zone_min = sign == '-' ? -minutes : minutes;
    *ret_s = (int64_t)timegm(&t) - *ret_zone_min * INT64_C(60);
    return 0;
}

void reply_format_date(int64_t s, int zone_min, char out[32])
{
    time_t local = (time_t)(s + zone_min * INT64_C(60));
    struct tm t = {0};
    gmtime_r(&local, &t);
    unsigned zone = (unsigned)abs(zone_min) % 1440;
    snprintf(out, 32, "%2d-%.3s-%04d %02d:%02d:%02d %c%02u%02u", t.tm_mday % 100,
             months + 3 * (t.tm_mon % 12), (t.tm_year + 1900) % 10000, t.tm_hour % 100, t.tm_min % 100,
             t.tm_sec % 100, zone_min < 0 ? '-' : '+', zone / 60, zone % 60);
}

/* Is a sequence-set written in ascending order, each range too? Only then does a sorted set keep which UID
 * became which. */
static bool ascending(struct cursor c)
{
    uint32_t last = 0, n;
    while (cursor_number32(&c, &n)) {
        if (n <= last)
            return false;
        last = n;
        if (!cursor_char(&c, ',') && !cursor_char(&c, ':'))
            break;
    }
    return true;
}

int reply_copyuid(struct cursor args, uint32_t *ret_validity, struct uidset *ret_source,
                  struct uidset *ret_target)
{
    struct uidset source = {0}, target = {0};
    uint32_t validity;
    int r = -EPROTO;
    if (!cursor_number32(&args, &validity) || !cursor_char(&args, ' ') || !ascending(args))
        return -EPROTO;
    if ((r = cursor_uids(&args, &source)) < 0)
        return r;
    r = cursor_char(&args, ' ') && ascending(args) ? cursor_uids(&args, &target) : -EPROTO;
    if (r == 0 && uidset_count(&source) != uidset_count(&target))
        r = -EPROTO;
    if (r < 0) {
        uidset_finish(&source);
        uidset_finish(&target);
        return r;
    }
    *ret_validity = validity;
    *ret_source = source;
    *ret_target = target;
    return 0;
}

/* One "NAME usage limit", in the resource's own unit. */
static int quota_item(struct cursor *c, char name[32], uint64_t *ret_used, uint64_t *ret_limit)
{
    return cursor_atom(c, name, 32) > 0 && cursor_char(c, ' ') && cursor_number(c, ret_used) &&
                   cursor_char(c, ' ') && cursor_number(c, ret_limit)
               ? 0
               : -EPROTO;
}

int reply_quota(struct cursor args, int64_t *ret_used, int64_t *ret_limit)
{
    struct cursor c = args;
    int64_t octets_used = 0, octets_limit = 0;
    if (cursor_skip(&c) < 0 || !cursor_char(&c, ' ') || !cursor_char(&c, '('))
        return -EPROTO;
    while (!cursor_char(&c, ')')) {
        char name[32];
        uint64_t used, limit;
        if (quota_item(&c, name, &used, &limit) < 0)
            return -EPROTO;
        if (strcmp(name, "STORAGE") == 0 && (__builtin_mul_overflow(used, 1024, &octets_used) ||
                                             __builtin_mul_overflow(limit, 1024, &octets_limit)))
            return -EPROTO;
        if (!cursor_char(&c, ' ') && (c.p == c.end || *c.p != ')'))
            return -EPROTO;
    }
    if (octets_limit == 0)
        return 0;
    *ret_used = octets_used;
    *ret_limit = octets_limit;
    return 1;
}

unsigned reply_backoff_ms(const char *text, size_t length)
{
    static const char words[] = "Backoff Time:";
    const char *at = memmem(text, length, words, sizeof words - 1);
    if (at == NULL)
        return 0;
    struct cursor c = {at + sizeof words - 1, text + length};
    uint64_t ms;
    cursor_char(&c, ' ');
    if (!cursor_number(&c, &ms))
        return 0;
    return ms < BACKOFF_MAX_MS ? (unsigned)ms : BACKOFF_MAX_MS;
}
