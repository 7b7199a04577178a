/*
 * The life of a mount, and its order:
 *
 *   signals blocked, cache opened (its lock makes this process the account's only one), work files recovered,
 *   control socket, server asked for its mailboxes if none is known (else nothing here waits for the
 * network), mounted, engine, loop, and when the kernel gets an answer: "ready".
 *
 * The end comes from outside (umount, fusermount3 -u) or by a signal, and goes backwards. The engine stops
 * before the file system goes, for it tells that one of every commit; the cache closes last, when nothing can
 * write any more.
 */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "account.h"
#include "ask.h"
#include "buf.h"
#include "clock.h"
#include "command.h"
#include "control.h"
#include "decide.h"
#include "fs.h"
#include "hung.h"
#include "io.h"
#include "log.h"
#include "mailbox.h"
#include "mounts.h"
#include "progress.h"
#include "status.h"
#include "stop.h"
#include "text.h"

#define LOG_SHOWN_BYTES 65536
#define TICK_MS 200
#define SLICE_MS 60000
#define OUT_OF_REACH_MS 3000
#define UNDECIDED_MS                                                                                         \
    150 /* how long `mount` looks whether the server answers, to say so: it does not wait for it */

struct serving {
    const struct serve_options *o;
    struct stop stop;
    struct account account;
    struct fs *fs;
    struct control *control;
    bool loop_runs, first;
    _Atomic bool mounted; /* for the status */
    pthread_t loop;
};

static void notify_systemd(const char *state)
{
#ifdef HAVE_SYSTEMD
    sd_notify(0, state);
#else
    (void)state;
#endif
}

/* --- what others may ask --- */

static json_t *current_status(struct serving *s)
{
    return status_json(
        &(struct status_source){.account = s->o->account->name,
                                .data_dir = s->o->account->data_dir,
                                .mountpoint = atomic_load(&s->mounted) ? s->o->mountpoint : NULL,
                                .cache = s->account.cache,
                                .engine = s->account.engine});
}

static char *log_tail(struct serving *s)
{
    CLEANUP(io_close)
    int fd = openat(cache_dirfd(s->account.cache), "log", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    char *text = calloc(1, LOG_SHOWN_BYTES + 1);
    if (!text || fd < 0 || fstat(fd, &st) < 0)
        return text; /* in the foreground there may be none: empty */
    off_t from = st.st_size > LOG_SHOWN_BYTES ? st.st_size - LOG_SHOWN_BYTES : 0;
    ssize_t n = io_pread_full(fd, text, LOG_SHOWN_BYTES, from);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

/* Takes the reference. */
static char *json_text(json_t *json)
{
    CLEANUP(buf_finish) struct buf out = {0};
    char *dump = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    json_decref(json);
    if (!dump)
        return NULL;
    buf_addf(&out, "%s\n", dump);
    free(dump);
    return buf_take(&out);
}

static char *held_text(struct serving *s)
{
    json_t *list = decide_list(s->account.cache), *held = json_object_get(list, "held");
    char *text = json_text(json_incref(held));
    json_decref(list);
    return text;
}

/* The files of .mailmount/. */
static char *virtual_file(void *arg, const char *name)
{
    struct serving *s = arg;
    if (strcmp(name, "status") == 0)
        return json_text(current_status(s));
    if (strcmp(name, "errors") == 0)
        return status_errors(s->account.cache);
    if (strcmp(name, "held") == 0)
        return held_text(s);
    if (strcmp(name, "log") == 0)
        return log_tail(s);
    return NULL;
}

static json_t *result_json(struct serving *s, const char *result, enum fault_exit exit, const char *why)
{
    return json_pack("{s:s, s:i, s:o, s:s}", "result", result, "exit", (int)exit, "why", status_string(why),
                     "mountpoint", s->o->mountpoint);
}

/* Without a limit of time a server that cannot be reached is an answer; it gets a moment, for `problem` is
 * that of the last attempt until this one ends. */
static bool is_out_of_reach(struct serving *s, struct engine_status *status)
{
    int64_t until_ms = clock_boot_ms() + OUT_OF_REACH_MS;
    for (;;) {
        engine_get_status(s->account.engine, status);
        if (status->online)
            return false;
        if (clock_boot_ms() >= until_ms)
            return status->problem[0] != '\0';
        usleep(TICK_MS * 1000);
    }
}

/* In long slices, to see whether the client is still there: each asks for a whole round of its own. */
static json_t *answer_sync(struct serving *s, int timeout_ms, bool (*gone)(void *), void *gone_arg)
{
    struct engine_status status;
    int64_t deadline_ms = timeout_ms < 0 ? INT64_MAX : clock_boot_ms() + timeout_ms;
    /* On line engine_sync asks for a round by itself: two would be run where this one's begins before that. */
    if (timeout_ms == 0 || !engine_is_online(s->account.engine))
        engine_wake(s->account.engine);
    for (;;) {
        if (timeout_ms < 0 && is_out_of_reach(s, &status))
            return result_json(s, "offline", status.problem_exit, status.problem);
        int64_t left = deadline_ms - clock_boot_ms();
        int r = left > 0 ? engine_sync(s->account.engine, left < SLICE_MS ? (int)left : SLICE_MS) : -EAGAIN;
        if (r == 0)
            return result_json(s, "done", FAULT_OK, "");
        if (r != -EAGAIN)
            return result_json(s, "ended", FAULT_AGAIN, "the mount is ending");
        if (clock_boot_ms() < deadline_ms && !gone(gone_arg))
            continue;
        engine_get_status(s->account.engine, &status);
        return result_json(s, "late", FAULT_AGAIN, status.online ? "" : status.problem);
    }
}

static json_t *answer_flush(struct serving *s)
{
    int r = cache_sync(s->account.cache);
    if (r < 0)
        return result_json(s, "failed", FAULT_IO, strerror(-r));
    return result_json(s, "done", FAULT_OK, "");
}

static json_t *answer(void *arg, const char *request, bool (*gone)(void *), void *gone_arg)
{
    struct serving *s = arg;
    int timeout_ms, end = 0;
    if (strcmp(request, "status") == 0)
        return current_status(s);
    if (strcmp(request, "flush") == 0)
        return answer_flush(s);
    if (sscanf(request, "sync %d%n", &timeout_ms, &end) == 1 && request[end] == '\0')
        return answer_sync(s, timeout_ms, gone, gone_arg);
    json_t *decided = ask_cache(s->account.cache, request);
    if (decided)
        engine_wake(s->account.engine); /* there may be something to do now */
    return decided;
}

/* --- the beginning --- */

static int open_account(struct serving *s, struct fault *f)
{
    int r = account_open(&s->account, s->o->account, true, f);
    if (r < 0)
        return r;
    s->first = s->account.fresh;
    if (!s->o->foreground) {
        r = account_log_to_file(&s->account);
        if (r < 0)
            return fault_set(f, FAULT_IO, r, "%s/log: %s", s->o->account->data_dir, strerror(-r));
    }
    r = control_start(cache_dirfd(s->account.cache), answer, s, &s->control);
    if (r < 0)
        return fault_set(f, FAULT_IO, r, "%s/%s: %s", s->o->account->data_dir, CONTROL_NAME, strerror(-r));
    return s->first ? engine_first(s->account.engine, f) : 0;
}

static int mount_it(struct serving *s, struct fault *f)
{
    const struct mountopts *m = s->o->mount;
    struct fs_options options = {
        .mountpoint = s->o->mountpoint,
        .account = s->o->account->name,
        .layout = s->o->account->layout,
        .events = m->read_only ? CONFIG_EVENTS_OFF : s->o->account->events,
        .read_only = m->read_only,
        .allow_other = m->allow_other,
        .allow_root = m->allow_root,
        .auto_unmount = m->auto_unmount,
        .debug = m->debug,
        .extra = m->extra.length > 0 ? m->extra.data : NULL,
        .virtual_file = virtual_file,
        .virtual_arg = s,
    };
    int r = fs_mount(s->account.cache, &options, &s->fs, f);
    atomic_store(&s->mounted, r == 0);
    unsigned connection;
    if (r == 0 && (mounts_connection(MOUNTS_TABLE, s->o->mountpoint, &connection) < 0 ||
                   hung_note(cache_dirfd(s->account.cache), connection) < 0))
        log_warning("no word of this mount is left for the next one");
    return r;
}

static void *run_loop(void *arg)
{
    struct serving *s = arg;
    int r = fs_loop(s->fs);
    if (r < 0)
        log_error("file system: %s", strerror(-r));
    return NULL;
}

static int start_threads(struct serving *s, struct fault *f)
{
    int r = engine_start(s->account.engine);
    if (r == 0) {
        r = -pthread_create(&s->loop, NULL, run_loop, s);
        s->loop_runs = r == 0;
    }
    if (r < 0)
        return fault_set(f, FAULT_AGAIN, r, "account %s: no threads: %s", s->o->account->name, strerror(-r));
    stop_mounted(&s->stop, s->fs);
    r = fs_wait_ready(s->fs);
    return r < 0 ? fault_set(f, FAULT_IO, r, "%s: unmounted before it was ready", s->o->mountpoint) : 0;
}

static int start(struct serving *s, struct fault *f)
{
    int r = open_account(s, f);
    if (r == 0)
        r = mount_it(s, f);
    if (r == 0)
        r = start_threads(s, f);
    return r;
}

/* --- ready --- */

static void remark_first(struct serving *s, char *out, size_t size)
{
    struct mailbox_counts counts = {0};
    char number[TEXT_NUMBER_SIZE];
    cache_rd *rd = cache_reader(s->account.cache);
    if (rd)
        mailbox_count(rd, 0, &counts);
    const char *account = s->o->account->name, *mountpoint = s->o->mountpoint;
    if (counts.wanted > 0)
        snprintf(out, size, "%s mounted on %s; %s messages are on their way (mailmount status --watch)",
                 account, mountpoint, text_count(counts.wanted, number));
    else
        snprintf(out, size, "%s mounted on %s; the mail is on its way (mailmount status --watch)", account,
                 mountpoint);
}

/* A later mount is ready whatever the server does. That it is off line is worth a word if it shows at once.
 */
static void remark_off_line(struct serving *s, char *out, size_t size)
{
    struct engine_status status;
    int64_t until = clock_boot_ms() + UNDECIDED_MS;
    do {
        engine_get_status(s->account.engine, &status);
        if (status.online)
            return;
        usleep(10000);
    } while (status.problem[0] == '\0' && clock_boot_ms() < until);
    if (status.problem[0] != '\0')
        snprintf(out, size, "%s mounted off line: %s", s->o->account->name, status.problem);
}

static void announce(struct serving *s)
{
    struct daemon_report report = {.exit = FAULT_OK};
    notify_systemd("READY=1");
    log_info("mailmount " MAILMOUNT_VERSION ": %s is mounted", s->o->account->name);
    if (!s->first)
        remark_off_line(s, report.text, sizeof report.text);
    else if (isatty(STDERR_FILENO))
        remark_first(s, report.text, sizeof report.text);
    if (s->o->foreground) {
        if (report.text[0] != '\0')
            fprintf(stderr, "mailmount: %s\n", report.text);
        return;
    }
    int r = daemon_detach();
    if (r < 0)
        log_warning("not detached from the terminal: %s", strerror(-r));
    int fd = s->o->report_fd;
    daemon_tell(&fd, &report);
}

/* True when the loop has ended within the time, and its thread is joined. */
static bool loop_ended(struct serving *s, int timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)timeout_ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    if (pthread_timedjoin_np(s->loop, NULL, &until) != 0)
        return false;
    s->loop_runs = false;
    return true;
}

/* The first sync, as a bar: until nothing is left to fetch after a complete round. */
static void show_first_sync(struct serving *s)
{
    struct progress progress;
    struct engine_status status = {0};
    progress_init(&progress, s->o->account->name);
    while (!loop_ended(s, TICK_MS)) {
        engine_get_status(s->account.engine, &status);
        if (status.last_sync_s != 0 && status.bodies_left == 0)
            break;
        progress_show(&progress, &status);
    }
    progress_end(&progress);
}

/* --- the end --- */

static void end(struct serving *s)
{
    control_refuse(s->control);
    if (s->account.engine)
        engine_stop(s->account.engine); /* now nobody waits for it any more, and the answers end */
    control_free(s->control);
    stop_ending(&s->stop);
    if (s->loop_runs) {
        fs_exit(s->fs);
        pthread_join(s->loop, NULL);
    }
    if (s->fs) {
        fs_unmount(s->fs);
        hung_forget(cache_dirfd(s->account.cache));
    }
    if (s->account.config)
        account_close(&s->account);
    stop_finish(&s->stop);
}

static int fail(const struct serve_options *o, const struct fault *f)
{
    struct daemon_report report = {.exit = f->exit != FAULT_OK ? (int)f->exit : FAULT_IO};
    int fd = o->report_fd;
    if (o->foreground)
        return command_fail(f);
    snprintf(report.text, sizeof report.text, "%s", f->text);
    daemon_tell(&fd, &report);
    return report.exit;
}

int serve(const struct serve_options *o)
{
    struct serving s = {.o = o};
    struct fault f = {0};
    int r = stop_start(&s.stop);
    if (r < 0) {
        fault_set(&f, FAULT_AGAIN, r, "mount: no threads: %s", strerror(-r));
        return fail(o, &f);
    }
    r = start(&s, &f);
    if (r == 0) {
        announce(&s);
        if (o->foreground && s.first && isatty(STDERR_FILENO))
            show_first_sync(&s);
        if (s.loop_runs)
            pthread_join(s.loop, NULL);
        s.loop_runs = false;
        notify_systemd("STOPPING=1");
        log_info("%s is unmounted", o->account->name);
    }
    end(&s);
    return r < 0 ? fail(o, &f) : FAULT_OK;
}
