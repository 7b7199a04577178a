/* Operations on names: who is responsible for a name (name.c) is asked. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "apply.h"
#include "keywords.h"
#include "show.h"
#include "work.h"

static struct box_place box_place(fuse_ino_t parent, const char *name)
{
    return (struct box_place){.dir = ino_mailbox(parent), .name = name};
}

/* The node to forward a change of a local name to; answers the request (0) when there is none. */
static fuse_ino_t local_parent_or_err(fuse_req_t req, fuse_ino_t parent, int err)
{
    fuse_ino_t ino = name_local_parent(fs_of(req), parent, true);
    if (!ino)
        reply_err(req, err);
    return ino;
}

/* ---- mknod, symlink ---- */

static void mknod_mail(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fs *fs = fs_of(req);
    struct mail_place at = name_place(parent, name);
    struct message made;
    int r = apply_create(fs, &at, &made);
    int fd = r < 0 ? r : work_create(fs->cache, made.id);
    if (fd < 0) {
        reply_err(req, fd);
        return;
    }
    io_close(&fd);
    name_reply_message(req, &made);
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

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fs *fs = fs_of(req);
    struct mail_place at = name_place(parent, name);
    fuse_ino_t local;
    if (show_unlink(req, parent, name))
        return;
    switch (name_kind(fs, parent, name)) {
    case NAME_MAIL:
        reply_err(req, apply_unlink(fs, &at));
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

static void mkdir_box(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct box_place at = box_place(parent, name);
    uint64_t made;
    int r = apply_mkdir(fs_of(req), &at, &made);
    if (r < 0)
        reply_err(req, r);
    else
        name_reply_entry(req, parent, name, made);
}

static bool is_in_sub(fuse_ino_t parent)
{
    return ino_is_dir(parent) && ino_sub(parent) != SUB_BOX;
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct fs *fs = fs_of(req);
    fuse_ino_t local;
    enum name_kind kind = name_kind(fs, parent, name);
    if (kind == NAME_BOX)
        mkdir_box(req, parent, name);
    else if (kind != NAME_LOCAL || is_in_sub(parent))
        reply_err(req, -EPERM);
    else if ((local = local_parent_or_err(req, parent, -EIO)))
        local_mkdir(fs->local, req, local, name, mode);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fs *fs = fs_of(req);
    struct box_place at = box_place(parent, name);
    fuse_ino_t local;
    enum name_kind kind = name_kind(fs, parent, name);
    if (kind == NAME_BOX)
        reply_err(req, apply_rmdir(fs, &at));
    else if (kind != NAME_LOCAL)
        reply_err(req, kind == NAME_MAIL ? -ENOTDIR : -EPERM);
    else if ((local = local_parent_or_err(req, parent, -ENOENT)))
        local_rmdir(fs->local, req, local, name);
}

/* ---- rename ---- */

/* Dovecot's letters: taken over, and the files that told them go. */
static bool takes_letters(struct fs *fs, fuse_ino_t from, const char *name, fuse_ino_t newparent,
                          fuse_ino_t to, const char *newname)
{
    struct mailbox box;
    cache_rd *rd = cache_reader(fs->cache);
    if (strcmp(newname, VIRTUAL_KEYWORDS_NAME) != 0 || !rd || ino_is_local(newparent) ||
        tree_box_of_dir(rd, fs->o.layout, ino_mailbox(newparent), &box) < 0)
        return false;
    CLEANUP(io_close) int in = local_open_named(fs->local, from, name);
    if (in < 0 || keywords_adopt(fs, box.id, in) < 0 || local_remove_name(fs->local, from, name) < 0)
        return false;
    local_remove_name(fs->local, to, newname);
    return true;
}

static void rename_local(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
                         const char *newname, unsigned flags)
{
    fuse_ino_t from = local_parent_or_err(req, parent, -ENOENT);
    fuse_ino_t to = from ? local_parent_or_err(req, newparent, -EIO) : 0;
    if (to && flags == 0 && takes_letters(fs_of(req), from, name, newparent, to, newname))
        reply_err(req, 0);
    else if (to)
        local_rename(fs_of(req)->local, req, from, name, to, newname, flags);
}

/*
 * From the local area into the mail: a copy is delivered, with a number of its own, and the local name goes.
 * The kernel moves what it knows under the old name to the new one, the local file, and is told better by the
 * events thread: taking a name from the kernel needs the directory's lock, which this rename holds until it
 * is answered, so that it cannot come too early. For a moment it comes too late; then the local file is stale
 * (local_node_is_stale), or refuses to be opened, and the kernel looks again by itself.
 */
static int move_into_mail(struct fs *fs, fuse_ino_t from, const char *name, const struct mail_place *to,
                          bool noreplace)
{
    struct message made;
    CLEANUP(io_close) int in = local_open_named(fs->local, from, name);
    int r = in < 0 ? in : apply_deliver(fs, in, to, noreplace, &made);
    return r < 0 ? r : local_remove_name(fs->local, from, name);
}

static void rename_into_mail(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
                             const char *newname, bool noreplace)
{
    struct mail_place to = name_place(newparent, newname);
    fuse_ino_t from = local_parent_or_err(req, parent, -ENOENT);
    if (from)
        reply_err(req, move_into_mail(fs_of(req), from, name, &to, noreplace));
}

static int rename_mail(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
                       const char *newname, bool noreplace)
{
    struct mail_place from = name_place(parent, name), to = name_place(newparent, newname);
    return apply_rename(fs_of(req), &from, &to, noreplace);
}

static int rename_box(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
                      const char *newname, bool noreplace)
{
    struct box_place from = box_place(parent, name), to = box_place(newparent, newname);
    return apply_rename_box(fs_of(req), &from, &to, noreplace);
}

/* A program that has a file of its own to put there may replace what is made up. */
static enum name_kind target_kind(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    enum name_kind kind = name_kind(fs_of(req), parent, name);
    return kind == NAME_VIRTUAL && ino_is_dir(parent) && local_is_name(fs_of(req)->o.layout, false, name)
               ? NAME_LOCAL
               : kind;
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname,
               unsigned flags)
{
    enum name_kind from = name_kind(fs_of(req), parent, name), to = target_kind(req, newparent, newname);
    bool noreplace = flags & RENAME_NOREPLACE;
    if (show_rename(req, parent, name, newparent, newname))
        return;
    if (from == NAME_LOCAL && to == NAME_LOCAL)
        rename_local(req, parent, name, newparent, newname, flags);
    else if (flags & ~(unsigned)RENAME_NOREPLACE)
        reply_err(req, -EINVAL);
    else if (from == NAME_MAIL && to == NAME_MAIL)
        reply_err(req, rename_mail(req, parent, name, newparent, newname, noreplace));
    else if (from == NAME_LOCAL && to == NAME_MAIL)
        rename_into_mail(req, parent, name, newparent, newname, noreplace);
    else if (from == NAME_BOX && to == NAME_BOX)
        reply_err(req, rename_box(req, parent, name, newparent, newname, noreplace));
    else
        reply_err(req, from == NAME_LOCAL || to == NAME_LOCAL ? -EXDEV : -EPERM);
}

/* ---- link ---- */

/* Of a local file: a copy, that is. */
static int link_local(struct fs *fs, fuse_ino_t ino, const struct mail_place *to, struct message *ret)
{
    CLEANUP(io_close) int in = local_open_node(fs->local, ino);
    return in < 0 ? in : apply_deliver(fs, in, to, true, ret);
}

static void link_mail(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
    struct fs *fs = fs_of(req);
    struct mail_place to = name_place(newparent, newname);
    struct message made;
    int r = ino_is_local(ino) ? link_local(fs, ino, &to, &made) : apply_link(fs, (int64_t)ino, &to, &made);
    if (r < 0)
        reply_err(req, r);
    else
        name_reply_message(req, &made);
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
    fuse_ino_t local;
    enum name_kind to = name_kind(fs_of(req), newparent, newname);
    if (to == NAME_MAIL && (ino_is_local(ino) || (ino_is_message(ino) && !virtual_is(ino))))
        link_mail(req, ino, newparent, newname);
    else if (to != NAME_LOCAL)
        reply_err(req, -EPERM);
    else if (!ino_is_local(ino))
        reply_err(req, -EXDEV);
    else if ((local = local_parent_or_err(req, newparent, -EIO)))
        local_link(fs_of(req)->local, req, ino, local, newname);
}
