#include "apply.h"
#include <errno.h>
#include "events.h"
#include "own.h"

struct change {
    struct fs *fs;
    const struct box_place *at, *to;
    bool noreplace;
    uint64_t made;
    struct box_removed removed;
};

static int mkdir_change(cache_tx *tx, void *arg)
{
    struct change *c = arg;
    return box_mkdir(tx, c->fs->o.layout, c->at, &c->made);
}

/* Whoever makes a mailbox may make only one of its directories. What the server has in it needs the others,
 * but who makes them one after the other must not find them made already (mutt gives up then). */
static void show_others_later(struct fs *fs, uint64_t ino)
{
    for (int sub = SUB_TMP; sub <= SUB_CUR && ino_sub(ino) != SUB_BOX; sub++)
        if ((enum sub)sub != ino_sub(ino))
            events_show_later(fs->events, ino_mailbox(ino), (enum sub)sub);
}

int apply_mkdir(struct fs *fs, const struct box_place *at, uint64_t *ret_ino)
{
    struct change c = {.fs = fs, .at = at};
    int r = own_write(fs->cache, CACHE_SOON, mkdir_change, &c);
    if (r < 0)
        return r;
    show_others_later(fs, c.made);
    *ret_ino = c.made;
    return 0;
}

/* In the directory that has this name, or in cur, new and tmp of that. */
static bool has_local_files(struct fs *fs, const struct box_place *at)
{
    uint64_t ino;
    cache_rd *rd = cache_reader(fs->cache);
    if (!rd || tree_lookup(rd, fs->o.layout, at->dir, at->name, &ino) < 0)
        return false;
    bool has = !local_box_empty(fs->local, name_local_area(ino));
    for (int sub = SUB_TMP; sub <= SUB_CUR && !has && ino_sub(ino) == SUB_BOX; sub++)
        has = !local_box_empty(fs->local, name_local_area(ino_dir(ino_mailbox(ino), (enum sub)sub)));
    return has;
}

static int rmdir_change(cache_tx *tx, void *arg)
{
    struct change *c = arg;
    return box_rmdir(tx, c->fs->o.layout, c->at, &c->removed);
}

int apply_rmdir(struct fs *fs, const struct box_place *at)
{
    struct change c = {.fs = fs, .at = at};
    if (has_local_files(fs, at))
        return -ENOTEMPTY;
    int r = own_write(fs->cache, CACHE_SOON, rmdir_change, &c);
    if (r < 0)
        return r;
    if (!c.removed.whole) {
        events_show_later(fs->events, c.removed.mailbox, c.removed.hidden);
        return 0;
    }
    for (int sub = SUB_TMP; sub <= SUB_BOX; sub++)
        local_box_remove(fs->local, name_local_area(ino_dir(c.removed.mailbox, (enum sub)sub)));
    return 0;
}

static int rename_change(cache_tx *tx, void *arg)
{
    struct change *c = arg;
    return box_rename(tx, c->fs->o.layout, c->at, c->to, c->noreplace);
}

int apply_rename_box(struct fs *fs, const struct box_place *from, const struct box_place *to, bool noreplace)
{
    struct change c = {.fs = fs, .at = from, .to = to, .noreplace = noreplace};
    /* A directory that is to be replaced must be empty of local files, too. */
    if (has_local_files(fs, to))
        return noreplace ? -EEXIST : -ENOTEMPTY;
    return own_write(fs->cache, CACHE_SOON, rename_change, &c);
}
