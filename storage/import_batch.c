/* Sorting goes by the 32 highest bits of the rank in which the batch's records differ, in up to
 * four radix passes (some 10 ns a record, where comparing takes 150); what is equal in these is
 * then put in order by rank and key. Positions are hashes, so that hardly anything is. */
#include "storage/import_internal.h"

#include "codec/mem.h"

#include <string.h>

#define RADIX_BITS        8
#define RADIX_SIZE        (1u << RADIX_BITS)
#define RADIX_PASSES      4
#define RADIX_RECORDS_MIN 256
#define INSERTION_MAX     16

_Static_assert(sizeof(struct import_entry) == 16, "entries and the room to sort them are aligned");

static size_t round_down(size_t capacity)
{
    return capacity / sizeof(struct import_entry) * sizeof(struct import_entry);
}

struct import_batch *import_batch_create(size_t capacity)
{
    struct import_batch *batch = mem_calloc(1, sizeof(*batch));
    CHECK(capacity < UINT32_MAX);
    batch->capacity = round_down(capacity);
    batch->data = mem_try_alloc(batch->capacity);
    if (batch->data != NULL)
        return batch;
    mem_free(batch);
    return NULL;
}

void import_batch_destroy(struct import_batch *batch)
{
    if (batch == NULL)
        return;
    mem_free(batch->data);
    mem_free(batch);
}

void import_batch_clear(struct import_batch *batch)
{
    batch->used = 0;
    batch->count = 0;
    batch->sorted = false;
}

static size_t bytes_needed(const struct import_batch *batch, size_t key_len, size_t value_len)
{
    return batch->used + IMPORT_RECORD_HEAD_BYTES_MAX + key_len + value_len +
           2 * (batch->count + 1) * sizeof(struct import_entry);
}

bool import_batch_has_room(const struct import_batch *batch, size_t key_len, size_t value_len)
{
    return bytes_needed(batch, key_len, value_len) <= batch->capacity;
}

enum status import_batch_enlarge(struct import_batch *batch, size_t key_len, size_t value_len,
                                 struct err *err)
{
    CHECK(batch->count == 0);
    size_t capacity =
        round_down(bytes_needed(batch, key_len, value_len) + sizeof(struct import_entry));
    CHECK(capacity < UINT32_MAX);
    uint8_t *data = mem_try_alloc(capacity);
    if (data == NULL)
        return err_set(err, ST_LIMIT, "out of memory for a record of %zu bytes", capacity);
    mem_free(batch->data);
    batch->data = data;
    batch->capacity = capacity;
    return ST_OK;
}

static struct import_entry *entries_end(const struct import_batch *batch)
{
    return (struct import_entry *)(void *)(batch->data + batch->capacity);
}

struct import_space import_batch_add(struct import_batch *batch, enum family family, uint64_t rank,
                                     size_t key_len, size_t value_len)
{
    DCHECK(import_batch_has_room(batch, key_len, value_len) && !batch->sorted);
    batch->count++;
    *(entries_end(batch) - batch->count) = (struct import_entry){
        .rank = rank, .off = (uint32_t)batch->used, .family = (uint32_t)family};
    uint8_t *out = batch->data + batch->used;
    size_t head = varint_encode(key_len, out);
    head += varint_encode(value_len, out + head);
    batch->used += head + key_len + value_len;
    return (struct import_space){.key = out + head, .value = out + head + key_len};
}

void import_batch_record(const struct import_batch *batch, const struct import_entry *entry,
                         struct import_record *out)
{
    struct bytes from = bytes_make(batch->data + entry->off, batch->used - entry->off);
    uint64_t key_len = 0;
    uint64_t value_len = 0;
    size_t head = varint_decode(from, &key_len);
    head += varint_decode(bytes_make(from.data + head, from.len - head), &value_len);
    out->encoded = bytes_make(from.data, head + (size_t)(key_len + value_len));
    out->key = bytes_make(from.data + head, (size_t)key_len);
    out->value = bytes_make(from.data + head + key_len, (size_t)value_len);
    out->rank = entry->rank;
}

/* ---- Sorting ----------------------------------------------------------------------------------
 */

static struct bytes entry_key(const struct import_batch *batch, const struct import_entry *entry)
{
    struct import_record record;
    import_batch_record(batch, entry, &record);
    return record.key;
}

/* By key, and of the same key the older one first. */
static bool goes_before(const struct import_batch *batch, const struct import_entry *a,
                        const struct import_entry *b)
{
    if (a->rank != b->rank)
        return a->rank < b->rank;
    int order = bytes_compare(entry_key(batch, a), entry_key(batch, b));
    return order != 0 ? order < 0 : a->off < b->off;
}

static void insertion_sort(const struct import_batch *batch, struct import_entry *entries,
                           size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct import_entry entry = entries[i];
        size_t at = i;
        for (; at > 0 && goes_before(batch, &entry, &entries[at - 1]); at--)
            entries[at] = entries[at - 1];
        entries[at] = entry;
    }
}

/* Merges the sorted halves of `entries`. */
static void merge_halves(const struct import_batch *batch, struct import_entry *entries,
                         size_t half, size_t count, struct import_entry *scratch)
{
    memcpy(scratch, entries, half * sizeof(*scratch));
    size_t left = 0;
    size_t right = half;
    for (size_t at = 0; left < half; at++) {
        bool take_right = right < count && goes_before(batch, &entries[right], &scratch[left]);
        entries[at] = take_right ? entries[right++] : scratch[left++];
    }
}

/* For what radix passes leave together: most often two entries, all of them at worst. */
static void merge_sort(const struct import_batch *batch, struct import_entry *entries, size_t count,
                       struct import_entry *scratch)
{
    for (size_t at = 0; at < count; at += INSERTION_MAX)
        insertion_sort(batch, entries + at,
                       count - at < INSERTION_MAX ? count - at : INSERTION_MAX);
    for (size_t width = INSERTION_MAX; width < count; width *= 2)
        for (size_t at = 0; at + width < count; at += 2 * width) {
            size_t both = count - at < 2 * width ? count - at : 2 * width;
            merge_halves(batch, entries + at, width, both, scratch);
        }
}

/* The lowest bit of the ranks that the radix passes look at. */
static unsigned find_shift(const struct import_entry *entries, size_t count)
{
    uint64_t any = 0;
    uint64_t all = UINT64_MAX;
    for (size_t i = 0; i < count; i++) {
        any |= entries[i].rank;
        all &= entries[i].rank;
    }
    uint64_t differing = any & ~all;
    unsigned bits = differing == 0 ? 0 : 64 - (unsigned)__builtin_clzll(differing);
    return bits <= RADIX_BITS * RADIX_PASSES ? 0 : bits - RADIX_BITS * RADIX_PASSES;
}

static uint32_t radix_digit(const struct import_entry *entry, unsigned shift)
{
    return (uint32_t)(entry->rank >> shift) & (RADIX_SIZE - 1);
}

/* Returns which of the two arrays holds the result. */
static struct import_entry *radix_sort(struct import_entry *from, struct import_entry *to,
                                       size_t count, unsigned shift)
{
    for (unsigned pass = 0; pass < RADIX_PASSES; pass++, shift += RADIX_BITS) {
        if (shift >= 64)
            break;
        size_t start[RADIX_SIZE] = {0};
        for (size_t i = 0; i < count; i++)
            start[radix_digit(&from[i], shift)]++;
        if (start[radix_digit(&from[0], shift)] == count)
            continue;
        size_t sum = 0;
        for (size_t digit = 0; digit < RADIX_SIZE; digit++) {
            size_t here = start[digit];
            start[digit] = sum;
            sum += here;
        }
        for (size_t i = 0; i < count; i++)
            to[start[radix_digit(&from[i], shift)]++] = from[i];
        struct import_entry *swap = from;
        from = to;
        to = swap;
    }
    return from;
}

/* Sorts what is in `from`; the result is in `to`. */
static void sort_family(const struct import_batch *batch, struct import_entry *from,
                        struct import_entry *to, size_t count)
{
    unsigned shift = 64;
    struct import_entry *sorted = from;
    if (count >= RADIX_RECORDS_MIN) {
        shift = find_shift(from, count);
        sorted = radix_sort(from, to, count, shift);
    }
    if (sorted != to && count > 0)
        memcpy(to, sorted, count * sizeof(*to));
    if (shift >= 64) {
        merge_sort(batch, to, count, from);
        return;
    }
    for (size_t at = 0; at < count;) {
        size_t end = at + 1;
        while (end < count && to[end].rank >> shift == to[at].rank >> shift)
            end++;
        if (end - at > 1)
            merge_sort(batch, to + at, end - at, from);
        at = end;
    }
}

/* Moves the last entry of each key to `to`; returns how many there are. */
static size_t drop_older(const struct import_batch *batch, const struct import_entry *from,
                         size_t count, struct import_entry *to, import_dropped_fn *dropped,
                         void *arg)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        bool gives_way = i + 1 < count && from[i].rank == from[i + 1].rank &&
                         bytes_equal(entry_key(batch, &from[i]), entry_key(batch, &from[i + 1]));
        if (gives_way) {
            struct import_record record;
            import_batch_record(batch, &from[i], &record);
            dropped(arg, (enum family)from[i].family, &record);
        } else {
            to[kept++] = from[i];
        }
    }
    return kept;
}

void import_batch_sort(struct import_batch *batch, import_dropped_fn *dropped, void *arg)
{
    CHECK(!batch->sorted);
    struct import_entry *entries = entries_end(batch) - batch->count;
    struct import_entry *scratch = entries - batch->count;
    size_t start[FAMILY_COUNT + 1] = {0};
    for (size_t i = 0; i < batch->count; i++)
        start[entries[i].family + 1]++;
    for (size_t family = 0; family < FAMILY_COUNT; family++)
        start[family + 1] += start[family];
    size_t next[FAMILY_COUNT];
    memcpy(next, start, sizeof(next));
    for (size_t i = 0; i < batch->count; i++)
        scratch[next[entries[i].family]++] = entries[i];
    size_t kept = 0;
    for (size_t family = 0; family < FAMILY_COUNT; family++) {
        size_t count = start[family + 1] - start[family];
        sort_family(batch, scratch + start[family], entries + start[family], count);
        batch->family_start[family] = kept;
        kept += drop_older(batch, entries + start[family], count, entries + kept, dropped, arg);
    }
    batch->family_start[FAMILY_COUNT] = kept;
    batch->entries = entries;
    batch->sorted = true;
}
