/*
 * Settling: what a client wrote becomes a message. The order is what keeps it from being lost, whenever the
 * power goes:
 *
 *   1. the work file gets a second name, its hash, in the body store; file and directories are synced;
 *   2. a note of it is written to unsent/, for a database that gets lost; synced;
 *   3. the row commits, durably: PRESENT, with that hash, and its old content's tombstone with it;
 *   4. the work file's own name goes.
 *
 * Many rows take the steps together: what is in step 1 and, under a name that is none of a note, in step 2 is
 * synced by one syncfs; the notes get their names then, and their directory is synced; step 3 is one
 * transaction. The disk's time is that of one.
 *
 * After a crash before 3 the row is still WRITING and its work file is there: it is settled again, and step 1
 * finds its body in place. After a crash before 4 the work file is one whose row is not WRITING: work_recover
 * sees that the row has this content, and removes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base_state.h"
#include "body_store.h"
#include "clock.h"
#include "log.h"
#include "mailbox.h"
#include "pending.h"
#include "private.h"
#include "wire.h"
#include "work_table.h"

#define MANY                                                                                                 \
    4 /* rows, from which on the whole file system is synced rather than each file and its directories */

/* Learns all about a file's wire form, and whether the file has CRLF in it. */
static int measure_blocks(int fd, struct wire_sum *sum, char *block, int64_t *ret_size, bool *ret_crlf)
{
    char *wire = block + BODY_BLOCK;
    struct wire_from_file state = {0};
    int64_t size = 0;
    for (;;) {
        ssize_t n = io_read_full(fd, block, BODY_BLOCK);
        if (n < 0)
            return (int)n;
        if (n == 0)
            break;
        size += n;
        int r = wire_sum_feed(sum, wire, wire_from_file(&state, false, block, (size_t)n, wire));
        if (r < 0)
            return r;
    }
    *ret_size = size;
    *ret_crlf = state.crlf;
    return 0;
}

/* Without CRLF, a file is the LF form of its wire form. What is its own wire form is served as that. */
static enum message_form choose_form(const struct body_store *s, const struct body_info *info, bool crlf)
{
    if (!crlf && !s->wire_only)
        return MESSAGE_LF;
    return info->size == info->wire_size ? MESSAGE_WIRE : MESSAGE_OWN;
}

static int measure(const struct body_store *s, int fd, struct body_info *ret)
{
    CLEANUP(wire_sum_finish) struct wire_sum sum = {0};
    bool crlf = false;
    int r = wire_sum_begin(&sum, s);
    if (r < 0)
        return r;
    char *block = malloc(3 * BODY_BLOCK);
    if (!block)
        return -ENOMEM;
    r = measure_blocks(fd, &sum, block, &ret->size, &crlf);
    free(block);
    if (r == 0 && ret->size == 0)
        r = -ENODATA;
    if (r == 0)
        r = wire_sum_end(&sum, ret);
    if (r == 0)
        ret->form = choose_form(s, ret, crlf);
    return r;
}

/* A name in bodies/tmp for what is in the work file: a link, or where that cannot be, a copy. */
static int stage(struct cache *c, int64_t id, int fd, char tmp[BODY_TMP_MAX])
{
    struct body_store *s = c->bodies;
    char name[WORK_NAME_MAX];
    work_name(id, name);
    body_tmp_name(s, tmp);
    if (linkat(c->work->workfd, name, s->tmpfd, tmp, 0) == 0)
        return 0;
    CLEANUP(io_close) int copy = body_tmp_open(s, tmp);
    if (copy < 0)
        return copy;
    int r = io_copy(fd, copy);
    if (r < 0)
        unlinkat(s->tmpfd, tmp, 0);
    return r;
}

static int stage_wire(struct body_store *s, int fd, char tmp[BODY_TMP_MAX])
{
    CLEANUP(io_close) int copy = body_tmp_open(s, tmp);
    if (copy < 0)
        return copy;
    int r = body_copy_wire(fd, copy, false);
    if (r < 0)
        unlinkat(s->tmpfd, tmp, 0);
    return r;
}

static int place(struct body_store *s, const struct body_info *info, const char *tmp, bool keep_other)
{
    char name[BODY_NAME_MAX];
    body_name(info->hash, body_file_served(info->form), name);
    int r = body_place(s, tmp, name, keep_other);
    if (r < 0)
        unlinkat(s->tmpfd, tmp, 0);
    else
        body_step("body placed");
    return r;
}

static int store(struct cache *c, int64_t id, int fd, struct body_info *info)
{
    char tmp[BODY_TMP_MAX];
    int r = stage(c, id, fd, tmp);
    if (r < 0)
        return r;
    r = place(c->bodies, info, tmp, info->form == MESSAGE_OWN);
    if (r != -EEXIST)
        return r;
    /* The same mail, with its line ends mixed in another way, is there already (or damaged): one file cannot
     * be both, so that this one is served as on the wire. */
    info->form = MESSAGE_WIRE;
    info->size = info->wire_size;
    r = stage_wire(c->bodies, fd, tmp);
    return r < 0 ? r : place(c->bodies, info, tmp, false);
}

/* Not durable yet. */
static int store_work(struct cache *c, int64_t id, struct body_info *ret)
{
    CLEANUP(io_close) int fd = work_open(c, id, O_RDONLY);
    if (fd < 0)
        return fd;
    struct body_info info = {0};
    int r = measure(c->bodies, fd, &info);
    if (r == 0)
        r = store(c, id, fd, &info);
    if (r == 0)
        *ret = info;
    return r;
}

static int sync_body(struct body_store *s, const struct body_info *info)
{
    char name[BODY_NAME_MAX];
    body_name(info->hash, body_file_served(info->form), name);
    return body_sync_file(s, name);
}

int work_store(struct cache *c, int64_t id, struct body_info *ret)
{
    int r = store_work(c, id, ret);
    return r < 0 ? r : sync_body(c->bodies, ret);
}

/* One row of those that are settled together. */
struct settle {
    struct cache *cache;
    int64_t id;
    struct message before; /* the row when settling began */
    struct body_info info;
    bool noted;
    int err; /* 0 while it goes on */
};

struct batch {
    struct cache *cache;
    struct settle *row;
    size_t n;
};

static bool is_content(const struct message *m, const struct body_info *info)
{
    return m->has_hash && memcmp(m->hash, info->hash, BODY_HASH) == 0;
}

void work_set_content(struct message *m, const struct body_info *info)
{
    memcpy(m->hash, info->hash, BODY_HASH);
    m->has_hash = true;
    m->form = info->form;
    m->size = info->size;
    m->wire_size = info->wire_size;
    m->message_id = info->message_id;
    /* It is sent with a date, the same that the row has: without one, it could not be known again where
     * another client moves it (case 43). */
    if (!m->date_s)
        m->date_s = m->mtime_ns / 1000000000;
}

/* Is the database's loss to be provided for? */
static bool needs_note(const struct settle *s)
{
    const struct message *m = &s->before;
    return !is_content(m, &s->info) && !m->scratch && (m->sub == SUB_CUR || m->sub == SUB_NEW);
}

static int stage_note(struct settle *s, bool sync)
{
    struct mailbox box;
    struct unsent *u = calloc(1, sizeof(*u));
    if (!u)
        return -ENOMEM;
    cache_rd *rd = cache_reader(s->cache);
    u->m = s->before;
    work_set_content(&u->m, &s->info);
    int r = !rd ? -EIO : mailbox_get(rd, s->before.mailbox, &box);
    if (r == 0)
        r = mailbox_path(rd, &box, u->mailbox, sizeof(u->mailbox));
    if (r >= 0)
        r = unsent_stage(s->cache, u, sync);
    free(u);
    s->noted = r >= 0;
    return r < 0 ? r : 0;
}

/* The server's copy of the old content is handed to a row of its own, which goes when the new content is
 * there (case 12); until then, and for as long as mail is kept, it can be restored. */
static int bury(cache_tx *tx, const struct settle *s, const struct message *m)
{
    struct base_state base;
    struct pending announced;
    cache_rd *rd = cache_tx_rd(tx);
    int r = base_of_message(rd, m->id, &base);
    bool based = r == 0;
    /* An append whose outcome is not known yet was of the old content, too. */
    if (r == -ENOENT)
        r = pending_of_message(rd, m->id, &announced);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    struct message tombstone = *m;
    tombstone.id = 0;
    tombstone.state = MESSAGE_GONE;
    tombstone.size = body_served_size(s->cache, m); /* the row may have the work file's */
    tombstone.links = 0;
    tombstone.after = m->id;
    tombstone.dirty = true;
    tombstone.gone_at = clock_now_ns() / 1000000000;
    r = message_put(tx, &tombstone);
    if (r == 0)
        r = pending_give(tx, m->id, tombstone.id);
    return r < 0 || !based ? r : base_give(tx, m->id, tombstone.id);
}

static int settle_change(cache_tx *tx, void *arg)
{
    const struct settle *s = arg;
    struct message m;
    int r = message_get(cache_tx_rd(tx), s->before.id, &m);
    if (r < 0)
        return r;
    if (m.state != MESSAGE_WRITING)
        return -ENOENT; /* removed meanwhile */
    bool changed = !is_content(&m, &s->info), dirty = changed || m.dirty;
    if (changed && m.has_hash)
        r = bury(tx, s, &m);
    if (r < 0)
        return r;
    work_set_content(&m, &s->info);
    m.state = MESSAGE_PRESENT;
    m.dirty = dirty;
    return message_put(tx, &m);
}

/* What can be done of it alone: the body in its place, the note beside its own, neither durable unless it is
 * one of few. */
static int prepare(struct settle *s, bool few)
{
    cache_rd *rd = cache_reader(s->cache);
    int r = rd ? message_get(rd, s->id, &s->before) : -EIO;
    if (r < 0)
        return r;
    if (s->before.state != MESSAGE_WRITING)
        return -ENOENT;
    r = store_work(s->cache, s->id, &s->info);
    if (r == 0 && few)
        r = sync_body(s->cache->bodies, &s->info);
    if (r == 0 && needs_note(s))
        r = stage_note(s, few);
    return r;
}

/* What went wrong for all. */
static void fail(struct batch *b, int err)
{
    for (size_t i = 0; err < 0 && i < b->n; i++)
        if (b->row[i].err == 0)
            b->row[i].err = err;
}

static int place_notes(struct batch *b)
{
    struct cache *c = b->cache;
    bool any = false;
    for (size_t i = 0; i < b->n; i++) {
        struct settle *s = &b->row[i];
        if (s->err == 0 && s->noted)
            s->err = unsent_place(c, s->id);
        any = any || (s->err == 0 && s->noted);
    }
    return any && fsync(c->work->unsentfd) < 0 ? -errno : 0;
}

static int settle_changes(cache_tx *tx, void *arg)
{
    struct batch *b = arg;
    for (size_t i = 0; i < b->n; i++) {
        struct settle *s = &b->row[i];
        if (s->err < 0)
            continue;
        int r = settle_change(tx, s);
        if (r == -ENOENT)
            s->err = r;
        else if (r < 0)
            return r;
    }
    return 0;
}

/* Together, or where that cannot be, each for itself: one row's trouble is not that of the others. A row that
 * is through after all, though it may not be on disk, has failed: its note and its work file stay. */
static void commit(struct batch *b)
{
    /* Not CACHE_FROM_FILES: no client did this, and it must not begin the half second of quiet anew. */
    int r = cache_write(b->cache, CACHE_FROM_SERVER, CACHE_NOW, settle_changes, b);
    if (b->n == 1)
        fail(b, r);
    for (size_t i = 0; r < 0 && i < b->n; i++) {
        struct batch one = {b->cache, &b->row[i], 1};
        if (one.row->err < 0)
            continue;
        int again = cache_write(b->cache, CACHE_FROM_SERVER, CACHE_NOW, settle_changes, &one);
        one.row->err = one.row->err == -ENOENT ? r : again;
    }
}

static void settle(struct batch *b)
{
    struct cache *c = b->cache;
    bool few = b->n < MANY, any = false;
    for (size_t i = 0; i < b->n; i++) {
        if (b->row[i].err == 0)
            b->row[i].err = prepare(&b->row[i], few);
        any = any || b->row[i].err == 0;
    }
    if (!any)
        return;
    if (!few)
        fail(b, body_sync(c));
    body_step("body durable");
    fail(b, place_notes(b));
    body_step("note durable");
    commit(b);
    body_step("row durable");
    for (size_t i = 0; i < b->n; i++) {
        const struct settle *s = &b->row[i];
        if (s->err == -ENOENT && s->noted)
            unsent_forget(c, s->id);
        if (s->err == 0)
            work_remove(c, s->id); /* should that fail, work_recover does it */
    }
}

/* See body_evict.c: what is being settled may have the text of a message that the server has. */
static void spare_bodies(struct body_store *s, int more)
{
    pthread_mutex_lock(&s->lock);
    s->settling += (unsigned)more;
    pthread_mutex_unlock(&s->lock);
}

void work_settle_many(struct cache *c, const int64_t *id, size_t n, int *ret)
{
    struct batch b = {.cache = c, .row = calloc(n, sizeof(*b.row)), .n = n};
    for (size_t i = 0; i < n; i++)
        ret[i] = -ENOMEM;
    if (!b.row)
        return;
    for (size_t i = 0; i < n; i++)
        b.row[i] = (struct settle){.cache = c, .id = id[i], .err = work_settle_begin(c->work, id[i])};
    for (size_t i = 0; i < n; i++)
        ret[i] = b.row[i].err; /* who is not ours is left alone at the end */
    spare_bodies(c->bodies, 1);
    settle(&b);
    spare_bodies(c->bodies, -1);
    for (size_t i = 0; i < n; i++) {
        if (ret[i] == 0)
            work_settle_end(c->work, id[i]);
        ret[i] = b.row[i].err;
    }
    free(b.row);
}

int work_settle(struct cache *c, int64_t id)
{
    int r;
    work_settle_many(c, &id, 1, &r);
    return r;
}

struct rest {
    int64_t id[64];
    size_t n;
    int64_t after;
};

static int collect_rest(void *arg, const struct message *m)
{
    struct rest *rest = arg;
    if (m->size > 0 && m->id > rest->after)
        rest->id[rest->n++] = m->id;
    return rest->n == sizeof(rest->id) / sizeof(*rest->id);
}

void work_settle_rest(struct cache *c)
{
    struct rest rest = {.n = 0};
    int result[sizeof(rest.id) / sizeof(*rest.id)];
    do {
        rest.n = 0;
        cache_rd *rd = cache_reader(c);
        if (!rd || message_each_unsettled(rd, collect_rest, &rest) < 0)
            return;
        work_settle_many(c, rest.id, rest.n, result);
        for (size_t i = 0; i < rest.n; i++) {
            rest.after = rest.id[i] > rest.after ? rest.id[i] : rest.after;
            if (result[i] < 0 && result[i] != -ENODATA)
                log_warning("row %lld waits for the next mount: %s", (long long)rest.id[i],
                            strerror(-result[i]));
        }
    } while (rest.n == sizeof(rest.id) / sizeof(*rest.id));
}
