#include "storage/types/stream_load.h"

#include "codec/check.h"
#include "storage/types/stream_internal.h"

static struct stream_id id_of(struct rdb_stream_id id)
{
    return (struct stream_id){.ms = id.ms, .seq = id.seq};
}

static enum status corrupt(struct err *err, const char *what)
{
    return err_set(err, ST_CORRUPT, "%s", what);
}

/* Goes through the entries of a node; false: their ids do not ascend. */
static bool note_entries(struct stream_load *load, const struct stream_node *node)
{
    struct stream_entry entry;
    uint32_t at = 0;
    while (node_next(node, &at, &entry)) {
        if (stream_id_compare(entry.id, node->first) < 0 ||
            (load->entries != 0 && stream_id_compare(entry.id, load->last) <= 0))
            return false;
        if (load->entries == 0)
            load->first = entry.id;
        load->last = entry.id;
        load->entries++;
    }
    return true;
}

static enum status take_node(struct stream_load *load, struct stream *s,
                             const struct rdb_element *element, struct err *err)
{
    struct stream_id id = id_of(element->node.id);
    uint64_t count;
    enum status st = stream_node_validate(element->node.listpack, &count, err);
    if (st != ST_OK)
        return st;
    if (count == 0)
        return ST_OK; /* all deleted: there is nothing to be kept of it */
    if (load->entries != 0 && stream_id_compare(id, load->last) <= 0)
        return corrupt(err, "a stream's nodes are not in order");
    stream_append_node(s, id, element->node.listpack);
    const struct stream_page *page = stream_page(s, s->page_count - 1);
    if (!note_entries(load, page->nodes[page->part->count - 1]))
        return corrupt(err, "the ids in a stream's node are not in order");
    return ST_OK;
}

static enum status take_facts(struct stream_load *load, struct stream *s,
                              const struct rdb_element *element, struct err *err)
{
    s->length = element->stream.length;
    s->last_id = id_of(element->stream.last_id);
    s->first_id = load->first;
    s->entries_added = s->length;
    if (element->stream.has_history) {
        s->max_deleted_id = id_of(element->stream.max_deleted_id);
        s->entries_added = element->stream.entries_added;
    }
    if (s->length != load->entries)
        return corrupt(err, "a stream's length is not the number of its entries");
    if (s->length != 0 && stream_id_compare(s->last_id, load->last) < 0)
        return corrupt(err, "a stream has entries behind its last id");
    return ST_OK;
}

static enum status take_group(struct stream_load *load, struct stream *s,
                              const struct rdb_element *element, struct err *err)
{
    struct stream_id last_id = id_of(element->group.last_id);
    int64_t entries_read = element->group.has_entries_read ? element->group.entries_read
                                                           : stream_entries_up_to(s, last_id);
    if (s->group_count == UINT32_MAX || element->group.name.len > UINT32_MAX)
        return corrupt(err, "a stream has more groups than it can");
    load->group = stream_create_group(s, element->group.name, last_id, entries_read);
    load->consumer = NULL;
    return load->group != NULL ? ST_OK : corrupt(err, "a stream has two groups of one name");
}

static enum status take_consumer(struct stream_load *load, struct stream *s,
                                 const struct rdb_element *element, struct err *err)
{
    if (element->consumer.name.len > UINT32_MAX)
        return corrupt(err, "a consumer's name is too long");
    load->consumer = stream_create_consumer(s, load->group, element->consumer.name,
                                            element->consumer.seen_at_ms);
    if (load->consumer == NULL)
        return corrupt(err, "a group has two consumers of one name");
    stream_set_consumer_times(s, load->consumer, element->consumer.seen_at_ms,
                              element->consumer.active_at_ms);
    return ST_OK;
}

enum status stream_load_take(struct stream_load *load, struct stream *s,
                             const struct rdb_element *element, struct err *err)
{
    switch (element->kind) {
    case RDB_ELEMENT_NODE:
        return take_node(load, s, element, err);
    case RDB_ELEMENT_STREAM:
        return take_facts(load, s, element, err);
    case RDB_ELEMENT_GROUP:
        return take_group(load, s, element, err);
    case RDB_ELEMENT_CONSUMER:
        return take_consumer(load, s, element, err);
    case RDB_ELEMENT_PENDING:
        stream_put_pending(s, load->group, load->consumer, id_of(element->pending.id),
                           element->pending.delivered_at_ms, element->pending.deliveries);
        return ST_OK;
    case RDB_ELEMENT_BEGIN:
    case RDB_ELEMENT_TEXT:
    case RDB_ELEMENT_SCORED:
    case RDB_ELEMENT_FIELD:
        break;
    }
    CHECK_UNREACHED("an element of a stream");
}
