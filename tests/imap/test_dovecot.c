/* Each test's own user, so that none depends on another. Every verb against a real server, at all three
 * speeds, under TLS, STARTTLS and through a tunnel. Skipped without Dovecot. */
#include "rig.h"
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>
#include "clock.h"
#include "dovecot.h"
#include "header.h"

static struct dovecot server;
static enum worker_speed speed;
static char ca_file[256];

static void rig_dovecot(struct rig *r, const char *user)
{
    rig_init(r, "localhost", server.tls_port, CONFIG_TLS_IMPLICIT);
    snprintf(ca_file, sizeof ca_file, "%s/ca.pem", server.dir);
    r->account.ca_file = ca_file;
    r->account.user = (char *)user;
}

#define OK(result) assert_int_equal_or_text(r, result)
#define assert_int_equal_or_text(r, result)                                                                  \
    do {                                                                                                     \
        enum worker_result result_ = (result);                                                               \
        if (result_ != WORKER_DONE)                                                                          \
            print_error("%d: %s\n", result_, (r)->e.text);                                                   \
        assert_int_equal(result_, WORKER_DONE);                                                              \
    } while (0)

static struct worker_scan scan(struct rig *r, const char *mailbox, const struct worker_token *since,
                               enum worker_depth depth)
{
    struct worker_scan s = {0};
    OK(r->w->ops->scan(r->w, mailbox, since, depth, &s, &r->e));
    return s;
}

static uint32_t append(struct rig *r, const char *mailbox, const char *id, flags_t flags)
{
    char text[256];
    struct worker_outcome got = {0};
    snprintf(text, sizeof text, "From: a@b\r\nMessage-ID: <%s@test>\r\nSubject: x\r\n\r\nbody of %s\r\n", id,
             id);
    OK(rig_append(r, mailbox, text, strlen(text), flags, &got));
    return got.uid;
}

static void test_open(void **state)
{
    (void)state;
    struct rig rig, *r = &rig;
    struct fault f = {0};
    struct worker_description d;
    rig_dovecot(r, "open");
    assert_int_equal(r->w->ops->open(r->w, &f), WORKER_DONE);
    assert_int_equal(r->w->ops->ping(r->w, &r->e), WORKER_DONE);
    r->w->ops->describe(r->w, &d);
    assert_true(d.connected);
    assert_int_equal(d.speed, speed);
    assert_non_null(strstr(d.tls, "TLSv1."));
    assert_non_null(strstr(d.certificate, "SHA256:"));
    assert_non_null(strstr(d.certificate, "test-authority"));
    assert_string_equal(d.server, speed == WORKER_SPEED_NONE ? "" : "Dovecot");
    assert_string_equal(d.login, "PLAIN");
    assert_true(d.octets_in > 0 && d.octets_out > 0 && (speed == WORKER_SPEED_NONE || d.commands > 0));
    rig_finish(r);
}

static enum worker_result try_open(struct rig *r, struct fault *f)
{
    r->w->ops->reset(r->w);
    return r->w->ops->open(r->w, f);
}

static void sha256_of(const char *what, char out[128])
{
    char line[512];
    snprintf(line, sizeof line, "cd %s && %s | openssl dgst -sha256 -r | cut -c1-64", server.dir, what);
    FILE *p = popen(line, "r");
    assert_non_null(p);
    assert_non_null(fgets(out, 128, p));
    pclose(p);
    out[strcspn(out, "\n")] = '\0';
}

static void test_trust(void **state)
{
    (void)state;
    struct rig rig, *r = &rig;
    struct fault f = {0};
    char cert[128], key[128], colons[160] = "sha256:";
    rig_dovecot(r, "trust");
    /* Not signed by anybody we know. */
    r->account.ca_file = NULL;
    assert_int_equal(try_open(r, &f), WORKER_BROKEN);
    assert_int_equal(f.exit, FAULT_DENIED);
    assert_non_null(strstr(f.text, "ca_file"));
    sha256_of("openssl x509 -in cert.pem -outform DER", cert);
    assert_non_null(strstr(f.text, cert));
    /* Another name. */
    r->account.ca_file = ca_file;
    r->account.host = (char *)"127.0.0.1";
    assert_int_equal(try_open(r, &f), WORKER_BROKEN);
    assert_int_equal(f.exit, FAULT_DENIED);
    assert_non_null(strstr(f.text, "another name"));
    /* A pin accepts it nevertheless: of the certificate, of the key, with colons and capitals. */
    r->account.ca_file = NULL;
    r->account.fingerprint = cert;
    assert_int_equal(try_open(r, &f), WORKER_DONE);
    sha256_of("openssl x509 -in cert.pem -noout -pubkey | openssl pkey -pubin -outform DER", key);
    r->account.fingerprint = key;
    assert_int_equal(try_open(r, &f), WORKER_DONE);
    for (size_t i = 0; cert[i] != '\0'; i++) {
        char two[3] = {cert[i] >= 'a' ? (char)(cert[i] - 32) : cert[i],
                       i % 2 == 1 && cert[i + 1] != '\0' ? ':' : '\0', '\0'};
        strcat(colons, two);
    }
    r->account.fingerprint = colons;
    assert_int_equal(try_open(r, &f), WORKER_DONE);
    /* And a pin refuses another one, also one that the authority vouches for. */
    r->account.host = (char *)"localhost";
    r->account.ca_file = ca_file;
    cert[0] = cert[0] == '0' ? '1' : '0';
    r->account.fingerprint = cert;
    assert_int_equal(try_open(r, &f), WORKER_BROKEN);
    assert_int_equal(f.exit, FAULT_DENIED);
    assert_non_null(strstr(f.text, "fingerprint"));
    rig_finish(r);
}

static void test_ways_in(void **state)
{
    (void)state;
    struct rig rig, *r = &rig;
    struct fault f = {0};
    struct worker_description d;
    char tunnel[256];
    rig_dovecot(r, "ways");
    r->account.port = server.port;
    r->account.tls = CONFIG_TLS_STARTTLS;
    assert_int_equal(try_open(r, &f), WORKER_DONE);
    r->account.tls = CONFIG_TLS_NONE;
    assert_int_equal(try_open(r, &f), WORKER_DONE);
    r->account.auth = CONFIG_AUTH_LOGIN;
    assert_int_equal(try_open(r, &f), WORKER_DONE);
    r->account.password = (char *)"not that";
    assert_int_equal(try_open(r, &f), WORKER_BROKEN);
    assert_int_equal(f.exit, FAULT_DENIED);
    assert_non_null(strstr(f.text, "Authentication failed"));
    r->account.tls = CONFIG_TLS_IMPLICIT;
    assert_int_equal(try_open(r, &f), WORKER_BROKEN);
    assert_int_equal(f.exit, FAULT_UNAVAILABLE);
    assert_non_null(strstr(f.text, "does not speak TLS"));
    snprintf(tunnel, sizeof tunnel, "/usr/bin/doveadm -c %s/conf exec imap -u ways 2>/dev/null | cat",
             server.dir);
    r->account.tunnel = tunnel;
    assert_int_equal(try_open(r, &f), WORKER_DONE);
    r->w->ops->describe(r->w, &d);
    assert_string_equal(d.peer, "tunnel /usr/bin/doveadm");
    r->account.tunnel = (char *)"exit 1";
    assert_int_equal(try_open(r, &f), WORKER_BROKEN);
    assert_int_equal(f.exit, FAULT_UNAVAILABLE);
    assert_non_null(strstr(f.text, "without speaking IMAP"));
    rig_finish(r);
}

/* Someone between client and server, who adds plain text of his own behind the server's answer to STARTTLS.
 */
struct middle {
    int listener;
    uint16_t port;
    pthread_t thread;
};

static void pump(int from, int to, const char *trigger, const char *injection)
{
    char piece[65536];
    ssize_t n = recv(from, piece, sizeof piece - 256, 0);
    if (n <= 0) {
        shutdown(to, SHUT_WR);
        return;
    }
    if (injection != NULL && memmem(piece, (size_t)n, trigger, strlen(trigger)) != NULL) {
        memcpy(piece + n, injection, strlen(injection));
        n += (ssize_t)strlen(injection);
    }
    send(to, piece, (size_t)n, MSG_NOSIGNAL);
}

static void *stand_between(void *arg)
{
    struct middle *m = arg;
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(server.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int client = accept(m->listener, NULL, NULL), up = socket(AF_INET, SOCK_STREAM, 0);
    struct pollfd p[2] = {{.fd = client, .events = POLLIN}, {.fd = up, .events = POLLIN}};
    if (connect(up, (struct sockaddr *)&a, sizeof a) == 0)
        while (poll(p, 2, 10000) > 0 && !((p[0].revents | p[1].revents) & (POLLHUP | POLLERR))) {
            if (p[0].revents & POLLIN)
                pump(client, up, NULL, NULL);
            if (p[1].revents & POLLIN)
                pump(up, client, "Begin TLS", "* CAPABILITY IMAP4rev1 X-EVIL AUTH=PLAIN\r\nm3 OK evil\r\n");
        }
    close(client);
    close(up);
    return NULL;
}

static void test_injection(void **state)
{
    (void)state;
    struct rig rig, *r = &rig;
    struct middle m = {.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    struct worker_description d;
    struct fault f = {0};
    assert_true(bind(m.listener, (struct sockaddr *)&a, sizeof a) == 0 && listen(m.listener, 1) == 0);
    assert_int_equal(getsockname(m.listener, (struct sockaddr *)&a, &size), 0);
    pthread_create(&m.thread, NULL, stand_between, &m);
    rig_dovecot(r, "injection");
    r->account.port = ntohs(a.sin_port);
    r->account.tls = CONFIG_TLS_STARTTLS;
    assert_int_equal(r->w->ops->open(r->w, &f), WORKER_DONE);
    r->w->ops->describe(r->w, &d);
    assert_null(strstr(d.capabilities, "X-EVIL"));
    assert_non_null(strstr(d.tls, "TLSv1."));
    OK(r->w->ops->status(r->w, "INBOX", NULL, &r->e));
    rig_finish(r);
    pthread_join(m.thread, NULL);
    close(m.listener);
}

static void test_scan(void **state)
{
    (void)state;
    struct rig rig, other_rig, *r = &rig, *other = &other_rig;
    rig_dovecot(r, "scan");
    rig_dovecot(other, "scan");
    /* Empty. */
    struct worker_scan first = scan(r, "INBOX", NULL, WORKER_CHANGES);
    assert_true(first.full && first.n == 0 && first.keywords_allowed && !first.read_only);
    assert_true((first.permanent & FLAG_SEEN) && (first.permanent & FLAG_FORWARDED) && first.permanent >> 63);
    /* All that is there, with details. */
    uint32_t a = append(other, "INBOX", "a", FLAG_SEEN), b = append(other, "INBOX", "b", 0);
    struct worker_scan s = scan(r, "INBOX", NULL, WORKER_CHANGES);
    assert_true(s.full && s.n == 2 && s.token.exists == 2);
    assert_int_equal(s.message[0].uid, a);
    assert_true(s.message[0].has_details && s.message[0].has_flags);
    assert_int_equal(s.message[0].flags, FLAG_SEEN);
    assert_int_equal(s.message[0].date_s, 1700000000);
    assert_true(s.message[0].size > 50);
    assert_int_equal(s.message[0].message_id, header_message_id_of_block("Message-ID: <a@test>\r\n", 22));
    /* Nothing. */
    struct worker_scan same = scan(r, "INBOX", &s.token, WORKER_CHANGES);
    assert_true(same.nothing && same.n == 0);
    /* A flag, a removal, a new one. */
    int bit = keywords_bit(&r->keywords, "Work");
    assert_int_equal(bit, keywords_bit(&other->keywords, "Work"));
    OK(rig_apply(r, WORKER_STORE, "INBOX", "1", NULL, FLAG_FLAGGED | (flags_t)1 << bit, FLAG_SEEN, NULL));
    struct uidset two = {0};
    uidset_add(&two, b);
    uint32_t c = append(other, "INBOX", "c", FLAG_DRAFT);
    const struct worker_op expunge = {
        .verb = WORKER_EXPUNGE, .mailbox = "INBOX", .uids = &two, .uidvalidity = s.token.uidvalidity};
    OK(other->w->ops->apply(other->w, &expunge, NULL, &other->e));
    struct worker_scan changes = scan(r, "INBOX", &s.token, WORKER_CHANGES);
    assert_false(changes.nothing);
    assert_int_equal(changes.token.exists, 2);
    assert_int_equal(changes.n, 2);
    assert_int_equal(changes.message[0].flags, FLAG_FLAGGED | (flags_t)1 << bit);
    assert_int_equal(changes.message[1].uid, c);
    assert_true(changes.message[1].has_details);
    assert_int_equal(changes.message[1].flags, FLAG_DRAFT);
    if (speed == WORKER_SPEED_QRESYNC) {
        assert_true(!changes.full && uidset_has(&changes.vanished, b) &&
                    uidset_count(&changes.vanished) == 1);
        assert_false(changes.message[0].has_details);
    } else {
        assert_true(changes.full);
    }
    /* Once more from the old token, in the session that has been told already: the same. */
    struct worker_scan again = scan(r, "INBOX", &s.token, WORKER_CHANGES);
    assert_int_equal(again.n, 2);
    assert_int_equal(uidset_count(&again.vanished), uidset_count(&changes.vanished));
    struct worker_scan flags = scan(r, "INBOX", &s.token, WORKER_FLAGS);
    assert_true(flags.full && flags.n == 2 && !flags.message[0].has_details && flags.message[1].has_details);
    /* Settling an append. */
    struct worker_scan list = {0};
    OK(r->w->ops->list(r->w, "INBOX", c, &list, &r->e));
    assert_true(list.n == 1 && list.message[0].uid == c && list.message[0].has_details);
    worker_scan_finish(&list);
    OK(r->w->ops->list(r->w, "INBOX", c + 1, &list, &r->e));
    assert_int_equal(list.n, 0);
    worker_scan_finish(&list);
    /* Another UIDVALIDITY, and a mailbox that is not there. */
    struct worker_token old = s.token;
    old.uidvalidity ^= 1;
    struct worker_scan changed = scan(r, "INBOX", &old, WORKER_CHANGES);
    assert_true(changed.uidvalidity_changed && changed.n == 0 &&
                changed.token.uidvalidity == s.token.uidvalidity);
    assert_int_equal(r->w->ops->scan(r->w, "no such", NULL, WORKER_CHANGES, &list, &r->e), WORKER_GONE);
    const struct worker_op wrong = {
        .verb = WORKER_EXPUNGE, .mailbox = "INBOX", .uids = &two, .uidvalidity = old.uidvalidity};
    assert_int_equal(r->w->ops->apply(r->w, &wrong, NULL, &r->e), WORKER_GONE);
    worker_scan_finish(&first);
    worker_scan_finish(&s);
    worker_scan_finish(&changes);
    worker_scan_finish(&again);
    worker_scan_finish(&flags);
    uidset_finish(&two);
    rig_finish(r);
    rig_finish(other);
}

static void test_bodies(void **state)
{
    (void)state;
    static const char odd[] = "Subject: odd\r\n\r\nbare\rcr, 8bit \xe4\xff, and the end without a line end";
    struct rig rig, *r = &rig;
    struct basket b = {0};
    struct worker_outcome got = {0};
    rig_dovecot(r, "bodies");
    /* Octets come back as they went. */
    OK(rig_append(r, "INBOX", odd, sizeof odd - 1, FLAG_SEEN, &got));
    uint32_t uid = got.uid, validity = got.uidvalidity;
    assert_true(uid > 0 && validity > 0);
    OK(rig_fetch(r, "INBOX", validity, "1:3,77", &b));
    assert_int_equal(b.n, 1);
    assert_true(b.mail[0].whole && b.mail[0].uid == uid);
    assert_int_equal(b.mail[0].length, sizeof odd - 1);
    assert_memory_equal(b.mail[0].data, odd, sizeof odd - 1);
    basket_finish(&b);
    /* Another UIDVALIDITY than meant. */
    assert_int_equal(rig_fetch(r, "INBOX", validity ^ 1, "1", &b), WORKER_GONE);
    /* NUL: as literal8, or not at all. */
    enum worker_result nul = rig_append(r, "INBOX", "Subject: nul\r\n\r\na\0b\r\n", 21, 0, &got);
    assert_true(nul == WORKER_DONE || (nul == WORKER_REFUSED && r->e.err == -EINVAL));
    /* A large one: in small pieces, both ways. */
    size_t size = 12u << 20;
    char *large = malloc(size);
    for (size_t i = 0; i < size; i++)
        large[i] = i % 70 == 68 ? '\r' : i % 70 == 69 ? '\n' : (char)('a' + i % 23);
    OK(rig_append(r, "INBOX", large, size, 0, &got));
    char uids[16];
    snprintf(uids, sizeof uids, "%u", got.uid);
    OK(rig_fetch(r, "INBOX", 0, uids, &b));
    assert_true(b.n == 1 && b.mail[0].whole && b.largest <= 65536);
    assert_int_equal(b.mail[0].length, size);
    assert_memory_equal(b.mail[0].data, large, size);
    basket_finish(&b);
    /* A sink that fails ends it, and the next call goes on. */
    b.fail = -ENOSPC;
    assert_int_equal(rig_fetch(r, "INBOX", 0, uids, &b), WORKER_LOCAL);
    assert_int_equal(r->e.err, -ENOSPC);
    basket_finish(&b);
    OK(rig_fetch(r, "INBOX", 0, "1", &b));
    assert_int_equal(b.n, 1);
    basket_finish(&b);
    /* A source that fails ends it, and nothing is there of it. */
    struct source s = {.data = large, .length = size, .fail_at = -EIO};
    const struct worker_op op = {.verb = WORKER_APPEND,
                                 .mailbox = "Trash",
                                 .size = (int64_t)size,
                                 .read = source_read,
                                 .read_arg = &s};
    assert_int_equal(r->w->ops->apply(r->w, &op, &got, &r->e), WORKER_LOCAL);
    struct worker_box box;
    OK(r->w->ops->status(r->w, "Trash", &box, &r->e));
    assert_int_equal(box.messages, 0);
    free(large);
    rig_finish(r);
}

static void test_changes(void **state)
{
    (void)state;
    struct rig rig, *r = &rig;
    struct worker_outcome got = {0};
    rig_dovecot(r, "changes");
    uint32_t a = append(r, "INBOX", "a", 0), b = append(r, "INBOX", "b", FLAG_DELETED),
             c = append(r, "INBOX", "c", 0);
    assert_int_equal(a, 1);
    /* Another client's \Deleted message survives an expunge, with UIDPLUS or without. */
    OK(rig_apply(r, WORKER_EXPUNGE, "INBOX", "1", NULL, 0, 0, NULL));
    struct worker_scan s = scan(r, "INBOX", NULL, WORKER_CHANGES);
    assert_int_equal(s.n, 2);
    assert_true(s.message[0].uid == b && s.message[0].flags == FLAG_DELETED && s.message[1].uid == c);
    worker_scan_finish(&s);
    /* Filing. */
    assert_int_equal(rig_apply(r, WORKER_MOVE, "INBOX", "3", "Else \"where\" &- \\", 0, 0, &got),
                     WORKER_REFUSED);
    assert_true(r->e.try_create && r->e.err == -ENOENT);
    OK(rig_apply(r, WORKER_CREATE, "Else \"where\" &- \\", NULL, NULL, 0, 0, NULL));
    OK(rig_apply(r, WORKER_MOVE, "INBOX", "2:3", "Else \"where\" &- \\", 0, 0, &got));
    assert_int_equal(got.moved, speed != WORKER_SPEED_NONE);
    if (speed != WORKER_SPEED_NONE) {
        assert_true(got.uidvalidity > 0 && uidset_count(&got.source) == 2 && uidset_has(&got.source, c) &&
                    uidset_has(&got.target, 2));
        s = scan(r, "INBOX", NULL, WORKER_CHANGES);
        assert_int_equal(s.n, 0);
        worker_scan_finish(&s);
    }
    uidset_finish(&got.source);
    uidset_finish(&got.target);
    OK(rig_apply(r, WORKER_COPY, "Else \"where\" &- \\", "1", "INBOX", 0, 0, &got));
    assert_int_equal(uidset_count(&got.target), 1);
    uidset_finish(&got.source);
    uidset_finish(&got.target);
    /* Appending to what is not there. */
    assert_int_equal(rig_append(r, "no such", "x", 1, 0, &got), WORKER_REFUSED);
    assert_true(r->e.try_create);
    rig_finish(r);
}

struct boxes {
    unsigned n;
    struct worker_box inbox, trash, sub;
};

static int on_box(void *arg, const struct worker_box *b)
{
    struct boxes *x = arg;
    x->n++;
    if (strcmp(b->name, "INBOX") == 0)
        x->inbox = *b;
    if (strcmp(b->name, "Trash") == 0)
        x->trash = *b;
    if (strcmp(b->name, "Work/caf&AOk-") == 0)
        x->sub = *b;
    return 0;
}

static void test_tree(void **state)
{
    (void)state;
    struct rig rig, *r = &rig;
    struct boxes x = {0};
    rig_dovecot(r, "tree");
    OK(rig_apply(r, WORKER_CREATE, "Work/caf&AOk-", NULL, NULL, 0, 0, NULL));
    OK(rig_apply(r, WORKER_SUBSCRIBE, "Work/caf&AOk-", NULL, NULL, 0, 0, NULL));
    append(r, "Work/caf&AOk-", "a", 0);
    append(r, "INBOX", "b", FLAG_SEEN);
    assert_int_equal(rig_apply(r, WORKER_CREATE, "Work/caf&AOk-", NULL, NULL, 0, 0, NULL), WORKER_REFUSED);
    assert_int_equal(r->e.err, -EEXIST);
    OK(r->w->ops->tree(r->w, on_box, &x, &r->e));
    assert_true(x.n == 3 || x.n == 4); /* Work itself may be listed */
    assert_true(x.inbox.has_status && x.inbox.messages == 1 && x.inbox.uidnext == 2 &&
                x.inbox.delimiter == '/');
    assert_true(x.sub.has_status && x.sub.messages == 1 && x.sub.uidvalidity > 0);
    assert_true((x.sub.attributes & 256) && !(x.inbox.attributes & 256));
    assert_true(speed == WORKER_SPEED_NONE || (x.trash.attributes & 8));
    assert_true(speed == WORKER_SPEED_NONE || x.sub.modseq > 0);
    /* With something selected the same. */
    struct worker_scan s = scan(r, "INBOX", NULL, WORKER_CHANGES);
    worker_scan_finish(&s);
    x.n = 0;
    OK(r->w->ops->tree(r->w, on_box, &x, &r->e));
    assert_true(x.inbox.has_status && x.inbox.messages == 1);
    struct worker_box box;
    OK(r->w->ops->status(r->w, "Work/caf&AOk-", &box, &r->e));
    assert_int_equal(box.messages, 1);
    OK(rig_apply(r, WORKER_RENAME, "Work/caf&AOk-", NULL, "Gone/there", 0, 0, NULL));
    assert_int_equal(r->w->ops->status(r->w, "Work/caf&AOk-", NULL, &r->e), WORKER_GONE);
    OK(r->w->ops->status(r->w, "Gone/there", NULL, &r->e));
    OK(rig_apply(r, WORKER_UNSUBSCRIBE, "Work/caf&AOk-", NULL, NULL, 0, 0, NULL));
    s = scan(r, "Gone/there", NULL, WORKER_CHANGES);
    assert_int_equal(s.n, 1);
    worker_scan_finish(&s);
    OK(rig_apply(r, WORKER_DELETE, "Gone/there", NULL, NULL, 0, 0, NULL));
    assert_int_equal(rig_apply(r, WORKER_DELETE, "Gone/there", NULL, NULL, 0, 0, NULL), WORKER_GONE);
    rig_finish(r);
}

static void *later(void *arg)
{
    struct rig *other = arg;
    usleep(200000);
    append(other, "INBOX", "pushed", 0);
    return NULL;
}

static void *cancel_later(void *arg)
{
    struct rig *r = arg;
    usleep(200000);
    r->w->ops->cancel(r->w);
    return NULL;
}

static void test_watch(void **state)
{
    (void)state;
    struct rig rig, other_rig, *r = &rig, *other = &other_rig;
    pthread_t thread;
    bool changed = false;
    rig_dovecot(r, "watch");
    rig_dovecot(other, "watch");
    append(other, "INBOX", "first", 0);
    OK(r->w->ops->watch(r->w, "INBOX", 5000, &changed, &r->e));
    assert_true(changed); /* nothing was known before */
    int64_t from = clock_boot_ms();
    OK(r->w->ops->watch(r->w, "INBOX", 300, &changed, &r->e));
    assert_true(!changed && clock_boot_ms() - from >= 300);
    /* Meanwhile. */
    append(other, "INBOX", "second", 0);
    struct worker_scan s = scan(r, "Trash", NULL, WORKER_CHANGES);
    worker_scan_finish(&s);
    OK(r->w->ops->watch(r->w, "INBOX", 300, &changed, &r->e));
    assert_true(changed);
    if (speed == WORKER_SPEED_QRESYNC) {
        pthread_create(&thread, NULL, later, other);
        OK(r->w->ops->watch(r->w, "INBOX", 20000, &changed, &r->e));
        assert_true(changed);
        pthread_join(thread, NULL);
        /* What an IDLE told is told by a scan, too. */
        struct worker_scan known = scan(r, "INBOX", NULL, WORKER_CHANGES);
        OK(rig_apply(r, WORKER_EXPUNGE, "INBOX", "1", NULL, 0, 0, NULL));
        OK(r->w->ops->watch(r->w, "INBOX", 20000, &changed, &r->e));
        assert_true(changed);
        s = scan(r, "INBOX", &known.token, WORKER_CHANGES);
        assert_true(!s.full && uidset_has(&s.vanished, 1) && uidset_count(&s.vanished) == 1);
        worker_scan_finish(&s);
        worker_scan_finish(&known);
        OK(r->w->ops->watch(r->w, "INBOX", 100, &changed, &r->e));
    }
    /* A cancel ends it at once, and sticks until reset. */
    from = clock_boot_ms();
    pthread_create(&thread, NULL, cancel_later, r);
    assert_int_equal(r->w->ops->watch(r->w, "INBOX", 30000, &changed, &r->e), WORKER_CANCELLED);
    pthread_join(thread, NULL);
    assert_true(clock_boot_ms() - from < 2000);
    assert_int_equal(r->w->ops->status(r->w, "INBOX", NULL, &r->e), WORKER_BROKEN);
    r->w->ops->reset(r->w);
    OK(r->w->ops->status(r->w, "INBOX", NULL, &r->e));
    rig_finish(r);
    rig_finish(other);
}

static void test_many(void **state)
{
    (void)state;
    struct rig rig, *r = &rig;
    rig_dovecot(r, "many");
    enum { MANY = 3600 };
    shell("dir=%s; seq %d | sed 's/.*/From x@y Thu Nov 23 00:00:00 2023\\nMessage-ID: "
          "<&@many>\\n\\nbody\\n/' >$dir/mbox && mkdir $dir/imp && mv $dir/mbox $dir/imp/many && chown -R "
          "%u:%u $dir/imp && doveadm -c $dir/conf import -u many "
          "-s mbox:$dir/imp:INBOX=$dir/imp/none \"\" all 2>>$dir/log",
          server.dir, MANY, server.uid, server.gid);
    struct worker_scan s = scan(r, "many", NULL, WORKER_CHANGES);
    assert_true(s.full && s.n == MANY && s.message[MANY - 1].has_details);
    /* Every other one: sets far beyond one command. */
    struct uidset odd = {0};
    for (size_t i = 0; i < s.n; i += 2)
        uidset_add(&odd, s.message[i].uid);
    const struct worker_op store = {
        .verb = WORKER_STORE, .mailbox = "many", .uids = &odd, .add = FLAG_SEEN | FLAG_DELETED};
    OK(r->w->ops->apply(r->w, &store, NULL, &r->e));
    struct worker_scan changes = scan(r, "many", &s.token, WORKER_FLAGS);
    size_t seen = 0;
    for (size_t i = 0; i < changes.n; i++)
        seen += changes.message[i].flags == (FLAG_SEEN | FLAG_DELETED);
    assert_int_equal(seen, MANY / 2);
    struct basket b = {.count_only = true};
    const struct worker_sink sink = {&b, basket_data, basket_end};
    struct worker_fetch from = {.mailbox = "many", .uidvalidity = s.token.uidvalidity, .uids = &odd};
    OK(r->w->ops->fetch(r->w, &from, 1, &sink));
    OK(from.result);
    assert_int_equal(b.ends, MANY / 2);
    const struct worker_op expunge = {.verb = WORKER_EXPUNGE, .mailbox = "many", .uids = &odd};
    OK(r->w->ops->apply(r->w, &expunge, NULL, &r->e));
    struct worker_scan after = scan(r, "many", &changes.token, WORKER_CHANGES);
    assert_int_equal(after.token.exists, MANY / 2);
    if (speed == WORKER_SPEED_QRESYNC)
        assert_int_equal(uidset_count(&after.vanished), MANY / 2);
    else
        assert_true(after.full && after.n == MANY / 2);
    worker_scan_finish(&s);
    worker_scan_finish(&changes);
    worker_scan_finish(&after);
    uidset_finish(&odd);
    rig_finish(r);
}

static int64_t began_ms;

static int begin(void **state)
{
    (void)state;
    began_ms = clock_boot_ms();
    return 0;
}

static int end(void **state)
{
    (void)state;
    print_message("%lld ms\n", (long long)(clock_boot_ms() - began_ms));
    return 0;
}

/* ---- following a mailbox, look by look ---- */

enum { FOLLOWED = 400 };

struct followed {
    struct worker_token token;
    bool there[FOLLOWED];
    flags_t flags[FOLLOWED];
    bool changed;
};

static int compare_numbers(void *arg, const struct worker_box *b)
{
    struct followed *f = arg;
    bool same = b->has_status && b->messages == f->token.exists && b->uidnext == f->token.uidnext &&
                b->modseq && b->modseq == f->token.modseq;
    f->changed = f->changed || (strcmp(b->name, "INBOX") == 0 && !same);
    return 0;
}

static void take_scan(struct followed *f, struct worker_scan *s)
{
    if (s->full)
        memset(f->there, 0, sizeof f->there);
    for (uint32_t uid = 0; uidset_next(&s->vanished, &uid);)
        if (uid < FOLLOWED)
            f->there[uid] = false;
    for (size_t i = 0; i < s->n; i++) {
        assert_true(s->message[i].uid < FOLLOWED);
        f->there[s->message[i].uid] = true;
        if (s->message[i].has_flags)
            f->flags[s->message[i].uid] = s->message[i].flags;
    }
    if (!s->nothing)
        f->token = s->token;
    worker_scan_finish(s);
}

static void follow(struct rig *r, struct followed *f)
{
    enum worker_depth depth = speed == WORKER_SPEED_NONE ? WORKER_FLAGS : WORKER_CHANGES;
    f->changed = false;
    OK(r->w->ops->tree(r->w, compare_numbers, f, &r->e));
    if (!f->changed)
        return;
    struct worker_scan s = scan(r, "INBOX", f->token.uidvalidity ? &f->token : NULL, depth);
    take_scan(f, &s);
}

static void change_something(struct rig *r, unsigned roll, uint32_t last)
{
    char uid[16], id[32];
    struct worker_outcome out = {0};
    snprintf(uid, sizeof uid, "%u", 1 + roll / 16 % last);
    snprintf(id, sizeof id, "follow%u", roll);
    if (roll % 16 < 4)
        append(r, "INBOX", id, roll % 3 ? FLAG_SEEN : 0);
    else if (roll % 16 < 13)
        OK(rig_apply(r, WORKER_STORE, "INBOX", uid, NULL, roll & 64 ? FLAG_FLAGGED : FLAG_DRAFT,
                     roll & 64 ? FLAG_DRAFT : FLAG_FLAGGED, &out));
    else if (roll % 16 == 13)
        OK(rig_apply(r, WORKER_EXPUNGE, "INBOX", uid, NULL, 0, 0, &out));
}

/* Whatever another client does, and however often is looked: what was told adds up to what is there. */
static void test_follow(void **state)
{
    (void)state;
    struct rig rig, *r = &rig, second, *other = &second;
    static struct followed f;
    struct basket basket = {.count_only = true};
    unsigned random = 12345;
    f = (struct followed){0};
    rig_dovecot(r, "follow");
    rig_dovecot(other, "follow");
    for (unsigned i = 0; i < 20; i++)
        append(other, "INBOX", "follow", 0);
    for (unsigned look = 0; look < 150; look++) {
        for (unsigned n = look % 4; n > 0; n--) {
            random = random * 1103515245 + 12345;
            change_something(other, random >> 12, f.token.uidnext > 1 ? f.token.uidnext - 1 : 20);
        }
        follow(r, &f);
        if (look % 11 == 10) /* another session goes on from the same token, as after a crash */
            r->w->ops->reset(r->w);
        if (look % 5 == 4) /* and reads something with the same session */
            rig_fetch(r, "INBOX", 0, "1:3", &basket);
        if (look % 7 == 6) { /* and changes something */
            struct worker_outcome out = {0};
            OK(rig_apply(r, WORKER_STORE, "INBOX", "2:9", NULL, FLAG_ANSWERED, 0, &out));
        }
    }
    follow(r, &f);
    follow(r, &f);
    struct worker_scan all = scan(other, "INBOX", NULL, WORKER_DETAILS);
    size_t there = 0;
    for (uint32_t uid = 1; uid < FOLLOWED; uid++)
        there += f.there[uid];
    assert_int_equal(there, all.n);
    for (size_t i = 0; i < all.n; i++) {
        assert_true(f.there[all.message[i].uid]);
        assert_int_equal(f.flags[all.message[i].uid], all.message[i].flags);
    }
    worker_scan_finish(&all);
    rig_finish(other);
    rig_finish(r);
}

int main(int argc, char **argv)
{
    static const char *const capability[] = {
        [WORKER_SPEED_QRESYNC] = NULL,
        [WORKER_SPEED_CONDSTORE] = "IMAP4rev1 SASL-IR ID ENABLE IDLE MOVE UIDPLUS CONDSTORE ESEARCH "
                                   "LIST-EXTENDED SPECIAL-USE LITERAL- UNSELECT",
        [WORKER_SPEED_NONE] = "IMAP4rev1",
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_open, begin, end),
        cmocka_unit_test_setup_teardown(test_trust, begin, end),
        cmocka_unit_test_setup_teardown(test_injection, begin, end),
        cmocka_unit_test_setup_teardown(test_scan, begin, end),
        cmocka_unit_test_setup_teardown(test_bodies, begin, end),
        cmocka_unit_test_setup_teardown(test_changes, begin, end),
        cmocka_unit_test_setup_teardown(test_tree, begin, end),
        cmocka_unit_test_setup_teardown(test_watch, begin, end),
        cmocka_unit_test_setup_teardown(test_many, begin, end),
        cmocka_unit_test_setup_teardown(test_follow, begin, end),
        /* Last: Dovecot makes the address of a failed login wait. */
        cmocka_unit_test_setup_teardown(test_ways_in, begin, end),
    };
    if (!dovecot_installed() || argc != 2) {
        puts(argc != 2 ? "no speed class given" : "dovecot is not installed");
        return 77;
    }
    speed = (enum worker_speed)atoi(argv[1]);
    dovecot_start(&server, capability[speed]);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (failed > 0)
        shell("tail -20 %s/log >&2", server.dir);
    dovecot_stop(&server);
    return failed;
}
