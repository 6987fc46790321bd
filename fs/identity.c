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
    /* Root's environment is root's: folders to write to, configuration to believe, secrets. */
    if (clearenv() != 0 || setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1) < 0 ||
        setenv("HOME", user ? user->pw_dir : "/nonexistent", 1) < 0)
        return error_errno(error, -ENOMEM, "cannot set the environment");
#ifdef __SANITIZE_ADDRESS__
    (void)prctl(PR_SET_DUMPABLE, 1); /* LeakSanitizer traces its own process */
#endif
    /*
     * Changing ids has made the process one that its user may not trace or dump (prctl(2),
     * PR_SET_DUMPABLE), and it stays so: what root had in memory is not the user's to see.
     */
    return 0;
}
