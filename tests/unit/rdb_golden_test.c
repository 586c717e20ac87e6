/* Goal: an RDB file of any Redis version is the dataset that it was, whatever its encodings.
 * Method: golden files of each version are imported, with their collections small and large; the
 * dataset's export, in words, is what stands beside the golden file. */
#include <stdlib.h>

#include "codec/mem.h"
#include "codec/rdb_read.h"
#include "storage/env.h"
#include "storage/rdb_export.h"
#include "tests/support/byte_source.h"
#include "tests/support/dataset.h"
#include "tests/support/golden.h"
#include "tests/support/harness.h"
#include "tests/support/rdb_words.h"

#include <stdio.h>

#define LINES_MAX 256

static const int versions[] = {1, 2, 6, 7, 8, 9, 10, 11, 12};

static enum status append_output(void *arg, struct bytes data, struct err *err)
{
    (void)err;
    buf_append_bytes(arg, data);
    return ST_OK;
}

/* Imports `rdb` and exports it again. */
static void carry(struct bytes rdb, const struct import_options *how, struct import_report *report,
                  struct buf *out)
{
    char *dir = harness_make_dir();
    struct import_options import = *how;
    struct rdb_export_options export = {.env = env_posix(),
                                        .dir = dir,
                                        .redis_version = "7.2.4",
                                        .version = RDB_VERSION_MAX,
                                        .write = append_output,
                                        .write_arg = out};
    struct rdb_export_report exported;
    struct err err;
    import.dir = dir;
    import.keep_expired = true; /* before version 3, an expiry cannot be after 2038 */
    assert_ok(dataset_import(&import, rdb, report, &err), &err);
    assert_ok(rdb_export_run(&export, &exported, &err), &err);
    harness_remove_dir(dir);
    mem_free(dir);
}

static int compare(const void *left, const void *right)
{
    const struct buf *a = left;
    const struct buf *b = right;
    int order = memcmp(a->data, b->data, a->len < b->len ? a->len : b->len);
    return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

/* Printable. */
static void append_escaped(struct buf *out, struct bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < ' ' || text.data[i] > '~' || text.data[i] == '\\')
            buf_append_format(out, "\\x%02x", text.data[i]);
        else
            buf_append_byte(out, text.data[i]);
}

/* A line for each key, sorted. */
static void tell(struct bytes rdb, struct buf *out)
{
    struct byte_source source = {.data = rdb};
    struct rdb_reader *reader = rdb_reader_create(
        &(struct rdb_reader_options){.read = byte_source_read, .read_arg = &source});
    struct buf lines[LINES_MAX] = {{0}};
    struct buf raw = {0};
    struct rdb_item item;
    struct err err;
    size_t count = 0;
    enum status st;
    while ((st = rdb_reader_next(reader, &item, &err)) == ST_OK)
        if (item.event == RDB_EVENT_KEY) {
            assert_true(count < LINES_MAX);
            struct buf *line = &lines[count++];
            buf_append_format(line, "%u %lld ", (unsigned)item.key.db,
                              (long long)item.key.expire_at_ms);
            buf_append_bytes(line, item.key.name);
            buf_append_byte(line, ' ');
            buf_clear(&raw);
            assert_ok(rdb_reader_read_raw(reader, &raw, &err), &err);
            assert_ok(rdb_words_append(line, item.key.type, buf_bytes(&raw), &err), &err);
        }
    assert_status(st, ST_END);
    qsort(lines, count, sizeof(lines[0]), compare);
    for (size_t i = 0; i < count; i++) {
        append_escaped(out, buf_bytes(&lines[i]));
        buf_append_byte(out, '\n');
        buf_deinit(&lines[i]);
    }
    rdb_reader_destroy(reader);
    buf_deinit(&raw);
}

static void check_version(int version, const struct import_options *how)
{
    char name[64];
    struct buf rdb = {0};
    struct buf words = {0};
    struct buf exported = {0};
    struct buf told = {0};
    struct import_report report;
    (void)snprintf(name, sizeof(name), "rdb/v%d/types.rdb", version);
    golden_read(name, &rdb);
    (void)snprintf(name, sizeof(name), "rdb/v%d/types.txt", version);
    golden_read(name, &words);
    carry(buf_bytes(&rdb), how, &report, &exported);
    assert_int_equal(report.rdb_version, version);
    assert_int_equal(report.has_checksum, version >= RDB_VERSION_CHECKSUM);
    assert_int_equal(report.functions, version >= 10);
    tell(buf_bytes(&exported), &told);
    assert_bytes(buf_bytes(&told), buf_bytes(&words));
    buf_deinit(&rdb);
    buf_deinit(&words);
    buf_deinit(&exported);
    buf_deinit(&told);
}

static void files_of_all_versions_are_the_dataset_that_they_were(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
        check_version(versions[i], &(struct import_options){.large_object_bytes = 0});
}

static void they_are_it_in_pieces_too(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
        check_version(versions[i], &(struct import_options){.memory_bytes = IMPORT_MEMORY_BYTES_MIN,
                                                            .large_object_bytes = 100,
                                                            .large_collection_bytes = 1});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_of_all_versions_are_the_dataset_that_they_were),
        TEST(they_are_it_in_pieces_too),
    };
    return RUN_TESTS("rdb_golden", tests);
}
