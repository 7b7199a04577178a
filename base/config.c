#include "config_keys.h"
#include "buf.h"
#include "io.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * inih splits lines into keys and values; it does not tell their numbers, and it is lenient where a mistake
 * ought to be seen: lines that are too long are split, comments may follow values and cut them (`sh -c 'a ;
 * b'`), sections may come twice or be empty. So it reads through a reader of our own, which counts lines,
 * opens an account at each section, and refuses all of that.
 *
 * Values are collected as text first, for a value may be continued on indented lines, and given their meaning
 * at the end.
 */
enum {
    CONFIG_NAME_MAX = 49, /* inih cuts longer section names */
    CONFIG_LINE_MAX = 8000,
};

struct reading {
    FILE *file;
    char *line_text; /* of getline */
    size_t line_cap;
    int line;
    bool continued; /* this line goes on with the value of last_key */
    int last_key;   /* in the current account, or -1 */
    mode_t mode;    /* of the file */
    struct config *config;
    struct fault *fault; /* never NULL; reading stops once it is set */
};

__attribute__((format(printf, 2, 3))) static int complain(struct reading *r, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return fault_set(r->fault, FAULT_CONFIG, -EINVAL, "%s:%d: %s", r->config->path, r->line, text);
}

static int out_of_memory(struct fault *f)
{
    return fault_set(f, FAULT_IO, -ENOMEM, "configuration: out of memory");
}

static struct config_account *current(const struct reading *r)
{
    return r->config->accounts ? &r->config->account[r->config->accounts - 1] : NULL;
}

/* ---- Lines ---- */

static int check_account_name(struct reading *r, const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > CONFIG_NAME_MAX)
        return complain(r, "an account's name has 1 to %d octets", CONFIG_NAME_MAX);
    if (strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return complain(r, "'%s' cannot be the name of an account: it names a directory, too", name);
    if (isspace((unsigned char)name[0]) || isspace((unsigned char)name[length - 1]))
        return complain(r, "'%s' begins or ends with a blank", name);
    for (unsigned i = 0; i < r->config->accounts; i++)
        if (strcmp(r->config->account[i].name, name) == 0)
            return complain(r, "[%s] is already there in line %d", name, r->config->account[i].line);
    return 0;
}

static int add_account(struct reading *r, const char *name)
{
    struct config *c = r->config;
    struct config_account *grown = reallocarray(c->account, c->accounts + 1, sizeof(*grown));
    if (!grown)
        return out_of_memory(r->fault);
    c->account = grown;
    char *copy = strdup(name);
    if (!copy)
        return out_of_memory(r->fault);
    c->account[c->accounts++] = (struct config_account){.name = copy, .line = r->line, .path = c->path};
    r->last_key = -1;
    return 0;
}

/* "[name]". What inih would not find in it, a closing bracket, is left to its own complaint. */
static int open_section(struct reading *r, const char *line)
{
    const char *end = strchr(line, ']');
    if (!end)
        return 0;
    if (end[1 + strspn(end + 1, " \t\r\n")])
        return complain(r, "there is something after the ']'");
    char name[CONFIG_NAME_MAX + 2];
    snprintf(name, sizeof(name), "%.*s", (int)(end - line - 1), line + 1);
    int err = check_account_name(r, name);
    return err < 0 ? err : add_account(r, name);
}

/* Looks at a line before inih does. */
static int check_line(struct reading *r, const char *line, size_t length, size_t max)
{
    const char *text = line + strspn(line, " \t");
    if (strlen(line) != length)
        return complain(r, "there is a NUL octet in this line");
    if (length >= max || length > CONFIG_LINE_MAX)
        return complain(r, "this line is too long (go on in the next one, indented)");
    r->continued = text > line && !strchr(";#\r\n", *text);
    if (!*text || strchr(";#\r\n", *text))
        return 0;
    if (r->continued && r->last_key < 0)
        return complain(r, "an indented line goes on with the value before it, and there is none");
    if (strstr(text, " ;") || strstr(text, "\t;"))
        return complain(r, "a comment needs a line of its own (' ;' would cut the value here)");
    return *line == '[' ? open_section(r, line) : 0;
}

/* The ini_reader: one line into str, or NULL at the end and after a fault. */
static char *read_line(char *str, int num, void *stream)
{
    struct reading *r = stream;
    if (r->fault->err)
        return NULL;
    ssize_t length = getline(&r->line_text, &r->line_cap, r->file);
    if (length < 0) {
        if (ferror(r->file))
            fault_set(r->fault, FAULT_CONFIG, -EIO, "%s: cannot be read", r->config->path);
        return NULL;
    }
    r->line++;
    if (check_line(r, r->line_text, (size_t)length, (size_t)num) < 0)
        return NULL;
    return memcpy(str, r->line_text, (size_t)length + 1);
}

/* ---- Keys and values ---- */

static int continue_value(struct reading *r, const char *value)
{
    char **text = &current(r)->text[r->last_key], *joined;
    if (asprintf(&joined, "%s %s", *text, value) < 0)
        return out_of_memory(r->fault);
    free(*text);
    *text = joined;
    return 0;
}

static int add_value(struct reading *r, const char *name, const char *value)
{
    struct config_account *a = current(r);
    int key = config_key_find(name, strlen(name));
    if (!a)
        return complain(r, "'%s' stands before the first [account]", name);
    if (key < 0)
        return complain(r, "unknown key '%s'", name);
    if (a->origin[key] != CONFIG_DEFAULT)
        return complain(r, "'%s' is already there in line %d", name, a->origin[key]);
    if (key == KEY_PASSWORD && (r->mode & 077))
        return complain(
            r, "others can read this file, and it holds a password (chmod 600 it, or use password_command)");
    a->text[key] = strdup(value);
    if (!a->text[key])
        return out_of_memory(r->fault);
    a->origin[key] = r->line;
    r->last_key = key;
    return 0;
}

/* The ini_handler: 0 is failure there. */
static int take_value(void *user, const char *section, const char *name, const char *value)
{
    struct reading *r = user;
    (void)section;
    if (r->fault->err)
        return 0;
    return (r->continued ? continue_value(r, value) : add_value(r, name, value)) == 0;
}

static int read_lines(struct reading *r)
{
#ifdef CONFIG_INIH_TUNABLE
    /* Debian's inih lets a program choose what is fixed at build time elsewhere: 200 octets is short for a
     * command. */
    ini_use_stack = false;
    ini_initial_alloc = ini_max_line = CONFIG_LINE_MAX + 2;
#endif
    int line = ini_parse_stream(read_line, r, take_value, r);
    if (line == -2)
        return out_of_memory(r->fault);
    bool syntax = line > 0 && (!r->fault->err || line < r->line);
    if (syntax) {
        r->line = line;
        return complain(r, "this is neither 'key = value' nor '[account]'");
    }
    return r->fault->err;
}

static int read_file(struct config *c, struct fault *f)
{
    CLEANUP(io_close) int fd = open(c->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat st;
    if (fd < 0 && errno == ENOENT)
        return fault_set(f, FAULT_CONFIG, -ENOENT,
                         "%s: no such file (write one, see mailmount(5), or name another one with -c)",
                         c->path);
    if (fd < 0 || fstat(fd, &st) < 0)
        return fault_set(f, FAULT_CONFIG, -errno, "%s: %s", c->path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return fault_set(f, FAULT_CONFIG, -EISDIR, "%s: this is a directory (name a file)", c->path);
    struct reading r = {.config = c, .fault = f, .mode = st.st_mode, .last_key = -1, .file = fdopen(fd, "r")};
    if (!r.file)
        return out_of_memory(f);
    fd = -1;
    int err = read_lines(&r);
    fclose(r.file);
    if (r.line_text)
        explicit_bzero(r.line_text, r.line_cap);
    free(r.line_text);
    if (err == 0 && c->accounts == 0)
        err = fault_set(f, FAULT_CONFIG, -EINVAL,
                        "%s: no account in it (begin one with a line such as [work])", c->path);
    return err;
}

/* ---- Meaning ---- */

/* Says what is wrong with the value of a key. Never called for a secret that has a value: any text will do
 * for those. */
static int refuse(const struct config_account *a, int key, int origin, const char *value, struct fault *f)
{
    const struct config_key *k = &config_keys[key];
    char why[300];
    if (*value)
        snprintf(why, sizeof(why), "'%s' is not %s", value, k->expected);
    else
        snprintf(why, sizeof(why), "a value is missing");
    if (origin == CONFIG_OPTION)
        return fault_set(f, FAULT_USAGE, -EINVAL, "-o %s: %s", k->name, why);
    return fault_set(f, FAULT_CONFIG, -EINVAL, "%s:%d: %s: %s", a->path, origin, k->name, why);
}

/* Gives the text of one key, which the account owns from now on, its meaning. NULL is a text there was no
 * memory for. */
static int set_key(struct config_account *a, int key, char *value, int origin, struct fault *f)
{
    if (!value)
        return out_of_memory(f);
    int err = config_key_set(a, key, value, origin);
    if (err == -ENOMEM)
        return out_of_memory(f);
    return err < 0 ? refuse(a, key, origin, a->text[key], f) : 0;
}

static int set_given_and_defaults(struct config_account *a, struct fault *f)
{
    for (int key = 0; key < CONFIG_KEYS; key++) {
        char *given = a->text[key];
        const char *standard = config_keys[key].standard;
        a->text[key] = NULL;
        if (!given && !standard)
            continue;
        int err = set_key(a, key, given ? given : strdup(standard), a->origin[key], f);
        if (err < 0)
            return err;
    }
    return 0;
}

static int set_option(struct config_account *a, const char *option, struct fault *f)
{
    size_t length = strcspn(option, "=");
    int key = config_key_find(option, length);
    if (key < 0)
        return fault_set(f, FAULT_USAGE, -EINVAL, "-o %.*s: unknown option", (int)length, option);
    if (key == KEY_PASSWORD)
        return fault_set(f, FAULT_USAGE, -EINVAL,
                         "-o password: everyone could see it (use password_command)");
    if (!option[length])
        return fault_set(f, FAULT_USAGE, -EINVAL, "-o %s: a value is missing (%s=VALUE)", option, option);
    return set_key(a, key, strdup(option + length + 1), CONFIG_OPTION, f);
}

/* The defaults that depend on other keys. */
static int set_derived(struct config_account *a, struct fault *f)
{
    if (!a->text[KEY_PORT]) {
        int err =
            set_key(a, KEY_PORT, strdup(a->tls == CONFIG_TLS_IMPLICIT ? "993" : "143"), CONFIG_DEFAULT, f);
        if (err < 0)
            return err;
    }
    if (a->data_dir)
        return 0;
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    bool own = data && *data == '/';
    if (!own && (!home || *home != '/'))
        return fault_set(f, FAULT_CONFIG, -EINVAL, "%s:%d: no place for [%s]: HOME is not set (set data_dir)",
                         a->path, a->line, a->name);
    char *path;
    if (asprintf(&path, "%s%s/mailmount/%s", own ? data : home, own ? "" : "/.local/share", a->name) < 0)
        return out_of_memory(f);
    return set_key(a, KEY_DATA_DIR, path, CONFIG_DEFAULT, f);
}

static bool is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return strcasecmp(host, "localhost") == 0;
}

static int check_account(const struct config_account *a, struct fault *f)
{
    const char *why = NULL;
    int line = a->line;
    if (!a->host && !a->tunnel)
        why = "neither host nor tunnel is set (host = imap.example.org)";
    else if (!a->user && !a->tunnel)
        why = "user is not set (user = me@example.org)";
    else if (a->password && a->password_command)
        why = "password and password_command are both set (keep one)";
    else if (a->tls == CONFIG_TLS_NONE && !a->tunnel && !a->allow_plaintext && !is_loopback(a->host)) {
        why = "tls = none would send the password in the clear (use implicit or starttls, or set "
              "allow_plaintext = yes)";
        line = a->origin[KEY_TLS] > 0 ? a->origin[KEY_TLS] : line;
    }
    if (!why)
        return 0;
    return fault_set(f, FAULT_CONFIG, -EINVAL, "%s:%d: [%s]: %s", a->path, line, a->name, why);
}

/* Two accounts in one directory would destroy each other's cache. An option is for the one account that the
 * command is about, though all get it here. */
static int check_data_dirs(const struct config *c, struct fault *f)
{
    for (unsigned i = 0; i < c->accounts; i++)
        for (unsigned j = 0; j < i; j++) {
            const struct config_account *a = &c->account[i], *b = &c->account[j];
            if (a->origin[KEY_DATA_DIR] != CONFIG_OPTION && strcmp(a->data_dir, b->data_dir) == 0)
                return fault_set(f, FAULT_CONFIG, -EINVAL,
                                 "%s:%d: [%s] has the data_dir of [%s] (each needs its own)", a->path,
                                 a->line, a->name, b->name);
        }
    return 0;
}

static int finish_account(struct config_account *a, const char *const *overrides, struct fault *f)
{
    int err = set_given_and_defaults(a, f);
    for (size_t i = 0; err == 0 && overrides && overrides[i]; i++)
        err = set_option(a, overrides[i], f);
    if (err == 0)
        err = set_derived(a, f);
    return err == 0 ? check_account(a, f) : err;
}

/* ---- The interface ---- */

char *config_path(const char *argument)
{
    const char *variable = getenv("MAILMOUNT_CONFIG"), *xdg = getenv("XDG_CONFIG_HOME"),
               *home = getenv("HOME");
    char *path;
    if (argument || (variable && *variable))
        return strdup(argument ? argument : variable);
    int n = xdg && *xdg == '/' ? asprintf(&path, "%s/mailmount/config", xdg)
                               : asprintf(&path, "%s/.config/mailmount/config", home ? home : "");
    return n < 0 ? NULL : path;
}

int config_read(const char *path, const char *const *overrides, struct config *ret, struct fault *f)
{
    struct fault unwanted;
    f = f ? f : &unwanted;
    *f = (struct fault){0};
    struct config c = {.path = strdup(path)};
    int err = c.path ? read_file(&c, f) : out_of_memory(f);
    for (unsigned i = 0; err == 0 && i < c.accounts; i++)
        err = finish_account(&c.account[i], overrides, f);
    if (err == 0)
        err = check_data_dirs(&c, f);
    if (err < 0) {
        config_finish(&c);
        return err;
    }
    *ret = c;
    return 0;
}

static void finish_one(struct config_account *a)
{
    for (int key = 0; key < CONFIG_KEYS; key++) {
        if (a->text[key] && config_keys[key].secret)
            explicit_bzero(a->text[key], strlen(a->text[key]));
        free(a->text[key]);
    }
    for (size_t i = 0; a->mailboxes && a->mailboxes[i]; i++)
        free(a->mailboxes[i]);
    free(a->mailboxes);
    free(a->name);
}

void config_finish(struct config *c)
{
    for (unsigned i = 0; i < c->accounts; i++)
        finish_one(&c->account[i]);
    free(c->account);
    free(c->path);
    *c = (struct config){0};
}

int config_find(const struct config *c, const char *name, const struct config_account **ret, struct fault *f)
{
    struct buf names = {0};
    for (unsigned i = 0; i < c->accounts; i++) {
        if (name ? strcmp(c->account[i].name, name) == 0 : c->accounts == 1) {
            *ret = &c->account[i];
            buf_finish(&names);
            return 0;
        }
        buf_addf(&names, "%s%s", i ? ", " : "", c->account[i].name);
    }
    const char *list = names.data ? names.data : "none";
    int err = name ? fault_set(f, FAULT_USAGE, -ENOENT, "%s: no such account in %s (there is: %s)", name,
                               c->path, list)
                   : fault_set(f, FAULT_USAGE, -EINVAL, "which account? (there is: %s)", list);
    buf_finish(&names);
    return err;
}

static char *origin_text(const struct config_account *a, int key)
{
    char *text;
    int origin = a->origin[key];
    if (origin == CONFIG_DEFAULT || origin == CONFIG_OPTION)
        return strdup(origin == CONFIG_OPTION ? "-o" : "default");
    return asprintf(&text, "%s:%d", a->path, origin) < 0 ? NULL : text;
}

struct config_setting *config_settings(const struct config_account *a)
{
    struct config_setting *list = calloc(CONFIG_KEYS + 1, sizeof(*list));
    for (int key = 0; list && key < CONFIG_KEYS; key++) {
        const char *text = a->text[key] ? a->text[key] : "";
        list[key].key = config_keys[key].name;
        list[key].value = strdup(config_keys[key].secret && *text ? "set" : text);
        list[key].origin = origin_text(a, key);
        if (!list[key].value || !list[key].origin) {
            config_settings_free(list);
            return NULL;
        }
    }
    return list;
}

void config_settings_free(struct config_setting *s)
{
    for (struct config_setting *at = s; at && at->key; at++) {
        free(at->value);
        free(at->origin);
    }
    free(s);
}

bool config_is_key(const char *option)
{
    return config_key_find(option, strcspn(option, "=")) >= 0;
}
