#pragma once
/*
 * The keys of the configuration: what each may hold, its default, and where it goes in struct config_account.
 * Private to config*.c.
 */
#include "config.h"
#include <stddef.h>

enum config_key_number {
    KEY_HOST,
    KEY_PORT,
    KEY_TLS,
    KEY_ALLOW_PLAINTEXT,
    KEY_CA_FILE,
    KEY_FINGERPRINT,
    KEY_USER,
    KEY_PASSWORD,
    KEY_PASSWORD_COMMAND,
    KEY_AUTH,
    KEY_TUNNEL,
    KEY_LAYOUT,
    KEY_MAILBOXES,
    KEY_BODIES,
    KEY_CACHE_LIMIT,
    KEY_LINE_ENDINGS,
    KEY_DELETE,
    KEY_KEEP_DELETED,
    KEY_BRAKE,
    KEY_POLL,
    KEY_IDLE,
    KEY_CONNECTIONS,
    KEY_EVENTS,
    KEY_DATA_DIR,
    KEY_LOG_LEVEL,
};

/* One key. set checks a value and stores what it means: 0, -EINVAL (the value is not `expected`), or -ENOMEM.
 * It may replace a->text[key], which is the value; pointers in the account point into that. */
struct config_key {
    const char *name;
    const char *standard; /* the default as text; NULL for none, or one that depends on other keys */
    const char *expected; /* continues the sentence "'x' is not ..." */
    int (*set)(const struct config_key *key, struct config_account *a, char **text);
    size_t offset;              /* of the member, for the general setters */
    const char *const *choices; /* of set_choice, in the order of the enum; NULL at the end */
    unsigned least, most;       /* of set_number */
    bool secret;
};

extern const struct config_key config_keys[CONFIG_KEYS];

/* The number of a key, or -1. */
int config_key_find(const char *name, size_t length);

/* Stores value, which the account owns from now on also when it is refused, as the text of a key and what it
 * means. */
int config_key_set(struct config_account *a, int key, char *value, int origin);

/* config_password for an account with a password_command, at another limit: for tests, which have no 30 s. */
int config_password_run(const struct config_account *a, unsigned limit_ms, char **ret, struct fault *f);
