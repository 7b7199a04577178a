#pragma once
/* One mounted account, from opening its cache to the last commit. */
#include "config.h"
#include "daemon.h"
#include "fault.h"
#include "mountopts.h"

struct serve_options {
    const struct config_account *account;
    const char *mountpoint; /* absolute */
    const struct mountopts *mount;
    bool foreground;
    int report_fd; /* to the parent (daemon_tell); -1 in the foreground */
};

/* Mounts, tells the parent, serves until unmounted. The exit status; in the background errors went to the
 * parent or the log, in the foreground to standard error. */
int serve(const struct serve_options *o);
