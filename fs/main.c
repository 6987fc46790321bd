/* The command line: addonfs COMMAND … */
#include "caching.h"
#include "diffing.h"
#include "exporting.h"
#include "list.h"
#include "mount.h"
#include "mounthelper.h"
#include "mounts.h"
#include "options.h"
#include "output.h"
#include "verifying.h"

#include <addonfs/cleanup.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
};

static const char help_start[] =
    "Usage:\n"
    "  addonfs mount SOURCE MOUNTPOINT [-f] [--replace] [-o OPTION,…]\n"
    "  addonfs umount MOUNTPOINT [--lazy] [--timeout SECONDS]\n"
    "  addonfs status [MOUNTPOINT] [--json] [--timeout SECONDS]\n"
    "  addonfs list SOURCE [--json] [-o OPTION,…]\n"
    "  addonfs diff SOURCE PACKAGE [--json] [-o OPTION,…]\n"
    "  addonfs verify PACKAGE [SOURCE] [--json] [-o OPTION,…]\n"
    "  addonfs cache stats|prune|clear [--json] [-o OPTION,…]\n"
    "  addonfs export SOURCE DEST|- [--view=NAME] [--format=FORMAT] [-o OPTION,…]\n"
    "  addonfs wait MOUNTPOINT [--since GENERATION] [--timeout SECONDS]\n"
    "\n"
    "Shows the server package of an AYON addon, computed live from its Git source tree.\n"
    "SOURCE is the root of a clone, or a bare repository. DEST is a folder, or an archive by\n"
    "its name: .zip .tar .tar.gz .tar.xz .tar.zst; - is standard output. PACKAGE is what was\n"
    "made of it: a version's folder, an addon's, a folder of addons, or an archive of one.\n"
    "\n"
    "  -f, --foreground  stay in the foreground and log to stderr\n"
    "  -o OPTION,…       see below\n"
    "  --replace           clear a dead mount first (after a crash), and mount in its place\n"
    "  --lazy              unmount although it is in use, and do not wait for its daemon\n"
    "  --json              as JSON, for programs\n"
    "  --since GENERATION  wait until there is another one than this, and print it; without it:\n"
    "                      another one than now; empty: at once\n"
    "  --timeout SECONDS   wait no longer; of wait: and exit with 1\n"
    "  --view=NAME         package (default), upload or client\n"
    "  --format=FORMAT     folder, zip, tar, tar.gz, tar.xz or tar.zst; default: by DEST's name\n"
    "  -h, --help        this text\n"
    "  -V, --version     the version\n"
    "\n"
    "Options:\n";

struct command_line;

struct command {
    const char *name;
    int operands;        /* at most */
    int optional;        /* how many of them may be left out */
    const char *options; /* the letters of those that it has, beside those that all have */
    int failed;          /* what it exits with then */
    /* Wrong usage that cannot be seen from one argument alone: -EINVAL. NULL: there is none. */
    int (*check)(const struct command_line *line, struct error *error);
    /* Returns what to exit with, or a negative errno. */
    int (*run)(const struct command_line *line, struct error *error);
};

struct command_line {
    struct options options;
    bool foreground;
    bool replace;
    bool json;
    bool lazy;
    bool has_since;
    uint64_t since;
    const char *format;   /* of an export */
    double timeout;       /* seconds; negative: none */
    int (*instead)(void); /* what to do instead of the command */
    const char *operands[2];
};

/* One line, whatever an argument holds. */
static int usage(const char *text, const char *argument)
{
    struct error error;

    error_set(&error, -EINVAL, "%s%s", text, argument);
    fprintf(stderr, "addonfs: %s: see addonfs --help\n", error.text);
    return EXIT_USAGE;
}

static int end_output(void)
{
    struct error error;

    if (output_finish(&error) == 0)
        return EXIT_DONE;
    fprintf(stderr, "addonfs: %s\n", error.text);
    return EXIT_FAILED;
}

static int help(void)
{
    printf("%s%s", help_start, options_help);
    return end_output();
}

static int version(void)
{
    puts("addonfs " ADDONFS_VERSION);
    return end_output();
}

/*
 * A program that is started without its standard streams would take their numbers for files of its
 * own, and write messages into them.
 */
static void hold_standard_streams(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

static bool parse_seconds(const char *text, double *ret_seconds)
{
    char *end = NULL;

    *ret_seconds = strtod(text, &end);
    return end != text && *end == '\0' && *ret_seconds >= 0 && *ret_seconds < 1e9;
}

/* The number of a generation; without digits, none's. */
static bool parse_generation(const char *text, uint64_t *ret_generation)
{
    if (text[strspn(text, "0123456789")] != '\0')
        return false;
    errno = 0;
    *ret_generation = *text ? strtoull(text, NULL, 10) : MOUNT_NO_GENERATION;
    return errno == 0;
}

/*
 * The option of that letter as it was written: as a word of its own (`--since=1`), or as a letter
 * among others in `argument`.
 */
static int wrong_option(const char *text, const char *argument, int letter)
{
    const char option[] = {'-', (char)letter, '\0'};

    return usage(text, strncmp(argument, "--", 2) == 0 ? argument : option);
}

/* What to exit with when the command line itself is at fault, or when it could not be read. */
static int refuse(const struct command *command, const struct error *error)
{
    fprintf(stderr, "addonfs: %s\n", error->text);
    return error->code == -EINVAL ? EXIT_USAGE : command->failed;
}

/*
 * Returns an exit code: EXIT_DONE when the command may go on.
 */
static int parse(int count, char **arguments, const struct command *command,
                 struct command_line *line)
{
    static const struct option names[] = {{"foreground", no_argument, NULL, 'f'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'V'},
                                          {"since", required_argument, NULL, 's'},
                                          {"timeout", required_argument, NULL, 't'},
                                          {"replace", no_argument, NULL, 'r'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"lazy", no_argument, NULL, 'l'},
                                          {"view", required_argument, NULL, 'w'},
                                          {"format", required_argument, NULL, 'F'},
                                          {0}};
    struct error error = {0};
    int found = 0;
    int option;
    int at = 1; /* which argument the option is in */

    opterr = 0;
    /* '-': operands are given in their order, so options may stand behind them. */
    for (; (option = getopt_long(count, arguments, "-fhVo:", names, NULL)) != -1; at = optind) {
        if (option > 1 && option != '?' && !strchr("hV", option) &&
            !strchr(command->options, option))
            return wrong_option("this command has no such option: ", arguments[at], option);
        switch (option) {
        case 1:
            if (found == command->operands)
                return usage("one argument too many: ", optarg);
            line->operands[found++] = optarg;
            break;
        case 'f':
            line->foreground = true;
            break;
        case 'h':
            line->instead = help;
            return EXIT_DONE;
        case 'V':
            line->instead = version;
            return EXIT_DONE;
        case 'r':
            line->replace = true;
            break;
        case 'j':
            line->json = true;
            break;
        case 'F':
            line->format = optarg;
            break;
        case 'w':
            if (options_set_view(&line->options, optarg, &error) < 0)
                return refuse(command, &error);
            break;
        case 'l':
            line->lazy = true;
            break;
        case 's':
            if (!parse_generation(optarg, &line->since))
                return usage("not the number of a generation: ", optarg);
            line->has_since = true;
            break;
        case 't':
            if (!parse_seconds(optarg, &line->timeout))
                return usage("not a number of seconds: ", optarg);
            break;
        case 'o':
            if (options_parse(&line->options, optarg, &error) < 0)
                return refuse(command, &error);
            break;
        default:
            return wrong_option("unknown option or missing value: ", arguments[at], optopt);
        }
    }
    for (; optind < count; optind++) {
        if (found == command->operands)
            return usage("one argument too many: ", arguments[optind]);
        line->operands[found++] = arguments[optind];
    }
    if (found < command->operands - command->optional)
        return usage("an argument is missing", "");
    return command->check && command->check(line, &error) < 0 ? refuse(command, &error) : EXIT_DONE;
}

static int run_mount(const struct command_line *line, struct error *error)
{
    int r = line->replace ? mount_clear(line->operands[1], error) : 0;

    return r < 0 ? r
                 : mount_run(line->operands[0], line->operands[1], &line->options, line->foreground,
                             error);
}

static int run_umount(const struct command_line *line, struct error *error)
{
    return mount_end(line->operands[0], line->lazy, line->timeout, error);
}

/* 0: all is well; 1: something is not. */
static int run_status(const struct command_line *line, struct error *error)
{
    return mounts_run(line->operands[0], line->json, line->timeout, error);
}

/* 0: all can be read; 1: something cannot. */
static int run_list(const struct command_line *line, struct error *error)
{
    return list_run(line->operands[0], &line->options, line->json, error);
}

/* 0: the same; 1: not. */
static int run_diff(const struct command_line *line, struct error *error)
{
    return diffing_run(line->operands[0], line->operands[1], &line->options, line->json, error);
}

/* 0: it is good; 1: it is not. */
static int run_verify(const struct command_line *line, struct error *error)
{
    return verifying_run(line->operands[0], line->operands[1], &line->options, line->json, error);
}

static int check_cache(const struct command_line *line, struct error *error)
{
    return caching_check(line->operands[0], &line->options, error);
}

static int run_cache(const struct command_line *line, struct error *error)
{
    return caching_run(line->operands[0], &line->options, line->json, error);
}

static int check_export(const struct command_line *line, struct error *error)
{
    return exporting_check(line->operands[1], line->format, &line->options, error);
}

static int run_export(const struct command_line *line, struct error *error)
{
    return exporting_run(line->operands[0], line->operands[1], line->format, &line->options, error);
}

/* 0: another generation; 1: the time is over. */
static int run_wait(const struct command_line *line, struct error *error)
{
    uint64_t generation = 0;

    int r = mount_wait(line->operands[0], line->has_since ? &line->since : NULL, line->timeout,
                       &generation, error);
    if (r <= 0)
        return r < 0 ? r : 1;
    printf("%" PRIu64 "\n", generation);
    return output_finish(error);
}

static const struct command commands[] = {
    {"mount", 2, 0, "for", EXIT_FAILED, NULL, run_mount},
    {"umount", 1, 0, "lt", EXIT_FAILED, NULL, run_umount},
    {"status", 1, 1, "jt", EXIT_USAGE, NULL, run_status},
    {"list", 1, 0, "jo", EXIT_USAGE, NULL, run_list},
    {"verify", 2, 1, "jo", EXIT_USAGE, NULL, run_verify},
    {"diff", 2, 0, "jo", EXIT_USAGE, NULL, run_diff},
    {"cache", 1, 0, "jo", EXIT_FAILED, check_cache, run_cache},
    {"export", 2, 0, "oFw", EXIT_FAILED, check_export, run_export},
    {"wait", 1, 0, "st", EXIT_USAGE, NULL, run_wait},
};

static int run(const struct command *command, const struct command_line *line)
{
    struct error error = {0};
    int r = command->run(line, &error);

    if (r >= 0)
        return r;
    fprintf(stderr, "addonfs: %s\n", error.text);
    return command->failed;
}

/* Each pack of Git's and each watched folder may take one. A shell allows 1024, and more to who
 * asks. */
static void allow_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int count, char **arguments)
{
    struct command_line line = {.timeout = -1};

    allow_descriptors();
    hold_standard_streams();
    const char *slash = count > 0 ? strrchr(arguments[0], '/') : NULL;
    if (count > 0 && strcmp(slash ? slash + 1 : arguments[0], MOUNTHELPER_NAME) == 0)
        return mounthelper_main(count, arguments);
    if (count < 2)
        return usage("a command is missing", "");
    if (strcmp(arguments[1], "--help") == 0 || strcmp(arguments[1], "-h") == 0)
        return help();
    if (strcmp(arguments[1], "--version") == 0 || strcmp(arguments[1], "-V") == 0)
        return version();
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(arguments[1], commands[i].name) != 0)
            continue;
        int result = parse(count - 1, arguments + 1, &commands[i], &line);
        if (result == EXIT_DONE && line.instead)
            result = line.instead();
        else if (result == EXIT_DONE)
            result = run(&commands[i], &line);
        options_clear(&line.options);
        return result;
    }
    return usage("unknown command: ", arguments[1]);
}
