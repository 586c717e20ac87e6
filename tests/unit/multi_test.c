/* Goal: a transaction keeps what was queued, byte by byte, and nothing more than it must. Method:
 * requests from memory that is overwritten afterwards, with and without their wire form. */
#include "server/multi.h"

#include "codec/buf.h"
#include "tests/support/harness.h"

#include <stdio.h>

#define DB_COUNT 16

static const struct command get = {.name = "get", .flags = CMD_READONLY | CMD_FAST};
static const struct command set = {.name = "set", .flags = CMD_WRITE | CMD_DENYOOM};
static const struct command selects = {.name = "select", .flags = CMD_LOADING | CMD_FAST};
static const struct command exec = {.name = "exec", .flags = CMD_EXEC | CMD_LOADING | CMD_AT_ONCE};

static void queue(struct session *session, const struct command *command, int argc,
                  const char *const *words)
{
    struct bytes argv[4];
    for (int i = 0; i < argc; i++)
        argv[i] = bytes_text(words[i]);
    struct nested_request request = {.command = command, .argv = argv, .argc = argc};
    assert_true(multi_queue(session, DB_COUNT, &request, command->flags));
}

static void what_was_queued_outlives_its_request(void **state)
{
    (void)state;
    struct watches *watches = watches_create();
    struct session session = {.db = 3};
    multi_begin(&session);
    assert_int_equal(multi_count(&session), 0);
    char wire[] = "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$4\r\na\0\r\n\r\n";
    struct bytes argv[3] = {bytes_make(wire + 8, 3), bytes_make(wire + 17, 0),
                            bytes_make(wire + 23, 4)};
    for (int with_raw = 0; with_raw < 2; with_raw++) {
        struct nested_request request = {.command = &set, .argv = argv, .argc = 3};
        request.raw = bytes_make(wire, with_raw ? sizeof(wire) - 1 : 0);
        assert_true(multi_queue(&session, DB_COUNT, &request, set.flags));
    }
    struct buf kept = {0};
    buf_append(&kept, wire, sizeof(wire) - 1);
    memset(wire, 'x', sizeof(wire));
    assert_int_equal(multi_count(&session), 2);
    for (int i = 0; i < 2; i++) {
        const struct nested_request *request = &session.transaction->requests[i];
        assert_int_equal(request->argc, 3);
        assert_int_equal(request->db, 3);
        assert_bytes(request->argv[0], bytes_text("SET"));
        assert_bytes(request->argv[1], bytes_text(""));
        assert_bytes(request->argv[2], bytes_make("a\0\r\n", 4));
        assert_bytes(request->raw, i == 0 ? bytes_make(NULL, 0) : buf_bytes(&kept));
    }
    buf_deinit(&kept);
    multi_end(watches, &session);
    assert_null(session.transaction);
    assert_int_equal(multi_count(&session), -1);
    watches_destroy(watches);
}

static void a_request_knows_the_database_that_it_will_find_selected(void **state)
{
    (void)state;
    struct watches *watches = watches_create();
    struct session session = {.db = 3};
    static const struct {
        const char *selected; /* before it; NULL: nothing */
        uint32_t db;
    } cases[] = {{NULL, 3}, {"5", 5}, {"16", 5},  {"-1", 5},
                 {"x", 5},  {"", 5},  {"15", 15}, {"0", 0}};
    multi_begin(&session);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (cases[i].selected != NULL)
            queue(&session, &selects, 2, (const char *const[]){"SELECT", cases[i].selected});
        queue(&session, &get, 2, (const char *const[]){"GET", "k"});
        const struct transaction *t = session.transaction;
        assert_int_equal(t->requests[t->count - 1].db, cases[i].db);
    }
    multi_end(watches, &session);
    watches_destroy(watches);
}

static void exec_has_the_flags_of_what_is_queued(void **state)
{
    (void)state;
    struct watches *watches = watches_create();
    struct session session = {0};
    assert_int_equal(multi_flags(&session, &exec), exec.flags);
    multi_begin(&session);
    assert_int_equal(multi_flags(&session, &exec), exec.flags);
    assert_int_equal(multi_flags_throughout(&session, &exec), exec.flags);
    queue(&session, &selects, 2, (const char *const[]){"SELECT", "1"});
    assert_true((multi_flags_throughout(&session, &exec) & CMD_LOADING) != 0);
    queue(&session, &get, 2, (const char *const[]){"GET", "k"});
    assert_true((multi_flags_throughout(&session, &exec) & CMD_LOADING) == 0);
    assert_true((multi_flags(&session, &exec) & CMD_WRITE) == 0);
    queue(&session, &set, 3, (const char *const[]){"SET", "k", "v"});
    assert_true((multi_flags(&session, &exec) & CMD_WRITE) != 0);
    assert_int_equal(multi_flags(&session, &get), get.flags);
    multi_end(watches, &session);
    assert_int_equal(multi_flags(&session, &exec), exec.flags);
    watches_destroy(watches);
}

static void a_spoiled_transaction_keeps_nothing_more(void **state)
{
    (void)state;
    struct watches *watches = watches_create();
    struct session session = {0};
    multi_spoil(&session); /* there is none: nothing to spoil */
    assert_int_equal(session.flags, 0);
    multi_begin(&session);
    queue(&session, &get, 2, (const char *const[]){"GET", "k"});
    size_t bytes = session.transaction->bytes;
    assert_true(bytes >= 4);
    multi_spoil(&session);
    queue(&session, &get, 2, (const char *const[]){"GET", "k"});
    assert_int_equal(multi_count(&session), 1);
    assert_int_equal(session.transaction->bytes, bytes);
    multi_end(watches, &session);
    assert_int_equal(session.flags, 0);
    watches_destroy(watches);
}

static void a_changed_key_ends_all_watches_of_its_session(void **state)
{
    (void)state;
    struct watches *watches = watches_create();
    struct session session = {0};
    struct watch_key a = {.position = 1, .name = bytes_text("a")};
    struct watch_key b = {.position = 2, .name = bytes_text("b")};
    multi_watch(watches, &session, &a, true, INT64_MAX);
    multi_watch(watches, &session, &b, true, INT64_MAX);
    assert_int_equal(multi_count(&session), -1);
    multi_dirty(watches, &session);
    assert_int_equal(session.flags, SESSION_DIRTY_CAS);
    assert_int_equal(watches_key_count(watches), 0);
    multi_watch(watches, &session, &a, true, INT64_MAX); /* pointless by now */
    assert_int_equal(watches_key_count(watches), 0);
    multi_end(watches, &session);
    assert_int_equal(session.flags, 0);
    multi_watch(watches, &session, &a, true, INT64_MAX);
    assert_int_equal(watches_key_count(watches), 1);
    multi_end(watches, &session);
    watches_destroy(watches);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_queued_outlives_its_request),
        TEST(a_request_knows_the_database_that_it_will_find_selected),
        TEST(exec_has_the_flags_of_what_is_queued),
        TEST(a_spoiled_transaction_keeps_nothing_more),
        TEST(a_changed_key_ends_all_watches_of_its_session),
    };
    return RUN_TESTS("multi", tests);
}
