#pragma once
/*
 * What comes from the server, made visible through the own mount, so that programs that watch it (inotify,
 * fanotify) see it happen, and the kernel's caches are right at once. See show.c.
 */
#include "private.h"

struct show;

/* Starts the hand. stop_fd: readable when the mount ends, and nothing is to be waited for any more. */
int show_new(struct fs *fs, int stop_fd, struct show **ret);
void show_free(struct show *s); /* NULL is allowed, also below: then there is nobody to show anything to */

/* The rest is for the events thread, between begin and end, which keep the mount busy. 0, or -errno: nobody
 * was shown anything, and the kernel is to be told in another way. Names are those of the rows, which have
 * changed already. */
int show_begin(struct show *s);
void show_end(struct show *s);
int show_arrival(struct show *s, uint64_t ino, uint64_t parent, const char *name);
int show_departure(struct show *s, uint64_t ino, uint64_t parent, const char *name);
int show_move(struct show *s, uint64_t ino, uint64_t parent, const char *name, uint64_t newparent,
              const char *newname);
int show_touch(struct show *s, uint64_t dir, const char *name); /* a file in dir, or with NULL dir itself */

/* For the handlers: true when the hand asked, and has been answered. */
bool show_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
bool show_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
                 const char *newname);
bool show_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
bool show_setattr(fuse_req_t req, fuse_ino_t ino);
