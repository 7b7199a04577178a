#pragma once
/*
 * Where a mailbox is put in the tree, and what becomes of the level that stood there. Within a change;
 * thread: the writer's. All return 0, or mailbox_put's errors.
 */
#include "cache.h"
#include "mailbox.h"

/* A directory of ours, which is no mailbox on either side. */
bool boxes_is_level(const struct mailbox *m);

/* A child of `parent` for one level of the server's name, which has the length: one that is there, if the
 * server does not have it yet (or `any`), or a new one. A component that another mailbox has taken gets a
 * suffix (case 89). */
int boxes_make_level(cache_tx *tx, int64_t parent, const char *leaf, size_t length, char delimiter, bool any,
                     struct mailbox *ret);

/* Makes the parent of m one that is shown; m is not written. */
int boxes_show_above(cache_tx *tx, struct mailbox *m);

/* Writes m, at a place where a level may stand (0: none does): what is below that is below m from now on. */
int boxes_put_in_place(cache_tx *tx, struct mailbox *m, int64_t level);

/* Writes the row of a removed mailbox that is shown again: below a parent that is shown, too, and with its
 * name, if only a level has that; or with a suffix, where a mailbox has been given the name. As any new name
 * that is the server's, too, from the next merge on (case 84). */
int boxes_put_again(cache_tx *tx, struct mailbox *m);
