/* Entries and the directory; see stream.h. */
#include "storage/types/stream_internal.h"

#include "codec/check.h"
#include "storage/value_type.h"

#include <string.h>

#define PAGE_REFS_MIN 1u /* of a page's allocation, which doubles */

/* ---- Parts ------------------------------------------------------------------------------------
 */

void stream_add_part(struct stream *s, void *part, enum stream_kind kind)
{
    struct part *p = part_of(part);
    memset(p, 0, PART_HEADER_BYTES);
    p->bits = (uint8_t)(kind << 1);
    s->bytes += mem_usable_size(part);
    s->stored_bytes += mem_usable_size(part);
    if (stream_is_large(s))
        parts_add(&s->parts, p);
}

void *stream_own_part(struct stream *s, void *part)
{
    struct part *p = part_of(part);
    if (!stream_is_large(s) || parts_is_own(&s->parts, p))
        return part;
    size_t bytes = mem_usable_size(part);
    void *copy = mem_alloc(bytes);
    memcpy(copy, part, bytes);
    memset(copy, 0, PART_HEADER_BYTES - 1);
    parts_replace(&s->parts, p, part_of(copy));
    s->bytes = s->bytes - bytes + mem_usable_size(copy);
    return copy;
}

void stream_part_resized(struct stream *s, void *part, size_t bytes_before)
{
    size_t bytes = mem_usable_size(part);
    s->bytes = s->bytes - bytes_before + bytes;
    s->stored_bytes = s->stored_bytes - bytes_before + bytes;
    if (stream_is_large(s))
        parts_resized(&s->parts, part_of(part), bytes_before);
}

void stream_remove_part(struct stream *s, void *part, size_t key_bytes)
{
    size_t bytes = mem_usable_size(part);
    s->bytes -= bytes;
    s->stored_bytes -= bytes < s->stored_bytes ? bytes : s->stored_bytes;
    if (!stream_is_large(s)) {
        mem_free(part);
        return;
    }
    void *tombstone = mem_alloc(key_bytes);
    memcpy(tombstone, part, key_bytes);
    memset(tombstone, 0, PART_HEADER_BYTES - 1);
    part_of(tombstone)->bits |= PART_GONE;
    parts_replace(&s->parts, part_of(part), part_of(tombstone));
    part_of(tombstone)->orphan = 1; /* in no index */
}

/* ---- The directory ----------------------------------------------------------------------------
 */

struct stream_page_part *stream_page_part_create(uint64_t number, uint32_t capacity)
{
    struct stream_page_part *part = mem_alloc(sizeof(*part) + capacity * sizeof(struct stream_ref));
    memset(part, 0, sizeof(*part));
    part->number = number;
    part->capacity = capacity;
    return part;
}

struct stream_page *stream_push_page(struct stream *s, struct stream_page_part *part)
{
    if (s->first_page + s->page_count == s->page_capacity) {
        if (s->first_page > s->page_capacity / 2) {
            memmove(s->pages, s->pages + s->first_page, s->page_count * sizeof(*s->pages));
            s->first_page = 0;
        } else {
            s->bytes -= s->page_capacity * sizeof(*s->pages);
            s->page_capacity = s->page_capacity == 0 ? 1 : s->page_capacity * 2;
            s->pages = mem_realloc(s->pages, s->page_capacity * sizeof(*s->pages));
            s->bytes += s->page_capacity * sizeof(*s->pages);
        }
    }
    struct stream_page *page = stream_page(s, s->page_count++);
    page->part = part;
    page->nodes = mem_calloc(part->capacity, sizeof(struct stream_node *));
    s->bytes += mem_usable_size(page->nodes);
    return page;
}

static void own_page(struct stream *s, struct stream_page *page)
{
    page->part = stream_own_part(s, page->part);
}

static void grow_page(struct stream *s, struct stream_page *page)
{
    uint32_t capacity = page->part->capacity * 2;
    if (capacity > STREAM_PAGE_NODES)
        capacity = STREAM_PAGE_NODES;
    size_t before = mem_usable_size(page->part);
    page->part =
        mem_realloc(page->part, sizeof(*page->part) + capacity * sizeof(struct stream_ref));
    page->part->capacity = capacity;
    stream_part_resized(s, page->part, before);
    s->bytes -= mem_usable_size(page->nodes);
    page->nodes = mem_realloc(page->nodes, capacity * sizeof(*page->nodes));
    s->bytes += mem_usable_size(page->nodes);
}

/* Lists a node behind all others. */
static void push_node(struct stream *s, struct stream_node *node, uint64_t count)
{
    struct stream_page *page = s->page_count == 0 ? NULL : stream_page(s, s->page_count - 1);
    if (page == NULL || page->part->count == STREAM_PAGE_NODES) {
        struct stream_page_part *part = stream_page_part_create(s->next_page++, PAGE_REFS_MIN);
        stream_add_part(s, part, STREAM_PAGE);
        page = stream_push_page(s, part);
    } else {
        own_page(s, page);
        if (page->part->count == page->part->capacity)
            grow_page(s, page);
    }
    uint32_t at = page->part->count++;
    page->part->refs[at] = (struct stream_ref){.first = node->first, .count = count};
    page->nodes[at] = node;
    s->node_count++;
}

static void remove_page(struct stream *s, uint32_t index)
{
    struct stream_page *page = stream_page(s, index);
    stream_remove_part(s, page->part, offsetof(struct stream_page_part, count));
    s->bytes -= mem_usable_size(page->nodes);
    mem_free(page->nodes);
    s->page_count--;
    if (index == 0)
        s->first_page = s->page_count == 0 ? 0 : s->first_page + 1;
    else
        memmove(page, page + 1, (s->page_count - index) * sizeof(*page));
}

/* Removes a node, in RAM or not, with all of its entries. */
static void remove_node(struct stream *s, uint32_t page_index, uint32_t ref)
{
    struct stream_page *page = stream_page(s, page_index);
    struct stream_node *node = page->nodes[ref];
    if (node != NULL) {
        stream_remove_part(s, node, NODE_HEAD_BYTES);
    } else {
        struct stream_node *tombstone = mem_alloc(NODE_HEAD_BYTES);
        memset(tombstone, 0, NODE_HEAD_BYTES);
        tombstone->first = page->part->refs[ref].first;
        part_of(tombstone)->bits = STREAM_NODE << 1 | PART_GONE;
        parts_add_deletion(&s->parts, part_of(tombstone));
    }
    s->node_count--;
    if (page->part->count == 1) {
        remove_page(s, page_index);
        return;
    }
    own_page(s, page);
    page->part->count--;
    size_t behind = page->part->count - ref;
    memmove(page->part->refs + ref, page->part->refs + ref + 1, behind * sizeof(struct stream_ref));
    memmove(page->nodes + ref, page->nodes + ref + 1, behind * sizeof(*page->nodes));
}

bool stream_find_node(const struct stream *s, struct stream_id id, uint32_t *page_out,
                      uint32_t *ref_out)
{
    if (s->page_count == 0 || stream_id_compare(id, stream_page(s, 0)->part->refs[0].first) < 0)
        return false;
    uint32_t low = 0;
    uint32_t high = s->page_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (stream_id_compare(stream_page(s, middle)->part->refs[0].first, id) <= 0)
            low = middle;
        else
            high = middle;
    }
    const struct stream_page_part *part = stream_page(s, low)->part;
    *page_out = low;
    low = 0;
    high = part->count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (stream_id_compare(part->refs[middle].first, id) <= 0)
            low = middle;
        else
            high = middle;
    }
    *ref_out = low;
    return true;
}

/* Makes a node one that can be changed in place. */
static struct stream_node *own_node(struct stream *s, uint32_t page, uint32_t ref)
{
    struct stream_node **place = &stream_page(s, page)->nodes[ref];
    CHECK(*place != NULL); /* the request has ensured it */
    *place = stream_own_part(s, *place);
    return *place;
}

/* A node has changed, and may have moved from where it was with `bytes_before`. */
static void node_changed(struct stream *s, uint32_t page_index, uint32_t ref,
                         struct stream_node *node, size_t bytes_before)
{
    struct stream_page *page = stream_page(s, page_index);
    page->nodes[ref] = node;
    stream_part_resized(s, node, bytes_before);
    own_page(s, page);
    page->part->refs[ref].count = node_count(node);
}

/* ---- Appending --------------------------------------------------------------------------------
 */

void stream_append(struct stream *s, struct stream_id id, const struct bytes *texts,
                   size_t field_count, const struct stream_limits *limits)
{
    CHECK(stream_id_compare(id, s->last_id) > 0);
    size_t text_bytes = 0;
    for (size_t i = 0; i < 2 * field_count; i++)
        text_bytes += texts[i].len;
    struct stream_node *last = NULL;
    uint32_t page = 0;
    uint32_t ref = 0;
    if (s->page_count != 0) {
        page = s->page_count - 1;
        ref = stream_page(s, page)->part->count - 1;
        last = stream_page(s, page)->nodes[ref];
        CHECK(last != NULL);
    }
    if (last != NULL && node_takes(last, text_bytes, limits)) {
        last = own_node(s, page, ref);
        size_t before = mem_usable_size(last);
        last = node_append(last, id, texts, field_count);
        node_changed(s, page, ref, last, before);
    } else {
        struct stream_node *node = node_create(id, texts, field_count);
        stream_add_part(s, node, STREAM_NODE);
        push_node(s, node, 1);
    }
    if (s->length == 0)
        s->first_id = id;
    s->length++;
    s->entries_added++;
    s->last_id = id;
}

void stream_append_node(struct stream *s, struct stream_id id, struct bytes listpack)
{
    struct stream_node *node = mem_alloc(NODE_HEAD_BYTES + listpack.len);
    memset(node, 0, NODE_HEAD_BYTES);
    node->first = id;
    memcpy(node->listpack, listpack.data, listpack.len);
    stream_add_part(s, node, STREAM_NODE);
    push_node(s, node, node_count(node));
}

/* ---- Deleting ---------------------------------------------------------------------------------
 */

/* The first node that has entries which are not deleted; false: none has. */
static bool find_first_node(const struct stream *s, uint32_t *page, uint32_t *ref)
{
    for (*page = 0; *page < s->page_count; ++*page) {
        const struct stream_page_part *part = stream_page(s, *page)->part;
        for (*ref = 0; *ref < part->count; ++*ref)
            if (part->refs[*ref].count != 0)
                return true;
    }
    return false;
}

void stream_update_first(struct stream *s)
{
    struct stream_walk walk;
    struct stream_entry entry;
    uint32_t page;
    uint32_t ref;
    s->first_id = (struct stream_id){0, 0};
    if (s->length == 0 || !find_first_node(s, &page, &ref))
        return;
    struct stream_id first = stream_page(s, page)->part->refs[ref].first;
    /* While the node is not in RAM its own id is as good as known. */
    s->first_id = first;
    if (stream_page(s, page)->nodes[ref] == NULL)
        return;
    stream_walk_init(&walk, s, first, STREAM_ID_MAX, false);
    if (stream_walk_next(&walk, &entry))
        s->first_id = entry.id;
}

bool stream_delete(struct stream *s, struct stream_id id)
{
    uint32_t page;
    uint32_t ref;
    if (!stream_find_node(s, id, &page, &ref))
        return false;
    if (stream_page(s, page)->nodes[ref] == NULL)
        return false; /* the request has deleted the node that it had looked for */
    struct stream_entry entry;
    struct stream_walk walk;
    stream_walk_init(&walk, s, id, id, false);
    if (!stream_walk_next(&walk, &entry))
        return false;
    uint32_t first_page;
    uint32_t first_ref;
    bool first =
        find_first_node(s, &first_page, &first_ref) && page == first_page && ref == first_ref;
    if (stream_page(s, page)->part->refs[ref].count == 1) {
        remove_node(s, page, ref);
    } else {
        struct stream_node *node = own_node(s, page, ref);
        size_t before = mem_usable_size(node);
        bool found = node_delete(&node, id);
        CHECK(found);
        node_changed(s, page, ref, node, before);
    }
    s->length--;
    if (stream_id_compare(id, s->max_deleted_id) > 0)
        s->max_deleted_id = id;
    if (first)
        stream_update_first(s);
    return true;
}

bool stream_has(const struct stream *s, struct stream_id id)
{
    struct stream_walk walk;
    struct stream_entry entry;
    stream_walk_init(&walk, s, id, id, false);
    return stream_walk_next(&walk, &entry);
}

/* Whether all ids of the first node are below `min_id`. */
static bool first_node_is_below(const struct stream *s, struct stream_id min_id)
{
    const struct stream_page *page = stream_page(s, 0);
    const struct stream_page *next_page = s->page_count > 1 ? stream_page(s, 1) : NULL;
    if (page->part->count > 1 || next_page != NULL) {
        struct stream_id next =
            page->part->count > 1 ? page->part->refs[1].first : next_page->part->refs[0].first;
        if (stream_id_compare(next, min_id) <= 0)
            return true;
    }
    if (stream_id_compare(page->part->refs[0].first, min_id) >= 0)
        return false;
    CHECK(page->nodes[0] != NULL);
    return stream_id_compare(node_last_id(page->nodes[0]), min_id) < 0;
}

/* Trims inside the first node. */
static uint64_t trim_first_node(struct stream *s, const struct stream_trim *trim)
{
    uint64_t count = trim->by_id ? UINT64_MAX : s->length - trim->length_max;
    struct stream_id below = trim->by_id ? trim->min_id : STREAM_ID_MAX;
    struct stream_node *node = own_node(s, 0, 0);
    size_t before = mem_usable_size(node);
    struct stream_id last = {0, 0};
    uint64_t done = node_delete_first(&node, count, below, &last);
    node_changed(s, 0, 0, node, before);
    s->length -= done;
    return done;
}

uint64_t stream_trim(struct stream *s, const struct stream_trim *trim)
{
    uint64_t done = 0;
    while (s->page_count != 0 && (trim->by_id || s->length > trim->length_max)) {
        uint64_t entries = stream_page(s, 0)->part->refs[0].count;
        if (trim->limit != 0 && done + entries > trim->limit)
            break;
        bool whole = trim->by_id ? first_node_is_below(s, trim->min_id)
                                 : s->length - entries >= trim->length_max;
        if (!whole && trim->approximate)
            break;
        if (!whole) {
            if (!trim->by_id ||
                stream_id_compare(stream_page(s, 0)->part->refs[0].first, trim->min_id) < 0)
                done += trim_first_node(s, trim);
            break;
        }
        remove_node(s, 0, 0);
        s->length -= entries;
        done += entries;
    }
    if (done != 0)
        stream_update_first(s);
    return done;
}

/* ---- Walking ----------------------------------------------------------------------------------
 */

void stream_walk_init(struct stream_walk *walk, const struct stream *s, struct stream_id from,
                      struct stream_id to, bool reverse)
{
    *walk = (struct stream_walk){.s = s, .from = from, .to = to, .reverse = reverse};
}

/* Finds the first node of the walk; false: there is none. */
static bool walk_start(struct stream_walk *walk)
{
    const struct stream *s = walk->s;
    walk->started = true;
    if (s->page_count == 0 || stream_id_compare(walk->from, walk->to) > 0)
        return false;
    if (walk->reverse)
        return stream_find_node(s, walk->to, &walk->page, &walk->ref);
    if (!stream_find_node(s, walk->from, &walk->page, &walk->ref)) {
        walk->page = 0;
        walk->ref = 0;
    }
    return true;
}

/* On to the next node. */
static bool walk_node(struct stream_walk *walk)
{
    const struct stream *s = walk->s;
    walk->at = 0;
    if (!walk->reverse) {
        if (++walk->ref < stream_page(s, walk->page)->part->count)
            return true;
        walk->ref = 0;
        return ++walk->page < s->page_count;
    }
    if (walk->ref != 0) {
        walk->ref--;
        return true;
    }
    if (walk->page == 0)
        return false;
    walk->page--;
    walk->ref = stream_page(s, walk->page)->part->count - 1;
    return true;
}

bool stream_walk_next(struct stream_walk *walk, struct stream_entry *out)
{
    const struct stream *s = walk->s;
    if (!walk->started && !walk_start(walk)) {
        walk->page = UINT32_MAX;
        return false;
    }
    while (walk->page < s->page_count) {
        const struct stream_page *page = stream_page(s, walk->page);
        struct stream_id first = page->part->refs[walk->ref].first;
        if (!walk->reverse && stream_id_compare(first, walk->to) > 0)
            break;
        const struct stream_node *node = page->nodes[walk->ref];
        CHECK(node != NULL); /* the request has ensured it */
        while (walk->reverse ? node_prev(node, &walk->at, out) : node_next(node, &walk->at, out)) {
            int after_from = stream_id_compare(out->id, walk->from);
            int before_to = stream_id_compare(out->id, walk->to);
            if (walk->reverse ? after_from < 0 : before_to > 0) {
                walk->page = UINT32_MAX;
                return false;
            }
            if (after_from >= 0 && before_to <= 0) {
                part_of((void *)(uintptr_t)node)->used = 1;
                return true;
            }
        }
        if (walk->reverse && stream_id_compare(first, walk->from) <= 0)
            break; /* what the nodes before have is below, and the request has not ensured them */
        if (!walk_node(walk))
            break;
    }
    walk->page = UINT32_MAX;
    return false;
}

void stream_each_node(const struct stream *s,
                      void (*fn)(void *arg, struct stream_id id, struct bytes listpack), void *arg)
{
    for (uint32_t i = 0; i < s->page_count; i++) {
        const struct stream_page *page = stream_page(s, i);
        for (uint32_t ref = 0; ref < page->part->count; ref++) {
            const struct stream_node *node = page->nodes[ref];
            CHECK(node != NULL);
            fn(arg, node->first, bytes_make(node->listpack, node_bytes(node)));
        }
    }
}

/* ---- Ids --------------------------------------------------------------------------------------
 */

bool stream_id_increment(struct stream_id *id)
{
    if (id->seq != UINT64_MAX) {
        id->seq++;
        return true;
    }
    if (id->ms == UINT64_MAX)
        return false;
    id->ms++;
    id->seq = 0;
    return true;
}

bool stream_id_decrement(struct stream_id *id)
{
    if (id->seq != 0) {
        id->seq--;
        return true;
    }
    if (id->ms == 0)
        return false;
    id->ms--;
    id->seq = UINT64_MAX;
    return true;
}
