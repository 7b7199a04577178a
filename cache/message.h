#pragma once
/*
 * Messages, and all regular files in cur, new and tmp: one row each. The row id is the inode number, never
 * reused.
 *
 * Identity is the row; the name is whatever the last client made of it; content is the SHA-256 of the wire
 * form; an address at the server is in struct base. A row is mail when it is in cur or new, its name is not a
 * scratch name, and it has content.
 */
#include "cache.h"
#include "maildir.h"

enum message_state {
    MESSAGE_WANTED = 0,  /* the server has it; the body is not here; not shown */
    MESSAGE_PRESENT = 1, /* shown; the body is in the store by its hash, or is fetched when it is opened:
                          * one that was evicted, or has never been here (message_is_bare) */
    MESSAGE_WRITING = 2, /* content in work/<id>: made or changed here and not settled yet; shown */
    MESSAGE_GONE = 3, /* removed here; kept until the server knows and keep_deleted has run out; not shown */
};

enum message_form {
    MESSAGE_LF = 0,   /* bodies/xx/<hash>: LF form, exact */
    MESSAGE_BOTH = 1, /* bodies/xx/<hash>: LF form, not exact; <hash>.w: wire form */
    MESSAGE_WIRE = 2, /* <hash>.w only: served as on the wire */
    MESSAGE_OWN =
        3, /* <hash>.o: a file written here that is neither (it has CRLF); served as it was written */
};

struct message {
    int64_t id;
    int64_t mailbox;
    enum sub sub;
    char name[256];
    enum message_state state;
    bool scratch; /* the name is a scratch name: kept from the server (name kept in step by message_put) */
    flags_t flags;
    enum message_form form;
    bool has_hash;
    uint8_t hash[32];  /* of the wire form */
    int64_t size;      /* of the served form, octets; of what has never been here the server's RFC822.SIZE */
    int64_t wire_size; /* of the wire form; likewise */
    int64_t mtime_ns, ctime_ns;
    int64_t date_s;     /* INTERNALDATE, seconds; 0 unknown */
    int zone_min;       /* its zone, minutes east */
    int64_t message_id; /* header_scan_message_id, 0 none or unknown */
    unsigned links;     /* extra names (see message_link), 0 as a rule */
    bool dirty;         /* local state may differ from base: for the engine to look at */
    int64_t after;      /* GONE rows: the server's copy may go only after this row is on the server; 0 none */
    int64_t changed_ms; /* CLOCK_REALTIME milliseconds of the last local change: half a second of quiet before
                           an append */
    int64_t gone_at;    /* seconds; when it was removed, 0 */
};

/* Shown, but only the server has the text (bodies = on-demand): there is nothing to compare, to copy or to
 * send. */
static inline bool message_is_bare(const struct message *m)
{
    return m->state == MESSAGE_PRESENT && !m->has_hash;
}

static inline void message_set_bare(struct message *m)
{
    m->state = MESSAGE_PRESENT;
    if (m->size < 1)
        m->size = 1; /* as if it were mail, whatever the server says */
}

int message_get(cache_rd *rd, int64_t id, struct message *ret); /* any state; -ENOENT */
/* By name, shown ones only (PRESENT, WRITING); extra names too. */
int message_find(cache_rd *rd, int64_t mailbox, enum sub sub, const char *name, struct message *ret);
/* The shown entries of a directory in the order of row ids, after `after_id` (0 at first); extra names come
 * with the row's id and their own name. Non-zero from each ends it and is returned. A rename while listing
 * shows each message exactly once, for the id does not change. */
int message_each(cache_rd *rd, int64_t mailbox, enum sub sub, int64_t after_id,
                 int (*each)(void *arg, const struct message *m), void *arg);
/* Those shown whose names begin with that, in the order of names; not the extra names. */
int message_each_named(cache_rd *rd, int64_t mailbox, enum sub sub, const char *prefix,
                       int (*each)(void *arg, const struct message *m), void *arg);
/* Is anything shown in its cur, new and tmp? With mail_only, is there mail: in cur or new, no scratch files,
 * and also what is WANTED, so that a mailbox whose mail has not arrived yet does not pass for empty. */
bool message_any(cache_rd *rd, int64_t mailbox, bool mail_only);

/* Inserts (id 0: sets m->id) or updates the row. Adds the events and moves the directories' mtimes for what
 * is visible of the difference; sets ctime when that is anything; sets dirty when the origin is
 * CACHE_FROM_FILES and mailbox, flags, state or hash differ, or it became or ceased to be mail by its place
 * and name (what was never mail is not dirty). links, scratch and ctime are its own: what m says of them is
 * not read; gone_at, mtime_ns are filled in when 0. A row that is shown no more loses its extra names.
 * -EEXIST: another shown row has that name in that place. A name that would clash while origin is
 * CACHE_FROM_SERVER gets a fresh base. */
int message_put(cache_tx *tx, struct message *m);
/* Sets flags and renames accordingly (letters of keywords are given out as needed). What is in new
 * and got \Seen goes to cur: what is in new is unread to those who look there. A name that has no room for
 * the letters stays as it is. */
int message_set_flags(cache_tx *tx, struct message *m, flags_t flags);
/* The engine has looked: local state and base agree. */
int message_clean(cache_tx *tx, int64_t id);
/* Removes the row for good, with its base, pending and failure rows, and after the commit its work file. Not
 * its body: see body_collect. */
int message_forget(cache_tx *tx, int64_t id);

/* A fresh row for mail from the server: in new or cur by its flags, with a fresh name. All else is the
 * caller's: WANTED, as a rule, with the mailbox, and what the server tells. */
int message_new(cache_tx *tx, struct message *m);

/* Extra names of a row, in tmp only (link() from tmp into new or cur: the row moves, tmp keeps an extra
 * name). */
int message_link(cache_tx *tx, int64_t id, int64_t mailbox, enum sub sub, const char *name);
/* -ENOENT when it is no extra name. */
int message_unlink_extra(cache_tx *tx, int64_t mailbox, enum sub sub, const char *name);
/* One extra name of a row, to become its own: -ENOENT. */
int message_extra_of(cache_rd *rd, int64_t id, int64_t *ret_mailbox, enum sub *ret_sub, char ret_name[256]);

/* Rows with dirty set, by mailbox (0: all), in order of id. */
int message_each_dirty(cache_rd *rd, int64_t mailbox, int (*each)(void *arg, const struct message *m),
                       void *arg);
/* WANTED rows, newest first (by date, then id), at most `max`; mailbox 0: all. */
int message_each_wanted(cache_rd *rd, int64_t mailbox, size_t max,
                        int (*each)(void *arg, const struct message *m), void *arg);
/* WANTED rows whose date is before that, oldest first. */
int message_each_wanted_before(cache_rd *rd, int64_t before_s, size_t max,
                               int (*each)(void *arg, const struct message *m), void *arg);
/* Rows that are bare (message_is_bare) and no older than that, newest first. */
int message_each_bare(cache_rd *rd, int64_t since_s, size_t max,
                      int (*each)(void *arg, const struct message *m), void *arg);
/* Rows WRITING in cur or new, not scratch. */
int message_each_unsettled(cache_rd *rd, int (*each)(void *arg, const struct message *m), void *arg);
/* Is mail with this Message-ID hash (0: any) waiting to be appended anywhere, other than this row? (cases 12,
 * 50) What is still being written has no known Message-ID and may be the one; empty files are not waited for.
 */
bool message_append_waits(cache_rd *rd, int64_t message_id, int64_t other_than);
/* Some PRESENT row with this content, for pairing and for finding bodies: -ENOENT. */
int message_find_hash(cache_rd *rd, const uint8_t hash[32], struct message *ret);
/* All rows, in any state, whose Message-ID has this hash (not 0), in order of id. */
int message_each_by_message_id(cache_rd *rd, int64_t message_id,
                               int (*each)(void *arg, const struct message *m), void *arg);
/* GONE rows, latest first. */
int message_each_gone(cache_rd *rd, int (*each)(void *arg, const struct message *m), void *arg);
