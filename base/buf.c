#include "buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_finish(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

void buf_clear(struct buf *b)
{
    b->length = 0;
    if (b->data)
        b->data[0] = '\0';
}

/* Room for length more octets and the final NUL. */
static int buf_reserve(struct buf *b, size_t length)
{
    if (b->failed)
        return -ENOMEM;
    if (length < b->cap - b->length)
        return 0;
    size_t cap = b->cap ? b->cap : 64;
    while (cap - b->length <= length && cap <= SIZE_MAX / 4)
        cap *= 2;
    char *data = cap - b->length > length ? realloc(b->data, cap) : NULL;
    if (!data) {
        b->failed = true;
        return -ENOMEM;
    }
    b->data = data;
    b->cap = cap;
    return 0;
}

int buf_add(struct buf *b, const void *data, size_t length)
{
    int r = buf_reserve(b, length);
    if (r < 0)
        return r;
    if (length)
        memcpy(b->data + b->length, data, length);
    b->length += length;
    b->data[b->length] = '\0';
    return 0;
}

int buf_adds(struct buf *b, const char *text)
{
    return buf_add(b, text, strlen(text));
}

int buf_addf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0)
        return -EINVAL;
    int r = buf_reserve(b, (size_t)length);
    if (r < 0)
        return r;
    va_start(args, format);
    vsnprintf(b->data + b->length, (size_t)length + 1, format, args);
    va_end(args);
    b->length += (size_t)length;
    return 0;
}

char *buf_take(struct buf *b)
{
    /* An empty buffer gives "", for NULL means failure. */
    if (buf_add(b, "", 0) < 0) {
        buf_finish(b);
        return NULL;
    }
    char *data = b->data;
    *b = (struct buf){0};
    return data;
}
