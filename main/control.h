#pragma once
/*
 * The daemon's control socket, data_dir/control: a stream socket that only the owner can reach.
 *
 * A client sends one line and reads one JSON object, then the connection ends:
 *   status            what `mailmount status --json` prints
 *   sync TIMEOUT_MS   a round now; answers when both sides agree, or after so long (-1: no limit, 0: at once)
 *   flush             all local state is on disk when the answer comes
 *   held, decide VERB ID, restorable, restore ID    see decide.h
 * Answers of sync and flush: {"result": "done" | "late" | "offline" | "ended" | "failed", "why": TEXT,
 * "exit": the exit status that fits the reason (enum fault_exit), "mountpoint": PATH}.
 */
#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#define CONTROL_NAME "control"

struct control;

/* Answers a request, on a thread of its own: a new reference, NULL for a request that is none. `gone` tells
 * whether the client has hung up, for those that wait. */
typedef json_t *control_answer(void *arg, const char *request, bool (*gone)(void *), void *gone_arg);

/* Listens in the directory. The caller has the cache's lock, so that a socket found there is a dead daemon's.
 * 0, -errno. */
int control_start(int dirfd, control_answer *answer, void *arg, struct control **ret);
void control_refuse(
    struct control *c); /* no new connections from here on; the socket's name is gone. NULL is allowed */
void control_free(struct control *c); /* waits until the running answers have ended. NULL is allowed */

/*
 * Asks the daemon of a cache directory. 0 with the answer (a new reference); -ENOENT, -ECONNREFUSED: there is
 * no daemon; -ETIMEDOUT after timeout_ms (-1: none); -EPROTO: not an answer. ret_pid may be NULL; 0 when the
 * kernel does not say.
 */
int control_call(const char *data_dir, const char *request, int timeout_ms, json_t **ret, pid_t *ret_pid);

/* The "result" of an answer, "failed" when it has none. Lives as long as the answer. */
const char *control_result(const json_t *answer);
