/* Hard links: delivery from tmp, copies of messages. */
#include <errno.h>
#include <string.h>
#include "mail.h"
#include "mail_place.h"

/* Checks the new name of m and spells it. */
static int check_new_name(cache_tx *tx, const struct message *m, const struct mail_place *to,
                          struct mail_spelling *ret)
{
    struct message taken;
    cache_rd *rd = cache_tx_rd(tx);
    int r = mail_check_place(rd, to);
    if (r < 0)
        return r;
    r = message_find(rd, to->mailbox, to->sub, to->name, &taken);
    if (r != -ENOENT)
        return r == 0 ? -EEXIST : r;
    return m->sub == SUB_TMP ? mail_spell(rd, to, ret) : mail_spell_moved(tx, m->mailbox, to, ret);
}

static int extra_name(cache_tx *tx, int64_t id, const struct mail_place *at, struct message *ret)
{
    int r = message_link(tx, id, at->mailbox, at->sub, at->name);
    return r < 0 ? r : message_get(cache_tx_rd(tx), id, ret);
}

/* The row moves; the name that it had in tmp becomes an extra one, until the client unlinks that. */
static int deliver(cache_tx *tx, const struct message *from, const struct mail_spelling *to,
                   struct message *ret)
{
    struct message m = *from;
    struct mail_place tmp = {.mailbox = from->mailbox, .sub = from->sub, .name = from->name};
    mail_put_at(&m, &to->at);
    m.flags = mail_flags_copied(m.flags, to);
    m.changed_ms = mail_now_ms();
    int r = message_put(tx, &m);
    if (r == 0)
        r = mail_replace_backup(tx, &m);
    return r < 0 ? r : extra_name(tx, m.id, &tmp, ret);
}

/* A row like this one, for the server and for clients a message of its own. */
static struct message copy_of(const struct message *m, const struct mail_spelling *to)
{
    struct message copy = *m;
    copy.id = 0;
    copy.links = 0;
    copy.after = 0;
    copy.gone_at = 0;
    copy.dirty = to->at.sub != SUB_TMP;
    copy.flags = mail_flags_copied(m->flags, to);
    copy.changed_ms = mail_now_ms();
    mail_put_at(&copy, &to->at);
    return copy;
}

int mail_link(cache_tx *tx, int64_t id, const struct mail_place *to, struct message *ret)
{
    struct message m;
    struct mail_spelling spelling;
    int r = message_get(cache_tx_rd(tx), id, &m);
    if (r < 0)
        return r;
    if (m.state != MESSAGE_PRESENT && m.state != MESSAGE_WRITING)
        return -ENOENT;
    r = check_new_name(tx, &m, to, &spelling);
    if (r < 0)
        return r;
    if (m.sub == SUB_TMP)
        return to->sub == SUB_TMP ? extra_name(tx, id, to, ret) : deliver(tx, &m, &spelling, ret);
    if (m.state == MESSAGE_WRITING)
        return -EMLINK;
    struct message copy = copy_of(&m, &spelling);
    r = mail_check_whole(tx, &m);
    if (r == 0)
        r = message_put(tx, &copy);
    if (r == 0)
        *ret = copy;
    return r;
}

int mail_copy_written(cache_tx *tx, int64_t id, const struct mail_place *to, struct message *ret)
{
    struct message m;
    struct mail_spelling spelling;
    int r = message_get(cache_tx_rd(tx), id, &m);
    if (r == 0)
        r = check_new_name(tx, &m, to, &spelling);
    if (r < 0)
        return r;
    struct message copy = copy_of(&m, &spelling);
    copy.state = MESSAGE_WRITING;
    copy.has_hash = false;
    copy.form = MESSAGE_LF;
    copy.size = copy.wire_size = copy.message_id = 0;
    r = message_put(tx, &copy);
    if (r == 0)
        *ret = copy;
    return r;
}
