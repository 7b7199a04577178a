#pragma once
/*
 * An error on its way to a person: one line, "WHAT: WHY (what to do)", with the exit status that a command
 * ends with when nothing handles it. Functions that can fail for reasons a person must hear of take a
 * struct fault *; all others return a negative errno alone.
 *
 * Thread: a fault belongs to the caller; no locking.
 */
#include <stdarg.h>
#include <stdbool.h>

/* Exit statuses, the subset of sysexits.h that the commands use. */
enum fault_exit {
    FAULT_OK = 0,
    FAULT_USAGE = 64,       /* the command line */
    FAULT_DATA = 65,        /* bad data */
    FAULT_UNAVAILABLE = 69, /* server not reachable */
    FAULT_CREATE = 73,      /* cannot create */
    FAULT_IO = 74,          /* input or output, the cache */
    FAULT_AGAIN = 75,       /* try again */
    FAULT_DENIED = 77,      /* login, certificate, permissions */
    FAULT_CONFIG = 78,      /* configuration */
};

struct fault {
    enum fault_exit exit;
    int err;        /* negative errno, 0 while no fault is set */
    char text[640]; /* one line, no newline, control characters replaced by '?' */
};

/* Sets f (may be NULL) from a format and returns err, a negative errno. Control characters in the result,
 * which may come from a server, are replaced. */
__attribute__((format(printf, 4, 5))) int fault_set(struct fault *f, enum fault_exit exit, int err,
                                                    const char *format, ...);

/* Puts "CONTEXT: " before the text of a fault that is set. */
__attribute__((format(printf, 2, 3))) void fault_prefix(struct fault *f, const char *format, ...);

/* Makes text fit for a terminal and a log line: control characters (C0, DEL, C1 in UTF-8) become '?'. */
void fault_one_line(char *text);
