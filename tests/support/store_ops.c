#include "tests/support/store_ops.h"

#include "storage/ensure.h"
#include "storage/store.h"
#include "storage/tier.h"
#include "storage/types/members.h"
#include "storage/types/set.h"
#include "tests/support/harness.h"
#include "tests/support/store_check.h"

static void make_ref(struct store *store, uint32_t db, uint32_t key, struct keyref *out)
{
    struct keyspace *ks = store_keyspace(store);
    ks_ref(ks, ks_db(ks, db), store_model_key_name(key), out);
}

/* ---- Doing. */

static void write_string(struct keyspace *ks, struct keyref *ref, const struct op *op)
{
    struct buf data = {0};
    struct object *o = ks_find(ks, ref);
    bool is_new = o == NULL;
    if (is_new)
        o = ks_create(ks, ref, OBJECT_STRING);
    ks_change_begin(ks, ref->db, o);
    if (is_new)
        string_init_empty(o);
    size_t end = op->at + op->len;
    if (o->encoding <= ENCODING_INLINE && end <= 512 && end >= string_len(o) && op->seed % 2 == 0)
        o = ks_resize_inline(ks, ref, end < 20 ? 20 : end);
    if (op->kind == OP_SET_NUMBER) {
        string_set_integer(o, op->seed);
    } else if (op->kind == OP_GROW) {
        string_grow(o, ks_string_rules(ks), op->at);
    } else {
        store_model_value(op, &data);
        string_write(o, ks_string_rules(ks), op->at, buf_bytes(&data));
    }
    ks_change_end(ks, ref->db, o);
    buf_deinit(&data);
}

static void set_string(struct keyspace *ks, struct keyref *ref, const struct op *op)
{
    struct buf data = {0};
    store_model_value(op, &data);
    (void)ks_set_string(ks, ref, buf_bytes(&data));
    buf_deinit(&data);
}

static void change_set(struct keyspace *ks, struct keyref *ref, const struct op *op)
{
    const struct value_rules *rules = ks_value_rules(ks);
    uint16_t members[MODEL_OP_MEMBERS];
    uint32_t count = store_model_members(op, members);
    struct object *o = ks_find(ks, ref);
    bool is_new = o == NULL;
    if (is_new)
        o = ks_create(ks, ref, OBJECT_SET);
    ks_change_begin(ks, ref->db, o);
    if (is_new)
        set_init(o, rules, store_model_member_name(members[0]), count);
    else if (op->kind == OP_ADD)
        set_expect(o, rules, count);
    for (uint32_t i = 0; i < count && (op->kind == OP_ADD || set_count(o) != 0); i++) {
        if (op->kind == OP_ADD)
            (void)set_add(o, rules, store_model_member_name(members[i]));
        else
            (void)set_remove(o, store_model_member_name(members[i]));
    }
    set_settle(o, rules);
    bool empty = set_count(o) == 0;
    ks_change_end(ks, ref->db, o);
    if (empty)
        ks_delete(ks, ref);
}

void store_op_execute(struct store *store, const struct op *op, uint32_t flags)
{
    struct keyspace *ks = store_keyspace(store);
    struct keyref ref;
    struct keyref to;
    make_ref(store, op->db, op->key, &ref);
    make_ref(store, op->db2, op->key2, &to);
    to.flags = flags;
    switch (op->kind) {
    case OP_SET:
        ref.flags = flags;
        set_string(ks, &ref, op);
        break;
    case OP_SET_NUMBER:
    case OP_WRITE:
    case OP_GROW:
        write_string(ks, &ref, op);
        break;
    case OP_ADD:
    case OP_REMOVE:
        change_set(ks, &ref, op);
        break;
    case OP_DELETE:
        ks_delete(ks, &ref);
        break;
    case OP_EXPIRE:
        ks_set_expire(ks, ref.db, ks_find(ks, &ref), op->when_ms);
        break;
    case OP_RENAME:
        ks_rename(ks, &ref, &to);
        break;
    case OP_COPY:
        (void)ks_copy(ks, &ref, &to);
        break;
    case OP_FLUSH:
        ks_flush_db(ks, op->db);
        break;
    case OP_SWAP:
        ks_swap_db(ks, op->db, op->db2);
        break;
    }
}

/* ---- What it needs. */

static bool needs_key(const struct op *op, bool blind)
{
    return op->kind != OP_FLUSH && op->kind != OP_SWAP && (op->kind != OP_SET || !blind);
}

static bool needs_target(const struct op *op, bool blind)
{
    return (op->kind == OP_RENAME || op->kind == OP_COPY) && !blind;
}

/* The bytes of a string that must be in RAM; false: none. */
static bool needs_bytes(const struct op *op, uint64_t *from, uint64_t *to)
{
    *from = op->kind == OP_WRITE ? op->at : 0;
    *to = op->kind == OP_WRITE ? op->at + op->len : UINT64_MAX;
    return op->kind == OP_WRITE || op->kind == OP_COPY;
}

static struct load_wait *the_wait(void *arg)
{
    return arg;
}

/* `wait` NULL: at once. */
static bool ensure_members(struct store *store, struct db *db, struct object *o,
                           const struct op *op, struct load_wait *wait)
{
    struct ensure e = {.loader = store_loader(store),
                       .wait = wait == NULL ? NULL : the_wait,
                       .wait_arg = wait,
                       .db = db,
                       .o = o,
                       .whole_bytes_max = SIZE_MAX};
    enum ensured ensured = ENSURED;
    if (op->kind == OP_COPY) {
        ensured = object_value_type((enum object_type)o->type)->ensure_all(&e);
    } else if (op->kind == OP_ADD || op->kind == OP_REMOVE) {
        uint16_t members[MODEL_OP_MEMBERS];
        struct bytes names[MODEL_OP_MEMBERS];
        uint32_t count = store_model_members(op, members);
        for (uint32_t i = 0; i < count; i++)
            names[i] = store_model_member_name(members[i]);
        ensured = members_ensure(&e, set_members(o), names, count, 1);
    }
    assert_true(ensured == ENSURED || (ensured == ENSURE_WAIT && wait != NULL));
    return ensured == ENSURED;
}

static bool want_pieces(struct store *store, struct load_wait *wait, const struct keyref *ref,
                        const struct op *op)
{
    struct object *o = ref->object;
    uint64_t from = 0;
    uint64_t to = 0;
    if (o == NULL || !o->large)
        return true;
    if (o->type == OBJECT_SET)
        return ensure_members(store, ref->db, o, op, wait);
    return !needs_bytes(op, &from, &to) ||
           loader_want_chunks(store_loader(store), wait, ref->db, o, from, to) == LOADER_ABSENT;
}

static bool want_key(struct store *store, struct load_wait *wait, uint32_t db, uint32_t key,
                     const struct op *op)
{
    struct keyref ref;
    make_ref(store, db, key, &ref);
    if (ref.object == NULL) {
        enum loader_answer answer =
            loader_want_record(store_loader(store), wait, ref.db, ref.position, ref.key);
        assert_true(answer != LOADER_FAILED);
        if (answer == LOADER_STARTED)
            return false;
        struct object *o = ks_lookup(store_keyspace(store), &ref);
        assert_true((answer == LOADER_LOADED) == (o != NULL));
    }
    return op == NULL || want_pieces(store, wait, &ref, op);
}

bool store_op_want(struct store *store, const struct op *op, bool blind, struct load_wait *wait)
{
    bool there = !needs_key(op, blind) || want_key(store, wait, op->db, op->key, op);
    if (needs_target(op, blind))
        there = want_key(store, wait, op->db2, op->key2, NULL) && there;
    return there;
}

static void read_key(struct store *store, uint32_t db, uint32_t key, const struct op *op)
{
    struct loader *loader = store_loader(store);
    struct keyref ref;
    struct err err;
    uint64_t from = 0;
    uint64_t to = 0;
    make_ref(store, db, key, &ref);
    if (ref.object == NULL) {
        enum status st = loader_read_now(loader, ref.db, ref.position, ref.key, &err);
        assert_true(st == ST_OK || st == ST_NOT_FOUND);
    }
    struct object *o = ks_find(store_keyspace(store), &ref);
    if (o == NULL || !o->large || op == NULL)
        return;
    if (o->type == OBJECT_SET)
        (void)ensure_members(store, ref.db, o, op, NULL);
    else if (needs_bytes(op, &from, &to))
        assert_ok(loader_read_chunks_now(loader, ref.db, o, from, to, &err), &err);
}

void store_op_read(struct store *store, const struct op *op, bool blind)
{
    if (needs_key(op, blind))
        read_key(store, op->db, op->key, op);
    if (needs_target(op, blind))
        read_key(store, op->db2, op->key2, NULL);
}

/* ---- Checking. */

void store_op_check(const struct op *op, const struct object *o,
                    const struct store_model_key *expected)
{
    uint16_t members[MODEL_OP_MEMBERS];
    if (op->kind == OP_COPY) {
        store_check_object(o, expected);
        return;
    }
    assert_true(expected->live);
    assert_int_equal(o->type, expected->type);
    if (expected->type != OBJECT_SET)
        return;
    uint32_t count = store_model_members(op, members);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(set_has(o, store_model_member_name(members[i])),
                         store_model_has(expected, members[i]));
}
