/* The known layouts: files of core/layouts/ that are put into the program. */
#include "recipe_parts.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Paths are from the top folder, where make runs; GNU as, Using as, .incbin. */
#define EMBED(name)                                                       \
    __asm__(".pushsection .rodata\n"                                      \
            "layout_" #name ": .incbin \"core/layouts/" #name ".json\"\n" \
            ".byte 0\n"                                                   \
            ".popsection\n");                                             \
    extern const char layout_##name[] __attribute__((visibility("hidden")))

EMBED(a);
EMBED(b);
EMBED(c);
EMBED(d);

const char *const recipe_known_names[RECIPE_KNOWN] = {
    [RECIPE_A] = "a", [RECIPE_B] = "b", [RECIPE_C] = "c", [RECIPE_D] = "d"};

static struct recipe *known[RECIPE_KNOWN];

static void parse_all(void)
{
    static const char *const texts[RECIPE_KNOWN] = {
        [RECIPE_A] = layout_a, [RECIPE_B] = layout_b, [RECIPE_C] = layout_c, [RECIPE_D] = layout_d};

    for (size_t i = 0; i < RECIPE_KNOWN; i++) {
        if (recipe_parse(texts[i], strlen(texts[i]), recipe_known_names[i], &known[i], NULL) == 0)
            known[i]->layout = recipe_known_names[i];
    }
}

struct recipe *recipe_known(enum recipe_known which)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, parse_all);
    return known[which] ? recipe_ref(known[which]) : NULL;
}

bool recipe_layout_exists(const char *name)
{
    for (size_t i = 0; i < RECIPE_KNOWN; i++) {
        if (strcmp(name, recipe_known_names[i]) == 0)
            return true;
    }
    return false;
}

const char *recipe_layout_names(void)
{
    return "a, b, c or d";
}
