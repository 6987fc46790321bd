/*
 * Which commit an expression names (gitrevisions(7)).
 *
 * What stands at its beginning is looked up by us, and so are ancestors ("main~2^2"). What is left
 * for libgit2 begins with an object's id and is about objects alone ("^{/text}"), or needs a log or
 * settings ("main@{1}", "@{upstream}", "@{-1}"): there it asks us for refs (source_refdb.c). What
 * begins with a colon is refused: `:/text` looks through the history of all refs, at every look,
 * and a path in the index is no commit.
 */
#include "source_repository.h"

#include "source_commit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char hexadecimal[] = "0123456789abcdefABCDEF";

struct question {
    struct repository *repository;
    struct reader *reader;
    const char *text; /* the whole expression */
    struct error *error;
};

static int no_revision(const struct question *question, int code, const char *why)
{
    return error_set(question->error, code, "%s: no revision %s%s%s", question->repository->path,
                     question->text, *why ? ": " : "", why);
}

static int find_commit(const struct question *question, const git_oid *id,
                       struct commit **ret_commit)
{
    int r = commit_peel(question->reader, id, question->text, ret_commit, question->error);

    return r == -ENOENT ? error_set(question->error, -EINVAL, "%s: revision %s is not a commit",
                                    question->repository->path, question->text)
                        : r;
}

/* --- Its beginning ------------------------------------------------------------------------------
 */

/* The id at the end of what `git describe` writes, -g and hexadecimal digits; or NULL. */
static const char *described_id(const char *name)
{
    const char *g = strrchr(name, 'g'); /* no hexadecimal digit */

    return g && g > name + 1 && g[-1] == '-' && g[1] && g[1 + strspn(g + 1, hexadecimal)] == '\0'
               ? g + 1
               : NULL;
}

static int find_abbreviated(const struct question *question, const char *digits, git_oid *ret_id)
{
    cleanup_free struct commit *commit = NULL;
    size_t length = strlen(digits);
    git_oid prefix;

    if (strspn(digits, hexadecimal) != length || length < GIT_OID_MINPREFIXLEN ||
        length > GIT_OID_HEXSZ || git_oid_fromstrn(&prefix, digits, length) < 0)
        return no_revision(question, -ENOENT, "");
    int r =
        commit_find(question->reader, &prefix, length, question->text, &commit, question->error);
    if (r == 0)
        *ret_id = commit->id;
    return r == -ENOENT ? error_set(question->error, r, "%s: no revision %s, or more than one",
                                    question->repository->path, question->text)
                        : r;
}

/* A whole id, a ref, "@", what `git describe` writes or an abbreviated id. */
static int find_base(const struct question *question, const char *base, git_oid *ret_id)
{
    const char *described = described_id(base);

    if (strlen(base) == GIT_OID_HEXSZ && git_oid_fromstr(ret_id, base) == 0)
        return 0;
    int r = repository_reference_guess(question->repository, strcmp(base, "@") == 0 ? "HEAD" : base,
                                       ret_id, question->error);
    return r == -ENOENT ? find_abbreviated(question, described ? described : base, ret_id) : r;
}

/* --- What follows -------------------------------------------------------------------------------
 */

/* The number at `*at`, which is then behind it; 1 where there is none, ULONG_MAX: too large. */
static unsigned long take_number(const char **at)
{
    char *end;

    if (**at < '0' || **at > '9')
        return 1;
    unsigned long number = strtoul(*at, &end, 10);
    *at = end;
    return number;
}

/* Become the parent of that number, the first of which is 1. */
static int go_to_parent(const struct question *question, unsigned long number, git_oid *id)
{
    cleanup_free struct commit *commit = NULL;
    int r = find_commit(question, id, &commit);

    if (r < 0)
        return r;
    if (number > commit->parent_count)
        return no_revision(question, -ENOENT, "there is no such parent");
    *id = number > 0 ? commit->parents[number - 1] : commit->id;
    return 0;
}

/* Is it "^{}" or the like, which leads to the commit that is asked for anyway? Then go on. */
static bool take_peeling(const char **at)
{
    static const char *const peelings[] = {"^{}", "^{commit}", "^{object}"};

    for (size_t i = 0; i < sizeof(peelings) / sizeof(peelings[0]); i++) {
        size_t length = strlen(peelings[i]);
        if (strncmp(*at, peelings[i], length) == 0) {
            *at += length;
            return true;
        }
    }
    return false;
}

/* 1: what stands at `*at` was followed; 0: it is not one of ours. */
static int take_step(const struct question *question, const char **at, git_oid *id)
{
    bool is_line = **at == '~';
    int r = 0;

    if (take_peeling(at))
        return 1;
    if ((!is_line && **at != '^') || strchr("{@!-", (*at)[1] ? (*at)[1] : 'x'))
        return 0;
    (*at)++;
    unsigned long number = take_number(at);
    if (!is_line || number == 0)
        r = go_to_parent(question, is_line ? 0 : number, id);
    for (; is_line && r == 0 && number > 0; number--)
        r = go_to_parent(question, 1, id);
    return r < 0 ? r : 1;
}

static int ask_libgit2(const struct question *question, const char *expression,
                       struct commit **ret_commit)
{
    const struct repository *repository = question->repository;
    cleanup_object git_object *object = NULL;

    int r = git_revparse_single(&object, repository->handle, expression);
    if (repository->refs_fault.code == -ENOENT)
        return no_revision(question, -ENOENT, repository->refs_fault.text);
    /* What is wrong with a ref, an object, or the moment, is not wrong with the name. */
    if (repository->refs_fault.code != 0) {
        if (question->error)
            *question->error = repository->refs_fault;
        return repository->refs_fault.code;
    }
    if (r == 0)
        return find_commit(question, git_object_id(object), ret_commit);
    if (question->reader->fault.code != 0)
        return reader_failure(question->reader, r, question->text, question->error);
    if (r == GIT_ERROR || error_is_transient(source_git_failure(r)))
        return error_set(question->error, source_git_failure(r), "%s: %s", question->text,
                         source_git_message());
    return no_revision(question, r == GIT_ENOTFOUND ? -ENOENT : -EINVAL, source_git_message());
}

static int follow(const struct question *question, const char *at, git_oid *id,
                  struct commit **ret_commit)
{
    cleanup_free char *rest = NULL;
    int r = 1;

    while (r > 0 && *at)
        r = take_step(question, &at, id);
    if (r < 0)
        return r;
    if (!*at)
        return find_commit(question, id, ret_commit);
    if (*at != ':' && strncmp(at, "^{", 2) != 0)
        return no_revision(question, -EINVAL, "what follows the name is not understood");
    if (asprintf(&rest, "%s%s", git_oid_tostr_s(id), at) < 0) {
        rest = NULL;
        return error_errno(question->error, -ENOMEM, "%s", question->text);
    }
    return ask_libgit2(question, rest, ret_commit);
}

/* --- All of it ----------------------------------------------------------------------------------
 */

static int resolve(const struct question *question, struct commit **ret_commit)
{
    const char *text = question->text;
    const char *at = strstr(text, "@{");
    size_t length = strcspn(text, "^~:");
    struct reader *reader = question->reader;
    git_oid id;

    if (*text == ':')
        return no_revision(question, -EINVAL,
                           text[1] == '/' ? "of which ref's history? As in: HEAD^{/text}"
                                          : "a path in the index is no commit");
    if (at && at < text + length) {
        /* Which has a log of its own; libgit2 takes that of the branch. */
        question->repository->log_of = strncmp(text, "HEAD@{", 6) == 0 ? "HEAD" : NULL;
        return ask_libgit2(question, text, ret_commit);
    }
    cleanup_free char *base = strndup(text, length);
    if (!base)
        return error_errno(question->error, -ENOMEM, "%s", text);
    int r = find_base(question, base, &id);
    if (r == 0)
        r = follow(question, text + length, &id, ret_commit);
    /* No such object as a whole id says: that is all there is to know of it, unless it is a ref. */
    if (r == 0 || strlen(base) != GIT_OID_HEXSZ || reader->fault.code != -ENOENT ||
        git_oid_fromstr(&id, base) < 0 || !git_oid_equal(&reader->fault.object, &id))
        return r;
    reader_begin(reader);
    r = repository_reference_guess(question->repository, base, &id, question->error);
    if (r < 0)
        return r == -ENOENT ? no_revision(question, r, "") : r;
    return follow(question, text + length, &id, ret_commit);
}

int repository_resolve(struct repository *repository, const char *revision, git_oid *ret_commit,
                       struct error *error)
{
    const struct question question = {repository, repository->reader, revision, error};
    cleanup_lock(&repository->lock);
    cleanup_free struct commit *commit = NULL;

    int r = repository_refs_begin(repository, error);
    if (r < 0)
        return r;
    reader_begin(repository->reader);
    r = resolve(&question, &commit);
    if (r == 0)
        *ret_commit = commit->id;
    return r;
}
