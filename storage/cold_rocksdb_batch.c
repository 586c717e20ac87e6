/* Batches: an arena that the main thread fills, and its sorted form for RocksDB.
 *
 * Filling must be cheap, since it runs on the main thread; RocksDB takes ascending keys several
 * times faster than random ones (0.4 against 2.5 us each), and a batch is sorted as well on any
 * thread. So filling copies entries into chunks in the order they come, and sealing (in cold_write)
 * sorts an index of them, drops all but the last entry of a key, writes RocksDB's batch and frees
 * the chunks.
 *
 * At its peak, inside cold_write, a batch takes twice its bytes, and RocksDB's memtables once more.
 *
 * Entry in a chunk: header, key, value, one after the other, unaligned. Chunks are walked in the
 * order of their making, so that the last of equal keys is the latest. */
#include <string.h>
#include <sys/mman.h>

#include "codec/buf.h"
#include "codec/check.h"
#include "codec/mem.h"
#include "storage/cold.h"
#include "storage/cold_rocksdb_internal.h"

#define FIRST_CHUNK_BYTES ((size_t)64 << 10)
#define CHUNK_BYTES       ((size_t)1 << 20)
#define VALUE_LEN_DELETE  UINT32_MAX
/* RocksDB's entry: type, family, two lengths. */
#define ENTRY_OVERHEAD_MAX 12
/* Below this a batch may grow by doubling. */
#define RESERVE_BYTES_MIN ((size_t)256 << 10)
/* How far ahead of its use an entry is fetched into the cache. */
#define PREFETCH_DISTANCE 8

struct entry_header {
    uint32_t key_len;
    uint32_t value_len; /* VALUE_LEN_DELETE: a deletion */
    uint32_t family;
};

struct chunk {
    struct chunk *next;
    size_t capacity;
    size_t len;
    uint8_t data[];
};

struct range {
    enum family family;
    struct buf lower;
    struct buf upper;
};

struct cold_batch {
    struct chunk *first;
    struct chunk *last;
    size_t counts[FAMILY_COUNT]; /* puts and deletes */
    size_t count;                /* with range deletions */
    size_t bytes;                /* of headers, keys and values */
    struct range *ranges;
    size_t range_count;
    rocksdb_writebatch_t *sealed; /* owned; set by sealing, when the chunks go */
};

static struct chunk *create_chunk(size_t size)
{
    struct chunk *chunk = mem_alloc(size);
    *chunk = (struct chunk){.capacity = size - sizeof(*chunk)};
    return chunk;
}

struct cold_batch *cold_batch_create(void)
{
    struct cold_batch *batch = mem_calloc(1, sizeof(*batch));
    batch->first = batch->last = create_chunk(FIRST_CHUNK_BYTES);
    return batch;
}

static void free_chunks(struct chunk *chunk)
{
    while (chunk != NULL) {
        struct chunk *next = chunk->next;
        mem_free(chunk);
        chunk = next;
    }
}

static void drop_contents(struct cold_batch *batch)
{
    for (size_t i = 0; i < batch->range_count; i++) {
        buf_deinit(&batch->ranges[i].lower);
        buf_deinit(&batch->ranges[i].upper);
    }
    mem_free(batch->ranges);
    if (batch->sealed != NULL)
        rocksdb_writebatch_destroy(batch->sealed);
}

void cold_batch_destroy(struct cold_batch *batch)
{
    if (batch == NULL)
        return;
    drop_contents(batch);
    free_chunks(batch->first);
    mem_free(batch);
}

/* Leaves one empty chunk of the first size. */
static void reset_chunks(struct cold_batch *batch)
{
    free_chunks(batch->first->next);
    batch->first->next = NULL;
    batch->first->len = 0;
    batch->last = batch->first;
}

void cold_batch_clear(struct cold_batch *batch)
{
    drop_contents(batch);
    reset_chunks(batch);
    struct chunk *first = batch->first;
    *batch = (struct cold_batch){.first = first, .last = first};
}

/* ---- Filling ------------------------------------------------------------------------------------
 */

static uint8_t *add_chunk(struct cold_batch *batch, size_t size)
{
    size_t whole = size + sizeof(struct chunk);
    struct chunk *chunk = create_chunk(whole > CHUNK_BYTES ? whole : CHUNK_BYTES);
    batch->last->next = chunk;
    batch->last = chunk;
    chunk->len = size;
    return chunk->data;
}

/* Adds an entry's header; returns where its key goes, with room for `size` bytes. */
static uint8_t *add_entry(struct cold_batch *batch, const struct entry_header *header, size_t size)
{
    CHECK(batch->sealed == NULL);
    CHECK(header->family < FAMILY_COUNT);
    size += sizeof(*header);
    struct chunk *chunk = batch->last;
    uint8_t *at = chunk->data + chunk->len;
    if (chunk->capacity - chunk->len >= size)
        chunk->len += size;
    else
        at = add_chunk(batch, size);
    batch->counts[header->family]++;
    batch->count++;
    batch->bytes += size;
    memcpy(at, header, sizeof(*header));
    return at + sizeof(*header);
}

struct cold_batch_space cold_batch_put_space(struct cold_batch *batch, enum family family,
                                             size_t key_len, size_t value_len)
{
    CHECK(key_len < UINT32_MAX);
    CHECK(value_len < VALUE_LEN_DELETE);
    const struct entry_header header = {
        .key_len = (uint32_t)key_len, .value_len = (uint32_t)value_len, .family = family};
    uint8_t *at = add_entry(batch, &header, key_len + value_len);
    return (struct cold_batch_space){.key = at, .value = at + key_len};
}

static void copy_bytes(uint8_t *out, struct bytes bytes)
{
    if (bytes.len > 0)
        memcpy(out, bytes.data, bytes.len);
}

void cold_batch_put(struct cold_batch *batch, enum family family, struct bytes key,
                    struct bytes value)
{
    struct cold_batch_space space = cold_batch_put_space(batch, family, key.len, value.len);
    copy_bytes(space.key, key);
    copy_bytes(space.value, value);
}

void cold_batch_put_parts(struct cold_batch *batch, enum family family, struct bytes key,
                          struct bytes head, struct bytes body)
{
    size_t value_len = head.len + body.len;
    struct cold_batch_space space = cold_batch_put_space(batch, family, key.len, value_len);
    copy_bytes(space.key, key);
    copy_bytes(space.value, head);
    copy_bytes(space.value + head.len, body);
}

void cold_batch_delete(struct cold_batch *batch, enum family family, struct bytes key)
{
    CHECK(key.len < UINT32_MAX);
    const struct entry_header header = {
        .key_len = (uint32_t)key.len, .value_len = VALUE_LEN_DELETE, .family = family};
    copy_bytes(add_entry(batch, &header, key.len), key);
}

void cold_batch_delete_range(struct cold_batch *batch, enum family family, struct bytes lower,
                             struct bytes upper)
{
    CHECK(batch->sealed == NULL);
    CHECK(family < FAMILY_COUNT);
    CHECK(bytes_compare(lower, upper) < 0);
    size_t size = (batch->range_count + 1) * sizeof(struct range);
    batch->ranges = mem_realloc(batch->ranges, size);
    struct range *range = &batch->ranges[batch->range_count++];
    *range = (struct range){.family = family};
    buf_append_bytes(&range->lower, lower);
    buf_append_bytes(&range->upper, upper);
    batch->count++;
    batch->bytes += lower.len + upper.len;
}

size_t cold_batch_count(const struct cold_batch *batch)
{
    return batch->count;
}

size_t cold_batch_bytes(const struct cold_batch *batch)
{
    return batch->bytes;
}

/* ---- Sorting ------------------------------------------------------------------------------------
 */

/* One entry in the index. The eight bytes of its key behind what all keys of the family share
 * decide nearly all comparisons without touching the entry. */
struct sort_item {
    uint64_t prefix;
    const uint8_t *entry;
};

static struct entry_header load_header(const uint8_t *entry)
{
    struct entry_header header;
    memcpy(&header, entry, sizeof(header));
    return header;
}

static struct bytes entry_key(const uint8_t *entry)
{
    return bytes_make(entry + sizeof(struct entry_header), load_header(entry).key_len);
}

static size_t common_prefix_len(struct bytes a, struct bytes b, size_t limit)
{
    size_t len = 0;
    while (len < limit && len < a.len && len < b.len && a.data[len] == b.data[len])
        len++;
    return len;
}

static uint64_t prefix_at(struct bytes key, size_t offset)
{
    uint8_t bytes[8] = {0};
    if (key.len > offset)
        memcpy(bytes, key.data + offset, key.len - offset < 8 ? key.len - offset : 8);
    uint64_t prefix = 0;
    for (int i = 0; i < 8; i++)
        prefix = prefix << 8 | bytes[i];
    return prefix;
}

static int compare_items(const struct sort_item *a, const struct sort_item *b)
{
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    return bytes_compare(entry_key(a->entry), entry_key(b->entry));
}

/* Merges the sorted neighbours from[0..middle) and from[middle..count) into `to`. Stable. */
static void merge_items(const struct sort_item *from, size_t middle, size_t count,
                        struct sort_item *to)
{
    size_t left = 0;
    size_t right = middle;
    for (size_t i = 0; i < count; i++) {
        bool take_left =
            left < middle && (right == count || compare_items(&from[left], &from[right]) <= 0);
        to[i] = take_left ? from[left++] : from[right++];
    }
}

static bool is_sorted(const struct sort_item *items, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (compare_items(&items[i - 1], &items[i]) > 0)
            return false;
    return true;
}

/* A stable merge sort, bottom up; `items` and `spare` have room for `count`. Returns which of them
 * holds the result. */
static struct sort_item *sort_items(struct sort_item *items, struct sort_item *spare, size_t count)
{
    if (is_sorted(items, count))
        return items;
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t start = 0; start < count; start += 2 * width) {
            size_t rest = count - start;
            size_t middle = width < rest ? width : rest;
            size_t end = 2 * width < rest ? 2 * width : rest;
            merge_items(items + start, middle, end, spare + start);
        }
        struct sort_item *sorted = spare;
        spare = items;
        items = sorted;
    }
    return items;
}

/* ---- Sealing ------------------------------------------------------------------------------------
 */

/* An empty RocksDB batch with room for `size` bytes. There is no call to reserve room, and growing
 * by doubling would copy a large batch once more and take up to three times its size; so a batch is
 * made from a range of zero pages, and cleared, which keeps its memory. */
static rocksdb_writebatch_t *create_writebatch(size_t size)
{
    if (size < RESERVE_BYTES_MIN)
        return rocksdb_writebatch_create();
    void *zeros = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (zeros == MAP_FAILED)
        return rocksdb_writebatch_create();
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create_from(zeros, size);
    rocksdb_writebatch_clear(batch);
    (void)munmap(zeros, size);
    return batch;
}

/* Fills each family's part of `items` (they lie in the order of families) with its entries. */
static void index_entries(const struct cold_batch *batch, struct sort_item *items)
{
    struct sort_item *next[FAMILY_COUNT];
    for (int i = 0; i < FAMILY_COUNT; i++) {
        next[i] = items;
        items += batch->counts[i];
    }
    for (const struct chunk *chunk = batch->first; chunk != NULL; chunk = chunk->next) {
        for (size_t at = 0; at < chunk->len;) {
            const uint8_t *entry = chunk->data + at;
            struct entry_header header = load_header(entry);
            (next[header.family]++)->entry = entry;
            size_t value_len = header.value_len == VALUE_LEN_DELETE ? 0 : header.value_len;
            at += sizeof(header) + header.key_len + value_len;
        }
    }
}

static void set_prefixes(struct sort_item *items, size_t count)
{
    struct bytes first = entry_key(items[0].entry);
    size_t shared = first.len;
    for (size_t i = 1; i < count; i++)
        shared = common_prefix_len(first, entry_key(items[i].entry), shared);
    for (size_t i = 0; i < count; i++)
        items[i].prefix = prefix_at(entry_key(items[i].entry), shared);
}

static void prefetch_entry(const uint8_t *entry)
{
    for (size_t line = 0; line < 4; line++)
        __builtin_prefetch(entry + 64 * line);
}

static void write_entries(const struct sort_item *items, size_t count,
                          rocksdb_column_family_handle_t *family, rocksdb_writebatch_t *out)
{
    for (size_t i = 0; i < count; i++) {
        if (i + PREFETCH_DISTANCE < count)
            prefetch_entry(items[i + PREFETCH_DISTANCE].entry);
        if (i + 1 < count && compare_items(&items[i], &items[i + 1]) == 0)
            continue; /* a later entry of the same key wins */
        struct entry_header header = load_header(items[i].entry);
        const char *key = (const char *)items[i].entry + sizeof(header);
        if (header.value_len == VALUE_LEN_DELETE)
            rocksdb_writebatch_delete_cf(out, family, key, header.key_len);
        else
            rocksdb_writebatch_put_cf(out, family, key, header.key_len, key + header.key_len,
                                      header.value_len);
    }
}

static void write_ranges(const struct cold_batch *batch, const struct cold *cold,
                         rocksdb_writebatch_t *out)
{
    for (size_t i = 0; i < batch->range_count; i++) {
        const struct range *range = &batch->ranges[i];
        rocksdb_writebatch_delete_range_cf(out, cold->families[range->family],
                                           (const char *)range->lower.data, range->lower.len,
                                           (const char *)range->upper.data, range->upper.len);
    }
}

rocksdb_writebatch_t *cold_batch_seal(struct cold_batch *batch, struct cold *cold)
{
    if (batch->sealed != NULL)
        return batch->sealed;
    rocksdb_writebatch_t *out =
        create_writebatch(batch->bytes + (batch->count + 1) * ENTRY_OVERHEAD_MAX);
    write_ranges(batch, cold, out);
    size_t entries = batch->count - batch->range_count;
    struct sort_item *items = mem_alloc(2 * (entries + 1) * sizeof(*items));
    index_entries(batch, items);
    struct sort_item *part = items;
    struct sort_item *spare = items + entries;
    for (int i = 0; i < FAMILY_COUNT; i++) {
        size_t count = batch->counts[i];
        if (count == 0)
            continue;
        set_prefixes(part, count);
        write_entries(sort_items(part, spare, count), count, cold->families[i], out);
        part += count;
    }
    mem_free(items);
    reset_chunks(batch);
    batch->sealed = out;
    return out;
}
