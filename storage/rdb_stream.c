#include "storage/rdb_stream.h"

#include "codec/endian.h"
#include "codec/rdb_write.h"

/* From which version on there are the first id, the highest deleted one and the counters; and when
 * a consumer was active. */
#define VERSION_COUNTERS 10
#define VERSION_ACTIVE   11
#define ID_BYTES         16

uint8_t rdb_stream_type(int version)
{
    if (version >= VERSION_ACTIVE)
        return RDB_TYPE_STREAM_LISTPACKS_3;
    return version >= VERSION_COUNTERS ? RDB_TYPE_STREAM_LISTPACKS_2 : RDB_TYPE_STREAM_LISTPACKS;
}

static struct bytes encode_id(struct stream_id id, uint8_t out[ID_BYTES])
{
    store_be64(out, id.ms);
    store_be64(out + 8, id.seq);
    return bytes_make(out, ID_BYTES);
}

static void put_id_lengths(struct rdb_writer *writer, struct stream_id id)
{
    rdb_writer_put_length(writer, id.ms);
    rdb_writer_put_length(writer, id.seq);
}

void rdb_stream_put_node(const struct rdb_target *target, struct stream_id id,
                         struct bytes listpack)
{
    uint8_t key[ID_BYTES];
    rdb_writer_put_text(target->writer, encode_id(id, key));
    rdb_writer_put_text(target->writer, listpack);
}

void rdb_stream_put_facts(const struct rdb_target *target, const struct stream *s)
{
    rdb_writer_put_length(target->writer, s->length);
    put_id_lengths(target->writer, s->last_id);
    if (target->version < VERSION_COUNTERS)
        return;
    put_id_lengths(target->writer, s->first_id);
    put_id_lengths(target->writer, s->max_deleted_id);
    rdb_writer_put_length(target->writer, s->entries_added);
}

void rdb_stream_put_group(const struct rdb_target *target, const struct stream_group_part *group)
{
    rdb_writer_put_text(target->writer, bytes_make(group->name, group->name_len));
    put_id_lengths(target->writer, group->last_id);
    if (target->version >= VERSION_COUNTERS)
        rdb_writer_put_length(target->writer, (uint64_t)group->entries_read);
}

void rdb_stream_put_id(const struct rdb_target *target, struct stream_id id)
{
    uint8_t key[ID_BYTES];
    rdb_writer_put_bytes(target->writer, encode_id(id, key));
}

void rdb_stream_put_pending(const struct rdb_target *target, struct stream_id id,
                            int64_t delivered_at_ms, uint64_t deliveries)
{
    rdb_stream_put_id(target, id);
    rdb_put_ms(target->writer, delivered_at_ms);
    rdb_writer_put_length(target->writer, deliveries);
}

void rdb_stream_put_consumer(const struct rdb_target *target,
                             const struct stream_consumer_part *consumer)
{
    rdb_writer_put_text(target->writer, bytes_make(consumer->name, consumer->name_len));
    rdb_put_ms(target->writer, consumer->seen_at_ms);
    if (target->version >= VERSION_ACTIVE)
        rdb_put_ms(target->writer, consumer->active_at_ms);
}

/* ---- From RAM. */

static void put_node(void *arg, struct stream_id id, struct bytes listpack)
{
    rdb_stream_put_node(arg, id, listpack);
}

static void put_group(const struct rdb_target *target, const struct stream_group *group)
{
    struct id_walk walk;
    struct id_entry entry;
    rdb_stream_put_group(target, group->part);
    rdb_writer_put_length(target->writer, group->pending.count);
    id_walk_init(&walk, &group->pending, (struct stream_id){0, 0});
    while (id_walk_next(&walk, &entry)) {
        const struct stream_pending_part *pending = entry.value;
        rdb_stream_put_pending(target, entry.id, pending->delivered_at_ms, pending->deliveries);
    }
    rdb_writer_put_length(target->writer, group->consumer_count);
    for (uint32_t i = 0; i < group->consumer_count; i++) {
        const struct stream_consumer *consumer = group->consumers[i];
        rdb_stream_put_consumer(target, consumer->part);
        rdb_writer_put_length(target->writer, consumer->pending.count);
        id_walk_init(&walk, &consumer->pending, (struct stream_id){0, 0});
        while (id_walk_next(&walk, &entry))
            rdb_stream_put_id(target, entry.id);
    }
}

void rdb_stream_put(const struct rdb_target *target, const struct object *o)
{
    const struct stream *s = stream_of(o);
    struct rdb_target copy = *target;
    rdb_writer_put_length(target->writer, s->node_count);
    stream_each_node(s, put_node, &copy);
    rdb_stream_put_facts(target, s);
    rdb_writer_put_length(target->writer, s->group_count);
    for (uint32_t i = 0; i < s->group_count; i++)
        put_group(target, s->groups[i]);
}
