#include "tools/rdb_fetch.h"

#include <inttypes.h>
#include <string.h>

#include "codec/bytes.h"
#include "codec/number.h"

#define RECEIVE_BYTES ((size_t)64 << 10)

/* Servers before 7.0 do not know these, which is no failure: they go on with the commands behind
 * the file, and are hung up on. */
static enum status announce(struct rdb_fetch *fetch, const char *option, const char *value,
                            struct err *err)
{
    const char *const args[] = {"REPLCONF", option, value, NULL};
    struct tool_reply reply = {.count = 0};
    enum status st = tool_client_call(&fetch->client, args, &reply, err);
    tool_reply_deinit(&reply);
    return st == ST_INVALID ? ST_OK : st;
}

/* The line in front of the file. While it is being made, empty lines come as signs of life. */
static enum status read_head(struct rdb_fetch *fetch, struct err *err)
{
    static const char mark_prefix[] = "$EOF:";
    struct bytes line = bytes_make("", 0);
    enum status st = tool_client_read_line(&fetch->client, &line, err);
    if (st != ST_OK)
        return st;
    while (line.len != 0 && line.data[0] == '\n')
        line = bytes_make(line.data + 1, line.len - 1);
    if (line.len != 0 && line.data[0] == '-')
        return err_set(err, ST_INVALID, "the server does not send its dataset: %.*s",
                       (int)line.len - 1, (const char *)line.data + 1);
    size_t prefix_len = sizeof(mark_prefix) - 1;
    if (line.len == prefix_len + RDB_FETCH_MARK_BYTES &&
        memcmp(line.data, mark_prefix, prefix_len) == 0) {
        memcpy(fetch->mark, line.data + prefix_len, RDB_FETCH_MARK_BYTES);
        fetch->has_mark = true;
        return ST_OK;
    }
    if (line.len < 2 || line.data[0] != '$' ||
        !number_parse_u64(bytes_make(line.data + 1, line.len - 1), &fetch->bytes) ||
        fetch->bytes == 0)
        return err_set(err, ST_CORRUPT, "the server's answer to SYNC is not understood");
    return ST_OK;
}

enum status rdb_fetch_open(struct rdb_fetch *fetch, const struct tool_server *server,
                           struct tool_signals *signals, struct err *err)
{
    *fetch = (struct rdb_fetch){.bytes = 0};
    enum status st = tool_client_connect(&fetch->client, server, signals, err);
    if (st == ST_OK)
        st = announce(fetch, "rdb-only", "1", err);
    if (st == ST_OK)
        st = announce(fetch, "capa", "eof", err);
    if (st == ST_OK)
        st = tool_client_send(&fetch->client, bytes_text("SYNC\r\n"), err);
    return st == ST_OK ? read_head(fetch, err) : st;
}

void rdb_fetch_close(struct rdb_fetch *fetch)
{
    tool_client_close(&fetch->client);
    buf_deinit(&fetch->held);
}

static enum status cut_off(const struct rdb_fetch *fetch, const struct err *cause, struct err *err)
{
    return err_set(err, cause->code, "%.200s, after %" PRIu64 " bytes of the dataset",
                   cause->message, fetch->read);
}

static enum status read_counted(struct rdb_fetch *fetch, uint8_t *out, size_t capacity,
                                size_t *read_out, struct err *err)
{
    uint64_t left = fetch->bytes - fetch->read;
    struct err cause = {0};
    *read_out = 0;
    if (left == 0)
        return ST_OK;
    if (capacity > left)
        capacity = (size_t)left;
    if (tool_client_read(&fetch->client, out, capacity, read_out, &cause) != ST_OK)
        return cut_off(fetch, &cause, err);
    return ST_OK;
}

/* How many of the held bytes are surely the file's: all before the mark, or before where one may
 * have begun. */
static size_t sure_bytes(struct rdb_fetch *fetch)
{
    size_t left = fetch->held.len - fetch->held_at;
    if (left < RDB_FETCH_MARK_BYTES)
        return 0;
    const uint8_t *from = fetch->held.data + fetch->held_at;
    const uint8_t *mark = memmem(from, left, fetch->mark, RDB_FETCH_MARK_BYTES);
    fetch->ended = mark != NULL;
    return mark != NULL ? (size_t)(mark - from) : left - (RDB_FETCH_MARK_BYTES - 1);
}

static enum status read_marked(struct rdb_fetch *fetch, uint8_t *out, size_t capacity,
                               size_t *read_out, struct err *err)
{
    size_t sure;
    while ((sure = sure_bytes(fetch)) == 0 && !fetch->ended) {
        size_t got = 0;
        struct err cause = {0};
        buf_consume(&fetch->held, fetch->held_at);
        fetch->held_at = 0;
        if (tool_client_read(&fetch->client, buf_reserve(&fetch->held, RECEIVE_BYTES),
                             RECEIVE_BYTES, &got, &cause) != ST_OK)
            return cut_off(fetch, &cause, err);
        fetch->held.len += got;
    }
    *read_out = sure < capacity ? sure : capacity;
    if (*read_out != 0)
        memcpy(out, fetch->held.data + fetch->held_at, *read_out);
    fetch->held_at += *read_out;
    return ST_OK;
}

enum status rdb_fetch_read(void *arg, uint8_t *out, size_t capacity, size_t *read_out,
                           struct err *err)
{
    struct rdb_fetch *fetch = arg;
    enum status st = fetch->has_mark ? read_marked(fetch, out, capacity, read_out, err)
                                     : read_counted(fetch, out, capacity, read_out, err);
    if (st == ST_OK)
        fetch->read += *read_out;
    return st;
}
