#pragma once
/* Numbers and strings as people read them, for status, progress and doctor. */
#include <stdint.h>

#define TEXT_NUMBER_SIZE 32

/* Each writes into out and returns it, so that it can stand in a printf. */
const char *text_count(uint64_t n, char out[TEXT_NUMBER_SIZE]);     /* "20,000" */
const char *text_octets(double octets, char out[TEXT_NUMBER_SIZE]); /* "14.2 MB" */
const char *text_duration(int64_t s, char out[TEXT_NUMBER_SIZE]);   /* "0:21", "1:02:03" */
const char *text_time(int64_t s, char out[TEXT_NUMBER_SIZE]);       /* local time, or "never" for 0 */

/* How many columns of a terminal a UTF-8 string takes; octets that are none count one each. */
int text_columns(const char *s);

/* Replaces control characters by '?': a terminal obeys them, and text may come from a server. Returns s. */
char *text_clean(char *s);
