#include "server/acl_internal.h"

#include "codec/check.h"
#include "codec/log_fn.h"
#include "codec/mem.h"
#include "codec/split_args.h"
#include "server/acl_log.h"
#include "server/config.h"
#include "server/conn.h"
#include "server/log.h"
#include "server/pubsub.h"
#include "server/services.h"

#define DEFAULT_USER "default"

#define ERROR_TWO_SOURCES                                                                          \
    "Users are defined both in the configuration and in the ACL file. This is very likely to "     \
    "lead to configuration errors and security holes: define them in one place only."

/* ---- The list of users. */

/* Where the user is, or would be. */
static size_t place_of(const struct acl_users *users, struct bytes name)
{
    size_t from = 0;
    size_t to = users->count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (bytes_compare(bytes_text(users->items[middle]->name), name) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

struct acl_user *acl_users_find(const struct acl_users *users, struct bytes name)
{
    size_t place = place_of(users, name);
    if (place == users->count || !bytes_equal(bytes_text(users->items[place]->name), name))
        return NULL;
    return users->items[place];
}

void acl_users_add(struct acl_users *users, struct acl_user *user)
{
    size_t place = place_of(users, bytes_text(user->name));
    users->items = mem_realloc(users->items, (users->count + 1) * sizeof(struct acl_user *));
    memmove(&users->items[place + 1], &users->items[place],
            (users->count - place) * sizeof(struct acl_user *));
    users->items[place] = user;
    users->count++;
}

static void remove_user(struct acl_users *users, const struct acl_user *user)
{
    size_t place = place_of(users, bytes_text(user->name));
    CHECK(users->items[place] == user);
    users->count--;
    memmove(&users->items[place], &users->items[place + 1],
            (users->count - place) * sizeof(struct acl_user *));
}

void acl_users_deinit(struct acl_users *users)
{
    for (size_t i = 0; i < users->count; i++)
        acl_user_destroy(users->items[i]);
    mem_free(users->items);
    *users = (struct acl_users){.items = NULL};
}

/* ---- Life. */

struct acl_terms acl_terms_now(const struct acl *acl)
{
    const struct config *config = acl->services->config;
    return (struct acl_terms){.commands = acl->services->commands,
                              .all_channels =
                                  config->acl_pubsub_default == CONFIG_ACL_PUBSUB_ALL_CHANNELS};
}

static void apply(const struct acl *acl, struct acl_user *user, const char *rule)
{
    struct acl_terms terms = acl_terms_now(acl);
    CHECK(acl_user_apply(user, &terms, bytes_text(rule)) == NULL);
}

struct acl_user *acl_make_default_user(const struct acl *acl)
{
    struct acl_terms terms = acl_terms_now(acl);
    struct acl_user *user = acl_user_create(bytes_text(DEFAULT_USER), &terms);
    apply(acl, user, "+@all");
    apply(acl, user, "~*");
    apply(acl, user, "&*");
    apply(acl, user, "on");
    apply(acl, user, "nopass");
    return user;
}

/* The setting is an old way to say it of the default user. */
static enum status apply_requirepass(void *arg, const struct config *config, struct err *err)
{
    (void)err;
    struct acl *acl = arg;
    if (config->requirepass.len == 0) {
        apply(acl, acl->default_user, "nopass");
        return ST_OK;
    }
    struct acl_terms terms = acl_terms_now(acl);
    struct buf rule = {0};
    buf_append_byte(&rule, '>');
    buf_append_bytes(&rule, config->requirepass);
    apply(acl, acl->default_user, "resetpass");
    CHECK(acl_user_apply(acl->default_user, &terms, buf_bytes(&rule)) == NULL);
    explicit_bzero(rule.data, rule.len);
    buf_deinit(&rule);
    return ST_OK;
}

/* Words of a line that the configuration's reader would take for something else are quoted. */
static void append_word(struct buf *line, struct bytes word)
{
    bool plain = word.len != 0;
    for (size_t i = 0; i < word.len; i++) {
        uint8_t c = word.data[i];
        plain = plain && c > ' ' && c < 0x7f && c != '"' && c != '\'' && c != '\\';
    }
    buf_append_byte(line, ' ');
    if (plain)
        buf_append_bytes(line, word);
    else
        split_args_quote(line, word);
}

static void rewrite_users(void *arg, struct config_rewriter *rewriter)
{
    const struct acl *acl = arg;
    if (acl->services->config->aclfile[0] != '\0')
        return; /* ACL SAVE is for that: lines that are left over go */
    for (size_t i = 0; i < acl->users.count; i++) {
        const struct acl_user *user = acl->users.items[i];
        struct buf rules = {0};
        struct buf line = {0};
        acl_user_describe(user, &rules);
        buf_append_text(&line, "user");
        append_word(&line, bytes_text(user->name));
        for (size_t at = 0; at < rules.len;) {
            const uint8_t *start = rules.data + at;
            const uint8_t *end = memchr(start, ' ', rules.len - at);
            size_t len = end == NULL ? rules.len - at : (size_t)(end - start);
            append_word(&line, bytes_make(start, len));
            at += len + 1;
        }
        config_rewriter_put(rewriter, "user", buf_bytes(&line));
        buf_deinit(&line);
        buf_deinit(&rules);
    }
}

struct acl *acl_create(struct services *services)
{
    struct acl *acl = mem_calloc(1, sizeof(*acl));
    acl->services = services;
    acl->log = acl_log_create();
    acl->default_user = acl_make_default_user(acl);
    acl_users_add(&acl->users, acl->default_user);
    (void)apply_requirepass(acl, services->config, NULL);
    config_on_change(services->config, "requirepass", apply_requirepass, acl);
    config_on_rewrite(services->config, "user", rewrite_users, acl);
    return acl;
}

void acl_destroy(struct acl *acl)
{
    if (acl == NULL)
        return;
    acl_users_deinit(&acl->users);
    acl_log_destroy(acl->log);
    mem_free(acl);
}

/* ---- Users of the configuration. */

static enum status bad_rule(struct err *err, struct bytes rule, struct bytes name,
                            const char *reason)
{
    return err_set(err, ST_INVALID, "Error loading ACL rule '%.*s' for the user named '%.*s': %s",
                   (int)(rule.len < 64 ? rule.len : 64), (const char *)rule.data, (int)name.len,
                   (const char *)name.data, reason);
}

static enum status apply_all(struct acl *acl, struct acl_user *user, const struct config_user *line,
                             struct err *err)
{
    struct acl_terms terms = acl_terms_now(acl);
    struct acl_rules rules;
    size_t open;
    if (!acl_rules_join(line->args + 1, line->count - 1, &rules, &open))
        return bad_rule(err, line->args[1 + open], line->args[0],
                        "Unmatched parenthesis in selector definition");
    enum status st = ST_OK;
    for (size_t i = 0; i < rules.count && st == ST_OK; i++) {
        const char *error = acl_user_apply(user, &terms, rules.items[i]);
        if (error != NULL)
            st = bad_rule(err, rules.items[i], line->args[0], error);
    }
    acl_rules_deinit(&rules);
    return st;
}

static bool is_repeated(const struct config *config, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (bytes_equal(config->users[i].args[0], config->users[index].args[0]))
            return true;
    return false;
}

static enum status load_user(struct acl *acl, size_t index, struct err *err)
{
    const struct config *config = acl->services->config;
    const struct config_user *line = &config->users[index];
    struct bytes name = line->args[0];
    if (!acl_user_name_is_valid(name))
        return err_set(err, ST_INVALID, "Spaces not allowed in ACL usernames");
    if (is_repeated(config, index))
        return err_set(err, ST_INVALID,
                       "Error in user declaration '%.*s': Duplicate user found. A user can only be "
                       "defined once in config files",
                       (int)name.len, (const char *)name.data);
    struct acl_user *user = acl_users_find(&acl->users, name);
    if (user == NULL) {
        struct acl_terms terms = acl_terms_now(acl);
        user = acl_user_create(name, &terms);
        acl_users_add(&acl->users, user);
    }
    apply(acl, user, "reset");
    enum status st = apply_all(acl, user, line, err);
    if (st == ST_OK && !user->enabled)
        log_write(LOG_NOTICE,
                  "The user '%s' is disabled (there is no 'on' modifier in the user description). "
                  "Make sure this is not a configuration error.",
                  user->name);
    return st;
}

enum status acl_load_configured(struct acl *acl, struct err *err)
{
    const struct config *config = acl->services->config;
    bool has_file = config->aclfile[0] != '\0';
    if (has_file && config->user_count != 0)
        return err_set(err, ST_INVALID, ERROR_TWO_SOURCES);
    for (size_t i = 0; i < config->user_count; i++) {
        enum status st = load_user(acl, i, err);
        if (st != ST_OK)
            return st;
    }
    if (!has_file)
        return ST_OK;
    struct buf error = {0};
    bool loaded = acl_load_file(acl, NULL, &error);
    if (!loaded)
        log_write(LOG_WARNING, "Aborting startup because of ACL errors: %.*s", (int)error.len,
                  (const char *)error.data);
    buf_deinit(&error);
    return loaded ? ST_OK : err_set(err, ST_INVALID, "the ACL file cannot be loaded");
}

/* ---- Connections of users that change. */

struct departure {
    struct acl *acl;
    const struct acl_user *user;
    struct session *self;
};

/* What is left of the session until it is closed has no rights. */
static void disconnect(struct session *session, struct session *self)
{
    if (session == self)
        session->flags |= SESSION_CLOSE_AFTER_REPLY;
    else
        conn_close_later(session->conn);
}

static void depart(void *arg, struct session *session)
{
    const struct departure *departure = arg;
    if (session->user != departure->user)
        return;
    session->user = departure->acl->default_user;
    session->authenticated = false;
    disconnect(session, departure->self);
}

static void disconnect_user(struct acl *acl, const struct acl_user *user, struct session *self)
{
    struct departure departure = {.acl = acl, .user = user, .self = self};
    if (acl->services->conns != NULL)
        conns_visit(acl->services->conns, depart, &departure);
}

void acl_replace_users(struct acl *acl, struct session *self, struct acl_users *users)
{
    struct acl_user *fresh = acl_users_find(users, bytes_text(DEFAULT_USER));
    if (fresh == NULL)
        fresh = acl_make_default_user(acl);
    else
        remove_user(users, fresh);
    acl_user_assign(acl->default_user, fresh);
    acl_user_destroy(fresh);
    remove_user(&acl->users, acl->default_user);
    acl_users_add(users, acl->default_user);
    for (size_t i = 0; i < acl->users.count; i++)
        disconnect_user(acl, acl->users.items[i], self);
    acl_users_deinit(&acl->users);
    acl->users = *users;
}

/* Subscriptions that a user may no longer have. */
struct channel_check {
    const struct acl_user *now;
    bool is_pattern;
};

static bool may_hear(void *arg, struct bytes channel)
{
    const struct channel_check *check = arg;
    for (size_t i = 0; i < check->now->selector_count; i++)
        if (acl_selector_allows_channel(&check->now->selectors[i], channel, check->is_pattern))
            return true;
    return false;
}

static bool has_channel(const struct acl_user *user, struct bytes pattern)
{
    for (size_t i = 0; i < user->selector_count; i++)
        for (size_t j = 0; j < user->selectors[i].channel_count; j++)
            if (bytes_equal(user->selectors[i].channels[j], pattern))
                return true;
    return false;
}

/* Whether a user had a channel pattern that it has no more. */
static bool has_lost_channels(const struct acl_user *before, const struct acl_user *now)
{
    for (size_t i = 0; i < now->selector_count; i++)
        if (now->selectors[i].all_channels)
            return false;
    for (size_t i = 0; i < before->selector_count; i++) {
        const struct acl_selector *selector = &before->selectors[i];
        if (selector->all_channels)
            return true;
        for (size_t j = 0; j < selector->channel_count; j++)
            if (!has_channel(now, selector->channels[j]))
                return true;
    }
    return false;
}

static void check_subscriber(void *arg, struct session *session)
{
    const struct departure *departure = arg;
    if (session->user != departure->user || (session->flags & SESSION_PUBSUB) == 0)
        return;
    bool allowed = true;
    for (int kind = 0; kind < PUBSUB_KIND_COUNT && allowed; kind++) {
        struct channel_check check = {.now = departure->user, .is_pattern = kind == PUBSUB_PATTERN};
        allowed = pubsub_session_all(session, (enum pubsub_kind)kind, may_hear, &check);
    }
    if (!allowed)
        disconnect(session, departure->self);
}

/* ---- Changing users. */

struct acl_user *acl_default_user(const struct acl *acl)
{
    return acl->default_user;
}

struct acl_user *acl_find(const struct acl *acl, struct bytes name)
{
    return acl_users_find(&acl->users, name);
}

size_t acl_count(const struct acl *acl)
{
    return acl->users.count;
}

struct acl_user *acl_at(const struct acl *acl, size_t index)
{
    CHECK(index < acl->users.count);
    return acl->users.items[index];
}

static bool apply_rules(struct acl_user *user, const struct acl_terms *terms,
                        const struct acl_rules *rules, struct buf *error)
{
    for (size_t i = 0; i < rules->count; i++) {
        const char *reason = acl_user_apply(user, terms, rules->items[i]);
        if (reason == NULL)
            continue;
        buf_append_text(error, "Error in ACL SETUSER modifier '");
        buf_append_bytes(error, rules->items[i]);
        buf_append_format(error, "': %s", reason);
        return false;
    }
    return true;
}

bool acl_set_user(struct acl *acl, struct session *self, struct bytes name,
                  const struct bytes *rules, size_t count, struct buf *error)
{
    struct acl_rules joined;
    size_t open;
    if (!acl_rules_join(rules, count, &joined, &open)) {
        buf_append_text(error, "Unmatched parenthesis in acl selector starting at '");
        buf_append_bytes(error, rules[open]);
        buf_append_text(error, "'.");
        return false;
    }
    struct acl_terms terms = acl_terms_now(acl);
    struct acl_user *user = acl_users_find(&acl->users, name);
    struct acl_user *changed = acl_user_create(name, &terms);
    if (user != NULL)
        acl_user_assign(changed, user);
    bool ok = apply_rules(changed, &terms, &joined, error);
    acl_rules_deinit(&joined);
    if (ok && user == NULL) {
        acl_users_add(&acl->users, changed);
        return true;
    }
    if (ok) {
        bool lost = has_lost_channels(user, changed);
        acl_user_assign(user, changed);
        struct departure departure = {.acl = acl, .user = user, .self = self};
        if (lost && acl->services->conns != NULL)
            conns_visit(acl->services->conns, check_subscriber, &departure);
    }
    acl_user_destroy(changed);
    return ok;
}

bool acl_delete_user(struct acl *acl, struct session *self, struct bytes name)
{
    struct acl_user *user = acl_users_find(&acl->users, name);
    if (user == NULL)
        return false;
    CHECK(user != acl->default_user);
    remove_user(&acl->users, user);
    disconnect_user(acl, user, self);
    acl_user_destroy(user);
    return true;
}

/* ---- Sessions. */

bool acl_is_open(const struct acl *acl)
{
    return acl->default_user->no_password && acl->default_user->enabled;
}

void acl_admit(const struct acl *acl, struct session *session)
{
    session->user = acl->default_user;
    session->authenticated = acl_is_open(acl);
}

bool acl_log_in(struct acl *acl, struct session *session, struct bytes name, struct bytes password)
{
    struct acl_user *user = acl_users_find(&acl->users, name);
    if (user == NULL || !user->enabled ||
        (!user->no_password && !acl_user_has_password(user, password)))
        return false;
    session->user = user;
    session->authenticated = true;
    return true;
}

const char *acl_name_of(const struct session *session)
{
    return session->user != NULL ? session->user->name : "(superuser)";
}

/* ---- What was denied. */

struct acl_log *acl_log_of(const struct acl *acl)
{
    return acl->log;
}

static void explain_name(struct buf *out, const struct acl_user *user, struct bytes name,
                         const char *what, bool verbose)
{
    if (!verbose) {
        buf_append_format(out, "No permissions to access a %s", what);
        return;
    }
    buf_append_format(out, "User %s has no permissions to access the '", user->name);
    buf_append_bytes(out, name);
    buf_append_format(out, "' %s", what);
}

void acl_explain(struct buf *out, enum acl_result result, const struct acl_user *user,
                 const struct command *command, struct bytes arg, bool verbose)
{
    switch (result) {
    case ACL_DENIED_COMMAND:
        buf_append_format(out, "User %s has no permissions to run the '%s' command", user->name,
                          command->name);
        break;
    case ACL_DENIED_KEY:
        explain_name(out, user, arg, "key", verbose);
        break;
    case ACL_DENIED_CHANNEL:
        explain_name(out, user, arg, "channel", verbose);
        break;
    case ACL_DENIED_AUTH:
    case ACL_ALLOWED:
        CHECK_UNREACHED("not denied by a user's rules");
    }
}
