/* Which keys are the largest: a pass over the records on disk, as they were at the last cut, by a
 * thread of its own. Of large collections it reads the headers only. Keys that have come to RAM
 * since that cut, a second ago or so, are told by the next survey.
 *
 * One at a time. Main thread, but for the pass. */
#ifndef BASALT_STORAGE_KEY_SURVEY_H
#define BASALT_STORAGE_KEY_SURVEY_H

#include "codec/bytes.h"
#include "codec/status.h"
#include "storage/object.h"

#include <stdbool.h>

struct cold;
struct completions;
struct key_survey;
struct reap;

#define KEY_SURVEY_COUNT_MAX 1000

struct key_survey_item {
    uint32_t db; /* number */
    enum object_type type;
    uint64_t bytes;    /* of the value (record_size.h) */
    uint64_t elements; /* of a string 1 */
    struct bytes key;  /* the survey's, until the next one starts */
};

struct key_survey_parts {
    struct cold *cold;
    struct reap *reap;
    struct completions *completions;
};

struct key_survey *key_survey_create(const struct key_survey_parts *parts);
/* None may be running. NULL is allowed. */
void key_survey_destroy(struct key_survey *survey);

/* None may be running. Keeps the `count` (1..KEY_SURVEY_COUNT_MAX) largest keys. Returns its
 * number, which is not 0. */
uint64_t key_survey_start(struct key_survey *survey, size_t count);
/* Ends a running one early, not at once. */
void key_survey_stop(struct key_survey *survey);
bool key_survey_running(const struct key_survey *survey);

struct key_survey_result {
    enum status status;                  /* ST_OK; ST_AGAIN: stopped; ST_CORRUPT, ST_IO */
    struct err err;                      /* unless ST_OK */
    uint64_t keys;                       /* that it has seen */
    const struct key_survey_item *items; /* largest first */
    size_t count;
};
/* Of survey `number`, which has ended; NULL if another one has started since. */
const struct key_survey_result *key_survey_result(const struct key_survey *survey, uint64_t number);

#endif
