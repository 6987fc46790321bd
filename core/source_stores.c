#include "source_stores.h"

#include "source_pack.h"
#include "stamp.h"

#include <addonfs/cleanup.h>
#include <addonfs/error.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    ALTERNATES_DEPTH = 5, /* as Git and libgit2 have it */
    ATTEMPTS = 8,         /* when files go while they are looked at */
};

/* A failure that says nothing of the repository's content is one of the moment. */
static int of_the_moment(int code)
{
    return error_is_transient(code) ? code : -EAGAIN;
}

static bool join(char path[static PATH_MAX], const char *folder, const char *name)
{
    return snprintf(path, PATH_MAX, "%s/%s", folder, name) < PATH_MAX;
}

/* --- Folders ------------------------------------------------------------------------------------
 */

static int add_folder(struct stores *stores, const char *folder, int depth);

/* A line of the list of alternates that `folder` has. */
static int add_alternate(struct stores *stores, const char *folder, const char *line, int depth)
{
    char path[PATH_MAX];

    if (*line == '\0' || *line == '#' || depth > ALTERNATES_DEPTH)
        return 0;
    if (*line == '/')
        return add_folder(stores, line, depth);
    /* Relative ones count in the repository's own list only. */
    return depth == 1 && join(path, folder, line) ? add_folder(stores, path, depth) : 0;
}

static int add_alternates(struct stores *stores, const char *folder, int depth)
{
    cleanup_free char *line = NULL;
    char path[PATH_MAX];
    size_t room = 0;
    int r = 0;

    if (!join(path, folder, "info/alternates"))
        return 0;
    FILE *stream = fopen(path, "re");
    if (!stream)
        return errno == ENOENT || errno == ENOTDIR ? 0 : of_the_moment(-errno);
    errno = 0;
    while (r == 0 && getline(&line, &room, stream) >= 0) {
        line[strcspn(line, "\r\n")] = '\0';
        r = add_alternate(stores, folder, line, depth + 1);
    }
    if (r == 0 && ferror(stream))
        r = of_the_moment(-errno);
    fclose(stream);
    return r;
}

static int add_folder(struct stores *stores, const char *folder, int depth)
{
    cleanup_free char *real = realpath(folder, NULL);

    /* One that is gone holds nothing; Git goes on as well. */
    if (!real)
        return errno == ENOENT || errno == ENOTDIR ? 0 : of_the_moment(-errno);
    for (size_t i = 0; i < stores->count; i++) {
        if (strcmp(stores->folders[i], real) == 0)
            return 0;
    }
    char **folders = reallocarray(stores->folders, stores->count + 1, sizeof(char *));
    if (!folders)
        return -ENOMEM;
    stores->folders = folders;
    folders[stores->count++] = steal_pointer(&real);
    return add_alternates(stores, folders[stores->count - 1], depth);
}

int stores_open(const char *objects, struct stores *ret_stores)
{
    struct stores stores = {0};
    int r = add_folder(&stores, objects, 0);

    if (r < 0)
        stores_clear(&stores);
    else
        *ret_stores = stores;
    return r;
}

void stores_clear(struct stores *stores)
{
    for (size_t i = 0; i < stores->count; i++)
        free(stores->folders[i]);
    free(stores->folders);
    *stores = (struct stores){0};
}

/* --- Objects ------------------------------------------------------------------------------------
 */

struct search {
    const git_oid *prefix;
    size_t length; /* in hexadecimal digits */
    git_oid found;
    size_t count; /* 2: that and others */
    bool damaged; /* something cannot be understood */
    bool moved;   /* a file was there and then was not */
};

static void take(struct search *search, const git_oid *object)
{
    if (search->count > 0 && git_oid_equal(&search->found, object))
        return;
    search->found = *object;
    search->count = search->count > 0 ? 2 : 1;
}

static bool begins_so(const struct search *search, const git_oid *object)
{
    return git_oid_ncmp(search->prefix, object, search->length) == 0;
}

bool stores_loose_path(const char *folder, const git_oid *object, char ret_path[static PATH_MAX])
{
    char name[GIT_OID_HEXSZ + 2];

    git_oid_pathfmt(name, object);
    name[sizeof(name) - 1] = '\0';
    return join(ret_path, folder, name);
}

static int find_loose(struct search *search, const char *folder)
{
    char path[PATH_MAX];
    struct stat status;

    if (!stores_loose_path(folder, search->prefix, path))
        return -EAGAIN;
    if (search->length == GIT_OID_HEXSZ) {
        if (stat(path, &status) < 0)
            return errno == ENOENT || errno == ENOTDIR ? 0 : of_the_moment(-errno);
        take(search, search->prefix);
        return 0;
    }
    *strrchr(path, '/') = '\0';
    DIR *stream = opendir(path);
    if (!stream)
        return errno == ENOENT || errno == ENOTDIR ? 0 : of_the_moment(-errno);
    for (;;) {
        char text[GIT_OID_HEXSZ + 1];
        git_oid object;
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (!entry)
            break;
        if (strlen(entry->d_name) != GIT_OID_HEXSZ - 2)
            continue;
        snprintf(text, sizeof(text), "%.2s%s", strrchr(path, '/') + 1, entry->d_name);
        if (git_oid_fromstr(&object, text) == 0 && begins_so(search, &object))
            take(search, &object);
    }
    int code = -errno;
    closedir(stream);
    return code < 0 ? of_the_moment(code) : 0;
}

/* Take what an index names, if its pack is there. Answers as source_pack.h has it. */
static int search_index(struct search *search, const char *path)
{
    cleanup_pack_index struct pack_index index = {.fd = -1};
    uint32_t at = 0;
    uint32_t end = 0;
    bool checked = false;

    int r = pack_index_open(path, &index);
    if (r == -ENOENT)
        search->moved = true;
    if (r == 0)
        r = pack_index_search(&index, search->prefix, &at, &end);
    /* Two tell that there is more than one. */
    for (uint32_t last = at + 2; r == 0 && at < last && at < end; at++) {
        git_oid object;
        r = pack_index_id(&index, at, &object);
        if (r != 0 || !begins_so(search, &object))
            break;
        if (!checked)
            r = pack_check(&index);
        checked = true;
        if (r == 0)
            take(search, &object);
    }
    return r;
}

static int find_packed(struct search *search, const char *folder)
{
    char packs[PATH_MAX];
    char path[PATH_MAX];
    int r = 0;

    if (!join(packs, folder, "pack"))
        return -EAGAIN;
    DIR *stream = opendir(packs);
    if (!stream)
        return errno == ENOENT || errno == ENOTDIR ? 0 : of_the_moment(-errno);
    while (r >= 0) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (!entry) {
            r = errno != 0 ? of_the_moment(-errno) : 0;
            break;
        }
        if (!pack_is_index(entry->d_name) || !join(path, packs, entry->d_name))
            continue;
        r = search_index(search, path);
        search->damaged = search->damaged || r == PACK_DAMAGED;
        /* An index without its pack says nothing; Git passes over it as well. */
        if (r == -ENOENT)
            r = 0;
    }
    closedir(stream);
    return r < 0 ? r : 0;
}

static int find(const struct stores *stores, struct search *search)
{
    /*
     * Git puts an object where it belongs before it takes it from where it was: into a pack from
     * lying loose, or the other way. So one that is there is seen in one of the three.
     */
    for (int step = 0; step < 3; step++) {
        for (size_t i = 0; i < stores->count; i++) {
            int r = step == 1 ? find_packed(search, stores->folders[i])
                              : find_loose(search, stores->folders[i]);
            if (r < 0)
                return r;
        }
    }
    return search->moved && search->count == 0 ? 1 : 0;
}

int stores_find(const struct stores *stores, const git_oid *prefix, size_t length,
                git_oid *ret_object)
{
    struct search search;
    int r = 1;

    for (int i = 0; r == 1 && i < ATTEMPTS; i++) {
        search = (struct search){.prefix = prefix, .length = length};
        r = find(stores, &search);
    }
    if (r != 0)
        return r < 0 ? r : -EAGAIN;
    if (search.count == 0)
        return search.damaged ? -EIO : -ENOENT;
    if (search.count > 1)
        return -EEXIST;
    *ret_object = search.found;
    return 0;
}

/* --- Stamps -------------------------------------------------------------------------------------
 */

/* Mix a number in (the finalizer of SplitMix64: every bit of it touches every bit of the result).
 */
static void mix(struct stores_stamp *stamp, uint64_t number)
{
    uint64_t value = stamp->value + number + 0x9e3779b97f4a7c15;

    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    stamp->value = value ^ (value >> 31);
}

static void mix_file(struct stores_stamp *stamp, const char *path)
{
    struct stat status;

    if (stat(path, &status) < 0) {
        mix(stamp, (uint64_t)errno);
        return;
    }
    mix(stamp, status.st_dev);
    mix(stamp, status.st_ino);
    mix(stamp, (uint64_t)status.st_size);
    mix(stamp, (uint64_t)status.st_mtim.tv_sec);
    mix(stamp, (uint64_t)status.st_mtim.tv_nsec);
    mix(stamp, (uint64_t)status.st_ctim.tv_sec);
    mix(stamp, (uint64_t)status.st_ctim.tv_nsec);
    stamp->settled = stamp->settled && stamp_is_old(status.st_ctim);
}

struct stores_stamp stores_stamp(const struct stores *stores)
{
    struct stores_stamp stamp = {.settled = true};
    char path[PATH_MAX];

    for (size_t i = 0; i < stores->count; i++) {
        if (join(path, stores->folders[i], "pack"))
            mix_file(&stamp, path);
        if (join(path, stores->folders[i], "info/alternates"))
            mix_file(&stamp, path);
    }
    return stamp;
}

struct stores_stamp stores_stamp_of(const struct stores *stores, struct stores_stamp stamp,
                                    const git_oid *object)
{
    char path[PATH_MAX];

    for (size_t i = 0; i < stores->count; i++) {
        if (stores_loose_path(stores->folders[i], object, path))
            mix_file(&stamp, path);
    }
    return stamp;
}

bool stores_stamp_is_same(struct stores_stamp before, struct stores_stamp now)
{
    return before.settled && before.value == now.value;
}
