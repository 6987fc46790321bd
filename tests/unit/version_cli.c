/*
 * For test_version_oracle.py: each line on standard input is "DECLARED COMMITS COMMIT CONTENT"
 * (CONTENT may be missing); each line of the answer is "OK VERSION" or "ERR ERRNO MESSAGE". With
 * the argument --valid a line is a version, and the answer 1 or 0.
 */
#include <addonfs/cleanup.h>
#include <addonfs/version.h>
#include <stdio.h>
#include <string.h>

static void derive(char *line)
{
    char *rest = NULL;
    const char *declared = strtok_r(line, " ", &rest);
    const char *commits = strtok_r(NULL, " ", &rest);
    const char *commit = strtok_r(NULL, " ", &rest);
    const char *content = strtok_r(NULL, " ", &rest);
    cleanup_free char *version = NULL;
    struct error error = {0};

    if (!declared || !commits || !commit)
        exit(2);
    int r =
        version_derive(declared, strtoull(commits, NULL, 10), commit, content, &version, &error);
    if (r < 0)
        printf("ERR %d %s\n", -r, error.text);
    else
        printf("OK %s\n", version);
}

int main(int count, char **arguments)
{
    bool valid = count > 1 && strcmp(arguments[1], "--valid") == 0;
    char line[8192];

    while (fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = '\0';
        if (valid)
            puts(version_is_semver(line) ? "1" : "0");
        else
            derive(line);
    }
    return 0;
}
