/* Looks ahead in a pipeline: while one request runs, the table's bucket and the object of the next
 * ones are on their way from memory to the cache. With a million keys a lookup is two cache misses
 * of some 100 ns; overlapped they almost vanish (INCR at 16 per pipeline: see tools/bench).
 *
 * What is read ahead is only a guess at the first key of a request in plain array form: nothing
 * depends on it but time. The position computed for it is kept and used when the request runs. */
#include "server/exec_internal.h"

#include "codec/record.h"

#define PEEK_ARGS_MAX     16   /* longer requests end the look ahead */
#define PEEK_LEN_MAX      8192 /* so do longer arguments */
#define LOAD_REQUESTS_MAX 64   /* whose cold keys are loaded together with those of the first */
#define LOAD_KEYS_MAX     16   /* of one request */
#define OBJECTS_AHEAD     3 /* requests whose objects are fetched; the first may be the running one */

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

/* Finds the arguments (at most PEEK_ARGS_MAX) of a request and its end; NULL if it is not whole, or
 * unusual. */
static const uint8_t *peek_request(const uint8_t *at, const uint8_t *end, struct bytes *argv,
                                   int *argc_out)
{
    uint32_t argc = 0;
    at = peek_head(at, end, '*', &argc);
    if (at == NULL || argc == 0 || argc > PEEK_ARGS_MAX)
        return NULL;
    *argc_out = (int)argc;
    for (uint32_t i = 0; i < argc; i++) {
        uint32_t len = 0;
        at = peek_head(at, end, '$', &len);
        if (at == NULL || len > PEEK_LEN_MAX || (size_t)(end - at) < (size_t)len + 2)
            return NULL;
        argv[i] = bytes_make(at, len);
        at += len + 2;
    }
    return at;
}

void exec_look_ahead(struct exec *exec, const struct session *session, const uint8_t *next,
                     const uint8_t *end)
{
    struct ahead *ahead = &exec->ahead;
    if (exec->unit != NULL)
        return; /* another client's request is running */
    ahead->next = next;
    ahead->end = end;
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
        struct bytes argv[PEEK_ARGS_MAX];
        int argc = 0;
        const uint8_t *after = peek_request(ahead->at, end, argv, &argc);
        if (after == NULL)
            break;
        ahead->at = after;
        struct bytes key = argc > 1 ? argv[1] : bytes_make(NULL, 0);
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
            ks_prefetch_object(exec->ks, db, entry->position);
    }
}

/* Asks for the keys of one request of the pipeline. */
static void want_keys(struct exec *exec, struct pending *p, struct db *db, const struct bytes *argv,
                      int argc)
{
    const struct command *command = command_find(exec->commands, argv, argc, NULL);
    struct key_arg keys[LOAD_KEYS_MAX];
    if (command == NULL || !command_takes(command, argc))
        return;
    int count = command_keys(command, argv, argc, keys, LOAD_KEYS_MAX);
    for (int i = 0; i < count && i < LOAD_KEYS_MAX; i++) {
        struct keyref ref;
        if ((keys[i].flags & (KEY_LOAD_NOTHING | KEY_NOT_KEY)) != 0)
            continue;
        ks_ref(exec->ks, db, argv[keys[i].index], &ref);
        if (ref.object == NULL)
            (void)loader_want_record(exec->loader, &p->wait, db, ref.position, ref.key);
    }
}

void exec_load_ahead(struct exec *exec, struct pending *p)
{
    struct db *db = ks_db(exec->ks, p->session->db);
    const uint8_t *at = exec->ahead.next;
    for (int i = 0; i < LOAD_REQUESTS_MAX && at != NULL; i++) {
        struct bytes argv[PEEK_ARGS_MAX];
        int argc = 0;
        at = peek_request(at, exec->ahead.end, argv, &argc);
        if (at != NULL)
            want_keys(exec, p, db, argv, argc);
    }
}
