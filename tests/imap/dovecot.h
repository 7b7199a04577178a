#pragma once
/* A private Dovecot in a directory of its own, on loopback, on ports of its own. One user a name, password
 * "secret". */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct dovecot {
    char dir[160]; /* ca.pem is in it */
    uint16_t port, tls_port;
    pid_t pid;
    unsigned uid, gid; /* whose the mail is */
};

bool dovecot_installed(void);

/* capability: what imap offers after login, NULL for all that it has. Ends the test program when it does not
 * start. */
void dovecot_start(struct dovecot *d, const char *capability);
void dovecot_stop(struct dovecot *d);

/* A shell command line; %s in it is the directory. Must succeed. */
__attribute__((format(printf, 1, 2))) void shell(const char *format, ...);
