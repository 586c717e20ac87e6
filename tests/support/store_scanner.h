/* A scan of a database that changes meanwhile, and what must come out of it: each key that was
 * there all the time once, none that was never there. */
#ifndef BASALT_TESTS_SUPPORT_STORE_SCANNER_H
#define BASALT_TESTS_SUPPORT_STORE_SCANNER_H

#include <stdbool.h>

#include "tests/support/store_model.h"

struct scan;
struct store;

/* Zeroed is idle. */
struct store_scanner {
    struct store *store;
    const struct store_model *model; /* what the store holds; borrowed */
    uint64_t *random;                /* borrowed */
    struct scan *scan;               /* owned; NULL: idle */
    bool complete;
    bool off; /* the database was emptied or exchanged: anything goes */
    uint32_t db;
    uint64_t cursor;
    uint8_t present[MODEL_KEYS]; /* when it began */
    uint8_t moved[MODEL_KEYS];   /* came or went since */
    uint8_t touched[MODEL_KEYS];
};

/* Begins somewhere in some database. */
void store_scanner_start(struct store_scanner *scanner, struct store *store,
                         const struct store_model *model, uint64_t *random);
static inline bool store_scanner_is_busy(const struct store_scanner *scanner)
{
    return scanner->scan != NULL;
}
/* The operation was applied to the model. */
void store_scanner_note(struct store_scanner *scanner, const struct op *op);
/* Checks a scan that is complete, and becomes idle; now and then gives up one that is not. */
void store_scanner_step(struct store_scanner *scanner);
void store_scanner_stop(struct store_scanner *scanner);

#endif
