#include "source_commit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    CANDIDATES = 32, /* that are looked at for an abbreviation; four digits are rarely of more */
};

/* The text that is being read; none of it is behind `end`. */
struct text {
    const char *at;
    const char *end;
};

/* Does it go on with a line of `key` and an id? Then that is taken. */
static bool take_id(struct text *text, const char *key, git_oid *ret_id)
{
    size_t length = strlen(key);
    size_t size = length + GIT_OID_HEXSZ + 1;

    if ((size_t)(text->end - text->at) < size || memcmp(text->at, key, length) != 0 ||
        text->at[size - 1] != '\n' ||
        git_oid_fromstrn(ret_id, text->at + length, GIT_OID_HEXSZ) < 0)
        return false;
    text->at += size;
    return true;
}

/* Does it go on with a line that begins with `key`? Then that is taken. */
static bool take_line(struct text *text, const char *key, struct text *ret_line)
{
    size_t length = strlen(key);
    const char *end = memchr(text->at, '\n', (size_t)(text->end - text->at));

    if (!end || (size_t)(end - text->at) < length || memcmp(text->at, key, length) != 0)
        return false;
    *ret_line = (struct text){text->at + length, end};
    text->at = end + 1;
    return true;
}

/* What follows the last ">" (Git, ident.c, split_ident_line). */
static int64_t time_of(struct text line)
{
    const char *at = memrchr(line.at, '>', (size_t)(line.end - line.at));
    int64_t time = 0;

    if (!at)
        return 0;
    for (at++; at < line.end && (*at == ' ' || *at == '\t'); at++)
        continue;
    for (; at < line.end && *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(time, 10, &time) ||
            __builtin_add_overflow(time, *at - '0', &time))
            return 0;
    }
    return time;
}

/* 0; -EINVAL: it is no commit; -ENOMEM. */
static int parse(const char *bytes, size_t size, struct commit **ret_commit)
{
    struct text text = {bytes, bytes + size};
    struct text line;
    git_oid id;
    git_oid tree;

    if (!take_id(&text, "tree ", &tree))
        return -EINVAL;
    struct text parents = text;
    size_t count = 0;
    while (take_id(&text, "parent ", &id))
        count++;
    struct commit *commit = calloc(1, sizeof(*commit) + count * sizeof(commit->parents[0]));
    if (!commit)
        return -ENOMEM;
    commit->tree = tree;
    for (; commit->parent_count < count; commit->parent_count++)
        (void)take_id(&parents, "parent ", &commit->parents[commit->parent_count]);
    if (take_line(&text, "author", &line) && take_line(&text, "committer", &line))
        commit->time = time_of(line);
    *ret_commit = commit;
    return 0;
}

static int read_raw(struct reader *reader, const git_oid *id, const char *what,
                    git_odb_object **ret_raw, struct error *error)
{
    git_odb *objects = NULL;
    int r = git_repository_odb(&objects, reader->git);

    if (r == 0)
        r = git_odb_read(ret_raw, objects, id);
    git_odb_free(objects);
    /* libgit2 does not ask for that one. */
    if (git_oid_is_zero(id) && reader->fault.code == 0)
        reader->fault = (struct fault){.code = -ENOENT, .object = *id, .length = GIT_OID_HEXSZ};
    return r < 0 ? reader_failure(reader, r, what, error) : 0;
}

static int take_commit(const git_odb_object *raw, const git_oid *id, const char *what,
                       struct commit **ret_commit, struct error *error)
{
    struct commit *commit = NULL;
    int r = parse(git_odb_object_data((git_odb_object *)(uintptr_t)raw),
                  git_odb_object_size((git_odb_object *)(uintptr_t)raw), &commit);

    if (r == -ENOMEM)
        return error_errno(error, r, "%s", what);
    if (r < 0)
        return error_set(error, -EIO, "%s: object %s is no commit that can be read", what,
                         git_oid_tostr_s(id));
    commit->id = *id;
    *ret_commit = commit;
    return 0;
}

int commit_read(struct reader *reader, const git_oid *id, const char *what,
                struct commit **ret_commit, struct error *error)
{
    cleanup_odb_object git_odb_object *raw = NULL;
    int r = read_raw(reader, id, what, &raw, error);

    if (r < 0)
        return r;
    if (git_odb_object_type(raw) != GIT_OBJECT_COMMIT)
        return error_set(error, -EIO, "%s: object %s is no commit", what, git_oid_tostr_s(id));
    return take_commit(raw, id, what, ret_commit, error);
}

int commit_peel(struct reader *reader, const git_oid *id, const char *what,
                struct commit **ret_commit, struct error *error)
{
    git_oid at = *id;

    for (;;) {
        cleanup_odb_object git_odb_object *raw = NULL;
        int r = read_raw(reader, &at, what, &raw, error);
        if (r < 0)
            return r;
        if (git_odb_object_type(raw) == GIT_OBJECT_COMMIT)
            return take_commit(raw, &at, what, ret_commit, error);
        if (git_odb_object_type(raw) != GIT_OBJECT_TAG)
            return error_set(error, -ENOENT, "%s: leads to no commit", what);
        const char *bytes = git_odb_object_data(raw);
        struct text text = {bytes, bytes + git_odb_object_size(raw)};
        if (!take_id(&text, "object ", &at))
            return error_set(error, -EIO, "%s: object %s is no tag that can be read", what,
                             git_oid_tostr_s(git_odb_object_id(raw)));
    }
}

int commit_find(struct reader *reader, const git_oid *prefix, size_t length, const char *what,
                struct commit **ret_commit, struct error *error)
{
    cleanup_free struct commit *only = NULL;
    git_oid candidates[CANDIDATES];
    struct error why;
    size_t count = 0;

    int r = reader_find(reader, prefix, length, candidates, CANDIDATES, &count, &why);
    if (r == -ENOENT)
        return error_errno(error, r, "%s", what);
    if (r < 0)
        return error_set(error, r, "%s: %s", what,
                         r == -EIO ? "a pack or its index is damaged" : why.text);
    for (size_t i = 0; i < count && i < CANDIDATES; i++) {
        cleanup_free struct commit *commit = NULL;
        r = commit_peel(reader, &candidates[i], what, &commit, error);
        if (r < 0 && r != -ENOENT)
            return r;
        bool other = commit && only && !git_oid_equal(&commit->id, &only->id);
        if (other || count > CANDIDATES)
            return error_set(error, -ENOENT, "%s: is ambiguous: give more of the id", what);
        if (commit && !only)
            only = steal_pointer(&commit);
    }
    if (!only)
        return error_set(error, -ENOENT, "%s: leads to no commit", what);
    *ret_commit = steal_pointer(&only);
    return 0;
}

int commit_tree(struct reader *reader, const struct commit *commit, git_tree **ret_tree)
{
    return git_tree_lookup(ret_tree, reader->git, &commit->tree);
}
