/*
 * cleanup: give back what a name holds where the name goes out of scope.
 *
 *     cleanup_free char *path = strdup(name);
 *     cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
 *     ...
 *     return steal_fd(&fd);           hands ownership on: nothing is closed here
 *
 * A module that owns a type declares its own scope with CLEANUP(): `cleanup_zip struct zip *zip`.
 */
#ifndef ADDONFS_CLEANUP_H
#define ADDONFS_CLEANUP_H

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* Declare `cleanup_<name>_scope` for variables of type `type`, which calls `release` unless NULL.
 */
#define CLEANUP(name, type, release)                          \
    static inline void cleanup_##name##_scope(type *variable) \
    {                                                         \
        if (*variable)                                        \
            release(*variable);                               \
    }

static inline void cleanup_free_scope(void *variable)
{
    free(*(void **)variable);
}

static inline void cleanup_fd_scope(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline void cleanup_unlock_scope(pthread_mutex_t **mutex)
{
    if (*mutex)
        pthread_mutex_unlock(*mutex);
}

static inline pthread_mutex_t *cleanup_lock_taken(pthread_mutex_t *mutex)
{
    pthread_mutex_lock(mutex);
    return mutex;
}

#define cleanup_free __attribute__((cleanup(cleanup_free_scope)))
#define cleanup_fd __attribute__((cleanup(cleanup_fd_scope)))

/* Hold `mutex` until the end of the scope. One a scope. */
#define cleanup_lock(mutex)                                                              \
    __attribute__((cleanup(cleanup_unlock_scope), unused)) pthread_mutex_t *scope_lock = \
        cleanup_lock_taken(mutex)

static inline int steal_fd(int *fd)
{
    int stolen = *fd;
    *fd = -1;
    return stolen;
}

static inline void *steal_pointer_untyped(void *pointer)
{
    void *stolen = *(void **)pointer;
    *(void **)pointer = NULL;
    return stolen;
}

/* The pointer's value, typed as it was; the variable becomes NULL. */
#define steal_pointer(pointer) ((__typeof__(*(pointer)))steal_pointer_untyped(pointer))

#endif
