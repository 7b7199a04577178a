#pragma once
/*
 * The configuration file: INI by inih, one section an account, all keys checked. Unknown keys, bad values and
 * duplicate keys or sections are errors that name file and line. A line that is indented goes on with the
 * value before it; a comment needs a line of its own. See man/mailmount.5 for the keys. Thread: read once at
 * start, constant afterwards.
 */
#include <stdbool.h>
#include <stdint.h>
#include "fault.h"
#include "log.h"

enum config_tls { CONFIG_TLS_IMPLICIT, CONFIG_TLS_STARTTLS, CONFIG_TLS_NONE };
enum config_auth { CONFIG_AUTH_AUTO, CONFIG_AUTH_PLAIN, CONFIG_AUTH_LOGIN };
enum config_layout { CONFIG_LAYOUT_FS, CONFIG_LAYOUT_MAILDIRPP };
enum config_line_endings { CONFIG_LF, CONFIG_CRLF };
enum config_delete { CONFIG_DELETE_EXPUNGE, CONFIG_DELETE_TRASH };
enum config_events { CONFIG_EVENTS_FULL, CONFIG_EVENTS_DIR, CONFIG_EVENTS_OFF };

#define CONFIG_KEYS 25

enum { CONFIG_DEFAULT = 0, CONFIG_OPTION = -1 };

/* One account. Strings that are not set are NULL. */
struct config_account {
    char *name;       /* the section */
    const char *host; /* NULL only with a tunnel */
    uint16_t port;
    enum config_tls tls;
    bool allow_plaintext;
    const char *ca_file;
    const char *fingerprint; /* "SHA256:" optional, 64 hexadecimal digits with or without colons */
    const char *user, *password, *password_command;
    enum config_auth auth;
    const char *tunnel; /* wins over host */
    enum config_layout layout;

    /* Patterns for fnmatch on UTF-8 paths joined by '/', "!" first excludes; NULL at the end; NULL: all. In
     * the file commas separate them, for names have blanks. */
    char **mailboxes;

    int64_t bodies_s;    /* bodies of mail no older than this come by themselves; INT64_MAX all, 0 none */
    int64_t cache_limit; /* octets that bodies may take on disk; 0: no limit */
    enum config_line_endings line_endings;
    enum config_delete deletion;
    int64_t keep_deleted_s;
    struct config_brake { /* removals of more than that share and that number at once are held (case 75) */
        bool off;
        unsigned percent, count;
    } brake;
    unsigned poll_s; /* between polls */
    bool idle;
    unsigned connections;
    enum config_events events; /* what inotify tells of changes that come from the server */
    const char *data_dir;      /* absolute */
    enum log_level log_level;

    /* By key: its value as text, with paths expanded, or NULL. The const strings above point into these. */
    char *text[CONFIG_KEYS];
    int origin[CONFIG_KEYS]; /* by key: the line in the file, CONFIG_DEFAULT or CONFIG_OPTION */
    const char *path;        /* of the file; struct config owns it */
    int line;                /* of the section */
};

/* One setting with where it came from, for `mailmount config`. */
struct config_setting {
    const char *key;
    char *value;  /* secrets as "set" */
    char *origin; /* "default", "FILE:LINE" or "-o" */
};

struct config {
    char *path; /* of the file read */
    struct config_account *account;
    unsigned accounts;
};

/* Which file: argument, else MAILMOUNT_CONFIG, else $XDG_CONFIG_HOME/mailmount/config, else
 * ~/.config/mailmount/config. Caller frees; NULL without memory. */
char *config_path(const char *argument);

/* Reads and checks the file. overrides: NULL-terminated "key=value" from -o, applied to every account (may be
 * NULL). */
int config_read(const char *path, const char *const *overrides, struct config *ret, struct fault *f);
void config_finish(struct config *c);

/* The account by name; name may be NULL when there is exactly one. */
int config_find(const struct config *c, const char *name, const struct config_account **ret, struct fault *f);

/* All settings in force of an account, NULL key at the end, in the order of the manual. Freed by
 * config_settings_free. */
struct config_setting *config_settings(const struct config_account *a);
void config_settings_free(struct config_setting *s);

/* Is this "key=value" (or "key") one of ours, rather than a FUSE option? */
bool config_is_key(const char *option);

/* The password: password, or the first line of password_command's output (run by /bin/sh, at most 30 s).
 * Caller frees, after wiping. */
int config_password(const struct config_account *a, char **ret, struct fault *f);
