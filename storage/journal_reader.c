/* Reading the stream from the segment files, also while the journal thread writes them.
 *
 * A reader never looks beyond `written`, so what it reads is complete. The file that holds an
 * offset can change under it: the journal goes on in a new segment, or gives a file up after a
 * failure and has its last blocks in another one, with the same bounds. Both raise
 * `segments_version`; the reader then looks up where it stands. */
#include <inttypes.h>

#include "codec/mem.h"
#include "storage/journal_internal.h"

struct journal_reader {
    struct journal *journal;
    struct journal_reader *next; /* in journal->readers; guarded by journal->lock */
    uint64_t pin;                /* what lies before may be deleted; guarded by journal->lock */
    uint64_t offset;             /* of the next byte to return */
    uint64_t block_offset;       /* of the block that holds it: at most `offset` */
    uint64_t segment_id;         /* of `file`; 0: none open */
    uint64_t segment_end;        /* as far as was known at `version` */
    uint64_t version;            /* journal->segments_version when that was looked up */
    uint64_t written;            /* journal->written when the file's size was asked for */
    bool aligned;
    struct segment_file file;
};

uint64_t journal_readers_pin(const struct journal *journal)
{
    uint64_t pin = UINT64_MAX;
    for (const struct journal_reader *reader = journal->readers; reader != NULL;
         reader = reader->next)
        pin = reader->pin < pin ? reader->pin : pin;
    return pin;
}

/* Looks up the segment that holds the reader's offset and pins it. */
static bool find_segment(struct journal_reader *reader, struct segment *out)
{
    struct journal *journal = reader->journal;
    (void)pthread_mutex_lock(&journal->lock);
    const struct segment *segment = segment_list_find(&journal->segments, reader->offset);
    if (segment != NULL) {
        *out = *segment;
        reader->pin = reader->offset;
    }
    reader->version = atomic_load(&journal->segments_version);
    (void)pthread_mutex_unlock(&journal->lock);
    return segment != NULL;
}

/* Moves the open file from the start of the segment to the block that holds the offset. */
static enum status seek_block(struct journal_reader *reader, uint64_t start, struct err *err)
{
    uint64_t at = start;
    while (at < reader->offset) {
        struct journal_block block;
        enum status st = segment_file_header(&reader->file, at, &block, err);
        if (st == ST_END)
            return err_set(err, ST_CORRUPT,
                           "%s: at byte %" PRIu64 ": the file ends at stream offset %" PRIu64
                           ", %" PRIu64 " is looked for",
                           reader->file.path, reader->file.pos, at, reader->offset);
        if (st != ST_OK)
            return st;
        if (block.payload_len > reader->offset - at)
            break;
        at += block.payload_len;
        reader->file.pos += JOURNAL_BLOCK_HEADER_BYTES + block.payload_len;
    }
    reader->block_offset = at;
    return ST_OK;
}

static void leave_segment(struct journal_reader *reader)
{
    segment_file_close(&reader->file);
    reader->segment_id = 0;
}

/* Sees to it that the file that holds the offset is open, and stands at the block. */
static enum status enter_segment(struct journal_reader *reader, struct err *err)
{
    struct journal *journal = reader->journal;
    if (reader->segment_id != 0 && reader->offset < reader->segment_end &&
        atomic_load(&journal->segments_version) == reader->version)
        return ST_OK;
    struct segment segment;
    if (!find_segment(reader, &segment))
        return err_set(err, ST_NOT_FOUND, "the journal no longer holds offset %" PRIu64,
                       reader->offset);
    reader->segment_end = segment.end;
    if (segment.id == reader->segment_id)
        return ST_OK;
    bool moved_on = reader->segment_id != 0;
    leave_segment(reader);
    enum status st =
        segment_file_open(&reader->file, journal->env, journal->dir, segment.start, ENV_READ, err);
    if (st == ST_OK)
        st = seek_block(reader, segment.start, err);
    if (st != ST_OK) {
        leave_segment(reader);
        return st;
    }
    reader->segment_id = segment.id;
    if (moved_on)
        journal_poke(journal); /* the one it left may be waiting to be deleted */
    return ST_OK;
}

static void link_reader(struct journal_reader *reader)
{
    struct journal *journal = reader->journal;
    (void)pthread_mutex_lock(&journal->lock);
    reader->pin = reader->offset;
    reader->next = journal->readers;
    journal->readers = reader;
    (void)pthread_mutex_unlock(&journal->lock);
}

enum status journal_reader_open(struct journal *journal, uint64_t offset,
                                struct journal_reader **out, struct err *err)
{
    uint64_t written = journal_written(journal);
    if (offset > written)
        return err_set(err, ST_INVALID,
                       "offset %" PRIu64 " is beyond the end of the journal, %" PRIu64, offset,
                       written);
    struct journal_reader *reader = mem_calloc(1, sizeof(*reader));
    reader->journal = journal;
    reader->offset = offset;
    link_reader(reader);
    enum status st = enter_segment(reader, err);
    if (st != ST_OK) {
        journal_reader_close(reader);
        return st;
    }
    reader->aligned = reader->block_offset == offset;
    *out = reader;
    return ST_OK;
}

void journal_reader_close(struct journal_reader *reader)
{
    if (reader == NULL)
        return;
    struct journal *journal = reader->journal;
    (void)pthread_mutex_lock(&journal->lock);
    struct journal_reader **link = &journal->readers;
    while (*link != reader)
        link = &(*link)->next;
    *link = reader->next;
    (void)pthread_mutex_unlock(&journal->lock);
    journal_poke(journal);
    segment_file_close(&reader->file);
    mem_free(reader);
}

bool journal_reader_aligned(const struct journal_reader *reader)
{
    return reader->aligned;
}

uint64_t journal_reader_offset(const struct journal_reader *reader)
{
    return reader->offset;
}

/* Reads the block the file stands at; empty ones are passed over. */
static enum status read_block(struct journal_reader *reader, uint64_t written,
                              struct journal_block *block, struct bytes *payload, struct err *err)
{
    struct segment_file *file = &reader->file;
    if (reader->written != written) {
        /* Not only the size is new: blocks take the place of zeros that may be buffered. */
        enum status st = segment_file_refresh(file, err);
        if (st != ST_OK)
            return st;
        reader->written = written;
    }
    for (;;) {
        enum status st = segment_file_header(file, reader->block_offset, block, err);
        if (st == ST_END)
            return err_set(err, ST_CORRUPT,
                           "%s: at byte %" PRIu64 ": the file ends at stream offset %" PRIu64
                           ", the journal goes on",
                           file->path, file->pos, reader->block_offset);
        if (st != ST_OK)
            return st;
        if (block->payload_len != 0)
            return segment_file_payload(file, block, payload, err);
        file->pos += JOURNAL_BLOCK_HEADER_BYTES;
    }
}

enum status journal_reader_next(struct journal_reader *reader, uint32_t *db_out,
                                uint64_t *offset_out, struct bytes *payload_out, struct err *err)
{
    uint64_t written = journal_written(reader->journal);
    if (reader->offset >= written)
        return ST_END;
    struct journal_block block;
    struct bytes payload;
    enum status st = enter_segment(reader, err);
    if (st == ST_OK)
        st = read_block(reader, written, &block, &payload, err);
    if (st == ST_CORRUPT) {
        /* Perhaps the file was just given up for another: look again, at all of it. */
        leave_segment(reader);
        st = enter_segment(reader, err);
        if (st == ST_OK)
            st = read_block(reader, written, &block, &payload, err);
    }
    if (st != ST_OK)
        return st;
    uint64_t skip = reader->offset - reader->block_offset;
    *db_out = block.db;
    *offset_out = reader->offset;
    *payload_out = bytes_make(payload.data + skip, payload.len - (size_t)skip);
    reader->block_offset += block.payload_len;
    reader->offset = reader->block_offset;
    reader->file.pos += JOURNAL_BLOCK_HEADER_BYTES + block.payload_len;
    return ST_OK;
}
