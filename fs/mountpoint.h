#pragma once
/* The directory to mount on. */
#include "fault.h"

/* Is it fit to be mounted on? What a daemon left there that was killed (ENOTCONN) is unmounted. f is set on
 * error. */
int mountpoint_prepare(const char *path, struct fault *f);
/* Why libfuse could not mount there, as far as it can be found out; said is what it said. Always an error. */
int mountpoint_explain_failure(const char *path, const char *said, struct fault *f);
