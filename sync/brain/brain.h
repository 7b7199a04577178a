#pragma once
/*
 * The brain: what is to be done, decided from three states, by pure functions. No I/O, no clock, no random numbers, no global state: time and
 * policy are arguments, the plan lives in the caller's arena. It knows no side as special: sides are 0 and 1, and exchanging them
 * exchanges the sides of the plan and nothing else. Each operation carries the number of the case that caused it (see MERGE.md).
 *
 * base: what both sides last agreed on; side[0], side[1]: what each shows now.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "arena.h"
#include "flags.h"

struct brain_state {
    bool present;
    int64_t mailbox;  /* a number that means the same mailbox on both sides */
    flags_t flags;
    uint64_t content; /* a number for the content, 0 unknown: missing or damaged bodies are never taken for an edit (case 20) */
};

struct brain_message {
    int64_t key;      /* the caller's */
    struct brain_state base, side[2];
    bool settled[2];  /* this side's copy is whole and at rest: may be copied to the other one. Not settled: left alone for this round (half a second of quiet, body not here) */
    int64_t after;    /* key of a message that must be on both sides before the removal of this one is carried to the other side (edits, rewriting moves: 12, 50); 0 none */
    flags_t can_store[2]; /* flags that the side can hold in this mailbox; the others' absence there is no removal (case 32) */
    bool mailbox_there[2]; /* does the mailbox that the *other* side shows the message in exist on this side? (case 47) */
};

enum brain_verb {
    BRAIN_COPY,   /* bring the message to `side`, into `mailbox`, with flags `add` (create locally, append remotely) */
    BRAIN_REMOVE, /* remove it from `side`, that one and no other */
    BRAIN_STORE,  /* on `side`: add and remove flags */
    BRAIN_MOVE,   /* on `side`: from where it is to `mailbox`; flags, if any differ, follow as BRAIN_STORE */
    BRAIN_AGREE,  /* record `agreed` as base: both sides show it already */
    BRAIN_FORGET, /* drop the base */
};

struct brain_op {
    enum brain_verb verb;
    int side;
    size_t message; /* index into the input */
    int number;     /* the case */
    int64_t mailbox;
    flags_t add, remove;
    bool waits;     /* not before message `after` is on both sides: the caller leaves it for a later round */
    bool create_mailbox; /* the target must be created first (case 47) */
    struct brain_state agreed; /* the base once this operation, the last of its message, is confirmed */
    bool last;      /* the last of its message: after it, base = agreed */
};

struct brain_plan {
    struct brain_op *op;
    size_t n;
    size_t frozen; /* removals that were not planned, because policy.no_removals */
};

struct brain_policy {
    bool no_removals; /* database lost or older, UIDVALIDITY just changed: union, nothing is removed on either side (cases 70, 73) */
    bool no_base;     /* flags merge without base: union, \Deleted only when both sides agree (case 30) */
};

/* The messages' merge: cases 0 to 7, 16, 17, 20, 31, 37 (as deltas that group), 40, 41, 46, 47, and 42, 44, 45 in a plain form. -ENOMEM. */
int brain_merge_messages(const struct brain_message *message, size_t n, const struct brain_policy *policy, struct arena *arena,
                         struct brain_plan *ret);

/* ---- pairing: which of these are the same message? (cases 3, 22, 70, 73) ---- */
struct brain_identity {
    int64_t key;
    int64_t mailbox;
    uint64_t content;    /* 0 unknown */
    uint64_t server_id;  /* 0 unknown */
    int64_t message_id;  /* hash of the Message-ID, 0 none */
    int64_t date_s;      /* INTERNALDATE, 0 unknown */
    int64_t size;        /* wire form, octets, 0 unknown */
};
struct brain_pair {
    size_t left, right; /* indexes */
    int number;
    bool verify; /* paired by (Message-ID, size, date) only: compare content before relying on it where that is possible */
};
/* Pairs within each mailbox, each message at most once: by server id, by content, by (Message-ID, size, date) when unique on both sides, then by
 * (Message-ID, size) when unique. Two that say different contents are never paired (case 23). Deterministic; -ENOMEM. */
int brain_pair_messages(const struct brain_identity *left, size_t n_left, const struct brain_identity *right, size_t n_right, int number,
                        struct arena *arena, struct brain_pair **ret, size_t *ret_n);

/* ---- exactly-once append ---- */
struct brain_append {   /* the intent, committed before sending */
    uint32_t uidvalidity, uidnext;
    int64_t size, message_id, date_s;
    uint64_t content;
};
struct brain_candidate { /* a message seen at or above intent.uidnext; lower UIDs are ignored */
    uint32_t uid;
    int64_t size, message_id;
    uint64_t content;    /* 0: not known */
    bool paired;         /* belongs to another row already */
};
enum brain_append_verdict {
    BRAIN_APPEND_THERE,  /* it is there, under *ret_uid */
    BRAIN_APPEND_SEND,   /* it is not: send (again) */
    BRAIN_APPEND_READ,   /* several fit, or none carries an id: read the body of *ret_uid and ask again with its content */
    BRAIN_APPEND_LOST,   /* UIDVALIDITY changed meanwhile: the mailbox must be paired again first (case 70) */
};
enum brain_append_verdict brain_append_settle(const struct brain_append *intent, uint32_t uidvalidity_now, const struct brain_candidate *candidate, size_t n,
                                              uint32_t *ret_uid);
/* Is an APPENDUID (or COPYUID target) to be trusted? UIDVALIDITY agrees and UID at or above the intent's UIDNEXT. */
bool brain_append_uid_credible(const struct brain_append *intent, uint32_t uidvalidity, uint32_t uid);

/* ---- mailboxes ---- */
struct brain_box_state {
    bool present;
    const char *name; /* full name in the remote form */
    bool mailbox;     /* false: a level of the hierarchy only (case 87) */
};
struct brain_box {
    int64_t key;
    struct brain_box_state base, side[2];
    bool unsynced[2]; /* this side holds mail that the other has not seen */
    bool keep;        /* INBOX: never removed or renamed */
};
enum brain_box_verb {
    BRAIN_BOX_CREATE, BRAIN_BOX_RENAME, BRAIN_BOX_DELETE, BRAIN_BOX_AGREE, BRAIN_BOX_FORGET,
    BRAIN_BOX_HOLD /* a mailbox is missing on `side`, which may be a lie: confirm first, then hold or carry out (case 75) */
};
struct brain_box_op {
    enum brain_box_verb verb;
    int side;
    size_t box;
    int number;
    const char *name;  /* CREATE, RENAME: the name to be; AGREE: the name agreed */
};
struct brain_box_plan { struct brain_box_op *op; size_t n; };
/*
 * Cases 80 to 84, 87 in the order in which they can be carried out: renames of parents (children with them: their base names are taken as renamed too, no
 * operation of their own), creations from the top down, deletions from the bottom up. `delimiter` joins levels. A deletion is only planned when remove_confirmed[i] says that the
 * absence was confirmed; else BRAIN_BOX_HOLD.
 */
int brain_merge_boxes(const struct brain_box *box, size_t n, char delimiter, const bool *remove_confirmed, struct arena *arena, struct brain_box_plan *ret);

/* ---- one mailbox's scan ---- */
struct brain_view { /* what SELECT or STATUS said, and what is known */
    uint32_t known_uidvalidity, known_uidnext; uint64_t known_modseq; uint32_t known_exists;
    uint32_t uidvalidity, uidnext; uint64_t modseq; uint32_t exists;
    bool has_modseq; /* CONDSTORE or QRESYNC, and no NOMODSEQ */
    bool has_qresync;
};
enum brain_scan {
    BRAIN_SCAN_NONE,     /* nothing changed */
    BRAIN_SCAN_CHANGES,  /* changes since known_modseq, with VANISHED when has_qresync */
    BRAIN_SCAN_CHANGES_AND_UIDS, /* CHANGEDSINCE, and UID SEARCH ALL since EXISTS does not add up (74) */
    BRAIN_SCAN_FLAGS,    /* all flags of the mailbox (35) */
    BRAIN_SCAN_PAIR,     /* UIDVALIDITY changed: everything, with identities (70) */
    BRAIN_SCAN_FIRST,    /* never seen: everything */
};
enum brain_scan brain_choose_scan(const struct brain_view *view, int *ret_number);
/* After VANISHED and new mail were counted: does EXISTS agree? false: UID SEARCH ALL before any removal (case 74). */
bool brain_exists_adds_up(uint32_t known_exists, uint64_t vanished, uint64_t fresh, uint32_t exists);

/* Would these removals pass the brake? (case 75) false: hold them. total: messages in the mailbox before. exempt: \Trash, \Junk. off: brake = off. */
bool brain_brake_passes(uint64_t removals, uint64_t total, unsigned percent, unsigned count, bool exempt, bool off);
