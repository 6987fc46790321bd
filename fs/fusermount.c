#include "fusermount.h"

#include <addonfs/cleanup.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int fusermount_unmount(const char *mountpoint, bool lazy, char *words, size_t size)
{
    cleanup_fd int output = memfd_create("fusermount3", MFD_CLOEXEC);
    int status = 0;

    words[0] = '\0';
    pid_t child = fork();
    if (child == 0) {
        dup2(output, STDERR_FILENO);
        execlp("fusermount3", "fusermount3", lazy ? "-uz" : "-u", "--", mountpoint, (char *)NULL);
        _exit(127);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (child < 0)
        return -errno;
    ssize_t n = pread(output, words, size - 1, 0);
    words[n > 0 ? n : 0] = '\0';
    words[strcspn(words, "\n")] = '\0';
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        snprintf(words, size, "is fusermount3 installed?");
    else if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return strstr(words, strerror(EBUSY)) ? -EBUSY : -EPERM;
}
