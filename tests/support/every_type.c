#include "tests/support/every_type.h"

#include "codec/buf.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"

#include <stdio.h>

#define LARGE_COUNT   6000 /* elements: more than are held in one record */
#define PER_REQUEST   500
#define FULL_LINE_MAX 512

/* Requests as they are. */
static const char *const requests[] = {
    "SET s:text hello",
    "SET s:empty \"\"",
    "SET s:int 123",
    "SET s:negative -70000",
    "SET s:64 12345678901234",
    "SET s:zeros 0123",
    "SET s:beyond32 2147483648",
    "SETRANGE s:large 2000000 tail",
    "SETRANGE s:large 1000 begin",
    "SETBIT s:bits 100000 1",
    "PFADD s:hll a b c d e",
    "SET s:due v PXAT 4102444800123",
    "RPUSH l:small a b 1 -5 3000000000",
    "SADD set:ints 1 2 3 -100000 10000000000",
    "SADD set:small a b 1",
    "ZADD z:small 1 a 2.5 b -inf c inf d 1e100 e -0.5 f",
    "HSET h:small f v n 1 empty \"\"",
    "EXPIREAT h:small 4102444800",
    "XADD x:small 1-1 f v1 g 1",
    "XADD x:small 2-1 f v2 g 2",
    "XADD x:small 3-1 f v3 g 3",
    "XADD x:small 9-9 other 4",
    "XGROUP CREATE x:small group 0",
    "XREADGROUP GROUP group one COUNT 2 STREAMS x:small >",
    "XREADGROUP GROUP group two COUNT 1 STREAMS x:small >",
    "XACK x:small group 2-1",
    "XDEL x:small 3-1 9-9",
    "XGROUP CREATECONSUMER x:small group idle",
    "XGROUP CREATE x:small other $",
    "XADD x:empty 1-1 a b",
    "XDEL x:empty 1-1",
    "GEOADD z:geo 13.36 38.11 Palermo",
};

const char *const every_type_keys[] = {
    "s:text",     "s:empty", "s:int",    "s:negative", "s:64",     "s:zeros",
    "s:beyond32", "s:large", "s:bits",   "s:hll",      "l:small",  "l:long",
    "l:nodes",    "l:large", "set:ints", "set:small",  "set:wide", "set:table",
    "set:large",  "z:small", "z:wide",   "z:table",    "z:large",  "z:geo",
    "h:wide",     "h:table", "h:large",  "x:small",    "x:empty",  "x:large"};
const size_t every_type_key_count = sizeof(every_type_keys) / sizeof(every_type_keys[0]);

static void request(struct resp_client *client, const char *line)
{
    const char *reply = resp_client_ask(client, line);
    if (reply[0] == '-')
        fail_msg("%.200s: %s", line, reply);
}

/* Adds `count` elements, each of which `format` makes of its number (up to three times). */
static void add_many(struct resp_client *client, const char *command, int count, const char *format)
{
    struct buf line = {0};
    for (int i = 0; i < count;) {
        buf_clear(&line);
        buf_append_text(&line, command);
        for (int n = 0; n < PER_REQUEST && i < count; n++, i++) {
            /* every `%` of the format is the number */
            for (const char *at = format; *at != '\0'; at++) {
                if (*at == '%')
                    buf_append_format(&line, "%d", i);
                else
                    buf_append_byte(&line, (uint8_t)*at);
            }
        }
        buf_append_byte(&line, '\0');
        request(client, (const char *)line.data);
    }
    buf_deinit(&line);
}

static void add_stream(struct resp_client *client)
{
    char line[FULL_LINE_MAX];
    for (int i = 0; i < LARGE_COUNT / 4; i++) {
        (void)snprintf(line, sizeof(line), "XADD x:large %d-%d field value:%d other %s",
                       1000 + i / 3, i % 3 + 1, i, i % 5 == 0 ? "same" : "different");
        request(client, line);
    }
    request(client, "XGROUP CREATE x:large group 0");
    for (int i = 0; i < 9; i++) {
        (void)snprintf(line, sizeof(line),
                       "XREADGROUP GROUP group consumer:%d COUNT 50 STREAMS x:large >", i % 3);
        request(client, line);
    }
    request(client, "XDEL x:large 1001-1 1200-2");
}

void every_type_fill(struct resp_client *client)
{
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
        request(client, requests[i]);
    add_many(client, "RPUSH l:long", 500, " %");
    add_many(client, "RPUSH l:nodes", 300,
             " element:%:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx:%");
    add_many(client, "RPUSH l:large", LARGE_COUNT, " element:%");
    add_many(client, "SADD set:wide", 1,
             " wide:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    add_many(client, "SADD set:table", 200, " m:%");
    add_many(client, "SADD set:large", LARGE_COUNT, " member:%");
    add_many(client, "ZADD z:wide", 1,
             " 3 wide:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    add_many(client, "ZADD z:table", 200, " %.37 m:%");
    add_many(client, "ZADD z:large", LARGE_COUNT, " -%.25 member:%");
    add_many(client, "HSET h:wide", 1,
             " f xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    add_many(client, "HSET h:table", 200, " f:% v:%");
    add_many(client, "HSET h:large", LARGE_COUNT, " field:% value:%");
    add_stream(client);
    request(client, "SELECT 3");
    request(client, "SET three x EXAT 4102444800");
    request(client, "HSET hash a b");
    request(client, "SELECT 0");
}
