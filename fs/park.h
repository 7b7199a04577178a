#pragma once
/*
 * Parked requests: they wait for a body which is not here (case 20), without a thread: opens, and
 * truncate(2). They are answered when the body is there or cannot be had, or with EINTR when the process that
 * waits is interrupted, and only then.
 */
#include "private.h"

int park_new(struct fs *fs, struct park **ret);
int park_start(struct park *p); /* its thread */
/* Ends the thread, and answers all that wait with EIO. NULL is allowed. The session must still be there. */
void park_free(struct park *p);

/* Parks a request that needs the body of this row. retry is called once, on any thread, to answer it: with 0
 * when the body is there, -EAGAIN when its message was on the move and it is to be parked again, or with
 * another error. What arg points to is retry's to free. */
void park_wait(struct park *p, fuse_req_t req, int64_t message,
               void (*retry)(fuse_req_t req, void *arg, int err), void *arg);

/* May what has been parked since then, clock_boot_ms, be parked once more? A body may be evicted again before
 * it is opened, and a move may be under way for long: but nothing waits for ever. */
bool park_again(int64_t since_ms);

/* The mount ends: answers all that wait with EIO, and those that come. Async-signal-safe. */
void park_exit(struct park *p);
