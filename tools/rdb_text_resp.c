/* Commands, as a client sends them, that make the same data in an empty server. */
#include <inttypes.h>

#include "codec/number.h"
#include "tools/rdb_text.h"

#define COMMAND_ARGS_MAX  256 /* elements of a value are sent in commands of so many arguments */
#define COMMAND_BYTES_MAX ((size_t)64 << 10)

static void put(struct rdb_text *text, struct bytes arg)
{
    buf_append_format(&text->args, "$%zu\r\n", arg.len);
    buf_append_bytes(&text->args, arg);
    buf_append_text(&text->args, "\r\n");
    text->arg_count++;
}

static void put_text(struct rdb_text *text, const char *arg)
{
    put(text, bytes_text(arg));
}

static void put_number(struct rdb_text *text, int64_t number)
{
    char chars[NUMBER_I64_CHARS_MAX];
    put(text, bytes_make(chars, number_format_i64(number, chars)));
}

static void put_unsigned(struct rdb_text *text, uint64_t number)
{
    char chars[NUMBER_U64_CHARS_MAX];
    put(text, bytes_make(chars, number_format_u64(number, chars)));
}

static void put_id(struct rdb_text *text, struct rdb_stream_id id)
{
    char chars[48];
    put_text(text, rdb_text_id(id, chars));
}

static void send_command(struct rdb_text *text)
{
    if (text->arg_count == 0)
        return;
    buf_append_format(&text->out, "*%zu\r\n", text->arg_count);
    buf_append_bytes(&text->out, buf_bytes(&text->args));
    buf_clear(&text->args);
    text->arg_count = 0;
}

/* Begins a command on the key, unless one is under way that takes more elements. */
static void want(struct rdb_text *text, const char *command)
{
    if (text->arg_count >= COMMAND_ARGS_MAX || text->args.len >= COMMAND_BYTES_MAX)
        send_command(text);
    if (text->arg_count != 0)
        return;
    put_text(text, command);
    put(text, text->key->name);
}

static void put_element_text(struct rdb_text *text, struct bytes element)
{
    want(text, text->kind == RDB_VALUE_STRING ? "SET"
               : text->kind == RDB_VALUE_LIST ? "RPUSH"
                                              : "SADD");
    put(text, element);
}

static void put_field(struct rdb_text *text, const struct rdb_element *element)
{
    want(text, "HSET");
    put(text, element->field.name);
    put(text, element->field.value);
    if (element->field.expire_at_ms == RDB_NO_EXPIRE)
        return;
    send_command(text);
    want(text, "HPEXPIREAT");
    put_number(text, element->field.expire_at_ms);
    put_text(text, "FIELDS");
    put_text(text, "1");
    put(text, element->field.name);
    send_command(text);
}

static void put_scored(struct rdb_text *text, const struct rdb_element *element)
{
    char chars[NUMBER_F64_CHARS_MAX];
    want(text, "ZADD");
    put(text, bytes_make(chars, number_format_f64(element->scored.score, chars)));
    put(text, element->scored.member);
}

/* ---- Streams ---- */

static enum status put_entry(void *arg, struct rdb_stream_id id, const struct bytes *texts,
                             size_t count)
{
    struct rdb_text *text = arg;
    want(text, "XADD");
    put_id(text, id);
    for (size_t i = 0; i < count; i++)
        put(text, texts[i]);
    send_command(text);
    return ST_OK;
}

static void put_stream(struct rdb_text *text, const struct rdb_element *element)
{
    if (element->stream.length == 0) { /* it exists, though nothing is in it */
        want(text, "XADD");
        put_text(text, "MAXLEN");
        put_text(text, "0");
        put_text(text, "0-1");
        put_text(text, "field");
        put_text(text, "value");
        send_command(text);
    }
    want(text, "XSETID");
    put_id(text, element->stream.last_id);
    if (element->stream.has_history) {
        put_text(text, "ENTRIESADDED");
        put_unsigned(text, element->stream.entries_added);
        put_text(text, "MAXDELETEDID");
        put_id(text, element->stream.max_deleted_id);
    }
    send_command(text);
}

static void put_group(struct rdb_text *text, const struct rdb_element *element)
{
    buf_clear(&text->group);
    buf_append_bytes(&text->group, element->group.name);
    put_text(text, "XGROUP");
    put_text(text, "CREATE");
    put(text, text->key->name);
    put(text, element->group.name);
    put_id(text, element->group.last_id);
    if (element->group.has_entries_read) {
        put_text(text, "ENTRIESREAD");
        put_number(text, element->group.entries_read);
    }
    send_command(text);
}

static void put_consumer(struct rdb_text *text, const struct rdb_element *element)
{
    buf_clear(&text->consumer);
    buf_append_bytes(&text->consumer, element->consumer.name);
    put_text(text, "XGROUP");
    put_text(text, "CREATECONSUMER");
    put(text, text->key->name);
    put(text, buf_bytes(&text->group));
    put(text, element->consumer.name);
    send_command(text);
}

static void put_pending(struct rdb_text *text, const struct rdb_element *element)
{
    want(text, "XCLAIM");
    put(text, buf_bytes(&text->group));
    put(text, buf_bytes(&text->consumer));
    put_text(text, "0");
    put_id(text, element->pending.id);
    put_text(text, "TIME");
    put_number(text, element->pending.delivered_at_ms);
    put_text(text, "RETRYCOUNT");
    put_unsigned(text, element->pending.deliveries);
    put_text(text, "FORCE");
    put_text(text, "JUSTID");
    send_command(text);
}

/* ---- The form ---- */

static enum status put_element(struct rdb_text *text, const struct rdb_element *element,
                               struct err *err)
{
    switch (element->kind) {
    case RDB_ELEMENT_BEGIN:
        text->kind = element->begin.kind;
        break;
    case RDB_ELEMENT_TEXT:
        put_element_text(text, element->text);
        break;
    case RDB_ELEMENT_SCORED:
        put_scored(text, element);
        break;
    case RDB_ELEMENT_FIELD:
        put_field(text, element);
        break;
    case RDB_ELEMENT_NODE:
        return rdb_text_each_entry(text, element, put_entry, err);
    case RDB_ELEMENT_STREAM:
        put_stream(text, element);
        break;
    case RDB_ELEMENT_GROUP:
        put_group(text, element);
        break;
    case RDB_ELEMENT_CONSUMER:
        put_consumer(text, element);
        break;
    case RDB_ELEMENT_PENDING:
        put_pending(text, element);
        break;
    }
    return ST_OK;
}

static void put_function(struct rdb_text *text, struct bytes code)
{
    put_text(text, "FUNCTION");
    put_text(text, "LOAD");
    put_text(text, "REPLACE");
    put(text, code);
    send_command(text);
}

static void begin_key(struct rdb_text *text)
{
    if (text->has_db && text->db == text->key->db)
        return;
    text->has_db = true;
    text->db = text->key->db;
    put_text(text, "SELECT");
    put_unsigned(text, text->db);
    send_command(text);
}

static void end_key(struct rdb_text *text)
{
    send_command(text);
    if (!text->key->has_expire)
        return;
    want(text, "PEXPIREAT");
    put_number(text, text->key->expire_at_ms);
    send_command(text);
}

const struct rdb_text_form rdb_text_resp = {.name = "resp",
                                            .function = put_function,
                                            .key_begin = begin_key,
                                            .element = put_element,
                                            .key_end = end_key};
