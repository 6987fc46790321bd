#include <addonfs/match.h>

#include <fnmatch.h>
#include <stddef.h>

static const char *const nothing[] = {NULL};
static const char *const walk_files[] = {".*", "*.pyc", "*.pyc\n", NULL};
static const char *const walk_folders[] = {".*", "__pycache__", "__pycache__\n", NULL};

const struct match_filter match_everything = {nothing, nothing, NULL};
const struct match_filter match_walk = {walk_files, walk_folders, NULL};

static bool matches_any(const char *const *patterns, const char *name)
{
    for (; *patterns; patterns++) {
        if (fnmatch(*patterns, name, 0) == 0)
            return true;
    }
    return false;
}

bool match_drops_file(const struct match_filter *filter, const char *name)
{
    return matches_any(filter->drop_files, name) ||
           (filter->keep_files && !matches_any(filter->keep_files, name));
}

bool match_drops_folder(const struct match_filter *filter, const char *name)
{
    return matches_any(filter->drop_folders, name);
}
