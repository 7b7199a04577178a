#pragma once
/*
 * The tree of mailboxes as directories, in either layout; no FUSE in here.
 *
 *   fs:         a directory for each mailbox, nested by `parent`; cur, new, tmp in each by its `dirs`.
 *   maildir++:  the root is INBOX, with its cur, new, tmp; all others stand in the root as ".Archive.2024".
 */
#include "config.h"
#include "mailbox.h"

/* "cur", "new", "tmp" -> SUB_*; false for any other name. */
bool tree_sub_of_name(const char *name, enum sub *ret);
const char *tree_sub_name(enum sub sub);

/* The mailbox whose cur, new and tmp are shown in this directory: -ENOENT for the root of layout fs. */
int tree_box_of_dir(cache_rd *rd, enum config_layout layout, int64_t dir, struct mailbox *ret);

/* The directory `name` in the mailbox directory `dir` (0: the root): its inode number. -ENOENT. */
int tree_lookup(cache_rd *rd, enum config_layout layout, int64_t dir, const char *name, uint64_t *ret);
/* The mailbox whose directory has that name: as above, but for mailboxes only. */
int tree_find_box(cache_rd *rd, enum config_layout layout, int64_t dir, const char *name,
                  struct mailbox *ret);

/* Where the directory of a mailbox is, from the root: "Archive/2024", ".Archive.2024", "" for the root
 * itself. -ENAMETOOLONG. */
int tree_path(cache_rd *rd, enum config_layout layout, int64_t mailbox, char *ret, size_t size);

/* All subdirectories; non-zero from each ends it and is returned. */
int tree_each(cache_rd *rd, enum config_layout layout, int64_t dir,
              int (*each)(void *arg, const char *name, uint64_t ino), void *arg);
unsigned tree_subdirectories(cache_rd *rd, enum config_layout layout, int64_t dir);

/* Splits ".Archive.2024" into the components "Archive" and "2024", one a call: *at advances, starting at the
 * name. 1: ret is set; 0: the end; -EINVAL. */
int tree_next_level(const char **at, char ret[256]);
