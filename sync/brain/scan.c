/*
 * How much of a mailbox must be looked at, and whether what was seen can be believed.
 *
 * HIGHESTMODSEQ, UIDNEXT and EXISTS are a claim that nothing else happened. The claim counts only as long as
 * none of them went back or is missing (35, 72). New mail is at most as much as UIDNEXT grew: if EXISTS grew
 * by exactly that, nothing was removed; if not, something was, and a server that does not tell what is asked
 * for all UIDs (74).
 */
#include "brain.h"

/* EXISTS as if nothing had been removed and each new UID were a message. */
static bool nothing_removed(const struct brain_view *v)
{
    return (uint64_t)v->known_exists + (v->uidnext - v->known_uidnext) == v->exists;
}

static bool same_numbers(const struct brain_view *v)
{
    return v->exists == v->known_exists && v->uidnext == v->known_uidnext;
}

static bool modseq_counts(const struct brain_view *v)
{
    return v->has_modseq && v->known_modseq && v->modseq >= v->known_modseq;
}

static enum brain_scan scan_since(const struct brain_view *v, int *ret_number)
{
    bool stood_still = v->modseq == v->known_modseq;

    *ret_number = 74;
    if (v->has_qresync && stood_still && v->exists != v->known_exists)
        return BRAIN_SCAN_CHANGES_AND_UIDS;
    if (!v->has_qresync && !nothing_removed(v))
        return BRAIN_SCAN_CHANGES_AND_UIDS;
    *ret_number = 7;
    return BRAIN_SCAN_CHANGES;
}

enum brain_scan brain_choose_scan(const struct brain_view *v, int *ret_number)
{
    *ret_number = 1;
    if (!v->known_uidvalidity && !v->known_uidnext && !v->known_exists)
        return BRAIN_SCAN_FIRST;
    *ret_number = 72;
    if (!v->uidvalidity)
        return BRAIN_SCAN_FLAGS;
    *ret_number = 70;
    if (v->uidvalidity != v->known_uidvalidity)
        return BRAIN_SCAN_PAIR;
    *ret_number = 72;
    if (!v->uidnext || v->uidnext < v->known_uidnext)
        return BRAIN_SCAN_FLAGS;
    *ret_number = 0;
    if (same_numbers(v) && (!v->exists || (modseq_counts(v) && v->modseq == v->known_modseq)))
        return BRAIN_SCAN_NONE;
    *ret_number = 35;
    if (!modseq_counts(v))
        return BRAIN_SCAN_FLAGS;
    return scan_since(v, ret_number);
}

bool brain_exists_adds_up(uint32_t known_exists, uint64_t vanished, uint64_t fresh, uint32_t exists)
{
    return (uint64_t)known_exists + fresh == (uint64_t)exists + vanished;
}

enum {
    BRAKE_EMPTIED_FROM = 20
}; /* a mailbox of so many messages that is emptied is held whatever the settings say */

bool brain_brake_passes(uint64_t removals, uint64_t total, unsigned percent, unsigned count, bool exempt,
                        bool off)
{
    if (off || exempt)
        return true;
    if (total >= BRAKE_EMPTIED_FROM && removals >= total)
        return false;
    return removals <= count || removals * 100 <= total * percent;
}
