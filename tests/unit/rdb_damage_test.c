/* Goal: a damaged RDB file is refused, or is a dataset like any other: no crash, no hang, no huge
 * allocation, and nothing is lost on the way without a word.
 *
 * Method: files of redis-server, and of our own in each version, with each type in each encoding,
 * small and large, and all that stands between keys. Each truncation and each flipped bit of them
 * is read as an import reads it, value by value into objects. With the checksum, none may reach its
 * end. Without it (as if it had been made to fit), each may reach its end or be refused, within
 * little memory; all the different keys and values of those that do are then imported for good,
 * by the thousand: the dataset must pass the audit, and its export must say the same of each key.
 * Some are imported whole: BASALT_TEST_RUNS says how many, BASALT_TEST_SEED repeats a run. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "codec/checksum.h"
#include "codec/endian.h"
#include "codec/mem.h"
#include "codec/rdb_read.h"
#include "codec/rdb_write.h"
#include "storage/audit.h"
#include "storage/env.h"
#include "storage/rdb_export.h"
#include "storage/rdb_load.h"
#include "storage/value_type.h"
#include "tests/support/byte_source.h"
#include "tests/support/dataset.h"
#include "tests/support/golden.h"
#include "tests/support/harness.h"
#include "tests/support/rdb_samples.h"
#include "tests/support/rdb_words.h"

#define FUTURE_MS           INT64_C(4102444800123)
#define LARGE_STRING_BYTES  100 /* of imports here: larger ones become chunks */
#define LARGE_BYTES         10  /* likewise of collections */
#define LONG_ELEMENT_BYTES  3000
#define RUN_MEMORY_BYTES    ((size_t)1 << 20)
#define EXTRA_MEMORY_BYTES  ((size_t)64 << 20) /* that reading a file of a few KiB may take */
#define SEEN_SLOTS          (1u << 18)
#define VARIANTS_MAX        (SEEN_SLOTS / 2)
#define NAME_PREFIX_BYTES   7 /* "123456:", before a variant's name */
#define EXPORT_VERSION_MIN  9
#define EXPORT_VERSION_LAST RDB_VERSION_MAX

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* Of the nine flips of a byte (each bit, and all) so many are tried: the others at its neighbours.
 */
#define FLIPS_MANY (SANITIZED ? 3 : 9)
#define FLIPS_FEW  (SANITIZED ? 1 : 3)

struct file {
    char name[32];
    struct buf bytes;
    unsigned flips;
};

enum { FILES_MAX = 8 };

struct fixture {
    struct file files[FILES_MAX];
    size_t count;
};

/* ---- Files ------------------------------------------------------------------------------------
 */

static struct file *add_file(struct fixture *fixture, const char *name, unsigned flips)
{
    assert_true(fixture->count < FILES_MAX);
    struct file *file = &fixture->files[fixture->count++];
    (void)snprintf(file->name, sizeof(file->name), "%s", name);
    file->flips = flips;
    return file;
}

/* A list of several nodes, which is few bytes once it is compressed. */
static void put_long_list(struct rdb_writer *writer)
{
    char *element = mem_alloc(LONG_ELEMENT_BYTES);
    struct rdb_key key = {
        .name = bytes_text("long list"), .type = RDB_TYPE_LIST, .idle_s = -1, .freq = -1};
    rdb_writer_put_key(writer, &key);
    rdb_writer_put_length(writer, 3);
    for (char c = 'a'; c <= 'c'; c++) {
        memset(element, c, LONG_ELEMENT_BYTES);
        rdb_writer_put_text(writer, bytes_make(element, LONG_ELEMENT_BYTES));
    }
    mem_free(element);
}

/* Each sample, strings, expiry, databases, a library. */
static void make_samples(struct buf *out)
{
    static const char code[] = "#!lua name=sample\nredis.register_function('f', function() end)";
    struct rdb_file file;
    size_t count;
    const struct rdb_sample *samples = rdb_samples(&count);
    rdb_file_begin(&file);
    rdb_writer_put_function(file.writer, bytes_text(code));
    rdb_file_select(&file, 0);
    rdb_writer_put_resize_db(file.writer, count + 3, 2);
    for (size_t i = 0; i < count; i++) {
        char name[32];
        struct buf value = {0};
        samples[i].put(&value);
        (void)snprintf(name, sizeof(name), "k%zu", i);
        rdb_file_put_raw(&file, name, samples[i].type, buf_bytes(&value));
        buf_deinit(&value);
    }
    put_long_list(file.writer);
    static const char repeats[] = "repeats repeats repeats repeats repeats repeats repeats repeats "
                                  "repeats repeats repeats repeats repeats repeats repeats repeats";
    rdb_file_put(&file, bytes_text("chunked"), bytes_text(repeats), FUTURE_MS);
    rdb_file_put(&file, bytes_text("12345"), bytes_text("70000"), 0);
    rdb_file_put(&file, bytes_text("64 bits"), bytes_text("-9223372036854775808"), FUTURE_MS);
    rdb_file_select(&file, 3);
    rdb_file_put(&file, bytes_text("third"), bytes_text(""), FUTURE_MS + 1000);
    rdb_file_end(&file);
    *out = file.bytes;
    file.bytes = (struct buf){0};
    rdb_file_deinit(&file);
}

static enum status append_output(void *arg, struct bytes data, struct err *err)
{
    (void)err;
    buf_append_bytes(arg, data);
    return ST_OK;
}

static void export(const char *dir, int version, struct buf *out)
{
    struct rdb_export_options options = {.env = env_posix(),
                                         .dir = dir,
                                         .redis_version = "7.2.4",
                                         .version = version,
                                         .write = append_output,
                                         .write_arg = out};
    struct rdb_export_report report;
    struct err err;
    assert_ok(rdb_export_run(&options, &report, &err), &err);
}

static struct import_options import_into(const char *dir)
{
    return (struct import_options){.dir = dir,
                                   .replace = true,
                                   .keep_expired = true,
                                   .memory_bytes = RUN_MEMORY_BYTES,
                                   .large_object_bytes = LARGE_STRING_BYTES,
                                   .large_collection_bytes = LARGE_BYTES};
}

static int make_files(void **state)
{
    struct fixture *fixture = mem_calloc(1, sizeof(*fixture));
    char *dir = harness_make_dir();
    struct import_options options = import_into(dir);
    struct import_report report;
    struct err err;
    *state = fixture;
    golden_read("rdb/v10/strings.rdb",
                &add_file(fixture, "strings of redis-server", FLIPS_MANY)->bytes);
    golden_read("rdb/v10/types.rdb",
                &add_file(fixture, "types of redis-server", FLIPS_MANY)->bytes);
    struct buf *samples = &add_file(fixture, "samples", FLIPS_FEW)->bytes;
    make_samples(samples);
    assert_ok(dataset_import(&options, buf_bytes(samples), &report, &err), &err);
    assert_true(report.large_collections > 3 && report.large_strings > 0);
    for (int version = EXPORT_VERSION_MIN; version <= EXPORT_VERSION_LAST; version++) {
        char name[32];
        unsigned flips = version == RDB_VERSION_DEFAULT ? FLIPS_MANY : FLIPS_FEW;
        (void)snprintf(name, sizeof(name), "exported as version %d", version);
        export(dir, version, &add_file(fixture, name, flips)->bytes);
    }
    harness_remove_dir(dir);
    mem_free(dir);
    return 0;
}

static int free_files(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < fixture->count; i++)
        buf_deinit(&fixture->files[i].bytes);
    mem_free(fixture);
    return 0;
}

/* ---- Reading as an import does ----------------------------------------------------------------
 */

static uint64_t new_id(void *arg)
{
    return ++*(uint64_t *)arg;
}

static enum status read_value(struct rdb_reader *reader, const struct rdb_key *key, struct err *err)
{
    uint64_t ids = 0;
    struct value_rules values = {.hash_seed = 5,
                                 .large_bytes = LARGE_BYTES,
                                 .hash_listpack_entries = 512,
                                 .hash_listpack_value = 64,
                                 .set_intset_entries = 512,
                                 .set_listpack_entries = 128,
                                 .set_listpack_value = 64,
                                 .zset_listpack_entries = 128,
                                 .zset_listpack_value = 64,
                                 .new_id = new_id,
                                 .arg = &ids};
    struct list_rules rules = {
        .values = &values, .node_size = -2, .plain_bytes = LIST_PLAIN_BYTES_MAX};
    struct rdb_load load;
    struct bytes text;
    if (key->type == RDB_TYPE_STRING)
        return rdb_reader_read_string(reader, &text, err);
    rdb_load_init(&load, &rules);
    enum status st = rdb_reader_read_value(reader, rdb_load_take, &load, err);
    if (st == ST_OK && rdb_load_finish(&load) == ST_OK) {
        struct buf record = {0};
        (void)object_value_type((enum object_type)load.o.type)->encode(&load.o, &record);
        buf_deinit(&record);
    }
    rdb_load_deinit(&load);
    return st;
}

static struct rdb_reader *open_reader(struct byte_source *source, bool ignore_checksum)
{
    return rdb_reader_create(&(struct rdb_reader_options){
        .read = byte_source_read, .read_arg = source, .ignore_checksum = ignore_checksum});
}

/* Returns ST_END only when nothing stands behind the file's end, as an import wants it. */
static enum status read_file(struct bytes bytes, bool ignore_checksum, struct err *err)
{
    struct byte_source source = {.data = bytes};
    struct rdb_reader *reader = open_reader(&source, ignore_checksum);
    struct rdb_item item;
    enum status st;
    while ((st = rdb_reader_next(reader, &item, err)) == ST_OK)
        if (item.event == RDB_EVENT_KEY && item.key.type != RDB_TYPE_MODULE_2) {
            st = read_value(reader, &item.key, err);
            if (st != ST_OK)
                break;
        }
    if (st == ST_END && rdb_reader_rest(reader).len != 0)
        st = err_set(err, ST_CORRUPT, "the input goes on");
    rdb_reader_destroy(reader);
    return st;
}

/* A file that claims more than it has is refused for that, not because memory was asked for. */
static void assert_refused(const struct file *file, size_t at, enum status st,
                           const struct err *err)
{
    bool refused = st == ST_CORRUPT || st == ST_UNSUPPORTED ||
                   (st == ST_LIMIT && strstr(err->message, "over the limit") != NULL);
    if (!refused)
        fail_msg("%s, byte %zu: %s: %s", file->name, at, status_name(st), err->message);
}

/* ---- Bounding memory: the address space of the process, but for sanitizers, which need it. */

static size_t address_space_bytes(void)
{
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    assert_non_null(statm);
    assert_int_equal(fscanf(statm, "%lu", &pages), 1);
    (void)fclose(statm);
    return (size_t)pages * 4096;
}

static void bound_memory(struct rlimit *before)
{
    assert_int_equal(getrlimit(RLIMIT_AS, before), 0);
    if (SANITIZED)
        return;
    struct rlimit limit = {.rlim_cur = address_space_bytes() + EXTRA_MEMORY_BYTES,
                           .rlim_max = before->rlim_max};
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
}

static void unbound_memory(const struct rlimit *before)
{
    assert_int_equal(setrlimit(RLIMIT_AS, before), 0);
}

/* ---- Truncations ------------------------------------------------------------------------
 */

static void the_files_themselves_are_good(void **state)
{
    const struct fixture *fixture = *state;
    for (size_t i = 0; i < fixture->count; i++) {
        struct err err = {0};
        enum status st = read_file(buf_bytes(&fixture->files[i].bytes), false, &err);
        if (st != ST_END)
            fail_msg("%s: %s", fixture->files[i].name, err.message);
    }
}

static void each_truncation_is_refused(void **state)
{
    const struct fixture *fixture = *state;
    struct rlimit before;
    bound_memory(&before);
    for (size_t i = 0; i < fixture->count; i++) {
        const struct file *file = &fixture->files[i];
        for (size_t len = 0; len < file->bytes.len; len++) {
            struct err err = {0};
            uint8_t *part = mem_alloc(len + 1); /* so that reading behind it is seen */
            memcpy(part, file->bytes.data, len);
            part = mem_realloc(part, len == 0 ? 1 : len);
            assert_refused(file, len, read_file(bytes_make(part, len), false, &err), &err);
            mem_free(part);
        }
    }
    unbound_memory(&before);
}

/* ---- Flips ------------------------------------------------------------------------------------
 */

/* The different keys of all files that were read to their end, as one file. */
struct variants {
    struct rdb_file file;
    uint64_t *seen; /* hashes of what is in it; 0: free */
    uint64_t count;
    uint64_t accepted, refused; /* files */
};

/* False: it was there. */
static bool note_seen(struct variants *variants, uint64_t hash)
{
    uint64_t slot = hash % SEEN_SLOTS;
    while (variants->seen[slot] != 0 && variants->seen[slot] != hash)
        slot = (slot + 1) % SEEN_SLOTS;
    if (variants->seen[slot] == hash)
        return false;
    assert_true(++variants->count <= VARIANTS_MAX);
    variants->seen[slot] = hash;
    return true;
}

static void note_variant(struct variants *variants, const struct rdb_key *key, struct bytes raw)
{
    uint64_t hash = hash64(key->type, key->name.data, key->name.len);
    hash = hash64(hash, &key->expire_at_ms, sizeof(key->expire_at_ms));
    hash = hash64(hash, raw.data, raw.len);
    if (!note_seen(variants, hash | 1))
        return;
    struct buf name = {0};
    struct rdb_key renamed = *key;
    buf_append_format(&name, "%06u:", (unsigned)variants->count);
    assert_int_equal(name.len, NAME_PREFIX_BYTES);
    buf_append_bytes(&name, key->name);
    renamed.name = buf_bytes(&name);
    rdb_writer_put_raw(variants->file.writer, &renamed, raw);
    buf_deinit(&name);
}

static void collect(struct variants *variants, struct bytes bytes)
{
    struct byte_source source = {.data = bytes};
    struct rdb_reader *reader = open_reader(&source, true);
    struct buf raw = {0};
    struct rdb_item item;
    struct err err;
    enum status st;
    while ((st = rdb_reader_next(reader, &item, &err)) == ST_OK)
        if (item.event == RDB_EVENT_KEY && item.key.type != RDB_TYPE_MODULE_2) {
            buf_clear(&raw);
            assert_ok(rdb_reader_read_raw(reader, &raw, &err), &err);
            note_variant(variants, &item.key, buf_bytes(&raw));
        }
    assert_status(st, ST_END);
    rdb_reader_destroy(reader);
    buf_deinit(&raw);
}

/* The file reaches its end: it must be the checksum, or what a version without one takes for
 * more input, that stops it. */
static void assert_checksum_stops(const struct file *file, size_t at)
{
    struct byte_source source = {.data = buf_bytes(&file->bytes)};
    struct rdb_reader *reader = open_reader(&source, false);
    struct rdb_item item;
    struct err err = {0};
    enum status st;
    while ((st = rdb_reader_next(reader, &item, &err)) == ST_OK)
        ; /* values are skipped */
    if (st != ST_END || rdb_reader_rest(reader).len == 0)
        assert_refused(file, at, st, &err);
    rdb_reader_destroy(reader);
}

static void try_flip(struct variants *variants, struct file *file, size_t at)
{
    struct err err = {0};
    enum status st = read_file(buf_bytes(&file->bytes), true, &err);
    if (st == ST_END) {
        assert_checksum_stops(file, at);
        collect(variants, buf_bytes(&file->bytes));
        variants->accepted++;
    } else {
        assert_refused(file, at, st, &err);
        variants->refused++;
    }
}

static void try_flips(struct variants *variants, struct file *file)
{
    for (size_t at = 0; at < file->bytes.len; at++)
        for (unsigned number = 0; number < file->flips; number++) {
            unsigned bit = (unsigned)(at * file->flips + number) % 9;
            uint8_t flip = (uint8_t)(bit == 8 ? 0xff : 1u << bit);
            file->bytes.data[at] ^= flip;
            try_flip(variants, file, at);
            file->bytes.data[at] ^= flip;
        }
}

static void count_finding(void *arg, enum audit_kind kind, bool repaired, const char *text)
{
    (void)repaired;
    if (audit_kind_is_normal(kind))
        return;
    ++*(size_t *)arg;
    print_error("%s: %s\n", audit_kind_name(kind), text);
}

static void assert_sound(const char *dir)
{
    size_t findings = 0;
    struct audit_options options = {
        .env = env_posix(), .dir = dir, .deep = true, .finding = count_finding, .arg = &findings};
    struct audit_report report;
    struct err err;
    assert_ok(audit_run(&options, &report, &err), &err);
    assert_false(report.incomplete);
    assert_int_equal(findings, 0);
}

/* A key in words; none when the file does not have it. */
struct told {
    struct buf words;
    bool partly; /* the oldest streams do not say all that is known of a stream */
};

/* What a file says of each key, by the number in front of its name. */
static void tell_all(struct bytes bytes, struct told *told, uint64_t count)
{
    struct byte_source source = {.data = bytes};
    struct rdb_reader *reader = open_reader(&source, false);
    struct buf raw = {0};
    struct rdb_item item;
    struct err err;
    enum status st;
    while ((st = rdb_reader_next(reader, &item, &err)) == ST_OK)
        if (item.event == RDB_EVENT_KEY) {
            unsigned number = 0;
            for (size_t i = 0; i < NAME_PREFIX_BYTES - 1; i++)
                number = number * 10 + item.key.name.data[i] - '0';
            assert_in_range(number, 1, count);
            struct buf *words = &told[number - 1].words;
            assert_int_equal(words->len, 0);
            buf_append_bytes(words, item.key.name);
            buf_append_format(words, " %lld ", (long long)item.key.expire_at_ms);
            buf_clear(&raw);
            assert_ok(rdb_reader_read_raw(reader, &raw, &err), &err);
            assert_ok(rdb_words_append(words, item.key.type, buf_bytes(&raw), &err), &err);
            told[number - 1].partly = item.key.type == RDB_TYPE_STREAM_LISTPACKS;
        }
    assert_status(st, ST_END);
    rdb_reader_destroy(reader);
    buf_deinit(&raw);
}

static void assert_same_words(const struct told *before, const struct told *after)
{
    struct bytes old = buf_bytes(&before->words);
    struct bytes new = buf_bytes(&after->words);
    const uint8_t *group = memmem(old.data, old.len, " group ", 7);
    if (before->partly) {
        old.len = group != NULL ? (size_t)(group - old.data) : old.len;
        new.len = new.len < old.len ? new.len : old.len;
    }
    assert_bytes(new, old);
}

/* Both files say the same, but for the keys without a value, which the first one alone has. */
static void assert_same(struct bytes before, struct bytes after, uint64_t count, uint64_t empty)
{
    struct told *olds = mem_calloc(count, sizeof(*olds));
    struct told *news = mem_calloc(count, sizeof(*news));
    tell_all(before, olds, count);
    tell_all(after, news, count);
    for (uint64_t i = 0; i < count; i++) {
        assert_true(olds[i].words.len != 0);
        if (news[i].words.len != 0)
            assert_same_words(&olds[i], &news[i]);
        else
            empty--;
        buf_deinit(&olds[i].words);
        buf_deinit(&news[i].words);
    }
    assert_int_equal(empty, 0);
    mem_free(olds);
    mem_free(news);
}

static void import_variants(struct variants *variants)
{
    char *dir = harness_make_dir();
    struct import_options options = import_into(dir);
    struct import_report report;
    struct err err;
    struct buf after = {0};
    struct bytes before = buf_bytes(&variants->file.bytes);
    assert_ok(dataset_import(&options, before, &report, &err), &err);
    assert_int_equal(report.keys + report.empty, variants->count);
    assert_int_equal(report.expired, 0);
    assert_sound(dir);
    export(dir, RDB_VERSION_MAX, &after);
    assert_same(before, buf_bytes(&after), variants->count, report.empty);
    buf_deinit(&after);
    harness_remove_dir(dir);
    mem_free(dir);
}

static void each_flip_is_refused_or_but_for_the_checksum_a_sound_dataset(void **state)
{
    struct fixture *fixture = *state;
    struct variants variants = {.seen = mem_calloc(SEEN_SLOTS, sizeof(uint64_t))};
    struct rlimit before;
    rdb_file_begin(&variants.file);
    rdb_file_select(&variants.file, 0);
    bound_memory(&before);
    for (size_t i = 0; i < fixture->count; i++)
        try_flips(&variants, &fixture->files[i]);
    unbound_memory(&before);
    rdb_file_end(&variants.file);
    print_message("%llu flipped files refused, %llu read, with %llu keys that differ\n",
                  (unsigned long long)variants.refused, (unsigned long long)variants.accepted,
                  (unsigned long long)variants.count);
    assert_true(variants.refused > 1000 && variants.accepted > 1000);
    import_variants(&variants);
    rdb_file_deinit(&variants.file);
    mem_free(variants.seen);
}

/* ---- Whole files, imported --------------------------------------------------------------------
 */

static uint64_t number_from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static uint64_t next_random(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

/* What stands between the keys counts, too: databases, libraries. */
static void import_flipped(const char *dir, const struct file *file, size_t at, uint8_t flip)
{
    struct import_options options = import_into(dir);
    struct import_report report;
    struct err err = {0};
    struct buf flipped = {0};
    size_t end = file->bytes.len - RDB_CHECKSUM_BYTES;
    buf_append_bytes(&flipped, buf_bytes(&file->bytes));
    flipped.data[at] ^= flip;
    store_le64(flipped.data + end, crc64(0, flipped.data, end));
    enum status st = dataset_import(&options, buf_bytes(&flipped), &report, &err);
    if (st == ST_OK)
        assert_sound(dir);
    else
        assert_refused(file, at, st, &err);
    buf_deinit(&flipped);
}

static void some_flipped_files_are_imported_whole(void **state)
{
    const struct fixture *fixture = *state;
    uint64_t runs = number_from_environment("BASALT_TEST_RUNS", 10);
    uint64_t seed = number_from_environment("BASALT_TEST_SEED", (uint64_t)harness_now_ms() | 1);
    char *dir = harness_make_dir();
    print_message("BASALT_TEST_SEED=%llu\n", (unsigned long long)seed);
    for (uint64_t random = seed; runs != 0; runs--) {
        const struct file *file = &fixture->files[next_random(&random) % fixture->count];
        size_t at = next_random(&random) % (file->bytes.len - RDB_CHECKSUM_BYTES);
        import_flipped(dir, file, at, (uint8_t)(1u << next_random(&random) % 8));
    }
    harness_remove_dir(dir);
    mem_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_files_themselves_are_good),
        TEST(each_truncation_is_refused),
        TEST(each_flip_is_refused_or_but_for_the_checksum_a_sound_dataset),
        TEST(some_flipped_files_are_imported_whole),
    };
    return cmocka_run_group_tests_name("rdb_damage", tests, make_files, free_files);
}
