#pragma once
/*
 * A server that follows a script, one connection at a time, one thread. A script is lines:
 *   "C:text"  the next line of the client must contain text; its first word becomes the tag
 *   "S:text"  sends text and CRLF, with $ as the tag and # as a NUL
 *   "1:text"  the same, each octet in a packet of its own
 *   "R:text"  sends text as it is
 *   "N:n"     reads n octets
 *   "A:n"     sends n times the letter a
 *   "(:n"     sends n parentheses
 *   "D:ms"    waits that long
 *   "K:1"     keeps what is sent from here on, until "K:0" sends it all at once
 *   "Z"       from here on both directions are compressed (RFC 4978)
 *   "E:n"     sends n empty blocks of that, one every 10 ms, while there is a client
 *   "F:text"  sends text as it is in the last block of the compressed stream
 *   "H"       waits until the client closes
 *   "X"       closes, and waits for the next connection
 * The end of the script closes the connection. What did not go by the script is told by fake_stop.
 */
#include <pthread.h>
#include <stdint.h>

struct fake {
    uint16_t port;
    int listener;
    pthread_t thread;
    const char *const *script;
    char wrong[512]; /* "" as long as all went by the script */
};

void fake_start(struct fake *f, const char *const *script);
/* Call it with the client closed. "" or what went wrong; lives as long as f. */
const char *fake_stop(struct fake *f);
