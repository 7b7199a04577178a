#pragma once
/*
 * Where tests put their files: below $TMPDIR, or /tmp. Who runs them (tools/check) gives them a folder of its
 * own and removes it afterwards, so that nothing stays of a test that was killed either.
 */
#include <stdio.h>
#include <stdbool.h>
#include <stdlib.h>

/* Makes a folder of a name that begins with `prefix`; false when it cannot. Its path is in `path`. */
static inline bool place_make(char *path, size_t size, const char *prefix)
{
    const char *top = getenv("TMPDIR");
    int n = snprintf(path, size, "%s/%s-XXXXXX", top && *top ? top : "/tmp", prefix);
    return n > 0 && (size_t)n < size && mkdtemp(path) != NULL;
}
