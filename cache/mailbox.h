#pragma once
/*
 * Mailboxes and the directories above them: one row each, a tree by `parent`. Row 0 does not exist: it is the
 * root.
 *
 * Local: parent, name, dirs. Base: `remote`, the server's name when both sides last agreed (NULL: not on the
 * server yet), with its state. A local rename changes parent or name only; that the name built from them
 * differs from `remote` is what tells the merge.
 */
#include "cache.h"
#include "maildir.h"

#define MAILBOX_REMOTE_MAX 1024

enum mailbox_dirs {
    MAILBOX_TMP = 1 << SUB_TMP,
    MAILBOX_NEW = 1 << SUB_NEW,
    MAILBOX_CUR = 1 << SUB_CUR,
    MAILBOX_ALL_DIRS = 7
};

enum mailbox_attributes {
    MAILBOX_NOSELECT = 1,    /* a level of the hierarchy only: no cur, new, tmp (case 87) */
    MAILBOX_NOINFERIORS = 2, /* mkdir inside is EPERM (case 87) */
    MAILBOX_READ_ONLY = 4,   /* SELECT said READ-ONLY (case 92) */
    MAILBOX_TRASH = 8,
    MAILBOX_JUNK = 16,
    MAILBOX_SENT = 32,
    MAILBOX_DRAFTS = 64,
    MAILBOX_ARCHIVE = 128,
    MAILBOX_SUBSCRIBED = 256,
};

struct mailbox {
    int64_t id;
    int64_t parent; /* 0: in the root */
    char name[256]; /* path component; "INBOX" for the inbox, in both layouts */
    char leaf[256]; /* the server's octets for this level when `name` is a cut form of it, else "" */
    unsigned dirs;  /* which of cur, new, tmp are shown; 0: a directory that is no mailbox (yet) */
    bool removed;   /* gone locally, DELETE not confirmed yet */
    unsigned attributes;
    bool on_server;
    char remote[MAILBOX_REMOTE_MAX]; /* base name, wire form; "" when not on_server */
    char delimiter;                  /* of the server, 0 for none */
    char mailboxid[256];             /* MAILBOXID (RFC 8474 4), "" when the server tells none */
    /* The sync token: what was seen of the server's mailbox, and nothing later. 0: never seen. */
    uint32_t uidvalidity, uidnext;
    uint64_t modseq;
    uint32_t exists;
    flags_t permanent; /* flags that the server stores; all bits when `\*` */
    bool keywords_allowed;
    int64_t synced_at;   /* seconds, last complete scan; 0 never */
    int64_t mtime_ns[4]; /* by enum sub */
};

/* All return 0, or -ENOENT, -EIO, ... */
int mailbox_get(cache_rd *rd, int64_t id, struct mailbox *ret);
/* Those that are not removed only. */
int mailbox_find(cache_rd *rd, int64_t parent, const char *name, struct mailbox *ret);
int mailbox_find_remote(cache_rd *rd, const char *remote, struct mailbox *ret);
/* Calls each(arg, m) in the order of ids, from after_id (exclusive); a non-zero result ends it and is
 * returned. parent -1: all rows, removed ones too; else the children that are not removed. */
int mailbox_each(cache_rd *rd, int64_t parent, int64_t after_id,
                 int (*each)(void *arg, const struct mailbox *m), void *arg);
unsigned mailbox_children(cache_rd *rd, int64_t parent); /* how many subdirectories are shown below */

/* The server's name that the local place stands for: leaf names joined by the delimiter. -ENAMETOOLONG,
 * -EINVAL. `delimiter` for mailboxes that are not on the server yet. */
int mailbox_remote_name(cache_rd *rd, const struct mailbox *m, char delimiter, char ret[MAILBOX_REMOTE_MAX]);
/* "Archive/2024", for status, log and patterns. */
int mailbox_path(cache_rd *rd, const struct mailbox *m, char *ret, size_t size);

/* Inserts (id 0: sets m->id) or updates the row; adds the events for what became visible or invisible: the
 * directory's entry in its parent, and cur, new, tmp; moves the directories' mtimes on. -EEXIST when the
 * place is taken, -EINVAL when it would lie below itself. m->mtime_ns is not written: see below. A local
 * rename drops `leaf`, which belongs to the name. */
int mailbox_put(cache_tx *tx, struct mailbox *m);
/* The sync token only, uidvalidity to synced_at: no events. */
int mailbox_put_token(cache_tx *tx, const struct mailbox *m);
/* Removes the row with its base. Nothing may be below it and nothing in it but GONE rows, which then have
 * mailbox 0: -ENOTEMPTY. */
int mailbox_forget(cache_tx *tx, int64_t id);

/* A visible change happened in one of its directories: its time moves on at the end of the change. Also done
 * by message_put. */
int mailbox_touch(cache_tx *tx, int64_t id, enum sub sub);
/* -ENOENT; id 0 with SUB_BOX is the root, which has no row (0 when nothing was ever touched). */
int mailbox_mtime(cache_rd *rd, int64_t id, enum sub sub, int64_t *ret);
/* utimens on a directory. */
int mailbox_set_mtime(cache_tx *tx, int64_t id, enum sub sub, int64_t mtime_ns);

/* The letters of a mailbox's keywords (its dovecot-keywords table). _of_flags gives letters to those keywords
 * of flags that have none yet, up to 26. */
int mailbox_letters(cache_rd *rd, int64_t id, struct maildir_letters *ret);
int mailbox_letters_for(cache_tx *tx, int64_t id, flags_t flags, struct maildir_letters *ret);
/* Gives this letter, 0 is 'a', to the keyword with that bit; nothing to do (0) when either has its own
 * already. */
int mailbox_letter_lend(cache_tx *tx, int64_t id, int letter, unsigned bit);

/* Counts for status. */
struct mailbox_counts {
    uint64_t messages, unread;
    uint64_t waiting; /* local changes not on the server yet */
    uint64_t wanted;  /* bodies not here yet */
    uint64_t bare;    /* messages in view whose bodies come when they are opened */
    uint64_t wanted_bytes, failed;
    uint64_t
        held; /* messages that the brake holds, and asks for (case 75); a missing mailbox counts as one */
};
int mailbox_count(cache_rd *rd, int64_t id, struct mailbox_counts *ret); /* id 0: the whole account */
