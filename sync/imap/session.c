/* The life of a session: connecting, TLS, the greeting, what the server can do, the login; and its end. */
#include "session.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "clock.h"
#include "log.h"

#define LOGOUT_MS 300 /* a server that is alive answers at once; nobody waits for one that is not */

void imap_unselected(struct imap *im)
{
    free(im->selected.name);
    im->selected = (struct imap_selected){0};
    imap_view_lose(im);
    if (im->etpan != NULL && im->etpan->imap_state == MAILIMAP_STATE_SELECTED)
        im->etpan->imap_state = MAILIMAP_STATE_AUTHENTICATED;
}

/* mailimap_free says LOGOUT when it can; a stream that failed refuses at once. */
static void session_end(struct imap *im)
{
    imap_unselected(im);
    free(im->watched.name);
    im->watched = (struct imap_selected){0};
    if (im->etpan != NULL) {
        imap_compress_broke(im);
        im->octets_in += im->stream->in;
        im->octets_out += im->stream->out;
        im->stream->idle_ms = LOGOUT_MS;
        mailimap_free(im->etpan);
    }
    im->etpan = NULL;
    im->stream = NULL;
    im->qresync = false;
    im->has_told = false;
    im->n_owed = 0;
    imap_forget_ahead(im);
    im->done = (struct reply){0};
    im->about.connected = im->about.compressed = false;
}

void imap_close(struct imap *im)
{
    session_end(im);
    im->state = IMAP_CLOSED;
}

static const char *broken_text(int err)
{
    switch (err) {
    case -ETIMEDOUT:
        return "the server does not answer any more";
    case -ECONNRESET:
    case -EPIPE:
        return "the server closed the connection";
    case -EPROTO:
        return "the server's answer cannot be understood";
    case -EMSGSIZE:
        return "the server's answer is larger than any honest one";
    case -ECANCELED:
        return "cancelled";
    default:
        return strerror(-err);
    }
}

enum worker_result imap_broken(struct imap *im, bool sent, struct worker_error *e)
{
    int err = im->stream != NULL && im->stream->err < 0 ? im->stream->err : -ECONNRESET;
    const char *text = im->bye[0] != '\0' && err == -ECONNRESET ? im->bye : broken_text(err);
    imap_error_set(e, err, text, strlen(text));
    e->retry_ms = reply_backoff_ms(im->bye, strlen(im->bye));
    if (im->stream != NULL)
        im->stream->err = err; /* so that no LOGOUT is tried on it */
    session_end(im);
    im->state = IMAP_DEAD;
    if (sent)
        return WORKER_UNKNOWN;
    return err == -ECANCELED ? WORKER_CANCELLED : err == -ENOMEM ? WORKER_LOCAL : WORKER_BROKEN;
}

/* Where we connect to, for people. Of a tunnel the first word only: the rest may name secrets. */
static void peer_name(struct imap *im)
{
    const struct config_account *a = im->account;
    if (a->tunnel != NULL)
        snprintf(im->about.peer, sizeof im->about.peer, "tunnel %.*s", (int)strcspn(a->tunnel, " \t"),
                 a->tunnel);
    else
        snprintf(im->about.peer, sizeof im->about.peer, "%s:%u", a->host, a->port);
}

static int secure(struct imap *im, struct stream *s, struct fault *f)
{
    int r = stream_start_tls(s, im->account, im->about.tls, im->about.certificate, f);
    if (r == 0)
        im->about.steps |= WORKER_STEP_TLS;
    return r;
}

static int transport(struct imap *im, struct fault *f)
{
    const struct config_account *a = im->account;
    pid_t child = 0;
    int fd = -1;
    int r = a->tunnel != NULL ? stream_tunnel(a->tunnel, &fd, &child, f)
                              : stream_connect(a->host, a->port, im->connect_ms, &im->cancel, &fd, f);
    if (r < 0)
        return r;
    im->about.steps |= WORKER_STEP_CONNECTED;
    im->compress.began_ms = clock_boot_ms();
    struct stream *s = stream_new(fd, child, &im->cancel, im->idle_ms);
    if (s == NULL)
        return fault_set(f, FAULT_AGAIN, -ENOMEM, "%s: no memory", im->about.peer);
    if (a->tunnel == NULL && a->tls == CONFIG_TLS_IMPLICIT)
        r = secure(im, s, f);
    im->etpan = r == 0 ? mailimap_new(0, NULL) : NULL;
    mailstream *m = im->etpan != NULL ? stream_mailstream(s) : NULL;
    if (m != NULL) {
        im->stream = s;
        im->etpan->imap_stream = m;
        return 0;
    }
    if (im->etpan != NULL)
        mailimap_free(im->etpan);
    im->etpan = NULL;
    stream_free(s);
    return r < 0 ? r : fault_set(f, FAULT_AGAIN, -ENOMEM, "%s: no memory", im->about.peer);
}

/* What ended a session that was not open yet, as a fault. */
static int open_fault(const struct imap *im, const struct worker_error *e, struct fault *f)
{
    const char *peer = im->about.peer;
    if (im->account->tunnel != NULL && e->err == -ECONNRESET)
        return fault_set(f, FAULT_UNAVAILABLE, e->err,
                         "%s: ended without speaking IMAP (run the command in a shell to see why)", peer);
    return fault_set(f, FAULT_UNAVAILABLE, e->err, "%s: %s", peer, e->text);
}

/* "* OK", "* PREAUTH" or "* BYE" (RFC 3501 7.1). */
static int greeting(struct imap *im, bool *ret_preauth, struct fault *f)
{
    const char *peer = im->about.peer;
    struct worker_error e;
    struct reply r;
    int err = imap_read(im, &r);
    bool status = err == 0 && r.kind == REPLY_STATUS;
    if (status && r.condition == REPLY_BYE)
        return fault_set(f, FAULT_UNAVAILABLE, -ECONNREFUSED, "%s: the server refuses: %s", peer, im->bye);
    if (status && (r.condition == REPLY_OK || r.condition == REPLY_PREAUTH)) {
        *ret_preauth = r.condition == REPLY_PREAUTH;
        im->about.steps |= WORKER_STEP_GREETED;
        imap_compress_measure(im);
        im->etpan->imap_state = MAILIMAP_STATE_AUTHENTICATED; /* libetpan asks for no more */
        return 0;
    }
    if (err == 0 || err == -EPROTO || err == -EMSGSIZE)
        return fault_set(f, FAULT_UNAVAILABLE, -EPROTO,
                         "%s: no IMAP server: it says \"%.60s\" (check host, port and tls)", peer,
                         im->octets.length > 0 ? im->octets.data : "");
    imap_error_set(&e, err, broken_text(err), strlen(broken_text(err)));
    return open_fault(im, &e, f);
}

/* A command of the opening; what the server says against it is left in e. */
static enum worker_result opening(struct imap *im, const char *text, imap_each *each, void *arg,
                                  struct worker_error *e)
{
    struct command c;
    command_begin(im, &c, "%s", text);
    return imap_run(im, &c, each, arg, e);
}

static const struct {
    const char *name;
    size_t offset;
} capability[] = {
#define HAS(name, field)                                                                                     \
    {                                                                                                        \
        name, offsetof(struct imap_capabilities, field)                                                      \
    }
    HAS("CONDSTORE", condstore),
    HAS("QRESYNC", qresync),
    HAS("ENABLE", enable),
    HAS("UIDPLUS", uidplus),
    HAS("MOVE", move),
    HAS("IDLE", idle),
    HAS("UNSELECT", unselect),
    HAS("ID", id),
    HAS("ESEARCH", esearch),
    HAS("LIST-EXTENDED", list_extended),
    HAS("LIST-STATUS", list_status),
    HAS("SPECIAL-USE", special_use),
    HAS("LITERAL+", literal_plus),
    HAS("LITERAL-", literal_minus),
    HAS("BINARY", binary),
    HAS("SASL-IR", sasl_ir),
    HAS("STARTTLS", starttls),
    HAS("LOGINDISABLED", login_disabled),
    HAS("AUTH=PLAIN", auth_plain),
    HAS("QUOTA", quota),
    HAS("OBJECTID", objectid),
    HAS("COMPRESS=DEFLATE", compress),
#undef HAS
};

void imap_note_capabilities(struct imap *im, struct cursor c)
{
    char word[64];
    im->has = (struct imap_capabilities){0};
    im->about.append_limit = 0;
    snprintf(im->about.capabilities, sizeof im->about.capabilities, "%.*s", (int)(c.end - c.p), c.p);
    while (cursor_atom(&c, word, sizeof word) > 0) {
        if (strncmp(word, "APPENDLIMIT=", 12) == 0)
            im->about.append_limit = strtoll(word + 12, NULL, 10);
        for (size_t i = 0; i < sizeof capability / sizeof *capability; i++)
            if (strcmp(word, capability[i].name) == 0)
                *(bool *)((char *)&im->has + capability[i].offset) = true;
        cursor_char(&c, ' ');
    }
    im->has.condstore |= im->has.qresync;
    im->has.list_extended |= im->has.list_status;
    im->has_told = true;
}

static int on_capability(void *arg, const struct reply *r)
{
    if (r->kind == REPLY_DATA && strcmp(r->name, "CAPABILITY") == 0)
        imap_note_capabilities(arg, r->args);
    return 0;
}

/* What was said before TLS, or before the login, is not what holds now. Most servers tell without being
 * asked, in the greeting and with the end of the login (RFC 3501 7.1). */
static int capabilities(struct imap *im, struct fault *f)
{
    struct worker_error e;
    /* Greetings may be brief: one that leaves out what we would log in with is not the last word. */
    if (im->has_told && (im->about.steps & WORKER_STEP_LOGGED_IN || im->has.auth_plain))
        return 0;
    im->has = (struct imap_capabilities){0};
    return opening(im, "CAPABILITY", on_capability, im, &e) == WORKER_DONE ? 0 : open_fault(im, &e, f);
}

/* What came in plain text behind the server's OK came from anybody: it is thrown away unread. */
static int starttls(struct imap *im, struct fault *f)
{
    struct worker_error e;
    int r = capabilities(im, f);
    if (r < 0)
        return r;
    if (!im->has.starttls)
        return fault_set(f, FAULT_DENIED, -EACCES, "%s: the server offers no STARTTLS (check port and tls)",
                         im->about.peer);
    enum worker_result result = opening(im, "STARTTLS", NULL, NULL, &e);
    if (result == WORKER_REFUSED)
        return fault_set(f, FAULT_DENIED, -EACCES, "%s: STARTTLS refused: %s", im->about.peer, e.text);
    if (result != WORKER_DONE)
        return open_fault(im, &e, f);
    im->etpan->imap_stream->read_buffer_len = 0;
    im->has_told = false;
    return secure(im, im->stream, f);
}

static int on_id(void *arg, const struct reply *r)
{
    struct imap *im = arg;
    struct cursor c = r->args;
    struct buf key = {0}, value = {0};
    bool nil;
    if (r->kind != REPLY_DATA || strcmp(r->name, "ID") != 0 || !cursor_char(&c, '('))
        return 0;
    while (cursor_string(&c, &key, &nil) == 0 && !nil && cursor_char(&c, ' ') &&
           cursor_string(&c, &value, &nil) == 0) {
        size_t have = strlen(im->about.server);
        if (!nil && (strcasecmp(key.data, "name") == 0 || strcasecmp(key.data, "version") == 0))
            snprintf(im->about.server + have, sizeof im->about.server - have, "%s%s", have > 0 ? " " : "",
                     value.data);
        cursor_char(&c, ' ');
    }
    buf_finish(&key);
    buf_finish(&value);
    return 0;
}

static void set_speed(struct imap *im, bool qresync)
{
    im->about.speed = qresync             ? WORKER_SPEED_QRESYNC
                      : im->has.condstore ? WORKER_SPEED_CONDSTORE
                                          : WORKER_SPEED_NONE;
}

/* Only what the server says that it enabled counts as enabled. */
static int on_enabled(void *arg, const struct reply *r)
{
    struct imap *im = arg;
    struct cursor c = r->args;
    char word[32];
    if (r->kind == REPLY_TAGGED)
        set_speed(im, im->qresync);
    if (r->kind != REPLY_DATA || strcmp(r->name, "ENABLED") != 0)
        return 0;
    while (cursor_atom(&c, word, sizeof word) > 0) {
        im->qresync = im->qresync || strcmp(word, "QRESYNC") == 0;
        cursor_char(&c, ' ');
    }
    return 0;
}

/* After the login. Both travel with the first real command, as their answers do with its own. */
static int introduce(struct imap *im, struct fault *f)
{
    struct worker_error e;
    struct command c;
    enum worker_result r = WORKER_DONE;
    bool enable = im->has.enable && im->has.qresync;
    im->about.server[0] = '\0';
    if (im->has.id) {
        command_begin(im, &c, "ID (\"name\" \"mailmount\" \"version\" \"" MAILMOUNT_VERSION "\")");
        c.held = true;
        r = imap_send_ahead(im, &c, on_id, im, &e);
    }
    if (r == WORKER_DONE && enable) {
        command_begin(im, &c, "ENABLE QRESYNC");
        c.held = true;
        r = imap_send_ahead(im, &c, on_enabled, im, &e);
    }
    set_speed(im, enable);
    return r == WORKER_DONE ? 0 : open_fault(im, &e, f);
}

static int establish(struct imap *im, struct fault *f)
{
    struct worker_error e;
    bool preauth = false;
    bool upgrade = im->account->tunnel == NULL && im->account->tls == CONFIG_TLS_STARTTLS;
    int r = transport(im, f);
    if (r == 0)
        r = greeting(im, &preauth, f);
    if (r == 0 && upgrade && preauth)
        r = fault_set(
            f, FAULT_DENIED, -EACCES,
            "%s: the server greets as logged in before TLS (PREAUTH): refused, since TLS could not follow "
            "(someone may be in between; check tls)",
            im->about.peer);
    if (r == 0 && upgrade)
        r = starttls(im, f);
    if (r == 0)
        r = capabilities(im, f);
    if (!preauth)
        im->has_told = false;
    if (r == 0 && !preauth)
        r = imap_login(im, f);
    if (r == 0)
        im->about.steps |= WORKER_STEP_LOGGED_IN;
    if (r == 0 && !preauth)
        r = capabilities(im, f);
    if (r == 0 && imap_compress_begin(im, &e) != WORKER_DONE)
        r = open_fault(im, &e, f);
    return r == 0 ? introduce(im, f) : r;
}

/* A connection that never opened left nothing unsettled: it is closed, not dead. */
static int try_to_establish(struct imap *im, struct fault *f)
{
    im->bye[0] = '\0';
    im->command_max = COMMAND_MAX;
    im->select_plain = false;
    snprintf(im->about.tls, sizeof im->about.tls, "none");
    im->about.certificate[0] = im->about.login[0] = im->about.capabilities[0] = '\0';
    im->about.steps = 0;
    peer_name(im);
    if (cancel_is_set(&im->cancel))
        return fault_set(f, FAULT_AGAIN, -ECANCELED, "cancelled");
    int r = establish(im, f);
    if (r < 0 && im->stream != NULL && im->stream->err == 0)
        im->stream->err = r;
    if (r < 0)
        imap_close(im);
    return r;
}

enum worker_result imap_open(struct imap *im, struct fault *f)
{
    struct fault unused = {0};
    if (im->state == IMAP_OPEN)
        return WORKER_DONE;
    f = f != NULL ? f : &unused;
    *f = (struct fault){0};
    if (im->state == IMAP_DEAD) {
        fault_set(f, FAULT_AGAIN, -ECONNRESET, "%s: the connection was lost", im->about.peer);
        return WORKER_BROKEN;
    }
    im->compress.suspect = false;
    int r = try_to_establish(im, f);
    if (r < 0 && imap_compress_suspect(im)) {
        *f = (struct fault){0};
        r = try_to_establish(im, f);
        if (r == 0)
            imap_compress_give_up(im);
        else
            im->compress.unwanted = false;
    }
    if (r < 0)
        return cancel_is_set(&im->cancel) ? WORKER_CANCELLED : r == -ENOMEM ? WORKER_LOCAL : WORKER_BROKEN;
    im->state = IMAP_OPEN;
    im->about.connected = true;
    log_debug("%s: session open, %s, speed %d", im->about.peer, im->about.tls, im->about.speed);
    return WORKER_DONE;
}

enum worker_result imap_ready(struct imap *im, struct worker_error *e)
{
    struct fault f = {0};
    memset(e, 0, sizeof *e);
    enum worker_result r = imap_open(im, &f);
    if (r != WORKER_DONE)
        imap_error_set(e, f.err, f.text, strlen(f.text));
    return r;
}
