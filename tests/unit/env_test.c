/* The file helpers finish short transfers and name path and reason when they fail; files are
 * replaced whole or not at all; locks hold off the next one; fault texts do what they say.
 * Method: the real env in a scratch directory, and the fault env over it. */
#include "storage/env.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codec/buf.h"
#include "codec/mem.h"
#include "tests/support/env_fault.h"
#include "tests/support/harness.h"

struct fixture {
    char *root;
    char path[256];
    struct env_fault *fault;
    struct env *env;
};

static int setup(void **state)
{
    struct fixture *fixture = mem_calloc(1, sizeof(*fixture));
    fixture->root = harness_make_dir();
    (void)snprintf(fixture->path, sizeof(fixture->path), "%s/file", fixture->root);
    fixture->fault = env_fault_create();
    fixture->env = env_fault_env(fixture->fault);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    env_fault_destroy(fixture->fault);
    harness_remove_dir(fixture->root);
    mem_free(fixture->root);
    mem_free(fixture);
    return 0;
}

static void assert_content(struct fixture *fixture, const char *expected)
{
    struct buf content = {0};
    struct err err;
    assert_ok(env_read_file(env_posix(), fixture->path, 1000, &content, &err), &err);
    assert_bytes(buf_bytes(&content), bytes_text(expected));
    buf_deinit(&content);
}

static void errno_values_become_statuses(void **state)
{
    (void)state;
    assert_int_equal(env_status(0), ST_OK);
    assert_int_equal(env_status(ENOSPC), ST_NO_SPACE);
    assert_int_equal(env_status(EDQUOT), ST_NO_SPACE);
    assert_int_equal(env_status(ENOENT), ST_NOT_FOUND);
    assert_int_equal(env_status(EEXIST), ST_EXISTS);
    assert_int_equal(env_status(EAGAIN), ST_AGAIN);
    assert_int_equal(env_status(EIO), ST_IO);
}

static void errors_name_operation_path_and_reason(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    int fd = -1;
    assert_status(env_open(fixture->env, fixture->path, ENV_READ, &fd, &err), ST_NOT_FOUND);
    char expected[400];
    (void)snprintf(expected, sizeof(expected), "cannot open %s: No such file or directory",
                   fixture->path);
    assert_string_equal(err.message, expected);
    assert_int_equal(err.os_errno, ENOENT);
    assert_int_equal(fd, -1);
    unsigned create = ENV_WRITE | ENV_CREATE | ENV_EXCLUSIVE;
    assert_ok(env_open(fixture->env, fixture->path, create, &fd, &err), &err);
    env_close(fixture->env, fd);
    assert_status(env_open(fixture->env, fixture->path, create, &fd, &err), ST_EXISTS);
    env_close(fixture->env, -1);
    assert_status(env_rename(fixture->env, "/nowhere/a", "/nowhere/b", &err), ST_NOT_FOUND);
    assert_string_equal(err.message,
                        "cannot rename /nowhere/a to /nowhere/b: No such file or directory");
}

static void short_transfers_are_finished(void **state)
{
    struct fixture *fixture = *state;
    static const char text[] = "0123456789abcdefghij";
    for (size_t limit = 1; limit < 8; limit++) {
        struct err err;
        int fd = -1;
        char a[] = "01234", b[] = "", c[] = "56789abc", d[] = "d";
        struct iovec parts[] = {{a, 5}, {b, 0}, {c, 8}, {d, 1}};
        env_fault_set_short(fixture->fault, limit);
        assert_ok(env_open(fixture->env, fixture->path,
                           ENV_READ | ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &fd, &err),
                  &err);
        assert_ok(env_writev_all(fixture->env, fd, fixture->path, parts, 4, &err), &err);
        assert_ok(env_write_all(fixture->env, fd, fixture->path, "efghij", 6, &err), &err);
        char got[64];
        size_t len = 0;
        assert_ok(env_read_at(fixture->env, fd, fixture->path, 3, got, sizeof(got), &len, &err),
                  &err);
        assert_bytes(bytes_make(got, len), bytes_text(text + 3));
        assert_ok(env_seek(fixture->env, fd, fixture->path, 18, &err), &err);
        assert_ok(env_write_all(fixture->env, fd, fixture->path, "XYZ", 3, &err), &err);
        uint64_t size = 0;
        assert_ok(env_file_size(fixture->env, fd, fixture->path, &size, &err), &err);
        assert_int_equal(size, 21);
        assert_ok(env_truncate(fixture->env, fd, fixture->path, 19, &err), &err);
        env_close(fixture->env, fd);
        assert_content(fixture, "0123456789abcdefghX");
    }
}

static void a_file_larger_than_allowed_is_not_read(void **state)
{
    struct fixture *fixture = *state;
    struct buf content = {0};
    struct err err;
    assert_ok(env_replace_file(fixture->env, fixture->path, bytes_text("12345"), &err), &err);
    assert_ok(env_read_file(fixture->env, fixture->path, 5, &content, &err), &err);
    assert_status(env_read_file(fixture->env, fixture->path, 4, &content, &err), ST_LIMIT);
    buf_deinit(&content);
}

/* Replaces the file with the nth call failing, or everything from it on; whether any failed. */
static bool replace_with_fault(struct fixture *fixture, uint64_t nth, uint64_t count)
{
    struct err err;
    struct env_fault_plan plan = {
        .ops = ENV_FAULT_WRITES, .nth = nth, .count = count, .error = EIO, .torn_bytes = 1};
    env_fault_set_plan(fixture->fault, &plan);
    enum status st = env_replace_file(fixture->env, fixture->path, bytes_text("new"), &err);
    bool failed = env_fault_failed(fixture->fault) > 0;
    assert_int_equal(st, failed ? ST_IO : ST_OK);
    return failed;
}

static void a_replaced_file_is_old_or_new_whatever_fails(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    for (int end = 0; end < 3; end++) {
        bool failed = true;
        for (uint64_t nth = 1; failed; nth++) {
            env_fault_set_plan(fixture->fault, NULL);
            assert_ok(env_replace_file(fixture->env, fixture->path, bytes_text("old"), &err), &err);
            failed = replace_with_fault(fixture, nth, end == 0 ? 1 : 0);
            if (end == 1)
                env_fault_power_cut(fixture->fault, ENV_FAULT_CUT_DROP, nth);
            if (end == 2)
                env_fault_power_cut(fixture->fault, ENV_FAULT_CUT_RANDOM, nth);
            env_fault_revive(fixture->fault);
            struct buf content = {0};
            assert_ok(env_read_file(env_posix(), fixture->path, 1000, &content, &err), &err);
            if (!failed || !bytes_equal(buf_bytes(&content), bytes_text("old")))
                assert_bytes(buf_bytes(&content), bytes_text("new"));
            buf_deinit(&content);
        }
    }
}

static void a_lock_holds_off_the_next_one_and_names_its_holder(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    int first = -1;
    int second = -1;
    assert_ok(env_lock_file(fixture->env, fixture->path, &first, &err), &err);
    assert_status(env_lock_file(fixture->env, fixture->path, &second, &err), ST_AGAIN);
    char expected[400];
    (void)snprintf(expected, sizeof(expected), "cannot lock %s: process %ld holds it",
                   fixture->path, (long)getpid());
    assert_string_equal(err.message, expected);
    env_close(fixture->env, first);
    assert_ok(env_lock_file(fixture->env, fixture->path, &second, &err), &err);
    env_close(fixture->env, second);
}

static void count_entry(void *arg, const char *name)
{
    assert_string_equal(name, "file");
    ++*(unsigned *)arg;
}

static void directories_are_made_and_listed(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    char dir[300];
    unsigned count = 0;
    (void)snprintf(dir, sizeof(dir), "%s/dir", fixture->root);
    assert_ok(env_mkdir(fixture->env, dir, &err), &err);
    assert_ok(env_mkdir(fixture->env, dir, &err), &err);
    assert_ok(env_list_dir(fixture->env, dir, count_entry, &count, &err), &err);
    assert_int_equal(count, 0);
    (void)snprintf(fixture->path, sizeof(fixture->path), "%s/dir/file", fixture->root);
    assert_ok(env_replace_file(fixture->env, fixture->path, bytes_text("x"), &err), &err);
    assert_ok(env_list_dir(fixture->env, dir, count_entry, &count, &err), &err);
    assert_int_equal(count, 1);
    assert_ok(env_unlink(fixture->env, fixture->path, &err), &err);
    assert_status(env_unlink(fixture->env, fixture->path, &err), ST_NOT_FOUND);
}

static void make_file(struct fixture *fixture, const char *name)
{
    char path[300];
    int fd;
    (void)snprintf(path, sizeof(path), "%s/%s", fixture->root, name);
    assert_ok(env_open(fixture->env, path, ENV_WRITE | ENV_CREATE, &fd, NULL), NULL);
    env_close(fixture->env, fd);
}

static void make_dirs(struct fixture *fixture, const char *const *names, size_t count)
{
    char path[300];
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", fixture->root, names[i]);
        assert_ok(env_mkdir(fixture->env, path, NULL), NULL);
    }
}

static bool is_there(struct fixture *fixture, const char *name)
{
    char path[300];
    (void)snprintf(path, sizeof(path), "%s/%s", fixture->root, name);
    return access(path, F_OK) == 0;
}

static void directories_exchange_their_names(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    static const char *const dirs[] = {"a", "b", "b/in"};
    char a[300];
    char b[300];
    make_dirs(fixture, dirs, 3);
    make_file(fixture, "a/one");
    make_file(fixture, "b/two");
    (void)snprintf(a, sizeof(a), "%s/a", fixture->root);
    (void)snprintf(b, sizeof(b), "%s/b", fixture->root);
    assert_ok(env_exchange(fixture->env, a, b, &err), &err);
    assert_true(is_there(fixture, "a/two") && is_there(fixture, "a/in"));
    assert_true(is_there(fixture, "b/one"));
    (void)snprintf(b, sizeof(b), "%s/missing", fixture->root);
    assert_status(env_exchange(fixture->env, a, b, &err), ST_NOT_FOUND);
    assert_true(is_there(fixture, "a/two"));
    assert_status(env_rmdir(env_posix(), a, &err), ST_IO); /* it is not empty */
}

static void a_tree_is_removed_and_nothing_else(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    static const char *const dirs[] = {"kept",      "tree",          "tree/empty",
                                       "tree/deep", "tree/deep/one", "tree/deep/two"};
    char path[300];
    char target[300];
    make_dirs(fixture, dirs, sizeof(dirs) / sizeof(dirs[0]));
    make_file(fixture, "kept/file");
    make_file(fixture, "tree/file");
    make_file(fixture, "tree/deep/one/file");
    make_file(fixture, "tree/deep/two/file");
    (void)snprintf(target, sizeof(target), "%s/kept", fixture->root);
    (void)snprintf(path, sizeof(path), "%s/tree/deep/link", fixture->root);
    assert_int_equal(symlink(target, path), 0);
    (void)snprintf(path, sizeof(path), "%s/tree", fixture->root);
    assert_ok(env_remove_tree(fixture->env, path, &err), &err);
    assert_false(is_there(fixture, "tree"));
    assert_true(is_there(fixture, "kept/file"));
    assert_ok(env_remove_tree(fixture->env, path, &err), &err); /* nothing there: fine */
    const struct env_fault_plan plan = {
        .ops = ENV_FAULT_OP(ENV_OP_UNLINK), .nth = 1, .error = EACCES};
    env_fault_set_plan(fixture->fault, &plan);
    assert_status(env_remove_tree(fixture->env, target, &err), ST_IO);
    assert_non_null(strstr(err.message, "kept/file"));
}

/* A server never does this. */
static void destroy_faults(struct env *env)
{
    if (env != NULL)
        env_hook_deinit((struct env_hook *)(void *)env);
    mem_free(env);
}

static void fault_texts_are_read_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        enum status expected;
    } cases[] = {
        {"", ST_OK},
        {"write:journal:1:EIO", ST_OK},
        {"write::1:5", ST_OK},
        {"fdatasync:a:3:ENOSPC:0;writev:b:1:KILL;open::7:KILL_AFTER:1", ST_OK},
        {"write", ST_INVALID},
        {"wrote:journal:1:EIO", ST_INVALID},
        {"write:journal:0:EIO", ST_INVALID},
        {"write:journal:x:EIO", ST_INVALID},
        {"write:journal:1:EWHAT", ST_INVALID},
        {"write:journal:1:0", ST_INVALID},
        {"write:journal:1:EIO:", ST_OK},
        {"write:journal:1:EIO:x", ST_INVALID},
        {"write:journal:1:EIO;;", ST_INVALID},
        {"read::1:5;read::1:5;read::1:5;read::1:5;read::1:5;read::1:5;read::1:5;read::1:5", ST_OK},
        {"read::1:5;read::1:5;read::1:5;read::1:5;read::1:5;read::1:5;read::1:5;read::1:5;r",
         ST_INVALID},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct env *env = NULL;
        struct err err = {0};
        if (env_posix_with_faults(cases[i].spec, &env, &err) != cases[i].expected)
            fail_msg("case %zu: %s", i, err.message);
        destroy_faults(env);
    }
}

static void faults_from_a_text_hit_the_named_calls(void **state)
{
    struct fixture *fixture = *state;
    struct env *env = NULL;
    struct err err;
    int fd = -1;
    assert_ok(env_posix_with_faults("write:/file:2:ENOSPC:2;fdatasync:other:1:EIO", &env, &err),
              &err);
    assert_ok(env_open(env, fixture->path, ENV_WRITE | ENV_CREATE, &fd, &err), &err);
    assert_ok(env_write_all(env, fd, fixture->path, "a", 1, &err), &err);
    assert_status(env_write_all(env, fd, fixture->path, "b", 1, &err), ST_NO_SPACE);
    assert_status(env_write_all(env, fd, fixture->path, "c", 1, &err), ST_NO_SPACE);
    assert_ok(env_write_all(env, fd, fixture->path, "d", 1, &err), &err);
    assert_ok(env_sync(env, fd, fixture->path, &err), &err);
    env_close(env, fd);
    assert_content(fixture, "ad");
    destroy_faults(env);
}

/* Runs two writes in a child with the fault; what is in the file once it was killed. */
static void assert_killed(struct fixture *fixture, const char *spec, const char *expected)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct env *env = NULL;
        int fd = -1;
        if (env_posix_with_faults(spec, &env, NULL) != ST_OK ||
            env_open(env, fixture->path, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &fd, NULL) !=
                ST_OK ||
            env_write_all(env, fd, fixture->path, "1", 1, NULL) != ST_OK ||
            env_write_all(env, fd, fixture->path, "2", 1, NULL) != ST_OK)
            _exit(1);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_content(fixture, expected);
}

static void a_process_can_be_killed_before_or_after_a_call(void **state)
{
    assert_killed(*state, "write:file:2:KILL", "1");
    assert_killed(*state, "write:file:2:KILL_AFTER", "12");
    assert_killed(*state, "write:file:1:KILL", "");
}

static void random_bytes_and_clocks_move(void **state)
{
    struct fixture *fixture = *state;
    uint8_t a[16] = {0};
    uint8_t b[16] = {0};
    fixture->env->random_bytes(fixture->env, a, sizeof(a));
    fixture->env->random_bytes(fixture->env, b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
    assert_true(env_now_realtime_ms(fixture->env) > INT64_C(1600000000000));
    int64_t now = env_now_mono_us(fixture->env);
    assert_true(env_now_mono_us(fixture->env) >= now);
    env_fault_stop_clock(fixture->fault);
    now = env_now_mono_us(fixture->env);
    assert_int_equal(env_now_mono_us(fixture->env), now);
    env_fault_advance(fixture->fault, 5);
    assert_int_equal(env_now_mono_us(fixture->env), now + 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(errno_values_become_statuses),
        TEST_WITH(errors_name_operation_path_and_reason, setup, teardown),
        TEST_WITH(short_transfers_are_finished, setup, teardown),
        TEST_WITH(a_file_larger_than_allowed_is_not_read, setup, teardown),
        TEST_WITH(a_replaced_file_is_old_or_new_whatever_fails, setup, teardown),
        TEST_WITH(a_lock_holds_off_the_next_one_and_names_its_holder, setup, teardown),
        TEST_WITH(directories_are_made_and_listed, setup, teardown),
        TEST_WITH(directories_exchange_their_names, setup, teardown),
        TEST_WITH(a_tree_is_removed_and_nothing_else, setup, teardown),
        TEST(fault_texts_are_read_or_refused),
        TEST_WITH(faults_from_a_text_hit_the_named_calls, setup, teardown),
        TEST_WITH(a_process_can_be_killed_before_or_after_a_call, setup, teardown),
        TEST_WITH(random_bytes_and_clocks_move, setup, teardown),
    };
    return RUN_TESTS("env", tests);
}
