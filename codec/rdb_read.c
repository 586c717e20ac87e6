/* Structure of RDB files: opcodes, keys, and how far each type of value reaches.
 *
 * Values other than strings are skipped by a small grammar: a row per type says which fields come
 * first, and which fields are repeated behind a count. Content is not decoded, nor is it checked
 * beyond what its length says; streams and modules, whose parts nest, have a function each. What
 * values contain is decoded in rdb_read_value.c. */
#include "codec/rdb_read.h"

#include "codec/check.h"
#include "codec/checksum.h"
#include "codec/endian.h"
#include "codec/mem.h"
#include "codec/rdb_read_internal.h"

#include <inttypes.h>

#define SCRATCH_BYTES_KEPT (1024 * 1024) /* larger scratch memory is given back after use */
#define STREAM_ID_BYTES    16
#define MS_BYTES           8
#define SCORE_TEXT_MAX     252 /* longer lengths stand for NaN and the infinities */

enum value_state {
    VALUE_NONE,    /* no key was returned, or its value was taken */
    VALUE_PENDING, /* the input stands at a value */
};

struct rdb_reader {
    struct rdb_input in;
    bool ignore_checksum;
    bool has_checksum;
    bool ended;         /* all was read and verified */
    int version;        /* 0 until the header was read */
    struct err failure; /* code is ST_OK until a call failed; then final */
    enum value_state value_state;
    struct rdb_key key; /* being collected, then the one returned */
    struct buf name;    /* of the key, or of an AUX field */
    struct buf scratch; /* of a value */
};

/* Fields of a value, as letters:
 *   s  string      l  length      m  8 bytes (a time or a binary double)
 *   i  stream id   t  score as text */
struct value_grammar {
    const char *name;     /* of the type, for people; NULL if there is no such type */
    const char *head;     /* fields that come once; or NULL */
    const char *repeated; /* fields behind a count; or NULL */
};

static const struct value_grammar grammars[RDB_TYPE_COUNT] = {
    [RDB_TYPE_STRING] = {"string", "s", NULL},
    [RDB_TYPE_LIST] = {"list", NULL, "s"},
    [RDB_TYPE_SET] = {"set", NULL, "s"},
    [RDB_TYPE_ZSET] = {"zset", NULL, "st"},
    [RDB_TYPE_HASH] = {"hash", NULL, "ss"},
    [RDB_TYPE_ZSET_2] = {"zset", NULL, "sm"},
    [RDB_TYPE_MODULE_PRE_GA] = {"module", NULL, NULL},
    [RDB_TYPE_MODULE_2] = {"module", NULL, NULL},
    [RDB_TYPE_HASH_ZIPMAP] = {"hash", "s", NULL},
    [RDB_TYPE_LIST_ZIPLIST] = {"list", "s", NULL},
    [RDB_TYPE_SET_INTSET] = {"set", "s", NULL},
    [RDB_TYPE_ZSET_ZIPLIST] = {"zset", "s", NULL},
    [RDB_TYPE_HASH_ZIPLIST] = {"hash", "s", NULL},
    [RDB_TYPE_LIST_QUICKLIST] = {"list", NULL, "s"},
    [RDB_TYPE_STREAM_LISTPACKS] = {"stream", NULL, NULL},
    [RDB_TYPE_HASH_LISTPACK] = {"hash", "s", NULL},
    [RDB_TYPE_ZSET_LISTPACK] = {"zset", "s", NULL},
    [RDB_TYPE_LIST_QUICKLIST_2] = {"list", NULL, "ls"},
    [RDB_TYPE_STREAM_LISTPACKS_2] = {"stream", NULL, NULL},
    [RDB_TYPE_SET_LISTPACK] = {"set", "s", NULL},
    [RDB_TYPE_STREAM_LISTPACKS_3] = {"stream", NULL, NULL},
    [RDB_TYPE_HASH_METADATA_PRE_GA] = {"hash", NULL, "lss"},
    [RDB_TYPE_HASH_LISTPACK_EX_PRE_GA] = {"hash", "s", NULL},
    [RDB_TYPE_HASH_METADATA] = {"hash", "m", "lss"},
    [RDB_TYPE_HASH_LISTPACK_EX] = {"hash", "ms", NULL},
};

bool rdb_type_is_known(uint8_t type)
{
    return type < RDB_TYPE_COUNT && grammars[type].name != NULL;
}

const char *rdb_type_name(uint8_t type)
{
    return rdb_type_is_known(type) ? grammars[type].name : "unknown";
}

int rdb_module_name(uint64_t module_id, char name_out[RDB_MODULE_NAME_BYTES + 1])
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    int version = (int)(module_id & 0x3ff);
    module_id >>= 10;
    name_out[RDB_MODULE_NAME_BYTES] = '\0';
    for (int i = RDB_MODULE_NAME_BYTES - 1; i >= 0; i--, module_id >>= 6)
        name_out[i] = letters[module_id & 0x3f];
    return version;
}

struct rdb_reader *rdb_reader_create(const struct rdb_reader_options *options)
{
    struct rdb_reader *reader = mem_calloc(1, sizeof(*reader));
    rdb_input_init(&reader->in, options);
    reader->ignore_checksum = options->ignore_checksum;
    return reader;
}

void rdb_reader_destroy(struct rdb_reader *reader)
{
    if (reader == NULL)
        return;
    rdb_input_deinit(&reader->in);
    buf_deinit(&reader->name);
    buf_deinit(&reader->scratch);
    mem_free(reader);
}

int rdb_reader_version(const struct rdb_reader *reader)
{
    return reader->version;
}

uint64_t rdb_reader_offset(const struct rdb_reader *reader)
{
    return rdb_input_offset(&reader->in);
}

bool rdb_reader_has_checksum(const struct rdb_reader *reader)
{
    return reader->has_checksum;
}

struct bytes rdb_reader_rest(const struct rdb_reader *reader)
{
    CHECK(reader->ended);
    return bytes_make(reader->in.data + reader->in.at, reader->in.end - reader->in.at);
}

/* -- Values ------------------------------------------------------------------------------------ */

static enum status skip_score_text(struct rdb_input *in, struct err *err)
{
    const uint8_t *p;
    enum status st = rdb_input_take(in, 1, &p, err);
    if (st != ST_OK || p[0] > SCORE_TEXT_MAX)
        return st;
    return rdb_input_skip(in, p[0], err);
}

static enum status skip_field(struct rdb_input *in, char field, struct err *err)
{
    uint64_t ignored;
    switch (field) {
    case 's':
        return rdb_input_skip_string(in, err);
    case 'l':
        return rdb_input_length(in, &ignored, err);
    case 'm':
        return rdb_input_skip(in, MS_BYTES, err);
    case 'i':
        return rdb_input_skip(in, STREAM_ID_BYTES, err);
    default:
        CHECK(field == 't');
        return skip_score_text(in, err);
    }
}

static enum status skip_fields(struct rdb_input *in, const char *fields, struct err *err)
{
    enum status st = ST_OK;
    for (; st == ST_OK && *fields != '\0'; fields++)
        st = skip_field(in, *fields, err);
    return st;
}

/* Each round takes at least one byte of the input, so that a wrong count ends with it. */
static enum status skip_counted(struct rdb_input *in, const char *fields, struct err *err)
{
    uint64_t count = 0;
    enum status st = rdb_input_length(in, &count, err);
    for (; st == ST_OK && count != 0; count--)
        st = skip_fields(in, fields, err);
    return st;
}

/* name, last delivered id, [entries read]; pending entries; consumers with theirs */
static enum status skip_consumer_group(struct rdb_input *in, uint8_t type, struct err *err)
{
    uint64_t consumers = 0;
    enum status st = skip_fields(in, type == RDB_TYPE_STREAM_LISTPACKS ? "sll" : "slll", err);
    if (st == ST_OK)
        st = skip_counted(in, "iml", err);
    if (st == ST_OK)
        st = rdb_input_length(in, &consumers, err);
    for (; st == ST_OK && consumers != 0; consumers--) {
        st = skip_fields(in, type == RDB_TYPE_STREAM_LISTPACKS_3 ? "smm" : "sm", err);
        if (st == ST_OK)
            st = skip_counted(in, "i", err);
    }
    return st;
}

/* nodes; length and last id; [first id, highest deleted id, entries added]; groups */
static enum status skip_stream(struct rdb_input *in, uint8_t type, struct err *err)
{
    uint64_t groups = 0;
    enum status st = skip_counted(in, "ss", err);
    if (st == ST_OK)
        st = skip_fields(in, type == RDB_TYPE_STREAM_LISTPACKS ? "lll" : "llllllll", err);
    if (st == ST_OK)
        st = rdb_input_length(in, &groups, err);
    for (; st == ST_OK && groups != 0; groups--)
        st = skip_consumer_group(in, type, err);
    return st;
}

/* Parts, each behind its opcode, up to RDB_MODULE_EOF. */
static enum status skip_module_parts(struct rdb_input *in, struct err *err)
{
    for (;;) {
        uint64_t opcode;
        uint64_t ignored;
        enum status st = rdb_input_length(in, &opcode, err);
        if (st != ST_OK || opcode == RDB_MODULE_EOF)
            return st;
        switch (opcode) {
        case RDB_MODULE_SINT:
        case RDB_MODULE_UINT:
            st = rdb_input_length(in, &ignored, err);
            break;
        case RDB_MODULE_FLOAT:
            st = rdb_input_skip(in, sizeof(float), err);
            break;
        case RDB_MODULE_DOUBLE:
            st = rdb_input_skip(in, sizeof(double), err);
            break;
        case RDB_MODULE_STRING:
            st = rdb_input_skip_string(in, err);
            break;
        default:
            return rdb_input_fail(in, err, ST_CORRUPT, "unknown module opcode %" PRIu64, opcode);
        }
        if (st != ST_OK)
            return st;
    }
}

static enum status skip_module(struct rdb_input *in, struct err *err)
{
    uint64_t module_id;
    enum status st = rdb_input_length(in, &module_id, err);
    return st == ST_OK ? skip_module_parts(in, err) : st;
}

static enum status skip_value(struct rdb_input *in, uint8_t type, struct err *err)
{
    if (type == RDB_TYPE_MODULE_2)
        return skip_module(in, err);
    if (type == RDB_TYPE_STREAM_LISTPACKS || type == RDB_TYPE_STREAM_LISTPACKS_2 ||
        type == RDB_TYPE_STREAM_LISTPACKS_3)
        return skip_stream(in, type, err);
    const struct value_grammar *grammar = &grammars[type];
    enum status st = ST_OK;
    if (grammar->head != NULL)
        st = skip_fields(in, grammar->head, err);
    if (st == ST_OK && grammar->repeated != NULL)
        st = skip_counted(in, grammar->repeated, err);
    return st;
}

/* Makes a failure final, and hands it (or an earlier one) out. */
static enum status conclude(struct rdb_reader *reader, enum status st, struct err *err)
{
    if (reader->failure.code == ST_OK && st != ST_OK && st != ST_END)
        reader->failure.code = st;
    if (reader->failure.code == ST_OK)
        return st;
    if (err != NULL)
        *err = reader->failure;
    return reader->failure.code;
}

static void begin_value(struct rdb_reader *reader)
{
    CHECK(reader->value_state == VALUE_PENDING);
    reader->value_state = VALUE_NONE;
    reader->in.doing = "reading a value";
}

enum status rdb_reader_read_string(struct rdb_reader *reader, struct bytes *value_out,
                                   struct err *err)
{
    begin_value(reader);
    CHECK(reader->key.type == RDB_TYPE_STRING);
    enum status st = rdb_input_string(&reader->in, &reader->scratch, value_out, &reader->failure);
    return conclude(reader, st, err);
}

enum status rdb_reader_read_value(struct rdb_reader *reader, rdb_element_fn *take, void *arg,
                                  struct err *err)
{
    begin_value(reader);
    enum status st = rdb_decode_value(&reader->in, reader->key.type, take, arg, &reader->failure);
    return conclude(reader, st, err);
}

enum status rdb_reader_pass_value(struct rdb_reader *reader, rdb_take_bytes_fn *take, void *arg,
                                  struct err *err)
{
    begin_value(reader);
    reader->in.copy = take;
    reader->in.copy_arg = arg;
    enum status st = skip_value(&reader->in, reader->key.type, &reader->failure);
    reader->in.copy = NULL;
    return conclude(reader, st, err);
}

/* An rdb_take_bytes_fn. */
static enum status append_bytes(void *arg, struct bytes bytes)
{
    struct buf *out = arg;
    if (!buf_try_reserve(out, bytes.len))
        return ST_LIMIT;
    buf_append_bytes(out, bytes);
    return ST_OK;
}

enum status rdb_reader_read_raw(struct rdb_reader *reader, struct buf *out, struct err *err)
{
    return rdb_reader_pass_value(reader, append_bytes, out, err);
}

enum status rdb_reader_skip_value(struct rdb_reader *reader, struct err *err)
{
    begin_value(reader);
    return conclude(reader, skip_value(&reader->in, reader->key.type, &reader->failure), err);
}

enum status rdb_reader_frame_value(struct rdb_reader *reader, size_t bytes_max,
                                   struct rdb_frame *out, struct err *err)
{
    struct err failure = {0};
    begin_value(reader);
    *out = (struct rdb_frame){.type = reader->key.type, .offset = rdb_reader_offset(reader)};
    rdb_input_mark(&reader->in);
    enum status st = skip_value(&reader->in, reader->key.type, &failure);
    if (reader->in.broken) {
        (void)rdb_input_unmark(&reader->in, false);
        reader->failure = failure;
        return conclude(reader, st, err);
    }
    bool good = st == ST_OK && rdb_reader_offset(reader) - out->offset <= bytes_max;
    out->bytes = rdb_input_unmark(&reader->in, !good);
    if (!good)
        reader->value_state = VALUE_PENDING;
    return good ? ST_OK : ST_NOT_FOUND;
}

/* -- Frames ------------------------------------------------------------------------------------ */

static void open_frame(const struct rdb_frame *frame, uint64_t string_bytes_max,
                       struct rdb_input *out)
{
    rdb_input_init_memory(out, frame->bytes, string_bytes_max);
    out->data_offset = frame->offset;
    out->doing = "reading a value";
}

/* What was skipped by its structure, decoding takes as a whole. */
static enum status close_frame(struct rdb_input *in, enum status st, struct err *err)
{
    if (st == ST_OK && in->at != in->end)
        st = rdb_input_fail(in, err, ST_CORRUPT, "the value ends here, its bytes go on");
    rdb_input_deinit(in);
    return st;
}

enum status rdb_frame_read_string(const struct rdb_frame *frame, uint64_t string_bytes_max,
                                  struct buf *scratch, struct bytes *value_out, struct err *err)
{
    struct rdb_input in;
    open_frame(frame, string_bytes_max, &in);
    CHECK(frame->type == RDB_TYPE_STRING);
    return close_frame(&in, rdb_input_string(&in, scratch, value_out, err), err);
}

enum status rdb_frame_read_value(const struct rdb_frame *frame, uint64_t string_bytes_max,
                                 rdb_element_fn *take, void *arg, struct err *err)
{
    struct rdb_input in;
    open_frame(frame, string_bytes_max, &in);
    return close_frame(&in, rdb_decode_value(&in, frame->type, take, arg, err), err);
}

/* -- Items ------------------------------------------------------------------------------------- */

static enum status read_header(struct rdb_reader *reader, struct err *err)
{
    const uint8_t *p;
    enum status st = rdb_input_take(&reader->in, RDB_MAGIC_BYTES, &p, err);
    if (st != ST_OK)
        return st;
    if (memcmp(p, "REDIS", 5) != 0)
        return rdb_input_fail(&reader->in, err, ST_CORRUPT,
                              "not an RDB file: it does not start with REDIS");
    int version = 0;
    for (size_t i = 5; i < RDB_MAGIC_BYTES; i++) {
        if (p[i] < '0' || p[i] > '9')
            return rdb_input_fail(&reader->in, err, ST_CORRUPT, "the version is not a number");
        version = version * 10 + (p[i] - '0');
    }
    if (version < 1)
        return rdb_input_fail(&reader->in, err, ST_CORRUPT, "version 0 does not exist");
    if (version > RDB_VERSION_MAX)
        return rdb_input_fail(&reader->in, err, ST_UNSUPPORTED,
                              "version %d is newer than %d, the newest known", version,
                              RDB_VERSION_MAX);
    reader->version = version;
    return ST_OK;
}

static enum status read_end(struct rdb_reader *reader, struct err *err)
{
    reader->in.doing = "reading the checksum";
    if (reader->version >= RDB_VERSION_CHECKSUM) {
        uint64_t computed = rdb_input_checksum(&reader->in);
        const uint8_t *p;
        enum status st = rdb_input_take(&reader->in, RDB_CHECKSUM_BYTES, &p, err);
        if (st != ST_OK)
            return st;
        uint64_t stored = load_le64(p);
        reader->has_checksum = stored != 0;
        if (stored != 0 && stored != computed && !reader->ignore_checksum)
            return rdb_input_fail(&reader->in, err, ST_CORRUPT,
                                  "the checksum is 0x%016" PRIx64
                                  ", the bytes before it give 0x%016" PRIx64,
                                  stored, computed);
    }
    reader->ended = true;
    return ST_END;
}

/* A string that must outlive the next one; the input buffer moves. */
static enum status read_name(struct rdb_reader *reader, struct bytes *out, struct err *err)
{
    struct bytes name;
    enum status st = rdb_input_string(&reader->in, &reader->scratch, &name, err);
    if (st != ST_OK)
        return st;
    buf_clear(&reader->name);
    if (!buf_try_reserve(&reader->name, name.len))
        return rdb_input_fail(&reader->in, err, ST_LIMIT, "out of memory");
    buf_append_bytes(&reader->name, name);
    *out = buf_bytes(&reader->name);
    return ST_OK;
}

static enum status read_aux(struct rdb_reader *reader, struct rdb_item *item, struct err *err)
{
    reader->in.doing = "reading an AUX field";
    item->event = RDB_EVENT_AUX;
    enum status st = read_name(reader, &item->aux.name, err);
    if (st != ST_OK)
        return st;
    return rdb_input_string(&reader->in, &reader->scratch, &item->aux.value, err);
}

static enum status read_select_db(struct rdb_reader *reader, struct rdb_item *item, struct err *err)
{
    uint64_t db;
    reader->in.doing = "reading a database number";
    enum status st = rdb_input_length(&reader->in, &db, err);
    if (st != ST_OK)
        return st;
    if (db > INT32_MAX)
        return rdb_input_fail(&reader->in, err, ST_CORRUPT, "database %" PRIu64 " cannot exist",
                              db);
    reader->key.db = (uint32_t)db;
    item->event = RDB_EVENT_SELECT_DB;
    item->db = (uint32_t)db;
    return ST_OK;
}

static enum status read_resize(struct rdb_reader *reader, bool of_slot, struct rdb_item *item,
                               struct err *err)
{
    reader->in.doing = "reading a size hint";
    item->event = of_slot ? RDB_EVENT_SLOT_INFO : RDB_EVENT_RESIZE_DB;
    item->resize.slot = 0;
    enum status st = ST_OK;
    if (of_slot)
        st = rdb_input_length(&reader->in, &item->resize.slot, err);
    if (st == ST_OK)
        st = rdb_input_length(&reader->in, &item->resize.key_count, err);
    if (st == ST_OK)
        st = rdb_input_length(&reader->in, &item->resize.expire_count, err);
    return st;
}

static enum status read_function(struct rdb_reader *reader, struct rdb_item *item, struct err *err)
{
    reader->in.doing = "reading a function library";
    item->event = RDB_EVENT_FUNCTION;
    return rdb_input_string(&reader->in, &reader->scratch, &item->function, err);
}

static enum status read_module_aux(struct rdb_reader *reader, struct rdb_item *item,
                                   struct err *err)
{
    uint64_t when_opcode;
    uint64_t when;
    reader->in.doing = "reading a module's data";
    item->event = RDB_EVENT_MODULE_AUX;
    enum status st = rdb_input_length(&reader->in, &item->module_id, err);
    if (st == ST_OK)
        st = rdb_input_length(&reader->in, &when_opcode, err);
    if (st != ST_OK)
        return st;
    if (when_opcode != RDB_MODULE_UINT)
        return rdb_input_fail(&reader->in, err, ST_CORRUPT,
                              "a number is needed, module opcode %" PRIu64 " is here", when_opcode);
    st = rdb_input_length(&reader->in, &when, err);
    return st == ST_OK ? skip_module_parts(&reader->in, err) : st;
}

static enum status read_key(struct rdb_reader *reader, uint8_t type, struct rdb_item *item,
                            struct err *err)
{
    reader->in.doing = "reading a key's name";
    if (!rdb_type_is_known(type))
        return rdb_input_fail(&reader->in, err, ST_CORRUPT, "unknown type or opcode %d", type);
    if (type == RDB_TYPE_MODULE_PRE_GA)
        return rdb_input_fail(&reader->in, err, ST_UNSUPPORTED,
                              "a module's value in the format before Redis 4.0");
    enum status st = read_name(reader, &reader->key.name, err);
    if (st != ST_OK)
        return st;
    reader->key.type = type;
    reader->value_state = VALUE_PENDING;
    item->event = RDB_EVENT_KEY;
    item->key = reader->key;
    return ST_OK;
}

/* An attribute of the key to come: takes it, and says so; false if `opcode` is none. */
static bool read_attribute(struct rdb_reader *reader, uint8_t opcode, enum status *st_out,
                           struct err *err)
{
    const uint8_t *p;
    uint64_t idle_s;
    reader->in.doing = "reading a key's attributes";
    switch (opcode) {
    case RDB_OPCODE_EXPIRETIME:
        *st_out = rdb_input_take(&reader->in, 4, &p, err);
        if (*st_out == ST_OK)
            reader->key.expire_at_ms = (int64_t)(int32_t)load_le32(p) * 1000;
        reader->key.has_expire = true;
        return true;
    case RDB_OPCODE_EXPIRETIME_MS:
        *st_out = rdb_input_take(&reader->in, MS_BYTES, &p, err);
        if (*st_out == ST_OK)
            reader->key.expire_at_ms = (int64_t)load_le64(p);
        reader->key.has_expire = true;
        return true;
    case RDB_OPCODE_IDLE:
        *st_out = rdb_input_length(&reader->in, &idle_s, err);
        if (*st_out == ST_OK)
            reader->key.idle_s = idle_s > INT64_MAX ? INT64_MAX : (int64_t)idle_s;
        return true;
    case RDB_OPCODE_FREQ:
        *st_out = rdb_input_take(&reader->in, 1, &p, err);
        if (*st_out == ST_OK)
            reader->key.freq = p[0];
        return true;
    default:
        return false;
    }
}

static enum status read_item(struct rdb_reader *reader, uint8_t opcode, struct rdb_item *item,
                             struct err *err)
{
    switch (opcode) {
    case RDB_OPCODE_EOF:
        return read_end(reader, err);
    case RDB_OPCODE_AUX:
        return read_aux(reader, item, err);
    case RDB_OPCODE_SELECTDB:
        return read_select_db(reader, item, err);
    case RDB_OPCODE_RESIZEDB:
        return read_resize(reader, false, item, err);
    case RDB_OPCODE_SLOT_INFO:
        return read_resize(reader, true, item, err);
    case RDB_OPCODE_FUNCTION2:
        return read_function(reader, item, err);
    case RDB_OPCODE_MODULE_AUX:
        return read_module_aux(reader, item, err);
    case RDB_OPCODE_FUNCTION_PRE_GA:
        reader->in.doing = "reading a function library";
        return rdb_input_fail(&reader->in, err, ST_UNSUPPORTED,
                              "a function in the format of Redis 7.0's release candidates");
    default:
        return read_key(reader, opcode, item, err);
    }
}

static enum status next_item(struct rdb_reader *reader, struct rdb_item *item, struct err *err)
{
    enum status st = ST_OK;
    if (reader->version == 0)
        st = read_header(reader, err);
    reader->key = (struct rdb_key){.db = reader->key.db, .idle_s = -1, .freq = -1};
    while (st == ST_OK) {
        const uint8_t *p;
        reader->in.doing = "reading an opcode";
        st = rdb_input_take(&reader->in, 1, &p, err);
        if (st != ST_OK)
            break;
        uint8_t opcode = p[0];
        if (!read_attribute(reader, opcode, &st, err))
            return read_item(reader, opcode, item, err);
    }
    return st;
}

enum status rdb_reader_next(struct rdb_reader *reader, struct rdb_item *item_out, struct err *err)
{
    if (reader->failure.code != ST_OK)
        return conclude(reader, reader->failure.code, err);
    if (reader->ended)
        return ST_END;
    if (reader->value_state == VALUE_PENDING) {
        enum status st = rdb_reader_skip_value(reader, err);
        if (st != ST_OK)
            return st;
    }
    if (reader->scratch.capacity > SCRATCH_BYTES_KEPT)
        buf_deinit(&reader->scratch);
    if (reader->in.compressed.capacity > SCRATCH_BYTES_KEPT)
        buf_deinit(&reader->in.compressed);
    return conclude(reader, next_item(reader, item_out, &reader->failure), err);
}
