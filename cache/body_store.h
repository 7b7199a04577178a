#pragma once
/*
 * What the files that handle bodies and work files know of one another. Private to this folder.
 *
 *   bodies/tmp/N          being written; private to its writer, swept when the cache is opened
 *   bodies/ab/cdef...     LF form          (MESSAGE_LF, MESSAGE_BOTH)
 *   bodies/ab/cdef....w   wire form        (MESSAGE_BOTH, MESSAGE_WIRE)
 *   bodies/ab/cdef....o   as it was written here, neither of them (MESSAGE_OWN)
 *   bodies/damaged/...    moved aside by body_verify
 *
 * A body appears by a rename that refuses to replace. When the name is taken, the two files are compared: an
 * equal one stays, since it may be durable already while the new one is not; a different one is damaged and
 * replaced.
 */
#include <dirent.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include "body.h"
#include "header.h"
#include "io.h"

#define BODY_BLOCK ((size_t)64 * 1024)
#define BODY_HASH 32
#define BODY_NAME_MAX 72 /* "ab/", 62 digits, ".w", NUL */
#define BODY_TMP_MAX 24
#define BODY_COLLECT_AGE_S 3600

struct body_writer;

struct body_store {
    int dirfd;      /* bodies/ */
    int tmpfd;      /* bodies/tmp/ */
    bool wire_only; /* line_endings = crlf */
    bool note_use;  /* there is a limit: when a body was opened last is kept, as its atime */
    EVP_MD *sha256;
    atomic_ullong next_tmp;
    atomic_uint failed_syncs;
    pthread_mutex_t sync_lock; /* one syncfs at a time */

    pthread_mutex_t lock; /* a leaf */
    unsigned settling; /* protected by lock: files made here that may be in place, and named by nothing yet */
    struct body_writer *spare; /* protected by lock: buffers and context of the last writer, for the next */

    /* The walk of body_collect; whoever sets `collecting` owns the rest. */
    atomic_flag collecting;
    DIR *walk;        /* of bodies/<walk_at>, NULL before it is begun */
    unsigned walk_at; /* 0 to 255 */
    int64_t collect_age_s;
};

/* Opens the directory `name` of dirfd, made when it is missing; -errno. */
int dir_open(int dirfd, const char *name);
/* Calls each for every entry that does not begin with a dot; a non-zero result ends it and is returned. */
int dir_each(int dirfd, int (*each)(void *arg, const char *name), void *arg);

enum body_file { BODY_FILE_LF, BODY_FILE_WIRE, BODY_FILE_OWN };

/* The name below bodies/ of one of the files of a hash; and the file that a form is served from. */
void body_name(const uint8_t hash[BODY_HASH], enum body_file file, char ret[BODY_NAME_MAX]);
bool body_parse_name(const char *name, uint8_t ret_hash[BODY_HASH]); /* false: none of these */
enum body_file body_file_served(enum message_form form);
int body_file_open(struct body_store *s, const uint8_t hash[BODY_HASH], enum body_file file);

/* A name in bodies/tmp that nobody has; a new file there, O_RDWR. */
void body_tmp_name(struct body_store *s, char ret[BODY_TMP_MAX]);
int body_tmp_open(struct body_store *s, char ret[BODY_TMP_MAX]);
/* Puts bodies/tmp/<tmp> into place and takes the name away from tmp, in every case but an error. A different
 * file of that name is replaced, or with keep_other left alone: then -EEXIST. Nothing is synced. */
int body_place(struct body_store *s, const char *tmp, const char *name, bool keep_other);
/* A body that was placed is on disk, with its directory entry. */
int body_sync_file(struct body_store *s, const char *name);

/* Writes the wire form of a file after the current position of `to`. */
int body_copy_wire(int from, int to, bool exact);

/* What is learnt from a wire form as it streams by. Zero-initialised is finished. */
struct wire_sum {
    EVP_MD_CTX *md;
    struct header_scan header;
    int64_t size;
    bool nul;
};
int wire_sum_begin(struct wire_sum *w, const struct body_store *s); /* again for the next message */
int wire_sum_feed(struct wire_sum *w, const char *data, size_t length);
int wire_sum_end(struct wire_sum *w, struct body_info *ret); /* sets hash, wire_size, message_id and nul */
void wire_sum_finish(struct wire_sum *w);

void body_writer_free(struct body_writer *w);

/* Before each step that a crash could come between. Does nothing; the tests replace it. */
void body_step(const char *step);
