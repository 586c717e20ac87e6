#include "storage/key_filter.h"

#include "codec/check.h"
#include "codec/mem.h"

#include <string.h>

#define PAGE_BITS       16
#define PAGE_COUNT      ((size_t)1 << PAGE_BITS)
#define PAGE_GIVEN_UP   UINT32_MAX
#define PAGE_GROWTH_MIN 4

struct page {
    uint16_t *tags; /* owned, ascending, each once; their spread over the range is even */
    uint32_t count; /* or PAGE_GIVEN_UP */
    uint32_t capacity;
};

_Static_assert(PAGE_COUNT * sizeof(struct page) == KEY_FILTER_BYTES_MIN, "what an empty one takes");

struct key_filter {
    struct page *pages; /* owned; NULL while nothing has been added */
    size_t bytes, bytes_max;
    uint64_t count;
    uint32_t given_up; /* pages; PAGE_COUNT without `pages`: the bound allows none */
};

struct key_filter *key_filter_create(void)
{
    struct key_filter *filter = mem_calloc(1, sizeof(*filter));
    filter->bytes_max = SIZE_MAX;
    return filter;
}

void key_filter_destroy(struct key_filter *filter)
{
    if (filter == NULL)
        return;
    key_filter_clear(filter);
    mem_free(filter);
}

void key_filter_clear(struct key_filter *filter)
{
    for (size_t i = 0; filter->pages != NULL && i < PAGE_COUNT; i++)
        mem_free(filter->pages[i].tags);
    mem_free(filter->pages);
    filter->pages = NULL;
    filter->bytes = 0;
    filter->count = 0;
    filter->given_up = 0;
}

static struct page *page_of(const struct key_filter *filter, uint64_t hash)
{
    return &filter->pages[hash >> (64 - PAGE_BITS)];
}

static uint16_t tag_of(uint64_t hash)
{
    return (uint16_t)(hash >> (64 - PAGE_BITS - 16));
}

static void give_up(struct key_filter *filter, struct page *page)
{
    filter->bytes -= mem_usable_size(page->tags);
    filter->count -= page->count;
    filter->given_up++;
    mem_free(page->tags);
    *page = (struct page){.count = PAGE_GIVEN_UP};
}

/* Where an even spread has the tag. */
static uint32_t guess_place(const struct page *page, uint16_t tag)
{
    return (uint32_t)((uint64_t)tag * page->count >> 16);
}

/* The place of the first tag that is not below `tag`. */
static uint32_t place_of(const struct page *page, uint16_t tag)
{
    uint32_t at = guess_place(page, tag);
    while (at < page->count && page->tags[at] < tag)
        at++;
    while (at > 0 && page->tags[at - 1] >= tag)
        at--;
    return at;
}

/* False, and the page given up: the bound allows no more. */
static bool make_room(struct key_filter *filter, struct page *page)
{
    if (page->count < page->capacity)
        return true;
    size_t had = mem_usable_size(page->tags);
    size_t wanted = (page->count + page->count / 16 + PAGE_GROWTH_MIN) * sizeof(*page->tags);
    size_t bytes = mem_good_size(wanted);
    if (bytes - had > filter->bytes_max - filter->bytes) {
        give_up(filter, page);
        return false;
    }
    page->tags = mem_realloc(page->tags, wanted);
    bytes = mem_usable_size(page->tags);
    page->capacity = (uint32_t)(bytes / sizeof(*page->tags));
    filter->bytes += bytes - had;
    return true;
}

/* False: the bound allows none, or did not when something else was to be added. */
static bool make_pages(struct key_filter *filter)
{
    if (filter->bytes_max < KEY_FILTER_BYTES_MIN)
        filter->given_up = PAGE_COUNT;
    if (filter->given_up != 0)
        return false;
    filter->pages = mem_calloc(PAGE_COUNT, sizeof(*filter->pages));
    filter->bytes = KEY_FILTER_BYTES_MIN;
    return true;
}

void key_filter_add(struct key_filter *filter, uint64_t hash)
{
    if (filter->pages == NULL && !make_pages(filter))
        return;
    struct page *page = page_of(filter, hash);
    if (page->count == PAGE_GIVEN_UP)
        return;
    uint16_t tag = tag_of(hash);
    uint32_t at = place_of(page, tag);
    if ((at < page->count && page->tags[at] == tag) || !make_room(filter, page))
        return;
    memmove(page->tags + at + 1, page->tags + at, (page->count - at) * sizeof(*page->tags));
    page->tags[at] = tag;
    page->count++;
    filter->count++;
}

bool key_filter_may_have(const struct key_filter *filter, uint64_t hash)
{
    if (filter->pages == NULL)
        return filter->given_up != 0;
    const struct page *page = page_of(filter, hash);
    if (page->count == PAGE_GIVEN_UP)
        return true;
    uint16_t tag = tag_of(hash);
    uint32_t at = place_of(page, tag);
    return at < page->count && page->tags[at] == tag;
}

void key_filter_prefetch(const struct key_filter *filter, uint64_t hash)
{
    if (filter->pages == NULL)
        return;
    const struct page *page = page_of(filter, hash);
    if (page->count != PAGE_GIVEN_UP)
        __builtin_prefetch(page->tags + guess_place(page, tag_of(hash)));
}

void key_filter_set_bound(struct key_filter *filter, size_t bytes_max)
{
    filter->bytes_max = bytes_max;
    if (filter->pages != NULL && bytes_max < KEY_FILTER_BYTES_MIN) {
        key_filter_clear(filter);
        filter->given_up = PAGE_COUNT;
    }
    for (size_t i = 0; filter->bytes > bytes_max && i < PAGE_COUNT; i++)
        if (filter->pages[i].count != PAGE_GIVEN_UP)
            give_up(filter, &filter->pages[i]);
    CHECK(filter->bytes <= bytes_max);
}

size_t key_filter_bytes_max(const struct key_filter *filter)
{
    return filter->bytes_max;
}

size_t key_filter_bytes(const struct key_filter *filter)
{
    return filter->bytes;
}

uint64_t key_filter_count(const struct key_filter *filter)
{
    return filter->count;
}

bool key_filter_is_cut_short(const struct key_filter *filter)
{
    return filter->given_up != 0;
}
