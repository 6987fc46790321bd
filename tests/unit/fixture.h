/*
 * fixture: a small Git repository of layout a, and a source opened on it, for each unit test.
 *
 *     cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
 *
 * gives the test a `struct fixture` as its state. The repository has one commit and a clean
 * worktree. A helper that fails ends the test.
 */
#ifndef ADDONFS_TESTS_FIXTURE_H
#define ADDONFS_TESTS_FIXTURE_H

#include <addonfs/bundle.h>
#include <addonfs/view.h>

struct fixture {
    char root[40];        /* of the repository, absolute */
    struct origin origin; /* its source is the worktree */
};

int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Write a file of the worktree, and the folders that it needs. */
void fixture_write(const struct fixture *fixture, const char *path, const char *text);
void fixture_link(const struct fixture *fixture, const char *path, const char *target);
void fixture_remove(const struct fixture *fixture, const char *path);

/* Any file or folder, with all that is in it. As nftw(3). */
int fixture_remove_all(const char *path);

/* Commit the worktree as it is; `ret_commit` (or NULL) has room for 41 bytes. */
void fixture_commit(const struct fixture *fixture, char *ret_commit);

/* Put every object that lies loose into a pack, as `git gc` does. */
void fixture_pack(const struct fixture *fixture);

/* The file in which the object of `path` ("openpype/version.py", as HEAD has it) lies loose. */
void fixture_object(const struct fixture *fixture, const char *path, char ret_file[static 128]);

/* From now on the process can have no more than `left` files open that it has not yet … */
void fixture_take_descriptors(int left);

/* … until then. The fixture's teardown does so as well. */
void fixture_give_descriptors(void);

/* Begin a look of fixture->origin.source. Returns whether anything has changed. */
bool fixture_refresh(const struct fixture *fixture);

/* The file at `path`, as the source shows it now; borrowed. */
struct file *fixture_file(const struct fixture *fixture, const char *path);

/* A view of the worktree (of `revision`, unless it is NULL). The caller closes it. */
struct view *fixture_view(const struct fixture *fixture, const char *revision);

/* The entry at `path` of a generation; borrowed. */
struct entry *fixture_entry(const struct generation *generation, const char *path);

/* Does `file` hold just this text? */
void fixture_expect(const struct fixture *fixture, struct file *file, const char *text);

/* A content of these bytes, in memory or (limit smaller than size) in the spool. */
struct content *fixture_content(struct spool *spool, const void *bytes, size_t size, size_t limit);

#endif
