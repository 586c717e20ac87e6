/* Checks of a store from below: that its own counters and lists are right, and that what is on disk
 * is exactly what it must be. All fail the test. */
#ifndef BASALT_TESTS_SUPPORT_STORE_CHECK_H
#define BASALT_TESTS_SUPPORT_STORE_CHECK_H

#include "storage/store.h"
#include "tests/support/store_model.h"

/* Each database's counters against its table, and each list against the objects' states. */
void store_check_keyspace(struct keyspace *ks);
/* The sizes and numbers of expiries of all databases against the model; no object may be
 * unresolved. */
void store_check_sizes(struct keyspace *ks, const struct store_model *model);
/* An object against the model: value and expiry. All of it must be in RAM. */
void store_check_object(const struct object *o, const struct store_model_key *key);
/* RocksDB, read directly, against the model at the cut's offset: records, chunks, counters, and an
 * index entry at or before each deadline. The flusher must be idle. With `reaped`, there may be
 * nothing else either. */
void store_check_disk(struct store *store, const struct store_model *model, bool reaped);
/* Whether the reaper still has something to do. */
bool store_has_reap_notes(struct store *store);

#endif
