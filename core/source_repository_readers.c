/* Readers of a repository's objects, lent to the threads that read revisions. */
#include "source_repository.h"

#include <addonfs/cleanup.h>
#include <time.h>

/* What the reader has seen of packs is the latest that anyone has. */
static void note_opened(struct repository *repository, const struct reader *reader)
{
    cleanup_lock(&repository->idle_lock);

    repository->opened = reader->opened.value;
}

static struct reader *take_idle(struct repository *repository)
{
    cleanup_lock(&repository->idle_lock);
    struct reader *reader = repository->idle;

    if (reader) {
        repository->idle = reader->next;
        repository->idle_count--;
    }
    return reader;
}

static time_t second_now(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec;
}

int repository_borrow(struct repository *repository, struct reader **ret_reader,
                      struct error *error)
{
    cleanup_reader struct reader *reader = take_idle(repository);
    time_t now = second_now();

    if (reader && reader->renewed == now) {
        *ret_reader = steal_pointer(&reader);
        return 0;
    }
    if (reader) {
        /* For each of thousands of blobs it would take longer than reading a small one. */
        reader->renewed = now;
        reader_renew(reader);
    } else {
        int r = reader_new(repository->objects, &reader, error);
        if (r < 0)
            return r;
    }
    note_opened(repository, reader);
    *ret_reader = steal_pointer(&reader);
    return 0;
}

/*
 * Take out those that have not seen what the latest one has: since packs have gone (git gc) they
 * hold these, and their room on the disk. The lock is held.
 */
static struct reader *take_outdated(struct repository *repository)
{
    struct reader *outdated = NULL;

    for (struct reader **at = &repository->idle; *at;) {
        struct reader *reader = *at;
        if (reader->opened.value == repository->opened) {
            at = &reader->next;
            continue;
        }
        *at = reader->next;
        repository->idle_count--;
        reader->next = outdated;
        outdated = reader;
    }
    return outdated;
}

void repository_give_back(struct repository *repository, struct reader *reader)
{
    struct reader *outdated;

    if (!reader)
        return;
    {
        cleanup_lock(&repository->idle_lock);
        if (repository->idle_count < repository->idle_limit) {
            reader->next = repository->idle;
            repository->idle = reader;
            repository->idle_count++;
            reader = NULL;
        }
        outdated = take_outdated(repository);
    }
    reader_free(reader);
    while (outdated) {
        reader = outdated;
        outdated = reader->next;
        reader_free(reader);
    }
}
