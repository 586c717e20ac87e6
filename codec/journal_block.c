/* Journal files: see journal_block.h and FORMAT.md. */
#include "codec/journal_block.h"

#include "codec/check.h"
#include "codec/checksum.h"
#include "codec/endian.h"

#include <inttypes.h>

/* Where fields stand; all are little endian. */
enum {
    BLOCK_AT_MAGIC = 0,
    BLOCK_AT_PAYLOAD_CRC = 4,
    BLOCK_AT_PAYLOAD_LEN = 8,
    BLOCK_AT_DURABLE = 8, /* of a mark, which has no payload */
    BLOCK_AT_TIME = 8,    /* the same of a time */
    BLOCK_AT_OFFSET = 16,
    BLOCK_AT_DB = 24,
    BLOCK_AT_FLAGS = 26,
    BLOCK_AT_CRC = 28,
};

enum {
    SEGMENT_AT_MAGIC = 0,
    SEGMENT_AT_VERSION = 8,
    SEGMENT_AT_START_OFFSET = 12,
    SEGMENT_AT_CREATED_MS = 20,
    SEGMENT_AT_CRC = 28,
};

enum {
    ARCHIVE_AT_MAGIC = 0,
    ARCHIVE_AT_VERSION = 8,
    ARCHIVE_AT_FLAGS = 12,
    ARCHIVE_AT_START = 16,
    ARCHIVE_AT_END = 24,
    ARCHIVE_AT_PLAIN_BYTES = 32,
    ARCHIVE_AT_LAST_MS = 40,
    ARCHIVE_AT_HISTORY = 48,
    ARCHIVE_AT_CRC = 112,
};
#define ARCHIVE_FLAG_DAMAGED 1

#define MAGIC_BYTES 4
static const uint8_t block_magic[MAGIC_BYTES] = {'B', 'J', 'B', '1'};
static const uint8_t segment_magic[8] = {'B', 'A', 'S', 'J', 'R', 'N', 'L', '1'};
static const uint8_t archive_magic[8] = {'B', 'A', 'S', 'J', 'A', 'R', 'C', '1'};

_Static_assert(BLOCK_AT_CRC + 4 == JOURNAL_BLOCK_HEADER_BYTES, "the checksum ends the header");
_Static_assert(SEGMENT_AT_CRC + 4 == JOURNAL_SEGMENT_HEADER_BYTES, "the checksum ends the header");
_Static_assert(ARCHIVE_AT_CRC + 4 == JOURNAL_ARCHIVE_HEADER_BYTES, "the checksum ends the header");
_Static_assert(ARCHIVE_AT_HISTORY + JOURNAL_HISTORY_BYTES_MAX == ARCHIVE_AT_CRC, "it fits");
_Static_assert(JOURNAL_BLOCK_PAYLOAD_BYTES_MAX < JOURNAL_OFFSET_MAX, "a payload fits in a stream");

static bool within_limits(const struct journal_block *block)
{
    if ((block->flags & JOURNAL_BLOCK_MARK) != 0)
        return block->flags == JOURNAL_BLOCK_MARK && block->payload_len == 0 &&
               block->offset <= JOURNAL_OFFSET_MAX && block->durable <= block->offset;
    if ((block->flags & JOURNAL_BLOCK_TIME) != 0)
        return block->flags == JOURNAL_BLOCK_TIME && block->payload_len == 0 &&
               block->offset <= JOURNAL_OFFSET_MAX && block->time_ms >= 0;
    return block->payload_len <= JOURNAL_BLOCK_PAYLOAD_BYTES_MAX &&
           block->offset <= JOURNAL_OFFSET_MAX - block->payload_len;
}

void journal_block_header_encode(const struct journal_block *block,
                                 uint8_t out[JOURNAL_BLOCK_HEADER_BYTES])
{
    CHECK(within_limits(block));
    CHECK((block->flags & ~JOURNAL_BLOCK_FLAGS_ALL) == 0);
    memcpy(out + BLOCK_AT_MAGIC, block_magic, MAGIC_BYTES);
    store_le32(out + BLOCK_AT_PAYLOAD_CRC, block->payload_crc);
    if ((block->flags & JOURNAL_BLOCK_MARK) != 0)
        store_le64(out + BLOCK_AT_DURABLE, block->durable);
    else if ((block->flags & JOURNAL_BLOCK_TIME) != 0)
        store_le64(out + BLOCK_AT_TIME, (uint64_t)block->time_ms);
    else
        store_le64(out + BLOCK_AT_PAYLOAD_LEN, block->payload_len);
    store_le64(out + BLOCK_AT_OFFSET, block->offset);
    store_le16(out + BLOCK_AT_DB, block->db);
    store_le16(out + BLOCK_AT_FLAGS, block->flags);
    store_le32(out + BLOCK_AT_CRC, crc32c(0, out, BLOCK_AT_CRC));
}

/* The checksum of a header stands behind what it is of. */
static enum status check_crc(const uint8_t *header, size_t len, const char *what, struct err *err)
{
    uint32_t crc = crc32c(0, header, len);
    uint32_t stored = load_le32(header + len);
    if (crc == stored)
        return ST_OK;
    return err_set(err, ST_CORRUPT, "%s has checksum 0x%08" PRIx32 ", its bytes give 0x%08" PRIx32,
                   what, stored, crc);
}

enum status journal_block_header_decode(const uint8_t header[JOURNAL_BLOCK_HEADER_BYTES],
                                        struct journal_block *block_out, struct err *err)
{
    if (memcmp(header + BLOCK_AT_MAGIC, block_magic, MAGIC_BYTES) != 0)
        return err_set(err, ST_CORRUPT, "no journal block starts here: magic is 0x%08" PRIx32,
                       load_be32(header + BLOCK_AT_MAGIC));
    enum status st = check_crc(header, BLOCK_AT_CRC, "journal block header", err);
    if (st != ST_OK)
        return st;
    struct journal_block block = {
        .payload_crc = load_le32(header + BLOCK_AT_PAYLOAD_CRC),
        .offset = load_le64(header + BLOCK_AT_OFFSET),
        .db = load_le16(header + BLOCK_AT_DB),
        .flags = load_le16(header + BLOCK_AT_FLAGS),
    };
    if ((block.flags & JOURNAL_BLOCK_MARK) != 0)
        block.durable = load_le64(header + BLOCK_AT_DURABLE);
    else if ((block.flags & JOURNAL_BLOCK_TIME) != 0)
        block.time_ms = (int64_t)load_le64(header + BLOCK_AT_TIME);
    else
        block.payload_len = load_le64(header + BLOCK_AT_PAYLOAD_LEN);
    if ((block.flags & ~JOURNAL_BLOCK_FLAGS_ALL) != 0)
        return err_set(err, ST_UNSUPPORTED, "journal block has unknown flags 0x%04x", block.flags);
    if (!within_limits(&block))
        return err_set(err, ST_CORRUPT,
                       "journal block of %" PRIu64 " bytes at stream offset %" PRIu64
                       " is out of bounds",
                       block.payload_len, block.offset);
    *block_out = block;
    return ST_OK;
}

enum status journal_block_payload_verify(const struct journal_block *block, struct bytes payload,
                                         struct err *err)
{
    if (payload.len != block->payload_len)
        return err_set(err, ST_CORRUPT,
                       "journal block at stream offset %" PRIu64 " has %" PRIu64
                       " bytes of payload, only %zu are there",
                       block->offset, block->payload_len, payload.len);
    uint32_t crc = crc32c(0, payload.data, payload.len);
    if (crc != block->payload_crc)
        return err_set(err, ST_CORRUPT,
                       "journal block at stream offset %" PRIu64 " (%" PRIu64
                       " bytes) has checksum 0x%08" PRIx32 ", its bytes give 0x%08" PRIx32,
                       block->offset, block->payload_len, block->payload_crc, crc);
    return ST_OK;
}

bool journal_block_find(struct bytes data, uint64_t offset_min, size_t *at_out,
                        struct journal_block *block_out)
{
    for (size_t at = 0; data.len - at >= JOURNAL_BLOCK_HEADER_BYTES; at++) {
        const uint8_t *hit = memmem(data.data + at, data.len - at, block_magic, MAGIC_BYTES);
        if (hit == NULL)
            return false;
        at = (size_t)(hit - data.data);
        struct journal_block block;
        if (data.len - at >= JOURNAL_BLOCK_HEADER_BYTES &&
            journal_block_header_decode(hit, &block, NULL) == ST_OK && block.offset >= offset_min) {
            *at_out = at;
            *block_out = block;
            return true;
        }
    }
    return false;
}

void journal_segment_header_encode(const struct journal_segment *segment,
                                   uint8_t out[JOURNAL_SEGMENT_HEADER_BYTES])
{
    CHECK(segment->start_offset <= JOURNAL_OFFSET_MAX);
    memcpy(out + SEGMENT_AT_MAGIC, segment_magic, sizeof(segment_magic));
    store_le32(out + SEGMENT_AT_VERSION, JOURNAL_SEGMENT_VERSION);
    store_le64(out + SEGMENT_AT_START_OFFSET, segment->start_offset);
    store_le64(out + SEGMENT_AT_CREATED_MS, segment->created_ms);
    store_le32(out + SEGMENT_AT_CRC, crc32c(0, out, SEGMENT_AT_CRC));
}

enum status journal_segment_header_decode(const uint8_t header[JOURNAL_SEGMENT_HEADER_BYTES],
                                          struct journal_segment *segment_out, struct err *err)
{
    if (memcmp(header + SEGMENT_AT_MAGIC, segment_magic, sizeof(segment_magic)) != 0)
        return err_set(err, ST_CORRUPT, "not a journal segment: it starts with 0x%016" PRIx64,
                       load_be64(header + SEGMENT_AT_MAGIC));
    enum status st = check_crc(header, SEGMENT_AT_CRC, "journal segment header", err);
    if (st != ST_OK)
        return st;
    uint32_t version = load_le32(header + SEGMENT_AT_VERSION);
    if (version != JOURNAL_SEGMENT_VERSION)
        return err_set(err, ST_UNSUPPORTED,
                       "journal segment has format version %" PRIu32
                       ", this server reads version %d",
                       version, JOURNAL_SEGMENT_VERSION);
    uint64_t start_offset = load_le64(header + SEGMENT_AT_START_OFFSET);
    if (start_offset > JOURNAL_OFFSET_MAX)
        return err_set(err, ST_CORRUPT, "journal segment starts at offset %" PRIu64, start_offset);
    *segment_out = (struct journal_segment){
        .start_offset = start_offset,
        .created_ms = load_le64(header + SEGMENT_AT_CREATED_MS),
    };
    return ST_OK;
}

/* Whether the fields mean something; the history must be text that ends in zeros. */
static bool is_archive(const struct journal_archive *archive)
{
    size_t len = strnlen(archive->history, JOURNAL_HISTORY_BYTES_MAX);
    for (size_t i = 0; i < JOURNAL_HISTORY_BYTES_MAX; i++)
        if (i < len ? archive->history[i] <= ' ' || archive->history[i] > '~'
                    : archive->history[i] != '\0')
            return false;
    return len < JOURNAL_HISTORY_BYTES_MAX && archive->start < archive->end &&
           archive->end <= JOURNAL_OFFSET_MAX && archive->last_ms >= 0 &&
           archive->plain_bytes <= JOURNAL_SEGMENT_FILE_BYTES_MAX;
}

void journal_archive_header_encode(const struct journal_archive *archive,
                                   uint8_t out[JOURNAL_ARCHIVE_HEADER_BYTES])
{
    CHECK(is_archive(archive));
    memcpy(out + ARCHIVE_AT_MAGIC, archive_magic, sizeof(archive_magic));
    store_le32(out + ARCHIVE_AT_VERSION, JOURNAL_ARCHIVE_VERSION);
    store_le32(out + ARCHIVE_AT_FLAGS, archive->damaged ? ARCHIVE_FLAG_DAMAGED : 0);
    store_le64(out + ARCHIVE_AT_START, archive->start);
    store_le64(out + ARCHIVE_AT_END, archive->end);
    store_le64(out + ARCHIVE_AT_PLAIN_BYTES, archive->plain_bytes);
    store_le64(out + ARCHIVE_AT_LAST_MS, (uint64_t)archive->last_ms);
    memcpy(out + ARCHIVE_AT_HISTORY, archive->history, JOURNAL_HISTORY_BYTES_MAX);
    store_le32(out + ARCHIVE_AT_CRC, crc32c(0, out, ARCHIVE_AT_CRC));
}

enum status journal_archive_header_decode(const uint8_t header[JOURNAL_ARCHIVE_HEADER_BYTES],
                                          struct journal_archive *archive_out, struct err *err)
{
    if (memcmp(header + ARCHIVE_AT_MAGIC, archive_magic, sizeof(archive_magic)) != 0)
        return err_set(err, ST_CORRUPT,
                       "not an archived journal segment: it starts with 0x%016" PRIx64,
                       load_be64(header + ARCHIVE_AT_MAGIC));
    enum status st =
        check_crc(header, ARCHIVE_AT_CRC, "the header of an archived journal segment", err);
    if (st != ST_OK)
        return st;
    uint32_t version = load_le32(header + ARCHIVE_AT_VERSION);
    uint32_t flags = load_le32(header + ARCHIVE_AT_FLAGS);
    if (version != JOURNAL_ARCHIVE_VERSION || (flags & ~(uint32_t)ARCHIVE_FLAG_DAMAGED) != 0)
        return err_set(err, ST_UNSUPPORTED,
                       "archived journal segment has format version %" PRIu32
                       " and flags 0x%" PRIx32 ", this server reads version %d",
                       version, flags, JOURNAL_ARCHIVE_VERSION);
    struct journal_archive archive = {
        .start = load_le64(header + ARCHIVE_AT_START),
        .end = load_le64(header + ARCHIVE_AT_END),
        .plain_bytes = load_le64(header + ARCHIVE_AT_PLAIN_BYTES),
        .last_ms = (int64_t)load_le64(header + ARCHIVE_AT_LAST_MS),
        .damaged = (flags & ARCHIVE_FLAG_DAMAGED) != 0,
    };
    memcpy(archive.history, header + ARCHIVE_AT_HISTORY, JOURNAL_HISTORY_BYTES_MAX);
    if (!is_archive(&archive))
        return err_set(err, ST_CORRUPT,
                       "archived journal segment of offsets %" PRIu64 " to %" PRIu64
                       " is out of bounds",
                       archive.start, archive.end);
    *archive_out = archive;
    return ST_OK;
}
