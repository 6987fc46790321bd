/*
 * For test_source_attributes_oracle.py: standard input is "COUNT\n", then so many times
 * "SIZE FOLDER\n" and the SIZE bytes of its .gitattributes, the nearest first; then paths, each
 * with a NUL behind it. For each path a line of the answer has what is said of the five attributes:
 * "set", "unset", "unspecified" or "=VALUE", with tabs between.
 */
#include "source_attributes.h"

#include <addonfs/path.h>
#include <stdio.h>
#include <string.h>

enum { FILES = 64 };

struct file {
    char folder[4096];
    struct attributes *list;
};

static void tell(const struct attribute_value *value, char end)
{
    static const char *const names[] = {
        [ATTRIBUTE_UNKNOWN] = "unspecified",
        [ATTRIBUTE_SET] = "set",
        [ATTRIBUTE_UNSET] = "unset",
        [ATTRIBUTE_UNSPECIFIED] = "unspecified",
    };

    if (value->state == ATTRIBUTE_VALUE)
        printf("=%.*s%c", (int)value->length, value->text, end);
    else
        printf("%s%c", names[value->state], end);
}

static void answer(const struct file *files, size_t count, const char *path)
{
    struct attributes_layer layers[FILES];
    struct attribute_value values[ATTRIBUTES];
    size_t found = 0;

    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(files[i].folder);
        if (path_is_within(path, files[i].folder) && (length == 0 || path[length] == '/'))
            layers[found++] = (struct attributes_layer){files[i].list, length};
    }
    if (attributes_find(layers, found, path, values) < 0)
        exit(2);
    for (int i = 0; i < ATTRIBUTES; i++)
        tell(&values[i], i + 1 < ATTRIBUTES ? '\t' : '\n');
}

static void take(struct file *file)
{
    size_t size = 0;
    char line[4200];

    if (!fgets(line, sizeof(line), stdin))
        exit(2);
    line[strcspn(line, "\n")] = '\0';
    char *space = strchr(line, ' ');
    size = strtoull(line, NULL, 10);
    snprintf(file->folder, sizeof(file->folder), "%s", space ? space + 1 : "");
    cleanup_free char *bytes = malloc(size + 1);
    if (!bytes || fread(bytes, 1, size, stdin) != size ||
        attributes_parse(bytes, size, &file->list) < 0)
        exit(2);
}

int main(void)
{
    static struct file files[FILES];
    cleanup_free char *path = NULL;
    size_t capacity = 0;
    size_t count = 0;
    char line[32];

    if (fgets(line, sizeof(line), stdin))
        count = strtoull(line, NULL, 10);
    if (count > FILES)
        exit(2);
    for (size_t i = 0; i < count; i++)
        take(&files[i]);
    while (getdelim(&path, &capacity, '\0', stdin) > 0)
        answer(files, count, path);
    for (size_t i = 0; i < count; i++)
        attributes_unref(files[i].list);
    return 0;
}
