/* Parts of strings: APPEND, GETRANGE, SETRANGE, STRLEN. Of a large string only the chunks that they
 * touch are brought into RAM. Source: t_string.c of Redis 7.2. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/string_edit.h"
#include "server/commands/tables.h"

/* ---- APPEND, SETRANGE. */

static void cmd_append(struct call *c)
{
    bool wrong_type = false;
    struct bytes tail = c->argv[2];
    struct object *o = call_find_write_type(c, 0, OBJECT_STRING, &wrong_type);
    if (wrong_type)
        return;
    uint64_t len = tail.len;
    if (o == NULL) {
        (void)string_store_bytes(c, 0, tail);
    } else {
        uint64_t len_before = string_len(o);
        if (!string_check_len(c, len_before, tail.len))
            return;
        len += len_before;
        o = string_edit_begin(c, 0, o, len);
        string_write(o, ks_string_rules(c->ks), len_before, tail);
        string_edit_end(c, 0, o);
        call_key_modified(c, &c->keys[0]);
    }
    call_notify(c, NOTIFY_STRING, "append", c->keys[0].key);
    call_changed(c, 1);
    reply_integer(c->reply, (int64_t)len);
}

static bool pieces_of_append(const struct bytes *argv, int argc, int key, const struct object *o,
                             uint64_t *from_out, uint64_t *to_out)
{
    (void)argv, (void)argc, (void)key;
    *from_out = string_len(o);
    *to_out = *from_out + 1;
    return true;
}

static void cmd_setrange(struct call *c)
{
    int64_t offset;
    if (!call_arg_i64(c, 2, &offset))
        return;
    if (offset < 0) {
        reply_error(c->reply, "ERR offset is out of range");
        return;
    }
    bool wrong_type = false;
    struct bytes part = c->argv[3];
    struct object *o = call_find_write_type(c, 0, OBJECT_STRING, &wrong_type);
    if (wrong_type)
        return;
    uint64_t len_before = o == NULL ? 0 : string_len(o);
    if (part.len == 0) {
        reply_integer(c->reply, (int64_t)len_before);
        return;
    }
    if (!string_check_len(c, (uint64_t)offset, part.len))
        return;
    o = string_edit_begin(c, 0, o, (uint64_t)offset + part.len);
    string_write(o, ks_string_rules(c->ks), (uint64_t)offset, part);
    uint64_t len = string_len(o);
    string_edit_end(c, 0, o);
    call_key_modified(c, &c->keys[0]);
    call_notify(c, NOTIFY_STRING, "setrange", c->keys[0].key);
    call_changed(c, 1);
    reply_integer(c->reply, (int64_t)len);
}

static bool pieces_of_setrange(const struct bytes *argv, int argc, int key, const struct object *o,
                               uint64_t *from_out, uint64_t *to_out)
{
    (void)argc, (void)key, (void)o;
    int64_t offset;
    bool valid = number_parse_i64(argv[2], &offset) && offset >= 0;
    *from_out = valid ? (uint64_t)offset : 0;
    *to_out = valid ? *from_out + argv[3].len : 0;
    return true;
}

/* ---- GETRANGE, SUBSTR, STRLEN. */

/* What GETRANGE's start and end, negative ones counting from the end, mean for `len` bytes: from
 * `*from_out` to `*to_out` - 1. False: nothing. */
static bool resolve_range(int64_t start, int64_t end, uint64_t len, uint64_t *from_out,
                          uint64_t *to_out)
{
    int64_t total = (int64_t)len;
    if (start < 0 && end < 0 && start > end)
        return false;
    if (start < 0)
        start = start + total < 0 ? 0 : start + total;
    if (end < 0)
        end = end + total < 0 ? 0 : end + total;
    if (end >= total)
        end = total - 1;
    if (start > end)
        return false;
    *from_out = (uint64_t)start;
    *to_out = (uint64_t)end + 1;
    return true;
}

static void cmd_getrange(struct call *c)
{
    int64_t start, end;
    if (!call_arg_i64(c, 2, &start) || !call_arg_i64(c, 3, &end))
        return;
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_STRING, &wrong_type);
    if (wrong_type)
        return;
    uint64_t from, to;
    if (o == NULL || !resolve_range(start, end, string_len(o), &from, &to))
        reply_bulk(c->reply, bytes_make("", 0));
    else
        string_reply_range(c->reply, o, from, to);
}

static bool pieces_of_getrange(const struct bytes *argv, int argc, int key, const struct object *o,
                               uint64_t *from_out, uint64_t *to_out)
{
    (void)argc, (void)key;
    int64_t start, end;
    *from_out = 0;
    *to_out = 0;
    if (number_parse_i64(argv[2], &start) && number_parse_i64(argv[3], &end))
        (void)resolve_range(start, end, string_len(o), from_out, to_out);
    return true;
}

static void cmd_strlen(struct call *c)
{
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_STRING, &wrong_type);
    if (!wrong_type)
        reply_integer(c->reply, o == NULL ? 0 : (int64_t)string_len(o));
}

/* ---- The rows. */

#define SUBSTRING_COMPLEXITY                                                                       \
    "O(N) where N is the length of the returned string. The complexity is ultimately determined "  \
    "by the returned length, but because creating a substring from an existing string is very "    \
    "cheap, it can be considered O(1) for small strings."

const struct command cmd_range_table[] = {
    {.name = "append",
     .handler = cmd_append,
     .arity = 3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEY_AT(1, KEY_RW | KEY_INSERT)},
     .pieces = pieces_of_append,
     .group = "string",
     .since = "2.0.0",
     .complexity = "O(1). The amortized time complexity is O(1) assuming the appended value is "
                   "small and the already present value is of any size, since the dynamic string "
                   "library used by Redis will double the free space available on every "
                   "reallocation.",
     .summary = "Appends a string to the value of a key. Creates the key if it doesn't exist.",
     .args = ARGS(ARG("key", KEY), ARG("value", STRING))},
    {.name = "getrange",
     .handler = cmd_getrange,
     .arity = 4,
     .flags = CMD_READONLY,
     .acl = ACL_STRING,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .pieces = pieces_of_getrange,
     .group = "string",
     .since = "2.4.0",
     .complexity = SUBSTRING_COMPLEXITY,
     .summary = "Returns a substring of the string stored at a key.",
     .args = ARGS(ARG("key", KEY), ARG("start", INTEGER), ARG("end", INTEGER))},
    {.name = "setrange",
     .handler = cmd_setrange,
     .arity = 4,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_STRING,
     .keys = {KEY_AT(1, KEY_RW | KEY_UPDATE)},
     .pieces = pieces_of_setrange,
     .group = "string",
     .since = "2.2.0",
     .complexity = "O(1), not counting the time taken to copy the new string in place. Usually, "
                   "this string is very small so the amortized complexity is O(1). Otherwise, "
                   "complexity is O(M) with M being the length of the value argument.",
     .summary = "Overwrites a part of a string value with another by an offset. Creates the key "
                "if it doesn't exist.",
     .args = ARGS(ARG("key", KEY), ARG("offset", INTEGER), ARG("value", STRING))},
    {.name = "strlen",
     .handler = cmd_strlen,
     .arity = 2,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEY_AT(1, KEY_RO | KEY_LOAD_META)},
     .group = "string",
     .since = "2.2.0",
     .complexity = "O(1)",
     .summary = "Returns the length of a string value.",
     .args = ARGS(ARG("key", KEY))},
    {.name = "substr",
     .handler = cmd_getrange,
     .arity = 4,
     .flags = CMD_READONLY,
     .acl = ACL_STRING,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .pieces = pieces_of_getrange,
     .group = "string",
     .since = "1.0.0",
     .complexity = SUBSTRING_COMPLEXITY,
     .summary = "Returns a substring from a string value.",
     .args = ARGS(ARG("key", KEY), ARG("start", INTEGER), ARG("end", INTEGER)),
     .deprecated_since = "2.0.0",
     .replaced_by = "`GETRANGE`"},
    {.name = NULL},
};
