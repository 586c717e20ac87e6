/* Goal: the server answers as the transcripts say, with its data in RAM and with every object
 * demoted after every command; and the transcripts say what a real redis-server does.
 *
 *     transcripts hot|cold|reference [--record] [TEXT...]
 *
 * Runs each file under transcripts/ whose path contains one of the texts, once per protocol
 * version. With --record, prints the files as they would read with what the server answers; see
 * tests/README.md. Exits with 77 when the reference is not installed. */
#include <dirent.h>
#include <fnmatch.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/mem.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"
#include "tests/support/server_fixture.h"
#include "tests/support/transcript.h"

#define FILES_MAX        512
#define DESCRIPTORS_MAX  8
#define BASALT_LEVEL     702 /* whose behaviour the server has */
#define EXIT_SKIPPED     77
#define BROKEN_COUNT_MAX 3 /* each may take a start timeout */
#define CASE_NAME_BYTES  256

struct plan {
    struct transcript_target target;
    char *paths[FILES_MAX]; /* owned */
    size_t path_count;
    char **filters; /* borrowed from argv */
    int filter_count;
    int broken_count; /* files in a row that did not come to their end */
};

struct run_case {
    struct plan *plan;
    struct transcript *transcript;
    int protocol;
    bool finished;
};

/* nftw has no argument to hand through. */
static struct plan *collecting;

static int collect(const char *path, const struct stat *stat, int kind, struct FTW *position)
{
    (void)stat;
    (void)position;
    bool wanted = collecting->filter_count == 0;
    for (int i = 0; i < collecting->filter_count; i++)
        wanted = wanted || strstr(path, collecting->filters[i]) != NULL;
    if (kind == FTW_F && wanted && fnmatch("*.txt", path, 0) == 0 &&
        collecting->path_count < FILES_MAX)
        collecting->paths[collecting->path_count++] = mem_strdup(path);
    return 0;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void file_holds(void **state)
{
    struct run_case *test = *state;
    struct transcript_result result = {0};
    if (test->plan->broken_count >= BROKEN_COUNT_MAX)
        fail_msg("not tried: the server did not work with the files before");
    transcript_run(test->transcript, &test->plan->target, test->protocol, &result);
    test->finished = true;
    test->plan->broken_count = 0;
    if (result.failure_count != 0) {
        (void)fwrite(result.report.data, 1, result.report.len, stderr);
        buf_deinit(&result.report);
        fail_msg("%zu of %zu requests answered wrongly", result.failure_count,
                 result.request_count);
    }
    buf_deinit(&result.report);
}

static int clean_up(void **state)
{
    struct run_case *test = *state;
    if (!test->finished) {
        test->plan->broken_count++;
        test->plan->target.shared = NULL;
        return server_fixture_teardown(state);
    }
    return 0;
}

/* Under a sanitizer, this is where leaks show. */
static void server_stops_cleanly_in_the_end(void **state)
{
    struct run_case *test = *state;
    struct server_fixture *shared = test->plan->target.shared;
    if (shared != NULL) {
        server_fixture_stop(shared);
        server_fixture_destroy(shared);
        test->plan->target.shared = NULL;
    }
    test->finished = true;
}

static int run_all(struct plan *plan, const char *mode)
{
    size_t max = plan->path_count * 2 + 1;
    struct CMUnitTest *tests = mem_calloc(max, sizeof(*tests));
    struct run_case *cases = mem_calloc(max, sizeof(*cases));
    char(*names)[CASE_NAME_BYTES] = mem_calloc(max, sizeof(*names));
    struct transcript **transcripts = mem_calloc(max, sizeof(struct transcript *));
    size_t count = 0;
    for (size_t i = 0; i < plan->path_count; i++) {
        struct err err = {0};
        if (transcript_load(plan->paths[i], &transcripts[i], &err) != ST_OK) {
            (void)fprintf(stderr, "%s\n", err.message);
            return EXIT_FAILURE;
        }
        const char *name = strstr(plan->paths[i], "transcripts/") + strlen("transcripts/");
        for (int protocol = 2; protocol <= 3; protocol++) {
            if (!transcript_applies(transcripts[i], &plan->target, protocol))
                continue;
            cases[count] = (struct run_case){plan, transcripts[i], protocol, false};
            (void)snprintf(names[count], CASE_NAME_BYTES, "%s %s RESP%d", mode, name, protocol);
            tests[count] =
                (struct CMUnitTest){names[count], file_holds, NULL, clean_up, &cases[count]};
            count++;
        }
    }
    cases[count].plan = plan;
    tests[count] =
        (struct CMUnitTest){"server_stops_cleanly_in_the_end", server_stops_cleanly_in_the_end,
                            NULL, clean_up, &cases[count]};
    int failed = _cmocka_run_group_tests(mode, tests, count + 1, NULL, NULL);
    for (size_t i = 0; i < plan->path_count; i++)
        transcript_destroy(transcripts[i]);
    mem_free(transcripts);
    mem_free(names);
    mem_free(cases);
    mem_free(tests);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int record_all(struct plan *plan)
{
    for (size_t i = 0; i < plan->path_count; i++) {
        struct transcript *transcript = NULL;
        struct err err = {0};
        if (transcript_load(plan->paths[i], &transcript, &err) != ST_OK) {
            (void)fprintf(stderr, "%s\n", err.message);
            return EXIT_FAILURE;
        }
        /* RESP3 says more: its maps serve for RESP2 too, not the other way round. */
        int protocol = transcript_applies(transcript, &plan->target, 3) ? 3 : 2;
        struct transcript_result result = {0};
        struct buf text = {0};
        transcript_record(transcript, &plan->target, protocol, &result, &text);
        (void)fwrite(text.data, 1, text.len, stdout);
        (void)fwrite(result.report.data, 1, result.report.len, stderr);
        buf_deinit(&text);
        buf_deinit(&result.report);
        transcript_destroy(transcript);
    }
    server_fixture_destroy(plan->target.shared);
    return EXIT_SUCCESS;
}

/* "redis_version:7.0.15" -> 700 */
static int read_version(const struct server_options *server)
{
    struct server_fixture *fixture = server_fixture_start(server);
    struct resp_client *client = server_fixture_connect(fixture);
    const char *info = resp_client_ask(client, "INFO server");
    const char *found = strstr(info, "redis_version:");
    int major = 0;
    int minor = 0;
    if (found == NULL || sscanf(found, "redis_version:%d.%d", &major, &minor) != 2)
        fail_msg("the reference tells no version");
    resp_client_close(client);
    server_fixture_stop(fixture);
    server_fixture_destroy(fixture);
    return major * 100 + minor;
}

static bool set_target(struct transcript_target *target, const char *mode)
{
    static const char *const hot[] = {"--enable-debug-command", "yes", NULL};
    static const char *const cold[] = {"--enable-debug-command", "yes", "--debug-always-cold",
                                       "yes", NULL};
    static const char *const reference[] = {"--enable-debug-command", "yes", "--save", "", NULL};
    target->is_cold = strcmp(mode, "cold") == 0;
    target->is_reference = strcmp(mode, "reference") == 0;
    target->version = BASALT_LEVEL;
    if (!target->is_reference) {
        target->server.args = target->is_cold ? cold : hot;
        return target->is_cold || strcmp(mode, "hot") == 0;
    }
    target->server.program = server_fixture_reference();
    target->server.argv0 = SERVER_FIXTURE_REFERENCE_ARGV0;
    target->server.args = reference;
    return true;
}

int main(int argc, char **argv)
{
    static struct plan plan;
    if (argc < 2 || !set_target(&plan.target, argv[1])) {
        (void)fprintf(stderr, "usage: transcripts hot|cold|reference [--record] [TEXT...]\n");
        return EXIT_FAILURE;
    }
    if (plan.target.is_reference && plan.target.server.program == NULL) {
        (void)printf("redis-server is not installed: skipped\n");
        return EXIT_SKIPPED;
    }
    if (plan.target.is_reference)
        plan.target.version = read_version(&plan.target.server);
    bool record = argc > 2 && strcmp(argv[2], "--record") == 0;
    plan.filters = argv + 2 + record;
    plan.filter_count = argc - 2 - record;
    collecting = &plan;
    (void)nftw(BASALT_TRANSCRIPTS_DIR, collect, DESCRIPTORS_MAX, FTW_PHYS);
    qsort(plan.paths, plan.path_count, sizeof(plan.paths[0]), compare_paths);
    int status = record ? record_all(&plan) : run_all(&plan, argv[1]);
    for (size_t i = 0; i < plan.path_count; i++)
        mem_free(plan.paths[i]);
    return status;
}
