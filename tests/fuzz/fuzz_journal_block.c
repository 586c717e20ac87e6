/* Any bytes given to the journal's decoders are refused, or are what the encoder writes. */
#include "codec/check.h"
#include "codec/checksum.h"
#include "codec/endian.h"
#include "codec/journal_block.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Fuzzing cannot guess checksums: they are put right in every second header. */
static void mend(const uint8_t *data, uint8_t header[JOURNAL_BLOCK_HEADER_BYTES])
{
    memcpy(header, data, JOURNAL_BLOCK_HEADER_BYTES);
    store_le32(header + 28, crc32c(0, header, 28));
}

static void check_block(const uint8_t header[JOURNAL_BLOCK_HEADER_BYTES], struct bytes behind)
{
    struct journal_block block;
    if (journal_block_header_decode(header, &block, NULL) != ST_OK)
        return;
    uint8_t again[JOURNAL_BLOCK_HEADER_BYTES];
    journal_block_header_encode(&block, again);
    CHECK(memcmp(again, header, sizeof(again)) == 0);
    if (block.payload_len < behind.len)
        behind.len = (size_t)block.payload_len;
    if (journal_block_payload_verify(&block, behind, NULL) == ST_OK)
        CHECK(crc32c_portable(0, behind.data, behind.len) == block.payload_crc);
}

static void check_segment(const uint8_t header[JOURNAL_SEGMENT_HEADER_BYTES])
{
    struct journal_segment segment;
    if (journal_segment_header_decode(header, &segment, NULL) != ST_OK)
        return;
    uint8_t again[JOURNAL_SEGMENT_HEADER_BYTES];
    journal_segment_header_encode(&segment, again);
    CHECK(memcmp(again, header, sizeof(again)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct journal_block block;
    size_t at;
    if (journal_block_find(bytes_make(data, size), 0, &at, &block)) {
        CHECK(at + JOURNAL_BLOCK_HEADER_BYTES <= size);
        CHECK(memcmp(data + at, "BJB1", 4) == 0);
    }
    for (; size >= JOURNAL_BLOCK_HEADER_BYTES;
         data += JOURNAL_BLOCK_HEADER_BYTES, size -= JOURNAL_BLOCK_HEADER_BYTES) {
        uint8_t mended[JOURNAL_BLOCK_HEADER_BYTES];
        struct bytes behind =
            bytes_make(data + JOURNAL_BLOCK_HEADER_BYTES, size - JOURNAL_BLOCK_HEADER_BYTES);
        mend(data, mended);
        check_block(data, behind);
        check_block(mended, behind);
        check_segment(data);
        check_segment(mended);
    }
    return 0;
}
