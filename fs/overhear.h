#pragma once
/*
 * What libfuse and fusermount3 say on standard error while they mount: taken from there, so that it can be
 * part of the one line that a person gets. What other threads write there meanwhile is taken as well, so that
 * is for the time before there are many.
 */
#include "buf.h"

struct overhear {
    int saved; /* standard error itself, -1 when nothing is taken */
    int fd;
};

void overhear_begin(struct overhear *o);
/* Gives standard error back. What was said is written there when ret is NULL; else it is appended to ret, in
 * one line with "; " between its lines, "" when there was nothing. */
void overhear_end(struct overhear *o, struct buf *ret);
