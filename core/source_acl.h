/*
 * source_acl: what an access control list forbids that the mode allows.
 *
 * A POSIX ACL (acl(5)) names users and groups besides the owner, the group and the others of the
 * mode. Where a file has one, the group bits of its mode are the list's mask: the most that anyone
 * but the owner and the others may, and not what the group may. In a mount there are only modes, so
 * the bits are taken away that would let someone read who cannot read on disk.
 */
#ifndef ADDONFS_SOURCE_ACL_H
#define ADDONFS_SOURCE_ACL_H

#include <sys/types.h>

/*
 * Those permission bits of group and others in `mode`, which is that of the open file or folder
 * `fd`, that its ACL does not grant everyone of the class. A list that cannot be read grants
 * nothing. Any change of the list moves the ctime, so this need not be asked again before that.
 */
mode_t acl_denied(int fd, mode_t mode);

#endif
