/*
 * What a crash may have left, put right before anything else uses the cache. Nothing here throws content
 * away: a work file that no WRITING row waits for is either known to be in the store, or becomes a message
 * that can be restored.
 *
 * After a lost or older database (case 73, meta "union"), row ids start over and may meet those of old notes.
 * So all notes whose rows are lost are first renamed out of the way, and then imported one by one; a crash in
 * between leaves them to the next start, which knows a message that is there already by place, name and hash.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "clock.h"
#include "log.h"
#include "mailbox.h"
#include "private.h"
#include "work_table.h"

static int64_t now_s(void)
{
    return clock_now_ns() / 1000000000;
}

struct salvage {
    struct cache *cache;
    int64_t id; /* of the work file */
    struct body_info info;
    int64_t mtime_ns;
};

/* The row that was removed before it was settled, or a new one in the inbox. */
static int salvage_row(cache_tx *tx, const struct salvage *s, struct message *m)
{
    struct mailbox inbox;
    int r = message_get(cache_tx_rd(tx), s->id, m);
    if (r == 0 && m->state == MESSAGE_GONE && !m->has_hash)
        return 0;
    if (r == 0 || r == -ENOENT)
        r = mailbox_find(cache_tx_rd(tx), 0, "INBOX", &inbox);
    if (r < 0 && r != -ENOENT)
        return r;
    *m = (struct message){.state = MESSAGE_GONE, .mailbox = r == 0 ? inbox.id : 0, .sub = SUB_CUR};
    m->mtime_ns = s->mtime_ns;
    m->date_s = s->mtime_ns / 1000000000;
    m->gone_at = now_s();
    return maildir_fresh(m->date_s, s->id, cache_host(s->cache), m->name);
}

static int salvage_change(cache_tx *tx, void *arg)
{
    const struct salvage *s = arg;
    struct message m;
    int r = salvage_row(tx, s, &m);
    if (r < 0)
        return r;
    work_set_content(&m, &s->info);
    return message_put(tx, &m);
}

static int salvage(struct cache *c, int64_t id, const struct body_info *info)
{
    struct salvage s = {.cache = c, .id = id, .info = *info};
    CLEANUP(io_close) int fd = work_open(c, id, O_RDONLY);
    struct stat st;
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    s.mtime_ns = st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec;
    int r = cache_write(c, CACHE_FROM_FILES, CACHE_NOW, salvage_change, &s);
    if (r < 0)
        return r;
    log_warning("work file %lld was not settled: kept as restorable", (long long)id);
    return 0;
}

/* One work file. A WRITING row's stays; the engine settles it. */
static int recover_file(struct cache *c, int64_t id)
{
    cache_rd *rd = cache_reader(c);
    struct message m = {0};
    struct body_info info;
    int r = rd ? message_get(rd, id, &m) : -EIO;
    if (r < 0 && r != -ENOENT)
        return r;
    if (r == 0 && m.state == MESSAGE_WRITING)
        return 0;
    if (r == 0 && m.state == MESSAGE_GONE && (m.sub == SUB_TMP || m.scratch))
        return work_remove(c, id); /* never mail, and removed by a client */
    r = work_store(c, id, &info);
    if (r < 0 && r != -ENODATA)
        return r;
    if (r == 0 && !(m.has_hash && memcmp(m.hash, info.hash, BODY_HASH) == 0))
        r = salvage(c, id, &info);
    return r < 0 && r != -ENODATA ? r : work_remove(c, id);
}

/* A failure with one of them must not keep the account from being mounted: it is logged, and the file stays.
 */
static int recover_entry(void *arg, const char *name)
{
    struct cache *c = arg;
    int64_t id = work_name_id(name);
    int r = id < 0 ? (unlinkat(c->work->workfd, name, 0), 0) : recover_file(c, id);
    if (r < 0)
        log_error("work file %lld cannot be recovered: %s", (long long)id, strerror(-r));
    return 0;
}

/* What was written so far can be restored. A failure leaves it to the next start. */
static int leave_work_file(struct cache *c, int64_t id)
{
    int r = recover_file(c, id);
    if (r < 0 && r != -ENOENT)
        log_error("work file %lld cannot be recovered: %s", (long long)id, strerror(-r));
    return 0;
}

/* A row without its work file, or with half of it, has its old content again: that is no edit, and no removal
 * (case 20). */
static int revert_change(cache_tx *tx, void *arg)
{
    const struct message *wanted = arg;
    struct message m;
    int r = message_get(cache_tx_rd(tx), wanted->id, &m);
    if (r < 0)
        return r;
    m.state = m.has_hash ? MESSAGE_PRESENT : MESSAGE_GONE;
    m.size = wanted->size;
    m.gone_at = m.has_hash ? 0 : now_s();
    return message_put(tx, &m);
}

/* Each close notes the size that the file then has. One of another size was being rewritten when the end
 * came: what it had been before counts, and half a message is never sent. Nor is an empty one: whoever
 * emptied it (a fork right after that closes it, too) is not here any more to write what was to be in it. */
static bool is_unfinished(struct cache *c, const struct message *m)
{
    char name[WORK_NAME_MAX];
    struct stat st;
    work_name(m->id, name);
    if (fstatat(c->work->workfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return m->has_hash && m->sub != SUB_TMP && (st.st_size != m->size || st.st_size == 0);
    return errno == ENOENT;
}

static int revert(struct cache *c, struct message *m)
{
    struct stat st;
    if (!is_unfinished(c, m))
        return 0;
    if (m->has_hash) {
        CLEANUP(io_close) int fd = body_file_open(c->bodies, m->hash, body_file_served(m->form));
        if (fd >= 0 && fstat(fd, &st) == 0)
            m->size = st.st_size;
    }
    log_warning("message %lld has its old content again: the new one was not finished", (long long)m->id);
    int r = cache_write(c, CACHE_FROM_FILES, CACHE_SOON, revert_change, m);
    return r < 0 ? r : leave_work_file(c, m->id);
}

/* The first row being written above an id: 0, -ENOENT. */
static int next_writing(cache_rd *rd, int64_t after, struct message *ret)
{
    static const char sql[] = "SELECT id FROM message WHERE state = 2 AND id > ? ORDER BY id LIMIT 1";
    int64_t id;
    {
        CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
        put_int(s, after);
        int r = statement_row(s);
        if (r < 0)
            return r;
        id = column_int(s, 0);
    }
    return message_get(rd, id, ret);
}

static int revert_rows(struct cache *c)
{
    cache_rd *rd = cache_reader(c);
    struct message m = {0};
    int r = rd ? 0 : -EIO;
    while (r == 0 && (r = next_writing(rd, m.id, &m)) == 0)
        r = revert(c, &m);
    return r == -ENOENT ? 0 : r;
}

/* The directory of one component of a path, made when it is missing, with these of cur, new and tmp. */
static int make_level(cache_tx *tx, int64_t parent, const char *name, size_t length, unsigned dirs,
                      int64_t *ret)
{
    struct mailbox box;
    char component[sizeof(box.name)];
    if (length == 0 || length >= sizeof(component))
        return -EBADMSG;
    snprintf(component, sizeof(component), "%.*s", (int)length, name);
    int r = mailbox_find(cache_tx_rd(tx), parent, component, &box);
    if (r < 0 && r != -ENOENT)
        return r;
    if (r == -ENOENT) {
        box = (struct mailbox){.parent = parent, .permanent = ~(flags_t)0, .keywords_allowed = true};
        memcpy(box.name, component, length + 1);
    }
    if (r == -ENOENT || (box.dirs | dirs) != box.dirs) {
        box.dirs |= dirs;
        r = mailbox_put(tx, &box);
        if (r < 0)
            return r;
    }
    *ret = box.id;
    return 0;
}

/* Finds the mailbox of a path, making what is missing of it: directories, and at its end a mailbox. */
static int make_mailbox(cache_tx *tx, const char *path, int64_t *ret)
{
    int64_t id = 0;
    for (const char *at = path;;) {
        size_t length = strcspn(at, "/");
        bool last = at[length] == '\0';
        int r = make_level(tx, id, at, length, last ? MAILBOX_ALL_DIRS : 0, &id);
        if (r < 0)
            return r;
        if (last)
            break;
        at += length + 1;
    }
    *ret = id;
    return 0;
}

/* The name is taken by other mail: both are kept. */
static int rename_import(struct cache *c, struct message *m)
{
    char base[MAILDIR_NAME_MAX + 1];
    int64_t now = clock_now_ns();
    int r = maildir_fresh(now / 1000000000, now % 1000000000, cache_host(c), base);
    return r < 0 ? r : maildir_rename(base, m->flags, NULL, m->sub == SUB_CUR, m->name);
}

static int import_change(cache_tx *tx, void *arg)
{
    struct message *m = &((struct unsent *)arg)->m, there;
    int r = make_mailbox(tx, ((struct unsent *)arg)->mailbox, &m->mailbox);
    if (r < 0)
        return r;
    r = message_find(cache_tx_rd(tx), m->mailbox, m->sub, m->name, &there);
    if (r < 0 && r != -ENOENT)
        return r;
    if (r == 0 && there.has_hash && memcmp(there.hash, m->hash, BODY_HASH) == 0) {
        m->id = there.id; /* an earlier import that was cut short */
        return 0;
    }
    if (r == 0)
        r = rename_import(cache_tx_cache(tx), m);
    if (r < 0 && r != -ENOENT)
        return r;
    m->id = 0;
    m->dirty = true;
    m->changed_ms = clock_now_ns() / 1000000;
    return message_put(tx, m);
}

static int import(struct cache *c, const char *file, struct unsent *u)
{
    int r = unsent_read(c, file, u);
    if (r < 0)
        return r;
    CLEANUP(io_close) int body = body_open(c, &u->m);
    if (body < 0)
        return body;
    r = cache_write(c, CACHE_FROM_FILES, CACHE_NOW, import_change, u);
    if (r == 0)
        r = unsent_write(c, u);
    if (r < 0)
        return r;
    body_step("note imported");
    return unlinkat(c->work->unsentfd, file, 0) < 0 ? -errno : 0;
}

static int import_lost(void *arg, const char *file)
{
    struct cache *c = arg;
    if (work_name_id(file) >= 0)
        return 0;
    struct unsent *u = malloc(sizeof(*u));
    if (!u)
        return -ENOMEM;
    int r = import(c, file, u);
    if (r < 0)
        log_error("unsent/%s cannot be imported: %s", file, strerror(-r));
    else
        log_info("unsent mail %s is message %lld now", file, (long long)u->m.id);
    free(u);
    return 0;
}

/* With a database that was lost or put back, a note's row is lost when it is not there or has other content;
 * one that is being written has its work file. 1, 0, -errno. */
static int is_lost(struct cache *c, const char *file, struct unsent *u)
{
    struct message m;
    cache_rd *rd = cache_reader(c);
    int r = rd ? unsent_read(c, file, u) : -EIO;
    if (r < 0)
        return r;
    r = message_get(rd, u->m.id, &m);
    if (r < 0)
        return r == -ENOENT ? 1 : r;
    return m.state != MESSAGE_WRITING && !(m.has_hash && memcmp(m.hash, u->m.hash, BODY_HASH) == 0);
}

static int set_aside(struct cache *c, const char *file, const struct unsent *u)
{
    /* The hash makes the name unlike that of a note that an earlier loss has left. */
    char aside[sizeof(UNSENT_LOST) + WORK_NAME_MAX + 24];
    unsigned long long start = 0;
    for (int i = 0; i < 8; i++)
        start = start << 8 | u->m.hash[i];
    snprintf(aside, sizeof(aside), UNSENT_LOST "%s-%016llx", file, start);
    return renameat(c->work->unsentfd, file, c->work->unsentfd, aside) < 0 ? -errno : 0;
}

static int set_aside_if_lost(void *arg, const char *file)
{
    struct cache *c = arg;
    if (work_name_id(file) < 0)
        return 0;
    struct unsent *u = malloc(sizeof(*u));
    if (!u)
        return -ENOMEM;
    int r = is_lost(c, file, u);
    if (r > 0)
        r = set_aside(c, file, u);
    free(u);
    if (r < 0)
        log_error("unsent/%s cannot be read: %s", file, strerror(-r));
    return 0;
}

/* All are renamed, durably, before the first row is made: none of them is overwritten by the note of a new
 * row. */
static int set_aside_lost(struct cache *c)
{
    cache_rd *rd = cache_reader(c);
    if (!rd)
        return -EIO;
    if (cache_meta_get(rd, "union", 0) == 0)
        return 0;
    int r = unsent_each(c, set_aside_if_lost, c);
    body_step("notes set aside");
    return r < 0 ? r : fsync(c->work->unsentfd) < 0 ? -errno : 0;
}

int work_recover(struct cache *c)
{
    int r = set_aside_lost(c);
    if (r == 0)
        r = dir_each(c->work->workfd, recover_entry, c);
    if (r == 0)
        r = revert_rows(c);
    if (r == 0)
        r = unsent_each(c, import_lost, c);
    if (r == 0)
        unsent_prune(c);
    return r;
}
