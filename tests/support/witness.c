#include "tests/support/witness.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "codec/buf.h"
#include "codec/mem.h"
#include "codec/number.h"
#include "tests/support/harness.h"
#include "tests/support/model.h"
#include "tests/support/resp_client.h"

#define SMALL_KEYS_DEFAULT  200
#define LARGE_BYTES_DEFAULT 150000
#define APPENDED_BYTES_MAX  20000
#define COUNTERS            16
#define WHOLE_DBS           4
#define DBS                 16
#define ARGS_MAX            8
#define GROUP_MAX           4  /* requests of a transaction */
#define GROUP_EVERY         12 /* requests, on the average */
#define DEPTH_MAX           64
#define SCAN_COUNT          "500"
#define DIFFERENCES_SHOWN   10
#define FAR_AHEAD_MS        ((int64_t)4102444800000) /* the year 2100 */

struct promise {
    uint64_t fingerprint; /* of the model after the request */
    int64_t sent_us;
    int64_t promised_us; /* 0: no reply yet */
};

struct witness {
    struct witness_options options;
    char *prefix;    /* owned */
    uint64_t random; /* state */
    uint64_t serial; /* makes values unique */
    struct model *model;
    struct resp_client *client; /* owned */
    uint32_t server_db;         /* selected on the connection */
    uint32_t db;                /* where the next request goes */
    /* Since the last settlement; history[0] is where it began. */
    struct promise *history; /* owned vector */
    size_t sent, promised, history_capacity;
    struct resp_reply expected[DEPTH_MAX]; /* of request i at i % DEPTH_MAX */
    struct model *before;                  /* with accept_error: without the one in flight */
    const char *accepted_code;
    uint64_t refused;
    /* the request being made */
    struct buf args[ARGS_MAX];
    size_t argc;
    struct buf wire;
};

int64_t witness_now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* --- chance --- */

static uint64_t next_random(struct witness *w)
{
    w->random += 0x9E3779B97F4A7C15U;
    uint64_t z = w->random;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

static size_t below(struct witness *w, size_t bound)
{
    return (size_t)(next_random(w) % bound);
}

/* --- life --- */

static void forget_history(struct witness *w)
{
    w->sent = 0;
    w->promised = 0;
    w->history[0] = (struct promise){.fingerprint = model_fingerprint(w->model)};
}

struct witness *witness_create(const struct witness_options *options)
{
    struct witness *w = mem_calloc(1, sizeof(*w));
    w->options = *options;
    w->prefix = mem_strdup(options->prefix);
    w->options.prefix = w->prefix;
    if (w->options.small_keys == 0)
        w->options.small_keys = SMALL_KEYS_DEFAULT;
    if (w->options.large_bytes == 0)
        w->options.large_bytes = LARGE_BYTES_DEFAULT;
    if (w->options.depth == 0)
        w->options.depth = 1;
    w->random = options->seed;
    w->db = options->db;
    w->model = model_create();
    w->history_capacity = 1024;
    w->history = mem_alloc(w->history_capacity * sizeof(*w->history));
    forget_history(w);
    return w;
}

static void drop_expected(struct witness *w)
{
    for (size_t i = 0; i < DEPTH_MAX; i++)
        resp_reply_deinit(&w->expected[i]);
    model_destroy(w->before);
    w->before = NULL;
}

void witness_destroy(struct witness *w)
{
    if (w == NULL)
        return;
    drop_expected(w);
    resp_client_close(w->client);
    for (size_t i = 0; i < ARGS_MAX; i++)
        buf_deinit(&w->args[i]);
    buf_deinit(&w->wire);
    model_destroy(w->model);
    mem_free(w->history);
    mem_free(w->prefix);
    mem_free(w);
}

void witness_set_depth(struct witness *w, size_t depth)
{
    assert_true(depth >= 1 && depth <= DEPTH_MAX);
    w->options.depth = depth;
}

void witness_use(struct witness *w, struct resp_client *client)
{
    resp_client_close(w->client);
    w->client = client;
    w->server_db = 0;
}

void witness_accept_error(struct witness *w, const char *code)
{
    assert_true(w->options.depth == 1);
    w->accepted_code = code;
}

uint64_t witness_refused(const struct witness *w)
{
    return w->refused;
}

size_t witness_in_flight(const struct witness *w)
{
    return w->sent - w->promised;
}

/* --- making requests --- */

static struct buf *add_arg(struct witness *w)
{
    assert_true(w->argc < ARGS_MAX);
    struct buf *arg = &w->args[w->argc++];
    buf_clear(arg);
    return arg;
}

static void add_text(struct witness *w, const char *text)
{
    buf_append_text(add_arg(w), text);
}

static void add_integer(struct witness *w, int64_t value)
{
    buf_append_format(add_arg(w), "%lld", (long long)value);
}

static void add_key(struct witness *w, const char *kind, size_t index)
{
    buf_append_format(add_arg(w), "%s%s:%zu", w->prefix, kind, index);
}

static void add_small_key(struct witness *w)
{
    add_key(w, "key", below(w, w->options.small_keys));
}

static void add_large_key(struct witness *w)
{
    add_key(w, "large", below(w, w->options.large_keys));
}

/* A value that no other request writes, of at least `len` bytes. */
static void add_value(struct witness *w, size_t len)
{
    struct buf *arg = add_arg(w);
    buf_append_format(arg, "%s%llu;", w->prefix, (unsigned long long)w->serial++);
    while (arg->len < len) {
        uint64_t bytes = next_random(w);
        buf_append(arg, &bytes, sizeof(bytes));
        buf_append_text(arg, "some text that can be compressed");
    }
}

static size_t some_len(struct witness *w)
{
    size_t chance = below(w, 100);
    if (chance < 60)
        return below(w, 50);
    return chance < 95 ? 200 + below(w, 400) : 2000 + below(w, 4000);
}

static void make_set(struct witness *w)
{
    add_text(w, "SET");
    add_small_key(w);
    add_value(w, some_len(w));
    if (below(w, 5) == 0) {
        add_text(w, "PXAT");
        add_integer(w, FAR_AHEAD_MS + (int64_t)below(w, 1000000));
    } else if (below(w, 8) == 0) {
        add_text(w, "KEEPTTL");
    } else if (below(w, 8) == 0) {
        add_text(w, below(w, 2) == 0 ? "NX" : "XX");
    }
}

static void make_incr(struct witness *w)
{
    add_text(w, below(w, 2) == 0 ? "INCR" : "INCRBY");
    bool by = w->args[0].len == 6;
    add_key(w, "counter", below(w, COUNTERS));
    if (by)
        add_integer(w, (int64_t)below(w, 1000) - 300);
}

static bool find_arg(const struct witness *w, size_t index, struct model_entry *out)
{
    return model_find(w->model, w->db, buf_bytes(&w->args[index]), out);
}

static void make_append(struct witness *w)
{
    struct model_entry entry;
    add_text(w, "APPEND");
    add_small_key(w);
    if (find_arg(w, 1, &entry) && entry.value.len > APPENDED_BYTES_MAX)
        memcpy(w->args[0].data, "GETDEL", 6);
    else
        add_value(w, below(w, 300));
}

static void make_del(struct witness *w)
{
    add_text(w, below(w, 2) == 0 ? "DEL" : "UNLINK");
    for (size_t count = 1 + below(w, 3); count > 0; count--)
        add_small_key(w);
}

static void make_expire(struct witness *w)
{
    bool persist = below(w, 3) == 0;
    add_text(w, persist ? "PERSIST" : "PEXPIREAT");
    if (w->options.large_keys != 0 && below(w, 10) == 0)
        add_large_key(w);
    else
        add_small_key(w);
    if (!persist)
        add_integer(w, FAR_AHEAD_MS + (int64_t)below(w, 1000000));
}

static void make_mset(struct witness *w)
{
    add_text(w, "MSET");
    for (int i = 0; i < 3; i++) {
        add_small_key(w);
        add_value(w, some_len(w));
    }
}

static void make_rename(struct witness *w)
{
    add_text(w, below(w, 3) == 0 ? "COPY" : "RENAME");
    bool copy = w->args[0].len == 4;
    bool large = w->options.large_keys > 1 && below(w, 10) == 0;
    size_t bound = large ? w->options.large_keys : w->options.small_keys;
    size_t from = below(w, bound);
    add_key(w, large ? "large" : "key", from);
    add_key(w, large ? "large" : "key", (from + 1 + below(w, bound - 1)) % bound);
    if (copy && below(w, 2) == 0)
        add_text(w, "REPLACE");
}

static void make_read(struct witness *w)
{
    add_text(w, below(w, 4) == 0 ? "STRLEN" : "GET");
    add_small_key(w);
}

static void make_small_setrange(struct witness *w)
{
    add_text(w, "SETRANGE");
    add_small_key(w);
    add_integer(w, (int64_t)below(w, 200));
    add_value(w, 0);
}

/* A large value is made, or changed and read in places. */
static void make_large(struct witness *w)
{
    struct model_entry entry;
    static const char *const names[] = {"SETRANGE", "SETRANGE", "SETRANGE", "SETBIT",
                                        "APPEND",   "GETRANGE", "GETRANGE", "STRLEN"};
    size_t which = below(w, sizeof(names) / sizeof(names[0]));
    add_text(w, names[which]);
    add_large_key(w);
    if (!find_arg(w, 1, &entry) || below(w, 100) == 0) {
        w->argc = 0;
        add_text(w, "SET");
        w->argc = 2;
        add_value(w, w->options.large_bytes / 2 + below(w, w->options.large_bytes));
        return;
    }
    size_t off = below(w, entry.value.len + 1);
    if (below(w, 50) == 0)
        off += 40000; /* leaves a hole */
    if (entry.value.len > 4 * w->options.large_bytes) {
        w->argc = 0;
        add_text(w, "UNLINK");
        w->argc = 2;
    } else if (strcmp(names[which], "SETRANGE") == 0) {
        add_integer(w, (int64_t)off);
        add_value(w, below(w, 500));
    } else if (strcmp(names[which], "SETBIT") == 0) {
        add_integer(w, (int64_t)(off * 8 + below(w, 8)));
        add_integer(w, (int64_t)below(w, 2));
    } else if (strcmp(names[which], "APPEND") == 0) {
        add_value(w, below(w, 3000));
    } else if (strcmp(names[which], "GETRANGE") == 0) {
        add_integer(w, (int64_t)off);
        add_integer(w, (int64_t)(off + below(w, 20000)));
    }
}

static void make_whole(struct witness *w)
{
    switch (below(w, 4)) {
    case 0:
        add_text(w, "FLUSHDB");
        break;
    case 1:
        add_text(w, "MOVE");
        add_small_key(w);
        add_integer(w, (int64_t)((w->db + 1 + below(w, WHOLE_DBS - 1)) % WHOLE_DBS));
        break;
    default:
        add_text(w, "SWAPDB");
        add_integer(w, (int64_t)below(w, WHOLE_DBS));
        add_integer(w, (int64_t)below(w, WHOLE_DBS));
        break;
    }
}

static const struct {
    size_t weight;
    void (*make)(struct witness *w);
} makers[] = {
    {30, make_set},           {10, make_incr},  {8, make_append}, {8, make_del},
    {7, make_expire},         {6, make_mset},   {7, make_rename}, {10, make_read},
    {4, make_small_setrange}, {14, make_large}, {2, make_whole},
};

static void make_request(struct witness *w)
{
    w->argc = 0;
    while (w->argc == 0) {
        size_t chance = below(w, 106);
        size_t i = 0;
        while (chance >= makers[i].weight)
            chance -= makers[i++].weight;
        if ((makers[i].make == make_large && w->options.large_keys == 0) ||
            (makers[i].make == make_whole && !w->options.whole))
            continue;
        makers[i].make(w);
    }
}

/* --- sending and receiving --- */

static void push_promise(struct witness *w)
{
    if (w->sent + 1 == w->history_capacity) {
        w->history_capacity *= 2;
        w->history = mem_realloc(w->history, w->history_capacity * sizeof(*w->history));
    }
    w->history[++w->sent] =
        (struct promise){.fingerprint = model_fingerprint(w->model), .sent_us = witness_now_us()};
}

/* Appends the request to what is to be sent and to what is expected. */
static void commit_request(struct witness *w)
{
    struct bytes argv[ARGS_MAX];
    for (size_t i = 0; i < w->argc; i++)
        argv[i] = buf_bytes(&w->args[i]);
    resp_format_request(w->argc, argv, &w->wire);
    struct resp_reply *expected = &w->expected[(w->sent + 1) % DEPTH_MAX];
    resp_reply_deinit(expected);
    if (bytes_equal(argv[0], bytes_text("SELECT"))) {
        expected->kind = RESP_SIMPLE;
        buf_append_text(&expected->text, "OK");
    } else {
        model_apply(w->model, w->db, w->argc, argv, expected);
    }
    push_promise(w);
}

static void append_alone(struct witness *w, const char *word)
{
    struct bytes argv[] = {bytes_text(word)};
    resp_format_request(1, argv, &w->wire);
}

/* A transaction: the state after it is one of those that may be found, none within it is. */
static void commit_group(struct witness *w)
{
    struct resp_reply *expected = &w->expected[(w->sent + 1) % DEPTH_MAX];
    resp_reply_deinit(expected);
    expected->kind = RESP_ARRAY;
    expected->child_count = 1 + below(w, GROUP_MAX);
    expected->children = mem_calloc(expected->child_count, sizeof(*expected->children));
    append_alone(w, "MULTI");
    for (size_t i = 0; i < expected->child_count; i++) {
        struct bytes argv[ARGS_MAX];
        make_request(w);
        for (size_t j = 0; j < w->argc; j++)
            argv[j] = buf_bytes(&w->args[j]);
        resp_format_request(w->argc, argv, &w->wire);
        model_apply(w->model, w->db, w->argc, argv, &expected->children[i]);
    }
    append_alone(w, "EXEC");
    push_promise(w);
}

static void commit_select(struct witness *w)
{
    w->argc = 0;
    add_text(w, "SELECT");
    add_integer(w, w->db);
    w->server_db = w->db;
    commit_request(w);
}

bool witness_send(struct witness *w)
{
    if (witness_in_flight(w) >= w->options.depth)
        return true;
    buf_clear(&w->wire);
    if (w->options.whole && below(w, 20) == 0)
        w->db = (uint32_t)below(w, WHOLE_DBS);
    if (w->server_db != w->db) {
        commit_select(w);
    } else if (w->accepted_code == NULL && below(w, GROUP_EVERY) == 0) {
        commit_group(w);
    } else {
        make_request(w);
        if (w->accepted_code != NULL) {
            model_destroy(w->before);
            w->before = model_copy(w->model, bytes_make("", 0));
        }
        commit_request(w);
    }
    struct err err;
    return resp_client_send(w->client, buf_bytes(&w->wire), &err) == ST_OK;
}

static bool is_refusal(const struct witness *w, const struct resp_reply *reply)
{
    size_t len = w->accepted_code == NULL ? 0 : strlen(w->accepted_code);
    return len != 0 && reply->kind == RESP_ERROR && reply->text.len > len &&
           memcmp(reply->text.data, w->accepted_code, len) == 0;
}

/* The request in flight did not happen. */
static void take_back(struct witness *w)
{
    model_destroy(w->model);
    w->model = w->before;
    w->before = NULL;
    w->sent--;
    w->refused++;
}

static void print_reply(const char *label, const struct resp_reply *reply)
{
    struct buf text = {0};
    resp_reply_render(reply, &text);
    size_t shown = text.len > 300 ? 300 : text.len;
    (void)fprintf(stderr, "%s %.*s (%zu bytes)\n", label, (int)shown, (const char *)text.data,
                  reply->text.len);
    buf_deinit(&text);
}

static bool is_as_expected(const struct resp_reply *reply, const struct resp_reply *expected)
{
    if (reply->kind != expected->kind || reply->child_count != expected->child_count ||
        !bytes_equal(buf_bytes(&reply->text), buf_bytes(&expected->text)))
        return false;
    for (size_t i = 0; i < expected->child_count; i++)
        if (reply->children[i].kind != expected->children[i].kind ||
            !bytes_equal(buf_bytes(&reply->children[i].text),
                         buf_bytes(&expected->children[i].text)))
            return false;
    return true;
}

static void check_reply(struct witness *w, const struct resp_reply *reply,
                        const struct resp_reply *expected)
{
    if (is_as_expected(reply, expected))
        return;
    (void)fprintf(stderr, "request %zu of witness \"%s\":\n", w->promised + 1, w->prefix);
    if (w->options.depth == 1) {
        for (size_t i = 0; i < w->argc; i++)
            (void)fprintf(stderr, "  %.*s", (int)(w->args[i].len > 60 ? 60 : w->args[i].len),
                          (const char *)w->args[i].data);
        (void)fprintf(stderr, "\n");
    }
    print_reply("expected", expected);
    print_reply("     got", reply);
    fail_msg("a reply differs from the model's");
}

/* One reply; false when the server has gone. */
static bool read_reply(struct resp_client *client, struct resp_reply *reply)
{
    struct err err;
    *reply = (struct resp_reply){.kind = RESP_NIL};
    enum status st = resp_client_read(client, reply, &err);
    if (st == ST_END || st == ST_IO)
        return false;
    assert_ok(st, &err);
    return true;
}

/* What MULTI and the queued requests of a transaction answer. */
static bool skip_queued(struct witness *w, size_t requests)
{
    for (size_t i = 0; i <= requests; i++) {
        struct resp_reply reply;
        if (!read_reply(w->client, &reply))
            return false;
        assert_int_equal(reply.kind, RESP_SIMPLE);
        resp_reply_deinit(&reply);
    }
    return true;
}

bool witness_receive(struct witness *w)
{
    if (witness_in_flight(w) == 0)
        return true;
    struct resp_reply reply;
    const struct resp_reply *expected = &w->expected[(w->promised + 1) % DEPTH_MAX];
    if (expected->kind == RESP_ARRAY && !skip_queued(w, expected->child_count))
        return false;
    if (!read_reply(w->client, &reply))
        return false;
    if (is_refusal(w, &reply)) {
        take_back(w);
    } else {
        check_reply(w, &reply, expected);
        w->history[++w->promised].promised_us = witness_now_us();
    }
    resp_reply_deinit(&reply);
    return true;
}

bool witness_step(struct witness *w)
{
    while (witness_in_flight(w) < w->options.depth)
        if (!witness_send(w))
            return false;
    while (witness_in_flight(w) > 0)
        if (!witness_receive(w))
            return false;
    return true;
}

/* --- settling --- */

void witness_settle(struct witness *w, const struct model *found, int64_t crash_us,
                    struct witness_verdict *out)
{
    struct model *own = model_copy(found, bytes_text(w->prefix));
    uint64_t fingerprint = model_fingerprint(own);
    *out = (struct witness_verdict){.sent = w->sent, .promised = w->promised, .kept = UINT64_MAX};
    for (size_t i = w->sent + 1; i-- > 0 && out->kept == UINT64_MAX;)
        if (w->history[i].fingerprint == fingerprint)
            out->kept = i;
    if (out->kept == UINT64_MAX) {
        (void)fprintf(stderr, "witness \"%s\", after %zu requests, %zu of them with a reply:\n",
                      w->prefix, w->sent, w->promised);
        (void)model_print_differences(w->model, own, DIFFERENCES_SHOWN);
    } else {
        out->kept_min = out->kept;
        while (out->kept_min > 0 && w->history[out->kept_min - 1].fingerprint == fingerprint)
            out->kept_min--;
        if (out->kept < out->promised)
            out->lost_us = crash_us - w->history[out->kept + 1].promised_us;
    }
    drop_expected(w);
    model_destroy(w->model);
    w->model = own;
}

/* Promises given before the others' kept requests were sent must have been kept. */
static void check_order(struct witness *const *witnesses, const struct witness_verdict *verdicts,
                        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (verdicts[i].kept >= verdicts[i].promised)
            continue;
        int64_t broken_us = witnesses[i]->history[verdicts[i].kept + 1].promised_us;
        for (size_t j = 0; j < count; j++)
            if (verdicts[j].kept_min > 0 &&
                witnesses[j]->history[verdicts[j].kept_min].sent_us > broken_us)
                fail_msg("a request of witness \"%s\" is there although an earlier one of \"%s\" "
                         "is not",
                         witnesses[j]->prefix, witnesses[i]->prefix);
    }
}

void witnesses_settle(struct witness *const *witnesses, size_t count, const struct model *found,
                      int64_t crash_us, int64_t loss_us_max, struct witness_verdict *sum_out)
{
    struct witness_verdict *verdicts = mem_calloc(count, sizeof(*verdicts));
    struct witness_verdict sum = {0};
    size_t keys = 0;
    for (size_t i = 0; i < count; i++) {
        struct witness_verdict *verdict = &verdicts[i];
        witness_settle(witnesses[i], found, crash_us, verdict);
        if (verdict->kept == UINT64_MAX)
            fail_msg("witness \"%s\" finds a state that it has never seen", witnesses[i]->prefix);
        if (verdict->lost_us > loss_us_max || (loss_us_max == 0 && verdict->lost_us != 0))
            fail_msg("witness \"%s\" was promised %llu requests, %llu were kept, and %.3f s lost",
                     witnesses[i]->prefix, (unsigned long long)verdict->promised,
                     (unsigned long long)verdict->kept, (double)verdict->lost_us / 1e6);
        sum.sent += verdict->sent;
        sum.promised += verdict->promised;
        sum.kept += verdict->kept;
        if (verdict->lost_us > sum.lost_us)
            sum.lost_us = verdict->lost_us;
        keys += model_count_all(witnesses[i]->model);
    }
    if (keys != model_count_all(found))
        fail_msg("the server holds %zu keys, the witnesses have %zu", model_count_all(found), keys);
    check_order(witnesses, verdicts, count);
    for (size_t i = 0; i < count; i++)
        forget_history(witnesses[i]);
    mem_free(verdicts);
    if (sum_out != NULL)
        *sum_out = sum;
}

/* --- reading a server --- */

static bool ask(struct resp_client *client, const struct bytes *argv, size_t argc,
                struct resp_reply *reply)
{
    struct buf wire = {0};
    resp_format_request(argc, argv, &wire);
    bool sent = resp_client_send(client, buf_bytes(&wire), NULL) == ST_OK;
    buf_deinit(&wire);
    return sent && read_reply(client, reply);
}

static int64_t integer_of(const struct resp_reply *reply)
{
    int64_t value = 0;
    if (reply->kind != RESP_INTEGER || !number_parse_i64(buf_bytes(&reply->text), &value)) {
        print_reply("got", reply);
        fail_msg("an integer was expected");
    }
    return value;
}

/* Asks for values and deadlines of the keys of one SCAN reply, all at once. */
static bool read_keys(struct resp_client *client, uint32_t db, const struct resp_reply *keys,
                      struct model *model)
{
    struct buf wire = {0};
    for (size_t i = 0; i < keys->child_count; i++) {
        struct bytes get[] = {bytes_text("GET"), buf_bytes(&keys->children[i].text)};
        struct bytes when[] = {bytes_text("PEXPIRETIME"), get[1]};
        resp_format_request(2, get, &wire);
        resp_format_request(2, when, &wire);
    }
    bool there = resp_client_send(client, buf_bytes(&wire), NULL) == ST_OK;
    buf_deinit(&wire);
    for (size_t i = 0; i < keys->child_count && there; i++) {
        struct resp_reply value = {.kind = RESP_NIL};
        struct resp_reply when = {.kind = RESP_NIL};
        there = read_reply(client, &value) && read_reply(client, &when);
        if (there && value.kind != RESP_BULK) {
            print_reply("GET of a key that SCAN returned answers", &value);
            fail_msg("a value was expected");
        }
        if (there) {
            struct model_entry entry = {.db = db,
                                        .key = buf_bytes(&keys->children[i].text),
                                        .value = buf_bytes(&value.text),
                                        .expire_at_ms = integer_of(&when)};
            model_put(model, &entry);
        }
        resp_reply_deinit(&value);
        resp_reply_deinit(&when);
    }
    return there;
}

static bool read_db(struct resp_client *client, uint32_t db, struct model *model)
{
    struct resp_reply reply;
    struct buf cursor = {0};
    char number[16];
    size_t returned = 0;
    (void)snprintf(number, sizeof(number), "%u", db);
    struct bytes select[] = {bytes_text("SELECT"), bytes_text(number)};
    struct bytes dbsize[] = {bytes_text("DBSIZE")};
    bool there = ask(client, select, 2, &reply);
    buf_append_text(&cursor, "0");
    do {
        if (there)
            resp_reply_deinit(&reply);
        struct bytes scan[] = {bytes_text("SCAN"), buf_bytes(&cursor), bytes_text("COUNT"),
                               bytes_text(SCAN_COUNT)};
        there = there && ask(client, scan, 4, &reply);
        if (!there)
            break;
        if (reply.kind != RESP_ARRAY || reply.child_count != 2) {
            print_reply("SCAN answers", &reply);
            fail_msg("an array of two was expected");
        }
        returned += reply.children[1].child_count;
        buf_clear(&cursor);
        buf_append_bytes(&cursor, buf_bytes(&reply.children[0].text));
        there = read_keys(client, db, &reply.children[1], model);
    } while (there && !bytes_equal(buf_bytes(&cursor), bytes_text("0")));
    buf_deinit(&cursor);
    resp_reply_deinit(&reply);
    if (!there || !ask(client, dbsize, 1, &reply))
        return false;
    int64_t size = integer_of(&reply);
    resp_reply_deinit(&reply);
    if ((size_t)size != returned || returned != model_count(model, db))
        fail_msg("database %u: DBSIZE says %lld, SCAN returned %zu keys, %zu different ones", db,
                 (long long)size, returned, model_count(model, db));
    return true;
}

struct model *server_read_all(struct resp_client *client)
{
    struct model *model = model_create();
    for (uint32_t db = 0; db < DBS; db++) {
        if (!read_db(client, db, model)) {
            model_destroy(model);
            return NULL;
        }
    }
    return model;
}
