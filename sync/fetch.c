/*
 * Bodies, from the server to the store: newest first, a batch at a time, one command a mailbox, streamed to
 * disk as they come.
 *
 * Several fetchers work at once, each with a session of its own. A row whose body is under way is claimed, so
 * that no two fetch it. When a batch has arrived, the files are synced together, and only then the rows that
 * name them are committed (the order of durability): a crash before that costs a second download, never a
 * message. A row becomes visible in that commit, whole.
 *
 * Readers' wishes (a body that is missing or damaged on disk, case 20) go before everything else.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "log.h"
#include "private.h"

#define FETCH_MESSAGES 500
#define FETCH_BYTES (16 << 20)
#define FETCH_MAILBOXES 8
#define FETCH_LOOK 4000
#define MOVING_WAIT_NS 20000000

struct wanted {
    int64_t id;
    int64_t message_id; /* as it was listed, 0 unknown */
    uint32_t uid;
    unsigned piece;
    bool arrived, done;
    struct body_info info;
};

/* What of the batch is in one mailbox. */
struct piece {
    struct mailbox box;
    struct uidset uids; /* asked for */
    bool answered;      /* what has not come is not to be had there */
};

struct fetch {
    struct engine *e;
    struct piece piece[FETCH_MAILBOXES];
    unsigned n_pieces, looked;
    unsigned asked[FETCH_MAILBOXES]; /* which piece stands where in what was asked */
    struct wanted *row;
    size_t n, n_done;
    int64_t bytes, most;
    int64_t since_s; /* older ones are shown without */
    struct body_writer *writer;
    cache_rd *rd;
    int64_t only;
    uint64_t received;
    bool wish; /* somebody waits for it */
    bool
        fresh; /* the session is new, or has just proved to be alive: when it breaks, another try is no use */
    int err;   /* why the session ended */
};

/* ---- claims ---- */

static int compare_ids(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Called with the lock held. */
static bool is_claimed_locked(struct engine *e, int64_t id)
{
    for (size_t i = 0; i < e->n_claimed; i++)
        if (e->claimed[i] == id)
            return true;
    return false;
}

static bool is_claimed(struct engine *e, int64_t id)
{
    pthread_mutex_lock(&e->lock);
    bool claimed = is_claimed_locked(e, id);
    pthread_mutex_unlock(&e->lock);
    return claimed;
}

static bool claim(struct engine *e, int64_t id)
{
    bool ok = false;
    pthread_mutex_lock(&e->lock);
    if (e->n_claimed == e->cap_claimed) {
        size_t cap = e->cap_claimed ? 2 * e->cap_claimed : 1024;
        int64_t *grown = reallocarray(e->claimed, cap, sizeof *grown);
        if (grown) {
            e->claimed = grown;
            e->cap_claimed = cap;
        }
    }
    if (e->n_claimed < e->cap_claimed && !is_claimed_locked(e, id)) {
        e->claimed[e->n_claimed++] = id;
        ok = true;
    }
    pthread_mutex_unlock(&e->lock);
    return ok;
}

static void unclaim_one(struct engine *e, int64_t id)
{
    pthread_mutex_lock(&e->lock);
    for (size_t i = e->n_claimed; i-- > 0;)
        if (e->claimed[i] == id) {
            e->claimed[i] = e->claimed[--e->n_claimed];
            break;
        }
    pthread_mutex_unlock(&e->lock);
}

static int compare_wanted(const void *a, const void *b)
{
    return compare_ids(&((const struct wanted *)a)->id, &((const struct wanted *)b)->id);
}

static void unclaim(struct fetch *f)
{
    struct engine *e = f->e;
    size_t kept = 0;
    qsort(f->row, f->n, sizeof *f->row, compare_wanted);
    pthread_mutex_lock(&e->lock);
    for (size_t i = 0; i < e->n_claimed; i++) {
        struct wanted key = {.id = e->claimed[i]};
        if (!bsearch(&key, f->row, f->n, sizeof *f->row, compare_wanted))
            e->claimed[kept++] = e->claimed[i];
    }
    e->n_claimed = kept;
    pthread_mutex_unlock(&e->lock);
}

void fetch_forget_claims(struct engine *e)
{
    free(e->claimed);
    e->claimed = NULL;
    e->n_claimed = e->cap_claimed = 0;
}

/* ---- choosing a batch ---- */

static bool is_parked(struct fetch *f, int64_t id)
{
    struct failure failed;
    return failure_get(f->rd, id, 0, &failed) == 0 && failed.retry_s > clock_now_ns() / 1000000000;
}

/* Of the mailbox, a new one if there is room; -1. */
static int piece_of(struct fetch *f, int64_t mailbox)
{
    for (unsigned i = 0; i < f->n_pieces; i++)
        if (f->piece[i].box.id == mailbox)
            return (int)i;
    if (f->n_pieces == FETCH_MAILBOXES)
        return -1;
    struct piece *p = &f->piece[f->n_pieces];
    if (mailbox_get(f->rd, mailbox, &p->box) < 0 || !p->box.on_server)
        return -1;
    return (int)f->n_pieces++;
}

/* May it be fetched by itself, from the mailbox that it is in? */
static bool is_eligible(struct fetch *f, const struct message *m, struct base_state *ret)
{
    return !bodies_is_bare(f->since_s, m->date_s) && base_of_message(f->rd, m->id, ret) == 0 &&
           ret->mailbox == m->mailbox && !is_parked(f, m->id);
}

static int choose(void *arg, const struct message *m)
{
    struct fetch *f = arg;
    struct base_state base;

    /* What is under way comes first in the list, and is asked no more. */
    if (is_claimed(f->e, m->id) || !is_eligible(f, m, &base))
        return 0;
    int piece = piece_of(f, m->mailbox);
    if (piece < 0 || !claim(f->e, m->id))
        return 0;
    f->row[f->n++] =
        (struct wanted){.id = m->id, .message_id = m->message_id, .uid = base.uid, .piece = (unsigned)piece};
    f->bytes += m->size;
    return f->n == FETCH_MESSAGES || f->bytes >= f->most;
}

/* The list that rows were chosen from is a snapshot from before the claims: another session may have brought
 * bodies since, and let go of them. Now that they are claimed, a fresh look is the truth. Who came to wish
 * for one of them meanwhile has been left to us. */
static void drop_arrived(struct fetch *f)
{
    size_t kept = 0;
    for (size_t i = 0; i < f->n; i++) {
        struct message now;
        int r = message_get(f->rd, f->row[i].id, &now);
        if (r == 0 && (now.state == MESSAGE_WANTED || message_is_bare(&now))) {
            f->row[kept++] = f->row[i];
            continue;
        }
        unclaim_one(f->e, f->row[i].id);
        cache_wanted_done(f->e->cache, f->row[i].id, r == 0 ? 0 : -ESTALE);
    }
    f->n = kept;
}

/* The server may have it at either end of the move: which one, is known in a moment. */
static bool is_moving(cache_rd *rd, int64_t id)
{
    struct pending p;
    return pending_of_message(rd, id, &p) == 0 && p.kind == PENDING_MOVE;
}

/* A body that a reader waits for. Who waits for one that is on the move asks again at once, and so not in
 * this loop: it may be the engine's, which has to end the move. Rows that never had an address cannot be
 * fetched: what was on disk was all there was. */
static bool choose_wish(struct fetch *f)
{
    int64_t id;
    struct base_state base;
    struct message m;

    while (cache_wanted_take(f->e->cache, &id, 1) == 1) {
        if (is_moving(f->rd, id)) {
            nanosleep(&(struct timespec){.tv_nsec = MOVING_WAIT_NS}, NULL);
            cache_wanted_done(f->e->cache, id, -EAGAIN);
            engine_was_asked(f->e); /* for the wishes behind this one */
            return false;
        }
        bool known = message_get(f->rd, id, &m) == 0;
        if (!known || base_of_message(f->rd, id, &base) < 0 ||
            mailbox_get(f->rd, base.mailbox, &f->piece[0].box) < 0) {
            cache_wanted_done(f->e->cache, id, known && m.has_hash ? -EIO : -ESTALE);
            continue;
        }
        if (!claim(f->e, id))
            continue; /* under way: its end answers the wish */
        f->wish = true;
        f->n_pieces = 1;
        f->row[f->n++] = (struct wanted){.id = id, .message_id = m.message_id, .uid = base.uid};
        return true;
    }
    return false;
}

/* The mailboxes with the newest mail, of as much as a batch may be. Of each the newest are taken then, as
 * many as there is room for: a mailbox costs a command each time that it is selected. */
static int choose_mailbox(void *arg, const struct message *m)
{
    struct fetch *f = arg;
    struct base_state base;
    bool is_new = true;

    if (is_claimed(f->e, m->id))
        return 0;
    for (unsigned i = 0; i < f->n_pieces; i++)
        is_new = is_new && f->piece[i].box.id != m->mailbox;
    if (is_new && (!is_eligible(f, m, &base) || piece_of(f, m->mailbox) < 0))
        return 0;
    return f->n_pieces == FETCH_MAILBOXES || ++f->looked == FETCH_MESSAGES;
}

static int choose_wanted(struct fetch *f)
{
    int r = f->only ? 0 : message_each_wanted(f->rd, 0, FETCH_LOOK, choose_mailbox, f);
    if (f->only)
        piece_of(f, f->only);
    for (unsigned i = 0; r >= 0 && i < f->n_pieces && f->n < FETCH_MESSAGES && f->bytes < f->most; i++)
        r = message_each_wanted(f->rd, f->piece[i].box.id, FETCH_LOOK, choose, f);
    return r < 0 ? r : 0;
}

static int choose_bare(struct fetch *f)
{
    f->since_s = bodies_bare_since(f->e);
    return message_each_bare(f->rd, f->since_s, FETCH_LOOK, choose, f);
}

static enum worker_result choose_rows(struct fetch *f, bool *ret_any)
{
    *ret_any = choose_wish(f);
    if (*ret_any)
        return WORKER_DONE;
    int64_t limit = f->e->account->cache_limit;
    f->since_s = bodies_since(f->e);
    f->most = limit > 0 && limit / 16 < FETCH_BYTES ? limit / 16 : FETCH_BYTES;
    int r = choose_wanted(f);
    if (r == 0 && f->n == 0 && !f->only)
        r = choose_bare(f);
    *ret_any = f->n > 0; /* also when all of them have arrived: there may be more */
    drop_arrived(f);
    return r < 0 ? WORKER_LOCAL : WORKER_DONE;
}

/* ---- receiving ---- */

static int receive(void *arg, const void *octets, size_t length)
{
    struct fetch *f = arg;
    if (!f->writer) {
        int r = body_writer_open(f->e->cache, &f->writer);
        if (r < 0)
            return r;
    }
    f->received += length;
    return body_writer_write(f->writer, octets, length);
}

static struct wanted *find_uid(struct fetch *f, unsigned piece, uint32_t uid)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->row[i].piece == piece && f->row[i].uid == uid && !f->row[i].arrived)
            return &f->row[i];
    return NULL;
}

static void count_bytes(struct engine *e, uint64_t bytes)
{
    int64_t now = clock_boot_ms();
    pthread_mutex_lock(&e->lock);
    e->status.bodies_done++;
    e->status.bytes_done += bytes;
    if (now - e->rate_start_ms > 5000) {
        e->rate_start_ms = now - 1000;
        e->rate_bytes /= 5;
    }
    e->rate_bytes += bytes;
    e->status.bytes_per_s = (double)e->rate_bytes * 1000 / (double)(now - e->rate_start_ms + 1);
    pthread_mutex_unlock(&e->lock);
}

static int is_another(void *arg, const struct message *m)
{
    return m->id != *(const int64_t *)arg;
}

/* The body of another message, by its Message-ID (case 18). One that no other message has may be ours, read
 * by the server in another way. */
static bool is_anothers(struct fetch *f, const struct wanted *row)
{
    int64_t id = row->info.message_id, own = row->id;
    return row->message_id && id && id != row->message_id &&
           message_each_by_message_id(f->rd, id, is_another, &own) > 0;
}

/* Some servers send another message than the one asked for (case 18): nobody waits for it, so it is dropped.
 */
static int received(void *arg, size_t from, uint32_t uid, bool whole)
{
    struct fetch *f = arg;
    struct wanted *row = find_uid(f, f->asked[from], uid);

    if (!row || !whole || (!f->writer && body_writer_open(f->e->cache, &f->writer) < 0)) {
        body_writer_abort(f->writer);
        f->writer = NULL;
        f->received = 0;
        return 0;
    }
    int r = body_writer_finish(f->writer, &row->info);
    f->writer = NULL;
    if (r < 0)
        return r;
    row->arrived = !is_anothers(f, row);
    if (!row->arrived)
        log_warning("case 18: row %lld: the server sent another message", (long long)row->id);
    count_bytes(f->e, f->received);
    f->received = 0;
    return 0;
}

/* ---- committing ---- */

/* row->done: the row has it. What has got another address meanwhile has to be asked for there. */
static int put_body(cache_tx *tx, const struct fetch *f, struct wanted *row)
{
    struct message m;
    struct base_state base;
    cache_rd *rd = cache_tx_rd(tx);
    int r = message_get(rd, row->id, &m);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (base_of_message(rd, row->id, &base) < 0 || base.uid != row->uid ||
        base.mailbox != f->piece[row->piece].box.id)
        return 0;
    bool repair = m.state == MESSAGE_PRESENT;
    if (m.state != MESSAGE_WANTED && !repair)
        return 0;
    row->done = true;
    if (repair && m.has_hash && memcmp(m.hash, row->info.hash, sizeof m.hash) == 0 &&
        m.form == row->info.form)
        return 0; /* it is back under the same name */
    memcpy(m.hash, row->info.hash, sizeof m.hash);
    m.has_hash = true;
    m.form = row->info.form;
    m.size = row->info.size;
    m.wire_size = row->info.wire_size;
    m.message_id = row->info.message_id;
    m.state = MESSAGE_PRESENT;
    r = message_put(tx, &m);
    if (r == 0)
        r = failure_forget(tx, m.id, 0);
    return r < 0 && r != -ENOENT ? r : cache_worker_settle(tx, &m, &base);
}

static int put_bodies(cache_tx *tx, void *arg)
{
    struct fetch *f = arg;
    for (size_t i = 0; i < f->n; i++) {
        f->row[i].done = false;
        int r = f->row[i].arrived ? put_body(tx, f, &f->row[i]) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

static int commit(struct fetch *f)
{
    int r = body_sync(f->e->cache);
    if (r == 0)
        r = cache_write(f->e->cache, CACHE_FROM_SERVER, CACHE_SOON, put_bodies, f);
    if (r < 0)
        log_error("bodies cannot be stored: %s", strerror(-r));
    for (size_t i = 0; i < f->n; i++) {
        f->row[i].done = f->row[i].done && r == 0;
        f->n_done += f->row[i].done;
        if (f->row[i].done)
            bodies_came(f->e, f->row[i].info.size);
    }
    return r;
}

/* Moved while it was asked for: not gone. */
static bool has_moved(struct fetch *f, const struct wanted *row)
{
    struct base_state base;
    return is_moving(f->rd, row->id) ||
           (base_of_message(f->rd, row->id, &base) == 0 &&
            (base.mailbox != f->piece[row->piece].box.id || base.uid != row->uid));
}

/* The server answered, but not with these: gone meanwhile (the next scan will tell, case 17), or not to be
 * had. */
static void note_missing(struct fetch *f)
{
    struct worker_error error = {.text = "the server sent no body"};
    for (size_t i = 0; i < f->n; i++) {
        const struct wanted *row = &f->row[i];
        const struct piece *p = &f->piece[row->piece];
        if (!row->arrived && p->answered && !has_moved(f, row)) {
            log_info("case 17: row %lld: no body came", (long long)row->id);
            engine_fail_message(f->e, row->id, p->box.id, "fetch", &error);
        }
    }
}

static int compare_uids(const void *a, const void *b)
{
    const struct wanted *x = a, *y = b;
    if (x->piece != y->piece)
        return x->piece < y->piece ? -1 : 1;
    return (x->uid > y->uid) - (x->uid < y->uid);
}

/* The UIDs of each piece whose bodies have not come. Again only where there was an answer. */
static int collect_uids(struct fetch *f, bool again)
{
    int r = 0;
    for (unsigned i = 0; i < f->n_pieces; i++)
        uidset_finish(&f->piece[i].uids);
    for (size_t i = 0; i < f->n && r == 0; i++) {
        struct piece *p = &f->piece[f->row[i].piece];
        if (!f->row[i].arrived && (!again || p->answered))
            r = uidset_add(&p->uids, f->row[i].uid);
    }
    return r;
}

/* What is wrong with one mailbox keeps none of the others; the last of them is told, unless the session
 * ended.
 */
static enum worker_result ask(struct fetch *f, struct worker *w, bool again, struct worker_error *e)
{
    struct worker_sink sink = {.arg = f, .data = receive, .end = received};
    struct worker_fetch from[FETCH_MAILBOXES] = {{0}};
    size_t n = 0;
    enum worker_result told = WORKER_DONE;

    if (collect_uids(f, again) < 0)
        return WORKER_LOCAL;
    for (unsigned i = 0; i < f->n_pieces; i++) {
        const struct piece *p = &f->piece[i];
        if (p->uids.n == 0)
            continue;
        f->asked[n] = i;
        from[n++] = (struct worker_fetch){
            .mailbox = p->box.remote, .uidvalidity = p->box.uidvalidity, .uids = &p->uids};
    }
    enum worker_result r = n > 0 ? w->ops->fetch(w, from, n, &sink) : WORKER_DONE;
    for (size_t i = 0; i < n; i++) {
        f->piece[f->asked[i]].answered = from[i].result == WORKER_DONE;
        if (from[i].result == WORKER_GONE || from[i].result == WORKER_REFUSED)
            told = from[i].result;
        /* A pause that one of them asks for holds for all. */
        if (from[i].error.retry_ms >= e->retry_ms && (from[i].error.err < 0 || from[i].error.retry_ms > 0))
            *e = from[i].error;
    }
    return r == WORKER_DONE ? told : r;
}

static enum worker_result run_batch(struct fetch *f, struct worker *w)
{
    struct worker_error error = {0};

    qsort(f->row, f->n, sizeof *f->row, compare_uids);
    enum worker_result r = ask(f, w, false, &error);
    /* Twice: what came may have been another message. */
    if (!engine_session_ended(r) && r != WORKER_LOCAL && error.retry_ms == 0) {
        enum worker_result second = ask(f, w, true, &error);
        r = second == WORKER_DONE ? r : second;
    }
    engine_pause(f->e, error.retry_ms);
    body_writer_abort(f->writer);
    f->writer = NULL;
    f->err = error.err;
    if (r == WORKER_LOCAL)
        log_error("bodies cannot be stored: %s", strerror(-error.err));
    /* What arrived before the line broke is kept all the same. */
    if (commit(f) < 0)
        return WORKER_LOCAL;
    note_missing(f);
    return r;
}

void fetch_refuse(struct engine *e, int err)
{
    int64_t id;
    while (cache_wanted_take(e->cache, &id, 1) == 1)
        cache_wanted_done(e->cache, id, err);
}

/* Claims first: a wish that is taken from now on is fetched anew, not left to this batch. A session that was
 * idle for long may have been ended by the server, which is known only now, and so may all others: a wish
 * gets one more try for each. */
static void answer_wishes(struct fetch *f, enum worker_result r)
{
    struct cache *c = f->e->cache;
    bool ended = engine_session_ended(r), silent = f->err == -ETIMEDOUT;
    if (f->n)
        unclaim(f);
    for (size_t i = 0; i < f->n; i++) {
        const struct wanted *row = &f->row[i];
        if (row->done)
            cache_wanted_done(c, row->id, 0);
        else if (r == WORKER_DONE)
            cache_wanted_done(c, row->id, has_moved(f, row) ? -EAGAIN : -ESTALE);
        else if (silent || !ended || !cache_wanted_return(c, row->id, f->e->account->connections))
            cache_wanted_done(c, row->id, silent ? -ETIMEDOUT : -ENETDOWN);
        else
            engine_was_asked(f->e);
    }
    /* It would keep all of them waiting, one after the other. */
    if (ended && silent)
        fetch_refuse(f->e, -ETIMEDOUT);
}

static enum worker_result run_fetch(struct fetch *f, struct worker *w, enum worker_result r)
{
    if (f->n && r == WORKER_DONE)
        r = run_batch(f, w);
    answer_wishes(f, r);
    for (unsigned i = 0; i < f->n_pieces; i++)
        uidset_finish(&f->piece[i].uids);
    free(f->row);
    return r;
}

static bool begin_fetch(struct fetch *f)
{
    f->rd = cache_reader(f->e->cache);
    f->row = calloc(FETCH_MESSAGES, sizeof *f->row);
    return f->row;
}

enum worker_result fetch_some(struct engine *e, struct worker *w, int64_t mailbox, bool *ret_any)
{
    struct fetch f = {.e = e, .only = mailbox};

    *ret_any = false;
    if (!begin_fetch(&f))
        return WORKER_LOCAL;
    enum worker_result r = run_fetch(&f, w, choose_rows(&f, ret_any));
    /* Nothing to be had where it was: to ask again at once is no use before the mailbox has been looked at.
     */
    if ((r == WORKER_GONE || r == WORKER_REFUSED) && f.n_done == 0 && !f.wish)
        *ret_any = false;
    return r;
}

enum worker_result fetch_wishes(struct engine *e, struct worker *w)
{
    enum worker_result r = WORKER_DONE;
    bool any = true;
    while (r == WORKER_DONE && any) {
        struct fetch f = {.e = e};
        if (!begin_fetch(&f))
            return WORKER_LOCAL;
        any = choose_wish(&f);
        r = run_fetch(&f, w, WORKER_DONE);
    }
    return r;
}

struct small {
    size_t n;
    int64_t bytes;
};

static int count_small(void *arg, const struct message *m)
{
    struct small *s = arg;
    s->n++;
    s->bytes += m->size;
    return s->n > ENGINE_SMALL_FETCH || s->bytes > ENGINE_SMALL_BYTES;
}

bool fetch_small(struct engine *e, int64_t mailbox)
{
    struct small s = {0};
    return message_each_wanted(cache_reader(e->cache), mailbox, ENGINE_SMALL_FETCH + 1, count_small, &s) ==
               0 &&
           s.n;
}

/* ---- the thread ---- */

/* The engine itself may be waiting for a server that does not answer. Called with the lock held. */
static void refuse_while_offline(struct engine *e)
{
    if (!e->offline)
        return;
    pthread_mutex_unlock(&e->lock);
    fetch_refuse(e, -ENETDOWN);
    pthread_mutex_lock(&e->lock);
}

/* Waits until there may be something to fetch and the account is on line; false at the end. An idle one
 * waits for news since it began to look, and for no longer than a minute. */
static bool wait_for_work(struct engine *e, bool idle, uint64_t *news)
{
    struct timespec at;
    int r = 0;
    pthread_mutex_lock(&e->lock);
    e->fetchers_idle++;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += 60;
    while (idle && !e->stop && e->fetch_news == *news && r == 0)
        r = pthread_cond_timedwait(&e->fetch, &e->lock, &at);
    while (!e->stop && !e->fetch_on) {
        uint64_t before = e->fetch_news;
        refuse_while_offline(e);
        if (!e->fetch_on && !e->stop && e->fetch_news == before)
            pthread_cond_wait(&e->fetch, &e->lock);
    }
    e->fetchers_idle--;
    bool go = !e->stop;
    *news = e->fetch_news;
    pthread_mutex_unlock(&e->lock);
    return go && engine_wait_pause(e);
}

void *fetch_main(void *arg)
{
    struct engine *e = arg;
    struct worker *w = e->new_worker(e->new_worker_arg);
    bool idle = false, broken = false;
    uint64_t news = 0;

    if (!w || !engine_register(e, w))
        goto out;
    while (wait_for_work(e, idle, &news)) {
        bool any;
        enum worker_result r = fetch_some(e, w, 0, &any);
        idle = !any || r == WORKER_LOCAL;
        if (engine_session_ended(r)) {
            /* One more try is due at once: see answer_wishes. */
            idle = broken;
            broken = true;
            w->ops->reset(w);
        } else {
            broken = false;
        }
        if (any || engine_session_ended(r))
            engine_hint(e, HINT_FETCHED);
    }
    engine_unregister(e, w);
out:
    if (w)
        w->ops->destroy(w);
    return NULL;
}
