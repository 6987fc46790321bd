#include "fixture.h"

#include <addonfs/refs.h>
#include <errno.h>
#include <git2.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct test {
    struct fixture *fixture;
    struct source *source;
    git_repository *repository;
    char first[COMMIT_ID_SIZE]; /* HEAD~ */
    char head[COMMIT_ID_SIZE];
};

static int setup(void **state)
{
    struct test *test = calloc(1, sizeof(*test));
    int r = fixture_setup(state);
    git_oid id;

    test->fixture = *state;
    test->source = test->fixture->origin.source;
    assert_int_equal(git_repository_open(&test->repository, test->fixture->root), 0);
    assert_int_equal(git_reference_name_to_id(&id, test->repository, "HEAD"), 0);
    git_oid_tostr(test->first, sizeof(test->first), &id);
    fixture_write(test->fixture, "openpype/more.py", "");
    fixture_commit(test->fixture, test->head);
    *state = test;
    return r;
}

static int teardown(void **state)
{
    struct test *test = *state;
    void *fixture = test->fixture;

    git_repository_free(test->repository);
    free(test);
    return fixture_teardown(&fixture);
}

static void make_ref(const struct test *test, const char *name, const char *id)
{
    git_reference *reference = NULL;
    git_oid oid;

    assert_int_equal(git_oid_fromstr(&oid, id), 0);
    if (git_reference_create(&reference, test->repository, name, &oid, true, NULL) < 0)
        fail_msg("%s: %s", name, git_error_last()->message);
    git_reference_free(reference);
}

/* A file of Git's, as nothing but an accident would leave it. */
static void write_git(const struct test *test, const char *name, const char *text)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), ".git/%s", name);
    fixture_write(test->fixture, path, text);
}

static void tag(const struct test *test, const char *name, const char *target, git_oid *ret_id)
{
    git_object *object = NULL;
    git_signature *tagger = NULL;

    assert_int_equal(git_revparse_single(&object, test->repository, target), 0);
    assert_int_equal(git_signature_new(&tagger, "Tagger", "tagger@example.com", 1, 0), 0);
    assert_int_equal(git_tag_create(ret_id, test->repository, name, object, tagger, "text", true),
                     0);
    git_signature_free(tagger);
    git_object_free(object);
}

/* What `git pack-refs --all --prune` leaves. */
static void pack_refs(const struct test *test)
{
    git_refdb *database = NULL;

    assert_int_equal(git_repository_refdb(&database, test->repository), 0);
    assert_int_equal(git_refdb_compress(database), 0);
    git_refdb_free(database);
}

static void expect(const struct test *test, enum refs_kind kind, const char *path,
                   const char *commit)
{
    struct ref ref = {0};
    struct error error = {0};

    if (refs_find(test->source, kind, path, &ref, &error) < 0)
        fail_msg("%s", error.text);
    assert_int_equal(ref.is_folder, commit == NULL);
    if (commit) {
        assert_string_equal(ref.commit, commit);
        assert_int_equal(ref.time, 1688212800);
    }
}

static void expect_failure(const struct test *test, enum refs_kind kind, const char *path, int code)
{
    struct ref ref = {.time = 5};
    struct error error = {0};

    assert_int_equal(refs_find(test->source, kind, path, &ref, &error), code);
    assert_int_equal(ref.time, 5);
    if (!strstr(error.text, path))
        fail_msg("%s", error.text);
}

/* `expected`: "name folder/ …" */
static void expect_names(const struct test *test, enum refs_kind kind, const char *folder,
                         const char *expected)
{
    cleanup_ref_names struct ref_names names = {0};
    struct error error = {0};
    char text[512] = "";

    if (refs_list(test->source, kind, folder, &names, &error) < 0)
        fail_msg("%s", error.text);
    for (size_t i = 0; i < names.count; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof(text) - used, "%s%s%s", i > 0 ? " " : "", names.items[i].name,
                 names.items[i].is_folder ? "/" : "");
    }
    assert_string_equal(text, expected);
}

static void branches_with_slashes_are_in_folders(void **state)
{
    const struct test *test = *state;

    make_ref(test, "refs/heads/feature/x/deep", test->first);
    make_ref(test, "refs/heads/feature/y", test->head);
    make_ref(test, "refs/heads/feature-z", test->head);
    for (int packed = 0; packed < 2; packed++) {
        expect(test, REFS_BRANCHES, "master", test->head);
        expect(test, REFS_BRANCHES, "feature", NULL);
        expect(test, REFS_BRANCHES, "feature/x", NULL);
        expect(test, REFS_BRANCHES, "feature/x/deep", test->first);
        expect(test, REFS_BRANCHES, "feature/y", test->head);
        expect_failure(test, REFS_BRANCHES, "feature/z", -ENOENT);
        expect_failure(test, REFS_BRANCHES, "feature/y/z", -ENOENT);
        expect_failure(test, REFS_BRANCHES, "feat", -ENOENT);
        expect_failure(test, REFS_TAGS, "master", -ENOENT);
        expect_names(test, REFS_BRANCHES, "", "feature/ feature-z master");
        expect_names(test, REFS_BRANCHES, "feature", "x/ y");
        expect_names(test, REFS_BRANCHES, "feature/x", "deep");
        expect_names(test, REFS_BRANCHES, "feature/y", "");
        expect_names(test, REFS_BRANCHES, "feat", "");
        expect_names(test, REFS_TAGS, "", "");
        pack_refs(test);
    }
}

static void names_packed_and_loose_are_one_list(void **state)
{
    const struct test *test = *state;

    make_ref(test, "refs/heads/a/one", test->first);
    make_ref(test, "refs/heads/moved", test->first);
    pack_refs(test);
    make_ref(test, "refs/heads/a/two", test->head);
    make_ref(test, "refs/heads/moved", test->head);
    expect_names(test, REFS_BRANCHES, "", "a/ master moved");
    expect_names(test, REFS_BRANCHES, "a", "one two");
    expect(test, REFS_BRANCHES, "moved", test->head);
    expect(test, REFS_BRANCHES, "a/one", test->first);
}

static void what_git_leaves_behind_is_no_branch(void **state)
{
    const struct test *test = *state;

    /* A folder whose last branch has been deleted, and what a lock leaves. */
    write_git(test, "refs/heads/empty/deep/x.lock", "");
    write_git(test, "refs/heads/master.lock", "");
    write_git(test, "refs/heads/.hidden", "");
    expect_names(test, REFS_BRANCHES, "", "master");
    expect_failure(test, REFS_BRANCHES, "empty", -ENOENT);
    expect_failure(test, REFS_BRANCHES, "empty/deep", -ENOENT);
}

static void tags_lead_to_commits(void **state)
{
    const struct test *test = *state;
    git_oid id;
    char text[COMMIT_ID_SIZE];

    make_ref(test, "refs/tags/light", test->first);
    tag(test, "annotated", "HEAD", &id);
    git_oid_tostr(text, sizeof(text), &id);
    tag(test, "v1/of-a-tag", text, &id);
    tag(test, "blob", "HEAD:openpype/version.py", &id);
    tag(test, "tree", "HEAD:openpype", &id);
    git_object *object = NULL;
    assert_int_equal(git_object_lookup(&object, test->repository, &id, GIT_OBJECT_ANY), 0);
    git_object_free(object);
    for (int packed = 0; packed < 2; packed++) {
        expect(test, REFS_TAGS, "light", test->first);
        expect(test, REFS_TAGS, "annotated", test->head);
        expect(test, REFS_TAGS, "v1/of-a-tag", test->head);
        expect_failure(test, REFS_TAGS, "blob", -ENOENT);
        expect_failure(test, REFS_TAGS, "tree", -ENOENT);
        expect_names(test, REFS_TAGS, "", "annotated light v1/");
        expect_names(test, REFS_TAGS, "v1", "of-a-tag");
        pack_refs(test);
    }
}

static void head_is_its_branch_or_a_commit(void **state)
{
    const struct test *test = *state;
    struct ref ref;
    git_oid id;

    assert_int_equal(refs_head(test->source, &ref, NULL), 0);
    assert_string_equal(ref.commit, test->head);
    assert_int_equal(git_oid_fromstr(&id, test->first), 0);
    assert_int_equal(git_repository_set_head_detached(test->repository, &id), 0);
    assert_int_equal(refs_head(test->source, &ref, NULL), 0);
    assert_string_equal(ref.commit, test->first);
    /* A branch without a commit. */
    assert_int_equal(git_repository_set_head(test->repository, "refs/heads/unborn"), 0);
    assert_int_equal(refs_head(test->source, &ref, NULL), -ENOENT);
    write_git(test, "HEAD", "nonsense\n");
    assert_int_equal(refs_head(test->source, &ref, NULL), -EIO);
}

static void what_is_missing_or_damaged_is_an_error_and_is_listed(void **state)
{
    const struct test *test = *state;
    char nowhere[] = "0123456789012345678901234567890123456789\n";
    struct error error = {0};
    struct ref ref;

    write_git(test, "refs/heads/gone", nowhere);
    write_git(test, "refs/tags/gone", nowhere);
    write_git(test, "refs/heads/broken", "");
    write_git(test, "refs/tags/broken", "nonsense");
    expect_failure(test, REFS_BRANCHES, "gone", -EIO);
    expect_failure(test, REFS_TAGS, "gone", -EIO);
    expect_failure(test, REFS_BRANCHES, "broken", -EIO);
    expect_failure(test, REFS_TAGS, "broken", -EIO);
    expect_names(test, REFS_BRANCHES, "", "broken gone master");
    expect_names(test, REFS_TAGS, "", "broken gone");
    write_git(test, "HEAD", nowhere);
    assert_int_equal(refs_head(test->source, &ref, &error), -EIO);
    assert_non_null(strstr(error.text, "is missing from the repository"));
    write_git(test, "packed-refs", "nonsense\n");
    cleanup_ref_names struct ref_names names = {0};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(refs_list(test->source, REFS_BRANCHES, "", &names, NULL), -EIO);
        expect_failure(test, REFS_BRANCHES, "none", -EIO);
    }
}

static void a_commit_is_found_by_its_id_and_by_how_that_begins(void **state)
{
    const struct test *test = *state;
    struct ref ref;
    char text[COMMIT_ID_SIZE + 1];
    git_oid id;

    for (int packed = 0; packed < 2; packed++) {
        for (size_t length = 4; length <= 40; length += 6) {
            snprintf(text, length + 1, "%s", test->first);
            assert_int_equal(refs_commit(test->source, text, &ref, NULL), 0);
            assert_string_equal(ref.commit, test->first);
            for (char *at = text; *at; at++)
                *at = (char)(*at >= 'a' ? *at - 'a' + 'A' : *at);
            assert_int_equal(refs_commit(test->source, text, &ref, NULL), 0);
            assert_string_equal(ref.commit, test->first);
        }
        fixture_pack(test->fixture);
    }
    static const char *const none[] = {
        "",
        "0",
        "012",
        "0123",
        "master",
        "HEAD",
        "zzzz",
        "0123456789012345678901234567890123456789",
        "0000000000000000000000000000000000000000",
        "01234567890123456789012345678901234567890",
        "ab cd",
        "abcd\n",
    };
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        assert_int_equal(refs_commit(test->source, none[i], &ref, NULL), -ENOENT);
    snprintf(text, sizeof(text), "%.3s", test->head);
    assert_int_equal(refs_commit(test->source, text, &ref, NULL), -ENOENT); /* three digits */
    snprintf(text, sizeof(text), "%s0", test->head);
    assert_int_equal(refs_commit(test->source, text, &ref, NULL), -ENOENT);
    /* A tag leads to its commit, a blob to none. */
    tag(test, "annotated", "HEAD", &id);
    git_oid_tostr(text, COMMIT_ID_SIZE, &id);
    assert_int_equal(refs_commit(test->source, text, &ref, NULL), 0);
    assert_string_equal(ref.commit, test->head);
    tag(test, "blob", "HEAD:openpype/version.py", &id);
    git_oid_tostr(text, COMMIT_ID_SIZE, &id);
    assert_int_equal(refs_commit(test->source, text, &ref, NULL), -ENOENT);
}

/* libgit2 notes the file's stamp before it reads it. */
static void packed_refs_are_not_forgotten_when_reading_them_has_failed(void **state)
{
    const struct test *test = *state;

    make_ref(test, "refs/heads/feature/x", test->first);
    for (size_t left = 0; left < 6; left++) {
        char line[COMMIT_ID_SIZE + 32];
        struct ref_names names = {0};
        snprintf(line, sizeof(line), "refs/heads/packed-%zu", left);
        make_ref(test, line, test->head);
        pack_refs(test);
        fixture_take_descriptors((int)left);
        int r = refs_list(test->source, REFS_BRANCHES, "", &names, NULL);
        fixture_give_descriptors();
        size_t listed = names.count;
        ref_names_clear(&names);
        if (r == 0)
            assert_int_equal(listed, left + 3);
        else
            assert_int_equal(r, -EMFILE);
        expect(test, REFS_BRANCHES, line + strlen("refs/heads/"), test->head);
        expect_names(test, REFS_BRANCHES, "feature", "x");
    }
    expect_names(test, REFS_BRANCHES, "",
                 "feature/ master packed-0 packed-1 packed-2 packed-3 packed-4 packed-5");
}

/* Commits until two ids begin with the same four digits. */
static void a_beginning_that_two_share_finds_none(void **state)
{
    const struct test *test = *state;
    static char seen[0x10000][COMMIT_ID_SIZE];
    git_signature *author = NULL;
    git_commit *parent = NULL;
    git_tree *tree = NULL;
    struct ref ref;
    git_oid id;
    unsigned start;
    char text[COMMIT_ID_SIZE];

    assert_int_equal(git_oid_fromstr(&id, test->head), 0);
    assert_int_equal(git_commit_lookup(&parent, test->repository, &id), 0);
    assert_int_equal(git_commit_tree(&tree, parent), 0);
    assert_int_equal(git_signature_new(&author, "Author", "a@example.com", 1688212800, 0), 0);
    memset(seen, 0, sizeof(seen));
    for (int i = 0;; i++) {
        git_buf buffer = {0};
        char message[16];
        snprintf(message, sizeof(message), "%d", i);
        assert_int_equal(git_commit_create_buffer(&buffer, test->repository, author, author, NULL,
                                                  message, tree, 0, NULL),
                         0);
        assert_int_equal(git_odb_hash(&id, buffer.ptr, buffer.size, GIT_OBJECT_COMMIT), 0);
        start = (unsigned)id.id[0] << 8 | id.id[1];
        bool found = seen[start][0] != '\0';
        if (!found)
            snprintf(seen[start], sizeof(seen[start]), "%s", message);
        git_buf_dispose(&buffer);
        if (!found)
            continue;
        const char *const messages[] = {seen[start], message};
        for (size_t j = 0; j < 2; j++)
            assert_int_equal(git_commit_create(&id, test->repository, NULL, author, author, NULL,
                                               messages[j], tree, 0, NULL),
                             0);
        break;
    }
    git_oid_tostr(text, sizeof(text), &id);
    for (int packed = 0; packed < 2; packed++) {
        assert_int_equal(refs_commit(test->source, text, &ref, NULL), 0);
        assert_string_equal(ref.commit, text);
        char begin[5];
        snprintf(begin, sizeof(begin), "%.4s", text);
        assert_int_equal(refs_commit(test->source, begin, &ref, NULL), -ENOENT);
        fixture_pack(test->fixture);
    }
    git_signature_free(author);
    git_tree_free(tree);
    git_commit_free(parent);
}

static void names_are_no_patterns(void **state)
{
    const struct test *test = *state;
    static const char *const patterns[] = {"a*b",  "a?b",     "a[b",     "a\\b",
                                           "mas*", "*",       "",        ".",
                                           "..",   "master/", "/master", "feature/../master",
                                           "a b",  "~"};

    make_ref(test, "refs/heads/a-b/c", test->head);
    for (int packed = 0; packed < 2; packed++) {
        for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
            struct ref ref;
            cleanup_ref_names struct ref_names names = {0};
            int r = refs_find(test->source, REFS_BRANCHES, patterns[i], &ref, NULL);
            if (r != -ENOENT && !(r == 0 && ref.is_folder && *patterns[i] == '\0'))
                fail_msg("%s: %d", patterns[i], r);
            if (*patterns[i] == '\0')
                continue;
            assert_int_equal(refs_list(test->source, REFS_BRANCHES, patterns[i], &names, NULL), 0);
            if (strchr("*?[a", *patterns[i]))
                assert_int_equal(names.count, 0);
        }
        pack_refs(test);
    }
}

static void a_branch_that_looks_like_a_pattern_is_itself(void **state)
{
    const struct test *test = *state;

    /* Git would not make such names; a file is quickly made. */
    make_ref(test, "refs/heads/a]b", test->head);
    make_ref(test, "refs/heads/a{b}/c", test->first);
    expect(test, REFS_BRANCHES, "a]b", test->head);
    expect_names(test, REFS_BRANCHES, "a{b}", "c");
    expect_names(test, REFS_BRANCHES, "", "a]b a{b}/ master");
}

/* Each of the two links would double the ways at every step. */
static void links_that_lead_in_circles_end(void **state)
{
    const struct test *test = *state;

    fixture_link(test->fixture, ".git/refs/heads/d/l", ".");
    fixture_link(test->fixture, ".git/refs/heads/d/m", ".");
    expect_names(test, REFS_BRANCHES, "", "master");
    expect_failure(test, REFS_BRANCHES, "d", -ENOENT);
    /* What is there beside them is listed still. */
    make_ref(test, "refs/heads/d/x", test->head);
    expect_names(test, REFS_BRANCHES, "", "d/ master");
    expect(test, REFS_BRANCHES, "d", NULL);
}

/* Nobody looks down to it: its folders are there, as those of one that is packed. */
static void one_in_more_folders_than_are_looked_into_is_not_left_out(void **state)
{
    const struct test *test = *state;
    char deep[512] = "refs/heads/deep";
    const char *name = deep + strlen("refs/heads/");

    for (int i = 0; i < 100; i++)
        strcat(deep, "/d");
    strcat(deep, "/x");
    make_ref(test, deep, test->first);
    for (int packed = 0; packed < 2; packed++) {
        expect_names(test, REFS_BRANCHES, "", "deep/ master");
        expect_names(test, REFS_BRANCHES, "deep/d", "d/");
        expect(test, REFS_BRANCHES, "deep", NULL);
        expect(test, REFS_BRANCHES, name, test->first);
        pack_refs(test);
    }
}

static void packed_refs_may_be_in_any_order(void **state)
{
    const struct test *test = *state;
    char text[512];

    make_ref(test, "refs/heads/packed", test->head);
    pack_refs(test);
    expect(test, REFS_BRANCHES, "packed", test->head);
    /* As a script or an old Git writes it: without the header that says that it is sorted. */
    snprintf(text, sizeof(text), "%s refs/heads/z\n%s refs/heads/b/c\n%s refs/heads/a\n",
             test->head, test->first, test->head);
    write_git(test, "packed-refs", text);
    expect_names(test, REFS_BRANCHES, "", "a b/ z");
    expect(test, REFS_BRANCHES, "a", test->head);
    expect(test, REFS_BRANCHES, "b", NULL);
    expect(test, REFS_BRANCHES, "b/c", test->first);
    expect(test, REFS_BRANCHES, "z", test->head);
    expect_failure(test, REFS_BRANCHES, "packed", -ENOENT);
}

static void a_symbolic_branch_that_leads_nowhere_is_not_there(void **state)
{
    const struct test *test = *state;

    write_git(test, "refs/heads/symbolic", "ref: refs/heads/master\n");
    write_git(test, "refs/heads/dangling", "ref: refs/heads/none\n");
    expect(test, REFS_BRANCHES, "symbolic", test->head);
    expect_failure(test, REFS_BRANCHES, "dangling", -ENOENT);
}

/* Blobs until one has an id that begins as the commit's. */
static void an_abbreviation_is_that_of_the_commit_if_others_are_none(void **state)
{
    const struct test *test = *state;
    char begin[5];
    struct ref ref;
    git_oid head;
    git_oid id;

    assert_int_equal(git_oid_fromstr(&head, test->head), 0);
    for (uint32_t i = 0;; i++) {
        assert_int_equal(git_odb_hash(&id, &i, sizeof(i), GIT_OBJECT_BLOB), 0);
        if (memcmp(id.id, head.id, 2) != 0)
            continue;
        assert_int_equal(git_blob_create_from_buffer(&id, test->repository, &i, sizeof(i)), 0);
        break;
    }
    snprintf(begin, sizeof(begin), "%.4s", test->head);
    assert_int_equal(refs_commit(test->source, begin, &ref, NULL), 0);
    assert_string_equal(ref.commit, test->head);
    cleanup_source struct source *source = NULL;
    assert_int_equal(source_open_revision(test->source, begin, &source, NULL), 0);
    bool changed;
    assert_int_equal(source_refresh(source, &changed, NULL), 0);
}

/* Git shows it; libgit2 cannot parse it. */
static void a_commit_whose_author_is_malformed_is_one(void **state)
{
    const struct test *test = *state;
    char text[512];
    git_commit *commit = NULL;
    git_odb *objects = NULL;
    git_oid id;

    assert_int_equal(git_oid_fromstr(&id, test->head), 0);
    assert_int_equal(git_commit_lookup(&commit, test->repository, &id), 0);
    int size = snprintf(text, sizeof(text),
                        "tree %s\nparent %s\nauthor Joe Doe 1500000000 +0000\n"
                        "committer A > <a@example.com> 1688212800 +0000\n\ntext\n",
                        git_oid_tostr_s(git_commit_tree_id(commit)), test->head);
    git_commit_free(commit);
    assert_int_equal(git_repository_odb(&objects, test->repository), 0);
    assert_int_equal(git_odb_write(&id, objects, text, (size_t)size, GIT_OBJECT_COMMIT), 0);
    git_odb_free(objects);
    git_oid_tostr(text, sizeof(text), &id);
    write_git(test, "refs/heads/odd", text);
    expect(test, REFS_BRANCHES, "odd", text);
}

static void settings_that_change_nothing_are_no_obstacle(void **state)
{
    const struct test *test = *state;
    git_config *config = NULL;
    struct source_options options = {.path = test->fixture->root};
    cleanup_source struct source *source = NULL;
    struct error error;

    /* `git clone --filter=blob:none --sparse` */
    assert_int_equal(git_repository_config(&config, test->repository), 0);
    assert_int_equal(git_config_set_int32(config, "core.repositoryformatversion", 1), 0);
    assert_int_equal(git_config_set_string(config, "extensions.worktreeConfig", "true"), 0);
    assert_int_equal(git_config_set_string(config, "extensions.partialClone", "origin"), 0);
    assert_int_equal(source_open(&options, &source, NULL), 0);
    assert_int_equal(git_config_set_string(config, "extensions.refStorage", "reftable"), 0);
    struct source *none = NULL;
    assert_int_equal(source_open(&options, &none, &error), -ENOTSUP);
    assert_non_null(strstr(error.text, "git refs migrate"));
    git_config_free(config);
}

static void without_descriptors_nothing_is_absent(void **state)
{
    const struct test *test = *state;
    struct ref ref;

    make_ref(test, "refs/heads/feature/x", test->first);
    make_ref(test, "refs/tags/light", test->first);
    for (int packed = 0; packed < 2; packed++) {
        fixture_take_descriptors(0);
        int codes[] = {
            refs_find(test->source, REFS_BRANCHES, "master", &ref, NULL),
            refs_find(test->source, REFS_BRANCHES, "feature", &ref, NULL),
            refs_find(test->source, REFS_BRANCHES, "none", &ref, NULL),
            refs_list(test->source, REFS_BRANCHES, "", &(struct ref_names){0}, NULL),
            refs_list(test->source, REFS_BRANCHES, "feature", &(struct ref_names){0}, NULL),
            refs_list(test->source, REFS_TAGS, "", &(struct ref_names){0}, NULL),
            refs_head(test->source, &ref, NULL),
            refs_commit(test->source, test->head, &ref, NULL),
            refs_commit(test->source, "0123", &ref, NULL),
        };
        fixture_give_descriptors();
        for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
            /* Unless it was in memory. */
            if (codes[i] != -EMFILE && !(packed && codes[i] == 0))
                fail_msg("question %zu: %d", i, codes[i]);
        }
        expect_names(test, REFS_BRANCHES, "", "feature/ master");
        pack_refs(test);
        fixture_pack(test->fixture);
    }
}

static void a_parent_is_the_first_one(void **state)
{
    const struct fixture *fixture = *state;
    struct source *source = fixture->origin.source;
    char second[COMMIT_ID_SIZE];
    char parent[COMMIT_ID_SIZE];
    struct error error = {0};
    struct ref first;

    assert_int_equal(refs_head(source, &first, &error), 0);
    fixture_write(fixture, "openpype/new.py", "new = 1\n");
    fixture_commit(fixture, second);
    assert_int_equal(refs_parent(source, second, parent, &error), 1);
    assert_string_equal(parent, first.commit);
    assert_int_equal(refs_parent(source, first.commit, parent, &error), 0);
    assert_int_equal(refs_parent(source, "nonsense", parent, &error), -EINVAL);
    assert_true(refs_parent(source, "0123456789012345678901234567890123456789", parent, &error) <
                0);
}

static void expect_no_refs(const struct test *test)
{
    const enum refs_kind kinds[] = {REFS_BRANCHES, REFS_TAGS};
    const char *words = "/.git: there is no repository";
    struct error error = {0};
    struct ref ref = {0};

    for (size_t i = 0; i < 2; i++) {
        cleanup_ref_names struct ref_names names = {0};
        assert_int_equal(refs_list(test->source, kinds[i], "", &names, &error), -EIO);
        assert_non_null(strstr(error.text, words));
        assert_int_equal(refs_find(test->source, kinds[i], "main", &ref, &error), -EIO);
        assert_non_null(strstr(error.text, words));
    }
    assert_int_equal(refs_head(test->source, &ref, &error), -EIO);
    assert_non_null(strstr(error.text, words));
}

static void what_is_no_repository_has_not_lost_its_refs(void **state)
{
    const struct test *test = *state;
    char place[PATH_MAX];
    char kept[PATH_MAX];

    snprintf(place, sizeof(place), "%s/.git", test->fixture->root);
    snprintf(kept, sizeof(kept), "%s/kept", test->fixture->root);
    assert_int_equal(rename(place, kept), 0);
    expect_no_refs(test);
    /* As in a worktree of another repository. */
    fixture_write(test->fixture, ".git", "gitdir: elsewhere\n");
    expect_no_refs(test);
    fixture_remove(test->fixture, ".git");
    assert_int_equal(mkdir(place, 0755), 0);
    expect_no_refs(test);
    assert_int_equal(rmdir(place), 0);
    assert_int_equal(rename(kept, place), 0);
    struct ref head = {0};
    assert_int_equal(refs_head(test->source, &head, NULL), 0);
    assert_string_equal(head.commit, test->head);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(branches_with_slashes_are_in_folders),
        TEST(names_packed_and_loose_are_one_list),
        TEST(what_git_leaves_behind_is_no_branch),
        TEST(tags_lead_to_commits),
        cmocka_unit_test_setup_teardown(a_parent_is_the_first_one, fixture_setup, fixture_teardown),
        TEST(head_is_its_branch_or_a_commit),
        TEST(what_is_missing_or_damaged_is_an_error_and_is_listed),
        TEST(a_commit_is_found_by_its_id_and_by_how_that_begins),
        TEST(a_beginning_that_two_share_finds_none),
        TEST(names_are_no_patterns),
        TEST(links_that_lead_in_circles_end),
        TEST(one_in_more_folders_than_are_looked_into_is_not_left_out),
        TEST(packed_refs_may_be_in_any_order),
        TEST(a_symbolic_branch_that_leads_nowhere_is_not_there),
        TEST(an_abbreviation_is_that_of_the_commit_if_others_are_none),
        TEST(a_commit_whose_author_is_malformed_is_one),
        TEST(settings_that_change_nothing_are_no_obstacle),
        TEST(a_branch_that_looks_like_a_pattern_is_itself),
        TEST(without_descriptors_nothing_is_absent),
        TEST(packed_refs_are_not_forgotten_when_reading_them_has_failed),
        TEST(what_is_no_repository_has_not_lost_its_refs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
