/* Does to a store what store_model does to plain arrays. */
#ifndef BASALT_TESTS_SUPPORT_STORE_OPS_H
#define BASALT_TESTS_SUPPORT_STORE_OPS_H

#include <stdbool.h>

#include "tests/support/store_model.h"

struct load_wait;
struct object;
struct store;

/* Applies the operation. `flags` are those of keys that are not in the table (KEYREF_BLIND). What
 * it needs must be in RAM. */
void store_op_execute(struct store *store, const struct op *op, uint32_t flags);

/* One look at what an operation lacks, as a request has it; true when it may run, which it then has
 * to at once. Blind ones do not look at what they overwrite. */
bool store_op_want(struct store *store, const struct op *op, bool blind, struct load_wait *wait);
/* Reads what it lacks, at once. */
void store_op_read(struct store *store, const struct op *op, bool blind);

/* What must be found of op->key: all of it with OP_COPY, some members with OP_ADD. */
void store_op_check(const struct op *op, const struct object *o,
                    const struct store_model_key *expected);

#endif
