#pragma once
/* The IMAP server as a worker (see worker.h): libetpan for the protocol, OpenSSL for TLS. */
#include "config.h"
#include "worker.h"

/* Makes a worker without connecting. account and keywords must outlive it, and so must *memory: what workers
 * know of this account's server. All of them share it; it is 0 at first, and worth keeping for the next
 * process. NULL without memory. */
struct worker *imap_worker_new(const struct config_account *account, struct keywords *keywords,
                               _Atomic int64_t *memory);
