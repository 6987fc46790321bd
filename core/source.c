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
    char reason[256]; /* they are sentences of ours, without names */
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    entry->reason = strdup(reason);
    if (!entry->reason)
        return error_errno(error, -ENOMEM, "%s", entry->name);
    entry->kind = SOURCE_OTHER;
    return 0;
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

struct source_entry *folder_entry(const struct source_folder *folder, const char *name)
{
    struct source_entry wanted = {.name = (char *)(uintptr_t)name};

    return folder->count == 0
               ? NULL
               : bsearch(&wanted, folder->entries, folder->count, sizeof(wanted), compare_entries);
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
    free(folder->link);
    free(folder->error);
    free(folder);
}

static int compare_folders(const void *a, const void *b)
{
    const struct source_folder *left = a;
    const struct source_folder *right = b;

    return strcmp(left->path, right->path);
}

/* `repository` is taken over, even on failure; `revision` is NULL for the worktree. */
static int open_on(struct repository *repository, const char *revision, bool poll,
                   struct source **ret_source, struct error *error)
{
    cleanup_source struct source *source = calloc(1, sizeof(*source));
    const char *path = repository->path;

    if (!source) {
        int r = error_errno(error, -ENOMEM, "%s", path);
        repository_unref(repository);
        return r;
    }
    atomic_init(&source->references, 1);
    pthread_mutex_init(&source->suspects_lock, NULL);
    source->repository = repository;
    source->revision = revision ? strdup(revision) : NULL;
    if (revision && !source->revision)
        return error_errno(error, -ENOMEM, "%s", path);
    source->poll = poll;
    source->backend = revision ? &source_revision_backend : &source_worktree;
    int r = revision ? source_revision_open(source, error) : source_worktree_open(source, error);
    if (r < 0)
        return r;
    *ret_source = steal_pointer(&source);
    return 0;
}

int source_open(const struct source_options *options, struct source **ret_source,
                struct error *error)
{
    struct repository *repository = NULL;
    const char *revision = options->revision;

    int r = repository_open(options->path, &repository, error);
    if (r < 0)
        return r;
    if (!revision && repository->bare)
        revision = "HEAD";
    return open_on(repository, revision, options->poll, ret_source, error);
}

int source_open_revision(const struct source *of, const char *revision, struct source **ret_source,
                         struct error *error)
{
    return open_on(repository_ref(of->repository), revision, false, ret_source, error);
}

struct source *source_ref(struct source *source)
{
    atomic_fetch_add(&source->references, 1);
    return source;
}

void source_unref(struct source *source)
{
    if (!source || atomic_fetch_sub(&source->references, 1) > 1)
        return;
    if (source->backend)
        source->backend->close(source);
    repository_unref(source->repository);
    map_clear(&source->suspects, NULL);
    pthread_mutex_destroy(&source->suspects_lock);
    free(source->revision);
    free(source);
}

void source_close(struct source *source)
{
    if (!source)
        return;
    /* They hold files, which hold the source. */
    tdestroy(source->folders, folder_free);
    source->folders = NULL;
    source_unref(source);
}

const char *source_path(const struct source *source)
{
    return source->repository->path;
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
    int failure = folder->failure;
    bool changed = false;
    int r = 0;

    if (folder->checked == source->look)
        return 0;
    /* Watched, and nothing has happened since it was compared. */
    bool quiet = !source->poll && folder->watched && folder->checked && !folder->dirty;
    if (!quiet)
        r = source->backend->load(source, folder, &changed, error);
    else if (folder->unsure)
        r = source->backend->load_unsure(source, folder, &changed, error);
    /* While it cannot be listed, nobody knows who may enter it: see source_owners_changed. */
    if (folder->changed && (failure == 0) != (folder->failure == 0))
        source->owners = source->look;
    /* Even if it failed half-way: the folder holds what it found until then, and will find no
     * difference to that the next time. */
    if (changed || (r == 0 && !folder->changed))
        folder->changed = source->look;
    *ret_changed = *ret_changed || changed;
    if (r < 0)
        return r;
    folder->dirty = false;
    folder->checked = source->look;
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

/* Remember that something about the file has changed of which nothing was told. */
static void suspect(const struct file *file)
{
    struct source *source = file->source;
    const char *slash = strrchr(file->path, '/');
    cleanup_free char *folder = strndup(file->path, slash ? (size_t)(slash - file->path) : 0);
    cleanup_lock(&source->suspects_lock);

    if (folder)
        (void)map_put(&source->suspects, folder, source);
}

static int mark_suspect(void *context, const char *path, void *value)
{
    struct source *source = context;
    struct source_folder *folder = source_known(source, path);

    (void)value;
    if (folder)
        folder->dirty = source->pending = true;
    return 0;
}

static void mark_suspects(struct source *source)
{
    cleanup_lock(&source->suspects_lock);

    if (source->suspects.count == 0)
        return;
    (void)map_each(&source->suspects, mark_suspect, source);
    map_clear(&source->suspects, NULL);
}

int source_refresh(struct source *source, bool *ret_changed, struct error *error)
{
    struct check_all all = {.source = source, .error = error};
    int was_broken = source->broken.code;

    source->look++;
    source->renewed = false;
    mark_suspects(source);
    int r = source->backend->begin(source, &source->broken);
    source->broken.code = r;
    if (r < 0) {
        if (error)
            *error = source->broken;
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
    *ret_changed = all.changed || source->renewed || was_broken || source->unreported;
    source->unreported = *ret_changed && all.result < 0;
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
        (path_is_within(folder->path, mark->path) || path_is_within(folder->real, mark->real)))
        folder->dirty = true;
}

void source_mark(struct source *source, const char *path, const char *real)
{
    struct mark mark = {path, real};

    twalk_r(source->folders, mark_node, &mark);
    source->pending = true;
}

/* Is the path, or a folder that it lies in, one of these? */
static bool is_at_or_below(const char *path, const struct map *paths)
{
    char prefix[PATH_MAX];
    size_t length = strlen(path);

    /* No path that can be opened is longer. */
    if (length >= sizeof(prefix))
        return true;
    memcpy(prefix, path, length + 1);
    for (;;) {
        if (map_find(paths, prefix))
            return true;
        if (*prefix == '\0')
            return false;
        char *slash = strrchr(prefix, '/');
        *(slash ? slash : prefix) = '\0';
    }
}

struct mark_below {
    const struct map *paths;
};

static void mark_node_below(const void *node, VISIT visit, void *context)
{
    const struct mark_below *mark = context;
    struct source_folder *folder = *(struct source_folder *const *)node;

    if ((visit == postorder || visit == leaf) &&
        (is_at_or_below(folder->path, mark->paths) ||
         (strcmp(folder->path, folder->real) != 0 && is_at_or_below(folder->real, mark->paths))))
        folder->dirty = true;
}

void source_mark_below(struct source *source, const struct map *paths)
{
    struct mark_below mark = {paths};

    twalk_r(source->folders, mark_node_below, &mark);
    source->pending = true;
}

void source_set_unsure(struct source *source, struct source_folder *folder, bool unsure)
{
    if (folder->unsure != unsure)
        source->unsure += unsure ? 1 : SIZE_MAX;
    folder->unsure = unsure;
}

int source_wait_open(struct source *source, struct source_wait *ret_wait, struct error *error)
{
    struct source_wait wait = {-1, -1, true};

    int r = source->backend->wait(source, &wait);
    if (r < 0) {
        source_wait_close(&wait);
        return error_errno(error, r, "%s: cannot wait for changes", source_path(source));
    }
    *ret_wait = wait;
    return 0;
}

void source_wait_close(struct source_wait *wait)
{
    if (wait->fd >= 0)
        close(wait->fd);
    if (wait->inner >= 0)
        close(wait->inner);
    wait->fd = wait->inner = -1;
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

static int real_path(struct source *source, const char *path, char **ret_real, char **ret_link,
                     struct error *error);

/* Where a folder is: `link` is the last link on the way, or NULL. */
struct place {
    const char *path;
    const char *real;
    const char *link;
};

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* The folder is there now: nothing that was known of it counts any more. */
static int folder_move(struct source *source, struct source_folder *folder,
                       const struct place *place, struct error *error)
{
    char *real = strdup(place->real);
    char *link = place->link ? strdup(place->link) : NULL;

    if (!real || (place->link && !link)) {
        free(real);
        free(link);
        return error_errno(error, -ENOMEM, "%s", place->path);
    }
    free(folder->real);
    free(folder->link);
    folder->real = real;
    folder->link = link;
    folder->identity.trusted = false;
    folder->checked = 0;
    folder->changed = folder->changed ? source->look : 0;
    return 0;
}

/* A record is complete before anyone can find it. */
static struct source_folder *folder_new(const struct place *place)
{
    struct source_folder *folder = calloc(1, sizeof(*folder));

    if (!folder)
        return NULL;
    folder->path = strdup(place->path);
    folder->real = strdup(place->real);
    folder->link = place->link ? strdup(place->link) : NULL;
    if (folder->path && folder->real && (!place->link || folder->link))
        return folder;
    folder_free(folder);
    return NULL;
}

struct source_folder *source_known(const struct source *source, const char *path)
{
    struct source_folder wanted = {.path = (char *)(uintptr_t)path};
    struct source_folder *const *found = tfind(&wanted, &source->folders, compare_folders);

    return found ? *found : NULL;
}

/* The folder at a place, made if need be and compared in this look. */
static int folder_get(struct source *source, const struct place *place,
                      struct source_folder **ret_folder, struct error *error)
{
    struct source_folder *folder = source_known(source, place->path);
    bool changed = false;

    if (!folder) {
        folder = folder_new(place);
        if (!folder || !tsearch(folder, &source->folders, compare_folders)) {
            folder_free(folder);
            return error_errno(error, -ENOMEM, "%s", place->path);
        }
    } else if (!same_text(folder->real, place->real) || !same_text(folder->link, place->link)) {
        int r = folder_move(source, folder, place, error);
        if (r < 0)
            return r;
    }
    folder->asked = source->look;
    *ret_folder = folder;
    return check(source, folder, &changed, error);
}

/* The same, or why it cannot be listed. */
static int folder_list(struct source *source, const struct place *place,
                       struct source_folder **ret_folder, struct error *error)
{
    struct source_folder *folder = NULL;

    int r = folder_get(source, place, &folder, error);
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

/* Ask for each folder above `real`, from the root down. `owners` has room for them, or is NULL. */
static int ask_above(struct source *source, const char *real, struct source_owner *owners,
                     struct error *error)
{
    static const struct source_owner unknown = {.mode = 0700};
    cleanup_free char *prefix = strdup(real);
    size_t count = 0;

    if (!prefix)
        return error_errno(error, -ENOMEM, "%s", real);
    for (size_t length = 0; real[length] != '\0'; length++) {
        struct source_folder *folder = NULL;
        if (length > 0 && real[length] != '/')
            continue;
        prefix[length] = '\0';
        const struct place place = {prefix, prefix, NULL};
        int r = folder_get(source, &place, &folder, error);
        prefix[length] = real[length];
        if (r < 0)
            return r;
        if (!owners)
            continue;
        owners[count] = folder->failure ? unknown : folder->owner;
        if (folder->failure) {
            owners[count].uid = geteuid();
            owners[count].gid = getegid();
        }
        count++;
    }
    return 0;
}

int source_owners_above(struct source *source, const char *real, struct source_owner **ret_owners,
                        size_t *ret_count, struct error *error)
{
    size_t count = *real != '\0';

    for (const char *at = real; *at; at++)
        count += *at == '/';
    cleanup_free struct source_owner *owners = calloc(count + 1, sizeof(*owners));
    if (!owners)
        return error_errno(error, -ENOMEM, "%s", real);
    int r = ask_above(source, real, owners, error);
    if (r < 0)
        return r;
    *ret_owners = steal_pointer(&owners);
    *ret_count = count;
    return 0;
}

int source_list(struct source *source, const char *path, struct source_folder **ret_folder,
                struct error *error)
{
    cleanup_free char *real = NULL;
    cleanup_free char *link = NULL;

    if (source->broken.code)
        return error_set(error, -EIO, "%s", source->broken.text);
    int r = real_path(source, path, &real, &link, error);
    const struct place place = {path, real, link};
    return r < 0 ? r : folder_list(source, &place, ret_folder, error);
}

/* "folder/name" in `path`, which has room for PATH_MAX bytes; false if it is too long. */
static bool join(const char *folder, const char *name, char path[static PATH_MAX])
{
    return snprintf(path, PATH_MAX, "%s%s%s", folder, *folder ? "/" : "", name) < PATH_MAX;
}

int source_list_below(struct source *source, const struct source_folder *parent,
                      const struct source_entry *entry, struct source_folder **ret_folder,
                      struct error *error)
{
    char path[PATH_MAX];
    char real[PATH_MAX];

    if (!join(parent->path, entry->name, path) || !join(parent->real, entry->name, real))
        return error_errno(error, -ENAMETOOLONG, "%s/%s", parent->path, entry->name);
    /* What is above a link's target is watched before the target is opened: it may be swapped. */
    int r = entry->real ? ask_above(source, entry->real, NULL, error) : 0;
    if (r < 0)
        return r;
    const struct place place = {path, entry->real ? entry->real : real,
                                entry->real ? real : parent->link};
    return folder_list(source, &place, ret_folder, error);
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
    struct source_folder *folder = NULL;

    if (!parent)
        return error_errno(error, -ENOMEM, "%s", path);
    int r = source_list(source, parent, &folder, error);
    if (r < 0)
        return r;
    struct source_entry *entry = folder_entry(folder, slash ? slash + 1 : path);
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
static int real_path(struct source *source, const char *path, char **ret_real, char **ret_link,
                     struct error *error)
{
    struct source_folder *parent = NULL;
    struct source_entry *entry = NULL;
    cleanup_free char *real = NULL;

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
    real = path_join(parent->real, entry->name);
    if (!real)
        return error_errno(error, -ENOMEM, "%s", path);
    if (entry->real) {
        r = ask_above(source, entry->real, NULL, error);
        if (r < 0)
            return r;
        *ret_link = steal_pointer(&real);
        real = strdup(entry->real);
    } else if (parent->link) {
        *ret_link = strdup(parent->link);
    }
    if (!real || ((entry->real || parent->link) && !*ret_link))
        return error_errno(error, -ENOMEM, "%s", path);
    *ret_real = steal_pointer(&real);
    return 0;
}

int source_times(struct source *source, struct cache *cache, const char *const *paths, size_t count,
                 int64_t *ret_times, struct error *error)
{
    git_oid commit;

    if (git_oid_fromstr(&commit, source->commit) < 0)
        return error_set(error, -EIO, "%s: a worktree has no history", source_path(source));
    return history_times(source->repository->history, cache, &commit, paths, count, ret_times,
                         error);
}

int source_read(struct file *file, struct spool *spool, size_t memory_limit,
                struct content **ret_content, struct error *error)
{
    cleanup_content struct content *content = NULL;
    char start[SOURCE_LFS_POINTER_LIMIT];
    struct source *source = file->source;

    if (file->failure)
        return error_set(error, -EIO, "%s: %s", file->path, file->failure);
    int r = source->backend->read(source, file, spool, memory_limit, &content, error);
    if (r == -ESTALE) {
        /* Its stamp may be the same as ever: the bytes are to be compared. */
        if (file->id_known)
            atomic_store(&file->identity.trusted, false);
        suspect(file);
    }
    if (r < 0)
        return r;
    if (!file->id_known)
        file_note_read(file, &content->id);
    if (content->size < sizeof(start)) {
        ssize_t n = content_read(content, 0, start, sizeof(start));
        if (n > 0 && source_is_lfs_pointer(start, content->size))
            return error_set(error, -EIO, "%s: a Git LFS pointer without its object: git lfs pull",
                             file->path);
    }
    *ret_content = steal_pointer(&content);
    return 0;
}

int source_measure(struct file *file, struct spool *spool, uint64_t *ret_size, struct error *error)
{
    cleanup_content struct content *content = NULL;
    uint64_t size = file->size;

    if (file->failure)
        return error_set(error, -EIO, "%s: %s", file->path, file->failure);
    if (size == UINT64_MAX)
        size = atomic_load(&file->measured);
    if (size == UINT64_MAX) {
        int r = source_read(file, spool, CONTENT_MEMORY_LIMIT, &content, error);
        if (r < 0)
            return r;
        size = content->size;
        atomic_store(&file->measured, size);
    }
    *ret_size = size;
    return 0;
}

uint64_t source_healing(struct source *source)
{
    struct timespec now;

    if (source->revision)
        return objects_healing(source->repository->objects);
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec;
}

bool source_is_lfs_pointer(const void *bytes, uint64_t size)
{
    static const char start[] = "version https://git-lfs.github.com/spec/";

    return size >= sizeof(start) && size < SOURCE_LFS_POINTER_LIMIT &&
           memcmp(bytes, start, sizeof(start) - 1) == 0;
}
