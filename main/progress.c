#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clock.h"
#include "engine.h"
#include "text.h"

#define PLAIN_EVERY_MS 5000

void progress_init(struct progress *p, const char *what)
{
    *p = (struct progress){.what = what, .terminal = isatty(STDERR_FILENO)};
}

static int terminal_columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col < 20)
        return 80;
    return size.ws_col < 200 ? size.ws_col : 200;
}

static void draw_bar(char *out, size_t size, int width, double share)
{
    int full = (int)(share * width);
    size_t n = 0;
    if (width < 5 || (size_t)width + 4 > size) {
        out[0] = '\0';
        return;
    }
    out[n++] = '[';
    for (int i = 0; i < width; i++)
        out[n++] = i < full ? '#' : '.';
    memcpy(out + n, "] ", 3);
}

/* "45 %, 9,000 of 20,000 messages, 14.2 MB/s, 0:21 left" */
static void amount(const struct engine_status *s, double share, char *out, size_t size)
{
    char done[TEXT_NUMBER_SIZE], all[TEXT_NUMBER_SIZE], rate[TEXT_NUMBER_SIZE], left[TEXT_NUMBER_SIZE];
    int n =
        snprintf(out, size, "%.0f %%, %s of %s messages, %s/s", share * 100, text_count(s->bodies_done, done),
                 text_count(s->bodies_done + s->bodies_left, all), text_octets(s->bytes_per_s, rate));
    if (n > 0 && (size_t)n < size && s->bytes_per_s >= 1)
        snprintf(out + n, size - (size_t)n, ", %s left",
                 text_duration((int64_t)((double)s->bytes_left / s->bytes_per_s), left));
}

void progress_line(const char *what, const struct engine_status *s, int columns, bool bar, char *out,
                   size_t size)
{
    char numbers[160] = "", drawing[256] = "";
    const char *state = s->doing[0] != '\0' ? s->doing : s->online ? "on line" : s->problem;
    if (s->bodies_left > 0) {
        uint64_t all = s->bytes_done + s->bytes_left;
        double share = all > 0 ? (double)s->bytes_done / (double)all : 0;
        amount(s, share, numbers, sizeof numbers);
        if (bar)
            draw_bar(drawing, sizeof drawing, columns - (int)strlen(what) - 2 - (int)strlen(numbers) - 4,
                     share);
        state = "";
    }
    int n = snprintf(out, size, "%s: %s%s%s", what, drawing, numbers, state);
    text_clean(out);
    if (n > columns && (size_t)columns < size)
        out[columns] = '\0';
}

static void show_on_terminal(struct progress *p, const struct engine_status *s)
{
    char line[256];
    int columns = terminal_columns() - 1;
    progress_line(p->what, s, columns, true, line, sizeof line);
    fprintf(stderr, "\r\033[K%s\r",
            line); /* the cursor in front: a line of the log then writes over the bar */
    fflush(stderr);
    p->drawn = true;
}

void progress_show(struct progress *p, const struct engine_status *s)
{
    int64_t now = clock_boot_ms();
    if (p->terminal) {
        show_on_terminal(p, s);
        return;
    }
    if (p->last_ms != 0 && now - p->last_ms < PLAIN_EVERY_MS)
        return;
    char line[256];
    progress_line(p->what, s, (int)sizeof line - 1, false, line, sizeof line);
    p->last_ms = now;
    if (strcmp(line, p->shown) == 0)
        return;
    memcpy(p->shown, line, sizeof line);
    fprintf(stderr, "%s\n", line);
}

void progress_end(struct progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", stderr);
    p->drawn = false;
}
