#include "storage/member_cover.h"

#include "codec/endian.h"
#include "codec/mem.h"
#include "storage/member_table.h"

#include <string.h>

void member_cover_deinit(struct member_cover *cover)
{
    buf_deinit(&cover->tail);
    mem_free(cover->spans);
    *cover = (struct member_cover){.count = 0};
}

size_t member_cover_bytes(const struct member_cover *cover)
{
    return cover->capacity * sizeof(*cover->spans);
}

static void delete_span(struct member_cover *cover, uint32_t i)
{
    cover->count--;
    memmove(&cover->spans[i], &cover->spans[i + 1], (cover->count - i) * sizeof(cover->spans[0]));
}

/* Makes room by giving up the span that was added first. Returns where `i` is afterwards. */
static uint32_t forget_oldest(struct member_cover *cover, uint32_t i)
{
    uint32_t oldest = 0;
    for (uint32_t k = 1; k < cover->count; k++)
        if (cover->additions - cover->spans[k].added >
            cover->additions - cover->spans[oldest].added)
            oldest = k;
    delete_span(cover, oldest);
    return oldest < i ? i - 1 : i;
}

static void insert_span(struct member_cover *cover, uint32_t i, struct member_span span)
{
    if (cover->count == MEMBER_COVER_SPANS)
        i = forget_oldest(cover, i);
    if (cover->count == cover->capacity) {
        cover->capacity = cover->capacity == 0 ? 2 : cover->capacity * 2;
        cover->spans = mem_realloc(cover->spans, cover->capacity * sizeof(*cover->spans));
    }
    memmove(&cover->spans[i + 1], &cover->spans[i], (cover->count - i) * sizeof(cover->spans[0]));
    cover->spans[i] = span;
    cover->count++;
}

void member_cover_add(struct member_cover *cover, uint64_t from, uint64_t to)
{
    if (from >= to)
        return;
    struct member_span span = {.from = from, .to = to, .added = ++cover->additions};
    uint32_t i = 0;
    while (i < cover->count && cover->spans[i].to < from)
        i++;
    while (i < cover->count && cover->spans[i].from <= to) { /* overlaps or touches */
        if (cover->spans[i].from < span.from)
            span.from = cover->spans[i].from;
        if (cover->spans[i].to > span.to)
            span.to = cover->spans[i].to;
        delete_span(cover, i);
    }
    insert_span(cover, i, span);
}

void member_cover_remove(struct member_cover *cover, uint64_t from, uint64_t to)
{
    if (from >= to)
        return;
    if (cover->tail.len != 0 && cover->tail_position >= from && cover->tail_position < to)
        buf_clear(&cover->tail);
    for (uint32_t i = 0; i < cover->count;) {
        struct member_span *span = &cover->spans[i];
        if (span->to <= from || span->from >= to) {
            i++;
            continue;
        }
        struct member_span behind = {.from = to, .to = span->to, .added = span->added};
        if (span->from < from) {
            span->to = from;
            i++;
        } else {
            delete_span(cover, i);
        }
        if (behind.from < behind.to) {
            insert_span(cover, i, behind);
            return;
        }
    }
}

bool member_cover_is_all(const struct member_cover *cover)
{
    return cover->count == 1 && cover->spans[0].from == 0 &&
           cover->spans[0].to >= MEMBER_POSITION_LIMIT;
}

/* The first span that ends behind a position. */
static uint32_t first_behind(const struct member_cover *cover, uint64_t position)
{
    uint32_t from = 0;
    uint32_t to = cover->count;
    while (from < to) {
        uint32_t middle = (from + to) / 2;
        if (cover->spans[middle].to <= position)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

uint64_t member_cover_end(const struct member_cover *cover, uint64_t position)
{
    uint32_t i = first_behind(cover, position);
    return i < cover->count && cover->spans[i].from <= position ? cover->spans[i].to : position;
}

uint64_t member_cover_next(const struct member_cover *cover, uint64_t position)
{
    uint32_t i = first_behind(cover, position);
    return i < cover->count ? cover->spans[i].from : MEMBER_POSITION_LIMIT;
}

void member_element_prefix(uint64_t position, uint8_t *out)
{
    out[0] = MEMBER_ELEMENT_KIND;
    store_be64(out + 1, position);
}

static void put_bound(struct buf *out, uint64_t position)
{
    if (position >= MEMBER_POSITION_LIMIT) {
        buf_append_byte(out, MEMBER_ELEMENT_KIND + 1);
        return;
    }
    member_element_prefix(position, buf_reserve(out, MEMBER_ELEMENT_PREFIX_BYTES));
    out->len += MEMBER_ELEMENT_PREFIX_BYTES;
}

void member_cover_bounds(const struct member_cover *cover, uint64_t from, uint64_t to,
                         struct buf *from_out, struct buf *to_out)
{
    put_bound(from_out, from);
    if (cover->tail.len != 0 && cover->tail_position == from)
        buf_append_bytes(from_out, buf_bytes(&cover->tail));
    put_bound(to_out, to);
}

/* The position that a bound begins at, and what it says of members there. */
static uint64_t read_bound(struct bytes bound, struct bytes *member_out)
{
    *member_out = bytes_make(NULL, 0);
    if (bound.len < MEMBER_ELEMENT_PREFIX_BYTES || bound.data[0] != MEMBER_ELEMENT_KIND)
        return MEMBER_POSITION_LIMIT;
    *member_out = bytes_make(bound.data + MEMBER_ELEMENT_PREFIX_BYTES,
                             bound.len - MEMBER_ELEMENT_PREFIX_BYTES);
    return load_be64(bound.data + 1);
}

void member_cover_installed(struct member_cover *cover, struct bytes from, struct bytes to)
{
    struct bytes from_member;
    struct bytes to_member;
    uint64_t from_position = read_bound(from, &from_member);
    uint64_t to_position = read_bound(to, &to_member);
    bool whole_first =
        from_member.len == 0 || (cover->tail.len != 0 && cover->tail_position == from_position &&
                                 bytes_equal(buf_bytes(&cover->tail), from_member));
    if (to_member.len != 0 && (whole_first || from_position < to_position)) {
        buf_clear(&cover->tail);
        buf_append_bytes(&cover->tail, to_member);
        cover->tail_position = to_position;
    }
    member_cover_add(cover, whole_first ? from_position : from_position + 1, to_position);
}
