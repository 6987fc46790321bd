#include "source_git.h"

#include <errno.h>
#include <string.h>

const char *source_git_message(void)
{
    const git_error *last = git_error_last();

    return last && last->message ? last->message : "unknown error of libgit2";
}

/* A message ends in what strerror says; of these, the ones that are told apart. */
static int errno_of_message(const char *message)
{
    static const int codes[] = {ENOMEM, ENOSPC, EDQUOT, EMFILE, ENFILE, ESTALE, EINTR};
    size_t length = strlen(message);

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        char buffer[128];
        const char *text = strerror_r(codes[i], buffer, sizeof(buffer));
        size_t size = strlen(text);
        if (length > size && strcmp(message + length - size, text) == 0)
            return -codes[i];
    }
    return -EAGAIN;
}

int source_git_failure(int code)
{
    const git_error *last = git_error_last();
    int class = last ? last->klass : GIT_ERROR_NONE;

    if (class == GIT_ERROR_NOMEMORY)
        return -ENOMEM;
    switch (code) {
    case GIT_ENOTFOUND:
    case GIT_EAMBIGUOUS:
    case GIT_EINVALIDSPEC:
    case GIT_EPEEL:
    case GIT_EMISMATCH:
        return -EIO;
    default:
        break;
    }
    switch (class) {
    case GIT_ERROR_OS:
        return errno_of_message(last->message);
    case GIT_ERROR_ZLIB:
        /* Not the stream is at fault: inflateInit had no memory. */
        return strncmp(last->message, "failed to init", 14) == 0 ? -ENOMEM : -EIO;
    case GIT_ERROR_REFERENCE:
    case GIT_ERROR_ODB:
    case GIT_ERROR_OBJECT:
    case GIT_ERROR_TREE:
    case GIT_ERROR_TAG:
        return -EIO;
    default:
        return -EAGAIN;
    }
}
