/* Closing RocksDB and opening it again while the store is in use, and the gate that this takes.
 *
 * Closing the gate: `closed` is set, then the users are counted until there are none. The counters
 * are read one after the other, which is good enough: nobody new comes in any more (who sees
 * `closed` takes his count back), so that a sum can only be too high. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "codec/buf.h"
#include "codec/check.h"
#include "codec/mem.h"
#include "storage/cold_rocksdb_internal.h"

#define DRAIN_MS         100
#define DRAIN_POLL_US    200
#define DISK_PROBE_BYTES ((size_t)1 << 20)
#define DISK_PROBE_NAME  "write-probe.tmp"

/* ---- The gate -----------------------------------------------------------------------------------
 */

void cold_gate_init(struct cold_gate *gate)
{
    CHECK(pthread_mutex_init(&gate->lock, NULL) == 0);
    CHECK(pthread_cond_init(&gate->opened, NULL) == 0);
}

void cold_gate_deinit(struct cold_gate *gate)
{
    pthread_cond_destroy(&gate->opened);
    pthread_mutex_destroy(&gate->lock);
}

enum status cold_enter_slow(struct cold *cold, struct err *err)
{
    for (;;) {
        pthread_mutex_lock(&cold->gate.lock);
        while (atomic_load(&cold->gate.closed))
            pthread_cond_wait(&cold->gate.opened, &cold->gate.lock);
        bool there = cold->db != NULL;
        pthread_mutex_unlock(&cold->gate.lock);
        if (there && cold_try_enter(cold))
            return ST_OK;
        struct err why;
        if (there || !cold_failed(cold, &why))
            continue; /* it was closed or opened again meanwhile */
        if (err != NULL)
            *err = why;
        return why.code;
    }
}

static void open_gate(struct cold *cold)
{
    pthread_mutex_lock(&cold->gate.lock);
    atomic_store(&cold->gate.closed, false);
    pthread_cond_broadcast(&cold->gate.opened);
    pthread_mutex_unlock(&cold->gate.lock);
}

static int64_t count_users(struct cold *cold)
{
    int64_t users = 0;
    for (int i = 0; i < COLD_GATE_STRIPES; i++)
        users += atomic_load(&cold->gate.stripes[i].users);
    return users;
}

/* Closes the gate and waits until nobody is inside. ST_AGAIN: it is open again. */
static enum status close_gate(struct cold *cold, struct err *err)
{
    const struct timespec pause = {.tv_nsec = DRAIN_POLL_US * 1000};
    atomic_store(&cold->gate.closed, true);
    for (int polls = 0; polls < DRAIN_MS * 1000 / DRAIN_POLL_US; polls++) {
        if (count_users(cold) == 0)
            return ST_OK;
        (void)nanosleep(&pause, NULL);
    }
    open_gate(cold);
    return err_set(err, ST_AGAIN, "RocksDB cannot be reopened now: it is being read");
}

/* ---- Reopening ----------------------------------------------------------------------------------
 */

static enum status write_probe(int fd, const char *path, struct err *err)
{
    uint8_t *zeros = mem_calloc(1, DISK_PROBE_BYTES);
    size_t done = 0;
    int error = 0;
    while (error == 0 && done < DISK_PROBE_BYTES) {
        ssize_t wrote = write(fd, zeros + done, DISK_PROBE_BYTES - done);
        if (wrote > 0)
            done += (size_t)wrote;
        else
            error = wrote == 0 ? EIO : errno;
    }
    mem_free(zeros);
    if (error == 0 && fdatasync(fd) != 0)
        error = errno;
    if (error == 0)
        return ST_OK;
    bool full = error == ENOSPC || error == EDQUOT;
    return err_set_os(err, full ? ST_NO_SPACE : ST_IO, error, "cannot write %s: %s", path,
                      strerror(error));
}

enum status cold_probe_disk(const struct cold *cold, struct err *err)
{
    struct buf path = {0};
    buf_append_format(&path, "%s/%s", cold->options.dir, DISK_PROBE_NAME);
    buf_append_byte(&path, 0);
    const char *name = (const char *)path.data;
    enum status st = ST_OK;
    int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
    if (fd < 0)
        st = err_set_os(err, ST_IO, errno, "cannot make %s: %s", name, strerror(errno));
    if (st == ST_OK)
        st = write_probe(fd, name, err);
    if (fd >= 0) {
        close(fd);
        (void)unlink(name);
    }
    buf_deinit(&path);
    return st;
}

/* Behind the closed gate. */
static enum status open_again(struct cold *cold, struct err *err)
{
    cold_close_db(cold);
    memset(cold->merges_early, 0, sizeof(cold->merges_early)); /* as the options are again */
    cold->window_start_ms = 0;
    cold->read_fallback = false;
    enum status st = cold_open_db(cold, false, err);
    if (st == ST_OK)
        return ST_OK;
    if (st == ST_NOT_FOUND)
        err->code = ST_IO; /* a reader must not take it for a missing key */
    cold->read_fallback = cold_open_db(cold, true, NULL) == ST_OK;
    return err->code;
}

enum status cold_reopen(struct cold *cold, struct err *err)
{
    struct err own;
    err = err != NULL ? err : &own;
    if (cold->read_only)
        return err_set(err, ST_INVALID, "the store is open for reading only");
    CHECK(!atomic_exchange(&cold->writing, true));
    enum status st = cold_probe_disk(cold, err);
    if (st == ST_OK)
        st = close_gate(cold, err);
    if (st == ST_OK) {
        st = open_again(cold, err);
        cold_set_failure(cold, st == ST_OK ? NULL : err); /* first: readers ask for it */
        open_gate(cold);
    }
    return cold_write_end_aside(cold, st);
}

bool cold_closed(const struct cold *cold)
{
    return cold->db == NULL || cold->read_fallback;
}
