/*
 * Open files: what is behind a handle is in files.h and content.c.
 *
 * A failure belongs in open: a body that is not here is fetched there (park.h), and a read can only fail with
 * the disk. Close is where a written message becomes durable: FLUSH comes for each close(2), before it
 * returns.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "apply.h"
#include "clock.h"
#include "files.h"
#include "loop.h"
#include "mail_place.h"
#include "park.h"

/* A handle is its file, and in the lowest bit whether it may write. */
static uint64_t handle_make(struct open_file *f, bool writes)
{
    return (uintptr_t)f | writes;
}

static struct open_file *handle_file(const struct fuse_file_info *fi)
{
    return (struct open_file *)(uintptr_t)(fi->fh & ~(uint64_t)1);
}

static bool handle_writes(const struct fuse_file_info *fi)
{
    return fi->fh & 1;
}

/* The handle takes over the caller's use of the file. Unclaims it. */
static void make_handle(struct fs *fs, struct open_file *f, bool writes, struct fuse_file_info *fi)
{
    files_yield(fs->files, f);
    fi->fh = handle_make(f, writes);
    fi->keep_cache = 1;
    fi->noflush = !writes;
}

/* Undoes files_enter and the beginning of writing. */
static void abandon(struct fs *fs, struct open_file *f, bool writes)
{
    if (writes)
        content_end_write(fs->files, f);
    files_yield(fs->files, f);
    files_leave(fs->files, f);
}

static void close_handle(struct fs *fs, struct fuse_file_info *fi)
{
    struct open_file *f = handle_file(fi);
    files_claim(fs->files, f);
    abandon(fs, f, handle_writes(fi));
}

/* ---- open ---- */

/* The case 92: a mailbox that the server lets nobody write to. */
static int check_writable(struct fs *fs, int64_t id)
{
    struct message m;
    cache_rd *rd = cache_reader(fs->cache);
    int r = rd ? message_get(rd, id, &m) : -EIO;
    if (r < 0 || m.state == MESSAGE_GONE)
        return r == -ENOENT ? 0 : r; /* open already, by /proc: its content is nobody else's */
    struct mail_place at = {.mailbox = m.mailbox, .sub = m.sub, .name = m.name};
    return mail_check_place(rd, &at);
}

static int open_claimed(struct fs *fs, struct open_file *f, int flags)
{
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    int r = writes ? check_writable(fs, f->id) : 0;
    if (r == 0 && !(writes && (flags & O_TRUNC)))
        return content_open(fs->files, f);
    if (r == 0)
        r = content_begin_write(fs->files, f, false);
    return r;
}

static int open_message(struct fs *fs, fuse_ino_t ino, struct fuse_file_info *fi)
{
    bool writes = (fi->flags & O_ACCMODE) != O_RDONLY;
    struct open_file *f = files_enter(fs->files, (int64_t)ino);
    if (!f)
        return -ENOMEM;
    if (writes)
        files_writer_begin(fs->files, f);
    int r = open_claimed(fs, f, fi->flags);
    if (r < 0) {
        abandon(fs, f, writes);
        return r;
    }
    if (writes && (fi->flags & O_TRUNC))
        files_changed(f);
    make_handle(fs, f, writes, fi);
    return 0;
}

static void reply_open(fuse_req_t req, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    /* An interrupted open is not released by the kernel. */
    if (fuse_reply_open(req, fi) == -ENOENT)
        close_handle(fs, fi);
}

/* What a client may hear: bodies that are lost are no stale handles, unless the message is. */
static int open_errno(int err)
{
    return err == -ENODEV ? -ENOENT : err == -ENOENT || err == -ESTALE ? -EIO : err;
}

struct opening {
    fuse_ino_t ino;
    int64_t since_ms;
    struct fuse_file_info fi;
};

static void park_open(fuse_req_t req, fuse_ino_t ino, const struct fuse_file_info *fi, int64_t since_ms);

static void open_after_fetch(fuse_req_t req, void *arg, int err)
{
    struct opening *o = arg;
    int r = err < 0 ? err : open_message(fs_of(req), o->ino, &o->fi);
    bool away = err == -EAGAIN || (err == 0 && r == -ENOENT); /* on the move, or evicted again */
    if (r == 0)
        reply_open(req, &o->fi);
    else if (away && park_again(o->since_ms))
        park_open(req, o->ino, &o->fi, o->since_ms);
    else if (err == -EAGAIN)
        reply_err(req, -ETIMEDOUT);
    else
        reply_err(req, err < 0 ? err : open_errno(r));
    free(o);
}

static void park_open(fuse_req_t req, fuse_ino_t ino, const struct fuse_file_info *fi, int64_t since_ms)
{
    struct opening *o = malloc(sizeof(*o));
    if (!o) {
        reply_err(req, -ENOMEM);
        return;
    }
    *o = (struct opening){.ino = ino, .fi = *fi, .since_ms = since_ms};
    park_wait(fs_of(req)->park, req, (int64_t)ino, open_after_fetch, o);
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    if (ino_is_local(ino)) {
        local_open(fs->local, req, ino, fi);
        return;
    }
    if (virtual_is(ino)) {
        virtual_open(req, ino, fi);
        return;
    }
    int r = open_message(fs, ino, fi);
    if (r == 0)
        reply_open(req, fi);
    else if (r == -ENOENT || r == -ESTALE)
        park_open(req, ino, fi, clock_boot_ms());
    else
        reply_err(req, open_errno(r));
}

/* ---- create ---- */

static int open_new(struct fs *fs, int64_t id, struct fuse_file_info *fi)
{
    struct open_file *f = files_enter(fs->files, id);
    if (!f)
        return -ENOMEM;
    files_writer_begin(fs->files, f);
    int r = content_create(fs->files, f);
    if (r < 0) {
        abandon(fs, f, true);
        return r;
    }
    /* Also a handle that only reads counts as a writer: it holds the file as it was made. */
    make_handle(fs, f, true, fi);
    return 0;
}

static void create_mail(fuse_req_t req, fuse_ino_t parent, const char *name, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    struct mail_place at = name_place(parent, name);
    struct message made;
    struct fuse_entry_param e;
    struct stat st;
    double timeout;
    int r = apply_create(fs, &at, &made);
    if (r == 0) {
        r = open_new(fs, made.id, fi);
        if (r < 0)
            apply_forget(fs, made.id);
    }
    if (r < 0) {
        /* The kernel asked because it knew of no such name: without O_EXCL it is to look again. */
        reply_err(req, r == -EEXIST && !(fi->flags & O_EXCL) ? -ESTALE : r);
        return;
    }
    attr_of_message(fs, &made, &st, &timeout);
    attr_entry(&st, timeout, &e);
    if (fuse_reply_create(req, &e, fi) == -ENOENT)
        close_handle(fs, fi);
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    enum name_kind kind = name_kind(fs, parent, name);
    if (kind == NAME_MAIL) {
        create_mail(req, parent, name, fi);
        return;
    }
    fuse_ino_t local = kind == NAME_LOCAL ? name_local_parent(fs, parent, true) : 0;
    if (local)
        local_create(fs->local, req, local, name, mode, fi);
    else
        reply_err(req, kind == NAME_LOCAL ? -EIO : -EPERM);
}

/* ---- read and write ---- */

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    if (ino_is_local(ino)) {
        local_read(fs_of(req)->local, req, ino, size, off, fi);
        return;
    }
    if (virtual_is(ino)) {
        virtual_read(req, size, off, fi);
        return;
    }
    struct fuse_bufvec out = FUSE_BUFVEC_INIT(size);
    out.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
    out.buf[0].fd = handle_file(fi)->fd;
    out.buf[0].pos = off;
    fuse_reply_data(req, &out, FUSE_BUF_SPLICE_MOVE);
}

/* A writer keeps `writing` set once it is: the usual case needs no claim. */
static int begin_write(struct fs *fs, struct open_file *f)
{
    if (atomic_load(&f->writing))
        return 0;
    files_claim(fs->files, f);
    int r = content_begin_write(fs->files, f, true);
    files_yield(fs->files, f);
    return r;
}

void op_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *in, off_t off,
                  struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    if (ino_is_local(ino)) {
        local_write_buf(fs->local, req, ino, in, off, fi);
        return;
    }
    struct open_file *f = handle_file(fi);
    int r = content_check_size(fs->cache, off + (off_t)fuse_buf_size(in));
    if (r == 0)
        r = begin_write(fs, f);
    if (r < 0) {
        reply_err(req, r);
        return;
    }
    struct fuse_bufvec out = FUSE_BUFVEC_INIT(fuse_buf_size(in));
    out.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
    out.buf[0].fd = f->fd;
    out.buf[0].pos = off;
    ssize_t n = fuse_buf_copy(&out, in, 0);
    files_changed(f);
    if (n < 0)
        reply_err(req, (int)n);
    else
        fuse_reply_write(req, (size_t)n);
}

static int allocate(struct fs *fs, struct open_file *f, int mode, off_t off, off_t length)
{
    int r = content_check_size(fs->cache, off + length);
    if (r == 0)
        r = begin_write(fs, f);
    if (r == 0 && fallocate(f->fd, mode, off, length) < 0)
        r = -errno;
    files_changed(f);
    return r;
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t length,
                  struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    if (ino_is_local(ino))
        local_fallocate(fs->local, req, ino, mode, off, length, fi);
    else
        reply_err(req, allocate(fs, handle_file(fi), mode, off, length));
}

/* ---- flush, fsync, release ---- */

static int store(struct fs *fs, struct open_file *f, bool sync)
{
    files_claim(fs->files, f);
    int r = content_store(fs->files, f, sync);
    files_yield(fs->files, f);
    return r;
}

void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    if (ino_is_local(ino)) {
        local_flush(fs->local, req, ino, fi);
        return;
    }
    if (virtual_is(ino) || !handle_writes(fi))
        reply_err(req, 0);
    else
        reply_err(req, store(fs, handle_file(fi), content_is_mail(fs->files, (int64_t)ino)));
}

/* What is in tmp is no mail yet: its octets go to disk now, so that little is left to do when it is
 * delivered, which puts its name and its row there (apply_mail.c). */
static int sync_file(struct fs *fs, struct open_file *f, int64_t id)
{
    if (atomic_load(&f->writing) && !content_is_mail(fs->files, id)) {
        files_claim(fs->files, f);
        int r = content_sync_octets(f);
        files_yield(fs->files, f);
        return r;
    }
    loop_will_wait();
    int r = store(fs, f, true);
    return r < 0 ? r : cache_sync(fs->cache);
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    if (ino_is_local(ino)) {
        local_fsync(fs->local, req, ino, datasync, fi);
        return;
    }
    if (virtual_is(ino))
        reply_err(req, 0);
    else
        reply_err(req, sync_file(fs, handle_file(fi), (int64_t)ino));
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    if (ino_is_local(ino)) {
        local_release(fs->local, req, ino, fi);
        return;
    }
    if (virtual_is(ino)) {
        virtual_release(req, fi);
        return;
    }
    close_handle(fs, fi);
    reply_err(req, 0);
}
