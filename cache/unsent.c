/*
 * unsent/<row id>: a few lines "key value", enough to make the row again when the database is lost. In names,
 * control characters and '%' are written %XX, so that a name is one line. A note is written whole, or not at
 * all.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base_state.h"
#include "buf.h"
#include "maildir.h"
#include "private.h"
#include "work_table.h"

#define UNSENT_MAX ((size_t)32 * 1024)
#define STAGED_NAME_MAX (WORK_NAME_MAX + 8)

static const char *const sub_name[] = {[SUB_TMP] = "tmp", [SUB_NEW] = "new", [SUB_CUR] = "cur"};

static const struct number {
    const char *key;
    size_t offset;
} numbers[] = {
    {"size", offsetof(struct message, size)},
    {"wire_size", offsetof(struct message, wire_size)},
    {"message_id", offsetof(struct message, message_id)},
    {"mtime_ns", offsetof(struct message, mtime_ns)},
    {"date_s", offsetof(struct message, date_s)},
};
#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static int64_t *number_of(const struct message *m, const struct number *n)
{
    return (int64_t *)((char *)m + n->offset);
}

static void add_name(struct buf *b, const char *key, const char *name)
{
    buf_adds(b, key);
    for (const unsigned char *at = (const unsigned char *)name; *at; at++) {
        if (*at < ' ' || *at == 0x7f || *at == '%')
            buf_addf(b, "%%%02X", *at);
        else
            buf_add(b, at, 1);
    }
    buf_adds(b, "\n");
}

static void add_hash(struct buf *b, const uint8_t hash[BODY_HASH])
{
    buf_adds(b, "hash ");
    for (size_t i = 0; i < BODY_HASH; i++)
        buf_addf(b, "%02x", hash[i]);
    buf_adds(b, "\n");
}

static int print(const struct unsent *u, struct buf *b)
{
    add_name(b, "mailbox ", u->mailbox);
    buf_addf(b, "sub %s\n", sub_name[u->m.sub]);
    add_name(b, "name ", u->m.name);
    add_hash(b, u->m.hash);
    buf_addf(b, "form %d\nzone_min %d\n", (int)u->m.form, u->m.zone_min);
    for (size_t i = 0; i < NUMBERS; i++)
        buf_addf(b, "%s %" PRId64 "\n", numbers[i].key, *number_of(&u->m, &numbers[i]));
    return b->failed ? -ENOMEM : 0;
}

int unsent_write(struct cache *c, const struct unsent *u)
{
    CLEANUP(buf_finish) struct buf b = {0};
    char name[WORK_NAME_MAX];
    int r = print(u, &b);
    work_name(u->m.id, name);
    return r < 0 ? r : io_write_file_atomic(c->work->unsentfd, name, b.data, b.length);
}

/* Under this name it is no note yet. One that is left over is overwritten when its row is settled again. */
static void staged_name(int64_t id, char ret[STAGED_NAME_MAX])
{
    snprintf(ret, STAGED_NAME_MAX, "%" PRId64 ".new", id);
}

int unsent_stage(struct cache *c, const struct unsent *u, bool sync)
{
    CLEANUP(buf_finish) struct buf b = {0};
    char name[STAGED_NAME_MAX];
    int r = print(u, &b);
    if (r < 0)
        return r;
    staged_name(u->m.id, name);
    CLEANUP(io_close)
    int fd = spare_take(c->work, c->work->unsentfd, name);
    if (fd < 0)
        return fd;
    r = io_write_full(fd, b.data, b.length);
    return r == 0 && sync && fsync(fd) < 0 ? -errno : r;
}

int unsent_place(struct cache *c, int64_t id)
{
    char from[STAGED_NAME_MAX], to[WORK_NAME_MAX];
    staged_name(id, from);
    work_name(id, to);
    return renameat(c->work->unsentfd, from, c->work->unsentfd, to) < 0 ? -errno : 0;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Two hexadecimal digits, or -1. Stops at a NUL between them. */
static int hex_octet(const char *at)
{
    int high = hex_digit(at[0]);
    int low = high < 0 ? -1 : hex_digit(at[1]);
    return low < 0 ? -1 : high << 4 | low;
}

static int parse_name(const char *value, char *ret, size_t size)
{
    size_t n = 0;
    for (const char *at = value; *at; at++) {
        int c = (unsigned char)*at;
        if (c == '%') {
            c = hex_octet(at + 1);
            at += 2;
        }
        if (c <= 0 || n + 1 >= size)
            return -EBADMSG;
        ret[n++] = (char)c;
    }
    ret[n] = '\0';
    return n > 0 ? 0 : -EBADMSG;
}

static int parse_hash(const char *value, struct message *m)
{
    if (strlen(value) != 2 * BODY_HASH)
        return -EBADMSG;
    for (size_t i = 0; i < BODY_HASH; i++) {
        int c = hex_octet(value + 2 * i);
        if (c < 0)
            return -EBADMSG;
        m->hash[i] = (uint8_t)c;
    }
    m->has_hash = true;
    return 0;
}

static int parse_sub(const char *value, struct message *m)
{
    for (enum sub sub = SUB_TMP; sub <= SUB_CUR; sub++) {
        if (strcmp(value, sub_name[sub]) == 0) {
            m->sub = sub;
            return 0;
        }
    }
    return -EBADMSG;
}

static int parse_number(const char *key, const char *value, struct message *m)
{
    char *end;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    if (errno || end == value || *end)
        return -EBADMSG;
    if (strcmp(key, "form") == 0 && number >= MESSAGE_LF && number <= MESSAGE_OWN)
        m->form = (enum message_form)number;
    else if (strcmp(key, "zone_min") == 0 && number > -1440 && number < 1440)
        m->zone_min = (int)number;
    for (size_t i = 0; i < NUMBERS; i++)
        if (strcmp(key, numbers[i].key) == 0)
            *number_of(m, &numbers[i]) = number;
    return 0;
}

static int parse_line(char *line, struct unsent *u)
{
    char *value = strchr(line, ' ');
    if (!value)
        return -EBADMSG;
    *value++ = '\0';
    if (strcmp(line, "mailbox") == 0)
        return parse_name(value, u->mailbox, sizeof(u->mailbox));
    if (strcmp(line, "name") == 0)
        return parse_name(value, u->m.name, sizeof(u->m.name));
    if (strcmp(line, "sub") == 0)
        return parse_sub(value, &u->m);
    if (strcmp(line, "hash") == 0)
        return parse_hash(value, &u->m);
    return parse_number(line, value, &u->m);
}

static int parse(char *text, struct unsent *u)
{
    int r = 0;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line && r == 0; line = strtok_r(NULL, "\n", &save))
        r = parse_line(line, u);
    bool whole = u->mailbox[0] && u->m.name[0] && !strchr(u->m.name, '/') && u->m.has_hash;
    return r < 0 ? r : whole ? 0 : -EBADMSG;
}

int unsent_read(struct cache *c, const char *file, struct unsent *ret)
{
    CLEANUP(io_close) int fd = openat(c->work->unsentfd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    char *text = malloc(UNSENT_MAX + 1);
    if (!text)
        return -ENOMEM;
    ssize_t n = io_read_full(fd, text, UNSENT_MAX);
    memset(ret, 0, sizeof(*ret));
    int r = (int)n;
    if (n >= 0) {
        text[n] = '\0';
        r = parse(text, ret);
    }
    free(text);
    if (r < 0)
        return r;
    struct maildir_name parsed;
    maildir_parse(ret->m.name, NULL, &parsed);
    ret->m.flags = parsed.flags;
    ret->m.state = MESSAGE_PRESENT;
    ret->m.id = work_name_id(file);
    return 0;
}

void unsent_forget(struct cache *c, int64_t id)
{
    char name[WORK_NAME_MAX];
    work_name(id, name);
    spare_keep(c->work, c->work->unsentfd, name);
}

bool work_is_noted(struct cache *c, int64_t id)
{
    char name[WORK_NAME_MAX];
    work_name(id, name);
    return faccessat(c->work->unsentfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

struct unsent_walk {
    int (*each)(void *arg, const char *file);
    void *arg;
};

static int walk_one(void *arg, const char *name)
{
    const struct unsent_walk *w = arg;
    bool note = work_name_id(name) >= 0 || strncmp(name, UNSENT_LOST, strlen(UNSENT_LOST)) == 0;
    return note ? w->each(w->arg, name) : 0;
}

int unsent_each(struct cache *c, int (*each)(void *arg, const char *file), void *arg)
{
    struct unsent_walk w = {each, arg};
    return dir_each(c->work->unsentfd, walk_one, &w);
}

/* When in doubt, a note stays: it does no harm but to keep a body. */
static bool is_stale(struct cache *c, int64_t id)
{
    cache_rd *rd = cache_reader(c);
    struct message m;
    struct base_state base;
    int r = rd ? message_get(rd, id, &m) : -EIO;
    if (r < 0)
        return r == -ENOENT;
    if (m.state == MESSAGE_GONE)
        return true;
    return m.state == MESSAGE_PRESENT && !m.dirty && base_of_message(rd, id, &base) == 0;
}

/* A note is written while the row is being settled; whoever removes one excludes that in the same way. */
static int remove_if_stale(struct cache *c, int64_t id)
{
    int r = work_settle_begin(c->work, id);
    if (r < 0)
        return r == -EAGAIN ? 0 : r;
    if (is_stale(c, id))
        unsent_forget(c, id);
    work_settle_end(c->work, id);
    return 0;
}

int work_sent(struct cache *c, int64_t id)
{
    return remove_if_stale(c, id);
}

static int prune_one(void *arg, const char *file)
{
    int64_t id = work_name_id(file);
    return id < 0 ? 0 : remove_if_stale(arg, id);
}

void unsent_prune(struct cache *c)
{
    unsent_each(c, prune_one, c);
}

struct unsent_search {
    struct cache *cache;
    const uint8_t *hash;
};

static int search_one(void *arg, const char *file)
{
    const struct unsent_search *s = arg;
    struct unsent *u = malloc(sizeof(*u));
    if (!u)
        return -ENOMEM;
    int r = unsent_read(s->cache, file, u);
    bool named = r == 0 && memcmp(u->m.hash, s->hash, BODY_HASH) == 0;
    free(u);
    return r == -ENOENT ? 0 : r < 0 ? r : named;
}

int unsent_names(struct cache *c, const uint8_t hash[BODY_HASH])
{
    struct unsent_search s = {c, hash};
    return unsent_each(c, search_one, &s);
}
