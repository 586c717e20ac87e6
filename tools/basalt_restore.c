/* basalt restore: a data directory out of a backup. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "codec/buf.h"
#include "codec/number.h"
#include "storage/backup.h"
#include "storage/env.h"
#include "tools/basalt_command.h"
#include "tools/progress.h"
#include "tools/tool_output.h"

static void print_help(FILE *out)
{
    (void)fprintf(
        out,
        "Usage: basalt restore DEST DIR [options]\n\n"
        "Makes the data directory DIR out of a backup in DEST (see `basalt backup --list DEST`).\n"
        "DIR must not exist or be empty. Each file is compared with its checksum.\n\n"
        "  --backup NAME   which backup (default: the latest that will do)\n"
        "  --to-offset N   not what was written behind this offset of the journal: the dataset\n"
        "                  stops at the last turn of the server's loop that ends at N or before\n"
        "                  (default: where the backup ends)\n"
        "  --to-time T     not what was written behind this moment: seconds since 1970, or UTC as\n"
        "                  2026-11-21T17:57:23Z (the whole second is in)\n"
        "  --journal DIR   read the journal also from DIR: a server's directory journal/, or a "
        "copy\n"
        "                  of its journal/archive/; for what no backup has yet. Without "
        "--to-offset\n"
        "                  and --to-time all of it is applied\n"
        "  --json          the result as JSON on standard output\n"
        "  --help          this text\n\n"
        "The restored dataset has a replication id of its own: replicas of the old one make a\n"
        "full resynchronization.\n\n"
        "Exit status: 0 done; 1 it failed, and DIR is as it was; 2 the command line is wrong.\n");
}

struct restore_command {
    struct restore_options options;
    bool json, help;
};

struct context {
    struct progress progress;
    struct env *env;
    struct tool_signals signals;
};

/* The last millisecond of a second. */
static bool parse_time(const char *text, int64_t *ms_out)
{
    struct tm tm = {0};
    uint64_t seconds;
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (end != NULL && (strcmp(end, "Z") == 0 || *end == '\0'))
        seconds = (uint64_t)timegm(&tm);
    else if (!number_parse_u64(bytes_text(text), &seconds))
        return false;
    if (seconds > INT64_MAX / 1000 - 1)
        return false;
    *ms_out = (int64_t)seconds * 1000 + 999;
    return true;
}

static bool parse_command(int argc, char **argv, struct restore_command *out)
{
    static const struct option long_options[] = {{"backup", required_argument, NULL, 'b'},
                                                 {"to-offset", required_argument, NULL, 'o'},
                                                 {"to-time", required_argument, NULL, 't'},
                                                 {"journal", required_argument, NULL, 'd'},
                                                 {"json", no_argument, NULL, 'j'},
                                                 {"help", no_argument, NULL, 'h'},
                                                 {NULL, 0, NULL, 0}};
    *out = (struct restore_command){.json = false};
    opterr = 0;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, ":h", long_options, NULL)) != -1;) {
        switch (option) {
        case 'b':
            out->options.name = optarg;
            break;
        case 'o':
            out->options.has_offset = true;
            if (!number_parse_u64(bytes_text(optarg), &out->options.to_offset))
                return tool_complain("restore", "--to-offset wants a number, not", optarg);
            break;
        case 't':
            out->options.has_time = true;
            if (!parse_time(optarg, &out->options.to_time_ms))
                return tool_complain("restore", "--to-time wants 2026-11-21T17:57:23Z, not",
                                     optarg);
            break;
        case 'd':
            out->options.journal_dir = optarg;
            break;
        case 'j':
            out->json = true;
            break;
        case 'h':
            out->help = true;
            return true;
        case ':':
            return tool_complain("restore", "a value is missing behind", argv[optind - 1]);
        default:
            return tool_complain("restore", "unknown option", argv[optind - 1]);
        }
    }
    if (argc - optind != 2)
        return tool_complain("restore", "two directories are wanted, the backups' and the new one",
                             NULL);
    if (out->options.has_time && out->options.has_offset)
        return tool_complain("restore", "either --to-time or --to-offset", NULL);
    out->options.dest = argv[optind];
    out->options.dir = argv[optind + 1];
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

static void print_result(const struct restore_command *command, const struct restore_report *report)
{
    char a[32];
    if (command->json) {
        struct buf out = {0};
        buf_append_format(
            &out,
            "{\"status\":\"ok\",\"backup\":\"%s\",\"cut_offset\":%" PRIu64
            ",\"end_offset\":%" PRIu64 ",\"files\":%" PRIu64 ",\"bytes\":%" PRIu64 "}\n",
            report->name, report->cut_offset, report->end_offset, report->files, report->bytes);
        tool_print(&out);
        buf_deinit(&out);
        return;
    }
    (void)printf("Restored backup %s to %s: %s, the dataset at offset %" PRIu64 ".\n", report->name,
                 command->options.dir, progress_format_bytes(report->bytes, a), report->end_offset);
}

int basalt_restore(int argc, char **argv)
{
    struct restore_command command;
    if (!parse_command(argc, argv, &command))
        return EXIT_USAGE;
    if (command.help) {
        print_help(stdout);
        return EXIT_DONE;
    }
    struct context context = {.env = env_posix()};
    struct restore_report report;
    struct err err = {0};
    command.options.env = context.env;
    command.options.progress = show_progress;
    command.options.arg = &context;
    progress_init(&context.progress, stderr, isatty(STDERR_FILENO) == 1);
    tool_signals_catch(&context.signals);
    tool_allow_many_files();
    enum status st = restore_run(&command.options, &report, &err);
    progress_clear(&context.progress);
    tool_signals_release(&context.signals);
    if (st != ST_OK) {
        tool_print_failure("restore", command.json, st, &err);
        return context.signals.signal != 0 ? EXIT_SIGNALLED + context.signals.signal : EXIT_FAILED;
    }
    print_result(&command, &report);
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}
