/*
 * What messages on the server are, as the hash of their wire form. They are read for that: where nothing else
 * tells whether one is ours.
 */
#include <errno.h>
#include "private.h"

struct reading {
    struct engine *e;
    struct body_writer *writer;
    void (*each)(void *arg, uint32_t uid, const struct body_info *info);
    void *arg;
};

static int read_octets(void *arg, const void *octets, size_t length)
{
    struct reading *r = arg;
    int err = r->writer ? 0 : body_writer_open(r->e->cache, &r->writer);
    return err < 0 ? err : body_writer_write(r->writer, octets, length);
}

static int read_end(void *arg, size_t from, uint32_t uid, bool whole)
{
    (void)from;
    struct reading *r = arg;
    struct body_info info;
    struct body_writer *writer = r->writer;
    r->writer = NULL;
    if (!whole) {
        body_writer_abort(writer);
        return 0;
    }
    int err = writer ? 0 : body_writer_open(r->e->cache, &writer); /* an empty one */
    if (err == 0)
        err = body_writer_finish(writer, &info);
    if (err == 0)
        r->each(r->arg, uid, &info);
    return err;
}

enum worker_result peek_all(struct engine *e, const char *mailbox, uint32_t uidvalidity,
                            const struct uidset *uids,
                            void (*each)(void *arg, uint32_t uid, const struct body_info *info), void *arg)
{
    struct reading reading = {.e = e, .each = each, .arg = arg};
    struct worker_sink sink = {.arg = &reading, .data = read_octets, .end = read_end};
    struct worker_fetch from = {.mailbox = mailbox, .uidvalidity = uidvalidity, .uids = uids};
    enum worker_result r = e->worker->ops->fetch(e->worker, &from, 1, &sink);
    body_writer_abort(reading.writer);
    return r == WORKER_DONE ? from.result : r;
}

struct only {
    uint32_t uid;
    struct body_info *info;
    bool got;
};

static void note_only(void *arg, uint32_t uid, const struct body_info *info)
{
    struct only *o = arg;
    if (uid != o->uid)
        return;
    *o->info = *info;
    o->got = true;
}

enum worker_result peek_one(struct engine *e, const char *mailbox, uint32_t uidvalidity, uint32_t uid,
                            struct body_info *ret, bool *ret_got)
{
    struct uidset uids = {0};
    struct only o = {.uid = uid, .info = ret};
    enum worker_result r = uidset_add(&uids, uid) < 0 ? WORKER_LOCAL : WORKER_DONE;
    if (r == WORKER_DONE)
        r = peek_all(e, mailbox, uidvalidity, &uids, note_only, &o);
    uidset_finish(&uids);
    *ret_got = r == WORKER_DONE && o.got;
    return r;
}
