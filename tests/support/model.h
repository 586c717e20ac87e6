/* What a server should hold: string keys of some databases with their deadlines, and what the
 * requests that change them do and answer. Plain and slow on purpose: it shares no code with the
 * server but for bytes and buffers.
 *
 * There is no clock in it. Deadlines must lie so far ahead that no test reaches them, and be given
 * as moments (PXAT, PEXPIREAT), so that they can be compared exactly. */
#ifndef BASALT_TESTS_SUPPORT_MODEL_H
#define BASALT_TESTS_SUPPORT_MODEL_H

#include "codec/buf.h"
#include "codec/bytes.h"
#include "tests/support/resp_reply.h"

#define MODEL_NO_EXPIRE ((int64_t)-1)

struct model;

struct model_entry {
    uint32_t db;
    struct bytes key;
    struct bytes value;
    int64_t expire_at_ms; /* or MODEL_NO_EXPIRE */
};

struct model *model_create(void);
void model_destroy(struct model *model);
/* A model of the entries whose key begins with `prefix`. */
struct model *model_copy(const struct model *model, struct bytes prefix);

/* Runs a request in a database and makes the reply that the server must give (to be released by the
 * caller; it never has children). Fails the test for a request that it does not know. */
void model_apply(struct model *model, uint32_t db, size_t argc, const struct bytes *argv,
                 struct resp_reply *reply);

void model_put(struct model *model, const struct model_entry *entry);
/* False if the key is not there. The entry is valid until the next change. */
bool model_find(const struct model *model, uint32_t db, struct bytes key, struct model_entry *out);
size_t model_count(const struct model *model, uint32_t db);
size_t model_count_all(const struct model *model);
/* Equal models have equal fingerprints; different ones practically never. */
uint64_t model_fingerprint(const struct model *model);
/* Prints up to `max` differences to standard error; returns how many there are. */
size_t model_print_differences(const struct model *expected, const struct model *actual,
                               size_t max);

#endif
