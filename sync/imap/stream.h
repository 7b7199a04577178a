#pragma once
/*
 * The octets between us and the server: a TCP socket, or a tunnel command's standard input and output, plain
 * or under TLS. libetpan reads and writes through it as a mailstream; so do our own commands (exchange.h).
 *
 * Nothing here blocks for good: a read or write that makes no progress for idle_ms fails with -ETIMEDOUT, and
 * a cancel ends it within milliseconds with -ECANCELED. The first failure is kept in err and every later call
 * repeats it, so that a session that broke anywhere is broken everywhere, whatever libetpan made of it.
 *
 * Thread: one, but for cancel_set.
 */
#include <libetpan/libetpan.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "config.h"
#include "deflate.h"
#include "fault.h"
#include "guard.h"

/* A flag that wakes a poll. Sticky until cleared. */
struct cancel {
    int fd; /* eventfd */
    atomic_bool set;
};
int cancel_init(struct cancel *c);
void cancel_finish(struct cancel *c);
void cancel_set(struct cancel *c);   /* any thread */
void cancel_clear(struct cancel *c); /* the owner, when nothing waits */
bool cancel_is_set(const struct cancel *c);

struct ssl_st;

struct stream {
    int fd;                  /* non-blocking */
    pid_t child;             /* the tunnel's shell and its process group, 0 for none */
    struct ssl_st *ssl;      /* NULL: plain */
    struct deflate *deflate; /* NULL: nobody has asked for COMPRESS */
    struct cancel *cancel;   /* the worker's */
    int idle_ms;
    int err; /* the first failure, negative errno, sticky */
    struct guard guard;
    uint64_t in, out; /* octets, of what goes over the line: compressed, but not encrypted */
    mailstream *mail; /* what libetpan sees; owns this stream once made */
};

/* Waits for POLLIN or POLLOUT until a deadline on CLOCK_BOOTTIME: 0, -ETIMEDOUT, -ECANCELED. */
int stream_poll(int fd, short events, const struct cancel *cancel, int64_t deadline_ms);

/* Takes the connected socket; NULL without memory (the socket is then closed). */
struct stream *stream_new(int fd, pid_t child, struct cancel *cancel, int idle_ms);
void stream_free(struct stream *s); /* NULL is allowed; not after stream_mailstream */

/* At least one octet: the count, or a negative errno; end of file is -ECONNRESET. */
ssize_t stream_read(struct stream *s, void *out, size_t size);
int stream_write(struct stream *s, const void *data, size_t length); /* all of it */

/* Waits for something to read: 1, 0 when the deadline passed (the stream is as good as before), or a negative
 * errno. */
int stream_wait(struct stream *s, int64_t deadline_ms);

/* COMPRESS is about to be sent (deflate.h). What was read before must have been taken. 0, -ENOMEM. */
int stream_ask_deflate(struct stream *s);

/* Wraps it for libetpan: closing the mailstream frees the stream. NULL without memory. */
mailstream *stream_mailstream(struct stream *s);

/* connect.c. 0, or a negative errno with f set. */
int stream_connect(const char *host, uint16_t port, int connect_ms, struct cancel *cancel, int *ret_fd,
                   struct fault *f);
int stream_tunnel(const char *command, int *ret_fd, pid_t *ret_child, struct fault *f);

/* tls.c: the handshake, with the account's idea of whom to trust. Fills the two texts for people, also when
 * it ends for a certificate that is not trusted. 0, or a negative errno with f set: then nothing was sent
 * under TLS but the handshake. */
int stream_start_tls(struct stream *s, const struct config_account *a, char tls[128], char certificate[512],
                     struct fault *f);
