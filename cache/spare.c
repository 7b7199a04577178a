/*
 * Files to be used again: notes of unsent mail come and go, one a message. ext4 does not give the inode of a
 * removed file to a new one for five minutes, and looks through all of those for each new file in the same
 * group of blocks, so that whoever brings thousands of messages would make each file slower than the one
 * before. What need not go, stays in spare/.
 *
 * A spare is of this process: those that another one left are removed. After a loss of power a name in spare/
 * could be that of a note too, on file systems that do not bring both ends of a rename to disk together; it
 * must not be written to.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include "private.h"
#include "work_table.h"

#define SPARES_MAX 1024
#define SPARE_NAME_MAX 16

static int remove_one(void *arg, const char *name)
{
    const int *fd = arg;
    return unlinkat(*fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int spare_open(struct work_table *t, int dirfd)
{
    pthread_mutex_init(&t->spare_lock, NULL);
    t->sparefd = dir_open(dirfd, "spare");
    return t->sparefd < 0 ? t->sparefd : dir_each(t->sparefd, remove_one, &t->sparefd);
}

void spare_close(struct work_table *t)
{
    if (t->sparefd >= 0)
        dir_each(t->sparefd, remove_one, &t->sparefd);
    io_close(&t->sparefd);
    pthread_mutex_destroy(&t->spare_lock);
}

static void spare_name(unsigned number, char ret[SPARE_NAME_MAX])
{
    snprintf(ret, SPARE_NAME_MAX, "%u", number);
}

void spare_keep(struct work_table *t, int dirfd, const char *name)
{
    char spare[SPARE_NAME_MAX];
    pthread_mutex_lock(&t->spare_lock);
    spare_name(t->spares, spare);
    bool kept = t->spares < SPARES_MAX && renameat(dirfd, name, t->sparefd, spare) == 0;
    t->spares += kept;
    pthread_mutex_unlock(&t->spare_lock);
    if (!kept)
        unlinkat(dirfd, name, 0);
}

/* Should there be no spare after all, open makes the file. */
int spare_take(struct work_table *t, int dirfd, const char *name)
{
    char spare[SPARE_NAME_MAX];
    pthread_mutex_lock(&t->spare_lock);
    if (t->spares > 0) {
        spare_name(--t->spares, spare);
        renameat(t->sparefd, spare, dirfd, name);
    }
    pthread_mutex_unlock(&t->spare_lock);
    int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? -errno : fd;
}
