/* A store in a scratch directory with one large collection, for tests that compare one with a
 * model while its pieces come and go: what is in RAM is evicted, cuts begin and end, all of it
 * leaves RAM, and the store is closed and opened again. Main thread. */
#ifndef BASALT_TESTS_SUPPORT_LARGE_WORLD_H
#define BASALT_TESTS_SUPPORT_LARGE_WORLD_H

#include "storage/ensure.h"
#include "storage/store.h"
#include "storage/tier.h"

#include <stdint.h>

struct large_world {
    uint64_t random; /* the state of the generator */
    char *dir;       /* owned */
    struct store_options options;
    struct store *store;
    struct keyspace *ks;
    struct db *db;
    int64_t mono_ms;
};

/* Collections over 1000 bytes are large in it. */
void large_world_open(struct large_world *w, uint64_t seed);
void large_world_close(struct large_world *w);

/* A random number from 0 to `limit` - 1. */
uint64_t large_world_below(struct large_world *w, uint64_t limit);
/* The key's object, loaded if it is on disk, or NULL; `ref` is for ks_create. */
struct object *large_world_find(struct large_world *w, struct keyref *ref);
/* An ensure that reads at once. */
struct ensure large_world_ensure(struct large_world *w, struct object *o);
/* Drops what is clean of the collection, about so many bytes, as eviction does. */
void large_world_evict(struct large_world *w, size_t bytes);
/* Lets all of it leave RAM. */
void large_world_evict_all(struct large_world *w);
/* A whole cut. */
void large_world_cut(struct large_world *w);
/* Now and then does one of these, or lets a cut begin or end; evicts less than `evict_max` bytes.
 */
void large_world_disturb(struct large_world *w, size_t evict_max);
/* Closes the store, all written, and opens it. */
void large_world_reopen(struct large_world *w);
/* Runs a random test with each seed from 1 to `seeds`, or only that of $BASALT_TEST_SEED, which it
 * prints. */
void large_world_each_seed(uint64_t seeds, void (*run)(uint64_t seed));

#endif
