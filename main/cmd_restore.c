#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ask.h"
#include "command.h"
#include "control.h"
#include "log.h"

struct restore_words {
    const char *account;
    bool list, json;
    char **id;
    int ids;
};

static bool is_number(const char *word)
{
    return *word && strlen(word) < 20 && strspn(word, "0123456789") == strlen(word);
}

static void print_message(const json_t *m)
{
    char when[32] = "";
    struct tm tm;
    time_t at = json_integer_value(json_object_get(m, "removed_at"));
    if (localtime_r(&at, &tm))
        strftime(when, sizeof when, "%Y-%m-%d %H:%M", &tm);
    printf("%-8lld %s  %s  %s  %s\n", (long long)json_integer_value(json_object_get(m, "id")), when,
           ask_text(m, "mailbox"), ask_text(m, "from"), ask_text(m, "subject"));
}

static int list(const struct restore_words *w, const struct config_account *a)
{
    struct fault f = {0};
    size_t i;
    json_t *m, *answer = ask(a, "restorable", &f);
    if (!answer)
        return command_fail(&f);
    if (w->json) {
        json_dumpf(answer, stdout, JSON_INDENT(2));
        fputc('\n', stdout);
    } else {
        json_array_foreach(json_object_get(answer, "messages"), i, m) print_message(m);
    }
    json_decref(answer);
    return FAULT_OK;
}

static int bring_back(const struct config_account *a, const char *id)
{
    char request[64];
    struct fault f = {0};
    snprintf(request, sizeof request, "restore %.32s", id);
    json_t *answer = ask(a, request, &f);
    if (!answer)
        return command_fail(&f);
    const char *result = control_result(answer);
    if (strcmp(result, "unknown") == 0)
        fault_set(&f, FAULT_DATA, -ENOENT,
                  "restore: %s: no such deleted message (see `mailmount restore --list`)", id);
    else if (strcmp(result, "done") != 0)
        fault_set(&f, FAULT_IO, -EIO, "restore: %s: %s", id, ask_text(answer, "why"));
    json_decref(answer);
    return f.err ? command_fail(&f) : FAULT_OK;
}

/* [ACCOUNT] [--list] [ID...] */
static int parse_words(struct invocation *in, int argc, char **argv, struct restore_words *w)
{
    static const struct option longs[] = {{"json", no_argument, NULL, 'j'},
                                          {"list", no_argument, NULL, 'l'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    int option;
    while ((option = command_option(in, argc, argv, ":c:hjl", longs)) != -1) {
        if (option == '?')
            return in->status;
        w->json = w->json || option == 'j';
        w->list = w->list || option == 'l';
    }
    int at = optind;
    if (at < argc && !is_number(argv[at]))
        w->account = argv[at++];
    w->id = argv + at;
    w->ids = argc - at;
    for (int i = 0; i < w->ids; i++)
        if (!is_number(w->id[i]))
            return command_usage("restore: %s: not a number of the list (see `mailmount restore --list`)",
                                 w->id[i]);
    return -1;
}

int cmd_restore(struct invocation *in, int argc, char **argv)
{
    struct restore_words w = {0};
    struct account_config config = {0};
    struct fault f = {0};
    int status = parse_words(in, argc, argv, &w);
    if (status >= 0)
        return status;
    if (command_account(in, w.account, NULL, &config, &f) < 0)
        return command_fail(&f);
    log_to(STDERR_FILENO, LOG_LEVEL_ERROR);
    status = FAULT_OK;
    for (int i = 0; i < w.ids; i++) {
        int r = bring_back(config.account, w.id[i]);
        status = status == FAULT_OK ? r : status;
    }
    if (w.list || !w.ids)
        status = list(&w, config.account);
    account_config_finish(&config);
    return status;
}
