/* Files of the local area that leave for the mail, as the kernel asks for them afterwards (local_node.h). */
#include "local.h"
#include <fcntl.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>
#include "local_node.h"
#include "mail_tests.h"

static struct local *local;
static fuse_ino_t root;

static int setup(void **state)
{
    if (scratch_setup(state) < 0)
        return -1;
    struct scratch *s = *state;
    return local_new(s->c, false, &local) < 0 || !(root = local_box(local, 0, true)) ? -1 : 0;
}

static int teardown(void **state)
{
    local_free(local);
    return scratch_teardown(state);
}

/* A file that the kernel knows by this name. */
static fuse_ino_t make_file(const char *name)
{
    struct fuse_entry_param e;
    int fd = openat(local_node_fd(local, root), name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(local_lookup_entry(local, root, name, &e), 0);
    return e.ino;
}

static void leave(const char *name)
{
    assert_int_equal(local_remove_name(local, root, name), 0);
}

static void test_who_has_left(void **state)
{
    (void)state;
    fuse_ino_t file = make_file("x");
    assert_false(local_node_is_stale(local, file) || local_node_refuses(local, file, 1));
    leave("x");
    assert_true(local_node_is_stale(local, file));
    assert_true(local_node_refuses(local, file, 1) && local_node_refuses(local, file, 1));
}

/* By a descriptor of his own. */
static void test_who_asks_again_gets_it(void **state)
{
    (void)state;
    fuse_ino_t file = make_file("x");
    local_node_count(local, file, 1);
    leave("x");
    assert_false(local_node_is_stale(local, file));
    assert_true(local_node_refuses(local, file, 1));
    assert_true(local_node_refuses(local, file, 2));
    assert_true(local_node_refuses(local, file, 1));
    assert_false(local_node_refuses(local, file, 1));
    assert_true(local_node_refuses(local, file, 1)); /* the next time */
    local_node_count(local, file, -1);
    assert_true(local_node_is_stale(local, file));
}

static void *release_late(void *file)
{
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    local_node_count(local, (fuse_ino_t)(uintptr_t)file, -1);
    return NULL;
}

/* Up to 20 ms; so that a busy machine may be late, it is tried a few times. */
static void test_a_release_on_its_way_is_waited_for(void **state)
{
    (void)state;
    bool waited = false;
    for (int i = 0; i < 50 && !waited; i++) {
        pthread_t thread;
        fuse_ino_t file = make_file("x");
        local_node_count(local, file, 1);
        local_node_closing(local, file);
        assert_int_equal(pthread_create(&thread, NULL, release_late, (void *)(uintptr_t)file), 0);
        leave("x");
        waited = local_node_is_stale(local, file);
        pthread_join(thread, NULL);
    }
    assert_true(waited);
}

/* As with a descriptor that a child has closed: it is waited for, and then it is still open. */
static void test_no_release_is_on_its_way(void **state)
{
    (void)state;
    fuse_ino_t file = make_file("x");
    local_node_count(local, file, 1);
    local_node_closing(local, file);
    leave("x");
    assert_false(local_node_is_stale(local, file));
}

static void test_another_name_stays(void **state)
{
    (void)state;
    fuse_ino_t file = make_file("x");
    int dir = local_node_fd(local, root);
    assert_int_equal(linkat(dir, "x", dir, "y", 0), 0);
    leave("x");
    assert_false(local_node_is_stale(local, file) || local_node_refuses(local, file, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_who_has_left, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_asks_again_gets_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_release_on_its_way_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_release_is_on_its_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_name_stays, setup, teardown),
    };
    return cmocka_run_group_tests_name("fs local", tests, NULL, NULL);
}
