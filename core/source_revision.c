#include "source_revision.h"

#include "source_checkout.h"
#include "source_commit.h"

#include <addonfs/path.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/*
 * A revision's files are identified by their blob and by every .gitattributes that may apply to
 * them (from the root down to their folder), because these decide what a checkout makes of the
 * blob. While both stay the same over commits, it is the same file, with the time of the commit
 * that was shown when it was first seen.
 */

static struct revision *revision_of(const struct source *source)
{
    return source->state;
}

/* Find out which commit the revision names now. */
static int begin(struct source *source, struct error *error)
{
    struct revision *revision = revision_of(source);
    cleanup_free struct commit *commit = NULL;
    git_tree *tree = NULL;
    git_oid id;

    int r = repository_resolve(source->repository, source->revision, &id, error);
    if (r < 0)
        return r;
    cleanup_lock(&revision->lock);
    reader_renew(revision->reader);
    if (revision->faulty)
        revision->healing = objects_healing(source->repository->objects);
    if (revision->resolved && git_oid_equal(&id, &revision->commit))
        return 0;
    reader_begin(revision->reader);
    r = commit_read(revision->reader, &id, source->revision, &commit, error);
    if (r < 0)
        return r;
    r = commit_tree(revision->reader, commit, &tree);
    if (r < 0)
        return reader_failure(revision->reader, r, source->revision, error);
    git_tree_free(revision->root);
    revision->root = tree;
    revision->time.tv_sec = (time_t)commit->time;
    revision->commit = id;
    revision->resolved = true;
    git_oid_tostr(source->commit, sizeof(source->commit), &id);
    source->renewed = true;
    return 0;
}

/* The digest of the parent's .gitattributes and, if there is one, of this folder's. */
static int digest_attributes(const struct content_id *above, const git_tree *tree,
                             struct content_id *ret_digest)
{
    const git_tree_entry *own = git_tree_entry_byname(tree, ".gitattributes");
    *ret_digest = *above;
    if (!own)
        return 0;
    cleanup_sha256 struct sha256 *sha256 = sha256_new();
    if (!sha256)
        return -ENOMEM;
    sha256_update(sha256, above->bytes, sizeof(above->bytes));
    sha256_update(sha256, git_tree_entry_id(own)->id, GIT_OID_RAWSZ);
    sha256_final(sha256, ret_digest);
    return 0;
}

int revision_find_tree(struct revision *revision, const char *real, git_tree **ret_tree,
                       struct content_id *ret_attributes, struct error *error)
{
    cleanup_tree git_tree *tree = NULL;
    struct content_id attributes = {{0}};
    const char *rest = real;

    if (git_tree_dup(&tree, revision->root) < 0)
        return error_errno(error, -ENOMEM, "%s", real);
    int r = digest_attributes(&attributes, tree, &attributes);
    while (r == 0 && *rest) {
        char name[NAME_MAX + 1];
        git_tree *below = NULL;
        size_t length = strcspn(rest, "/");
        if (length > NAME_MAX)
            return error_errno(error, -ENAMETOOLONG, "%s", real);
        memcpy(name, rest, length);
        name[length] = '\0';
        const git_tree_entry *entry = git_tree_entry_byname(tree, name);
        if (!entry || git_tree_entry_type(entry) != GIT_OBJECT_TREE)
            return error_errno(error, entry ? -ENOTDIR : -ENOENT, "%s", real);
        r = git_tree_lookup(&below, revision->reader->git, git_tree_entry_id(entry));
        if (r < 0)
            return reader_failure(revision->reader, r, real, error);
        git_tree_free(tree);
        tree = below;
        r = digest_attributes(&attributes, tree, &attributes);
        rest += length + strspn(rest + length, "/");
    }
    if (r < 0)
        return error_errno(error, r, "%s", real);
    *ret_attributes = attributes;
    *ret_tree = steal_pointer(&tree);
    return 0;
}

static int read_names(const git_tree *tree, struct source_folder *folder, bool *ret_changed)
{
    size_t total = git_tree_entrycount(tree);
    struct source_entry *entries = calloc(total > 0 ? total : 1, sizeof(*entries));
    size_t count = 0;

    if (!entries)
        return -ENOMEM;
    folder->hides_git = false;
    for (size_t i = 0; i < total; i++) {
        const git_tree_entry *found = git_tree_entry_byindex(tree, i);
        const char *name = git_tree_entry_name(found);
        if (path_is_git(name)) {
            folder->hides_git = true;
            continue;
        }
        entries[count].name = strdup(name);
        entries[count].type = (int)git_tree_entry_filemode(found);
        memcpy(entries[count].object, git_tree_entry_id(found)->id, GIT_OID_RAWSZ);
        if (!entries[count++].name) {
            source_entries_free(entries, count);
            return -ENOMEM;
        }
    }
    if (folder_rename(folder, entries, count))
        *ret_changed = true;
    return 0;
}

/* What an entry leads to depends on more than the entry: links are looked at again in each commit.
 */
static bool forget_entries(struct source_folder *folder, bool all)
{
    bool any = false;

    for (size_t i = 0; i < folder->count; i++) {
        if (all || folder->entries[i].linked) {
            source_entry_forget(&folder->entries[i]);
            any = true;
        }
    }
    return any;
}

static int list(struct source *source, struct source_folder *folder, bool *ret_changed,
                struct error *why)
{
    struct revision *revision = revision_of(source);
    cleanup_tree git_tree *tree = NULL;
    struct content_id attributes;
    struct error error;

    reader_begin(revision->reader);
    int r = revision_find_tree(revision, folder->real, &tree, &attributes, &error);
    if (r < 0)
        return error_set(why, r, "%s: %s", folder->path, error_reason(error.text, folder->real));
    bool same_attributes = content_id_equal(&attributes, &folder->identity.attributes);
    bool same_tree = folder->identity.trusted &&
                     memcmp(folder->identity.object, git_tree_id(tree)->id, GIT_OID_RAWSZ) == 0;
    /* Last among what can fail: a change is told, or has not happened. */
    if (!same_tree) {
        r = read_names(tree, folder, ret_changed);
        if (r < 0)
            return error_errno(why, r, "%s", folder->path);
    }
    if (forget_entries(folder, !same_attributes))
        *ret_changed = true;
    memcpy(folder->identity.object, git_tree_id(tree)->id, GIT_OID_RAWSZ);
    folder->identity.attributes = attributes;
    folder->identity.trusted = true;
    (void)folder_own(source, folder, (struct source_owner){0555, geteuid(), getegid()});
    if (folder->failure)
        *ret_changed = true;
    folder->failure = 0;
    return 0;
}

/* Something of the folder cannot be read because an object is at fault. */
static void set_faulty(struct revision *revision, struct source_folder *folder)
{
    folder->identity.faulty = true;
    folder->identity.healing = revision->healing;
    revision->faulty = true;
}

/* Nothing changes within a commit, but that objects which were at fault may be there now. */
static bool is_up_to_date(const struct revision *revision, const struct source_folder *folder)
{
    return folder->checked != 0 && (folder->identity.trusted || folder->failure) &&
           memcmp(folder->identity.commit, revision->commit.id, GIT_OID_RAWSZ) == 0 &&
           !(folder->identity.faulty && folder->identity.healing != revision->healing);
}

static int load(struct source *source, struct source_folder *folder, bool *ret_changed,
                struct error *error)
{
    struct revision *revision = revision_of(source);
    cleanup_lock(&revision->lock);
    struct error why = {0};

    if (is_up_to_date(revision, folder))
        return 0;
    int r = list(source, folder, ret_changed, &why);
    if (r < 0 && error_is_transient(r)) {
        if (error)
            *error = why;
        return r;
    }
    memcpy(folder->identity.commit, revision->commit.id, GIT_OID_RAWSZ);
    folder->identity.faulty = false;
    if (r == 0)
        return 0;
    if (r == -EIO)
        set_faulty(revision, folder);
    if (folder_fail(folder, r, &why))
        *ret_changed = true;
    return 0;
}

static int look_at_blob(struct source *source, struct source_folder *folder,
                        struct source_entry *entry, const char *real, const git_oid *object,
                        bool executable, const struct content_id *attributes, struct error *error)
{
    struct revision *revision = revision_of(source);
    cleanup_free char *path = path_join(folder->path, entry->name);
    cleanup_free char *link = entry->linked ? path_join(folder->real, entry->name) : NULL;
    struct file *file = path && (link || !entry->linked)
                            ? file_new(source, path, real, entry->linked ? link : folder->link)
                            : NULL;

    if (!file)
        return error_errno(error, -ENOMEM, "%s", entry->name);
    file->size = UINT64_MAX;
    file->owner = (struct source_owner){executable ? 0555 : 0444, geteuid(), getegid()};
    file->mtime = revision->time;
    memcpy(file->identity.object, object->id, GIT_OID_RAWSZ);
    memcpy(file->identity.commit, revision->commit.id, GIT_OID_RAWSZ);
    file->identity.attributes = *attributes;
    entry->file = file;
    entry->kind = SOURCE_FILE;
    return 0;
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? strndup(path, (size_t)(slash - path)) : strdup("");
}

/* Where the link leads, and which attributes apply there. */
static int find_target(struct revision *revision, const struct source_folder *folder,
                       const struct source_entry *entry, struct revision_target *ret_target,
                       struct content_id *ret_attributes, struct error *why)
{
    cleanup_tree git_tree *tree = NULL;
    struct error error;

    reader_begin(revision->reader);
    int r = revision_follow(revision, folder->real, entry->name, ret_target, why);
    if (r < 0 || ret_target->mode == GIT_FILEMODE_TREE || ret_target->mode == GIT_FILEMODE_COMMIT)
        return r;
    cleanup_free char *parent = folder_of(ret_target->real);
    if (!parent)
        return error_errno(why, -ENOMEM, "%s", entry->name);
    r = revision_find_tree(revision, parent, &tree, ret_attributes, &error);
    return r < 0 ? error_set(why, r, "%s", error_reason(error.text, parent)) : 0;
}

static int look_at_link(struct source *source, struct source_folder *folder,
                        struct source_entry *entry, struct error *error)
{
    struct revision *revision = revision_of(source);
    cleanup_lock(&revision->lock);
    cleanup_free struct revision_target *target = malloc(sizeof(*target));
    struct content_id attributes;
    struct error why = {0};

    if (!target)
        return error_errno(error, -ENOMEM, "%s", entry->name);
    int r = find_target(revision, folder, entry, target, &attributes, &why);
    if (r < 0 && error_is_transient(r))
        return error_set(error, r, "%s: %s", entry->name, why.text);
    entry->linked = true;
    if (revision->reader->fault.code != 0)
        set_faulty(revision, folder);
    if (r < 0)
        return source_entry_reject(entry, error, "%s", why.text);
    if (target->mode == GIT_FILEMODE_TREE || target->mode == GIT_FILEMODE_COMMIT) {
        entry->kind = target->mode == GIT_FILEMODE_TREE ? SOURCE_FOLDER : SOURCE_GITLINK;
        entry->real = strdup(target->real);
        return entry->real ? 0 : error_errno(error, -ENOMEM, "%s", entry->name);
    }
    return look_at_blob(source, folder, entry, target->real, &target->object,
                        target->mode == GIT_FILEMODE_BLOB_EXECUTABLE, &attributes, error);
}

static int look(struct source *source, struct source_folder *folder, struct source_entry *entry,
                struct error *error)
{
    cleanup_free char *real = NULL;
    git_oid object;

    /* A tree is data that anyone may have written: Git would not check such names out. */
    if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0 || entry->name[0] == '\0' ||
        strchr(entry->name, '/') || strlen(entry->name) > NAME_MAX)
        return source_entry_reject(entry, error, "the commit holds a name that is no file name");
    switch (entry->type) {
    case GIT_FILEMODE_TREE:
        entry->kind = SOURCE_FOLDER;
        return 0;
    case GIT_FILEMODE_COMMIT:
        entry->kind = SOURCE_GITLINK;
        return 0;
    case GIT_FILEMODE_LINK:
        return look_at_link(source, folder, entry, error);
    case GIT_FILEMODE_BLOB:
    case GIT_FILEMODE_BLOB_EXECUTABLE:
        break;
    default:
        return source_entry_reject(entry, error, "has the unknown mode %o", (unsigned)entry->type);
    }
    real = path_join(folder->real, entry->name);
    if (!real)
        return error_errno(error, -ENOMEM, "%s", entry->name);
    memcpy(object.id, entry->object, GIT_OID_RAWSZ);
    return look_at_blob(source, folder, entry, real, &object,
                        entry->type == GIT_FILEMODE_BLOB_EXECUTABLE, &folder->identity.attributes,
                        error);
}

/*
 * The commit whose attributes apply: the file's, or the current one if they are the same there. The
 * file's own may have been collected as garbage while the file lives on in later commits.
 */
static int attributes_commit(struct revision *revision, const struct file *file,
                             git_oid *ret_commit, struct error *error)
{
    cleanup_free char *folder = folder_of(file->real);
    cleanup_tree git_tree *tree = NULL;
    struct content_id attributes;

    if (!folder)
        return error_errno(error, -ENOMEM, "%s", file->path);
    memcpy(ret_commit->id, file->identity.commit, GIT_OID_RAWSZ);
    cleanup_lock(&revision->lock);
    if (git_oid_equal(ret_commit, &revision->commit))
        return 0;
    reader_begin(revision->reader);
    int r = revision_find_tree(revision, folder, &tree, &attributes, error);
    if (r == 0 && content_id_equal(&attributes, &file->identity.attributes))
        *ret_commit = revision->commit;
    return error_is_transient(r) ? r : 0;
}

static int read_blob(struct source *source, const struct file *file, struct spool *spool,
                     size_t memory_limit, struct content **ret_content, struct error *error)
{
    struct reader *reader = NULL;
    git_oid commit;
    git_oid object;

    int r = attributes_commit(revision_of(source), file, &commit, error);
    if (r < 0)
        return r;
    memcpy(object.id, file->identity.object, GIT_OID_RAWSZ);
    r = repository_borrow(source->repository, &reader, error);
    if (r < 0)
        return r;
    r = checkout_blob(reader, &object, &commit, file->real, spool, memory_limit, ret_content,
                      error);
    repository_give_back(source->repository, reader);
    return r;
}

static int await(struct source *source, struct source_wait *ret_wait)
{
    ret_wait->fd = repository_watch_refs(source->repository);
    ret_wait->timer = ret_wait->fd == -ENOTSUP;
    return ret_wait->fd == -ENOTSUP ? 0 : ret_wait->fd;
}

static void close_revision(struct source *source)
{
    struct revision *revision = revision_of(source);

    if (!revision)
        return;
    git_tree_free(revision->root);
    reader_free(revision->reader);
    pthread_mutex_destroy(&revision->lock);
    free(revision);
}

int source_revision_open(struct source *source, struct error *error)
{
    struct revision *revision = calloc(1, sizeof(*revision));

    if (!revision)
        return error_errno(error, -ENOMEM, "%s", source_path(source));
    source->state = revision;
    pthread_mutex_init(&revision->lock, NULL);
    return reader_new(source->repository->objects, &revision->reader, error);
}

const struct source_backend source_revision_backend = {
    .begin = begin,
    .load = load,
    .look = look,
    .read = read_blob,
    .wait = await,
    .close = close_revision,
};
