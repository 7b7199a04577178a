#pragma once
/*
 * The list of -o: keys of the configuration file, FUSE's options, and those words of fstab that mount(8)
 * hands on.
 */
#include <stdbool.h>
#include "buf.h"
#include "fault.h"

struct mountopts {
    char **override; /* "key=value" for config_read, NULL-terminated; NULL when there are none */
    unsigned overrides;
    bool read_only, allow_other, allow_root, auto_unmount, debug;
    struct buf extra; /* for libfuse: "nosuid,noexec"; empty when there are none */
};

/*
 * Adds a comma separated list ("\," is a comma inside a value, "\\" a backslash). from_mount8: `user=NAME`
 * with the name of the caller is mount(8)'s note of who mounts, not our key. -EINVAL with f set for anything
 * unknown; -ENOMEM.
 */
int mountopts_add(struct mountopts *m, const char *list, bool from_mount8, struct fault *f);
void mountopts_finish(struct mountopts *m);
