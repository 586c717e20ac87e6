/* basalt rdb inspect: what is in an RDB file. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "codec/mem.h"
#include "codec/number.h"
#include "storage/env.h"
#include "tools/basalt_command.h"
#include "tools/rdb_source.h"
#include "tools/rdb_summary.h"
#include "tools/tool_output.h"

#define COMMAND       "rdb inspect"
#define DEPTH_DEFAULT 2
#define TOP_DEFAULT   10

static void print_help(FILE *out)
{
    (void)fprintf(
        out,
        "Usage: basalt rdb inspect FILE|- [options]\n\n"
        "Tells what is in an RDB file (also packed by zstd) and what takes room in it: who wrote\n"
        "it, keys and bytes by type, encoding and database, when keys expire, the largest keys,\n"
        "and how keys are spread over the prefixes of their names: of user:7:cart these are\n"
        "user: and user:7:. Bytes are those in the file; in memory keys take more.\n\n"
        "  --prefix-depth N   levels of prefixes, 0 to %d (default %d)\n"
        "  --separator C      the character that ends a prefix (default :)\n"
        "  --top N            so many keys, and prefixes of each level, 1 to %d (default %d);\n"
        "                     the others of a level are summed as (other)\n"
        "  --json             the result as one line of JSON\n"
        "  --help             this text\n\n"
        "Memory stays below some 30 MB, and the largest string of the file; at most %d prefixes\n"
        "are told apart, and %d of a level below one prefix.\n\n"
        "Exit status: 0 done; 1 the file is damaged (what is before the damage was told), or\n"
        "cannot be read; 2 the command line is wrong.\n",
        RDB_SUMMARY_DEPTH_MAX, DEPTH_DEFAULT, RDB_SUMMARY_TOP_MAX, TOP_DEFAULT, RDB_PREFIXES_MAX,
        RDB_PREFIX_CHILDREN_MAX);
}

struct inspect_command {
    const char *file;
    struct rdb_summary_options options;
    bool json, help;
};

/* ---- Command line ---- */

static bool parse_number(const char *text, const char *complaint, uint64_t min, uint64_t max,
                         uint64_t *out)
{
    if (number_parse_u64(bytes_text(text), out) && *out >= min && *out <= max)
        return true;
    return tool_complain(COMMAND, complaint, text);
}

static bool parse_option(int option, struct inspect_command *out)
{
    uint64_t number;
    switch (option) {
    case 'd':
        if (!parse_number(optarg, "--prefix-depth must be a number from 0 to 16, not", 0,
                          RDB_SUMMARY_DEPTH_MAX, &number))
            return false;
        out->options.prefix_depth = (uint32_t)number;
        return true;
    case 't':
        if (!parse_number(optarg, "--top must be a number from 1 to 1000, not", 1,
                          RDB_SUMMARY_TOP_MAX, &number))
            return false;
        out->options.top = (size_t)number;
        return true;
    case 's':
        if (strlen(optarg) != 1)
            return tool_complain(COMMAND, "--separator must be one character, not", optarg);
        out->options.separator = optarg[0];
        return true;
    case 'j':
        out->json = true;
        return true;
    case 'h':
        out->help = true;
        return true;
    default:
        return false;
    }
}

static bool parse_command(int argc, char **argv, struct inspect_command *out)
{
    static const struct option long_options[] = {{"prefix-depth", required_argument, NULL, 'd'},
                                                 {"separator", required_argument, NULL, 's'},
                                                 {"top", required_argument, NULL, 't'},
                                                 {"json", no_argument, NULL, 'j'},
                                                 {"help", no_argument, NULL, 'h'},
                                                 {NULL, 0, NULL, 0}};
    *out = (struct inspect_command){
        .options = {.separator = ':', .prefix_depth = DEPTH_DEFAULT, .top = TOP_DEFAULT}};
    opterr = 0;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, ":h", long_options, NULL)) != -1;) {
        if (option == ':')
            return tool_complain(COMMAND, "a value is missing behind", argv[optind - 1]);
        if (option == '?')
            return tool_complain(COMMAND, "unknown option", argv[optind - 1]);
        if (!parse_option(option, out))
            return false;
        if (out->help)
            return true;
    }
    if (argc - optind != 1)
        return tool_complain(COMMAND, "one file is wanted, or - for standard input", NULL);
    out->file = argv[optind];
    return true;
}

/* ---- Running ---- */

/* An rdb_element_fn: counts elements; of streams the entries. */
static enum status count_element(void *arg, const struct rdb_element *element, struct err *err)
{
    uint64_t *count = arg;
    (void)err;
    switch (element->kind) {
    case RDB_ELEMENT_TEXT:
    case RDB_ELEMENT_SCORED:
    case RDB_ELEMENT_FIELD:
        ++*count;
        break;
    case RDB_ELEMENT_STREAM:
        *count = element->stream.length;
        break;
    case RDB_ELEMENT_BEGIN:
    case RDB_ELEMENT_NODE:
    case RDB_ELEMENT_GROUP:
    case RDB_ELEMENT_CONSUMER:
    case RDB_ELEMENT_PENDING:
        break;
    }
    return ST_OK;
}

static enum status collect(struct rdb_source *source, struct rdb_summary *summary, struct err *err)
{
    struct rdb_item item;
    enum status st;
    while ((st = rdb_source_next(source, &item, err)) == ST_OK) {
        if (item.event != RDB_EVENT_KEY) {
            rdb_summary_add_item(summary, &item);
            continue;
        }
        uint64_t elements = 0;
        st = rdb_key_is_module(&item.key)
                 ? rdb_reader_skip_value(source->reader, err)
                 : rdb_reader_read_value(source->reader, count_element, &elements, err);
        if (st != ST_OK)
            return st;
        rdb_summary_add_key(summary, &item.key, rdb_reader_offset(source->reader) - source->item_at,
                            elements);
    }
    return st == ST_END ? ST_OK : st;
}

/* Says what was read, also of a damaged file. */
static void print_result(const struct inspect_command *command, const struct rdb_source *source,
                         const struct rdb_summary *summary, const char *failure)
{
    struct buf out = {0};
    struct rdb_summary_print print = {.summary = summary,
                                      .version = rdb_reader_version(source->reader),
                                      .bytes = rdb_reader_offset(source->reader),
                                      .has_checksum = failure == NULL &&
                                                      rdb_reader_has_checksum(source->reader),
                                      .failure = failure,
                                      .top = command->options.top};
    if (command->json)
        rdb_summary_to_json(&print, &out);
    else
        rdb_summary_to_text(&print, &out);
    tool_print(&out);
    buf_deinit(&out);
}

static int run(const struct inspect_command *command)
{
    struct tool_signals signals;
    struct rdb_source source;
    struct err err = {0};
    struct rdb_summary_options options = command->options;
    options.now_ms = env_now_realtime_ms(env_posix());
    struct rdb_summary *summary = rdb_summary_create(&options);
    tool_signals_catch(&signals);
    enum status st = rdb_source_open(&source, command->file, "inspecting", &signals, &err);
    if (st == ST_OK)
        st = collect(&source, summary, &err);
    progress_clear(&source.progress);
    bool told = st == ST_OK || (st == ST_CORRUPT && rdb_reader_version(source.reader) != 0);
    if (told)
        print_result(command, &source, summary, st == ST_OK ? NULL : err.message);
    if (st != ST_OK)
        tool_print_failure(COMMAND, command->json && !told, st, &err);
    rdb_source_close(&source);
    rdb_summary_destroy(summary);
    tool_signals_release(&signals);
    if (signals.signal != 0)
        return EXIT_SIGNALLED + signals.signal;
    return st == ST_OK && fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

int basalt_rdb_inspect(int argc, char **argv)
{
    struct inspect_command command;
    if (!parse_command(argc, argv, &command))
        return EXIT_USAGE;
    if (command.help) {
        print_help(stdout);
        return EXIT_DONE;
    }
    return run(&command);
}
