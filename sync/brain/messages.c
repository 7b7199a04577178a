/*
 * The merge of messages.
 *
 * Every message is decided by itself; only `after` looks at another one. Three questions are asked in this
 * order.
 *
 * 1. Does it exist? (0 to 6) Without a base, one side alone is news and is copied to the other side. With a
 * base, one side alone means that the other one removed it, unless the survivor shows a person's act since
 * then, which is worth more than a removal: it was filed elsewhere (42), newly flagged or undeleted (10, 11).
 * Then it comes back, as a copy. A copy needs a source that is whole and at rest; while it is not, the
 * message is left for a later round.
 *
 * 2. Where is it? (40 to 47) The side that still shows it where the base has it follows the other one. If
 * both moved it, to the same mailbox nothing is left to do, to different ones the policy's winner is
 * followed.
 *
 * 3. Which flags? (7, 30, 31, 32) Flags are bits of one word, so that the merge is a few operations on words.
 * Where both sides can store a flag, it is three-way with a base: at most one side differs from the base, so
 * that there is no conflict. Without a base it is the union, but \Deleted is set only where both sides have
 * it.
 *
 *    A flag that one side cannot store is its own affair there. What that side newly shows is still news for
 * the other one; its absence is no news, and nothing is sent to it. The base records what that side shows: so
 * a flag that was kept back is a new one on the day that the side can store it, and is sent then, instead of
 * looking removed.
 *
 * All that is planned is a delta. If only some of it happens, the base is as before, and the next merge finds
 * the rest: bits that now agree drop out, moves that happened look like "both moved to the same mailbox", a
 * copy that happened looks like a message found on both sides.
 *
 * The plan is made twice: once to count, once to write, so that one allocation of the right size will do.
 */
#include "brain.h"
#include <errno.h>
#include <stdlib.h>

struct keyed {
    int64_t key;
    size_t message;
};

struct merge {
    const struct brain_message *message;
    size_t n;
    const struct brain_policy *policy;
    struct keyed *by_key; /* sorted; NULL when no message names another one */
    struct brain_op *op;  /* NULL while counting */
    size_t ops, frozen;
};

/* What the flags are to become on each side, and what is then agreed. */
struct flags_plan {
    flags_t target[2], agreed;
};

static bool has_base(const struct merge *m, const struct brain_message *x)
{
    return x->base.present && !m->policy->no_base;
}

static void emit(struct merge *m, struct brain_op op)
{
    if (m->op)
        m->op[m->ops] = op;
    m->ops++;
}

static uint64_t known_content(const struct brain_message *x, int first)
{
    if (x->side[first].content)
        return x->side[first].content;
    return x->side[!first].content ? x->side[!first].content : x->base.content;
}

/* ---- `after` ---- */

static int compare_keyed(const void *left, const void *right)
{
    const struct keyed *a = left, *b = right;
    return (a->key > b->key) - (a->key < b->key);
}

static int index_keys(struct merge *m, struct arena *arena)
{
    bool needed = false;
    for (size_t i = 0; i < m->n; i++)
        needed |= m->message[i].after != 0;
    if (!needed)
        return 0;
    m->by_key = arena_alloc(arena, m->n, sizeof *m->by_key);
    if (!m->by_key)
        return -ENOMEM;
    for (size_t i = 0; i < m->n; i++)
        m->by_key[i] = (struct keyed){.key = m->message[i].key, .message = i};
    qsort(m->by_key, m->n, sizeof *m->by_key, compare_keyed);
    return 0;
}

static bool must_wait(const struct merge *m, const struct brain_message *x)
{
    if (!x->after || !m->by_key)
        return false;
    struct keyed key = {.key = x->after};
    const struct keyed *found = bsearch(&key, m->by_key, m->n, sizeof key, compare_keyed);
    if (!found)
        return false;
    const struct brain_message *other = &m->message[found->message];
    return !(other->side[0].present && other->side[1].present);
}

/* ---- one side alone ---- */

static void plan_copy(struct merge *m, size_t i, int to, int number)
{
    const struct brain_message *x = &m->message[i];
    const struct brain_state *source = &x->side[!to];

    if (!x->settled[!to])
        return;
    flags_t add = source->flags & x->can_store[to];
    struct brain_state agreed = {
        .present = true, .mailbox = source->mailbox, .flags = add, .content = known_content(x, !to)};
    emit(m, (struct brain_op){.verb = BRAIN_COPY,
                              .side = to,
                              .message = i,
                              .number = number,
                              .mailbox = source->mailbox,
                              .add = add,
                              .create_mailbox = !x->mailbox_there[to],
                              .agreed = agreed,
                              .last = true});
}

static void plan_removal(struct merge *m, size_t i, int from)
{
    const struct brain_message *x = &m->message[i];
    int number = from == 1 ? 5 : 6;

    if (m->policy->no_removals) {
        m->frozen++;
        return;
    }
    if (!x->settled[from])
        number = 17;
    else if (x->side[from].flags != x->base.flags)
        number = from == 1 ? 10 : 11;
    emit(m, (struct brain_op){.verb = BRAIN_REMOVE,
                              .side = from,
                              .message = i,
                              .number = number,
                              .mailbox = x->side[from].mailbox,
                              .waits = must_wait(m, x),
                              .last = true});
}

bool brain_wish_to_keep(flags_t base, flags_t flags)
{
    return (flags & ~base & FLAG_FLAGGED) || (base & ~flags & FLAG_DELETED);
}

/* A \Deleted that the side cannot store was not taken back by anybody. */
static bool shows_a_wish_to_keep(const struct brain_message *x, int side)
{
    flags_t kept_back = x->base.flags & ~x->can_store[side] & FLAG_DELETED;
    return brain_wish_to_keep(x->base.flags, x->side[side].flags | kept_back);
}

static void merge_survivor(struct merge *m, size_t i, int here)
{
    const struct brain_message *x = &m->message[i];
    int gone = !here;

    if (!has_base(m, x))
        plan_copy(m, i, gone, gone == 0 ? 1 : 2);
    else if (x->side[here].mailbox != x->base.mailbox)
        plan_copy(m, i, gone, 42);
    else if (shows_a_wish_to_keep(x, here))
        plan_copy(m, i, gone, gone == 0 ? 10 : 11);
    else
        plan_removal(m, i, here);
}

/* ---- both sides ---- */

static struct flags_plan merge_flags(const struct brain_message *x, bool based)
{
    const flags_t show[2] = {x->side[0].flags, x->side[1].flags};
    const flags_t can[2] = {x->can_store[0], x->can_store[1]};
    const flags_t base = based ? x->base.flags : 0;
    const flags_t both = can[0] & can[1];
    const flags_t unite = based ? ~(flags_t)0 : ~FLAG_DELETED;
    struct flags_plan plan;

    flags_t merged = (show[0] | show[1]) & unite;
    merged = based ? flags_merge(base, show[0], show[1]) : merged | (show[0] & show[1]);
    plan.agreed = (merged & both) | (show[0] & show[1] & ~can[0] & ~can[1]);
    for (int i = 0; i < 2; i++) {
        flags_t alone = can[i] & ~can[!i];
        flags_t news = show[!i] & ~base & unite;
        plan.target[i] = (merged & both) | ((show[i] | news) & alone) | (show[i] & ~can[i]);
        plan.agreed |= show[!i] & alone;
    }
    return plan;
}

static int store_number(const struct brain_message *x, bool based, flags_t add, flags_t remove)
{
    if (!based)
        return x->base.present ? 30 : 3;
    return (add | remove) & FLAG_DELETED ? 16 : 7;
}

static void plan_stores(struct merge *m, size_t i, const struct flags_plan *flags, int64_t mailbox)
{
    const struct brain_message *x = &m->message[i];

    for (int side = 0; side < 2; side++) {
        flags_t add = flags->target[side] & ~x->side[side].flags;
        flags_t remove = x->side[side].flags & ~flags->target[side];
        if (!add && !remove)
            continue;
        emit(m, (struct brain_op){.verb = BRAIN_STORE,
                                  .side = side,
                                  .message = i,
                                  .number = store_number(x, has_base(m, x), add, remove),
                                  .mailbox = mailbox,
                                  .add = add,
                                  .remove = remove});
    }
}

/* Which side's place holds? -1: they agree. */
static int leading_side(const struct merge *m, const struct brain_message *x, int *ret_number)
{
    if (x->side[0].mailbox == x->side[1].mailbox)
        return -1;
    if (has_base(m, x) && x->side[1].mailbox == x->base.mailbox) {
        *ret_number = 40;
        return 0;
    }
    if (has_base(m, x) && x->side[0].mailbox == x->base.mailbox) {
        *ret_number = 43;
        return 1;
    }
    *ret_number = 44;
    return m->policy->winner;
}

static bool flags_differ(const struct brain_message *x, const struct flags_plan *flags)
{
    return flags->target[0] != x->side[0].flags || flags->target[1] != x->side[1].flags;
}

static void plan_move(struct merge *m, size_t i, int side, int number, bool more_follows)
{
    const struct brain_message *x = &m->message[i];
    bool create = !x->mailbox_there[side];

    if (number != 44 && create)
        number = 47;
    else if (number != 44 && more_follows)
        number = 41;
    emit(m, (struct brain_op){.verb = BRAIN_MOVE,
                              .side = side,
                              .message = i,
                              .number = number,
                              .mailbox = x->side[!side].mailbox,
                              .create_mailbox = create});
}

static int agree_number(const struct brain_message *x, bool based, int64_t mailbox)
{
    if (!x->base.present)
        return 3;
    if (!based)
        return 30;
    return x->base.mailbox == mailbox ? 7 : 45;
}

/* The operations from `first` on are this message's: they carry what is agreed once they are all done. When
 * there are none and the base is not that already, recording it is the operation. */
static void conclude(struct merge *m, size_t i, size_t first, struct brain_state agreed)
{
    const struct brain_message *x = &m->message[i];
    const struct brain_state *base = &x->base;
    bool known = base->present && base->mailbox == agreed.mailbox && base->flags == agreed.flags;

    if (m->ops == first && !known)
        emit(m, (struct brain_op){.verb = BRAIN_AGREE,
                                  .message = i,
                                  .number = agree_number(x, has_base(m, x), agreed.mailbox),
                                  .mailbox = agreed.mailbox});
    if (!m->op)
        return;
    for (size_t k = first; k < m->ops; k++) {
        m->op[k].agreed = agreed;
        m->op[k].last = k + 1 == m->ops;
    }
}

static void merge_both(struct merge *m, size_t i)
{
    const struct brain_message *x = &m->message[i];
    struct flags_plan flags = merge_flags(x, has_base(m, x));
    size_t first = m->ops;
    int number = 0;
    int leader = leading_side(m, x, &number);
    int64_t mailbox = x->side[leader < 0 ? 0 : leader].mailbox;

    if (leader >= 0)
        plan_move(m, i, !leader, number, flags_differ(x, &flags));
    plan_stores(m, i, &flags, mailbox);
    conclude(m, i, first,
             (struct brain_state){.present = true,
                                  .mailbox = mailbox,
                                  .flags = flags.agreed,
                                  .content = known_content(x, m->policy->winner)});
}

/* ---- all of them ---- */

static void merge_message(struct merge *m, size_t i)
{
    const struct brain_message *x = &m->message[i];

    if (x->side[0].present && x->side[1].present)
        merge_both(m, i);
    else if (x->side[0].present || x->side[1].present)
        merge_survivor(m, i, x->side[1].present);
    else if (x->base.present)
        emit(m, (struct brain_op){.verb = BRAIN_FORGET, .message = i, .number = 4, .last = true});
}

static void merge_all(struct merge *m)
{
    m->ops = m->frozen = 0;
    for (size_t i = 0; i < m->n; i++)
        merge_message(m, i);
}

int brain_merge_messages(const struct brain_message *message, size_t n, const struct brain_policy *policy,
                         struct arena *arena, struct brain_plan *ret)
{
    struct merge m = {.message = message, .n = n, .policy = policy};
    int r = index_keys(&m, arena);

    if (r < 0)
        return r;
    merge_all(&m);
    if (m.ops) {
        m.op = arena_alloc(arena, m.ops, sizeof *m.op);
        if (!m.op)
            return -ENOMEM;
        merge_all(&m);
    }
    *ret = (struct brain_plan){.op = m.op, .n = m.ops, .frozen = m.frozen};
    return 0;
}
