/* Streams, as RDB files have them. A group lists what is pending in it, by ascending ids, with all
 * that is to be known; then each consumer, with the ids of those entries that are its own. */
#include "codec/check.h"
#include "codec/endian.h"
#include "codec/rdb_read_internal.h"
#include "codec/rdb_read_value_internal.h"

#include <inttypes.h>

#define STREAM_ID_BYTES 16
#define MS_BYTES        8

struct rdb_pending {
    struct rdb_stream_id id;
    int64_t delivered_at_ms;
    uint64_t deliveries;
    bool is_owned; /* a consumer has claimed it */
};

static int compare_ids(struct rdb_stream_id a, struct rdb_stream_id b)
{
    if (a.ms != b.ms)
        return a.ms < b.ms ? -1 : 1;
    return (a.seq > b.seq) - (a.seq < b.seq);
}

static struct rdb_stream_id load_id(const uint8_t *p)
{
    return (struct rdb_stream_id){.ms = load_be64(p), .seq = load_be64(p + 8)};
}

static enum status corrupt(struct rdb_decoding *v, const char *what)
{
    return rdb_input_fail(v->in, v->err, ST_CORRUPT, "%s", what);
}

/* An id as two lengths. */
static enum status read_id(struct rdb_decoding *v, struct rdb_stream_id *out)
{
    enum status st = rdb_input_length(v->in, &out->ms, v->err);
    return st == ST_OK ? rdb_input_length(v->in, &out->seq, v->err) : st;
}

static enum status read_raw_id(struct rdb_decoding *v, struct rdb_stream_id *out)
{
    const uint8_t *p;
    enum status st = rdb_input_take(v->in, STREAM_ID_BYTES, &p, v->err);
    if (st == ST_OK)
        *out = load_id(p);
    return st;
}

static enum status read_time(struct rdb_decoding *v, int64_t *out)
{
    const uint8_t *p;
    enum status st = rdb_input_take(v->in, MS_BYTES, &p, v->err);
    if (st != ST_OK)
        return st;
    *out = (int64_t)load_le64(p);
    return *out >= -1 ? ST_OK : corrupt(v, "a moment before 1970");
}

static enum status decode_node(struct rdb_decoding *v)
{
    struct rdb_element element = {.kind = RDB_ELEMENT_NODE};
    struct bytes key;
    enum status st = rdb_decode_text(v, &key);
    if (st != ST_OK)
        return st;
    if (key.len != STREAM_ID_BYTES)
        return corrupt(v, "a stream's node has a name that is no id");
    element.node.id = load_id(key.data);
    st = rdb_decode_text(v, &element.node.listpack);
    return st == ST_OK ? rdb_decode_give(v, &element) : st;
}

static enum status decode_facts(struct rdb_decoding *v)
{
    struct rdb_element element = {.kind = RDB_ELEMENT_STREAM};
    element.stream.has_history = v->type != RDB_TYPE_STREAM_LISTPACKS;
    enum status st = rdb_input_length(v->in, &element.stream.length, v->err);
    if (st == ST_OK)
        st = read_id(v, &element.stream.last_id);
    if (st == ST_OK && element.stream.has_history)
        st = read_id(v, &element.stream.first_id);
    if (st == ST_OK && element.stream.has_history)
        st = read_id(v, &element.stream.max_deleted_id);
    if (st == ST_OK && element.stream.has_history)
        st = rdb_input_length(v->in, &element.stream.entries_added, v->err);
    return st == ST_OK ? rdb_decode_give(v, &element) : st;
}

/* ---- Groups -----------------------------------------------------------------------------------
 */

static struct rdb_pending *pending_of(struct rdb_decoding *v, size_t *count)
{
    *count = v->pending.len / sizeof(struct rdb_pending);
    return (struct rdb_pending *)(void *)v->pending.data;
}

/* Reads all that is pending in the group. */
static enum status read_pending(struct rdb_decoding *v)
{
    uint64_t left;
    buf_clear(&v->pending);
    enum status st = rdb_input_length(v->in, &left, v->err);
    if (st == ST_OK && left > RDB_GROUP_PENDING_MAX)
        return corrupt(v, "more is pending in a group than there can be");
    for (; st == ST_OK && left != 0; left--) {
        struct rdb_pending entry = {.is_owned = false};
        st = read_raw_id(v, &entry.id);
        if (st == ST_OK)
            st = read_time(v, &entry.delivered_at_ms);
        if (st == ST_OK)
            st = rdb_input_length(v->in, &entry.deliveries, v->err);
        if (st != ST_OK)
            return st;
        size_t count;
        const struct rdb_pending *before = pending_of(v, &count);
        if (count != 0 && compare_ids(before[count - 1].id, entry.id) >= 0)
            return corrupt(v, "what is pending in a group is not in order");
        if (!buf_try_reserve(&v->pending, sizeof(entry)))
            return rdb_input_fail(v->in, v->err, ST_LIMIT, "out of memory");
        buf_append(&v->pending, &entry, sizeof(entry));
    }
    return st;
}

static struct rdb_pending *find_pending(struct rdb_decoding *v, struct rdb_stream_id id)
{
    size_t count;
    struct rdb_pending *all = pending_of(v, &count);
    size_t low = 0;
    while (low < count) {
        size_t middle = low + (count - low) / 2;
        int order = compare_ids(all[middle].id, id);
        if (order == 0)
            return &all[middle];
        if (order < 0)
            low = middle + 1;
        else
            count = middle;
    }
    return NULL;
}

static enum status decode_owned(struct rdb_decoding *v)
{
    struct rdb_stream_id id;
    enum status st = read_raw_id(v, &id);
    if (st != ST_OK)
        return st;
    struct rdb_pending *entry = find_pending(v, id);
    if (entry == NULL || entry->is_owned)
        return corrupt(v, "a consumer has an entry that is not pending, or another one has it");
    entry->is_owned = true;
    struct rdb_element element = {.kind = RDB_ELEMENT_PENDING,
                                  .pending = {.id = id,
                                              .delivered_at_ms = entry->delivered_at_ms,
                                              .deliveries = entry->deliveries}};
    return rdb_decode_give(v, &element);
}

static enum status decode_consumer(struct rdb_decoding *v)
{
    struct rdb_element element = {.kind = RDB_ELEMENT_CONSUMER};
    uint64_t left = 0;
    enum status st = rdb_decode_kept_text(v, &element.consumer.name);
    if (st == ST_OK)
        st = read_time(v, &element.consumer.seen_at_ms);
    element.consumer.active_at_ms = element.consumer.seen_at_ms;
    if (st == ST_OK && v->type == RDB_TYPE_STREAM_LISTPACKS_3)
        st = read_time(v, &element.consumer.active_at_ms);
    if (st == ST_OK)
        st = rdb_decode_give(v, &element);
    if (st == ST_OK)
        st = rdb_input_length(v->in, &left, v->err);
    for (; st == ST_OK && left != 0; left--)
        st = decode_owned(v);
    return st;
}

static enum status read_group(struct rdb_decoding *v)
{
    struct rdb_element element = {.kind = RDB_ELEMENT_GROUP};
    uint64_t entries_read;
    enum status st = rdb_decode_kept_text(v, &element.group.name);
    element.group.has_entries_read = v->type != RDB_TYPE_STREAM_LISTPACKS;
    if (st == ST_OK)
        st = read_id(v, &element.group.last_id);
    if (st == ST_OK && element.group.has_entries_read) {
        st = rdb_input_length(v->in, &entries_read, v->err);
        element.group.entries_read = st == ST_OK ? (int64_t)entries_read : -1;
        if (st == ST_OK && element.group.entries_read < -1)
            st = corrupt(v, "a group has read fewer than no entries");
    }
    return st == ST_OK ? rdb_decode_give(v, &element) : st;
}

static enum status decode_group(struct rdb_decoding *v)
{
    uint64_t consumers = 0;
    enum status st = read_group(v);
    if (st == ST_OK)
        st = read_pending(v);
    if (st == ST_OK)
        st = rdb_input_length(v->in, &consumers, v->err);
    for (; st == ST_OK && consumers != 0; consumers--)
        st = decode_consumer(v);
    if (st != ST_OK)
        return st;
    size_t count;
    const struct rdb_pending *all = pending_of(v, &count);
    for (size_t i = 0; i < count; i++)
        if (!all[i].is_owned)
            return corrupt(v, "an entry is pending for nobody");
    return ST_OK;
}

enum status rdb_decode_stream(struct rdb_decoding *v)
{
    uint64_t left;
    enum status st = rdb_input_length(v->in, &left, v->err);
    if (st == ST_OK)
        st = rdb_decode_begin(v, left);
    for (; st == ST_OK && left != 0; left--)
        st = decode_node(v);
    if (st == ST_OK)
        st = decode_facts(v);
    if (st == ST_OK)
        st = rdb_input_length(v->in, &left, v->err);
    for (; st == ST_OK && left != 0; left--)
        st = decode_group(v);
    return st;
}
