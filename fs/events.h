#pragma once
/*
 * The events thread: it tells the kernel what the server's changes made stale, and does what may not be done
 * inside a handler. It holds no lock while it talks to the kernel.
 */
#include "private.h"

/* Listens to the cache from now on. */
int events_new(struct fs *fs, struct events **ret);
int events_start(struct events *e);
/* Ends the thread, and the listening; the session must be unmounted. NULL is allowed, here and below. */
void events_stop(struct events *e);
void events_free(struct events *e); /* stopped */

void events_exit(struct events *e); /* ends the loop; async-signal-safe */

/* cur, new or tmp was removed while its mailbox stayed: it comes back after 10 seconds. */
void events_show_later(struct events *e, int64_t mailbox, enum sub sub);
