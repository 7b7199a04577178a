#include "command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io.h"

const struct command *command_find(const char *name)
{
    for (const struct command *c = commands; c->name; c++) {
        if (strcmp(c->name, name) == 0)
            return c;
    }
    return NULL;
}

static int refuse_option(const char *command, int option, char **argv)
{
    const char *word = optind > 0 ? argv[optind - 1] : "";
    if (option == ':')
        return command_usage("%s: option -%c needs a value (see `mailmount help %s`)", command, optopt,
                             command);
    if (optopt > ' ' && optopt < 127)
        return command_usage("%s: no option -%c (see `mailmount help %s`)", command, optopt, command);
    return command_usage("%s: %s: no such option (see `mailmount help %s`)", command, word, command);
}

int command_option(struct invocation *in, int argc, char **argv, const char *shorts,
                   const struct option *longs)
{
    static const struct option help_only[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, shorts, longs ? longs : help_only, NULL)) == 'c')
        in->config_file = optarg;
    if (option == 'h') {
        command_help(command_find(argv[0]));
        in->status = FAULT_OK;
        return '?';
    }
    if (option == '?' || option == ':') {
        in->status = refuse_option(argv[0], option, argv);
        return '?';
    }
    return option;
}

int command_fail(const struct fault *f)
{
    fprintf(stderr, "mailmount: %s\n", f->text);
    return f->exit != FAULT_OK ? (int)f->exit : FAULT_IO;
}

int command_usage(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("mailmount: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return FAULT_USAGE;
}

static void free_string(char **s)
{
    free(*s);
}

int command_account(const struct invocation *in, const char *name, const char *const *overrides,
                    struct account_config *ret, struct fault *f)
{
    CLEANUP(free_string) char *path = config_path(in->config_file);
    if (!path)
        return fault_set(f, FAULT_CONFIG, -ENOMEM,
                         "configuration: its place is not known (set HOME, or use -c FILE)");
    struct config config = {0};
    int r = config_read(path, overrides, &config, f);
    if (r < 0)
        return r;
    const struct config_account *account;
    r = config_find(&config, name, &account, f);
    if (r < 0) {
        config_finish(&config);
        return name ? -ESRCH : r;
    }
    *ret = (struct account_config){.config = config, .account = account};
    return 0;
}

void account_config_finish(struct account_config *a)
{
    if (a->account)
        config_finish(&a->config);
    *a = (struct account_config){0};
}

bool command_one_word(int argc, char **argv, const char **ret)
{
    if (argc - optind > 1) {
        command_usage("%s: more than one account named (see `mailmount help %s`)", argv[0], argv[0]);
        return false;
    }
    *ret = optind < argc ? argv[optind] : NULL;
    return true;
}
