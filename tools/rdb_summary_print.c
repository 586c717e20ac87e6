/* A summary as text for people, and as one line of JSON. */
#include <inttypes.h>

#include "codec/mem.h"
#include "tools/progress.h"
#include "tools/rdb_summary.h"
#include "tools/tool_output.h"

#define NAME_CHARS 44 /* a column */

/* Bytes as text that does no harm to a terminal; returns how many columns it takes. */
static int append_plain(struct buf *out, struct bytes text)
{
    size_t before = out->len;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < 0x20 || text.data[i] > 0x7e || text.data[i] == '\\')
            buf_append_format(out, "\\x%02x", text.data[i]);
        else
            buf_append_byte(out, text.data[i]);
    }
    return (int)(out->len - before);
}

static void append_row(struct buf *out, int indent, struct bytes name,
                       const struct rdb_tally *tally, bool elements)
{
    char a[32];
    char b[32];
    buf_append_format(out, "%*s", indent, "");
    int used = indent + append_plain(out, name);
    buf_append_format(out, "%*s %15s %12s", used < NAME_CHARS ? NAME_CHARS - used : 0, "",
                      progress_format_count(tally->keys, a),
                      progress_format_bytes(tally->bytes, b));
    if (elements)
        buf_append_format(out, " %15s", progress_format_count(tally->elements, a));
    buf_append_byte(out, '\n');
}

static void append_heading(struct buf *out, const char *name, const char *columns)
{
    buf_append_format(out, "\n%-*s %s\n", NAME_CHARS, name, columns);
}

/* ---- Prefixes: a walk without recursion, since its depth comes from the command line. */

struct prefix_level {
    uint32_t shown[RDB_SUMMARY_TOP_MAX];
    size_t count;
    size_t at;             /* the next one of them */
    struct rdb_tally rest; /* what is in none of them */
    size_t path_len;       /* of the prefix */
};

struct prefix_row {
    uint32_t depth;
    bool is_other; /* keys of the path that are in none of the prefixes shown below it */
    struct bytes path, segment;
    struct rdb_tally tally;
};

typedef void prefix_row_fn(struct buf *out, const struct prefix_row *row);

static void enter(struct prefix_level *level, const struct rdb_summary_print *print, uint32_t index)
{
    const struct rdb_prefixes *prefixes = print->summary->prefixes;
    const struct rdb_prefix *node = rdb_prefixes_get(prefixes, index);
    level->at = 0;
    level->count = rdb_prefixes_largest(prefixes, index, level->shown, print->top);
    level->rest = (struct rdb_tally){.keys = node->keys, .bytes = node->bytes};
    for (size_t i = 0; i < level->count; i++) {
        const struct rdb_prefix *child = rdb_prefixes_get(prefixes, level->shown[i]);
        level->rest.keys -= child->keys;
        level->rest.bytes -= child->bytes;
    }
}

static void each_prefix(const struct rdb_summary_print *print, struct buf *out, prefix_row_fn *fn)
{
    struct prefix_level *levels = mem_calloc(RDB_SUMMARY_DEPTH_MAX + 1, sizeof(*levels));
    struct buf path = {0};
    uint32_t depth = 0;
    enter(&levels[0], print, 0);
    for (;;) {
        struct prefix_level *level = &levels[depth];
        path.len = level->path_len;
        if (level->at < level->count) {
            uint32_t index = level->shown[level->at++];
            const struct rdb_prefix *node = rdb_prefixes_get(print->summary->prefixes, index);
            buf_append_bytes(&path, node->segment);
            fn(out, &(struct prefix_row){
                        .depth = depth,
                        .path = buf_bytes(&path),
                        .segment = node->segment,
                        .tally = {.keys = node->keys, .bytes = node->bytes},
                    });
            if (node->children == 0)
                continue;
            depth = node->depth;
            enter(&levels[depth], print, index);
            levels[depth].path_len = path.len;
            continue;
        }
        if (level->rest.keys != 0)
            fn(out, &(struct prefix_row){.depth = depth,
                                         .is_other = true,
                                         .path = buf_bytes(&path),
                                         .segment = bytes_text("(other)"),
                                         .tally = level->rest});
        if (depth == 0)
            break;
        depth--;
    }
    buf_deinit(&path);
    mem_free(levels);
}

/* ---- Text ---- */

static void append_prefix_row(struct buf *out, const struct prefix_row *row)
{
    append_row(out, 2 + 2 * (int)row->depth, row->segment, &row->tally, false);
}

static void append_top(struct buf *out, const struct rdb_summary_top *top, const char *heading)
{
    char a[32];
    char b[32];
    append_heading(out, heading, "          bytes        elements");
    for (size_t i = 0; i < top->count; i++) {
        const struct rdb_summary_key *key = &top->keys[i];
        buf_append_text(out, "  ");
        int used = 2 + append_plain(out, buf_bytes(&key->name));
        if (key->cut_off)
            buf_append_text(out, "...");
        buf_append_format(
            out, "%*s %15s %15s  db%" PRIu32 " %s\n", used < NAME_CHARS ? NAME_CHARS - used : 0, "",
            progress_format_bytes(key->bytes, a), progress_format_count(key->elements, b), key->db,
            rdb_type_name(key->type));
    }
}

static void append_types(struct buf *out, const struct rdb_summary *summary)
{
    append_heading(out, "Types and encodings", "           keys        bytes        elements");
    for (uint8_t type = 0; type < RDB_TYPE_COUNT; type++) {
        if (summary->types[type].keys == 0)
            continue;
        struct buf name = {0};
        buf_append_format(&name, "%s, %s", rdb_type_name(type), rdb_summary_encoding(type));
        append_row(out, 2, buf_bytes(&name), &summary->types[type], true);
        buf_deinit(&name);
    }
    append_heading(out, "Databases", "           keys        bytes        elements");
    for (size_t i = 0; i < summary->db_count; i++) {
        struct buf name = {0};
        buf_append_format(&name, "db%" PRIu32 " (%" PRIu64 " with an expiry)", summary->dbs[i].db,
                          summary->dbs[i].expires);
        append_row(out, 2, buf_bytes(&name), &summary->dbs[i].tally, true);
        buf_deinit(&name);
    }
}

static void append_expiry(struct buf *out, const struct rdb_summary *summary)
{
    char a[32];
    append_heading(out, "Expiry, from when the file was written", "           keys");
    for (size_t i = 0; i < RDB_SUMMARY_TERMS; i++)
        if (summary->terms[i] != 0)
            buf_append_format(out, "  %-*s %15s\n", NAME_CHARS - 2, rdb_summary_terms[i].name,
                              progress_format_count(summary->terms[i], a));
    buf_append_format(out, "  %-*s %15s\n", NAME_CHARS - 2, "never",
                      progress_format_count(summary->total.keys - summary->expires, a));
    if (summary->expired_now != 0)
        buf_append_format(out, "  By now %s keys have expired: they are not loaded any more.\n",
                          progress_format_count(summary->expired_now, a));
}

void rdb_summary_to_text(const struct rdb_summary_print *print, struct buf *out)
{
    const struct rdb_summary *summary = print->summary;
    char a[32];
    char b[32];
    buf_append_format(out, "RDB version %d, %s, %s keys, %s.\n", print->version,
                      progress_format_bytes(print->bytes, a),
                      progress_format_count(summary->total.keys, b),
                      print->failure != NULL ? "DAMAGED: only what is before the damage is counted"
                      : print->has_checksum  ? "the checksum is right"
                                             : "without a checksum");
    for (size_t i = 0; i < summary->note_count; i++) {
        buf_append_text(out, "  ");
        (void)append_plain(out, buf_bytes(&summary->notes[i].name));
        buf_append_text(out, ": ");
        (void)append_plain(out, buf_bytes(&summary->notes[i].value));
        buf_append_byte(out, '\n');
    }
    if (summary->functions != 0)
        buf_append_format(out, "  %" PRIu64 " function libraries, %s\n", summary->functions,
                          progress_format_bytes(summary->function_bytes, a));
    if (summary->module_data != 0)
        buf_append_format(out, "  %" PRIu64 " records of modules' own data\n",
                          summary->module_data);
    if (summary->total.keys == 0)
        return;
    append_types(out, summary);
    append_expiry(out, summary);
    append_top(out, &summary->by_bytes, "Largest keys by bytes in the file");
    append_top(out, &summary->by_elements, "Largest keys by elements");
    append_heading(out, "Prefixes", "           keys        bytes");
    each_prefix(print, out, append_prefix_row);
}

/* ---- JSON ---- */

static void append_json_tally(struct buf *out, const struct rdb_tally *tally)
{
    buf_append_format(out, "\"keys\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"elements\":%" PRIu64 "}",
                      tally->keys, tally->bytes, tally->elements);
}

/* Before each member of a list but the first. */
static void append_comma(struct buf *out)
{
    if (out->data[out->len - 1] != '[' && out->data[out->len - 1] != '{')
        buf_append_byte(out, ',');
}

static void append_json_prefix_row(struct buf *out, const struct prefix_row *row)
{
    append_comma(out);
    buf_append_text(out, "{\"prefix\":");
    tool_append_json_bytes(out, row->path);
    buf_append_format(out, ",\"other\":%s,\"keys\":%" PRIu64 ",\"bytes\":%" PRIu64 "}",
                      row->is_other ? "true" : "false", row->tally.keys, row->tally.bytes);
}

static void append_json_top(struct buf *out, const char *name, const struct rdb_summary_top *top)
{
    buf_append_format(out, ",\"%s\":[", name);
    for (size_t i = 0; i < top->count; i++) {
        const struct rdb_summary_key *key = &top->keys[i];
        append_comma(out);
        buf_append_text(out, "{\"key\":");
        tool_append_json_bytes(out, buf_bytes(&key->name));
        buf_append_format(out,
                          ",\"cut_off\":%s,\"db\":%" PRIu32 ",\"type\":\"%s\",\"encoding\":\"%s\""
                          ",\"bytes\":%" PRIu64 ",\"elements\":%" PRIu64 "}",
                          key->cut_off ? "true" : "false", key->db, rdb_type_name(key->type),
                          rdb_summary_encoding(key->type), key->bytes, key->elements);
    }
    buf_append_byte(out, ']');
}

static void append_json_groups(struct buf *out, const struct rdb_summary *summary)
{
    buf_append_text(out, ",\"types\":[");
    for (uint8_t type = 0; type < RDB_TYPE_COUNT; type++) {
        if (summary->types[type].keys == 0)
            continue;
        append_comma(out);
        buf_append_format(out, "{\"type\":\"%s\",\"encoding\":\"%s\",", rdb_type_name(type),
                          rdb_summary_encoding(type));
        append_json_tally(out, &summary->types[type]);
    }
    buf_append_text(out, "],\"databases\":[");
    for (size_t i = 0; i < summary->db_count; i++) {
        append_comma(out);
        buf_append_format(out, "{\"db\":%" PRIu32 ",\"expires\":%" PRIu64 ",", summary->dbs[i].db,
                          summary->dbs[i].expires);
        append_json_tally(out, &summary->dbs[i].tally);
    }
    buf_append_format(out, "],\"expires\":%" PRIu64 ",\"expired_now\":%" PRIu64 ",\"expiry\":{",
                      summary->expires, summary->expired_now);
    for (size_t i = 0; i < RDB_SUMMARY_TERMS; i++) {
        append_comma(out);
        buf_append_format(out, "\"%s\":%" PRIu64, rdb_summary_terms[i].json, summary->terms[i]);
    }
    buf_append_byte(out, '}');
}

void rdb_summary_to_json(const struct rdb_summary_print *print, struct buf *out)
{
    const struct rdb_summary *summary = print->summary;
    buf_append_format(out,
                      "{\"status\":\"%s\",\"message\":", print->failure == NULL ? "ok" : "damaged");
    if (print->failure == NULL)
        buf_append_text(out, "null");
    else
        tool_append_json_text(out, print->failure);
    buf_append_format(out,
                      ",\"rdb_version\":%d,\"checksum\":%s,\"rdb_bytes\":%" PRIu64
                      ",\"keys\":%" PRIu64 ",\"functions\":%" PRIu64 ",\"module_data\":%" PRIu64
                      ",\"notes\":{",
                      print->version, print->has_checksum ? "true" : "false", print->bytes,
                      summary->total.keys, summary->functions, summary->module_data);
    for (size_t i = 0; i < summary->note_count; i++) {
        struct buf name = {0};
        (void)append_plain(&name, buf_bytes(&summary->notes[i].name));
        buf_append_byte(&name, '\0');
        append_comma(out);
        tool_append_json_text(out, (const char *)name.data);
        buf_append_byte(out, ':');
        tool_append_json_bytes(out, buf_bytes(&summary->notes[i].value));
        buf_deinit(&name);
    }
    buf_append_byte(out, '}');
    append_json_groups(out, summary);
    append_json_top(out, "largest_by_bytes", &summary->by_bytes);
    append_json_top(out, "largest_by_elements", &summary->by_elements);
    buf_append_text(out, ",\"prefixes\":[");
    each_prefix(print, out, append_json_prefix_row);
    buf_append_text(out, "]}\n");
}
