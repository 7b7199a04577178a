/*
 * The database's schema, as the steps that lead to it: step n brings version n to version n + 1, in one
 * transaction. What was released is never edited; a change is a new step at the end, and test_schema.c opens
 * a database of each version.
 *
 * Row ids of messages and mailboxes are inode numbers and are never used twice, hence AUTOINCREMENT. Flags
 * are flags_t as a signed 64-bit number. Names of files are the octets that a client gave, which need not be
 * UTF-8; SQLite compares them as octets.
 *
 * message.state, .sub and .form are the enums of message.h and ino.h. A row is *shown* when its state is
 * PRESENT (1) or WRITING (2): the condition must stand in a query exactly as in an index here for the index
 * to serve it.
 */
#include "private.h"
#include <errno.h>
#include <stdio.h>

static const char *const step[] = {
    /* 0 -> 1 */
    "CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"

    "CREATE TABLE keyword (bit INTEGER PRIMARY KEY NOT NULL, name TEXT NOT NULL UNIQUE) STRICT;"

    "CREATE TABLE mailbox ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " parent INTEGER NOT NULL," /* 0 is the root, which has no row */
    " name TEXT NOT NULL,"
    " leaf TEXT NOT NULL DEFAULT '',"
    " dirs INTEGER NOT NULL DEFAULT 0,"
    " removed INTEGER NOT NULL DEFAULT 0,"
    " attributes INTEGER NOT NULL DEFAULT 0,"
    " remote TEXT," /* NULL: not on the server */
    " delimiter INTEGER NOT NULL DEFAULT 0,"
    " uidvalidity INTEGER NOT NULL DEFAULT 0,"
    " uidnext INTEGER NOT NULL DEFAULT 0,"
    " modseq INTEGER NOT NULL DEFAULT 0,"
    " exists_count INTEGER NOT NULL DEFAULT 0,"
    " permanent INTEGER NOT NULL DEFAULT 0,"
    " keywords_allowed INTEGER NOT NULL DEFAULT 0,"
    " synced_at INTEGER NOT NULL DEFAULT 0,"
    " mtime_tmp INTEGER NOT NULL, mtime_new INTEGER NOT NULL, mtime_cur INTEGER NOT NULL,"
    " mtime_box INTEGER NOT NULL) STRICT;"
    "CREATE UNIQUE INDEX mailbox_place ON mailbox (parent, name) WHERE removed = 0;"
    "CREATE INDEX mailbox_remote ON mailbox (remote, removed) WHERE remote IS NOT NULL;"

    "CREATE TABLE letter ("
    " mailbox INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,"
    " letter INTEGER NOT NULL," /* 0 is 'a' */
    " bit INTEGER NOT NULL,"
    " PRIMARY KEY (mailbox, letter), UNIQUE (mailbox, bit)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE message ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    /* NULL only for what was removed, when its mailbox has gone as well. */
    " mailbox INTEGER REFERENCES mailbox (id) ON DELETE SET NULL,"
    " sub INTEGER NOT NULL,"
    " name TEXT NOT NULL,"
    " state INTEGER NOT NULL,"
    " scratch INTEGER NOT NULL,"
    " flags INTEGER NOT NULL,"
    " form INTEGER NOT NULL,"
    " hash BLOB,"
    " size INTEGER NOT NULL,"
    " wire_size INTEGER NOT NULL,"
    " mtime_ns INTEGER NOT NULL,"
    " ctime_ns INTEGER NOT NULL,"
    " date_s INTEGER NOT NULL,"
    " zone_min INTEGER NOT NULL,"
    " message_id INTEGER NOT NULL,"
    " links INTEGER NOT NULL,"
    " dirty INTEGER NOT NULL,"
    " after INTEGER NOT NULL,"
    " changed_ms INTEGER NOT NULL,"
    " gone_at INTEGER NOT NULL,"
    " CHECK (state = 3 OR mailbox IS NOT NULL)) STRICT;"
    "CREATE UNIQUE INDEX message_name ON message (mailbox, sub, name) WHERE state IN (1, 2);"
    "CREATE INDEX message_list ON message (mailbox, sub, id) WHERE state IN (1, 2);"
    "CREATE INDEX message_dirty ON message (mailbox, id) WHERE dirty = 1;"
    "CREATE INDEX message_wanted ON message (date_s, id) WHERE state = 0;"
    "CREATE INDEX message_wanted_in ON message (mailbox, date_s, id) WHERE state = 0;"
    "CREATE INDEX message_writing ON message (id) WHERE state = 2;"
    "CREATE INDEX message_gone ON message (gone_at, id) WHERE state = 3;"
    "CREATE INDEX message_hash ON message (hash) WHERE hash IS NOT NULL;"
    "CREATE INDEX message_message_id ON message (message_id) WHERE message_id <> 0;"
    "INSERT INTO sqlite_sequence (name, seq) VALUES ('message', 16);"

    /* Extra names of a message that is being delivered with link() and unlink(). */
    "CREATE TABLE link ("
    " mailbox INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,"
    " sub INTEGER NOT NULL,"
    " name TEXT NOT NULL,"
    " message INTEGER NOT NULL REFERENCES message (id) ON DELETE CASCADE,"
    " PRIMARY KEY (mailbox, sub, name)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX link_message ON link (message);"

    "CREATE TABLE base ("
    " mailbox INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,"
    " uid INTEGER NOT NULL,"
    " message INTEGER NOT NULL UNIQUE REFERENCES message (id) ON DELETE CASCADE,"
    " flags INTEGER NOT NULL,"
    " PRIMARY KEY (mailbox, uid)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE pending ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " kind INTEGER NOT NULL,"
    " message INTEGER NOT NULL UNIQUE REFERENCES message (id) ON DELETE CASCADE,"
    " mailbox INTEGER NOT NULL,"
    " uidvalidity INTEGER NOT NULL,"
    " uidnext INTEGER NOT NULL,"
    " source INTEGER NOT NULL,"
    " source_uid INTEGER NOT NULL,"
    " wire_size INTEGER NOT NULL,"
    " hash BLOB NOT NULL,"
    " message_id INTEGER NOT NULL,"
    " date_s INTEGER NOT NULL,"
    " flags INTEGER NOT NULL) STRICT;"
    "CREATE INDEX pending_mailbox ON pending (mailbox, id);"

    "CREATE TABLE failure ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " message INTEGER REFERENCES message (id) ON DELETE CASCADE," /* NULL: the mailbox itself */
    " mailbox INTEGER REFERENCES mailbox (id) ON DELETE CASCADE,"
    " at_s INTEGER NOT NULL,"
    " retry_s INTEGER NOT NULL,"
    " attempts INTEGER NOT NULL,"
    " what TEXT NOT NULL,"
    " why TEXT NOT NULL) STRICT;"
    "CREATE UNIQUE INDEX failure_message ON failure (message) WHERE message IS NOT NULL;"
    "CREATE UNIQUE INDEX failure_mailbox ON failure (mailbox) WHERE message IS NULL;",

    /* 1 -> 2: what the brake holds back (case 75) */
    "CREATE TABLE held ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " mailbox INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,"
    " side INTEGER NOT NULL,"  /* where the removal would be carried out: 0 here, 1 on the server */
    " whole INTEGER NOT NULL," /* the mailbox itself, and not some of its messages */
    " state INTEGER NOT NULL,"
    " at_s INTEGER NOT NULL) STRICT;"
    "CREATE INDEX held_mailbox ON held (mailbox);"
    "CREATE TABLE held_message ("
    " message INTEGER PRIMARY KEY NOT NULL REFERENCES message (id) ON DELETE CASCADE,"
    " held INTEGER NOT NULL REFERENCES held (id) ON DELETE CASCADE) STRICT, WITHOUT ROWID;"
    "CREATE INDEX held_message_held ON held_message (held);",

    /* 2 -> 3: what the server said of an announced operation (case 63) */
    "ALTER TABLE pending ADD COLUMN accepted INTEGER NOT NULL DEFAULT 0;",

    /* 3 -> 4: whose copy on the server has left, and may turn up elsewhere (cases 11, 42, 44) */
    "CREATE TABLE orphan ("
    " message INTEGER PRIMARY KEY NOT NULL REFERENCES message (id) ON DELETE CASCADE"
    ") STRICT;",

    /* 4 -> 5: the server's name for a mailbox that no rename changes (cases 71, 85) */
    "ALTER TABLE mailbox ADD COLUMN mailboxid TEXT NOT NULL DEFAULT '';",

    /* 5 -> 6: messages that are shown before their bodies come (bodies = on-demand) */
    "CREATE INDEX message_bare ON message (date_s, id) WHERE state = 1 AND hash IS NULL;",

    /* 6 -> 7: how many messages both sides agree on (case 74), without counting them. What REPLACE removes is
     * counted too, for triggers are recursive (statement.c). */
    "ALTER TABLE mailbox ADD COLUMN based INTEGER NOT NULL DEFAULT 0;"
    "UPDATE mailbox SET based = (SELECT count(*) FROM base WHERE base.mailbox = mailbox.id);"
    "CREATE TRIGGER base_added AFTER INSERT ON base BEGIN"
    " UPDATE mailbox SET based = based + 1 WHERE id = NEW.mailbox; END;"
    "CREATE TRIGGER base_gone AFTER DELETE ON base BEGIN"
    " UPDATE mailbox SET based = based - 1 WHERE id = OLD.mailbox; END;",
};
_Static_assert(sizeof step / sizeof step[0] == SCHEMA_VERSION, "a step for each version");

int schema_version(struct cache_rd *rd, int *ret)
{
    static const char sql[] = "PRAGMA user_version";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    int err = statement_row(s);
    if (err)
        return err;
    *ret = (int)column_int(s, 0);
    return 0;
}

static int take_step(struct cache_rd *rd, int from)
{
    char stamp[64];
    snprintf(stamp, sizeof stamp, "PRAGMA user_version = %d", from + 1);
    int err = connection_run(rd, "BEGIN IMMEDIATE");
    if (err)
        return err;
    err = connection_run(rd, step[from]);
    if (!err)
        err = connection_run(rd, stamp);
    if (!err)
        err = connection_run(rd, "COMMIT");
    if (err)
        connection_run(rd, "ROLLBACK");
    return err;
}

int schema_migrate(struct cache_rd *rd, int to)
{
    int version;
    int err = schema_version(rd, &version);
    if (err)
        return err;
    if (version > to || version < 0)
        return -EPROTO;
    while (!err && version < to)
        err = take_step(rd, version++);
    return err;
}
