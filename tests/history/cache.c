/*
 * The cache: rows and mailboxes, of which a power failure leaves what was committed as NOW, and all that was
 * before it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "world.h"

void cache_commit(struct world *w, enum durable durable)
{
    w->changes++;
    if (durable == SOON)
        return;
    w->disk = w->cache;
    for (size_t i = 0; i < w->texts; i++)
        w->text[i].soft = false;
}

void cache_power_fails(struct world *w)
{
    w->cache = w->disk;
    for (size_t i = 0; i < w->texts; i++)
        w->text[i].relaxed |= w->text[i].soft;
    /* What was announced may have been answered; nobody knows any more. */
    for (size_t i = 0; i < w->cache.rows; i++)
        if (w->cache.row[i].id && w->cache.row[i].intent.set) {
            struct text *t = &w->text[w->cache.row[i].text & ~ALTERED];
            t->more++;
            t->relaxed = t->confused = true;
        }
}

struct row *cache_row(struct world *w, int64_t id)
{
    for (size_t i = 0; i < w->cache.rows && id; i++)
        if (w->cache.row[i].id == id)
            return &w->cache.row[i];
    return NULL;
}

struct row *cache_new_row(struct world *w, int64_t box, unsigned text, flags_t flags)
{
    struct cache *c = &w->cache;
    size_t i = 0;
    while (i < c->rows && c->row[i].id)
        i++;
    if (i == ROWS) {
        world_wrong(w, "the cache is full");
        return NULL;
    }
    if (i == c->rows)
        c->rows++;
    c->row[i] = (struct row){.id = ++c->ids, .present = true, .box = box, .text = text, .flags = flags};
    return &c->row[i];
}

void cache_free_row(struct world *w, struct row *r)
{
    r->id = 0;
    while (w->cache.rows && !w->cache.row[w->cache.rows - 1].id)
        w->cache.rows--;
}

struct cache_box *cache_box(struct world *w, int64_t id)
{
    for (size_t i = 0; i < BOXES && id; i++)
        if (w->cache.box[i].id == id)
            return &w->cache.box[i];
    return NULL;
}

struct cache_box *cache_find_box(struct world *w, const char *name)
{
    for (size_t i = 0; i < BOXES; i++)
        if (w->cache.box[i].id && w->cache.box[i].present && strcmp(w->cache.box[i].name, name) == 0)
            return &w->cache.box[i];
    return NULL;
}

struct cache_box *cache_new_box(struct world *w, const char *name)
{
    size_t i = 0;
    while (i < BOXES && w->cache.box[i].id)
        i++;
    if (i == BOXES)
        return NULL;
    struct cache_box *c = &w->cache.box[i];
    *c = (struct cache_box){.id = ++w->cache.ids, .present = true, .can_store = ~(flags_t)0};
    snprintf(c->name, sizeof c->name, "%s", name);
    return c;
}

void cache_show_again(struct world *w, struct cache_box *c)
{
    char plain[NAME];

    memcpy(plain, c->name, sizeof plain);
    for (unsigned n = 2; cache_find_box(w, c->name); n++)
        snprintf(c->name, sizeof c->name, "%.40s~%u", plain, n);
    c->present = true;
    cache_commit(w, SOON);
}
