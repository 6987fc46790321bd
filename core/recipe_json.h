/*
 * recipe_json: what a recipe's JSON is read with. Every function that can fail says where in the
 * text ("$.addons[0].rules[2].kind"), and what is allowed there.
 */
#ifndef ADDONFS_RECIPE_JSON_H
#define ADDONFS_RECIPE_JSON_H

#include "recipe_parts.h"

#include <cjson/cJSON.h>

/* Where in the text one is. */
struct where {
    char text[256];
};

struct reader {
    const char *path; /* the file's, for messages */
    struct recipe *recipe;
    const struct recipe_variable *variables; /* of the addon that is read */
    size_t variable_count;
    struct {
        bool folder; /* … and which of those that every recipe has are known where one is */
        bool name;
        bool version;
    } known;
    struct error *error;
};

struct where json_below(const struct where *where, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Both return what they set. */
int json_wrong(struct reader *reader, const struct where *where, const char *allowed);
int json_no_memory(struct reader *reader);

/* See that `object` is one and has no members but these (NULL-terminated), each once. */
int json_check_keys(struct reader *reader, const struct where *where, const cJSON *object,
                    const char *const *keys);

/* The member `key` as a string, or NULL where it may be missing. */
int json_get_string(struct reader *reader, const struct where *where, const cJSON *object,
                    const char *key, bool required, const char **ret_string);

/* … as a truth value; `missing` where it is missing. */
int json_get_bool(struct reader *reader, const struct where *where, const cJSON *object,
                  const char *key, bool missing, bool *ret_bool);

/* … as a NULL-terminated list of strings, NULL where it is missing. */
int json_get_list(struct reader *reader, const struct where *where, const cJSON *object,
                  const char *key, const char *const **ret_list);

/* … as a path from some root with variables in it, or NULL. */
int json_get_path(struct reader *reader, const struct where *where, const cJSON *object,
                  const char *key, bool required, const char **ret_path);

/* See that every variable in `text` is one that is known there. */
int json_check_variables(struct reader *reader, const struct where *where, const char *text);

/* Check such a path, or all of a list (or NULL) that stands at `key`. */
int json_check_path(struct reader *reader, const struct where *where, const char *path,
                    bool may_be_empty);
int json_check_paths(struct reader *reader, const struct where *where, const char *key,
                     const char *const *paths);

/* Is there a variable of that name, whether it is known already or not? */
bool json_is_variable(const struct reader *reader, const char *name, size_t length);

#endif
