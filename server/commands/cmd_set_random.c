/* Random members of sets: SPOP, SRANDMEMBER. The effect of SPOP is the removal of those members
 * that it chose. Source: t_set.c of Redis 7.2. */
#include "server/commands/rows.h"
#include "server/commands/set_edit.h"
#include "server/commands/tables.h"
#include "server/config.h"
#include "server/services.h"

#include "codec/buf.h"
#include "codec/mem.h"
#include "codec/number.h"

#define EFFECT_MEMBERS_MAX 1024 /* of one SREM in the journal */
#define REMAIN_SHARE       5    /* what is left after a pop is made anew if it is so much less */
#define REPEAT_WINDOW      1000 /* of a large set: what repeated members are chosen among */

static const char not_positive[] = "ERR value is out of range, must be positive";

/* ---- What requests need of large sets. */

static enum ensured ensure_random(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    if (set_needs_nothing(e))
        return ENSURED;
    struct members *m = set_members(e->o);
    int64_t count = 1;
    if (argc > 3 || (argc == 3 && !number_parse_i64(argv[2], &count)))
        return ENSURED;
    if (count < 0)
        count = count < -REPEAT_WINDOW ? REPEAT_WINDOW : -count;
    if ((uint64_t)count >= m->count)
        return members_ensure_all(e, m);
    return members_ensure_sample(e, m, (size_t)count);
}

/* ---- Members as texts of our own: what is chosen is to be removed afterwards. */

struct chosen {
    struct buf bytes;
    size_t *lens; /* owned */
    size_t count;
};

static void choose_member(void *arg, struct bytes member)
{
    struct chosen *chosen = arg;
    buf_append_bytes(&chosen->bytes, member);
    chosen->lens[chosen->count++] = member.len;
}

static void choose(struct call *c, const struct object *o, size_t count, struct chosen *out)
{
    *out = (struct chosen){.lens = mem_alloc(count * sizeof(size_t) + 1)};
    set_sample(o, call_random_position(c), count, choose_member, out);
}

/* The chosen members as ranges, to be freed with mem_free; room for two more before them. */
static struct bytes *chosen_texts(const struct chosen *chosen)
{
    struct bytes *texts = mem_alloc((chosen->count + 2) * sizeof(*texts));
    size_t at = 0;
    for (size_t i = 0; i < chosen->count; i++) {
        texts[i + 2] = bytes_make(chosen->bytes.data + at, chosen->lens[i]);
        at += chosen->lens[i];
    }
    return texts;
}

static void chosen_deinit(struct chosen *chosen)
{
    buf_deinit(&chosen->bytes);
    mem_free(chosen->lens);
}

/* ---- SPOP. */

/* The journal's SREMs; `texts` has room for two before the members. */
static void effect_removals(struct call *c, struct bytes *texts, size_t count)
{
    for (size_t at = 0; at < count; at += EFFECT_MEMBERS_MAX) {
        size_t part = count - at < EFFECT_MEMBERS_MAX ? count - at : EFFECT_MEMBERS_MAX;
        struct bytes *argv = texts + at;
        struct bytes saved[2] = {argv[0], argv[1]};
        argv[0] = bytes_text("SREM");
        argv[1] = c->keys[0].key;
        call_effect(c, (int)part + 2, argv);
        argv[0] = saved[0];
        argv[1] = saved[1];
    }
}

static void pop_one(struct call *c, struct object *o)
{
    struct chosen chosen;
    choose(c, o, 1, &chosen);
    struct bytes member = buf_bytes(&chosen.bytes);
    ks_change_begin(c->ks, c->keys[0].db, o);
    (void)set_remove(o, member);
    bool emptied = set_edit_end(c, 0, o);
    call_notify(c, NOTIFY_SET, "spop", c->keys[0].key);
    call_effect_format(c, "sbb", "SREM", &c->keys[0].key, &member);
    reply_bulk(c->reply, member);
    if (emptied)
        call_notify(c, NOTIFY_GENERIC, "del", c->keys[0].key);
    call_key_modified(c, &c->keys[0]);
    call_changed(c, 1);
    chosen_deinit(&chosen);
}

static void pop_all(struct call *c, struct object *o)
{
    struct set_iter iter;
    struct bytes member;
    uint64_t count = set_count(o);
    reply_set(c->reply, count);
    for (set_iter_init(&iter, o); set_iter_next(&iter, &member);)
        reply_bulk(c->reply, member);
    call_notify(c, NOTIFY_SET, "spop", c->keys[0].key);
    ks_delete(c->ks, &c->keys[0]);
    call_notify(c, NOTIFY_GENERIC, "del", c->keys[0].key);
    const char *name = call_deletion_name(c->services->config->lazyfree_lazy_server_del);
    call_effect_format(c, "sb", name, &c->keys[0].key);
    call_key_modified(c, &c->keys[0]);
    call_changed(c, count);
}

/* A set of few members that are left of a large table: compact again, as in Redis. */
static void make_anew(struct call *c, struct object *o)
{
    struct object kept = {.type = OBJECT_SET};
    struct set_iter iter;
    struct bytes member;
    int64_t integer;
    for (set_iter_init(&iter, o); set_iter_next(&iter, &member);) {
        if (kept.encoding == ENCODING_NONE && number_parse_i64(member, &integer))
            set_init_intset(&kept);
        else if (kept.encoding == ENCODING_NONE)
            set_init_listpack(&kept);
        (void)set_add(&kept, ks_value_rules(c->ks), member);
    }
    set_clear(o);
    set_move(o, &kept);
}

static void pop_some(struct call *c, struct object *o, size_t count)
{
    uint64_t remaining = set_count(o) - count;
    struct chosen chosen;
    choose(c, o, count, &chosen);
    struct bytes *texts = chosen_texts(&chosen);
    ks_change_begin(c->ks, c->keys[0].db, o);
    reply_set(c->reply, chosen.count);
    for (size_t i = 0; i < chosen.count; i++) {
        reply_bulk(c->reply, texts[i + 2]);
        (void)set_remove(o, texts[i + 2]);
    }
    if (remaining * REMAIN_SHARE <= count && set_is_table(o) && !o->large)
        make_anew(c, o);
    (void)set_edit_end(c, 0, o);
    call_notify(c, NOTIFY_SET, "spop", c->keys[0].key);
    effect_removals(c, texts, chosen.count);
    call_key_modified(c, &c->keys[0]);
    call_changed(c, chosen.count);
    mem_free(texts);
    chosen_deinit(&chosen);
}

static void spop_count(struct call *c)
{
    int64_t count;
    if (!call_arg_range(c, 2, 0, INT64_MAX, &count, not_positive))
        return;
    bool wrong_type = false;
    struct object *o = call_find_write_type(c, 0, OBJECT_SET, &wrong_type);
    if (wrong_type)
        return;
    if (o == NULL || count == 0)
        reply_set(c->reply, 0);
    else if ((uint64_t)count >= set_count(o))
        pop_all(c, o);
    else
        pop_some(c, o, (size_t)count);
}

static void cmd_spop(struct call *c)
{
    if (c->argc > 3) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return;
    }
    if (c->argc == 3) {
        spop_count(c);
        return;
    }
    bool wrong_type = false;
    struct object *o = call_find_write_type(c, 0, OBJECT_SET, &wrong_type);
    if (wrong_type)
        return;
    if (o == NULL)
        reply_null(c->reply);
    else
        pop_one(c, o);
}

/* ---- SRANDMEMBER. */

static void reply_member(void *arg, struct bytes member)
{
    reply_bulk(arg, member);
}

/* The same member may come more than once. */
static void reply_repeated(struct call *c, const struct object *o, uint64_t count)
{
    uint64_t random = call_random_position(c) | 1;
    reply_array(c->reply, count);
    if (!set_is_table(o) || members_are_all(set_members(o))) {
        char scratch[NUMBER_I64_CHARS_MAX];
        for (uint64_t i = 0; i < count; i++)
            reply_bulk(c->reply, set_random(o, &random, scratch));
        return;
    }
    struct chosen chosen;
    choose(c, o, count < REPEAT_WINDOW ? (size_t)count : REPEAT_WINDOW, &chosen);
    struct bytes *texts = chosen_texts(&chosen);
    for (uint64_t i = 0; i < count; i++)
        reply_bulk(c->reply, texts[2 + member_random(&random) % chosen.count]);
    mem_free(texts);
    chosen_deinit(&chosen);
}

static void srandmember_count(struct call *c)
{
    int64_t count;
    if (!call_arg_range(c, 2, -INT64_MAX, INT64_MAX, &count, NULL))
        return;
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_SET, &wrong_type);
    if (wrong_type)
        return;
    if (o == NULL || count == 0) {
        reply_array(c->reply, 0);
        return;
    }
    if (count < 0) {
        reply_repeated(c, o, (uint64_t)-count);
        return;
    }
    uint64_t size = set_count(o);
    size_t some = (uint64_t)count < size ? (size_t)count : (size_t)size;
    reply_array(c->reply, some);
    set_sample(o, call_random_position(c), some, reply_member, c->reply);
}

static void cmd_srandmember(struct call *c)
{
    if (c->argc > 3) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return;
    }
    if (c->argc == 3) {
        srandmember_count(c);
        return;
    }
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_SET, &wrong_type);
    if (wrong_type)
        return;
    if (o == NULL)
        reply_null(c->reply);
    else
        set_sample(o, call_random_position(c), 1, reply_member, c->reply);
}

/* ---- The rows. */

const struct command cmd_set_random_table[] = {
    {.name = "spop",
     .handler = cmd_spop,
     .arity = -2,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_SET,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .ensure = ensure_random,
     .group = "set",
     .since = "1.0.0",
     .complexity = "Without the count argument O(1), otherwise O(N) where N is the value of the "
                   "passed count.",
     .summary = "Returns one or more random members from a set after removing them. Deletes the "
                "set if the last member was popped.",
     .tips = TEXTS("nondeterministic_output"),
     .history = TEXTS("3.2.0", "Added the `count` argument."),
     .args = ARGS(ARG("key", KEY), ARG("count", INTEGER, .flags = ARG_OPTIONAL, .since = "3.2.0"))},
    {.name = "srandmember",
     .handler = cmd_srandmember,
     .arity = -2,
     .flags = CMD_READONLY,
     .acl = ACL_SET,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_random,
     .group = "set",
     .since = "1.0.0",
     .complexity = "Without the count argument O(1), otherwise O(N) where N is the absolute value "
                   "of the passed count.",
     .summary = "Get one or multiple random members from a set",
     .tips = TEXTS("nondeterministic_output"),
     .history = TEXTS("2.6.0", "Added the optional `count` argument."),
     .args = ARGS(ARG("key", KEY), ARG("count", INTEGER, .flags = ARG_OPTIONAL, .since = "2.6.0"))},
    {.name = NULL},
};
