/* Lists on disk, and what the keyspace, cuts, loads and eviction do with them. Formats: FORMAT.md.
 *
 * Everything that comes from disk is checked before it is used: lengths against what is there,
 * listpacks entry by entry, sums against their parts. */
#include "codec/check.h"
#include "codec/mem.h"
#include "storage/types/list_ensure.h"
#include "storage/types/list_internal.h"

#include <string.h>

/* The record header's encoding. */
enum { RECORD_LISTPACK = 0, RECORD_QUICKLIST = 1 };
enum { LARGE_AS_LISTPACK = 1 }; /* flags of a large list's payload */

#define PAGE_IMAGE_BYTES_ESTIMATE 2048 /* what a changed page adds to a cut, about */
#define PAGE_SUMMARY_BYTES_MAX    (5 * VARINT_BYTES_MAX)
#define LARGE_HEAD_BYTES_MAX      (8 + 1 + 2 * VARINT_BYTES_MAX)
#define FREE_IS_LONG_BYTES        (256 * 1024)

/* ---- Facts -------------------------------------------------------------------------------------
 */

static const char *encoding_name(const struct object *o)
{
    return o->encoding == ENCODING_LISTPACK || list_of(o)->as_listpack ? "listpack" : "quicklist";
}

static size_t value_bytes(const struct object *o)
{
    if (o->encoding == ENCODING_LISTPACK)
        return mem_usable_size(o->value.pointer);
    return list_of(o)->bytes;
}

static size_t dirty_bytes(const struct object *o)
{
    if (o->encoding == ENCODING_LISTPACK)
        return listpack_bytes(o->value.pointer);
    const struct list *list = list_of(o);
    if (!o->large)
        return list->content;
    return list->parts.dirty_bytes + (size_t)list->changed_pages * PAGE_IMAGE_BYTES_ESTIMATE +
           (size_t)list->page_count * 16;
}

static void *take(struct object *o, object_free_fn **free_out)
{
    void *value = o->value.pointer;
    *free_out = o->encoding == ENCODING_LISTPACK ? mem_free : list_free;
    o->value.pointer = NULL;
    o->encoding = ENCODING_NONE;
    o->large = 0;
    return value;
}

static bool free_is_long(const struct object *o)
{
    return o->encoding == ENCODING_QUICKLIST && list_of(o)->bytes > FREE_IS_LONG_BYTES;
}

static struct parts *parts(const struct object *o)
{
    return &list_of(o)->parts;
}

/* ---- Encoding ----------------------------------------------------------------------------------
 */

static void put_varint(struct buf *out, uint64_t value)
{
    out->len += varint_encode(value, buf_reserve(out, VARINT_BYTES_MAX));
}

static void encode_small(const struct list *list, struct buf *out)
{
    uint64_t nodes = 0;
    for (uint32_t i = 0; i < list->page_count; i++)
        nodes += list->pages[i].slot_count;
    put_varint(out, nodes);
    struct list_place place = {0};
    for (uint64_t i = 0; i < nodes; i++, (void)list_next(list, &place)) {
        const struct part *node = list_slot_at(list, place)->node;
        struct bytes content = bytes_make(list_node_packed(node), list_node_content(node));
        if (list_node_is_plain(node))
            content = list_node_plain(node);
        put_varint(out, (uint64_t)content.len << 1 | list_node_is_plain(node));
        buf_append_bytes(out, content);
    }
}

/* A page as the cut is to write it: a part that is nobody's but the cut's. */
static struct part *create_image(const struct list_page *page)
{
    struct buf out = {0};
    uint8_t *head = buf_reserve(&out, PART_HEADER_BYTES + LIST_ID_BYTES + 4);
    memset(head, 0, PART_HEADER_BYTES);
    store_le64(head + PART_HEADER_BYTES, page->id);
    /* where encode_page finds the length */
    out.len = PART_HEADER_BYTES + LIST_ID_BYTES + 4;
    put_varint(&out, page->slot_count);
    for (uint32_t i = 0; i < page->slot_count; i++) {
        const struct list_slot *slot = &page->slots[i];
        put_varint(&out, slot->id);
        put_varint(&out, slot->count);
        put_varint(&out, slot->bytes);
    }
    buf_shrink(&out);
    struct part *part = (struct part *)(void *)out.data;
    part->bits = LIST_PART_PAGE;
    store_le32(part->data + LIST_ID_BYTES,
               (uint32_t)(out.len - PART_HEADER_BYTES - LIST_ID_BYTES - 4));
    return part;
}

/* Gives the cut the images of changed pages. */
static void write_images(struct list *list)
{
    for (uint32_t i = 0; list->changed_pages != 0 && i < list->page_count; i++) {
        struct list_page *page = &list->pages[i];
        if (!page->changed)
            continue;
        struct part *image = create_image(page);
        parts_add(&list->parts, image);
        image->orphan = 1;
        page->changed = false;
        page->stored = true;
        list->changed_pages--;
    }
}

static void encode_large(struct list *list, struct buf *out)
{
    write_images(list);
    uint8_t *head = buf_reserve(out, 9);
    store_le64(head, list->parts.object_id);
    head[8] = list->as_listpack ? LARGE_AS_LISTPACK : 0;
    out->len += 9;
    put_varint(out, list->next_page_id);
    put_varint(out, list->page_count);
    for (uint32_t i = 0; i < list->page_count; i++) {
        const struct list_page *page = &list->pages[i];
        put_varint(out, page->id);
        put_varint(out, page->slot_count);
        put_varint(out, page->length);
        put_varint(out, page->bytes);
        put_varint(out, page->next_seq);
    }
}

static uint8_t encode(const struct object *o, struct buf *payload)
{
    if (o->encoding == ENCODING_LISTPACK) {
        const uint8_t *lp = o->value.pointer;
        buf_append(payload, lp, listpack_bytes(lp));
        return RECORD_LISTPACK;
    }
    if (o->large)
        encode_large(list_of(o), payload);
    else
        encode_small(list_of(o), payload);
    return RECORD_QUICKLIST;
}

static void put_element_key(uint8_t *out, char kind, uint64_t id)
{
    out[0] = (uint8_t)kind;
    store_be64(out + 1, id);
}

static void encode_part(const struct part *part, struct part_sink *sink)
{
    bool is_page = (part->bits & LIST_PART_PAGE) != 0;
    put_element_key(part_element(sink, LIST_ELEMENT_BYTES),
                    is_page ? LIST_ELEMENT_PAGE : LIST_ELEMENT_NODE, load_le64(part->data));
    if ((part->bits & PART_GONE) != 0) {
        part_delete(sink, LIST_ELEMENT_BYTES);
        return;
    }
    const uint8_t *body = part->data + LIST_ID_BYTES;
    struct bytes value = is_page ? bytes_make(body + 4, load_le32(body))
                                 : bytes_make(body, 1 + list_node_content(part));
    part_put(sink, LIST_ELEMENT_BYTES, value);
}

/* Tombstones of lists are orphans: in no index. */
static void forget_part(struct object *o, struct part *part)
{
    (void)o;
    mem_free(part);
}

/* ---- Decoding ----------------------------------------------------------------------------------
 */

static bool get_varint(struct bytes *in, uint64_t *out)
{
    size_t len = varint_decode(*in, out);
    *in = bytes_make(in->data + len, in->len - len);
    return len != 0;
}

static bool get_varint_u32(struct bytes *in, uint32_t *out)
{
    uint64_t value;
    if (!get_varint(in, &value) || value > UINT32_MAX)
        return false;
    *out = (uint32_t)value;
    return true;
}

static bool packed_is_valid(struct bytes packed, uint32_t *count_out)
{
    return listpack_validate(packed, count_out, NULL) == ST_OK && *count_out != 0;
}

static enum status decode_listpack(struct object *o, struct bytes payload)
{
    uint32_t count;
    if (!packed_is_valid(payload, &count))
        return ST_CORRUPT;
    o->value.pointer = listpack_copy(payload.data, 0).block;
    o->encoding = ENCODING_LISTPACK;
    return ST_OK;
}

static bool decode_nodes(struct list *list, struct bytes in)
{
    uint64_t nodes;
    if (!get_varint(&in, &nodes) || nodes == 0)
        return false;
    for (uint64_t i = 0; i < nodes; i++) {
        uint64_t len;
        if (!get_varint(&in, &len) || len >> 1 > in.len)
            return false;
        struct bytes content = bytes_make(in.data, len >> 1);
        in = bytes_make(in.data + content.len, in.len - content.len);
        uint32_t count;
        bool plain = (len & 1) != 0;
        if (!plain && !packed_is_valid(content, &count))
            return false;
        struct list_place place = list_end_place(list);
        list_insert_node(list, &place,
                         plain ? list_node_create_plain(content) : list_node_of(content.data));
    }
    return in.len == 0;
}

static enum status decode_small(struct object *o, struct bytes payload)
{
    struct list *list = list_create();
    if (!decode_nodes(list, payload)) {
        list_free(list);
        return ST_CORRUPT;
    }
    o->value.pointer = list;
    o->encoding = ENCODING_QUICKLIST;
    return ST_OK;
}

static bool decode_page_summary(struct list *list, struct bytes *in, struct list_page *page)
{
    *page = (struct list_page){.stored = true};
    bool read = get_varint(in, &page->id) && get_varint_u32(in, &page->slot_count) &&
                get_varint(in, &page->length) && get_varint(in, &page->bytes) &&
                get_varint_u32(in, &page->next_seq);
    if (!read || page->id == 0 || page->id >= list->next_page_id || page->slot_count == 0 ||
        page->slot_count > LIST_PAGE_NODES_MAX || page->length < page->slot_count ||
        page->next_seq > 1u << LIST_SEQ_BITS || page->length > UINT64_MAX - list->length ||
        page->bytes > UINT64_MAX - list->content)
        return false;
    list->length += page->length;
    list->content += page->bytes;
    return true;
}

static bool decode_pages(struct list *list, struct bytes in)
{
    uint64_t count;
    if (!get_varint(&in, &list->next_page_id) || list->next_page_id > LIST_PAGE_ID_MAX ||
        !get_varint(&in, &count) || count == 0 || count > in.len)
        return false;
    list->pages = mem_alloc((size_t)count * sizeof(*list->pages));
    list->page_capacity = (uint32_t)count;
    list->bytes += (size_t)count * sizeof(*list->pages);
    for (; list->page_count < count; list->page_count++)
        if (!decode_page_summary(list, &in, &list->pages[list->page_count]))
            return false;
    return in.len == 0;
}

static enum status decode_large(struct object *o, struct bytes payload)
{
    if (payload.len < 9 || load_le64(payload.data) == 0 || payload.data[8] > LARGE_AS_LISTPACK)
        return ST_CORRUPT;
    struct list *list = list_create();
    if (!decode_pages(list, bytes_make(payload.data + 9, payload.len - 9))) {
        list_free(list);
        return ST_CORRUPT;
    }
    parts_init(&list->parts, load_le64(payload.data));
    list->parts.stored = true;
    list->as_listpack = payload.data[8] == LARGE_AS_LISTPACK;
    o->value.pointer = list;
    o->encoding = ENCODING_QUICKLIST;
    o->large = 1;
    return ST_OK;
}

static enum status decode(struct object *o, const struct record_header *header,
                          struct bytes payload, const struct value_rules *rules)
{
    (void)rules;
    if (header->encoding == RECORD_LISTPACK && !header->large)
        return decode_listpack(o, payload);
    if (header->encoding != RECORD_QUICKLIST)
        return ST_CORRUPT;
    return header->large ? decode_large(o, payload) : decode_small(o, payload);
}

/* ---- Parts that come from disk -----------------------------------------------------------------
 */

static bool decode_slots(const struct list_page *page, struct bytes in, struct list_slot *slots)
{
    uint32_t count;
    uint64_t length = 0, bytes = 0;
    if (!get_varint_u32(&in, &count) || count != page->slot_count)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        struct list_slot *slot = &slots[i];
        *slot = (struct list_slot){0};
        if (!get_varint(&in, &slot->id) || !get_varint_u32(&in, &slot->count) ||
            !get_varint_u32(&in, &slot->bytes) || slot->id == 0 || slot->count == 0)
            return false;
        length += slot->count;
        bytes += slot->bytes;
    }
    return in.len == 0 && length == page->length && bytes == page->bytes;
}

static enum status install_page(struct list *list, uint64_t id, struct bytes value, bool found)
{
    struct list_page *page = list_find_page(list, id);
    if (page == NULL || page->slots != NULL)
        return ST_OK; /* it has gone, or is here already */
    if (!found)
        return ST_CORRUPT;
    struct list_slot *read = mem_alloc(list_slots_bytes(page->slot_count));
    bool valid = decode_slots(page, value, read);
    if (valid) {
        list_page_reserve(list, page, page->slot_count);
        memcpy(page->slots, read, list_slots_bytes(page->slot_count));
    }
    mem_free(read);
    return valid ? ST_OK : ST_CORRUPT;
}

static bool content_is_valid(const struct list_slot *slot, struct bytes value)
{
    if (value.len <= 1 || (value.len - 1 < UINT32_MAX && value.len - 1 != slot->bytes))
        return false;
    struct bytes content = bytes_make(value.data + 1, value.len - 1);
    uint32_t count = 1;
    if (value.data[0] == LIST_NODE_PACKED)
        return packed_is_valid(content, &count) && count == slot->count;
    return value.data[0] == LIST_NODE_PLAIN && slot->count == 1 && content.len >= 8 &&
           load_le64(content.data) == content.len - 8;
}

static enum status install_node(struct list *list, uint64_t id, struct bytes value, bool found)
{
    uint32_t page;
    struct list_slot *slot = list_find_node(list, id, &page);
    if (slot == NULL || slot->node != NULL)
        return ST_OK;
    if (!found || !content_is_valid(slot, value))
        return ST_CORRUPT;
    struct part *node = list_node_copy(value);
    node->bits = 0;
    node->fresh = 1;
    store_le64(node->data, id);
    slot->node = node;
    list->bytes += mem_usable_size(node);
    return ST_OK;
}

static enum status install_part(struct object *o, struct bytes element, struct bytes value,
                                bool found, const struct value_rules *rules)
{
    (void)rules;
    if (element.len != LIST_ELEMENT_BYTES)
        return ST_CORRUPT;
    uint64_t id = load_be64(element.data + 1);
    if (element.data[0] == LIST_ELEMENT_PAGE)
        return install_page(list_of(o), id, value, found);
    if (element.data[0] == LIST_ELEMENT_NODE)
        return install_node(list_of(o), id, value, found);
    return ST_CORRUPT;
}

/* Lists are asked for by node, never by range. */
static void installed_range(struct object *o, struct bytes from, struct bytes to)
{
    (void)o;
    (void)from;
    (void)to;
}

/* ---- Eviction ----------------------------------------------------------------------------------
 */

/* Frees a node that equals the disk, unless it was used since the last look. */
static size_t drop_node(struct list *list, struct list_slot *slot)
{
    struct part *node = slot->node;
    if (node == NULL || node->dirty != 0)
        return 0;
    if (node->used || node->fresh) {
        node->used = 0;
        node->fresh = 0;
        return 0;
    }
    size_t bytes = mem_usable_size(node);
    mem_free(node);
    slot->node = NULL;
    list->bytes -= bytes;
    return bytes;
}

static size_t drop_from_page(struct list *list, struct list_page *page)
{
    size_t freed = 0;
    bool empty = true;
    for (uint32_t i = 0; page->slots != NULL && i < page->slot_count; i++) {
        freed += drop_node(list, &page->slots[i]);
        empty = empty && page->slots[i].node == NULL;
    }
    if (page->slots == NULL || !empty || page->changed || list->parts.taken != NULL)
        return freed; /* L3 */
    freed += list_slots_bytes(page->slot_capacity);
    list->bytes -= list_slots_bytes(page->slot_capacity);
    mem_free(page->slots);
    page->slots = NULL;
    page->slot_capacity = 0;
    return freed;
}

void list_drop_written(struct object *o)
{
    struct list *list = list_of(o);
    if (list->page_count == 0)
        return;
    struct list_page *last = &list->pages[list->page_count - 1];
    for (uint32_t i = 0; i + 1 < list->page_count; i++)
        (void)drop_from_page(list, &list->pages[i]);
    for (uint32_t i = 0; i + 1 < last->slot_count; i++)
        (void)drop_node(list, &last->slots[i]);
}

static size_t drop_clean(struct object *o, size_t bytes)
{
    struct list *list = list_of(o);
    size_t freed = 0;
    /* Twice round: what was used has lost that mark then. */
    for (uint64_t i = 0; freed < bytes && i < 2 * (uint64_t)list->page_count; i++) {
        if (list->drop_page >= list->page_count)
            list->drop_page = 0;
        freed += drop_from_page(list, &list->pages[list->drop_page++]);
    }
    return freed;
}

/* ---- Copying -----------------------------------------------------------------------------------
 */

static void copy_nodes(struct list *to, const struct list *from)
{
    struct list_place place = {0};
    if (from->page_count == 0)
        return;
    do {
        const struct part *node = list_slot_at(from, place)->node;
        CHECK(node != NULL);
        struct list_place end = list_end_place(to);
        struct bytes content = bytes_make(node->data + LIST_KIND_AT, 1 + list_node_content(node));
        list_insert_node(to, &end, list_node_copy(content));
    } while (list_next(from, &place));
}

static void copy(struct object *to, const struct object *from, const struct value_rules *rules)
{
    to->encoding = from->encoding;
    if (from->encoding == ENCODING_LISTPACK) {
        to->value.pointer = listpack_copy(from->value.pointer, 0).block;
        return;
    }
    struct list *list = list_create();
    copy_nodes(list, list_of(from));
    if (from->large) {
        list_make_large(list, rules);
        list->as_listpack = list_of(from)->as_listpack;
        to->large = 1;
    }
    to->value.pointer = list;
}

/* ---- The table ---------------------------------------------------------------------------------
 */

const struct value_type list_value_type = {
    .encoding_name = encoding_name,
    .bytes = value_bytes,
    .dirty_bytes = dirty_bytes,
    .take = take,
    .free_is_long = free_is_long,
    .encode = encode,
    .decode = decode,
    .copy = copy,
    .parts = parts,
    .encode_part = encode_part,
    .forget_part = forget_part,
    .install_part = install_part,
    .installed_range = installed_range,
    .ensure_all = list_ensure_all,
    .drop_clean = drop_clean,
};
