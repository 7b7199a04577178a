#include "guard.h"
#include <errno.h>
#include <string.h>
#include <strings.h>

void guard_next_command(struct guard *g)
{
    g->command = 0;
}

bool guard_is_text(const char *head, size_t length)
{
    static const char *const word[] = {"OK", "NO", "BAD", "BYE", "PREAUTH"};
    if (length < 2 || head[0] != '*' || head[1] != ' ')
        return true;
    for (size_t i = 0; i < sizeof word / sizeof *word; i++) {
        size_t n = strlen(word[i]);
        if (length >= 2 + n && strncasecmp(head + 2, word[i], n) == 0 &&
            (length == 2 + n || head[2 + n] == ' ' || head[2 + n] == '\r' || head[2 + n] == '\n'))
            return true;
    }
    return false;
}

static int count(struct guard *g, size_t n)
{
    g->response += n;
    g->command += n;
    return g->response > GUARD_RESPONSE_MAX || g->command > GUARD_COMMAND_MAX ? -EMSGSIZE : 0;
}

/* "* 12 FETCH ...", as far as the head goes. */
static bool is_fetch(const struct guard *g)
{
    static const char word[] = " FETCH";
    unsigned at = 2, n = 0;
    while (at < g->head_length && g->head[at] >= '0' && g->head[at] <= '9')
        at++;
    while (at + n < g->head_length && word[n] != '\0' && strncasecmp(&g->head[at + n], &word[n], 1) == 0)
        n++;
    return at > 2 && n > 0 && (word[n] == '\0' || at + n == GUARD_HEAD);
}

/* At the end of a line: either the response ends too, or a literal follows. */
static int line_end(struct guard *g)
{
    bool literal = g->state == GUARD_BRACED && !guard_is_text(g->head, g->head_length);
    g->state = GUARD_TEXT;
    if (!literal) {
        g->others += g->head_length > 1 && g->head[0] == '*' && g->head[1] == ' ' && !is_fetch(g);
        g->response = 0;
        g->head_length = 0;
        g->depth = 0;
        return 0;
    }
    if (g->number > (g->streaming ? GUARD_LITERAL_MAX : GUARD_RESPONSE_MAX))
        return -EMSGSIZE;
    g->literal = g->number;
    return 0;
}

static int parenthesis(struct guard *g, char c)
{
    if (c == '(' && ++g->depth > GUARD_DEPTH_MAX && !guard_is_text(g->head, g->head_length))
        return -EPROTO;
    if (c == ')' && g->depth > 0)
        g->depth--;
    return 0;
}

static int text(struct guard *g, char c)
{
    switch (c) {
    case '\r':
        return 0; /* keeps GUARD_BRACED for the line feed */
    case '"':
        g->state = GUARD_QUOTED;
        return 0;
    case '{':
        g->state = GUARD_DIGITS;
        g->number = 0;
        return 0;
    case '(':
    case ')':
        g->state = GUARD_TEXT;
        return parenthesis(g, c);
    default:
        g->state = GUARD_TEXT;
        return 0;
    }
}

static int digits(struct guard *g, char c)
{
    if (c >= '0' && c <= '9') {
        g->number = g->number * 10 + (unsigned)(c - '0');
        return g->number > UINT32_MAX ? -EMSGSIZE : 0;
    }
    g->state = c == '}' ? GUARD_BRACED : GUARD_TEXT;
    return g->state == GUARD_TEXT ? text(g, c) : 0;
}

static int octet(struct guard *g, char c)
{
    if (g->head_length < GUARD_HEAD)
        g->head[g->head_length++] = c;
    if (c == '\0')
        return -EPROTO;
    if (c == '\n')
        return line_end(g);
    switch (g->state) {
    case GUARD_QUOTED:
        g->state = c == '"' ? GUARD_TEXT : c == '\\' ? GUARD_ESCAPED : GUARD_QUOTED;
        return 0;
    case GUARD_ESCAPED:
        g->state = GUARD_QUOTED;
        return 0;
    case GUARD_DIGITS:
        return digits(g, c);
    case GUARD_TEXT:
    case GUARD_BRACED:
        break;
    }
    return text(g, c);
}

int guard_feed(struct guard *g, const char *data, size_t length)
{
    for (size_t i = 0; i < length;) {
        if (g->literal > 0) {
            size_t n = length - i < g->literal ? length - i : (size_t)g->literal;
            g->literal -= n;
            i += n;
            int r = g->streaming ? 0 : count(g, n);
            if (r < 0)
                return r;
            continue;
        }
        int r = count(g, 1);
        if (r == 0)
            r = octet(g, data[i++]);
        if (r < 0)
            return r;
    }
    return 0;
}
