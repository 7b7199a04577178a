#include "rig.h"
#include <fcntl.h>
#include <ftw.h>
#include <openssl/sha.h>
#include <time.h>
#include <unistd.h>
#include "base_state.h"
#include "body.h"
#include "buf.h"
#include "clock.h"
#include "pending.h"
#include "work.h"
#include "../place.h"

/* ---- life ---- */

static struct worker *new_worker(void *arg)
{
    struct rig *r = arg;
    return recorder_new(model_worker(&r->login), &r->record, r->login.keywords);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static struct rig *open_rig;

void rig_begin(struct rig *r, const struct model_features *f)
{
    const char *log = getenv("RIG_LOG");
    log_to(log ? STDERR_FILENO : -1, LOG_LEVEL_DEBUG);
    *r = (struct rig){.account = {.name = (char *)"test",
                                  .poll_s = 3600,
                                  .bodies_s = INT64_MAX,
                                  .connections = 3,
                                  .keep_deleted_s = 86400,
                                  .brake = {.percent = 25, .count = 100}}};
    assert_true(place_make(r->dir, sizeof r->dir, "mailmount-sync"));
    open_rig = r;
    snprintf(r->cache_dir, sizeof r->cache_dir, "%s/cache", r->dir);
    record_init(&r->record);
    r->model = model_new(f);
    assert_non_null(r->model);
}

static int open_all(struct rig *r, struct fault *f)
{
    struct cache_options options = {.dir = r->cache_dir, .host = "host"};
    int err = cache_open(&options, &r->cache, f);
    if (err == 0)
        err = work_recover(r->cache);
    if (err < 0)
        return err;
    r->login = (struct model_login){.model = r->model, .keywords = cache_keywords(r->cache)};
    r->engine = engine_new(r->cache, &r->account, new_worker, r);
    return r->engine ? 0 : -ENOMEM;
}

int rig_try_start(struct rig *r)
{
    struct fault f = {0};
    int err = r->engine ? 0 : open_all(r, &f);
    return err == 0 ? engine_start(r->engine) : err;
}

void rig_open(struct rig *r)
{
    struct fault f = {0};
    int err = open_all(r, &f);
    if (err < 0)
        fail_msg("the cache cannot be opened: %s: %s", strerror(-err), f.text);
}

void rig_start(struct rig *r)
{
    if (!r->engine)
        rig_open(r);
    assert_int_equal(engine_start(r->engine), 0);
}

void rig_stop(struct rig *r)
{
    if (r->engine)
        engine_stop(r->engine);
    engine_free(r->engine);
    cache_close(r->cache);
    r->engine = NULL;
    r->cache = NULL;
}

void rig_end(struct rig *r)
{
    rig_stop(r);
    record_finish(&r->record);
    model_free(r->model);
    nftw(r->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    open_rig = NULL;
}

int rig_end_open(void **state)
{
    (void)state;
    if (open_rig)
        rig_end(open_rig);
    return 0;
}

void rig_lose_database(struct rig *r)
{
    static const char *const name[] = {"mail.db", "mail.db-wal", "mail.db-shm"};
    assert_null(r->cache);
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", r->cache_dir, name[i]);
        assert_true(unlink(path) == 0 || (errno == ENOENT && i > 0));
    }
}

int rig_setup_stopped(void **state)
{
    struct rig *r = malloc(sizeof *r);
    assert_non_null(r);
    rig_begin(r, &model_full);
    *state = r;
    return 0;
}

int rig_setup(void **state)
{
    rig_setup_stopped(state);
    rig_start(*state);
    return 0;
}

int rig_teardown(void **state)
{
    rig_end(*state);
    free(*state);
    return 0;
}

/* ---- mail ---- */

enum { MAILS = 20000 };

static const char *made(unsigned n, bool wire)
{
    static char *kept[MAILS][2];
    const char *end = wire ? "\r\n" : "\n";
    struct buf b = {0};
    if (n < MAILS && kept[n][wire])
        return kept[n][wire];
    buf_addf(&b, "From: somebody@example.org%sMessage-ID: <%u@example.org>%sSubject: number %u%s%s", end, n,
             end, n, end, end);
    for (unsigned i = 0; i <= n % 7; i++)
        buf_addf(&b, "Line %u of message %u.%s", i, n, end);
    if (n >= MAILS || b.failed)
        abort();
    return kept[n][wire] = buf_take(&b);
}

const char *mail_wire(unsigned n)
{
    return made(n, true);
}

const char *mail_file(unsigned n)
{
    return made(n, false);
}

/* ---- both sides as lists of lines ---- */

struct lines {
    char **line;
    size_t n, cap;
};

static void add_line(struct lines *l, char *line)
{
    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 64;
        l->line = reallocarray(l->line, l->cap, sizeof *l->line);
        assert_non_null(l->line);
    }
    assert_non_null(line);
    l->line[l->n++] = line;
}

static void free_lines(struct lines *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->line[i]);
    free(l->line);
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *mail_line(struct rig *r, const char *box, const uint8_t hash[32], flags_t flags,
                       const char *rest)
{
    struct buf b = {0};
    buf_addf(&b, "%s ", box);
    for (unsigned i = 0; i < 6; i++)
        buf_addf(&b, "%02x", hash[i]);
    for (unsigned i = 0; i < 64; i++)
        if (flags >> i & 1)
            buf_addf(&b, " %s", keywords_name(r->login.keywords, i));
    buf_adds(&b, rest);
    return buf_take(&b);
}

static flags_t to_account(struct rig *r, flags_t model)
{
    flags_t ret = 0;
    for (unsigned i = 0; i < 64; i++)
        if (model >> i & 1)
            ret |= (flags_t)1 << keywords_bit(r->login.keywords, model_keyword_name(r->model, i));
    return ret;
}

struct comparison {
    struct rig *rig;
    struct lines server, here;
    struct mailbox box;
    char remote[MAILBOX_REMOTE_MAX];
    size_t shown;
    struct buf wrong;
};

static void add_server_mail(void *arg, const struct model_view *v)
{
    struct comparison *c = arg;
    uint8_t hash[32];
    SHA256((const unsigned char *)v->wire, v->size, hash);
    add_line(&c->server, mail_line(c->rig, v->box, hash, to_account(c->rig, v->flags), ""));
}

/* The base names the same content on the server, with the same flags. */
static void check_base(struct comparison *c, const struct message *m)
{
    struct base_state base;
    struct model_view v;
    uint8_t hash[32];
    if (base_of_message(cache_reader(c->rig->cache), m->id, &base) < 0) {
        buf_addf(&c->wrong, "row %lld has no base\n", (long long)m->id);
        return;
    }
    if (base.mailbox != m->mailbox || !model_find(c->rig->model, c->remote, base.uid, &v)) {
        buf_addf(&c->wrong, "row %lld: its base is elsewhere, or UID %u is not there\n", (long long)m->id,
                 base.uid);
        return;
    }
    SHA256((const unsigned char *)v.wire, v.size, hash);
    if (memcmp(hash, m->hash, sizeof hash) != 0)
        buf_addf(&c->wrong, "row %lld: UID %u is another message\n", (long long)m->id, base.uid);
    if (base.flags != to_account(c->rig, v.flags))
        buf_addf(&c->wrong, "row %lld: base flags %llx, server %llx\n", (long long)m->id,
                 (unsigned long long)base.flags, (unsigned long long)to_account(c->rig, v.flags));
}

static int add_mail_here(void *arg, const struct message *m)
{
    struct comparison *c = arg;
    if (m->scratch)
        return 0;
    c->shown++;
    flags_t mask = c->box.keywords_allowed ? ~(flags_t)0 : c->box.permanent;
    add_line(&c->here, mail_line(c->rig, c->remote, m->hash, m->flags & mask,
                                 m->state == MESSAGE_PRESENT ? "" : " (not settled)"));
    int r = m->state == MESSAGE_PRESENT ? body_verify(c->rig->cache, m) : 0;
    if (r < 0)
        buf_addf(&c->wrong, "row %lld: its body: %s\n", (long long)m->id, strerror(-r));
    check_base(c, m);
    return 0;
}

static int check_box(void *arg, const struct mailbox *m)
{
    struct comparison *c = arg;
    cache_rd *rd = cache_reader(c->rig->cache);
    c->box = *m;
    c->shown = 0;
    if (m->removed) {
        if (m->on_server)
            buf_addf(&c->wrong, "%s is removed and still said to be on the server\n", m->name);
        return 0;
    }
    assert_int_equal(mailbox_remote_name(rd, m, MODEL_DELIMITER, c->remote), 0);
    struct mailbox above;
    if (m->parent && (mailbox_get(rd, m->parent, &above) < 0 || above.removed))
        buf_addf(&c->wrong, "%s is not shown: it lies below what was removed\n", c->remote);
    if (m->dirs && !m->on_server)
        buf_addf(&c->wrong, "%s is not on the server\n", c->remote);
    if (m->on_server && strcmp(m->remote, c->remote) != 0)
        buf_addf(&c->wrong, "%s is %s on the server\n", c->remote, m->remote);
    if (m->on_server && !(m->attributes & MAILBOX_NOSELECT)) {
        struct buf b = {0};
        buf_addf(&b, "mailbox %s", c->remote);
        add_line(&c->here, buf_take(&b));
    }
    for (int sub = SUB_NEW; sub <= SUB_CUR; sub++)
        assert_int_equal(message_each(rd, m->id, (enum sub)sub, 0, add_mail_here, c), 0);
    if (base_count(rd, m->id) != c->shown)
        buf_addf(&c->wrong, "%s: %llu base rows, %zu messages\n", c->remote,
                 (unsigned long long)base_count(rd, m->id), c->shown);
    return 0;
}

static void check_server_boxes(struct comparison *c)
{
    char name[MAILBOX_REMOTE_MAX];
    for (size_t i = 0; model_box_name(c->rig->model, i, name, sizeof name); i++) {
        struct buf b = {0};
        if (!*name)
            continue;
        buf_addf(&b, "mailbox %s", name);
        add_line(&c->server, buf_take(&b));
    }
}

static int is_pending(void *arg, const struct pending *p)
{
    struct comparison *c = arg;
    buf_addf(&c->wrong, "row %lld is pending\n", (long long)p->message);
    return 0;
}

static int is_dirty(void *arg, const struct message *m)
{
    struct comparison *c = arg;
    struct base_state base;
    bool based = base_of_message(cache_reader(c->rig->cache), m->id, &base) == 0;
    if (m->sub != SUB_TMP && !m->scratch && (m->state != MESSAGE_GONE || based))
        buf_addf(&c->wrong, "row %lld is dirty%s\n", (long long)m->id,
                 m->state == MESSAGE_GONE ? " (gone)" : "");
    return 0;
}

static int is_failed(void *arg, const struct failure *f)
{
    struct comparison *c = arg;
    buf_addf(&c->wrong, "row %lld, mailbox %lld: %s refused: %s\n", (long long)f->message,
             (long long)f->mailbox, f->what, f->why);
    return 0;
}

/* Lines that one side has and the other has not. */
static void compare(struct comparison *c)
{
    size_t i = 0, k = 0;
    if (c->server.n)
        qsort(c->server.line, c->server.n, sizeof *c->server.line, compare_lines);
    if (c->here.n)
        qsort(c->here.line, c->here.n, sizeof *c->here.line, compare_lines);
    while ((i < c->server.n || k < c->here.n) && c->wrong.length < 4000) {
        int order = i == c->server.n ? 1 : k == c->here.n ? -1 : strcmp(c->server.line[i], c->here.line[k]);
        if (order < 0)
            buf_addf(&c->wrong, "server only: %s\n", c->server.line[i]);
        if (order > 0)
            buf_addf(&c->wrong, "here only: %s\n", c->here.line[k]);
        i += order <= 0;
        k += order >= 0;
    }
}

char *rig_differences(struct rig *r)
{
    struct comparison c = {.rig = r};
    cache_rd *rd = cache_reader(r->cache);
    model_each(r->model, NULL, add_server_mail, &c);
    check_server_boxes(&c);
    assert_int_equal(mailbox_each(rd, -1, 0, check_box, &c), 0);
    assert_int_equal(pending_each(rd, 0, is_pending, &c), 0);
    assert_int_equal(message_each_dirty(rd, 0, is_dirty, &c), 0);
    assert_int_equal(failure_each(rd, is_failed, &c), 0);
    compare(&c);
    free_lines(&c.server);
    free_lines(&c.here);
    return c.wrong.length ? buf_take(&c.wrong) : NULL;
}

void rig_check(struct rig *r)
{
    char *wrong = rig_differences(r);
    if (wrong)
        fail_msg("the sides do not agree:\n%s", wrong);
}

/* ---- quiet points ---- */

bool rig_settles(struct rig *r, int seconds)
{
    int64_t until = clock_boot_ms() + seconds * 1000;
    do {
        if (engine_sync(r->engine, 50) == 0)
            return true;
    } while (clock_boot_ms() < until);
    return false;
}

void rig_agree(struct rig *r)
{
    if (!rig_settles(r, 8 * RIG_PATIENCE)) {
        struct engine_status status;
        engine_get_status(r->engine, &status);
        print_error("no quiet point is reached (%s; %s; %llu rounds)\n",
                    status.online ? "on line" : "off line", status.problem,
                    (unsigned long long)status.rounds);
    }
    rig_check(r);
}

void rig_assert_changes(struct rig *r, const char *expected)
{
    char *text = record_text(&r->record, false);
    assert_string_equal(text, expected);
    free(text);
}

/* The first round may look once more at what this side changed: its own changes come back as news. */
void rig_check_quiet(struct rig *r)
{
    record_clear(&r->record);
    assert_int_equal(engine_sync(r->engine, 5000 * RIG_PATIENCE), 0);
    rig_assert_changes(r, "");
    assert_int_equal(record_fetched(&r->record), 0);
    record_clear(&r->record);
    assert_int_equal(engine_sync(r->engine, 5000 * RIG_PATIENCE), 0);
    char *all = record_text(&r->record, true);
    assert_string_equal(all, "TREE");
    free(all);
}

struct copies {
    const char *wire;
    unsigned n;
};

static void count_copy(void *arg, const struct model_view *v)
{
    struct copies *c = arg;
    c->n += v->size == strlen(c->wire) && memcmp(v->wire, c->wire, v->size) == 0;
}

unsigned rig_copies(struct rig *r, const char *box, const char *wire)
{
    struct copies c = {.wire = wire};
    model_each(r->model, box, count_copy, &c);
    return c.n;
}
