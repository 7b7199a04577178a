#include <errno.h>
#include <string.h>
#include "body_store.h"

int wire_sum_begin(struct wire_sum *w, const struct body_store *s)
{
    if (!w->md)
        w->md = EVP_MD_CTX_new();
    if (!w->md || EVP_DigestInit_ex2(w->md, s->sha256, NULL) != 1)
        return -ENOMEM;
    header_scan_init(&w->header);
    w->size = 0;
    w->nul = false;
    return 0;
}

int wire_sum_feed(struct wire_sum *w, const char *data, size_t length)
{
    if (length == 0)
        return 0;
    if (EVP_DigestUpdate(w->md, data, length) != 1)
        return -EIO;
    header_scan_feed(&w->header, data, length);
    w->size += (int64_t)length;
    w->nul = w->nul || memchr(data, '\0', length);
    return 0;
}

int wire_sum_end(struct wire_sum *w, struct body_info *ret)
{
    if (EVP_DigestFinal_ex(w->md, ret->hash, NULL) != 1)
        return -EIO;
    ret->wire_size = w->size;
    ret->message_id = header_scan_message_id(&w->header);
    ret->nul = w->nul;
    return 0;
}

void wire_sum_finish(struct wire_sum *w)
{
    EVP_MD_CTX_free(w->md);
    w->md = NULL;
}
