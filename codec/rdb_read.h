/* A streaming decoder of RDB files, versions 1 to RDB_VERSION_MAX.
 *
 * Pull: each rdb_reader_next() gives one item; after a key, its value is read, copied or skipped.
 * Memory is bounded by one buffer and the largest string (of which at most what really arrives is
 * allocated); values of other types are skipped by structure, or copied as they stand.
 *
 * The file ends with ST_END, only after its checksum was right: whoever must not act on a damaged
 * file keeps what it read apart until then. Any other status but ST_OK is final for the reader;
 * messages name the offset.
 *
 * One thread at a time. Blocks only in the caller's read function. */
#ifndef BASALT_CODEC_RDB_READ_H
#define BASALT_CODEC_RDB_READ_H

#include "codec/buf.h"
#include "codec/rdb_format.h"
#include "codec/rdb_read_value.h"
#include "codec/status.h"

/* Reads at least one and at most `capacity` bytes into `out`; 0 bytes mean the end of the input. On
 * failure it returns a status other than ST_OK and describes it in `err` (never NULL). */
typedef enum status rdb_read_fn(void *arg, uint8_t *out, size_t capacity, size_t *read_out,
                                struct err *err);

struct rdb_reader;

struct rdb_reader_options {
    rdb_read_fn *read;
    void *read_arg;
    uint64_t string_bytes_max; /* longer strings are ST_LIMIT; 0 means LZF_BYTES_MAX */
    bool ignore_checksum;      /* Redis's DEBUG SET-SKIP-CHECKSUM-VALIDATION */
};

enum rdb_event {
    RDB_EVENT_AUX,        /* a note such as redis-ver; ignore what you do not know */
    RDB_EVENT_SELECT_DB,  /* keys from here on belong to that database */
    RDB_EVENT_RESIZE_DB,  /* a hint: how many keys follow */
    RDB_EVENT_SLOT_INFO,  /* the same for one cluster slot */
    RDB_EVENT_FUNCTION,   /* a function library's source code */
    RDB_EVENT_MODULE_AUX, /* a module's own data, skipped */
    RDB_EVENT_KEY,        /* a key; its value is next */
};

/* All bytes are borrowed until the next call for the reader, but for the key's name: until the next
 * rdb_reader_next(). */
struct rdb_item {
    enum rdb_event event;
    union {
        struct {
            struct bytes name;
            struct bytes value;
        } aux;
        uint32_t db;
        struct {
            uint64_t slot; /* of RDB_EVENT_SLOT_INFO */
            uint64_t key_count;
            uint64_t expire_count;
        } resize;
        struct bytes function;
        uint64_t module_id;
        struct rdb_key key;
    };
};

struct rdb_reader *rdb_reader_create(const struct rdb_reader_options *options);
void rdb_reader_destroy(struct rdb_reader *reader);

/* Returns ST_OK with an item; ST_END (the file is complete and its checksum right); ST_CORRUPT
 * (also when it is cut off); ST_UNSUPPORTED (a newer version, or a pre-release format); ST_LIMIT (a
 * string too long or out of memory); or what the read function returned. A value not yet taken is
 * skipped. */
MUST_USE enum status rdb_reader_next(struct rdb_reader *reader, struct rdb_item *item_out,
                                     struct err *err);

/* These take the value of the key just returned, once. */

/* Only for RDB_TYPE_STRING: the whole text. */
MUST_USE enum status rdb_reader_read_string(struct rdb_reader *reader, struct bytes *value_out,
                                            struct err *err);
/* All types: hands the value over element by element (rdb_read_value.h). A module's is
 * ST_UNSUPPORTED. What the receiver returns is final, too. */
MUST_USE enum status rdb_reader_read_value(struct rdb_reader *reader, rdb_element_fn *take,
                                           void *arg, struct err *err);
/* Appends the value's bytes as they stand in the file: what DUMP gives between type and version. */
MUST_USE enum status rdb_reader_read_raw(struct rdb_reader *reader, struct buf *out,
                                         struct err *err);
/* The same, handed over in pieces: memory does not grow with the value. What `take` returns is
 * final, too. */
typedef enum status rdb_take_bytes_fn(void *arg, struct bytes bytes);
MUST_USE enum status rdb_reader_pass_value(struct rdb_reader *reader, rdb_take_bytes_fn *take,
                                           void *arg, struct err *err);
MUST_USE enum status rdb_reader_skip_value(struct rdb_reader *reader, struct err *err);
/* A value as it stands in the file, to be decoded apart from the reader. */
struct rdb_frame {
    uint8_t type;
    uint64_t offset; /* in the file, for messages */
    struct bytes bytes;
};
/* Borrowed until the next call for the reader. ST_NOT_FOUND: it has more than `bytes_max` bytes or
 * does not fit in the reader's buffer, or it is damaged; it was not taken, and reading it tells. */
MUST_USE enum status rdb_reader_frame_value(struct rdb_reader *reader, size_t bytes_max,
                                            struct rdb_frame *out, struct err *err);

/* As rdb_reader_read_string and rdb_reader_read_value, of a frame; on any thread. */
MUST_USE enum status rdb_frame_read_string(const struct rdb_frame *frame, uint64_t string_bytes_max,
                                           struct buf *scratch, struct bytes *value_out,
                                           struct err *err);
MUST_USE enum status rdb_frame_read_value(const struct rdb_frame *frame, uint64_t string_bytes_max,
                                          rdb_element_fn *take, void *arg, struct err *err);

/* The file's version; 0 before the first item. */
int rdb_reader_version(const struct rdb_reader *reader);
/* How many bytes of the input were decoded. */
uint64_t rdb_reader_offset(const struct rdb_reader *reader);
/* After ST_END: false if the file has no checksum (an old version, or switched off by its writer).
 */
bool rdb_reader_has_checksum(const struct rdb_reader *reader);
/* After ST_END: what was read from the input but stands behind the file (say, an AOF's commands).
 */
struct bytes rdb_reader_rest(const struct rdb_reader *reader);

/* The name of a module's type as text with a terminator, and the version of its encoding. */
int rdb_module_name(uint64_t module_id, char name_out[RDB_MODULE_NAME_BYTES + 1]);
/* A word for a value's type, such as "hash"; "unknown" for what is none. */
const char *rdb_type_name(uint8_t type);

#endif
