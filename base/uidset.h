#pragma once
/*
 * Sets of UIDs as sorted, disjoint, non-adjacent ranges (RFC 3501 "sequence-set", without "*").
 * Thread: the owner's. Errors: negative errno, -ENOMEM, -EINVAL.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uidrange {
    uint32_t first, last; /* inclusive, 1 <= first <= last */
};

struct uidset {
    struct uidrange *range;
    size_t n, cap;
};

void uidset_finish(struct uidset *s);           /* leaves an empty, usable set */
int uidset_add(struct uidset *s, uint32_t uid); /* amortised O(1) when ascending */
int uidset_add_range(struct uidset *s, uint32_t first,
                     uint32_t last); /* swaps first and last if needed; 0 is -EINVAL */
bool uidset_has(const struct uidset *s, uint32_t uid);
uint64_t uidset_count(const struct uidset *s);

/* Adds the UIDs of "1,3:5,9:7". Hostile input: at most 1,000,000 ranges, no 0, no "*", else -EINVAL and *s is
 * unchanged. Takes n log n whatever their order. */
int uidset_parse(struct uidset *s, const char *text, size_t length);

/* Writes ranges from *position on (0 at first) into out as a sequence-set of fewer than size octets, with a
 * final NUL; advances *position. Returns the length, 0 at the end. One range always fits when size >= 24. For
 * splitting commands at 8,000 octets (case 37). */
size_t uidset_print(const struct uidset *s, size_t *position, char *out, size_t size);

/* Iterates in order: for (uint32_t u = 0; uidset_next(s, &u);) visits each UID. */
bool uidset_next(const struct uidset *s, uint32_t *uid);
