/*
 * source_attributes_table: which files of .gitattributes apply in a folder of a commit, and what
 * they say.
 *
 * A chain names them by their blobs. It is made when the folder's tree is read, and every file in
 * it holds on to it: so reading one takes neither a commit nor a tree, be they gone meanwhile. What
 * stands in the blobs is read and parsed once, and kept in a table for all readers.
 *
 *     r = attributes_ask(table, reader, chain, path, &answer, error);
 *     … answer.values[ATTRIBUTE_EOL] …
 *     attributes_answer_clear(&answer);
 */
#ifndef ADDONFS_SOURCE_ATTRIBUTES_TABLE_H
#define ADDONFS_SOURCE_ATTRIBUTES_TABLE_H

#include "source_attributes.h"
#include "source_reader.h"

#include <addonfs/error.h>

/* A .gitattributes, and those of the folders above. Immutable. */
struct attributes_chain {
    _Atomic unsigned references;
    struct attributes_chain *above; /* the next one above; NULL: there is none */
    git_oid blob;
    size_t folder; /* as in struct attributes_layer */
};

/* One below `above` (or NULL), which is referenced. NULL without memory. */
struct attributes_chain *attributes_chain_new(struct attributes_chain *above, const git_oid *blob,
                                              size_t folder);

/* NULL is allowed in both. */
struct attributes_chain *attributes_chain_ref(struct attributes_chain *chain);
void attributes_chain_unref(struct attributes_chain *chain);

/* What was parsed of a repository's. Thread-safe. */
struct attributes_table;

/* NULL without memory. */
struct attributes_table *attributes_table_new(void);

/* NULL is allowed. */
void attributes_table_free(struct attributes_table *table);

struct attributes_answer {
    struct attribute_value values[ATTRIBUTES];
    struct attributes_layer *layers; /* that they are in */
    size_t count;
    size_t memory; /* that the lists take */
};

/*
 * What `chain` (or NULL: nothing) says of the file at `path`, which begins where the chain's
 * folders do. -EIO: one of them is missing, damaged or too large, or all are too large together;
 * others are of the moment. The error begins with `path`.
 */
int attributes_ask(struct attributes_table *table, struct reader *reader,
                   const struct attributes_chain *chain, const char *path,
                   struct attributes_answer *ret_answer, struct error *error);

void attributes_answer_clear(struct attributes_answer *answer);

#endif
