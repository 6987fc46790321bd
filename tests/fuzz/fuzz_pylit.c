/*
 * fuzz_pylit: any bytes as a Python file.
 *
 * What is read must be read again after another value was put in its place, as that value; and
 * nothing but the value may have changed (so putting the first one back in changes nothing that is
 * read).
 */
#include "fuzz.h"

#include <addonfs/pylit.h>
#include <errno.h>

static void replace(const char *text, size_t size, const char *value)
{
    cleanup_free char *edited = NULL;
    cleanup_free char *again = NULL;
    struct error error;
    size_t edited_size = 0;

    int r =
        pylit_replace_string(text, size, "f.py", "version", value, &edited, &edited_size, &error);
    if (r < 0) {
        CHECK(error.code == r && *error.text);
        return;
    }
    CHECK(pylit_string(edited, edited_size, "f.py", "version", &again, &error) == 0);
    CHECK(strcmp(again, value) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    const char *text = (const char *)input;
    cleanup_free char *value = NULL;
    cleanup_free char *other = NULL;
    struct error error = {0};

    int r = pylit_string(text, size, "f.py", "version", &value, &error);
    if (r < 0)
        CHECK(error.code == r && strncmp(error.text, "f.py", 4) == 0);
    int optional = pylit_optional_string(text, size, "f.py", "version", &other, &error);
    CHECK(r < 0 || (optional == 0 && other && strcmp(value, other) == 0));
    if (r == 0) {
        replace(text, size, "1.2.3-dev.4+g0123456.d89abcdef");
        replace(text, size, value);
    }
    return 0;
}
