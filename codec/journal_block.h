/* Journal files: a segment header, then blocks of a header and a payload (RESP commands). Pure
 * functions, any thread. Source: FORMAT.md, "Journal".
 *
 * A block's header says how long its payload is, where it stands in the stream, and which database
 * is selected at its start, so that replay can begin at any block. Header and payload have a
 * checksum each: the length can be trusted before the payload is read. */
#ifndef BASALT_CODEC_JOURNAL_BLOCK_H
#define BASALT_CODEC_JOURNAL_BLOCK_H

#include "codec/bytes.h"
#include "codec/status.h"

#define JOURNAL_BLOCK_HEADER_BYTES      32
#define JOURNAL_BLOCK_PAYLOAD_BYTES_MAX (UINT64_C(1) << 40)
#define JOURNAL_SEGMENT_HEADER_BYTES    32
#define JOURNAL_SEGMENT_VERSION         1
#define JOURNAL_OFFSET_MAX              ((uint64_t)INT64_MAX) /* replicas count in int64 */

enum journal_block_flag {
    /* All of the stream before this block was durable before this block was written. Tells damage
     * from what a power failure leaves: of blocks written after the last sync any may be missing,
     * also one in the middle, but none that has such a block behind it. */
    JOURNAL_BLOCK_AFTER_SYNC = 1 << 0,
    /* An empty block, the last one written by a process that closed the journal. */
    JOURNAL_BLOCK_CLOSED = 1 << 1,
    /* An empty block that says up to where the stream was durable when it was written: what
     * JOURNAL_BLOCK_AFTER_SYNC cannot say when more was written during the sync. Alone. */
    JOURNAL_BLOCK_MARK = 1 << 2,
    /* An empty block that says when the blocks behind it were written, at the earliest. Alone. */
    JOURNAL_BLOCK_TIME = 1 << 3,
};
#define JOURNAL_BLOCK_FLAGS_ALL                                                                    \
    ((uint16_t)(JOURNAL_BLOCK_AFTER_SYNC | JOURNAL_BLOCK_CLOSED | JOURNAL_BLOCK_MARK |             \
                JOURNAL_BLOCK_TIME))

struct journal_block {
    uint64_t payload_len;
    uint64_t offset;      /* of the payload's first byte in the stream */
    uint32_t payload_crc; /* crc32c(0, payload) */
    uint16_t db;          /* the database selected when the payload starts */
    uint16_t flags;       /* enum journal_block_flag */
    uint64_t durable;     /* of JOURNAL_BLOCK_MARK; else 0 */
    int64_t time_ms;      /* of JOURNAL_BLOCK_TIME, wall clock; else 0 */
};

/* Whether the block says something about others, and is none of the stream. */
static inline bool journal_block_is_note(const struct journal_block *block)
{
    return (block->flags & (JOURNAL_BLOCK_MARK | JOURNAL_BLOCK_TIME)) != 0;
}

/* Checks (CHECK) that the fields are within their limits. */
void journal_block_header_encode(const struct journal_block *block,
                                 uint8_t out[JOURNAL_BLOCK_HEADER_BYTES]);
/* Returns ST_OK; ST_CORRUPT (no magic, checksum, limits); ST_UNSUPPORTED (flags of a newer
 * version). The caller adds file and position to the message. `block_out` is written only on ST_OK.
 */
MUST_USE enum status journal_block_header_decode(const uint8_t header[JOURNAL_BLOCK_HEADER_BYTES],
                                                 struct journal_block *block_out, struct err *err);
/* ST_CORRUPT unless `payload` is what the header was made for. */
MUST_USE enum status journal_block_payload_verify(const struct journal_block *block,
                                                  struct bytes payload, struct err *err);

/* Looks for a header behind a damaged place, to tell a torn tail from corruption: the first
 * position in `data` of a whole, valid header with a stream offset of at least `offset_min`. To
 * search in pieces, let them overlap by JOURNAL_BLOCK_HEADER_BYTES - 1. What it finds may still be
 * part of a payload; only a payload that verifies makes it a block. */
MUST_USE bool journal_block_find(struct bytes data, uint64_t offset_min, size_t *at_out,
                                 struct journal_block *block_out);

struct journal_segment {
    uint64_t start_offset; /* stream offset of the first block's payload */
    uint64_t created_ms;   /* wall clock, for people */
};

void journal_segment_header_encode(const struct journal_segment *segment,
                                   uint8_t out[JOURNAL_SEGMENT_HEADER_BYTES]);
/* Returns ST_OK; ST_CORRUPT; ST_UNSUPPORTED (intact, but of another version). */
MUST_USE enum status
journal_segment_header_decode(const uint8_t header[JOURNAL_SEGMENT_HEADER_BYTES],
                              struct journal_segment *segment_out, struct err *err);

/* An archived segment: this header, then the segment's bytes in zstd frames. */
#define JOURNAL_ARCHIVE_HEADER_BYTES   116
#define JOURNAL_ARCHIVE_VERSION        1
#define JOURNAL_HISTORY_BYTES_MAX      64 /* a zero at its end included */
#define JOURNAL_SEGMENT_FILE_BYTES_MAX (UINT64_C(1) << 50)

struct journal_archive {
    uint64_t start, end;  /* stream offsets */
    uint64_t plain_bytes; /* of the segment as it was, header included */
    int64_t last_ms;      /* the latest time that it tells, or when it was begun */
    bool damaged;         /* it was so before it was archived */
    /* Of the dataset whose stream this is: the same offset means the same byte only with the same
     * text. Printable ASCII, perhaps empty. */
    char history[JOURNAL_HISTORY_BYTES_MAX];
};

/* Checks (CHECK) that the fields are within their limits. */
void journal_archive_header_encode(const struct journal_archive *archive,
                                   uint8_t out[JOURNAL_ARCHIVE_HEADER_BYTES]);
/* Returns ST_OK; ST_CORRUPT; ST_UNSUPPORTED (intact, but of another version). */
MUST_USE enum status
journal_archive_header_decode(const uint8_t header[JOURNAL_ARCHIVE_HEADER_BYTES],
                              struct journal_archive *archive_out, struct err *err);

#endif
