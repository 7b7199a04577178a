#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "body_store.h"
#include "private.h"
#include "wire.h"
#include "work.h"

#define READER_BLOCK ((size_t)32 * 1024)

struct body_reader {
    int fd;
    bool convert, exact;
    struct wire_from_file state;
    int64_t left;   /* octets that the row says are still to come */
    bool mismatch;  /* the file is not as long as that */
    int err;        /* sticky */
    size_t at, end; /* of what waits in out */
    char in[READER_BLOCK];
    char out[2 * READER_BLOCK];
};

/* The file that the wire form is read from: as it is, or by putting CR before LF. */
static enum body_file file_of_wire(enum message_form form)
{
    switch (form) {
    case MESSAGE_LF:
        return BODY_FILE_LF;
    case MESSAGE_OWN:
        return BODY_FILE_OWN;
    default:
        return BODY_FILE_WIRE;
    }
}

int body_reader_open(struct cache *c, const struct message *m, struct body_reader **ret)
{
    if (!m->has_hash)
        return -ENOENT;
    struct body_reader *r = malloc(sizeof(*r));
    if (!r)
        return -ENOMEM;
    enum body_file file = file_of_wire(m->form);
    r->fd = body_file_open(c->bodies, m->hash, file);
    if (r->fd < 0) {
        int err = r->fd;
        free(r);
        return err;
    }
    r->convert = file != BODY_FILE_WIRE;
    r->exact = file == BODY_FILE_LF;
    r->state = (struct wire_from_file){0};
    r->left = m->wire_size;
    r->mismatch = false;
    r->err = 0;
    r->at = r->end = 0;
    *ret = r;
    return 0;
}

void body_reader_close(struct body_reader *r)
{
    if (!r)
        return;
    io_close(&r->fd);
    free(r);
}

/* 0 with something in out, or at the end of the file with nothing. */
static int refill(struct body_reader *r)
{
    char *target = r->convert ? r->in : r->out;
    ssize_t n = io_read_full(r->fd, target, READER_BLOCK);
    if (n < 0)
        return (int)n;
    r->at = 0;
    r->end = r->convert ? wire_from_file(&r->state, r->exact, r->in, (size_t)n, r->out) : (size_t)n;
    return 0;
}

static int mismatch(struct body_reader *r)
{
    r->mismatch = true;
    return -EIO;
}

static ssize_t read_some(struct body_reader *r, char *out, size_t size)
{
    if (r->at == r->end) {
        int err = refill(r);
        if (err < 0)
            return err;
    }
    size_t n = r->end - r->at;
    if ((int64_t)n > r->left || (n == 0 && r->left > 0))
        return mismatch(r);
    if (n > size)
        n = size;
    memcpy(out, r->out + r->at, n);
    r->at += n;
    r->left -= (int64_t)n;
    if (n == 0 || r->left > 0)
        return (ssize_t)n;
    /* That was the last of it: it is given away only when the file ends here too. */
    int err = refill(r);
    if (err < 0)
        return err;
    return r->end > 0 ? mismatch(r) : (ssize_t)n;
}

ssize_t body_reader_read(struct body_reader *r, void *out, size_t size)
{
    if (r->err < 0)
        return r->err;
    if (size == 0)
        return 0;
    ssize_t n = read_some(r, out, size);
    if (n < 0)
        r->err = (int)n;
    return n;
}

/* 1: damaged, 0: whole, -errno. */
static int check_hash(struct body_store *s, struct body_reader *r, const uint8_t hash[BODY_HASH])
{
    CLEANUP(wire_sum_finish) struct wire_sum sum = {0};
    struct body_info found;
    int err = wire_sum_begin(&sum, s);
    char block[16 * 1024];
    ssize_t n;
    while (err == 0 && (n = body_reader_read(r, block, sizeof(block))) != 0)
        err = n < 0 ? (int)n : wire_sum_feed(&sum, block, (size_t)n);
    if (r->mismatch)
        return 1;
    if (err == 0)
        err = wire_sum_end(&sum, &found);
    return err < 0 ? err : memcmp(found.hash, hash, BODY_HASH) != 0;
}

/* Of a message with both forms: is the one that is served what the wire form gives? 1: no, 0: yes, -errno. */
static int check_served(struct body_reader *r, int served)
{
    char block[16 * 1024], lf[sizeof(block) + 1], have[sizeof(lf)];
    struct wire_to_lf state = {0};
    off_t at = 0;
    ssize_t n;
    do {
        n = body_reader_read(r, block, sizeof(block));
        if (n < 0)
            return (int)n;
        size_t length = n > 0 ? wire_to_lf(&state, block, (size_t)n, lf) : wire_to_lf_end(&state, lf);
        ssize_t got = io_pread_full(served, have, length, at);
        if (got < 0)
            return (int)got;
        if ((size_t)got != length || memcmp(have, lf, length) != 0)
            return 1;
        at += got;
    } while (n > 0);
    return io_pread_full(served, have, 1, at) != 0;
}

static int verify_wire(struct cache *c, const struct message *m)
{
    struct body_reader *r;
    int err = body_reader_open(c, m, &r);
    if (err < 0)
        return err;
    err = check_hash(c->bodies, r, m->hash);
    body_reader_close(r);
    return err;
}

static int verify_both(struct cache *c, const struct message *m, int served)
{
    struct body_reader *r;
    int err = body_reader_open(c, m, &r);
    if (err < 0)
        return err;
    err = check_served(r, served);
    body_reader_close(r);
    return err;
}

/* Damaged bodies are kept for a look, not used again: with its name free, the body can be fetched anew. */
static int move_aside(struct body_store *s, const uint8_t hash[BODY_HASH], enum body_file file)
{
    char name[BODY_NAME_MAX], aside[sizeof("damaged/") + BODY_NAME_MAX];
    body_name(hash, file, name);
    snprintf(aside, sizeof(aside), "damaged/%.2s%s", name, name + 3);
    if (mkdirat(s->dirfd, "damaged", 0700) < 0 && errno != EEXIST)
        return -errno;
    if (renameat(s->dirfd, name, s->dirfd, aside) < 0 && errno != ENOENT)
        return -errno;
    return 0;
}

static int condemn(struct body_store *s, const struct message *m)
{
    int err = move_aside(s, m->hash, body_file_served(m->form));
    if (err == 0 && m->form == MESSAGE_BOTH)
        err = move_aside(s, m->hash, BODY_FILE_WIRE);
    return err < 0 ? err : -ESTALE;
}

int body_verify(struct cache *c, const struct message *m)
{
    CLEANUP(io_close) int served = body_open(c, m);
    if (served == -ESTALE)
        return condemn(c->bodies, m);
    if (served < 0)
        return served;
    if (m->state == MESSAGE_WRITING)
        return 0;
    int damaged = verify_wire(c, m);
    if (damaged == 0 && m->form == MESSAGE_BOTH)
        damaged = verify_both(c, m, served);
    return damaged > 0 ? condemn(c->bodies, m) : damaged;
}
