#pragma once
/*
 * Files of the mail tree that are open: one record an inode, shared by all of its handles, so that a reader
 * sees what a writer writes, and so that what is unlinked while open stays readable.
 *
 * `fd` is what readers read: a body, or the work file from the first write on. Its number stays the same
 * while the record lives; other content is put behind it by dup3, which the kernel does at once for all who
 * are reading.
 *
 * Claiming a record makes the caller the only one who may replace its content or change its row's; it is held
 * over work on the local disk, never over a wait for the network, and no one claims two.
 */
#include <stdatomic.h>
#include "private.h"

struct open_file {
    struct open_file *next; /* protected by the table's lock, as all down to fate */
    int64_t id;
    unsigned users;   /* handles, and operations under way */
    unsigned writers; /* of which may write: bracketed by work_writer_begin and _end */
    bool claimed;
    enum mail_fate fate; /* of a row without a name, at the last close */

    int fd; /* -1 until the content was opened; set under a claim, by files_set_fd, before the first reader */
    atomic_bool writing;  /* fd is the work file (or private copy), which stays so while there is a writer */
    atomic_bool changed;  /* written to, and the row does not know */
    atomic_bool unsynced; /* the work file's octets may not be on disk */
    bool unsynced_name;   /* the work file's name may not be on disk yet; under a claim */
    bool has_hash;        /* of what is behind fd; under a claim */
    uint8_t hash[32];
};

int files_new(struct cache *c, struct files **ret);
/* Closes what is still open. NULL is allowed. */
void files_free(struct files *t);

/* The record of a row, made when there is none, claimed; the caller is one more user of it. NULL without
 * memory. */
struct open_file *files_enter(struct files *t, int64_t id);
void files_claim(struct files *t, struct open_file *f);
void files_yield(struct files *t, struct open_file *f);
/* One user less, who has no claim: the last one does what the fate says, and frees. */
void files_leave(struct files *t, struct open_file *f);

/* What is behind fd is another content now. Any thread that has a use of the record. In this order: who takes
 * `changed` for himself is to see the other. */
static inline void files_changed(struct open_file *f)
{
    atomic_store(&f->unsynced, true);
    atomic_store(&f->changed, true);
}

/* A claimed record gets a writer, which waits while the row is being settled, or loses one: see
 * content_end_write. */
void files_writer_begin(struct files *t, struct open_file *f);
void files_writer_end(struct files *t, struct open_file *f);

/* The row has lost its last name: what is to be done with it is done at the last close, when it is open
 * (true). */
bool files_defer(struct files *t, const struct mail_left *left);

/* The first content: others may be asking for its attributes just now. */
void files_set_fd(struct files *t, struct open_file *f, int fd);
/* Size and times of what is behind the fd of an open file; only of one that is being written, if that is
 * asked for. -ENOENT. */
int files_stat(struct files *t, int64_t id, bool writing_only, struct stat *ret);
/* Sets the time of what is being written; nothing to do (0) for others. */
int files_set_time(struct files *t, int64_t id, const struct timespec *mtime);

/* ---- content.c: of a claimed record ---- */

/* Has the row's content behind fd. -ENOENT, -ESTALE: not there, or damaged: ask for it with cache_want.
 * -ENODEV: no such message any more. */
int content_open(struct files *t, struct open_file *f);
/* A new row's empty work file, being written. Needs a writer. */
int content_create(struct files *t, struct open_file *f);
/* From now on what is behind fd may be written to: copy on write. Needs a writer. */
int content_begin_write(struct files *t, struct open_file *f, bool keep);
/* May mail be this large? -EFBIG beyond what the server takes, if it has told that (case 60). Its form on the
 * wire has an octet more for each line: what only that is too large for is refused there. */
int content_check_size(struct cache *c, int64_t size);
/* The row learns size and time of what was written, if anything was. `sync`: it and the content are on disk
 * afterwards. */
int content_store(struct files *t, struct open_file *f, bool sync);
/* A writer leaves. After the last one the row is up to date, and the engine is told that it may settle it. */
int content_end_write(struct files *t, struct open_file *f);
/* Has the row a place where mail is? Not in tmp, nor when it is gone; yes, where that cannot be found out.
 * For any id. */
bool content_is_mail(struct files *t, int64_t id);
/* The octets that were written so far are on disk when this returns 0. */
int content_sync_octets(struct open_file *f);
/* What is in a row's work file is on disk when this returns 0, and its name; there need not be one. */
int content_sync_work(struct files *t, struct open_file *f);

struct cache *files_cache(struct files *t);
struct ahead *files_ahead(struct files *t);
