#include "tools/rdb_filter.h"

#include <string.h>

#include "codec/glob.h"
#include "codec/number.h"
#include "codec/rdb_read.h"
#include "storage/import.h"
#include "tools/tool_output.h"

void rdb_filter_deinit(struct rdb_filter *filter)
{
    buf_deinit(&filter->dbs);
}

bool rdb_filter_add_db(struct rdb_filter *filter, const char *command, const char *text)
{
    uint64_t number;
    if (!number_parse_u64(bytes_text(text), &number) || number >= IMPORT_DB_COUNT_MAX)
        return tool_complain(command, "--db must be a database's number, not", text);
    uint32_t db = (uint32_t)number;
    buf_append(&filter->dbs, &db, sizeof(db));
    return true;
}

/* OBJECT_NONE: it is the name of none. */
static enum object_type type_named(const char *name)
{
    for (enum object_type type = OBJECT_STRING; type < OBJECT_TYPE_COUNT; type++)
        if (strcmp(name, object_type_name(type)) == 0)
            return type;
    return OBJECT_NONE;
}

bool rdb_filter_add_type(struct rdb_filter *filter, const char *command, const char *text)
{
    enum object_type type = type_named(text);
    if (type == OBJECT_NONE)
        return tool_complain(command, "--type must be a type of keys, not", text);
    filter->types |= 1u << type;
    return true;
}

bool rdb_filter_is_empty(const struct rdb_filter *filter)
{
    return filter->dbs.len == 0 && filter->types == 0 && filter->pattern == NULL;
}

bool rdb_filter_wants(const struct rdb_filter *filter, uint32_t db, enum object_type type,
                      struct bytes key)
{
    bool wanted = filter->dbs.len == 0;
    for (size_t at = 0; at < filter->dbs.len && !wanted; at += sizeof(uint32_t)) {
        uint32_t one;
        memcpy(&one, filter->dbs.data + at, sizeof(one));
        wanted = one == db;
    }
    return wanted && (filter->types == 0 || (filter->types & 1u << type) != 0) &&
           (filter->pattern == NULL || glob_match(bytes_text(filter->pattern), key, false));
}

bool rdb_filter_wants_key(const struct rdb_filter *filter, const struct rdb_key *key)
{
    return rdb_filter_wants(filter, key->db, type_named(rdb_type_name(key->type)), key->name);
}

bool rdb_filter_takes(void *arg, const struct rdb_key *key)
{
    return rdb_filter_wants_key(arg, key);
}
