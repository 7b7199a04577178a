/* Directory operations on mailboxes, in both layouts. */
#include "mail_tests.h"

static enum config_layout layout;

struct box_call {
    struct box_place at, to;
    bool noreplace;
    uint64_t made;
    struct box_removed removed;
};

static int call_mkdir(cache_tx *tx, void *arg)
{
    struct box_call *c = arg;
    return box_mkdir(tx, layout, &c->at, &c->made);
}

static int call_rmdir(cache_tx *tx, void *arg)
{
    struct box_call *c = arg;
    return box_rmdir(tx, layout, &c->at, &c->removed);
}

static int call_move(cache_tx *tx, void *arg)
{
    struct box_call *c = arg;
    return box_rename(tx, layout, &c->at, &c->to, c->noreplace);
}

static int call_show(cache_tx *tx, void *arg)
{
    struct box_call *c = arg;
    return box_show_again(tx, c->removed.mailbox, c->removed.hidden);
}

static int make_dir(struct scratch *s, int64_t dir, const char *name)
{
    struct box_call c = {.at = {dir, name}};
    return files_try(s, call_mkdir, &c);
}

static int remove_dir(struct scratch *s, int64_t dir, const char *name)
{
    struct box_call c = {.at = {dir, name}};
    return files_try(s, call_rmdir, &c);
}

static int rename_dir(struct scratch *s, int64_t dir, const char *name, int64_t to, const char *new_name)
{
    struct box_call c = {.at = {dir, name}, .to = {to, new_name}};
    return files_try(s, call_move, &c);
}

static struct mailbox box(struct scratch *s, int64_t parent, const char *name)
{
    struct mailbox m = {0};
    assert_int_equal(mailbox_find(cache_reader(s->c), parent, name, &m), 0);
    return m;
}

static int list_name(void *arg, const char *name, uint64_t ino)
{
    char *list = arg;
    size_t length = strlen(list);
    assert_true(ino_is_dir(ino));
    snprintf(list + length, 512 - length, "%s ", name);
    return 0;
}

static const char *list(struct scratch *s, int64_t dir)
{
    static char names[512];
    names[0] = '\0';
    assert_int_equal(tree_each(cache_reader(s->c), layout, dir, list_name, names), 0);
    return names;
}

static struct mailbox server_box(struct scratch *s, int64_t parent, const char *name, const char *remote)
{
    struct mailbox m = make_box(s, parent, name);
    m.on_server = true;
    m.delimiter = '/';
    snprintf(m.remote, sizeof m.remote, "%s", remote);
    server_does(s, put_mailbox, &m);
    return m;
}

static int setup_fs(void **state)
{
    layout = CONFIG_LAYOUT_FS;
    scratch_setup(state);
    server_box(*state, 0, "INBOX", "INBOX");
    return 0;
}

static int setup_maildirpp(void **state)
{
    setup_fs(state);
    layout = CONFIG_LAYOUT_MAILDIRPP;
    return 0;
}

static void test_mkdir(void **state)
{
    struct scratch *s = *state;
    assert_int_equal(make_dir(s, 0, "Lists"), 0);
    struct mailbox lists = box(s, 0, "Lists");
    assert_int_equal(lists.dirs, 0);
    assert_string_equal(list(s, lists.id), "");
    assert_int_equal(make_dir(s, lists.id, "cur"), 0);
    assert_int_equal(make_dir(s, lists.id, "cur"), -EEXIST);
    assert_int_equal(make_dir(s, lists.id, "tmp"), 0);
    assert_int_equal(make_dir(s, lists.id, "dev"), 0);
    assert_string_equal(list(s, lists.id), "tmp cur dev ");
    assert_int_equal(make_dir(s, 0, "Lists"), -EEXIST);
    assert_int_equal(make_dir(s, 0, "inbox"), -EEXIST);
    assert_int_equal(make_dir(s, 0, "new"), -EPERM);
    assert_int_equal(make_dir(s, 0, "a/b"), -EINVAL);
    assert_int_equal(make_dir(s, 999, "x"), -ENOENT);
}

static void test_mkdir_where_none_may_be(void **state)
{
    struct scratch *s = *state;
    struct mailbox m = server_box(s, 0, "Flat", "Flat");
    m.attributes |= MAILBOX_NOINFERIORS;
    server_does(s, put_mailbox, &m);
    assert_int_equal(make_dir(s, m.id, "x"), -EPERM);
    assert_int_equal(rename_dir(s, 0, "Flat", m.id, "x"), -EINVAL);
    make_dir(s, 0, "y");
    assert_int_equal(rename_dir(s, 0, "y", m.id, "y"), -EPERM);
}

static void test_rmdir_of_parts(void **state)
{
    struct scratch *s = *state;
    struct mailbox m = server_box(s, 0, "Old", "Old");
    make_known(s, AT(m, SUB_CUR, "1:2,"), 0, 1);
    assert_int_equal(remove_dir(s, m.id, "cur"), -ENOTEMPTY);
    struct box_call c = {.at = {m.id, "new"}};
    assert_int_equal(files_try(s, call_rmdir, &c), 0);
    assert_int_equal(c.removed.mailbox, m.id);
    assert_int_equal(c.removed.hidden, SUB_NEW);
    assert_false(c.removed.whole);
    assert_int_equal(remove_dir(s, m.id, "new"), -ENOENT);
    assert_string_equal(list(s, m.id), "tmp cur ");
    assert_int_equal(files_try(s, call_show, &c), 1);
    assert_int_equal(files_try(s, call_show, &c), 0);
    assert_string_equal(list(s, m.id), "tmp new cur ");
}

static void test_rmdir(void **state)
{
    struct scratch *s = *state;
    struct mailbox m = server_box(s, 0, "Old", "Old");
    make_dir(s, m.id, "child");
    assert_int_equal(remove_dir(s, 0, "INBOX"), -EBUSY);
    struct message mail = make_message(s, box(s, 0, "INBOX").id, SUB_CUR, "x:2,", MESSAGE_PRESENT);
    assert_int_equal(remove_dir(s, 0, "INBOX"), -ENOTEMPTY);
    mail.state = MESSAGE_GONE;
    server_does(s, put_message, &mail);
    assert_int_equal(remove_dir(s, 0, "INBOX"), -EBUSY);
    assert_int_equal(remove_dir(s, 0, "Old"), -ENOTEMPTY);
    assert_int_equal(remove_dir(s, m.id, "child"), 0);
    assert_int_equal(mailbox_find(cache_reader(s->c), m.id, "child", &m), -ENOENT);
    m = box(s, 0, "Old");
    struct message tmp = make_message(s, m.id, SUB_TMP, "x", MESSAGE_WRITING);
    assert_int_equal(remove_dir(s, 0, "Old"), -ENOTEMPTY);
    tmp.state = MESSAGE_GONE;
    server_does(s, put_message, &tmp);
    /* Mail that is on its way shows as nothing, and is not to be deleted with the mailbox. */
    struct message wanted = make_message(s, m.id, SUB_NEW, "y", MESSAGE_WANTED);
    assert_int_equal(remove_dir(s, 0, "Old"), -ENOTEMPTY);
    wanted.state = MESSAGE_GONE;
    server_does(s, put_message, &wanted);
    struct box_call c = {.at = {0, "Old"}};
    assert_int_equal(files_try(s, call_rmdir, &c), 0);
    assert_true(c.removed.whole);
    assert_int_equal(mailbox_get(cache_reader(s->c), m.id, &m), 0);
    assert_true(m.removed);
    /* The server has not heard of it: made again, it is the same one. */
    assert_int_equal(make_dir(s, 0, "Old"), 0);
    assert_int_equal(box(s, 0, "Old").id, m.id);
    assert_false(box(s, 0, "Old").removed);
}

static void test_rename(void **state)
{
    struct scratch *s = *state;
    struct mailbox a = server_box(s, 0, "A", "A"), b = server_box(s, a.id, "B", "A/B");
    assert_int_equal(rename_dir(s, 0, "A", b.id, "A"), -EINVAL);
    assert_int_equal(rename_dir(s, 0, "A", a.id, "C"), -EINVAL);
    assert_int_equal(rename_dir(s, 0, "INBOX", 0, "C"), -EBUSY);
    assert_int_equal(rename_dir(s, a.id, "cur", a.id, "x"), -EPERM);
    assert_int_equal(rename_dir(s, 0, "A", 0, "cur"), -EPERM);
    assert_int_equal(rename_dir(s, 0, "A", 0, "x/y"), -EINVAL);
    assert_int_equal(rename_dir(s, a.id, "B", 0, "A"), -ENOTEMPTY);
    assert_int_equal(rename_dir(s, a.id, "B", 0, "C"), 0);
    struct mailbox now = box(s, 0, "C");
    assert_int_equal(now.id, b.id);
    assert_string_equal(now.remote, "A/B");
    assert_int_equal(make_dir(s, 0, "Plain"), 0);
    struct box_call c = {.at = {0, "C"}, .to = {0, "Plain"}, .noreplace = true};
    assert_int_equal(files_try(s, call_move, &c), -EEXIST);
    c.noreplace = false;
    assert_int_equal(files_try(s, call_move, &c), 0);
    assert_int_equal(box(s, 0, "Plain").id, b.id);
}

static void test_flat(void **state)
{
    struct scratch *s = *state;
    uint64_t ino;
    cache_rd *rd = cache_reader(s->c);
    assert_string_equal(list(s, 0), "tmp new cur ");
    assert_int_equal(make_dir(s, 0, ".A.B"), 0);
    assert_string_equal(list(s, 0), "tmp new cur .A .A.B ");
    struct mailbox a = box(s, 0, "A"), b = box(s, a.id, "B");
    assert_int_equal(make_dir(s, b.id, "cur"), 0);
    assert_string_equal(list(s, b.id), "cur ");
    assert_int_equal(tree_lookup(rd, layout, 0, ".A.B", &ino), 0);
    assert_int_equal(ino, ino_dir(b.id, SUB_BOX));
    assert_int_equal(tree_lookup(rd, layout, 0, "cur", &ino), 0);
    assert_int_equal(ino, ino_dir(box(s, 0, "INBOX").id, SUB_CUR));
    assert_int_equal(tree_lookup(rd, layout, 0, ".INBOX", &ino), -ENOENT);
    assert_int_equal(tree_lookup(rd, layout, 0, "INBOX", &ino), -ENOENT);
    assert_int_equal(tree_lookup(rd, layout, 0, ".A..B", &ino), -ENOENT);
    assert_int_equal(tree_lookup(rd, layout, b.id, ".C", &ino), -ENOENT);
    assert_int_equal(make_dir(s, 0, "Plain"), -EPERM);
    assert_int_equal(make_dir(s, 0, ".A.B"), -EEXIST);
    assert_int_equal(make_dir(s, 0, "."), -EINVAL);
    assert_int_equal(make_dir(s, 0, "..A"), -EINVAL);
    assert_int_equal(make_dir(s, b.id, ".C"), -EPERM);
    assert_int_equal(tree_subdirectories(rd, layout, 0), 5);
    assert_int_equal(rename_dir(s, 0, ".A", 0, ".X.Y"), 0);
    assert_string_equal(list(s, 0), "tmp new cur .X .X.Y .X.Y.B ");
    assert_int_equal(make_dir(s, 0, ".D%2Et"), 0);
    assert_int_equal(box(s, 0, "D.t").parent, 0);
    assert_int_equal(tree_lookup(rd, layout, 0, ".D%2Et", &ino), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_mkdir, setup_fs, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_mkdir_where_none_may_be, setup_fs, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_rmdir_of_parts, setup_fs, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_rmdir, setup_fs, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_rename, setup_fs, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_flat, setup_maildirpp, scratch_teardown),
    };
    return cmocka_run_group_tests_name("box", tests, NULL, NULL);
}
