#pragma once
/*
 * What the files of fs share. struct fs is constant once mounted, but for what has a lock of its own.
 *
 * Node ids: see cache/ino.h. Of the numbers below the first row id, fs uses some for `.mailmount`.
 */
#include <pthread.h>
#include <fuse_lowlevel.h>
#include "fs.h"
#include "io.h"
#include "local.h"
#include "mail.h"
#include "message.h"
#include "tree.h"

#define FOREVER_S (86400.0 * 365)

struct files;
struct events;
struct park;
struct show;

struct fs {
    struct cache *cache;
    struct fs_options o; /* with strings of our own */
    struct fuse_session *se;
    struct local *local;
    struct files *files;   /* files.h */
    struct events *events; /* events.h */
    struct park *park;     /* park.h */
    struct loop *loop;     /* loop.h */
    struct show *show;     /* show.h, or NULL; constant while requests are handled */
    uid_t uid;
    gid_t gid;
    bool mounted;
    pthread_mutex_t greeting_lock; /* a leaf */
    pthread_cond_t greeted;
    enum { FS_SILENT, FS_GREETED, FS_ENDED } greeting; /* protected by greeting_lock */
    pthread_mutex_t listings_lock;                     /* a leaf */
    struct virtual_text *texts; /* open virtual files, virtual.c; protected by listings_lock */
    struct listing *listings;   /* open mail directories, op_dir.c; protected by listings_lock */
};

/* After the loop: frees the listings that were open then. */
void listings_finish(struct fs *fs);

extern const struct fuse_lowlevel_ops fs_ops;

static inline struct fs *fs_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

/* Answers with an error, given as a negative errno (or 0). */
static inline void reply_err(fuse_req_t req, int err)
{
    fuse_reply_err(req, -err);
}

/* ---- attr.c ---- */

/* The attributes of any node but local ones, and for how long the kernel may keep them. -ENOENT, -EIO. */
int attr_get(struct fs *fs, fuse_ino_t ino, struct stat *ret, double *ret_timeout);
void attr_of_message(struct fs *fs, const struct message *m, struct stat *ret, double *ret_timeout);
void attr_entry(const struct stat *st, double timeout, struct fuse_entry_param *ret);
/* For how long the name may be kept: not at all where renaming one mailbox renames others (maildir++, the
 * root). */
double attr_entry_timeout(const struct fs *fs, fuse_ino_t parent, const char *name);

/* Attributes of this directory that are on their way to the kernel are older than a change that was just made
 * in it, and are not to be believed; see the head of events.c. Never waits. Before the change is answered. */
void attr_dir_changed(struct fs *fs, fuse_ino_t dir);

/* ---- name.c ---- */

/* Who is responsible for a name in a directory. */
enum name_kind {
    NAME_MAIL,    /* a file in cur, new or tmp */
    NAME_BOX,     /* a directory of the mailbox tree */
    NAME_LOCAL,   /* the local area */
    NAME_VIRTUAL, /* made up, read-only */
};
enum name_kind name_kind(struct fs *fs, fuse_ino_t parent, const char *name);
struct mail_place name_place(fuse_ino_t parent, const char *name);
/* The part of the local area that is shown in a directory of the mail tree: its number, for local_box and the
 * like. cur, new and tmp have one as well, for the links by which emacs locks a file (.#NAME). */
int64_t name_local_area(fuse_ino_t dir);
/* The node in the local area that holds the name, made when create is set; 0 when there is none. */
fuse_ino_t name_local_parent(struct fs *fs, fuse_ino_t parent, bool create);
void name_reply_entry(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t ino);
void name_reply_message(fuse_req_t req, const struct message *m);
void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);

/* ---- op_name.c ---- */

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname,
               unsigned flags);
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname);

/* ---- op_file.c ---- */

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *in, off_t off,
                  struct fuse_file_info *fi);
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t length,
                  struct fuse_file_info *fi);

/* ---- op_dir.c ---- */

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

/* ---- op_attr.c ---- */

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi);
void op_statfs(fuse_req_t req, fuse_ino_t ino);

/* ---- virtual.c: read-only files that are made up: `.mailmount` in the root, dovecot-keywords in mailboxes
 * ---- */

#define VIRTUAL_DIR_NAME ".mailmount"
#define VIRTUAL_KEYWORDS_NAME "dovecot-keywords"
#define VIRTUAL_DIR ((fuse_ino_t)2)
#define INO_PROOF ((fuse_ino_t)16) /* see show.c; the highest that no message has */
bool virtual_is(fuse_ino_t ino);
bool virtual_is_name(struct fs *fs, fuse_ino_t parent, const char *name);
int virtual_attr(struct fs *fs, fuse_ino_t ino, struct stat *ret);
/* The node of a name that is virtual: 0 when there is none. */
fuse_ino_t virtual_lookup(struct fs *fs, fuse_ino_t parent, const char *name);
/* The name of the n-th file in .mailmount, NULL at the end. */
const char *virtual_name(unsigned n, fuse_ino_t *ret_ino);
void virtual_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void virtual_read(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi);
void virtual_finish(struct fs *fs); /* after the loop: frees the texts that were open then */
void virtual_release(fuse_req_t req, struct fuse_file_info *fi);
