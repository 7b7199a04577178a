#pragma once
/*
 * Bringing deleted mail back: what was removed on either side is a GONE row with its body for as long as
 * keep_deleted says.
 */
#include "message.h"

/* Can it be brought back? It is GONE, and its content is here or on the server still. */
bool restore_can(cache_rd *rd, const struct message *m);
/*
 * The row is shown again, in the mailbox it was in, which comes back too if need be, or in the inbox when
 * nothing is known of that; without \Deleted. What the server has of it still is left as it is; else the
 * message is new to the server and will be sent. -ENOENT; -EALREADY: it is not deleted; -ENODATA: nothing of
 * it is left. Inside a change with origin CACHE_FROM_SERVER.
 */
int restore_row(cache_tx *tx, int64_t id);
