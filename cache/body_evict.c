/*
 * Keeping the bodies below cache_limit: those that were used longest ago go first, of messages that the
 * server has as well. Their rows stay as they are: who opens one finds no file, and the body is fetched again
 * (case 20).
 *
 * A body goes inside a change, so that no row can begin to need it between the question whether it may go and
 * its end; and not while a file that was written here is being settled, which may be the same text: that is
 * in place before a row or a note names it.
 *
 * Nothing is remembered of the files but how many octets were used when: memory does not grow with their
 * number. That takes three walks, of which only the first is made where there is room.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "body_store.h"
#include "clock.h"
#include "private.h"
#include "work_table.h"

#define AGES 512 /* parts that the time since the oldest use is divided into */
#define BATCH 64 /* bodies a change */

struct evict {
    struct cache *c;
    int dir; /* the directory that the walk is in, "ab" */
    char dir_name[3];
    int (*each)(struct evict *e, const char *name, const struct stat *st);

    int64_t now_s, oldest_s, size;
    int64_t octets[AGES]; /* by the time of the last use, from the oldest on */
    int last_age;         /* the youngest that go */
    int64_t surplus;      /* what is still to go */
    uint8_t hash[BATCH][BODY_HASH];
    size_t n;
};

static int64_t last_use(const struct stat *st)
{
    return st->st_atim.tv_sec > st->st_mtim.tv_sec ? st->st_atim.tv_sec : st->st_mtim.tv_sec;
}

static int age_of(const struct evict *e, const struct stat *st)
{
    int64_t span = e->now_s - e->oldest_s + 1, at = last_use(st) - e->oldest_s;
    return at <= 0 ? 0 : at >= span ? AGES - 1 : (int)(at * AGES / span);
}

static int visit(void *arg, const char *name)
{
    struct evict *e = arg;
    struct stat st;
    if (fstatat(e->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return 0;
    return e->each(e, name, &st);
}

static int walk(struct evict *e, int (*each)(struct evict *e, const char *name, const struct stat *st))
{
    int r = 0;
    e->each = each;
    for (int i = 0; i < 256 && r == 0; i++) {
        snprintf(e->dir_name, sizeof(e->dir_name), "%02x", i);
        CLEANUP(io_close)
        int dir = openat(e->c->bodies->dirfd, e->dir_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0 && errno != ENOENT)
            return -errno;
        e->dir = dir;
        r = dir < 0 ? 0 : dir_each(dir, visit, e);
    }
    return r;
}

static int measure(struct evict *e, const char *name, const struct stat *st)
{
    (void)name;
    e->size += st->st_size;
    if (last_use(st) < e->oldest_s)
        e->oldest_s = last_use(st);
    return 0;
}

static int sort_in(struct evict *e, const char *name, const struct stat *st)
{
    (void)name;
    e->octets[age_of(e, st)] += st->st_size;
    return 0;
}

/* ---- may it go? ---- */

/* All rows that name it are in view, and agree with what the server has; and none of them may lose its
 * address and keep its text: a backup does when its file is made anew, and what has another name when it
 * loses the one that made it mail. */
static int is_safe(cache_rd *rd, const uint8_t hash[BODY_HASH])
{
    static const char sql[] =
        "SELECT count(*), total(state <> 1 OR dirty OR scratch"
        " OR EXISTS (SELECT 1 FROM link WHERE link.message = message.id)"
        " OR NOT EXISTS (SELECT 1 FROM base WHERE base.message = message.id)) FROM message WHERE hash = ?";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    put_blob(s, hash, BODY_HASH);
    int r = statement_row(s);
    return r < 0 ? r : column_int(s, 0) > 0 && column_int(s, 1) == 0;
}

static int64_t remove_files(struct body_store *s, const uint8_t hash[BODY_HASH])
{
    int64_t went = 0;
    pthread_mutex_lock(&s->lock);
    for (enum body_file file = BODY_FILE_LF; file <= BODY_FILE_OWN && s->settling == 0; file++) {
        char name[BODY_NAME_MAX];
        struct stat st;
        body_name(hash, file, name);
        if (fstatat(s->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && unlinkat(s->dirfd, name, 0) == 0)
            went += st.st_size;
    }
    pthread_mutex_unlock(&s->lock);
    return went;
}

static int remove_safe(cache_tx *tx, void *arg)
{
    struct evict *e = arg;
    for (size_t i = 0; i < e->n && e->surplus > 0; i++) {
        int safe = is_safe(cache_tx_rd(tx), e->hash[i]);
        int noted = safe > 0 ? unsent_names(e->c, e->hash[i]) : 0;
        if (safe < 0 || noted < 0)
            return safe < 0 ? safe : noted;
        if (safe && !noted) {
            int64_t went = remove_files(e->c->bodies, e->hash[i]);
            e->surplus -= went;
            e->size -= went;
        }
    }
    return 0;
}

static int remove_batch(struct evict *e)
{
    int r = cache_write(e->c, CACHE_FROM_SERVER, CACHE_SOON, remove_safe, e);
    e->n = 0;
    return r < 0 ? r : e->surplus <= 0;
}

static int choose(struct evict *e, const char *name, const struct stat *st)
{
    char path[BODY_NAME_MAX];
    if (age_of(e, st) > e->last_age || strlen(name) > BODY_NAME_MAX - 4)
        return 0;
    snprintf(path, sizeof(path), "%s/%.*s", e->dir_name, BODY_NAME_MAX - 4, name);
    if (!body_parse_name(path, e->hash[e->n]))
        return 0;
    return ++e->n == BATCH ? remove_batch(e) : 0;
}

int body_evict(struct cache *c, int64_t limit, int64_t *ret_size)
{
    struct evict e = {.c = c, .now_s = clock_now_ns() / 1000000000};
    e.oldest_s = e.now_s;
    int r = walk(&e, measure);
    *ret_size = e.size;
    if (r < 0 || e.size <= limit)
        return r;
    r = walk(&e, sort_in);
    e.surplus = e.size - limit / 10 * 9; /* some room, so that it does not have to be done for each body */
    int64_t older = 0;
    while (older < e.surplus && e.last_age < AGES - 1)
        older += e.octets[e.last_age++];
    if (r == 0)
        r = walk(&e, choose);
    if (r == 0 && e.n > 0)
        r = remove_batch(&e);
    *ret_size = e.size;
    return r < 0 ? r : 0;
}
