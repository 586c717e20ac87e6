/* Data directories without a server: RDB files made in memory, their import, and a look at what is
 * in the store then. Failures fail the running test, unless said otherwise. */
#ifndef BASALT_TESTS_SUPPORT_DATASET_H
#define BASALT_TESTS_SUPPORT_DATASET_H

#include "codec/buf.h"
#include "codec/record.h"
#include "storage/import.h"
#include "storage/meta.h"

struct rdb_writer;

/* ---- RDB files ---- */

struct rdb_file {
    struct buf bytes;
    struct rdb_writer *writer; /* until rdb_file_end */
};

void rdb_file_begin(struct rdb_file *file);
void rdb_file_select(struct rdb_file *file, uint32_t db);
/* A string; expire_at_ms 0: none. */
void rdb_file_put(struct rdb_file *file, struct bytes key, struct bytes value,
                  int64_t expire_at_ms);
/* A key of another type, whose value is `raw` in the file. */
void rdb_file_put_raw(struct rdb_file *file, const char *key, uint8_t type, struct bytes raw);
void rdb_file_end(struct rdb_file *file);
void rdb_file_deinit(struct rdb_file *file);

/* ---- Import ---- */

/* Opens, reads, publishes and closes; input from `rdb`. `options` may leave out env (the real one)
 * and everything about input. Does not fail the test. */
enum status dataset_import(const struct import_options *options, struct bytes rdb,
                           struct import_report *report_out, struct err *err);

/* ---- What is there ---- */

struct dataset {
    struct cold *cold;
    struct meta_identity identity;
    struct meta_state state;
};

void dataset_open(struct dataset *dataset, const char *dir);
void dataset_close(struct dataset *dataset);
/* Reads a string whole, chunks and all. False if the key is absent. */
bool dataset_read(struct dataset *dataset, uint32_t db, struct bytes key, struct buf *text_out,
                  struct record_header *header_out);
/* The key is there with this value and expiry (0: none). */
void dataset_assert(struct dataset *dataset, uint32_t db, struct bytes key, struct bytes value,
                    int64_t expire_at_ms);
/* Walks everything: records stand where their keys belong, the counters are those of the records,
 * each expiry has its entry in the index, each chunk belongs to a large string or is to be reaped.
 * Returns the number of keys. */
uint64_t dataset_check(struct dataset *dataset);

#endif
