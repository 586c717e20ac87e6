/* CSV (RFC 4180): a row per element. */
#include <inttypes.h>

#include "codec/number.h"
#include "codec/rdb_read.h"
#include "tools/rdb_text.h"

static void put(struct rdb_text *text, struct bytes bytes)
{
    bool quoted = false;
    for (size_t i = 0; i < bytes.len && !quoted; i++)
        quoted = bytes.data[i] == '"' || bytes.data[i] == ',' || bytes.data[i] == '\n' ||
                 bytes.data[i] == '\r';
    if (!quoted) {
        buf_append_bytes(&text->out, bytes);
        return;
    }
    buf_append_byte(&text->out, '"');
    for (size_t i = 0; i < bytes.len; i++) {
        if (bytes.data[i] == '"')
            buf_append_byte(&text->out, '"');
        buf_append_byte(&text->out, bytes.data[i]);
    }
    buf_append_byte(&text->out, '"');
}

static void put_row(struct rdb_text *text, const char *id, struct bytes member, struct bytes value)
{
    buf_append_format(&text->out, "%" PRIu32 ",", text->key->db);
    put(text, text->key->name);
    buf_append_format(&text->out, ",%s,", rdb_type_name(text->key->type));
    if (text->key->has_expire)
        buf_append_format(&text->out, "%" PRId64, text->key->expire_at_ms);
    buf_append_format(&text->out, ",%s,", id);
    put(text, member);
    buf_append_byte(&text->out, ',');
    put(text, value);
    buf_append_text(&text->out, "\r\n");
    text->elements++;
}

static enum status put_entry(void *arg, struct rdb_stream_id id, const struct bytes *texts,
                             size_t count)
{
    struct rdb_text *text = arg;
    char chars[48];
    for (size_t i = 0; i + 1 < count; i += 2)
        put_row(text, rdb_text_id(id, chars), texts[i], texts[i + 1]);
    return ST_OK;
}

static void put_text(struct rdb_text *text, struct bytes element)
{
    static const struct bytes none = {0};
    char index[32];
    (void)snprintf(index, sizeof(index), "%" PRIu64, text->elements);
    if (text->kind == RDB_VALUE_SET)
        put_row(text, "", element, none);
    else
        put_row(text, text->kind == RDB_VALUE_LIST ? index : "", none, element);
}

static enum status put_element(struct rdb_text *text, const struct rdb_element *element,
                               struct err *err)
{
    char score[NUMBER_F64_CHARS_MAX];
    switch (element->kind) {
    case RDB_ELEMENT_BEGIN:
        text->kind = element->begin.kind;
        break;
    case RDB_ELEMENT_TEXT:
        put_text(text, element->text);
        break;
    case RDB_ELEMENT_SCORED:
        put_row(text, "", element->scored.member,
                bytes_make(score, number_format_f64(element->scored.score, score)));
        break;
    case RDB_ELEMENT_FIELD:
        put_row(text, "", element->field.name, element->field.value);
        break;
    case RDB_ELEMENT_NODE:
        return rdb_text_each_entry(text, element, put_entry, err);
    case RDB_ELEMENT_STREAM:
    case RDB_ELEMENT_GROUP:
    case RDB_ELEMENT_CONSUMER:
    case RDB_ELEMENT_PENDING:
        break;
    }
    return ST_OK;
}

static void put_heading(struct rdb_text *text)
{
    buf_append_text(&text->out, "db,key,type,expire_at_ms,id,member,value\r\n");
}

const struct rdb_text_form rdb_text_csv = {
    .name = "csv", .begin = put_heading, .element = put_element};
