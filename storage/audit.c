#include "storage/audit.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "codec/check.h"
#include "codec/mem.h"
#include "storage/audit_internal.h"
#include "storage/env.h"
#include "storage/journal_archive.h"
#include "storage/journal_walk.h"
#include "storage/loader.h"

#define TEXT_BYTES_MAX        1024
#define REPAIR_BATCH_BYTES    ((size_t)4 << 20)
#define PROGRESS_ENTRIES      4096
#define OBJECT_ID_NEXT_MARGIN 1

static const struct {
    const char *name;
    bool repairable;
    bool normal;
} kinds[AUDIT_KIND_COUNT] = {
    [AUDIT_JOURNAL] = {"journal", false, false},
    [AUDIT_JOURNAL_HISTORY] = {"journal_history", false, false},
    [AUDIT_JOURNAL_TAIL] = {"journal_tail", true, true},
    [AUDIT_JOURNAL_ARCHIVE] = {"journal_archive", false, false},
    [AUDIT_STORE] = {"store", false, false},
    [AUDIT_META] = {"meta", false, false},
    [AUDIT_RECORD_KEY] = {"record_key", false, false},
    [AUDIT_RECORD] = {"record", false, false},
    [AUDIT_RECORD_TWICE] = {"record_twice", false, false},
    [AUDIT_DATABASE] = {"database", false, false},
    [AUDIT_OBJECT_ID] = {"object_id", false, false},
    [AUDIT_ELEMENT] = {"element", false, false},
    [AUDIT_COUNT] = {"count", false, false},
    [AUDIT_ORPHANS] = {"orphans", true, false},
    [AUDIT_EXPIRES_MISSING] = {"expires_missing", true, false},
    [AUDIT_EXPIRES_BAD] = {"expires_bad", true, false},
    [AUDIT_FIELD_DEADLINE] = {"field_deadline", true, false},
    [AUDIT_COUNTERS] = {"counters", true, false},
};

const char *audit_kind_name(enum audit_kind kind)
{
    return kinds[kind].name;
}

bool audit_kind_is_repairable(enum audit_kind kind)
{
    return kinds[kind].repairable;
}

bool audit_kind_is_normal(enum audit_kind kind)
{
    return kinds[kind].normal;
}

/* ---- What the parts share ---- */

void audit_note(struct audit *audit, enum audit_kind kind, bool repaired, const char *format, ...)
{
    char text[TEXT_BYTES_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    audit->report->found[kind]++;
    audit->report->repaired[kind] += repaired;
    audit->options->finding(audit->options->arg, kind, repaired, text);
}

const char *audit_place(const struct audit *audit, const struct audit_record *record,
                        char out[AUDIT_PLACE_BYTES_MAX])
{
    uint32_t db_id = 0;
    uint64_t position = 0;
    struct bytes key = {0};
    if (!record_key_decode(record->key, &db_id, &position, &key))
        key = record->key;
    int len = snprintf(out, AUDIT_PLACE_BYTES_MAX, "%s \"", object_type_name(record->type));
    size_t i = 0;
    for (; i < key.len && len < AUDIT_PLACE_BYTES_MAX - 48; i++) {
        uint8_t byte = key.data[i];
        bool plain = byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
        len += snprintf(out + len, AUDIT_PLACE_BYTES_MAX - (size_t)len, plain ? "%c" : "\\x%02x",
                        byte);
    }
    const char *more = i < key.len ? "..." : "";
    if (record->db_number < audit->state.db_count)
        (void)snprintf(out + len, AUDIT_PLACE_BYTES_MAX - (size_t)len, "\"%s in database %" PRIu32,
                       more, record->db_number);
    else
        (void)snprintf(out + len, AUDIT_PLACE_BYTES_MAX - (size_t)len,
                       "\"%s in database id %" PRIu32, more, db_id);
    return out;
}

enum status audit_advance(struct audit *audit, const char *what, uint64_t entries, struct err *err)
{
    uint64_t before = audit->done / PROGRESS_ENTRIES;
    audit->done += entries;
    if (audit->done / PROGRESS_ENTRIES != before && audit->options->progress != NULL &&
        !audit->options->progress(audit->options->arg, what, audit->done, audit->expected))
        return err_set(err, ST_AGAIN, "stopped");
    if (audit->repairs != NULL && cold_batch_bytes(audit->repairs) >= REPAIR_BATCH_BYTES) {
        enum status st = cold_write(audit->cold, audit->repairs, true, err);
        if (st != ST_OK)
            return st;
        cold_batch_clear(audit->repairs);
    }
    return ST_OK;
}

/* Damage becomes a finding, so that the rest is still looked at. */
static void note_unreadable(struct audit *audit, enum family family, const struct err *reason)
{
    audit->unreadable[family] = true;
    audit->report->incomplete = true;
    audit_note(audit, AUDIT_STORE, false, "column family %s: %s", cold_family_name(family),
               reason->message);
}

enum status audit_iter_end(struct audit *audit, enum family family, const struct cold_iter *iter,
                           struct err *err)
{
    struct err reason;
    enum status st = cold_iter_status(iter, &reason);
    if (st == ST_CORRUPT) {
        note_unreadable(audit, family, &reason);
        return ST_OK;
    }
    if (st != ST_OK && err != NULL)
        *err = reason;
    return st;
}

enum status audit_get(struct audit *audit, enum family family, struct bytes key, struct buf *value,
                      struct err *err)
{
    struct err reason;
    enum status st = cold_get(audit->cold, family, key, value, &reason);
    if (st == ST_CORRUPT)
        note_unreadable(audit, family, &reason);
    else if (st != ST_OK && st != ST_NOT_FOUND && err != NULL)
        *err = reason;
    return st;
}

bool audit_put(struct audit *audit, enum family family, struct bytes key, struct bytes value)
{
    if (audit->repairs == NULL)
        return false;
    cold_batch_put(audit->repairs, family, key, value);
    return true;
}

bool audit_delete(struct audit *audit, enum family family, struct bytes key)
{
    if (audit->repairs == NULL)
        return false;
    cold_batch_delete(audit->repairs, family, key);
    return true;
}

/* ---- Journal ---- */

struct replay {
    struct audit *audit;
    bool first;
};

/* Commands of a block: every array of bulk strings; false if it is not made of them alone. */
static bool count_commands(struct bytes payload, uint64_t *count_out)
{
    size_t at = 0;
    uint64_t count = 0;
    while (at < payload.len) {
        uint64_t left = 1;
        bool array = payload.data[at] == '*';
        for (bool head = true; left != 0; head = false) {
            uint64_t number = 0;
            const uint8_t *end = memchr(payload.data + at, '\n', payload.len - at);
            if (end == NULL)
                return false;
            const uint8_t *digit = payload.data + at + 1;
            for (; digit < end && *digit >= '0' && *digit <= '9' && number < UINT32_MAX; digit++)
                number = number * 10 + (uint64_t)(*digit - '0');
            bool good = digit + 1 == end && *digit == '\r' && (head || payload.data[at] == '$');
            at = (size_t)(end - payload.data) + 1;
            if (head && !array) /* an inline command: a master's "\n" */
                break;
            if (!good)
                return false;
            if (head) {
                left = number;
                continue;
            }
            if (payload.len - at < 2 || number > payload.len - at - 2)
                return false;
            at += number + 2;
            left--;
        }
        count++;
    }
    *count_out = count;
    return true;
}

static bool visit_block(void *arg, const struct journal_walk_block *block)
{
    struct replay *replay = arg;
    struct audit *audit = replay->audit;
    uint64_t cut = audit->state.cut_offset;
    if (replay->first && block->offset != cut)
        audit_note(audit, AUDIT_JOURNAL, false,
                   "the last cut's offset %" PRIu64 " is inside a block of the journal, which "
                   "begins at %" PRIu64,
                   cut, block->offset);
    replay->first = false;
    audit->report->replay_blocks++;
    uint64_t commands = 0;
    if (!audit->options->deep)
        return true;
    if (!count_commands(block->payload, &commands))
        audit_note(audit, AUDIT_JOURNAL, false,
                   "the journal's block at offset %" PRIu64 " does not consist of whole commands",
                   block->offset);
    audit->report->replay_commands += commands;
    return true;
}

/* Lets the journal's own recovery cut the torn tail off. */
static enum status repair_tail(struct audit *audit, const char *dir, struct err *err)
{
    struct journal_options options = {.env = audit->options->env,
                                      .dir = dir,
                                      .needed_from = audit->state.cut_offset,
                                      .log = audit->options->log,
                                      .log_arg = audit->options->log_arg};
    struct journal *journal = NULL;
    enum status st = journal_open(&options, &journal, err);
    journal_close(journal);
    return st;
}

static enum status check_archive(struct audit *audit, struct err *err)
{
    char dir[ENV_PATH_BYTES_MAX];
    char path[ENV_PATH_BYTES_MAX];
    const struct audit_options *options = audit->options;
    struct journal_archive_list list;
    (void)snprintf(dir, sizeof(dir), "%s/journal/" JOURNAL_ARCHIVE_DIR, options->dir);
    enum status st = journal_archive_list_read(options->env, dir, false, &list, err);
    for (size_t i = 0; st == ST_OK && i < list.count; i++) {
        const struct journal_archive *head = &list.items[i].head;
        struct err damage = {.code = ST_OK};
        audit->report->archived_segments++;
        audit->report->archived_bytes += list.items[i].bytes;
        journal_archive_path(dir, head->start, head->end, path);
        st = journal_archive_unpack(options->env, path, NULL, &damage);
        if (st == ST_OK && list.items[i].unreadable)
            st = err_set(&damage, ST_CORRUPT, "%s: its header tells other offsets", path);
        if (st == ST_CORRUPT || st == ST_UNSUPPORTED) {
            audit_note(audit, AUDIT_JOURNAL_ARCHIVE, false, "%s", damage.message);
            st = ST_OK;
        } else if (st != ST_OK && err != NULL) {
            *err = damage;
        }
        if (st == ST_OK && options->progress != NULL &&
            !options->progress(options->arg, "archive", i + 1, list.count))
            st = err_set(err, ST_AGAIN, "stopped");
    }
    journal_archive_list_deinit(&list);
    return st;
}

static enum status check_journal(struct audit *audit, struct err *err)
{
    char dir[ENV_PATH_BYTES_MAX];
    struct env *env = audit->options->env;
    struct audit_report *report = audit->report;
    struct journal_check check = {0};
    struct err whole = {0};
    struct err needed = {0};
    (void)snprintf(dir, sizeof(dir), "%s/journal", audit->options->dir);
    if (audit->options->progress != NULL)
        (void)audit->options->progress(audit->options->arg, "journal", 0, 0);
    enum status st = journal_check_dir(env, dir, &check, &whole);
    if (st == ST_NOT_FOUND) /* the server would begin one at the cut */
        return ST_OK;
    bool damaged = st == ST_CORRUPT;
    struct replay replay = {.audit = audit, .first = true};
    if (st == ST_OK || damaged)
        st = journal_walk(env, dir, audit->state.cut_offset, visit_block, &replay, &check, &needed);
    if (st == ST_CORRUPT) {
        audit_note(audit, AUDIT_JOURNAL, false, "%s", needed.message);
        report->incomplete = true;
        return ST_OK;
    }
    if (st != ST_OK) {
        if (err != NULL)
            *err = needed.code == st ? needed : whole;
        return st;
    }
    if (damaged)
        audit_note(audit, AUDIT_JOURNAL_HISTORY, false, "%s", whole.message);
    report->journal_first = check.first_offset;
    report->journal_end = check.end_offset;
    report->journal_segments = check.segment_count;
    report->journal_blocks = check.block_count;
    report->journal_bytes = check.disk_bytes;
    report->clean = check.clean;
    if (check.tail_bytes == 0)
        return ST_OK;
    bool repaired = audit->options->repair;
    if (repaired)
        st = repair_tail(audit, dir, err);
    if (st == ST_OK)
        audit_note(audit, AUDIT_JOURNAL_TAIL, repaired,
                   "%s: %" PRIu64 " bytes of an unfinished write behind offset %" PRIu64, dir,
                   check.tail_bytes, check.end_offset);
    return st;
}

/* ---- Meta ---- */

/* Damage of the two records that everything else hangs on; other errors are the caller's. */
static enum status note_meta(struct audit *audit, enum status st, const struct err *reason,
                             struct err *err)
{
    if (st == ST_OK)
        return ST_OK;
    if (st == ST_CORRUPT || st == ST_NOT_FOUND) {
        audit_note(audit, AUDIT_META, false, "%s",
                   st == ST_CORRUPT ? reason->message : "the record \"identity\" is missing");
        audit->report->incomplete = true;
        return ST_OK;
    }
    if (err != NULL)
        *err = *reason;
    return st;
}

static enum status visit_library(void *arg, struct bytes name, struct bytes code, struct err *err)
{
    (void)arg;
    (void)name;
    (void)code;
    (void)err;
    return ST_OK;
}

/* Every record of the family is one that we know. */
static enum status read_meta_keys(struct audit *audit, struct err *err)
{
    struct cold_iter *iter = cold_iter_create(audit->cold, FAMILY_META, NULL);
    for (cold_iter_seek_first(iter); cold_iter_valid(iter); cold_iter_next(iter)) {
        struct bytes key = cold_iter_key(iter);
        enum meta_reap_kind kind;
        uint8_t type;
        uint64_t id;
        if (meta_reap_key_decode(key, &kind, &type, &id))
            audit->report->reaper_notes++;
        else if (!bytes_equal(key, bytes_text("identity")) &&
                 !bytes_equal(key, bytes_text("state")) && !bytes_equal(key, bytes_text("boot")) &&
                 (key.len == 0 || key.data[0] != 'f'))
            audit_note(audit, AUDIT_META, false, "an unknown record with a key of %zu bytes",
                       key.len);
    }
    enum status st = audit_iter_end(audit, FAMILY_META, iter, err);
    cold_iter_destroy(iter);
    return st;
}

/* False in `*usable_out`: nothing more can be said about the data. */
static enum status read_meta(struct audit *audit, bool *usable_out, struct err *err)
{
    struct err reason = {0};
    enum status st = meta_read_identity(audit->cold, &audit->identity, &reason);
    bool has_identity = st == ST_OK;
    enum status result = note_meta(audit, st, &reason, err);
    if (result != ST_OK)
        return result;
    st = meta_read_state(audit->cold, &audit->state, &reason);
    bool has_state = st == ST_OK || st == ST_NOT_FOUND; /* no cut yet */
    if (st != ST_NOT_FOUND)
        result = note_meta(audit, st, &reason, err);
    if (result == ST_OK)
        result = note_meta(audit, meta_read_libraries(audit->cold, visit_library, NULL, &reason),
                           &reason, err);
    if (result == ST_OK)
        result = read_meta_keys(audit, err);
    *usable_out = has_identity && has_state;
    audit->report->cut_offset = audit->state.cut_offset;
    audit->rules.hash_seed = audit->identity.hash_seed;
    return result;
}

/* ---- Counters ---- */

static void compare_counters(struct audit *audit)
{
    struct meta_state *state = &audit->state;
    bool changed = false;
    for (uint32_t i = 0; i < state->db_count; i++) {
        struct meta_db *is = &audit->counted[i];
        struct meta_db *says = &state->dbs[i];
        bool all = true;
        for (uint32_t type = OBJECT_STRING; type < OBJECT_TYPE_COUNT; type++) {
            if (audit->unreadable[loader_family((enum object_type)type)]) {
                all = false;
                continue;
            }
            if (is->keys[type] == says->keys[type])
                continue;
            audit_note(
                audit, AUDIT_COUNTERS, audit->options->repair,
                "database %" PRIu32 ": %" PRIu64 " keys of type %s, the counter says %" PRIu64, i,
                is->keys[type], object_type_name((enum object_type)type), says->keys[type]);
            says->keys[type] = is->keys[type];
            changed = true;
        }
        if (all && is->expires != says->expires) {
            audit_note(audit, AUDIT_COUNTERS, audit->options->repair,
                       "database %" PRIu32 ": %" PRIu64 " keys with an expiry, the counter says "
                       "%" PRIu64,
                       i, is->expires, says->expires);
            says->expires = is->expires;
            changed = true;
        }
    }
    if (state->db_count != 0 && audit->highest_id >= state->next_object_id) {
        audit_note(audit, AUDIT_COUNTERS, audit->options->repair,
                   "the next object id is %" PRIu64 ", but %" PRIu64 " is in use",
                   state->next_object_id, audit->highest_id);
        state->next_object_id = audit->highest_id + OBJECT_ID_NEXT_MARGIN;
        changed = true;
    }
    if (changed && audit->repairs != NULL)
        meta_put_state(audit->repairs, state);
}

/* ---- All of it ---- */

static enum status read_store(struct audit *audit, struct err *err)
{
    struct cold_stats stats;
    cold_read_stats(audit->cold, &stats);
    audit->expected = stats.total.keys_estimate;
    audit->counted = mem_calloc(audit->state.db_count + 1, sizeof(*audit->counted));
    enum status st = audit_read_records(audit, err);
    if (st == ST_OK)
        st = audit_read_expires(audit, err);
    if (st == ST_OK)
        compare_counters(audit);
    return st;
}

static enum status check_store(struct audit *audit, const char *dir, struct err *err)
{
    bool repair = audit->options->repair;
    struct err reason = {0};
    struct cold_options options = {.dir = dir, .must_exist = true, .read_only = !repair};
    enum status st = cold_open(&options, &audit->cold, &reason);
    if (st == ST_CORRUPT) {
        audit_note(audit, AUDIT_STORE, false, "%s", reason.message);
        audit->report->incomplete = true;
        return ST_OK;
    }
    if (st != ST_OK) {
        if (err != NULL)
            *err = reason;
        return st;
    }
    if (repair)
        audit->repairs = cold_batch_create();
    bool usable = false;
    st = read_meta(audit, &usable, err);
    if (st == ST_OK && usable)
        st = check_journal(audit, err);
    if (st == ST_OK)
        st = check_archive(audit, err);
    if (st == ST_OK && usable)
        st = read_store(audit, err);
    if (st == ST_OK && repair && cold_batch_count(audit->repairs) != 0)
        st = cold_write(audit->cold, audit->repairs, true, err);
    return st;
}

enum status audit_run(const struct audit_options *options, struct audit_report *out,
                      struct err *err)
{
    char dir[ENV_PATH_BYTES_MAX];
    struct audit audit = {.options = options, .report = out};
    int lock = -1;
    *out = (struct audit_report){0};
    int len = snprintf(dir, sizeof(dir), "%s/rocksdb", options->dir);
    if (len < 0 || (size_t)len >= sizeof(dir) - 64)
        return err_set(err, ST_INVALID, "the directory's name is too long");
    enum status st = ST_OK;
    if (!options->repair) /* else opening it takes the lock */
        st = cold_lock(dir, &lock, err);
    if (st == ST_OK || st == ST_NOT_FOUND) /* a copied directory may lack the lock's file */
        st = check_store(&audit, dir, err);
    cold_batch_destroy(audit.repairs);
    cold_close(audit.cold);
    cold_unlock(lock);
    meta_state_deinit(&audit.state);
    mem_free(audit.counted);
    mem_free(audit.ids.items);
    mem_free(audit.suspects);
    buf_deinit(&audit.suspect_keys);
    return st;
}
