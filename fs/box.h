#pragma once
/*
 * What directory operations mean for mailboxes: functions over a change to the cache, which know no FUSE. All
 * return 0 or a negative errno for the client. `dir` is the mailbox whose own directory holds the name, 0 for
 * the root.
 */
#include "tree.h"

struct box_place {
    int64_t dir;
    const char *name;
};

/*
 * mkdir. cur, new or tmp shows that part of the mailbox, which makes it one for the server; any other name is
 * a directory that may become a mailbox. -EEXIST; -EPERM where none may be (inside \Noinferiors, cur in the
 * root of layout fs); -EINVAL for a name that no server could be told.
 */
int box_mkdir(cache_tx *tx, enum config_layout layout, const struct box_place *at, uint64_t *ret_ino);

struct box_removed {
    int64_t mailbox; /* whose directory, or whose cur, new or tmp it was */
    bool whole;      /* the mailbox itself is gone, not one of the three */
    enum sub hidden; /* else which one; it is to come back by box_show_again if the mailbox stays */
};

/* rmdir. -ENOTEMPTY while mail is in it, known mail that is not here yet included, or files in tmp, or
 * mailboxes; -EBUSY for INBOX. Whether there are local files is the caller's to check. */
int box_rmdir(cache_tx *tx, enum config_layout layout, const struct box_place *at, struct box_removed *ret);
/* cur, new or tmp that a client removed, while the mailbox stayed: 1 when it is shown again, 0 when not
 * needed. */
int box_show_again(cache_tx *tx, int64_t mailbox, enum sub sub);

/* rename. An existing target must be a plain empty directory. -EBUSY for INBOX, -EINVAL into itself, -EPERM
 * for cur, new and tmp. */
int box_rename(cache_tx *tx, enum config_layout layout, const struct box_place *from,
               const struct box_place *to, bool noreplace);
