#pragma once
/*
 * Mailbox names: as a server writes them, and as path components (case 88).
 *
 * A server's name is octets, in modified UTF-7 (RFC 3501 5.1.3), split by the server's hierarchy delimiter. A
 * path component is UTF-8 without '/' and NUL, at most 255 octets. The two map one to one: what a component
 * cannot hold, or what the tree uses itself, is escaped as %XX, and so is '%' where it would read as an
 * escape. Escaped are '/', a leading dot and the first octet of the whole names "cur" "new" "tmp". A name
 * that is not correct modified UTF-7, or that hides control characters in it, is shown undecoded, with its
 * '&', control characters and octets above 0x7e escaped, which tells it from the others. A server's name is
 * never used as a path component as it is.
 */
#include <stdbool.h>
#include <stddef.h>

#define NAME_COMPONENT_MAX 255

/* One level of a server's name -> path component. out has NAME_COMPONENT_MAX + 1 octets. A component that
 * would be longer is cut at a character boundary and ends in "%~" and 16 hexadecimal digits of its hash: such
 * a name cannot be turned back, and the caller keeps the server's own. Returns 0, or 1 when cut, or -EINVAL
 * for an empty name. */
int name_to_component(const char *leaf, size_t length, char *out);

/* Path component -> one level of a server's name in modified UTF-7; the inverse of the above for all but cut
 * names. A component that a person made, and that no server's name is shown as ("a%41b"), is taken as it
 * stands: it has the server's name to itself, but the component that this one is shown as does as well
 * (callers look for such a clash). -EINVAL: invalid UTF-8, or the delimiter (0 for none) inside. out has size
 * octets; -ENAMETOOLONG. */
int name_from_component(const char *component, char delimiter, char *out, size_t size);

/* Is this valid modified UTF-7 in its only correct form? */
bool name_is_mutf7(const char *name, size_t length);

/* UTF-8 <-> modified UTF-7; -EILSEQ for invalid input, -ENAMETOOLONG. Out is NUL terminated. */
int name_utf8_to_mutf7(const char *utf8, char *out, size_t size);
int name_mutf7_to_utf8(const char *mutf7, size_t length, char *out, size_t size);

/* Maildir++ (layout = maildir++): a component as part of ".Archive.2024": as the component, with '.' written
 * %2E; and back. */
int name_component_to_maildirpp(const char *component, char *out, size_t size);
int name_component_from_maildirpp(const char *part, size_t length, char *out, size_t size);
