/* What a name is: mail, a directory of the tree, local, or made up. And looking it up. */
#include <errno.h>
#include <string.h>
#include "own.h"
#include "private.h"
#include "show.h"

#define EMACS_LOCK ".#"

enum name_kind name_kind(struct fs *fs, fuse_ino_t parent, const char *name)
{
    uint64_t ino;
    if (virtual_is_name(fs, parent, name))
        return NAME_VIRTUAL;
    if (ino_is_local(parent))
        return NAME_LOCAL;
    if (ino_sub(parent) != SUB_BOX)
        return strncmp(name, EMACS_LOCK, strlen(EMACS_LOCK)) == 0 ? NAME_LOCAL : NAME_MAIL;
    if (!local_is_name(fs->o.layout, parent == INO_ROOT, name))
        return NAME_BOX;
    /* A mailbox may have such a name at the server: it comes first. */
    cache_rd *rd = cache_reader(fs->cache);
    bool is_box = rd && tree_lookup(rd, fs->o.layout, ino_mailbox(parent), name, &ino) == 0;
    return is_box ? NAME_BOX : NAME_LOCAL;
}

struct mail_place name_place(fuse_ino_t parent, const char *name)
{
    return (struct mail_place){.mailbox = ino_mailbox(parent), .sub = ino_sub(parent), .name = name};
}

int64_t name_local_area(fuse_ino_t dir)
{
    int64_t mailbox = ino_mailbox(dir);
    return ino_sub(dir) == SUB_BOX ? mailbox : -(mailbox << 2 | ino_sub(dir));
}

static int touch_change(cache_tx *tx, void *arg)
{
    const fuse_ino_t *dir = arg;
    return mailbox_touch(tx, ino_mailbox(*dir), ino_sub(*dir));
}

fuse_ino_t name_local_parent(struct fs *fs, fuse_ino_t parent, bool create)
{
    if (ino_is_local(parent))
        return parent;
    /* The directory of the mail tree changes, too. */
    if (create)
        own_write(fs->cache, CACHE_SOON, touch_change, &parent);
    return local_box(fs->local, name_local_area(parent), create);
}

/* ---- lookup ---- */

void name_reply_entry(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t ino)
{
    struct fs *fs = fs_of(req);
    struct fuse_entry_param e = {.ino = 0};
    struct stat st;
    double timeout;
    int r = ino ? attr_get(fs, ino, &st, &timeout) : -ENOENT;
    if (r < 0 && r != -ENOENT) {
        reply_err(req, r);
        return;
    }
    if (r == 0)
        attr_entry(&st, timeout, &e);
    e.entry_timeout = attr_entry_timeout(fs, parent, name);
    fuse_reply_entry(req, &e);
}

void name_reply_message(fuse_req_t req, const struct message *m)
{
    struct fuse_entry_param e;
    struct stat st;
    double timeout;
    attr_of_message(fs_of(req), m, &st, &timeout);
    attr_entry(&st, timeout, &e);
    fuse_reply_entry(req, &e);
}

static void lookup_mail(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct message m;
    struct cache *c = fs_of(req)->cache;
    cache_rd *rd = cache_glance(c);
    int r = rd ? message_find(rd, ino_mailbox(parent), ino_sub(parent), name, &m) : -EIO;
    cache_glance_end(c, rd);
    if (r == 0)
        name_reply_message(req, &m);
    else if (r == -ENOENT)
        name_reply_entry(req, parent, name, 0);
    else
        reply_err(req, r);
}

static void lookup_box(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fs *fs = fs_of(req);
    uint64_t ino = 0;
    cache_rd *rd = cache_reader(fs->cache);
    int r = rd ? tree_lookup(rd, fs->o.layout, ino_mailbox(parent), name, &ino) : -EIO;
    if (r < 0 && r != -ENOENT)
        reply_err(req, r);
    else
        name_reply_entry(req, parent, name, r == 0 ? ino : 0);
}

static void lookup_local(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fs *fs = fs_of(req);
    fuse_ino_t local = name_local_parent(fs, parent, false);
    if (local)
        local_lookup(fs->local, req, local, name);
    else
        name_reply_entry(req, parent, name, 0);
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    if (strlen(name) > MAILDIR_NAME_MAX) {
        reply_err(req, -ENAMETOOLONG);
        return;
    }
    if (show_lookup(req, parent, name))
        return;
    switch (name_kind(fs_of(req), parent, name)) {
    case NAME_MAIL:
        lookup_mail(req, parent, name);
        break;
    case NAME_BOX:
        lookup_box(req, parent, name);
        break;
    case NAME_LOCAL:
        lookup_local(req, parent, name);
        break;
    case NAME_VIRTUAL:
        name_reply_entry(req, parent, name, virtual_lookup(fs_of(req), parent, name));
        break;
    }
}
