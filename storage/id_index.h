/* An ordered map from 128-bit ids to pointers: the pending entries of a consumer group. Sorted
 * arrays of bounded length, and a sorted array of those: an insertion moves at most one short
 * array, ids that ascend go to the end at once, and a walk is a scan of memory. Main thread. */
#ifndef BASALT_STORAGE_ID_INDEX_H
#define BASALT_STORAGE_ID_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stream_id {
    uint64_t ms;
    uint64_t seq;
};

#define STREAM_ID_MAX ((struct stream_id){.ms = UINT64_MAX, .seq = UINT64_MAX})

static inline int stream_id_compare(struct stream_id a, struct stream_id b)
{
    if (a.ms != b.ms)
        return a.ms < b.ms ? -1 : 1;
    return a.seq == b.seq ? 0 : a.seq < b.seq ? -1 : 1;
}

struct id_entry {
    struct stream_id id;
    void *value;
};

struct id_leaf;

struct id_index {
    struct id_leaf **leaves; /* owned; none is empty */
    uint32_t leaf_count, leaf_capacity;
    uint64_t count;
};

/* Zeroed is empty. Frees the index, not what the values point to. */
void id_index_deinit(struct id_index *index);
/* NULL: not there. */
void *id_index_find(const struct id_index *index, struct stream_id id);
/* Puts `value` (not NULL) under `id`; returns what was there, or NULL. */
void *id_index_put(struct id_index *index, struct stream_id id, void *value);
/* Returns what was removed, or NULL. */
void *id_index_remove(struct id_index *index, struct stream_id id);
/* The first entry at or behind `id`; false at the end. */
bool id_index_first(const struct id_index *index, struct stream_id id, struct id_entry *out);
/* The last entry; false when it is empty. */
bool id_index_last(const struct id_index *index, struct id_entry *out);
/* Bytes of RAM of the index itself. */
size_t id_index_bytes(const struct id_index *index);

/* A walk in order. Nothing may be changed meanwhile. */
struct id_walk {
    const struct id_index *index;
    uint32_t leaf, place;
};
void id_walk_init(struct id_walk *walk, const struct id_index *index, struct stream_id from);
bool id_walk_next(struct id_walk *walk, struct id_entry *out);

#endif
