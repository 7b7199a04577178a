#include "body.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "body_store.h"
#include "private.h"
#include "wire.h"
#include "work.h"

__attribute__((weak)) void body_step(const char *step)
{
    (void)step;
}

void body_name(const uint8_t hash[BODY_HASH], enum body_file file, char ret[BODY_NAME_MAX])
{
    static const char digit[] = "0123456789abcdef";
    static const char *const suffix[] = {"", ".w", ".o"};
    char *at = ret;
    for (size_t i = 0; i < BODY_HASH; i++) {
        *at++ = digit[hash[i] >> 4];
        *at++ = digit[hash[i] & 15];
        if (i == 0)
            *at++ = '/';
    }
    strcpy(at, suffix[file]);
}

enum body_file body_file_served(enum message_form form)
{
    switch (form) {
    case MESSAGE_WIRE:
        return BODY_FILE_WIRE;
    case MESSAGE_OWN:
        return BODY_FILE_OWN;
    default:
        return BODY_FILE_LF;
    }
}

int body_file_open(struct body_store *s, const uint8_t hash[BODY_HASH], enum body_file file)
{
    char name[BODY_NAME_MAX];
    body_name(hash, file, name);
    int fd = openat(s->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

int dir_open(int dirfd, const char *name)
{
    if (mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST)
        return -errno;
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int dir_each(int dirfd, int (*each)(void *arg, const char *name), void *arg)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int err = -errno;
        io_close(&fd);
        return err;
    }
    int r = 0;
    struct dirent *e;
    while (r == 0 && (e = readdir(dir)))
        if (e->d_name[0] != '.')
            r = each(arg, e->d_name);
    closedir(dir);
    return r;
}

/* What is in bodies/tmp at the start belongs to a process that has died: nothing names it. */
static int sweep_one(void *arg, const char *name)
{
    const struct body_store *s = arg;
    unlinkat(s->tmpfd, name, 0);
    return 0;
}

static int open_dirs(struct cache *c, struct body_store *s)
{
    s->dirfd = dir_open(c->dirfd, "bodies");
    if (s->dirfd < 0)
        return s->dirfd;
    s->tmpfd = dir_open(s->dirfd, "tmp");
    if (s->tmpfd < 0)
        return s->tmpfd;
    return dir_each(s->tmpfd, sweep_one, s);
}

int body_store_open(struct cache *c)
{
    struct body_store *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    c->bodies = s;
    s->dirfd = s->tmpfd = -1;
    s->wire_only = c->wire_bodies;
    s->note_use = c->note_use;
    s->collect_age_s = BODY_COLLECT_AGE_S;
    atomic_flag_clear(&s->collecting);
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->sync_lock, NULL);
    s->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    int r = s->sha256 ? open_dirs(c, s) : -ENOMEM;
    if (r < 0)
        body_store_close(c);
    return r;
}

void body_store_close(struct cache *c)
{
    struct body_store *s = c->bodies;
    if (!s)
        return;
    c->bodies = NULL;
    body_writer_free(s->spare);
    if (s->walk)
        closedir(s->walk);
    io_close(&s->dirfd);
    io_close(&s->tmpfd);
    EVP_MD_free(s->sha256);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->sync_lock);
    free(s);
}

void body_tmp_name(struct body_store *s, char ret[BODY_TMP_MAX])
{
    snprintf(ret, BODY_TMP_MAX, "%llu", atomic_fetch_add(&s->next_tmp, 1));
}

int body_tmp_open(struct body_store *s, char ret[BODY_TMP_MAX])
{
    body_tmp_name(s, ret);
    int fd = openat(s->tmpfd, ret, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? -errno : fd;
}

static int rename_noreplace(struct body_store *s, const char *tmp, const char *name)
{
    if (renameat2(s->tmpfd, tmp, s->dirfd, name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    /* A file system that cannot refuse in rename can in link. */
    if (linkat(s->tmpfd, tmp, s->dirfd, name, 0) < 0)
        return -errno;
    unlinkat(s->tmpfd, tmp, 0);
    return 0;
}

/* bodies/ab is made when its first body comes. */
static int place_new(struct body_store *s, const char *tmp, const char *name)
{
    int r = rename_noreplace(s, tmp, name);
    if (r != -ENOENT)
        return r;
    char dir[] = {name[0], name[1], '\0'};
    if (mkdirat(s->dirfd, dir, 0700) < 0 && errno != EEXIST)
        return -errno;
    return rename_noreplace(s, tmp, name);
}

/* 1: the same octets, 0: not, -errno. */
static int same_octets(int a, int b)
{
    char block_a[8192], block_b[8192];
    for (off_t at = 0;;) {
        ssize_t na = io_pread_full(a, block_a, sizeof(block_a), at);
        ssize_t nb = io_pread_full(b, block_b, sizeof(block_b), at);
        if (na < 0 || nb < 0)
            return (int)(na < 0 ? na : nb);
        if (na != nb || memcmp(block_a, block_b, (size_t)na) != 0)
            return 0;
        if (na == 0)
            return 1;
        at += na;
    }
}

static int same_files(struct body_store *s, const char *tmp, const char *name)
{
    CLEANUP(io_close) int a = openat(s->tmpfd, tmp, O_RDONLY | O_CLOEXEC);
    if (a < 0)
        return -errno;
    CLEANUP(io_close) int b = openat(s->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (b < 0)
        return -errno;
    int r = same_octets(a, b);
    return r == -EIO ? 0 : r; /* a body that cannot be read is a damaged one */
}

/* Makes the body that is there look new, under the lock that body_collect removes under: from here on it
 * stays for as long as a fresh one would. -ENOENT: it has just been collected. */
static int touch_body(struct body_store *s, const char *name)
{
    pthread_mutex_lock(&s->lock);
    int r = utimensat(s->dirfd, name, NULL, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
    pthread_mutex_unlock(&s->lock);
    return r;
}

static int place_onto(struct body_store *s, const char *tmp, const char *name, bool keep_other)
{
    int same = same_files(s, tmp, name);
    if (same < 0)
        return same;
    if (same == 0 && keep_other)
        return -EEXIST;
    if (same == 0)
        return renameat(s->tmpfd, tmp, s->dirfd, name) < 0 ? -errno : 0;
    int r = touch_body(s, name);
    if (r < 0)
        return r;
    unlinkat(s->tmpfd, tmp, 0);
    return 0;
}

int body_place(struct body_store *s, const char *tmp, const char *name, bool keep_other)
{
    /* Another thread may put the same body there, or take it away, between two looks: look again. */
    for (int attempts = 0; attempts < 16; attempts++) {
        int r = place_new(s, tmp, name);
        if (r != -EEXIST)
            return r;
        r = place_onto(s, tmp, name, keep_other);
        if (r != -ENOENT)
            return r;
    }
    return -EIO;
}

int body_sync_file(struct body_store *s, const char *name)
{
    CLEANUP(io_close) int fd = openat(s->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fsync(fd) < 0)
        return -errno;
    char dir[] = {name[0], name[1], '\0'};
    int r = io_fsync_dir(s->dirfd, dir);
    if (r < 0)
        return r;
    return fsync(s->dirfd) < 0 ? -errno : 0;
}

/* Linux tells a descriptor once that writing back has failed. Callers that overlapped with the one who was
 * told may have lost bodies of their own, so that they fail with it. */
int body_sync(struct cache *c)
{
    struct body_store *s = c->bodies;
    unsigned failed = atomic_load(&s->failed_syncs);
    pthread_mutex_lock(&s->sync_lock);
    int r = syncfs(s->dirfd) < 0 ? -errno : 0;
    if (r < 0)
        atomic_fetch_add(&s->failed_syncs, 1);
    else if (atomic_load(&s->failed_syncs) != failed)
        r = -EIO;
    pthread_mutex_unlock(&s->sync_lock);
    return r;
}

int body_copy_wire(int from, int to, bool exact)
{
    char *block = malloc(3 * BODY_BLOCK), *wire = block + BODY_BLOCK;
    if (!block)
        return -ENOMEM;
    struct wire_from_file state = {0};
    int r = 0;
    for (off_t at = 0; r == 0;) {
        ssize_t n = io_pread_full(from, block, BODY_BLOCK, at);
        if (n <= 0) {
            r = (int)n;
            break;
        }
        r = io_write_full(to, wire, wire_from_file(&state, exact, block, (size_t)n, wire));
        at += n;
    }
    free(block);
    return r;
}

int body_open(struct cache *c, const struct message *m)
{
    if (m->state == MESSAGE_WRITING)
        return work_open(c, m->id, O_RDONLY);
    if (m->state == MESSAGE_WANTED || !m->has_hash)
        return -ENOENT;
    int fd = body_file_open(c->bodies, m->hash, body_file_served(m->form));
    if (fd < 0)
        return fd;
    struct stat st;
    int r = fstat(fd, &st) < 0 ? -errno : st.st_size == m->size ? 0 : -ESTALE;
    if (r < 0)
        io_close(&fd);
    else if (c->bodies->note_use)
        futimens(fd, (struct timespec[]){{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}});
    return r < 0 ? r : fd;
}

#define READ_AHEAD_MAX (256 * 1024) /* octets of a body */

void body_read_ahead(struct cache *c, const struct message *m)
{
    if (m->state != MESSAGE_PRESENT || !m->has_hash)
        return;
    CLEANUP(io_close) int fd = body_file_open(c->bodies, m->hash, body_file_served(m->form));
    if (fd >= 0)
        posix_fadvise(fd, 0, READ_AHEAD_MAX, POSIX_FADV_WILLNEED);
}

bool body_is_here(struct cache *c, const struct message *m)
{
    char name[BODY_NAME_MAX];
    if (m->state == MESSAGE_WRITING)
        return true;
    body_name(m->hash, body_file_served(m->form), name);
    return m->has_hash &&
           (faccessat(c->bodies->dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT);
}

int64_t body_served_size(struct cache *c, const struct message *m)
{
    char name[BODY_NAME_MAX];
    struct stat st;
    if (!m->has_hash)
        return m->size;
    body_name(m->hash, body_file_served(m->form), name);
    return fstatat(c->bodies->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? m->size : st.st_size;
}
