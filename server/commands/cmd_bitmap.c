/* Strings as arrays of bits: SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP. Source: bitops.c of Redis
 * 7.2. */
#include "server/call.h"
#include "server/commands/bit_offset.h"
#include "server/commands/rows.h"
#include "server/commands/string_edit.h"
#include "server/commands/tables.h"

#include "codec/mem.h"
#include "storage/types/bitmap.h"

/* ---- SETBIT, GETBIT. */

static uint8_t byte_at(const struct object *o, uint64_t offset)
{
    uint8_t byte = 0; /* behind the end */
    (void)string_read(o, offset, &byte, 1);
    return byte;
}

static bool bit_of(uint8_t byte, uint64_t bit_offset)
{
    return (byte >> (7 - bit_offset % 8) & 1) != 0;
}

/* Replies and returns false if argument 2 is no offset of a bit. */
static bool parse_offset(struct call *c, uint64_t *out)
{
    if (bit_offset_parse(c->argv[2], 0, string_bytes_max(c), out))
        return true;
    reply_error(c->reply, BIT_OFFSET_ERROR);
    return false;
}

static void write_bit(struct call *c, struct object *o, uint64_t offset, uint8_t byte)
{
    o = string_edit_begin(c, 0, o, offset / 8 + 1);
    string_write(o, ks_string_rules(c->ks), offset / 8, bytes_make(&byte, 1));
    string_edit_end(c, 0, o);
    call_key_modified(c, &c->keys[0]);
    call_notify(c, NOTIFY_STRING, "setbit", c->keys[0].key);
    call_changed(c, 1);
}

/* As in Redis, OBJECT ENCODING tells that a string has been a bitmap, even if nothing changed. */
static void make_raw(struct call *c, struct object *o)
{
    if (o->raw)
        return;
    uint64_t len = string_len(o);
    o = string_edit_begin(c, 0, o, len);
    string_grow(o, ks_string_rules(c->ks), len);
    string_edit_end(c, 0, o);
}

static void cmd_setbit(struct call *c)
{
    static const char error[] = "ERR bit is not an integer or out of range";
    uint64_t offset;
    int64_t bit;
    if (!parse_offset(c, &offset))
        return;
    if (!number_parse_i64(c->argv[3], &bit) || (bit != 0 && bit != 1)) {
        reply_error(c->reply, error);
        return;
    }
    bool wrong_type = false;
    struct object *o = call_find_write_type(c, 0, OBJECT_STRING, &wrong_type);
    if (wrong_type)
        return;
    bool grows = o == NULL || string_len(o) <= offset / 8;
    uint8_t byte = grows ? 0 : byte_at(o, offset / 8);
    bool before = bit_of(byte, offset);
    if (grows || before != (bit == 1)) {
        uint8_t mask = (uint8_t)(0x80u >> offset % 8);
        write_bit(c, o, offset, bit == 1 ? byte | mask : (uint8_t)(byte & ~mask));
    } else {
        make_raw(c, o);
    }
    reply_integer(c->reply, before);
}

static void cmd_getbit(struct call *c)
{
    uint64_t offset;
    if (!parse_offset(c, &offset))
        return;
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_STRING, &wrong_type);
    if (!wrong_type)
        reply_integer(c->reply, o != NULL && bit_of(byte_at(o, offset / 8), offset));
}

static bool pieces_of_bit(const struct bytes *argv, int argc, int key, const struct object *o,
                          uint64_t *from_out, uint64_t *to_out)
{
    (void)argc, (void)key, (void)o;
    uint64_t offset;
    bool valid = bit_offset_parse(argv[2], 0, UINT64_MAX, &offset);
    *from_out = valid ? offset / 8 : 0;
    *to_out = valid ? offset / 8 + 1 : 0;
    return true;
}

/* ---- Ranges of bits, from `from` to `to` - 1. */

struct bit_range {
    uint64_t from;
    uint64_t to;
};

/* What start and end (inclusive; negative: from the end) mean for a string of `len` bytes; empty if
 * nothing. */
static struct bit_range resolve_range(int64_t start, int64_t end, bool in_bits, uint64_t len)
{
    int64_t total = (int64_t)(in_bits ? len * 8 : len);
    if (start < 0)
        start = start + total < 0 ? 0 : start + total;
    if (end < 0)
        end = end + total < 0 ? 0 : end + total;
    if (end >= total)
        end = total - 1;
    if (start > end)
        return (struct bit_range){0};
    uint64_t unit = in_bits ? 1 : 8;
    return (struct bit_range){.from = (uint64_t)start * unit, .to = ((uint64_t)end + 1) * unit};
}

/* BIT or BYTE, or false. */
static bool parse_unit(struct bytes text, bool *in_bits_out)
{
    *in_bits_out = bytes_equal_nocase(text, "bit");
    return *in_bits_out || bytes_equal_nocase(text, "byte");
}

/* Where the range's arguments stand: BITCOUNT key [start end [unit]], BITPOS key bit [start [end
 * [unit]]]. */
#define BITCOUNT_START 2
#define BITPOS_START   3

/* The bytes that start, end and unit from argument `first` on ask for; all where they are missing
 * or wrong. */
static bool pieces_of_range(const struct bytes *argv, int argc, int first, const struct object *o,
                            uint64_t *from_out, uint64_t *to_out)
{
    int64_t start;
    int64_t end = -1;
    bool in_bits = false;
    if (argc <= first || !number_parse_i64(argv[first], &start) ||
        (argc > first + 1 && !number_parse_i64(argv[first + 1], &end)) ||
        (argc > first + 2 && !parse_unit(argv[first + 2], &in_bits)))
        return false;
    struct bit_range range = resolve_range(start, end, in_bits, string_len(o));
    *from_out = range.from / 8;
    *to_out = (range.to + 7) / 8;
    return true;
}

/* ---- BITCOUNT. */

static uint64_t count_bits(const struct object *o, struct bit_range range)
{
    struct string_reader reader;
    struct bytes piece;
    uint64_t count = 0;
    if (range.from >= range.to)
        return 0;
    string_reader_init(&reader, o, range.from / 8, (range.to + 7) / 8);
    while (string_reader_next(&reader, &piece))
        count += bitmap_count(piece);
    /* Of the bytes at both ends, some bits are outside. */
    uint8_t head = (uint8_t)(byte_at(o, range.from / 8) & ~(0xffu >> range.from % 8));
    count -= bitmap_count(bytes_make(&head, 1));
    if (range.to % 8 != 0) {
        uint8_t tail = (uint8_t)(byte_at(o, range.to / 8) & (0xffu >> range.to % 8));
        count -= bitmap_count(bytes_make(&tail, 1));
    }
    return count;
}

static void cmd_bitcount(struct call *c)
{
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_STRING, &wrong_type);
    if (wrong_type)
        return;
    int64_t start = 0;
    int64_t end = -1;
    bool in_bits = false;
    /* As in Redis, nothing is wrong with the arguments of a key that does not exist. */
    if (o != NULL && c->argc != BITCOUNT_START) {
        if (c->argc != 4 && c->argc != 5) {
            reply_error_id(c->reply, ERROR_SYNTAX);
            return;
        }
        if (!call_arg_i64(c, BITCOUNT_START, &start) || !call_arg_i64(c, BITCOUNT_START + 1, &end))
            return;
        bool is_empty = start < 0 && end < 0 && start > end;
        if (!is_empty && c->argc == 5 && !parse_unit(c->argv[4], &in_bits)) {
            reply_error_id(c->reply, ERROR_SYNTAX);
            return;
        }
        if (is_empty)
            o = NULL;
    }
    uint64_t count =
        o == NULL ? 0 : count_bits(o, resolve_range(start, end, in_bits, string_len(o)));
    reply_integer(c->reply, (int64_t)count);
}

static bool pieces_of_bitcount(const struct bytes *argv, int argc, int key, const struct object *o,
                               uint64_t *from_out, uint64_t *to_out)
{
    (void)key;
    return pieces_of_range(argv, argc, BITCOUNT_START, o, from_out, to_out);
}

/* ---- BITPOS. */

/* Looks at each bit from..to-1, all in one byte. */
static uint64_t find_in_byte(const struct object *o, bool bit, uint64_t from, uint64_t to)
{
    uint8_t byte = byte_at(o, from / 8);
    for (; from < to; from++) {
        if (bit_of(byte, from) == bit)
            return from;
    }
    return BITMAP_NONE;
}

static uint64_t find_in_bytes(const struct object *o, bool bit, uint64_t from, uint64_t to)
{
    struct string_reader reader;
    struct bytes piece;
    string_reader_init(&reader, o, from, to);
    while (string_reader_next(&reader, &piece)) {
        uint64_t found = bitmap_find(piece, bit);
        if (found != BITMAP_NONE)
            return (reader.at - piece.len) * 8 + found;
    }
    return BITMAP_NONE;
}

static uint64_t find_bit(const struct object *o, bool bit, struct bit_range range)
{
    uint64_t found = BITMAP_NONE;
    uint64_t from = range.from;
    if (from % 8 != 0) {
        uint64_t end = (from | 7) + 1 < range.to ? (from | 7) + 1 : range.to;
        found = find_in_byte(o, bit, from, end);
        from = end;
    }
    if (found == BITMAP_NONE && from < range.to) {
        found = find_in_bytes(o, bit, from / 8, range.to / 8);
        uint64_t tail = range.to / 8 * 8 > from ? range.to / 8 * 8 : from;
        if (found == BITMAP_NONE && tail < range.to)
            found = find_in_byte(o, bit, tail, range.to);
    }
    return found;
}

/* Start, end and unit; false: replied. */
static bool parse_bitpos_range(struct call *c, uint64_t len, struct bit_range *out, bool *has_end)
{
    int64_t start = 0;
    int64_t end = -1;
    bool in_bits = false;
    if (c->argc > BITPOS_START + 3) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return false;
    }
    if (c->argc > BITPOS_START && !call_arg_i64(c, BITPOS_START, &start))
        return false;
    if (c->argc > BITPOS_START + 2 && !parse_unit(c->argv[BITPOS_START + 2], &in_bits)) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return false;
    }
    *has_end = c->argc > BITPOS_START + 1;
    if (*has_end && !call_arg_i64(c, BITPOS_START + 1, &end))
        return false;
    *out = resolve_range(start, end, in_bits, len);
    return true;
}

static void cmd_bitpos(struct call *c)
{
    int64_t bit;
    if (!call_arg_i64(c, 2, &bit))
        return;
    if (bit != 0 && bit != 1) {
        reply_error(c->reply, "ERR The bit argument must be 1 or 0.");
        return;
    }
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_STRING, &wrong_type);
    if (o == NULL) {
        if (!wrong_type)
            reply_integer(c->reply, bit == 1 ? -1 : 0);
        return;
    }
    struct bit_range range;
    bool has_end;
    if (!parse_bitpos_range(c, string_len(o), &range, &has_end))
        return;
    bool is_empty = range.from >= range.to;
    uint64_t found = is_empty ? BITMAP_NONE : find_bit(o, bit == 1, range);
    /* Without an end, the string goes on with zeros for ever. */
    if (found == BITMAP_NONE && bit == 0 && !has_end && !is_empty)
        found = range.to;
    reply_integer(c->reply, found == BITMAP_NONE ? -1 : (int64_t)found);
}

static bool pieces_of_bitpos(const struct bytes *argv, int argc, int key, const struct object *o,
                             uint64_t *from_out, uint64_t *to_out)
{
    (void)key;
    return pieces_of_range(argv, argc, BITPOS_START, o, from_out, to_out);
}

/* ---- BITOP. */

#define BITOP_BLOCK_BYTES 2048
#define BITOP_FIRST_KEY   1 /* of the declared ones: the destination comes before */

enum bitop { BITOP_AND, BITOP_OR, BITOP_XOR, BITOP_NOT };

struct bitop_sources {
    const struct object **items; /* owned; NULL for keys that do not exist */
    size_t count;
    uint64_t len_max;
};

static bool parse_bitop(struct call *c, enum bitop *out)
{
    static const char *const words[] = {"and", "or", "xor", "not"};
    size_t i = 0;
    while (i < sizeof words / sizeof words[0] && !call_arg_is(c, 1, words[i]))
        i++;
    if (i == sizeof words / sizeof words[0]) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return false;
    }
    *out = (enum bitop)i;
    if (*out == BITOP_NOT && c->argc != 4) {
        reply_error(c->reply, "ERR BITOP NOT must be called with a single source key.");
        return false;
    }
    return true;
}

/* False: one of them is no string (replied). */
static bool find_sources(struct call *c, struct bitop_sources *sources)
{
    for (size_t i = 0; i < sources->count; i++) {
        bool wrong_type = false;
        const struct object *o =
            call_find_read_type(c, BITOP_FIRST_KEY + (int)i, OBJECT_STRING, &wrong_type);
        if (wrong_type)
            return false;
        sources->items[i] = o;
        uint64_t len = o == NULL ? 0 : string_len(o);
        if (len > sources->len_max)
            sources->len_max = len;
    }
    return true;
}

/* A block of a source, zeros behind its end. */
static void read_block(const struct object *o, uint64_t offset, uint8_t block[BITOP_BLOCK_BYTES])
{
    size_t len = o == NULL ? 0 : string_read(o, offset, block, BITOP_BLOCK_BYTES);
    memset(block + len, 0, BITOP_BLOCK_BYTES - len);
}

static void compute_block(enum bitop op, const struct bitop_sources *sources, uint64_t offset,
                          uint8_t out[BITOP_BLOCK_BYTES])
{
    static const enum bitmap_operation operations[] = {
        [BITOP_AND] = BITMAP_AND, [BITOP_OR] = BITMAP_OR, [BITOP_XOR] = BITMAP_XOR};
    uint8_t in[BITOP_BLOCK_BYTES];
    read_block(sources->items[0], offset, out);
    if (op == BITOP_NOT) {
        bitmap_invert(out, BITOP_BLOCK_BYTES);
        return;
    }
    for (size_t i = 1; i < sources->count; i++) {
        read_block(sources->items[i], offset, in);
        bitmap_combine(operations[op], out, in, BITOP_BLOCK_BYTES);
    }
}

static bool is_all_zeros(struct bytes bytes)
{
    return bitmap_find(bytes, true) == BITMAP_NONE;
}

/* The result as the value of an object that is in no keyspace: the destination may be one of the
 * sources, and chunks of zeros need not be made. */
static struct object *compute(struct call *c, enum bitop op, const struct bitop_sources *sources)
{
    const struct string_rules *rules = ks_string_rules(c->ks);
    struct object *result = mem_calloc(1, sizeof *result);
    uint8_t block[BITOP_BLOCK_BYTES];
    string_init_empty(result);
    string_grow(result, rules, sources->len_max);
    for (uint64_t at = 0; at < sources->len_max; at += BITOP_BLOCK_BYTES) {
        uint64_t len = sources->len_max - at;
        if (len > BITOP_BLOCK_BYTES)
            len = BITOP_BLOCK_BYTES;
        compute_block(op, sources, at, block);
        if (!is_all_zeros(bytes_make(block, len)))
            string_write(result, rules, at, bytes_make(block, len));
    }
    return result;
}

static void store_result(struct call *c, struct object *result)
{
    struct keyref *ref = &c->keys[0];
    struct bytes flat;
    char scratch[STRING_SCRATCH_BYTES];
    if (string_view(result, scratch, &flat)) {
        struct string_plan plan;
        string_plan_text(ks_string_rules(c->ks), flat, true, &plan);
        (void)string_store(c, 0, &plan);
    } else {
        struct object *o = ks_create(c->ks, ref, OBJECT_STRING);
        ks_change_begin(c->ks, ref->db, o);
        string_move(o, result);
        ks_change_end(c->ks, ref->db, o);
        call_key_modified(c, ref);
    }
    call_notify(c, NOTIFY_STRING, "set", ref->key);
    call_changed(c, 1);
}

static void free_result(struct object *result)
{
    object_free_fn *free_fn;
    void *value = string_take(result, &free_fn);
    if (value != NULL)
        free_fn(value);
    mem_free(result);
}

/* Also one that has expired, which is deleted like any other. */
static void delete_destination(struct call *c)
{
    struct keyref *ref = &c->keys[0];
    if (ks_find(c->ks, ref) == NULL)
        return;
    ks_delete(c->ks, ref);
    call_key_modified(c, ref);
    call_notify(c, NOTIFY_GENERIC, "del", ref->key);
    call_changed(c, 1);
}

static void cmd_bitop(struct call *c)
{
    enum bitop op;
    if (!parse_bitop(c, &op))
        return;
    struct bitop_sources sources = {.count = (size_t)(c->key_count - BITOP_FIRST_KEY)};
    sources.items = mem_alloc(sources.count * sizeof(*sources.items));
    if (find_sources(c, &sources)) {
        if (sources.len_max == 0) {
            delete_destination(c);
        } else {
            struct object *result = compute(c, op, &sources);
            (void)call_find_write(c, 0); /* an expired destination expires, with its event */
            store_result(c, result);
            free_result(result);
        }
        reply_integer(c->reply, (int64_t)sources.len_max);
    }
    mem_free(sources.items);
}

/* ---- The rows. */

#define RANGE_UNIT_ARG                                                                             \
    ARG("unit", ONEOF, .flags = ARG_OPTIONAL, .since = "7.0.0",                                    \
        .children = ARGS(TOKEN("byte", "BYTE"), TOKEN("bit", "BIT")))

const struct command cmd_bitmap_table[] = {
    {.name = "bitcount",
     .handler = cmd_bitcount,
     .arity = -2,
     .flags = CMD_READONLY,
     .acl = ACL_BITMAP,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .pieces = pieces_of_bitcount,
     .group = "bitmap",
     .since = "2.6.0",
     .complexity = "O(N)",
     .summary = "Counts the number of set bits (population counting) in a string.",
     .history = TEXTS("7.0.0", "Added the `BYTE|BIT` option."),
     .args = ARGS(ARG("key", KEY), ARG("range", BLOCK, .flags = ARG_OPTIONAL,
                                       .children = ARGS(ARG("start", INTEGER), ARG("end", INTEGER),
                                                        RANGE_UNIT_ARG)))},
    {.name = "bitop",
     .handler = cmd_bitop,
     .arity = -4,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_BITMAP,
     .keys = {KEY_AT(2, KEY_OW | KEY_UPDATE | KEY_LOAD_META),
              KEY_RANGE(3, -1, 1, KEY_RO | KEY_ACCESS)},
     .group = "bitmap",
     .since = "2.6.0",
     .complexity = "O(N)",
     .summary = "Performs bitwise operations on multiple strings, and stores the result.",
     .args =
         ARGS(ARG("operation", ONEOF,
                  .children = ARGS(TOKEN("and", "AND"), TOKEN("or", "OR"), TOKEN("xor", "XOR"),
                                   TOKEN("not", "NOT"))),
              ARG("destkey", KEY), ARG("key", KEY, .flags = ARG_MULTIPLE, .key_spec_index = 1))},
    {.name = "bitpos",
     .handler = cmd_bitpos,
     .arity = -3,
     .flags = CMD_READONLY,
     .acl = ACL_BITMAP,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .pieces = pieces_of_bitpos,
     .group = "bitmap",
     .since = "2.8.7",
     .complexity = "O(N)",
     .summary = "Finds the first set (1) or clear (0) bit in a string.",
     .history = TEXTS("7.0.0", "Added the `BYTE|BIT` option."),
     .args =
         ARGS(ARG("key", KEY), ARG("bit", INTEGER),
              ARG("range", BLOCK, .flags = ARG_OPTIONAL,
                  .children = ARGS(ARG("start", INTEGER),
                                   ARG("end-unit-block", BLOCK, .flags = ARG_OPTIONAL,
                                       .children = ARGS(ARG("end", INTEGER), RANGE_UNIT_ARG)))))},
    {.name = "getbit",
     .handler = cmd_getbit,
     .arity = 3,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_BITMAP,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .pieces = pieces_of_bit,
     .group = "bitmap",
     .since = "2.2.0",
     .complexity = "O(1)",
     .summary = "Returns a bit value by offset.",
     .args = ARGS(ARG("key", KEY), ARG("offset", INTEGER))},
    {.name = "setbit",
     .handler = cmd_setbit,
     .arity = 4,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_BITMAP,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .pieces = pieces_of_bit,
     .group = "bitmap",
     .since = "2.2.0",
     .complexity = "O(1)",
     .summary = "Sets or clears the bit at offset of the string value. Creates the key if it "
                "doesn't exist.",
     .args = ARGS(ARG("key", KEY), ARG("offset", INTEGER), ARG("value", INTEGER))},
    {.name = NULL},
};
