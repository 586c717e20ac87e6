/* Values in RAM as RDB files and DUMP have them, byte for byte as Redis reads them. What an older
 * version has no form for is written in an older form; FORMAT.md, "RDB", has the table.
 *
 * Pure but for reading the object: the main thread for its objects, any thread for one of its own.
 */
#ifndef BASALT_STORAGE_RDB_VALUE_H
#define BASALT_STORAGE_RDB_VALUE_H

#include "codec/bytes.h"
#include "codec/rdb_format.h"
#include "storage/object.h"

struct buf;
struct rdb_writer;

/* Where values go. */
struct rdb_target {
    struct rdb_writer *writer;
    int version;    /* 9 to RDB_VERSION_MAX: whose forms are used */
    int64_t now_ms; /* what is due by then is left out, of fields whose deadlines it cannot tell */
};

/* From this version on there are deadlines of a hash's fields. */
#define RDB_VERSION_FIELD_DEADLINES 12

/* The form in which the value is put: an enum rdb_type. */
uint8_t rdb_value_type(const struct object *o, int version);
uint8_t rdb_list_type(int version);
/* Whether nothing would be left of it: a hash of which all fields are due, and left out. */
bool rdb_value_is_empty(const struct rdb_target *target, const struct object *o);
/* Puts what stands behind the type and the key. All of the value is in RAM. */
void rdb_value_put(const struct rdb_target *target, const struct object *o);
/* Appends what DUMP answers: type, value, version and checksum. The version is the lowest that
 * tells everything: RDB_VERSION_DEFAULT, or higher where fields have deadlines. */
void rdb_value_dump(const struct object *o, bool compress, struct buf *out);

/* Pieces of values, also for those that are read from disk (rdb_record.h). */
void rdb_put_score(struct rdb_writer *writer, double score);
void rdb_put_ms(struct rdb_writer *writer, int64_t ms);
/* A list's node as `version` has it: as it is, or element by element. */
void rdb_put_list_node(const struct rdb_target *target, bool plain, struct bytes content);

#endif
