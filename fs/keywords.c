#include "keywords.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LETTERS 26
#define FILE_MAX 65536

struct adopt {
    int64_t mailbox;
    int bit[LETTERS]; /* -1: the file says nothing of this letter */
    struct maildir_letters letters;
    flags_t fresh; /* keywords that have got a letter */
    int64_t *message;
    size_t n, cap;
};

static int parse(struct keywords *known, char *text, int bit[LETTERS])
{
    char *rest = NULL;
    int n = 0;
    for (int i = 0; i < LETTERS; i++)
        bit[i] = -1;
    for (const char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        unsigned letter;
        char name[256];
        int end = 0;
        if (sscanf(line, "%3u %255s%n", &letter, name, &end) != 2 || line[end] != '\0')
            return -EBADMSG;
        if (letter < LETTERS)
            bit[letter] = keywords_bit(known, name);
        n++;
    }
    return n > 0 ? 0 : -EBADMSG;
}

static int lend(cache_tx *tx, struct adopt *a)
{
    int r = mailbox_letters(cache_tx_rd(tx), a->mailbox, &a->letters);
    struct maildir_letters before = a->letters;
    for (int i = 0; i < LETTERS && r == 0; i++)
        if (a->bit[i] >= FLAGS_FIRST_KEYWORD && before.bit[i] < 0)
            r = mailbox_letter_lend(tx, a->mailbox, i, (unsigned)a->bit[i]);
    if (r == 0)
        r = mailbox_letters(cache_tx_rd(tx), a->mailbox, &a->letters);
    for (int i = 0; i < LETTERS && r == 0; i++)
        if (before.bit[i] < 0 && a->letters.bit[i] >= 0)
            a->fresh |= (flags_t)1 << a->letters.bit[i];
    return r;
}

static flags_t in_name(const struct adopt *a, const struct message *m)
{
    struct maildir_name name;
    maildir_parse(m->name, &a->letters, &name);
    return name.flags & a->fresh & ~m->flags;
}

static int collect(void *arg, const struct message *m)
{
    struct adopt *a = arg;
    if (!in_name(a, m))
        return 0;
    if (a->n == a->cap) {
        size_t cap = a->cap ? 2 * a->cap : 64;
        int64_t *grown = reallocarray(a->message, cap, sizeof *grown);
        if (!grown)
            return -ENOMEM;
        a->message = grown;
        a->cap = cap;
    }
    a->message[a->n++] = m->id;
    return 0;
}

static int mark(cache_tx *tx, const struct adopt *a)
{
    int r = 0;
    for (size_t i = 0; i < a->n && r == 0; i++) {
        struct message m;
        r = message_get(cache_tx_rd(tx), a->message[i], &m);
        if (r == 0) {
            m.flags |= in_name(a, &m);
            r = message_put(tx, &m);
        }
    }
    return r;
}

static int adopt_change(cache_tx *tx, void *arg)
{
    struct adopt *a = arg;
    struct cache_event made_up = {
        .kind = CACHE_ENTRY_ADDED, .parent = ino_dir(a->mailbox, SUB_BOX), .mailbox = a->mailbox};
    strcpy(made_up.name, VIRTUAL_KEYWORDS_NAME);
    a->fresh = 0;
    a->n = 0;
    int r = lend(tx, a);
    for (int sub = SUB_NEW; sub <= SUB_CUR && r == 0 && a->fresh; sub++)
        r = message_each(cache_tx_rd(tx), a->mailbox, (enum sub)sub, 0, collect, a);
    if (r == 0)
        r = mark(tx, a);
    cache_tx_event(tx, &made_up);
    return r;
}

int keywords_adopt(struct fs *fs, int64_t mailbox, int fd)
{
    struct adopt a = {.mailbox = mailbox};
    char *text = calloc(1, FILE_MAX + 1);
    ssize_t n = text ? io_pread_full(fd, text, FILE_MAX, 0) : -ENOMEM;
    int r = n < 0 ? (int)n : parse(cache_keywords(fs->cache), text, a.bit);
    free(text);
    /* On disk before the file that says so goes. Not by own_write: the kernel is to be told. */
    if (r == 0)
        r = cache_write(fs->cache, CACHE_FROM_FILES, CACHE_NOW, adopt_change, &a);
    free(a.message);
    return r;
}
