#include "tools/rdb_prefixes.h"

#include "codec/check.h"
#include "codec/checksum.h"
#include "codec/mem.h"

#define SLOT_COUNT (RDB_PREFIXES_MAX * 2) /* of the table; a power of two */

struct rdb_prefixes {
    char separator;
    uint32_t depth_max;
    uint32_t count;
    struct rdb_prefix *nodes; /* owned, RDB_PREFIXES_MAX; with owned segments */
    uint32_t *slots;          /* owned: index of a node, found by parent and segment; 0: free */
};

struct rdb_prefixes *rdb_prefixes_create(char separator, uint32_t depth_max)
{
    struct rdb_prefixes *prefixes = mem_calloc(1, sizeof(*prefixes));
    prefixes->separator = separator;
    prefixes->depth_max = depth_max;
    prefixes->count = 1;
    prefixes->nodes = mem_calloc(RDB_PREFIXES_MAX, sizeof(*prefixes->nodes));
    prefixes->slots = mem_calloc(SLOT_COUNT, sizeof(*prefixes->slots));
    return prefixes;
}

static void free_segment(struct bytes segment)
{
    union {
        const uint8_t *borrowed;
        void *owned;
    } data = {.borrowed = segment.data};
    mem_free(data.owned);
}

void rdb_prefixes_destroy(struct rdb_prefixes *prefixes)
{
    if (prefixes == NULL)
        return;
    for (uint32_t i = 1; i < prefixes->count; i++)
        free_segment(prefixes->nodes[i].segment);
    mem_free(prefixes->nodes);
    mem_free(prefixes->slots);
    mem_free(prefixes);
}

/* 0: there is none, and no room for one more. */
static uint32_t find_or_create(struct rdb_prefixes *prefixes, uint32_t parent, struct bytes segment)
{
    uint64_t slot = hash64(parent, segment.data, segment.len) % SLOT_COUNT;
    for (; prefixes->slots[slot] != 0; slot = (slot + 1) % SLOT_COUNT) {
        uint32_t index = prefixes->slots[slot];
        const struct rdb_prefix *node = &prefixes->nodes[index];
        if (node->parent == parent && bytes_equal(node->segment, segment))
            return index;
    }
    if (prefixes->count == RDB_PREFIXES_MAX ||
        prefixes->nodes[parent].children == RDB_PREFIX_CHILDREN_MAX)
        return 0;
    uint32_t index = prefixes->count++;
    prefixes->slots[slot] = index;
    prefixes->nodes[index] =
        (struct rdb_prefix){.segment = bytes_make(mem_dup(segment.data, segment.len), segment.len),
                            .parent = parent,
                            .depth = prefixes->nodes[parent].depth + 1};
    prefixes->nodes[parent].children++;
    return index;
}

void rdb_prefixes_add(struct rdb_prefixes *prefixes, struct bytes key, uint64_t bytes)
{
    uint32_t at = 0;
    for (;;) {
        struct rdb_prefix *node = &prefixes->nodes[at];
        node->keys++;
        node->bytes += bytes;
        if (node->depth == prefixes->depth_max || key.len == 0)
            return;
        const uint8_t *end = memchr(key.data, prefixes->separator, key.len);
        size_t len = end == NULL ? 0 : (size_t)(end - key.data) + 1;
        if (len == 0 || len > RDB_PREFIX_SEGMENT_BYTES)
            return;
        at = find_or_create(prefixes, at, bytes_make(key.data, len));
        if (at == 0)
            return;
        key = bytes_make(key.data + len, key.len - len);
    }
}

const struct rdb_prefix *rdb_prefixes_get(const struct rdb_prefixes *prefixes, uint32_t index)
{
    CHECK(index < prefixes->count);
    return &prefixes->nodes[index];
}

size_t rdb_prefixes_largest(const struct rdb_prefixes *prefixes, uint32_t parent, uint32_t *out,
                            size_t capacity)
{
    size_t count = 0;
    for (uint32_t i = 1; i < prefixes->count; i++) {
        const struct rdb_prefix *node = &prefixes->nodes[i];
        if (node->parent != parent)
            continue;
        size_t at = count;
        while (at > 0 && prefixes->nodes[out[at - 1]].bytes < node->bytes)
            at--;
        if (at == capacity)
            continue;
        size_t moved = (count < capacity ? count : capacity - 1) - at;
        memmove(out + at + 1, out + at, moved * sizeof(*out));
        out[at] = i;
        count += count < capacity;
    }
    return count;
}
