#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ask.h"
#include "command.h"
#include "control.h"
#include "log.h"

struct held_words {
    const char *account, *verb, *id;
    bool json;
};

static bool is_verb(const char *word)
{
    return strcmp(word, "approve") == 0 || strcmp(word, "revert") == 0;
}

static long long number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void print_hold(const json_t *hold)
{
    const char *mailbox = ask_text(hold, "mailbox");
    long long n = number_of(hold, "messages");
    if (json_is_true(json_object_get(hold, "whole")))
        printf("%-6s %s: the mailbox is gone on the server; here it stays\n", ask_text(hold, "id"), mailbox);
    else if (strcmp(ask_text(hold, "side"), "here") == 0)
        printf("%-6s %s: %lld messages are gone on the server; here they stay\n", ask_text(hold, "id"),
               mailbox, n);
    else
        printf("%-6s %s: %lld messages were removed here; on the server they stay\n", ask_text(hold, "id"),
               mailbox, n);
}

static void print_refusal(const json_t *refusal)
{
    printf("%-6s %s: %s refused: %s (%lld attempts)\n", ask_text(refusal, "id"), ask_text(refusal, "mailbox"),
           ask_text(refusal, "what"), ask_text(refusal, "why"), number_of(refusal, "attempts"));
}

static void print_list(const json_t *answer)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(answer, "held"), i, item) print_hold(item);
    json_array_foreach(json_object_get(answer, "refused"), i, item) print_refusal(item);
}

/* FAULT_OK, or the exit status after the one line. */
static int tell_decision(const struct held_words *w, const struct config_account *a, const json_t *answer)
{
    struct fault f = {0};
    const char *result = control_result(answer);
    if (strcmp(result, "done") == 0)
        return FAULT_OK;
    if (strcmp(result, "unknown") == 0)
        fault_set(&f, FAULT_DATA, -ENOENT,
                  "held: %s: nothing of that number is held for %s (see `mailmount held`)", w->id, a->name);
    else
        fault_set(&f, FAULT_AGAIN, -EAGAIN, "held: %s: %s", w->id, ask_text(answer, "why"));
    return command_fail(&f);
}

static int run(const struct held_words *w, const struct config_account *a)
{
    char request[64] = "held";
    struct fault f = {0};
    if (w->verb)
        snprintf(request, sizeof request, "decide %s %.32s", w->verb, w->id);
    json_t *answer = ask(a, request, &f);
    if (!answer)
        return command_fail(&f);
    int status = w->verb ? tell_decision(w, a, answer) : FAULT_OK;
    if (w->json) {
        json_dumpf(answer, stdout, JSON_INDENT(2));
        fputc('\n', stdout);
    } else if (!w->verb) {
        print_list(answer);
    }
    json_decref(answer);
    return status;
}

static bool is_id(const char *id)
{
    if (strcmp(id, "all") == 0)
        return true;
    id += *id == 'r';
    return *id && strlen(id) < 20 && strspn(id, "0123456789") == strlen(id);
}

/* [ACCOUNT] [approve ID | revert ID | approve all | revert all] */
static int parse_words(struct invocation *in, int argc, char **argv, struct held_words *w)
{
    static const struct option longs[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    int option;
    while ((option = command_option(in, argc, argv, ":c:hj", longs)) != -1) {
        if (option == '?')
            return in->status;
        w->json = true;
    }
    int at = optind;
    if (at < argc && !is_verb(argv[at]))
        w->account = argv[at++];
    if (at < argc && is_verb(argv[at])) {
        w->verb = argv[at++];
        if (at == argc || !is_id(argv[at]))
            return command_usage("held: %s takes a number of the list, or all (see `mailmount help held`)",
                                 w->verb);
        w->id = argv[at++];
    }
    if (at < argc)
        return command_usage("held: %s: one word too many (see `mailmount help held`)", argv[at]);
    return -1;
}

int cmd_held(struct invocation *in, int argc, char **argv)
{
    struct held_words w = {0};
    struct account_config config = {0};
    struct fault f = {0};
    int status = parse_words(in, argc, argv, &w);
    if (status >= 0)
        return status;
    if (command_account(in, w.account, NULL, &config, &f) < 0)
        return command_fail(&f);
    log_to(STDERR_FILENO, LOG_LEVEL_ERROR);
    status = run(&w, config.account);
    account_config_finish(&config);
    return status;
}
