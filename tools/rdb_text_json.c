/* JSON: one object per key, in lines of their own (jsonl) or in one array (json). */
#include <inttypes.h>
#include <math.h>

#include "codec/number.h"
#include "codec/rdb_read.h"
#include "tools/rdb_text.h"
#include "tools/tool_output.h"

/* How deep in a stream: in its list of entries, of groups, of consumers, of what is pending. */
enum level { IN_ENTRIES, IN_GROUPS, IN_CONSUMERS, IN_PENDING };

static void comma(struct rdb_text *text)
{
    if (text->elements++ != 0)
        buf_append_byte(&text->out, ',');
}

static void put(struct rdb_text *text, struct bytes bytes)
{
    tool_append_json_bytes(&text->out, bytes);
}

static void put_id(struct rdb_text *text, struct rdb_stream_id id)
{
    char chars[48];
    buf_append_format(&text->out, "\"%s\"", rdb_text_id(id, chars));
}

static void put_score(struct rdb_text *text, double score)
{
    char chars[NUMBER_F64_CHARS_MAX];
    size_t len = number_format_f64(score, chars);
    buf_append_text(&text->out, isinf(score) ? "\"" : "");
    buf_append(&text->out, chars, len);
    buf_append_text(&text->out, isinf(score) ? "\"" : "");
}

static enum status put_entry(void *arg, struct rdb_stream_id id, const struct bytes *texts,
                             size_t count)
{
    struct rdb_text *text = arg;
    comma(text);
    buf_append_byte(&text->out, '[');
    put_id(text, id);
    buf_append_text(&text->out, ",[");
    for (size_t i = 0; i < count; i++) {
        if (i != 0)
            buf_append_byte(&text->out, ',');
        put(text, texts[i]);
    }
    buf_append_text(&text->out, "]]");
    return ST_OK;
}

/* Closes what is deeper, and begins a member of the list at `level`. */
static void rise(struct rdb_text *text, enum level level)
{
    for (; text->level > level; text->level--) {
        buf_append_text(&text->out, "]}");
        text->elements = 1;
    }
    comma(text);
}

static void descend(struct rdb_text *text, enum level level)
{
    text->level = level;
    text->elements = 0;
}

static void put_stream(struct rdb_text *text, const struct rdb_element *element)
{
    buf_append_format(&text->out, "],\"length\":%" PRIu64 ",\"last_id\":", element->stream.length);
    put_id(text, element->stream.last_id);
    if (element->stream.has_history) {
        buf_append_text(&text->out, ",\"max_deleted_id\":");
        put_id(text, element->stream.max_deleted_id);
        buf_append_format(&text->out, ",\"entries_added\":%" PRIu64, element->stream.entries_added);
    }
    buf_append_text(&text->out, ",\"groups\":[");
    descend(text, IN_GROUPS);
}

static enum status put_of_stream(struct rdb_text *text, const struct rdb_element *element,
                                 struct err *err)
{
    if (element->kind == RDB_ELEMENT_NODE)
        return rdb_text_each_entry(text, element, put_entry, err);
    if (element->kind == RDB_ELEMENT_STREAM) {
        put_stream(text, element);
    } else if (element->kind == RDB_ELEMENT_GROUP) {
        rise(text, IN_GROUPS);
        buf_append_text(&text->out, "{\"name\":");
        put(text, element->group.name);
        buf_append_text(&text->out, ",\"last_id\":");
        put_id(text, element->group.last_id);
        if (element->group.has_entries_read)
            buf_append_format(&text->out, ",\"entries_read\":%" PRId64,
                              element->group.entries_read);
        buf_append_text(&text->out, ",\"consumers\":[");
        descend(text, IN_CONSUMERS);
    } else if (element->kind == RDB_ELEMENT_CONSUMER) {
        rise(text, IN_CONSUMERS);
        buf_append_text(&text->out, "{\"name\":");
        put(text, element->consumer.name);
        buf_append_format(&text->out, ",\"seen_at_ms\":%" PRId64 ",\"pending\":[",
                          element->consumer.seen_at_ms);
        descend(text, IN_PENDING);
    } else {
        rise(text, IN_PENDING);
        buf_append_byte(&text->out, '[');
        put_id(text, element->pending.id);
        buf_append_format(&text->out, ",%" PRId64 ",%" PRIu64 "]", element->pending.delivered_at_ms,
                          element->pending.deliveries);
    }
    return ST_OK;
}

static enum status put_element(struct rdb_text *text, const struct rdb_element *element,
                               struct err *err)
{
    switch (element->kind) {
    case RDB_ELEMENT_BEGIN:
        text->kind = element->begin.kind;
        if (text->kind == RDB_VALUE_STREAM)
            buf_append_text(&text->out, "{\"entries\":[");
        else if (text->kind != RDB_VALUE_STRING)
            buf_append_byte(&text->out, '[');
        return ST_OK;
    case RDB_ELEMENT_TEXT:
        comma(text);
        put(text, element->text);
        return ST_OK;
    case RDB_ELEMENT_SCORED:
        comma(text);
        buf_append_byte(&text->out, '[');
        put(text, element->scored.member);
        buf_append_byte(&text->out, ',');
        put_score(text, element->scored.score);
        buf_append_byte(&text->out, ']');
        return ST_OK;
    case RDB_ELEMENT_FIELD:
        comma(text);
        buf_append_byte(&text->out, '[');
        put(text, element->field.name);
        buf_append_byte(&text->out, ',');
        put(text, element->field.value);
        if (element->field.expire_at_ms != RDB_NO_EXPIRE)
            buf_append_format(&text->out, ",%" PRId64, element->field.expire_at_ms);
        buf_append_byte(&text->out, ']');
        return ST_OK;
    case RDB_ELEMENT_NODE:
    case RDB_ELEMENT_STREAM:
    case RDB_ELEMENT_GROUP:
    case RDB_ELEMENT_CONSUMER:
    case RDB_ELEMENT_PENDING:
        return put_of_stream(text, element, err);
    }
    return ST_OK;
}

static void begin_line(struct rdb_text *text)
{
    if (text->form == &rdb_text_json && text->items != 0)
        buf_append_text(&text->out, ",\n");
}

static void end_line(struct rdb_text *text)
{
    if (text->form == &rdb_text_jsonl)
        buf_append_byte(&text->out, '\n');
}

static void put_function(struct rdb_text *text, struct bytes code)
{
    begin_line(text);
    buf_append_text(&text->out, "{\"function\":");
    put(text, code);
    buf_append_byte(&text->out, '}');
    end_line(text);
}

static void begin_key(struct rdb_text *text)
{
    begin_line(text);
    buf_append_format(&text->out, "{\"db\":%" PRIu32 ",\"key\":", text->key->db);
    put(text, text->key->name);
    buf_append_format(&text->out, ",\"type\":\"%s\"", rdb_type_name(text->key->type));
    if (text->key->has_expire)
        buf_append_format(&text->out, ",\"expire_at_ms\":%" PRId64, text->key->expire_at_ms);
    buf_append_text(&text->out, ",\"value\":");
    text->level = IN_ENTRIES;
}

static void end_key(struct rdb_text *text)
{
    if (text->kind == RDB_VALUE_STREAM)
        for (unsigned i = 0; i < text->level; i++)
            buf_append_text(&text->out, "]}");
    else if (text->kind != RDB_VALUE_STRING)
        buf_append_byte(&text->out, ']');
    buf_append_byte(&text->out, '}');
    end_line(text);
}

static void begin_array(struct rdb_text *text)
{
    buf_append_text(&text->out, "[\n");
}

static void end_array(struct rdb_text *text)
{
    buf_append_text(&text->out, text->items == 0 ? "]\n" : "\n]\n");
}

const struct rdb_text_form rdb_text_json = {"json",      begin_array, put_function, begin_key,
                                            put_element, end_key,     end_array};
const struct rdb_text_form rdb_text_jsonl = {"jsonl",     NULL,    put_function, begin_key,
                                             put_element, end_key, NULL};
