#pragma once
/* Shared by the files of this library; points.c tells what it is for. */
#include <dlfcn.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>

/* In the order of KINDS in tests/integration/points.py. */
enum kind { WRITE, DATABASE, SYNC, COMMIT, MAKE, LINK, RENAME, REMOVE, TRUNCATE, SEND, RECEIVE };

/* The function that a name stands for in the libraries after this one. */
#define REAL(name) ((__typeof__(&name))real_function(#name))

static inline void *real_function(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

/* Around a call with an effect: counts it, with the number of the point that the process ends at, or 0. The
 * octets of such a call are `part` of those that were asked for. What is recorded between the two is one with
 * the effect. */
uint64_t point_begin(enum kind kind);
size_t point_part(uint64_t last, size_t length);
bool point_is_half(uint64_t last);
void point_end(uint64_t last);
/* For what has happened already. */
void point_passed(enum kind kind);

/* Around a call that may wait for an answer of this very process. */
void captive_begin(void);
void captive_end(void);

/* Is anything counted at all, in this process? */
bool counts(void);
bool fd_path(int fd, char out[PATH_MAX]);
/* The path below the data directory of a descriptor or a name; NULL for what is elsewhere. */
const char *fd_data(int fd, char out[PATH_MAX]);
const char *name_data(int dirfd, const char *name, char out[PATH_MAX]);
const char *data_path(void);
bool is_above_data(const char *path);
bool is_server(int fd);
bool stat_data(const char *path, struct stat *st);

/* The journal; these do nothing without one. */
bool journal_open(const char *path);
void journal_hold(void); /* an effect and its record are one */
void journal_release(void);
/* Before octets of a file are overwritten, added or cut off. An offset of -1 is the current one. */
void note_write(int fd, off_t offset, size_t length);
void note_sync(int fd);
void note_sync_all(void);
void note_name(char what, const char *path); /* after it was made */
void note_removal(const char *path);         /* before it goes */
void note_rename(const char *from, const char *to);
