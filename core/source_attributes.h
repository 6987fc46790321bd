/*
 * source_attributes: what files of .gitattributes say of a path, as Git understands them
 * (gitattributes(5)).
 *
 *     r = attributes_parse(bytes, size, &list);
 *     const struct attributes_layer layers[] = {{list, 0}};
 *     r = attributes_find(layers, 1, "folder/file.bat", values);
 *     attributes_unref(list);
 *
 * Any bytes can be parsed: a line that Git passes over (a pattern with `!`, a name that is none, a
 * line that is too long) is passed over. Of all attributes only those are answered that decide what
 * a checkout writes; the others count as macros. Where the manual is silent, Git 2.39 is followed:
 * a byte order mark belongs to the first pattern, a NUL ends the text, a macro's definition counts
 * in the root's file alone, and elsewhere its line is passed over.
 *
 * A list is immutable, so threads may share it.
 */
#ifndef ADDONFS_SOURCE_ATTRIBUTES_H
#define ADDONFS_SOURCE_ATTRIBUTES_H

#include <addonfs/cleanup.h>
#include <stddef.h>
#include <stdint.h>

enum attribute {
    ATTRIBUTE_TEXT,
    ATTRIBUTE_CRLF, /* as `text` was called once */
    ATTRIBUTE_EOL,
    ATTRIBUTE_IDENT,
    ATTRIBUTE_ENCODING, /* working-tree-encoding */
    ATTRIBUTES
};

enum attribute_state {
    ATTRIBUTE_UNKNOWN,     /* nothing is said of it */
    ATTRIBUTE_SET,         /* text */
    ATTRIBUTE_UNSET,       /* -text */
    ATTRIBUTE_UNSPECIFIED, /* !text */
    ATTRIBUTE_VALUE,       /* text=auto */
};

struct attribute_value {
    enum attribute_state state;
    const char *text; /* of a VALUE: `length` bytes, which live as long as the list they are in */
    size_t length;
};

struct attributes;

/* Git passes over a file of so many bytes, and over a line. */
#define ATTRIBUTES_GIT_LIMIT ((size_t)100 << 20)
#define ATTRIBUTES_LINE_LIMIT 2048

/*
 * Steps that an answer may take: lines, and bytes of their patterns as often as they are compared.
 * It is a tenth of a second at most, where 20,000 lines over a path of 800 bytes are as many; a
 * file of 16 MiB could ask for minutes, and for each path anew.
 */
#define ATTRIBUTES_WORK_LIMIT (UINT64_C(1) << 24)

/* Parse the `size` bytes of a .gitattributes, less than 4 GiB. 0 or -ENOMEM. */
int attributes_parse(const char *bytes, size_t size, struct attributes **ret_list);

struct attributes *attributes_ref(struct attributes *list);
void attributes_unref(struct attributes *list);

/* Bytes of memory that it takes. */
size_t attributes_memory(const struct attributes *list);

/* A list, and the bytes of a path that lead to its folder ("a/b/c" to "a/b": 3; the root: 0). */
struct attributes_layer {
    struct attributes *list;
    size_t folder;
};

/*
 * What `layers`, the nearest first, say of the file at `path`, which lies in the folders of all.
 * 0; -ENOMEM; -EFBIG: it takes more than ATTRIBUTES_WORK_LIMIT.
 */
int attributes_find(const struct attributes_layer *layers, size_t count, const char *path,
                    struct attribute_value ret_values[static ATTRIBUTES]);

CLEANUP(attributes, struct attributes *, attributes_unref)
#define cleanup_attributes __attribute__((cleanup(cleanup_attributes_scope)))

#endif
