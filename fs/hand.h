#pragma once
/*
 * A process of its own that makes file operations on the mount, for the events thread (show.h).
 *
 * Not a thread: one that waits for its own mount cannot be killed, and keeps the process, and with it the
 * mount, for ever. This process has no descriptor but its end of a socket; when the daemon ends, however it
 * does, the kernel answers whatever it waits for, and it ends too. It holds the file system only between begin
 * and end, and the mount itself, so that to unmount it would be busy, not even then, where the system lets it.
 */
#include <stdbool.h>
#include <sys/types.h>

struct hand;

enum hand_verb {
    HAND_BEGIN,  /* opens the mount's root, and looks up the name `from` in it, which only this mount has */
    HAND_RENAME, /* from to to, which must not be there */
    HAND_UNLINK, /* from */
    HAND_TOUCH,  /* from: sets its times to now */
    HAND_END,    /* closes it */
};

/* Starts it. -errno. */
int hand_new(const char *mountpoint, struct hand **ret);
void hand_free(struct hand *h); /* ends it; NULL is allowed */
pid_t hand_pid(const struct hand *h);
/* Paths are relative to the mount point; NULL where there is none. Waits for the answer, a negative errno or
 * 0, or for stop_fd to be readable: -ECANCELED, and then nothing more is done with this hand. -ENAMETOOLONG,
 * -EPIPE. */
int hand_do(struct hand *h, enum hand_verb verb, const char *from, const char *to, int stop_fd);
