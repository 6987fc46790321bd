/*
 * For test_source_version_oracle.py: source_version_cli REPOSITORY PATH VARIABLE COMMIT… prints for
 * each commit "OK D N MICROSECONDS", or "ERR ERRNO MESSAGE".
 */
#include <addonfs/source_version.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

int main(int count, char **arguments)
{
    cleanup_source struct source *source = NULL;
    struct source_options options = {.path = count > 1 ? arguments[1] : "", .revision = "HEAD"};
    struct error error = {0};

    if (count < 4 || source_open(&options, &source, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 2;
    }
    for (int i = 4; i < count; i++) {
        struct version_base base;
        uint64_t start = now();
        int r =
            source_version_base(source, arguments[i], arguments[2], arguments[3], &base, &error);
        if (r < 0)
            printf("ERR %d %s\n", -r, error.text);
        else
            printf("OK %s %" PRIu64 " %" PRIu64 "\n", base.commit, base.commits, now() - start);
    }
    return 0;
}
