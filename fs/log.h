/*
 * log: one line at a time, to stderr in the foreground and to syslog otherwise.
 *
 * Thread-safe. A line never holds a file's content.
 */
#ifndef ADDONFS_LOG_H
#define ADDONFS_LOG_H

#include <syslog.h>

/* From now on log to syslog (facility daemon), because there is no terminal any more. */
void log_to_syslog(void);

/* `priority` is syslog(3)'s: LOG_ERR, LOG_WARNING, LOG_NOTICE, … */
void log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
