#include "identity.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

int identity_of(const char *source, struct identity *ret_identity, struct error *error)
{
    struct stat status;

    if (stat(source, &status) < 0)
        return error_errno(error, -errno, "%s", source);
    *ret_identity = (struct identity){
        .change = geteuid() == 0 && status.st_uid != 0,
        .uid = status.st_uid,
        .gid = status.st_gid,
    };
    return 0;
}

int identity_become(const struct identity *identity, struct error *error)
{
    gid_t gid = identity->gid;

    if (!identity->change)
        return 0;
    /* An owner without a passwd entry has the source's group and no others. */
    // cppcheck-suppress getpwuidCalled ; before the first thread is started
    const struct passwd *user = getpwuid(identity->uid);
    if (user)
        gid = user->pw_gid;
    if ((user ? initgroups(user->pw_name, gid) : setgroups(1, &gid)) < 0 ||
        setresgid(gid, gid, gid) < 0 || setresuid(identity->uid, identity->uid, identity->uid) < 0)
        return error_errno(error, -errno, "cannot become user %u", (unsigned)identity->uid);
    if (setenv("HOME", user ? user->pw_dir : "/nonexistent", 1) < 0)
        return error_errno(error, -errno, "cannot set HOME");
    /* Configuration and caches that root's environment names are root's. */
    unsetenv("XDG_CONFIG_HOME");
    unsetenv("XDG_CACHE_HOME");
    /* Changing ids clears this; without it a crash leaves nothing to look at. */
    (void)prctl(PR_SET_DUMPABLE, 1);
    return 0;
}
