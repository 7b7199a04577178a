/*
 * Which mailbox of the server's list is which row of the cache?
 *
 * By its MAILBOXID, where the server tells one (RFC 8474): that stays when a mailbox is renamed (case 85),
 * and a new mailbox under an old name has another one (case 71). What the list has under the row's name, and
 * has not another id or UIDVALIDITY, is it. A row that is not found by then has been renamed or deleted: of
 * the mailboxes that nobody knows it is the one with its UIDVALIDITY that has nine in ten of its messages,
 * under their UIDs; and what was below a mailbox that was renamed is looked for below its new name, where it
 * may be empty. In the end a name alone will do: then its messages are paired again (case 70).
 *
 * A mailbox that was made here goes first, by its name: if another client gave that to a mailbox, these two
 * are one from now on (case 80), and the mail of the other one is recognised message by message (case 43).
 * Where the name was made free here, by a rename, what the list has under it is the one that was renamed, and
 * the new one goes last.
 */
#include "boxes_match.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "log.h"

struct matching {
    struct engine *e;
    const struct boxes *b;
    const struct box_row *row;
    size_t n;
    struct box_match *match;
    const struct worker_box **by_id; /* those with an id that no other one has, in order of ids */
    size_t n_ids;
    bool *taken; /* of b->listed */
};

/* ---- looking up ---- */

static int by_id(const void *a, const void *b)
{
    return strcmp((*(const struct worker_box *const *)a)->id, (*(const struct worker_box *const *)b)->id);
}

static int index_ids(struct matching *m)
{
    size_t n = 0, kept = 0;
    m->by_id = calloc(m->b->n_listed + 1, sizeof *m->by_id);
    if (!m->by_id)
        return -ENOMEM;
    for (size_t i = 0; i < m->b->n_listed; i++)
        if (m->b->listed[i].id)
            m->by_id[n++] = &m->b->listed[i];
    qsort(m->by_id, n, sizeof *m->by_id, by_id);
    for (size_t i = 0; i < n; i++) { /* an id that two have is no id */
        bool like_next = i + 1 < n && by_id(&m->by_id[i], &m->by_id[i + 1]) == 0;
        bool like_last = i > 0 && strcmp(m->by_id[i]->id, m->by_id[i - 1]->id) == 0;
        if (!like_next && !like_last)
            m->by_id[kept++] = m->by_id[i];
    }
    m->n_ids = kept;
    return 0;
}

static const struct worker_box *find_id(const struct matching *m, const char *id)
{
    const struct worker_box key = {.id = id}, *wanted = &key;
    const struct worker_box **found =
        m->n_ids ? bsearch(&wanted, m->by_id, m->n_ids, sizeof *m->by_id, by_id) : NULL;
    return found ? *found : NULL;
}

static void take(struct matching *m, size_t i, const struct worker_box *listed)
{
    m->match[i].listed = listed;
    m->taken[listed - m->b->listed] = true;
}

static const struct worker_box *find_free(const struct matching *m, const char *name)
{
    const struct worker_box *listed = boxes_find_listed(m->b, name);
    return listed && !m->taken[listed - m->b->listed] ? listed : NULL;
}

static bool has_other_id(const struct box_row *row, const struct worker_box *listed)
{
    return row->mailboxid[0] && listed->id && strcmp(row->mailboxid, listed->id) != 0;
}

static bool is_another(const struct box_row *row, const struct worker_box *listed)
{
    return has_other_id(row, listed) || (row->uidvalidity && listed->has_status && listed->uidvalidity &&
                                         row->uidvalidity != listed->uidvalidity);
}

/* ---- by name ---- */

static bool is_base_name(const struct matching *m, const char *name)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->row[i].remote && strcmp(m->row[i].remote, name) == 0)
            return true;
    return false;
}

/* Is there one that was called so, and was given another name here since? */
static bool was_renamed_here(const struct matching *m, const char *name)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->row[i].remote && !m->row[i].removed && strcmp(m->row[i].remote, name) == 0)
            return true;
    return false;
}

/* Is it the last name here of a mailbox that was removed, and no other one has it? */
static bool is_last_name(const struct matching *m, const struct box_row *row)
{
    for (size_t i = 0; i < m->n; i++)
        if (!m->row[i].removed && m->row[i].here && strcmp(m->row[i].here, row->here) == 0)
            return false;
    return row->removed;
}

/* Did we give it this name? It is the one that it has here, or the one between (cases 84 and 86). One that
 * was removed here is deleted, whoever gave it its name. */
static bool is_ours(const struct matching *m, const struct box_row *row, const char *name)
{
    struct arena arena = {0};
    char *aside;
    bool ours = false;

    if (strcmp(name, row->remote) == 0)
        return false;
    if (row->removed || (row->here && strcmp(name, row->here) == 0))
        return true;
    if (brain_box_temporary(row->remote, m->b->delimiter, row->id, &arena, &aside) == 0)
        ours = strcmp(name, aside) == 0;
    arena_finish(&arena);
    return ours;
}

/* Under the name that was agreed; or, if a rename was sent and its answer lost, under the new one, or under
 * the one between (cases 84 and 86). */
static const struct worker_box *find_by_name(const struct matching *m, const struct box_row *row,
                                             bool doubtful)
{
    struct arena arena = {0};
    const struct worker_box *listed = NULL;
    char *aside;

    if (!row->remote)
        return row->here && (doubtful || !was_renamed_here(m, row->here)) ? find_free(m, row->here) : NULL;
    if (boxes_find_listed(m->b, row->remote))
        return find_free(m, row->remote);
    if (row->here && (!row->removed || is_last_name(m, row)) && !is_base_name(m, row->here))
        listed = find_free(m, row->here);
    if (!listed && brain_box_temporary(row->remote, m->b->delimiter, row->id, &arena, &aside) == 0)
        listed = find_free(m, aside);
    arena_finish(&arena);
    return listed;
}

static void match_names(struct matching *m, bool made_here, bool doubtful)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct box_row *row = &m->row[i];
        if (m->match[i].listed || (!row->remote) != made_here)
            continue;
        const struct worker_box *listed = find_by_name(m, row, doubtful);
        if (!listed || (is_another(row, listed) && !doubtful))
            continue;
        take(m, i, listed);
        m->match[i].replaced = has_other_id(row, listed);
        m->match[i].ours = row->remote && strcmp(row->remote, listed->name) != 0;
    }
}

static void match_ids(struct matching *m)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct worker_box *listed =
            m->row[i].remote && m->row[i].mailboxid[0] ? find_id(m, m->row[i].mailboxid) : NULL;
        if (!listed || m->taken[listed - m->b->listed])
            continue;
        take(m, i, listed);
        m->match[i].ours = is_ours(m, &m->row[i], listed->name);
    }
}

/* ---- by content ---- */

struct common {
    cache_rd *rd;
    const struct worker_scan *scan;
    uint64_t known, there;
};

static int compare_uid(const void *key, const void *element)
{
    uint32_t uid = *(const uint32_t *)key, other = ((const struct worker_message *)element)->uid;
    return (uid > other) - (uid < other);
}

static int count_common(void *arg, const struct base_state *b)
{
    struct common *c = arg;
    struct message m;
    const struct worker_scan *s = c->scan;
    const struct worker_message *found =
        s->n ? bsearch(&b->uid, s->message, s->n, sizeof *s->message, compare_uid) : NULL;
    c->known++;
    if (!found || message_get(c->rd, b->message, &m) < 0)
        return 0;
    bool identified = m.message_id && found->message_id;
    c->there += identified ? m.message_id == found->message_id : m.wire_size == found->size;
    return 0;
}

static enum worker_result has_its_messages(struct matching *m, const struct box_row *row,
                                           const struct worker_box *listed, bool *ret)
{
    struct worker_scan scan = {0};
    struct worker_error error = {0};
    struct common c = {.rd = cache_reader(m->e->cache), .scan = &scan};

    *ret = false;
    enum worker_result r = m->e->worker->ops->list(m->e->worker, listed->name, 1, &scan, &error);
    engine_pause(m->e, error.retry_ms);
    if (r == WORKER_DONE && base_each(c.rd, row->id, 0, count_common, &c) < 0)
        r = WORKER_LOCAL;
    if (r == WORKER_DONE)
        *ret = scan.token.uidvalidity == row->uidvalidity && c.known && c.there * 10 >= c.known * 9;
    worker_scan_finish(&scan);
    return r == WORKER_REFUSED || r == WORKER_GONE ? WORKER_DONE : r;
}

static enum worker_result match_content(struct matching *m, size_t i)
{
    const struct box_row *row = &m->row[i];
    uint64_t known = base_count(cache_reader(m->e->cache), row->id);

    for (size_t k = 0; known && k < m->b->n_listed; k++) {
        const struct worker_box *listed = &m->b->listed[k];
        bool may_be = !m->taken[k] && listed->has_status && listed->uidvalidity == row->uidvalidity &&
                      !has_other_id(row, listed) && listed->uidnext >= row->uidnext &&
                      (uint64_t)listed->messages * 10 >= known * 9;
        bool is = false;
        enum worker_result r = may_be ? has_its_messages(m, row, listed, &is) : WORKER_DONE;
        if (r != WORKER_DONE)
            return r;
        if (is) {
            take(m, i, listed);
            break;
        }
    }
    return WORKER_DONE;
}

/* Which came along when the mailbox above it was renamed. */
static void match_below(struct matching *m, size_t i)
{
    const struct box_row *row = &m->row[i];

    for (size_t k = 0; k < m->n && !m->match[i].listed; k++) {
        const char *upper = m->row[k].remote;
        const struct worker_box *above = m->match[k].listed;
        size_t length = upper ? strlen(upper) : 0;
        if (!upper || !above || strcmp(upper, above->name) == 0 || !m->b->delimiter ||
            strncmp(row->remote, upper, length) != 0 || row->remote[length] != m->b->delimiter)
            continue;
        char name[2 * MAILBOX_REMOTE_MAX];
        snprintf(name, sizeof name, "%s%s", above->name, row->remote + length);
        const struct worker_box *listed = find_free(m, name);
        if (listed && !is_another(row, listed))
            take(m, i, listed);
    }
}

static bool is_missing(const struct matching *m, size_t i)
{
    return !m->match[i].listed && m->row[i].remote && !m->row[i].removed;
}

static enum worker_result match_renamed(struct matching *m)
{
    enum worker_result r = WORKER_DONE;
    for (size_t i = 0; i < m->n && r == WORKER_DONE; i++)
        if (is_missing(m, i) && m->row[i].uidvalidity)
            r = match_content(m, i);
    for (size_t i = 0; i < m->n && r == WORKER_DONE; i++)
        if (is_missing(m, i))
            match_below(m, i);
    return r;
}

/* Of a mailbox that was deleted there a level may be left, for what is below it. If it has another name here
 * by now, and a mailbox of that name was made there, these two are one (case 80), and the level is a level.
 */
static void match_instead_of_levels(struct matching *m)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct box_row *row = &m->row[i];
        const struct worker_box *level = m->match[i].listed, *made;
        bool deleted = level && (level->attributes & MAILBOX_NOSELECT) && row->remote && row->uidvalidity;
        if (!deleted || row->removed || !row->here || strcmp(row->here, row->remote) == 0)
            continue;
        made = is_base_name(m, row->here) ? NULL : find_free(m, row->here);
        if (!made || (made->attributes & MAILBOX_NOSELECT))
            continue;
        m->taken[level - m->b->listed] = false;
        take(m, i, made);
        m->match[i].replaced = true;
        m->match[i].ours = false;
    }
}

enum worker_result boxes_match(struct engine *e, const struct boxes *b, const struct box_row *row, size_t n,
                               struct box_match *ret)
{
    struct matching m = {.e = e, .b = b, .row = row, .n = n, .match = ret};
    enum worker_result r = WORKER_LOCAL;

    memset(ret, 0, n * sizeof *ret);
    m.taken = calloc(b->n_listed + 1, sizeof *m.taken);
    if (m.taken && index_ids(&m) == 0) {
        match_names(&m, true, false);
        match_ids(&m);
        match_names(&m, false, false);
        r = match_renamed(&m);
        match_names(&m, false, true);
        match_names(&m, true, true);
        match_instead_of_levels(&m);
    }
    for (size_t i = 0; i < n && r == WORKER_DONE; i++) {
        const struct worker_box *listed = ret[i].listed;
        if (listed && row[i].remote && strcmp(listed->name, row[i].remote) != 0)
            log_info("case %d: mailbox %lld is called \"%s\" on the server now", ret[i].ours ? 84 : 85,
                     (long long)row[i].id, listed->name);
        if (ret[i].replaced)
            log_info("case 71: mailbox %lld is another one on the server now", (long long)row[i].id);
    }
    free(m.taken);
    free(m.by_id);
    return r;
}
