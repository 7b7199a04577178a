#pragma once
/* The model's inside: what model.c (the server and its other clients) and model_session.c (its sessions)
 * share. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "model.h"

#define MODEL_BOXES 256
#define MODEL_NAME 256

struct model_body {
    size_t size;
    int64_t message_id;
    char octets[];
};

struct model_message {
    uint32_t uid;
    flags_t flags;
    uint64_t modseq;
    const struct model_body *body;
    int64_t date_s;
    int zone_min;
};

struct model_expunged {
    uint32_t uid;
    uint64_t modseq;
};

struct model_box {
    bool used;
    char name[MODEL_NAME];
    char id[16]; /* MAILBOXID */
    unsigned attributes;
    uint32_t uidvalidity, uidnext;
    uint64_t modseq;
    flags_t permanent; /* the model's numbering */
    bool keywords_allowed, read_only;
    char root; /* its quota root, 0 none */
    bool full;
    flags_t dropped, refused;      /* by STORE and APPEND: not stored, for all that it says; refused */
    struct model_message *message; /* in order of uid */
    size_t n, cap;
    struct model_expunged *expunged;
    size_t n_expunged, cap_expunged;
};

struct model {
    pthread_mutex_t lock;   /* shared between processes; protects all that follows but features */
    pthread_cond_t changed; /* watching sessions wait here */
    struct model_features features;
    size_t used; /* of the mapping */
    uint64_t modseq;
    uint32_t next_uidvalidity;
    char keyword[FLAGS_KEYWORDS_MAX][64];
    unsigned keywords;
    struct model_box box[MODEL_BOXES];
    struct model_trouble trouble;
    bool struck, down;
    unsigned hook_events, hook_nth;
    void (*hook)(void *arg);
    void *hook_arg;
    unsigned operations, refused, ids;
    int64_t append_limit;
    uint32_t withheld; /* bodies of UIDs from here on never come; 0: all do */
};

/* All of these are called with the lock held. */
void *model_alloc(struct model *m, size_t size); /* given back with the model only */
struct model_box *model_box(struct model *m, const char *name);
struct model_message *model_message(struct model_box *b, uint32_t uid);
struct model_body *model_new_body(struct model *m, size_t size); /* the octets are to be filled in */
void model_body_filled(struct model_body *body);
uint32_t model_add(struct model *m, struct model_box *b, const struct model_message *like);
void model_set_flags(struct model *m, struct model_box *b, struct model_message *msg, flags_t flags);
void model_take_out(struct model *m, struct model_box *b, uint32_t uid);
struct model_box *model_add_box(struct model *m, const char *name);
bool model_rename_box(struct model *m, const char *from, const char *to);
void model_drop_box(struct model *m, struct model_box *b);
unsigned model_keyword_bit(struct model *m, const char *name);
flags_t model_storable(const struct model_box *b);
