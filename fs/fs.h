#pragma once
/*
 * The file side: a FUSE low-level file system over the cache. It knows nothing of servers.
 */
#include <stdbool.h>
#include "cache.h"
#include "config.h"

struct fs;

struct fs_options {
    const char *mountpoint;
    const char *
        account; /* for the source name in the mount table: "mailmount#account" (fsname), subtype mailmount */
    enum config_layout layout;
    enum config_events events; /* none of them where it is mounted read-only */
    bool read_only, allow_other, allow_root, auto_unmount;
    bool debug;
    const char *extra; /* other -o options for libfuse, or NULL */
    /* .mailmount/status and the like: returns a malloc'ed text for a virtual file's name, NULL when there is
     * none. Any thread. */
    char *(*virtual_file)(void *arg, const char *name);
    void *virtual_arg;
};

/* Checks the mount point (cleans up a stale one, ENOTCONN), mounts. f is set on error: not a directory, not
 * empty, in use, fusermount3 missing, ... */
int fs_mount(struct cache *c, const struct fs_options *o, struct fs **ret, struct fault *f);
/* Serves until unmounted or fs_exit: 0, or a negative errno. Its threads start here, and not before. */
int fs_loop(struct fs *fs);
/* Another thread runs the loop: waits until the kernel has greeted it (FUSE_INIT), before which it lets no
 * request through and after which all of them are answered. 0, or -EIO: the loop ended first. Nothing is
 * asked of the mount: a process that waits for an answer of its own, and is killed, would never go away. */
int fs_wait_ready(struct fs *fs);
void fs_exit(struct fs *fs); /* any thread; async-signal-safe */
/* Unmounts if still mounted, closes what is open, frees. The cache is still needed for that, and may go on
 * afterwards. NULL is allowed. */
void fs_unmount(struct fs *fs);
