/*
 * For test_source_history.py: source_history_cli REPOSITORY CACHE COMMIT… asks for every path of
 * each commit in turn (CACHE: a folder, or "none") and prints "COMMIT TIME PATH" lines. What is
 * asked for the second time comes from what was remembered. With paths on standard input (one a
 * line, sorted), only for those.
 */
#include "source_history.h"

#include <addonfs/cleanup.h>
#include <stdio.h>
#include <string.h>

struct list {
    char **paths;
    size_t count;
};

static void add(struct list *list, const char *path)
{
    list->paths = realloc(list->paths, (list->count + 1) * sizeof(char *));
    if (!list->paths || !(list->paths[list->count++] = strdup(path)))
        exit(3);
}

static int add_entry(const char *root, const git_tree_entry *entry, void *payload)
{
    char path[8192];

    snprintf(path, sizeof(path), "%s%s", root, git_tree_entry_name(entry));
    add(payload, path);
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_clear(struct list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->paths[i]);
    free(list->paths);
}

static int ask(git_repository *repository, struct history *history, struct cache *cache,
               const char *name, const struct list *given)
{
    git_commit *commit = NULL;
    git_tree *tree = NULL;
    git_oid id;
    struct list list = {0};
    struct error error = {0};

    if (git_oid_fromstr(&id, name) < 0 || git_commit_lookup(&commit, repository, &id) < 0 ||
        git_commit_tree(&tree, commit) < 0)
        return 2;
    if (given->count > 0) {
        for (size_t i = 0; i < given->count; i++)
            add(&list, given->paths[i]);
    } else {
        git_tree_walk(tree, GIT_TREEWALK_PRE, add_entry, &list);
        qsort(list.paths, list.count, sizeof(char *), compare);
    }
    int64_t *times = calloc(list.count + 1, sizeof(*times));
    int r = history_times(history, cache, &id, (const char *const *)list.paths, list.count, times,
                          NULL, NULL, &error);
    if (r < 0)
        fprintf(stderr, "%s\n", error.text);
    for (size_t i = 0; r == 0 && i < list.count; i++)
        printf("%s %lld %s\n", name, (long long)times[i], list.paths[i]);
    list_clear(&list);
    free(times);
    git_tree_free(tree);
    git_commit_free(commit);
    return r < 0 ? 1 : 0;
}

int main(int count, char **arguments)
{
    git_repository *repository = NULL;
    struct objects *objects = NULL;
    struct history *history = NULL;
    struct list given = {0};
    char line[8192];
    int r = 0;

    if (count < 3)
        return 2;
    git_libgit2_init();
    if (git_repository_open(&repository, arguments[1]) < 0 ||
        objects_open(git_repository_commondir(repository), &objects, NULL) < 0 ||
        history_new(objects, git_repository_commondir(repository), &history, NULL) < 0)
        return 2;
    while (fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = '\0';
        add(&given, line);
    }
    struct cache *cache =
        strcmp(arguments[2], "none") == 0 ? NULL : cache_open(arguments[2], 1 << 30, "test");
    for (int i = 3; i < count && r == 0; i++)
        r = ask(repository, history, cache, arguments[i], &given);
    history_free(history);
    cache_close(cache);
    list_clear(&given);
    objects_free(objects);
    git_repository_free(repository);
    git_libgit2_shutdown();
    return r;
}
