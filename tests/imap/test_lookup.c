/*
 * Look-ups of names. The linker puts these tests between us and the resolver (--wrap), so that no name leaves
 * this machine, and a resolver can be slow, or threads be missing.
 */
#include "rig.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>
#include "clock.h"
#include "lookup.h"

int __real_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret);
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *a, void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *a, void *(*run)(void *), void *arg);

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned threads;      /* made so far */
    unsigned asked, ended; /* calls of the resolver by name */
    bool no_threads, silent, unmasked;
} world = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *a, void *(*run)(void *), void *arg)
{
    if (world.no_threads)
        return EAGAIN;
    world.threads++;
    return __real_pthread_create(thread, a, run, arg);
}

static bool takes_signals(void)
{
    sigset_t set;
    pthread_sigmask(SIG_BLOCK, NULL, &set);
    return !sigismember(&set, SIGTERM) || !sigismember(&set, SIGCHLD) || !sigismember(&set, SIGUSR1);
}

/* Says nothing as long as the world is silent; then knows localhost only. */
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret)
{
    if (hints->ai_flags & AI_NUMERICHOST)
        return __real_getaddrinfo(host, service, hints, ret);
    int r = strcmp(host, "localhost") == 0 ? __real_getaddrinfo(host, service, hints, ret) : EAI_NONAME;
    pthread_mutex_lock(&world.lock);
    world.asked++;
    world.unmasked = world.unmasked || takes_signals();
    pthread_cond_broadcast(&world.changed);
    while (world.silent)
        pthread_cond_wait(&world.changed, &world.lock);
    world.ended++;
    pthread_cond_broadcast(&world.changed);
    pthread_mutex_unlock(&world.lock);
    return r;
}

static void be_silent(bool silent)
{
    pthread_mutex_lock(&world.lock);
    world.silent = silent;
    pthread_cond_broadcast(&world.changed);
    pthread_mutex_unlock(&world.lock);
}

static unsigned open_files(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

/* The threads that were given up end a moment after the resolver came back. */
static void assert_open_files(unsigned expected)
{
    int64_t until = clock_boot_ms() + 10000;
    while (open_files() != expected && clock_boot_ms() < until)
        usleep(1000);
    assert_int_equal(open_files(), expected);
}

static struct cancel cancel;
static struct fault fault;

static int look_up(const char *host, int timeout_ms, struct addrinfo **ret)
{
    fault = (struct fault){0};
    return lookup_host(host, 993, &cancel, clock_boot_ms() + timeout_ms, ret, &fault);
}

static void assert_fails(const char *host, int timeout_ms, int err, enum fault_exit exit, const char *text)
{
    struct addrinfo *untouched = NULL;
    assert_int_equal(look_up(host, timeout_ms, &untouched), err);
    assert_null(untouched);
    assert_int_equal(fault.err, err);
    assert_int_equal(fault.exit, exit);
    assert_string_equal(fault.text, text);
}

static void assert_address(const struct addrinfo *a, const char *expected)
{
    char text[INET6_ADDRSTRLEN], port[8];
    assert_int_equal(getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, port, sizeof port,
                                 NI_NUMERICHOST | NI_NUMERICSERV),
                     0);
    assert_string_equal(text, expected);
    assert_string_equal(port, "993");
    assert_int_equal(a->ai_socktype, SOCK_STREAM);
}

static void numbers_need_no_thread(void **state)
{
    static const char *const address[] = {"127.0.0.1", "::1", "192.0.2.7"};
    (void)state;
    unsigned before = world.threads;
    for (size_t i = 0; i < sizeof address / sizeof *address; i++) {
        struct addrinfo *all = NULL;
        assert_int_equal(look_up(address[i], 0, &all), 0);
        assert_address(all, address[i]);
        assert_null(all->ai_next);
        freeaddrinfo(all);
    }
    assert_int_equal(world.threads, before);
    assert_int_equal(world.asked, 0);
}

static void a_name_is_found(void **state)
{
    struct addrinfo *all = NULL;
    unsigned before = open_files();
    sigset_t mask, mask_after;
    (void)state;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    assert_int_equal(look_up("localhost", 10000, &all), 0);
    pthread_sigmask(SIG_BLOCK, NULL, &mask_after);
    assert_non_null(all);
    assert_address(all, all->ai_family == AF_INET6 ? "::1" : "127.0.0.1");
    freeaddrinfo(all);
    assert_false(world.unmasked);
    assert_int_equal(sigismember(&mask, SIGTERM), sigismember(&mask_after, SIGTERM));
    assert_open_files(before);
}

static void a_name_is_not_found(void **state)
{
    unsigned before = open_files();
    (void)state;
    assert_fails("nowhere", 10000, -EHOSTUNREACH, FAULT_UNAVAILABLE,
                 "nowhere: cannot resolve: Name or service not known (check host, and the network)");
    assert_open_files(before);
}

static void *cancel_once_asked(void *arg)
{
    unsigned asked = *(unsigned *)arg;
    pthread_mutex_lock(&world.lock);
    while (world.asked == asked)
        pthread_cond_wait(&world.changed, &world.lock);
    pthread_mutex_unlock(&world.lock);
    usleep(20000); /* until the caller sleeps, most likely */
    cancel_set(&cancel);
    return NULL;
}

/* The resolver comes back after its caller left, with addresses that nobody wants any more. */
static void a_cancel_is_quick(void **state)
{
    pthread_t other;
    unsigned files = open_files(), asked = world.asked;
    (void)state;
    be_silent(true);
    assert_int_equal(__real_pthread_create(&other, NULL, cancel_once_asked, &asked), 0);
    int64_t from = clock_boot_ms();
    assert_fails("localhost", 60000, -ECANCELED, FAULT_UNAVAILABLE,
                 "localhost: cannot resolve: no answer (check host, and the network)");
    assert_true(clock_boot_ms() - from < 10000);
    pthread_join(other, NULL);
    be_silent(false);
    assert_open_files(files);
}

static void a_deadline_is_kept(void **state)
{
    unsigned files = open_files();
    (void)state;
    be_silent(true);
    int64_t from = clock_boot_ms();
    assert_fails("localhost", 30, -ETIMEDOUT, FAULT_UNAVAILABLE,
                 "localhost: cannot resolve: no answer (check host, and the network)");
    assert_true(clock_boot_ms() - from >= 30);
    be_silent(false);
    assert_open_files(files);
}

static void there_is_no_thread(void **state)
{
    unsigned files = open_files();
    (void)state;
    world.no_threads = true;
    for (unsigned i = 0; i <= LOOKUPS_MAX; i++) /* what fails does not count as running */
        assert_fails("localhost", 10000, -EAGAIN, FAULT_AGAIN,
                     "localhost: cannot resolve: no thread: Resource temporarily unavailable (try again)");
    world.no_threads = false;
    assert_int_equal(open_files(), files);
}

static void a_dead_resolver_costs_few_threads(void **state)
{
    unsigned files = open_files(), threads = world.threads;
    struct addrinfo *all = NULL;
    (void)state;
    be_silent(true);
    for (unsigned i = 0; i < LOOKUPS_MAX; i++)
        assert_int_equal(look_up("localhost", 0, &all), -ETIMEDOUT);
    assert_fails("localhost", 10000, -EBUSY, FAULT_UNAVAILABLE,
                 "localhost: cannot resolve: no answer (check host, and the network)");
    assert_int_equal(world.threads, threads + LOOKUPS_MAX);
    be_silent(false);
    assert_open_files(files);
    while (look_up("localhost", 10000, &all) == -EBUSY) /* the last of them is about to end */
        usleep(1000);
    assert_int_equal(fault.err, 0);
    freeaddrinfo(all);
}

static int begin(void **state)
{
    (void)state;
    return cancel_init(&cancel);
}

static int end(void **state)
{
    (void)state;
    be_silent(false); /* also when a test failed */
    cancel_finish(&cancel);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(numbers_need_no_thread),
        TEST(a_name_is_found),
        TEST(a_name_is_not_found),
        TEST(a_cancel_is_quick),
        TEST(a_deadline_is_kept),
        TEST(there_is_no_thread),
        TEST(a_dead_resolver_costs_few_threads),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    /* A look-up that runs when the program ends: no sanitizer may complain. */
    struct addrinfo *none = NULL;
    cancel_init(&cancel);
    be_silent(true);
    if (look_up("localhost", 50, &none) != -ETIMEDOUT)
        failed++;
    cancel_finish(&cancel);
    return failed;
}
