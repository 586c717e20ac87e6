/* Goal: `basalt rdb inspect` and `verify` say of a file what is in it, and of a damaged one where;
 * `inspect` says the same of a data directory. Method: the reference makes a file with every type,
 * the tool is run as a process on it, whole and with bytes changed; of a directory and the file
 * that its server has saved the sums must be the same. Skipped where no reference is installed. */
#include <stdio.h>
#include <string.h>

#include "codec/buf.h"
#include "codec/checksum.h"
#include "codec/compress.h"
#include "codec/endian.h"
#include "codec/mem.h"
#include "tests/support/every_type.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"
#include "tests/support/tool_run.h"

#define EXIT_SKIPPED  77
#define TRIAL_STRIDE  211 /* bytes between two that are damaged */
#define CHECKSUM_SIZE 8

struct fixture {
    char *root;
    char rdb[512];  /* of the reference */
    char file[512]; /* that a test makes of it */
    struct server_fixture *reference;
};

static int setup(void **state)
{
    static const char *const args[] = {"--enable-debug-command", "yes", "--save", "", NULL};
    struct fixture *fixture = mem_calloc(1, sizeof(*fixture));
    *state = fixture;
    fixture->root = harness_make_dir();
    struct server_options options = {.program = server_fixture_reference(),
                                     .argv0 = SERVER_FIXTURE_REFERENCE_ARGV0,
                                     .args = args};
    fixture->reference = server_fixture_start(&options);
    (void)snprintf(fixture->rdb, sizeof(fixture->rdb), "%s/dump.rdb",
                   server_fixture_dir(fixture->reference));
    (void)snprintf(fixture->file, sizeof(fixture->file), "%s/file.rdb", fixture->root);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    int result = server_fixture_teardown(state);
    harness_remove_dir(fixture->root);
    mem_free(fixture->root);
    mem_free(fixture);
    return result;
}

static void read_rdb(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t got;
    while ((got = fread(buf_reserve(out, 65536), 1, 65536, file)) > 0)
        out->len += got;
    (void)fclose(file);
}

static void write_file(struct fixture *fixture, struct bytes content)
{
    FILE *file = fopen(fixture->file, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(content.data, 1, content.len, file), content.len);
    (void)fclose(file);
}

/* Saves the reference's data and keeps the file. */
static void keep_file(struct fixture *fixture, struct resp_client *client, struct buf *out)
{
    assert_reply(client, "SAVE", "+OK");
    resp_client_close(client);
    read_rdb(fixture->rdb, out);
    server_fixture_destroy(fixture->reference);
    write_file(fixture, buf_bytes(out));
}

/* Makes the checksum that of the bytes before it. */
static void seal(struct buf *rdb)
{
    size_t len = rdb->len - CHECKSUM_SIZE;
    store_le64(rdb->data + len, crc64(0, rdb->data, len));
}

static uint8_t *find(struct buf *rdb, const char *text)
{
    uint8_t *at = memmem(rdb->data, rdb->len, text, strlen(text));
    assert_non_null(at);
    return at;
}

static void what_is_in_a_file_is_summed(void **state)
{
    struct fixture *fixture = *state;
    struct resp_client *client = server_fixture_connect(fixture->reference);
    assert_reply(client, "MSET user:1:name a user:2:name b order:1 c plain d", "+OK");
    assert_reply(client, "HSET user:1:h a 1 b 2 c 3", ":3");
    assert_reply(client, "SET user:3:due v EX 1000", "+OK");
    assert_reply(client, "SADD ints 1 2 3 4 5", ":5");
    assert_reply(client, "SELECT 3", "+OK");
    assert_reply(client, "XADD stream 1-1 f v", "\"1-1\"");
    assert_reply(client, "XADD stream 1-2 f v", "\"1-2\"");
    struct buf rdb = {0};
    keep_file(fixture, client, &rdb);
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "inspect", fixture->file, "--json"), 0);
    static const char *const parts[] = {
        "{\"status\":\"ok\",\"message\":null,\"rdb_version\":10,\"checksum\":true,",
        "\"keys\":8,\"functions\":0,",
        "\"redis-ver\":\"7.0.",
        "{\"type\":\"string\",\"encoding\":\"string\",\"keys\":5,",
        "{\"type\":\"set\",\"encoding\":\"intset\",\"keys\":1,",
        "\"elements\":5}",
        "{\"db\":0,\"expires\":1,\"keys\":7,",
        "{\"db\":3,\"expires\":0,\"keys\":1,",
        "\"expires\":1,\"expired_now\":0,\"expiry\":{\"expired\":0,\"1m\":0,\"1h\":1,",
        "\"largest_by_bytes\":[{\"key\":\"stream\",\"cut_off\":false,\"db\":3,\"type\":\"stream\",",
        "\"largest_by_elements\":[{\"key\":\"ints\",",
        "{\"prefix\":\"user:\",\"other\":false,\"keys\":4,",
        "{\"prefix\":\"user:1:\",\"other\":false,\"keys\":2,",
        "{\"prefix\":\"\",\"other\":true,\"keys\":3,",
    };
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        tool_assert_printed(fixture->root, "stdout", parts[i]);
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "inspect", fixture->file, "--prefix-depth", "1",
                              "--top", "1"),
                     0);
    tool_assert_printed(fixture->root, "stdout", "hash, listpack");
    tool_assert_printed(fixture->root, "stdout", "within an hour");
    tool_assert_printed(fixture->root, "stdout", "  user:  ");
    tool_assert_printed(fixture->root, "stdout", "  (other)  ");
    assert_false(tool_has_printed(fixture->root, "stdout", "    1:"));
    assert_int_equal(
        TOOL_RUN(fixture->root, "rdb", "inspect", fixture->file, "--separator", "d", "--json"), 0);
    tool_assert_printed(fixture->root, "stdout", "{\"prefix\":\"ord\",");
    buf_deinit(&rdb);
}

static void names_that_are_no_text_are_told(void **state)
{
    struct fixture *fixture = *state;
    struct resp_client *client = server_fixture_connect(fixture->reference);
    assert_reply(client, "SET \"bin\\xff\\x1b\" v", "+OK");
    assert_reply(client, "SADD \"quote\\\"\\xc3\\xa9\" v", ":1");
    struct buf rdb = {0};
    keep_file(fixture, client, &rdb);
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "inspect", fixture->file, "--json"), 0);
    tool_assert_printed(fixture->root, "stdout", "{\"key\":{\"base64\":\"Ymlu/xs=\"},");
    tool_assert_printed(fixture->root, "stdout", "{\"key\":\"quote\\\"\xc3\xa9\",");
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "inspect", fixture->file), 0);
    tool_assert_printed(fixture->root, "stdout", "bin\\xff\\x1b");
    buf_deinit(&rdb);
}

static void a_whole_file_is_sound_also_packed(void **state)
{
    struct fixture *fixture = *state;
    struct resp_client *client = server_fixture_connect(fixture->reference);
    every_type_fill(client);
    struct buf rdb = {0};
    struct buf packed = {0};
    keep_file(fixture, client, &rdb);
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "verify", fixture->file), 0);
    tool_assert_printed(fixture->root, "stdout", "Sound: RDB version 10, ");
    tool_assert_printed(fixture->root, "stdout", "the checksum is right");
    assert_ok(compress_encode(NULL, COMPRESS_LEVEL_DEFAULT, buf_bytes(&rdb), &packed, NULL), NULL);
    write_file(fixture, buf_bytes(&packed));
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "verify", fixture->file, "--json"), 0);
    tool_assert_printed(fixture->root, "stdout", "{\"status\":\"ok\",\"rdb_version\":10,");
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "inspect", fixture->file), 0);
    write_file(fixture, bytes_make(packed.data, packed.len - 10));
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "verify", fixture->file), 1);
    tool_assert_printed(fixture->root, "stderr", "cut off");
    buf_deinit(&packed);
    buf_deinit(&rdb);
}

static void damage_is_found_and_placed(void **state)
{
    struct fixture *fixture = *state;
    struct resp_client *client = server_fixture_connect(fixture->reference);
    assert_reply(client, "SADD colors first-member other-member", ":2");
    struct buf rdb = {0};
    keep_file(fixture, client, &rdb);
    /* A byte of the name, under the old checksum. */
    find(&rdb, "colors")[0] = 'C';
    write_file(fixture, buf_bytes(&rdb));
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "verify", fixture->file), 1);
    tool_assert_printed(fixture->root, "stderr", "the checksum is 0x");
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "inspect", fixture->file), 1);
    tool_assert_printed(fixture->root, "stdout", "1 keys, DAMAGED");
    /* A member twice, under a checksum that is right: only who looks at the value sees it. */
    memcpy(find(&rdb, "other-member"), "first-member", 12);
    seal(&rdb);
    write_file(fixture, buf_bytes(&rdb));
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "verify", fixture->file, "--json"), 1);
    tool_assert_printed(fixture->root, "stdout", "{\"status\":\"error\",\"error\":\"corrupt\",");
    tool_assert_printed(fixture->root, "stderr", "a set's member is there twice (before offset ");
    tool_assert_printed(fixture->root, "stderr", "set \"Colors\" of db0)");
    /* Cut off, and followed by more. */
    write_file(fixture, bytes_make(rdb.data, rdb.len - 20));
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "verify", fixture->file), 1);
    tool_assert_printed(fixture->root, "stderr", "the file ends here");
    memcpy(find(&rdb, "first-member"), "third-member", 12);
    seal(&rdb);
    write_file(fixture, buf_bytes(&rdb));
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "verify", fixture->file), 0);
    buf_append_text(&rdb, "*1\r\n");
    write_file(fixture, buf_bytes(&rdb));
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "verify", fixture->file), 1);
    tool_assert_printed(fixture->root, "stderr", "the file goes on behind its end");
    buf_deinit(&rdb);
}

/* Under a checksum of zeros, which says that there is none, only structure and values can tell. */
static void no_byte_makes_the_tool_fail(void **state)
{
    struct fixture *fixture = *state;
    struct resp_client *client = server_fixture_connect(fixture->reference);
    every_type_fill(client);
    assert_reply(client, "DEL s:large l:large set:large z:large h:large x:large", ":6");
    struct buf rdb = {0};
    keep_file(fixture, client, &rdb);
    memset(rdb.data + rdb.len - CHECKSUM_SIZE, 0, CHECKSUM_SIZE);
    size_t trials = 0;
    size_t found = 0;
    for (size_t at = 0; at < rdb.len - CHECKSUM_SIZE; at += rdb.len / TRIAL_STRIDE + 1) {
        rdb.data[at] ^= 0x41;
        write_file(fixture, buf_bytes(&rdb));
        int status = TOOL_RUN(fixture->root, "rdb", "verify", fixture->file);
        assert_in_range(status, 0, 1);
        int inspected = TOOL_RUN(fixture->root, "rdb", "inspect", fixture->file);
        assert_in_range(inspected, 0, status);
        found += (size_t)status;
        trials++;
        rdb.data[at] ^= 0x41;
    }
    assert_true(trials > 100 && found > 0);
    buf_deinit(&rdb);
}

/* ---- Directories ---- */

/* From the sums on: what the tool printed last, without what differs between two files of the same
 * data, such as the time. */
static void read_sums(struct fixture *fixture, struct buf *out)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/stdout", fixture->root);
    buf_clear(out);
    read_rdb(path, out);
    buf_append_byte(out, '\0');
    const char *sums = strstr((const char *)out->data, "\"types\":");
    assert_non_null(sums);
    buf_consume(out, (size_t)((const uint8_t *)sums - out->data));
}

static void a_directory_is_told_as_a_file_of_it(void **state)
{
    static const char *const args[] = {"--rdb-version", "12", "--large-collection-threshold", "4kb",
                                       NULL};
    static const char *const choices[][2] = {
        {"--top", "1000"}, {"--match", "l:*"}, {"--type", "hash"}, {"--db", "3"}, {"--db", "7"}};
    struct fixture *fixture = *state;
    struct server_fixture *server = server_fixture_start(&(struct server_options){.args = args});
    const char *dir = server_fixture_dir(server);
    struct resp_client *client = server_fixture_connect(server);
    struct buf of_file = {0}, of_dir = {0};
    server_fixture_destroy(fixture->reference);
    every_type_fill(client);
    assert_reply(client, "HPEXPIRE h:small 1000000000 FIELDS 1 f", "[:1]");
    assert_reply(client, "SAVE", "+OK");
    resp_client_close(client);
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "inspect", "--dir", dir), 1);
    server_fixture_stop(server);
    (void)snprintf(fixture->file, sizeof(fixture->file), "%s/dump.rdb", dir);
    for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
        const char *name = choices[i][0], *value = choices[i][1];
        assert_int_equal(
            TOOL_RUN(fixture->root, "rdb", "inspect", fixture->file, "--json", name, value), 0);
        read_sums(fixture, &of_file);
        assert_int_equal(
            TOOL_RUN(fixture->root, "rdb", "inspect", "--dir", dir, "--json", name, value), 0);
        read_sums(fixture, &of_dir);
        assert_string_equal((const char *)of_dir.data, (const char *)of_file.data);
    }
    assert_int_equal(
        TOOL_RUN(fixture->root, "rdb", "inspect", "--dir", dir, "--db", "3", "--type", "hash"), 0);
    tool_assert_printed(fixture->root, "stdout", " 1 keys, the checksum is right.");
    buf_deinit(&of_file);
    buf_deinit(&of_dir);
    server_fixture_destroy(server);
}

static void what_only_the_journal_has_is_not_told(void **state)
{
    static const char *const args[] = {"--appendfsync", "always", "--flush-interval", "3600000",
                                       NULL};
    struct fixture *fixture = *state;
    struct server_fixture *server = server_fixture_start(&(struct server_options){.args = args});
    const char *dir = server_fixture_dir(server);
    struct resp_client *client = server_fixture_connect(server);
    server_fixture_destroy(fixture->reference);
    assert_reply(client, "SET before x", "+OK");
    assert_reply(client, "SAVE", "+OK");
    assert_reply(client, "SET after x", "+OK");
    resp_client_close(client);
    server_fixture_kill(server);
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "inspect", "--dir", dir), 1);
    tool_assert_printed(fixture->root, "stderr", "of changes that are not in RocksDB yet");
    tool_assert_printed(fixture->root, "stderr", "use --ignore-journal");
    assert_int_equal(TOOL_RUN(fixture->root, "rdb", "inspect", "--dir", dir, "--ignore-journal"),
                     3);
    tool_assert_printed(fixture->root, "stdout", " 1 keys, the checksum is right.");
    tool_assert_printed(fixture->root, "stderr", "NOT COUNTED: ");
    server_fixture_destroy(server);
}

/* ---- The command line ---- */

static void a_wrong_command_line_is_explained(void **state)
{
    struct fixture *fixture = *state;
    const char *dir = fixture->root;
    server_fixture_destroy(fixture->reference);
    assert_int_equal(TOOL_RUN(dir, "rdb", "inspect", "--help"), 0);
    tool_assert_printed(dir, "stdout", "--prefix-depth N");
    assert_int_equal(TOOL_RUN(dir, "rdb", "verify", "--help"), 0);
    tool_assert_printed(dir, "stdout", "Exit status: 0 the file is sound");
    assert_int_equal(TOOL_RUN(dir, "rdb", "inspect"), 2);
    assert_int_equal(TOOL_RUN(dir, "rdb", "inspect", "a", "b"), 2);
    assert_int_equal(TOOL_RUN(dir, "rdb", "inspect", "a", "--top", "0"), 2);
    assert_int_equal(TOOL_RUN(dir, "rdb", "inspect", "a", "--top"), 2);
    assert_int_equal(TOOL_RUN(dir, "rdb", "inspect", "a", "--prefix-depth", "17"), 2);
    assert_int_equal(TOOL_RUN(dir, "rdb", "inspect", "a", "--separator", "::"), 2);
    assert_int_equal(TOOL_RUN(dir, "rdb", "inspect", "a", "--dir", dir), 2);
    assert_int_equal(TOOL_RUN(dir, "rdb", "inspect", "a", "--ignore-journal"), 2);
    assert_int_equal(TOOL_RUN(dir, "rdb", "inspect", "a", "--type", "module"), 2);
    assert_int_equal(TOOL_RUN(dir, "rdb", "inspect", "a", "--db", "x"), 2);
    assert_int_equal(TOOL_RUN(dir, "rdb", "inspect", "--dir", "/missing"), 1);
    tool_assert_printed(dir, "stderr", "cannot read the directory");
    assert_int_equal(TOOL_RUN(dir, "rdb", "verify", "a", "--other"), 2);
    assert_int_equal(TOOL_RUN(dir, "rdb", "verify", "/missing"), 1);
    assert_int_equal(TOOL_RUN(dir, "rdb", "verify", dir), 1);
    tool_assert_printed(dir, "stderr", "is a directory");
}

int main(void)
{
    if (tool_program() == NULL || server_fixture_program() == NULL ||
        server_fixture_reference() == NULL) {
        (void)fprintf(stderr, "skipped: the tool, the server or the reference is missing\n");
        return EXIT_SKIPPED;
    }
#define FIXTURE_TEST(function) TEST_WITH(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(what_is_in_a_file_is_summed),
        FIXTURE_TEST(names_that_are_no_text_are_told),
        FIXTURE_TEST(a_whole_file_is_sound_also_packed),
        FIXTURE_TEST(damage_is_found_and_placed),
        FIXTURE_TEST(no_byte_makes_the_tool_fail),
        FIXTURE_TEST(a_directory_is_told_as_a_file_of_it),
        FIXTURE_TEST(what_only_the_journal_has_is_not_told),
        FIXTURE_TEST(a_wrong_command_line_is_explained),
    };
    return RUN_TESTS("rdb_inspect", tests);
}
