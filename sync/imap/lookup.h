#pragma once
/*
 * A host's addresses. The resolver knows neither deadline nor cancel, so that it runs in a thread of its own,
 * which may outlive the call: it owns all that it needs, and frees it whenever the resolver comes back.
 * Addresses in numbers need no resolver and no thread.
 *
 * Thread: any.
 */
#include <netdb.h>
#include <stdint.h>
#include "fault.h"
#include "stream.h"

/* Look-ups that run at the same time, given up ones included: a resolver that never comes back must not cost
 * a thread for each attempt. */
#define LOOKUPS_MAX 16

/* All addresses of a host for TCP, in the order to try them; the caller's, for freeaddrinfo. The deadline is
 * on CLOCK_BOOTTIME. Returns 0, or a negative errno with f set: -ECANCELED, -ETIMEDOUT, -EHOSTUNREACH when
 * the resolver knows none, -ENOMEM, -EAGAIN and the like when there is no thread to be had, -EBUSY when
 * LOOKUPS_MAX others have no answer either. */
int lookup_host(const char *host, uint16_t port, const struct cancel *cancel, int64_t deadline_ms,
                struct addrinfo **ret, struct fault *f);
