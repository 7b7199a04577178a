/*
 * `.mailmount`: what a person wants to know about the mount, as files. Each open captures the text as it is
 * then, and is read past the page cache (direct_io), so that its length may differ from what stat said.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "private.h"

#define VIRTUAL_FIRST (VIRTUAL_DIR + 1)

static const char *const names[] = {"status", "errors", "held", "log"};
enum { NAMES = sizeof(names) / sizeof(names[0]) };

bool virtual_is(fuse_ino_t ino)
{
    return ino >= VIRTUAL_DIR && ino < VIRTUAL_FIRST + NAMES;
}

const char *virtual_name(unsigned n, fuse_ino_t *ret_ino)
{
    if (n >= NAMES)
        return NULL;
    *ret_ino = VIRTUAL_FIRST + n;
    return names[n];
}

fuse_ino_t virtual_lookup(const char *name)
{
    for (unsigned i = 0; i < NAMES; i++) {
        if (strcmp(name, names[i]) == 0)
            return VIRTUAL_FIRST + i;
    }
    return 0;
}

static char *text_of(struct fs *fs, fuse_ino_t ino)
{
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
    fi->fh = (uintptr_t)text;
    fi->direct_io = 1;
    fi->noflush = 1;
    if (fuse_reply_open(req, fi) < 0)
        free(text);
}

void virtual_read(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi)
{
    const char *text = (const char *)(uintptr_t)fi->fh;
    size_t length = strlen(text), from = off < (off_t)length ? (size_t)off : length;
    fuse_reply_buf(req, text + from, length - from < size ? length - from : size);
}

void virtual_release(fuse_req_t req, struct fuse_file_info *fi)
{
    free((char *)(uintptr_t)fi->fh);
    reply_err(req, 0);
}
