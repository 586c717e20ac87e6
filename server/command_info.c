#include "server/command_info.h"

#include "codec/check.h"

struct flag_name {
    uint32_t flag;
    const char *name;
};

/* In the order in which Redis tells them. May-replicate, protected and the like are not shown. */
static const struct flag_name command_flag_names[] = {
    {CMD_WRITE, "write"},
    {CMD_READONLY, "readonly"},
    {CMD_DENYOOM, "denyoom"},
    {CMD_ADMIN, "admin"},
    {CMD_PUBSUB, "pubsub"},
    {CMD_NOSCRIPT, "noscript"},
    {CMD_BLOCKING, "blocking"},
    {CMD_LOADING, "loading"},
    {CMD_STALE, "stale"},
    {CMD_SKIP_MONITOR, "skip_monitor"},
    {CMD_SKIP_SLOWLOG, "skip_slowlog"},
    {CMD_ASKING, "asking"},
    {CMD_FAST, "fast"},
    {CMD_NO_AUTH, "no_auth"},
    {CMD_NO_MANDATORY_KEYS, "no_mandatory_keys"},
    {CMD_NO_ASYNC_LOADING, "no_async_loading"},
    {CMD_NO_MULTI, "no_multi"},
    {CMD_MOVABLE_KEYS, "movablekeys"},
    {CMD_ALLOW_BUSY, "allow_busy"},
    {0, NULL},
};

static const struct flag_name key_flag_names[] = {
    {KEY_RO, "RO"},
    {KEY_RW, "RW"},
    {KEY_OW, "OW"},
    {KEY_RM, "RM"},
    {KEY_ACCESS, "access"},
    {KEY_UPDATE, "update"},
    {KEY_INSERT, "insert"},
    {KEY_DELETE, "delete"},
    {KEY_NOT_KEY, "not_key"},
    {KEY_INCOMPLETE, "incomplete"},
    {KEY_VARIABLE_FLAGS, "variable_flags"},
    {0, NULL},
};

static const struct flag_name arg_flag_names[] = {
    {ARG_OPTIONAL, "optional"},
    {ARG_MULTIPLE, "multiple"},
    {ARG_MULTIPLE_TOKEN, "multiple_token"},
    {0, NULL},
};

static const struct flag_name acl_category_names[] = {
    {ACL_KEYSPACE, "@keyspace"},
    {ACL_READ, "@read"},
    {ACL_WRITE, "@write"},
    {ACL_SET, "@set"},
    {ACL_SORTEDSET, "@sortedset"},
    {ACL_LIST, "@list"},
    {ACL_HASH, "@hash"},
    {ACL_STRING, "@string"},
    {ACL_BITMAP, "@bitmap"},
    {ACL_HYPERLOGLOG, "@hyperloglog"},
    {ACL_GEO, "@geo"},
    {ACL_STREAM, "@stream"},
    {ACL_PUBSUB, "@pubsub"},
    {ACL_ADMIN, "@admin"},
    {ACL_FAST, "@fast"},
    {ACL_SLOW, "@slow"},
    {ACL_BLOCKING, "@blocking"},
    {ACL_DANGEROUS, "@dangerous"},
    {ACL_CONNECTION, "@connection"},
    {ACL_TRANSACTION, "@transaction"},
    {ACL_SCRIPTING, "@scripting"},
    {0, NULL},
};

static const char *const arg_type_names[] = {
    [ARG_STRING] = "string",         [ARG_INTEGER] = "integer",
    [ARG_DOUBLE] = "double",         [ARG_KEY] = "key",
    [ARG_PATTERN] = "pattern",       [ARG_UNIX_TIME] = "unix-time",
    [ARG_PURE_TOKEN] = "pure-token", [ARG_ONEOF] = "oneof",
    [ARG_BLOCK] = "block",
};

uint32_t command_info_find_acl_category(struct bytes name)
{
    for (const struct flag_name *entry = acl_category_names; entry->name != NULL; entry++)
        if (bytes_equal_nocase(name, entry->name + 1))
            return entry->flag;
    return 0;
}

void command_info_reply_acl_categories(struct reply *reply)
{
    const size_t count = sizeof(acl_category_names) / sizeof(acl_category_names[0]) - 1;
    reply_array(reply, count);
    for (size_t i = 0; i < count; i++)
        reply_bulk_text(reply, acl_category_names[i].name + 1);
}

static void reply_flags(struct reply *reply, uint32_t flags, const struct flag_name *names)
{
    uint64_t count = 0;
    for (const struct flag_name *entry = names; entry->name != NULL; entry++)
        count += (flags & entry->flag) != 0;
    reply_set(reply, count);
    for (const struct flag_name *entry = names; entry->name != NULL; entry++)
        if (flags & entry->flag)
            reply_simple(reply, entry->name);
}

void command_info_reply_key_flags(struct reply *reply, uint32_t flags)
{
    reply_flags(reply, flags, key_flag_names);
}

static uint64_t count_texts(const char *const *texts)
{
    uint64_t count = 0;
    while (texts != NULL && texts[count] != NULL)
        count++;
    return count;
}

/* A map's field with a text, where there is one. */
static void reply_field(struct reply *reply, const char *name, const char *value)
{
    if (value == NULL)
        return;
    reply_bulk_text(reply, name);
    reply_bulk_text(reply, value);
}

static void reply_field_integer(struct reply *reply, const char *name, int64_t value)
{
    reply_bulk_text(reply, name);
    reply_integer(reply, value);
}

/* ---- COMMAND INFO. */

/* The header of begin_search and find_keys: {type, spec: {...}}, the spec's fields to follow. */
static void reply_search(struct reply *reply, const char *name, const char *type, uint64_t fields)
{
    reply_bulk_text(reply, name);
    reply_map(reply, 2);
    reply_field(reply, "type", type);
    reply_bulk_text(reply, "spec");
    reply_map(reply, fields);
}

static void reply_begin_search(struct reply *reply, const struct key_spec *spec)
{
    switch ((enum key_begin)spec->begin) {
    case KEY_BEGIN_INDEX:
        reply_search(reply, "begin_search", "index", 1);
        reply_field_integer(reply, "index", spec->index);
        break;
    case KEY_BEGIN_KEYWORD:
        reply_search(reply, "begin_search", "keyword", 2);
        reply_field(reply, "keyword", spec->keyword);
        reply_field_integer(reply, "startfrom", spec->index);
        break;
    case KEY_BEGIN_NONE:
    case KEY_BEGIN_UNKNOWN:
        reply_search(reply, "begin_search", "unknown", 0);
        break;
    }
}

static void reply_find_keys(struct reply *reply, const struct key_spec *spec)
{
    switch ((enum key_find)spec->find) {
    case KEY_FIND_RANGE:
        reply_search(reply, "find_keys", "range", 3);
        reply_field_integer(reply, "lastkey", spec->last_or_keynum);
        reply_field_integer(reply, "keystep", spec->step_or_first);
        reply_field_integer(reply, "limit", spec->limit_or_step);
        break;
    case KEY_FIND_KEYNUM:
        reply_search(reply, "find_keys", "keynum", 3);
        reply_field_integer(reply, "keynumidx", spec->last_or_keynum);
        reply_field_integer(reply, "firstkey", spec->step_or_first);
        reply_field_integer(reply, "keystep", spec->limit_or_step);
        break;
    case KEY_FIND_UNKNOWN:
        reply_search(reply, "find_keys", "unknown", 0);
        break;
    }
}

static void reply_key_specs(struct reply *reply, const struct command *command)
{
    reply_set(reply, command->key_spec_count);
    for (int i = 0; i < command->key_spec_count; i++) {
        const struct key_spec *spec = &command->keys[i];
        reply_map(reply, spec->notes == NULL ? 3 : 4);
        reply_field(reply, "notes", spec->notes);
        reply_bulk_text(reply, "flags");
        command_info_reply_key_flags(reply, spec->flags);
        reply_begin_search(reply, spec);
        reply_find_keys(reply, spec);
    }
}

static void reply_info_row(struct reply *reply, const struct command *command)
{
    struct key_range range = command_key_range(command);
    reply_array(reply, 10);
    reply_bulk_text(reply, command->name);
    reply_integer(reply, command->arity);
    reply_flags(reply, command->flags, command_flag_names);
    reply_integer(reply, range.first);
    reply_integer(reply, range.last);
    reply_integer(reply, range.step);
    reply_flags(reply, command_acl_categories(command), acl_category_names);
    uint64_t tip_count = count_texts(command->tips);
    reply_set(reply, tip_count);
    for (uint64_t i = 0; i < tip_count; i++)
        reply_bulk_text(reply, command->tips[i]);
    reply_key_specs(reply, command);
}

void command_info_reply(struct reply *reply, const struct command_table *table,
                        const struct command *command)
{
    if (command == NULL) {
        reply_null(reply);
        return;
    }
    reply_info_row(reply, command);
    if (command->subcommand_count == 0) {
        reply_set(reply, 0);
        return;
    }
    reply_array(reply, command->subcommand_count);
    for (int i = 1; i <= command->subcommand_count; i++) {
        reply_info_row(reply, command_at(table, command->id + i));
        reply_set(reply, 0); /* subcommands have none */
    }
}

/* ---- COMMAND DOCS. */

static bool arg_has_children(const struct command_arg *arg)
{
    return arg->type == ARG_ONEOF || arg->type == ARG_BLOCK;
}

/* Only a key, or a pattern that makes key names, belongs to a key specification; a pattern never
 * to the first one. */
static bool arg_has_key_spec(const struct command_arg *arg)
{
    return arg->type == ARG_KEY || arg->key_spec_index != 0;
}

static void reply_args(struct reply *reply, const struct command_arg *args);

static void reply_arg(struct reply *reply, const struct command_arg *arg)
{
    bool has_children = arg_has_children(arg);
    uint64_t fields = 3; /* name, type, and the text to display or the arguments within */
    fields += arg_has_key_spec(arg);
    fields += arg->token != NULL;
    fields += arg->since != NULL;
    fields += arg->deprecated_since != NULL;
    fields += arg->flags != 0;
    reply_map(reply, fields);
    reply_field(reply, "name", arg->name);
    reply_field(reply, "type", arg_type_names[arg->type]);
    if (!has_children)
        reply_field(reply, "display_text", arg->display != NULL ? arg->display : arg->name);
    if (arg_has_key_spec(arg))
        reply_field_integer(reply, "key_spec_index", arg->key_spec_index);
    reply_field(reply, "token", arg->token);
    reply_field(reply, "since", arg->since);
    reply_field(reply, "deprecated_since", arg->deprecated_since);
    if (arg->flags != 0) {
        reply_bulk_text(reply, "flags");
        reply_flags(reply, arg->flags, arg_flag_names);
    }
    if (has_children) {
        reply_bulk_text(reply, "arguments");
        reply_args(reply, arg->children);
    }
}

/* Recursion is as deep as the rows are written. */
static void reply_args(struct reply *reply, const struct command_arg *args)
{
    uint64_t count = 0;
    while (args[count].name != NULL)
        count++;
    reply_array(reply, count);
    for (uint64_t i = 0; i < count; i++)
        reply_arg(reply, &args[i]);
}

static void reply_doc_flags(struct reply *reply, const struct command *command)
{
    bool deprecated = command->deprecated_since != NULL;
    bool system = (command->flags & CMD_SYSCMD) != 0;
    if (!deprecated && !system)
        return;
    reply_bulk_text(reply, "doc_flags");
    reply_set(reply, (uint64_t)deprecated + (uint64_t)system);
    if (deprecated)
        reply_simple(reply, "deprecated");
    if (system)
        reply_simple(reply, "syscmd");
}

static void reply_history(struct reply *reply, const struct command *command)
{
    if (command->history == NULL)
        return;
    uint64_t count = count_texts(command->history) / 2;
    reply_bulk_text(reply, "history");
    reply_set(reply, count);
    for (uint64_t i = 0; i < count; i++) {
        reply_array(reply, 2);
        reply_bulk_text(reply, command->history[2 * i]);
        reply_bulk_text(reply, command->history[2 * i + 1]);
    }
}

static void reply_docs_row(struct reply *reply, const struct command *command)
{
    uint64_t fields = 1; /* the group is always told */
    fields += command->summary != NULL;
    fields += command->since != NULL;
    fields += command->complexity != NULL;
    fields += command->deprecated_since != NULL || (command->flags & CMD_SYSCMD) != 0;
    fields += command->deprecated_since != NULL;
    fields += command->replaced_by != NULL;
    fields += command->history != NULL;
    fields += command->args != NULL;
    fields += command->subcommand_count > 0;
    reply_map(reply, fields);
    reply_field(reply, "summary", command->summary);
    reply_field(reply, "since", command->since);
    reply_field(reply, "group", command->group);
    reply_field(reply, "complexity", command->complexity);
    reply_doc_flags(reply, command);
    reply_field(reply, "deprecated_since", command->deprecated_since);
    reply_field(reply, "replaced_by", command->replaced_by);
    reply_history(reply, command);
    if (command->args != NULL) {
        reply_bulk_text(reply, "arguments");
        reply_args(reply, command->args);
    }
}

void command_info_reply_docs(struct reply *reply, const struct command_table *table,
                             const struct command *command)
{
    reply_docs_row(reply, command);
    if (command->subcommand_count == 0)
        return;
    reply_bulk_text(reply, "subcommands");
    reply_map(reply, command->subcommand_count);
    for (int i = 1; i <= command->subcommand_count; i++) {
        const struct command *row = command_at(table, command->id + i);
        reply_bulk_text(reply, row->name);
        reply_docs_row(reply, row);
    }
}
