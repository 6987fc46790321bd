/* From a commit to the one before it. */
#include "source_backend.h"
#include "source_git.h"
#include "source_shallow.h"

#include <addonfs/refs.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int find_parent(struct reader *reader, const struct shallow *shallow, const char *id,
                       char ret_parent[static COMMIT_ID_SIZE], struct error *error)
{
    cleanup_commit git_commit *commit = NULL;
    git_oid oid;

    if (git_oid_fromstr(&oid, id) < 0)
        return error_set(error, -EINVAL, "%s: not the id of a commit", id);
    reader_begin(reader);
    int r = git_commit_lookup(&commit, reader->git, &oid);
    if (r < 0)
        return reader_failure(reader, r, id, error);
    if (git_commit_parentcount(commit) == 0 || shallow_cuts(shallow, &oid))
        return 0;
    git_oid_tostr(ret_parent, COMMIT_ID_SIZE, git_commit_parent_id(commit, 0));
    return 1;
}

int refs_parent(struct source *source, const char *id, char ret_parent[static COMMIT_ID_SIZE],
                struct error *error)
{
    struct repository *repository = source->repository;
    cleanup_shallow struct shallow shallow = {0};
    struct reader *reader = NULL;

    int r = shallow_read(repository->common_dir, &shallow, error);
    if (r < 0)
        return r;
    r = repository_borrow(repository, &reader, error);
    if (r == 0)
        r = find_parent(reader, &shallow, id, ret_parent, error);
    repository_give_back(repository, reader);
    return r;
}
