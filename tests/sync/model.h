#pragma once
/*
 * A model of an IMAP server, in memory, with sessions that are workers (worker.h).
 *
 * Everything that a server would have on disk lies in one shared anonymous mapping, so that it outlives a
 * child process that runs the engine and dies. A process dies only where the model lets it, with the server's
 * mutex in its hand, so that nobody is half-way through a change: model_after_death makes the mutex anew.
 *
 * Trouble is planned beforehand (struct model_trouble): at the nth operation that matches, the session breaks
 * or the whole process ends, before or after the operation took effect.
 *
 * "Another client" is a set of functions that change the server directly. Flags are given in the model's own
 * numbering: bits 0 to 5 as everywhere, keywords by model_keyword.
 */
#include <pthread.h>
#include <stdatomic.h>
#include "flags.h"
#include "uidset.h"
#include "worker.h"

struct model;

#define MODEL_DELIMITER '/'

struct model_features {
    enum worker_speed speed;
    bool uidplus;     /* APPENDUID and COPYUID are told */
    bool move;        /* else WORKER_MOVE copies */
    bool list_status; /* the tree brings numbers */
    bool objectid;    /* and MAILBOXIDs */
    bool one_of_each; /* APPEND of what the mailbox has is OK, and answered with that one's UID */
};

/* What a server of this time can do. */
extern const struct model_features model_full;

enum model_event { /* classes of operations, for trouble */
                   MODEL_OPEN = 1,
                   MODEL_TREE = 2,
                   MODEL_SCAN = 4, /* scan, list, status */
                   MODEL_APPLY = 8,
                   MODEL_FETCH = 16,
                   MODEL_ALL = 31,
                   MODEL_QUOTA = 32,
};

enum model_blow {
    MODEL_BREAKS,         /* the session; the caller cannot know (WORKER_UNKNOWN for apply) */
    MODEL_BREAKS_CLEANLY, /* the session, and the caller knows that nothing was changed (WORKER_BROKEN) */
    MODEL_DIES,           /* the process: _exit(MODEL_DEATH) */
};
#define MODEL_DEATH 42

struct model_trouble {
    unsigned events; /* which operations count; 0: there is no trouble planned */
    unsigned nth;    /* 1 is the next one */
    unsigned every;  /* afterwards each of this number; 0: once only */
    bool effect;     /* the operation takes effect all the same */
    bool half;       /* of several messages, the first half has it; of a body, half of the octets come */
    enum model_blow blow;
    int err; /* what the caller is told of a session that broke, a negative errno */
};

struct model *model_new(const struct model_features *f);
void model_free(struct model *m);

void model_plan(struct model *m, const struct model_trouble *t); /* NULL: no trouble */
bool model_struck(struct model *m);          /* did the trouble happen since it was planned? */
unsigned model_operations(struct model *m);  /* so far, of all sessions */
void model_down(struct model *m, bool down); /* refuses sessions, and breaks those that are */
/* SIGKILL between two operations, and waits; but the child may have ended well before, not otherwise. */
void model_kill(struct model *m, int pid);
void model_after_death(struct model *m);

/* Another client comes between: hook(arg) runs once, before the nth operation of these events begins, on the
 * session's thread and without the lock. */
void model_between(struct model *m, unsigned events, unsigned nth, void (*hook)(void *arg), void *arg);

/* ---- a session ---- */
struct model_login {
    struct model *model;
    struct keywords *keywords; /* the account's */
};
struct worker *model_worker(const struct model_login *login);

/* ---- another client ---- */
/* Between these nobody else does anything: what was seen is still so when something is done about it. */
void model_hold(struct model *m);
void model_release(struct model *m);
flags_t model_keyword(struct model *m, const char *name);
uint32_t model_append(struct model *m, const char *box, const char *wire, flags_t flags, int64_t date_s);
void model_store(struct model *m, const char *box, uint32_t uid, flags_t add, flags_t removed);
void model_expunge(struct model *m, const char *box, uint32_t uid);
uint32_t model_move(struct model *m, const char *from, uint32_t uid, const char *to);
void model_create(struct model *m, const char *box);
void model_rename(struct model *m, const char *from, const char *to); /* children too */
void model_delete(struct model *m, const char *box);
/* New UIDVALIDITY; messages keep their order and get new UIDs from `first` on. */
/* Deletes it and makes another one of the same name, with the same UIDVALIDITY. */
void model_replace(struct model *m, const char *box);
void model_renumber(struct model *m, const char *box, uint32_t first);
/* Which flags the mailbox stores. */
void model_permit(struct model *m, const char *box, flags_t permanent, bool keywords_allowed);
void model_read_only(struct model *m, const char *box, bool read_only);
/* Is asked for before each APPEND, CREATE...: the server says NO to these verbs (bits 1 << verb). */
void model_refuse(struct model *m, unsigned verbs);
/* Its quota root, and whether APPEND says OVERQUOTA. */
void model_quota(struct model *m, const char *box, char root, bool full);
/* From now on no bodies come of UIDs from this one on, in any mailbox. */
void model_withhold(struct model *m, uint32_t from_uid);
void model_append_limit(struct model *m, int64_t octets);
/* Flags, in the model's numbering, that STORE says OK to and does not store, and such that it refuses. */
void model_distrust(struct model *m, const char *box, flags_t dropped, flags_t refused);

/* ---- what is there ---- */
struct model_view {
    const char *box;
    uint32_t uid;
    flags_t flags; /* the model's numbering */
    const char *wire;
    size_t size;
    int64_t date_s;
    int zone_min;
    int64_t message_id;
};
bool model_has_box(struct model *m, const char *box);
/* The ith mailbox, "" for what is none; false behind the last. */
bool model_box_name(struct model *m, size_t i, char *ret, size_t size);
/* All messages of a mailbox (NULL: of all), in order of UID; nothing may change meanwhile. */
void model_each(struct model *m, const char *box, void (*each)(void *arg, const struct model_view *v),
                void *arg);
size_t model_count(struct model *m, const char *box);
bool model_find(struct model *m, const char *box, uint32_t uid, struct model_view *ret);
const char *model_keyword_name(struct model *m, unsigned bit); /* flags_system_name for bits 0 to 5 */
