#pragma once
/*
 * One response of a server, taken apart (RFC 3501 7 and 9, and the extensions' grammars). Pure: octets in,
 * values out. It is tolerant where servers lie and where the answer stays usable without the part that lies:
 * an unknown item is skipped, a size that is no number is 0. It never reads outside its octets, never
 * recurses, and allocates for strings only.
 *
 * Thread: any. Errors: -EPROTO (not the grammar), -ENOMEM.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "flags.h"
#include "uidset.h"

/* A place in a response. Literals are inside, behind their {n} CRLF. */
struct cursor {
    const char *p, *end;
};

bool cursor_char(struct cursor *c, char wanted);        /* steps over it if it is there */
bool cursor_word(struct cursor *c, const char *wanted); /* a whole atom, any case */
bool cursor_number(struct cursor *c, uint64_t *ret);    /* at most 2^64 - 1 */
bool cursor_number32(struct cursor *c, uint32_t *ret);
size_t cursor_atom(struct cursor *c, char *out,
                   size_t size); /* upper case, cut at size - 1; its length, 0 for none */
int cursor_string(struct cursor *c, struct buf *out,
                  bool *ret_nil);  /* nstring or astring; out is cleared first */
int cursor_skip(struct cursor *c); /* any one value: atom, string, literal, parenthesised list */
int cursor_flags(struct cursor *c, struct keywords *k, flags_t *ret,
                 bool *ret_any); /* "(\Seen ...)"; ret_any: `\*` was there; may be NULL */
int cursor_uids(struct cursor *c, struct uidset *ret); /* a sequence-set up to the next space or bracket */

enum reply_kind {
    REPLY_DATA,     /* "* ..." */
    REPLY_STATUS,   /* "* OK ...", also NO, BAD, BYE, PREAUTH */
    REPLY_CONTINUE, /* "+ ..." */
    REPLY_TAGGED,
};
enum reply_condition { REPLY_OK, REPLY_NO, REPLY_BAD, REPLY_BYE, REPLY_PREAUTH };

struct reply {
    enum reply_kind kind;
    enum reply_condition condition; /* STATUS and TAGGED */
    char tag[16];
    uint32_t number; /* DATA: of "* 12 EXISTS"; 0 for none */
    char name[32];   /* DATA: "FETCH", "LIST", ...; STATUS and TAGGED: the response code, "" for none. Upper
                        case */
    struct cursor args; /* what follows the name; of a code, up to its bracket */
    const char *text;   /* STATUS, TAGGED, CONTINUE: the words for people, to the end */
    size_t text_length;
};

/* Takes a whole response with its final CRLF. The cursors point into data. -EPROTO. */
int reply_parse(const char *data, size_t length, struct reply *ret);

/* What of a FETCH response is of use (7.4.2). */
struct reply_fetch {
    uint32_t uid; /* 0: not told */
    bool has_flags, has_date, has_size, has_header;
    flags_t flags;
    int64_t date_s;
    int zone_min;
    int64_t size;
    int64_t message_id; /* of BODY[HEADER.FIELDS (MESSAGE-ID)], as header_message_id_of_block gives it */
    uint64_t modseq;    /* 0: not told */
};
int reply_fetch(struct cursor args, struct keywords *k, struct reply_fetch *ret);

/* INTERNALDATE's "17-Jul-1996 02:44:25 -0700" (date-time, day with or without a leading space or 0); -EPROTO.
 * And back. */
int reply_parse_date(const char *text, size_t length, int64_t *ret_s, int *ret_zone_min);
void reply_format_date(int64_t s, int zone_min, char out[32]);

/* COPYUID's "validity source target" (RFC 4315 3), or APPENDUID's "validity uid". Sets that are not
 * ascending, or differ in count, cannot be told apart nth by nth and are -EPROTO. */
int reply_copyuid(struct cursor args, uint32_t *ret_validity, struct uidset *ret_source,
                  struct uidset *ret_target);

/* A QUOTA response's "root (STORAGE usage limit ...)" (RFC 9208 4.2.1), in octets: 1, or 0 when it limits no
 * storage. A limit of 0 is how some servers say that there is none. -EPROTO, also for numbers beyond any
 * disk. */
int reply_quota(struct cursor args, int64_t *ret_used, int64_t *ret_limit);

/* "Suggested Backoff Time: N milliseconds" in words for people; 0 for none. */
unsigned reply_backoff_ms(const char *text, size_t length);
