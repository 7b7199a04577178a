/*
 * The mailbox table. What is shown of a row is its directory's entry in its parent and the entries of cur,
 * new and tmp in it; mailbox_put compares what was shown with what is, and makes events and new times of the
 * difference.
 *
 * Times of directories are the table's own affair: they are moved on here by visible changes and set by
 * mailbox_set_mtime, and what a caller has in its struct mailbox is never written. The root has no row; its
 * time is in the meta table.
 */
#include "mailbox.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "name.h"
#include "private.h"

#define ROOT_MTIME "root_mtime"
#define DEPTH_MAX 64

#define COLUMNS                                                                                              \
    "id, parent, name, leaf, dirs, removed, attributes, remote, delimiter, uidvalidity, uidnext, modseq,"    \
    " exists_count, permanent, keywords_allowed, synced_at, mtime_tmp, mtime_new, mtime_cur, mtime_box,"     \
    " mailboxid"

static void read_row(struct statement *s, struct mailbox *m)
{
    int at = 0;
    m->id = column_int(s, at++);
    m->parent = column_int(s, at++);
    column_text(s, at++, m->name, sizeof m->name);
    column_text(s, at++, m->leaf, sizeof m->leaf);
    m->dirs = (unsigned)column_int(s, at++);
    m->removed = column_int(s, at++);
    m->attributes = (unsigned)column_int(s, at++);
    m->on_server = sqlite3_column_type(s->stmt, at) != SQLITE_NULL;
    column_text(s, at++, m->remote, sizeof m->remote);
    m->delimiter = (char)column_int(s, at++);
    m->uidvalidity = (uint32_t)column_int(s, at++);
    m->uidnext = (uint32_t)column_int(s, at++);
    m->modseq = (uint64_t)column_int(s, at++);
    m->exists = (uint32_t)column_int(s, at++);
    m->permanent = (flags_t)column_int(s, at++);
    m->keywords_allowed = column_int(s, at++);
    m->synced_at = column_int(s, at++);
    for (int sub = SUB_TMP; sub <= SUB_BOX; sub++)
        m->mtime_ns[sub] = column_int(s, at++);
    column_text(s, at++, m->mailboxid, sizeof m->mailboxid);
}

static int only_row(struct statement *s, struct mailbox *ret)
{
    int err = statement_row(s);
    if (!err)
        read_row(s, ret);
    return err;
}

int mailbox_get(cache_rd *rd, int64_t id, struct mailbox *ret)
{
    static const char sql[] = "SELECT " COLUMNS " FROM mailbox WHERE id = ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_int(s, id);
    return only_row(s, ret);
}

int mailbox_find(cache_rd *rd, int64_t parent, const char *name, struct mailbox *ret)
{
    static const char sql[] = "SELECT " COLUMNS " FROM mailbox WHERE parent = ? AND name = ? AND removed = 0";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_int(s, parent);
    put_text(s, name);
    return only_row(s, ret);
}

int mailbox_find_remote(cache_rd *rd, const char *remote, struct mailbox *ret)
{
    static const char sql[] = "SELECT " COLUMNS " FROM mailbox WHERE remote = ? ORDER BY removed, id LIMIT 1";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_text(s, remote);
    return only_row(s, ret);
}

int mailbox_each(cache_rd *rd, int64_t parent, int64_t after_id,
                 int (*each)(void *arg, const struct mailbox *m), void *arg)
{
    static const char sql_all[] = "SELECT " COLUMNS " FROM mailbox WHERE id > ? ORDER BY id";
    static const char sql_children[] =
        "SELECT " COLUMNS " FROM mailbox WHERE id > ? AND parent = ? AND removed = 0"
        " ORDER BY id";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, parent < 0 ? sql_all : sql_children);
    put_int(s, after_id);
    if (parent >= 0)
        put_int(s, parent);
    int got;
    while ((got = statement_step(s)) > 0) {
        struct mailbox m;
        read_row(s, &m);
        int stop = each(arg, &m);
        if (stop)
            return stop;
    }
    return got;
}

unsigned mailbox_children(cache_rd *rd, int64_t parent)
{
    static const char sql[] = "SELECT count(*) FROM mailbox WHERE parent = ? AND removed = 0";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_int(s, parent);
    return statement_row(s) ? 0 : (unsigned)column_int(s, 0);
}

/* ---- where a mailbox is ---- */

/* The row and those above it, the row first. -ELOOP beyond what a tree may have. */
static int climb(cache_rd *rd, const struct mailbox *m, int (*each)(void *arg, const struct mailbox *m),
                 void *arg)
{
    struct mailbox at = *m;
    for (int depth = 0; depth < DEPTH_MAX; depth++) {
        int err = each(arg, &at);
        if (err || at.parent == 0)
            return err;
        err = mailbox_get(rd, at.parent, &at);
        if (err)
            return err;
    }
    return -ELOOP;
}

/* A name that grows at its front while climbing. */
struct joined {
    char *start; /* of the name, which ends at the end of the room */
    char *room;
    char delimiter;
};

static int put_before(struct joined *j, const char *part, bool last)
{
    size_t length = strlen(part), need = length + !last;
    if ((size_t)(j->start - j->room) < need)
        return -ENAMETOOLONG;
    j->start -= need;
    memcpy(j->start, part, length);
    if (!last)
        j->start[length] = j->delimiter;
    return 0;
}

static int put_path_part(void *arg, const struct mailbox *m)
{
    struct joined *j = arg;
    return put_before(j, m->name, *j->start == '\0');
}

int mailbox_path(cache_rd *rd, const struct mailbox *m, char *ret, size_t size)
{
    char room[DEPTH_MAX * (NAME_COMPONENT_MAX + 1)];
    struct joined j = {.room = room, .start = room + sizeof room - 1, .delimiter = '/'};
    *j.start = '\0';
    int err = climb(rd, m, put_path_part, &j);
    if (err)
        return err;
    size_t length = strlen(j.start);
    if (length >= size)
        return -ENAMETOOLONG;
    memcpy(ret, j.start, length + 1);
    return 0;
}

static int put_remote_part(void *arg, const struct mailbox *m)
{
    struct joined *j = arg;
    bool last = *j->start == '\0';
    if (!last && !j->delimiter)
        return -EINVAL;
    if (m->leaf[0])
        return put_before(j, m->leaf, last);
    char leaf[MAILBOX_REMOTE_MAX];
    int err = name_from_component(m->name, j->delimiter, leaf, sizeof leaf);
    return err ? err : put_before(j, leaf, last);
}

static int find_delimiter(void *arg, const struct mailbox *m)
{
    if (!m->on_server)
        return 0;
    *(char *)arg = m->delimiter;
    return 1;
}

int mailbox_remote_name(cache_rd *rd, const struct mailbox *m, char delimiter, char ret[MAILBOX_REMOTE_MAX])
{
    /* A mailbox is named as the one above it, if the server knows that. */
    int err = climb(rd, m, find_delimiter, &delimiter);
    if (err < 0)
        return err;
    char room[MAILBOX_REMOTE_MAX];
    struct joined j = {.room = room, .start = room + sizeof room - 1, .delimiter = delimiter};
    *j.start = '\0';
    err = climb(rd, m, put_remote_part, &j);
    if (!err)
        memcpy(ret, j.start, strlen(j.start) + 1);
    return err;
}

/* ---- times ---- */

static int set_times(cache_tx *tx, int64_t id, enum sub sub, int64_t ns)
{
    static const char sql_tmp[] = "UPDATE mailbox SET mtime_tmp = ? WHERE id = ?";
    static const char sql_new[] = "UPDATE mailbox SET mtime_new = ? WHERE id = ?";
    static const char sql_cur[] = "UPDATE mailbox SET mtime_cur = ? WHERE id = ?";
    static const char sql_box[] = "UPDATE mailbox SET mtime_box = ? WHERE id = ?";
    static const char *const sql[] = {sql_tmp, sql_new, sql_cur, sql_box};
    if (id == 0)
        return cache_meta_set(tx, ROOT_MTIME, ns);
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql[sub]);
    put_int(s, ns);
    put_int(s, id);
    return statement_change(s);
}

static struct touched *find_touched(cache_tx *tx, int64_t id, enum sub sub)
{
    for (size_t i = tx->touched_n; i-- > 0;) {
        if (tx->touched[i].mailbox == id && tx->touched[i].sub == sub)
            return &tx->touched[i];
    }
    return NULL;
}

/* A change that moves a thousand messages moves each directory's time once, at its end. */
int mailbox_touch(cache_tx *tx, int64_t id, enum sub sub)
{
    if (find_touched(tx, id, sub))
        return 0;
    struct touched *all = tx_room(tx, tx->touched, tx->touched_n, &tx->touched_cap, sizeof *all);
    if (!all)
        return -ENOMEM;
    tx->touched = all;
    all[tx->touched_n++] = (struct touched){.mailbox = id, .sub = sub};
    return 0;
}

int mailbox_write_times(struct cache_tx *tx)
{
    int err = 0;
    for (size_t i = 0; i < tx->touched_n && !err; i++) {
        err = set_times(tx, tx->touched[i].mailbox, tx->touched[i].sub, cache_tx_now(tx));
        /* The mailbox itself went in the same change. */
        if (err == -ENOENT)
            err = 0;
    }
    tx->touched_n = 0;
    return err;
}

int mailbox_set_mtime(cache_tx *tx, int64_t id, enum sub sub, int64_t mtime_ns)
{
    int err = set_times(tx, id, sub, mtime_ns);
    if (err)
        return err;
    struct touched *t = find_touched(tx, id, sub);
    if (t)
        *t = tx->touched[--tx->touched_n];
    cache_tx_event(tx,
                   &(struct cache_event){.kind = CACHE_ATTRIBUTES, .mailbox = id, .ino = ino_dir(id, sub)});
    return 0;
}

int mailbox_mtime(cache_rd *rd, int64_t id, enum sub sub, int64_t *ret)
{
    struct mailbox m;
    if (id == 0) {
        *ret = cache_meta_get(rd, ROOT_MTIME, 0);
        return 0;
    }
    int err = mailbox_get(rd, id, &m);
    if (!err)
        *ret = m.mtime_ns[sub];
    return err;
}

int mailbox_last_mtime(struct cache_rd *rd, int64_t *ret)
{
    static const char sql[] = "SELECT max(max(mtime_tmp, mtime_new, mtime_cur, mtime_box)) FROM mailbox";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    int err = statement_row(s);
    if (err)
        return err;
    int64_t last = column_int(s, 0), root = cache_meta_get(rd, ROOT_MTIME, 0);
    *ret = last > root ? last : root;
    return 0;
}

/* ---- writing ---- */

static void put_token(struct statement *s, const struct mailbox *m)
{
    put_int(s, m->uidvalidity);
    put_int(s, m->uidnext);
    put_int(s, (int64_t)m->modseq);
    put_int(s, m->exists);
    put_int(s, (int64_t)m->permanent);
    put_int(s, m->keywords_allowed);
    put_int(s, m->synced_at);
}

static void put_place(struct statement *s, const struct mailbox *m)
{
    put_int(s, m->parent);
    put_text(s, m->name);
    put_text(s, m->leaf);
    put_int(s, m->dirs);
    put_int(s, m->removed);
    put_int(s, m->attributes);
    if (m->on_server)
        put_text(s, m->remote);
    else
        put_null(s);
    put_int(s, m->delimiter);
    put_text(s, m->mailboxid);
}

int mailbox_put_token(cache_tx *tx, const struct mailbox *m)
{
    static const char sql[] = "UPDATE mailbox SET uidvalidity = ?, uidnext = ?, modseq = ?, exists_count = ?,"
                              " permanent = ?, keywords_allowed = ?, synced_at = ? WHERE id = ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_token(s, m);
    put_int(s, m->id);
    return statement_change(s);
}

static int insert_row(cache_tx *tx, struct mailbox *m)
{
    static const char sql[] =
        "INSERT INTO mailbox (parent, name, leaf, dirs, removed, attributes, remote, delimiter, mailboxid,"
        " uidvalidity, uidnext, modseq, exists_count, permanent, keywords_allowed, synced_at,"
        " mtime_tmp, mtime_new, mtime_cur, mtime_box)"
        " VALUES (?,?,?,?,?,?,?,?,?, ?,?,?,?,?,?,?, ?,?,?,?)";
    int64_t now = cache_tx_now(tx);
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_place(s, m);
    put_token(s, m);
    for (int sub = SUB_TMP; sub <= SUB_BOX; sub++)
        put_int(s, now);
    int err = statement_run(s);
    if (!err)
        m->id = sqlite3_last_insert_rowid(tx->rd.db);
    return err;
}

static int update_row(cache_tx *tx, const struct mailbox *m)
{
    static const char sql[] =
        "UPDATE mailbox SET parent = ?, name = ?, leaf = ?, dirs = ?, removed = ?, attributes = ?,"
        " remote = ?, delimiter = ?, mailboxid = ?, uidvalidity = ?, uidnext = ?, modseq = ?, exists_count = "
        "?,"
        " permanent = ?, keywords_allowed = ?, synced_at = ? WHERE id = ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_place(s, m);
    put_token(s, m);
    put_int(s, m->id);
    return statement_change(s);
}

static void entry_event(cache_tx *tx, enum cache_event_kind kind, const struct mailbox *m, uint64_t parent,
                        uint64_t ino, const char *name)
{
    struct cache_event e = {.kind = kind, .parent = parent, .ino = ino, .mailbox = m->id};
    snprintf(e.name, sizeof e.name, "%s", name);
    cache_tx_event(tx, &e);
}

/* Which of cur, new, tmp came or went. */
static int dirs_changed(cache_tx *tx, const struct mailbox *m, unsigned before, unsigned now)
{
    static const char *const name[] = {[SUB_TMP] = "tmp", [SUB_NEW] = "new", [SUB_CUR] = "cur"};
    if (before == now)
        return 0;
    for (int sub = SUB_TMP; sub <= SUB_CUR; sub++) {
        bool was = before & 1u << sub, is = now & 1u << sub;
        if (was != is)
            entry_event(tx, is ? CACHE_ENTRY_ADDED : CACHE_ENTRY_REMOVED, m, ino_dir(m->id, SUB_BOX),
                        ino_dir(m->id, (enum sub)sub), name[sub]);
    }
    return mailbox_touch(tx, m->id, SUB_BOX);
}

static int place_changed(cache_tx *tx, const struct mailbox *before, bool was, const struct mailbox *now,
                         bool is)
{
    uint64_t ino = ino_dir(now->id, SUB_BOX);
    if (was)
        entry_event(tx, CACHE_ENTRY_REMOVED, now, ino_dir(before->parent, SUB_BOX), ino, before->name);
    if (is)
        entry_event(tx, CACHE_ENTRY_ADDED, now, ino_dir(now->parent, SUB_BOX), ino, now->name);
    int err = 0;
    if (was)
        err = mailbox_touch(tx, before->parent, SUB_BOX);
    if (!err && is && !(was && before->parent == now->parent))
        err = mailbox_touch(tx, now->parent, SUB_BOX);
    return err;
}

static int announce_difference(cache_tx *tx, const struct mailbox *before, const struct mailbox *now)
{
    bool was = before->id && !before->removed, is = !now->removed;
    bool moved = was != is || before->parent != now->parent || strcmp(before->name, now->name) != 0;
    int err = moved && (was || is) ? place_changed(tx, before, was, now, is) : 0;
    if (!err)
        err = dirs_changed(tx, now, was ? before->dirs : 0, is ? now->dirs : 0);
    if (!err && tx->origin == CACHE_FROM_FILES && (moved || before->dirs != now->dirs))
        cache_tx_event(tx, &(struct cache_event){.kind = CACHE_WORK, .mailbox = now->id});
    return err;
}

static int is_not(void *arg, const struct mailbox *m)
{
    return m->id == *(const int64_t *)arg ? -EINVAL : 0;
}

/* A directory may not come to lie below itself. */
static int check_parent(cache_tx *tx, const struct mailbox *m)
{
    struct mailbox parent;
    if (m->parent == 0)
        return 0;
    int err = mailbox_get(&tx->rd, m->parent, &parent);
    return err ? err : climb(&tx->rd, &parent, is_not, (void *)&m->id);
}

int mailbox_put(cache_tx *tx, struct mailbox *m)
{
    struct mailbox before = {0}, next = *m;
    int err = m->id ? mailbox_get(&tx->rd, m->id, &before) : 0;
    if (!err && next.parent != before.parent)
        err = check_parent(tx, &next);
    if (err)
        return err;
    /* The server's own form of a name belongs to that name: who renames a cut one makes a new one. */
    if (tx->origin == CACHE_FROM_FILES && before.leaf[0] && strcmp(before.name, next.name) != 0)
        next.leaf[0] = '\0';
    err = next.id ? update_row(tx, &next) : insert_row(tx, &next);
    if (!err)
        err = announce_difference(tx, &before, &next);
    if (!err)
        err = mailbox_get(&tx->rd, next.id, m);
    return err;
}

static int check_empty(cache_tx *tx, int64_t id)
{
    static const char sql[] = "SELECT EXISTS (SELECT 1 FROM message WHERE mailbox = ?1 AND state IN (1, 2))"
                              " OR EXISTS (SELECT 1 FROM message WHERE mailbox = ?1 AND state = 0)"
                              " OR EXISTS (SELECT 1 FROM mailbox WHERE parent = ?1)";
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_int(s, id);
    int err = statement_row(s);
    return err ? err : column_int(s, 0) ? -ENOTEMPTY : 0;
}

int mailbox_forget(cache_tx *tx, int64_t id)
{
    static const char sql[] = "DELETE FROM mailbox WHERE id = ?";
    struct mailbox m;
    int err = mailbox_get(&tx->rd, id, &m);
    if (!err)
        err = check_empty(tx, id);
    if (!err && !m.removed) {
        m.removed = true;
        err = mailbox_put(tx, &m);
    }
    if (err)
        return err;
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_int(s, id);
    return statement_change(s);
}
