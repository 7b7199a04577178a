/*
 * Read-only files that are made when they are asked for.
 *
 * `.mailmount`: what a person wants to know about the mount, as files. Each open captures the text as it is
 * then, and is read past the page cache (direct_io), so that its length may differ from what stat said.
 *
 * `dovecot-keywords` in a mailbox: what the letters a to z stand for there, in Dovecot's format, "0 NAME" for
 * a. Like .mailmount it is not listed, so that whoever removes a mailbox's directory does not meet it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "buf.h"
#include "flags.h"
#include "private.h"

#define VIRTUAL_FIRST (VIRTUAL_DIR + 1)

static const char *const names[] = {"status", "errors", "held", "log"};
enum { NAMES = sizeof(names) / sizeof(names[0]) };

/* A mailbox's dovecot-keywords. No row id is ever as large. */
#define KEYWORDS ((fuse_ino_t)1 << 60)

static bool is_keywords(fuse_ino_t ino)
{
    return (ino & KEYWORDS) && !(ino & (INO_DIR | INO_LOCAL));
}

bool virtual_is(fuse_ino_t ino)
{
    return (ino >= VIRTUAL_DIR && ino < VIRTUAL_FIRST + NAMES) || is_keywords(ino);
}

/* A local file of that name is what a program wants to be there instead. */
static bool is_hidden_by_local(struct fs *fs, int64_t dir)
{
    char path[64];
    snprintf(path, sizeof(path), "local/%" PRId64 "/" VIRTUAL_KEYWORDS_NAME, dir);
    return faccessat(cache_dirfd(fs->cache), path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

bool virtual_is_name(struct fs *fs, fuse_ino_t parent, const char *name)
{
    if (parent == VIRTUAL_DIR)
        return true;
    if (!ino_is_dir(parent) || ino_sub(parent) != SUB_BOX)
        return false;
    if (strcmp(name, VIRTUAL_DIR_NAME) == 0)
        return parent == INO_ROOT;
    return strcmp(name, VIRTUAL_KEYWORDS_NAME) == 0 && !is_hidden_by_local(fs, ino_mailbox(parent));
}

const char *virtual_name(unsigned n, fuse_ino_t *ret_ino)
{
    if (n >= NAMES)
        return NULL;
    *ret_ino = VIRTUAL_FIRST + n;
    return names[n];
}

fuse_ino_t virtual_lookup(struct fs *fs, fuse_ino_t parent, const char *name)
{
    struct mailbox m;
    for (unsigned i = 0; parent == VIRTUAL_DIR && i < NAMES; i++) {
        if (strcmp(name, names[i]) == 0)
            return VIRTUAL_FIRST + i;
    }
    if (parent == VIRTUAL_DIR)
        return 0;
    if (strcmp(name, VIRTUAL_DIR_NAME) == 0)
        return VIRTUAL_DIR;
    cache_rd *rd = cache_reader(fs->cache);
    bool is_box = rd && tree_box_of_dir(rd, fs->o.layout, ino_mailbox(parent), &m) == 0;
    return is_box ? KEYWORDS | (fuse_ino_t)m.id : 0;
}

/* NULL when no letter means anything. */
static char *keywords_text(struct fs *fs, int64_t mailbox)
{
    struct maildir_letters letters;
    struct buf text = {0};
    cache_rd *rd = cache_reader(fs->cache);
    if (!rd || mailbox_letters(rd, mailbox, &letters) < 0)
        return NULL;
    for (unsigned i = 0; i < sizeof(letters.bit); i++) {
        const char *name =
            letters.bit[i] < 0 ? NULL : keywords_name(cache_keywords(fs->cache), (unsigned)letters.bit[i]);
        if (name)
            buf_addf(&text, "%u %s\n", i, name);
    }
    char *ret = text.length ? buf_take(&text) : NULL;
    buf_finish(&text);
    return ret;
}

static char *text_of(struct fs *fs, fuse_ino_t ino)
{
    if (is_keywords(ino))
        return keywords_text(fs, (int64_t)(ino & ~KEYWORDS));
    return fs->o.virtual_file ? fs->o.virtual_file(fs->o.virtual_arg, names[ino - VIRTUAL_FIRST]) : NULL;
}

int virtual_attr(struct fs *fs, fuse_ino_t ino, struct stat *ret)
{
    struct stat st = {
        .st_ino = ino, .st_uid = fs->uid, .st_gid = fs->gid, .st_nlink = 1, .st_mode = S_IFREG | 0400};
    clock_gettime(CLOCK_REALTIME, &st.st_mtim);
    st.st_ctim = st.st_atim = st.st_mtim;
    if (ino == VIRTUAL_DIR) {
        st.st_mode = S_IFDIR | 0500;
        st.st_nlink = 2;
        *ret = st;
        return 0;
    }
    char *text = text_of(fs, ino);
    if (!text)
        return -ENOENT;
    st.st_size = (off_t)strlen(text);
    st.st_blocks = (st.st_size + 511) / 512;
    free(text);
    *ret = st;
    return 0;
}

/* Those that are open are known: when the mount ends, nobody says that they are not needed any more. */
struct virtual_text {
    struct virtual_text *next; /* protected by listings_lock */
    char *text;
};

static void enter(struct fs *fs, struct virtual_text *t)
{
    pthread_mutex_lock(&fs->listings_lock);
    t->next = fs->texts;
    fs->texts = t;
    pthread_mutex_unlock(&fs->listings_lock);
}

static void leave(struct fs *fs, struct virtual_text *t)
{
    pthread_mutex_lock(&fs->listings_lock);
    struct virtual_text **at = &fs->texts;
    while (*at && *at != t)
        at = &(*at)->next;
    if (*at)
        *at = t->next;
    pthread_mutex_unlock(&fs->listings_lock);
    free(t->text);
    free(t);
}

void virtual_finish(struct fs *fs)
{
    while (fs->texts)
        leave(fs, fs->texts);
}

void virtual_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (ino == VIRTUAL_DIR || (fi->flags & O_ACCMODE) != O_RDONLY) {
        reply_err(req, ino == VIRTUAL_DIR ? -EISDIR : -EACCES);
        return;
    }
    char *text = text_of(fs_of(req), ino);
    if (!text) {
        reply_err(req, -ENOENT);
        return;
    }
    struct virtual_text *t = malloc(sizeof(*t));
    if (!t) {
        free(text);
        reply_err(req, -ENOMEM);
        return;
    }
    *t = (struct virtual_text){.text = text};
    enter(fs_of(req), t);
    fi->fh = (uintptr_t)t;
    fi->direct_io = 1;
    fi->noflush = 1;
    struct fs *fs = fs_of(req);
    if (fuse_reply_open(req, fi) < 0)
        leave(fs, t);
}

void virtual_read(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi)
{
    const char *text = ((struct virtual_text *)(uintptr_t)fi->fh)->text;
    size_t length = strlen(text), from = off < (off_t)length ? (size_t)off : length;
    size_t n = length - from < size ? length - from : size;
    /* A copy: as soon as the kernel has the answer, another thread may be told to release the file, before
     * the call that gave the answer has returned. */
    char *part = malloc(n + 1);
    if (!part) {
        reply_err(req, -ENOMEM);
        return;
    }
    memcpy(part, text + from, n);
    fuse_reply_buf(req, part, n);
    free(part);
}

void virtual_release(fuse_req_t req, struct fuse_file_info *fi)
{
    leave(fs_of(req), (struct virtual_text *)(uintptr_t)fi->fh);
    reply_err(req, 0);
}
