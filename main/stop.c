#include "stop.h"

#include <errno.h>
#include <unistd.h>

#include "fault.h"
#include "fs.h"
#include "log.h"

/* Returns false when the thread is to end. */
static bool act(struct stop *s, int signal)
{
    pthread_mutex_lock(&s->lock);
    enum stop_phase phase = s->phase;
    if (phase == STOP_MOUNTED)
        fs_exit(
            s->fs); /* under the lock: afterwards fs may be gone. It only sets a flag and wakes the loop */
    pthread_mutex_unlock(&s->lock);
    if (phase == STOP_STARTING)
        _exit(FAULT_AGAIN);
    if (phase == STOP_MOUNTED)
        log_info("signal %d: unmounting", signal);
    return phase != STOP_OVER;
}

static void *wait_for_signals(void *arg)
{
    struct stop *s = arg;
    int signal;
    do {
        signal = sigwaitinfo(&s->signals, NULL);
    } while (signal < 0 || act(s, signal));
    return NULL;
}

static void set_phase(struct stop *s, enum stop_phase phase, struct fs *fs)
{
    pthread_mutex_lock(&s->lock);
    s->phase = phase;
    s->fs = fs;
    pthread_mutex_unlock(&s->lock);
}

int stop_start(struct stop *s)
{
    *s = (struct stop){.phase = STOP_STARTING};
    pthread_mutex_init(&s->lock, NULL);
    sigemptyset(&s->signals);
    sigaddset(&s->signals, SIGINT);
    sigaddset(&s->signals, SIGTERM);
    sigaddset(&s->signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &s->signals, &s->before);
    int r = -pthread_create(&s->thread, NULL, wait_for_signals, s);
    if (r < 0) {
        pthread_sigmask(SIG_SETMASK, &s->before, NULL);
        pthread_mutex_destroy(&s->lock);
    }
    return r;
}

void stop_mounted(struct stop *s, struct fs *fs)
{
    set_phase(s, STOP_MOUNTED, fs);
}

void stop_ending(struct stop *s)
{
    set_phase(s, STOP_ENDING, NULL);
}

void stop_finish(struct stop *s)
{
    set_phase(s, STOP_OVER, NULL);
    pthread_kill(s->thread, SIGTERM); /* any of the signals wakes it */
    pthread_join(s->thread, NULL);
    pthread_mutex_destroy(&s->lock);
}
