#pragma once
/*
 * Bodies: immutable files named by the SHA-256 of the wire form, bodies/ab/cdef..., in the form that the
 * mount serves, one for all copies. See enum message_form; what a person wrote in a form of its own
 * (MESSAGE_OWN) lies beside the others as bodies/ab/cdef....o, so that copies and tombstones of it find it by
 * hash as well. Files appear by rename, whole; the row that names one is committed after.
 */
#include <sys/types.h>
#include "message.h"

struct body_info {
    uint8_t hash[32];
    enum message_form form;
    int64_t size, wire_size;
    int64_t message_id;
    bool nul; /* has a NUL octet (case 62) */
};

/* A body that arrives from the server. Thread: its owner's. */
struct body_writer;
int body_writer_open(struct cache *c, struct body_writer **ret);
int body_writer_write(struct body_writer *w, const void *wire, size_t length); /* -ENOSPC, -EIO; sticky */
/* Puts the file into place (not yet on disk: see body_sync) and frees w, whatever the result. */
int body_writer_finish(struct body_writer *w, struct body_info *ret);
void body_writer_abort(struct body_writer *w); /* NULL is allowed */
/* All bodies finished so far are on disk when this returns 0: before the rows that name them commit. */
int body_sync(struct cache *c);

/* Is there something to open? Then a link to it, or a copy of it, is whole. False only when it is surely not
 * there: a disk that fails for a moment has lost nothing. */
bool body_is_here(struct cache *c, const struct message *m);
/* The served form, read-only; of a WRITING row its work file. -ENOENT: missing (case 20: ask with
 * cache_want). -ESTALE: its length is not m->size (damaged). */
int body_open(struct cache *c, const struct message *m);
/* Has the first octets of the served form read from the disk, for somebody who will open it soon; it does not
 * count as used. Any thread. */
void body_read_ahead(struct cache *c, const struct message *m);
/* The length of the served form of the row's hash, for rows whose size is that of a work file: what is buried
 * while it is WRITING needs its old size back. m->size when there is no such body. */
int64_t body_served_size(struct cache *c, const struct message *m);

/* The wire form of the row's hash, as a stream of exactly m->wire_size octets. The last of them are only
 * given when the file ends there. Thread: its owner's. */
struct body_reader;
int body_reader_open(struct cache *c, const struct message *m, struct body_reader **ret);
/* 0 at the end; -EIO, for good, when the file is not as long as the row says. */
ssize_t body_reader_read(struct body_reader *r, void *out, size_t size);
void body_reader_close(struct body_reader *r); /* NULL is allowed */

/* Reads all of it and compares the hash: 0, -ENOENT, -ESTALE (damaged: moved to bodies/damaged), -errno.
 * A WRITING row has nothing to compare with yet: 0 when its work file is there. */
int body_verify(struct cache *c, const struct message *m);

/* Removes bodies that neither a row nor an unsent note names and that are older than an hour; a slow walk
 * that looks at `max` files a call and goes on where the last call ended. Returns how many went, or -errno.
 */
int body_collect(struct cache *c, unsigned max);

/* Adds up what bodies take on disk, and where that is more than limit removes those that were used longest
 * ago, of messages that the server has, down to nine tenths of it. ret_size: what is left, in octets. Walks
 * them all; not inside a change. -errno. */
int body_evict(struct cache *c, int64_t limit, int64_t *ret_size);
