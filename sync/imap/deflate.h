#pragma once
/*
 * Both directions of a connection under COMPRESS=DEFLATE (RFC 4978), as raw DEFLATE streams by zlib.
 *
 * It stands between the transport and who reads lines. From the moment in which COMPRESS is sent, what comes
 * is handed out a line at a time and no further: what follows the server's OK is compressed already, and
 * must not have been taken for text. Each end flushes what it writes, so that nothing waits in a compressor.
 *
 * Thread: the session's. No I/O.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "buf.h"

struct deflate;

/* As when COMPRESS has just been sent; NULL without memory. */
struct deflate *deflate_new(void);
void deflate_free(struct deflate *d); /* NULL is allowed */

/* The server's answer has been read. Without its OK everything goes on as it was. */
void deflate_agreed(struct deflate *d, bool ok);
bool deflate_is_on(const struct deflate *d);      /* the server said OK */
bool deflate_has_worked(const struct deflate *d); /* and something came that could be inflated */
bool deflate_is_damaged(const struct deflate *d); /* what came cannot be inflated */

/* Where what comes from the transport is to be put, and how much at most; deflate_came tells how much came.
 * Only after deflate_take has returned 0. */
void *deflate_space(struct deflate *d, size_t *ret_size);
void deflate_came(struct deflate *d, size_t length);

/* What there is to read of what came: a count, 0 when more has to come first, -ECONNRESET at the end that the
 * server has given it, -EPROTO when it is damaged, -ENOMEM. */
ssize_t deflate_take(struct deflate *d, void *out, size_t size);
/* Is there something to read? 1, 0, or as deflate_take. */
int deflate_ready(struct deflate *d);

/* Adds to `out` what is to be sent for these octets: nothing of them is held back. 0, -ENOMEM. */
int deflate_pack(struct deflate *d, const void *data, size_t length, struct buf *out);
