/* BITFIELD: numbers of any width in a string. Source: bitops.c of Redis 7.2. */
#include "server/call.h"
#include "server/commands/bit_offset.h"
#include "server/commands/rows.h"
#include "server/commands/string_edit.h"
#include "server/commands/tables.h"

#include "codec/mem.h"
#include "storage/types/bitmap.h"

enum operation { OPERATION_GET, OPERATION_SET, OPERATION_INCRBY };

struct bitfield_op {
    enum operation operation;
    enum bitmap_overflow overflow;
    struct bitmap_field field;
    uint64_t offset; /* of its first bit */
    int64_t operand; /* value or increment */
};

struct bitfield_ops {
    struct bitfield_op *items; /* owned */
    size_t count;
    bool writes;
    uint64_t write_bits; /* the string must be so long that it has these bits */
};

/* ---- Parsing. Functions return NULL or the error to reply. */

static const char *parse_field(struct bytes text, struct bitmap_field *out)
{
    int64_t width;
    bool is_signed = text.len > 0 && text.data[0] == 'i';
    bool is_unsigned = text.len > 0 && text.data[0] == 'u';
    if ((!is_signed && !is_unsigned) ||
        !number_parse_i64(bytes_make(text.data + 1, text.len - 1), &width) || width < 1 ||
        width > (is_signed ? 64 : 63))
        return "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not "
               "supported but i64 is.";
    *out = (struct bitmap_field){.width = (unsigned)width, .is_signed = is_signed};
    return NULL;
}

static const char *parse_overflow(struct bytes text, enum bitmap_overflow *out)
{
    if (bytes_equal_nocase(text, "wrap"))
        *out = BITMAP_WRAP;
    else if (bytes_equal_nocase(text, "sat"))
        *out = BITMAP_SATURATE;
    else if (bytes_equal_nocase(text, "fail"))
        *out = BITMAP_FAIL;
    else
        return "ERR Invalid OVERFLOW type specified";
    return NULL;
}

/* The operation that `word` names and the number of its arguments; false if there are too few. */
static bool find_operation(struct bytes word, int args_left, enum operation *out, int *args_out)
{
    static const struct {
        const char *word;
        enum operation operation;
        int args;
    } words[] = {
        {"get", OPERATION_GET, 2}, {"set", OPERATION_SET, 3}, {"incrby", OPERATION_INCRBY, 3}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (bytes_equal_nocase(word, words[i].word)) {
            *out = words[i].operation;
            *args_out = words[i].args;
            return args_left >= words[i].args;
        }
    }
    return false;
}

/* Parses the operation at argv[0] and its `args` arguments. */
static const char *parse_operation(const struct bytes *argv, uint64_t bytes_max,
                                   struct bitfield_op *op)
{
    const char *error = parse_field(argv[1], &op->field);
    if (error != NULL)
        return error;
    if (!bit_offset_parse(argv[2], op->field.width, bytes_max, &op->offset))
        return BIT_OFFSET_ERROR;
    if (op->operation != OPERATION_GET && !number_parse_i64(argv[3], &op->operand))
        return reply_error_text(ERROR_NOT_INTEGER);
    return NULL;
}

static void add_operation(struct bitfield_ops *ops, const struct bitfield_op *op)
{
    ops->items[ops->count++] = *op;
    if (op->operation == OPERATION_GET)
        return;
    ops->writes = true;
    if (op->offset + op->field.width > ops->write_bits)
        ops->write_bits = op->offset + op->field.width;
}

/* `ops` is to be freed with mem_free(ops->items) in any case. */
static const char *parse(const struct bytes *argv, int argc, uint64_t bytes_max,
                         struct bitfield_ops *ops)
{
    struct bitfield_op op = {.overflow = BITMAP_WRAP};
    *ops = (struct bitfield_ops){.items = mem_alloc(((size_t)argc / 3 + 1) * sizeof *ops->items)};
    for (int i = 2; i < argc; i++) {
        int args = 0;
        const char *error;
        if (bytes_equal_nocase(argv[i], "overflow") && i + 1 < argc) {
            error = parse_overflow(argv[++i], &op.overflow);
        } else if (find_operation(argv[i], argc - i - 1, &op.operation, &args)) {
            error = parse_operation(argv + i, bytes_max, &op);
            if (error == NULL)
                add_operation(ops, &op);
            i += args;
        } else {
            error = reply_error_text(ERROR_SYNTAX);
        }
        if (error != NULL)
            return error;
    }
    return NULL;
}

/* ---- Running. */

static size_t bytes_of(const struct bitfield_op *op)
{
    return (op->offset % 8 + op->field.width + 7) / 8;
}

/* What the field holds; zeros behind the end of the string. */
static int64_t read_field(const struct object *o, const struct bitfield_op *op)
{
    uint8_t bytes[BITMAP_FIELD_BYTES_MAX] = {0};
    if (o != NULL)
        (void)string_read(o, op->offset / 8, bytes, bytes_of(op));
    uint64_t content = bitmap_get_field(bytes, op->offset % 8, op->field.width);
    return bitmap_field_value(op->field, content);
}

static void write_field(struct call *c, struct object *o, const struct bitfield_op *op,
                        int64_t value)
{
    uint8_t bytes[BITMAP_FIELD_BYTES_MAX];
    size_t len = string_read(o, op->offset / 8, bytes, bytes_of(op));
    bitmap_set_field(bytes, op->offset % 8, op->field.width, (uint64_t)value);
    string_write(o, ks_string_rules(c->ks), op->offset / 8, bytes_make(bytes, len));
}

/* SET and INCRBY. Replies; returns whether the string changed. */
static bool run_write(struct call *c, struct object *o, const struct bitfield_op *op)
{
    int64_t old = read_field(o, op);
    int64_t value = 0;
    bool is_set = op->operation == OPERATION_SET;
    bool fits = is_set ? bitmap_field_store(op->field, op->operand, op->overflow, &value)
                       : bitmap_field_add(op->field, old, op->operand, op->overflow, &value);
    if (!fits && op->overflow == BITMAP_FAIL) {
        reply_null(c->reply);
        return false;
    }
    reply_integer(c->reply, is_set ? old : value);
    if (value == old)
        return false;
    write_field(c, o, op, value);
    return true;
}

/* Runs all operations on `o`, the object being edited if any of them writes. Returns how many have
 * changed it. */
static uint64_t run_all(struct call *c, struct object *o, const struct bitfield_ops *ops)
{
    uint64_t changes = 0;
    reply_array(c->reply, ops->count);
    for (size_t i = 0; i < ops->count; i++) {
        if (ops->items[i].operation == OPERATION_GET)
            reply_integer(c->reply, read_field(o, &ops->items[i]));
        else
            changes += run_write(c, o, &ops->items[i]);
    }
    return changes;
}

static void run_reads(struct call *c, const struct bitfield_ops *ops)
{
    bool wrong_type = false;
    struct object *o = call_find_read_type(c, 0, OBJECT_STRING, &wrong_type);
    if (!wrong_type)
        (void)run_all(c, o, ops);
}

/* As in Redis, the string gets as long as the farthest write needs, even if that one fails; unlike
 * there, that alone is a change already, which replicas and a restart get to see as well. */
static void run_writes(struct call *c, const struct bitfield_ops *ops)
{
    bool wrong_type = false;
    struct object *o = call_find_write_type(c, 0, OBJECT_STRING, &wrong_type);
    if (wrong_type)
        return;
    uint64_t len = (ops->write_bits + 7) / 8;
    bool grows = o == NULL || string_len(o) < len;
    o = string_edit_begin(c, 0, o, len);
    string_grow(o, ks_string_rules(c->ks), len);
    uint64_t changes = run_all(c, o, ops);
    string_edit_end(c, 0, o);
    if (changes == 0 && !grows)
        return;
    call_key_modified(c, &c->keys[0]);
    if (changes != 0)
        call_notify(c, NOTIFY_STRING, "setbit", c->keys[0].key);
    call_changed(c, changes == 0 ? 1 : changes);
}

static void run(struct call *c, bool read_only)
{
    struct bitfield_ops ops;
    const char *error = parse(c->argv, c->argc, string_bytes_max(c), &ops);
    if (error != NULL)
        reply_error(c->reply, error);
    else if (ops.writes && read_only)
        reply_error(c->reply, "ERR BITFIELD_RO only supports the GET subcommand");
    else if (ops.writes)
        run_writes(c, &ops);
    else
        run_reads(c, &ops);
    mem_free(ops.items);
}

static void cmd_bitfield(struct call *c)
{
    run(c, false);
}

static void cmd_bitfield_ro(struct call *c)
{
    run(c, true);
}

/* ---- Keys and pieces. */

/* Only reads, as long as every operation is a GET; what cannot be parsed counts as a write. */
static int keys_of_bitfield(const struct bytes *argv, int argc, struct key_arg *out, int max)
{
    uint32_t flags = KEY_RO | KEY_ACCESS;
    for (int i = 2; i < argc; i++) {
        enum operation operation;
        int args;
        if (bytes_equal_nocase(argv[i], "overflow") && i + 1 < argc) {
            i++;
        } else if (find_operation(argv[i], argc - i - 1, &operation, &args) &&
                   operation == OPERATION_GET) {
            i += args;
        } else {
            flags = KEY_RW | KEY_ACCESS | KEY_UPDATE;
            break;
        }
    }
    if (max > 0)
        out[0] = (struct key_arg){.index = 1, .flags = flags};
    return 1;
}

/* From the first field to the last one: one range, whatever is between them. */
static bool pieces_of_bitfield(const struct bytes *argv, int argc, int key, const struct object *o,
                               uint64_t *from_out, uint64_t *to_out)
{
    (void)key, (void)o;
    struct bitfield_ops ops;
    const char *error = parse(argv, argc, UINT64_MAX, &ops);
    uint64_t from = 0;
    uint64_t to = 0;
    for (size_t i = 0; error == NULL && i < ops.count; i++) {
        uint64_t first = ops.items[i].offset / 8;
        uint64_t end = first + bytes_of(&ops.items[i]);
        from = i == 0 || first < from ? first : from;
        to = end > to ? end : to;
    }
    mem_free(ops.items);
    *from_out = from;
    *to_out = to;
    return true;
}

/* ---- The rows. */

#define FIELD_ARGS ARG("encoding", STRING), ARG("offset", INTEGER)

const struct command cmd_bitfield_table[] = {
    {.name = "bitfield",
     .handler = cmd_bitfield,
     .arity = -2,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_BITMAP,
     .keys = {{.flags = KEY_RW | KEY_UPDATE | KEY_ACCESS | KEY_VARIABLE_FLAGS,
               .begin = KEY_BEGIN_INDEX,
               .index = 1,
               .step_or_first = 1,
               .notes = "This command allows both access and modification of the key"}},
     .keys_fn = keys_of_bitfield,
     .pieces = pieces_of_bitfield,
     .group = "bitmap",
     .since = "3.2.0",
     .complexity = "O(1) for each subcommand specified",
     .summary = "Performs arbitrary bitfield integer operations on strings.",
     .args = ARGS(
         ARG("key", KEY),
         ARG("operation", ONEOF, .flags = ARG_OPTIONAL | ARG_MULTIPLE,
             .children = ARGS(
                 ARG("get-block", BLOCK, .token = "GET", .children = ARGS(FIELD_ARGS)),
                 ARG("write", BLOCK,
                     .children = ARGS(
                         ARG("overflow-block", ONEOF, .flags = ARG_OPTIONAL, .token = "OVERFLOW",
                             .children = ARGS(TOKEN("wrap", "WRAP"), TOKEN("sat", "SAT"),
                                              TOKEN("fail", "FAIL"))),
                         ARG("write-operation", ONEOF,
                             .children =
                                 ARGS(ARG("set-block", BLOCK, .token = "SET",
                                          .children = ARGS(FIELD_ARGS, ARG("value", INTEGER))),
                                      ARG("incrby-block", BLOCK, .token = "INCRBY",
                                          .children =
                                              ARGS(FIELD_ARGS, ARG("increment", INTEGER))))))))))},
    {.name = "bitfield_ro",
     .handler = cmd_bitfield_ro,
     .arity = -2,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_BITMAP,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .pieces = pieces_of_bitfield,
     .group = "bitmap",
     .since = "6.0.0",
     .complexity = "O(1) for each subcommand specified",
     .summary = "Performs arbitrary read-only bitfield integer operations on strings.",
     .args = ARGS(ARG("key", KEY),
                  ARG("get-block", BLOCK, .flags = ARG_OPTIONAL | ARG_MULTIPLE | ARG_MULTIPLE_TOKEN,
                      .token = "GET", .children = ARGS(FIELD_ARGS)))},
    {.name = NULL},
};
