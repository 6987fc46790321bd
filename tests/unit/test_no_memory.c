/*
 * What a view does when memory ends: it says so, and the same view does everything right
 * afterwards. Commands are looked at in test_no_memory_commands.c.
 */
#include "fixture.h"

#include "no_memory.h"
#include <addonfs/refs.h>
#include <addonfs/status.h>
#include <limits.h>
#include <semaphore.h>

/* Of so many allocations one fails, unless another number is asked for. */
enum { EACH = 1, SOME = 23 };

/* A view that is opened, and what of it is looked at. */
struct use {
    struct view_options options;
    const char *names; /* a branch whose commit is looked at, with all that has a name; or NULL */
    struct view *view; /* NULL: it will be opened */
};

static void close_view(void *context)
{
    struct use *use = context;

    view_close(use->view);
    use->view = NULL;
}

/* Find what is called so, with the addon's version in between. */
static int find_entry(struct view *view, struct generation *generation, const char *before,
                      const char *behind, struct entry **ret_entry, struct error *error)
{
    const char *version = generation->addon_count > 0 ? generation->addons[0].version : NULL;
    char path[PATH_MAX];

    if (!version)
        return error_set(error, -EIO, "no addon, or none with a version");
    snprintf(path, sizeof(path), "%s%s%s", before, version, behind);
    return view_find_entry(view, generation, path, NULL, ret_entry, error);
}

/* Read a file or zip of a generation to its end. */
static int read_entry(struct view *view, struct generation *generation, const char *before,
                      const char *behind, uint64_t *sum, struct error *error)
{
    cleanup_body struct body *body = NULL;
    struct entry *entry = NULL;
    unsigned char bytes[4096];
    uint64_t offset = 0;
    ssize_t n;

    int r = find_entry(view, generation, before, behind, &entry, error);
    if (r == 0)
        r = view_body(view, entry, NULL, &body, error);
    if (r == 0)
        r = view_open_body(view, body, NULL, error);
    if (r < 0)
        return r;
    while ((n = body_read(body, offset, bytes, sizeof(bytes))) > 0) {
        add(sum, bytes, (size_t)n);
        offset += (uint64_t)n;
    }
    body_close(body);
    return (int)n;
}

/* The client's code once more, each file with its time: for a revision, a walk through history. */
static int look_at_client(struct view *view, struct generation *generation, uint64_t *sum,
                          struct error *error)
{
    struct entry *entry = NULL;
    int r = find_entry(view, generation, "client/openpype_", "/openpype/lib", &entry, error);

    for (size_t i = 0; r == 0 && i < entry->count; i++) {
        const struct entry *child = entry->children[i];
        add_text(sum, child->name);
        if (generation->commit)
            add(sum, &child->mtime.tv_sec, sizeof(child->mtime.tv_sec));
    }
    return r;
}

static int look_at_frozen(struct view *view, const char *folder, const char *name, uint64_t *sum,
                          struct error *error)
{
    cleanup_view_name struct view_name frozen = {.target = NULL};

    int r = view_find(view, folder, name, NULL, &frozen, error);
    if (r == 0)
        r = read_entry(view, frozen.frozen, "package/openpype/", "/private/client.zip", sum, error);
    if (r == 0)
        r = look_at_client(view, frozen.frozen, sum, error);
    return r;
}

/* Everything that has a name beside the live tree. */
static int look_at_names(struct view *view, const char *branch, uint64_t *sum, struct error *error)
{
    static const char *const folders[] = {"", "branches", "branches/feature", "tags"};
    cleanup_view_name struct view_name link = {.target = NULL};
    cleanup_view_name struct view_name tag = {.target = NULL};
    cleanup_view_names struct view_names commits = {0};
    int r = 0;

    for (size_t i = 0; r == 0 && i < sizeof(folders) / sizeof(folders[0]); i++) {
        cleanup_view_names struct view_names names = {0};
        r = view_list(view, folders[i], &names, error);
        for (size_t k = 0; k < names.count; k++)
            add_text(sum, names.items[k].name);
    }
    if (r == 0)
        r = view_find(view, "branches/feature", branch, NULL, &link, error);
    if (r == 0)
        r = view_find(view, "tags", "annotated", NULL, &tag, error);
    if (r < 0)
        return r;
    add_text(sum, link.target);
    add_text(sum, tag.target);
    r = look_at_frozen(view, "commits", strrchr(link.target, '/') + 1, sum, error);
    if (r == 0)
        r = view_list(view, "commits", &commits, error);
    return r;
}

/* Everything that a mount does, in one view. */
static int use_view(void *context, uint64_t *ret_sum, struct error *error)
{
    static const struct status_mount mount = {1, "/mnt", "0", "0"};
    struct use *use = context;
    cleanup_generation struct generation *generation = NULL;
    cleanup_view_name struct view_name current = {.target = NULL};
    cleanup_view_names struct view_names names = {0};
    cleanup_free char *text = NULL;
    int r = 0;

    *ret_sum = 0;
    if (!use->view)
        r = view_open(&use->options, &use->view, error);
    if (r == 0)
        r = view_look(use->view, &generation, error);
    if (r < 0)
        return r;
    r = read_entry(use->view, generation, "package/openpype/", "/private/client.zip", ret_sum,
                   error);
    if (r == 0)
        r = read_entry(use->view, generation, "upload/openpype-", ".zip", ret_sum, error);
    if (r == 0)
        r = look_at_client(use->view, generation, ret_sum, error);
    if (r == 0)
        r = status_json(use->view, &mount, NULL, &text, error);
    if (r == 0)
        r = view_list(use->view, "", &names, error);
    if (r == 0)
        r = view_find(use->view, "snapshots", "current", NULL, &current, error);
    if (r == 0)
        r = look_at_frozen(use->view, "snapshots", current.target, ret_sum, error);
    if (r == 0 && use->names)
        r = look_at_names(use->view, use->names, ret_sum, error);
    return r;
}

/* --- Sources -------------------------------------------------------------------------------------
 */

/* Run a shell script in the fixture's root. */
static void run_script(const struct fixture *fixture, const char *script)
{
    static const char set_up[] =
        "set -e; cd '%s'; export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null "
        "GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.com GIT_COMMITTER_NAME=A "
        "GIT_COMMITTER_EMAIL=a@example.com GIT_AUTHOR_DATE='1700000000 +0000' "
        "GIT_COMMITTER_DATE='1700000000 +0000'\n%s";
    cleanup_free char *command = NULL;

    assert_true(asprintf(&command, set_up, fixture->root, script) > 0);
    assert_int_equal(system(command), 0);
}

/* Branches, tags of both kinds, loose and packed, and some history with a merge in it. */
static const char history[] =
    "git checkout -qb feature/x\n"
    "for i in 1 2 3; do echo $i >openpype/lib/more$i.py; git add .; git commit -qm more; done\n"
    "git checkout -qb feature/y HEAD~2; echo y >openpype/lib/y.py; git add .; git commit -qm y\n"
    "git tag light; git tag -am text annotated HEAD~1; git pack-refs --all\n"
    "git merge -q --no-ff -m merge feature/x; git tag late\n";

static void run_out_of(const struct fixture *fixture, const struct view_options *options,
                       const char *names, long stride)
{
    struct use use = {.options = *options, .names = names};

    use.options.source.path = fixture->root;
    if (!use.options.cache_folder)
        use.options.no_cache = true;
    run_out(use_view, close_view, &use, stride);
    close_view(&use);
}

/* Without any failure: what tells that a scenario holds what it is about. */
static uint64_t look_once(const struct fixture *fixture, const char *revision)
{
    struct use use = {
        .options = {.source = {.path = fixture->root, .revision = revision}, .no_cache = true}};

    uint64_t sum = expect_success(use_view, &use);
    close_view(&use);
    return sum;
}

static void a_view_that_runs_out_of_memory_says_so_and_goes_on(void **state)
{
    run_out_of(*state, &(struct view_options){.level = 0}, NULL, EACH);
}

static void so_does_one_that_compares(void **state)
{
    run_out_of(*state, &(struct view_options){.source.poll = true}, NULL, SOME);
}

static void so_does_one_that_prepares(void **state)
{
    run_out_of(*state, &(struct view_options){.prepares = true}, NULL, SOME);
}

static void so_does_one_of_a_revision(void **state)
{
    run_out_of(*state, &(struct view_options){.source.revision = "HEAD"}, NULL, EACH);
}

/* Its own first commit is what the submodule shows. */
static void so_does_one_of_a_revision_with_a_submodule(void **state)
{
    uint64_t without = look_once(*state, "HEAD");

    run_script(*state, "commit=$(git rev-parse HEAD); mkdir -p .git/modules/it/objects/info; "
                       "echo ../../../objects > .git/modules/it/objects/info/alternates; "
                       "printf '[submodule \"it\"]\\n\\tpath = openpype/sub\\n' > .gitmodules; "
                       "git add .gitmodules; "
                       "git update-index --add --cacheinfo \"160000,$commit,openpype/sub\"; "
                       "git commit -qm submodule; git ls-tree HEAD:openpype | grep -q commit");
    assert_true(look_once(*state, "HEAD") != without);
    run_out_of(*state, &(struct view_options){.source.revision = "HEAD"}, NULL, SOME);
}

static void so_does_one_of_a_history_with_all_its_names(void **state)
{
    run_script(*state, history);
    run_out_of(*state, &(struct view_options){.source.revision = "feature/y"}, "y", SOME);
}

static void so_does_one_of_a_pack_and_a_commit_graph(void **state)
{
    run_script(*state, history);
    run_script(*state, "git repack -adq; git commit-graph write --reachable; "
                       "git multi-pack-index write; git count-objects | grep -q '^0 '");
    run_out_of(*state, &(struct view_options){.source.revision = "feature/y"}, "y", SOME);
}

static void so_does_one_of_a_shallow_clone(void **state)
{
    run_script(*state, history);
    run_script(*state, "git clone -q --depth 2 \"file://$PWD\" shallow; rm -r .git; "
                       "mv shallow/.git .; test -s .git/shallow; git tag -a -m text annotated");
    run_out_of(*state, &(struct view_options){.source.revision = "HEAD"}, "y", SOME);
}

static void so_does_one_that_borrows_objects(void **state)
{
    run_script(*state, history);
    run_script(*state,
               "git clone -qs . borrower; mkdir lender; mv .git/objects lender/; rm -r .git; "
               "mv borrower/.git .; echo \"$PWD/lender/objects\" >.git/objects/info/alternates; "
               "git checkout -qB feature/y");
    run_out_of(*state, &(struct view_options){.source.revision = "HEAD"}, "y", SOME);
}

static void so_does_one_with_attributes(void **state)
{
    uint64_t without = look_once(*state, "HEAD");

    run_script(*state,
               "mkdir openpype/lib/deep; echo id >openpype/lib/deep/id.py; echo a >openpype/a.bat; "
               "printf '\\303\\251\\n' >openpype/lib/u.txt; git add .; git commit -qm text; "
               "printf '[attr]mine text eol=crlf\\n*.bat mine\\n' >.gitattributes; "
               "echo '*.txt text working-tree-encoding=UTF-16' >openpype/lib/.gitattributes; "
               "echo '*.py ident text' >openpype/lib/deep/.gitattributes; "
               "git add .gitattributes openpype/lib/.gitattributes "
               "openpype/lib/deep/.gitattributes; git commit -qm attributes 2>/dev/null");
    assert_true(look_once(*state, "HEAD") != without);
    run_out_of(*state, &(struct view_options){.source.revision = "HEAD"}, NULL, SOME);
}

static void so_does_one_with_a_file_of_git_lfs(void **state)
{
    uint64_t without = look_once(*state, "HEAD");

    run_script(*state, "seq 400 >big; id=$(sha256sum big | cut -c-64); size=$(stat -c %s big); "
                       "folder=.git/lfs/objects/$(echo $id | cut -c-2)/$(echo $id | cut -c3-4); "
                       "mkdir -p $folder; mv big $folder/$id; "
                       "printf 'version https://git-lfs.github.com/spec/v1\\noid sha256:%s\\nsize "
                       "%s\\n' $id $size >openpype/lib/big.bin; git add .; git commit -qm lfs");
    assert_true(look_once(*state, "HEAD") != without);
    run_out_of(*state, &(struct view_options){.source.revision = "HEAD"}, NULL, SOME);
}

static void so_does_one_of_links(void **state)
{
    run_script(*state, "ln -s ../server_addon/server openpype/folder; ln -s lib/tools.py "
                       "openpype/file.py; ln openpype/lib/tools.py openpype/lib/hard.py; "
                       "git add .; git commit -qm links");
    run_out_of(*state, &(struct view_options){.level = 0}, NULL, SOME);
}

static void so_does_one_of_links_in_a_revision(void **state)
{
    run_script(*state, "ln -s ../server_addon/server openpype/folder; ln -s lib/tools.py "
                       "openpype/file.py; git add .; git commit -qm links");
    run_out_of(*state, &(struct view_options){.source.revision = "HEAD"}, NULL, SOME);
}

static void so_does_one_that_derives_versions(void **state)
{
    run_out_of(*state, &(struct view_options){.shown.derive_version = true}, NULL, SOME);
}

static void so_does_one_that_derives_versions_of_an_edit(void **state)
{
    run_script(*state, history);
    fixture_write(*state, "openpype/lib/tools.py", "edited\n");
    run_out_of(*state, &(struct view_options){.shown.derive_version = true}, NULL, SOME);
}

static void so_does_one_that_derives_versions_of_a_revision(void **state)
{
    run_script(*state, history);
    run_out_of(*state,
               &(struct view_options){.source.revision = "feature/y", .shown.derive_version = true},
               "y", SOME);
}

static void so_does_one_with_a_cache(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_free char *folder = NULL;

    assert_true(asprintf(&folder, "%s/cache", fixture->root) > 0);
    run_out_of(fixture, &(struct view_options){.cache_folder = folder}, NULL, SOME);
}

/* There is room for next to nothing, so the cache throws out at every write. */
static void so_does_one_of_a_revision_with_a_cache_that_is_full(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_free char *folder = NULL;

    run_script(*state, history);
    assert_true(asprintf(&folder, "%s/cache", fixture->root) > 0);
    run_out_of(fixture,
               &(struct view_options){
                   .source.revision = "feature/y", .cache_folder = folder, .cache_size = 1},
               "y", SOME);
}

/* The known layouts are read as any recipe is. */
static void so_does_one_with_a_recipe(void **state)
{
    run_out_of(*state, &(struct view_options){.recipe_path = "core/layouts/a.json"}, NULL, SOME);
}

static const char own_recipe[] =
    "{\"addonfs_recipe\": 1, \"addons\": [{\"name\": \"openpype\", \"version\": {\"file\": "
    "\"openpype/version.py\", \"variable\": \"__version__\"}, \"client\": \"private/client.zip\", "
    "\"upload\": \"manifest\", \"rules\": [{\"source\": \"server_addon/server/\", \"destination\": "
    "\"\", \"exclude\": \"walk\"}, {\"source\": \"openpype/\", \"zip\": \"private/client.zip\", "
    "\"destination\": \"openpype\", \"exclude\": \"walk\"}]}]}\n";

static void so_does_one_with_a_recipe_of_its_own(void **state)
{
    uint64_t without = look_once(*state, NULL);

    fixture_write(*state, "addonfs.json", own_recipe);
    assert_true(look_once(*state, NULL) != without);
    run_out_of(*state, &(struct view_options){.level = 0}, NULL, SOME);
}

/* What cannot be read is left out, and still everything else is there. */
static void so_does_one_that_leaves_out_what_cannot_be_read(void **state)
{
    fixture_link(*state, "openpype/lib/broken.py", "nowhere");
    run_out_of(*state, &(struct view_options){.skip_problems = true}, NULL, SOME);
}

/* --- What moves ----------------------------------------------------------------------------------
 */

/* Each allocation of a look after an edit fails once. */
static void an_edit_is_seen_although_the_look_at_it_ran_out_of_memory(void **state)
{
    const struct fixture *fixture = *state;
    struct use use = {.options = {.source.path = fixture->root, .no_cache = true}};
    struct error error = {0};
    long stride = stride_of(SOME);
    long turn = begin_at(stride);

    uint64_t before = expect_success(use_view, &use);
    for (bool failed = true; failed; turn += stride) {
        char text[64];
        uint64_t sum = 0;

        snprintf(text, sizeof(text), "# edit %ld\n", turn);
        fixture_write(fixture, "openpype/lib/tools.py", text);
        fail_after(turn);
        int r = use_view(&use, &sum, &error);
        failed = has_failed_by_now();
        uint64_t expected = look_once(fixture, NULL);
        assert_true(expected != before);
        assert_true(r < 0 || sum == expected);
        assert_true(expect_success(use_view, &use) == expected);
    }
    print_message("every %ldth of %ld allocations failed\n", stride, turn);
    close_view(&use);
}

static void tell(void *context)
{
    sem_post(context);
}

/* Each allocation of whoever watches fails once; it looks again by itself. */
static void an_edit_is_told_although_memory_ends(void **state)
{
    const struct fixture *fixture = *state;
    struct use use = {
        .options = {.source.path = fixture->root, .shown.derive_version = true, .no_cache = true}};
    char from[PATH_MAX];
    char to[PATH_MAX];
    long stride = stride_of(SOME);
    long turn = begin_at(stride);
    sem_t told;

    snprintf(from, sizeof(from), "%s/edited", fixture->root);
    snprintf(to, sizeof(to), "%s/openpype/lib/tools.py", fixture->root);
    for (bool failed = true; failed; turn += stride) {
        cleanup_generation struct generation *before = NULL;
        struct error error = {0};
        char text[64];

        snprintf(text, sizeof(text), "# edit %ld\n", turn);
        fixture_write(fixture, "edited", text);
        assert_int_equal(sem_init(&told, 0, 0), 0);
        assert_int_equal(view_open(&use.options, &use.view, &error), 0);
        assert_int_equal(view_look(use.view, &before, &error), 0);
        view_on_advanced(use.view, tell, &told);
        fail_after(turn);
        int r = view_watch_begin(use.view, &error);
        if (r < 0 && (r != -ENOMEM || !*error.text))
            complain(turn, "%s: %s", strerror(-r), error.text);
        if (r == 0) {
            assert_int_equal(rename(from, to), 0);
            assert_int_equal(sem_wait(&told), 0);
            view_watch_end(use.view);
        }
        failed = has_failed_by_now();
        (void)expect_success(use_view, &use);
        generation_unref(steal_pointer(&before));
        close_view(&use);
        assert_int_equal(sem_destroy(&told), 0);
    }
    print_message("every %ldth of %ld allocations failed\n", stride, turn);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_view_that_runs_out_of_memory_says_so_and_goes_on),
        TEST(so_does_one_that_compares),
        TEST(so_does_one_that_prepares),
        TEST(so_does_one_of_a_revision),
        TEST(so_does_one_of_a_revision_with_a_submodule),
        TEST(so_does_one_of_a_history_with_all_its_names),
        TEST(so_does_one_of_a_pack_and_a_commit_graph),
        TEST(so_does_one_of_a_shallow_clone),
        TEST(so_does_one_that_borrows_objects),
        TEST(so_does_one_with_attributes),
        TEST(so_does_one_with_a_file_of_git_lfs),
        TEST(so_does_one_of_links),
        TEST(so_does_one_of_links_in_a_revision),
        TEST(so_does_one_that_derives_versions),
        TEST(so_does_one_that_derives_versions_of_an_edit),
        TEST(so_does_one_that_derives_versions_of_a_revision),
        TEST(so_does_one_with_a_cache),
        TEST(so_does_one_of_a_revision_with_a_cache_that_is_full),
        TEST(so_does_one_with_a_recipe),
        TEST(so_does_one_with_a_recipe_of_its_own),
        TEST(so_does_one_that_leaves_out_what_cannot_be_read),
        TEST(an_edit_is_seen_although_the_look_at_it_ran_out_of_memory),
        TEST(an_edit_is_told_although_memory_ends),
    };

    if (!IS_OURS)
        return skip_all();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
