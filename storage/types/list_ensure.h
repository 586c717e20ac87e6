/* Brings into RAM what a request needs of a large list: see storage/ensure.h. Each looks at what is
 * missing now, asks for the pages of its range first, then for the nodes, and is called again after
 * each wait. Lists that are not large, or no lists, need nothing. Main thread. */
#ifndef BASALT_STORAGE_TYPES_LIST_ENSURE_H
#define BASALT_STORAGE_TYPES_LIST_ENSURE_H

#include "storage/ensure.h"
#include "storage/types/list.h"

#include <stdbool.h>
#include <stdint.h>

/* All of it, unless that is more than whole_bytes_max. */
enum ensured list_ensure_all(struct ensure *e);
/* Elements from `from` to `from` + `count` - 1, as far as there are such. */
enum ensured list_ensure_range(struct ensure *e, uint64_t from, uint64_t count);
/* The nodes at which something can be added or taken away at one end, `count` elements from there.
 */
enum ensured list_ensure_end(struct ensure *e, enum list_end end, uint64_t count);
/* For deleting elements `from` to `from` + `count` - 1: what has to be changed; nodes that go as a
 * whole need not come first. */
enum ensured list_ensure_delete(struct ensure *e, uint64_t from, uint64_t count);

#endif
