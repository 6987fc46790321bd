/*
 * limit: how fast the work itself can be done, without a file system around it.
 *
 *     limit worktree ROOT FOLDER      read every file of ROOT/FOLDER, SHA-256 it, deflate it
 *     limit git REPOSITORY FOLDER     the same for HEAD, through libgit2's object database
 *
 * On all cores, with libdeflate at level 6, in the order of the tree, results thrown away. This is
 * what composing client.zip from nothing comes down to. Names that packaging drops are dropped.
 * Prints the number of files, the bytes read and the bytes that are left.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <git2.h>
#include <libdeflate.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct item {
    char *path;  /* worktree */
    git_oid oid; /* git */
};

static struct item *items;
static size_t count;
static git_odb *odb;
static _Atomic size_t next;
static _Atomic unsigned long long bytes_read;
static _Atomic unsigned long long bytes_left;

static void die(const char *what)
{
    fprintf(stderr, "limit: %s: %s\n", what, errno ? strerror(errno) : "failed");
    exit(1);
}

static struct item *add(void)
{
    if ((count & (count + 1)) == 0 || !items) {
        items = realloc(items, 2 * (count + 1) * sizeof(*items));
        if (!items)
            die("memory");
    }
    memset(&items[count], 0, sizeof(*items));
    return &items[count++];
}

static int visit_file(const char *path, const struct stat *status, int type, struct FTW *at)
{
    const char *name = path + at->base;
    size_t length = strlen(name);
    int dropped = name[0] == '.' || strcmp(name, "__pycache__") == 0;

    (void)status;
    if (type == FTW_D)
        return dropped ? FTW_SKIP_SUBTREE : FTW_CONTINUE;
    if (type == FTW_F && !dropped && (length < 4 || strcmp(name + length - 4, ".pyc") != 0))
        add()->path = strdup(path);
    return FTW_CONTINUE;
}

static int visit_entry(const char *root, const git_tree_entry *entry, void *payload)
{
    const char *name = git_tree_entry_name(entry);
    size_t length = strlen(name);
    int dropped = name[0] == '.' || strcmp(name, "__pycache__") == 0;

    (void)root;
    (void)payload;
    if (git_tree_entry_type(entry) == GIT_OBJECT_TREE)
        return dropped;
    if (git_tree_entry_type(entry) == GIT_OBJECT_BLOB && !dropped &&
        (length < 4 || strcmp(name + length - 4, ".pyc") != 0))
        add()->oid = *git_tree_entry_id(entry);
    return 0;
}

struct buffers {
    struct libdeflate_compressor *compressor;
    unsigned char *in;
    unsigned char *out;
    size_t room;
};

static void make_room(struct buffers *buffers, size_t size)
{
    if (size <= buffers->room)
        return;
    buffers->room = 2 * size;
    buffers->in = realloc(buffers->in, buffers->room);
    buffers->out = realloc(buffers->out, buffers->room);
    if (!buffers->in || !buffers->out)
        die("memory");
}

static void compress(struct buffers *buffers, const void *bytes, size_t size)
{
    unsigned char digest[EVP_MAX_MD_SIZE];

    make_room(buffers, size + 1);
    EVP_Digest(bytes, size, digest, NULL, EVP_sha256(), NULL);
    size_t left = libdeflate_deflate_compress(buffers->compressor, bytes, size, buffers->out, size);
    bytes_read += size;
    bytes_left += left ? left : size;
}

static void do_file(struct buffers *buffers, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    size_t size = 0;

    if (fd < 0 || fstat(fd, &status) < 0)
        die(path);
    make_room(buffers, (size_t)status.st_size + 1);
    for (ssize_t n; (n = read(fd, buffers->in + size, buffers->room - size)) > 0;)
        size += (size_t)n;
    close(fd);
    compress(buffers, buffers->in, size);
}

static void do_blob(struct buffers *buffers, const git_oid *oid)
{
    git_odb_object *object = NULL;

    if (git_odb_read(&object, odb, oid) < 0)
        die(git_error_last()->message);
    compress(buffers, git_odb_object_data(object), git_odb_object_size(object));
    git_odb_object_free(object);
}

static void *work(void *unused)
{
    struct buffers buffers = {.compressor = libdeflate_alloc_compressor(6)};
    size_t at;

    (void)unused;
    while ((at = next++) < count) {
        if (items[at].path)
            do_file(&buffers, items[at].path);
        else
            do_blob(&buffers, &items[at].oid);
    }
    libdeflate_free_compressor(buffers.compressor);
    free(buffers.in);
    free(buffers.out);
    return NULL;
}

static void list_git(const char *path, const char *folder)
{
    git_repository *repository = NULL;
    git_object *tree = NULL;
    char name[4096];

    git_libgit2_init();
    snprintf(name, sizeof(name), "HEAD:%s", folder);
    if (git_repository_open(&repository, path) < 0 ||
        git_revparse_single(&tree, repository, name) < 0 ||
        git_repository_odb(&odb, repository) < 0)
        die(git_error_last()->message);
    git_tree_walk((git_tree *)tree, GIT_TREEWALK_PRE, visit_entry, NULL);
}

int main(int arguments, char **argument)
{
    long threads = sysconf(_SC_NPROCESSORS_ONLN);
    pthread_t thread[64];
    char path[4096];

    if (arguments != 4) {
        fprintf(stderr, "usage: limit worktree|git REPOSITORY FOLDER\n");
        return 2;
    }
    snprintf(path, sizeof(path), "%s/%s", argument[2], argument[3]);
    if (strcmp(argument[1], "git") == 0)
        list_git(argument[2], argument[3]);
    else if (nftw(path, visit_file, 64, FTW_ACTIONRETVAL) != 0)
        die(path);
    if (threads > 64)
        threads = 64;
    for (long i = 0; i < threads; i++)
        pthread_create(&thread[i], NULL, work, NULL);
    for (long i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    printf("%zu files, %llu bytes, %llu left\n", count, (unsigned long long)bytes_read,
           (unsigned long long)bytes_left);
    return 0;
}
