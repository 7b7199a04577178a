/*
 * A look-up has two owners: the caller who waits, and the thread that asks the resolver. Whoever is last
 * frees it, so that neither has to wait for the other. A program that ends does not wait for such threads
 * either: they touch nothing but their look-up, and as long as they run it counts as in use.
 */
#include "lookup.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include "io.h"

#define STACK_BYTES (512 * 1024) /* the resolver's plug-ins are other people's code */

struct lookup {
    atomic_int owners;
    atomic_int error; /* EAI_...; EAI_INPROGRESS until all is written, by the thread */
    struct addrinfo *all;
    int fd; /* eventfd; wakes the caller */
    char service[8];
    char host[];
};

static atomic_int running;

static const struct addrinfo usual = {
    .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
static const struct addrinfo numeric = {
    .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_NUMERICHOST};

static int lookup_new(const char *host, const char *service, struct lookup **ret)
{
    struct lookup *l = calloc(1, sizeof *l + strlen(host) + 1);
    if (l == NULL)
        return -ENOMEM;
    strcpy(l->host, host);
    snprintf(l->service, sizeof l->service, "%s", service);
    atomic_init(&l->owners, 1);
    atomic_init(&l->error, EAI_INPROGRESS);
    l->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (l->fd < 0) {
        int r = -errno;
        free(l);
        return r;
    }
    *ret = l;
    return 0;
}

static void lookup_leave(struct lookup *l)
{
    if (atomic_fetch_sub(&l->owners, 1) > 1)
        return;
    if (l->all != NULL)
        freeaddrinfo(l->all);
    io_close(&l->fd);
    free(l);
}

static void *lookup_main(void *arg)
{
    struct lookup *l = arg;
    struct addrinfo *all = NULL;
    int error = getaddrinfo(l->host, l->service, &usual, &all);
    l->all = error == 0 ? all : NULL;
    atomic_store(&l->error, error);
    eventfd_write(l->fd, 1);
    lookup_leave(l);
    atomic_fetch_sub(&running, 1);
    return NULL;
}

/* No signal is delivered to a thread that might be anywhere in the resolver: it inherits a full mask. */
static int lookup_create_thread(struct lookup *l)
{
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    int r = pthread_attr_init(&attributes);
    if (r != 0)
        return -r;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&thread, &attributes, lookup_main, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -r;
}

static int lookup_start(struct lookup *l)
{
    int r = -EBUSY;
    atomic_fetch_add(&l->owners, 1);
    if (atomic_fetch_add(&running, 1) < LOOKUPS_MAX)
        r = lookup_create_thread(l);
    if (r == 0)
        return 0;
    atomic_fetch_sub(&running, 1);
    lookup_leave(l);
    return r;
}

static int lookup_no_answer(const char *host, int err, struct fault *f)
{
    return fault_set(f, FAULT_UNAVAILABLE, err, "%s: cannot resolve: no answer (check host, and the network)",
                     host);
}

static int lookup_wait(struct lookup *l, const struct cancel *cancel, int64_t deadline_ms,
                       struct addrinfo **ret, struct fault *f)
{
    int r = stream_poll(l->fd, POLLIN, cancel, deadline_ms);
    if (r < 0)
        return lookup_no_answer(l->host, r, f);
    int error = atomic_load(&l->error);
    if (error != 0)
        return fault_set(f, FAULT_UNAVAILABLE, -EHOSTUNREACH,
                         "%s: cannot resolve: %s (check host, and the network)", l->host,
                         gai_strerror(error));
    *ret = l->all;
    l->all = NULL;
    return 0;
}

/* Why there could be no look-up at all. */
static int lookup_fault(const char *host, int err, struct fault *f)
{
    if (err == -EBUSY)
        return lookup_no_answer(host, err, f);
    if (err == -ENOMEM)
        return fault_set(f, FAULT_AGAIN, err, "%s: no memory", host);
    return fault_set(f, FAULT_AGAIN, err, "%s: cannot resolve: no thread: %s (try again)", host,
                     strerror(-err));
}

int lookup_host(const char *host, uint16_t port, const struct cancel *cancel, int64_t deadline_ms,
                struct addrinfo **ret, struct fault *f)
{
    char service[8];
    struct addrinfo *all;
    struct lookup *l = NULL;
    snprintf(service, sizeof service, "%u", port);
    if (getaddrinfo(host, service, &numeric, &all) == 0) {
        *ret = all;
        return 0;
    }
    int r = lookup_new(host, service, &l);
    if (r < 0)
        return lookup_fault(host, r, f);
    r = lookup_start(l);
    r = r < 0 ? lookup_fault(host, r, f) : lookup_wait(l, cancel, deadline_ms, ret, f);
    lookup_leave(l);
    return r;
}
