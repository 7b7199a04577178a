/* Files of the local area that leave for the mail, as the kernel asks for them afterwards (local_node.h). */
#include "local.h"
#include <fcntl.h>
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

static void test_who_has_left(void **state)
{
    (void)state;
    fuse_ino_t file = make_file("x");
    assert_false(local_node_is_stale(local, file) || local_node_has_left(local, file));
    assert_int_equal(local_remove_name(local, root, "x"), 0);
    assert_true(local_node_is_stale(local, file) && local_node_has_left(local, file));
}

static void test_open_is_no_longer_asked_for_by_name(void **state)
{
    (void)state;
    fuse_ino_t file = make_file("x");
    local_node_count(local, file, 1);
    assert_int_equal(local_remove_name(local, root, "x"), 0);
    assert_true(local_node_has_left(local, file));
    assert_false(local_node_is_stale(local, file));
    local_node_count(local, file, -1);
    assert_true(local_node_is_stale(local, file));
}

/* A release is told when nobody waits for it, and may be carried out after what the program did next. */
static void test_a_release_that_is_late(void **state)
{
    (void)state;
    fuse_ino_t file = make_file("x");
    local_node_count(local, file, 1);
    local_node_closing(local, file);
    assert_int_equal(local_remove_name(local, root, "x"), 0);
    assert_true(local_node_is_stale(local, file));
    local_node_count(local, file, 0); /* it was only one of two descriptors */
    assert_false(local_node_is_stale(local, file));
    local_node_closing(local, file);
    local_node_count(local, file, 1); /* and another one comes */
    assert_false(local_node_is_stale(local, file));
    local_node_closing(local, file);
    assert_false(local_node_is_stale(local, file));
    local_node_closing(local, file);
    assert_true(local_node_is_stale(local, file));
}

static void test_another_name_stays(void **state)
{
    (void)state;
    fuse_ino_t file = make_file("x");
    int dir = local_node_fd(local, root);
    assert_int_equal(linkat(dir, "x", dir, "y", 0), 0);
    assert_int_equal(local_remove_name(local, root, "x"), 0);
    assert_false(local_node_is_stale(local, file) || local_node_has_left(local, file));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_who_has_left, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_is_no_longer_asked_for_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_release_that_is_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_name_stays, setup, teardown),
    };
    return cmocka_run_group_tests_name("fs local", tests, NULL, NULL);
}
