#include "mounthelper.h"
#include "mount.h"
#include "options.h"

#include <addonfs/cleanup.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* mount(8), "Exit status". */
enum { EXIT_DONE = 0, EXIT_USAGE = 1, EXIT_FAILED = 32 };

/*
 * What is said to mount(8), systemd.mount(5) or the kernel, and changes nothing here: mounts are
 * read-only, without set-user-ID, devices and times of access.
 */
static bool is_for_others(const char *option, size_t length)
{
    static const char *const words[] = {
        "defaults", "rw",         "auto",     "noauto",     "nofail", "_netdev",
        "user",     "nouser",     "users",    "owner",      "group",  "exec",
        "suid",     "dev",        "async",    "sync",       "atime",  "noatime",
        "diratime", "nodiratime", "relatime", "norelatime", "silent", "loud",
    };
    static const char *const prefixes[] = {"x-", "X-", "user=", "comment="};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strlen(words[i]) == length && strncmp(option, words[i], length) == 0)
            return true;
    }
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (strncmp(option, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    }
    return false;
}

/* How long the option at `list` is: up to a comma that no backslash is before. */
static size_t option_length(const char *list)
{
    size_t length = 0;

    while (list[length] && list[length] != ',')
        length += list[length] == '\\' && list[length + 1] == ',' ? 2 : 1;
    return length;
}

/* Take those of the list that are ours. `sloppy`: pass over what nobody knows. */
static int take_options(struct options *options, const char *list, bool sloppy, struct error *error)
{
    while (*list) {
        size_t length = option_length(list);
        cleanup_free char *option = strndup(list, length);
        if (!option)
            return error_errno(error, -ENOMEM, "option");
        int r = length == 0 || is_for_others(option, length)
                    ? 0
                    : options_parse(options, option, error);
        if (r < 0 && !(r == -EINVAL && sloppy))
            return r;
        list += length;
        list += *list == ',';
    }
    return 0;
}

/*
 * `mount -N` leaves it to its helper to enter the mount namespace. The source is looked up there as
 * well, because that is where the daemon will live.
 */
static int enter_namespace(const char *path, struct error *error)
{
    cleanup_fd int namespace = open(path, O_RDONLY | O_CLOEXEC);

    return namespace < 0 || setns(namespace, CLONE_NEWNS) < 0
               ? error_errno(error, -errno, "%s", path)
               : 0;
}

static int fail(const struct error *error, int code)
{
    fprintf(stderr, MOUNTHELPER_NAME ": %s\n", error->text);
    return code;
}

int mounthelper_main(int count, char **arguments)
{
    struct options options = {.root = NULL};
    const char *operands[2] = {NULL, NULL};
    const char *namespace = NULL;
    struct error error = {0};
    bool sloppy = false;
    bool fake = false;
    int found = 0;
    int option;
    int r = 0;

    opterr = 0;
    while (r == 0 && (option = getopt(count, arguments, "-sfnvo:t:N:")) != -1) {
        switch (option) {
        case 1:
            if (found == 2)
                return fail(
                    (error_set(&error, -EINVAL, "one argument too many: %s", optarg), &error),
                    EXIT_USAGE);
            operands[found++] = optarg;
            break;
        case 's':
            sloppy = true;
            break;
        case 'f':
            fake = true;
            break;
        case 'o':
            r = take_options(&options, optarg, sloppy, &error);
            break;
        case 'N':
            namespace
            = optarg;
            break;
        case 'n': /* nobody writes /etc/mtab */
        case 'v':
        case 't':
            break;
        default:
            r = error_set(&error, -EINVAL, "unknown option -%c", optopt);
        }
    }
    if (r == 0 && found < 2)
        r = error_set(&error, -EINVAL,
                      "usage: " MOUNTHELPER_NAME
                      " SOURCE MOUNTPOINT [-sfnv] [-N NAMESPACE] [-o OPTION,…]");
    if (r < 0) {
        options_clear(&options);
        return fail(&error, EXIT_USAGE);
    }
    if (namespace && !fake)
        r = enter_namespace(namespace, &error);
    if (r == 0 && !fake)
        r = mount_run(operands[0], operands[1], &options, false, &error);
    options_clear(&options);
    return r < 0 ? fail(&error, EXIT_FAILED) : EXIT_DONE;
}
