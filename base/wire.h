#pragma once
/*
 * A message's two forms. The wire form is what IMAP carries: lines end in CRLF. The LF form is what files on
 * Unix hold. The LF form is the wire form with each CRLF replaced by LF. It is *exact* when putting CR before
 * each LF gives the wire form again, that is, when the wire form has no LF without a CR before it. Bare CR
 * and NUL stay as they are.
 *
 * A local file becomes wire form by putting CR before each LF that has none ("a\r\n" in a file stays one line
 * end).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire_to_lf {
    bool held_cr; /* the last octet was a CR that is not written yet */
    bool bare_lf; /* an LF without CR was seen: the LF form is not exact */
};

/* Converts length octets; out must have room for length + 1. Returns the number written. */
size_t wire_to_lf(struct wire_to_lf *s, const char *in, size_t length, char *out);
/* Writes a held CR, if any: at most 1 octet. */
size_t wire_to_lf_end(struct wire_to_lf *s, char *out);

struct wire_from_file {
    bool last_cr;
    bool crlf; /* a CRLF was seen in the file: then its LF form is not the file itself */
    bool nul;  /* a NUL octet was seen (case 62) */
};

/* File octets -> wire form; out must have room for 2 * length. exact = true is for LF forms of exact
 * messages: CR before *every* LF, also one that follows a CR. exact = false is for files that people wrote:
 * CR only before an LF that has none. Returns octets written. */
size_t wire_from_file(struct wire_from_file *s, bool exact, const char *in, size_t length, char *out);
