/*
 * local: does this kernel see every change of what a file system holds?
 *
 * On a network file system other hosts change files without our kernel knowing: inotify tells
 * nothing of it, and a file that is mapped into memory on two hosts is two files. What relies on
 * one kernel asks here first:
 *
 *     if (!local_is(fd))
 *         …                  compare instead of waiting for events, share nothing between hosts
 *
 * Only file systems that are known to be of one host are local. There are more shared ones than
 * anyone can list, and to take one for local is the worse mistake.
 */
#ifndef ADDONFS_LOCAL_H
#define ADDONFS_LOCAL_H

#include <stdbool.h>

/*
 * Is what the open file or folder `fd` lies on a file system of this host alone? False as well if
 * the kernel does not say (fstatfs(2) fails).
 */
bool local_is(int fd);

#endif
