#include "apply.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "files.h"
#include "loop.h"
#include "own.h"
#include "work.h"

/* One change of rows: its arguments and what comes of it. */
struct change {
    struct fs *fs;
    struct mail_place from, to;
    int64_t id;
    bool noreplace;
    bool tell;    /* the kernel does not know what this changes */
    bool settled; /* what loses its name here had its chance to get into the store */
    struct message made;
    struct mail_left left;
    bool drop; /* the work file of what is left is to go after the commit */
};

static int create_change(cache_tx *tx, void *arg)
{
    struct change *c = arg;
    return mail_create(tx, &c->to, &c->made);
}

int apply_create(struct fs *fs, const struct mail_place *at, struct message *ret)
{
    struct change c = {.fs = fs, .to = *at};
    int r = own_write(fs->cache, CACHE_SOON, create_change, &c);
    if (r == 0)
        *ret = c.made;
    return r;
}

static int forget_change(cache_tx *tx, void *arg)
{
    return message_forget(tx, *(const int64_t *)arg);
}

int apply_forget(struct fs *fs, int64_t id)
{
    return own_write(fs->cache, CACHE_SOON, forget_change, &id);
}

/* ---- unlink, rename ---- */

/* What is open stays until it is closed, everything else goes with the name. */
static int clear_left(cache_tx *tx, struct change *c)
{
    if (files_defer(c->fs->files, &c->left))
        return 0;
    c->drop = c->left.fate == MAIL_FATE_DROP;
    return c->left.fate == MAIL_FATE_FORGET ? mail_forget_left(tx, c->left.id) : 0;
}

/* What was just written and is not in the store yet could not be restored. -EAGAIN: it is to be settled
 * first. */
static int check_settled(cache_tx *tx, struct change *c, const struct mail_place *at)
{
    struct message m;
    cache_rd *rd = cache_tx_rd(tx);
    if (c->settled || at->sub == SUB_TMP)
        return 0;
    int r = message_find(rd, at->mailbox, at->sub, at->name, &m);
    if (r == 0)
        r = mail_wants_settling(rd, &m);
    if (r <= 0) /* a read that fails may have rolled the change back: nothing more is to be done in it */
        return r == -ENOENT ? 0 : r;
    c->left.id = m.id;
    return -EAGAIN;
}

static int unlink_change(cache_tx *tx, void *arg)
{
    struct change *c = arg;
    int r = check_settled(tx, c, &c->from);
    if (r == 0)
        r = mail_unlink(tx, &c->from, &c->left);
    return r < 0 ? r : clear_left(tx, c);
}

static int rename_change(cache_tx *tx, void *arg)
{
    struct change *c = arg;
    int r = c->noreplace ? 0 : check_settled(tx, c, &c->to);
    if (r == 0)
        r = mail_rename(tx, &c->from, &c->to, c->noreplace, &c->left);
    return r < 0 ? r : clear_left(tx, c);
}

static int write_change(struct change *c, enum cache_durability durability,
                        int (*change)(cache_tx *tx, void *arg))
{
    if (durability == CACHE_NOW)
        loop_will_wait();
    return c->tell ? cache_write(c->fs->cache, CACHE_FROM_FILES, durability, change, c)
                   : own_write(c->fs->cache, durability, change, c);
}

/* What cannot be settled, because somebody writes to it, does not keep the name from going. */
static int apply_change(struct change *c, enum cache_durability durability,
                        int (*change)(cache_tx *tx, void *arg))
{
    int r = write_change(c, durability, change);
    if (r == -EAGAIN) {
        work_settle(c->fs->cache, c->left.id);
        c->left = (struct mail_left){0};
        c->settled = true;
        r = write_change(c, durability, change);
    }
    if (r == 0 && c->drop)
        work_remove(c->fs->cache, c->left.id);
    return r;
}

static int find(struct fs *fs, const struct mail_place *at, struct message *ret)
{
    cache_rd *rd = cache_glance(fs->cache);
    int r = rd ? message_find(rd, at->mailbox, at->sub, at->name, ret) : -EIO;
    cache_glance_end(fs->cache, rd);
    return r;
}

int apply_unlink(struct fs *fs, const struct mail_place *at)
{
    struct change c = {.fs = fs, .from = *at};
    return apply_change(&c, CACHE_SOON, unlink_change);
}

/* Out of tmp: a delivery, which is on disk before the reply. Of a file that is still open, or not released
 * yet, the row learns first what was written: it is mail from now on, whatever becomes of the writer. */
static int sync_delivery(struct fs *fs, int64_t id)
{
    struct open_file *f = files_enter(fs->files, id);
    if (!f)
        return -ENOMEM;
    int r = content_store(fs->files, f, false);
    if (r == 0)
        r = content_sync_work(fs->files, f);
    files_yield(fs->files, f);
    files_leave(fs->files, f);
    return r;
}

int apply_rename(struct fs *fs, const struct mail_place *from, const struct mail_place *to, bool noreplace)
{
    struct change c = {.fs = fs, .from = *from, .to = *to, .noreplace = noreplace};
    struct message m;
    bool delivers = from->sub == SUB_TMP && to->sub != SUB_TMP;
    int r = delivers ? find(fs, from, &m) : 0;
    if (r == 0 && delivers)
        r = sync_delivery(fs, m.id);
    if (r < 0)
        return r;
    return apply_change(&c, delivers ? CACHE_NOW : CACHE_SOON, rename_change);
}

/* ---- link ---- */

static int link_change(cache_tx *tx, void *arg)
{
    struct change *c = arg;
    return mail_link(tx, c->id, &c->to, &c->made);
}

static int copy_written_change(cache_tx *tx, void *arg)
{
    struct change *c = arg;
    return mail_copy_written(tx, c->id, &c->to, &c->made);
}

/* The work file of a new row gets what `in` holds, and its time if that is asked for. */
static int fill(struct fs *fs, int in, const struct timespec *mtime, int64_t to)
{
    struct open_file *f = files_enter(fs->files, to);
    if (!f)
        return -ENOMEM;
    files_writer_begin(fs->files, f);
    int r = content_create(fs->files, f);
    if (r == 0)
        r = io_copy(in, f->fd);
    files_changed(f);
    if (r == 0 && mtime)
        r = files_set_time(fs->files, to, mtime);
    int end = content_end_write(fs->files, f);
    files_yield(fs->files, f);
    files_leave(fs->files, f);
    return r < 0 ? r : end;
}

/* The content of a row that is being written cannot be shared, and goes to the copy's own work file. */
static int fill_copy(struct fs *fs, int64_t from, int64_t to)
{
    CLEANUP(io_close) int in = work_open(fs->cache, from, O_RDONLY);
    return in < 0 ? in : fill(fs, in, NULL, to);
}

static int copy_written(struct change *c)
{
    int r = own_write(c->fs->cache, CACHE_SOON, copy_written_change, c);
    if (r < 0)
        return r;
    r = fill_copy(c->fs, c->id, c->made.id);
    if (r == 0)
        r = sync_delivery(c->fs, c->made.id);
    if (r < 0)
        apply_forget(c->fs, c->made.id);
    return r;
}

int apply_link(struct fs *fs, int64_t id, const struct mail_place *to, struct message *ret)
{
    struct change c = {.fs = fs, .id = id, .to = *to};
    struct message m;
    cache_rd *rd = cache_reader(fs->cache);
    int r = rd ? message_get(rd, id, &m) : -EIO;
    bool delivers = r == 0 && m.sub == SUB_TMP && to->sub != SUB_TMP;
    if (delivers)
        r = sync_delivery(fs, id);
    else if (r == 0 && m.state == MESSAGE_WRITING && m.sub != SUB_TMP)
        work_settle(fs->cache, id); /* when it can be shared already, so much the better */
    if (r == 0)
        r = own_write(fs->cache, delivers ? CACHE_NOW : CACHE_SOON, link_change, &c);
    if (r == -EMLINK)
        r = copy_written(&c);
    /* As stored: the copy's size is known only now. */
    return r < 0 ? r : message_get(rd, c.made.id, ret);
}

/* ---- from the local area ---- */

static int stage_change(cache_tx *tx, void *arg)
{
    struct change *c = arg;
    return mail_stage(tx, &c->to, &c->made);
}

static int deliver_change(cache_tx *tx, void *arg)
{
    struct change *c = arg;
    int r = c->noreplace ? 0 : check_settled(tx, c, &c->to);
    if (r == 0)
        r = mail_deliver(tx, c->made.id, &c->to, c->noreplace, &c->left);
    return r < 0 ? r : clear_left(tx, c);
}

/* By way of tmp, as programs deliver: what had the name before is replaced by content that is whole. */
static int deliver_staged(struct change *c, int in)
{
    struct stat st;
    int r = fstat(in, &st) < 0 ? -errno : 0;
    if (r == 0)
        r = fill(c->fs, in, &st.st_mtim, c->made.id);
    if (r == 0)
        r = sync_delivery(c->fs, c->made.id);
    if (r < 0)
        return r;
    return apply_change(c, CACHE_NOW, deliver_change);
}

int apply_deliver(struct fs *fs, int in, const struct mail_place *to, bool noreplace, struct message *ret)
{
    struct change c = {.fs = fs, .to = *to, .noreplace = noreplace, .tell = true};
    int r = apply_change(&c, CACHE_SOON, stage_change);
    if (r < 0)
        return r;
    r = deliver_staged(&c, in);
    if (r < 0) {
        cache_write(fs->cache, CACHE_FROM_FILES, CACHE_SOON, forget_change, &c.made.id);
        return r;
    }
    cache_rd *rd = cache_reader(fs->cache);
    return rd ? message_get(rd, c.made.id, ret) : -EIO;
}
