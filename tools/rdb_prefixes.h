/* How keys are spread over the prefixes of their names: a tree whose levels are the parts of names
 * up to a separator. Bounded: a prefix has so many children, the tree so many prefixes; keys of
 * further ones count for the prefix above only. */
#ifndef BASALT_TOOLS_RDB_PREFIXES_H
#define BASALT_TOOLS_RDB_PREFIXES_H

#include <stddef.h>
#include <stdint.h>

#include "codec/bytes.h"

#define RDB_PREFIXES_MAX         65536
#define RDB_PREFIX_CHILDREN_MAX  4096
#define RDB_PREFIX_SEGMENT_BYTES 256 /* longer parts of names are not told apart */

struct rdb_prefixes;

/* What is below a prefix. */
struct rdb_prefix {
    struct bytes segment; /* with the separator; empty: all keys */
    uint32_t parent;      /* index; of all keys: itself */
    uint32_t depth;       /* 0: all keys */
    uint32_t children;
    uint64_t keys;
    uint64_t bytes; /* in the file */
};

struct rdb_prefixes *rdb_prefixes_create(char separator, uint32_t depth_max);
void rdb_prefixes_destroy(struct rdb_prefixes *prefixes); /* NULL is allowed */
void rdb_prefixes_add(struct rdb_prefixes *prefixes, struct bytes key, uint64_t bytes);
const struct rdb_prefix *rdb_prefixes_get(const struct rdb_prefixes *prefixes, uint32_t index);
/* The indices of the children with the most bytes, largest first, at most `capacity`; returns how
 * many. */
size_t rdb_prefixes_largest(const struct rdb_prefixes *prefixes, uint32_t parent, uint32_t *out,
                            size_t capacity);

#endif
