/*
 * deployment_manifest: what an upload's manifest.json says.
 */
#ifndef ADDONFS_DEPLOYMENT_MANIFEST_H
#define ADDONFS_DEPLOYMENT_MANIFEST_H

#include <addonfs/inventory.h>

/*
 * `addon_name` and `addon_version`; what is not there as a string is NULL. The caller frees both.
 * -EINVAL: no JSON object; -ENOMEM.
 */
int deployment_manifest(const struct inventory_item *item, char **ret_addon, char **ret_version);

#endif
