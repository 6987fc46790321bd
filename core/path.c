#include <addonfs/path.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ALPHANUMERIC "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

enum { NAME_LIMIT = 128 };

static bool consists_of(const char *name, const char *characters)
{
    return name[strspn(name, characters)] == '\0';
}

bool path_addon_name_ok(const char *name)
{
    size_t length = strlen(name);

    return length > 0 && length <= NAME_LIMIT && consists_of(name, ALPHANUMERIC "_.-") &&
           strchr(".-", name[0]) == NULL && strchr(".-", name[length - 1]) == NULL;
}

bool path_version_ok(const char *version)
{
    size_t length = strlen(version);

    return length > 0 && length <= NAME_LIMIT && consists_of(version, ALPHANUMERIC ".+_-") &&
           strchr(".+_-", version[0]) == NULL && strstr(version, "..") == NULL;
}

bool path_is_git(const char *name)
{
    return strcasecmp(name, ".git") == 0;
}

bool path_recipe_ok(const char *path)
{
    if (*path == '\0')
        return false;
    for (;;) {
        char component[8] = "";
        size_t length = strcspn(path, "/");

        if (length < sizeof(component))
            memcpy(component, path, length);
        if (length == 0 || strcmp(component, ".") == 0 || strcmp(component, "..") == 0 ||
            path_is_git(component))
            return false;
        if (path[length] == '\0')
            return true;
        path += length + 1;
    }
}

char *path_join(const char *folder, const char *name)
{
    char *joined = NULL;

    if (*folder == '\0')
        return strdup(name);
    return asprintf(&joined, "%s/%s", folder, name) < 0 ? NULL : joined;
}

bool path_is_within(const char *path, const char *folder)
{
    size_t length = strlen(folder);

    return length == 0 ||
           (strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == '\0'));
}
