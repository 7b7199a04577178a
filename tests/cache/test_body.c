/* Bodies: what goes in by the writer comes out by the served form and by the reader; damage is seen; nothing
 * else goes. */
#include <openssl/sha.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include "scratch_cache.h"
#include "body_store.h"
#include "mailbox.h"
#include "private.h"
#include "work_table.h"

struct octets {
    char *data;
    size_t length;
};

static struct octets octets_new(size_t length)
{
    struct octets o = {malloc(length + 1), length};
    assert_non_null(o.data);
    return o;
}

#define TEXT(text) ((struct octets){(char *)(text), sizeof(text) - 1})

/* A small generator of its own, so that a seed is the same test everywhere. */
static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static struct octets random_octets(uint32_t seed, size_t length, const char *alphabet, size_t letters)
{
    struct octets o = octets_new(length);
    for (size_t i = 0; i < length; i++)
        o.data[i] = alphabet[next_random(&seed) % letters];
    return o;
}

/* The definition of the LF form, told in another way than wire.c does. */
static struct octets lf_form(const struct octets *wire, bool *ret_exact)
{
    struct octets lf = octets_new(wire->length);
    lf.length = 0;
    *ret_exact = true;
    for (size_t i = 0; i < wire->length; i++) {
        bool crlf = wire->data[i] == '\r' && i + 1 < wire->length && wire->data[i + 1] == '\n';
        if (!crlf)
            lf.data[lf.length++] = wire->data[i];
        if (wire->data[i] == '\n' && (i == 0 || wire->data[i - 1] != '\r'))
            *ret_exact = false;
    }
    return lf;
}

static struct message message_of(const struct body_info *info)
{
    struct message m = {.id = 99, .state = MESSAGE_PRESENT, .has_hash = true, .form = info->form};
    memcpy(m.hash, info->hash, sizeof(m.hash));
    m.size = info->size;
    m.wire_size = info->wire_size;
    return m;
}

static void put(struct cache *c, const struct octets *wire, uint32_t seed, struct body_info *ret)
{
    struct body_writer *w;
    assert_int_equal(body_writer_open(c, &w), 0);
    for (size_t at = 0; at < wire->length;) {
        size_t n = next_random(&seed) % (seed & 1 ? 7 : 200000) + 1;
        n = n > wire->length - at ? wire->length - at : n;
        assert_int_equal(body_writer_write(w, wire->data + at, n), 0);
        at += n;
    }
    assert_int_equal(body_writer_finish(w, ret), 0);
}

static void check_served(struct cache *c, const struct message *m, const struct octets *want)
{
    int fd = body_open(c, m);
    assert_true(fd >= 0);
    struct octets have = octets_new(want->length + 1);
    assert_int_equal(io_read_full(fd, have.data, have.length), want->length);
    assert_memory_equal(have.data, want->data, want->length);
    free(have.data);
    close(fd);
}

static void check_reader(struct cache *c, const struct message *m, const struct octets *want, uint32_t seed)
{
    struct body_reader *r;
    char part[70000];
    size_t at = 0;
    ssize_t n;
    assert_int_equal(body_reader_open(c, m, &r), 0);
    while ((n = body_reader_read(r, part, next_random(&seed) % sizeof(part) + 1)) > 0) {
        assert_true(at + (size_t)n <= want->length);
        assert_memory_equal(part, want->data + at, (size_t)n);
        at += (size_t)n;
    }
    assert_int_equal(n, 0);
    assert_int_equal(at, want->length);
    assert_int_equal(body_reader_read(r, part, sizeof(part)), 0);
    body_reader_close(r);
}

static unsigned entries(struct cache *c, const char *dir)
{
    unsigned n = 0;
    CLEANUP(io_close) int fd = openat(cache_dirfd(c), dir, O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    assert_int_equal(dir_each(fd, scratch_count_one, &n), 0);
    return n;
}

static void check_round_trip(struct cache *c, const struct octets *wire, uint32_t seed)
{
    struct body_info info;
    uint8_t hash[32];
    bool exact;
    put(c, wire, seed, &info);
    SHA256((const unsigned char *)wire->data, wire->length, hash);
    assert_memory_equal(info.hash, hash, sizeof(hash));
    assert_int_equal(info.wire_size, wire->length);
    assert_int_equal(info.nul, wire->length && memchr(wire->data, 0, wire->length));
    struct octets lf = lf_form(wire, &exact);
    if (c->wire_bodies)
        assert_int_equal(info.form, MESSAGE_WIRE);
    else
        assert_int_equal(info.form, exact ? MESSAGE_LF : MESSAGE_BOTH);
    struct message m = message_of(&info);
    check_served(c, &m, c->wire_bodies ? wire : &lf);
    check_reader(c, &m, wire, seed);
    assert_int_equal(body_verify(c, &m), 0);
    free(lf.data);
}

static void round_trip(struct cache *c, struct octets wire, uint32_t seed)
{
    check_round_trip(c, &wire, seed);
    free(wire.data);
}

static void test_round_trips(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    /* The last letter of each alphabet is a final NUL that the length takes in or leaves out. */
    for (uint32_t seed = 1; seed <= 200; seed++) {
        uint32_t length = seed;
        length = next_random(&length) % 300;
        round_trip(c, random_octets(seed, length, "a\r\nb", 4), seed);
        round_trip(c, random_octets(seed, length, "\r\n", 3), seed);
        round_trip(c, random_octets(seed, length, "abcdefgh\r", 9), seed);
    }
    assert_int_equal(entries(c, "bodies/tmp"), 0);
}

static void test_special_messages(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    static const char *const text[] = {
        "", "\r", "\n", "\r\n", "\r\r\n", "a\r\r\n\r", "a\r\nb\nc\r\n", "a\nb\r", "no end"};
    for (size_t i = 0; i < sizeof(text) / sizeof(*text); i++) {
        struct octets o = {(char *)text[i], strlen(text[i])};
        check_round_trip(c, &o, 7);
    }
}

/* Line ends, bare and whole, on every side of the border between two blocks. */
static void test_block_borders(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    static const char *const text[] = {"\r\n", "\n", "\r", "\r\r\n", "\n\r", "\r\n\n"};
    for (size_t i = 0; i < sizeof(text) / sizeof(*text); i++) {
        for (int shift = -4; shift <= 1; shift++) {
            struct octets o = octets_new(3 * BODY_BLOCK);
            memset(o.data, 'x', o.length);
            memcpy(o.data + 100, "\r\n", 2);
            memcpy(o.data + (int)BODY_BLOCK + shift, text[i], strlen(text[i]));
            memcpy(o.data + 2 * (int)BODY_BLOCK + shift, text[i], strlen(text[i]));
            round_trip(c, o, 2);
        }
    }
}

static void test_large(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    struct octets o = octets_new((size_t)60 << 20);
    memset(o.data, 'y', o.length);
    round_trip(c, o, 4);
    o = octets_new((size_t)2 << 20);
    memset(o.data, 'z', o.length);
    for (size_t at = 100000; at + 2 < o.length; at += 100000)
        memcpy(o.data + at, "\r\n", 2);
    round_trip(c, o, 4);
}

static void test_wire_bodies(void **state)
{
    struct scratch *s = *state;
    scratch_close(s);
    scratch_open(s, true);
    for (uint32_t seed = 1; seed <= 30; seed++)
        round_trip(s->c, random_octets(seed, seed * 9, "a\r\nb", 4), seed);
}

static void test_message_id(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    struct octets o = TEXT("Subject: x\r\nMessage-ID:\r\n <a@b>\r\n\r\nbody\r\n");
    struct body_info info;
    put(c, &o, 1, &info);
    assert_int_equal(info.message_id, header_message_id_of_block("<a@b>", 5));
    assert_int_not_equal(info.message_id, 0);
}

/* ---- damage ---- */

static int open_body_file(struct cache *c, const struct message *m, enum body_file file)
{
    char name[BODY_NAME_MAX];
    body_name(m->hash, file, name);
    int fd = openat(c->bodies->dirfd, name, O_RDWR);
    assert_true(fd >= 0);
    return fd;
}

static int read_all(struct cache *c, const struct message *m)
{
    struct body_reader *r;
    char part[1000];
    ssize_t n;
    int err = body_reader_open(c, m, &r);
    if (err < 0)
        return err;
    while ((n = body_reader_read(r, part, sizeof(part))) > 0)
        continue;
    body_reader_close(r);
    return (int)n;
}

enum damage { DAMAGE_SHORTER, DAMAGE_LONGER, DAMAGE_FLIP, DAMAGE_EMPTY, DAMAGES };

static void damage(struct cache *c, const struct message *m, enum body_file file, enum damage how)
{
    int fd = open_body_file(c, m, file);
    off_t size = lseek(fd, 0, SEEK_END);
    if (how == DAMAGE_FLIP)
        assert_int_equal(pwrite(fd, "!", 1, 1), 1);
    else if (how == DAMAGE_LONGER)
        assert_int_equal(pwrite(fd, "!", 1, size), 1);
    else
        assert_int_equal(ftruncate(fd, how == DAMAGE_EMPTY ? 0 : size - 1), 0);
    close(fd);
}

static void check_damage(struct cache *c, struct octets wire, enum body_file file, enum damage how)
{
    struct body_info info;
    put(c, &wire, 1, &info);
    struct message m = message_of(&info);
    damage(c, &m, file, how);
    if (how != DAMAGE_FLIP && file == body_file_served(m.form))
        assert_int_equal(body_open(c, &m), -ESTALE);
    if (how != DAMAGE_FLIP && (m.form != MESSAGE_BOTH || file == BODY_FILE_WIRE))
        assert_int_equal(read_all(c, &m), -EIO);
    assert_int_equal(body_verify(c, &m), -ESTALE);
    assert_int_equal(body_open(c, &m), -ENOENT);
    assert_int_equal(body_verify(c, &m), -ENOENT);
    /* Fetched again, it is whole again. */
    check_round_trip(c, &wire, 1);
}

static void test_damage_is_seen(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    struct octets exact = TEXT("one\r\ntwo\r\n"), bare = TEXT("one\r\ntwo\nthree\r\n");
    for (enum damage how = 0; how < DAMAGES; how++) {
        check_damage(c, exact, BODY_FILE_LF, how);
        check_damage(c, bare, BODY_FILE_LF, how);
        check_damage(c, bare, BODY_FILE_WIRE, how);
    }
}

/* What comes again replaces a damaged body, also when nobody has verified that one. */
static void test_damaged_is_replaced(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    struct octets wire = TEXT("one\r\ntwo\r\n");
    struct body_info info;
    put(c, &wire, 1, &info);
    struct message m = message_of(&info);
    damage(c, &m, BODY_FILE_LF, DAMAGE_FLIP);
    check_round_trip(c, &wire, 1);
}

static void test_no_body(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    struct message m = {.id = 5, .state = MESSAGE_WANTED};
    struct body_reader *r;
    assert_int_equal(body_open(c, &m), -ENOENT);
    assert_int_equal(body_reader_open(c, &m, &r), -ENOENT);
    m.state = MESSAGE_PRESENT;
    m.has_hash = true;
    assert_int_equal(body_open(c, &m), -ENOENT);
    assert_int_equal(body_verify(c, &m), -ENOENT);
}

/* ---- the disk is full ---- */

static void test_write_error(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    struct octets wire = random_octets(1, 500000, "ab\r\n", 4);
    struct rlimit before, small;
    struct body_writer *w;
    struct body_info info;
    struct sigaction ignore = {.sa_handler = SIG_IGN}, was;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){200000, before.rlim_max};
    sigaction(SIGXFSZ, &ignore, &was);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int opened = body_writer_open(c, &w);
    int written = body_writer_write(w, wire.data, wire.length);
    int again = body_writer_write(w, "x", 1);
    int finished = body_writer_finish(w, &info);
    setrlimit(RLIMIT_FSIZE, &before);
    sigaction(SIGXFSZ, &was, NULL);
    assert_int_equal(opened, 0);
    assert_int_equal(written, -EFBIG);
    assert_int_equal(again, -EFBIG);
    assert_int_equal(finished, -EFBIG);
    assert_int_equal(entries(c, "bodies/tmp"), 0);
    assert_int_equal(entries(c, "bodies"), 1);
    free(wire.data);
}

static void test_abort_and_sweep(void **state)
{
    struct scratch *s = *state;
    struct body_writer *w;
    char tmp[BODY_TMP_MAX];
    body_writer_abort(NULL);
    assert_int_equal(body_writer_open(s->c, &w), 0);
    assert_int_equal(entries(s->c, "bodies/tmp"), 1);
    body_writer_abort(w);
    assert_int_equal(entries(s->c, "bodies/tmp"), 0);
    close(body_tmp_open(s->c->bodies, tmp));
    scratch_close(s);
    scratch_open(s, false);
    assert_int_equal(entries(s->c, "bodies/tmp"), 0);
}

/* ---- many at once ---- */

#define SAME_BODIES 100

static void *write_same(void *arg)
{
    struct cache *c = arg;
    intptr_t failed = 0;
    for (int i = 0; i < SAME_BODIES; i++) {
        struct body_writer *w;
        struct body_info info;
        char text[32];
        int n = snprintf(text, sizeof(text), "body %d\r\nbare\n", i);
        failed += body_writer_open(c, &w) != 0 || body_writer_write(w, text, (size_t)n) != 0 ||
                  body_writer_finish(w, &info) != 0 || (i % 10 == 0 && body_sync(c) != 0);
    }
    return (void *)failed;
}

static void test_same_content_at_once(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    pthread_t thread[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, write_same, c), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(thread[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(entries(c, "bodies/tmp"), 0);
    for (int i = 0; i < SAME_BODIES; i++) {
        char text[32];
        struct octets wire = {text, (size_t)snprintf(text, sizeof(text), "body %d\r\nbare\n", i)};
        check_round_trip(c, &wire, 1);
    }
}

/* ---- collecting ---- */

static int add_row(cache_tx *tx, void *arg)
{
    struct message *m = arg;
    struct mailbox box = {.name = "Box", .dirs = MAILBOX_ALL_DIRS};
    int r = mailbox_find(cache_tx_rd(tx), 0, "Box", &box);
    if (r == -ENOENT)
        r = mailbox_put(tx, &box);
    m->id = 0;
    m->mailbox = box.id;
    m->sub = SUB_CUR;
    snprintf(m->name, sizeof(m->name), "name-%d", (int)m->hash[0]);
    return r < 0 ? r : message_put(tx, m);
}

static bool is_there(struct cache *c, const struct body_info *info)
{
    struct message m = message_of(info);
    CLEANUP(io_close) int fd = body_open(c, &m);
    return fd >= 0;
}

static void test_collect(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    struct body_info orphan, named, gone, noted;
    put(c, &TEXT("orphan\r\nbare\n"), 1, &orphan);
    put(c, &TEXT("named\r\nbare\n"), 1, &named);
    put(c, &TEXT("gone"), 1, &gone);
    put(c, &TEXT("noted"), 1, &noted);
    struct message m = message_of(&named);
    assert_int_equal(cache_write(c, CACHE_FROM_SERVER, CACHE_NOW, add_row, &m), 0);
    m = message_of(&gone);
    m.state = MESSAGE_GONE;
    assert_int_equal(cache_write(c, CACHE_FROM_SERVER, CACHE_NOW, add_row, &m), 0);
    struct unsent *u = calloc(1, sizeof(*u));
    u->m = message_of(&noted);
    strcpy(u->m.name, "noted");
    strcpy(u->mailbox, "Box");
    u->m.id = 77;
    assert_int_equal(unsent_write(c, u), 0);
    assert_int_equal(renameat(c->work->unsentfd, "77", c->work->unsentfd, UNSENT_LOST "77"), 0);
    free(u);

    assert_int_equal(body_collect(c, 1000), 0); /* all are fresh */
    c->bodies->collect_age_s = 0;
    int went = 0, passes = 0;
    do
        went += body_collect(c, 2); /* a few at a time get there as well */
    while (++passes < 6);
    assert_int_equal(went, 2);
    assert_false(is_there(c, &orphan));
    assert_true(is_there(c, &named));
    assert_true(is_there(c, &gone));
    assert_true(is_there(c, &noted));
}

/* A body that was put again is as fresh as a new one. */
static void test_collect_spares_what_came_again(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    struct octets wire = TEXT("again");
    struct body_info info;
    put(c, &wire, 1, &info);
    c->bodies->collect_age_s = 2;
    sleep(2);
    put(c, &wire, 1, &info);
    assert_int_equal(body_collect(c, 1000), 0);
    assert_true(is_there(c, &info));
}

static bool is_in_memory(const void *page)
{
    unsigned char resident = 0;
    return mincore((void *)page, 1, &resident) == 0 && resident & 1;
}

/* It is in memory afterwards (in a tmpfs it was before), and does not count as used. */
static void test_read_ahead(void **state)
{
    const struct scratch *s = *state;
    const struct octets wire = TEXT("Subject: x\r\n\r\nx\r\n");
    struct body_info info;
    struct stat before, after;
    put(s->c, &wire, 1, &info);
    struct message m = message_of(&info), missing = m;
    missing.hash[0]++;
    int fd = body_open(s->c, &m);
    assert_true(fd >= 0 && fsync(fd) == 0 && fstat(fd, &before) == 0);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    void *page = mmap(NULL, (size_t)before.st_size, PROT_READ, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(page, MAP_FAILED);
    assert_int_equal(fstat(fd, &before), 0);
    body_read_ahead(s->c, &missing);
    s->c->bodies->note_use = true;
    body_read_ahead(s->c, &m);
    assert_int_equal(fstat(fd, &after), 0);
    for (int i = 0; i < 2000 && !is_in_memory(page); i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_true(is_in_memory(page));
    assert_memory_equal(&before.st_atim, &after.st_atim, sizeof(before.st_atim));
    munmap(page, (size_t)before.st_size);
    close(fd);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        T(test_round_trips),     T(test_special_messages),
        T(test_block_borders),   T(test_large),
        T(test_wire_bodies),     T(test_message_id),
        T(test_damage_is_seen),  T(test_damaged_is_replaced),
        T(test_no_body),         T(test_write_error),
        T(test_abort_and_sweep), T(test_same_content_at_once),
        T(test_collect),         T(test_collect_spares_what_came_again),
        T(test_read_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
