/* The slow log: the newest requests that took their time, in RAM. Of each is kept where the time
 * went: a request may have waited for its turn to write (queue), then for cold data (load), before
 * it ran. Time in which a client was blocked (BLPOP) is nobody's fault and not counted. Main
 * thread. Source: SLOWLOG of Redis 7.2, where there is only the last of the three. */
#ifndef BASALT_SERVER_SLOWLOG_H
#define BASALT_SERVER_SLOWLOG_H

#include "codec/bytes.h"

#include <stddef.h>
#include <stdint.h>

struct redact;
struct slowlog;

/* Of a longer request only so much is kept. */
#define SLOWLOG_ARGS_MAX      32
#define SLOWLOG_ARG_BYTES_MAX 128

struct slowlog_times {
    uint64_t queue_us;
    uint64_t load_us;
    uint64_t run_us;
};

struct slowlog_entry {
    struct slowlog_entry *newer, *older;
    uint64_t id;
    int64_t at_s; /* wall clock */
    struct slowlog_times times;
    struct bytes address; /* of the client */
    struct bytes name;    /* of the client; may be empty */
    int argc;
    struct bytes argv[SLOWLOG_ARGS_MAX]; /* shortened, without secrets */
};

static inline uint64_t slowlog_total_us(const struct slowlog_times *times)
{
    return times->queue_us + times->load_us + times->run_us;
}

struct slowlog *slowlog_create(void);
/* Accepts NULL. */
void slowlog_destroy(struct slowlog *slowlog);
/* What is to be logged; all is copied. `redact` is fresh from redact_init. */
struct slowlog_request {
    const struct bytes *argv;
    int argc;
    struct redact *redact;
    struct bytes address;
    struct bytes name;
    int64_t at_s;
    struct slowlog_times times;
};
void slowlog_add(struct slowlog *slowlog, const struct slowlog_request *request);
/* Drops the oldest ones beyond `len_max`. */
void slowlog_trim(struct slowlog *slowlog, uint64_t len_max);
size_t slowlog_len(const struct slowlog *slowlog);
/* The newest one, from which `older` leads on; NULL: it is empty. */
const struct slowlog_entry *slowlog_newest(const struct slowlog *slowlog);
/* Empties it. Ids go on. */
void slowlog_reset(struct slowlog *slowlog);

#endif
