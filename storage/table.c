/* See table.h for the design.
 *
 * Within a slot, level L and bucket count n satisfy 2^L <= n < 2^(L+1). Bucket i is addressed by
 * the low L+1 bits of the reversed hash r if that is < n, else by the low L bits. Growing appends
 * bucket n and moves to it those entries of bucket n - 2^L whose bit L of r is set; shrinking is
 * the reverse. The tag is the hash's upper 16 bits, that is the low 16 bits of r reversed: a split
 * up to level 16 needs no look at the objects. */
#include "storage/table.h"

#include "codec/check.h"
#include "codec/mem.h"

#include <string.h>

#define HASH_BITS        39
#define HASH_MASK        (((uint64_t)1 << HASH_BITS) - 1)
#define BUCKET_ENTRIES   7
#define SEGMENT_BUCKETS  64 /* buckets per segment once a slot has more than one segment */
#define LOAD_ENTRIES_MAX 5  /* grow above this many entries per bucket */
#define LOAD_ENTRIES_MIN 2  /* shrink below */
#define POINTER_MASK     (((uint64_t)1 << 48) - 1)
#define TAG_SHIFT        48
#define TAG_LEVEL_MAX    16 /* splits up to this level are decided by the tag alone */

struct bucket {
    uint64_t entries[BUCKET_ENTRIES]; /* 0 = free */
    struct bucket *overflow;          /* owned */
};

_Static_assert(sizeof(struct bucket) == 64, "a bucket is one cache line");

struct slot {
    union {
        struct bucket *single;    /* up to SEGMENT_BUCKETS buckets */
        struct bucket **segments; /* more: full segments */
    } at;
    uint32_t bucket_count; /* 0 = empty slot */
    uint32_t entry_count;
    uint32_t capacity; /* buckets (single) or segments allocated */
    uint32_t level;    /* 2^level <= bucket_count */
};

struct table {
    struct slot slots[TABLE_SLOT_COUNT];
    uint64_t used[TABLE_SLOT_COUNT / 64]; /* bit per non-empty slot */
    uint64_t count;
    size_t bytes;
};

static uint64_t reverse_hash(uint64_t position)
{
    uint64_t x = position << (64 - HASH_BITS);
    x = __builtin_bswap64(x);
    x = (x & 0x0f0f0f0f0f0f0f0fULL) << 4 | (x >> 4 & 0x0f0f0f0f0f0f0f0fULL);
    x = (x & 0x3333333333333333ULL) << 2 | (x >> 2 & 0x3333333333333333ULL);
    x = (x & 0x5555555555555555ULL) << 1 | (x >> 1 & 0x5555555555555555ULL);
    return x;
}

static inline uint32_t position_slot(uint64_t position)
{
    return (uint32_t)(position >> HASH_BITS);
}

static inline uint64_t position_tag(uint64_t position)
{
    return (position & HASH_MASK) >> (HASH_BITS - 16);
}

static inline uint64_t make_entry(const struct object *o)
{
    uint64_t address = (uint64_t)(uintptr_t)o;
    DCHECK((address & ~POINTER_MASK) == 0);
    return position_tag(o->position) << TAG_SHIFT | address;
}

static inline struct object *entry_object(uint64_t entry)
{
    return (struct object *)(uintptr_t)(entry & POINTER_MASK);
}

static inline uint32_t bucket_index(const struct slot *slot, uint64_t reversed)
{
    uint32_t index = (uint32_t)(reversed & (((uint64_t)2 << slot->level) - 1));
    if (index >= slot->bucket_count)
        index = (uint32_t)(reversed & (((uint64_t)1 << slot->level) - 1));
    return index;
}

static inline bool slot_is_single(const struct slot *slot)
{
    return slot->bucket_count <= SEGMENT_BUCKETS;
}

static inline struct bucket *slot_bucket(const struct slot *slot, uint32_t index)
{
    if (slot_is_single(slot))
        return &slot->at.single[index];
    return &slot->at.segments[index / SEGMENT_BUCKETS][index % SEGMENT_BUCKETS];
}

struct table *table_create(void)
{
    struct table *table = mem_calloc(1, sizeof(*table));
    table->bytes = sizeof(*table);
    return table;
}

static void free_chain(struct bucket *bucket)
{
    struct bucket *next = bucket->overflow;
    while (next != NULL) {
        struct bucket *after = next->overflow;
        mem_free(next);
        next = after;
    }
}

void table_destroy(struct table *table)
{
    if (table == NULL)
        return;
    for (uint32_t s = 0; s < TABLE_SLOT_COUNT; s++) {
        struct slot *slot = &table->slots[s];
        if (slot->bucket_count == 0)
            continue;
        for (uint32_t i = 0; i < slot->bucket_count; i++)
            free_chain(slot_bucket(slot, i));
        if (slot_is_single(slot)) {
            mem_free(slot->at.single);
            continue;
        }
        uint32_t segment_count = (slot->bucket_count + SEGMENT_BUCKETS - 1) / SEGMENT_BUCKETS;
        for (uint32_t i = 0; i < segment_count; i++)
            mem_free(slot->at.segments[i]);
        mem_free(slot->at.segments);
    }
    mem_free(table);
}

struct object *table_find(const struct table *table, uint64_t position, struct bytes key)
{
    const struct slot *slot = &table->slots[position_slot(position)];
    if (slot->bucket_count == 0)
        return NULL;
    uint64_t tag = position_tag(position);
    const struct bucket *bucket = slot_bucket(slot, bucket_index(slot, reverse_hash(position)));
    do {
        for (int i = 0; i < BUCKET_ENTRIES; i++) {
            uint64_t entry = bucket->entries[i];
            if (entry >> TAG_SHIFT != tag || entry == 0)
                continue;
            struct object *o = entry_object(entry);
            if (o->position == position && o->key_len == key.len &&
                memcmp(o->key, key.data, key.len) == 0)
                return o;
        }
        bucket = bucket->overflow;
    } while (bucket != NULL);
    return NULL;
}

size_t table_find_position(const struct table *table, uint64_t position, struct object **out,
                           size_t max)
{
    const struct slot *slot = &table->slots[position_slot(position)];
    size_t found = 0;
    if (slot->bucket_count == 0)
        return 0;
    const struct bucket *bucket = slot_bucket(slot, bucket_index(slot, reverse_hash(position)));
    for (; bucket != NULL; bucket = bucket->overflow)
        for (int i = 0; i < BUCKET_ENTRIES; i++) {
            struct object *o = entry_object(bucket->entries[i]);
            if (o != NULL && o->position == position && found < max)
                out[found++] = o;
        }
    return found;
}

void table_prefetch(const struct table *table, uint64_t position)
{
    const struct slot *slot = &table->slots[position_slot(position)];
    if (slot->bucket_count != 0)
        __builtin_prefetch(slot_bucket(slot, bucket_index(slot, reverse_hash(position))));
}

bool table_prefetch_object(const struct table *table, uint64_t position)
{
    const struct slot *slot = &table->slots[position_slot(position)];
    if (slot->bucket_count == 0)
        return false;
    bool found = false;
    uint64_t tag = position_tag(position);
    const struct bucket *bucket = slot_bucket(slot, bucket_index(slot, reverse_hash(position)));
    for (int i = 0; i < BUCKET_ENTRIES; i++) {
        uint64_t entry = bucket->entries[i];
        if (entry >> TAG_SHIFT == tag && entry != 0) {
            __builtin_prefetch(entry_object(entry));
            __builtin_prefetch((const uint8_t *)entry_object(entry) + 64);
            found = true;
        }
    }
    return found || bucket->overflow != NULL;
}

static void bucket_add(struct table *table, struct bucket *bucket, uint64_t entry)
{
    for (;;) {
        for (int i = 0; i < BUCKET_ENTRIES; i++) {
            if (bucket->entries[i] == 0) {
                bucket->entries[i] = entry;
                return;
            }
        }
        if (bucket->overflow == NULL) {
            bucket->overflow = mem_calloc(1, sizeof(*bucket));
            table->bytes += sizeof(*bucket);
        }
        bucket = bucket->overflow;
    }
}

/* Frees overflow buckets at the chain's end that hold nothing. */
static void trim_chain(struct table *table, struct bucket *bucket)
{
    struct bucket **link = &bucket->overflow;
    struct bucket **empty_from = NULL;
    while (*link != NULL) {
        bool empty = true;
        for (int i = 0; i < BUCKET_ENTRIES; i++)
            empty = empty && (*link)->entries[i] == 0;
        if (!empty)
            empty_from = NULL;
        else if (empty_from == NULL)
            empty_from = link;
        link = &(*link)->overflow;
    }
    if (empty_from == NULL)
        return;
    struct bucket *next = *empty_from;
    *empty_from = NULL;
    while (next != NULL) {
        struct bucket *after = next->overflow;
        mem_free(next);
        table->bytes -= sizeof(*next);
        next = after;
    }
}

/* Makes the memory for one more bucket; bucket_count is still the old one. */
static struct bucket *append_bucket(struct table *table, struct slot *slot)
{
    uint32_t index = slot->bucket_count;
    if (index < SEGMENT_BUCKETS) {
        if (index == slot->capacity) {
            uint32_t capacity = index == 0 ? 1 : index + (index + 1) / 2;
            if (capacity > SEGMENT_BUCKETS)
                capacity = SEGMENT_BUCKETS;
            slot->at.single = mem_realloc(slot->at.single, capacity * sizeof(struct bucket));
            table->bytes += (capacity - slot->capacity) * sizeof(struct bucket);
            slot->capacity = capacity;
        }
        slot->bucket_count++;
        memset(&slot->at.single[index], 0, sizeof(struct bucket));
        return &slot->at.single[index];
    }
    if (index == SEGMENT_BUCKETS) {
        struct bucket **segments = mem_calloc(4, sizeof(*segments));
        segments[0] = slot->at.single;
        slot->at.segments = segments;
        slot->capacity = 4;
        table->bytes += 4 * sizeof(*segments);
    }
    uint32_t segment = index / SEGMENT_BUCKETS;
    if (segment == slot->capacity) {
        table->bytes += slot->capacity * sizeof(*slot->at.segments);
        slot->capacity *= 2;
        slot->at.segments =
            mem_realloc(slot->at.segments, slot->capacity * sizeof(*slot->at.segments));
    }
    if (index % SEGMENT_BUCKETS == 0) {
        slot->at.segments[segment] = mem_alloc(SEGMENT_BUCKETS * sizeof(struct bucket));
        table->bytes += SEGMENT_BUCKETS * sizeof(struct bucket);
    }
    slot->bucket_count++;
    struct bucket *bucket = &slot->at.segments[segment][index % SEGMENT_BUCKETS];
    memset(bucket, 0, sizeof(*bucket));
    return bucket;
}

/* Whether an entry of a bucket being split at `level` goes to the new one. */
static bool entry_moves(uint64_t entry, uint32_t level)
{
    if (level < TAG_LEVEL_MAX)
        return (entry >> (TAG_SHIFT + 15 - level) & 1) != 0;
    return (reverse_hash(entry_object(entry)->position) >> level & 1) != 0;
}

static void grow(struct table *table, struct slot *slot)
{
    uint32_t from_index = slot->bucket_count - ((uint32_t)1 << slot->level);
    uint32_t level = slot->level;
    struct bucket *to = append_bucket(table, slot); /* may move the others */
    struct bucket *from = slot_bucket(slot, from_index);
    for (struct bucket *b = from; b != NULL; b = b->overflow) {
        for (int i = 0; i < BUCKET_ENTRIES; i++) {
            if (b->entries[i] != 0 && entry_moves(b->entries[i], level)) {
                bucket_add(table, to, b->entries[i]);
                b->entries[i] = 0;
            }
        }
    }
    if (from->overflow != NULL) { /* close the gaps so that the chain can be cut */
        struct bucket *chain = from->overflow;
        from->overflow = NULL;
        for (struct bucket *b = chain; b != NULL; b = b->overflow)
            for (int i = 0; i < BUCKET_ENTRIES; i++)
                if (b->entries[i] != 0)
                    bucket_add(table, from, b->entries[i]);
        while (chain != NULL) {
            struct bucket *after = chain->overflow;
            mem_free(chain);
            table->bytes -= sizeof(*chain);
            chain = after;
        }
    }
    if (slot->bucket_count == (uint32_t)2 << slot->level)
        slot->level++;
}

static void shrink(struct table *table, struct slot *slot)
{
    uint32_t index = slot->bucket_count - 1;
    struct bucket last = *slot_bucket(slot, index);
    if (slot->bucket_count - 1 < (uint32_t)1 << slot->level)
        slot->level--;
    uint32_t into = index - ((uint32_t)1 << slot->level);
    if (index % SEGMENT_BUCKETS == 0 && !slot_is_single(slot)) {
        mem_free(slot->at.segments[index / SEGMENT_BUCKETS]);
        table->bytes -= SEGMENT_BUCKETS * sizeof(struct bucket);
        if (index == SEGMENT_BUCKETS) {
            struct bucket *single = slot->at.segments[0];
            table->bytes -= slot->capacity * sizeof(*slot->at.segments);
            mem_free(slot->at.segments);
            slot->at.single = single;
            slot->capacity = SEGMENT_BUCKETS;
        }
    }
    slot->bucket_count--;
    struct bucket *to = slot_bucket(slot, into);
    for (struct bucket *b = &last; b != NULL; b = b->overflow)
        for (int i = 0; i < BUCKET_ENTRIES; i++)
            if (b->entries[i] != 0)
                bucket_add(table, to, b->entries[i]);
    for (struct bucket *b = &last; b != NULL && b->overflow != NULL; b = b->overflow)
        table->bytes -= sizeof(*b);
    free_chain(&last);
}

void table_insert(struct table *table, struct object *o)
{
    uint32_t s = position_slot(o->position);
    struct slot *slot = &table->slots[s];
    if (slot->bucket_count == 0) {
        (void)append_bucket(table, slot);
        slot->level = 0;
        table->used[s / 64] |= (uint64_t)1 << (s % 64);
    } else if (slot->entry_count >= slot->bucket_count * LOAD_ENTRIES_MAX) {
        grow(table, slot);
    }
    bucket_add(table, slot_bucket(slot, bucket_index(slot, reverse_hash(o->position))),
               make_entry(o));
    slot->entry_count++;
    table->count++;
}

static uint64_t *find_entry(struct table *table, uint64_t position, uint64_t wanted,
                            struct bucket **head_out)
{
    struct slot *slot = &table->slots[position_slot(position)];
    CHECK(slot->bucket_count != 0);
    struct bucket *bucket = slot_bucket(slot, bucket_index(slot, reverse_hash(position)));
    *head_out = bucket;
    for (; bucket != NULL; bucket = bucket->overflow)
        for (int i = 0; i < BUCKET_ENTRIES; i++)
            if (bucket->entries[i] == wanted)
                return &bucket->entries[i];
    CHECK_UNREACHED("the object is in the table");
    return NULL;
}

void table_remove(struct table *table, const struct object *o)
{
    uint32_t s = position_slot(o->position);
    struct slot *slot = &table->slots[s];
    struct bucket *head = NULL;
    *find_entry(table, o->position, make_entry(o), &head) = 0;
    if (head->overflow != NULL)
        trim_chain(table, head);
    slot->entry_count--;
    table->count--;
    if (slot->entry_count == 0) {
        while (slot->bucket_count > 1)
            shrink(table, slot);
        table->bytes -= slot->capacity * sizeof(struct bucket);
        mem_free(slot->at.single);
        *slot = (struct slot){0};
        table->used[s / 64] &= ~((uint64_t)1 << (s % 64));
    } else if (slot->bucket_count > 1 &&
               slot->entry_count < slot->bucket_count * LOAD_ENTRIES_MIN) {
        shrink(table, slot);
    }
}

void table_replace(struct table *table, const struct object *from, struct object *to)
{
    uint64_t wanted =
        position_tag(to->position) << TAG_SHIFT | ((uint64_t)(uintptr_t)from & POINTER_MASK);
    struct bucket *head = NULL;
    *find_entry(table, to->position, wanted, &head) = make_entry(to);
}

uint64_t table_count(const struct table *table)
{
    return table->count;
}

size_t table_bytes(const struct table *table)
{
    return table->bytes;
}

/* The first non-empty slot >= s, or TABLE_SLOT_COUNT. */
static uint32_t next_used_slot(const struct table *table, uint32_t s)
{
    if (s >= TABLE_SLOT_COUNT)
        return TABLE_SLOT_COUNT;
    uint32_t word = s / 64;
    uint64_t bits = table->used[word] & (~(uint64_t)0 << (s % 64));
    while (bits == 0) {
        if (++word == TABLE_SLOT_COUNT / 64)
            return TABLE_SLOT_COUNT;
        bits = table->used[word];
    }
    return word * 64 + (uint32_t)__builtin_ctzll(bits);
}

size_t table_walk(const struct table *table, uint64_t position, struct object **out, size_t max,
                  uint64_t *next_out)
{
    uint32_t s = next_used_slot(table, position_slot(position));
    if (s == TABLE_SLOT_COUNT) {
        *next_out = TABLE_POSITION_LIMIT;
        return 0;
    }
    if (s != position_slot(position))
        position = (uint64_t)s << HASH_BITS;
    const struct slot *slot = &table->slots[s];
    uint32_t index = bucket_index(slot, reverse_hash(position));
    /* The bucket is told by `depth` upper bits of the hash: its range is all that share them. */
    uint32_t depth = slot->level;
    if (index + ((uint32_t)1 << slot->level) < slot->bucket_count || index >= (uint32_t)1
                                                                                  << slot->level)
        depth = slot->level + 1;
    uint64_t span = (uint64_t)1 << (HASH_BITS - depth);
    *next_out = (position & ~(span - 1)) + span;
    size_t found = 0;
    for (const struct bucket *b = slot_bucket(slot, index); b != NULL; b = b->overflow) {
        for (int i = 0; i < BUCKET_ENTRIES; i++) {
            if (b->entries[i] == 0 || entry_object(b->entries[i])->position < position)
                continue;
            if (found < max)
                out[found] = entry_object(b->entries[i]);
            found++;
        }
    }
    return found;
}

size_t table_sample(const struct table *table, uint64_t random, struct object **out, size_t max)
{
    if (table->count == 0 || max == 0)
        return 0;
    uint32_t s = next_used_slot(table, (uint32_t)(random % TABLE_SLOT_COUNT));
    if (s == TABLE_SLOT_COUNT)
        s = next_used_slot(table, 0);
    size_t found = 0;
    uint32_t start = (uint32_t)(random >> 20);
    for (uint32_t tried = 0; tried < 16 && found < max && s < TABLE_SLOT_COUNT; tried++) {
        const struct slot *slot = &table->slots[s];
        for (uint32_t n = 0; n < slot->bucket_count && found < max; n++) {
            const struct bucket *b = slot_bucket(slot, (start + n) % slot->bucket_count);
            for (; b != NULL && found < max; b = b->overflow)
                for (int i = 0; i < BUCKET_ENTRIES && found < max; i++)
                    if (b->entries[i] != 0)
                        out[found++] = entry_object(b->entries[i]);
        }
        s = next_used_slot(table, s + 1);
    }
    return found;
}
