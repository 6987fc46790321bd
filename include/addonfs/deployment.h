/*
 * deployment: which addons an inventory is of, in which versions, and where they are in it.
 *
 * People give a package in several shapes:
 *
 *     version   …/openpype/3.15.12/           files of one version; also a zip to upload that has
 *                                             them at its root
 *     addon     …/openpype/                   folders of versions
 *     root      …/addons/                     folders of addons, with folders of versions
 *     upload    openpype-3.15.12.zip          manifest.json, and the files in addon/
 *     uploads   …/upload/                     such zips
 *     clients   …/client/                     folders <addon>_<version> of a client's code
 *
 * Which one it is is seen from what is there, and where that does not tell, from what the source
 * holds (`hints`). Names with a leading dot are passed over, as an AYON server does.
 */
#ifndef ADDONFS_DEPLOYMENT_H
#define ADDONFS_DEPLOYMENT_H

#include <addonfs/error.h>
#include <addonfs/inventory.h>
#include <stddef.h>

enum deployment_shape {
    DEPLOYMENT_VERSION,
    DEPLOYMENT_ADDON,
    DEPLOYMENT_ROOT,
    DEPLOYMENT_UPLOAD,
    DEPLOYMENT_UPLOADS,
    DEPLOYMENT_CLIENTS,
};

/* A version that is there. */
struct deployment {
    enum deployment_shape shape; /* of its own: _VERSION, _UPLOAD or _CLIENTS */
    char *path;                  /* in the inventory, "" is its root */
    struct inventory_item *item; /* borrowed */
    char *addon;                 /* NULL: nothing tells */
    char *version;               /* likewise */
    char *folder_addon;   /* what the names of folders, or of the archive, say of both; … */
    char *folder_version; /* … NULL: nothing */
};

struct deployments {
    enum deployment_shape shape;
    size_t count;
    struct deployment *items;
};

/* An addon that the source holds. */
struct deployment_hint {
    const char *addon;
    const char *version;
};

/*
 * Find them. `path` is where the inventory was read: its last names may be those of an addon and a
 * version. -EINVAL: it looks like no package; the error says what does. -ENOMEM.
 */
int deployments_find(struct inventory_item *root, const char *path,
                     const struct deployment_hint *hints, size_t hint_count,
                     struct deployments *ret_deployments, struct error *error);
void deployments_clear(struct deployments *deployments);
#define cleanup_deployments __attribute__((cleanup(deployments_clear)))

/* The folder of its files: `addon/` of an upload, else itself. Borrowed; NULL: there is none. */
struct inventory_item *deployment_files(const struct deployment *deployment);

/* "version", …: a constant. */
const char *deployment_shape_name(enum deployment_shape shape);

/*
 * What the Python file `item` (NULL: none) binds the name to. NULL in `*ret_value`: nothing that
 * can be read. The caller frees it; -ENOMEM.
 */
int deployment_literal(const struct inventory_item *item, const char *variable, char **ret_value);

#endif
