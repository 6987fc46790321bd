/*
 * fuse_version: libfuse's low level, in the version of its interface that we are written for.
 */
#ifndef ADDONFS_FUSE_VERSION_H
#define ADDONFS_FUSE_VERSION_H

#define FUSE_USE_VERSION 312

#include <fuse_lowlevel.h>

#endif
