#include "ask.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "account.h"
#include "clock.h"
#include "control.h"
#include "decide.h"

#define ANSWER_MS 60000
#define BUSY_MS 10000
#define PAUSE_US 200000

const char *ask_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

json_t *ask_cache(struct cache *c, const char *request)
{
    char verb[16], id[32];
    int end = 0;
    if (strcmp(request, "held") == 0)
        return decide_list(c);
    if (strcmp(request, "restorable") == 0)
        return decide_restorable(c);
    if (sscanf(request, "decide %15s %31s%n", verb, id, &end) == 2 && request[end] == '\0' &&
        (strcmp(verb, "approve") == 0 || strcmp(verb, "revert") == 0))
        return decide(c, verb, id);
    if (sscanf(request, "restore %31s%n", id, &end) == 1 && request[end] == '\0')
        return decide_restore(c, id);
    return NULL;
}

/* NULL with f unset when another process has the cache. */
static json_t *ask_unmounted(const struct config_account *a, const char *request, struct fault *f)
{
    struct account account;
    int r = account_open(&account, a, false, f);
    if (r == -EBUSY)
        f->err = 0;
    if (r < 0)
        return NULL;
    json_t *answer = ask_cache(account.cache, request);
    account_close(&account);
    if (!answer)
        fault_set(f, FAULT_AGAIN, -ENOMEM, "%s: no memory", a->name);
    return answer;
}

json_t *ask(const struct config_account *a, const char *request, struct fault *f)
{
    int64_t until_ms = clock_boot_ms() + BUSY_MS;
    for (;;) {
        json_t *answer = NULL;
        int r = control_call(a->data_dir, request, ANSWER_MS, &answer, NULL);
        if (r == 0)
            return answer;
        if (r != -ENOENT && r != -ECONNREFUSED && r != -ENOTDIR) {
            fault_set(f, r == -EACCES ? FAULT_DENIED : FAULT_AGAIN, r, "%s: the daemon does not answer: %s",
                      a->name, strerror(-r));
            return NULL;
        }
        answer = ask_unmounted(a, request, f);
        if (answer || f->err)
            return answer;
        if (clock_boot_ms() >= until_ms) {
            fault_set(f, FAULT_AGAIN, -EBUSY, "%s: in use by another command (try again)", a->name);
            return NULL;
        }
        usleep(PAUSE_US);
    }
}
