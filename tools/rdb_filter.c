#include "tools/rdb_filter.h"

#include <string.h>

#include "codec/glob.h"
#include "codec/number.h"
#include "codec/rdb_read.h"
#include "storage/import.h"
#include "tools/tool_output.h"

static const char *const type_names[] = {"string", "list", "set", "zset", "hash", "stream"};
#define TYPE_NAME_COUNT (sizeof(type_names) / sizeof(type_names[0]))

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

bool rdb_filter_add_type(struct rdb_filter *filter, const char *command, const char *text)
{
    for (size_t i = 0; i < TYPE_NAME_COUNT; i++) {
        if (strcmp(text, type_names[i]) != 0)
            continue;
        filter->types |= 1u << i;
        return true;
    }
    return tool_complain(command, "--type must be a type of keys, not", text);
}

bool rdb_filter_is_empty(const struct rdb_filter *filter)
{
    return filter->dbs.len == 0 && filter->types == 0 && filter->pattern == NULL;
}

bool rdb_filter_takes(void *arg, const struct rdb_key *key)
{
    const struct rdb_filter *filter = arg;
    bool wanted = filter->dbs.len == 0;
    for (size_t at = 0; at < filter->dbs.len && !wanted; at += sizeof(uint32_t)) {
        uint32_t db;
        memcpy(&db, filter->dbs.data + at, sizeof(db));
        wanted = db == key->db;
    }
    if (filter->pattern != NULL && !glob_match(bytes_text(filter->pattern), key->name, false))
        return false;
    for (size_t i = 0; i < TYPE_NAME_COUNT && filter->types != 0; i++)
        if (strcmp(rdb_type_name(key->type), type_names[i]) == 0)
            return wanted && (filter->types & 1u << i) != 0;
    return wanted && filter->types == 0;
}
