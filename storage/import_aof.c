#include "storage/import_aof.h"

#include "codec/buf.h"
#include "codec/check.h"
#include "codec/endian.h"
#include "codec/mem.h"
#include "codec/number.h"
#include "codec/rdb_format.h"
#include "codec/resp_parse.h"
#include "codec/split_args.h"
#include "storage/env.h"
#include "storage/import.h"
#include "storage/journal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MANIFEST_BYTES_MAX    ((size_t)1 << 20)
#define FILES_MAX             65536
#define READ_BYTES            ((size_t)256 << 10)
#define BLOCK_BYTES           ((size_t)256 << 10)  /* of the journal, where no command is longer */
#define COMMAND_BYTES_MAX     ((int64_t)512 << 20) /* of one argument, as in Redis */
#define TRANSACTION_BYTES_MAX ((size_t)1 << 30)

/* Stands for a base that is not there: an RDB without keys. */
static const char empty_rdb[] = "REDIS0009\xff\0\0\0\0\0\0\0";

struct aof {
    struct env *env;
    char *dir;    /* owned: of the manifest */
    char *base;   /* owned: path of the base if it is an RDB; or NULL */
    char **files; /* owned: paths of files of commands, in their order */
    size_t file_count;
    int fd; /* of the base, once it is read; -1 */
    uint64_t base_off;
    struct aof_report report;
};

/* ---- The manifest -----------------------------------------------------------------------------
 */

static char *path_in(const struct aof *aof, const char *name)
{
    struct buf path = {0};
    buf_append_format(&path, "%s/%s", aof->dir, name);
    buf_append_byte(&path, 0);
    return (char *)path.data;
}

static void add_file(struct aof *aof, char *path, size_t at)
{
    aof->files = mem_realloc(aof->files, (aof->file_count + 1) * sizeof(*aof->files));
    memmove(aof->files + at + 1, aof->files + at, (aof->file_count - at) * sizeof(*aof->files));
    aof->files[at] = path;
    aof->file_count++;
}

/* Whether the base, which may be a file of commands, begins as an RDB does. */
static enum status base_is_rdb(struct aof *aof, const char *path, bool *out, struct err *err)
{
    char magic[5];
    size_t len = 0;
    int fd;
    enum status st = env_open(aof->env, path, ENV_READ, &fd, err);
    if (st != ST_OK)
        return st;
    st = env_read_at(aof->env, fd, path, 0, magic, sizeof(magic), &len, err);
    env_close(aof->env, fd);
    *out = len == sizeof(magic) && memcmp(magic, "REDIS", sizeof(magic)) == 0;
    return st;
}

static enum status take_base(struct aof *aof, const char *name, struct err *err)
{
    bool is_rdb = false;
    char *path = path_in(aof, name);
    enum status st = base_is_rdb(aof, path, &is_rdb, err);
    if (st == ST_OK && is_rdb)
        aof->base = path;
    else if (st == ST_OK)
        add_file(aof, path, 0);
    else
        mem_free(path);
    return st;
}

/* The value behind a word of a manifest's line; NULL: it is not there. */
static const char *value_of(const struct split_args *args, const char *word)
{
    for (size_t i = 0; i + 1 < args->count; i += 2)
        if (bytes_equal_nocase(args->items[i], word))
            return (const char *)args->items[i + 1].data;
    return NULL;
}

static enum status take_line(struct aof *aof, const struct split_args *args, struct err *err)
{
    const char *name = value_of(args, "file");
    const char *type = value_of(args, "type");
    if (name == NULL || type == NULL || strchr(name, '/') != NULL || name[0] == '\0' ||
        aof->file_count == FILES_MAX)
        return err_set(err, ST_CORRUPT, "the manifest in %s has a line that names no file",
                       aof->dir);
    if (strcmp(type, "h") == 0) /* history: about to be deleted */
        return ST_OK;
    if (strcmp(type, "i") == 0) {
        add_file(aof, path_in(aof, name), aof->file_count);
        return ST_OK;
    }
    if (strcmp(type, "b") != 0 || aof->base != NULL)
        return err_set(err, ST_CORRUPT,
                       "the manifest in %s has a file of unknown type, or two bases", aof->dir);
    return take_base(aof, name, err);
}

static enum status read_manifest(struct aof *aof, const char *path, struct err *err)
{
    struct buf text = {0};
    enum status st = env_read_file(aof->env, path, MANIFEST_BYTES_MAX, &text, err);
    for (size_t at = 0; st == ST_OK && at < text.len;) {
        const uint8_t *end = memchr(text.data + at, '\n', text.len - at);
        size_t len = end == NULL ? text.len - at : (size_t)(end - text.data) - at;
        struct bytes line = bytes_make(text.data + at, len);
        struct split_args args = {0};
        at += len + 1;
        if (len == 0 || line.data[0] == '#')
            continue;
        st = split_args(line, &args)
                 ? take_line(aof, &args, err)
                 : err_set(err, ST_CORRUPT, "%s has a line with unbalanced quotes", path);
        split_args_deinit(&args);
    }
    buf_deinit(&text);
    return st;
}

/* ---- Commands ---------------------------------------------------------------------------------
 */

/* A walk over a file of commands. */
struct walk {
    struct aof *aof;
    const char *path;
    bool is_last;            /* file: may be cut off */
    struct journal *journal; /* where they go; NULL: they are only looked at */
    struct resp_parser parser;
    struct buf read;  /* from the file, not parsed yet */
    uint64_t off;     /* in the file, of `read` */
    struct buf group; /* a transaction that is not complete */
    bool in_group;
    uint64_t group_off;
    uint32_t db;
    size_t staged;
};

static enum status fail_at(const struct walk *walk, struct err *err, const char *what)
{
    return err_set(err, ST_CORRUPT, "%s, offset %" PRIu64 ": %s", walk->path, walk->off, what);
}

static bool is_alone(const struct resp_parser *parser, const char *word)
{
    return parser->argc == 1 && bytes_equal_nocase(parser->argv[0], word);
}

/* Whole commands, or a whole transaction. */
static enum status stage(struct walk *walk, struct bytes bytes, struct err *err)
{
    if (walk->journal == NULL)
        return ST_OK;
    journal_stage_raw(walk->journal, bytes);
    journal_set_db(walk->journal, walk->db);
    walk->staged += bytes.len;
    if (walk->staged < BLOCK_BYTES)
        return ST_OK;
    walk->staged = 0;
    journal_submit(walk->journal);
    return journal_backlogged(walk->journal)
               ? journal_wait_durable(walk->journal, journal_end(walk->journal), err)
               : ST_OK;
}

static enum status take_command(struct walk *walk, struct bytes bytes, struct err *err)
{
    const struct resp_parser *parser = &walk->parser;
    int64_t db;
    if (parser->argc == 2 && bytes_equal_nocase(parser->argv[0], "select")) {
        if (!number_parse_i64(parser->argv[1], &db) || db < 0 || db >= JOURNAL_DB_MAX)
            return fail_at(walk, err, "no database has that number");
        walk->db = (uint32_t)db;
    }
    if (walk->journal == NULL)
        walk->aof->report.commands++;
    if (is_alone(parser, "multi")) {
        walk->in_group = true;
        walk->group_off = walk->off;
    }
    if (!walk->in_group)
        return stage(walk, bytes, err);
    if (walk->group.len + bytes.len > TRANSACTION_BYTES_MAX)
        return fail_at(walk, err, "a transaction of more than 1 GiB");
    buf_append_bytes(&walk->group, bytes);
    if (!is_alone(parser, "exec"))
        return ST_OK;
    enum status st = stage(walk, buf_bytes(&walk->group), err);
    walk->in_group = false;
    buf_clear(&walk->group);
    return st;
}

/* A line such as "#TS:1700000000", between commands; its length, 0: it is not complete. */
static size_t annotation_len(const struct buf *read)
{
    const uint8_t *end = memchr(read->data, '\n', read->len);
    return end == NULL ? 0 : (size_t)(end - read->data) + 1;
}

/* Takes what is complete off the front of `read`. ST_AGAIN: more is needed. */
static enum status parse(struct walk *walk, struct err *err)
{
    static const struct resp_limits limits = {.bulk_bytes_max = COMMAND_BYTES_MAX};
    size_t at = 0;
    enum status st = ST_OK;
    while (st == ST_OK && at < walk->read.len) {
        struct buf rest = {.data = walk->read.data + at, .len = walk->read.len - at};
        size_t len = 0;
        if (rest.data[0] == '#') {
            len = annotation_len(&rest);
            st = len == 0 ? ST_AGAIN : ST_OK;
        } else if (rest.data[0] != '*') {
            st = fail_at(walk, err, "no command begins here");
        } else {
            enum resp_parse_result result = resp_parse(&walk->parser, rest.data, rest.len, &limits);
            len = walk->parser.consumed;
            if (result == RESP_PARSE_MORE)
                st = ST_AGAIN;
            else if (result != RESP_PARSE_REQUEST || !walk->parser.canonical)
                st = fail_at(walk, err, "what is here is no command");
            else
                st = take_command(walk, bytes_make(rest.data, len), err);
        }
        if (st == ST_OK) {
            at += len;
            walk->off += len;
        }
    }
    buf_consume(&walk->read, at);
    return st == ST_AGAIN ? ST_OK : st;
}

/* The end of the file: is all of it complete? */
static enum status end_walk(struct walk *walk, struct err *err)
{
    uint64_t rest = walk->read.len;
    if (walk->in_group)
        rest += walk->off - walk->group_off;
    if (rest == 0)
        return ST_OK;
    if (!walk->is_last)
        return fail_at(walk, err, "the file ends amid a command, and others follow it");
    walk->aof->report.cut_off_bytes = rest;
    return ST_OK;
}

static enum status walk_file(struct walk *walk, struct err *err)
{
    int fd;
    uint64_t read_off = 0;
    enum status st = env_open(walk->aof->env, walk->path, ENV_READ, &fd, err);
    if (st != ST_OK)
        return st;
    static const char select_0[] = "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n";
    st = stage(walk, bytes_text(select_0), err);
    while (st == ST_OK) {
        size_t want =
            walk->parser.needed > walk->read.len + READ_BYTES ? READ_BYTES * 16 : READ_BYTES;
        size_t got = 0;
        if (!buf_try_reserve(&walk->read, want)) {
            st = err_set(err, ST_LIMIT, "%s: out of memory for a command", walk->path);
            break;
        }
        st = env_read_at(walk->aof->env, fd, walk->path, read_off, walk->read.data + walk->read.len,
                         want, &got, err);
        if (st != ST_OK || got == 0)
            break;
        read_off += got;
        walk->read.len += got;
        st = parse(walk, err);
    }
    env_close(walk->aof->env, fd);
    if (walk->journal == NULL)
        walk->aof->report.bytes += read_off;
    return st == ST_OK ? end_walk(walk, err) : st;
}

/* All files of commands, into the journal if there is one. */
static enum status walk_files(struct aof *aof, struct journal *journal, struct err *err)
{
    enum status st = ST_OK;
    for (size_t i = 0; st == ST_OK && i < aof->file_count; i++) {
        struct walk walk = {.aof = aof,
                            .path = aof->files[i],
                            .is_last = i + 1 == aof->file_count,
                            .journal = journal};
        st = walk_file(&walk, err);
        if (journal != NULL)
            journal_submit(journal);
        resp_parser_deinit(&walk.parser);
        buf_deinit(&walk.read);
        buf_deinit(&walk.group);
    }
    return st;
}

/* ---- Life -------------------------------------------------------------------------------------
 */

enum status aof_open(struct env *env, const char *manifest, struct aof **out, struct err *err)
{
    struct aof *aof = mem_calloc(1, sizeof(*aof));
    aof->env = env;
    aof->fd = -1;
    const char *slash = strrchr(manifest, '/');
    aof->dir = slash == NULL ? mem_strdup(".") : mem_strdup(manifest);
    if (slash != NULL)
        aof->dir[slash - manifest] = '\0';
    enum status st = read_manifest(aof, manifest, err);
    if (st == ST_OK)
        st = walk_files(aof, NULL, err);
    aof->report.files = aof->file_count;
    if (st != ST_OK) {
        aof_close(aof);
        return st;
    }
    *out = aof;
    return ST_OK;
}

void aof_close(struct aof *aof)
{
    if (aof == NULL)
        return;
    env_close(aof->env, aof->fd);
    for (size_t i = 0; i < aof->file_count; i++)
        mem_free(aof->files[i]);
    mem_free(aof->files);
    mem_free(aof->base);
    mem_free(aof->dir);
    mem_free(aof);
}

enum status aof_read_base(void *arg, uint8_t *out, size_t capacity, size_t *read_out,
                          struct err *err)
{
    struct aof *aof = arg;
    enum status st = ST_OK;
    if (aof->base == NULL) {
        size_t left = sizeof(empty_rdb) - (size_t)aof->base_off;
        *read_out = left < capacity ? left : capacity;
        memcpy(out, empty_rdb + aof->base_off, *read_out);
    } else {
        if (aof->fd < 0)
            st = env_open(aof->env, aof->base, ENV_READ, &aof->fd, err);
        if (st == ST_OK)
            st = env_read_at(aof->env, aof->fd, aof->base, aof->base_off, out, capacity, read_out,
                             err);
    }
    if (st == ST_OK)
        aof->base_off += *read_out;
    return st;
}

enum status aof_append(struct aof *aof, const char *dir, uint64_t offset, struct err *err)
{
    struct buf path = {0};
    buf_append_format(&path, "%s/journal", dir);
    buf_append_byte(&path, 0);
    const struct journal_options options = {.env = aof->env,
                                            .dir = (const char *)path.data,
                                            .fsync = JOURNAL_FSYNC_NO,
                                            .start_offset = offset};
    struct journal *journal = NULL;
    enum status st = journal_open(&options, &journal, err);
    if (st == ST_OK)
        st = walk_files(aof, journal, err);
    if (st == ST_OK)
        st = journal_wait_durable(journal, journal_mark(journal), err);
    journal_close(journal);
    buf_deinit(&path);
    return st == ST_OK ? import_complete_pending(aof->env, dir, err) : st;
}

const struct aof_report *aof_report(const struct aof *aof)
{
    return &aof->report;
}
