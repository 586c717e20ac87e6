/* Lists: adding, reading and changing elements. Taking them away from the ends, and waiting for
 * some to come, is in cmd_list_pop.c. Source: t_list.c of Redis 7.2. */
#include "server/call.h"
#include "server/commands/list_edit.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/notify.h"
#include "storage/types/list_ensure.h"

#include "codec/number.h"

/* ---- LPUSH, RPUSH, LPUSHX, RPUSHX. */

static void push(struct call *c, enum list_end end, bool only_if_exists)
{
    bool wrong_type;
    struct object *o = call_find_write_type(c, 0, OBJECT_LIST, &wrong_type);
    if (wrong_type)
        return;
    if (o == NULL && only_if_exists) {
        reply_integer(c->reply, 0);
        return;
    }
    struct list_rules rules = list_rules_of(c);
    uint64_t count = (uint64_t)c->argc - 2;
    size_t bytes = 0;
    for (int i = 2; i < c->argc; i++)
        bytes += c->argv[i].len;
    o = list_open(c, &c->keys[0], o);
    list_will_grow(o, &rules, bytes, count);
    for (int i = 2; i < c->argc; i++)
        list_push(o, &rules, end, c->argv[i]);
    uint64_t length = list_length(o);
    list_commit(c, &c->keys[0], o);
    call_notify(c, NOTIFY_LIST, end == LIST_HEAD ? "lpush" : "rpush", c->keys[0].key);
    call_changed(c, count);
    reply_integer(c->reply, (int64_t)length);
}

static void cmd_lpush(struct call *c)
{
    push(c, LIST_HEAD, false);
}

static void cmd_rpush(struct call *c)
{
    push(c, LIST_TAIL, false);
}

static void cmd_lpushx(struct call *c)
{
    push(c, LIST_HEAD, true);
}

static void cmd_rpushx(struct call *c)
{
    push(c, LIST_TAIL, true);
}

static enum ensured ensure_head(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)argv, (void)argc, (void)key;
    return list_ensure_end(e, LIST_HEAD, 1);
}

static enum ensured ensure_tail(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)argv, (void)argc, (void)key;
    return list_ensure_end(e, LIST_TAIL, 1);
}

/* ---- LLEN, LINDEX, LSET. */

static void cmd_llen(struct call *c)
{
    bool wrong_type;
    const struct object *o = call_find_read_type(c, 0, OBJECT_LIST, &wrong_type);
    if (!wrong_type)
        reply_integer(c->reply, o == NULL ? 0 : (int64_t)list_length(o));
}

/* The place of an index that may count from the tail; UINT64_MAX: there is no such element. */
static uint64_t place_of(const struct object *o, int64_t index)
{
    uint64_t length = list_length(o);
    uint64_t place = index < 0 ? length + (uint64_t)index : (uint64_t)index;
    return place < length ? place : UINT64_MAX;
}

static void cmd_lindex(struct call *c)
{
    bool wrong_type;
    const struct object *o = call_find_read_type(c, 0, OBJECT_LIST, &wrong_type);
    if (wrong_type)
        return;
    if (o == NULL) {
        reply_null(c->reply);
        return;
    }
    int64_t index;
    struct listpack_value value;
    if (!call_arg_i64(c, 2, &index))
        return;
    if (list_get(o, place_of(o, index), &value))
        list_reply_element(c->reply, &value);
    else
        reply_null(c->reply);
}

static enum ensured ensure_index(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)argc, (void)key;
    int64_t index;
    if (e->o->type != OBJECT_LIST || !number_parse_i64(argv[2], &index))
        return ENSURED;
    return list_ensure_range(e, place_of(e->o, index), 1);
}

static void cmd_lset(struct call *c)
{
    bool wrong_type;
    struct object *o = call_find_write_type(c, 0, OBJECT_LIST, &wrong_type);
    if (wrong_type)
        return;
    if (o == NULL) {
        reply_error_id(c->reply, ERROR_NO_KEY);
        return;
    }
    int64_t index;
    if (!call_arg_i64(c, 2, &index))
        return;
    uint64_t place = place_of(o, index);
    if (place == UINT64_MAX) {
        reply_error_id(c->reply, ERROR_INDEX_OUT_OF_RANGE);
        return;
    }
    struct list_rules rules = list_rules_of(c);
    o = list_open(c, &c->keys[0], o);
    list_will_grow(o, &rules, c->argv[3].len, 1);
    (void)list_set(o, &rules, place, c->argv[3]);
    list_has_shrunk(o, &rules);
    list_commit(c, &c->keys[0], o);
    call_notify(c, NOTIFY_LIST, "lset", c->keys[0].key);
    call_changed(c, 1);
    reply_ok(c->reply);
}

/* ---- LINSERT. */

static void cmd_linsert(struct call *c)
{
    bool after = call_arg_is(c, 2, "after");
    if (!after && !call_arg_is(c, 2, "before")) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return;
    }
    bool wrong_type;
    struct object *o = call_find_write_type(c, 0, OBJECT_LIST, &wrong_type);
    if (wrong_type)
        return;
    if (o == NULL) {
        reply_integer(c->reply, 0);
        return;
    }
    struct list_rules rules = list_rules_of(c);
    o = list_open(c, &c->keys[0], o);
    list_will_grow(o, &rules, c->argv[4].len, 1);
    bool inserted = list_insert(o, &rules, c->argv[3], after, c->argv[4]);
    uint64_t length = list_length(o);
    ks_change_end(c->ks, c->keys[0].db, o);
    if (!inserted) {
        reply_integer(c->reply, -1);
        return;
    }
    call_key_modified(c, &c->keys[0]);
    call_notify(c, NOTIFY_LIST, "linsert", c->keys[0].key);
    call_changed(c, 1);
    reply_integer(c->reply, (int64_t)length);
}

/* ---- LRANGE, LTRIM. */

static bool range_args(struct call *c, int64_t *start, int64_t *stop)
{
    return call_arg_i64(c, 2, start) && call_arg_i64(c, 3, stop);
}

static void cmd_lrange(struct call *c)
{
    int64_t start, stop;
    bool wrong_type;
    if (!range_args(c, &start, &stop))
        return;
    const struct object *o = call_find_read_type(c, 0, OBJECT_LIST, &wrong_type);
    if (wrong_type)
        return;
    uint64_t from = 0, count = 0;
    if (o != NULL)
        (void)list_range_of(list_length(o), start, stop, &from, &count);
    reply_array(c->reply, count);
    if (count != 0)
        list_reply_elements(c->reply, o, from, count, true);
}

/* What a request's range means in a list: `count` elements from `from` on. False: its arguments are
 * not valid, or it is no list. */
static bool range_in(const struct object *o, const struct bytes *argv, uint64_t *from,
                     uint64_t *count)
{
    int64_t start, stop;
    *from = 0;
    *count = 0;
    if (o->type != OBJECT_LIST || !number_parse_i64(argv[2], &start) ||
        !number_parse_i64(argv[3], &stop))
        return false;
    (void)list_range_of(list_length(o), start, stop, from, count);
    return true;
}

static enum ensured ensure_range_args(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)argc, (void)key;
    uint64_t from, count;
    if (!range_in(e->o, argv, &from, &count))
        return ENSURED;
    return list_ensure_range(e, from, count);
}

static void cmd_ltrim(struct call *c)
{
    int64_t start, stop;
    bool wrong_type;
    if (!range_args(c, &start, &stop))
        return;
    struct object *o = call_find_write_type(c, 0, OBJECT_LIST, &wrong_type);
    if (wrong_type)
        return;
    if (o != NULL) {
        uint64_t from = 0, count = 0, length = list_length(o);
        (void)list_range_of(length, start, stop, &from, &count);
        o = list_open(c, &c->keys[0], o);
        list_delete(o, from + count, length - from - count);
        list_delete(o, 0, from);
        list_commit_removal(c, &c->keys[0], o, "ltrim");
        call_changed(c, length - count);
    }
    reply_ok(c->reply);
}

static enum ensured ensure_trim(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)argc, (void)key;
    uint64_t from, count;
    if (!range_in(e->o, argv, &from, &count))
        return ENSURED;
    uint64_t length = list_length(e->o);
    enum ensured head = list_ensure_delete(e, 0, from);
    if (head == ENSURE_FAILED)
        return head;
    enum ensured tail = list_ensure_delete(e, from + count, length - from - count);
    return tail == ENSURED ? head : tail;
}

/* ---- LREM. */

static void cmd_lrem(struct call *c)
{
    int64_t count;
    bool wrong_type;
    if (!call_arg_i64(c, 2, &count))
        return;
    struct object *o = call_find_write_type(c, 0, OBJECT_LIST, &wrong_type);
    if (wrong_type)
        return;
    uint64_t removed = 0;
    if (o != NULL) {
        uint64_t count_max = count < 0 ? 0 - (uint64_t)count : (uint64_t)count;
        o = list_open(c, &c->keys[0], o);
        removed = list_remove(o, c->argv[3], count < 0 ? LIST_TAIL : LIST_HEAD,
                              count == 0 ? UINT64_MAX : count_max);
        if (removed == 0)
            ks_change_end(c->ks, c->keys[0].db, o);
        else
            list_commit_removal(c, &c->keys[0], o, "lrem");
    }
    call_changed(c, removed);
    reply_integer(c->reply, (int64_t)removed);
}

/* ---- LPOS. */

struct lpos {
    int64_t rank;   /* of the first match to tell; negative: from the tail */
    int64_t count;  /* of matches to tell; -1: one, and no array; 0: all */
    int64_t maxlen; /* elements to look at; 0: all */
};

static bool parse_lpos(struct call *c, struct lpos *out)
{
    *out = (struct lpos){.rank = 1, .count = -1};
    for (int i = 3; i < c->argc; i += 2) {
        bool more = i + 1 < c->argc;
        if (more && call_arg_is(c, i, "rank")) {
            if (!call_arg_range(c, i + 1, -INT64_MAX, INT64_MAX, &out->rank, NULL))
                return false;
            if (out->rank == 0) {
                reply_error(c->reply,
                            "ERR RANK can't be zero: use 1 to start from the first match, 2 from "
                            "the second ... or use negative to start from the end of the list");
                return false;
            }
        } else if (more && call_arg_is(c, i, "count")) {
            if (!call_arg_range(c, i + 1, 0, INT64_MAX, &out->count, "ERR COUNT can't be negative"))
                return false;
        } else if (more && call_arg_is(c, i, "maxlen")) {
            if (!call_arg_range(c, i + 1, 0, INT64_MAX, &out->maxlen,
                                "ERR MAXLEN can't be negative"))
                return false;
        } else {
            reply_error_id(c->reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

/* The next match's index, from `*at` elements (looked at so far) on; -1: none. */
static int64_t next_match(struct list_iter *iter, const struct lpos *lpos,
                          const struct list_needle *needle, uint64_t length, uint64_t *at)
{
    struct listpack_value value;
    while ((lpos->maxlen == 0 || *at < (uint64_t)lpos->maxlen) && list_iter_next(iter, &value)) {
        uint64_t index = (*at)++;
        if (list_is(&value, needle))
            return (int64_t)(lpos->rank > 0 ? index : length - 1 - index);
    }
    return -1;
}

static void find_positions(struct call *c, const struct object *o, const struct lpos *lpos)
{
    uint64_t length = list_length(o), at = 0;
    int64_t skip = (lpos->rank < 0 ? -lpos->rank : lpos->rank) - 1;
    struct list_needle needle = list_needle(c->argv[2]);
    struct list_iter iter;
    list_iter_init(&iter, o, lpos->rank > 0 ? 0 : length - 1, lpos->rank > 0);
    int64_t index = 0;
    while (skip-- > 0 && index >= 0)
        index = next_match(&iter, lpos, &needle, length, &at);
    if (index >= 0)
        index = next_match(&iter, lpos, &needle, length, &at);
    if (lpos->count < 0) {
        if (index >= 0)
            reply_integer(c->reply, index);
        else
            reply_null(c->reply);
        return;
    }
    struct reply_deferred array = reply_deferred_begin(c->reply);
    uint64_t found = 0;
    while (index >= 0) {
        reply_integer(c->reply, index);
        if (++found == (uint64_t)lpos->count)
            break;
        index = next_match(&iter, lpos, &needle, length, &at);
    }
    reply_deferred_array(c->reply, &array, found);
}

static void cmd_lpos(struct call *c)
{
    struct lpos lpos;
    bool wrong_type;
    if (!parse_lpos(c, &lpos))
        return;
    const struct object *o = call_find_read_type(c, 0, OBJECT_LIST, &wrong_type);
    if (wrong_type)
        return;
    if (o != NULL)
        find_positions(c, o, &lpos);
    else if (lpos.count >= 0)
        reply_array(c->reply, 0);
    else
        reply_null(c->reply);
}

/* ---- The table. */

const struct command cmd_list_table[] = {
    {.name = "lindex",
     .handler = cmd_lindex,
     .arity = 3,
     .flags = CMD_READONLY,
     .acl = ACL_LIST,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_index,
     .group = "list",
     .since = "1.0.0",
     .complexity = "O(N) where N is the number of elements to traverse to get to the element at "
                   "index. This makes asking for the first or the last element of the list O(1).",
     .summary = "Returns an element from a list by its index.",
     .args = ARGS(ARG("key", KEY), ARG("index", INTEGER))},
    {.name = "linsert",
     .handler = cmd_linsert,
     .arity = 5,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_LIST,
     .keys = {KEY_AT(1, KEY_RW | KEY_INSERT)},
     .group = "list",
     .since = "2.2.0",
     .complexity =
         "O(N) where N is the number of elements to traverse before seeing the value pivot. This "
         "means that inserting somewhere on the left end on the list (head) can be considered O(1) "
         "and inserting somewhere on the right end (tail) is O(N).",
     .summary = "Inserts an element before or after another element in a list.",
     .args = ARGS(
         ARG("key", KEY),
         ARG("where", ONEOF, .children = ARGS(TOKEN("before", "BEFORE"), TOKEN("after", "AFTER"))),
         ARG("pivot", STRING), ARG("element", STRING))},
    {.name = "llen",
     .handler = cmd_llen,
     .arity = 2,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_LIST,
     .keys = {KEY_AT(1, KEY_RO | KEY_LOAD_META)},
     .group = "list",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Returns the length of a list.",
     .args = ARGS(ARG("key", KEY))},
    {.name = "lpos",
     .handler = cmd_lpos,
     .arity = -3,
     .flags = CMD_READONLY,
     .acl = ACL_LIST,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .group = "list",
     .since = "6.0.6",
     .complexity = "O(N) where N is the number of elements in the list, for the average case. When "
                   "searching for elements near the head or the tail of the list, or when the "
                   "MAXLEN option is provided, the command may run in constant time.",
     .summary = "Returns the index of matching elements in a list.",
     .args = ARGS(ARG("key", KEY), ARG("element", STRING),
                  ARG("rank", INTEGER, .flags = ARG_OPTIONAL, .token = "RANK"),
                  ARG("num-matches", INTEGER, .flags = ARG_OPTIONAL, .token = "COUNT"),
                  ARG("len", INTEGER, .flags = ARG_OPTIONAL, .token = "MAXLEN"))},
    {.name = "lpush",
     .handler = cmd_lpush,
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_LIST,
     .keys = {KEY_AT(1, KEY_RW | KEY_INSERT)},
     .ensure = ensure_head,
     .group = "list",
     .since = "1.0.0",
     .complexity = "O(1) for each element added, so O(N) to add N elements when the command is "
                   "called with multiple arguments.",
     .summary = "Prepends one or more elements to a list. Creates the key if it doesn't exist.",
     .history = TEXTS("2.4.0", "Accepts multiple `element` arguments."),
     .args = ARGS(ARG("key", KEY), ARG("element", STRING, .flags = ARG_MULTIPLE))},
    {.name = "lpushx",
     .handler = cmd_lpushx,
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_LIST,
     .keys = {KEY_AT(1, KEY_RW | KEY_INSERT)},
     .ensure = ensure_head,
     .group = "list",
     .since = "2.2.0",
     .complexity = "O(1) for each element added, so O(N) to add N elements when the command is "
                   "called with multiple arguments.",
     .summary = "Prepends one or more elements to a list only when the list exists.",
     .history = TEXTS("4.0.0", "Accepts multiple `element` arguments."),
     .args = ARGS(ARG("key", KEY), ARG("element", STRING, .flags = ARG_MULTIPLE))},
    {.name = "lrange",
     .handler = cmd_lrange,
     .arity = 4,
     .flags = CMD_READONLY,
     .acl = ACL_LIST,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_range_args,
     .group = "list",
     .since = "1.0.0",
     .complexity = "O(S+N) where S is the distance of start offset from HEAD for small lists, from "
                   "nearest end (HEAD or TAIL) for large lists; and N is the number of elements in "
                   "the specified range.",
     .summary = "Returns a range of elements from a list.",
     .args = ARGS(ARG("key", KEY), ARG("start", INTEGER), ARG("stop", INTEGER))},
    {.name = "lrem",
     .handler = cmd_lrem,
     .arity = 4,
     .flags = CMD_WRITE,
     .acl = ACL_LIST,
     .keys = {KEY_AT(1, KEY_RW | KEY_DELETE)},
     .group = "list",
     .since = "1.0.0",
     .complexity =
         "O(N+M) where N is the length of the list and M is the number of elements removed.",
     .summary = "Removes elements from a list. Deletes the list if the last element was removed.",
     .args = ARGS(ARG("key", KEY), ARG("count", INTEGER), ARG("element", STRING))},
    {.name = "lset",
     .handler = cmd_lset,
     .arity = 4,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_LIST,
     .keys = {KEY_AT(1, KEY_RW | KEY_UPDATE)},
     .ensure = ensure_index,
     .group = "list",
     .since = "1.0.0",
     .complexity = "O(N) where N is the length of the list. Setting either the first or the last "
                   "element of the list is O(1).",
     .summary = "Sets the value of an element in a list by its index.",
     .args = ARGS(ARG("key", KEY), ARG("index", INTEGER), ARG("element", STRING))},
    {.name = "ltrim",
     .handler = cmd_ltrim,
     .arity = 4,
     .flags = CMD_WRITE,
     .acl = ACL_LIST,
     .keys = {KEY_AT(1, KEY_RW | KEY_DELETE)},
     .ensure = ensure_trim,
     .group = "list",
     .since = "1.0.0",
     .complexity = "O(N) where N is the number of elements to be removed by the operation.",
     .summary =
         "Removes elements from both ends a list. Deletes the list if all elements were trimmed.",
     .args = ARGS(ARG("key", KEY), ARG("start", INTEGER), ARG("stop", INTEGER))},
    {.name = "rpush",
     .handler = cmd_rpush,
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_LIST,
     .keys = {KEY_AT(1, KEY_RW | KEY_INSERT)},
     .ensure = ensure_tail,
     .group = "list",
     .since = "1.0.0",
     .complexity = "O(1) for each element added, so O(N) to add N elements when the command is "
                   "called with multiple arguments.",
     .summary = "Appends one or more elements to a list. Creates the key if it doesn't exist.",
     .history = TEXTS("2.4.0", "Accepts multiple `element` arguments."),
     .args = ARGS(ARG("key", KEY), ARG("element", STRING, .flags = ARG_MULTIPLE))},
    {.name = "rpushx",
     .handler = cmd_rpushx,
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_LIST,
     .keys = {KEY_AT(1, KEY_RW | KEY_INSERT)},
     .ensure = ensure_tail,
     .group = "list",
     .since = "2.2.0",
     .complexity = "O(1) for each element added, so O(N) to add N elements when the command is "
                   "called with multiple arguments.",
     .summary = "Appends an element to a list only when the list exists.",
     .history = TEXTS("4.0.0", "Accepts multiple `element` arguments."),
     .args = ARGS(ARG("key", KEY), ARG("element", STRING, .flags = ARG_MULTIPLE))},
    {.name = NULL},
};
