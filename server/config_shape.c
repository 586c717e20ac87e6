/* Kinds of settings with a shape of their own: lists, classes, letters. Messages, accepted
 * spellings and the lines that CONFIG REWRITE writes are those of Redis 7.2. */
#include "codec/check.h"
#include "codec/mem.h"
#include "codec/number.h"
#include "codec/split_args.h"
#include "server/config_internal.h"
#include "server/log.h"
#include "server/notify.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(sizeof(struct config_bind) <= CONFIG_VALUE_BYTES_MAX, "bind fits a value");
_Static_assert(sizeof(struct config_buffer_limit) * CONFIG_CLIENT_CLASS_COUNT <=
                   CONFIG_VALUE_BYTES_MAX,
               "limits fit a value");

#define OOM_VALUE_COUNT 3
#define OOM_VALUE_MAX   2000

static char *copy_text(struct bytes text)
{
    char *copy = mem_alloc(text.len + 1);
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    return copy;
}

static void put_line(const struct setting *setting, struct bytes value, bool force,
                     struct config_rewriter *rewriter)
{
    struct buf line = {0};
    buf_append_format(&line, "%s ", setting->name);
    buf_append_bytes(&line, value);
    config_rewriter_line(rewriter, setting->name, buf_bytes(&line), force);
    buf_deinit(&line);
}

/* dir: kept as an absolute path */

static enum status parse_dir(const struct setting *setting, const struct config *config,
                             const struct bytes *args, size_t arg_count, void *value,
                             struct err *err)
{
    (void)setting;
    (void)config;
    CHECK(arg_count == 1);
    char *path = copy_text(args[0]);
    char *resolved = strlen(path) == args[0].len ? realpath(path, NULL) : NULL;
    int error = errno;
    mem_free(path);
    if (resolved == NULL)
        return err_set_os(err, ST_INVALID, error, "%s", strerror(error));
    *(char **)value = mem_strdup(resolved);
    free(resolved); /* the C library's memory */
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

static void rewrite_dir(const struct setting *setting, const void *value, const void *fallback,
                        struct config_rewriter *rewriter)
{
    (void)fallback;
    struct buf quoted = {0};
    split_args_quote(&quoted, bytes_text(*(char *const *)value));
    put_line(setting, buf_bytes(&quoted), true, rewriter);
    buf_deinit(&quoted);
}

/* bind */

static void destroy_bind(void *value)
{
    struct config_bind *bind = value;
    for (size_t i = 0; i < bind->count; i++)
        mem_free(bind->addresses[i]);
    *bind = (struct config_bind){0};
}

/* In files and replies addresses stand with blanks between them. */
static bool is_word(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] <= ' ')
            return false;
    return text.len > 0;
}

static enum status parse_bind(const struct setting *setting, const struct config *config,
                              const struct bytes *args, size_t arg_count, void *value,
                              struct err *err)
{
    (void)setting;
    (void)config;
    if (arg_count > CONFIG_BIND_COUNT_MAX)
        return err_set(err, ST_INVALID, "Too many bind addresses specified.");
    struct config_bind bind = {0};
    if (arg_count == 1 && args[0].len == 0)
        arg_count = 0;
    for (size_t i = 0; i < arg_count; i++)
        if (!is_word(args[i]))
            return err_set(err, ST_INVALID, "An address to bind to is empty or has blanks in it");
    for (size_t i = 0; i < arg_count; i++)
        bind.addresses[bind.count++] = copy_text(args[i]);
    *(struct config_bind *)value = bind;
    return ST_OK;
}

static void format_bind(const struct setting *setting, const void *value, struct buf *out)
{
    (void)setting;
    const struct config_bind *bind = value;
    for (size_t i = 0; i < bind->count; i++)
        buf_append_format(out, "%s%s", i == 0 ? "" : " ", bind->addresses[i]);
}

static bool equal_bind(const void *a, const void *b)
{
    const struct config_bind *left = a;
    const struct config_bind *right = b;
    if (left->count != right->count)
        return false;
    for (size_t i = 0; i < left->count; i++) {
        if (strcmp(left->addresses[i], right->addresses[i]) != 0)
            return false;
    }
    return true;
}

static void rewrite_bind(const struct setting *setting, const void *value, const void *fallback,
                         struct config_rewriter *rewriter)
{
    if (setting->kind->equal(value, fallback)) {
        config_rewriter_done(rewriter, setting->name);
        return;
    }
    struct buf addresses = {0};
    format_bind(setting, value, &addresses);
    if (addresses.len == 0)
        buf_append_text(&addresses, "\"\"");
    put_line(setting, buf_bytes(&addresses), true, rewriter);
    buf_deinit(&addresses);
}

/* save: in a file, lines add up; the first one replaces the default */

static void destroy_save(void *value)
{
    struct config_save *save = value;
    mem_free(save->points);
    *save = (struct config_save){0};
}

static void add_save_point(struct config_save *save, struct config_save_point point)
{
    save->points = mem_realloc(save->points, (save->count + 1) * sizeof(*save->points));
    save->points[save->count++] = point;
}

static enum status parse_save(const struct setting *setting, const struct config *config,
                              const struct bytes *args, size_t arg_count, void *value,
                              struct err *err)
{
    (void)setting;
    struct config_save save = {0};
    bool empty = arg_count == 0 || (arg_count == 1 && args[0].len == 0);
    if (empty)
        arg_count = 0;
    else if (config->state->reading_file && config->state->save_seen)
        for (size_t i = 0; i < config->save.count; i++)
            add_save_point(&save, config->save.points[i]);
    for (size_t i = 0; i < arg_count; i += 2) {
        int64_t seconds;
        int64_t changes;
        if (i + 1 == arg_count || !number_parse_i64(args[i], &seconds) || seconds < 1 ||
            !number_parse_i64(args[i + 1], &changes) || changes < 0 || changes > INT_MAX) {
            destroy_save(&save);
            return err_set(err, ST_INVALID, "Invalid save parameters");
        }
        add_save_point(&save, (struct config_save_point){seconds, (int)changes});
    }
    *(struct config_save *)value = save;
    return ST_OK;
}

static void format_save(const struct setting *setting, const void *value, struct buf *out)
{
    (void)setting;
    const struct config_save *save = value;
    for (size_t i = 0; i < save->count; i++)
        buf_append_format(out, "%s%lld %d", i == 0 ? "" : " ", (long long)save->points[i].seconds,
                          save->points[i].changes);
}

static bool equal_save(const void *a, const void *b)
{
    const struct config_save *left = a;
    const struct config_save *right = b;
    if (left->count != right->count)
        return false;
    for (size_t i = 0; i < left->count; i++) {
        if (left->points[i].seconds != right->points[i].seconds ||
            left->points[i].changes != right->points[i].changes)
            return false;
    }
    return true;
}

static void rewrite_save(const struct setting *setting, const void *value, const void *fallback,
                         struct config_rewriter *rewriter)
{
    (void)fallback;
    const struct config_save *save = value;
    if (save->count == 0)
        put_line(setting, bytes_text("\"\""), true, rewriter);
    for (size_t i = 0; i < save->count; i++) {
        struct config_save one = {.count = 1, .points = &save->points[i]};
        struct buf text = {0};
        format_save(setting, &one, &text);
        put_line(setting, buf_bytes(&text), true, rewriter);
        buf_deinit(&text);
    }
}

/* client-output-buffer-limit: classes that are not named keep their limits */

static const char *const class_names[CONFIG_CLIENT_CLASS_COUNT] = {"normal", "slave", "pubsub"};

static bool find_class(struct bytes name, size_t *out)
{
    if (bytes_equal_nocase(name, "replica")) {
        *out = CONFIG_CLIENT_REPLICA;
        return true;
    }
    for (size_t i = 0; i < CONFIG_CLIENT_CLASS_COUNT; i++) {
        if (bytes_equal_nocase(name, class_names[i])) {
            *out = i;
            return true;
        }
    }
    return false;
}

static enum status parse_limits(const struct setting *setting, const struct config *config,
                                const struct bytes *args, size_t arg_count, void *value,
                                struct err *err)
{
    (void)setting;
    if (arg_count % 4 != 0)
        return err_set(err, ST_INVALID, "Wrong number of arguments in buffer limit configuration.");
    struct config_buffer_limit limits[CONFIG_CLIENT_CLASS_COUNT];
    memcpy(limits, config->client_output_buffer_limit, sizeof(limits));
    for (size_t i = 0; i < arg_count; i += 4) {
        size_t class;
        struct config_buffer_limit limit;
        if (!find_class(args[i], &class))
            return err_set(err, ST_INVALID,
                           "Invalid client class specified in buffer limit configuration.");
        if (!number_parse_memory(args[i + 1], &limit.hard_bytes) ||
            !number_parse_memory(args[i + 2], &limit.soft_bytes) ||
            !number_parse_i64(args[i + 3], &limit.soft_seconds) || limit.soft_seconds < 0)
            return err_set(err, ST_INVALID,
                           "Error in hard, soft or soft_seconds setting in buffer limit "
                           "configuration.");
        limits[class] = limit;
    }
    memcpy(value, limits, sizeof(limits));
    return ST_OK;
}

static void format_limits(const struct setting *setting, const void *value, struct buf *out)
{
    (void)setting;
    const struct config_buffer_limit *limits = value;
    for (size_t i = 0; i < CONFIG_CLIENT_CLASS_COUNT; i++)
        buf_append_format(out, "%s%s %llu %llu %lld", i == 0 ? "" : " ", class_names[i],
                          (unsigned long long)limits[i].hard_bytes,
                          (unsigned long long)limits[i].soft_bytes,
                          (long long)limits[i].soft_seconds);
}

static bool equal_limit(const struct config_buffer_limit *a, const struct config_buffer_limit *b)
{
    return a->hard_bytes == b->hard_bytes && a->soft_bytes == b->soft_bytes &&
           a->soft_seconds == b->soft_seconds;
}

static bool equal_limits(const void *a, const void *b)
{
    const struct config_buffer_limit *left = a;
    const struct config_buffer_limit *right = b;
    for (size_t i = 0; i < CONFIG_CLIENT_CLASS_COUNT; i++) {
        if (!equal_limit(&left[i], &right[i]))
            return false;
    }
    return true;
}

/* One line for each class that differs from its default, or has a line already. */
static void rewrite_limits(const struct setting *setting, const void *value, const void *fallback,
                           struct config_rewriter *rewriter)
{
    const struct config_buffer_limit *limits = value;
    const struct config_buffer_limit *defaults = fallback;
    for (size_t i = 0; i < CONFIG_CLIENT_CLASS_COUNT; i++) {
        struct buf text = {0};
        buf_append_text(&text, i == CONFIG_CLIENT_REPLICA ? "replica" : class_names[i]);
        buf_append_byte(&text, ' ');
        config_append_memory(&text, limits[i].hard_bytes);
        buf_append_byte(&text, ' ');
        config_append_memory(&text, limits[i].soft_bytes);
        buf_append_format(&text, " %lld", (long long)limits[i].soft_seconds);
        put_line(setting, buf_bytes(&text), !equal_limit(&limits[i], &defaults[i]), rewriter);
        buf_deinit(&text);
    }
}

/* oom-score-adj-values */

static enum status parse_oom_values(const struct setting *setting, const struct config *config,
                                    const struct bytes *args, size_t arg_count, void *value,
                                    struct err *err)
{
    (void)setting;
    (void)config;
    int values[OOM_VALUE_COUNT];
    if (arg_count != OOM_VALUE_COUNT)
        return err_set(err, ST_INVALID, "wrong number of arguments");
    for (size_t i = 0; i < OOM_VALUE_COUNT; i++) {
        int64_t number;
        if (!number_parse_i64(args[i], &number) || number < -OOM_VALUE_MAX ||
            number > OOM_VALUE_MAX)
            return err_set(err, ST_INVALID,
                           "Invalid oom-score-adj-values, elements must be between -2000 and "
                           "2000.");
        values[i] = (int)number;
    }
    if (values[1] < values[0] || values[2] < values[1])
        log_write(LOG_WARNING, "The oom-score-adj-values configuration may not work for "
                               "non-privileged processes! Please consult the documentation.");
    memcpy(value, values, sizeof(values));
    return ST_OK;
}

static void format_oom_values(const struct setting *setting, const void *value, struct buf *out)
{
    (void)setting;
    const int *values = value;
    buf_append_format(out, "%d %d %d", values[0], values[1], values[2]);
}

static bool equal_oom_values(const void *a, const void *b)
{
    return memcmp(a, b, OOM_VALUE_COUNT * sizeof(int)) == 0;
}

/* notify-keyspace-events */

#define NOTIFY_ALL_CLASSES                                                                         \
    (NOTIFY_GENERIC | NOTIFY_STRING | NOTIFY_LIST | NOTIFY_SET | NOTIFY_HASH | NOTIFY_ZSET |       \
     NOTIFY_EXPIRED | NOTIFY_EVICTED | NOTIFY_STREAM | NOTIFY_MODULE)

/* In the order in which they are shown. */
static const struct {
    char letter;
    int flag;
} event_letters[] = {
    {'g', NOTIFY_GENERIC},  {'$', NOTIFY_STRING},   {'l', NOTIFY_LIST},    {'s', NOTIFY_SET},
    {'h', NOTIFY_HASH},     {'z', NOTIFY_ZSET},     {'x', NOTIFY_EXPIRED}, {'e', NOTIFY_EVICTED},
    {'t', NOTIFY_STREAM},   {'d', NOTIFY_MODULE},   {'n', NOTIFY_CREATED}, {'K', NOTIFY_KEYSPACE},
    {'E', NOTIFY_KEYEVENT}, {'m', NOTIFY_KEY_MISS}, {'T', NOTIFY_TIER},
};
#define EVENT_LETTER_COUNT (sizeof(event_letters) / sizeof(event_letters[0]))

bool config_notify_parse(struct bytes text, int *flags_out)
{
    int flags = 0;
    for (size_t i = 0; i < text.len; i++) {
        char letter = (char)text.data[i];
        size_t j = 0;
        while (j < EVENT_LETTER_COUNT && event_letters[j].letter != letter)
            j++;
        if (letter == 'A')
            flags |= NOTIFY_ALL_CLASSES;
        else if (j < EVENT_LETTER_COUNT)
            flags |= event_letters[j].flag;
        else
            return false;
    }
    *flags_out = flags;
    return true;
}

/* `n` is shown beside `A`, unlike in Redis 7.2, which loses it there. */
void config_notify_format(int flags, char out[CONFIG_NOTIFY_TEXT_BYTES_MAX])
{
    _Static_assert(EVENT_LETTER_COUNT + 2 <= CONFIG_NOTIFY_TEXT_BYTES_MAX, "room for all letters");
    size_t len = 0;
    if ((flags & NOTIFY_ALL_CLASSES) == NOTIFY_ALL_CLASSES) {
        out[len++] = 'A';
        flags &= ~NOTIFY_ALL_CLASSES;
    }
    for (size_t i = 0; i < EVENT_LETTER_COUNT; i++) {
        if (flags & event_letters[i].flag)
            out[len++] = event_letters[i].letter;
    }
    out[len] = '\0';
}

static enum status parse_events(const struct setting *setting, const struct config *config,
                                const struct bytes *args, size_t arg_count, void *value,
                                struct err *err)
{
    (void)setting;
    (void)config;
    CHECK(arg_count == 1);
    if (!config_notify_parse(args[0], value))
        return err_set(err, ST_INVALID, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
    return ST_OK;
}

static void format_events(const struct setting *setting, const void *value, struct buf *out)
{
    (void)setting;
    char text[CONFIG_NOTIFY_TEXT_BYTES_MAX];
    config_notify_format(*(const int *)value, text);
    buf_append_text(out, text);
}

static bool equal_events(const void *a, const void *b)
{
    return *(const int *)a == *(const int *)b;
}

static void rewrite_events(const struct setting *setting, const void *value, const void *fallback,
                           struct config_rewriter *rewriter)
{
    char text[CONFIG_NOTIFY_TEXT_BYTES_MAX];
    config_notify_format(*(const int *)value, text);
    struct buf quoted = {0};
    split_args_quote(&quoted, bytes_text(text));
    put_line(setting, buf_bytes(&quoted), !equal_events(value, fallback), rewriter);
    buf_deinit(&quoted);
}

/* replicaof */

static enum status parse_replicaof(const struct setting *setting, const struct config *config,
                                   const struct bytes *args, size_t arg_count, void *value,
                                   struct err *err)
{
    (void)setting;
    (void)config;
    struct config_replicaof replicaof = {0};
    int64_t port;
    if (arg_count != 2)
        return err_set(err, ST_INVALID, "wrong number of arguments");
    if (!bytes_equal_nocase(args[0], "no") || !bytes_equal_nocase(args[1], "one")) {
        if (!number_parse_i64(args[1], &port) || port < 0 || port > UINT16_MAX)
            return err_set(err, ST_INVALID, "Invalid master port");
        replicaof.host = copy_text(args[0]);
        replicaof.port = (int)port;
    }
    *(struct config_replicaof *)value = replicaof;
    return ST_OK;
}

static void format_replicaof(const struct setting *setting, const void *value, struct buf *out)
{
    (void)setting;
    const struct config_replicaof *replicaof = value;
    if (replicaof->host != NULL)
        buf_append_format(out, "%s %d", replicaof->host, replicaof->port);
}

static bool equal_replicaof(const void *a, const void *b)
{
    const struct config_replicaof *left = a;
    const struct config_replicaof *right = b;
    if (left->host == NULL || right->host == NULL)
        return left->host == right->host;
    return left->port == right->port && strcmp(left->host, right->host) == 0;
}

static void destroy_replicaof(void *value)
{
    struct config_replicaof *replicaof = value;
    mem_free(replicaof->host);
    *replicaof = (struct config_replicaof){0};
}

/* A master has no such line. */
static void rewrite_replicaof(const struct setting *setting, const void *value,
                              const void *fallback, struct config_rewriter *rewriter)
{
    if (setting->kind->equal(value, fallback)) {
        config_rewriter_done(rewriter, setting->name);
        return;
    }
    struct buf text = {0};
    format_replicaof(setting, value, &text);
    put_line(setting, buf_bytes(&text), true, rewriter);
    buf_deinit(&text);
}

/* latency-tracking-info-percentiles */

static void destroy_percentiles(void *value)
{
    struct config_percentiles *percentiles = value;
    mem_free(percentiles->values);
    *percentiles = (struct config_percentiles){0};
}

static enum status parse_percentiles(const struct setting *setting, const struct config *config,
                                     const struct bytes *args, size_t arg_count, void *value,
                                     struct err *err)
{
    (void)setting;
    (void)config;
    if (arg_count == 1 && args[0].len == 0)
        arg_count = 0;
    struct config_percentiles result = {.count = arg_count};
    if (arg_count > 0)
        result.values = mem_alloc(arg_count * sizeof(*result.values));
    for (size_t i = 0; i < arg_count; i++) {
        double *number = &result.values[i];
        const char *reason = NULL;
        if (!number_parse_f64(args[i], number))
            reason = "Invalid latency-tracking-info-percentiles parameters";
        else if (*number > 100.0 || *number < 0.0)
            reason = "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]";
        if (reason != NULL) {
            destroy_percentiles(&result);
            return err_set(err, ST_INVALID, "%s", reason);
        }
    }
    *(struct config_percentiles *)value = result;
    return ST_OK;
}

/* Six digits behind the point, without the zeros at the end. */
static void append_percentile(struct buf *out, double value)
{
    char text[64];
    int len = snprintf(text, sizeof(text), "%f", value);
    CHECK(len > 0 && (size_t)len < sizeof(text));
    while (text[len - 1] == '0')
        len--;
    if (text[len - 1] == '.')
        len--;
    buf_append(out, text, (size_t)len);
}

static void format_percentiles(const struct setting *setting, const void *value, struct buf *out)
{
    (void)setting;
    const struct config_percentiles *percentiles = value;
    for (size_t i = 0; i < percentiles->count; i++) {
        if (i > 0)
            buf_append_byte(out, ' ');
        append_percentile(out, percentiles->values[i]);
    }
}

static bool equal_percentiles(const void *a, const void *b)
{
    const struct config_percentiles *left = a;
    const struct config_percentiles *right = b;
    if (left->count != right->count)
        return false;
    for (size_t i = 0; i < left->count; i++) {
        if (islessgreater(left->values[i], right->values[i]))
            return false;
    }
    return true;
}

static void rewrite_percentiles(const struct setting *setting, const void *value,
                                const void *fallback, struct config_rewriter *rewriter)
{
    (void)fallback;
    struct buf text = {0};
    format_percentiles(setting, value, &text);
    if (text.len == 0)
        buf_append_text(&text, "\"\"");
    put_line(setting, buf_bytes(&text), true, rewriter);
    buf_deinit(&text);
}

const struct config_kind config_kind_dir = {.size = sizeof(char *),
                                            .parse = parse_dir,
                                            .format = format_text,
                                            .equal = equal_text,
                                            .destroy = destroy_text,
                                            .rewrite = rewrite_dir};
const struct config_kind config_kind_bind = {.size = sizeof(struct config_bind),
                                             .many_args = true,
                                             .parse = parse_bind,
                                             .format = format_bind,
                                             .equal = equal_bind,
                                             .destroy = destroy_bind,
                                             .rewrite = rewrite_bind};
const struct config_kind config_kind_save = {.size = sizeof(struct config_save),
                                             .many_args = true,
                                             .parse = parse_save,
                                             .format = format_save,
                                             .equal = equal_save,
                                             .destroy = destroy_save,
                                             .rewrite = rewrite_save};
const struct config_kind config_kind_buffer_limits = {.size = sizeof(struct config_buffer_limit) *
                                                              CONFIG_CLIENT_CLASS_COUNT,
                                                      .many_args = true,
                                                      .parse = parse_limits,
                                                      .format = format_limits,
                                                      .equal = equal_limits,
                                                      .rewrite = rewrite_limits};
const struct config_kind config_kind_oom_values = {.size = OOM_VALUE_COUNT * sizeof(int),
                                                   .many_args = true,
                                                   .parse = parse_oom_values,
                                                   .format = format_oom_values,
                                                   .equal = equal_oom_values};
const struct config_kind config_kind_events = {.size = sizeof(int),
                                               .parse = parse_events,
                                               .format = format_events,
                                               .equal = equal_events,
                                               .rewrite = rewrite_events};
const struct config_kind config_kind_replicaof = {.size = sizeof(struct config_replicaof),
                                                  .many_args = true,
                                                  .parse = parse_replicaof,
                                                  .format = format_replicaof,
                                                  .equal = equal_replicaof,
                                                  .destroy = destroy_replicaof,
                                                  .rewrite = rewrite_replicaof};
const struct config_kind config_kind_percentiles = {.size = sizeof(struct config_percentiles),
                                                    .many_args = true,
                                                    .parse = parse_percentiles,
                                                    .format = format_percentiles,
                                                    .equal = equal_percentiles,
                                                    .destroy = destroy_percentiles,
                                                    .rewrite = rewrite_percentiles};
