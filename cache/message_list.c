/* The message table by many rows: a directory's listing, and the lists that the engine works from. Each has
 * an index of its own. */
#include <errno.h>
#include <string.h>
#include "message_row.h"

/* Both halves come in the order of ids from their index, but for the few extra names; SQLite merges them as
 * it goes. */
int message_each(cache_rd *rd, int64_t mailbox, enum sub sub, int64_t after_id,
                 int (*each)(void *arg, const struct message *m), void *arg)
{
    static const char sql[] =
        "SELECT " MESSAGE_COLUMNS " FROM message"
        " WHERE mailbox = ?1 AND sub = ?2 AND id > ?3 AND state IN (1, 2)"
        " UNION ALL SELECT " MESSAGE_EXTRA_COLUMNS " FROM link JOIN message ON message.id = link.message"
        " WHERE link.mailbox = ?1 AND link.sub = ?2 AND message.id > ?3"
        " ORDER BY 1";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_int(s, mailbox);
    put_int(s, sub);
    put_int(s, after_id);
    return message_rows(s, each, arg);
}

/* The first name that does not begin with the prefix is the one with its last octet raised. (No name has the
 * octet 255.) */
int message_each_named(cache_rd *rd, int64_t mailbox, enum sub sub, const char *prefix,
                       int (*each)(void *arg, const struct message *m), void *arg)
{
    static const char sql[] = "SELECT " MESSAGE_COLUMNS " FROM message WHERE mailbox = ? AND sub = ?"
                              " AND name >= ? AND name < ? AND state IN (1, 2) ORDER BY name";
    char end[sizeof(((struct message *)0)->name) + 4];
    size_t length = strlen(prefix);
    if (length == 0 || length >= sizeof end)
        return 0;
    memcpy(end, prefix, length + 1);
    end[length - 1]++;
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_int(s, mailbox);
    put_int(s, sub);
    put_text(s, prefix);
    put_text(s, end);
    return message_rows(s, each, arg);
}

/* Mail that is known but not here yet counts as mail: a directory that looks empty may not be removed because
 * of that. */
bool message_any(cache_rd *rd, int64_t mailbox, bool mail_only)
{
    static const char sql_mail[] =
        "SELECT EXISTS (SELECT 1 FROM message WHERE mailbox = ?1 AND sub IN (1, 2) AND state IN (1, 2)"
        " AND scratch = 0) OR EXISTS (SELECT 1 FROM message WHERE mailbox = ?1 AND state = 0)";
    static const char sql_any[] =
        "SELECT EXISTS (SELECT 1 FROM message WHERE mailbox = ?1 AND state IN (1, 2))"
        " OR EXISTS (SELECT 1 FROM link WHERE mailbox = ?1)";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, mail_only ? sql_mail : sql_any);
    put_int(s, mailbox);
    return !statement_row(s) && column_int(s, 0);
}

int message_each_dirty(cache_rd *rd, int64_t mailbox, int (*each)(void *arg, const struct message *m),
                       void *arg)
{
    /* Left alone, SQLite would rather walk the whole table in order than sort the few that are dirty. */
    static const char sql_all[] =
        "SELECT " MESSAGE_COLUMNS " FROM message INDEXED BY message_dirty WHERE dirty = 1"
        " ORDER BY id";
    static const char sql_in[] = "SELECT " MESSAGE_COLUMNS " FROM message WHERE dirty = 1 AND mailbox = ?"
                                 " ORDER BY id";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, mailbox ? sql_in : sql_all);
    if (mailbox)
        put_int(s, mailbox);
    return message_rows(s, each, arg);
}

int message_each_wanted(cache_rd *rd, int64_t mailbox, size_t max,
                        int (*each)(void *arg, const struct message *m), void *arg)
{
    static const char sql_all[] = "SELECT " MESSAGE_COLUMNS " FROM message WHERE state = 0"
                                  " ORDER BY date_s DESC, id DESC LIMIT ?";
    static const char sql_in[] = "SELECT " MESSAGE_COLUMNS " FROM message WHERE state = 0 AND mailbox = ?"
                                 " ORDER BY date_s DESC, id DESC LIMIT ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, mailbox ? sql_in : sql_all);
    if (mailbox)
        put_int(s, mailbox);
    put_int(s, max > INT64_MAX ? INT64_MAX : (int64_t)max);
    return message_rows(s, each, arg);
}

int message_each_bare(cache_rd *rd, int64_t since_s, size_t max,
                      int (*each)(void *arg, const struct message *m), void *arg)
{
    static const char sql[] = "SELECT " MESSAGE_COLUMNS " FROM message INDEXED BY message_bare"
                              " WHERE state = 1 AND hash IS NULL AND date_s >= ?"
                              " ORDER BY date_s DESC, id DESC LIMIT ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_int(s, since_s);
    put_int(s, max > INT64_MAX ? INT64_MAX : (int64_t)max);
    return message_rows(s, each, arg);
}

int message_each_wanted_before(cache_rd *rd, int64_t before_s, size_t max,
                               int (*each)(void *arg, const struct message *m), void *arg)
{
    static const char sql[] = "SELECT " MESSAGE_COLUMNS " FROM message WHERE state = 0 AND date_s < ?"
                              " ORDER BY date_s, id LIMIT ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_int(s, before_s);
    put_int(s, max > INT64_MAX ? INT64_MAX : (int64_t)max);
    return message_rows(s, each, arg);
}

int message_each_unsettled(cache_rd *rd, int (*each)(void *arg, const struct message *m), void *arg)
{
    static const char sql[] = "SELECT " MESSAGE_COLUMNS " FROM message WHERE state = 2 AND sub IN (1, 2)"
                              " AND scratch = 0 ORDER BY id";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    return message_rows(s, each, arg);
}

/* What is not settled yet has no Message-ID known: it may be the one. An empty file is never sent, and nobody
 * waits for it. */
bool message_append_waits(cache_rd *rd, int64_t message_id, int64_t other_than)
{
    static const char sql[] =
        "SELECT EXISTS (SELECT 1 FROM message WHERE dirty = 1 AND state IN (1, 2) AND "
        "sub IN (1, 2) AND scratch = 0"
        " AND size > 0 AND id <> ?1 AND (?2 = 0 OR message_id = ?2 OR hash IS NULL)"
        " AND NOT EXISTS (SELECT 1 FROM held_message WHERE held_message.message = message.id)"
        " AND NOT EXISTS (SELECT 1 FROM base WHERE base.message = message.id))";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_int(s, other_than);
    put_int(s, message_id);
    return !statement_row(s) && column_int(s, 0);
}

int message_find_hash(cache_rd *rd, const uint8_t hash[32], struct message *ret)
{
    static const char sql[] = "SELECT " MESSAGE_COLUMNS " FROM message WHERE hash = ? AND state = 1"
                              " ORDER BY id LIMIT 1";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_blob(s, hash, 32);
    return message_row(s, ret);
}

int message_each_by_message_id(cache_rd *rd, int64_t message_id,
                               int (*each)(void *arg, const struct message *m), void *arg)
{
    /* The index is a partial one: SQLite must be told that the parameter is not 0. */
    static const char sql[] =
        "SELECT " MESSAGE_COLUMNS " FROM message WHERE message_id = ? AND message_id <> 0"
        " ORDER BY id";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_int(s, message_id);
    return message_rows(s, each, arg);
}

int message_each_gone(cache_rd *rd, int (*each)(void *arg, const struct message *m), void *arg)
{
    static const char sql[] = "SELECT " MESSAGE_COLUMNS " FROM message WHERE state = 3"
                              " ORDER BY gone_at DESC, id DESC";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    return message_rows(s, each, arg);
}
