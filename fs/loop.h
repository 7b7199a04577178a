#pragma once
/*
 * The threads that take requests from the kernel and have libfuse carry them out, in the place of
 * fuse_session_loop_mt. loop.c says why.
 */
#include <fuse_lowlevel.h>

struct loop;

/* 0 or a negative errno. */
int loop_new(struct loop **ret);
/* Serves a session that is mounted, until it is unmounted or loop_exit; the calling thread is one of those
 * that do. Once only: the connection's descriptor does not block from then on. 0, or a negative errno: there
 * are no threads, or the connection broke. Requests that were begun are carried out before it returns. */
int loop_run(struct loop *l, struct fuse_session *se);
/* A handler is about to wait, for the disk, say: others are not to wait for it. Any thread; nothing, where it
 * serves no loop. */
void loop_will_wait(void);
/* Ends loop_run, also before it began. Any thread; async-signal-safe. */
void loop_exit(struct loop *l);
/* After loop_run; NULL is allowed. */
void loop_free(struct loop *l);
