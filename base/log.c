#include "log.h"
#include "fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LOG_LINE_MAX = 1024 };

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARNING] = "warning",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

/* Where lines go. Until somebody says otherwise they go to standard error, for nothing may fail in silence.
 */
static atomic_int log_fd = STDERR_FILENO;
static atomic_int log_level = LOG_LEVEL_INFO;

void log_to(int fd, enum log_level level)
{
    atomic_store(&log_level, (int)level);
    atomic_store(&log_fd, fd);
}

int log_parse_level(const char *text)
{
    for (int i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++)
        if (strcmp(text, level_names[i]) == 0)
            return i;
    return -EINVAL;
}

/* "2026-11-23T14:00:00.123 warning " in local time, as people compare it with their clocks. */
static size_t log_stamp(char *out, size_t size, enum log_level level)
{
    struct timespec now;
    struct tm local;
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &local);
    size_t length = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &local);
    int more =
        snprintf(out + length, size - length, ".%03d %s ", (int)(now.tv_nsec / 1000000), level_names[level]);
    return length + (size_t)more;
}

void log_line(enum log_level level, const char *format, ...)
{
    int fd = atomic_load(&log_fd);
    if (fd < 0 || (int)level > atomic_load(&log_level))
        return;
    int saved = errno;
    char line[LOG_LINE_MAX];
    size_t length = log_stamp(line, sizeof(line), level);
    va_list args;
    va_start(args, format);
    vsnprintf(line + length, sizeof(line) - length - 1, format, args);
    va_end(args);
    fault_one_line(line);
    length = strlen(line);
    line[length++] = '\n';
    /* One write a line, so that threads and processes that share a log never mix theirs. There is nobody to
     * tell when it fails. */
    ssize_t written = write(fd, line, length);
    (void)written;
    errno = saved;
}
