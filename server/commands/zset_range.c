#include "server/commands/zset_range.h"

#include "codec/number.h"

#include <math.h>
#include <stdlib.h>

#define SCORE_CHARS_MAX 512 /* of an odd spelling */

/* Redis reads the bounds of scores with strtod(): leading blanks, nothing at all, and numbers too
 * large for a double are fine there, but not where scores are set. */
static bool parse_odd_score(struct bytes text, double *out)
{
    char copy[SCORE_CHARS_MAX + 1];
    char *end;
    if (text.len > SCORE_CHARS_MAX)
        return false;
    if (text.len != 0)
        memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    *out = strtod(copy, &end);
    return *end == '\0' && !isnan(*out);
}

static bool parse_score(struct bytes text, struct zset_edge *out)
{
    *out = (struct zset_edge){.exclusive = text.len != 0 && text.data[0] == '('};
    if (out->exclusive)
        text = bytes_make(text.data + 1, text.len - 1);
    return number_parse_f64(text, &out->score) || parse_odd_score(text, &out->score);
}

static bool parse_member(struct bytes text, struct zset_edge *out)
{
    *out = (struct zset_edge){.lowest = false};
    if (text.len == 0)
        return false;
    switch (text.data[0]) {
    case '-':
        out->lowest = true;
        return text.len == 1;
    case '+':
        out->highest = true;
        return text.len == 1;
    case '(':
    case '[':
        out->exclusive = text.data[0] == '(';
        out->member = bytes_make(text.data + 1, text.len - 1);
        return true;
    default:
        return false;
    }
}

bool zset_range_read(enum zset_range_kind kind, struct bytes min, struct bytes max,
                     struct zset_range *out)
{
    *out = (struct zset_range){.kind = kind};
    switch (kind) {
    case ZSET_RANGE_RANK:
        return number_parse_i64(min, &out->start) && number_parse_i64(max, &out->stop);
    case ZSET_RANGE_SCORE:
        return parse_score(min, &out->min) && parse_score(max, &out->max);
    case ZSET_RANGE_MEMBER:
        return parse_member(min, &out->min) && parse_member(max, &out->max);
    }
    return false;
}

bool zset_range_parse(struct call *c, enum zset_range_kind kind, int min_arg, int max_arg,
                      struct zset_range *out)
{
    if (zset_range_read(kind, c->argv[min_arg], c->argv[max_arg], out))
        return true;
    switch (kind) {
    case ZSET_RANGE_RANK:
        reply_error_id(c->reply, ERROR_NOT_INTEGER);
        break;
    case ZSET_RANGE_SCORE:
        reply_error(c->reply, "ERR min or max is not a float");
        break;
    case ZSET_RANGE_MEMBER:
        reply_error(c->reply, "ERR min or max not valid string range item");
        break;
    }
    return false;
}

static struct zset_ranks find_ranks(uint64_t count, int64_t start, int64_t stop, bool down)
{
    struct zset_ranks none = {0, 0};
    int64_t len = (int64_t)count;
    if (start < 0)
        start = start < -len ? 0 : start + len;
    if (stop < 0)
        stop += len;
    if (stop >= len)
        stop = len - 1;
    if (start > stop || start >= len)
        return none;
    if (!down)
        return (struct zset_ranks){(uint64_t)start, (uint64_t)stop + 1};
    return (struct zset_ranks){(uint64_t)(len - 1 - stop), (uint64_t)(len - start)};
}

/* False: the edge is at an end of everything. */
static bool edge_bound(const struct zset_range *range, const struct zset_edge *edge, bool after,
                       struct order_bound *out)
{
    *out = (struct order_bound){
        .kind = range->kind == ZSET_RANGE_MEMBER ? ORDER_BY_MEMBER : ORDER_BY_SCORE,
        .score = edge->score,
        .member = edge->member,
        .after = after,
    };
    return !edge->lowest && !edge->highest;
}

static uint64_t find_edge(const struct object *o, const struct zset_range *range,
                          const struct zset_edge *edge, bool after)
{
    struct order_bound bound;
    if (edge_bound(range, edge, after, &bound))
        return zset_seek(o, &bound);
    return edge->lowest ? 0 : zset_count(o);
}

struct zset_ranks zset_range_find(const struct object *o, const struct zset_range *range, bool down)
{
    if (range->kind == ZSET_RANGE_RANK)
        return find_ranks(zset_count(o), range->start, range->stop, down);
    struct zset_ranks ranks;
    ranks.from = find_edge(o, range, &range->min, range->min.exclusive);
    ranks.to = find_edge(o, range, &range->max, !range->max.exclusive);
    if (ranks.to < ranks.from)
        ranks.to = ranks.from;
    return ranks;
}

struct zset_ranks zset_range_limit(struct zset_ranks ranks, bool down, int64_t offset,
                                   int64_t limit)
{
    uint64_t count = ranks.to - ranks.from;
    uint64_t skipped = (uint64_t)offset; /* negative: all of them */
    skipped = skipped < count ? skipped : count;
    count -= skipped;
    if (limit >= 0 && (uint64_t)limit < count)
        count = (uint64_t)limit;
    if (down) {
        ranks.to -= skipped;
        ranks.from = ranks.to - count;
    } else {
        ranks.from += skipped;
        ranks.to = ranks.from + count;
    }
    return ranks;
}

static enum ensured ensure_edge(struct ensure *e, const struct zset_range *range,
                                const struct zset_edge *edge, bool after)
{
    struct order_bound bound;
    return edge_bound(range, edge, after, &bound) ? zset_ensure_seek(e, &bound) : ENSURED;
}

enum ensured zset_range_ensure(struct ensure *e, const struct zset_range_needs *needs)
{
    const struct zset_range *range = needs->range;
    enum ensured result = zset_ensure_order(e);
    if (result == ENSURED && range->kind != ZSET_RANGE_RANK)
        result = zset_ensure_both(ensure_edge(e, range, &range->min, range->min.exclusive),
                                  ensure_edge(e, range, &range->max, !range->max.exclusive));
    if (result != ENSURED || !needs->elements)
        return result;
    struct zset_ranks ranks = zset_range_find(e->o, range, needs->down);
    ranks = zset_range_limit(ranks, needs->down, needs->offset, needs->limit);
    return zset_ensure_ranks(e, ranks.from, ranks.to);
}
