#include "options.h"

#include <addonfs/cleanup.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

const char options_help[] =
    "  rev=REV          show a branch, tag or commit instead of the worktree\n"
    "  view=package     mount the content of package/ as the root\n"
    "  problems=skip    leave out what cannot be read (otherwise it fails to open)\n"
    "  allow_other      let other users read the mount\n"
    "  uid=N, gid=N     show N as the owner, the group\n"
    "  umask=OCTAL      take these permission bits away\n"
    "  ro, nosuid, nodev  always on; accepted for mount(8)\n";

static int parse_number(const char *name, const char *value, int base, unsigned long limit,
                        unsigned long *ret_number, struct error *error)
{
    char *end = NULL;

    errno = 0;
    unsigned long number = strtoul(value, &end, base);
    if (errno != 0 || end == value || *end != '\0' || strchr("+- \t", value[0]) || number > limit)
        return error_set(error, -EINVAL, "option %s=%s: not %s number up to %s", name, value,
                         base == 8 ? "an octal" : "a", base == 8 ? "0777" : "4294967294");
    *ret_number = number;
    return 0;
}

static int set_value(struct options *options, const char *name, const char *value,
                     struct error *error)
{
    unsigned long number = 0;
    int r = 0;

    if (strcmp(name, "rev") == 0) {
        if (*value == '\0')
            return error_set(error, -EINVAL, "option rev: give a branch, tag or commit");
        free(options->revision);
        options->revision = strdup(value);
        return options->revision ? 0 : error_errno(error, -ENOMEM, "option rev");
    }
    if (strcmp(name, "view") == 0) {
        if (strcmp(value, "package") != 0)
            return error_set(error, -EINVAL, "option view=%s: only view=package is there", value);
        options->view_package = true;
        return 0;
    }
    if (strcmp(name, "problems") == 0) {
        if (strcmp(value, "skip") != 0)
            return error_set(error, -EINVAL, "option problems=%s: only problems=skip is there",
                             value);
        options->skip_problems = true;
        return 0;
    }
    if (strcmp(name, "uid") == 0) {
        r = parse_number(name, value, 10, UINT_MAX - 1UL, &number, error);
        options->uid = (uid_t)number;
        options->has_uid = r == 0;
    } else if (strcmp(name, "gid") == 0) {
        r = parse_number(name, value, 10, UINT_MAX - 1UL, &number, error);
        options->gid = (gid_t)number;
        options->has_gid = r == 0;
    } else if (strcmp(name, "umask") == 0) {
        r = parse_number(name, value, 8, 0777, &number, error);
        options->umask = (mode_t)number;
        options->has_umask = r == 0;
    } else {
        r = error_set(error, -EINVAL, "unknown option %s=: see addonfs --help", name);
    }
    return r;
}

static int set_flag(struct options *options, const char *name, struct error *error)
{
    static const char *const implied[] = {"ro", "nosuid", "nodev"};

    for (size_t i = 0; i < sizeof(implied) / sizeof(implied[0]); i++) {
        if (strcmp(name, implied[i]) == 0)
            return 0;
    }
    if (strcmp(name, "allow_other") == 0) {
        options->allow_other = true;
        return 0;
    }
    return error_set(error, -EINVAL, "unknown option %s: see addonfs --help", name);
}

int options_parse(struct options *options, const char *list, struct error *error)
{
    cleanup_free char *option = malloc(strlen(list) + 1);
    int r = 0;

    if (!option)
        return error_errno(error, -ENOMEM, "option");
    while (r == 0 && *list) {
        size_t length = 0;
        for (; *list && *list != ','; list++) {
            if (list[0] == '\\' && list[1] == ',')
                list++;
            option[length++] = *list;
        }
        option[length] = '\0';
        if (*list == ',')
            list++;
        char *equals = strchr(option, '=');
        if (equals)
            *equals = '\0';
        if (length > 0)
            r = equals ? set_value(options, option, equals + 1, error)
                       : set_flag(options, option, error);
    }
    return r;
}

void options_clear(struct options *options)
{
    free(options->revision);
    options->revision = NULL;
}
