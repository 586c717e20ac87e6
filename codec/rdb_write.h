/* A streaming encoder of RDB files, as Redis writes them.
 *
 * Calls come in the order of the file: aux fields and functions, then per database select_db,
 * resize_db and its keys, then finish. The writer buffers and hands large pieces to the caller's
 * write function; a failure there is remembered, later calls do nothing, and finish reports it.
 *
 * One thread at a time. Blocks only in the caller's write function. */
#ifndef BASALT_CODEC_RDB_WRITE_H
#define BASALT_CODEC_RDB_WRITE_H

#include "codec/bytes.h"
#include "codec/rdb_format.h"
#include "codec/status.h"

/* Writes all of `data`. On failure it returns a status other than ST_OK and describes it in `err`
 * (never NULL). */
typedef enum status rdb_write_fn(void *arg, struct bytes data, struct err *err);

struct rdb_writer;

struct rdb_writer_options {
    rdb_write_fn *write;
    void *write_arg;
    int version;         /* 5 to RDB_VERSION_MAX; 0 means RDB_VERSION_DEFAULT */
    bool no_compression; /* else strings that LZF makes shorter are compressed */
    bool no_checksum;    /* writes 0, which readers accept */
};

/* Also writes the file's header. */
struct rdb_writer *rdb_writer_create(const struct rdb_writer_options *options);
void rdb_writer_destroy(struct rdb_writer *writer);

void rdb_writer_put_aux(struct rdb_writer *writer, const char *name, struct bytes value);
void rdb_writer_put_aux_i64(struct rdb_writer *writer, const char *name, int64_t value);
void rdb_writer_put_function(struct rdb_writer *writer, struct bytes code);
void rdb_writer_put_select_db(struct rdb_writer *writer, uint32_t db);
void rdb_writer_put_resize_db(struct rdb_writer *writer, uint64_t key_count, uint64_t expire_count);

/* A key with its attributes and value; key->db is not looked at. */
void rdb_writer_put_string(struct rdb_writer *writer, const struct rdb_key *key,
                           struct bytes value);
/* A key whose value is already encoded as key->type, as rdb_reader_read_raw() gives it. */
void rdb_writer_put_raw(struct rdb_writer *writer, const struct rdb_key *key, struct bytes value);

/* The parts of a value, for encoders of further types: first the key with its attributes and type,
 * then lengths, strings and bytes as the type wants them. */
void rdb_writer_put_key(struct rdb_writer *writer, const struct rdb_key *key);
void rdb_writer_put_length(struct rdb_writer *writer, uint64_t len);
void rdb_writer_put_text(struct rdb_writer *writer, struct bytes text);
void rdb_writer_put_bytes(struct rdb_writer *writer, struct bytes data);

/* True once a write failed: a long export may stop early. */
bool rdb_writer_failed(const struct rdb_writer *writer);
/* Bytes put so far. */
uint64_t rdb_writer_offset(const struct rdb_writer *writer);
/* Ends the file with its checksum and writes what is buffered. Returns ST_OK or the first failure.
 */
MUST_USE enum status rdb_writer_finish(struct rdb_writer *writer, struct err *err);

#endif
