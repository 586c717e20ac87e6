#include "storage/types/list.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "codec/number.h"
#include "storage/types/list_internal.h"

#include <limits.h>

#define NODE_COUNT_LIMITED_BYTES_MAX 8192 /* of a node whose size is told in elements */
#define DELETES_AT_ONCE              256

/* ---- Limits ------------------------------------------------------------------------------------
 */

struct node_limits {
    size_t bytes;
    uint64_t count;
};

static struct node_limits limits_of(int node_size)
{
    static const size_t bytes[] = {4096, 8192, 16384, 32768, 65536};
    if (node_size >= 0)
        return (struct node_limits){.bytes = NODE_COUNT_LIMITED_BYTES_MAX,
                                    .count = node_size == 0 ? 1 : (uint64_t)node_size};
    size_t level = (size_t)(-(int64_t)node_size) - 1;
    if (level >= sizeof(bytes) / sizeof(*bytes))
        level = sizeof(bytes) / sizeof(*bytes) - 1;
    return (struct node_limits){.bytes = bytes[level], .count = UINT64_MAX};
}

static bool exceeds(const struct list_rules *rules, size_t bytes, uint64_t count)
{
    struct node_limits limits = limits_of(rules->node_size);
    return bytes > limits.bytes || count > limits.count;
}

/* Whether an element of `len` bytes may be added to a node. The block, not only the listpack, is to
 * stay within the limit, which is a size that the allocator has. */
static bool has_room(const struct list_rules *rules, const struct part *node, size_t len)
{
    if (node == NULL || list_node_is_plain(node) || len >= rules->plain_bytes)
        return false;
    const uint8_t *packed = list_node_packed(node);
    struct node_limits limits = limits_of(rules->node_size);
    size_t bytes = LIST_HEAD_BYTES + listpack_bytes(packed) + len + LISTPACK_ENTRY_EXTRA_BYTES_MAX;
    return bytes <= limits.bytes &&
           (limits.count == UINT64_MAX || listpack_count(packed) < limits.count);
}

/* ---- Two ways of holding -----------------------------------------------------------------------
 */

static struct listpack packed_of(const struct object *o)
{
    return (struct listpack){.block = o->value.pointer, .head = 0};
}

static struct part *create_node(const struct list_rules *rules, struct bytes element)
{
    if (element.len >= rules->plain_bytes)
        return list_node_create_plain(element);
    struct listpack lp = {.block = (uint8_t *)list_node_create(), .head = LIST_HEAD_BYTES};
    listpack_append(&lp, listpack_text(element));
    return (struct part *)(void *)lp.block;
}

/* A list that has grown may be too large to be written as a whole each time. */
static void check_size(struct object *o, const struct list_rules *rules)
{
    struct list *list = list_of(o);
    if (list_is_large(list) || list->content <= rules->values->large_bytes)
        return;
    list_make_large(list, rules->values);
    o->large = 1;
}

void list_init(struct object *o)
{
    o->value.pointer = listpack_create(0).block;
    o->encoding = ENCODING_LISTPACK;
}

uint64_t list_length(const struct object *o)
{
    return o->encoding == ENCODING_LISTPACK ? listpack_count(o->value.pointer) : list_of(o)->length;
}

static void to_quicklist(struct object *o)
{
    struct listpack lp = packed_of(o);
    struct list *list = list_create();
    if (!listpack_is_empty(listpack_data(&lp))) {
        struct list_place place = list_end_place(list);
        list_insert_node(list, &place, list_node_of(listpack_data(&lp)));
    }
    listpack_destroy(&lp);
    o->value.pointer = list;
    o->encoding = ENCODING_QUICKLIST;
}

static void to_listpack(struct object *o)
{
    struct list *list = list_of(o);
    const struct part *node = list->pages[0].slots[0].node;
    struct listpack lp = listpack_copy(list_node_packed(node), 0);
    list_free(list);
    o->value.pointer = lp.block;
    o->encoding = ENCODING_LISTPACK;
}

/* The listpack of a list that is held in one, or answers as if it were. */
static const uint8_t *only_listpack(const struct object *o)
{
    if (o->encoding == ENCODING_LISTPACK)
        return o->value.pointer;
    const struct list *list = list_of(o);
    if (list->page_count != 1 || list->pages[0].slot_count != 1 || list->pages[0].slots == NULL)
        return NULL;
    const struct part *node = list->pages[0].slots[0].node;
    return node == NULL || list_node_is_plain(node) ? NULL : list_node_packed(node);
}

void list_will_grow(struct object *o, const struct list_rules *rules, size_t bytes, uint64_t count)
{
    bool is_listpack = o->encoding == ENCODING_LISTPACK;
    if (!is_listpack && !list_of(o)->as_listpack)
        return;
    const uint8_t *lp = only_listpack(o);
    if (lp != NULL && !exceeds(rules, listpack_bytes(lp) + bytes, listpack_count(lp) + count))
        return;
    if (is_listpack)
        to_quicklist(o);
    else
        list_of(o)->as_listpack = false;
}

/* A listpack again if what there is fits into one `part`th of the limits. */
static void try_listpack(struct object *o, const struct list_rules *rules, unsigned part)
{
    if (o->encoding == ENCODING_LISTPACK || list_of(o)->as_listpack)
        return;
    const uint8_t *lp = only_listpack(o);
    struct node_limits limits = limits_of(rules->node_size);
    if (rules->node_size >= 0)
        limits.bytes = SIZE_MAX;
    if (lp == NULL || listpack_bytes(lp) > limits.bytes / part ||
        listpack_count(lp) > limits.count / part)
        return;
    if (o->large)
        list_of(o)->as_listpack = true;
    else
        to_listpack(o);
}

/* Half of the limits, so that one more element does not change it back at once. */
void list_has_shrunk(struct object *o, const struct list_rules *rules)
{
    try_listpack(o, rules, 2);
}

void list_was_built(struct object *o, const struct list_rules *rules)
{
    try_listpack(o, rules, 1);
}

/* ---- Adding ------------------------------------------------------------------------------------
 */

static void add_to_listpack(struct listpack *lp, enum list_end end, struct bytes element)
{
    if (end == LIST_HEAD)
        listpack_prepend(lp, listpack_text(element));
    else
        listpack_append(lp, listpack_text(element));
}

/* Adds to one end of a node. */
static void add_to_node(struct list *list, struct list_place place, enum list_end end,
                        struct bytes element)
{
    struct list_edit edit = list_edit_begin(list, place);
    add_to_listpack(&edit.lp, end, element);
    list_edit_end(list, &edit);
}

static void push_node(struct list *list, const struct list_rules *rules, enum list_end end,
                      struct bytes element)
{
    if (list->length != 0) {
        struct list_place place = {0};
        if (end == LIST_TAIL)
            place = list_last_place(list);
        if (has_room(rules, list_slot_at(list, place)->node, element.len)) {
            add_to_node(list, place, end, element);
            return;
        }
    }
    struct list_place place = {0};
    if (end == LIST_TAIL)
        place = list_end_place(list);
    list_insert_node(list, &place, create_node(rules, element));
}

void list_push(struct object *o, const struct list_rules *rules, enum list_end end,
               struct bytes element)
{
    if (o->encoding == ENCODING_LISTPACK) {
        struct listpack lp = packed_of(o);
        add_to_listpack(&lp, end, element);
        o->value.pointer = lp.block;
        return;
    }
    push_node(list_of(o), rules, end, element);
    check_size(o, rules);
}

/* Node `place` gives what stands from offset `at` on to a new node behind it, whose place is
 * returned. */
static struct list_place split_node(struct list *list, struct list_place place, uint32_t at)
{
    struct listpack upper = {.block = (uint8_t *)list_node_create(), .head = LIST_HEAD_BYTES};
    struct list_edit edit = list_edit_begin(list, place);
    const uint8_t *packed = listpack_data(&edit.lp);
    uint32_t moved = 0;
    for (uint32_t i = at; i != 0; i = listpack_next(packed, i))
        moved++;
    listpack_insert_entries(&upper, LISTPACK_HEADER_BYTES, packed, at, listpack_end(packed), moved);
    (void)listpack_delete_range(&edit.lp, -(int64_t)moved, moved);
    list_edit_end(list, &edit);
    place.slot++;
    list_insert_node(list, &place, (struct part *)(void *)upper.block);
    return place;
}

static bool is_there(const struct list *list, struct list_place place)
{
    return place.page < list->page_count && list->pages[place.page].slots != NULL;
}

/* Whether the node behind `place` has room in the same one; then they are one. */
static void try_merge(struct list *list, const struct list_rules *rules, struct list_place place)
{
    struct list_place next = place;
    if (!is_there(list, place) || !list_next(list, &next) || !is_there(list, next))
        return;
    const struct part *node = list_slot_at(list, place)->node;
    const struct part *other = list_slot_at(list, next)->node;
    if (node == NULL || other == NULL || list_node_is_plain(node) || list_node_is_plain(other))
        return;
    const uint8_t *packed = list_node_packed(other);
    size_t bytes = LIST_HEAD_BYTES + list_node_content(node) + listpack_bytes(packed);
    uint64_t count = listpack_count(packed);
    if (exceeds(rules, bytes, listpack_count(list_node_packed(node)) + count))
        return;
    struct list_edit edit = list_edit_begin(list, place);
    listpack_insert_entries(&edit.lp, listpack_end(listpack_data(&edit.lp)), packed,
                            LISTPACK_HEADER_BYTES, listpack_end(packed), (uint32_t)count);
    list_edit_end(list, &edit);
    list_remove_node(list, &next);
}

/* Inserts at the border between node `place`, which may be behind the last of its page, and the one
 * before: into one of them, else as a node of its own. Returns the place of what is behind, or of
 * that node. */
static struct list_place insert_between(struct list *list, const struct list_rules *rules,
                                        struct list_place place, struct bytes element)
{
    if (place.page < list->page_count && place.slot == list->pages[place.page].slot_count)
        place = (struct list_place){.page = place.page + 1};
    struct list_place prev = place;
    if (list_prev(list, &prev) && is_there(list, prev) &&
        has_room(rules, list_slot_at(list, prev)->node, element.len))
        add_to_node(list, prev, LIST_TAIL, element);
    else if (is_there(list, place) && has_room(rules, list_slot_at(list, place)->node, element.len))
        add_to_node(list, place, LIST_HEAD, element);
    else
        list_insert_node(list, &place, create_node(rules, element));
    return place;
}

/* Inserts into a node that has no room for it: at its edge if that is where it belongs, else
 * between its two halves. Those are joined with what is next to them where that fits. */
static void insert_beside(struct list *list, const struct list_rules *rules,
                          struct list_place place, uint32_t at, struct bytes element)
{
    const uint8_t *packed = list_node_packed(list_slot_at(list, place)->node);
    if (at == LISTPACK_HEADER_BYTES) {
        (void)insert_between(list, rules, place, element);
        return;
    }
    if (at == listpack_end(packed)) {
        place.slot++;
        (void)insert_between(list, rules, place, element);
        return;
    }
    place = insert_between(list, rules, split_node(list, place, at), element);
    try_merge(list, rules, place);
    if (list_prev(list, &place) && list_prev(list, &place))
        try_merge(list, rules, place);
}

/* Puts an element before entry `at` of a packed node, or (at its end) behind the last. */
static void insert_at(struct list *list, const struct list_rules *rules, struct list_place place,
                      uint32_t at, struct bytes element)
{
    if (!has_room(rules, list_slot_at(list, place)->node, element.len)) {
        insert_beside(list, rules, place, at, element);
        return;
    }
    struct list_edit edit = list_edit_begin(list, place);
    listpack_insert(&edit.lp, at, listpack_text(element));
    list_edit_end(list, &edit);
}

static uint32_t behind(const uint8_t *packed, uint32_t at)
{
    uint32_t next = listpack_next(packed, at);
    return next != 0 ? next : listpack_end(packed);
}

static bool insert_in_listpack(struct object *o, struct bytes pivot, bool after,
                               struct bytes element)
{
    struct listpack lp = packed_of(o);
    const uint8_t *data = listpack_data(&lp);
    uint32_t at = listpack_find(data, listpack_first(data), pivot, 0);
    if (at == 0)
        return false;
    listpack_insert(&lp, after ? behind(data, at) : at, listpack_text(element));
    o->value.pointer = lp.block;
    return true;
}

/* Beside a plain node. */
static void insert_by_plain(struct list *list, const struct list_rules *rules,
                            struct list_place place, bool after, struct bytes element)
{
    if (after)
        place.slot++;
    (void)insert_between(list, rules, place, element);
}

static bool insert_in_nodes(struct list *list, const struct list_rules *rules, struct bytes pivot,
                            bool after, struct bytes element)
{
    struct list_place place = {0};
    if (list->length == 0)
        return false;
    do {
        const struct part *node = list_slot_at(list, place)->node;
        CHECK(node != NULL);
        if (list_node_is_plain(node)) {
            if (!bytes_equal(list_node_plain(node), pivot))
                continue;
            insert_by_plain(list, rules, place, after, element);
            return true;
        }
        const uint8_t *packed = list_node_packed(node);
        uint32_t at = listpack_find(packed, listpack_first(packed), pivot, 0);
        if (at == 0)
            continue;
        insert_at(list, rules, place, after ? behind(packed, at) : at, element);
        return true;
    } while (list_next(list, &place));
    return false;
}

bool list_insert(struct object *o, const struct list_rules *rules, struct bytes pivot, bool after,
                 struct bytes element)
{
    if (o->encoding == ENCODING_LISTPACK)
        return insert_in_listpack(o, pivot, after, element);
    if (!insert_in_nodes(list_of(o), rules, pivot, after, element))
        return false;
    check_size(o, rules);
    return true;
}

/* ---- Replacing ---------------------------------------------------------------------------------
 */

/* Puts a node with one element in the place of another node. */
static void replace_node(struct list *list, const struct list_rules *rules, struct list_place place,
                         struct bytes element)
{
    list_insert_node(list, &place, create_node(rules, element));
    (void)list_next(list, &place);
    list_remove_node(list, &place);
}

static void replace_in_nodes(struct list *list, const struct list_rules *rules, uint64_t index,
                             struct bytes element)
{
    uint64_t offset = 0;
    struct list_place place = list_seek(list, index, &offset);
    const struct part *node = list_slot_at(list, place)->node;
    CHECK(node != NULL);
    if (list_node_is_plain(node)) {
        replace_node(list, rules, place, element);
        return;
    }
    const uint8_t *packed = list_node_packed(node);
    uint32_t at = listpack_seek(packed, (int64_t)offset);
    uint32_t entry_bytes = behind(packed, at) - at;
    bool alone = listpack_count(packed) == 1;
    bool fits = element.len < rules->plain_bytes &&
                (alone || element.len + LISTPACK_ENTRY_EXTRA_BYTES_MAX <= entry_bytes ||
                 has_room(rules, node, element.len));
    if (fits) {
        struct list_edit edit = list_edit_begin(list, place);
        listpack_replace(&edit.lp, at, listpack_text(element));
        list_edit_end(list, &edit);
    } else if (alone) {
        replace_node(list, rules, place, element);
    } else {
        struct list_edit edit = list_edit_begin(list, place);
        listpack_delete(&edit.lp, at);
        list_edit_end(list, &edit);
        insert_at(list, rules, place, at, element);
    }
}

bool list_set(struct object *o, const struct list_rules *rules, uint64_t index,
              struct bytes element)
{
    if (index >= list_length(o))
        return false;
    if (o->encoding == ENCODING_LISTPACK) {
        struct listpack lp = packed_of(o);
        uint32_t at = listpack_seek(listpack_data(&lp), (int64_t)index);
        listpack_replace(&lp, at, listpack_text(element));
        o->value.pointer = lp.block;
        return true;
    }
    replace_in_nodes(list_of(o), rules, index, element);
    check_size(o, rules);
    return true;
}

/* ---- Deleting ----------------------------------------------------------------------------------
 */

static void delete_in_nodes(struct list *list, uint64_t from, uint64_t count)
{
    uint64_t offset = 0;
    struct list_place place = list_seek(list, from, &offset);
    while (count != 0) {
        const struct list_slot *slot = list_slot_at(list, place);
        uint64_t here = slot->count - offset < count ? slot->count - offset : count;
        if (here == slot->count) {
            list_remove_node(list, &place);
        } else {
            struct list_edit edit = list_edit_begin(list, place);
            (void)listpack_delete_range(&edit.lp, (int64_t)offset, (uint32_t)here);
            list_edit_end(list, &edit);
            (void)list_next(list, &place);
        }
        count -= here;
        offset = 0;
    }
}

void list_delete(struct object *o, uint64_t from, uint64_t count)
{
    CHECK(from + count <= list_length(o));
    if (count == 0)
        return;
    if (o->encoding == ENCODING_LISTPACK) {
        struct listpack lp = packed_of(o);
        (void)listpack_delete_range(&lp, (int64_t)from, (uint32_t)count);
        o->value.pointer = lp.block;
        return;
    }
    delete_in_nodes(list_of(o), from, count);
}

/* The offsets of entries that are `element`, at most `count_max` of them, in ascending order; the
 * last ones if `backward`. */
static size_t find_all(const uint8_t *packed, struct bytes element, bool backward,
                       uint64_t count_max, uint32_t **ats_out)
{
    size_t count = 0, capacity = 0;
    uint32_t *ats = NULL;
    uint32_t at = listpack_find(packed, listpack_first(packed), element, 0);
    for (; at != 0 && (backward || count < count_max);) {
        if (count == capacity) {
            capacity = capacity == 0 ? DELETES_AT_ONCE : capacity * 2;
            ats = mem_realloc(ats, capacity * sizeof(*ats));
        }
        ats[count++] = at;
        uint32_t next = listpack_next(packed, at);
        at = next == 0 ? 0 : listpack_find(packed, next, element, 0);
    }
    if (count > count_max) {
        memmove(ats, ats + (count - count_max), count_max * sizeof(*ats));
        count = (size_t)count_max;
    }
    *ats_out = ats;
    return count;
}

static uint64_t remove_from_listpack(struct object *o, struct bytes element, bool backward,
                                     uint64_t count_max)
{
    struct listpack lp = packed_of(o);
    uint32_t *ats;
    size_t count = find_all(listpack_data(&lp), element, backward, count_max, &ats);
    listpack_delete_each(&lp, ats, count);
    mem_free(ats);
    o->value.pointer = lp.block;
    return count;
}

/* Removes from one node, which may go; `*place` is then that of the next one, *gone set. */
static uint64_t remove_from_node(struct list *list, struct list_place *place, struct bytes element,
                                 bool backward, uint64_t count_max, bool *gone)
{
    const struct part *node = list_slot_at(list, *place)->node;
    CHECK(node != NULL);
    *gone = false;
    if (list_node_is_plain(node)) {
        *gone = bytes_equal(list_node_plain(node), element);
        if (*gone)
            list_remove_node(list, place);
        return *gone;
    }
    const uint8_t *packed = list_node_packed(node);
    uint32_t *ats;
    size_t count = find_all(packed, element, backward, count_max, &ats);
    *gone = count == listpack_count(packed);
    if (*gone) {
        list_remove_node(list, place);
    } else if (count != 0) {
        struct list_edit edit = list_edit_begin(list, *place);
        listpack_delete_each(&edit.lp, ats, count);
        list_edit_end(list, &edit);
    }
    mem_free(ats);
    return count;
}

static uint64_t remove_forward(struct list *list, struct bytes element, uint64_t count_max)
{
    struct list_place place = {0};
    uint64_t removed = 0;
    while (place.page < list->page_count && removed < count_max) {
        bool gone;
        removed += remove_from_node(list, &place, element, false, count_max - removed, &gone);
        if (!gone)
            (void)list_next(list, &place);
    }
    return removed;
}

static uint64_t remove_backward(struct list *list, struct bytes element, uint64_t count_max)
{
    struct list_place place = list_end_place(list);
    uint64_t removed = 0;
    while (removed < count_max && list_prev(list, &place)) {
        bool gone;
        removed += remove_from_node(list, &place, element, true, count_max - removed, &gone);
    }
    return removed;
}

uint64_t list_remove(struct object *o, struct bytes element, enum list_end end, uint64_t count_max)
{
    bool backward = end == LIST_TAIL;
    if (o->encoding == ENCODING_LISTPACK)
        return remove_from_listpack(o, element, backward, count_max);
    return backward ? remove_backward(list_of(o), element, count_max)
                    : remove_forward(list_of(o), element, count_max);
}

/* ---- Reading -----------------------------------------------------------------------------------
 */

/* Begins with a node, at its first or last element. */
static void enter_node(struct list_iter *iter, const struct list *list)
{
    struct list_place place = {.page = iter->page, .slot = iter->slot};
    struct part *node = list_slot_at(list, place)->node;
    CHECK(node != NULL);
    node->used = 1;
    iter->node = node;
    iter->packed = list_node_is_plain(node) ? NULL : list_node_packed(node);
    if (iter->packed != NULL)
        iter->at = iter->forward ? listpack_first(iter->packed) : listpack_last(iter->packed);
}

static void leave(struct list_iter *iter)
{
    iter->node = NULL;
    iter->packed = NULL;
    iter->at = 0;
}

void list_iter_init(struct list_iter *iter, const struct object *o, uint64_t index, bool forward)
{
    *iter = (struct list_iter){.o = o, .forward = forward};
    if (index >= list_length(o))
        return;
    if (o->encoding == ENCODING_LISTPACK) {
        iter->packed = o->value.pointer;
        iter->at = listpack_seek(iter->packed, (int64_t)index);
        return;
    }
    uint64_t offset = 0;
    struct list_place place = list_seek(list_of(o), index, &offset);
    iter->page = place.page;
    iter->slot = place.slot;
    enter_node(iter, list_of(o));
    if (iter->packed != NULL)
        iter->at = listpack_seek(iter->packed, (int64_t)offset);
}

static void step_node(struct list_iter *iter)
{
    if (iter->node == NULL) {
        leave(iter);
        return;
    }
    const struct list *list = list_of(iter->o);
    struct list_place place = {.page = iter->page, .slot = iter->slot};
    bool more = iter->forward ? list_next(list, &place) : list_prev(list, &place);
    if (!more) {
        leave(iter);
        return;
    }
    iter->page = place.page;
    iter->slot = place.slot;
    iter->node = NULL; /* entered when asked for: it need not be in RAM otherwise */
    iter->started = true;
}

bool list_iter_next(struct list_iter *iter, struct listpack_value *out)
{
    if (iter->started) {
        iter->started = false;
        enter_node(iter, list_of(iter->o));
    }
    if (iter->packed == NULL) {
        if (iter->node == NULL)
            return false;
        *out = listpack_text(list_node_plain(iter->node));
        step_node(iter);
        return true;
    }
    listpack_get(iter->packed, iter->at, out);
    iter->at = iter->forward ? listpack_next(iter->packed, iter->at)
                             : listpack_prev(iter->packed, iter->at);
    if (iter->at == 0)
        step_node(iter);
    return true;
}

bool list_get(const struct object *o, uint64_t index, struct listpack_value *out)
{
    struct list_iter iter;
    list_iter_init(&iter, o, index, true);
    return list_iter_next(&iter, out);
}

struct list_needle list_needle(struct bytes text)
{
    struct list_needle needle = {.text = text};
    needle.is_integer = number_parse_i64(text, &needle.integer);
    return needle;
}

bool list_read_facts(const struct object *o, struct list_facts *out)
{
    if (o->encoding == ENCODING_LISTPACK || list_of(o)->as_listpack)
        return false;
    const struct list *list = list_of(o);
    *out = (struct list_facts){.content_bytes = list->content};
    for (uint32_t i = 0; i < list->page_count; i++)
        out->nodes += list->pages[i].slot_count;
    return true;
}

void list_visit_nodes(const struct object *o, list_node_fn *fn, void *arg)
{
    if (o->encoding == ENCODING_LISTPACK) {
        const uint8_t *lp = o->value.pointer;
        fn(arg, false, bytes_make(lp, listpack_bytes(lp)));
        return;
    }
    const struct list *list = list_of(o);
    struct list_place place = {0};
    if (list->page_count == 0)
        return;
    do {
        const struct part *node = list_slot_at(list, place)->node;
        CHECK(node != NULL);
        bool plain = list_node_is_plain(node);
        fn(arg, plain,
           plain ? list_node_plain(node)
                 : bytes_make(list_node_packed(node), list_node_content(node)));
    } while (list_next(list, &place));
}
