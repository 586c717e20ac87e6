#include "server/value_rdb.h"

#include "codec/buf.h"
#include "codec/rdb_write.h"
#include "storage/types/list.h"
#include "storage/types/string.h"

/* Of a list's node (RDB type "quicklist 2"). */
enum { RDB_NODE_PLAIN = 1, RDB_NODE_PACKED = 2 };

static void put_string(struct rdb_writer *writer, const struct object *o)
{
    struct buf value = {0};
    string_append_to(o, &value);
    rdb_writer_put_text(writer, buf_bytes(&value));
    buf_deinit(&value);
}

static void put_node(void *arg, bool plain, struct bytes content)
{
    struct rdb_writer *writer = arg;
    rdb_writer_put_length(writer, plain ? RDB_NODE_PLAIN : RDB_NODE_PACKED);
    rdb_writer_put_text(writer, content);
}

static void put_list(struct rdb_writer *writer, const struct object *o)
{
    struct list_facts facts;
    rdb_writer_put_length(writer, list_read_facts(o, &facts) ? facts.nodes : 1);
    list_visit_nodes(o, put_node, writer);
}

bool value_rdb_put(struct rdb_writer *writer, const struct object *o)
{
    switch ((enum object_type)o->type) {
    case OBJECT_STRING:
        put_string(writer, o);
        return true;
    case OBJECT_LIST:
        put_list(writer, o);
        return true;
    case OBJECT_SET:
    case OBJECT_ZSET:
    case OBJECT_HASH:
    case OBJECT_STREAM:
    case OBJECT_NONE:
    case OBJECT_TYPE_COUNT:
        return false;
    }
    return false;
}
