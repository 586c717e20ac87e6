#include "server/multi.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "codec/number.h"
#include "server/conn.h"

#define REQUESTS_MIN 2 /* nobody queues only one, as a rule */

static struct transaction *get(struct session *session)
{
    if (session->transaction == NULL)
        session->transaction = mem_calloc(1, sizeof(*session->transaction));
    return session->transaction;
}

static size_t memory_of(const struct session *session)
{
    const struct transaction *t = session->transaction;
    return t == NULL ? 0 : t->bytes + t->watched.bytes;
}

/* Tells the connection what has changed since memory_of was `before`. */
static void count_memory(struct session *session, size_t before)
{
    size_t now = memory_of(session);
    if (session->conn != NULL && now != before)
        conn_add_memory(session->conn, (int64_t)now - (int64_t)before);
}

/* ---- The queue. */

void multi_begin(struct session *session)
{
    struct transaction *t = get(session);
    CHECK(t->count == 0);
    t->flags_any = 0;
    t->flags_all = UINT32_MAX;
    t->db = session->db;
    session->flags |= SESSION_MULTI;
}

/* Makes a request's arguments and raw bytes copies of what they were, in one piece of memory whose
 * size it adds to the transaction's. False: no memory. */
static bool own_arguments(struct transaction *t, struct nested_request *request)
{
    const struct bytes *argv = request->argv;
    struct bytes raw = request->raw;
    size_t bytes = (size_t)request->argc * sizeof(struct bytes) + raw.len;
    for (int i = 0; i < request->argc && raw.len == 0; i++)
        bytes += argv[i].len;
    struct bytes *copies = mem_try_alloc(bytes);
    if (copies == NULL)
        return false;
    uint8_t *place = (uint8_t *)(copies + request->argc);
    if (raw.len != 0)
        memcpy(place, raw.data, raw.len); /* the arguments are in there */
    request->argv = copies;
    request->raw = bytes_make(place, raw.len);
    for (int i = 0; i < request->argc; i++) {
        if (argv[i].len == 0) {
            copies[i] = bytes_make(place, 0);
        } else if (raw.len != 0) {
            copies[i] = bytes_make(place + (argv[i].data - raw.data), argv[i].len);
        } else {
            memcpy(place, argv[i].data, argv[i].len);
            copies[i] = bytes_make(place, argv[i].len);
            place += argv[i].len;
        }
    }
    t->bytes += bytes;
    return true;
}

static bool make_room(struct transaction *t)
{
    if (t->count < t->capacity)
        return true;
    size_t capacity = t->capacity == 0 ? REQUESTS_MIN : 2 * t->capacity;
    struct nested_request *requests = mem_try_realloc(t->requests, capacity * sizeof(*requests));
    if (requests == NULL)
        return false;
    t->bytes += (capacity - t->capacity) * sizeof(*requests);
    t->requests = requests;
    t->capacity = capacity;
    return true;
}

/* The database that a SELECT will change to, if it is one and valid. */
static void follow_select(struct transaction *t, uint32_t db_count,
                          const struct nested_request *request)
{
    int64_t number = 0;
    if (request->argc == 2 && strcmp(request->command->name, "select") == 0 &&
        number_parse_i64(request->argv[1], &number) && number >= 0 && number < (int64_t)db_count)
        t->db = (uint32_t)number;
}

bool multi_queue(struct session *session, uint32_t db_count, const struct nested_request *request,
                 uint32_t flags)
{
    struct transaction *t = session->transaction;
    if ((session->flags & (SESSION_DIRTY_EXEC | SESSION_DIRTY_CAS)) != 0)
        return true;
    size_t before = memory_of(session);
    struct nested_request copy = *request;
    copy.db = t->db;
    bool room = make_room(t) && own_arguments(t, &copy);
    count_memory(session, before);
    if (!room)
        return false;
    t->requests[t->count++] = copy;
    t->flags_any |= flags;
    t->flags_all &= flags;
    follow_select(t, db_count, &copy);
    return true;
}

static void drop_queue(struct transaction *t)
{
    for (size_t i = 0; i < t->count; i++) {
        union {
            const struct bytes *borrowed;
            void *owned;
        } argv = {.borrowed = t->requests[i].argv};
        mem_free(argv.owned);
    }
    mem_free(t->requests);
    t->requests = NULL;
    t->count = 0;
    t->capacity = 0;
    t->bytes = 0;
}

void multi_end(struct watches *watches, struct session *session)
{
    struct transaction *t = session->transaction;
    session->flags &= ~(uint32_t)(SESSION_MULTI | SESSION_DIRTY_EXEC | SESSION_DIRTY_CAS);
    if (t == NULL)
        return;
    size_t before = memory_of(session);
    drop_queue(t);
    watch_drop_all(watches, &t->watched);
    mem_free(t);
    session->transaction = NULL;
    count_memory(session, before);
}

int64_t multi_count(const struct session *session)
{
    return (session->flags & SESSION_MULTI) != 0 ? (int64_t)session->transaction->count : -1;
}

size_t multi_bytes(const struct session *session)
{
    return session->transaction == NULL ? 0 : session->transaction->bytes;
}

/* ---- Watching. */

void multi_watch(struct watches *watches, struct session *session, const struct watch_key *key,
                 bool live, int64_t expire_at_ms)
{
    if ((session->flags & SESSION_DIRTY_CAS) != 0)
        return;
    struct transaction *t = get(session);
    size_t before = memory_of(session);
    watch_add(watches, session, &t->watched, key, live, expire_at_ms);
    count_memory(session, before);
}

void multi_unwatch(struct watches *watches, struct session *session)
{
    if (session->transaction == NULL)
        return;
    size_t before = memory_of(session);
    watch_drop_all(watches, &session->transaction->watched);
    count_memory(session, before);
}

void multi_dirty(struct watches *watches, struct session *session)
{
    session->flags |= SESSION_DIRTY_CAS;
    multi_unwatch(watches, session);
}
