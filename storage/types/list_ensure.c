#include "storage/types/list_ensure.h"

#include "storage/types/list_internal.h"

#define ELEMENTS_AT_ONCE 128 /* asked for in one go */

/* Element keys to ask for. */
struct asked {
    struct ensure *e;
    uint8_t keys[ELEMENTS_AT_ONCE][LIST_ELEMENT_BYTES];
    struct bytes elements[ELEMENTS_AT_ONCE];
    size_t count;
    enum ensured result;
};

static void flush(struct asked *asked)
{
    if (asked->count == 0)
        return;
    enum ensured result = ensure_parts(asked->e, asked->elements, asked->count);
    if (result == ENSURE_FAILED || asked->result == ENSURED)
        asked->result = result;
    asked->count = 0;
}

static void ask(struct asked *asked, char kind, uint64_t id)
{
    uint8_t *key = asked->keys[asked->count];
    key[0] = (uint8_t)kind;
    store_be64(key + 1, id);
    asked->elements[asked->count++] = bytes_make(key, LIST_ELEMENT_BYTES);
    if (asked->count == ELEMENTS_AT_ONCE)
        flush(asked);
}

/* The pages and slots of a range of elements. */
struct span {
    uint64_t from, to; /* elements, `to` not included */
    bool ends_only;    /* of the nodes, only those that are not within it as a whole */
};

/* Asks for the pages of the span that are missing. */
static void ask_pages(struct asked *asked, const struct list *list, const struct span *span)
{
    uint64_t at = 0;
    for (uint32_t i = 0; i < list->page_count && at < span->to; i++) {
        const struct list_page *page = &list->pages[i];
        if (at + page->length > span->from && page->slots == NULL)
            ask(asked, LIST_ELEMENT_PAGE, page->id);
        at += page->length;
    }
    flush(asked);
}

/* What is to be done with the slots of a span that are needed. */
typedef void slot_fn(void *arg, const struct list_slot *slot);

static void visit_page(const struct list_page *page, uint64_t at, const struct span *span,
                       slot_fn *fn, void *arg)
{
    for (uint32_t s = 0; page->slots != NULL && s < page->slot_count && at < span->to; s++) {
        const struct list_slot *slot = &page->slots[s];
        uint64_t end = at + slot->count;
        bool whole = at >= span->from && end <= span->to;
        if (end > span->from && !(whole && span->ends_only))
            fn(arg, slot);
        at = end;
    }
}

static void visit_slots(const struct list *list, const struct span *span, slot_fn *fn, void *arg)
{
    uint64_t at = 0;
    for (uint32_t i = 0; i < list->page_count && at < span->to; i++) {
        const struct list_page *page = &list->pages[i];
        if (at + page->length > span->from)
            visit_page(page, at, span, fn, arg);
        at += page->length;
    }
}

static void add_missing_bytes(void *arg, const struct list_slot *slot)
{
    if (slot->node == NULL)
        *(uint64_t *)arg += slot->bytes;
}

static void ask_node(void *arg, const struct list_slot *slot)
{
    if (slot->node == NULL)
        ask(arg, LIST_ELEMENT_NODE, slot->id);
}

static bool needs_nothing(const struct ensure *e)
{
    return e->o->type != OBJECT_LIST || !e->o->large || list_of(e->o)->length == 0;
}

static enum ensured ensure_span(struct ensure *e, const struct span *span)
{
    const struct list *list = list_of(e->o);
    struct asked asked = {.e = e, .result = ENSURED};
    ask_pages(&asked, list, span);
    if (asked.result != ENSURED)
        return asked.result;
    uint64_t bytes = 0;
    visit_slots(list, span, add_missing_bytes, &bytes);
    if (!ensure_takes(e, bytes))
        return ENSURE_TOO_LARGE;
    visit_slots(list, span, ask_node, &asked);
    flush(&asked);
    return asked.result;
}

enum ensured list_ensure_all(struct ensure *e)
{
    if (needs_nothing(e))
        return ENSURED;
    struct span span = {.to = list_of(e->o)->length};
    return ensure_span(e, &span);
}

enum ensured list_ensure_range(struct ensure *e, uint64_t from, uint64_t count)
{
    if (needs_nothing(e))
        return ENSURED;
    uint64_t length = list_of(e->o)->length;
    if (from >= length || count == 0)
        return ENSURED;
    struct span span = {.from = from, .to = count < length - from ? from + count : length};
    return ensure_span(e, &span);
}

enum ensured list_ensure_end(struct ensure *e, enum list_end end, uint64_t count)
{
    if (needs_nothing(e))
        return ENSURED;
    uint64_t length = list_of(e->o)->length;
    if (count > length)
        count = length;
    if (count == 0)
        count = 1;
    return list_ensure_range(e, end == LIST_HEAD ? 0 : length - count, count);
}

enum ensured list_ensure_delete(struct ensure *e, uint64_t from, uint64_t count)
{
    if (needs_nothing(e))
        return ENSURED;
    uint64_t length = list_of(e->o)->length;
    if (from >= length || count == 0)
        return ENSURED;
    struct span span = {
        .from = from, .to = count < length - from ? from + count : length, .ends_only = true};
    return ensure_span(e, &span);
}
