/*
 * Where a mailbox is put in the tree.
 *
 * What is shown lies below what is shown. A row that was removed is no directory any more, though it stays
 * for a while: until the server has heard of it, or for mail that can be restored. Where something is to be
 * shown below it, because it came there on the server or comes back (case 82), a level of its name stands for
 * it.
 *
 * A level is a mere name, and makes room for a mailbox that is to be called so. What is below the level comes
 * to lie below the mailbox, which may have something of that name itself: two levels become one, a level is
 * the mailbox that has its name, and of two mailboxes one gets a suffix, here and then on the server (84).
 */
#include "boxes_place.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "log.h"
#include "name.h"

struct heir {
    cache_tx *tx;
    int64_t level, id;
};

bool boxes_is_level(const struct mailbox *m)
{
    return !m->on_server && !m->dirs;
}

int boxes_make_level(cache_tx *tx, int64_t parent, const char *leaf, size_t length, char delimiter, bool any,
                     struct mailbox *ret)
{
    struct mailbox m = {.parent = parent, .delimiter = delimiter};
    char plain[NAME_COMPONENT_MAX + 1];

    int cut = name_to_component(leaf, length, plain);
    if (cut < 0)
        return cut;
    snprintf(m.name, sizeof m.name, "%s", plain);
    bool exact = cut == 0;
    for (unsigned i = 2; mailbox_find(cache_tx_rd(tx), parent, m.name, ret) == 0; i++) {
        if (exact && (any || !ret->on_server || !ret->dirs))
            return 0; /* made here too, or a level: the same one (case 80) */
        snprintf(m.name, sizeof m.name, "%.240s%%~%u", plain, i);
        exact = false;
    }
    if (!exact)
        snprintf(m.leaf, sizeof m.leaf, "%.*s", (int)length, leaf);
    int r = mailbox_put(tx, &m);
    if (r == 0)
        *ret = m;
    return r;
}

/* A level of that name, where the suffix that the name may have had is not needed any more. */
static int stand_in(cache_tx *tx, const struct mailbox *gone, struct mailbox *ret)
{
    char leaf[MAILBOX_REMOTE_MAX];
    snprintf(leaf, sizeof leaf, "%s", gone->leaf);
    int r = *leaf ? 0 : name_from_component(gone->name, gone->delimiter, leaf, sizeof leaf);
    return r < 0 ? r : boxes_make_level(tx, gone->parent, leaf, strlen(leaf), gone->delimiter, true, ret);
}

int boxes_show_above(cache_tx *tx, struct mailbox *m)
{
    struct mailbox above, level;
    if (m->parent == 0)
        return 0;
    int r = mailbox_get(cache_tx_rd(tx), m->parent, &above);
    if (r < 0 || !above.removed)
        return r;
    r = boxes_show_above(tx, &above);
    if (r == 0)
        r = stand_in(tx, &above, &level);
    if (r == 0)
        m->parent = level.id;
    return r;
}

/* Gives m another name, if a mailbox has it; *ret_level: a level does. */
static void find_name(cache_rd *rd, struct mailbox *m, int64_t *ret_level)
{
    struct mailbox other;
    char plain[sizeof m->name];

    memcpy(plain, m->name, sizeof plain);
    for (unsigned i = 2; mailbox_find(rd, m->parent, m->name, &other) == 0 && other.id != m->id; i++) {
        if (boxes_is_level(&other)) {
            *ret_level = other.id;
            return;
        }
        snprintf(m->name, sizeof m->name, "%.240s~%u", plain, i);
        m->leaf[0] = 0;
    }
}

static int inherit(cache_tx *tx, int64_t level, int64_t id);

static int inherit_child(void *arg, const struct mailbox *row)
{
    const struct heir *h = arg;
    struct mailbox child = *row, other;
    int64_t level = 0;

    if (child.parent != h->level || child.id == h->id)
        return 0;
    child.parent = h->id;
    if (!child.removed && boxes_is_level(&child) &&
        mailbox_find(cache_tx_rd(h->tx), child.parent, child.name, &other) == 0)
        return inherit(h->tx, child.id, other.id);
    if (!child.removed)
        find_name(cache_tx_rd(h->tx), &child, &level);
    return boxes_put_in_place(h->tx, &child, level);
}

/* What is below the level is below the other one from now on; the level goes. */
static int inherit(cache_tx *tx, int64_t level, int64_t id)
{
    struct heir h = {.tx = tx, .level = level, .id = id};
    int r = mailbox_each(cache_tx_rd(tx), -1, 0, inherit_child, &h);
    struct mailbox m;
    if (r == 0)
        r = mailbox_get(cache_tx_rd(tx), level, &m);
    if (r < 0)
        return r;
    m.removed = true;
    r = mailbox_put(tx, &m);
    if (r == 0 && mailbox_forget(tx, level) < 0)
        log_debug("level %lld is kept for its restorable mail", (long long)level);
    return r;
}

/* m may be below the level itself: so that is no more shown, then m moves, and then what is left does. */
int boxes_put_in_place(cache_tx *tx, struct mailbox *m, int64_t level)
{
    struct mailbox before;
    int r = level ? mailbox_get(cache_tx_rd(tx), level, &before) : 0;
    if (r == 0 && level) {
        before.removed = true;
        r = mailbox_put(tx, &before);
    }
    if (r == 0)
        r = mailbox_put(tx, m);
    return r == 0 && level ? inherit(tx, level, m->id) : r;
}

int boxes_put_again(cache_tx *tx, struct mailbox *m)
{
    int64_t level = 0;
    m->removed = false;
    int r = boxes_show_above(tx, m);
    if (r < 0)
        return r;
    find_name(cache_tx_rd(tx), m, &level);
    return boxes_put_in_place(tx, m, level);
}
