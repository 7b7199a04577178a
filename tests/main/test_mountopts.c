/* The list of -o. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "mountopts.h"

static int setup(void **state)
{
    static struct mountopts m;
    m = (struct mountopts){0};
    *state = &m;
    return 0;
}

static int teardown(void **state)
{
    mountopts_finish(*state);
    return 0;
}

static void add(struct mountopts *m, const char *list)
{
    struct fault f = {0};
    int r = mountopts_add(m, list, false, &f);
    if (r < 0)
        fail_msg("%s: %s", list, f.text);
}

static void test_switches_and_keys(void **state)
{
    struct mountopts *m = *state;
    add(m, "ro,allow_other,poll=60");
    add(m, "layout=maildir++,auto_unmount");
    assert_true(m->read_only && m->allow_other && m->auto_unmount);
    assert_false(m->allow_root || m->debug);
    assert_int_equal(m->overrides, 2);
    assert_string_equal(m->override[0], "poll=60");
    assert_string_equal(m->override[1], "layout=maildir++");
    assert_null(m->override[2]);
}

static void test_what_fstab_says_is_taken(void **state)
{
    struct mountopts *m = *state;
    add(m,
        "rw,nosuid,nodev,noexec,noauto,user,users,nofail,_netdev,x-systemd.automount,noatime,dev,suid,exec,");
    assert_int_equal(m->overrides, 0);
    assert_false(m->read_only);
    assert_string_equal(m->extra.data, "nosuid,nodev,noexec,noatime");
}

static void test_commas_can_be_part_of_a_value(void **state)
{
    struct mountopts *m = *state;
    add(m, "mailboxes=INBOX\\,A\\\\B,ro");
    assert_int_equal(m->overrides, 1);
    assert_string_equal(m->override[0], "mailboxes=INBOX,A\\B");
    assert_true(m->read_only);
}

static void test_unknown_options_are_refused(void **state)
{
    static const char *const bad[] = {"max_read=0", "rox",  "r",   "poll",
                                      "x",          "ro=1", " ro", "allow_other=yes"};
    struct mountopts *m = *state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct fault f = {0};
        assert_int_equal(mountopts_add(m, bad[i], false, &f), -EINVAL);
        assert_int_equal(f.exit, FAULT_USAGE);
        assert_non_null(strstr(f.text, bad[i]));
    }
    assert_int_equal(m->overrides, 0);
}

static void test_user_of_mount8_is_not_the_login(void **state)
{
    struct mountopts *m = *state;
    struct fault f = {0};
    char option[300];
    const struct passwd *me = getpwuid(getuid());
    if (!me) {
        print_message("this user has no name\n");
        skip();
    }
    snprintf(option, sizeof option, "rw,user=%s", me->pw_name);
    assert_int_equal(mountopts_add(m, option, true, &f), 0);
    assert_int_equal(m->overrides, 0);
    add(m, option);
    assert_int_equal(m->overrides, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_switches_and_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_fstab_says_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(test_commas_can_be_part_of_a_value, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_options_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_user_of_mount8_is_not_the_login, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
