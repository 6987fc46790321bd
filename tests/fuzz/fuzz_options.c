/* fuzz_options: any text after -o. */
#include "fuzz.h"

#include "../../fs/options.h"

#include <addonfs/path.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    cleanup_free char *text = fuzz_text(input, size);
    struct options options = {.root = NULL};
    struct error error = {0};

    int r = options_parse(&options, text, &error);
    if (r < 0)
        CHECK(error.code == r && *error.text && !strchr(error.text, '\n'));
    else
        CHECK(!options.view.shown.version || path_version_ok(options.view.shown.version));
    CHECK(options.view.level >= 0 && options.view.level <= 12);
    CHECK(!options.view.recipe_path || *options.view.recipe_path == '/');
    options_clear(&options);
    return 0;
}
