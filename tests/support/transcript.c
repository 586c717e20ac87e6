/* Walks the steps of a transcript against a server.
 *
 * Requests are gathered and written at once when the first reply is wanted, so that consecutive
 * request lines are a pipeline. A mismatch is noted and the walk goes on, as the rest usually still
 * means something; an I/O error ends it. At the end each client must have nothing left to read,
 * which a PING with a text of its own shows. */
#include "tests/support/transcript.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "codec/mem.h"
#include "codec/split_args.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"
#include "tests/support/transcript_internal.h"

#define SERVER_ARGS_MAX    64
#define RECORD_TIMEOUT_MS  300
#define EXIT_GRACE_MS      500
#define EXIT_TIMEOUT_MS    20000
#define UNTIL_PAUSE_NS     2000000
#define LAST_WORDS         "end of transcript"
#define SILENCE_PROBES     3
#define SILENCE_TIMEOUT_MS 50 /* of a probe that the server holds back too */

/* --- servers --- */

static bool has_step(const struct transcript *transcript, enum transcript_step_kind kind)
{
    for (size_t i = 0; i < transcript->step_count; i++) {
        if (transcript->steps[i].kind == kind)
            return true;
    }
    return false;
}

/* A server for this file alone, with the arguments of @server. */
static struct server_fixture *start_own_server(struct transcript_run *run)
{
    const struct transcript *transcript = run->transcript;
    struct server_options options = run->target->server;
    const char *args[SERVER_ARGS_MAX];
    size_t count = 0;
    for (size_t i = 0; options.args != NULL && options.args[i] != NULL; i++)
        args[count++] = options.args[i];
    /* What the reference would else lose at a restart. */
    if (run->target->is_reference &&
        (has_step(transcript, STEP_RESTART) || has_step(transcript, STEP_CRASH))) {
        args[count++] = "--appendonly";
        args[count++] = "yes";
    }
    struct split_args extra = {0};
    const char *given = transcript->server_args == NULL ? "" : transcript->server_args;
    if (!split_args(bytes_text(given), &extra) || count + extra.count >= SERVER_ARGS_MAX)
        fail_msg("%s: bad @server arguments", transcript->name);
    for (size_t i = 0; i < extra.count; i++)
        args[count++] = (const char *)extra.items[i].data;
    args[count] = NULL;
    options.args = args;
    struct server_fixture *server = server_fixture_start(&options);
    split_args_deinit(&extra);
    return server;
}

bool transcript_server_has(struct transcript_target *target, const char *command)
{
    if (target->shared == NULL)
        target->shared = server_fixture_start(&target->server);
    struct resp_client *client = server_fixture_connect(target->shared);
    const char *info = resp_client_call(client, "COMMAND", "INFO", command, NULL);
    bool known = strncmp(info, "[[", 2) == 0;
    resp_client_close(client);
    return known;
}

/* The common server with nothing left of the files before. */
static struct server_fixture *prepare_shared_server(struct transcript_run *run)
{
    struct transcript_target *target = run->target;
    if (target->shared == NULL)
        target->shared = server_fixture_start(&target->server);
    struct resp_client *client = server_fixture_connect(target->shared);
    assert_reply(client, "FLUSHALL", "+OK");
    resp_client_close(client);
    return target->shared;
}

/* --- steps --- */

static void run_expect(struct transcript_run *run, const struct transcript_step *step)
{
    struct transcript_client *client = transcript_find_client(run, step->client);
    struct resp_reply reply;
    if (client == NULL) {
        transcript_break(run, step, "this client has no connection");
        return;
    }
    if (!transcript_flush_all(run) || !transcript_read_reply(run, client, &reply))
        return;
    transcript_settle(run, step, client->protocol, &reply);
    resp_reply_deinit(&reply);
}

static void run_send(struct transcript_run *run, const struct transcript_step *step)
{
    struct transcript_client *client = transcript_use_client(run, step);
    struct split_args args;
    if (client == NULL || !transcript_split_line(run, step->text, &args))
        return;
    for (size_t i = 0; i < args.count; i++)
        buf_append_bytes(&client->outgoing, args.items[i]);
    split_args_deinit(&args);
    (void)transcript_flush_client(run, client);
}

static void run_raw(struct transcript_run *run, const struct transcript_step *step)
{
    struct transcript_client *client = transcript_use_client(run, step);
    struct split_args args;
    if (client == NULL || !transcript_flush_all(run) ||
        !transcript_split_line(run, step->text, &args))
        return;
    struct buf actual = {0};
    struct err err = {0};
    struct bytes expected = args.count == 1 ? args.items[0] : bytes_text("");
    if (resp_client_read_raw(client->socket, expected.len, &actual, &err) != ST_OK) {
        transcript_break(run, step, err.message);
    } else if (!bytes_equal(buf_bytes(&actual), expected)) {
        struct buf text = {0};
        resp_render_quoted(buf_bytes(&actual), &text);
        transcript_report(run, step, NULL, "got %.*s", (int)text.len, (const char *)text.data);
        buf_deinit(&text);
    }
    buf_deinit(&actual);
    split_args_deinit(&args);
}

static void run_closed(struct transcript_run *run, const struct transcript_step *step)
{
    struct transcript_client *client = transcript_use_client(run, step);
    if (client == NULL || !transcript_flush_all(run))
        return;
    struct err err = {0};
    struct resp_reply reply;
    enum status st = resp_client_read(client->socket, &reply, &err);
    if (st == ST_OK) {
        transcript_report_mismatch(run, step, &reply);
        resp_reply_deinit(&reply);
    } else if (st != ST_END && st != ST_IO) {
        transcript_report(run, step, NULL, "the connection is still open: %s", err.message);
    }
    transcript_close_client(run, client);
}

/* What the client sent has been handled once the server answered others that came later; after
 * that, whatever the server had to say is here. */
static void run_silent(struct transcript_run *run, const struct transcript_step *step)
{
    struct transcript_client *client = transcript_use_client(run, step);
    if (client == NULL || !transcript_flush_all(run))
        return;
    struct resp_client *probe = server_fixture_connect(run->server);
    struct resp_reply reply;
    resp_client_set_timeout_ms(probe, SILENCE_TIMEOUT_MS);
    for (int i = 0; i < SILENCE_PROBES; i++) {
        if (resp_client_send(probe, bytes_text("PING\r\n"), NULL) == ST_OK &&
            resp_client_read(probe, &reply, NULL) == ST_OK)
            resp_reply_deinit(&reply);
    }
    resp_client_close(probe);
    resp_client_set_timeout_ms(client->socket, 0);
    if (resp_client_read(client->socket, &reply, NULL) == ST_OK) {
        transcript_report_mismatch(run, step, &reply);
        resp_reply_deinit(&reply);
    }
    resp_client_set_timeout_ms(client->socket, transcript_timeout_ms(run));
}

static void close_all(struct transcript_run *run)
{
    while (run->client_count != 0)
        transcript_close_client(run, &run->clients[0]);
}

static void run_restart(struct transcript_run *run, const struct transcript_step *step)
{
    if (!transcript_flush_all(run))
        return;
    close_all(run);
    if (step->kind == STEP_CRASH)
        server_fixture_kill(run->server);
    else
        server_fixture_stop(run->server);
    server_fixture_restart(run->server);
}

static void run_exited(struct transcript_run *run, const struct transcript_step *step)
{
    int status = 0;
    if (!transcript_flush_all(run))
        return;
    if (!server_fixture_wait_exit(run->server, EXIT_TIMEOUT_MS, &status)) {
        transcript_break(run, step, "the server did not exit");
        return;
    }
    close_all(run);
    if (status != 0)
        transcript_report(run, step, NULL, "the server exited with wait status 0x%x",
                          (unsigned)status);
    server_fixture_restart(run->server);
}

/* --- @until --- */

static void run_until(struct transcript_run *run, const struct transcript_step *step)
{
    const struct transcript_step *request = step + 1;
    const struct transcript_step *expect = step + 2;
    if (run->at + 2 >= run->transcript->step_count || request->kind != STEP_REQUEST ||
        expect->kind != STEP_EXPECT) {
        transcript_break(run, step, "@until wants a request and an expectation behind it");
        return;
    }
    struct transcript_client *client = transcript_use_client(run, request);
    int64_t deadline_ms = harness_now_ms() + strtoll(step->text, NULL, 10);
    run->at += 2;
    while (client != NULL) {
        struct resp_reply reply;
        if (!transcript_queue_request(run, client, request->text) || !transcript_flush_all(run) ||
            !transcript_read_reply(run, client, &reply))
            return;
        bool late = harness_now_ms() > deadline_ms;
        bool done = late || transcript_reply_is_expected(run, expect, client->protocol, &reply);
        if (late)
            transcript_settle(run, expect, client->protocol, &reply);
        resp_reply_deinit(&reply);
        if (done)
            return;
        struct timespec span = {.tv_nsec = UNTIL_PAUSE_NS};
        (void)nanosleep(&span, NULL);
    }
}

/* --- blocks --- */

static void run_if(struct transcript_run *run, const struct transcript_step *step)
{
    bool holds = false;
    struct err err = {0};
    if (transcript_check_conditions(step->text, run->target, run->protocol, &holds, &err) != ST_OK)
        transcript_break(run, step, err.message);
    if (!holds)
        run->at = step->partner; /* an @else is stepped over, and its part is run */
}

static void run_for(struct transcript_run *run, const struct transcript_step *step)
{
    char name[32];
    long long first = 0;
    long long last = 0;
    struct buf text = {0};
    if (!transcript_substitute(run, step->text, &text))
        return;
    if (sscanf((const char *)text.data, "%31s %lld..%lld", name, &first, &last) != 3 ||
        run->loop_count == TRANSCRIPT_LOOPS_MAX) {
        transcript_break(run, step, "@for wants: name first..last");
    } else if (first > last) {
        run->at = step->partner;
    } else {
        run->loops[run->loop_count++] = (struct transcript_loop){run->at, first, last};
        transcript_set_number(run, name, first);
    }
    buf_deinit(&text);
}

static void run_end(struct transcript_run *run, const struct transcript_step *step)
{
    if (step->partner == run->at)
        return;
    struct transcript_loop *loop = &run->loops[run->loop_count - 1];
    if (loop->value == loop->last) {
        run->loop_count--;
        return;
    }
    char name[32];
    const char *text = run->transcript->steps[loop->step].text;
    (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(text, " \t"), text);
    transcript_set_number(run, name, ++loop->value);
    run->at = loop->step;
}

static void run_request(struct transcript_run *run, const struct transcript_step *step)
{
    /* Requests of different clients reach the server in the order of their lines. */
    for (size_t i = 0; i < run->client_count; i++) {
        if (strcmp(run->clients[i].name, step->client) != 0 &&
            !transcript_flush_client(run, &run->clients[i]))
            return;
    }
    struct transcript_client *client = transcript_use_client(run, step);
    if (client != NULL)
        (void)transcript_queue_request(run, client, step->text);
}

static void run_step(struct transcript_run *run, const struct transcript_step *step)
{
    switch (step->kind) {
    case STEP_REQUEST:
        run_request(run, step);
        break;
    case STEP_EXPECT:
        run_expect(run, step);
        break;
    case STEP_SEND:
        run_send(run, step);
        break;
    case STEP_RAW:
        run_raw(run, step);
        break;
    case STEP_SCAN:
        transcript_run_scan(run, step);
        break;
    case STEP_UNTIL:
        run_until(run, step);
        break;
    case STEP_CLOSE: {
        struct transcript_client *client = transcript_find_client(run, step->client);
        if (client != NULL && transcript_flush_client(run, client))
            transcript_close_client(run, client);
        break;
    }
    case STEP_CLOSED:
        run_closed(run, step);
        break;
    case STEP_SILENT:
        run_silent(run, step);
        break;
    case STEP_RESTART:
    case STEP_CRASH:
        run_restart(run, step);
        break;
    case STEP_EXITED:
        run_exited(run, step);
        break;
    case STEP_LET:
        transcript_run_let(run, step);
        break;
    case STEP_IF:
        run_if(run, step);
        break;
    case STEP_ELSE:
        run->at = step->partner;
        break;
    case STEP_FOR:
        run_for(run, step);
        break;
    case STEP_END:
        run_end(run, step);
        break;
    }
}

/* --- the whole --- */

/* Whether each request of the step's group has its expectation: then, they may stand anywhere. */
static bool group_is_complete(const struct transcript_run *run, size_t index)
{
    const struct transcript_step *steps = run->transcript->steps;
    size_t request_count = 0;
    size_t expect_count = 0;
    for (size_t i = 0; i < run->transcript->step_count; i++) {
        bool inside = steps[i].group == steps[index].group;
        request_count += inside && (steps[i].kind == STEP_REQUEST || steps[i].kind == STEP_SCAN);
        expect_count += inside && steps[i].kind == STEP_EXPECT;
    }
    return request_count == expect_count;
}

/* Recording: a request without an expectation gets what the server answers, if it does so soon. */
static void record_missing(struct transcript_run *run)
{
    size_t index = run->at;
    const struct transcript_step *step = &run->transcript->steps[index];
    bool followed = index + 1 < run->transcript->step_count && step[1].kind == STEP_EXPECT &&
                    strcmp(step[1].client, step->client) == 0;
    if (run->additions == NULL || step->kind != STEP_REQUEST || followed ||
        group_is_complete(run, index) || !transcript_flush_all(run))
        return;
    struct transcript_client *client = transcript_find_client(run, step->client);
    struct resp_reply reply;
    if (client == NULL)
        return;
    resp_client_set_timeout_ms(client->socket, RECORD_TIMEOUT_MS);
    if (resp_client_read(client->socket, &reply, NULL) == ST_OK) {
        transcript_note_reply(client, &reply);
        transcript_record_reply(run, &reply, &run->additions[step->line - 1]);
        resp_reply_deinit(&reply);
    }
    resp_client_set_timeout_ms(client->socket, transcript_timeout_ms(run));
}

/* Each client that is left must have nothing to read but the answer to this. */
static void check_nothing_is_left(struct transcript_run *run, const struct transcript_step *last)
{
    for (size_t i = 0; i < run->client_count && !run->broken; i++) {
        struct transcript_client *client = &run->clients[i];
        struct bytes args[] = {bytes_text("PING"), bytes_text(LAST_WORDS)};
        resp_format_request(2, args, &client->outgoing);
        struct resp_reply reply;
        if (!transcript_flush_client(run, client) || !transcript_read_reply(run, client, &reply))
            return;
        if (!bytes_equal(buf_bytes(&reply.text), bytes_text(LAST_WORDS))) {
            struct buf text = {0};
            transcript_render_reply(&reply, &text);
            transcript_report(run, last, client->name, "a reply that nobody expected: %s",
                              (const char *)text.data);
            buf_deinit(&text);
        }
        resp_reply_deinit(&reply);
    }
}

static void walk(struct transcript_run *run)
{
    const struct transcript *transcript = run->transcript;
    transcript_set_number(run, "port", server_fixture_port(run->server));
    transcript_set_number(run, "pid", server_fixture_pid(run->server));
    transcript_set_variable(run, bytes_text("dir"), bytes_text(server_fixture_dir(run->server)));
    for (run->at = 0; run->at < transcript->step_count && !run->broken; run->at++) {
        run_step(run, &transcript->steps[run->at]);
        if (run->at < transcript->step_count)
            record_missing(run);
    }
    if (transcript->step_count != 0 && !run->broken) {
        run->at = transcript->step_count - 1;
        check_nothing_is_left(run, &transcript->steps[run->at]);
    }
    close_all(run);
}

static void run_on_server(struct transcript_run *run)
{
    run->server =
        run->transcript->needs_server ? start_own_server(run) : prepare_shared_server(run);
    walk(run);
    /* A server that died has said why. */
    if (run->broken && server_fixture_wait_exit(run->server, EXIT_GRACE_MS, NULL))
        server_fixture_print_log_end(run->server);
    if (run->transcript->needs_server) {
        if (!run->broken)
            server_fixture_stop(run->server);
        server_fixture_destroy(run->server);
    } else if (run->result->failure_count != 0) {
        /* Whatever went wrong shall not reach the files behind. */
        server_fixture_destroy(run->target->shared);
        run->target->shared = NULL;
    }
    for (size_t i = 0; i < run->variable_count; i++) {
        buf_deinit(&run->variables[i].name);
        buf_deinit(&run->variables[i].value);
    }
}

bool transcript_applies(const struct transcript *transcript, struct transcript_target *target,
                        int protocol)
{
    bool holds = transcript->protocol == 0 || transcript->protocol == protocol;
    struct err err = {0};
    if (holds && transcript->only != NULL &&
        transcript_check_conditions(transcript->only, target, protocol, &holds, &err) != ST_OK)
        fail_msg("%s: %s", transcript->name, err.message);
    return holds;
}

void transcript_run(struct transcript *transcript, struct transcript_target *target, int protocol,
                    struct transcript_result *result)
{
    struct transcript_run *run = mem_calloc(1, sizeof(*run));
    run->transcript = transcript;
    run->target = target;
    run->protocol = protocol;
    run->result = result;
    run_on_server(run);
    mem_free(run);
}

static void write_recorded(const struct transcript_run *run, struct buf *out)
{
    const struct transcript *transcript = run->transcript;
    for (size_t i = 0; i < transcript->line_count; i++) {
        size_t last = i;
        const char *text = transcript->lines[i];
        if (run->replacements[i] != NULL) {
            text = run->replacements[i];
            last = run->replaced_to[i];
        }
        buf_append_format(out, "%s\n", text);
        i = last;
        if (run->additions[i] != NULL)
            buf_append_format(out, "%s\n", run->additions[i]);
    }
}

void transcript_record(struct transcript *transcript, struct transcript_target *target,
                       int protocol, struct transcript_result *result, struct buf *out)
{
    struct transcript_run *run = mem_calloc(1, sizeof(*run));
    size_t count = transcript->line_count + 1;
    run->transcript = transcript;
    run->target = target;
    run->protocol = protocol;
    run->result = result;
    run->replacements = mem_calloc(count, sizeof(*run->replacements));
    run->replaced_to = mem_calloc(count, sizeof(*run->replaced_to));
    run->additions = mem_calloc(count, sizeof(*run->additions));
    run_on_server(run);
    write_recorded(run, out);
    for (size_t i = 0; i < count; i++) {
        mem_free(run->replacements[i]);
        mem_free(run->additions[i]);
    }
    mem_free(run->replacements);
    mem_free(run->replaced_to);
    mem_free(run->additions);
    mem_free(run);
}
