#include <stdlib.h>
#include "worker.h"

void worker_scan_finish(struct worker_scan *s)
{
    free(s->message);
    uidset_finish(&s->vanished);
    *s = (struct worker_scan){0};
}
