#pragma once
/*
 * The IMAP worker's inside: one session, and how commands travel on it.
 *
 * Who does what. libetpan keeps the stream's buffers and streams bodies (fetch.c). All other commands are
 * sent and read here (exchange.c, reply.c), because libetpan 1.9.4 cannot: its QRESYNC SELECT lacks the
 * parentheses of RFC 7162, it keeps the first VANISHED and the last STATUS of an answer only, it forgets the
 * response code of a BAD, and one item that it does not know (an RFC822.SIZE of NIL, a LIST-EXTENDED tail) is
 * a parse error that ends the session. Our tags begin with "m", libetpan's are bare numbers; a command is
 * always read to its end before another reader takes over, so that the two never see each other's lines.
 *
 * Life of a session: closed -> open (imap_ready) -> dead (imap_broken) -> closed (reset). Dead is sticky, so
 * that nothing is sent on a fresh connection before the owner has settled what became of the old one.
 *
 * Thread: all the worker's, but for cancel.
 */
#include <errno.h>
#include <libetpan/libetpan.h>
#include "buf.h"
#include "imap.h"
#include "reply.h"
#include "stream.h"

#define COMMAND_MAX 8000       /* octets (case 37) */
#define COMMAND_MAX_SMALL 4000 /* for servers that balk */
#define AHEAD_MAX 8            /* scans that are asked for before they are wanted */
#define OWED_MAX (2 * AHEAD_MAX + 4)

/* Called for each reply but "+", the tagged one too; after a negative errno no more, but the command is read
 * to its end. */
typedef int imap_each(void *arg, const struct reply *r);

/* What the server offers, and we use. */
struct imap_capabilities {
    bool condstore, qresync /* offered */, enable, uidplus, move, idle, unselect, id, esearch;
    bool list_extended, list_status, special_use, literal_plus, literal_minus, binary, sasl_ir;
    bool starttls, login_disabled, auth_plain, quota, objectid, compress;
};

/* The mailbox that is selected; all zero when none is. */
struct imap_selected {
    char *name;
    uint32_t uidvalidity, uidnext, exists; /* exists follows what the server tells meanwhile */
    uint64_t modseq;                       /* HIGHESTMODSEQ as SELECT said, 0 for none */
    bool read_only, keywords_allowed;
    flags_t permanent;
    bool news; /* something changed since it was selected */
};

/* What the server has told of the selected mailbox since it was scanned (view.c). */
struct imap_view {
    bool whole;             /* all of it is in here */
    struct worker_token at; /* what the scans told; its MODSEQ is that of the last SELECT */
    uint64_t told;          /* the highest MODSEQ that was told since */
    struct uidset touched;  /* about whose flags, or more, something was told since */
    int64_t begun_ms;       /* CLOCK_BOOTTIME of that SELECT */
    unsigned looks;         /* scans since */
};

/* compress.c */
struct imap_compress {
    bool far;         /* the line is long */
    bool unwanted;    /* this session has nothing to gain by it, or is to do without */
    bool suspect;     /* the last session broke, and it may have been for this */
    unsigned tag;     /* of a COMPRESS behind the login; 0: none */
    int64_t began_ms; /* CLOCK_BOOTTIME of the connection */
};

struct imap {
    struct worker worker; /* first */
    const struct config_account *account;
    struct keywords *keywords;
    _Atomic int64_t *memory; /* compress.c; of all workers of the account */
    struct cancel cancel;
    int connect_ms, idle_ms;
    int far_ms; /* a greeting that takes as long is that of a server far away */
    enum { IMAP_CLOSED, IMAP_OPEN, IMAP_DEAD } state;
    mailimap *etpan;       /* open only; owns stream */
    struct stream *stream; /* its innermost part */
    struct imap_capabilities has;
    bool has_told;     /* in this session, since it was asked or might have changed: what `has` says holds */
    bool qresync;      /* enabled: the server said so */
    bool select_plain; /* it refused SELECT's parameters once */
    size_t command_max;
    struct imap_selected selected;
    struct imap_view view;
    struct imap_compress compress;
    struct imap_selected watched; /* as watch last saw it: name and numbers */
    struct buf octets;            /* of the reply being looked at */
    struct reply done;            /* the last tagged reply; points into octets */
    char bye[256];                /* the server's last words */
    unsigned tag;
    unsigned aside; /* of a command whose end may come before that of the one that is waited for; 0: none */
    struct owed {
        unsigned tag;
        imap_each *each;
        void *arg;
        struct imap_selecting *select; /* it is one, and arg too */
    } owed[OWED_MAX];
    unsigned n_owed;
    struct imap_ahead *ahead[AHEAD_MAX]; /* scan.c, in the order in which they were asked for */
    unsigned n_ahead;
    int64_t used_ms;                /* CLOCK_BOOTTIME of the last reply */
    uint64_t octets_in, octets_out; /* of the sessions before this one */
    struct worker_description about;
};

/* session.c */
void imap_note_capabilities(struct imap *im, struct cursor words); /* the server tells, asked or not */
enum worker_result imap_open(struct imap *im, struct fault *f);
enum worker_result imap_ready(struct imap *im,
                              struct worker_error *e); /* opens it if closed; WORKER_BROKEN when dead */
void imap_close(struct imap *im);                      /* -> closed; says LOGOUT, without patience */
/* The session is over. With `sent` a command's outcome is unknown. Returns WORKER_CANCELLED, WORKER_LOCAL (no
 * memory), WORKER_UNKNOWN or WORKER_BROKEN, with e filled. */
enum worker_result imap_broken(struct imap *im, bool sent, struct worker_error *e);
/* auth.c */
int imap_login(struct imap *im, struct fault *f);
void imap_wipe(
    struct imap *im,
    struct buf *sent); /* a secret that was sent: from b, which is freed, and from libetpan's write buffer */

/* exchange.c: a command under construction, begun with command_begin; run and send free it. No memory shows
 * when it is sent. */
struct command {
    struct buf text;
    size_t
        split[4]; /* where a synchronising literal's octets begin: the server's go-ahead is awaited there */
    unsigned splits;
    unsigned tag;
    bool secret; /* its octets are wiped once they are sent */
    bool open;   /* it goes on after what is here: no CRLF yet */
    bool behind; /* it may be sent before what is owed has come */
    bool held;   /* it may wait for the next command, to be sent with that, or for who reads */
};
__attribute__((format(printf, 3, 4))) void command_begin(struct imap *im, struct command *c,
                                                         const char *format, ...);
void command_string(struct imap *im, struct command *c, const char *text); /* astring: quoted, or a literal */
void command_flags(struct imap *im, struct command *c, flags_t flags);     /* "(\Seen ...)" */

/* Sends and takes the command's memory. WORKER_DONE, WORKER_REFUSED (the server refused a literal; the
 * command is over), or as imap_broken. *tag is what imap_finish waits for. Several may be sent before the
 * first is finished, in order. */
enum worker_result imap_send(struct imap *im, struct command *c, unsigned *ret_tag, struct worker_error *e);
/* Sends what need not succeed, and leaves its answer to be read before that of the next command: no wait of
 * its own. arg lives until then, or until the session ends. It has no literal to wait for. */
enum worker_result imap_send_ahead(struct imap *im, struct command *c, imap_each *each, void *arg,
                                   struct worker_error *e);
/* Reads the answers that are owed. WORKER_DONE, or the session broke. */
enum worker_result imap_settle(struct imap *im, struct worker_error *e);
/* The same up to the last that goes to arg. */
enum worker_result imap_settle_to(struct imap *im, const void *arg, struct worker_error *e);
/* The same as imap_settle if there is a SELECT among them: before im->selected is looked at. */
enum worker_result imap_settle_selected(struct imap *im, struct worker_error *e);
/* Reads up to the tagged reply. WORKER_DONE for OK; WORKER_REFUSED for NO and BAD (im->done.condition tells),
 * e filled; WORKER_LOCAL when `each` failed; else the session broke. */
enum worker_result imap_finish(struct imap *im, unsigned tag, imap_each *each, void *arg,
                               struct worker_error *e);
enum worker_result imap_run(struct imap *im, struct command *c, imap_each *each, void *arg,
                            struct worker_error *e);
/* One reply, noted for the selected mailbox; 0 or a negative errno. Valid until the next one. */
int imap_read(struct imap *im, struct reply *ret);
/* "VERB uids TAIL" over a set of UIDs, in as many commands as the length limit asks for. Takes the tail's
 * memory; it may be NULL. */
enum worker_result imap_run_uids(struct imap *im, const char *verb, const struct uidset *uids,
                                 struct command *tail, imap_each *each, void *arg, struct worker_error *e);
void imap_error_from(const struct reply *r, struct worker_error *e);
void imap_error_set(struct worker_error *e, int err, const char *text, size_t length);

/* select.c. Selects the mailbox again in any case; since may be NULL. WORKER_GONE when it does not exist. */
enum worker_result imap_select(struct imap *im, const char *mailbox, const struct worker_token *since,
                               imap_each *each, void *arg, struct worker_error *e);
/* Selects unless it is selected; uidvalidity 0 is not compared, another one than expected is WORKER_GONE. */
enum worker_result imap_need(struct imap *im, const char *mailbox, uint32_t uidvalidity,
                             struct worker_error *e);
void imap_unselected(struct imap *im); /* nothing is selected any more */
/* SELECT without waiting for the answer, which goes to s, and into im->selected, with the next imap_settle.
 * The name lives until then, as s does. WORKER_REFUSED: not of this name, and nothing was sent. */
struct imap_selecting {
    struct imap *im;
    const char *name;
    struct imap_selected got; /* its name is NULL */
    bool flags_told, done;    /* done: the server said OK */
    imap_each *each;          /* the caller's, for VANISHED and FETCH */
    void *arg;
};
enum worker_result imap_select_ahead(struct imap *im, const char *mailbox, struct imap_selecting *s,
                                     struct worker_error *e);
void imap_selected_now(struct imap *im, const struct imap_selecting *s); /* when its answer has come */
/* WORKER_GONE when what is selected has another UIDVALIDITY; 0, here or there, is not compared (case 72). */
enum worker_result imap_check_validity(const struct imap *im, uint32_t uidvalidity, struct worker_error *e);

/* compress.c */
/* The greeting has come: is the line long? */
void imap_compress_measure(struct imap *im);
/* Adds COMPRESS to the last line of a login, which has no CRLF yet, if it may be sent there. */
void imap_compress_with_login(struct imap *im, struct buf *line);
/* Reads the answer to that, behind the login's. WORKER_DONE, also where it was refused; or the session broke.
 */
enum worker_result imap_compress_end(struct imap *im, struct worker_error *e);
/* What the server offers is known: compresses, if that was not asked for with the login. As
 * imap_compress_end.
 */
enum worker_result imap_compress_begin(struct imap *im, struct worker_error *e);
void imap_compress_broke(struct imap *im); /* before the stream of a session that ends goes away */
/* A session could not be opened: is it worth while to try again without? That is prepared then. */
bool imap_compress_suspect(struct imap *im);
void imap_compress_give_up(struct imap *im); /* it was COMPRESS: not for a while */
bool imap_compress_fails(const struct imap *im);

/* view.c */
void imap_view_lose(struct imap *im);                        /* until the next SELECT nothing is known */
void imap_view_note(struct imap *im, const struct reply *r); /* any reply, while a mailbox is selected */
void imap_view_begin(struct imap *im);                       /* SELECT has told all since a token */
/* That scan is over: it has told all but what is touched below uid. */
void imap_view_end(struct imap *im, uint32_t uid, const struct worker_token *at);
/* A scan without SELECT is over: it has told all that is touched, up to this MODSEQ. */
void imap_view_go_on(struct imap *im, const struct worker_token *at, uint64_t told);
/* Is the mailbox selected, known whole since this token, and did the server tell of something? Nothing is
 * owed. Without news somebody who knows better has a reason to ask, and is to be told all. */
bool imap_view_tells(const struct imap *im, const char *mailbox, const struct worker_token *since);
/* May what is selected stay so, and be asked for news with a NOOP? */
bool imap_view_may_stay(const struct imap *im);

/* The verbs. scan.c, fetch.c, change.c, append.c, tree.c, watch.c, quota.c */
enum worker_result imap_scan(struct worker *w, const char *mailbox, const struct worker_token *since,
                             enum worker_depth depth, struct worker_scan *ret, struct worker_error *e);
void imap_expect(struct worker *w, const char *mailbox);
void imap_forget_ahead(struct imap *im); /* what was scanned ahead does not hold any more */
enum worker_result imap_list(struct worker *w, const char *mailbox, uint32_t from, struct worker_scan *ret,
                             struct worker_error *e);
enum worker_result imap_fetch(struct worker *w, struct worker_fetch *from, size_t n,
                              const struct worker_sink *sink);
enum worker_result imap_apply(struct worker *w, const struct worker_op *op, struct worker_outcome *ret,
                              struct worker_error *e);
enum worker_result imap_append(struct imap *im, const struct worker_op *op, struct worker_outcome *ret,
                               struct worker_error *e);
enum worker_result imap_tree(struct worker *w, int (*each)(void *arg, const struct worker_box *b), void *arg,
                             struct worker_error *e);
enum worker_result imap_status(struct worker *w, const char *mailbox, struct worker_box *ret,
                               struct worker_error *e);
enum worker_result imap_exists(struct imap *im, const char *mailbox,
                               struct worker_error *e); /* by LIST: WORKER_DONE, WORKER_GONE */
enum worker_result imap_folder(struct imap *im, const struct worker_op *op, struct worker_error *e);
enum worker_result imap_watch(struct worker *w, const char *mailbox, int timeout_ms, bool *ret_changed,
                              struct worker_error *e);
enum worker_result imap_quota(struct worker *w, const char *mailbox, struct worker_quota *ret,
                              struct worker_error *e);

static inline struct imap *imap_of(struct worker *w)
{
    return (struct imap *)w;
}

/* Of a verb that changes nothing, no outcome is unknown. */
static inline enum worker_result imap_harmless(enum worker_result r, const struct worker_error *e)
{
    if (r != WORKER_UNKNOWN)
        return r;
    return e->err == -ECANCELED ? WORKER_CANCELLED : e->err == -ENOMEM ? WORKER_LOCAL : WORKER_BROKEN;
}
