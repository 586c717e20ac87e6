/* Goal: libraries come and go whole, and a damaged dump changes nothing. Method: the registry on an
 * interpreter without a server; the dumps are cut off and changed at each byte. */
#include "server/functions.h"

#include "codec/checksum.h"
#include "codec/endian.h"
#include "tests/unit/script_fixture.h"

#include <stdio.h>

#define FOOTER_BYTES 10

struct log {
    struct script_fixture script;
    struct functions *functions;
    struct buf changes; /* "+name" and "-name" */
    struct buf error;
};

static void note(void *arg, const struct library *library, bool comes)
{
    buf_append_format(arg, "%c%s ", comes ? '+' : '-', library->name);
}

static void open_log(struct log *log)
{
    *log = (struct log){.functions = NULL};
    fixture_open(&log->script, true);
    log->functions = functions_create(log->script.lua, 1);
    functions_on_changed(log->functions, note, &log->changes);
}

static void close_log(struct log *log)
{
    functions_destroy(log->functions);
    fixture_close(&log->script);
    buf_deinit(&log->changes);
    buf_deinit(&log->error);
}

/* Expects the changes since the last time. */
static void expect_changes(struct log *log, const char *changes)
{
    assert_bytes(buf_bytes(&log->changes), bytes_text(changes));
    buf_clear(&log->changes);
}

/* A library whose function of each of `names` returns `value`. */
static const struct library *load(struct log *log, const char *library, const char *const *names,
                                  int value, bool replace)
{
    struct buf code = {0};
    buf_append_format(&code, "#!lua name=%s\n", library);
    for (; *names != NULL; names++)
        buf_append_format(&code, "redis.register_function('%s', function() return %d end)\n",
                          *names, value);
    buf_clear(&log->error);
    const struct library *loaded =
        functions_load(log->functions, buf_bytes(&code), replace, &log->error);
    buf_deinit(&code);
    return loaded;
}

static void check_value(struct log *log, const char *name, int value)
{
    char reply[32];
    const struct function *function = functions_find(log->functions, bytes_text(name));
    assert_non_null(function);
    (void)snprintf(reply, sizeof(reply), ":%d\r\n", value);
    assert_string_equal(fixture_run_reference(&log->script, function->reference), reply);
}

static const char *const ab[] = {"a", "b", NULL};
static const char *const bc[] = {"b", "c", NULL};
static const char *const cd[] = {"c", "d", NULL};

static void libraries_come_and_go_whole(void **state)
{
    (void)state;
    struct log log;
    open_log(&log);
    assert_non_null(load(&log, "first", ab, 1, false));
    assert_non_null(load(&log, "second", cd, 2, false));
    expect_changes(&log, "+first +second ");
    assert_int_equal(functions_count(log.functions), 4);
    check_value(&log, "A", 1);
    check_value(&log, "d", 2);

    /* A collision keeps both as they are. */
    assert_null(load(&log, "third", bc, 3, false));
    assert_bytes(buf_bytes(&log.error), bytes_text("Function b already exists"));
    assert_null(load(&log, "first", bc, 3, true));
    assert_bytes(buf_bytes(&log.error), bytes_text("Function c already exists"));
    assert_null(load(&log, "first", ab, 3, false));
    assert_bytes(buf_bytes(&log.error), bytes_text("Library 'first' already exists"));
    expect_changes(&log, "");
    check_value(&log, "b", 1);

    assert_non_null(load(&log, "second", bc + 1, 4, true));
    expect_changes(&log, "-second +second ");
    check_value(&log, "c", 4);
    assert_null(functions_find(log.functions, bytes_text("d")));
    assert_true(functions_delete(log.functions, bytes_text("first")));
    assert_false(functions_delete(log.functions, bytes_text("first")));
    assert_false(functions_delete(log.functions, bytes_text("SECOND")));
    expect_changes(&log, "-first ");
    functions_clear(log.functions);
    expect_changes(&log, "-second ");
    assert_int_equal(functions_count(log.functions), 0);
    close_log(&log);
}

static void memory_of_libraries_is_given_back(void **state)
{
    (void)state;
    struct log log;
    open_log(&log);
    size_t registry = 0;
    size_t interpreter = 0;
    for (int i = 0; i < 200; i++) {
        assert_non_null(load(&log, "first", ab, i, true));
        assert_null(load(&log, "second", bc, i, false));
        script_lua_collect(log.script.lua);
        if (i == 10) {
            registry = functions_bytes(log.functions);
            interpreter = script_lua_bytes(log.script.lua);
        }
    }
    assert_in_range(functions_bytes(log.functions), registry - 64, registry + 64);
    assert_true(script_lua_bytes(log.script.lua) <= interpreter + 1024);
    close_log(&log);
}

static void code_that_takes_too_long_is_stopped(void **state)
{
    (void)state;
    struct log log;
    open_log(&log);
    log.script.interrupts_max = 3;
    assert_null(functions_load(log.functions,
                               bytes_text("#!lua name=x\nwhile true do pcall(redis.log, 1, 1) end"),
                               false, &log.error));
    assert_non_null(strstr((const char *)log.error.data, "pcall"));
    buf_clear(&log.error);
    assert_null(functions_load(log.functions, bytes_text("#!lua name=x\nwhile true do end"), false,
                               &log.error));
    assert_bytes(buf_bytes(&log.error),
                 bytes_text("Error registering functions: ERR FUNCTION LOAD timeout"));
    log.script.interrupts_max = 1000;
    log.script.interrupts = 0;
    assert_non_null(load(&log, "x", ab, 1, false));
    close_log(&log);
}

/* A payload of a library each of `names`. */
static void make_dump(struct log *log, const char *const *libraries,
                      const char *const *const *names, struct buf *out)
{
    functions_clear(log->functions);
    for (int i = 0; libraries[i] != NULL; i++)
        assert_non_null(load(log, libraries[i], names[i], 10 + i, false));
    functions_dump(log->functions, true, out);
    functions_clear(log->functions);
    buf_clear(&log->changes);
}

static bool restore(struct log *log, const struct buf *dump, enum functions_policy policy)
{
    buf_clear(&log->error);
    return functions_restore(log->functions, buf_bytes(dump), policy, &log->error);
}

static void dumps_are_restored_whole(void **state)
{
    (void)state;
    static const char *const libraries[] = {"first", "second", NULL};
    static const char *const *const names[] = {ab, cd};
    struct log log;
    struct buf dump = {0};
    open_log(&log);
    make_dump(&log, libraries, names, &dump);
    assert_true(restore(&log, &dump, FUNCTIONS_APPEND));
    expect_changes(&log, "+first +second ");
    check_value(&log, "a", 10);
    check_value(&log, "d", 11);
    assert_false(restore(&log, &dump, FUNCTIONS_APPEND));
    assert_bytes(buf_bytes(&log.error), bytes_text("Library first already exists"));
    expect_changes(&log, "");

    /* Functions that change their library with it. */
    functions_clear(log.functions);
    assert_non_null(load(&log, "first", cd, 1, false));
    assert_non_null(load(&log, "second", ab, 2, false));
    buf_clear(&log.changes);
    assert_true(restore(&log, &dump, FUNCTIONS_REPLACE));
    expect_changes(&log, "-first -second +first +second ");
    check_value(&log, "a", 10);
    check_value(&log, "c", 11);

    /* One that a library has which stays. */
    functions_clear(log.functions);
    assert_non_null(load(&log, "third", cd, 3, false));
    assert_non_null(load(&log, "first", ab, 1, false));
    buf_clear(&log.changes);
    assert_false(restore(&log, &dump, FUNCTIONS_REPLACE));
    assert_bytes(buf_bytes(&log.error), bytes_text("Function c already exists"));
    expect_changes(&log, "");
    check_value(&log, "a", 1);
    assert_true(restore(&log, &dump, FUNCTIONS_FLUSH));
    expect_changes(&log, "-third -first +first +second ");
    check_value(&log, "a", 10);
    buf_deinit(&dump);
    close_log(&log);
}

/* Makes the payload's checksum right again. */
static void seal(struct buf *dump)
{
    size_t body = dump->len - 8;
    store_le64(dump->data + body, crc64(0, dump->data, body));
}

static void damaged_dumps_change_nothing(void **state)
{
    (void)state;
    static const char *const libraries[] = {"first", "second", NULL};
    static const char *const *const names[] = {ab, cd};
    static const char *const kept[] = {"kept", NULL};
    struct log log;
    struct buf dump = {0};
    open_log(&log);
    make_dump(&log, libraries, names, &dump);
    assert_non_null(load(&log, "mine", kept, 5, false));
    buf_clear(&log.changes);
    for (size_t len = 0; len < dump.len; len++) {
        struct buf cut = {0};
        buf_append(&cut, dump.data, len);
        assert_false(restore(&log, &cut, FUNCTIONS_FLUSH));
        if (len >= FOOTER_BYTES) {
            seal(&cut);
            bool restored = restore(&log, &cut, FUNCTIONS_FLUSH);
            assert_false(restored);
        }
        buf_deinit(&cut);
    }
    expect_changes(&log, "");
    for (size_t i = 0; i < dump.len; i++) {
        uint8_t byte = dump.data[i];
        dump.data[i] ^= 0x5a;
        assert_false(restore(&log, &dump, FUNCTIONS_FLUSH));
        dump.data[i] = byte;
    }
    expect_changes(&log, "");
    /* With the checksum made right again it is refused or loaded, whole in any case. */
    for (size_t i = 0; i + FOOTER_BYTES < dump.len; i++) {
        uint8_t byte = dump.data[i];
        dump.data[i] ^= 1;
        seal(&dump);
        bool restored = restore(&log, &dump, FUNCTIONS_FLUSH);
        assert_true(restored || log.error.len != 0);
        assert_true(functions_library_count(log.functions) <= 2);
        dump.data[i] = byte;
    }
    /* An end of its own, with more behind it; a version that is not known. */
    struct buf forged = {0};
    buf_append_byte(&forged, 0xff);
    buf_append(&forged, "12345678901234567890", 20);
    seal(&forged);
    assert_false(restore(&log, &forged, FUNCTIONS_FLUSH));
    buf_clear(&forged);
    buf_append(&forged, "\xff\0\0\0\0\0\0\0\0\x0a\0________", 19);
    seal(&forged);
    assert_false(restore(&log, &forged, FUNCTIONS_FLUSH));
    buf_clear(&forged);
    buf_append(&forged, "\x0d\0________", 10);
    seal(&forged);
    assert_false(restore(&log, &forged, FUNCTIONS_FLUSH));
    buf_deinit(&forged);
    buf_deinit(&dump);
    close_log(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(libraries_come_and_go_whole),         TEST(memory_of_libraries_is_given_back),
        TEST(code_that_takes_too_long_is_stopped), TEST(dumps_are_restored_whole),
        TEST(damaged_dumps_change_nothing),
    };
    return RUN_TESTS("functions", tests);
}
