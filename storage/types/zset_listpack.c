#include "storage/types/zset_listpack.h"

#include "codec/check.h"

#include <math.h>

#define WHOLE_SCORE_MAX ((double)((int64_t)1 << 52)) /* beyond it scores are texts */

/* What a score is packed as; a text is in `scratch`. */
static struct listpack_value score_value(double score, char scratch[NUMBER_F64_CHARS_MAX])
{
    if (score > -WHOLE_SCORE_MAX && score < WHOLE_SCORE_MAX && score == (double)(int64_t)score)
        return listpack_integer((int64_t)score);
    return listpack_text(bytes_make(scratch, number_format_f64(score, scratch)));
}

static bool parse_score(const struct listpack_value *value, double *out)
{
    if (value->is_integer) {
        *out = (double)value->integer;
        return true;
    }
    return number_parse_f64(value->text, out);
}

double zset_listpack_score(const uint8_t *data, uint32_t at)
{
    struct listpack_value value;
    double score = 0;
    listpack_get(data, listpack_next(data, at), &value);
    CHECK(parse_score(&value, &score));
    return score;
}

/* <0, 0, >0: the element at `at` against (score, member). */
static int compare(const uint8_t *data, uint32_t at, double score, struct bytes member)
{
    char scratch[NUMBER_I64_CHARS_MAX];
    double own = zset_listpack_score(data, at);
    if (own != score)
        return own < score ? -1 : 1;
    return bytes_compare(listpack_get_text(data, at, scratch), member);
}

static uint32_t next_element(const uint8_t *data, uint32_t at)
{
    return listpack_next(data, listpack_next(data, at));
}

enum status zset_listpack_validate(struct bytes in, struct err *err)
{
    uint32_t count;
    enum status st = listpack_validate(in, &count, err);
    if (st != ST_OK)
        return st;
    if (count == 0 || count % 2 != 0)
        return err_set(err, ST_CORRUPT, "a sorted set's listpack has %u entries", count);
    if (listpack_has_duplicates(in.data, 2))
        return err_set(err, ST_CORRUPT, "a sorted set's listpack has a member twice");
    uint32_t previous = 0;
    for (uint32_t at = listpack_first(in.data); at != 0; at = next_element(in.data, at)) {
        struct listpack_value value;
        double score;
        char scratch[NUMBER_I64_CHARS_MAX];
        listpack_get(in.data, listpack_next(in.data, at), &value);
        if (!parse_score(&value, &score))
            return err_set(err, ST_CORRUPT, "a sorted set's listpack has a score that is none");
        struct bytes member = listpack_get_text(in.data, at, scratch);
        if (previous != 0 && compare(in.data, previous, score, member) >= 0)
            return err_set(err, ST_CORRUPT, "a sorted set's listpack is not in order");
        previous = at;
    }
    return ST_OK;
}

uint64_t zset_listpack_rank(const uint8_t *data, uint32_t at)
{
    uint64_t rank = 0;
    for (uint32_t i = listpack_first(data); i != at; i = next_element(data, i))
        rank++;
    return rank;
}

uint64_t zset_listpack_seek(const uint8_t *data, const struct order_bound *bound)
{
    uint64_t rank = 0;
    for (uint32_t at = listpack_first(data); at != 0; at = next_element(data, at), rank++) {
        int order;
        if (bound->kind == ORDER_BY_MEMBER) {
            char scratch[NUMBER_I64_CHARS_MAX];
            order = bytes_compare(listpack_get_text(data, at, scratch), bound->member);
        } else {
            double score = zset_listpack_score(data, at);
            order = (score > bound->score) - (score < bound->score);
        }
        if (order > 0 || (order == 0 && !bound->after))
            break;
    }
    return rank;
}

static void insert_at(struct listpack *lp, uint32_t at, struct bytes member, double score)
{
    char scratch[NUMBER_F64_CHARS_MAX];
    struct listpack_value values[2] = {listpack_text(member), score_value(score, scratch)};
    listpack_splice(lp, at, 0, values, 2);
}

void zset_listpack_insert(struct listpack *lp, struct bytes member, double score)
{
    const uint8_t *data = listpack_data(lp);
    uint32_t at = listpack_first(data);
    while (at != 0 && compare(data, at, score, member) < 0)
        at = next_element(data, at);
    insert_at(lp, at == 0 ? listpack_end(data) : at, member, score);
}

void zset_listpack_append(struct listpack *lp, struct bytes member, double score)
{
    insert_at(lp, listpack_end(listpack_data(lp)), member, score);
}

void zset_listpack_delete(struct listpack *lp, uint32_t at)
{
    listpack_splice(lp, at, 2, NULL, 0);
}
