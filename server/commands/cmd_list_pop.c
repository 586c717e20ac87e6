/* Lists: taking elements away from the ends, moving them between lists, and waiting for some to
 * come. What blocks is journaled as what it does once it need not wait. Source: t_list.c of Redis
 * 7.2. */
#include "server/call.h"
#include "server/commands/list_edit.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/notify.h"
#include "storage/types/list_ensure.h"

#include "codec/mem.h"
#include "codec/number.h"

#define ELEMENT_BYTES_INLINE 256

static const char *pop_event(enum list_end end)
{
    return end == LIST_HEAD ? "lpop" : "rpop";
}

static const char *pop_command(enum list_end end)
{
    return end == LIST_HEAD ? "LPOP" : "RPOP";
}

/* Replies `count` elements from one end, which exist, and takes them away. The array's header, if
 * there is to be one, is the caller's. */
static void pop(struct call *c, int key, struct object *o, enum list_end end, uint64_t count)
{
    uint64_t length = list_length(o);
    bool forward = end == LIST_HEAD;
    list_reply_elements(c->reply, o, forward ? 0 : length - 1, count, forward);
    o = list_open(c, &c->keys[key], o);
    list_delete(o, forward ? 0 : length - count, count);
    list_commit_removal(c, &c->keys[key], o, pop_event(end));
    call_changed(c, count);
}

/* ---- LPOP, RPOP. */

static void pop_command_on(struct call *c, enum list_end end)
{
    bool has_count = c->argc == 3;
    int64_t count = 1;
    if (c->argc > 3) {
        reply_error_arity(c->reply, c->command->name);
        return;
    }
    if (has_count &&
        !call_arg_range(c, 2, 0, INT64_MAX, &count, "ERR value is out of range, must be positive"))
        return;
    bool wrong_type;
    struct object *o = call_find_write_type(c, 0, OBJECT_LIST, &wrong_type);
    if (wrong_type)
        return;
    if (o == NULL) {
        if (has_count)
            reply_null_array(c->reply);
        else
            reply_null(c->reply);
        return;
    }
    uint64_t length = list_length(o);
    uint64_t taken = (uint64_t)count < length ? (uint64_t)count : length;
    if (has_count)
        reply_array(c->reply, taken);
    if (taken != 0)
        pop(c, 0, o, end, taken);
}

static void cmd_lpop(struct call *c)
{
    pop_command_on(c, LIST_HEAD);
}

static void cmd_rpop(struct call *c)
{
    pop_command_on(c, LIST_TAIL);
}

static enum ensured ensure_pop(struct ensure *e, const struct bytes *argv, int argc,
                               enum list_end end)
{
    int64_t count = 1;
    if (argc > 2 && (!number_parse_i64(argv[2], &count) || count < 0))
        return ENSURED;
    return list_ensure_end(e, end, (uint64_t)count);
}

static enum ensured ensure_lpop(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    return ensure_pop(e, argv, argc, LIST_HEAD);
}

static enum ensured ensure_rpop(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    return ensure_pop(e, argv, argc, LIST_TAIL);
}

/* ---- LMPOP, BLMPOP: the arguments from numkeys on. */

struct mpop {
    int64_t key_count;
    enum list_end end;
    int64_t count;
};

static bool parse_mpop(struct call *c, int numkeys_arg, struct mpop *out)
{
    if (!call_arg_range(c, numkeys_arg, 1, INT64_MAX, &out->key_count,
                        "ERR numkeys should be greater than 0"))
        return false;
    if (out->key_count >= c->argc - numkeys_arg - 1) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return false;
    }
    int end_arg = numkeys_arg + (int)out->key_count + 1;
    if (!list_arg_end(c, end_arg, &out->end))
        return false;
    out->count = 1;
    int more = c->argc - end_arg - 1;
    if (more == 0)
        return true;
    if (more == 1 || !call_arg_is(c, end_arg + 1, "count")) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return false;
    }
    if (!call_arg_range(c, end_arg + 2, 1, INT64_MAX, &out->count,
                        "ERR count should be greater than 0"))
        return false;
    if (more > 2)
        reply_error_id(c->reply, ERROR_SYNTAX);
    return more == 2;
}

enum found { FOUND_NONE, FOUND_LIST, FOUND_WRONG_TYPE };

/* The first of the keys that holds something; a reply was made if that is no list. */
static enum found find_first(struct call *c, int key_count, int *key, struct object **o)
{
    for (*key = 0; *key < key_count; (*key)++) {
        bool wrong_type;
        *o = call_find_write_type(c, *key, OBJECT_LIST, &wrong_type);
        if (wrong_type)
            return FOUND_WRONG_TYPE;
        if (*o != NULL)
            return FOUND_LIST;
    }
    return FOUND_NONE;
}

static void pop_several(struct call *c, int key, struct object *o, const struct mpop *mpop)
{
    uint64_t length = list_length(o);
    uint64_t count = (uint64_t)mpop->count < length ? (uint64_t)mpop->count : length;
    reply_array(c->reply, 2);
    reply_bulk(c->reply, c->keys[key].key);
    reply_array(c->reply, count);
    pop(c, key, o, mpop->end, count);
    call_effect_format(c, "sbi", pop_command(mpop->end), &c->keys[key].key, (int64_t)count);
}

static void cmd_lmpop(struct call *c)
{
    struct mpop mpop;
    struct object *o = NULL;
    int key;
    if (!parse_mpop(c, 1, &mpop))
        return;
    switch (find_first(c, c->key_count, &key, &o)) {
    case FOUND_NONE:
        reply_null_array(c->reply);
        break;
    case FOUND_LIST:
        pop_several(c, key, o, &mpop);
        break;
    case FOUND_WRONG_TYPE:
        break;
    }
}

static enum ensured ensure_mpop(struct ensure *e, const struct bytes *argv, int argc,
                                int numkeys_arg)
{
    int64_t key_count, count = 1;
    if (!number_parse_i64(argv[numkeys_arg], &key_count) || key_count < 1 ||
        key_count >= argc - numkeys_arg - 1)
        return ENSURED;
    int end_arg = numkeys_arg + (int)key_count + 1;
    if (end_arg + 2 < argc && (!number_parse_i64(argv[end_arg + 2], &count) || count < 1))
        return ENSURED;
    return list_ensure_end(e, bytes_equal_nocase(argv[end_arg], "left") ? LIST_HEAD : LIST_TAIL,
                           (uint64_t)count);
}

static enum ensured ensure_lmpop(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    return ensure_mpop(e, argv, argc, 1);
}

/* ---- BLPOP, BRPOP, BLMPOP. */

static void wait_for_any(struct call *c, int64_t timeout_ms)
{
    if (!call_may_block(c)) {
        reply_null_array(c->reply);
        return;
    }
    struct call_block block = {
        .type = OBJECT_LIST, .key_count = c->key_count, .timeout_ms = timeout_ms};
    call_block(c, &block);
}

static void blocking_pop(struct call *c, enum list_end end)
{
    int64_t timeout_ms;
    struct object *o = NULL;
    int key;
    if (!call_arg_timeout(c, c->argc - 1, &timeout_ms))
        return;
    switch (find_first(c, c->key_count, &key, &o)) {
    case FOUND_NONE:
        wait_for_any(c, timeout_ms);
        break;
    case FOUND_LIST:
        reply_array(c->reply, 2);
        reply_bulk(c->reply, c->keys[key].key);
        pop(c, key, o, end, 1);
        call_effect_format(c, "sb", pop_command(end), &c->keys[key].key);
        break;
    case FOUND_WRONG_TYPE:
        break;
    }
}

static void cmd_blpop(struct call *c)
{
    blocking_pop(c, LIST_HEAD);
}

static void cmd_brpop(struct call *c)
{
    blocking_pop(c, LIST_TAIL);
}

static enum ensured ensure_first(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)argv, (void)argc, (void)key;
    return list_ensure_end(e, LIST_HEAD, 1);
}

static enum ensured ensure_last(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)argv, (void)argc, (void)key;
    return list_ensure_end(e, LIST_TAIL, 1);
}

static void cmd_blmpop(struct call *c)
{
    struct mpop mpop;
    int64_t timeout_ms;
    struct object *o = NULL;
    int key;
    if (!parse_mpop(c, 2, &mpop) || !call_arg_timeout(c, 1, &timeout_ms))
        return;
    switch (find_first(c, c->key_count, &key, &o)) {
    case FOUND_NONE:
        wait_for_any(c, timeout_ms);
        break;
    case FOUND_LIST:
        pop_several(c, key, o, &mpop);
        break;
    case FOUND_WRONG_TYPE:
        break;
    }
}

static enum ensured ensure_blmpop(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    return ensure_mpop(e, argv, argc, 2);
}

/* ---- LMOVE, RPOPLPUSH, BLMOVE, BRPOPLPUSH. */

struct move {
    enum list_end from, to;
};

/* The destination gets the element before the source loses it, as in Redis: their events come in
 * that order. */
static void move_between(struct call *c, struct object *source, struct object *destination,
                         const struct move *move, struct bytes element)
{
    struct list_rules rules = list_rules_of(c);
    uint64_t last = list_length(source) - 1;
    struct object *o = list_open(c, &c->keys[1], destination);
    list_will_grow(o, &rules, element.len, 1);
    list_push(o, &rules, move->to, element);
    list_commit(c, &c->keys[1], o);
    call_notify(c, NOTIFY_LIST, move->to == LIST_HEAD ? "lpush" : "rpush", c->keys[1].key);
    o = ks_lookup(c->ks, &c->keys[0]);
    o = list_open(c, &c->keys[0], o);
    list_delete(o, move->from == LIST_HEAD ? 0 : last, 1);
    list_commit_removal(c, &c->keys[0], o, pop_event(move->from));
}

/* Within one list. */
static void rotate(struct call *c, struct object *o, const struct move *move, struct bytes element)
{
    struct list_rules rules = list_rules_of(c);
    o = list_open(c, &c->keys[0], o);
    list_delete(o, move->from == LIST_HEAD ? 0 : list_length(o) - 1, 1);
    list_will_grow(o, &rules, element.len, 1);
    list_push(o, &rules, move->to, element);
    call_notify(c, NOTIFY_LIST, move->to == LIST_HEAD ? "lpush" : "rpush", c->keys[0].key);
    list_commit_removal(c, &c->keys[0], o, pop_event(move->from));
}

/* `source` is a list. False: nothing was moved, and an error replied. */
static bool move_element(struct call *c, struct object *source, const struct move *move)
{
    bool wrong_type;
    struct object *destination = call_find_write_type(c, 1, OBJECT_LIST, &wrong_type);
    if (wrong_type)
        return false;
    source = ks_lookup(c->ks, &c->keys[0]);
    struct listpack_value value;
    char digits[NUMBER_I64_CHARS_MAX];
    (void)list_get(source, move->from == LIST_HEAD ? 0 : list_length(source) - 1, &value);
    struct bytes element = listpack_value_text(&value, digits);
    uint8_t few[ELEMENT_BYTES_INLINE];
    uint8_t *copy = element.len <= sizeof(few) ? few : mem_alloc(element.len);
    if (element.len != 0)
        memcpy(copy, element.data, element.len);
    element.data = copy;
    if (source == destination)
        rotate(c, source, move, element);
    else
        move_between(c, source, destination, move, element);
    reply_bulk(c->reply, element);
    if (copy != few)
        mem_free(copy);
    call_changed(c, 1);
    return true;
}

static void move_or_null(struct call *c, const struct move *move)
{
    bool wrong_type;
    struct object *source = call_find_write_type(c, 0, OBJECT_LIST, &wrong_type);
    if (wrong_type)
        return;
    if (source == NULL)
        reply_null(c->reply);
    else
        (void)move_element(c, source, move);
}

static void cmd_lmove(struct call *c)
{
    struct move move;
    if (list_arg_end(c, 3, &move.from) && list_arg_end(c, 4, &move.to))
        move_or_null(c, &move);
}

static void cmd_rpoplpush(struct call *c)
{
    static const struct move move = {.from = LIST_TAIL, .to = LIST_HEAD};
    move_or_null(c, &move);
}

/* True: an element was moved, and what was done is to be journaled. */
static bool move_or_wait(struct call *c, const struct move *move, int64_t timeout_ms)
{
    bool wrong_type;
    struct object *source = call_find_write_type(c, 0, OBJECT_LIST, &wrong_type);
    if (wrong_type)
        return false;
    if (source != NULL)
        return move_element(c, source, move);
    if (call_may_block(c)) {
        struct call_block block = {.type = OBJECT_LIST, .key_count = 1, .timeout_ms = timeout_ms};
        call_block(c, &block);
    } else {
        reply_null(c->reply);
    }
    return false;
}

static void cmd_blmove(struct call *c)
{
    struct move move;
    int64_t timeout_ms;
    if (!list_arg_end(c, 3, &move.from) || !list_arg_end(c, 4, &move.to) ||
        !call_arg_timeout(c, 5, &timeout_ms))
        return;
    if (move_or_wait(c, &move, timeout_ms))
        call_effect_format(c, "sbbbb", "LMOVE", &c->argv[1], &c->argv[2], &c->argv[3], &c->argv[4]);
}

static void cmd_brpoplpush(struct call *c)
{
    static const struct move move = {.from = LIST_TAIL, .to = LIST_HEAD};
    int64_t timeout_ms;
    if (!call_arg_timeout(c, 3, &timeout_ms))
        return;
    if (move_or_wait(c, &move, timeout_ms))
        call_effect_format(c, "sbb", "RPOPLPUSH", &c->argv[1], &c->argv[2]);
}

static enum ensured ensure_lmove(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)argc;
    return list_ensure_end(e, bytes_equal_nocase(argv[3 + key], "left") ? LIST_HEAD : LIST_TAIL, 1);
}

static enum ensured ensure_rpoplpush(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)argv, (void)argc;
    return list_ensure_end(e, key == 0 ? LIST_TAIL : LIST_HEAD, 1);
}

/* ---- The table. */

const struct command cmd_list_pop_table[] = {
    {.name = "blmove",
     .handler = cmd_blmove,
     .arity = 6,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_BLOCKING,
     .acl = ACL_LIST,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE), KEY_AT(2, KEY_RW | KEY_INSERT)},
     .ensure = ensure_lmove,
     .group = "list",
     .since = "6.2.0",
     .complexity = "O(1)",
     .summary =
         "Pops an element from a list, pushes it to another list and returns it. Blocks until an "
         "element is available otherwise. Deletes the list if the last element was moved.",
     .args = ARGS(
         ARG("source", KEY), ARG("destination", KEY, .key_spec_index = 1),
         ARG("wherefrom", ONEOF, .children = ARGS(TOKEN("left", "LEFT"), TOKEN("right", "RIGHT"))),
         ARG("whereto", ONEOF, .children = ARGS(TOKEN("left", "LEFT"), TOKEN("right", "RIGHT"))),
         ARG("timeout", DOUBLE))},
    {.name = "blmpop",
     .handler = cmd_blmpop,
     .arity = -5,
     .flags = CMD_WRITE | CMD_BLOCKING,
     .acl = ACL_LIST,
     .keys = {KEY_NUMKEYS(2, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .ensure = ensure_blmpop,
     .group = "list",
     .since = "7.0.0",
     .complexity =
         "O(N+M) where N is the number of provided keys and M is the number of elements returned.",
     .summary = "Pops the first element from one of multiple lists. Blocks until an element is "
                "available otherwise. Deletes the list if the last element was popped.",
     .args = ARGS(
         ARG("timeout", DOUBLE), ARG("numkeys", INTEGER), ARG("key", KEY, .flags = ARG_MULTIPLE),
         ARG("where", ONEOF, .children = ARGS(TOKEN("left", "LEFT"), TOKEN("right", "RIGHT"))),
         ARG("count", INTEGER, .flags = ARG_OPTIONAL, .token = "COUNT"))},
    {.name = "blpop",
     .handler = cmd_blpop,
     .arity = -3,
     .flags = CMD_WRITE | CMD_BLOCKING,
     .acl = ACL_LIST,
     .keys = {KEY_RANGE(1, -2, 1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .ensure = ensure_first,
     .group = "list",
     .since = "2.0.0",
     .complexity = "O(N) where N is the number of provided keys.",
     .summary = "Removes and returns the first element in a list. Blocks until an element is "
                "available otherwise. Deletes the list if the last element was popped.",
     .history = TEXTS("6.0.0", "`timeout` is interpreted as a double instead of an integer."),
     .args = ARGS(ARG("key", KEY, .flags = ARG_MULTIPLE), ARG("timeout", DOUBLE))},
    {.name = "brpop",
     .handler = cmd_brpop,
     .arity = -3,
     .flags = CMD_WRITE | CMD_BLOCKING,
     .acl = ACL_LIST,
     .keys = {KEY_RANGE(1, -2, 1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .ensure = ensure_last,
     .group = "list",
     .since = "2.0.0",
     .complexity = "O(N) where N is the number of provided keys.",
     .summary = "Removes and returns the last element in a list. Blocks until an element is "
                "available otherwise. Deletes the list if the last element was popped.",
     .history = TEXTS("6.0.0", "`timeout` is interpreted as a double instead of an integer."),
     .args = ARGS(ARG("key", KEY, .flags = ARG_MULTIPLE), ARG("timeout", DOUBLE))},
    {.name = "brpoplpush",
     .handler = cmd_brpoplpush,
     .arity = 4,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_BLOCKING,
     .acl = ACL_LIST,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE), KEY_AT(2, KEY_RW | KEY_INSERT)},
     .ensure = ensure_rpoplpush,
     .group = "list",
     .since = "2.2.0",
     .complexity = "O(1)",
     .summary =
         "Pops an element from a list, pushes it to another list and returns it. Block until an "
         "element is available otherwise. Deletes the list if the last element was popped.",
     .history = TEXTS("6.0.0", "`timeout` is interpreted as a double instead of an integer."),
     .args = ARGS(ARG("source", KEY), ARG("destination", KEY, .key_spec_index = 1),
                  ARG("timeout", DOUBLE)),
     .deprecated_since = "6.2.0",
     .replaced_by = "`BLMOVE` with the `RIGHT` and `LEFT` arguments"},
    {.name = "lmove",
     .handler = cmd_lmove,
     .arity = 5,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_LIST,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE), KEY_AT(2, KEY_RW | KEY_INSERT)},
     .ensure = ensure_lmove,
     .group = "list",
     .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Returns an element after popping it from one list and pushing it to another. "
                "Deletes the list if the last element was moved.",
     .args = ARGS(
         ARG("source", KEY), ARG("destination", KEY, .key_spec_index = 1),
         ARG("wherefrom", ONEOF, .children = ARGS(TOKEN("left", "LEFT"), TOKEN("right", "RIGHT"))),
         ARG("whereto", ONEOF, .children = ARGS(TOKEN("left", "LEFT"), TOKEN("right", "RIGHT"))))},
    {.name = "lmpop",
     .handler = cmd_lmpop,
     .arity = -4,
     .flags = CMD_WRITE,
     .acl = ACL_LIST,
     .keys = {KEY_NUMKEYS(1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .ensure = ensure_lmpop,
     .group = "list",
     .since = "7.0.0",
     .complexity =
         "O(N+M) where N is the number of provided keys and M is the number of elements returned.",
     .summary = "Returns multiple elements from a list after removing them. Deletes the list if "
                "the last element was popped.",
     .args =
         ARGS(ARG("numkeys", INTEGER), ARG("key", KEY, .flags = ARG_MULTIPLE),
              ARG("where", ONEOF, .children = ARGS(TOKEN("left", "LEFT"), TOKEN("right", "RIGHT"))),
              ARG("count", INTEGER, .flags = ARG_OPTIONAL, .token = "COUNT"))},
    {.name = "lpop",
     .handler = cmd_lpop,
     .arity = -2,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_LIST,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .ensure = ensure_lpop,
     .group = "list",
     .since = "1.0.0",
     .complexity = "O(N) where N is the number of elements returned",
     .summary = "Returns the first elements in a list after removing it. Deletes the list if the "
                "last element was popped.",
     .history = TEXTS("6.2.0", "Added the `count` argument."),
     .args = ARGS(ARG("key", KEY), ARG("count", INTEGER, .flags = ARG_OPTIONAL, .since = "6.2.0"))},
    {.name = "rpop",
     .handler = cmd_rpop,
     .arity = -2,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_LIST,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .ensure = ensure_rpop,
     .group = "list",
     .since = "1.0.0",
     .complexity = "O(N) where N is the number of elements returned",
     .summary = "Returns and removes the last elements of a list. Deletes the list if the last "
                "element was popped.",
     .history = TEXTS("6.2.0", "Added the `count` argument."),
     .args = ARGS(ARG("key", KEY), ARG("count", INTEGER, .flags = ARG_OPTIONAL, .since = "6.2.0"))},
    {.name = "rpoplpush",
     .handler = cmd_rpoplpush,
     .arity = 3,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_LIST,
     .keys = {KEY_AT(1, KEY_RW | KEY_ACCESS | KEY_DELETE), KEY_AT(2, KEY_RW | KEY_INSERT)},
     .ensure = ensure_rpoplpush,
     .group = "list",
     .since = "1.2.0",
     .complexity = "O(1)",
     .summary = "Returns the last element of a list after removing and pushing it to another list. "
                "Deletes the list if the last element was popped.",
     .args = ARGS(ARG("source", KEY), ARG("destination", KEY, .key_spec_index = 1)),
     .deprecated_since = "6.2.0",
     .replaced_by = "`LMOVE` with the `RIGHT` and `LEFT` arguments"},
    {.name = NULL},
};
