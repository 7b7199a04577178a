#pragma once
/*
 * Orphans: rows that are to stay although the server's copy has left the place that it had (they were moved
 * or flagged here meanwhile: cases 11, 42, 44). As long as not all mailboxes were looked at, it may turn up
 * in one of them. This outlives a crash: taken for mail that was made here, an orphan would be sent while its
 * message arrives.
 */
#include "cache.h"

int orphan_put(cache_tx *tx, int64_t message); /* with the loss of its address, in one transaction */
bool orphan_has(cache_rd *rd, int64_t message);
bool orphan_any(cache_rd *rd);
int orphan_forget_all(cache_tx *tx); /* all mailboxes were looked at: what was not found is nowhere */
