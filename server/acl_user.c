#include "server/acl_user.h"

#include "codec/check.h"
#include "codec/mem.h"

#define KEY_ARGS_INLINE 32

#define ERROR_NO_SUCH_PASSWORD "The password you are trying to remove from the user does not exist"
#define ERROR_BAD_HASH                                                                             \
    "The password hash must be exactly 64 characters and contain only lowercase hexadecimal "      \
    "characters"

/* ---- Life. */

static void derive(struct acl_user *user)
{
    user->unrestricted = false;
    for (size_t i = 0; i < user->selector_count; i++) {
        const struct acl_selector *selector = &user->selectors[i];
        if (selector->all_commands && selector->all_keys && selector->all_channels)
            user->unrestricted = true;
    }
}

struct acl_user *acl_user_create(struct bytes name, const struct acl_terms *terms)
{
    CHECK(acl_user_name_is_valid(name));
    struct acl_user *user = mem_calloc(1, sizeof(*user));
    user->name = mem_alloc(name.len + 1);
    if (name.len != 0)
        memcpy(user->name, name.data, name.len);
    user->name[name.len] = '\0';
    user->selectors = mem_alloc(sizeof(*user->selectors));
    user->selector_count = 1;
    acl_selector_init(&user->selectors[0], terms);
    return user;
}

static void drop_selectors_from(struct acl_user *user, size_t first)
{
    for (size_t i = first; i < user->selector_count; i++)
        acl_selector_deinit(&user->selectors[i]);
    user->selector_count = first;
}

static void drop_passwords(struct acl_user *user)
{
    mem_free(user->passwords);
    user->passwords = NULL;
    user->password_count = 0;
}

void acl_user_destroy(struct acl_user *user)
{
    if (user == NULL)
        return;
    drop_selectors_from(user, 0);
    drop_passwords(user);
    mem_free(user->selectors);
    mem_free(user->name);
    mem_free(user);
}

void acl_user_assign(struct acl_user *to, const struct acl_user *from)
{
    char *name = to->name;
    drop_selectors_from(to, 0);
    drop_passwords(to);
    mem_free(to->selectors);
    *to = *from;
    to->name = name;
    to->passwords = NULL;
    if (from->password_count != 0)
        to->passwords = mem_dup(from->passwords, from->password_count * sizeof(*to->passwords));
    to->selectors = mem_alloc(from->selector_count * sizeof(*to->selectors));
    for (size_t i = 0; i < from->selector_count; i++)
        acl_selector_copy(&to->selectors[i], &from->selectors[i]);
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

bool acl_user_name_is_valid(struct bytes name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.data[i] == 0 || is_blank(name.data[i]))
            return false;
    return true;
}

/* ---- Passwords. */

static size_t find_password(const struct acl_user *user, const char *hash)
{
    size_t i = 0;
    while (i < user->password_count && strcmp(user->passwords[i].hash, hash) != 0)
        i++;
    return i;
}

/* The hash of ">password" or "<password", or that which "#hash" or "!hash" says. */
static bool read_password(struct bytes rule, struct acl_password *out)
{
    struct bytes text = bytes_make(rule.data + 1, rule.len - 1);
    if (rule.data[0] == '>' || rule.data[0] == '<') {
        uint8_t digest[SHA256_BYTES];
        sha256_digest(text, digest);
        sha256_format(digest, out->hash);
        return true;
    }
    if (text.len != SHA256_HEX_CHARS)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (!((c >= 'a' && c <= 'f') || (c >= '0' && c <= '9')))
            return false;
        out->hash[i] = (char)c;
    }
    out->hash[SHA256_HEX_CHARS] = '\0';
    return true;
}

static const char *add_password(struct acl_user *user, struct bytes rule)
{
    struct acl_password password;
    if (!read_password(rule, &password))
        return ERROR_BAD_HASH;
    user->no_password = false;
    if (find_password(user, password.hash) < user->password_count)
        return NULL;
    user->passwords =
        mem_realloc(user->passwords, (user->password_count + 1) * sizeof(*user->passwords));
    user->passwords[user->password_count++] = password;
    return NULL;
}

static const char *remove_password(struct acl_user *user, struct bytes rule)
{
    struct acl_password password;
    if (!read_password(rule, &password))
        return ERROR_BAD_HASH;
    size_t at = find_password(user, password.hash);
    if (at == user->password_count)
        return ERROR_NO_SUCH_PASSWORD;
    user->password_count--;
    memmove(&user->passwords[at], &user->passwords[at + 1],
            (user->password_count - at) * sizeof(*user->passwords));
    return NULL;
}

bool acl_user_has_password(const struct acl_user *user, struct bytes password)
{
    uint8_t digest[SHA256_BYTES];
    char hash[SHA256_HEX_CHARS + 1];
    sha256_digest(password, digest);
    sha256_format(digest, hash);
    bool found = false;
    for (size_t i = 0; i < user->password_count; i++) {
        unsigned difference = 0;
        for (int at = 0; at < SHA256_HEX_CHARS; at++)
            difference |= (unsigned)(hash[at] ^ user->passwords[i].hash[at]);
        found = found || difference == 0;
    }
    return found;
}

/* ---- Selectors. */

/* The next word of what stands in parentheses; empty at the end. */
static struct bytes next_word(struct bytes text, size_t *at)
{
    while (*at < text.len && is_blank(text.data[*at]))
        (*at)++;
    size_t start = *at;
    while (*at < text.len && !is_blank(text.data[*at]))
        (*at)++;
    return bytes_make(text.data + start, *at - start);
}

static const char *fill_selector(struct acl_selector *selector, const struct acl_terms *terms,
                                 struct bytes inside)
{
    size_t at = 0;
    for (struct bytes word; (word = next_word(inside, &at)).len != 0;) {
        /* In a file such a word would be the selector's end. */
        if (word.data[word.len - 1] == ')')
            return ACL_ERROR_SYNTAX;
        const char *error = acl_selector_apply(selector, terms, word);
        if (error != NULL)
            return error;
    }
    return NULL;
}

/* `rule` is in parentheses. */
static const char *add_selector(struct acl_user *user, const struct acl_terms *terms,
                                struct bytes rule)
{
    struct acl_selector selector;
    acl_selector_init(&selector, terms);
    const char *error = fill_selector(&selector, terms, bytes_make(rule.data + 1, rule.len - 2));
    if (error != NULL) {
        acl_selector_deinit(&selector);
        return error;
    }
    user->selectors =
        mem_realloc(user->selectors, (user->selector_count + 1) * sizeof(*user->selectors));
    user->selectors[user->selector_count++] = selector;
    return NULL;
}

/* ---- Any rule. */

static void reset(struct acl_user *user, const struct acl_terms *terms)
{
    drop_passwords(user);
    drop_selectors_from(user, 0);
    acl_selector_init(&user->selectors[0], terms);
    user->selector_count = 1;
    user->enabled = false;
    user->no_password = false;
    user->skip_sanitize = false;
}

/* Rules that are one word. False: it is none of them. */
static bool apply_word(struct acl_user *user, const struct acl_terms *terms, struct bytes rule)
{
    if (bytes_equal_nocase(rule, "on")) {
        user->enabled = true;
    } else if (bytes_equal_nocase(rule, "off")) {
        user->enabled = false;
    } else if (bytes_equal_nocase(rule, "skip-sanitize-payload")) {
        user->skip_sanitize = true;
    } else if (bytes_equal_nocase(rule, "sanitize-payload")) {
        user->skip_sanitize = false;
    } else if (bytes_equal_nocase(rule, "nopass")) {
        user->no_password = true;
        drop_passwords(user);
    } else if (bytes_equal_nocase(rule, "resetpass")) {
        user->no_password = false;
        drop_passwords(user);
    } else if (bytes_equal_nocase(rule, "clearselectors")) {
        drop_selectors_from(user, 1);
    } else if (bytes_equal_nocase(rule, "reset")) {
        reset(user, terms);
    } else {
        return false;
    }
    return true;
}

const char *acl_user_apply(struct acl_user *user, const struct acl_terms *terms, struct bytes rule)
{
    const char *error = NULL;
    if (rule.len == 0 || apply_word(user, terms, rule))
        ;
    else if (rule.data[0] == '>' || rule.data[0] == '#')
        error = add_password(user, rule);
    else if (rule.data[0] == '<' || rule.data[0] == '!')
        error = remove_password(user, rule);
    else if (rule.data[0] == '(' && rule.data[rule.len - 1] == ')')
        error = add_selector(user, terms, rule);
    else
        error = acl_selector_apply(&user->selectors[0], terms, rule);
    derive(user);
    return error;
}

/* ---- Lists of rules. */

static bool opens(struct bytes arg)
{
    return arg.len != 0 && arg.data[0] == '(' && arg.data[arg.len - 1] != ')';
}

static void add_joined(struct acl_rules *rules, const struct buf *text)
{
    rules->joined = mem_realloc(rules->joined, (rules->joined_count + 1) * sizeof(*rules->joined));
    struct bytes owned = bytes_make(mem_dup(text->data, text->len), text->len);
    rules->joined[rules->joined_count++] = owned;
    rules->items[rules->count++] = owned;
}

bool acl_rules_join(const struct bytes *args, size_t count, struct acl_rules *out, size_t *open_out)
{
    *out = (struct acl_rules){.items = mem_alloc((count + 1) * sizeof(*out->items))};
    struct buf text = {0};
    bool open = false;
    for (size_t i = 0; i < count; i++) {
        if (!open && !opens(args[i])) {
            out->items[out->count++] = args[i];
            continue;
        }
        if (open) {
            buf_append_byte(&text, ' ');
        } else {
            buf_clear(&text);
            *open_out = i;
            open = true;
        }
        buf_append_bytes(&text, args[i]);
        if (text.data[text.len - 1] == ')') {
            open = false;
            add_joined(out, &text);
        }
    }
    buf_deinit(&text);
    if (open)
        acl_rules_deinit(out);
    return !open;
}

void acl_rules_deinit(struct acl_rules *rules)
{
    for (size_t i = 0; i < rules->joined_count; i++)
        mem_free((void *)(uintptr_t)rules->joined[i].data);
    mem_free(rules->joined);
    mem_free(rules->items);
    *rules = (struct acl_rules){.items = NULL};
}

void acl_user_describe(const struct acl_user *user, struct buf *out)
{
    buf_append_text(out, user->enabled ? "on " : "off ");
    if (user->no_password)
        buf_append_text(out, "nopass ");
    buf_append_text(out, user->skip_sanitize ? "skip-sanitize-payload " : "sanitize-payload ");
    for (size_t i = 0; i < user->password_count; i++)
        buf_append_format(out, "#%s ", user->passwords[i].hash);
    acl_selector_describe(&user->selectors[0], out);
    for (size_t i = 1; i < user->selector_count; i++) {
        buf_append_text(out, " (");
        acl_selector_describe(&user->selectors[i], out);
        buf_append_byte(out, ')');
    }
}

/* ---- Asking. */

/* A request and, once they were asked for, its keys. */
struct request {
    const struct command *command;
    const struct bytes *argv;
    int argc;
    bool has_keys;
    int key_count; /* negative: the handler will say what is wrong with the arguments */
    struct key_arg *keys;
    struct key_arg few[KEY_ARGS_INLINE];
};

static void find_keys(struct request *r)
{
    if (r->has_keys)
        return;
    r->has_keys = true;
    r->keys = r->few;
    r->key_count = 0;
    if (r->command->key_spec_count == 0 && r->command->keys_fn == NULL)
        return;
    r->key_count = command_keys(r->command, r->argv, r->argc, r->few, KEY_ARGS_INLINE);
    if (r->key_count <= KEY_ARGS_INLINE)
        return;
    r->keys = mem_alloc((size_t)r->key_count * sizeof(*r->keys));
    r->key_count = command_keys(r->command, r->argv, r->argc, r->keys, r->key_count);
}

static void forget_keys(struct request *r)
{
    if (r->has_keys && r->keys != r->few)
        mem_free(r->keys);
}

static enum acl_result check_keys(const struct acl_selector *selector, struct request *r,
                                  int *arg_out)
{
    if (selector->all_keys)
        return ACL_ALLOWED;
    find_keys(r);
    for (int i = 0; i < r->key_count; i++) {
        const struct key_arg *key = &r->keys[i];
        if ((key->flags & KEY_NOT_KEY) != 0 ||
            acl_selector_allows_key(selector, r->argv[key->index], key->flags))
            continue;
        *arg_out = key->index;
        return ACL_DENIED_KEY;
    }
    return ACL_ALLOWED;
}

static enum acl_result check_channels(const struct acl_selector *selector, const struct request *r,
                                      int *arg_out)
{
    enum command_channels which = (enum command_channels)r->command->channels;
    if (selector->all_channels || which == CHANNELS_NONE)
        return ACL_ALLOWED;
    int end = which == CHANNELS_FIRST ? 2 : r->argc;
    for (int i = 1; i < end && i < r->argc; i++) {
        if (acl_selector_allows_channel(selector, r->argv[i], which == CHANNELS_PATTERNS))
            continue;
        *arg_out = i;
        return ACL_DENIED_CHANNEL;
    }
    return ACL_ALLOWED;
}

static enum acl_result check_selector(const struct acl_selector *selector, struct request *r,
                                      int *arg_out)
{
    *arg_out = 0;
    if (!acl_selector_allows_command(selector, r->command, r->argv, r->argc))
        return ACL_DENIED_COMMAND;
    enum acl_result result = check_keys(selector, r, arg_out);
    return result != ACL_ALLOWED ? result : check_channels(selector, r, arg_out);
}

enum acl_result acl_user_check(const struct acl_user *user, const struct command *command,
                               const struct bytes *argv, int argc, int *arg_out)
{
    struct request r = {.command = command, .argv = argv, .argc = argc};
    enum acl_result worst = ACL_DENIED_COMMAND;
    *arg_out = 0;
    for (size_t i = 0; i < user->selector_count; i++) {
        int arg;
        enum acl_result result = check_selector(&user->selectors[i], &r, &arg);
        if (result == ACL_ALLOWED) {
            worst = ACL_ALLOWED;
            break;
        }
        if (result > worst || (result == worst && arg > *arg_out)) {
            worst = result;
            *arg_out = arg;
        }
    }
    forget_keys(&r);
    return worst;
}

bool acl_user_check_all_keys(const struct acl_user *user, const struct command *command,
                             const struct bytes *argv, int argc, uint32_t flags)
{
    struct request r = {.command = command, .argv = argv, .argc = argc};
    bool allowed = false;
    for (size_t i = 0; i < user->selector_count && !allowed; i++) {
        int arg;
        allowed = check_selector(&user->selectors[i], &r, &arg) == ACL_ALLOWED &&
                  acl_selector_allows_all_keys(&user->selectors[i], flags);
    }
    forget_keys(&r);
    return allowed;
}
