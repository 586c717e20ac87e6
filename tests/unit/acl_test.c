/* Goal: rules make the permissions that they say, a refused list of rules changes nothing, and what
 * describes a user makes the same user again, from the ACL file, too.
 *
 * Method: users with the real command rows, asked about requests. What clients see of it is in the
 * transcripts acl/. */
#include "server/acl.h"

#include "codec/mem.h"
#include "server/acl_log.h"
#include "server/config.h"
#include "server/services.h"
#include "tests/support/harness.h"

#include <stdio.h>

#define WORDS_MAX 16

struct fixture {
    struct services services;
    struct acl *acl;
    struct acl_terms terms;
    char *dir;
};

static int set_up(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof(*f));
    f->services.config = config_create();
    f->services.commands = command_table_create();
    f->acl = acl_create(&f->services);
    f->terms = (struct acl_terms){.commands = f->services.commands};
    f->dir = harness_make_dir();
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    acl_destroy(f->acl);
    command_table_destroy(f->services.commands);
    config_destroy(f->services.config);
    harness_remove_dir(f->dir);
    mem_free(f->dir);
    mem_free(f);
    return 0;
}

/* Words of a text, at single blanks. */
static size_t split(const char *text, struct bytes words[WORDS_MAX])
{
    size_t count = 0;
    while (*text != '\0') {
        size_t len = strcspn(text, " ");
        assert_true(count < WORDS_MAX);
        words[count++] = bytes_make(text, len);
        text += len + (text[len] == ' ');
    }
    return count;
}

/* "" or what is wrong. */
static const char *set_user(struct fixture *f, const char *name, const char *rules)
{
    static char text[512];
    struct bytes words[WORDS_MAX];
    size_t count = split(rules, words);
    struct buf error = {0};
    bool ok = acl_set_user(f->acl, NULL, bytes_text(name), words, count, &error);
    (void)snprintf(text, sizeof(text), "%.*s", (int)error.len, (const char *)error.data);
    buf_deinit(&error);
    assert_int_equal(ok, text[0] == '\0');
    return text;
}

static struct acl_user *find(struct fixture *f, const char *name)
{
    struct acl_user *user = acl_find(f->acl, bytes_text(name));
    assert_non_null(user);
    return user;
}

static enum acl_result ask(struct fixture *f, const char *name, const char *request, int *arg_out)
{
    struct bytes argv[WORDS_MAX];
    int argc = (int)split(request, argv);
    const struct command *command = command_find(f->services.commands, argv, argc, NULL);
    assert_non_null(command);
    return acl_user_check(find(f, name), command, argv, argc, arg_out);
}

static void assert_described(const struct acl_user *user, const char *expected)
{
    struct buf text = {0};
    acl_user_describe(user, &text);
    assert_bytes(buf_bytes(&text), bytes_text(expected));
    buf_deinit(&text);
}

/* ---- Rules. */

static void rules_make_the_permissions_that_they_say(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *rules;
        const char *request;
        enum acl_result result;
        int arg;
    } cases[] = {
        {"", "get a", ACL_DENIED_COMMAND, 0},
        {"", "auth a", ACL_ALLOWED, 0},
        {"+get", "get a", ACL_DENIED_KEY, 1},
        {"+get ~a", "get a", ACL_ALLOWED, 0},
        {"+get ~a", "get aa", ACL_DENIED_KEY, 1},
        {"+@all -get ~*", "get a", ACL_DENIED_COMMAND, 0},
        {"+@all -get ~*", "set a 1", ACL_ALLOWED, 0},
        {"+@all -@string ~*", "set a 1", ACL_DENIED_COMMAND, 0},
        {"+@read ~*", "set a 1", ACL_DENIED_COMMAND, 0},
        {"+@READ ~*", "get a", ACL_ALLOWED, 0},
        {"+config", "config get x", ACL_ALLOWED, 0},
        {"+config -config|get", "config get x", ACL_DENIED_COMMAND, 0},
        {"+config -config|get", "config set x y", ACL_ALLOWED, 0},
        {"+config|get", "config get x", ACL_ALLOWED, 0},
        {"+config|get", "config set x y", ACL_DENIED_COMMAND, 0},
        {"+config|get -config", "config get x", ACL_DENIED_COMMAND, 0},
        {"+select|0", "select 0", ACL_ALLOWED, 0},
        {"+select|0", "select 00", ACL_DENIED_COMMAND, 0},
        {"+select|0 -select", "select 0", ACL_DENIED_COMMAND, 0},
        {"+select|0 +@all -@all", "select 0", ACL_DENIED_COMMAND, 0},
        {"+@all %R~a %W~b", "get a", ACL_ALLOWED, 0},
        {"+@all %R~a %W~b", "get b", ACL_DENIED_KEY, 1},
        {"+@all %R~a %W~b", "set a 1", ACL_DENIED_KEY, 1},
        {"+@all %R~a %W~b", "set b 1", ACL_ALLOWED, 0},
        {"+@all %R~a %W~b", "set b 1 get", ACL_DENIED_KEY, 1},
        {"+@all %R~a %W~b", "exists a b", ACL_ALLOWED, 0},
        {"+@all %R~a %W~b", "copy a b", ACL_ALLOWED, 0},
        {"+@all %R~a %W~b", "copy b a", ACL_DENIED_KEY, 1},
        {"+@all %R~a %W~a", "set a 1 get", ACL_ALLOWED, 0},
        {"+@all (%R~a) (%W~a)", "set a 1 get", ACL_DENIED_KEY, 1},
        {"(+set %W~a) (+get %R~a)", "set a 1 get", ACL_DENIED_KEY, 1},
        {"(+get ~a*) (+set ~b*)", "get a1", ACL_ALLOWED, 0},
        {"(+get ~a*) (+set ~b*)", "set a1 1", ACL_DENIED_KEY, 1},
        {"+mget ~a ~b", "mget a b c d", ACL_DENIED_KEY, 3},
        {"+mget ~a (+mget ~a ~b ~c)", "mget a b c d", ACL_DENIED_KEY, 4},
        {"+@all ~* &a &b.*", "publish a x", ACL_ALLOWED, 0},
        {"+@all ~* &a &b.*", "publish b.c x", ACL_ALLOWED, 0},
        {"+@all ~* &a &b.*", "publish c x", ACL_DENIED_CHANNEL, 1},
        {"+@all ~* &a &b.*", "subscribe a b.x c", ACL_DENIED_CHANNEL, 3},
        {"+@all ~* &a &b.*", "psubscribe a b.*", ACL_ALLOWED, 0},
        {"+@all ~* &a &b.*", "psubscribe b.c", ACL_DENIED_CHANNEL, 1},
        {"+@all ~* &a &b.*", "unsubscribe c", ACL_ALLOWED, 0},
        {"+eval ~a", "eval x 1 b", ACL_DENIED_KEY, 3},
        {"+eval ~a", "eval x nonsense b", ACL_ALLOWED, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int arg;
        assert_string_equal(set_user(f, "u", "reset"), "");
        assert_string_equal(set_user(f, "u", cases[i].rules), "");
        enum acl_result result = ask(f, "u", cases[i].request, &arg);
        if (result != cases[i].result || (result != ACL_ALLOWED && arg != cases[i].arg))
            fail_msg("case %zu: '%s' asked for '%s': %d about argument %d", i, cases[i].rules,
                     cases[i].request, (int)result, arg);
    }
}

static void who_may_do_everything_is_not_asked(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *rules;
        bool unrestricted;
    } cases[] = {
        {"+@all ~* &*", true},   {"+@all ~*", false},         {"+@all &*", false},
        {"~* &*", false},        {"+@all ~* &* -get", false}, {"+@all ~* &* -get +get", false},
        {"(+@all ~* &*)", true}, {"(+@all ~*) (&*)", false},  {"+@all ~* &* resetkeys", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_string_equal(set_user(f, "u", "reset"), "");
        assert_string_equal(set_user(f, "u", cases[i].rules), "");
        assert_int_equal(find(f, "u")->unrestricted, cases[i].unrestricted);
    }
    assert_true(acl_default_user(f->acl)->unrestricted);
}

static void refused_rules_change_nothing(void **state)
{
    struct fixture *f = *state;
    static const char *const refused[] = {
        "off +nosuch",     "off %~a",          "off %x~a",     "off +@nosuch", "off +config|get|x",
        "off +get|",       "off #1234",        "off <unknown", "off (+get",    "off (+get ~a",
        "off (+get) (on)", "off allkeys ~b",   "off nosuch",   "off (~a))",    "off &* &a",
        "off -select|0",   "off (+get ~a) +)", "off !xyz",     "off +",        "off -",
    };
    assert_string_equal(set_user(f, "u", "on >pw +get ~a &c (+set ~b)"), "");
    const char *before = "on sanitize-payload "
                         "#30c952fab122c3f9759f02a6d95c3758b246b4fee239957b2d4fee46e26170c4 ~a "
                         "resetchannels &c -@all +get (~b resetchannels -@all +set)";
    assert_described(find(f, "u"), before);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (set_user(f, "u", refused[i])[0] == '\0')
            fail_msg("'%s' was taken", refused[i]);
        assert_described(find(f, "u"), before);
        assert_string_not_equal(set_user(f, "new", refused[i]), "");
        assert_null(acl_find(f->acl, bytes_text("new")));
    }
}

static void description_makes_the_same_user(void **state)
{
    struct fixture *f = *state;
    static const char *const rules[] = {
        "on nopass allkeys allchannels allcommands",
        "on +@all -@dangerous +config|get -config|set +select|0 +select|1",
        "skip-sanitize-payload +get -get +@string -@string +set +set",
        "%R~a %W~a %R~b %W~c %RW~d ~e\"'\\ &a &b",
        ">a >b +@all -config +config|get -config|get -@all +config|set",
        "(+get ~a &*) (+@all -set %R~b) () (allkeys)",
        "+config|get +config|set +config",
    };
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        assert_string_equal(set_user(f, "a", "reset"), "");
        assert_string_equal(set_user(f, "a", rules[i]), "");
        struct buf text = {0};
        acl_user_describe(find(f, "a"), &text);
        buf_append_byte(&text, '\0');
        assert_string_equal(set_user(f, "b", "reset"), "");
        char copy[1024];
        (void)snprintf(copy, sizeof(copy), "%s", (const char *)text.data);
        struct bytes words[64];
        size_t count = 0;
        for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " "))
            words[count++] = bytes_text(word);
        struct buf error = {0};
        assert_true(acl_set_user(f->acl, NULL, bytes_text("b"), words, count, &error));
        text.len--;
        struct buf again = {0};
        acl_user_describe(find(f, "b"), &again);
        assert_bytes(buf_bytes(&again), buf_bytes(&text));
        for (size_t s = 0; s < find(f, "a")->selector_count; s++)
            assert_memory_equal(find(f, "a")->selectors[s].commands,
                                find(f, "b")->selectors[s].commands,
                                sizeof(find(f, "a")->selectors[s].commands));
        buf_deinit(&again);
        buf_deinit(&text);
    }
}

/* ---- Logging in. */

static void passwords_are_told_apart(void **state)
{
    struct fixture *f = *state;
    struct session session = {.user = acl_default_user(f->acl)};
    assert_string_equal(set_user(f, "u", ">one >two"), "");
    assert_false(acl_log_in(f->acl, &session, bytes_text("u"), bytes_text("one"))); /* off */
    assert_string_equal(set_user(f, "u", "on"), "");
    assert_true(acl_log_in(f->acl, &session, bytes_text("u"), bytes_text("one")));
    assert_ptr_equal(session.user, find(f, "u"));
    assert_true(acl_log_in(f->acl, &session, bytes_text("u"), bytes_text("two")));
    static const char *const wrong[] = {"", "on", "onee", "One", "onetwo"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(acl_log_in(f->acl, &session, bytes_text("u"), bytes_text(wrong[i])));
    assert_string_equal(set_user(f, "u", "<one"), "");
    assert_false(acl_log_in(f->acl, &session, bytes_text("u"), bytes_text("one")));
    assert_string_equal(set_user(f, "u", "resetpass"), "");
    assert_false(acl_log_in(f->acl, &session, bytes_text("u"), bytes_text("two")));
    assert_string_equal(set_user(f, "u", "nopass"), "");
    assert_true(acl_log_in(f->acl, &session, bytes_text("u"), bytes_text("")));
    assert_false(acl_log_in(f->acl, &session, bytes_text("nobody"), bytes_text("")));
}

/* ---- The file. */

static void write_file(struct fixture *f, const char *text)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/users", f->dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    mem_free(f->services.config->aclfile);
    f->services.config->aclfile = mem_strdup(path);
}

static void file_is_read_and_written_back(void **state)
{
    struct fixture *f = *state;
    struct buf error = {0};
    write_file(
        f, "\n user a on >pw ~a* (+get  ~b*) \r\n\n\tuser b +@all\nuser default on nopass +get");
    assert_true(acl_load_file(f->acl, NULL, &error));
    assert_int_equal(acl_count(f->acl), 3);
    assert_described(acl_default_user(f->acl),
                     "on nopass sanitize-payload resetchannels -@all +get");
    assert_false(acl_default_user(f->acl)->unrestricted);
    assert_true(acl_save_file(f->acl));
    assert_true(acl_load_file(f->acl, NULL, &error));
    assert_described(find(f, "a"),
                     "on sanitize-payload "
                     "#30c952fab122c3f9759f02a6d95c3758b246b4fee239957b2d4fee46e26170c4 ~a* "
                     "resetchannels -@all (~b* resetchannels -@all +get)");
    assert_described(find(f, "b"), "off sanitize-payload resetchannels +@all");
    assert_int_equal(error.len, 0);
    write_file(f, "");
    assert_true(acl_load_file(f->acl, NULL, &error));
    assert_int_equal(acl_count(f->acl), 1);
    assert_true(acl_default_user(f->acl)->unrestricted);
}

static void broken_file_changes_nothing(void **state)
{
    struct fixture *f = *state;
    static const char *const broken[] = {
        "user a on\nuser a off", "users a",      "user",         "# user a",     "user a +nosuch",
        "user a on\nx",          "user a (+get", "user a\tb on", "user a ~* ~b",
    };
    assert_string_equal(set_user(f, "a", "on +get"), "");
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        struct buf error = {0};
        write_file(f, broken[i]);
        if (acl_load_file(f->acl, NULL, &error))
            fail_msg("'%s' was taken", broken[i]);
        assert_true(error.len != 0);
        buf_deinit(&error);
        assert_int_equal(acl_count(f->acl), 2);
        assert_described(find(f, "a"), "on sanitize-payload resetchannels -@all +get");
    }
    struct err err;
    assert_int_equal(acl_load_configured(f->acl, &err), ST_INVALID);
}

/* ---- The log. */

static void add(struct acl_log *log, const char *object, int64_t now_ms)
{
    struct acl_denial denial = {.reason = ACL_DENIED_KEY,
                                .object = bytes_text(object),
                                .user = bytes_text("u"),
                                .client_info = bytes_text("info"),
                                .now_ms = now_ms};
    acl_log_add(log, &denial, 3);
}

static void like_denials_are_one_entry_for_a_minute(void **state)
{
    struct fixture *f = *state;
    struct acl_log *log = acl_log_of(f->acl);
    add(log, "a", 1000);
    add(log, "b", 2000);
    add(log, "a", 61000);
    assert_int_equal(acl_log_count(log), 2);
    assert_int_equal(acl_log_first(log)->count, 2);
    assert_int_equal(acl_log_first(log)->created_at_ms, 1000);
    assert_int_equal(acl_log_first(log)->updated_at_ms, 61000);
    assert_int_equal(acl_log_first(log)->older->id, 1);
    add(log, "a", 121001);
    assert_int_equal(acl_log_count(log), 3);
    add(log, "c", 121001);
    assert_int_equal(acl_log_count(log), 3);
    assert_bytes(acl_log_first(log)->object, bytes_text("c"));
    char name[4096];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    add(log, name, 121001);
    assert_int_equal(acl_log_first(log)->object.len, 1024);
    add(log, name, 121001);
    assert_int_equal(acl_log_first(log)->count, 2);
    acl_log_clear(log);
    assert_null(acl_log_first(log));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(rules_make_the_permissions_that_they_say, set_up, tear_down),
        TEST_WITH(who_may_do_everything_is_not_asked, set_up, tear_down),
        TEST_WITH(refused_rules_change_nothing, set_up, tear_down),
        TEST_WITH(description_makes_the_same_user, set_up, tear_down),
        TEST_WITH(passwords_are_told_apart, set_up, tear_down),
        TEST_WITH(file_is_read_and_written_back, set_up, tear_down),
        TEST_WITH(broken_file_changes_nothing, set_up, tear_down),
        TEST_WITH(like_denials_are_one_entry_for_a_minute, set_up, tear_down),
    };
    return RUN_TESTS("acl", tests);
}
