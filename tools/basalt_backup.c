/* basalt backup: copies a dataset, of a running server or of a directory, to a backup directory. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "codec/buf.h"
#include "codec/number.h"
#include "storage/backup.h"
#include "storage/backup_stage.h"
#include "storage/cold.h"
#include "storage/env.h"
#include "tools/basalt_command.h"
#include "tools/progress.h"
#include "tools/tool_client.h"
#include "tools/tool_output.h"

#define POLL_MS 50

static void print_help(FILE *out)
{
    (void)fprintf(
        out,
        "Usage: basalt backup DIR DEST [options]\n"
        "       basalt backup --host HOST [--port PORT] DEST [options]\n"
        "       basalt backup --list DEST\n"
        "       basalt backup --verify DEST\n\n"
        "Copies a dataset to the backup directory DEST, which may hold many backups: what an\n"
        "earlier one has stored is not copied again. DIR is a data directory that no server uses.\n"
        "With --host a running server is asked to let its files be copied (BACKUP START); it must\n"
        "be on this machine, or its directory must be visible here under the same name.\n\n"
        "  --host HOST    the server (default 127.0.0.1 if --port is given)\n"
        "  --port PORT    its port (default 6379)\n"
        "  --user NAME    to log in with; the password is taken from\n"
        "                 " TOOL_PASSWORD_VARIABLES "\n"
        "  --incremental  fail unless DEST has an earlier backup of this dataset\n"
        "  --force        end a backup that another tool has begun at the server\n"
        "  --list         tell which backups DEST has\n"
        "  --verify       read all files of DEST and compare their checksums\n"
        "  --json         the result as JSON on standard output\n"
        "  --help         this text\n\n"
        "`basalt restore` makes a data directory of a backup.\n\n"
        "Exit status: 0 done; 1 it failed, and there is no new backup; 2 the command line is\n"
        "wrong.\n");
}

struct backup_command {
    const char *host, *port, *user;
    const char *dir, *dest;
    bool online, incremental, force, list, verify, json, help;
};

struct context {
    struct progress progress;
    struct env *env;
    struct tool_signals signals;
};

static bool parse_command(int argc, char **argv, struct backup_command *out)
{
    enum {
        HOST = 'H',
        PORT = 'p',
        USER = 'u',
        INCREMENTAL = 'i',
        FORCE = 'f',
        LIST = 'l',
        VERIFY = 'v',
        JSON = 'j'
    };
    static const struct option long_options[] = {
        {"host", required_argument, NULL, HOST}, {"port", required_argument, NULL, PORT},
        {"user", required_argument, NULL, USER}, {"incremental", no_argument, NULL, INCREMENTAL},
        {"force", no_argument, NULL, FORCE},     {"list", no_argument, NULL, LIST},
        {"verify", no_argument, NULL, VERIFY},   {"json", no_argument, NULL, JSON},
        {"help", no_argument, NULL, 'h'},        {NULL, 0, NULL, 0}};
    *out = (struct backup_command){.host = "127.0.0.1", .port = "6379"};
    opterr = 0;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, ":h", long_options, NULL)) != -1;) {
        switch (option) {
        case HOST:
            out->host = optarg;
            out->online = true;
            break;
        case PORT:
            out->port = optarg;
            out->online = true;
            break;
        case USER:
            out->user = optarg;
            break;
        case INCREMENTAL:
            out->incremental = true;
            break;
        case FORCE:
            out->force = true;
            break;
        case LIST:
            out->list = true;
            break;
        case VERIFY:
            out->verify = true;
            break;
        case JSON:
            out->json = true;
            break;
        case 'h':
            out->help = true;
            return true;
        case ':':
            return tool_complain("backup", "a value is missing behind", argv[optind - 1]);
        default:
            return tool_complain("backup", "unknown option", argv[optind - 1]);
        }
    }
    int wanted = out->online || out->list || out->verify ? 1 : 2;
    if (argc - optind != wanted)
        return tool_complain("backup",
                             wanted == 1
                                 ? "one directory is wanted, that of the backups"
                                 : "two directories are wanted, the data's and the backups'",
                             NULL);
    out->dest = argv[argc - 1];
    out->dir = wanted == 2 ? argv[optind] : NULL;
    return true;
}

static bool show_progress(void *arg, const char *what, uint64_t done, uint64_t total)
{
    struct context *context = arg;
    struct progress_step step = {
        .name = what, .unit = PROGRESS_BYTES, .done = done, .total = total};
    progress_show(&context->progress, &step, env_now_mono_us(context->env) / 1000);
    return !tool_signals_poll(&context->signals);
}

/* ---- A running server ---- */

static enum status call(struct tool_client *client, struct tool_reply *reply, const char *verb,
                        struct err *err)
{
    return tool_client_call(client, (const char *const[]){"BACKUP", verb, NULL}, reply, err);
}

/* Until the stage is in another state than `from`. */
static enum status wait_while(struct tool_client *client, struct tool_reply *reply,
                              const char *from, struct context *context, struct err *err)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000};
    for (;;) {
        enum status st = call(client, reply, "STATUS", err);
        if (st != ST_OK || strcmp(tool_reply_find(reply, "state"), from) != 0)
            return st;
        if (tool_signals_poll(&context->signals))
            return err_set(err, ST_AGAIN, "stopped");
        (void)nanosleep(&pause, NULL);
    }
}

static enum status stage(struct tool_client *client, const struct backup_command *command,
                         struct tool_reply *reply, struct context *context, struct err *err)
{
    enum status st = ST_OK;
    if (command->force) {
        st = wait_while(client, reply, "staging", context, err);
        if (st == ST_OK)
            (void)!call(client, reply, "END", NULL); /* there may be none */
        if (st == ST_OK)
            st = wait_while(client, reply, "ending", context, err);
    }
    if (st == ST_OK)
        st = call(client, reply, "START", err);
    if (st == ST_OK)
        st = wait_while(client, reply, "staging", context, err);
    if (st == ST_OK && strcmp(tool_reply_find(reply, "state"), "ready") != 0)
        st = err_set(err, ST_IO, "the server could not prepare a backup: %s",
                     tool_reply_find(reply, "error"));
    return st;
}

static bool read_number(const struct tool_reply *reply, const char *name, uint64_t *out)
{
    return number_parse_u64(bytes_text(tool_reply_find(reply, name)), out);
}

struct source_paths {
    char rocksdb[ENV_PATH_BYTES_MAX];
    char journal[ENV_PATH_BYTES_MAX];
};

/* Where the server's files are, as its answer tells. */
static enum status describe_stage(struct env *env, const struct tool_reply *reply,
                                  struct source_paths *paths, struct backup_source *out,
                                  struct err *err)
{
    const char *dir = tool_reply_find(reply, "dir");
    const char *id = tool_reply_find(reply, "replication-id");
    if (strlen(id) != 40 || strlen(dir) > ENV_PATH_BYTES_MAX - 64 ||
        !read_number(reply, "cut-offset", &out->cut_offset) ||
        !read_number(reply, "end-offset", &out->end_offset))
        return err_set(err, ST_CORRUPT, "the server's answer cannot be understood");
    memcpy(out->replication_id, id, 41);
    (void)snprintf(paths->rocksdb, sizeof(paths->rocksdb), "%s/rocksdb", dir);
    enum status st = backup_read_store_id(env, paths->rocksdb, out->store, err);
    if (st == ST_NOT_FOUND)
        return err_set(err, ST_NOT_FOUND,
                       "the server's directory %s is not here: run this on its machine", dir);
    (void)snprintf(paths->rocksdb, sizeof(paths->rocksdb), "%s/" BACKUP_STAGE_DIR "/rocksdb", dir);
    (void)snprintf(paths->journal, sizeof(paths->journal), "%s/journal", dir);
    out->rocksdb_dir = paths->rocksdb;
    out->journal_dir = paths->journal;
    return st;
}

static enum status back_up_server(const struct backup_command *command, struct context *context,
                                  struct backup_options *options, struct backup_report *report,
                                  struct err *err)
{
    static struct source_paths paths;
    struct tool_client client;
    struct tool_reply reply = {.count = 0};
    struct backup_source source = {.rocksdb_dir = NULL};
    struct tool_server server = {
        .host = command->host, .port = command->port, .user = command->user};
    enum status st = tool_client_connect(&client, &server, NULL, err);
    if (st == ST_OK)
        st = stage(&client, command, &reply, context, err);
    bool staged = st == ST_OK;
    if (st == ST_OK)
        st = describe_stage(context->env, &reply, &paths, &source, err);
    options->source = &source;
    if (st == ST_OK)
        st = backup_write(options, report, err);
    if (staged && (call(&client, &reply, "END", NULL) != ST_OK ||
                   wait_while(&client, &reply, "ending", context, NULL) == ST_IO))
        (void)fprintf(stderr, "basalt backup: the server was not told that it is over: BACKUP END "
                              "frees what it keeps for it\n");
    options->source = NULL;
    tool_client_close(&client);
    tool_reply_deinit(&reply);
    return st;
}

/* ---- A directory ---- */

static enum status back_up_dir(const struct backup_command *command, struct context *context,
                               struct backup_options *options, struct backup_report *report,
                               struct err *err)
{
    static struct source_paths paths;
    struct backup_source source = {.rocksdb_dir = paths.rocksdb, .journal_dir = paths.journal};
    int lock = -1;
    (void)snprintf(paths.rocksdb, sizeof(paths.rocksdb), "%s/rocksdb", command->dir);
    (void)snprintf(paths.journal, sizeof(paths.journal), "%s/journal", command->dir);
    enum status st = cold_lock(paths.rocksdb, &lock, err);
    if (st == ST_EXISTS)
        return err_set(err, st, "%s is in use: back up its server (--host, --port)", command->dir);
    if (st == ST_OK)
        st = backup_describe_dir(context->env, command->dir, &source, err);
    options->source = &source;
    if (st == ST_OK)
        st = backup_write(options, report, err);
    options->source = NULL;
    cold_unlock(lock);
    return st;
}

/* ---- Results ---- */

static void print_result(const struct backup_command *command, const struct backup_report *report)
{
    char a[32];
    char b[32];
    char c[32];
    if (command->json) {
        struct buf out = {0};
        buf_append_format(&out,
                          "{\"status\":\"ok\",\"backup\":\"%s\",\"cut_offset\":%" PRIu64
                          ",\"end_offset\":%" PRIu64 ",\"files\":%" PRIu64 ",\"bytes\":%" PRIu64
                          ",\"copied_files\":%" PRIu64 ",\"copied_bytes\":%" PRIu64 "}\n",
                          report->name, report->cut_offset, report->end_offset, report->files,
                          report->bytes, report->copied_files, report->copied_bytes);
        tool_print(&out);
        buf_deinit(&out);
        return;
    }
    (void)printf("Backup %s: %s in %s files, of which %s was not there yet. It ends at offset "
                 "%" PRIu64 ".\n",
                 report->name, progress_format_bytes(report->bytes, a),
                 progress_format_count(report->files, b),
                 progress_format_bytes(report->copied_bytes, c), report->end_offset);
}

static enum status list(const struct backup_command *command, struct context *context,
                        struct err *err)
{
    struct backup_list found;
    struct buf out = {0};
    enum status st = backup_list_read(context->env, command->dest, &found, err);
    if (st != ST_OK)
        return st;
    if (command->json)
        buf_append_text(&out, "[");
    for (size_t i = 0; i < found.count; i++) {
        const struct backup_manifest *m = &found.items[i];
        uint64_t bytes = 0;
        char a[32];
        for (size_t k = 0; k < m->count; k++)
            bytes += m->files[k].bytes;
        if (command->json)
            buf_append_format(&out,
                              "%s{\"backup\":\"%s\",\"created_ms\":%" PRId64
                              ",\"history\":\"%s\",\"cut_offset\":%" PRIu64
                              ",\"end_offset\":%" PRIu64 ",\"files\":%zu,\"bytes\":%" PRIu64 "}",
                              i == 0 ? "" : ",", m->name, m->created_ms, m->replication_id,
                              m->cut_offset, m->end_offset, m->count, bytes);
        else
            buf_append_format(&out,
                              "%-20s %10s in %zu files, offsets %" PRIu64 " to %" PRIu64
                              " of history %.8s\n",
                              m->name, progress_format_bytes(bytes, a), m->count, m->cut_offset,
                              m->end_offset, m->replication_id);
    }
    buf_append_text(&out, command->json ? "]\n" : "");
    tool_print(&out);
    buf_deinit(&out);
    backup_list_deinit(&found);
    return ST_OK;
}

static enum status verify(const struct backup_command *command, struct context *context,
                          struct err *err)
{
    uint64_t files = 0;
    enum status st =
        backup_verify(context->env, command->dest, NULL, show_progress, context, &files, err);
    progress_clear(&context->progress);
    if (st == ST_OK && command->json)
        (void)printf("{\"status\":\"ok\",\"files\":%" PRIu64 "}\n", files);
    else if (st == ST_OK)
        (void)printf("All %" PRIu64 " files are as they were stored.\n", files);
    return st;
}

int basalt_backup(int argc, char **argv)
{
    struct backup_command command;
    if (!parse_command(argc, argv, &command))
        return EXIT_USAGE;
    if (command.help) {
        print_help(stdout);
        return EXIT_DONE;
    }
    struct context context = {.env = env_posix()};
    struct backup_options options = {.env = context.env,
                                     .dest = command.dest,
                                     .incremental = command.incremental,
                                     .progress = show_progress,
                                     .arg = &context};
    struct backup_report report;
    struct err err = {0};
    progress_init(&context.progress, stderr, isatty(STDERR_FILENO) == 1);
    tool_signals_catch(&context.signals);
    tool_allow_many_files();
    enum status st;
    if (command.list)
        st = list(&command, &context, &err);
    else if (command.verify)
        st = verify(&command, &context, &err);
    else if (command.online)
        st = back_up_server(&command, &context, &options, &report, &err);
    else
        st = back_up_dir(&command, &context, &options, &report, &err);
    progress_clear(&context.progress);
    tool_signals_release(&context.signals);
    if (st != ST_OK) {
        tool_print_failure("backup", command.json, st, &err);
        return context.signals.signal != 0 ? EXIT_SIGNALLED + context.signals.signal : EXIT_FAILED;
    }
    if (!command.list && !command.verify)
        print_result(&command, &report);
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}
