/*
 * Case 73: was the database lost, or put back from a backup, while the files beside it lived on? It would not
 * know of mail that was removed or filed since, and its base would be a lie; the engine must then merge by
 * union, and remove nothing.
 *
 * Each opening is counted in the database and in a file. A crash between the two must not look like a loss,
 * so the database first notes the number that the file is about to get, and the one that it has:
 *
 *     database: generation = n, next = n + 1      file: n + 1      database: generation = n + 1, next = 0
 *
 * They agree when the file has the database's generation or its next: after a crash at any point, and also
 * after one crash that followed another, for the first step writes what the file was found to have. A backup
 * that has both files agrees as well, and rightly so as far as can be told from here: a base that is too old
 * is then found by the sync tokens.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "body_store.h"
#include "log.h"
#include "private.h"

#define FILE_NAME "generation"

/* The file's number, 0 when there is none or it is not a number. */
static int64_t read_file(struct cache *c)
{
    char text[32];
    int fd = openat(c->dirfd, FILE_NAME, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t length = io_read_full(fd, text, sizeof text - 1);
    io_close(&fd);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    long long number = strtoll(text, NULL, 10);
    return number > 0 && number < INT64_MAX ? number : 0;
}

static int write_file(struct cache *c, int64_t number)
{
    char text[32];
    int length = snprintf(text, sizeof text, "%lld\n", (long long)number);
    return io_write_file_atomic(c->dirfd, FILE_NAME, text, (size_t)length);
}

/* Did an earlier database leave anything here? */
static bool has_traces(struct cache *c)
{
    return faccessat(c->dirfd, FILE_NAME, F_OK, 0) == 0 || faccessat(c->dirfd, "bodies", F_OK, 0) == 0;
}

static int note(struct cache_tx *tx, const char *key, int64_t value, const char *other, int64_t other_value)
{
    int err = connection_run(&tx->rd, "BEGIN IMMEDIATE");
    if (err)
        return err;
    err = cache_meta_set(tx, key, value);
    if (!err && other)
        err = cache_meta_set(tx, other, other_value);
    if (!err)
        err = connection_run(&tx->rd, "COMMIT");
    if (err)
        connection_run(&tx->rd, "ROLLBACK");
    return err;
}

int generation_advance(struct cache *c, struct cache_tx *tx)
{
    int64_t file = read_file(c);
    int64_t stored = cache_meta_get(&tx->rd, "generation", 0);
    int64_t next = cache_meta_get(&tx->rd, "generation_next", 0);
    bool fresh =
        !stored && !next; /* and not by the schema alone: a first opening may have died after making it */
    bool agree = fresh ? !has_traces(c) : file == stored || (next && file == next);
    if (!agree)
        log_warning("case 73: the database is not the one that was last used here; nothing will be removed "
                    "on either side");

    int64_t now = file > stored ? file : stored;
    now = (next > now ? next : now) + 1;
    int err = agree ? 0 : note(tx, "union", 1, NULL, 0);
    if (!err)
        err = note(tx, "generation_next", now, "generation", file);
    if (err)
        return err;
    body_step("generation announced");
    err = write_file(c, now);
    if (err)
        return err;
    body_step("generation written");
    return note(tx, "generation", now, "generation_next", 0);
}
