#pragma once
/*
 * SIGINT, SIGTERM and SIGHUP end a mount cleanly: they are blocked in all threads, and one thread waits for
 * them.
 */
#include <pthread.h>
#include <signal.h>

struct fs;

enum stop_phase {
    STOP_STARTING, /* nothing is mounted: a signal ends the process at once, as a crash would, which the cache
                      survives */
    STOP_MOUNTED,  /* a signal ends the file system's loop */
    STOP_ENDING,   /* it is ending already */
    STOP_OVER,     /* the thread is to end */
};

struct stop {
    pthread_t thread;
    sigset_t signals, before;
    pthread_mutex_t lock;
    enum stop_phase phase; /* protected by lock */
    struct fs *fs;         /* protected by lock; while STOP_MOUNTED */
};

int stop_start(struct stop *s); /* before other threads start: they inherit the blocked signals */
void stop_mounted(struct stop *s, struct fs *fs);
void stop_ending(struct stop *s);
void stop_finish(struct stop *s);
