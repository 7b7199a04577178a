/* The login: AUTHENTICATE PLAIN (RFC 4616), or LOGIN. Every buffer of ours and libetpan's that held the
 * password is wiped. */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "session.h"

void imap_wipe(struct imap *im, struct buf *sent)
{
    mailstream *m = im->etpan->imap_stream;
    OPENSSL_cleanse(m->write_buffer, m->buffer_max_size);
    if (sent->data != NULL)
        OPENSSL_cleanse(sent->data, sent->cap);
    buf_finish(sent);
}

/* "\0user\0password" in base64. Built without growing on the way: a buffer that moves leaves its old place
 * unwiped. */
static int plain_response(const char *user, const char *password, char **ret)
{
    size_t u = strlen(user), p = strlen(password), n = u + p + 2;
    unsigned char *raw = malloc(n + 1);
    char *text = malloc(4 * (n + 2) / 3 + 4);
    if (raw == NULL || text == NULL) {
        free(raw);
        free(text);
        return -ENOMEM;
    }
    raw[0] = '\0';
    memcpy(raw + 1, user, u + 1);
    memcpy(raw + u + 2, password, p);
    EVP_EncodeBlock((unsigned char *)text, raw, (int)n);
    OPENSSL_cleanse(raw, n);
    free(raw);
    *ret = text;
    return 0;
}

/* Sends a line that holds a secret, from memory of its own. */
static int secret_line(struct imap *im, struct buf *line)
{
    mailstream *m = im->etpan->imap_stream;
    bool bad = line->failed || mailstream_write(m, line->data, line->length) < 0 || mailstream_flush(m) < 0;
    int r = line->failed ? -ENOMEM : bad && im->stream->err == 0 ? -EIO : im->stream->err;
    imap_wipe(im, line);
    return r;
}

static int reserve(struct buf *b, size_t size)
{
    b->data = malloc(size);
    if (b->data == NULL)
        return -ENOMEM;
    b->data[0] = '\0';
    b->cap = size;
    return 0;
}

/* Without SASL-IR the response waits for the server's empty challenge. */
static int await_challenge(struct imap *im, unsigned tag, struct reply *ret)
{
    char mine[16];
    snprintf(mine, sizeof mine, "m%u", tag);
    for (;;) {
        int r = imap_read(im, ret);
        if (r < 0)
            return r;
        if (ret->kind == REPLY_CONTINUE)
            return 0;
        if (ret->kind == REPLY_TAGGED)
            return strcmp(ret->tag, mine) == 0 ? 1 : -EPROTO;
    }
}

static int send_plain(struct imap *im, const char *user, const char *password, unsigned *ret_tag,
                      bool *ret_ended)
{
    char *response;
    struct buf line = {0};
    int r = plain_response(user, password, &response);
    if (r < 0)
        return r;
    *ret_tag = ++im->tag;
    r = reserve(&line, strlen(response) + 96);
    buf_addf(&line, "m%u AUTHENTICATE PLAIN%s", *ret_tag, im->has.sasl_ir ? " " : "\r\n");
    if (r == 0 && !im->has.sasl_ir) {
        r = secret_line(im, &line);
        if (r == 0)
            r = await_challenge(im, *ret_tag, &im->done);
        *ret_ended = r == 1;
        if (r == 0)
            r = reserve(&line, strlen(response) + 96);
    }
    if (r == 0) {
        buf_adds(&line, response);
        imap_compress_with_login(im, &line);
        buf_adds(&line, "\r\n");
        r = secret_line(im, &line);
    }
    imap_wipe(im, &line);
    OPENSSL_cleanse(response, strlen(response));
    free(response);
    return r < 0 ? r : 0;
}

/* LOGIN user password, both as synchronising literals when they do not go into quotes. */
static enum worker_result run_login(struct imap *im, const char *user, const char *password,
                                    struct worker_error *e)
{
    struct command c;
    command_begin(im, &c, "LOGIN ");
    struct buf short_text = c.text;
    c.text = (struct buf){0};
    if (reserve(&c.text, short_text.length + 2 * (strlen(user) + strlen(password)) + 128) < 0)
        c.text.failed = true;
    buf_add(&c.text, short_text.data, short_text.length);
    buf_finish(&short_text);
    command_string(im, &c, user);
    buf_adds(&c.text, " ");
    command_string(im, &c, password);
    imap_compress_with_login(im, &c.text);
    c.secret = true;
    return imap_run(im, &c, NULL, NULL, e);
}

static enum worker_result run_plain(struct imap *im, const char *user, const char *password,
                                    struct worker_error *e)
{
    unsigned tag = 0;
    bool ended = false;
    int r = send_plain(im, user, password, &tag, &ended);
    if (r < 0) {
        im->stream->err = im->stream->err < 0 ? im->stream->err : r;
        return imap_broken(im, false, e);
    }
    if (!ended)
        return imap_finish(im, tag, NULL, NULL, e);
    imap_error_from(&im->done, e);
    return WORKER_REFUSED;
}

static int login_fault(struct imap *im, const struct worker_error *e, struct fault *f)
{
    const char *peer = im->about.peer;
    if (strcmp(im->done.name, "UNAVAILABLE") == 0 || strcmp(im->done.name, "INUSE") == 0 || e->retry_ms > 0)
        return fault_set(f, FAULT_UNAVAILABLE, -EAGAIN, "%s: the server cannot log in now: %s", peer,
                         e->text);
    /* It was not the password that could not be understood: the next session has no COMPRESS behind it. */
    if (im->done.condition == REPLY_BAD && im->compress.tag != 0)
        return fault_set(f, FAULT_UNAVAILABLE, -EPROTO, "%s: the server does not understand: %s", peer,
                         e->text);
    return fault_set(f, FAULT_DENIED, -EACCES, "%s: login refused: %s (check user and password)", peer,
                     e->text);
}

/* Which way: PLAIN where it is offered, since its octets are those of the password; LOGIN else. */
static int choose(struct imap *im, bool *ret_plain, struct fault *f)
{
    enum config_auth auth = im->account->auth;
    *ret_plain = auth == CONFIG_AUTH_PLAIN || (auth == CONFIG_AUTH_AUTO && im->has.auth_plain);
    if (*ret_plain && !im->has.auth_plain)
        return fault_set(f, FAULT_DENIED, -EACCES, "%s: the server does not offer auth = plain (try auto)",
                         im->about.peer);
    if (!*ret_plain && im->has.login_disabled)
        return fault_set(f, FAULT_DENIED, -EACCES, "%s: the server has disabled LOGIN%s", im->about.peer,
                         im->stream->ssl == NULL ? " without TLS (set tls = implicit or starttls)"
                                                 : " (try auth = auto)");
    snprintf(im->about.login, sizeof im->about.login, "%s", *ret_plain ? "PLAIN" : "LOGIN");
    return 0;
}

int imap_login(struct imap *im, struct fault *f)
{
    bool plain;
    char *password = NULL;
    int r = choose(im, &plain, f);
    if (r == 0)
        r = config_password(im->account, &password, f);
    if (r < 0)
        return r;
    struct worker_error e = {0};
    enum worker_result result = (plain ? run_plain : run_login)(im, im->account->user, password, &e);
    OPENSSL_cleanse(password, strlen(password));
    free(password);
    if (result == WORKER_REFUSED)
        return login_fault(im, &e, f);
    if (result == WORKER_DONE)
        result = imap_compress_end(im, &e);
    if (result != WORKER_DONE)
        return fault_set(f, FAULT_UNAVAILABLE, e.err, "%s: login: %s", im->about.peer, e.text);
    return 0;
}
