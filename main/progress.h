#pragma once
/*
 * Progress of long work on standard error: a bar with rate and time left when that is a terminal, a plain
 * line now and then otherwise.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine_status;

struct progress {
    const char *what; /* the account's name; borrowed */
    bool terminal;
    bool drawn; /* a bar stands on the current line */
    int64_t last_ms;
    char shown[256]; /* what was shown last: a plain line is not repeated */
};

void progress_init(struct progress *p, const char *what);
void progress_show(struct progress *p,
                   const struct engine_status *s); /* call every 200 ms or so; draws when it is due */
void progress_end(struct progress *p);             /* takes the bar away */

/* The line itself, at most `columns` wide; bar = false leaves the drawing out. */
void progress_line(const char *what, const struct engine_status *s, int columns, bool bar, char *out,
                   size_t size);
