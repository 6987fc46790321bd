/*
 * fuzz_version: a version that is derived from any declared one.
 *
 * The input is how many commits, whether the content is another, and the declared version.
 */
#include "fuzz.h"

#include <addonfs/path.h>
#include <addonfs/version.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    cleanup_free char *derived = NULL;
    struct error error = {0};
    uint64_t commits = 0;

    if (size < sizeof(commits) + 1)
        return 0;
    memcpy(&commits, input, sizeof(commits));
    bool changed = input[sizeof(commits)] & 1;
    cleanup_free char *declared =
        fuzz_text(input + sizeof(commits) + 1, size - sizeof(commits) - 1);

    int r = version_derive(declared, commits, "0123456789abcdef0123456789abcdef01234567",
                           changed ? "89abcdef0123" : NULL, &derived, &error);
    if (r < 0) {
        CHECK(error.code == r && *error.text);
        CHECK(commits > 0 || changed);
    } else if (commits == 0 && !changed) {
        CHECK(strcmp(derived, declared) == 0);
    } else {
        CHECK(version_is_semver(declared) && version_is_semver(derived));
        CHECK(path_version_ok(derived) && strcmp(derived, declared) != 0);
    }
    return 0;
}
