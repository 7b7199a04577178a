#pragma once
/*
 * A mount in the background: the parent waits until the child has mounted, or says why not, and ends with its
 * exit status. Until then the child keeps the terminal, for a password_command that asks on it.
 */
#include "fault.h"

/* What the child tells, once. */
struct daemon_report {
    int exit;       /* FAULT_OK: mounted */
    char text[640]; /* the error; or a remark, "" for none */
};

/* Forks before any thread exists. In the parent *ret_fd is for daemon_wait and the result is 1; in the child
 * it is for daemon_tell and the result 0; a negative errno otherwise. */
int daemon_fork(int *ret_fd);
void daemon_wait(
    int fd, struct daemon_report *ret); /* closes fd; a child that died without a word is a report, too */
void daemon_tell(int *fd, const struct daemon_report *r); /* closes *fd and sets -1 */
int daemon_detach(void); /* own session, working directory /, standard streams from and to /dev/null */
