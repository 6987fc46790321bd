/*
 * deployment_parts: what an inventory looks like, for the files that find deployments.
 */
#ifndef ADDONFS_DEPLOYMENT_PARTS_H
#define ADDONFS_DEPLOYMENT_PARTS_H

#include <addonfs/deployment.h>

/* Is there a file, or a folder, at `path` below `item` (NULL: there is nothing)? */
bool deployment_is_file(struct inventory_item *item, const char *path);
bool deployment_is_folder(struct inventory_item *item, const char *path);

/* Does it look like a version's files, or the whole of a zip to upload? */
bool deployment_is_version(struct inventory_item *item);
bool deployment_is_upload(struct inventory_item *item);

/* Is there a version in it, or an addon's folder? */
bool deployment_is_addon(struct inventory_item *item);
bool deployment_is_root(struct inventory_item *item);
/* Is there nothing but zips in it? */
bool deployment_holds_zips(struct inventory_item *item);

/* Are all in it folders called <addon>_<version>, with no versions in them? */
bool deployment_is_clients(struct inventory_item *item);

#endif
