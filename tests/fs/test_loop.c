/*
 * Who takes requests from the kernel (loop.h), with a real mount of a file system that has nothing but a
 * root, in which the attributes of
 *
 *   hold-N    take until the test lets go
 *   wait-N    the same, and the handler says that it will wait
 *   busy-N    take a moment
 *   slow-N    take as long as a slow disk
 *   quick-N   take no time
 *
 * Who asks is always another process: a thread that waits for its own mount cannot be killed. Skipped where
 * there is no FUSE.
 */
#include "loop.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define PATIENCE_MS 20000
#define THREADS 10 /* that loop.c has at most */

static struct {
    char root[64];
    struct fuse_session *se;
    struct loop *loop;
    pthread_t thread;
    bool runs;
    pid_t minder;
    int test_lives; /* the minder reads its other end */
    atomic_int result;
    atomic_uint answered;
    atomic_uint at_once, at_once_max; /* busy */

    pthread_mutex_t lock; /* protects what follows */
    pthread_cond_t changed;
    bool let_go;
    unsigned held;
} t = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static atomic_uint sleeps;

static atomic_bool no_watch;

/* The linker puts these in the places of poll and pthread_cond_timedwait. */
int __real_poll(struct pollfd *p, nfds_t n, int timeout);
int __wrap_poll(struct pollfd *p, nfds_t n, int timeout);
int __wrap_poll(struct pollfd *p, nfds_t n, int timeout)
{
    atomic_fetch_add(&sleeps, 1);
    return __real_poll(p, n, timeout);
}

int __real_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
    return atomic_load(&no_watch) && cond != &t.changed ? pthread_cond_wait(cond, mutex)
                                                        : __real_pthread_cond_timedwait(cond, mutex, until);
}

static void sleep_us(long us)
{
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

/* ---- the file system ---- */

static void hold(void)
{
    pthread_mutex_lock(&t.lock);
    t.held++;
    pthread_cond_broadcast(&t.changed);
    while (!t.let_go)
        pthread_cond_wait(&t.changed, &t.lock);
    t.held--;
    pthread_mutex_unlock(&t.lock);
}

static void be_busy(long us)
{
    unsigned now = atomic_fetch_add(&t.at_once, 1) + 1, max = atomic_load(&t.at_once_max);
    while (now > max && !atomic_compare_exchange_weak(&t.at_once_max, &max, now))
        ;
    sleep_us(us);
    atomic_fetch_sub(&t.at_once, 1);
}

/* Inode numbers say what happens. */
enum { HOLD = 1000, WAIT = 2000, BUSY = 3000, SLOW = 4000, QUICK = 5000 };

static struct stat attributes(fuse_ino_t ino)
{
    bool root = ino == FUSE_ROOT_ID;
    return (struct stat){.st_ino = ino, .st_mode = root ? S_IFDIR | 0755 : S_IFREG | 0644, .st_nlink = 1};
}

/* The kernel has one at a time of these for a directory, whatever libfuse 3.14 was asked for. */
static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    (void)parent;
    fuse_ino_t first = strncmp(name, "hold", 4) == 0   ? HOLD
                       : strncmp(name, "wait", 4) == 0 ? WAIT
                       : strncmp(name, "busy", 4) == 0 ? BUSY
                       : strncmp(name, "slow", 4) == 0 ? SLOW
                                                       : QUICK;
    struct fuse_entry_param e = {.ino = first + strtoul(name + 5, NULL, 10), .entry_timeout = 86400};
    e.attr = attributes(e.ino);
    fuse_reply_entry(req, &e);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    if (ino >= WAIT && ino < BUSY)
        loop_will_wait();
    if (ino >= HOLD && ino < BUSY)
        hold();
    if (ino >= BUSY && ino < QUICK)
        be_busy(ino < SLOW ? 100 : 2000); /* less than the watch lets pass, and more */
    atomic_fetch_add(&t.answered, ino != FUSE_ROOT_ID);
    struct stat st = attributes(ino);
    fuse_reply_attr(req, &st, 0);
}

static const struct fuse_lowlevel_ops ops = {.lookup = op_lookup, .getattr = op_getattr};

static void *run(void *arg)
{
    (void)arg;
    atomic_store(&t.result, loop_run(t.loop, t.se));
    return NULL;
}

/* A process that clears away when the test has ended, however it did. */
static void begin_minder(void)
{
    int ends[2];
    char octet, command[160];
    assert_int_equal(pipe(ends), 0);
    t.minder = fork();
    if (t.minder == 0) {
        setsid(); /* who kills the test may kill its group */
        close(ends[1]);
        if (read(ends[0], &octet, 1) == 0) {
            snprintf(command, sizeof(command), "%s %s 2>/dev/null",
                     geteuid() == 0 ? "umount -l" : "fusermount3 -uz", t.root);
            (void)!system(command);
        }
        _exit(rmdir(t.root) < 0);
    }
    close(ends[0]);
    t.test_lives = ends[1];
}

static void mount_root(void)
{
    char *argv[] = {"loop"};
    struct fuse_args args = FUSE_ARGS_INIT(1, argv);
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fd < 0 || (geteuid() != 0 && system("command -v fusermount3 >/dev/null") != 0))
        skip();
    close(fd);
    snprintf(t.root, sizeof(t.root), "%s", "/tmp/mailmount-loop.XXXXXX");
    assert_non_null(mkdtemp(t.root));
    begin_minder();
    t.se = fuse_session_new(&args, &ops, sizeof(ops), NULL);
    fuse_opt_free_args(&args);
    assert_non_null(t.se);
    assert_int_equal(fuse_session_mount(t.se, t.root), 0);
    assert_int_equal(loop_new(&t.loop), 0);
    t.let_go = false;
    t.held = 0;
    atomic_store(&t.answered, 0);
    atomic_store(&t.at_once_max, 0);
    atomic_store(&t.result, 1);
}

static void begin(void)
{
    mount_root();
    assert_int_equal(pthread_create(&t.thread, NULL, run, NULL), 0);
    t.runs = true;
}

static void join(void)
{
    pthread_join(t.thread, NULL);
    t.runs = false;
}

static void let_go(void)
{
    pthread_mutex_lock(&t.lock);
    t.let_go = true;
    pthread_cond_broadcast(&t.changed);
    pthread_mutex_unlock(&t.lock);
}

/* Returns whether it ended within that time, and was content. */
static bool ended(pid_t child, int patience_ms)
{
    int status;
    for (int i = 0; i < patience_ms; i++) {
        if (waitpid(child, &status, WNOHANG) == child)
            return WIFEXITED(status) && WEXITSTATUS(status) == 0;
        sleep_us(1000);
    }
    return false;
}

/* Also after a test that failed. */
static int finish(void **state)
{
    (void)state;
    if (!t.se)
        return 0;
    let_go();
    atomic_store(&no_watch, false);
    if (t.loop)
        loop_exit(t.loop);
    if (t.runs)
        join();
    fuse_session_unmount(t.se);
    fuse_session_destroy(t.se);
    loop_free(t.loop);
    t.loop = NULL;
    t.se = NULL;
    close(t.test_lives);
    return ended(t.minder, PATIENCE_MS) ? 0 : -1;
}

/* ---- those who ask ---- */

static void work_us(int64_t us)
{
    struct timespec now, begun;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    do {
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - begun.tv_sec) * 1000000 + (now.tv_nsec - begun.tv_nsec) / 1000 < us);
}

/* A process that asks for the attributes of NAME-FIRST n times, works a little in between, and is content if
 * it gets them. */
static pid_t ask(const char *name, unsigned first, unsigned n)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    char path[128];
    struct stat st;
    snprintf(path, sizeof(path), "%s/%s-%u", t.root, name, first);
    close_range(3, ~0U, 0); /* the connection to the kernel, too, which ends with its last descriptor */
    for (unsigned i = 0; i < n; i++) {
        if (stat(path, &st) < 0)
            _exit(1);
        work_us(20);
    }
    _exit(0);
}

static void wait_held(unsigned n)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_MS / 1000;
    pthread_mutex_lock(&t.lock);
    int r = 0;
    while (t.held != n && r == 0)
        r = pthread_cond_timedwait(&t.changed, &t.lock, &until);
    pthread_mutex_unlock(&t.lock);
    assert_int_equal(r, 0);
}

/* ---- tests ---- */

static void test_one_waits_others_are_served(void **state)
{
    (void)state;
    begin();
    sleep_us(20000); /* nothing to watch any more */
    pid_t waits = ask("hold", 0, 1);
    wait_held(1);
    assert_true(ended(ask("quick", 0, 1000), PATIENCE_MS));
    assert_false(ended(waits, 1));
    let_go();
    assert_true(ended(waits, PATIENCE_MS));
}

/* As many threads as there are; and who waits for one gets it. */
static void test_all_but_one_wait(void **state)
{
    (void)state;
    pid_t waits[THREADS];
    begin();
    for (unsigned i = 0; i < THREADS; i++) {
        if (i == THREADS - 1) /* none was needed for that so far */
            assert_true(ended(ask("quick", 0, 1000), PATIENCE_MS));
        waits[i] = ask("hold", i, 1);
        wait_held(i + 1);
    }
    pid_t comes_later = ask("quick", 1, 1);
    assert_false(ended(comes_later, 50));
    let_go();
    for (unsigned i = 0; i < THREADS; i++)
        assert_true(ended(waits[i], PATIENCE_MS));
    assert_true(ended(comes_later, PATIENCE_MS));
    assert_true(ended(ask("quick", 0, 1000), PATIENCE_MS));
}

/* None of these requests is long enough for the watch. */
static void test_many_are_helped(void **state)
{
    (void)state;
    pid_t busy[4];
    begin();
    for (unsigned i = 0; i < 4; i++)
        busy[i] = ask("busy", i, 500);
    for (unsigned i = 0; i < 4; i++)
        assert_true(ended(busy[i], PATIENCE_MS));
    assert_int_equal(atomic_load(&t.answered), 2000);
    assert_true(atomic_load(&t.at_once_max) > 1);
}

/* Those that wait for a disk are not served one by one, and who does not need it is served meanwhile. */
static void test_slow_ones_are_served_together(void **state)
{
    (void)state;
    pid_t slow[8];
    begin();
    for (unsigned i = 0; i < 8; i++)
        slow[i] = ask("slow", i, 60);
    assert_true(ended(ask("quick", 0, 200), PATIENCE_MS));
    for (unsigned i = 0; i < 8; i++)
        assert_true(ended(slow[i], PATIENCE_MS));
    assert_in_range(atomic_load(&t.at_once_max), 4, 8);
}

/* The watch, which sees nothing by itself here, need not find out. */
static void test_who_will_wait_gives_the_lead_away(void **state)
{
    (void)state;
    pid_t waits[3];
    atomic_store(&no_watch, true);
    begin();
    for (unsigned i = 0; i < 3; i++) {
        waits[i] = ask("wait", i, 1);
        wait_held(i + 1);
        assert_true(ended(ask("quick", 0, 100), PATIENCE_MS));
    }
    let_go();
    for (unsigned i = 0; i < 3; i++)
        assert_true(ended(waits[i], PATIENCE_MS));
}

/* Who asks again at once is mostly answered without a sleep in between; that a busy machine stretches the
 * time between two requests is allowed for. */
static void test_brisk_requests_are_awaited_awake(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 50; i++) {
        unsigned before = atomic_load(&sleeps);
        assert_true(ended(ask("quick", 0, 1000), PATIENCE_MS));
        if (atomic_load(&sleeps) - before < 500)
            return;
    }
    fail_msg("each request was slept for");
}

static int64_t used_us(const struct rusage *r)
{
    return (r->ru_utime.tv_sec + r->ru_stime.tv_sec) * 1000000 + r->ru_utime.tv_usec + r->ru_stime.tv_usec;
}

static void test_a_quiet_mount_sleeps(void **state)
{
    (void)state;
    struct rusage before, after;
    begin();
    assert_true(ended(ask("quick", 0, 100), PATIENCE_MS));
    sleep_us(100000);
    unsigned slept = atomic_load(&sleeps);
    getrusage(RUSAGE_SELF, &before);
    sleep_us(300000);
    getrusage(RUSAGE_SELF, &after);
    assert_int_equal(atomic_load(&sleeps), slept);
    assert_in_range(after.ru_nvcsw - before.ru_nvcsw, 0, 5); /* this thread's own sleep is one */
    assert_in_range(used_us(&after) - used_us(&before), 0, 30000);
}

static void test_ends_while_idle(void **state)
{
    (void)state;
    begin();
    assert_true(ended(ask("quick", 0, 1), PATIENCE_MS));
    loop_exit(t.loop);
    join();
    assert_int_equal(atomic_load(&t.result), 0);
}

static void test_ends_before_it_begins(void **state)
{
    (void)state;
    mount_root();
    loop_exit(t.loop);
    assert_int_equal(loop_run(t.loop, t.se), 0);
}

/* What was begun is answered first. */
static void test_ends_when_all_is_answered(void **state)
{
    (void)state;
    begin();
    pid_t waits = ask("hold", 0, 1);
    wait_held(1);
    loop_exit(t.loop);
    sleep_us(20000);
    assert_int_equal(atomic_load(&t.result), 1);
    let_go();
    join();
    assert_int_equal(atomic_load(&t.result), 0);
    assert_true(ended(waits, PATIENCE_MS));
}

static void test_ends_with_the_mount(void **state)
{
    (void)state;
    char command[128];
    begin();
    assert_true(ended(ask("quick", 0, 1), PATIENCE_MS));
    snprintf(command, sizeof(command), "%s %s", geteuid() == 0 ? "umount" : "fusermount3 -u", t.root);
    assert_int_equal(system(command), 0);
    join();
    assert_int_equal(atomic_load(&t.result), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_one_waits_others_are_served, finish),
        cmocka_unit_test_teardown(test_all_but_one_wait, finish),
        cmocka_unit_test_teardown(test_many_are_helped, finish),
        cmocka_unit_test_teardown(test_slow_ones_are_served_together, finish),
        cmocka_unit_test_teardown(test_who_will_wait_gives_the_lead_away, finish),
        cmocka_unit_test_teardown(test_brisk_requests_are_awaited_awake, finish),
        cmocka_unit_test_teardown(test_a_quiet_mount_sleeps, finish),
        cmocka_unit_test_teardown(test_ends_while_idle, finish),
        cmocka_unit_test_teardown(test_ends_before_it_begins, finish),
        cmocka_unit_test_teardown(test_ends_when_all_is_answered, finish),
        cmocka_unit_test_teardown(test_ends_with_the_mount, finish),
    };
    return cmocka_run_group_tests_name("fs loop", tests, NULL, NULL);
}
