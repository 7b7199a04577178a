/*
 * Bodies, streamed through libetpan: UID FETCH set (UID BODY.PEEK[]), each literal handed to the sink piece
 * by piece as it comes, so that memory stays small whatever the size or number of messages.
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

static void on_progress(size_t current, size_t maximum, void *context)
{
    (void)current;
    (void)maximum;
    (void)context;
}

/* (UID BODY.PEEK[]). libetpan's constructors take over what they are given, or leave it on failure. */
static struct mailimap_fetch_type *items_new(void)
{
    struct mailimap_fetch_type *type = mailimap_fetch_type_new_fetch_att_list_empty();
    struct mailimap_fetch_att *uid = mailimap_fetch_att_new_uid();
    struct mailimap_section *section = mailimap_section_new(NULL);
    struct mailimap_fetch_att *body =
        section != NULL ? mailimap_fetch_att_new_body_peek_section(section) : NULL;
    if (section != NULL && body == NULL)
        mailimap_section_free(section);
    if (type != NULL && uid != NULL &&
        mailimap_fetch_type_new_fetch_att_list_add(type, uid) == MAILIMAP_NO_ERROR) {
        uid = NULL;
        if (body != NULL && mailimap_fetch_type_new_fetch_att_list_add(type, body) == MAILIMAP_NO_ERROR)
            return type;
    }
    if (uid != NULL)
        mailimap_fetch_att_free(uid);
    if (body != NULL)
        mailimap_fetch_att_free(body);
    if (type != NULL)
        mailimap_fetch_type_free(type);
    return NULL;
}

/* The next ranges, as many as a command may name. NULL without memory. */
static struct mailimap_set *next_set(const struct uidset *uids, size_t *position, size_t command_max)
{
    struct mailimap_set *set = mailimap_set_new_empty();
    for (size_t length = 64; set != NULL && *position < uids->n && length + 22 < command_max; ++*position) {
        const struct uidrange *r = &uids->range[*position];
        length += r->first == r->last ? 11 : 22;
        if (mailimap_set_add_interval(set, r->first, r->last) == MAILIMAP_NO_ERROR)
            continue;
        mailimap_set_free(set);
        return NULL;
    }
    return set;
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

static enum worker_result fetch_set(struct fetching *f, struct mailimap_set *set, struct worker_error *e)
{
    struct imap *im = f->im;
    struct mailimap_fetch_type *items = items_new();
    if (items == NULL) {
        imap_error_set(e, -ENOMEM, "", 0);
        return WORKER_LOCAL;
    }
    clist *nothing = NULL;
    mailimap_set_progress_callback(im->etpan, on_progress, on_progress, NULL);
    mailimap_set_msg_body_handler(im->etpan, on_octets, f);
    mailimap_set_msg_att_handler(im->etpan, on_message, f);
    guard_next_command(&im->stream->guard);
    im->stream->guard.streaming = true;
    im->about.commands++;
    int r = mailimap_uid_fetch(im->etpan, set, items, &nothing);
    if (r == MAILIMAP_NO_ERROR && nothing != NULL)
        mailimap_fetch_list_free(nothing);
    im->stream->guard.streaming = false;
    im->used_ms = clock_boot_ms();
    mailimap_set_msg_body_handler(im->etpan, NULL, NULL);
    mailimap_set_msg_att_handler(im->etpan, NULL, NULL);
    mailimap_fetch_type_free(items);
    return judge(f, r, e);
}

enum worker_result imap_fetch(struct worker *w, const char *mailbox, uint32_t uidvalidity,
                              const struct uidset *uids, const struct worker_sink *sink,
                              struct worker_error *e)
{
    struct imap *im = imap_of(w);
    struct fetching f = {.im = im, .asked = uids, .sink = sink};
    enum worker_result r = imap_ready(im, e);
    if (r == WORKER_DONE)
        r = imap_need(im, mailbox, uidvalidity, e);
    for (size_t position = 0; r == WORKER_DONE && position < uids->n;) {
        struct mailimap_set *set = next_set(uids, &position, im->command_max);
        if (set == NULL) {
            imap_error_set(e, -ENOMEM, "", 0);
            r = WORKER_LOCAL;
            break;
        }
        r = fetch_set(&f, set, e);
        mailimap_set_free(set);
    }
    if (f.open)
        sink->end(sink->arg, 0, false);
    return imap_harmless(r, e);
}
