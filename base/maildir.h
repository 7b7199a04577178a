#pragma once
/*
 * Names of message files: BASE, or BASE:2,LETTERS (the Maildir convention). Letters: S R F D T P for
 * flags, a to z for keywords by the mailbox's own table; other letters are kept in place as they are.
 */
#include "flags.h"

#define MAILDIR_NAME_MAX 255

/* The letters a to z of one mailbox: bit[0] is the flags_t bit number that 'a' stands for, -1 for none. */
struct maildir_letters {
    int8_t bit[26];
};

struct maildir_name {
    size_t base_length; /* octets before ":2," or the whole */
    bool has_info;      /* ":2," is there */
    flags_t flags;      /* of its letters; letters a-z without a meaning in this mailbox are ignored */
};

/* Parses a file name. letters may be NULL: no keywords. */
void maildir_parse(const char *name, const struct maildir_letters *letters, struct maildir_name *ret);

/* The same name with other flags: base, ":2,", letters in ASCII order; letters that stand for nothing known
 * here are kept. Keywords without a letter in this mailbox are left out. with_info = false gives the bare
 * base when there would be no letters. out has MAILDIR_NAME_MAX + 1 octets; -ENAMETOOLONG. */
int maildir_rename(const char *name, flags_t flags, const struct maildir_letters *letters, bool with_info,
                   char *out);

/* A fresh base name: "SECONDS.R<id>.HOST" with '/' and ':' of host replaced. */
int maildir_fresh(long long seconds, long long id, const char *host, char *out);

/* Is this a name that editors and tools use for scratch files in cur/ and new/, and that is never mail? Names
 * that start with a dot or '#', end in '~' or '#', vim's "4913" (and the numbers it tries next: 4913 + 123 n,
 * only digits, below 10 digits), "sedXXXXXX" (six letters or digits),
 * *.swp *.swo *.swn *.swx and other "*.sw?", emacs' lock links. */
bool maildir_is_scratch(const char *name);
