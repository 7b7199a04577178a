/*
 * The message table: one row by id or name, and message_put, through which every change of a row goes.
 *
 * message_put compares the row with what is stored, and derives from the difference what others rely on:
 * events, the times of directories, ctime, whether the engine has to look (dirty), whether the name is a
 * scratch name. Callers read the row inside the same change, alter it, and put it back.
 */
#include "message_row.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "clock.h"
#include "held.h"
#include "mailbox.h"

#define NS ((int64_t)1000000000)
#define FRESH_TRIES 100

static void read_row(struct statement *s, struct message *m)
{
    int at = 0;
    m->id = column_int(s, at++);
    m->mailbox = column_int(s, at++);
    m->sub = (enum sub)column_int(s, at++);
    column_text(s, at++, m->name, sizeof m->name);
    m->state = (enum message_state)column_int(s, at++);
    m->scratch = column_int(s, at++);
    m->flags = (flags_t)column_int(s, at++);
    m->form = (enum message_form)column_int(s, at++);
    m->has_hash = column_blob(s, at++, m->hash, sizeof m->hash);
    m->size = column_int(s, at++);
    m->wire_size = column_int(s, at++);
    m->mtime_ns = column_int(s, at++);
    m->ctime_ns = column_int(s, at++);
    m->date_s = column_int(s, at++);
    m->zone_min = (int)column_int(s, at++);
    m->message_id = column_int(s, at++);
    m->links = (unsigned)column_int(s, at++);
    m->dirty = column_int(s, at++);
    m->after = column_int(s, at++);
    m->changed_ms = column_int(s, at++);
    m->gone_at = column_int(s, at++);
}

int message_row(struct statement *s, struct message *ret)
{
    int err = statement_row(s);
    if (!err)
        read_row(s, ret);
    return err;
}

int message_rows(struct statement *s, int (*each)(void *arg, const struct message *m), void *arg)
{
    int got;
    while ((got = statement_step(s)) > 0) {
        struct message m;
        read_row(s, &m);
        int stop = each(arg, &m);
        if (stop)
            return stop;
    }
    return got;
}

int message_get(cache_rd *rd, int64_t id, struct message *ret)
{
    static const char sql[] = "SELECT " MESSAGE_COLUMNS " FROM message WHERE id = ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_int(s, id);
    return message_row(s, ret);
}

/* One statement for both kinds of name: between two, a delivery could turn one into the other. */
int message_find(cache_rd *rd, int64_t mailbox, enum sub sub, const char *name, struct message *ret)
{
    static const char sql[] =
        "SELECT " MESSAGE_COLUMNS " FROM message"
        " WHERE mailbox = ?1 AND sub = ?2 AND name = ?3 AND state IN (1, 2)"
        " UNION ALL SELECT " MESSAGE_EXTRA_COLUMNS " FROM link JOIN message ON message.id = link.message"
        " WHERE link.mailbox = ?1 AND link.sub = ?2 AND link.name = ?3"
        " LIMIT 1";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_int(s, mailbox);
    put_int(s, sub);
    put_text(s, name);
    return message_row(s, ret);
}

int message_taken(cache_rd *rd, int64_t mailbox, enum sub sub, const char *name, int64_t except)
{
    struct message m;
    int err = message_find(rd, mailbox, sub, name, &m);
    if (err)
        return err == -ENOENT ? 0 : err;
    /* A row's own extra name counts as taken. */
    return m.id == except && m.links == 0 ? 0 : -EEXIST;
}

/* ---- names ---- */

static int64_t next_id(cache_tx *tx)
{
    static const char sql[] = "SELECT seq FROM sqlite_sequence WHERE name = 'message'";
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    int err = statement_row(s);
    return err ? err : column_int(s, 0) + 1;
}

static int64_t seconds_of(const struct message *m)
{
    return m->date_s > 0 ? m->date_s : clock_now_ns() / NS;
}

/* A base that nobody else has, with what follows the base in the name that was wished for. */
static int take_fresh_name(cache_tx *tx, struct message *m)
{
    char base[MAILDIR_NAME_MAX + 1], info[MAILDIR_NAME_MAX + 1], name[2 * sizeof base + 16];
    struct maildir_name parsed;
    maildir_parse(m->name, NULL, &parsed);
    snprintf(info, sizeof info, "%s", m->name + parsed.base_length);
    int err = maildir_fresh(seconds_of(m), m->id, cache_host(tx->rd.cache), base);
    for (int i = 0; !err && i < FRESH_TRIES; i++) {
        if (i == 0)
            snprintf(name, sizeof name, "%s%s", base, info);
        else
            snprintf(name, sizeof name, "%s_%d%s", base, i, info);
        if (strlen(name) > MAILDIR_NAME_MAX)
            return -ENAMETOOLONG;
        err = message_taken(&tx->rd, m->mailbox, m->sub, name, m->id);
        if (!err) {
            memcpy(m->name, name, strlen(name) + 1);
            return 0;
        }
        if (err == -EEXIST)
            err = 0;
    }
    return err ? err : -EEXIST;
}

static bool same_place(const struct message *a, const struct message *b)
{
    return a->mailbox == b->mailbox && a->sub == b->sub && strcmp(a->name, b->name) == 0;
}

static int settle_name(cache_tx *tx, const struct message *before, struct message *next)
{
    if (!message_shown(next) || (message_shown(before) && same_place(before, next)))
        return 0;
    int err = message_taken(&tx->rd, next->mailbox, next->sub, next->name, next->id);
    if (err == -EEXIST && tx->origin == CACHE_FROM_SERVER)
        err = take_fresh_name(tx, next);
    return err;
}

/* ---- what follows from a difference ---- */

static bool in_mail_place(const struct message *m)
{
    return m->id && (m->sub == SUB_NEW || m->sub == SUB_CUR) && !m->scratch;
}

static bool same_content(const struct message *a, const struct message *b)
{
    return a->has_hash == b->has_hash && (!a->has_hash || memcmp(a->hash, b->hash, sizeof a->hash) == 0);
}

/* Did a client change what the server has, or should have? What was never mail and is none now is nobody's
 * business. */
static bool concerns_engine(const struct message *before, const struct message *next)
{
    bool was = in_mail_place(before), is = in_mail_place(next);
    if (!was && !is)
        return false;
    return was != is || before->mailbox != next->mailbox || before->flags != next->flags ||
           before->state != next->state || !same_content(before, next);
}

/* Reads differ from before. Settling a file that was written here changes nothing for its readers, so states
 * do not count. */
static bool attributes_differ(const struct message *before, const struct message *next)
{
    if (before->size != next->size || before->mtime_ns != next->mtime_ns || before->links != next->links)
        return true;
    return before->state == MESSAGE_PRESENT && next->state == MESSAGE_PRESENT &&
           (before->form != next->form || !same_content(before, next));
}

static bool visibly_differ(const struct message *before, const struct message *next)
{
    bool was = message_shown(before), is = message_shown(next);
    if (!was || !is)
        return was != is;
    return !same_place(before, next) || attributes_differ(before, next);
}

/* Fills in the fields that are message_put's own. Does the engine have to look? */
static bool derive(cache_tx *tx, const struct message *before, struct message *next)
{
    int64_t now_ns = clock_now_ns();
    next->scratch = next->sub != SUB_TMP && maildir_is_scratch(next->name);
    next->links = before->links;
    if (!next->mtime_ns)
        next->mtime_ns = next->date_s > 0 ? next->date_s * NS : now_ns;
    if (next->state != MESSAGE_GONE)
        next->gone_at = 0;
    else if (!next->gone_at)
        next->gone_at = now_ns / NS;
    next->ctime_ns = !before->id || visibly_differ(before, next) ? cache_tx_now(tx) : before->ctime_ns;
    if (tx->origin != CACHE_FROM_FILES)
        return false;
    next->changed_ms = now_ns / 1000000;
    bool concerns = concerns_engine(before, next);
    next->dirty |= concerns;
    return concerns;
}

int message_entry(cache_tx *tx, enum cache_event_kind kind, int64_t mailbox, enum sub sub, const char *name,
                  int64_t id)
{
    struct cache_event e = {
        .kind = kind, .parent = ino_dir(mailbox, sub), .ino = (uint64_t)id, .mailbox = mailbox};
    snprintf(e.name, sizeof e.name, "%s", name);
    cache_tx_event(tx, &e);
    return mailbox_touch(tx, mailbox, sub);
}

void message_attributes(cache_tx *tx, int64_t mailbox, int64_t id)
{
    cache_tx_event(tx,
                   &(struct cache_event){.kind = CACHE_ATTRIBUTES, .ino = (uint64_t)id, .mailbox = mailbox});
}

static int announce_difference(cache_tx *tx, const struct message *before, const struct message *next)
{
    bool was = message_shown(before), is = message_shown(next);
    bool moved = was != is || !same_place(before, next);
    int err = 0;
    if (was && moved)
        err = message_entry(tx, CACHE_ENTRY_REMOVED, before->mailbox, before->sub, before->name, next->id);
    if (!err && is && moved)
        err = message_entry(tx, CACHE_ENTRY_ADDED, next->mailbox, next->sub, next->name, next->id);
    if (!err && was && !is && before->links)
        err = link_drop_all(tx, next->id);
    if (was && is && attributes_differ(before, next))
        message_attributes(tx, next->mailbox, next->id);
    return err;
}

/* ---- writing ---- */

/* The columns that no index but message_name and message_dirty knows of: what renames and flags change. */
static void put_light(struct statement *s, const struct message *m)
{
    put_text(s, m->name);
    put_int(s, m->scratch);
    put_int(s, (int64_t)m->flags);
    put_int(s, m->form);
    put_int(s, m->size);
    put_int(s, m->wire_size);
    put_int(s, m->mtime_ns);
    put_int(s, m->ctime_ns);
    put_int(s, m->zone_min);
    put_int(s, m->links);
    put_int(s, m->dirty);
    put_int(s, m->after);
    put_int(s, m->changed_ms);
}

static void put_place(struct statement *s, const struct message *m)
{
    put_int_or_null(s, m->mailbox);
    put_int(s, m->sub);
}

static void put_state(struct statement *s, const struct message *m)
{
    put_int(s, m->state);
    put_int(s, m->gone_at);
}

static void put_content(struct statement *s, const struct message *m)
{
    if (m->has_hash)
        put_blob(s, m->hash, sizeof m->hash);
    else
        put_null(s);
    put_int(s, m->date_s);
    put_int(s, m->message_id);
}

static int insert_row(cache_tx *tx, const struct message *m)
{
    static const char sql[] =
        "INSERT INTO message (name, scratch, flags, form, size, wire_size, mtime_ns, ctime_ns,"
        " zone_min, links, dirty, after, changed_ms,"
        " mailbox, sub, state, gone_at, hash, date_s, message_id, id)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?, ?,?,?,?,?,?,?, ?)";
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_light(s, m);
    put_place(s, m);
    put_state(s, m);
    put_content(s, m);
    put_int(s, m->id);
    return statement_run(s);
}

/* SQLite writes every index that has a column in the SET list, whether its value differs or not: a flag would
 * cost them all, and a message that is read, moved or removed those by content, where each is in another
 * page. */
enum extent { EXTENT_LIGHT, EXTENT_PLACE, EXTENT_STATE, EXTENT_ALL };

static enum extent extent_of(const struct message *a, const struct message *b)
{
    if (!same_content(a, b) || a->date_s != b->date_s || a->message_id != b->message_id)
        return EXTENT_ALL;
    if (a->state != b->state || a->gone_at != b->gone_at)
        return EXTENT_STATE;
    return a->mailbox != b->mailbox || a->sub != b->sub ? EXTENT_PLACE : EXTENT_LIGHT;
}

/* What is held back is this mail in this place: more of it than its flags has changed otherwise. */
static bool same_held(const struct message *a, const struct message *b)
{
    return a->mailbox == b->mailbox && a->state == b->state && same_content(a, b);
}

static int update_row(cache_tx *tx, const struct message *before, const struct message *m)
{
#define SET_LIGHT                                                                                            \
    "UPDATE message SET name = ?, scratch = ?, flags = ?, form = ?, size = ?, wire_size = ?, mtime_ns = ?,"  \
    " ctime_ns = ?, zone_min = ?, links = ?, dirty = ?, after = ?, changed_ms = ?"
#define SET_PLACE SET_LIGHT ", mailbox = ?, sub = ?"
#define SET_STATE SET_PLACE ", state = ?, gone_at = ?"
    static const char sql[][sizeof SET_STATE + 64] = {
        [EXTENT_LIGHT] = SET_LIGHT " WHERE id = ?",
        [EXTENT_PLACE] = SET_PLACE " WHERE id = ?",
        [EXTENT_STATE] = SET_STATE " WHERE id = ?",
        [EXTENT_ALL] = SET_STATE ", hash = ?, date_s = ?, message_id = ? WHERE id = ?",
    };
#undef SET_LIGHT
#undef SET_PLACE
#undef SET_STATE
    enum extent extent = extent_of(before, m);
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql[extent]);
    put_light(s, m);
    if (extent >= EXTENT_PLACE)
        put_place(s, m);
    if (extent >= EXTENT_STATE)
        put_state(s, m);
    if (extent == EXTENT_ALL)
        put_content(s, m);
    put_int(s, m->id);
    return statement_change(s);
}

/* before: the stored row, or for a new one an empty row that is not shown, while m has its id. */
static int put_row(cache_tx *tx, const struct message *before, struct message *m)
{
    struct message next = *m;
    int err = settle_name(tx, before, &next);
    if (err)
        return err;
    bool concerns_the_engine = derive(tx, before, &next);
    err = before->id ? update_row(tx, before, &next) : insert_row(tx, &next);
    if (!err && before->id && !same_held(before, &next))
        err = held_release(tx, next.id);
    if (!err)
        err = announce_difference(tx, before, &next);
    if (err)
        return err;
    if (concerns_the_engine)
        cache_tx_event(
            tx, &(struct cache_event){.kind = CACHE_WORK, .mailbox = next.mailbox, .ino = (uint64_t)next.id});
    if (!message_shown(&next))
        next.links = 0;
    *m = next;
    return 0;
}

static int put_new(cache_tx *tx, int64_t id, struct message *m)
{
    const struct message nothing = {.state = MESSAGE_GONE};
    struct message next = *m;
    next.id = id;
    int err = put_row(tx, &nothing, &next);
    if (!err)
        *m = next;
    return err;
}

int message_put(cache_tx *tx, struct message *m)
{
    struct message before;
    if (m->id) {
        int err = message_get(&tx->rd, m->id, &before);
        return err ? err : put_row(tx, &before, m);
    }
    int64_t id = next_id(tx);
    return id < 0 ? (int)id : put_new(tx, id, m);
}

int message_set_flags(cache_tx *tx, struct message *m, flags_t flags)
{
    struct message next = *m;
    next.flags = flags;
    if (m->sub == SUB_NEW && flags & FLAG_SEEN)
        next.sub = SUB_CUR;
    if (m->sub != SUB_TMP && !m->scratch) {
        struct maildir_letters letters;
        int err = mailbox_letters_for(tx, m->mailbox, flags, &letters);
        if (!err)
            err = maildir_rename(m->name, flags, &letters, next.sub == SUB_CUR, next.name);
        /* A name with no room for one more letter stays as it is: the row knows the flags. */
        if (err == -ENAMETOOLONG)
            memcpy(next.name, m->name, sizeof next.name);
        else if (err)
            return err;
    }
    int err = message_put(tx, &next);
    if (!err)
        *m = next;
    return err;
}

int message_clean(cache_tx *tx, int64_t id)
{
    static const char sql[] = "UPDATE message SET dirty = 0 WHERE id = ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_int(s, id);
    return statement_change(s);
}

int message_forget(cache_tx *tx, int64_t id)
{
    static const char sql[] = "DELETE FROM message WHERE id = ?";
    struct message m;
    int err = message_get(&tx->rd, id, &m);
    if (err)
        return err;
    struct message nothing = {.state = MESSAGE_GONE, .id = id};
    err = announce_difference(tx, &m, &nothing);
    if (err)
        return err;
    CLEANUP(statement_end) struct statement *s = statement_begin(&tx->rd, sql);
    put_int(s, id);
    err = statement_change(s);
    if (!err)
        tx_remove_work(tx, id);
    return err;
}

int message_new(cache_tx *tx, struct message *m)
{
    bool keywords = m->flags & ~FLAGS_SYSTEM;
    struct maildir_letters letters;
    char base[MAILDIR_NAME_MAX + 1];
    int64_t id = next_id(tx);
    if (id < 0)
        return (int)id;
    m->sub = m->flags & FLAG_SEEN ? SUB_CUR : SUB_NEW;
    int err = maildir_fresh(seconds_of(m), id, cache_host(tx->rd.cache), base);
    if (!err && keywords)
        err = mailbox_letters_for(tx, m->mailbox, m->flags, &letters);
    if (!err)
        err = maildir_rename(base, m->flags, keywords ? &letters : NULL, m->sub == SUB_CUR, m->name);
    return err ? err : put_new(tx, id, m);
}
