/* What a package holds, as one number. */
#include <addonfs/package.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/*
 * The SHA-256 of the tree, written down in the order of names: for each entry its kind, exec bit
 * and name, and then, of a folder, its entries and an end; of a file, the id of its bytes; of a
 * zip, the id of its members' names, exec bits and contents. Neither times nor owners are in it,
 * nor how anything is compressed.
 */
static int file_id(const struct origin *origin, struct file *file, struct content_id *ret_id,
                   struct error *error)
{
    cleanup_content struct content *content = NULL;

    if (file_known_id(file, ret_id))
        return 0;
    int r = source_read(file, origin->spool, CONTENT_MEMORY_LIMIT, &content, error);
    if (r == 0)
        *ret_id = content->id;
    return r;
}

static int zip_id(const struct origin *origin, struct bundle *bundle, struct content_id *ret_id,
                  struct error *error)
{
    int r = bundle_compose(bundle, origin, error);

    if (r < 0)
        return r;
    return bundle_id(bundle, ret_id) < 0 ? error_errno(error, -ENOMEM, "zip") : 0;
}

static int digest(const struct origin *origin, struct entry *entry, struct sha256 *sha256,
                  struct error *error)
{
    static const char *const kinds[] = {
        [ENTRY_FOLDER] = "folder", [ENTRY_FILE] = "file", [ENTRY_ZIP] = "zip"};
    struct content_id id;
    int r = 0;

    if (entry->failure)
        return error_set(error, -EIO, "%s: %s", entry->path, entry->failure);
    sha256_update_text(sha256, kinds[entry->kind]);
    if (entry->kind == ENTRY_FOLDER) {
        for (size_t i = 0; r == 0 && i < entry->count; i++) {
            sha256_update_text(sha256, entry->children[i]->name);
            r = digest(origin, entry->children[i], sha256, error);
        }
        sha256_update_text(sha256, "end");
        return r;
    }
    if (entry->kind == ENTRY_FILE)
        sha256_update_text(sha256, entry->file->owner.mode & S_IXUSR ? "x" : "-");
    r = entry->kind == ENTRY_FILE ? file_id(origin, entry->file, &id, error)
                                  : zip_id(origin, entry->bundle, &id, error);
    if (r == 0)
        sha256_update(sha256, id.bytes, sizeof(id.bytes));
    return r;
}

int package_content_id(const struct origin *origin, struct entry *folder, struct content_id *ret_id,
                       struct error *error)
{
    cleanup_sha256 struct sha256 *sha256 = sha256_new();

    if (!sha256)
        return error_errno(error, -ENOMEM, "%s", folder->name);
    int r = digest(origin, folder, sha256, error);
    if (r == 0)
        sha256_final(sha256, ret_id);
    return r;
}
