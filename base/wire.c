#include "wire.h"
#include <string.h>

/* Up to the next CR or LF, as it is. Returns how much that was. */
static size_t copy_text(const char *in, size_t length, char *out)
{
    const char *lf = memchr(in, '\n', length);
    size_t n = lf ? (size_t)(lf - in) : length;
    const char *cr = memchr(in, '\r', n);
    n = cr ? (size_t)(cr - in) : n;
    memcpy(out, in, n);
    return n;
}

size_t wire_to_lf(struct wire_to_lf *s, const char *in, size_t length, char *out)
{
    char *at = out;
    for (size_t i = 0; i < length; i++) {
        if (!s->held_cr) {
            size_t n = copy_text(in + i, length - i, at);
            at += n;
            i += n;
            if (i == length)
                break;
        }
        char c = in[i];
        if (s->held_cr && c != '\n')
            *at++ = '\r';
        else if (!s->held_cr && c == '\n')
            s->bare_lf = true;
        s->held_cr = c == '\r';
        if (!s->held_cr)
            *at++ = c;
    }
    return (size_t)(at - out);
}

size_t wire_to_lf_end(struct wire_to_lf *s, char *out)
{
    if (!s->held_cr)
        return 0;
    s->held_cr = false;
    *out = '\r';
    return 1;
}

size_t wire_from_file(struct wire_from_file *s, bool exact, const char *in, size_t length, char *out)
{
    char *at = out;
    for (size_t i = 0; i < length; i++) {
        char c = in[i];
        if (c == '\n') {
            s->crlf |= s->last_cr;
            if (exact || !s->last_cr)
                *at++ = '\r';
        } else if (c == '\0') {
            s->nul = true;
        }
        s->last_cr = c == '\r';
        *at++ = c;
    }
    return (size_t)(at - out);
}
