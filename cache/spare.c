/*
 * Files to be used again: notes of unsent mail come and go, one a message. ext4 does not give the inode of a
 * removed file to a new one for five minutes, and looks through all of those for each new file in the same
 * group of blocks, so that whoever brings thousands of messages would make each file slower than the one
 * before. What need not go, stays in spare/.
 *
 * Nothing that has another name is written to: people make copies by hard links, and after a loss of power a
 * name in spare/ may be that of a note too, on file systems that do not bring both ends of a rename to disk
 * together. And a spare is emptied first: what it held stays on the disk until the renames are there, so that
 * no old name ever has half of a new text.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "private.h"
#include "work_table.h"

#define SPARES_MAX 1024
#define SPARE_NAME_MAX 16

/* What cannot be removed is in nobody's way. */
static int remove_one(void *arg, const char *name)
{
    const int *fd = arg;
    unlinkat(*fd, name, 0);
    return 0;
}

int spare_open(struct work_table *t, int dirfd)
{
    pthread_mutex_init(&t->spare_lock, NULL);
    t->sparefd = dir_open(dirfd, "spare");
    if (t->sparefd < 0)
        return t->sparefd;
    dir_each(t->sparefd, remove_one, &t->sparefd);
    return 0;
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
    unlinkat(dirfd, name, 0); /* also where both were names of one file, when rename does nothing */
}

/* With nothing in it, and no other name. */
static int open_empty(int dirfd, const char *name)
{
    struct stat st;
    const int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
    int fd = openat(dirfd, name, flags, 0600);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) == 0 && st.st_nlink == 1 && ftruncate(fd, 0) == 0)
        return fd;
    close(fd);
    if (unlinkat(dirfd, name, 0) < 0)
        return -errno;
    fd = openat(dirfd, name, flags | O_EXCL, 0600);
    return fd < 0 ? -errno : fd;
}

/* Should there be no spare after all, the file is made. */
int spare_take(struct work_table *t, int dirfd, const char *name)
{
    char spare[SPARE_NAME_MAX];
    pthread_mutex_lock(&t->spare_lock);
    if (t->spares > 0) {
        spare_name(--t->spares, spare);
        renameat(t->sparefd, spare, dirfd, name);
    }
    pthread_mutex_unlock(&t->spare_lock);
    return open_empty(dirfd, name);
}
