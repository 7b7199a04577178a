#include <stdio.h>

#include "command.h"

static void help_all(void)
{
    puts("usage: mailmount [-c FILE] COMMAND ...\n");
    for (const struct command *c = commands; c->name; c++)
        printf("  %-7s %-42s %s\n", c->name, c->arguments, c->summary);
    puts("\nACCOUNT may be left out when the configuration has exactly one.\n"
         "mailmount(1) has the whole story, mailmount(5) the configuration file; `man mailmount`.");
}

void command_help(const struct command *c)
{
    if (!c) {
        help_all();
        return;
    }
    printf("usage: mailmount [-c FILE] %s %s\n\n%s.\n", c->name, c->arguments, c->summary);
    if (c->help[0] != '\0')
        puts(c->help);
    puts("\nSee mailmount(1).");
}

int cmd_help(struct invocation *in, int argc, char **argv)
{
    if (command_option(in, argc, argv, ":c:h", NULL) != -1)
        return in->status;
    if (argc - optind > 1)
        return command_usage("help: one command at a time (`mailmount help COMMAND`)");
    const struct command *c = NULL;
    if (optind < argc) {
        c = command_find(argv[optind]);
        if (!c)
            return command_usage("%s: no such command (see `mailmount help`)", argv[optind]);
    }
    command_help(c);
    return FAULT_OK;
}
