#include "fixture.h"

#include <errno.h>
#include <ftw.h>
#include <git2.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

static const struct {
    const char *path;
    const char *text;
} files[] = {
    {"openpype/version.py", "__version__ = \"3.15.12\"\n"},
    {"openpype/__init__.py", ""},
    {"openpype/lib/tools.py", "def tool():\n    return 1\n"},
    {"openpype/.hidden", "no\n"},
    {"server_addon/server/__init__.py", "class Addon:\n    pass\n"},
    {"server_addon/client/pyproject.toml", "[project]\n"},
};

static void place(const struct fixture *fixture, const char *path, char absolute[PATH_MAX])
{
    int length = snprintf(absolute, PATH_MAX, "%s/%s", fixture->root, path);

    assert_true(length > 0 && length < PATH_MAX);
    for (char *slash = absolute + strlen(fixture->root) + 1; (slash = strchr(slash, '/'));
         slash++) {
        *slash = '\0';
        assert_true(mkdir(absolute, 0755) == 0 || errno == EEXIST);
        *slash = '/';
    }
}

void fixture_write(const struct fixture *fixture, const char *path, const char *text)
{
    char absolute[PATH_MAX];

    place(fixture, path, absolute);
    FILE *file = fopen(absolute, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

void fixture_link(const struct fixture *fixture, const char *path, const char *target)
{
    char absolute[PATH_MAX];

    place(fixture, path, absolute);
    assert_int_equal(symlink(target, absolute), 0);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

int fixture_remove_all(const char *path)
{
    return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void fixture_remove(const struct fixture *fixture, const char *path)
{
    char absolute[PATH_MAX];

    place(fixture, path, absolute);
    assert_int_equal(fixture_remove_all(absolute), 0);
}

void fixture_commit(const struct fixture *fixture, char *ret_commit)
{
    git_repository *repository = NULL;
    git_index *index = NULL;
    git_tree *tree = NULL;
    git_commit *parent = NULL;
    git_signature *author = NULL;
    git_oid id;

    assert_int_equal(git_repository_open(&repository, fixture->root), 0);
    assert_int_equal(git_repository_index(&index, repository), 0);
    assert_int_equal(git_index_add_all(index, NULL, GIT_INDEX_ADD_FORCE, NULL, NULL), 0);
    assert_int_equal(git_index_update_all(index, NULL, NULL, NULL), 0);
    assert_int_equal(git_index_write(index), 0);
    assert_int_equal(git_index_write_tree(&id, index), 0);
    assert_int_equal(git_tree_lookup(&tree, repository, &id), 0);
    assert_int_equal(git_signature_new(&author, "Author", "author@example.com", 1688212800, 0), 0);
    if (git_reference_name_to_id(&id, repository, "HEAD") == 0)
        assert_int_equal(git_commit_lookup(&parent, repository, &id), 0);
    const git_commit *parents[] = {parent};
    assert_int_equal(git_commit_create(&id, repository, "HEAD", author, author, NULL, "change",
                                       tree, parent ? 1 : 0, parents),
                     0);
    if (ret_commit)
        git_oid_tostr(ret_commit, GIT_OID_HEXSZ + 1, &id);
    git_signature_free(author);
    git_commit_free(parent);
    git_tree_free(tree);
    git_index_free(index);
    git_repository_free(repository);
}

static int pack_one(const git_oid *id, void *builder)
{
    return git_packbuilder_insert(builder, id, NULL);
}

void fixture_pack(const struct fixture *fixture)
{
    git_repository *repository = NULL;
    git_packbuilder *builder = NULL;
    git_odb *objects = NULL;

    assert_int_equal(git_repository_open(&repository, fixture->root), 0);
    assert_int_equal(git_repository_odb(&objects, repository), 0);
    assert_int_equal(git_packbuilder_new(&builder, repository), 0);
    git_packbuilder_set_threads(builder, 1);
    assert_int_equal(git_odb_foreach(objects, pack_one, builder), 0);
    assert_int_equal(git_packbuilder_write(builder, NULL, 0, NULL, NULL), 0);
    git_packbuilder_free(builder);
    git_odb_free(objects);
    git_repository_free(repository);
    for (int i = 0; i < 256; i++) {
        char path[32];
        char absolute[PATH_MAX];
        snprintf(path, sizeof(path), ".git/objects/%02x", (unsigned)i);
        snprintf(absolute, sizeof(absolute), "%s/%s", fixture->root, path);
        if (access(absolute, F_OK) == 0)
            fixture_remove(fixture, path);
    }
}

void fixture_object(const struct fixture *fixture, const char *path, char ret_file[static 128])
{
    git_repository *repository = NULL;
    git_object *object = NULL;
    char name[512];
    char id[GIT_OID_HEXSZ + 1];

    snprintf(name, sizeof(name), "HEAD:%s", path);
    assert_int_equal(git_repository_open(&repository, fixture->root), 0);
    assert_int_equal(git_revparse_single(&object, repository, name), 0);
    git_oid_tostr(id, sizeof(id), git_object_id(object));
    snprintf(ret_file, 128, ".git/objects/%.2s/%s", id, id + 2);
    git_object_free(object);
    git_repository_free(repository);
}

/* The limit is one of numbers: below it, all but `left` shall be taken. */
void fixture_take_descriptors(int left)
{
    struct rlimit limit;
    int free_ones[64];
    int count = 0;

    assert_true(left < 64);
    for (; count < left; count++) {
        free_ones[count] = dup(STDERR_FILENO);
        assert_true(free_ones[count] >= 0);
    }
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = left > 0 ? (rlim_t)free_ones[left - 1] + 1 : 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    while (count > 0)
        close(free_ones[--count]);
}

void fixture_give_descriptors(void)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

int fixture_setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    git_repository *repository = NULL;

    assert_non_null(fixture);
    *state = fixture;
    git_libgit2_init();
    /* The configuration of whoever runs the tests is no part of them. */
    for (int level = GIT_CONFIG_LEVEL_PROGRAMDATA; level <= GIT_CONFIG_LEVEL_GLOBAL; level++)
        git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, level, "");
    snprintf(fixture->root, sizeof(fixture->root), "/tmp/addonfs-unit-XXXXXX");
    assert_non_null(mkdtemp(fixture->root));
    assert_int_equal(git_repository_init(&repository, fixture->root, false), 0);
    git_repository_free(repository);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        fixture_write(fixture, files[i].path, files[i].text);
    fixture_commit(fixture, NULL);

    struct source_options options = {.path = fixture->root};
    struct spool *spool = spool_new(NULL);
    fixture->origin = (struct origin){
        .spool = spool,
        .members = members_new(spool, NULL, DEFLATE_LEVEL_DEFAULT),
        .level = DEFLATE_LEVEL_DEFAULT,
    };
    assert_non_null(fixture->origin.members);
    assert_int_equal(source_open(&options, &fixture->origin.source, NULL), 0);
    fixture_refresh(fixture);
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;

    fixture_give_descriptors();
    source_close(fixture->origin.source);
    members_free(fixture->origin.members);
    spool_free(fixture->origin.spool);
    int r = fixture_remove_all(fixture->root);
    free(fixture);
    git_libgit2_shutdown();
    return r;
}

bool fixture_refresh(const struct fixture *fixture)
{
    struct error error = {0};
    bool changed = false;

    if (source_refresh(fixture->origin.source, &changed, &error) < 0)
        fail_msg("%s", error.text);
    return changed;
}

struct file *fixture_file(const struct fixture *fixture, const char *path)
{
    struct source_entry *entry = NULL;
    struct error error = {0};

    if (source_find(fixture->origin.source, path, NULL, &entry, &error) < 0)
        fail_msg("%s", error.text);
    assert_int_equal(entry->kind, SOURCE_FILE);
    return entry->file;
}

struct view *fixture_view(const struct fixture *fixture, const char *revision)
{
    struct view_options options = {.source = {fixture->root, revision}, .no_cache = true};
    struct view *view = NULL;
    struct error error = {0};

    if (view_open(&options, &view, &error) < 0)
        fail_msg("%s", error.text);
    return view;
}

struct entry *fixture_entry(const struct generation *generation, const char *path)
{
    struct entry *entry = NULL;

    if (entry_find(generation->root, path, &entry) < 0)
        fail_msg("%s: is not there", path);
    return entry;
}

void fixture_expect(const struct fixture *fixture, struct file *file, const char *text)
{
    cleanup_content struct content *content = NULL;
    char bytes[1024];
    struct error error = {0};

    if (source_read(file, fixture->origin.spool, CONTENT_MEMORY_LIMIT, &content, &error) < 0)
        fail_msg("%s", error.text);
    assert_int_equal(content->size, strlen(text));
    assert_int_equal(content_read(content, 0, bytes, sizeof(bytes)), content->size);
    assert_memory_equal(bytes, text, strlen(text));
}

struct content *fixture_content(struct spool *spool, const void *bytes, size_t size, size_t limit)
{
    struct content_writer *writer = NULL;
    struct content *content = NULL;

    assert_int_equal(content_begin(spool, size, limit, &writer), 0);
    assert_int_equal(content_append(writer, bytes, size, NULL), 0);
    assert_int_equal(content_finish(&writer, &content, NULL), 0);
    return content;
}
