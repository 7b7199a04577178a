#pragma once
/*
 * Operations on names, with what belongs to them besides the change of rows: files on disk and synced before
 * the reply, open files, the local area. No requests in here; all return 0 or a negative errno for the
 * client.
 */
#include "box.h"
#include "private.h"

/* ---- apply_mail.c ---- */

int apply_create(struct fs *fs, const struct mail_place *at,
                 struct message *ret); /* the work file is the caller's to make */
int apply_forget(struct fs *fs, int64_t id);
int apply_unlink(struct fs *fs, const struct mail_place *at);
int apply_rename(struct fs *fs, const struct mail_place *from, const struct mail_place *to, bool noreplace);
int apply_link(struct fs *fs, int64_t id, const struct mail_place *to, struct message *ret);
/* Delivers a copy of the file behind `in`, which has its time; on disk on return. The kernel is told, also of
 * the new name: it may believe to know what that is. */
int apply_deliver(struct fs *fs, int in, const struct mail_place *to, bool noreplace, struct message *ret);

/* ---- apply_box.c ---- */

int apply_mkdir(struct fs *fs, const struct box_place *at, uint64_t *ret_ino);
int apply_rmdir(struct fs *fs, const struct box_place *at);
int apply_rename_box(struct fs *fs, const struct box_place *from, const struct box_place *to, bool noreplace);
