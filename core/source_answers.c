#include "source_answers.h"

#include <addonfs/cleanup.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static void answers_clear(struct answers *answers)
{
    for (size_t i = 0; i < answers->count; i++)
        free(answers->paths[i]);
    free(answers->paths);
    free(answers->times);
    *answers = (struct answers){.used = 0};
}

bool answers_find(const struct answers *answers, const char *path, int64_t *ret_time)
{
    size_t low = 0;
    size_t high = answers->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(answers->paths[middle], path);
        if (order == 0) {
            *ret_time = answers->times[middle];
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static int answers_add(struct answers *answers, const char *path, int64_t time)
{
    answers->paths[answers->count] = strdup(path);
    answers->times[answers->count] = time;
    return answers->paths[answers->count++] ? 0 : -ENOMEM;
}

static int answers_reserve(struct answers *answers, size_t count)
{
    answers->paths = calloc(count + 1, sizeof(*answers->paths));
    answers->times = calloc(count + 1, sizeof(*answers->times));
    return answers->paths && answers->times ? 0 : -ENOMEM;
}

/* What a commit's answers are known by. */
static int make_key(const struct answered *answered, const git_oid *commit,
                    struct content_id *ret_key)
{
    cleanup_sha256 struct sha256 *sha256 = sha256_new();

    if (!sha256)
        return -ENOMEM;
    sha256_update(sha256, "history", sizeof("history"));
    sha256_update(sha256, commit->id, sizeof(commit->id));
    sha256_update(sha256, answered->shallow.bytes, sizeof(answered->shallow.bytes));
    sha256_final(sha256, ret_key);
    return 0;
}

/* A note is a time in eight bytes, little-endian, and a path with its NUL, again and again. */
static int parse_note(const char *bytes, size_t size, struct answers *answers)
{
    size_t count = 0;

    for (size_t at = 0; at + sizeof(int64_t) < size; count++) {
        at += sizeof(int64_t);
        at += strnlen(bytes + at, size - at) + 1;
        if (at > size)
            return -EINVAL;
    }
    if (answers_reserve(answers, count) < 0)
        return -ENOMEM;
    for (size_t at = 0; answers->count < count;) {
        uint64_t time;
        memcpy(&time, bytes + at, sizeof(time));
        at += sizeof(time);
        if (answers_add(answers, bytes + at, (int64_t)le64toh(time)) < 0)
            return -ENOMEM;
        at += strlen(bytes + at) + 1;
    }
    return 0;
}

/* A place for another commit's answers: the one that was not used for longest. */
static struct answers *make_place(struct answered *answered)
{
    struct answers *oldest = &answered->kept[0];

    for (size_t i = 1; i < ANSWERS_KEPT; i++) {
        if (answered->kept[i].used < oldest->used)
            oldest = &answered->kept[i];
    }
    answers_clear(oldest);
    return oldest;
}

static struct answers *recall(struct answered *answered, struct cache_reader *reader,
                              const git_oid *commit)
{
    cleanup_free char *bytes = NULL;
    struct content_id key;
    size_t size = 0;

    for (size_t i = 0; i < ANSWERS_KEPT; i++) {
        struct answers *answers = &answered->kept[i];
        if (answers->used && git_oid_equal(&answers->commit, commit)) {
            answers->used = ++answered->uses;
            return answers;
        }
    }
    if (!reader || make_key(answered, commit, &key) < 0 ||
        !cache_find_note(reader, &key, (void **)&bytes, &size))
        return NULL;
    struct answers *answers = make_place(answered);
    if (parse_note(bytes, size, answers) < 0) {
        answers_clear(answers);
        return NULL;
    }
    answers->commit = *commit;
    answers->used = ++answered->uses;
    return answers;
}

static void write_note(const struct answered *answered, struct cache *cache,
                       const struct answers *answers)
{
    struct content_id key;
    cleanup_free char *bytes = NULL;
    size_t size = 0;
    FILE *stream = cache ? open_memstream(&bytes, &size) : NULL;

    if (!stream)
        return;
    for (size_t i = 0; i < answers->count; i++) {
        uint64_t time = htole64((uint64_t)answers->times[i]);
        fwrite(&time, sizeof(time), 1, stream);
        fwrite(answers->paths[i], strlen(answers->paths[i]) + 1, 1, stream);
    }
    if (fclose(stream) == 0 && make_key(answered, &answers->commit, &key) == 0)
        cache_put_note(cache, &key, bytes, size);
}

const struct answers *answered_recall(struct answered *answered, struct cache_reader *reader,
                                      const git_oid *commit)
{
    return recall(answered, reader, commit);
}

int answered_remember(struct answered *answered, struct cache *cache, struct cache_reader *reader,
                      const git_oid *commit, const char *const *paths, const int64_t *times,
                      size_t count)
{
    struct answers *known = recall(answered, reader, commit);
    struct answers all = {.commit = *commit, .used = ++answered->uses};
    size_t old = 0;
    size_t i = 0;
    int r = answers_reserve(&all, count + (known ? known->count : 0));

    while (r == 0 && (i < count || (known && old < known->count))) {
        int order = i == count                      ? 1
                    : !known || old == known->count ? -1
                                                    : strcmp(paths[i], known->paths[old]);
        r = order <= 0 ? answers_add(&all, paths[i], times[i])
                       : answers_add(&all, known->paths[old], known->times[old]);
        i += order <= 0;
        old += order >= 0;
    }
    if (r < 0) {
        answers_clear(&all);
        return r;
    }
    if (known)
        answers_clear(known);
    else
        known = make_place(answered);
    *known = all;
    write_note(answered, cache, known);
    return 0;
}

void answered_begin(struct answered *answered, const struct content_id *shallow)
{
    if (!content_id_equal(&answered->shallow, shallow))
        answered_clear(answered);
    answered->shallow = *shallow;
}

void answered_clear(struct answered *answered)
{
    for (size_t i = 0; i < ANSWERS_KEPT; i++)
        answers_clear(&answered->kept[i]);
}
