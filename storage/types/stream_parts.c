/* The parts of large streams: their bytes on disk, and bringing them in. See stream.h. */
#include "storage/types/stream_internal.h"
#include "storage/types/stream_reader.h"

#include "codec/check.h"
#include "storage/value_type.h"

#include <stdlib.h>
#include <string.h>

#define KIND_LETTERS      "NPGKE"
#define ELEMENT_BYTES_MAX 24
#define RANGE_PARTS       512 /* of one load */

/* ---- Bytes ------------------------------------------------------------------------------------
 */

static size_t put_be64(uint8_t *at, uint64_t value)
{
    store_be64(at, value);
    return 8;
}

static size_t element_of_node(struct stream_id id, uint8_t out[ELEMENT_BYTES_MAX])
{
    out[0] = 'N';
    (void)put_be64(out + 1, id.ms);
    (void)put_be64(out + 9, id.seq);
    return 17;
}

/* The element key of a part, or of a tombstone, which has its struct's beginning only. */
static size_t element_of(const struct part *part, uint8_t out[ELEMENT_BYTES_MAX])
{
    const void *p = part;
    out[0] = (uint8_t)KIND_LETTERS[part_kind(part)];
    switch (part_kind(part)) {
    case STREAM_NODE:
        return element_of_node(((const struct stream_node *)p)->first, out);
    case STREAM_PAGE:
        return 1 + put_be64(out + 1, ((const struct stream_page_part *)p)->number);
    case STREAM_GROUP:
        store_be32(out + 1, ((const struct stream_group_part *)p)->number);
        return 5;
    case STREAM_CONSUMER:
        store_be32(out + 1, ((const struct stream_consumer_part *)p)->group);
        store_be32(out + 5, ((const struct stream_consumer_part *)p)->number);
        return 9;
    case STREAM_PENDING: {
        const struct stream_pending_part *pending = p;
        store_be32(out + 1, pending->group);
        (void)put_be64(out + 5, pending->id.ms);
        (void)put_be64(out + 13, pending->id.seq);
        return 21;
    }
    }
    CHECK_UNREACHED("a part of a stream");
    return 0;
}

static void put_varint(struct buf *out, uint64_t value)
{
    uint8_t bytes[VARINT_BYTES_MAX];
    buf_append(out, bytes, varint_encode(value, bytes));
}

static void put_name(struct buf *out, const uint8_t *name, uint32_t len)
{
    put_varint(out, len);
    buf_append(out, name, len);
}

void stream_part_value(const struct part *part, struct buf *out)
{
    const void *p = part;
    switch (part_kind(part)) {
    case STREAM_NODE: {
        const struct stream_node *node = p;
        buf_append(out, node->listpack, node_bytes(node));
        break;
    }
    case STREAM_PAGE: {
        const struct stream_page_part *page = p;
        put_varint(out, page->count);
        for (uint32_t i = 0; i < page->count; i++) {
            put_varint(out, page->refs[i].first.ms);
            put_varint(out, page->refs[i].first.seq);
            put_varint(out, page->refs[i].count);
        }
        break;
    }
    case STREAM_GROUP: {
        const struct stream_group_part *group = p;
        put_varint(out, group->next_consumer);
        put_varint(out, group->last_id.ms);
        put_varint(out, group->last_id.seq);
        put_varint(out, (uint64_t)group->entries_read + 1);
        put_name(out, group->name, group->name_len);
        break;
    }
    case STREAM_CONSUMER: {
        const struct stream_consumer_part *consumer = p;
        put_varint(out, (uint64_t)consumer->seen_at_ms);
        put_varint(out, (uint64_t)consumer->active_at_ms + 1);
        put_name(out, consumer->name, consumer->name_len);
        break;
    }
    case STREAM_PENDING: {
        const struct stream_pending_part *pending = p;
        put_varint(out, pending->consumer);
        put_varint(out, (uint64_t)pending->delivered_at_ms);
        put_varint(out, pending->deliveries);
        break;
    }
    }
}

void stream_encode_part(const struct part *part, struct part_sink *sink)
{
    uint8_t element[ELEMENT_BYTES_MAX];
    size_t len = element_of(part, element);
    memcpy(part_element(sink, len), element, len);
    if ((part->bits & PART_GONE) != 0) {
        part_delete(sink, len);
        return;
    }
    if (part_kind(part) == STREAM_NODE) {
        const struct stream_node *node = (const void *)part;
        part_put(sink, len, bytes_make(node->listpack, node_bytes(node)));
        return;
    }
    struct buf value = {0};
    stream_part_value(part, &value);
    part_put(sink, len, buf_bytes(&value));
    buf_deinit(&value);
}

void stream_forget_part(struct object *o, struct part *part)
{
    (void)o;
    (void)part;
    CHECK_UNREACHED("tombstones of streams are orphans");
}

/* ---- Reading ----------------------------------------------------------------------------------
 */

struct stream_group_part *read_group_part(struct stream_reader *r, uint32_t number)
{
    uint32_t next_consumer = read_u32(r);
    struct stream_id last_id = read_id(r);
    uint64_t entries_read = read_varint(r);
    struct bytes name = read_bytes(r);
    if (!r->sound || name.len > UINT32_MAX / 2)
        return NULL;
    struct stream_group_part *part = mem_calloc(1, sizeof(*part) + name.len);
    part->number = number;
    part->next_consumer = next_consumer;
    part->last_id = last_id;
    part->entries_read = (int64_t)(entries_read - 1);
    part->name_len = (uint32_t)name.len;
    if (name.len != 0)
        memcpy(part->name, name.data, name.len);
    return part;
}

struct stream_consumer_part *read_consumer_part(struct stream_reader *r, uint32_t group,
                                                uint32_t number)
{
    int64_t seen_at_ms = (int64_t)read_varint(r);
    int64_t active_at_ms = (int64_t)(read_varint(r) - 1);
    struct bytes name = read_bytes(r);
    if (!r->sound || name.len > UINT32_MAX / 2)
        return NULL;
    struct stream_consumer_part *part = mem_calloc(1, sizeof(*part) + name.len);
    part->group = group;
    part->number = number;
    part->seen_at_ms = seen_at_ms;
    part->active_at_ms = active_at_ms;
    part->name_len = (uint32_t)name.len;
    if (name.len != 0)
        memcpy(part->name, name.data, name.len);
    return part;
}

struct stream_pending_part *read_pending_part(struct stream_reader *r, uint32_t group,
                                              struct stream_id id)
{
    uint32_t consumer = read_u32(r);
    int64_t delivered_at_ms = (int64_t)read_varint(r);
    uint64_t deliveries = read_varint(r);
    if (!r->sound)
        return NULL;
    struct stream_pending_part *part = mem_calloc(1, sizeof(*part));
    part->group = group;
    part->consumer = consumer;
    part->id = id;
    part->delivered_at_ms = delivered_at_ms;
    part->deliveries = deliveries;
    return part;
}

/* A part that was read: clean. */
static void *account_read(struct stream *s, void *part, enum stream_kind kind)
{
    struct part *p = part_of(part);
    memset(p, 0, PART_HEADER_BYTES);
    p->bits = (uint8_t)(kind << 1);
    p->fresh = 1;
    s->bytes += mem_usable_size(part);
    return part;
}

static enum status install_node(struct stream *s, struct stream_id id, struct bytes value)
{
    uint32_t page;
    uint32_t ref;
    uint64_t count;
    if (!stream_find_node(s, id, &page, &ref) ||
        stream_id_compare(stream_page(s, page)->part->refs[ref].first, id) != 0 ||
        stream_page(s, page)->nodes[ref] != NULL)
        return ST_OK; /* it has gone, or is here */
    if (stream_node_validate(value, &count, NULL) != ST_OK)
        return ST_CORRUPT;
    struct stream_node *node = mem_alloc(NODE_HEAD_BYTES + value.len);
    memset(node, 0, NODE_HEAD_BYTES);
    node->first = id;
    memcpy(node->listpack, value.data, value.len);
    stream_page(s, page)->nodes[ref] = account_read(s, node, STREAM_NODE);
    return ST_OK;
}

static enum status install_page(struct stream *s, uint64_t number, struct bytes value)
{
    if (s->page_count != 0 && stream_page(s, s->page_count - 1)->part->number >= number)
        return ST_OK; /* it is here */
    struct stream_reader r = {.at = value.data, .left = value.len, .sound = true};
    uint32_t count = read_u32(&r);
    if (!r.sound || count == 0 || count > STREAM_PAGE_NODES)
        return ST_CORRUPT;
    struct stream_page_part *part = stream_page_part_create(number, count);
    part->count = count;
    struct stream_id last = {0, 0};
    if (s->page_count != 0) {
        const struct stream_page_part *before = stream_page(s, s->page_count - 1)->part;
        last = before->refs[before->count - 1].first;
    }
    for (uint32_t i = 0; i < count; i++) {
        part->refs[i].first = read_id(&r);
        part->refs[i].count = read_varint(&r);
        bool first = i == 0 && s->page_count == 0;
        r.sound = r.sound && (first || stream_id_compare(part->refs[i].first, last) > 0);
        last = part->refs[i].first;
    }
    if (!r.sound || r.left != 0) {
        mem_free(part);
        return ST_CORRUPT;
    }
    (void)stream_push_page(s, account_read(s, part, STREAM_PAGE));
    return ST_OK;
}

static enum status install_group(struct stream *s, uint32_t number, struct stream_reader *r)
{
    if (stream_group_by_number(s, number) != NULL)
        return ST_OK;
    struct stream_group_part *part = read_group_part(r, number);
    if (part == NULL)
        return ST_CORRUPT;
    if (stream_insert_group(s, part)) {
        (void)account_read(s, part, STREAM_GROUP);
        return ST_OK;
    }
    mem_free(part);
    return ST_CORRUPT;
}

static enum status install_consumer(struct stream *s, uint32_t group_number, uint32_t number,
                                    struct stream_reader *r)
{
    const struct stream_group *group = stream_group_by_number(s, group_number);
    if (group != NULL && stream_consumer_by_number(group, number) != NULL)
        return ST_OK;
    struct stream_consumer_part *part = read_consumer_part(r, group_number, number);
    if (part == NULL)
        return ST_CORRUPT;
    if (stream_insert_consumer(s, part)) {
        (void)account_read(s, part, STREAM_CONSUMER);
        return ST_OK;
    }
    mem_free(part);
    return ST_CORRUPT;
}

static enum status install_pending(struct stream *s, uint32_t group_number, struct stream_id id,
                                   struct stream_reader *r)
{
    const struct stream_group *group = stream_group_by_number(s, group_number);
    if (group != NULL && stream_find_pending(group, id) != NULL)
        return ST_OK;
    struct stream_pending_part *part = read_pending_part(r, group_number, id);
    if (part == NULL)
        return ST_CORRUPT;
    if (stream_insert_pending(s, part)) {
        (void)account_read(s, part, STREAM_PENDING);
        return ST_OK;
    }
    mem_free(part);
    return ST_CORRUPT;
}

enum status stream_install_part(struct object *o, struct bytes element, struct bytes value,
                                bool found, const struct value_rules *rules)
{
    (void)rules;
    struct stream *s = stream_of(o);
    const uint8_t *e = element.data;
    struct stream_reader r = {.at = value.data, .left = value.len, .sound = true};
    static const uint8_t lens[] = {17, 9, 5, 9, 21};
    const char *letter = element.len == 0 ? NULL : strchr(KIND_LETTERS, e[0]);
    if (letter == NULL || *letter == '\0' || element.len != lens[letter - KIND_LETTERS])
        return ST_CORRUPT;
    enum stream_kind kind = (enum stream_kind)(letter - KIND_LETTERS);
    if (!found) /* only nodes are asked for by name, and the directory says that they are there */
        return kind == STREAM_NODE ? ST_CORRUPT : ST_OK;
    if (kind != STREAM_NODE && (s->loaded & 1 << kind) != 0)
        return ST_OK;
    switch (kind) {
    case STREAM_NODE:
        return install_node(s, (struct stream_id){load_be64(e + 1), load_be64(e + 9)}, value);
    case STREAM_PAGE:
        return install_page(s, load_be64(e + 1), value);
    case STREAM_GROUP:
        return install_group(s, load_be32(e + 1), &r);
    case STREAM_CONSUMER:
        return install_consumer(s, load_be32(e + 1), load_be32(e + 5), &r);
    case STREAM_PENDING:
        return install_pending(s, load_be32(e + 1),
                               (struct stream_id){load_be64(e + 5), load_be64(e + 13)}, &r);
    }
    return ST_CORRUPT;
}

void stream_installed_range(struct object *o, struct bytes from, struct bytes to)
{
    struct stream *s = stream_of(o);
    const char *letter = strchr(KIND_LETTERS, from.data[0]);
    CHECK(letter != NULL);
    uint32_t kind = (uint32_t)(letter - KIND_LETTERS);
    if (to.len == 1 || to.len > sizeof(s->cursors[kind])) {
        s->loaded |= (uint8_t)(1 << kind);
        return;
    }
    memcpy(s->cursors[kind], to.data, to.len);
    s->cursor_lens[kind] = (uint8_t)to.len;
}

/* ---- Bringing in ------------------------------------------------------------------------------
 */

static struct stream *large_stream(const struct ensure *e)
{
    return e->o->type == OBJECT_STREAM && e->o->large ? stream_of(e->o) : NULL;
}

/* All parts of a kind. */
static enum ensured ensure_kind(struct ensure *e, enum stream_kind kind)
{
    struct stream *s = stream_of(e->o);
    while ((s->loaded & 1 << kind) == 0) {
        uint8_t from[sizeof(s->cursors[kind])] = {(uint8_t)KIND_LETTERS[kind]};
        uint8_t to = (uint8_t)(KIND_LETTERS[kind] + 1);
        size_t len = 1;
        if (s->cursor_lens[kind] != 0) {
            len = s->cursor_lens[kind];
            memcpy(from, s->cursors[kind], len);
        }
        enum ensured got = ensure_range(e, bytes_make(from, len), bytes_make(&to, 1), RANGE_PARTS);
        if (got != ENSURED)
            return got;
    }
    return ENSURED;
}

enum ensured stream_ensure_groups(struct ensure *e)
{
    struct stream *s = large_stream(e);
    if (s == NULL)
        return ENSURED;
    enum ensured got = ensure_kind(e, STREAM_GROUP);
    if (got == ENSURED)
        got = ensure_kind(e, STREAM_CONSUMER);
    if (got == ENSURED)
        got = ensure_kind(e, STREAM_PENDING);
    return got;
}

/* Nodes that a request needs, collected and asked for together. */
struct wanted {
    struct buf keys; /* 17 bytes each */
};

static void want_node(struct wanted *wanted, const struct stream *s, uint32_t page, uint32_t ref)
{
    if (stream_page(s, page)->nodes[ref] != NULL)
        return;
    uint8_t element[ELEMENT_BYTES_MAX];
    buf_append(&wanted->keys, element,
               element_of_node(stream_page(s, page)->part->refs[ref].first, element));
}

static enum ensured ensure_wanted(struct ensure *e, struct wanted *wanted)
{
    enum ensured got = ENSURED;
    size_t count = wanted->keys.len / 17;
    if (count != 0) {
        struct bytes *elements = mem_alloc(count * sizeof(*elements));
        for (size_t i = 0; i < count; i++)
            elements[i] = bytes_make(wanted->keys.data + i * 17, 17);
        got = ensure_parts(e, elements, count);
        mem_free(elements);
    }
    buf_deinit(&wanted->keys);
    return got;
}

enum ensured stream_ensure_tail(struct ensure *e)
{
    struct stream *s = large_stream(e);
    if (s == NULL)
        return ENSURED;
    enum ensured got = ensure_kind(e, STREAM_PAGE);
    if (got != ENSURED || s->page_count == 0)
        return got;
    struct wanted wanted = {{0}};
    want_node(&wanted, s, s->page_count - 1, stream_page(s, s->page_count - 1)->part->count - 1);
    return ensure_wanted(e, &wanted);
}

/* On to the next node; false: that was the last. */
static bool step(const struct stream *s, bool reverse, uint32_t *page, uint32_t *ref)
{
    if (reverse) {
        if (*ref != 0) {
            (*ref)--;
            return true;
        }
        if (*page == 0)
            return false;
        (*page)--;
        *ref = stream_page(s, *page)->part->count - 1;
        return true;
    }
    if (++*ref < stream_page(s, *page)->part->count)
        return true;
    *ref = 0;
    return ++*page < s->page_count;
}

enum ensured stream_ensure_range(struct ensure *e, struct stream_id from, struct stream_id to,
                                 uint64_t count, bool reverse)
{
    struct stream *s = large_stream(e);
    if (s == NULL)
        return ENSURED;
    enum ensured got = ensure_kind(e, STREAM_PAGE);
    if (got != ENSURED || s->page_count == 0 || stream_id_compare(from, to) > 0)
        return got;
    uint32_t page = 0;
    uint32_t ref = 0;
    bool found = stream_find_node(s, reverse ? to : from, &page, &ref);
    if (reverse && !found)
        return ENSURED;
    struct wanted wanted = {{0}};
    uint64_t have = 0;
    bool edge = true; /* of the first node only some entries may count */
    size_t node_bytes = s->node_count == 0 ? 0 : (size_t)(s->stored_bytes / s->node_count);
    size_t bytes = 0;
    for (bool more = true; more; more = step(s, reverse, &page, &ref)) {
        const struct stream_ref *at = &stream_page(s, page)->part->refs[ref];
        if (!reverse && stream_id_compare(at->first, to) > 0)
            break;
        if (count != 0 && have >= count)
            break;
        size_t asked = wanted.keys.len;
        want_node(&wanted, s, page, ref);
        bytes += wanted.keys.len == asked ? 0 : node_bytes;
        have += edge ? 0 : at->count;
        edge = false;
        if (reverse && stream_id_compare(at->first, from) <= 0)
            break;
        if (bytes > e->whole_bytes_max)
            break;
    }
    if (!ensure_takes(e, bytes)) {
        buf_deinit(&wanted.keys);
        return ENSURE_TOO_LARGE;
    }
    return ensure_wanted(e, &wanted);
}

static int compare_ids(const void *a, const void *b)
{
    return stream_id_compare(*(const struct stream_id *)a, *(const struct stream_id *)b);
}

/* Wants the nodes of ascending ids; and behind those that the stream begins with the next one: it
 * begins with that when they lose their entries. */
static void want_nodes(struct wanted *wanted, const struct stream *s, const struct stream_id *ids,
                       size_t count)
{
    uint32_t head_page = 0, head_ref = 0; /* the first node with entries that no id is of */
    bool more = true, moved = false;
    for (size_t i = 0; i < count; i++) {
        uint32_t page, ref;
        if (!stream_find_node(s, ids[i], &page, &ref))
            continue;
        want_node(wanted, s, page, ref);
        for (bool here = true; more && here;) {
            here = page == head_page && ref == head_ref;
            moved = moved || here;
            here = here || stream_page(s, head_page)->part->refs[head_ref].count == 0;
            more = !here || step(s, false, &head_page, &head_ref);
        }
    }
    if (more && moved)
        want_node(wanted, s, head_page, head_ref);
}

enum ensured stream_ensure_ids(struct ensure *e, const struct stream_id *ids, size_t count)
{
    struct stream *s = large_stream(e);
    if (s == NULL)
        return ENSURED;
    enum ensured got = ensure_kind(e, STREAM_PAGE);
    if (got != ENSURED || s->page_count == 0 || count == 0)
        return got;
    struct wanted wanted = {{0}};
    struct stream_id *sorted = mem_alloc(count * sizeof(*sorted));
    memcpy(sorted, ids, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), compare_ids);
    want_nodes(&wanted, s, sorted, count);
    mem_free(sorted);
    return ensure_wanted(e, &wanted);
}

enum ensured stream_ensure_trim(struct ensure *e, const struct stream_trim *trim)
{
    struct stream *s = large_stream(e);
    if (s == NULL)
        return ENSURED;
    enum ensured got = stream_ensure_tail(e);
    if (got != ENSURED || s->page_count == 0)
        return got;
    struct wanted wanted = {{0}};
    uint64_t length = s->length;
    uint32_t page = 0;
    uint32_t ref = 0;
    for (bool more = true; more;) {
        const struct stream_ref *at = &stream_page(s, page)->part->refs[ref];
        uint32_t next_page = page;
        uint32_t next_ref = ref;
        more = step(s, false, &next_page, &next_ref);
        bool whole =
            trim->by_id
                ? more && stream_id_compare(stream_page(s, next_page)->part->refs[next_ref].first,
                                            trim->min_id) <= 0
                : length > trim->length_max && length - at->count >= trim->length_max;
        if (!whole) {
            want_node(&wanted, s, page, ref);
            if (more)
                want_node(&wanted, s, next_page, next_ref);
            break;
        }
        length -= at->count;
        page = next_page;
        ref = next_ref;
    }
    return ensure_wanted(e, &wanted);
}

enum ensured stream_ensure_all(struct ensure *e)
{
    enum ensured got = stream_ensure_groups(e);
    if (got == ENSURED)
        got = stream_ensure_range(e, (struct stream_id){0, 0}, STREAM_ID_MAX, 0, false);
    return got;
}

/* ---- Memory pressure --------------------------------------------------------------------------
 */

/* Nodes leave, one page after the other. */
size_t stream_drop_clean(struct object *o, size_t bytes)
{
    struct stream *s = stream_of(o);
    size_t freed = 0;
    for (uint32_t n = 0; n < s->page_count && freed < bytes; n++) {
        if (s->hand >= s->page_count)
            s->hand = 0;
        struct stream_page *page = stream_page(s, s->hand++);
        for (uint32_t ref = 0; ref < page->part->count; ref++) {
            struct stream_node *node = page->nodes[ref];
            if (node == NULL || part_of(node)->dirty != 0)
                continue;
            if (part_of(node)->fresh || part_of(node)->used) {
                if (part_of(node)->fresh)
                    part_of(node)->fresh = 0;
                else
                    part_of(node)->used = 0;
                continue;
            }
            freed += mem_usable_size(node);
            s->bytes -= mem_usable_size(node);
            mem_free(node);
            page->nodes[ref] = NULL;
        }
    }
    return freed;
}
