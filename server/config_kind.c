/* Kinds of settings with one plain value: truths, numbers, choices and texts. Messages and accepted
 * spellings are those of Redis 7.2. */
#include "codec/check.h"
#include "codec/mem.h"
#include "codec/number.h"
#include "codec/split_args.h"
#include "server/config_internal.h"

#include <string.h>

#define EQUAL_FUNCTION(name, type)                                                                 \
    static bool name(const void *a, const void *b)                                                 \
    {                                                                                              \
        return *(const type *)a == *(const type *)b;                                               \
    }

EQUAL_FUNCTION(equal_bool, bool)
EQUAL_FUNCTION(equal_int, int)
EQUAL_FUNCTION(equal_i64, int64_t)

static enum status run_check(const struct setting *setting, const void *value, struct err *err)
{
    return setting->check == NULL ? ST_OK : setting->check(value, err);
}

/* Truths */

static enum status parse_bool(const struct setting *setting, const struct config *config,
                              const struct bytes *args, size_t arg_count, void *value,
                              struct err *err)
{
    (void)config;
    CHECK(arg_count == 1);
    bool yes = bytes_equal_nocase(args[0], "yes");
    if (!yes && !bytes_equal_nocase(args[0], "no"))
        return err_set(err, ST_INVALID, "argument must be 'yes' or 'no'");
    *(bool *)value = yes;
    return run_check(setting, value, err);
}

static void format_bool(const struct setting *setting, const void *value, struct buf *out)
{
    (void)setting;
    buf_append_text(out, *(const bool *)value ? "yes" : "no");
}

/* Numbers. They are parsed into 64 bits, whose meaning, signed or not, follows from the setting. */

static bool is_unsigned(const struct setting *setting)
{
    return setting->kind == &config_kind_uint || setting->kind == &config_kind_u64;
}

static bool parse_octal(struct bytes text, int64_t *out)
{
    int64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '7' || value > INT32_MAX)
            return false;
        value = value * 8 + (text.data[i] - '0');
    }
    *out = value;
    return text.len > 0;
}

/* A percentage is stored as a negative number. */
static bool parse_percent(struct bytes text, int64_t *out)
{
    int64_t value;
    if (text.len < 2 || text.data[text.len - 1] != '%')
        return false;
    if (!number_parse_i64(bytes_make(text.data, text.len - 1), &value) || value < 0)
        return false;
    *out = -value;
    return true;
}

static enum status parse_digits(const struct setting *setting, struct bytes text, int64_t *out,
                                bool *too_large, struct err *err)
{
    bool memory = (setting->flags & SETTING_MEMORY) != 0;
    bool percent = (setting->flags & SETTING_PERCENT) != 0;
    uint64_t bytes;
    *too_large = false;
    if (memory && number_parse_memory(text, &bytes)) {
        *too_large = bytes > setting->max;
        *out = (int64_t)bytes;
        return ST_OK;
    }
    if (percent && parse_percent(text, out))
        return ST_OK;
    if (memory)
        return err_set(err, ST_INVALID, "argument must be a memory%s value",
                       percent ? " or percent" : "");
    if (setting->flags & SETTING_OCTAL) {
        if (parse_octal(text, out))
            return ST_OK;
        return err_set(err, ST_INVALID, "argument couldn't be parsed as an octal number");
    }
    if (number_parse_i64(text, out))
        return ST_OK;
    return err_set(err, ST_INVALID, "argument couldn't be parsed into an integer");
}

static enum status check_range(const struct setting *setting, int64_t number, bool too_large,
                               struct err *err)
{
    if (is_unsigned(setting)) {
        uint64_t value = (uint64_t)number;
        if (!too_large && value >= (uint64_t)setting->min && value <= setting->max)
            return ST_OK;
        if (setting->flags & SETTING_OCTAL)
            return err_set(err, ST_INVALID, "argument must be between %llo and %llo inclusive",
                           (unsigned long long)setting->min, (unsigned long long)setting->max);
        return err_set(err, ST_INVALID, "argument must be between %llu and %llu inclusive",
                       (unsigned long long)setting->min, (unsigned long long)setting->max);
    }
    CHECK(setting->max <= INT64_MAX);
    if ((setting->flags & SETTING_PERCENT) && !too_large && number < 0) {
        if (number >= setting->min)
            return ST_OK;
        return err_set(err, ST_INVALID, "percentage argument must be less or equal to %lld",
                       -(long long)setting->min);
    }
    if (!too_large && number >= setting->min && number <= (int64_t)setting->max)
        return ST_OK;
    return err_set(err, ST_INVALID, "argument must be between %lld and %lld inclusive",
                   (long long)setting->min, (long long)setting->max);
}

static enum status parse_number(const struct setting *setting, const struct config *config,
                                const struct bytes *args, size_t arg_count, void *value,
                                struct err *err)
{
    (void)config;
    CHECK(arg_count == 1);
    int64_t number;
    bool too_large;
    enum status st = parse_digits(setting, args[0], &number, &too_large, err);
    if (st == ST_OK)
        st = check_range(setting, number, too_large, err);
    if (st != ST_OK)
        return st;
    if (setting->flags & SETTING_CLAMPED) {
        number = number < setting->clamp_min ? setting->clamp_min : number;
        number = number > setting->clamp_max ? setting->clamp_max : number;
    }
    /* The range of the setting lies within that of its type: checked by the table's test. */
    if (setting->kind == &config_kind_int)
        *(int *)value = (int)number;
    else if (setting->kind == &config_kind_uint)
        *(unsigned *)value = (unsigned)number;
    else
        *(int64_t *)value = number;
    return run_check(setting, value, err);
}

static int64_t load_number(const struct setting *setting, const void *value)
{
    if (setting->kind == &config_kind_int)
        return *(const int *)value;
    if (setting->kind == &config_kind_uint)
        return *(const unsigned *)value;
    return *(const int64_t *)value;
}

static void format_number(const struct setting *setting, const void *value, struct buf *out)
{
    int64_t number = load_number(setting, value);
    if ((setting->flags & SETTING_PERCENT) && number < 0)
        buf_append_format(out, "%lld%%", -(long long)number);
    else if (setting->flags & SETTING_OCTAL)
        buf_append_format(out, "%llo", (unsigned long long)number);
    else if (is_unsigned(setting))
        buf_append_format(out, "%llu", (unsigned long long)number);
    else
        buf_append_format(out, "%lld", (long long)number);
}

/* With the largest unit that divides it. */
void config_append_memory(struct buf *out, uint64_t bytes)
{
    static const struct {
        const char *name;
        uint64_t bytes;
    } units[] = {{"gb", 1 << 30}, {"mb", 1 << 20}, {"kb", 1 << 10}, {"", 1}};
    size_t i = 0;
    while (bytes % units[i].bytes != 0)
        i++;
    if (bytes == 0)
        buf_append_byte(out, '0');
    else
        buf_append_format(out, "%llu%s", (unsigned long long)(bytes / units[i].bytes),
                          units[i].name);
}

static void rewrite_number(const struct setting *setting, const void *value, const void *fallback,
                           struct config_rewriter *rewriter)
{
    int64_t number = load_number(setting, value);
    bool percent = (setting->flags & SETTING_PERCENT) && number < 0;
    struct buf line = {0};
    buf_append_format(&line, "%s ", setting->name);
    if ((setting->flags & SETTING_MEMORY) && !percent)
        config_append_memory(&line, (uint64_t)number);
    else
        format_number(setting, value, &line);
    bool force = !setting->kind->equal(value, fallback);
    config_rewriter_line(rewriter, setting->name, buf_bytes(&line), force);
    buf_deinit(&line);
}

/* Choices, one or several */

static enum status choice_error(const struct setting *setting, struct err *err)
{
    struct buf names = {0};
    for (const struct setting_choice *c = setting->choices; c->name != NULL; c++) {
        if (names.len > 0)
            buf_append_text(&names, ", ");
        buf_append_text(&names, c->name);
    }
    enum status st = err_set(err, ST_INVALID, "argument(s) must be one of the following: %.*s",
                             (int)names.len, (const char *)names.data);
    buf_deinit(&names);
    return st;
}

static enum status parse_choice(const struct setting *setting, const struct config *config,
                                const struct bytes *args, size_t arg_count, void *value,
                                struct err *err)
{
    (void)config;
    int result = 0;
    if (arg_count == 0)
        return choice_error(setting, err);
    for (size_t i = 0; i < arg_count; i++) {
        const struct setting_choice *c = setting->choices;
        while (c->name != NULL && !bytes_equal_nocase(args[i], c->name))
            c++;
        if (c->name == NULL)
            return choice_error(setting, err);
        result |= c->value;
    }
    *(int *)value = result;
    return run_check(setting, value, err);
}

/* A value that has a name of its own is shown by it; else the names of its bits are, in their
 * order. */
static void format_choice(const struct setting *setting, const void *value, struct buf *out)
{
    int rest = *(const int *)value;
    for (const struct setting_choice *c = setting->choices; c->name != NULL; c++) {
        if (c->value == rest) {
            buf_append_text(out, c->name);
            return;
        }
    }
    const char *separator = "";
    for (const struct setting_choice *c = setting->choices; c->name != NULL; c++) {
        if (c->value == 0 || (rest & c->value) != c->value)
            continue;
        buf_append_format(out, "%s%s", separator, c->name);
        separator = " ";
        rest &= ~c->value;
    }
    CHECK(rest == 0);
}

/* Texts */

static enum status parse_text(const struct setting *setting, const struct config *config,
                              const struct bytes *args, size_t arg_count, void *value,
                              struct err *err)
{
    (void)config;
    CHECK(arg_count == 1);
    if (args[0].len > 0 && memchr(args[0].data, 0, args[0].len) != NULL)
        return err_set(err, ST_INVALID, "argument must not contain a zero byte");
    char *text = mem_alloc(args[0].len + 1);
    if (args[0].len > 0)
        memcpy(text, args[0].data, args[0].len);
    text[args[0].len] = '\0';
    enum status st = run_check(setting, &text, err);
    if (st != ST_OK) {
        mem_free(text);
        return st;
    }
    *(char **)value = text;
    return ST_OK;
}

static void format_text(const struct setting *setting, const void *value, struct buf *out)
{
    (void)setting;
    buf_append_text(out, *(char *const *)value);
}

static bool equal_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b) == 0;
}

static void destroy_text(void *value)
{
    mem_free(*(char **)value);
}

static void rewrite_quoted(const struct setting *setting, struct bytes text, bool force,
                           struct config_rewriter *rewriter)
{
    if (text.len == 0 && (setting->flags & SETTING_EMPTY_UNSET)) {
        config_rewriter_done(rewriter, setting->name);
        return;
    }
    struct buf line = {0};
    buf_append_format(&line, "%s ", setting->name);
    split_args_quote(&line, text);
    config_rewriter_line(rewriter, setting->name, buf_bytes(&line), force);
    buf_deinit(&line);
}

static void rewrite_text(const struct setting *setting, const void *value, const void *fallback,
                         struct config_rewriter *rewriter)
{
    rewrite_quoted(setting, bytes_text(*(char *const *)value), !equal_text(value, fallback),
                   rewriter);
}

/* Secrets, which may hold any byte */

static enum status parse_secret(const struct setting *setting, const struct config *config,
                                const struct bytes *args, size_t arg_count, void *value,
                                struct err *err)
{
    (void)setting;
    (void)config;
    (void)err;
    CHECK(arg_count == 1);
    uint8_t *data = mem_alloc(args[0].len + 1);
    if (args[0].len > 0)
        memcpy(data, args[0].data, args[0].len);
    data[args[0].len] = '\0';
    *(struct bytes *)value = bytes_make(data, args[0].len);
    return ST_OK;
}

static void format_secret(const struct setting *setting, const void *value, struct buf *out)
{
    (void)setting;
    buf_append_bytes(out, *(const struct bytes *)value);
}

static bool equal_secret(const void *a, const void *b)
{
    return bytes_equal(*(const struct bytes *)a, *(const struct bytes *)b);
}

/* The old secret is wiped before its memory goes back. */
static void destroy_secret(void *value)
{
    struct bytes *secret = value;
    uint8_t *data = (uint8_t *)(uintptr_t)secret->data;
    if (data != NULL)
        explicit_bzero(data, secret->len);
    mem_free(data);
}

static void rewrite_secret(const struct setting *setting, const void *value, const void *fallback,
                           struct config_rewriter *rewriter)
{
    rewrite_quoted(setting, *(const struct bytes *)value, !equal_secret(value, fallback), rewriter);
}

const struct config_kind config_kind_bool = {
    .size = sizeof(bool), .parse = parse_bool, .format = format_bool, .equal = equal_bool};
const struct config_kind config_kind_int = {.size = sizeof(int),
                                            .parse = parse_number,
                                            .format = format_number,
                                            .equal = equal_int,
                                            .rewrite = rewrite_number};
const struct config_kind config_kind_uint = {.size = sizeof(unsigned),
                                             .parse = parse_number,
                                             .format = format_number,
                                             .equal = equal_int,
                                             .rewrite = rewrite_number};
const struct config_kind config_kind_i64 = {.size = sizeof(int64_t),
                                            .parse = parse_number,
                                            .format = format_number,
                                            .equal = equal_i64,
                                            .rewrite = rewrite_number};
const struct config_kind config_kind_u64 = {.size = sizeof(uint64_t),
                                            .parse = parse_number,
                                            .format = format_number,
                                            .equal = equal_i64,
                                            .rewrite = rewrite_number};
const struct config_kind config_kind_choice = {
    .size = sizeof(int), .parse = parse_choice, .format = format_choice, .equal = equal_int};
const struct config_kind config_kind_flags = {.size = sizeof(int),
                                              .many_args = true,
                                              .parse = parse_choice,
                                              .format = format_choice,
                                              .equal = equal_int};
const struct config_kind config_kind_text = {.size = sizeof(char *),
                                             .parse = parse_text,
                                             .format = format_text,
                                             .equal = equal_text,
                                             .destroy = destroy_text,
                                             .rewrite = rewrite_text};
const struct config_kind config_kind_secret = {.size = sizeof(struct bytes),
                                               .parse = parse_secret,
                                               .format = format_secret,
                                               .equal = equal_secret,
                                               .destroy = destroy_secret,
                                               .rewrite = rewrite_secret};
