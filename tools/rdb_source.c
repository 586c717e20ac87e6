#include "tools/rdb_source.h"

#include <inttypes.h>
#include <unistd.h>

#include "storage/env.h"
#include "tools/tool_output.h"

#define ITEMS_PER_LOOK 64 /* between looks at the clock and at signals */

static void init(struct rdb_source *source, const char *doing)
{
    struct rdb_reader_options options = {.read = tool_input_read, .read_arg = &source->input};
    *source = (struct rdb_source){.doing = doing};
    progress_init(&source->progress, stderr, isatty(STDERR_FILENO) == 1);
    source->reader = rdb_reader_create(&options);
}

enum status rdb_source_open(struct rdb_source *source, const char *file, const char *doing,
                            struct tool_signals *signals, struct err *err)
{
    init(source, doing);
    return tool_input_open(&source->input, file, signals, err);
}

void rdb_source_open_fd(struct rdb_source *source, int fd, const char *name, const char *doing,
                        struct tool_signals *signals)
{
    init(source, doing);
    tool_input_open_fd(&source->input, fd, name, signals);
}

void rdb_source_close(struct rdb_source *source)
{
    progress_clear(&source->progress);
    rdb_reader_destroy(source->reader);
    source->reader = NULL;
    tool_input_close(&source->input);
}

static void show_progress(struct rdb_source *source)
{
    struct progress_step step = {.name = source->doing,
                                 .unit = PROGRESS_BYTES,
                                 .done = source->item_at,
                                 .total =
                                     tool_input_is_packed(&source->input) ? 0 : source->input.bytes,
                                 .keys = source->keys};
    progress_show(&source->progress, &step, env_now_mono_us(env_posix()) / 1000);
}

static enum status check_end(struct rdb_source *source, struct err *err)
{
    size_t more = rdb_reader_rest(source->reader).len;
    uint8_t byte;
    if (more == 0) {
        enum status st = tool_input_read(&source->input, &byte, 1, &more, err);
        if (st != ST_OK)
            return st;
    }
    if (more != 0)
        return err_set(err, ST_CORRUPT, "at offset %" PRIu64 ": the file goes on behind its end",
                       rdb_reader_offset(source->reader));
    return ST_END;
}

enum status rdb_source_next(struct rdb_source *source, struct rdb_item *item_out, struct err *err)
{
    if (source->keys % ITEMS_PER_LOOK == 0) {
        show_progress(source);
        if (tool_signals_poll(source->input.signals))
            return err_set(err, ST_AGAIN, "interrupted by a signal");
    }
    source->item_at = rdb_reader_offset(source->reader);
    enum status st = rdb_reader_next(source->reader, item_out, err);
    if (st == ST_OK && item_out->event == RDB_EVENT_KEY)
        source->keys++;
    return st == ST_END ? check_end(source, err) : st;
}
