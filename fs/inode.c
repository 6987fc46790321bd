#include "inode.h"

#include <addonfs/generation.h>
#include <stdatomic.h>

struct inode *inode_new(enum inode_kind kind, uint64_t number)
{
    struct inode *inode = calloc(1, sizeof(*inode));

    if (!inode)
        return NULL;
    atomic_init(&inode->references, 1);
    inode->kind = kind;
    inode->number = number;
    return inode;
}

struct inode *inode_ref(struct inode *inode)
{
    atomic_fetch_add(&inode->references, 1);
    return inode;
}

void inode_unref(struct inode *inode)
{
    if (!inode || atomic_fetch_sub(&inode->references, 1) > 1)
        return;
    body_unref(inode->body);
    generation_unref(inode->generation);
    free(inode->path);
    free(inode->text);
    free(inode);
}
