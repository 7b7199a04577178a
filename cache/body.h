#pragma once
/*
 * Bodies: immutable files named by the SHA-256 of the wire form, bodies/ab/cdef..., in the form that the mount serves, one for all copies.
 * See enum message_form. Files appear by rename, whole; the row that names one is committed after.
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

/* The served form, read-only. -ENOENT: missing (case 20: ask with cache_want). -ESTALE: its length is not m->size (damaged). */
int body_open(struct cache *c, const struct message *m);

/* The wire form, as a stream of exactly m->wire_size octets. Thread: its owner's. */
struct body_reader;
int body_reader_open(struct cache *c, const struct message *m, struct body_reader **ret);
ssize_t body_reader_read(struct body_reader *r, void *out, size_t size); /* 0 at the end; -EIO when the file is not what the row says */
void body_reader_close(struct body_reader *r);

/* Reads all of it and compares the hash: 0, -ENOENT, -ESTALE (damaged: moved aside), -errno. */
int body_verify(struct cache *c, const struct message *m);

/* Removes bodies that no row names and that are older than an hour; a slow walk, a few files a call. Returns how many went. */
int body_collect(struct cache *c, unsigned max);
