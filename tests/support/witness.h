/* A client that writes at random and remembers what it was promised, for tests that kill servers.
 *
 * It has keys of its own (all begin with its prefix), sends requests, up to a depth without waiting
 * for the reply, checks each reply against a model, and keeps the model's fingerprint after each
 * request. Some requests are whole transactions: MULTI to EXEC, with one fingerprint. After a crash
 * and a restart the server must hold the state after the n-th of them, where n is not less than the
 * number of replies (appendfsync always) and not more than the number of requests. */
#ifndef BASALT_TESTS_SUPPORT_WITNESS_H
#define BASALT_TESTS_SUPPORT_WITNESS_H

#include <stdbool.h>
#include <stdint.h>

#include "codec/bytes.h"

struct model;
struct resp_client;
struct witness;

struct witness_options {
    const char *prefix; /* copied; of no other witness the beginning */
    uint64_t seed;
    uint32_t db;        /* where its keys are, unless `whole` */
    size_t small_keys;  /* how many names of small keys there are; 0: 200 */
    size_t large_keys;  /* of values of some 100 KB; may be 0 */
    size_t large_bytes; /* their size when made; 0: 150,000 */
    size_t depth;       /* requests without a reply; 0: 1 */
    bool whole;         /* it is alone: uses databases 0 to 3, FLUSHDB, SWAPDB and MOVE too */
};

struct witness *witness_create(const struct witness_options *options);
void witness_destroy(struct witness *witness); /* NULL is fine */
void witness_set_depth(struct witness *witness, size_t depth);

/* Takes the connection (fresh, database 0) and closes it in the end; NULL: none. */
void witness_use(struct witness *witness, struct resp_client *client);
/* Sends one more request, unless as many as its depth are without a reply. False when the server
 * has gone: the request may have reached it all the same. */
bool witness_send(struct witness *witness);
/* Reads one reply, if one is due, and fails the test unless it is what the model says. False when
 * the server has gone. */
bool witness_receive(struct witness *witness);
size_t witness_in_flight(const struct witness *witness);
/* As many rounds of sending as its depth allows, then receiving all; false when the server has
 * gone. */
bool witness_step(struct witness *witness);
/* Whether a request may have been refused because of a failure that was provoked: then a reply
 * that begins with this error code is taken as "did not happen" instead of failing the test.
 * Requires a depth of 1. NULL: never. */
void witness_accept_error(struct witness *witness, const char *code);
uint64_t witness_refused(const struct witness *witness);

struct witness_verdict {
    uint64_t sent;     /* requests since the last settlement */
    uint64_t promised; /* of them, with a reply */
    uint64_t kept;     /* of them, what the server holds; UINT64_MAX: no such state */
    uint64_t kept_min; /* the least number that gives the same state */
    int64_t lost_us;   /* how long before `crash_us` the oldest promise that was broken had been
                          given; 0 if none was */
};

/* Looks for the state that the server holds (`found`: all of its keys) in what was sent since the
 * last settlement, and goes on from it: nothing is in flight any more. With no such state prints
 * the differences to the newest one. */
void witness_settle(struct witness *witness, const struct model *found, int64_t crash_us,
                    struct witness_verdict *out);
/* The settlement of all witnesses of a server at once; fails the test
 * - if a witness's state is none that it has seen,
 * - if a promise older than `loss_us_max` (0: any) at `crash_us` was broken,
 * - if one that was given before a kept request of another witness was sent was broken,
 * - if the server holds keys of nobody.
 * `sum_out` (may be NULL) gets the sums and the greatest loss. */
void witnesses_settle(struct witness *const *witnesses, size_t count, const struct model *found,
                      int64_t crash_us, int64_t loss_us_max, struct witness_verdict *sum_out);

/* Reads all keys of a server into a model, and fails the test unless in each database DBSIZE, the
 * number of keys that SCAN returns, and the number of different ones among them are equal. NULL if
 * the server went away meanwhile. */
struct model *server_read_all(struct resp_client *client);

/* A monotonic clock. */
int64_t witness_now_us(void);

#endif
