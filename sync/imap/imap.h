#pragma once
/* The IMAP server as a worker (see worker.h): libetpan for the protocol, OpenSSL for TLS. */
#include "config.h"
#include "worker.h"

/* Makes a worker without connecting. account and keywords must outlive it. deflates: what an earlier worker's
 * description said of this account. NULL without memory. */
struct worker *imap_worker_new(const struct config_account *account, struct keywords *keywords,
                               bool deflates);
