#include "tests/support/store_scanner.h"

#include "codec/record.h"
#include "storage/store.h"
#include "storage/tier.h"
#include "tests/support/harness.h"

static void scan_done(void *arg, struct scan *scan)
{
    struct store_scanner *scanner = arg;
    assert_ptr_equal(scanner->scan, scan);
    scanner->complete = true;
}

void store_scanner_start(struct store_scanner *scanner, struct store *store,
                         const struct store_model *model, uint64_t *random)
{
    struct keyspace *ks = store_keyspace(store);
    *scanner = (struct store_scanner){.store = store,
                                      .model = model,
                                      .random = random,
                                      .db = store_model_below(random, MODEL_DBS)};
    if (store_model_below(random, 2) == 0)
        scanner->cursor = ks_random_position(ks);
    for (uint32_t key = 0; key < MODEL_KEYS; key++)
        scanner->present[key] = model->dbs[scanner->db][key].live;
    size_t count =
        store_model_below(random, 3) == 0 ? SIZE_MAX : 1 + store_model_below(random, 100);
    scanner->scan = scan_start(store_scans(store), ks_db(ks, scanner->db), scanner->cursor, count,
                               scan_done, scanner, &scanner->complete);
}

static void note_key(struct store_scanner *scanner, uint32_t db, uint32_t key)
{
    if (scanner->db != db)
        return;
    scanner->touched[key] = 1;
    if (scanner->model->dbs[db][key].live != scanner->present[key])
        scanner->moved[key] = 1;
}

void store_scanner_note(struct store_scanner *scanner, const struct op *op)
{
    if (scanner->scan == NULL)
        return;
    bool whole = op->kind == OP_FLUSH || op->kind == OP_SWAP;
    if (whole && (scanner->db == op->db || scanner->db == op->db2))
        scanner->off = true;
    note_key(scanner, op->db, op->key);
    note_key(scanner, op->db2, op->key2);
}

static void check_result(const struct store_scanner *scanner, const struct scan_result *result)
{
    const struct keyspace *ks = store_keyspace(scanner->store);
    uint32_t seen[MODEL_KEYS] = {0};
    uint64_t last = scanner->cursor;
    uint64_t end = result->next == SCAN_END ? TABLE_POSITION_LIMIT : result->next;
    for (size_t i = 0; i < result->count; i++) {
        const struct scan_key *item = &result->items[i];
        struct bytes name = bytes_make(result->keys + item->off, item->len);
        uint32_t key = store_model_key_of(name);
        assert_true(key < MODEL_KEYS);
        assert_int_equal(item->position, record_position(ks->hash_seed, name));
        assert_true(item->position >= last && item->position < end);
        last = item->position;
        assert_true(seen[key]++ == 0 || scanner->moved[key]);
        assert_true(scanner->present[key] || scanner->moved[key]);
        const struct store_model_key *expected = &scanner->model->dbs[scanner->db][key];
        if (!scanner->touched[key]) {
            assert_int_equal(item->type, expected->type);
            assert_int_equal(item->expire_at_ms, expected->expire_at_ms);
        }
    }
    for (uint32_t key = 0; key < MODEL_KEYS; key++) {
        uint64_t position = record_position(ks->hash_seed, store_model_key_name(key));
        if (scanner->present[key] && !scanner->moved[key] && position >= scanner->cursor &&
            position < end)
            assert_int_equal(seen[key], 1);
    }
}

void store_scanner_step(struct store_scanner *scanner)
{
    if (scanner->scan == NULL ||
        (!scanner->complete && store_model_below(scanner->random, 500) != 0))
        return;
    struct scan_result result;
    struct err err;
    if (scanner->complete) {
        assert_ok(scan_read(scanner->scan, &result, &err), &err);
        if (!scanner->off)
            check_result(scanner, &result);
    }
    store_scanner_stop(scanner);
}

void store_scanner_stop(struct store_scanner *scanner)
{
    scan_destroy(scanner->scan);
    scanner->scan = NULL;
}
