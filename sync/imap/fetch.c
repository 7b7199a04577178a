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
 */
#include <errno.h>
#include <string.h>
#include "clock.h"
#include "session.h"

#define FETCH "UID FETCH "
#define FETCH_ITEMS " (UID BODY.PEEK[])\r\n"
#define FETCH_AROUND 64 /* octets of a command beside its UIDs, and more */

struct fetching {
    struct imap *im;
    const struct uidset *asked;
    const struct worker_sink *sink;
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
        if (item->att_type != MAILIMAP_MSG_ATT_ITEM_STATIC)
            continue;
        const struct mailimap_msg_att_static *s = item->att_data.att_static;
        if (s->att_type == MAILIMAP_MSG_ATT_UID)
            uid = s->att_data.att_uid;
        if (s->att_type != MAILIMAP_MSG_ATT_BODY_SECTION)
            continue;
        bodies++;
        whole = whole && is_whole_body(s->att_data.att_body_section);
    }
    if (bodies == 0 && !f->open)
        return; /* news about flags */
    /* Case 18: another message than asked for is no message at all. */
    whole = whole && bodies == 1 && f->octets > 0 && uidset_has(f->asked, uid);
    f->octets = 0;
    f->open = false;
    if (f->err == 0)
        f->err = f->sink->end(f->sink->arg, uid, whole);
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
    if (r == MAILIMAP_NO_ERROR)
        r = read_response(im->etpan);
    im->stream->guard.streaming = false;
    im->used_ms = clock_boot_ms();
    mailimap_set_msg_body_handler(im->etpan, NULL, NULL);
    mailimap_set_msg_att_handler(im->etpan, NULL, NULL);
    return r;
}

static enum worker_result read_bodies(struct fetching *f, int sent, struct worker_error *e)
{
    return judge(f, stream_response(f->im, f, sent), e);
}

/* SELECT and the first FETCH in one flight. Another UIDVALIDITY, and the bodies that come are none of ours:
 * the connection is dropped. Without a SELECT that worked there are none, and it is asked again why. */
static enum worker_result select_and_fetch(struct fetching *f, const char *mailbox, uint32_t uidvalidity,
                                           size_t *position, struct worker_error *e)
{
    struct imap *im = f->im;
    struct imap_selecting s = {.im = im};
    size_t begin = *position;
    enum worker_result r = imap_select_ahead(im, mailbox, &s, e);
    if (r == WORKER_REFUSED)
        return imap_need(im, mailbox, uidvalidity, e);
    if (r != WORKER_DONE)
        return r;
    /* What is read for SELECT's answer may have the beginning of a body behind it. */
    im->stream->guard.streaming = true;
    int sent = send_fetch(im, f->asked, position);
    r = imap_settle(im, e);
    if (r != WORKER_DONE)
        return r;
    im->stream->guard.streaming = false;
    if (!s.done) {
        *position = begin;
        r = judge(f, stream_response(im, NULL, sent), e);
        return r == WORKER_DONE || r == WORKER_REFUSED ? imap_need(im, mailbox, uidvalidity, e) : r;
    }
    r = imap_check_validity(im, uidvalidity, e);
    if (r == WORKER_DONE)
        return read_bodies(f, sent, e);
    im->stream->err = -ESTALE;
    imap_close(im);
    return r;
}

enum worker_result imap_fetch(struct worker *w, const char *mailbox, uint32_t uidvalidity,
                              const struct uidset *uids, const struct worker_sink *sink,
                              struct worker_error *e)
{
    struct imap *im = imap_of(w);
    struct fetching f = {.im = im, .asked = uids, .sink = sink};
    size_t position = 0;
    enum worker_result r = imap_ready(im, e);
    if (r == WORKER_DONE)
        r = imap_settle(im, e);
    if (r == WORKER_DONE && uids->n > 0 &&
        (im->selected.name == NULL || strcmp(im->selected.name, mailbox) != 0))
        r = select_and_fetch(&f, mailbox, uidvalidity, &position, e);
    else if (r == WORKER_DONE)
        r = imap_need(im, mailbox, uidvalidity, e);
    while (r == WORKER_DONE && position < uids->n) {
        int sent = send_fetch(im, uids, &position);
        r = read_bodies(&f, sent, e);
    }
    if (f.open)
        sink->end(sink->arg, 0, false);
    return imap_harmless(r, e);
}
