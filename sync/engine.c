/*
 * The engine: who runs what, and when.
 *
 *   engine thread   settles what was written, clears away what is long gone (tend.c), talks to the server
 * through its own session: tree, scans, pushes. The only one that decides. fetchers        bring bodies, each
 * through a session of its own (fetch.c). watcher         waits in IDLE on the inbox (watch.c).
 *
 * They tell each other things by hints, a word of bits: the writer's commits, the watcher, the fetchers, the
 * poll timer and people set bits, the engine thread takes them all at once and runs one round for them. A
 * hint is only ever "look again", so that losing or repeating one does no harm.
 *
 * When the line breaks, the engine thread is the one to notice (the others only reset their own session and
 * hint), goes off line, and tries again after a pause that doubles up to a minute. Nothing of the work under
 * way is lost: it is all in the cache, as dirty rows and pending operations.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "log.h"
#include "private.h"

#define RETRY_FIRST_MS 500
#define RETRY_LAST_MS 60000
#define BURST_FIRST_MS 40
#define BURST_LAST_MS 800
#define HINTS_THAT_END_A_BURST (HINT_ASKED | HINT_WANT)

/* ---- hints ---- */

void engine_hint(struct engine *e, unsigned hints)
{
    pthread_mutex_lock(&e->lock);
    e->hints |= hints;
    /* What a burst is made of does not wake who waits for its end: a client's thread would pay for that. */
    if (!e->in_burst || (hints & HINTS_THAT_END_A_BURST))
        pthread_cond_signal(&e->wake);
    pthread_mutex_unlock(&e->lock);
}

bool engine_stopping(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    bool stop = e->stop;
    pthread_mutex_unlock(&e->lock);
    return stop;
}

enum worker_speed engine_speed(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    enum worker_speed speed = e->status.session.speed;
    pthread_mutex_unlock(&e->lock);
    return speed;
}

void engine_look_again(struct engine *e, int64_t ms)
{
    int64_t at = clock_boot_ms() + ms;
    if (!e->quiet_at_ms || at < e->quiet_at_ms)
        e->quiet_at_ms = at;
}

void engine_pause(struct engine *e, unsigned ms)
{
    int64_t until = clock_boot_ms() + ms;
    if (!ms)
        return;
    log_info("the server asks for a pause of %u ms", ms);
    pthread_mutex_lock(&e->lock);
    if (until > e->pause_until_ms)
        e->pause_until_ms = until;
    pthread_mutex_unlock(&e->lock);
}

static int64_t pause_end(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    int64_t until = e->pause_until_ms;
    pthread_mutex_unlock(&e->lock);
    return until > clock_boot_ms() ? until : 0;
}

bool engine_paused(struct engine *e)
{
    return pause_end(e) != 0;
}

bool engine_wait_pause(struct engine *e)
{
    struct timespec at;
    pthread_mutex_lock(&e->lock);
    while (!e->stop && e->pause_until_ms > clock_boot_ms()) {
        clock_gettime(CLOCK_MONOTONIC, &at);
        at.tv_sec++;
        pthread_cond_timedwait(&e->fetch, &e->lock, &at);
    }
    bool go = !e->stop;
    pthread_mutex_unlock(&e->lock);
    return go;
}

bool engine_try_create(struct engine *e, const struct worker_error *error)
{
    if (!error->try_create || e->tried_create >= 3)
        return false;
    e->tried_create++;
    engine_hint(e, HINT_BOXES);
    return true;
}

static void on_commit(void *arg, const struct cache_event *events, size_t n)
{
    unsigned hints = 0;
    for (size_t i = 0; i < n; i++) {
        if (events[i].origin != CACHE_FROM_FILES)
            continue;
        hints |= HINT_LOCAL;
        if (events[i].kind != CACHE_ATTRIBUTES && ino_is_dir(events[i].ino))
            hints |= HINT_BOXES;
    }
    if (hints)
        engine_hint(arg, hints);
}

void engine_was_asked(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->fetch_news++;
    pthread_cond_broadcast(&e->fetch);
    /* The engine's own session is there when all others are busy with what nobody waits for. */
    if (!e->fetchers_idle) {
        e->hints |= HINT_WANT;
        pthread_cond_signal(&e->wake);
    }
    pthread_mutex_unlock(&e->lock);
}

static void on_want(void *arg)
{
    engine_was_asked(arg);
}

static void nobody_waits(void *arg, int err)
{
    (void)arg;
    (void)err;
}

void engine_want(struct engine *e, int64_t message)
{
    cache_want_cancel(e->cache, message, e); /* one of them is enough */
    cache_want(e->cache, message, nobody_waits, e);
}

void engine_wake(struct engine *e)
{
    engine_hint(e, HINT_FULL | HINT_ASKED);
}

/* ---- what others see ---- */

void engine_doing(struct engine *e, const struct mailbox *box, const char *what)
{
    char path[96] = "";
    if (box)
        mailbox_path(cache_reader(e->cache), box, path, sizeof path);
    pthread_mutex_lock(&e->lock);
    snprintf(e->status.doing, sizeof e->status.doing, "%s%s%s", path, *path ? ": " : "", what);
    pthread_mutex_unlock(&e->lock);
}

void engine_get_status(struct engine *e, struct engine_status *ret)
{
    struct mailbox_counts counts;
    cache_rd *rd = cache_reader(e->cache);
    bool counted = rd && mailbox_count(rd, 0, &counts) == 0;

    pthread_mutex_lock(&e->lock);
    *ret = e->status;
    ret->online = e->online;
    if (counted) {
        ret->bodies_left = counts.wanted;
        ret->bytes_left = counts.wanted_bytes;
    }
    if (!ret->bodies_left || clock_boot_ms() - e->rate_start_ms > 15000)
        ret->bytes_per_s = 0;
    ret->retry_s = 0;
    if (!e->online && e->retry_at_ms > clock_boot_ms())
        ret->retry_s = (e->retry_at_ms - clock_boot_ms() + 999) / 1000;
    if (e->pause_until_ms > clock_boot_ms()) {
        snprintf(ret->problem, sizeof ret->problem, "the server asks for a pause");
        ret->problem_exit = FAULT_UNAVAILABLE;
        ret->retry_s = (e->pause_until_ms - clock_boot_ms() + 999) / 1000;
    }
    pthread_mutex_unlock(&e->lock);
}

bool engine_is_online(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    bool online = e->online;
    pthread_mutex_unlock(&e->lock);
    return online;
}

struct fail {
    struct failure row;
    unsigned retry_ms;
};

static int put_failure(cache_tx *tx, void *arg)
{
    struct fail *f = arg;
    struct failure before;
    unsigned attempts =
        failure_get(cache_tx_rd(tx), f->row.message, f->row.mailbox, &before) == 0 ? before.attempts : 0;
    int64_t pause_s = f->retry_ms ? (f->retry_ms + 999) / 1000 : 15L << (attempts < 8 ? attempts : 8);
    f->row.retry_s = f->row.at_s + pause_s;
    return failure_put(tx, &f->row);
}

void engine_fail_message(struct engine *e, int64_t message, int64_t mailbox, const char *what,
                         const struct worker_error *why)
{
    struct fail f = {
        .row = {.message = message, .mailbox = message ? 0 : mailbox, .at_s = clock_now_ns() / 1000000000},
        .retry_ms = why->retry_ms};
    engine_pause(e, why->retry_ms);
    snprintf(f.row.what, sizeof f.row.what, "%s", what);
    snprintf(f.row.why, sizeof f.row.why, "%s", *why->text ? why->text : strerror(-why->err));
    log_warning("%s refused for row %lld, mailbox %lld", what, (long long)message, (long long)mailbox);
    if (cache_write(e->cache, CACHE_FROM_SERVER, CACHE_SOON, put_failure, &f) < 0)
        log_error("a refusal could not be noted");
}

/* ---- sessions to cancel ---- */

bool engine_register(struct engine *e, struct worker *w)
{
    bool ok = false;
    pthread_mutex_lock(&e->lock);
    for (size_t i = 0; i < sizeof e->live / sizeof *e->live && !e->stop && !ok; i++)
        if (!e->live[i]) {
            e->live[i] = w;
            ok = true;
        }
    pthread_mutex_unlock(&e->lock);
    return ok;
}

void engine_unregister(struct engine *e, struct worker *w)
{
    pthread_mutex_lock(&e->lock);
    for (size_t i = 0; i < sizeof e->live / sizeof *e->live; i++)
        if (e->live[i] == w)
            e->live[i] = NULL;
    pthread_mutex_unlock(&e->lock);
}

/* ---- on line, off line ---- */

static void note_session(struct engine *e)
{
    struct worker_description session;
    e->worker->ops->describe(e->worker, &session);
    pthread_mutex_lock(&e->lock);
    e->status.session = session;
    pthread_mutex_unlock(&e->lock);
}

static void set_online(struct engine *e)
{
    note_session(e);
    pthread_mutex_lock(&e->lock);
    e->online = e->fetch_on = true;
    e->offline = false;
    e->fetch_news++;
    e->status.problem[0] = 0;
    e->status.problem_exit = FAULT_OK;
    pthread_cond_broadcast(&e->fetch);
    pthread_mutex_unlock(&e->lock);
}

static void set_offline(struct engine *e, enum fault_exit exit, const char *problem)
{
    int64_t pause = RETRY_FIRST_MS << (e->failures < 7 ? e->failures : 7);
    e->failures++;
    e->open = false;
    e->worker->ops->reset(e->worker);
    pthread_mutex_lock(&e->lock);
    e->retry_at_ms = clock_boot_ms() + (pause < RETRY_LAST_MS ? pause : RETRY_LAST_MS);
    e->online = e->fetch_on = false;
    e->offline = e->failures > 1;
    snprintf(e->status.problem, sizeof e->status.problem, "%.*s", (int)sizeof e->status.problem - 1, problem);
    e->status.problem_exit = exit;
    pthread_mutex_unlock(&e->lock);
}

/* Off line there is nobody to ask: readers are told at once. But a session that was idle may have been ended
 * by the server, and opens again at once. */
static void refuse_wishes(struct engine *e)
{
    if (e->failures != 1)
        fetch_refuse(e, -ENETDOWN);
}

static bool open_session(struct engine *e)
{
    struct fault f = {0};
    if (e->open)
        return true;
    engine_doing(e, NULL, "connecting");
    enum worker_result r = e->worker->ops->open(e->worker, &f);
    if (r == WORKER_DONE && append_settle_all(e) == WORKER_DONE) {
        if (e->failures)
            log_info("on line again");
        e->open = true;
        mask_forget_all(e);
        quota_has_room(e);
        e->failures = 0;
        set_online(e);
        quota_refresh(e);
        return true;
    }
    if (!e->failures)
        log_warning("off line: %s", f.text);
    if (f.err)
        set_offline(e, f.exit, f.text);
    else
        set_offline(e, FAULT_UNAVAILABLE, "the connection broke");
    return false;
}

/* ---- the thread ---- */

static int64_t next_due(struct engine *e)
{
    int64_t due = e->open ? e->poll_at_ms : e->retry_at_ms;
    if (e->quiet_at_ms && e->quiet_at_ms < due)
        due = e->quiet_at_ms;
    return due;
}

static struct timespec monotonic_in(int64_t ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += ms % 1000 * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

/* One change is sent at once. But when more came while the last one was being sent, a program is at work on
 * many messages, and waiting a moment for the rest of them makes few commands of many (case 37). Called with
 * the lock held. */
static void wait_for_burst(struct engine *e)
{
    if (!(e->hints & HINT_LOCAL)) {
        e->burst_ms = 0;
        return;
    }
    e->burst_ms = e->burst_ms ? 2 * e->burst_ms : BURST_FIRST_MS;
    if (e->burst_ms > BURST_LAST_MS)
        e->burst_ms = BURST_LAST_MS;
    struct timespec until = monotonic_in(e->burst_ms);
    int r = 0;
    e->in_burst = true;
    while (!e->stop && !(e->hints & HINTS_THAT_END_A_BURST) && r == 0)
        r = pthread_cond_timedwait(&e->wake, &e->lock, &until);
    e->in_burst = false;
}

/* Waits for a hint or the time; returns the hints, and which rounds were asked for so far. */
static unsigned wait_for_hints(struct engine *e, uint64_t *ret_asked)
{
    pthread_mutex_lock(&e->lock);
    wait_for_burst(e);
    while (!e->stop && !e->hints) {
        int64_t left = next_due(e) - clock_boot_ms();
        if (left <= 0)
            break;
        /* Never longer than five seconds at once: the clock of the wait stands still while the machine is
         * suspended. */
        struct timespec at = monotonic_in(left < 5000 ? left : 5000);
        pthread_cond_timedwait(&e->wake, &e->lock, &at);
    }
    unsigned hints = e->hints;
    e->hints = 0;
    *ret_asked = e->asked;
    e->status.syncing = true;
    pthread_mutex_unlock(&e->lock);
    return hints;
}

static void answer(struct engine *e, uint64_t seen)
{
    bool rest = round_at_rest(e);
    pthread_mutex_lock(&e->lock);
    rest = rest && !(e->hints & HINT_BOXES); /* the tree is to be looked at once more */
    if (rest && seen > e->answered)
        e->answered = seen;
    e->status.syncing = false;
    e->status.doing[0] = 0;
    pthread_cond_broadcast(&e->agreed);
    pthread_mutex_unlock(&e->lock);
}

static void finish_round(struct engine *e, enum worker_result r, unsigned hints)
{
    if (engine_session_ended(r)) {
        log_info("the connection broke");
        set_offline(e, FAULT_UNAVAILABLE, "the connection broke");
        return;
    }
    if (r == WORKER_LOCAL) {
        /* This machine's trouble, such as a full disk: no use in hurrying. */
        set_offline(e, FAULT_IO, "the cache cannot be written (disk full?)");
        return;
    }
    if (hints & HINT_FULL) {
        note_session(e);
        e->poll_at_ms = clock_boot_ms() + (int64_t)e->account->poll_s * 1000;
        pthread_mutex_lock(&e->lock);
        e->status.rounds++;
        if (r == WORKER_DONE)
            e->status.last_sync_s = clock_now_ns() / 1000000000;
        pthread_mutex_unlock(&e->lock);
    }
}

/* While the server wants to be left alone. A full round follows, for the hints of this time are gone. */
static bool keep_pause(struct engine *e)
{
    int64_t until = pause_end(e);
    if (!until)
        return false;
    e->poll_at_ms = e->retry_at_ms = until;
    fetch_refuse(e, -ENETDOWN);
    answer(e, 0);
    return true;
}

static void *engine_main(void *arg)
{
    struct engine *e = arg;
    uint64_t asked, full_round = 0;

    if (!engine_register(e, e->worker))
        return NULL;
    while (!engine_stopping(e)) {
        unsigned hints = wait_for_hints(e, &asked);
        round_settle(e);
        tend_run(e);
        bodies_tend(e);
        if (keep_pause(e))
            continue;
        if (!e->open && !(hints & HINT_ASKED) && clock_boot_ms() < e->retry_at_ms) {
            refuse_wishes(e);
            continue;
        }
        if (!e->open)
            hints |= HINT_FULL;
        if (clock_boot_ms() >= e->poll_at_ms)
            hints |= HINT_FULL;
        if (engine_stopping(e) || !open_session(e)) {
            fetch_refuse(e, -ENETDOWN);
            answer(e, 0);
            continue;
        }
        enum worker_result r = round_run(e, hints);
        finish_round(e, r, hints);
        if ((hints & HINT_FULL) && r == WORKER_DONE)
            full_round = asked;
        answer(e, e->open ? full_round : 0);
    }
    engine_unregister(e, e->worker);
    return NULL;
}

/* ---- life ---- */

struct engine *engine_new(struct cache *c, const struct config_account *a,
                          struct worker *(*new_worker)(void *arg), void *arg)
{
    struct engine *e = calloc(1, sizeof *e);
    pthread_condattr_t monotonic;

    if (!e)
        return NULL;
    *e = (struct engine){
        .cache = c, .account = a, .new_worker = new_worker, .new_worker_arg = arg, .delimiter = '/'};
    e->worker = new_worker(arg);
    if (!e->worker) {
        free(e);
        return NULL;
    }
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->wake, &monotonic);
    pthread_cond_init(&e->fetch, &monotonic);
    pthread_cond_init(&e->agreed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    e->poll_at_ms = e->retry_at_ms = clock_boot_ms();
    cache_listen(c, on_commit, e);
    cache_on_want(c, on_want, e);
    return e;
}

int engine_first(struct engine *e, struct fault *f)
{
    struct boxes boxes;
    enum worker_result r = e->worker->ops->open(e->worker, f);
    if (r != WORKER_DONE)
        return f && f->err ? f->err : -ENOTCONN;
    r = boxes_merge(e, &boxes);
    boxes_finish(&boxes);
    if (r != WORKER_DONE)
        return fault_set(f, FAULT_UNAVAILABLE, -ENOTCONN, "the mailbox list could not be read (try again)");
    return 0;
}

static unsigned fetchers_for(const struct config_account *a)
{
    unsigned own = a->idle ? 2 : 1, most = a->connections > own ? a->connections - own : 0;
    return most < ENGINE_FETCHERS_MAX ? most : ENGINE_FETCHERS_MAX;
}

int engine_start(struct engine *e)
{
    unsigned fetchers = fetchers_for(e->account);
    int r = 0;

    e->alone = fetchers == 0;
    while (e->fetchers < fetchers && r == 0) {
        r = pthread_create(&e->fetcher[e->fetchers], NULL, fetch_main, e);
        e->fetchers += r == 0;
    }
    if (r == 0) {
        r = pthread_create(&e->thread, NULL, engine_main, e);
        e->running = r == 0;
    }
    if (r == 0 && e->account->idle && e->account->connections > 1) {
        r = pthread_create(&e->watcher, NULL, watch_main, e);
        e->watching = r == 0;
    }
    if (r)
        engine_stop(e);
    return -r;
}

void engine_stop(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->stop = true;
    for (size_t i = 0; i < sizeof e->live / sizeof *e->live; i++)
        if (e->live[i])
            e->live[i]->ops->cancel(e->live[i]);
    pthread_cond_broadcast(&e->wake);
    pthread_cond_broadcast(&e->fetch);
    pthread_cond_broadcast(&e->agreed);
    pthread_mutex_unlock(&e->lock);
    if (e->running)
        pthread_join(e->thread, NULL);
    for (unsigned i = 0; i < e->fetchers; i++)
        pthread_join(e->fetcher[i], NULL);
    if (e->watching)
        pthread_join(e->watcher, NULL);
    e->running = e->watching = false;
    e->fetchers = 0;
    fetch_refuse(e, -ENETDOWN);
}

void engine_free(struct engine *e)
{
    if (!e)
        return;
    e->worker->ops->destroy(e->worker);
    fetch_forget_claims(e);
    free(e->window);
    free(e->full);
    mask_forget_all(e);
    pthread_cond_destroy(&e->wake);
    pthread_cond_destroy(&e->fetch);
    pthread_cond_destroy(&e->agreed);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

int engine_sync(struct engine *e, int timeout_ms)
{
    struct timespec until = monotonic_in(timeout_ms > 0 ? timeout_ms : 0);
    int r = 0;

    pthread_mutex_lock(&e->lock);
    uint64_t mine = ++e->asked;
    e->hints |= HINT_FULL | HINT_ASKED;
    pthread_cond_signal(&e->wake);
    while (!e->stop && e->answered < mine && r == 0)
        r = timeout_ms < 0 ? pthread_cond_wait(&e->agreed, &e->lock)
                           : pthread_cond_timedwait(&e->agreed, &e->lock, &until);
    bool done = e->answered >= mine, stop = e->stop;
    pthread_mutex_unlock(&e->lock);
    return done ? 0 : stop ? -ESHUTDOWN : -EAGAIN;
}
