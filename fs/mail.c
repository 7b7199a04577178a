/*
 * Making and removing names, and what happens to a row's content. Renames and links are in mail_rename.c and
 * mail_link.c.
 */
#include "mail.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base_state.h"
#include "body.h"
#include "mail_place.h"
#include "mailbox.h"

static int check_place_in(const struct mailbox *box, const struct mail_place *at)
{
    if (strlen(at->name) >= sizeof(box->name))
        return -ENAMETOOLONG;
    if (box->removed || !(box->dirs & 1u << at->sub))
        return -ENOENT;
    return at->sub != SUB_TMP && (box->attributes & MAILBOX_READ_ONLY) ? -EACCES : 0;
}

int mail_check_place(cache_rd *rd, const struct mail_place *at)
{
    struct mailbox box;
    int r = mailbox_get(rd, at->mailbox, &box);
    return r < 0 ? r : check_place_in(&box, at);
}

int mail_check_places(cache_rd *rd, const struct mail_place *one, const struct mail_place *other)
{
    struct mailbox box;
    int r = mailbox_get(rd, one->mailbox, &box);
    if (r == 0)
        r = check_place_in(&box, one);
    if (r < 0)
        return r;
    return one->mailbox == other->mailbox ? check_place_in(&box, other) : mail_check_place(rd, other);
}

void mail_put_at(struct message *m, const struct mail_place *at)
{
    m->mailbox = at->mailbox;
    m->sub = at->sub;
    snprintf(m->name, sizeof(m->name), "%s", at->name);
}

int mail_at(cache_rd *rd, const struct mail_place *at, struct message *ret)
{
    int r = message_find(rd, at->mailbox, at->sub, at->name, ret);
    /* Found by an extra name it has that one's place. */
    return r < 0 || ret->links == 0 ? r : message_get(rd, ret->id, ret);
}

int mail_create(cache_tx *tx, const struct mail_place *at, struct message *ret)
{
    struct mail_spelling spelling = {0};
    int r = mail_check_place(cache_tx_rd(tx), at);
    if (r == 0)
        r = mail_spell(cache_tx_rd(tx), at, &spelling);
    if (r < 0)
        return r;
    struct message m = {.state = MESSAGE_WRITING, .changed_ms = mail_now_ms(), .mtime_ns = clock_now_ns()};
    mail_put_at(&m, at);
    if (at->sub != SUB_TMP && !spelling.scratch)
        m.flags = spelling.flags;
    r = message_put(tx, &m);
    if (r == 0)
        r = mail_replace_backup(tx, &m);
    if (r == 0)
        *ret = m;
    return r;
}

/* The row's own name goes, but it has another one: that becomes its own. Extra names are in tmp, so that a
 * message that had been delivered is one no more. */
static int fall_back_to_extra(cache_tx *tx, struct message *m)
{
    char name[256];
    struct mail_place at = {.name = name};
    int r = message_extra_of(cache_tx_rd(tx), m->id, &at.mailbox, &at.sub, name);
    if (r == 0)
        r = mail_bury_base(tx, m, NULL);
    if (r == 0)
        r = message_unlink_extra(tx, at.mailbox, at.sub, name);
    if (r == 0)
        r = message_get(cache_tx_rd(tx), m->id, m);
    if (r < 0)
        return r;
    mail_put_at(m, &at);
    return message_put(tx, m);
}

int mail_check_whole(cache_tx *tx, const struct message *m)
{
    return m->state != MESSAGE_PRESENT || body_is_here(cache_tx_cache(tx), m) ? 0 : -EXDEV;
}

bool mail_is_backup(const char *name, size_t *ret_stem)
{
    size_t length = strlen(name), digits = length < 2 ? 0 : length - 1;
    if (length < 2 || name[length - 1] != '~')
        return false;
    while (digits > 0 && name[digits - 1] >= '0' && name[digits - 1] <= '9')
        digits--;
    bool numbered = digits < length - 1 && digits > 2 && name[digits - 1] == '~' && name[digits - 2] == '.';
    *ret_stem = numbered ? digits - 2 : length - 1;
    return true;
}

/* Whose backup is this? The row that has the name without what makes it one, if there is one. */
static int find_heir(cache_rd *rd, const struct message *m, struct message *ret)
{
    char name[sizeof(m->name)];
    size_t stem;
    if (m->sub == SUB_TMP || !mail_is_backup(m->name, &stem))
        return -ENOENT;
    snprintf(name, sizeof(name), "%.*s", (int)stem, m->name);
    return message_find(rd, m->mailbox, m->sub, name, ret);
}

static int remove_row(cache_tx *tx, struct message *m, struct mail_left *ret_left)
{
    struct message heir;
    int r = find_heir(cache_tx_rd(tx), m, &heir);
    if (r < 0 && r != -ENOENT)
        return r;
    bool has_heir = r == 0;
    r = mail_supersede(tx, m, has_heir ? &heir : NULL, ret_left);
    return r == 0 && has_heir ? message_put(tx, &heir) : r;
}

int mail_unlink(cache_tx *tx, const struct mail_place *at, struct mail_left *ret_left)
{
    struct message m;
    int r = mail_check_place(cache_tx_rd(tx), at);
    if (r == 0)
        r = mail_at(cache_tx_rd(tx), at, &m);
    if (r < 0)
        return r;
    if (!mail_is_at(&m, at))
        return message_unlink_extra(tx, at->mailbox, at->sub, at->name);
    return m.links > 0 ? fall_back_to_extra(tx, &m) : remove_row(tx, &m, ret_left);
}

int mail_forget_left(cache_tx *tx, int64_t id)
{
    struct message m;
    int r = message_get(cache_tx_rd(tx), id, &m);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    return m.state == MESSAGE_GONE ? message_forget(tx, id) : 0;
}

int mail_wants_settling(cache_rd *rd, const struct message *m)
{
    struct base_state b;
    if (m->state != MESSAGE_WRITING || m->sub == SUB_TMP || m->scratch || m->links || m->size <= 0)
        return 0;
    int r = base_of_message(rd, m->id, &b);
    return r == -ENOENT ? 1 : r;
}

int mail_begin_edit(cache_tx *tx, int64_t id)
{
    struct message m;
    int r = message_get(cache_tx_rd(tx), id, &m);
    if (r < 0)
        return r;
    struct mail_place at = {.mailbox = m.mailbox, .sub = m.sub, .name = m.name};
    if (m.state == MESSAGE_GONE || m.state == MESSAGE_WANTED)
        return -ENOENT;
    r = mail_check_place(cache_tx_rd(tx), &at);
    if (r < 0)
        return r;
    m.state = MESSAGE_WRITING;
    m.changed_ms = mail_now_ms();
    return message_put(tx, &m);
}

int mail_store_written(cache_tx *tx, int64_t id, int64_t size, int64_t mtime_ns)
{
    struct message m;
    int r = message_get(cache_tx_rd(tx), id, &m);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (m.state != MESSAGE_WRITING)
        return 0;
    m.size = size;
    m.mtime_ns = mtime_ns;
    m.changed_ms = mail_now_ms();
    /* Nothing of this need be visible, but the last writer may have gone: the engine is to look. */
    if (m.sub != SUB_TMP)
        cache_tx_event(tx,
                       &(struct cache_event){.kind = CACHE_WORK, .mailbox = m.mailbox, .ino = (uint64_t)id});
    return message_put(tx, &m);
}

int mail_set_time(cache_tx *tx, int64_t id, int64_t mtime_ns)
{
    struct message m;
    struct base_state b;
    int r = message_get(cache_tx_rd(tx), id, &m);
    if (r < 0)
        return r;
    r = base_of_message(cache_tx_rd(tx), id, &b);
    if (r < 0 && r != -ENOENT)
        return r;
    m.mtime_ns = mtime_ns;
    if (r == -ENOENT) {
        m.date_s = mtime_ns / 1000000000 - (mtime_ns % 1000000000 < 0);
        m.zone_min = 0;
        m.changed_ms = mail_now_ms();
    }
    return message_put(tx, &m);
}
