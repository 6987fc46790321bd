/*
 * package_names: an addon's name, version and variables, out of its source.
 */
#ifndef ADDONFS_PACKAGE_NAMES_H
#define ADDONFS_PACKAGE_NAMES_H

#include <addonfs/package.h>

/* What a recipe's texts are expanded with, and where it is said. */
struct names {
    const struct origin *origin;
    const struct recipe_match *match;
    struct map bindings; /* values by variable; owns them */
    char *script_path;   /* the Python file that was read last, … */
    char *script;        /* … and its bytes */
    size_t script_size;
    char *version_path;    /* the Python file that says the version, or NULL */
    struct file *versions; /* the same, as its source has it; a reference */
    char *failed;          /* the path that the last failure is about */
};

void names_clear(struct names *names);
#define cleanup_names __attribute__((cleanup(names_clear)))

/*
 * Each binds what it is about. -EINVAL, -EIO, -ENOENT, …: it cannot be had; the error says why,
 * `failed` is the path. Transient errors (error_is_transient): not now.
 */
int names_read_addon(struct names *names, struct error *error);     /* and {folder}, {dir} */
int names_read_variables(struct names *names, struct error *error); /* after the addon */
int names_read_version(struct names *names, struct error *error);

/*
 * Let the version be `version`, wherever it stands: binds it, and answers the file that says it
 * with this value in it, or NULL if no file does. -EINVAL: the file cannot be edited.
 */
int names_set_version(struct names *names, const char *version, struct file **ret_edited,
                      struct error *error);

/* The value of a variable, or NULL. */
const char *names_value(const struct names *names, const char *variable);

/* recipe_expand, with an error. */
int names_expand(struct names *names, const char *text, char **ret_text, struct error *error);

#endif
