/* basalt rdb convert: the contents of an RDB file as JSON, CSV or commands. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>

#include "tools/basalt_command.h"
#include "tools/rdb_filter.h"
#include "tools/rdb_source.h"
#include "tools/rdb_text.h"
#include "tools/tool_output.h"

#define COMMAND     "rdb convert"
#define PIECE_BYTES ((size_t)64 << 10) /* written at once */

static void print_help(FILE *out)
{
    (void)fprintf(
        out,
        "Usage: basalt rdb convert FILE|- --to json|jsonl|csv|resp [options]\n\n"
        "Writes what is in an RDB file (also packed by zstd) to standard output:\n\n"
        "  --to jsonl      a line of JSON for each key\n"
        "  --to json       one array of the same objects\n"
        "  --to csv        a row for each element: db,key,type,expire_at_ms,id,member,value;\n"
        "                  without consumer groups, functions and deadlines of hash fields\n"
        "  --to resp       commands that make the data in an empty server of Redis 7.0 or later:\n"
        "                  basalt rdb convert dump.rdb --to resp | redis-cli --pipe\n\n"
        "  --db N          only keys of that database; more than once: of these\n"
        "  --match PATTERN only keys whose names match, as in SCAN\n"
        "  --type TYPE     only string, list, set, zset, hash or stream; more than once: these\n"
        "  --help          this text\n\n"
        "In JSON, what is not UTF-8 is {\"base64\":\"...\"}. Values of modules are left out; with "
        "a\n"
        "choice of keys so are libraries of functions. Keys that have expired are told, too.\n"
        "Values are written while they are read: after a failure the output is incomplete.\n\n"
        "Exit status: 0 all was written; 1 the file is damaged, or cannot be read, or the output\n"
        "not be written; 2 the command line is wrong; 3 written, but for values and data of\n"
        "modules.\n");
}

struct convert_command {
    const char *file;
    const struct rdb_text_form *form;
    struct rdb_filter filter;
    bool help;
};

static bool parse_form(const char *name, struct convert_command *out)
{
    static const struct rdb_text_form *const forms[] = {&rdb_text_json, &rdb_text_jsonl,
                                                        &rdb_text_csv, &rdb_text_resp};
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        if (strcmp(name, forms[i]->name) == 0)
            out->form = forms[i];
    return out->form != NULL ||
           tool_complain(COMMAND, "--to must be json, jsonl, csv or resp, not", name);
}

static bool parse_command(int argc, char **argv, struct convert_command *out)
{
    static const struct option long_options[] = {
        {"to", required_argument, NULL, 'o'},    {"db", required_argument, NULL, 'b'},
        {"match", required_argument, NULL, 'p'}, {"type", required_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},        {NULL, 0, NULL, 0}};
    *out = (struct convert_command){.file = NULL};
    opterr = 0;
    optind = 0;
    bool good = true;
    for (int option; good && (option = getopt_long(argc, argv, ":h", long_options, NULL)) != -1;) {
        if (option == ':')
            good = tool_complain(COMMAND, "a value is missing behind", argv[optind - 1]);
        else if (option == 'o')
            good = parse_form(optarg, out);
        else if (option == 'b')
            good = rdb_filter_add_db(&out->filter, COMMAND, optarg);
        else if (option == 'p')
            out->filter.pattern = optarg;
        else if (option == 't')
            good = rdb_filter_add_type(&out->filter, COMMAND, optarg);
        else if (option == 'h')
            return out->help = true;
        else
            good = tool_complain(COMMAND, "unknown option", argv[optind - 1]);
    }
    if (!good)
        return false;
    if (argc - optind != 1)
        return tool_complain(COMMAND, "one file is wanted, or - for standard input", NULL);
    if (out->form == NULL)
        return tool_complain(COMMAND, "into what? (--to json, jsonl, csv or resp)", NULL);
    out->file = argv[optind];
    return true;
}

/* Writes out once there is enough. */
static enum status write_out(struct rdb_text *text, size_t enough, struct err *err)
{
    if (text->out.len < enough)
        return ST_OK;
    if (fwrite(text->out.data, 1, text->out.len, text->to) != text->out.len)
        return err_set_os(err, ST_IO, errno, "cannot write the output: %s", strerror(errno));
    buf_clear(&text->out);
    return ST_OK;
}

/* An rdb_element_fn. */
static enum status take_element(void *arg, const struct rdb_element *element, struct err *err)
{
    struct rdb_text *text = arg;
    enum status st = text->form->element(text, element, err);
    return st == ST_OK ? write_out(text, PIECE_BYTES, err) : st;
}

static enum status convert_key(struct rdb_source *source, struct rdb_text *text,
                               const struct rdb_key *key, struct err *err)
{
    text->key = key;
    text->elements = 0;
    if (text->form->key_begin != NULL)
        text->form->key_begin(text);
    enum status st = rdb_reader_read_value(source->reader, take_element, text, err);
    if (st == ST_OK && text->form->key_end != NULL)
        text->form->key_end(text);
    text->items++;
    return st;
}

static enum status convert(struct rdb_source *source, struct convert_command *command,
                           struct rdb_text *text, uint64_t *left_out, struct err *err)
{
    const struct rdb_text_form *form = command->form;
    bool all = rdb_filter_is_empty(&command->filter);
    struct rdb_item item;
    enum status st;
    if (form->begin != NULL)
        form->begin(text);
    while ((st = rdb_source_next(source, &item, err)) == ST_OK) {
        if (item.event == RDB_EVENT_FUNCTION && all && form->function != NULL) {
            form->function(text, item.function);
            text->items++;
        } else if (item.event == RDB_EVENT_MODULE_AUX && all) {
            ++*left_out;
        } else if (item.event == RDB_EVENT_KEY && rdb_filter_takes(&command->filter, &item.key)) {
            if (rdb_key_is_module(&item.key))
                ++*left_out;
            else
                st = convert_key(source, text, &item.key, err);
        }
        if (st == ST_OK)
            st = write_out(text, PIECE_BYTES, err);
        if (st != ST_OK)
            return st;
    }
    if (st != ST_END)
        return st;
    if (form->end != NULL)
        form->end(text);
    st = write_out(text, 1, err);
    if (st == ST_OK && fflush(text->to) != 0)
        st = err_set_os(err, ST_IO, errno, "cannot write the output: %s", strerror(errno));
    return st;
}

static int run(struct convert_command *command)
{
    struct tool_signals signals;
    struct rdb_source source;
    struct err err = {0};
    struct rdb_text text = {.form = command->form, .to = stdout};
    uint64_t left_out = 0;
    tool_signals_catch(&signals);
    enum status st = rdb_source_open(&source, command->file, "converting", &signals, &err);
    if (st == ST_OK)
        st = convert(&source, command, &text, &left_out, &err);
    rdb_source_close(&source);
    if (st != ST_OK)
        tool_print_failure(COMMAND, false, st, &err);
    else if (left_out != 0)
        (void)fprintf(stderr, "NOT CONVERTED: %" PRIu64 " values and records of modules.\n",
                      left_out);
    buf_deinit(&text.out);
    buf_deinit(&text.args);
    buf_deinit(&text.group);
    buf_deinit(&text.consumer);
    tool_signals_release(&signals);
    if (signals.signal != 0)
        return EXIT_SIGNALLED + signals.signal;
    if (st != ST_OK)
        return EXIT_FAILED;
    return left_out == 0 ? EXIT_DONE : EXIT_INCOMPLETE;
}

int basalt_rdb_convert(int argc, char **argv)
{
    struct convert_command command;
    int status = EXIT_USAGE;
    if (parse_command(argc, argv, &command)) {
        if (command.help)
            print_help(stdout);
        status = command.help ? EXIT_DONE : run(&command);
    }
    rdb_filter_deinit(&command.filter);
    return status;
}
