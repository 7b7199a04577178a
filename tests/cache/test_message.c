/* Messages: what message_put makes of a difference, names and their clashes, extra names, lists. */
#include <pthread.h>
#include <stdatomic.h>
#include "clock.h"
#include "rows.h"

static int clean(cache_tx *tx, void *arg)
{
    return message_clean(tx, *(int64_t *)arg);
}

static int forget(cache_tx *tx, void *arg)
{
    return message_forget(tx, *(int64_t *)arg);
}

struct flagging {
    struct message m;
    flags_t flags;
};

static int set_flags(cache_tx *tx, void *arg)
{
    struct flagging *f = arg;
    return message_set_flags(tx, &f->m, f->flags);
}

static int64_t mtime(struct scratch *s, int64_t id, enum sub sub)
{
    int64_t ns;
    assert_int_equal(mailbox_mtime(cache_reader(s->c), id, sub, &ns), 0);
    return ns;
}

static int find(struct scratch *s, int64_t box, enum sub sub, const char *name, struct message *ret)
{
    return message_find(cache_reader(s->c), box, sub, name, ret);
}

static void all_fields_are_kept(void **state)
{
    struct scratch *s = *state;
    int64_t box = make_box(s, 0, "INBOX").id;
    struct message m = {.mailbox = box,
                        .sub = SUB_CUR,
                        .name = "\xff\xfe:2,S",
                        .state = MESSAGE_PRESENT,
                        .flags = FLAG_SEEN | (flags_t)1 << 63,
                        .form = MESSAGE_BOTH,
                        .has_hash = true,
                        .hash = {1, 2, 3},
                        .size = (int64_t)1 << 40,
                        .wire_size = 77,
                        .mtime_ns = -5,
                        .date_s = 1700000000,
                        .zone_min = -330,
                        .message_id = INT64_MAX,
                        .after = 99};
    server_does(s, put_message, &m);
    scratch_close(s);
    scratch_open(s, false);
    struct message r = row(s, m.id);
    assert_string_equal(r.name, m.name);
    assert_true(r.mailbox == box && r.sub == SUB_CUR && r.state == MESSAGE_PRESENT && r.flags == m.flags);
    assert_true(r.form == MESSAGE_BOTH && r.has_hash && memcmp(r.hash, m.hash, 32) == 0);
    assert_true(r.size == m.size && r.wire_size == 77 && r.mtime_ns == -5 && r.ctime_ns == m.ctime_ns);
    assert_true(r.date_s == m.date_s && r.zone_min == -330 && r.message_id == INT64_MAX && r.after == 99);
    assert_true(!r.dirty && !r.scratch && r.links == 0 && r.gone_at == 0);
    assert_int_equal(find(s, box, SUB_CUR, "\xff\xfe:2,S", &r), 0);
}

static void assert_same_row(const struct message *a, const struct message *b)
{
    assert_true(a->mailbox == b->mailbox && a->sub == b->sub && a->state == b->state);
    assert_string_equal(a->name, b->name);
    assert_true(a->scratch == b->scratch && a->flags == b->flags && a->form == b->form);
    assert_true(a->has_hash == b->has_hash && memcmp(a->hash, b->hash, sizeof a->hash) == 0);
    assert_true(a->size == b->size && a->wire_size == b->wire_size && a->message_id == b->message_id);
    assert_true(a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns && a->changed_ms == b->changed_ms);
    assert_true(a->date_s == b->date_s && a->zone_min == b->zone_min && a->gone_at == b->gone_at);
    assert_true(a->links == b->links && a->dirty == b->dirty && a->after == b->after);
}

/* Which columns are written depends on what has changed. */
static void each_field_that_changes_alone_is_kept(void **state)
{
    struct scratch *s = *state;
    int64_t box = make_box(s, 0, "INBOX").id, other = make_box(s, 0, "Other").id;
    struct message m = make_message(s, box, SUB_NEW, "1", MESSAGE_PRESENT), next[20];
    unsigned n = 0;
#define CHANGE(what)                                                                                         \
    next[n] = n ? next[n - 1] : m;                                                                           \
    next[n++].what
    CHANGE(flags) = FLAG_FLAGGED;
    CHANGE(sub) = SUB_CUR;
    CHANGE(mailbox) = other;
    CHANGE(name)[0] = '2';
    CHANGE(form) = MESSAGE_BOTH;
    CHANGE(size) = 6;
    CHANGE(wire_size) = 7;
    CHANGE(mtime_ns) = 8;
    CHANGE(zone_min) = 9;
    CHANGE(dirty) = true;
    CHANGE(after) = 10;
    CHANGE(hash)[31] = 11;
    next[n - 1].has_hash = true;
    CHANGE(hash)[0] = 12;
    CHANGE(date_s) = 13;
    CHANGE(message_id) = 14;
    CHANGE(state) = MESSAGE_WRITING;
    CHANGE(state) = MESSAGE_GONE;
    CHANGE(gone_at) = 15;
    CHANGE(state) = MESSAGE_PRESENT;
#undef CHANGE
    for (unsigned i = 0; i < n; i++) {
        server_does(s, put_message, &next[i]);
        struct message r = row(s, m.id);
        assert_same_row(&r, &next[i]);
    }
    assert_true(row(s, m.id).state == MESSAGE_PRESENT && row(s, m.id).gone_at == 0);
}

static void events_and_times_follow_what_is_shown(void **state)
{
    struct scratch *s = *state;
    struct told told = {0};
    int64_t box = make_box(s, 0, "INBOX").id;
    cache_listen(s->c, told_listen, &told);
    struct message m = make_message(s, box, SUB_NEW, "a", MESSAGE_WANTED);
    assert_told(&told, "");
    int64_t new = mtime(s, box, SUB_NEW), cur = mtime(s, box, SUB_CUR);

    m.state = MESSAGE_PRESENT;
    server_does(s, put_message, &m);
    assert_told(&told, "+new/a|");
    assert_true(mtime(s, box, SUB_NEW) > new);
    assert_int_equal(mtime(s, box, SUB_CUR), cur);

    new = mtime(s, box, SUB_NEW);
    int64_t ctime = m.ctime_ns;
    m.sub = SUB_CUR;
    m.flags = FLAG_SEEN;
    snprintf(m.name, sizeof m.name, "a:2,S");
    files_do(s, put_message, &m);
    assert_told(&told, "-new/a +cur/a:2,S w|");
    assert_true(mtime(s, box, SUB_NEW) > new &&mtime(s, box, SUB_CUR) > cur &&m.ctime_ns > ctime);

    ctime = m.ctime_ns;
    cur = mtime(s, box, SUB_CUR);
    m.size = 6;
    server_does(s, put_message, &m);
    assert_told(&told, "~|");
    assert_true(m.ctime_ns > ctime);
    assert_int_equal(mtime(s, box, SUB_CUR), cur);

    ctime = m.ctime_ns;
    m.message_id = 5;
    server_does(s, put_message, &m);
    assert_told(&told, "");
    assert_int_equal(row(s, m.id).ctime_ns, ctime);

    m.state = MESSAGE_GONE;
    files_do(s, put_message, &m);
    assert_told(&told, "-cur/a:2,S w|");
    assert_true(m.gone_at > 0);
    assert_true(mtime(s, box, SUB_CUR) > cur);
    server_does(s, forget, &m.id);
    assert_told(&told, "");
    assert_int_equal(message_get(cache_reader(s->c), m.id, &m), -ENOENT);
}

static void times_of_a_directory_grow_with_each_change(void **state)
{
    struct scratch *s = *state;
    int64_t box = make_box(s, 0, "INBOX").id, last = mtime(s, box, SUB_CUR);
    struct message m = make_message(s, box, SUB_CUR, "0", MESSAGE_PRESENT);
    for (int i = 0; i < 200; i++) {
        snprintf(m.name, sizeof m.name, "%d", i + 1);
        files_do(s, put_message, &m);
        int64_t now = mtime(s, box, SUB_CUR);
        assert_true(now > last);
        last = now;
    }
}

static void what_concerns_the_engine_is_dirty(void **state)
{
    struct scratch *s = *state;
    int64_t box = make_box(s, 0, "INBOX").id, other = make_box(s, 0, "Other").id;
    struct message m = make_message(s, box, SUB_CUR, "a:2,", MESSAGE_PRESENT);
    assert_false(row(s, m.id).dirty);

    snprintf(m.name, sizeof m.name, "b:2,"); /* a new name is no news */
    files_do(s, put_message, &m);
    assert_false(m.dirty);
    assert_true(m.changed_ms > clock_now_ns() / 1000000 - 10000);
    m.sub = SUB_NEW;
    files_do(s, put_message, &m);
    assert_false(m.dirty);
    m.flags = FLAG_FLAGGED;
    server_does(s, put_message, &m);
    assert_false(m.dirty);

    struct message change[] = {m, m, m, m, m};
    change[0].flags = FLAG_SEEN;
    change[1].mailbox = other;
    change[2].state = MESSAGE_GONE;
    change[3].has_hash = true;
    snprintf(change[4].name, sizeof change[4].name, "b~"); /* mail no more */
    for (int i = 0; i < 5; i++) {
        files_do(s, put_message, &change[i]);
        assert_true(row(s, m.id).dirty);
        files_do(s, clean, &m.id);
        assert_false(row(s, m.id).dirty);
        server_does(s, put_message, &m);
    }
    struct message tmp = {.mailbox = box, .sub = SUB_TMP, .name = "t", .state = MESSAGE_WRITING};
    files_do(s, put_message, &tmp);
    assert_false(tmp.dirty);
    tmp.sub = SUB_NEW; /* delivered */
    files_do(s, put_message, &tmp);
    assert_true(tmp.dirty);
}

static void scratch_names_are_known(void **state)
{
    struct scratch *s = *state;
    int64_t box = make_box(s, 0, "INBOX").id;
    struct message m = make_message(s, box, SUB_CUR, "a:2,~", MESSAGE_PRESENT);
    assert_true(m.scratch);
    snprintf(m.name, sizeof m.name, "a:2,");
    files_do(s, put_message, &m);
    assert_false(m.scratch);
    assert_false(make_message(s, box, SUB_TMP, "a~", MESSAGE_PRESENT).scratch);
}

static void a_name_is_shown_once(void **state)
{
    struct scratch *s = *state;
    int64_t box = make_box(s, 0, "INBOX").id;
    struct message a = make_message(s, box, SUB_CUR, "a:2,S", MESSAGE_PRESENT), found;
    struct message b = {.mailbox = box, .sub = SUB_CUR, .name = "a:2,S", .state = MESSAGE_WRITING};
    assert_int_equal(by(s, CACHE_FROM_FILES, put_message, &b), -EEXIST);
    assert_int_equal(b.id, 0);

    /* From the server it gets a base of its own, and keeps its letters. */
    server_does(s, put_message, &b);
    assert_string_not_equal(b.name, "a:2,S");
    assert_string_equal(b.name + strlen(b.name) - 4, ":2,S");
    assert_non_null(strstr(b.name, "host"));
    assert_int_equal(find(s, box, SUB_CUR, b.name, &found), 0);
    assert_int_equal(found.id, b.id);

    /* Not even the fresh base is free: somebody copied the file there and back. */
    struct message c = {.mailbox = box, .sub = SUB_CUR, .state = MESSAGE_PRESENT, .date_s = 1000};
    int64_t next = b.id + 2;
    char taken[256];
    snprintf(taken, sizeof taken, "1000.R%lld.host:2,S", (long long)next);
    make_message(s, box, SUB_CUR, taken, MESSAGE_PRESENT);
    snprintf(c.name, sizeof c.name, "a:2,S");
    server_does(s, put_message, &c);
    assert_int_equal(c.id, next);
    assert_string_not_equal(c.name, taken);
    assert_int_equal(find(s, box, SUB_CUR, c.name, &found), 0);
    assert_int_equal(found.id, c.id);

    /* What is not shown takes no name. */
    a.state = MESSAGE_GONE;
    files_do(s, put_message, &a);
    struct message d = {.mailbox = box, .sub = SUB_CUR, .name = "a:2,S", .state = MESSAGE_WRITING};
    files_do(s, put_message, &d);
    a.state = MESSAGE_PRESENT;
    assert_int_equal(by(s, CACHE_FROM_FILES, put_message, &a), -EEXIST);
    server_does(s, put_message, &a);
}

static void flags_rename(void **state)
{
    struct scratch *s = *state;
    struct told told = {0};
    int64_t box = make_box(s, 0, "INBOX").id;
    struct flagging f = {.m = make_message(s, box, SUB_CUR, "a:2,", MESSAGE_PRESENT)};
    int bit = keywords_bit(cache_keywords(s->c), "work");
    cache_listen(s->c, told_listen, &told);
    f.flags = FLAG_SEEN | FLAG_FLAGGED | (flags_t)1 << bit;
    server_does(s, set_flags, &f);
    assert_told(&told, "-cur/a:2, +cur/a:2,FSa|");
    f.flags = FLAG_SEEN;
    files_do(s, set_flags, &f);
    assert_told(&told, "-cur/a:2,FSa +cur/a:2,S w|");
    assert_int_equal(row(s, f.m.id).flags, FLAG_SEEN);

    f.m = make_message(s, box, SUB_NEW, "n", MESSAGE_PRESENT);
    told_clear(&told);
    f.flags = 0;
    server_does(s, set_flags, &f);
    assert_told(&told, "");
    f.flags = FLAG_SEEN;
    server_does(s, set_flags, &f);
    assert_told(&told, "-new/n +cur/n:2,S|");

    struct message m = {.mailbox = box, .sub = SUB_CUR, .state = MESSAGE_PRESENT};
    memset(m.name, 'x', 252);
    memcpy(m.name + 252, ":2,", 4);
    server_does(s, put_message, &m);
    f.m = m;
    server_does(s, set_flags, &f);
    assert_string_equal(f.m.name, m.name);
    assert_int_equal(row(s, m.id).flags, FLAG_SEEN);
}

struct arrival {
    int64_t box, date_s;
    flags_t flags;
    struct message m;
};

static int arrive(cache_tx *tx, void *arg)
{
    struct arrival *a = arg;
    a->m = (struct message){.mailbox = a->box,
                            .state = MESSAGE_WANTED,
                            .flags = a->flags,
                            .size = 1234,
                            .wire_size = 1234,
                            .date_s = a->date_s,
                            .zone_min = 60};
    return message_new(tx, &a->m);
}

static void mail_from_the_server_is_wanted_and_newest_first(void **state)
{
    struct scratch *s = *state;
    struct arrival a = {.box = make_box(s, 0, "INBOX").id, .date_s = 2000};
    struct arrival b = {.box = make_box(s, 0, "Other").id, .date_s = 3000, .flags = FLAG_SEEN};
    struct arrival c = {.box = a.box, .date_s = 2000, .flags = FLAG_FLAGGED};
    server_does(s, arrive, &a);
    server_does(s, arrive, &b);
    server_does(s, arrive, &c);
    assert_int_equal(a.m.sub, SUB_NEW);
    assert_int_equal(b.m.sub, SUB_CUR);
    assert_int_equal(a.m.state, MESSAGE_WANTED);
    assert_int_equal(a.m.mtime_ns, 2000 * (int64_t)1000000000);
    assert_true(a.m.size == 1234 && a.m.zone_min == 60);
    assert_false(a.m.dirty);
    char names[1024] = "", expected[1024];
    cache_rd *rd = cache_reader(s->c);
    assert_int_equal(message_each_wanted(rd, 0, 10, add_name, names), 0);
    snprintf(expected, sizeof expected, "%s %s %s", b.m.name, c.m.name, a.m.name);
    assert_string_equal(names, expected);
    names[0] = '\0';
    assert_int_equal(message_each_wanted(rd, a.box, 1, add_name, names), 0);
    assert_string_equal(names, c.m.name);
    assert_true(message_any(rd, a.box, true));
    assert_false(message_any(rd, a.box, false));
    assert_int_equal(find(s, a.box, SUB_NEW, a.m.name, &a.m), -ENOENT);
}

/* ---- extra names ---- */

struct extra {
    int64_t id, box;
    enum sub sub;
    const char *name;
};

static int link_extra(cache_tx *tx, void *arg)
{
    struct extra *e = arg;
    return message_link(tx, e->id, e->box, e->sub, e->name);
}

static int unlink_extra(cache_tx *tx, void *arg)
{
    struct extra *e = arg;
    return message_unlink_extra(tx, e->box, e->sub, e->name);
}

/* link(tmp/t, new/n): the row moves, tmp keeps the old name. */
static int deliver(cache_tx *tx, void *arg)
{
    struct extra *e = arg;
    struct message m;
    int err = message_get(cache_tx_rd(tx), e->id, &m);
    if (err)
        return err;
    m.sub = SUB_NEW;
    snprintf(m.name, sizeof m.name, "n");
    err = message_put(tx, &m);
    return err ? err : link_extra(tx, e);
}

static void a_delivery_has_two_names_for_a_moment(void **state)
{
    struct scratch *s = *state;
    struct told told = {0};
    struct message found;
    int64_t box = make_box(s, 0, "INBOX").id;
    struct message m = {.mailbox = box, .sub = SUB_TMP, .name = "t", .state = MESSAGE_WRITING};
    files_do(s, put_message, &m);
    struct extra e = {m.id, box, SUB_TMP, "t"};
    cache_listen(s->c, told_listen, &told);
    files_do(s, deliver, &e);
    assert_told(&told, "-tmp/t +new/n w +tmp/t ~|");
    assert_int_equal(row(s, m.id).links, 1);
    assert_int_equal(find(s, box, SUB_TMP, "t", &found), 0);
    assert_true(found.id == m.id && found.sub == SUB_TMP && strcmp(found.name, "t") == 0);
    assert_int_equal(find(s, box, SUB_NEW, "n", &found), 0);
    assert_int_equal(found.id, m.id);
    assert_int_equal(by(s, CACHE_FROM_FILES, link_extra, &e), -EEXIST);
    struct extra onto = {m.id, box, SUB_NEW, "n"};
    assert_int_equal(by(s, CACHE_FROM_FILES, link_extra, &onto), -EEXIST);
    struct message other = {.mailbox = box, .sub = SUB_TMP, .name = "t", .state = MESSAGE_WRITING};
    assert_int_equal(by(s, CACHE_FROM_FILES, put_message, &other), -EEXIST);

    told_clear(&told);
    files_do(s, unlink_extra, &e);
    assert_told(&told, "-tmp/t ~|");
    assert_int_equal(row(s, m.id).links, 0);
    assert_int_equal(by(s, CACHE_FROM_FILES, unlink_extra, &e), -ENOENT);
    assert_int_equal(find(s, box, SUB_TMP, "t", &found), -ENOENT);
}

static void extra_names_are_listed_and_go_with_their_row(void **state)
{
    struct scratch *s = *state;
    struct told told = {0};
    int64_t box = make_box(s, 0, "INBOX").id;
    struct message a = make_message(s, box, SUB_TMP, "a", MESSAGE_WRITING);
    struct message b = make_message(s, box, SUB_NEW, "b", MESSAGE_WRITING);
    struct message c = make_message(s, box, SUB_TMP, "c", MESSAGE_WRITING);
    files_do(s, link_extra, (&(struct extra){b.id, box, SUB_TMP, "extra"}));
    char names[1024] = "";
    assert_int_equal(message_each(cache_reader(s->c), box, SUB_TMP, 0, add_name, names), 0);
    assert_string_equal(names, "a extra c");
    names[0] = '\0';
    assert_int_equal(message_each(cache_reader(s->c), box, SUB_TMP, a.id, add_name, names), 0);
    assert_string_equal(names, "extra c");

    int64_t extra_box;
    enum sub extra_sub;
    char name[256];
    assert_int_equal(message_extra_of(cache_reader(s->c), c.id, &extra_box, &extra_sub, name), -ENOENT);
    assert_int_equal(message_extra_of(cache_reader(s->c), b.id, &extra_box, &extra_sub, name), 0);
    assert_true(extra_box == box && extra_sub == SUB_TMP && strcmp(name, "extra") == 0);

    cache_listen(s->c, told_listen, &told);
    b.state = MESSAGE_GONE;
    files_do(s, put_message, &b);
    assert_told(&told, "-new/b -tmp/extra ~ w|");
    assert_int_equal(row(s, b.id).links, 0);
}

/* ---- lists ---- */

struct race {
    struct scratch *s;
    int64_t box, first, n;
    atomic_bool stop;
    pthread_t thread;
    int failures;
};

static void *rename_all_the_time(void *arg)
{
    struct race *r = arg;
    for (unsigned i = 0; !r->stop; i++) {
        struct message m;
        if (message_get(cache_reader(r->s->c), r->first + i * 7 % r->n, &m))
            r->failures++;
        /* Names that sort now before, now after what they were. */
        snprintf(m.name, sizeof m.name, "%c%lld.%u:2,", 'a' + i % 26, (long long)m.id, i);
        if (by(r->s, CACHE_FROM_FILES, put_message, &m))
            r->failures++;
    }
    return NULL;
}

struct page {
    int64_t last;
    int left;
    unsigned *seen;
    int64_t first;
};

static int see(void *arg, const struct message *m)
{
    struct page *p = arg;
    if (p->left-- == 0)
        return 1;
    p->seen[m->id - p->first]++;
    p->last = m->id;
    return 0;
}

static void a_listing_in_pages_shows_each_message_once_while_they_are_renamed(void **state)
{
    struct scratch *s = *state;
    enum { N = 200 };
    struct race r = {.s = s, .box = make_box(s, 0, "INBOX").id, .n = N};
    for (int i = 0; i < N; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        int64_t id = make_message(s, r.box, SUB_CUR, name, MESSAGE_PRESENT).id;
        r.first = i ? r.first : id;
    }
    pthread_create(&r.thread, NULL, rename_all_the_time, &r);
    for (int round = 0; round < 30; round++) {
        unsigned seen[N] = {0};
        struct page p = {.seen = seen, .first = r.first};
        do
            p.left = 7;
        while (message_each(cache_reader(s->c), r.box, SUB_CUR, p.last, see, &p) == 1);
        for (int i = 0; i < N; i++)
            assert_int_equal(seen[i], 1);
    }
    r.stop = true;
    pthread_join(r.thread, NULL);
    assert_int_equal(r.failures, 0);
}

static void the_engines_lists(void **state)
{
    struct scratch *s = *state;
    cache_rd *rd = cache_reader(s->c);
    int64_t box = make_box(s, 0, "INBOX").id, other = make_box(s, 0, "Other").id;
    struct message w = {.mailbox = box, .sub = SUB_NEW, .name = "w", .state = MESSAGE_WRITING, .size = 1};
    files_do(s, put_message, &w);
    struct message t = {.mailbox = box, .sub = SUB_TMP, .name = "t", .state = MESSAGE_WRITING, .size = 1};
    files_do(s, put_message, &t);
    struct message x = {.mailbox = box, .sub = SUB_CUR, .name = "x~", .state = MESSAGE_WRITING, .size = 1};
    files_do(s, put_message, &x);
    struct message o = {
        .mailbox = other, .sub = SUB_CUR, .name = "o:2,", .state = MESSAGE_WRITING, .size = 1};
    files_do(s, put_message, &o);
    char names[1024] = "";
    assert_int_equal(message_each_unsettled(rd, add_name, names), 0);
    assert_string_equal(names, "w o:2,");
    names[0] = '\0';
    assert_int_equal(message_each_dirty(rd, 0, add_name, names), 0);
    assert_string_equal(names, "w o:2,");
    names[0] = '\0';
    assert_int_equal(message_each_dirty(rd, other, add_name, names), 0);
    assert_string_equal(names, "o:2,");

    w.state = MESSAGE_GONE;
    w.gone_at = 100;
    files_do(s, put_message, &w);
    o.state = MESSAGE_GONE;
    o.gone_at = 200;
    files_do(s, put_message, &o);
    names[0] = '\0';
    assert_int_equal(message_each_gone(rd, add_name, names), 0);
    assert_string_equal(names, "o:2, w");
    o.state = MESSAGE_PRESENT;
    server_does(s, put_message, &o);
    assert_int_equal(o.gone_at, 0);
}

static void an_append_that_waits_is_known(void **state)
{
    struct scratch *s = *state;
    cache_rd *rd = cache_reader(s->c);
    int64_t box = make_box(s, 0, "INBOX").id;
    assert_false(message_append_waits(rd, 0, 0));
    struct message m = {.mailbox = box, .sub = SUB_CUR, .name = "m:2,", .state = MESSAGE_WRITING};
    files_do(s, put_message, &m);
    assert_false(message_append_waits(rd, 0, 0)); /* empty */
    m.size = 10;
    files_do(s, put_message, &m);
    assert_true(message_append_waits(rd, 42, 0)); /* not settled: it could be */
    m.state = MESSAGE_PRESENT;
    m.has_hash = true;
    m.message_id = 42;
    files_do(s, put_message, &m);
    assert_true(message_append_waits(rd, 42, 0));
    assert_true(message_append_waits(rd, 0, 0));
    assert_false(message_append_waits(rd, 43, 0));
    assert_false(message_append_waits(rd, 42, m.id));
    server_does(s, put_base, (&(struct base_state){.mailbox = box, .uid = 1, .message = m.id}));
    assert_false(message_append_waits(rd, 42, 0));
}

static void a_body_is_found_by_its_hash(void **state)
{
    struct scratch *s = *state;
    int64_t box = make_box(s, 0, "INBOX").id;
    uint8_t hash[32] = {7};
    struct message m = {.mailbox = box, .sub = SUB_CUR, .name = "m", .state = MESSAGE_GONE, .has_hash = true},
                   found;
    memcpy(m.hash, hash, sizeof hash);
    server_does(s, put_message, &m);
    assert_int_equal(message_find_hash(cache_reader(s->c), hash, &found), -ENOENT);
    m.state = MESSAGE_PRESENT;
    server_does(s, put_message, &m);
    assert_int_equal(message_find_hash(cache_reader(s->c), hash, &found), 0);
    assert_int_equal(found.id, m.id);
}

static void numbers_are_never_used_twice(void **state)
{
    struct scratch *s = *state;
    int64_t box = make_box(s, 0, "INBOX").id;
    struct message a = make_message(s, box, SUB_CUR, "a", MESSAGE_PRESENT);
    server_does(s, forget, &a.id);
    scratch_close(s);
    scratch_open(s, false);
    struct message b = make_message(s, box, SUB_CUR, "a", MESSAGE_PRESENT);
    assert_true(b.id > a.id);
}

#define T(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(all_fields_are_kept),
        T(each_field_that_changes_alone_is_kept),
        T(events_and_times_follow_what_is_shown),
        T(times_of_a_directory_grow_with_each_change),
        T(what_concerns_the_engine_is_dirty),
        T(scratch_names_are_known),
        T(a_name_is_shown_once),
        T(flags_rename),
        T(mail_from_the_server_is_wanted_and_newest_first),
        T(a_delivery_has_two_names_for_a_moment),
        T(extra_names_are_listed_and_go_with_their_row),
        T(a_listing_in_pages_shows_each_message_once_while_they_are_renamed),
        T(the_engines_lists),
        T(an_append_that_waits_is_known),
        T(a_body_is_found_by_its_hash),
        T(numbers_are_never_used_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
