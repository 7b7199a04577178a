#pragma once
/*
 * The brain: what is to be done, decided from three states, by pure functions.
 *
 * No I/O, no clock, no random numbers, no global state: time and policy are arguments, the plan lives in the
 * caller's arena. It knows no side as special: sides are 0 and 1 (L and R in MERGE.md), and exchanging them
 * exchanges the sides of the plan and nothing else, but for the numbers of cases that name a side (1 and 2, 5
 * and 6, 10 and 11, 40 and 43, 82 and 83, 84 and 85), which are exchanged too. Each operation carries the
 * number of the case that caused it.
 *
 * base: what both sides last agreed on; side[0], side[1]: what each shows now.
 *
 * A caller may carry out any part of a plan, in any order that keeps an operation behind those of the same
 * message or mailbox before it, and merge again: the rest is found again, and nothing is done twice. The one
 * rule is that a base is recorded only when *everything* that the plan holds for that message is confirmed.
 *
 * Thread: any; nothing is shared. Errors: -ENOMEM, and then nothing is set.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "arena.h"
#include "flags.h"

struct brain_state {
    bool present;
    int64_t mailbox; /* a number that means the same mailbox on both sides */
    flags_t flags;   /* \Recent has no bit, so that it is never merged (case 31) */
    uint64_t
        content; /* a number for the content, 0 unknown. Nothing is decided by it: a missing or damaged body
                    is never taken for an edit (case 20), and an edit comes as two messages (see `after`) */
};

struct brain_message {
    int64_t key; /* the caller's */
    struct brain_state base, side[2];
    bool settled[2]; /* this side's copy is whole and at rest, so that it may be copied to the other one. Not
                        settled (half a second of quiet is not over, body not here): it is not copied in this
                        round; flags, moves and removals of what is in base still merge */
    int64_t after; /* key of a message that must be on both sides before the removal of this one is carried to
                      the other side (edits, rewriting moves: 12, 50); 0 none. A key that is not in the input
                      holds nothing back: the caller leaves out what it has settled */
    flags_t can_store[2];  /* flags that the side can hold in this mailbox; the others' absence there is no
                              removal, and  they are not sent there (case 32) */
    bool mailbox_there[2]; /* does the mailbox that the *other* side shows the message in exist on this side?
                              (case 47) */
};

enum brain_verb {
    BRAIN_COPY,   /* bring the message to `side`, into `mailbox`, with flags `add` (create locally, append
                     remotely) */
    BRAIN_REMOVE, /* remove it from `side`, that one and no other */
    BRAIN_STORE,  /* on `side`: add and remove flags; a delta, never "set to" */
    BRAIN_MOVE,   /* on `side`: from where it is to `mailbox`; flags, if any differ, follow as BRAIN_STORE */
    BRAIN_AGREE,  /* record `agreed` as base: both sides show it already */
    BRAIN_FORGET, /* drop the base */
};

struct brain_op {
    enum brain_verb verb;
    int side;        /* 0 for AGREE and FORGET, which concern no side */
    size_t message;  /* index into the input; the operations of a message are neighbours, messages in the
                        input's order */
    int number;      /* the case */
    int64_t mailbox; /* where the message is once the operation is done; REMOVE: where it is now */
    flags_t add, remove;
    bool waits; /* REMOVE: not before message `after` is on both sides: the caller leaves it for a later round
                 */
    bool create_mailbox;       /* the target must be created first (case 47) */
    struct brain_state agreed; /* the base once all operations of this message are confirmed */
    bool last;                 /* the last of its message */
};

struct brain_plan {
    struct brain_op *op;
    size_t n;
    size_t frozen; /* removals that were not planned, because of policy.no_removals */
};

struct brain_policy {
    bool no_removals; /* UIDVALIDITY just changed, or the base is in doubt: nothing is removed on either side
                         (70, 73) */
    bool no_base; /* the base is lost or too old: everything merges as if there were none. Existence and flags
                     are united, \Deleted only when both sides agree, and no removal can follow (cases 30, 73)
                   */
    int winner;   /* the side whose place wins when both moved a message to different ones (case 44) */
};

/* The messages' merge: cases 0 to 7, 10, 11, 16, 17, 20, 30 to 32, 37 (deltas, so that equal ones group), 40
 * to 47 for moves that the caller recognised (same key in two places). */
int brain_merge_messages(const struct brain_message *message, size_t n, const struct brain_policy *policy,
                         struct arena *arena, struct brain_plan *ret);

/* Newly flagged, or undeleted: then a message is not removed because the other side has removed it (cases 10
 * and 11). */
bool brain_wish_to_keep(flags_t base, flags_t flags);

/* ---- pairing: which of these are the same message? (cases 3, 22, 70, 73) ---- */
struct brain_identity {
    int64_t key;
    int64_t mailbox;
    uint64_t content;   /* 0 unknown */
    uint64_t server_id; /* 0 unknown */
    int64_t message_id; /* hash of the Message-ID, 0 none */
    int64_t date_s;     /* INTERNALDATE, 0 unknown */
    int64_t size;       /* wire form, octets, 0 unknown */
};

struct brain_pair {
    size_t left, right; /* indexes */
    int number;
    bool verify; /* paired by Message-ID, size and date only: compare content before relying on it where
                    possible */
};

/* Pairs within each mailbox, each message at most once: by server id, by content, by (Message-ID, size, date)
 * when unique on both sides, then by (Message-ID, size) when unique. Unique means among those that no better
 * sign has paired. Two that say different contents are never paired (case 23). The pairs come in the order of
 * `left`. */
int brain_pair_messages(const struct brain_identity *left, size_t n_left, const struct brain_identity *right,
                        size_t n_right, int number, struct arena *arena, struct brain_pair **ret,
                        size_t *ret_n);

/* ---- exactly-once append ---- */
struct brain_append {              /* the intent, committed before sending */
    uint32_t uidvalidity, uidnext; /* of the mailbox before; 0: the server did not say */
    int64_t size, message_id, date_s;
    uint64_t content;
    bool accepted;   /* the server said OK: it is there, in whatever form (case 63), unless nothing fits */
    bool look_alike; /* another text with this Message-ID and size is known, as that before an edit: content
                        decides */
};

struct brain_candidate { /* a message seen in that mailbox; those below intent.uidnext are ignored */
    uint32_t uid;
    int64_t size, message_id;
    uint64_t content; /* 0: not known */
    bool paired;      /* belongs to another row already, or has the text from before an edit */
    bool known; /* another row has this text: it is what the server made of ours only if nothing else is */
};

enum brain_append_verdict {
    BRAIN_APPEND_THERE, /* it is there, under *ret_uid */
    BRAIN_APPEND_SEND,  /* it is not: send (again) */
    BRAIN_APPEND_READ,  /* several fit, or none for sure: read the body of *ret_uid and ask again with its
                           content, or  without that candidate when it is gone */
    BRAIN_APPEND_LOST,  /* UIDVALIDITY changed meanwhile: the mailbox must be paired again first (case 70) */
};

/* *ret_uid is set for THERE and READ only. READ comes at most once for each candidate. */
enum brain_append_verdict brain_append_settle(const struct brain_append *intent, uint32_t uidvalidity_now,
                                              const struct brain_candidate *candidate, size_t n,
                                              uint32_t *ret_uid);

/* Is an APPENDUID (or COPYUID target) to be trusted? UIDVALIDITY agrees and UID is at or above the intent's
 * UIDNEXT; never when the server did not tell one of these before. */
bool brain_append_uid_credible(const struct brain_append *intent, uint32_t uidvalidity, uint32_t uid);

/* ---- mailboxes ---- */
struct brain_box_state {
    bool present;
    const char *name; /* full name in the remote form; compared as octets (case 89) */
    bool mailbox;     /* false: a level of the hierarchy only (case 87) */
};

struct brain_box {
    int64_t key;
    struct brain_box_state base, side[2];
    bool unsynced[2]; /* this side holds mail that the other has not seen */
    bool keep;        /* INBOX: never removed or renamed */
};

enum brain_box_verb {
    BRAIN_BOX_CREATE, /* on `side`; base = {name, mailbox} afterwards */
    BRAIN_BOX_RENAME, /* on `side`, with all that is below; base name = name, and below too, afterwards */
    BRAIN_BOX_DELETE, /* on `side`; the base is dropped afterwards */
    BRAIN_BOX_AGREE,  /* record {name, mailbox} as base: both sides show it already */
    BRAIN_BOX_FORGET, /* drop the base */
    BRAIN_BOX_HOLD,   /* a mailbox is missing on `side`, which may be a lie: confirm first, then hold or carry
                         out (75) */
};

struct brain_box_op {
    enum brain_box_verb verb;
    int side; /* HOLD: where it is missing; 0 for AGREE and FORGET */
    size_t box;
    int number;
    const char *name; /* CREATE, RENAME: the name to be; AGREE: the name agreed. In the arena or the input */
    const char *from; /* RENAME, DELETE: its name on `side` once the operations before this one are done */
    bool mailbox;     /* CREATE, AGREE: false for a level of the hierarchy only */
};

struct brain_box_plan {
    struct brain_box_op *op;
    size_t n;
};

/*
 * Cases 80 to 87, in the order in which they can be carried out: renames of parents (children with
 * them: their names, base names too, are taken as renamed, no operation of their own), creations from the top
 * down, deletions from the bottom up. `delimiter` joins levels, 0: none. A removal is acted on only when
 * remove_confirmed[i] says that the absence was confirmed; else BRAIN_BOX_HOLD. NULL: none is confirmed. A
 * name that is still taken on its side makes an operation wait for a later round. `winner` is the side whose
 * names count where the two exclude each other (case 86).
 */
int brain_merge_boxes(const struct brain_box *box, size_t n, char delimiter, int winner,
                      const bool *remove_confirmed, struct arena *arena, struct brain_box_plan *ret);

/* The name under which a box steps aside, beside `name` (case 86): one that a merge was interrupted at is
 * known by it again. In the arena; -ENOMEM. */
int brain_box_temporary(const char *name, char delimiter, int64_t key, struct arena *arena, char **ret);

/* ---- one mailbox's scan ---- */
/* After VANISHED and new mail were counted: does EXISTS agree? false: UID SEARCH ALL before any removal (case
 * 74). vanished counts messages that were known, fresh those that were not. */
bool brain_exists_adds_up(uint32_t known_exists, uint64_t vanished, uint64_t fresh, uint32_t exists);

/* Would these removals pass the brake? (case 75) false: hold them. total: messages in the mailbox before.
 * exempt: \Trash, \Junk. off: brake = off. */
bool brain_brake_passes(uint64_t removals, uint64_t total, unsigned percent, unsigned count, bool exempt,
                        bool off);
