/*
 * Whether what was seen of a mailbox can be believed.
 */
#include "brain.h"

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
