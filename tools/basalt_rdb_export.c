/* basalt rdb export: an RDB file out of a data directory, or of a running server. */
#include "codec/number.h"
#include "server/version.h"
#include "storage/env.h"
#include "storage/rdb_export.h"
#include "tools/basalt_command.h"
#include "tools/progress.h"
#include "tools/rdb_fetch.h"
#include "tools/rdb_filter.h"
#include "tools/rdb_output.h"
#include "tools/rdb_rewrite.h"
#include "tools/tool_output.h"
#include "tools/tool_tls.h"

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
        "Usage: basalt rdb export --dir DIR -o FILE|- [options]\n"
        "       basalt rdb export --host HOST [--port PORT] -o FILE|- [options]\n"
        "       basalt rdb export --socket PATH -o FILE|- [options]\n\n"
        "Writes a dataset as an RDB file for Redis, or for `basalt rdb import`: out of a data\n"
        "directory whose server does not run, in which nothing is changed, or out of a running\n"
        "server, Basalt or Redis, which sends it as to a replica.\n\n"
        "  --dir DIR          the data directory\n"
        "  --host HOST        the server (default 127.0.0.1 if --port is given)\n"
        "  --port PORT        its port (default 6379)\n"
        "  --socket PATH      its unix socket\n"
        "  --user NAME        to log in with\n"
        "  --password TEXT    the password; better in " TOOL_PASSWORD_VARIABLES ",\n"
        "                     for command lines can be seen by others\n"
        "  --tls              speak TLS; with --cacert FILE or --cacertdir DIR, --cert FILE and\n"
        "                     --key FILE, --sni NAME, --insecure, as in redis-cli\n"
        "  -o, --output FILE  the file, which is replaced when the new one is complete; - is\n"
        "                     standard output\n"
        "  --rdb-version N    %d to %d (default: what a server sends; of a directory %d, which\n"
        "                     Redis 7.0 and later read; below 12 the deadlines of hash fields are\n"
        "                     lost)\n"
        "  --zstd             pack the file; `basalt rdb import` unpacks it by itself\n"
        "  --db N             only keys of that database; more than once: of these\n"
        "  --match PATTERN    only keys whose names match, as in SCAN\n"
        "  --type TYPE        only string, list, set, zset, hash or stream; more than once: these\n"
        "  --ignore-journal   export the last cut of a directory although the journal has later\n"
        "                     changes\n"
        "  --json             the result as JSON on standard error if the file is standard "
        "output,\n"
        "                     else on standard output\n"
        "  --help             this text\n\n"
        "After a crash, start the server on DIR once and stop it: then the journal is applied.\n"
        "With a choice of keys, libraries of functions are left out.\n\n"
        "Exit status: 0 all was exported; 1 there is no new file; 2 the command line is wrong;\n"
        "3 exported, but for changes in the journal, or what the version cannot tell.\n",
        VERSION_MIN, RDB_VERSION_MAX, RDB_VERSION_DEFAULT);
}

struct export_command {
    const char *dir, *file;
    bool online;
    struct tool_server server;
    bool tls;
    struct tool_tls_options tls_options;
    int version; /* 0: not given */
    struct rdb_filter filter;
    bool zstd, ignore_journal, json, help;
};

struct context {
    const struct export_command *command;
    struct env *env;
    struct rdb_output output;
    struct rdb_fetch fetch;
    struct progress progress;
    struct tool_signals signals;
};

/* What there is to tell of either export. */
struct result {
    int version;
    uint64_t keys, unwanted, rdb_bytes, undated;
    struct rdb_export_report dir;     /* of a directory */
    struct rdb_rewrite_report server; /* of a server */
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

/* What is needed, and what does not go together. */
static bool check_command(struct export_command *out)
{
    const struct tool_tls_options *tls = &out->tls_options;
    bool tls_set = tls->authority_file != NULL || tls->authority_dir != NULL ||
                   tls->certificate_file != NULL || tls->key_file != NULL ||
                   tls->server_name != NULL || tls->insecure;
    out->online =
        out->server.host != NULL || out->server.port != NULL || out->server.socket != NULL;
    if (!out->online && out->dir == NULL)
        return tool_complain(COMMAND, "of which directory or server? (--dir DIR, or --host HOST)",
                             NULL);
    if (out->online && out->dir != NULL)
        return tool_complain(COMMAND, "of a directory or of a server? --dir came with", "--host");
    if (out->server.socket != NULL && (out->server.host != NULL || out->server.port != NULL))
        return tool_complain(COMMAND, "one server is wanted: --socket came with", "--host");
    if (out->online && out->ignore_journal)
        return tool_complain(COMMAND, "only a directory can be exported with", "--ignore-journal");
    if (!out->online && (out->tls || out->server.user != NULL || out->server.password != NULL))
        return tool_complain(COMMAND, "only for a server are", "--tls, --user and --password");
    if (tls_set && !out->tls)
        return tool_complain(COMMAND, "certificates are for", "--tls");
    if ((tls->certificate_file == NULL) != (tls->key_file == NULL))
        return tool_complain(COMMAND, "--cert and --key go together", NULL);
    if (out->file == NULL)
        return tool_complain(COMMAND, "into which file? (-o FILE, or - for standard output)", NULL);
    if (out->server.host == NULL)
        out->server.host = "127.0.0.1";
    if (out->server.port == NULL)
        out->server.port = "6379";
    out->server.tls = out->tls ? &out->tls_options : NULL;
    return true;
}

/* Options whose values are taken as they are. */
static const char **find_text(struct export_command *out, int option)
{
    switch (option) {
    case 'd':
        return &out->dir;
    case 'o':
        return &out->file;
    case 'p':
        return &out->filter.pattern;
    case 'H':
        return &out->server.host;
    case 'P':
        return &out->server.port;
    case 'S':
        return &out->server.socket;
    case 'U':
        return &out->server.user;
    case 'W':
        return &out->server.password;
    case 'A':
        return &out->tls_options.authority_file;
    case 'D':
        return &out->tls_options.authority_dir;
    case 'C':
        return &out->tls_options.certificate_file;
    case 'K':
        return &out->tls_options.key_file;
    case 'N':
        return &out->tls_options.server_name;
    default:
        return NULL;
    }
}

static bool *find_switch(struct export_command *out, int option)
{
    switch (option) {
    case 'z':
        return &out->zstd;
    case 'i':
        return &out->ignore_journal;
    case 'j':
        return &out->json;
    case 'h':
        return &out->help;
    case 'T':
        return &out->tls;
    case 'I':
        return &out->tls_options.insecure;
    default:
        return NULL;
    }
}

static bool take_option(struct export_command *out, int option, char **argv)
{
    const char **text = find_text(out, option);
    bool *on = find_switch(out, option);
    if (text != NULL)
        *text = optarg;
    else if (on != NULL)
        *on = true;
    else if (option == 'v')
        return parse_version(optarg, out);
    else if (option == 'b')
        return rdb_filter_add_db(&out->filter, COMMAND, optarg);
    else if (option == 't')
        return rdb_filter_add_type(&out->filter, COMMAND, optarg);
    else
        return tool_complain(COMMAND,
                             option == ':' ? "a value is missing behind" : "unknown option",
                             argv[optind - 1]);
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
                                                 {"host", required_argument, NULL, 'H'},
                                                 {"port", required_argument, NULL, 'P'},
                                                 {"socket", required_argument, NULL, 'S'},
                                                 {"user", required_argument, NULL, 'U'},
                                                 {"password", required_argument, NULL, 'W'},
                                                 {"tls", no_argument, NULL, 'T'},
                                                 {"cacert", required_argument, NULL, 'A'},
                                                 {"cacertdir", required_argument, NULL, 'D'},
                                                 {"cert", required_argument, NULL, 'C'},
                                                 {"key", required_argument, NULL, 'K'},
                                                 {"sni", required_argument, NULL, 'N'},
                                                 {"insecure", no_argument, NULL, 'I'},
                                                 {NULL, 0, NULL, 0}};
    *out = (struct export_command){.file = NULL};
    opterr = 0;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, ":ho:", long_options, NULL)) != -1;)
        if (!take_option(out, option, argv))
            return false;
    if (out->help)
        return true;
    if (optind < argc)
        return tool_complain(COMMAND, "unexpected", argv[optind]);
    return check_command(out);
}

/* ---- A directory ---- */

static bool is_wanted(void *arg, uint32_t db, enum object_type type, struct bytes key)
{
    return rdb_filter_wants(&((const struct context *)arg)->command->filter, db, type, key);
}

static bool show_records(void *arg, uint64_t seen, uint64_t total)
{
    struct context *context = arg;
    struct progress_step step = {
        .name = "exporting", .unit = PROGRESS_RECORDS, .done = seen, .total = total};
    progress_show(&context->progress, &step, env_now_mono_us(context->env) / 1000);
    return !tool_signals_poll(&context->signals);
}

static enum status export_dir(struct context *context, struct result *result, struct err *err)
{
    const struct export_command *command = context->command;
    struct rdb_export_options options = {
        .env = context->env,
        .dir = command->dir,
        .redis_version = REDIS_COMPATIBLE_VERSION,
        .version = command->version != 0 ? command->version : RDB_VERSION_DEFAULT,
        .ignore_journal = command->ignore_journal,
        .write = rdb_output_write,
        .write_arg = &context->output,
        .wanted = rdb_filter_is_empty(&command->filter) ? NULL : is_wanted,
        .progress = show_records,
        .arg = context};
    enum status st = rdb_export_run(&options, &result->dir, err);
    result->version = options.version;
    result->keys = result->dir.keys;
    result->unwanted = result->dir.unwanted;
    result->rdb_bytes = result->dir.bytes;
    result->undated = result->dir.undated;
    return st;
}

/* ---- A server ---- */

static bool show_bytes(void *arg, uint64_t keys)
{
    struct context *context = arg;
    struct progress_step step = {.name = "receiving",
                                 .unit = PROGRESS_BYTES,
                                 .done = context->fetch.read,
                                 .total = context->fetch.bytes,
                                 .keys = keys};
    progress_show(&context->progress, &step, env_now_mono_us(context->env) / 1000);
    return !tool_signals_poll(&context->signals);
}

static enum status export_server(struct context *context, struct result *result, struct err *err)
{
    const struct export_command *command = context->command;
    struct rdb_rewrite_options options = {.read = rdb_fetch_read,
                                          .read_arg = &context->fetch,
                                          .write = rdb_output_write,
                                          .write_arg = &context->output,
                                          .version = command->version,
                                          .filter = &command->filter,
                                          .now_ms = env_now_realtime_ms(context->env),
                                          .progress = show_bytes,
                                          .arg = context};
    enum status st = rdb_rewrite_run(&options, &result->server, err);
    result->version = result->server.version;
    result->keys = result->server.keys;
    result->unwanted = result->server.unwanted;
    result->rdb_bytes = result->server.bytes;
    result->undated = result->server.undated;
    return st;
}

/* ---- Results ---- */

static bool is_complete(const struct result *result)
{
    return result->dir.behind == 0 && result->undated == 0 && result->server.modules == 0 &&
           result->server.functions == 0;
}

static void print_json(FILE *to, const struct context *context, const struct result *result,
                       int64_t took_ms)
{
    (void)fprintf(to,
                  "{\"status\":\"%s\",\"rdb_version\":%d,\"keys\":%" PRIu64 ",\"unwanted\":%" PRIu64
                  ",\"rdb_bytes\":%" PRIu64 ",\"file_bytes\":%" PRIu64,
                  is_complete(result) ? "ok" : "incomplete", result->version, result->keys,
                  result->unwanted, result->rdb_bytes, context->output.written);
    if (context->command->online)
        (void)fprintf(to,
                      ",\"received_bytes\":%" PRIu64
                      ",\"checksum\":%s,\"module_records_left_out\":%" PRIu64
                      ",\"functions_left_out\":%" PRIu64,
                      context->fetch.read, result->server.has_checksum ? "true" : "false",
                      result->server.modules, result->server.functions);
    else
        (void)fprintf(to, ",\"journal_offset\":%" PRIu64 ",\"ignored_journal_bytes\":%" PRIu64,
                      result->dir.offset, result->dir.behind);
    (void)fprintf(to, ",\"hashes_without_deadlines\":%" PRIu64 ",\"took_ms\":%" PRId64 "}\n",
                  result->undated, took_ms);
}

static void print_result(const struct context *context, const struct result *result,
                         int64_t took_ms)
{
    const struct export_command *command = context->command;
    FILE *to = strcmp(command->file, "-") == 0 ? stderr : stdout;
    char a[32];
    char b[32];
    if (command->json) {
        print_json(to, context, result, took_ms);
        return;
    }
    (void)fprintf(
        to, "Exported %s keys as RDB version %d, %s, in %.1f s%s.\n",
        progress_format_count(result->keys, a), result->version,
        progress_format_bytes(context->output.written, b), (double)took_ms / 1000,
        command->online && !result->server.has_checksum ? "; the server has sent no checksum" : "");
    if (result->unwanted != 0)
        (void)fprintf(to, "Left out: %s keys that were not wanted.\n",
                      progress_format_count(result->unwanted, a));
    if (result->dir.behind != 0)
        (void)fprintf(to, "NOT EXPORTED: %s of changes in the journal.\n",
                      progress_format_bytes(result->dir.behind, a));
    if (result->undated != 0)
        (void)fprintf(to,
                      "NOT EXPORTED: the deadlines of fields of %s hashes (--rdb-version 12).\n",
                      progress_format_count(result->undated, a));
    if (result->server.functions != 0)
        (void)fprintf(to, "NOT EXPORTED: %s libraries of functions (--rdb-version 10).\n",
                      progress_format_count(result->server.functions, a));
    if (result->server.modules != 0)
        (void)fprintf(to, "NOT EXPORTED: %s records of modules' own data.\n",
                      progress_format_count(result->server.modules, a));
}

/* ---- Running ---- */

/* The file is begun when there is something to write. */
static enum status export_to_file(struct context *context, struct result *result, struct err *err)
{
    const struct export_command *command = context->command;
    enum status st = ST_OK;
    if (command->online)
        st = rdb_fetch_open(&context->fetch, &command->server, &context->signals, err);
    if (st == ST_OK)
        st = rdb_output_open(&context->output, context->env, command->file, command->zstd, err);
    if (st == ST_OK) {
        st = command->online ? export_server(context, result, err)
                             : export_dir(context, result, err);
        st = rdb_output_close(&context->output, st, err);
    }
    rdb_fetch_close(&context->fetch);
    return st;
}

static int run(const struct export_command *command)
{
    struct context context = {.command = command, .env = env_posix(), .fetch.client.fd = -1};
    struct result result = {.version = 0};
    struct err err = {0};
    bool is_stdout = strcmp(command->file, "-") == 0;
    progress_init(&context.progress, stderr, isatty(STDERR_FILENO) == 1);
    tool_signals_catch(&context.signals);
    tool_allow_many_files();
    int64_t from_us = env_now_mono_us(context.env);
    enum status st = export_to_file(&context, &result, &err);
    progress_clear(&context.progress);
    tool_signals_release(&context.signals);
    if (st != ST_OK) {
        tool_print_failure(COMMAND, command->json && !is_stdout, st, &err);
        if (st == ST_INVALID && !command->online && !command->ignore_journal)
            (void)fprintf(stderr, "Start the server on it once and stop it, or use "
                                  "--ignore-journal to export the last cut.\n");
        return context.signals.signal != 0 ? EXIT_SIGNALLED + context.signals.signal : EXIT_FAILED;
    }
    print_result(&context, &result, (env_now_mono_us(context.env) - from_us) / 1000);
    if (fflush(stdout) != 0)
        return EXIT_FAILED;
    return is_complete(&result) ? EXIT_DONE : EXIT_INCOMPLETE;
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
