#include "inventory_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { PIECE = 1 << 18 };

/* --- The tree -----------------------------------------------------------------------------------
 */

struct inventory_item *inventory_new(enum inventory_kind kind)
{
    struct inventory_item *item = calloc(1, sizeof(*item));

    if (item)
        item->kind = kind;
    return item;
}

static void free_child(void *value)
{
    inventory_free(value);
}

void inventory_free(struct inventory_item *item)
{
    if (!item)
        return;
    map_clear(&item->children, free_child);
    free(item->text);
    free(item->fault);
    free(item->broken);
    free(item);
}

int inventory_fault(struct inventory_item *item, const char *format, ...)
{
    va_list arguments;

    if (item->fault)
        return 0;
    va_start(arguments, format);
    int length = vasprintf(&item->fault, format, arguments);
    va_end(arguments);
    if (length >= 0)
        return 0;
    item->fault = NULL;
    return -ENOMEM;
}

/* The child of that name, made as a folder if it is not there. NULL without memory. */
static struct inventory_item *make_folder(struct inventory_item *in, const char *name)
{
    struct inventory_item *found = map_find(&in->children, name);

    if (found)
        return found;
    cleanup_inventory struct inventory_item *made = inventory_new(INVENTORY_FOLDER);
    if (!made || map_put(&in->children, name, made) < 0)
        return NULL;
    return steal_pointer(&made);
}

/* Of two in one place: folders are one, of others the first stays. */
static int meet(struct inventory_item *found, const struct inventory_item *second)
{
    if (found->kind == INVENTORY_FOLDER && second->kind == INVENTORY_FOLDER)
        return 0;
    return inventory_fault(found, found->kind == second->kind
                                      ? "is there twice"
                                      : "is there as a file and as a folder");
}

int inventory_put(struct inventory_item *root, const char *path, struct inventory_item *child)
{
    cleanup_inventory struct inventory_item *taken = child;
    cleanup_free char *copy = strdup(path);
    struct inventory_item *in = root;
    char *rest = copy;
    char *name = strsep(&rest, "/");

    if (!copy)
        return -ENOMEM;
    for (; rest; name = strsep(&rest, "/")) {
        in = make_folder(in, name);
        if (!in)
            return -ENOMEM;
        if (in->kind != INVENTORY_FOLDER)
            return inventory_fault(in, "is there as a file and as a folder");
    }
    struct inventory_item *found = map_find(&in->children, name);
    if (found)
        return meet(found, child);
    int r = map_put(&in->children, name, child);
    if (r == 0)
        taken = NULL;
    return r;
}

struct inventory_item *inventory_find(struct inventory_item *root, const char *path)
{
    /* Without memory of its own: that there is none is never an answer. */
    char name[PATH_MAX];
    size_t length;

    for (; root && *path; path += path[length] == '/' ? length + 1 : length) {
        length = strcspn(path, "/");
        if (length >= sizeof(name))
            return NULL;
        memcpy(name, path, length);
        name[length] = '\0';
        root = map_find(&root->children, name);
    }
    return root;
}

static int has_files(void *context, const char *name, void *value)
{
    (void)context;
    (void)name;
    return inventory_has_files(value);
}

bool inventory_has_files(const struct inventory_item *item)
{
    return item->kind != INVENTORY_FOLDER || item->fault ||
           map_each(&item->children, has_files, NULL) != 0;
}

/* --- Bytes --------------------------------------------------------------------------------------
 */

bool inventory_keeps_text(const char *name)
{
    static const char *const names[] = {"package.py", "version.py", "manifest.json"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

bool inventory_is_zip_name(const char *name)
{
    size_t length = strlen(name);

    return length > 4 && strcasecmp(name + length - 4, ".zip") == 0;
}

static int check(const struct inventory_reading *reading)
{
    return reading->interrupted && atomic_load(reading->interrupted) ? -EINTR : 0;
}

int inventory_count(struct inventory_reading *reading)
{
    int r = check(reading);

    return r == 0 && ++reading->items > INVENTORY_ITEMS_LIMIT ? 1 : r;
}

int inventory_begin(struct inventory_taking *taking, struct inventory_item *item, const char *name,
                    struct inventory_reading *reading)
{
    *taking = (struct inventory_taking){
        .item = item,
        .reading = reading,
        .sha256 = sha256_new(),
        .keeps_text = inventory_keeps_text(name),
    };
    return taking->sha256 ? 0 : -ENOMEM;
}

static int keep_text(struct inventory_taking *taking, const void *bytes, size_t size)
{
    struct inventory_item *item = taking->item;

    taking->keeps_text = item->size + size <= INVENTORY_TEXT_LIMIT;
    char *text = taking->keeps_text ? realloc(item->text, item->size + size + 1) : NULL;
    if (!text) {
        free(item->text);
        item->text = NULL;
        return taking->keeps_text ? -ENOMEM : 0;
    }
    item->text = text;
    memcpy(text + item->size, bytes, size);
    text[item->size + size] = '\0';
    return 0;
}

int inventory_bytes(struct inventory_taking *taking, const void *bytes, size_t size)
{
    struct inventory_reading *reading = taking->reading;
    int r = check(reading);

    if (r == 0 && taking->keeps_text)
        r = keep_text(taking, bytes, size);
    if (r < 0)
        return r;
    sha256_update(taking->sha256, bytes, size);
    taking->item->size += size;
    reading->bytes += size;
    if (reading->bytes <= INVENTORY_BYTES_LIMIT)
        return 0;
    return inventory_fault(taking->item, "too large: more than %llu GiB in all are not read",
                           (unsigned long long)(INVENTORY_BYTES_LIMIT >> 30)) < 0
               ? -ENOMEM
               : 1;
}

void inventory_end(struct inventory_taking *taking)
{
    if (taking->sha256)
        sha256_final(taking->sha256, &taking->item->id);
    sha256_free(taking->sha256);
    taking->sha256 = NULL;
}

static int digest(struct inventory_item *item, const char *name, const struct archive_input *input,
                  struct inventory_reading *reading)
{
    cleanup_free char *piece = malloc(PIECE);
    struct inventory_taking taking;
    uint64_t offset = 0;
    ssize_t n = 0;

    int r = piece ? inventory_begin(&taking, item, name, reading) : -ENOMEM;
    if (r < 0)
        return r;
    while (r == 0 && (n = input->read(input->context, offset, piece, PIECE)) > 0) {
        r = inventory_bytes(&taking, piece, (size_t)n);
        offset += (uint64_t)n;
    }
    inventory_end(&taking);
    return n < 0 ? (int)n : r;
}

int inventory_take(struct inventory_item *item, const char *name, const char *path,
                   const struct archive_input *input, int zips, struct inventory_reading *reading,
                   struct error *error)
{
    int r = digest(item, name, input, reading);
    if (r < 0)
        return error_errno(error, r, "%s", path);
    if (r > 0 || zips == 0 || !inventory_is_zip_name(name))
        return 0;
    return inventory_look_into(item, path, input, zips, reading, error);
}

/* --- Reading ------------------------------------------------------------------------------------
 */

ssize_t inventory_pread(void *context, uint64_t offset, void *bytes, size_t size)
{
    const int *fd = context;
    ssize_t n;

    do
        n = pread(*fd, bytes, size, (off_t)offset);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int inventory_read(const char *path, struct inventory_reading *reading,
                   struct inventory_item **ret_root, struct error *error)
{
    cleanup_inventory struct inventory_item *root = inventory_new(INVENTORY_FOLDER);
    /* What it is is known before it is opened for reading: a FIFO would be waited for. */
    cleanup_fd int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat status;

    if (!root)
        return error_errno(error, -ENOMEM, "%s", path);
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_errno(error, -errno, "%s", path);
    int r;
    if (S_ISDIR(status.st_mode)) {
        r = inventory_walk(root, fd, path, 0, reading, error);
    } else if (S_ISREG(status.st_mode)) {
        const struct archive_input input = {inventory_pread, &fd, (uint64_t)status.st_size};
        r = inventory_unpack(root, path, &input, false, INVENTORY_ZIPS_LIMIT, reading, error);
    } else {
        return error_set(error, -EINVAL, "%s: neither a folder nor an archive", path);
    }
    if (r == 0)
        *ret_root = steal_pointer(&root);
    return r;
}
