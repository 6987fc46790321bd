/*
 * json: what readers and writers of JSON have in common.
 */
#ifndef ADDONFS_JSON_H
#define ADDONFS_JSON_H

#include <addonfs/cleanup.h>
#include <addonfs/problem.h>
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

CLEANUP(json, cJSON *, cJSON_Delete)
#define cleanup_json __attribute__((cleanup(cleanup_json_scope)))

/*
 * Read a text; the caller deletes `*ret_object`. -EINVAL: it is not JSON, and `*ret_end` is where
 * that is seen; -ENOMEM. What may follow behind the object, from `*ret_end` on, is not looked at.
 */
int json_parse(const char *text, size_t size, const char **ret_end, cJSON **ret_object);

/*
 * Each adds something to an object; false: no memory. cJSON refuses NULL items, so one check at
 * the end of a chain is enough.
 */

/* A string that may hold any bytes (see error_printable), NULL is null. */
bool json_add_text(cJSON *object, const char *name, const char *bytes);

/* With all its digits, which cJSON's own numbers do not always have (16 of them). */
bool json_add_integer(cJSON *object, const char *name, uint64_t number);

/* An array of {path, reason, severity, affects}, named "problems". */
bool json_add_problems(cJSON *object, const struct problems *problems);

/* The text, with a final newline. The caller frees it. NULL without memory. */
char *json_print(const cJSON *object);

#endif
