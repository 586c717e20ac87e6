/* The journal's record of a command: its effect as RESP commands. Several effects of one command
 * are wrapped in MULTI and EXEC, so that a crash or a replica has all or none of them. */
#include "server/exec_internal.h"

#include "codec/check.h"
#include "codec/number.h"
#include "storage/journal.h"

#include <stdarg.h>

#define EFFECT_ARGS_MAX 16

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

void exec_stage_command(struct exec *exec, uint32_t db, int argc, const struct bytes *argv)
{
    uint8_t *room = journal_reserve(exec->journal, db, command_bytes_max(argc, argv));
    journal_commit(exec->journal, write_command(room, argc, argv));
}

void exec_add_effect(struct exec *exec, uint32_t db, int argc, const struct bytes *argv)
{
    uint32_t head[2] = {db, 0};
    uint8_t *room = buf_reserve(&exec->effects, sizeof(head) + command_bytes_max(argc, argv));
    size_t len = write_command(room + sizeof(head), argc, argv);
    CHECK(len <= UINT32_MAX);
    head[1] = (uint32_t)len;
    memcpy(room, head, sizeof(head));
    exec->effects.len += sizeof(head) + len;
    exec->effect_count++;
}

static void stage_text(struct exec *exec, uint32_t db, const char *text)
{
    journal_stage_bytes(exec->journal, db, bytes_text(text));
}

static void stage_custom(struct exec *exec, uint32_t session_db)
{
    bool group = exec->effect_count > 1;
    if (group)
        stage_text(exec, session_db, "*1\r\n$5\r\nMULTI\r\n");
    uint32_t db = session_db;
    for (size_t at = 0; at < exec->effects.len;) {
        uint32_t head[2];
        memcpy(head, exec->effects.data + at, sizeof(head));
        at += sizeof(head);
        db = head[0];
        journal_stage_bytes(exec->journal, db, bytes_make(exec->effects.data + at, head[1]));
        at += head[1];
    }
    if (group)
        stage_text(exec, db, "*1\r\n$4\r\nEXEC\r\n");
}

void exec_stage_effects(struct call *c)
{
    struct exec *exec = c->exec;
    if ((c->session->flags & SESSION_REPLAY) == 0 && !c->effect_none) {
        if (c->effect_custom) {
            stage_custom(exec, c->session->db);
            c->session->write_offset = journal_end(exec->journal);
        } else if (c->changes != 0) {
            if (c->raw.len != 0) {
                uint8_t *room = journal_reserve(exec->journal, c->session->db, c->raw.len);
                memcpy(room, c->raw.data, c->raw.len);
                journal_commit(exec->journal, c->raw.len);
            } else {
                exec_stage_command(exec, c->session->db, c->argc, c->argv);
            }
            c->session->write_offset = journal_end(exec->journal);
        }
    }
    if (exec->effect_count != 0) {
        buf_clear(&exec->effects);
        if (exec->effects.capacity > (1 << 20))
            buf_deinit(&exec->effects);
        exec->effect_count = 0;
    }
}

void call_effect_db(struct call *c, uint32_t db, int argc, const struct bytes *argv)
{
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
    c->effect_none = true;
}
