#include "server/script_flags.h"

#include "codec/split_args.h"

static const struct {
    const char *name;
    uint32_t flag;
} flags[] = {
    {"no-writes", SCRIPT_FLAG_NO_WRITES},
    {"allow-oom", SCRIPT_FLAG_ALLOW_OOM},
    {"allow-stale", SCRIPT_FLAG_ALLOW_STALE},
    {"no-cluster", SCRIPT_FLAG_NO_CLUSTER},
    {"allow-cross-slot-keys", SCRIPT_FLAG_ALLOW_CROSS_SLOT},
};

#define FLAG_COUNT (sizeof flags / sizeof flags[0])

const char *script_flag_name(int i)
{
    return (size_t)i < FLAG_COUNT ? flags[i].name : NULL;
}

uint32_t script_flag_find(struct bytes name)
{
    for (size_t i = 0; i < FLAG_COUNT; i++)
        if (bytes_equal(name, bytes_text(flags[i].name)))
            return flags[i].flag;
    return 0;
}

uint32_t script_flag_find_nocase(struct bytes name)
{
    for (size_t i = 0; i < FLAG_COUNT; i++)
        if (bytes_equal_nocase(name, flags[i].name))
            return flags[i].flag;
    return 0;
}

static bool fail(struct buf *error, const char *text)
{
    buf_append_text(error, text);
    return false;
}

static bool fail_with(struct buf *error, const char *text, struct bytes what)
{
    buf_append_text(error, text);
    buf_append_bytes(error, what);
    return false;
}

static bool starts_with(struct bytes text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && memcmp(text.data, prefix, len) == 0;
}

static struct bytes without(struct bytes text, size_t len)
{
    return bytes_make(text.data + len, text.len - len);
}

/* The length of the first line without its end; false: it does not end. */
static bool first_line(struct bytes body, size_t *len_out)
{
    const uint8_t *end = memchr(body.data, '\n', body.len);
    if (end == NULL)
        return false;
    *len_out = (size_t)(end - body.data);
    return true;
}

static bool read_flags(struct bytes list, uint32_t *flags_out, struct buf *error)
{
    for (bool more = list.len != 0; more;) {
        const uint8_t *comma = memchr(list.data, ',', list.len);
        more = comma != NULL;
        struct bytes name = list;
        if (more)
            name.len = (size_t)(comma - list.data);
        uint32_t flag = script_flag_find(name);
        if (flag == 0)
            return fail_with(error, "Unexpected flag in script shebang: ", name);
        *flags_out |= flag;
        if (more)
            list = without(list, name.len + 1);
    }
    return true;
}

static bool read_shebang_parts(const struct split_args *parts, uint32_t *flags_out,
                               struct buf *error)
{
    if (parts->count == 0)
        return fail(error, "Invalid engine in script shebang");
    if (!bytes_equal(parts->items[0], bytes_text("#!lua")))
        return fail_with(error, "Unexpected engine in script shebang: ", parts->items[0]);
    for (size_t i = 1; i < parts->count; i++) {
        if (!starts_with(parts->items[i], "flags="))
            return fail_with(error, "Unknown lua shebang option: ", parts->items[i]);
        if (!read_flags(without(parts->items[i], 6), flags_out, error))
            return false;
    }
    return true;
}

bool script_read_shebang(struct bytes body, uint32_t *flags_out, size_t *line_len_out,
                         struct buf *error)
{
    *flags_out = SCRIPT_FLAG_COMPAT;
    *line_len_out = 0;
    if (!starts_with(body, "#!"))
        return true;
    if (!first_line(body, line_len_out))
        return fail(error, "Invalid script shebang");
    struct split_args parts;
    if (!split_args(bytes_make(body.data, *line_len_out), &parts))
        return fail(error, "Invalid engine in script shebang");
    *flags_out = 0;
    bool valid = read_shebang_parts(&parts, flags_out, error);
    split_args_deinit(&parts);
    return valid;
}

static bool read_library_parts(const struct split_args *parts, struct script_library_line *out,
                               struct buf *error)
{
    if (parts->count == 0)
        return fail(error, "Invalid library metadata");
    buf_append_bytes(&out->engine, without(parts->items[0], 2));
    bool named = false;
    for (size_t i = 1; i < parts->count; i++) {
        struct bytes part = parts->items[i];
        if (part.len < 5 || strncasecmp((const char *)part.data, "name=", 5) != 0)
            return fail_with(error, "Invalid metadata value given: ", part);
        if (named)
            return fail(error, "Invalid metadata value, name argument was given multiple times");
        named = true;
        buf_append_bytes(&out->name, without(part, 5));
    }
    return named || fail(error, "Library name was not given");
}

bool script_read_library_line(struct bytes code, struct script_library_line *out, struct buf *error)
{
    if (!starts_with(code, "#!"))
        return fail(error, "Missing library metadata");
    struct split_args parts;
    if (!first_line(code, &out->line_len) ||
        !split_args(bytes_make(code.data, out->line_len), &parts))
        return fail(error, "Invalid library metadata");
    bool valid = read_library_parts(&parts, out, error);
    split_args_deinit(&parts);
    return valid;
}

void script_library_line_deinit(struct script_library_line *line)
{
    buf_deinit(&line->name);
    buf_deinit(&line->engine);
}

bool script_name_is_valid(struct bytes name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '_')
            return false;
    }
    return name.len != 0;
}
