#include "header.h"

#include <openssl/sha.h>
#include <string.h>

/*
 * One octet at a time, so that it does not matter how the stream is cut. All CR are skipped: the wire form
 * and the LF form of a message must give the same hash, and a bare CR in a Message-ID is nobody's intention.
 */
enum header_state {
    HEADER_NAME,       /* at or after the start of a line, while it matches "message-id" */
    HEADER_COLON,      /* after the name; blanks are allowed before the colon (RFC 5322 4.5) */
    HEADER_OTHER,      /* in a line of no interest */
    HEADER_VALUE,      /* in the value */
    HEADER_VALUE_LINE, /* at the start of a line after the value: folded when a blank follows */
};

static const char wanted[] = "message-id";

void header_scan_init(struct header_scan *s)
{
    *s = (struct header_scan){.state = HEADER_NAME};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static int feed_name(struct header_scan *s, char c)
{
    if (c == '\n') {
        /* An empty line ends the header; a cut-off name is just a broken line. */
        s->done = s->matched == 0;
        s->matched = 0;
        return HEADER_NAME;
    }
    char lower = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    if (lower != wanted[s->matched])
        return HEADER_OTHER;
    s->matched++;
    return wanted[s->matched] ? HEADER_NAME : HEADER_COLON;
}

static int feed_colon(struct header_scan *s, char c)
{
    if (c == ':')
        s->found = true;
    if (c == '\n')
        s->matched = 0;
    return c == ':' ? HEADER_VALUE : c == '\n' ? HEADER_NAME : is_blank(c) ? HEADER_COLON : HEADER_OTHER;
}

static int feed_value(struct header_scan *s, char c)
{
    if (c == '\n')
        return HEADER_VALUE_LINE;
    bool leading = is_blank(c) && s->length == 0;
    if (!leading && s->length < sizeof(s->value))
        s->value[s->length++] = c;
    return HEADER_VALUE;
}

static int feed_value_line(struct header_scan *s, char c)
{
    if (is_blank(c))
        return feed_value(s, c);
    s->done = true;
    return HEADER_OTHER;
}

static int feed_octet(struct header_scan *s, char c)
{
    switch (s->state) {
    case HEADER_NAME:
        return feed_name(s, c);
    case HEADER_COLON:
        return feed_colon(s, c);
    case HEADER_VALUE:
        return feed_value(s, c);
    case HEADER_VALUE_LINE:
        return feed_value_line(s, c);
    default:
        if (c != '\n')
            return HEADER_OTHER;
        s->matched = 0;
        return HEADER_NAME;
    }
}

void header_scan_feed(struct header_scan *s, const char *data, size_t length)
{
    for (size_t i = 0; i < length && !s->done; i++)
        if (data[i] != '\r')
            s->state = feed_octet(s, data[i]);
}

int64_t header_scan_message_id(struct header_scan *s)
{
    while (s->length > 0 && is_blank(s->value[s->length - 1]))
        s->length--;
    if (!s->found || s->length == 0)
        return 0;
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)s->value, s->length, digest);
    uint64_t number = 0;
    for (int i = 0; i < 8; i++)
        number = number << 8 | digest[i];
    number &= INT64_MAX;
    return number ? (int64_t)number : 1; /* 0 means none */
}

int64_t header_message_id_of_block(const char *block, size_t length)
{
    struct header_scan s;
    header_scan_init(&s);
    header_scan_feed(&s, block, length);
    if (!s.found) {
        /* No header of that name: the block is the value itself. */
        header_scan_init(&s);
        s.state = HEADER_VALUE;
        s.found = true;
        header_scan_feed(&s, block, length);
    }
    return header_scan_message_id(&s);
}
