/* One node of a stream, a listpack of Redis's layout:
 *
 *   master entry  count, deleted, n, n field names, 0
 *   entries       flags, ms - node's ms, seq - node's seq,
 *                 SAMEFIELDS: n values; else m, m times a field and a value,
 *                 number of elements of the entry, without this one
 *
 * `count` entries are there, `deleted` more are marked. The fields of the first entry are the
 * master entry's. Walking back begins at the last element of an entry, which tells where it begins.
 */
#include "storage/types/stream_internal.h"

#include "codec/check.h"

#include <string.h>

enum { ENTRY_DELETED = 1, ENTRY_SAME_FIELDS = 2 };

static struct listpack as_listpack(struct stream_node *node)
{
    return (struct listpack){.block = (uint8_t *)node, .head = NODE_HEAD_BYTES};
}

static struct stream_node *as_node(const struct listpack *lp)
{
    return (struct stream_node *)(void *)lp->block;
}

static int64_t integer_at(const uint8_t *data, uint32_t at)
{
    struct listpack_value value;
    listpack_get(data, at, &value);
    int64_t integer = 0;
    if (value.is_integer)
        return value.integer;
    return number_parse_i64(value.text, &integer) ? integer : 0;
}

static uint32_t skip(const uint8_t *data, uint32_t at, uint64_t count)
{
    for (; count != 0; count--)
        at = listpack_next(data, at);
    return at;
}

/* ---- The master entry. */

static uint32_t master_deleted_at(const uint8_t *data)
{
    return listpack_next(data, listpack_first(data));
}

static uint32_t master_fields_at(const uint8_t *data)
{
    return listpack_next(data, master_deleted_at(data));
}

uint64_t node_count(const struct stream_node *node)
{
    return (uint64_t)integer_at(node->listpack, listpack_first(node->listpack));
}

uint64_t node_deleted(const struct stream_node *node)
{
    return (uint64_t)integer_at(node->listpack, master_deleted_at(node->listpack));
}

/* Where the first entry is; 0 when there is none. */
static uint32_t entries_at(const uint8_t *data)
{
    uint32_t at = master_fields_at(data);
    uint64_t fields = (uint64_t)integer_at(data, at);
    return skip(data, at, fields + 2); /* the number, the fields, the 0 */
}

static struct stream_node *set_counts(struct stream_node *node, uint64_t count, uint64_t deleted)
{
    struct listpack lp = as_listpack(node);
    listpack_replace(&lp, listpack_first(listpack_data(&lp)), listpack_integer((int64_t)count));
    listpack_replace(&lp, master_deleted_at(listpack_data(&lp)),
                     listpack_integer((int64_t)deleted));
    return as_node(&lp);
}

/* ---- Appending. */

static bool has_same_fields(const uint8_t *data, const struct bytes *texts, size_t field_count)
{
    uint32_t at = master_fields_at(data);
    if ((uint64_t)integer_at(data, at) != field_count)
        return false;
    for (size_t i = 0; i < field_count; i++) {
        at = listpack_next(data, at);
        if (!listpack_equal(data, at, texts[2 * i]))
            return false;
    }
    return true;
}

static struct stream_node *append_entry(struct stream_node *node, struct stream_id id,
                                        const struct bytes *texts, size_t field_count)
{
    struct listpack lp = as_listpack(node);
    bool same = has_same_fields(listpack_data(&lp), texts, field_count);
    size_t values = same ? field_count : 2 * field_count + 1;
    size_t total = values + 4;
    struct listpack_value few[64];
    struct listpack_value *all = total <= 64 ? few : mem_alloc(total * sizeof(*all));
    size_t n = 0;
    all[n++] = listpack_integer(same ? ENTRY_SAME_FIELDS : 0);
    all[n++] = listpack_integer((int64_t)(id.ms - node->first.ms));
    all[n++] = listpack_integer((int64_t)(id.seq - node->first.seq));
    if (!same)
        all[n++] = listpack_integer((int64_t)field_count);
    for (size_t i = 0; i < field_count; i++) {
        if (!same)
            all[n++] = listpack_text(texts[2 * i]);
        all[n++] = listpack_text(texts[2 * i + 1]);
    }
    all[n] = listpack_integer((int64_t)n);
    CHECK(n + 1 == total);
    listpack_splice(&lp, listpack_end(listpack_data(&lp)), 0, all, total);
    if (all != few)
        mem_free(all);
    return as_node(&lp);
}

struct stream_node *node_create(struct stream_id id, const struct bytes *texts, size_t field_count)
{
    struct listpack lp = listpack_create(NODE_HEAD_BYTES);
    as_node(&lp)->first = id;
    listpack_append(&lp, listpack_integer(1));
    listpack_append(&lp, listpack_integer(0));
    listpack_append(&lp, listpack_integer((int64_t)field_count));
    for (size_t i = 0; i < field_count; i++)
        listpack_append(&lp, listpack_text(texts[2 * i]));
    listpack_append(&lp, listpack_integer(0));
    return append_entry(as_node(&lp), id, texts, field_count);
}

bool node_takes(const struct stream_node *node, size_t extra, const struct stream_limits *limits)
{
    size_t bytes_max = limits->node_bytes_max;
    if (bytes_max == 0 || bytes_max > STREAM_NODE_BYTES_LIMIT)
        bytes_max = STREAM_NODE_BYTES_LIMIT;
    if (node_bytes(node) + extra >= bytes_max)
        return false;
    return limits->node_entries_max == 0 ||
           node_count(node) + node_deleted(node) < limits->node_entries_max;
}

struct stream_node *node_append(struct stream_node *node, struct stream_id id,
                                const struct bytes *texts, size_t field_count)
{
    node = append_entry(node, id, texts, field_count);
    return set_counts(node, node_count(node) + 1, node_deleted(node));
}

/* ---- Reading. */

/* Reads the entry at `at`; returns where the next one begins (the listpack's end after the last).
 */
static uint32_t read_entry(const struct stream_node *node, uint32_t at, bool *deleted,
                           struct stream_entry *out)
{
    const uint8_t *data = node->listpack;
    int64_t flags = integer_at(data, at);
    uint32_t ms_at = listpack_next(data, at);
    uint32_t seq_at = listpack_next(data, ms_at);
    uint32_t rest = listpack_next(data, seq_at);
    uint32_t master = master_fields_at(data);
    out->id = (struct stream_id){.ms = node->first.ms + (uint64_t)integer_at(data, ms_at),
                                 .seq = node->first.seq + (uint64_t)integer_at(data, seq_at)};
    out->listpack = data;
    *deleted = (flags & ENTRY_DELETED) != 0;
    if ((flags & ENTRY_SAME_FIELDS) != 0) {
        out->field_count = (uint64_t)integer_at(data, master);
        out->field_at = listpack_next(data, master);
        out->at = rest;
        rest = skip(data, rest, out->field_count);
    } else {
        out->field_count = (uint64_t)integer_at(data, rest);
        out->field_at = 0;
        out->at = listpack_next(data, rest);
        rest = skip(data, out->at, 2 * out->field_count);
    }
    uint32_t next = listpack_next(data, rest); /* behind the entry's length */
    return next == 0 ? listpack_end(data) : next;
}

bool node_next(const struct stream_node *node, uint32_t *at, struct stream_entry *out)
{
    uint32_t place = *at == 0 ? entries_at(node->listpack) : *at;
    bool deleted = true;
    while (deleted && place != 0 && place < listpack_end(node->listpack))
        place = read_entry(node, place, &deleted, out);
    *at = place == 0 ? listpack_end(node->listpack) : place;
    return !deleted;
}

/* Where the entry before `place` begins. */
static uint32_t entry_before(const uint8_t *data, uint32_t place)
{
    place = listpack_prev(data, place); /* its length */
    for (int64_t n = integer_at(data, place); n > 0; n--)
        place = listpack_prev(data, place);
    return place;
}

bool node_prev(const struct stream_node *node, uint32_t *at, struct stream_entry *out)
{
    const uint8_t *data = node->listpack;
    uint32_t first = entries_at(data);
    uint32_t place = *at == 0 ? listpack_end(data) : *at;
    bool deleted = true;
    while (deleted && first != 0 && place > first) {
        place = entry_before(data, place);
        (void)read_entry(node, place, &deleted, out);
    }
    *at = place;
    return !deleted;
}

struct stream_id node_last_id(const struct stream_node *node)
{
    struct stream_entry entry = {.id = {0, 0}};
    bool deleted;
    const uint8_t *data = node->listpack;
    uint32_t first = entries_at(data);
    uint32_t end = listpack_end(data);
    if (first != 0 && end > first)
        (void)read_entry(node, entry_before(data, end), &deleted, &entry);
    return entry.id;
}

void stream_entry_next(struct stream_entry *entry, char field_scratch[24], char value_scratch[24],
                       struct bytes *field, struct bytes *value)
{
    const uint8_t *data = entry->listpack;
    if (entry->field_at != 0) {
        *field = listpack_get_text(data, entry->field_at, field_scratch);
        entry->field_at = listpack_next(data, entry->field_at);
    } else {
        *field = listpack_get_text(data, entry->at, field_scratch);
        entry->at = listpack_next(data, entry->at);
    }
    *value = listpack_get_text(data, entry->at, value_scratch);
    entry->at = listpack_next(data, entry->at);
}

/* ---- Deleting. */

static struct stream_node *mark_deleted(struct stream_node *node, uint32_t at)
{
    struct listpack lp = as_listpack(node);
    int64_t flags = integer_at(listpack_data(&lp), at);
    listpack_replace(&lp, at, listpack_integer(flags | ENTRY_DELETED));
    return as_node(&lp);
}

bool node_delete(struct stream_node **node, struct stream_id id)
{
    struct stream_entry entry;
    bool deleted;
    uint32_t end = listpack_end((*node)->listpack);
    for (uint32_t at = entries_at((*node)->listpack); at != 0 && at < end;) {
        uint32_t next = read_entry(*node, at, &deleted, &entry);
        int order = stream_id_compare(entry.id, id);
        if (order > 0 || (order == 0 && deleted))
            return false;
        if (order == 0) {
            *node = mark_deleted(*node, at);
            *node = set_counts(*node, node_count(*node) - 1, node_deleted(*node) + 1);
            return true;
        }
        at = next;
    }
    return false;
}

uint64_t node_delete_first(struct stream_node **node, uint64_t count, struct stream_id min_id,
                           struct stream_id *last_deleted)
{
    uint64_t done = 0;
    uint32_t at = entries_at((*node)->listpack);
    while (at != 0 && at < listpack_end((*node)->listpack) && done < count) {
        struct stream_entry entry;
        bool deleted;
        uint32_t next = read_entry(*node, at, &deleted, &entry);
        if (stream_id_compare(entry.id, min_id) >= 0)
            break;
        if (!deleted) {
            *node = mark_deleted(*node, at); /* flags keep their size */
            *last_deleted = entry.id;
            done++;
        }
        at = next;
    }
    if (done != 0)
        *node = set_counts(*node, node_count(*node) - done, node_deleted(*node) + done);
    return done;
}

/* ---- Checking. */

/* An integer element; false: none is there, or it is a text. */
static bool check_integer(const uint8_t *data, uint32_t *at, int64_t *out)
{
    struct listpack_value value;
    if (*at == 0)
        return false;
    listpack_get(data, *at, &value);
    if (!value.is_integer)
        return false;
    *out = value.integer;
    *at = listpack_next(data, *at);
    return true;
}

static bool check_skip(const uint8_t *data, uint32_t *at, uint64_t count)
{
    for (; count != 0; count--) {
        if (*at == 0)
            return false;
        *at = listpack_next(data, *at);
    }
    return true;
}

/* One entry. `elements_max` bounds every number of elements. */
static bool check_entry(const uint8_t *data, uint32_t *at, uint64_t master_fields,
                        uint64_t elements_max, bool *deleted)
{
    int64_t flags, ms, seq, len;
    int64_t fields = 0;
    if (!check_integer(data, at, &flags) || !check_integer(data, at, &ms) ||
        !check_integer(data, at, &seq))
        return false;
    bool same = (flags & ENTRY_SAME_FIELDS) != 0;
    if ((flags & ~(int64_t)(ENTRY_SAME_FIELDS | ENTRY_DELETED)) != 0)
        return false;
    if (!same &&
        (!check_integer(data, at, &fields) || fields < 0 || (uint64_t)fields > elements_max / 2))
        return false;
    uint64_t values = same ? master_fields : 2 * (uint64_t)fields;
    if (!check_skip(data, at, values) || !check_integer(data, at, &len))
        return false;
    *deleted = (flags & ENTRY_DELETED) != 0;
    return len >= 0 && (uint64_t)len == values + (same ? 3 : 4);
}

static bool check_node(const uint8_t *data, uint64_t elements, uint64_t *count_out)
{
    uint32_t at = listpack_first(data);
    int64_t count, deleted, fields, zero;
    if (!check_integer(data, &at, &count) || !check_integer(data, &at, &deleted) ||
        !check_integer(data, &at, &fields) || count < 0 || deleted < 0 || fields < 0 ||
        (uint64_t)fields > elements || (uint64_t)count > elements || (uint64_t)deleted > elements)
        return false;
    if (!check_skip(data, &at, (uint64_t)fields) || !check_integer(data, &at, &zero) || zero != 0)
        return false;
    uint64_t live = 0;
    uint64_t gone = 0;
    while (at != 0) {
        bool is_deleted;
        if (!check_entry(data, &at, (uint64_t)fields, elements, &is_deleted))
            return false;
        live += !is_deleted;
        gone += is_deleted;
    }
    *count_out = live;
    return live == (uint64_t)count && gone == (uint64_t)deleted;
}

enum status stream_node_validate(struct bytes listpack, uint64_t *count_out, struct err *err)
{
    uint32_t elements = 0;
    enum status st = listpack_validate(listpack, &elements, err);
    if (st != ST_OK)
        return st;
    if (elements == 0 || !check_node(listpack.data, elements, count_out))
        return err_set(err, ST_CORRUPT, "a stream's node is damaged (%zu bytes)", listpack.len);
    return ST_OK;
}
