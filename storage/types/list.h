/* Lists: a listpack while they are small enough for one (*listpack*), else a sequence of nodes with
 * an index over them (*quicklist*), so that both ends and every index are near whatever the length.
 *
 * An object's value is between ks_create and list_init nothing; a list that has become empty is to
 * be deleted by the caller. Changes come between ks_change_begin and ks_change_end. What a call
 * touches of a large list has to be in RAM: list_ensure.h. Main thread. */
#ifndef BASALT_STORAGE_TYPES_LIST_H
#define BASALT_STORAGE_TYPES_LIST_H

#include "codec/bytes.h"
#include "codec/listpack.h"
#include "storage/object.h"
#include "storage/value_type.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct part;

extern const struct value_type list_value_type;

/* How lists are held. */
struct list_rules {
    const struct value_rules *values;
    int node_size;      /* list-max-listpack-size: elements, or -1 to -5 for 4 to 64 KiB */
    size_t plain_bytes; /* elements from this length on get a node of their own, as they are; at
                           most LIST_PLAIN_BYTES_MAX */
};
#define LIST_PLAIN_BYTES_MAX (LISTPACK_BYTES_MAX / 2)

enum list_end { LIST_HEAD, LIST_TAIL };

/* An empty list, in an object fresh from ks_create. */
void list_init(struct object *o);
uint64_t list_length(const struct object *o);

/* Before elements with so many bytes in all are added: a listpack that would become too large
 * becomes a quicklist. As Redis does it, this counts texts only, and is called once per command. */
void list_will_grow(struct object *o, const struct list_rules *rules, size_t bytes, uint64_t count);
/* After elements were removed or replaced: a quicklist may become a listpack again. */
void list_has_shrunk(struct object *o, const struct list_rules *rules);
/* After a list was made as a whole: it may be one that a listpack would do for. */
void list_was_built(struct object *o, const struct list_rules *rules);

void list_push(struct object *o, const struct list_rules *rules, enum list_end end,
               struct bytes element);
/* False: there is no such index. */
bool list_set(struct object *o, const struct list_rules *rules, uint64_t index,
              struct bytes element);
/* Inserts before (or `after`) the first element that is `pivot`; false: there is none. */
bool list_insert(struct object *o, const struct list_rules *rules, struct bytes pivot, bool after,
                 struct bytes element);
/* Deletes the elements from `from` to `from` + `count` - 1, which must exist. */
void list_delete(struct object *o, uint64_t from, uint64_t count);
/* Deletes up to `count_max` elements that are `element`, the first ones from `end` on; returns how
 * many. */
uint64_t list_remove(struct object *o, struct bytes element, enum list_end end, uint64_t count_max);

/* Frees what is clean of a large list but its last node: for one that is made from head to tail and
 * written meanwhile. */
void list_drop_written(struct object *o);

/* ---- Reading. */

/* The element at an index; false: there is none. Borrowed until the list changes. */
bool list_get(const struct object *o, uint64_t index, struct listpack_value *out);

/* Walks from an index to one end; good until the list changes. */
struct list_iter {
    const struct object *o;
    bool forward;
    bool started;
    uint32_t page, slot;
    const struct part *node; /* NULL: a listpack, or at the end */
    const uint8_t *packed;   /* the listpack; NULL: a plain node, or at the end */
    uint32_t at;             /* of the next element in it */
};
void list_iter_init(struct list_iter *iter, const struct object *o, uint64_t index, bool forward);
bool list_iter_next(struct list_iter *iter, struct listpack_value *out);

/* Whether two texts are one, where one of them may be packed as an integer. */
struct list_needle {
    struct bytes text;
    int64_t integer;
    bool is_integer;
};
struct list_needle list_needle(struct bytes text);
static inline bool list_is(const struct listpack_value *value, const struct list_needle *needle)
{
    if (value->is_integer)
        return needle->is_integer && needle->integer == value->integer;
    return bytes_equal(value->text, needle->text);
}

/* Each node from head to tail: a listpack, or (plain) one element as it is. All of them must be in
 * RAM. */
typedef void list_node_fn(void *arg, bool plain, struct bytes content);
void list_visit_nodes(const struct object *o, list_node_fn *fn, void *arg);

/* What DEBUG OBJECT tells of a quicklist; false: it is a listpack. */
struct list_facts {
    uint64_t nodes;
    uint64_t content_bytes;
};
bool list_read_facts(const struct object *o, struct list_facts *out);

#endif
