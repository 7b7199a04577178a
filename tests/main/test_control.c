/* The control socket: both ends, and guests who do not behave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "control.h"
#include "../place.h"

struct fixture {
    char top[160], dir[400];
    int dirfd;
    struct control *control;
    atomic_int waiting, release;
};

static json_t *answer(void *arg, const char *request, bool (*gone)(void *), void *gone_arg)
{
    struct fixture *x = arg;
    if (strcmp(request, "wait") == 0) {
        atomic_fetch_add(&x->waiting, 1);
        while (!atomic_load(&x->release) && !gone(gone_arg))
            usleep(1000);
        atomic_fetch_sub(&x->waiting, 1);
    }
    return strcmp(request, "nothing") == 0 ? NULL
                                           : json_pack("{s:s, s:s}", "result", "done", "request", request);
}

/* A directory whose path is longer than sun_path. */
static int setup(void **state)
{
    struct fixture *x = calloc(1, sizeof *x);
    if (!place_make(x->top, sizeof x->top, "mailmount-test-control"))
        return -1;
    snprintf(x->dir, sizeof x->dir, "%s/%0200d", x->top, 0);
    if (mkdir(x->dir, 0700) < 0)
        return -1;
    x->dirfd = open(x->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = x;
    return control_start(x->dirfd, answer, x, &x->control);
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    control_free(x->control);
    close(x->dirfd);
    int r = rmdir(x->dir) | rmdir(x->top); /* not empty if the socket was left */
    free(x);
    return r;
}

static int connect_raw(const struct fixture *x)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/control", x->dirfd);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void test_a_request_is_answered(void **state)
{
    struct fixture *x = *state;
    json_t *reply = NULL;
    pid_t pid = 0;
    assert_int_equal(control_call(x->dir, "flush", 5000, &reply, &pid), 0);
    assert_string_equal(control_result(reply), "done");
    assert_string_equal(json_string_value(json_object_get(reply, "request")), "flush");
    assert_int_equal(pid, getpid());
    json_decref(reply);
}

static void test_only_the_owner_may_connect(void **state)
{
    struct fixture *x = *state;
    struct stat st;
    assert_int_equal(fstatat(x->dirfd, CONTROL_NAME, &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void test_no_daemon_is_told_apart(void **state)
{
    struct fixture *x = *state;
    json_t *reply = NULL;
    control_refuse(x->control);
    assert_int_equal(control_call(x->dir, "status", 5000, &reply, NULL), -ENOENT);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0); /* as a daemon that was killed leaves it */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/control", x->dirfd);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    assert_int_equal(control_call(x->dir, "status", 5000, &reply, NULL), -ECONNREFUSED);
    control_free(x->control);
    x->control = NULL;
    assert_int_equal(control_start(x->dirfd, answer, x, &x->control), 0); /* replaces it */
    assert_int_equal(control_call(x->dir, "status", 5000, &reply, NULL), 0);
    json_decref(reply);
}

static void test_what_is_no_request_is_no_answer(void **state)
{
    struct fixture *x = *state;
    json_t *reply = NULL;
    assert_int_equal(control_call(x->dir, "nothing", 5000, &reply, NULL), -EPROTO);
    char flood[4096], end;
    memset(flood, 'a', sizeof flood);
    int fd = connect_raw(x);
    ssize_t sent = send(fd, flood, sizeof flood, MSG_NOSIGNAL);
    assert_true(sent > 0);
    assert_true(recv(fd, &end, 1, 0) <= 0); /* hung up on, not waited for */
    close(fd);
    fd = connect_raw(x);
    close(fd); /* without a word */
    assert_int_equal(control_call(x->dir, "flush", 5000, &reply, NULL), 0);
    json_decref(reply);
}

static void test_a_client_can_lose_patience(void **state)
{
    struct fixture *x = *state;
    json_t *reply = NULL;
    assert_int_equal(control_call(x->dir, "wait", 50, &reply, NULL), -ETIMEDOUT);
    for (int i = 0; i < 5000 && atomic_load(&x->waiting) > 0; i++)
        usleep(1000); /* the answering side sees that it is gone */
    assert_int_equal(atomic_load(&x->waiting), 0);
}

static void test_too_many_clients_are_turned_away(void **state)
{
    struct fixture *x = *state;
    int fd[20];
    for (int i = 0; i < 20; i++) {
        fd[i] = connect_raw(x);
        assert_int_equal(send(fd[i], "wait\n", 5, MSG_NOSIGNAL), 5);
    }
    char end;
    assert_true(recv(fd[19], &end, 1, 0) <= 0);
    for (int i = 0; i < 5000 && atomic_load(&x->waiting) < 16; i++)
        usleep(1000);
    assert_int_equal(atomic_load(&x->waiting), 16);
    atomic_store(&x->release, 1);
    for (int i = 0; i < 16; i++)
        assert_int_equal(recv(fd[i], &end, 1, 0), 1);
    for (int i = 0; i < 20; i++)
        close(fd[i]);
}

static void *release_soon(void *arg)
{
    struct fixture *x = arg;
    usleep(50000);
    atomic_store(&x->release, 1);
    return NULL;
}

static void test_the_end_waits_for_running_answers(void **state)
{
    struct fixture *x = *state;
    pthread_t thread;
    int fd = connect_raw(x);
    assert_int_equal(send(fd, "wait\n", 5, MSG_NOSIGNAL), 5);
    while (atomic_load(&x->waiting) == 0)
        usleep(1000);
    pthread_create(&thread, NULL, release_soon, x);
    control_free(x->control);
    x->control = NULL;
    assert_int_equal(atomic_load(&x->waiting), 0);
    assert_int_equal(atomic_load(&x->release), 1);
    pthread_join(thread, NULL);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_request_is_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_the_owner_may_connect, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_daemon_is_told_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_request_is_no_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_client_can_lose_patience, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many_clients_are_turned_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_end_waits_for_running_answers, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
