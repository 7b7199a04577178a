#pragma once
/*
 * The log: one line a call to standard error (in the foreground) or to the account's log file (data_dir/log),
 * with time and level. No mail content, address, subject or secret is ever logged; control characters are
 * replaced, for text may come from a server. Thread: any.
 */
enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_to(int fd, enum log_level level); /* takes no ownership; fd -1 is silence */
int log_parse_level(const char *text);     /* error, warning, info, debug; -EINVAL */
__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *format, ...);
#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
