#include "inode_table.h"

#include <errno.h>
#include <search.h>

struct inode_table {
    pthread_mutex_t lock;
    void *by_number; /* tsearch(3) tree; holds one reference to each */
    size_t count;
};

static int compare(const void *a, const void *b)
{
    const struct inode *left = a;
    const struct inode *right = b;

    return (left->number > right->number) - (left->number < right->number);
}

static void unref_node(void *inode)
{
    inode_unref(inode);
}

struct inode_table *inode_table_new(void)
{
    struct inode_table *table = calloc(1, sizeof(*table));

    if (table)
        pthread_mutex_init(&table->lock, NULL);
    return table;
}

void inode_table_free(struct inode_table *table)
{
    if (!table)
        return;
    tdestroy(table->by_number, unref_node);
    pthread_mutex_destroy(&table->lock);
    free(table);
}

size_t inode_table_count(struct inode_table *table)
{
    cleanup_lock(&table->lock);

    return table->count;
}

struct inode *inode_get(struct inode_table *table, uint64_t number)
{
    struct inode wanted = {.number = number};
    cleanup_lock(&table->lock);
    struct inode *const *found = tfind(&wanted, &table->by_number, compare);

    return found ? inode_ref(*found) : NULL;
}

int inode_remember(struct inode_table *table, struct inode *inode)
{
    cleanup_lock(&table->lock);
    struct inode *const *found = tsearch(inode, &table->by_number, compare);

    if (!found)
        return -ENOMEM;
    if (*found == inode && inode->lookups == 0) {
        inode_ref(inode);
        table->count++;
    }
    (*found)->lookups++;
    return 0;
}

void inode_forget(struct inode_table *table, uint64_t number, uint64_t count)
{
    struct inode wanted = {.number = number};
    struct inode *gone = NULL;
    {
        cleanup_lock(&table->lock);
        struct inode *const *found = tfind(&wanted, &table->by_number, compare);
        if (!found)
            return;
        struct inode *inode = *found;
        inode->lookups -= count < inode->lookups ? count : inode->lookups;
        if (inode->lookups == 0) {
            tdelete(inode, &table->by_number, compare);
            table->count--;
            gone = inode;
        }
    }
    /* Outside the lock: this may free a whole archive. */
    inode_unref(gone);
}
