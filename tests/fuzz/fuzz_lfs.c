/* fuzz_lfs: any bytes as a pointer of Git LFS. */
#include "fuzz.h"

#include "source_lfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct lfs_pointer pointer;

    if (size >= LFS_POINTER_LIMIT) {
        CHECK(!lfs_is_pointer(input, size));
        return 0;
    }
    bool parsed = lfs_parse(input, size, &pointer);
    CHECK(!parsed || (lfs_is_pointer(input, size) && pointer.size <= INT64_MAX));
    return 0;
}
