/* A binary heap of sources, ordered by their current records; of the same key the newest comes
 * first. The heap holds ranks itself: most comparisons touch nothing else. */
#include "storage/import_internal.h"

#include "codec/mem.h"

struct source {
    struct import_record current;
    struct import_run_reader reader;  /* of a run */
    const struct import_batch *batch; /* instead */
    size_t batch_next;                /* of it: entries used */
    size_t age;                       /* 0: the oldest */
};

struct node {
    uint64_t rank;
    struct source *source;
};

struct import_merge {
    struct import_merge_options options;
    struct source *sources; /* owned; one per run, then one per batch */
    struct node *heap;      /* owned; [0] is the first record */
    size_t heap_count;
    bool returned; /* the first record was handed out and is to be left behind */
};

#define BATCH_PREFETCH_DISTANCE 12

static enum status advance_batch(struct import_merge *merge, struct source *source)
{
    const struct import_batch *batch = source->batch;
    size_t end = batch->family_start[merge->options.family + 1];
    size_t at = batch->family_start[merge->options.family] + source->batch_next;
    if (at == end)
        return ST_END;
    if (at + BATCH_PREFETCH_DISTANCE < end) {
        const uint8_t *ahead = batch->data + batch->entries[at + BATCH_PREFETCH_DISTANCE].off;
        __builtin_prefetch(ahead);
        __builtin_prefetch(ahead + 64);
    }
    import_batch_record(batch, &batch->entries[at], &source->current);
    source->batch_next++;
    return ST_OK;
}

static enum status advance(struct import_merge *merge, struct source *source, struct err *err)
{
    if (source->batch != NULL)
        return advance_batch(merge, source);
    return import_run_reader_next(&source->reader, merge->options.family, &source->current, err);
}

static bool goes_before(const struct node *a, const struct node *b)
{
    if (a->rank != b->rank)
        return a->rank < b->rank;
    int order = bytes_compare(a->source->current.key, b->source->current.key);
    return order != 0 ? order < 0 : a->source->age > b->source->age;
}

static void sift_down(struct import_merge *merge, size_t at)
{
    struct node *heap = merge->heap;
    struct node moving = heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= merge->heap_count)
            break;
        if (child + 1 < merge->heap_count && goes_before(&heap[child + 1], &heap[child]))
            child++;
        if (!goes_before(&heap[child], &moving))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moving;
}

/* Moves the source at `at` on to its next record, or out of the heap. Only its own subtree can get
 * out of order: what comes next is not smaller. */
static enum status step(struct import_merge *merge, size_t at, struct err *err)
{
    struct source *source = merge->heap[at].source;
    enum status st = advance(merge, source, err);
    if (st == ST_OK) {
        merge->heap[at].rank = source->current.rank;
        sift_down(merge, at);
        return ST_OK;
    }
    if (st != ST_END)
        return st;
    merge->heap_count--;
    if (at == merge->heap_count)
        return ST_OK;
    /* The last node is not smaller than the parent of `at`: that is the first one, or `at` itself
     * is. */
    CHECK(at <= 2);
    merge->heap[at] = merge->heap[merge->heap_count];
    sift_down(merge, at);
    return ST_OK;
}

static enum status add_source(struct import_merge *merge, size_t age, struct err *err)
{
    struct source *source = &merge->sources[age];
    source->age = age;
    enum status st = ST_OK;
    if (age < merge->options.run_count)
        st = import_run_reader_open(&source->reader, merge->options.env, &merge->options.runs[age],
                                    err);
    else
        source->batch = merge->options.batches[age - merge->options.run_count];
    CHECK(source->batch == NULL || source->batch->sorted);
    if (st == ST_OK)
        st = advance(merge, source, err);
    if (st == ST_OK)
        merge->heap[merge->heap_count++] =
            (struct node){.rank = source->current.rank, .source = source};
    return st == ST_END ? ST_OK : st;
}

enum status import_merge_create(const struct import_merge_options *options,
                                struct import_merge **out, struct err *err)
{
    struct import_merge *merge = mem_calloc(1, sizeof(*merge));
    merge->options = *options;
    size_t count = options->run_count + options->batch_count;
    merge->sources = mem_calloc(count + 1, sizeof(*merge->sources));
    merge->heap = mem_calloc(count + 1, sizeof(*merge->heap));
    enum status st = ST_OK;
    for (size_t age = 0; age < count && st == ST_OK; age++)
        st = add_source(merge, age, err);
    if (st != ST_OK) {
        import_merge_destroy(merge);
        return st;
    }
    for (size_t at = merge->heap_count / 2; at > 0; at--)
        sift_down(merge, at - 1);
    *out = merge;
    return ST_OK;
}

void import_merge_destroy(struct import_merge *merge)
{
    if (merge == NULL)
        return;
    for (size_t i = 0; i < merge->options.run_count; i++)
        import_run_reader_close(&merge->sources[i].reader);
    mem_free(merge->sources);
    mem_free(merge->heap);
    mem_free(merge);
}

static bool same_key(const struct import_merge *merge, size_t at)
{
    return at < merge->heap_count && merge->heap[at].rank == merge->heap[0].rank &&
           bytes_equal(merge->heap[at].source->current.key, merge->heap[0].source->current.key);
}

enum status import_merge_next(struct import_merge *merge, struct import_record *out,
                              struct err *err)
{
    if (merge->returned && merge->heap_count > 0) {
        enum status st = step(merge, 0, err);
        if (st != ST_OK)
            return st;
    }
    merge->returned = true;
    if (merge->heap_count == 0)
        return ST_END;
    /* Older records of the same key are next in order, so they are right below the first. */
    for (size_t child = 1; child <= 2;) {
        if (!same_key(merge, child)) {
            child++;
            continue;
        }
        merge->options.dropped(merge->options.arg, merge->options.family,
                               &merge->heap[child].source->current);
        enum status st = step(merge, child, err);
        if (st != ST_OK)
            return st;
        child = 1; /* taking one out may have moved others */
    }
    *out = merge->heap[0].source->current;
    return ST_OK;
}
