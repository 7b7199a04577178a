/*
 * Exactly-once append: the verdicts one by one, and a model of a server to which two files of the same mail
 * are delivered while connections break at every point, others deliver look-alikes, and the server lies about
 * sizes and UIDs.
 */
#include "check.h"
#include <string.h>
#include "brain.h"

static const struct brain_append intent = {
    .uidvalidity = 3, .uidnext = 10, .size = 500, .message_id = 77, .content = 1234};

static void expect(const struct brain_candidate *c, size_t n, enum brain_append_verdict verdict, uint32_t uid)
{
    uint32_t found = 0;
    assert_int_equal(brain_append_settle(&intent, 3, c, n, &found), verdict);
    assert_int_equal(found, uid);
}

static void nothing_there(void **state)
{
    const struct brain_candidate others[] = {
        {.uid = 9, .size = 500, .message_id = 77, .content = 1234}, /* below: was there before */
        {.uid = 10, .size = 500, .message_id = 77, .content = 1234, .paired = true},
        {.uid = 11, .size = 500, .message_id = 78},
        {.uid = 12, .size = 500, .message_id = 77, .content = 99}, /* case 23 */
    };
    (void)state;
    expect(NULL, 0, BRAIN_APPEND_SEND, 0);
    expect(others, COUNT(others), BRAIN_APPEND_SEND, 0);
}

static void there(void **state)
{
    const struct brain_candidate by_content[] = {{.uid = 12, .size = 500, .message_id = 77},
                                                 {.uid = 11, .content = 1234},
                                                 {.uid = 10, .size = 500, .message_id = 77}};
    const struct brain_candidate by_id[] = {{.uid = 12, .size = 500, .message_id = 77},
                                            {.uid = 11, .size = 500},
                                            {.uid = 10, .size = 500, .message_id = 77, .paired = true}};
    (void)state;
    expect(by_content, COUNT(by_content), BRAIN_APPEND_THERE, 11);
    expect(by_id, COUNT(by_id), BRAIN_APPEND_THERE, 12);
}

/* An edit that kept id and size: what lies there may be the text before it, which somebody put back. */
static void a_body_decides_between_two_texts(void **state)
{
    struct brain_candidate c[] = {{.uid = 12, .size = 500, .message_id = 77}};
    struct brain_append edited = intent;
    uint32_t uid = 0;
    (void)state;
    edited.look_alike = true;
    assert_int_equal(brain_append_settle(&edited, 3, c, 1, &uid), BRAIN_APPEND_READ);
    assert_int_equal(uid, 12);
    c[0].content = 99;
    assert_int_equal(brain_append_settle(&edited, 3, c, 1, &uid), BRAIN_APPEND_SEND);
    c[0].content = 1234;
    assert_int_equal(brain_append_settle(&edited, 3, c, 1, &uid), BRAIN_APPEND_THERE);
}

static void bodies_decide_when_ids_do_not(void **state)
{
    struct brain_candidate several[] = {{.uid = 13, .size = 500, .message_id = 77},
                                        {.uid = 12, .size = 500, .message_id = 77},
                                        {.uid = 11, .size = 170, .message_id = 77},
                                        {.uid = 10, .size = 500}};
    (void)state;
    expect(several, 4, BRAIN_APPEND_READ, 12);
    several[1].content = 1;
    expect(several, 4, BRAIN_APPEND_READ, 13);
    several[0].content = 1;
    expect(several, 4, BRAIN_APPEND_READ, 11); /* a lie about the size? */
    several[2].content = 1;
    expect(several, 4, BRAIN_APPEND_READ, 10); /* says no id */
    several[3].content = 1;
    expect(several, 4, BRAIN_APPEND_SEND, 0);
}

/* The server said OK, and then has no text like ours (case 63). */
static void what_was_accepted_is_there(void **state)
{
    struct brain_candidate c[] = {{.uid = 10, .size = 90, .message_id = 78, .content = 5},
                                  {.uid = 11, .size = 90, .message_id = 77, .content = 5},
                                  {.uid = 12, .size = 90, .message_id = 77, .content = 6},
                                  {.uid = 13, .size = 90, .message_id = 77, .content = 6, .paired = true}};
    struct brain_append said = intent;
    uint32_t uid = 0;
    (void)state;
    said.accepted = true;
    assert_int_equal(brain_append_settle(&said, 3, c, 4, &uid), BRAIN_APPEND_THERE);
    assert_int_equal(uid, 12);
    c[1].content = 1234; /* our own text, where there is one, before any other */
    assert_int_equal(brain_append_settle(&said, 3, c, 4, &uid), BRAIN_APPEND_THERE);
    assert_int_equal(uid, 11);
    c[1].content = c[2].content = 0; /* not known: bodies are read first */
    assert_int_equal(brain_append_settle(&said, 3, c, 4, &uid), BRAIN_APPEND_READ);
    assert_int_equal(brain_append_settle(&said, 3, c, 1, &uid), BRAIN_APPEND_SEND);

    said.message_id = 0; /* without a Message-ID, only one that is alone in having none */
    c[1].message_id = c[2].message_id = 0;
    c[1].content = c[2].content = 5;
    assert_int_equal(brain_append_settle(&said, 3, c, 3, &uid), BRAIN_APPEND_SEND);
    assert_int_equal(brain_append_settle(&said, 3, c, 2, &uid), BRAIN_APPEND_THERE);
    assert_int_equal(uid, 11);
}

/* Of several, one whose text nobody knows; the last one of these. */
static void what_was_altered_is_a_new_text(void **state)
{
    static const bool known[][3] = {{false, false, false}, {true, true, true},   {true, false, false},
                                    {false, true, true},   {false, false, true}, {true, true, false}};
    static const unsigned taken[] = {12, 12, 12, 10, 11, 12};
    struct brain_append said = intent;
    (void)state;
    said.accepted = true;
    for (size_t i = 0; i < COUNT(known); i++)
        for (size_t turn = 0; turn < 3; turn++) {
            struct brain_candidate c[3];
            uint32_t uid = 0;
            for (unsigned k = 0; k < 3; k++)
                c[(k + turn) % 3] = (struct brain_candidate){
                    .uid = 10 + k, .size = 90, .message_id = 77, .content = 5 + k, .known = known[i][k]};
            assert_int_equal(brain_append_settle(&said, 3, c, 3, &uid), BRAIN_APPEND_THERE);
            assert_int_equal(uid, taken[i]);
        }
}

/* Reading a body would tell nothing: what id and size do not prove is sent again. */
static void without_a_content_of_ours(void **state)
{
    const struct brain_candidate proven[] = {{.uid = 10, .size = 500, .message_id = 77, .content = 5}};
    const struct brain_candidate unsure[] = {{.uid = 10, .size = 90, .message_id = 77}};
    struct brain_append bare = intent;
    uint32_t uid = 0;
    (void)state;
    bare.content = 0;
    assert_int_equal(brain_append_settle(&bare, 3, unsure, 1, &uid), BRAIN_APPEND_SEND);
    assert_int_equal(uid, 0);
    assert_int_equal(brain_append_settle(&bare, 3, proven, 1, &uid), BRAIN_APPEND_THERE);
    assert_int_equal(uid, 10);
}

static void case_70_meanwhile(void **state)
{
    uint32_t uid = 0;
    (void)state;
    assert_int_equal(brain_append_settle(&intent, 4, NULL, 0, &uid), BRAIN_APPEND_LOST);
}

static void which_uids_are_credible(void **state)
{
    struct brain_append silent = intent;
    (void)state;
    assert_true(brain_append_uid_credible(&intent, 3, 10));
    assert_true(brain_append_uid_credible(&intent, 3, UINT32_MAX));
    assert_false(brain_append_uid_credible(&intent, 3, 9));
    assert_false(brain_append_uid_credible(&intent, 10, 3)); /* exchanged fields */
    silent.uidnext = 0;
    assert_false(brain_append_uid_credible(&silent, 3, 5));
    silent = intent;
    silent.uidvalidity = 0;
    assert_false(brain_append_uid_credible(&silent, 0, 10));
}

/* ---- the model ---- */

enum { MAIL_MAX = 32, FILES = 2, CRASHES = 3 };

enum crash { CRASH_BEFORE, CRASH_AFTER_STORING, CRASH_AFTER_REPLY, NO_CRASH, CRASH_POINTS };

/* What the server does to sizes, to APPENDUID and to `n:*`. */
enum sizes { SIZES_RIGHT, SIZES_A_THIRD, SIZES_NULL, SIZES_KINDS };
enum reply { REPLY_SILENT, REPLY_RIGHT, REPLY_EXCHANGED, REPLY_OLD_UID, REPLIES };
enum others { OTHERS_NONE, OTHERS_SAME_ID, OTHERS_NO_ID, OTHERS_UNRELATED, OTHERS_KINDS };

struct mail {
    uint32_t uid;
    int64_t size, message_id;
    uint64_t content;
};

struct scene {
    bool has_id;
    enum sizes sizes;
    enum reply reply;
    enum others others;
    enum crash crash[CRASHES];
    unsigned crashes; /* so many happened */
    struct mail mail[MAIL_MAX];
    size_t n;
    uint32_t uidnext;
    uint32_t row[FILES]; /* the UID that each file was found or stored under; 0 not yet */
    struct brain_append pending;
    bool has_pending;
    unsigned bodies_read;
};

static void store(struct scene *s, int64_t message_id, int64_t size, uint64_t content)
{
    assert_true(s->n < MAIL_MAX);
    s->mail[s->n++] =
        (struct mail){.uid = s->uidnext++, .size = size, .message_id = message_id, .content = content};
}

static void others_deliver(struct scene *s)
{
    if (s->others == OTHERS_SAME_ID)
        store(s, s->has_id ? 77 : 0, 501, 2000 + s->n);
    else if (s->others == OTHERS_NO_ID)
        store(s, 0, 500, 2000 + s->n);
    else if (s->others == OTHERS_UNRELATED)
        store(s, 78, 500, 2000 + s->n);
}

static enum crash next_crash(struct scene *s)
{
    return s->crashes < CRASHES ? s->crash[s->crashes++] : NO_CRASH;
}

static bool is_paired(const struct scene *s, uint32_t uid)
{
    return uid == s->row[0] || uid == s->row[1];
}

static int64_t told_size(const struct scene *s, int64_t size)
{
    return s->sizes == SIZES_RIGHT ? size : s->sizes == SIZES_NULL ? 0 : size / 3;
}

static enum brain_append_verdict settle(struct scene *s, uint32_t *ret_uid)
{
    struct brain_candidate c[MAIL_MAX];

    for (size_t i = 0; i < s->n; i++)
        c[i] = (struct brain_candidate){.uid = s->mail[i].uid,
                                        .size = told_size(s, s->mail[i].size),
                                        .message_id = s->mail[i].message_id,
                                        .paired = is_paired(s, s->mail[i].uid)};
    for (size_t reads = 0;; reads++) {
        enum brain_append_verdict v = brain_append_settle(&s->pending, 3, c, s->n, ret_uid);
        if (v != BRAIN_APPEND_READ)
            return v;
        assert_true(reads < s->n);
        s->bodies_read++;
        for (size_t i = 0; i < s->n; i++)
            if (c[i].uid == *ret_uid)
                c[i].content = s->mail[i].content;
    }
}

/* One attempt to deliver a file, as far as the connection holds. */
static void attempt(struct scene *s, int file)
{
    uint32_t uid = 0;

    if (s->has_pending && settle(s, &uid) == BRAIN_APPEND_THERE) {
        s->row[file] = uid;
        s->has_pending = false;
        return;
    }
    s->pending = (struct brain_append){.uidvalidity = 3,
                                       .uidnext = s->uidnext,
                                       .size = 500,
                                       .message_id = s->has_id ? 77 : 0,
                                       .content = 1234};
    s->has_pending = true;
    others_deliver(s);
    enum crash crash = next_crash(s);
    if (crash == CRASH_BEFORE)
        return;
    uid = s->uidnext;
    store(s, s->pending.message_id, 500, 1234);
    others_deliver(s);
    if (crash != NO_CRASH)
        return;
    uint32_t said_validity = s->reply == REPLY_EXCHANGED ? uid : 3;
    uint32_t said_uid = s->reply == REPLY_EXCHANGED ? 3 : s->reply == REPLY_OLD_UID ? 1 : uid;
    if (s->reply != REPLY_SILENT && brain_append_uid_credible(&s->pending, said_validity, said_uid))
        s->row[file] = said_uid;
    else
        assert_int_equal(settle(s, &s->row[file]), BRAIN_APPEND_THERE);
    s->has_pending = false;
}

static void deliver_all(struct scene *s)
{
    s->uidnext = 1;
    store(s, s->has_id ? 77 : 0, 500, 1234); /* an old copy, which is neither of the two files */
    for (int file = 0; file < FILES; file++)
        while (!s->row[file])
            attempt(s, file);
}

static void check_delivered(const struct scene *s)
{
    size_t copies = 0;

    assert_int_not_equal(s->row[0], s->row[1]);
    for (size_t i = 0; i < s->n; i++) {
        copies += s->mail[i].content == 1234;
        if (is_paired(s, s->mail[i].uid))
            assert_int_equal(s->mail[i].content, 1234);
    }
    assert_int_equal(copies, 1 + FILES);
}

static void exactly_once(void **state)
{
    size_t scenes = 0, bodies = 0;
    int crashes = CRASH_POINTS * CRASH_POINTS * CRASH_POINTS;
    (void)state;

    for (int i = 0; i < crashes * SIZES_KINDS * REPLIES * OTHERS_KINDS * 2; i++) {
        int k = i / crashes;
        struct scene s = {.crash = {i % CRASH_POINTS, i / CRASH_POINTS % CRASH_POINTS,
                                    i / CRASH_POINTS / CRASH_POINTS % CRASH_POINTS},
                          .sizes = k % SIZES_KINDS,
                          .reply = k / SIZES_KINDS % REPLIES,
                          .others = k / SIZES_KINDS / REPLIES % OTHERS_KINDS,
                          .has_id = k / SIZES_KINDS / REPLIES / OTHERS_KINDS};
        deliver_all(&s);
        check_delivered(&s);
        scenes++;
        bodies += s.bodies_read;
    }
    assert_int_equal(scenes, 64 * 3 * 4 * 4 * 2);
    assert_true(bodies > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_there),
        cmocka_unit_test(there),
        cmocka_unit_test(a_body_decides_between_two_texts),
        cmocka_unit_test(bodies_decide_when_ids_do_not),
        cmocka_unit_test(what_was_accepted_is_there),
        cmocka_unit_test(what_was_altered_is_a_new_text),
        cmocka_unit_test(without_a_content_of_ours),
        cmocka_unit_test(case_70_meanwhile),
        cmocka_unit_test(which_uids_are_credible),
        cmocka_unit_test(exactly_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
