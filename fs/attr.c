/* Rows as struct stat. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "files.h"

#define NS 1000000000

static struct timespec time_of(int64_t ns)
{
    struct timespec t = {.tv_sec = ns / NS, .tv_nsec = ns % NS};
    if (t.tv_nsec < 0) {
        t.tv_sec--;
        t.tv_nsec += NS;
    }
    return t;
}

static bool is_later(struct timespec a, struct timespec b)
{
    return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

static void set_size(struct stat *st, off_t size)
{
    st->st_size = size;
    st->st_blocks = (size + 511) / 512; /* never 0 for a file that is not empty: tar -S would archive NULs */
}

void attr_of_message(struct fs *fs, const struct message *m, struct stat *ret, double *ret_timeout)
{
    struct stat now;
    *ret = (struct stat){.st_ino = (ino_t)m->id,
                         .st_mode = S_IFREG | 0600,
                         .st_nlink = m->state == MESSAGE_GONE ? 0 : 1 + m->links,
                         .st_uid = fs->uid,
                         .st_gid = fs->gid,
                         .st_blksize = 4096,
                         .st_mtim = time_of(m->mtime_ns),
                         .st_ctim = time_of(m->ctime_ns)};
    set_size(ret, m->size);
    /* Until the body is here its size is the server's word: whoever has it open has to ask again. */
    *ret_timeout = message_is_bare(m) ? 0 : FOREVER_S;
    /* The row learns of what is written at close; whoever looks meanwhile sees the file itself. */
    if (m->state != MESSAGE_PRESENT && files_stat(fs->files, m->id, true, &now) == 0) {
        set_size(ret, now.st_size);
        ret->st_mtim = now.st_mtim;
        if (is_later(now.st_ctim, ret->st_ctim))
            ret->st_ctim = now.st_ctim;
        *ret_timeout = 0;
    }
    ret->st_atim = ret->st_mtim;
}

static int attr_of_open_file(struct fs *fs, int64_t id, struct stat *ret)
{
    struct stat st;
    int r = files_stat(fs->files, id, false, &st);
    if (r < 0)
        return r;
    *ret = (struct stat){.st_ino = (ino_t)id,
                         .st_mode = S_IFREG | 0600,
                         .st_uid = fs->uid,
                         .st_gid = fs->gid,
                         .st_blksize = 4096,
                         .st_mtim = st.st_mtim,
                         .st_ctim = st.st_ctim,
                         .st_atim = st.st_mtim};
    set_size(ret, st.st_size);
    return 0;
}

/* The local area of a mailbox shares its directory: its subdirectories and its time count. */
static void add_local_area(struct fs *fs, int64_t dir, struct stat *st)
{
    struct stat local;
    char path[64];
    snprintf(path, sizeof(path), "local/%" PRId64, dir);
    if (fstatat(cache_dirfd(fs->cache), path, &local, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    if (is_later(local.st_mtim, st->st_mtim))
        st->st_mtim = local.st_mtim;
    /* Where the disk's file system does not count subdirectories, neither can this one: 1 says so. */
    st->st_nlink = local.st_nlink < 2 ? 1 : st->st_nlink + local.st_nlink - 2;
}

static int box_mtime(struct fs *fs, cache_rd *rd, int64_t dir, int64_t *ret)
{
    struct mailbox m;
    int64_t mtime = 0;
    int r = dir == 0 ? mailbox_mtime(rd, 0, SUB_BOX, &mtime) : 0;
    if (r < 0)
        return r;
    r = tree_box_of_dir(rd, fs->o.layout, dir, &m);
    if (r < 0 && !(r == -ENOENT && dir == 0))
        return r;
    if (r == 0 && m.removed)
        return -ENOENT;
    if (r == 0 && m.mtime_ns[SUB_BOX] > mtime)
        mtime = m.mtime_ns[SUB_BOX];
    *ret = mtime;
    return 0;
}

static int sub_mtime(cache_rd *rd, int64_t mailbox, enum sub sub, int64_t *ret)
{
    struct mailbox m;
    int r = mailbox_get(rd, mailbox, &m);
    if (r < 0)
        return r;
    if (m.removed)
        return -ENOENT;
    *ret = m.mtime_ns[sub];
    return 0;
}

static int attr_of_dir(struct fs *fs, cache_rd *rd, fuse_ino_t ino, struct stat *ret)
{
    int64_t mailbox = ino_mailbox(ino), mtime_ns;
    bool is_box = ino_sub(ino) == SUB_BOX;
    int r = is_box ? box_mtime(fs, rd, mailbox, &mtime_ns) : sub_mtime(rd, mailbox, ino_sub(ino), &mtime_ns);
    if (r < 0)
        return r;
    *ret = (struct stat){.st_ino = ino,
                         .st_mode = S_IFDIR | 0700,
                         .st_nlink = 2,
                         .st_uid = fs->uid,
                         .st_gid = fs->gid,
                         .st_size = 4096,
                         .st_blocks = 8,
                         .st_blksize = 4096,
                         .st_mtim = time_of(mtime_ns)};
    if (is_box) {
        ret->st_nlink += tree_subdirectories(rd, fs->o.layout, mailbox);
        add_local_area(fs, mailbox, ret);
    }
    ret->st_ctim = ret->st_atim = ret->st_mtim;
    return 0;
}

static int attr_of_any_dir(struct fs *fs, fuse_ino_t ino, struct stat *ret)
{
    bool is_box = ino_sub(ino) == SUB_BOX; /* which has others in it to count */
    cache_rd *rd = is_box ? cache_reader(fs->cache) : cache_glance(fs->cache);
    int r = rd ? attr_of_dir(fs, rd, ino, ret) : -EIO;
    cache_glance_end(fs->cache, rd);
    return r;
}

int attr_get(struct fs *fs, fuse_ino_t ino, struct stat *ret, double *ret_timeout)
{
    struct message m;
    if (virtual_is(ino)) {
        *ret_timeout = 0;
        return virtual_attr(fs, ino, ret);
    }
    *ret_timeout = FOREVER_S;
    if (ino_is_dir(ino))
        return attr_of_any_dir(fs, ino, ret);
    cache_rd *rd = cache_glance(fs->cache);
    int r = rd ? message_get(rd, (int64_t)ino, &m) : -EIO;
    cache_glance_end(fs->cache, rd);
    if (r == 0)
        attr_of_message(fs, &m, ret, ret_timeout);
    return r == -ENOENT ? attr_of_open_file(fs, (int64_t)ino, ret) : r;
}

void attr_entry(const struct stat *st, double timeout, struct fuse_entry_param *ret)
{
    *ret = (struct fuse_entry_param){
        .ino = st->st_ino, .attr = *st, .attr_timeout = timeout, .entry_timeout = FOREVER_S};
}

void attr_dir_changed(struct fs *fs, fuse_ino_t dir)
{
    fuse_lowlevel_notify_inval_inode(fs->se, dir, -1, 0);
    if (fs->o.layout == CONFIG_LAYOUT_MAILDIRPP && dir != INO_ROOT && ino_sub(dir) == SUB_BOX)
        fuse_lowlevel_notify_inval_inode(fs->se, INO_ROOT, -1, 0); /* which the inbox's directory is, too */
}

/* These come and go as their content does. */
static bool is_made_up(fuse_ino_t parent, const char *name)
{
    return (parent == INO_ROOT && strcmp(name, VIRTUAL_DIR_NAME) == 0) ||
           strcmp(name, "dovecot-keywords") == 0;
}

double attr_entry_timeout(const struct fs *fs, fuse_ino_t parent, const char *name)
{
    bool flat = fs->o.layout == CONFIG_LAYOUT_MAILDIRPP && parent == INO_ROOT && name[0] == '.';
    return flat || is_made_up(parent, name) ? 0 : FOREVER_S;
}
