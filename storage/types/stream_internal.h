/* Shared by the parts of the stream type: stream.c (entries and the directory), stream_node.c (one
 * node), stream_group.c, stream_record.c (small records), stream_parts.c (large streams). */
#ifndef BASALT_STORAGE_TYPES_STREAM_INTERNAL_H
#define BASALT_STORAGE_TYPES_STREAM_INTERNAL_H

#include "codec/listpack.h"
#include "codec/mem.h"
#include "storage/types/stream.h"

#define STREAM_ALL_LOADED 0xff
#define NODE_HEAD_BYTES   sizeof(struct stream_node)
_Static_assert(NODE_HEAD_BYTES == 24, "a node's listpack is well aligned");

static inline struct part *part_of(void *p)
{
    return (struct part *)p;
}

static inline enum stream_kind part_kind(const struct part *part)
{
    return (enum stream_kind)(part->bits >> 1);
}

static inline bool stream_is_large(const struct stream *s)
{
    return s->parts.object_id != 0;
}

/* ---- stream_node.c: `lp` is the listpack of a node. */

/* A node with one entry, which is also the master entry. */
struct stream_node *node_create(struct stream_id id, const struct bytes *texts, size_t field_count);
/* Room for `extra` more bytes and entries? */
bool node_takes(const struct stream_node *node, size_t extra, const struct stream_limits *limits);
/* Appends; the node may move. */
struct stream_node *node_append(struct stream_node *node, struct stream_id id,
                                const struct bytes *texts, size_t field_count);
uint64_t node_count(const struct stream_node *node);
uint64_t node_deleted(const struct stream_node *node);
/* The first entry that is not deleted, at or behind `at` (0: the start); false at the end. `*at`
 * moves behind it. */
bool node_next(const struct stream_node *node, uint32_t *at, struct stream_entry *out);
/* The last one before `at` (0: the end); `*at` moves to where it begins. */
bool node_prev(const struct stream_node *node, uint32_t *at, struct stream_entry *out);
/* Of its last entry, deleted or not: trimming by id looks at that, as in Redis. */
struct stream_id node_last_id(const struct stream_node *node);
/* Marks the entry deleted; false: not there. */
bool node_delete(struct stream_node **node, struct stream_id id);
/* Marks the first entries deleted, up to `count` of them and with ids below `min_id`; returns how
 * many, and the highest of their ids. */
uint64_t node_delete_first(struct stream_node **node, uint64_t count, struct stream_id min_id,
                           struct stream_id *last_deleted);
static inline size_t node_bytes(const struct stream_node *node)
{
    return listpack_bytes(node->listpack);
}

/* ---- stream.c */

/* Accounts for a new part; in a large stream it becomes dirty. `kind` is STREAM_*. */
void stream_add_part(struct stream *s, void *part, enum stream_kind kind);
/* Makes a part one that may be changed in place; returns it or a copy that has taken its place in
 * the dirty vector. The caller puts the result where the part was. */
void *stream_own_part(struct stream *s, void *part);
/* A part is gone, on disk too. `key_bytes`: of its struct, from the start on, which tell its
 * element key. Frees it, or has it freed. */
void stream_remove_part(struct stream *s, void *part, size_t key_bytes);
/* An own part has been reallocated. */
void stream_part_resized(struct stream *s, void *part, size_t bytes_before);
static inline struct stream_page *stream_page(const struct stream *s, uint32_t index)
{
    return &s->pages[s->first_page + index];
}
/* Puts a page at the end. Takes it. */
struct stream_page *stream_push_page(struct stream *s, struct stream_page_part *part);
struct stream_page_part *stream_page_part_create(uint64_t number, uint32_t capacity);
/* The node in which `id` is or would be: the last one that begins at or before it. False: none. */
bool stream_find_node(const struct stream *s, struct stream_id id, uint32_t *page, uint32_t *ref);
/* Recomputes first_id after deletions. */
void stream_update_first(struct stream *s);

/* ---- stream_group.c */
void stream_free_group(struct stream_group *group);
struct stream_group *stream_group_by_number(const struct stream *s, uint32_t number);
/* Put what was read or made into the stream; take the part. False: it contradicts what is there. */
bool stream_insert_group(struct stream *s, struct stream_group_part *part);
bool stream_insert_consumer(struct stream *s, struct stream_consumer_part *part);
bool stream_insert_pending(struct stream *s, struct stream_pending_part *part);

/* ---- stream_record.c */
struct stream *stream_create(void);
void stream_free(void *value);

/* ---- stream_parts.c: what parts look like on disk, of groups also in small records; and what
 * value_type asks for. */
void stream_part_value(const struct part *part, struct buf *out);
void stream_encode_part(const struct part *part, struct part_sink *sink);
void stream_forget_part(struct object *o, struct part *part);
enum status stream_install_part(struct object *o, struct bytes element, struct bytes value,
                                bool found, const struct value_rules *rules);
void stream_installed_range(struct object *o, struct bytes from, struct bytes to);
enum ensured stream_ensure_all(struct ensure *e);
size_t stream_drop_clean(struct object *o, size_t bytes);

#endif
