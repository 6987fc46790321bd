/*
 * interrupt: requests whose process is about to end need no answer.
 *
 * The kernel tells of any signal that comes to a process which waits for us, also of one that it
 * will handle and go on after; such a process must not see EINTR where no file system gives it.
 * Only one that is being killed is let go: it could not end before (fuse, request_wait_answer).
 * Of a request the kernel tells of the first signal alone; so where a process lives on after that
 * one, it is looked at again and again until it has its answer: a second one may kill it.
 */
#ifndef ADDONFS_INTERRUPT_H
#define ADDONFS_INTERRUPT_H

#include "filesystem.h"

/* From now on `*interrupted` becomes true when the process that asks is killed. */
void interrupt_begin(fuse_req_t request, _Atomic bool *interrupted);

/* No more; with what it began with. To be called before the request is answered. */
void interrupt_end(fuse_req_t request, const _Atomic bool *interrupted);

#endif
