#pragma once
/*
 * What every test of the engine stands in: a model of a server, a cache in a temporary directory, and an
 * engine between them, with threads and all; and the comparison of both sides that follows each quiet point.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <stdio.h>
#include <stdlib.h>
#include <errno.h>
#include <cmocka.h>
#include "cache.h"
#include "config.h"
#include "engine.h"
#include "message.h"
#include "mailbox.h"
#include "model.h"
#include "recorder.h"

/* With a sanitizer what repeats a story at each of its steps takes every third one. All of it takes several times as
 * long: deadlines for what must succeed are multiplied. */
#if defined SANITIZER_THREAD
enum { RIG_PATIENCE = 5, RIG_STEP = 3 };
#elif defined SANITIZER_ADDRESS
enum { RIG_PATIENCE = 3, RIG_STEP = 3 };
#else
enum { RIG_PATIENCE = 1, RIG_STEP = 1 };
#endif

struct rig {
    char dir[160], cache_dir[180];
    struct model *model;
    struct model_login login;
    struct record record;
    struct config_account account;
    struct cache *cache;
    struct engine *engine;
};

/* ---- life. All of these fail the test when something does not work. ---- */
void rig_begin(struct rig *r, const struct model_features *f); /* model, directory; nothing runs yet */
void rig_end(struct rig *r);
void rig_open(struct rig *r);          /* cache, work_recover, engine_new; not started */
void rig_start(struct rig *r);         /* rig_open when it is not, and the threads */
void rig_stop(struct rig *r);          /* all of it; rig_start goes on */
int rig_try_start(struct rig *r);      /* as rig_start, for children: no assertions */
void rig_lose_database(struct rig *r); /* while stopped */

/* For cmocka: *state is a struct rig with a model of all features, started. */
int rig_setup(void **state);
int rig_setup_stopped(void **state);
int rig_teardown(void **state);
/* For tests that make static rigs of their own: ends what a failed test left open. */
int rig_end_open(void **state);

/* ---- quiet points ---- */
/* Syncs until both sides agree, breaks of the line included, and compares them. */
void rig_agree(struct rig *r);
bool rig_settles(struct rig *r, int seconds); /* syncs only */
/* Is everything in place: the same mail, flags and mailboxes on both sides, bodies on disk, bases right,
 * nothing pending, nothing dirty? */
void rig_check(struct rig *r);
char *rig_differences(struct rig *r); /* the same in words, the caller's; NULL: none */
/* After rig_agree: another round changes and fetches nothing, and the one after it only reads the tree. For
 * servers that list their numbers. */
void rig_check_quiet(struct rig *r);
/* How often the server has this content, in a mailbox or (NULL) anywhere. */
unsigned rig_copies(struct rig *r, const char *box, const char *wire);
#define rig_assert_once(r, box, wire)                                                                        \
    do {                                                                                                     \
        assert_int_equal(rig_copies(r, box, wire), 1);                                                       \
        assert_int_equal(rig_copies(r, NULL, wire), 1);                                                      \
    } while (0)
/* Compares the operations that changed something since record_clear. */
void rig_assert_changes(struct rig *r, const char *expected);

/* ---- mail with a number: content that is told apart. Strings live until the program ends. ---- */
const char *mail_wire(unsigned n);
const char *mail_file(unsigned n); /* the same with LF */

/* ---- the file side: what fs would do for a client. Ids are rows. ---- */
int64_t file_box(struct rig *r, const char *path); /* fails the test when it is not there */
bool file_has_box(struct rig *r, const char *path);
int64_t file_make_box(struct rig *r, const char *path);
void file_rename_box(struct rig *r, const char *from, const char *to);
void file_remove_box(struct rig *r, const char *path); /* rm -r */

/* Written into tmp, then renamed; at rest for a second already. date_s 0: none. */
int64_t file_deliver(struct rig *r, const char *box, enum sub sub, const char *text, flags_t flags,
                     int64_t date_s);
void file_flag(struct rig *r, int64_t id, flags_t add, flags_t removed);
void file_move(struct rig *r, int64_t id, const char *box);
void file_remove(struct rig *r, int64_t id);
/* Rewritten in place (open, truncate, write, close). */
void file_rewrite(struct rig *r, int64_t id, const char *text);
/* Another file renamed over it (sed -i, most editors): the new row. */
int64_t file_replace(struct rig *r, int64_t id, const char *text);
/* A hard link into a mailbox: a new row. */
int64_t file_copy(struct rig *r, int64_t id, const char *box);

struct message file_row(struct rig *r, int64_t id);
/* The only shown message of a mailbox with this content, 0 when there is none; fails when there are several.
 */
int64_t file_find(struct rig *r, const char *box, const char *text);
unsigned file_count(struct rig *r, const char *box);
bool file_has_content(struct rig *r, int64_t id, const char *text);
void file_assert_content(struct rig *r, int64_t id, const char *text);
flags_t file_keyword(struct rig *r, const char *name);
