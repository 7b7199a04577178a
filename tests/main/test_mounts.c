/* The mount table, and the way to a mount point. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "mounts.h"
#include "../place.h"

static char table[200];
static char account[MOUNTS_ACCOUNT_MAX];

static int setup(void **state)
{
    static const char text[] = "25 1 259:2 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
                               "90 25 0:44 / /home/me/Mail rw,nosuid,nodev,relatime shared:50 - "
                               "fuse.mailmount mailmount#work rw,user_id=1000\n"
                               "91 25 0:45 / /home/me/two\\040words rw master:1 propagate_from:2 - "
                               "fuse.mailmount mailmount#an\\040account rw\n"
                               "92 25 0:46 / /home/me/sshfs rw - fuse.sshfs host: rw\n"
                               "93 25 0:47 / /home/me/over rw - fuse.mailmount mailmount#below rw\n"
                               "94 93 0:48 / /home/me/over rw - tmpfs tmpfs rw\n"
                               "95 25 0:49 / /home/me/odd rw - fuse.mailmount work rw\n"
                               "garbage\n"
                               "96 25 - fuse.mailmount\n"
                               "97 25 0:50 / /home/me/last rw - fuse.mailmount mailmount#last rw";
    (void)state;
    char dir[160];
    if (!place_make(dir, sizeof dir, "mailmount-test-mounts"))
        return -1;
    snprintf(table, sizeof table, "%s/table", dir);
    int fd = open(table, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        return -1;
    return close(fd);
}

static int teardown(void **state)
{
    (void)state;
    int r = unlink(table);
    *strrchr(table, '/') = '\0';
    return r | rmdir(table);
}

static void test_finds_a_connection(void **state)
{
    char path[64];
    (void)state;
    assert_int_equal(mounts_of_connection(table, 45, path, sizeof path), 0);
    assert_string_equal(path, "/home/me/two words");
    assert_int_equal(mounts_of_connection(table, 46, path, sizeof path), -ENOENT); /* not ours */
    assert_int_equal(mounts_of_connection(table, 7, path, sizeof path), -ENOENT);
    assert_int_equal(mounts_of_connection(table, 44, path, 5), -ENAMETOOLONG);
}

static void test_finds_the_connection_of_a_mount(void **state)
{
    unsigned connection = 0;
    (void)state;
    assert_int_equal(mounts_connection(table, "/home/me/two words", &connection), 0);
    assert_int_equal(connection, 45);
    assert_int_equal(mounts_connection(table, "/home/me/over", &connection), -ENOENT); /* below another one */
    assert_int_equal(mounts_connection(table, "/home/me/sshfs", &connection), -ENOENT);
    assert_int_equal(mounts_connection(table, "/nowhere", &connection), -ENOENT);
}

static void test_finds_our_mounts(void **state)
{
    (void)state;
    assert_int_equal(mounts_find(table, "/home/me/Mail", account), 0);
    assert_string_equal(account, "work");
    assert_int_equal(mounts_find(table, "/home/me/two words", account), 0);
    assert_string_equal(account, "an account");
    assert_int_equal(mounts_find(table, "/home/me/last", account), 0);
    assert_string_equal(account, "last");
}

static void test_tells_other_mounts_from_none(void **state)
{
    (void)state;
    assert_int_equal(mounts_find(table, "/home/me", account), -ENOENT);
    assert_int_equal(mounts_find(table, "/home/me/Mail/INBOX", account), -ENOENT);
    assert_int_equal(mounts_find(table, "/home/me/sshfs", account), -EMEDIUMTYPE);
    assert_int_equal(mounts_find(table, "/home/me/odd", account), -EMEDIUMTYPE);
    assert_int_equal(mounts_find("/tmp/mailmount-test-no-such-table", "/", account), -ENOENT);
}

static void test_the_mount_on_top_counts(void **state)
{
    (void)state;
    assert_int_equal(mounts_find(table, "/home/me/over", account), -EMEDIUMTYPE);
}

static void test_resolves_mount_points(void **state)
{
    (void)state;
    char dir[160], path[400], here[300];
    assert_true(place_make(dir, sizeof dir, "mailmount-test-resolve"));
    assert_non_null(getcwd(here, sizeof here));
    snprintf(path, sizeof path, "%s/..%s/", dir, strrchr(dir, '/'));
    char *resolved = mounts_resolve(path);
    assert_string_equal(resolved, dir);
    free(resolved);
    resolved = mounts_resolve(".");
    assert_string_equal(resolved, here);
    free(resolved);
    snprintf(path, sizeof path, "%s/none", dir);
    assert_null(mounts_resolve(path));
    assert_int_equal(errno, ENOENT);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_a_connection),
        cmocka_unit_test(test_finds_the_connection_of_a_mount),
        cmocka_unit_test(test_finds_our_mounts),
        cmocka_unit_test(test_tells_other_mounts_from_none),
        cmocka_unit_test(test_the_mount_on_top_counts),
        cmocka_unit_test(test_resolves_mount_points),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
