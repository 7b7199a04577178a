/*
 * Mailboxes: which there are, their numbers, and making, renaming, removing them.
 *
 * With LIST-STATUS (RFC 5819) everything comes in one round trip; else LIST, LSUB and one STATUS a mailbox,
 * sent in batches without waiting for each. The STATUS of a mailbox that is selected may be stale, so it is
 * unselected first; or, if all is known that the server told of it (view.c), asked with a NOOP: then it has
 * numbers only as long as there are no news, and the next scan is about those.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "arena.h"
#include "session.h"

#define BATCH 32            /* STATUS commands under way at once */
#define MAILBOXID_MAX 255   /* octets (RFC 8474 7) */
#define MAILBOXES_MAX 50000 /* a server that tells more is out of its mind */

/* enum mailbox_attributes of the cache, which this layer does not see; worker.h gives the numbers. */
enum {
    NOSELECT = 1,
    NOINFERIORS = 2,
    TRASH = 8,
    JUNK = 16,
    SENT = 32,
    DRAFTS = 64,
    ARCHIVE = 128,
    SUBSCRIBED = 256
};

static const struct {
    const char *name;
    unsigned bits;
} attributes[] = {
    {"\\NOSELECT", NOSELECT},
    {"\\NONEXISTENT", NOSELECT},
    {"\\NOINFERIORS", NOINFERIORS},
    {"\\SUBSCRIBED", SUBSCRIBED},
    {"\\TRASH", TRASH},
    {"\\JUNK", JUNK},
    {"\\SENT", SENT},
    {"\\DRAFTS", DRAFTS},
    {"\\ARCHIVE", ARCHIVE},
};

struct list {
    struct worker_box *box;
    size_t n, cap;
};

struct tree {
    struct imap *im;
    struct arena names;
    struct list boxes, subscribed, numbers; /* from LIST, LSUB and STATUS */
    struct buf name;                        /* scratch */
};

static int list_add(struct list *l, const struct worker_box *b)
{
    if (l->n == MAILBOXES_MAX)
        return -EMSGSIZE;
    if (l->n == l->cap) {
        size_t cap = l->cap > 0 ? 2 * l->cap : 64;
        struct worker_box *grown = reallocarray(l->box, cap, sizeof *grown);
        if (grown == NULL)
            return -ENOMEM;
        l->box = grown;
        l->cap = cap;
    }
    l->box[l->n++] = *b;
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct worker_box *)a)->name, ((const struct worker_box *)b)->name);
}

static struct worker_box *list_find(struct list *l, const char *name)
{
    const struct worker_box key = {.name = name};
    return l->n > 0 ? bsearch(&key, l->box, l->n, sizeof *l->box, compare) : NULL;
}

/* In order of names, duplicates as one (case 89): what either says holds. */
static void list_sort(struct list *l)
{
    size_t last = 0;
    if (l->n == 0)
        return;
    qsort(l->box, l->n, sizeof *l->box, compare);
    for (size_t i = 1; i < l->n; i++)
        if (strcmp(l->box[i].name, l->box[last].name) == 0)
            l->box[last].attributes |= l->box[i].attributes;
        else
            l->box[++last] = l->box[i];
    l->n = last + 1;
}

/* A name as a reply gives it: an astring. INBOX alone ignores case. NUL has no place in it. */
static int mailbox_name(struct tree *t, struct cursor *c, const char **ret)
{
    bool nil;
    int r = cursor_string(c, &t->name, &nil);
    if (r < 0)
        return r;
    const char *text = nil ? "NIL" : t->name.data;
    if (t->name.length == 0 ? !nil : strlen(t->name.data) != t->name.length)
        return -EPROTO;
    *ret = arena_strdup(&t->names, strcasecmp(text, "INBOX") == 0 ? "INBOX" : text);
    return *ret != NULL ? 0 : -ENOMEM;
}

static int list_attributes(struct cursor *c, unsigned *ret)
{
    char word[32];
    if (!cursor_char(c, '('))
        return -EPROTO;
    while (cursor_atom(c, word, sizeof word) > 0) {
        for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
            if (strcmp(word, attributes[i].name) == 0)
                *ret |= attributes[i].bits;
        cursor_char(c, ' ');
    }
    return cursor_char(c, ')') && cursor_char(c, ' ') ? 0 : -EPROTO;
}

/* "(attributes) delimiter name", with what LIST-EXTENDED may add behind it left alone. */
static int on_list(struct tree *t, struct cursor c, struct list *l)
{
    struct worker_box b = {0};
    bool nil;
    int r = list_attributes(&c, &b.attributes);
    if (r == 0)
        r = cursor_string(&c, &t->name, &nil);
    if (r == 0 && !nil && t->name.length == 1)
        b.delimiter = t->name.data[0];
    if (r == 0 && !cursor_char(&c, ' '))
        r = -EPROTO;
    if (r == 0)
        r = mailbox_name(t, &c, &b.name);
    if (r == 0 && c.p < c.end && *c.p != ' ')
        r = -EPROTO;
    return r == 0 ? list_add(l, &b) : r;
}

/* RFC 8474 7: what is none is no id, lest a mailbox be taken for another one. */
static bool is_object_id(const char *text, size_t length)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    return length > 0 && length <= MAILBOXID_MAX && strspn(text, letters) == length;
}

/* "(F2212ea87-6097-4256)" */
static int mailbox_id(struct tree *t, struct cursor *c, struct worker_box *b)
{
    bool nil;
    if (!cursor_char(c, '('))
        return -EPROTO;
    int r = cursor_string(c, &t->name, &nil);
    if (r < 0 || !cursor_char(c, ')'))
        return r < 0 ? r : -EPROTO;
    if (nil || !is_object_id(t->name.data, t->name.length))
        return 0;
    b->id = arena_strdup(&t->names, t->name.data);
    return b->id != NULL ? 0 : -ENOMEM;
}

static int status_item(struct tree *t, struct cursor *c, struct worker_box *b)
{
    char word[32];
    uint64_t n = 0;
    if (cursor_atom(c, word, sizeof word) == 0 || !cursor_char(c, ' '))
        return -EPROTO;
    if (strcmp(word, "MAILBOXID") == 0)
        return mailbox_id(t, c, b);
    struct cursor at = *c;
    if (!cursor_number(&at, &n))
        n = 0;
    if (strcmp(word, "MESSAGES") == 0)
        b->messages = (uint32_t)n;
    else if (strcmp(word, "UIDNEXT") == 0)
        b->uidnext = (uint32_t)n;
    else if (strcmp(word, "UIDVALIDITY") == 0)
        b->uidvalidity = (uint32_t)n;
    else if (strcmp(word, "HIGHESTMODSEQ") == 0)
        b->modseq = n;
    return cursor_skip(c);
}

/* "name (MESSAGES 12 UIDNEXT 13 ...)" */
static int on_status(struct tree *t, struct cursor c)
{
    struct worker_box b = {.has_status = true};
    int r = mailbox_name(t, &c, &b.name);
    if (r == 0 && (!cursor_char(&c, ' ') || !cursor_char(&c, '(')))
        r = -EPROTO;
    while (r == 0 && !cursor_char(&c, ')')) {
        r = status_item(t, &c, &b);
        cursor_char(&c, ' ');
    }
    return r == 0 ? list_add(&t->numbers, &b) : r;
}

static int on_reply(void *arg, const struct reply *r)
{
    struct tree *t = arg;
    int result = 0;
    if (r->kind != REPLY_DATA)
        return 0;
    if (strcmp(r->name, "LIST") == 0)
        result = on_list(t, r->args, &t->boxes);
    else if (strcmp(r->name, "LSUB") == 0)
        result = on_list(t, r->args, &t->subscribed);
    else if (strcmp(r->name, "STATUS") == 0)
        result = on_status(t, r->args);
    return result == -EPROTO ? 0 : result; /* one mailbox that cannot be read is not listed; case 75 keeps it
                                              from being removed */
}

static void tree_finish(struct tree *t)
{
    free(t->boxes.box);
    free(t->subscribed.box);
    free(t->numbers.box);
    buf_finish(&t->name);
    arena_finish(&t->names);
}

/* Cyrus 3.6 tells a MAILBOXID in the STATUS of a LIST from memory that it has freed: other octets each time,
 * also line ends, which no parser survives. */
static bool tells_false_ids(const struct imap *im)
{
    return strncmp(im->about.server, "Cyrus IMAPD 3.6", strlen("Cyrus IMAPD 3.6")) == 0;
}

static const char *status_items(const struct imap *im)
{
    static const char *const items[2][2] = {
        {"(MESSAGES UIDNEXT UIDVALIDITY)", "(MESSAGES UIDNEXT UIDVALIDITY MAILBOXID)"},
        {"(MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ)",
         "(MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ MAILBOXID)"},
    };
    return items[im->has.condstore][im->has.objectid && !tells_false_ids(im)];
}

static enum worker_result run_over_selected(struct imap *im, const char *verb, const char *mailbox,
                                            struct worker_error *e)
{
    struct command c;
    command_begin(im, &c, "%s", verb);
    if (mailbox != NULL)
        command_string(im, &c, mailbox);
    return imap_run(im, &c, NULL, NULL, e);
}

/* Nothing selected any more: by UNSELECT, or as it was done before there was one (RFC 3691 1), for a CLOSE
 * after EXAMINE expunges nothing. */
static enum worker_result unselect(struct imap *im, struct worker_error *e)
{
    enum worker_result r = WORKER_REFUSED;
    if (im->has.unselect)
        r = run_over_selected(im, "UNSELECT", NULL, e);
    if (r == WORKER_REFUSED)
        r = run_over_selected(im, "EXAMINE ", im->selected.name, e);
    if (r == WORKER_DONE && !im->has.unselect)
        r = run_over_selected(im, "CLOSE", NULL, e);
    imap_unselected(im);
    return r == WORKER_REFUSED ? WORKER_DONE : r; /* a failed EXAMINE leaves nothing selected, too */
}

/* A server may do at once what does not depend on each other, and answer NOOP, which has news to look for,
 * behind the next command (RFC 3501 5.5). */
static enum worker_result finish_either(struct imap *im, unsigned noop, unsigned tag, imap_each *each,
                                        void *arg, struct worker_error *e)
{
    struct worker_error late = {0};
    im->aside = noop;
    enum worker_result r = imap_finish(im, tag, each, arg, e);
    bool answered = im->aside == 0;
    im->aside = 0;
    if (answered || im->state != IMAP_OPEN)
        return r;
    enum reply_condition condition = im->done.condition;
    enum worker_result second = imap_finish(im, noop, NULL, NULL, &late);
    im->done = (struct reply){.kind = REPLY_TAGGED, .condition = condition};
    if (second == WORKER_REFUSED)
        imap_view_lose(im);
    if (second == WORKER_DONE || second == WORKER_REFUSED)
        return r;
    *e = late;
    return second;
}

/* Runs a command with nothing selected, in the same round trip where that can be; or, with `keep`, with what
 * is selected up to date, if it is known whole. */
static enum worker_result run_unselected(struct imap *im, struct command *c, bool keep, imap_each *each,
                                         void *arg, struct worker_error *e)
{
    struct command first;
    unsigned first_tag, tag;
    enum worker_result r = imap_settle_selected(im, e);
    if (r != WORKER_DONE) {
        buf_finish(&c->text);
        return r;
    }
    bool together = im->selected.name != NULL && im->has.unselect &&
                    c->splits == 0; /* a literal has a go-ahead to wait for */
    if (!together) {
        if (im->selected.name != NULL)
            r = unselect(im, e);
        if (r != WORKER_DONE)
            buf_finish(&c->text);
        return r == WORKER_DONE ? imap_run(im, c, each, arg, e) : r;
    }
    keep = keep && imap_view_may_stay(im);
    command_begin(im, &first, keep ? "NOOP" : "UNSELECT");
    r = imap_send(im, &first, &first_tag, e);
    if (r != WORKER_DONE)
        buf_finish(&c->text);
    if (r == WORKER_DONE)
        r = imap_send(im, c, &tag, e);
    if (r == WORKER_DONE && keep)
        return finish_either(im, first_tag, tag, each, arg, e);
    if (r == WORKER_DONE)
        r = imap_finish(im, first_tag, NULL, NULL, e);
    if (r == WORKER_DONE)
        imap_unselected(im);
    return r == WORKER_DONE || r == WORKER_REFUSED ? imap_finish(im, tag, each, arg, e) : r;
}

static enum worker_result run_list(struct tree *t, const char *verb, const char *tail, struct worker_error *e)
{
    struct command c;
    command_begin(t->im, &c, "%s \"\" \"*\"", verb);
    c.behind = true;
    buf_adds(&c.text, tail);
    return run_unselected(t->im, &c, t->im->has.list_status, on_reply, t, e);
}

static enum worker_result list_extended(struct tree *t, struct worker_error *e)
{
    struct imap_capabilities *has = &t->im->has;
    struct buf tail = {0};
    enum worker_result r = has->objectid ? imap_settle(t->im, e) : WORKER_DONE; /* see tells_false_ids */
    if (r != WORKER_DONE)
        return r;
    buf_addf(&tail, " RETURN (SUBSCRIBED%s", has->special_use ? " SPECIAL-USE" : "");
    if (has->list_status)
        buf_addf(&tail, " STATUS %s", status_items(t->im));
    buf_adds(&tail, ")");
    if (tail.failed) {
        imap_error_set(e, -ENOMEM, "", 0);
        return WORKER_LOCAL;
    }
    r = run_list(t, "LIST", tail.data, e);
    buf_finish(&tail);
    if (r == WORKER_REFUSED && t->im->done.condition == REPLY_BAD && e->retry_ms == 0)
        has->list_extended = has->list_status = false; /* offered, and not understood: the plain way */
    return r;
}

static enum worker_result list_plain(struct tree *t, struct worker_error *e)
{
    enum worker_result r = run_list(t, "LIST", "", e);
    if (r != WORKER_DONE)
        return r;
    r = run_list(t, "LSUB", "", e);
    list_sort(&t->subscribed);
    for (size_t i = 0; i < t->boxes.n; i++)
        if (list_find(&t->subscribed, t->boxes.box[i].name) != NULL)
            t->boxes.box[i].attributes |= SUBSCRIBED;
    return r == WORKER_REFUSED ? WORKER_DONE : r;
}

static void status_begin(struct imap *im, struct command *c, const char *mailbox)
{
    command_begin(im, c, "STATUS ");
    command_string(im, c, mailbox);
    buf_addf(&c->text, " %s", status_items(im));
}

static bool wants_status(const struct imap *im, const struct worker_box *b)
{
    return (b->attributes & NOSELECT) == 0 &&
           (im->selected.name == NULL || strcmp(im->selected.name, b->name) != 0);
}

/* Those of the next mailboxes, as many as may be under way; one that is refused has no numbers. */
static enum worker_result status_batch(struct tree *t, size_t *at, struct worker_error *e)
{
    unsigned tag[BATCH], n = 0;
    enum worker_result r = WORKER_DONE;
    for (; *at < t->boxes.n && n < BATCH && r == WORKER_DONE; ++*at) {
        struct command c;
        if (!wants_status(t->im, &t->boxes.box[*at]))
            continue;
        status_begin(t->im, &c, t->boxes.box[*at].name);
        if (c.splits > 0 && n > 0) { /* a literal's go-ahead would come behind the answers */
            buf_finish(&c.text);
            break;
        }
        bool last = c.splits > 0;
        r = imap_send(t->im, &c, &tag[n], e);
        n += r == WORKER_DONE;
        r = r == WORKER_REFUSED ? WORKER_DONE : r;
        if (last) {
            ++*at;
            break;
        }
    }
    for (unsigned i = 0; i < n && r == WORKER_DONE; i++) {
        r = imap_finish(t->im, tag[i], on_reply, t, e);
        r = r == WORKER_REFUSED ? WORKER_DONE : r;
    }
    return r;
}

static bool has_no_news(const struct imap *im, const struct worker_box *s)
{
    const struct worker_token *at = &im->view.at;
    return im->view.whole && im->view.touched.n == 0 && im->selected.exists == at->exists &&
           s->messages == at->exists && s->uidnext == at->uidnext && s->uidvalidity == at->uidvalidity &&
           s->modseq == im->view.told;
}

/* The numbers to their mailboxes. */
static void join(struct tree *t)
{
    list_sort(&t->numbers);
    for (size_t i = 0; i < t->boxes.n; i++) {
        struct worker_box *b = &t->boxes.box[i];
        const struct worker_box *s = (b->attributes & NOSELECT) == 0 ? list_find(&t->numbers, b->name) : NULL;
        if (s == NULL)
            continue;
        b->id = s->id;
        bool selected = !wants_status(t->im, b);
        if (selected && !has_no_news(t->im, s))
            continue;
        const struct worker_box both = {
            .name = b->name,
            .delimiter = b->delimiter,
            .attributes = b->attributes,
            .has_status = true,
            .messages = s->messages,
            .uidnext = s->uidnext,
            .uidvalidity = s->uidvalidity,
            .modseq = selected ? t->im->view.at.modseq : s->modseq, /* as the scans told it */
            .id = s->id,
        };
        *b = both;
    }
}

static enum worker_result gather(struct tree *t, struct worker_error *e)
{
    enum worker_result r = WORKER_REFUSED;
    if (t->im->has.list_extended)
        r = list_extended(t, e);
    if (r == WORKER_REFUSED && !t->im->has.list_extended)
        r = list_plain(t, e);
    list_sort(&t->boxes);
    for (size_t at = 0; r == WORKER_DONE && !t->im->has.list_status && at < t->boxes.n;)
        r = status_batch(t, &at, e);
    join(t);
    return r;
}

enum worker_result imap_tree(struct worker *w, int (*each)(void *arg, const struct worker_box *b), void *arg,
                             struct worker_error *e)
{
    struct imap *im = imap_of(w);
    struct tree t = {.im = im};
    enum worker_result r = imap_ready(im, e);
    if (r == WORKER_DONE && im->n_ahead > 0) {
        r = imap_settle(im, e); /* of a round that was broken off: another begins, with fresh looks */
        imap_forget_ahead(im);
    }
    if (r == WORKER_DONE)
        r = gather(&t, e);
    int stop = 0;
    for (size_t i = 0; r == WORKER_DONE && stop == 0 && i < t.boxes.n; i++)
        stop = each(arg, &t.boxes.box[i]);
    if (stop < 0) {
        imap_error_set(e, stop, strerror(-stop), strlen(strerror(-stop)));
        r = WORKER_LOCAL;
    }
    tree_finish(&t);
    return imap_harmless(r, e);
}

enum worker_result imap_exists(struct imap *im, const char *mailbox, struct worker_error *e)
{
    struct tree t = {.im = im};
    struct command c;
    command_begin(im, &c, "LIST \"\" ");
    command_string(im, &c, mailbox);
    enum worker_result r = imap_run(im, &c, on_reply, &t, e);
    list_sort(&t.boxes);
    const struct worker_box *b = list_find(&t.boxes, strcasecmp(mailbox, "INBOX") == 0 ? "INBOX" : mailbox);
    if (r == WORKER_DONE && (b == NULL || (b->attributes & NOSELECT)))
        r = WORKER_GONE; /* a mere level holds no mail */
    tree_finish(&t);
    return r;
}

/* Refused: because the mailbox does not exist? The server's code says so, or LIST does. */
static enum worker_result refused_or_gone(struct imap *im, const char *mailbox, struct worker_error *e)
{
    struct worker_error why;
    if (strcmp(im->done.name, "NONEXISTENT") == 0)
        return WORKER_GONE;
    enum worker_result r = e->retry_ms > 0 ? WORKER_DONE : imap_exists(im, mailbox, &why);
    if (r == WORKER_DONE || r == WORKER_REFUSED)
        return WORKER_REFUSED;
    if (r != WORKER_GONE)
        *e = why;
    return r;
}

enum worker_result imap_status(struct worker *w, const char *mailbox, struct worker_box *ret,
                               struct worker_error *e)
{
    struct imap *im = imap_of(w);
    struct tree t = {.im = im};
    struct command c;
    enum worker_result r = imap_ready(im, e);
    if (r == WORKER_DONE && im->has.objectid)
        r = imap_harmless(imap_settle(im, e), e); /* see tells_false_ids */
    if (r != WORKER_DONE)
        return r;
    status_begin(im, &c, mailbox);
    r = run_unselected(im, &c, false, on_reply, &t, e);
    if (r == WORKER_REFUSED)
        r = refused_or_gone(im, mailbox, e);
    if (r == WORKER_DONE && ret != NULL) {
        list_sort(&t.numbers);
        const struct worker_box *b =
            list_find(&t.numbers, strcasecmp(mailbox, "INBOX") == 0 ? "INBOX" : mailbox);
        *ret = b != NULL ? *b : (struct worker_box){0};
        ret->name = mailbox;
        ret->id = NULL; /* it would not outlive this */
    }
    tree_finish(&t);
    return imap_harmless(r, e);
}

enum worker_result imap_folder(struct imap *im, const struct worker_op *op, struct worker_error *e)
{
    static const char *const verb[] = {
        [WORKER_CREATE] = "CREATE ",       [WORKER_RENAME] = "RENAME ",           [WORKER_DELETE] = "DELETE ",
        [WORKER_SUBSCRIBE] = "SUBSCRIBE ", [WORKER_UNSUBSCRIBE] = "UNSUBSCRIBE ",
    };
    bool goes = op->verb == WORKER_RENAME || op->verb == WORKER_DELETE;
    struct command c;
    command_begin(im, &c, "%s", verb[op->verb]);
    command_string(im, &c, op->mailbox);
    if (op->verb == WORKER_RENAME) {
        buf_adds(&c.text, " ");
        command_string(im, &c, op->target);
    }
    enum worker_result r =
        goes ? run_unselected(im, &c, false, NULL, NULL, e) : imap_run(im, &c, NULL, NULL, e);
    if (goes)
        imap_unselected(im); /* it, or one above it, may have been the selected one */
    return r == WORKER_REFUSED && goes ? refused_or_gone(im, op->mailbox, e) : r;
}
