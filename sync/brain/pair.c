/*
 * Pairing: which messages of two listings are the same?
 *
 * Signs are tried from the best to the weakest, each only on what is still alone. For one sign, both listings
 * are sorted by (mailbox, sign) and walked together, group by group. The server's id and the content name the
 * message itself, so that several equal ones are copies of each other, and the first goes with the first.
 * Message-ID, size and date only describe a message, so that they count when one message on each side answers
 * to them.
 */
#include "brain.h"
#include <errno.h>
#include <stdlib.h>

#define ALONE SIZE_MAX

enum sign {
    SIGN_SERVER_ID,
    SIGN_CONTENT,
    SIGN_ID_SIZE_DATE,
    SIGN_ID_SIZE,
    SIGNS,
};

/* A message under one sign, as it is sorted. */
struct entry {
    int64_t mailbox;
    uint64_t part[3];
    size_t index;
};

struct listing {
    const struct brain_identity *identity;
    size_t n;
    size_t *partner;     /* index in the other listing, or ALONE */
    struct entry *entry; /* room for n */
    size_t entries;
};

struct match {
    struct listing left, right;
    bool *verify; /* by index of left */
};

static struct entry entry_of(const struct brain_identity *x, enum sign sign)
{
    struct entry e = {.mailbox = x->mailbox};

    if (sign == SIGN_SERVER_ID) {
        e.part[0] = x->server_id;
    } else if (sign == SIGN_CONTENT) {
        e.part[0] = x->content;
    } else {
        e.part[0] = (uint64_t)x->message_id;
        e.part[1] = (uint64_t)x->size;
        e.part[2] = sign == SIGN_ID_SIZE_DATE ? (uint64_t)x->date_s : 0;
    }
    return e;
}

static bool has_sign(const struct brain_identity *x, enum sign sign)
{
    if (sign == SIGN_SERVER_ID)
        return x->server_id;
    if (sign == SIGN_CONTENT)
        return x->content;
    return x->message_id && x->size && (x->date_s || sign == SIGN_ID_SIZE);
}

static int compare_signs(const struct entry *a, const struct entry *b)
{
    if (a->mailbox != b->mailbox)
        return a->mailbox < b->mailbox ? -1 : 1;
    for (int i = 0; i < 3; i++)
        if (a->part[i] != b->part[i])
            return a->part[i] < b->part[i] ? -1 : 1;
    return 0;
}

static int compare_entries(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    int order = compare_signs(a, b);
    return order ? order : (a->index > b->index) - (a->index < b->index);
}

static void sort_by_sign(struct listing *l, enum sign sign)
{
    l->entries = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (l->partner[i] != ALONE || !has_sign(&l->identity[i], sign))
            continue;
        l->entry[l->entries] = entry_of(&l->identity[i], sign);
        l->entry[l->entries++].index = i;
    }
    qsort(l->entry, l->entries, sizeof *l->entry, compare_entries);
}

/* How many from `from` on are equal to it. */
static size_t group_length(const struct listing *l, size_t from)
{
    size_t n = 1;
    while (from + n < l->entries && compare_signs(&l->entry[from], &l->entry[from + n]) == 0)
        n++;
    return n;
}

static bool contradict(const struct brain_identity *a, const struct brain_identity *b)
{
    return a->content && b->content && a->content != b->content;
}

static void pair_group(struct match *m, const struct entry *left, size_t n_left, const struct entry *right,
                       size_t n_right, bool describes)
{
    if (describes && (n_left > 1 || n_right > 1))
        return;
    for (size_t i = 0; i < n_left && i < n_right; i++) {
        size_t l = left[i].index, r = right[i].index;
        if (contradict(&m->left.identity[l], &m->right.identity[r]))
            continue;
        m->left.partner[l] = r;
        m->right.partner[r] = l;
        m->verify[l] = describes;
    }
}

static void pair_by(struct match *m, enum sign sign)
{
    size_t l = 0, r = 0;

    sort_by_sign(&m->left, sign);
    sort_by_sign(&m->right, sign);
    while (l < m->left.entries && r < m->right.entries) {
        int order = compare_signs(&m->left.entry[l], &m->right.entry[r]);
        size_t n_left = order <= 0 ? group_length(&m->left, l) : 0;
        size_t n_right = order >= 0 ? group_length(&m->right, r) : 0;
        if (order == 0)
            pair_group(m, &m->left.entry[l], n_left, &m->right.entry[r], n_right, sign >= SIGN_ID_SIZE_DATE);
        l += n_left;
        r += n_right;
    }
}

static int listing_init(struct listing *l, const struct brain_identity *identity, size_t n,
                        struct arena *arena)
{
    *l = (struct listing){.identity = identity, .n = n};
    l->partner = arena_alloc(arena, n, sizeof *l->partner);
    l->entry = arena_alloc(arena, n, sizeof *l->entry);
    if (!l->partner || !l->entry)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        l->partner[i] = ALONE;
    return 0;
}

static int list_pairs(const struct match *m, int number, struct arena *arena, struct brain_pair **ret,
                      size_t *ret_n)
{
    size_t n = 0;
    for (size_t i = 0; i < m->left.n; i++)
        n += m->left.partner[i] != ALONE;
    struct brain_pair *pair = arena_alloc(arena, n, sizeof *pair);
    if (!pair)
        return -ENOMEM;
    n = 0;
    for (size_t i = 0; i < m->left.n; i++)
        if (m->left.partner[i] != ALONE)
            pair[n++] = (struct brain_pair){
                .left = i, .right = m->left.partner[i], .number = number, .verify = m->verify[i]};
    *ret = pair;
    *ret_n = n;
    return 0;
}

int brain_pair_messages(const struct brain_identity *left, size_t n_left, const struct brain_identity *right,
                        size_t n_right, int number, struct arena *arena, struct brain_pair **ret,
                        size_t *ret_n)
{
    struct match m;
    int r = listing_init(&m.left, left, n_left, arena);

    if (r == 0)
        r = listing_init(&m.right, right, n_right, arena);
    if (r < 0)
        return r;
    m.verify = arena_alloc(arena, n_left, sizeof *m.verify);
    if (!m.verify)
        return -ENOMEM;
    for (enum sign sign = 0; sign < SIGNS; sign++)
        pair_by(&m, sign);
    return list_pairs(&m, number, arena, ret, ret_n);
}
