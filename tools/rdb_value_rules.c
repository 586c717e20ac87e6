#include "tools/rdb_value_rules.h"

#include <stdint.h>

#include "storage/types/list.h"

static const struct value_rules value_rules = {.large_bytes = SIZE_MAX,
                                               .hash_listpack_entries = 512,
                                               .hash_listpack_value = 64,
                                               .set_intset_entries = 512,
                                               .set_listpack_entries = 128,
                                               .set_listpack_value = 64,
                                               .zset_listpack_entries = 128,
                                               .zset_listpack_value = 64};
const struct list_rules rdb_value_rules = {
    .values = &value_rules, .node_size = -2, .plain_bytes = LIST_PLAIN_BYTES_MAX};
