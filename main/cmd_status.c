#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache.h"
#include "command.h"
#include "control.h"
#include "log.h"
#include "status.h"

#define ANSWER_MS 10000
#define TRIES 3 /* each waits for SQLite, five seconds */

struct status_words {
    const char *account;
    bool json, watch;
};

/* Without a daemon: what the cache says. No cache is an answer, too: never mounted. -EBUSY: there is a
 * daemon. */
static json_t *look_at_cache(const struct config_account *a, struct fault *f)
{
    struct cache_options options = {.dir = a->data_dir, .look_only = true};
    struct cache *cache = NULL;
    int r = cache_open(&options, &cache, f);
    if (r < 0 && r != -ENOENT)
        return NULL;
    json_t *status = status_json(
        &(struct status_source){.account = a->name, .data_dir = a->data_dir, .cache = r == 0 ? cache : NULL});
    if (r == 0)
        cache_close(cache);
    if (!status)
        fault_set(f, FAULT_IO, -EIO, "%s: the cache %s cannot be read (mailmount mount says more)", a->name,
                  a->data_dir);
    return status;
}

static json_t *get_status(const struct config_account *a, struct fault *f)
{
    json_t *status = NULL;
    int r = 0;
    /* A daemon that is about to answer, or has just ceased to, has the cache to itself. */
    for (int i = 0; i < TRIES; i++) {
        *f = (struct fault){0};
        r = control_call(a->data_dir, "status", ANSWER_MS, &status, NULL);
        if (r == 0)
            return status;
        if (r != -ENOENT && r != -ECONNREFUSED && r != -ENOTDIR)
            break;
        status = look_at_cache(a, f);
        if (status || f->err != -EBUSY)
            return status;
    }
    fault_set(f, r == -EACCES ? FAULT_DENIED : FAULT_AGAIN, r, "%s: the daemon does not answer: %s", a->name,
              strerror(-r));
    return NULL;
}

static void show(const struct status_words *w, const json_t *status)
{
    bool terminal = isatty(STDOUT_FILENO);
    if (w->watch && terminal && !w->json)
        fputs("\033[H\033[J", stdout);
    if (w->json)
        json_dumpf(status, stdout, w->watch ? JSON_COMPACT : JSON_INDENT(2));
    else
        status_print(status, stdout, terminal);
    if (w->json || (w->watch && !terminal))
        fputc('\n', stdout);
    fflush(stdout);
}

static int show_once(const struct status_words *w, const struct config_account *a)
{
    struct fault f = {0};
    json_t *status = get_status(a, &f);
    if (!status)
        return command_fail(&f);
    show(w, status);
    json_decref(status);
    return ferror(stdout) ? FAULT_IO : FAULT_OK;
}

static int parse_words(struct invocation *in, int argc, char **argv, struct status_words *w)
{
    static const struct option longs[] = {{"json", no_argument, NULL, 'j'},
                                          {"watch", no_argument, NULL, 'w'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    int option;
    while ((option = command_option(in, argc, argv, ":c:hjw", longs)) != -1) {
        if (option == '?')
            return in->status;
        w->json = w->json || option == 'j';
        w->watch = w->watch || option == 'w';
    }
    return command_one_word(argc, argv, &w->account) ? -1 : FAULT_USAGE;
}

int cmd_status(struct invocation *in, int argc, char **argv)
{
    struct status_words w = {0};
    struct account_config config = {0};
    struct fault f = {0};
    int status = parse_words(in, argc, argv, &w);
    if (status >= 0)
        return status;
    if (command_account(in, w.account, NULL, &config, &f) < 0)
        return command_fail(&f);
    log_to(STDERR_FILENO, LOG_LEVEL_ERROR);
    do {
        status = show_once(&w, config.account);
    } while (w.watch && status == FAULT_OK && sleep(1) == 0);
    account_config_finish(&config);
    return status;
}
