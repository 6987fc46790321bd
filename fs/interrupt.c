#include "interrupt.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* Is the thread about to end? The kernel turns every signal that ends it into SIGKILL (proc(5)). */
static bool is_dying(pid_t thread)
{
    static const char key[] = "SigPnd:";
    char path[48];
    char line[256];
    bool dying = false;

    snprintf(path, sizeof(path), "/proc/%ld/status", (long)thread);
    FILE *status = thread > 0 ? fopen(path, "re") : NULL;
    while (status && fgets(line, sizeof(line), status)) {
        if (strncmp(line, key, sizeof(key) - 1) == 0)
            dying = strtoull(line + sizeof(key) - 1, NULL, 16) >> (SIGKILL - 1) & 1;
    }
    if (status)
        fclose(status);
    return dying;
}

static void on_interrupt(fuse_req_t request, void *context)
{
    _Atomic bool *interrupted = context;

    if (is_dying(fuse_req_ctx(request)->pid))
        atomic_store(interrupted, true);
}

void interrupt_begin(fuse_req_t request, _Atomic bool *interrupted)
{
    fuse_req_interrupt_func(request, on_interrupt, interrupted);
}

void interrupt_end(fuse_req_t request)
{
    fuse_req_interrupt_func(request, NULL, NULL);
}
