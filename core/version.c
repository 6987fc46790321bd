#include <addonfs/version.h>

#include <addonfs/cleanup.h>
#include <addonfs/path.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DIGITS "0123456789"
#define IDENTIFIER DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-"
#define HEXADECIMAL DIGITS "abcdef"

enum {
    COMMIT_DIGITS = 7, /* as many as Git shows of an id in a small repository */
    CONTENT_DIGITS = 8,
    VERSION_LIMIT = 128, /* path_version_ok */
};

/* Where the parts of a version end, in bytes from its start. */
struct parts {
    size_t minor; /* where the patch number starts */
    size_t patch; /* the end of MAJOR.MINOR.PATCH */
    size_t pre;   /* the end of the pre-release; as `patch`: there is none */
};

/* How many bytes of `at` are a number: no zeros lead it. 0: none. */
static size_t number(const char *at)
{
    size_t size = strspn(at, DIGITS);

    return size > 1 && *at == '0' ? 0 : size;
}

/* Identifiers with dots between them; numbers among them must not begin with zeros if `strict`. */
static size_t identifiers(const char *at, bool strict)
{
    const char *from = at;

    for (;; at++) {
        size_t size = strspn(at, IDENTIFIER);
        if (size == 0 || (strict && strspn(at, DIGITS) == size && number(at) == 0))
            return 0;
        at += size;
        if (*at != '.')
            return (size_t)(at - from);
    }
}

static bool parse(const char *version, struct parts *ret_parts)
{
    struct parts parts = {0};
    const char *at = version;

    for (int i = 0; i < 3; i++) {
        size_t size = number(at);
        if (size == 0 || (i < 2 && at[size] != '.'))
            return false;
        parts.minor = (size_t)(at - version);
        parts.patch = parts.minor + size;
        at += size + (i < 2);
    }
    parts.pre = parts.patch;
    if (*at == '-') {
        size_t size = identifiers(at + 1, true);
        if (size == 0)
            return false;
        at += 1 + size;
        parts.pre = (size_t)(at - version);
    }
    if (*at == '+') {
        size_t size = identifiers(at + 1, false);
        if (size == 0)
            return false;
        at += 1 + size;
    }
    if (*at != '\0')
        return false;
    *ret_parts = parts;
    return true;
}

bool version_is_semver(const char *version)
{
    struct parts parts;

    return parse(version, &parts);
}

/* The number in `size` digits, and one more: it may get a digit more. NULL without memory. */
static char *increment(const char *digits, size_t size)
{
    char *sum = malloc(size + 2);

    if (!sum)
        return NULL;
    sum[0] = '0';
    memcpy(sum + 1, digits, size);
    sum[size + 1] = '\0';
    size_t at = size;
    while (sum[at] == '9')
        sum[at--] = '0';
    sum[at]++;
    if (sum[0] == '0')
        memmove(sum, sum + 1, size + 1);
    return sum;
}

/* What the derived version begins with: up to and without ".<n>". */
static char *base_of(const char *declared, const struct parts *parts)
{
    char *base = NULL;

    if (parts->pre > parts->patch)
        return asprintf(&base, "%.*s.dev", (int)parts->pre, declared) < 0 ? NULL : base;
    cleanup_free char *patch = increment(declared + parts->minor, parts->patch - parts->minor);
    if (!patch || asprintf(&base, "%.*s%s-dev", (int)parts->minor, declared, patch) < 0)
        return NULL;
    return base;
}

static bool is_id(const char *id, size_t digits)
{
    return strspn(id, HEXADECIMAL) >= digits;
}

int version_derive(const char *declared, uint64_t commits, const char *commit, const char *content,
                   char **ret_version, struct error *error)
{
    cleanup_free char *version = NULL;
    struct parts parts;

    if (commits == 0 && !content) {
        char *same = strdup(declared);
        if (!same)
            return error_errno(error, -ENOMEM, "version %s", declared);
        *ret_version = same;
        return 0;
    }
    if (!is_id(commit, COMMIT_DIGITS) || (content && !is_id(content, CONTENT_DIGITS)))
        return error_set(error, -EINVAL, "version %s: \"%s\" is not an id", declared,
                         is_id(commit, COMMIT_DIGITS) ? content : commit);
    if (!parse(declared, &parts))
        return error_set(error, -EINVAL,
                         "version \"%s\": none can be derived from it for a commit, because it is "
                         "not MAJOR.MINOR.PATCH as Semantic Versioning 2.0 has it: declare one "
                         "that is, such as 1.0.0",
                         declared);
    if (parts.pre <= VERSION_LIMIT) { /* without its build metadata */
        cleanup_free char *base = base_of(declared, &parts);
        if (!base || asprintf(&version, "%s.%" PRIu64 "+g%.*s%s%.*s", base, commits, COMMIT_DIGITS,
                              commit, content ? ".d" : "", content ? CONTENT_DIGITS : 0,
                              content ? content : "") < 0) {
            version = NULL;
            return error_errno(error, -ENOMEM, "version %s", declared);
        }
    }
    if (!version || !path_version_ok(version))
        return error_set(error, -EINVAL,
                         "version \"%s\": the one derived from it would be longer than %d bytes: "
                         "declare a shorter one",
                         declared, VERSION_LIMIT);
    *ret_version = steal_pointer(&version);
    return 0;
}
