#pragma once
/*
 * A mount whose process was killed, and does not go away.
 *
 * The kernel holds a directory while a program waits for our answer in it; we wait for that directory when we
 * tell the kernel what is new there (fs/events.c). Killed just then, our thread waits on, since nobody
 * answers the program any more: the process keeps the cache's lock, and the programs hang, until somebody
 * ends the connection. So a mount leaves word of itself, by which the next one can do that.
 */
#include <sys/types.h>
#include "fault.h"

/* Leaves word in data_dir/mounted: this process serves the connection with this number (the minor device
 * number of what is mounted). hung_forget takes it back. -errno. */
int hung_note(int dirfd, unsigned connection);
void hung_forget(int dirfd);

/* Was the process that left word there killed, and is it still there? Then its connection is ended: by the
 * kernel's control file (/sys/fs/fuse/connections), or by force where the caller may. 1: ended, and the
 * process goes now; 0: there is none; -errno with *f saying what a person can do. */
int hung_end(const char *data_dir, struct fault *f);
