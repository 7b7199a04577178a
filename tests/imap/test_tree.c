/* The tree: which mailboxes there are, with which numbers, and how much room. */
#include "script.h"

static unsigned boxes;
static char names[512];

static int on_box(void *arg, const struct worker_box *b)
{
    (void)arg;
    boxes++;
    snprintf(names + strlen(names), sizeof names - strlen(names), "%s:%c:%u:%d:%u ", b->name,
             b->delimiter != 0 ? b->delimiter : '-', b->attributes, b->has_status, b->messages);
    return 0;
}

static enum worker_result tree(void)
{
    boxes = 0;
    names[0] = '\0';
    return rig.w->ops->tree(rig.w, on_box, NULL, &rig.e);
}

static void test_tree(void **state)
{
    (void)state;
    static const char *const script[] = {
        OPEN(" LIST-EXTENDED LIST-STATUS SPECIAL-USE CONDSTORE UNSELECT"),
        "C:LIST \"\" \"*\" RETURN (SUBSCRIBED SPECIAL-USE STATUS (MESSAGES UIDNEXT UIDVALIDITY "
        "HIGHESTMODSEQ))",
        "S:* LIST (\\Subscribed \\HasNoChildren) \"/\" inbox",
        "S:* STATUS INBOX (MESSAGES 3 UIDNEXT 4 X-NEW (a b) X-NONE NIL HIGHESTMODSEQ 9)",
        "S:* LIST (\\Trash) \"/\" {4}\r\na\"\\b (\"CHILDINFO\" (\"SUBSCRIBED\"))",
        "S:* LIST () \"/\" INBOX",
        "S:* LIST (\\NonExistent) NIL \"x]y\"",
        "S:* LIST () bad",
        "S:* LIST (\\Noselect \\Noinferiors) \"\\\\\" n{il",
        "S:* STATUS {4}\r\na\"\\b (MESSAGES 1)",
        "S:$ OK",
        "C:SELECT",
        "S:$ OK",
        "C:UNSELECT",
        "C:LIST",
        "S:m5 OK",
        "S:* LIST () NIL a",
        "S:m4 OK",
        BYE};
    static const char *const plain[] = {OPEN(" LIST-EXTENDED"),
                                        "C:RETURN",
                                        "S:$ BAD what",
                                        "C:LIST \"\" \"*\"\r",
                                        "S:* LIST () \"/\" INBOX",
                                        "S:* LIST (\\Noselect) \"/\" b",
                                        "S:* LIST () \"/\" c",
                                        "S:$ OK",
                                        "C:LSUB \"\" \"*\"",
                                        "S:* LSUB () \"/\" c",
                                        "S:* LSUB () \"/\" gone",
                                        "S:$ OK",
                                        "C:STATUS \"INBOX\" (MESSAGES UIDNEXT UIDVALIDITY)",
                                        "C:STATUS \"c\"",
                                        "S:* STATUS INBOX (MESSAGES 5)",
                                        "S:m5 OK",
                                        "S:m6 NO no",
                                        BYE};
    begin(script);
    assert_int_equal(tree(), WORKER_DONE);
    assert_string_equal(names, "INBOX:/:256:1:3 a\"\\b:/:8:1:1 x]y:-:1:0:0 ");
    look(NULL, WORKER_CHANGES);
    assert_int_equal(tree(), WORKER_DONE);
    assert_string_equal(names, "a:-:0:0:0 ");
    end();
    begin(plain);
    assert_int_equal(tree(), WORKER_DONE);
    assert_string_equal(names, "INBOX:/:0:1:5 b:/:1:0:0 c:/:256:0:0 ");
    end();
}

static int on_id(void *arg, const struct worker_box *b)
{
    (void)arg;
    snprintf(names + strlen(names), sizeof names - strlen(names), "%s=%s ", b->name, b->id ? b->id : "-");
    return 0;
}

/* RFC 8474 4: a mailbox keeps its id, whose case counts, under any name. What is none is left alone. */
static void test_mailbox_ids(void **state)
{
    (void)state;
    static const char *const script[] = {
        OPEN(" LIST-EXTENDED LIST-STATUS OBJECTID"),
        "C:LIST \"\" \"*\" RETURN (SUBSCRIBED STATUS (MESSAGES UIDNEXT UIDVALIDITY MAILBOXID))",
        "S:* LIST () \"/\" a",
        "S:* LIST () \"/\" b",
        "S:* LIST () \"/\" c",
        "S:* LIST () \"/\" d",
        "S:* STATUS a (MESSAGES 3 MAILBOXID (F2212ea87-6097) UIDNEXT 4)",
        "S:* STATUS b (MAILBOXID NIL)",
        "S:* STATUS c (MAILBOXID (\"a b\"))",
        "S:* STATUS d (MESSAGES 1)",
        "S:$ OK",
        BYE};
    begin(script);
    names[0] = '\0';
    assert_int_equal(rig.w->ops->tree(rig.w, on_id, NULL, &rig.e), WORKER_DONE);
    assert_string_equal(names, "a=F2212ea87-6097 b=- c=- d=- ");
    end();
}

/* Of two roots the tighter one; nothing where it is refused or not offered, and no command for the latter. */
static void test_quota(void **state)
{
    (void)state;
    static const char *const script[] = {OPEN(" QUOTA"),
                                         "C:GETQUOTAROOT \"INBOX\"\r",
                                         "S:* QUOTAROOT INBOX a b c",
                                         "S:* QUOTA a (STORAGE 10 900)",
                                         "S:* QUOTA b (STORAGE 90 100 MESSAGE 1 2)",
                                         "S:* QUOTA c (STORAGE 1 lots)",
                                         "S:$ OK",
                                         "C:GETQUOTAROOT",
                                         "S:* QUOTA a (STORAGE 10 900)",
                                         "S:$ NO not now",
                                         "C:GETQUOTAROOT",
                                         "S:* BYE no more",
                                         NULL};
    static const char *const without[] = {OPEN(""), BYE};
    struct worker_quota q;
    begin(script);
    assert_int_equal(rig.w->ops->quota(rig.w, "INBOX", &q, &rig.e), WORKER_DONE);
    assert_true(q.known && q.used == 92160 && q.limit == 102400);
    assert_int_equal(rig.w->ops->quota(rig.w, "INBOX", &q, &rig.e), WORKER_DONE);
    assert_false(q.known || q.used || q.limit);
    assert_int_equal(rig.w->ops->quota(rig.w, "INBOX", &q, &rig.e), WORKER_BROKEN);
    end();
    begin(without);
    assert_int_equal(rig.w->ops->quota(rig.w, "INBOX", &q, &rig.e), WORKER_DONE);
    assert_false(q.known);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_mailbox_ids),
        cmocka_unit_test(test_quota),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
