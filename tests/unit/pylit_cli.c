/* For test_pylit_oracle.py: pylit_cli VARIABLE FILE… prints a line for each file. */
#include <addonfs/cleanup.h>
#include <addonfs/pylit.h>
#include <stdio.h>
#include <string.h>

static int read_file(const char *path, char **ret_bytes, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");
    size_t size = 0;

    if (!file)
        return -1;
    *ret_bytes = malloc((size_t)1 << 20);
    if (*ret_bytes)
        size = fread(*ret_bytes, 1, (size_t)1 << 20, file);
    fclose(file);
    /* Exactly as much as there is, so that a sanitizer sees every byte read behind the end. */
    char *exact = *ret_bytes ? malloc(size > 0 ? size : 1) : NULL;
    if (exact)
        memcpy(exact, *ret_bytes, size);
    free(*ret_bytes);
    *ret_bytes = exact;
    *ret_size = size;
    return exact ? 0 : -1;
}

int main(int count, char **arguments)
{
    for (int i = 2; i < count; i++) {
        cleanup_free char *bytes = NULL;
        cleanup_free char *value = NULL;
        struct error error = {0};
        size_t size = 0;

        if (read_file(arguments[i], &bytes, &size) < 0)
            return 2;
        int r = pylit_string(bytes, size, "file.py", arguments[1], &value, &error);
        if (r < 0) {
            printf("ERR %d %s\n", -r, error.text);
            continue;
        }
        printf("OK ");
        for (const char *at = value; *at; at++)
            printf("%02x", (unsigned char)*at);
        putchar('\n');
    }
    return 0;
}
