#pragma once
/* Changes and events, for the tests of the database. */
#include "scratch_cache.h"
#include "base_state.h"
#include "mailbox.h"
#include "message.h"
#include "pending.h"

static inline int put_message(cache_tx *tx, void *arg)
{
    return message_put(tx, arg);
}

static inline int put_base(cache_tx *tx, void *arg)
{
    return base_put(tx, arg);
}

static inline int put_mailbox(cache_tx *tx, void *arg)
{
    return mailbox_put(tx, arg);
}

static inline int by(struct scratch *s, enum cache_origin origin, int (*change)(cache_tx *tx, void *arg),
                     void *arg)
{
    return cache_write(s->c, origin, CACHE_SOON, change, arg);
}

#define files_do(s, change, arg) assert_int_equal(by(s, CACHE_FROM_FILES, change, arg), 0)
#define server_does(s, change, arg) assert_int_equal(by(s, CACHE_FROM_SERVER, change, arg), 0)

static inline struct mailbox make_box(struct scratch *s, int64_t parent, const char *name)
{
    struct mailbox m = {.parent = parent, .dirs = MAILBOX_ALL_DIRS};
    snprintf(m.name, sizeof m.name, "%s", name);
    server_does(s, put_mailbox, &m);
    assert_true(m.id > 0);
    return m;
}

static inline struct message make_message(struct scratch *s, int64_t mailbox, enum sub sub, const char *name,
                                          enum message_state state)
{
    struct message m = {.mailbox = mailbox, .sub = sub, .state = state, .size = 5};
    snprintf(m.name, sizeof m.name, "%s", name);
    server_does(s, put_message, &m);
    assert_true(m.id > 16);
    return m;
}

/* The file of a made-up hash, so that its content is here. */
static inline void make_body(struct scratch *s, const struct message *m)
{
    char name[128];
    int at = snprintf(name, sizeof name, "bodies/%02x", m->hash[0]);
    mkdirat(cache_dirfd(s->c), name, 0700);
    name[at++] = '/';
    for (size_t i = 1; i < sizeof m->hash; i++)
        at += snprintf(name + at, sizeof name - (size_t)at, "%02x", m->hash[i]);
    int fd = openat(cache_dirfd(s->c), name, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static inline struct message row(struct scratch *s, int64_t id)
{
    struct message m;
    assert_int_equal(message_get(cache_reader(s->c), id, &m), 0);
    return m;
}

/* What the listener was told, as text: "+cur/name", "-name", "~" (attributes), "w" (work), "|" at each
 * commit's end. */
struct told {
    char text[4096];
    size_t commits;
};

static inline void told_add(struct told *t, const char *text)
{
    size_t have = strlen(t->text);
    snprintf(t->text + have, sizeof t->text - have, "%s", text);
}

static inline void told_listen(void *arg, const struct cache_event *events, size_t n)
{
    static const char *const sub[] = {"tmp/", "new/", "cur/", ""};
    static const char *const sign[] = {"+", "-", "~", "w"};
    struct told *t = arg;
    for (size_t i = 0; i < n; i++) {
        const struct cache_event *e = &events[i];
        told_add(t, t->text[0] && t->text[strlen(t->text) - 1] != '|' ? " " : "");
        told_add(t, sign[e->kind]);
        if (e->kind <= CACHE_ENTRY_REMOVED) {
            told_add(t, sub[ino_sub(e->parent)]);
            told_add(t, e->name);
        }
    }
    told_add(t, "|");
    t->commits++;
}

static inline void told_clear(struct told *t)
{
    *t = (struct told){0};
}

#define assert_told(t, expected)                                                                             \
    do {                                                                                                     \
        assert_string_equal((t)->text, expected);                                                            \
        told_clear(t);                                                                                       \
    } while (0)

/* Names in the order of a listing, joined by spaces. */
static inline int add_name(void *arg, const struct message *m)
{
    char *text = arg;
    size_t have = strlen(text);
    snprintf(text + have, 1024 - have, "%s%s", have ? " " : "", m->name);
    return 0;
}
