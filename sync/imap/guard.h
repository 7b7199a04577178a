#pragma once
/*
 * What a server may make this program swallow. Every octet that arrives passes here before any parser sees
 * it, libetpan's (which recurses and allocates as the server pleases) as well as our own. The guard follows
 * lines and literals (RFC 3501 2.2, 4.3) without understanding them, and refuses what no honest server sends:
 * endless lines, hundreds of nested parentheses, huge literals, endless answers.
 *
 * Thread: the session's. Pure: no I/O, no memory of its own.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUARD_RESPONSE_MAX (8u << 20) /* octets of one response, its literals included unless they stream */
#define GUARD_COMMAND_MAX                                                                                    \
    (256u << 20)                     /* octets of all answers to one command, streamed literals not counted */
#define GUARD_LITERAL_MAX (1u << 30) /* octets of a streamed literal */
#define GUARD_DEPTH_MAX 64           /* nested parentheses */
#define GUARD_HEAD 16

struct guard {
    bool
        streaming; /* literals go to a sink as they come and do not count against memory. The owner sets it */
    size_t response;  /* octets of this response so far */
    size_t command;   /* octets since guard_next_command */
    uint64_t literal; /* octets of a literal that are still to come */
    uint64_t number;  /* the one in the last braces of this line */
    char head[GUARD_HEAD];
    unsigned head_length; /* how much of the response's beginning is in head; literals follow data only, never
                             free text */
    unsigned depth;
    unsigned others; /* untagged responses that were not a FETCH; counts round */
    enum { GUARD_TEXT, GUARD_QUOTED, GUARD_ESCAPED, GUARD_DIGITS, GUARD_BRACED } state;
};

/* Looks at the next octets. 0, -EPROTO (nesting, a NUL in a line) or -EMSGSIZE (a limit). */
int guard_feed(struct guard *g, const char *data, size_t length);

/* A new command is sent: its answers have a fresh allowance. */
void guard_next_command(struct guard *g);

/* Does a response that begins so carry free text (a status, a continuation, a tagged end), in which braces
 * and quotes mean nothing? Looks at no more than GUARD_HEAD octets. */
bool guard_is_text(const char *head, size_t length);
