/*
 * The merge of mailboxes: a forest on either side, and the one that was agreed on.
 *
 * A mailbox is known by its key, so that a rename is a name that differs from the base, and its existence and
 * its name are merged by themselves. Existence has three ranks: nothing, a level of the hierarchy, a mailbox.
 * What rose on one side is created on the other (80, 87); what fell was removed there, which is carried over
 * when the absence is confirmed and nobody would lose mail (81), and undone when there is mail that the
 * remover never saw (82, 83).
 *
 * The order of the plan matters, for every name in it must be right at the moment when it is used. So the
 * plan is played through while it is made: `now` holds what each side calls each mailbox after the operations
 * planned so far.
 *
 * 1. Renames (cases 84, 85). One RENAME takes the levels below with it, on that side and in the base, so that
 * a child of a renamed parent needs none of its own. A rename waits until its new name is free and the level
 * above it stands; what stands in the way may be a rename further down the list, so that they are tried until
 * none moves. What is created on the way to a new name is created just before.
 *
 * What does not move then waits for itself (case 86). Where a chain of renames on one side leads back to its
 * beginning, as when two names are exchanged or a mailbox went into itself, one of them steps aside under a
 * temporary name, which the merge knows again if it is interrupted just then. Where the two sides gave names
 * that exclude each other, the winner's hold, and the other side's rename is taken back. What the winner does
 * not have, and has a name that is needed for that, gets a suffix (89).
 * 2. Creations, each level before those below it.
 * 3. Deletions, from the bottom up.
 *
 * What could not be done in the order above, because a name is taken by something that is to be deleted, is
 * found by the next merge.
 */
#include "brain.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum rank {
    RANK_NOTHING,
    RANK_LEVEL,
    RANK_MAILBOX,
};

enum { OPS_A_BOX = 3 }; /* a rename, in two steps at most, and what existence asks for */

struct named {
    const char *name;
    size_t box;
};

/* The boxes of one side by name, as they are now. */
struct directory {
    struct named *entry;
    size_t n;
};

struct deep {
    size_t depth;
    size_t box;
};

/* What becomes of a box's existence. */
struct fate {
    bool something; /* false: all is well, verb means nothing */
    enum brain_box_verb verb;
    int side;
    int number;
    bool mailbox;
};

struct node {
    const char *now[2]; /* NULL: not on that side */
    const char *base;   /* NULL: none */
    struct fate fate;
    bool renamed, created; /* planned already */
    bool yields;           /* the winner's name counts, whoever renamed it */
};

struct merge {
    const struct brain_box *box;
    size_t n;
    char delimiter;
    int winner;
    struct arena *arena;
    struct node *node;
    struct deep *order; /* room for n; upper levels first */
    struct directory directory[2];
    struct brain_box_op *op;
    size_t ops;
};

/* ---- names ---- */

/* Does `name` lie below the level that the first `length` octets of `upper` name? */
static bool lies_below(const struct merge *m, const char *name, const char *upper, size_t length)
{
    return m->delimiter && strncmp(name, upper, length) == 0 && name[length] == m->delimiter;
}

static size_t depth_of(const struct merge *m, const char *name)
{
    size_t depth = 0;
    for (; m->delimiter && *name; name++)
        depth += *name == m->delimiter;
    return depth;
}

static bool same_name(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

#define TEMPORARY "mailmount-moving-"
enum { TEMPORARY_MAX = sizeof TEMPORARY + 20 }; /* with the digits of a key */

/* The last level of a temporary name; its length. */
static size_t write_temporary(int64_t key, char out[TEMPORARY_MAX])
{
    char digit[20];
    size_t n = 0, length = sizeof TEMPORARY - 1;
    uint64_t left = (uint64_t)key;

    do {
        digit[n++] = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    memcpy(out, TEMPORARY, length);
    while (n > 0)
        out[length++] = digit[--n];
    out[length] = '\0';
    return length;
}

int brain_box_temporary(const char *name, char delimiter, int64_t key, struct arena *arena, char **ret)
{
    char last[TEMPORARY_MAX];
    const char *end = delimiter ? strrchr(name, delimiter) : NULL;
    size_t above = end ? (size_t)(end - name) + 1 : 0, length = write_temporary(key, last);

    *ret = arena_alloc(arena, above + length + 1, 1);
    if (!*ret)
        return -ENOMEM;
    memcpy(*ret, name, above);
    memcpy(*ret + above, last, length + 1);
    return 0;
}

static bool is_temporary(const struct merge *m, size_t i, const char *name)
{
    char mine[TEMPORARY_MAX];
    const char *last = m->delimiter ? strrchr(name, m->delimiter) : NULL;

    write_temporary(m->box[i].key, mine);
    return same_name(last ? last + 1 : name, mine);
}

static int compare_named(const void *left, const void *right)
{
    const struct named *a = left, *b = right;
    int order = strcmp(a->name, b->name);
    return order ? order : (a->box > b->box) - (a->box < b->box);
}

static void fill_directory(struct merge *m, int side)
{
    struct directory *d = &m->directory[side];

    d->n = 0;
    for (size_t i = 0; i < m->n; i++)
        if (m->node[i].now[side])
            d->entry[d->n++] = (struct named){.name = m->node[i].now[side], .box = i};
    qsort(d->entry, d->n, sizeof *d->entry, compare_named);
}

/* Compares the first `length` octets of `name`, as if it ended there, with a whole name. */
static int compare_part(const char *name, size_t length, const char *whole)
{
    int order = strncmp(name, whole, length);
    return order ? order : -(whole[length] != 0);
}

/* The box that `side` now knows under the first `length` octets of `name`, or NULL. */
static struct node *find(const struct merge *m, int side, const char *name, size_t length)
{
    const struct directory *d = &m->directory[side];
    size_t low = 0, high = d->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_part(name, length, d->entry[middle].name);
        if (order == 0)
            return &m->node[d->entry[middle].box];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* ---- existence ---- */

static enum rank rank_of(const struct brain_box_state *s)
{
    if (!s->present)
        return RANK_NOTHING;
    return s->mailbox ? RANK_MAILBOX : RANK_LEVEL;
}

static struct fate create_on(int side, enum rank rank, int number)
{
    return (struct fate){.something = true,
                         .verb = BRAIN_BOX_CREATE,
                         .side = side,
                         .number = rank == RANK_LEVEL ? 87 : number,
                         .mailbox = rank == RANK_MAILBOX};
}

/* Both sides show the same kind of thing. */
static struct fate fate_of_equals(const struct brain_box *b, enum rank rank)
{
    struct fate fate = {.mailbox = rank == RANK_MAILBOX};

    if (rank == RANK_NOTHING) {
        fate = (struct fate){.something = b->base.present, .verb = BRAIN_BOX_FORGET, .number = 81};
    } else if (same_name(b->side[0].name, b->side[1].name)) {
        bool renamed = b->base.present && !same_name(b->base.name, b->side[0].name);
        fate.something = rank_of(&b->base) != rank || renamed;
        fate.verb = BRAIN_BOX_AGREE;
        fate.number = renamed ? 84 : rank == RANK_LEVEL ? 87 : 80;
    }
    return fate;
}

/* `side` removed it, wholly or but for its level. */
static struct fate fate_of_removed(const struct brain_box *b, int side, bool confirmed)
{
    if (b->keep)
        return (struct fate){.something = false};
    if (!confirmed)
        return (struct fate){.something = true, .verb = BRAIN_BOX_HOLD, .side = side, .number = 75};
    if (b->unsynced[!side])
        return create_on(side, rank_of(&b->side[!side]), side == 0 ? 82 : 83);
    return (struct fate){.something = true, .verb = BRAIN_BOX_DELETE, .side = !side, .number = 81};
}

static struct fate fate_of(const struct brain_box *b, bool confirmed)
{
    enum rank rank[2] = {rank_of(&b->side[0]), rank_of(&b->side[1])};
    int lower = rank[1] < rank[0];

    if (rank[0] == rank[1])
        return fate_of_equals(b, rank[0]);
    if (rank[!lower] > rank_of(&b->base))
        return create_on(lower, rank[!lower], 80);
    return fate_of_removed(b, lower, confirmed);
}

/* Is there a mailbox below this one on `side` that stays? */
static bool something_lives_below(const struct merge *m, size_t i, int side)
{
    const char *name = m->node[i].now[side];
    size_t length = strlen(name);

    for (size_t k = 0; k < m->n; k++) {
        const struct node *other = &m->node[k];
        if (!other->now[side] || !lies_below(m, other->now[side], name, length))
            continue;
        bool goes = other->fate.something && other->fate.verb == BRAIN_BOX_DELETE && other->fate.side == side;
        if (!goes && (other->created || m->box[k].side[side].mailbox))
            return true;
    }
    return false;
}

/* ---- the plan ---- */

static void emit(struct merge *m, struct brain_box_op op)
{
    m->op[m->ops++] = op;
}

static bool is_pending_creation(const struct node *x, int side)
{
    return x->fate.something && x->fate.verb == BRAIN_BOX_CREATE && x->fate.side == side && !x->created;
}

/* A box that is a level already on the side where it is created keeps its name there. */
static const char *creation_name(const struct node *x)
{
    const char *there = x->now[x->fate.side];
    return there ? there : x->now[!x->fate.side];
}

static void emit_creation(struct merge *m, struct node *x)
{
    const char *name = creation_name(x);

    emit(m, (struct brain_box_op){.verb = BRAIN_BOX_CREATE,
                                  .side = x->fate.side,
                                  .box = x - m->node,
                                  .number = x->fate.number,
                                  .name = name,
                                  .mailbox = x->fate.mailbox});
    x->now[x->fate.side] = name;
    x->created = true;
}

static bool is_free(const struct merge *m, int side, const char *name, const struct node *self)
{
    const struct node *found = find(m, side, name, strlen(name));
    return !found || found == self;
}

/* Another box was agreed on under this name, which it has lost on a side, and that is still to be dealt with:
 * two with one base name could not be told apart. */
static size_t find_base(const struct merge *m, const struct node *self, const char *name)
{
    for (size_t i = 0; i < m->n; i++)
        if (&m->node[i] != self && same_name(m->node[i].base, name))
            return i;
    return m->n;
}

/* Makes one level above a name stand on `side`: `name` up to `length`, as the other side calls it. */
static bool stand_level(struct merge *m, int side, const char *name, size_t length)
{
    struct node *level = find(m, !side, name, length);
    const struct node *here = find(m, side, name, length);

    if (!level)
        /* No box of the other side. If it is one here, and that has another name there, it is about to leave.
         */
        return !here || !here->now[!side];
    if (level->now[side] && compare_part(name, length, level->now[side]) != 0)
        return false;
    if (!is_pending_creation(level, side))
        return true;
    if ((here && here != level) || find_base(m, level, level->now[!side]) < m->n)
        return false;
    emit_creation(m, level);
    return true;
}

/*
 * The levels above `name`, which the other side shows, must stand on `side` before `name` can. A level that
 * only the other side knows is created now, if that is planned anyway. False: one of them has another name
 * here (a rename is still to come), or its name is taken.
 */
static bool stand_levels_above(struct merge *m, int side, const char *name)
{
    for (const char *end = name; m->delimiter && (end = strchr(end, m->delimiter)); end++)
        if (!stand_level(m, side, name, end - name))
            return false;
    return true;
}

/* ---- renames ---- */

/* Which side is to be renamed, to what the other one says? -1: none. */
static int side_to_rename(const struct merge *m, size_t i)
{
    const struct node *x = &m->node[i];
    const struct brain_box *b = &m->box[i];

    if (b->keep || !x->base || rank_of(&b->side[0]) != rank_of(&b->side[1]) ||
        same_name(x->now[0], x->now[1]))
        return -1;
    for (int side = 0; side < 2; side++) /* left behind by a rename that was interrupted */
        if (is_temporary(m, i, x->now[side]))
            return side;
    if (same_name(x->now[1], x->base) && !x->yields)
        return 1;
    return same_name(x->now[0], x->base) && !x->yields ? 0 : !m->winner;
}

/* `to` instead of `from` at the head of *name, if it is that or lies below. */
static int move_name(const struct merge *m, const char **name, const char *from, const char *to)
{
    size_t length = strlen(from);

    if (!*name || (!same_name(*name, from) && !lies_below(m, *name, from, length)))
        return 0;
    size_t head = strlen(to), rest = strlen(*name) - length;
    char *moved = arena_alloc(m->arena, head + rest + 1, 1);
    if (!moved)
        return -ENOMEM;
    memcpy(moved, to, head);
    memcpy(moved + head, *name + length, rest);
    *name = moved;
    return 0;
}

static int play_rename(struct merge *m, int side, const char *from, const char *base, const char *to)
{
    for (size_t i = 0; i < m->n; i++) {
        struct node *x = &m->node[i];
        if (move_name(m, &x->now[side], from, to) < 0 || (base && move_name(m, &x->base, base, to) < 0))
            return -ENOMEM;
    }
    fill_directory(m, side);
    return 0;
}

/* Something below `from` would get the name of this one, which does not move along. n: nothing would. */
static size_t find_collision(const struct merge *m, int side, const char *from, const char *to)
{
    size_t length_from = strlen(from), length_to = strlen(to);

    for (size_t i = 0; i < m->n; i++) {
        const char *there = m->node[i].now[side];
        if (!there || !lies_below(m, there, to, length_to) || same_name(there, from) ||
            lies_below(m, there, from, length_from))
            continue;
        for (size_t k = 0; k < m->n; k++) {
            const char *moves = m->node[k].now[side];
            if (moves && lies_below(m, moves, from, length_from) &&
                same_name(moves + length_from, there + length_to))
                return i;
        }
    }
    return m->n;
}

/* Can `from` be called `to` on this side now? The levels above are made to stand if they can. */
static bool is_ready(struct merge *m, int side, const struct node *x, const char *from, const char *to)
{
    if (!is_free(m, side, to, x) || lies_below(m, to, from, strlen(from)) ||
        find_collision(m, side, from, to) < m->n || find_base(m, x, to) < m->n)
        return false;
    return stand_levels_above(m, side, to);
}

static int emit_rename(struct merge *m, size_t i, int side, const char *to, int number)
{
    const struct node *x = &m->node[i];
    const char *from = x->now[side];

    emit(m,
         (struct brain_box_op){
             .verb = BRAIN_BOX_RENAME, .side = side, .box = i, .number = number, .name = to, .from = from});
    return play_rename(m, side, from, x->base, to);
}

/* 1 when it was planned, 0 when it is none or must wait. */
static int plan_rename(struct merge *m, size_t i)
{
    struct node *x = &m->node[i];
    int side = side_to_rename(m, i);

    if (side < 0 || x->renamed)
        return 0;
    const char *from = x->now[side], *to = x->now[!side];
    if (!is_ready(m, side, x, from, to))
        return 0;
    int number = !same_name(from, x->base) ? 86 : side == 1 ? 84 : 85;
    x->renamed = true;
    int r = emit_rename(m, i, side, to, number);
    return r < 0 ? r : 1;
}

static int plan_ready_renames(struct merge *m)
{
    bool moved = true;

    while (moved) { /* each time, for one RENAME can free the name for another one */
        moved = false;
        for (size_t i = 0; i < m->n; i++) {
            int r = plan_rename(m, m->order[i].box);
            if (r < 0)
                return r;
            moved |= r;
        }
    }
    return 0;
}

/* ---- renames that wait for each other (case 86) ---- */

/* What keeps this rename from being ready and will have another name on `side`: it has the new name, or is a
 * level above it, under another name yet, or has the name of such a level, or was agreed on under it, or has
 * a name that comes along. n: nothing of that kind. */
static size_t waits_for(const struct merge *m, int side, size_t i)
{
    const char *to = m->node[i].now[!side];
    const struct node *owner = find(m, side, to, strlen(to));

    if (owner && owner != &m->node[i])
        return (size_t)(owner - m->node);
    if (lies_below(m, to, m->node[i].now[side], strlen(m->node[i].now[side])))
        return i;
    for (const char *end = to; m->delimiter && (end = strchr(end, m->delimiter)); end++) {
        const struct node *level = find(m, !side, to, (size_t)(end - to));
        const struct node *here = find(m, side, to, (size_t)(end - to));
        if (level && level->now[side] && compare_part(to, (size_t)(end - to), level->now[side]) != 0)
            return (size_t)(level - m->node);
        if (here && (level ? here != level : here->now[!side] != NULL))
            return (size_t)(here - m->node);
    }
    size_t agreed = find_base(m, &m->node[i], to);
    return agreed < m->n ? agreed : find_collision(m, side, m->node[i].now[side], to);
}

/* Does the chain of renames on `side` that i waits for lead back to it? */
static bool waits_for_itself(const struct merge *m, int side, size_t i)
{
    size_t at = i;
    for (size_t steps = 0; steps <= m->n; steps++) {
        at = waits_for(m, side, at);
        if (at == i)
            return true;
        if (at == m->n || m->node[at].renamed || side_to_rename(m, at) != side)
            return false;
    }
    return false;
}

/* Is what i waits for, in the end, a mailbox that was removed on the other side, and is not yet on this one?
 */
static bool waits_for_removal(const struct merge *m, int side, size_t i)
{
    for (size_t at = i, steps = 0; steps <= m->n; steps++) {
        at = waits_for(m, side, at);
        if (at == m->n)
            return false;
        const struct fate *fate = &m->node[at].fate;
        if (fate->something && fate->verb == BRAIN_BOX_HOLD && fate->side != side)
            return true;
        if (side_to_rename(m, at) != side)
            return false;
    }
    return false;
}

enum way {
    WAY_ASIDE,  /* one of a chain that leads back to itself gets a temporary name */
    WAY_YIELD,  /* the winner's side is not renamed, the other one is called as there */
    WAY_SUFFIX, /* what the winner does not have, or what would come along, gets another name */
    WAYS,
};

static int step_aside(struct merge *m, size_t i, int side)
{
    struct node *x = &m->node[i];
    char *aside;

    if (is_temporary(m, i, x->now[side]) || !waits_for_itself(m, side, i))
        return 0;
    if (brain_box_temporary(x->now[side], m->delimiter, m->box[i].key, m->arena, &aside) < 0)
        return -ENOMEM;
    if (!is_free(m, side, aside, x))
        return 0;
    int r = emit_rename(m, i, side, aside, 86);
    return r < 0 ? r : 1;
}

/* "name~2", or the first one after it that nobody has. */
static int name_with_suffix(const struct merge *m, const char *name, char **ret)
{
    size_t length = strlen(name);

    *ret = arena_alloc(m->arena, length + 3, 1);
    if (!*ret)
        return -ENOMEM;
    memcpy(*ret, name, length);
    memcpy(*ret + length, "~2", 3);
    while (!is_free(m, 0, *ret, NULL) || !is_free(m, 1, *ret, NULL) || find_base(m, NULL, *ret) < m->n)
        if (++(*ret)[length + 1] == '9')
            return 0;
    return 1;
}

static int add_suffix(struct merge *m, struct node *x, int side)
{
    char *other;
    int r = x->renamed ? 0 : name_with_suffix(m, x->now[side], &other);
    if (r <= 0)
        return r;
    x->renamed = true;
    r = emit_rename(m, (size_t)(x - m->node), side, other, 89);
    return r < 0 ? r : 1;
}

/* The name that i is to get on `side` is that of a mailbox which the other side does not have (case 89). That
 * one gets a suffix where it is on the loser's side. Where it is the winner's, which is asked for a name of
 * the loser's only if it has a temporary one, i gets another name instead. */
static int clear_name(struct merge *m, size_t i, int side)
{
    const char *name = m->node[i].now[!side];
    struct node *owner = find(m, side, name, strlen(name));

    if (!owner || owner == &m->node[i] || !is_pending_creation(owner, !side) || owner->now[!side])
        return 0;
    return add_suffix(m, side == m->winner ? &m->node[i] : owner, !m->winner);
}

/* What would move along with i has the name of one that is there already. */
static int clear_collision(struct merge *m, size_t i, int side)
{
    const char *from = m->node[i].now[side], *to = m->node[i].now[!side];
    size_t stands = find_collision(m, side, from, to), length = strlen(from);

    for (size_t k = 0; stands < m->n && k < m->n; k++) {
        const char *moves = m->node[k].now[side];
        if (moves && lies_below(m, moves, from, length) &&
            same_name(moves + length, m->node[stands].now[side] + strlen(to)))
            return add_suffix(m, &m->node[k], side);
    }
    return 0;
}

/* One step for a rename that is stuck: 1 when one was found. */
static int loosen(struct merge *m, size_t i, enum way way)
{
    struct node *x = &m->node[i];
    int side = side_to_rename(m, i);

    if (side < 0 || x->renamed)
        return 0;
    if (way == WAY_ASIDE)
        return step_aside(m, i, side);
    if (waits_for_removal(m, side, i))
        return 0;
    if (way == WAY_SUFFIX) {
        int r = clear_name(m, i, side);
        return r ? r : clear_collision(m, i, side);
    }
    if (side != m->winner || x->yields) /* a temporary name is not for keeping */
        return 0;
    x->yields = true;
    return 1;
}

static bool deletes_something(const struct merge *m)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->node[i].fate.something && m->node[i].fate.verb == BRAIN_BOX_DELETE)
            return true;
    return false;
}

static int plan_renames(struct merge *m)
{
    /* What is deleted at the end of this plan may be what stands in the way: then the next merge goes on. */
    enum way ways = deletes_something(m) ? WAY_YIELD : WAYS;
    int moved = plan_ready_renames(m);

    for (bool again = moved == 0; again;) {
        again = false;
        for (enum way way = WAY_ASIDE; way < ways && !again; way++)
            for (size_t i = 0; i < m->n && !again; i++) {
                int r = loosen(m, m->order[i].box, way);
                if (r > 0)
                    r = plan_ready_renames(m);
                else if (r == 0)
                    continue;
                if (r < 0)
                    return r;
                again = true;
            }
    }
    return moved;
}

/* ---- the rest ---- */

static void plan_creations(struct merge *m)
{
    for (size_t i = 0; i < m->n; i++) {
        struct node *x = &m->node[m->order[i].box];
        int side = x->fate.side;
        if (!is_pending_creation(x, side))
            continue;
        const char *name = creation_name(x);
        if (stand_levels_above(m, side, name) && is_free(m, side, name, x) && find_base(m, x, name) == m->n)
            emit_creation(m, x);
    }
}

static void plan_records(struct merge *m)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct fate *fate = &m->node[i].fate;
        if (!fate->something || fate->verb == BRAIN_BOX_CREATE || fate->verb == BRAIN_BOX_DELETE)
            continue;
        bool agree = fate->verb == BRAIN_BOX_AGREE;
        emit(m, (struct brain_box_op){.verb = fate->verb,
                                      .side = fate->side,
                                      .box = i,
                                      .number = fate->number,
                                      .name = agree ? m->box[i].side[0].name : NULL,
                                      .mailbox = fate->mailbox});
    }
}

static void plan_deletion(struct merge *m, size_t i)
{
    const struct node *x = &m->node[i];
    int side = x->fate.side;

    /* A level is there as long as something is below it. One of ours that the server has no more is nothing
     * that both know: it would stay called on the server what it was called. */
    bool stays = rank_of(&m->box[i].side[side]) == RANK_LEVEL && something_lives_below(m, i, side);
    if (stays && (side == m->winner || !m->box[i].base.present))
        return;
    emit(m, (struct brain_box_op){.verb = stays ? BRAIN_BOX_FORGET : BRAIN_BOX_DELETE,
                                  .side = side,
                                  .box = i,
                                  .number = x->fate.number,
                                  .from = x->now[side]});
}

static int compare_depths(const void *left, const void *right)
{
    const struct deep *a = left, *b = right;
    if (a->depth != b->depth)
        return a->depth < b->depth ? -1 : 1;
    return (a->box > b->box) - (a->box < b->box);
}

static void plan_deletions(struct merge *m)
{
    size_t n = 0;

    for (size_t i = 0; i < m->n; i++) {
        const struct fate *fate = &m->node[i].fate;
        if (fate->something && fate->verb == BRAIN_BOX_DELETE)
            m->order[n++] = (struct deep){.depth = depth_of(m, m->node[i].now[fate->side]), .box = i};
    }
    qsort(m->order, n, sizeof *m->order, compare_depths);
    while (n-- > 0)
        plan_deletion(m, m->order[n].box);
}

/* ---- all of it ---- */

static const char *name_in(const struct brain_box_state *s)
{
    return s->present ? s->name : NULL;
}

static void order_from_the_top(struct merge *m)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct node *x = &m->node[i];
        const char *name = x->base ? x->base : x->now[0] ? x->now[0] : x->now[1];
        m->order[i] = (struct deep){.depth = name ? depth_of(m, name) : 0, .box = i};
    }
    qsort(m->order, m->n, sizeof *m->order, compare_depths);
}

static int merge_init(struct merge *m, const bool *confirmed)
{
    m->node = arena_alloc(m->arena, m->n, sizeof *m->node);
    m->order = arena_alloc(m->arena, m->n, sizeof *m->order);
    m->op = arena_alloc(m->arena, m->n, OPS_A_BOX * sizeof *m->op);
    if (!m->node || !m->order || !m->op)
        return -ENOMEM;
    for (size_t i = 0; i < m->n; i++) {
        const struct brain_box *b = &m->box[i];
        m->node[i] =
            (struct node){.now = {name_in(&b->side[0]), name_in(&b->side[1])}, .base = name_in(&b->base)};
        m->node[i].fate = fate_of(b, confirmed && confirmed[i]);
    }
    for (int side = 0; side < 2; side++) {
        m->directory[side].entry = arena_alloc(m->arena, m->n, sizeof(struct named));
        if (!m->directory[side].entry)
            return -ENOMEM;
        fill_directory(m, side);
    }
    order_from_the_top(m);
    return 0;
}

int brain_merge_boxes(const struct brain_box *box, size_t n, char delimiter, int winner,
                      const bool *remove_confirmed, struct arena *arena, struct brain_box_plan *ret)
{
    struct merge m = {.box = box, .n = n, .delimiter = delimiter, .winner = winner, .arena = arena};
    int r = merge_init(&m, remove_confirmed);

    if (r == 0)
        r = plan_renames(&m);
    if (r < 0)
        return r;
    plan_creations(&m);
    plan_records(&m);
    plan_deletions(&m);
    *ret = (struct brain_box_plan){.op = m.op, .n = m.ops};
    return 0;
}
