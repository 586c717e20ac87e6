/* A ziplist: total bytes, offset of the last entry (u32 LE each), number of entries (u16 LE, 65535:
 * so many or more), entries, 0xff. An entry begins with the size of the one before: a byte, or from
 * 254 on 0xfe and a u32 LE; then the text's length or the integer's kind, and the rest of it.
 *
 * A zipmap: number of pairs (254: so many or more), fields and values, 0xff. A text's length is a
 * byte, or from 254 on 0xfe and a u32 LE; behind a value's, a byte says how many unused bytes
 * follow it. */
#include "codec/rdb_packed.h"

#include "codec/check.h"
#include "codec/intset.h"

#define END_MARK              0xff
#define BIG_LENGTH            0xfe
#define BIG_LENGTH_BYTES      5
#define ZIPLIST_HEADER_BYTES  10
#define ZIPLIST_COUNT_UNKNOWN 0xffff
#define ZIPLIST_I16           0xc0
#define ZIPLIST_I32           0xd0
#define ZIPLIST_I64           0xe0
#define ZIPLIST_I24           0xf0
#define ZIPLIST_I8            0xfe
#define ZIPLIST_SMALL_FIRST   0xf1 /* stands for 0 … */
#define ZIPLIST_SMALL_LAST    0xfd /* … and this for 12 */
#define ZIPMAP_COUNT_UNKNOWN  0xfe

static int64_t sign_extend(uint64_t value, unsigned bits)
{
    uint64_t sign = UINT64_C(1) << (bits - 1);
    return (int64_t)((value ^ sign) - sign);
}

/* A length of one or five bytes at the front of `in`; returns its size, 0 if it is none. */
static uint32_t read_length(struct bytes in, uint32_t *out)
{
    if (in.len == 0 || in.data[0] == END_MARK)
        return 0;
    *out = in.data[0];
    if (in.data[0] < BIG_LENGTH)
        return 1;
    if (in.len < BIG_LENGTH_BYTES)
        return 0;
    *out = load_le32(in.data + 1);
    return BIG_LENGTH_BYTES;
}

/* ---- Ziplist ----------------------------------------------------------------------------------
 */

/* The text at `p`, of which `left` bytes are there, behind `head` bytes that tell its length. */
static size_t read_text(const uint8_t *p, size_t left, size_t head, size_t len,
                        struct listpack_value *out)
{
    if (len > left - head)
        return 0;
    *out = listpack_text(bytes_make(p + head, len));
    return head + len;
}

static size_t read_ziplist_text(const uint8_t *p, size_t left, struct listpack_value *out)
{
    switch (p[0] >> 6) {
    case 0:
        return read_text(p, left, 1, p[0], out);
    case 1:
        return left < 2 ? 0 : read_text(p, left, 2, (size_t)(p[0] & 0x3f) << 8 | p[1], out);
    default:
        return left < 5 ? 0 : read_text(p, left, 5, load_be32(p + 1), out);
    }
}

static size_t read_ziplist_integer(const uint8_t *p, size_t left, struct listpack_value *out)
{
    size_t more = p[0] == ZIPLIST_I8    ? 1
                  : p[0] == ZIPLIST_I16 ? 2
                  : p[0] == ZIPLIST_I24 ? 3
                  : p[0] == ZIPLIST_I32 ? 4
                  : p[0] == ZIPLIST_I64 ? 8
                                        : 0;
    if (more == 0) {
        if (p[0] < ZIPLIST_SMALL_FIRST || p[0] > ZIPLIST_SMALL_LAST)
            return 0;
        *out = listpack_integer(p[0] - ZIPLIST_SMALL_FIRST);
        return 1;
    }
    if (left < 1 + more)
        return 0;
    uint64_t bits = 0;
    for (size_t i = more; i > 0; i--)
        bits = bits << 8 | p[i];
    *out = listpack_integer(sign_extend(bits, (unsigned)more * 8));
    return 1 + more;
}

/* The entry at the front of `in`; returns its size, 0 if it is none. */
static size_t read_ziplist_entry(struct bytes in, uint32_t *size_before, struct listpack_value *out)
{
    size_t head = read_length(in, size_before);
    if (head == 0 || head == in.len)
        return 0;
    const uint8_t *p = in.data + head;
    size_t left = in.len - head;
    size_t rest =
        p[0] >> 6 == 3 ? read_ziplist_integer(p, left, out) : read_ziplist_text(p, left, out);
    return rest == 0 ? 0 : head + rest;
}

static enum status check_ziplist(struct bytes in, uint32_t *count_out, struct err *err)
{
    if (in.len < ZIPLIST_HEADER_BYTES + 1 || in.len > LISTPACK_BYTES_MAX)
        return err_set(err, ST_CORRUPT, "ziplist of %zu bytes", in.len);
    if (load_le32(in.data) != in.len || in.data[in.len - 1] != END_MARK)
        return err_set(err, ST_CORRUPT, "ziplist: %zu bytes, it says %u", in.len,
                       load_le32(in.data));
    size_t at = ZIPLIST_HEADER_BYTES;
    size_t last = at;
    size_t size = 0;
    uint32_t count = 0;
    while (at < in.len - 1) {
        struct listpack_value ignored;
        uint32_t size_before;
        last = at;
        size_t before = size;
        size =
            read_ziplist_entry(bytes_make(in.data + at, in.len - 1 - at), &size_before, &ignored);
        if (size == 0 || size_before != before)
            return err_set(err, ST_CORRUPT, "ziplist: entry %u is damaged", count);
        at += size;
        count++;
    }
    uint32_t says = load_le16(in.data + 8);
    if (load_le32(in.data + 4) != last || (says != ZIPLIST_COUNT_UNKNOWN && says != count))
        return err_set(err, ST_CORRUPT, "ziplist: %u entries, it says %u", count, says);
    *count_out = count;
    return ST_OK;
}

/* ---- Zipmap -----------------------------------------------------------------------------------
 */

/* The text at the front of `in`; returns its size with all that belongs to it, 0 if it is none. */
static size_t read_zipmap_text(struct bytes in, bool is_value, struct bytes *out)
{
    uint32_t len = 0;
    size_t head = read_length(in, &len);
    if (head == 0 || (is_value && in.len == head))
        return 0;
    size_t unused = is_value ? in.data[head] : 0;
    head += is_value;
    if (in.len - head < unused || in.len - head - unused < len)
        return 0;
    *out = bytes_make(in.data + head, len);
    return head + len + unused;
}

static enum status check_zipmap(struct bytes in, uint32_t *count_out, struct err *err)
{
    if (in.len < 2 || in.len > LISTPACK_BYTES_MAX || in.data[in.len - 1] != END_MARK)
        return err_set(err, ST_CORRUPT, "zipmap of %zu bytes", in.len);
    size_t at = 1;
    uint32_t count = 0;
    for (; at < in.len - 1; count++) {
        struct bytes ignored;
        size_t size =
            read_zipmap_text(bytes_make(in.data + at, in.len - 1 - at), count % 2 == 1, &ignored);
        if (size == 0)
            return err_set(err, ST_CORRUPT, "zipmap: entry %u is damaged", count);
        at += size;
    }
    if (count % 2 != 0 || (in.data[0] < ZIPMAP_COUNT_UNKNOWN && in.data[0] != count / 2))
        return err_set(err, ST_CORRUPT, "zipmap: %u entries, it says %u pairs", count, in.data[0]);
    *count_out = count;
    return ST_OK;
}

/* ---- All --------------------------------------------------------------------------------------
 */

enum status rdb_packed_open(struct rdb_packed *packed, enum rdb_packed_form form, struct bytes in,
                            struct err *err)
{
    *packed = (struct rdb_packed){.form = form, .in = in};
    enum status st = ST_OK;
    switch (form) {
    case RDB_PACKED_LISTPACK:
        st = listpack_validate(in, &packed->count, err);
        if (st == ST_OK)
            packed->at = listpack_first(in.data);
        break;
    case RDB_PACKED_INTSET:
        st = intset_validate(in, err);
        if (st == ST_OK)
            packed->count = intset_count(in.data);
        break;
    case RDB_PACKED_ZIPLIST:
        st = check_ziplist(in, &packed->count, err);
        packed->at = ZIPLIST_HEADER_BYTES;
        break;
    case RDB_PACKED_ZIPMAP:
        st = check_zipmap(in, &packed->count, err);
        packed->at = 1;
        break;
    }
    return st;
}

static bool next_of_listpack(struct rdb_packed *packed, struct listpack_value *value)
{
    if (packed->at == 0)
        return false;
    listpack_get(packed->in.data, packed->at, value);
    packed->at = listpack_next(packed->in.data, packed->at);
    return true;
}

static bool next_of_intset(struct rdb_packed *packed, struct listpack_value *value)
{
    if (packed->at == packed->count)
        return false;
    *value = listpack_integer(intset_get(packed->in.data, packed->at++));
    return true;
}

/* What is left of a ziplist or zipmap, without its end mark. */
static struct bytes rest_of(const struct rdb_packed *packed)
{
    return bytes_make(packed->in.data + packed->at, packed->in.len - 1 - packed->at);
}

static bool next_of_ziplist(struct rdb_packed *packed, struct listpack_value *value)
{
    uint32_t ignored;
    if (rest_of(packed).len == 0)
        return false;
    size_t size = read_ziplist_entry(rest_of(packed), &ignored, value);
    CHECK(size != 0);
    packed->at += (uint32_t)size;
    return true;
}

/* `count` goes down here, as it tells fields from values. */
static bool next_of_zipmap(struct rdb_packed *packed, struct listpack_value *value)
{
    struct bytes text = {0};
    if (packed->count == 0)
        return false;
    size_t size = read_zipmap_text(rest_of(packed), packed->count % 2 == 1, &text);
    CHECK(size != 0);
    packed->at += (uint32_t)size;
    packed->count--;
    *value = listpack_text(text);
    return true;
}

bool rdb_packed_next(struct rdb_packed *packed, struct listpack_value *value)
{
    switch (packed->form) {
    case RDB_PACKED_LISTPACK:
        return next_of_listpack(packed, value);
    case RDB_PACKED_INTSET:
        return next_of_intset(packed, value);
    case RDB_PACKED_ZIPLIST:
        return next_of_ziplist(packed, value);
    case RDB_PACKED_ZIPMAP:
        return next_of_zipmap(packed, value);
    }
    return false;
}
