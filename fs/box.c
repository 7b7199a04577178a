#include "box.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "message.h"
#include "name.h"

#define INBOX "INBOX"

static bool is_inbox(const struct mailbox *m)
{
    return m->parent == 0 && strcmp(m->name, INBOX) == 0;
}

/* ---- places ---- */

/* Where a new or renamed mailbox is to be: its parent and its name there. */
struct seat {
    int64_t parent;
    char name[256];
};

static char delimiter_of(cache_rd *rd, int64_t parent)
{
    struct mailbox m;
    if (parent && mailbox_get(rd, parent, &m) == 0 && m.delimiter)
        return m.delimiter;
    return mailbox_find(rd, 0, INBOX, &m) == 0 ? m.delimiter : 0;
}

struct clash {
    const char *leaf, *name;
    char delimiter;
};

static int means_the_same(void *arg, const struct mailbox *m)
{
    const struct clash *c = arg;
    char leaf[MAILBOX_REMOTE_MAX];
    if (strcmp(m->name, c->name) == 0)
        return 0;
    if (*m->leaf)
        return strcmp(m->leaf, c->leaf) == 0;
    return name_from_component(m->name, c->delimiter, leaf, sizeof(leaf)) == 0 && strcmp(leaf, c->leaf) == 0;
}

/* May a mailbox of that name be made there? */
static int check_seat(cache_rd *rd, const struct seat *s)
{
    struct mailbox parent;
    char leaf[MAILBOX_REMOTE_MAX];
    enum sub sub;
    if (tree_sub_of_name(s->name, &sub))
        return -EPERM;
    /* The server's INBOX ignores case. */
    if (s->parent == 0 && strcasecmp(s->name, INBOX) == 0)
        return -EEXIST;
    int r = s->parent ? mailbox_get(rd, s->parent, &parent) : 0;
    if (r < 0)
        return r;
    if (s->parent && (parent.removed || (parent.attributes & MAILBOX_NOINFERIORS)))
        return parent.removed ? -ENOENT : -EPERM;
    struct clash clash = {.leaf = leaf, .name = s->name, .delimiter = delimiter_of(rd, s->parent)};
    r = name_from_component(s->name, clash.delimiter, leaf, sizeof(leaf));
    if (r < 0)
        return r;
    r = mailbox_each(rd, s->parent, 0, means_the_same, &clash);
    return r > 0 ? -EEXIST : r;
}

struct removed {
    const struct seat *seat;
    struct mailbox found;
};

static int is_removed_here(void *arg, const struct mailbox *m)
{
    struct removed *r = arg;
    if (!m->removed || m->parent != r->seat->parent || strcmp(m->name, r->seat->name) != 0)
        return 0;
    r->found = *m;
    return 1;
}

/* A mailbox of this place whose removal the server has not heard of yet is the same one again. Its mail was
 * removed, and stays so; but deleting the mailbox would take with it what comes into the new one. */
static int make_box(cache_tx *tx, const struct seat *s, struct mailbox *ret)
{
    struct removed removed = {.seat = s};
    struct mailbox m = {.parent = s->parent, .delimiter = delimiter_of(cache_tx_rd(tx), s->parent)};
    int r = check_seat(cache_tx_rd(tx), s);
    if (r == 0)
        r = mailbox_each(cache_tx_rd(tx), -1, 0, is_removed_here, &removed);
    if (r < 0)
        return r;
    if (r > 0) {
        m = removed.found;
        m.removed = false;
        m.dirs = 0;
    }
    snprintf(m.name, sizeof(m.name), "%s", s->name);
    r = mailbox_put(tx, &m);
    if (r == 0)
        *ret = m;
    return r;
}

/* Goes down one level, which is made when it is not there: a name in maildir++ stands for all of its levels.
 */
static int descend(cache_tx *tx, struct seat *s)
{
    struct mailbox m;
    int r = mailbox_find(cache_tx_rd(tx), s->parent, s->name, &m);
    if (r == -ENOENT)
        r = make_box(tx, s, &m);
    if (r == 0)
        s->parent = m.id;
    return r;
}

static int take_seat(cache_tx *tx, enum config_layout layout, const struct box_place *at, struct seat *ret)
{
    struct seat s = {.parent = at->dir};
    if (strlen(at->name) >= sizeof(s.name))
        return -ENAMETOOLONG;
    if (layout == CONFIG_LAYOUT_FS) {
        snprintf(s.name, sizeof(s.name), "%s", at->name);
        *ret = s;
        return 0;
    }
    if (at->dir != 0 || at->name[0] != '.')
        return -EPERM;
    const char *rest = at->name;
    int r = tree_next_level(&rest, s.name);
    while (r > 0 && *rest) {
        r = descend(tx, &s);
        if (r == 0)
            r = tree_next_level(&rest, s.name);
    }
    if (r < 0)
        return r;
    *ret = s;
    return 0;
}

/* ---- mkdir ---- */

static int show_sub(cache_tx *tx, struct mailbox *m, enum sub sub)
{
    if (m->removed)
        return -ENOENT;
    if (m->dirs & 1u << sub)
        return -EEXIST;
    /* A level that is no mailbox at the server is to become one: the merge sees it by this. */
    m->dirs |= 1u << sub;
    return mailbox_put(tx, m);
}

static int mkdir_sub(cache_tx *tx, enum config_layout layout, int64_t dir, enum sub sub, uint64_t *ret_ino)
{
    struct mailbox m;
    int r = tree_box_of_dir(cache_tx_rd(tx), layout, dir, &m);
    if (r < 0)
        return r == -ENOENT && dir == 0 ? -EPERM : r;
    r = show_sub(tx, &m, sub);
    if (r == 0)
        *ret_ino = ino_dir(m.id, sub);
    return r;
}

int box_mkdir(cache_tx *tx, enum config_layout layout, const struct box_place *at, uint64_t *ret_ino)
{
    struct mailbox m;
    struct seat seat;
    enum sub sub;
    if (tree_sub_of_name(at->name, &sub))
        return mkdir_sub(tx, layout, at->dir, sub, ret_ino);
    if (tree_find_box(cache_tx_rd(tx), layout, at->dir, at->name, &m) == 0)
        return -EEXIST;
    int r = take_seat(tx, layout, at, &seat);
    if (r == 0)
        r = make_box(tx, &seat, &m);
    if (r == 0)
        *ret_ino = ino_dir(m.id, SUB_BOX);
    return r;
}

/* ---- rmdir ---- */

static int found_one(void *arg, const struct message *m)
{
    (void)arg, (void)m;
    return 1;
}

static int hide_sub(cache_tx *tx, enum config_layout layout, int64_t dir, struct box_removed *ret)
{
    struct mailbox m;
    int r = tree_box_of_dir(cache_tx_rd(tx), layout, dir, &m);
    if (r < 0)
        return r;
    if (!(m.dirs & 1u << ret->hidden))
        return -ENOENT;
    r = message_each(cache_tx_rd(tx), m.id, ret->hidden, 0, found_one, NULL);
    if (r)
        return r > 0 ? -ENOTEMPTY : r;
    m.dirs &= ~(1u << ret->hidden);
    ret->mailbox = m.id;
    return mailbox_put(tx, &m);
}

static int check_removable(cache_rd *rd, const struct mailbox *m)
{
    bool filled =
        mailbox_children(rd, m->id) || message_any(rd, m->id, true) || message_any(rd, m->id, false);
    if (filled)
        return -ENOTEMPTY;
    return is_inbox(m) ? -EBUSY : 0;
}

/* What the server has is removed there first; a row with removed mail in it stays for as long as that can be
 * restored. */
static int remove_box(cache_tx *tx, struct mailbox *m)
{
    if (!m->on_server) {
        int r = mailbox_forget(tx, m->id);
        if (r != -ENOTEMPTY)
            return r;
    }
    m->removed = true;
    return mailbox_put(tx, m);
}

int box_rmdir(cache_tx *tx, enum config_layout layout, const struct box_place *at, struct box_removed *ret)
{
    struct box_removed removed = {.whole = false};
    struct mailbox m;
    int r;
    if (tree_sub_of_name(at->name, &removed.hidden)) {
        r = hide_sub(tx, layout, at->dir, &removed);
    } else {
        r = tree_find_box(cache_tx_rd(tx), layout, at->dir, at->name, &m);
        if (r == 0)
            r = check_removable(cache_tx_rd(tx), &m);
        removed.whole = true;
        removed.mailbox = r == 0 ? m.id : 0;
        if (r == 0)
            r = remove_box(tx, &m);
    }
    if (r == 0)
        *ret = removed;
    return r;
}

int box_show_again(cache_tx *tx, int64_t mailbox, enum sub sub)
{
    struct mailbox m;
    int r = mailbox_get(cache_tx_rd(tx), mailbox, &m);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    /* What has none of its directories any more is to be a mere level, or to be removed. */
    bool level = !m.dirs && (!m.on_server || (m.attributes & MAILBOX_NOSELECT));
    if (m.removed || (m.dirs & 1u << sub) || level)
        return 0;
    m.dirs |= 1u << sub;
    r = mailbox_put(tx, &m);
    return r < 0 ? r : 1;
}

/* ---- rename ---- */

/* Makes room: what stands there may only be a directory that was never more than that. */
static int clear_target(cache_tx *tx, const struct mailbox *moving, const struct mailbox *target,
                        bool noreplace)
{
    if (noreplace)
        return -EEXIST;
    if (target->id == moving->id)
        return -EINVAL;
    int r = check_removable(cache_tx_rd(tx), target);
    if (r < 0)
        return r;
    return target->on_server || target->dirs ? -ENOTEMPTY : mailbox_forget(tx, target->id);
}

static bool lies_below(cache_rd *rd, int64_t id, int64_t above)
{
    struct mailbox m = {.parent = id};
    do {
        if (m.parent == above)
            return true;
    } while (m.parent && mailbox_get(rd, m.parent, &m) == 0);
    return false;
}

int box_rename(cache_tx *tx, enum config_layout layout, const struct box_place *from,
               const struct box_place *to, bool noreplace)
{
    struct mailbox m, target;
    struct seat seat;
    enum sub sub;
    cache_rd *rd = cache_tx_rd(tx);
    if (tree_sub_of_name(from->name, &sub) || tree_sub_of_name(to->name, &sub))
        return -EPERM;
    int r = tree_find_box(rd, layout, from->dir, from->name, &m);
    if (r < 0)
        return r;
    if (is_inbox(&m))
        return -EBUSY;
    if (tree_find_box(rd, layout, to->dir, to->name, &target) == 0)
        r = clear_target(tx, &m, &target, noreplace);
    if (r == 0)
        r = take_seat(tx, layout, to, &seat);
    if (r == 0)
        r = lies_below(rd, seat.parent, m.id) ? -EINVAL : check_seat(rd, &seat);
    if (r < 0)
        return r;
    m.parent = seat.parent;
    snprintf(m.name, sizeof(m.name), "%s", seat.name);
    return mailbox_put(tx, &m);
}
