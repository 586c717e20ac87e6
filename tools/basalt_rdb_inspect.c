/* basalt rdb inspect: what is in an RDB file, or in a data directory. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "codec/mem.h"
#include "codec/number.h"
#include "storage/env.h"
#include "tools/basalt_command.h"
#include "tools/dataset_source.h"
#include "tools/rdb_summary.h"
#include "tools/tool_output.h"

#define COMMAND       "rdb inspect"
#define DEPTH_DEFAULT 2
#define TOP_DEFAULT   10

static void print_help(FILE *out)
{
    (void)fprintf(
        out,
        "Usage: basalt rdb inspect FILE|- [options]\n"
        "       basalt rdb inspect --dir DIR [options]\n\n"
        "Tells what is in an RDB file (also packed by zstd), or in a data directory whose server\n"
        "does not run, and what takes room in it: who wrote it, keys and bytes by type, encoding\n"
        "and database, when keys expire, the largest keys, and how keys are spread over the\n"
        "prefixes of their names: of user:7:cart these are user: and user:7:. Bytes are those in\n"
        "the file, or in one made of the directory; in memory keys take more.\n\n"
        "  --dir DIR          the data directory\n"
        "  --ignore-journal   take its last cut although the journal has later changes\n"
        "  --db N             only this database; may come several times\n"
        "  --match PATTERN    only keys whose names match, as in KEYS\n"
        "  --type TYPE        only keys of a type, such as hash; may come several times\n"
        "  --prefix-depth N   levels of prefixes, 0 to %d (default %d)\n"
        "  --separator C      the character that ends a prefix (default :)\n"
        "  --top N            so many keys, and prefixes of each level, 1 to %d (default %d);\n"
        "                     the others of a level are summed as (other)\n"
        "  --json             the result as one line of JSON\n"
        "  --help             this text\n\n"
        "Memory stays below some 30 MB, and the largest string of the file; at most %d prefixes\n"
        "are told apart, and %d of a level below one prefix.\n\n"
        "Exit status: 0 done; 1 the file is damaged (what is before the damage was told), or\n"
        "cannot be read; 2 the command line is wrong; 3 done, but for the journal's changes.\n",
        RDB_SUMMARY_DEPTH_MAX, DEPTH_DEFAULT, RDB_SUMMARY_TOP_MAX, TOP_DEFAULT, RDB_PREFIXES_MAX,
        RDB_PREFIX_CHILDREN_MAX);
}

struct inspect_command {
    const char *file, *dir; /* one of them */
    struct rdb_filter filter;
    bool ignore_journal;
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
    case 'r':
        out->dir = optarg;
        return true;
    case 'm':
        out->filter.pattern = optarg;
        return true;
    case 'b':
        return rdb_filter_add_db(&out->filter, COMMAND, optarg);
    case 'y':
        return rdb_filter_add_type(&out->filter, COMMAND, optarg);
    case 'i':
        out->ignore_journal = true;
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

/* `count` files came at argv. */
static bool take_input(int count, char **argv, struct inspect_command *out)
{
    if (out->dir != NULL && count != 0)
        return tool_complain(COMMAND, "a file or a directory? --dir came with", argv[0]);
    if (out->dir == NULL && count != 1)
        return tool_complain(COMMAND, "one file is wanted, or - for standard input, or --dir DIR",
                             NULL);
    if (out->dir == NULL && out->ignore_journal)
        return tool_complain(COMMAND, "only a directory has a journal:", "--ignore-journal");
    out->file = argv[0];
    return true;
}

static bool parse_command(int argc, char **argv, struct inspect_command *out)
{
    static const struct option long_options[] = {{"prefix-depth", required_argument, NULL, 'd'},
                                                 {"separator", required_argument, NULL, 's'},
                                                 {"top", required_argument, NULL, 't'},
                                                 {"dir", required_argument, NULL, 'r'},
                                                 {"db", required_argument, NULL, 'b'},
                                                 {"match", required_argument, NULL, 'm'},
                                                 {"type", required_argument, NULL, 'y'},
                                                 {"ignore-journal", no_argument, NULL, 'i'},
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
    return take_input(argc - optind, argv + optind, out);
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

static enum status collect(struct rdb_source *source, const struct rdb_filter *filter,
                           struct rdb_summary *summary, struct err *err)
{
    struct rdb_item item;
    enum status st;
    bool all = rdb_filter_is_empty(filter);
    while ((st = rdb_source_next(source, &item, err)) == ST_OK) {
        if (item.event != RDB_EVENT_KEY) {
            if (all || item.event == RDB_EVENT_AUX)
                rdb_summary_add_item(summary, &item);
            continue;
        }
        uint64_t elements = 0;
        bool wanted = all || rdb_filter_wants_key(filter, &item.key);
        st = !wanted || rdb_key_is_module(&item.key)
                 ? rdb_reader_skip_value(source->reader, err)
                 : rdb_reader_read_value(source->reader, count_element, &elements, err);
        if (st != ST_OK)
            return st;
        if (!wanted)
            continue;
        rdb_summary_add_key(summary, &item.key, rdb_reader_offset(source->reader) - source->item_at,
                            elements);
    }
    return st == ST_END ? ST_OK : st;
}

struct running {
    const struct inspect_command *command;
    struct tool_signals signals;
    struct dataset_source source; /* its `rdb` also of a file */
    struct rdb_summary *summary;
};

static enum status read_source(struct running *running, struct err *err)
{
    const struct inspect_command *command = running->command;
    struct dataset_source *source = &running->source;
    enum status st =
        command->dir == NULL
            ? rdb_source_open(&source->rdb, command->file, "inspecting", &running->signals, err)
            : dataset_source_open(source, command->dir, &command->filter, command->ignore_journal,
                                  "inspecting", &running->signals, err);
    if (st == ST_OK)
        st = collect(&source->rdb, &command->filter, running->summary, err);
    return st;
}
/* The same and its end: of a directory too, what went wrong there. */
static enum status read_all(struct running *running, struct rdb_summary_print *print,
                            struct err *err)
{
    struct dataset_source *source = &running->source;
    enum status st = read_source(running, err);
    if (source->rdb.reader != NULL) {
        print->version = rdb_reader_version(source->rdb.reader);
        print->bytes = rdb_reader_offset(source->rdb.reader);
        print->has_checksum = st == ST_OK && rdb_reader_has_checksum(source->rdb.reader);
    }
    if (running->command->dir != NULL)
        return dataset_source_close(source, st, err);
    rdb_source_close(&source->rdb);
    return st;
}

static void print_result(const struct inspect_command *command,
                         const struct rdb_summary_print *print, uint64_t ignored_bytes)
{
    struct buf out = {0};
    char text[32];
    if (command->json)
        rdb_summary_to_json(print, &out);
    else
        rdb_summary_to_text(print, &out);
    tool_print(&out);
    buf_deinit(&out);
    if (ignored_bytes != 0)
        (void)fprintf(stderr, "NOT COUNTED: %s of changes in the journal.\n",
                      progress_format_bytes(ignored_bytes, text));
}

static void print_failure(const struct inspect_command *command, bool json, enum status st,
                          const struct err *err)
{
    tool_print_failure(COMMAND, json, st, err);
    if (st == ST_INVALID && command->dir != NULL && !command->ignore_journal)
        (void)fprintf(stderr, "Start the server on it once and stop it, or use --ignore-journal "
                              "to inspect the last cut.\n");
}

static int run(const struct inspect_command *command)
{
    struct running running = {.command = command};
    struct rdb_summary_options options = command->options;
    struct err err = {0};
    options.now_ms = env_now_realtime_ms(env_posix());
    running.summary = rdb_summary_create(&options);
    struct rdb_summary_print print = {.summary = running.summary, .top = options.top};
    tool_signals_catch(&running.signals);
    enum status st = read_all(&running, &print, &err);
    uint64_t ignored_bytes = running.source.report.behind;
    bool told = st == ST_OK || (st == ST_CORRUPT && print.version != 0);
    if (st != ST_OK)
        print.failure = err.message;
    if (told)
        print_result(command, &print, ignored_bytes);
    if (st != ST_OK)
        print_failure(command, command->json && !told, st, &err);
    rdb_summary_destroy(running.summary);
    tool_signals_release(&running.signals);
    if (running.signals.signal != 0)
        return EXIT_SIGNALLED + running.signals.signal;
    if (st != ST_OK || fflush(stdout) != 0)
        return EXIT_FAILED;
    return ignored_bytes == 0 ? EXIT_DONE : EXIT_INCOMPLETE;
}

int basalt_rdb_inspect(int argc, char **argv)
{
    struct inspect_command command;
    int status = EXIT_USAGE;
    if (parse_command(argc, argv, &command)) {
        if (command.help)
            print_help(stdout);
        status = command.help ? EXIT_DONE : run(&command);
    }
    rdb_filter_deinit(&command.filter);
    return status;
}
