#pragma once
/* A growable string, always NUL terminated once something was added. Zero-initialised is empty. After -ENOMEM
 * failed is set and later calls do nothing. */
#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data;
    size_t length, cap;
    bool failed;
};

void buf_finish(struct buf *b); /* frees, leaves it empty */
void buf_clear(struct buf *b);  /* length 0, keeps memory */
int buf_add(struct buf *b, const void *data, size_t length);
int buf_adds(struct buf *b, const char *text);
__attribute__((format(printf, 2, 3))) int buf_addf(struct buf *b, const char *format, ...);
char *buf_take(struct buf *b); /* the string, now the caller's to free; NULL when failed */
