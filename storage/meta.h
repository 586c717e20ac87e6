/* The records of the meta family: what recovery reads first. Source: codec/FORMAT.md, "Meta". */
#ifndef BASALT_STORAGE_META_H
#define BASALT_STORAGE_META_H

#include "codec/buf.h"
#include "codec/status.h"
#include "storage/keyspace.h"

#define META_FORMAT_VERSION 1
#define META_DB_COUNT_MAX   65535

struct cold;
struct cold_batch;
struct cold_snapshot;
struct env;

/* Written when the data directory is made, and when the dataset's history becomes another one. */
struct meta_identity {
    uint64_t hash_seed;
    char replication_id[41]; /* 40 hexadecimal digits */
};

struct meta_db {
    uint32_t id;
    uint64_t keys[OBJECT_TYPE_COUNT];
    uint64_t expires;
};

/* Written with each cut. */
struct meta_state {
    uint64_t cut_offset;
    uint32_t next_db_id;
    uint64_t next_object_id;
    uint32_t db_count;
    struct meta_db *dbs; /* owned; by number */
};

/* ST_NOT_FOUND: the directory is new. ST_UNSUPPORTED: of a newer format. ST_CORRUPT, ST_IO. */
MUST_USE enum status meta_read_identity(struct cold *cold, struct meta_identity *out,
                                        struct err *err);
/* Makes up the identity of a new dataset. */
void meta_make_identity(struct env *env, struct meta_identity *out);
/* A new replication id: nobody who has followed the old one may go on from an offset. */
void meta_renew_replication_id(struct env *env, struct meta_identity *identity);
void meta_put_identity(struct cold_batch *batch, const struct meta_identity *identity);
/* The name that the system gave to its boot under which the journal was last written. It is gone
 * from RocksDB, or another: what the journal was given and not synced may have been lost.
 * ST_NOT_FOUND; ST_CORRUPT, ST_UNSUPPORTED, ST_IO. */
MUST_USE enum status meta_read_boot(struct cold *cold, struct buf *out, struct err *err);
void meta_put_boot(struct cold_batch *batch, struct bytes boot);
MUST_USE enum status meta_read_state(struct cold *cold, struct meta_state *out, struct err *err);
/* The same as RocksDB was at `snapshot`. */
MUST_USE enum status meta_read_state_at(struct cold *cold, const struct cold_snapshot *snapshot,
                                        struct meta_state *out, struct err *err);
void meta_put_state(struct cold_batch *batch, const struct meta_state *state);
void meta_state_deinit(struct meta_state *state);

/* Libraries of functions: their source by name. The version is in front of the source. */
struct bytes meta_library_key(struct buf *scratch, struct bytes name);
struct bytes meta_library_value(struct buf *scratch, struct bytes code);
/* Calls `fn` for each of them; a status of its own ends that. ST_CORRUPT, ST_UNSUPPORTED, ST_IO. */
typedef enum status meta_library_fn(void *arg, struct bytes name, struct bytes code,
                                    struct err *err);
MUST_USE enum status meta_read_libraries(struct cold *cold, meta_library_fn *fn, void *arg,
                                         struct err *err);
MUST_USE enum status meta_read_libraries_at(struct cold *cold, const struct cold_snapshot *snapshot,
                                            meta_library_fn *fn, void *arg, struct err *err);

/* Leftovers that the reaper has yet to drop: a whole database id, or a large object's elements. */
enum meta_reap_kind { META_REAP_DB = 'd', META_REAP_OBJECT = 'o' };
#define META_REAP_KEY_BYTES 11
void meta_reap_key(enum meta_reap_kind kind, uint8_t type, uint64_t id,
                   uint8_t out[META_REAP_KEY_BYTES]);
MUST_USE bool meta_reap_key_decode(struct bytes key, enum meta_reap_kind *kind_out,
                                   uint8_t *type_out, uint64_t *id_out);

#endif
