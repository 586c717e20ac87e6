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

bool zset_range_parse(struct call *c, enum zset_range_kind kind, int min_arg, int max_arg,
                      struct zset_range *out)
{
    struct bytes min = c->argv[min_arg];
    struct bytes max = c->argv[max_arg];
    *out = (struct zset_range){.kind = kind};
    switch (kind) {
    case ZSET_RANGE_RANK:
        return call_arg_i64(c, min_arg, &out->start) && call_arg_i64(c, max_arg, &out->stop);
    case ZSET_RANGE_SCORE:
        if (parse_score(min, &out->min) && parse_score(max, &out->max))
            return true;
        reply_error(c->reply, "ERR min or max is not a float");
        return false;
    case ZSET_RANGE_MEMBER:
        if (parse_member(min, &out->min) && parse_member(max, &out->max))
            return true;
        reply_error(c->reply, "ERR min or max not valid string range item");
        return false;
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

static uint64_t find_edge(const struct object *o, const struct zset_range *range,
                          const struct zset_edge *edge, bool after)
{
    if (edge->lowest)
        return 0;
    if (edge->highest)
        return zset_count(o);
    struct order_bound bound = {
        .kind = range->kind == ZSET_RANGE_MEMBER ? ORDER_BY_MEMBER : ORDER_BY_SCORE,
        .score = edge->score,
        .member = edge->member,
        .after = after,
    };
    return zset_seek(o, &bound);
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
