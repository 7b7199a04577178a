/*
 * One connection, explained. Each finding is a line with a mark, each step that worked comes before the one
 * that did not; that one ends the visit and gives the exit status.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <langinfo.h>
#include <netdb.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "command.h"
#include "flags.h"
#include "imap.h"
#include "io.h"
#include "log.h"
#include "name.h"
#include "text.h"
#include "worker.h"

#define ADDRESSES_MAX 8

enum mark { MARK_GOOD, MARK_NOTE, MARK_BAD };

struct visit {
    const char *config_path;
    const struct config_account *account;
    const char *failed; /* the step that the fault is about */
    struct fault fault;
};

static const char *mark_text(enum mark mark)
{
    static const char *const pretty[] = {"✓", "·", "✗"}, *const plain[] = {"ok", "--", "!!"};
    return (strcmp(nl_langinfo(CODESET), "UTF-8") == 0 ? pretty : plain)[mark];
}

__attribute__((format(printf, 3, 4))) static void say(enum mark mark, const char *what, const char *format,
                                                      ...)
{
    va_list args;
    char *text = NULL;
    va_start(args, format);
    if (vasprintf(&text, format, args) >= 0)
        printf("  %s %-14s %s\n", mark_text(mark), what, text_clean(text));
    va_end(args);
    free(text);
}

static void heading(const char *text)
{
    bool terminal = isatty(STDOUT_FILENO);
    printf("%s%s%s\n", terminal ? "\033[1m" : "", text, terminal ? "\033[0m" : "");
}

/* --- configuration --- */

static const char *login_source(const struct config_account *a)
{
    return a->password_command ? "password by password_command"
           : a->password       ? "password in the file"
                               : "no password";
}

static void look_at_configuration(const struct visit *v)
{
    const struct config_account *a = v->account;
    struct stat st;
    heading("Configuration");
    if (stat(v->config_path, &st) < 0)
        say(MARK_NOTE, "file", "%s: %s", v->config_path, strerror(errno));
    else
        say(st.st_mode & 077 ? MARK_NOTE : MARK_GOOD, "file", "%s, %s", v->config_path,
            st.st_mode & 077 ? "others may read it (chmod 600 if it ever holds a secret)"
                             : "only its owner may read it");
    say(MARK_GOOD, "account", "%s: user %s, %s", a->name, a->user ? a->user : "(none)", login_source(a));
    say(MARK_GOOD, "data_dir", "%s", a->data_dir);
}

/* --- connection --- */

static int resolve(struct visit *v)
{
    const char *host = v->account->host;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
    CLEANUP(buf_finish) struct buf addresses = {0};
    int r = getaddrinfo(host, NULL, &hints, &list);
    v->failed = "no address";
    if (r != 0)
        return fault_set(&v->fault, FAULT_UNAVAILABLE, -EHOSTUNREACH, "%s: %s (check host, and the network)",
                         host, gai_strerror(r));
    int n = 0;
    for (const struct addrinfo *i = list; i && n < ADDRESSES_MAX; i = i->ai_next, n++) {
        char address[INET6_ADDRSTRLEN + 16];
        if (getnameinfo(i->ai_addr, i->ai_addrlen, address, sizeof address, NULL, 0, NI_NUMERICHOST) == 0)
            buf_addf(&addresses, "%s%s", n > 0 ? ", " : "", address);
    }
    freeaddrinfo(list);
    say(MARK_GOOD, "address", "%s is %s", host, addresses.length > 0 ? addresses.data : "?");
    return 0;
}

static bool wants_tls(const struct config_account *a)
{
    return a->tls != CONFIG_TLS_NONE && !a->tunnel;
}

/* Also of a handshake that ended for the certificate: what it is helps to decide whom to believe. */
static void tell_tls(const struct visit *v, const struct worker_description *d)
{
    bool good = d->steps & WORKER_STEP_TLS;
    if (d->certificate[0] == '\0')
        return;
    say(MARK_GOOD, "encryption", "%s%s", d->tls,
        v->account->tls == CONFIG_TLS_STARTTLS ? ", by STARTTLS" : "");
    say(good ? MARK_GOOD : MARK_NOTE, "certificate", "%s", d->certificate);
    if (good && v->account->fingerprint)
        say(MARK_GOOD, "pinned", "the fingerprint of the configuration matches");
}

static void tell_session(const struct visit *v, const struct worker_description *d)
{
    if (d->steps & WORKER_STEP_CONNECTED)
        say(MARK_GOOD, "connected", "%s", d->peer);
    if (wants_tls(v->account))
        tell_tls(v, d);
    else if (d->steps & WORKER_STEP_CONNECTED)
        say(v->account->tunnel ? MARK_GOOD : MARK_NOTE, "encryption", "none");
    if (!(d->steps & WORKER_STEP_LOGGED_IN)) {
        if (d->capabilities[0] != '\0')
            say(MARK_NOTE, "capabilities", "%s", d->capabilities);
        return;
    }
    say(MARK_GOOD, "logged in", "as %s, by %s", v->account->user ? v->account->user : "(the tunnel's user)",
        d->login[0] != '\0' ? d->login : "greeting (already authenticated)");
    say(d->server[0] != '\0' ? MARK_GOOD : MARK_NOTE, "server", "%s",
        d->server[0] != '\0' ? d->server : "does not say what it is (no ID)");
    say(MARK_NOTE, "capabilities", "%s", d->capabilities);
    if (d->deflates)
        say(d->deflate_fails ? MARK_NOTE : MARK_GOOD, "compression", "%s",
            d->compressed      ? "DEFLATE, since the line is long"
            : d->deflate_fails ? "offered, but it does not work with this server: not used"
                               : "offered; not used on this line");
}

/* The first step that did not work, in the order in which they are made. */
static const char *failed_step(const struct config_account *a, const struct worker_description *d)
{
    bool tls = !wants_tls(a) || d->steps & WORKER_STEP_TLS;
    if (!(d->steps & WORKER_STEP_CONNECTED))
        return "not connected";
    if (!tls && d->certificate[0] != '\0')
        return "not trusted";
    if (!tls && (a->tls == CONFIG_TLS_IMPLICIT || d->steps & WORKER_STEP_GREETED))
        return "not encrypted";
    if (!(d->steps & WORKER_STEP_GREETED))
        return "no IMAP";
    return d->steps & WORKER_STEP_LOGGED_IN ? "broken off" : "not logged in";
}

static int look_at_connection(struct visit *v, struct worker *w, struct worker_description *ret)
{
    heading("Connection");
    if (v->account->tunnel)
        say(MARK_NOTE, "tunnel", "%s", v->account->tunnel);
    else if (resolve(v) < 0)
        return v->fault.err;
    struct worker_error e;
    bool done = w->ops->open(w, &v->fault) == WORKER_DONE && w->ops->ping(w, &e) == WORKER_DONE;
    w->ops->describe(w, ret);
    tell_session(v, ret);
    v->failed = failed_step(v->account, ret);
    if (done || v->fault.err != 0)
        return done ? 0 : v->fault.err;
    return fault_set(&v->fault, FAULT_UNAVAILABLE, -EIO, "%s: no connection", v->account->name);
}

/* --- what sync can do there --- */

static void tell_speed(const struct worker_description *d)
{
    heading("Sync");
    switch (d->speed) {
    case WORKER_SPEED_QRESYNC:
        say(MARK_GOOD, "speed",
            "class 1 of 3, QRESYNC: changes and removals of a mailbox come in one answer");
        break;
    case WORKER_SPEED_CONDSTORE:
        say(MARK_GOOD, "speed",
            "class 2 of 3, CONDSTORE without QRESYNC: changes come in one answer, "
            "removals are searched for when the numbers do not add up");
        break;
    case WORKER_SPEED_NONE:
        say(MARK_NOTE, "speed",
            "class 3 of 3, neither CONDSTORE nor QRESYNC: all flags of a mailbox are read when "
            "its STATUS changes, and now and then");
        break;
    }
    say(d->idle ? MARK_GOOD : MARK_NOTE, "push", "%s",
        d->idle ? "IDLE: new mail in the inbox shows at once, other mailboxes are polled"
                : "no IDLE: all mailboxes are polled");
    say(d->list_status ? MARK_GOOD : MARK_NOTE, "all mailboxes", "%s",
        d->list_status ? "LIST-STATUS: one round trip" : "no LIST-STATUS: a STATUS for each mailbox");
    say(d->move ? MARK_GOOD : MARK_NOTE, "filing", "%s",
        d->move ? "MOVE" : "no MOVE: COPY, STORE and EXPUNGE");
    say(d->uidplus ? MARK_GOOD : MARK_NOTE, "delivering", "%s",
        d->uidplus ? "UIDPLUS: the server names what it was given"
                   : "no UIDPLUS: mail that was sent up is looked for afterwards");
}

struct folders {
    unsigned n, with_status;
    uint64_t messages;
    uint32_t most;
    char biggest[1024];
};

static int count_folder(void *arg, const struct worker_box *b)
{
    struct folders *c = arg;
    c->n++;
    if (!b->has_status)
        return 0;
    c->with_status++;
    c->messages += b->messages;
    if (b->messages < c->most)
        return 0;
    c->most = b->messages;
    if (name_mutf7_to_utf8(b->name, strlen(b->name), c->biggest, sizeof c->biggest) < 0)
        snprintf(c->biggest, sizeof c->biggest, "%s", b->name);
    return 0;
}

static int look_at_folders(struct visit *v, struct worker *w)
{
    struct folders c = {0};
    struct worker_error e = {0};
    char messages[TEXT_NUMBER_SIZE], most[TEXT_NUMBER_SIZE];
    heading("Mailboxes");
    v->failed = "not listed";
    if (w->ops->tree(w, count_folder, &c, &e) != WORKER_DONE)
        return fault_set(&v->fault, FAULT_UNAVAILABLE, e.err != 0 ? e.err : -EIO, "%s: LIST failed: %s",
                         v->account->name, e.text[0] != '\0' ? e.text : "the connection broke");
    if (c.with_status == c.n)
        say(MARK_GOOD, "found", "%u, with %s messages", c.n, text_count(c.messages, messages));
    else
        say(MARK_GOOD, "found", "%u, %u of them with a count: %s messages", c.n, c.with_status,
            text_count(c.messages, messages));
    if (c.with_status > 0)
        say(MARK_GOOD, "the biggest", "%s, %s messages", c.biggest, text_count(c.most, most));
    return 0;
}

static int visit(struct visit *v)
{
    struct keywords keywords;
    struct worker_description d = {0};
    look_at_configuration(v);
    keywords_init(&keywords);
    _Atomic int64_t memory = 0;
    struct worker *w = imap_worker_new(v->account, &keywords, &memory);
    int r =
        w ? look_at_connection(v, w, &d) : fault_set(&v->fault, FAULT_AGAIN, -ENOMEM, "doctor: no memory");
    if (r == 0) {
        tell_speed(&d);
        r = look_at_folders(v, w);
    }
    if (w)
        w->ops->destroy(w);
    keywords_finish(&keywords);
    if (r == 0)
        return FAULT_OK;
    say(MARK_BAD, v->failed ? v->failed : "failed", "%s", v->fault.text);
    fflush(stdout);
    return command_fail(&v->fault);
}

int cmd_doctor(struct invocation *in, int argc, char **argv)
{
    struct visit v = {0};
    struct account_config config = {0};
    const char *name;
    if (command_option(in, argc, argv, ":c:h", NULL) != -1)
        return in->status;
    if (!command_one_word(argc, argv, &name))
        return FAULT_USAGE;
    if (command_account(in, name, NULL, &config, &v.fault) < 0)
        return command_fail(&v.fault);
    signal(SIGPIPE, SIG_IGN);
    log_to(STDERR_FILENO, LOG_LEVEL_ERROR);
    v.config_path = config.config.path;
    v.account = config.account;
    int status = visit(&v);
    account_config_finish(&config);
    return status;
}
