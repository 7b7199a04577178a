#include "config_keys.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const no_yes[] = {"no", "yes", NULL};
static const char *const tls_names[] = {"implicit", "starttls", "none", NULL};
static const char *const auth_names[] = {"auto", "plain", "login", NULL};
static const char *const layout_names[] = {"fs", "maildir++", NULL};
static const char *const line_ending_names[] = {"lf", "crlf", NULL};
static const char *const delete_names[] = {"expunge", "trash", NULL};
static const char *const events_names[] = {"full", "dir", "off", NULL};
static const char *const level_names[] = {"error", "warning", "info", "debug", NULL};

static void *member(const struct config_key *key, struct config_account *a)
{
    return (char *)a + key->offset;
}

static int choice(const struct config_key *key, const char *value)
{
    for (int i = 0; key->choices[i]; i++)
        if (strcmp(value, key->choices[i]) == 0)
            return i;
    return -EINVAL;
}

static int set_choice(const struct config_key *key, struct config_account *a, char **text)
{
    int i = choice(key, *text);
    if (i < 0)
        return i;
    /* All enumerations of struct config_account are of the size of int. */
    memcpy(member(key, a), &i, sizeof(i));
    return 0;
}

static int set_yes_no(const struct config_key *key, struct config_account *a, char **text)
{
    int i = choice(key, *text);
    if (i < 0)
        return i;
    *(bool *)member(key, a) = i;
    return 0;
}

static int set_text(const struct config_key *key, struct config_account *a, char **text)
{
    *(const char **)member(key, a) = *text;
    return 0;
}

/* A path: "~/" is the home directory, and anything else that is not absolute is refused, for where would it
 * begin? */
static int set_path(const struct config_key *key, struct config_account *a, char **text)
{
    if (strncmp(*text, "~/", 2) == 0) {
        const char *home = getenv("HOME");
        char *path;
        if (!home || *home != '/')
            return -EINVAL;
        if (asprintf(&path, "%s/%s", home, *text + 2) < 0)
            return -ENOMEM;
        free(*text);
        *text = path;
    }
    return **text == '/' ? set_text(key, a, text) : -EINVAL;
}

/* Digits alone, at most nine, so that no sum or product of them overflows 64 bits. Advances *at behind them.
 */
static int read_number(const char **at, unsigned *ret)
{
    size_t digits = strspn(*at, "0123456789");
    if (digits == 0 || digits > 9)
        return -EINVAL;
    *ret = (unsigned)strtoul(*at, NULL, 10);
    *at += digits;
    return 0;
}

static int set_number(const struct config_key *key, struct config_account *a, char **text)
{
    const char *at = *text;
    unsigned number;
    if (read_number(&at, &number) < 0 || *at || number < key->least || number > key->most)
        return -EINVAL;
    *(unsigned *)member(key, a) = number;
    return 0;
}

static int set_port(const struct config_key *key, struct config_account *a, char **text)
{
    const char *at = *text;
    unsigned number;
    if (read_number(&at, &number) < 0 || *at || number < key->least || number > key->most)
        return -EINVAL;
    a->port = (uint16_t)number;
    return 0;
}

/* SHA-256 in hexadecimal, as openssl prints it ("SHA256:" or not, colons or not). */
static int set_fingerprint(const struct config_key *key, struct config_account *a, char **text)
{
    const char *at = *text;
    unsigned digits = 0;
    if (strncasecmp(at, "SHA256:", 7) == 0)
        at += 7;
    for (; *at; at++) {
        if (isxdigit((unsigned char)*at))
            digits++;
        else if (*at != ':' || digits % 2 != 0)
            return -EINVAL;
    }
    return digits == 64 ? set_text(key, a, text) : -EINVAL;
}

/* "30d", "12h", or "0". */
static int set_keep_deleted(const struct config_key *key, struct config_account *a, char **text)
{
    (void)key;
    const char *at = *text;
    unsigned number;
    if (read_number(&at, &number) < 0)
        return -EINVAL;
    int64_t unit = strcmp(at, "d") == 0 ? 86400 : strcmp(at, "h") == 0 ? 3600 : 0;
    if (unit == 0 && (number != 0 || *at))
        return -EINVAL;
    a->keep_deleted_s = number * unit;
    return 0;
}

/* "all", "recent:30", or "on-demand". */
static int set_bodies(const struct config_key *key, struct config_account *a, char **text)
{
    (void)key;
    static const char prefix[] = "recent:";
    bool recent = strncmp(*text, prefix, sizeof prefix - 1) == 0;
    const char *at = *text + (recent ? sizeof prefix - 1 : 0);
    unsigned days;
    if (strcmp(*text, "all") == 0)
        a->bodies_s = INT64_MAX;
    else if (strcmp(*text, "on-demand") == 0)
        a->bodies_s = 0;
    else if (recent && read_number(&at, &days) == 0 && !*at && days)
        a->bodies_s = (int64_t)days * 86400;
    else
        return -EINVAL;
    return 0;
}

#define SIZE_MOST 1000000 /* of any unit: the product fits */

/* "500M", "20G", "1T", in thousands as disks are sold, or "none". */
static int set_size(const struct config_key *key, struct config_account *a, char **text)
{
    static const char units[] = "MGT";
    const char *at = *text;
    unsigned number;
    int64_t octets = 0;
    if (strcmp(at, "none") != 0) {
        if (read_number(&at, &number) < 0 || number == 0 || number > SIZE_MOST || !*at || at[1] ||
            !strchr(units, *at))
            return -EINVAL;
        octets = number;
        for (const char *unit = units; unit <= strchr(units, *at); unit++)
            octets *= unit == units ? 1000000 : 1000;
    }
    *(int64_t *)member(key, a) = octets;
    return 0;
}

/* "25%/100", or "off". */
static int set_brake(const struct config_key *key, struct config_account *a, char **text)
{
    (void)key;
    const char *at = *text;
    struct config_brake brake = {.off = strcmp(at, "off") == 0};
    if (!brake.off) {
        if (read_number(&at, &brake.percent) < 0 || brake.percent > 100 || strncmp(at, "%/", 2) != 0)
            return -EINVAL;
        at += 2;
        if (read_number(&at, &brake.count) < 0 || *at)
            return -EINVAL;
    }
    a->brake = brake;
    return 0;
}

static void free_list(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

/* The text between two commas without the blanks around it. */
static char *trimmed(const char *text, size_t length)
{
    for (; length > 0 && isspace((unsigned char)*text); length--)
        text++;
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        length--;
    return strndup(text, length);
}

static int set_mailboxes(const struct config_key *key, struct config_account *a, char **text)
{
    (void)key;
    size_t n = 1;
    for (const char *c = *text; *c; c++)
        n += *c == ',';
    char **list = calloc(n + 1, sizeof(*list));
    if (!list)
        return -ENOMEM;
    const char *at = *text;
    for (size_t i = 0; i < n; i++) {
        size_t length = strcspn(at, ",");
        list[i] = trimmed(at, length);
        bool empty = list[i] && (!*list[i] || strcmp(list[i], "!") == 0);
        if (!list[i] || empty) {
            free_list(list);
            return empty ? -EINVAL : -ENOMEM;
        }
        at += length + 1;
    }
    free_list(a->mailboxes);
    a->mailboxes = list;
    return 0;
}

#define AT(field) .offset = offsetof(struct config_account, field)
#define PATH "an absolute path or one that begins with ~/"

const struct config_key config_keys[CONFIG_KEYS] = {
    [KEY_HOST] = {"host", NULL, NULL, set_text, AT(host)},
    [KEY_PORT] = {"port", NULL, "a number from 1 to 65535", set_port, .least = 1, .most = 65535},
    [KEY_TLS] = {"tls", "implicit", "one of: implicit, starttls, none", set_choice, AT(tls), tls_names},
    [KEY_ALLOW_PLAINTEXT] = {"allow_plaintext", "no", "one of: yes, no", set_yes_no, AT(allow_plaintext),
                             no_yes},
    [KEY_CA_FILE] = {"ca_file", NULL, PATH, set_path, AT(ca_file)},
    [KEY_FINGERPRINT] = {"fingerprint", NULL, "a SHA-256 fingerprint of 64 hexadecimal digits",
                         set_fingerprint, AT(fingerprint)},
    [KEY_USER] = {"user", NULL, NULL, set_text, AT(user)},
    [KEY_PASSWORD] = {"password", NULL, NULL, set_text, AT(password), .secret = true},
    [KEY_PASSWORD_COMMAND] = {"password_command", NULL, NULL, set_text, AT(password_command)},
    [KEY_AUTH] = {"auth", "auto", "one of: auto, plain, login", set_choice, AT(auth), auth_names},
    [KEY_TUNNEL] = {"tunnel", NULL, NULL, set_text, AT(tunnel)},
    [KEY_LAYOUT] = {"layout", "fs", "one of: fs, maildir++", set_choice, AT(layout), layout_names},
    [KEY_MAILBOXES] = {"mailboxes", NULL, "a list of patterns with commas between them", set_mailboxes,
                       AT(mailboxes)},
    [KEY_BODIES] = {"bodies", "all", "one of: all, recent:DAYS, on-demand", set_bodies, AT(bodies_s)},
    [KEY_CACHE_LIMIT] = {"cache_limit", "none", "a size such as 500M, 20G or 1T, or none", set_size,
                         AT(cache_limit)},
    [KEY_LINE_ENDINGS] = {"line_endings", "lf", "one of: lf, crlf", set_choice, AT(line_endings),
                          line_ending_names},
    [KEY_DELETE] = {"delete", "expunge", "one of: expunge, trash", set_choice, AT(deletion), delete_names},
    [KEY_KEEP_DELETED] = {"keep_deleted", "30d", "a time such as 30d, 12h or 0", set_keep_deleted,
                          AT(keep_deleted_s)},
    [KEY_BRAKE] = {"brake", "25%/100", "a share and a number such as 25%/100, or off", set_brake, AT(brake)},
    [KEY_POLL] = {"poll", "60", "a number of seconds from 1 to 86400", set_number, AT(poll_s), .least = 1,
                  .most = 86400},
    [KEY_IDLE] = {"idle", "yes", "one of: yes, no", set_yes_no, AT(idle), no_yes},
    [KEY_CONNECTIONS] = {"connections", "4", "a number from 1 to 32", set_number, AT(connections), .least = 1,
                         .most = 32},
    [KEY_EVENTS] = {"events", "full", "one of: full, dir, off", set_choice, AT(events), events_names},
    [KEY_DATA_DIR] = {"data_dir", NULL, PATH, set_path, AT(data_dir)},
    [KEY_LOG_LEVEL] = {"log_level", "info", "one of: error, warning, info, debug", set_choice, AT(log_level),
                       level_names},
};

int config_key_find(const char *name, size_t length)
{
    for (int key = 0; key < CONFIG_KEYS; key++)
        if (strlen(config_keys[key].name) == length && memcmp(config_keys[key].name, name, length) == 0)
            return key;
    return -1;
}

int config_key_set(struct config_account *a, int key, char *value, int origin)
{
    free(a->text[key]);
    a->text[key] = value;
    a->origin[key] = origin;
    if (!*value)
        return -EINVAL;
    return config_keys[key].set(&config_keys[key], a, &a->text[key]);
}
