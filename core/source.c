#include "source_file.h"

#include <addonfs/path.h>
#include <errno.h>
#include <git2.h>
#include <limits.h>
#include <search.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct file *file_new(const char *path, const char *real)
{
    struct file *file = calloc(1, sizeof(*file));

    if (!file)
        return NULL;
    atomic_init(&file->references, 1);
    atomic_init(&file->measured, UINT64_MAX);
    file->path = strdup(path);
    file->real = strcmp(path, real) == 0 ? file->path : strdup(real);
    if (!file->path || !file->real) {
        file_unref(file);
        return NULL;
    }
    return file;
}

struct file *file_ref(struct file *file)
{
    atomic_fetch_add(&file->references, 1);
    return file;
}

void file_unref(struct file *file)
{
    if (!file || atomic_fetch_sub(&file->references, 1) > 1)
        return;
    member_unref(atomic_load(&file->member));
    if (file->real != file->path)
        free(file->real);
    free(file->path);
    free(file->failure);
    free(file);
}

bool file_key(const struct file *file, struct content_id *ret_key)
{
    static const unsigned char no_object[sizeof(file->identity.object)];
    const struct file_identity *identity = &file->identity;
    cleanup_sha256 struct sha256 *sha256 = NULL;

    if (file->failure)
        return false;
    bool is_blob = memcmp(identity->object, no_object, sizeof(no_object)) != 0;
    sha256 = sha256_new();
    if (!sha256)
        return false;
    if (is_blob) {
        sha256_update(sha256, "blob", sizeof("blob"));
        sha256_update(sha256, identity->object, sizeof(identity->object));
        sha256_update(sha256, identity->attributes.bytes, sizeof(identity->attributes.bytes));
        sha256_update(sha256, file->real, strlen(file->real));
    } else {
        /* No padding may get into the digest: each on its own. */
        const int64_t stat[] = {
            (int64_t)identity->device, (int64_t)identity->inode, (int64_t)file->size,
            file->mtime.tv_sec,        file->mtime.tv_nsec,      identity->change.tv_sec,
            identity->change.tv_nsec,
        };
        sha256_update(sha256, "stat", sizeof("stat"));
        sha256_update(sha256, stat, sizeof(stat));
    }
    sha256_final(sha256, ret_key);
    return true;
}

bool file_has_settled(const struct file *file)
{
    return file->identity.inode == 0 || file_stamp_is_old(file->identity.change);
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool file_equal(const struct file *a, const struct file *b)
{
    static const unsigned char no_object[sizeof(a->identity.object)];

    if (a == b)
        return true;
    if (!a || !b || a->failure || b->failure || strcmp(a->path, b->path) != 0 ||
        strcmp(a->real, b->real) != 0 || a->owner.mode != b->owner.mode ||
        a->owner.uid != b->owner.uid || a->owner.gid != b->owner.gid)
        return false;
    const struct file_identity *left = &a->identity;
    const struct file_identity *right = &b->identity;
    if (memcmp(left->object, no_object, sizeof(no_object)) != 0)
        return memcmp(left->object, right->object, sizeof(no_object)) == 0 &&
               content_id_equal(&left->attributes, &right->attributes);
    return left->device == right->device && left->inode == right->inode && a->size == b->size &&
           same_time(a->mtime, b->mtime) && same_time(left->change, right->change) &&
           ((left->trusted && right->trusted) ||
            (a->id_known && b->id_known && content_id_equal(&a->id, &b->id)));
}

void source_entry_forget(struct source_entry *entry)
{
    file_unref(entry->file);
    free(entry->real);
    free(entry->reason);
    entry->file = NULL;
    entry->real = NULL;
    entry->reason = NULL;
    entry->linked = false;
    entry->kind = SOURCE_UNSEEN;
}

int source_entry_reject(struct source_entry *entry, struct error *error, const char *format, ...)
{
    va_list arguments;
    int length;

    entry->kind = SOURCE_OTHER;
    va_start(arguments, format);
    length = vasprintf(&entry->reason, format, arguments);
    va_end(arguments);
    if (length >= 0)
        return 0;
    entry->reason = NULL;
    return error_errno(error, -ENOMEM, "%s", entry->name);
}

void source_entries_free(struct source_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        source_entry_forget(&entries[i]);
        free(entries[i].name);
    }
    free(entries);
}

static int compare_entries(const void *a, const void *b)
{
    const struct source_entry *left = a;
    const struct source_entry *right = b;

    return strcmp(left->name, right->name);
}

static bool same_listing(const struct source_entry *a, const struct source_entry *b)
{
    return a->type == b->type && memcmp(a->object, b->object, sizeof(a->object)) == 0;
}

bool folder_rename(struct source_folder *folder, struct source_entry *entries, size_t count)
{
    size_t old = 0;
    size_t same = 0;

    if (count > 0)
        qsort(entries, count, sizeof(*entries), compare_entries);
    for (size_t i = 0; i < count; i++) {
        while (old < folder->count && strcmp(folder->entries[old].name, entries[i].name) < 0)
            old++;
        if (old == folder->count)
            break;
        struct source_entry *known = &folder->entries[old];
        if (strcmp(known->name, entries[i].name) == 0 && same_listing(known, &entries[i])) {
            char *name = entries[i].name;
            entries[i] = *known;
            *known = (struct source_entry){.name = name};
            same++;
        }
    }

    bool changed = same != count || same != folder->count;
    source_entries_free(folder->entries, folder->count);
    folder->entries = entries;
    folder->count = count;
    return changed;
}

bool folder_own(struct source *source, struct source_folder *folder, struct source_owner owner)
{
    if (folder->owner.mode == owner.mode && folder->owner.uid == owner.uid &&
        folder->owner.gid == owner.gid)
        return false;
    folder->owner = owner;
    /* A new folder changes nothing for what was there before. */
    if (folder->changed)
        source->owners = source->look;
    return true;
}

bool folder_fail(struct source_folder *folder, int code, const struct error *why)
{
    bool news = folder->failure != code;

    if (!folder->error)
        folder->error = malloc(sizeof(*folder->error));
    if (folder->error)
        *folder->error = *why;
    folder->failure = code;
    source_entries_free(folder->entries, folder->count);
    folder->entries = NULL;
    folder->count = 0;
    folder->identity.trusted = false;
    return news;
}

static void folder_free(void *pointer)
{
    struct source_folder *folder = pointer;

    if (!folder)
        return;
    source_entries_free(folder->entries, folder->count);
    free(folder->path);
    free(folder->real);
    free(folder->error);
    free(folder);
}

static int compare_folders(const void *a, const void *b)
{
    const struct source_folder *left = a;
    const struct source_folder *right = b;

    return strcmp(left->path, right->path);
}

int source_open(const struct source_options *options, struct source **ret_source,
                struct error *error)
{
    cleanup_source struct source *source = calloc(1, sizeof(*source));
    bool bare = false;

    if (!source)
        return error_errno(error, -ENOMEM, "%s", options->path);
    git_libgit2_init();
    source->path = realpath(options->path, NULL);
    if (!source->path)
        return error_errno(error, -errno, "%s", options->path);
    int r = source_repository_open(source, &bare, error);
    if (r < 0)
        return r;
    if (options->revision || bare) {
        source->revision = strdup(options->revision ? options->revision : "HEAD");
        if (!source->revision)
            return error_errno(error, -ENOMEM, "%s", options->path);
    }
    source->poll = options->poll;
    source->backend = source->revision ? &source_revision_backend : &source_worktree;
    r = source->revision ? source_revision_open(source, error)
                         : source_worktree_open(source, error);
    if (r < 0)
        return r;
    *ret_source = steal_pointer(&source);
    return 0;
}

void source_close(struct source *source)
{
    if (!source)
        return;
    tdestroy(source->folders, folder_free);
    if (source->backend)
        source->backend->close(source);
    git_repository_free(source->repository);
    git_libgit2_shutdown();
    free(source->path);
    free(source->revision);
    free(source);
}

const char *source_path(const struct source *source)
{
    return source->path;
}

const char *source_revision(const struct source *source)
{
    return source->revision;
}

const char *source_warning(const struct source *source)
{
    return atomic_load(&source->warning);
}

uint64_t source_look_number(const struct source *source)
{
    return source->look;
}

uint64_t source_owners_changed(const struct source *source)
{
    return source->owners;
}

const char *source_library_version(void)
{
    return LIBGIT2_VERSION;
}

const char *source_commit(const struct source *source)
{
    return source->commit[0] ? source->commit : NULL;
}

/* Compare one folder with what it was, once a look. */
static int check(struct source *source, struct source_folder *folder, bool *ret_changed,
                 struct error *error)
{
    bool changed = false;
    int r = 0;

    if (folder->checked == source->look)
        return 0;
    /* Watched, and nothing has happened since it was compared. */
    bool clean =
        !source->poll && folder->watched && folder->checked && !folder->dirty && !folder->unsure;
    if (!clean)
        r = source->backend->load(source, folder, &changed, error);
    if (r < 0)
        return r;
    folder->dirty = false;
    folder->checked = source->look;
    if (changed || !folder->changed)
        folder->changed = source->look;
    *ret_changed = *ret_changed || changed;
    return 0;
}

struct check_all {
    struct source *source;
    bool changed;
    int result;
    struct error *error;
};

static void check_node(const void *node, VISIT visit, void *context)
{
    struct check_all *all = context;
    struct source_folder *folder = *(struct source_folder *const *)node;

    if ((visit != postorder && visit != leaf) || all->result < 0)
        return;
    all->result = check(all->source, folder, &all->changed, all->error);
}

int source_refresh(struct source *source, bool *ret_changed, struct error *error)
{
    struct check_all all = {.source = source, .error = error};
    int was_broken = source->broken.code;

    source->look++;
    source->broken.code = 0;
    source->renewed = false;
    int r = source->backend->begin(source, error);
    if (r < 0) {
        source->broken = *error;
        *ret_changed = was_broken != r;
        return r;
    }
    /*
     * A new commit makes every folder worth building from again, even where nothing differs.
     * Comparing is then left to whoever asks for the folder.
     */
    bool is_watched = source->backend->forget != NULL && !source->poll;
    if (!source->renewed && !was_broken && (!is_watched || source->pending || source->unsure > 0))
        twalk_r(source->folders, check_node, &all);
    source->pending = source->pending && all.result < 0;
    *ret_changed = all.changed || source->renewed || was_broken;
    return all.result;
}

struct mark {
    const char *path;
    const char *real;
};

static void mark_node(const void *node, VISIT visit, void *context)
{
    const struct mark *mark = context;
    struct source_folder *folder = *(struct source_folder *const *)node;

    if ((visit == postorder || visit == leaf) &&
        (path_is_within(folder->path, mark->path) ||
         (folder->real && path_is_within(folder->real, mark->real))))
        folder->dirty = true;
}

void source_mark(struct source *source, const char *path, const char *real)
{
    struct mark mark = {path, real};

    twalk_r(source->folders, mark_node, &mark);
    source->pending = true;
}

void source_set_unsure(struct source *source, struct source_folder *folder, bool unsure)
{
    if (folder->unsure != unsure)
        source->unsure += unsure ? 1 : SIZE_MAX;
    folder->unsure = unsure;
}

struct settle {
    struct source *source;
    struct source_folder *unasked;
};

static void settle_node(const void *node, VISIT visit, void *context)
{
    struct settle *settle = context;
    struct source_folder *folder = *(struct source_folder *const *)node;

    if ((visit == postorder || visit == leaf) && folder->asked != settle->source->look) {
        folder->next = settle->unasked;
        settle->unasked = folder;
    }
}

void source_settle(struct source *source)
{
    struct settle settle = {.source = source};

    twalk_r(source->folders, settle_node, &settle);
    while (settle.unasked) {
        struct source_folder *folder = settle.unasked;
        settle.unasked = folder->next;
        tdelete(folder, &source->folders, compare_folders);
        source_set_unsure(source, folder, false);
        if (source->backend->forget)
            source->backend->forget(source, folder);
        folder_free(folder);
    }
}

static int real_path(struct source *source, const char *path, char **ret_real, struct error *error);

/* The folder at `path`, made if need be and compared in this look. */
static int folder_get(struct source *source, const char *path, const char *real,
                      struct source_folder **ret_folder, struct error *error)
{
    struct source_folder wanted = {.path = (char *)(uintptr_t)path};
    struct source_folder *const *found = tfind(&wanted, &source->folders, compare_folders);
    struct source_folder *folder = found ? *found : NULL;
    bool changed = false;

    if (!folder) {
        folder = calloc(1, sizeof(*folder));
        if (folder)
            folder->path = strdup(path);
        if (!folder || !folder->path || !tsearch(folder, &source->folders, compare_folders)) {
            folder_free(folder);
            return error_errno(error, -ENOMEM, "%s", path);
        }
    }
    if (!folder->real || strcmp(folder->real, real) != 0) {
        free(folder->real);
        folder->real = strdup(real);
        if (!folder->real)
            return error_errno(error, -ENOMEM, "%s", path);
        folder->identity.trusted = false;
        folder->checked = 0;
        folder->changed = folder->changed ? source->look : 0;
    }
    folder->asked = source->look;
    *ret_folder = folder;
    return check(source, folder, &changed, error);
}

/* The same, or why it cannot be listed. */
static int folder_list(struct source *source, const char *path, const char *real,
                       struct source_folder **ret_folder, struct error *error)
{
    struct source_folder *folder = NULL;

    int r = folder_get(source, path, real, &folder, error);
    if (r < 0)
        return r;
    if (folder->failure) {
        if (error && folder->error)
            *error = *folder->error;
        return folder->failure;
    }
    *ret_folder = folder;
    return 0;
}

int source_list(struct source *source, const char *path, struct source_folder **ret_folder,
                struct error *error)
{
    cleanup_free char *real = NULL;

    if (source->broken.code)
        return error_set(error, -EIO, "%s", source->broken.text);
    int r = real_path(source, path, &real, error);
    return r < 0 ? r : folder_list(source, path, real, ret_folder, error);
}

int source_list_below(struct source *source, const struct source_folder *parent,
                      const struct source_entry *entry, struct source_folder **ret_folder,
                      struct error *error)
{
    char path[PATH_MAX];
    char real[PATH_MAX];
    const char *slash = *parent->path ? "/" : "";
    const char *real_slash = *parent->real ? "/" : "";

    if (snprintf(path, sizeof(path), "%s%s%s", parent->path, slash, entry->name) >= PATH_MAX ||
        snprintf(real, sizeof(real), "%s%s%s", parent->real, real_slash, entry->name) >= PATH_MAX)
        return error_errno(error, -ENAMETOOLONG, "%s/%s", parent->path, entry->name);
    return folder_list(source, path, entry->real ? entry->real : real, ret_folder, error);
}

int source_look(struct source *source, struct source_folder *folder, struct source_entry *entry,
                struct error *error)
{
    if (entry->kind != SOURCE_UNSEEN)
        return 0;
    folder->changed = source->look;
    return source->backend->look(source, folder, entry, error);
}

int source_find(struct source *source, const char *path, struct source_folder **ret_folder,
                struct source_entry **ret_entry, struct error *error)
{
    const char *slash = strrchr(path, '/');
    cleanup_free char *parent = slash ? strndup(path, (size_t)(slash - path)) : strdup("");
    struct source_entry wanted = {.name = (char *)(uintptr_t)(slash ? slash + 1 : path)};
    struct source_folder *folder = NULL;

    if (!parent)
        return error_errno(error, -ENOMEM, "%s", path);
    int r = source_list(source, parent, &folder, error);
    if (r < 0)
        return r;
    struct source_entry *entry =
        folder->count == 0
            ? NULL
            : bsearch(&wanted, folder->entries, folder->count, sizeof(wanted), compare_entries);
    if (!entry)
        return error_errno(error, -ENOENT, "%s", path);
    r = source_look(source, folder, entry, error);
    if (r < 0)
        return r;
    if (ret_folder)
        *ret_folder = folder;
    *ret_entry = entry;
    return 0;
}

/* The path of a folder without links: its parent's, and its own name or where its link leads. */
static int real_path(struct source *source, const char *path, char **ret_real, struct error *error)
{
    struct source_folder *parent = NULL;
    struct source_entry *entry = NULL;

    if (*path == '\0') {
        *ret_real = strdup("");
        return *ret_real ? 0 : error_errno(error, -ENOMEM, "%s", path);
    }
    int r = source_find(source, path, &parent, &entry, error);
    if (r < 0)
        return r;
    if (entry->kind == SOURCE_OTHER)
        return error_set(error, -EIO, "%s: %s", path, entry->reason);
    if (entry->kind != SOURCE_FOLDER && entry->kind != SOURCE_GITLINK)
        return error_errno(error, -ENOTDIR, "%s", path);
    *ret_real = entry->real ? strdup(entry->real) : path_join(parent->real, entry->name);
    return *ret_real ? 0 : error_errno(error, -ENOMEM, "%s", path);
}

int source_read(struct source *source, const struct file *file, struct spool *spool,
                size_t memory_limit, struct content **ret_content, struct error *error)
{
    cleanup_content struct content *content = NULL;
    char start[SOURCE_LFS_POINTER_LIMIT];

    if (file->failure)
        return error_set(error, -EIO, "%s: %s", file->path, file->failure);
    int r = source->backend->read(source, file, spool, memory_limit, &content, error);
    if (r < 0)
        return r;
    if (content->size < sizeof(start)) {
        ssize_t n = content_read(content, 0, start, sizeof(start));
        if (n > 0 && source_is_lfs_pointer(start, content->size))
            return error_set(error, -EIO, "%s: a Git LFS pointer without its object: git lfs pull",
                             file->path);
    }
    *ret_content = steal_pointer(&content);
    return 0;
}

int source_measure(struct source *source, struct file *file, struct spool *spool,
                   uint64_t *ret_size, struct error *error)
{
    cleanup_content struct content *content = NULL;
    uint64_t size = file->size;

    if (file->failure)
        return error_set(error, -EIO, "%s: %s", file->path, file->failure);
    if (size == UINT64_MAX)
        size = atomic_load(&file->measured);
    if (size == UINT64_MAX) {
        int r = source_read(source, file, spool, CONTENT_MEMORY_LIMIT, &content, error);
        if (r < 0)
            return r;
        size = content->size;
        atomic_store(&file->measured, size);
    }
    *ret_size = size;
    return 0;
}

bool source_is_lfs_pointer(const void *bytes, uint64_t size)
{
    static const char start[] = "version https://git-lfs.github.com/spec/";

    return size >= sizeof(start) && size < SOURCE_LFS_POINTER_LIMIT &&
           memcmp(bytes, start, sizeof(start) - 1) == 0;
}
