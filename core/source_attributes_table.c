#include "source_attributes_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Files that are kept, the last used first; OpenPype has one. To look for one in so many takes
     * less than a microsecond. */
    KEPT = 256,
    /* Bytes that they may take, but for the one that was used last … */
    MEMORY_LIMIT = 32 << 20,
    /* … and of a file that is read: parsed it may take seven times as much. */
    SIZE_LIMIT = 16 << 20,
    /* All that apply to one file are in memory at once, which may be thousands: bytes that they may
     * take, unless it is one. */
    TOGETHER_LIMIT = 128 << 20,
};

/* --- Chains -------------------------------------------------------------------------------------
 */

struct attributes_chain *attributes_chain_new(struct attributes_chain *above, const git_oid *blob,
                                              size_t folder)
{
    struct attributes_chain *chain = malloc(sizeof(*chain));

    if (chain)
        *chain = (struct attributes_chain){1, attributes_chain_ref(above), *blob, folder};
    return chain;
}

struct attributes_chain *attributes_chain_ref(struct attributes_chain *chain)
{
    if (chain)
        chain->references++;
    return chain;
}

void attributes_chain_unref(struct attributes_chain *chain)
{
    while (chain && --chain->references == 0) {
        struct attributes_chain *above = chain->above;
        free(chain);
        chain = above;
    }
}

/* --- The table ----------------------------------------------------------------------------------
 */

struct kept {
    git_oid blob;
    struct attributes *list;
};

struct attributes_table {
    pthread_mutex_t lock;
    struct kept kept[KEPT];
    size_t count;
    size_t memory; /* of all */
};

struct attributes_table *attributes_table_new(void)
{
    struct attributes_table *table = calloc(1, sizeof(*table));

    if (table)
        pthread_mutex_init(&table->lock, NULL);
    return table;
}

void attributes_table_free(struct attributes_table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->count; i++)
        attributes_unref(table->kept[i].list);
    pthread_mutex_destroy(&table->lock);
    free(table);
}

/* Move the one at `place` to the front. The lock is held. */
static void use(struct attributes_table *table, size_t place)
{
    struct kept kept = table->kept[place];

    memmove(table->kept + 1, table->kept, place * sizeof(*table->kept));
    table->kept[0] = kept;
}

/* The place of the blob, or `count`. The lock is held. */
static size_t place_of(const struct attributes_table *table, const git_oid *blob)
{
    size_t place = 0;

    while (place < table->count && !git_oid_equal(&table->kept[place].blob, blob))
        place++;
    return place;
}

/* The blob's list, referenced, or NULL. */
static struct attributes *find(struct attributes_table *table, const git_oid *blob)
{
    cleanup_lock(&table->lock);
    size_t place = place_of(table, blob);

    if (place == table->count)
        return NULL;
    use(table, place);
    return attributes_ref(table->kept[0].list);
}

static void keep(struct attributes_table *table, const git_oid *blob, struct attributes *list)
{
    cleanup_lock(&table->lock);

    if (place_of(table, blob) < table->count)
        return; /* another thread was faster */
    table->memory += attributes_memory(list);
    while (table->count == KEPT || (table->count > 0 && table->memory > MEMORY_LIMIT)) {
        struct attributes *last = table->kept[--table->count].list;
        table->memory -= attributes_memory(last);
        attributes_unref(last);
    }
    table->kept[table->count] = (struct kept){*blob, attributes_ref(list)};
    use(table, table->count++);
}

/* --- Reading ------------------------------------------------------------------------------------
 */

/* Are so many bytes parsed, or passed over as Git does? -EIO: Git reads them, and we do not. */
static int check_size(size_t size, const char *path, size_t folder, struct error *error)
{
    if (size <= SIZE_LIMIT || size >= ATTRIBUTES_GIT_LIMIT)
        return 0;
    return error_set(error, -EIO,
                     "%s: %.*s%s.gitattributes is too large: shorten it to %d MiB at most", path,
                     (int)folder, path, folder > 0 ? "/" : "", SIZE_LIMIT >> 20);
}

/* Read and parse the blob of the folder that `folder` bytes of `path` lead to. */
static int parse(struct reader *reader, const git_oid *id, const char *path, size_t folder,
                 struct attributes **ret_list, struct error *error)
{
    cleanup_blob git_blob *blob = NULL;
    /* Before there is memory for it. */
    size_t size = reader_size(reader, id);

    int r = check_size(size, path, folder, error);
    if (r < 0)
        return r;
    if (size < ATTRIBUTES_GIT_LIMIT) {
        r = git_blob_lookup(&blob, reader->git, id);
        if (r < 0)
            return reader_failure(reader, r, path, error);
        /* It was not known of one in a pack that has come since the reader looked. */
        size = (size_t)git_blob_rawsize(blob);
        r = check_size(size, path, folder, error);
        if (r < 0)
            return r;
    }
    r = size < ATTRIBUTES_GIT_LIMIT ? attributes_parse(git_blob_rawcontent(blob), size, ret_list)
                                    : attributes_parse("", 0, ret_list);
    return r < 0 ? error_errno(error, r, "%s", path) : 0;
}

static int take(struct attributes_table *table, struct reader *reader,
                const struct attributes_chain *chain, const char *path,
                struct attributes_answer *answer, struct error *error)
{
    struct attributes *list = find(table, &chain->blob);

    if (!list) {
        int r = parse(reader, &chain->blob, path, chain->folder, &list, error);
        if (r < 0)
            return r;
        keep(table, &chain->blob, list);
    }
    answer->layers[answer->count++] = (struct attributes_layer){list, chain->folder};
    answer->memory += attributes_memory(list);
    if (answer->count > 1 && answer->memory > TOGETHER_LIMIT)
        return error_set(error, -EIO,
                         "%s: the .gitattributes of the folders around it are too large together: "
                         "shorten them",
                         path);
    return 0;
}

static int take_all(struct attributes_table *table, struct reader *reader,
                    const struct attributes_chain *chain, const char *path,
                    struct attributes_answer *answer, struct error *error)
{
    size_t depth = 0;
    int r = 0;

    for (const struct attributes_chain *at = chain; at; at = at->above)
        depth++;
    answer->layers = calloc(depth > 0 ? depth : 1, sizeof(*answer->layers));
    if (!answer->layers)
        return error_errno(error, -ENOMEM, "%s", path);
    for (const struct attributes_chain *at = chain; at && r == 0; at = at->above)
        r = take(table, reader, at, path, answer, error);
    return r;
}

int attributes_ask(struct attributes_table *table, struct reader *reader,
                   const struct attributes_chain *chain, const char *path,
                   struct attributes_answer *ret_answer, struct error *error)
{
    struct attributes_answer answer = {0};

    int r = take_all(table, reader, chain, path, &answer, error);
    if (r == 0) {
        r = attributes_find(answer.layers, answer.count, path, answer.values);
        if (r == -EFBIG)
            r = error_set(error, -EIO,
                          "%s: the .gitattributes of the folders around it take too long: use "
                          "fewer lines, or patterns with fewer wildcards",
                          path);
        else if (r < 0)
            (void)error_errno(error, r, "%s", path);
    }
    if (r < 0)
        attributes_answer_clear(&answer);
    else
        *ret_answer = answer;
    return r;
}

void attributes_answer_clear(struct attributes_answer *answer)
{
    for (size_t i = 0; i < answer->count; i++)
        attributes_unref(answer->layers[i].list);
    free(answer->layers);
    *answer = (struct attributes_answer){0};
}
