#include "tests/support/rdb_words.h"

#include "codec/listpack.h"
#include "codec/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- Elements ---------------------------------------------------------------------------------
 */

static void word_id(struct buf *out, const char *before, struct rdb_stream_id id)
{
    buf_append_format(out, " %s%" PRIu64 "-%" PRIu64, before, id.ms, id.seq);
}

static void word_text(struct buf *out, struct bytes text)
{
    buf_append_byte(out, ' ');
    buf_append_bytes(out, text);
}

static void word_scored(struct buf *out, const struct rdb_element *e)
{
    char score[NUMBER_F64_CHARS_MAX];
    word_text(out, e->scored.member);
    buf_append_byte(out, '=');
    buf_append(out, score, number_format_f64(e->scored.score, score));
}

static void word_field(struct buf *out, const struct rdb_element *e)
{
    word_text(out, e->field.name);
    buf_append_byte(out, '=');
    buf_append_bytes(out, e->field.value);
    if (e->field.expire_at_ms != RDB_NO_EXPIRE)
        buf_append_format(out, "@%" PRId64, e->field.expire_at_ms);
}

/* ---- A stream's node: a master entry (count, deleted, names of fields, 0), then entries (flags,
 * id less the node's, values or fields and values, length). */

enum { ENTRY_DELETED = 1, ENTRY_SAME_FIELDS = 2 };

struct node_cursor {
    const uint8_t *data;
    uint32_t at; /* 0: behind the last */
};

static struct bytes next_text(struct node_cursor *cursor, char scratch[NUMBER_I64_CHARS_MAX])
{
    struct listpack_value value;
    if (cursor->at == 0)
        return bytes_text("(missing)");
    listpack_get(cursor->data, cursor->at, &value);
    cursor->at = listpack_next(cursor->data, cursor->at);
    return listpack_value_text(&value, scratch);
}

static int64_t next_integer(struct node_cursor *cursor)
{
    char scratch[NUMBER_I64_CHARS_MAX];
    int64_t integer = 0;
    return number_parse_i64(next_text(cursor, scratch), &integer) ? integer : 0;
}

static void word_entry(struct buf *out, struct rdb_stream_id node, uint32_t names_at,
                       int64_t name_count, struct node_cursor *cursor)
{
    char scratch[NUMBER_I64_CHARS_MAX];
    struct node_cursor names = {cursor->data, names_at};
    int64_t flags = next_integer(cursor);
    struct rdb_stream_id id = {.ms = node.ms + (uint64_t)next_integer(cursor)};
    id.seq = node.seq + (uint64_t)next_integer(cursor);
    bool same = (flags & ENTRY_SAME_FIELDS) != 0;
    int64_t count = same ? name_count : next_integer(cursor);
    struct buf words = {0};
    word_id(&words, "", id);
    for (; count > 0 && cursor->at != 0; count--) {
        word_text(&words, next_text(same ? &names : cursor, scratch));
        buf_append_byte(&words, '=');
        buf_append_bytes(&words, next_text(cursor, scratch));
    }
    (void)next_integer(cursor); /* the entry's length */
    if ((flags & ENTRY_DELETED) == 0)
        buf_append_bytes(out, buf_bytes(&words));
    buf_deinit(&words);
}

static void word_node(struct buf *out, const struct rdb_element *e)
{
    if (listpack_validate(e->node.listpack, NULL, NULL) != ST_OK) {
        word_id(out, "damaged node ", e->node.id);
        return;
    }
    struct node_cursor cursor = {e->node.listpack.data, listpack_first(e->node.listpack.data)};
    (void)next_integer(&cursor);
    (void)next_integer(&cursor);
    int64_t name_count = next_integer(&cursor);
    uint32_t names_at = cursor.at;
    char scratch[NUMBER_I64_CHARS_MAX];
    for (int64_t i = 0; i <= name_count && cursor.at != 0; i++)
        (void)next_text(&cursor, scratch); /* the names, and a zero */
    while (cursor.at != 0)
        word_entry(out, e->node.id, names_at, name_count, &cursor);
}

static void word_stream(struct buf *out, const struct rdb_element *e, bool with_first)
{
    buf_append_format(out, " length %" PRIu64, e->stream.length);
    word_id(out, "last ", e->stream.last_id);
    if (!e->stream.has_history)
        return;
    if (with_first)
        word_id(out, "first ", e->stream.first_id);
    word_id(out, "deleted ", e->stream.max_deleted_id);
    buf_append_format(out, " added %" PRIu64, e->stream.entries_added);
}

static void word_group(struct buf *out, const struct rdb_element *e)
{
    buf_append_text(out, " group");
    word_text(out, e->group.name);
    buf_append_format(out, " %" PRIu64 "-%" PRIu64 " read ", e->group.last_id.ms,
                      e->group.last_id.seq);
    if (e->group.has_entries_read)
        buf_append_format(out, "%" PRId64, e->group.entries_read);
    else
        buf_append_byte(out, '?');
}

enum status rdb_words_take(void *arg, const struct rdb_element *e, struct err *err)
{
    static const char *const kinds[] = {"string:", "list:", "set:", "zset:", "hash:", "stream:"};
    struct buf *out = arg;
    (void)err;
    switch (e->kind) {
    case RDB_ELEMENT_BEGIN:
        buf_append_text(out, kinds[e->begin.kind]);
        break;
    case RDB_ELEMENT_TEXT:
        word_text(out, e->text);
        break;
    case RDB_ELEMENT_SCORED:
        word_scored(out, e);
        break;
    case RDB_ELEMENT_FIELD:
        word_field(out, e);
        break;
    case RDB_ELEMENT_NODE:
        word_node(out, e);
        break;
    case RDB_ELEMENT_STREAM:
        word_stream(out, e, true);
        break;
    case RDB_ELEMENT_GROUP:
        word_group(out, e);
        break;
    case RDB_ELEMENT_CONSUMER:
        buf_append_text(out, " consumer");
        word_text(out, e->consumer.name);
        buf_append_format(out, " %" PRId64 " %" PRId64, e->consumer.seen_at_ms,
                          e->consumer.active_at_ms);
        break;
    case RDB_ELEMENT_PENDING:
        word_id(out, "pending ", e->pending.id);
        buf_append_format(out, " %" PRId64 " %" PRIu64, e->pending.delivered_at_ms,
                          e->pending.deliveries);
        break;
    }
    return ST_OK;
}

/* ---- Values -----------------------------------------------------------------------------------
 */

struct sorter {
    struct buf text;
    struct buf lens; /* size_t each, of the elements in `text` */
    bool unordered;
};

static enum status take_sorted(void *arg, const struct rdb_element *e, struct err *err)
{
    struct sorter *sorter = arg;
    if (e->kind == RDB_ELEMENT_BEGIN)
        sorter->unordered = e->begin.kind == RDB_VALUE_SET || e->begin.kind == RDB_VALUE_ZSET ||
                            e->begin.kind == RDB_VALUE_HASH;
    size_t before = sorter->text.len;
    enum status st = ST_OK;
    if (e->kind == RDB_ELEMENT_STREAM)
        word_stream(&sorter->text, e, false);
    else
        st = rdb_words_take(&sorter->text, e, err);
    size_t len = sorter->text.len - before;
    if (e->kind != RDB_ELEMENT_BEGIN)
        buf_append(&sorter->lens, &len, sizeof(len));
    return st;
}

static int compare(const void *left, const void *right)
{
    const struct bytes *a = left;
    const struct bytes *b = right;
    int order = memcmp(a->data, b->data, a->len < b->len ? a->len : b->len);
    return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

enum status rdb_words_append(struct buf *out, uint8_t type, struct bytes value, struct err *err)
{
    struct sorter sorter = {0};
    enum status st = rdb_decode(type, value, 0, take_sorted, &sorter, err);
    size_t count = sorter.lens.len / sizeof(size_t);
    if (st == ST_OK && sorter.unordered && count > 1) {
        struct bytes *elements = mem_alloc(count * sizeof(*elements));
        const uint8_t *end = sorter.text.data + sorter.text.len;
        for (size_t i = count; i-- != 0;) {
            size_t len;
            memcpy(&len, sorter.lens.data + i * sizeof(len), sizeof(len));
            end -= len;
            elements[i] = bytes_make(end, len);
        }
        qsort(elements, count, sizeof(*elements), compare);
        buf_append(out, sorter.text.data, (size_t)(end - sorter.text.data));
        for (size_t i = 0; i < count; i++)
            buf_append_bytes(out, elements[i]);
        mem_free(elements);
    } else if (st == ST_OK) {
        buf_append_bytes(out, buf_bytes(&sorter.text));
    }
    buf_deinit(&sorter.text);
    buf_deinit(&sorter.lens);
    return st;
}
