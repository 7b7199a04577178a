#pragma once
/* What the files of a session with the model share. */
#include "model_state.h"

struct session {
    struct worker worker;
    struct model *m;
    struct keywords *keywords;
    atomic_bool cancelled;
    bool connected, dead, watched;
    uint64_t watch_modseq;
    uint64_t commands, octets_in, octets_out;
};

static inline struct session *session_of(struct worker *w)
{
    return (struct session *)w;
}

/* Of the account's numbering, in the model's. */
flags_t session_flags_in(struct session *s, flags_t account);

/* Locks; when the result is not WORKER_DONE the lock is not held, and the operation is over. *ret_struck: the
 * trouble that was planned is here, and *t says how. */
enum worker_result session_begin(struct session *s, enum model_event event, struct model_trouble *t,
                                 bool *ret_struck);
/* The blow itself; the lock is held, and given back unless the process ends. */
enum worker_result session_blow(struct session *s, const struct model_trouble *t, enum worker_result unclean);
/* Unlocks. */
enum worker_result session_leave(struct session *s, enum worker_result r);

/* worker.h, apply. */
enum worker_result session_apply(struct worker *w, const struct worker_op *op, struct worker_outcome *ret,
                                 struct worker_error *e);
