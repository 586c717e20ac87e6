/* basalt rdb export: an RDB file out of a data directory. */
#include "codec/buf.h"
#include "codec/compress.h"
#include "codec/number.h"
#include "server/version.h"
#include "storage/env.h"
#include "storage/rdb_export.h"
#include "tools/basalt_command.h"
#include "tools/progress.h"
#include "tools/rdb_filter.h"
#include "tools/tool_output.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COMMAND     "rdb export"
#define VERSION_MIN 9

static void print_help(FILE *out)
{
    (void)fprintf(
        out,
        "Usage: basalt rdb export --dir DIR -o FILE|- [options]\n\n"
        "Writes what is in a data directory as an RDB file for Redis, or for `basalt rdb import`.\n"
        "The server of DIR must not run; a running one writes such a file on BGSAVE. Nothing in\n"
        "DIR is changed.\n\n"
        "  --dir DIR          the data directory\n"
        "  -o, --output FILE  the file, which is replaced when the new one is complete; - is\n"
        "                     standard output\n"
        "  --rdb-version N    %d to %d (default %d, which Redis 7.0 and later read; below 12 the\n"
        "                     deadlines of hash fields are lost)\n"
        "  --zstd             pack the file; `basalt rdb import` unpacks it by itself\n"
        "  --db N             only keys of that database; more than once: of these\n"
        "  --match PATTERN    only keys whose names match, as in SCAN\n"
        "  --type TYPE        only string, list, set, zset, hash or stream; more than once: these\n"
        "  --ignore-journal   export the last cut although the journal has later changes\n"
        "  --json             the result as JSON on standard error if the file is standard "
        "output,\n"
        "                     else on standard output\n"
        "  --help             this text\n\n"
        "After a crash, start the server on DIR once and stop it: then the journal is applied.\n"
        "With a choice of keys, libraries of functions are left out.\n\n"
        "Exit status: 0 all was exported; 1 there is no new file; 2 the command line is wrong;\n"
        "3 exported, but for changes in the journal or deadlines of hash fields.\n",
        VERSION_MIN, RDB_VERSION_MAX, RDB_VERSION_DEFAULT);
}

struct export_command {
    const char *dir, *file;
    int version;
    struct rdb_filter filter;
    bool zstd, ignore_journal, json, help;
};

struct context {
    const struct export_command *command;
    struct env *env;
    int fd;
    const char *path; /* that is written to */
    struct compress_context *packer;
    struct buf packed;
    uint64_t written;
    struct progress progress;
    struct tool_signals signals;
};

/* ---- Command line ---- */

static bool parse_version(const char *text, struct export_command *out)
{
    uint64_t version;
    if (!number_parse_u64(bytes_text(text), &version) || version < VERSION_MIN ||
        version > RDB_VERSION_MAX)
        return tool_complain(COMMAND, "--rdb-version must be from 9 to 12, not", text);
    out->version = (int)version;
    return true;
}

static bool parse_command(int argc, char **argv, struct export_command *out)
{
    static const struct option long_options[] = {{"dir", required_argument, NULL, 'd'},
                                                 {"output", required_argument, NULL, 'o'},
                                                 {"rdb-version", required_argument, NULL, 'v'},
                                                 {"zstd", no_argument, NULL, 'z'},
                                                 {"db", required_argument, NULL, 'b'},
                                                 {"match", required_argument, NULL, 'p'},
                                                 {"type", required_argument, NULL, 't'},
                                                 {"ignore-journal", no_argument, NULL, 'i'},
                                                 {"json", no_argument, NULL, 'j'},
                                                 {"help", no_argument, NULL, 'h'},
                                                 {NULL, 0, NULL, 0}};
    *out = (struct export_command){.version = RDB_VERSION_DEFAULT};
    opterr = 0;
    optind = 0;
    bool good = true;
    for (int option;
         good && (option = getopt_long(argc, argv, ":ho:", long_options, NULL)) != -1;) {
        switch (option) {
        case 'd':
            out->dir = optarg;
            break;
        case 'o':
            out->file = optarg;
            break;
        case 'v':
            good = parse_version(optarg, out);
            break;
        case 'z':
            out->zstd = true;
            break;
        case 'b':
            good = rdb_filter_add_db(&out->filter, COMMAND, optarg);
            break;
        case 'p':
            out->filter.pattern = optarg;
            break;
        case 't':
            good = rdb_filter_add_type(&out->filter, COMMAND, optarg);
            break;
        case 'i':
            out->ignore_journal = true;
            break;
        case 'j':
            out->json = true;
            break;
        case 'h':
            out->help = true;
            return true;
        case ':':
            good = tool_complain(COMMAND, "a value is missing behind", argv[optind - 1]);
            break;
        default:
            good = tool_complain(COMMAND, "unknown option", argv[optind - 1]);
            break;
        }
    }
    if (good && optind < argc)
        return tool_complain(COMMAND, "unexpected", argv[optind]);
    if (good && out->dir == NULL)
        return tool_complain(COMMAND, "of which directory? (--dir DIR)", NULL);
    if (good && out->file == NULL)
        return tool_complain(COMMAND, "into which file? (-o FILE, or - for standard output)", NULL);
    return good;
}

/* ---- What the export calls ---- */

static bool is_wanted(void *arg, uint32_t db, enum object_type type, struct bytes key)
{
    return rdb_filter_wants(&((const struct context *)arg)->command->filter, db, type, key);
}

static bool show_progress(void *arg, uint64_t seen, uint64_t total)
{
    struct context *context = arg;
    struct progress_step step = {
        .name = "exporting", .unit = PROGRESS_RECORDS, .done = seen, .total = total};
    progress_show(&context->progress, &step, env_now_mono_us(context->env) / 1000);
    return !tool_signals_poll(&context->signals);
}

/* Packed, each piece is a frame of its own, as zstd allows. */
static enum status write_piece(void *arg, struct bytes data, struct err *err)
{
    struct context *context = arg;
    if (context->packer != NULL) {
        buf_clear(&context->packed);
        enum status st =
            compress_encode(context->packer, COMPRESS_LEVEL_DEFAULT, data, &context->packed, err);
        if (st != ST_OK)
            return st;
        data = buf_bytes(&context->packed);
    }
    context->written += data.len;
    return env_write_all(context->env, context->fd, context->path, data.data, data.len, err);
}

/* ---- Running ---- */

static enum status export_to(struct context *context, struct rdb_export_report *report,
                             struct err *err)
{
    const struct export_command *command = context->command;
    struct rdb_export_options options = {
        .env = context->env,
        .dir = command->dir,
        .redis_version = REDIS_COMPATIBLE_VERSION,
        .version = command->version,
        .ignore_journal = command->ignore_journal,
        .write = write_piece,
        .write_arg = context,
        .wanted = rdb_filter_is_empty(&command->filter) ? NULL : is_wanted,
        .progress = show_progress,
        .arg = context};
    return rdb_export_run(&options, report, err);
}

/* The file gets its name when it is complete and durable. */
static enum status export_to_file(struct context *context, struct rdb_export_report *report,
                                  struct err *err)
{
    char temp[ENV_PATH_BYTES_MAX];
    char dir[ENV_PATH_BYTES_MAX];
    const char *file = context->command->file;
    struct env *env = context->env;
    if (snprintf(temp, sizeof(temp), "%s.tmp", file) >= (int)sizeof(temp))
        return err_set(err, ST_INVALID, "the file's name is too long");
    context->path = temp;
    enum status st = env_open(env, temp, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &context->fd, err);
    if (st != ST_OK)
        return st;
    st = export_to(context, report, err);
    if (st == ST_OK)
        st = env_sync(env, context->fd, temp, err);
    env_close(env, context->fd);
    if (st == ST_OK)
        st = env_rename(env, temp, file, err);
    if (st != ST_OK) {
        (void)env->unlink(env, temp);
        return st;
    }
    (void)snprintf(dir, sizeof(dir), "%s", file);
    char *slash = strrchr(dir, '/');
    if (slash == NULL)
        (void)snprintf(dir, sizeof(dir), ".");
    else
        slash[slash == dir ? 1 : 0] = '\0';
    return env_sync_dir(env, dir, err);
}

static void print_report(const struct context *context, const struct rdb_export_report *report,
                         int64_t took_ms)
{
    const struct export_command *command = context->command;
    bool complete = report->behind == 0 && report->undated == 0;
    bool is_stdout = strcmp(command->file, "-") == 0;
    FILE *to = is_stdout ? stderr : stdout;
    char a[32];
    char b[32];
    if (command->json) {
        (void)fprintf(to,
                      "{\"status\":\"%s\",\"rdb_version\":%d,\"keys\":%" PRIu64
                      ",\"unwanted\":%" PRIu64 ",\"rdb_bytes\":%" PRIu64 ",\"file_bytes\":%" PRIu64
                      ",\"journal_offset\":%" PRIu64 ",\"ignored_journal_bytes\":%" PRIu64
                      ",\"hashes_without_deadlines\":%" PRIu64 ",\"took_ms\":%" PRId64 "}\n",
                      complete ? "ok" : "incomplete", command->version, report->keys,
                      report->unwanted, report->bytes, context->written, report->offset,
                      report->behind, report->undated, took_ms);
        return;
    }
    (void)fprintf(to, "Exported %s keys as RDB version %d, %s, in %.1f s.\n",
                  progress_format_count(report->keys, a), command->version,
                  progress_format_bytes(context->written, b), (double)took_ms / 1000);
    if (report->unwanted != 0)
        (void)fprintf(to, "Left out: %s keys that were not wanted.\n",
                      progress_format_count(report->unwanted, a));
    if (report->behind != 0)
        (void)fprintf(to, "NOT EXPORTED: %s of changes in the journal.\n",
                      progress_format_bytes(report->behind, a));
    if (report->undated != 0)
        (void)fprintf(to,
                      "NOT EXPORTED: the deadlines of fields of %s hashes (--rdb-version 12).\n",
                      progress_format_count(report->undated, a));
}

static int run(const struct export_command *command)
{
    struct context context = {.command = command, .env = env_posix(), .path = "standard output"};
    struct rdb_export_report report;
    struct err err = {0};
    bool is_stdout = strcmp(command->file, "-") == 0;
    progress_init(&context.progress, stderr, isatty(STDERR_FILENO) == 1);
    tool_signals_catch(&context.signals);
    tool_allow_many_files();
    if (command->zstd)
        context.packer = compress_context_create();
    int64_t from_us = env_now_mono_us(context.env);
    context.fd = STDOUT_FILENO;
    enum status st =
        is_stdout ? export_to(&context, &report, &err) : export_to_file(&context, &report, &err);
    progress_clear(&context.progress);
    int status = EXIT_DONE;
    if (st != ST_OK) {
        tool_print_failure(COMMAND, command->json && !is_stdout, st, &err);
        if (st == ST_INVALID && !command->ignore_journal)
            (void)fprintf(stderr, "Start the server on it once and stop it, or use "
                                  "--ignore-journal to export the last cut.\n");
        status =
            context.signals.signal != 0 ? EXIT_SIGNALLED + context.signals.signal : EXIT_FAILED;
    } else {
        print_report(&context, &report, (env_now_mono_us(context.env) - from_us) / 1000);
        if (report.behind != 0 || report.undated != 0)
            status = EXIT_INCOMPLETE;
    }
    compress_context_destroy(context.packer);
    buf_deinit(&context.packed);
    tool_signals_release(&context.signals);
    return fflush(stdout) == 0 ? status : EXIT_FAILED;
}

int basalt_rdb_export(int argc, char **argv)
{
    struct export_command command;
    int status = EXIT_USAGE;
    if (parse_command(argc, argv, &command)) {
        if (command.help)
            print_help(stdout);
        status = command.help ? EXIT_DONE : run(&command);
    }
    rdb_filter_deinit(&command.filter);
    return status;
}
