#pragma once
/*
 * What the commands share: how one is called, how it reads its options and the configuration, how it reports.
 *
 * A command returns the exit status of the program (enum fault_exit) and has said by then what went wrong:
 * one line on standard error, "mailmount: WHAT: WHY (what to do)".
 */
#include <getopt.h>
#include <stdbool.h>
#include "config.h"
#include "fault.h"

struct invocation {
    const char *config_file; /* -c FILE, or NULL for the usual places */
    bool implied_mount;      /* called as mount(8) does: the words of `mount` without the word */
    int status;              /* what to return when command_option answered '?' */
};

struct command {
    const char *name;
    const char *arguments;                                    /* for the usage line */
    const char *summary;                                      /* one line of `mailmount help` */
    const char *help;                                         /* the paragraph of `mailmount help NAME` */
    int (*run)(struct invocation *in, int argc, char **argv); /* argv[0] is the command's name */
};

extern const struct command commands[];               /* in main.c; the last one has no name */
const struct command *command_find(const char *name); /* NULL when there is none */

int cmd_mount(struct invocation *in, int argc, char **argv);
int cmd_umount(struct invocation *in, int argc, char **argv);
int cmd_status(struct invocation *in, int argc, char **argv);
int cmd_sync(struct invocation *in, int argc, char **argv);
int cmd_held(struct invocation *in, int argc, char **argv);
int cmd_restore(struct invocation *in, int argc, char **argv);
int cmd_doctor(struct invocation *in, int argc, char **argv);
int cmd_config(struct invocation *in, int argc, char **argv);
int cmd_help(struct invocation *in, int argc, char **argv);
void command_help(const struct command *c); /* NULL: the list of all */

/* The next option as getopt_long gives it, with -c and --help seen to here. -1 at the end of them; '?' when
 * the command is to return in->status. `shorts` begins with ':' and contains "c:h"; longs may be NULL: --help
 * only. */
int command_option(struct invocation *in, int argc, char **argv, const char *shorts,
                   const struct option *longs);

/* Print the one line and return the exit status. */
int command_fail(const struct fault *f);
__attribute__((format(printf, 1, 2))) int command_usage(const char *format, ...);

/* The configuration and one of its accounts. Zero-initialised is empty. */
struct account_config {
    struct config config;
    const struct config_account *account;
};

/* Reads the configuration and finds the account; name may be NULL when there is exactly one. -ESRCH: no such
 * account. */
int command_account(const struct invocation *in, const char *name, const char *const *overrides,
                    struct account_config *ret, struct fault *f);
void account_config_finish(struct account_config *a);

/* The one optional word that most commands take. *ret is NULL without it; false after a usage error was
 * printed. */
bool command_one_word(int argc, char **argv, const char **ret);
