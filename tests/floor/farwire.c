/*
 * A line that is long, and not narrow, for tools/bench.
 *
 *   farwire TARGET-PORT ROUND-TRIP-MS      prints its own port, and forwards until its standard input ends
 *
 * Each piece that comes in on 127.0.0.1 goes out half a round trip later, however many are on the way; and
 * what connects waits for a round trip, as a handshake does. It must cost next to nothing: what is measured
 * at its ends shares the machine with it.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PIECE 65536
#define ON_THE_WAY ((size_t)256 << 20)
#define NS 1000000000

static struct timespec delay; /* one way */
static struct sockaddr_in target;

struct piece {
    struct piece *next;
    struct timespec due;
    size_t length; /* 0: the end */
    char octets[];
};

/* One direction of one connection: a thread that reads, and one that writes later. */
struct lane {
    int from, to;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct piece *first, **last;
    size_t octets;
    bool closed; /* nobody takes it any more */
    pthread_t reader;
};

struct connection {
    int client, server;
    struct lane there, back;
};

static struct timespec later(struct timespec t, struct timespec by)
{
    t.tv_sec += by.tv_sec;
    t.tv_nsec += by.tv_nsec;
    if (t.tv_nsec >= NS) {
        t.tv_sec++;
        t.tv_nsec -= NS;
    }
    return t;
}

static struct piece *receive(struct lane *l)
{
    static _Thread_local char buffer[PIECE];
    ssize_t n = recv(l->from, buffer, sizeof(buffer), 0);
    size_t length = n > 0 ? (size_t)n : 0;
    struct piece *p = malloc(sizeof(*p) + length);
    if (!p)
        err(1, "no memory");
    p->next = NULL;
    p->length = length;
    memcpy(p->octets, buffer, length);
    clock_gettime(CLOCK_MONOTONIC, &p->due);
    p->due = later(p->due, delay);
    return p;
}

static void *read_lane(void *arg)
{
    struct lane *l = arg;
    bool more = true;
    while (more) {
        struct piece *p = receive(l);
        pthread_mutex_lock(&l->lock);
        while (l->octets > ON_THE_WAY && !l->closed)
            pthread_cond_wait(&l->changed, &l->lock);
        more = p->length > 0 && !l->closed;
        *l->last = p;
        l->last = &p->next;
        l->octets += p->length;
        pthread_cond_broadcast(&l->changed);
        pthread_mutex_unlock(&l->lock);
    }
    return NULL;
}

static struct piece *take(struct lane *l)
{
    pthread_mutex_lock(&l->lock);
    while (!l->first)
        pthread_cond_wait(&l->changed, &l->lock);
    struct piece *p = l->first;
    l->first = p->next;
    if (!l->first)
        l->last = &l->first;
    l->octets -= p->length;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    return p;
}

static bool deliver(const struct lane *l, const struct piece *p)
{
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &p->due, NULL) == EINTR)
        ;
    for (size_t at = 0; at < p->length;) {
        ssize_t n = send(l->to, p->octets + at, p->length - at, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return p->length > 0;
}

/* The other direction ends by itself, when the other side has closed. */
static void *write_lane(void *arg)
{
    struct lane *l = arg;
    bool more = true;
    while (more) {
        struct piece *p = take(l);
        more = deliver(l, p);
        free(p);
    }
    pthread_mutex_lock(&l->lock);
    l->closed = true;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    shutdown(l->to, SHUT_WR);
    shutdown(l->from, SHUT_RD);
    pthread_join(l->reader, NULL);
    while (l->first) {
        struct piece *p = l->first;
        l->first = p->next;
        free(p);
    }
    return NULL;
}

static void begin_lane(struct lane *l, int from, int to)
{
    const int on = 1;
    *l = (struct lane){.from = from, .to = to, .last = &l->first};
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    setsockopt(to, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (pthread_create(&l->reader, NULL, read_lane, l) != 0)
        errx(1, "no more threads");
}

static void *connect_both(void *arg)
{
    struct connection *c = arg;
    pthread_t writer;
    struct timespec round_trip = later(delay, delay);
    clock_nanosleep(CLOCK_MONOTONIC, 0, &round_trip, NULL);
    c->server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->server >= 0 && connect(c->server, (struct sockaddr *)&target, sizeof(target)) == 0) {
        begin_lane(&c->there, c->client, c->server);
        begin_lane(&c->back, c->server, c->client);
        if (pthread_create(&writer, NULL, write_lane, &c->there) != 0)
            errx(1, "no more threads");
        write_lane(&c->back);
        pthread_join(writer, NULL);
    }
    close(c->server);
    close(c->client);
    free(c);
    return NULL;
}

static void *accept_all(void *arg)
{
    const int *listener = arg;
    for (;;) {
        pthread_t thread;
        struct connection *c = calloc(1, sizeof(*c));
        if (!c)
            err(1, "no memory");
        c->client = accept4(*listener, NULL, NULL, SOCK_CLOEXEC);
        if (c->client < 0 && errno != ECONNABORTED)
            err(1, "accept");
        if (c->client < 0) {
            free(c);
            continue;
        }
        if (pthread_create(&thread, NULL, connect_both, c) != 0)
            errx(1, "no more threads");
        pthread_detach(thread);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    char end;
    pthread_t thread;
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(own);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (argc != 3)
        errx(2, "usage: farwire TARGET-PORT ROUND-TRIP-MS");
    target = own;
    target.sin_port = htons((uint16_t)atoi(argv[1]));
    long half_ns = atol(argv[2]) * 500000;
    delay = (struct timespec){.tv_sec = half_ns / NS, .tv_nsec = half_ns % NS};
    if (bind(listener, (struct sockaddr *)&own, sizeof(own)) < 0 || listen(listener, 64) < 0 ||
        getsockname(listener, (struct sockaddr *)&own, &size) < 0 ||
        pthread_create(&thread, NULL, accept_all, &listener) != 0)
        err(1, "127.0.0.1");
    printf("%d\n", ntohs(own.sin_port));
    fflush(stdout);
    while (read(STDIN_FILENO, &end, 1) > 0)
        ;
    return 0;
}
