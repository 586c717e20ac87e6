/* LCS: the longest common subsequence of two strings, by the classic table of the lengths for all
 * pairs of prefixes. Source: t_string.c of Redis 7.2, whose choice among equally long subsequences
 * is part of the reply. */
#include "server/call.h"
#include "server/commands/rows.h"
#include "server/commands/string_edit.h"
#include "server/commands/tables.h"
#include "server/config.h"
#include "server/services.h"

#include "codec/mem.h"

struct lcs_options {
    bool len;
    bool idx;
    bool with_match_len;
    int64_t match_len_min;
};

struct lcs {
    struct bytes a;
    struct bytes b;
    uint32_t *table; /* owned; (a.len + 1) rows of (b.len + 1) lengths */
};

/* Length for the first `i` bytes of a and the first `j` of b. */
static uint32_t *cell(const struct lcs *lcs, size_t i, size_t j)
{
    return &lcs->table[i * (lcs->b.len + 1) + j];
}

static bool parse_options(struct call *c, struct lcs_options *out)
{
    *out = (struct lcs_options){0};
    for (int i = 3; i < c->argc; i++) {
        if (call_arg_is(c, i, "idx")) {
            out->idx = true;
        } else if (call_arg_is(c, i, "len")) {
            out->len = true;
        } else if (call_arg_is(c, i, "withmatchlen")) {
            out->with_match_len = true;
        } else if (call_arg_is(c, i, "minmatchlen") && i + 1 < c->argc) {
            if (!call_arg_i64(c, ++i, &out->match_len_min))
                return false;
        } else {
            reply_error_id(c->reply, ERROR_SYNTAX);
            return false;
        }
    }
    if (out->len && out->idx) {
        reply_error(c->reply, "ERR If you want both the length and indexes, please just use IDX.");
        return false;
    }
    return true;
}

static bool allocate_table(struct call *c, struct lcs *lcs)
{
    if (lcs->a.len >= UINT32_MAX - 1 || lcs->b.len >= UINT32_MAX - 1) {
        reply_error(c->reply, "ERR String too long for LCS");
        return false;
    }
    uint64_t cells, bytes;
    if (!__builtin_mul_overflow(lcs->a.len + 1, lcs->b.len + 1, &cells) &&
        !__builtin_mul_overflow(cells, sizeof(uint32_t), &bytes)) {
        if (bytes > (uint64_t)c->services->config->proto_max_bulk_len) {
            reply_error(c->reply, "ERR Insufficient memory, transient memory for LCS exceeds "
                                  "proto-max-bulk-len");
            return false;
        }
        lcs->table = mem_try_alloc(bytes);
    }
    if (lcs->table == NULL)
        reply_error(c->reply,
                    "ERR Insufficient memory, failed allocating transient memory for LCS");
    return lcs->table != NULL;
}

static void fill_table(struct lcs *lcs)
{
    for (size_t j = 0; j <= lcs->b.len; j++)
        *cell(lcs, 0, j) = 0;
    for (size_t i = 1; i <= lcs->a.len; i++) {
        const uint32_t *above = cell(lcs, i - 1, 0);
        uint32_t *row = cell(lcs, i, 0);
        uint8_t byte = lcs->a.data[i - 1];
        row[0] = 0;
        for (size_t j = 1; j <= lcs->b.len; j++) {
            uint32_t longest = above[j] > row[j - 1] ? above[j] : row[j - 1];
            row[j] = byte == lcs->b.data[j - 1] ? above[j - 1] + 1 : longest;
        }
    }
}

/* One step back from (i, j) where the bytes differ: towards the longer subsequence. */
static void step_back(const struct lcs *lcs, size_t *i, size_t *j)
{
    if (*cell(lcs, *i - 1, *j) > *cell(lcs, *i, *j - 1))
        --*i;
    else
        --*j;
}

static void reply_subsequence(struct call *c, const struct lcs *lcs)
{
    size_t len = *cell(lcs, lcs->a.len, lcs->b.len);
    uint8_t *text = mem_alloc(len + 1);
    size_t left = len;
    size_t i = lcs->a.len, j = lcs->b.len;
    while (left > 0) {
        if (lcs->a.data[i - 1] == lcs->b.data[j - 1]) {
            text[--left] = lcs->a.data[i - 1];
            i--, j--;
        } else {
            step_back(lcs, &i, &j);
        }
    }
    reply_bulk(c->reply, bytes_make(text, len));
    mem_free(text);
}

static void reply_match(struct call *c, size_t i, size_t j, size_t len, bool with_len)
{
    reply_array(c->reply, with_len ? 3 : 2);
    reply_array(c->reply, 2);
    reply_integer(c->reply, (int64_t)i);
    reply_integer(c->reply, (int64_t)(i + len - 1));
    reply_array(c->reply, 2);
    reply_integer(c->reply, (int64_t)j);
    reply_integer(c->reply, (int64_t)(j + len - 1));
    if (with_len)
        reply_integer(c->reply, (int64_t)len);
}

/* The ranges that match, from the last one to the first. */
static void reply_matches(struct call *c, const struct lcs *lcs, const struct lcs_options *options)
{
    reply_map(c->reply, 2);
    reply_bulk_text(c->reply, "matches");
    struct reply_deferred matches = reply_deferred_begin(c->reply);
    uint64_t count = 0;
    size_t i = lcs->a.len, j = lcs->b.len;
    while (i > 0 && j > 0) {
        size_t len = 0;
        while (i > 0 && j > 0 && lcs->a.data[i - 1] == lcs->b.data[j - 1])
            i--, j--, len++;
        if (len > 0 && (int64_t)len >= options->match_len_min) {
            reply_match(c, i, j, len, options->with_match_len);
            count++;
        }
        if (i > 0 && j > 0)
            step_back(lcs, &i, &j);
    }
    reply_deferred_array(c->reply, &matches, count);
    reply_bulk_text(c->reply, "len");
    reply_integer(c->reply, *cell(lcs, lcs->a.len, lcs->b.len));
}

static void run(struct call *c, struct lcs *lcs)
{
    struct lcs_options options;
    if (!parse_options(c, &options) || !allocate_table(c, lcs))
        return;
    fill_table(lcs);
    if (options.idx)
        reply_matches(c, lcs, &options);
    else if (options.len)
        reply_integer(c->reply, *cell(lcs, lcs->a.len, lcs->b.len));
    else
        reply_subsequence(c, lcs);
    mem_free(lcs->table);
}

/* A view of the value; `copy` holds it where there is none. */
static struct bytes value_of(const struct object *o, char scratch[STRING_SCRATCH_BYTES],
                             struct buf *copy)
{
    struct bytes value = {0};
    if (o == NULL || string_view(o, scratch, &value))
        return value;
    string_append_to(o, copy);
    return buf_bytes(copy);
}

static void cmd_lcs(struct call *c)
{
    const struct object *a = call_find_read(c, 0);
    const struct object *b = call_find_read(c, 1);
    if ((a != NULL && a->type != OBJECT_STRING) || (b != NULL && b->type != OBJECT_STRING)) {
        reply_error(c->reply, "ERR The specified keys must contain string values");
        return;
    }
    char scratch[2][STRING_SCRATCH_BYTES];
    struct buf copies[2] = {{0}, {0}};
    struct lcs lcs = {.a = value_of(a, scratch[0], &copies[0]),
                      .b = value_of(b, scratch[1], &copies[1])};
    run(c, &lcs);
    buf_deinit(&copies[0]);
    buf_deinit(&copies[1]);
}

const struct command cmd_lcs_table[] = {
    {.name = "lcs",
     .handler = cmd_lcs,
     .arity = -3,
     .flags = CMD_READONLY,
     .acl = ACL_STRING,
     .keys = {KEY_RANGE(1, 1, 1, KEY_RO | KEY_ACCESS)},
     .group = "string",
     .since = "7.0.0",
     .complexity = "O(N*M) where N and M are the lengths of s1 and s2, respectively",
     .summary = "Finds the longest common substring.",
     .args = ARGS(ARG("key1", KEY), ARG("key2", KEY), TOKEN("len", "LEN", .flags = ARG_OPTIONAL),
                  TOKEN("idx", "IDX", .flags = ARG_OPTIONAL),
                  ARG("min-match-len", INTEGER, .flags = ARG_OPTIONAL, .token = "MINMATCHLEN"),
                  TOKEN("withmatchlen", "WITHMATCHLEN", .flags = ARG_OPTIONAL))},
    {.name = NULL},
};
