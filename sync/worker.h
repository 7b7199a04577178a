#pragma once
/*
 * A worker stands for one side of the merge: it scans, carries out one operation, brings a body.
 * Implementations: imap/ (a server), and in the tests a recording one, a scripted one and a model of a
 * server. (The cache's side is cache_worker.h: it applies a whole plan in one transaction.)
 *
 * A worker belongs to one thread, but for cancel. Every failure is graded by blast radius: a message, a
 * mailbox, the session, or cancelled. An operation on something that is gone is a result (WORKER_GONE), not
 * an error.
 *
 * A dead session stays dead, every call WORKER_BROKEN, until reset: nothing goes to the server on a fresh
 * connection before the owner has settled what became of the old one. A session that could not be opened is
 * not dead: the next call tries again.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "fault.h"
#include "flags.h"
#include "uidset.h"

enum worker_result {
    WORKER_DONE = 0,
    WORKER_GONE,    /* what it was about is not there (any more) */
    WORKER_REFUSED, /* the server said NO or BAD: see error.text; this message or mailbox only */
    WORKER_UNKNOWN, /* apply: the session broke, or was cancelled, while it was under way: outcome unknown.
                     * The session is dead */
    WORKER_BROKEN, /* the session broke, or was broken before, and nothing was changed. The session is dead */
    WORKER_CANCELLED, /* worker_cancel was called, and nothing was changed. The session is dead */
    WORKER_LOCAL, /* something failed on this machine: error.err (-ENOSPC, -EIO, -ENOMEM). The next call goes
                   * on, on a fresh session if need be */
};

struct worker_error {
    int err; /* negative errno that a file operation would give: -EACCES, -EDQUOT, -EFBIG, -ENOSPC, ... */
    char text[512];    /* the server's words, control characters replaced; no trailing newline */
    unsigned retry_ms; /* the server asked for a pause this long */
    bool try_create;   /* [TRYCREATE], [NONEXISTENT] */
};

/* Mailbox names are the server's octets (modified UTF-7), NUL terminated. */
struct worker_box {
    const char *name;
    char delimiter;      /* 0 none */
    unsigned attributes; /* enum mailbox_attributes of cache/mailbox.h, by value: NOSELECT 1, NOINFERIORS 2,
                          * TRASH 8, JUNK 16, SENT 32, DRAFTS 64, ARCHIVE 128, SUBSCRIBED 256 */
    bool has_status;     /* the rest is known, and not stale */
    uint32_t messages, uidnext, uidvalidity;
    uint64_t modseq; /* HIGHESTMODSEQ, 0 when not offered */
    /* MAILBOXID (RFC 8474 4.1): the mailbox's for ever, and no other one's, whatever its name. NULL: not
     * told. */
    const char *id;
};

/* What was seen of a mailbox. A scan's uidvalidity is never 0: of a server that tells none it is the one of
 * the token before, or 1; a list's is 0 then. */
struct worker_token {
    uint32_t uidvalidity, uidnext, exists;
    uint64_t modseq;
};

struct worker_message {
    uint32_t uid;
    flags_t flags;
    bool has_flags;
    /* only when asked for (WORKER_DETAILS), and for UIDs at or above since->uidnext always: */
    bool has_details;
    int64_t date_s;
    int zone_min;
    int64_t size;       /* RFC822.SIZE: an estimate (case 19) */
    int64_t message_id; /* header_message_id_of_block, 0 none */
};

/* How much to look at. */
enum worker_depth {
    WORKER_CHANGES, /* since the token, as the server can: changed flags, removals, new mail. Falls back to
                     * WORKER_FLAGS by itself when the token does not hold (35, 72). Of a server without
                     * CONDSTORE, equal EXISTS and UIDNEXT are `nothing`: flags show in WORKER_FLAGS only */
    WORKER_FLAGS,   /* all UIDs with flags, new mail with details */
    WORKER_DETAILS, /* all UIDs with flags and details, for pairing (70, 73) */
};

struct worker_scan {
    struct worker_token token; /* of this scan: never past what was really seen */
    bool nothing;              /* the mailbox is exactly as the token says; nothing below is set */
    /* Everything was listed: what is not in message is not there. Some may be without has_flags: UIDs that
     * were only listed, whose flags are as they were (74). */
    bool full;
    bool uidvalidity_changed; /* nothing else was scanned: ask again with WORKER_DETAILS and since NULL */
    bool read_only;
    flags_t permanent;              /* PERMANENTFLAGS as bits; all keyword bits when keywords_allowed */
    bool keywords_allowed;          /* `\*` */
    struct worker_message *message; /* in order of uid, unique */
    size_t n;
    struct uidset vanished;
    int number; /* the case that chose the depth, for the log */
};
void worker_scan_finish(struct worker_scan *s);

enum worker_verb {
    WORKER_STORE,
    WORKER_EXPUNGE,
    WORKER_MOVE,
    WORKER_COPY,
    WORKER_APPEND,
    WORKER_CREATE,
    WORKER_RENAME,
    WORKER_DELETE,
    WORKER_SUBSCRIBE,
    WORKER_UNSUBSCRIBE,
};

struct worker_op {
    enum worker_verb verb;
    /* STORE, EXPUNGE, MOVE, COPY: the source; APPEND: the target; else the mailbox itself */
    const char *mailbox;
    const char *target; /* MOVE, COPY: the target; RENAME: the new name */
    /* STORE, EXPUNGE, MOVE, COPY: the UIDVALIDITY that the UIDs belong to; a mailbox that has another one is
     * WORKER_GONE, 0 is not compared, here or there. Commands are split at 8,000 octets (case 37). */
    uint32_t uidvalidity;
    const struct uidset *uids;
    flags_t add, remove; /* STORE: +FLAGS.SILENT and -FLAGS.SILENT, never FLAGS; APPEND: add */
    bool verify;         /* STORE: +FLAGS instead, so that the server shows what came of it */
    /* APPEND. read gives exactly `size` octets in sum; a negative errno ends the attempt. */
    int64_t size; /* wire form */
    ssize_t (*read)(void *arg, void *out, size_t size);
    void *read_arg;
    int64_t date_s; /* date_s and zone_min 0: none is sent */
    int zone_min;
    bool nul; /* contains NUL: literal8 or WORKER_REFUSED with -EINVAL (case 62) */
};

struct worker_outcome {           /* what an operation gave */
    uint32_t uidvalidity;         /* APPENDUID, COPYUID: 0 when the server did not say */
    uint32_t uid;                 /* APPENDUID */
    struct uidset source, target; /* COPYUID: nth of source became nth of target, else both empty and
                                   * uidvalidity 0; the caller frees with uidset_finish */
    /* STORE with verify: of `add`, what a message was shown with, and without, afterwards. */
    flags_t shown, missing;
    bool moved; /* the source is gone. false: it was COPY, and the caller expunges */
};

/* Where a body goes while it streams in. Calls come in this order for each message, from within fetch. Mail
 * that is gone is never reported. */
struct worker_sink {
    void *arg;
    /* Octets of the current message, wire form. A negative errno stops everything: WORKER_LOCAL. */
    int (*data)(void *arg, const void *octets, size_t length);
    /* That was message uid of the mailbox that stands at `from`. whole = false: NIL, cut or empty, or not what
     * was asked for: discard it. uid 0: the session broke within it, or the server did not say. */
    int (*end)(void *arg, size_t from, uint32_t uid, bool whole);
};

/* Which bodies are asked of a mailbox, and what came of it. */
struct worker_fetch {
    const char *mailbox;
    uint32_t uidvalidity; /* as in worker_op */
    const struct uidset *uids;
    enum worker_result result; /* set by fetch, as the error; WORKER_BROKEN where it did not come to it */
    struct worker_error error;
};

struct worker_quota { /* room for mail, octets (RFC 9208) */
    bool known;       /* the server told a limit; else the rest is 0 */
    int64_t used, limit;
    char root[128]; /* the quota roots of the mailbox as the server names them, cut; "" none known */
};

struct worker;
struct worker_description;
struct worker_ops {
    /* Connects and logs in if it is not: called by the others as needed; for doctor, and for a first mount
     * that must say why not. */
    enum worker_result (*open)(struct worker *w, struct fault *f);
    /* All mailboxes in order of names, one call of each a mailbox; a non-zero result ends it, a negative one
     * as WORKER_LOCAL. One round trip with LIST-STATUS. */
    enum worker_result (*tree)(struct worker *w, int (*each)(void *arg, const struct worker_box *b),
                               void *arg, struct worker_error *e);
    /* Is this mailbox really missing? STATUS, and LIST where that says NO: WORKER_DONE it is there,
     * WORKER_GONE it is not, or is a mere level (case 75). `ret` may be NULL; its name is `mailbox`. */
    enum worker_result (*status)(struct worker *w, const char *mailbox, struct worker_box *ret,
                                 struct worker_error *e);
    /* This mailbox will be scanned for the first time (since NULL), next of all or behind those that are
     * expected already: its questions may travel behind theirs. What comes of it, an error too, is the scan's.
     * May be NULL. */
    void (*expect)(struct worker *w, const char *mailbox);
    enum worker_result (*scan)(struct worker *w, const char *mailbox, const struct worker_token *since,
                               enum worker_depth depth, struct worker_scan *ret, struct worker_error *e);
    /* UIDs at or above `from` with flags and details: for settling appends. Lower UIDs that the server adds
     * are dropped. */
    enum worker_result (*list)(struct worker *w, const char *mailbox, uint32_t from, struct worker_scan *ret,
                               struct worker_error *e);
    enum worker_result (*apply)(struct worker *w, const struct worker_op *op, struct worker_outcome *ret,
                                struct worker_error *e);
    /* Bodies out of n mailboxes, in this order. What is asked of one may travel behind what is asked of those
     * before it. WORKER_DONE: the session lives, and nothing failed on this machine; each result tells the
     * rest. Where the server asks for a pause, no more is asked of it. */
    enum worker_result (*fetch)(struct worker *w, struct worker_fetch *from, size_t n,
                                const struct worker_sink *sink);
    /* Waits until something happens in the mailbox, by IDLE or by a NOOP every 10 s, or timeout_ms passes:
     * WORKER_DONE; *ret_changed tells. The first watch of a session reports a change at once, for nothing is
     * known of the time before; what happened between two watches is reported by the second. */
    enum worker_result (*watch)(struct worker *w, const char *mailbox, int timeout_ms, bool *ret_changed,
                                struct worker_error *e);
    /* Of the quota roots of the mailbox, the one with the least room. No command, and nothing known, where
     * the server does not offer QUOTA or refuses. May be NULL: no worker of that kind has quotas. */
    enum worker_result (*quota)(struct worker *w, const char *mailbox, struct worker_quota *ret,
                                struct worker_error *e);
    /* Reads what is still to come of the opening, and sends NOOP if the session was idle for long, so that it
     * is known to be alive; WORKER_BROKEN when not. */
    enum worker_result (*ping)(struct worker *w, struct worker_error *e);
    /* Any thread: ends a running wait or transfer soon; sticky until reset. */
    void (*cancel)(struct worker *w);
    /* The owner: closes the session, clears cancel; the next call opens a fresh one. */
    void (*reset)(struct worker *w);
    void (*destroy)(struct worker *w);
    /* For status and doctor: the session in words; capabilities. The server's name, and the speed for sure,
     * are known after the first command. */
    void (*describe)(struct worker *w, struct worker_description *ret);
};

enum worker_speed { WORKER_SPEED_NONE = 3, WORKER_SPEED_CONDSTORE = 2, WORKER_SPEED_QRESYNC = 1 };
/* What worked when the session was last opened, also when that failed later on. TLS is before the greeting,
 * or after it with STARTTLS; not at all when it is off. */
enum worker_step {
    WORKER_STEP_CONNECTED = 1,
    WORKER_STEP_TLS = 2, /* with a certificate that is trusted */
    WORKER_STEP_GREETED = 4,
    WORKER_STEP_LOGGED_IN = 8,
};
struct worker_description {
    bool connected;
    unsigned steps;          /* enum worker_step */
    char peer[256];          /* host:port or the tunnel command's first word */
    char tls[128];           /* "TLSv1.3 TLS_AES_256_GCM_SHA384", or "none" */
    char certificate[512];   /* SHA-256, until, subject, issuer; also of one that is not trusted */
    char server[256];        /* ID's name and version */
    char login[64];          /* "PLAIN" */
    char capabilities[2048]; /* as it said last */
    enum worker_speed speed;
    bool idle, move, uidplus, list_status, literal_plus;
    bool deflates;      /* it offers COMPRESS=DEFLATE, */
    bool deflate_fails; /* and it does not work, */
    bool compressed;    /* or this session uses it */
    int64_t memory;     /* what the account's workers in the next process are to be told */
    int64_t append_limit; /* octets that a message may have (APPENDLIMIT, RFC 7889 2); 0: not told */
    uint64_t octets_in, octets_out, commands; /* of this worker, over all its sessions */
};

struct worker {
    const struct worker_ops *ops;
};
