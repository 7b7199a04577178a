#pragma once
/*
 * The base: what both sides last agreed on, one row a message that is on the server: where, under which UID,
 * with which flags. (The mailbox's UIDVALIDITY is in struct mailbox.)
 */
#include "cache.h"

struct base_state {
    int64_t mailbox;
    uint32_t uid;
    int64_t message; /* the row it belongs to */
    flags_t flags;
};

int base_of_message(cache_rd *rd, int64_t message, struct base_state *ret); /* -ENOENT */
int base_of_uid(cache_rd *rd, int64_t mailbox, uint32_t uid, struct base_state *ret);
/* In order of uid; a non-zero result of each ends it and is returned. */
int base_each(cache_rd *rd, int64_t mailbox, uint32_t after_uid,
              int (*each)(void *arg, const struct base_state *b), void *arg);
uint64_t base_count(cache_rd *rd, int64_t mailbox);
int base_put(cache_tx *tx, const struct base_state *b); /* replaces what the message or the uid had */
/* Of a mailbox and uid that have this message already: costs less than base_put. -ENOENT: there is no such.
 */
int base_set_flags(cache_tx *tx, const struct base_state *b);
/* And what the server refused to do with it. */
int base_forget(cache_tx *tx, int64_t message);
/* UIDVALIDITY changed, or the mailbox left the server: the same of all of its rows. */
int base_forget_mailbox(cache_tx *tx, int64_t mailbox);
/* Hands the server's copy of `from` to another row, a tombstone (edits: case 12). */
int base_give(cache_tx *tx, int64_t from, int64_t to);
