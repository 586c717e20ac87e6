#include "server/replicas.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "server/config.h"
#include "server/conn.h"
#include "server/exec.h"
#include "server/log.h"
#include "server/output.h"
#include "server/services.h"
#include "server/session.h"
#include "server/stats.h"
#include "server/version.h"
#include "storage/env.h"
#include "storage/feed.h"
#include "storage/journal.h"
#include "storage/rdb_save.h"
#include "storage/store.h"

#include <stdio.h>
#include <string.h>

#define PIECE_BYTES    ((size_t)256 << 10) /* of one read */
#define OUTPUT_BYTES   ((size_t)512 << 10) /* beyond that nothing more is read */
#define RETRY_MS       1000                /* after a save that failed */
#define LINE_PERIOD_MS 1000
#define FILE_NAME      "temp-sync.rdb"
#define PATH_BYTES_MAX 4096

enum phase { PLAIN, HOLDING, WAITING, SENDING, ONLINE };

struct replica {
    struct replica *next;
    struct replicas *all;
    struct session *session;
    struct replica_facts facts;
    enum phase phase;
    bool old;     /* SYNC: it neither expects an offset nor acknowledges any */
    bool partial; /* it may be served from the journal alone */
    bool awaited; /* the running save is for it */
    struct feed *feed;
    uint64_t acknowledged, synced; /* offsets */
    int64_t heard_ms;              /* when it acknowledged last */
};

struct replicas {
    const struct services *services;
    struct replica *first; /* in the order in which they came */
    size_t count;          /* of those not PLAIN */
    bool saving;           /* the running save is ours */
    int64_t retry_at_ms;
    int64_t ping_at_ms;
    int64_t line_at_ms; /* for those that wait */
};

struct replicas *replicas_create(const struct services *services)
{
    struct replicas *replicas = mem_calloc(1, sizeof(*replicas));
    replicas->services = services;
    struct env *env = store_env(services->store);
    char path[PATH_BYTES_MAX];
    rdb_save_remove_rest(env, services->config->dir, FILE_NAME);
    (void)snprintf(path, sizeof(path), "%s/%s", services->config->dir, FILE_NAME);
    (void)env->unlink(env, path);
    return replicas;
}

void replicas_destroy(struct replicas *replicas)
{
    if (replicas == NULL)
        return;
    CHECK(replicas->first == NULL);
    mem_free(replicas);
}

static struct replica *replica_of(const struct session *session)
{
    return session->extension[SESSION_EXTENSION_REPLICATION];
}

static struct replica *find_or_add(struct replicas *replicas, struct session *session)
{
    struct replica *replica = replica_of(session);
    if (replica != NULL)
        return replica;
    replica = mem_calloc(1, sizeof(*replica));
    replica->all = replicas;
    replica->session = session;
    session->extension[SESSION_EXTENSION_REPLICATION] = replica;
    struct replica **end = &replicas->first;
    while (*end != NULL)
        end = &(*end)->next;
    *end = replica;
    return replica;
}

static const char *name_of(const struct replica *replica)
{
    return conn_peer_address(replica->session->conn);
}

/* ---- What they are sent -----------------------------------------------------------------------
 */

static void send_text(struct replica *replica, const char *text)
{
    output_append(replica->session->reply.out, text, strlen(text));
    conn_output_added(replica->session->conn);
}

static void fail(struct replica *replica, const struct err *err)
{
    log_write(LOG_WARNING, "Connection with replica %s closed: %s", name_of(replica), err->message);
    conn_close_later(replica->session->conn);
}

static void go_online(struct replica *replica)
{
    replica->phase = ONLINE;
    replica->heard_ms = exec_mono_ms(replica->all->services->exec);
    log_write(LOG_NOTICE, "Synchronization with replica %s succeeded", name_of(replica));
}

/* The journal is kept, or does not go back so far: then all is sent. */
static void on_held(struct replica *replica, const struct feed_piece *piece);

static void on_piece(void *arg, struct feed_piece *piece)
{
    struct replica *replica = arg;
    if (replica->phase == HOLDING) {
        on_held(replica, piece);
        return;
    }
    if (piece->status != ST_OK) {
        fail(replica, &piece->err);
        return;
    }
    if (piece->bytes.len != 0) {
        struct output_shared *shared = output_shared_create(&piece->bytes);
        output_append_shared(replica->session->reply.out, shared);
        output_shared_unref(shared);
        conn_output_added(replica->session->conn);
    }
    if (piece->file_ended && replica->facts.rdb_only)
        conn_close_after_reply(replica->session->conn);
    else if (piece->file_ended)
        go_online(replica);
}

/* From the journal's end on, for what is written from now on is in no file that is made later. */
static void hold(struct replica *replica, uint64_t offset)
{
    replica->phase = HOLDING;
    replica->feed =
        feed_create(store_feeds(replica->all->services->store), offset, on_piece, replica);
}

static void on_held(struct replica *replica, const struct feed_piece *piece)
{
    const struct services *services = replica->all->services;
    if (piece->status == ST_OK && replica->partial) {
        char line[64];
        (void)snprintf(line, sizeof(line), "+CONTINUE %s\r\n",
                       store_replication_id(services->store));
        send_text(replica, line);
        services->stats->syncs_partial++;
        log_write(LOG_NOTICE,
                  "Partial resynchronization request from %s accepted: from offset %llu on",
                  name_of(replica), (unsigned long long)feed_offset(replica->feed) + 1);
        go_online(replica);
    } else if (piece->status == ST_OK) {
        replica->phase = WAITING;
        services->stats->syncs_full++;
    } else if (replica->partial) {
        log_write(LOG_NOTICE, "Unable to partially resync with replica %s: %s", name_of(replica),
                  piece->err.message);
        services->stats->syncs_partial_refused++;
        replica->partial = false;
        feed_destroy(replica->feed);
        hold(replica, journal_written(services->journal));
    } else {
        fail(replica, &piece->err);
    }
}

static int64_t next_ping_ms(const struct replicas *replicas)
{
    const struct services *services = replicas->services;
    return exec_mono_ms(services->exec) +
           (int64_t)services->config->repl_ping_replica_period * 1000;
}

static void begin(struct replicas *replicas, struct replica *replica, uint64_t offset)
{
    replica->session->flags |= SESSION_REPLICA;
    if (replicas->count++ == 0) {
        journal_watch_written(replicas->services->journal, true);
        replicas->ping_at_ms = next_ping_ms(replicas);
    }
    hold(replica, offset);
}

void replicas_sync(struct replicas *replicas, struct session *session)
{
    if ((session->flags & SESSION_REPLICA) != 0)
        return;
    struct replica *replica = find_or_add(replicas, session);
    replica->old = true;
    log_write(LOG_NOTICE, "Replica %s asks for synchronization", name_of(replica));
    begin(replicas, replica, journal_written(replicas->services->journal));
}

void replicas_psync(struct replicas *replicas, struct session *session, struct bytes id,
                    int64_t offset)
{
    if ((session->flags & SESSION_REPLICA) != 0)
        return;
    struct replica *replica = find_or_add(replicas, session);
    uint64_t written = journal_written(replicas->services->journal);
    const char *ours = store_replication_id(replicas->services->store);
    replica->partial = bytes_equal_nocase(id, ours) && offset > 0 &&
                       (uint64_t)offset - 1 <= written && !replica->facts.rdb_only &&
                       replica->facts.leave_out == 0;
    if (!replica->partial && !bytes_equal(id, bytes_text("?")))
        replicas->services->stats->syncs_partial_refused++;
    log_write(LOG_NOTICE, "Replica %s asks for synchronization", name_of(replica));
    begin(replicas, replica, replica->partial ? (uint64_t)offset - 1 : written);
}

struct replica_facts *replicas_facts(struct replicas *replicas, struct session *session)
{
    return &find_or_add(replicas, session)->facts;
}

void replicas_acknowledge(struct session *session, uint64_t offset, uint64_t synced)
{
    struct replica *replica = replica_of(session);
    if (replica == NULL || replica->phase != ONLINE)
        return;
    if (offset > replica->acknowledged)
        replica->acknowledged = offset;
    if (synced > replica->synced)
        replica->synced = synced;
    replica->heard_ms = exec_mono_ms(replica->all->services->exec);
}

/* ---- Files ------------------------------------------------------------------------------------
 */

static size_t count_awaited(const struct replicas *replicas)
{
    size_t count = 0;
    for (const struct replica *r = replicas->first; r != NULL; r = r->next)
        count += r->awaited;
    return count;
}

static void send_file(struct replica *replica, const struct rdb_save_result *result, int fd)
{
    char head[128];
    size_t len = 0;
    if (!replica->old)
        len = (size_t)snprintf(head, sizeof(head), "+FULLRESYNC %s %llu\r\n",
                               store_replication_id(replica->all->services->store),
                               (unsigned long long)result->offset);
    (void)snprintf(head + len, sizeof(head) - len, "$%llu\r\n", (unsigned long long)result->bytes);
    send_text(replica, head);
    feed_set_file(replica->feed, fd, result->offset);
    replica->phase = SENDING;
}

/* Also called while the server is being closed, when nobody waits any more. */
static void on_saved(void *arg, const struct rdb_save_result *result)
{
    struct replicas *replicas = arg;
    replicas->saving = false;
    if (result->status != ST_OK) {
        if (result->status != ST_AGAIN)
            log_write(LOG_WARNING, "Saving an RDB file for replicas failed: %s",
                      result->err.message);
        for (struct replica *r = replicas->first; r != NULL; r = r->next)
            r->awaited = false;
        return;
    }
    const struct services *services = replicas->services;
    struct env *env = store_env(services->store);
    char path[PATH_BYTES_MAX];
    (void)snprintf(path, sizeof(path), "%s/%s", services->config->dir, FILE_NAME);
    for (struct replica *r = replicas->first; r != NULL; r = r->next) {
        struct err err;
        int fd;
        if (!r->awaited)
            continue;
        r->awaited = false;
        if (env_open(env, path, ENV_READ, &fd, &err) == ST_OK)
            send_file(r, result, fd);
        else
            fail(r, &err);
    }
    feeds_unlink(store_feeds(services->store), path);
}

static const struct replica *first_waiting(const struct replicas *replicas)
{
    const struct replica *r = replicas->first;
    while (r->phase != WAITING)
        r = r->next;
    return r;
}

/* For all that wait now, and whose hold on the journal is older than the file. Somebody does; those
 * who want another file than the first one wait on. */
static void start_save(struct replicas *replicas)
{
    const struct services *services = replicas->services;
    struct rdb_save *save = store_rdb_save(services->store);
    if (rdb_save_running(save) || exec_mono_ms(services->exec) < replicas->retry_at_ms)
        return;
    uint32_t leave_out = first_waiting(replicas)->facts.leave_out;
    for (struct replica *r = replicas->first; r != NULL; r = r->next)
        r->awaited = r->phase == WAITING && r->facts.leave_out == leave_out;
    replicas->saving = true;
    replicas->retry_at_ms = exec_mono_ms(services->exec) + RETRY_MS;
    struct rdb_save_options options = {.dir = services->config->dir,
                                       .name = FILE_NAME,
                                       .redis_version = REDIS_COMPATIBLE_VERSION,
                                       .version = services->config->rdb_version,
                                       .leave_out = leave_out,
                                       .no_compression = !services->config->rdbcompression,
                                       .no_checksum = !services->config->rdbchecksum,
                                       .done = on_saved,
                                       .arg = replicas};
    rdb_save_start(save, &options);
}

void replicas_remove(struct replicas *replicas, struct session *session)
{
    struct replica *replica = replica_of(session);
    if (replica == NULL)
        return;
    struct replica **place = &replicas->first;
    while (*place != replica)
        place = &(*place)->next;
    *place = replica->next;
    if (replica->phase != PLAIN && --replicas->count == 0)
        journal_watch_written(replicas->services->journal, false);
    feed_destroy(replica->feed);
    if (replica->awaited && replicas->saving && count_awaited(replicas) == 0)
        rdb_save_stop(store_rdb_save(replicas->services->store));
    session->extension[SESSION_EXTENSION_REPLICATION] = NULL;
    session->flags &= ~(uint32_t)SESSION_REPLICA;
    mem_free(replica);
}

/* ---- Time -------------------------------------------------------------------------------------
 */

static bool wants_piece(const struct replica *replica, uint64_t written)
{
    if (replica->phase != SENDING && replica->phase != ONLINE)
        return false;
    if (feed_is_reading(replica->feed) || output_bytes(replica->session->reply.out) > OUTPUT_BYTES)
        return false;
    return replica->phase == SENDING || feed_offset(replica->feed) < written;
}

void replicas_tick(struct replicas *replicas)
{
    if (replicas->count == 0)
        return;
    bool waiting = false;
    uint64_t written = journal_written(replicas->services->journal);
    for (struct replica *r = replicas->first; r != NULL; r = r->next) {
        if (wants_piece(r, written))
            feed_read(r->feed, PIECE_BYTES);
        waiting = waiting || (r->phase == WAITING && !r->awaited);
    }
    if (waiting)
        start_save(replicas);
}

/* Empty lines are for those that wait, pings, as part of the stream, for all others. */
void replicas_cron(struct replicas *replicas)
{
    const struct services *services = replicas->services;
    const struct config *config = services->config;
    if (replicas->count == 0)
        return;
    int64_t now_ms = exec_mono_ms(services->exec);
    bool line_due = now_ms >= replicas->line_at_ms;
    if (line_due)
        replicas->line_at_ms = now_ms + LINE_PERIOD_MS;
    if (now_ms >= replicas->ping_at_ms) {
        replicas->ping_at_ms = next_ping_ms(replicas);
        journal_stage_raw(services->journal, bytes_text("*1\r\n$4\r\nPING\r\n"));
    }
    for (struct replica *r = replicas->first; r != NULL; r = r->next) {
        if (line_due && (r->phase == HOLDING || r->phase == WAITING))
            send_text(r, "\n");
        if (r->phase != ONLINE || r->old ||
            now_ms - r->heard_ms <= (int64_t)config->repl_timeout * 1000)
            continue;
        log_write(LOG_WARNING, "Disconnecting timedout replica: %s", name_of(r));
        conn_close_later(r->session->conn);
    }
}

void replicas_ask(struct replicas *replicas)
{
    journal_stage_raw(replicas->services->journal,
                      bytes_text("*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n"));
}

/* ---- Looking ----------------------------------------------------------------------------------
 */

bool replicas_any(const struct replicas *replicas)
{
    return replicas->count != 0;
}

size_t replicas_count(const struct replicas *replicas, uint64_t offset, bool synced)
{
    size_t count = 0;
    for (const struct replica *r = replicas->first; r != NULL; r = r->next)
        count += r->phase == ONLINE && (synced ? r->synced : r->acknowledged) >= offset;
    return count;
}

static int64_t lag_s(const struct replica *replica)
{
    return (exec_mono_ms(replica->all->services->exec) - replica->heard_ms) / 1000;
}

size_t replicas_count_good(const struct replicas *replicas)
{
    int max_lag = replicas->services->config->min_replicas_max_lag;
    size_t count = 0;
    for (const struct replica *r = replicas->first; r != NULL; r = r->next)
        count += r->phase == ONLINE && lag_s(r) <= max_lag;
    return count;
}

bool replicas_lacking(const struct replicas *replicas)
{
    const struct config *config = replicas->services->config;
    return config->min_replicas_to_write != 0 && config->min_replicas_max_lag != 0 &&
           replicas_count_good(replicas) < (size_t)config->min_replicas_to_write;
}

static const char *phase_name(enum phase phase)
{
    if (phase == SENDING)
        return "send_bulk";
    return phase == ONLINE ? "online" : "wait_bgsave";
}

void replicas_visit(const struct replicas *replicas, replica_fn *visit, void *arg)
{
    for (const struct replica *r = replicas->first; r != NULL; r = r->next) {
        if (r->phase == PLAIN)
            continue;
        struct replica_state state = {.port = r->facts.port,
                                      .state = phase_name(r->phase),
                                      .acknowledged = r->acknowledged,
                                      .lag_s = r->phase == ONLINE && !r->old ? lag_s(r) : 0};
        const char *address = r->facts.address[0] != '\0' ? r->facts.address : name_of(r);
        (void)snprintf(state.address, sizeof(state.address), "%s", address);
        char *colon = strrchr(state.address, ':');
        if (r->facts.address[0] == '\0' && colon != NULL)
            *colon = '\0';
        visit(arg, &state);
    }
}
