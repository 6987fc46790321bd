#include "source_stores.h"

#include "source_pack.h"
#include "source_regular.h"
#include "stamp.h"

#include <addonfs/path.h>
#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum {
    ALTERNATES_DEPTH = 5, /* of lists that are read; the repository's own is at 0 (Git, odb) */
    ATTEMPTS = 8,         /* when files go while they are looked at */
};

static bool is_absent(int code)
{
    return code == ENOENT || code == ENOTDIR;
}

static bool join(char path[static PATH_MAX], const char *folder, const char *name)
{
    return snprintf(path, PATH_MAX, "%s/%s", folder, name) < PATH_MAX;
}

/* --- Folders ------------------------------------------------------------------------------------
 */

/* Add `path`, which is taken over, unless it is there. 1: it was. */
static int add_text(char ***texts, size_t *count, char *path)
{
    cleanup_free char *own = path;

    for (size_t i = 0; i < *count; i++) {
        if (strcmp((*texts)[i], own) == 0)
            return 1;
    }
    char **more = reallocarray(*texts, *count + 1, sizeof(char *));
    if (!more)
        return -ENOMEM;
    *texts = more;
    more[(*count)++] = steal_pointer(&own);
    return 0;
}

/*
 * Undo the quotes around a path in place (Git, quote.c, unquote_c_style). False: it has none, or is
 * not well-formed, and stands for itself.
 */
static bool unquote(char *text)
{
    static const char letters[] = "abfnrtv\"\\";
    static const char meanings[] = "\a\b\f\n\r\t\v\"\\";
    cleanup_free char *plain = malloc(strlen(text) + 1);
    size_t length = 0;

    if (!plain || *text != '"')
        return false;
    for (const char *at = text + 1; *at; at++) {
        const char *letter;
        if (*at == '"') {
            plain[length] = '\0';
            memcpy(text, plain, length + 1);
            return true;
        }
        if (*at != '\\') {
            plain[length++] = *at;
        } else if (at[1] >= '0' && at[1] <= '3' && at[2] >= '0' && at[2] <= '7' && at[3] >= '0' &&
                   at[3] <= '7') {
            plain[length++] = (char)((at[1] - '0') << 6 | (at[2] - '0') << 3 | (at[3] - '0'));
            at += 3;
        } else if (at[1] && (letter = strchr(letters, at[1]))) {
            plain[length++] = meanings[letter - letters];
            at++;
        } else {
            return false;
        }
    }
    return false;
}

static int add_folder(struct stores *stores, char *named, int depth, struct error *why);

/* One line of the list that `folder` has. */
static int add_alternate(struct stores *stores, const char *folder, char *line, int depth,
                         struct error *why)
{
    line[strcspn(line, "\n")] = '\0'; /* a CR belongs to the name (Git, object-file.c) */
    if (*line == '\0' || *line == '#')
        return 0;
    (void)unquote(line);
    char *named = *line == '/' ? strdup(line) : path_join(folder, line);
    return named ? add_folder(stores, named, depth, why) : -ENOMEM;
}

static int add_alternates(struct stores *stores, const char *folder, int depth, struct error *why)
{
    cleanup_free char *path = path_join(folder, "info/alternates");
    cleanup_free char *line = NULL;
    size_t room = 0;
    FILE *stream;

    if (!path)
        return -ENOMEM;
    int r = regular_open(path, &stream, why);
    if (r < 0 || !stream)
        return r;
    errno = 0;
    while (r == 0 && getline(&line, &room, stream) >= 0) {
        r = add_alternate(stores, folder, line, depth + 1, why);
        errno = 0;
    }
    /* Without memory getline ends too, and the stream has neither failed nor ended. */
    if (r == 0 && !feof(stream))
        r = error_of_the_moment(why, errno ? -errno : -ENOMEM, "%s", path);
    fclose(stream);
    return r;
}

/* Add the folder that is `named` so, which is taken over. */
static int add_folder(struct stores *stores, char *named, int depth, struct error *why)
{
    char *real = realpath(named, NULL);
    int code = real ? 0 : errno;

    if (!real && !is_absent(code)) {
        int r = error_of_the_moment(why, -code, "%s", named);
        free(named);
        return r;
    }
    int r = add_text(&stores->named, &stores->named_count, named);
    if (r != 0 || !real) {
        free(real);
        return r < 0 ? r : 0;
    }
    r = add_text(&stores->folders, &stores->count, real);
    if (r != 0)
        return r < 0 ? r : 0;
    /* Relative to the folder itself, not to the link that has led there (Git, object-file.c). */
    return depth <= ALTERNATES_DEPTH
               ? add_alternates(stores, stores->folders[stores->count - 1], depth, why)
               : 0;
}

static void free_texts(char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
}

int stores_open(const char *objects, struct stores **ret_stores, struct error *why)
{
    cleanup_stores struct stores *stores = calloc(1, sizeof(*stores));
    char *named = strdup(objects);

    if (!stores || !named) {
        free(named);
        return error_errno(why, -ENOMEM, "%s", objects);
    }
    atomic_init(&stores->references, 1);
    int r = add_folder(stores, named, 0, why);
    if (r == -ENOMEM)
        return error_errno(why, r, "%s", objects);
    if (r < 0)
        return r;
    /* A repository that is moved, or on a disk that is away, does not lose its objects by that. */
    if (stores->count == 0)
        return error_of_the_moment(why, -ENOENT, "%s", objects);
    *ret_stores = steal_pointer(&stores);
    return 0;
}

struct stores *stores_ref(struct stores *stores)
{
    atomic_fetch_add(&stores->references, 1);
    return stores;
}

void stores_unref(struct stores *stores)
{
    if (!stores || atomic_fetch_sub(&stores->references, 1) > 1)
        return;
    free_texts(stores->folders, stores->count);
    free_texts(stores->named, stores->named_count);
    free(stores);
}

/* --- Objects ------------------------------------------------------------------------------------
 */

struct search {
    const git_oid *prefix;
    size_t length;  /* in hexadecimal digits */
    git_oid *found; /* `room` of them */
    size_t room;
    size_t count;
    bool damaged; /* something cannot be understood */
    bool moved;   /* a file was there and then was not */
    struct error *why;
};

static void add_object(struct search *search, const git_oid *object)
{
    for (size_t i = 0; i < search->count && i < search->room; i++) {
        if (git_oid_equal(&search->found[i], object))
            return;
    }
    if (search->count < search->room)
        search->found[search->count] = *object;
    search->count++;
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
        return error_of_the_moment(search->why, -ENAMETOOLONG, "%s", folder);
    if (search->length == GIT_OID_HEXSZ) {
        if (stat(path, &status) < 0)
            return is_absent(errno) ? 0 : error_of_the_moment(search->why, -errno, "%s", path);
        add_object(search, search->prefix);
        return 0;
    }
    *strrchr(path, '/') = '\0';
    DIR *stream = opendir(path);
    if (!stream)
        return is_absent(errno) ? 0 : error_of_the_moment(search->why, -errno, "%s", path);
    for (;;) {
        char text[GIT_OID_HEXSZ + 1];
        git_oid object;
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (!entry)
            break;
        if (strlen(entry->d_name) != GIT_OID_HEXSZ - 2)
            continue;
        snprintf(text, sizeof(text), "%.2s%.*s", strrchr(path, '/') + 1, GIT_OID_HEXSZ - 2,
                 entry->d_name);
        if (git_oid_fromstr(&object, text) == 0 && begins_so(search, &object))
            add_object(search, &object);
    }
    int code = -errno;
    closedir(stream);
    return code < 0 ? error_of_the_moment(search->why, code, "%s", path) : 0;
}

/* Take what an index names, if its pack is there. Answers as source_pack.h has it. */
static int search_index(struct search *search, const char *path)
{
    cleanup_pack_index struct pack_index index = {.fd = -1};
    uint32_t at = 0;
    uint32_t end = 0;
    bool checked = false;

    int r = pack_index_open(path, &index, search->why);
    if (r == -ENOENT)
        search->moved = true;
    if (r == 0)
        r = pack_index_search(&index, search->prefix, &at, &end, search->why);
    /* One more than there is room for tells that there are more. */
    for (size_t seen = 0; r == 0 && seen <= search->room && at < end; seen++, at++) {
        git_oid object;
        r = pack_index_id(&index, at, &object, search->why);
        if (r != 0 || !begins_so(search, &object))
            break;
        if (!checked)
            r = pack_matches_index(&index, search->why);
        checked = true;
        if (r == 0)
            add_object(search, &object);
    }
    if (r == 0 && !checked)
        r = pack_index_check(&index, search->prefix->id[0], search->why);
    return r;
}

static int find_packed(struct search *search, const char *folder)
{
    char packs[PATH_MAX];
    char path[PATH_MAX];
    int r = 0;

    if (!join(packs, folder, "pack"))
        return error_of_the_moment(search->why, -ENAMETOOLONG, "%s", folder);
    DIR *stream = opendir(packs);
    if (!stream)
        return is_absent(errno) ? 0 : error_of_the_moment(search->why, -errno, "%s", packs);
    while (r >= 0) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (!entry) {
            r = errno != 0 ? error_of_the_moment(search->why, -errno, "%s", packs) : 0;
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
                git_oid *ret_objects, size_t room, size_t *ret_count, struct error *why)
{
    struct search search;
    int r = 1;

    for (int i = 0; r == 1 && i < ATTEMPTS; i++) {
        search = (struct search){
            .prefix = prefix, .length = length, .found = ret_objects, .room = room, .why = why};
        r = find(stores, &search);
    }
    if (r != 0)
        return r < 0 ? r : error_of_the_moment(why, -EAGAIN, "%s", stores->folders[0]);
    if (search.count == 0)
        return search.damaged ? -EIO : -ENOENT;
    *ret_count = search.count;
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

/* Where a name leads; not its times, which move with all that comes into the folder. */
static bool mix_place(struct stores_stamp *stamp, const char *path)
{
    struct stat status;

    if (stat(path, &status) < 0) {
        mix(stamp, (uint64_t)errno);
        return false;
    }
    mix(stamp, status.st_dev);
    mix(stamp, status.st_ino);
    return true;
}

struct stores_stamp stores_stamp(const struct stores *stores)
{
    struct stores_stamp stamp = {.settled = true};
    char path[PATH_MAX];

    for (size_t i = 0; i < stores->named_count; i++) {
        /* As long as the repository itself is away, nothing is certain. */
        if (!mix_place(&stamp, stores->named[i]) && i == 0)
            stamp.settled = false;
    }
    for (size_t i = 0; i < stores->count; i++) {
        if (join(path, stores->folders[i], "pack"))
            mix_file(&stamp, path);
        if (join(path, stores->folders[i], "info/alternates"))
            mix_file(&stamp, path);
    }
    return stamp;
}

struct stores_stamp stores_stamp_packs(const struct stores *stores, struct stores_stamp stamp)
{
    char folder[PATH_MAX];
    char path[PATH_MAX];

    for (size_t i = 0; i < stores->count; i++) {
        DIR *stream = join(folder, stores->folders[i], "pack") ? opendir(folder) : NULL;
        const struct dirent *entry;
        while (stream && (entry = readdir(stream))) {
            /* By itself and added, for they are listed in any order. */
            struct stores_stamp one = {.settled = stamp.settled};
            if (!pack_is_index(entry->d_name) || !join(path, folder, entry->d_name) ||
                strlen(path) + 1 >= sizeof(path))
                continue;
            mix_file(&one, path);
            memcpy(path + strlen(path) - strlen("idx"), "pack", sizeof("pack"));
            mix_file(&one, path);
            stamp.value += one.value;
            stamp.settled = one.settled;
        }
        if (stream)
            closedir(stream);
    }
    return stamp;
}

struct stores_stamp stores_stamp_object(const struct stores *stores, struct stores_stamp stamp,
                                        const git_oid *object)
{
    char path[PATH_MAX];

    for (size_t i = 0; i < stores->count; i++) {
        if (stores_loose_path(stores->folders[i], object, path))
            mix_file(&stamp, path);
    }
    return stamp;
}

struct stores_stamp stores_stamp_loose(const struct stores *stores, struct stores_stamp stamp)
{
    char path[PATH_MAX];
    char name[3];

    for (size_t i = 0; i < stores->count; i++) {
        for (unsigned first = 0; first < 256; first++) {
            snprintf(name, sizeof(name), "%02x", first);
            if (join(path, stores->folders[i], name))
                mix_file(&stamp, path);
        }
    }
    return stamp;
}

bool stores_unchanged_since(struct stores_stamp before, struct stores_stamp now)
{
    return before.settled && before.value == now.value;
}
