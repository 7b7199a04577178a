/*
 * Flags that a server does not keep, whatever it says (cases 32 and 33).
 *
 * PERMANENTFLAGS is a promise. Some servers promise every keyword and refuse the next one for a limit of
 * theirs; some say OK to a STORE, and the flag is not there. Taken at their word, the next scan would show a
 * flag that another client seems to have taken away, and it would go here too. So the first STORE of each
 * flag in a mailbox asks what came of it. What did not come of it after two attempts, and a keyword that is
 * refused by itself, is masked in that mailbox: it stays here, and its absence there means nothing, as for
 * flags that PERMANENTFLAGS does not have.
 *
 * The masks last as long as the session, so that a server that was mended is not held to what it did once.
 * They are the engine thread's own.
 */
#include <errno.h>
#include <stdlib.h>
#include "private.h"

struct flag_mask {
    int64_t mailbox;
    flags_t kept, masked;
};

static struct flag_mask *find(const struct engine *e, int64_t mailbox)
{
    for (size_t i = 0; i < e->masks; i++)
        if (e->mask[i].mailbox == mailbox)
            return &e->mask[i];
    return NULL;
}

flags_t mask_storable(const struct engine *e, int64_t mailbox, flags_t permanent)
{
    const struct flag_mask *m = find(e, mailbox);
    return m ? permanent & ~m->masked : permanent;
}

bool mask_is_known(const struct engine *e, int64_t mailbox, flags_t flags)
{
    const struct flag_mask *m = find(e, mailbox);
    return !(flags & ~(m ? m->kept | m->masked : 0));
}

int mask_learn(struct engine *e, int64_t mailbox, flags_t kept, flags_t masked)
{
    struct flag_mask *m = find(e, mailbox);
    if (!m) {
        struct flag_mask *grown = reallocarray(e->mask, e->masks + 1, sizeof *grown);
        if (!grown)
            return -ENOMEM;
        e->mask = grown;
        m = &e->mask[e->masks++];
        *m = (struct flag_mask){.mailbox = mailbox};
    }
    m->kept |= kept;
    m->masked |= masked;
    return 0;
}

void mask_forget_all(struct engine *e)
{
    free(e->mask);
    e->mask = NULL;
    e->masks = 0;
}
