/* Mounting, the loop, and the end of both. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "buf.h"
#include "events.h"
#include "files.h"
#include "io.h"
#include "log.h"
#include "loop.h"
#include "mountpoint.h"
#include "overhear.h"
#include "park.h"

static void set_greeting(struct fs *fs, int greeting)
{
    pthread_mutex_lock(&fs->greeting_lock);
    fs->greeting = greeting;
    pthread_cond_broadcast(&fs->greeted);
    pthread_mutex_unlock(&fs->greeting_lock);
}

int fs_wait_ready(struct fs *fs)
{
    pthread_mutex_lock(&fs->greeting_lock);
    while (fs->greeting == FS_SILENT)
        pthread_cond_wait(&fs->greeted, &fs->greeting_lock);
    int r = fs->greeting == FS_GREETED ? 0 : -EIO;
    pthread_mutex_unlock(&fs->greeting_lock);
    return r;
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    set_greeting(userdata, FS_GREETED);
    /* Who lists a Maildir wants its attributes next: all of them, and not the first page only. */
    conn->want &= ~(unsigned)FUSE_CAP_READDIRPLUS_AUTO;
    /* It would cost each request a system call, to save copying of those that write much. */
    conn->want &= ~(unsigned)FUSE_CAP_SPLICE_READ;
    conn->want |= conn->capable & (FUSE_CAP_READDIRPLUS | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_PARALLEL_DIROPS);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
    if (ino_is_local(ino))
        local_forget(fs_of(req)->local, ino, nlookup);
    fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++) {
        if (ino_is_local(forgets[i].ino))
            local_forget(fs_of(req)->local, forgets[i].ino, forgets[i].nlookup);
    }
    fuse_reply_none(req);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    if (ino_is_local(ino))
        local_readlink(fs_of(req)->local, req, ino);
    else
        reply_err(req, -EINVAL);
}

/* What is not here libfuse answers with ENOSYS, once a mount: extended attributes, and locks, which are then
 * the kernel's. */
const struct fuse_lowlevel_ops fs_ops = {
    .init = op_init,
    .lookup = op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = op_getattr,
    .setattr = op_setattr,
    .readlink = op_readlink,
    .mknod = op_mknod,
    .mkdir = op_mkdir,
    .unlink = op_unlink,
    .rmdir = op_rmdir,
    .symlink = op_symlink,
    .rename = op_rename,
    .link = op_link,
    .open = op_open,
    .create = op_create,
    .read = op_read,
    .write_buf = op_write_buf,
    .flush = op_flush,
    .release = op_release,
    .fsync = op_fsync,
    .fallocate = op_fallocate,
    .opendir = op_opendir,
    .readdir = op_readdir,
    .readdirplus = op_readdirplus,
    .releasedir = op_releasedir,
    .fsyncdir = op_fsyncdir,
    .statfs = op_statfs,
};

/* ---- options ---- */

/* A comma in a value would begin another option. */
static void add_escaped(struct buf *b, const char *text)
{
    for (; *text; text++) {
        if (*text == ',' || *text == '\\')
            buf_add(b, "\\", 1);
        buf_add(b, text, 1);
    }
}

static char *option_list(const struct fs_options *o)
{
    struct buf b = {0};
    buf_adds(&b, "default_permissions,subtype=mailmount,fsname=mailmount#");
    add_escaped(&b, o->account);
    if (o->read_only)
        buf_adds(&b, ",ro");
    if (o->allow_other)
        buf_adds(&b, ",allow_other");
    if (o->allow_root)
        buf_adds(&b, ",allow_root");
    if (o->auto_unmount)
        buf_adds(&b, ",auto_unmount");
    if (o->debug)
        buf_adds(&b, ",debug");
    if (o->extra && *o->extra)
        buf_addf(&b, ",%s", o->extra);
    char *list = buf_take(&b);
    buf_finish(&b);
    return list;
}

static int new_session(struct fs *fs)
{
    int r = -ENOMEM;
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    char *list = option_list(&fs->o);
    if (list && fuse_opt_add_arg(&args, "mailmount") == 0 && fuse_opt_add_arg(&args, "-o") == 0 &&
        fuse_opt_add_arg(&args, list) == 0) {
        fs->se = fuse_session_new(&args, &fs_ops, sizeof(fs_ops), fs);
        r = fs->se ? 0 : -EINVAL;
    }
    free(list);
    fuse_opt_free_args(&args);
    return r;
}

static int copy_options(struct fs *fs, const struct fs_options *o)
{
    fs->o = *o;
    fs->o.mountpoint = realpath(o->mountpoint, NULL);
    fs->o.account = strdup(o->account ? o->account : "");
    fs->o.extra = o->extra ? strdup(o->extra) : NULL;
    return fs->o.mountpoint && fs->o.account && (fs->o.extra || !o->extra) ? 0 : -ENOMEM;
}

static void local_changed(void *arg, fuse_ino_t dir)
{
    attr_dir_changed(arg, dir);
}

static int make_parts(struct fs *fs)
{
    int r = files_new(fs->cache, &fs->files);
    if (r == 0)
        r = park_new(fs, &fs->park);
    if (r == 0)
        r = local_new(fs->cache, fs->o.read_only, &fs->local);
    if (r == 0)
        local_on_change(fs->local, local_changed, fs);
    if (r == 0)
        r = loop_new(&fs->loop);
    return r == 0 ? events_new(fs, &fs->events) : r;
}

/* libfuse and fusermount3 give no reason but on standard error. */
static int mount_session(struct fs *fs, struct fault *f)
{
    struct overhear o;
    struct buf said = {0};
    overhear_begin(&o);
    int r = new_session(fs);
    bool options_taken = r == 0;
    if (r == 0 && fuse_session_mount(fs->se, fs->o.mountpoint) != 0)
        r = -EPERM;
    fs->mounted = r == 0;
    overhear_end(&o, r < 0 ? &said : NULL);
    if (r == -ENOMEM)
        fault_set(f, FAULT_IO, r, "mount: out of memory");
    else if (r < 0 && !options_taken)
        fault_set(f, FAULT_USAGE, r, "mount options: %s", said.data);
    else if (r < 0)
        r = mountpoint_explain_failure(fs->o.mountpoint, said.data, f);
    buf_finish(&said);
    return r;
}

int fs_mount(struct cache *c, const struct fs_options *o, struct fs **ret, struct fault *f)
{
    int r = mountpoint_prepare(o->mountpoint, f);
    if (r < 0)
        return r;
    struct fs *fs = calloc(1, sizeof(*fs));
    if (!fs)
        return fault_set(f, FAULT_IO, -ENOMEM, "mount: out of memory");
    pthread_mutex_init(&fs->listings_lock, NULL);
    pthread_mutex_init(&fs->greeting_lock, NULL);
    pthread_cond_init(&fs->greeted, NULL);
    fs->cache = c;
    fs->uid = getuid();
    fs->gid = getgid();
    r = copy_options(fs, o);
    if (r == 0)
        r = make_parts(fs);
    if (r < 0)
        fault_set(f, FAULT_IO, r, "mount %s: %s", o->mountpoint, strerror(-r));
    else
        r = mount_session(fs, f);
    if (r < 0) {
        fs_unmount(fs);
        return r;
    }
    *ret = fs;
    return 0;
}

static int run_loop(struct fs *fs)
{
    int r = park_start(fs->park);
    if (r == 0)
        r = events_start(fs->events);
    return r == 0 ? loop_run(fs->loop, fs->se) : r;
}

int fs_loop(struct fs *fs)
{
    int r = run_loop(fs);
    set_greeting(fs, FS_ENDED);
    return r;
}

void fs_exit(struct fs *fs)
{
    park_exit(fs->park);
    events_exit(fs->events);
}

/* Ends the connection to the kernel, so that nobody waits for it any more, and keeps its descriptor's number
 * from being given to another file while threads that answer requests or tell the kernel something may still
 * write to it. One that the kernel has ended is left as it is: by that libfuse knows that there is nothing to
 * unmount. */
static void sever(struct fs *fs)
{
    struct pollfd state = {.fd = fuse_session_fd(fs->se)};
    if (poll(&state, 1, 0) == 1 && (state.revents & POLLERR))
        return;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup3(null, state.fd, O_CLOEXEC) < 0)
        log_warning("unmounting: %s", strerror(errno));
    io_close(&null);
}

void fs_unmount(struct fs *fs)
{
    if (!fs)
        return;
    if (fs->mounted)
        sever(fs);
    events_stop(fs->events);
    park_free(fs->park);
    if (fs->mounted)
        fuse_session_unmount(fs->se);
    events_free(fs->events);
    if (fs->se)
        fuse_session_destroy(fs->se);
    loop_free(fs->loop);
    virtual_finish(fs);
    listings_finish(fs);
    pthread_cond_destroy(&fs->greeted);
    pthread_mutex_destroy(&fs->greeting_lock);
    files_free(fs->files);
    local_free(fs->local);
    free((char *)fs->o.mountpoint);
    free((char *)fs->o.account);
    free((char *)fs->o.extra);
    free(fs);
}
