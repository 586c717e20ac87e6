/* Ranges of sorted sets as requests name them: by rank, by score, by member. All become ranks. */
#ifndef BASALT_SERVER_COMMANDS_ZSET_RANGE_H
#define BASALT_SERVER_COMMANDS_ZSET_RANGE_H

#include "server/call.h"
#include "storage/types/zset.h"
#include "storage/types/zset_ensure.h"

enum zset_range_kind { ZSET_RANGE_RANK, ZSET_RANGE_SCORE, ZSET_RANGE_MEMBER };

/* One end of a range by score or member. */
struct zset_edge {
    struct bytes member; /* borrowed from the request */
    double score;
    bool exclusive;
    bool lowest, highest; /* by member: "-" and "+" */
};

struct zset_range {
    enum zset_range_kind kind;
    int64_t start, stop; /* by rank; negative ones count from the end */
    struct zset_edge min, max;
};

/* Reads the range from two arguments, the lower end of which is `min`. False: it is none. */
bool zset_range_read(enum zset_range_kind kind, struct bytes min, struct bytes max,
                     struct zset_range *out);
/* The same for arguments; false: an error was replied. */
bool zset_range_parse(struct call *c, enum zset_range_kind kind, int min_arg, int max_arg,
                      struct zset_range *out);

/* The elements of a range: from <= rank < to. With `down`, ranks in the range count from the last
 * element on. */
struct zset_ranks {
    uint64_t from;
    uint64_t to;
};
struct zset_ranks zset_range_find(const struct object *o, const struct zset_range *range,
                                  bool down);

/* LIMIT: of a range's elements, `limit` (negative: all) from `offset` (negative: none) on. */
struct zset_ranks zset_range_limit(struct zset_ranks ranks, bool down, int64_t offset,
                                   int64_t limit);

/* What zset_range_find needs of a large set; then what a walk over the ranks needs, if `elements`
 * (storage/types/zset_ensure.h). */
struct zset_range_needs {
    const struct zset_range *range;
    bool down;
    int64_t offset, limit;
    bool elements;
};
enum ensured zset_range_ensure(struct ensure *e, const struct zset_range_needs *needs);

#endif
