#pragma once
/*
 * What file operations in cur, new and tmp mean for mail: functions over a change to the cache, which know no
 * FUSE.
 *
 * Each runs inside cache_write(..., CACHE_FROM_FILES, ...). All return 0 or a negative errno for the client;
 * a negative result rolls the whole change back. Names are stored exactly as the client gave them.
 */
#include "message.h"

struct mail_place {
    int64_t mailbox;
    enum sub sub; /* SUB_TMP, SUB_NEW or SUB_CUR */
    const char *name;
};

/* What remains of a row that has lost its last name. The row itself is GONE and not shown any more; the rest
 * is done when no file descriptor shows its content any longer: at once, or at the last close. */
enum mail_fate {
    MAIL_FATE_NONE,   /* nothing to do: kept, restorable */
    MAIL_FATE_FORGET, /* nobody needs the row: message_forget */
    MAIL_FATE_DROP,   /* the row stays for its earlier content; what was written to it since goes: work_remove
                       */
};
struct mail_left {
    int64_t id; /* 0: none */
    enum mail_fate fate;
};

/* A new, empty file: WRITING. -EEXIST, -ENOENT (no such mailbox), -EACCES (read-only one), -ENAMETOOLONG.
 * When the name is that of a message whose backup (NAME~) stands beside it, the new file replaces that one
 * (case 12). */
int mail_create(cache_tx *tx, const struct mail_place *at, struct message *ret);

/* Removes one name. A message becomes GONE; what never was a message is left over for forgetting. */
int mail_unlink(cache_tx *tx, const struct mail_place *at, struct mail_left *ret_left);

/*
 * Moves one name within, into or out of cur, new and tmp. Within a mailbox the difference of the names is a
 * change of flags; across mailboxes it is a move; out of tmp it is a delivery; into tmp the file is detached
 * from its message, which is removed. Onto a message: that one is replaced (case 12). -EEXIST when noreplace.
 */
int mail_rename(cache_tx *tx, const struct mail_place *from, const struct mail_place *to, bool noreplace,
                struct mail_left *ret_left);

/* A copy of a file that is no mail yet is made in tmp, in the mailbox of the place that it is for, which is
 * checked: a new row, WRITING and empty, with a name of its own. */
int mail_stage(cache_tx *tx, const struct mail_place *to, struct message *ret);
/* The copy is whole, and goes to its place, as mail_rename does. Its time is its INTERNALDATE, too. */
int mail_deliver(cache_tx *tx, int64_t id, const struct mail_place *to, bool noreplace,
                 struct mail_left *ret_left);

/*
 * A further name. From tmp into cur or new it delivers: the row moves, its name in tmp becomes an extra one.
 * Within tmp it is an extra name. Otherwise it is a copy: a new row of the same content, *ret. -EMLINK: the
 * content is still being written (MESSAGE_WRITING) and cannot be shared: the caller copies it, see
 * mail_copy_written.
 */
int mail_link(cache_tx *tx, int64_t id, const struct mail_place *to, struct message *ret);

/* The new row, WRITING and still empty, for a copy of `id` whose content the caller copies to its work file.
 */
int mail_copy_written(cache_tx *tx, int64_t id, const struct mail_place *to, struct message *ret);

/* The content of `id` is being replaced through its work file: WRITING from now on. -ENOENT when it is GONE.
 */
int mail_begin_edit(cache_tx *tx, int64_t id);
/* Size and time of the work file, while the row is WRITING; nothing to do (0) when it is not any more. */
int mail_store_written(cache_tx *tx, int64_t id, int64_t size, int64_t mtime_ns);
/* utimens: before the server has the message the time is its INTERNALDATE, too. */
int mail_set_time(cache_tx *tx, int64_t id, int64_t mtime_ns);

/* Forgets a row that mail_left named, unless it has become something again. */
int mail_forget_left(cache_tx *tx, int64_t id);
/* Is this a row whose content should be settled before its name goes, so that it can be restored? 1, 0,
 * -errno. */
int mail_wants_settling(cache_rd *rd, const struct message *m);

/* ---- flags, in mail_flags.c ---- */

/* A place with what its name says in its mailbox. */
struct mail_spelling {
    struct mail_place at;
    bool scratch;       /* the name is no message's */
    bool lettered;      /* it has keyword letters, a to z, whatever they mean */
    bool knows_letters; /* the mailbox has a table of them */
    flags_t flags;      /* that its letters stand for */
};
int mail_spell(cache_rd *rd, const struct mail_place *at, struct mail_spelling *ret);
/* The same for a name that was given to a message of mailbox `from`, which lends its letters. */
int mail_spell_moved(cache_tx *tx, int64_t from, const struct mail_place *at, struct mail_spelling *ret);
/* The flags of a message after a rename between two names; see the head of mail_flags.c. */
flags_t mail_flags_renamed(flags_t flags, const struct mail_spelling *from, const struct mail_spelling *to);
/* The flags of a copy under another name, and of a delivered file. */
flags_t mail_flags_copied(flags_t flags, const struct mail_spelling *to);

/* ---- replacement, in mail_replace.c ---- */

/* Does this row stand for mail that must not just be forgotten: the server has it, or there is settled
 * content? */
int mail_is_kept(cache_rd *rd, const struct message *m, bool *ret);
/* `old` loses its place to `heir` (which need not be stored there yet, and is changed: date, zone, flags of
 * the old one; the caller stores it). heir may be NULL: removed for good. `old` is GONE afterwards. */
int mail_supersede(cache_tx *tx, struct message *old, struct message *heir, struct mail_left *ret_left);
/* Leaves the server's copy of m, if there is one, to a new row that is GONE, waits for heir (NULL: for
 * nobody), and has its name. */
int mail_bury_base(cache_tx *tx, const struct message *m, const struct message *heir);
/*
 * Is its text here, or on the way into a file? A copy of a message, one that leaves the mail, and a backup
 * whose place on the server the next file takes, must be whole by themselves. They cannot wait until the body
 * is here, for the kernel has locked their directories, and all that comes from the server would have to wait
 * as well. So these are "another file system" (-EXDEV) until then: programs that make links or rename copy
 * then, and opening what they copy is what brings the body.
 */
int mail_check_whole(cache_tx *tx, const struct message *m);
/* NAME~, or NAME.~12~: *ret_stem is the length of NAME. */
bool mail_is_backup(const char *name, size_t *ret_stem);
/* An editor renamed this name to that of a backup and makes it anew: the new row takes the server's copy's
 * place. */
int mail_replace_backup(cache_tx *tx, struct message *m);
