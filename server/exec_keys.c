/* Phases 4 and 5 of a request: which keys it has, and seeing to it that they are in RAM. */
#include "server/exec_internal.h"

#include "codec/mem.h"
#include "codec/number.h"
#include "server/config.h"
#include "server/notify.h"
#include "storage/ensure.h"
#include "storage/store.h"
#include "storage/types/string.h"
#include "storage/value_type.h"

#include <string.h>

#define KEY_ARGS_INLINE 32

static void add_key(struct call *c, struct db *db, int arg, uint32_t flags)
{
    struct keyref *ref = &c->keys[c->key_count++];
    ks_ref(c->ks, db, c->argv[arg], ref);
    ref->flags = flags;
}

/* The database that an argument names; NULL: there is none, and the handler will say so. */
static struct db *db_of_arg(const struct call *c, int arg)
{
    if (arg == 0)
        return c->db;
    int64_t number;
    if (!number_parse_i64(c->argv[arg], &number) || number < 0 ||
        number >= (int64_t)ks_db_count(c->ks))
        return NULL;
    return ks_db(c->ks, (uint32_t)number);
}

void exec_find_keys(struct call *c)
{
    c->key_count = 0;
    c->keys = c->keys_inline;
    const struct command *command = c->command;
    if (command->single_key != 0) {
        add_key(c, c->db, command->single_key, command->keys[0].flags);
        return;
    }
    if (command->keys[0].begin == KEY_BEGIN_NONE && command->keys_fn == NULL)
        return;
    struct key_arg few[KEY_ARGS_INLINE];
    struct key_arg *args = few;
    int count = command_keys(command, c->argv, c->argc, args, KEY_ARGS_INLINE);
    if (count > KEY_ARGS_INLINE) {
        args = mem_alloc((size_t)count * sizeof(*args));
        count = command_keys(command, c->argv, c->argc, args, count);
    }
    if (count > CALL_KEYS_INLINE)
        c->keys = mem_alloc((size_t)count * sizeof(*c->keys));
    for (int i = 0; i < count; i++) {
        struct db *db = db_of_arg(c, args[i].db_arg);
        if (db != NULL)
            add_key(c, db, args[i].index, args[i].flags);
    }
    if (args != few)
        mem_free(args);
}

void exec_forget_keys(struct call *c)
{
    if (c->keys != c->keys_inline && c->keys != NULL)
        mem_free(c->keys);
    c->keys = c->keys_inline;
    c->key_count = 0;
}

/* `waiter` as in exec_make_resident. */
static enum exec_residency want_pieces(struct call *c, int index, struct object *o,
                                       struct call *waiter)
{
    uint64_t from = 0;
    uint64_t to = UINT64_MAX;
    if (c->command->pieces != NULL && !c->command->pieces(c->argv, c->argc, index, o, &from, &to)) {
        from = 0;
        to = UINT64_MAX;
    }
    struct loader *loader = c->exec->loader;
    struct db *db = c->keys[index].db;
    if (o->encoding != ENCODING_CHUNKED || string_missing(o, from, to, NULL, 0) == 0)
        return EXEC_RESIDENT;
    if (waiter == NULL) {
        struct err err;
        return loader_read_chunks_now(loader, db, o, from, to, &err) == ST_OK ? EXEC_RESIDENT
                                                                              : EXEC_UNREADABLE;
    }
    (void)loader_want_chunks(loader, &exec_pending(waiter)->wait, db, o, from, to);
    return EXEC_MISSING;
}

/* Whether commands of this group look into collections of this type at all: if not, the handler
 * will say that the key holds the wrong kind of value. */
static bool is_about(const struct command *command, enum object_type type)
{
    static const struct {
        const char *group;
        enum object_type types[2];
    } groups[] = {
        {"string", {OBJECT_STRING}},
        {"bitmap", {OBJECT_STRING}},
        {"hyperloglog", {OBJECT_STRING}},
        {"list", {OBJECT_LIST}},
        {"hash", {OBJECT_HASH}},
        {"set", {OBJECT_SET}},
        {"sorted-set", {OBJECT_ZSET, OBJECT_SET}},
        {"geo", {OBJECT_ZSET}},
        {"stream", {OBJECT_STREAM}},
    };
    for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
        if (strcmp(command->group, groups[i].group) == 0)
            return groups[i].types[0] == type || groups[i].types[1] == type;
    return true;
}

static enum exec_residency residency_of(enum ensured ensured)
{
    switch (ensured) {
    case ENSURED:
        return EXEC_RESIDENT;
    case ENSURE_WAIT:
        return EXEC_MISSING;
    case ENSURE_FAILED:
        return EXEC_UNREADABLE;
    case ENSURE_TOO_LARGE:
        return EXEC_TOO_LARGE;
    }
    return EXEC_UNREADABLE;
}

static struct load_wait *wait_of(void *arg)
{
    return &exec_pending(arg)->wait;
}

static struct ensure ensure_for(struct call *c, struct call *waiter)
{
    return (struct ensure){.loader = c->exec->loader,
                           .wait = waiter == NULL ? NULL : wait_of,
                           .wait_arg = waiter,
                           .whole_bytes_max = store_whole_bytes_max(c->exec->store),
                           .random = call_random_position(c)};
}

/* `waiter` as in exec_make_resident. */
static enum exec_residency want_parts(struct call *c, int index, struct object *o,
                                      struct call *waiter)
{
    enum object_type type = (enum object_type)o->type;
    if (!is_about(c->command, type))
        return EXEC_RESIDENT;
    struct ensure e = ensure_for(c, waiter);
    e.db = c->keys[index].db;
    e.o = o;
    enum ensured ensured = c->command->ensure != NULL
                               ? c->command->ensure(&e, c->argv, c->argc, index)
                               : object_value_type(type)->ensure_all(&e);
    /* What a script wants of it is known call by call, and read then. */
    if (ensured == ENSURE_TOO_LARGE && (c->command->flags & CMD_RUNS_SCRIPT) != 0)
        return EXEC_RESIDENT;
    return residency_of(ensured);
}

static enum exec_residency want_record(struct call *c, int index, struct call *waiter)
{
    struct keyref *ref = &c->keys[index];
    struct loader *loader = c->exec->loader;
    if (waiter == NULL) {
        struct err err;
        enum status st = loader_read_now(loader, ref->db, ref->position, ref->key, &err);
        return st == ST_OK || st == ST_NOT_FOUND ? EXEC_RESIDENT : EXEC_UNREADABLE;
    }
    struct pending *p = exec_pending(waiter);
    switch (loader_want_record(loader, &p->wait, ref->db, ref->position, ref->key)) {
    case LOADER_ABSENT:
    case LOADER_LOADED:
        return EXEC_RESIDENT;
    case LOADER_STARTED:
        return EXEC_MISSING;
    case LOADER_FAILED:
        return EXEC_UNREADABLE;
    }
    return EXEC_UNREADABLE;
}

/* For `new` events nothing is overwritten blindly, for `expired` ones nothing that may have expired
 * on disk. */
static bool must_know_old(const struct call *c, const struct db *db)
{
    uint32_t events = c->exec->config->notify_keyspace_events;
    return ((events & NOTIFY_CREATED) != 0 ||
            ((events & NOTIFY_EXPIRED) != 0 && db->cold_expires != 0)) &&
           (c->session->flags & SESSION_REPLAY) == 0;
}

enum exec_residency exec_make_resident(struct call *c, struct call *waiter)
{
    bool missing = false;
    for (int i = 0; i < c->key_count; i++) {
        struct keyref *ref = &c->keys[i];
        if ((ref->flags & KEY_NOT_KEY) != 0)
            continue;
        struct object *o = ks_lookup(c->ks, ref);
        enum exec_residency there = EXEC_RESIDENT;
        if (o == NULL && (ref->flags & KEY_LOAD_NOTHING) != 0 && !must_know_old(c, ref->db)) {
            ref->flags |= KEYREF_BLIND;
        } else if (o == NULL && ref->db->cold_count != 0) {
            there = want_record(c, i, waiter);
            o = ks_lookup(c->ks, ref);
        }
        if (o != NULL && o->large &&
            (c->command->ensure_keys == NULL || o->type == OBJECT_STRING) &&
            (ref->flags & (KEY_LOAD_META | KEY_LOAD_NOTHING)) == 0)
            there = o->type == OBJECT_STRING ? want_pieces(c, i, o, waiter)
                                             : want_parts(c, i, o, waiter);
        if (there == EXEC_UNREADABLE || there == EXEC_TOO_LARGE)
            return there;
        missing = missing || there == EXEC_MISSING;
    }
    if (missing || c->command->ensure_keys == NULL)
        return missing ? EXEC_MISSING : EXEC_RESIDENT;
    struct ensure e = ensure_for(c, waiter);
    return residency_of(c->command->ensure_keys(&e, c->keys, c->key_count));
}
