#include "server/replay.h"

#include "codec/buf.h"
#include "codec/check.h"
#include "codec/mem.h"
#include "codec/number.h"
#include "codec/resp_parse.h"
#include "server/command.h"
#include "server/exec.h"
#include "server/log.h"
#include "server/output.h"
#include "server/services.h"
#include "server/session.h"
#include "server/ticks.h"
#include "storage/store.h"

#include <inttypes.h>

#define WINDOW_COMMANDS                                                                            \
    1024                   /* whose keys are read ahead together; a longer group makes it longer */
#define WINDOW_KEYS_MAX 64 /* of one command; the rest is read when it runs */

struct replay_command {
    size_t args_off; /* in `args`: where its argv begins */
    int argc;
};

struct replay {
    struct services *services;
    struct session session;
    struct output *output;
    struct resp_parser parser;
    /* the block */
    struct bytes rest;    /* not yet in a window */
    uint64_t rest_offset; /* stream offset of it */
    bool has_block;
    /* the window */
    struct replay_command *commands; /* owned vector */
    size_t command_count, command_next, command_capacity;
    struct bytes *args; /* owned vector; point into the block */
    size_t arg_count, arg_capacity;
    struct load_wait wait;
    bool waiting;
    struct replay_stats stats;
};

static void loads_ready(void *arg)
{
    struct replay *replay = arg;
    replay->waiting = false;
}

struct replay *replay_create(struct services *services)
{
    struct replay *replay = mem_calloc(1, sizeof(*replay));
    replay->services = services;
    replay->output = output_create();
    session_init(&replay->session, replay->output, 0, 0);
    replay->session.flags |= SESSION_REPLAY;
    replay->session.authenticated = true;
    replay->wait.ready = loads_ready;
    replay->wait.arg = replay;
    replay->stats.bytes_total = store_replay_left(services->store);
    return replay;
}

void replay_destroy(struct replay *replay)
{
    if (replay == NULL)
        return;
    load_wait_release(store_loader(replay->services->store), &replay->wait);
    session_deinit(replay->services->exec, &replay->session);
    output_destroy(replay->output);
    resp_parser_deinit(&replay->parser);
    mem_free(replay->args);
    mem_free(replay->commands);
    mem_free(replay);
}

/* Asks the loaders for the keys of one command. */
static void want_keys(struct replay *replay, const struct bytes *argv, int argc, uint32_t db_number)
{
    struct keyspace *ks = replay->services->ks;
    struct loader *loader = store_loader(replay->services->store);
    const struct command *command = command_find(replay->services->commands, argv, argc, NULL);
    struct db *db = ks_db(ks, db_number);
    if (command == NULL || db->cold_count == 0)
        return;
    struct key_arg keys[WINDOW_KEYS_MAX];
    int count = command_keys(command, argv, argc, keys, WINDOW_KEYS_MAX);
    for (int i = 0; i < count && i < WINDOW_KEYS_MAX; i++) {
        struct keyref ref;
        if ((keys[i].flags & (KEY_LOAD_NOTHING | KEY_NOT_KEY)) != 0)
            continue;
        ks_ref(ks, db, argv[keys[i].index], &ref);
        if (ref.object == NULL)
            (void)loader_want_record(loader, &replay->wait, db, ref.position, ref.key);
    }
}

static void keep_args(struct replay *replay)
{
    size_t needed = replay->arg_count + (size_t)replay->parser.argc;
    if (needed > replay->arg_capacity) {
        replay->arg_capacity = needed * 2;
        replay->args = mem_realloc(replay->args, replay->arg_capacity * sizeof(*replay->args));
    }
    if (replay->command_count == replay->command_capacity) {
        replay->command_capacity += WINDOW_COMMANDS;
        replay->commands =
            mem_realloc(replay->commands, replay->command_capacity * sizeof(*replay->commands));
    }
    struct replay_command *command = &replay->commands[replay->command_count++];
    command->args_off = replay->arg_count;
    command->argc = replay->parser.argc;
    memcpy(replay->args + replay->arg_count, replay->parser.argv,
           (size_t)replay->parser.argc * sizeof(struct bytes));
    replay->arg_count = needed;
}

/* The database that a command selects, for reading ahead; -1 if it is no SELECT. */
static int64_t selected_db(const struct replay *replay, const struct bytes *argv, int argc)
{
    int64_t number = 0;
    if (argc != 2 || !bytes_equal_nocase(argv[0], "select") ||
        !number_parse_i64(argv[1], &number) || number < 0 ||
        number >= ks_db_count(replay->services->ks))
        return -1;
    return number;
}

/* Takes the next command from the block into the parser; ST_END: the block has no more. */
static enum status parse_command(struct replay *replay, struct err *err)
{
    static const struct resp_limits limits = {.bulk_bytes_max = INT64_MAX};
    struct resp_parser *parser = &replay->parser;
    while (replay->rest.len != 0) {
        enum resp_parse_result result =
            resp_parse(parser, replay->rest.data, replay->rest.len, &limits);
        if (result == RESP_PARSE_MORE || result == RESP_PARSE_ERROR)
            return err_set(err, ST_CORRUPT,
                           "the journal holds no valid command at offset %" PRIu64
                           " (in a block with a right checksum): %s",
                           replay->rest_offset,
                           result == RESP_PARSE_MORE ? "it is cut off" : parser->error);
        replay->rest.data += parser->consumed;
        replay->rest.len -= parser->consumed;
        replay->rest_offset += parser->consumed;
        if (result == RESP_PARSE_REQUEST)
            return ST_OK;
    }
    return ST_END;
}

static bool is_alone(const struct resp_parser *parser, const char *word)
{
    return parser->argc == 1 && bytes_equal_nocase(parser->argv[0], word);
}

/* What of a group is not complete at its block's end is dropped: it was never acknowledged. */
static void drop_group(struct replay *replay, size_t group_first, size_t group_args)
{
    log_write(LOG_WARNING,
              "The journal's block that ends at offset %" PRIu64 " holds an incomplete transaction "
              "of %zu commands: it is dropped",
              replay->rest_offset, replay->command_count - group_first);
    replay->command_count = group_first;
    replay->arg_count = group_args;
}

/* Parses the next window from the block and starts its loads. A group (MULTI … EXEC) comes into one
 * window; its commands then run one after another, since nobody can look in between. */
static enum status fill_window(struct replay *replay, struct err *err)
{
    const struct resp_parser *parser = &replay->parser;
    bool in_group = false;
    size_t group_first = 0, group_args = 0;
    replay->command_count = 0;
    replay->command_next = 0;
    replay->arg_count = 0;
    uint32_t db = replay->session.db;
    while (in_group || replay->command_count < WINDOW_COMMANDS) {
        enum status st = parse_command(replay, err);
        if (st == ST_END)
            break;
        if (st != ST_OK)
            return st;
        if (is_alone(parser, "multi")) {
            in_group = true;
            group_first = replay->command_count;
            group_args = replay->arg_count;
            continue;
        }
        if (is_alone(parser, "exec")) {
            in_group = false;
            continue;
        }
        keep_args(replay);
        int64_t selected = selected_db(replay, parser->argv, parser->argc);
        if (selected >= 0)
            db = (uint32_t)selected;
        else
            want_keys(replay, parser->argv, parser->argc, db);
    }
    if (in_group)
        drop_group(replay, group_first, group_args);
    replay->waiting = replay->wait.outstanding != 0;
    return ST_OK;
}

static enum status next_block(struct replay *replay, struct err *err)
{
    uint32_t db = 0;
    enum status st =
        store_replay_next(replay->services->store, &db, &replay->rest_offset, &replay->rest, err);
    if (st != ST_OK)
        return st;
    if (db < ks_db_count(replay->services->ks))
        replay->session.db = db;
    replay->has_block = true;
    return ST_OK;
}

static enum status run_command(struct replay *replay, const struct replay_command *command,
                               struct err *err)
{
    const struct bytes *argv = replay->args + command->args_off;
    enum exec_result result = exec_run(replay->services->exec, &replay->session, argv,
                                       command->argc, bytes_make(NULL, 0));
    CHECK(result == EXEC_DONE);
    replay->stats.commands++;
    if (!replay->session.reply.failed)
        return ST_OK;
    return err_set(err, ST_CORRUPT,
                   "a command of the journal before offset %" PRIu64
                   " cannot be replayed: %.*s answers %s",
                   replay->rest_offset, (int)(argv[0].len > 64 ? 64 : argv[0].len),
                   (const char *)argv[0].data, replay->session.reply.error_code);
}

enum status replay_step(struct replay *replay, int64_t budget_us, struct err *err)
{
    uint64_t deadline_ns = ticks_clock_ns() + (uint64_t)budget_us * 1000;
    store_drain(replay->services->store);
    while (!replay->waiting) {
        if (replay->wait.failed) {
            if (err != NULL)
                *err = replay->wait.err;
            return replay->wait.err.code;
        }
        if (replay->command_next < replay->command_count) {
            const struct replay_command *command = &replay->commands[replay->command_next++];
            enum status st = run_command(replay, command, err);
            if (st != ST_OK)
                return st;
            if (replay->command_next % 64 == 0 && ticks_clock_ns() >= deadline_ns)
                return ST_AGAIN;
            continue;
        }
        load_wait_release(store_loader(replay->services->store), &replay->wait);
        replay->stats.bytes_done =
            replay->stats.bytes_total - store_replay_left(replay->services->store);
        enum status st = ST_OK;
        if (replay->rest.len == 0)
            st = next_block(replay, err);
        if (st == ST_OK)
            st = fill_window(replay, err);
        if (st != ST_OK)
            return st;
    }
    return ST_AGAIN;
}

void replay_read_stats(const struct replay *replay, struct replay_stats *out)
{
    *out = replay->stats;
}
