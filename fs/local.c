/*
 * Files that are no mail: which names they have, and their nodes. The operations are in local_ops.c.
 */
#include "local.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "io.h"
#include "local_node.h"
#include "log.h"
#include "loop.h"
#include "maildir.h"

#define NEVER_EXPIRES 3e7 /* seconds: nobody else changes these files */

#define DESCRIPTORS_LEFT 4096 /* for all but nodes, where there are twice as many */
#define RELEASE_MS 20         /* a release that was sent arrives within that, or is not waited for */
#define NODES_SPARE 16        /* for files that several threads are just making */

/* ---- names ---- */

/* In Maildir++ a leading dot makes a mailbox, but for these. Two dots never do: Dovecot renames a mailbox to
 * "..DOVECOT-TRASHED" first, or removes it in its place when told that this is another file system. */
static const char *const known_dot_names[] = {
    ".notmuch",     ".git",          ".gitignore", ".gitattributes", ".nnmaildir",   ".mbsyncstate*",
    ".uidvalidity", ".isyncuidmap*", ".mu",        ".aerc*",         ".customflags", ".lock",
    ".dovecot*",    ".mh_*",         ".Trash-*",   ".nfs*",          "..*"};
static const char *const side_files[] = {"maildirfolder", "subscriptions", "dovecot*",
                                         "courierimap*",  "maildirsize",   "*.lock",
                                         "*.tmp",         ".*.sw?",        "mailboxes.lock*"};

static bool matches(const char *const *pattern, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (fnmatch(pattern[i], name, 0) == 0)
            return true;
    return false;
}

bool local_is_name(enum config_layout layout, bool in_root, const char *name)
{
    if (strcmp(name, "cur") == 0 || strcmp(name, "new") == 0 || strcmp(name, "tmp") == 0)
        return false;
    if (strcmp(name, ".mailmount") == 0)
        return false;
    if (matches(side_files, sizeof side_files / sizeof *side_files, name))
        return true;
    if (name[0] == '.' && (layout == CONFIG_LAYOUT_FS || !in_root))
        return true;
    if (name[0] == '.')
        return matches(known_dot_names, sizeof known_dot_names / sizeof *known_dot_names, name);
    return maildir_is_scratch(name);
}

/* ---- nodes ---- */

static struct local_node **slot(struct local *l, fuse_ino_t ino)
{
    struct local_node **p = &l->bucket[(ino ^ ino >> 10) % LOCAL_BUCKETS];
    while (*p && (*p)->ino != ino)
        p = &(*p)->next;
    return p;
}

int local_node_fd(struct local *l, fuse_ino_t ino)
{
    pthread_mutex_lock(&l->lock);
    struct local_node *n = *slot(l, ino);
    int fd = n ? n->fd : -1;
    pthread_mutex_unlock(&l->lock);
    return fd;
}

void local_node_count(struct local *l, fuse_ino_t ino, int handles)
{
    pthread_mutex_lock(&l->lock);
    struct local_node *n = *slot(l, ino);
    if (n) {
        n->opens += (unsigned)handles;
        n->closing = 0;
        if (n->opens == 0)
            pthread_cond_broadcast(&l->released);
    }
    pthread_mutex_unlock(&l->lock);
}

void local_node_closing(struct local *l, fuse_ino_t ino)
{
    pthread_mutex_lock(&l->lock);
    struct local_node *n = *slot(l, ino);
    if (n)
        n->closing++;
    pthread_mutex_unlock(&l->lock);
}

void local_node_depart(struct local *l, fuse_ino_t ino, bool departed)
{
    pthread_mutex_lock(&l->lock);
    struct local_node *n = *slot(l, ino);
    if (n)
        n->departed = departed;
    pthread_mutex_unlock(&l->lock);
}

/* The caller holds the lock. */
static bool is_closing(struct local *l, fuse_ino_t ino)
{
    const struct local_node *n = *slot(l, ino);
    return n && n->opens > 0 && n->closing >= n->opens;
}

void local_node_wait_released(struct local *l, fuse_ino_t ino)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += RELEASE_MS * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&l->lock);
    bool wait = is_closing(l, ino);
    pthread_mutex_unlock(&l->lock);
    if (!wait)
        return;
    loop_will_wait();
    int r = 0;
    pthread_mutex_lock(&l->lock);
    while (is_closing(l, ino) && r == 0)
        r = pthread_cond_timedwait(&l->released, &l->lock, &until);
    pthread_mutex_unlock(&l->lock);
}

static bool has_no_name(int fd)
{
    struct stat st;
    return fstatat(fd, "", &st, AT_EMPTY_PATH) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 0;
}

bool local_node_is_stale(struct local *l, fuse_ino_t ino)
{
    pthread_mutex_lock(&l->lock);
    const struct local_node *n = *slot(l, ino);
    bool idle = n && n->departed && n->opens == 0;
    pthread_mutex_unlock(&l->lock);
    return idle && has_no_name(n->fd);
}

bool local_node_refuses(struct local *l, fuse_ino_t ino, pid_t asks)
{
    pthread_mutex_lock(&l->lock);
    struct local_node *n = *slot(l, ino);
    bool refuses =
        n && n->departed && has_no_name(n->fd) && (n->opens == 0 || asks == 0 || n->refused != asks);
    if (n)
        n->refused = refuses ? asks : 0;
    pthread_mutex_unlock(&l->lock);
    return refuses;
}

void local_node_path(struct local *l, fuse_ino_t ino, char ret[32])
{
    snprintf(ret, 32, "/proc/self/fd/%d", local_node_fd(l, ino));
}

void local_entry_fill(const struct stat *st, struct fuse_entry_param *e)
{
    memset(e, 0, sizeof *e);
    e->attr = *st;
    e->ino = e->attr.st_ino = INO_LOCAL | st->st_ino;
    e->attr_timeout = e->entry_timeout = NEVER_EXPIRES;
}

bool local_is_full(struct local *l)
{
    pthread_mutex_lock(&l->lock);
    bool full = l->nodes + NODES_SPARE >= l->nodes_max;
    pthread_mutex_unlock(&l->lock);
    return full;
}

/* Takes fd. The node of its inode, counted once more. */
static struct local_node *adopt(struct local *l, int fd, const struct stat *st, uint64_t lookups,
                                unsigned pins)
{
    pthread_mutex_lock(&l->lock);
    struct local_node **p = slot(l, INO_LOCAL | st->st_ino), *n = *p;
    if (n) {
        close(fd);
    } else if ((pins || l->nodes < l->nodes_max) && (n = calloc(1, sizeof *n))) {
        *n = (struct local_node){.ino = INO_LOCAL | st->st_ino, .fd = fd};
        *p = n;
        l->nodes++;
    } else {
        close(fd);
    }
    if (n) {
        n->lookups += lookups;
        n->pins += pins;
    }
    pthread_mutex_unlock(&l->lock);
    return n;
}

static void drop(struct local *l, fuse_ino_t ino, uint64_t lookups, unsigned pins)
{
    pthread_mutex_lock(&l->lock);
    struct local_node **p = slot(l, ino), *n = *p;
    if (n) {
        n->lookups -= lookups < n->lookups ? lookups : n->lookups;
        n->pins -= pins;
        if (n->lookups || n->pins) {
            n = NULL;
        } else {
            *p = n->next;
            l->nodes--;
        }
    }
    pthread_mutex_unlock(&l->lock);
    if (n) {
        close(n->fd);
        free(n);
    }
}

int local_lookup_entry(struct local *l, fuse_ino_t parent, const char *name, struct fuse_entry_param *ret)
{
    struct stat st;
    int fd = openat(local_node_fd(l, parent), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstatat(fd, "", &st, AT_EMPTY_PATH) < 0) {
        int err = -errno;
        close(fd);
        return err;
    }
    if (!adopt(l, fd, &st, 1, 0))
        return -ENFILE;
    local_entry_fill(&st, ret);
    return 0;
}

void local_forget(struct local *l, fuse_ino_t ino, uint64_t nlookup)
{
    drop(l, ino, nlookup, 0);
}

/* ---- the directories of mailboxes ---- */

static struct local_box_entry *find_box(struct local *l, int64_t mailbox)
{
    for (struct local_box_entry *b = l->boxes; b; b = b->next)
        if (b->mailbox == mailbox)
            return b;
    return NULL;
}

static struct local_node *open_box(struct local *l, int64_t mailbox, bool create)
{
    struct stat st;
    char name[32];

    snprintf(name, sizeof name, "%lld", (long long)mailbox);
    bool make = create && !l->read_only;
    if (make && mkdirat(l->fd, name, 0700) < 0 && errno != EEXIST)
        return NULL;
    if (make && io_fsync_dir(l->fd, NULL) < 0) /* a client can only sync what is in there */
        return NULL;
    int fd = openat(l->fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    if (fstatat(fd, "", &st, AT_EMPTY_PATH) < 0) {
        close(fd);
        return NULL;
    }
    return adopt(l, fd, &st, 0, 1);
}

fuse_ino_t local_box(struct local *l, int64_t mailbox, bool create)
{
    pthread_mutex_lock(&l->lock);
    struct local_box_entry *b = find_box(l, mailbox);
    fuse_ino_t known = b ? b->node->ino : 0;
    pthread_mutex_unlock(&l->lock);
    if (known)
        return known;
    struct local_node *n = open_box(l, mailbox, create);
    if (!n)
        return 0;
    fuse_ino_t ino = n->ino;
    struct local_box_entry *made = calloc(1, sizeof *made);
    if (!made) {
        drop(l, ino, 0, 1);
        return 0;
    }
    pthread_mutex_lock(&l->lock);
    bool first = !find_box(l, mailbox);
    if (first) {
        *made = (struct local_box_entry){.mailbox = mailbox, .node = n, .next = l->boxes};
        l->boxes = made;
    }
    pthread_mutex_unlock(&l->lock);
    if (!first) { /* the thread that was has it pinned */
        free(made);
        drop(l, ino, 0, 1);
    }
    return ino;
}

fuse_ino_t local_node_shown(struct local *l, ino_t native)
{
    fuse_ino_t ino = INO_LOCAL | native;
    pthread_mutex_lock(&l->lock);
    for (const struct local_box_entry *b = l->boxes; b; b = b->next)
        if (b->node->ino == ino && b->mailbox >= 0)
            ino = ino_dir(b->mailbox, SUB_BOX);
    pthread_mutex_unlock(&l->lock);
    return ino;
}

/* The directory of the mail tree that a mailbox's area is shown in: see name_local_area. */
static fuse_ino_t shown_dir(int64_t area)
{
    uint64_t dir = (uint64_t)-area;
    return area >= 0 ? ino_dir(area, SUB_BOX) : ino_dir((int64_t)(dir >> 2), (enum sub)(dir & 3));
}

void local_node_changed(struct local *l, fuse_ino_t ino)
{
    fuse_ino_t dir = ino;
    pthread_mutex_lock(&l->lock);
    for (const struct local_box_entry *b = l->boxes; b; b = b->next)
        if (b->node->ino == ino)
            dir = shown_dir(b->mailbox);
    pthread_mutex_unlock(&l->lock);
    if (l->changed)
        l->changed(l->changed_arg, dir);
}

void local_on_change(struct local *l, void (*changed)(void *arg, fuse_ino_t dir), void *arg)
{
    l->changed = changed;
    l->changed_arg = arg;
}

int local_sync(struct local *l, int64_t mailbox)
{
    fuse_ino_t box = local_box(l, mailbox, false);
    return box ? io_fsync_dir(local_node_fd(l, box), NULL) : 0;
}

int local_list(struct local *l, int64_t mailbox, bool plus,
               int (*each)(void *arg, const char *name, const struct fuse_entry_param *e), void *arg)
{
    fuse_ino_t box = local_box(l, mailbox, false);
    char path[32];
    int r = 0;

    if (!box)
        return 0;
    local_node_path(l, box, path);
    DIR *dir = opendir(path);
    if (!dir)
        return -errno;
    for (struct dirent *d; r == 0 && (d = readdir(dir));) {
        struct fuse_entry_param e;
        struct stat st;
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        if (plus && local_lookup_entry(l, box, d->d_name, &e) < 0)
            continue;
        if (!plus) {
            if (fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                continue;
            local_entry_fill(&st, &e);
        }
        r = each(arg, d->d_name, &e);
        /* An entry that was not taken was not told to the kernel either. */
        if (r && plus)
            local_forget(l, e.ino, 1);
    }
    closedir(dir);
    return r;
}

static int note_entry(void *arg, const char *name, const struct fuse_entry_param *e)
{
    (void)name;
    (void)e;
    *(bool *)arg = false;
    return 1;
}

bool local_box_empty(struct local *l, int64_t mailbox)
{
    bool empty = true;
    local_list(l, mailbox, false, note_entry, &empty);
    return empty;
}

static void remove_below(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        io_close(&fd);
        unlinkat(parent, name, 0);
        return;
    }
    for (struct dirent *d; (d = readdir(dir));)
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            remove_below(dirfd(dir), d->d_name);
    closedir(dir);
    unlinkat(parent, name, AT_REMOVEDIR);
}

void local_box_remove(struct local *l, int64_t mailbox)
{
    struct local_box_entry *gone = NULL;
    char name[32];

    pthread_mutex_lock(&l->lock);
    for (struct local_box_entry **p = &l->boxes; *p; p = &(*p)->next)
        if ((*p)->mailbox == mailbox) {
            gone = *p;
            *p = gone->next;
            break;
        }
    pthread_mutex_unlock(&l->lock);
    if (gone)
        drop(l, gone->node->ino, 0, 1);
    free(gone);
    snprintf(name, sizeof name, "%lld", (long long)mailbox);
    remove_below(l->fd, name);
}

/* ---- life ---- */

/*
 * Each file that the kernel remembers holds a descriptor, and a work tree of git has many. When all were
 * taken, no mail could be opened any more, and no connection: some are left. How many nodes there may be.
 */
static unsigned raise_descriptor_limit(void)
{
    struct rlimit limit = {.rlim_cur = 1024};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        rlim_t before = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
            limit.rlim_cur = before;
    }
    rlim_t most = limit.rlim_cur < UINT_MAX ? limit.rlim_cur : UINT_MAX;
    return (unsigned)(most - (most / 2 < DESCRIPTORS_LEFT ? most / 2 : DESCRIPTORS_LEFT));
}

int local_new(struct cache *c, bool read_only, struct local **ret)
{
    if (mkdirat(cache_dirfd(c), "local", 0700) < 0 && errno != EEXIST)
        return -errno;
    int r = io_fsync_dir(cache_dirfd(c), NULL);
    if (r < 0)
        return r;
    int fd = openat(cache_dirfd(c), "local", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct local *l = calloc(1, sizeof *l);
    if (!l) {
        close(fd);
        return -ENOMEM;
    }
    l->nodes_max = raise_descriptor_limit();
    l->cache = c;
    l->fd = fd;
    l->read_only = read_only;
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&l->released, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *ret = l;
    return 0;
}

void local_free(struct local *l)
{
    if (!l)
        return;
    while (l->dirs) /* when the mount ends, nobody says that they are not needed any more */
        local_dir_leave(l, l->dirs);
    while (l->boxes) {
        struct local_box_entry *b = l->boxes;
        l->boxes = b->next;
        free(b);
    }
    for (size_t i = 0; i < LOCAL_BUCKETS; i++)
        while (l->bucket[i]) {
            struct local_node *n = l->bucket[i];
            l->bucket[i] = n->next;
            close(n->fd);
            free(n);
        }
    close(l->fd);
    pthread_cond_destroy(&l->released);
    pthread_mutex_destroy(&l->lock);
    free(l);
}
