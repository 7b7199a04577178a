#pragma once
/* What the tests of mail and box operations share: changes as calls, the server's part. */
#include "rows.h"
#include "box.h"
#include "mail.h"

#define AT(box, where, called) ((struct mail_place){.mailbox = (box).id, .sub = (where), .name = (called)})

struct mail_call {
    struct mail_place from, to;
    int64_t id, size;
    bool noreplace;
    struct message made;
    struct mail_left left;
};

static inline int files_try(struct scratch *s, int (*change)(cache_tx *tx, void *arg), void *arg)
{
    return by(s, CACHE_FROM_FILES, change, arg);
}

static inline int call_create(cache_tx *tx, void *arg)
{
    struct mail_call *c = arg;
    return mail_create(tx, &c->to, &c->made);
}

static inline int call_unlink(cache_tx *tx, void *arg)
{
    struct mail_call *c = arg;
    return mail_unlink(tx, &c->from, &c->left);
}

static inline int call_rename(cache_tx *tx, void *arg)
{
    struct mail_call *c = arg;
    return mail_rename(tx, &c->from, &c->to, c->noreplace, &c->left);
}

static inline int call_stage(cache_tx *tx, void *arg)
{
    struct mail_call *c = arg;
    return mail_stage(tx, &c->to, &c->made);
}

static inline int call_deliver(cache_tx *tx, void *arg)
{
    struct mail_call *c = arg;
    return mail_deliver(tx, c->made.id, &c->to, c->noreplace, &c->left);
}

static inline int call_link(cache_tx *tx, void *arg)
{
    struct mail_call *c = arg;
    return mail_link(tx, c->id, &c->to, &c->made);
}

static inline int call_copy(cache_tx *tx, void *arg)
{
    struct mail_call *c = arg;
    return mail_copy_written(tx, c->id, &c->to, &c->made);
}

static inline int call_edit(cache_tx *tx, void *arg)
{
    struct mail_call *c = arg;
    return mail_begin_edit(tx, c->id);
}

static inline int call_store(cache_tx *tx, void *arg)
{
    struct mail_call *c = arg;
    return mail_store_written(tx, c->id, c->size, 5000000000);
}

static inline int call_time(cache_tx *tx, void *arg)
{
    struct mail_call *c = arg;
    return mail_set_time(tx, c->id, c->size);
}

static inline int call_forget(cache_tx *tx, void *arg)
{
    struct mail_call *c = arg;
    return mail_forget_left(tx, c->id);
}

/* A message that the server has: PRESENT, with a hash (of `content`), a date and a base. */
struct known {
    struct message m;
    struct base_state base;
};

static inline int put_known(cache_tx *tx, void *arg)
{
    struct known *k = arg;
    int r = message_put(tx, &k->m);
    if (r < 0)
        return r;
    k->base.message = k->m.id;
    k->base.mailbox = k->m.mailbox;
    k->base.flags = k->m.flags;
    return base_put(tx, &k->base);
}

static inline struct message make_known(struct scratch *s, struct mail_place at, flags_t flags,
                                        uint8_t content)
{
    static uint32_t uid;
    struct known k = {.m = {.mailbox = at.mailbox,
                            .sub = at.sub,
                            .state = MESSAGE_PRESENT,
                            .flags = flags,
                            .has_hash = true,
                            .hash = {content},
                            .size = 5,
                            .wire_size = 6,
                            .date_s = 1000,
                            .zone_min = 60},
                      .base = {.uid = ++uid}};
    snprintf(k.m.name, sizeof k.m.name, "%s", at.name);
    server_does(s, put_known, &k);
    make_body(s, &k.m);
    return k.m;
}

/* As if the row's content had been settled. */
static inline int put_settled(cache_tx *tx, void *arg)
{
    const int64_t *id = arg;
    struct message m;
    int r = message_get(cache_tx_rd(tx), *id, &m);
    m.state = MESSAGE_PRESENT;
    m.has_hash = true;
    memset(m.hash, (int)*id & 0xff, sizeof m.hash);
    m.size = 9;
    return r < 0 ? r : message_put(tx, &m);
}

static inline bool is_based(struct scratch *s, int64_t id)
{
    struct base_state b;
    return base_of_message(cache_reader(s->c), id, &b) == 0;
}

static inline bool has_name(struct scratch *s, struct mail_place at)
{
    struct message m;
    return message_find(cache_reader(s->c), at.mailbox, at.sub, at.name, &m) == 0;
}

/* The one GONE row that has a base. */
static inline int find_based_gone(void *arg, const struct message *m)
{
    struct {
        struct scratch *s;
        struct message found;
        unsigned n;
    } *f = arg;
    if (is_based(f->s, m->id)) {
        f->found = *m;
        f->n++;
    }
    return 0;
}

static inline struct message the_tomb(struct scratch *s)
{
    struct {
        struct scratch *s;
        struct message found;
        unsigned n;
    } f = {.s = s};
    assert_int_equal(message_each_gone(cache_reader(s->c), find_based_gone, &f), 0);
    assert_int_equal(f.n, 1);
    return f.found;
}
