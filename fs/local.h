#pragma once
/*
 * The local area: files that are no mail (.notmuch/, .git/, side files of other programs, editors' scratch in the root or in a
 * mailbox's own directory), passed through to cache/local/<mailbox id>/ with full POSIX behaviour. Nodes hold an O_PATH descriptor and are counted by
 * the kernel's lookups; their numbers are at or above INO_LOCAL. Every function below answers the request. The parent of a name that
 * lies directly in the root or a mailbox is local_box(mailbox): fs replaces the parent and forwards.
 */
#include <fuse_lowlevel.h>
#include "cache.h"
#include "config.h"

struct local;
int local_new(struct cache *c, bool read_only, struct local **ret);
void local_free(struct local *l);
/* From now on changed is called for each directory that something was made in, removed from or renamed in, before the client is answered. dir is the number that
 * the kernel knows it by. Before the first operation. */
void local_on_change(struct local *l, void (*changed)(void *arg, fuse_ino_t dir), void *arg);

/* Does this name, in the root or in a mailbox's own directory, belong to the local area? Names with a leading dot (in maildir++ only a list of known ones, since .Name is a mailbox there),
 * and known side files: maildirfolder, subscriptions, dovecot*, courierimap*, *.lock, scratch names (maildir_is_scratch). cur, new, tmp never. ".mailmount" never. */
bool local_is_name(enum config_layout layout, bool in_root, const char *name);

/* The node of local/<mailbox>/, made when needed (create) or 0 when it does not exist. Not counted, lives as long as l. */
fuse_ino_t local_box(struct local *l, int64_t mailbox, bool create);
/* The names in local/<mailbox>/ are on disk when this returns 0. */
int local_sync(struct local *l, int64_t mailbox);
/* Calls each for every entry of local/<mailbox>/, for readdir of the mail directory; the entry counts as looked up only when plus is true. cookie starts at 0. */
int local_list(struct local *l, int64_t mailbox, bool plus, int (*each)(void *arg, const char *name, const struct fuse_entry_param *e), void *arg);
/* Looks one name up and counts it: 0, -errno. */
int local_lookup_entry(struct local *l, fuse_ino_t parent, const char *name, struct fuse_entry_param *ret);
/* A regular file, to be read, by its name or its node; the descriptor is the caller's. -EXDEV: something
 * else has that name, which cannot leave the local area. */
int local_open_named(struct local *l, fuse_ino_t parent, const char *name);
int local_open_node(struct local *l, fuse_ino_t ino);
/* Once what it named was delivered under another name. */
int local_remove_name(struct local *l, fuse_ino_t parent, const char *name);
bool local_box_empty(struct local *l, int64_t mailbox);
void local_box_remove(struct local *l, int64_t mailbox); /* with all that is in it: the mailbox is gone */

/* FUSE operations; for nodes where ino_is_local(ino), and parents from local_box. */
void local_lookup(struct local *l, fuse_req_t req, fuse_ino_t parent, const char *name);
void local_forget(struct local *l, fuse_ino_t ino, uint64_t nlookup);
void local_getattr(struct local *l, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void local_setattr(struct local *l, fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi);
void local_readlink(struct local *l, fuse_req_t req, fuse_ino_t ino);
void local_mknod(struct local *l, fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void local_mkdir(struct local *l, fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void local_unlink(struct local *l, fuse_req_t req, fuse_ino_t parent, const char *name);
void local_rmdir(struct local *l, fuse_req_t req, fuse_ino_t parent, const char *name);
void local_symlink(struct local *l, fuse_req_t req, const char *link, fuse_ino_t parent, const char *name);
void local_rename(struct local *l, fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname, unsigned flags);
void local_link(struct local *l, fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname);
void local_open(struct local *l, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void local_create(struct local *l, fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
void local_read(struct local *l, fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void local_write_buf(struct local *l, fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *bufv, off_t off, struct fuse_file_info *fi);
void local_flush(struct local *l, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void local_release(struct local *l, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void local_fsync(struct local *l, fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void local_opendir(struct local *l, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void local_readdir(struct local *l, fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi, bool plus);
void local_releasedir(struct local *l, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void local_fsyncdir(struct local *l, fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void local_fallocate(struct local *l, fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t length, struct fuse_file_info *fi);
