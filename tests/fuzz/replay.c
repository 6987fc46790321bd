/*
 * Feeds files to a fuzzer's target without a fuzzer: those that are named, or are in the folders
 * that are named.
 *
 *     build/fuzz/fuzz_pylit tests/fuzz/corpus/pylit
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static int feed(const char *path)
{
    struct stat status;
    FILE *file = fopen(path, "re");

    if (!file || fstat(fileno(file), &status) < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    /* As much as there is, so that a sanitizer sees who reads behind its end. */
    size_t size = (size_t)status.st_size;
    uint8_t *input = malloc(size > 0 ? size : 1);
    size_t n = input ? fread(input, 1, size, file) : 0;
    fclose(file);
    if (!input || n != size) {
        fprintf(stderr, "%s: cannot be read\n", path);
        free(input);
        return -1;
    }
    (void)LLVMFuzzerTestOneInput(input, size);
    free(input);
    return 1;
}

static int feed_folder(const char *path)
{
    struct dirent **entries = NULL;
    char file[PATH_MAX];
    int fed = 0;

    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0)
        return feed(path);
    for (int i = 0; i < count; i++) {
        if (fed >= 0 && entries[i]->d_name[0] != '.') {
            snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
            fed = feed(file) < 0 ? -1 : fed + 1;
        }
        free(entries[i]);
    }
    free(entries);
    return fed;
}

int main(int count, char **arguments)
{
    int fed = 0;

    for (int i = 1; i < count; i++) {
        int n = feed_folder(arguments[i]);
        if (n < 0)
            return EXIT_FAILURE;
        fed += n;
    }
    printf("%d inputs\n", fed);
    return fed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
