/* Faults, the end of a process and power cuts over real files: see env_fault.h. */
#include "tests/support/env_fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "codec/buf.h"
#include "codec/check.h"
#include "codec/mem.h"

#define SECTOR_BYTES   512
#define FILE_BYTES_MAX ((size_t)256 << 20)
#define DEAD           EIO

/* A file that was written to: all before `synced_bytes` is durable. */
struct tracked_file {
    char *path; /* owned */
    uint64_t synced_bytes;
    uint64_t bytes;
    uint64_t rewritten_from; /* the lowest place written to since the last sync began */
    uint64_t lost_from;      /* a failed sync lost what is from here */
    uint64_t lost_to;        /* to here; 0: nothing */
};

/* A change of a directory that is not synced. */
struct name_change {
    enum env_op op; /* OPEN (created), RENAME, UNLINK */
    char *path;     /* owned */
    char *path_to;  /* owned; RENAME */
    bool had_old;   /* `old` is the content of the file that was replaced or deleted */
    struct buf old;
};

struct env_fault {
    struct env_hook hook;
    pthread_mutex_t lock; /* guards what follows */
    struct env_fault_plan plan;
    uint64_t matched;
    uint64_t failed;
    size_t short_bytes;
    void (*watch)(void *arg, struct env_call *call);
    void *watch_arg;
    bool clock_stopped;
    int64_t clock_us;
    bool dead;
    struct tracked_file *files;
    size_t file_count;
    struct name_change *changes; /* oldest first */
    size_t change_count;
    struct buf pending_old; /* content of the file that the call under way will replace; one such
                             * call at a time */
    bool pending_had_old;
};

static uint64_t next_random(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* ---- What was written and synced ---- */

static struct tracked_file *find_file(struct env_fault *fault, const char *path)
{
    for (size_t i = 0; i < fault->file_count; i++) {
        if (strcmp(fault->files[i].path, path) == 0)
            return &fault->files[i];
    }
    return NULL;
}

static void forget_file(struct env_fault *fault, const char *path)
{
    struct tracked_file *file = find_file(fault, path);
    if (file == NULL)
        return;
    mem_free(file->path);
    *file = fault->files[--fault->file_count];
}

static uint64_t size_on_disk(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    off_t size = lseek(fd, 0, SEEK_END);
    (void)close(fd);
    return size < 0 ? 0 : (uint64_t)size;
}

static struct tracked_file *track_file(struct env_fault *fault, const char *path,
                                       uint64_t synced_bytes)
{
    struct tracked_file *file = find_file(fault, path);
    if (file != NULL)
        return file;
    fault->files = mem_realloc(fault->files, (fault->file_count + 1) * sizeof(*fault->files));
    file = &fault->files[fault->file_count++];
    *file = (struct tracked_file){.path = mem_strdup(path),
                                  .synced_bytes = synced_bytes,
                                  .bytes = synced_bytes,
                                  .rewritten_from = UINT64_MAX};
    return file;
}

static bool read_whole(const char *path, struct buf *out)
{
    buf_clear(out);
    return env_read_file(env_posix(), path, FILE_BYTES_MAX, out, NULL) == ST_OK;
}

static void write_whole(const char *path, struct bytes content)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, ENV_FILE_MODE);
    CHECK(fd >= 0);
    size_t done = 0;
    while (done < content.len) {
        ssize_t put = write(fd, content.data + done, content.len - done);
        CHECK(put > 0);
        done += (size_t)put;
    }
    CHECK(close(fd) == 0);
}

static struct name_change *add_change(struct env_fault *fault, enum env_op op, const char *path)
{
    fault->changes =
        mem_realloc(fault->changes, (fault->change_count + 1) * sizeof(*fault->changes));
    struct name_change *change = &fault->changes[fault->change_count++];
    *change = (struct name_change){.op = op, .path = mem_strdup(path)};
    change->had_old = fault->pending_had_old;
    change->old = fault->pending_old; /* taken */
    fault->pending_old = (struct buf){0};
    fault->pending_had_old = false;
    return change;
}

static void free_change(struct name_change *change)
{
    mem_free(change->path);
    mem_free(change->path_to);
    buf_deinit(&change->old);
}

static bool is_in(const char *path, const char *dir)
{
    size_t len = strlen(dir);
    return strncmp(path, dir, len) == 0 && path[len] == '/' && strchr(path + len + 1, '/') == NULL;
}

static void sync_names(struct env_fault *fault, const char *dir)
{
    size_t kept = 0;
    for (size_t i = 0; i < fault->change_count; i++) {
        if (is_in(fault->changes[i].path, dir))
            free_change(&fault->changes[i]);
        else
            fault->changes[kept++] = fault->changes[i];
    }
    fault->change_count = kept;
}

/* ---- Calls ---- */

static bool is_transfer(enum env_op op)
{
    return op == ENV_OP_READ || op == ENV_OP_PREAD || op == ENV_OP_WRITE || op == ENV_OP_WRITEV;
}

static bool plan_matches(const struct env_fault *fault, const struct env_call *call)
{
    const char *part = fault->plan.path_part;
    return (fault->plan.ops & ENV_FAULT_OP(call->op)) != 0 &&
           (part == NULL || strstr(call->path, part) != NULL);
}

/* Saves what the call is about to destroy, and notes whether an open creates. */
static void look_before(struct env_fault *fault, const struct env_call *call)
{
    bool truncates = call->op == ENV_OP_OPEN && (call->flags & ENV_TRUNCATE) != 0;
    bool creates = call->op == ENV_OP_OPEN && (call->flags & ENV_CREATE) != 0;
    if (call->op == ENV_OP_RENAME)
        fault->pending_had_old = read_whole(call->path_to, &fault->pending_old);
    else if (call->op == ENV_OP_UNLINK || truncates || creates)
        fault->pending_had_old = read_whole(call->path, &fault->pending_old);
}

/* 0, or the errno value that the plan wants. */
static int apply_plan(struct env_fault *fault, struct env_call *call)
{
    if (!plan_matches(fault, call))
        return 0;
    fault->matched++;
    const struct env_fault_plan *plan = &fault->plan;
    bool fails = plan->nth != 0 && fault->matched >= plan->nth &&
                 (plan->count == 0 || fault->matched - plan->nth < plan->count);
    if (!fails)
        return 0;
    fault->failed++;
    return plan->error;
}

/* A failing write leaves a part of its bytes in the file. */
static void tear_write(struct env_fault *fault, const struct env_call *call)
{
    static const uint8_t junk[64] = {0xa5, 0x5a};
    size_t left = fault->plan.torn_bytes;
    struct tracked_file *file = track_file(fault, call->path, size_on_disk(call->path));
    while (left > 0) {
        size_t len = left < sizeof(junk) ? left : sizeof(junk);
        if (write(call->fd, junk, len) < 0)
            return;
        left -= len;
    }
    file->bytes = size_on_disk(call->path);
}

/* What is written over is not durable any more, nor is what follows it. */
static void note_write(struct env_fault *fault, const struct env_call *call)
{
    struct tracked_file *file = track_file(fault, call->path, size_on_disk(call->path));
    off_t at = lseek(call->fd, 0, SEEK_CUR);
    uint64_t from = at < 0 ? 0 : (uint64_t)at;
    if (from < file->synced_bytes)
        file->synced_bytes = from;
    if (from < file->rewritten_from)
        file->rewritten_from = from;
}

static void lose_unsynced(struct env_fault *fault, const char *path)
{
    struct tracked_file *file = find_file(fault, path);
    if (file == NULL || file->bytes == file->synced_bytes)
        return;
    if (file->lost_to == 0 || file->lost_from > file->synced_bytes)
        file->lost_from = file->synced_bytes;
    file->lost_to = file->bytes;
}

/* The page cache forgets a file: what is not on the disk is seen to be missing. */
static void reveal_loss(struct env_fault *fault, const char *path)
{
    struct tracked_file *file = find_file(fault, path);
    struct buf content = {0};
    if (file != NULL && file->lost_to != 0 && read_whole(path, &content)) {
        uint64_t to = file->lost_to < content.len ? file->lost_to : content.len;
        if (file->lost_from < to)
            memset(content.data + file->lost_from, 0, (size_t)(to - file->lost_from));
        write_whole(path, buf_bytes(&content));
        file->lost_to = 0;
    }
    buf_deinit(&content);
}

static int before_call(void *arg, struct env_call *call)
{
    struct env_fault *fault = arg;
    (void)pthread_mutex_lock(&fault->lock);
    void (*watch)(void *, struct env_call *) = plan_matches(fault, call) ? fault->watch : NULL;
    void *watch_arg = fault->watch_arg;
    struct tracked_file *synced =
        call->op == ENV_OP_FDATASYNC ? find_file(fault, call->path) : NULL;
    uint64_t bytes_before =
        synced == NULL ? 0 : synced->bytes; /* what comes later need not be in */
    if (synced != NULL)
        synced->rewritten_from = UINT64_MAX;
    (void)pthread_mutex_unlock(&fault->lock);
    if (watch != NULL)
        watch(watch_arg, call);
    (void)pthread_mutex_lock(&fault->lock);
    int error = fault->dead ? DEAD : apply_plan(fault, call);
    bool writes = call->op == ENV_OP_WRITE || call->op == ENV_OP_WRITEV;
    if (!fault->dead && writes)
        note_write(fault, call);
    if (error != 0 && !fault->dead && writes)
        tear_write(fault, call);
    if (error == 0 && is_transfer(call->op) && fault->short_bytes != 0 &&
        call->len > fault->short_bytes)
        call->len = fault->short_bytes;
    if (error == 0)
        look_before(fault, call);
    if (error != 0 && !fault->dead && call->op == ENV_OP_FDATASYNC)
        lose_unsynced(fault, call->path);
    if (error == 0 && call->op == ENV_OP_DROP_CACHE)
        reveal_loss(fault, call->path);
    if (error == 0 && call->op == ENV_OP_FDATASYNC) {
        struct tracked_file *file = find_file(fault, call->path);
        if (file != NULL && file->rewritten_from < bytes_before)
            bytes_before = file->rewritten_from;
        if (file != NULL && file->synced_bytes < bytes_before)
            file->synced_bytes = bytes_before;
        error = ENV_HOOK_SKIP;
    }
    if (error == 0 && call->op == ENV_OP_SYNC_DIR) {
        sync_names(fault, call->path);
        error = ENV_HOOK_SKIP;
    }
    (void)pthread_mutex_unlock(&fault->lock);
    return error;
}

static void note_rename(struct env_fault *fault, const struct env_call *call)
{
    struct name_change *change = add_change(fault, ENV_OP_RENAME, call->path);
    change->path_to = mem_strdup(call->path_to);
    forget_file(fault, call->path_to);
    struct tracked_file *file = find_file(fault, call->path);
    if (file != NULL) {
        mem_free(file->path);
        file->path = mem_strdup(call->path_to);
    }
}

static void note_open(struct env_fault *fault, const struct env_call *call)
{
    if ((call->flags & ENV_CREATE) != 0 && !fault->pending_had_old) {
        (void)add_change(fault, ENV_OP_OPEN, call->path);
        (void)track_file(fault, call->path, 0);
    }
    if ((call->flags & ENV_TRUNCATE) != 0) {
        struct tracked_file *file = track_file(fault, call->path, 0);
        file->synced_bytes = 0;
        file->bytes = 0;
        file->lost_to = 0;
    }
}

static void after_call(void *arg, const struct env_call *call, int error, size_t done)
{
    struct env_fault *fault = arg;
    if (error != 0)
        return;
    (void)done;
    (void)pthread_mutex_lock(&fault->lock);
    struct tracked_file *file = find_file(fault, call->path);
    switch ((int)call->op) {
    case ENV_OP_OPEN:
        note_open(fault, call);
        break;
    case ENV_OP_WRITE:
    case ENV_OP_WRITEV:
        file->bytes = size_on_disk(call->path);
        break;
    case ENV_OP_TRUNCATE: /* taken for durable at once */
        if (file != NULL) {
            file->bytes = call->off;
            file->synced_bytes = call->off < file->synced_bytes ? call->off : file->synced_bytes;
            file->lost_to = call->off < file->lost_to ? call->off : file->lost_to;
        }
        break;
    case ENV_OP_RENAME:
        note_rename(fault, call);
        break;
    case ENV_OP_UNLINK:
        (void)add_change(fault, ENV_OP_UNLINK, call->path);
        forget_file(fault, call->path);
        break;
    default:
        break;
    }
    (void)pthread_mutex_unlock(&fault->lock);
}

static int64_t fault_now_mono_us(struct env *env)
{
    struct env_fault *fault = ((struct env_hook *)(void *)env)->arg;
    (void)pthread_mutex_lock(&fault->lock);
    bool stopped = fault->clock_stopped;
    int64_t now = fault->clock_us;
    (void)pthread_mutex_unlock(&fault->lock);
    return stopped ? now : env_now_mono_us(env_posix());
}

/* ---- Control ---- */

struct env_fault *env_fault_create(void)
{
    struct env_fault *fault = mem_calloc(1, sizeof(*fault));
    CHECK(pthread_mutex_init(&fault->lock, NULL) == 0);
    env_hook_init(&fault->hook, env_posix(), before_call, after_call, fault);
    fault->hook.env.now_mono_us = fault_now_mono_us;
    return fault;
}

static void forget_all(struct env_fault *fault)
{
    for (size_t i = 0; i < fault->file_count; i++)
        mem_free(fault->files[i].path);
    for (size_t i = 0; i < fault->change_count; i++)
        free_change(&fault->changes[i]);
    fault->file_count = 0;
    fault->change_count = 0;
    buf_deinit(&fault->pending_old);
}

void env_fault_destroy(struct env_fault *fault)
{
    if (fault == NULL)
        return;
    forget_all(fault);
    mem_free(fault->files);
    mem_free(fault->changes);
    env_hook_deinit(&fault->hook);
    (void)pthread_mutex_destroy(&fault->lock);
    mem_free(fault);
}

struct env *env_fault_env(struct env_fault *fault)
{
    return &fault->hook.env;
}

void env_fault_set_plan(struct env_fault *fault, const struct env_fault_plan *plan)
{
    (void)pthread_mutex_lock(&fault->lock);
    fault->plan = plan == NULL ? (struct env_fault_plan){0} : *plan;
    fault->matched = 0;
    fault->failed = 0;
    (void)pthread_mutex_unlock(&fault->lock);
}

static uint64_t read_counter(struct env_fault *fault, const uint64_t *counter)
{
    (void)pthread_mutex_lock(&fault->lock);
    uint64_t value = *counter;
    (void)pthread_mutex_unlock(&fault->lock);
    return value;
}

uint64_t env_fault_matched(struct env_fault *fault)
{
    return read_counter(fault, &fault->matched);
}

uint64_t env_fault_failed(struct env_fault *fault)
{
    return read_counter(fault, &fault->failed);
}

void env_fault_set_short(struct env_fault *fault, size_t bytes_max)
{
    (void)pthread_mutex_lock(&fault->lock);
    fault->short_bytes = bytes_max;
    (void)pthread_mutex_unlock(&fault->lock);
}

void env_fault_set_watcher(struct env_fault *fault, void (*watch)(void *arg, struct env_call *call),
                           void *arg)
{
    (void)pthread_mutex_lock(&fault->lock);
    fault->watch = watch;
    fault->watch_arg = arg;
    (void)pthread_mutex_unlock(&fault->lock);
}

void env_fault_stop_clock(struct env_fault *fault)
{
    (void)pthread_mutex_lock(&fault->lock);
    fault->clock_stopped = true;
    fault->clock_us = env_now_mono_us(env_posix());
    (void)pthread_mutex_unlock(&fault->lock);
}

void env_fault_advance(struct env_fault *fault, int64_t us)
{
    (void)pthread_mutex_lock(&fault->lock);
    fault->clock_us += us;
    (void)pthread_mutex_unlock(&fault->lock);
}

void env_fault_kill(struct env_fault *fault)
{
    (void)pthread_mutex_lock(&fault->lock);
    fault->dead = true;
    (void)pthread_mutex_unlock(&fault->lock);
}

/* ---- Power cut ---- */

/* Rewrites the file as the power failure left it. */
static void cut_file(const struct tracked_file *file, enum env_fault_cut cut, uint64_t *random)
{
    struct buf content = {0};
    if (read_whole(file->path, &content) && content.len > file->synced_bytes) {
        size_t synced = (size_t)file->synced_bytes;
        size_t end = synced;
        if (cut == ENV_FAULT_CUT_RANDOM) {
            size_t unsynced = content.len - synced;
            bool whole = next_random(random) % 4 == 0;
            end += whole ? unsynced : (size_t)(next_random(random) % (unsynced + 1));
            uint64_t lost_in = next_random(random) % 4; /* 0: none */
            for (size_t at = synced; lost_in != 0 && at < end;) {
                size_t next = (at / SECTOR_BYTES + 1) * SECTOR_BYTES;
                next = next < end ? next : end;
                if (next_random(random) % (lost_in * 2) == 0)
                    memset(content.data + at, 0, next - at);
                at = next;
            }
        }
        content.len = end;
        write_whole(file->path, buf_bytes(&content));
    }
    buf_deinit(&content);
}

static void undo_change(struct env_fault *fault, struct name_change *change)
{
    switch ((int)change->op) {
    case ENV_OP_OPEN:
        (void)unlink(change->path);
        forget_file(fault, change->path);
        break;
    case ENV_OP_RENAME: {
        CHECK(rename(change->path_to, change->path) == 0);
        struct tracked_file *file = find_file(fault, change->path_to);
        if (file != NULL) {
            mem_free(file->path);
            file->path = mem_strdup(change->path);
        }
        if (change->had_old)
            write_whole(change->path_to, buf_bytes(&change->old));
        break;
    }
    case ENV_OP_UNLINK:
        write_whole(change->path, buf_bytes(&change->old));
        break;
    default:
        break;
    }
}

void env_fault_power_cut(struct env_fault *fault, enum env_fault_cut cut, uint64_t seed)
{
    uint64_t random = seed;
    env_fault_kill(fault);
    (void)pthread_mutex_lock(&fault->lock);
    size_t kept =
        cut == ENV_FAULT_CUT_DROP ? 0 : (size_t)(next_random(&random) % (fault->change_count + 1));
    while (fault->change_count > kept) {
        struct name_change *change = &fault->changes[--fault->change_count];
        undo_change(fault, change);
        free_change(change);
    }
    for (size_t i = 0; i < fault->file_count; i++) {
        cut_file(&fault->files[i], cut, &random);
        reveal_loss(fault, fault->files[i].path);
    }
    (void)pthread_mutex_unlock(&fault->lock);
}

void env_fault_revive(struct env_fault *fault)
{
    (void)pthread_mutex_lock(&fault->lock);
    for (size_t i = 0; i < fault->file_count;) {
        struct tracked_file *file = &fault->files[i];
        file->bytes = size_on_disk(file->path);
        file->synced_bytes = file->bytes;
        if (file->lost_to <= file->lost_from)
            forget_file(fault, file->path);
        else
            i++;
    }
    for (size_t i = 0; i < fault->change_count; i++)
        free_change(&fault->changes[i]);
    fault->change_count = 0;
    fault->dead = false;
    (void)pthread_mutex_unlock(&fault->lock);
}
