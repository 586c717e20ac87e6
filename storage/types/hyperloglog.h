/* HyperLogLog: an estimate of how many different elements were added, in a string's bytes. Pure
 * functions on those bytes, which are the same as Redis's:
 *
 *   0   4  "HYLL"
 *   4   1  encoding: 0 dense, 1 sparse
 *   5   3  not used
 *   8   8  cached cardinality, u64 LE; the highest bit says that it is out of date
 *   16     dense: 16384 registers of 6 bits, lowest bit first (12288 bytes)
 *          sparse: runs of registers in opcodes
 *            00nnnnnn           n+1 zeros
 *            01nnnnnn nnnnnnnn  n+1 zeros
 *            1vvvvvnn           n+1 registers of value v+1
 *
 * A register holds the longest run of zeros, plus one, in the hashes that chose it. A sparse value
 * becomes dense when it gets too long or a register is beyond 32. Source: Redis 7.2's bytes and
 * behaviour; O. Ertl, "New cardinality estimation algorithms for HyperLogLog sketches"
 * (arXiv:1702.01284) for the estimate. */
#ifndef BASALT_STORAGE_TYPES_HYPERLOGLOG_H
#define BASALT_STORAGE_TYPES_HYPERLOGLOG_H

#include "codec/buf.h"
#include "codec/bytes.h"

#include <stdbool.h>

#define HLL_REGISTERS    16384
#define HLL_HEADER_BYTES 16
#define HLL_DENSE_BYTES  (HLL_HEADER_BYTES + HLL_REGISTERS * 6 / 8)

/* The registers one by one, to merge in. */
struct hll_registers {
    uint8_t values[HLL_REGISTERS];
};

/* Whether a string's bytes look like a HyperLogLog. What is sparse may still be damaged, which the
 * functions below find out. */
bool hll_is_valid(struct bytes value);
static inline bool hll_is_dense(struct bytes value)
{
    return value.data[4] == 0;
}
/* Makes `out` an empty sparse one. */
void hll_create(struct buf *out);

enum hll_added { HLL_UNCHANGED, HLL_CHANGED, HLL_DAMAGED };
/* Adds an element; a sparse value may have `sparse_bytes_max` bytes, header included. Nothing is
 * changed when it is damaged. The cached cardinality is left as it is. */
enum hll_added hll_add(struct buf *hll, struct bytes element, size_t sparse_bytes_max);
/* Raises a register. */
enum hll_added hll_raise(struct buf *hll, uint32_t index, uint8_t value, size_t sparse_bytes_max);
/* What adding an element to a dense value would write, for a caller that changes it in place: two
 * bytes at `*off_out` (of the value). False: nothing. */
bool hll_dense_change(struct bytes hll, struct bytes element, size_t *off_out,
                      uint8_t bytes_out[2]);
/* False if it is damaged. */
bool hll_to_dense(struct buf *hll);

/* Raises each register to that of `hll`; false if it is damaged. */
bool hll_merge(struct hll_registers *registers, struct bytes hll);
uint64_t hll_estimate(const struct hll_registers *registers);
/* The cached cardinality; false if it is out of date. */
bool hll_cached(struct bytes hll, uint64_t *out);
/* The 8 bytes at offset 8 for a cardinality, and whether one is meant at all. */
void hll_encode_cached(uint64_t cardinality, bool valid, uint8_t out[8]);
/* Appends the opcodes of a sparse value as text, such as "Z:100 v:3,1 z:10". */
void hll_describe(struct bytes hll, struct buf *out);

#endif
