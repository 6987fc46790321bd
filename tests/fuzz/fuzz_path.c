/* fuzz_path: which names and paths are allowed, beside what regcomp(3) makes of the rules. */
#include "fuzz.h"

#include <addonfs/path.h>
#include <regex.h>

static regex_t addon_name;
static regex_t version;

__attribute__((constructor)) static void compile(void)
{
    CHECK(regcomp(&addon_name, "^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$",
                  REG_EXTENDED | REG_NOSUB) == 0);
    CHECK(regcomp(&version, "^[0-9A-Za-z][0-9A-Za-z.+_-]*$", REG_EXTENDED | REG_NOSUB) == 0);
}

static bool matches(const regex_t *regex, const char *text)
{
    return strlen(text) <= 128 && regexec(regex, text, 0, NULL, 0) == 0;
}

/* Without "..", ".", "" and ".git" in any case among its components, and relative. */
static bool is_plain(const char *path)
{
    for (const char *at = path;; at++) {
        size_t length = strcspn(at, "/");
        if (length == 0 || (length == 1 && at[0] == '.') ||
            (length == 2 && at[0] == '.' && at[1] == '.') ||
            (length == 4 && strncasecmp(at, ".git", 4) == 0))
            return false;
        at += length;
        if (!*at)
            return true;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    cleanup_free char *text = fuzz_text(input, size);

    CHECK(path_addon_name_ok(text) == matches(&addon_name, text));
    CHECK(path_version_ok(text) == (matches(&version, text) && !strstr(text, "..")));
    /* What is allowed is plain; Git's own name has more spellings than that. */
    if (path_recipe_ok(text))
        CHECK(is_plain(text));
    if (path_is_git(text))
        CHECK(!path_recipe_ok(text));
    return 0;
}
