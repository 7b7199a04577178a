#pragma once
/*
 * The little that is read of a message's header, as it streams by: its Message-ID, as a hash, to know it
 * again. No mail content is kept. Works on either line ending, folded headers (RFC 5322 2.2.3), any octets,
 * any length.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct header_scan {
    int state;
    size_t matched;
    char value[1000]; /* the Message-ID value collected so far, unfolded, cut at 1000 octets */
    size_t length;
    bool done, found;
};

void header_scan_init(struct header_scan *s);
void header_scan_feed(struct header_scan *s, const char *data, size_t length);
/* After the end: the first 8 octets of SHA-256 of the trimmed Message-ID value ("<...>") as a number with the
 * top bit clear, or 0 when there was none. */
int64_t header_scan_message_id(struct header_scan *s);
/* The same hash for a Message-ID value, or a whole "Message-ID: ..." header block as IMAP's HEADER.FIELDS
 * gives. */
int64_t header_message_id_of_block(const char *block, size_t length);
