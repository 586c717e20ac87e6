#include "tools/rdb_summary.h"

#include "codec/mem.h"
#include "codec/number.h"

#define MINUTE_MS INT64_C(60000)
#define DAY_MS    (24 * 60 * MINUTE_MS)

const struct rdb_summary_term rdb_summary_terms[RDB_SUMMARY_TERMS] = {
    {"had expired", "expired", 0},
    {"within a minute", "1m", MINUTE_MS},
    {"within an hour", "1h", 60 * MINUTE_MS},
    {"within a day", "1d", DAY_MS},
    {"within a week", "7d", 7 * DAY_MS},
    {"within 30 days", "30d", 30 * DAY_MS},
    {"within a year", "365d", 365 * DAY_MS},
    {"later", "later", INT64_MAX},
};

static const char *const encodings[RDB_TYPE_COUNT] = {
    [RDB_TYPE_STRING] = "string",
    [RDB_TYPE_LIST] = "linkedlist",
    [RDB_TYPE_SET] = "hashtable",
    [RDB_TYPE_ZSET] = "skiplist, scores as text",
    [RDB_TYPE_HASH] = "hashtable",
    [RDB_TYPE_ZSET_2] = "skiplist",
    [RDB_TYPE_MODULE_PRE_GA] = "module",
    [RDB_TYPE_MODULE_2] = "module",
    [RDB_TYPE_HASH_ZIPMAP] = "zipmap",
    [RDB_TYPE_LIST_ZIPLIST] = "ziplist",
    [RDB_TYPE_SET_INTSET] = "intset",
    [RDB_TYPE_ZSET_ZIPLIST] = "ziplist",
    [RDB_TYPE_HASH_ZIPLIST] = "ziplist",
    [RDB_TYPE_LIST_QUICKLIST] = "quicklist of ziplists",
    [RDB_TYPE_STREAM_LISTPACKS] = "listpacks (Redis 5)",
    [RDB_TYPE_HASH_LISTPACK] = "listpack",
    [RDB_TYPE_ZSET_LISTPACK] = "listpack",
    [RDB_TYPE_LIST_QUICKLIST_2] = "quicklist",
    [RDB_TYPE_STREAM_LISTPACKS_2] = "listpacks (Redis 7.0)",
    [RDB_TYPE_SET_LISTPACK] = "listpack",
    [RDB_TYPE_STREAM_LISTPACKS_3] = "listpacks (Redis 7.2)",
    [RDB_TYPE_HASH_METADATA_PRE_GA] = "hashtable with deadlines, preliminary",
    [RDB_TYPE_HASH_LISTPACK_EX_PRE_GA] = "listpack with deadlines, preliminary",
    [RDB_TYPE_HASH_METADATA] = "hashtable with deadlines",
    [RDB_TYPE_HASH_LISTPACK_EX] = "listpack with deadlines",
};

const char *rdb_summary_encoding(uint8_t type)
{
    const char *name = type < RDB_TYPE_COUNT ? encodings[type] : NULL;
    return name == NULL ? "unknown" : name;
}

static void init_top(struct rdb_summary_top *top, size_t capacity)
{
    top->keys = mem_calloc(capacity + 1, sizeof(*top->keys));
    top->capacity = capacity;
}

struct rdb_summary *rdb_summary_create(const struct rdb_summary_options *options)
{
    struct rdb_summary *summary = mem_calloc(1, sizeof(*summary));
    summary->now_ms = options->now_ms;
    summary->written_ms = options->now_ms;
    summary->prefixes = rdb_prefixes_create(options->separator, options->prefix_depth);
    init_top(&summary->by_bytes, options->top);
    init_top(&summary->by_elements, options->top);
    return summary;
}

static void deinit_top(struct rdb_summary_top *top)
{
    for (size_t i = 0; i < top->count; i++)
        buf_deinit(&top->keys[i].name);
    mem_free(top->keys);
}

void rdb_summary_destroy(struct rdb_summary *summary)
{
    for (size_t i = 0; i < summary->note_count; i++) {
        buf_deinit(&summary->notes[i].name);
        buf_deinit(&summary->notes[i].value);
    }
    deinit_top(&summary->by_bytes);
    deinit_top(&summary->by_elements);
    rdb_prefixes_destroy(summary->prefixes);
    mem_free(summary);
}

/* True: it was cut off. */
static bool keep_text(struct buf *to, struct bytes text)
{
    bool cut_off = text.len > RDB_SUMMARY_TEXT_BYTES;
    buf_append(to, text.data, cut_off ? RDB_SUMMARY_TEXT_BYTES : text.len);
    return cut_off;
}

static void add_note(struct rdb_summary *summary, struct bytes name, struct bytes value)
{
    uint64_t seconds;
    if (bytes_equal_nocase(name, "ctime") && number_parse_u64(value, &seconds) &&
        seconds < INT64_MAX / 2000)
        summary->written_ms = (int64_t)seconds * 1000;
    if (summary->note_count == RDB_SUMMARY_NOTES_MAX)
        return;
    struct rdb_summary_note *note = &summary->notes[summary->note_count++];
    (void)keep_text(&note->name, name);
    (void)keep_text(&note->value, value);
}

void rdb_summary_add_item(struct rdb_summary *summary, const struct rdb_item *item)
{
    switch (item->event) {
    case RDB_EVENT_AUX:
        add_note(summary, item->aux.name, item->aux.value);
        break;
    case RDB_EVENT_FUNCTION:
        summary->functions++;
        summary->function_bytes += item->function.len;
        break;
    case RDB_EVENT_MODULE_AUX:
        summary->module_data++;
        break;
    case RDB_EVENT_SELECT_DB:
    case RDB_EVENT_RESIZE_DB:
    case RDB_EVENT_SLOT_INFO:
    case RDB_EVENT_KEY:
        break;
    }
}

static void tally(struct rdb_tally *to, uint64_t bytes, uint64_t elements)
{
    to->keys++;
    to->bytes += bytes;
    to->elements += elements;
}

static void add_to_db(struct rdb_summary *summary, const struct rdb_key *key, uint64_t bytes,
                      uint64_t elements)
{
    size_t i = summary->db_count; /* files hold one database after the other: from the last one */
    while (i > 0 && summary->dbs[i - 1].db != key->db)
        i--;
    if (i == 0 && summary->db_count == RDB_SUMMARY_DBS_MAX)
        return;
    if (i == 0) {
        i = ++summary->db_count;
        summary->dbs[i - 1].db = key->db;
    }
    tally(&summary->dbs[i - 1].tally, bytes, elements);
    summary->dbs[i - 1].expires += key->has_expire;
}

static void add_expiry(struct rdb_summary *summary, const struct rdb_key *key)
{
    if (!key->has_expire)
        return;
    summary->expires++;
    summary->expired_now += key->expire_at_ms <= summary->now_ms;
    size_t term = 0;
    while (term < RDB_SUMMARY_TERMS - 1 &&
           key->expire_at_ms > summary->written_ms + rdb_summary_terms[term].ms)
        term++;
    summary->terms[term]++;
}

static void add_to_top(struct rdb_summary_top *top, const struct rdb_summary_key *facts,
                       struct bytes name, bool by_elements)
{
    size_t at = top->count;
    uint64_t size = by_elements ? facts->elements : facts->bytes;
    while (at > 0 && (by_elements ? top->keys[at - 1].elements : top->keys[at - 1].bytes) < size)
        at--;
    if (at == top->capacity)
        return;
    if (top->count == top->capacity)
        buf_deinit(&top->keys[--top->count].name);
    memmove(top->keys + at + 1, top->keys + at, (top->count - at) * sizeof(*top->keys));
    top->keys[at] = *facts;
    top->keys[at].cut_off = keep_text(&top->keys[at].name, name);
    top->count++;
}

void rdb_summary_add_key(struct rdb_summary *summary, const struct rdb_key *key, uint64_t bytes,
                         uint64_t elements)
{
    struct rdb_summary_key facts = {
        .db = key->db, .type = key->type, .bytes = bytes, .elements = elements};
    tally(&summary->total, bytes, elements);
    tally(&summary->types[key->type], bytes, elements);
    add_to_db(summary, key, bytes, elements);
    add_expiry(summary, key);
    add_to_top(&summary->by_bytes, &facts, key->name, false);
    add_to_top(&summary->by_elements, &facts, key->name, true);
    rdb_prefixes_add(summary->prefixes, key->name, bytes);
}
