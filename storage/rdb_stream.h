/* Streams as RDB files and DUMP have them; for rdb_value and rdb_record. */
#ifndef BASALT_STORAGE_RDB_STREAM_H
#define BASALT_STORAGE_RDB_STREAM_H

#include "storage/id_index.h"
#include "storage/rdb_value.h"
#include "storage/types/stream.h"

/* An enum rdb_type. */
uint8_t rdb_stream_type(int version);
/* A whole one that is in RAM. */
void rdb_stream_put(const struct rdb_target *target, const struct object *o);

/* The parts, in the order of the file: the number of nodes and each of them; the facts; the number
 * of groups; of each the group, the number of its pending entries and each of them, the number of
 * its consumers, and of each the consumer, the number of its pending entries and their ids. */
void rdb_stream_put_node(const struct rdb_target *target, struct stream_id id,
                         struct bytes listpack);
/* length, last_id, first_id, max_deleted_id, entries_added are looked at. */
void rdb_stream_put_facts(const struct rdb_target *target, const struct stream *s);
void rdb_stream_put_group(const struct rdb_target *target, const struct stream_group_part *group);
void rdb_stream_put_pending(const struct rdb_target *target, struct stream_id id,
                            int64_t delivered_at_ms, uint64_t deliveries);
void rdb_stream_put_consumer(const struct rdb_target *target,
                             const struct stream_consumer_part *consumer);
void rdb_stream_put_id(const struct rdb_target *target, struct stream_id id);

#endif
