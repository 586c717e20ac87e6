/* Goal: first lines of scripts and libraries are read as Redis 7.2 reads them. Method: tables. */
#include "server/script_flags.h"

#include "tests/support/harness.h"

static void first_lines_of_scripts_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        uint32_t flags;
        size_t line_len;
        const char *error;
    } cases[] = {
        {"return 1", SCRIPT_FLAG_COMPAT, 0, NULL},
        {"", SCRIPT_FLAG_COMPAT, 0, NULL},
        {"#", SCRIPT_FLAG_COMPAT, 0, NULL},
        {"#!lua\nreturn 1", 0, 5, NULL},
        {"#!lua flags=\nreturn 1", 0, 12, NULL},
        {"#!lua flags=no-writes\n", SCRIPT_FLAG_NO_WRITES, 21, NULL},
        {"#!lua flags=allow-oom,allow-stale\n", SCRIPT_FLAG_ALLOW_OOM | SCRIPT_FLAG_ALLOW_STALE, 33,
         NULL},
        {"#!lua flags=no-cluster flags=allow-cross-slot-keys\r\n",
         SCRIPT_FLAG_NO_CLUSTER | SCRIPT_FLAG_ALLOW_CROSS_SLOT, 51, NULL},
        {"#!lua 'flags=no-writes'\n", SCRIPT_FLAG_NO_WRITES, 23, NULL},
        {"#!lua", 0, 0, "Invalid script shebang"},
        {"#!lua flags=\"x\n", 0, 0, "Invalid engine in script shebang"},
        {"#!\n", 0, 0, "Unexpected engine in script shebang: #!"},
        {"#!not-lua\n", 0, 0, "Unexpected engine in script shebang: #!not-lua"},
        {"#!LUA\n", 0, 0, "Unexpected engine in script shebang: #!LUA"},
        {"#!lua name=x\n", 0, 0, "Unknown lua shebang option: name=x"},
        {"#!lua badger\n", 0, 0, "Unknown lua shebang option: badger"},
        {"#!lua flags=x\n", 0, 0, "Unexpected flag in script shebang: x"},
        {"#!lua flags=no-writes,\n", 0, 0, "Unexpected flag in script shebang: "},
        {"#!lua flags=no-writes,NO-WRITES\n", 0, 0, "Unexpected flag in script shebang: NO-WRITES"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf error = {0};
        uint32_t flags = 0;
        size_t line_len = 0;
        bool valid = script_read_shebang(bytes_text(cases[i].body), &flags, &line_len, &error);
        assert_int_equal(valid, cases[i].error == NULL);
        if (valid) {
            assert_int_equal(flags, cases[i].flags);
            assert_int_equal(line_len, cases[i].line_len);
        } else {
            assert_bytes(buf_bytes(&error), bytes_text(cases[i].error));
        }
        buf_deinit(&error);
    }
}

static void first_lines_of_libraries_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        const char *engine;
        const char *name;
        const char *error;
    } cases[] = {
        {"#!lua name=lib\nx", "lua", "lib", NULL},
        {"#!LUA NAME=lib\nx", "LUA", "lib", NULL},
        {"#!lua 'name=a b'\n", "lua", "a b", NULL},
        {"#!lua name=\n", "lua", "", NULL},
        {"return 1", NULL, NULL, "Missing library metadata"},
        {"", NULL, NULL, "Missing library metadata"},
        {"#!lua name=lib", NULL, NULL, "Invalid library metadata"},
        {"#!lua name='lib\n", NULL, NULL, "Invalid library metadata"},
        {"#!lua\n", NULL, NULL, "Library name was not given"},
        {"#!lua name=a name=b\n", NULL, NULL,
         "Invalid metadata value, name argument was given multiple times"},
        {"#!lua name=a foo=bar\n", NULL, NULL, "Invalid metadata value given: foo=bar"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf error = {0};
        struct script_library_line line = {.line_len = 0};
        bool valid = script_read_library_line(bytes_text(cases[i].code), &line, &error);
        assert_int_equal(valid, cases[i].error == NULL);
        if (valid) {
            assert_bytes(buf_bytes(&line.engine), bytes_text(cases[i].engine));
            assert_bytes(buf_bytes(&line.name), bytes_text(cases[i].name));
        } else {
            assert_bytes(buf_bytes(&error), bytes_text(cases[i].error));
        }
        script_library_line_deinit(&line);
        buf_deinit(&error);
    }
}

static void names_have_letters_digits_and_underscores(void **state)
{
    (void)state;
    assert_true(script_name_is_valid(bytes_text("a_Z9")));
    assert_false(script_name_is_valid(bytes_text("")));
    assert_false(script_name_is_valid(bytes_text("a-b")));
    assert_false(script_name_is_valid(bytes_text("a b")));
    assert_false(script_name_is_valid(bytes_make("a\0", 2)));
}

static void flags_have_names(void **state)
{
    (void)state;
    uint32_t all = 0;
    for (int i = 0; script_flag_name(i) != NULL; i++) {
        uint32_t flag = script_flag_find(bytes_text(script_flag_name(i)));
        assert_int_not_equal(flag, 0);
        assert_int_equal(all & flag, 0);
        all |= flag;
    }
    assert_int_equal(all, SCRIPT_FLAG_COMPAT - 1);
    assert_int_equal(script_flag_find(bytes_text("No-Writes")), 0);
    assert_int_equal(script_flag_find_nocase(bytes_text("No-Writes")), SCRIPT_FLAG_NO_WRITES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(first_lines_of_scripts_are_read),
        TEST(first_lines_of_libraries_are_read),
        TEST(names_have_letters_digits_and_underscores),
        TEST(flags_have_names),
    };
    return RUN_TESTS("script_flags", tests);
}
