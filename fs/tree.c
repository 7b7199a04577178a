#include "tree.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "name.h"

#define INBOX "INBOX"
#define FLAT_NAME_MAX 256 /* what a struct cache_event and most programs can hold */

static const char *const sub_names[] = {[SUB_TMP] = "tmp", [SUB_NEW] = "new", [SUB_CUR] = "cur"};

bool tree_sub_of_name(const char *name, enum sub *ret)
{
    for (int sub = SUB_TMP; sub <= SUB_CUR; sub++) {
        if (strcmp(name, sub_names[sub]) == 0) {
            *ret = (enum sub)sub;
            return true;
        }
    }
    return false;
}

const char *tree_sub_name(enum sub sub)
{
    return sub_names[sub];
}

int tree_box_of_dir(cache_rd *rd, enum config_layout layout, int64_t dir, struct mailbox *ret)
{
    if (dir != 0)
        return mailbox_get(rd, dir, ret);
    return layout == CONFIG_LAYOUT_MAILDIRPP ? mailbox_find(rd, 0, INBOX, ret) : -ENOENT;
}

int tree_next_level(const char **at, char ret[256])
{
    const char *part = *at;
    if (*part == '\0')
        return 0;
    if (*part++ != '.')
        return -EINVAL;
    size_t length = strcspn(part, ".");
    if (length == 0)
        return -EINVAL;
    int r = name_component_from_maildirpp(part, length, ret, 256);
    if (r < 0)
        return r;
    *at = part + length;
    return 1;
}

static int find_flat(cache_rd *rd, const char *name, struct mailbox *ret)
{
    struct mailbox m = {0};
    char level[256];
    const char *at = name;
    int r;
    while ((r = tree_next_level(&at, level)) > 0) {
        r = mailbox_find(rd, m.id, level, &m);
        if (r < 0)
            return r;
    }
    /* The inbox itself is the root, and has no name in it. */
    if (r < 0 || m.id == 0 || (m.parent == 0 && strcmp(m.name, INBOX) == 0))
        return -ENOENT;
    *ret = m;
    return 0;
}

int tree_find_box(cache_rd *rd, enum config_layout layout, int64_t dir, const char *name, struct mailbox *ret)
{
    if (layout == CONFIG_LAYOUT_FS)
        return mailbox_find(rd, dir, name, ret);
    return dir == 0 ? find_flat(rd, name, ret) : -ENOENT;
}

int tree_lookup(cache_rd *rd, enum config_layout layout, int64_t dir, const char *name, uint64_t *ret)
{
    struct mailbox m;
    enum sub sub;
    bool is_sub = tree_sub_of_name(name, &sub);
    int r = is_sub ? tree_box_of_dir(rd, layout, dir, &m) : tree_find_box(rd, layout, dir, name, &m);
    if (r < 0)
        return r;
    if (m.removed || (is_sub && !(m.dirs & 1u << sub)))
        return -ENOENT;
    *ret = ino_dir(m.id, is_sub ? sub : SUB_BOX);
    return 0;
}

/* Prepends the levels from the mailbox up, at the end of the buffer. */
int tree_path(cache_rd *rd, enum config_layout layout, int64_t mailbox, char *ret, size_t size)
{
    char part[FLAT_NAME_MAX];
    size_t at = size - 1;
    bool flat = layout == CONFIG_LAYOUT_MAILDIRPP;
    ret[at] = '\0';
    for (int64_t id = mailbox; id != 0;) {
        struct mailbox m;
        int r = mailbox_get(rd, id, &m);
        if (r == 0 && flat && id == mailbox && m.parent == 0 && strcmp(m.name, INBOX) == 0)
            break;
        if (r == 0 && flat)
            r = name_component_to_maildirpp(m.name, part, sizeof(part));
        if (r < 0)
            return r;
        const char *name = flat ? part : m.name;
        size_t length = strlen(name);
        bool separated = flat || m.parent != 0;
        if (length + separated > at)
            return -ENAMETOOLONG;
        at -= length;
        memcpy(ret + at, name, length);
        if (separated)
            ret[--at] = flat ? '.' : '/';
        id = m.parent;
    }
    memmove(ret, ret + at, size - at);
    return 0;
}

/* ---- listing ---- */

struct listing {
    cache_rd *rd;
    char flat[FLAT_NAME_MAX]; /* maildir++: the name of the level above, "" at the top */
    int (*each)(void *arg, const char *name, uint64_t ino);
    void *arg;
};

static int list_subs(cache_rd *rd, enum config_layout layout, int64_t dir,
                     int (*each)(void *arg, const char *name, uint64_t ino), void *arg)
{
    struct mailbox m;
    int r = tree_box_of_dir(rd, layout, dir, &m);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    for (int sub = SUB_TMP; sub <= SUB_CUR && r == 0; sub++) {
        if (m.dirs & 1u << sub)
            r = each(arg, sub_names[sub], ino_dir(m.id, (enum sub)sub));
    }
    return r;
}

static int list_child(void *arg, const struct mailbox *m)
{
    struct listing *l = arg;
    return l->each(l->arg, m->name, ino_dir(m->id, SUB_BOX));
}

/* Depth is bounded by the length of the flat name. */
static int list_flat(void *arg, const struct mailbox *m)
{
    struct listing *up = arg, l = *up;
    char part[FLAT_NAME_MAX];
    size_t length = strlen(up->flat);
    int r = name_component_to_maildirpp(m->name, part, sizeof(part));
    if (r < 0 || length + strlen(part) + 2 > sizeof(l.flat))
        return 0; /* too long for a file name: not reachable in this layout */
    snprintf(l.flat + length, sizeof(l.flat) - length, ".%s", part);
    if (m->parent != 0 || strcmp(m->name, INBOX) != 0)
        r = l.each(l.arg, l.flat, ino_dir(m->id, SUB_BOX));
    return r ? r : mailbox_each(l.rd, m->id, 0, list_flat, &l);
}

int tree_each(cache_rd *rd, enum config_layout layout, int64_t dir,
              int (*each)(void *arg, const char *name, uint64_t ino), void *arg)
{
    struct listing l = {.rd = rd, .each = each, .arg = arg};
    int r = list_subs(rd, layout, dir, each, arg);
    if (r)
        return r;
    if (layout == CONFIG_LAYOUT_FS)
        return mailbox_each(rd, dir, 0, list_child, &l);
    return dir == 0 ? mailbox_each(rd, 0, 0, list_flat, &l) : 0;
}

static int count_one(void *arg, const char *name, uint64_t ino)
{
    (void)name, (void)ino;
    ++*(unsigned *)arg;
    return 0;
}

unsigned tree_subdirectories(cache_rd *rd, enum config_layout layout, int64_t dir)
{
    unsigned n = 0;
    tree_each(rd, layout, dir, count_one, &n);
    return n;
}
