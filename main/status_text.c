#include "status.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

#define BOLD "\033[1m"
#define RED "\033[31m"
#define PLAIN "\033[0m"

struct page {
    FILE *out;
    bool colour;
};

static int64_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static const char *string(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static bool truth(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

/* Prints a string that came from elsewhere, and blanks up to a width in columns. */
static void put(const struct page *p, const char *text, int width)
{
    char *copy = strdup(text);
    if (!copy)
        return;
    text_clean(copy);
    int missing = width - text_columns(copy);
    fprintf(p->out, "%s%*s", copy, missing > 0 ? missing : 0, "");
    free(copy);
}

static void paint(const struct page *p, const char *colour)
{
    if (p->colour)
        fputs(colour, p->out);
}

static void head_line(const struct page *p, const char *label, const char *value)
{
    fprintf(p->out, "%-11s ", label);
    put(p, value, 0);
    fputc('\n', p->out);
}

static void print_account(const struct page *p, const json_t *s)
{
    paint(p, BOLD);
    put(p, string(s, "account"), 11);
    paint(p, PLAIN);
    if (!truth(s, "mounted")) {
        fputs(" not mounted\n", p->out);
        return;
    }
    fputs(" mounted on ", p->out);
    put(p, string(s, "mountpoint"), 0);
    fputs(truth(s, "online") ? ", on line\n" : ", off line\n", p->out);
}

static void print_problem(const struct page *p, const json_t *s)
{
    char wait[TEXT_NUMBER_SIZE];
    if (string(s, "problem")[0] == '\0')
        return;
    paint(p, RED);
    head_line(p, "problem", string(s, "problem"));
    paint(p, PLAIN);
    if (number(s, "retry_s") > 0)
        fprintf(p->out, "%-11s in %s\n", "next try", text_duration(number(s, "retry_s"), wait));
}

static void print_progress(const struct page *p, const json_t *s)
{
    char done[TEXT_NUMBER_SIZE], all[TEXT_NUMBER_SIZE], rate[TEXT_NUMBER_SIZE], left[TEXT_NUMBER_SIZE];
    uint64_t n_left = (uint64_t)number(s, "bodies_left"), n_done = (uint64_t)number(s, "bodies_done");
    double per_s = json_number_value(json_object_get(s, "rate"));
    if (n_left == 0)
        return;
    fprintf(p->out, "%-11s %s of %s messages, %s/s", "fetching", text_count(n_done, done),
            text_count(n_done + n_left, all), text_octets(per_s, rate));
    if (per_s >= 1)
        fprintf(p->out, ", %s left",
                text_duration((int64_t)((double)number(s, "octets_left") / per_s), left));
    fputc('\n', p->out);
}

/* What is not on disk, and what is. */
static void print_bodies(const struct page *p, const json_t *s)
{
    char n[TEXT_NUMBER_SIZE];
    uint64_t bare = (uint64_t)number(json_object_get(s, "totals"), "on_demand");
    if (bare > 0)
        fprintf(p->out, "%-11s %s messages, fetched when they are opened\n", "on demand",
                text_count(bare, n));
    if (number(s, "cache_octets") > 0)
        fprintf(p->out, "%-11s %s on disk\n", "bodies", text_octets((double)number(s, "cache_octets"), n));
}

static void print_head(const struct page *p, const json_t *s)
{
    char when[TEXT_NUMBER_SIZE];
    const json_t *session = json_object_get(s, "session");
    print_account(p, s);
    print_problem(p, s);
    if (json_is_object(session)) {
        fprintf(p->out, "%-11s ", "server");
        put(p, string(session, "peer"), 0);
        fputs(", ", p->out);
        put(p, string(session, "tls"), 0);
        fprintf(p->out, ", sync by %s%s\n", string(session, "speed"), truth(session, "push") ? ", push" : "");
    }
    if (string(s, "doing")[0] != '\0')
        head_line(p, "doing", string(s, "doing"));
    print_progress(p, s);
    print_bodies(p, s);
    head_line(p, "last sync", text_time(number(s, "last_sync"), when));
}

static const char *const column[] = {"messages", "unread", "waiting", "wanted", "held", "failed", NULL};

static void print_row(const struct page *p, const char *name, int width, const json_t *counts,
                      const char *tail)
{
    char text[TEXT_NUMBER_SIZE];
    put(p, name, width);
    for (size_t i = 0; column[i]; i++) {
        bool asks = strcmp(column[i], "failed") == 0 || strcmp(column[i], "held") == 0;
        bool alarm = asks && number(counts, column[i]) > 0;
        if (alarm)
            paint(p, RED);
        fprintf(p->out, " %9s", text_count((uint64_t)number(counts, column[i]), text));
        if (alarm)
            paint(p, PLAIN);
    }
    fprintf(p->out, "  %s\n", tail);
}

static int name_width(const json_t *boxes)
{
    int width = 11;
    for (size_t i = 0; i < json_array_size(boxes); i++) {
        int columns = text_columns(string(json_array_get(boxes, i), "name"));
        if (columns > width)
            width = columns;
    }
    return width < 40 ? width : 40;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(string(*(json_t *const *)a, "name"), string(*(json_t *const *)b, "name"));
}

/* Borrowed references in order of name; NULL without memory. */
static const json_t **sorted(const json_t *boxes)
{
    size_t n = json_array_size(boxes);
    const json_t **list = calloc(n + 1, sizeof *list);
    for (size_t i = 0; list && i < n; i++)
        list[i] = json_array_get(boxes, i);
    if (list)
        qsort(list, n, sizeof *list, by_name);
    return list;
}

static void print_table(const struct page *p, const json_t *s)
{
    const json_t *boxes = json_object_get(s, "mailboxes");
    const json_t **list = sorted(boxes);
    char when[TEXT_NUMBER_SIZE];
    int width = name_width(boxes);
    if (!list || !list[0]) {
        free(list);
        return;
    }
    paint(p, BOLD);
    fprintf(p->out, "\n%-*s %9s %9s %9s %9s %9s %9s  %s\n", width, "MAILBOX", "MESSAGES", "UNREAD", "WAITING",
            "WANTED", "HELD", "FAILED", "LAST SYNC");
    paint(p, PLAIN);
    for (size_t i = 0; list[i]; i++)
        print_row(p, string(list[i], "name"), width, list[i], text_time(number(list[i], "last_sync"), when));
    if (list[1])
        print_row(p, "all", width, json_object_get(s, "totals"), "");
    free(list);
}

static void print_failures(const struct page *p, const json_t *s)
{
    const json_t *failures = json_object_get(s, "failures");
    if (json_array_size(failures) > 0)
        fputc('\n', p->out);
    for (size_t i = 0; i < json_array_size(failures); i++) {
        const json_t *f = json_array_get(failures, i);
        paint(p, RED);
        fputs("refused", p->out);
        paint(p, PLAIN);
        fputs("     ", p->out);
        put(p, string(f, "mailbox"), 0);
        fputs(": ", p->out);
        put(p, string(f, "what"), 0);
        fputs(": ", p->out);
        put(p, string(f, "why"), 0);
        fprintf(p->out, " (%" PRId64 " attempts)\n", number(f, "attempts"));
    }
}

static void print_held(const struct page *p, const json_t *s)
{
    int64_t held = number(json_object_get(s, "totals"), "held");
    if (held > 0)
        fprintf(p->out, "\nheld        %" PRId64 " removals that look like an accident (mailmount held)\n",
                held);
}

void status_print(const json_t *status, FILE *out, bool colour)
{
    struct page p = {out, colour};
    print_head(&p, status);
    print_table(&p, status);
    print_failures(&p, status);
    print_held(&p, status);
}
