#include "maildir.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/*
 * What follows ":2," is a run of letters, and then, in names that some servers make, a tail that is none of
 * our business (Dovecot's begins with a comma). A set of letters is a bit mask: A to Z are bits 0 to 25, a to
 * z bits 26 to 51, so that bit order is ASCII order.
 */
typedef uint64_t letter_set;
enum { LETTER_COUNT = 52, LETTER_FIRST_LOWER = 26 };

static int letter_index(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + LETTER_FIRST_LOWER;
    return -1;
}

/* The flag bit that a letter stands for here, or -1. */
static int letter_bit(int letter, const struct maildir_letters *letters)
{
    if (letter < LETTER_FIRST_LOWER)
        return flags_bit_of_letter((char)('A' + letter));
    int bit = letters ? letters->bit[letter - LETTER_FIRST_LOWER] : -1;
    return bit < 64 ? bit : -1;
}

/* The letters from text on; *ret_end is where their run ends. */
static letter_set letters_read(const char *text, const char **ret_end)
{
    letter_set set = 0;
    int letter;
    for (; (letter = letter_index(*text)) >= 0; text++)
        set |= (letter_set)1 << letter;
    *ret_end = text;
    return set;
}

void maildir_parse(const char *name, const struct maildir_letters *letters, struct maildir_name *ret)
{
    *ret = (struct maildir_name){.base_length = strlen(name)};
    const char *info = strstr(name, ":2,"), *end;
    if (!info)
        return;
    ret->base_length = (size_t)(info - name);
    ret->has_info = true;
    letter_set set = letters_read(info + 3, &end);
    for (int letter = 0; letter < LETTER_COUNT; letter++) {
        int bit = letter_bit(letter, letters);
        if (bit >= 0 && set >> letter & 1)
            ret->flags |= (flags_t)1 << bit;
    }
}

/* The letters of these flags, and those of the old name that mean nothing here. Writes at most LETTER_COUNT
 * octets and a NUL. */
static void letters_write(letter_set old, flags_t flags, const struct maildir_letters *letters, char *out)
{
    for (int letter = 0; letter < LETTER_COUNT; letter++) {
        int bit = letter_bit(letter, letters);
        bool set = bit >= 0 ? flags >> bit & 1 : old >> letter & 1;
        if (set)
            *out++ = (char)(letter < LETTER_FIRST_LOWER ? 'A' + letter : 'a' + letter - LETTER_FIRST_LOWER);
    }
    *out = '\0';
}

int maildir_rename(const char *name, flags_t flags, const struct maildir_letters *letters, bool with_info,
                   char *out)
{
    struct maildir_name parsed;
    maildir_parse(name, letters, &parsed);
    const char *tail = "";
    letter_set old = parsed.has_info ? letters_read(name + parsed.base_length + 3, &tail) : 0;
    char text[LETTER_COUNT + 1];
    letters_write(old, flags, letters, text);
    bool info = with_info || *text || *tail;
    size_t length = parsed.base_length + (info ? 3 + strlen(text) + strlen(tail) : 0);
    if (length > MAILDIR_NAME_MAX)
        return -ENAMETOOLONG;
    /* The caller's name and out may be the same memory, so nothing is written before all is read. */
    char made[MAILDIR_NAME_MAX + 1];
    snprintf(made, sizeof(made), "%.*s%s%s%s", (int)parsed.base_length, name, info ? ":2," : "", text, tail);
    memcpy(out, made, length + 1);
    return 0;
}

int maildir_fresh(long long seconds, long long id, const char *host, char *out)
{
    int n = snprintf(out, MAILDIR_NAME_MAX + 1, "%lld.R%lld.%s", seconds, id, *host ? host : "localhost");
    if (n > MAILDIR_NAME_MAX)
        return -ENAMETOOLONG;
    for (char *c = out; *c; c++)
        if (*c == '/' || *c == ':' || (unsigned char)*c <= ' ' || *c == 0x7f)
            *c = '_';
    return 0;
}

/* Vim tests whether it can create files by the name 4913, and adds 123 while that exists. */
static bool is_vim_probe(const char *name, size_t length)
{
    if (length == 0 || length >= 10 || name[0] == '0' || strspn(name, "0123456789") != length)
        return false;
    long number = 0;
    for (; *name; name++)
        number = number * 10 + (*name - '0');
    return number >= 4913 && (number - 4913) % 123 == 0;
}

static bool is_sed_temporary(const char *name, size_t length)
{
    if (length != 9 || strncmp(name, "sed", 3) != 0)
        return false;
    for (const char *c = name + 3; *c; c++)
        if (!isalnum((unsigned char)*c))
            return false;
    return true;
}

bool maildir_is_scratch(const char *name)
{
    size_t length = strlen(name);
    if (length == 0)
        return false;
    char first = name[0], last = name[length - 1];
    if (first == '.' || first == '#' || last == '~' || last == '#')
        return true;
    if (length > 4 && strncmp(name + length - 4, ".sw", 3) == 0 && last >= 'a' && last <= 'z')
        return true;
    return is_vim_probe(name, length) || is_sed_temporary(name, length);
}
