/*
 * zip_name: which names a member of an archive may have.
 */
#ifndef ADDONFS_ZIP_NAME_H
#define ADDONFS_ZIP_NAME_H

#include <addonfs/zip.h>
#include <stdbool.h>

/* What a name is like, found out in one pass: there may be very many. */
struct name_facts {
    size_t length;
    bool ascii;
    bool bad_component;
};

struct name_facts zip_look_at_name(const char *name);

/* Why no archive can hold it, or NULL: a constant. */
const char *zip_reason_against(const char *name, const struct name_facts *facts);

#endif
