#include "log.h"

#include <addonfs/error.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

/* Where the process logs to is a property of the process, as stderr is. */
static atomic_bool use_syslog;

void log_to_syslog(void)
{
    openlog("addonfs", LOG_PID, LOG_DAEMON);
    atomic_store(&use_syslog, true);
}

void log_line(int priority, const char *format, ...)
{
    struct error line;
    char text[ERROR_TEXT_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    error_set(&line, 0, "%s", text);
    if (atomic_load(&use_syslog))
        syslog(priority, "%s", line.text);
    else
        fprintf(stderr, "addonfs: %s\n", line.text);
}
