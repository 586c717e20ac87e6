#include "storage/rdb_load.h"

#include "codec/check.h"
#include "storage/types/hash.h"
#include "storage/types/set.h"
#include "storage/types/zset.h"
#include "storage/value_type.h"

void rdb_load_init(struct rdb_load *load, const struct list_rules *rules)
{
    *load = (struct rdb_load){.rules = rules, .o.expire_at_ms = OBJECT_NO_EXPIRE};
}

void rdb_load_deinit(struct rdb_load *load)
{
    if (load->zset != NULL)
        zset_build_destroy(load->zset);
    if (load->o.encoding != ENCODING_NONE) {
        object_free_fn *free_fn;
        void *value = object_value_type((enum object_type)load->o.type)->take(&load->o, &free_fn);
        free_fn(value);
    }
    buf_deinit(&load->text);
    *load = (struct rdb_load){.rules = load->rules};
}

static enum status repeated(struct err *err, const char *what)
{
    return err_set(err, ST_CORRUPT, "%s is there twice", what);
}

static enum status begin(struct rdb_load *load, const struct rdb_element *element)
{
    static const enum object_type types[] = {
        [RDB_VALUE_STRING] = OBJECT_STRING, [RDB_VALUE_LIST] = OBJECT_LIST,
        [RDB_VALUE_SET] = OBJECT_SET,       [RDB_VALUE_ZSET] = OBJECT_ZSET,
        [RDB_VALUE_HASH] = OBJECT_HASH,     [RDB_VALUE_STREAM] = OBJECT_STREAM,
    };
    load->o.type = (uint8_t)types[element->begin.kind];
    load->form = element->begin.form;
    load->count = element->begin.count;
    load->has_deadlines = element->begin.has_deadlines;
    switch (element->begin.kind) {
    case RDB_VALUE_LIST:
        list_init(&load->o);
        break;
    case RDB_VALUE_ZSET:
        load->zset = zset_build_create(load->rules->values);
        break;
    case RDB_VALUE_HASH:
        hash_init(&load->o);
        break;
    case RDB_VALUE_STREAM:
        stream_init(&load->o);
        break;
    case RDB_VALUE_STRING:
    case RDB_VALUE_SET: /* its first member decides how it begins */
        break;
    }
    return ST_OK;
}

static enum status take_string(struct rdb_load *load, struct bytes text, struct err *err)
{
    if (!buf_try_reserve(&load->text, text.len))
        return err_set(err, ST_LIMIT, "out of memory for a string of %zu bytes", text.len);
    buf_append_bytes(&load->text, text);
    return ST_OK;
}

static void take_list_element(struct rdb_load *load, struct bytes element)
{
    list_will_grow(&load->o, load->rules, element.len, 1);
    list_push(&load->o, load->rules, LIST_TAIL, element);
}

static void begin_set(struct rdb_load *load, struct bytes first)
{
    const struct value_rules *rules = load->rules->values;
    size_t count = load->count < SIZE_MAX ? (size_t)load->count : SIZE_MAX;
    switch (load->form) {
    case RDB_FORM_INTSET:
        set_init_intset(&load->o);
        set_expect(&load->o, rules, count);
        break;
    case RDB_FORM_PACKED:
        set_init_listpack(&load->o);
        set_expect(&load->o, rules, count);
        break;
    case RDB_FORM_PLAIN:
        set_init(&load->o, rules, first, count);
        break;
    }
}

static enum status take_member(struct rdb_load *load, struct bytes member, struct err *err)
{
    if (load->o.encoding == ENCODING_NONE)
        begin_set(load, member);
    if (!set_add(&load->o, load->rules->values, member))
        return repeated(err, "a set's member");
    set_settle(&load->o, load->rules->values);
    return ST_OK;
}

static enum status take_text(struct rdb_load *load, struct bytes text, struct err *err)
{
    if (load->o.type == OBJECT_STRING)
        return take_string(load, text, err);
    if (load->o.type == OBJECT_SET)
        return take_member(load, text, err);
    take_list_element(load, text);
    return ST_OK;
}

static enum status take_field(struct rdb_load *load, const struct rdb_element *element,
                              struct err *err)
{
    const struct value_rules *rules = load->rules->values;
    struct bytes name = element->field.name;
    int64_t expire_at_ms = element->field.expire_at_ms;
    /* A listpack gets room for deadlines with the first one. */
    bool later = expire_at_ms != OBJECT_NO_EXPIRE && load->o.encoding == ENCODING_LISTPACK;
    if (!hash_set(&load->o, rules, name, element->field.value,
                  later ? OBJECT_NO_EXPIRE : expire_at_ms))
        return repeated(err, "a hash's field");
    if (later)
        hash_set_expire(&load->o, name, expire_at_ms);
    hash_settle(&load->o, rules);
    return ST_OK;
}

_Static_assert(RDB_NO_EXPIRE == OBJECT_NO_EXPIRE, "no deadline is the same in both");

static enum status take_scored(struct rdb_load *load, const struct rdb_element *element,
                               struct err *err)
{
    if (zset_build_find(load->zset, element->scored.member) != NULL)
        return repeated(err, "a sorted set's member");
    zset_build_add(load->zset, element->scored.member, element->scored.score);
    return ST_OK;
}

static enum status take_of_stream(struct rdb_load *load, const struct rdb_element *element,
                                  struct err *err)
{
    enum status st = stream_load_take(&load->stream, stream_of(&load->o), element, err);
    stream_settle(&load->o, load->rules->values);
    return st;
}

enum status rdb_load_take(void *arg, const struct rdb_element *element, struct err *err)
{
    struct rdb_load *load = arg;
    switch (element->kind) {
    case RDB_ELEMENT_BEGIN:
        return begin(load, element);
    case RDB_ELEMENT_TEXT:
        load->has_element = true;
        return take_text(load, element->text, err);
    case RDB_ELEMENT_SCORED:
        load->has_element = true;
        return take_scored(load, element, err);
    case RDB_ELEMENT_FIELD:
        load->has_element = true;
        return take_field(load, element, err);
    case RDB_ELEMENT_NODE:
    case RDB_ELEMENT_STREAM:
    case RDB_ELEMENT_GROUP:
    case RDB_ELEMENT_CONSUMER:
    case RDB_ELEMENT_PENDING:
        load->has_element = true; /* an empty stream is a value, too */
        return take_of_stream(load, element, err);
    }
    CHECK_UNREACHED("a kind of element");
}

enum status rdb_load_finish(struct rdb_load *load)
{
    if (!load->has_element)
        return ST_NOT_FOUND;
    if (load->o.type == OBJECT_LIST)
        list_was_built(&load->o, load->rules);
    if (load->o.type == OBJECT_ZSET) {
        zset_build_store(load->zset, &load->o);
        load->zset = NULL;
    }
    return ST_OK;
}

void rdb_load_move(struct rdb_load *load, struct object *to)
{
    CHECK(to->type == load->o.type);
    to->value = load->o.value;
    to->encoding = load->o.encoding;
    to->large = load->o.large;
    load->o.encoding = ENCODING_NONE;
    load->o.value.pointer = NULL;
    load->o.large = 0;
}
