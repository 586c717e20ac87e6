#include "tools/rdb_rewrite.h"

#include <string.h>

#include "codec/buf.h"
#include "codec/check.h"
#include "storage/rdb_load.h"
#include "storage/rdb_value.h"
#include "storage/types/hash.h"
#include "tools/rdb_filter.h"
#include "tools/rdb_source.h"
#include "tools/rdb_value_rules.h"

#define PIECE_BYTES       ((size_t)256 << 10) /* written at once */
#define NOTE_BYTES_MAX    64                  /* of an AUX field's name */
#define ITEMS_PER_LOOK    64
#define VERSION_FUNCTIONS 10
#define VERSION_MIN       9 /* that is written */

struct rewrite {
    const struct rdb_rewrite_options *options;
    struct rdb_rewrite_report *report;
    struct rdb_reader *reader; /* owned */
    struct rdb_writer *writer; /* owned; NULL: the bytes are passed on as they are read */
    uint8_t head[RDB_MAGIC_BYTES];
    size_t head_len, head_at;
    struct buf piece; /* owned: to be passed on */
    bool all;         /* keys are wanted */
    bool has_db, has_size;
    uint32_t db;
    uint64_t size_keys, size_expires; /* of the database that comes next, if has_size */
};

/* ---- Bytes that are passed on. */

static enum status write_piece(struct rewrite *r, size_t enough, struct err *err)
{
    struct bytes piece = buf_bytes(&r->piece);
    if (piece.len < enough)
        return ST_OK;
    r->report->bytes += piece.len;
    buf_clear(&r->piece);
    return r->options->write(r->options->write_arg, piece, err);
}

/* An rdb_read_fn: what was read to see the version, then the stream. */
static enum status read_stream(void *arg, uint8_t *out, size_t capacity, size_t *read_out,
                               struct err *err)
{
    struct rewrite *r = arg;
    size_t left = r->head_len - r->head_at;
    if (left != 0) {
        *read_out = left < capacity ? left : capacity;
        memcpy(out, r->head + r->head_at, *read_out);
        r->head_at += *read_out;
    } else {
        enum status st = r->options->read(r->options->read_arg, out, capacity, read_out, err);
        if (st != ST_OK)
            return st;
    }
    if (r->writer != NULL)
        return ST_OK;
    buf_append(&r->piece, out, *read_out);
    return write_piece(r, PIECE_BYTES, err);
}

/* The stream's version; 0 if it does not begin like an RDB file, which the reader will tell. */
static enum status read_version(struct rewrite *r, int *version_out, struct err *err)
{
    while (r->head_len < sizeof(r->head)) {
        size_t got = 0;
        enum status st = r->options->read(r->options->read_arg, r->head + r->head_len,
                                          sizeof(r->head) - r->head_len, &got, err);
        if (st != ST_OK)
            return st;
        if (got == 0)
            break;
        r->head_len += got;
    }
    *version_out = 0;
    for (size_t i = strlen("REDIS"); i < r->head_len; i++)
        if (r->head[i] >= '0' && r->head[i] <= '9')
            *version_out = *version_out * 10 + (r->head[i] - '0');
    return ST_OK;
}

/* ---- Values. */

/* From which version on there is this form of a value. */
static int first_version(uint8_t type)
{
    switch (type) {
    case RDB_TYPE_HASH_LISTPACK:
    case RDB_TYPE_ZSET_LISTPACK:
    case RDB_TYPE_LIST_QUICKLIST_2:
    case RDB_TYPE_STREAM_LISTPACKS_2:
        return 10;
    case RDB_TYPE_SET_LISTPACK:
    case RDB_TYPE_STREAM_LISTPACKS_3:
        return 11;
    case RDB_TYPE_HASH_METADATA_PRE_GA:
    case RDB_TYPE_HASH_LISTPACK_EX_PRE_GA:
    case RDB_TYPE_HASH_METADATA:
    case RDB_TYPE_HASH_LISTPACK_EX:
        return RDB_VERSION_FIELD_DEADLINES;
    default:
        return 0;
    }
}

static void put_db(struct rewrite *r, uint32_t db)
{
    if (r->has_db && r->db == db)
        return;
    r->has_db = true;
    r->db = db;
    rdb_writer_put_select_db(r->writer, db);
    if (r->has_size && r->all)
        rdb_writer_put_resize_db(r->writer, r->size_keys, r->size_expires);
    r->has_size = false;
}

/* An rdb_take_bytes_fn. */
static enum status put_bytes(void *arg, struct bytes bytes)
{
    struct rewrite *r = arg;
    rdb_writer_put_bytes(r->writer, bytes);
    return rdb_writer_failed(r->writer) ? ST_IO : ST_OK;
}

static enum status put_anew(struct rewrite *r, const struct rdb_key *key, struct err *err)
{
    struct rdb_load load;
    struct rdb_target target = {
        .writer = r->writer, .version = r->report->version, .now_ms = r->options->now_ms};
    rdb_load_init(&load, &rdb_value_rules);
    enum status st = rdb_reader_read_value(r->reader, rdb_load_take, &load, err);
    /* Collections without elements, which old versions could write, and hashes of which only due
     * fields were left, are no values. */
    if (st == ST_OK && rdb_load_finish(&load) == ST_OK && !rdb_value_is_empty(&target, &load.o)) {
        struct rdb_key changed = *key;
        changed.type = rdb_value_type(&load.o, target.version);
        put_db(r, key->db);
        rdb_writer_put_key(r->writer, &changed);
        rdb_value_put(&target, &load.o);
        r->report->keys++;
        r->report->undated += load.o.type == OBJECT_HASH && hash_has_deadlines(&load.o) &&
                              target.version < RDB_VERSION_FIELD_DEADLINES;
    }
    rdb_load_deinit(&load);
    return st;
}

static enum status put_key(struct rewrite *r, const struct rdb_key *key, struct err *err)
{
    if (first_version(key->type) > r->report->version)
        return put_anew(r, key, err);
    put_db(r, key->db);
    rdb_writer_put_key(r->writer, key);
    r->report->keys++;
    return rdb_reader_pass_value(r->reader, put_bytes, r, err);
}

/* ---- Items. */

/* Notes of where in a history the dataset stands are not true of a part of it. */
static void put_note(struct rewrite *r, struct bytes name, struct bytes value)
{
    char text[NOTE_BYTES_MAX];
    if (name.len >= sizeof(text) || memchr(name.data, '\0', name.len) != NULL)
        return;
    memcpy(text, name.data, name.len);
    text[name.len] = '\0';
    if (r->all || strncmp(text, "repl-", strlen("repl-")) != 0)
        rdb_writer_put_aux(r->writer, text, value);
}

static enum status put_item(struct rewrite *r, const struct rdb_item *item, struct err *err)
{
    switch (item->event) {
    case RDB_EVENT_AUX:
        put_note(r, item->aux.name, item->aux.value);
        return ST_OK;
    case RDB_EVENT_SELECT_DB:
        r->has_size = false;
        return ST_OK;
    case RDB_EVENT_RESIZE_DB:
        r->has_size = true;
        r->size_keys = item->resize.key_count;
        r->size_expires = item->resize.expire_count;
        return ST_OK;
    case RDB_EVENT_SLOT_INFO: /* a hint of versions from 12 on */
        return ST_OK;
    case RDB_EVENT_FUNCTION:
        if (r->all && r->report->version >= VERSION_FUNCTIONS)
            rdb_writer_put_function(r->writer, item->function);
        else
            r->report->functions += r->all;
        return ST_OK;
    case RDB_EVENT_MODULE_AUX: /* which the reader skips */
        r->report->modules += r->all;
        return ST_OK;
    case RDB_EVENT_KEY:
        if (rdb_filter_wants_key(r->options->filter, &item->key))
            return put_key(r, &item->key, err);
        r->report->unwanted++;
        return ST_OK;
    }
    CHECK(false);
}

static enum status check_end(struct rewrite *r, struct err *err)
{
    size_t more = rdb_reader_rest(r->reader).len;
    uint8_t byte;
    if (more == 0) {
        enum status st = r->options->read(r->options->read_arg, &byte, 1, &more, err);
        if (st != ST_OK)
            return st;
    }
    return more == 0 ? ST_OK : err_set(err, ST_CORRUPT, "the RDB stream goes on behind its end");
}

static enum status put_all(struct rewrite *r, struct err *err)
{
    struct rdb_item item;
    enum status st;
    for (uint64_t count = 0; (st = rdb_reader_next(r->reader, &item, err)) == ST_OK; count++) {
        if (r->writer == NULL)
            r->report->keys += item.event == RDB_EVENT_KEY;
        else
            st = put_item(r, &item, err);
        if (st == ST_OK && count % ITEMS_PER_LOOK == 0 &&
            !r->options->progress(r->options->arg, r->report->keys))
            st = err_set(err, ST_AGAIN, "interrupted by a signal");
        if (st != ST_OK || (r->writer != NULL && rdb_writer_failed(r->writer)))
            return st;
    }
    return st == ST_END ? check_end(r, err) : st;
}

static enum status finish(struct rewrite *r, enum status st, struct err *err)
{
    struct err failure = {0};
    if (r->writer == NULL)
        return st == ST_OK ? write_piece(r, 1, err) : st;
    if (st != ST_OK && !rdb_writer_failed(r->writer))
        return st;
    st = rdb_writer_finish(r->writer, &failure);
    if (st != ST_OK && err != NULL)
        *err = failure;
    r->report->bytes = rdb_writer_offset(r->writer);
    return st;
}

enum status rdb_rewrite_run(const struct rdb_rewrite_options *options,
                            struct rdb_rewrite_report *out, struct err *err)
{
    struct rdb_reader_options from = {.read = read_stream};
    struct rewrite r = {
        .options = options, .report = out, .all = rdb_filter_is_empty(options->filter)};
    int version = 0;
    *out = (struct rdb_rewrite_report){.version = options->version};
    enum status st = read_version(&r, &version, err);
    if (st != ST_OK)
        return st;
    bool as_it_is = r.all && (out->version == 0 || out->version == version);
    if (out->version == 0)
        out->version = version;
    if (!as_it_is) {
        if (out->version < VERSION_MIN) /* whose forms later versions have, too */
            out->version = VERSION_MIN;
        if (out->version > RDB_VERSION_MAX) /* the reader will say so */
            out->version = RDB_VERSION_MAX;
        struct rdb_writer_options to = {
            .write = options->write, .write_arg = options->write_arg, .version = out->version};
        r.writer = rdb_writer_create(&to);
    }
    from.read_arg = &r;
    r.reader = rdb_reader_create(&from);
    st = finish(&r, put_all(&r, err), err);
    out->has_checksum = rdb_reader_has_checksum(r.reader);
    rdb_reader_destroy(r.reader);
    rdb_writer_destroy(r.writer);
    buf_deinit(&r.piece);
    return st;
}
