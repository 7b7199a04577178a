#include "flags.h"
#include "log.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *name;
    char letter;
} system_flags[FLAGS_FIRST_KEYWORD] = {
    {"\\Seen", 'S'},  {"\\Answered", 'R'}, {"\\Flagged", 'F'},
    {"\\Draft", 'D'}, {"\\Deleted", 'T'},  {"$Forwarded", 'P'},
};

const char *flags_system_name(unsigned bit)
{
    return bit < FLAGS_FIRST_KEYWORD ? system_flags[bit].name : NULL;
}

int flags_system_bit(const char *name)
{
    for (int bit = 0; bit < FLAGS_FIRST_KEYWORD; bit++)
        if (strcasecmp(name, system_flags[bit].name) == 0)
            return bit;
    return -1;
}

char flags_letter(unsigned bit)
{
    return bit < FLAGS_FIRST_KEYWORD ? system_flags[bit].letter : '\0';
}

int flags_bit_of_letter(char letter)
{
    for (int bit = 0; bit < FLAGS_FIRST_KEYWORD; bit++)
        if (letter == system_flags[bit].letter)
            return bit;
    return -1;
}

void keywords_init(struct keywords *k)
{
    *k = (struct keywords){0};
    pthread_mutex_init(&k->lock, NULL);
}

void keywords_finish(struct keywords *k)
{
    for (unsigned i = 0; i < k->n; i++)
        free(k->name[i]);
    k->n = 0;
    pthread_mutex_destroy(&k->lock);
}

/* RFC 3501 section 9: flag-keyword is an atom; "]" is what resp-specials forbids in atoms. */
static bool keyword_is_atom(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > FLAGS_KEYWORD_NAME_MAX)
        return false;
    for (const char *c = name; *c; c++)
        if (*c <= ' ' || *c > '~' || strchr("(){%*\"\\]", *c))
            return false;
    return true;
}

/* The bit of a valid keyword, added when it is new; -1 without room or memory. The lock is held. */
static int keywords_find_or_add(struct keywords *k, const char *name)
{
    for (unsigned i = 0; i < k->n; i++)
        if (strcasecmp(k->name[i], name) == 0)
            return (int)(FLAGS_FIRST_KEYWORD + i);
    if (k->n == FLAGS_KEYWORDS_MAX)
        return -1;
    char *copy = strdup(name);
    if (!copy)
        return -1;
    k->name[k->n] = copy;
    return (int)(FLAGS_FIRST_KEYWORD + k->n++);
}

int keywords_bit(struct keywords *k, const char *name)
{
    int bit = flags_system_bit(name);
    if (bit >= 0)
        return bit;
    if (!keyword_is_atom(name))
        return -1;
    pthread_mutex_lock(&k->lock);
    bit = keywords_find_or_add(k, name);
    bool tell = bit < 0 && k->n == FLAGS_KEYWORDS_MAX && !k->told_full;
    k->told_full |= tell;
    pthread_mutex_unlock(&k->lock);
    if (tell)
        log_warning("keywords: this account has more than %d, the others stay on the server only",
                    FLAGS_KEYWORDS_MAX);
    return bit;
}

const char *keywords_name(struct keywords *k, unsigned bit)
{
    if (bit < FLAGS_FIRST_KEYWORD)
        return flags_system_name(bit);
    unsigned i = bit - FLAGS_FIRST_KEYWORD;
    pthread_mutex_lock(&k->lock);
    const char *name = i < k->n ? k->name[i] : NULL;
    pthread_mutex_unlock(&k->lock);
    return name;
}

unsigned keywords_count(struct keywords *k)
{
    pthread_mutex_lock(&k->lock);
    unsigned n = k->n;
    pthread_mutex_unlock(&k->lock);
    return n;
}
