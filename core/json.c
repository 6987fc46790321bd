#include "json.h"

#include <addonfs/error.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/*
 * The most that cJSON takes for a byte of text: "[" is an item; and what malloc(3) adds to the item
 * and to its string.
 */
enum { MEMORY_FOR_A_BYTE = sizeof(cJSON) + 32 };

/* Is there memory for whatever the text may say? */
static bool has_memory(size_t size)
{
    cleanup_free volatile char *all = calloc(size + 1, MEMORY_FOR_A_BYTE);

    /* What is never looked at a compiler may leave out. */
    return all && *all == 0;
}

int json_parse(const char *text, size_t size, const char **ret_end, cJSON **ret_object)
{
    *ret_object = cJSON_ParseWithLengthOpts(text, size, ret_end, false);
    if (*ret_object)
        return 0;
    /* cJSON says the same when it has no memory, so it is asked again when there is some. */
    if (!has_memory(size))
        return -ENOMEM;
    *ret_object = cJSON_ParseWithLengthOpts(text, size, ret_end, false);
    return *ret_object ? 0 : -EINVAL;
}

/* A string that may hold any bytes, as JSON needs it. NULL is null. */
static cJSON *text(const char *bytes)
{
    if (!bytes)
        return cJSON_CreateNull();
    size_t room = error_printable(bytes, strlen(bytes), NULL, 0) + 1;
    cleanup_free char *printable = malloc(room);
    if (!printable)
        return NULL;
    error_printable(bytes, strlen(bytes), printable, room);
    return cJSON_CreateString(printable);
}

bool json_add_text(cJSON *object, const char *name, const char *bytes)
{
    return cJSON_AddItemToObject(object, name, text(bytes));
}

bool json_add_integer(cJSON *object, const char *name, uint64_t number)
{
    char text[24];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
    return cJSON_AddRawToObject(object, name, text) != NULL;
}

bool json_add_problems(cJSON *object, const struct problems *problems)
{
    cJSON *array = cJSON_AddArrayToObject(object, "problems");

    for (size_t i = 0; array && i < problems->count; i++) {
        const struct problem *problem = &problems->items[i];
        cJSON *item = cJSON_CreateObject();
        if (!cJSON_AddItemToArray(array, item) || !json_add_text(item, "path", problem->path) ||
            !json_add_text(item, "reason", problem->reason) ||
            !json_add_text(item, "severity", problem->warning ? "warning" : "error"))
            return false;
        cJSON *affects = cJSON_AddArrayToObject(item, "affects");
        for (size_t j = 0; affects && j < problem->affects_count; j++) {
            if (!cJSON_AddItemToArray(affects, text(problem->affects[j])))
                return false;
        }
        if (!affects)
            return false;
    }
    return array != NULL;
}

char *json_print(const cJSON *object)
{
    cleanup_free char *printed = cJSON_Print(object);
    char *text = NULL;

    return printed && asprintf(&text, "%s\n", printed) >= 0 ? text : NULL;
}
