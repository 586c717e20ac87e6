/* Collections on their way from the RDB to records. Each type makes its own value, as it does for
 * RESTORE; one that becomes large is written while it comes: whenever enough of its parts have
 * gathered they become element records, and leave RAM, as after a cut. So a collection may be
 * larger than memory, but for sorted sets, the groups of a stream, and the deadlines of a hash's
 * fields. */
#include "codec/split_args.h"
#include "storage/import_internal.h"
#include "storage/loader.h"
#include "storage/parts.h"
#include "storage/rdb_load.h"
#include "storage/types/list.h"
#include "storage/value_type.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

struct value {
    struct import_worker *worker;
    struct buf scratch;
    enum status element_status; /* of element records: the first failure */
    struct err *element_err;
    struct rdb_load load; /* last, as it ends with an array */
};

static enum family family_of(const struct object *o)
{
    return loader_family((enum object_type)o->type);
}

/* ---- Elements ---------------------------------------------------------------------------------
 */

/* A part_put_fn. */
static void put_element(void *arg, struct bytes key, struct bytes data)
{
    struct value *value = arg;
    if (value->element_status == ST_OK)
        value->element_status = import_add_record(value->worker, family_of(&value->load.o), key,
                                                  data, value->element_err);
}

static void drop_written(struct object *o)
{
    const struct value_type *type = object_value_type((enum object_type)o->type);
    if (o->type == OBJECT_LIST)
        list_drop_written(o);
    else
        while (type->drop_clean(o, type->bytes(o)) != 0)
            ; /* a call goes through a bounded number of parts */
}

/* Writes the parts that have gathered. */
static enum status write_parts(struct value *value, struct err *err)
{
    struct object *o = &value->load.o;
    const struct value_type *type = object_value_type((enum object_type)o->type);
    size_t orphan_bytes = 0;
    buf_clear(&value->scratch);
    (void)type->encode(o, &value->scratch); /* some parts are only made by that, as for a cut */
    struct parts_taken *taken =
        parts_take(type->parts(o), (enum object_type)o->type,
                   value->worker->import->identity.hash_seed, &orphan_bytes);
    if (taken == NULL)
        return ST_OK;
    value->element_err = err;
    parts_encode_to(taken, put_element, value);
    while (parts_finish(taken, o, UINT32_MAX))
        ;
    parts_taken_destroy(taken);
    drop_written(o);
    return value->element_status;
}

static enum status take_element(void *arg, const struct rdb_element *element, struct err *err)
{
    struct value *value = arg;
    enum status st = rdb_load_take(&value->load, element, err);
    const struct object *o = &value->load.o;
    if (st != ST_OK || !o->large)
        return st;
    const struct parts *parts = object_value_type((enum object_type)o->type)->parts(o);
    return parts->dirty_bytes < value->worker->import->parts_bytes ? ST_OK
                                                                   : write_parts(value, err);
}

/* ---- Records ----------------------------------------------------------------------------------
 */

static enum status add_expires(struct import_worker *worker, const struct rdb_key *key,
                               int64_t at_ms, struct err *err)
{
    struct buf entry = {0};
    store_be64(buf_reserve(&entry, RECORD_EXPIRES_PREFIX_BYTES + record_key_bytes(key->name.len)),
               at_ms < 0 ? 0 : (uint64_t)at_ms);
    uint64_t position = record_position(worker->import->identity.hash_seed, key->name);
    entry.len = RECORD_EXPIRES_PREFIX_BYTES + record_key_bytes(key->name.len);
    (void)record_key_encode(key->db, position, key->name, entry.data + RECORD_EXPIRES_PREFIX_BYTES);
    enum status st =
        import_add_record(worker, FAMILY_EXPIRES, buf_bytes(&entry), bytes_make(NULL, 0), err);
    buf_deinit(&entry);
    return st;
}

/* The record of a value that is complete. */
static enum status add_value(struct value *value, const struct rdb_key *key, struct err *err)
{
    struct import_worker *worker = value->worker;
    struct object *o = &value->load.o;
    const struct value_type *type = object_value_type((enum object_type)o->type);
    enum status st = o->large ? write_parts(value, err) : ST_OK;
    if (st == ST_OK && key->has_expire)
        st = add_expires(worker, key, key->expire_at_ms, err);
    int64_t deadline_ms = type->next_deadline == NULL ? OBJECT_NO_EXPIRE : type->next_deadline(o);
    if (st == ST_OK && deadline_ms != OBJECT_NO_EXPIRE)
        st = add_expires(worker, key, deadline_ms, err);
    if (st != ST_OK)
        return st;
    struct record_header header = {.has_expire = key->has_expire,
                                   .large = o->large,
                                   .expire_at_ms = key->has_expire ? key->expire_at_ms : 0};
    struct buf payload = {0};
    header.encoding = type->encode(o, &payload);
    buf_clear(&value->scratch);
    (void)buf_reserve(&value->scratch, RECORD_HEADER_BYTES_MAX + payload.len);
    value->scratch.len = record_header_encode(&header, value->scratch.data);
    buf_append_bytes(&value->scratch, buf_bytes(&payload));
    buf_deinit(&payload);
    struct buf record_key = {0};
    record_key.len =
        record_key_encode(key->db, record_position(worker->import->identity.hash_seed, key->name),
                          key->name, buf_reserve(&record_key, record_key_bytes(key->name.len)));
    st = import_add_record(worker, family_of(o), buf_bytes(&record_key), buf_bytes(&value->scratch),
                           err);
    buf_deinit(&record_key);
    return st;
}

enum status import_read_collection(struct import_worker *worker, const struct rdb_frame *frame,
                                   const struct rdb_key *key, struct err *err)
{
    struct import *import = worker->import;
    const struct list_rules rules = {.values = &import->values,
                                     .node_size = IMPORT_LIST_NODE_SIZE,
                                     .plain_bytes = LIST_PLAIN_BYTES_MAX};
    struct value value = {.worker = worker};
    rdb_load_init(&value.load, &rules);
    enum status st =
        frame == NULL
            ? rdb_reader_read_value(import->turns.reader, take_element, &value, err)
            : rdb_frame_read_value(frame, IMPORT_STRING_BYTES_MAX, take_element, &value, err);
    if (st == ST_OK)
        st = rdb_load_finish(&value.load);
    if (st == ST_OK) {
        st = add_value(&value, key, err);
    } else if (st == ST_NOT_FOUND) { /* Redis leaves them out, too */
        worker->empty++;
        st = ST_OK;
    }
    rdb_load_deinit(&value.load);
    buf_deinit(&value.scratch);
    return st;
}

/* ---- Function libraries ------------------------------------------------------------------------
 */

/* Appends the name in a library's first line, such as "#!lua name=mylib", which the server reads in
 * the same way. Nothing: it has none, or one that cannot be. */
static void find_library_name(struct bytes code, struct buf *out)
{
    const uint8_t *end = code.len == 0 ? NULL : memchr(code.data, '\n', code.len);
    struct split_args parts;
    if (end == NULL || !split_args(bytes_make(code.data, (size_t)(end - code.data)), &parts))
        return;
    for (size_t i = 1; i < parts.count && out->len == 0; i++) {
        struct bytes part = parts.items[i];
        if (part.len > 5 && strncasecmp((const char *)part.data, "name=", 5) == 0)
            buf_append(out, part.data + 5, part.len - 5);
    }
    split_args_deinit(&parts);
    for (size_t i = 0; i < out->len; i++)
        if (!isalnum(out->data[i]) && out->data[i] != '_')
            buf_clear(out);
}

/* False: there was one of that name. */
static bool note_library(struct import *import, struct bytes name)
{
    struct buf *names = &import->library_names;
    struct buf word = {0};
    buf_append_format(&word, " %.*s ", (int)name.len, (const char *)name.data);
    bool is_new = names->len == 0 || memmem(names->data, names->len, word.data, word.len) == NULL;
    buf_append_bytes(names, buf_bytes(&word));
    buf_deinit(&word);
    return is_new;
}

enum status import_read_library(struct import *import, struct bytes code, struct err *err)
{
    if (import->has_libraries) {
        import->report.functions_left_out++;
        return ST_OK;
    }
    struct buf name = {0};
    enum status st = ST_OK;
    find_library_name(code, &name);
    if (name.len == 0)
        st = err_set(err, ST_CORRUPT, "a function library has no name");
    else if (!note_library(import, buf_bytes(&name)))
        st = err_set(err, ST_CORRUPT, "the file has two function libraries named \"%.*s\"",
                     (int)(name.len < 64 ? name.len : 64), (const char *)name.data);
    if (st == ST_OK) {
        struct buf key = {0};
        struct buf text = {0};
        cold_batch_put(import->libraries, FAMILY_META, meta_library_key(&key, buf_bytes(&name)),
                       meta_library_value(&text, code));
        buf_deinit(&key);
        buf_deinit(&text);
        import->report.functions++;
    }
    buf_deinit(&name);
    return st;
}
