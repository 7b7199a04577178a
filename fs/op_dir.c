/*
 * Directories.
 *
 * cur, new and tmp are listed from one ordered query a request. The cookie of an entry is the row's id,
 * shifted, plus which of the row's names in this directory it was; so a listing goes on where it was,
 * whatever was renamed meanwhile, and shows each message exactly once. Ids begin at 16, which leaves small
 * numbers for "." and "..":
 *
 *   1 ".", 2 "..", id << 8 | n for the n-th name of row id; 1 << 62 | n for emacs' lock links, which are
 * local
 *
 * The root and the directories of mailboxes are small, and mixed from several sources: what they hold is
 * captured when a listing begins, and the cookie is a position in that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "arena.h"
#include "files.h"
#include "loop.h"

#define COOKIE_DOT 1
#define COOKIE_DOT_DOT 2
#define COOKIE_LOCAL ((off_t)1 << 62)
#define COOKIE_NAME_BITS 8
#define COOKIE_NAMES ((off_t)1 << COOKIE_NAME_BITS)

/* ---- an answer that is being filled ---- */

struct fill {
    fuse_req_t req;
    struct fs *fs;
    char *buffer;
    size_t size, used;
    bool plus;
    off_t after;     /* the cookie to go on from */
    int64_t last_id; /* for the names of one row */
    off_t last_n;
    off_t locals; /* local entries so far */
};

/* Adds one entry; 1 when there is no room for it. */
static int add(struct fill *f, const char *name, const struct fuse_entry_param *e, off_t cookie)
{
    char *at = f->buffer + f->used;
    size_t room = f->size - f->used;
    size_t need = f->plus ? fuse_add_direntry_plus(f->req, at, room, name, e, cookie)
                          : fuse_add_direntry(f->req, at, room, name, &e->attr, cookie);
    if (need > room)
        return 1;
    f->used += need;
    return 0;
}

/* An entry of which only number and type are told: the kernel then looks it up when somebody asks. */
static int add_bare(struct fill *f, const char *name, fuse_ino_t ino, mode_t mode, off_t cookie)
{
    struct fuse_entry_param e = {.ino = 0, .attr = {.st_ino = ino, .st_mode = mode}};
    return f->after >= cookie ? 0 : add(f, name, &e, cookie);
}

static int add_dots(struct fill *f, fuse_ino_t self, fuse_ino_t parent)
{
    int r = add_bare(f, ".", self, S_IFDIR, COOKIE_DOT);
    return r ? r : add_bare(f, "..", parent, S_IFDIR, COOKIE_DOT_DOT);
}

static void reply_fill(struct fill *f, int err)
{
    if (err < 0 && f->used == 0)
        reply_err(f->req, err);
    else
        fuse_reply_buf(f->req, f->buffer, f->used);
    free(f->buffer);
}

/* ---- cur, new, tmp ---- */

static int add_message(void *arg, const struct message *m)
{
    struct fill *f = arg;
    struct fuse_entry_param e;
    struct stat st;
    double timeout;
    f->last_n = m->id == f->last_id ? f->last_n + 1 : 0;
    f->last_id = m->id;
    off_t cookie = m->id << COOKIE_NAME_BITS | f->last_n;
    if (cookie <= f->after || f->last_n >= COOKIE_NAMES)
        return 0;
    attr_of_message(f->fs, m, &st, &timeout);
    attr_entry(&st, timeout, &e);
    return add(f, m->name, &e, cookie);
}

static int add_local(void *arg, const char *name, const struct fuse_entry_param *e)
{
    struct fill *f = arg;
    return add_bare(f, name, e->attr.st_ino, e->attr.st_mode, COOKIE_LOCAL | ++f->locals);
}

static int fill_rows(struct fill *f, fuse_ino_t ino)
{
    cache_rd *rd = cache_reader(f->fs->cache);
    if (!rd)
        return -EIO;
    int r = add_dots(f, ino, ino_dir(ino_mailbox(ino), SUB_BOX));
    if (r)
        return r;
    /* Other names of the row that the last answer ended with may be left. */
    int64_t after_id = f->after < COOKIE_NAMES ? 0 : (f->after >> COOKIE_NAME_BITS) - 1;
    return message_each(rd, ino_mailbox(ino), ino_sub(ino), after_id, add_message, f);
}

static int fill_messages(struct fill *f, fuse_ino_t ino)
{
    int r = f->after < COOKIE_LOCAL ? fill_rows(f, ino) : 0;
    return r ? r : local_list(f->fs->local, name_local_area(ino), false, add_local, f);
}

/* ---- the root, mailboxes, .mailmount ---- */

struct entry {
    struct entry *next;
    const char *name;
    fuse_ino_t ino;
    mode_t type;
};

struct listing {
    struct listing *next; /* protected by listings_lock */
    struct arena arena;
    struct entry *first, **last;
};

static int capture(struct listing *l, const char *name, fuse_ino_t ino, mode_t type)
{
    struct entry *e = arena_alloc(&l->arena, 1, sizeof(*e));
    if (!e || !(e->name = arena_strdup(&l->arena, name)))
        return -ENOMEM;
    e->ino = ino;
    e->type = type & S_IFMT;
    *l->last = e;
    l->last = &e->next;
    return 0;
}

static int capture_dir(void *arg, const char *name, uint64_t ino)
{
    return capture(arg, name, ino, S_IFDIR);
}

static int capture_local(void *arg, const char *name, const struct fuse_entry_param *e)
{
    struct listing *l = arg;
    /* A mailbox of that name hides it, as in lookup. */
    for (const struct entry *i = l->first; i; i = i->next) {
        if (strcmp(i->name, name) == 0)
            return 0;
    }
    return capture(l, name, e->attr.st_ino, e->attr.st_mode);
}

static int capture_virtual(struct fs *fs, struct listing *l)
{
    fuse_ino_t ino;
    struct stat st;
    const char *name;
    int r = 0;
    for (unsigned i = 0; r == 0 && (name = virtual_name(i, &ino)); i++) {
        if (virtual_attr(fs, ino, &st) == 0)
            r = capture(l, name, ino, st.st_mode);
    }
    return r;
}

static int capture_all(struct fs *fs, struct listing *l, fuse_ino_t ino)
{
    arena_finish(&l->arena);
    *l = (struct listing){.first = NULL};
    l->last = &l->first;
    if (ino == VIRTUAL_DIR)
        return capture_virtual(fs, l);
    cache_rd *rd = cache_reader(fs->cache);
    int r = rd ? tree_each(rd, fs->o.layout, ino_mailbox(ino), capture_dir, l) : -EIO;
    return r < 0 ? r : local_list(fs->local, ino_mailbox(ino), false, capture_local, l);
}

/* In the flat layout names of the root must be asked for each time anyway; local files are looked up, since
 * that counts. */
static int add_entry(struct fill *f, fuse_ino_t dir, const struct entry *i, off_t cookie)
{
    struct fuse_entry_param e;
    struct stat st;
    double timeout;
    bool full = f->plus && ino_is_dir(i->ino) && attr_entry_timeout(f->fs, dir, i->name) > 0;
    if (!full || attr_get(f->fs, i->ino, &st, &timeout) < 0)
        return add_bare(f, i->name, i->ino, i->type, cookie);
    attr_entry(&st, timeout, &e);
    return add(f, i->name, &e, cookie);
}

static int fill_listing(struct fill *f, struct listing *l, fuse_ino_t ino)
{
    int r = f->after == 0 || !l->last ? capture_all(f->fs, l, ino) : 0;
    if (r == 0)
        r = add_dots(f, ino, INO_ROOT);
    off_t cookie = COOKIE_DOT_DOT;
    for (const struct entry *i = l->first; i && r == 0; i = i->next) {
        if (++cookie > f->after)
            r = add_entry(f, ino, i, cookie);
    }
    return r;
}

/* ---- operations ---- */

static bool has_listing(fuse_ino_t ino)
{
    return ino == VIRTUAL_DIR || (ino_is_dir(ino) && ino_sub(ino) == SUB_BOX);
}

/* Those that are open are known: when the mount ends, nobody says that they are not needed any more. */
static void listing_enter(struct fs *fs, struct listing *l)
{
    pthread_mutex_lock(&fs->listings_lock);
    l->next = fs->listings;
    fs->listings = l;
    pthread_mutex_unlock(&fs->listings_lock);
}

static void listing_leave(struct fs *fs, struct listing *l)
{
    pthread_mutex_lock(&fs->listings_lock);
    struct listing **at = &fs->listings;
    while (*at && *at != l)
        at = &(*at)->next;
    if (*at)
        *at = l->next;
    pthread_mutex_unlock(&fs->listings_lock);
    arena_finish(&l->arena);
    free(l);
}

void listings_finish(struct fs *fs)
{
    while (fs->listings)
        listing_leave(fs, fs->listings);
    pthread_mutex_destroy(&fs->listings_lock);
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (ino_is_local(ino)) {
        local_opendir(fs_of(req)->local, req, ino, fi);
        return;
    }
    struct listing *l = has_listing(ino) ? calloc(1, sizeof(*l)) : NULL;
    if (has_listing(ino) && !l) {
        reply_err(req, -ENOMEM);
        return;
    }
    if (l)
        listing_enter(fs_of(req), l);
    fi->fh = (uintptr_t)l;
    fi->cache_readdir = fi->keep_cache = ino != VIRTUAL_DIR;
    if (fuse_reply_open(req, fi) == -ENOENT && l)
        listing_leave(fs_of(req), l);
}

static void read_dir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi,
                     bool plus)
{
    struct fs *fs = fs_of(req);
    if (ino_is_local(ino)) {
        local_readdir(fs->local, req, ino, size, off, fi, plus);
        return;
    }
    struct fill f = {.req = req, .fs = fs, .buffer = malloc(size), .size = size, .plus = plus, .after = off};
    if (!f.buffer) {
        reply_err(req, -ENOMEM);
        return;
    }
    struct listing *l = (struct listing *)(uintptr_t)fi->fh;
    reply_fill(&f, l ? fill_listing(&f, l, ino) : fill_messages(&f, ino));
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    read_dir(req, ino, size, off, fi, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    read_dir(req, ino, size, off, fi, true);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (ino_is_local(ino)) {
        local_releasedir(fs_of(req)->local, req, ino, fi);
        return;
    }
    struct listing *l = (struct listing *)(uintptr_t)fi->fh;
    if (l)
        listing_leave(fs_of(req), l);
    reply_err(req, 0);
}

/* The names of mail are the cache's, and those of local files have a directory of their own. */
static int sync_dir(struct fs *fs, fuse_ino_t ino)
{
    loop_will_wait();
    int r = cache_sync(fs->cache);
    return r < 0 || !ino_is_dir(ino) ? r : local_sync(fs->local, name_local_area(ino));
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    if (ino_is_local(ino))
        local_fsyncdir(fs->local, req, ino, datasync, fi);
    else
        reply_err(req, sync_dir(fs, ino));
}
