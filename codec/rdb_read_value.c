/* Values of all types but streams (rdb_read_value_stream.c), from any encoding that there ever was.
 */
#include "codec/rdb_read_value.h"

#include "codec/check.h"
#include "codec/endian.h"
#include "codec/rdb_packed.h"
#include "codec/rdb_read_internal.h"
#include "codec/rdb_read_value_internal.h"

#include <inttypes.h>
#include <math.h>

#define MS_BYTES       8
#define SCORE_NAN      253
#define SCORE_PLUS_INF 254

enum { QUICKLIST_PLAIN = 1, QUICKLIST_PACKED = 2 };

struct encoding {
    enum rdb_value_kind kind;
    enum rdb_value_form form;
    enum rdb_packed_form packed; /* unless form is RDB_FORM_PLAIN */
    bool has_deadlines;
};

static const struct encoding encodings[RDB_TYPE_COUNT] = {
    [RDB_TYPE_STRING] = {.kind = RDB_VALUE_STRING},
    [RDB_TYPE_LIST] = {.kind = RDB_VALUE_LIST},
    [RDB_TYPE_SET] = {.kind = RDB_VALUE_SET},
    [RDB_TYPE_ZSET] = {.kind = RDB_VALUE_ZSET},
    [RDB_TYPE_HASH] = {.kind = RDB_VALUE_HASH},
    [RDB_TYPE_ZSET_2] = {.kind = RDB_VALUE_ZSET},
    [RDB_TYPE_HASH_ZIPMAP] = {RDB_VALUE_HASH, RDB_FORM_PACKED, RDB_PACKED_ZIPMAP, false},
    [RDB_TYPE_LIST_ZIPLIST] = {RDB_VALUE_LIST, RDB_FORM_PACKED, RDB_PACKED_ZIPLIST, false},
    [RDB_TYPE_SET_INTSET] = {RDB_VALUE_SET, RDB_FORM_INTSET, RDB_PACKED_INTSET, false},
    [RDB_TYPE_ZSET_ZIPLIST] = {RDB_VALUE_ZSET, RDB_FORM_PACKED, RDB_PACKED_ZIPLIST, false},
    [RDB_TYPE_HASH_ZIPLIST] = {RDB_VALUE_HASH, RDB_FORM_PACKED, RDB_PACKED_ZIPLIST, false},
    [RDB_TYPE_LIST_QUICKLIST] = {.kind = RDB_VALUE_LIST, .packed = RDB_PACKED_ZIPLIST},
    [RDB_TYPE_STREAM_LISTPACKS] = {.kind = RDB_VALUE_STREAM},
    [RDB_TYPE_HASH_LISTPACK] = {RDB_VALUE_HASH, RDB_FORM_PACKED, RDB_PACKED_LISTPACK, false},
    [RDB_TYPE_ZSET_LISTPACK] = {RDB_VALUE_ZSET, RDB_FORM_PACKED, RDB_PACKED_LISTPACK, false},
    [RDB_TYPE_LIST_QUICKLIST_2] = {.kind = RDB_VALUE_LIST, .packed = RDB_PACKED_LISTPACK},
    [RDB_TYPE_STREAM_LISTPACKS_2] = {.kind = RDB_VALUE_STREAM},
    [RDB_TYPE_SET_LISTPACK] = {RDB_VALUE_SET, RDB_FORM_PACKED, RDB_PACKED_LISTPACK, false},
    [RDB_TYPE_STREAM_LISTPACKS_3] = {.kind = RDB_VALUE_STREAM},
    [RDB_TYPE_HASH_METADATA_PRE_GA] = {.kind = RDB_VALUE_HASH, .has_deadlines = true},
    [RDB_TYPE_HASH_LISTPACK_EX_PRE_GA] = {RDB_VALUE_HASH, RDB_FORM_PACKED, RDB_PACKED_LISTPACK,
                                          true},
    [RDB_TYPE_HASH_METADATA] = {.kind = RDB_VALUE_HASH, .has_deadlines = true},
    [RDB_TYPE_HASH_LISTPACK_EX] = {RDB_VALUE_HASH, RDB_FORM_PACKED, RDB_PACKED_LISTPACK, true},
};

enum status rdb_decode_give(struct rdb_decoding *v, const struct rdb_element *element)
{
    struct err err = {0};
    enum status st = v->take(v->arg, element, &err);
    return st == ST_OK ? ST_OK : rdb_input_fail(v->in, v->err, st, "%s", err.message);
}

enum status rdb_decode_begin(struct rdb_decoding *v, uint64_t count)
{
    const struct encoding *encoding = &encodings[v->type];
    struct rdb_element element = {.kind = RDB_ELEMENT_BEGIN,
                                  .begin = {.kind = encoding->kind,
                                            .form = encoding->form,
                                            .count = count,
                                            .has_deadlines = encoding->has_deadlines}};
    return rdb_decode_give(v, &element);
}

static enum status give_text(struct rdb_decoding *v, struct bytes text)
{
    struct rdb_element element = {.kind = RDB_ELEMENT_TEXT, .text = text};
    return rdb_decode_give(v, &element);
}

enum status rdb_decode_text(struct rdb_decoding *v, struct bytes *out)
{
    return rdb_input_string(v->in, &v->texts[0], out, v->err);
}

enum status rdb_decode_kept_text(struct rdb_decoding *v, struct bytes *out)
{
    struct bytes text;
    enum status st = rdb_decode_text(v, &text);
    if (st != ST_OK)
        return st;
    buf_clear(&v->texts[1]);
    if (!buf_try_reserve(&v->texts[1], text.len + 1)) /* not NULL, even if it is empty */
        return rdb_input_fail(v->in, v->err, ST_LIMIT, "out of memory");
    buf_append_bytes(&v->texts[1], text);
    *out = buf_bytes(&v->texts[1]);
    return ST_OK;
}

/* ---- Packed -----------------------------------------------------------------------------------
 */

struct packed_texts {
    struct bytes text[3];
    char scratch[3][NUMBER_I64_CHARS_MAX];
    struct listpack_value value[3];
};

/* The next `count` entries. False: there are none. */
static bool next_texts(struct rdb_packed *packed, size_t count, struct packed_texts *out)
{
    for (size_t i = 0; i < count; i++) {
        if (!rdb_packed_next(packed, &out->value[i]))
            return false;
        out->text[i] = listpack_value_text(&out->value[i], out->scratch[i]);
    }
    return true;
}

static enum status give_packed_score(struct rdb_decoding *v, const struct packed_texts *texts)
{
    struct rdb_element element = {.kind = RDB_ELEMENT_SCORED, .scored.member = texts->text[0]};
    if (texts->value[1].is_integer)
        element.scored.score = (double)texts->value[1].integer;
    else if (!number_parse_f64(texts->text[1], &element.scored.score))
        return rdb_input_fail(v->in, v->err, ST_CORRUPT, "a score is not a number");
    return rdb_decode_give(v, &element);
}

static enum status give_packed_field(struct rdb_decoding *v, const struct packed_texts *texts)
{
    struct rdb_element element = {
        .kind = RDB_ELEMENT_FIELD,
        .field = {.name = texts->text[0], .value = texts->text[1], .expire_at_ms = RDB_NO_EXPIRE}};
    if (encodings[v->type].has_deadlines) {
        int64_t deadline = texts->value[2].integer;
        if (!texts->value[2].is_integer || deadline < 0 || deadline > RDB_FIELD_EXPIRE_MAX)
            return rdb_input_fail(v->in, v->err, ST_CORRUPT, "a field's deadline is not a time");
        if (deadline != 0)
            element.field.expire_at_ms = deadline;
    }
    return rdb_decode_give(v, &element);
}

static enum status give_packed(struct rdb_decoding *v, struct rdb_packed *packed, size_t step)
{
    enum status st = ST_OK;
    struct packed_texts texts;
    while (st == ST_OK && next_texts(packed, step, &texts)) {
        if (step == 1)
            st = give_text(v, texts.text[0]);
        else if (encodings[v->type].kind == RDB_VALUE_ZSET)
            st = give_packed_score(v, &texts);
        else
            st = give_packed_field(v, &texts);
    }
    return st;
}

/* Reads a string that is a packed collection, and begins a walk over it. */
static enum status read_packed(struct rdb_decoding *v, struct rdb_packed *out)
{
    struct bytes text;
    struct err err;
    enum status st = rdb_decode_text(v, &text);
    if (st != ST_OK)
        return st;
    st = rdb_packed_open(out, encodings[v->type].packed, text, &err);
    return st == ST_OK ? ST_OK : rdb_input_fail(v->in, v->err, st, "%s", err.message);
}

static enum status decode_packed(struct rdb_decoding *v)
{
    const struct encoding *encoding = &encodings[v->type];
    const uint8_t *earliest; /* deadline of its fields, which says nothing new */
    struct rdb_packed packed;
    size_t step = encoding->has_deadlines                                                ? 3
                  : encoding->kind == RDB_VALUE_HASH || encoding->kind == RDB_VALUE_ZSET ? 2
                                                                                         : 1;
    enum status st = ST_OK;
    if (v->type == RDB_TYPE_HASH_LISTPACK_EX)
        st = rdb_input_take(v->in, MS_BYTES, &earliest, v->err);
    if (st == ST_OK)
        st = read_packed(v, &packed);
    if (st != ST_OK)
        return st;
    if (packed.count % step != 0)
        return rdb_input_fail(v->in, v->err, ST_CORRUPT,
                              "%" PRIu32 " entries, not a multiple of %zu", packed.count, step);
    st = rdb_decode_begin(v, packed.count / step);
    return st == ST_OK ? give_packed(v, &packed, step) : st;
}

/* A list's nodes; empty ones are allowed. */
static enum status decode_quicklist(struct rdb_decoding *v)
{
    uint64_t nodes;
    enum status st = rdb_input_length(v->in, &nodes, v->err);
    if (st == ST_OK)
        st = rdb_decode_begin(v, 0);
    for (; st == ST_OK && nodes != 0; nodes--) {
        uint64_t container = QUICKLIST_PACKED;
        struct rdb_packed packed;
        struct bytes text;
        if (v->type == RDB_TYPE_LIST_QUICKLIST_2)
            st = rdb_input_length(v->in, &container, v->err);
        if (st == ST_OK && container == QUICKLIST_PACKED) {
            st = read_packed(v, &packed);
            if (st == ST_OK)
                st = give_packed(v, &packed, 1);
        } else if (st == ST_OK && container == QUICKLIST_PLAIN) {
            st = rdb_decode_text(v, &text);
            if (st == ST_OK && text.len == 0)
                st = rdb_input_fail(v->in, v->err, ST_CORRUPT, "an empty node of a list");
            if (st == ST_OK)
                st = give_text(v, text);
        } else if (st == ST_OK) {
            st = rdb_input_fail(v->in, v->err, ST_CORRUPT,
                                "a list's node is of kind %" PRIu64 ", which does not exist",
                                container);
        }
    }
    return st;
}

/* ---- Plain ------------------------------------------------------------------------------------
 */

static enum status decode_text(struct rdb_decoding *v)
{
    struct bytes text;
    enum status st = rdb_decode_text(v, &text);
    return st == ST_OK ? give_text(v, text) : st;
}

/* A score as a text behind its length. */
static enum status read_score_text(struct rdb_decoding *v, double *out)
{
    const uint8_t *p;
    enum status st = rdb_input_take(v->in, 1, &p, v->err);
    if (st != ST_OK)
        return st;
    uint8_t len = p[0];
    if (len >= SCORE_NAN) {
        *out = len == SCORE_NAN ? NAN : len == SCORE_PLUS_INF ? INFINITY : -INFINITY;
        return ST_OK;
    }
    st = rdb_input_take(v->in, len, &p, v->err);
    if (st == ST_OK && !number_parse_f64(bytes_make(p, len), out))
        st = rdb_input_fail(v->in, v->err, ST_CORRUPT, "a score is not a number");
    return st;
}

static enum status read_score(struct rdb_decoding *v, double *out)
{
    if (v->type == RDB_TYPE_ZSET)
        return read_score_text(v, out);
    const uint8_t *p;
    enum status st = rdb_input_take(v->in, sizeof(*out), &p, v->err);
    if (st != ST_OK)
        return st;
    uint64_t bits = load_le64(p);
    memcpy(out, &bits, sizeof(bits));
    return ST_OK;
}

static enum status decode_scored(struct rdb_decoding *v)
{
    struct rdb_element element = {.kind = RDB_ELEMENT_SCORED};
    enum status st = rdb_decode_kept_text(v, &element.scored.member);
    if (st == ST_OK)
        st = read_score(v, &element.scored.score);
    if (st == ST_OK && isnan(element.scored.score))
        st = rdb_input_fail(v->in, v->err, ST_CORRUPT, "a score is NaN");
    return st == ST_OK ? rdb_decode_give(v, &element) : st;
}

/* A field's deadline: as it is, or counted from the earliest one, plus 1; 0 means none. */
static enum status read_deadline(struct rdb_decoding *v, int64_t *out)
{
    uint64_t ttl;
    enum status st = rdb_input_length(v->in, &ttl, v->err);
    if (st != ST_OK)
        return st;
    *out = RDB_NO_EXPIRE;
    if (ttl == 0)
        return ST_OK;
    const uint64_t max = (uint64_t)RDB_FIELD_EXPIRE_MAX;
    uint64_t base = v->type == RDB_TYPE_HASH_METADATA ? v->earliest_ms : 1;
    if (ttl > max || base > max || ttl + base - 1 > max || ttl + base == 1)
        return rdb_input_fail(v->in, v->err, ST_CORRUPT, "a field's deadline is not a time");
    *out = (int64_t)(ttl + base - 1);
    return ST_OK;
}

static enum status decode_field(struct rdb_decoding *v)
{
    struct rdb_element element = {.kind = RDB_ELEMENT_FIELD, .field.expire_at_ms = RDB_NO_EXPIRE};
    enum status st = ST_OK;
    if (encodings[v->type].has_deadlines)
        st = read_deadline(v, &element.field.expire_at_ms);
    if (st == ST_OK)
        st = rdb_decode_kept_text(v, &element.field.name);
    if (st == ST_OK)
        st = rdb_decode_text(v, &element.field.value);
    return st == ST_OK ? rdb_decode_give(v, &element) : st;
}

static enum status decode_plain(struct rdb_decoding *v)
{
    uint64_t count;
    const uint8_t *p;
    enum status st = ST_OK;
    if (v->type == RDB_TYPE_HASH_METADATA) {
        st = rdb_input_take(v->in, MS_BYTES, &p, v->err);
        v->earliest_ms = st == ST_OK ? load_le64(p) : 0;
    }
    if (st == ST_OK)
        st = rdb_input_length(v->in, &count, v->err);
    if (st == ST_OK)
        st = rdb_decode_begin(v, count);
    for (; st == ST_OK && count != 0; count--) {
        if (encodings[v->type].kind == RDB_VALUE_ZSET)
            st = decode_scored(v);
        else if (encodings[v->type].kind == RDB_VALUE_HASH)
            st = decode_field(v);
        else
            st = decode_text(v);
    }
    return st;
}

static enum status decode_string(struct rdb_decoding *v)
{
    enum status st = rdb_decode_begin(v, 1);
    return st == ST_OK ? decode_text(v) : st;
}

static enum status decode(struct rdb_decoding *v)
{
    switch (v->type) {
    case RDB_TYPE_MODULE_PRE_GA:
    case RDB_TYPE_MODULE_2:
        return rdb_input_fail(v->in, v->err, ST_UNSUPPORTED, "a module's value");
    case RDB_TYPE_STRING:
        return decode_string(v);
    case RDB_TYPE_LIST_QUICKLIST:
    case RDB_TYPE_LIST_QUICKLIST_2:
        return decode_quicklist(v);
    case RDB_TYPE_STREAM_LISTPACKS:
    case RDB_TYPE_STREAM_LISTPACKS_2:
    case RDB_TYPE_STREAM_LISTPACKS_3:
        return rdb_decode_stream(v);
    default:
        return encodings[v->type].form == RDB_FORM_PLAIN ? decode_plain(v) : decode_packed(v);
    }
}

enum status rdb_decode_value(struct rdb_input *in, uint8_t type, rdb_element_fn *take, void *arg,
                             struct err *err)
{
    struct rdb_decoding v = {.in = in, .type = type, .take = take, .arg = arg, .err = err};
    enum status st = decode(&v);
    buf_deinit(&v.texts[0]);
    buf_deinit(&v.texts[1]);
    buf_deinit(&v.pending);
    return st;
}

enum status rdb_decode(uint8_t type, struct bytes value, uint64_t string_bytes_max,
                       rdb_element_fn *take, void *arg, struct err *err)
{
    struct rdb_input in;
    rdb_input_init_memory(&in, value, string_bytes_max);
    in.doing = "reading a value";
    enum status st = rdb_type_is_known(type)
                         ? rdb_decode_value(&in, type, take, arg, err)
                         : rdb_input_fail(&in, err, ST_CORRUPT, "there is no type %d", type);
    if (st == ST_OK && rdb_input_offset(&in) != value.len)
        st = rdb_input_fail(&in, err, ST_CORRUPT, "the value ends here, the bytes go on");
    rdb_input_deinit(&in);
    return st;
}
