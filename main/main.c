/*
 * mailmount: an IMAP account as a Maildir.
 *
 * The commands are in the table below, one file each. main wires the layers together and does nothing else:
 * account.c opens an account's cache and engine, serve.c adds the file system and the control socket.
 */
#include <locale.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "command.h"

const struct command commands[] = {
    {"mount", "[-f] [-o OPTIONS] [ACCOUNT] MOUNTPOINT", "mount an account as a Maildir",
     "Returns when the tree can be listed. -f stays in the foreground and logs to standard error. -o takes "
     "ro,\n"
     "allow_other, allow_root, auto_unmount and any key of the configuration file (poll=60).",
     cmd_mount},
    {"umount", "MOUNTPOINT", "unmount, after local state is durable",
     "Returns when everything done in the tree is on disk and the daemon has ended. What the server does "
     "not\n"
     "have yet waits in the cache for the next mount or `mailmount sync`.",
     cmd_umount},
    {"status", "[--json] [--watch] [ACCOUNT]", "what is synced, waiting, failed; progress and rate",
     "--json prints one JSON object, --watch goes on once a second.", cmd_status},
    {"sync", "[--wait[=SECONDS]] [ACCOUNT]", "sync now",
     "--wait returns when both sides agree, or with exit status 75 when they do not in time. Works without "
     "a\n"
     "mount, too, and then always waits.",
     cmd_sync},
    {"held", "[--json] [ACCOUNT] [approve ID | revert ID | approve all | revert all]",
     "what the brakes hold back, and what the server refused",
     "approve lets a removal happen, or tries again what was refused; revert undoes it: what was removed "
     "here is "
     "shown\n"
     "again, what the server lost is sent to it anew, a change that was refused is taken back.",
     cmd_held},
    {"restore", "[--list] [--json] [ACCOUNT] [ID...]", "mail that was deleted lately, and bringing it back",
     "Without numbers it lists what can be brought back, latest first, for as long as keep_deleted says.",
     cmd_restore},
    {"doctor", "[ACCOUNT]", "one connection, explained",
     "Connects once and says in plain words what was found.", cmd_doctor},
    {"config", "", "the settings in force, and where each came from", "Secrets are shown as \"set\".",
     cmd_config},
    {"help", "[COMMAND]", "this list, or one command", "", cmd_help},
    {NULL, NULL, NULL, NULL, NULL},
};

/* mount(8) calls `mailmount ACCOUNT MOUNTPOINT -o OPTIONS` for `mount -t fuse.mailmount` and for lines of
 * fstab. */
static bool is_mount_form(int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        if (strncmp(argv[i], "-o", 2) == 0)
            return true;
    }
    return argc == 2;
}

static int run(struct invocation *in, int argc, char **argv)
{
    const struct command *c = command_find(argv[0]);
    optind = 0; /* getopt starts anew, on the command's own words */
    if (c)
        return c->run(in, argc, argv);
    if (!is_mount_form(argc, argv))
        return command_usage("%s: no such command (see `mailmount help`)", argv[0]);

    /* The word before ACCOUNT becomes the command's name: argv[-1] is the program's name, or an option's
     * value. */
    char name[] = "mount";
    argv[-1] = name;
    in->implied_mount = true;
    return cmd_mount(in, argc + 1, argv - 1);
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};
    struct invocation in = {0};
    int option;
    setlocale(LC_ALL, "");
    /* Many threads that allocate little each: an arena a thread would hold on to more than they ever use. */
    mallopt(M_ARENA_MAX, 2);
    opterr = 0;
    while ((option = getopt_long(argc, argv, "+:c:hV", longs, NULL)) != -1) {
        switch (option) {
        case 'c':
            in.config_file = optarg;
            break;
        case 'h':
            command_help(NULL);
            return FAULT_OK;
        case 'V':
            puts("mailmount " MAILMOUNT_VERSION);
            return FAULT_OK;
        default:
            return command_usage("%s: no such option, or its value is missing (see `mailmount help`)",
                                 argv[optind - 1]);
        }
    }
    if (optind >= argc)
        return command_usage("no command given (see `mailmount help`)");
    return run(&in, argc - optind, argv + optind);
}
