#pragma once
/*
 * Parked requests: opens that wait for a body which is not here (case 20), without a thread. They are
 * answered when the body is there or cannot be had, or with EINTR when the process that waits is interrupted,
 * and only then.
 */
#include "private.h"

int park_new(struct fs *fs, struct park **ret);
/* Answers all that wait with EIO. NULL is allowed. The session must still be there. */
void park_free(struct park *p);

/* Parks an open of row `id`. `retry` is called once, on any thread, to answer the request: with 0 when the
 * body is there, else with an error. */
void park_open(struct park *p, fuse_req_t req, fuse_ino_t ino, const struct fuse_file_info *fi,
               void (*retry)(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int err));

/* Answers those that were interrupted; for the events thread, woken by events_wake. */
void park_answer_interrupted(struct park *p);
