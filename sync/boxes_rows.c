/*
 * The mailbox tree, merged: what happens to rows of the cache. See boxes.c.
 */
#include "boxes_rows.h"
#include "boxes_place.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "log.h"
#include "name.h"
#include "private.h"

#define LISTED_ATTRIBUTES                                                                                    \
    (MAILBOX_NOSELECT | MAILBOX_NOINFERIORS | MAILBOX_TRASH | MAILBOX_JUNK | MAILBOX_SENT | MAILBOX_DRAFTS | \
     MAILBOX_ARCHIVE | MAILBOX_SUBSCRIBED)

/* The row that the server knows by this name, unless it was given another one here meanwhile. */
static bool find_known(cache_rd *rd, const char *name, char delimiter, struct mailbox *ret)
{
    char here[MAILBOX_REMOTE_MAX];
    return mailbox_find_remote(rd, name, ret) == 0 && mailbox_remote_name(rd, ret, delimiter, here) == 0 &&
           strcmp(here, name) == 0;
}

static int make_path(cache_tx *tx, const char *name, char delimiter, struct mailbox *ret)
{
    char prefix[MAILBOX_REMOTE_MAX];
    int64_t parent = 0;

    for (const char *leaf = name;;) {
        size_t length = delimiter ? strcspn(leaf, (char[]){delimiter, 0}) : strlen(leaf);
        snprintf(prefix, sizeof prefix, "%.*s", (int)(leaf - name + (ptrdiff_t)length), name);
        int r = find_known(cache_tx_rd(tx), prefix, delimiter, ret)
                    ? 0
                    : boxes_make_level(tx, parent, leaf, length, delimiter, false, ret);
        if (r < 0)
            return r;
        if (!leaf[length] || !leaf[length + 1])
            return 0;
        struct mailbox below = {.parent = ret->id};
        r = boxes_show_above(tx, &below);
        if (r < 0)
            return r;
        parent = below.parent;
        leaf += length + 1;
    }
}

void boxes_take_attributes(struct mailbox *m, const struct worker_box *listed, char delimiter)
{
    unsigned was = m->attributes;
    m->attributes = (m->attributes & ~(unsigned)LISTED_ATTRIBUTES) | (listed->attributes & LISTED_ATTRIBUTES);
    m->delimiter = listed->delimiter ? listed->delimiter : delimiter;
    if (listed->id)
        snprintf(m->mailboxid, sizeof m->mailboxid, "%s", listed->id);
    bool turned = (m->attributes & ~was & MAILBOX_NOSELECT) && m->on_server;
    if (turned && !m->uidvalidity) /* what was looked into is dealt with by the merge: it is hollow */
        m->dirs = 0;
    else if (m->attributes & MAILBOX_NOSELECT)
        return;
    else if (!m->on_server || (was & MAILBOX_NOSELECT))
        m->dirs = MAILBOX_ALL_DIRS;
}

/* Creation in the cache, and agreement: the row says what the list says. */
int boxes_put_listed(cache_tx *tx, void *arg)
{
    const struct boxes_make *make = arg;
    struct mailbox m;
    int r = make_path(tx, make->name, make->delimiter, &m);
    if (r < 0)
        return r;
    struct mailbox before = m;
    boxes_take_attributes(&m, make->listed, make->delimiter);
    m.on_server = true;
    snprintf(m.remote, sizeof m.remote, "%s", make->listed->name);
    return memcmp(&before, &m, sizeof m) ? mailbox_put(tx, &m) : 0;
}

static int put_removed(cache_tx *tx, const struct boxes_agree *a)
{
    struct mailbox m = *a->before, parent;
    if (m.parent && mailbox_get(cache_tx_rd(tx), m.parent, &parent) < 0)
        m.parent = 0;
    m.id = 0;
    m.removed = true;
    m.dirs = 0;
    m.on_server = true;
    m.delimiter = a->delimiter;
    snprintf(m.remote, sizeof m.remote, "%s", a->remote);
    return mailbox_put(tx, &m);
}

int boxes_put_agreed(cache_tx *tx, void *arg)
{
    const struct boxes_agree *a = arg;
    struct mailbox m;
    int r = mailbox_get(cache_tx_rd(tx), a->id, &m);
    if (r == -ENOENT)
        return a->before ? put_removed(tx, a) : 0;
    if (r < 0)
        return r;
    struct mailbox before = m;
    if (a->listed)
        boxes_take_attributes(&m, a->listed, a->delimiter);
    if (a->created)
        m.attributes &= ~(unsigned)MAILBOX_NOSELECT;
    m.on_server = true;
    snprintf(m.remote, sizeof m.remote, "%s", a->remote);
    if (!m.delimiter)
        m.delimiter = a->delimiter;
    r = failure_forget(tx, 0, a->id);
    if (r < 0 && r != -ENOENT)
        return r;
    return memcmp(&before, &m, sizeof m) ? mailbox_put(tx, &m) : 0;
}

struct renamed {
    cache_tx *tx;
    const struct boxes_rename *rename;
    int result;
};

static int rename_child(void *arg, const struct mailbox *row)
{
    struct renamed *a = arg;
    size_t length = strlen(a->rename->from);
    struct mailbox m = *row;

    if (!m.on_server || strncmp(m.remote, a->rename->from, length) != 0)
        return 0;
    if (m.remote[length] && m.remote[length] != a->rename->delimiter)
        return 0;
    char name[2 * MAILBOX_REMOTE_MAX];
    int n = snprintf(name, sizeof name, "%s%s", a->rename->to, row->remote + length);
    if (n >= MAILBOX_REMOTE_MAX)
        return -ENAMETOOLONG;
    memcpy(m.remote, name, (size_t)n + 1);
    return mailbox_put(a->tx, &m);
}

/* The server renamed a mailbox and its children with it (case 84): so do their base names. */
int boxes_put_renamed(cache_tx *tx, void *arg)
{
    struct renamed a = {.tx = tx, .rename = arg};
    return mailbox_each(cache_tx_rd(tx), -1, 0, rename_child, &a);
}

int boxes_put_moved(cache_tx *tx, void *arg)
{
    const struct boxes_move *move = arg;
    const char *last = move->delimiter ? strrchr(move->to, move->delimiter) : NULL;
    const char *leaf = last ? last + 1 : move->to;
    char above[MAILBOX_REMOTE_MAX], was[MAILBOX_REMOTE_MAX];
    struct mailbox m, parent = {0}, other;

    int r = mailbox_get(cache_tx_rd(tx), move->id, &m);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (last) {
        snprintf(above, sizeof above, "%.*s", (int)(last - move->to), move->to);
        r = make_path(tx, above, move->delimiter, &parent);
    }
    m.parent = parent.id;
    if (r == 0)
        r = boxes_show_above(tx, &m);
    char plain[NAME_COMPONENT_MAX + 1];
    int cut = r < 0 ? r : name_to_component(leaf, strlen(leaf), plain);
    if (cut < 0)
        return cut;
    bool exact = cut == 0;
    int64_t level = 0;
    snprintf(m.name, sizeof m.name, "%s", plain);
    for (unsigned i = 2; mailbox_find(cache_tx_rd(tx), m.parent, m.name, &other) == 0; i++) {
        if (other.id == m.id)
            break;
        if (exact && boxes_is_level(&other)) {
            level = other.id;
            break;
        }
        snprintf(m.name, sizeof m.name, "%.240s%%~%u", plain, i);
        exact = false;
    }
    snprintf(m.leaf, sizeof m.leaf, "%s", exact ? "" : leaf);
    memcpy(was, m.remote, sizeof was);
    if (r == 0)
        r = boxes_put_in_place(tx, &m, level);
    struct boxes_rename rename = {.from = was, .to = move->to, .delimiter = move->delimiter};
    return r == 0 && was[0] ? boxes_put_renamed(tx, &rename) : r;
}

#define REMOVE_BATCH 256

struct addressed {
    struct base_state row[REMOVE_BATCH];
    size_t n;
};

static int collect_addressed(void *arg, const struct base_state *b)
{
    struct addressed *a = arg;
    a->row[a->n++] = *b;
    return a->n == REMOVE_BATCH;
}

/* Is this to be sent again? It is being rewritten here (case 13), or was flagged or undeleted (11), or moved.
 */
static bool outlives_mailbox(cache_tx *tx, const struct message *m, const struct base_state *b)
{
    bool moved = m->state != MESSAGE_GONE && m->mailbox != b->mailbox;
    bool wanted = m->state == MESSAGE_PRESENT && body_is_here(cache_tx_cache(tx), m) &&
                  brain_wish_to_keep(b->flags, m->flags);
    return m->state == MESSAGE_WRITING || moved || wanted;
}

/* A message that the server had: it is in another mailbox already (case 43), or restorable now, or stays to
 * be sent from where it is (cases 11 and 42), unless it turns up in another one yet. */
static int remove_addressed(cache_tx *tx, struct engine *e, const struct base_state *b)
{
    struct message m;
    int r = message_get(cache_tx_rd(tx), b->message, &m);
    if (r == 0)
        r = follow_departure(tx, &m, b);
    if (r == 1)
        return 0;
    if (r == 0 && outlives_mailbox(tx, &m, b))
        r = follow_orphan(e, tx, &m);
    else if (r == 0)
        r = cache_worker_apply(tx, &(struct brain_op){.verb = BRAIN_REMOVE}, &m, NULL, b->mailbox);
    if (r < 0 && r != -ENOENT)
        return r;
    return cache_worker_agree(tx, b->message, NULL);
}

/* The server's mailbox is gone: its mail here goes to the restorable rows, mail that the server never had
 * stays in view, and with it the mailbox. */
int boxes_remove_row(cache_tx *tx, void *arg)
{
    cache_rd *rd = cache_tx_rd(tx);
    const struct boxes_gone *gone = arg;
    int64_t id = gone->id;
    struct addressed batch;
    struct mailbox m;
    int r;

    do {
        batch.n = 0;
        r = base_each(rd, id, 0, collect_addressed, &batch);
        for (size_t i = 0; i < batch.n && r >= 0; i++)
            r = remove_addressed(tx, gone->e, &batch.row[i]);
    } while (r >= 0 && batch.n == REMOVE_BATCH);
    if (r >= 0)
        r = mailbox_get(rd, id, &m);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    m.on_server = false;
    m.remote[0] = 0;
    m.uidvalidity = m.uidnext = m.exists = 0;
    m.modseq = 0;
    if (!message_any(rd, id, false))
        m.dirs = 0;
    bool was_removed = m.removed;
    m.removed = !m.dirs && mailbox_children(rd, id) == 0;
    r = was_removed && !m.removed ? boxes_put_again(tx, &m) : mailbox_put(tx, &m);
    if (r == 0 && m.removed && mailbox_forget(tx, id) < 0)
        log_debug("mailbox %lld is kept for its restorable mail", (long long)id);
    return r;
}
