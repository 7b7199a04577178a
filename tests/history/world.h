#pragma once
/*
 * A small world for the brain, all in memory and without a thread: a server that several people work on
 * (server.c), a cache that one works in (cache.c), a caller of the brain between them that breaks off at any
 * step (round*.c), and a book of what the people did, by which the end is judged (check.c). history.c makes
 * and runs the stories.
 *
 * A message's text is a number. The book is kept by text: how many messages with it were made and taken away,
 * and what was done to them since both sides last agreed.
 *
 * Everything is a fixed array, so that a world is made and forgotten hundreds of thousands of times. Nothing
 * here asserts: the first thing that is wrong is noted in `wrong`, for the story is then to be made shorter.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "brain.h"

enum {
    BOXES = 10,
    MAILS = 48,       /* on the server */
    ROWS = 48,        /* in the cache */
    PEOPLES = 14,     /* people make no more while a side holds so many */
    TEXTS = 96,       /* of one story */
    NAME = 96,        /* octets of a mailbox's name, with its end */
    NAME_PEOPLE = 24, /* what people make of names is shorter */
    WAITING = 24,     /* acts that wait for a step of the next round */
};

#define KEYWORD ((flags_t)1 << FLAGS_FIRST_KEYWORD) /* that some mailboxes cannot store */
#define ALTERED 0x10000u /* added to a text that the server has changed (case 63) */

/* ---- the server ---- */
struct mail {
    size_t box; /* index of its mailbox */
    uint32_t uid;
    unsigned text;
    flags_t flags;
    bool unconfirmed; /* sent by us, and we do not know it yet */
    bool doomed;      /* copied by us, and to be expunged */
};

struct server_box {
    bool there;
    char name[NAME];
    int64_t object; /* MAILBOXID */
    uint32_t uidvalidity, uidnext;
    flags_t can_store;
};

struct server {
    struct server_box box[BOXES];
    struct mail mail[MAILS];
    size_t mails;
    int64_t objects;
    uint32_t validities;
    unsigned version; /* counts changes */
};

/* What a server is like, by bits of the first number of a story. */
enum feature {
    FEATURE_UIDPLUS = 1,
    FEATURE_MOVE = 2,
    FEATURE_OBJECTS = 4,
    FEATURE_LYING_SIZES = 8, /* RFC822.SIZE is an estimate (case 19) */
    FEATURE_ALTERS = 16,     /* some texts are changed at APPEND (case 63) */
    FEATURE_MASKS = 32,      /* some mailboxes cannot store KEYWORD (case 32) */
    FEATURE_LAST_FIRST = 64, /* of us: the messages' operations are carried out from the last one on */
    FEATURES = 128,
};

/* ---- the cache ---- */
struct intent { /* announced before it is sent */
    bool set, move, accepted;
    int64_t box;
    uint32_t uidvalidity, uidnext;
    flags_t flags;
    int64_t source;
    uint32_t source_uidvalidity, source_uid;
};

struct row {
    int64_t id; /* 0: free */
    bool present;
    int64_t box;
    unsigned text;
    flags_t flags;
    int64_t after;      /* row that takes its place */
    unsigned unsettled; /* for so many rounds it is not whole and at rest */
    bool has_base;
    int64_t base_box;
    uint32_t base_uid; /* 0: an address that is gone */
    flags_t base_flags;
    struct intent intent;
};

struct cache_box {
    int64_t id; /* 0: free */
    bool present, has_base;
    char name[NAME], base_name[NAME];
    char remote[NAME]; /* what the server called it when it was last seen */
    int64_t object;
    uint32_t uidvalidity, uidnext;
    flags_t can_store;
};

struct cache {
    struct row row[ROWS];
    size_t rows; /* beyond them all are free */
    struct cache_box box[BOXES];
    int64_t ids;
    bool restorable[TEXTS];
    bool in_doubt; /* the base is lost or too old (case 73) */
};

/* ---- the book ---- */
struct text {
    int64_t message_id, date_s, size;
    unsigned made, removed; /* messages, by people */
    bool confused; /* what we had sent was gone before we knew of it, so that another may be taken for it */
    /* Since both sides last agreed: */
    unsigned here, there; /* made */
    unsigned gone;        /* removed */
    unsigned moved_here, moved_there;
    unsigned more; /* so many more there may be, for no client could have known better */
    flags_t set, cleared;
    bool relaxed;        /* what was done to it may have been forgotten */
    bool soft;           /* done here, and not on disk yet */
    int64_t target;      /* where it was moved to last: a mailbox of the cache */
    size_t target_there; /* or one of the server */
    /* When both sides last agreed: */
    unsigned count;
    int64_t box;
    flags_t flags;
};

/* ---- the world ---- */
enum cut {
    CUT_NOT,
    CUT_BEFORE, /* the line breaks before the command arrives */
    CUT_HALF,   /* when half of it is done */
    CUT_AFTER,  /* when it is done, before the answer */
    CUT_KINDS,
};

enum sabotage { /* a caller that is wrong on purpose */
                SABOTAGE_NONE,
                SABOTAGE_HASTY_BASE,  /* what broke off counts as done */
                SABOTAGE_NO_SETTLING, /* what was announced is forgotten, and sent again */
                SABOTAGE_NO_WAITING,  /* removals do not wait for what takes the message's place */
                SABOTAGE_SET_TO,      /* flags are set to what they should be, not changed by what differs */
                SABOTAGE_UNION,       /* all is merged as if there were no base */
                SABOTAGE_BLIND_REMOVAL, /* what is not seen on the server is removed here without a base */
                SABOTAGES,
};

struct act { /* one line of a story, see history.h */
    unsigned char code, at, arg[3];
};

struct world {
    unsigned features;
    enum sabotage sabotage;
    struct server server;
    struct cache cache, disk; /* disk: what a power failure leaves */
    struct text text[TEXTS];
    unsigned texts;
    bool doubt; /* since both sides last agreed, a base was lost or a mailbox numbered anew */
    bool lost;  /* a base was lost */

    /* the next round's trouble */
    unsigned cut_at;
    enum cut cut;
    bool kill;        /* and the program ends */
    bool slow_bodies; /* what is new on the server is not here yet */
    unsigned hidden;  /* 1 + a mailbox that LIST leaves out */
    struct act waiting[WAITING];
    size_t n_waiting;

    /* the round under way */
    bool down;
    unsigned point;
    unsigned changes; /* of anything on either side, and of bases */

    /* counted */
    unsigned long points, cuts, rounds, merges, operations;
    char wrong[200]; /* "" while all is well */
};

void world_begin(struct world *w, unsigned features);
__attribute__((format(printf, 2, 3))) void world_wrong(struct world *w, const char *format, ...);

/* Before each command on the line: what waits for this point happens, and the line may break. */
enum cut world_point(struct world *w);
/* history.c: does one act at once. */
void world_act(struct world *w, const struct act *a);

/* ---- server.c ---- */
struct server_box *server_find(struct world *w, const char *name);
struct mail *server_mail(struct world *w, const struct server_box *box, uint32_t uid);
/* The new message, or NULL when there is no room. */
struct mail *server_store(struct world *w, const struct server_box *box, unsigned text, flags_t flags);
void server_drop(struct world *w, struct mail *m);
struct server_box *server_create(struct world *w, const char *name);
bool server_rename(struct world *w, const char *from, const char *to);
void server_delete(struct world *w, struct server_box *box);
int64_t server_size(const struct world *w, unsigned text);
size_t server_index(const struct world *w, const struct server_box *box);

bool name_lies_below(const char *name, const char *upper);
/* `to` instead of `from` at the head of a name, if it is that or lies below. */
void name_move(char *name, const char *from, const char *to);

/* ---- cache.c ---- */
enum durable { SOON, NOW };
void cache_commit(struct world *w, enum durable durable);
void cache_power_fails(struct world *w);
struct row *cache_row(struct world *w, int64_t id);
/* NULL when there is no room. */
struct row *cache_new_row(struct world *w, int64_t box, unsigned text, flags_t flags);
void cache_free_row(struct world *w, struct row *r);
struct cache_box *cache_box(struct world *w, int64_t id);
struct cache_box *cache_find_box(struct world *w, const char *name);
struct cache_box *cache_new_box(struct world *w, const char *name);
/* A mailbox that was removed here comes back, under the last name that it had, or with a suffix (as
 * boxes_put_again in sync/boxes_place.c). */
void cache_show_again(struct world *w, struct cache_box *c);

/* ---- people.c: what they do. Arguments are any numbers; what makes no sense does nothing. ---- */
void there_append(struct world *w, unsigned box, unsigned flags, unsigned unused);
void there_store(struct world *w, unsigned mail, unsigned add, unsigned remove);
void there_expunge(struct world *w, unsigned mail, unsigned unused, unsigned unused2);
void there_move(struct world *w, unsigned mail, unsigned box, unsigned unused);
void there_copy(struct world *w, unsigned mail, unsigned box, unsigned unused);
void there_create(struct world *w, unsigned name, unsigned unused, unsigned unused2);
void there_rename(struct world *w, unsigned box, unsigned name, unsigned unused);
void there_delete(struct world *w, unsigned box, unsigned unused, unsigned unused2);
void there_renumber(struct world *w, unsigned box, unsigned unused, unsigned unused2);
void here_deliver(struct world *w, unsigned box, unsigned flags, unsigned unsettled);
void here_flag(struct world *w, unsigned row, unsigned add, unsigned remove);
void here_remove(struct world *w, unsigned row, unsigned unused, unsigned unused2);
void here_move(struct world *w, unsigned row, unsigned box, unsigned unused);
void here_copy(struct world *w, unsigned row, unsigned box, unsigned unused);
void here_edit(struct world *w, unsigned row, unsigned unsettled, unsigned unused);
void here_edit_alike(struct world *w, unsigned row, unsigned unsettled,
                     unsigned unused); /* of the same size */
void here_create(struct world *w, unsigned name, unsigned unused, unsigned unused2);
void here_rename(struct world *w, unsigned box, unsigned name, unsigned unused);
void here_delete(struct world *w, unsigned box, unsigned unused, unsigned unused2);
void both_file(struct world *w, unsigned box, unsigned flags, unsigned unused);
void here_lose_base(struct world *w, unsigned how, unsigned unused, unsigned unused2);
flags_t people_flags(unsigned number);
/* Another client gave this mailbox the name of one that was made here: they are one, and its mail is
 * recognised one by one. */
void book_joined(struct world *w, size_t server_box);

/* ---- round.c and its parts ---- */
/* What the caller of the brain saw of the server in this round. */
struct seen {
    int64_t box; /* of the cache */
    uint32_t uidvalidity;
    struct mail mail;
};

struct round {
    struct world *w;
    struct arena arena;
    struct seen seen[MAILS];
    size_t n;
    int64_t unknown[BOXES]; /* mailboxes of the cache that could not be looked at */
    size_t unknowns;
    int64_t absent[BOXES]; /* mailboxes that the server has no more */
    size_t absents;
    int64_t objects;      /* the server's newest mailbox when they were listed */
    bool complete;        /* all mailboxes were seen as they were at one time */
    bool frozen;          /* a mailbox was numbered anew: nothing is removed */
    int64_t dying[BOXES]; /* to be deleted at the end: mailboxes of the cache */
    const struct brain_box_op *death[BOXES];
    size_t n_dying;
};

enum { CACHE = 0, SERVER = 1 };

/* One round, until the line breaks. Returns whether anything was done. */
bool round_run(struct world *w);
/* Commands: false when the line broke. */
bool round_settle(struct round *r); /* round_append.c */
bool round_boxes(struct round *r);  /* round_boxes.c */
bool round_delete_boxes(struct round *r);
bool round_scan(struct round *r); /* round_scan.c */
bool round_knows(const struct round *r, int64_t box);
bool round_misses(const struct round *r, int64_t box);
void round_renumber(struct round *r, struct cache_box *c, const struct server_box *s);
bool round_messages(struct round *r);                                       /* round_messages.c */
bool round_append(struct round *r, int64_t row, const struct brain_op *op); /* round_append.c */
bool round_move(struct round *r, int64_t row, const struct brain_op *op);
struct server_box *round_remote(struct world *w,
                                int64_t box); /* by the name it had, if its numbers are the same */

/* ---- check.c ---- */
/* Rounds without trouble, until nothing is left to do; then everything is judged. */
void check_quiet(struct world *w);
void check_begin(struct world *w);
/* Our worker is about to expunge a message. */
void check_expunge(struct world *w, const struct mail *m, const struct row *r);
