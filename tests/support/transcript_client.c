/* The connections of a running transcript: requests go out together when the first reply is wanted,
 * replies are compared with what is expected, and @scan runs a whole iteration. */
#include "tests/support/transcript_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "codec/mem.h"
#include "codec/split_args.h"
#include "tests/support/harness.h"
#include "tests/support/reply_pattern.h"
#include "tests/support/resp_client.h"

#define SHOWN_TEXT_BYTES            1500
#define FAILURES_MAX                20
#define SCAN_ROUNDS_MAX             100000
#define RECORDED_VARIABLE_BYTES_MIN 10

/* --- reports --- */

void transcript_report(struct transcript_run *run, const struct transcript_step *step,
                       const char *request, const char *format, ...)
{
    run->result->failure_count++;
    if (run->result->failure_count > FAILURES_MAX)
        return;
    struct buf *out = &run->result->report;
    buf_append_format(out, "%s:%zu: %.200s\n  ", run->transcript->name, step->line,
                      request != NULL ? request : step->text);
    va_list args;
    va_start(args, format);
    char text[SHOWN_TEXT_BYTES * 2 + 100];
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    buf_append_text(out, text);
    buf_append_byte(out, '\n');
}

void transcript_break(struct transcript_run *run, const struct transcript_step *step,
                      const char *message)
{
    transcript_report(run, step, NULL, "%s", message);
    run->broken = true;
}

/* --- clients --- */

struct transcript_client *transcript_find_client(struct transcript_run *run, const char *name)
{
    for (size_t i = 0; i < run->client_count; i++) {
        if (strcmp(run->clients[i].name, name) == 0)
            return &run->clients[i];
    }
    return NULL;
}

void transcript_close_client(struct transcript_run *run, struct transcript_client *client)
{
    resp_client_close(client->socket);
    buf_deinit(&client->outgoing);
    *client = run->clients[--run->client_count];
    run->clients[run->client_count] = (struct transcript_client){0};
}

int transcript_timeout_ms(const struct transcript_run *run)
{
    int timeout_ms = run->target->timeout_ms;
    return timeout_ms != 0 ? timeout_ms : RESP_CLIENT_TIMEOUT_MS;
}

struct transcript_client *transcript_use_client(struct transcript_run *run,
                                                const struct transcript_step *step)
{
    struct transcript_client *client = transcript_find_client(run, step->client);
    if (client != NULL)
        return client;
    if (run->client_count == TRANSCRIPT_CLIENTS_MAX)
        fail_msg("%s: too many clients", run->transcript->name);
    struct err err = {0};
    struct resp_client *socket = NULL;
    if (resp_client_connect(server_fixture_port(run->server), &socket, &err) != ST_OK) {
        transcript_break(run, step, err.message);
        return NULL;
    }
    resp_client_set_timeout_ms(socket, transcript_timeout_ms(run));
    client = &run->clients[run->client_count++];
    *client = (struct transcript_client){.name = step->client, .socket = socket, .protocol = 2};
    if (run->protocol == 3) {
        (void)resp_client_call(socket, "HELLO", "3", NULL);
        client->protocol = 3;
    }
    return client;
}

bool transcript_flush_client(struct transcript_run *run, struct transcript_client *client)
{
    struct err err = {0};
    if (client->outgoing.len == 0)
        return true;
    enum status st = resp_client_send(client->socket, buf_bytes(&client->outgoing), &err);
    buf_clear(&client->outgoing);
    if (st != ST_OK)
        transcript_break(run, &run->transcript->steps[run->at], err.message);
    return st == ST_OK;
}

bool transcript_flush_all(struct transcript_run *run)
{
    for (size_t i = 0; i < run->client_count; i++) {
        if (!transcript_flush_client(run, &run->clients[i]))
            return false;
    }
    return true;
}

/* The protocol that a successful request leaves its connection in, or 0 for the same. */
static uint8_t protocol_after(const struct split_args *args)
{
    if (bytes_equal_nocase(args->items[0], "RESET"))
        return 2;
    if (args->count >= 2 && bytes_equal_nocase(args->items[0], "HELLO") && args->items[1].len == 1)
        return (uint8_t)(args->items[1].data[0] - '0');
    return 0;
}

static void note_request(struct transcript_client *client, uint8_t protocol)
{
    if (client->pending_count == TRANSCRIPT_PENDING_MAX)
        return;
    client->pending[(client->pending_first + client->pending_count++) % TRANSCRIPT_PENDING_MAX] =
        protocol;
}

void transcript_note_reply(struct transcript_client *client, const struct resp_reply *reply)
{
    if (client->pending_count == 0 || reply->kind == RESP_PUSH || reply->kind == RESP_ATTRIBUTE)
        return;
    uint8_t protocol = client->pending[client->pending_first];
    client->pending_first = (client->pending_first + 1) % TRANSCRIPT_PENDING_MAX;
    client->pending_count--;
    if (protocol != 0 && reply->kind != RESP_ERROR)
        client->protocol = protocol;
}

bool transcript_queue_request(struct transcript_run *run, struct transcript_client *client,
                              const char *text)
{
    struct split_args args;
    if (!transcript_split_line(run, text, &args))
        return false;
    if (args.count != 0) {
        resp_format_request(args.count, args.items, &client->outgoing);
        note_request(client, protocol_after(&args));
        run->result->request_count++;
    }
    split_args_deinit(&args);
    return true;
}

bool transcript_read_reply(struct transcript_run *run, struct transcript_client *client,
                           struct resp_reply *reply)
{
    struct err err = {0};
    if (resp_client_read(client->socket, reply, &err) != ST_OK) {
        transcript_break(run, &run->transcript->steps[run->at], err.message);
        return false;
    }
    transcript_note_reply(client, reply);
    return true;
}

/* --- expectations --- */

static void capture(void *arg, struct bytes name, struct bytes value)
{
    transcript_set_variable(arg, name, value);
}

void transcript_render_reply(const struct resp_reply *reply, struct buf *out)
{
    resp_reply_render(reply, out);
    if (out->len > SHOWN_TEXT_BYTES) {
        out->len = SHOWN_TEXT_BYTES;
        buf_append_text(out, "...");
    }
    buf_append_byte(out, '\0');
}

bool transcript_reply_is_expected(struct transcript_run *run, const struct transcript_step *step,
                                  int protocol, const struct resp_reply *reply)
{
    struct buf text = {0};
    struct reply_pattern *pattern = NULL;
    struct err err = {0};
    bool matches = false;
    if (!transcript_substitute(run, step->text, &text))
        goto out;
    if (reply_pattern_parse(bytes_make(text.data, text.len - 1), &pattern, &err) != ST_OK) {
        transcript_break(run, step, err.message);
        goto out;
    }
    struct reply_captures captures = {.capture = capture, .arg = run};
    matches = reply_pattern_matches(pattern, reply, protocol, &captures);
out:
    reply_pattern_destroy(pattern);
    buf_deinit(&text);
    return matches;
}

/* The last request before an expectation of the same client, for reports. */
static const char *request_of(const struct transcript_run *run, const struct transcript_step *step)
{
    const struct transcript_step *steps = run->transcript->steps;
    for (const struct transcript_step *before = step; before-- != steps;) {
        if ((before->kind == STEP_REQUEST || before->kind == STEP_SCAN ||
             before->kind == STEP_SEND) &&
            strcmp(before->client, step->client) == 0)
            return before->text;
    }
    return NULL;
}

void transcript_report_mismatch(struct transcript_run *run, const struct transcript_step *step,
                                const struct resp_reply *reply)
{
    if (run->broken)
        return;
    struct buf text = {0};
    transcript_render_reply(reply, &text);
    transcript_report(run, step, request_of(run, step), "expected %.*s\n  got      %s",
                      SHOWN_TEXT_BYTES, step->text, (const char *)text.data);
    buf_deinit(&text);
}

/* The variable whose value came back, if the value is too long for that to be chance. */
static const struct buf *find_source(const struct transcript_run *run,
                                     const struct resp_reply *reply)
{
    bool has_text = reply->kind == RESP_INTEGER || reply->kind == RESP_BULK;
    for (size_t i = 0; i < run->variable_count && has_text; i++) {
        struct bytes value = buf_bytes(&run->variables[i].value);
        if (value.len >= RECORDED_VARIABLE_BYTES_MIN && bytes_equal(value, buf_bytes(&reply->text)))
            return &run->variables[i].name;
    }
    return NULL;
}

void transcript_record_reply(const struct transcript_run *run, const struct resp_reply *reply,
                             char **slot)
{
    struct buf text = {0};
    if (*slot != NULL)
        buf_append_format(&text, "%s\n", *slot);
    const struct buf *name = find_source(run, reply);
    if (name != NULL)
        buf_append_format(&text, reply->kind == RESP_BULK ? "\"${%.*s}\"" : ":${%.*s}",
                          (int)name->len, (const char *)name->data);
    else
        resp_reply_render(reply, &text);
    buf_append_byte(&text, '\0');
    mem_free(*slot);
    *slot = (char *)text.data;
}

void transcript_settle(struct transcript_run *run, const struct transcript_step *step, int protocol,
                       const struct resp_reply *reply)
{
    if (transcript_reply_is_expected(run, step, protocol, reply))
        return;
    if (run->replacements != NULL) {
        mem_free(run->replacements[step->line - 1]);
        run->replacements[step->line - 1] = NULL;
        transcript_record_reply(run, reply, &run->replacements[step->line - 1]);
        run->replaced_to[step->line - 1] = step->last_line - 1;
    }
    transcript_report_mismatch(run, step, reply);
}

/* --- @scan --- */

static int compare_replies(const void *a, const void *b)
{
    const struct resp_reply *left = a;
    const struct resp_reply *right = b;
    return bytes_compare(buf_bytes(&left->text), buf_bytes(&right->text));
}

static void drop_repeated(struct resp_reply *all)
{
    size_t kept = 0;
    for (size_t i = 0; i < all->child_count; i++) {
        if (kept != 0 && compare_replies(&all->children[kept - 1], &all->children[i]) == 0)
            resp_reply_deinit(&all->children[i]);
        else
            all->children[kept++] = all->children[i];
    }
    all->child_count = kept;
}

/* Moves a round's elements over; false if this is no reply of a scan. The cursor stays in `reply`.
 */
static bool gather(struct resp_reply *all, struct resp_reply *reply)
{
    if (reply->kind != RESP_ARRAY || reply->child_count != 2 ||
        reply->children[0].kind != RESP_BULK || reply->children[1].kind != RESP_ARRAY)
        return false;
    struct resp_reply *found = &reply->children[1];
    size_t count = all->child_count + found->child_count;
    if (found->child_count == 0)
        return true;
    all->children = mem_realloc(all->children, count * sizeof(*all->children));
    memcpy(all->children + all->child_count, found->children,
           found->child_count * sizeof(*all->children));
    all->child_count = count;
    found->child_count = 0;
    return true;
}

/* Runs the whole scan; `all` becomes a sorted array without repetitions, or the first reply that is
 * none of a scan. */
static bool scan_all(struct transcript_run *run, struct transcript_client *client,
                     const struct split_args *args, struct resp_reply *all)
{
    *all = (struct resp_reply){.kind = RESP_ARRAY};
    struct buf cursor = {0};
    buf_append_text(&cursor, "0");
    bool ok = true;
    for (size_t round = 0; ok; round++) {
        buf_append_format(&client->outgoing, "*%zu\r\n", args->count);
        for (size_t i = 0; i < args->count; i++) {
            bool is_cursor = bytes_equal(args->items[i], bytes_text("CURSOR"));
            struct bytes item = is_cursor ? buf_bytes(&cursor) : args->items[i];
            buf_append_format(&client->outgoing, "$%zu\r\n", item.len);
            buf_append_bytes(&client->outgoing, item);
            buf_append_text(&client->outgoing, "\r\n");
        }
        struct resp_reply reply;
        ok = transcript_flush_client(run, client) && transcript_read_reply(run, client, &reply);
        if (!ok)
            break;
        if (!gather(all, &reply)) {
            resp_reply_deinit(all);
            *all = reply;
            buf_deinit(&cursor);
            return true;
        }
        buf_clear(&cursor);
        buf_append_bytes(&cursor, buf_bytes(&reply.children[0].text));
        resp_reply_deinit(&reply);
        if (bytes_equal(buf_bytes(&cursor), bytes_text("0")))
            break;
        if (round == SCAN_ROUNDS_MAX) {
            transcript_break(run, &run->transcript->steps[run->at], "the scan does not end");
            ok = false;
        }
    }
    buf_deinit(&cursor);
    if (all->child_count != 0)
        qsort(all->children, all->child_count, sizeof(*all->children), compare_replies);
    drop_repeated(all);
    return ok;
}

void transcript_run_scan(struct transcript_run *run, const struct transcript_step *step)
{
    struct transcript_client *client = transcript_use_client(run, step);
    const struct transcript_step *next = step + 1;
    struct split_args args;
    if (client == NULL || !transcript_split_line(run, step->text, &args))
        return;
    bool expects = run->at + 1 < run->transcript->step_count && next->kind == STEP_EXPECT;
    struct resp_reply all;
    run->result->request_count++;
    if (scan_all(run, client, &args, &all)) {
        if (expects)
            transcript_settle(run, next, client->protocol, &all);
        else if (run->additions != NULL)
            transcript_record_reply(run, &all, &run->additions[step->line - 1]);
        else
            transcript_break(run, step, "@scan wants an expectation");
        resp_reply_deinit(&all);
        run->at += expects;
    }
    split_args_deinit(&args);
}
