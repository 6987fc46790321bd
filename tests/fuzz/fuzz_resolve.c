/*
 * fuzz_resolve: where paths and links of any tree lead, in a worktree and in its commit.
 *
 * The input is a list of records with a NUL after each. The first byte of one says what it is, the
 * rest is a path from the root:
 *
 *     d folder   f file   x executable file   p FIFO
 *     l link: the next record is its target
 *     e folder: the next record is a name that no file can have, in the folder's tree of the commit
 *     ? a path to look at, beside those of everything that there is
 *
 * The tree is made in a worktree, in a commit of it, and once more as a plain folder in which
 * nothing is named `.git` (in any case). The oracle is the kernel in the plain folder: openat2(2)
 * with RESOLVE_BENEATH, for one component after the other. Worktree and commit must answer what it
 * does: the same file or folder at the same path without links, or nothing. What leads through
 * Git's own names leads to nothing because they are not there; a FIFO is nothing, and in no commit.
 *
 * The kernel allows 40 links for a whole path, we allow 40 for each component of it: hence one
 * after the other.
 */
#include "fuzz.h"

#include <addonfs/path.h>
#include <addonfs/source.h>
#include <addonfs/spool.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <git2.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    ITEMS_MAX = 48,
    QUERIES_MAX = 16,
    PATH_SIZE = 1024, /* of what is made: with another name it is shorter than PATH_MAX */
    INPUT_MAX = 1 << 16,
    INPUTS_A_REPOSITORY = 2000,
    ROOT = -1,
};

struct item {
    char kind;
    const char *path;
    const char *name;
    const char *target; /* of a link */
    int parent;         /* its number, or ROOT */
    bool hidden;        /* it has one of Git's names, or lies in what has */
};

static char folder[64]; /* in it: worktree/, plain/, and what must not be reached, outside */
static char worktree[80];
static char plain[80];
static int worktree_fd = -1;
static int plain_fd = -1;
static git_repository *repository;
static git_odb *objects;
static struct spool *spool;
static int inputs;

static struct item items[ITEMS_MAX];
static int item_count;
static const char *queries[QUERIES_MAX];
static int query_count;
static bool has_fifo;

/* --- The folder that all inputs share -----------------------------------------------------------
 */

static void end(void)
{
    git_odb_free(objects);
    git_repository_free(repository);
    objects = NULL;
    repository = NULL;
    if (worktree_fd >= 0) {
        close(worktree_fd);
        close(plain_fd);
        fuzz_remove(folder);
    }
}

static void end_all(void)
{
    end();
    spool_free(spool);
}

static int open_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    CHECK(fd >= 0);
    return fd;
}

static void write_at(int directory, const char *path, mode_t mode, const char *text)
{
    cleanup_fd int fd = openat(directory, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

/* A new one every now and then, for the objects of all inputs stay in it. */
static void begin(void)
{
    if (inputs == 0) {
        git_libgit2_init();
        spool = spool_new("/dev/shm");
        CHECK(spool);
        atexit(end_all);
    }
    if (inputs++ % INPUTS_A_REPOSITORY > 0)
        return;
    end();
    snprintf(folder, sizeof(folder), "/dev/shm/addonfs-fuzz-XXXXXX");
    CHECK(mkdtemp(folder));
    snprintf(worktree, sizeof(worktree), "%s/worktree", folder);
    snprintf(plain, sizeof(plain), "%s/plain", folder);
    CHECK(mkdir(worktree, 0755) == 0 && mkdir(plain, 0755) == 0);
    worktree_fd = open_folder(worktree);
    plain_fd = open_folder(plain);
    write_at(worktree_fd, "../outside", 0644, "outside\n");
    CHECK(git_repository_init(&repository, worktree, false) == 0);
    CHECK(git_repository_odb(&objects, repository) == 0);
}

/* --- The tree, from the input -------------------------------------------------------------------
 */

static bool is_name(const char *name)
{
    return *name && strlen(name) <= NAME_MAX && !strchr(name, '/') && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

static int find_item(int parent, const char *name)
{
    for (int i = 0; i < item_count; i++) {
        if (items[i].parent == parent && strcmp(items[i].name, name) == 0)
            return i;
    }
    return -1;
}

/* The folder whose path are the first `length` bytes of `path`. */
static bool find_folder(const char *path, size_t length, int *ret_number)
{
    *ret_number = ROOT;
    if (length == 0)
        return true;
    for (int i = 0; i < item_count; i++) {
        if (items[i].kind == 'd' && strlen(items[i].path) == length &&
            strncmp(items[i].path, path, length) == 0) {
            *ret_number = i;
            return true;
        }
    }
    return false;
}

static void add(const struct item *item)
{
    bool fits = item->kind == 'e'
                    ? !is_name(item->name) && *item->name && strlen(item->name) <= PATH_SIZE
                    : is_name(item->name) && strlen(item->path) < PATH_SIZE;

    if (item->kind == 'l')
        fits = fits && *item->target && strlen(item->target) < PATH_MAX;
    /* The worktree's own. */
    if (item->parent == ROOT && strcmp(item->name, ".git") == 0)
        fits = false;
    if (!fits || item_count == ITEMS_MAX || find_item(item->parent, item->name) >= 0)
        return;
    items[item_count] = *item;
    items[item_count].hidden =
        strcasecmp(item->name, ".git") == 0 || (item->parent != ROOT && items[item->parent].hidden);
    item_count++;
    has_fifo = has_fifo || item->kind == 'p';
}

static void read_records(const char *text, size_t size)
{
    const char *after = text + size;

    item_count = query_count = 0;
    has_fifo = false;
    for (const char *at = text; at < after; at += strlen(at) + 1) {
        struct item item = {.kind = *at, .path = at + 1};
        if (*at == '\0')
            continue;
        if (*at == '?') {
            if (query_count < QUERIES_MAX)
                queries[query_count++] = at + 1;
            continue;
        }
        if (*at == 'l' || *at == 'e') {
            at += strlen(at) + 1;
            if (at >= after)
                break;
            item.target = at;
        }
        const char *slash = strrchr(item.path, '/');
        size_t length = slash ? (size_t)(slash - item.path) : 0;
        item.name = slash ? slash + 1 : item.path;
        if (item.kind == 'e') {
            item.name = item.target;
            length = strlen(item.path);
        }
        if (slash == item.path)
            continue;
        if (strchr("dfxple", item.kind) && find_folder(item.path, length, &item.parent))
            add(&item);
    }
}

static void text_of(int number, char text[static 32])
{
    snprintf(text, 32, "item %d\n", number);
}

static void make_item(int directory, int number)
{
    const struct item *item = &items[number];
    char text[32];

    text_of(number, text);
    switch (item->kind) {
    case 'd':
        CHECK(mkdirat(directory, item->path, 0755) == 0);
        break;
    case 'l':
        CHECK(symlinkat(item->target, directory, item->path) == 0);
        break;
    case 'p':
        CHECK(mkfifoat(directory, item->path, 0644) == 0);
        break;
    case 'f':
    case 'x':
        write_at(directory, item->path, item->kind == 'x' ? 0755 : 0644, text);
        break;
    default:
        break;
    }
}

static void make_tree(void)
{
    for (int i = 0; i < item_count; i++) {
        make_item(worktree_fd, i);
        if (!items[i].hidden)
            make_item(plain_fd, i);
    }
}

static void remove_tree(void)
{
    for (int i = item_count; i-- > 0;) {
        int flags = items[i].kind == 'd' ? AT_REMOVEDIR : 0;
        if (items[i].kind == 'e')
            continue;
        CHECK(unlinkat(worktree_fd, items[i].path, flags) == 0);
        if (!items[i].hidden)
            CHECK(unlinkat(plain_fd, items[i].path, flags) == 0);
    }
}

/* --- The same as a commit, with names that libgit2 would not put into one -----------------------
 */

static git_oid put_object(const void *bytes, size_t size, git_object_t type)
{
    git_oid id;

    CHECK(git_odb_write(&id, objects, bytes, size, type) == 0);
    return id;
}

/* Git's order: a folder's name has a slash at its end. */
static int compare_items(const void *a, const void *b)
{
    const struct item *left = &items[*(const int *)a];
    const struct item *right = &items[*(const int *)b];
    char one[PATH_SIZE + 2];
    char other[PATH_SIZE + 2];

    snprintf(one, sizeof(one), "%s%s", left->name, left->kind == 'd' ? "/" : "");
    snprintf(other, sizeof(other), "%s%s", right->name, right->kind == 'd' ? "/" : "");
    return strcmp(one, other);
}

static git_oid put_tree(int parent);

static git_oid put_item(int number)
{
    char text[32];

    if (items[number].kind == 'd')
        return put_tree(number);
    if (items[number].kind == 'l')
        return put_object(items[number].target, strlen(items[number].target), GIT_OBJECT_BLOB);
    text_of(number, text);
    return put_object(text, strlen(text), GIT_OBJECT_BLOB);
}

static const char *mode_of(char kind)
{
    switch (kind) {
    case 'd':
        return "40000";
    case 'l':
        return "120000";
    case 'x':
        return "100755";
    default:
        return "100644";
    }
}

static git_oid put_tree(int parent)
{
    int children[ITEMS_MAX];
    size_t count = 0;
    cleanup_free char *bytes = NULL;
    size_t size = 0;

    for (int i = 0; i < item_count; i++) {
        if (items[i].parent == parent && items[i].kind != 'p')
            children[count++] = i;
    }
    qsort(children, count, sizeof(*children), compare_items);
    FILE *stream = open_memstream(&bytes, &size);
    CHECK(stream);
    for (size_t i = 0; i < count; i++) {
        git_oid id = put_item(children[i]);
        fprintf(stream, "%s %s%c", mode_of(items[children[i]].kind), items[children[i]].name, '\0');
        fwrite(id.id, 1, GIT_OID_RAWSZ, stream);
    }
    CHECK(fclose(stream) == 0);
    return put_object(bytes, size, GIT_OBJECT_TREE);
}

static void put_commit(char ret_commit[static GIT_OID_HEXSZ + 1])
{
    char text[256];
    git_oid id = put_tree(ROOT);

    snprintf(text, sizeof(text), "tree %s\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\na\n",
             git_oid_tostr_s(&id));
    id = put_object(text, strlen(text), GIT_OBJECT_COMMIT);
    git_oid_tostr(ret_commit, GIT_OID_HEXSZ + 1, &id);
}

/* --- What is at a path --------------------------------------------------------------------------
 */

struct answer {
    enum { NOTHING, A_FOLDER, A_FILE } kind;
    int code; /* NOTHING: negative errno, or 0 if `reason` says why */
    char reason[128];
    char real[PATH_MAX];
    bool executable;
    size_t size;
    char bytes[16];
};

static int open_plain(const char *path, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    long fd;

    do
        fd = syscall(SYS_openat2, plain_fd, *path ? path : ".", &how, sizeof(how));
    while (fd < 0 && errno == EAGAIN);
    return fd < 0 ? -errno : (int)fd;
}

/* Where an open file lies, as the kernel names it. */
static void real_of(int fd, char real[static PATH_MAX])
{
    char link[32];
    char path[PATH_MAX];

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof(path) - 1);
    CHECK(length > 0);
    path[length] = '\0';
    CHECK(path_is_within(path, plain));
    const char *below = path + strlen(plain);
    snprintf(real, PATH_MAX, "%s", below + (*below == '/'));
}

static void ask_kernel(const char *path, struct answer *answer)
{
    struct stat status = {.st_mode = S_IFDIR};
    char real[PATH_MAX] = "";
    char next[PATH_MAX];

    *answer = (struct answer){.kind = NOTHING};
    for (const char *at = path; *at; at += strspn(at, "/")) {
        size_t length = strcspn(at, "/");
        CHECK(snprintf(next, sizeof(next), "%s%s%.*s", real, *real ? "/" : "", (int)length, at) <
              PATH_MAX);
        cleanup_fd int fd = open_plain(next, O_PATH);
        answer->code = fd < 0 ? fd : 0;
        if (fd < 0)
            return;
        CHECK(fstat(fd, &status) == 0);
        real_of(fd, real);
        at += length;
    }
    memcpy(answer->real, real, sizeof(real));
    if (S_ISDIR(status.st_mode)) {
        answer->kind = A_FOLDER;
    } else if (S_ISREG(status.st_mode)) {
        answer->kind = A_FILE;
        answer->executable = status.st_mode & 0100;
        cleanup_fd int fd = open_plain(real, O_RDONLY);
        ssize_t n = read(fd, answer->bytes, sizeof(answer->bytes));
        CHECK(n > 0);
        answer->size = (size_t)n;
    }
}

static void ask_file(struct file *file, struct answer *answer)
{
    cleanup_content struct content *content = NULL;
    struct error error;

    answer->kind = A_FILE;
    answer->executable = file->owner.mode & 0100;
    snprintf(answer->real, sizeof(answer->real), "%s", file->real);
    CHECK(source_read(file, spool, CONTENT_MEMORY_LIMIT, &content, &error) == 0);
    CHECK(content->size <= sizeof(answer->bytes));
    answer->size = (size_t)content->size;
    CHECK(content_read(content, 0, answer->bytes, answer->size) == (ssize_t)answer->size);
}

static void ask(struct source *source, const char *path, struct answer *answer)
{
    struct source_folder *parent = NULL;
    struct source_folder *found = NULL;
    struct source_entry *entry = NULL;
    struct error error = {.text = ""};

    *answer = (struct answer){.kind = NOTHING};
    int r = *path ? source_find(source, path, &parent, &entry, &error) : 0;
    CHECK(r == 0 || (*error.text && !error_is_transient(r)));
    answer->code = r;
    if (r < 0)
        return;
    if (!entry || entry->kind == SOURCE_FOLDER) {
        CHECK(source_list(source, path, &found, &error) == 0);
        answer->kind = A_FOLDER;
        snprintf(answer->real, sizeof(answer->real), "%s", found->real);
    } else if (entry->kind == SOURCE_FILE) {
        CHECK(!entry->file->failure);
        ask_file(entry->file, answer);
    } else {
        CHECK(entry->kind == SOURCE_OTHER && entry->reason && *entry->reason);
        snprintf(answer->reason, sizeof(answer->reason), "%s", entry->reason);
    }
}

static void check_same(const struct answer *ours, const struct answer *kernel)
{
    CHECK(ours->kind == kernel->kind);
    if (ours->kind == NOTHING)
        return;
    CHECK(strcmp(ours->real, kernel->real) == 0);
    CHECK(ours->executable == kernel->executable && ours->size == kernel->size);
    CHECK(memcmp(ours->bytes, kernel->bytes, ours->size) == 0);
}

struct sources {
    struct source *worktree;
    struct source *revision;
};

/* Compare what is at `path`; is it a folder? */
static bool check_path(const struct sources *sources, const char *path)
{
    struct answer kernel;
    struct answer ours;
    struct answer committed;

    ask_kernel(path, &kernel);
    ask(sources->worktree, path, &ours);
    check_same(&ours, &kernel);
    ask(sources->revision, path, &committed);
    check_same(&committed, &kernel);
    /* The reason as well, which people read. */
    if (!has_fifo)
        CHECK(ours.code == committed.code && strcmp(ours.reason, committed.reason) == 0);
    /* At once, which may take more links than the kernel allows. */
    cleanup_fd int fd = open_plain(path, O_PATH);
    CHECK(fd < 0 || strcmp(kernel.real, (real_of(fd, ours.real), ours.real)) == 0);
    CHECK((fd >= 0) == (kernel.code == 0) || fd == -ELOOP || fd == -ENAMETOOLONG);
    return kernel.kind == A_FOLDER;
}

static void check_child(const struct sources *sources, const char *path, const char *name)
{
    cleanup_free char *child = path_join(path, name);

    CHECK(child);
    if (strlen(child) < PATH_MAX)
        (void)check_path(sources, child);
}

/* What a source lists beyond what there is must lead to nothing. */
static void check_listing(const struct sources *sources, struct source *source, const char *path,
                          int fd)
{
    struct source_folder *found = NULL;
    struct stat status;
    struct error error;

    CHECK(source_list(source, path, &found, &error) == 0);
    for (size_t i = 0; i < found->count; i++) {
        struct source_entry *entry = &found->entries[i];
        if (!is_name(entry->name)) {
            CHECK(source == sources->revision);
            CHECK(source_look(source, found, entry, &error) == 0 && entry->kind == SOURCE_OTHER);
        } else if (fstatat(fd, entry->name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
            check_child(sources, path, entry->name);
        }
    }
}

/* What is at `path`, and if it is a folder, everything that any of the three has in it. */
static void check_all(const struct sources *sources, const char *path)
{
    const struct dirent *entry;

    if (strlen(path) >= PATH_MAX || !check_path(sources, path))
        return;
    int fd = open_plain(path, O_RDONLY | O_DIRECTORY);
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    if (!entries) /* a path with more links than the kernel allows, or too long for it */
        return;
    check_listing(sources, sources->worktree, path, fd);
    check_listing(sources, sources->revision, path, fd);
    while ((entry = readdir(entries))) {
        if (is_name(entry->d_name))
            check_child(sources, path, entry->d_name);
    }
    closedir(entries);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    char commit[GIT_OID_HEXSZ + 1];
    struct error error = {.text = ""};
    bool changed;

    if (size > INPUT_MAX)
        return 0;
    cleanup_free char *text = malloc(size + 1);
    CHECK(text);
    memcpy(text, input, size);
    text[size] = '\0';
    begin();
    read_records(text, size);
    make_tree();
    put_commit(commit);
    {
        const struct source_options options = {.path = worktree, .poll = true};
        cleanup_source struct source *live = NULL;
        cleanup_source struct source *frozen = NULL;
        CHECK(source_open(&options, &live, &error) == 0);
        CHECK(source_open_revision(live, commit, &frozen, &error) == 0);
        CHECK(source_refresh(live, &changed, &error) == 0);
        CHECK(source_refresh(frozen, &changed, &error) == 0);
        const struct sources sources = {live, frozen};
        check_all(&sources, "");
        for (int i = 0; i < item_count; i++) {
            if (items[i].kind == 'd' || items[i].kind == 'l')
                check_all(&sources, items[i].path);
        }
        for (int i = 0; i < query_count; i++) {
            if (path_recipe_ok(queries[i]))
                check_all(&sources, queries[i]);
        }
    }
    remove_tree();
    return 0;
}
