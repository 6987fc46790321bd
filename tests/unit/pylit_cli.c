/*
 * For test_pylit_oracle.py: pylit_cli [--optional | --replace=VALUE] VARIABLE FILE… prints a line
 * for each file.
 */
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

static int ask(const char *how, const char *variable, const char *bytes, size_t size,
               char **ret_answer, size_t *ret_size, struct error *error)
{
    static const char replace[] = "--replace=";
    int r;

    if (strncmp(how, replace, sizeof(replace) - 1) == 0)
        return pylit_replace_string(bytes, size, "file.py", variable, how + sizeof(replace) - 1,
                                    ret_answer, ret_size, error);
    if (strcmp(how, "--optional") == 0)
        r = pylit_optional_string(bytes, size, "file.py", variable, ret_answer, error);
    else
        r = pylit_string(bytes, size, "file.py", variable, ret_answer, error);
    *ret_size = r == 0 && *ret_answer ? strlen(*ret_answer) : 0;
    return r;
}

int main(int count, char **arguments)
{
    int first = count > 1 && arguments[1][0] == '-' ? 2 : 1;

    for (int i = first + 1; i < count; i++) {
        cleanup_free char *bytes = NULL;
        cleanup_free char *answer = NULL;
        struct error error = {0};
        size_t size = 0;

        if (read_file(arguments[i], &bytes, &size) < 0)
            return 2;
        int r = ask(first == 2 ? arguments[1] : "", arguments[first], bytes, size, &answer, &size,
                    &error);
        if (r < 0) {
            printf("ERR %d %s\n", -r, error.text);
            continue;
        }
        printf(answer ? "OK " : "NONE");
        for (size_t at = 0; at < size; at++)
            printf("%02x", (unsigned char)answer[at]);
        putchar('\n');
    }
    return 0;
}
