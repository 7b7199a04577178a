#include "dovecot.h"
#include "../place.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

bool dovecot_installed(void)
{
    return access("/usr/sbin/dovecot", X_OK) == 0 && access("/usr/bin/openssl", X_OK) == 0;
}

void shell(const char *format, ...)
{
    char line[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (system(line) == 0)
        return;
    fprintf(stderr, "failed: %s\n", line);
    abort();
}

static uint16_t free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &size) < 0)
        abort();
    close(fd);
    return ntohs(a.sin_port);
}

static bool answers(uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char c;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool up = connect(fd, (struct sockaddr *)&a, sizeof a) == 0 && recv(fd, &c, 1, 0) == 1;
    close(fd);
    return up;
}

/* An authority, and a server's certificate from it for the name localhost (and not for the address). */
static void certificates(const char *dir)
{
    shell("cd %s && {"
          " openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem "
          "-days 2 -subj /CN=test-authority &&"
          " openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out req.pem "
          "-subj /CN=localhost &&"
          " printf 'subjectAltName=DNS:localhost\n' >san &&"
          " openssl x509 -req -in req.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out "
          "cert.pem; } >openssl.log 2>&1",
          dir);
}

static void configuration(const struct dovecot *d, const char *capability)
{
    char path[256];
    snprintf(path, sizeof path, "%s/conf", d->dir);
    FILE *f = fopen(path, "w");
    if (f == NULL)
        abort();
    fprintf(f,
            "base_dir = %s/run\nstate_dir = %s/state\nlog_path = %s/log\nprotocols = imap\nlisten = "
            "127.0.0.1\nssl = yes\n"
            "ssl_cert = <%s/cert.pem\nssl_key = <%s/key.pem\ndisable_plaintext_auth = no\nauth_mechanisms = "
            "plain login\n"
            "mail_location = mdbox:~/mail\nmail_fsync = never\nmail_home = %s/home/%%u\nfirst_valid_uid = "
            "1\nmail_uid = %u\nmail_gid = %u\n",
            d->dir, d->dir, d->dir, d->dir, d->dir, d->dir, d->uid, d->gid);
    if (getuid() != 0)
        fprintf(f, "default_internal_user = %u\ndefault_internal_group = %u\ndefault_login_user = %u\n",
                d->uid, d->gid, d->uid);
    fprintf(f,
            "passdb {\n driver = static\n args = password=secret\n}\nuserdb {\n driver = static\n args = "
            "uid=%u gid=%u home=%s/home/%%u\n}\n",
            d->uid, d->gid, d->dir);
    fprintf(f,
            "service imap-login {\n chroot =\n inet_listener imap {\n  port = %u\n }\n inet_listener imaps "
            "{\n  port = %u\n  ssl = yes\n }\n}\n",
            d->port, d->tls_port);
    fprintf(f, "service anvil {\n chroot =\n}\nservice stats {\n chroot =\n}\nnamespace inbox {\n inbox = "
               "yes\n separator = /\n"
               " mailbox Trash {\n  auto = create\n  special_use = \\Trash\n }\n}\n");
    if (capability != NULL)
        fprintf(f, "protocol imap {\n imap_capability = %s\n}\n", capability);
    fclose(f);
}

static pid_t run(const char *dir)
{
    pid_t parent = getpid(), pid = fork();
    if (pid != 0)
        return pid;
    char conf[256];
    int null = open("/dev/null", O_RDWR);
    snprintf(conf, sizeof conf, "%s/conf", dir);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    dup2(null, 0);
    dup2(null, 1);
    dup2(null, 2);
    execl("/usr/sbin/dovecot", "dovecot", "-F", "-c", conf, (char *)NULL);
    _exit(127);
}

void dovecot_start(struct dovecot *d, const char *capability)
{
    *d = (struct dovecot){.uid = getuid(), .gid = getgid()};
    if (!place_make(d->dir, sizeof d->dir, "mailmount-imap"))
        abort();
    if (getuid() == 0)
        d->uid = d->gid = 65534;
    chmod(d->dir, 0755);
    certificates(d->dir);
    shell("mkdir -p %s/home && chown %u:%u %s/home", d->dir, d->uid, d->gid, d->dir);
    d->port = free_port();
    d->tls_port = free_port();
    configuration(d, capability);
    d->pid = run(d->dir);
    for (int i = 0; i < 500 && !answers(d->port); i++)
        usleep(20000);
    if (!answers(d->port)) {
        shell("cat %s/log >&2; rm -rf %s", d->dir, d->dir);
        abort();
    }
}

void dovecot_stop(struct dovecot *d)
{
    kill(d->pid, SIGTERM);
    waitpid(d->pid, NULL, 0);
    shell("rm -rf %s", d->dir);
}
