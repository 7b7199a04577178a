#pragma once
/* File descriptors done in full. All return 0 or a count, or a negative errno; EINTR is retried. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

int io_write_full(int fd, const void *data, size_t length);
ssize_t io_read_full(int fd, void *data, size_t length); /* fewer than length only at end of file */
ssize_t io_pread_full(int fd, void *data, size_t length, off_t offset);
int io_copy(int from, int to); /* the whole file from offset 0; reflink or copy_file_range where they work */
int io_fsync_dir(int dirfd, const char *path);
void io_close(int *fd); /* closes if >= 0 and sets -1; for cleanup */
int io_mkdir_p(const char *path, unsigned mode); /* what it makes is on disk when it returns */
int io_read_file(const char *path, size_t max, char **ret_data,
                 size_t *ret_length); /* NUL terminated; -EFBIG beyond max */
int io_write_file_atomic(int dirfd, const char *name, const void *data,
                         size_t length); /* temporary, fsync, rename, fsync directory */

#define CLEANUP(fn) __attribute__((cleanup(fn)))
