#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "io.h"

static int print_account(const struct config_account *a)
{
    struct config_setting *settings = config_settings(a);
    if (!settings)
        return -ENOMEM;
    printf("\n[%s]\n", a->name);
    for (const struct config_setting *s = settings; s->key; s++) {
        int width = printf("%s = %s", s->key, s->value ? s->value : "");
        printf("%*s# %s\n", width < 48 ? 48 - width : 1, "", s->origin ? s->origin : "default");
    }
    config_settings_free(settings);
    return 0;
}

static int print_all(const char *path)
{
    struct fault f = {0};
    struct config config = {0};
    if (config_read(path, NULL, &config, &f) < 0)
        return command_fail(&f);
    printf("# %s\n", path);
    int r = 0;
    for (unsigned i = 0; r == 0 && i < config.accounts; i++)
        r = print_account(&config.account[i]);
    config_finish(&config);
    if (r == 0)
        return FAULT_OK;
    fault_set(&f, FAULT_AGAIN, r, "config: %s", strerror(-r));
    return command_fail(&f);
}

int cmd_config(struct invocation *in, int argc, char **argv)
{
    if (command_option(in, argc, argv, ":c:h", NULL) != -1)
        return in->status;
    if (optind < argc)
        return command_usage("config: takes no further words (see `mailmount help config`)");
    char *path = config_path(in->config_file);
    if (!path)
        return command_usage("configuration: its place is not known (set HOME, or use -c FILE)");
    int status = print_all(path);
    free(path);
    return status;
}
