/*
 * What FUSE itself costs, for tools/bench: a Maildir tree of the disk, served from memory.
 *
 *   floorfs [--open] [--usual] TREE MOUNTPOINT
 *
 * It stays in the foreground, until it is unmounted or a signal asks it to end.
 *
 * It answers the kernel as mailmount does (entries and attributes for ever, cached listings, opens that keep
 * pages and need no flush), but has nothing to find out for it: the tree is walked once, before it is
 * mounted, and must not change. An open is a request and an answer. Only when the kernel has no pages, the
 * native file is opened, for that one read, which most messages fit in. What changes files is done to the
 * native ones, and what is in memory follows. What a program needs longer here than in the tree itself, no
 * file system in user space can save it that wants to be told of opens; what it needs longer in mailmount
 * than here is mailmount's.
 *
 * It takes requests as mailmount does, too (fs/loop.h); with --usual as most file systems do, by libfuse's
 * loop.
 *
 * With --open each open is also one of the native file, as in a file system that passes through: whoever is
 * to know that a file is there, and to hold it while it is read, needs that.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "loop.h"

#define FOREVER_S (86400.0 * 365)
#define BUCKETS (1u << 18)

/* Inode numbers for the kernel are places in `nodes`, and so are the cookies of a listing, which the root is
 * never part of. What programs are shown are the native inode numbers: some read in their order. */
enum { NOBODY, ROOT = FUSE_ROOT_ID, DOT = ROOT, DOT_DOT, FIRST_ENTRY };

struct node {
    struct stat st;
    const char *path, *name; /* the name is the end of the path */
    unsigned parent;
    unsigned first, last; /* of a directory's entries, which go on by next */
    unsigned next, previous, next_in_bucket;
};

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
/* Protected by lock once it is mounted. Paths and names that were replaced are never freed. */
static struct node *nodes;
static unsigned count = FIRST_ENTRY, room, buckets[BUCKETS];

static bool opens; /* --open; does not change */

/* ---- the tree ---- */

static unsigned *bucket_of(unsigned dir, const char *name)
{
    uint32_t hash = 2166136261u ^ dir; /* FNV-1a */
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return &buckets[hash % BUCKETS];
}

static void link_entry(unsigned number)
{
    struct node *entry = &nodes[number], *dir = &nodes[entry->parent];
    unsigned *bucket = bucket_of(entry->parent, entry->name);
    entry->next_in_bucket = *bucket;
    *bucket = number;
    *(dir->last ? &nodes[dir->last].next : &dir->first) = number;
    entry->previous = dir->last;
    dir->last = number;
}

static void unlink_entry(unsigned number)
{
    struct node *entry = &nodes[number], *dir = &nodes[entry->parent];
    unsigned *at = bucket_of(entry->parent, entry->name);
    while (*at != number)
        at = &nodes[*at].next_in_bucket;
    *at = entry->next_in_bucket;
    *(entry->previous ? &nodes[entry->previous].next : &dir->first) = entry->next;
    *(entry->next ? &nodes[entry->next].previous : &dir->last) = entry->previous;
    entry->next = entry->next_in_bucket = NOBODY;
}

static void make_room(unsigned number)
{
    if (number < room)
        return;
    room = 2 * room + 4096;
    nodes = reallocarray(nodes, room, sizeof(*nodes));
    if (!nodes)
        err(1, "%u files", number);
}

/* Its number is left where its own entries find it. */
static void add_node(FTSENT *f)
{
    bool root = f->fts_level == FTS_ROOTLEVEL;
    unsigned number = root ? ROOT : count++;
    make_room(number);
    const char *path = strdup(f->fts_path);
    if (!path)
        err(1, "%s", f->fts_path);
    struct node *made = &nodes[number];
    *made = (struct node){.st = *f->fts_statp, .path = path};
    made->name = path + f->fts_pathlen - f->fts_namelen;
    made->parent = root ? ROOT : (unsigned)f->fts_parent->fts_number;
    f->fts_number = number;
    if (!root)
        link_entry(number);
}

static void walk(char *tree)
{
    FTS *fts = fts_open((char *[]){tree, NULL}, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    FTSENT *f;
    while (fts && (f = fts_read(fts))) {
        if (f->fts_info == FTS_D || f->fts_info == FTS_F)
            add_node(f);
        else if (f->fts_info != FTS_DP)
            errx(1, "%s: neither a file nor a directory that can be read", f->fts_path);
    }
    if (errno)
        err(1, "%s", tree);
    fts_close(fts);
}

/* ---- names and attributes ---- */

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    (void)userdata;
    conn->want &= ~(unsigned)FUSE_CAP_READDIRPLUS_AUTO;
    conn->want |= conn->capable & (FUSE_CAP_READDIRPLUS | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_PARALLEL_DIROPS);
}

/* Of NOBODY: the kernel may remember that there is no such name. */
static struct fuse_entry_param entry_of(unsigned number)
{
    struct fuse_entry_param e = {.ino = number, .attr_timeout = FOREVER_S, .entry_timeout = FOREVER_S};
    if (number != NOBODY)
        e.attr = nodes[number].st;
    return e;
}

/* NOBODY: there is none. */
static unsigned find(unsigned parent, const char *name)
{
    unsigned i = *bucket_of(parent, name);
    while (i && (nodes[i].parent != parent || strcmp(nodes[i].name, name) != 0))
        i = nodes[i].next_in_bucket;
    return i;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    pthread_rwlock_rdlock(&lock);
    struct fuse_entry_param e = entry_of(find((unsigned)parent, name));
    pthread_rwlock_unlock(&lock);
    fuse_reply_entry(req, &e);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    pthread_rwlock_rdlock(&lock);
    struct stat st = nodes[ino].st;
    pthread_rwlock_unlock(&lock);
    fuse_reply_attr(req, &st, FOREVER_S);
}

/* ---- directories ---- */

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    fi->cache_readdir = fi->keep_cache = 1;
    fuse_reply_open(req, fi);
}

static unsigned cookie_after(unsigned dir, unsigned cookie)
{
    if (cookie < DOT_DOT)
        return cookie + 1;
    return cookie == DOT_DOT ? nodes[dir].first : nodes[cookie].next;
}

/* Returns how much room it needs; if that is too much, it was not added. */
static size_t add_entry(fuse_req_t req, char *at, size_t space, unsigned dir, unsigned cookie, bool plus)
{
    const char *name = cookie == DOT ? "." : cookie == DOT_DOT ? ".." : nodes[cookie].name;
    struct fuse_entry_param e = entry_of(cookie == DOT       ? dir
                                         : cookie == DOT_DOT ? nodes[dir].parent
                                                             : cookie);
    if (cookie < FIRST_ENTRY)
        e.ino = NOBODY; /* the kernel knows them */
    return plus ? fuse_add_direntry_plus(req, at, space, name, &e, cookie)
                : fuse_add_direntry(req, at, space, name, &e.attr, cookie);
}

static void read_dir(fuse_req_t req, fuse_ino_t dir, size_t size, off_t off, bool plus)
{
    char *buffer = malloc(size);
    size_t used = 0, need;
    if (!buffer) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    pthread_rwlock_rdlock(&lock);
    unsigned cookie = off < count ? (unsigned)off : NOBODY;
    while ((cookie = cookie_after((unsigned)dir, cookie))) {
        need = add_entry(req, buffer + used, size - used, (unsigned)dir, cookie, plus);
        if (need > size - used)
            break;
        used += need;
    }
    pthread_rwlock_unlock(&lock);
    fuse_reply_buf(req, buffer, used);
    free(buffer);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    (void)fi;
    read_dir(req, ino, size, off, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    (void)fi;
    read_dir(req, ino, size, off, true);
}

/* ---- files ---- */

static int open_native(fuse_ino_t ino)
{
    pthread_rwlock_rdlock(&lock);
    const char *path = nodes[ino].path;
    pthread_rwlock_unlock(&lock);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if ((fi->flags & O_ACCMODE) != O_RDONLY) {
        fuse_reply_err(req, EROFS); /* but for those that are new */
        return;
    }
    int fd = opens ? open_native(ino) : -1;
    if (opens && fd < 0) {
        fuse_reply_err(req, errno);
        return;
    }
    fi->fh = (uint64_t)fd;
    fi->keep_cache = fi->noflush = 1;
    fuse_reply_open(req, fi);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    if ((int)fi->fh >= 0)
        close((int)fi->fh);
    fuse_reply_err(req, 0);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    int own = (int)fi->fh < 0 ? open_native(ino) : -1;
    int fd = own < 0 ? (int)fi->fh : own;
    if (fd < 0) {
        fuse_reply_err(req, errno);
        return;
    }
    struct fuse_bufvec out = FUSE_BUFVEC_INIT(size);
    out.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
    out.buf[0].fd = fd;
    out.buf[0].pos = off;
    fuse_reply_data(req, &out, FUSE_BUF_SPLICE_MOVE);
    if (own >= 0)
        close(own);
}

/* ---- changes ---- */

/* The caller holds the lock; NULL without memory. */
static char *path_in(fuse_ino_t parent, const char *name)
{
    const char *dir = nodes[parent].path;
    size_t size = strlen(dir) + strlen(name) + 2;
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s/%s", dir, name);
    return path;
}

static void name_node(unsigned number, fuse_ino_t parent, char *path)
{
    nodes[number].path = path;
    nodes[number].name = strrchr(path, '/') + 1;
    nodes[number].parent = (unsigned)parent;
    link_entry(number);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    struct fuse_entry_param e = {0};
    pthread_rwlock_wrlock(&lock);
    char *path = path_in(parent, name);
    int fd = path ? open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode) : -1;
    int error = fd < 0 ? errno : 0;
    if (fd >= 0) {
        unsigned number = count++;
        make_room(number);
        nodes[number] = (struct node){0};
        fstat(fd, &nodes[number].st);
        name_node(number, parent, path);
        e = entry_of(number);
    }
    pthread_rwlock_unlock(&lock);
    fi->fh = (uint64_t)fd;
    fi->keep_cache = fi->noflush = 1;
    if (fd < 0)
        fuse_reply_err(req, error);
    else
        fuse_reply_create(req, &e, fi);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *octets, size_t size, off_t off,
                     struct fuse_file_info *fi)
{
    ssize_t n = pwrite((int)fi->fh, octets, size, off);
    if (n < 0) {
        fuse_reply_err(req, errno);
        return;
    }
    pthread_rwlock_wrlock(&lock);
    if (nodes[ino].st.st_size < off + n)
        nodes[ino].st.st_size = off + n;
    pthread_rwlock_unlock(&lock);
    fuse_reply_write(req, (size_t)n);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)ino;
    int r = datasync ? fdatasync((int)fi->fh) : fsync((int)fi->fh);
    fuse_reply_err(req, r < 0 ? errno : 0);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)datasync;
    (void)fi;
    int fd = open(nodes[ino].path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = fd < 0 || fsync(fd) < 0 ? errno : 0;
    close(fd);
    fuse_reply_err(req, error);
}

/* Of a file, to a name that nobody has. */
static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
                      const char *newname, unsigned flags)
{
    (void)flags;
    pthread_rwlock_wrlock(&lock);
    unsigned number = find((unsigned)parent, name);
    char *path = number && !find((unsigned)newparent, newname) ? path_in(newparent, newname) : NULL;
    int error = !path ? EINVAL : rename(nodes[number].path, path) < 0 ? errno : 0;
    if (error == 0) {
        unlink_entry(number);
        name_node(number, newparent, path);
    }
    pthread_rwlock_unlock(&lock);
    fuse_reply_err(req, error);
}

static const struct fuse_lowlevel_ops ops = {
    .init = op_init,
    .lookup = op_lookup,
    .getattr = op_getattr,
    .opendir = op_opendir,
    .readdir = op_readdir,
    .readdirplus = op_readdirplus,
    .open = op_open,
    .read = op_read,
    .release = op_release,
    .create = op_create,
    .write = op_write,
    .fsync = op_fsync,
    .fsyncdir = op_fsyncdir,
    .rename = op_rename,
};

/* ---- the end ---- */

static struct loop *loop;

static void on_signal(int signal)
{
    (void)signal;
    loop_exit(loop);
}

static int run_usual(struct fuse_session *se)
{
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    if (!config || fuse_set_signal_handlers(se) != 0)
        return -1;
    fuse_loop_cfg_set_idle_threads(config, 10);
    fuse_loop_cfg_set_clone_fd(config, 0);
    int r = fuse_session_loop_mt(se, config); /* more than 0: the signal that has ended it */
    fuse_remove_signal_handlers(se);
    fuse_loop_cfg_destroy(config);
    return r < 0 ? r : 0;
}

static int run(struct fuse_session *se)
{
    struct sigaction end = {.sa_handler = on_signal};
    int r = loop_new(&loop);
    if (r < 0)
        return r;
    sigaction(SIGTERM, &end, NULL);
    sigaction(SIGINT, &end, NULL);
    sigaction(SIGHUP, &end, NULL);
    return loop_run(loop, se);
}

int main(int argc, char **argv)
{
    char *options[] = {"floorfs", "-o", "default_permissions,subtype=floorfs,fsname=floorfs"};
    struct fuse_args args = FUSE_ARGS_INIT(3, options);
    bool usual = false;
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        opens = opens || strcmp(argv[i], "--open") == 0;
        usual = usual || strcmp(argv[i], "--usual") == 0;
    }
    if (argc - i != 2)
        errx(2, "usage: floorfs [--open] [--usual] TREE MOUNTPOINT");
    walk(argv[i]);
    struct fuse_session *se = fuse_session_new(&args, &ops, sizeof(ops), NULL);
    if (!se || fuse_session_mount(se, argv[i + 1]) != 0)
        return 1; /* libfuse has said why */
    int r = usual ? run_usual(se) : run(se);
    fuse_session_unmount(se);
    fuse_session_destroy(se);
    fuse_opt_free_args(&args);
    return r < 0;
}
