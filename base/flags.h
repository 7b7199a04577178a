#pragma once
/*
 * The flags of a message as one machine word, so that a three-way merge is three operations on bits.
 *
 * Bits 0 to 5 are the IMAP system flags that Maildir has a letter for, and $Forwarded (RFC 3501 2.3.2,
 * RFC 9051 2.3.2). Bits 6 to 63 are keywords, numbered for the whole account by struct keywords. \Recent is
 * never stored and never sent (case 31).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>

typedef uint64_t flags_t;

#define FLAG_SEEN ((flags_t)1 << 0)      /* S */
#define FLAG_ANSWERED ((flags_t)1 << 1)  /* R */
#define FLAG_FLAGGED ((flags_t)1 << 2)   /* F */
#define FLAG_DRAFT ((flags_t)1 << 3)     /* D */
#define FLAG_DELETED ((flags_t)1 << 4)   /* T */
#define FLAG_FORWARDED ((flags_t)1 << 5) /* P, the keyword $Forwarded */
#define FLAGS_SYSTEM ((flags_t)0x3f)
#define FLAGS_FIRST_KEYWORD 6
#define FLAGS_KEYWORDS_MAX 58
#define FLAGS_KEYWORD_NAME_MAX 255 /* octets; longer ones are ignored */

/* The IMAP name of one of bits 0 to 5 ("\\Seen", ..., "$Forwarded"), static. */
const char *flags_system_name(unsigned bit);

/* The bit number of a system flag's IMAP name, any case, or -1. \Recent and unknown names are -1. */
int flags_system_bit(const char *name);

/* The Maildir letter of bits 0 to 5. flags_bit_of_letter gives -1 for any other octet. */
char flags_letter(unsigned bit);
int flags_bit_of_letter(char letter);

/* Per flag: m = (l == b) ? r : l (case 7). With a true base a flag cannot conflict. */
static inline flags_t flags_merge(flags_t base, flags_t left, flags_t right)
{
    return ((left ^ base) | (right ^ base)) ^ base;
}

/*
 * The keywords of an account: a name for each of bits 6 to 63, given out in order of first sight and never
 * taken back. Names compare without case, as servers do, and keep the case of first sight.
 * Thread: any; the mutex is a leaf.
 */
struct keywords {
    pthread_mutex_t lock;
    unsigned n;                     /* protected by lock */
    bool told_full;                 /* protected by lock; the log has heard that all bits are given out */
    char *name[FLAGS_KEYWORDS_MAX]; /* protected by lock; an entry once set never changes */
};

void keywords_init(struct keywords *k);
void keywords_finish(struct keywords *k);

/* The bit (0 to 63) of a flag or keyword as a server writes it; adds an unknown keyword. -1 for \Recent,
 * other backslash flags, invalid atoms, and when all bits are given out (logged once: the keyword is then
 * left as it is on the server, and never removed by us). */
int keywords_bit(struct keywords *k, const char *name);

/* The IMAP name of a bit: system flag or keyword; NULL for a bit that has none. Lives as long as k. */
const char *keywords_name(struct keywords *k, unsigned bit);

/* How many keywords are known; bits FLAGS_FIRST_KEYWORD .. FLAGS_FIRST_KEYWORD + n - 1. */
unsigned keywords_count(struct keywords *k);
