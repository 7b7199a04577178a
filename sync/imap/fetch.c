/*
 * Bodies, streamed through libetpan's parser: UID FETCH set (UID BODY.PEEK[]), each literal handed to the
 * sink piece by piece as it comes, so that memory stays small whatever the size or number of messages.
 *
 * libetpan tells the body handler no UID, and the UID may come before or behind the body: what the message
 * was shows only when its whole FETCH response is parsed (on_message). Octets pass unaltered, NUL, bare CR
 * and bare LF too. libetpan calls the message handler only with a progress callback set, and takes a literal
 * {0} or NIL without calling the body handler.
 *
 * An error from the sink leaves the rest of the answer in the pipe. The connection is dropped rather than the
 * rest read, which may be gigabytes; nothing is unsettled by that, so the next call opens a fresh one.
 *
 * Out of several mailboxes: SELECT and UID FETCH of all of them travel in one flight, and the answers are
 * read in that order, those of SELECT by us, those of FETCH by libetpan. What is sent is short, so that both
 * sides never wait for each other to read. A flight is always read to its end, or the connection dropped:
 * nothing of it is left for the next command. What did not work within one is asked again alone, to learn
 * why.
 */
#include <errno.h>
#include <string.h>
#include "clock.h"
#include "session.h"

#define FETCH "UID FETCH "
#define FETCH_ITEMS " (UID BODY.PEEK[])\r\n"
#define FETCH_AROUND 64 /* octets of a command beside its UIDs, and more */
#define FLIGHT_UIDS 400 /* octets of a set of UIDs in a flight */

struct fetching {
    struct imap *im;
    const struct uidset *asked;
    const struct worker_sink *sink;
    size_t from;     /* which of the caller's mailboxes */
    uint64_t octets; /* of this message so far */
    bool open;       /* the sink holds octets that no end was called for */
    int err;
};

static bool on_octets(int type, struct mailimap_msg_att_body_section *section, const char *octets,
                      size_t length, void *arg)
{
    struct fetching *f = arg;
    (void)type;
    (void)section;
    if (f->err < 0 || length == 0)
        return f->err == 0;
    f->octets += length;
    f->open = true;
    f->err = f->sink->data(f->sink->arg, octets, length);
    return f->err == 0;
}

/* Exactly BODY[]: no part of it, and not cut at its beginning. */
static bool is_whole_body(const struct mailimap_msg_att_body_section *s)
{
    return s != NULL && s->sec_origin_octet == 0 &&
           (s->sec_section == NULL || s->sec_section->sec_spec == NULL);
}

static void on_message(struct mailimap_msg_att *message, void *arg)
{
    struct fetching *f = arg;
    uint32_t uid = 0;
    unsigned bodies = 0;
    bool whole = true;
    for (clistiter *at = clist_begin(message->att_list); at != NULL; at = clist_next(at)) {
        const struct mailimap_msg_att_item *item = clist_content(at);
        if (item->att_type != MAILIMAP_MSG_ATT_ITEM_STATIC) {
            imap_view_lose(f->im); /* news about flags, or more */
            continue;
        }
        const struct mailimap_msg_att_static *s = item->att_data.att_static;
        if (s->att_type == MAILIMAP_MSG_ATT_UID)
            uid = s->att_data.att_uid;
        if (s->att_type != MAILIMAP_MSG_ATT_BODY_SECTION)
            continue;
        bodies++;
        whole = whole && is_whole_body(s->att_data.att_body_section);
    }
    if (bodies == 0 && !f->open) {
        imap_view_lose(f->im);
        return;
    }
    /* Case 18: another message than asked for is no message at all. */
    whole = whole && bodies == 1 && f->octets > 0 && uidset_has(f->asked, uid);
    f->octets = 0;
    f->open = false;
    if (f->err == 0)
        f->err = f->sink->end(f->sink->arg, f->from, uid, whole);
}

/* Of a mailbox that was selected before, when a server did not leave it for one that it refused. */
static bool drop_octets(int type, struct mailimap_msg_att_body_section *section, const char *octets,
                        size_t length, void *arg)
{
    (void)type, (void)section, (void)octets, (void)length, (void)arg;
    return true;
}

static void drop_message(struct mailimap_msg_att *message, void *arg)
{
    (void)message, (void)arg;
}

static void on_progress(size_t current, size_t maximum, void *context)
{
    (void)current;
    (void)maximum;
    (void)context;
}

/* One command's end: what libetpan made of it. */
static enum worker_result judge(struct fetching *f, int r, struct worker_error *e)
{
    struct imap *im = f->im;
    const char *text = im->etpan->imap_response != NULL ? im->etpan->imap_response : "";
    if (f->err < 0) {
        imap_error_set(e, f->err, strerror(-f->err), strlen(strerror(-f->err)));
        im->stream->err = f->err;
        imap_close(im);
        return WORKER_LOCAL;
    }
    if (im->stream->err == 0 && r == MAILIMAP_NO_ERROR)
        return WORKER_DONE;
    if (im->stream->err == 0 &&
        (r == MAILIMAP_ERROR_UID_FETCH || r == MAILIMAP_ERROR_FETCH || r == MAILIMAP_ERROR_PROTOCOL)) {
        imap_error_set(e, -EIO, text, strlen(text));
        e->retry_ms = reply_backoff_ms(text, strlen(text));
        return WORKER_REFUSED;
    }
    if (im->stream->err == 0)
        im->stream->err = r == MAILIMAP_ERROR_MEMORY ? -ENOMEM : -EPROTO;
    return imap_broken(im, false, e);
}

/* Out with a command for as many of the UIDs as it may name. The tag is libetpan's, which will read the
 * answer. */
static int send_fetch(struct imap *im, const struct uidset *uids, size_t *position)
{
    char set[COMMAND_MAX];
    mailstream *m = im->etpan->imap_stream;
    uidset_print(uids, position, set, im->command_max - FETCH_AROUND);
    im->about.commands++;
    int r = mailimap_send_current_tag(im->etpan);
    if (r != MAILIMAP_NO_ERROR)
        return r;
    bool sent = mailstream_write(m, FETCH, strlen(FETCH)) >= 0 &&
                mailstream_write(m, set, strlen(set)) >= 0 &&
                mailstream_write(m, FETCH_ITEMS, strlen(FETCH_ITEMS)) >= 0 && mailstream_flush(m) >= 0;
    return sent ? MAILIMAP_NO_ERROR : MAILIMAP_ERROR_STREAM;
}

/* What mailimap_uid_fetch does behind its command. */
static int read_response(mailimap *etpan)
{
    struct mailimap_response *response = NULL;
    if (mailimap_read_line(etpan) == NULL)
        return MAILIMAP_ERROR_STREAM;
    int r = mailimap_parse_response(etpan, &response);
    if (r != MAILIMAP_NO_ERROR)
        return r;
    const struct mailimap_response_done *done = response->rsp_resp_done;
    bool ok = done->rsp_type == MAILIMAP_RESP_DONE_TYPE_TAGGED &&
              done->rsp_data.rsp_tagged->rsp_cond_state->rsp_type == MAILIMAP_RESP_COND_STATE_OK;
    mailimap_response_free(response);
    return ok ? MAILIMAP_NO_ERROR : MAILIMAP_ERROR_UID_FETCH;
}

/* f NULL: what comes is dropped. */
static int stream_response(struct imap *im, struct fetching *f, int r)
{
    mailimap_set_progress_callback(im->etpan, on_progress, on_progress, NULL);
    mailimap_set_msg_body_handler(im->etpan, f != NULL ? on_octets : drop_octets, f);
    mailimap_set_msg_att_handler(im->etpan, f != NULL ? on_message : drop_message, f);
    guard_next_command(&im->stream->guard);
    im->stream->guard.streaming = true;
    bool ahead = im->etpan->imap_stream->read_buffer_len > 0; /* it went by the guard before this */
    unsigned others = im->stream->guard.others;
    if (r == MAILIMAP_NO_ERROR)
        r = read_response(im->etpan);
    im->stream->guard.streaming = false;
    if (ahead || im->stream->guard.others != others)
        imap_view_lose(im); /* libetpan has read them */
    im->used_ms = clock_boot_ms();
    mailimap_set_msg_body_handler(im->etpan, NULL, NULL);
    mailimap_set_msg_att_handler(im->etpan, NULL, NULL);
    return r;
}

static enum worker_result read_bodies(struct fetching *f, int sent, struct worker_error *e)
{
    return judge(f, stream_response(f->im, f, sent), e);
}

/* In one flight with others'; or alone, and then with the first of several FETCHes perhaps. */
struct asking {
    struct imap_selecting select;
    int sent; /* libetpan's result */
    int tag;
};

static enum worker_result ask(struct fetching *f, const char *mailbox, struct asking *a, size_t *position,
                              struct worker_error *e)
{
    struct imap *im = f->im;
    *a = (struct asking){.select = {.im = im}};
    enum worker_result r = imap_select_ahead(im, mailbox, &a->select, e);
    if (r != WORKER_DONE)
        return r;
    /* What is read for SELECT's answer may have the beginning of a body behind it. */
    im->stream->guard.streaming = true;
    a->sent = send_fetch(im, f->asked, position);
    a->tag = im->etpan->imap_tag;
    return WORKER_DONE;
}

/* Both answers. Another UIDVALIDITY, and the bodies that come are none of ours: the connection is dropped.
 * Without a SELECT that worked (*ret_selected) there are none. */
static enum worker_result read_asked(struct fetching *f, struct asking *a, uint32_t uidvalidity,
                                     bool *ret_selected, struct worker_error *e)
{
    struct imap *im = f->im;
    enum worker_result r = imap_settle_to(im, &a->select, e);
    *ret_selected = a->select.done;
    if (r != WORKER_DONE)
        return r;
    im->etpan->imap_tag = a->tag;
    if (!a->select.done)
        return judge(f, stream_response(im, NULL, a->sent), e);
    r = imap_check_validity(im, uidvalidity, e);
    if (r == WORKER_DONE)
        return read_bodies(f, a->sent, e);
    im->stream->err = -ESTALE;
    imap_close(im);
    return r;
}

static enum worker_result select_and_fetch(struct fetching *f, const struct worker_fetch *from,
                                           size_t *position, struct worker_error *e)
{
    struct asking a;
    bool selected;
    enum worker_result r = ask(f, from->mailbox, &a, position, e);
    if (r == WORKER_REFUSED)
        return imap_need(f->im, from->mailbox, from->uidvalidity, e);
    if (r == WORKER_DONE)
        r = read_asked(f, &a, from->uidvalidity, &selected, e);
    else
        return r;
    if (selected || (r != WORKER_DONE && r != WORKER_REFUSED))
        return r;
    *position = 0;
    return imap_need(f->im, from->mailbox, from->uidvalidity, e);
}

static void end_cut(struct fetching *f)
{
    if (f->open)
        f->sink->end(f->sink->arg, f->from, 0, false);
}

static enum worker_result fetch_alone(struct imap *im, struct worker_fetch *from, size_t at,
                                      const struct worker_sink *sink)
{
    struct fetching f = {.im = im, .asked = from->uids, .sink = sink, .from = at};
    struct worker_error *e = &from->error;
    size_t position = 0;
    enum worker_result r = imap_ready(im, e);
    if (r == WORKER_DONE)
        r = imap_settle(im, e);
    if (r == WORKER_DONE && from->uids->n > 0 &&
        (im->selected.name == NULL || strcmp(im->selected.name, from->mailbox) != 0))
        r = select_and_fetch(&f, from, &position, e);
    else if (r == WORKER_DONE)
        r = imap_need(im, from->mailbox, from->uidvalidity, e);
    while (r == WORKER_DONE && position < from->uids->n) {
        int sent = send_fetch(im, from->uids, &position);
        r = read_bodies(&f, sent, e);
    }
    end_cut(&f);
    return imap_harmless(r, e);
}

/* ---- flights ---- */

static bool is_short(const struct worker_fetch *from)
{
    char set[FLIGHT_UIDS];
    size_t position = 0;
    uidset_print(from->uids, &position, set, sizeof set);
    return from->uids->n > 0 && position == from->uids->n;
}

/* How many travel together. */
static size_t flight_length(const struct worker_fetch *from, size_t n)
{
    size_t k = 0;
    while (k < n && k < AHEAD_MAX && is_short(&from[k]))
        k++;
    return k;
}

static enum worker_result send_flight(struct fetching *f, const struct worker_fetch *from, size_t n,
                                      struct asking *a, size_t *ret_sent, struct worker_error *e)
{
    enum worker_result r = imap_ready(f->im, e);
    if (r == WORKER_DONE)
        r = imap_settle(f->im, e);
    for (*ret_sent = 0; r == WORKER_DONE && *ret_sent < n; *ret_sent += r == WORKER_DONE) {
        size_t position = 0;
        f->asked = from[*ret_sent].uids;
        r = ask(f, from[*ret_sent].mailbox, &a[*ret_sent], &position, e);
    }
    return r == WORKER_REFUSED ? WORKER_DONE : r; /* a name that cannot travel behind others: later, alone */
}

/* Reads what was sent, until the connection is gone; returns how many have their result. */
static size_t read_flight(struct fetching *f, struct worker_fetch *from, size_t n, struct asking *a,
                          bool *again)
{
    struct imap *im = f->im;
    size_t i = 0;
    while (i < n && im->state == IMAP_OPEN) {
        bool selected = false;
        f->asked = from[i].uids;
        im->stream->guard.streaming = true; /* in the answer to SELECT there may be a body behind it */
        from[i].result = imap_harmless(read_asked(f, &a[i], from[i].uidvalidity, &selected, &from[i].error),
                                       &from[i].error);
        again[i] = !selected && (from[i].result == WORKER_DONE || from[i].result == WORKER_REFUSED);
        end_cut(f);
        f->open = false;
        f->octets = 0;
        f->from++;
        i++;
    }
    if (im->state == IMAP_OPEN)
        im->stream->guard.streaming = false;
    return i;
}

static bool is_over(enum worker_result r)
{
    return r != WORKER_DONE && r != WORKER_GONE && r != WORKER_REFUSED;
}

/* Those whose SELECT was refused, each alone, unless the server wants to be left in peace: that is returned.
 */
static bool ask_again(struct imap *im, struct worker_fetch *from, size_t n, const bool *again, size_t at,
                      const struct worker_sink *sink)
{
    bool pause = false;
    for (size_t i = 0; i < n; i++) {
        pause = pause || from[i].error.retry_ms > 0;
        if (again[i])
            from[i].result = WORKER_REFUSED;
    }
    for (size_t i = 0; i < n && !pause; i++) {
        if (!again[i])
            continue;
        from[i].error = (struct worker_error){0};
        from[i].result = fetch_alone(im, &from[i], at + i, sink);
        pause = from[i].error.retry_ms > 0;
        if (is_over(from[i].result))
            break;
    }
    return pause;
}

/* Returns how many were dealt with; *ret_pause: the server asks for one. `at`: where they stand. */
static size_t fetch_flight(struct imap *im, struct worker_fetch *from, size_t n, size_t at,
                           const struct worker_sink *sink, bool *ret_pause)
{
    struct fetching f = {.im = im, .sink = sink, .from = at};
    struct asking a[AHEAD_MAX];
    bool again[AHEAD_MAX] = {false};
    size_t sent;
    struct worker_error e = {0};
    enum worker_result r = send_flight(&f, from, n, a, &sent, &e);
    if (r != WORKER_DONE) {
        from->error = e;
        from->result = imap_harmless(r, &e);
        return 1;
    }
    size_t done = read_flight(&f, from, sent, a, again);
    *ret_pause = ask_again(im, from, done, again, at, sink);
    return done;
}

enum worker_result imap_fetch(struct worker *w, struct worker_fetch *from, size_t n,
                              const struct worker_sink *sink)
{
    struct imap *im = imap_of(w);
    bool pause = false;
    for (size_t i = 0; i < n; i++) {
        from[i].result = WORKER_BROKEN;
        from[i].error = (struct worker_error){0};
    }
    for (size_t i = 0; i < n && !pause;) {
        size_t together = flight_length(&from[i], n - i);
        size_t done = together > 1 ? fetch_flight(im, &from[i], together, i, sink, &pause) : 0;
        if (done == 0) {
            from[i].result = fetch_alone(im, &from[i], i, sink);
            pause = from[i].error.retry_ms > 0;
            done = 1;
        }
        for (; done > 0; done--, i++)
            if (is_over(from[i].result))
                return from[i].result;
    }
    return WORKER_DONE;
}
