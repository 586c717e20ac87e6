/* Source: FORMAT.md, "Cold records". */
#include "storage/record_size.h"

#include "codec/endian.h"
#include "codec/listpack.h"

#define DEADLINE_BYTES    8
#define HEAD_REST_NUMBERS 9 /* of a stream's head, behind its length */
#define INTSET_COUNT_OFF  4

/* What has been read of a payload; `sound` false: it has ended too early. */
struct reader {
    struct bytes left;
    bool sound;
};

static void skip(struct reader *in, size_t len)
{
    in->sound = in->sound && len <= in->left.len;
    if (in->sound)
        in->left = bytes_make(in->left.data + len, in->left.len - len);
}

static uint64_t take_number(struct reader *in)
{
    uint64_t value = 0;
    size_t len = in->sound ? varint_decode(in->left, &value) : 0;
    in->sound = in->sound && len != 0;
    skip(in, len);
    return in->sound ? value : 0;
}

static uint64_t count_listpack(struct reader *in, uint64_t entries_each)
{
    uint32_t count = 0;
    in->sound = in->sound && listpack_validate(in->left, &count, NULL) == ST_OK;
    return count / entries_each;
}

static uint64_t count_intset(struct reader *in)
{
    in->sound = in->left.len >= INTSET_COUNT_OFF + 4;
    return in->sound ? load_le32(in->left.data + INTSET_COUNT_OFF) : 0;
}

/* Small lists: their nodes. */
static uint64_t count_nodes(struct reader *in)
{
    uint64_t count = 0;
    uint64_t nodes = take_number(in);
    for (uint64_t i = 0; i < nodes && in->sound; i++) {
        uint64_t form = take_number(in);
        struct reader node = {.left = in->left, .sound = in->sound};
        skip(in, form / 2 <= in->left.len ? (size_t)(form / 2) : SIZE_MAX);
        if (!in->sound)
            break;
        node.left.len = (size_t)(form / 2);
        count += form % 2 == 1 ? 1 : count_listpack(&node, 1);
        in->sound = node.sound;
    }
    return count;
}

static void read_large(enum object_type type, struct reader *in, struct record_size *out)
{
    skip(in, RECORD_LARGE_ID_BYTES);
    if (type == OBJECT_LIST) {
        skip(in, 1);
        (void)take_number(in);
        uint64_t pages = take_number(in);
        *out = (struct record_size){0};
        for (uint64_t i = 0; i < pages && in->sound; i++) {
            (void)take_number(in);
            (void)take_number(in);
            out->elements += take_number(in);
            out->bytes += take_number(in);
            (void)take_number(in);
        }
        return;
    }
    out->elements = take_number(in);
    if (type == OBJECT_STREAM)
        for (int i = 0; i < HEAD_REST_NUMBERS + 1; i++) /* the last one: nodes */
            (void)take_number(in);
    out->bytes = take_number(in);
}

static uint64_t count_small(enum object_type type, uint8_t encoding, struct reader *in)
{
    switch (type) {
    case OBJECT_LIST:
        return encoding == 0 ? count_listpack(in, 1) : count_nodes(in);
    case OBJECT_SET:
        if (encoding == RECORD_SET_INTSET)
            return count_intset(in);
        return encoding == RECORD_SET_LISTPACK ? count_listpack(in, 1) : take_number(in);
    case OBJECT_ZSET:
        return encoding == RECORD_ZSET_LISTPACK ? count_listpack(in, 2) : take_number(in);
    case OBJECT_HASH:
        if (encoding == RECORD_HASH_LISTPACK_EX || encoding == RECORD_HASH_TABLE_EX)
            skip(in, DEADLINE_BYTES);
        if (encoding == RECORD_HASH_LISTPACK || encoding == RECORD_HASH_LISTPACK_EX)
            return count_listpack(in, encoding == RECORD_HASH_LISTPACK ? 2 : 3);
        return take_number(in);
    case OBJECT_STREAM:
        return take_number(in);
    case OBJECT_STRING:
    case OBJECT_NONE:
    case OBJECT_TYPE_COUNT:
        break;
    }
    return 1;
}

enum status record_size_read(enum object_type type, const struct record_header *header,
                             struct bytes payload, struct record_size *out)
{
    struct reader in = {.left = payload, .sound = true};
    struct record_size size = {.bytes = payload.len, .elements = 1};
    if (header->large && type == OBJECT_STRING) {
        struct record_large_string large;
        if (record_large_string_decode(payload, &large) != ST_OK)
            return ST_CORRUPT;
        size.bytes = large.len;
    } else if (header->large) {
        read_large(type, &in, &size);
    } else {
        size.elements = count_small(type, header->encoding, &in);
    }
    if (!in.sound)
        return ST_CORRUPT;
    *out = size;
    return ST_OK;
}
