/*
 * Renames. What one means depends on where it starts and ends:
 *
 *   from \ to   cur, new                                tmp
 *   cur, new    flags by the difference of the names,   detached: the message is removed, its content stays
 * as a file a move when the mailbox differs         of this side only tmp         delivery: flags by the new
 * name         a name, no more
 *
 * and on who has the new name already: that row is superseded (mail_replace.c). The row, and with it the
 * inode number, is the same before and after, always.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "mail.h"
#include "mail_place.h"

struct rename {
    const struct mail_place *from, *to;
    struct message row;
    struct mail_left left;
};

/* The new name goes to the row; who had it gives way. */
static int clear_target(cache_tx *tx, struct rename *r, bool noreplace)
{
    struct message old;
    int err = mail_at(cache_tx_rd(tx), r->to, &old);
    if (err < 0)
        return err == -ENOENT ? 0 : err;
    if (noreplace)
        return -EEXIST;
    if (!mail_is_at(&old, r->to))
        return message_unlink_extra(tx, r->to->mailbox, r->to->sub, r->to->name);
    if (old.links > 0)
        return -EBUSY; /* half delivered by link(): its other name is still to go */
    bool is_mail = r->to->sub != SUB_TMP && !old.scratch;
    return mail_supersede(tx, &old, is_mail ? &r->row : NULL, &r->left);
}

/* Into tmp: the message is gone, what is left is a file. */
static int detach(cache_tx *tx, struct rename *r)
{
    int err = mail_bury_base(tx, &r->row, NULL);
    r->row.after = 0;
    return err;
}

static int reflag(cache_tx *tx, struct rename *r)
{
    struct mail_spelling from, to;
    cache_rd *rd = cache_tx_rd(tx);
    int err = mail_spell(rd, r->from, &from);
    if (err == 0)
        err = r->from->sub == SUB_TMP ? mail_spell(rd, r->to, &to)
                                      : mail_spell_moved(tx, r->from->mailbox, r->to, &to);
    if (err < 0)
        return err;
    if (r->to->sub == SUB_TMP)
        return 0;
    r->row.flags = r->from->sub == SUB_TMP ? mail_flags_copied(r->row.flags, &to)
                                           : mail_flags_renamed(r->row.flags, &from, &to);
    return 0;
}

static int move_row(cache_tx *tx, struct rename *r, bool noreplace)
{
    size_t stem;
    /* The flags of the name come first: who is superseded has the last word on them. */
    int err = reflag(tx, r);
    if (err == 0 && r->from->sub != SUB_TMP && (r->to->sub == SUB_TMP || mail_is_backup(r->to->name, &stem)))
        err = mail_check_whole(tx, &r->row);
    if (err == 0)
        err = clear_target(tx, r, noreplace);
    if (err == 0 && r->to->sub == SUB_TMP && r->from->sub != SUB_TMP)
        err = detach(tx, r);
    if (err < 0)
        return err;
    mail_put_at(&r->row, r->to);
    r->row.changed_ms = mail_now_ms();
    err = message_put(tx, &r->row);
    return err < 0 ? err : mail_replace_backup(tx, &r->row);
}

/* An extra name is in tmp, and may have another one there. Anywhere else the row would have two places. */
static int move_extra(cache_tx *tx, struct rename *r, bool noreplace)
{
    if (r->to->sub != SUB_TMP)
        return -EPERM;
    int err = clear_target(tx, r, noreplace);
    if (err == 0)
        err = message_unlink_extra(tx, r->from->mailbox, r->from->sub, r->from->name);
    return err < 0 ? err : message_link(tx, r->row.id, r->to->mailbox, r->to->sub, r->to->name);
}

int mail_rename(cache_tx *tx, const struct mail_place *from, const struct mail_place *to, bool noreplace,
                struct mail_left *ret_left)
{
    struct rename r = {.from = from, .to = to};
    cache_rd *rd = cache_tx_rd(tx);
    int err = mail_check_places(rd, from, to);
    if (err == 0)
        err = mail_at(rd, from, &r.row);
    if (err < 0)
        return err;
    err = mail_is_at(&r.row, from) ? move_row(tx, &r, noreplace) : move_extra(tx, &r, noreplace);
    if (err == 0)
        *ret_left = r.left;
    return err;
}

int mail_stage(cache_tx *tx, const struct mail_place *to, struct message *ret)
{
    int r = mail_check_place(cache_tx_rd(tx), to);
    if (r < 0)
        return r;
    struct message m = {.mailbox = to->mailbox,
                        .sub = SUB_TMP,
                        .state = MESSAGE_WRITING,
                        .changed_ms = mail_now_ms(),
                        .mtime_ns = clock_now_ns()};
    snprintf(m.name, sizeof(m.name), "%" PRId64 ".mailmount", cache_tx_now(tx)); /* which never repeats */
    r = message_put(tx, &m);
    if (r == 0)
        *ret = m;
    return r;
}

int mail_deliver(cache_tx *tx, int64_t id, const struct mail_place *to, bool noreplace,
                 struct mail_left *ret_left)
{
    struct message staged;
    cache_rd *rd = cache_tx_rd(tx);
    int err = message_get(rd, id, &staged);
    if (err == 0)
        err = mail_check_place(rd, to);
    if (err == 0)
        err = mail_set_time(tx, id, staged.mtime_ns);
    if (err < 0)
        return err;
    /* Where it is now is not checked: a client may have removed tmp, which is no reason to lose mail. */
    struct mail_place from = {.mailbox = staged.mailbox, .sub = staged.sub, .name = staged.name};
    struct rename r = {.from = &from, .to = to};
    err = message_get(rd, id, &r.row);
    if (err == 0)
        err = move_row(tx, &r, noreplace);
    if (err == 0)
        *ret_left = r.left;
    return err;
}
