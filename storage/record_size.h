/* How much a key's record stands for, told from the record alone: of a large value from its header,
 * without its elements. Pure; any thread. */
#ifndef BASALT_STORAGE_RECORD_SIZE_H
#define BASALT_STORAGE_RECORD_SIZE_H

#include "codec/record.h"
#include "codec/status.h"
#include "storage/object.h"

struct record_size {
    uint64_t bytes; /* of the value: as it is packed, of a large one about what its elements have */
    uint64_t elements; /* members, fields, entries; of a string 1 */
};

/* ST_CORRUPT: it is no such record. */
MUST_USE enum status record_size_read(enum object_type type, const struct record_header *header,
                                      struct bytes payload, struct record_size *out);

#endif
