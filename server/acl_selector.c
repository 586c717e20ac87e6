#include "server/acl_selector.h"

#include "codec/check.h"
#include "codec/glob.h"
#include "codec/mem.h"
#include "server/command_info.h"

#define ERROR_AFTER_ALL_KEYS                                                                       \
    "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have " \
    "any effect. Try 'resetkeys' to start with an empty list of patterns"
#define ERROR_AFTER_ALL_CHANNELS                                                                   \
    "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not "  \
    "have any effect. Try 'resetchannels' to start with an empty list of channels"
#define ERROR_FIRST_ARG_OF_SUBCOMMAND "Allowing first-arg of a subcommand is not supported"

/* ---- Owned texts. */

static struct bytes keep(struct bytes text)
{
    uint8_t *copy = mem_alloc(text.len + 1);
    if (text.len != 0)
        memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    return bytes_make(copy, text.len);
}

static void drop(struct bytes text)
{
    mem_free((void *)(uintptr_t)text.data);
}

static void drop_all(struct bytes **texts, size_t *count)
{
    for (size_t i = 0; i < *count; i++)
        drop((*texts)[i]);
    mem_free(*texts);
    *texts = NULL;
    *count = 0;
}

static void add(struct bytes **texts, size_t *count, struct bytes text)
{
    *texts = mem_realloc(*texts, (*count + 1) * sizeof(**texts));
    (*texts)[(*count)++] = keep(text);
}

static void copy_all(struct bytes **to, const struct bytes *from, size_t count)
{
    size_t copied = 0;
    *to = NULL;
    while (copied < count)
        add(to, &copied, from[copied]);
}

static bool has_blanks(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] == 0 || text.data[i] == ' ' ||
            (text.data[i] >= '\t' && text.data[i] <= '\r'))
            return true;
    return false;
}

static struct bytes skip(struct bytes text, size_t len)
{
    return bytes_make(text.data + len, text.len - len);
}

/* ---- Life. */

void acl_selector_init(struct acl_selector *selector, const struct acl_terms *terms)
{
    *selector = (struct acl_selector){.all_channels = terms->all_channels};
}

static void drop_keys(struct acl_selector *selector)
{
    for (size_t i = 0; i < selector->key_count; i++)
        drop(selector->keys[i].pattern);
    mem_free(selector->keys);
    selector->keys = NULL;
    selector->key_count = 0;
}

static void drop_first_args(struct acl_selector *selector)
{
    for (size_t i = 0; i < selector->first_arg_count; i++)
        drop(selector->first_args[i].arg);
    mem_free(selector->first_args);
    selector->first_args = NULL;
    selector->first_arg_count = 0;
}

void acl_selector_deinit(struct acl_selector *selector)
{
    drop_keys(selector);
    drop_first_args(selector);
    drop_all(&selector->channels, &selector->channel_count);
    drop_all(&selector->rules, &selector->rule_count);
}

static void add_key(struct acl_selector *selector, struct bytes pattern, int access)
{
    selector->keys =
        mem_realloc(selector->keys, (selector->key_count + 1) * sizeof(*selector->keys));
    selector->keys[selector->key_count++] =
        (struct acl_key_pattern){.pattern = keep(pattern), .access = access};
}

static void add_first_arg(struct acl_selector *selector, int command_id, struct bytes arg)
{
    selector->first_args = mem_realloc(selector->first_args, (selector->first_arg_count + 1) *
                                                                 sizeof(*selector->first_args));
    selector->first_args[selector->first_arg_count++] =
        (struct acl_first_arg){.command_id = command_id, .arg = keep(arg)};
}

void acl_selector_copy(struct acl_selector *to, const struct acl_selector *from)
{
    *to = *from;
    copy_all(&to->channels, from->channels, from->channel_count);
    copy_all(&to->rules, from->rules, from->rule_count);
    to->keys = NULL;
    to->key_count = 0;
    for (size_t i = 0; i < from->key_count; i++)
        add_key(to, from->keys[i].pattern, from->keys[i].access);
    to->first_args = NULL;
    to->first_arg_count = 0;
    for (size_t i = 0; i < from->first_arg_count; i++)
        add_first_arg(to, from->first_args[i].command_id, from->first_args[i].arg);
}

/* ---- Rules about commands. */

static bool has_bit(const struct acl_selector *selector, int id)
{
    return (selector->commands[id / 64] >> (id % 64) & 1) != 0;
}

static void set_bit(struct acl_selector *selector, int id, bool allow)
{
    uint64_t bit = (uint64_t)1 << (id % 64);
    if (allow) {
        selector->commands[id / 64] |= bit;
    } else {
        selector->commands[id / 64] &= ~bit;
        selector->all_commands = false;
    }
}

static void drop_first_args_of(struct acl_selector *selector, int id)
{
    size_t kept = 0;
    for (size_t i = 0; i < selector->first_arg_count; i++) {
        if (selector->first_args[i].command_id == id)
            drop(selector->first_args[i].arg);
        else
            selector->first_args[kept++] = selector->first_args[i];
    }
    selector->first_arg_count = kept;
}

/* What is said of a container holds for its subcommands. */
static void set_command(struct acl_selector *selector, const struct command *command, bool allow)
{
    set_bit(selector, command->id, allow);
    drop_first_args_of(selector, command->id);
    for (int i = 1; i <= command->subcommand_count; i++)
        set_bit(selector, command->id + i, allow);
}

/* The new rule replaces an older one about the same, and those about its subcommands. */
static void note_rule(struct acl_selector *selector, struct bytes what, bool allow)
{
    struct buf rule = {0};
    buf_append_byte(&rule, allow ? '+' : '-');
    for (size_t i = 0; i < what.len; i++) {
        uint8_t c = what.data[i];
        buf_append_byte(&rule, (uint8_t)(c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c));
    }
    struct bytes fresh = skip(buf_bytes(&rule), 1);
    size_t kept = 0;
    for (size_t i = 0; i < selector->rule_count; i++) {
        struct bytes old = skip(selector->rules[i], 1);
        bool same = old.len >= fresh.len && memcmp(old.data, fresh.data, fresh.len) == 0 &&
                    (old.len == fresh.len || old.data[fresh.len] == '|');
        if (same)
            drop(selector->rules[i]);
        else
            selector->rules[kept++] = selector->rules[i];
    }
    selector->rule_count = kept;
    add(&selector->rules, &selector->rule_count, buf_bytes(&rule));
    buf_deinit(&rule);
}

static void set_all_commands(struct acl_selector *selector, bool allow)
{
    memset(selector->commands, allow ? 0xff : 0, sizeof(selector->commands));
    selector->all_commands = allow;
    selector->future_commands = allow;
    drop_all(&selector->rules, &selector->rule_count);
    drop_first_args(selector);
}

/* `what` begins with '@'. */
static const char *apply_category(struct acl_selector *selector, const struct acl_terms *terms,
                                  struct bytes what, bool allow)
{
    uint32_t category = command_info_find_acl_category(skip(what, 1));
    if (category == 0)
        return ACL_ERROR_UNKNOWN;
    note_rule(selector, what, allow);
    for (int id = 0; id < command_count(terms->commands); id++) {
        const struct command *command = command_at(terms->commands, id);
        if ((command_acl_categories(command) & category) != 0)
            set_command(selector, command, allow);
    }
    return NULL;
}

static void allow_first_arg(struct acl_selector *selector, int id, struct bytes arg)
{
    for (size_t i = 0; i < selector->first_arg_count; i++)
        if (selector->first_args[i].command_id == id &&
            bytes_equal_nocase(selector->first_args[i].arg, (const char *)arg.data))
            return;
    add_first_arg(selector, id, arg);
}

/* "command|word", where the word is a subcommand or (this is deprecated) a first argument. */
static const char *allow_part(struct acl_selector *selector, const struct acl_terms *terms,
                              struct bytes what, size_t bar)
{
    const struct command *command = command_find_row(terms->commands, bytes_make(what.data, bar));
    if (command == NULL)
        return ACL_ERROR_UNKNOWN;
    if (command->is_subcommand)
        return ERROR_FIRST_ARG_OF_SUBCOMMAND;
    struct bytes word = skip(what, bar + 1);
    if (word.len == 0 || has_blanks(word))
        return ACL_ERROR_SYNTAX;
    if (command->subcommand_count > 0) {
        const struct command *subcommand = command_find_row(terms->commands, what);
        if (subcommand == NULL)
            return ACL_ERROR_UNKNOWN;
        set_command(selector, subcommand, true);
    } else {
        struct bytes owned = keep(word);
        allow_first_arg(selector, command->id, owned);
        drop(owned);
    }
    note_rule(selector, what, true);
    return NULL;
}

static const char *apply_command(struct acl_selector *selector, const struct acl_terms *terms,
                                 struct bytes what, bool allow)
{
    size_t bar = what.len;
    while (bar > 0 && what.data[bar - 1] != '|')
        bar--;
    if (allow && bar > 0)
        return allow_part(selector, terms, what, bar - 1);
    const struct command *command = command_find_row(terms->commands, what);
    if (command == NULL)
        return ACL_ERROR_UNKNOWN;
    set_command(selector, command, allow);
    note_rule(selector, bytes_text(command->name), allow);
    return NULL;
}

/* ---- Rules about keys and channels. */

/* The length of "~", "%R~" and the like; 0: it is not well formed. Like Redis's, it does not mind
 * when nothing follows the letters. */
static size_t parse_access(struct bytes rule, int *access_out)
{
    *access_out = ACL_READ_KEY | ACL_WRITE_KEY;
    if (rule.data[0] == '~')
        return 1;
    int access = 0;
    size_t at = 1;
    for (; at < rule.len && rule.data[at] != '~'; at++) {
        int letter = rule.data[at] | 0x20;
        int bit = letter == 'r' ? ACL_READ_KEY : letter == 'w' ? ACL_WRITE_KEY : 0;
        if (bit == 0 || (access & bit) != 0)
            return 0;
        access |= bit;
    }
    *access_out = access;
    if (access == 0)
        return 0;
    return at < rule.len ? at + 1 : at;
}

static const char *apply_key(struct acl_selector *selector, struct bytes rule)
{
    if (selector->all_keys)
        return ERROR_AFTER_ALL_KEYS;
    int access;
    size_t len = parse_access(rule, &access);
    if (len == 0 || has_blanks(skip(rule, len)))
        return ACL_ERROR_SYNTAX;
    struct bytes pattern = skip(rule, len);
    for (size_t i = 0; i < selector->key_count; i++) {
        if (bytes_equal(selector->keys[i].pattern, pattern)) {
            selector->keys[i].access |= access;
            return NULL;
        }
    }
    add_key(selector, pattern, access);
    return NULL;
}

static const char *apply_channel(struct acl_selector *selector, struct bytes rule)
{
    struct bytes pattern = skip(rule, 1);
    if (selector->all_channels)
        return ERROR_AFTER_ALL_CHANNELS;
    if (has_blanks(pattern))
        return ACL_ERROR_SYNTAX;
    for (size_t i = 0; i < selector->channel_count; i++)
        if (bytes_equal(selector->channels[i], pattern))
            return NULL;
    add(&selector->channels, &selector->channel_count, pattern);
    return NULL;
}

/* ---- Any rule. */

static void set_all_keys(struct acl_selector *selector, bool allow)
{
    selector->all_keys = allow;
    drop_keys(selector);
}

static void set_all_channels(struct acl_selector *selector, bool allow)
{
    selector->all_channels = allow;
    drop_all(&selector->channels, &selector->channel_count);
}

/* Rules that are one word. False: it is none of them. */
static bool apply_word(struct acl_selector *selector, struct bytes rule)
{
    static const struct {
        const char *word;
        void (*set)(struct acl_selector *selector, bool allow);
        bool allow;
    } words[] = {
        {"allkeys", set_all_keys, true},         {"~*", set_all_keys, true},
        {"resetkeys", set_all_keys, false},      {"allchannels", set_all_channels, true},
        {"&*", set_all_channels, true},          {"resetchannels", set_all_channels, false},
        {"allcommands", set_all_commands, true}, {"+@all", set_all_commands, true},
        {"nocommands", set_all_commands, false}, {"-@all", set_all_commands, false},
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (bytes_equal_nocase(rule, words[i].word)) {
            words[i].set(selector, words[i].allow);
            return true;
        }
    }
    return false;
}

const char *acl_selector_apply(struct acl_selector *selector, const struct acl_terms *terms,
                               struct bytes rule)
{
    CHECK(command_count(terms->commands) <= ACL_COMMAND_COUNT_MAX);
    if (rule.len == 0)
        return ACL_ERROR_SYNTAX;
    if (apply_word(selector, rule))
        return NULL;
    switch (rule.data[0]) {
    case '~':
    case '%':
        return apply_key(selector, rule);
    case '&':
        return apply_channel(selector, rule);
    case '+':
    case '-':
        if (rule.len > 1 && rule.data[1] == '@')
            return apply_category(selector, terms, skip(rule, 1), rule.data[0] == '+');
        return apply_command(selector, terms, skip(rule, 1), rule.data[0] == '+');
    default:
        return ACL_ERROR_SYNTAX;
    }
}

/* ---- Describing. */

void acl_selector_describe_commands(const struct acl_selector *selector, struct buf *out)
{
    buf_append_text(out, selector->future_commands ? "+@all" : "-@all");
    for (size_t i = 0; i < selector->rule_count; i++) {
        buf_append_byte(out, ' ');
        buf_append_bytes(out, selector->rules[i]);
    }
}

void acl_selector_describe_keys(const struct acl_selector *selector, struct buf *out)
{
    static const char *const prefixes[] = {
        [ACL_READ_KEY] = "%R~", [ACL_WRITE_KEY] = "%W~", [ACL_READ_KEY | ACL_WRITE_KEY] = "~"};
    if (selector->all_keys)
        buf_append_text(out, "~*");
    for (size_t i = 0; i < selector->key_count; i++) {
        if (i != 0)
            buf_append_byte(out, ' ');
        buf_append_text(out, prefixes[selector->keys[i].access]);
        buf_append_bytes(out, selector->keys[i].pattern);
    }
}

void acl_selector_describe_channels(const struct acl_selector *selector, struct buf *out)
{
    if (selector->all_channels)
        buf_append_text(out, "&*");
    for (size_t i = 0; i < selector->channel_count; i++) {
        if (i != 0)
            buf_append_byte(out, ' ');
        buf_append_byte(out, '&');
        buf_append_bytes(out, selector->channels[i]);
    }
}

void acl_selector_describe(const struct acl_selector *selector, struct buf *out)
{
    acl_selector_describe_keys(selector, out);
    if (selector->all_keys || selector->key_count != 0)
        buf_append_byte(out, ' ');
    if (!selector->all_channels)
        buf_append_text(out, "resetchannels ");
    acl_selector_describe_channels(selector, out);
    if (selector->all_channels || selector->channel_count != 0)
        buf_append_byte(out, ' ');
    acl_selector_describe_commands(selector, out);
}

/* ---- Asking. */

bool acl_selector_allows_command(const struct acl_selector *selector, const struct command *command,
                                 const struct bytes *argv, int argc)
{
    if (selector->all_commands || (command->flags & CMD_NO_AUTH) != 0 ||
        has_bit(selector, command->id))
        return true;
    if (argc < 2)
        return false;
    for (size_t i = 0; i < selector->first_arg_count; i++)
        if (selector->first_args[i].command_id == command->id &&
            bytes_equal_nocase(argv[1], (const char *)selector->first_args[i].arg.data))
            return true;
    return false;
}

static int access_of(uint32_t flags)
{
    int access = (flags & KEY_ACCESS) != 0 ? ACL_READ_KEY : 0;
    if ((flags & (KEY_INSERT | KEY_DELETE | KEY_UPDATE)) != 0)
        access |= ACL_WRITE_KEY;
    return access;
}

bool acl_selector_allows_key(const struct acl_selector *selector, struct bytes key, uint32_t flags)
{
    if (selector->all_keys)
        return true;
    int access = access_of(flags);
    for (size_t i = 0; i < selector->key_count; i++) {
        const struct acl_key_pattern *pattern = &selector->keys[i];
        if ((pattern->access & access) == access && glob_match(pattern->pattern, key, false))
            return true;
    }
    return false;
}

bool acl_selector_allows_all_keys(const struct acl_selector *selector, uint32_t flags)
{
    if (selector->all_keys)
        return true;
    int access = access_of(flags);
    for (size_t i = 0; i < selector->key_count; i++)
        if ((selector->keys[i].access & access) == access &&
            bytes_equal(selector->keys[i].pattern, bytes_text("*")))
            return true;
    return false;
}

bool acl_selector_allows_channel(const struct acl_selector *selector, struct bytes channel,
                                 bool is_pattern)
{
    if (selector->all_channels)
        return true;
    for (size_t i = 0; i < selector->channel_count; i++)
        if (is_pattern ? bytes_equal(selector->channels[i], channel)
                       : glob_match(selector->channels[i], channel, false))
            return true;
    return false;
}
