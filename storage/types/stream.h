/* Streams: entries by ascending id in packed nodes, consumer groups with what they have delivered
 * and not had acknowledged.
 *
 * A *node* is a listpack of Redis's own layout (stream_node.c), some 100 entries with ascending
 * ids. Nodes are listed in *pages* of up to 128 (first id, number of entries): the directory, in
 * which an id or an entry's place is found by bisection. Groups, consumers and pending entries are
 * small records of their own.
 *
 * A small stream is one record. In a large one nodes, pages, groups, consumers and pending entries
 * are parts (parts.h) with these element keys, numbers big endian:
 *
 *     'E' group u32, ms u64, seq u64    pending entry        'N' ms u64, seq u64   node, by its id
 *     'G' group u32                     group                'P' number u64        page
 *     'K' group u32, consumer u32       consumer
 *
 * Nodes come and go one by one. The directory, and separately the groups, are brought in whole when
 * first needed (stream_ensure_*), and leave with the object.
 *
 * Everything that changes a stream does so between ks_change_begin and ks_change_end, and expects
 * what it touches to be in RAM. Main thread. Source: t_stream.c of Redis 7.2 for behaviour. */
#ifndef BASALT_STORAGE_TYPES_STREAM_H
#define BASALT_STORAGE_TYPES_STREAM_H

#include "codec/bytes.h"
#include "storage/ensure.h"
#include "storage/id_index.h"
#include "storage/object.h"
#include "storage/parts.h"

#include <stdbool.h>
#include <stdint.h>

struct value_rules;
struct value_type;

#define STREAM_NODE_BYTES_LIMIT     ((size_t)1 << 30) /* where stream-node-max-bytes says none */
#define STREAM_PAGE_NODES           128u
#define STREAM_ENTRIES_READ_UNKNOWN INT64_C(-1)

/* A node: part header and padding, the id that the ids in it are relative to, the listpack. */
struct stream_node {
    _Alignas(8) uint8_t part[8];
    struct stream_id first;
    uint8_t listpack[];
};

/* A page's part: how many nodes, and of each its first id and its number of entries. */
struct stream_ref {
    struct stream_id first;
    uint64_t count; /* of entries that are not deleted */
};
struct stream_page_part {
    _Alignas(8) uint8_t part[8];
    uint64_t number;
    uint32_t count, capacity;
    struct stream_ref refs[];
};
struct stream_page {
    struct stream_page_part *part;
    struct stream_node **nodes; /* owned; NULL: not in RAM. Of part->capacity */
};

struct stream_pending_part {
    _Alignas(8) uint8_t part[8];
    uint32_t group, consumer; /* numbers */
    struct stream_id id;
    int64_t delivered_at_ms;
    uint64_t deliveries;
};

struct stream_consumer_part {
    _Alignas(8) uint8_t part[8];
    uint32_t group, number;
    int64_t seen_at_ms;
    int64_t active_at_ms; /* -1: never */
    uint32_t name_len;
    uint8_t name[];
};

struct stream_group_part {
    _Alignas(8) uint8_t part[8];
    uint32_t number;
    uint32_t next_consumer;
    struct stream_id last_id;
    int64_t entries_read; /* STREAM_ENTRIES_READ_UNKNOWN */
    uint32_t name_len;
    uint8_t name[];
};

struct stream_consumer {
    struct stream_consumer_part *part;
    struct id_index pending; /* of struct stream_pending_part; those of the group are the owner */
};

struct stream_group {
    struct stream_group_part *part;
    struct id_index pending;            /* owns its struct stream_pending_part */
    struct stream_consumer **consumers; /* owned; by name */
    uint32_t consumer_count, consumer_capacity;
};

enum stream_kind { STREAM_NODE, STREAM_PAGE, STREAM_GROUP, STREAM_CONSUMER, STREAM_PENDING };
#define STREAM_KIND_COUNT 5

struct stream {
    struct parts parts; /* object_id 0 while it is small */
    uint64_t length;
    struct stream_id last_id;
    struct stream_id first_id;       /* of the first entry; 0-0 when empty */
    struct stream_id max_deleted_id; /* the highest id ever deleted, or 0-0 */
    uint64_t entries_added;
    struct stream_page
        *pages; /* owned; those in use are first_page .. first_page + page_count - 1 */
    uint32_t first_page, page_count, page_capacity;
    uint64_t next_page;
    uint64_t node_count;
    struct stream_group **groups; /* owned; by name */
    uint32_t group_count, group_capacity;
    uint32_t next_group;
    uint32_t hand;          /* of drop_clean: a page */
    size_t bytes;           /* of all parts and arrays in RAM, but the pending indexes */
    uint64_t pending_count; /* of all groups */
    uint64_t stored_bytes;  /* about what all of it takes, in RAM or not */
    uint8_t loaded;         /* 1 << kind: all parts of the kind are listed here (nodes never) */
    uint8_t cursors[STREAM_KIND_COUNT][32]; /* where loading goes on; element bytes */
    uint8_t cursor_lens[STREAM_KIND_COUNT];
};

static inline struct stream *stream_of(const struct object *o)
{
    return (struct stream *)o->value.pointer;
}

extern const struct value_type stream_value_type;

/* Gives `o`, of this type and without value, an empty stream. */
void stream_init(struct object *o);
/* After each change: makes a small stream that has become too large a large one. */
void stream_settle(struct object *o, const struct value_rules *rules);

/* ---- Entries. */

struct stream_limits {
    size_t node_bytes_max;     /* stream-node-max-bytes; 0: no limit */
    uint64_t node_entries_max; /* stream-node-max-entries; 0: no limit */
};

/* Appends an entry of field_count * 2 texts; `id` is greater than last_id. */
void stream_append(struct stream *s, struct stream_id id, const struct bytes *texts,
                   size_t field_count, const struct stream_limits *limits);
/* Deletes an entry; false when there is none. */
bool stream_delete(struct stream *s, struct stream_id id);
bool stream_has(const struct stream *s, struct stream_id id);

struct stream_trim {
    bool by_id;
    struct stream_id min_id; /* by_id: what is below goes */
    uint64_t length_max;     /* else so many stay */
    bool approximate;        /* whole nodes only */
    uint64_t limit;          /* of entries deleted, with approximate; 0: none */
};
/* Returns how many entries were deleted. */
uint64_t stream_trim(struct stream *s, const struct stream_trim *trim);

/* One entry, as a walk finds it. */
struct stream_entry {
    struct stream_id id;
    uint64_t field_count;
    /* private */
    const uint8_t *listpack;
    uint32_t at; /* of the next field or value */
    uint32_t
        field_at; /* of the next field's name in the master entry; 0: it stands with the value */
};
/* The next field and its value; integers as text in the scratch buffers. */
void stream_entry_next(struct stream_entry *entry, char field_scratch[24], char value_scratch[24],
                       struct bytes *field, struct bytes *value);

struct stream_walk {
    const struct stream *s;
    struct stream_id from, to;
    bool reverse;
    uint32_t page, ref; /* the current node */
    uint32_t at;        /* in its listpack: the next entry (the end of the next one, in reverse) */
    bool started;
};
/* Entries from..to (inclusive), ascending or in reverse. Nothing may be changed meanwhile. */
void stream_walk_init(struct stream_walk *walk, const struct stream *s, struct stream_id from,
                      struct stream_id to, bool reverse);
bool stream_walk_next(struct stream_walk *walk, struct stream_entry *out);

/* ---- Ids. */

/* The id behind (before) one; false where there is none. */
bool stream_id_increment(struct stream_id *id);
bool stream_id_decrement(struct stream_id *id);
static inline bool stream_id_is_zero(struct stream_id id)
{
    return id.ms == 0 && id.seq == 0;
}

/* ---- Consumer groups. */

struct stream_group *stream_find_group(const struct stream *s, struct bytes name);
/* NULL: the name is taken. */
struct stream_group *stream_create_group(struct stream *s, struct bytes name,
                                         struct stream_id last_id, int64_t entries_read);
void stream_destroy_group(struct stream *s, struct stream_group *group);
void stream_set_group_id(struct stream *s, struct stream_group *group, struct stream_id last_id,
                         int64_t entries_read);
/* How many entries of the stream's whole life come up to `id`, or STREAM_ENTRIES_READ_UNKNOWN. */
int64_t stream_entries_up_to(const struct stream *s, struct stream_id id);
static inline struct bytes stream_group_name(const struct stream_group *group)
{
    return bytes_make(group->part->name, group->part->name_len);
}

struct stream_consumer *stream_find_consumer(const struct stream_group *group, struct bytes name);
struct stream_consumer *stream_consumer_by_number(const struct stream_group *group,
                                                  uint32_t number);
/* NULL: the name is taken. */
struct stream_consumer *stream_create_consumer(struct stream *s, struct stream_group *group,
                                               struct bytes name, int64_t now_ms);
/* With its pending entries; returns their number. */
uint64_t stream_destroy_consumer(struct stream *s, struct stream_group *group,
                                 struct stream_consumer *consumer);
static inline struct bytes stream_consumer_name(const struct stream_consumer *consumer)
{
    return bytes_make(consumer->part->name, consumer->part->name_len);
}
/* Notes that it was seen, and with `active` that it got something. */
void stream_touch_consumer(struct stream *s, struct stream_consumer *consumer, int64_t now_ms,
                           bool active);
/* Sets both moments, as a dump has them. */
void stream_set_consumer_times(struct stream *s, struct stream_consumer *consumer,
                               int64_t seen_at_ms, int64_t active_at_ms);

static inline struct stream_pending_part *stream_find_pending(const struct stream_group *group,
                                                              struct stream_id id)
{
    return id_index_find(&group->pending, id);
}
/* Makes an entry pending for a consumer; it takes it over from whom it was pending for. */
void stream_put_pending(struct stream *s, struct stream_group *group,
                        struct stream_consumer *consumer, struct stream_id id,
                        int64_t delivered_at_ms, uint64_t deliveries);
/* False: it was not pending. */
bool stream_remove_pending(struct stream *s, struct stream_group *group, struct stream_id id);

/* ---- Bringing in (ensure.h); all return ENSURED for other types and for small streams. */

/* The directory, so that entries can be appended and counted, and the last node. */
enum ensured stream_ensure_tail(struct ensure *e);
/* The directory and the nodes with entries from..to, at most those that hold `count` (0: all). */
enum ensured stream_ensure_range(struct ensure *e, struct stream_id from, struct stream_id to,
                                 uint64_t count, bool reverse);
/* The nodes of these ids; of none if `count` is 0. */
enum ensured stream_ensure_ids(struct ensure *e, const struct stream_id *ids, size_t count);
/* What trimming touches: the directory and the node in which it ends. */
enum ensured stream_ensure_trim(struct ensure *e, const struct stream_trim *trim);
/* Groups, consumers and pending entries. */
enum ensured stream_ensure_groups(struct ensure *e);

/* ---- For DUMP and RDB. */

/* Calls `fn` with each node's id and listpack, which must all be in RAM. */
void stream_each_node(const struct stream *s,
                      void (*fn)(void *arg, struct stream_id id, struct bytes listpack), void *arg);
/* Appends a node with a validated listpack (stream_node_validate); `id` is above all others. */
void stream_append_node(struct stream *s, struct stream_id id, struct bytes listpack);
/* Whether a listpack has the layout of a node. ST_CORRUPT; `*count_out`: entries not deleted. */
enum status stream_node_validate(struct bytes listpack, uint64_t *count_out, struct err *err);

#endif
