#include "uidset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UIDSET_PARSE_MAX = 1000000 };

void uidset_finish(struct uidset *s)
{
    free(s->range);
    *s = (struct uidset){0};
}

/* Index of the first range that ends at or after uid; n when there is none. */
static size_t uidset_find(const struct uidset *s, uint64_t uid)
{
    size_t low = 0, high = s->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->range[middle].last < uid)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Opens a place at index i. */
static int uidset_insert(struct uidset *s, size_t i, struct uidrange range)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 8;
        struct uidrange *grown = reallocarray(s->range, cap, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        s->range = grown;
        s->cap = cap;
    }
    memmove(s->range + i + 1, s->range + i, (s->n - i) * sizeof(range));
    s->range[i] = range;
    s->n++;
    return 0;
}

int uidset_add(struct uidset *s, uint32_t uid)
{
    return uidset_add_range(s, uid, uid);
}

int uidset_add_range(struct uidset *s, uint32_t first, uint32_t last)
{
    if (first == 0 || last == 0)
        return -EINVAL;
    struct uidrange add = first <= last ? (struct uidrange){first, last} : (struct uidrange){last, first};
    /* Ascending order, the usual one, needs no search. */
    bool after = s->n == 0 || s->range[s->n - 1].last < add.first - 1;
    size_t i = after ? s->n : uidset_find(s, add.first - 1);
    size_t end = i;
    while (end < s->n && s->range[end].first <= (uint64_t)add.last + 1)
        end++;
    if (i == end)
        return uidset_insert(s, i, add);
    /* Ranges i to end - 1 touch the new one: they all become one. */
    if (s->range[i].first > add.first)
        s->range[i].first = add.first;
    s->range[i].last = s->range[end - 1].last > add.last ? s->range[end - 1].last : add.last;
    memmove(s->range + i + 1, s->range + end, (s->n - end) * sizeof(*s->range));
    s->n -= end - i - 1;
    return 0;
}

bool uidset_has(const struct uidset *s, uint32_t uid)
{
    size_t i = uidset_find(s, uid);
    return uid > 0 && i < s->n && s->range[i].first <= uid;
}

uint64_t uidset_count(const struct uidset *s)
{
    uint64_t count = 0;
    for (size_t i = 0; i < s->n; i++)
        count += (uint64_t)s->range[i].last - s->range[i].first + 1;
    return count;
}

/* nz-number (RFC 3501 section 9): 1 to 4294967295, no leading zero. */
static bool parse_uid(const char **at, const char *end, uint32_t *ret)
{
    uint64_t value = 0;
    const char *start = *at;
    if (start == end || *start == '0')
        return false;
    for (; *at < end && **at >= '0' && **at <= '9'; ++*at) {
        value = value * 10 + (uint64_t)(**at - '0');
        if (value > UINT32_MAX)
            return false;
    }
    *ret = (uint32_t)value;
    return *at > start;
}

static bool parse_range(const char **at, const char *end, struct uidrange *ret)
{
    uint32_t first, last;
    if (!parse_uid(at, end, &first))
        return false;
    last = first;
    if (*at < end && **at == ':') {
        ++*at;
        if (!parse_uid(at, end, &last))
            return false;
    }
    *ret = first <= last ? (struct uidrange){first, last} : (struct uidrange){last, first};
    return true;
}

/* Appends the ranges of the text, as they come, behind those that the list has. */
static int parse_ranges(struct uidset *list, const char *text, size_t length)
{
    const char *at = text, *end = text + length;
    for (unsigned n = 0; n < UIDSET_PARSE_MAX; n++) {
        struct uidrange range;
        if (!parse_range(&at, end, &range))
            return -EINVAL;
        int r = uidset_insert(list, list->n, range);
        if (r < 0)
            return r;
        if (at == end)
            return 0;
        if (*at++ != ',')
            return -EINVAL;
    }
    return -EINVAL;
}

static int range_compare(const void *a, const void *b)
{
    const struct uidrange *left = a, *right = b;
    return (left->first > right->first) - (left->first < right->first);
}

/* Makes a list of any ranges a set again. Sorting once keeps hostile input, a million ranges in descending
 * order, from costing a million moves of the whole array. */
static void uidset_normalise(struct uidset *s)
{
    qsort(s->range, s->n, sizeof(*s->range), range_compare);
    size_t kept = 0;
    for (size_t i = 1; i < s->n; i++) {
        struct uidrange *last = &s->range[kept], next = s->range[i];
        if (next.first > (uint64_t)last->last + 1)
            s->range[++kept] = next;
        else if (next.last > last->last)
            last->last = next.last;
    }
    s->n = kept + 1;
}

int uidset_parse(struct uidset *s, const char *text, size_t length)
{
    struct uidset list = {0};
    int r = parse_ranges(&list, text, length);
    for (size_t i = 0; r == 0 && i < s->n; i++)
        r = uidset_insert(&list, list.n, s->range[i]);
    if (r < 0) {
        uidset_finish(&list);
        return r;
    }
    uidset_normalise(&list);
    uidset_finish(s);
    *s = list;
    return 0;
}

size_t uidset_print(const struct uidset *s, size_t *position, char *out, size_t size)
{
    size_t length = 0;
    for (; *position < s->n; ++*position) {
        struct uidrange range = s->range[*position];
        char text[24];
        int n = range.first == range.last ? snprintf(text, sizeof(text), "%u", range.first)
                                          : snprintf(text, sizeof(text), "%u:%u", range.first, range.last);
        size_t comma = length > 0;
        if (length + comma + (size_t)n >= size)
            break;
        if (comma)
            out[length++] = ',';
        memcpy(out + length, text, (size_t)n);
        length += (size_t)n;
    }
    if (size > 0)
        out[length] = '\0';
    return length;
}

bool uidset_next(const struct uidset *s, uint32_t *uid)
{
    uint64_t next = (uint64_t)*uid + 1;
    size_t i = uidset_find(s, next);
    if (i == s->n)
        return false;
    *uid = s->range[i].first > next ? s->range[i].first : (uint32_t)next;
    return true;
}
