/* DEBUG RELOAD [MERGE] [NOFLUSH] [NOSAVE]: saves the dataset to the RDB file and makes it anew out
 * of that, with encodings by the settings of now. The main thread does all of it and waits for the
 * disk; nobody sees anything in between.
 *
 * The file is read twice: first only to see that all of it can be had, so that a damaged one
 * changes nothing. Then one of two ways is taken:
 *
 * - After a save the file holds what the dataset holds. Each key is replaced by its equal, one
 * after the other; cuts may come in between, so memory stays bounded, and the journal need not
 * know. A crash leaves some keys made anew and others not, with the same values. Large collections
 *   beyond whole-load-limit are left alone: they have one encoding only.
 * - With NOSAVE the file may hold anything. What it changes is one unit (exec_effect.c), whose
 *   effects the journal gets as a group: a FLUSHALL if there is one, and a RESTORE of each key. A
 *   crash leaves the old dataset or the new one. All of it is in RAM until then, which is why such
 *   a file may not be longer than whole-load-limit.
 *
 * Unlike in Redis, a key that is there already, without MERGE, is an error that changes nothing and
 * does not end the process. Source: debug.c, rdb.c of Redis 7.2. */
#include "server/commands/debug_reload.h"

#include "codec/buf.h"
#include "codec/rdb_read.h"
#include "server/call.h"
#include "server/commands/list_edit.h"
#include "server/config.h"
#include "server/functions.h"
#include "server/log.h"
#include "server/saves.h"
#include "server/scripting.h"
#include "server/services.h"
#include "storage/ensure.h"
#include "storage/env.h"
#include "storage/object_value.h"
#include "storage/rdb_load.h"
#include "storage/rdb_value.h"
#include "storage/store.h"
#include "storage/types/hash.h"
#include "storage/value_type.h"

#include <inttypes.h>
#include <stdio.h>

#define STRING_BYTES_MAX ((uint64_t)512 << 20)
#define ROOM_EACH_KEYS   256 /* between two looks at memory */
#define DEMOTE_BUDGET_US 100000

struct reload {
    struct call *c;
    bool flush, save, merge;
    struct env *env;
    char path[ENV_PATH_BYTES_MAX];
    int fd;             /* in place, else -1 */
    struct buf content; /* else: all of the file, so that it is the same both times */
    uint64_t file_off;
    bool checking; /* the first time */
    uint32_t db;   /* number */
    uint64_t keys;
    struct functions *libraries; /* of the file */
};

/* The file is what the dataset is. */
static bool in_place(const struct reload *r)
{
    return r->save && (r->flush || r->merge);
}

static bool parse_options(struct call *c, struct reload *r)
{
    r->flush = true;
    r->save = true;
    for (int i = 2; i < c->argc; i++) {
        if (call_arg_is(c, i, "merge")) {
            r->merge = true;
        } else if (call_arg_is(c, i, "noflush")) {
            r->flush = false;
        } else if (call_arg_is(c, i, "nosave")) {
            r->save = false;
        } else {
            reply_error(c->reply, "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE "
                                  "options.");
            return false;
        }
    }
    return true;
}

/* ---- Keys. */

/* Looks the key up, its record or header in RAM; one whose time is over is deleted. */
static enum status find_key(struct reload *r, struct bytes key, struct keyref *ref, struct err *err)
{
    struct call *c = r->c;
    ks_ref(c->ks, ks_db(c->ks, r->db), key, ref);
    enum status st = ST_OK;
    if (ref->object == NULL)
        st = loader_read_now(store_loader(c->services->store), ref->db, ref->position, key, err);
    if (st != ST_OK && st != ST_NOT_FOUND)
        return st;
    call_expire_resident(c, ref->db, key);
    return ST_OK;
}

/* A collection that is in elements on disk, and more than may be in RAM at once. */
static bool is_too_large(struct reload *r, const struct keyref *ref, struct object *o)
{
    if (o == NULL || !o->large || o->type == OBJECT_STRING)
        return false;
    struct store *store = r->c->services->store;
    struct ensure e = {.loader = store_loader(store),
                       .db = ref->db,
                       .o = o,
                       .whole_bytes_max = store_whole_bytes_max(store)};
    return object_value_type((enum object_type)o->type)->ensure_all(&e) == ENSURE_TOO_LARGE;
}

static void store_value(struct reload *r, struct keyref *ref, struct rdb_load *load,
                        int64_t expire_at_ms)
{
    struct keyspace *ks = r->c->ks;
    struct object *o;
    if (load->o.type == OBJECT_STRING) {
        o = ks_set_string(ks, ref, buf_bytes(&load->text));
    } else {
        o = ks_create(ks, ref, (enum object_type)load->o.type);
        ks_change_begin(ks, ref->db, o);
        rdb_load_move(load, o);
        ks_change_end(ks, ref->db, o);
        if (o->type == OBJECT_HASH && hash_next_deadline(o) != OBJECT_NO_EXPIRE)
            ks_note_deadline(ks, ref->db, o, hash_next_deadline(o));
    }
    if (expire_at_ms != OBJECT_NO_EXPIRE)
        ks_set_expire(ks, ref->db, o, expire_at_ms);
}

static void tell_key(struct reload *r, struct keyref *ref, int64_t expire_at_ms)
{
    struct call *c = r->c;
    const struct object *o = ks_find(c->ks, ref);
    struct buf payload = {0};
    char at[24];
    rdb_value_dump(o, c->services->config->rdbcompression, &payload);
    int at_len =
        snprintf(at, sizeof(at), "%" PRId64, expire_at_ms == OBJECT_NO_EXPIRE ? 0 : expire_at_ms);
    const struct bytes argv[] = {bytes_text("RESTORE"),          ref->key,
                                 bytes_make(at, (size_t)at_len), buf_bytes(&payload),
                                 bytes_text("REPLACE"),          bytes_text("ABSTTL")};
    call_effect_db(c, r->db, sizeof(argv) / sizeof(argv[0]), argv);
    call_changed(c, 1);
    buf_deinit(&payload);
}

/* Keeps memory bounded where the journal need not wait for the end. */
static enum status make_room(struct reload *r, struct err *err)
{
    struct store *store = r->c->services->store;
    if (evict_make_room(store_evict(store), 0, DEMOTE_BUDGET_US))
        return ST_OK;
    enum status st = store_cut_now(store, false, err);
    if (st == ST_OK)
        (void)evict_make_room(store_evict(store), 0, DEMOTE_BUDGET_US);
    return st;
}

static enum status put_key(struct reload *r, struct keyref *ref, struct rdb_load *load,
                           int64_t expire_at_ms, struct err *err)
{
    store_value(r, ref, load, expire_at_ms);
    call_key_modified(r->c, ref);
    if (!in_place(r))
        tell_key(r, ref, expire_at_ms);
    else if (++r->keys % ROOM_EACH_KEYS == 0)
        return make_room(r, err);
    return ST_OK;
}

/* ---- The file. */

static enum status read_file(void *arg, uint8_t *out, size_t capacity, size_t *read_out,
                             struct err *err)
{
    struct reload *r = arg;
    if (r->fd < 0) {
        size_t left = r->content.len - (size_t)r->file_off;
        *read_out = left < capacity ? left : capacity;
        if (*read_out != 0)
            memcpy(out, r->content.data + r->file_off, *read_out);
        r->file_off += *read_out;
        return ST_OK;
    }
    enum status st = env_read_at(r->env, r->fd, r->path, r->file_off, out, capacity, read_out, err);
    if (st == ST_OK)
        r->file_off += *read_out;
    return st;
}

/* Keys whose time is over are passed over, as are collections without elements. What was saved just
 * now is not decoded to be checked: the checksum is enough. */
static enum status read_key(struct reload *r, struct rdb_reader *reader, const struct rdb_key *key,
                            struct err *err)
{
    struct call *c = r->c;
    struct keyref ref;
    enum status st = find_key(r, key->name, &ref, err);
    if (st != ST_OK)
        return st;
    struct object *o = ks_find(c->ks, &ref);
    if (r->checking && o != NULL && !r->flush && !r->merge)
        return err_set(err, ST_EXISTS, "a key of database %" PRIu32 " is there already", r->db);
    if ((key->has_expire && key->expire_at_ms <= c->now_ms) ||
        (in_place(r) && (r->checking || is_too_large(r, &ref, o))))
        return rdb_reader_skip_value(reader, err);
    struct list_rules rules = list_rules_of(c);
    struct rdb_load load;
    rdb_load_init(&load, &rules);
    st = rdb_reader_read_value(reader, rdb_load_take, &load, err);
    if (st == ST_OK && rdb_load_finish(&load) == ST_OK && !r->checking)
        st = put_key(r, &ref, &load, key->has_expire ? key->expire_at_ms : OBJECT_NO_EXPIRE, err);
    rdb_load_deinit(&load);
    return st;
}

static enum status read_library(struct reload *r, struct bytes code, struct err *err)
{
    struct buf reason = {0};
    enum status st = ST_OK;
    if (r->checking && functions_load(r->libraries, code, false, &reason) == NULL)
        st = err_set(err, ST_INVALID, "a library cannot be loaded: %.*s", (int)reason.len,
                     (const char *)reason.data);
    buf_deinit(&reason);
    return st;
}

static enum status read_item(struct reload *r, struct rdb_reader *reader,
                             const struct rdb_item *item, struct err *err)
{
    switch (item->event) {
    case RDB_EVENT_KEY:
        return read_key(r, reader, &item->key, err);
    case RDB_EVENT_FUNCTION:
        return read_library(r, item->function, err);
    case RDB_EVENT_SELECT_DB:
        if (item->db >= ks_db_count(r->c->ks))
            return err_set(err, ST_LIMIT, "database %" PRIu32 " is one too many", item->db);
        r->db = item->db;
        return ST_OK;
    case RDB_EVENT_AUX:
    case RDB_EVENT_RESIZE_DB:
    case RDB_EVENT_SLOT_INFO:
    case RDB_EVENT_MODULE_AUX:
        return ST_OK;
    }
    return ST_OK;
}

static enum status read_all(struct reload *r, struct err *err)
{
    struct rdb_reader_options options = {.read = read_file,
                                         .read_arg = r,
                                         .string_bytes_max = STRING_BYTES_MAX,
                                         .ignore_checksum =
                                             r->c->services->config->debug_skip_checksum};
    struct rdb_reader *reader = rdb_reader_create(&options);
    enum status st;
    struct rdb_item item;
    r->file_off = 0;
    r->db = 0;
    do {
        st = rdb_reader_next(reader, &item, err);
        if (st == ST_OK)
            st = read_item(r, reader, &item, err);
    } while (st == ST_OK);
    rdb_reader_destroy(reader);
    return st == ST_END ? ST_OK : st;
}

static enum status open_file(struct reload *r, struct err *err)
{
    const struct config *config = r->c->services->config;
    int len = snprintf(r->path, sizeof(r->path), "%s/%s", config->dir, config->dbfilename);
    if (len >= (int)sizeof(r->path))
        return err_set(err, ST_INVALID, "the path of the RDB file is too long");
    if (in_place(r))
        return env_open(r->env, r->path, ENV_READ, &r->fd, err);
    size_t bytes_max = store_whole_bytes_max(r->c->services->store);
    return env_read_file(r->env, r->path, bytes_max, &r->content, err);
}

/* ---- Changing the dataset. */

static uint64_t flush_all(struct call *c)
{
    uint64_t keys = 0;
    for (uint32_t i = 0; i < ks_db_count(c->ks); i++) {
        keys += db_size(ks_db(c->ks, i));
        call_db_emptied(c, i);
        ks_flush_db(c->ks, i);
    }
    call_flushed(c);
    call_effect_format(c, "s", "FLUSHALL");
    return keys;
}

/* Libraries of the file join those that are there, or take their place. */
static enum status join_libraries(struct reload *r, struct err *err)
{
    struct call *c = r->c;
    struct buf payload = {0}, reason = {0};
    functions_dump(r->libraries, c->services->config->rdbcompression, &payload);
    bool any = r->flush || functions_library_count(r->libraries) != 0;
    enum status st = ST_OK;
    if (!functions_join(scripting_functions(c->services->scripting), r->libraries, r->merge,
                        r->flush, &reason))
        st = err_set(err, ST_EXISTS, "%.*s", (int)reason.len, (const char *)reason.data);
    if (st == ST_OK && any && !in_place(r)) {
        struct bytes bytes = buf_bytes(&payload);
        const char *policy = r->flush ? "FLUSH" : r->merge ? "REPLACE" : "APPEND";
        call_effect_format(c, "ssbs", "FUNCTION", "RESTORE", &bytes, policy);
        call_changed(c, 1);
    }
    buf_deinit(&payload);
    buf_deinit(&reason);
    return st;
}

static enum status check_file(struct reload *r, struct err *err)
{
    struct scripting *scripting = r->c->services->scripting;
    enum status st = open_file(r, err);
    if (st != ST_OK)
        return st;
    r->checking = true;
    scripting_begin_loading(scripting, false);
    st = read_all(r, err);
    scripting_end_loading(scripting);
    r->checking = false;
    return st;
}

static enum status load(struct reload *r, struct err *err)
{
    struct call *c = r->c;
    if (in_place(r))
        call_no_effect(c);
    enum status st = check_file(r, err);
    if (st == ST_OK)
        st = join_libraries(r, err);
    if (st != ST_OK)
        return st;
    if (r->flush && !in_place(r))
        call_changed(c, 1 + flush_all(c));
    return read_all(r, err);
}

void debug_reload(struct call *c)
{
    struct saves *saves = c->services->saves;
    struct reload r = {.c = c, .env = store_env(c->services->store), .fd = -1};
    struct err err;
    if (!parse_options(c, &r))
        return;
    if (r.save && call_is_nested(c)) {
        reply_error(c->reply, "ERR DEBUG RELOAD saves, which it cannot in a transaction");
        return;
    }
    if (r.save && saves_running(saves)) {
        call_wait_tick(c);
        return;
    }
    if (r.save && !saves_run(saves)) {
        reply_error(c->reply, "ERR");
        return;
    }
    r.libraries = functions_create_aside(scripting_functions(c->services->scripting));
    if (load(&r, &err) == ST_OK) {
        log_write(LOG_NOTICE, "DB reloaded by DEBUG RELOAD");
        reply_ok(c->reply);
    } else {
        log_write(LOG_WARNING, "DEBUG RELOAD failed: %s", err.message);
        reply_error(c->reply, "ERR Error trying to load the RDB dump, check server logs.");
    }
    functions_destroy(r.libraries);
    buf_deinit(&r.content);
    env_close(r.env, r.fd);
}
