/* What a store must hold, as plain arrays: a few databases of keys from a fixed set, changed by
 * operations that are kept, so that they can be replayed, and applied to a second model that
 * follows the cuts. */
#ifndef BASALT_TESTS_SUPPORT_STORE_MODEL_H
#define BASALT_TESTS_SUPPORT_STORE_MODEL_H

#include "codec/buf.h"
#include "codec/bytes.h"
#include "storage/object.h"

#define MODEL_DBS         3
#define MODEL_KEYS        240
#define MODEL_NO_EXPIRE   ((int64_t)-1)
#define MODEL_VALUE_BYTES ((size_t)64 << 10) /* values do not grow beyond */
#define MODEL_MEMBERS     1000               /* that a set may have */
#define MODEL_OP_MEMBERS  64                 /* of one operation, at most */

struct store_model_key {
    bool live;
    enum object_type type; /* a string or a set */
    int64_t expire_at_ms;
    struct buf value; /* of a set, a byte for each member: 1 or 0 */
};

struct store_model {
    struct store_model_key *dbs[MODEL_DBS]; /* owned; by database number */
};

enum op_kind {
    OP_SET,        /* key, seed, len; clears the expiry */
    OP_SET_NUMBER, /* key, seed: in place */
    OP_WRITE,      /* key, seed, len, at: in place, zeros before */
    OP_GROW,       /* key, at: to this length, with zeros */
    OP_ADD,        /* key, seed, len: some members to a set */
    OP_REMOVE,     /* the same: the set goes with its last member */
    OP_DELETE,
    OP_EXPIRE, /* key, when_ms; MODEL_NO_EXPIRE clears */
    OP_RENAME, /* key to key2 of db2 */
    OP_COPY,
    OP_FLUSH,
    OP_SWAP, /* db and db2 */
};

struct op {
    enum op_kind kind;
    uint32_t db, db2;
    uint32_t key, key2;
    uint32_t seed;
    uint32_t len;
    uint32_t at;
    int64_t when_ms;
    uint64_t offset; /* of the journal behind it */
};

void store_model_init(struct store_model *model);
void store_model_deinit(struct store_model *model);
/* Whether the operation makes sense now. */
bool store_model_allows(const struct store_model *model, const struct op *op);
void store_model_apply(struct store_model *model, const struct op *op);
uint64_t store_model_size(const struct store_model *model, uint32_t db);
uint64_t store_model_expires(const struct store_model *model, uint32_t db);

/* What operations are like. */
struct store_model_habits {
    uint32_t key_count;  /* of MODEL_KEYS, in use; few make for many encounters */
    uint32_t flush_odds; /* one in so many empties a database, one exchanges two */
    bool mostly_large;
    bool mostly_expires;
    bool mostly_sets;
};
/* One that may make no sense. */
struct op store_model_choose(const struct store_model *model,
                             const struct store_model_habits *habits, int64_t now_ms,
                             uint64_t *random);

/* The bytes that OP_SET and OP_WRITE write; OP_SET_NUMBER sets op->seed as a number. */
void store_model_value(const struct op *op, struct buf *out);
/* The members that an operation is about; returns how many. */
uint32_t store_model_members(const struct op *op, uint16_t members[MODEL_OP_MEMBERS]);
/* A member's name; static. Some are numbers. */
struct bytes store_model_member_name(uint32_t member);
/* MODEL_MEMBERS if there is none of this name. */
uint32_t store_model_member_of(struct bytes name);
bool store_model_has(const struct store_model_key *key, uint32_t member);
/* A key's name; static. Some share hash tags, and with them a slot. */
struct bytes store_model_key_name(uint32_t key);
/* MODEL_KEYS if there is none of this name. */
uint32_t store_model_key_of(struct bytes name);

/* A small generator (splitmix64). */
static inline uint64_t store_model_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* 0 to limit - 1. */
static inline uint32_t store_model_below(uint64_t *state, uint32_t limit)
{
    return (uint32_t)(store_model_random(state) % limit);
}

#endif
