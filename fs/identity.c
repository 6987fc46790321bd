#include "identity.h"
#include "mountinfo.h"

#include <addonfs/cleanup.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>

int identity_of(const char *source, struct identity *ret_identity, char **ret_path,
                struct error *error)
{
    cleanup_fd int folder = open(source, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cleanup_free char *path = NULL;
    struct stat status;
    struct stat git;

    if (folder < 0 || fstat(folder, &status) < 0)
        return error_errno(error, -errno, "%s", source);
    int r = mountinfo_path_of(folder, &path);
    if (r < 0)
        return error_errno(error, r, "%s", source);
    /* Root's folder may hold another user's repository: what that one says root does not believe.
     */
    if (status.st_uid == 0 && fstatat(folder, ".git", &git, AT_SYMLINK_NOFOLLOW) == 0 &&
        git.st_uid != 0)
        status = git;
    *ret_identity = (struct identity){
        .change = geteuid() == 0 && status.st_uid != 0,
        .uid = status.st_uid,
        .gid = status.st_gid,
    };
    *ret_path = steal_pointer(&path);
    return 0;
}

int identity_become(const struct identity *identity, struct error *error)
{
    gid_t gid = identity->gid;

    /* libgit2 takes what belongs to the caller of sudo for root's own (GIT_EOWNER). */
    if (unsetenv("SUDO_UID") < 0)
        return error_errno(error, -errno, "cannot set the environment");
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
