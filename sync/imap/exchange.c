/* Commands out, replies in: how they are written, split, sent, read and judged. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "clock.h"
#include "session.h"

#define LITERAL_MINUS_MAX 4096     /* RFC 7888 5 */
#define OCTETS_KEPT (1024u * 1024) /* memory that a session holds on to between replies */

void command_begin(struct imap *im, struct command *c, const char *format, ...)
{
    char start[256];
    va_list args;
    *c = (struct command){.tag = ++im->tag};
    va_start(args, format);
    vsnprintf(start, sizeof start, format, args);
    va_end(args);
    buf_addf(&c->text, "m%u %s", c->tag, start);
}

static bool quotable(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || (unsigned char)*text >= 0x7f)
            return false;
    return true;
}

void command_string(struct imap *im, struct command *c, const char *text)
{
    if (quotable(text)) {
        buf_adds(&c->text, "\"");
        for (; *text != '\0'; text++)
            buf_addf(&c->text, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
        buf_adds(&c->text, "\"");
        return;
    }
    size_t n = strlen(text);
    bool plus = im->has.literal_plus || (im->has.literal_minus && n <= LITERAL_MINUS_MAX);
    buf_addf(&c->text, "{%zu%s}\r\n", n, plus ? "+" : "");
    if (!plus && c->splits < sizeof c->split / sizeof *c->split)
        c->split[c->splits++] = c->text.length;
    buf_add(&c->text, text, n);
}

void command_flags(struct imap *im, struct command *c, flags_t flags)
{
    const char *gap = "";
    buf_adds(&c->text, "(");
    for (unsigned bit = 0; bit < 64; bit++) {
        const char *name = flags >> bit & 1 ? keywords_name(im->keywords, bit) : NULL;
        if (name == NULL)
            continue;
        buf_addf(&c->text, "%s%s", gap, name);
        gap = " ";
    }
    buf_adds(&c->text, ")");
}

void imap_error_set(struct worker_error *e, int err, const char *text, size_t length)
{
    size_t n = length < sizeof e->text ? length : sizeof e->text - 1;
    *e = (struct worker_error){.err = err};
    for (size_t i = 0; i < n; i++)
        e->text[i] = iscntrl((unsigned char)text[i]) ? '?' : text[i];
}

/* Response codes (RFC 5530 and others) as the errno that a file operation would give. */
static int errno_of(const struct reply *r)
{
    static const struct {
        const char *code;
        int err;
    } table[] = {
        {"OVERQUOTA", -EDQUOT},
        {"TOOBIG", -EFBIG},
        {"NOPERM", -EACCES},
        {"ALREADYEXISTS", -EEXIST},
        {"NONEXISTENT", -ENOENT},
        {"TRYCREATE", -ENOENT},
        {"LIMIT", -ENOSPC},
        {"CANNOT", -EINVAL},
        {"INUSE", -EAGAIN},
        {"UNAVAILABLE", -EAGAIN},
        {"THROTTLED", -EAGAIN},
        {"EXPUNGEISSUED", -ESTALE},
        {"HASCHILDREN", -ENOTEMPTY},
        {"READ-ONLY", -EROFS},
        {"AUTHENTICATIONFAILED", -EACCES},
        {"AUTHORIZATIONFAILED", -EACCES},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(r->name, table[i].code) == 0)
            return table[i].err;
    return r->condition == REPLY_BAD ? -EPROTO : -EIO;
}

void imap_error_from(const struct reply *r, struct worker_error *e)
{
    unsigned pause = reply_backoff_ms(r->text, r->text_length);
    imap_error_set(e, pause > 0 ? -EAGAIN : errno_of(r), r->text, r->text_length);
    e->retry_ms = pause;
    e->try_create = strcmp(r->name, "TRYCREATE") == 0 || strcmp(r->name, "NONEXISTENT") == 0;
}

/* A line, up to its LF, from libetpan's buffer. */
static int read_line(struct imap *im)
{
    mailstream *m = im->etpan->imap_stream;
    if (m->write_buffer_len > 0 && mailstream_flush(m) < 0)
        return im->stream->err < 0 ? im->stream->err : -EIO;
    for (;;) {
        if (m->read_buffer_len == 0 && mailstream_feed_read_buffer(m) < 0)
            return im->stream->err;
        const char *lf = memchr(m->read_buffer, '\n', m->read_buffer_len);
        size_t n = lf != NULL ? (size_t)(lf - m->read_buffer) + 1 : m->read_buffer_len;
        char piece[4096];
        if (n > sizeof piece) {
            n = sizeof piece;
            lf = NULL;
        }
        mailstream_read(m, piece, n);
        int r = buf_add(&im->octets, piece, n);
        if (r < 0 || lf != NULL)
            return r;
    }
}

static int read_octets(struct imap *im, uint64_t n)
{
    while (n > 0) {
        char piece[16384];
        ssize_t got =
            mailstream_read(im->etpan->imap_stream, piece, n < sizeof piece ? (size_t)n : sizeof piece);
        if (got <= 0)
            return im->stream->err < 0 ? im->stream->err : -ECONNRESET;
        int r = buf_add(&im->octets, piece, (size_t)got);
        if (r < 0)
            return r;
        n -= (uint64_t)got;
    }
    return 0;
}

/* Does what was read so far end in {n} CRLF, where a literal can be? */
static bool literal_follows(const struct buf *b, uint64_t *ret)
{
    size_t end = b->length;
    while (end > 0 && (b->data[end - 1] == '\n' || b->data[end - 1] == '\r'))
        end--;
    if (end == 0 || b->data[end - 1] != '}' || guard_is_text(b->data, b->length))
        return false;
    size_t from = end - 1;
    while (from > 0 && isdigit((unsigned char)b->data[from - 1]))
        from--;
    struct cursor c = {b->data + from, b->data + end};
    return from > 0 && b->data[from - 1] == '{' && cursor_number(&c, ret);
}

/* VANISHED without (EARLIER) stands for as many EXPUNGEs (RFC 7162 3.2.10). */
static void note_vanished(struct imap_selected *s, struct cursor args)
{
    struct uidset gone = {0};
    if (cursor_uids(&args, &gone) == 0) {
        uint64_t n = uidset_count(&gone);
        s->exists -= n < s->exists ? (uint32_t)n : s->exists;
    }
    uidset_finish(&gone);
}

/* CAPABILITY as a code, EXISTS, EXPUNGE, VANISHED, FETCH and BYE concern the session whatever command they
 * come with.
 */
static void note(struct imap *im, const struct reply *r)
{
    struct imap_selected *s = &im->selected;
    if (im->state != IMAP_OPEN && r->kind != REPLY_DATA && r->condition != REPLY_NO &&
        strcmp(r->name, "CAPABILITY") == 0)
        imap_note_capabilities(im, r->args);
    if (r->kind == REPLY_STATUS && r->condition == REPLY_BYE)
        snprintf(im->bye, sizeof im->bye, "%.*s", (int)(r->text_length < 250 ? r->text_length : 250),
                 r->text);
    if (s->name == NULL)
        return;
    imap_view_note(im, r);
    if (r->kind != REPLY_DATA)
        return;
    if (strcmp(r->name, "EXISTS") == 0) {
        s->news = s->news || s->exists != r->number;
        s->exists = r->number;
    } else if (strcmp(r->name, "EXPUNGE") == 0) {
        s->news = true;
        s->exists -= s->exists > 0;
    } else if (strcmp(r->name, "VANISHED") == 0) {
        s->news = true;
        note_vanished(s, r->args);
    } else if (strcmp(r->name, "FETCH") == 0) {
        s->news = true;
    }
}

int imap_read(struct imap *im, struct reply *ret)
{
    uint64_t n;
    if (im->octets.cap > OCTETS_KEPT)
        buf_finish(&im->octets);
    buf_clear(&im->octets);
    int r = read_line(im);
    while (r == 0 && literal_follows(&im->octets, &n)) {
        /* The guard does not look at literals while bodies may be coming. */
        r = n > GUARD_RESPONSE_MAX || im->octets.length > GUARD_RESPONSE_MAX ? -EMSGSIZE : read_octets(im, n);
        if (r == 0)
            r = read_line(im);
    }
    if (r == 0)
        r = reply_parse(im->octets.data, im->octets.length, ret);
    if (r < 0 && im->stream->err == 0)
        im->stream->err = r; /* out of step: nothing that follows can be trusted */
    if (r < 0)
        return r;
    im->used_ms = clock_boot_ms();
    note(im, ret);
    return 0;
}

static int write_part(struct imap *im, const struct command *c, size_t from, size_t to)
{
    mailstream *m = im->etpan->imap_stream;
    if (from == to)
        return 0;
    if (mailstream_write(m, c->text.data + from, to - from) < 0 || (!c->held && mailstream_flush(m) < 0))
        return im->stream->err < 0 ? im->stream->err : -EIO;
    return im->stream->err;
}

/* Waits for "+". A tagged reply instead is the server's refusal: 1. */
static int await_go_ahead(struct imap *im, unsigned tag)
{
    for (;;) {
        struct reply r;
        int result = imap_read(im, &r);
        if (result < 0)
            return result;
        if (r.kind == REPLY_CONTINUE)
            return 0;
        if (r.kind == REPLY_TAGGED) {
            im->done = r;
            return r.tag[0] == 'm' && strtoul(r.tag + 1, NULL, 10) == tag ? 1 : -EPROTO;
        }
    }
}

static enum worker_result write_command(struct imap *im, struct command *c, unsigned *ret_tag,
                                        struct worker_error *e)
{
    int r = c->text.failed || (!c->open && buf_adds(&c->text, "\r\n") < 0) ? -ENOMEM : im->stream->err;
    bool sent = false;
    guard_next_command(&im->stream->guard);
    im->about.commands++;
    for (unsigned i = 0; r == 0 && i <= c->splits; i++) {
        size_t from = i == 0 ? 0 : c->split[i - 1], to = i < c->splits ? c->split[i] : c->text.length;
        sent = true;
        r = write_part(im, c, from, to);
        if (r == 0 && i < c->splits)
            r = await_go_ahead(im, c->tag);
    }
    *ret_tag = c->tag;
    if (c->secret)
        imap_wipe(im, &c->text);
    buf_finish(&c->text);
    if (r == 0)
        return WORKER_DONE;
    if (r > 0) {
        imap_error_from(&im->done, e);
        return WORKER_REFUSED;
    }
    if (im->stream->err == 0)
        im->stream->err = r;
    return imap_broken(im, sent, e);
}

enum worker_result imap_send(struct imap *im, struct command *c, unsigned *ret_tag, struct worker_error *e)
{
    enum worker_result r = c->behind && c->splits == 0 ? WORKER_DONE : imap_settle(im, e);
    if (r == WORKER_DONE)
        return write_command(im, c, ret_tag, e);
    buf_finish(&c->text);
    return imap_harmless(r, e);
}

enum worker_result imap_send_ahead(struct imap *im, struct command *c, imap_each *each, void *arg,
                                   struct worker_error *e)
{
    enum worker_result r = im->n_owed < OWED_MAX ? WORKER_DONE : imap_settle(im, e);
    unsigned tag;
    c->behind = true;
    r = r == WORKER_DONE ? imap_send(im, c, &tag, e) : imap_harmless(r, e);
    if (r == WORKER_DONE)
        im->owed[im->n_owed++] = (struct owed){.tag = tag, .each = each, .arg = arg};
    return r;
}

static enum worker_result finish(struct imap *im, unsigned tag, imap_each *each, void *arg,
                                 struct worker_error *e)
{
    int failed = 0;
    for (;;) {
        struct reply r;
        if (imap_read(im, &r) < 0)
            return imap_broken(im, true, e);
        if (r.kind == REPLY_TAGGED && im->aside != 0 && r.tag[0] == 'm' &&
            strtoul(r.tag + 1, NULL, 10) == im->aside) {
            im->aside = 0;
            if (r.condition != REPLY_OK)
                imap_view_lose(im);
            continue;
        }
        if (r.kind == REPLY_TAGGED && (r.tag[0] != 'm' || strtoul(r.tag + 1, NULL, 10) != tag)) {
            im->stream->err = -EPROTO;
            return imap_broken(im, true, e);
        }
        if (each != NULL && failed == 0 && r.kind != REPLY_CONTINUE)
            failed = each(arg, &r);
        if (r.kind != REPLY_TAGGED)
            continue;
        im->done = r;
        if (failed < 0) {
            imap_error_set(e, failed, strerror(-failed), strlen(strerror(-failed)));
            return WORKER_LOCAL;
        }
        if (r.condition == REPLY_OK)
            return WORKER_DONE;
        imap_error_from(&r, e);
        return WORKER_REFUSED;
    }
}

static enum worker_result settle_first(struct imap *im, struct worker_error *e)
{
    struct owed o = im->owed[0];
    im->n_owed--;
    memmove(im->owed, im->owed + 1, im->n_owed * sizeof o);
    guard_next_command(&im->stream->guard);
    if (o.select != NULL)
        imap_unselected(im);
    struct worker_error own = {0};
    enum worker_result r = finish(im, o.tag, o.each, o.arg, &own);
    if (im->stream == NULL) {
        *e = own;
        return r; /* broken; else it is for whoever looks at arg to find that it failed */
    }
    if (o.select != NULL)
        imap_selected_now(im, o.select);
    return WORKER_DONE;
}

enum worker_result imap_settle(struct imap *im, struct worker_error *e)
{
    enum worker_result r = WORKER_DONE;
    while (r == WORKER_DONE && im->n_owed > 0)
        r = settle_first(im, e);
    return r;
}

static bool is_owed(const struct imap *im, const void *arg)
{
    for (unsigned i = 0; i < im->n_owed; i++)
        if (im->owed[i].arg == arg)
            return true;
    return false;
}

enum worker_result imap_settle_to(struct imap *im, const void *arg, struct worker_error *e)
{
    enum worker_result r = WORKER_DONE;
    while (r == WORKER_DONE && is_owed(im, arg))
        r = settle_first(im, e);
    return r;
}

enum worker_result imap_settle_selected(struct imap *im, struct worker_error *e)
{
    bool any = false;
    for (unsigned i = 0; i < im->n_owed; i++)
        any = any || im->owed[i].select != NULL;
    return any ? imap_settle(im, e) : WORKER_DONE;
}

enum worker_result imap_finish(struct imap *im, unsigned tag, imap_each *each, void *arg,
                               struct worker_error *e)
{
    enum worker_result r = imap_settle(im, e);
    return r == WORKER_DONE ? finish(im, tag, each, arg, e) : r;
}

enum worker_result imap_run(struct imap *im, struct command *c, imap_each *each, void *arg,
                            struct worker_error *e)
{
    unsigned tag;
    enum worker_result r = imap_send(im, c, &tag, e);
    return r == WORKER_DONE ? imap_finish(im, tag, each, arg, e) : r;
}

/* One command of several: as many UIDs from *position on as fit. Its length, 0 at the end. */
static size_t build_uids(struct imap *im, struct command *c, const char *verb, const struct uidset *uids,
                         const struct command *tail, size_t *position)
{
    char set[COMMAND_MAX];
    size_t around = strlen(verb) + (tail != NULL ? tail->text.length : 0) + 24;
    size_t room = im->command_max > around + 64 ? im->command_max - around : 64;
    size_t n = uidset_print(uids, position, set, room < sizeof set ? room : sizeof set);
    if (n == 0)
        return 0;
    command_begin(im, c, "%s ", verb);
    buf_add(&c->text, set, n);
    if (tail == NULL)
        return c->text.length;
    buf_adds(&c->text, " ");
    for (c->splits = 0; c->splits < tail->splits; c->splits++)
        c->split[c->splits] = c->text.length + tail->split[c->splits];
    buf_add(&c->text, tail->text.data, tail->text.length);
    return c->text.length;
}

enum worker_result imap_run_uids(struct imap *im, const char *verb, const struct uidset *uids,
                                 struct command *tail, imap_each *each, void *arg, struct worker_error *e)
{
    enum worker_result r = WORKER_DONE;
    if (tail != NULL && tail->text.failed) {
        imap_error_set(e, -ENOMEM, "", 0);
        r = WORKER_LOCAL;
    }
    for (size_t position = 0; r == WORKER_DONE && position < uids->n;) {
        struct command c;
        size_t from = position, length = build_uids(im, &c, verb, uids, tail, &position);
        if (length == 0)
            break;
        r = imap_run(im, &c, each, arg, e);
        bool balked = r == WORKER_REFUSED && im->done.condition == REPLY_BAD && e->retry_ms == 0;
        if (balked && length > COMMAND_MAX_SMALL && im->command_max > COMMAND_MAX_SMALL) {
            im->command_max =
                COMMAND_MAX_SMALL; /* case 37: nothing was done; the same again in smaller pieces */
            position = from;
            r = WORKER_DONE;
        }
    }
    if (tail != NULL)
        buf_finish(&tail->text);
    return r;
}
