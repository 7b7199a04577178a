/*
 * People, at the server and at the cache, and the book that is kept of what they do.
 */
#include <stdio.h>
#include <string.h>
#include "world.h"

static const char *const names[] = {"a", "b", "c", "a/x", "b/x", "a/y"};
static const flags_t flag[] = {FLAG_SEEN, FLAG_FLAGGED, FLAG_DELETED, KEYWORD};

/* The level above a name. False: there is none. */
static bool name_above(const char *name, char out[NAME])
{
    const char *end = strrchr(name, '/');
    snprintf(out, NAME, "%.*s", end ? (int)(end - name) : 0, name);
    return end;
}

flags_t people_flags(unsigned number)
{
    flags_t flags = 0;
    for (size_t i = 0; i < sizeof flag / sizeof *flag; i++)
        flags |= number >> i & 1 ? flag[i] : 0;
    return flags;
}

/* ---- choosing ---- */

static struct server_box *any_box(struct world *w, unsigned number)
{
    unsigned n = 0;
    for (size_t i = 0; i < BOXES; i++)
        n += w->server.box[i].there;
    number %= n; /* the inbox is always there */
    for (size_t i = 0;; i++)
        if (w->server.box[i].there && number-- == 0)
            return &w->server.box[i];
}

static struct mail *any_mail(struct world *w, unsigned number)
{
    return w->server.mails ? &w->server.mail[number % w->server.mails] : NULL;
}

static struct cache_box *any_box_here(struct world *w, unsigned number)
{
    unsigned n = 0;
    for (size_t i = 0; i < BOXES; i++)
        n += w->cache.box[i].id && w->cache.box[i].present;
    number %= n;
    for (size_t i = 0;; i++)
        if (w->cache.box[i].id && w->cache.box[i].present && number-- == 0)
            return &w->cache.box[i];
}

static size_t rows_here(const struct world *w)
{
    unsigned n = 0;
    for (size_t i = 0; i < w->cache.rows; i++)
        n += w->cache.row[i].id && w->cache.row[i].present;
    return n;
}

static struct row *any_row(struct world *w, unsigned number)
{
    unsigned n = (unsigned)rows_here(w);
    if (!n)
        return NULL;
    number %= n;
    for (size_t i = 0;; i++)
        if (w->cache.row[i].id && w->cache.row[i].present && number-- == 0)
            return &w->cache.row[i];
}

static bool is_full(const struct world *w)
{
    return w->texts == TEXTS || w->server.mails >= PEOPLES || rows_here(w) >= PEOPLES;
}

/* ---- the book ---- */

static unsigned new_text(struct world *w, flags_t flags)
{
    unsigned n = w->texts++;
    struct text *t = &w->text[n];

    /* Some have no Message-ID, and some share all that can be seen without reading them (case 23). */
    *t = (struct text){.message_id = 1000 + n, .date_s = 100 + n, .size = 500 + n % 3, .flags = flags};
    if (n % 8 == 5)
        t->message_id = 0;
    if (n % 8 == 7) {
        t->message_id = 77;
        t->date_s = 7;
        t->size = 500;
    }
    return n;
}

static struct text *of(struct world *w, unsigned text)
{
    return &w->text[text & ~ALTERED];
}

static void book_flags(struct text *t, flags_t before, flags_t now)
{
    t->set |= now & ~before;
    t->cleared |= before & ~now;
}

static void book_removal(struct world *w, unsigned text)
{
    struct text *t = of(w, text);
    t->removed++;
    t->gone++;
    w->cache.restorable[text & ~ALTERED] = true;
}

static void change_here(struct world *w, struct text *t, enum durable durable)
{
    if (t)
        t->soft = true;
    cache_commit(w, durable);
}

/* What is done to mail that we are about to expunge, or have sent and do not know, may come to nothing. */
static void book_chance(struct world *w, const struct mail *m)
{
    struct text *t = of(w, m->text);
    t->more += m->unconfirmed || m->doomed;
    t->relaxed |= m->unconfirmed || m->doomed;
    t->confused |= m->unconfirmed;
}

static void book_unrecognised(struct world *w, const struct mail *m)
{
    struct text *t = of(w, m->text);
    book_chance(w, m);
    t->relaxed = true;
    t->moved_there++;
    t->more++;
}

void book_joined(struct world *w, size_t server_box)
{
    for (size_t i = 0; i < w->server.mails; i++)
        if (w->server.mail[i].box == server_box)
            book_unrecognised(w, &w->server.mail[i]);
}

/* ---- there ---- */

void there_append(struct world *w, unsigned box, unsigned flags, unsigned unused)
{
    (void)unused;
    if (is_full(w))
        return;
    unsigned n = new_text(w, people_flags(flags));
    server_store(w, any_box(w, box), n, people_flags(flags));
    w->text[n].made++;
    w->text[n].there++;
}

void there_store(struct world *w, unsigned mail, unsigned add, unsigned remove)
{
    struct mail *m = any_mail(w, mail);
    if (!m)
        return;
    flags_t before = m->flags;
    m->flags = ((m->flags | people_flags(add)) & ~people_flags(remove)) & w->server.box[m->box].can_store;
    book_flags(of(w, m->text), before, m->flags);
    of(w, m->text)->relaxed |= m->doomed;
    w->server.version++;
}

void there_expunge(struct world *w, unsigned mail, unsigned unused, unsigned unused2)
{
    struct mail *m = any_mail(w, mail);
    (void)unused;
    (void)unused2;
    if (!m)
        return;
    book_chance(w, m);
    book_removal(w, m->text);
    server_drop(w, m);
}

void there_move(struct world *w, unsigned mail, unsigned box, unsigned unused)
{
    struct mail *m = any_mail(w, mail);
    struct server_box *to = any_box(w, box);
    (void)unused;
    if (!m || &w->server.box[m->box] == to)
        return;
    struct mail old = *m;
    struct text *t = of(w, old.text);
    book_chance(w, m);
    server_drop(w, m);
    struct mail *now = server_store(w, to, old.text, old.flags);
    book_flags(t, old.flags, now->flags);
    t->moved_there++;
    t->target_there = server_index(w, to);
}

void there_copy(struct world *w, unsigned mail, unsigned box, unsigned unused)
{
    struct mail *m = any_mail(w, mail);
    (void)unused;
    if (!m || is_full(w))
        return;
    of(w, m->text)->made++;
    of(w, m->text)->there++;
    server_store(w, any_box(w, box), m->text, m->flags);
}

void there_create(struct world *w, unsigned name, unsigned unused, unsigned unused2)
{
    (void)unused;
    (void)unused2;
    const char *wanted = names[name % (sizeof names / sizeof *names)];
    char upper[NAME];
    if (name_above(wanted, upper) && !server_find(w, upper))
        return; /* levels that are no mailboxes are tests/brain's business */
    server_create(w, wanted);
}

static bool is_for_people(const char *name, const char *from, const char *to)
{
    char moved[NAME];
    snprintf(moved, sizeof moved, "%s", name);
    name_move(moved, from, to);
    return strlen(moved) < NAME_PEOPLE;
}

void there_rename(struct world *w, unsigned box, unsigned name, unsigned unused)
{
    struct server_box *b = any_box(w, box);
    const char *to = names[name % (sizeof names / sizeof *names)];
    char from[NAME];
    (void)unused;
    memcpy(from, b->name, sizeof from);
    for (size_t i = 0; i < BOXES; i++)
        if (w->server.box[i].there && !is_for_people(w->server.box[i].name, from, to))
            return;
    char upper[NAME];
    if (b == w->server.box || (name_above(to, upper) && !server_find(w, upper)) ||
        name_lies_below(from, to) || !server_rename(w, from, to))
        return;
    for (size_t i = 0; i < w->server.mails; i++) {
        struct mail *m = &w->server.mail[i];
        const char *now = w->server.box[m->box].name;
        if (strcmp(now, to) != 0 && !name_lies_below(now, to))
            continue;
        if (w->features & FEATURE_OBJECTS)
            book_chance(w, m);
        else /* it looks like mail that was moved, and like two mailboxes */
            book_unrecognised(w, m);
    }
}

void there_delete(struct world *w, unsigned box, unsigned unused, unsigned unused2)
{
    struct server_box *b = any_box(w, box);
    (void)unused;
    (void)unused2;
    for (size_t i = 0; i < BOXES; i++)
        if (w->server.box[i].there && name_lies_below(w->server.box[i].name, b->name))
            return;
    if (b == w->server.box)
        return;
    for (size_t i = 0; i < w->server.mails; i++)
        if (&w->server.box[w->server.mail[i].box] == b) {
            book_chance(w, &w->server.mail[i]);
            book_removal(w, w->server.mail[i].text);
        }
    server_delete(w, b);
}

void there_renumber(struct world *w, unsigned box, unsigned unused, unsigned unused2)
{
    struct server_box *b = any_box(w, box);
    uint32_t uid = 0;
    (void)unused;
    (void)unused2;
    for (size_t i = w->server.mails; i-- > 0;)
        if (&w->server.box[w->server.mail[i].box] == b)
            w->server.mail[i].uid = ++uid;
    b->uidvalidity = ++w->server.validities;
    b->uidnext = uid + 1;
    w->server.version++;
    w->doubt = true;
}

/* ---- here ---- */

void here_deliver(struct world *w, unsigned box, unsigned flags, unsigned unsettled)
{
    if (is_full(w))
        return;
    unsigned n = new_text(w, people_flags(flags));
    struct row *r = cache_new_row(w, any_box_here(w, box)->id, n, people_flags(flags));
    r->unsettled = unsettled % 3;
    w->text[n].made++;
    w->text[n].here++;
    change_here(w, NULL, NOW);
}

void here_flag(struct world *w, unsigned row, unsigned add, unsigned remove)
{
    struct row *r = any_row(w, row);
    if (!r)
        return;
    flags_t before = r->flags;
    r->flags = (r->flags | people_flags(add)) & ~people_flags(remove);
    book_flags(of(w, r->text), before, r->flags);
    change_here(w, of(w, r->text), SOON);
}

static void remove_row(struct world *w, struct row *r)
{
    book_removal(w, r->text);
    r->present = false;
    if (!r->has_base && !r->intent.set)
        cache_free_row(w, r);
}

void here_remove(struct world *w, unsigned row, unsigned unused, unsigned unused2)
{
    struct row *r = any_row(w, row);
    (void)unused;
    (void)unused2;
    if (!r)
        return;
    struct text *t = of(w, r->text);
    remove_row(w, r);
    change_here(w, t, SOON);
}

void here_move(struct world *w, unsigned row, unsigned box, unsigned unused)
{
    struct row *r = any_row(w, row);
    struct cache_box *to = any_box_here(w, box);
    (void)unused;
    if (!r || r->box == to->id)
        return;
    r->box = to->id;
    struct text *t = of(w, r->text);
    t->moved_here++;
    t->target = to->id;
    change_here(w, t, SOON);
}

void here_copy(struct world *w, unsigned row, unsigned box, unsigned unused)
{
    struct row *r = any_row(w, row);
    (void)unused;
    if (!r || is_full(w))
        return;
    of(w, r->text)->made++;
    of(w, r->text)->here++;
    cache_new_row(w, any_box_here(w, box)->id, r->text, r->flags);
    change_here(w, NULL, NOW);
}

/* The new text is a row of its own, with the old one's Message-ID and date; the old one goes when it is there
 * (12). */
static void edit(struct world *w, unsigned row, unsigned unsettled, int64_t longer)
{
    struct row *old = any_row(w, row);
    if (!old || is_full(w))
        return;
    unsigned n = new_text(w, old->flags);
    const struct text *from = of(w, old->text);
    w->text[n].message_id = from->message_id;
    w->text[n].date_s = from->date_s;
    w->text[n].size = from->size + longer;
    w->text[n].made++;
    w->text[n].here++;
    struct row *r = cache_new_row(w, old->box, n, old->flags);
    r->unsettled = unsettled % 3;
    old->after = r->id;
    remove_row(w, old);
    change_here(w, NULL, NOW);
}

void here_edit(struct world *w, unsigned row, unsigned unsettled, unsigned unused)
{
    (void)unused;
    edit(w, row, unsettled, 1 + w->texts % 7);
}

void here_edit_alike(struct world *w, unsigned row, unsigned unsettled, unsigned unused)
{
    (void)unused;
    edit(w, row, unsettled, 0);
}

/* One that was removed here, and is not on the server's side yet: it is taken back. Its mail stays removed.
 */
static struct cache_box *removed_box(struct world *w, const char *name)
{
    for (size_t i = 0; i < BOXES; i++)
        if (w->cache.box[i].id && !w->cache.box[i].present && strcmp(w->cache.box[i].remote, name) == 0)
            return &w->cache.box[i];
    return NULL;
}

void here_create(struct world *w, unsigned name, unsigned unused, unsigned unused2)
{
    const char *wanted = names[name % (sizeof names / sizeof *names)];
    (void)unused;
    (void)unused2;
    char upper[NAME];
    if (name_above(wanted, upper) && !cache_find_box(w, upper))
        return;
    struct cache_box *old = removed_box(w, wanted);
    if (cache_find_box(w, wanted) || (!old && !cache_new_box(w, wanted)))
        return;
    if (old) {
        old->present = true;
        snprintf(old->name, sizeof old->name, "%s", wanted);
    }
    change_here(w, NULL, NOW);
}

static bool can_rename_here(struct world *w, const char *from, const char *to)
{
    char upper[NAME];
    if (cache_find_box(w, to) || name_lies_below(to, from) || name_lies_below(from, to) ||
        (name_above(to, upper) && !cache_find_box(w, upper)))
        return false;
    for (size_t i = 0; i < BOXES; i++) {
        const struct cache_box *c = &w->cache.box[i];
        char moved[NAME];
        if (!c->id || !c->present || !name_lies_below(c->name, from))
            continue;
        memcpy(moved, c->name, sizeof moved);
        name_move(moved, from, to);
        if (!is_for_people(c->name, from, to) || cache_find_box(w, moved))
            return false;
    }
    return true;
}

void here_rename(struct world *w, unsigned box, unsigned name, unsigned unused)
{
    struct cache_box *b = any_box_here(w, box);
    const char *to = names[name % (sizeof names / sizeof *names)];
    char from[NAME];
    (void)unused;
    memcpy(from, b->name, sizeof from);
    if (b == w->cache.box || !can_rename_here(w, from, to))
        return;
    for (size_t i = 0; i < BOXES; i++)
        if (w->cache.box[i].id && w->cache.box[i].present)
            name_move(w->cache.box[i].name, from, to);
    change_here(w, NULL, NOW);
}

void here_delete(struct world *w, unsigned box, unsigned unused, unsigned unused2)
{
    struct cache_box *b = any_box_here(w, box);
    (void)unused;
    (void)unused2;
    for (size_t i = 0; i < BOXES; i++)
        if (w->cache.box[i].id && w->cache.box[i].present && name_lies_below(w->cache.box[i].name, b->name))
            return;
    if (b == w->cache.box)
        return;
    for (size_t i = ROWS; i-- > 0;)
        if (w->cache.row[i].id && w->cache.row[i].present && w->cache.row[i].box == b->id)
            remove_row(w, &w->cache.row[i]);
    b->present = false;
    if (!b->has_base)
        b->id = 0;
    change_here(w, NULL, NOW);
}

/* ---- both, and neither ---- */

/* A client files what it has sent, and so does the server (case 22). */
void both_file(struct world *w, unsigned box, unsigned flags, unsigned unused)
{
    struct cache_box *c = any_box_here(w, box);
    struct server_box *s = c->has_base ? server_find(w, c->remote) : NULL;
    (void)unused;
    if (!s || is_full(w))
        return;
    unsigned n = new_text(w, people_flags(flags));
    w->text[n].made += 2;
    w->text[n].there++;
    w->text[n].here++;
    server_store(w, s, n, people_flags(flags));
    cache_new_row(w, c->id, n, people_flags(flags));
    change_here(w, NULL, NOW);
}

/* Case 73. The base is dropped, with all that only it knew, or it stays and is not to be believed. */
void here_lose_base(struct world *w, unsigned how, unsigned unused, unsigned unused2)
{
    (void)unused;
    (void)unused2;
    w->doubt = w->lost = w->cache.in_doubt = true;
    for (size_t i = 0; i < ROWS && how % 2; i++) {
        struct row *r = &w->cache.row[i];
        r->has_base = false;
        r->intent.set = false;
        r->after = 0;
        if (r->id && !r->present)
            cache_free_row(w, r);
    }
    change_here(w, NULL, NOW);
}
