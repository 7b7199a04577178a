#include "overhear.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "io.h"

#define SAID_MAX 4096

/* A file and no pipe: fusermount3 stays to unmount later where that is asked for, and keeps its end. */
void overhear_begin(struct overhear *o)
{
    fflush(stderr);
    o->fd = memfd_create("said", MFD_CLOEXEC);
    o->saved = o->fd < 0 ? -1 : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (o->saved >= 0 && dup2(o->fd, STDERR_FILENO) < 0)
        io_close(&o->saved);
}

static void add_lines(struct buf *b, char *text)
{
    const char *between = "";
    buf_adds(b, "");
    for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
        if (line[0] == '\0')
            continue;
        buf_addf(b, "%s%s", between, line);
        between = "; ";
    }
}

void overhear_end(struct overhear *o, struct buf *ret)
{
    char said[SAID_MAX];
    fflush(stderr);
    if (o->saved >= 0)
        dup2(o->saved, STDERR_FILENO);
    ssize_t n = o->saved >= 0 ? io_pread_full(o->fd, said, sizeof said - 1, 0) : 0;
    said[n > 0 ? n : 0] = '\0';
    if (ret)
        add_lines(ret, said);
    else
        fputs(said, stderr);
    io_close(&o->saved);
    io_close(&o->fd);
}
