/* What a mount's status.json says, read again: for the state of many mounts. */
#include "json.h"

#include <addonfs/status.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const states[] = {
    [STATUS_ALIVE] = "alive", [STATUS_BUSY] = "busy",     [STATUS_DEAD] = "dead",
    [STATUS_HANGS] = "hangs", [STATUS_HIDDEN] = "hidden",
};

const char *status_state_text(enum status_state state)
{
    static const char *const texts[] = {
        [STATUS_ALIVE] = "alive",
        [STATUS_BUSY] = "busy, and has not told its state in time",
        [STATUS_DEAD] = "dead: its daemon has gone: addonfs umount clears it",
        [STATUS_HANGS] = "hangs: does not answer",
        [STATUS_HIDDEN] = "alive, but does not tell this user its state",
    };

    return texts[state];
}

void status_summary_clear(struct status_summary *summary)
{
    for (size_t i = 0; i < summary->addon_count; i++)
        free(summary->addons[i]);
    for (size_t i = 0; i < summary->problem_count; i++)
        free(summary->problems[i]);
    free(summary->addons);
    free(summary->problems);
    free(summary->source);
    free(summary->revision);
    free(summary->commit);
    free(summary->layout);
    *summary = (struct status_summary){.source = NULL};
}

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

    return cJSON_IsString(item) ? item->valuestring : NULL;
}

static double number_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

/* False: no memory. */
static bool copy(const cJSON *object, const char *name, char **ret_text)
{
    const char *text = text_of(object, name);

    *ret_text = text ? strdup(text) : NULL;
    return !text || *ret_text;
}

static bool add_line(char ***lines, size_t *count, char *line)
{
    char **more = line ? reallocarray(*lines, *count + 1, sizeof(*more)) : NULL;

    if (!more) {
        free(line);
        return false;
    }
    *lines = more;
    more[(*count)++] = line;
    return true;
}

/* What a status.json says of it was so later than what was asked before. */
static void take_progress(const cJSON *object, struct status_report *report)
{
    const cJSON *ready = cJSON_GetObjectItemCaseSensitive(object, "ready");
    double members = number_of(object, "members");

    if (!cJSON_IsNumber(ready) || ready->valuedouble < 0 || !(ready->valuedouble <= members) ||
        members > 1e15)
        return;
    report->has_progress = true;
    report->ready = (uint64_t)ready->valuedouble;
    report->members = (uint64_t)members;
}

static bool read_addons(const cJSON *object, struct status_summary *summary)
{
    const cJSON *addon;

    cJSON_ArrayForEach(addon, cJSON_GetObjectItemCaseSensitive(object, "addons"))
    {
        const char *name = text_of(addon, "name");
        const char *version = text_of(addon, "version");
        char *line = NULL;
        if (asprintf(&line, "%s %s", name ? name : "?", version ? version : "?") < 0)
            line = NULL;
        if (!add_line(&summary->addons, &summary->addon_count, line))
            return false;
    }
    return true;
}

static bool read_problems(const cJSON *object, struct status_summary *summary)
{
    const cJSON *problem;

    cJSON_ArrayForEach(problem, cJSON_GetObjectItemCaseSensitive(object, "problems"))
    {
        const char *severity = text_of(problem, "severity");
        const char *path = text_of(problem, "path");
        const char *reason = text_of(problem, "reason");
        char *line = NULL;
        if (asprintf(&line, "%s: %s%s%s", severity ? severity : "?", path ? path : "",
                     path && *path ? ": " : "", reason ? reason : "?") < 0)
            line = NULL;
        if (!add_line(&summary->problems, &summary->problem_count, line))
            return false;
        summary->errors += severity && strcmp(severity, "error") == 0;
    }
    return true;
}

int status_read(struct status_report *report, struct status_summary *ret_summary,
                struct error *error)
{
    cleanup_status_summary struct status_summary summary = {.source = NULL};
    cleanup_json cJSON *object = cJSON_Parse(report->text);
    const cJSON *cache = cJSON_GetObjectItemCaseSensitive(object, "cache");

    if (!cJSON_IsObject(object) || !text_of(object, "source"))
        return error_set(error, -EINVAL, "status.json: is none of this version of addonfs");
    take_progress(object, report);
    summary.generation = number_of(object, "generation");
    summary.has_cache = cJSON_IsObject(cache);
    summary.hits = number_of(cache, "hits");
    summary.misses = number_of(cache, "misses");
    if (!copy(object, "source", &summary.source) || !copy(object, "revision", &summary.revision) ||
        !copy(object, "commit", &summary.commit) || !copy(object, "layout", &summary.layout) ||
        !read_addons(object, &summary) || !read_problems(object, &summary))
        return error_errno(error, -ENOMEM, "status.json");
    *ret_summary = summary;
    summary = (struct status_summary){.source = NULL};
    return 0;
}

/* --- Many ---------------------------------------------------------------------------------------
 */

static bool has_error(const cJSON *status)
{
    const cJSON *problem;

    cJSON_ArrayForEach(problem, cJSON_GetObjectItemCaseSensitive(status, "problems"))
    {
        const char *severity = text_of(problem, "severity");
        if (severity && strcmp(severity, "error") == 0)
            return true;
    }
    return false;
}

static bool add_report(cJSON *mounts, struct status_report *report, bool *has_errors)
{
    cJSON *object = cJSON_CreateObject();
    cJSON *status = report->text ? cJSON_Parse(report->text) : NULL;

    *has_errors = *has_errors || report->state == STATUS_DEAD || report->state == STATUS_HANGS ||
                  has_error(status);
    take_progress(status, report);
    if (!status)
        status = cJSON_CreateNull();
    return cJSON_AddItemToArray(mounts, object) &&
           json_add_text(object, "mountpoint", report->mountpoint) &&
           json_add_text(object, "state", states[report->state]) &&
           (report->has_progress
                ? cJSON_AddNumberToObject(object, "ready", (double)report->ready) &&
                      cJSON_AddNumberToObject(object, "members", (double)report->members)
                : cJSON_AddNullToObject(object, "ready") &&
                      cJSON_AddNullToObject(object, "members")) &&
           cJSON_AddItemToObject(object, "status", status);
}

int status_list(struct status_report *reports, size_t count, char **ret_text, bool *ret_has_errors,
                struct error *error)
{
    cleanup_json cJSON *object = cJSON_CreateObject();
    cJSON *mounts = cJSON_AddArrayToObject(object, "mounts");
    bool added = mounts != NULL;

    *ret_has_errors = false;
    for (size_t i = 0; added && i < count; i++)
        added = add_report(mounts, &reports[i], ret_has_errors);
    *ret_text = added ? json_print(object) : NULL;
    return *ret_text ? 0 : error_errno(error, -ENOMEM, "status");
}
