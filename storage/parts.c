#include "storage/parts.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "codec/record.h"
#include "storage/cold.h"
#include "storage/loader.h"
#include "storage/value_type.h"

#define VECTOR_PLACES_MIN 16u

void parts_init(struct parts *parts, uint64_t object_id)
{
    CHECK(object_id != 0);
    *parts = (struct parts){.object_id = object_id, .dirty_state = 1};
}

void parts_deinit(struct parts *parts)
{
    for (uint32_t i = 0; i < parts->dirty_count; i++)
        if (parts->dirty[i] != NULL && parts->dirty[i]->orphan)
            mem_free(parts->dirty[i]);
    mem_free(parts->dirty);
    parts->dirty = NULL;
    parts->dirty_count = 0;
    parts->dirty_capacity = 0;
    parts->dirty_bytes = 0;
}

/* ---- Changes ----------------------------------------------------------------------------------
 */

static void put_at(struct parts *parts, struct part *part, uint32_t index)
{
    part->list_index = index & PARTS_DIRTY_MAX;
    part->dirty = parts->dirty_state & 3u;
    part->orphan = 0;
    parts->dirty[index] = part;
    parts->dirty_bytes += mem_usable_size(part);
}

void parts_add(struct parts *parts, struct part *part)
{
    if (parts->dirty_count == parts->dirty_capacity) {
        CHECK(parts->dirty_capacity < PARTS_DIRTY_MAX / 2);
        parts->dirty_capacity =
            parts->dirty_capacity == 0 ? VECTOR_PLACES_MIN : parts->dirty_capacity * 2;
        parts->dirty = mem_realloc(parts->dirty, parts->dirty_capacity * sizeof(*parts->dirty));
    }
    part->fresh = 0;
    part->used = 0;
    put_at(parts, part, parts->dirty_count++);
}

/* Takes an own part out of the vector. */
static void leave_vector(struct parts *parts, struct part *part)
{
    uint32_t index = part->list_index;
    CHECK(index < parts->dirty_count);
    CHECK(parts->dirty[index] == part);
    parts->dirty_bytes -= mem_usable_size(part);
    part->dirty = 0;
    if (index == parts->dirty_count - 1)
        parts->dirty_count--;
    else
        parts->dirty[index] = NULL;
}

/* A part that is in no index any more, and not in the own vector. */
static void let_go(struct parts *parts, struct part *part)
{
    if (part->dirty == 0) {
        mem_free(part);
        return;
    }
    CHECK(parts->taken != NULL);
    part->orphan = 1;
    *parts->taken->orphan_bytes += mem_usable_size(part);
}

void parts_replace(struct parts *parts, struct part *old, struct part *part)
{
    if (!parts_is_own(parts, old)) {
        let_go(parts, old);
        parts_add(parts, part);
        return;
    }
    uint32_t index = old->list_index;
    CHECK(parts->dirty[index] == old);
    parts->dirty_bytes -= mem_usable_size(old);
    mem_free(old);
    part->fresh = 0;
    part->used = 0;
    put_at(parts, part, index);
}

void parts_resized(struct parts *parts, struct part *part, size_t bytes_before)
{
    CHECK(parts_is_own(parts, part));
    parts->dirty[part->list_index] = part;
    parts->dirty_bytes = parts->dirty_bytes - bytes_before + mem_usable_size(part);
}

void parts_drop(struct parts *parts, struct part *part)
{
    if (parts_is_own(parts, part))
        leave_vector(parts, part);
    CHECK(part->dirty == 0);
    mem_free(part);
}

void parts_add_loose(struct parts *parts, struct part *part)
{
    parts_add(parts, part);
    part->orphan = 1;
}

void parts_add_deletion(struct parts *parts, struct part *part)
{
    CHECK((part->bits & PART_GONE) != 0);
    parts_add_loose(parts, part);
}

/* ---- Cuts -------------------------------------------------------------------------------------
 */

struct parts_taken *parts_take(struct parts *parts, enum object_type type, uint64_t hash_seed,
                               size_t *orphan_bytes)
{
    if (parts->dirty_count == 0)
        return NULL;
    CHECK(parts->taken == NULL); /* one cut at a time */
    struct parts_taken *taken = mem_alloc(sizeof(*taken));
    *taken = (struct parts_taken){.type = object_value_type(type),
                                  .object_type = type,
                                  .object_id = parts->object_id,
                                  .hash_seed = hash_seed,
                                  .parts = parts,
                                  .items = parts->dirty,
                                  .count = parts->dirty_count,
                                  .bytes = parts->dirty_bytes,
                                  .orphan_bytes = orphan_bytes};
    parts->taken = taken;
    parts->stored = true;
    parts->dirty = NULL;
    parts->dirty_count = 0;
    parts->dirty_capacity = 0;
    parts->dirty_bytes = 0;
    parts->dirty_state = 3 - parts->dirty_state;
    return taken;
}

/* Deletions first: an element may have been deleted and be back under the same key. */
static void encode(const struct parts_taken *taken, struct part_sink sink)
{
    sink.family = (uint8_t)loader_family(taken->object_type);
    sink.hash_seed = taken->hash_seed;
    uint8_t *prefix = buf_reserve(&sink.key, RECORD_ELEMENT_PREFIX_BYTES);
    record_element_prefix_encode(taken->object_id, prefix);
    sink.key.len = RECORD_ELEMENT_PREFIX_BYTES;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < taken->count; i++) {
            const struct part *part = taken->items[i];
            if (part != NULL && ((part->bits & PART_GONE) == 0) == (pass == 1))
                taken->type->encode_part(part, &sink);
        }
    }
    buf_deinit(&sink.key);
    buf_deinit(&sink.value);
}

void parts_encode(const struct parts_taken *taken, struct cold_batch *batch)
{
    encode(taken, (struct part_sink){.batch = batch});
}

void parts_encode_to(const struct parts_taken *taken, part_put_fn *put, void *arg)
{
    encode(taken, (struct part_sink){.put = put, .put_arg = arg});
}

bool parts_finish(struct parts_taken *taken, struct object *o, uint32_t count)
{
    uint32_t end = taken->count - taken->finished < count ? taken->count : taken->finished + count;
    for (; taken->finished < end; taken->finished++) {
        struct part *part = taken->items[taken->finished];
        if (part == NULL)
            continue;
        if (part->orphan) {
            mem_free(part);
            continue;
        }
        part->dirty = 0;
        if (o != NULL && (part->bits & PART_GONE) != 0)
            taken->type->forget_part(o, part);
    }
    if (end < taken->count)
        return true;
    if (taken->parts != NULL)
        taken->parts->taken = NULL;
    return false;
}

void parts_taken_destroy(struct parts_taken *taken)
{
    for (uint32_t i = taken->finished; i < taken->count; i++)
        if (taken->items[i] != NULL && taken->items[i]->orphan)
            mem_free(taken->items[i]);
    mem_free(taken->items);
    mem_free(taken);
}

uint8_t *part_element(struct part_sink *sink, size_t len)
{
    sink->key.len = RECORD_ELEMENT_PREFIX_BYTES;
    return buf_reserve(&sink->key, len);
}

void part_put(struct part_sink *sink, size_t element_len, struct bytes value)
{
    CHECK(value.len != 0);
    struct bytes key = bytes_make(sink->key.data, RECORD_ELEMENT_PREFIX_BYTES + element_len);
    if (sink->put != NULL)
        sink->put(sink->put_arg, key, value);
    else
        cold_batch_put(sink->batch, (enum family)sink->family, key, value);
}

void part_delete(struct part_sink *sink, size_t element_len)
{
    CHECK(sink->put == NULL);
    cold_batch_delete(sink->batch, (enum family)sink->family,
                      bytes_make(sink->key.data, RECORD_ELEMENT_PREFIX_BYTES + element_len));
}
