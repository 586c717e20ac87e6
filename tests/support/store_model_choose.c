#include "tests/support/store_model.h"

static uint32_t choose_len(const struct store_model_habits *habits, uint64_t *random)
{
    switch (store_model_below(random, habits->mostly_large ? 3 : 16)) {
    case 0:
        return store_model_below(random, 9000);
    case 1:
        return 4000 + store_model_below(random, 500);
    case 2:
    case 3:
        return store_model_below(random, 500);
    default:
        return store_model_below(random, 60);
    }
}

static enum op_kind choose_kind(const struct store_model_habits *habits, uint64_t *random)
{
    static const uint8_t kinds[] = {
        OP_SET,    OP_SET,    OP_SET,    OP_SET,    OP_SET,    OP_SET_NUMBER, OP_WRITE,  OP_WRITE,
        OP_WRITE,  OP_WRITE,  OP_DELETE, OP_DELETE, OP_DELETE, OP_EXPIRE,     OP_EXPIRE, OP_EXPIRE,
        OP_RENAME, OP_RENAME, OP_COPY,   OP_GROW,   OP_ADD,    OP_ADD,        OP_REMOVE,
    };
    if (store_model_below(random, habits->flush_odds) == 0)
        return OP_FLUSH;
    if (store_model_below(random, habits->flush_odds) == 0)
        return OP_SWAP;
    if (habits->mostly_expires && store_model_below(random, 3) == 0)
        return OP_EXPIRE;
    if (habits->mostly_sets && store_model_below(random, 3) != 0)
        return store_model_below(random, 5) < 3 ? OP_ADD : OP_REMOVE;
    return (enum op_kind)kinds[store_model_below(random, sizeof(kinds))];
}

static int64_t choose_deadline(int64_t now_ms, uint64_t *random)
{
    switch (store_model_below(random, 8)) {
    case 0:
    case 1:
        return MODEL_NO_EXPIRE;
    case 2:
        return now_ms + 60000 + store_model_below(random, 100000);
    case 3:
        return now_ms + store_model_below(random, 20000);
    default:
        return now_ms + store_model_below(random, 3000);
    }
}

struct op store_model_choose(const struct store_model *model,
                             const struct store_model_habits *habits, int64_t now_ms,
                             uint64_t *random)
{
    struct op op = {.kind = choose_kind(habits, random),
                    .db = store_model_below(random, MODEL_DBS),
                    .db2 = store_model_below(random, MODEL_DBS),
                    .key = store_model_below(random, habits->key_count),
                    .key2 = store_model_below(random, habits->key_count),
                    .seed = (uint32_t)store_model_random(random),
                    .len = choose_len(habits, random),
                    .when_ms = choose_deadline(now_ms, random)};
    uint32_t len = (uint32_t)model->dbs[op.db][op.key].value.len;
    if (op.kind == OP_WRITE)
        op.at = store_model_below(random, 3) == 0 ? len : store_model_below(random, len + 200);
    if (op.kind == OP_GROW)
        op.at = len + store_model_below(random, 2000);
    return op;
}
