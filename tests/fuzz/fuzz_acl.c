/* Any rules are refused and change nothing, or make a user whose description makes the same user
 * again; and asking it about any request stays within the request. */
#include "codec/check.h"
#include "codec/mem.h"
#include "server/acl_user.h"

#define WORDS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void never_called(struct call *call)
{
    (void)call;
}

static const struct command rows[] = {
    {.name = "config", .arity = -2, .acl = ACL_ADMIN},
    {.name = "config|get", .handler = never_called, .arity = -3, .acl = ACL_ADMIN},
    {.name = "copy",
     .handler = never_called,
     .arity = -3,
     .flags = CMD_WRITE,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS), KEY_AT(2, KEY_OW | KEY_UPDATE)}},
    {.name = "eval",
     .handler = never_called,
     .arity = -3,
     .acl = ACL_SCRIPTING,
     .keys = {KEY_NUMKEYS(2, KEY_RW | KEY_ACCESS | KEY_UPDATE)}},
    {.name = "get",
     .handler = never_called,
     .arity = 2,
     .flags = CMD_READONLY | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)}},
    {.name = "psubscribe",
     .handler = never_called,
     .arity = -2,
     .flags = CMD_PUBSUB,
     .channels = CHANNELS_PATTERNS},
    {.name = "publish",
     .handler = never_called,
     .arity = 3,
     .flags = CMD_PUBSUB,
     .channels = CHANNELS_FIRST},
    {.name = "select", .handler = never_called, .arity = 2, .flags = CMD_FAST},
    {.name = NULL},
};

static size_t split(struct bytes text, struct bytes words[WORDS_MAX])
{
    size_t count = 0;
    size_t start = 0;
    while (start <= text.len && count < WORDS_MAX) {
        size_t end = start;
        while (end < text.len && text.data[end] != ' ')
            end++;
        words[count++] = bytes_make(text.data + start, end - start);
        start = end + 1;
    }
    return count;
}

/* False, and `user` is as it was: they are refused. */
static bool apply(struct acl_user *user, const struct acl_terms *terms, struct bytes text)
{
    struct bytes words[WORDS_MAX];
    struct acl_rules rules;
    size_t open;
    if (!acl_rules_join(words, split(text, words), &rules, &open))
        return false;
    bool ok = true;
    for (size_t i = 0; i < rules.count && ok; i++) {
        struct buf before = {0};
        struct buf after = {0};
        acl_user_describe(user, &before);
        ok = acl_user_apply(user, terms, rules.items[i]) == NULL;
        if (!ok) {
            acl_user_describe(user, &after);
            CHECK(bytes_equal(buf_bytes(&before), buf_bytes(&after)));
        }
        buf_deinit(&before);
        buf_deinit(&after);
    }
    acl_rules_deinit(&rules);
    return ok;
}

static void check_description(const struct acl_user *user, const struct acl_terms *terms)
{
    struct buf text = {0};
    acl_user_describe(user, &text);
    size_t words = 1;
    for (size_t i = 0; i < text.len; i++)
        words += text.data[i] == ' ';
    if (words <= WORDS_MAX) {
        struct acl_user *again = acl_user_create(bytes_text("again"), terms);
        CHECK(apply(again, terms, buf_bytes(&text)));
        struct buf second = {0};
        acl_user_describe(again, &second);
        CHECK(bytes_equal(buf_bytes(&text), buf_bytes(&second)));
        CHECK(again->selector_count == user->selector_count);
        for (size_t i = 0; i < user->selector_count; i++)
            for (size_t word = 0; word < ACL_COMMAND_COUNT_MAX / 64; word++)
                CHECK(again->selectors[i].commands[word] == user->selectors[i].commands[word]);
        buf_deinit(&second);
        acl_user_destroy(again);
    }
    buf_deinit(&text);
}

static void check_requests(const struct acl_user *user, const struct command_table *commands,
                           struct bytes text)
{
    struct bytes argv[WORDS_MAX];
    int argc = (int)split(text, argv);
    for (int id = 0; id < command_count(commands); id++) {
        const struct command *command = command_at(commands, id);
        int arg;
        if (!command_takes(command, argc))
            continue;
        enum acl_result result = acl_user_check(user, command, argv, argc, &arg);
        CHECK(arg >= 0 && arg < argc);
        if (user->unrestricted)
            CHECK(result == ACL_ALLOWED);
        (void)acl_user_check_all_keys(user, command, argv, argc, KEY_ACCESS);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct command *const tables[] = {rows};
    struct command_table *commands = command_table_create_from(tables, 1);
    struct acl_terms terms = {.commands = commands};
    const uint8_t *end = size == 0 ? NULL : memchr(data, '\n', size);
    size_t len = end == NULL ? size : (size_t)(end - data);
    struct acl_user *user = acl_user_create(bytes_text("user"), &terms);
    (void)apply(user, &terms, bytes_make(data, len));
    check_description(user, &terms);
    if (end != NULL)
        check_requests(user, commands, bytes_make(end + 1, size - len - 1));
    acl_user_destroy(user);
    command_table_destroy(commands);
    return 0;
}
