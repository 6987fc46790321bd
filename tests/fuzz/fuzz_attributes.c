/*
 * fuzz_attributes: any .gitattributes, in a commit, over any content.
 *
 * The input is up to three texts with a NUL between them: the attributes at the root, those of a
 * folder, and the content of a file in it. Reading that file answers bytes, the same ones each
 * time, or says what is wrong; of a file that no attribute speaks of, the bytes are the content.
 *
 * Whenever kept inputs are run, or ADDONFS_FUZZ_GIT is in the environment, the bytes are also those
 * that Git itself has for the file (git-archive(1)): too slow for a fuzzer to ask each time.
 */
#include "fuzz.h"

#include <addonfs/source.h>
#include <addonfs/spool.h>
#include <archive.h>
#include <archive_entry.h>
#include <git2.h>
#include <stdio.h>

enum { INPUTS_A_REPOSITORY = 500, CONTENT_MAX = 1 << 16 };

static char folder[64];
static git_repository *repository;
static int inputs;

static void end(void)
{
    git_repository_free(repository);
    repository = NULL;
    if (*folder)
        fuzz_remove(folder);
}

/* A new one every now and then, for the objects of all inputs stay in it. */
static void begin(void)
{
    if (inputs == 0) {
        git_libgit2_init();
        atexit(end);
    }
    if (inputs++ % INPUTS_A_REPOSITORY > 0)
        return;
    end();
    snprintf(folder, sizeof(folder), "/dev/shm/addonfs-fuzz-XXXXXX");
    CHECK(mkdtemp(folder) && git_repository_init(&repository, folder, true) == 0);
}

static git_oid blob(const uint8_t *bytes, size_t size)
{
    git_oid id;

    CHECK(git_blob_create_from_buffer(&id, repository, bytes, size) == 0);
    return id;
}

struct item {
    const char *name;
    git_filemode_t mode;
    git_oid id;
};

static git_oid tree(const struct item *items, size_t count)
{
    git_treebuilder *builder = NULL;
    git_oid id;

    CHECK(git_treebuilder_new(&builder, repository, NULL) == 0);
    for (size_t i = 0; i < count; i++)
        CHECK(git_treebuilder_insert(NULL, builder, items[i].name, &items[i].id, items[i].mode) ==
              0);
    CHECK(git_treebuilder_write(&id, builder) == 0);
    git_treebuilder_free(builder);
    return id;
}

static void commit(const git_oid *root, char ret_commit[static GIT_OID_HEXSZ + 1])
{
    git_signature *who = NULL;
    git_tree *top = NULL;
    git_oid id;

    CHECK(git_signature_new(&who, "name", "mail", 1, 0) == 0);
    CHECK(git_tree_lookup(&top, repository, root) == 0);
    CHECK(git_commit_create(&id, repository, NULL, who, who, NULL, "message", top, 0, NULL) == 0);
    git_oid_tostr(ret_commit, GIT_OID_HEXSZ + 1, &id);
    git_tree_free(top);
    git_signature_free(who);
}

/* The bytes of the file at `path`, or NULL if it cannot be read. */
static struct content *read_file(const char *revision, const char *path, bool pointers,
                                 struct spool *spool)
{
    const struct source_options options = {
        .path = folder,
        .revision = revision,
        .lfs_pointers = pointers,
    };
    cleanup_source struct source *source = NULL;
    struct source_entry *entry = NULL;
    struct content *content = NULL;
    struct error error = {.text = ""};
    bool changed;

    CHECK(source_open(&options, &source, &error) == 0);
    CHECK(source_refresh(source, &changed, &error) == 0);
    int r = source_find(source, path, NULL, &entry, &error);
    if (r == 0)
        r = source_read(entry->file, spool, CONTENT_MAX, &content, &error);
    CHECK(r == 0 || *error.text);
    return content;
}

static bool is_same(const struct content *content, const uint8_t *bytes, size_t size)
{
    return content->size == size && content->bytes && memcmp(content->bytes, bytes, size) == 0;
}

/* What Git writes of the file, of `capacity` bytes at most; how many, or -1: nothing. */
static ssize_t read_with_git(const char *revision, const char *path, void *bytes, size_t capacity)
{
    char command[512];
    struct archive_entry *entry;
    ssize_t n = -1;

    snprintf(command, sizeof(command),
             "GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_ATTR_NOSYSTEM=1 "
             "XDG_CONFIG_HOME=/nonexistent git --git-dir=%s archive %s^{tree} %s 2>/dev/null",
             folder, revision, path);
    FILE *stream = popen(command, "re");
    struct archive *a = archive_read_new();
    CHECK(stream && a && archive_read_support_format_tar(a) == ARCHIVE_OK);
    CHECK(archive_read_open_FILE(a, stream) == ARCHIVE_OK);
    while (archive_read_next_header(a, &entry) == ARCHIVE_OK) {
        if (strcmp(archive_entry_pathname(entry), path) == 0)
            n = archive_read_data(a, bytes, capacity);
    }
    archive_read_free(a);
    pclose(stream);
    return n;
}

static bool contains(const uint8_t *input, size_t size, const char *word)
{
    return memmem(input, size, word, strlen(word)) != NULL;
}

/* Attributes for archives alone mean nothing to a checkout, and of the two ways in which Git
 * expands $Id$ (source_conversion.h) an archive knows one. */
static bool means_another_thing(const uint8_t *input, size_t size, size_t attributes)
{
    return contains(input, attributes, "export-") || contains(input, size, "$Id");
}

static bool asks_git(void)
{
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* libFuzzer, see the Makefile */
    return getenv("ADDONFS_FUZZ_GIT") != NULL;
#else
    return true;
#endif
}

static void compare_with_git(const char *revision, const struct content *content,
                             const uint8_t *input, size_t size, size_t attributes)
{
    cleanup_free uint8_t *bytes = malloc(8 * CONTENT_MAX);

    CHECK(bytes);
    if (!content || means_another_thing(input, size, attributes))
        return;
    ssize_t n = read_with_git(revision, "folder/file.txt", bytes, 8 * CONTENT_MAX);
    CHECK(n >= 0 && is_same(content, bytes, (size_t)n));
}

static size_t text_end(const uint8_t *input, size_t size)
{
    const uint8_t *nul = memchr(input, '\0', size);

    return nul ? (size_t)(nul - input) : size;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    char revision[GIT_OID_HEXSZ + 1];

    if (size > CONTENT_MAX / 4)
        return 0;
    begin();
    size_t first = text_end(input, size);
    size_t second = first < size ? first + 1 + text_end(input + first + 1, size - first - 1) : size;
    const uint8_t *bytes = second < size ? input + second + 1 : input + size;
    size_t left = (size_t)(input + size - bytes);

    const struct item files[] = {
        {".gitattributes", GIT_FILEMODE_BLOB,
         blob(input + (first < size ? first + 1 : size),
              second - (first < size ? first + 1 : size))},
        {"file.txt", GIT_FILEMODE_BLOB, blob(bytes, left)},
    };
    const struct item folders[] = {
        {".gitattributes", GIT_FILEMODE_BLOB, blob(input, first)},
        {"folder", GIT_FILEMODE_TREE, tree(files, 2)},
    };
    const struct item plain[] = {{"file.txt", GIT_FILEMODE_BLOB, files[1].id}};
    git_oid root = tree(folders, 2);
    commit(&root, revision);

    cleanup_spool struct spool *spool = spool_new("/dev/shm");
    CHECK(spool);
    cleanup_content struct content *one = read_file(revision, "folder/file.txt", false, spool);
    cleanup_content struct content *other = read_file(revision, "folder/file.txt", false, spool);
    CHECK(!one == !other);
    CHECK(!one || is_same(other, one->bytes, (size_t)one->size));
    if (asks_git())
        compare_with_git(revision, one, input, size, second);

    root = tree(plain, 1);
    commit(&root, revision);
    cleanup_content struct content *same = read_file(revision, "file.txt", true, spool);
    CHECK(same && is_same(same, bytes, left));
    return 0;
}
