#include "server/commands/hash_expire.h"

#include "codec/mem.h"
#include "codec/number.h"
#include "server/commands/hash_edit.h"

#define EFFECT_ARGS_MAX 5 /* before the fields: HPEXPIREAT key time FIELDS count */

bool hash_read_deadline(struct call *c, int at, int64_t base_ms, bool seconds, int64_t *at_ms)
{
    int64_t value;
    if (!call_arg_i64(c, at, &value))
        return false;
    if (value < 0) {
        reply_error(c->reply, "ERR invalid expire time, must be >= 0");
        return false;
    }
    if ((seconds && value > HASH_DEADLINE_MS_MAX / 1000) ||
        (seconds ? value * 1000 : value) > HASH_DEADLINE_MS_MAX - base_ms) {
        reply_error_expire(c->reply, c->command->name);
        return false;
    }
    *at_ms = (seconds ? value * 1000 : value) + base_ms;
    return true;
}

void hash_redating_begin(struct hash_redating *redating, struct call *c, struct object *o,
                         int64_t at_ms, size_t count)
{
    *redating = (struct hash_redating){.call = c, .o = o, .at_ms = at_ms};
    redating->redated = mem_alloc((count + EFFECT_ARGS_MAX) * sizeof(struct bytes));
    redating->deleted = mem_alloc((count + EFFECT_ARGS_MAX) * sizeof(struct bytes));
    ks_change_begin(c->ks, c->keys[0].db, o);
}

bool hash_redate(struct hash_redating *redating, struct bytes field)
{
    if (call_field_is_due(redating->call, redating->at_ms)) {
        (void)hash_delete(redating->o, field);
        redating->deleted[EFFECT_ARGS_MAX + redating->deleted_count++] = field;
        return false;
    }
    hash_set_expire(redating->o, field, redating->at_ms);
    redating->redated[EFFECT_ARGS_MAX + redating->redated_count++] = field;
    return true;
}

static void effect_deleted(struct hash_redating *redating)
{
    struct bytes *argv = redating->deleted + EFFECT_ARGS_MAX - 2;
    argv[0] = bytes_text("HDEL");
    argv[1] = redating->call->keys[0].key;
    call_effect(redating->call, (int)redating->deleted_count + 2, argv);
}

static void effect_redated(struct hash_redating *redating)
{
    char time[NUMBER_I64_CHARS_MAX];
    char count[NUMBER_I64_CHARS_MAX];
    struct bytes number =
        bytes_make(count, number_format_i64((int64_t)redating->redated_count, count));
    bool none = redating->at_ms == OBJECT_NO_EXPIRE;
    struct bytes *argv = redating->redated + (none ? 1 : 0);
    int argc = 0;
    argv[argc++] = bytes_text(none ? "HPERSIST" : "HPEXPIREAT");
    argv[argc++] = redating->call->keys[0].key;
    if (!none)
        argv[argc++] = bytes_make(time, number_format_i64(redating->at_ms, time));
    argv[argc++] = bytes_text("FIELDS");
    argv[argc++] = number;
    call_effect(redating->call, argc + (int)redating->redated_count, argv);
}

/* The events of what was done, in that order. */
static void tell(struct hash_redating *redating, bool emptied)
{
    struct call *c = redating->call;
    struct keyref *ref = &c->keys[0];
    call_key_modified(c, ref);
    if (redating->deleted_count != 0)
        call_notify(c, NOTIFY_HASH, "hdel", ref->key);
    else
        call_notify(c, NOTIFY_HASH, redating->at_ms == OBJECT_NO_EXPIRE ? "hpersist" : "hexpire",
                    ref->key);
    if (emptied)
        call_notify(c, NOTIFY_GENERIC, "del", ref->key);
    call_changed(c, redating->redated_count + redating->deleted_count);
}

void hash_redating_end(struct hash_redating *redating)
{
    struct call *c = redating->call;
    bool emptied = hash_edit_end(c, 0, redating->o);
    if (redating->redated_count != 0) {
        ks_note_deadline(c->ks, c->keys[0].db, redating->o, redating->at_ms);
        effect_redated(redating);
    }
    if (redating->deleted_count != 0)
        effect_deleted(redating);
    if (redating->redated_count + redating->deleted_count != 0)
        tell(redating, emptied);
    mem_free(redating->redated);
    mem_free(redating->deleted);
}
