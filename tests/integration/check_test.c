/* Goal: `basalt check` names each kind of damage, says nothing of a sound directory, and puts right
 * what it may. Method: a server makes a directory with values of all types, small and large; each
 * case damages a copy of it, through RocksDB or in its files, and runs the tool on it. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/endian.h"
#include "codec/mem.h"
#include "codec/record.h"
#include "storage/cold.h"
#include "storage/meta.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"
#include "tests/support/tool_run.h"

#define EXIT_SKIPPED    77
#define LARGE_ELEMENTS  1500
#define EXIT_INCOMPLETE 3

static char *root;
static char sound[256];   /* the directory that the server made */
static char damaged[256]; /* the copy at hand */

/* ---- Making it ---- */

/* Asks with `i` in the place of each '#'. */
static void call(struct resp_client *client, const char *pattern, int i)
{
    char line[256];
    size_t len = 0;
    for (; *pattern != '\0'; pattern++)
        if (*pattern == '#')
            len += (size_t)snprintf(line + len, sizeof(line) - len, "%d", i);
        else
            line[len++] = *pattern;
    line[len] = '\0';
    (void)resp_client_ask(client, line);
}

static void fill(struct resp_client *client)
{
    for (int i = 0; i < 50; i++) {
        call(client, "SET string# value", i);
        call(client, "SET expiring# value EX 100000", i);
        call(client, "HSET hash# a 1 b #", i);
        call(client, "SADD set# x y z#", i);
        call(client, "ZADD zset# 1 a 2 b", i);
        call(client, "RPUSH list# a b", i);
        call(client, "XADD stream# 1-1 a b", i);
    }
    for (int i = 0; i < LARGE_ELEMENTS; i++) {
        call(client, "HSET hash field# value#", i);
        call(client, "SADD set member-#", i);
        call(client, "ZADD zset # member-#", i);
        call(client, "RPUSH list element-#", i);
        call(client, "XADD stream #-1 field value-#", i + 1);
    }
    for (int i = 0; i < 20; i++)
        call(client, "HPEXPIRE hash 100000000 FIELDS 1 field#", i);
    assert_reply(client, "SETRANGE string 100000 end", ":100003");
    assert_reply(client, "XGROUP CREATE stream group 0", "+OK");
    (void)resp_client_ask(client, "XREADGROUP GROUP group me COUNT 50 STREAMS stream >");
    assert_reply(client, "SELECT 5", "+OK");
    assert_reply(client, "SET other database", "+OK");
}

static int make_sound_dir(void **state)
{
    static const char *const args[] = {"--enable-debug-command", "yes", NULL};
    (void)state;
    root = harness_make_dir();
    (void)snprintf(sound, sizeof(sound), "%s/sound", root);
    (void)snprintf(damaged, sizeof(damaged), "%s/damaged", root);
    struct server_fixture *server =
        server_fixture_start(&(struct server_options){.dir = sound, .args = args});
    struct resp_client *client = server_fixture_connect(server);
    fill(client);
    assert_reply(client, "DEBUG CUT", "+OK");
    assert_reply(client, "SELECT 0", "+OK");
    assert_reply(client, "SET after \"the cut\"", "+OK");
    (void)resp_client_ask(client, "WAITAOF 1 0 10000");
    resp_client_close(client);
    server_fixture_kill(server);
    server_fixture_destroy(server);
    return 0;
}

static int remove_sound_dir(void **state)
{
    (void)state;
    harness_remove_dir(root);
    mem_free(root);
    return 0;
}

static void copy_dir(void)
{
    char command[1200];
    (void)snprintf(command, sizeof(command), "rm -rf '%s' && cp -r '%s' '%s'", damaged, sound,
                   damaged);
    assert_int_equal(system(command), 0);
}

/* ---- Damaging it ---- */

static struct cold *open_copy(void)
{
    char dir[512];
    struct cold *cold = NULL;
    struct err err;
    (void)snprintf(dir, sizeof(dir), "%s/rocksdb", damaged);
    struct cold_options options = {.dir = dir, .must_exist = true};
    assert_ok(cold_open(&options, &cold, &err), &err);
    return cold;
}

static void write_and_close(struct cold *cold, struct cold_batch *batch)
{
    struct err err;
    assert_ok(cold_write(cold, batch, true, &err), &err);
    cold_batch_destroy(batch);
    cold_close(cold);
}

/* The record key of a user's key in a family. */
static void find_record(struct cold *cold, enum family family, const char *name, struct buf *key,
                        struct buf *value)
{
    struct cold_iter *iter = cold_iter_create(cold, family, NULL);
    for (cold_iter_seek_first(iter); cold_iter_valid(iter); cold_iter_next(iter)) {
        uint32_t db_id;
        uint64_t position;
        struct bytes found;
        if (!record_key_decode(cold_iter_key(iter), &db_id, &position, &found) ||
            !bytes_equal(found, bytes_text(name)))
            continue;
        buf_append_bytes(key, cold_iter_key(iter));
        buf_append_bytes(value, cold_iter_value(iter));
        cold_iter_destroy(iter);
        return;
    }
    fail_msg("no record of %s", name);
}

/* The nth element of kind `kind` in a family. */
static void find_element(struct cold *cold, enum family family, char kind, int nth, struct buf *key,
                         struct buf *value)
{
    struct cold_iter *iter = cold_iter_create(cold, family, NULL);
    uint8_t lower[RECORD_ELEMENT_PREFIX_BYTES];
    record_element_prefix_encode(0, lower);
    cold_iter_seek(iter, bytes_make(lower, sizeof(lower)));
    for (; cold_iter_valid(iter); cold_iter_next(iter)) {
        struct bytes found = cold_iter_key(iter);
        if (kind != 0 && found.data[RECORD_ELEMENT_PREFIX_BYTES] != (uint8_t)kind)
            continue;
        if (nth-- > 0)
            continue;
        buf_append_bytes(key, found);
        buf_append_bytes(value, cold_iter_value(iter));
        cold_iter_destroy(iter);
        return;
    }
    fail_msg("no element of kind %c", kind);
}

static void change_state(void (*change)(struct meta_state *state))
{
    struct meta_state state;
    struct err err;
    struct cold *cold = open_copy();
    struct cold_batch *batch = cold_batch_create();
    assert_ok(meta_read_state(cold, &state, &err), &err);
    change(&state);
    meta_put_state(batch, &state);
    write_and_close(cold, batch);
    meta_state_deinit(&state);
}

/* Drops the nth element of a kind. */
static void drop_element(enum family family, char kind, int nth)
{
    struct cold *cold = open_copy();
    struct cold_batch *batch = cold_batch_create();
    struct buf key = {0}, value = {0};
    find_element(cold, family, kind, nth, &key, &value);
    cold_batch_delete(batch, family, buf_bytes(&key));
    buf_deinit(&key);
    buf_deinit(&value);
    write_and_close(cold, batch);
}

/* Replaces the value of the nth element of a kind by one byte more or less. */
static void spoil_element(enum family family, char kind, int nth, bool longer)
{
    struct cold *cold = open_copy();
    struct cold_batch *batch = cold_batch_create();
    struct buf key = {0}, value = {0};
    find_element(cold, family, kind, nth, &key, &value);
    if (longer)
        buf_append_byte(&value, 1);
    else
        value.len--;
    cold_batch_put(batch, family, buf_bytes(&key), buf_bytes(&value));
    buf_deinit(&key);
    buf_deinit(&value);
    write_and_close(cold, batch);
}

static void put(enum family family, struct bytes key, struct bytes value)
{
    struct cold *cold = open_copy();
    struct cold_batch *batch = cold_batch_create();
    cold_batch_put(batch, family, key, value);
    write_and_close(cold, batch);
}

static void more_strings(struct meta_state *state)
{
    state->dbs[0].keys[OBJECT_STRING] += 7;
}
static void fewer_expires(struct meta_state *state)
{
    state->dbs[0].expires--;
}
static void low_object_id(struct meta_state *state)
{
    state->next_object_id = 1;
}
static void high_cut(struct meta_state *state)
{
    state->cut_offset += 1000000;
}
static void odd_cut(struct meta_state *state)
{
    state->cut_offset++;
}

static void damage_counter(void)
{
    change_state(more_strings);
}
static void damage_expires_counter(void)
{
    change_state(fewer_expires);
}
static void damage_next_id(void)
{
    change_state(low_object_id);
}
static void damage_cut(void)
{
    change_state(high_cut);
}
static void damage_cut_boundary(void)
{
    change_state(odd_cut);
}

static void damage_by_orphan(void)
{
    uint8_t key[64];
    size_t len = record_element_key_encode(7777, bytes_text("Mxxxxxxxxmember"), key);
    put(FAMILY_SET, bytes_make(key, len), bytes_make("", 1));
}

static void drop_expires_entry(void)
{
    struct cold *cold = open_copy();
    struct cold_batch *batch = cold_batch_create();
    struct buf record = {0}, value = {0};
    find_record(cold, FAMILY_STRING, "expiring7", &record, &value);
    struct cold_iter *iter = cold_iter_create(cold, FAMILY_EXPIRES, NULL);
    for (cold_iter_seek_first(iter); cold_iter_valid(iter); cold_iter_next(iter)) {
        struct bytes key = cold_iter_key(iter);
        if (bytes_equal(bytes_make(key.data + 8, key.len - 8), buf_bytes(&record)))
            cold_batch_delete(batch, FAMILY_EXPIRES, key);
    }
    cold_iter_destroy(iter);
    assert_int_equal(cold_batch_count(batch), 1);
    buf_deinit(&record);
    buf_deinit(&value);
    write_and_close(cold, batch);
}

static void add_bad_expires_entry(void)
{
    put(FAMILY_EXPIRES, bytes_text("abc"), bytes_make("", 0));
}

static void drop_set_member(void)
{
    drop_element(FAMILY_SET, 'M', 3);
}
static void spoil_set_member(void)
{
    spoil_element(FAMILY_SET, 'M', 3, true);
}
static void drop_hash_field(void)
{
    drop_element(FAMILY_HASH, 'M', 700);
}
static void drop_field_deadline(void)
{
    drop_element(FAMILY_HASH, 'D', 2);
}
static void drop_list_node(void)
{
    drop_element(FAMILY_LIST, 'N', 1);
}
static void drop_list_page(void)
{
    drop_element(FAMILY_LIST, 'I', 0);
}
static void spoil_list_node(void)
{
    spoil_element(FAMILY_LIST, 'N', 1, false);
}
static void drop_stream_node(void)
{
    drop_element(FAMILY_STREAM, 'N', 2);
}
static void spoil_stream_node(void)
{
    spoil_element(FAMILY_STREAM, 'N', 2, true);
}
static void drop_stream_page(void)
{
    drop_element(FAMILY_STREAM, 'P', 0);
}
static void drop_stream_consumer(void)
{
    drop_element(FAMILY_STREAM, 'K', 0);
}
static void drop_zset_member(void)
{
    drop_element(FAMILY_ZSET, 'M', 40);
}
static void drop_zset_place(void)
{
    drop_element(FAMILY_ZSET, 'S', 40);
}
static void drop_zset_leaf(void)
{
    drop_element(FAMILY_ZSET, 'L', 0);
}
static void spoil_zset_leaf(void)
{
    spoil_element(FAMILY_ZSET, 'L', 0, true);
}
static void lengthen_chunk(void)
{
    struct cold *cold = open_copy();
    struct cold_batch *batch = cold_batch_create();
    struct buf key = {0}, value = {0};
    static const uint8_t chunk[20000];
    find_element(cold, FAMILY_STRING, 0, 0, &key, &value);
    cold_batch_put(batch, FAMILY_STRING, buf_bytes(&key), bytes_make(chunk, sizeof(chunk)));
    buf_deinit(&key);
    buf_deinit(&value);
    write_and_close(cold, batch);
}

/* Puts `value`, or if that is empty the record's own, under the record key of `name` in `to`. */
static void put_record(enum family from, const char *name, enum family to, struct bytes content,
                       unsigned add_to_key)
{
    struct cold *cold = open_copy();
    struct cold_batch *batch = cold_batch_create();
    struct buf key = {0}, value = {0};
    find_record(cold, from, name, &key, &value);
    key.data[10] = (uint8_t)(key.data[10] + (add_to_key & 0xff)); /* position */
    key.data[2] = (uint8_t)(key.data[2] + (add_to_key >> 8));     /* database */
    cold_batch_put(batch, to, buf_bytes(&key), content.len != 0 ? content : buf_bytes(&value));
    buf_deinit(&key);
    buf_deinit(&value);
    write_and_close(cold, batch);
}

static void spoil_hash_record(void)
{
    put_record(FAMILY_HASH, "hash7", FAMILY_HASH, bytes_text("\x10\x00\x05\x00nonsense"), 0);
}
static void spoil_header(void)
{
    put_record(FAMILY_STRING, "string7", FAMILY_STRING, bytes_text("\x1f"), 0);
}
static void misplace_record(void)
{
    put_record(FAMILY_STRING, "string8", FAMILY_STRING, bytes_make("", 0), 1);
}
static void double_record(void)
{
    put_record(FAMILY_STRING, "string9", FAMILY_SET, bytes_text("\x10\x02\x01\x01x"), 0);
}
static void lose_database(void)
{
    put_record(FAMILY_STRING, "string9", FAMILY_STRING, bytes_make("", 0), 0x100);
}

/* ---- Damaging files ---- */

/* The path of the first file of a folder with this ending. */
static void find_file(const char *folder, const char *ending, char out[1024])
{
    char dir[512];
    (void)snprintf(dir, sizeof(dir), "%s/%s", damaged, folder);
    DIR *listing = opendir(dir);
    assert_non_null(listing);
    off_t largest = 0;
    out[0] = '\0';
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        char path[1024];
        struct stat info;
        size_t len = strlen(entry->d_name);
        if (len < strlen(ending) || strcmp(entry->d_name + len - strlen(ending), ending) != 0)
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        if (stat(path, &info) == 0 && info.st_size > largest) {
            largest = info.st_size;
            (void)snprintf(out, 1024, "%s", path);
        }
    }
    closedir(listing);
    assert_true(out[0] != '\0');
}

static void flip_byte(const char *path, off_t at)
{
    uint8_t byte = 0;
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x55;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void flip_table(void)
{
    char path[1024];
    find_file("rocksdb", ".sst", path);
    flip_byte(path, 200);
}

static void flip_history(void)
{
    char path[1024];
    find_file("journal", ".journal", path);
    flip_byte(path, 100);
}

static void drop_journal_start(void)
{
    char path[1024];
    find_file("journal", ".journal", path);
    flip_byte(path, 3);
}

static void tear_tail(void)
{
    char path[1024];
    find_file("journal", ".journal", path);
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    (void)fputs("BJB1 and half a block", file);
    (void)fclose(file);
}

static void no_damage(void)
{
}

static const struct {
    const char *what;
    void (*damage)(void);
    bool deep; /* is only seen by --deep */
    bool repairable;
    const char *says; /* a part of the line; NULL: nothing is wrong */
} cases[] = {
    {"nothing", no_damage, false, false, NULL},
    {"a counter", damage_counter, false, true,
     "counters: database 0: 101 keys of type string, the counter says 108"},
    {"the counter of expiring keys", damage_expires_counter, false, true,
     "counters: database 0: 50 keys with an expiry, the counter says 49"},
    {"the next object id", damage_next_id, false, true, "counters: the next object id is 1"},
    {"a cut beyond the journal", damage_cut, false, false, "journal: "},
    {"a cut inside a block", damage_cut_boundary, false, false, "inside a block of the journal"},
    {"an element without an object", damage_by_orphan, false, true,
     "orphans: elements of object 7777 in column family set"},
    {"a missing entry in the expiry index", drop_expires_entry, true, true,
     "expires_missing: string \"expiring7\" in database 0: due at"},
    {"a bad entry in the expiry index", add_bad_expires_entry, false, true,
     "expires_bad: an entry of 3 bytes"},
    {"a missing member", drop_set_member, false, false,
     "count: set \"set\" in database 0: 1499 members, where there should be 1500"},
    {"a spoiled member", spoil_set_member, false, false, "element: set \"set\" in database 0"},
    {"a missing field", drop_hash_field, false, false,
     "count: hash \"hash\" in database 0: 1499 fields, where there should be 1500"},
    {"a field's missing deadline", drop_field_deadline, true, true,
     "field_deadline: hash \"hash\" in database 0"},
    {"a missing node of a list", drop_list_node, false, false,
     "count: list \"list\" in database 0"},
    {"a missing node of a list, deep", drop_list_node, true, false,
     "a node of this page is missing"},
    {"a missing page of a list", drop_list_page, false, false,
     "count: list \"list\" in database 0: 0 pages"},
    {"a spoiled node of a list", spoil_list_node, false, false, "the node cannot be decoded"},
    {"a missing node of a stream", drop_stream_node, false, false,
     "the directory names another node here"},
    {"a spoiled node of a stream", spoil_stream_node, false, false, "the node cannot be decoded"},
    {"a missing page of a stream", drop_stream_page, false, false,
     "the directory does not name this node"},
    {"a missing consumer", drop_stream_consumer, true, false, "its consumer is missing"},
    {"a missing member of a sorted set", drop_zset_member, false, false,
     "count: zset \"zset\" in database 0: 1499 members, where there should be 1500"},
    {"a missing place of a sorted set", drop_zset_place, false, false,
     "elements in a leaf of its order, where there should be"},
    {"a missing place of a sorted set, deep", drop_zset_place, true, false,
     "it is missing in the order of scores"},
    {"a missing leaf of a sorted set", drop_zset_leaf, false, false,
     "elements stand before the first leaf"},
    {"a spoiled leaf of a sorted set", spoil_zset_leaf, false, false, "the leaf cannot be decoded"},
    {"a chunk that is too long", lengthen_chunk, false, false, "the chunk is too long"},
    {"a spoiled hash", spoil_hash_record, false, false,
     "record: hash \"hash7\" in database 0: the record cannot be decoded"},
    {"a spoiled header", spoil_header, false, false,
     "record: string \"string7\" in database 0: the record cannot be decoded"},
    {"a record in the wrong place", misplace_record, false, false,
     "record_key: string \"string8\" in database 0: the record stands where no one looks"},
    {"a key of two types", double_record, false, false,
     "record_twice: set \"string9\" in database 0"},
    {"a record of no database", lose_database, false, false, "there is no such database"},
    {"a table", flip_table, false, false, ".sst"},
    {"the journal before the cut", flip_history, false, false, "journal_history: "},
    {"a segment's header", drop_journal_start, false, false, "journal: "},
};

/* ---- Tests ---- */

static void each_damage_is_named_and_repaired_where_that_is_safe(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        copy_dir();
        cases[i].damage();
        int status = cases[i].deep ? TOOL_RUN(root, "check", damaged, "--deep")
                                   : TOOL_RUN(root, "check", damaged);
        if (status != (cases[i].says == NULL ? 0 : EXIT_INCOMPLETE))
            fail_msg("%s: status %d", cases[i].what, status);
        if (cases[i].says == NULL) {
            tool_assert_printed(root, "stdout", "is sound");
            continue;
        }
        if (!tool_has_printed(root, "stdout", cases[i].says)) {
            print_message("case: %s\n", cases[i].what);
            tool_assert_printed(root, "stdout", cases[i].says);
        }
        status = TOOL_RUN(root, "check", damaged, "--deep", "--repair");
        if (status != (cases[i].repairable ? 0 : EXIT_INCOMPLETE))
            fail_msg("%s: status %d of the repair", cases[i].what, status);
        status = TOOL_RUN(root, "check", damaged, "--deep");
        if (status != (cases[i].repairable ? 0 : EXIT_INCOMPLETE))
            fail_msg("%s: status %d after the repair", cases[i].what, status);
    }
}

static void a_sound_directory_is_sound_and_stays_as_it_is(void **state)
{
    (void)state;
    copy_dir();
    assert_int_equal(TOOL_RUN(root, "check", damaged, "--deep", "--json"), 0);
    tool_assert_printed(root, "stdout", "\"status\":\"ok\",\"wrong\":0,\"repaired\":0");
    tool_assert_printed(root, "stdout", "\"string\":102,\"list\":51,\"set\":51,\"zset\":51");
    tool_assert_printed(root, "stdout", "\"replay_blocks\":1,\"replay_commands\":2");
    char command[1200];
    (void)snprintf(command, sizeof(command), "diff -r -x LOCK -x 'LOG*' '%s' '%s'", sound, damaged);
    assert_int_equal(system(command), 0);
}

static void a_torn_tail_is_told_and_cut_off(void **state)
{
    (void)state;
    copy_dir();
    tear_tail();
    assert_int_equal(TOOL_RUN(root, "check", damaged), 0); /* it is what crashes leave */
    tool_assert_printed(root, "stdout", "journal_tail: ");
    assert_int_equal(TOOL_RUN(root, "check", damaged, "--repair"), 0);
    tool_assert_printed(root, "stdout", "journal_tail (repaired): ");
    assert_int_equal(TOOL_RUN(root, "check", damaged), 0);
    assert_false(tool_has_printed(root, "stdout", "journal_tail"));
}

static void the_server_works_with_what_was_repaired(void **state)
{
    static const char *const args[] = {"--enable-debug-command", "yes", NULL};
    (void)state;
    copy_dir();
    damage_counter();
    damage_by_orphan();
    drop_expires_entry();
    damage_next_id();
    assert_int_equal(TOOL_RUN(root, "check", damaged, "--deep", "--repair"), 0);
    struct server_fixture *server =
        server_fixture_start(&(struct server_options){.dir = damaged, .args = args});
    struct resp_client *client = server_fixture_connect(server);
    assert_reply(client, "DBSIZE", ":357");
    assert_reply(client, "GET after", "\"the cut\"");
    assert_reply(client, "SCARD set", ":1500");
    assert_reply(client, "SISMEMBER set member-77", ":1");
    assert_int_equal(TOOL_RUN(root, "check", damaged), 1); /* in use */
    tool_assert_printed(root, "stderr", "in use by another process");
    resp_client_close(client);
    server_fixture_stop(server);
    server_fixture_destroy(server);
    assert_int_equal(TOOL_RUN(root, "check", damaged, "--deep"), 0);
}

static void wrong_command_lines_and_directories_are_refused(void **state)
{
    (void)state;
    assert_int_equal(TOOL_RUN(root, "check"), 2);
    assert_int_equal(TOOL_RUN(root, "check", sound, "--wrong"), 2);
    assert_int_equal(TOOL_RUN(root, "check", sound, damaged), 2);
    assert_int_equal(TOOL_RUN(root, "check", "--help"), 0);
    tool_assert_printed(root, "stdout", "Usage: basalt check DIR");
    assert_int_equal(TOOL_RUN(root, "check", "/nonexistent/dir"), 1);
    assert_int_equal(TOOL_RUN(root, "check", root), 1); /* no dataset */
}

int main(void)
{
    if (server_fixture_program() == NULL || tool_program() == NULL)
        return EXIT_SKIPPED;
    const struct CMUnitTest tests[] = {
        TEST(a_sound_directory_is_sound_and_stays_as_it_is),
        TEST(each_damage_is_named_and_repaired_where_that_is_safe),
        TEST(a_torn_tail_is_told_and_cut_off),
        TEST_WITH(the_server_works_with_what_was_repaired, NULL, server_fixture_teardown),
        TEST(wrong_command_lines_and_directories_are_refused),
    };
    return cmocka_run_group_tests_name("check", tests, make_sound_dir, remove_sound_dir);
}
