#pragma once
/*
 * Two people without a plan: one works in the mount, one on the server, and the line breaks now and then.
 * What they do is a test's own; here is what all such tests have in common. After each pause both sides hold
 * the same, and every message that nobody removed is there exactly once.
 *
 * RIG_SEED=n runs one seed; a failing run prints its own, and what was done.
 */
#include "rig.h"

enum { CHANCE_MAILS = 600, CHANCE_LINES = 400 };

struct chance {
    struct rig r;
    uint64_t random;
    unsigned mails;           /* numbers given out so far, from 1 on */
    char alive[CHANCE_MAILS]; /* 1: must be there once; 0: somebody removed it, or it was replaced */
    char text[CHANCE_LINES][160];
    unsigned n_text;
};

struct chance_plan {
    unsigned steps, actions;
    bool halves; /* trouble may strike in the middle of an operation */
    void (*here)(struct chance *c), (*there)(struct chance *c); /* one thing that somebody does */
    void (*tell)(struct chance *c);                             /* of a failing run, more; or NULL */
};

unsigned chance_roll(struct chance *c, unsigned below);
/* What is being done, for who must find out why it failed. */
__attribute__((format(printf, 2, 3))) void chance_note(struct chance *c, const char *format, ...);
unsigned chance_new_mail(struct chance *c); /* a number: mail_wire, mail_file */
unsigned chance_number_of(const char *text);
unsigned chance_number_here(struct chance *c, int64_t id); /* fails the test when nobody wrote that */

/* Mailboxes that are there at first; model and rig are ended in the end. */
void chance_live(struct chance *c, uint64_t seed, const struct model_features *f, const struct chance_plan *p,
                 void (*furnish)(struct chance *c));
/* Calls live for each seed of a part, or for RIG_SEED; with MAILMOUNT_LONG for many more. */
void chance_seeds(unsigned part, unsigned seeds, void (*live)(uint64_t seed));
