/*
 * Bodies that nothing names any more. The order makes it safe against one that was just put into place and
 * whose row comes later: first the database is asked, then the age is looked at, and the file removed under
 * the lock that body_place touches an older file under. Whoever made or touched it within the hour is still
 * free to name it.
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

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool body_parse_name(const char *name, uint8_t hash[BODY_HASH])
{
    char again[BODY_NAME_MAX];
    const char *at = name;
    for (size_t i = 0; i < BODY_HASH; i++, at += 2) {
        int high = hex_digit(at[0]);
        int low = high < 0 ? -1 : hex_digit(at[1]);
        if (low < 0)
            return false;
        hash[i] = (uint8_t)(high << 4 | low);
        if (i == 0 && *(at++ + 2) != '/')
            return false;
    }
    for (enum body_file file = BODY_FILE_LF; file <= BODY_FILE_OWN; file++) {
        body_name(hash, file, again);
        if (strcmp(again, name) == 0)
            return true;
    }
    return false;
}

/* 1, 0, -errno. Rows in any state count: what is GONE can be restored, what is WRITING may come back. */
static int is_named(struct cache *c, const uint8_t hash[BODY_HASH])
{
    static const char sql_named[] = "SELECT 1 FROM message WHERE hash = ? LIMIT 1";
    cache_rd *rd = cache_reader(c);
    if (!rd)
        return -EIO;
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql_named);
    put_blob(s, hash, BODY_HASH);
    int r = statement_row(s);
    if (r == 0)
        return 1;
    return r == -ENOENT ? unsent_names(c, hash) : r;
}

static bool is_old(const struct body_store *s, const struct stat *st)
{
    int64_t newest = st->st_mtim.tv_sec > st->st_ctim.tv_sec ? st->st_mtim.tv_sec : st->st_ctim.tv_sec;
    return clock_now_ns() / 1000000000 - newest >= s->collect_age_s;
}

static int remove_if_old(struct body_store *s, const char *name)
{
    struct stat st;
    pthread_mutex_lock(&s->lock);
    int r = fstatat(s->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : is_old(s, &st);
    if (r > 0 && unlinkat(s->dirfd, name, 0) < 0)
        r = -errno;
    pthread_mutex_unlock(&s->lock);
    return r;
}

/* 1 when it went, 0, -errno. */
static int collect_one(struct cache *c, const char *name)
{
    uint8_t hash[BODY_HASH];
    struct stat st;
    if (!body_parse_name(name, hash))
        return 0;
    if (fstatat(c->bodies->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !is_old(c->bodies, &st))
        return 0;
    int named = is_named(c, hash);
    return named != 0 ? (named < 0 ? named : 0) : remove_if_old(c->bodies, name);
}

static int walk_open(struct body_store *s)
{
    char dir[3];
    snprintf(dir, sizeof(dir), "%02x", s->walk_at & 0xff);
    int fd = openat(s->dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    s->walk = fdopendir(fd);
    if (s->walk)
        return 0;
    int err = -errno;
    io_close(&fd);
    return err;
}

static void walk_next_dir(struct body_store *s)
{
    if (s->walk)
        closedir(s->walk);
    s->walk = NULL;
    s->walk_at++;
}

/* The next file of the walk: 1, at the end of all 0, -errno. A directory that no body has come to yet is
 * empty. */
static int walk_next(struct body_store *s, char name[BODY_NAME_MAX])
{
    while (s->walk_at < 256) {
        int r = s->walk ? 0 : walk_open(s);
        if (r < 0 && r != -ENOENT)
            return r;
        const struct dirent *e = r == 0 ? readdir(s->walk) : NULL;
        if (!e) {
            walk_next_dir(s);
            continue;
        }
        if (e->d_name[0] != '.' && strlen(e->d_name) < BODY_NAME_MAX - 3) {
            snprintf(name, BODY_NAME_MAX, "%02x/%.*s", s->walk_at & 0xff, BODY_NAME_MAX - 4, e->d_name);
            return 1;
        }
    }
    s->walk_at = 0;
    return 0;
}

int body_collect(struct cache *c, unsigned max)
{
    struct body_store *s = c->bodies;
    char name[BODY_NAME_MAX];
    int went = 0, r = 0;
    if (atomic_flag_test_and_set(&s->collecting))
        return 0; /* another thread is at it */
    if (s->walk_at == 0 && !s->walk)
        unsent_prune(c);
    for (unsigned seen = 0; seen < max && (r = walk_next(s, name)) > 0; seen++) {
        r = collect_one(c, name);
        if (r < 0)
            break;
        went += r;
    }
    atomic_flag_clear(&s->collecting);
    return r < 0 ? r : went;
}
