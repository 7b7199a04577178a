#include "account.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control.h"
#include "hung.h"
#include "imap.h"
#include "io.h"
#include "log.h"
#include "mailbox.h"
#include "work.h"

#define LOG_MAX_BYTES (10 << 20)
#define GOES_MS 50     /* a process whose connection was ended goes at once: */
#define GOES_TRIES 200 /* ten seconds */

static struct worker *new_worker(void *arg)
{
    struct account *a = arg;
    return imap_worker_new(a->config, cache_keywords(a->cache), &a->worker_memory);
}

static int stop_at_first(void *arg, const struct mailbox *m)
{
    (void)arg;
    (void)m;
    return 1;
}

static int look_what_is_known(struct account *a)
{
    cache_rd *rd = cache_reader(a->cache);
    if (!rd)
        return -EIO;
    atomic_store(&a->worker_memory, cache_meta_get(rd, "worker_memory", 0));
    int r = mailbox_each(rd, -1, 0, stop_at_first, NULL);
    if (r < 0)
        return r;
    a->fresh = r == 0;
    return 0;
}

/* Who has it? A mount answers on its control socket. */
static int already_in_use(const struct config_account *config, struct fault *f)
{
    json_t *answer = NULL;
    pid_t pid = 0;
    if (control_call(config->data_dir, "status", 2000, &answer, &pid) < 0)
        return fault_set(f, FAULT_AGAIN, -EBUSY, "account %s: in use by another process (wait for it to end)",
                         config->name);
    const char *mountpoint = json_string_value(json_object_get(answer, "mountpoint"));
    fault_set(f, FAULT_AGAIN, -EBUSY, "account %s: already mounted on %s, pid %d (mailmount umount it first)",
              config->name, mountpoint ? mountpoint : "?", (int)pid);
    json_decref(answer);
    return -EBUSY;
}

/* Somebody has the cache. If that was killed and hangs, it is helped to go. */
static int open_after_the_hung(struct account *a, const struct cache_options *options, struct fault *f)
{
    int r = hung_end(a->config->data_dir, f);
    if (r <= 0)
        return r < 0 ? r : already_in_use(a->config, f);
    r = -EBUSY;
    for (int tries = 0; r == -EBUSY && tries < GOES_TRIES; tries++) {
        usleep(GOES_MS * 1000);
        r = cache_open(options, &a->cache, f);
    }
    return r;
}

static int open_cache(struct account *a, bool serves, struct fault *f)
{
    struct cache_options options = {.dir = a->config->data_dir,
                                    .exclusive = serves,
                                    .note_use = a->config->cache_limit > 0,
                                    .wire_bodies = a->config->line_endings == CONFIG_CRLF};
    int r = cache_open(&options, &a->cache, f);
    if (r == -EBUSY)
        r = open_after_the_hung(a, &options, f);
    if (r < 0 && f && f->text[0] == '\0')
        return fault_set(f, FAULT_IO, r, "account %s: cache %s: %s", a->config->name, options.dir,
                         strerror(-r));
    return r;
}

int account_open(struct account *a, const struct config_account *config, bool serves, struct fault *f)
{
    *a = (struct account){.config = config};
    signal(SIGPIPE, SIG_IGN); /* a server that hangs up is an error of write, no reason to die */
    signal(SIGXFSZ, SIG_IGN); /* and so is a limit on the size of files */
    int r = open_cache(a, serves, f);
    if (r < 0)
        return r;
    r = work_recover(a->cache);
    if (r == 0)
        r = look_what_is_known(a);
    if (r < 0) {
        fault_set(f, FAULT_IO, r, "account %s: cache %s: %s", config->name, config->data_dir, strerror(-r));
        account_close(a);
        return r;
    }
    a->engine = engine_new(a->cache, config, new_worker, a);
    if (!a->engine) {
        account_close(a);
        return fault_set(f, FAULT_AGAIN, -ENOMEM, "account %s: no memory", config->name);
    }
    return 0;
}

void account_close(struct account *a)
{
    if (a->cache)
        work_settle_rest(a->cache); /* before the engine goes, which hears of each commit */
    engine_free(a->engine);
    cache_close(a->cache);
    *a = (struct account){0};
}

int account_probe(struct account *a, struct fault *f)
{
    struct worker *w = new_worker(a);
    if (!w)
        return fault_set(f, FAULT_AGAIN, -ENOMEM, "account %s: no memory", a->config->name);
    struct fault why = {0};
    int r = w->ops->open(w, &why) == WORKER_DONE ? 0 : -ENOTCONN;
    w->ops->destroy(w);
    if (r < 0)
        *f = why;
    return r;
}

int account_log_to_file(struct account *a)
{
    struct stat st;
    int dirfd = cache_dirfd(a->cache);
    if (fstatat(dirfd, "log", &st, 0) == 0 && st.st_size > LOG_MAX_BYTES)
        renameat(dirfd, "log", dirfd, "log.1");
    int fd = openat(dirfd, "log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    log_to(fd, a->config->log_level); /* open until the process ends */
    return 0;
}
