#include "source_acl.h"

#include <endian.h>
#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/xattr.h>

enum {
    ALL = 7,            /* read, write, execute */
    ENTRY_LIMIT = 1024, /* a longer list grants nothing; ext4 has room for some 500 entries */
};

struct list {
    struct posix_acl_xattr_header header;
    struct posix_acl_xattr_entry entries[ENTRY_LIMIT];
};

/* What the list grants to everyone who is in the mode's class of group, and of others. */
static void grant(const struct list *list, size_t count, unsigned *ret_group, unsigned *ret_others)
{
    unsigned mask = ALL;
    unsigned group = 0;
    unsigned others = 0;
    unsigned users = ALL;  /* what all users that are named may, … */
    unsigned groups = ALL; /* … and all groups; */
    bool names_user = false;
    bool names_group = false;

    for (size_t i = 0; i < count; i++) {
        unsigned permissions = le16toh(list->entries[i].e_perm);
        switch (le16toh(list->entries[i].e_tag)) {
        case ACL_USER:
            users &= permissions;
            names_user = true;
            break;
        case ACL_GROUP_OBJ:
            group = permissions;
            break;
        case ACL_GROUP:
            groups &= permissions;
            names_group = true;
            break;
        case ACL_MASK:
            mask = permissions;
            break;
        case ACL_OTHER:
            others = permissions;
            break;
        default:
            break;
        }
    }
    if (names_user)
        users &= mask;
    if (names_group)
        groups &= mask;
    /*
     * A named user has just what is said of him, whatever his groups are. Who is in several groups
     * has what any of them grants; so a named group takes nothing from the file's own, but it does
     * from those who would otherwise be others.
     */
    *ret_group = group & mask & users;
    *ret_others = others & users & groups;
}

mode_t acl_denied(int fd, mode_t mode)
{
    struct list list;
    unsigned group = 0;
    unsigned others = 0;

    /* Nothing to take away. (With an ACL the group bits may be 0 and those of others not: a mask
     * that forbids everything, under which the users that are named are no others.) */
    if ((mode & 0077) == 0)
        return 0;
    ssize_t size = fgetxattr(fd, "system.posix_acl_access", &list, sizeof(list));
    if (size < 0 && (errno == ENODATA || errno == ENOTSUP))
        return 0;
    if (size >= (ssize_t)sizeof(list.header) &&
        le32toh(list.header.a_version) == POSIX_ACL_XATTR_VERSION)
        grant(&list, ((size_t)size - sizeof(list.header)) / sizeof(list.entries[0]), &group,
              &others);
    return mode & 0077 & ~(mode_t)(group << 3 | others);
}
