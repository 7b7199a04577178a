/* The server itself, and what other clients do to it. */
#include "model_state.h"
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include "header.h"

#define MAPPING ((size_t)1 << 29)

const struct model_features model_full = {
    .speed = WORKER_SPEED_QRESYNC, .uidplus = true, .move = true, .list_status = true};

/* ---- life ---- */

static void make_locks(struct model *m)
{
    pthread_mutexattr_t mutex;
    pthread_condattr_t cond;
    pthread_mutexattr_init(&mutex);
    pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_settype(&mutex, PTHREAD_MUTEX_RECURSIVE); /* model_hold */
    pthread_mutex_init(&m->lock, &mutex);
    pthread_mutexattr_destroy(&mutex);
    pthread_condattr_init(&cond);
    pthread_condattr_setpshared(&cond, PTHREAD_PROCESS_SHARED);
    pthread_condattr_setclock(&cond, CLOCK_MONOTONIC);
    pthread_cond_init(&m->changed, &cond);
    pthread_condattr_destroy(&cond);
}

struct model *model_new(const struct model_features *f)
{
    struct model *m =
        mmap(NULL, MAPPING, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED)
        return NULL;
    make_locks(m);
    m->features = *f;
    m->used = sizeof *m;
    m->modseq = 1;
    m->next_uidvalidity = 1000;
    model_create(m, "INBOX");
    return m;
}

void model_free(struct model *m)
{
    if (m)
        munmap(m, MAPPING);
}

void model_after_death(struct model *m)
{
    make_locks(m);
    m->trouble = (struct model_trouble){0};
}

void model_kill(struct model *m, int pid)
{
    int status = 0;
    pthread_mutex_lock(&m->lock);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    pthread_mutex_unlock(&m->lock);
    model_after_death(m);
    assert(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
}

void *model_alloc(struct model *m, size_t size)
{
    m->used = (m->used + 15) & ~(size_t)15;
    assert(m->used + size <= MAPPING);
    void *p = (char *)m + m->used;
    m->used += size;
    return p;
}

static void *grown(struct model *m, void *old, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return old;
    *cap = *cap ? 2 * *cap : 16;
    void *p = model_alloc(m, *cap * size);
    if (n)
        memcpy(p, old, n * size);
    return p;
}

/* ---- trouble ---- */

void model_plan(struct model *m, const struct model_trouble *t)
{
    pthread_mutex_lock(&m->lock);
    m->trouble = t ? *t : (struct model_trouble){0};
    m->struck = false;
    pthread_mutex_unlock(&m->lock);
}

void model_between(struct model *m, unsigned events, unsigned nth, void (*hook)(void *arg), void *arg)
{
    pthread_mutex_lock(&m->lock);
    m->hook_events = events;
    m->hook_nth = nth;
    m->hook = hook;
    m->hook_arg = arg;
    pthread_mutex_unlock(&m->lock);
}

bool model_struck(struct model *m)
{
    pthread_mutex_lock(&m->lock);
    bool struck = m->struck;
    pthread_mutex_unlock(&m->lock);
    return struck;
}

unsigned model_operations(struct model *m)
{
    pthread_mutex_lock(&m->lock);
    unsigned n = m->operations;
    pthread_mutex_unlock(&m->lock);
    return n;
}

void model_down(struct model *m, bool down)
{
    pthread_mutex_lock(&m->lock);
    m->down = down;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
}

void model_refuse(struct model *m, unsigned verbs)
{
    pthread_mutex_lock(&m->lock);
    m->refused = verbs;
    pthread_mutex_unlock(&m->lock);
}

/* ---- messages ---- */

struct model_box *model_box(struct model *m, const char *name)
{
    for (size_t i = 0; i < MODEL_BOXES; i++)
        if (m->box[i].used && strcmp(m->box[i].name, name) == 0)
            return &m->box[i];
    return NULL;
}

struct model_message *model_message(struct model_box *b, uint32_t uid)
{
    size_t low = 0, high = b->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (b->message[middle].uid < uid)
            low = middle + 1;
        else
            high = middle;
    }
    return low < b->n && b->message[low].uid == uid ? &b->message[low] : NULL;
}

static void touched(struct model *m, struct model_box *b)
{
    b->modseq = ++m->modseq;
    pthread_cond_broadcast(&m->changed);
}

struct model_body *model_new_body(struct model *m, size_t size)
{
    struct model_body *body = model_alloc(m, sizeof *body + size + 1);
    body->size = size;
    body->octets[size] = 0;
    return body;
}

void model_body_filled(struct model_body *body)
{
    struct header_scan scan;
    header_scan_init(&scan);
    header_scan_feed(&scan, body->octets, body->size);
    body->message_id = header_scan_message_id(&scan);
}

flags_t model_storable(const struct model_box *b)
{
    return (b->permanent & FLAGS_SYSTEM) |
           (b->keywords_allowed ? ~FLAGS_SYSTEM : b->permanent & ~FLAGS_SYSTEM);
}

uint32_t model_add(struct model *m, struct model_box *b, const struct model_message *like)
{
    touched(m, b);
    b->message = grown(m, b->message, b->n, &b->cap, sizeof *b->message);
    struct model_message *msg = &b->message[b->n++];
    *msg = *like;
    msg->uid = b->uidnext++;
    msg->flags &= model_storable(b);
    msg->modseq = b->modseq;
    return msg->uid;
}

void model_set_flags(struct model *m, struct model_box *b, struct model_message *msg, flags_t flags)
{
    if (flags == msg->flags)
        return;
    touched(m, b);
    msg->flags = flags;
    msg->modseq = b->modseq;
}

void model_take_out(struct model *m, struct model_box *b, uint32_t uid)
{
    struct model_message *msg = model_message(b, uid);
    if (!msg)
        return;
    touched(m, b);
    size_t i = (size_t)(msg - b->message);
    memmove(msg, msg + 1, (b->n - i - 1) * sizeof *msg);
    b->n--;
    b->expunged = grown(m, b->expunged, b->n_expunged, &b->cap_expunged, sizeof *b->expunged);
    b->expunged[b->n_expunged++] = (struct model_expunged){.uid = uid, .modseq = b->modseq};
}

/* ---- mailboxes ---- */

struct model_box *model_add_box(struct model *m, const char *name)
{
    struct model_box *b = model_box(m, name);
    for (size_t i = 0; i < MODEL_BOXES && !b; i++)
        if (!m->box[i].used)
            b = &m->box[i];
    assert(b && strlen(name) < MODEL_NAME);
    *b = (struct model_box){.used = true,
                            .uidvalidity = m->next_uidvalidity++,
                            .uidnext = 1,
                            .permanent = FLAGS_SYSTEM,
                            .keywords_allowed = true};
    memcpy(b->name, name, strlen(name) + 1);
    snprintf(b->id, sizeof b->id, "box-%u", ++m->ids);
    touched(m, b);
    return b;
}

static bool is_below(const char *name, const char *above)
{
    size_t length = strlen(above);
    return strncmp(name, above, length) == 0 && name[length] == MODEL_DELIMITER;
}

static bool has_children(struct model *m, const struct model_box *b)
{
    for (size_t i = 0; i < MODEL_BOXES; i++)
        if (m->box[i].used && is_below(m->box[i].name, b->name))
            return true;
    return false;
}

/* A level with nothing below it any more is none. */
static void prune(struct model *m)
{
    for (size_t i = 0; i < MODEL_BOXES; i++) {
        struct model_box *b = &m->box[i];
        if (b->used && (b->attributes & 1) && !has_children(m, b)) {
            b->used = false;
            i = (size_t)-1; /* the one above it may be next */
        }
    }
}

bool model_rename_box(struct model *m, const char *from, const char *to)
{
    char old[MODEL_NAME];
    if (!model_box(m, from) || model_box(m, to))
        return false;
    snprintf(old, sizeof old, "%s", from);
    for (size_t i = 0; i < MODEL_BOXES; i++) {
        struct model_box *b = &m->box[i];
        if (!b->used || (strcmp(b->name, old) != 0 && !is_below(b->name, old)))
            continue;
        char name[2 * MODEL_NAME];
        int n = snprintf(name, sizeof name, "%s%s", to, b->name + strlen(old));
        assert(n < MODEL_NAME);
        memcpy(b->name, name, (size_t)n + 1);
        touched(m, b);
    }
    prune(m);
    return true;
}

/* What has children stays as a level of the hierarchy (RFC 3501 6.3.4). */
void model_drop_box(struct model *m, struct model_box *b)
{
    touched(m, b);
    b->n = b->n_expunged = 0;
    b->attributes |= 1;
    prune(m);
}

/* ---- keywords ---- */

unsigned model_keyword_bit(struct model *m, const char *name)
{
    int bit = flags_system_bit(name);
    if (bit >= 0)
        return (unsigned)bit;
    for (unsigned i = 0; i < m->keywords; i++)
        if (strcasecmp(m->keyword[i], name) == 0)
            return FLAGS_FIRST_KEYWORD + i;
    assert(m->keywords < FLAGS_KEYWORDS_MAX);
    snprintf(m->keyword[m->keywords], sizeof m->keyword[0], "%s", name);
    return FLAGS_FIRST_KEYWORD + m->keywords++;
}

flags_t model_keyword(struct model *m, const char *name)
{
    pthread_mutex_lock(&m->lock);
    unsigned bit = model_keyword_bit(m, name);
    pthread_mutex_unlock(&m->lock);
    return (flags_t)1 << bit;
}

const char *model_keyword_name(struct model *m, unsigned bit)
{
    return bit < FLAGS_FIRST_KEYWORD ? flags_system_name(bit) : m->keyword[bit - FLAGS_FIRST_KEYWORD];
}

/* ---- another client ---- */

static struct model_box *lock_box(struct model *m, const char *box)
{
    pthread_mutex_lock(&m->lock);
    struct model_box *b = model_box(m, box);
    assert(b);
    return b;
}

void model_hold(struct model *m)
{
    pthread_mutex_lock(&m->lock);
}

void model_release(struct model *m)
{
    pthread_mutex_unlock(&m->lock);
}

uint32_t model_append(struct model *m, const char *box, const char *wire, flags_t flags, int64_t date_s)
{
    struct model_box *b = lock_box(m, box);
    struct model_body *body = model_new_body(m, strlen(wire));
    memcpy(body->octets, wire, body->size);
    model_body_filled(body);
    uint32_t uid = model_add(m, b, &(struct model_message){.flags = flags, .body = body, .date_s = date_s});
    pthread_mutex_unlock(&m->lock);
    return uid;
}

void model_store(struct model *m, const char *box, uint32_t uid, flags_t add, flags_t removed)
{
    struct model_box *b = lock_box(m, box);
    struct model_message *msg = model_message(b, uid);
    assert(msg);
    model_set_flags(m, b, msg, ((msg->flags | add) & ~removed) & model_storable(b));
    pthread_mutex_unlock(&m->lock);
}

void model_expunge(struct model *m, const char *box, uint32_t uid)
{
    model_take_out(m, lock_box(m, box), uid);
    pthread_mutex_unlock(&m->lock);
}

uint32_t model_move(struct model *m, const char *from, uint32_t uid, const char *to)
{
    struct model_box *b = lock_box(m, from), *target = model_box(m, to);
    assert(target && model_message(b, uid));
    uint32_t moved = model_add(m, target, model_message(b, uid));
    model_take_out(m, b, uid);
    pthread_mutex_unlock(&m->lock);
    return moved;
}

void model_create(struct model *m, const char *box)
{
    pthread_mutex_lock(&m->lock);
    model_add_box(m, box);
    pthread_mutex_unlock(&m->lock);
}

void model_rename(struct model *m, const char *from, const char *to)
{
    pthread_mutex_lock(&m->lock);
    bool done = model_rename_box(m, from, to);
    assert(done);
    (void)done;
    pthread_mutex_unlock(&m->lock);
}

void model_delete(struct model *m, const char *box)
{
    model_drop_box(m, lock_box(m, box));
    pthread_mutex_unlock(&m->lock);
}

void model_replace(struct model *m, const char *box)
{
    struct model_box *b = lock_box(m, box);
    uint32_t uidvalidity = b->uidvalidity;
    model_drop_box(m, b);
    model_add_box(m, box)->uidvalidity = uidvalidity;
    pthread_mutex_unlock(&m->lock);
}

void model_renumber(struct model *m, const char *box, uint32_t first)
{
    struct model_box *b = lock_box(m, box);
    touched(m, b);
    b->uidvalidity = m->next_uidvalidity++;
    b->n_expunged = 0;
    b->uidnext = first;
    for (size_t i = 0; i < b->n; i++) {
        b->message[i].uid = b->uidnext++;
        b->message[i].modseq = b->modseq;
    }
    pthread_mutex_unlock(&m->lock);
}

void model_quota(struct model *m, const char *box, char root, bool full)
{
    struct model_box *b = lock_box(m, box);
    b->root = root;
    b->full = full;
    pthread_mutex_unlock(&m->lock);
}

void model_withhold(struct model *m, uint32_t from_uid)
{
    pthread_mutex_lock(&m->lock);
    m->withheld = from_uid;
    pthread_mutex_unlock(&m->lock);
}

void model_append_limit(struct model *m, int64_t octets)
{
    pthread_mutex_lock(&m->lock);
    m->append_limit = octets;
    pthread_mutex_unlock(&m->lock);
}

void model_distrust(struct model *m, const char *box, flags_t dropped, flags_t refused)
{
    struct model_box *b = lock_box(m, box);
    b->dropped = dropped;
    b->refused = refused;
    pthread_mutex_unlock(&m->lock);
}

void model_permit(struct model *m, const char *box, flags_t permanent, bool keywords_allowed)
{
    struct model_box *b = lock_box(m, box);
    b->permanent = permanent;
    b->keywords_allowed = keywords_allowed;
    touched(m, b);
    pthread_mutex_unlock(&m->lock);
}

void model_read_only(struct model *m, const char *box, bool read_only)
{
    lock_box(m, box)->read_only = read_only;
    pthread_mutex_unlock(&m->lock);
}

/* ---- what is there ---- */

bool model_has_box(struct model *m, const char *box)
{
    pthread_mutex_lock(&m->lock);
    const struct model_box *b = model_box(m, box);
    bool has = b && !(b->attributes & 1);
    pthread_mutex_unlock(&m->lock);
    return has;
}

bool model_box_name(struct model *m, size_t i, char *ret, size_t size)
{
    if (i >= MODEL_BOXES)
        return false;
    pthread_mutex_lock(&m->lock);
    const struct model_box *b = &m->box[i];
    snprintf(ret, size, "%s", b->used && !(b->attributes & 1) ? b->name : "");
    pthread_mutex_unlock(&m->lock);
    return true;
}

static struct model_view view_of(const struct model_box *b, const struct model_message *msg)
{
    return (struct model_view){.box = b->name,
                               .uid = msg->uid,
                               .flags = msg->flags,
                               .wire = msg->body->octets,
                               .size = msg->body->size,
                               .date_s = msg->date_s,
                               .zone_min = msg->zone_min,
                               .message_id = msg->body->message_id};
}

void model_each(struct model *m, const char *box, void (*each)(void *arg, const struct model_view *v),
                void *arg)
{
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < MODEL_BOXES; i++) {
        const struct model_box *b = &m->box[i];
        if (!b->used || (box && strcmp(b->name, box) != 0))
            continue;
        for (size_t k = 0; k < b->n; k++) {
            struct model_view v = view_of(b, &b->message[k]);
            each(arg, &v);
        }
    }
    pthread_mutex_unlock(&m->lock);
}

size_t model_count(struct model *m, const char *box)
{
    pthread_mutex_lock(&m->lock);
    const struct model_box *b = model_box(m, box);
    size_t n = b ? b->n : 0;
    pthread_mutex_unlock(&m->lock);
    return n;
}

bool model_find(struct model *m, const char *box, uint32_t uid, struct model_view *ret)
{
    pthread_mutex_lock(&m->lock);
    struct model_box *b = model_box(m, box);
    const struct model_message *msg = b ? model_message(b, uid) : NULL;
    if (msg)
        *ret = view_of(b, msg);
    pthread_mutex_unlock(&m->lock);
    return msg != NULL;
}
