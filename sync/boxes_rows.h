#pragma once
/*
 * Mailboxes' rows, as the merge of the tree changes them: each function is a change for cache_write, with its
 * argument. Thread: the writer's.
 */
#include "cache.h"
#include "mailbox.h"
#include "worker.h"

/* A mailbox of the server's list, which the cache does not have, or has without knowing that it is the same
 * one (cases 1 and 80). */
struct boxes_make {
    const char *name;
    const struct worker_box *listed;
    char delimiter;
};
int boxes_put_listed(cache_tx *tx, void *make);

/* Both sides have it under this name. */
struct boxes_agree {
    int64_t id;
    const char *remote; /* the name agreed */
    const struct worker_box *listed;
    char delimiter;
    bool created; /* there just now: it is a mailbox, whatever it was before */
    /* Its row before it was created there: if that is gone meanwhile, for it was removed here, a removed one
     * stands for what is there now and is to go. NULL: then nothing is written. */
    const struct mailbox *before;
};
int boxes_put_agreed(cache_tx *tx, void *agree);

/* The server renamed a mailbox and its children with it (case 84): so do their base names. */
struct boxes_rename {
    const char *from, *to;
    char delimiter;
};
int boxes_put_renamed(cache_tx *tx, void *rename);

/* The server renamed it: it gets that name here too, and with what is below it in the base (cases 85 and 86).
 * The level above stands already. -EINVAL, -ENAMETOOLONG when the name cannot be shown. */
struct boxes_move {
    int64_t id;
    const char *to;
    char delimiter;
};
int boxes_put_moved(cache_tx *tx, void *move);

/* The server's mailbox is gone: its mail here goes to the restorable rows, mail that the server never had
 * stays in view, and with it the mailbox. Mail of the server's that stays as well (flagged or moved here) may
 * have been filed before that: it is an orphan (cache/orphan.h). */
struct boxes_gone {
    struct engine *e;
    int64_t id;
};
int boxes_remove_row(cache_tx *tx, void *gone);

/* What the list says of a mailbox: special use, \Noselect, ...; which directories follow from that. */
void boxes_take_attributes(struct mailbox *m, const struct worker_box *listed, char delimiter);
