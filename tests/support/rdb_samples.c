#include "tests/support/rdb_samples.h"

#include "codec/endian.h"
#include "codec/intset.h"
#include "codec/listpack.h"
#include "codec/mem.h"
#include "codec/rdb_format.h"

#include <stdarg.h>
#include <string.h>

/* ---- Pieces -----------------------------------------------------------------------------------
 */

static void put_length(struct buf *out, uint64_t len)
{
    uint8_t bytes[9] = {(uint8_t)len};
    size_t count = 1;
    if (len >= 1u << 14) {
        bytes[0] = len > UINT32_MAX ? RDB_LENGTH_64_BITS : RDB_LENGTH_32_BITS;
        count = len > UINT32_MAX ? 9 : 5;
        if (count == 9)
            store_be64(bytes + 1, len);
        else
            store_be32(bytes + 1, (uint32_t)len);
    } else if (len >= 1u << 6) {
        bytes[0] = (uint8_t)(RDB_LENGTH_14_BITS << 6 | len >> 8);
        bytes[1] = (uint8_t)len;
        count = 2;
    }
    buf_append(out, bytes, count);
}

static void put_bytes(struct buf *out, struct bytes text)
{
    put_length(out, text.len);
    buf_append_bytes(out, text);
}

static void put_text(struct buf *out, const char *text)
{
    put_bytes(out, bytes_text(text));
}

/* Texts, to NULL. */
static void put_texts(struct buf *out, ...)
{
    va_list args;
    va_start(args, out);
    for (const char *text; (text = va_arg(args, const char *)) != NULL;)
        put_text(out, text);
    va_end(args);
}

static void put_le64(struct buf *out, uint64_t value)
{
    uint8_t bytes[8];
    store_le64(bytes, value);
    buf_append(out, bytes, sizeof(bytes));
}

static void put_f64(struct buf *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    put_le64(out, bits);
}

static void put_id(struct buf *out, uint64_t ms, uint64_t seq)
{
    uint8_t bytes[16];
    store_be64(bytes, ms);
    store_be64(bytes + 8, seq);
    buf_append(out, bytes, sizeof(bytes));
}

/* Texts, to NULL; those that are integers' become integers. */
static void put_listpack(struct buf *out, ...)
{
    struct listpack lp = listpack_create(0);
    va_list args;
    va_start(args, out);
    for (const char *text; (text = va_arg(args, const char *)) != NULL;)
        listpack_append(&lp, listpack_text(bytes_text(text)));
    va_end(args);
    put_bytes(out, bytes_make(lp.block, listpack_bytes(lp.block)));
    listpack_destroy(&lp);
}

/* Entries of a ziplist, raw but for the size of the one before. */
static void put_ziplist(struct buf *out, size_t count, const struct bytes *entries)
{
    struct buf list = {0};
    uint8_t head[10] = {0};
    size_t before = 0;
    size_t last = sizeof(head);
    buf_append(&list, head, sizeof(head));
    for (size_t i = 0; i < count; i++) {
        last = list.len;
        if (before < 254) {
            buf_append_byte(&list, (uint8_t)before);
        } else {
            uint8_t big[5] = {254};
            store_le32(big + 1, (uint32_t)before);
            buf_append(&list, big, sizeof(big));
        }
        buf_append_bytes(&list, entries[i]);
        before = list.len - last;
    }
    buf_append_byte(&list, 0xff);
    store_le32(list.data, (uint32_t)list.len);
    store_le32(list.data + 4, (uint32_t)last);
    store_le16(list.data + 8, (uint16_t)count);
    put_bytes(out, buf_bytes(&list));
    buf_deinit(&list);
}

#define ENTRY(text)                                                                                \
    {                                                                                              \
        .data = (const uint8_t *)(text), .len = sizeof(text) - 1                                   \
    }
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define TEXT_20         "aaaaaaaaaaaaaaaaaaaa"
#define TEXT_100        TEXT_20 TEXT_20 TEXT_20 TEXT_20 TEXT_20
#define TEXT_300        TEXT_100 TEXT_100 TEXT_100

/* ---- Values -----------------------------------------------------------------------------------
 */

static void put_string(struct buf *out)
{
    put_text(out, "hello");
}

static void put_integer_string(struct buf *out)
{
    static const uint8_t bytes[] = {RDB_LENGTH_ENCODED << 6 | RDB_STRING_INT16, 0x2e, 0xfb};
    buf_append(out, bytes, sizeof(bytes));
}

/* "ab", then 10 bytes from 2 back: what LZF makes of "abababababab". */
static void put_lzf_string(struct buf *out)
{
    static const uint8_t lzf[] = {0x01, 'a', 'b', 0xe0, 0x01, 0x01};
    buf_append_byte(out, RDB_LENGTH_ENCODED << 6 | RDB_STRING_LZF);
    put_length(out, sizeof(lzf));
    put_length(out, 12);
    buf_append(out, lzf, sizeof(lzf));
}

static void put_list(struct buf *out)
{
    put_length(out, 3);
    put_texts(out, "one", "", "-7", NULL);
}

static void put_set(struct buf *out)
{
    put_length(out, 3);
    put_texts(out, "x", "y", "12", NULL);
}

static void put_set_of_integers(struct buf *out)
{
    put_length(out, 2);
    put_texts(out, "5", "-3", NULL);
}

/* Scores as text, with the marks of the infinities. */
static void put_zset(struct buf *out)
{
    put_length(out, 3);
    put_text(out, "low");
    buf_append_byte(out, 255);
    put_text(out, "mid");
    buf_append_byte(out, 3);
    buf_append(out, "2.5", 3);
    put_text(out, "high");
    buf_append_byte(out, 254);
}

static void put_zset_2(struct buf *out)
{
    put_length(out, 2);
    put_text(out, "b");
    put_f64(out, 1e300);
    put_text(out, "a");
    put_f64(out, -0.5);
}

static void put_hash(struct buf *out)
{
    put_length(out, 2);
    put_texts(out, "f", "v", "", "", NULL);
}

static void put_hash_zipmap(struct buf *out)
{
    /* The second value has two unused bytes behind it. */
    static const char map[] = "\x02\x01"
                              "f\x03\x00val\x02"
                              "gg\x01\x02w??\xff";
    put_bytes(out, bytes_make(map, sizeof(map) - 1));
}

static void put_list_ziplist(struct buf *out)
{
    static const struct bytes entries[] = {
        ENTRY("\x03"
              "abc"),
        ENTRY("\xf1"),                                 /* 0 */
        ENTRY("\xfd"),                                 /* 12 */
        ENTRY("\xfe\x80"),                             /* -128 */
        ENTRY("\xc0\x00\x80"),                         /* -32768 */
        ENTRY("\xf0\xff\xff\x7f"),                     /* 8388607 */
        ENTRY("\xd0\x00\x00\x00\x80"),                 /* -2147483648 */
        ENTRY("\xe0\xff\xff\xff\xff\xff\xff\xff\x7f"), /* 9223372036854775807 */
        ENTRY("\x41\x2c" TEXT_300),                    /* its length in 14 bits */
        ENTRY("\x80\x00\x00\x00\x02"
              "yz"), /* in 32 bits, behind a large entry */
    };
    put_ziplist(out, COUNT_OF(entries), entries);
}

static void put_set_intset(struct buf *out)
{
    static const int64_t integers[] = {-40000, 7, 70000};
    uint8_t *set = intset_create();
    for (size_t i = 0; i < COUNT_OF(integers); i++) {
        bool changed;
        set = intset_add(set, integers[i], &changed);
    }
    put_bytes(out, bytes_make(set, intset_bytes(set)));
    mem_free(set);
}

static void put_zset_ziplist(struct buf *out)
{
    static const struct bytes entries[] = {ENTRY("\x01"
                                                 "m"),
                                           ENTRY("\xf3"), ENTRY("\xfe\x05"),
                                           ENTRY("\x04"
                                                 "3.25")};
    put_ziplist(out, COUNT_OF(entries), entries);
}

static void put_hash_ziplist(struct buf *out)
{
    static const struct bytes entries[] = {ENTRY("\x01"
                                                 "f"),
                                           ENTRY("\xf2"),
                                           ENTRY("\x01"
                                                 "g"),
                                           ENTRY("\x00")};
    put_ziplist(out, COUNT_OF(entries), entries);
}

static void put_quicklist(struct buf *out)
{
    static const struct bytes first[] = {ENTRY("\x01"
                                               "a"),
                                         ENTRY("\xf2")};
    static const struct bytes last[] = {ENTRY("\x01"
                                              "z")};
    put_length(out, 3);
    put_ziplist(out, 2, first);
    put_ziplist(out, 0, NULL);
    put_ziplist(out, 1, last);
}

static void put_hash_listpack(struct buf *out)
{
    put_listpack(out, "f", "1", "g", "text", NULL);
}

static void put_zset_listpack(struct buf *out)
{
    put_listpack(out, "a", "-1", "b", "0.5", "c", "inf", NULL);
}

static void put_quicklist_2(struct buf *out)
{
    put_length(out, 2);
    put_length(out, 1);
    put_text(out, TEXT_100);
    put_length(out, 2);
    put_listpack(out, "a", "2", NULL);
}

static void put_set_listpack(struct buf *out)
{
    put_listpack(out, "a", "1", "b", NULL);
}

static void put_hash_metadata_pre_ga(struct buf *out)
{
    put_length(out, 2);
    put_length(out, 0);
    put_texts(out, "f", "1", NULL);
    put_length(out, 33177117420123);
    put_texts(out, "g", "2", NULL);
}

static void put_hash_metadata(struct buf *out)
{
    put_le64(out, 33177117420123);
    put_length(out, 3);
    put_length(out, 0);
    put_texts(out, "f", "1", NULL);
    put_length(out, 1);
    put_texts(out, "g", "2", NULL);
    put_length(out, 1001);
    put_texts(out, "h", "3", NULL);
}

/* Too long for listpacks, which makes a table of the whole. */

static void put_set_wide(struct buf *out)
{
    put_length(out, 2);
    put_texts(out, TEXT_100, "7", NULL);
}

static void put_zset_wide(struct buf *out)
{
    put_length(out, 2);
    put_text(out, TEXT_100);
    put_f64(out, -1);
    put_text(out, "b");
    put_f64(out, -1);
}

static void put_hash_wide(struct buf *out)
{
    put_length(out, 2);
    put_texts(out, "f", TEXT_100, "g", "2", NULL);
}

static void put_hash_wide_metadata(struct buf *out)
{
    put_le64(out, 33177117420123);
    put_length(out, 2);
    put_length(out, 1);
    put_texts(out, "f", TEXT_100, NULL);
    put_length(out, 0);
    put_texts(out, "g", "2", NULL);
}

static void put_hash_listpack_ex_pre_ga(struct buf *out)
{
    put_listpack(out, "g", "2", "33177117420123", "f", "1", "0", NULL);
}

static void put_hash_listpack_ex(struct buf *out)
{
    put_le64(out, 33177117420123);
    put_hash_listpack_ex_pre_ga(out);
}

/* ---- Streams: 1-1 {a: 1, b: 2}, 1-3 {a: 3, b: x} and 5-0 {other: y}; 1-2 was deleted. */

static void put_nodes(struct buf *out)
{
    put_length(out, 2);
    put_length(out, 16);
    put_id(out, 1, 1);
    put_listpack(out, "2", "1", "2", "a", "b", "0", /* the master entry */
                 "2", "0", "0", "1", "2", "5",      /* flags, id, values, length */
                 "3", "0", "1", "d", "d", "5",      /* deleted */
                 "2", "0", "2", "3", "x", "5", NULL);
    put_length(out, 16);
    put_id(out, 5, 0);
    put_listpack(out, "1", "0", "1", "a", "0", "0", "0", "0", "1", "other", "y", "6", NULL);
}

static void put_group(struct buf *out, uint8_t type)
{
    put_text(out, "g");
    put_length(out, 1);
    put_length(out, 3);
    if (type != RDB_TYPE_STREAM_LISTPACKS)
        put_length(out, 3);
    put_length(out, 2);
    put_id(out, 1, 1);
    put_le64(out, 1000);
    put_length(out, 1);
    put_id(out, 1, 3);
    put_le64(out, 2000);
    put_length(out, 4);
    put_length(out, 2);
    put_text(out, "alice");
    put_le64(out, 3000);
    if (type == RDB_TYPE_STREAM_LISTPACKS_3)
        put_le64(out, 2500);
    put_length(out, 1);
    put_id(out, 1, 3);
    put_text(out, "bob");
    put_le64(out, 4000);
    if (type == RDB_TYPE_STREAM_LISTPACKS_3)
        put_le64(out, UINT64_MAX);
    put_length(out, 1);
    put_id(out, 1, 1);
}

static void put_any_stream(struct buf *out, uint8_t type)
{
    put_nodes(out);
    put_length(out, 3);
    put_length(out, 5);
    put_length(out, 0);
    if (type != RDB_TYPE_STREAM_LISTPACKS) {
        put_length(out, 1);
        put_length(out, 1);
        put_length(out, 1);
        put_length(out, 2);
        put_length(out, 4);
    }
    put_length(out, 1);
    put_group(out, type);
}

static void put_stream(struct buf *out)
{
    put_any_stream(out, RDB_TYPE_STREAM_LISTPACKS);
}

static void put_stream_2(struct buf *out)
{
    put_any_stream(out, RDB_TYPE_STREAM_LISTPACKS_2);
}

static void put_stream_3(struct buf *out)
{
    put_any_stream(out, RDB_TYPE_STREAM_LISTPACKS_3);
}

static const struct rdb_sample samples[] = {
    {"string", RDB_TYPE_STRING, put_string, "string: hello", "embstr"},
    {"integer string", RDB_TYPE_STRING, put_integer_string, "string: -1234", "int"},
    {"lzf string", RDB_TYPE_STRING, put_lzf_string, "string: abababababab", "embstr"},
    {"list", RDB_TYPE_LIST, put_list, "list: one  -7", "listpack"},
    {"set", RDB_TYPE_SET, put_set, "set: x y 12", "listpack"},
    {"set of integers", RDB_TYPE_SET, put_set_of_integers, "set: 5 -3", "intset"},
    {"zset", RDB_TYPE_ZSET, put_zset, "zset: low=-inf mid=2.5 high=inf", "listpack"},
    {"hash", RDB_TYPE_HASH, put_hash, "hash: f=v =", "listpack"},
    {"zset 2", RDB_TYPE_ZSET_2, put_zset_2, "zset: b=1e+300 a=-0.5", "listpack"},
    {"hash zipmap", RDB_TYPE_HASH_ZIPMAP, put_hash_zipmap, "hash: f=val gg=w", "listpack"},
    {"list ziplist", RDB_TYPE_LIST_ZIPLIST, put_list_ziplist,
     "list: abc 0 12 -128 -32768 8388607 -2147483648 9223372036854775807 " TEXT_300 " yz",
     "listpack"},
    {"set intset", RDB_TYPE_SET_INTSET, put_set_intset, "set: -40000 7 70000", "intset"},
    {"zset ziplist", RDB_TYPE_ZSET_ZIPLIST, put_zset_ziplist, "zset: m=2 5=3.25", "listpack"},
    {"hash ziplist", RDB_TYPE_HASH_ZIPLIST, put_hash_ziplist, "hash: f=1 g=", "listpack"},
    {"list quicklist", RDB_TYPE_LIST_QUICKLIST, put_quicklist, "list: a 1 z", "listpack"},
    {"hash listpack", RDB_TYPE_HASH_LISTPACK, put_hash_listpack, "hash: f=1 g=text", "listpack"},
    {"zset listpack", RDB_TYPE_ZSET_LISTPACK, put_zset_listpack, "zset: a=-1 b=0.5 c=inf",
     "listpack"},
    {"list quicklist 2", RDB_TYPE_LIST_QUICKLIST_2, put_quicklist_2, "list: " TEXT_100 " a 2",
     "listpack"},
    {"set listpack", RDB_TYPE_SET_LISTPACK, put_set_listpack, "set: a 1 b", "listpack"},
    {"hash metadata pre GA", RDB_TYPE_HASH_METADATA_PRE_GA, put_hash_metadata_pre_ga,
     "hash: f=1 g=2@33177117420123", "listpackex"},
    {"hash listpack ex pre GA", RDB_TYPE_HASH_LISTPACK_EX_PRE_GA, put_hash_listpack_ex_pre_ga,
     "hash: g=2@33177117420123 f=1", "listpackex"},
    {"hash metadata", RDB_TYPE_HASH_METADATA, put_hash_metadata,
     "hash: f=1 g=2@33177117420123 h=3@33177117421123", "listpackex"},
    {"hash listpack ex", RDB_TYPE_HASH_LISTPACK_EX, put_hash_listpack_ex,
     "hash: g=2@33177117420123 f=1", "listpackex"},
    {"set wide", RDB_TYPE_SET, put_set_wide, "set: " TEXT_100 " 7", "hashtable"},
    {"zset wide", RDB_TYPE_ZSET_2, put_zset_wide, "zset: " TEXT_100 "=-1 b=-1", "skiplist"},
    {"hash wide", RDB_TYPE_HASH, put_hash_wide, "hash: f=" TEXT_100 " g=2", "hashtable"},
    {"hash wide metadata", RDB_TYPE_HASH_METADATA, put_hash_wide_metadata,
     "hash: f=" TEXT_100 "@33177117420123 g=2", "hashtable"},
    {"stream", RDB_TYPE_STREAM_LISTPACKS, put_stream,
     "stream: 1-1 a=1 b=2 1-3 a=3 b=x 5-0 other=y length 3 last 5-0 group g 1-3 read ? consumer "
     "alice 3000 3000 "
     "pending 1-3 2000 4 consumer bob 4000 4000 pending 1-1 1000 1",
     "stream"},
    {"stream 2", RDB_TYPE_STREAM_LISTPACKS_2, put_stream_2,
     "stream: 1-1 a=1 b=2 1-3 a=3 b=x 5-0 other=y length 3 last 5-0 first 1-1 deleted 1-2 added 4 "
     "group g 1-3 read 3 "
     "consumer alice 3000 3000 pending 1-3 2000 4 consumer bob 4000 4000 pending 1-1 1000 1",
     "stream"},
    {"stream 3", RDB_TYPE_STREAM_LISTPACKS_3, put_stream_3,
     "stream: 1-1 a=1 b=2 1-3 a=3 b=x 5-0 other=y length 3 last 5-0 first 1-1 deleted 1-2 added 4 "
     "group g 1-3 read 3 "
     "consumer alice 3000 2500 pending 1-3 2000 4 consumer bob 4000 -1 pending 1-1 1000 1",
     "stream"},
};

const struct rdb_sample *rdb_samples(size_t *count_out)
{
    *count_out = COUNT_OF(samples);
    return samples;
}
