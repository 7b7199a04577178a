#include "restore.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base_state.h"
#include "body.h"
#include "mailbox.h"
#include "private.h"

bool restore_can(cache_rd *rd, const struct message *m)
{
    struct base_state base;
    return m->state == MESSAGE_GONE && !m->after &&
           (body_is_here(rd->cache, m) || base_of_message(rd, m->id, &base) == 0);
}

static int find_inbox(cache_tx *tx, struct mailbox *ret)
{
    return mailbox_find(cache_tx_rd(tx), 0, "INBOX", ret);
}

/* Shows a removed mailbox again, or finds the one that has taken its place; what is above it comes back as
 * levels, or is what has taken the place of that. */
static int revive(cache_tx *tx, int64_t id, bool as_mailbox, struct mailbox *ret)
{
    cache_rd *rd = cache_tx_rd(tx);
    struct mailbox other, parent;
    int r = mailbox_get(rd, id, ret);
    if (r < 0 || (!ret->removed && (ret->dirs || !as_mailbox)))
        return r;
    /* A parent that cannot be had has left its children to nobody: they come back at the top. */
    if (ret->parent)
        ret->parent = revive(tx, ret->parent, false, &parent) < 0 ? 0 : parent.id;
    if (ret->removed && mailbox_find(rd, ret->parent, ret->name, &other) == 0)
        *ret = other;
    ret->removed = false;
    if (as_mailbox) {
        ret->attributes &= ~(unsigned)MAILBOX_NOSELECT;
        ret->dirs = MAILBOX_ALL_DIRS;
    }
    return mailbox_put(tx, ret);
}

int restore_row(cache_tx *tx, int64_t id)
{
    struct message m;
    struct mailbox box;
    int r = message_get(cache_tx_rd(tx), id, &m);
    if (r < 0)
        return r;
    if (m.state != MESSAGE_GONE)
        return -EALREADY;
    if (!restore_can(cache_tx_rd(tx), &m))
        return -ENODATA;
    r = m.mailbox ? revive(tx, m.mailbox, true, &box) : -ENOENT;
    if (r == -ENOENT)
        r = find_inbox(tx, &box);
    if (r < 0)
        return r;
    m.mailbox = box.id;
    m.sub = m.sub == SUB_NEW ? SUB_NEW : SUB_CUR;
    m.state = m.has_hash ? MESSAGE_PRESENT : MESSAGE_WANTED;
    m.gone_at = 0;
    m.dirty = true;
    r = message_put(tx, &m);
    return r < 0 ? r : message_set_flags(tx, &m, m.flags & ~FLAG_DELETED);
}
