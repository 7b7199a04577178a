/*
 * Mounts a cache without an engine, for the tests beside it, which play the server's part by lines on
 * standard input. Each line is answered by "ok ..." or "error NUMBER".
 *
 *   mountfs CACHE MOUNTPOINT fs|maildir++
 *
 *   box PATH              the server has this mailbox (parent by path, '/')
 *   mail BOX SUB NAME TEXT...  the server has this message ("\n" ends lines); its body is here
 *   mv BOX SUB OLD NEW    the server's flags changed, say: another name
 *   flags BOX SUB NAME N  other flags, the same name
 *   rm BOX SUB NAME       another client removed it
 *   lose BOX SUB NAME     its body is lost from the store
 *   find BOX SUB NAME TEXT...  the body comes again; who waits is told
 *   settle                what the engine does after half a second
 *   row BOX SUB NAME      "ok ID STATE FLAGS BASED DATE SIZE MAILBOX"
 *   gone                  "ok NAME:AFTER:BASED ..." of rows that are GONE
 *   boxes                 "ok NAME:PARENT:DIRS:REMOVED ..."
 *   quit
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base_state.h"
#include "body.h"
#include "box.h"
#include "fs.h"
#include "log.h"
#include "message.h"
#include "work.h"

static struct cache *cache;
static struct fs *fs;

struct line {
    const char *box, *sub, *name, *rest;
    struct message m;
    struct mailbox b;
    uint32_t uid;
};

static int find_box(const char *path, struct mailbox *ret)
{
    char copy[512], *at = copy, *level;
    struct mailbox m = {0};
    int r = -ENOENT;
    snprintf(copy, sizeof(copy), "%s", path);
    while ((level = strsep(&at, "/"))) {
        r = mailbox_find(cache_reader(cache), m.id, level, &m);
        if (r < 0)
            return r;
    }
    *ret = m;
    return r;
}

static int find_message(struct line *l)
{
    enum sub sub;
    int r = find_box(l->box, &l->b);
    if (r < 0 || !tree_sub_of_name(l->sub, &sub))
        return r < 0 ? r : -EINVAL;
    return message_find(cache_reader(cache), l->b.id, sub, l->name, &l->m);
}

static int put_box(cache_tx *tx, void *arg)
{
    return mailbox_put(tx, arg);
}

static int do_box(struct line *l)
{
    char parent[512];
    struct mailbox above = {0};
    const char *slash = strrchr(l->box, '/');
    struct mailbox m = {.dirs = MAILBOX_ALL_DIRS, .on_server = true, .delimiter = '/', .uidvalidity = 1};
    snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - l->box) : 0, l->box);
    int r = slash ? find_box(parent, &above) : 0;
    if (r < 0)
        return r;
    m.parent = above.id;
    snprintf(m.name, sizeof(m.name), "%s", slash ? slash + 1 : l->box);
    snprintf(m.remote, sizeof(m.remote), "%s", l->box);
    return cache_write(cache, CACHE_FROM_SERVER, CACHE_SOON, put_box, &m);
}

static int write_body(const char *text, struct body_info *ret)
{
    struct body_writer *w;
    int r = body_writer_open(cache, &w);
    if (r < 0)
        return r;
    for (; *text; text++) {
        bool end = text[0] == '\\' && text[1] == 'n';
        r = end ? body_writer_write(w, "\r\n", 2) : body_writer_write(w, text, 1);
        text += end;
    }
    (void)r; /* sticky: finish tells */
    return body_writer_finish(w, ret);
}

static int put_mail(cache_tx *tx, void *arg)
{
    static uint32_t uid;
    struct line *l = arg;
    int r = message_put(tx, &l->m);
    if (r < 0 || l->uid)
        return r;
    return base_put(tx, &(struct base_state){
                            .mailbox = l->m.mailbox, .uid = ++uid, .message = l->m.id, .flags = l->m.flags});
}

static int do_mail(struct line *l)
{
    struct body_info info;
    struct maildir_name parsed;
    enum sub sub;
    int r = find_box(l->box, &l->b);
    if (r == 0)
        r = tree_sub_of_name(l->sub, &sub) ? write_body(l->rest, &info) : -EINVAL;
    if (r < 0)
        return r;
    maildir_parse(l->name, NULL, &parsed);
    l->m = (struct message){.mailbox = l->b.id,
                            .sub = sub,
                            .state = MESSAGE_PRESENT,
                            .has_hash = true,
                            .form = info.form,
                            .size = info.size,
                            .wire_size = info.wire_size,
                            .date_s = 1000000000,
                            .flags = parsed.flags};
    memcpy(l->m.hash, info.hash, sizeof(l->m.hash));
    snprintf(l->m.name, sizeof(l->m.name), "%s", l->name);
    return cache_write(cache, CACHE_FROM_SERVER, CACHE_SOON, put_mail, l);
}

static int put_row(cache_tx *tx, void *arg)
{
    return message_put(tx, arg);
}

static int do_change(struct line *l, const char *verb)
{
    int r = find_message(l);
    if (r < 0)
        return r;
    if (strcmp(verb, "mv") == 0)
        snprintf(l->m.name, sizeof(l->m.name), "%s", l->rest);
    else if (strcmp(verb, "flags") == 0)
        l->m.flags = strtoull(l->rest, NULL, 0);
    else
        l->m.state = MESSAGE_GONE;
    return cache_write(cache, CACHE_FROM_SERVER, CACHE_SOON, put_row, &l->m);
}

static int do_lose(struct line *l)
{
    char path[128] = "bodies/";
    int r = find_message(l);
    if (r < 0)
        return r;
    for (int i = 0; i < 32; i++)
        sprintf(path + strlen(path), i == 0 ? "%02x/" : "%02x", l->m.hash[i]);
    return unlinkat(cache_dirfd(cache), path, 0) < 0 ? -errno : 0;
}

static int do_find(struct line *l)
{
    struct body_info info;
    int64_t ids[16];
    int r = find_message(l);
    if (r == 0)
        r = write_body(l->rest, &info);
    if (r < 0)
        return r;
    size_t n = cache_wanted_take(cache, ids, 16);
    for (size_t i = 0; i < n; i++)
        cache_wanted_done(cache, ids[i], ids[i] == l->m.id ? 0 : -ENETDOWN);
    return 0;
}

static int take_id(void *arg, const struct message *m)
{
    *(int64_t *)arg = m->id;
    return 1;
}

static int do_settle(void)
{
    int64_t id;
    int r;
    while (message_each_unsettled(cache_reader(cache), take_id, &id) == 1) {
        /* RELEASE comes some time after close(2). */
        for (int i = 0; (r = work_settle(cache, id)) == -EAGAIN && i < 500; i++)
            usleep(10000);
        if (r < 0)
            return r;
    }
    return 0;
}

static bool is_based(int64_t id)
{
    struct base_state b;
    return base_of_message(cache_reader(cache), id, &b) == 0;
}

static int do_row(struct line *l)
{
    int r = find_message(l);
    if (r == 0)
        printf("ok %" PRId64 " %d %" PRIu64 " %d %" PRId64 " %" PRId64 " %" PRId64 "\n", l->m.id, l->m.state,
               l->m.flags, is_based(l->m.id), l->m.date_s, l->m.size, l->m.mailbox);
    return r < 0 ? r : 1;
}

static int print_gone(void *arg, const struct message *m)
{
    (void)arg;
    printf(" %s:%" PRId64 ":%d", m->name, m->after, is_based(m->id));
    return 0;
}

static int print_box(void *arg, const struct mailbox *m)
{
    (void)arg;
    printf(" %s:%" PRId64 ":%u:%d", m->name, m->parent, m->dirs, m->removed);
    return 0;
}

/* 0: say ok; 1: has said so; negative: an error. */
static int obey(const char *verb, struct line *l)
{
    if (strcmp(verb, "box") == 0)
        return do_box(l);
    if (strcmp(verb, "mail") == 0)
        return do_mail(l);
    if (strcmp(verb, "mv") == 0 || strcmp(verb, "flags") == 0 || strcmp(verb, "rm") == 0)
        return do_change(l, verb);
    if (strcmp(verb, "lose") == 0)
        return do_lose(l);
    if (strcmp(verb, "find") == 0)
        return do_find(l);
    if (strcmp(verb, "settle") == 0)
        return do_settle();
    if (strcmp(verb, "row") == 0)
        return do_row(l);
    bool gone = strcmp(verb, "gone") == 0;
    if (!gone && strcmp(verb, "boxes") != 0)
        return -EINVAL;
    printf("ok");
    if (gone)
        message_each_gone(cache_reader(cache), print_gone, NULL);
    else
        mailbox_each(cache_reader(cache), -1, 0, print_box, NULL);
    printf("\n");
    return 1;
}

/* It is cancelled when the mount ends by itself: while it waits, and never in the middle of anything. */
static bool next_line(char *text, int size)
{
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    bool some = fgets(text, size, stdin) != NULL;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    return some;
}

static void *listen_to_server(void *arg)
{
    char text[65536];
    while (next_line(text, sizeof(text))) {
        char *at = text;
        struct line l = {0};
        text[strcspn(text, "\n")] = '\0';
        const char *verb = strsep(&at, " ");
        l.box = at ? strsep(&at, " ") : "";
        l.sub = at ? strsep(&at, " ") : "";
        l.name = at ? strsep(&at, " ") : "";
        l.rest = at ? at : "";
        if (strcmp(verb, "quit") == 0)
            break;
        int r = obey(verb, &l);
        if (r <= 0)
            printf(r < 0 ? "error %d\n" : "ok\n", -r);
        fflush(stdout);
    }
    fs_exit(fs);
    return arg;
}

static char *virtual_file(void *arg, const char *name)
{
    (void)arg;
    return strcmp(name, "status") == 0 ? strdup("{\"state\": \"a test\"}\n") : NULL;
}

static void on_signal(int signal_number)
{
    (void)signal_number;
    fs_exit(fs);
}

int main(int argc, char **argv)
{
    struct fault f = {0};
    pthread_t server;
    if (argc != 4)
        return FAULT_USAGE;
    struct cache_options o = {.dir = argv[1], .host = "host"};
    struct fs_options options = {.mountpoint = argv[2],
                                 .account = "test, with a comma",
                                 .layout =
                                     strcmp(argv[3], "fs") == 0 ? CONFIG_LAYOUT_FS : CONFIG_LAYOUT_MAILDIRPP,
                                 .debug = getenv("MOUNTFS_DEBUG") != NULL,
                                 .virtual_file = virtual_file};
    log_to(2, LOG_LEVEL_INFO);
    if (cache_open(&o, &cache, &f) < 0 || fs_mount(cache, &options, &fs, &f) < 0) {
        fprintf(stderr, "mountfs: %s\n", f.text);
        return f.exit;
    }
    signal(SIGTERM, on_signal);
    printf("mounted\n");
    fflush(stdout);
    if (pthread_create(&server, NULL, listen_to_server, NULL) != 0)
        return FAULT_IO;
    int r = fs_loop(fs);
    /* It sits in read(2), or has just said that it is over: nobody may do so of what is gone. */
    pthread_cancel(server);
    pthread_join(server, NULL);
    fs_unmount(fs);
    cache_close(cache);
    return r < 0 ? FAULT_IO : 0;
}
