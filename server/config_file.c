/* Reading settings from files of redis.conf syntax, standard input and the command line.
 *
 * Sources lie on a stack: an `include` line puts the files it names on top, so that their lines
 * take effect at its place, and reading goes on behind it when they are exhausted. The command line
 * is first turned into text of the same syntax, so that one reader serves all. An error names the
 * source, the line and its text, and ends the reading: a half-read configuration must not start a
 * server. */
#include "server/config.h"

#include "codec/check.h"
#include "codec/glob.h"
#include "codec/mem.h"
#include "codec/split_args.h"
#include "server/config_internal.h"
#include "server/log.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define INCLUDE_DEPTH_MAX 16
#define SOURCE_COUNT_MAX  1000 /* waiting at once; a glob may name many files */
#define FILE_BYTES_MAX    ((size_t)16 << 20)
#define READ_BYTES        ((size_t)64 << 10)

/* How much of a place and of a line an error message shows. */
#define SHOWN_PLACE_CHARS 40
#define SHOWN_LINE_CHARS  64

struct source {
    char *place; /* owned; "file 'x'" and the like, for messages */
    struct buf text;
    size_t at; /* where the next line starts */
    int line_number;
    int depth; /* of includes */
};

struct reader {
    struct config *config;
    struct source *sources; /* the last one is being read */
    size_t source_count;
};

static void close_source(struct source *source)
{
    mem_free(source->place);
    buf_deinit(&source->text);
}

static void push_source(struct reader *reader, struct source source)
{
    reader->sources =
        mem_realloc(reader->sources, (reader->source_count + 1) * sizeof(*reader->sources));
    reader->sources[reader->source_count++] = source;
}

/* Appends all that `fd` has to give. */
static enum status read_all(int fd, struct buf *out, struct err *err)
{
    for (;;) {
        ssize_t len = read(fd, buf_reserve(out, READ_BYTES), READ_BYTES);
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0)
            return err_set_os(err, ST_IO, errno, "%s", strerror(errno));
        if (len == 0)
            return ST_OK;
        out->len += (size_t)len;
        if (out->len > FILE_BYTES_MAX)
            return err_set(err, ST_LIMIT, "larger than %zu bytes", FILE_BYTES_MAX);
    }
}

/* The end of a long path says more than its start. */
static char *make_file_place(const char *path)
{
    struct buf place = {0};
    size_t len = strlen(path);
    bool cut = len > SHOWN_PLACE_CHARS;
    buf_append_format(&place, "configuration file '%s%s'", cut ? "..." : "",
                      cut ? path + len - SHOWN_PLACE_CHARS : path);
    buf_append_byte(&place, '\0');
    return (char *)place.data;
}

static enum status push_file(struct reader *reader, const char *path, int depth, struct err *err)
{
    struct source source = {.place = NULL, .depth = depth};
    struct err reason = {0};
    enum status st = ST_IO;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        (void)err_set_os(&reason, ST_IO, errno, "%s", strerror(errno));
    else
        st = read_all(fd, &source.text, &reason);
    if (fd >= 0)
        (void)close(fd);
    if (st != ST_OK) {
        buf_deinit(&source.text);
        return err_set_os(err, st, reason.os_errno,
                          "Fatal error, can't open config file '%.100s': %s", path, reason.message);
    }
    source.place = make_file_place(path);
    push_source(reader, source);
    return ST_OK;
}

/* A pattern stands for the files that match it, in the order of their names; it may match none. */
static enum status include(struct reader *reader, const char *path, struct err *err)
{
    int depth = reader->sources[reader->source_count - 1].depth + 1;
    if (depth > INCLUDE_DEPTH_MAX)
        return err_set(err, ST_LIMIT, "include files are nested more than %d deep",
                       INCLUDE_DEPTH_MAX);
    if (!glob_has_wildcard(bytes_text(path)))
        return push_file(reader, path, depth, err);
    glob_t found;
    if (glob(path, 0, NULL, &found) != 0)
        return ST_OK;
    enum status st = ST_OK;
    if (found.gl_pathc + reader->source_count > SOURCE_COUNT_MAX)
        st = err_set(err, ST_LIMIT, "more than %d files to include", SOURCE_COUNT_MAX);
    for (size_t i = found.gl_pathc; i > 0 && st == ST_OK; i--)
        st = push_file(reader, found.gl_pathv[i - 1], depth, err);
    globfree(&found);
    return st;
}

/* Directives that are no settings */

static void add_rename(struct config *config, const struct split_args *args)
{
    config->renames =
        mem_realloc(config->renames, (config->rename_count + 1) * sizeof(*config->renames));
    config->renames[config->rename_count++] =
        (struct config_rename){.from = mem_strdup((const char *)args->items[1].data),
                               .to = mem_strdup((const char *)args->items[2].data)};
}

static void add_user(struct config *config, const struct split_args *args)
{
    struct config_user user = {.count = args->count - 1};
    user.args = mem_calloc(user.count, sizeof(*user.args));
    for (size_t i = 0; i < user.count; i++) {
        struct bytes arg = args->items[i + 1];
        user.args[i] = bytes_make(mem_dup(arg.data, arg.len + 1), arg.len);
    }
    config->users = mem_realloc(config->users, (config->user_count + 1) * sizeof(*config->users));
    config->users[config->user_count++] = user;
}

/* Directives of old versions of Redis that its newer ones read over. */
static bool is_obsolete(struct bytes name)
{
    return bytes_equal_nocase(name, "list-max-ziplist-entries") ||
           bytes_equal_nocase(name, "list-max-ziplist-value") ||
           bytes_equal_nocase(name, "lua-replicate-commands");
}

static enum status read_directive(struct reader *reader, const struct split_args *args,
                                  struct err *err)
{
    struct bytes name = args->items[0];
    if (args->count == 2 && is_obsolete(name))
        return ST_OK;
    if (args->count == 2 && bytes_equal_nocase(name, "include"))
        return include(reader, (const char *)args->items[1].data, err);
    if (args->count == 3 && bytes_equal_nocase(name, "rename-command")) {
        add_rename(reader->config, args);
        return ST_OK;
    }
    if (args->count >= 2 && bytes_equal_nocase(name, "user")) {
        add_user(reader->config, args);
        return ST_OK;
    }
    if (bytes_equal_nocase(name, "loadmodule") || memchr(name.data, '.', name.len) != NULL)
        return err_set(err, ST_UNSUPPORTED, "Modules are not supported");
    if (bytes_equal_nocase(name, "sentinel"))
        return err_set(err, ST_UNSUPPORTED, "sentinel directive while not in sentinel mode");
    return err_set(err, ST_INVALID, "Bad directive or wrong number of arguments");
}

/* Settings */

static enum status read_setting(struct reader *reader, const struct setting *setting,
                                const struct split_args *args, struct err *err)
{
    struct config *config = reader->config;
    struct split_args inner = {0};
    const struct split_args *source = args;
    size_t skip = 1;
    if (setting->kind->many_args && args->count == 2 && args->items[1].len > 0) {
        /* "a b" in quotes is as good as a b. */
        if (!split_args(args->items[1], &inner))
            return err_set(err, ST_INVALID, "Unbalanced quotes in configuration line");
        source = &inner;
        skip = 0;
    }
    enum status st =
        config_assign(config, setting, source->items + skip, source->count - skip, err);
    split_args_deinit(&inner);
    if (st != ST_OK)
        return st;
    if (setting->kind == &config_kind_save)
        config->state->save_seen = true;
    if (setting->kind == &config_kind_dir)
        return config_enter_dir(config, err);
    return ST_OK;
}

static bool is_trimmed(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static struct bytes trim(struct bytes line)
{
    while (line.len > 0 && is_trimmed(line.data[line.len - 1]))
        line.len--;
    while (line.len > 0 && is_trimmed(line.data[0]))
        line = bytes_make(line.data + 1, line.len - 1);
    return line;
}

static enum status read_line(struct reader *reader, struct bytes line, struct err *err)
{
    if (line.len == 0 || line.data[0] == '#')
        return ST_OK;
    if (memchr(line.data, 0, line.len) != NULL)
        return err_set(err, ST_INVALID, "Zero byte in configuration line");
    struct split_args args;
    if (!split_args(line, &args))
        return err_set(err, ST_INVALID, "Unbalanced quotes in configuration line");
    enum status st = ST_OK;
    if (args.count > 0) {
        const struct setting_name *found = config_find(reader->config, args.items[0]);
        st = found != NULL ? read_setting(reader, found->setting, &args, err)
                           : read_directive(reader, &args, err);
    }
    split_args_deinit(&args);
    return st;
}

/* Takes the next line out of the source; false at its end. */
static bool next_line(struct source *source, struct bytes *out)
{
    if (source->at >= source->text.len)
        return false;
    const uint8_t *start = source->text.data + source->at;
    size_t rest = source->text.len - source->at;
    const uint8_t *end = memchr(start, '\n', rest);
    size_t len = end == NULL ? rest : (size_t)(end - start);
    source->at += len + 1;
    source->line_number++;
    *out = trim(bytes_make(start, len));
    return true;
}

/* Reads until no source is left. */
static enum status read_sources(struct reader *reader, struct err *err)
{
    while (reader->source_count > 0) {
        struct source *source = &reader->sources[reader->source_count - 1];
        struct bytes line;
        if (!next_line(source, &line)) {
            close_source(source);
            reader->source_count--;
            continue;
        }
        size_t own_index = reader->source_count - 1;
        struct err reason = {0};
        enum status st = read_line(reader, line, &reason);
        if (st == ST_OK)
            continue;
        source = &reader->sources[own_index]; /* an include may have moved the stack */
        bool cut = line.len > SHOWN_LINE_CHARS;
        return err_set_os(err, st, reason.os_errno, "Reading the %s, at line %d\n>>> '%.*s%s'\n%s",
                          source->place, source->line_number,
                          cut ? SHOWN_LINE_CHARS : (int)line.len, (const char *)line.data,
                          cut ? "..." : "", reason.message);
    }
    return ST_OK;
}

/* What can only be judged when everything has been read. */
static enum status finish(struct config *config, struct err *err)
{
    if (config->cluster_enabled && config->replicaof.host != NULL)
        return err_set(err, ST_INVALID, "replicaof directive not allowed in cluster mode");
    if (config->cluster_enabled && config->databases > 1) {
        log_write(LOG_WARNING,
                  "WARNING: Changing databases number from %d to 1 since we are in cluster mode",
                  config->databases);
        config->databases = 1;
    }
    return ST_OK;
}

/* Reads what the caller has pushed, first pushed last, and releases the reader. */
static enum status run_reader(struct reader *reader, struct err *err)
{
    reader->config->state->reading_file = true;
    enum status st = read_sources(reader, err);
    reader->config->state->reading_file = false;
    for (size_t i = 0; i < reader->source_count; i++)
        close_source(&reader->sources[i]);
    mem_free(reader->sources);
    return st == ST_OK ? finish(reader->config, err) : st;
}

/* Remembers the file for CONFIG REWRITE, whatever the working directory will be. */
static void set_config_file(struct config *config, const char *path)
{
    char *resolved = realpath(path, NULL);
    mem_free(config->config_file);
    config->config_file = mem_strdup(resolved != NULL ? resolved : path);
    free(resolved); /* the C library's memory */
}

enum status config_load_file(struct config *config, const char *path, struct err *err)
{
    struct reader reader = {.config = config};
    enum status st = push_file(&reader, path, 0, err);
    if (st != ST_OK)
        return st;
    set_config_file(config, path);
    return run_reader(&reader, err);
}

/* The command line */

static bool is_option(const char *arg)
{
    return arg[0] == '-' && arg[1] == '-';
}

/* Appends the text that the options from argv[0] on stand for. An argument with two dashes starts a
 * line, unless the option before it still lacks its value: a value may look like an option. */
static void append_options(int argc, char **argv, struct buf *text)
{
    bool has_value = true;
    for (int i = 0; i < argc; i++) {
        if (!has_value || !is_option(argv[i])) {
            split_args_quote(text, bytes_text(argv[i]));
            buf_append_byte(text, ' ');
            has_value = true;
            continue;
        }
        buf_append_format(text, "%s%s ", text->len > 0 ? "\n" : "", argv[i] + 2);
        struct split_args words;
        bool name_only = split_args(bytes_text(argv[i]), &words) && words.count == 1;
        split_args_deinit(&words);
        has_value = !name_only;
        /* `--save` may stand without a value, and `--sentinel` has none. */
        bool last = i + 1 == argc || is_option(argv[i + 1]);
        if (name_only && last && strcasecmp(argv[i], "--save") == 0) {
            buf_append_text(text, "\"\"");
            has_value = true;
        } else if (name_only && last && strcasecmp(argv[i], "--sentinel") == 0) {
            has_value = true;
        }
    }
}

enum status config_load_args(struct config *config, int argc, char **argv, struct err *err)
{
    struct reader reader = {.config = config};
    struct source options = {.place = mem_strdup("command line")};
    const char *file = NULL;
    bool from_stdin = false;
    if (argc > 0 && argv[0][0] != '-') {
        file = argv[0];
        argc--;
        argv++;
    }
    if (argc > 0 && file == NULL && strcmp(argv[0], "-") == 0) {
        from_stdin = true;
        argc--;
        argv++;
    }
    if (argc > 0 && strcmp(argv[argc - 1], "-") == 0) {
        from_stdin = true;
        argc--;
    }
    append_options(argc, argv, &options.text);
    push_source(&reader, options);
    enum status st = ST_OK;
    if (from_stdin) {
        struct source input = {.place = mem_strdup("standard input")};
        st = read_all(STDIN_FILENO, &input.text, err);
        push_source(&reader, input);
    }
    if (st == ST_OK && file != NULL) {
        st = push_file(&reader, file, 0, err);
        if (st == ST_OK)
            set_config_file(config, file);
    }
    if (st == ST_OK)
        return run_reader(&reader, err);
    for (size_t i = 0; i < reader.source_count; i++)
        close_source(&reader.sources[i]);
    mem_free(reader.sources);
    return st;
}
