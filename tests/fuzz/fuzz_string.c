/* Any record of a string is refused, or becomes a value that reads and encodes as the same bytes,
 * and takes any chunk element that comes for it. */
#include "codec/check.h"
#include "codec/mem.h"
#include "storage/types/string.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define READ_BYTES_MAX (1u << 20) /* of a large string, which may be all zeros and very long */

static uint64_t new_id(void *arg)
{
    return ++*(uint64_t *)arg;
}

static void ignore_chunk(void *arg, uint64_t object_id, uint32_t index, struct string_chunk *chunk)
{
    (void)arg, (void)object_id, (void)index;
    string_chunk_release(chunk);
}

/* Installs `element` at all chunks of the beginning, reads them, and changes them. */
static void check_chunks(struct object *o, const struct string_rules *rules, struct bytes element)
{
    uint32_t missing[64];
    size_t count = string_missing(o, 0, READ_BYTES_MAX, missing, 64);
    bool installed = true;
    for (size_t i = 0; i < count && i < 64; i++)
        installed =
            string_chunked_install(o, missing[i], element, i % 2 == 0) == ST_OK && installed;
    CHECK(installed || element.len > string_chunked(o)->chunk_bytes);
    if (!installed || count > 64)
        return;
    struct string_reader reader;
    struct bytes piece;
    string_reader_init(&reader, o, 0, READ_BYTES_MAX);
    while (string_reader_next(&reader, &piece))
        CHECK(piece.len > 0);
    if (string_len(o) > 0 && string_len(o) <= READ_BYTES_MAX)
        string_write(o, rules, string_len(o) - 1, bytes_text("ab"));
    (void)string_chunked_take_dirty(o, ignore_chunk, NULL);
    (void)string_chunked_drop_clean(o, SIZE_MAX);
}

static void check_same_record(const struct object *o, struct bytes in)
{
    struct buf again = {0};
    string_encode(o, &again);
    struct record_header header, header_again;
    struct bytes payload, payload_again;
    CHECK(record_header_decode(in, &header, &payload) == ST_OK);
    CHECK(record_header_decode(buf_bytes(&again), &header_again, &payload_again) == ST_OK);
    CHECK(bytes_equal(payload, payload_again));
    CHECK(header.large == header_again.large);
    buf_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t ids = 0;
    struct string_rules rules = {
        .large_bytes = 64, .chunk_bytes = 16, .new_id = new_id, .arg = &ids};
    struct bytes in = bytes_make(data, size);
    struct record_header header;
    struct bytes payload;
    struct string_plan plan;
    if (record_header_decode(in, &header, &payload) != ST_OK ||
        string_plan_record(&header, payload, &plan) != ST_OK)
        return 0;
    struct object *o = mem_calloc(1, sizeof(*o) + plan.inline_len);
    o->expire_at_ms = OBJECT_NO_EXPIRE;
    string_fill(o, &plan, &rules);
    check_same_record(o, in);
    if (o->encoding == ENCODING_CHUNKED) {
        check_chunks(o, &rules, in);
    } else {
        uint64_t len = string_len(o);
        string_write(o, &rules, len + 3, bytes_text("x"));
        CHECK(string_len(o) == len + 4);
    }
    object_free_fn *free_fn;
    void *value = string_take(o, &free_fn);
    if (value != NULL)
        free_fn(value);
    mem_free(o);
    return 0;
}
