#include "server/commands/stream_args.h"

#include "server/notify.h"

#include <stdio.h>
#include <string.h>

/* ---- Ids --------------------------------------------------------------------------------------
 */

struct bytes stream_id_text(struct stream_id id, char text[STREAM_ID_CHARS_MAX])
{
    int len = snprintf(text, STREAM_ID_CHARS_MAX, "%llu-%llu", (unsigned long long)id.ms,
                       (unsigned long long)id.seq);
    return bytes_make(text, (size_t)len);
}

void stream_reply_id(struct reply *r, struct stream_id id)
{
    char text[STREAM_ID_CHARS_MAX];
    reply_bulk(r, stream_id_text(id, text));
}

static bool parse_u64(struct bytes text, uint64_t *out)
{
    uint64_t value = 0;
    if (text.len == 0 || text.len > 127)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = text.data[i] - (unsigned)'0';
        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *out = value;
    return true;
}

static bool parse_id(struct bytes text, uint64_t missing_seq, bool *seq_given,
                     struct stream_id *out)
{
    const uint8_t *dash = text.len == 0 ? NULL : memchr(text.data, '-', text.len);
    struct bytes ms = text;
    out->seq = missing_seq;
    if (seq_given != NULL)
        *seq_given = true;
    if (dash != NULL) {
        ms.len = (size_t)(dash - text.data);
        struct bytes seq = bytes_make(dash + 1, text.len - ms.len - 1);
        if (seq_given != NULL && bytes_equal_nocase(seq, "*")) {
            *seq_given = false;
            out->seq = 0;
        } else if (!parse_u64(seq, &out->seq)) {
            return false;
        }
    }
    return parse_u64(ms, &out->ms);
}

bool stream_parse_id(struct bytes text, uint64_t missing_seq, struct stream_id *out)
{
    return parse_id(text, missing_seq, NULL, out);
}

bool stream_arg_id(struct call *c, struct bytes text, uint64_t missing_seq, bool strict,
                   bool *seq_given, struct stream_id *out)
{
    bool valid = true;
    if (!strict && bytes_equal_nocase(text, "-"))
        *out = (struct stream_id){0, 0};
    else if (!strict && bytes_equal_nocase(text, "+"))
        *out = STREAM_ID_MAX;
    else
        valid = parse_id(text, missing_seq, seq_given, out);
    if (!valid && c != NULL)
        reply_error(c->reply, "ERR Invalid stream ID specified as stream command argument");
    return valid;
}

bool stream_arg_bound(struct call *c, struct bytes text, bool start, struct stream_id *out)
{
    bool exclusive = text.len > 1 && text.data[0] == '(';
    if (exclusive)
        text = bytes_make(text.data + 1, text.len - 1);
    if (!stream_arg_id(c, text, start ? 0 : UINT64_MAX, exclusive, NULL, out))
        return false;
    if (!exclusive || (start ? stream_id_increment(out) : stream_id_decrement(out)))
        return true;
    if (c != NULL)
        reply_error(c->reply, start ? "ERR invalid start ID for the interval"
                                    : "ERR invalid end ID for the interval");
    return false;
}

/* ---- Entries ----------------------------------------------------------------------------------
 */

void stream_reply_entry(struct reply *r, struct stream_entry *entry)
{
    char field_scratch[24];
    char value_scratch[24];
    struct bytes field;
    struct bytes value;
    reply_array(r, 2);
    stream_reply_id(r, entry->id);
    reply_array(r, entry->field_count * 2);
    for (uint64_t i = 0; i < entry->field_count; i++) {
        stream_entry_next(entry, field_scratch, value_scratch, &field, &value);
        reply_bulk(r, field);
        reply_bulk(r, value);
    }
}

bool stream_reply_one(struct reply *r, const struct stream *s, struct stream_id id)
{
    struct stream_walk walk;
    struct stream_entry entry;
    stream_walk_init(&walk, s, id, id, false);
    if (!stream_walk_next(&walk, &entry))
        return false;
    stream_reply_entry(r, &entry);
    return true;
}

/* ---- Changing ---------------------------------------------------------------------------------
 */

struct object *stream_change_begin(struct call *c, int index, struct object *o)
{
    struct keyref *ref = &c->keys[index];
    bool is_new = o == NULL;
    if (is_new)
        o = ks_create(c->ks, ref, OBJECT_STREAM);
    ks_change_begin(c->ks, ref->db, o);
    if (is_new)
        stream_init(o);
    return o;
}

void stream_change_end(struct call *c, int index, struct object *o)
{
    stream_settle(o, ks_value_rules(c->ks));
    ks_change_end(c->ks, c->keys[index].db, o);
}

/* ---- Groups -----------------------------------------------------------------------------------
 */

static int shown_len(struct bytes text)
{
    return (int)(text.len < 512 ? text.len : 512);
}

void stream_reply_no_group(struct call *c, struct bytes key, struct bytes group, const char *behind)
{
    reply_error_format(c->reply, "NOGROUP No such key '%.*s' or consumer group '%.*s'%s",
                       shown_len(key), (const char *)key.data, shown_len(group),
                       (const char *)group.data, behind);
}

bool stream_has_gaps(const struct stream *s, struct stream_id from)
{
    return s->length != 0 && !stream_id_is_zero(s->max_deleted_id) &&
           stream_id_compare(s->first_id, s->max_deleted_id) <= 0 &&
           stream_id_compare(from, s->max_deleted_id) <= 0;
}

/* ---- Effects ----------------------------------------------------------------------------------
 */

void stream_effect_claim(struct call *c, struct bytes key, const struct stream_group *group,
                         struct bytes consumer, struct stream_id id, int64_t delivered_at_ms,
                         uint64_t deliveries)
{
    char id_text[STREAM_ID_CHARS_MAX];
    char last_text[STREAM_ID_CHARS_MAX];
    struct bytes name = stream_group_name(group);
    struct bytes id_bytes = stream_id_text(id, id_text);
    struct bytes last_bytes = stream_id_text(group->part->last_id, last_text);
    call_effect_format(c, "sbbbsbsisisssb", "XCLAIM", &key, &name, &consumer, "0", &id_bytes,
                       "TIME", delivered_at_ms, "RETRYCOUNT", (int64_t)deliveries, "FORCE",
                       "JUSTID", "LASTID", &last_bytes);
}

void stream_effect_group_id(struct call *c, struct bytes key, const struct stream_group *group)
{
    char last_text[STREAM_ID_CHARS_MAX];
    struct bytes name = stream_group_name(group);
    struct bytes last_bytes = stream_id_text(group->part->last_id, last_text);
    call_effect_format(c, "ssbbbsi", "XGROUP", "SETID", &key, &name, &last_bytes, "ENTRIESREAD",
                       group->part->entries_read);
}

void stream_effect_consumer(struct call *c, struct bytes key, const struct stream_group *group,
                            struct bytes consumer)
{
    struct bytes name = stream_group_name(group);
    call_effect_format(c, "ssbbb", "XGROUP", "CREATECONSUMER", &key, &name, &consumer);
}

struct stream_consumer *stream_use_consumer(struct call *c, struct bytes key, struct stream *s,
                                            struct stream_group *group, struct bytes name,
                                            bool told)
{
    struct stream_consumer *consumer = stream_find_consumer(group, name);
    if (consumer == NULL) {
        consumer = stream_create_consumer(s, group, name, c->now_ms);
        if (!told)
            stream_effect_consumer(c, key, group, name);
        call_notify(c, NOTIFY_STREAM, "xgroup-createconsumer", key);
    }
    stream_touch_consumer(s, consumer, c->now_ms, false);
    return consumer;
}

void stream_finish_effects(struct call *c)
{
    if (!c->effect_custom)
        call_no_effect(c);
    else if (c->changes == 0 && !c->blocks)
        call_changed(c, 1);
}
