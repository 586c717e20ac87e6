/* An interpreter without a server: commands are answered by a table. For script_*_test.c. */
#ifndef BASALT_TESTS_UNIT_SCRIPT_FIXTURE_H
#define BASALT_TESTS_UNIT_SCRIPT_FIXTURE_H

#include "codec/mem.h"
#include "server/output.h"
#include "server/reply.h"
#include "server/script_lua.h"
#include "tests/support/harness.h"

/* What the host answers to a command of this name; NULL ends the list. */
struct fixture_command {
    const char *name;
    const char *resp; /* or, without one, */
    const char *refusal;
};

struct script_fixture {
    struct script_lua *lua;
    struct output output;
    struct reply reply;
    struct buf text; /* of the last reply, or error */
    const struct fixture_command *commands;
    struct buf called; /* the last command's arguments, with blanks between */
    int resp;          /* that it was called with */
    struct buf logged;
    int interrupts;
    int interrupts_max; /* then the script is killed */
    struct script_lua_result result;
};

static inline void fixture_call(void *arg, const struct bytes *argv, int argc, int resp,
                                struct script_answer *out)
{
    struct script_fixture *f = arg;
    buf_clear(&f->called);
    for (int i = 0; i < argc; i++) {
        if (i > 0)
            buf_append_byte(&f->called, ' ');
        buf_append_bytes(&f->called, argv[i]);
    }
    f->resp = resp;
    const struct fixture_command *command = f->commands;
    while (command != NULL && command->name != NULL && !bytes_equal_nocase(argv[0], command->name))
        command++;
    if (command == NULL || command->name == NULL)
        out->error = mem_strdup("ERR Unknown Redis command called from script");
    else if (command->resp == NULL)
        out->error = mem_strdup(command->refusal);
    else
        out->resp = bytes_text(command->resp);
}

static inline enum script_verdict fixture_interrupt(void *arg)
{
    struct script_fixture *f = arg;
    return ++f->interrupts >= f->interrupts_max ? SCRIPT_KILLED : SCRIPT_GO_ON;
}

static inline void fixture_log(void *arg, int level, struct bytes text)
{
    struct script_fixture *f = arg;
    buf_append_format(&f->logged, "%d:", level);
    buf_append_bytes(&f->logged, text);
}

static inline bool fixture_logs(void *arg, int level)
{
    (void)arg;
    return level > 0;
}

static inline int fixture_acl_check(void *arg, const struct bytes *argv, int argc)
{
    (void)arg;
    (void)argc;
    return bytes_equal_nocase(argv[0], "get") ? 1 : bytes_equal_nocase(argv[0], "set") ? 0 : -1;
}

#define FIXTURE_MEMORY_BYTES_MAX ((size_t)32 << 20)

static inline void fixture_open(struct script_fixture *f, bool functions)
{
    *f = (struct script_fixture){.interrupts_max = 1000};
    struct script_lua_options options = {
        .host = {.arg = f,
                 .call = fixture_call,
                 .interrupt = fixture_interrupt,
                 .log = fixture_log,
                 .logs = fixture_logs,
                 .acl_check = fixture_acl_check},
        .functions = functions,
        .memory_bytes_max = FIXTURE_MEMORY_BYTES_MAX,
    };
    f->lua = script_lua_create(&options);
    output_init(&f->output, NULL);
    f->reply = (struct reply){.out = &f->output, .resp = 2};
}

static inline void fixture_close(struct script_fixture *f)
{
    script_lua_destroy(f->lua);
    output_deinit(&f->output);
    buf_deinit(&f->text);
    buf_deinit(&f->called);
    buf_deinit(&f->logged);
}

/* The reply so far, as text. */
static inline const char *fixture_take_reply(struct script_fixture *f)
{
    struct bytes range;
    buf_clear(&f->text);
    while (output_peek(&f->output, &range, 1) == 1) {
        buf_append_bytes(&f->text, range);
        output_consume(&f->output, range.len);
    }
    buf_append_byte(&f->text, '\0');
    return (const char *)f->text.data;
}

/* Runs a compiled function with keys "k1", "k2" and the argument "a1". */
static inline const char *fixture_run_reference(struct script_fixture *f, int reference)
{
    const struct bytes keys[] = {bytes_text("k1"), bytes_text("k2")};
    const struct bytes args[] = {bytes_text("a1")};
    const struct script_lua_call call = {.reference = reference,
                                         .name = "sha",
                                         .keys = keys,
                                         .key_count = 2,
                                         .args = args,
                                         .arg_count = 1,
                                         .reply = &f->reply};
    f->result = script_lua_run(f->lua, &call);
    return fixture_take_reply(f);
}

/* Compiles and runs; the reply's bytes, or what the compiler said. */
static inline const char *fixture_run(struct script_fixture *f, const char *code)
{
    struct buf error = {0};
    int reference = script_lua_compile(f->lua, bytes_text(code), "@user_script", &error);
    if (reference == SCRIPT_LUA_NONE) {
        buf_clear(&f->text);
        buf_append_bytes(&f->text, buf_bytes(&error));
        buf_append_byte(&f->text, '\0');
        buf_deinit(&error);
        return (const char *)f->text.data;
    }
    const char *reply = fixture_run_reference(f, reference);
    script_lua_release(f->lua, reference);
    return reply;
}

struct script_case {
    const char *code;
    const char *reply;
};

/* Runs each case, and says which one fails. */
static inline void fixture_check(struct script_fixture *f, const struct script_case *cases,
                                 size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *reply = fixture_run(f, cases[i].code);
        if (strcmp(reply, cases[i].reply) != 0)
            fail_msg("case %zu: %s\n  answers  %s\n  and not  %s", i, cases[i].code, reply,
                     cases[i].reply);
    }
}

#define FIXTURE_CHECK(f, cases) fixture_check((f), (cases), sizeof(cases) / sizeof((cases)[0]))

#endif
