/* basalt check: whether a data directory is sound. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "codec/buf.h"
#include "codec/mem.h"
#include "storage/audit.h"
#include "storage/env.h"
#include "tools/basalt_command.h"
#include "tools/progress.h"
#include "tools/tool_output.h"

#define SHOWN_PER_KIND 20 /* the rest is only counted */

static void print_help(FILE *out)
{
    (void)fprintf(
        out,
        "Usage: basalt check DIR [--deep] [--repair] [--json]\n\n"
        "Reads a whole data directory (what the server is given as `dir`; no server may use it)\n"
        "and tells what is wrong in it, and where: damaged blocks of the journal, files that\n"
        "RocksDB cannot read, records and elements that cannot be decoded, counts that are not\n"
        "true, elements that belong to nothing. The journal behind the last cut is checked but\n"
        "not applied: the server does that when it starts.\n\n"
        "  --deep     also follow single references: is each expiring key in the expiry index,\n"
        "             each node of a list where its page says, and so on; slower, with a random\n"
        "             read for each\n"
        "  --repair   put right what can be without losing anything: counters, missing or\n"
        "             meaningless entries of the expiry index, elements that belong to nothing,\n"
        "             an unfinished write at the journal's end. Works best with --deep\n"
        "  --json     the result as JSON on standard output, a line per finding before it\n"
        "  --help     this text\n\n"
        "Exit status: 0 all is well (or was put right); 1 it could not be checked; 2 the command\n"
        "line is wrong; 3 something is wrong.\n");
}

struct check_command {
    const char *dir;
    bool deep, repair, json, help;
};

struct context {
    struct progress progress;
    bool json;
    struct env *env;
    struct tool_signals signals;
    uint64_t shown[AUDIT_KIND_COUNT];
};

static bool parse_command(int argc, char **argv, struct check_command *out)
{
    static const struct option long_options[] = {{"deep", no_argument, NULL, 'd'},
                                                 {"repair", no_argument, NULL, 'r'},
                                                 {"json", no_argument, NULL, 'j'},
                                                 {"help", no_argument, NULL, 'h'},
                                                 {NULL, 0, NULL, 0}};
    *out = (struct check_command){.dir = NULL};
    opterr = 0;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, ":h", long_options, NULL)) != -1;) {
        switch (option) {
        case 'd':
            out->deep = true;
            break;
        case 'r':
            out->repair = true;
            break;
        case 'j':
            out->json = true;
            break;
        case 'h':
            out->help = true;
            return true;
        default:
            return tool_complain("check", "unknown option", argv[optind - 1]);
        }
    }
    if (argc - optind != 1)
        return tool_complain("check", argc == optind ? "which directory?" : "only one directory",
                             NULL);
    out->dir = argv[optind];
    return true;
}

static void show_finding(void *arg, enum audit_kind kind, bool repaired, const char *text)
{
    struct context *context = arg;
    if (context->shown[kind]++ >= SHOWN_PER_KIND)
        return;
    progress_clear(&context->progress);
    if (context->json) {
        struct buf out = {0};
        buf_append_format(&out,
                          "{\"finding\":\"%s\",\"repaired\":%s,\"text\":", audit_kind_name(kind),
                          repaired ? "true" : "false");
        tool_append_json_text(&out, text);
        buf_append_text(&out, "}\n");
        tool_print(&out);
        buf_deinit(&out);
        return;
    }
    (void)printf("%s%s: %s\n", audit_kind_name(kind), repaired ? " (repaired)" : "", text);
    (void)fflush(stdout);
}

static bool show_progress(void *arg, const char *what, uint64_t done, uint64_t total)
{
    struct context *context = arg;
    struct progress_step step = {
        .name = what, .unit = PROGRESS_RECORDS, .done = done, .total = done < total ? total : 0};
    progress_show(&context->progress, &step, env_now_mono_us(context->env) / 1000);
    return !tool_signals_poll(&context->signals);
}

/* ---- Result ---- */

struct sums {
    uint64_t wrong, repaired, normal;
};

static struct sums sum_up(const struct audit_report *report)
{
    struct sums sums = {0};
    for (int kind = 0; kind < AUDIT_KIND_COUNT; kind++) {
        if (audit_kind_is_normal((enum audit_kind)kind))
            sums.normal += report->found[kind] - report->repaired[kind];
        else
            sums.wrong += report->found[kind] - report->repaired[kind];
        sums.repaired += report->repaired[kind];
    }
    return sums;
}

static void print_json(const struct audit_report *report, const struct sums *sums)
{
    struct buf out = {0};
    const char *comma = "";
    buf_append_format(&out,
                      "{\"status\":\"%s\",\"wrong\":%" PRIu64 ",\"repaired\":%" PRIu64
                      ",\"incomplete\":%s,\"findings\":{",
                      sums->wrong != 0 ? "damaged" : "ok", sums->wrong, sums->repaired,
                      report->incomplete ? "true" : "false");
    for (int kind = 0; kind < AUDIT_KIND_COUNT; kind++) {
        if (report->found[kind] == 0)
            continue;
        buf_append_format(&out, "%s\"%s\":%" PRIu64, comma, audit_kind_name((enum audit_kind)kind),
                          report->found[kind]);
        comma = ",";
    }
    buf_append_text(&out, "},\"keys\":{");
    for (int type = OBJECT_STRING; type < OBJECT_TYPE_COUNT; type++)
        buf_append_format(&out, "%s\"%s\":%" PRIu64, type == OBJECT_STRING ? "" : ",",
                          object_type_name((enum object_type)type), report->keys[type]);
    buf_append_format(
        &out,
        "},\"elements\":%" PRIu64 ",\"expiring\":%" PRIu64 ",\"expires_entries\":%" PRIu64
        ",\"expires_stale\":%" PRIu64 ",\"reaper_notes\":%" PRIu64 ",\"cut_offset\":%" PRIu64
        ",\"journal_first\":%" PRIu64 ",\"journal_end\":%" PRIu64 ",\"journal_segments\":%" PRIu64
        ",\"journal_blocks\":%" PRIu64 ",\"replay_blocks\":%" PRIu64 ",\"replay_commands\":%" PRIu64
        ",\"archived_segments\":%" PRIu64 ",\"archived_bytes\":%" PRIu64
        ",\"closed_cleanly\":%s}\n",
        report->elements, report->expiring, report->expires_entries, report->expires_stale,
        report->reaper_notes, report->cut_offset, report->journal_first, report->journal_end,
        report->journal_segments, report->journal_blocks, report->replay_blocks,
        report->replay_commands, report->archived_segments, report->archived_bytes,
        report->clean ? "true" : "false");
    tool_print(&out);
    buf_deinit(&out);
}

static void print_report(const struct check_command *command, const struct audit_report *report,
                         const struct sums *sums)
{
    char a[32];
    char b[32];
    for (int kind = 0; kind < AUDIT_KIND_COUNT; kind++)
        if (report->found[kind] > SHOWN_PER_KIND)
            (void)printf("%s: %s more like these\n", audit_kind_name((enum audit_kind)kind),
                         progress_format_count(report->found[kind] - SHOWN_PER_KIND, a));
    (void)printf("Keys:");
    for (int type = OBJECT_STRING; type < OBJECT_TYPE_COUNT; type++)
        if (report->keys[type] != 0)
            (void)printf(" %s %s (%s large),", progress_format_count(report->keys[type], a),
                         object_type_name((enum object_type)type),
                         progress_format_count(report->large[type], b));
    (void)printf(" %s with an expiry. Elements of large objects: %s.\n",
                 progress_format_count(report->expiring, a),
                 progress_format_count(report->elements, b));
    (void)printf("RocksDB is the dataset at offset %" PRIu64 "; the journal has %" PRIu64
                 " to %" PRIu64 " in %" PRIu64 " segments. ",
                 report->cut_offset, report->journal_first, report->journal_end,
                 report->journal_segments);
    if (report->replay_blocks == 0)
        (void)printf("Nothing is to be replayed.\n");
    else if (command->deep)
        (void)printf("The next start replays %s commands in %s blocks.\n",
                     progress_format_count(report->replay_commands, a),
                     progress_format_count(report->replay_blocks, b));
    else
        (void)printf("The next start replays %s blocks.\n",
                     progress_format_count(report->replay_blocks, a));
    if (report->archived_segments != 0)
        (void)printf("The archive has %s segments, %s.\n",
                     progress_format_count(report->archived_segments, a),
                     progress_format_bytes(report->archived_bytes, b));
    if (report->reaper_notes != 0)
        (void)printf("%s emptied databases and deleted objects wait to be dropped.\n",
                     progress_format_count(report->reaper_notes, a));
    if (report->incomplete)
        (void)printf("Not all of it could be read: more may be wrong.\n");
    if (sums->repaired != 0)
        (void)printf("Put right: %s.\n", progress_format_count(sums->repaired, a));
    bool repairable = false;
    for (int kind = 0; kind < AUDIT_KIND_COUNT; kind++)
        repairable = repairable || (report->found[kind] > report->repaired[kind] &&
                                    audit_kind_is_repairable((enum audit_kind)kind));
    if (sums->wrong == 0)
        (void)printf("%s is sound.\n", command->dir);
    else
        (void)printf("%s is DAMAGED: %s things are wrong.%s\n", command->dir,
                     progress_format_count(sums->wrong, a),
                     repairable && !command->repair ? " --repair puts some of it right." : "");
}

int basalt_check(int argc, char **argv)
{
    struct check_command command;
    if (!parse_command(argc, argv, &command))
        return EXIT_USAGE;
    if (command.help) {
        print_help(stdout);
        return EXIT_DONE;
    }
    struct context context = {.json = command.json, .env = env_posix()};
    struct audit_options options = {.env = context.env,
                                    .dir = command.dir,
                                    .deep = command.deep,
                                    .repair = command.repair,
                                    .finding = show_finding,
                                    .progress = show_progress,
                                    .arg = &context};
    struct audit_report report;
    struct err err = {0};
    progress_init(&context.progress, stderr, isatty(STDERR_FILENO) == 1);
    tool_signals_catch(&context.signals);
    tool_allow_many_files();
    enum status st = audit_run(&options, &report, &err);
    progress_clear(&context.progress);
    tool_signals_release(&context.signals);
    if (st != ST_OK) {
        tool_print_failure("check", command.json, st, &err);
        return context.signals.signal != 0 ? EXIT_SIGNALLED + context.signals.signal : EXIT_FAILED;
    }
    struct sums sums = sum_up(&report);
    if (command.json)
        print_json(&report, &sums);
    else
        print_report(&command, &report, &sums);
    if (fflush(stdout) != 0)
        return EXIT_FAILED;
    return sums.wrong == 0 ? EXIT_DONE : EXIT_INCOMPLETE;
}
