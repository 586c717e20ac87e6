/* basalt rdb: RDB files to and from data directories. */
#include "codec/buf.h"
#include "codec/number.h"
#include "storage/env.h"
#include "storage/import.h"
#include "storage/import_aof.h"
#include "tools/basalt_command.h"
#include "tools/progress.h"
#include "tools/rdb_filter.h"
#include "tools/tool_input.h"
#include "tools/tool_output.h"

#include <dirent.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMORY_BYTES_MIN ((uint64_t)32 << 20)

static void print_help(FILE *out)
{
    (void)fprintf(
        out,
        "Usage: basalt rdb import FILE|- --dir DIR [options]\n"
        "       basalt rdb export --dir DIR|--host HOST -o FILE|- [options]; see basalt rdb export "
        "--help\n"
        "       basalt rdb inspect FILE|-|--dir DIR\n"
        "       basalt rdb verify FILE|-\n"
        "       basalt rdb convert FILE|- --to json|jsonl|csv|resp\n"
        "       basalt rdb diff A B\n\n"
        "Makes a data directory out of an RDB file as Redis writes it (versions 1 to %d), from a\n"
        "file (also packed with zstd) or from standard input. DIR is what the server is given as\n"
        "`dir`. FILE may also be a directory of append-only files of Redis 7, or its manifest: "
        "their\n"
        "commands are run when the server starts.\n\n"
        "  --dir DIR          the data directory; made if it does not exist\n"
        "  --skip-existing    add keys to the dataset that is there, but for those that it has\n"
        "  --replace          the same; keys that it has are replaced\n"
        "  --replace-dataset  take the place of the dataset that is there\n"
        "                     for these three, its server must not run\n"
        "  --memory SIZE      memory to work with, for example 1gb (default 256mb, at least 32mb)\n"
        "  --databases N      refuse a file with database numbers of N and more (default: no "
        "limit,\n"
        "                     as many databases as the file needs, at least %d)\n"
        "  --db N             only keys of that database; more than once: of these\n"
        "  --match PATTERN    only keys whose names match, as in SCAN\n"
        "  --type TYPE        only string, list, set, zset, hash or stream; more than once: these\n"
        "  --skip-modules     it is no failure to leave out what belongs to modules\n"
        "  --json             the result as JSON on standard output\n"
        "  --help             this text\n\n"
        "Keys whose time is up are left out, as redis-server does when it loads the file. If\n"
        "anything goes wrong the directory is left as it was.\n\n"
        "Exit status: 0 all was imported; 1 nothing was; 2 the command line is wrong; 3 imported,\n"
        "but for values and data of modules.\n",
        RDB_VERSION_MAX, IMPORT_DB_COUNT_DEFAULT);
}

struct import_command {
    const char *file;
    bool json;
    bool help;
    bool skip_modules;
    struct rdb_filter filter;
    struct import_options options;
};

/* What the engine's callbacks get. */
struct context {
    struct tool_input input;
    struct aof *aof; /* owned: append-only files instead of an RDB; or NULL */
    struct tool_signals signals;
    struct env *env;
    struct progress progress;
    struct rdb_filter filter; /* borrowed */
};

/* ---- Command line -----------------------------------------------------------------------------
 */

static bool complain(const char *text, const char *value)
{
    return tool_complain("rdb import", text, value);
}

static bool parse_memory(const char *text, struct import_options *options)
{
    uint64_t bytes;
    if (!number_parse_memory(bytes_text(text), &bytes) || bytes < MEMORY_BYTES_MIN ||
        bytes > SIZE_MAX / 2)
        return complain("--memory must be a size of at least 32mb, not", text);
    options->memory_bytes = (size_t)bytes;
    return true;
}

static bool parse_databases(const char *text, struct import_options *options)
{
    uint64_t count;
    if (!number_parse_u64(bytes_text(text), &count) || count < 1 || count > IMPORT_DB_COUNT_MAX)
        return complain("--databases must be a number from 1 to 65535, not", text);
    options->db_count = (uint32_t)count;
    options->db_count_max = (uint32_t)count;
    return true;
}

static bool take_existing(enum import_existing existing, struct import_options *options)
{
    if (options->existing != IMPORT_EXISTING_REFUSED && options->existing != existing)
        return complain("existing keys are either skipped or replaced:", "--skip-existing");
    options->existing = existing;
    return true;
}

static bool parse_command(int argc, char **argv, struct import_command *out)
{
    static const struct option long_options[] = {{"dir", required_argument, NULL, 'd'},
                                                 {"memory", required_argument, NULL, 'm'},
                                                 {"databases", required_argument, NULL, 'n'},
                                                 {"skip-existing", no_argument, NULL, 'k'},
                                                 {"replace", no_argument, NULL, 'r'},
                                                 {"replace-dataset", no_argument, NULL, 'R'},
                                                 {"db", required_argument, NULL, 'b'},
                                                 {"match", required_argument, NULL, 'p'},
                                                 {"type", required_argument, NULL, 't'},
                                                 {"skip-modules", no_argument, NULL, 's'},
                                                 {"json", no_argument, NULL, 'j'},
                                                 {"help", no_argument, NULL, 'h'},
                                                 {NULL, 0, NULL, 0}};
    *out = (struct import_command){.file = NULL};
    opterr = 0;
    optind = 0;
    int option;
    bool good = true;
    while (good && (option = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
        switch (option) {
        case 'd':
            out->options.dir = optarg;
            break;
        case 'm':
            good = parse_memory(optarg, &out->options);
            break;
        case 'n':
            good = parse_databases(optarg, &out->options);
            break;
        case 'k':
        case 'r':
            good = take_existing(option == 'r' ? IMPORT_EXISTING_REPLACED : IMPORT_EXISTING_KEPT,
                                 &out->options);
            break;
        case 'R':
            out->options.replace = true;
            break;
        case 'b':
            good = rdb_filter_add_db(&out->filter, "rdb import", optarg);
            break;
        case 'p':
            out->filter.pattern = optarg;
            break;
        case 't':
            good = rdb_filter_add_type(&out->filter, "rdb import", optarg);
            break;
        case 's':
            out->skip_modules = true;
            break;
        case 'j':
            out->json = true;
            break;
        case 'h':
            out->help = true;
            return true;
        case ':':
            good = complain("a value is missing behind", argv[optind - 1]);
            break;
        default:
            good = complain("unknown option", argv[optind - 1]);
            break;
        }
    }
    if (!good)
        return false;
    if (out->options.replace && out->options.existing != IMPORT_EXISTING_REFUSED)
        return complain("either keys are added or all is replaced:", "--replace-dataset");
    if (argc - optind > 1)
        return complain("only one file can be imported, unexpected", argv[optind + 1]);
    out->file = argv[optind];
    return true;
}

static bool show_progress(void *arg, const struct import_progress *from)
{
    static const struct {
        const char *name;
        enum progress_unit unit;
    } phases[] = {
        [IMPORT_READING] = {"reading", PROGRESS_BYTES},
        [IMPORT_MERGING] = {"merging", PROGRESS_RECORDS},
        [IMPORT_FINISHING] = {"finishing", PROGRESS_RECORDS},
    };
    struct context *context = arg;
    struct progress_step step = {.name = phases[from->phase].name,
                                 .unit = phases[from->phase].unit,
                                 .done = from->done,
                                 .total = tool_input_is_packed(&context->input) ? 0 : from->total,
                                 .keys = from->phase == IMPORT_READING ? from->keys : 0};
    progress_show(&context->progress, &step, env_now_mono_us(context->env) / 1000);
    return !tool_signals_poll(&context->signals);
}

/* ---- Result -----------------------------------------------------------------------------------
 */

/* What was left out, by name. */
struct skipped {
    const char *name;   /* static */
    const char *plural; /* static */
    uint64_t count;
};

#define SKIPPED_MAX 3

static size_t collect_skipped(const struct import_report *report, struct skipped out[SKIPPED_MAX])
{
    size_t count = 0;
    uint64_t keys = report->skipped[RDB_TYPE_MODULE_2];
    if (keys > 0)
        out[count++] = (struct skipped){"module", "values of modules", keys};
    if (report->module_data > 0)
        out[count++] =
            (struct skipped){"module_data", "records of modules' own data", report->module_data};
    if (report->functions_left_out > 0)
        out[count++] = (struct skipped){
            "functions", "function libraries, as the dataset has its own (use FUNCTION RESTORE)",
            report->functions_left_out};
    return count;
}

static void append_json_databases(struct buf *out, const struct import *import)
{
    uint32_t count;
    const struct import_db *dbs = import_dbs(import, &count);
    const char *comma = "";
    buf_append_text(out, ",\"databases\":{");
    for (uint32_t i = 0; i < count; i++) {
        if (dbs[i].keys == 0)
            continue;
        buf_append_format(out, "%s\"%" PRIu32 "\":{\"keys\":%" PRIu64 ",\"expires\":%" PRIu64 "}",
                          comma, i, dbs[i].keys, dbs[i].expires);
        comma = ",";
    }
    buf_append_byte(out, '}');
}

static void append_json_report(struct buf *out, const struct import *import)
{
    const struct import_report *r = import_report(import);
    struct skipped skipped[SKIPPED_MAX];
    size_t count = collect_skipped(r, skipped);
    buf_append_format(out, "{\"status\":\"%s\",\"rdb_version\":%d,\"redis_version\":",
                      count == 0 ? "ok" : "incomplete", r->rdb_version);
    tool_append_json_text(out, r->redis_version);
    buf_append_format(out,
                      ",\"checksum\":%s,\"input_bytes\":%" PRIu64 ",\"keys\":%" PRIu64
                      ",\"expires\":%" PRIu64 ",\"large_strings\":%" PRIu64
                      ",\"large_collections\":%" PRIu64 ",\"functions\":%" PRIu64
                      ",\"expired\":%" PRIu64 ",\"unwanted\":%" PRIu64 ",\"empty\":%" PRIu64
                      ",\"existing\":%" PRIu64 ",\"replaced\":%" PRIu64 ",\"skipped\":{",
                      r->has_checksum ? "true" : "false", r->input_bytes, r->keys, r->expires,
                      r->large_strings, r->large_collections, r->functions, r->expired, r->unwanted,
                      r->empty, r->existing, r->replaced);
    for (size_t i = 0; i < count; i++)
        buf_append_format(out, "%s\"%s\":%" PRIu64, i == 0 ? "" : ",", skipped[i].name,
                          skipped[i].count);
    buf_append_byte(out, '}');
    append_json_databases(out, import);
    buf_append_format(out,
                      ",\"runs\":%" PRIu64 ",\"run_bytes\":%" PRIu64 ",\"tables\":%" PRIu64
                      ",\"table_bytes\":%" PRIu64 ",\"read_ms\":%" PRId64 ",\"merge_ms\":%" PRId64
                      ",\"finish_ms\":%" PRId64 "}",
                      r->runs, r->run_bytes, r->tables, r->table_bytes, r->read_us / 1000,
                      r->merge_us / 1000, r->finish_us / 1000);
}

static void print_report(const struct import_command *command, const struct import *import)
{
    const struct import_report *r = import_report(import);
    char a[32];
    char b[32];
    (void)printf("Imported %s keys (%s with an expiry) into %s in %.1f s.\n",
                 progress_format_count(r->keys, a), progress_format_count(r->expires, b),
                 command->options.dir, (double)(r->read_us + r->merge_us + r->finish_us) / 1e6);
    (void)printf("From: RDB version %d, Redis %s, %s%s. To: %s of tables.\n", r->rdb_version,
                 r->redis_version[0] == '\0' ? "of unknown version" : r->redis_version,
                 progress_format_bytes(r->input_bytes, a),
                 r->has_checksum ? "" : ", without a checksum",
                 progress_format_bytes(r->table_bytes, b));
    uint32_t count;
    const struct import_db *dbs = import_dbs(import, &count);
    for (uint32_t i = 0; i < count; i++)
        if (dbs[i].keys > 0)
            (void)printf("  db%" PRIu32 ": %s keys, %s with an expiry\n", i,
                         progress_format_count(dbs[i].keys, a),
                         progress_format_count(dbs[i].expires, b));
    if (r->expired > 0)
        (void)printf("Left out: %s keys whose time was up.\n",
                     progress_format_count(r->expired, a));
    if (r->functions > 0)
        (void)printf("Function libraries: %s.\n", progress_format_count(r->functions, a));
    if (r->unwanted > 0)
        (void)printf("Left out: %s keys that were not wanted.\n",
                     progress_format_count(r->unwanted, a));
    if (r->empty > 0)
        (void)printf("Left out: %s collections without elements.\n",
                     progress_format_count(r->empty, a));
    if (r->existing > 0)
        (void)printf("Left out: %s keys that the dataset has.\n",
                     progress_format_count(r->existing, a));
    if (r->replaced > 0)
        (void)printf("Replaced: %s keys that the dataset had.\n",
                     progress_format_count(r->replaced, a));
    struct skipped skipped[SKIPPED_MAX];
    size_t skipped_count = collect_skipped(r, skipped);
    for (size_t i = 0; i < skipped_count; i++)
        (void)printf("NOT IMPORTED: %s %s.\n", progress_format_count(skipped[i].count, a),
                     skipped[i].plural);
}

static void print_aof_report(const struct aof_report *r)
{
    char a[32];
    (void)printf("Commands of append-only files, to be run when the server starts: %s.\n",
                 progress_format_count(r->commands, a));
    if (r->cut_off_bytes > 0)
        (void)printf("Left out: %s bytes of an incomplete command or transaction at their end.\n",
                     progress_format_count(r->cut_off_bytes, a));
}

static void print_failure(const struct import_command *command, enum status st, bool placed,
                          const struct err *err)
{
    if (command->json) {
        struct buf out = {0};
        buf_append_format(&out, "{\"status\":\"error\",\"error\":\"%s\",\"placed\":%s,\"message\":",
                          status_name(st), placed ? "true" : "false");
        tool_append_json_text(&out, err->message);
        buf_append_text(&out, "}\n");
        (void)fwrite(out.data, 1, out.len, stdout);
        buf_deinit(&out);
    }
    (void)fprintf(stderr, "basalt rdb import: %s\n", err->message);
    if (st == ST_EXISTS && !command->options.replace &&
        command->options.existing == IMPORT_EXISTING_REFUSED)
        (void)fprintf(stderr, "With --skip-existing or --replace keys are added to it, with "
                              "--replace-dataset the imported dataset takes its place.\n");
    if (placed)
        (void)fprintf(stderr, "The new dataset is in place, but what belonged to the old one could "
                              "not be removed: import again with --replace-dataset.\n");
}

/* ---- Running ----------------------------------------------------------------------------------
 */

/* The manifest if what is to be imported is a directory of append-only files, or the manifest
 * itself; else NULL. */
static char *find_manifest(const char *file)
{
    static const char ending[] = ".manifest";
    struct stat stat_of_file;
    size_t len = strlen(file);
    if (len > sizeof(ending) && strcmp(file + len - (sizeof(ending) - 1), ending) == 0)
        return strdup(file);
    if (stat(file, &stat_of_file) != 0 || !S_ISDIR(stat_of_file.st_mode))
        return NULL;
    DIR *dir = opendir(file);
    char *found = NULL;
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL && found == NULL;) {
        len = strlen(entry->d_name);
        if (len > sizeof(ending) &&
            strcmp(entry->d_name + len - (sizeof(ending) - 1), ending) == 0 &&
            asprintf(&found, "%s/%s", file, entry->d_name) < 0)
            found = NULL;
    }
    if (dir != NULL)
        (void)closedir(dir);
    return found;
}

static enum status open_aof(struct context *context, const char *manifest,
                            struct import_options *options, struct err *err)
{
    enum status st = aof_open(context->env, manifest, &context->aof, err);
    options->read = aof_read_base;
    options->read_arg = context->aof;
    options->more_follows = true;
    return st;
}

static enum status run_import(const struct import_command *command, struct context *context,
                              struct import **import_out, bool *placed_out, struct err *err)
{
    struct import_options options = command->options;
    options.env = context->env;
    options.read = tool_input_read;
    options.read_arg = &context->input;
    options.progress = show_progress;
    options.progress_arg = context;
    options.wanted = rdb_filter_takes;
    options.wanted_arg = &context->filter;
    char *manifest = find_manifest(command->file);
    if (manifest != NULL && options.existing != IMPORT_EXISTING_REFUSED) {
        free(manifest);
        return err_set(err, ST_INVALID,
                       "commands of append-only files cannot be added to a dataset: import them "
                       "into an empty directory, or with --replace-dataset");
    }
    enum status st = manifest == NULL
                         ? tool_input_open(&context->input, command->file, &context->signals, err)
                         : open_aof(context, manifest, &options, err);
    options.input_bytes = context->input.bytes;
    free(manifest);
    if (st == ST_OK)
        st = import_open(&options, import_out, err);
    if (st == ST_OK)
        st = import_read(*import_out, err);
    if (st == ST_OK)
        st = import_publish(*import_out, placed_out, err);
    if (st == ST_OK && context->aof != NULL)
        st = aof_append(context->aof, options.dir, import_cut_offset(*import_out), err);
    return st;
}

static int import_file(const struct import_command *command)
{
    struct context context = {.env = env_posix(), .filter = command->filter};
    struct import *import = NULL;
    struct err err = {0};
    bool placed = false;
    progress_init(&context.progress, stderr, isatty(STDERR_FILENO) == 1);
    tool_signals_catch(&context.signals);
    tool_allow_many_files();
    enum status st = run_import(command, &context, &import, &placed, &err);
    progress_clear(&context.progress);
    int status = EXIT_FAILED;
    if (st != ST_OK) {
        print_failure(command, st, placed, &err);
        if (context.signals.signal != 0)
            status = EXIT_SIGNALLED + context.signals.signal;
    } else {
        struct skipped skipped[SKIPPED_MAX];
        const struct import_report *report = import_report(import);
        bool complete = collect_skipped(report, skipped) == 0 ||
                        (command->skip_modules && report->functions_left_out == 0);
        status = complete ? EXIT_DONE : EXIT_INCOMPLETE;
        if (command->json) {
            struct buf out = {0};
            append_json_report(&out, import);
            buf_append_byte(&out, '\n');
            (void)fwrite(out.data, 1, out.len, stdout);
            buf_deinit(&out);
        } else {
            print_report(command, import);
            if (context.aof != NULL)
                print_aof_report(aof_report(context.aof));
        }
    }
    import_close(import);
    aof_close(context.aof);
    tool_input_close(&context.input);
    tool_signals_release(&context.signals);
    return fflush(stdout) == 0 ? status : EXIT_FAILED;
}

static int run_command(const struct import_command *command)
{
    if (command->help) {
        print_help(stdout);
        return EXIT_DONE;
    }
    if (command->file == NULL || command->options.dir == NULL) {
        (void)complain(command->file == NULL ? "which file? (or - for standard input)"
                                             : "into which directory? (--dir DIR)",
                       NULL);
        return EXIT_USAGE;
    }
    return import_file(command);
}

int basalt_rdb(int argc, char **argv)
{
    static const struct {
        const char *name;
        basalt_command_fn *run;
    } parts[] = {
        {"export", basalt_rdb_export}, {"inspect", basalt_rdb_inspect},
        {"verify", basalt_rdb_verify}, {"convert", basalt_rdb_convert},
        {"diff", basalt_rdb_diff},
    };
    const char *verb = argc > 1 ? argv[1] : "";
    if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0 || strcmp(verb, "help") == 0) {
        print_help(stdout);
        return EXIT_DONE;
    }
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (strcmp(verb, parts[i].name) == 0)
            return parts[i].run(argc - 1, argv + 1);
    if (strcmp(verb, "import") != 0) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    struct import_command command;
    int status = parse_command(argc - 1, argv + 1, &command) ? run_command(&command) : EXIT_USAGE;
    rdb_filter_deinit(&command.filter);
    return status;
}
