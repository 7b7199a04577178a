#pragma once
/*
 * The engine's inside, shared by the files of this folder. See engine.c for who runs what.
 */
#include <pthread.h>
#include "arena.h"
#include "base_state.h"
#include "body.h"
#include "brain.h"
#include "engine.h"
#include "held.h"
#include "mailbox.h"
#include "message.h"
#include "pending.h"
#include "work.h"
#include "cache_worker.h"
#include "clock.h"

#define ENGINE_FETCHERS_MAX 8
#define ENGINE_QUIET_MS 500      /* a message at rest for this long is appended */
#define ENGINE_MOVE_QUIET_MS 150 /* and so long moved: programs rename twice, or there and back (case 46) */
#define ENGINE_BATCH 1000        /* messages a transaction, and a plan */
#define ENGINE_SMALL_FETCH 16    /* so few new bodies are fetched by the engine's own session, at once */
#define ENGINE_SMALL_BYTES (1 << 20)

enum engine_hint {
    HINT_LOCAL = 1,  /* something changed in the cache */
    HINT_BOXES = 2,  /* a mailbox was made, renamed or removed in the cache */
    HINT_PUSH = 4,   /* the server has news in the watched mailbox */
    HINT_FULL = 8,   /* everything is to be looked at */
    HINT_ASKED = 16, /* a person or a program waits: no back-off */
    HINT_FETCHED = 32,
    HINT_WANT = 64, /* a reader waits for a body */
};

struct engine {
    struct cache *cache;
    const struct config_account *account;
    struct worker *(*new_worker)(void *arg);
    void *new_worker_arg;

    pthread_t thread, watcher, fetcher[ENGINE_FETCHERS_MAX];
    unsigned fetchers; /* started: of who starts and stops the engine */
    bool alone;        /* no fetchers: the engine thread brings the bodies; constant once threads run */
    bool running, watching;

    /* The engine thread's own. */
    struct worker *worker;
    bool open; /* the session is up, and pending work was settled in it */
    int64_t poll_at_ms, retry_at_ms, quiet_at_ms, tend_at_ms; /* CLOCK_BOOTTIME */
    unsigned failures;                                        /* connections that failed in a row */
    unsigned burst_ms;     /* changes came while the last round ran: the next one waits so long for more */
    unsigned tried_create; /* times since something was sent with success */
    char delimiter;
    int64_t quota_at_ms;  /* when the quota may be asked for again, CLOCK_BOOTTIME */
    int64_t missed_at_ms; /* CLOCK_BOOTTIME: when what was to be moved had last been missed at its place */
    bool counted;         /* cache_octets has been found out */
    bool saw_removals;    /* by a scan of this round */
    bool saw_orphans;     /* likewise: rows that stay, and may have to be found elsewhere (cache/orphan.h) */
    struct brake_window *window;
    size_t windows;
    struct flag_mask *mask;
    size_t masks;
    struct quota_full *full;
    size_t fulls;

    pthread_mutex_t lock;  /* a leaf; protects what follows */
    pthread_cond_t wake;   /* the engine thread waits here */
    pthread_cond_t fetch;  /* fetchers and the watcher wait here */
    pthread_cond_t agreed; /* engine_sync waits here */
    bool stop, online, fetch_on;
    bool in_burst; /* the engine thread waits for the end of many changes */
    bool offline;  /* it was tried, and nobody answered: readers are told at once */
    unsigned fetchers_idle;
    int64_t pause_until_ms; /* the server asked for a pause, CLOCK_BOOTTIME; 0 none */
    uint64_t fetch_news;    /* counts what may be work for fetchers */
    unsigned hints;
    uint64_t asked, answered; /* rounds asked for, and the last one that ended with both sides equal */
    struct worker *live[ENGINE_FETCHERS_MAX + 2]; /* those to cancel when stopping */
    int64_t *claimed;                             /* rows whose bodies are under way */
    size_t n_claimed, cap_claimed;
    struct engine_status status;
    int64_t cache_octets, new_octets; /* bodies.c: on disk when they were counted, and what came since */
    int64_t rate_start_ms;
    uint64_t rate_bytes;
};

/* engine.c */
void engine_hint(struct engine *e, unsigned hints);
bool engine_stopping(struct engine *e);
enum worker_speed engine_speed(struct engine *e);
/* There may be wishes for bodies that nobody has taken. Any thread. */
void engine_was_asked(struct engine *e);
/* The engine itself wants this body, to compare it: it comes some time, and a hint with it. */
void engine_want(struct engine *e, int64_t message);
void engine_doing(struct engine *e, const struct mailbox *box, const char *what);
/* The engine thread: the next round at the latest in so many milliseconds. */
void engine_look_again(struct engine *e, int64_t ms);
/* The mailbox is not there, says the server: true when its tree is looked at again for that. Not for ever:
 * false when that has not helped. */
bool engine_try_create(struct engine *e, const struct worker_error *error);
/* The server asked for a pause, 0 for none: nothing is sent meanwhile by any session, for it counts all of
 * them. */
void engine_pause(struct engine *e, unsigned ms);
bool engine_paused(struct engine *e);
/* Any thread: waits until the pause is over; false when stopping. */
bool engine_wait_pause(struct engine *e);
/* Did this result end the session? */
static inline bool engine_session_ended(enum worker_result r)
{
    return r == WORKER_UNKNOWN || r == WORKER_BROKEN || r == WORKER_CANCELLED;
}
bool engine_register(struct engine *e,
                     struct worker *w); /* so that stopping cancels it; false when stopping already */
void engine_unregister(struct engine *e, struct worker *w);
void engine_fail_message(struct engine *e, int64_t message, int64_t mailbox, const char *what,
                         const struct worker_error *why);

/* round.c */
enum worker_result round_run(struct engine *e, unsigned hints);
bool round_at_rest(struct engine *e);   /* do both sides agree, as far as is known here? */
int64_t round_settle(struct engine *e); /* settles what is quiet; milliseconds to the next, -1 none */

/* boxes.c */
struct box_news { /* what the tree told of one mailbox that is on both sides */
    int64_t mailbox;
    bool changed;      /* its numbers differ from the token, or it has none */
    uint32_t messages; /* 0: none, or not told */
};
struct boxes {
    struct arena arena;
    struct worker_box *listed;
    size_t n_listed, cap_listed;
    struct box_news *news;
    size_t n_news;
    char delimiter;
};
/* Reads the server's tree and merges it with the cache's: creations and renames on both sides, removals here.
 * ret tells which mailboxes need a scan. */
enum worker_result boxes_merge(struct engine *e, struct boxes *ret);
void boxes_finish(struct boxes *b);
/* By name, or NULL. */
const struct worker_box *boxes_find_listed(const struct boxes *b, const char *name);
/* Mailboxes removed here, once their mail's removal is through: DELETE on the server. */
enum worker_result boxes_delete(struct engine *e);

/* pull.c */
enum worker_result pull_mailbox(struct engine *e, int64_t mailbox, enum worker_depth depth);

/* repair.c: UIDVALIDITY changed or the database is not to be trusted (cases 70, 73) */
enum worker_result repair_mailbox(struct engine *e, struct mailbox *box, bool union_only);

/* follow.c: case 43 and its kin. 1: the row was found, 0: there is none, -errno. */
struct cache_worker_news;
int follow_arrival(cache_tx *tx, int64_t mailbox, const struct cache_worker_news *news, struct message *ret);
/* The address of a row is gone on the server, and the row is not (moved or flagged here). */
int follow_orphan(struct engine *e, cache_tx *tx, const struct message *m);
int follow_departure(cache_tx *tx, struct message *m, const struct base_state *base);
/* The server took this row's mail, and has nothing new in that mailbox. Has it the same text there already,
 * from before? Then the row is that one's from now on: 1 (case 64); 0: no; -errno. */
int follow_same_there(struct engine *e, int64_t message, int64_t mailbox);
/* Row m has the address `base` and shows `there` on the server. Was it edited here, and waits for its new
 * text? 1: that has the flags now, and nothing more is to be done about m; 0: no. */
int follow_successor(cache_tx *tx, const struct message *m, const struct base_state *base, flags_t there);
/* Is a row that waits to be appended, or may it be, one that came from the server meanwhile? Then it is not
 * sent. */
bool follow_twin(struct engine *e, const struct message *m);
/* Was a row that is to be appended edited here while the server's copy was replaced by another client? It is
 * marked then; true when that happened just now, and the row is to be read again (case 15). */
bool follow_conflict(struct engine *e, struct message *m);

/* brake.c: case 75. Removals of one side of a mailbox that has `there` messages left. */
bool brake_passes(struct engine *e, const struct mailbox *box, int side, uint64_t removals, uint64_t there);
void brake_count(struct engine *e, int64_t mailbox, int side, uint64_t removals);
/* All mailboxes were looked at: what was found elsewhere has left the holds; the rest passes the brake now,
 * or people are asked. */
int brake_review(struct engine *e);
/* Is this row held, and not approved? */
bool brake_holds(cache_rd *rd, int64_t message);
bool brake_holds_mailbox(cache_rd *rd, int64_t mailbox);
/* The server has this mailbox no more, and says so when asked: may it go here? 1, 0: it is held, or -errno.
 */
int brake_mailbox_may_go(struct engine *e, int64_t mailbox);
int brake_mailbox_is_back(struct engine *e, int64_t mailbox);

/* mask.c: flags that the server does not keep (cases 32, 33). Of `permanent`, those that it does. */
flags_t mask_storable(const struct engine *e, int64_t mailbox, flags_t permanent);
/* Is it known of each of these whether the server keeps it there? */
bool mask_is_known(const struct engine *e, int64_t mailbox, flags_t flags);
int mask_learn(struct engine *e, int64_t mailbox, flags_t kept, flags_t masked); /* -ENOMEM */
void mask_forget_all(struct engine *e); /* another session, or none any more */

/* push.c */
enum worker_result push_run(struct engine *e);

/* append.c */
enum worker_result append_message(struct engine *e, const struct message *m, const struct mailbox *box);
/* Finds out what became of everything announced before the line broke, or before the program ended. */
enum worker_result append_settle_all(struct engine *e);
/* The row and its base agree, or it stays dirty: inside a transaction. */
int append_confirm(cache_tx *tx, int64_t message, int64_t mailbox, uint32_t uid, flags_t flags);

/* quota.c: a session was opened: asks for the quota, unless that was less than an hour ago, and stores it for
 * statfs as "quota_limit" and "quota_used", and the size of a message as "append_limit": octets, 0 for none.
 */
void quota_refresh(struct engine *e);
/* Is this more than a message may have there? *ret says so (case 60). */
bool quota_is_too_big(struct engine *e, int64_t size, struct worker_error *ret);
/* The server says that the mailbox is over quota for a message of this size: what goes to its quota roots,
 * and is not much smaller, waits for a while (case 61). */
void quota_is_full(struct engine *e, const struct mailbox *box, int64_t size);
bool quota_waits(struct engine *e, const struct mailbox *box, int64_t size, struct worker_error *ret);
void quota_has_room(struct engine *e); /* something was removed: nothing waits any more */

/* peek.c: what messages on the server are. each is called for those that are there. */
enum worker_result peek_all(struct engine *e, const char *mailbox, uint32_t uidvalidity,
                            const struct uidset *uids,
                            void (*each)(void *arg, uint32_t uid, const struct body_info *info), void *arg);
enum worker_result peek_one(struct engine *e, const char *mailbox, uint32_t uidvalidity, uint32_t uid,
                            struct body_info *ret, bool *ret_got);

/* fetch.c */
void *fetch_main(void *arg);
/* One batch, of one mailbox or of any (0). */
enum worker_result fetch_some(struct engine *e, struct worker *w, int64_t mailbox, bool *ret_any);
enum worker_result fetch_wishes(struct engine *e,
                                struct worker *w);   /* all that readers wait for, and no more */
void fetch_refuse(struct engine *e, int err);        /* tells all readers that wait */
bool fetch_small(struct engine *e, int64_t mailbox); /* few enough for the engine itself? */
void fetch_forget_claims(struct engine *e);

/* bodies.c: which bodies come by themselves, and how long they stay */
int64_t bodies_since(struct engine *e);      /* of mail with this date or a later one */
int64_t bodies_bare_since(struct engine *e); /* and of what is shown already */
bool bodies_is_bare(int64_t since_s, int64_t date_s);
/* Of a row that has no address: was its text only at the server? Then there is nothing to send, nor to show.
 */
bool bodies_is_lost(struct engine *e, const struct message *m);
void bodies_give_up(struct engine *e, int64_t message);
void bodies_came(struct engine *e, int64_t octets); /* any thread */
void bodies_tend(struct engine *e);

/* tend.c */
void tend_run(struct engine *e);

/* watch.c */
void *watch_main(void *arg);
