#include "fault.h"

#include <stdio.h>
#include <string.h>

void fault_one_line(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c; c++) {
        /* C1 controls (U+0080 to U+009F) drive terminals as well as C0 does. */
        bool c1 = c[0] == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f;
        if (c1)
            c[1] = '?';
        if (c1 || *c < 0x20 || *c == 0x7f)
            *c = '?';
    }
}

int fault_set(struct fault *f, enum fault_exit exit, int err, const char *format, ...)
{
    if (!f)
        return err;
    /* The arguments may point into the old text. */
    char text[sizeof(f->text)];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fault_one_line(text);
    memcpy(f->text, text, sizeof(text));
    f->exit = exit;
    f->err = err;
    return err;
}

void fault_prefix(struct fault *f, const char *format, ...)
{
    if (!f || !f->err)
        return;
    char context[sizeof(f->text)], text[2 * sizeof(f->text) + 2];
    va_list args;
    va_start(args, format);
    vsnprintf(context, sizeof(context), format, args);
    va_end(args);
    fault_one_line(context);
    snprintf(text, sizeof(text), "%s: %s", context, f->text);
    snprintf(f->text, sizeof(f->text), "%.*s", (int)sizeof(f->text) - 1, text);
}
