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
    struct revision_part *own = &revision->own;
    cleanup_free struct commit *commit = NULL;
    git_tree *tree = NULL;
    git_oid id;

    int r = repository_resolve(source->repository, source->revision, &id, error);
    if (r < 0)
        return r;
    cleanup_lock(&revision->lock);
    reader_renew(own->reader);
    for (struct revision_part *part = revision->submodules; part; part = part->next)
        part->is_unsure = true; /* Most are not read again: to renew one takes some stats. */
    if (revision->faulty)
        revision->healing = modules_healing(source->repository);
    if (revision->link_steps <= REVISION_STEP_LIMIT)
        revision->link_steps = 0;
    if (revision->resolved && git_oid_equal(&id, &own->commit))
        return 0;
    reader_begin(own->reader);
    r = commit_read(own->reader, &id, source->revision, &commit, error);
    if (r < 0)
        return r;
    r = commit_tree(own->reader, commit, &tree);
    if (r < 0)
        return reader_failure(own->reader, r, source->revision, error);
    revision_leave_submodules(revision);
    git_tree_free(own->root);
    own->root = tree;
    own->commit = id;
    revision->link_steps = 0;
    revision->time.tv_sec = (time_t)commit->time;
    revision->resolved = true;
    git_oid_tostr(source->commit, sizeof(source->commit), &id);
    source->renewed = true;
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

/* What an entry leads to depends on more than the entry: links and submodules are looked at again
 * in each commit. */
static bool forget_entries(struct source_folder *folder, bool all)
{
    bool any = false;

    for (size_t i = 0; i < folder->count; i++) {
        const struct source_entry *entry = &folder->entries[i];
        if (all || entry->linked ||
            (entry->type == GIT_FILEMODE_COMMIT && entry->kind != SOURCE_UNSEEN)) {
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
    struct folder_identity *identity = &folder->identity;
    cleanup_place struct revision_place place = {0};
    struct error error;

    revision_begin(revision);
    int r = revision_find(revision, folder->real, &place, &error);
    if (r < 0)
        return error_set(why, r, "%s: %s", folder->path, error_reason(error.text, folder->real));
    const git_tree *tree = place.tree;
    bool same_attributes = content_id_equal(&place.attributes.digest, &identity->attributes) &&
                           identity->repository == place.part->repository;
    bool same_tree =
        identity->trusted && memcmp(identity->object, git_tree_id(tree)->id, GIT_OID_RAWSZ) == 0;
    /* Last among what can fail: a change is told, or has not happened. */
    if (!same_tree) {
        r = read_names(tree, folder, ret_changed);
        if (r < 0)
            return error_errno(why, r, "%s", folder->path);
    }
    if (forget_entries(folder, !same_attributes))
        *ret_changed = true;
    memcpy(identity->object, git_tree_id(tree)->id, GIT_OID_RAWSZ);
    identity->attributes = place.attributes.digest;
    attributes_chain_unref(identity->chain);
    identity->chain = steal_pointer(&place.attributes.chain);
    identity->repository = place.part->repository;
    identity->trusted = true;
    (void)folder_own(source, folder, (struct source_owner){0555, geteuid(), getegid()});
    if (folder->failure)
        *ret_changed = true;
    folder->failure = 0;
    return 0;
}

/* Something of the folder cannot be read because an object is at fault, or a submodule absent. */
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
           memcmp(folder->identity.commit, revision->own.commit.id, GIT_OID_RAWSZ) == 0 &&
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
    memcpy(folder->identity.commit, revision->own.commit.id, GIT_OID_RAWSZ);
    folder->identity.faulty = false;
    if (r == 0)
        return 0;
    if (r == -EIO || r == -ENOLINK)
        set_faulty(revision, folder);
    if (folder_fail(folder, r, &why))
        *ret_changed = true;
    return 0;
}

static int look_at_blob(struct source *source, struct source_folder *folder,
                        struct source_entry *entry, const struct revision_part *part,
                        const char *real, const git_oid *object, bool executable,
                        const struct revision_attributes *attributes, struct error *error)
{
    cleanup_free char *path = path_join(folder->path, entry->name);
    cleanup_free char *link = entry->linked ? path_join(folder->real, entry->name) : NULL;
    struct file *file = path && (link || !entry->linked)
                            ? file_new(source, path, real, entry->linked ? link : folder->link)
                            : NULL;

    if (!file)
        return error_errno(error, -ENOMEM, "%s", entry->name);
    file->size = UINT64_MAX;
    file->owner = (struct source_owner){executable ? 0555 : 0444, geteuid(), getegid()};
    file->mtime = revision_of(source)->time;
    memcpy(file->identity.object, object->id, GIT_OID_RAWSZ);
    file->identity.repository = part->repository;
    file->identity.below = (size_t)(revision_part_path(part, real) - real);
    file->identity.attributes = attributes->digest;
    file->identity.chain = attributes_chain_ref(attributes->chain);
    entry->file = file;
    entry->kind = SOURCE_FILE;
    return 0;
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? strndup(path, (size_t)(slash - path)) : strdup("");
}

/* Where the link leads, and which attributes apply there: their chain is the caller's. */
static int find_target(struct revision *revision, const struct source_folder *folder,
                       const struct source_entry *entry, struct revision_target *ret_target,
                       struct revision_attributes *ret_attributes, struct error *why)
{
    cleanup_place struct revision_place place = {0};
    struct error error;

    revision_begin(revision);
    int r = revision_follow(revision, folder->real, entry->name, ret_target, why);
    if (r < 0 || ret_target->mode == GIT_FILEMODE_TREE || ret_target->mode == GIT_FILEMODE_COMMIT)
        return r;
    cleanup_free char *parent = folder_of(ret_target->real);
    if (!parent)
        return error_errno(why, -ENOMEM, "%s", entry->name);
    r = revision_find(revision, parent, &place, &error);
    if (r < 0)
        return error_set(why, r, "%s", error_reason(error.text, parent));
    *ret_attributes = place.attributes;
    place.attributes.chain = NULL;
    return 0;
}

/* What the entry is hangs on that. */
static void set_entry_faulty(struct revision *revision, struct source_folder *folder,
                             struct source_entry *entry)
{
    set_faulty(revision, folder);
    entry->faulty = true;
}

/* Is there a repository of the submodule at `real`, which the commit is not to be had from? */
static bool was_fetched(struct revision *revision, const char *real, const git_oid *commit)
{
    const struct revision_part *above = revision_part_of(revision, real);
    const char *name = map_find(&above->names, revision_part_path(above, real));
    struct repository *repository = NULL;
    bool fetched = false;
    struct error why;

    return name && modules_name_ok(name) &&
           (modules_find(above->repository, name, commit, &repository, &fetched, &why) == 0 ||
            fetched);
}

/* A submodule that is not there, which is an empty folder; `why` begins with `path`. */
static int take_absent(struct source_entry *entry, const char *path, const struct error *why,
                       struct error *error)
{
    entry->kind = SOURCE_GITLINK;
    entry->reason = strdup(error_reason(why->text, path));
    return entry->reason ? 0 : error_errno(error, -ENOMEM, "%s", entry->name);
}

static void clear_attributes(struct revision_attributes *attributes)
{
    attributes_chain_unref(attributes->chain);
}

static int look_at_link(struct source *source, struct source_folder *folder,
                        struct source_entry *entry, struct error *error)
{
    struct revision *revision = revision_of(source);
    cleanup_lock(&revision->lock);
    cleanup_free struct revision_target *target = malloc(sizeof(*target));
    __attribute__((cleanup(clear_attributes))) struct revision_attributes attributes = {0};
    struct error why = {0};

    if (!target)
        return error_errno(error, -ENOMEM, "%s", entry->name);
    int r = find_target(revision, folder, entry, target, &attributes, &why);
    if (r < 0 && error_is_transient(r))
        return error_set(error, r, "%s: %s", entry->name, why.text);
    /* That is no fault of this link: it is told once, of the whole. */
    if (r == -EFBIG)
        return error_set(error, r, "%s: %s", folder->path, why.text);
    entry->linked = true;
    bool is_absent = r == -ENOLINK || (r == 0 && target->mode == GIT_FILEMODE_COMMIT);
    if (is_absent || revision_has_fault(revision))
        set_entry_faulty(revision, folder, entry);
    entry->unfetched = is_absent && !was_fetched(revision, target->real, &target->object);
    if (r < 0)
        return source_entry_reject(entry, error, "%s", why.text);
    if (target->mode == GIT_FILEMODE_TREE || is_absent) {
        entry->kind = SOURCE_FOLDER;
        entry->real = strdup(target->real);
        if (!entry->real)
            return error_errno(error, -ENOMEM, "%s", entry->name);
        return is_absent ? take_absent(entry, target->real, &why, error) : 0;
    }
    return look_at_blob(source, folder, entry, revision_part_of(revision, target->real),
                        target->real, &target->object, target->mode == GIT_FILEMODE_BLOB_EXECUTABLE,
                        &attributes, error);
}

static int look_at_gitlink(struct source *source, struct source_folder *folder,
                           struct source_entry *entry, const char *real, const git_oid *commit,
                           struct error *error)
{
    struct revision *revision = revision_of(source);
    cleanup_lock(&revision->lock);
    struct revision_part *part = NULL;
    struct error why;

    revision_begin(revision);
    int r = revision_enter(revision, revision_part_of(revision, folder->real), real, commit, &part,
                           &why);
    if (r < 0 && error_is_transient(r))
        return error_set(error, r, "%s", why.text);
    if (r < 0)
        set_entry_faulty(revision, folder, entry);
    if (r == -ENOLINK) {
        entry->unfetched = !was_fetched(revision, real, commit);
        return take_absent(entry, real, &why, error);
    }
    /* What is wrong with it is told when it is listed. */
    entry->kind = SOURCE_FOLDER;
    return 0;
}

static int look(struct source *source, struct source_folder *folder, struct source_entry *entry,
                struct error *error)
{
    cleanup_free char *real = NULL;
    const struct revision_part *part;
    git_oid object;

    /* A tree is data that anyone may have written: Git would not check such names out. */
    if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0 || entry->name[0] == '\0' ||
        strchr(entry->name, '/') || strlen(entry->name) > NAME_MAX)
        return source_entry_reject(entry, error, "the commit holds a name that is no file name");
    switch (entry->type) {
    case GIT_FILEMODE_TREE:
        entry->kind = SOURCE_FOLDER;
        return 0;
    case GIT_FILEMODE_LINK:
        return look_at_link(source, folder, entry, error);
    case GIT_FILEMODE_COMMIT:
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
    if (entry->type == GIT_FILEMODE_COMMIT)
        return look_at_gitlink(source, folder, entry, real, &object, error);
    {
        struct revision *revision = revision_of(source);
        cleanup_lock(&revision->lock);
        part = revision_part_of(revision, folder->real);
    }
    const struct revision_attributes attributes = {folder->identity.chain,
                                                   folder->identity.attributes};
    return look_at_blob(source, folder, entry, part, real, &object,
                        entry->type == GIT_FILEMODE_BLOB_EXECUTABLE, &attributes, error);
}

static int read_blob(struct source *source, const struct file *file, struct spool *spool,
                     size_t memory_limit, struct content **ret_content, struct error *error)
{
    struct repository *repository = file->identity.repository;
    struct checkout checkout = {
        .table = repository->attributes,
        .chain = file->identity.chain,
        .path = file->real + file->identity.below,
    };
    struct error why;

    (void)source;
    memcpy(checkout.object.id, file->identity.object, GIT_OID_RAWSZ);
    int r = repository_borrow(repository, &checkout.reader, error);
    if (r < 0)
        return r;
    r = checkout_blob(&checkout, spool, memory_limit, ret_content, &why);
    repository_give_back(repository, checkout.reader);
    return r < 0 ? error_set(error, r, "%s: %s", file->real, error_reason(why.text, checkout.path))
                 : 0;
}

static int await(struct source *source, struct source_wait *ret_wait)
{
    int fd = repository_watch_refs(source->repository);

    ret_wait->fd = fd < 0 ? -1 : fd;
    return fd < 0 && fd != -ENOTSUP ? fd : 0;
}

static bool tells_all(const struct source *source)
{
    /* Nothing tells when what is missing has come, nor that a repository comes where none is. */
    return !revision_of(source)->faulty && source->broken.code == 0;
}

static void close_revision(struct source *source)
{
    struct revision *revision = revision_of(source);

    if (!revision)
        return;
    revision_leave_submodules(revision);
    revision_forget_trees(revision, NULL);
    git_tree_free(revision->own.root);
    reader_free(revision->own.reader);
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
    revision->own.path = revision->top;
    revision->own.repository = source->repository;
    return reader_new(source->repository->objects, &revision->own.reader, error);
}

const struct source_backend source_revision_backend = {
    .begin = begin,
    .load = load,
    .look = look,
    .read = read_blob,
    .wait = await,
    .tells_all = tells_all,
    .close = close_revision,
};
