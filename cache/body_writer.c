#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "body_store.h"
#include "private.h"
#include "wire.h"

/*
 * Octets are gathered into blocks, so that a message costs few system calls however it is cut on the way
 * here; one that fits into a block costs a single write.
 *
 * Whether the LF form is exact is known only at the end. Until the first LF without CR, it is; so only the LF
 * form is written, and when that LF comes, the wire form so far is rebuilt from it and kept in a second file.
 */
struct body_file_out {
    int fd; /* -1: not begun */
    char tmp[BODY_TMP_MAX];
};

struct body_writer {
    struct body_store *store;
    struct wire_sum sum;
    struct wire_to_lf lf;
    struct body_file_out served; /* LF form; not begun when the store keeps wire forms only */
    struct body_file_out wire;
    int64_t lf_size;
    int err; /* sticky */
    size_t held;
    char in[BODY_BLOCK];
    char out[BODY_BLOCK + 1];
};

void body_writer_free(struct body_writer *w)
{
    if (!w)
        return;
    wire_sum_finish(&w->sum);
    free(w);
}

static struct body_writer *writer_take(struct body_store *s)
{
    pthread_mutex_lock(&s->lock);
    struct body_writer *w = s->spare;
    s->spare = NULL;
    pthread_mutex_unlock(&s->lock);
    if (w)
        return w;
    w = malloc(sizeof(*w));
    if (w)
        w->sum.md = NULL;
    return w;
}

static void writer_give_back(struct body_writer *w)
{
    struct body_store *s = w->store;
    pthread_mutex_lock(&s->lock);
    struct body_writer *other = s->spare;
    s->spare = w;
    pthread_mutex_unlock(&s->lock);
    body_writer_free(other);
}

static int out_begin(struct body_writer *w, struct body_file_out *o)
{
    int fd = body_tmp_open(w->store, o->tmp);
    if (fd < 0)
        return fd;
    o->fd = fd;
    return 0;
}

static void out_drop(struct body_writer *w, struct body_file_out *o)
{
    if (o->fd < 0)
        return;
    unlinkat(w->store->tmpfd, o->tmp, 0);
    io_close(&o->fd);
}

int body_writer_open(struct cache *c, struct body_writer **ret)
{
    struct body_writer *w = writer_take(c->bodies);
    if (!w)
        return -ENOMEM;
    w->store = c->bodies;
    w->lf = (struct wire_to_lf){0};
    w->served.fd = w->wire.fd = -1;
    w->lf_size = 0;
    w->err = 0;
    w->held = 0;
    int r = wire_sum_begin(&w->sum, w->store);
    if (r == 0)
        r = out_begin(w, w->store->wire_only ? &w->wire : &w->served);
    if (r < 0) {
        body_writer_free(w);
        return r;
    }
    *ret = w;
    return 0;
}

/* All before this block was exact, so that its LF form holds all of it but for a CR that waits for its LF. */
static int begin_wire(struct body_writer *w, bool held_cr)
{
    int r = out_begin(w, &w->wire);
    if (r == 0)
        r = body_copy_wire(w->served.fd, w->wire.fd, true);
    if (r == 0 && held_cr)
        r = io_write_full(w->wire.fd, "\r", 1);
    return r;
}

static int write_lf(struct body_writer *w, const char *in, size_t length)
{
    struct wire_to_lf before = w->lf;
    size_t n = wire_to_lf(&w->lf, in, length, w->out);
    int r = w->lf.bare_lf && !before.bare_lf ? begin_wire(w, before.held_cr) : 0;
    if (r < 0)
        return r;
    w->lf_size += (int64_t)n;
    return io_write_full(w->served.fd, w->out, n);
}

/* At most BODY_BLOCK octets. */
static int write_block(struct body_writer *w, const char *in, size_t length)
{
    int r = wire_sum_feed(&w->sum, in, length);
    if (r == 0 && w->served.fd >= 0)
        r = write_lf(w, in, length);
    if (r == 0 && w->wire.fd >= 0)
        r = io_write_full(w->wire.fd, in, length);
    return r;
}

static int write_held(struct body_writer *w)
{
    size_t n = w->held;
    w->held = 0;
    return n > 0 ? write_block(w, w->in, n) : 0;
}

int body_writer_write(struct body_writer *w, const void *wire, size_t length)
{
    for (const char *at = wire; length > 0 && w->err == 0;) {
        size_t n = BODY_BLOCK - w->held;
        if (n > length)
            n = length;
        if (n == BODY_BLOCK) {
            w->err = write_block(w, at, n);
        } else {
            memcpy(w->in + w->held, at, n);
            w->held += n;
            if (w->held == BODY_BLOCK)
                w->err = write_held(w);
        }
        at += n;
        length -= n;
    }
    return w->err;
}

static int writer_end(struct body_writer *w)
{
    int r = w->err < 0 ? w->err : write_held(w);
    if (r == 0 && w->served.fd >= 0) {
        size_t n = wire_to_lf_end(&w->lf, w->out);
        w->lf_size += (int64_t)n;
        r = io_write_full(w->served.fd, w->out, n);
    }
    return r;
}

/* Some file systems tell only at close that the disk is full. */
static int out_place(struct body_writer *w, struct body_file_out *o, const char *name)
{
    int fd = o->fd;
    o->fd = -1;
    int r = close(fd) < 0 ? -errno : body_place(w->store, o->tmp, name, false);
    if (r < 0)
        unlinkat(w->store->tmpfd, o->tmp, 0);
    return r;
}

/* The wire form first: a file in LF form without it would be taken for whole. */
static int writer_place(struct body_writer *w, struct body_info *info)
{
    char name[BODY_NAME_MAX];
    bool wire = w->wire.fd >= 0, served = w->served.fd >= 0;
    info->form = !wire ? MESSAGE_LF : served ? MESSAGE_BOTH : MESSAGE_WIRE;
    info->size = served ? w->lf_size : info->wire_size;
    int r = 0;
    if (wire) {
        body_name(info->hash, BODY_FILE_WIRE, name);
        r = out_place(w, &w->wire, name);
    }
    if (r == 0 && served) {
        body_name(info->hash, BODY_FILE_LF, name);
        r = out_place(w, &w->served, name);
    }
    return r;
}

int body_writer_finish(struct body_writer *w, struct body_info *ret)
{
    struct body_info info = {0};
    int r = writer_end(w);
    if (r == 0)
        r = wire_sum_end(&w->sum, &info);
    if (r == 0)
        r = writer_place(w, &info);
    body_writer_abort(w);
    if (r == 0)
        *ret = info;
    return r;
}

void body_writer_abort(struct body_writer *w)
{
    if (!w)
        return;
    out_drop(w, &w->served);
    out_drop(w, &w->wire);
    writer_give_back(w);
}
