#include "verifying.h"
#include "output.h"
#include "paint.h"
#include "viewing.h"

#include <addonfs/verify.h>
#include <errno.h>
#include <stdio.h>

struct verifying {
    const char *package;
    struct verification verification;
};

static void print_version(const struct verified *verified, bool sound, bool colours)
{
    const char *addon = verified->addon ? verified->addon : "?";
    const char *version = verified->version ? verified->version : "?";

    paint(stdout, colours, sound && verified->origin != VERIFY_NONE ? PAINT_GREEN : PAINT_RED,
          sound ? "sound " : "faulty", 7);
    printf(" %s %s", addon, version);
    if (verified->origin == VERIFY_COMMIT)
        printf(", of commit %s", verified->commit);
    else if (verified->origin == VERIFY_WORKTREE)
        printf(", as the worktree is now");
    else if (verified->origin == VERIFY_NONE)
        printf(", of none of %u commits that declare it, of %u that were looked at, nor as the "
               "worktree is now",
               verified->tried, verified->looked);
    putchar('\n');
}

static void print(const struct verification *verification)
{
    bool colours = paint_is_wanted(stdout);
    struct error line; /* for what it does with names that would break a line */

    for (size_t i = 0; i < verification->count; i++)
        print_version(&verification->items[i], verification->finding_count == 0, colours);
    for (size_t i = 0; i < verification->finding_count; i++) {
        const struct verify_finding *finding = &verification->findings[i];
        error_set(&line, -EIO, "%s: %s", *finding->path ? finding->path : ".", finding->text);
        paint(stdout, colours, PAINT_RED, "fault", 7);
        printf(" %s\n", line.text);
    }
}

static int tell(const struct verification *verification, bool json, struct error *error)
{
    cleanup_free char *text = NULL;
    int r = json ? verify_json(verification, &text, error) : 0;

    if (r < 0)
        return r;
    if (json)
        fputs(text, stdout);
    else
        print(verification);
    r = output_finish(error);
    return r < 0 ? r : !verify_is_good(verification);
}

static int look(struct viewing *viewing, void *context, struct error *error)
{
    struct verifying *verifying = context;

    return verify_make(verifying->package, viewing->view, &viewing->interrupted,
                       &verifying->verification, error);
}

static int look_with_source(struct verifying *verifying, const char *source,
                            const struct options *options, struct error *error)
{
    struct options deriving = *options; /* strings are borrowed */

    int r = viewing_run(source, options, look, verifying, error);
    if (r < 0 || !verifying->verification.derived)
        return r;
    verify_clear(&verifying->verification);
    deriving.view.shown.derive_version = true;
    deriving.view.shown.version = NULL;
    return viewing_run(source, &deriving, look, verifying, error);
}

int verifying_run(const char *package, const char *source, const struct options *options, bool json,
                  struct error *error)
{
    struct verifying verifying = {.package = package};

    int r = source ? look_with_source(&verifying, source, options, error)
                   : verify_make(package, NULL, NULL, &verifying.verification, error);
    if (r == 0)
        r = tell(&verifying.verification, json, error);
    verify_clear(&verifying.verification);
    return r;
}
