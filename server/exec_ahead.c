/* Looks ahead in a pipeline: while one request runs, the table's bucket and the object of the next
 * ones are on their way from memory to the cache. With a million keys a lookup is two cache misses
 * of some 100 ns; overlapped they almost vanish (INCR at 16 per pipeline: see tools/bench).
 *
 * What is read ahead is only a guess at the first key of a request in plain array form: nothing
 * depends on it but time. The position computed for it is kept and used when the request runs. */
#include "server/exec_internal.h"

#include "codec/record.h"

#define PEEK_ARGS_MAX 16   /* longer requests end the look ahead */
#define PEEK_LEN_MAX  8192 /* so do longer arguments */
#define OBJECTS_AHEAD 3 /* requests whose objects are fetched; the first may be the running one */

/* Reads "<kind><digits>\r\n"; NULL if it is not just that. */
static const uint8_t *peek_head(const uint8_t *at, const uint8_t *end, uint8_t kind,
                                uint32_t *value_out)
{
    if (end - at < 4 || *at++ != kind)
        return NULL;
    uint32_t value = 0;
    const uint8_t *limit = end - at > 6 ? at + 6 : end;
    while (at < limit && (uint8_t)(*at - '0') <= 9)
        value = value * 10 + (uint8_t)(*at++ - '0');
    if (end - at < 2 || at[0] != '\r' || at[1] != '\n')
        return NULL;
    *value_out = value;
    return at + 2;
}

/* Finds the second argument of a request and its end; NULL if it is not whole, or unusual. */
static const uint8_t *peek_request(const uint8_t *at, const uint8_t *end, struct bytes *key_out)
{
    uint32_t argc = 0;
    at = peek_head(at, end, '*', &argc);
    if (at == NULL || argc == 0 || argc > PEEK_ARGS_MAX)
        return NULL;
    key_out->len = 0;
    for (uint32_t i = 0; i < argc; i++) {
        uint32_t len = 0;
        at = peek_head(at, end, '$', &len);
        if (at == NULL || len > PEEK_LEN_MAX || (size_t)(end - at) < (size_t)len + 2)
            return NULL;
        if (i == 1)
            *key_out = bytes_make(at, len);
        at += len + 2;
    }
    return at;
}

void exec_look_ahead(struct exec *exec, const struct session *session, const uint8_t *next,
                     const uint8_t *end)
{
    struct ahead *ahead = &exec->ahead;
    if (ahead->at < next || ahead->at > end) { /* another connection's bytes, or a new round */
        ahead->at = next;
        ahead->first = 0;
        ahead->count = 0;
    }
    while (ahead->count != 0 && ahead->keys[ahead->first].end < next) {
        ahead->first = (ahead->first + 1) % AHEAD_MAX;
        ahead->count--;
    }
    const struct db *db = ks_db(exec->ks, session->db);
    while (ahead->count < AHEAD_MAX) {
        struct bytes key;
        const uint8_t *after = peek_request(ahead->at, end, &key);
        if (after == NULL)
            break;
        ahead->at = after;
        struct ahead_key *entry = &ahead->keys[(ahead->first + ahead->count++) % AHEAD_MAX];
        *entry = (struct ahead_key){.key = key.data, .len = key.len, .end = after};
        if (key.len == 0)
            continue;
        entry->position = record_position(ks_hash_seed(exec->ks), key);
        ks_prefetch(db, entry->position);
    }
    for (uint32_t i = 0; i < OBJECTS_AHEAD && i < ahead->count; i++) {
        const struct ahead_key *entry = &ahead->keys[(ahead->first + i) % AHEAD_MAX];
        if (entry->end > next && entry->len != 0)
            ks_prefetch_object(db, entry->position);
    }
}
