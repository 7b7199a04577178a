#pragma once
/*
 * A story for the tests that break things: one person's work with every kind of operation in it, told in two
 * parts, and what must be true in the end, however often the line broke or the program died in between.
 */
#include "rig.h"

/* What the server and the cache hold before; the engine is stopped afterwards. */
void story_begin(struct rig *r, const struct model_features *f);
/* The person's work, with the engine open, running or not. */
void story_work(struct rig *r);
/* Nothing lost, nothing twice. After rig_agree. */
void story_check(struct rig *r);
