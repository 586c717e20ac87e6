/* The settings as a whole: finding one by its name, CONFIG GET and CONFIG SET.
 *
 * A set is prepared and then committed: all values are parsed into memory of their own, then
 * exchanged with those of the struct, then the hooks run. What the exchange took out is kept until
 * the last hook has agreed; if one refuses, exchanging again in reverse restores every byte. */
#include "server/config.h"

#include "codec/check.h"
#include "codec/glob.h"
#include "codec/mem.h"
#include "codec/split_args.h"
#include "server/config_internal.h"
#include "server/log.h"
#include "storage/types/list.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* One pair of a set, from its name to its commitment. */
struct change {
    const struct setting_name *name;
    union config_value value; /* the new value; after the exchange, the old one */
    bool differs;
};

static size_t setting_index(const struct setting *setting)
{
    return (size_t)(setting - config_settings);
}

void *config_slot(struct config *config, const struct setting *setting)
{
    if (setting->offset == SETTING_INERT)
        return &config->state->inert[setting_index(setting)];
    return (uint8_t *)config + setting->offset;
}

const void *config_slot_const(const struct config *config, const struct setting *setting)
{
    if (setting->offset == SETTING_INERT)
        return &config->state->inert[setting_index(setting)];
    return (const uint8_t *)config + setting->offset;
}

static int compare_names(const void *a, const void *b)
{
    return strcasecmp(((const struct setting_name *)a)->name,
                      ((const struct setting_name *)b)->name);
}

static void index_names(struct config_state *state)
{
    state->names = mem_calloc(config_setting_count * 2, sizeof(*state->names));
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct setting *setting = &config_settings[i];
        CHECK(setting->kind->size <= CONFIG_VALUE_BYTES_MAX);
        CHECK(setting->offset != SETTING_INERT || setting->kind->size <= sizeof(union inert_value));
        state->names[state->name_count++] = (struct setting_name){setting->name, setting};
        if (setting->alias != NULL)
            state->names[state->name_count++] = (struct setting_name){setting->alias, setting};
    }
    qsort(state->names, state->name_count, sizeof(*state->names), compare_names);
}

const struct setting_name *config_find(const struct config *config, struct bytes name)
{
    size_t low = 0;
    size_t high = config->state->name_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct setting_name *candidate = &config->state->names[middle];
        size_t len = strlen(candidate->name);
        size_t common = len < name.len ? len : name.len;
        int order = strncasecmp((const char *)name.data, candidate->name, common);
        if (order == 0)
            order = (name.len > len) - (name.len < len);
        if (order == 0)
            return candidate;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

void config_parse_fallback(const struct config *config, const struct setting *setting, void *value)
{
    struct err err = {0};
    struct bytes text = bytes_text(setting->fallback);
    enum status st;
    if (setting->kind->many_args) {
        struct split_args args;
        CHECK(split_args(text, &args));
        st = setting->kind->parse(setting, config, args.items, args.count, value, &err);
        split_args_deinit(&args);
    } else {
        st = setting->kind->parse(setting, config, &text, 1, value, &err);
    }
    CHECK(st == ST_OK);
}

struct config *config_create(void)
{
    struct config *config = mem_calloc(1, sizeof(*config));
    config->state = mem_calloc(1, sizeof(*config->state));
    config->state->inert = mem_calloc(config_setting_count, sizeof(*config->state->inert));
    config->config_file = mem_strdup("");
    config->debug_list_plain_bytes = LIST_PLAIN_BYTES_MAX;
    index_names(config->state);
    for (size_t i = 0; i < config_setting_count; i++)
        config_parse_fallback(config, &config_settings[i],
                              config_slot(config, &config_settings[i]));
    return config;
}

static void destroy_directives(struct config *config)
{
    for (size_t i = 0; i < config->rename_count; i++) {
        mem_free(config->renames[i].from);
        mem_free(config->renames[i].to);
    }
    mem_free(config->renames);
    for (size_t i = 0; i < config->user_count; i++) {
        for (size_t j = 0; j < config->users[i].count; j++)
            mem_free((void *)(uintptr_t)config->users[i].args[j].data);
        mem_free(config->users[i].args);
    }
    mem_free(config->users);
}

void config_destroy(struct config *config)
{
    if (config == NULL)
        return;
    for (size_t i = 0; i < config_setting_count; i++) {
        if (config_settings[i].kind->destroy != NULL)
            config_settings[i].kind->destroy(config_slot(config, &config_settings[i]));
    }
    destroy_directives(config);
    mem_free(config->state->inert);
    mem_free(config->state->names);
    mem_free(config->state->hooks);
    mem_free(config->state->rewrite_hooks);
    mem_free(config->state);
    mem_free(config->config_file);
    mem_free(config);
}

enum status config_assign(struct config *config, const struct setting *setting,
                          const struct bytes *args, size_t arg_count, struct err *err)
{
    union config_value value;
    if (arg_count != 1 && !setting->kind->many_args)
        return err_set(err, ST_INVALID, "wrong number of arguments");
    enum status st = setting->kind->parse(setting, config, args, arg_count, &value, err);
    if (st != ST_OK)
        return st;
    void *slot = config_slot(config, setting);
    if (setting->kind->destroy != NULL)
        setting->kind->destroy(slot);
    memcpy(slot, &value, setting->kind->size);
    return ST_OK;
}

enum status config_enter_dir(const struct config *config, struct err *err)
{
    if (chdir(config->dir) != 0)
        return err_set_os(err, ST_INVALID, errno, "%s", strerror(errno));
    return ST_OK;
}

void config_set_replicaof(struct config *config, const char *host, int port)
{
    char *copy = host == NULL ? NULL : mem_strdup(host);
    mem_free(config->replicaof.host);
    config->replicaof = (struct config_replicaof){.host = copy, .port = host == NULL ? 0 : port};
}

bool config_is_sensitive(const struct config *config, struct bytes name)
{
    const struct setting_name *found = config_find(config, name);
    return found != NULL && (found->setting->flags & SETTING_SENSITIVE) != 0;
}

void config_on_change(struct config *config, const char *name, config_apply_fn *apply, void *arg)
{
    const struct setting_name *found = config_find(config, bytes_text(name));
    CHECK(found != NULL);
    struct config_state *state = config->state;
    state->hooks = mem_realloc(state->hooks, (state->hook_count + 1) * sizeof(*state->hooks));
    state->hooks[state->hook_count++] =
        (struct config_hook){.setting = found->setting, .apply = apply, .arg = arg};
}

/* CONFIG GET */

static void visit_one(const struct config *config, const struct setting *setting, struct bytes name,
                      config_visit_fn *visit, void *arg)
{
    if (visit == NULL)
        return;
    struct buf value = {0};
    setting->kind->format(setting, config_slot_const(config, setting), &value);
    visit(arg, name, buf_bytes(&value));
    if (setting->flags & SETTING_SENSITIVE && value.data != NULL)
        explicit_bzero(value.data, value.len);
    buf_deinit(&value);
}

size_t config_get(const struct config *config, const struct bytes *patterns, size_t pattern_count,
                  config_visit_fn *visit, void *arg)
{
    const struct config_state *state = config->state;
    bool *seen = mem_calloc(state->name_count, sizeof(*seen));
    size_t count = 0;
    for (size_t i = 0; i < pattern_count; i++) {
        if (!glob_has_wildcard(patterns[i])) {
            const struct setting_name *found = config_find(config, patterns[i]);
            if (found == NULL || seen[found - state->names])
                continue;
            seen[found - state->names] = true;
            count++;
            visit_one(config, found->setting, patterns[i], visit, arg);
            continue;
        }
        for (size_t j = 0; j < state->name_count; j++) {
            struct bytes name = bytes_text(state->names[j].name);
            if (seen[j] || (state->names[j].setting->flags & SETTING_HIDDEN) ||
                !glob_match(patterns[i], name, true))
                continue;
            seen[j] = true;
            count++;
            visit_one(config, state->names[j].setting, name, visit, arg);
        }
    }
    mem_free(seen);
    return count;
}

/* CONFIG SET */

#define IMMUTABLE_REASON "can't set immutable config"

static enum status set_failed(struct err *err, struct bytes name, const char *reason)
{
    return err_set(err, ST_INVALID, "CONFIG SET failed (possibly related to argument '%.*s') - %s",
                   (int)name.len, (const char *)name.data, reason);
}

static bool permitted(int permission, const struct config_set_context *context)
{
    return permission == CONFIG_PERMIT_YES ||
           (permission == CONFIG_PERMIT_LOCAL && context->client_is_local);
}

/* Why this setting may not be set now; NULL if it may. */
static const char *refusal(const struct config *config, const struct setting *setting,
                           const struct config_set_context *context)
{
    if (setting->flags & SETTING_IMMUTABLE)
        return IMMUTABLE_REASON;
    if ((setting->flags & SETTING_PROTECTED) &&
        !permitted(config->enable_protected_configs, context))
        return "can't set protected config";
    if ((setting->flags & SETTING_DEBUG) && !permitted(config->enable_debug_command, context))
        return "can't set debug config";
    return NULL;
}

static enum status find_settings(const struct config *config, const struct config_pair *pairs,
                                 size_t count, const struct config_set_context *context,
                                 struct change *changes, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct setting_name *found = config_find(config, pairs[i].name);
        if (found == NULL)
            return err_set(err, ST_INVALID,
                           "Unknown option or number of arguments for CONFIG SET - '%.*s'",
                           (int)pairs[i].name.len, (const char *)pairs[i].name.data);
        const char *reason = refusal(config, found->setting, context);
        if (reason != NULL)
            return set_failed(err, pairs[i].name, reason);
        if (context->loading && (found->setting->flags & SETTING_DENY_LOADING))
            return err_set(err, ST_AGAIN, "the dataset is loading");
        for (size_t j = 0; j < i; j++) {
            if (changes[j].name == found)
                return set_failed(err, pairs[i].name, "duplicate parameter");
        }
        changes[i].name = found;
    }
    return ST_OK;
}

/* Arguments of one CONFIG SET value: it is one, or is cut at each single space. */
static struct bytes *split_value(const struct setting *setting, struct bytes value, size_t *count)
{
    size_t capacity = 1;
    for (size_t i = 0; i < value.len; i++)
        capacity += value.data[i] == ' ';
    struct bytes *args = mem_calloc(capacity, sizeof(*args));
    if (!setting->kind->many_args) {
        args[0] = value;
        *count = 1;
        return args;
    }
    size_t start = 0;
    *count = 0;
    for (size_t i = 0; i <= value.len && value.len > 0; i++) {
        if (i < value.len && value.data[i] != ' ')
            continue;
        args[(*count)++] = bytes_make(value.data + start, i - start);
        start = i + 1;
    }
    return args;
}

static void destroy_values(struct change *changes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct config_kind *kind = changes[i].name->setting->kind;
        if (kind->destroy != NULL)
            kind->destroy(&changes[i].value);
    }
}

static enum status parse_values(const struct config *config, const struct config_pair *pairs,
                                size_t count, struct change *changes, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct setting *setting = changes[i].name->setting;
        struct err reason = {0};
        size_t arg_count;
        struct bytes *args = split_value(setting, pairs[i].value, &arg_count);
        enum status st =
            setting->kind->parse(setting, config, args, arg_count, &changes[i].value, &reason);
        mem_free(args);
        if (st != ST_OK) {
            destroy_values(changes, i);
            return set_failed(err, bytes_text(changes[i].name->name), reason.message);
        }
        if ((setting->flags & SETTING_FIXED) &&
            !setting->kind->equal(config_slot_const(config, setting), &changes[i].value)) {
            destroy_values(changes, i + 1);
            return set_failed(err, pairs[i].name, IMMUTABLE_REASON);
        }
    }
    return ST_OK;
}

static void exchange(struct config *config, struct change *change)
{
    const struct setting *setting = change->name->setting;
    void *slot = config_slot(config, setting);
    union config_value old;
    memcpy(&old, slot, setting->kind->size);
    memcpy(slot, &change->value, setting->kind->size);
    memcpy(&change->value, &old, setting->kind->size);
}

/* One hook that a set must run, and the pair that asked for it first. */
struct pending_hook {
    struct config_hook hook;
    const struct change *change;
};

static enum status enter_dir(void *arg, const struct config *config, struct err *err)
{
    (void)arg;
    return config_enter_dir(config, err);
}

static void add_pending(struct pending_hook *pending, size_t *count, struct config_hook hook,
                        const struct change *change)
{
    for (size_t i = 0; i < *count; i++) {
        if (pending[i].hook.apply == hook.apply && pending[i].hook.arg == hook.arg)
            return;
    }
    pending[(*count)++] = (struct pending_hook){hook, change};
}

static size_t collect_hooks(const struct config_state *state, const struct change *changes,
                            size_t count, struct pending_hook *pending)
{
    size_t pending_count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct setting *setting = changes[i].name->setting;
        if (!changes[i].differs)
            continue;
        if (setting->kind == &config_kind_dir)
            add_pending(pending, &pending_count, (struct config_hook){.apply = enter_dir},
                        &changes[i]);
        for (size_t j = 0; j < state->hook_count; j++) {
            if (state->hooks[j].setting == setting)
                add_pending(pending, &pending_count, state->hooks[j], &changes[i]);
        }
    }
    return pending_count;
}

/* Puts the old values back and lets the hooks that ran, the failed one included, make them true
 * again. */
static void roll_back(struct config *config, struct change *changes, size_t count,
                      const struct pending_hook *pending, size_t ran_count)
{
    for (size_t i = count; i > 0; i--)
        exchange(config, &changes[i - 1]);
    for (size_t i = 0; i < ran_count; i++) {
        struct err err = {0};
        if (pending[i].hook.apply(pending[i].hook.arg, config, &err) != ST_OK)
            log_write(LOG_WARNING, "Failed applying restored failed CONFIG SET command: %s",
                      err.message);
    }
}

static enum status commit(struct config *config, struct change *changes, size_t count,
                          struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct setting *setting = changes[i].name->setting;
        const void *slot = config_slot(config, setting);
        changes[i].differs = (setting->flags & SETTING_VOLATILE) != 0 ||
                             !setting->kind->equal(slot, &changes[i].value);
        exchange(config, &changes[i]);
    }
    enum status st = ST_OK;
    struct pending_hook *pending =
        mem_calloc(count + config->state->hook_count + 1, sizeof(*pending));
    size_t pending_count = collect_hooks(config->state, changes, count, pending);
    for (size_t i = 0; i < pending_count && st == ST_OK; i++) {
        struct err reason = {0};
        if (pending[i].hook.apply(pending[i].hook.arg, config, &reason) == ST_OK)
            continue;
        const char *name = pending[i].change->name->name;
        log_write(LOG_WARNING,
                  "Failed applying new configuration. Possibly related to new %s setting. "
                  "Restoring previous settings.",
                  name);
        roll_back(config, changes, count, pending, i + 1);
        st = set_failed(err, bytes_text(name), reason.message);
    }
    mem_free(pending);
    return st;
}

enum status config_set(struct config *config, const struct config_pair *pairs, size_t pair_count,
                       const struct config_set_context *context, struct err *err)
{
    struct change *changes = mem_calloc(pair_count + 1, sizeof(*changes));
    enum status st = find_settings(config, pairs, pair_count, context, changes, err);
    if (st == ST_OK)
        st = parse_values(config, pairs, pair_count, changes, err);
    if (st == ST_OK) {
        st = commit(config, changes, pair_count, err);
        destroy_values(changes, pair_count);
    }
    mem_free(changes);
    return st;
}
