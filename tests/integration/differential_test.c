/* Goal: whatever is asked, Basalt answers as Redis does and ends up with the same data, while its
 * own goes to disk and back all the time.
 * Method: random requests of all types on few keys (so that wrong types, empty and expiring keys
 * and every encoding are met), sent to a reference redis-server and to Basalt with small
 * thresholds; each reply is compared, and now and then the digests of all data. In between Basalt
 * is told to write everything out, to forget what is in RAM, and is restarted. Skipped (77) without
 * a reference.
 *
 * BASALT_DIFFERENTIAL_COMMANDS says how many requests (20,000), BASALT_DIFFERENTIAL_SEED which, and
 * BASALT_DIFFERENTIAL_COLD=1 runs with debug-always-cold. A difference prints the seed. */
#include "tests/support/harness.h"

#include "codec/mem.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMANDS_DEFAULT 20000
#define BATCH            50
#define ARGS_MAX         24
#define TEXT_BYTES_MAX   400
#define KEYS             5  /* per type */
#define DIGEST_PERIOD    20 /* batches */
#define RESTART_PERIOD   90
#define EXIT_SKIPPED     77

enum { ORDERED = 0, UNORDERED = 1, PAIRS = 2 /* flattened, in any order */ };

/* A request; `%` and a letter stand for something random:
 *   %k key (mostly of the row's type)  %m member  %v value  %i integer  %n small count  %f float
 *   %b score bound  %x lex bound  %d new stream id  %e stream id  %g group  %c consumer  %t far
 * time */
struct row {
    char type; /* of its keys: v, l, h, s, z, y (scores of 0), p (points), f (HyperLogLogs), x;
                * g: any but y, p and f */
    uint8_t compare;
    const char *text;
};

static const struct row rows[] = {
    {'v', ORDERED, "SET %k %v"},
    {'v', ORDERED, "SET %k %i"},
    {'v', ORDERED, "SET %k %v XX GET KEEPTTL"},
    {'v', ORDERED, "SET %k %v PXAT %t"},
    {'v', ORDERED, "GETEX %k PXAT %t"},
    {'v', ORDERED, "MSETNX %k %v %k %i"},
    {'v', ORDERED, "BITPOS %k 1"},
    {'v', ORDERED, "BITOP AND %k %k %k"},
    {'v', ORDERED, "BITOP NOT %k %k"},
    {'v', ORDERED, "SUBSTR %k %i %i"},
    {'v', ORDERED,
     "EVAL return{redis.call('set',KEYS[1],ARGV[1]),redis.pcall('incr',KEYS[2])} 2 %k %k %i"},
    {'v', ORDERED, "SETNX %k %v"},
    {'v', ORDERED, "GET %k"},
    {'v', ORDERED, "GETDEL %k"},
    {'v', ORDERED, "GETSET %k %v"},
    {'v', ORDERED, "APPEND %k %v"},
    {'v', ORDERED, "STRLEN %k"},
    {'v', ORDERED, "GETRANGE %k %i %i"},
    {'v', ORDERED, "SETRANGE %k %n %v"},
    {'v', ORDERED, "INCR %k"},
    {'v', ORDERED, "INCRBY %k %i"},
    {'v', ORDERED, "INCRBYFLOAT %k %f"},
    {'v', ORDERED, "SETBIT %k %n 1"},
    {'v', ORDERED, "GETBIT %k %n"},
    {'v', ORDERED, "BITCOUNT %k"},
    {'v', ORDERED, "BITOP XOR %k %k %k"},
    {'v', ORDERED, "BITFIELD %k SET u7 %n 99 INCRBY i5 %n 3 GET u9 0"},
    {'v', ORDERED, "MGET %k %k %k"},
    {'v', ORDERED, "MSET %k %v %k %v"},
    {'v', ORDERED, "LCS %k %k"},
    {'f', ORDERED, "PFADD %k %m %m %m"},
    {'f', ORDERED, "PFCOUNT %k"},
    {'f', ORDERED, "PFMERGE %k %k"},
    {'l', ORDERED, "LPUSH %k %v %m"},
    {'l', ORDERED, "RPUSH %k %m %m %i"},
    {'l', ORDERED, "RPUSH %k %v"},
    {'l', ORDERED, "LPUSHX %k %m"},
    {'l', ORDERED, "LPOP %k"},
    {'l', ORDERED, "RPOP %k %n"},
    {'l', ORDERED, "LLEN %k"},
    {'l', ORDERED, "LRANGE %k %i %i"},
    {'l', ORDERED, "LRANGE %k 0 -1"},
    {'l', ORDERED, "LINDEX %k %i"},
    {'l', ORDERED, "LSET %k %i %v"},
    {'l', ORDERED, "LINSERT %k BEFORE %m %v"},
    {'l', ORDERED, "LINSERT %k AFTER %m %m"},
    {'l', ORDERED, "LREM %k %i %m"},
    {'l', ORDERED, "LTRIM %k %n -2"},
    {'l', ORDERED, "LPOS %k %m COUNT 0"},
    {'l', ORDERED, "LMOVE %k %k LEFT RIGHT"},
    {'l', ORDERED, "LMPOP 2 %k %k RIGHT COUNT 2"},
    {'l', ORDERED, "RPOPLPUSH %k %k"},
    {'l', ORDERED, "BLMOVE %k %k LEFT RIGHT 0.001"},
    {'l', ORDERED, "SORT %k ALPHA DESC GET # GET h*->m1 STORE %k"},
    {'l', ORDERED, "SORT %k"},
    {'l', ORDERED,
     "EVAL return{redis.pcall('rpush',KEYS[1],ARGV[1]),redis.pcall('llen',KEYS[2])} 2 %k %k %m"},
    {'l', ORDERED, "SORT %k ALPHA LIMIT 0 5"},
    {'h', ORDERED, "HSET %k %m %v"},
    {'h', ORDERED, "HSET %k %m %i %m %m"},
    {'h', ORDERED, "HSET %k %m %m %m %m %m %m %m %m"},
    {'h', ORDERED, "HSETNX %k %m %v"},
    {'h', ORDERED, "HGET %k %m"},
    {'h', ORDERED, "HMGET %k %m %m %m"},
    {'h', ORDERED, "HDEL %k %m %m"},
    {'h', ORDERED, "HEXISTS %k %m"},
    {'h', ORDERED, "HLEN %k"},
    {'h', ORDERED, "HSTRLEN %k %m"},
    {'h', ORDERED, "HINCRBY %k %m %i"},
    {'h', ORDERED, "HINCRBYFLOAT %k %m %f"},
    {'h', PAIRS, "HGETALL %k"},
    {'h', UNORDERED, "HKEYS %k"},
    {'h', UNORDERED, "HRANDFIELD %k 1000"},
    {'h', UNORDERED, "HVALS %k"},
    {'s', ORDERED, "SADD %k %m %m %m"},
    {'s', ORDERED, "SADD %k %i %i %i"},
    {'s', ORDERED, "SREM %k %m %i"},
    {'s', ORDERED, "SISMEMBER %k %m"},
    {'s', ORDERED, "SMISMEMBER %k %m %i %m"},
    {'s', ORDERED, "SCARD %k"},
    {'s', UNORDERED, "SMEMBERS %k"},
    {'s', ORDERED, "SMOVE %k %k %m"},
    {'s', UNORDERED, "SINTER %k %k"},
    {'s', UNORDERED, "SUNION %k %k %k"},
    {'s', UNORDERED, "SDIFF %k %k"},
    {'s', ORDERED, "SINTERSTORE %k %k %k"},
    {'s', ORDERED, "SUNIONSTORE %k %k %k"},
    {'s', ORDERED, "SDIFFSTORE %k %k %k"},
    {'s', ORDERED, "SINTERCARD 2 %k %k"},
    {'s', UNORDERED, "SPOP %k 1000"},
    {'s', UNORDERED, "SRANDMEMBER %k 1000"},
    {'s', ORDERED, "SORT %k ALPHA"},
    {'s', UNORDERED, "SDIFF %k %k %k"},
    {'z', ORDERED, "ZADD %k %i %m"},
    {'z', ORDERED, "ZADD %k %f %m %i %m %i %m"},
    {'z', ORDERED, "ZADD %k XX GT CH %i %m"},
    {'z', ORDERED, "ZADD %k NX %i %m"},
    {'z', ORDERED, "ZINCRBY %k %f %m"},
    {'z', ORDERED, "ZREM %k %m %m"},
    {'z', ORDERED, "ZSCORE %k %m"},
    {'z', ORDERED, "ZMSCORE %k %m %m"},
    {'z', ORDERED, "ZCARD %k"},
    {'z', ORDERED, "ZRANK %k %m"},
    {'z', ORDERED, "ZREVRANK %k %m"},
    {'z', ORDERED, "ZCOUNT %k %b %b"},
    {'z', ORDERED, "ZRANGE %k %i %i WITHSCORES"},
    {'z', ORDERED, "ZRANGE %k 0 -1 WITHSCORES"},
    {'z', ORDERED, "ZRANGE %k %i %i REV"},
    {'z', ORDERED, "ZRANGEBYSCORE %k %b %b WITHSCORES LIMIT 1 5"},
    {'z', ORDERED, "ZREVRANGEBYSCORE %k %b %b"},
    /* by name, on keys of their own: Redis promises it for equal scores only */
    {'y', ORDERED, "ZADD %k 0 %m 0 %m"},
    {'y', ORDERED, "ZREM %k %m"},
    {'y', ORDERED, "ZLEXCOUNT %k %x %x"},
    {'y', ORDERED, "ZRANGEBYLEX %k %x %x"},
    {'y', ORDERED, "ZRANGE %k %x %x BYLEX REV LIMIT 1 3"},
    {'y', ORDERED, "ZREMRANGEBYLEX %k %x %x"},
    {'z', ORDERED, "ZPOPMIN %k %n"},
    {'z', ORDERED, "ZPOPMAX %k"},
    {'z', ORDERED, "ZREMRANGEBYRANK %k %i %i"},
    {'z', ORDERED, "ZREMRANGEBYSCORE %k %b %b"},
    {'z', ORDERED, "ZUNIONSTORE %k 2 %k %k WEIGHTS 2 3 AGGREGATE MAX"},
    {'z', ORDERED, "ZINTERSTORE %k 2 %k %k"},
    {'z', ORDERED, "ZDIFF 2 %k %k WITHSCORES"},
    {'z', ORDERED, "ZRANGESTORE %k %k 0 4"},
    {'z', ORDERED, "ZMPOP 2 %k %k MIN COUNT 2"},
    {'z', UNORDERED, "ZRANDMEMBER %k 1000"},
    {'z', ORDERED, "BZMPOP 0.001 2 %k %k MAX"},
    {'z', ORDERED, "ZUNION 2 %k %k WITHSCORES"},
    {'z', ORDERED, "ZINTERCARD 2 %k %k LIMIT 3"},
    {'z', ORDERED, "ZADD %k LT INCR %f %m"},
    {'p', ORDERED, "GEOADD %k %f %f %m %f %f %m"},
    {'p', ORDERED, "ZRANGE %k 0 -1 WITHSCORES"},
    {'p', ORDERED, "ZREM %k %m %m"},
    {'p', ORDERED, "GEODIST %k %m %m km"},
    {'p', ORDERED, "GEOHASH %k %m %m"},
    {'p', ORDERED, "GEOPOS %k %m %m"},
    {'p', UNORDERED, "GEOSEARCH %k FROMLONLAT 1 1 BYBOX 900 900 km"},
    {'p', ORDERED, "GEOSEARCH %k FROMLONLAT 1 1 BYBOX 2000 2000 km ASC COUNT 4"},
    {'p', ORDERED, "GEOSEARCH %k FROMLONLAT 1 1 BYRADIUS 1500 km DESC COUNT 9"},
    {'p', ORDERED, "GEOSEARCHSTORE %k %k FROMMEMBER %m BYRADIUS 700 km"},
    {'x', ORDERED, "XADD %k %d %m %v"},
    {'x', ORDERED, "XADD %k %d a %m b %i"},
    {'x', ORDERED, "XADD %k MAXLEN 20 %d a %m"},
    {'x', ORDERED, "XLEN %k"},
    {'x', ORDERED, "XRANGE %k %e + COUNT 5"},
    {'x', ORDERED, "XREVRANGE %k %e -"},
    {'x', ORDERED, "XDEL %k %e %e"},
    {'x', ORDERED, "XTRIM %k MAXLEN %n"},
    {'x', ORDERED, "XTRIM %k MINID %e"},
    {'x', ORDERED, "XREAD COUNT 3 STREAMS %k %k %e %e"},
    {'x', ORDERED, "XGROUP CREATE %k %g %e MKSTREAM"},
    {'x', ORDERED, "XGROUP DESTROY %k %g"},
    {'x', ORDERED, "XGROUP DELCONSUMER %k %g %c"},
    {'x', ORDERED, "XREADGROUP GROUP %g %c COUNT 3 STREAMS %k >"},
    {'x', ORDERED, "XREADGROUP GROUP %g %c COUNT 3 STREAMS %k %e"},
    {'x', ORDERED, "XACK %k %g %e %e"},
    {'x', ORDERED, "XPENDING %k %g"},
    {'x', ORDERED, "XCLAIM %k %g %c 0 %e %e JUSTID"},
    {'x', ORDERED, "XAUTOCLAIM %k %g %c 0 %e COUNT 3"},
    {'x', ORDERED, "XADD %k NOMKSTREAM MINID ~ %e %d a %v"},
    {'x', ORDERED, "XGROUP SETID %k %g %e"},
    {'x', ORDERED, "XREADGROUP GROUP %g %c NOACK STREAMS %k >"},
    {'g', ORDERED, "DEL %k"},
    {'g', ORDERED, "UNLINK %k %k"},
    {'g', ORDERED, "EXISTS %k %k"},
    {'g', ORDERED, "TYPE %k"},
    {'g', ORDERED, "RENAME %k %k"},
    {'g', ORDERED, "RENAMENX %k %k"},
    {'g', ORDERED, "COPY %k %k REPLACE"},
    {'g', ORDERED, "PEXPIREAT %k %t"},
    {'g', ORDERED, "PEXPIRETIME %k"},
    {'g', ORDERED, "PERSIST %k"},
    {'g', ORDERED, "PEXPIREAT %k 1"},
    {'g', ORDERED, "TOUCH %k %k"},
    {'g', ORDERED, "EXPIREAT %k 4000000000 GT"},
    {'g', ORDERED, "DBSIZE"},
    {'g', UNORDERED, "KEYS *"},
};
#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

struct run {
    uint64_t random;
    uint64_t seed;
    uint64_t next_id;
    bool in_multi;
    bool known[ROW_COUNT];
    struct server_fixture *ours, *theirs;
    struct resp_client *our_client, *their_client;
    const struct row *sent[BATCH];
    struct buf requests[BATCH];
};

static uint64_t pick(struct run *run, uint64_t count)
{
    run->random ^= run->random << 13;
    run->random ^= run->random >> 7;
    run->random ^= run->random << 17;
    return (run->random >> 11) % count;
}

/* ---- Requests. */

static void make_member(struct run *run, char *out)
{
    uint64_t number = pick(run, 40);
    uint64_t kind = pick(run, 10);
    if (kind == 0)
        (void)snprintf(out, TEXT_BYTES_MAX, "a-member-of-more-than-sixty-four-bytes-%040llu",
                       (unsigned long long)number);
    else
        (void)snprintf(out, TEXT_BYTES_MAX, kind < 3 ? "%llu" : "m%llu",
                       (unsigned long long)number);
}

static void make_value(struct run *run, char *out)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    size_t len = pick(run, 6) == 0 ? pick(run, TEXT_BYTES_MAX - 1) : pick(run, 12);
    for (size_t i = 0; i < len; i++)
        out[i] = letters[pick(run, 26)];
    out[len] = '\0';
}

/* Writes what the letter stands for. */
static void expand(struct run *run, char letter, char type, char *out)
{
    static const char types[] = "vlhszx";
    static const char *const bounds[] = {"-inf", "+inf", "(3", "0", "(-2", "5", "1.5"};
    static const char *const lex[] = {"-", "+", "[m1", "(m3", "[m20", "(9"};
    static const char *const quarters[] = {"0", "25", "5", "75"};
    unsigned long long n;
    switch (letter) {
    case 'k':
        if (type == 'g' || (strchr("ypf", type) == NULL && pick(run, 12) == 0))
            type = types[pick(run, sizeof(types) - 1)];
        (void)snprintf(out, TEXT_BYTES_MAX, "%c%llu", type, (unsigned long long)pick(run, KEYS));
        break;
    case 'm':
        make_member(run, out);
        break;
    case 'v':
        make_value(run, out);
        break;
    case 'i':
        (void)snprintf(out, TEXT_BYTES_MAX, "%lld", (long long)pick(run, 40) - 20);
        break;
    case 'n':
        n = pick(run, 12);
        (void)snprintf(out, TEXT_BYTES_MAX, "%llu", n);
        break;
    case 'f': /* quarters: how others are written differs between Redis's versions */
        (void)snprintf(out, TEXT_BYTES_MAX, "%lld.%s", (long long)pick(run, 20) - 10,
                       quarters[pick(run, 4)]);
        break;
    case 'b':
        (void)snprintf(out, TEXT_BYTES_MAX, "%s",
                       bounds[pick(run, sizeof(bounds) / sizeof(*bounds))]);
        break;
    case 'x':
        (void)snprintf(out, TEXT_BYTES_MAX, "%s", lex[pick(run, sizeof(lex) / sizeof(*lex))]);
        break;
    case 'd':
        (void)snprintf(out, TEXT_BYTES_MAX, "%llu-%llu", (unsigned long long)run->next_id++,
                       (unsigned long long)pick(run, 3));
        break;
    case 'e':
        n = run->next_id > 60 ? run->next_id - 60 : 0;
        (void)snprintf(out, TEXT_BYTES_MAX, "%llu-0", n + (unsigned long long)pick(run, 64));
        break;
    case 'g':
        (void)snprintf(out, TEXT_BYTES_MAX, "g%llu", (unsigned long long)pick(run, 2));
        break;
    case 'c':
        (void)snprintf(out, TEXT_BYTES_MAX, "c%llu", (unsigned long long)pick(run, 3));
        break;
    case 't':
        (void)snprintf(out, TEXT_BYTES_MAX, "%llu", 4000000000000ULL + pick(run, 1000));
        break;
    default:
        fail_msg("no such letter: %c", letter);
    }
}

static void make_request(struct run *run, const struct row *row, struct buf *out)
{
    char texts[ARGS_MAX][TEXT_BYTES_MAX];
    struct bytes args[ARGS_MAX];
    size_t count = 0;
    for (const char *at = row->text; *at != '\0'; count++) {
        const char *end = strchr(at, ' ');
        size_t len = end == NULL ? strlen(at) : (size_t)(end - at);
        assert_true(count < ARGS_MAX && len < TEXT_BYTES_MAX);
        if (at[0] == '%') {
            expand(run, at[1], row->type, texts[count]);
        } else {
            memcpy(texts[count], at, len);
            texts[count][len] = '\0';
        }
        args[count] = bytes_text(texts[count]);
        at += len + (end == NULL ? 0 : 1);
    }
    buf_clear(out);
    resp_format_request(count, args, out);
}

/* ---- Replies. */

static int compare_texts(const void *a, const void *b)
{
    const struct buf *left = a;
    const struct buf *right = b;
    size_t len = left->len < right->len ? left->len : right->len;
    int order = len == 0 ? 0 : memcmp(left->data, right->data, len);
    return order != 0 ? order : (left->len > right->len) - (left->len < right->len);
}

/* The reply's text, the same for equal content where the order does not count. */
static void render(const struct resp_reply *reply, uint8_t compare, struct buf *out)
{
    size_t step = compare == PAIRS ? 2 : 1;
    buf_clear(out);
    if (compare == ORDERED || reply->kind != RESP_ARRAY || reply->child_count % step != 0) {
        resp_reply_render(reply, out);
        return;
    }
    size_t count = reply->child_count / step;
    struct buf *parts = mem_calloc(count == 0 ? 1 : count, sizeof(*parts));
    for (size_t i = 0; i < reply->child_count; i++)
        resp_reply_render(&reply->children[i], &parts[i / step]);
    qsort(parts, count, sizeof(*parts), compare_texts);
    for (size_t i = 0; i < count; i++) {
        buf_append_bytes(out, buf_bytes(&parts[i]));
        buf_append_byte(out, ' ');
        buf_deinit(&parts[i]);
    }
    mem_free(parts);
}

static void read_reply(struct resp_client *client, struct resp_reply *out)
{
    struct err err;
    if (resp_client_read(client, out, &err) != ST_OK)
        fail_msg("no reply: %s", err.message);
}

static void show_batch(const struct run *run, size_t up_to)
{
    for (size_t i = 0; i <= up_to; i++) {
        struct buf text = {0};
        resp_render_quoted(buf_bytes(&run->requests[i]), &text);
        (void)fprintf(stderr, "%.*s\n", (int)text.len, (const char *)text.data);
        buf_deinit(&text);
    }
}

static void compare_replies(struct run *run, size_t index)
{
    struct resp_reply ours = {0};
    struct resp_reply theirs = {0};
    struct buf our_text = {0};
    struct buf their_text = {0};
    read_reply(run->our_client, &ours);
    read_reply(run->their_client, &theirs);
    render(&ours, run->sent[index]->compare, &our_text);
    render(&theirs, run->sent[index]->compare, &their_text);
    if (!bytes_equal(buf_bytes(&our_text), buf_bytes(&their_text))) {
        show_batch(run, index);
        fail_msg("seed %llu: %s\n  Redis:  %.*s\n  Basalt: %.*s", (unsigned long long)run->seed,
                 run->sent[index]->text, (int)their_text.len, (const char *)their_text.data,
                 (int)our_text.len, (const char *)our_text.data);
    }
    buf_deinit(&our_text);
    buf_deinit(&their_text);
    resp_reply_deinit(&ours);
    resp_reply_deinit(&theirs);
}

/* ---- The run. */

static const struct row *pick_row(struct run *run)
{
    for (;;) {
        size_t at = pick(run, ROW_COUNT);
        if (run->known[at])
            return &rows[at];
    }
}

/* One in a few requests stands in a transaction, which ends with its batch. */
static const struct row *next_row(struct run *run, bool last)
{
    static const struct row multi = {'g', ORDERED, "MULTI"};
    static const struct row exec = {'g', ORDERED, "EXEC"};
    if (run->in_multi && (last || pick(run, 6) == 0)) {
        run->in_multi = false;
        return &exec;
    }
    if (!run->in_multi && !last && pick(run, 40) == 0) {
        run->in_multi = true;
        return &multi;
    }
    for (;;) {
        const struct row *row = pick_row(run);
        if (row->compare == ORDERED || !run->in_multi)
            return row;
    }
}

static void run_batch(struct run *run)
{
    struct buf all = {0};
    struct err err;
    for (size_t i = 0; i < BATCH; i++) {
        run->sent[i] = next_row(run, i == BATCH - 1);
        make_request(run, run->sent[i], &run->requests[i]);
        buf_append_bytes(&all, buf_bytes(&run->requests[i]));
    }
    if (resp_client_send(run->our_client, buf_bytes(&all), &err) != ST_OK ||
        resp_client_send(run->their_client, buf_bytes(&all), &err) != ST_OK)
        fail_msg("cannot send: %s", err.message);
    for (size_t i = 0; i < BATCH; i++)
        compare_replies(run, i);
    buf_deinit(&all);
}

/* Names the keys that differ. */
static void show_different_keys(struct run *run)
{
    static const char types[] = "vlhszypfx";
    for (size_t t = 0; t < sizeof(types) - 1; t++) {
        for (int n = 0; n < KEYS; n++) {
            static const char *const lines[] = {"DEBUG DIGEST-VALUE", "TYPE", "PEXPIRETIME"};
            for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
                char line[64];
                char ours[2000];
                (void)snprintf(line, sizeof(line), "%s %c%d", lines[i], types[t], n);
                (void)snprintf(ours, sizeof(ours), "%s", resp_client_ask(run->our_client, line));
                const char *theirs = resp_client_ask(run->their_client, line);
                if (strcmp(ours, theirs) != 0)
                    (void)fprintf(stderr, "%s: Redis %s, Basalt %s\n", line, theirs, ours);
            }
        }
    }
}

static void compare_digests(struct run *run)
{
    char ours[64];
    (void)snprintf(ours, sizeof(ours), "%s", resp_client_ask(run->our_client, "DEBUG DIGEST"));
    const char *theirs = resp_client_ask(run->their_client, "DEBUG DIGEST");
    if (strcmp(ours, theirs) == 0)
        return;
    char copy[64];
    (void)snprintf(copy, sizeof(copy), "%s", theirs);
    show_different_keys(run);
    show_batch(run, BATCH - 1);
    fail_msg("seed %llu: digests differ: %s and %s", (unsigned long long)run->seed, copy, ours);
}

/* Moves Basalt's data about; none of it may be seen. */
static void disturb(struct run *run, uint64_t batch)
{
    uint64_t what = pick(run, 6);
    if (what == 0)
        (void)resp_client_ask(run->our_client, "DEBUG CUT");
    if (what <= 1)
        (void)resp_client_ask(run->our_client, "DEBUG EVICT ALL");
    if (batch % RESTART_PERIOD != RESTART_PERIOD - 1)
        return;
    resp_client_close(run->our_client);
    if (pick(run, 2) == 0)
        server_fixture_stop(run->ours);
    else
        server_fixture_kill(run->ours);
    server_fixture_restart(run->ours);
    run->our_client = server_fixture_connect(run->ours);
}

/* Requests that Basalt does not know are left out. */
static void find_known(struct run *run)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        char line[80];
        int len = (int)strcspn(rows[i].text, " ");
        (void)snprintf(line, sizeof(line), "COMMAND INFO %.*s", len, rows[i].text);
        run->known[i] = strncmp(resp_client_ask(run->our_client, line), "[nil", 4) != 0;
    }
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void basalt_answers_as_redis_does(void **state)
{
    (void)state;
    static const char *const their_args[] = {"--enable-debug-command",
                                             "yes",
                                             "--save",
                                             "",
                                             "--hash-max-listpack-entries",
                                             "8",
                                             "--zset-max-listpack-entries",
                                             "8",
                                             "--set-max-intset-entries",
                                             "6",
                                             "--list-max-listpack-size",
                                             "5",
                                             "--stream-node-max-entries",
                                             "5",
                                             NULL};
    const char *our_args[] = {"--enable-debug-command",
                              "yes",
                              "--hash-max-listpack-entries",
                              "8",
                              "--zset-max-listpack-entries",
                              "8",
                              "--set-max-intset-entries",
                              "6",
                              "--list-max-listpack-size",
                              "5",
                              "--stream-node-max-entries",
                              "5",
                              "--large-collection-threshold",
                              "300",
                              "--large-object-threshold",
                              "1kb",
                              "--appendfsync",
                              "always",
                              "--debug-always-cold",
                              setting("BASALT_DIFFERENTIAL_COLD", 0) != 0 ? "yes" : "no",
                              NULL};
    struct run *run = mem_calloc(1, sizeof(*run));
    run->seed = setting("BASALT_DIFFERENTIAL_SEED", 20231);
    run->random = run->seed * 0x9e3779b97f4a7c15ULL | 1;
    run->next_id = 1;
    run->ours = server_fixture_start(&(struct server_options){.args = our_args});
    run->theirs =
        server_fixture_start(&(struct server_options){.program = server_fixture_reference(),
                                                      .argv0 = SERVER_FIXTURE_REFERENCE_ARGV0,
                                                      .args = their_args});
    run->our_client = server_fixture_connect(run->ours);
    run->their_client = server_fixture_connect(run->theirs);
    find_known(run);
    uint64_t batches = setting("BASALT_DIFFERENTIAL_COMMANDS", COMMANDS_DEFAULT) / BATCH;
    for (uint64_t batch = 0; batch < batches; batch++) {
        run_batch(run);
        if (batch % DIGEST_PERIOD == DIGEST_PERIOD - 1 || batch == batches - 1)
            compare_digests(run);
        disturb(run, batch);
    }
    print_message("%llu requests without a difference (seed %llu)\n",
                  (unsigned long long)(batches * BATCH), (unsigned long long)run->seed);
    resp_client_close(run->our_client);
    resp_client_close(run->their_client);
    server_fixture_destroy(run->ours);
    server_fixture_destroy(run->theirs);
    for (size_t i = 0; i < BATCH; i++)
        buf_deinit(&run->requests[i]);
    mem_free(run);
}

int main(void)
{
    if (server_fixture_reference() == NULL)
        return EXIT_SKIPPED;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(basalt_answers_as_redis_does, server_fixture_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
