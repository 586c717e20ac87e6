#include "tools/rdb_text.h"

#include <inttypes.h>

#include "storage/types/stream.h"
#include "storage/value_type.h"

const char *rdb_text_id(struct rdb_stream_id id, char out[48])
{
    (void)snprintf(out, 48, "%" PRIu64 "-%" PRIu64, id.ms, id.seq);
    return out;
}

/* Integers of an entry are texts in a buffer that may move: all are put there, then pointed at. */
static enum status tell_entry(void *arg, struct stream_entry *entry, struct buf *bytes,
                              struct buf *ranges, rdb_text_entry_fn *fn)
{
    buf_clear(bytes);
    buf_clear(ranges);
    for (uint64_t i = 0; i < entry->field_count; i++) {
        char field_scratch[24];
        char value_scratch[24];
        struct bytes pair[2];
        stream_entry_next(entry, field_scratch, value_scratch, &pair[0], &pair[1]);
        buf_append_bytes(bytes, pair[0]);
        buf_append_bytes(bytes, pair[1]);
        buf_append(ranges, pair, sizeof(pair));
    }
    struct bytes *texts = (struct bytes *)(void *)ranges->data;
    size_t count = ranges->len / sizeof(*texts);
    const uint8_t *at = bytes->data;
    for (size_t i = 0; i < count; i++) {
        texts[i].data = at;
        at += texts[i].len;
    }
    return fn(arg, (struct rdb_stream_id){.ms = entry->id.ms, .seq = entry->id.seq}, texts, count);
}

enum status rdb_text_each_entry(void *arg, const struct rdb_element *node, rdb_text_entry_fn *fn,
                                struct err *err)
{
    static const struct stream_id last = {.ms = UINT64_MAX, .seq = UINT64_MAX};
    uint64_t count;
    enum status st = stream_node_validate(node->node.listpack, &count, err);
    if (st != ST_OK || count == 0)
        return st;
    /* A stream of just this node. */
    struct object o = {.type = OBJECT_STREAM, .expire_at_ms = OBJECT_NO_EXPIRE};
    stream_init(&o);
    struct stream_id id = {.ms = node->node.id.ms, .seq = node->node.id.seq};
    stream_append_node(stream_of(&o), id, node->node.listpack);
    struct stream_walk walk;
    struct stream_entry entry;
    struct buf bytes = {0};
    struct buf ranges = {0};
    stream_walk_init(&walk, stream_of(&o), (struct stream_id){0}, last, false);
    while (st == ST_OK && stream_walk_next(&walk, &entry))
        st = tell_entry(arg, &entry, &bytes, &ranges, fn);
    buf_deinit(&bytes);
    buf_deinit(&ranges);
    object_free_fn *free_fn;
    void *value = object_value_type(OBJECT_STREAM)->take(&o, &free_fn);
    free_fn(value);
    return st;
}
