/*
 * recipe_parts: what a recipe is made of, for the files that make it.
 */
#ifndef ADDONFS_RECIPE_PARTS_H
#define ADDONFS_RECIPE_PARTS_H

#include <addonfs/recipe.h>

struct recipe {
    _Atomic unsigned references;
    const char *layout;
    void *json;         /* the parsed text, a cJSON: most strings below point into it */
    size_t piece_count; /* and what else is allocated for them */
    void **pieces;
    const char *const *files; /* signs of the whole recipe, as those of an addon */
    const char *const *folders;
    size_t addon_count;
    struct recipe_addon *addons;
};

/* `size` zeroed bytes that live as long as the recipe. NULL without memory. */
void *recipe_allocate(struct recipe *recipe, size_t size);

/* Is `name` a variable that every recipe has? */
bool recipe_knows_variable(const char *name);

/*
 * The next variable in `text`, "{name}", from `*at` on: moves `*at` behind it and answers where it
 * begins, or NULL. `*ret_name` and `*ret_length` are the name.
 */
const char *recipe_next_variable(const char **at, const char **ret_name, size_t *ret_length);

/* Free what `json` is. */
void recipe_json_free(void *json);

/* The known layouts, in the order in which they are looked for. */
enum recipe_known { RECIPE_B, RECIPE_A, RECIPE_C, RECIPE_D, RECIPE_KNOWN };

extern const char *const recipe_known_names[RECIPE_KNOWN];

/* The recipe of a known layout, parsed once; a reference for the caller. NULL without memory. */
struct recipe *recipe_known(enum recipe_known which);

#endif
