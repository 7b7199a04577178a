/* The configuration: what is good is understood, and every kind of mistake is told by file and line. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "config_keys.h"
#include "io.h"

static const char *directory; /* of the tests */

static const char *write_config(const char *text, mode_t mode)
{
    static char path[200];
    snprintf(path, sizeof(path), "%s/config", directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    chmod(path, mode);
    return path;
}

static int read_text(const char *text, const char *const *overrides, struct config *c, struct fault *f)
{
    return config_read(write_config(text, 0600), overrides, c, f);
}

#define LEAST "[work]\nhost = imap.example.org\nuser = me\n"

static void the_least_has_all_defaults(void **state)
{
    (void)state;
    struct config c;
    struct fault f = {0};
    setenv("HOME", "/home/me", 1);
    unsetenv("XDG_DATA_HOME");
    assert_int_equal(read_text(LEAST, NULL, &c, &f), 0);
    assert_int_equal(c.accounts, 1);
    const struct config_account *a = &c.account[0];
    assert_string_equal(a->name, "work");
    assert_string_equal(a->host, "imap.example.org");
    assert_int_equal(a->port, 993);
    assert_int_equal(a->tls, CONFIG_TLS_IMPLICIT);
    assert_string_equal(a->user, "me");
    assert_null(a->password);
    assert_null(a->mailboxes);
    assert_int_equal(a->keep_deleted_s, 30 * 86400);
    assert_false(a->brake.off);
    assert_int_equal(a->brake.percent, 25);
    assert_int_equal(a->brake.count, 100);
    assert_int_equal(a->poll_s, 60);
    assert_true(a->idle);
    assert_int_equal(a->connections, 4);
    assert_int_equal(a->log_level, LOG_LEVEL_INFO);
    assert_true(a->bodies_s == INT64_MAX);
    assert_int_equal(a->cache_limit, 0);
    assert_int_equal(a->events, CONFIG_EVENTS_FULL);
    assert_string_equal(a->data_dir, "/home/me/.local/share/mailmount/work");
    config_finish(&c);
}

static const char everything[] =
    "# all keys\n"
    "; and both kinds of comments\n"
    "[work]\n"
    "host = mail.example.org\n"
    "port = 1430\n"
    "tls = starttls\n"
    "allow_plaintext = no\n"
    "ca_file = ~/ca.pem\n"
    "fingerprint = SHA256:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff"
    ":00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\n"
    "user = me@example.org\n"
    "password_command = echo a; echo b\n"
    "auth = plain\n"
    "layout = maildir++\n"
    "mailboxes = INBOX, Sent Items,\n"
    "    [Gmail]/*, # no comment\n"
    "    # a comment\n"
    "    !Archive/20??\n"
    "bodies = recent:30\n"
    "cache_limit = 20G\n"
    "events = dir\n"
    "line_endings = crlf\n"
    "delete = trash\n"
    "keep_deleted = 12h\n"
    "brake = 5%/3\n"
    "poll = 60\n"
    "idle = no\n"
    "connections = 2\n"
    "data_dir = ~/mail\n"
    "log_level = debug\n"
    "\n"
    "[home]\n"
    "tunnel = ssh mail /usr/lib/dovecot/imap\n"
    "keep_deleted = 0\n"
    "brake = off\n"
    "fingerprint = 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";

static void everything_is_understood(void **state)
{
    (void)state;
    struct config c;
    struct fault f = {0};
    setenv("HOME", "/home/me", 1);
    setenv("XDG_DATA_HOME", "/data", 1);
    assert_int_equal(read_text(everything, NULL, &c, &f), 0);
    assert_int_equal(c.accounts, 2);
    const struct config_account *a = &c.account[0], *b = &c.account[1];
    assert_int_equal(a->port, 1430);
    assert_int_equal(a->tls, CONFIG_TLS_STARTTLS);
    assert_string_equal(a->ca_file, "/home/me/ca.pem");
    assert_memory_equal(a->fingerprint, "SHA256:00:11", 12);
    assert_string_equal(a->password_command, "echo a; echo b");
    assert_int_equal(a->auth, CONFIG_AUTH_PLAIN);
    assert_int_equal(a->layout, CONFIG_LAYOUT_MAILDIRPP);
    const char *const want[] = {"INBOX", "Sent Items", "[Gmail]/*", "# no comment !Archive/20??"};
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(a->mailboxes[i], want[i]);
    assert_null(a->mailboxes[4]);
    assert_int_equal(a->line_endings, CONFIG_CRLF);
    assert_int_equal(a->deletion, CONFIG_DELETE_TRASH);
    assert_int_equal(a->keep_deleted_s, 12 * 3600);
    assert_true(!a->brake.off && a->brake.percent == 5 && a->brake.count == 3);
    assert_int_equal(a->poll_s, 60);
    assert_false(a->idle);
    assert_int_equal(a->connections, 2);
    assert_string_equal(a->data_dir, "/home/me/mail");
    assert_int_equal(a->log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(a->bodies_s, 30 * 86400);
    assert_true(a->cache_limit == 20000000000);
    assert_int_equal(a->events, CONFIG_EVENTS_DIR);
    assert_null(b->host);
    assert_string_equal(b->tunnel, "ssh mail /usr/lib/dovecot/imap");
    assert_int_equal(b->keep_deleted_s, 0);
    assert_true(b->brake.off);
    assert_string_equal(b->data_dir, "/data/mailmount/home");
    config_finish(&c);
    unsetenv("XDG_DATA_HOME");
}

static const struct {
    const char *text;
    int line; /* 0: the message names the file only */
    const char *says;
} mistakes[] = {
    {"", 0, "no account"},
    {"# nothing\n", 0, "no account"},
    {"host = x\n" LEAST, 1, "'host' stands before the first [account]"},
    {LEAST "hots = x\n", 4, "unknown key 'hots'"},
    {LEAST "Host = x\n", 4, "unknown key 'Host'"},
    {LEAST "event = full\n", 4, "unknown key 'event'"},
    {LEAST "host = y\n", 4, "'host' is already there in line 2"},
    {LEAST "[work]\n", 4, "[work] is already there in line 1"},
    {LEAST "[a/b]\n", 4, "'a/b' cannot be the name of an account"},
    {LEAST "[.]\n", 4, "'.' cannot be"},
    {LEAST "[..]\n", 4, "'..' cannot be"},
    {LEAST "[]\n", 4, "1 to 49 octets"},
    {LEAST "[xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx]\n", 4, "1 to 49 octets"},
    {LEAST "[ x]\n", 4, "begins or ends with a blank"},
    {LEAST "[x\n", 4, "neither 'key = value' nor '[account]'"},
    {LEAST "[x] y\n", 4, "something after the ']'"},
    {LEAST "nonsense\nfoo = bar\n", 4, "neither 'key = value' nor '[account]'"},
    {"[work]\n    host = x\n", 2, "there is none"},
    {LEAST "tls = tls\n", 4, "tls: 'tls' is not one of: implicit, starttls, none"},
    {LEAST "tls =\n", 4, "tls: a value is missing"},
    {LEAST "tls = starttls ; why not\n", 4, "a comment needs a line of its own"},
    {LEAST "port = 0\n", 4, "port: '0' is not a number from 1 to 65535"},
    {LEAST "port = 65536\n", 4, "'65536' is not"},
    {LEAST "port = -1\n", 4, "'-1' is not"},
    {LEAST "port = 99999999999999999999\n", 4, "is not a number"},
    {LEAST "port = 143x\n", 4, "'143x' is not"},
    {LEAST "ca_file = ca.pem\n", 4, "is not an absolute path"},
    {LEAST "data_dir = mail\n", 4, "is not an absolute path"},
    {LEAST "fingerprint = 0011\n", 4, "is not a SHA-256 fingerprint"},
    {LEAST "fingerprint = MD5:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n", 4,
     "is not a SHA-256"},
    {LEAST "auth = cram-md5\n", 4, "is not one of: auto, plain, login"},
    {LEAST "layout = mbox\n", 4, "is not one of: fs, maildir++"},
    {LEAST "bodies = none\n", 4, "bodies: 'none' is not one of: all, recent:DAYS, on-demand"},
    {LEAST "bodies = recent:0\n", 4, "bodies: 'recent:0' is not one of"},
    {LEAST "bodies = recent:30d\n", 4, "bodies: 'recent:30d' is not one of"},
    {LEAST "cache_limit = 20\n", 4, "cache_limit: '20' is not a size such as 500M, 20G or 1T, or none"},
    {LEAST "cache_limit = 20Gb\n", 4, "'20Gb' is not a size"},
    {LEAST "cache_limit = 0G\n", 4, "'0G' is not a size"},
    {LEAST "events = yes\n", 4, "events: 'yes' is not one of: full, dir, off"},
    {LEAST "mailboxes = a,,b\n", 4, "is not a list of patterns"},
    {LEAST "mailboxes = !\n", 4, "is not a list of patterns"},
    {LEAST "line_endings = cr\n", 4, "is not one of: lf, crlf"},
    {LEAST "delete = no\n", 4, "is not one of: expunge, trash"},
    {LEAST "keep_deleted = 30\n", 4, "is not a time such as 30d"},
    {LEAST "keep_deleted = 30w\n", 4, "is not a time"},
    {LEAST "keep_deleted = d\n", 4, "is not a time"},
    {LEAST "brake = 25\n", 4, "is not a share and a number such as 25%/100"},
    {LEAST "brake = 101%/3\n", 4, "is not a share"},
    {LEAST "brake = 5%/\n", 4, "is not a share"},
    {LEAST "brake = 5%/3x\n", 4, "is not a share"},
    {LEAST "poll = 0\n", 4, "is not a number of seconds"},
    {LEAST "idle = maybe\n", 4, "is not one of: yes, no"},
    {LEAST "connections = 33\n", 4, "is not a number from 1 to 32"},
    {LEAST "log_level = loud\n", 4, "is not one of: error, warning, info, debug"},
    {"[work]\nuser = me\n", 1, "neither host nor tunnel is set"},
    {"[work]\nhost = x\n", 1, "user is not set"},
    {LEAST "tls = none\n", 4, "allow_plaintext = yes"},
    {LEAST "password = x\npassword_command = y\n", 1, "both set"},
    {LEAST "data_dir = /x\n[b]\nhost = x\nuser = y\ndata_dir = /x\n", 5, "[b] has the data_dir of [work]"},
};

static void every_mistake_is_told_by_line(void **state)
{
    (void)state;
    setenv("HOME", "/home/me", 1);
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        struct config c;
        struct fault f = {0};
        char start[300];
        assert_true(read_text(mistakes[i].text, NULL, &c, &f) < 0);
        assert_int_equal(f.exit, FAULT_CONFIG);
        snprintf(start, sizeof(start), mistakes[i].line ? "%s/config:%d: " : "%s/config: ", directory,
                 mistakes[i].line);
        if (strncmp(f.text, start, strlen(start)) != 0 || !strstr(f.text, mistakes[i].says))
            fail_msg("want '%s... %s', have '%s'", start, mistakes[i].says, f.text);
    }
}

static void nul_and_long_lines_are_refused(void **state)
{
    (void)state;
    struct config c;
    struct fault f = {0};
    const char *path = write_config(LEAST, 0600);
    FILE *file = fopen(path, "a");
    fwrite("poll = 6\0000\n", 1, 11, file);
    fclose(file);
    assert_true(config_read(path, NULL, &c, &f) < 0);
    assert_non_null(strstr(f.text, "config:4: there is a NUL"));
    char text[20000];
    snprintf(text, sizeof(text), "%stunnel = %010000d\n", LEAST, 0);
    assert_true(read_text(text, NULL, &c, &f) < 0);
    assert_non_null(strstr(f.text, "config:4: this line is too long"));
    /* On indented lines there is room, with any inih. */
    char *at = text + sprintf(text, "%stunnel = a\n", LEAST);
    for (int i = 0; i < 100; i++)
        at += sprintf(at, "  %050d\n", i);
    assert_int_equal(read_text(text, NULL, &c, &f), 0);
    assert_int_equal(strlen(c.account[0].tunnel), 1 + 100 * 51);
    config_finish(&c);
}

static void plaintext_is_for_loopback(void **state)
{
    (void)state;
    const struct {
        const char *host;
        int loopback;
    } row[] = {{"127.0.0.1", 1},
               {"127.9.9.9", 1},
               {"::1", 1},
               {"localhost", 1},
               {"LOCALHOST", 1},
               {"128.0.0.1", 0},
               {"::2", 0},
               {"127.0.0.1.example.org", 0},
               {"localhost.example.org", 0}};
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct config c;
        struct fault f = {0};
        char text[300];
        snprintf(text, sizeof(text), "[a]\nuser = u\ntls = none\nhost = %s\n", row[i].host);
        assert_int_equal(read_text(text, NULL, &c, &f) == 0, row[i].loopback);
        if (row[i].loopback) {
            assert_int_equal(c.account[0].port, 143);
            config_finish(&c);
        }
        strcat(text, "allow_plaintext = yes\n");
        assert_int_equal(read_text(text, NULL, &c, &f), 0);
        config_finish(&c);
    }
}

static void a_password_needs_a_private_file(void **state)
{
    (void)state;
    static const mode_t open_modes[] = {0640, 0604, 0620, 0610, 0601};
    struct config c;
    struct fault f = {0};
    const char text[] = LEAST "password = s3cret\n";
    for (size_t i = 0; i < 5; i++) {
        assert_true(config_read(write_config(text, open_modes[i]), NULL, &c, &f) < 0);
        assert_int_equal(f.exit, FAULT_CONFIG);
        assert_non_null(strstr(f.text, "config:4: "));
        assert_non_null(strstr(f.text, "chmod 600"));
        assert_null(strstr(f.text, "s3cret"));
    }
    assert_int_equal(config_read(write_config(LEAST, 0644), NULL, &c, &f), 0);
    config_finish(&c);
    assert_int_equal(config_read(write_config(text, 0400), NULL, &c, &f), 0);
    char *password;
    assert_int_equal(config_password(&c.account[0], &password, &f), 0);
    assert_string_equal(password, "s3cret");
    free(password);
    config_finish(&c);
    unlink(write_config("", 0600));
}

static void a_missing_file_says_what_to_do(void **state)
{
    (void)state;
    struct config c;
    struct fault f = {0};
    assert_int_equal(config_read("/nonexistent/config", NULL, &c, &f), -ENOENT);
    assert_int_equal(f.exit, FAULT_CONFIG);
    assert_non_null(strstr(f.text, "/nonexistent/config: no such file (write one"));
    assert_int_equal(config_read(directory, NULL, &c, &f), -EISDIR);
}

static void one_data_dir_by_option_is_no_conflict(void **state)
{
    (void)state;
    struct config c;
    struct fault f = {0};
    const char *const option[] = {"data_dir=/x", NULL};
    assert_int_equal(read_text(LEAST "[b]\nhost = x\nuser = y\n", option, &c, &f), 0);
    assert_string_equal(c.account[0].data_dir, "/x");
    config_finish(&c);
}

static void options_win(void **state)
{
    (void)state;
    struct config c;
    struct fault f = {0};
    const char *const good[] = {"poll=60", "idle=no", "port=1143", "mailboxes=INBOX,Sent", "poll=61", NULL};
    assert_int_equal(read_text(LEAST "poll = 5\nmailboxes = x\n", good, &c, &f), 0);
    assert_int_equal(c.account[0].poll_s, 61);
    assert_int_equal(c.account[0].port, 1143);
    assert_false(c.account[0].idle);
    assert_string_equal(c.account[0].mailboxes[1], "Sent");
    config_finish(&c);
    const struct {
        const char *option, *says;
    } bad[] = {{"poll=x", "-o poll: 'x' is not a number"},
               {"pol=1", "-o pol: unknown option"},
               {"poll", "-o poll: a value is missing"},
               {"poll=", "-o poll: a value is missing"},
               {"password=s3cret", "password_command"}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *const list[] = {bad[i].option, NULL};
        assert_true(read_text(LEAST, list, &c, &f) < 0);
        assert_int_equal(f.exit, FAULT_USAGE);
        assert_non_null(strstr(f.text, bad[i].says));
        assert_null(strstr(f.text, "s3cret"));
    }
    assert_true(config_is_key("poll=60") && config_is_key("idle") && config_is_key("data_dir="));
    assert_false(config_is_key("allow_other") || config_is_key("ro") || config_is_key("pol") ||
                 config_is_key(""));
}

static const struct config_setting *setting(const struct config_setting *s, const char *key)
{
    while (s->key && strcmp(s->key, key) != 0)
        s++;
    assert_non_null(s->key);
    return s;
}

static void settings_tell_where_they_are_from(void **state)
{
    (void)state;
    struct config c;
    struct fault f = {0};
    const char *const option[] = {"poll=60", NULL};
    char origin[300];
    setenv("HOME", "/home/me", 1);
    assert_int_equal(read_text(LEAST "password = s3cret\nca_file = ~/x\n", option, &c, &f), 0);
    struct config_setting *s = config_settings(&c.account[0]);
    assert_non_null(s);
    snprintf(origin, sizeof(origin), "%s/config:2", directory);
    assert_string_equal(setting(s, "host")->origin, origin);
    assert_string_equal(setting(s, "host")->value, "imap.example.org");
    assert_string_equal(setting(s, "poll")->value, "60");
    assert_string_equal(setting(s, "poll")->origin, "-o");
    assert_string_equal(setting(s, "port")->value, "993");
    assert_string_equal(setting(s, "port")->origin, "default");
    assert_string_equal(setting(s, "password")->value, "set");
    assert_string_equal(setting(s, "tunnel")->value, "");
    assert_string_equal(setting(s, "ca_file")->value, "/home/me/x");
    assert_string_equal(setting(s, "data_dir")->value, "/home/me/.local/share/mailmount/work");
    unsigned n = 0;
    while (s[n].key)
        assert_true(config_is_key(s[n++].key));
    assert_int_equal(n, CONFIG_KEYS);
    config_settings_free(s);
    config_finish(&c);
}

static void accounts_are_found_by_name(void **state)
{
    (void)state;
    struct config c;
    struct fault f = {0};
    const struct config_account *a = NULL;
    assert_int_equal(read_text(LEAST, NULL, &c, &f), 0);
    assert_int_equal(config_find(&c, NULL, &a, &f), 0);
    assert_string_equal(a->name, "work");
    config_finish(&c);
    assert_int_equal(read_text(LEAST "[b]\nhost = x\nuser = y\n", NULL, &c, &f), 0);
    assert_int_equal(config_find(&c, "b", &a, &f), 0);
    assert_string_equal(a->name, "b");
    assert_true(config_find(&c, NULL, &a, &f) < 0);
    assert_int_equal(f.exit, FAULT_USAGE);
    assert_non_null(strstr(f.text, "work, b"));
    assert_true(config_find(&c, "c", &a, &f) < 0);
    assert_non_null(strstr(f.text, "c: no such account"));
    config_finish(&c);
}

static void assert_path(const char *argument, const char *want)
{
    char *path = config_path(argument);
    assert_string_equal(path, want);
    free(path);
}

static void the_path_follows_the_environment(void **state)
{
    (void)state;
    setenv("HOME", "/home/me", 1);
    setenv("XDG_CONFIG_HOME", "/xdg", 1);
    setenv("MAILMOUNT_CONFIG", "/variable", 1);
    assert_path("argument", "argument");
    assert_path(NULL, "/variable");
    unsetenv("MAILMOUNT_CONFIG");
    assert_path(NULL, "/xdg/mailmount/config");
    unsetenv("XDG_CONFIG_HOME");
    assert_path(NULL, "/home/me/.config/mailmount/config");
}

/* Runs a password_command; returns what config_password does. */
static int run(const char *command, char **ret, struct fault *f)
{
    struct config_account a = {.name = (char *)"work", .password_command = command, .path = "config"};
    *f = (struct fault){0};
    return config_password(&a, ret, f);
}

static void assert_password(const char *command, const char *want)
{
    char *password;
    struct fault f;
    assert_int_equal(run(command, &password, &f), 0);
    assert_string_equal(password, want);
    free(password);
}

static void the_first_line_is_the_password(void **state)
{
    (void)state;
    assert_password("echo one", "one");
    assert_password("printf 'no end'", "no end");
    assert_password("printf 'dos\\r\\nmore\\n'", "dos");
    assert_password("printf 'a\\nb\\nc\\n'; exit 0", "a");
    assert_password("echo first; seq 100000", "first");
    assert_password("printf a; sleep 0.05; printf 'b\\n'", "ab");
    assert_password("cat; echo stdin-is-empty", "stdin-is-empty");
}

static void a_background_child_does_not_hold_it_up(void **state)
{
    (void)state;
    int64_t before = clock_boot_ms();
    assert_password("sleep 5 2>/dev/null & echo quick", "quick");
    assert_true(clock_boot_ms() - before < 3000);
}

static void failures_tell_no_secret(void **state)
{
    (void)state;
    const struct {
        const char *command;
        enum fault_exit exit;
        const char *says;
    } row[] = {
        {"echo s3cret; exit 3", FAULT_DENIED, "failed with status 3"},
        {"echo s3cret; kill -9 $$", FAULT_DENIED, "ended by signal 9"},
        {"true", FAULT_DENIED, "printed no password"},
        {"echo; echo s3cret", FAULT_DENIED, "printed no password"},
        {"printf 's3cret%05000d' 1", FAULT_CONFIG, "longer than"},
        {"/nonexistent 2>/dev/null", FAULT_DENIED, "failed with status 127"},
    };
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        char *password = NULL;
        struct fault f;
        assert_true(run(row[i].command, &password, &f) < 0);
        assert_null(password);
        assert_int_equal(f.exit, row[i].exit);
        assert_non_null(strstr(f.text, row[i].says));
        assert_null(strstr(f.text, "s3cret"));
    }
    char *password;
    struct fault f;
    assert_true(run(NULL, &password, &f) < 0);
    assert_int_equal(f.exit, FAULT_CONFIG);
    assert_non_null(strstr(f.text, "set password_command"));
}

/* The whole process group goes: the FIFO that its children hold open reaches its end. */
static void the_limit_ends_command_and_children(void **state)
{
    (void)state;
    char fifo[200], command[500], *password;
    struct fault f = {0};
    snprintf(fifo, sizeof(fifo), "%s/fifo", directory);
    snprintf(command, sizeof(command), "exec 9>'%s'; echo s3cret; sleep 60 & sleep 60", fifo);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    CLEANUP(io_close) int fd = open(fifo, O_RDONLY | O_NONBLOCK);
    struct config_account a = {.name = (char *)"work", .password_command = command};
    assert_int_equal(config_password_run(&a, 300, &password, &f), -ETIMEDOUT);
    assert_int_equal(f.exit, FAULT_AGAIN);
    assert_null(strstr(f.text, "s3cret"));
    struct pollfd end = {.fd = fd};
    assert_int_equal(poll(&end, 1, 5000), 1);
    assert_true(end.revents & POLLHUP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_has_all_defaults),
        cmocka_unit_test(everything_is_understood),
        cmocka_unit_test(every_mistake_is_told_by_line),
        cmocka_unit_test(nul_and_long_lines_are_refused),
        cmocka_unit_test(plaintext_is_for_loopback),
        cmocka_unit_test(a_password_needs_a_private_file),
        cmocka_unit_test(a_missing_file_says_what_to_do),
        cmocka_unit_test(one_data_dir_by_option_is_no_conflict),
        cmocka_unit_test(options_win),
        cmocka_unit_test(settings_tell_where_they_are_from),
        cmocka_unit_test(accounts_are_found_by_name),
        cmocka_unit_test(the_path_follows_the_environment),
        cmocka_unit_test(the_first_line_is_the_password),
        cmocka_unit_test(a_background_child_does_not_hold_it_up),
        cmocka_unit_test(failures_tell_no_secret),
        cmocka_unit_test(the_limit_ends_command_and_children),
    };
    void *state;
    if (check_directory_make(&state) < 0)
        return 1;
    directory = state;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed + check_directory_remove(&state);
}
