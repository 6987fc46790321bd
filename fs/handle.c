#include "handle.h"

static void close_inode(struct inode *inode)
{
    if (inode->kind == INODE_BODY)
        body_close(inode->body);
    inode_unref(inode);
}

void handle_list_init(struct handle_list *list, struct waiting *waiting)
{
    pthread_mutex_init(&list->lock, NULL);
    list->waiting = waiting;
    list->first = NULL;
}

void handle_list_clear(struct handle_list *list)
{
    while (list->first)
        handle_close(list, list->first);
    pthread_mutex_destroy(&list->lock);
}

struct handle *handle_open(struct handle_list *list, struct inode *inode)
{
    struct handle *handle = calloc(1, sizeof(*handle));

    if (!handle) {
        close_inode(inode);
        return NULL;
    }
    handle->inode = inode;
    pthread_mutex_init(&handle->lock, NULL);
    cleanup_lock(&list->lock);
    handle->next = list->first;
    if (list->first)
        list->first->previous = handle;
    list->first = handle;
    return handle;
}

void handle_close(struct handle_list *list, struct handle *handle)
{
    {
        cleanup_lock(&list->lock);
        if (handle->previous)
            handle->previous->next = handle->next;
        else
            list->first = handle->next;
        if (handle->next)
            handle->next->previous = handle->previous;
    }
    if (handle->waiter)
        waiting_close(list->waiting, handle->waiter);
    generation_unref(handle->generation);
    view_names_clear(&handle->names);
    close_inode(handle->inode);
    pthread_mutex_destroy(&handle->lock);
    free(handle);
}
