/* Consumer groups, consumers and pending entries; see stream.h. */
#include "storage/types/stream_internal.h"

#include "codec/check.h"

#include <string.h>

#define GROUP_KEY_BYTES    offsetof(struct stream_group_part, next_consumer)
#define CONSUMER_KEY_BYTES offsetof(struct stream_consumer_part, seen_at_ms)
#define PENDING_KEY_BYTES  offsetof(struct stream_pending_part, delivered_at_ms)

/* ---- Arrays by name ---------------------------------------------------------------------------
 */

static int compare_names(struct bytes a, struct bytes b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);
    if (order != 0)
        return order;
    return a.len == b.len ? 0 : a.len < b.len ? -1 : 1;
}

/* The place of a group of this name, or where it belongs. */
static bool group_place(const struct stream *s, struct bytes name, uint32_t *place)
{
    uint32_t low = 0;
    uint32_t high = s->group_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare_names(stream_group_name(s->groups[middle]), name);
        if (order == 0) {
            *place = middle;
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *place = low;
    return false;
}

static bool consumer_place(const struct stream_group *group, struct bytes name, uint32_t *place)
{
    uint32_t low = 0;
    uint32_t high = group->consumer_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare_names(stream_consumer_name(group->consumers[middle]), name);
        if (order == 0) {
            *place = middle;
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *place = low;
    return false;
}

/* Inserts a pointer into a sorted array; returns the array. */
static void *insert_at(struct stream *s, void *array, uint32_t *count, uint32_t *capacity,
                       uint32_t place, void *item)
{
    void **items = array;
    if (*count == *capacity) {
        s->bytes -= *capacity * sizeof(*items);
        *capacity = *capacity == 0 ? 1 : *capacity * 2;
        items = mem_realloc(items, *capacity * sizeof(*items));
        s->bytes += *capacity * sizeof(*items);
    }
    memmove(items + place + 1, items + place, (*count - place) * sizeof(*items));
    items[place] = item;
    (*count)++;
    return items;
}

/* ---- Groups -----------------------------------------------------------------------------------
 */

struct stream_group *stream_find_group(const struct stream *s, struct bytes name)
{
    uint32_t place;
    return group_place(s, name, &place) ? s->groups[place] : NULL;
}

struct stream_group *stream_group_by_number(const struct stream *s, uint32_t number)
{
    for (uint32_t i = 0; i < s->group_count; i++)
        if (s->groups[i]->part->number == number)
            return s->groups[i];
    return NULL;
}

bool stream_insert_group(struct stream *s, struct stream_group_part *part)
{
    uint32_t place;
    if (group_place(s, bytes_make(part->name, part->name_len), &place) ||
        stream_group_by_number(s, part->number) != NULL)
        return false;
    struct stream_group *group = mem_calloc(1, sizeof(*group));
    group->part = part;
    s->bytes += sizeof(*group);
    s->groups = insert_at(s, s->groups, &s->group_count, &s->group_capacity, place, group);
    return true;
}

struct stream_group *stream_create_group(struct stream *s, struct bytes name,
                                         struct stream_id last_id, int64_t entries_read)
{
    uint32_t place;
    if (group_place(s, name, &place))
        return NULL;
    struct stream_group_part *part = mem_calloc(1, sizeof(*part) + name.len);
    part->number = s->next_group++;
    part->last_id = last_id;
    part->entries_read = entries_read;
    part->name_len = (uint32_t)name.len;
    if (name.len != 0)
        memcpy(part->name, name.data, name.len);
    stream_add_part(s, part, STREAM_GROUP);
    bool inserted = stream_insert_group(s, part);
    CHECK(inserted);
    return stream_find_group(s, name);
}

void stream_set_group_id(struct stream *s, struct stream_group *group, struct stream_id last_id,
                         int64_t entries_read)
{
    group->part = stream_own_part(s, group->part);
    group->part->last_id = last_id;
    group->part->entries_read = entries_read;
}

void stream_free_group(struct stream_group *group)
{
    struct id_walk walk;
    struct id_entry entry;
    id_walk_init(&walk, &group->pending, (struct stream_id){0, 0});
    while (id_walk_next(&walk, &entry))
        mem_free(entry.value);
    id_index_deinit(&group->pending);
    for (uint32_t i = 0; i < group->consumer_count; i++) {
        id_index_deinit(&group->consumers[i]->pending);
        mem_free(group->consumers[i]->part);
        mem_free(group->consumers[i]);
    }
    mem_free(group->consumers);
    mem_free(group->part);
    mem_free(group);
}

void stream_destroy_group(struct stream *s, struct stream_group *group)
{
    uint32_t place;
    bool found = group_place(s, stream_group_name(group), &place);
    CHECK(found);
    while (group->consumer_count != 0)
        (void)stream_destroy_consumer(s, group, group->consumers[group->consumer_count - 1]);
    s->bytes -= group->consumer_capacity * sizeof(*group->consumers) + sizeof(*group);
    stream_remove_part(s, group->part, GROUP_KEY_BYTES);
    id_index_deinit(&group->pending);
    mem_free(group->consumers);
    mem_free(group);
    s->group_count--;
    memmove(s->groups + place, s->groups + place + 1,
            (s->group_count - place) * sizeof(struct stream_group *));
}

/* ---- Consumers --------------------------------------------------------------------------------
 */

struct stream_consumer *stream_find_consumer(const struct stream_group *group, struct bytes name)
{
    uint32_t place;
    return consumer_place(group, name, &place) ? group->consumers[place] : NULL;
}

struct stream_consumer *stream_consumer_by_number(const struct stream_group *group, uint32_t number)
{
    for (uint32_t i = 0; i < group->consumer_count; i++)
        if (group->consumers[i]->part->number == number)
            return group->consumers[i];
    return NULL;
}

bool stream_insert_consumer(struct stream *s, struct stream_consumer_part *part)
{
    uint32_t place;
    struct stream_group *group = stream_group_by_number(s, part->group);
    if (group == NULL || consumer_place(group, bytes_make(part->name, part->name_len), &place) ||
        stream_consumer_by_number(group, part->number) != NULL)
        return false;
    struct stream_consumer *consumer = mem_calloc(1, sizeof(*consumer));
    consumer->part = part;
    s->bytes += sizeof(*consumer);
    group->consumers = insert_at(s, group->consumers, &group->consumer_count,
                                 &group->consumer_capacity, place, consumer);
    return true;
}

struct stream_consumer *stream_create_consumer(struct stream *s, struct stream_group *group,
                                               struct bytes name, int64_t now_ms)
{
    uint32_t place;
    if (consumer_place(group, name, &place))
        return NULL;
    struct stream_consumer_part *part = mem_calloc(1, sizeof(*part) + name.len);
    group->part = stream_own_part(s, group->part);
    part->group = group->part->number;
    part->number = group->part->next_consumer++;
    part->seen_at_ms = now_ms;
    part->active_at_ms = -1;
    part->name_len = (uint32_t)name.len;
    if (name.len != 0)
        memcpy(part->name, name.data, name.len);
    stream_add_part(s, part, STREAM_CONSUMER);
    bool inserted = stream_insert_consumer(s, part);
    CHECK(inserted);
    return stream_find_consumer(group, name);
}

uint64_t stream_destroy_consumer(struct stream *s, struct stream_group *group,
                                 struct stream_consumer *consumer)
{
    uint32_t place;
    bool found = consumer_place(group, stream_consumer_name(consumer), &place);
    CHECK(found);
    struct id_walk walk;
    struct id_entry entry;
    uint64_t count = consumer->pending.count;
    id_walk_init(&walk, &consumer->pending, (struct stream_id){0, 0});
    while (id_walk_next(&walk, &entry)) {
        (void)id_index_remove(&group->pending, entry.id);
        stream_remove_part(s, entry.value, PENDING_KEY_BYTES);
    }
    s->pending_count -= count;
    id_index_deinit(&consumer->pending);
    stream_remove_part(s, consumer->part, CONSUMER_KEY_BYTES);
    s->bytes -= sizeof(*consumer);
    mem_free(consumer);
    group->consumer_count--;
    memmove(group->consumers + place, group->consumers + place + 1,
            (group->consumer_count - place) * sizeof(struct stream_consumer *));
    return count;
}

void stream_set_consumer_times(struct stream *s, struct stream_consumer *consumer,
                               int64_t seen_at_ms, int64_t active_at_ms)
{
    if (consumer->part->seen_at_ms == seen_at_ms && consumer->part->active_at_ms == active_at_ms)
        return;
    consumer->part = stream_own_part(s, consumer->part);
    consumer->part->seen_at_ms = seen_at_ms;
    consumer->part->active_at_ms = active_at_ms;
}

void stream_touch_consumer(struct stream *s, struct stream_consumer *consumer, int64_t now_ms,
                           bool active)
{
    stream_set_consumer_times(s, consumer, now_ms, active ? now_ms : consumer->part->active_at_ms);
}

/* ---- Pending entries --------------------------------------------------------------------------
 */

bool stream_insert_pending(struct stream *s, struct stream_pending_part *part)
{
    struct stream_group *group = stream_group_by_number(s, part->group);
    struct stream_consumer *consumer =
        group == NULL ? NULL : stream_consumer_by_number(group, part->consumer);
    if (consumer == NULL || id_index_find(&group->pending, part->id) != NULL)
        return false;
    (void)id_index_put(&group->pending, part->id, part);
    (void)id_index_put(&consumer->pending, part->id, part);
    s->pending_count++;
    return true;
}

void stream_put_pending(struct stream *s, struct stream_group *group,
                        struct stream_consumer *consumer, struct stream_id id,
                        int64_t delivered_at_ms, uint64_t deliveries)
{
    struct stream_pending_part *part = id_index_find(&group->pending, id);
    if (part == NULL) {
        part = mem_calloc(1, sizeof(*part));
        part->group = group->part->number;
        part->consumer = consumer->part->number;
        part->id = id;
        stream_add_part(s, part, STREAM_PENDING);
        bool inserted = stream_insert_pending(s, part);
        CHECK(inserted);
    } else {
        if (part->consumer != consumer->part->number) {
            struct stream_consumer *before = stream_consumer_by_number(group, part->consumer);
            (void)id_index_remove(&before->pending, id);
        }
        part = stream_own_part(s, part);
        part->consumer = consumer->part->number;
        (void)id_index_put(&group->pending, id, part);
        (void)id_index_put(&consumer->pending, id, part);
    }
    part->delivered_at_ms = delivered_at_ms;
    part->deliveries = deliveries;
}

bool stream_remove_pending(struct stream *s, struct stream_group *group, struct stream_id id)
{
    struct stream_pending_part *part = id_index_remove(&group->pending, id);
    if (part == NULL)
        return false;
    struct stream_consumer *consumer = stream_consumer_by_number(group, part->consumer);
    (void)id_index_remove(&consumer->pending, id);
    stream_remove_part(s, part, PENDING_KEY_BYTES);
    s->pending_count--;
    return true;
}

int64_t stream_entries_up_to(const struct stream *s, struct stream_id id)
{
    if (s->entries_added == 0)
        return 0;
    int to_last = stream_id_compare(id, s->last_id);
    if ((s->length == 0 && to_last <= 0) || to_last == 0)
        return (int64_t)s->entries_added;
    if (to_last > 0)
        return STREAM_ENTRIES_READ_UNKNOWN;
    int to_first = stream_id_compare(id, s->first_id);
    bool whole = stream_id_is_zero(s->max_deleted_id) ||
                 stream_id_compare(s->max_deleted_id, s->first_id) < 0;
    if (!whole || to_first > 0)
        return STREAM_ENTRIES_READ_UNKNOWN;
    return (int64_t)(s->entries_added - s->length) + (to_first == 0 ? 1 : 0);
}
