#include "codec/intset.h"

#include "codec/check.h"
#include "codec/mem.h"

static inline int64_t get_at(const uint8_t *set, uint32_t width, uint32_t index)
{
    const uint8_t *p = set + INTSET_HEADER_BYTES + (size_t)index * width;
    if (width == 2)
        return (int16_t)load_le16(p);
    return width == 4 ? (int32_t)load_le32(p) : (int64_t)load_le64(p);
}

static inline void set_at(uint8_t *set, uint32_t width, uint32_t index, int64_t value)
{
    uint8_t *p = set + INTSET_HEADER_BYTES + (size_t)index * width;
    if (width == 2)
        store_le16(p, (uint16_t)value);
    else if (width == 4)
        store_le32(p, (uint32_t)value);
    else
        store_le64(p, (uint64_t)value);
}

static uint32_t width_of(int64_t value)
{
    if (value >= INT16_MIN && value <= INT16_MAX)
        return 2;
    return value >= INT32_MIN && value <= INT32_MAX ? 4 : 8;
}

enum status intset_validate(struct bytes in, struct err *err)
{
    if (in.len < INTSET_HEADER_BYTES)
        return err_set(err, ST_CORRUPT, "intset of %zu bytes", in.len);
    uint32_t width = intset_width(in.data);
    uint32_t count = intset_count(in.data);
    if (width != 2 && width != 4 && width != 8)
        return err_set(err, ST_CORRUPT, "intset of integers of %u bytes", width);
    if (count > INTSET_COUNT_MAX || in.len != intset_bytes(in.data))
        return err_set(err, ST_CORRUPT, "intset of %u integers of %u bytes in %zu bytes", count,
                       width, in.len);
    for (uint32_t i = 1; i < count; i++) {
        if (get_at(in.data, width, i - 1) >= get_at(in.data, width, i))
            return err_set(err, ST_CORRUPT, "intset: integer %u is not above the one before", i);
    }
    return ST_OK;
}

uint8_t *intset_create(void)
{
    uint8_t *set = mem_alloc(INTSET_HEADER_BYTES);
    store_le32(set, 2);
    store_le32(set + 4, 0);
    return set;
}

uint8_t *intset_copy(const uint8_t *set)
{
    return mem_dup(set, intset_bytes(set));
}

int64_t intset_get(const uint8_t *set, uint32_t index)
{
    DCHECK(index < intset_count(set));
    return get_at(set, intset_width(set), index);
}

uint32_t intset_seek(const uint8_t *set, int64_t value)
{
    uint32_t width = intset_width(set);
    uint32_t low = 0;
    uint32_t high = intset_count(set);
    if (high > 0 && get_at(set, width, high - 1) < value)
        return high; /* ascending insertion is common */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (get_at(set, width, middle) < value)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool intset_has(const uint8_t *set, int64_t value)
{
    uint32_t index = intset_seek(set, value);
    return index < intset_count(set) && intset_get(set, index) == value;
}

static uint8_t *resize(uint8_t *set, size_t bytes)
{
    size_t usable = mem_usable_size(set);
    if (bytes > usable || mem_good_size(bytes) < usable)
        set = mem_realloc(set, bytes);
    return set;
}

/* Makes all integers wider, and room for one more of that width. From the last on, so that none is
 * overwritten before it was moved. */
static uint8_t *widen(uint8_t *set, uint32_t width)
{
    uint32_t old_width = intset_width(set);
    uint32_t count = intset_count(set);
    set = resize(set, INTSET_HEADER_BYTES + ((size_t)count + 1) * width);
    for (uint32_t i = count; i-- > 0;)
        set_at(set, width, i, get_at(set, old_width, i));
    store_le32(set, width);
    return set;
}

uint8_t *intset_add(uint8_t *set, int64_t value, bool *changed)
{
    uint32_t index = intset_seek(set, value);
    uint32_t count = intset_count(set);
    *changed = index == count || intset_get(set, index) != value;
    if (!*changed)
        return set;
    CHECK(count < INTSET_COUNT_MAX);
    uint32_t width = width_of(value);
    if (width > intset_width(set))
        set = widen(set, width);
    else
        width = intset_width(set);
    set = resize(set, INTSET_HEADER_BYTES + ((size_t)count + 1) * width);
    uint8_t *p = set + INTSET_HEADER_BYTES + (size_t)index * width;
    memmove(p + width, p, (size_t)(count - index) * width);
    set_at(set, width, index, value);
    store_le32(set + 4, count + 1);
    return set;
}

uint8_t *intset_remove(uint8_t *set, int64_t value, bool *changed)
{
    uint32_t index = intset_seek(set, value);
    uint32_t count = intset_count(set);
    *changed = index < count && intset_get(set, index) == value;
    if (!*changed)
        return set;
    uint32_t width = intset_width(set);
    uint8_t *p = set + INTSET_HEADER_BYTES + (size_t)index * width;
    memmove(p, p + width, (size_t)(count - index - 1) * width);
    store_le32(set + 4, count - 1);
    return resize(set, intset_bytes(set));
}
