/* Files done in full. */
#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"

static void *write_slowly(void *fd)
{
    for (int i = 0; i < 10; i++) {
        usleep(1000);
        assert_int_equal(io_write_full(*(int *)fd, "0123456789", 10), 0);
    }
    close(*(int *)fd);
    return NULL;
}

static void reads_are_in_full(void **state)
{
    (void)state;
    int ends[2];
    pthread_t writer;
    char data[200];
    assert_int_equal(pipe(ends), 0);
    pthread_create(&writer, NULL, write_slowly, &ends[1]);
    assert_int_equal(io_read_full(ends[0], data, 95), 95);
    assert_int_equal(io_read_full(ends[0], data, sizeof(data)), 5);
    assert_int_equal(io_read_full(ends[0], data, sizeof(data)), 0);
    pthread_join(writer, NULL);
    close(ends[0]);
    assert_int_equal(io_read_full(-1, data, 1), -EBADF);
    assert_int_equal(io_write_full(-1, data, 1), -EBADF);
}

static char *pattern(size_t size)
{
    char *data = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)check_random(256);
    return data;
}

static void copies_are_equal(void **state)
{
    char path[2][200];
    size_t size[] = {0, 1, 65536, 3000001};
    for (size_t i = 0; i < 4; i++) {
        snprintf(path[0], 200, "%s/from", (char *)*state);
        snprintf(path[1], 200, "%s/to-%zu", (char *)*state, i);
        char *data = pattern(size[i]), *copy;
        size_t length;
        CLEANUP(io_close) int from = open(path[0], O_RDWR | O_CREAT | O_TRUNC, 0600);
        CLEANUP(io_close) int to = open(path[1], O_RDWR | O_CREAT | O_TRUNC, 0600);
        assert_int_equal(io_write_full(from, data, size[i]), 0);
        assert_int_equal(io_copy(from, to), 0);
        assert_int_equal(io_read_file(path[1], size[i], &copy, &length), 0);
        assert_int_equal(length, size[i]);
        assert_memory_equal(copy, data, length);
        assert_int_equal(io_pread_full(to, copy, length, 0), length);
        free(copy);
        free(data);
    }
}

/* copy_file_range finds nothing in a file of /proc: its size is 0. */
static void copies_from_proc(void **state)
{
    char path[200], *copy;
    size_t length;
    snprintf(path, sizeof(path), "%s/proc", (char *)*state);
    CLEANUP(io_close) int from = open("/proc/self/status", O_RDONLY);
    CLEANUP(io_close) int to = open(path, O_RDWR | O_CREAT, 0600);
    assert_int_equal(io_copy(from, to), 0);
    assert_int_equal(io_read_file(path, 100000, &copy, &length), 0);
    assert_memory_equal(copy, "Name:", 5);
    free(copy);
    assert_int_equal(io_copy(from, -1), -EBADF);
}

static void read_file_has_a_limit(void **state)
{
    char path[200], *data;
    size_t length;
    snprintf(path, sizeof(path), "%s/ten", (char *)*state);
    CLEANUP(io_close) int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(io_write_full(fd, "0123456789", 10), 0);
    assert_int_equal(io_read_file(path, 9, &data, &length), -EFBIG);
    assert_int_equal(io_read_file(path, 10, &data, &length), 0);
    assert_string_equal(data, "0123456789");
    free(data);
    assert_int_equal(io_read_file("/proc/self/status", 100000, &data, &length), 0);
    assert_true(length > 100);
    assert_int_equal(strlen(data), length);
    free(data);
    assert_int_equal(io_read_file("/proc/self/status", 10, &data, &length), -EFBIG);
    assert_int_equal(io_read_file(*state, 10, &data, &length), -EISDIR);
    assert_int_equal(io_read_file("/nonexistent", 10, &data, &length), -ENOENT);
}

static void mkdir_p_makes_all(void **state)
{
    char path[300];
    struct stat st;
    snprintf(path, sizeof(path), "%s//a/b/c/", (char *)*state);
    assert_int_equal(io_mkdir_p(path, 0700), 0);
    assert_int_equal(io_mkdir_p(path, 0700), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    snprintf(path, sizeof(path), "%s/a/file", (char *)*state);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(io_mkdir_p(path, 0700), -ENOTDIR);
    snprintf(path, sizeof(path), "%s/a/file/x", (char *)*state);
    assert_int_equal(io_mkdir_p(path, 0700), -ENOTDIR);
    assert_int_equal(io_mkdir_p("/", 0700), 0);
    assert_int_equal(io_mkdir_p("", 0700), -ENOENT);
}

static unsigned count_entries(int fd)
{
    unsigned n = 0;
    DIR *dir = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY));
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 2;
}

static void atomic_writes_replace_and_leave_nothing(void **state)
{
    char path[300], *data;
    size_t length;
    snprintf(path, sizeof(path), "%s/atomic", (char *)*state);
    assert_int_equal(io_mkdir_p(path, 0700), 0);
    CLEANUP(io_close) int dir = open(path, O_RDONLY | O_DIRECTORY);
    assert_int_equal(io_write_file_atomic(dir, "x", "old", 3), 0);
    assert_int_equal(io_write_file_atomic(dir, "x", "newer", 5), 0);
    snprintf(path, sizeof(path), "%s/atomic/x", (char *)*state);
    assert_int_equal(io_read_file(path, 100, &data, &length), 0);
    assert_string_equal(data, "newer");
    free(data);
    assert_int_equal(mkdirat(dir, "d", 0700), 0);
    assert_int_equal(io_write_file_atomic(dir, "d", "x", 1), -EISDIR);
    assert_int_equal(io_write_file_atomic(dir, "none/x", "x", 1), -ENOENT);
    assert_int_equal(count_entries(dir), 2);
    snprintf(path, sizeof(path), "%s/atomic/d/y", (char *)*state);
    assert_int_equal(io_write_file_atomic(AT_FDCWD, path, "y", 1), 0);
    assert_int_equal(io_fsync_dir(dir, NULL), 0);
    assert_int_equal(io_fsync_dir(dir, "d"), 0);
    assert_int_equal(io_fsync_dir(dir, "x"), -ENOTDIR);
}

static void close_keeps_errno(void **state)
{
    (void)state;
    int fd = open("/", O_RDONLY);
    errno = E2BIG;
    io_close(&fd);
    assert_int_equal(fd, -1);
    io_close(&fd);
    assert_int_equal(errno, E2BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_are_in_full), cmocka_unit_test(copies_are_equal),
        cmocka_unit_test(copies_from_proc),  cmocka_unit_test(read_file_has_a_limit),
        cmocka_unit_test(mkdir_p_makes_all), cmocka_unit_test(atomic_writes_replace_and_leave_nothing),
        cmocka_unit_test(close_keeps_errno),
    };
    return cmocka_run_group_tests(tests, check_directory_make, check_directory_remove);
}
