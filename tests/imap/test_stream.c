/* The socket, and the time that is waited for it. The clock and poll are replaced: the machine sleeps for
 * hours here. */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "clock.h"
#include "stream.h"

#define HOUR_MS 3600000
#define POLLS_MAX 100

/* What the replaced ones do, when they are asked to. */
static struct {
    bool on;
    int64_t monotonic_ms, suspended_ms; /* CLOCK_BOOTTIME is the sum of both, as the kernel has it */
    int64_t suspend_ms;                 /* in each poll */
    int polls, longest_ms;
} sham;

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
    if (!sham.on)
        return __real_clock_gettime(clock, ret);
    int64_t ms = sham.monotonic_ms + (clock == CLOCK_BOOTTIME ? sham.suspended_ms : 0);
    *ret = (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    return 0;
}

/* Nothing ever comes; the time passes. */
int __real_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    if (!sham.on)
        return __real_poll(fds, n, timeout_ms);
    if (++sham.polls > POLLS_MAX) { /* for ever: lets it end */
        errno = EBADF;
        return -1;
    }
    sham.longest_ms = timeout_ms > sham.longest_ms || timeout_ms < 0 ? timeout_ms : sham.longest_ms;
    sham.monotonic_ms += timeout_ms;
    sham.suspended_ms += sham.suspend_ms;
    return 0;
}

static int wait_with(int64_t patience_ms, int64_t suspend_ms)
{
    struct cancel cancel;
    assert_int_equal(cancel_init(&cancel), 0);
    sham = (typeof(sham)){
        .on = true, .monotonic_ms = 5000, .suspended_ms = 7 * HOUR_MS, .suspend_ms = suspend_ms};
    int r = stream_poll(cancel.fd, POLLIN, &cancel, clock_boot_ms() + patience_ms);
    sham.on = false;
    cancel_finish(&cancel);
    return r;
}

static void awake_it_waits_as_long_as_it_was_told(void **state)
{
    (void)state;
    assert_int_equal(wait_with(60000, 0), -ETIMEDOUT);
    assert_int_equal(sham.monotonic_ms, 5000 + 60000);
    assert_in_range(sham.longest_ms, 1, 10000);
}

/* The server has given up on us long ago, and time that was slept counts. It is noticed soon after waking,
 * since poll's own clock stands still meanwhile. */
static void a_deadline_passes_in_suspend(void **state)
{
    (void)state;
    assert_int_equal(wait_with(60000, HOUR_MS), -ETIMEDOUT);
    assert_in_range(sham.polls, 1, 2);
    assert_in_range(sham.monotonic_ms, 5000, 5000 + 10000);
    assert_int_equal(wait_with(3 * HOUR_MS, HOUR_MS), -ETIMEDOUT);
    assert_in_range(sham.polls, 3, 4);
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof value;
    assert_int_equal(getsockopt(fd, level, name, &value, &size), 0);
    return value;
}

/* A line that died in silence is noticed within minutes, also by a session that only listens. */
static void the_kernel_looks_after_the_line(void **state)
{
    (void)state;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    struct cancel cancel;
    struct fault f = {0};
    int fd = -1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &size), 0);
    assert_int_equal(cancel_init(&cancel), 0);
    assert_int_equal(stream_connect("127.0.0.1", ntohs(a.sin_port), 10000, &cancel, &fd, &f), 0);
    assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    int dead_s = option(fd, IPPROTO_TCP, TCP_KEEPIDLE) +
                 option(fd, IPPROTO_TCP, TCP_KEEPINTVL) * option(fd, IPPROTO_TCP, TCP_KEEPCNT);
    assert_in_range(dead_s, 60, 300);
    assert_int_not_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 0);
    close(fd);
    close(listener);
    cancel_finish(&cancel);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(awake_it_waits_as_long_as_it_was_told),
        cmocka_unit_test(a_deadline_passes_in_suspend),
        cmocka_unit_test(the_kernel_looks_after_the_line),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
