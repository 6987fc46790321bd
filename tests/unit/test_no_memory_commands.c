/* What commands do when memory ends: the same command does everything right afterwards. */
#include "fixture.h"

#include "no_memory.h"
#include <addonfs/cache.h>
#include <addonfs/cache_upkeep.h>
#include <addonfs/diff.h>
#include <addonfs/export.h>
#include <addonfs/inventory.h>
#include <addonfs/listing.h>
#include <addonfs/recipe.h>
#include <addonfs/verify.h>
#include <dirent.h>
#include <limits.h>

/* What a command is given. The view is the same for all turns. */
struct command {
    const struct fixture *fixture;
    struct view *view;
    const char *format;
    const char *root;
    char path[PATH_MAX]; /* of a package, or of a cache's folder */
};

/* A command with a view of the worktree, or of `revision`, and a path in out/. */
static struct command command_of(const struct fixture *fixture, const char *revision,
                                 const char *name)
{
    struct command command = {.fixture = fixture};

    fixture_write(fixture, "out/other", "stays");
    snprintf(command.path, sizeof(command.path), "%s/out/%s", fixture->root, name);
    command.view = fixture_view(fixture, revision);
    return command;
}

static int export_it(const struct command *command, struct error *error)
{
    const struct export_options options = {
        .destination = command->path, .root = command->root, .format = command->format, .fd = -1};

    return export_write(command->view, &options, error);
}

static void run_out_of(act_function *act, struct command *command)
{
    run_out(act, NULL, command, 1);
    view_close(command->view);
}

/* A package of what there is now, and then a change of everything that a package can differ in. */
static void deploy(struct command *command)
{
    struct error error = {0};

    fixture_write(command->fixture, "server_addon/server/both.txt", "before");
    fixture_write(command->fixture, "openpype/gone/file.py", "");
    if (export_it(command, &error) < 0)
        fail_msg("%s", error.text);
    fixture_write(command->fixture, "server_addon/server/both.txt", "after");
    fixture_remove(command->fixture, "openpype/gone");
    fixture_write(command->fixture, "openpype/more.py", "");
}

static int find_differences(void *context, uint64_t *ret_sum, struct error *error)
{
    const struct command *command = context;
    cleanup_diff struct diff diff = {.count = 0};
    cleanup_free char *text = NULL;

    *ret_sum = 0;
    int r = diff_make(command->view, command->path, NULL, &diff, error);
    if (r == 0)
        r = diff_json(command->view, &diff, &text, error);
    if (r < 0)
        return r;
    assert_true(diff.count == 3);
    add_text(ret_sum, text);
    return 0;
}

static void differences_of_a_folder(void **state)
{
    struct command command = command_of(*state, NULL, "folder");

    deploy(&command);
    run_out_of(find_differences, &command);
}

static void differences_of_an_archive(void **state)
{
    struct command command = command_of(*state, NULL, "it.tar.gz");

    deploy(&command);
    run_out_of(find_differences, &command);
}

static int verify_it(void *context, uint64_t *ret_sum, struct error *error)
{
    const struct command *command = context;
    cleanup_verification struct verification verification = {.count = 0};
    cleanup_free char *text = NULL;

    *ret_sum = 0;
    int r = verify_make(command->path, command->view, NULL, &verification, error);
    if (r == 0)
        r = verify_json(&verification, &text, error);
    if (r < 0)
        return r;
    add_text(ret_sum, text);
    return 0;
}

/* The commit is not the newest of the version; what is wrong are findings. */
static void verify_a_package(const struct fixture *fixture, const char *root, const char *name,
                             const char *damage)
{
    struct command command = command_of(fixture, "HEAD", name);
    cleanup_verification struct verification verification = {.count = 0};
    struct error error = {0};

    command.root = root;
    assert_int_equal(export_it(&command, &error), 0);
    fixture_write(fixture, "openpype/lib/tools.py", "later\n");
    fixture_commit(fixture, NULL);
    if (damage)
        fixture_write(fixture, damage, "");
    if (verify_make(command.path, command.view, NULL, &verification, &error) < 0)
        fail_msg("%s", error.text);
    assert_int_equal(verification.count, 1);
    assert_int_equal(verification.items[0].tried, 2);
    assert_int_equal(verification.finding_count, damage ? 1 : 0);
    run_out_of(verify_it, &command);
}

static void a_folder_that_is_verified(void **state)
{
    verify_a_package(*state, "package", "folder", "out/folder/openpype/3.15.12/.git/config");
}

static void an_archive_that_is_verified(void **state)
{
    verify_a_package(*state, "package", "it.zip", NULL);
}

/* Each has a manifest.json, in JSON. */
static void zips_to_upload_that_are_verified(void **state)
{
    verify_a_package(*state, "upload", "folder", NULL);
}

static int read_recipe(void *context, uint64_t *ret_sum, struct error *error)
{
    struct recipe *recipe = NULL;
    int r = recipe_read(context, &recipe, error);

    *ret_sum = 0;
    recipe_unref(recipe);
    return r;
}

static void a_recipe(void **state)
{
    static char path[] = "core/layouts/a.json";

    (void)state;
    run_out(read_recipe, NULL, path, 1);
}

/* How many names, hidden ones too, there are beside what is exported. */
static int count_beside(const struct command *command)
{
    char folder[PATH_MAX];
    int count = 0;

    snprintf(folder, sizeof(folder), "%s/out", command->fixture->root);
    DIR *stream = opendir(folder);
    assert_non_null(stream);
    for (const struct dirent *found; (found = readdir(stream));) {
        snprintf(folder, sizeof(folder), "%s/out/%s", command->fixture->root, found->d_name);
        if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0 &&
            strcmp(folder, command->path) != 0)
            count++;
    }
    closedir(stream);
    return count;
}

static int add_item(void *context, const char *name, void *value)
{
    const struct inventory_item *item = value;

    add_text(context, name);
    add(context, &item->executable, sizeof(item->executable));
    if (item->kind == INVENTORY_FILE)
        add(context, item->id.bytes, sizeof(item->id.bytes));
    return map_each(&item->children, add_item, context);
}

/* What has been written is read again, by other means and with all the memory that there is. */
static int export_and_read(void *context, uint64_t *ret_sum, struct error *error)
{
    const struct command *command = context;
    cleanup_inventory struct inventory_item *root = NULL;
    struct inventory_reading reading = {.bytes = 0};
    struct error other = {0};

    *ret_sum = 0;
    int r = export_it(command, error);
    pause_failures();
    assert_int_equal(count_beside(command), 1);
    if (r == 0) {
        if (inventory_read(command->path, &reading, &root, &other) < 0)
            fail_msg("%s", other.text);
        (void)map_each(&root->children, add_item, ret_sum);
    }
    return r;
}

static void an_export_into(void **state, const char *name, const char *format)
{
    struct command command = command_of(*state, NULL, name);

    command.format = format;
    run_out_of(export_and_read, &command);
}

static void an_export_into_a_folder(void **state)
{
    an_export_into(state, "folder", "folder");
}

static void an_export_into_a_zip(void **state)
{
    an_export_into(state, "it", "zip");
}

static void an_export_into_a_tar(void **state)
{
    an_export_into(state, "it", "tar.zst");
}

static int list_it(void *context, uint64_t *ret_sum, struct error *error)
{
    const struct command *command = context;
    cleanup_listing struct listing listing = {.count = 0};
    cleanup_free char *text = NULL;

    *ret_sum = 0;
    int r = listing_make(command->view, NULL, &listing, error);
    if (r == 0)
        r = listing_json(command->view, &listing, &text, error);
    if (r < 0)
        return r;
    add_text(ret_sum, text);
    return 0;
}

static void a_listing(void **state)
{
    struct command command = command_of(*state, NULL, "none");

    run_out_of(list_it, &command);
}

static void a_listing_of_what_cannot_be_read(void **state)
{
    fixture_link(*state, "openpype/broken.py", "nowhere");
    fixture_link(*state, "server_addon/server/broken.py", "nowhere");
    struct command command = command_of(*state, NULL, "none");

    run_out_of(list_it, &command);
}

/* A cache of some members, into the command's folder. */
static void fill_cache(const struct command *command)
{
    const struct view_options options = {.source.path = command->fixture->root,
                                         .cache_folder = command->path};
    cleanup_generation struct generation *generation = NULL;
    cleanup_problems struct problems problems = {0};
    struct view *view = NULL;
    struct error error = {0};

    if (view_open(&options, &view, &error) < 0 ||
        view_problems(view, NULL, &generation, &problems, &error) < 0)
        fail_msg("%s", error.text);
    generation_unref(steal_pointer(&generation));
    view_close(view);
}

static int look_after_cache(void *context, uint64_t *ret_sum, struct error *error)
{
    const struct command *command = context;
    struct cache_stats before = {0};
    struct cache_stats stats = {0};
    struct cache_removed pruned = {0};
    struct cache_removed cleared = {0};

    pause_failures();
    fill_cache(command);
    resume_failures();
    int r = cache_stats(command->path, &before, error);
    if (r == 0)
        r = cache_prune(command->path, 1, &pruned, error);
    if (r == 0)
        r = cache_stats(command->path, &stats, error);
    if (r == 0)
        r = cache_clear(command->path, &cleared, error);
    if (r < 0)
        return r;
    assert_true(before.members > 0 && before.streams > 0);
    assert_true(stats.members < before.members && stats.streams <= 1);
    assert_int_equal(pruned.members + cleared.members, before.members);
    *ret_sum = before.members;
    return 0;
}

static void a_cache_that_is_looked_after(void **state)
{
    struct command command = command_of(*state, NULL, "cache");

    run_out_of(look_after_cache, &command);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(differences_of_a_folder),
        TEST(differences_of_an_archive),
        TEST(a_folder_that_is_verified),
        TEST(an_archive_that_is_verified),
        TEST(zips_to_upload_that_are_verified),
        TEST(a_recipe),
        TEST(an_export_into_a_folder),
        TEST(an_export_into_a_zip),
        TEST(an_export_into_a_tar),
        TEST(a_listing),
        TEST(a_listing_of_what_cannot_be_read),
        TEST(a_cache_that_is_looked_after),
    };

    if (!IS_OURS)
        return skip_all();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
