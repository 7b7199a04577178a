/* Operations on names. What a name is decides who is asked: mail, the tree of mailboxes, the local area. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "body.h"
#include "box.h"
#include "events.h"
#include "files.h"
#include "own.h"
#include "work.h"

enum name_kind name_kind(struct fs *fs, fuse_ino_t parent, const char *name)
{
    uint64_t ino;
    if (virtual_is(parent) || (parent == INO_ROOT && strcmp(name, VIRTUAL_DIR_NAME) == 0))
        return NAME_VIRTUAL;
    if (ino_is_local(parent))
        return NAME_LOCAL;
    if (ino_sub(parent) != SUB_BOX)
        return NAME_MAIL;
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

static struct box_place box_place(fuse_ino_t parent, const char *name)
{
    return (struct box_place){.dir = ino_mailbox(parent), .name = name};
}

static int touch_change(cache_tx *tx, void *arg)
{
    return mailbox_touch(tx, *(const int64_t *)arg, SUB_BOX);
}

fuse_ino_t name_local_parent(struct fs *fs, fuse_ino_t parent, bool create)
{
    if (ino_is_local(parent))
        return parent;
    int64_t mailbox = ino_mailbox(parent);
    /* The mailbox's directory changes, too. */
    if (create)
        own_write(fs->cache, CACHE_SOON, touch_change, &mailbox);
    return local_box(fs->local, mailbox, create);
}

/* The node to forward a change of a local name to; answers the request (0) when there is none. */
static fuse_ino_t local_parent_or_err(fuse_req_t req, fuse_ino_t parent, int err)
{
    fuse_ino_t ino = name_local_parent(fs_of(req), parent, true);
    if (!ino)
        reply_err(req, err);
    return ino;
}

/* ---- lookup ---- */

static void reply_entry(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t ino)
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

static void reply_message(fuse_req_t req, const struct message *m)
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
    cache_rd *rd = cache_reader(fs_of(req)->cache);
    int r = rd ? message_find(rd, ino_mailbox(parent), ino_sub(parent), name, &m) : -EIO;
    if (r == 0)
        reply_message(req, &m);
    else if (r == -ENOENT)
        reply_entry(req, parent, name, 0);
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
        reply_entry(req, parent, name, r == 0 ? ino : 0);
}

static void lookup_local(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fs *fs = fs_of(req);
    fuse_ino_t local = name_local_parent(fs, parent, false);
    if (local)
        local_lookup(fs->local, req, local, name);
    else
        reply_entry(req, parent, name, 0);
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    if (strlen(name) > MAILDIR_NAME_MAX) {
        reply_err(req, -ENAMETOOLONG);
        return;
    }
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
        reply_entry(req, parent, name, parent == INO_ROOT ? VIRTUAL_DIR : virtual_lookup(name));
        break;
    }
}

/* ---- mknod, symlink ---- */

struct create_change {
    struct mail_place at;
    struct message made;
};

static int create_change(cache_tx *tx, void *arg)
{
    struct create_change *c = arg;
    return mail_create(tx, &c->at, &c->made);
}

static void mknod_mail(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fs *fs = fs_of(req);
    struct create_change c = {.at = name_place(parent, name)};
    int r = own_write(fs->cache, CACHE_SOON, create_change, &c);
    int fd = r < 0 ? r : work_create(fs->cache, c.made.id);
    if (fd < 0) {
        reply_err(req, fd);
        return;
    }
    io_close(&fd);
    reply_message(req, &c.made);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    fuse_ino_t local;
    enum name_kind kind = name_kind(fs_of(req), parent, name);
    if (kind == NAME_LOCAL) {
        if ((local = local_parent_or_err(req, parent, -EIO)))
            local_mknod(fs_of(req)->local, req, local, name, mode, rdev);
    } else if (kind == NAME_MAIL && S_ISREG(mode)) {
        mknod_mail(req, parent, name);
    } else {
        reply_err(req, -EPERM);
    }
}

void op_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
    fuse_ino_t local;
    if (name_kind(fs_of(req), parent, name) != NAME_LOCAL)
        reply_err(req, -EPERM);
    else if ((local = local_parent_or_err(req, parent, -EIO)))
        local_symlink(fs_of(req)->local, req, link, local, name);
}

/* ---- unlink ---- */

struct unlink_change {
    struct fs *fs;
    struct mail_place at;
    struct mail_left left;
    bool drop; /* the work file is to go after the commit */
};

/* What is open stays until it is closed, everything else goes with the name. */
static int clear_left(cache_tx *tx, struct fs *fs, const struct mail_left *left, bool *ret_drop)
{
    if (files_defer(fs->files, left))
        return 0;
    *ret_drop = left->fate == MAIL_FATE_DROP;
    return left->fate == MAIL_FATE_FORGET ? mail_forget_left(tx, left->id) : 0;
}

static int unlink_change(cache_tx *tx, void *arg)
{
    struct unlink_change *c = arg;
    int r = mail_unlink(tx, &c->at, &c->left);
    return r < 0 ? r : clear_left(tx, c->fs, &c->left, &c->drop);
}

/* What was just written and is not in the store yet could not be restored: it is settled first, if nobody
 * writes. That it fails does not keep the name from going. */
static void settle_before_loss(struct fs *fs, const struct mail_place *at)
{
    struct message m;
    cache_rd *rd = cache_reader(fs->cache);
    if (at->sub != SUB_TMP && rd && message_find(rd, at->mailbox, at->sub, at->name, &m) == 0 &&
        mail_wants_settling(rd, &m))
        work_settle(fs->cache, m.id);
}

static int unlink_mail(struct fs *fs, fuse_ino_t parent, const char *name)
{
    struct unlink_change c = {.fs = fs, .at = name_place(parent, name)};
    settle_before_loss(fs, &c.at);
    int r = own_write(fs->cache, CACHE_SOON, unlink_change, &c);
    if (r == 0 && c.drop)
        work_remove(fs->cache, c.left.id);
    return r;
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fs *fs = fs_of(req);
    fuse_ino_t local;
    switch (name_kind(fs, parent, name)) {
    case NAME_MAIL:
        reply_err(req, unlink_mail(fs, parent, name));
        break;
    case NAME_LOCAL:
        if ((local = local_parent_or_err(req, parent, -ENOENT)))
            local_unlink(fs->local, req, local, name);
        break;
    case NAME_BOX:
        reply_err(req, -EISDIR);
        break;
    case NAME_VIRTUAL:
        reply_err(req, -EPERM);
        break;
    }
}

/* ---- mkdir, rmdir ---- */

struct box_change {
    struct fs *fs;
    struct box_place at, to;
    bool noreplace;
    uint64_t made;
    struct box_removed removed;
};

static int mkdir_change(cache_tx *tx, void *arg)
{
    struct box_change *c = arg;
    return box_mkdir(tx, c->fs->o.layout, &c->at, &c->made);
}

static void mkdir_box(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fs *fs = fs_of(req);
    struct box_change c = {.fs = fs, .at = box_place(parent, name)};
    int r = own_write(fs->cache, CACHE_SOON, mkdir_change, &c);
    if (r < 0)
        reply_err(req, r);
    else
        reply_entry(req, parent, name, c.made);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct fs *fs = fs_of(req);
    fuse_ino_t local;
    enum name_kind kind = name_kind(fs, parent, name);
    if (kind == NAME_BOX)
        mkdir_box(req, parent, name);
    else if (kind != NAME_LOCAL)
        reply_err(req, -EPERM);
    else if ((local = local_parent_or_err(req, parent, -EIO)))
        local_mkdir(fs->local, req, local, name, mode);
}

static int rmdir_change(cache_tx *tx, void *arg)
{
    struct box_change *c = arg;
    return box_rmdir(tx, c->fs->o.layout, &c->at, &c->removed);
}

static bool has_local_files(struct fs *fs, fuse_ino_t parent, const char *name)
{
    struct mailbox m;
    cache_rd *rd = cache_reader(fs->cache);
    return rd && tree_find_box(rd, fs->o.layout, ino_mailbox(parent), name, &m) == 0 &&
           !local_box_empty(fs->local, m.id);
}

static int rmdir_box(struct fs *fs, fuse_ino_t parent, const char *name)
{
    struct box_change c = {.fs = fs, .at = box_place(parent, name)};
    if (has_local_files(fs, parent, name))
        return -ENOTEMPTY;
    int r = own_write(fs->cache, CACHE_SOON, rmdir_change, &c);
    if (r < 0)
        return r;
    if (c.removed.whole)
        local_box_remove(fs->local, c.removed.mailbox);
    else
        events_show_later(fs->events, c.removed.mailbox, c.removed.hidden);
    return 0;
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fs *fs = fs_of(req);
    fuse_ino_t local;
    enum name_kind kind = name_kind(fs, parent, name);
    if (kind == NAME_BOX)
        reply_err(req, rmdir_box(fs, parent, name));
    else if (kind != NAME_LOCAL)
        reply_err(req, kind == NAME_MAIL ? -ENOTDIR : -EPERM);
    else if ((local = local_parent_or_err(req, parent, -ENOENT)))
        local_rmdir(fs->local, req, local, name);
}

/* ---- rename ---- */

static int rename_box_change(cache_tx *tx, void *arg)
{
    struct box_change *c = arg;
    return box_rename(tx, c->fs->o.layout, &c->at, &c->to, c->noreplace);
}

static int rename_box(struct fs *fs, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
                      const char *newname, bool noreplace)
{
    struct box_change c = {
        .fs = fs, .at = box_place(parent, name), .to = box_place(newparent, newname), .noreplace = noreplace};
    /* A directory that is to be replaced must be empty of local files, too. */
    if (has_local_files(fs, newparent, newname))
        return noreplace ? -EEXIST : -ENOTEMPTY;
    return own_write(fs->cache, CACHE_SOON, rename_box_change, &c);
}

struct rename_change {
    struct fs *fs;
    struct mail_place from, to;
    bool noreplace;
    struct mail_left left;
    bool drop;
};

static int rename_change(cache_tx *tx, void *arg)
{
    struct rename_change *c = arg;
    int r = mail_rename(tx, &c->from, &c->to, c->noreplace, &c->left);
    return r < 0 ? r : clear_left(tx, c->fs, &c->left, &c->drop);
}

/* Out of tmp: a delivery, which is on disk before the reply. Who still writes has it so at close. */
static int sync_delivery(struct fs *fs, int64_t id)
{
    return work_has_writer(fs->cache, id) ? 0 : content_sync_work(fs->cache, id);
}

static int sync_named_delivery(struct fs *fs, const struct mail_place *from)
{
    struct message m;
    cache_rd *rd = cache_reader(fs->cache);
    int r = rd ? message_find(rd, from->mailbox, from->sub, from->name, &m) : -EIO;
    return r < 0 ? r : sync_delivery(fs, m.id);
}

static int rename_mail(struct fs *fs, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
                       const char *newname, bool noreplace)
{
    struct rename_change c = {.fs = fs,
                              .from = name_place(parent, name),
                              .to = name_place(newparent, newname),
                              .noreplace = noreplace};
    bool delivers = c.from.sub == SUB_TMP && c.to.sub != SUB_TMP;
    int r = delivers ? sync_named_delivery(fs, &c.from) : 0;
    if (r < 0)
        return r;
    if (!noreplace)
        settle_before_loss(fs, &c.to);
    r = own_write(fs->cache, delivers ? CACHE_NOW : CACHE_SOON, rename_change, &c);
    if (r == 0 && c.drop)
        work_remove(fs->cache, c.left.id);
    return r;
}

static void rename_local(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
                         const char *newname, unsigned flags)
{
    fuse_ino_t from = local_parent_or_err(req, parent, -ENOENT);
    fuse_ino_t to = from ? local_parent_or_err(req, newparent, -EIO) : 0;
    if (to)
        local_rename(fs_of(req)->local, req, from, name, to, newname, flags);
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname,
               unsigned flags)
{
    struct fs *fs = fs_of(req);
    enum name_kind from = name_kind(fs, parent, name), to = name_kind(fs, newparent, newname);
    bool noreplace = flags & RENAME_NOREPLACE;
    if (from == NAME_LOCAL && to == NAME_LOCAL)
        rename_local(req, parent, name, newparent, newname, flags);
    else if (flags & ~(unsigned)RENAME_NOREPLACE)
        reply_err(req, -EINVAL);
    else if (from == NAME_MAIL && to == NAME_MAIL)
        reply_err(req, rename_mail(fs, parent, name, newparent, newname, noreplace));
    else if (from == NAME_BOX && to == NAME_BOX)
        reply_err(req, rename_box(fs, parent, name, newparent, newname, noreplace));
    else
        reply_err(req, from == NAME_LOCAL || to == NAME_LOCAL ? -EXDEV : -EPERM);
}

/* ---- link ---- */

struct link_change {
    int64_t id;
    struct mail_place to;
    struct message made;
};

static int link_change(cache_tx *tx, void *arg)
{
    struct link_change *c = arg;
    return mail_link(tx, c->id, &c->to, &c->made);
}

static int copy_written_change(cache_tx *tx, void *arg)
{
    struct link_change *c = arg;
    return mail_copy_written(tx, c->id, &c->to, &c->made);
}

/* The content of a row that is being written and cannot be shared goes to the copy's own work file. */
static int fill_copy(struct fs *fs, int64_t from, int64_t to)
{
    CLEANUP(io_close) int in = work_open(fs->cache, from, O_RDONLY);
    if (in < 0)
        return in;
    struct open_file *f = files_enter(fs->files, to);
    if (!f)
        return -ENOMEM;
    files_writer_begin(fs->files, f);
    int r = content_create(fs->files, f);
    if (r == 0)
        r = io_copy(in, f->fd);
    int end = content_end_write(fs->files, f);
    files_yield(fs->files, f);
    files_leave(fs->files, f);
    return r < 0 ? r : end;
}

static int forget_copy_change(cache_tx *tx, void *arg)
{
    return message_forget(tx, *(const int64_t *)arg);
}

static int copy_written(struct fs *fs, struct link_change *c)
{
    int r = own_write(fs->cache, CACHE_SOON, copy_written_change, c);
    if (r < 0)
        return r;
    r = fill_copy(fs, c->id, c->made.id);
    if (r == 0)
        r = content_sync_work(fs->cache, c->made.id);
    if (r < 0)
        own_write(fs->cache, CACHE_SOON, forget_copy_change, &c->made.id);
    return r;
}

static int link_mail(struct fs *fs, struct link_change *c)
{
    struct message m;
    cache_rd *rd = cache_reader(fs->cache);
    int r = rd ? message_get(rd, c->id, &m) : -EIO;
    bool delivers = r == 0 && m.sub == SUB_TMP && c->to.sub != SUB_TMP;
    if (delivers)
        r = sync_delivery(fs, c->id);
    else if (r == 0 && m.state == MESSAGE_WRITING && m.sub != SUB_TMP)
        work_settle(fs->cache, c->id); /* when it can be shared already, so much the better */
    if (r == 0)
        r = own_write(fs->cache, delivers ? CACHE_NOW : CACHE_SOON, link_change, c);
    return r == -EMLINK ? copy_written(fs, c) : r;
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
    struct fs *fs = fs_of(req);
    fuse_ino_t local;
    bool to_mail = name_kind(fs, newparent, newname) == NAME_MAIL;
    if (ino_is_local(ino) && name_kind(fs, newparent, newname) == NAME_LOCAL) {
        if ((local = local_parent_or_err(req, newparent, -EIO)))
            local_link(fs->local, req, ino, local, newname);
        return;
    }
    if (ino_is_local(ino) || !to_mail || virtual_is(ino)) {
        reply_err(req, to_mail && ino_is_local(ino) ? -EXDEV : -EPERM);
        return;
    }
    struct link_change c = {.id = (int64_t)ino, .to = name_place(newparent, newname)};
    int r = link_mail(fs, &c);
    if (r < 0)
        reply_err(req, r);
    else
        reply_entry(req, newparent, newname, (fuse_ino_t)c.made.id);
}
