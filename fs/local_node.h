#pragma once
/*
 * The nodes of the local area, shared by local.c and local_ops.c. A node is one native inode that the kernel
 * knows, or the directory of a mailbox. It holds an O_PATH descriptor, which keeps the native inode from
 * being freed and its number from being used again, so that INO_LOCAL | native number is a good node id for
 * as long as the kernel remembers it.
 */
#include <pthread.h>
#include "local.h"

struct local_node {
    fuse_ino_t ino;
    int fd;           /* O_PATH; constant */
    uint64_t lookups; /* protected by local.lock */
    unsigned pins;    /* of local_box; protected by local.lock */
    unsigned opens;   /* handles of a file; protected by local.lock */
    unsigned closing; /* closes since a handle of it was last used; as many as there are handles, and releases
                         may be on their way; protected by local.lock */
    pid_t refused;    /* local_node_refuses; protected by local.lock */
    bool departed;    /* its last name became that of a message; protected by local.lock */
    struct local_node *next;
};

struct local_box_entry {
    int64_t mailbox;
    struct local_node *node;
    struct local_box_entry *next;
};

#define LOCAL_BUCKETS 1024

struct local {
    struct cache *cache;
    int fd; /* cache/local */
    bool read_only;
    void (*changed)(void *arg, fuse_ino_t dir);
    void *changed_arg;
    pthread_mutex_t lock; /* a leaf */
    pthread_cond_t released;
    struct local_node *bucket[LOCAL_BUCKETS]; /* protected by lock */
    unsigned nodes;                           /* protected by lock */
    unsigned nodes_max;                       /* constant */
    struct local_box_entry *boxes;            /* protected by lock */
    struct local_dir *dirs;                   /* open directories, local_ops.c; protected by lock */
};

struct local_dir;
void local_dir_leave(struct local *l, struct local_dir *d);

/* No room for the node of one more file: it is not made (ENFILE). */
bool local_is_full(struct local *l);
/* The descriptor of a node that the kernel, or local_box, holds. Valid while that is so. */
int local_node_fd(struct local *l, fuse_ino_t ino);
/* The number that a native directory is seen by: where a mailbox's local files are, that of the mailbox. */
fuse_ino_t local_node_shown(struct local *l, ino_t native);
/* Names in this directory have changed: local_on_change. */
void local_node_changed(struct local *l, fuse_ino_t ino);
/* "/proc/self/fd/N" of a node, for calls that take no O_PATH descriptor. */
void local_node_path(struct local *l, fuse_ino_t ino, char ret[32]);
/* A handle of a node that the kernel holds was opened (1), used (0) or released (-1). */
void local_node_count(struct local *l, fuse_ino_t ino, int handles);
/* One of the descriptors that share a handle was closed. */
void local_node_closing(struct local *l, fuse_ino_t ino);
/* Nobody waits for a release, so it can be carried out after what the program did next. Waits for those that
 * may be on their way, a moment at most. */
void local_node_wait_released(struct local *l, fuse_ino_t ino);
/* Its name leaves for the mail, or does not after all. */
void local_node_depart(struct local *l, fuse_ino_t ino, bool departed);
/* A file whose last name left for the mail, and that nobody has open. The kernel asks for one only where its
 * caches are behind: told -ESTALE, it looks the name up again, and the program notices nothing. */
bool local_node_is_stale(struct local *l, fuse_ino_t ino);
/* The same, whoever has it open, for what would be lost in the old file. Who asks again at once did not
 * ask by that name, but by a descriptor of his own (/proc/self/fd): he gets it. */
bool local_node_refuses(struct local *l, fuse_ino_t ino, pid_t asks);
/* Numbers and timeouts as the kernel is to see them. */
void local_entry_fill(const struct stat *st, struct fuse_entry_param *e);
