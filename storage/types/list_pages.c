/* Pages, slots and nodes of long lists: see list_internal.h. */
#include "storage/types/list_internal.h"

#include "codec/check.h"
#include "codec/mem.h"

#include <string.h>

#define SLOTS_MIN        4u
#define PAGES_MIN        1u
#define SPARSE_NODES_MAX (LIST_PAGE_NODES_MAX / 4) /* a page with fewer looks for company */

struct list *list_create(void)
{
    struct list *list = mem_calloc(1, sizeof(*list));
    list->bytes = mem_usable_size(list);
    return list;
}

/* ---- Parts -------------------------------------------------------------------------------------
 */

static void init_part(struct part *part, uint8_t bits)
{
    memset(part, 0, PART_HEADER_BYTES);
    part->bits = bits;
}

static struct part *init_node(void *block, enum list_node_kind kind)
{
    struct part *node = block;
    init_part(node, LIST_PART_NEW);
    store_le64(node->data, 0);
    node->data[LIST_KIND_AT] = (uint8_t)kind;
    return node;
}

struct part *list_node_create(void)
{
    return init_node(listpack_create(LIST_HEAD_BYTES).block, LIST_NODE_PACKED);
}

struct part *list_node_of(const uint8_t *packed)
{
    return init_node(listpack_copy(packed, LIST_HEAD_BYTES).block, LIST_NODE_PACKED);
}

struct part *list_node_create_plain(struct bytes element)
{
    struct part *node =
        init_node(mem_alloc(PART_HEADER_BYTES + LIST_PLAIN_AT + element.len), LIST_NODE_PLAIN);
    store_le64(node->data + LIST_CONTENT_AT, element.len);
    if (element.len != 0)
        memcpy(node->data + LIST_PLAIN_AT, element.data, element.len);
    return node;
}

struct part *list_node_copy(struct bytes content)
{
    CHECK(content.len > 1);
    struct part *node = init_node(mem_alloc(PART_HEADER_BYTES + LIST_ID_BYTES + content.len),
                                  (enum list_node_kind)content.data[0]);
    memcpy(node->data + LIST_CONTENT_AT, content.data + 1, content.len - 1);
    return node;
}

static struct part *create_tombstone(uint8_t bits, uint64_t id)
{
    struct part *part = mem_alloc(PART_HEADER_BYTES + LIST_ID_BYTES);
    init_part(part, bits | PART_GONE);
    store_le64(part->data, id);
    return part;
}

void list_free(void *value)
{
    struct list *list = value;
    parts_deinit(&list->parts); /* looks at them, so before they go */
    for (uint32_t i = 0; i < list->page_count; i++) {
        struct list_page *page = &list->pages[i];
        for (uint32_t s = 0; page->slots != NULL && s < page->slot_count; s++)
            mem_free(page->slots[s].node);
        mem_free(page->slots);
    }
    mem_free(list->pages);
    mem_free(list);
}

/* ---- Places ------------------------------------------------------------------------------------
 */

bool list_next(const struct list *list, struct list_place *place)
{
    CHECK(place->page < list->page_count);
    if (++place->slot < list->pages[place->page].slot_count)
        return true;
    place->page++;
    place->slot = 0;
    return place->page < list->page_count;
}

bool list_prev(const struct list *list, struct list_place *place)
{
    if (place->slot > 0) {
        place->slot--;
        return true;
    }
    if (place->page == 0)
        return false;
    place->page--;
    place->slot = list->pages[place->page].slot_count - 1;
    return true;
}

struct list_place list_last_place(const struct list *list)
{
    CHECK(list->page_count != 0);
    uint32_t page = list->page_count - 1;
    return (struct list_place){.page = page, .slot = list->pages[page].slot_count - 1};
}

/* The page with an index; `*index` becomes one in it. */
static uint32_t seek_page(const struct list *list, uint64_t *index)
{
    if (*index < list->length / 2) {
        uint32_t page = 0;
        for (; *index >= list->pages[page].length; page++)
            *index -= list->pages[page].length;
        return page;
    }
    uint64_t behind = list->length - *index; /* elements from it to the end */
    uint32_t page = list->page_count - 1;
    for (; behind > list->pages[page].length; page--)
        behind -= list->pages[page].length;
    *index = list->pages[page].length - behind;
    return page;
}

struct list_place list_seek(const struct list *list, uint64_t index, uint64_t *offset_out)
{
    CHECK(index < list->length);
    uint32_t p = seek_page(list, &index);
    const struct list_page *page = &list->pages[p];
    CHECK(page->slots != NULL);
    uint32_t slot = 0;
    if (index < page->length / 2) {
        for (; index >= page->slots[slot].count; slot++)
            index -= page->slots[slot].count;
    } else {
        uint64_t behind = page->length - index;
        slot = page->slot_count - 1;
        for (; behind > page->slots[slot].count; slot--)
            behind -= page->slots[slot].count;
        index = page->slots[slot].count - behind;
    }
    *offset_out = index;
    return (struct list_place){.page = p, .slot = slot};
}

struct list_page *list_find_page(const struct list *list, uint64_t id)
{
    for (uint32_t i = 0; i < list->page_count; i++)
        if (list->pages[i].id == id)
            return &list->pages[i];
    return NULL;
}

static struct list_slot *find_in_page(const struct list_page *page, uint64_t id)
{
    for (uint32_t i = 0; page->slots != NULL && i < page->slot_count; i++)
        if (page->slots[i].id == id)
            return &page->slots[i];
    return NULL;
}

struct list_slot *list_find_node(const struct list *list, uint64_t id, uint32_t *page_out)
{
    const struct list_page *home = list_find_page(list, id >> LIST_SEQ_BITS);
    struct list_slot *slot = home == NULL ? NULL : find_in_page(home, id);
    if (slot != NULL) {
        *page_out = (uint32_t)(home - list->pages);
        return slot;
    }
    for (uint32_t i = 0; i < list->page_count; i++) { /* it has moved since */
        slot = find_in_page(&list->pages[i], id);
        if (slot != NULL) {
            *page_out = i;
            return slot;
        }
    }
    return NULL;
}

/* ---- Pages -------------------------------------------------------------------------------------
 */

static void mark_changed(struct list *list, struct list_page *page)
{
    if (page->changed || !list_is_large(list))
        return;
    page->changed = true;
    list->changed_pages++;
}

void list_page_reserve(struct list *list, struct list_page *page, uint32_t count)
{
    if (count <= page->slot_capacity)
        return;
    uint32_t capacity = page->slot_capacity == 0 ? SLOTS_MIN : page->slot_capacity * 2;
    if (capacity < count)
        capacity = count;
    list->bytes += list_slots_bytes(capacity) - list_slots_bytes(page->slot_capacity);
    page->slots = mem_realloc(page->slots, list_slots_bytes(capacity));
    page->slot_capacity = capacity;
}

static uint64_t new_page_id(struct list *list)
{
    CHECK(list->next_page_id < LIST_PAGE_ID_MAX);
    return list->next_page_id++;
}

static struct list_page *insert_page(struct list *list, uint32_t at)
{
    if (list->page_count == list->page_capacity) {
        uint32_t capacity = list->page_capacity == 0 ? PAGES_MIN : list->page_capacity * 2;
        list->bytes += (capacity - list->page_capacity) * sizeof(*list->pages);
        list->pages = mem_realloc(list->pages, capacity * sizeof(*list->pages));
        list->page_capacity = capacity;
    }
    struct list_page *page = &list->pages[at];
    memmove(page + 1, page, (list->page_count - at) * sizeof(*page));
    list->page_count++;
    *page = (struct list_page){.id = list_is_large(list) ? new_page_id(list) : 0};
    list_page_reserve(list, page, SLOTS_MIN);
    mark_changed(list, page);
    return page;
}

/* The disk's image of a page goes. */
static void delete_image(struct list *list, struct list_page *page)
{
    if (page->stored)
        parts_add_deletion(&list->parts, create_tombstone(LIST_PART_PAGE, page->id));
    page->stored = false;
}

/* A page without slots goes. */
static void remove_page(struct list *list, uint32_t at)
{
    struct list_page *page = &list->pages[at];
    delete_image(list, page);
    if (page->changed)
        list->changed_pages--;
    list->bytes -= list_slots_bytes(page->slot_capacity);
    mem_free(page->slots);
    list->page_count--;
    memmove(page, page + 1, (list->page_count - at) * sizeof(*page));
}

/* Moves the slots of `from` from `first` on to the end of `to`. */
static void move_slots(struct list *list, struct list_page *to, struct list_page *from,
                       uint32_t first)
{
    uint32_t count = from->slot_count - first;
    list_page_reserve(list, to, to->slot_count + count);
    for (uint32_t i = 0; i < count; i++) {
        const struct list_slot *slot = &from->slots[first + i];
        to->slots[to->slot_count + i] = *slot;
        to->length += slot->count;
        from->length -= slot->count;
        to->bytes += slot->bytes;
        from->bytes -= slot->bytes;
    }
    to->slot_count += count;
    from->slot_count = first;
    mark_changed(list, to);
    mark_changed(list, from);
}

/* Makes room for one more slot at `*place`. At the list's ends a new page begins, so that pages of
 * lists that grow there are full; else a full page is split. */
static void make_room(struct list *list, struct list_place *place)
{
    if (list->page_count == 0)
        (void)insert_page(list, 0);
    if (place->page == list->page_count) {
        place->page--;
        place->slot = list->pages[place->page].slot_count;
    }
    if (list->pages[place->page].slots == NULL && place->slot == 0 && place->page != 0) {
        place->page--; /* as well behind the page before */
        place->slot = list->pages[place->page].slot_count;
    }
    struct list_page *page = &list->pages[place->page];
    CHECK(page->slots != NULL);
    if (page->slot_count < LIST_PAGE_NODES_MAX)
        return;
    if (place->page == list->page_count - 1 && place->slot == page->slot_count) {
        (void)insert_page(list, list->page_count);
        *place = (struct list_place){.page = list->page_count - 1};
    } else if (place->page == 0 && place->slot == 0) {
        (void)insert_page(list, 0);
    } else {
        uint32_t half = page->slot_count / 2;
        struct list_page *upper = insert_page(list, place->page + 1);
        move_slots(list, upper, &list->pages[place->page], half);
        if (place->slot > half) {
            place->page++;
            place->slot -= half;
        }
    }
}

/* An id for a node that is made in this page. */
static uint64_t new_node_id(struct list *list, struct list_page *page)
{
    if (page->next_seq == 1u << LIST_SEQ_BITS) { /* so many were made here: a new name for it */
        delete_image(list, page);
        page->id = new_page_id(list);
        page->next_seq = 0;
    }
    return page->id << LIST_SEQ_BITS | page->next_seq++;
}

static void count_slot(struct list *list, struct list_page *page, const struct list_slot *slot)
{
    page->length += slot->count;
    page->bytes += slot->bytes;
    list->length += slot->count;
    list->content += slot->bytes;
    mark_changed(list, page);
}

static void uncount_slot(struct list *list, struct list_page *page, const struct list_slot *slot)
{
    page->length -= slot->count;
    page->bytes -= slot->bytes;
    list->length -= slot->count;
    list->content -= slot->bytes;
    mark_changed(list, page);
}

/* What a slot has to know of its node. */
static void read_node(struct list_slot *slot)
{
    const struct part *node = slot->node;
    size_t bytes = list_node_content(node);
    slot->count = list_node_is_plain(node) ? 1 : listpack_count(list_node_packed(node));
    slot->bytes = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
}

static void enter_parts(struct list *list, struct list_page *page, struct list_slot *slot)
{
    slot->id = new_node_id(list, page);
    store_le64(slot->node->data, slot->id);
    parts_add(&list->parts, slot->node);
}

void list_insert_node(struct list *list, struct list_place *place, struct part *node)
{
    make_room(list, place);
    struct list_page *page = &list->pages[place->page];
    list_page_reserve(list, page, page->slot_count + 1);
    struct list_slot *slot = &page->slots[place->slot];
    memmove(slot + 1, slot, (page->slot_count - place->slot) * sizeof(*slot));
    page->slot_count++;
    *slot = (struct list_slot){.node = node};
    read_node(slot);
    list->bytes += mem_usable_size(node);
    if (list_is_large(list))
        enter_parts(list, page, slot);
    count_slot(list, page, slot);
}

/* A node goes, from RAM and from the disk. */
static void drop_node(struct list *list, struct list_slot *slot)
{
    struct part *node = slot->node;
    struct parts *parts = &list->parts;
    if (node != NULL)
        list->bytes -= mem_usable_size(node);
    if (!list_is_large(list)) {
        mem_free(node);
        return;
    }
    if (node != NULL && parts_is_own(parts, node) && (node->bits & LIST_PART_NEW) != 0) {
        parts_drop(parts, node);
        return;
    }
    struct part *tombstone = create_tombstone(0, slot->id);
    if (node == NULL) {
        parts_add_deletion(parts, tombstone);
        return;
    }
    parts_replace(parts, node, tombstone);
    tombstone->orphan = 1;
}

/* A page that has become sparse takes over the next one if that is sparse, too. */
static void join_sparse(struct list *list, uint32_t at)
{
    struct list_page *page = &list->pages[at];
    if (page->slot_count >= SPARSE_NODES_MAX || at + 1 == list->page_count)
        return;
    struct list_page *next = page + 1;
    if (next->slots == NULL || page->slot_count + next->slot_count > LIST_PAGE_NODES_MAX / 2)
        return;
    move_slots(list, page, next, 0);
    remove_page(list, at + 1);
}

void list_remove_node(struct list *list, struct list_place *place)
{
    struct list_page *page = &list->pages[place->page];
    CHECK(page->slots != NULL);
    CHECK(place->slot < page->slot_count);
    struct list_slot *slot = &page->slots[place->slot];
    uncount_slot(list, page, slot);
    drop_node(list, slot);
    page->slot_count--;
    memmove(slot, slot + 1, (page->slot_count - place->slot) * sizeof(*slot));
    if (page->slot_count == 0) {
        remove_page(list, place->page);
        place->slot = 0;
        return;
    }
    join_sparse(list, place->page);
    if (place->slot == list->pages[place->page].slot_count) {
        place->page++;
        place->slot = 0;
    }
}

/* ---- Changing nodes ----------------------------------------------------------------------------
 */

/* A node whose bytes may be changed: what a cut has taken, or what equals the disk, is copied. */
static struct part *own_node(struct list *list, struct list_slot *slot)
{
    struct part *node = slot->node;
    CHECK(node != NULL);
    if (!list_is_large(list) || parts_is_own(&list->parts, node))
        return node;
    size_t bytes = list_node_bytes(node);
    struct part *copy = mem_alloc(bytes);
    memcpy(copy, node, bytes);
    init_part(copy, (uint8_t)(node->bits & ~LIST_PART_NEW));
    list->bytes += mem_usable_size(copy) - mem_usable_size(node);
    parts_replace(&list->parts, node, copy);
    slot->node = copy;
    return copy;
}

struct list_edit list_edit_begin(struct list *list, struct list_place place)
{
    struct list_slot *slot = list_slot_at(list, place);
    struct part *node = own_node(list, slot);
    CHECK(!list_node_is_plain(node));
    return (struct list_edit){.lp = {.block = (uint8_t *)node, .head = LIST_HEAD_BYTES},
                              .place = place,
                              .usable = mem_usable_size(node)};
}

void list_edit_end(struct list *list, const struct list_edit *edit)
{
    struct list_page *page = &list->pages[edit->place.page];
    struct list_slot *slot = &page->slots[edit->place.slot];
    struct part *node = (struct part *)(void *)edit->lp.block;
    size_t usable = mem_usable_size(node);
    if (list_is_large(list) && (node != slot->node || usable != edit->usable))
        parts_resized(&list->parts, node, edit->usable);
    list->bytes += usable - edit->usable;
    slot->node = node;
    struct list_slot before = *slot;
    read_node(slot);
    CHECK(slot->count != 0); /* L1 */
    page->length += (uint64_t)slot->count - before.count;
    page->bytes += (uint64_t)slot->bytes - before.bytes;
    list->length += (uint64_t)slot->count - before.count;
    list->content += (uint64_t)slot->bytes - before.bytes;
    mark_changed(list, page);
}

void list_make_large(struct list *list, const struct value_rules *rules)
{
    CHECK(!list_is_large(list));
    parts_init(&list->parts, rules->new_id(rules->arg));
    list->next_page_id = 1;
    for (uint32_t i = 0; i < list->page_count; i++) {
        struct list_page *page = &list->pages[i];
        page->id = new_page_id(list);
        for (uint32_t s = 0; s < page->slot_count; s++)
            enter_parts(list, page, &page->slots[s]);
        mark_changed(list, page);
    }
}
