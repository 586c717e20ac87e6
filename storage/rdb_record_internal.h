/* Shared by rdb_record*.c. */
#ifndef BASALT_STORAGE_RDB_RECORD_INTERNAL_H
#define BASALT_STORAGE_RDB_RECORD_INTERNAL_H

#include "storage/rdb_record.h"

/* One key being put, with what reads its elements. */
struct rdb_put {
    const struct rdb_source *source;
    const struct rdb_target *target;
    const struct rdb_record *record;
    uint64_t object_id;
    struct cold_iter *elements; /* over all elements of the object */
};

/* Puts the key with its attributes. */
void rdb_put_key(const struct rdb_put *put, uint8_t type);
/* Says that the record or an element is damaged. Returns ST_CORRUPT. */
enum status rdb_put_damaged(const struct rdb_put *put, const char *what, struct err *err);
/* Moves to the first element at or behind `element`; then to the next one. False: none is left
 * whose first byte is `kind`, or the disk could not be read (cold_iter_status). */
bool rdb_put_seek(const struct rdb_put *put, struct bytes element, uint8_t kind);
bool rdb_put_next(const struct rdb_put *put, uint8_t kind);
/* Of the current element, what stands behind the object id in its key. */
struct bytes rdb_put_element(const struct rdb_put *put);

/* By type; the key is put by them, too. */
enum status rdb_put_large_members(const struct rdb_put *put, bool *put_out, struct err *err);
enum status rdb_put_large_list(const struct rdb_put *put, struct err *err);
enum status rdb_put_large_stream(const struct rdb_put *put, struct err *err);

#endif
