/*
 * Exactly-once append: a message was sent, and nobody knows whether it arrived.
 *
 * What lies in the mailbox at or above the UIDNEXT of before and belongs to no other row may be ours. Equal
 * content decides at once, in either direction. Without content the Message-ID decides who may be ours at
 * all, and the size how sure that is: servers give sizes that are estimates (case 19), so that a size never
 * rules anybody out, but Message-ID and size together, with one message only that carries the id, are taken
 * as proof, unless another text is known that has both (an edit often keeps them). In all other cases a body
 * is read, the best fit first. Each body read rules its candidate in or out, so that this ends.
 *
 * In doubt the message is sent again: a copy too many can be removed by a person, mail taken for another one
 * is lost. But when the server said OK there is no doubt that it is there: then the one that carries our
 * Message-ID, or without one the only one that carries none, is ours, whatever the server made of its text
 * (case 63).
 */
#include "brain.h"

enum fit {
    FIT_NOT,
    FIT_ID_UNKNOWN, /* says no Message-ID, or ours has none */
    FIT_ID,         /* our Message-ID, another size */
    FIT_ID_AND_SIZE,
    FIT_CONTENT,
};

static enum fit candidate_fit(const struct brain_append *intent, const struct brain_candidate *c)
{
    if (c->paired || c->uid < intent->uidnext)
        return FIT_NOT;
    if (c->content && intent->content)
        return c->content == intent->content ? FIT_CONTENT : FIT_NOT;
    if (!c->message_id)
        return FIT_ID_UNKNOWN;
    if (c->message_id != intent->message_id)
        return FIT_NOT;
    return c->size && c->size == intent->size ? FIT_ID_AND_SIZE : FIT_ID;
}

/* Of what is there and is not our text: the one that must be what the server made of it, the last one of
 * those whose text nobody knows. 0: none. */
static uint32_t altered(const struct brain_append *intent, const struct brain_candidate *candidate, size_t n)
{
    const struct brain_candidate *best = NULL;
    size_t fits = 0;
    for (size_t i = 0; i < n; i++) {
        const struct brain_candidate *c = &candidate[i];
        if (c->paired || c->uid < intent->uidnext || c->message_id != intent->message_id)
            continue;
        fits++;
        bool better = !best || (best->known == c->known ? c->uid > best->uid : best->known);
        best = better ? c : best;
    }
    return best && (intent->message_id || fits == 1) ? best->uid : 0;
}

enum brain_append_verdict brain_append_settle(const struct brain_append *intent, uint32_t uidvalidity_now,
                                              const struct brain_candidate *candidate, size_t n,
                                              uint32_t *ret_uid)
{
    enum fit best = FIT_NOT;
    size_t carry_id = 0;
    uint32_t uid = 0;

    if (uidvalidity_now != intent->uidvalidity)
        return BRAIN_APPEND_LOST;
    for (size_t i = 0; i < n; i++) {
        enum fit fit = candidate_fit(intent, &candidate[i]);
        carry_id += fit == FIT_ID || fit == FIT_ID_AND_SIZE;
        if (fit == FIT_NOT || fit < best || (fit == best && candidate[i].uid > uid))
            continue;
        best = fit;
        uid = candidate[i].uid;
    }
    bool there = best == FIT_CONTENT || (best == FIT_ID_AND_SIZE && carry_id == 1 && !intent->look_alike);
    /* A body would tell nothing when the intent has no content to compare it with. */
    if (best == FIT_NOT || (!there && !intent->content)) {
        uid = intent->accepted ? altered(intent, candidate, n) : 0;
        there = uid != 0;
        if (!there)
            return BRAIN_APPEND_SEND;
    }
    *ret_uid = uid;
    return there ? BRAIN_APPEND_THERE : BRAIN_APPEND_READ;
}

bool brain_append_uid_credible(const struct brain_append *intent, uint32_t uidvalidity, uint32_t uid)
{
    return intent->uidvalidity && uidvalidity == intent->uidvalidity && intent->uidnext &&
           uid >= intent->uidnext;
}
