#include "notes.h"
#include <stdlib.h>
#include <string.h>

#define NOTES_MAX 65536 /* some 8 MB with usual names */

void notes_clear(struct notes *q)
{
    q->n = 0;
    q->overflow = false;
    q->names.failed = false;
    buf_clear(&q->names);
}

void notes_finish(struct notes *q)
{
    free(q->note);
    buf_finish(&q->names);
    *q = (struct notes){0};
}

static bool make_room(struct notes *q)
{
    if (q->n < q->cap)
        return true;
    size_t more = q->cap ? q->cap * 2 : 64;
    struct note *grown = more <= NOTES_MAX ? reallocarray(q->note, more, sizeof(*grown)) : NULL;
    if (!grown)
        return false;
    q->note = grown;
    q->cap = more;
    return true;
}

void notes_add(struct notes *q, const struct cache_event *event)
{
    if (q->overflow || event->kind == CACHE_WORK)
        return;
    size_t at = q->names.length;
    if (!make_room(q) || buf_add(&q->names, event->name, strlen(event->name) + 1) < 0) {
        notes_clear(q);
        q->overflow = true;
        return;
    }
    q->note[q->n++] =
        (struct note){.kind = event->kind, .parent = event->parent, .ino = event->ino, .name = at};
}
