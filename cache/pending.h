#pragma once
/*
 * Remote operations that are announced before they are sent, so that after a crash or a broken line their
 * outcome is looked for instead of guessed. Flags and removals need no row: their announcement is the row's
 * own difference from base, and sending them twice changes nothing.
 */
#include "cache.h"

enum pending_kind { PENDING_APPEND = 1, PENDING_MOVE = 2, PENDING_COPY = 3 };

struct pending {
    int64_t id;
    enum pending_kind kind;
    int64_t message;      /* the row */
    int64_t mailbox;      /* where it is to be */
    uint32_t uidvalidity; /* of that mailbox, before */
    uint32_t uidnext;     /* of that mailbox, before */
    int64_t source;       /* MOVE, COPY: mailbox of the source ... */
    uint32_t source_uid;  /* ... and its UID */
    int64_t wire_size;
    uint8_t hash[32];
    int64_t message_id;
    int64_t date_s;
    flags_t flags;
    bool accepted; /* the server said OK, but not under which UID it is now */
};

int pending_put(cache_tx *tx, struct pending *p); /* sets p->id; one row a message: replaces */
int pending_forget(cache_tx *tx, int64_t message);
/* What was announced for one row is about the content, or the place, that now belongs to another one. 0 also when nothing was. */
int pending_give(cache_tx *tx, int64_t from, int64_t to);
int pending_of_message(cache_rd *rd, int64_t message, struct pending *ret);
/* In order of id; mailbox 0: all. A non-zero result of each ends it and is returned. */
int pending_each(cache_rd *rd, int64_t mailbox, int (*each)(void *arg, const struct pending *p), void *arg);

/* What the server refused, in its own words, shown by status and .mailmount/errors. One row a message (or
 * mailbox: message 0). The mailbox of a message's is the one where the message is when this is read. */
struct failure {
    int64_t id, message, mailbox;
    int64_t at_s;    /* when */
    int64_t retry_s; /* not before; 0: not by itself */
    unsigned attempts;
    char what[64]; /* "append", "create", ... */
    char why[512];
};
int failure_put(cache_tx *tx, struct failure *f); /* attempts counts up when there was one */
int failure_forget(cache_tx *tx, int64_t message, int64_t mailbox);
int failure_by_id(cache_rd *rd, int64_t id, struct failure *ret);
int failure_get(cache_rd *rd, int64_t message, int64_t mailbox, struct failure *ret);
int failure_each(cache_rd *rd, int (*each)(void *arg, const struct failure *f), void *arg);
