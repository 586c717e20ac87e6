/* Which arguments of a request are keys. Pure: the executor, COMMAND GETKEYS, the ACL rules and
 * cluster routing all ask here. Source: getKeysFromCommandWithSpecs of Redis 7.2. */
#include "server/command.h"

#include "codec/number.h"

#include <limits.h>

/* First key, last key (or what lies beyond the request) and step of one specification. */
struct key_run {
    int64_t first;
    int64_t last;
    int64_t step;
};

enum find_result {
    FIND_KEYS,       /* the run holds */
    FIND_NO_KEYWORD, /* the keyword does not occur: no keys from this specification */
    FIND_ZERO,       /* the count of keys is 0, which not every command may say */
    FIND_INVALID,
};

/* The argument behind the keyword, or 0. A positive start searches forwards up to the last
 * argument but one (a keyword needs something behind it); a negative one counts from the end and
 * searches backwards. */
static int find_keyword(const struct key_spec *spec, const struct bytes *argv, int argc)
{
    bool forwards = spec->index > 0;
    int start = forwards ? spec->index : argc + spec->index;
    int end = forwards ? argc - 1 : 1;
    int step = start <= end ? 1 : -1;
    for (int i = start; i != end && i >= 1 && i < argc; i += step)
        if (bytes_equal_nocase(argv[i], spec->keyword))
            return i + 1;
    return 0;
}

static enum find_result find_begin(const struct key_spec *spec, const struct bytes *argv, int argc,
                                   int *begin_out)
{
    switch ((enum key_begin)spec->begin) {
    case KEY_BEGIN_INDEX:
        *begin_out = spec->index;
        return FIND_KEYS;
    case KEY_BEGIN_KEYWORD:
        *begin_out = find_keyword(spec, argv, argc);
        return *begin_out == 0 ? FIND_NO_KEYWORD : FIND_KEYS;
    case KEY_BEGIN_NONE:
    case KEY_BEGIN_UNKNOWN:
        break;
    }
    return FIND_INVALID;
}

static enum find_result find_range(const struct key_spec *spec, int begin, int argc,
                                   struct key_run *run)
{
    run->first = begin;
    run->step = spec->step_or_first;
    int last = spec->last_or_keynum, limit = spec->limit_or_step;
    if (last >= 0)
        run->last = begin + last;
    else if (limit == 0)
        run->last = argc + last;
    else
        run->last = begin + (argc - begin) / limit + last;
    return FIND_KEYS;
}

static enum find_result find_keynum(const struct key_spec *spec, const struct bytes *argv,
                                    struct key_run *run, int begin, int argc)
{
    int at = begin + spec->last_or_keynum;
    int64_t count;
    if (at >= argc || !number_parse_i64(argv[at], &count) || count < 0 || count > argc)
        return FIND_INVALID;
    if (count == 0)
        return FIND_ZERO;
    run->first = begin + spec->step_or_first;
    run->last = run->first + count - 1;
    run->step = spec->limit_or_step;
    return FIND_KEYS;
}

static enum find_result find_run(const struct key_spec *spec, const struct bytes *argv, int argc,
                                 struct key_run *run)
{
    int begin;
    enum find_result result = find_begin(spec, argv, argc, &begin);
    if (result != FIND_KEYS)
        return result;
    if (spec->find == KEY_FIND_RANGE)
        result = find_range(spec, begin, argc, run);
    else if (spec->find == KEY_FIND_KEYNUM)
        result = find_keynum(spec, argv, run, begin, argc);
    else
        return FIND_INVALID;
    if (result == FIND_KEYS && (run->first >= argc || run->last >= argc || run->last < run->first))
        return FIND_INVALID;
    return result;
}

static int keys_by_specs(const struct command *command, const struct bytes *argv, int argc,
                         struct key_arg *out, int max)
{
    int count = 0;
    for (const struct key_spec *spec = command->keys;
         spec < command->keys + KEY_SPECS_MAX && spec->begin != KEY_BEGIN_NONE; spec++) {
        if (spec->flags & KEY_NOT_KEY)
            continue;
        struct key_run run;
        enum find_result result = find_run(spec, argv, argc, &run);
        if (result == FIND_NO_KEYWORD)
            continue;
        if (result == FIND_ZERO && (command->flags & CMD_NO_MANDATORY_KEYS))
            continue;
        if (result != FIND_KEYS || (spec->flags & KEY_INCOMPLETE))
            return -1;
        for (int64_t i = run.first; i <= run.last; i += run.step, count++)
            if (count < max)
                out[count] = (struct key_arg){.index = (int)i, .flags = spec->flags};
    }
    return count;
}

bool command_has_keys(const struct command *command)
{
    for (int i = 0; i < KEY_SPECS_MAX && command->keys[i].begin != KEY_BEGIN_NONE; i++)
        if (!(command->keys[i].flags & KEY_NOT_KEY))
            return true;
    return false;
}

int command_keys(const struct command *command, const struct bytes *argv, int argc,
                 struct key_arg *out, int max)
{
    if (command->single_key != 0) {
        if (command->single_key >= argc)
            return -1;
        if (max > 0)
            out[0] =
                (struct key_arg){.index = command->single_key, .flags = command->keys[0].flags};
        return 1;
    }
    if (command->keys_fn != NULL)
        return command->keys_fn(argv, argc, out, max);
    return keys_by_specs(command, argv, argc, out, max);
}

static bool is_plain_range(const struct key_spec *spec)
{
    return spec->begin == KEY_BEGIN_INDEX && spec->find == KEY_FIND_RANGE;
}

/* `last` of a range specification, counted from the request's start, or negative. */
static int absolute_last(const struct key_spec *spec)
{
    return spec->last_or_keynum >= 0 ? spec->index + spec->last_or_keynum : spec->last_or_keynum;
}

struct key_range command_key_range(const struct command *command)
{
    struct key_range range = {0};
    const struct key_spec *specs = command->keys;
    if (specs[0].begin == KEY_BEGIN_NONE)
        return range;
    if (specs[1].begin == KEY_BEGIN_NONE && is_plain_range(&specs[0])) {
        range.first = specs[0].index;
        range.last = absolute_last(&specs[0]);
        range.step = specs[0].step_or_first;
        range.movable = (specs[0].flags & KEY_INCOMPLETE) != 0;
        return range;
    }
    /* Several: joined while they are neighbours with a step of one. */
    for (int i = 0; i < KEY_SPECS_MAX && specs[i].begin != KEY_BEGIN_NONE; i++) {
        bool joins = is_plain_range(&specs[i]) && specs[i].step_or_first == 1 &&
                     (range.last == 0 || range.last == specs[i].index - 1);
        if (!joins || (specs[i].flags & KEY_INCOMPLETE))
            range.movable = true;
        if (!joins)
            continue;
        if (range.first == 0)
            range.first = specs[i].index;
        range.last = absolute_last(&specs[i]);
        range.step = 1;
    }
    if (range.first == 0)
        range.movable = true;
    return range;
}
