#pragma once
/* What the tests of the IMAP worker share: an account in memory, sinks, sources. */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "buf.h"
#include "imap.h"

struct rig {
    struct config_account account;
    struct keywords keywords;
    _Atomic int64_t memory;
    struct worker *w;
    struct worker_error e;
};

static inline void rig_init(struct rig *r, const char *host, uint16_t port, enum config_tls tls)
{
    memset(r, 0, sizeof *r);
    r->account = (struct config_account){.name = (char *)"test",
                                         .host = (char *)host,
                                         .port = port,
                                         .tls = tls,
                                         .user = (char *)"jane",
                                         .password = (char *)"secret",
                                         .log_level = LOG_LEVEL_ERROR};
    keywords_init(&r->keywords);
    r->w = imap_worker_new(&r->account, &r->keywords, &r->memory);
    assert_non_null(r->w);
}

static inline void rig_finish(struct rig *r)
{
    r->w->ops->destroy(r->w);
    keywords_finish(&r->keywords);
}

/* For apply: what is uploaded. */
struct source {
    const char *data;
    size_t length, at, piece; /* piece: at most that many a call, 0 any */
    int fail_at;              /* negative errno when half is read, 0 never */
};

static inline ssize_t source_read(void *arg, void *out, size_t size)
{
    struct source *s = arg;
    size_t left = s->length - s->at;
    size_t n = left < size ? left : size;
    if (s->piece > 0 && n > s->piece)
        n = s->piece;
    if (s->fail_at < 0 && s->at >= s->length / 2)
        return s->fail_at;
    memcpy(out, s->data + s->at, n);
    s->at += n;
    return (ssize_t)n;
}

static inline enum worker_result rig_append(struct rig *r, const char *mailbox, const char *data,
                                            size_t length, flags_t flags, struct worker_outcome *ret)
{
    struct source s = {.data = data, .length = length};
    const struct worker_op op = {.verb = WORKER_APPEND,
                                 .mailbox = mailbox,
                                 .add = flags,
                                 .size = (int64_t)length,
                                 .read = source_read,
                                 .read_arg = &s,
                                 .date_s = 1700000000,
                                 .zone_min = 60,
                                 .nul = memchr(data, 0, length) != NULL};
    return r->w->ops->apply(r->w, &op, ret, &r->e);
}

/* For fetch: what came. */
struct basket {
    struct buf now;
    struct {
        uint32_t uid;
        bool whole;
        char *data;
        size_t length;
    } mail[64];
    unsigned n;
    uint64_t octets, ends;
    size_t largest;  /* piece */
    bool count_only; /* keep nothing */
    int fail;        /* negative errno from data */
    size_t from;     /* of the last one */
};

static inline int basket_data(void *arg, const void *octets, size_t length)
{
    struct basket *b = arg;
    b->octets += length;
    b->largest = length > b->largest ? length : b->largest;
    if (b->fail < 0)
        return b->fail;
    return b->count_only ? 0 : buf_add(&b->now, octets, length);
}

static inline int basket_end(void *arg, size_t from, uint32_t uid, bool whole)
{
    struct basket *b = arg;
    b->ends++;
    b->from = from;
    if (b->count_only)
        return 0;
    assert_true(b->n < 64);
    b->mail[b->n].uid = uid;
    b->mail[b->n].whole = whole;
    b->mail[b->n].length = b->now.length;
    b->mail[b->n++].data = buf_take(&b->now);
    return 0;
}

static inline void basket_finish(struct basket *b)
{
    for (unsigned i = 0; i < b->n; i++)
        free(b->mail[i].data);
    buf_finish(&b->now);
    *b = (struct basket){0};
}

static inline enum worker_result rig_fetch(struct rig *r, const char *mailbox, uint32_t validity,
                                           const char *uids, struct basket *b)
{
    struct uidset set = {0};
    const struct worker_sink sink = {b, basket_data, basket_end};
    assert_int_equal(uidset_parse(&set, uids, strlen(uids)), 0);
    struct worker_fetch from = {.mailbox = mailbox, .uidvalidity = validity, .uids = &set};
    enum worker_result result = r->w->ops->fetch(r->w, &from, 1, &sink);
    r->e = from.error;
    uidset_finish(&set);
    return result == WORKER_DONE ? from.result : result;
}

/* STORE, EXPUNGE, MOVE, COPY over uids as text. */
static inline enum worker_result rig_apply(struct rig *r, enum worker_verb verb, const char *mailbox,
                                           const char *uids, const char *target, flags_t add, flags_t remove,
                                           struct worker_outcome *ret)
{
    struct uidset set = {0};
    assert_int_equal(uids != NULL ? uidset_parse(&set, uids, strlen(uids)) : 0, 0);
    const struct worker_op op = {
        .verb = verb, .mailbox = mailbox, .target = target, .uids = &set, .add = add, .remove = remove};
    enum worker_result result = r->w->ops->apply(r->w, &op, ret, &r->e);
    uidset_finish(&set);
    return result;
}
