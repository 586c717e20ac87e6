/* basalt rdb diff: which keys differ between two RDB files.
 *
 * Of each key of A a table holds hashes of its name and value. B is read against it; what is left
 * over is only in A, whose names are found by reading A again. The table is bounded: files with
 * more keys than fit are read in several passes, each for a share of the names' hashes. */
#include <getopt.h>
#include <inttypes.h>
#include <string.h>

#include "codec/checksum.h"
#include "codec/mem.h"
#include "codec/number.h"
#include "tools/basalt_command.h"
#include "tools/rdb_source.h"
#include "tools/rdb_text.h"
#include "tools/tool_output.h"

#define COMMAND          "rdb diff"
#define MEMORY_DEFAULT   ((uint64_t)256 << 20)
#define MEMORY_BYTES_MIN ((uint64_t)1 << 20)
#define SLOTS_MIN        1024u

static void print_help(FILE *out)
{
    (void)fprintf(
        out,
        "Usage: basalt rdb diff A B [--json] [--memory SIZE]\n\n"
        "Names the keys that are in one RDB file only (each may be packed by zstd), and those "
        "whose\n"
        "type, value or expiry differs. How values are encoded does not matter, nor the order of\n"
        "what has none, nor when consumers were seen. Values are compared by 64-bit hashes.\n\n"
        "  --json          a line of JSON for each key, and one for the result\n"
        "  --memory SIZE   of the table of keys, 1mb or more (default 256mb); A's keys take about\n"
        "                  80 bytes each. If they do not fit, the files are read several times\n"
        "  --help          this text\n\n"
        "Exit status: 0 the files hold the same; 3 they differ; 1 one of them is damaged or "
        "cannot\n"
        "be read; 2 the command line is wrong.\n");
}

struct diff_command {
    const char *files[2];
    uint64_t memory_bytes;
    bool json, help;
};

/* What is known of a key. */
struct facts {
    uint64_t name[2]; /* two hashes of database and name; both 0: a free slot */
    uint64_t value;
    int64_t expire_at_ms; /* RDB_NO_EXPIRE */
    const char *type;     /* static */
    bool matched;         /* B has the key */
};

struct diff {
    const struct diff_command *command;
    struct tool_signals signals;
    struct facts *slots; /* owned */
    uint64_t slot_count; /* a power of two */
    uint64_t used, matched;
    uint64_t pass, passes;
    uint64_t only_a, only_b, changed, same;
};

static bool parse_command(int argc, char **argv, struct diff_command *out)
{
    static const struct option long_options[] = {{"json", no_argument, NULL, 'j'},
                                                 {"memory", required_argument, NULL, 'm'},
                                                 {"help", no_argument, NULL, 'h'},
                                                 {NULL, 0, NULL, 0}};
    *out = (struct diff_command){.memory_bytes = MEMORY_DEFAULT};
    opterr = 0;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, ":h", long_options, NULL)) != -1;) {
        if (option == 'h')
            return out->help = true;
        if (option == 'j')
            out->json = true;
        else if (option != 'm')
            return tool_complain(COMMAND, "unknown option or missing value:", argv[optind - 1]);
        else if (!number_parse_memory(bytes_text(optarg), &out->memory_bytes) ||
                 out->memory_bytes < MEMORY_BYTES_MIN || out->memory_bytes > SIZE_MAX / 2)
            return tool_complain(COMMAND, "--memory must be a size of at least 1mb, not", optarg);
    }
    if (argc - optind != 2)
        return tool_complain(COMMAND, "two files are wanted", NULL);
    for (int i = 0; i < 2; i++) {
        out->files[i] = argv[optind + i];
        if (strcmp(out->files[i], "-") == 0)
            return tool_complain(COMMAND, "standard input cannot be read again:", "-");
    }
    return true;
}

/* ---- Hashes of values ---- */

struct value_hash {
    enum rdb_value_kind kind;
    uint64_t value;
    uint64_t group, consumer; /* those that what follows belongs to */
};

static uint64_t hash_id(uint64_t seed, struct rdb_stream_id id)
{
    uint64_t words[2] = {id.ms, id.seq};
    return hash64(seed, words, sizeof(words));
}

static uint64_t hash_text(uint64_t seed, struct bytes text)
{
    return hash64(seed + text.len, text.data, text.len);
}

static enum status hash_entry(void *arg, struct rdb_stream_id id, const struct bytes *texts,
                              size_t count)
{
    struct value_hash *hash = arg;
    hash->value = hash_id(hash->value + count, id);
    for (size_t i = 0; i < count; i++)
        hash->value = hash_text(hash->value, texts[i]);
    return ST_OK;
}

/* An rdb_element_fn. What has an order is chained, what has none is summed. */
static enum status hash_element(void *arg, const struct rdb_element *element, struct err *err)
{
    struct value_hash *hash = arg;
    uint64_t bits;
    double score;
    switch (element->kind) {
    case RDB_ELEMENT_BEGIN:
        hash->kind = element->begin.kind;
        break;
    case RDB_ELEMENT_TEXT:
        if (hash->kind == RDB_VALUE_SET)
            hash->value += hash_text(1, element->text);
        else
            hash->value = hash_text(hash->value, element->text);
        break;
    case RDB_ELEMENT_SCORED:
        score = element->scored.score + 0.0; /* -0 is 0 */
        memcpy(&bits, &score, sizeof(bits));
        hash->value += hash_text(bits, element->scored.member);
        break;
    case RDB_ELEMENT_FIELD:
        bits = hash_text((uint64_t)element->field.expire_at_ms, element->field.name);
        hash->value += hash_text(bits, element->field.value);
        break;
    case RDB_ELEMENT_NODE:
        return rdb_text_each_entry(hash, element, hash_entry, err);
    case RDB_ELEMENT_STREAM:
        hash->value = hash_id(hash->value + element->stream.length, element->stream.last_id);
        break;
    case RDB_ELEMENT_GROUP:
        hash->group = hash_id(hash_text(2, element->group.name), element->group.last_id);
        hash->value += hash->group;
        break;
    case RDB_ELEMENT_CONSUMER:
        hash->consumer = hash_text(hash->group, element->consumer.name);
        hash->value += hash->consumer;
        break;
    case RDB_ELEMENT_PENDING:
        bits = hash_id(hash->consumer + element->pending.deliveries, element->pending.id);
        hash->value += hash64(bits, &element->pending.delivered_at_ms,
                              sizeof(element->pending.delivered_at_ms));
        break;
    }
    return ST_OK;
}

static enum status hash_value(struct rdb_source *source, const struct rdb_key *key,
                              uint64_t *hash_out, struct err *err)
{
    struct value_hash hash = {.value = 0};
    enum status st;
    if (rdb_key_is_module(key)) {
        struct buf raw = {0};
        st = rdb_reader_read_raw(source->reader, &raw, err);
        hash.value = hash_text(0, buf_bytes(&raw));
        buf_deinit(&raw);
    } else {
        st = rdb_reader_read_value(source->reader, hash_element, &hash, err);
    }
    *hash_out = hash.value;
    return st;
}

static struct facts facts_of(const struct rdb_key *key)
{
    struct facts facts = {.expire_at_ms = key->has_expire ? key->expire_at_ms : RDB_NO_EXPIRE,
                          .type = rdb_type_name(key->type)};
    facts.name[0] = hash_text((uint64_t)key->db << 32, key->name) | 1;
    facts.name[1] = hash_text(((uint64_t)key->db << 32) + 7777, key->name);
    return facts;
}

/* The key's slot, or the free one where it would be. */
static struct facts *find_slot(struct diff *diff, const struct facts *facts)
{
    uint64_t at = facts->name[0] >> 1 & (diff->slot_count - 1);
    while (diff->slots[at].name[0] != 0 &&
           (diff->slots[at].name[0] != facts->name[0] || diff->slots[at].name[1] != facts->name[1]))
        at = (at + 1) & (diff->slot_count - 1);
    return &diff->slots[at];
}

/* ---- Telling ---- */

static void tell(const struct diff *diff, const char *what, const struct rdb_key *key,
                 const char *details)
{
    struct buf out = {0};
    if (diff->command->json)
        buf_append_format(&out, "{\"change\":\"%s\",\"db\":%" PRIu32 ",\"key\":", what, key->db);
    else
        buf_append_format(&out, "%s db%" PRIu32 " ", what, key->db);
    tool_append_json_bytes(&out, key->name);
    buf_append_text(&out, details);
    buf_append_text(&out, diff->command->json ? "}\n" : "\n");
    (void)fwrite(out.data, 1, out.len, stdout);
    buf_deinit(&out);
}

static void tell_changed(const struct diff *diff, const struct rdb_key *key, const struct facts *a,
                         const struct facts *b)
{
    bool json = diff->command->json;
    struct buf out = {0};
    if (strcmp(a->type, b->type) != 0)
        buf_append_format(&out, json ? ",\"types\":[\"%s\",\"%s\"]" : ", type %s and %s", a->type,
                          b->type);
    else if (a->value != b->value)
        buf_append_text(&out, json ? ",\"value\":true" : ", value");
    if (a->expire_at_ms != b->expire_at_ms)
        buf_append_format(&out,
                          json ? ",\"expire_at_ms\":[%" PRId64 ",%" PRId64 "]"
                               : ", expiry %" PRId64 " and %" PRId64,
                          a->expire_at_ms, b->expire_at_ms);
    buf_append_byte(&out, '\0');
    tell(diff, "differs", key, (const char *)out.data);
    buf_deinit(&out);
}

/* ---- Passes ---- */

typedef enum status key_fn(struct diff *diff, struct rdb_source *source, const struct rdb_key *key,
                           struct facts *facts, struct err *err);

static enum status take_a(struct diff *diff, struct rdb_source *source, const struct rdb_key *key,
                          struct facts *facts, struct err *err)
{
    enum status st = hash_value(source, key, &facts->value, err);
    if (st != ST_OK)
        return st;
    struct facts *slot = find_slot(diff, facts);
    if (slot->name[0] == 0 && ++diff->used > diff->slot_count / 8 * 7)
        return err_set(err, ST_LIMIT, "more keys than were counted: %s changes",
                       source->input.name);
    *slot = *facts;
    return ST_OK;
}

static enum status compare_b(struct diff *diff, struct rdb_source *source,
                             const struct rdb_key *key, struct facts *facts, struct err *err)
{
    enum status st = hash_value(source, key, &facts->value, err);
    if (st != ST_OK)
        return st;
    struct facts *slot = find_slot(diff, facts);
    if (slot->name[0] == 0) {
        diff->only_b++;
        tell(diff, "only_b", key, "");
        return ST_OK;
    }
    diff->matched += !slot->matched;
    slot->matched = true;
    if (strcmp(slot->type, facts->type) == 0 && slot->value == facts->value &&
        slot->expire_at_ms == facts->expire_at_ms) {
        diff->same++;
        return ST_OK;
    }
    diff->changed++;
    tell_changed(diff, key, slot, facts);
    return ST_OK;
}

static enum status name_a(struct diff *diff, struct rdb_source *source, const struct rdb_key *key,
                          struct facts *facts, struct err *err)
{
    (void)source;
    (void)err;
    struct facts *slot = find_slot(diff, facts);
    if (slot->name[0] == 0 || slot->matched)
        return ST_OK;
    slot->matched = true;
    diff->only_a++;
    tell(diff, "only_a", key, "");
    return ST_OK;
}

/* Reads a file, for the keys of this pass; of no pass (`fn` is NULL): counts them. */
static enum status read_keys(struct diff *diff, int which, key_fn *fn, uint64_t *count_out,
                             struct err *err)
{
    struct rdb_source source;
    struct rdb_item item;
    enum status st =
        rdb_source_open(&source, diff->command->files[which], "comparing", &diff->signals, err);
    while (st == ST_OK && (st = rdb_source_next(&source, &item, err)) == ST_OK) {
        if (item.event != RDB_EVENT_KEY || fn == NULL)
            continue;
        struct facts facts = facts_of(&item.key);
        if (facts.name[1] % diff->passes == diff->pass)
            st = fn(diff, &source, &item.key, &facts, err);
    }
    *count_out = source.keys;
    rdb_source_close(&source);
    return st == ST_END ? ST_OK : st;
}

static enum status compare(struct diff *diff, struct err *err)
{
    uint64_t count;
    enum status st = read_keys(diff, 0, NULL, &count, err);
    if (st != ST_OK)
        return st;
    diff->slot_count = SLOTS_MIN;
    while (diff->slot_count < count * 2 &&
           diff->slot_count * 2 * sizeof(struct facts) <= diff->command->memory_bytes)
        diff->slot_count *= 2;
    diff->passes = count / (diff->slot_count / 2) + 1;
    diff->slots = mem_try_alloc(diff->slot_count * sizeof(struct facts));
    if (diff->slots == NULL)
        return err_set(err, ST_LIMIT, "out of memory for the table of keys");
    for (diff->pass = 0; diff->pass < diff->passes && st == ST_OK; diff->pass++) {
        memset(diff->slots, 0, diff->slot_count * sizeof(struct facts));
        diff->used = 0;
        diff->matched = 0;
        st = read_keys(diff, 0, take_a, &count, err);
        if (st == ST_OK)
            st = read_keys(diff, 1, compare_b, &count, err);
        if (st == ST_OK && diff->matched != diff->used)
            st = read_keys(diff, 0, name_a, &count, err);
    }
    return st;
}

static int run(const struct diff_command *command)
{
    struct diff diff = {.command = command};
    struct err err = {0};
    tool_signals_catch(&diff.signals);
    enum status st = compare(&diff, &err);
    tool_signals_release(&diff.signals);
    mem_free(diff.slots);
    if (st != ST_OK) {
        tool_print_failure(COMMAND, command->json, st, &err);
        return diff.signals.signal != 0 ? EXIT_SIGNALLED + diff.signals.signal : EXIT_FAILED;
    }
    bool equal = diff.only_a == 0 && diff.only_b == 0 && diff.changed == 0;
    (void)printf(command->json ? "{\"status\":\"%s\",\"same\":%" PRIu64 ",\"differs\":%" PRIu64
                                 ",\"only_a\":%" PRIu64 ",\"only_b\":%" PRIu64 "}\n"
                               : "The files %s: %" PRIu64 " keys are the same, %" PRIu64
                                 " differ, %" PRIu64 " are only in A, %" PRIu64 " only in B.\n",
                 equal           ? command->json ? "ok" : "hold the same"
                 : command->json ? "different"
                                 : "differ",
                 diff.same, diff.changed, diff.only_a, diff.only_b);
    return fflush(stdout) != 0 ? EXIT_FAILED : equal ? EXIT_DONE : EXIT_INCOMPLETE;
}

int basalt_rdb_diff(int argc, char **argv)
{
    struct diff_command command;
    if (!parse_command(argc, argv, &command))
        return EXIT_USAGE;
    if (command.help) {
        print_help(stdout);
        return EXIT_DONE;
    }
    return run(&command);
}
