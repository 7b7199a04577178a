/*
 * The messages: every row and every mail that was seen becomes one message of the brain's, its plan is
 * carried out, and the base is written when all of a message's operations are confirmed.
 */
#include <string.h>
#include "world.h"

enum { KEYS = ROWS + MAILS };

struct merge {
    struct round *round;
    struct brain_message in[KEYS];
    int64_t row[KEYS]; /* 0: none */
    int seen[KEYS];    /* -1: none */
    size_t n;
    bool taken[MAILS]; /* of round->seen */
    struct brain_plan plan;
    bool done[3 * KEYS]; /* by operation */
};

static uint64_t content_of(unsigned text)
{
    return text + 1;
}

/* ---- which are the same? ---- */

static int find_seen(const struct round *r, int64_t box, uint32_t uid)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->seen[i].box == box && r->seen[i].mail.uid == uid)
            return (int)i;
    return -1;
}

static void collect_rows(struct merge *m)
{
    struct world *w = m->round->w;
    for (size_t i = 0; i < w->cache.rows; i++) {
        const struct row *r = &w->cache.row[i];
        int seen = r->id && r->has_base ? find_seen(m->round, r->base_box, r->base_uid) : -1;
        if (seen >= 0)
            m->taken[seen] = true;
        bool settles = r->intent.set && !r->intent.move;
        if (!r->id || settles || (r->has_base && !round_knows(m->round, r->base_box)) ||
            (r->present && !round_knows(m->round, r->box)))
            continue;
        m->row[m->n] = r->id;
        m->seen[m->n++] = seen;
    }
}

static struct brain_identity identity_of(const struct world *w, size_t key, unsigned text)
{
    const struct text *t = &w->text[text & ~ALTERED];
    return (struct brain_identity){
        .key = (int64_t)key, .message_id = t->message_id, .date_s = t->date_s, .size = server_size(w, text)};
}

/* Where the mailbox is the one that was agreed on, a new address is all the news, and none for the brain. */
static void known_as(struct world *w, struct row *r, const struct seen *s)
{
    if (!r->has_base || r->base_box != s->box)
        return;
    r->base_uid = s->mail.uid;
    cache_commit(w, SOON);
}

/*
 * Rows that are nowhere on the server, and mail that no row is the one of. Case 43: a row whose address is
 * gone is looked for in all mailboxes, unless it was removed here. Cases 3, 22 and 45: what waits here to be
 * sent is compared with what came to the same mailbox.
 */
static void pair(struct merge *m, int number)
{
    struct round *r = m->round;
    struct world *w = r->w;
    struct brain_identity left[KEYS], right[MAILS];
    struct brain_pair *found;
    size_t n_left = 0, n_right = 0, n = 0;

    for (size_t i = 0; i < m->n; i++) {
        const struct row *row = cache_row(w, m->row[i]);
        if (m->seen[i] >= 0 || !row->present || (number == 43 && !row->has_base))
            continue;
        left[n_left] = identity_of(w, i, row->text);
        left[n_left].content = content_of(row->text);
        left[n_left++].mailbox = number == 43 ? 0 : row->box;
    }
    for (size_t i = 0; i < r->n && n_left; i++) {
        const struct seen *s = &r->seen[i];
        if (m->taken[i])
            continue;
        right[n_right] = identity_of(w, i, s->mail.text);
        right[n_right].content = number == 43 ? 0 : content_of(s->mail.text);
        right[n_right++].mailbox = number == 43 ? 0 : s->box;
    }
    if (brain_pair_messages(left, n_left, right, n_right, number, &r->arena, &found, &n) < 0)
        world_wrong(w, "no memory");
    for (size_t i = 0; i < n; i++) {
        size_t key = (size_t)left[found[i].left].key, seen = (size_t)right[found[i].right].key;
        bool same = (cache_row(w, m->row[key])->text & ~ALTERED) == (r->seen[seen].mail.text & ~ALTERED);
        if (found[i].verify && !same)
            continue;
        if (!same)
            world_wrong(w, "two texts were paired");
        known_as(w, cache_row(w, m->row[key]), &r->seen[seen]);
        m->seen[key] = (int)seen;
        m->taken[seen] = true;
    }
}

/* ---- what the brain is told ---- */

static bool is_on_server(struct world *w, int64_t box)
{
    return round_remote(w, box) != NULL;
}

/* What the place can store where the message will be. */
static flags_t can_store_there(struct world *w, const struct row *row, const struct seen *seen)
{
    int64_t box = seen ? seen->box : row->box;
    if (row && row->present && seen && row->has_base && seen->box == row->base_box)
        box = row->box;
    const struct cache_box *c = cache_box(w, box);
    return c ? c->can_store : ~(flags_t)0;
}

static void fill(struct merge *m, size_t i)
{
    struct world *w = m->round->w;
    const struct row *row = cache_row(w, m->row[i]);
    const struct seen *s = m->seen[i] >= 0 ? &m->round->seen[m->seen[i]] : NULL;
    struct brain_message *out = &m->in[i];

    *out = (struct brain_message){.key = row ? row->id : 10000 + m->seen[i],
                                  .settled = {row && !row->unsettled, !w->slow_bodies || row},
                                  .can_store = {~(flags_t)0, can_store_there(w, row, s)},
                                  .mailbox_there = {true, true}};
    if (row && row->has_base)
        out->base = (struct brain_state){true, row->base_box, row->base_flags, content_of(row->text)};
    if (row && row->present) {
        out->side[CACHE] = (struct brain_state){true, row->box, row->flags, content_of(row->text)};
        out->mailbox_there[SERVER] = is_on_server(w, row->box);
    }
    if (row && !row->present && w->sabotage != SABOTAGE_NO_WAITING)
        out->after = row->after;
    if (s) {
        const struct cache_box *c = cache_box(w, s->box);
        out->side[SERVER] = (struct brain_state){true, s->box, s->mail.flags, content_of(s->mail.text)};
        out->mailbox_there[CACHE] = c && c->present;
    }
}

/* What has left its place may be in a mailbox that was not seen: nothing is concluded from that yet. */
static void drop_departed(struct merge *m)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->n; i++) {
        const struct row *row = cache_row(m->round->w, m->row[i]);
        if (row->has_base && m->seen[i] < 0)
            continue;
        m->row[kept] = m->row[i];
        m->seen[kept++] = m->seen[i];
    }
    m->n = kept;
}

static bool has_key(const struct merge *m, int64_t row)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->row[i] == row)
            return true;
    return false;
}

/* To the brain, a key that is not there holds nothing back. */
static void drop_followed(struct merge *m)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->n; i++) {
        const struct row *row = cache_row(m->round->w, m->row[i]);
        const struct row *next = cache_row(m->round->w, row->after);
        if (!row->present && next && next->present && !has_key(m, next->id))
            continue;
        m->row[kept] = m->row[i];
        m->seen[kept++] = m->seen[i];
    }
    m->n = kept;
}

static void collect(struct merge *m)
{
    struct round *r = m->round;
    collect_rows(m);
    pair(m, 43);
    pair(m, 3);
    if (!r->complete)
        drop_departed(m);
    drop_followed(m);
    /* What looks new may have left a mailbox that was not seen. */
    for (size_t i = 0; i < r->n && r->complete; i++)
        if (!m->taken[i]) {
            m->row[m->n] = 0;
            m->seen[m->n++] = (int)i;
        }
    for (size_t i = 0; i < m->n; i++)
        fill(m, i);
}

/* ---- in the cache, at once ---- */

static void copy_here(struct merge *m, const struct brain_op *op)
{
    struct world *w = m->round->w;
    const struct seen *s = &m->round->seen[m->seen[op->message]];
    struct row *r = cache_row(w, m->row[op->message]);
    struct cache_box *c = cache_box(w, op->mailbox);

    if (c && !c->present && op->create_mailbox)
        cache_show_again(w, c);
    if (!c || !c->present)
        return; /* not in this round */
    if (!r)
        r = cache_new_row(w, op->mailbox, s->mail.text, op->add);
    if (!r)
        return;
    r->present = true;
    r->after = 0;
    r->box = op->mailbox;
    r->flags = op->add;
    r->text = s->mail.text;
    m->row[op->message] = r->id;
    m->done[op - m->plan.op] = true;
}

static void apply_here(struct merge *m, const struct brain_op *op)
{
    struct world *w = m->round->w;
    struct row *r = cache_row(w, m->row[op->message]);

    if (op->verb == BRAIN_COPY) {
        copy_here(m, op);
        return;
    }
    if (op->verb == BRAIN_REMOVE && op->waits)
        return;
    if (op->verb == BRAIN_REMOVE) {
        if (!r->has_base)
            world_wrong(w, "removed here without a base");
        w->cache.restorable[r->text & ~ALTERED] = true;
        r->present = false;
        r->has_base = false;
    } else if (op->verb == BRAIN_STORE) {
        r->flags = (r->flags | op->add) & ~op->remove;
    } else if (op->verb == BRAIN_MOVE) {
        const struct cache_box *c = cache_box(w, op->mailbox);
        if (!c || !c->present)
            return;
        r->box = op->mailbox;
    } else if (op->verb == BRAIN_FORGET) {
        r->has_base = false;
    }
    m->done[op - m->plan.op] = true;
}

/* Are the numbers of its mailbox what they were when it was seen? */
static bool is_valid(struct world *w, const struct seen *s)
{
    const struct cache_box *c = cache_box(w, s->box);
    return c && c->uidvalidity == s->uidvalidity;
}

/* The base, when all operations of the message up to this last one are done. */
static void conclude(struct merge *m, size_t last)
{
    struct world *w = m->round->w;
    const struct brain_op *op = &m->plan.op[last];
    struct row *r = cache_row(w, m->row[op->message]);
    const struct seen *s = m->seen[op->message] >= 0 ? &m->round->seen[m->seen[op->message]] : NULL;

    for (size_t i = last + 1; i-- > 0 && m->plan.op[i].message == op->message;)
        if (!m->done[i])
            return;
    if (s && !is_valid(w, s))
        return;
    if (!r || !op->agreed.present)
        return;
    bool moved = r->has_base && r->base_box == op->agreed.mailbox && s && s->box != op->agreed.mailbox;
    if (!moved && s) { /* else the command's answer has told the address */
        r->base_box = s->box;
        r->base_uid = s->mail.uid;
    }
    r->has_base = true;
    r->base_flags = op->agreed.flags;
    cache_commit(w, SOON);
}

/* ---- on the server, one by one ---- */

/* Where the message is now: its own address, if it has one by now. */
static struct mail *address(struct merge *m, const struct brain_op *op, struct row **ret_row)
{
    struct world *w = m->round->w;
    struct row *r = cache_row(w, m->row[op->message]);
    const struct seen *s = m->seen[op->message] >= 0 ? &m->round->seen[m->seen[op->message]] : NULL;
    bool moved = r && s && r->has_base && r->base_box == op->mailbox && s->box != op->mailbox;
    int64_t box = moved ? r->base_box : s ? s->box : 0;
    const struct server_box *there = box ? round_remote(w, box) : NULL;

    *ret_row = r;
    if (!moved && s && !is_valid(w, s))
        return NULL;
    return there ? server_mail(w, there, moved ? r->base_uid : s->mail.uid) : NULL;
}

static bool store_there(struct merge *m, const struct brain_op *op)
{
    struct world *w = m->round->w;
    struct row *r;
    enum cut cut = world_point(w);
    if (cut == CUT_BEFORE || cut == CUT_HALF)
        return false;
    struct mail *mail = address(m, op, &r);
    if (mail && w->sabotage == SABOTAGE_SET_TO)
        mail->flags = m->round->seen[m->seen[op->message]].mail.flags;
    if (mail) {
        mail->flags = ((mail->flags | op->add) & ~op->remove) & w->server.box[mail->box].can_store;
        w->server.version++;
    }
    m->done[op - m->plan.op] = mail && cut == CUT_NOT;
    return cut == CUT_NOT;
}

static bool expunge_there(struct merge *m, const struct brain_op *op)
{
    struct world *w = m->round->w;
    struct row *r;
    enum cut cut = world_point(w);
    if (cut == CUT_BEFORE || cut == CUT_HALF)
        return false;
    struct mail *mail = address(m, op, &r);
    if (mail) {
        check_expunge(w, mail, r);
        server_drop(w, mail);
    }
    if (cut != CUT_NOT)
        return false;
    /* Not when the mailbox was numbered anew meanwhile, or is not there: then nothing is known. */
    if (r && round_remote(w, r->base_box) && is_valid(w, &m->round->seen[m->seen[op->message]])) {
        r->has_base = false;
        cache_commit(w, SOON);
    }
    return true;
}

/* The row's address has to be the one that the plan was made for. */
static bool move_there(struct merge *m, const struct brain_op *op)
{
    struct world *w = m->round->w;
    struct row *r = cache_row(w, m->row[op->message]);
    const struct seen *s = &m->round->seen[m->seen[op->message]];

    if (!r || r->intent.set || !is_valid(w, s))
        return true;
    if (!r->has_base || r->base_box != s->box || r->base_uid != s->mail.uid) {
        /* Just recognised (cases 43 and 44): the address is known before anything is done with it. */
        if (!r->has_base)
            r->base_flags = s->mail.flags & r->flags;
        r->has_base = true;
        r->base_box = s->box;
        r->base_uid = s->mail.uid;
        cache_commit(w, SOON);
        return true; /* the next merge sees it with a base */
    }
    if (!round_move(m->round, r->id, op))
        return false;
    r = cache_row(w, m->row[op->message]);
    m->done[op - m->plan.op] = r && r->has_base && r->base_box == op->mailbox;
    return true;
}

static bool apply_there(struct merge *m, const struct brain_op *op)
{
    if (op->verb == BRAIN_STORE)
        return store_there(m, op);
    if (op->verb == BRAIN_MOVE)
        return move_there(m, op);
    if (op->verb == BRAIN_COPY)
        return round_append(m->round, m->row[op->message], op); /* which writes the base, too */
    return op->waits || expunge_there(m, op);
}

static bool is_there(const struct brain_op *op)
{
    return op->side == SERVER && op->verb != BRAIN_AGREE && op->verb != BRAIN_FORGET;
}

static size_t ops_of_message(const struct brain_plan *plan, size_t first)
{
    size_t n = 1;
    while (!plan->op[first + n - 1].last)
        n++;
    return n;
}

static bool send_message(struct merge *m, size_t first, size_t n)
{
    for (size_t i = first; i < first + n; i++)
        if (is_there(&m->plan.op[i]) && !apply_there(m, &m->plan.op[i])) {
            m->done[i] = m->done[i] || m->round->w->sabotage == SABOTAGE_HASTY_BASE;
            conclude(m, first + n - 1);
            return false;
        }
    conclude(m, first + n - 1);
    return true;
}

static bool send_all(struct merge *m)
{
    size_t start[KEYS], n = 0;
    for (size_t i = 0; i < m->plan.n; i += ops_of_message(&m->plan, i))
        start[n++] = i;
    bool last_first = m->round->w->features & FEATURE_LAST_FIRST;
    for (size_t i = 0; i < n; i++) {
        size_t first = start[last_first ? n - 1 - i : i];
        if (!send_message(m, first, ops_of_message(&m->plan, first)))
            return false;
    }
    return true;
}

bool round_messages(struct round *r)
{
    struct world *w = r->w;
    static struct merge m; /* large, and only used by one */
    m.round = r;
    m.n = 0;
    memset(m.taken, 0, sizeof m.taken);
    memset(m.done, 0, sizeof m.done);
    collect(&m);
    struct brain_policy policy = {.winner = SERVER,
                                  .no_base = w->cache.in_doubt || w->sabotage == SABOTAGE_UNION,
                                  .no_removals = r->frozen};
    if (w->sabotage == SABOTAGE_BLIND_REMOVAL)
        for (size_t i = 0; i < m.n; i++)
            m.in[i].base = m.in[i].side[CACHE].present ? m.in[i].side[CACHE] : m.in[i].base;
    if (brain_merge_messages(m.in, m.n, &policy, &r->arena, &m.plan) < 0) {
        world_wrong(w, "no memory");
        return false;
    }
    w->merges++;
    w->operations += m.plan.n;
    bool changes = false;
    for (size_t i = 0; i < m.plan.n; i++)
        if (!is_there(&m.plan.op[i])) {
            apply_here(&m, &m.plan.op[i]);
            changes = true;
        }
    if (changes)
        cache_commit(w, SOON);
    /* What only changed here is agreed at once: nobody can come between. */
    for (size_t i = 0, n; i < m.plan.n; i += n) {
        n = ops_of_message(&m.plan, i);
        bool here = true;
        for (size_t k = i; k < i + n; k++)
            here = here && !is_there(&m.plan.op[k]);
        if (here)
            conclude(&m, i + n - 1);
    }
    bool through = send_all(&m);
    if (through && r->complete && w->cache.in_doubt) {
        w->cache.in_doubt = false;
        cache_commit(w, SOON);
    }
    return through;
}
