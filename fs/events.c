/*
 * Entries and attributes are the kernel's for ever (see FOREVER_S), so each one that a change from elsewhere
 * makes stale has to be taken from it. Why that cannot lose against an answer that is on its way:
 *
 *   - A lookup or a listing is answered while the kernel holds the directory's lock, and invalidating an
 * entry takes that lock, also for a name that the kernel does not know. An answer from before the commit is
 * therefore in the kernel's caches before the invalidation, which comes after the commit; an answer after
 * that is right.
 *   - Then the directory itself is invalidated: its attributes, and its cached listing. Attributes carry a
 * version in the kernel: an answer to a question from before an invalidation is dropped.
 *
 * What a client does through the mount the kernel knows, with one exception: it drops the attributes of the
 * directory, but not those that are on their way. They may come with the directory's name, with the listing
 * it is in, or by themselves, were found out before the change, arrive after it, and would be believed for
 * ever: a program that goes by a directory's time would overlook the mail. So whoever changes a directory
 * gives its attributes a new version before the change is answered (attr_dir_changed). That takes no lock.
 *
 * An entry of a message is only made to expire: it is asked for again before use, while the pages of a file
 * that is merely called differently stay. Entries of directories are invalidated, with all below them.
 *
 * When more changes at once than the queue holds, each directory's own entry is invalidated, and with it all
 * entries below that nobody is using. (A name that a process holds open just then may be found for as long as
 * it does.)
 *
 * Telling the kernel can wait for a handler of another thread, never the other way round. So no lock is held
 * meanwhile, and the session's end waits until this thread has let go: events_exit does not end the loop, it
 * asks this thread to do so.
 *
 * Invalidating is silent: for those who watch directories changes are also made visible (show.h), with
 * events = full as what they are, one by one, and as a change of the directory where there are too many of
 * them, or with events = dir. What could not be shown is invalidated all the same.
 */
#include "events.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "box.h"
#include "clock.h"
#include "log.h"
#include "loop.h"
#include "notes.h"
#include "own.h"
#include "show.h"

#define SHOW_AGAIN_MS 10000
#define DIRS_MAX 64
#define SHOW_MAX 256 /* changes at once that are shown one by one */

struct hidden {
    struct hidden *next;
    int64_t mailbox;
    enum sub sub;
    int64_t due_ms; /* clock_boot_ms */
};

struct events {
    struct events *next; /* protected by lock, as all down to hidden */
    bool stop;
    struct notes notes;
    struct hidden *hidden;

    struct notes batch; /* the thread's own */
    atomic_bool exit;   /* set by a signal handler, too */

    struct fs *fs; /* constant, as the rest */
    int wake_fd;
    int stop_fd; /* readable from the beginning of the end on */
    pthread_t thread;
    bool started;
};

/* The cache cannot be told to stop calling a listener, and may commit after the mount is gone. So who is
 * alive is known here, and one lock guards that and all that the living share. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct events *live; /* protected by lock */

static void set(int fd)
{
    uint64_t one = 1;
    ssize_t n = write(fd, &one, sizeof(one));
    (void)n; /* full means: it is set */
}

static void wake(struct events *e)
{
    set(e->wake_fd);
}

/* The caller holds the lock. */
static void note_all(struct events *e, const struct cache_event *events, size_t n)
{
    bool ours = false;
    uint64_t last = 0;
    for (size_t i = 0; i < n; i++) {
        if (own_mark(&events[i], &ours))
            continue;
        if (!ours)
            notes_add(&e->notes, &events[i]);
        else if (events[i].kind != CACHE_WORK && events[i].parent && events[i].parent != last)
            attr_dir_changed(e->fs, last = events[i].parent);
    }
    if (e->notes.n > 0 || e->notes.overflow)
        wake(e);
}

static void on_commit(void *arg, const struct cache_event *events, size_t n)
{
    pthread_mutex_lock(&lock);
    struct events *e = live;
    while (e && e != arg)
        e = e->next;
    if (e)
        note_all(e, events, n);
    pthread_mutex_unlock(&lock);
}

void events_exit(struct events *e)
{
    int saved = errno;
    atomic_store(&e->exit, true);
    set(e->stop_fd);
    wake(e);
    errno = saved;
}

/* ---- telling the kernel ---- */

/* The directories that had changes, told at the end of a batch, or when there are too many. */
struct dirs {
    uint64_t ino[DIRS_MAX];
    bool unseen[DIRS_MAX]; /* what changed in it was not shown */
    unsigned n;
};

static void tell_dir(struct events *e, uint64_t ino, bool unseen)
{
    fuse_lowlevel_notify_inval_inode(e->fs->se, ino, 0, 0);
    if (unseen && ino_sub(ino) != SUB_TMP)
        show_touch(e->fs->show, ino, NULL);
}

static void tell_dirs(struct events *e, struct dirs *d)
{
    for (unsigned i = 0; i < d->n; i++)
        tell_dir(e, d->ino[i], d->unseen[i]);
    d->n = 0;
}

static void add_dir(struct events *e, struct dirs *d, uint64_t ino, bool unseen)
{
    unsigned i = 0;
    while (i < d->n && d->ino[i] != ino)
        i++;
    if (i == DIRS_MAX) {
        tell_dirs(e, d);
        i = 0;
    }
    d->unseen[i] = unseen || (i < d->n && d->unseen[i]);
    d->ino[i] = ino;
    if (i == d->n)
        d->n++;
}

/* libfuse 3.15 dropped the flags from the function that expires. */
static int expire_entry(struct fuse_session *se, uint64_t parent, const char *name)
{
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 15)
    return fuse_lowlevel_notify_expire_entry(se, parent, name, strlen(name));
#else
    return fuse_lowlevel_notify_expire_entry(se, parent, name, strlen(name), FUSE_LL_EXPIRE_ONLY);
#endif
}

static void tell_entry(struct events *e, uint64_t parent, const char *name, bool expire)
{
    struct fuse_session *se = e->fs->se;
    if (!expire || expire_entry(se, parent, name) == -ENOSYS)
        fuse_lowlevel_notify_inval_entry(se, parent, name, strlen(name));
}

/* In maildir++ the inbox's directories are the root's; and the root's other names are not kept by the kernel
 * at all. */
static uint64_t shown_in(struct events *e, uint64_t parent)
{
    struct mailbox m;
    cache_rd *rd = cache_reader(e->fs->cache);
    if (e->fs->o.layout == CONFIG_LAYOUT_FS || ino_sub(parent) != SUB_BOX || !rd)
        return parent;
    bool is_inbox = tree_box_of_dir(rd, e->fs->o.layout, 0, &m) == 0 && ino_dir(m.id, SUB_BOX) == parent;
    return is_inbox ? INO_ROOT : parent;
}

static void tell_note(struct events *e, const struct note *note, const char *name, bool seen,
                      struct dirs *dirs)
{
    bool is_dir = ino_is_dir(note->ino), is_box = is_dir && ino_sub(note->ino) == SUB_BOX;
    if (note->kind == CACHE_ATTRIBUTES) {
        if (is_dir)
            add_dir(e, dirs, note->ino, false);
        else
            fuse_lowlevel_notify_inval_inode(e->fs->se, note->ino, 0, 0);
        return;
    }
    if (is_box && e->fs->o.layout == CONFIG_LAYOUT_MAILDIRPP) {
        add_dir(e, dirs, INO_ROOT, true);
        return;
    }
    uint64_t parent = shown_in(e, note->parent);
    if (!seen)
        tell_entry(e, parent, name, !is_dir);
    add_dir(e, dirs, parent, !seen);
    if (note->kind == CACHE_ENTRY_REMOVED && !is_dir)
        fuse_lowlevel_notify_inval_inode(e->fs->se, note->ino, -1, 0);
}

static int tell_mailbox(void *arg, const struct mailbox *m)
{
    struct events *e = arg;
    uint64_t box = ino_dir(m->id, SUB_BOX), parent = shown_in(e, box);
    for (int sub = SUB_TMP; sub <= SUB_CUR; sub++) {
        tell_entry(e, parent, tree_sub_name((enum sub)sub), false);
        tell_dir(e, ino_dir(m->id, (enum sub)sub), true);
    }
    fuse_lowlevel_notify_inval_inode(e->fs->se, box, 0, 0);
    tell_entry(e, ino_dir(m->parent, SUB_BOX), m->name, false);
    return 0;
}

static void tell_everything(struct events *e)
{
    cache_rd *rd = cache_reader(e->fs->cache);
    if (!rd || mailbox_each(rd, -1, 0, tell_mailbox, e) < 0)
        log_error("the kernel could not be told of many changes: listings may be stale");
    fuse_lowlevel_notify_inval_inode(e->fs->se, INO_ROOT, 0, 0);
}

/* Mail that came, went, or got another name or place. */
static bool is_mail(const struct note *note, enum cache_event_kind kind)
{
    return note->kind == kind && !ino_is_dir(note->ino) && ino_is_dir(note->parent) &&
           (ino_sub(note->parent) == SUB_NEW || ino_sub(note->parent) == SUB_CUR);
}

static const char *name_of(const struct events *e, const struct note *note)
{
    return e->batch.names.data + note->name;
}

/* How many notes belong together: what left one name and has another. */
static size_t change_length(const struct events *e, size_t i)
{
    const struct note *note = &e->batch.note[i];
    bool pair = is_mail(note, CACHE_ENTRY_REMOVED) && i + 1 < e->batch.n &&
                is_mail(note + 1, CACHE_ENTRY_ADDED) && note[1].ino == note->ino;
    return pair ? 2 : 1;
}

static bool show_change(struct events *e, size_t i, size_t n)
{
    struct show *s = e->fs->show;
    const struct note *note = &e->batch.note[i];
    const char *name = name_of(e, note);
    const struct note *last = note + n - 1;
    int r = -ENOENT;
    if (n == 2)
        r = show_move(s, note->ino, note->parent, name, last->parent, name_of(e, last));
    else if (is_mail(note, CACHE_ENTRY_ADDED))
        r = show_arrival(s, note->ino, note->parent, name);
    else if (is_mail(note, CACHE_ENTRY_REMOVED))
        r = show_departure(s, note->ino, note->parent, name);
    if (r < 0 && is_mail(last, CACHE_ENTRY_ADDED))
        show_touch(s, last->parent, name_of(e, last));
    return r == 0;
}

static void tell_batch(struct events *e)
{
    struct dirs dirs = {.n = 0};
    bool one_by_one = e->fs->show && e->fs->o.events == CONFIG_EVENTS_FULL && e->batch.n <= SHOW_MAX;
    if (e->batch.overflow)
        tell_everything(e);
    for (size_t i = 0, n; i < e->batch.n; i += n) {
        n = change_length(e, i);
        bool seen = one_by_one && show_change(e, i, n);
        for (size_t k = i; k < i + n; k++)
            tell_note(e, &e->batch.note[k], name_of(e, &e->batch.note[k]), seen, &dirs);
    }
    tell_dirs(e, &dirs);
    show_end(e->fs->show);
    notes_clear(&e->batch);
}

/* ---- what a client removed, and what stays ---- */

static void show_after(struct events *e, int64_t mailbox, enum sub sub, int64_t delay_ms)
{
    struct hidden *h = calloc(1, sizeof(*h));
    if (!h)
        return; /* it stays hidden until the next mount: not worth a failure */
    *h = (struct hidden){.mailbox = mailbox, .sub = sub, .due_ms = clock_boot_ms() + delay_ms};
    pthread_mutex_lock(&lock);
    h->next = e->hidden;
    e->hidden = h;
    pthread_mutex_unlock(&lock);
    wake(e);
}

void events_show_later(struct events *e, int64_t mailbox, enum sub sub)
{
    show_after(e, mailbox, sub, SHOW_AGAIN_MS);
}

/* What the last mount hid, and had no time to bring back. */
static int show_at_start(void *arg, const struct mailbox *m)
{
    for (int sub = SUB_TMP; sub <= SUB_CUR && m->on_server; sub++) {
        if (!(m->dirs & 1u << sub) && !(m->attributes & MAILBOX_NOSELECT) && !m->removed)
            show_after(arg, m->id, (enum sub)sub, 0);
    }
    return 0;
}

static int show_again_change(cache_tx *tx, void *arg)
{
    const struct hidden *h = arg;
    return box_show_again(tx, h->mailbox, h->sub);
}

/* Takes one that is due; else *ret_next_ms is when to look again. */
static struct hidden *next_due(struct events *e, int64_t *ret_next_ms)
{
    int64_t now = clock_boot_ms();
    *ret_next_ms = INT64_MAX;
    pthread_mutex_lock(&lock);
    struct hidden **at = &e->hidden;
    while (*at && (*at)->due_ms > now) {
        if ((*at)->due_ms < *ret_next_ms)
            *ret_next_ms = (*at)->due_ms;
        at = &(*at)->next;
    }
    struct hidden *due = *at;
    if (due)
        *at = due->next;
    pthread_mutex_unlock(&lock);
    return due;
}

/* Returns how long to sleep, for poll. */
static int show_what_is_due(struct events *e)
{
    int64_t next_ms;
    struct hidden *h;
    while ((h = next_due(e, &next_ms))) {
        /* Not by own_write: the kernel is to be told. */
        cache_write(e->fs->cache, CACHE_FROM_FILES, CACHE_SOON, show_again_change, h);
        free(h);
    }
    int64_t left = next_ms == INT64_MAX ? -1 : next_ms - clock_boot_ms();
    return next_ms == INT64_MAX ? -1 : left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

/* ---- the thread ---- */

static bool take_notes(struct events *e)
{
    pthread_mutex_lock(&lock);
    struct notes empty = e->batch;
    e->batch = e->notes;
    e->notes = empty;
    bool stop = e->stop;
    pthread_mutex_unlock(&lock);
    return !stop;
}

static void *run(void *arg)
{
    struct events *e = arg;
    for (;;) {
        struct pollfd p = {.fd = e->wake_fd, .events = POLLIN};
        int timeout_ms = show_what_is_due(e);
        uint64_t count;
        if (poll(&p, 1, timeout_ms) > 0 && read(e->wake_fd, &count, sizeof(count)) < 0)
            log_debug("woken for nothing");
        if (!take_notes(e))
            return NULL;
        if (atomic_load(&e->exit)) {
            loop_exit(e->fs->loop);
            return NULL;
        }
        tell_batch(e);
    }
}

int events_new(struct fs *fs, struct events **ret)
{
    struct events *e = calloc(1, sizeof(*e));
    if (!e)
        return -ENOMEM;
    e->fs = fs;
    e->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    e->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = e->wake_fd < 0 || e->stop_fd < 0 ? -errno : cache_listen(fs->cache, on_commit, e);
    if (r < 0) {
        io_close(&e->wake_fd);
        io_close(&e->stop_fd);
        free(e);
        return r;
    }
    pthread_mutex_lock(&lock);
    e->next = live;
    live = e;
    pthread_mutex_unlock(&lock);
    *ret = e;
    return 0;
}

int events_start(struct events *e)
{
    cache_rd *rd = cache_reader(e->fs->cache);
    int r = rd ? mailbox_each(rd, -1, 0, show_at_start, e) : -EIO;
    if (r == 0 && e->fs->o.events != CONFIG_EVENTS_OFF && show_new(e->fs, e->stop_fd, &e->fs->show) < 0)
        log_warning("changes that come from the server are not shown to programs that watch directories");
    if (r == 0)
        r = -pthread_create(&e->thread, NULL, run, e);
    e->started = r == 0;
    return r;
}

static void leave_live(struct events *e)
{
    pthread_mutex_lock(&lock);
    struct events **at = &live;
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    e->stop = true;
    pthread_mutex_unlock(&lock);
}

void events_stop(struct events *e)
{
    if (!e)
        return;
    leave_live(e);
    set(e->stop_fd);
    wake(e);
    if (e->started)
        pthread_join(e->thread, NULL);
}

void events_free(struct events *e)
{
    if (!e)
        return;
    for (struct hidden *h = e->hidden, *next; h; h = next) {
        next = h->next;
        free(h);
    }
    notes_finish(&e->notes);
    notes_finish(&e->batch);
    show_free(e->fs->show);
    close(e->stop_fd);
    close(e->wake_fd);
    free(e);
}
