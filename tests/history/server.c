/*
 * The server: mailboxes with UIDs, and commands that either happen or do not. UIDVALIDITY values are never
 * used twice.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "world.h"

bool name_lies_below(const char *name, const char *upper)
{
    size_t length = strlen(upper);
    return strncmp(name, upper, length) == 0 && name[length] == '/';
}

void name_move(char *name, const char *from, const char *to)
{
    char moved[NAME];
    if (strcmp(name, from) != 0 && !name_lies_below(name, from))
        return;
    if (snprintf(moved, sizeof moved, "%s%s", to, name + strlen(from)) < (int)sizeof moved)
        memcpy(name, moved, sizeof moved);
}

size_t server_index(const struct world *w, const struct server_box *box)
{
    return (size_t)(box - w->server.box);
}

int64_t server_size(const struct world *w, unsigned text)
{
    int64_t size = w->text[text & ~ALTERED].size + (text & ALTERED ? 20 : 0);
    return w->features & FEATURE_LYING_SIZES ? size / 3 : size;
}

struct server_box *server_find(struct world *w, const char *name)
{
    for (size_t i = 0; i < BOXES; i++)
        if (w->server.box[i].there && strcmp(w->server.box[i].name, name) == 0)
            return &w->server.box[i];
    return NULL;
}

struct mail *server_mail(struct world *w, const struct server_box *box, uint32_t uid)
{
    for (size_t i = 0; i < w->server.mails; i++)
        if (&w->server.box[w->server.mail[i].box] == box && w->server.mail[i].uid == uid)
            return &w->server.mail[i];
    return NULL;
}

struct mail *server_store(struct world *w, const struct server_box *box, unsigned text, flags_t flags)
{
    struct server *s = &w->server;
    if (s->mails == MAILS) {
        world_wrong(w, "the server is full");
        return NULL;
    }
    s->version++;
    s->mail[s->mails] = (struct mail){.box = server_index(w, box),
                                      .uid = s->box[server_index(w, box)].uidnext++,
                                      .text = text,
                                      .flags = flags & box->can_store};
    return &s->mail[s->mails++];
}

void server_drop(struct world *w, struct mail *m)
{
    size_t i = (size_t)(m - w->server.mail);
    w->server.version++;
    memmove(m, m + 1, (--w->server.mails - i) * sizeof *m);
}

struct server_box *server_create(struct world *w, const char *name)
{
    struct server *s = &w->server;
    size_t i = 0;
    while (i < BOXES && s->box[i].there)
        i++;
    if (i == BOXES || server_find(w, name))
        return NULL;
    s->version++;
    s->objects++;
    bool masked = w->features & FEATURE_MASKS && s->objects % 2 == 0;
    s->box[i] = (struct server_box){.there = true,
                                    .object = s->objects,
                                    .uidvalidity = ++s->validities,
                                    .uidnext = 1,
                                    .can_store = masked ? ~KEYWORD : ~(flags_t)0};
    snprintf(s->box[i].name, sizeof s->box[i].name, "%s", name);
    return &s->box[i];
}

bool server_rename(struct world *w, const char *from, const char *to)
{
    char source[NAME], target[NAME];
    snprintf(source, sizeof source, "%s", from);
    snprintf(target, sizeof target, "%s", to);
    if (!server_find(w, source) || server_find(w, target) || name_lies_below(target, source))
        return false;
    for (size_t i = 0; i < BOXES; i++) {
        char moved[NAME];
        memcpy(moved, w->server.box[i].name, sizeof moved);
        if (!w->server.box[i].there || !name_lies_below(moved, source))
            continue;
        name_move(moved, source, target);
        struct server_box *other = server_find(w, moved);
        if (other && !name_lies_below(moved, source))
            return false;
    }
    w->server.version++;
    for (size_t i = 0; i < BOXES; i++)
        if (w->server.box[i].there)
            name_move(w->server.box[i].name, source, target);
    return true;
}

void server_delete(struct world *w, struct server_box *box)
{
    for (size_t i = w->server.mails; i-- > 0;)
        if (&w->server.box[w->server.mail[i].box] == box)
            server_drop(w, &w->server.mail[i]);
    box->there = false;
    w->server.version++;
}
