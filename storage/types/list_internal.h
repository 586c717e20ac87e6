/* The inside of long lists, shared by list*.c only.
 *
 *   struct list ─► pages, in order ─► slots, in order ─► node: a part (storage/parts.h)
 *
 * A node is a listpack of elements, or one very long element as it is (*plain*). Slots know how
 * many elements and bytes their nodes have; pages know the sums of their slots. So an index is
 * found by adding up pages, then slots, then walking in one node, whatever the list's length.
 *
 * Small lists are packed into their record as a whole. In a large one (list->parts.object_id != 0)
 * nodes and pages are elements on disk, each of which may be in RAM or not: a page that is not has
 * no slots, a slot whose node is not has no node. The sums of all pages are in the record, so that
 * nothing else is needed to know where something would be. Ids are given out once and never used
 * again; a node's begins with the id of the page in which it was made, where it mostly still is.
 *
 *   node part    header | id u64 | kind u8 | listpack, or length u64 and bytes
 *   page part    header | id u64 | image: made when a cut wants it, from what is in `pages`
 *   tombstone    header | id u64
 *
 * Invariants:
 *   L1  no node is empty, no page is empty, no list is empty but between ks_create and its first
 *       element
 *   L2  list->length, ->content and each page's sums are those of the slots below
 *   L3  a page that is changed, or was written by the running cut, is in RAM */
#ifndef BASALT_STORAGE_TYPES_LIST_INTERNAL_H
#define BASALT_STORAGE_TYPES_LIST_INTERNAL_H

#include "codec/endian.h"
#include "codec/listpack.h"
#include "storage/parts.h"
#include "storage/types/list.h"

#define LIST_PAGE_NODES_MAX 256u
#define LIST_SEQ_BITS       24 /* of a node's id: its number among those made in one page */
#define LIST_PAGE_ID_MAX    ((UINT64_C(1) << (64 - LIST_SEQ_BITS)) - 1)

/* part.bits */
enum {
    LIST_PART_PAGE = 2,
    LIST_PART_NEW = 4, /* made since the last cut took parts: the disk has nothing of it */
};

/* What stands behind the part's header. */
enum list_node_kind { LIST_NODE_PACKED = 0, LIST_NODE_PLAIN = 1 };
#define LIST_ID_BYTES   8
#define LIST_KIND_AT    LIST_ID_BYTES
#define LIST_CONTENT_AT (LIST_KIND_AT + 1)
#define LIST_HEAD_BYTES (PART_HEADER_BYTES + LIST_CONTENT_AT) /* before a listpack */
#define LIST_PLAIN_AT   (LIST_CONTENT_AT + 8)

/* Element keys: a kind, then the id, big endian. */
#define LIST_ELEMENT_BYTES 9
#define LIST_ELEMENT_NODE  'N'
#define LIST_ELEMENT_PAGE  'I'

struct list_slot {
    struct part *node; /* owned; NULL: not in RAM (large lists only) */
    uint64_t id;       /* 0 in a small list */
    uint32_t count;    /* of elements */
    uint32_t bytes;    /* of the content, at most UINT32_MAX */
};

struct list_page {
    struct list_slot *slots; /* owned; NULL: not in RAM */
    uint32_t slot_count;
    uint32_t slot_capacity;
    uint64_t id;       /* 0 in a small list */
    uint64_t length;   /* elements of its nodes */
    uint64_t bytes;    /* content bytes of its nodes */
    uint32_t next_seq; /* of the next node that is made in it */
    bool changed;      /* its image has to be written */
    bool stored;       /* the disk, or a cut on its way there, has an image under its id */
};

struct list {
    struct parts parts; /* object_id 0: small */
    uint64_t length;
    uint64_t content;        /* bytes of all nodes' content, in RAM or not */
    size_t bytes;            /* of RAM: nodes, slots */
    struct list_page *pages; /* owned */
    uint32_t page_count, page_capacity;
    uint32_t changed_pages;
    uint32_t drop_page; /* where list_drop_clean goes on */
    uint64_t next_page_id;
    bool as_listpack; /* answers "listpack" although it is large */
};

/* A slot; behind the last: {page_count, 0}. */
struct list_place {
    uint32_t page;
    uint32_t slot;
};

static inline struct list *list_of(const struct object *o)
{
    return o->value.pointer;
}

static inline bool list_is_large(const struct list *list)
{
    return list->parts.object_id != 0;
}

static inline struct list_slot *list_slot_at(const struct list *list, struct list_place place)
{
    return &list->pages[place.page].slots[place.slot];
}

static inline bool list_node_is_plain(const struct part *node)
{
    return node->data[LIST_KIND_AT] == LIST_NODE_PLAIN;
}

static inline const uint8_t *list_node_packed(const struct part *node)
{
    return node->data + LIST_CONTENT_AT;
}

static inline struct bytes list_node_plain(const struct part *node)
{
    return bytes_make(node->data + LIST_PLAIN_AT, load_le64(node->data + LIST_CONTENT_AT));
}

/* Bytes of a node's content, and of the whole part. */
static inline size_t list_node_content(const struct part *node)
{
    return list_node_is_plain(node) ? 8 + list_node_plain(node).len
                                    : listpack_bytes(list_node_packed(node));
}

static inline size_t list_node_bytes(const struct part *node)
{
    return LIST_HEAD_BYTES + list_node_content(node);
}

/* ---- list_pages.c: the structure. */

struct list *list_create(void);
/* An object_free_fn. */
void list_free(void *list);

/* A node that belongs to no list yet, as a packed one without entries or a plain one. */
struct part *list_node_create(void);
struct part *list_node_create_plain(struct bytes element);
/* A packed one with a copy of a listpack. */
struct part *list_node_of(const uint8_t *packed);
/* One with this content (kind byte first, as on disk), which must be valid. */
struct part *list_node_copy(struct bytes content);

/* The slot with element `index`, which is below list->length; *offset_out is its place within. Its
 * page must be in RAM. */
struct list_place list_seek(const struct list *list, uint64_t index, uint64_t *offset_out);
/* Steps; false: there is none (then `place` is behind the last, or unchanged). */
bool list_next(const struct list *list, struct list_place *place);
bool list_prev(const struct list *list, struct list_place *place);
static inline struct list_place list_end_place(const struct list *list)
{
    return (struct list_place){.page = list->page_count, .slot = 0};
}
/* Of a list that is not empty; the page must be in RAM. */
struct list_place list_last_place(const struct list *list);

/* Puts a node before `*place`, which is then its place. */
void list_insert_node(struct list *list, struct list_place *place, struct part *node);
/* Takes a node away, and from the disk; `*place` is then that of the next one. Nodes that are not
 * in RAM can be removed too. */
void list_remove_node(struct list *list, struct list_place *place);
/* Before and after a node's listpack is changed: what it is is then accounted for. It must not
 * become empty. */
struct list_edit {
    struct listpack lp;
    struct list_place place;
    size_t usable;
};
struct list_edit list_edit_begin(struct list *list, struct list_place place);
void list_edit_end(struct list *list, const struct list_edit *edit);

/* Becomes a large one. */
void list_make_large(struct list *list, const struct value_rules *rules);
/* Finds a node of a large list by its id, in a page that is in RAM. */
struct list_slot *list_find_node(const struct list *list, uint64_t id, uint32_t *page_out);
struct list_page *list_find_page(const struct list *list, uint64_t id);
/* Room for a page's slots. */
void list_page_reserve(struct list *list, struct list_page *page, uint32_t count);

static inline size_t list_slots_bytes(uint32_t capacity)
{
    return (size_t)capacity * sizeof(struct list_slot);
}

#endif
