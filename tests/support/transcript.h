/* Runs transcripts: files of requests and expected replies, against a server of one's choice. The
 * format is described in tests/README.md. */
#ifndef BASALT_TESTS_SUPPORT_TRANSCRIPT_H
#define BASALT_TESTS_SUPPORT_TRANSCRIPT_H

#include "codec/buf.h"
#include "codec/status.h"
#include "tests/support/server_fixture.h"

struct transcript;

/* Reads a file. ST_INVALID names file and line. */
MUST_USE enum status transcript_load(const char *path, struct transcript **out, struct err *err);
void transcript_destroy(struct transcript *transcript);

/* What a transcript runs against. */
struct transcript_target {
    struct server_options server; /* program and arguments for every server started */
    bool is_reference;            /* a redis-server */
    bool is_cold;                 /* each object is demoted after each command */
    int version;                  /* of Redis, whose behaviour it has: 702 for 7.2 */
    int timeout_ms;               /* bound of one reply; 0: RESP_CLIENT_TIMEOUT_MS */
    struct server_fixture
        *shared; /* owned: serves the files that need none of their own; or NULL */
};

/* Whether the file's @only and @protocol lines let it run so. */
bool transcript_applies(const struct transcript *transcript, struct transcript_target *target,
                        int protocol);

struct transcript_result {
    size_t request_count;
    size_t failure_count;
    struct buf report; /* owned by the caller: what differed, as lines of text */
};

/* Runs the file with connections of `protocol` (2 or 3). A server that cannot be started or stopped
 * fails the running test; everything else is counted and reported in `result`. */
void transcript_run(struct transcript *transcript, struct transcript_target *target, int protocol,
                    struct transcript_result *result);

/* Runs the file and appends its text with what the server really answered: expectations that hold
 * stay as they are, others are replaced, missing ones are added. A help for writing transcripts. */
void transcript_record(struct transcript *transcript, struct transcript_target *target,
                       int protocol, struct transcript_result *result, struct buf *out);

#endif
