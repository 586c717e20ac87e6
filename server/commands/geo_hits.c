#include "server/commands/geo_hits.h"

#include "codec/mem.h"

#include <stdlib.h>

#define INSERTION_BELOW 7   /* so few are sorted by insertion */
#define NINTHER_ABOVE   40  /* of more the pivot is a median of medians */
#define DIVISIONS_MAX   200 /* one inside the other: then the pivots are chosen against us */

void geo_hits_deinit(struct geo_hits *hits)
{
    mem_free(hits->items);
    buf_deinit(&hits->names);
}

struct bytes geo_hits_member(const struct geo_hits *hits, const struct geo_hit *hit)
{
    return bytes_make(hits->names.data + hit->off, hit->len);
}

void geo_hits_add(struct geo_hits *hits, struct geo_hit hit, struct bytes member)
{
    if (hits->count == hits->capacity) {
        hits->capacity = hits->capacity == 0 ? 16 : 2 * hits->capacity;
        hits->items = mem_realloc(hits->items, hits->capacity * sizeof *hits->items);
    }
    hit.off = hits->names.len;
    hit.len = member.len;
    hit.index = hits->count;
    buf_append_bytes(&hits->names, member);
    hits->items[hits->count++] = hit;
}

/* ---- All in order. */

static int compare_ascending(const void *a, const void *b)
{
    const struct geo_hit *x = a;
    const struct geo_hit *y = b;
    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static int compare_descending(const void *a, const void *b)
{
    const struct geo_hit *x = a;
    const struct geo_hit *y = b;
    if (x->distance != y->distance)
        return x->distance > y->distance ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

/* ---- The first ones in order: the quicksort of Bentley and McIlroy, "Engineering a Sort
 * Function" (1993), that leaves what is not wanted unsorted. Equally distant hits end up in an
 * order that follows from its steps, and which of them are among the first, too; hence each step is
 * as published. */

struct quick {
    struct geo_hit *items;
    size_t wanted;
    bool descending;
};

/* Less than, equal to or greater than 0. */
static int compare(const struct quick *quick, size_t a, size_t b)
{
    double x = quick->items[quick->descending ? b : a].distance;
    double y = quick->items[quick->descending ? a : b].distance;
    return (x > y) - (x < y);
}

static void swap(const struct quick *quick, size_t a, size_t b)
{
    struct geo_hit hit = quick->items[a];
    quick->items[a] = quick->items[b];
    quick->items[b] = hit;
}

static void swap_stretches(const struct quick *quick, size_t a, size_t b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        swap(quick, a + i, b + i);
}

static size_t median(const struct quick *quick, size_t a, size_t b, size_t c)
{
    int ab = compare(quick, a, b);
    int bc = compare(quick, b, c);
    if ((ab < 0 && bc < 0) || (ab >= 0 && bc > 0))
        return b;
    bool ac = compare(quick, a, c) < 0;
    return ac == (ab < 0) ? c : a;
}

static size_t choose_pivot(const struct quick *quick, size_t first, size_t count)
{
    size_t middle = first + count / 2;
    size_t last = first + count - 1;
    if (count == INSERTION_BELOW)
        return middle;
    if (count <= NINTHER_ABOVE)
        return median(quick, first, middle, last);
    size_t step = count / 8;
    return median(quick, median(quick, first, first + step, first + 2 * step),
                  median(quick, middle - step, middle, middle + step),
                  median(quick, last - 2 * step, last - step, last));
}

static void insertion_sort(const struct quick *quick, size_t first, size_t count)
{
    for (size_t i = first + 1; i < first + count; i++)
        for (size_t at = i; at > first && compare(quick, at - 1, at) > 0; at--)
            swap(quick, at, at - 1);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Divides the stretch into what is before the pivot, equal to it, and behind it. */
static void divide(const struct quick *quick, size_t first, size_t count, size_t *before,
                   size_t *behind)
{
    size_t end = first + count;
    swap(quick, first, choose_pivot(quick, first, count));
    /* Equal ones are gathered at both ends: up to `low_equal`, and from `high_equal` on. */
    size_t low_equal = first + 1;
    size_t high_equal = end;
    size_t low = first + 1;
    size_t high = end; /* behind the last that is not looked at yet */
    for (;;) {
        int order;
        for (; low < high && (order = compare(quick, low, first)) <= 0; low++)
            if (order == 0)
                swap(quick, low_equal++, low);
        for (; low < high && (order = compare(quick, high - 1, first)) >= 0; high--)
            if (order == 0)
                swap(quick, high - 1, --high_equal);
        if (low >= high)
            break;
        swap(quick, low++, --high);
    }
    *before = low - low_equal;
    *behind = high_equal - high;
    size_t moved = least(low_equal - first, *before);
    swap_stretches(quick, first, low - moved, moved);
    moved = least(*behind, end - high_equal);
    swap_stretches(quick, low, end - moved, moved);
}

static void sort_all(const struct quick *quick, size_t first, size_t count)
{
    qsort(quick->items + first, count, sizeof *quick->items,
          quick->descending ? compare_descending : compare_ascending);
}

static void sort_wanted(const struct quick *quick, size_t first, size_t count, int divisions_left)
{
    while (count >= INSERTION_BELOW && first < quick->wanted) {
        size_t before, behind;
        if (divisions_left-- == 0) {
            sort_all(quick, first, count);
            return;
        }
        divide(quick, first, count, &before, &behind);
        sort_wanted(quick, first, before, divisions_left);
        first += count - behind;
        count = behind;
    }
    if (count > 1 && first < quick->wanted)
        insertion_sort(quick, first, count);
}

void geo_hits_sort(struct geo_hits *hits, size_t wanted, bool descending)
{
    struct quick quick = {.items = hits->items, .wanted = wanted, .descending = descending};
    if (hits->count < 2)
        return;
    if (wanted < hits->count)
        sort_wanted(&quick, 0, hits->count, DIVISIONS_MAX);
    else
        sort_all(&quick, 0, hits->count);
}
