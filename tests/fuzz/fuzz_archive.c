/* fuzz_archive: any bytes as an archive; whatever is in it, no name leads out of it. */
#include "fuzz.h"

#include <addonfs/archive_reader.h>
#include <sys/types.h>

enum { MEMBERS_MAX = 100, BYTES_MAX = 1 << 20 };

struct input {
    const uint8_t *bytes;
    size_t size;
};

static ssize_t give(void *context, uint64_t offset, void *bytes, size_t size)
{
    const struct input *input = context;

    if (offset >= input->size)
        return 0;
    size_t n = input->size - (size_t)offset;
    n = n < size ? n : size;
    memcpy(bytes, input->bytes + offset, n);
    return (ssize_t)n;
}

static void check_name(const char *name)
{
    CHECK(*name && *name != '/');
    for (const char *at = name; *at; at += strcspn(at, "/"), at += *at == '/') {
        size_t length = strcspn(at, "/");
        CHECK(length > 0 && !(length == 1 && at[0] == '.') &&
              !(length == 2 && at[0] == '.' && at[1] == '.'));
    }
}

static void read_members(struct archive_reader *reader)
{
    struct archive_member member;
    struct error error;
    char bytes[4096];
    size_t total = 0;

    for (int i = 0; i < MEMBERS_MAX && archive_reader_next(reader, &member, &error) > 0; i++) {
        CHECK(member.name && (!member.misplaced || member.fault));
        if (!member.misplaced)
            check_name(member.name);
        if (member.fault || member.is_folder)
            continue;
        ssize_t n;
        while (total < BYTES_MAX &&
               (n = archive_reader_read(reader, bytes, sizeof(bytes), &error)) > 0)
            total += (size_t)n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct input all = {input, size};
    const struct archive_input archive = {.read = give, .context = &all, .size = size};

    for (int zip_only = 0; zip_only < 2; zip_only++) {
        cleanup_archive_reader struct archive_reader *reader = NULL;
        struct error error = {.text = ""};
        int r = zip_only ? archive_reader_open_zip(&archive, "input", &reader, &error)
                         : archive_reader_open(&archive, "input", &reader, &error);
        CHECK(r == 0 || *error.text);
        if (r == 0)
            read_members(reader);
    }
    return 0;
}
