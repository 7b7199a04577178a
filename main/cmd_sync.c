/*
 * A sync now. With a mount its daemon does it; without one this process is the engine for as long as it
 * takes.
 *
 * Without a limit of time a server that cannot be reached, or refuses the login, ends the command at once
 * (69, 77): nobody wants a script that hangs until the network is back. With --wait=SECONDS that time is
 * given to the server, and exit status 75 says that it was not enough.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "account.h"
#include "clock.h"
#include "command.h"
#include "control.h"
#include "log.h"
#include "progress.h"

#define TICK_MS 200
#define BUSY_MS 60000
#define GIVE_UP_MS 3000 /* off line for so long, with a reason: without a limit that is the answer */

struct sync_words {
    const char *account;
    bool wait;
    int limit_ms; /* -1: none */
};

static int fail_late(const char *account, const char *why)
{
    struct fault f = {0};
    fault_set(&f, FAULT_AGAIN, -EAGAIN, "%s: not in sync in time%s%s (mailmount status says what waits)",
              account, why[0] != '\0' ? ": " : "", why);
    return command_fail(&f);
}

/* --- with a mount --- */

/* A daemon of an older version gives none. */
static enum fault_exit exit_of(const json_t *answer, enum fault_exit otherwise)
{
    json_int_t exit = json_integer_value(json_object_get(answer, "exit"));
    return exit >= FAULT_USAGE && exit <= FAULT_CONFIG ? (enum fault_exit)exit : otherwise;
}

static int tell_result(const char *account, const json_t *answer)
{
    struct fault f = {0};
    const char *result = control_result(answer);
    const char *why = json_string_value(json_object_get(answer, "why"));
    if (!why)
        why = "";
    if (strcmp(result, "done") == 0)
        return FAULT_OK;
    if (strcmp(result, "late") == 0)
        return fail_late(account, why);
    bool offline = strcmp(result, "offline") == 0;
    fault_set(&f, exit_of(answer, offline ? FAULT_UNAVAILABLE : FAULT_AGAIN), -EAGAIN, "%s: %s%s", account,
              offline ? "off line: " : "", why);
    return command_fail(&f);
}

/* FAULT_OK, an exit status, or -ENOENT when there is no daemon. */
static int sync_mounted(const struct config_account *a, const struct sync_words *w)
{
    char request[32];
    json_t *answer = NULL;
    int limit_ms = w->wait ? w->limit_ms : 0;
    int patience_ms = limit_ms < 0 ? -1 : limit_ms < INT_MAX - 10000 ? limit_ms + 10000 : INT_MAX;
    snprintf(request, sizeof request, "sync %d", limit_ms);
    int r = control_call(a->data_dir, request, patience_ms, &answer, NULL);
    if (r == -ENOENT || r == -ECONNREFUSED || r == -ENOTDIR)
        return -ENOENT;
    if (r < 0)
        return fail_late(a->name, strerror(-r));
    int status = w->wait ? tell_result(a->name, answer) : FAULT_OK;
    json_decref(answer);
    return status;
}

/* --- without one --- */

/* engine_sync wants a whole round that begins after the call, so it is called once, on a thread of its own,
 * and the main thread looks on. */
struct waiting {
    struct engine *engine;
    int limit_ms, result;
    pthread_t thread;
};

static void *wait_for_sync(void *arg)
{
    struct waiting *w = arg;
    w->result = engine_sync(w->engine, w->limit_ms);
    return NULL;
}

static bool joined_within(pthread_t thread, int timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)timeout_ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return pthread_timedjoin_np(thread, NULL, &until) == 0;
}

/* Shows the progress until the wait is over; without a limit a server that is out of reach ends it. */
static void look_on(struct account *account, struct waiting *w, struct engine_status *last)
{
    struct progress progress;
    int64_t on_line_ms = clock_boot_ms();
    bool over = false;
    progress_init(&progress, account->config->name);
    while (!over && !joined_within(w->thread, TICK_MS)) {
        engine_get_status(account->engine, last);
        progress_show(&progress, last);
        if (last->online || last->problem[0] == '\0')
            on_line_ms = clock_boot_ms();
        over = w->limit_ms < 0 && clock_boot_ms() - on_line_ms >= GIVE_UP_MS;
    }
    progress_end(&progress);
    engine_stop(account->engine); /* ends the wait, too */
    if (over)
        pthread_join(w->thread, NULL);
}

/* The engine only says that it is off line. One more attempt gives the reason with its exit status. */
static int tell_why(struct account *account, const struct sync_words *w, const struct engine_status *last)
{
    struct fault f = {0};
    if (w->limit_ms < 0 && account_probe(account, &f) < 0)
        return command_fail(&f);
    return fail_late(account->config->name, last->online ? "" : last->problem);
}

static int watch_engine(struct account *account, const struct sync_words *words)
{
    struct waiting w = {.engine = account->engine, .limit_ms = words->limit_ms, .result = -EAGAIN};
    struct engine_status last = {0};
    if (pthread_create(&w.thread, NULL, wait_for_sync, &w) != 0) {
        engine_stop(account->engine);
        return fail_late(account->config->name, "no threads");
    }
    look_on(account, &w, &last);
    return w.result == 0 ? FAULT_OK : tell_why(account, words, &last);
}

/* A cache that knows no mailbox yet asks for them first, for then there is a plain reason when that fails.
 * With a limit, and a server that is only not there, the engine goes on trying. */
static int run_engine(struct account *account, const struct sync_words *w)
{
    struct fault f = {0};
    int r = account->fresh ? engine_first(account->engine, &f) : 0;
    if (r < 0 && !(w->limit_ms >= 0 && f.exit == FAULT_UNAVAILABLE))
        return command_fail(&f);
    r = engine_start(account->engine);
    if (r < 0) {
        fault_set(&f, FAULT_AGAIN, r, "%s: no threads: %s", account->config->name, strerror(-r));
        return command_fail(&f);
    }
    return watch_engine(account, w);
}

/* -EBUSY with f set: another process has the cache. */
static int sync_unmounted(const struct config_account *a, const struct sync_words *w, struct fault *f)
{
    struct account account;
    int r = account_open(&account, a, false, f);
    if (r < 0)
        return r == -EBUSY ? r : command_fail(f);
    account_log_to_file(&account);
    int status = run_engine(&account, w);
    account_close(&account);
    return status;
}

/* A cache in use without a daemon that answers is a mount that begins or ends just now, or another `sync`:
 * wait for it. */
static int sync_account(const struct config_account *a, const struct sync_words *w)
{
    struct fault f = {0};
    int64_t until_ms = clock_boot_ms() + (w->limit_ms >= 0 ? w->limit_ms : BUSY_MS);
    for (;;) {
        int status = sync_mounted(a, w);
        if (status == -ENOENT)
            status = sync_unmounted(a, w, &f);
        if (status >= 0)
            return status;
        if (clock_boot_ms() >= until_ms)
            return command_fail(&f);
        usleep(TICK_MS * 1000);
    }
}

/* --- */

static bool parse_limit(const char *text, int *ret_ms)
{
    char *end;
    errno = 0;
    long s = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || s < 0 || s > INT_MAX / 1000)
        return false;
    *ret_ms = (int)s * 1000;
    return true;
}

static int parse_words(struct invocation *in, int argc, char **argv, struct sync_words *w)
{
    static const struct option longs[] = {
        {"wait", optional_argument, NULL, 'w'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    int option;
    while ((option = command_option(in, argc, argv, ":c:h", longs)) != -1) {
        if (option == '?')
            return in->status;
        w->wait = true;
        if (optarg && !parse_limit(optarg, &w->limit_ms))
            return command_usage("sync: --wait=%s: not a number of seconds (see `mailmount help sync`)",
                                 optarg);
    }
    return command_one_word(argc, argv, &w->account) ? -1 : FAULT_USAGE;
}

int cmd_sync(struct invocation *in, int argc, char **argv)
{
    struct sync_words w = {.limit_ms = -1};
    struct account_config config = {0};
    struct fault f = {0};
    int status = parse_words(in, argc, argv, &w);
    if (status >= 0)
        return status;
    if (command_account(in, w.account, NULL, &config, &f) < 0)
        return command_fail(&f);
    log_to(STDERR_FILENO, LOG_LEVEL_ERROR);
    status = sync_account(config.account, &w);
    account_config_finish(&config);
    return status;
}
