/* The journal's record of a unit: its effects as RESP commands, those of nested commands among
 * them, in the order in which they came about. Several are wrapped in MULTI and EXEC, so that a
 * replica applies all or none of them; a block of the journal never ends inside, so neither does a
 * crash. */
#include "server/exec_internal.h"

#include "codec/check.h"
#include "codec/number.h"
#include "storage/journal.h"

#include <stdarg.h>

#define EFFECT_ARGS_MAX        16
#define EFFECTS_KEPT_BYTES_MAX ((size_t)1 << 20) /* a longer group's memory is given back */

/* In front of each effect in exec->effects. */
struct effect_head {
    size_t len; /* of the RESP bytes behind it */
    uint32_t db;
};

static size_t head_bytes_max(void)
{
    return NUMBER_I64_CHARS_MAX + 3;
}

static uint8_t *write_head(uint8_t *out, char kind, size_t value)
{
    *out++ = (uint8_t)kind;
    char digits[NUMBER_I64_CHARS_MAX];
    size_t len = number_format_i64((int64_t)value, digits);
    memcpy(out, digits, len);
    out += len;
    *out++ = '\r';
    *out++ = '\n';
    return out;
}

static size_t command_bytes_max(int argc, const struct bytes *argv)
{
    size_t bytes = head_bytes_max();
    for (int i = 0; i < argc; i++)
        bytes += head_bytes_max() + argv[i].len + 2;
    return bytes;
}

static size_t write_command(uint8_t *out, int argc, const struct bytes *argv)
{
    uint8_t *at = write_head(out, '*', (size_t)argc);
    for (int i = 0; i < argc; i++) {
        at = write_head(at, '$', argv[i].len);
        if (argv[i].len != 0)
            memcpy(at, argv[i].data, argv[i].len);
        at += argv[i].len;
        *at++ = '\r';
        *at++ = '\n';
    }
    return (size_t)(at - out);
}

/* Room for an effect of up to `bytes_max` bytes; end_effect says how many they are. */
static uint8_t *add_effect(struct exec *exec, uint32_t db, size_t bytes_max)
{
    struct effect_head head = {.db = db};
    uint8_t *room = buf_reserve(&exec->effects, sizeof(head) + bytes_max);
    memcpy(room, &head, sizeof(head));
    return room + sizeof(head);
}

static void end_effect(struct exec *exec, size_t len)
{
    struct effect_head head;
    uint8_t *place = exec->effects.data + exec->effects.len;
    memcpy(&head, place, sizeof(head));
    head.len = len;
    memcpy(place, &head, sizeof(head));
    exec->effects.len += sizeof(head) + len;
    exec->effect_count++;
}

void exec_add_effect(struct exec *exec, uint32_t db, int argc, const struct bytes *argv)
{
    uint8_t *room = add_effect(exec, db, command_bytes_max(argc, argv));
    end_effect(exec, write_command(room, argc, argv));
}

void exec_stage_command(struct exec *exec, uint32_t db, int argc, const struct bytes *argv)
{
    if (exec->unit != NULL) {
        exec_add_effect(exec, db, argc, argv);
        return;
    }
    uint8_t *room = journal_reserve(exec->journal, db, command_bytes_max(argc, argv));
    journal_commit(exec->journal, write_command(room, argc, argv));
}

/* Whether the request itself is (the last part of) the effect. */
static bool request_is_effect(const struct call *c)
{
    return c->changes != 0 && !c->effect_custom && !c->effect_none;
}

static void add_request(struct call *c)
{
    if (c->raw.len == 0) {
        exec_add_effect(c->exec, c->session->db, c->argc, c->argv);
        return;
    }
    memcpy(add_effect(c->exec, c->session->db, c->raw.len), c->raw.data, c->raw.len);
    end_effect(c->exec, c->raw.len);
}

static void stage_request(struct call *c)
{
    struct journal *journal = c->exec->journal;
    if (c->raw.len != 0) {
        journal_stage_bytes(journal, c->session->db, c->raw);
        return;
    }
    uint8_t *room = journal_reserve(journal, c->session->db, command_bytes_max(c->argc, c->argv));
    journal_commit(journal, write_command(room, c->argc, c->argv));
}

/* MULTI and EXEC stand outside of any database: a SELECT comes where the first effect needs one, as
 * Redis has it. What a SCAN or RANDOMKEY has deleted on its way belongs to nothing together. */
static void stage_group(struct exec *exec, const struct command *command)
{
    bool several = exec->effect_count > 1 && (command->flags & CMD_TOUCHES_ARBITRARY_KEYS) == 0;
    if (several)
        journal_stage_raw(exec->journal, bytes_text("*1\r\n$5\r\nMULTI\r\n"));
    for (size_t at = 0; at < exec->effects.len;) {
        struct effect_head head;
        memcpy(&head, exec->effects.data + at, sizeof(head));
        at += sizeof(head);
        journal_stage_bytes(exec->journal, head.db, bytes_make(exec->effects.data + at, head.len));
        at += head.len;
    }
    if (several)
        journal_stage_raw(exec->journal, bytes_text("*1\r\n$4\r\nEXEC\r\n"));
}

static void forget_effects(struct exec *exec)
{
    buf_clear(&exec->effects);
    if (exec->effects.capacity > EFFECTS_KEPT_BYTES_MAX)
        buf_deinit(&exec->effects);
    exec->effect_count = 0;
}

void exec_collect_effects(struct call *c)
{
    if (request_is_effect(c))
        add_request(c);
}

void exec_stage_effects(struct call *c)
{
    struct exec *exec = c->exec;
    bool request = request_is_effect(c);
    if (__builtin_expect(exec->effect_count == 0, 1)) {
        if (!request || (c->session->flags & SESSION_REPLAY) != 0)
            return;
        stage_request(c);
    } else {
        if ((c->session->flags & SESSION_REPLAY) == 0) {
            if (request)
                add_request(c);
            stage_group(exec, c->command);
        }
        forget_effects(exec);
    }
    exec->write_offset = journal_end(exec->journal);
    c->session->write_offset = exec->write_offset;
}

void call_effect_db(struct call *c, uint32_t db, int argc, const struct bytes *argv)
{
    CHECK(!c->effect_none);
    c->effect_custom = true;
    exec_add_effect(c->exec, db, argc, argv);
}

void call_effect(struct call *c, int argc, const struct bytes *argv)
{
    call_effect_db(c, c->session->db, argc, argv);
}

void call_effect_format(struct call *c, const char *format, ...)
{
    struct bytes argv[EFFECT_ARGS_MAX];
    char numbers[EFFECT_ARGS_MAX][NUMBER_I64_CHARS_MAX];
    int argc = 0;
    va_list args;
    va_start(args, format);
    for (const char *letter = format; *letter != '\0'; letter++, argc++) {
        CHECK(argc < EFFECT_ARGS_MAX);
        if (*letter == 's') {
            argv[argc] = bytes_text(va_arg(args, const char *));
        } else if (*letter == 'b') {
            argv[argc] = *va_arg(args, const struct bytes *);
        } else {
            CHECK(*letter == 'i');
            argv[argc] =
                bytes_make(numbers[argc], number_format_i64(va_arg(args, int64_t), numbers[argc]));
        }
    }
    va_end(args);
    call_effect(c, argc, argv);
}

void call_no_effect(struct call *c)
{
    CHECK(!c->effect_custom);
    c->effect_none = true;
}
