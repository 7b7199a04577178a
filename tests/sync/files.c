/*
 * What the file side of the house does to the cache when clients work, in the smallest form: the engine must
 * cope with the rows that come out of it. Everything is long at rest, so that nothing has to be waited for.
 */
#include <fcntl.h>
#include <unistd.h>
#include "base_state.h"
#include "body.h"
#include "clock.h"
#include "io.h"
#include "pending.h"
#include "rig.h"
#include "work.h"

#define REST_MS 1000

static void change(struct rig *r, int (*what)(cache_tx *tx, void *arg), void *arg)
{
    int err = cache_write(r->cache, CACHE_FROM_FILES, CACHE_NOW, what, arg);
    if (err < 0)
        fail_msg("a change of files: %s", strerror(-err));
}

static int put_row(cache_tx *tx, void *arg)
{
    return message_put(tx, arg);
}

/* Changes of files are noted with their time; for the engine this one was long ago. */
static int rest_row(cache_tx *tx, void *arg)
{
    struct message m;
    int err = message_get(cache_tx_rd(tx), *(int64_t *)arg, &m);
    if (err < 0)
        return err;
    m.changed_ms = clock_now_ns() / 1000000 - REST_MS;
    return message_put(tx, &m);
}

static void rest(struct rig *r, int64_t id)
{
    assert_int_equal(cache_write(r->cache, CACHE_FROM_SERVER, CACHE_SOON, rest_row, &id), 0);
    engine_wake(r->engine);
}

static int put_box(cache_tx *tx, void *arg)
{
    return mailbox_put(tx, arg);
}

struct message file_row(struct rig *r, int64_t id)
{
    struct message m;
    int err = message_get(cache_reader(r->cache), id, &m);
    if (err < 0)
        fail_msg("row %lld: %s", (long long)id, strerror(-err));
    return m;
}

flags_t file_keyword(struct rig *r, const char *name)
{
    return (flags_t)1 << keywords_bit(cache_keywords(r->cache), name);
}

/* ---- mailboxes ---- */

/* Walks a path; returns the id, or 0 with *parent and *leaf set for what is missing. */
static int64_t walk(struct rig *r, const char *path, int64_t *parent, char leaf[256])
{
    *parent = 0;
    for (const char *at = path;;) {
        size_t length = strcspn(at, "/");
        struct mailbox m;
        snprintf(leaf, 256, "%.*s", (int)length, at);
        int err = mailbox_find(cache_reader(r->cache), *parent, leaf, &m);
        if (err < 0 || !at[length])
            return err < 0 ? 0 : m.id;
        *parent = m.id;
        at += length + 1;
    }
}

int64_t file_box(struct rig *r, const char *path)
{
    char leaf[256];
    int64_t parent, id = walk(r, path, &parent, leaf);
    if (!id)
        fail_msg("%s is not in the tree", path);
    return id;
}

bool file_has_box(struct rig *r, const char *path)
{
    char leaf[256];
    int64_t parent;
    return walk(r, path, &parent, leaf) != 0;
}

int64_t file_make_box(struct rig *r, const char *path)
{
    struct mailbox m, inbox;
    char leaf[256];
    int64_t parent, id;
    if (mailbox_find(cache_reader(r->cache), 0, "INBOX", &inbox) < 0)
        inbox.delimiter = 0;
    while (!(id = walk(r, path, &parent, leaf))) {
        m = (struct mailbox){.parent = parent, .delimiter = inbox.delimiter};
        memcpy(m.name, leaf, sizeof m.name);
        change(r, put_box, &m);
    }
    assert_int_equal(mailbox_get(cache_reader(r->cache), id, &m), 0);
    m.dirs = MAILBOX_ALL_DIRS;
    change(r, put_box, &m);
    return id;
}

void file_rename_box(struct rig *r, const char *from, const char *to)
{
    struct mailbox m;
    char leaf[256];
    int64_t parent;
    assert_int_equal(mailbox_get(cache_reader(r->cache), file_box(r, from), &m), 0);
    assert_int_equal(walk(r, to, &parent, leaf), 0);
    m.parent = parent;
    memcpy(m.name, leaf, sizeof m.name);
    change(r, put_box, &m);
}

static int remove_box_row(cache_tx *tx, void *arg)
{
    struct mailbox *m = arg;
    m->dirs = 0;
    m->removed = true;
    if (!m->on_server && mailbox_forget(tx, m->id) == 0)
        return 0;
    return mailbox_put(tx, m);
}

static int first_row(void *arg, const struct message *m)
{
    *(int64_t *)arg = m->id;
    return 1;
}

static int first_child(void *arg, const struct mailbox *m)
{
    *(struct mailbox *)arg = *m;
    return 1;
}

static void remove_tree(struct rig *r, struct mailbox *m)
{
    struct mailbox child;
    int64_t id;
    while (mailbox_each(cache_reader(r->cache), m->id, 0, first_child, &child) == 1)
        remove_tree(r, &child);
    for (int sub = SUB_TMP; sub <= SUB_CUR; sub++)
        while (message_each(cache_reader(r->cache), m->id, (enum sub)sub, 0, first_row, &id) == 1)
            file_remove(r, id);
    change(r, remove_box_row, m);
}

void file_remove_box(struct rig *r, const char *path)
{
    struct mailbox m;
    assert_int_equal(mailbox_get(cache_reader(r->cache), file_box(r, path), &m), 0);
    remove_tree(r, &m);
}

/* ---- content ---- */

static int store_written(cache_tx *tx, void *arg)
{
    const struct message *written = arg;
    struct message m;
    int err = message_get(cache_tx_rd(tx), written->id, &m);
    if (err < 0)
        return err;
    m.size = written->size;
    m.mtime_ns = clock_now_ns();
    if (m.sub != SUB_TMP)
        cache_tx_event(
            tx, &(struct cache_event){.kind = CACHE_WORK, .mailbox = m.mailbox, .ino = (uint64_t)m.id});
    return message_put(tx, &m);
}

static void write_work(struct rig *r, int64_t id, int fd, const char *text)
{
    struct message m = {.id = id, .size = (int64_t)strlen(text)};
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fsync(fd), 0);
    close(fd);
    change(r, store_written, &m);
}

static int64_t write_tmp(struct rig *r, int64_t box, const char *text)
{
    static unsigned count;
    struct message m = {.mailbox = box, .sub = SUB_TMP, .state = MESSAGE_WRITING};
    snprintf(m.name, sizeof m.name, "%lld.%d_%u.client", (long long)(clock_now_ns() / 1000000000), getpid(),
             count++);
    change(r, put_row, &m);
    work_writer_begin(r->cache, m.id);
    write_work(r, m.id, work_create(r->cache, m.id), text);
    work_writer_end(r->cache, m.id);
    return m.id;
}

struct delivery {
    int64_t id;
    enum sub sub;
    flags_t flags;
    int64_t date_s;
};

static int deliver_row(cache_tx *tx, void *arg)
{
    const struct delivery *d = arg;
    struct message m;
    int err = message_get(cache_tx_rd(tx), d->id, &m);
    if (err < 0)
        return err;
    m.sub = d->sub;
    m.date_s = d->date_s;
    err = message_put(tx, &m);
    return err == 0 && d->flags ? message_set_flags(tx, &m, d->flags) : err;
}

int64_t file_deliver(struct rig *r, const char *box, enum sub sub, const char *text, flags_t flags,
                     int64_t date_s)
{
    struct delivery d = {
        .id = write_tmp(r, file_box(r, box), text), .sub = sub, .flags = flags, .date_s = date_s};
    change(r, deliver_row, &d);
    rest(r, d.id);
    return d.id;
}

static int begin_rewrite(cache_tx *tx, void *arg)
{
    struct message m;
    int err = message_get(cache_tx_rd(tx), *(int64_t *)arg, &m);
    if (err < 0)
        return err;
    m.state = MESSAGE_WRITING;
    return message_put(tx, &m);
}

void file_rewrite(struct rig *r, int64_t id, const char *text)
{
    work_writer_begin(r->cache, id);
    struct message m = file_row(r, id);
    int fd = work_from_body(r->cache, &m, false);
    change(r, begin_rewrite, &id);
    write_work(r, id, fd, text);
    work_writer_end(r->cache, id);
    struct message now = file_row(r, id);
    change(r, store_written, &now);
    rest(r, id);
}

/* ---- names ---- */

struct removal {
    int64_t id;
    bool kept;
};

static int bury(cache_tx *tx, struct message *m, int64_t heir, bool *ret_kept)
{
    struct base_state base;
    bool based = base_of_message(cache_tx_rd(tx), m->id, &base) == 0;
    *ret_kept = based || (m->sub != SUB_TMP && !m->scratch && m->has_hash);
    m->state = MESSAGE_GONE;
    m->gone_at = clock_now_ns() / 1000000000;
    m->after = *ret_kept ? heir : 0;
    return message_put(tx, m);
}

static int remove_row(cache_tx *tx, void *arg)
{
    struct removal *d = arg;
    struct message m;
    int err = message_get(cache_tx_rd(tx), d->id, &m);
    if (err == 0)
        err = bury(tx, &m, 0, &d->kept);
    return err == 0 && !d->kept ? message_forget(tx, d->id) : err;
}

void file_remove(struct rig *r, int64_t id)
{
    struct removal d = {.id = id};
    change(r, remove_row, &d);
}

struct replacement {
    int64_t old, heir;
};

struct waiting {
    int64_t after, id;
};

static int waits_for(void *arg, const struct message *m)
{
    struct waiting *w = arg;
    w->id = m->id;
    return m->after == w->after;
}

/* Who waited for a row that never came to the server waits for its heir. */
static int pass_on(cache_tx *tx, const struct replacement *d)
{
    struct waiting w = {.after = d->old};
    struct message m;
    while (message_each_gone(cache_tx_rd(tx), waits_for, &w) == 1) {
        int err = message_get(cache_tx_rd(tx), w.id, &m);
        m.after = d->heir;
        if (err < 0 || (err = message_put(tx, &m)) < 0)
            return err;
    }
    return 0;
}

static int replace_row(cache_tx *tx, void *arg)
{
    const struct replacement *d = arg;
    struct message old, heir;
    struct base_state base;
    bool kept;
    int err = message_get(cache_tx_rd(tx), d->old, &old);
    if (err == 0)
        err = message_get(cache_tx_rd(tx), d->heir, &heir);
    if (err < 0)
        return err;
    bool based = base_of_message(cache_tx_rd(tx), d->old, &base) == 0;
    heir.sub = old.sub;
    heir.flags = old.flags;
    heir.date_s = old.date_s;
    heir.zone_min = old.zone_min;
    memcpy(heir.name, old.name, sizeof heir.name);
    err = bury(tx, &old, d->heir, &kept);
    if (err == 0)
        err = message_put(tx, &heir);
    if (err == 0 && !based)
        err = pass_on(tx, d);
    return err == 0 && !kept ? message_forget(tx, d->old) : err;
}

int64_t file_replace(struct rig *r, int64_t id, const char *text)
{
    struct replacement d = {.old = id, .heir = write_tmp(r, file_row(r, id).mailbox, text)};
    change(r, replace_row, &d);
    rest(r, d.heir);
    return d.heir;
}

void file_move(struct rig *r, int64_t id, const char *box)
{
    struct message m = file_row(r, id);
    m.mailbox = file_box(r, box);
    change(r, put_row, &m);
    rest(r, id);
}

int64_t file_copy(struct rig *r, int64_t id, const char *box)
{
    struct message m = file_row(r, id);
    m.id = 0;
    m.links = 0;
    m.dirty = true;
    m.mailbox = file_box(r, box);
    change(r, put_row, &m);
    rest(r, m.id);
    return m.id;
}

struct flagging {
    int64_t id;
    flags_t add, removed;
};

static int flag_row(cache_tx *tx, void *arg)
{
    const struct flagging *f = arg;
    struct message m;
    int err = message_get(cache_tx_rd(tx), f->id, &m);
    return err < 0 ? err : message_set_flags(tx, &m, (m.flags | f->add) & ~f->removed);
}

void file_flag(struct rig *r, int64_t id, flags_t add, flags_t removed)
{
    struct flagging f = {.id = id, .add = add, .removed = removed};
    change(r, flag_row, &f);
}

/* ---- looking ---- */

struct search {
    struct rig *rig;
    const char *text;
    int64_t id;
    unsigned found, all;
};

static bool has_content(struct rig *r, const struct message *m, const char *text)
{
    char got[4096];
    int fd = body_open(r->cache, m);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, got, sizeof got);
    close(fd);
    return n == (ssize_t)strlen(text) && memcmp(got, text, (size_t)n) == 0;
}

static int look_at(void *arg, const struct message *m)
{
    struct search *s = arg;
    s->all++;
    if (s->text && has_content(s->rig, m, s->text)) {
        s->found++;
        s->id = m->id;
    }
    return 0;
}

static void search(struct search *s, const char *box)
{
    int64_t id = file_box(s->rig, box);
    for (int sub = SUB_NEW; sub <= SUB_CUR; sub++)
        assert_int_equal(message_each(cache_reader(s->rig->cache), id, (enum sub)sub, 0, look_at, s), 0);
}

int64_t file_find(struct rig *r, const char *box, const char *text)
{
    struct search s = {.rig = r, .text = text};
    search(&s, box);
    assert_true(s.found <= 1);
    return s.id;
}

unsigned file_count(struct rig *r, const char *box)
{
    struct search s = {.rig = r};
    search(&s, box);
    return s.all;
}

bool file_has_content(struct rig *r, int64_t id, const char *text)
{
    struct message m = file_row(r, id);
    return has_content(r, &m, text);
}

void file_assert_content(struct rig *r, int64_t id, const char *text)
{
    assert_true(file_has_content(r, id, text));
}
