/* What a version needs, and what it says of itself. */
#include "deployment_manifest.h"
#include "verify_parts.h"

#include <addonfs/path.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct checking {
    struct verification *verification;
    const struct deployment *deployment;
    struct inventory_item *files;
    char *name;    /* as the first place that has one says; … */
    char *version; /* … likewise */
    char *name_place;
    char *version_place;
    char *client; /* the folder of the client's code, or NULL */
};

static void checking_clear(struct checking *checking)
{
    free(checking->name);
    free(checking->version);
    free(checking->name_place);
    free(checking->version_place);
    free(checking->client);
}

#define cleanup_checking __attribute__((cleanup(checking_clear)))

/* A path below the version's files, as one in the package. NULL without memory. */
static char *place(const struct checking *checking, const char *path)
{
    cleanup_free char *below =
        checking->deployment->shape == DEPLOYMENT_UPLOAD ? path_join("addon", path) : strdup(path);

    return below ? path_join(checking->deployment->path, below) : NULL;
}

static int find_fault(const struct checking *checking, const char *path, const char *text)
{
    cleanup_free char *at = place(checking, path);

    return at ? verify_add(checking->verification, at, "%s", text) : -ENOMEM;
}

/* --- The same everywhere ------------------------------------------------------------------------
 */

/* `at` says `value` (taken over; NULL: it says nothing); the first one is what others are to say.
 */
static int compare(const struct checking *checking, const char *what, char **known,
                   char **known_place, const char *at, char *value)
{
    cleanup_free char *said = value;

    if (!said)
        return 0;
    if (!*known) {
        *known = steal_pointer(&said);
        *known_place = strdup(*at ? at : ".");
        return *known_place ? 0 : -ENOMEM;
    }
    if (strcmp(*known, said) == 0)
        return 0;
    return verify_add(checking->verification, at, "says %s %s, but %s says %s", what, said,
                      *known_place, *known);
}

static int say_name(struct checking *checking, const char *at, char *value)
{
    return compare(checking, "the name", &checking->name, &checking->name_place, at, value);
}

static int say_version(struct checking *checking, const char *at, char *value)
{
    return compare(checking, "version", &checking->version, &checking->version_place, at, value);
}

static int say_version_of(struct checking *checking, const char *path, const char *variable)
{
    cleanup_free char *at = place(checking, path);
    char *value = NULL;

    int r =
        at ? deployment_literal(inventory_find(checking->files, path), variable, &value) : -ENOMEM;
    return r == 0 ? say_version(checking, at, value) : r;
}

/* What the folders or the archive are called, if that can be told to be a name and a version. */
static int say_folder(struct checking *checking)
{
    const struct deployment *deployment = checking->deployment;
    bool alone = *deployment->path == '\0';
    bool fits = deployment->folder_addon && (!alone || !checking->name ||
                                             strcmp(checking->name, deployment->folder_addon) == 0);
    char *version = deployment->folder_version ? strdup(deployment->folder_version) : NULL;
    int r = 0;

    if (alone && !fits) {
        free(version);
        return 0;
    }
    if (deployment->folder_version && !version)
        return -ENOMEM;
    r = say_version(checking, deployment->path, version);
    char *name = deployment->folder_addon ? strdup(deployment->folder_addon) : NULL;
    return r == 0 ? say_name(checking, deployment->path, name) : (free(name), r);
}

/* --- Kinds --------------------------------------------------------------------------------------
 */

static int check_manifest(struct checking *checking)
{
    cleanup_free char *at = path_join(checking->deployment->path, "manifest.json");
    char *name = NULL;
    char *version = NULL;

    if (!at)
        return -ENOMEM;
    int r = deployment_manifest(inventory_find(checking->deployment->item, "manifest.json"), &name,
                                &version);
    if (r == -EINVAL)
        return verify_add(checking->verification, at, "is no JSON object");
    if (r == 0 && (!name || !version))
        r = verify_add(checking->verification, at, "has no %s",
                       name ? "addon_version" : "addon_name");
    if (r == 0)
        r = say_name(checking, at, steal_pointer(&name));
    if (r == 0)
        r = say_version(checking, at, steal_pointer(&version));
    free(name);
    free(version);
    return r;
}

static bool is_file(const struct checking *checking, const char *path)
{
    const struct inventory_item *item = inventory_find(checking->files, path);

    return item && item->kind == INVENTORY_FILE;
}

/* As current addons have it. */
static int check_package_py(struct checking *checking)
{
    const struct inventory_item *item = inventory_find(checking->files, "package.py");
    cleanup_free char *at = place(checking, "package.py");
    char *name = NULL;
    char *version = NULL;

    int r = at ? deployment_literal(item, "name", &name) : -ENOMEM;
    if (r == 0)
        r = deployment_literal(item, "version", &version);
    if (r == 0)
        r = deployment_literal(item, "client_dir", &checking->client);
    if (r == 0 && (!name || !version))
        r = verify_add(checking->verification, at, "declares no %s", name ? "version" : "name");
    if (r == 0)
        r = say_name(checking, at, steal_pointer(&name));
    if (r == 0)
        r = say_version(checking, at, steal_pointer(&version));
    free(name);
    free(version);
    return r;
}

/* As OpenPype had it. */
static int check_version_py(struct checking *checking)
{
    const char *addon = checking->deployment->addon;
    char *version = NULL;

    if (!is_file(checking, "version.py"))
        return find_fault(checking, "version.py", "is missing, and so is package.py");
    int r =
        is_file(checking, "__init__.py") ? 0 : find_fault(checking, "__init__.py", "is missing");
    if (r == 0)
        r = deployment_literal(inventory_find(checking->files, "version.py"), "__version__",
                               &version);
    if (r == 0 && !version)
        r = find_fault(checking, "version.py", "declares no __version__");
    free(version);
    if (r == 0)
        r = say_version_of(checking, "version.py", "__version__");
    if (r == 0 && is_file(checking, "private/pyproject.toml")) {
        checking->client = strdup(addon ? addon : "openpype");
        r = checking->client ? 0 : -ENOMEM;
    }
    return r;
}

static int check_client(struct checking *checking)
{
    cleanup_free char *folder = path_join("private/client.zip", checking->client);
    cleanup_free char *version = folder ? path_join(folder, "version.py") : NULL;

    if (!version)
        return -ENOMEM;
    if (!is_file(checking, "private/client.zip"))
        return find_fault(checking, "private/client.zip", "is missing");
    const struct inventory_item *found = inventory_find(checking->files, folder);
    if (!found || found->kind != INVENTORY_FOLDER)
        return find_fault(checking, folder, "is missing");
    return say_version_of(checking, version, "__version__");
}

/* A client's code alone: what is said of it is in the folder of its package. */
static int check_code(struct checking *checking)
{
    const char *addon = checking->deployment->addon;
    cleanup_free char *path = addon ? path_join(addon, "version.py") : NULL;

    return path ? say_version_of(checking, path, "__version__") : 0;
}

int verify_version(struct verification *verification, const struct deployment *deployment)
{
    cleanup_checking struct checking checking = {
        .verification = verification,
        .deployment = deployment,
        .files = deployment_files(deployment),
    };
    int r = 0;

    if (deployment->shape == DEPLOYMENT_CLIENTS)
        return check_code(&checking);
    if (deployment->shape == DEPLOYMENT_UPLOAD)
        r = check_manifest(&checking);
    if (r == 0)
        r = is_file(&checking, "package.py") ? check_package_py(&checking)
                                             : check_version_py(&checking);
    if (r == 0 && checking.client)
        r = check_client(&checking);
    return r == 0 ? say_folder(&checking) : r;
}
