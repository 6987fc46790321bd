#include "source_backend.h"
#include "source_checkout.h"

#include <addonfs/path.h>
#include <errno.h>
#include <git2.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/*
 * A revision's files are identified by their blob and by every .gitattributes that may apply to
 * them (from the root down to their folder), because these decide what a checkout makes of the
 * blob. While both stay the same over commits, it is the same file, with the time of the commit
 * that was shown when it was first seen.
 */

enum { LINK_LIMIT = 40 };

struct revision {
    struct checkout *objects; /* for trees and links */
    pthread_mutex_t lock;     /* around every use of `objects` and what was read through it */
    git_oid commit;
    git_tree *root;
    struct timespec time; /* of the commit */
    bool resolved;
};

CLEANUP(commit, git_commit *, git_commit_free)
CLEANUP(tree, git_tree *, git_tree_free)
CLEANUP(tree_entry, git_tree_entry *, git_tree_entry_free)
CLEANUP(link, git_blob *, git_blob_free)
#define cleanup_commit __attribute__((cleanup(cleanup_commit_scope)))
#define cleanup_tree __attribute__((cleanup(cleanup_tree_scope)))
#define cleanup_tree_entry __attribute__((cleanup(cleanup_tree_entry_scope)))
#define cleanup_link __attribute__((cleanup(cleanup_link_scope)))

static struct revision *revision_of(const struct source *source)
{
    return source->state;
}

/* Find out which commit the revision names now. */
static int begin(struct source *source, struct error *error)
{
    struct revision *revision = revision_of(source);
    cleanup_commit git_commit *commit = NULL;
    git_tree *tree = NULL;
    git_oid id;

    int r = repository_resolve(source->repository, source->revision, &id, error);
    if (r < 0)
        return r;
    cleanup_lock(&revision->lock);
    if (revision->resolved && git_oid_equal(&id, &revision->commit))
        return 0;
    if (git_commit_lookup(&commit, revision->objects->plain, &id) < 0 ||
        git_commit_tree(&tree, commit) < 0)
        return error_set(error, -EIO, "%s: the tree of commit %s cannot be read: %s",
                         source_path(source), git_oid_tostr_s(&id), source_git_message());
    git_tree_free(revision->root);
    revision->root = tree;
    revision->time.tv_sec = (time_t)git_commit_time(commit);
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

/* Walk from the root tree to `real`: its tree, and the digest of the attributes on the way. */
static int find_tree(struct revision *revision, const char *real, git_tree **ret_tree,
                     struct content_id *ret_attributes)
{
    cleanup_tree git_tree *tree = NULL;
    struct content_id attributes = {{0}};

    if (git_tree_dup(&tree, revision->root) < 0)
        return -ENOMEM;
    int r = digest_attributes(&attributes, tree, &attributes);
    while (r == 0 && *real) {
        char name[NAME_MAX + 1];
        git_tree *below = NULL;
        size_t length = strcspn(real, "/");
        if (length > NAME_MAX)
            return -ENAMETOOLONG;
        memcpy(name, real, length);
        name[length] = '\0';
        const git_tree_entry *entry = git_tree_entry_byname(tree, name);
        if (!entry)
            return -ENOENT;
        if (git_tree_entry_type(entry) != GIT_OBJECT_TREE)
            return -ENOTDIR;
        if (git_tree_lookup(&below, git_tree_owner(tree), git_tree_entry_id(entry)) < 0)
            return -EIO;
        git_tree_free(tree);
        tree = below;
        r = digest_attributes(&attributes, tree, &attributes);
        real += length + strspn(real + length, "/");
    }
    if (r < 0)
        return r;
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

static int list(struct source *source, struct source_folder *folder, bool *ret_changed)
{
    struct revision *revision = revision_of(source);
    cleanup_tree git_tree *tree = NULL;
    struct content_id attributes;
    int r = find_tree(revision, folder->real, &tree, &attributes);

    if (r < 0)
        return r;
    bool same_attributes = content_id_equal(&attributes, &folder->identity.attributes);
    bool same_tree = folder->identity.trusted &&
                     memcmp(folder->identity.object, git_tree_id(tree)->id, GIT_OID_RAWSZ) == 0;
    if (forget_entries(folder, !same_attributes))
        *ret_changed = true;
    if (!same_tree) {
        r = read_names(tree, folder, ret_changed);
        if (r < 0)
            return r;
    }
    memcpy(folder->identity.object, git_tree_id(tree)->id, GIT_OID_RAWSZ);
    memcpy(folder->identity.commit, revision->commit.id, GIT_OID_RAWSZ);
    folder->identity.attributes = attributes;
    folder->identity.trusted = true;
    (void)folder_own(source, folder, (struct source_owner){0555, geteuid(), getegid()});
    if (folder->failure)
        *ret_changed = true;
    folder->failure = 0;
    return 0;
}

static int load(struct source *source, struct source_folder *folder, bool *ret_changed,
                struct error *error)
{
    struct revision *revision = revision_of(source);
    cleanup_lock(&revision->lock);
    struct error why;

    /* Within a commit nothing changes; what could not be read is tried again. */
    if (folder->identity.trusted && !folder->failure &&
        memcmp(folder->identity.commit, revision->commit.id, GIT_OID_RAWSZ) == 0)
        return 0;
    int r = list(source, folder, ret_changed);
    if (r == -ENOMEM)
        return error_errno(error, r, "%s", folder->path);
    if (r == 0)
        return 0;
    if (r == -EIO)
        error_set(&why, r, "%s: cannot be read: %s", folder->path, source_git_message());
    else
        error_errno(&why, r, "%s", folder->path);
    if (folder_fail(folder, r, &why))
        *ret_changed = true;
    return 0;
}

/* A link's way through the trees: a path that grows and shrinks by components. */
struct way {
    char real[PATH_MAX];
    char rest[PATH_MAX];
    int links;
};

static int way_turn(struct revision *revision, struct way *way, const git_tree_entry *entry,
                    const char **ret_reason)
{
    cleanup_link git_blob *target = NULL;
    char rest[PATH_MAX];

    if (++way->links > LINK_LIMIT) {
        *ret_reason = "the link loops";
        return -ELOOP;
    }
    if (git_blob_lookup(&target, git_tree_owner(revision->root), git_tree_entry_id(entry)) < 0) {
        *ret_reason = "the link's object is missing from the repository";
        return -EIO;
    }
    size_t size = (size_t)git_blob_rawsize(target);
    const char *text = git_blob_rawcontent(target);
    if (size > 0 && text[0] == '/') {
        *ret_reason = "the link leads out of the repository";
        return -EXDEV;
    }
    if (size == 0 || memchr(text, '\0', size) ||
        snprintf(rest, sizeof(rest), "%.*s/%s", (int)(size < PATH_MAX ? size : PATH_MAX), text,
                 way->rest) >= (int)sizeof(rest)) {
        *ret_reason = "the link is no path";
        return -ENAMETOOLONG;
    }
    memcpy(way->rest, rest, sizeof(rest));
    return 0;
}

static int way_step(struct revision *revision, struct way *way, const char *name,
                    git_filemode_t *ret_mode, git_oid *ret_object, const char **ret_reason)
{
    cleanup_tree_entry git_tree_entry *entry = NULL;
    cleanup_free char *next = NULL;

    if (strcmp(name, "..") == 0) {
        char *slash = strrchr(way->real, '/');
        if (way->real[0] == '\0') {
            *ret_reason = "the link leads out of the repository";
            return -EXDEV;
        }
        *(slash ? slash : way->real) = '\0';
        *ret_mode = GIT_FILEMODE_TREE;
        return 0;
    }
    if (path_is_git(name)) {
        *ret_reason = "the link leads into Git's own files";
        return -EPERM;
    }
    next = path_join(way->real, name);
    if (!next)
        return -ENOMEM;
    if (*ret_mode != GIT_FILEMODE_TREE || strlen(next) >= sizeof(way->real) ||
        git_tree_entry_bypath(&entry, revision->root, next) < 0) {
        *ret_reason = "the link is broken";
        return -ENOENT;
    }
    git_filemode_t mode = git_tree_entry_filemode(entry);
    if (mode == GIT_FILEMODE_LINK)
        return way_turn(revision, way, entry, ret_reason);
    memcpy(way->real, next, strlen(next) + 1);
    *ret_mode = mode;
    *ret_object = *git_tree_entry_id(entry);
    return 0;
}

/* Follow the link; the rules are those of source_resolve.h. */
static int follow(struct revision *revision, const char *folder, const char *name, struct way *way,
                  git_filemode_t *ret_mode, git_oid *ret_object, const char **ret_reason)
{
    *ret_mode = GIT_FILEMODE_TREE;
    way->links = 0;
    if (strlen(folder) >= sizeof(way->real) || strlen(name) >= sizeof(way->rest))
        return -ENAMETOOLONG;
    memcpy(way->real, folder, strlen(folder) + 1);
    memcpy(way->rest, name, strlen(name) + 1);
    for (;;) {
        char component[NAME_MAX + 1];
        const char *start = way->rest + strspn(way->rest, "/");
        size_t length = strcspn(start, "/");
        if (length == 0)
            return 0;
        if (length > NAME_MAX)
            return -ENAMETOOLONG;
        memcpy(component, start, length);
        component[length] = '\0';
        memmove(way->rest, start + length, strlen(start + length) + 1);
        if (strcmp(component, ".") == 0)
            continue;
        int r = way_step(revision, way, component, ret_mode, ret_object, ret_reason);
        if (r < 0)
            return r;
    }
}

static int look_at_blob(struct source *source, struct source_folder *folder,
                        struct source_entry *entry, const char *real, const git_oid *object,
                        bool executable, struct error *error)
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
    file->identity.attributes = folder->identity.attributes;
    entry->file = file;
    entry->kind = SOURCE_FILE;
    return 0;
}

static int look_at_link(struct source *source, struct source_folder *folder,
                        struct source_entry *entry, struct error *error)
{
    struct revision *revision = revision_of(source);
    cleanup_lock(&revision->lock);
    cleanup_free struct way *way = malloc(sizeof(*way));
    const char *reason = NULL;
    git_filemode_t mode;
    git_oid object;
    char text[128];

    if (!way)
        return error_errno(error, -ENOMEM, "%s", entry->name);
    int r = follow(revision, folder->real, entry->name, way, &mode, &object, &reason);
    entry->linked = true;
    if (r == -ENOMEM)
        return error_errno(error, r, "%s", entry->name);
    if (r < 0)
        return source_entry_reject(entry, error, "%s",
                                   reason ? reason : strerror_r(-r, text, sizeof(text)));
    if (mode == GIT_FILEMODE_TREE || mode == GIT_FILEMODE_COMMIT) {
        entry->kind = mode == GIT_FILEMODE_TREE ? SOURCE_FOLDER : SOURCE_GITLINK;
        entry->real = strdup(way->real);
        return entry->real ? 0 : error_errno(error, -ENOMEM, "%s", entry->name);
    }
    return look_at_blob(source, folder, entry, way->real, &object,
                        mode == GIT_FILEMODE_BLOB_EXECUTABLE, error);
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
                        entry->type == GIT_FILEMODE_BLOB_EXECUTABLE, error);
}

/*
 * The commit whose attributes apply: the file's, or the current one if they are the same there. The
 * file's own may have been collected as garbage while the file lives on in later commits.
 */
static git_oid attributes_commit(struct revision *revision, const struct file *file)
{
    const char *slash = strrchr(file->real, '/');
    cleanup_free char *folder =
        slash ? strndup(file->real, (size_t)(slash - file->real)) : strdup("");
    cleanup_tree git_tree *tree = NULL;
    struct content_id attributes;
    git_oid commit;

    memcpy(commit.id, file->identity.commit, GIT_OID_RAWSZ);
    cleanup_lock(&revision->lock);
    if (git_oid_equal(&commit, &revision->commit) || !folder ||
        find_tree(revision, folder, &tree, &attributes) < 0 ||
        !content_id_equal(&attributes, &file->identity.attributes))
        return commit;
    return revision->commit;
}

static int read_blob(struct source *source, const struct file *file, struct spool *spool,
                     size_t memory_limit, struct content **ret_content, struct error *error)
{
    struct revision *revision = revision_of(source);
    git_oid commit = attributes_commit(revision, file);
    git_oid object;
    struct checkout *checkout = repository_borrow(source->repository);

    if (!checkout)
        return error_errno(error, -ENOMEM, "%s", file->path);
    memcpy(object.id, file->identity.object, GIT_OID_RAWSZ);
    int r = checkout_blob(checkout, &object, &commit, file->real, spool, memory_limit, ret_content,
                          error);
    repository_give_back(source->repository, checkout);
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
    checkout_free(revision->objects);
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
    revision->objects = checkout_new(source->repository->objects);
    return revision->objects ? 0 : error_errno(error, -ENOMEM, "%s", source_path(source));
}

const struct source_backend source_revision_backend = {
    .begin = begin,
    .load = load,
    .look = look,
    .read = read_blob,
    .wait = await,
    .close = close_revision,
};
