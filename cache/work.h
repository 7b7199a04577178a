#pragma once
/*
 * Work files: content made here, work/<row id>, from the first write until it is settled into the store. They
 * are where the only copy of new mail lives, so they stay until the row that names the body is durable; and
 * while the server does not have the message, a note unsent/<id> (mailbox path, file name, hash) lets a lost
 * database find it again (case 73).
 *
 * Who writes is known by count: fs brackets each writable open with work_writer_begin and _end. Settling and
 * writing exclude each other: begin waits while the row is being settled (local disk only), and settling
 * refuses while there are writers.
 *
 * Settling may leave a work file and a body as two names of one inode (until the work file is removed, and
 * for longer after a failed commit). work_create and work_open for writing part them first, so that bodies
 * stay immutable; therefore a writable descriptor is opened after work_writer_begin, never before.
 */
#include "message.h"

/* Creates an empty work/<id>, or opens it, O_RDWR. The descriptor is the caller's. */
int work_create(struct cache *c, int64_t id);
int work_open(struct cache *c, int64_t id, int flags);
int work_remove(struct cache *c, int64_t id); /* 0 also when there was none */
/* Before the first write to a PRESENT message: copies its served form to work/<id> (empty if !keep_content);
 * returns the descriptor, O_RDWR. */
int work_from_body(struct cache *c, const struct message *m, bool keep_content);
int work_from_file(struct cache *c, int64_t id, int fd); /* a copy of that, or with -1 empty */

void work_writer_begin(struct cache *c, int64_t id);
void work_writer_end(struct cache *c, int64_t id);
bool work_has_writer(struct cache *c, int64_t id);

/*
 * Settles a WRITING row that has no writer: hashes its wire form, puts it into the store, makes the row
 * PRESENT and durable, removes the work file. When the row had a base and the content changed, the old copy
 * goes to a tombstone (GONE, after = id) in the same transaction. An unchanged content only makes it PRESENT
 * again. 0; -EAGAIN: a writer is there, or another thread settles it; -ENODATA: empty file, left as it is
 * (never sent); -ENOENT: no such row, or not WRITING; -ENOSPC, -EIO.
 */
int work_settle(struct cache *c, int64_t id);
/* The same of n rows, which share what takes time: one sync of the file system, one transaction. Each one's
 * result goes to ret. */
void work_settle_many(struct cache *c, const int64_t *id, size_t n, int *ret);
/* At the end of a mount, once nobody writes any more: settles all that waits for its half second of quiet, so
 * that notes of it are there should the database be lost until the next mount. Failures are logged: work
 * files stay, and the next mount settles them. */
void work_settle_rest(struct cache *c);

/* At start, once the cache is open and before anything else uses it. Work files without a WRITING row are
 * removed when empty or known, and else turned into restorable GONE rows; rows WRITING without a work file
 * become PRESENT with their old content, or GONE when they never had any. After a lost database (meta
 * "union"), mail that was not on the server comes back by the unsent notes. */
int work_recover(struct cache *c);
/* The append of this row is confirmed, its base is committed: its unsent note goes. */
int work_sent(struct cache *c, int64_t id);
/* Is there such a note? Then the text was made here, and the server has not confirmed that it has it. */
bool work_is_noted(struct cache *c, int64_t id);
