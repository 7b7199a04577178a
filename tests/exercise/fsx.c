/*
 * Exercises one file: operations by chance, and after each of them the file must be what an image in memory
 * says.
 *
 *   fsx [-s SEED] [-n OPERATIONS] [-b N [-p PATH]] FILE
 *
 *   -b N    spoils one octet after the Nth operation, so that a test can see that this is noticed
 *   -p PATH ... behind the back of the file system, in the file where that keeps its content
 *
 * The same seed makes the same operations. The last line says what was done, or begins with "fsx:" and comes
 * after the operations that led there; the exit status is 0, or 1.
 *
 * What is read back is mostly what the kernel has in its cache. So some operations drop that, and what is
 * read then is what the file system has.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE_MAX_BYTES (192 * 1024)
#define PAGE 4096
#define SHOWN 60 /* operations, after a failure */

struct step {
    const char *name;
    off_t from, length, to;
};

static const char *path;
static int fd = -1;
static bool append;                     /* what fd is open for */
static uint8_t image[SIZE_MAX_BYTES];   /* zero beyond size */
static uint8_t scratch[SIZE_MAX_BYTES]; /* what is written, or was read */
static off_t size;
static uint64_t seed = 1, state;
static unsigned long count;
static struct step steps[SHOWN];
static unsigned unsupported; /* a bit for each of allocations */

/* ---- what went wrong, and what led there ---- */

static void print_steps(void)
{
    unsigned long first = count > SHOWN ? count - SHOWN : 0;
    for (unsigned long i = first; i < count; i++) {
        const struct step *s = &steps[i % SHOWN];
        printf("%6lu %-10s %7lld +%-7lld -> %lld\n", i + 1, s->name, (long long)s->from, (long long)s->length,
               (long long)s->to);
    }
}

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *what, ...)
{
    va_list arguments;
    int err = errno;
    print_steps();
    printf("fsx: seed %llu, operation %lu: ", (unsigned long long)seed, count);
    va_start(arguments, what);
    vprintf(what, arguments);
    va_end(arguments);
    printf(err ? " (%s)\n" : "\n", strerror(err));
    exit(1);
}

static void must(bool good, const char *what)
{
    if (!good)
        fail("%s", what);
}

/* ---- chance ---- */

static uint32_t chance(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 11) % below;
}

/* Often at the edge of a page, where most mistakes are. */
static off_t any_place(off_t below)
{
    off_t at = (off_t)chance((uint32_t)below + 1);
    if (chance(3) == 0)
        at = at / PAGE * PAGE + (off_t)chance(3) - 1;
    return at < 0 ? 0 : at > below ? below : at;
}

static uint32_t any_length(off_t most)
{
    off_t length = (off_t)chance(chance(4) ? 3 * PAGE : 16 * PAGE) + 1;
    return (uint32_t)(length < most ? length : most);
}

static struct step *note(const char *name, off_t from, off_t length, off_t to)
{
    struct step *s = &steps[count++ % SHOWN];
    *s = (struct step){name, from, length, to};
    return s;
}

static void make_octets(off_t length)
{
    for (off_t i = 0; i < length; i++)
        scratch[i] = (uint8_t)(1 + chance(255));
}

/* ---- the image ---- */

static void image_resize(off_t to)
{
    if (to < size)
        memset(image + to, 0, (size_t)(size - to));
    size = to;
}

static void image_put(off_t at, const uint8_t *octets, off_t length)
{
    memcpy(image + at, octets, (size_t)length);
    if (at + length > size)
        size = at + length;
}

static void compare(const uint8_t *octets, off_t from, off_t length, const char *how)
{
    errno = 0;
    if (memcmp(octets, image + from, (size_t)length) == 0)
        return;
    for (off_t i = 0; i < length; i++)
        if (octets[i] != image[from + i])
            fail("%s: octet %lld is %02x and not %02x", how, (long long)(from + i), octets[i],
                 image[from + i]);
}

static void compare_all(const char *how)
{
    struct stat st;
    must(fstat(fd, &st) == 0, "fstat");
    errno = 0;
    if (st.st_size != size)
        fail("%s: the size is %lld and not %lld", how, (long long)st.st_size, (long long)size);
    must(pread(fd, scratch, sizeof scratch, 0) == size, "the whole cannot be read");
    compare(scratch, 0, size, how);
}

/* ---- operations ---- */

static void do_read(void)
{
    off_t from = any_place(size), length = any_length(SIZE_MAX_BYTES);
    off_t rest = size - from < length ? size - from : length;
    note("read", from, length, 0);
    must(pread(fd, scratch, (size_t)length, from) == rest, "read");
    compare(scratch, from, rest, "read");
}

static uint8_t *map(off_t from, off_t length, int protection, int flags)
{
    off_t begin = from / PAGE * PAGE;
    uint8_t *at = mmap(NULL, (size_t)(from - begin + length), protection, flags, fd, begin);
    must(at != MAP_FAILED, "mmap");
    return at + (from - begin);
}

static void unmap(uint8_t *at, off_t from, off_t length)
{
    must(munmap(at - from % PAGE, (size_t)(from % PAGE + length)) == 0, "munmap");
}

static void do_map_read(void)
{
    off_t from = any_place(size), length = any_length(size - from);
    note("map-read", from, length, 0);
    if (length == 0)
        return;
    uint8_t *at = map(from, length, PROT_READ, chance(2) ? MAP_SHARED : MAP_PRIVATE);
    compare(at, from, length, "map-read");
    unmap(at, from, length);
}

static void do_map_write(void)
{
    off_t from = any_place(SIZE_MAX_BYTES - 1), length = any_length(SIZE_MAX_BYTES - from);
    note("map-write", from, length, 0);
    if (from + length > size) {
        must(ftruncate(fd, from + length) == 0, "ftruncate");
        image_resize(from + length);
    }
    uint8_t *at = map(from, length, PROT_READ | PROT_WRITE, MAP_SHARED);
    make_octets(length);
    memcpy(at, scratch, (size_t)length);
    image_put(from, scratch, length);
    if (chance(4) == 0)
        must(msync(at - from % PAGE, (size_t)(from % PAGE + length), chance(2) ? MS_SYNC : MS_ASYNC) == 0,
             "msync");
    unmap(at, from, length);
}

static void do_write(void)
{
    off_t from = any_place(SIZE_MAX_BYTES - 1);
    off_t length = any_length(SIZE_MAX_BYTES - (append ? size : from));
    note(append ? "append" : "write", from, length, 0);
    make_octets(length);
    must(pwrite(fd, scratch, (size_t)length, from) == length, "write");
    if (length)
        image_put(append ? size : from, scratch, length);
}

static void do_append(void)
{
    off_t length = any_length(SIZE_MAX_BYTES - size);
    int other = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    note("append-2", size, length, 0);
    must(other >= 0, "open");
    make_octets(length);
    must(write(other, scratch, (size_t)length) == length, "write");
    image_put(size, scratch, length);
    must(close(other) == 0, "close");
}

/* The descriptor stays what it is; what it is open for changes. */
static void do_mode(void)
{
    append = !append;
    note("set-mode", append, 0, 0);
    must(fcntl(fd, F_SETFL, append ? O_APPEND : 0) == 0, "fcntl");
}

static void do_truncate(void)
{
    off_t to = chance(3) ? any_place(SIZE_MAX_BYTES) : any_place(size);
    bool by_name = chance(2);
    note(by_name ? "truncate" : "ftruncate", size, 0, to);
    must((by_name ? truncate(path, to) : ftruncate(fd, to)) == 0, "truncate");
    image_resize(to);
}

static void do_copy(void)
{
    off_t from = any_place(size), length = any_length(size - from), to = any_place(SIZE_MAX_BYTES - length);
    bool overlaps = from < to + length && to < from + length;
    note("copy", from, length, to);
    if (append || overlaps)
        return;
    for (off_t left = length; left > 0;) {
        off_t in = from + length - left, out = to + length - left;
        ssize_t n = copy_file_range(fd, &in, fd, &out, (size_t)left, 0);
        must(n > 0, "copy_file_range");
        left -= n;
    }
    memcpy(scratch, image + from, (size_t)length);
    if (length)
        image_put(to, scratch, length);
}

static const struct allocation {
    const char *name;
    int mode;
} allocations[] = {{"allocate", 0},
                   {"reserve", FALLOC_FL_KEEP_SIZE},
                   {"punch", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE},
                   {"zero", FALLOC_FL_ZERO_RANGE},
                   {"zero-keep", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE}};

static void do_allocate(void)
{
    const struct allocation *a = &allocations[chance(sizeof allocations / sizeof *allocations)];
    off_t from = any_place(SIZE_MAX_BYTES - 1), length = any_length(SIZE_MAX_BYTES - from);
    note(a->name, from, length, 0);
    if (fallocate(fd, a->mode, from, length) < 0) {
        must(errno == EOPNOTSUPP, "fallocate");
        unsupported |= 1U << (a - allocations);
        return;
    }
    if (!(a->mode & FALLOC_FL_KEEP_SIZE) && from + length > size)
        size = from + length;
    if (a->mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        memset(image + from, 0, (size_t)length);
}

static void do_sync(void)
{
    note("sync", 0, 0, 0);
    must((chance(2) ? fsync(fd) : fdatasync(fd)) == 0, "fsync");
}

static void do_drop(void)
{
    note("drop", 0, 0, 0);
    must(fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0, "dropping what is cached");
    compare_all("without cache");
}

static void open_again(int flags)
{
    must(close(fd) == 0, "close");
    fd = open(path, flags | O_RDWR | O_CLOEXEC);
    must(fd >= 0, "open");
    append = flags & O_APPEND;
}

static void do_reopen(void)
{
    static const int ways[] = {0, 0, O_APPEND, O_DSYNC};
    int flags = ways[chance(4)];
    note("reopen", flags, 0, 0);
    open_again(flags);
}

static void do_empty(void)
{
    note("empty", 0, 0, 0);
    open_again(O_TRUNC);
    image_resize(0);
}

static void do_rename(void)
{
    char other[PAGE];
    note("rename", 0, 0, 0);
    snprintf(other, sizeof other, "%s.other", path);
    must(rename(path, other) == 0 && link(other, path) == 0 && unlink(other) == 0, "rename and link");
}

static const struct {
    void (*operation)(void);
    unsigned share;
} operations[] = {{do_read, 10}, {do_map_read, 10}, {do_write, 20},    {do_map_write, 15}, {do_append, 5},
                  {do_mode, 3},  {do_copy, 8},      {do_truncate, 10}, {do_allocate, 10},  {do_sync, 2},
                  {do_drop, 4},  {do_reopen, 5},    {do_empty, 1},     {do_rename, 2}};

static void do_any(void)
{
    unsigned total = 0, i = 0;
    for (i = 0; i < sizeof operations / sizeof *operations; i++)
        total += operations[i].share;
    unsigned at = chance(total);
    for (i = 0; at >= operations[i].share; i++)
        at -= operations[i].share;
    operations[i].operation();
}

/* ---- all of it ---- */

/* Dirty pages that were written, or an operation that comes next, might mend it. */
static void spoil(const char *where)
{
    do_drop();
    int other = open(where, O_RDWR | O_CLOEXEC);
    uint8_t octet = (uint8_t)~image[size / 2];
    must(other >= 0 && pwrite(other, &octet, 1, size / 2) == 1 && close(other) == 0, "spoiling an octet");
    do_drop();
}

static void exercise(unsigned long operations_wanted, unsigned long spoil_after, const char *spoiled)
{
    bool to_spoil = spoil_after > 0;
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0, "open");
    while (count < operations_wanted) {
        do_any();
        if (to_spoil && count >= spoil_after && size > 0) {
            spoil(spoiled);
            to_spoil = false;
        }
        compare_all("afterwards");
    }
    do_drop();
    must(close(fd) == 0, "close");
}

static void print_result(void)
{
    printf("%lu operations, seed %llu; not supported:", count, (unsigned long long)seed);
    for (unsigned i = 0; i < sizeof allocations / sizeof *allocations; i++)
        if (unsupported & 1U << i)
            printf(" %s", allocations[i].name);
    printf("\n");
}

int main(int argc, char **argv)
{
    unsigned long operations_wanted = 1000, spoil_after = 0;
    const char *spoiled = NULL;
    for (int option; (option = getopt(argc, argv, "s:n:b:p:")) != -1;) {
        if (option == 's')
            seed = strtoull(optarg, NULL, 10);
        else if (option == 'n')
            operations_wanted = strtoul(optarg, NULL, 10);
        else if (option == 'b')
            spoil_after = strtoul(optarg, NULL, 10);
        else if (option == 'p')
            spoiled = optarg;
        else
            return 1;
    }
    if (optind + 1 != argc)
        return 1;
    path = argv[optind];
    state = seed * 0x9e3779b97f4a7c15 | 1;
    exercise(operations_wanted, spoil_after, spoiled ? spoiled : path);
    print_result();
    return 0;
}
