#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

const char *text_count(uint64_t n, char out[TEXT_NUMBER_SIZE])
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, n);
    char *p = out;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            *p++ = ',';
        *p++ = digits[i];
    }
    *p = '\0';
    return out;
}

const char *text_octets(double octets, char out[TEXT_NUMBER_SIZE])
{
    static const char *const unit[] = {"B", "kB", "MB", "GB", "TB"};
    size_t i = 0;
    for (; octets >= 999.5 && i < sizeof unit / sizeof *unit - 1; i++)
        octets /= 1000;
    snprintf(out, TEXT_NUMBER_SIZE, i > 0 && octets < 99.95 ? "%.1f %s" : "%.0f %s", octets, unit[i]);
    return out;
}

const char *text_duration(int64_t s, char out[TEXT_NUMBER_SIZE])
{
    if (s < 0)
        s = 0;
    if (s < 3600)
        snprintf(out, TEXT_NUMBER_SIZE, "%" PRId64 ":%02" PRId64, s / 60, s % 60);
    else
        snprintf(out, TEXT_NUMBER_SIZE, "%" PRId64 ":%02" PRId64 ":%02" PRId64, s / 3600, s / 60 % 60,
                 s % 60);
    return out;
}

const char *text_time(int64_t s, char out[TEXT_NUMBER_SIZE])
{
    time_t t = (time_t)s;
    struct tm tm;
    if (s == 0 || !localtime_r(&t, &tm) || strftime(out, TEXT_NUMBER_SIZE, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        snprintf(out, TEXT_NUMBER_SIZE, "never");
    return out;
}

int text_columns(const char *s)
{
    int columns = 0;
    mbstate_t state = {0};
    for (size_t left = strlen(s); left > 0;) {
        wchar_t c;
        size_t n = mbrtowc(&c, s, left, &state);
        if (n == 0 || n > left) { /* not in this locale's encoding */
            state = (mbstate_t){0};
            c = L'?';
            n = 1;
        }
        int width = wcwidth(c);
        columns += width >= 0 ? width : 1;
        s += n;
        left -= n;
    }
    return columns;
}

char *text_clean(char *s)
{
    for (unsigned char *p = (unsigned char *)s; *p; p++) {
        if (*p < ' ' || *p == 127)
            *p = '?';
        else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) /* C1 controls in UTF-8 */
            p[0] = p[1] = '?';
    }
    return s;
}
