#pragma once
/*
 * The kernel's mount table, and taking a mount off it. A mailmount mount has the type "fuse.mailmount" and
 * the source "mailmount#ACCOUNT".
 */
#include <stddef.h>
#include "fault.h"

#define MOUNTS_TABLE "/proc/self/mountinfo"
#define MOUNTS_ACCOUNT_MAX 256

/* The absolute path of a mount point, also of one whose daemon is dead (any look at it gives ENOTCONN): then
 * only the way to it is resolved. Caller frees; NULL with errno set. */
char *mounts_resolve(const char *path);

/* Whose mail is mounted there? 0 with the account's name; -ENOENT: nothing is; -EMEDIUMTYPE: something else
 * is. */
int mounts_find(const char *table, const char *mountpoint, char ret_account[MOUNTS_ACCOUNT_MAX]);

/* The minor device number of what is mounted there, and is ours: -ENOENT. Nothing is asked of the file system. */
int mounts_connection(const char *table, const char *mountpoint, unsigned *ret);

/* Where is the file system with this minor device number mounted, if it is one of ours? -ENOENT, -ENAMETOOLONG. */
int mounts_of_connection(const char *table, unsigned connection, char *ret, size_t size);

/* Unmounts: umount2 for root, else fusermount3 -u. FAULT_AGAIN with the names of those who use it when it is
 * busy. */
int mounts_unmount(const char *mountpoint, struct fault *f);
