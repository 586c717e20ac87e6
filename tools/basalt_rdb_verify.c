/* basalt rdb verify: whether an RDB file is whole and everything in it is sound. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "storage/rdb_load.h"
#include "storage/value_type.h"
#include "tools/basalt_command.h"
#include "tools/rdb_source.h"
#include "tools/rdb_value_rules.h"
#include "tools/tool_output.h"

#define COMMAND "rdb verify"

static void print_help(FILE *out)
{
    (void)fprintf(out,
                  "Usage: basalt rdb verify FILE|- [--json]\n\n"
                  "Reads an RDB file (also packed by zstd) to its end and checks all of it: its\n"
                  "structure, every value as if it were loaded (packed encodings byte for byte,\n"
                  "elements that are there twice, ids of streams, what is pending in groups), the\n"
                  "checksum, and that nothing follows. Stops at the first damage and names its\n"
                  "place in the file (of a packed one: in what is unpacked).\n\n"
                  "Values of modules are checked for their structure only. The largest value of\n"
                  "the file has to fit in memory.\n\n"
                  "Exit status: 0 the file is sound; 1 it is damaged, of an unknown version, or\n"
                  "cannot be read; 2 the command line is wrong.\n");
}

struct verify_command {
    const char *file;
    bool json, help;
};

/* Of the verified file. */
struct result {
    uint64_t keys, module_values;
};

static bool parse_command(int argc, char **argv, struct verify_command *out)
{
    static const struct option long_options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    *out = (struct verify_command){.file = NULL};
    opterr = 0;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, ":h", long_options, NULL)) != -1;) {
        if (option != 'j' && option != 'h')
            return tool_complain(COMMAND, "unknown option", argv[optind - 1]);
        out->json |= option == 'j';
        out->help |= option == 'h';
    }
    if (out->help)
        return true;
    if (argc - optind != 1)
        return tool_complain(COMMAND, "one file is wanted, or - for standard input", NULL);
    out->file = argv[optind];
    return true;
}

static enum status verify_value(struct rdb_source *source, const struct rdb_key *key,
                                struct err *err)
{
    if (rdb_key_is_module(key))
        return rdb_reader_skip_value(source->reader, err);
    struct rdb_load load;
    rdb_load_init(&load, &rdb_value_rules);
    enum status st = rdb_reader_read_value(source->reader, rdb_load_take, &load, err);
    if (st == ST_OK && rdb_load_finish(&load) == ST_NOT_FOUND)
        st = ST_OK; /* a collection without elements, as old versions could write: left out */
    rdb_load_deinit(&load);
    return st;
}

/* Says in which key the damage is. The name may be anything: it is told cut off and harmless. */
static void name_key(const struct rdb_source *source, const struct rdb_key *key, struct err *err)
{
    char name[64];
    size_t len = key->name.len < sizeof(name) - 1 ? key->name.len : sizeof(name) - 1;
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = key->name.data[i];
        name[i] = byte < 0x20 || byte > 0x7e ? '?' : (char)byte;
    }
    name[len] = '\0';
    struct err cause = *err;
    (void)err_set(err, cause.code,
                  "%.160s (before offset %" PRIu64 "; the key begins at %" PRIu64
                  ": %s \"%s\" of db%" PRIu32 ")",
                  cause.message, rdb_reader_offset(source->reader), source->item_at,
                  rdb_type_name(key->type), name, key->db);
}

static enum status verify(struct rdb_source *source, struct result *result, struct err *err)
{
    struct rdb_item item;
    enum status st;
    while ((st = rdb_source_next(source, &item, err)) == ST_OK) {
        if (item.event != RDB_EVENT_KEY)
            continue;
        st = verify_value(source, &item.key, err);
        if (st != ST_OK) {
            if (st == ST_CORRUPT || st == ST_LIMIT)
                name_key(source, &item.key, err);
            return st;
        }
        result->keys++;
        result->module_values += rdb_key_is_module(&item.key);
    }
    return st == ST_END ? ST_OK : st;
}

static void print_result(const struct verify_command *command, const struct rdb_source *source,
                         const struct result *result)
{
    bool has_checksum = rdb_reader_has_checksum(source->reader);
    char a[32];
    char b[32];
    if (command->json) {
        (void)printf("{\"status\":\"ok\",\"rdb_version\":%d,\"checksum\":%s,\"rdb_bytes\":%" PRIu64
                     ",\"keys\":%" PRIu64 ",\"module_values\":%" PRIu64 "}\n",
                     rdb_reader_version(source->reader), has_checksum ? "true" : "false",
                     rdb_reader_offset(source->reader), result->keys, result->module_values);
        return;
    }
    (void)printf("Sound: RDB version %d, %s keys, %s, %s.\n", rdb_reader_version(source->reader),
                 progress_format_count(result->keys, a),
                 progress_format_bytes(rdb_reader_offset(source->reader), b),
                 has_checksum ? "the checksum is right" : "without a checksum");
    if (result->module_values != 0)
        (void)printf("%s values of modules were checked for their structure only.\n",
                     progress_format_count(result->module_values, a));
}

static int run(const struct verify_command *command)
{
    struct tool_signals signals;
    struct rdb_source source;
    struct result result = {0};
    struct err err = {0};
    tool_signals_catch(&signals);
    enum status st = rdb_source_open(&source, command->file, "verifying", &signals, &err);
    if (st == ST_OK)
        st = verify(&source, &result, &err);
    progress_clear(&source.progress);
    if (st == ST_OK)
        print_result(command, &source, &result);
    else
        tool_print_failure(COMMAND, command->json, st, &err);
    rdb_source_close(&source);
    tool_signals_release(&signals);
    if (signals.signal != 0)
        return EXIT_SIGNALLED + signals.signal;
    return st == ST_OK && fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

int basalt_rdb_verify(int argc, char **argv)
{
    struct verify_command command;
    if (!parse_command(argc, argv, &command))
        return EXIT_USAGE;
    if (command.help) {
        print_help(stdout);
        return EXIT_DONE;
    }
    return run(&command);
}
