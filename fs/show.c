/*
 * No way to invalidate the kernel's caches reaches those who watch a directory: only operations do. So for
 * each change that came from the server the hand makes the operation that looks like it: mail that arrived is
 * renamed from tmp to new, as any delivery is, mail that was flagged or filed elsewhere from its old name to
 * the new one, and mail that went is unlinked. The rows have changed before; the handlers know the hand by
 * its process id, and only check that they still are as the operation will leave the kernel's entries.
 *
 *   - To the hand, the old name is still there, and the new one is not yet. Nobody else is told so: the
 * directories are locked from its look-ups to the end of the operation.
 *   - In that check the directory is locked, so that no client can rename the message before the kernel has
 * carried the operation out. The engine can; what it changes comes here afterwards, and sets things right.
 *   - When somebody has looked up the new name since the change, the kernel has it, and refuses the
 * operation: who watches is shown a change of the file's attributes instead.
 *   - The mount point may be another mount by the time that the hand opens it, where unlink would mean it: so
 * it looks up a name there that only this mount has.
 *
 * A handler never waits for the hand, and the events thread, which does, holds no lock.
 */
#include "show.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "hand.h"
#include "log.h"

#define ARRIVAL "arrival.mailmount" /* in tmp */
#define PROOF_OCTETS 16

struct ghost {
    uint64_t ino; /* 0: none */
    uint64_t parent, newparent;
    char name[256], newname[256];
};

struct show {
    struct fs *fs;
    struct hand *hand;
    int stop_fd;
    char proof[sizeof(".mailmount-") + 2 * PROOF_OCTETS];
    bool is_open, told;   /* the events thread's own */
    pthread_mutex_t lock; /* a leaf */
    struct ghost ghost;   /* protected by lock */
};

int show_new(struct fs *fs, int stop_fd, struct show **ret)
{
    unsigned char random[PROOF_OCTETS];
    struct show *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    int at = snprintf(s->proof, sizeof(s->proof), ".mailmount-");
    int r = getrandom(random, sizeof(random), 0) == sizeof(random) ? 0 : -EIO;
    for (size_t i = 0; i < sizeof(random); i++)
        at += snprintf(s->proof + at, sizeof(s->proof) - (size_t)at, "%02x", random[i]);
    if (r == 0)
        r = hand_new(fs->o.mountpoint, &s->hand);
    if (r < 0) {
        free(s);
        return r;
    }
    s->fs = fs;
    s->stop_fd = stop_fd;
    pthread_mutex_init(&s->lock, NULL);
    *ret = s;
    return 0;
}

void show_free(struct show *s)
{
    if (!s)
        return;
    hand_free(s->hand);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* ---- for the events thread ---- */

int show_begin(struct show *s)
{
    if (!s)
        return -EOPNOTSUPP;
    int r = s->is_open ? 0 : hand_do(s->hand, HAND_BEGIN, s->proof, NULL, s->stop_fd);
    s->is_open = r == 0;
    if (r == -EPIPE && !s->told)
        log_warning("the process that shows changes to programs that watch directories has ended");
    s->told = s->told || r == -EPIPE;
    return r;
}

void show_end(struct show *s)
{
    if (s && s->is_open)
        hand_do(s->hand, HAND_END, NULL, NULL, s->stop_fd);
    if (s)
        s->is_open = false;
}

static int path_of(struct show *s, uint64_t dir, const char *name, char ret[PATH_MAX])
{
    enum sub sub = ino_sub(dir);
    cache_rd *rd = cache_reader(s->fs->cache);
    int r = rd ? tree_path(rd, s->fs->o.layout, ino_mailbox(dir), ret, PATH_MAX) : -EIO;
    if (r < 0)
        return r;
    size_t length = strlen(ret);
    int n = snprintf(ret + length, PATH_MAX - length, "%s%s%s%s", length && sub != SUB_BOX ? "/" : "",
                     sub != SUB_BOX ? tree_sub_name(sub) : "", name ? "/" : "", name ? name : "");
    if (length + (size_t)n >= PATH_MAX)
        return -ENAMETOOLONG;
    if (!*ret)
        strcpy(ret, ".");
    return 0;
}

static void set_ghost(struct show *s, const struct ghost *g)
{
    pthread_mutex_lock(&s->lock);
    s->ghost = *g;
    pthread_mutex_unlock(&s->lock);
}

static int carry_out(struct show *s, enum hand_verb verb, const struct ghost *g)
{
    char from[PATH_MAX], to[PATH_MAX] = "";
    int r = show_begin(s);
    if (r == 0)
        r = path_of(s, g->parent, g->name, from);
    if (r == 0 && verb == HAND_RENAME)
        r = path_of(s, g->newparent, g->newname, to);
    if (r < 0)
        return r;
    set_ghost(s, g);
    r = hand_do(s->hand, verb, from, to, s->stop_fd);
    set_ghost(s, &(struct ghost){.ino = 0});
    return r;
}

int show_move(struct show *s, uint64_t ino, uint64_t parent, const char *name, uint64_t newparent,
              const char *newname)
{
    struct ghost g = {.ino = ino, .parent = parent, .newparent = newparent};
    snprintf(g.name, sizeof(g.name), "%s", name);
    snprintf(g.newname, sizeof(g.newname), "%s", newname);
    return carry_out(s, HAND_RENAME, &g);
}

int show_arrival(struct show *s, uint64_t ino, uint64_t parent, const char *name)
{
    return show_move(s, ino, ino_dir(ino_mailbox(parent), SUB_TMP), ARRIVAL, parent, name);
}

int show_departure(struct show *s, uint64_t ino, uint64_t parent, const char *name)
{
    struct ghost g = {.ino = ino, .parent = parent};
    snprintf(g.name, sizeof(g.name), "%s", name);
    return carry_out(s, HAND_UNLINK, &g);
}

int show_touch(struct show *s, uint64_t dir, const char *name)
{
    char path[PATH_MAX];
    int r = show_begin(s);
    if (r == 0)
        r = path_of(s, dir, name, path);
    return r < 0 ? r : hand_do(s->hand, HAND_TOUCH, path, NULL, s->stop_fd);
}

/* ---- for the handlers ---- */

static struct show *asked_by_hand(fuse_req_t req)
{
    struct show *s = fs_of(req)->show;
    return s && fuse_req_ctx(req)->pid == hand_pid(s->hand) ? s : NULL;
}

static struct ghost get_ghost(struct show *s)
{
    pthread_mutex_lock(&s->lock);
    struct ghost g = s->ghost;
    pthread_mutex_unlock(&s->lock);
    return g;
}

static struct stat empty_file(const struct fs *fs, uint64_t ino)
{
    return (struct stat){
        .st_ino = ino, .st_mode = S_IFREG | 0600, .st_nlink = 1, .st_uid = fs->uid, .st_gid = fs->gid};
}

static void reply_once(fuse_req_t req, const struct stat *st, double timeout)
{
    struct fuse_entry_param e;
    attr_entry(st, timeout, &e);
    e.entry_timeout = 0;
    fuse_reply_entry(req, &e);
}

/* That it is this mount, and no more: no file that there is, and nothing that has to be found out. */
static void reply_proof(fuse_req_t req)
{
    struct stat st = empty_file(fs_of(req), INO_PROOF);
    reply_once(req, &st, FOREVER_S);
}

/* Under its old name, for this once. Whoever has it open sees the same attributes as ever. */
static void reply_ghost(fuse_req_t req, uint64_t ino)
{
    struct stat st;
    double timeout;
    if (attr_get(fs_of(req), ino, &st, &timeout) < 0)
        st = empty_file(fs_of(req), ino);
    if (st.st_nlink == 0)
        st.st_nlink = 1;
    reply_once(req, &st, 0);
}

bool show_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct show *s = asked_by_hand(req);
    if (!s)
        return false;
    struct ghost g = get_ghost(s);
    if (parent == INO_ROOT && strcmp(name, s->proof) == 0)
        reply_proof(req);
    else if (g.ino && parent == g.parent && strcmp(name, g.name) == 0)
        reply_ghost(req, g.ino);
    else if (g.ino && parent == g.newparent && strcmp(name, g.newname) == 0)
        reply_err(req, -ENOENT);
    else
        return false;
    return true;
}

/* Is the row that the name belongs to this one (0: is there none)? */
static bool is_named(struct fs *fs, fuse_ino_t parent, const char *name, uint64_t ino)
{
    struct message m;
    cache_rd *rd = cache_reader(fs->cache);
    int r = rd ? message_find(rd, ino_mailbox(parent), ino_sub(parent), name, &m) : -EIO;
    return r == 0 ? (uint64_t)m.id == ino : r == -ENOENT && ino == 0;
}

bool show_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
                 const char *newname)
{
    struct show *s = asked_by_hand(req);
    if (!s)
        return false;
    struct ghost g = get_ghost(s);
    bool is_it = g.ino && parent == g.parent && newparent == g.newparent && strcmp(name, g.name) == 0 &&
                 strcmp(newname, g.newname) == 0;
    bool is_true = is_it && is_named(s->fs, parent, name, 0) && is_named(s->fs, newparent, newname, g.ino);
    reply_err(req, is_true ? 0 : -ESTALE);
    return true;
}

bool show_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct show *s = asked_by_hand(req);
    if (!s)
        return false;
    struct ghost g = get_ghost(s);
    bool is_it = g.ino && parent == g.parent && strcmp(name, g.name) == 0;
    reply_err(req, is_it && is_named(s->fs, parent, name, 0) ? 0 : -ESTALE);
    return true;
}

/* The times that it asks for are not wanted. */
bool show_setattr(fuse_req_t req, fuse_ino_t ino)
{
    struct show *s = asked_by_hand(req);
    struct stat st;
    double timeout;
    if (!s)
        return false;
    int r = attr_get(s->fs, ino, &st, &timeout);
    if (r < 0)
        reply_err(req, r);
    else
        fuse_reply_attr(req, &st, timeout);
    return true;
}
