#pragma once
/*
 * What the files that handle work files and unsent notes know of one another. Private to this folder.
 */
#include <pthread.h>
#include "body_store.h"
#include "work.h"

#define WORK_BUCKETS 64
#define WORK_NAME_MAX 32

struct work_entry {
    struct work_entry *next;
    int64_t id;
    unsigned writers;
    bool settling;
};

struct work_table {
    int workfd;           /* work/ */
    int unsentfd;         /* unsent/ */
    pthread_mutex_t lock; /* a leaf */
    pthread_cond_t settled;
    /* Protected by lock. An entry exists while somebody writes or settles. */
    struct work_entry *bucket[WORK_BUCKETS];
    unsigned nameless; /* writers for whom there was no memory: they count as writers of every row */

    int sparefd;                /* spare/ */
    pthread_mutex_t spare_lock; /* a leaf */
    unsigned spares;            /* protected by it: spare/0 and on */
};

/* spare.c: files that are used again. open and close remove what is left of earlier ones. */
int spare_open(struct work_table *t, int dirfd);
void spare_close(struct work_table *t);
/* Removes this file, or keeps it. */
void spare_keep(struct work_table *t, int dirfd, const char *name);
/* Opens this file for writing, empty, made of a spare one if there is one. One that has this name already is
 * overwritten. The descriptor, or -errno. */
int spare_take(struct work_table *t, int dirfd, const char *name);

void work_name(int64_t id, char ret[WORK_NAME_MAX]);
/* The id that a file name of decimal digits stands for, or -1. */
int64_t work_name_id(const char *name);

/* 0: until the end, work_writer_begin waits and nobody else settles. -EAGAIN. */
int work_settle_begin(struct work_table *t, int64_t id);
void work_settle_end(struct work_table *t, int64_t id);

/* Puts what is in work/<id> into the body store, durably; the work file stays. -ENODATA when it is empty. */
int work_store(struct cache *c, int64_t id, struct body_info *ret);

/* A row without a date gets its mtime, which is sent as INTERNALDATE. */
void work_set_content(struct message *m, const struct body_info *info);

/* An unsent note: the row as it was, with its mailbox by path. m.id is the row's id. */
struct unsent {
    /* sub, name, form, hash, size, wire_size, message_id, mtime_ns, date_s, zone_min; flags as the name has
     * them. */
    struct message m;
    char mailbox[4096];
};

/* Writes unsent/<m.id>, durably. */
int unsent_write(struct cache *c, const struct unsent *u);
/* The same in steps, for many at once: writes it under another name, and with `sync` to disk; and gives it
 * its own, which is durable with the directory. */
int unsent_stage(struct cache *c, const struct unsent *u, bool sync);
int unsent_place(struct cache *c, int64_t id);
int unsent_read(struct cache *c, const char *file, struct unsent *ret); /* -EBADMSG */
void unsent_forget(struct cache *c, int64_t id);
/* Calls each for the name of every note, in no order: those of rows are decimal digits, and those that
 * work_recover has set aside, because their rows are lost, begin with UNSENT_LOST. */
#define UNSENT_LOST "lost-"
int unsent_each(struct cache *c, int (*each)(void *arg, const char *file), void *arg);
/* Removes the notes of messages that are safe without: on the server, or removed by a person. */
void unsent_prune(struct cache *c);
/* Does a note name this body? 1, 0, -errno. */
int unsent_names(struct cache *c, const uint8_t hash[BODY_HASH]);
